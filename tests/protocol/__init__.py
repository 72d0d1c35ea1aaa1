"""Tests of `webqq_tornado.protocol`."""
