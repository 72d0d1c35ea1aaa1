"""Tests of `webqq_tornado.onebot.v11`."""
