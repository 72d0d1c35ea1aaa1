"""Conversations over HTTP as chains of requests on Tornado's IOLoop, and WebQQ on top.

>>> from webqq_tornado import HTTPStream
>>> stream = HTTPStream.instance()
>>> chain = stream.add_request("http://example.org/", lambda response: print(response.read()))
>>> stream.start()
"""

from .engine.chain import Chain, Next, State
from .engine.errors import (
    ClosedError,
    ConnectError,
    DeadlineError,
    LinkError,
    ProtocolError,
    ProxyError,
    RedirectError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from .engine.limits import Limits
from .engine.request import FilePart, Multipart, Request
from .engine.response import Hop, Response
from .engine.session import CookieJar, Session
from .engine.stats import Stats
from .engine.stream import HTTPStream

__version__ = "1.0.0.dev0"

__all__ = [
    "Chain",
    "ClosedError",
    "ConnectError",
    "CookieJar",
    "DeadlineError",
    "FilePart",
    "HTTPStream",
    "Hop",
    "Limits",
    "LinkError",
    "Multipart",
    "Next",
    "ProtocolError",
    "ProxyError",
    "RedirectError",
    "Request",
    "ResolveError",
    "Response",
    "Session",
    "State",
    "Stats",
    "StreamError",
    "TLSError",
    "TimeoutError",
    "TooLargeError",
]
