"""Tests of `webqq_tornado.server.web`."""
