"""Conversations over HTTP as chains of requests, on Tornado's IOLoop and libcurl.

Reading order: `request` and `response` are what a link carries, `chain` is what a link
leads to, `transport` moves the bytes, `stream` joins them.
"""
