"""Tests of `webqq_tornado.cache`."""
