"""Tests of the engine: a file for each module, and for each promise of the whole."""
