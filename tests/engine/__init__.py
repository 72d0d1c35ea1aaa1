"""Tests of the engine; one file for each of its modules, and some for what it promises as a whole."""
