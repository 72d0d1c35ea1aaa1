"""Tests of `webqq_tornado.onebot`."""
