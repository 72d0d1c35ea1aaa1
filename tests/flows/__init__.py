"""Tests of `webqq_tornado.flows`."""
