"""Tests of `webqq_tornado.cli`."""
