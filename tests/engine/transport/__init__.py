"""Tests of `webqq_tornado.engine.transport`."""
