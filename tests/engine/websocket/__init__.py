"""Tests of `webqq_tornado.engine.websocket`."""
