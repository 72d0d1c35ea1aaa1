"""Tests of `webqq_tornado.server.onebot`."""
