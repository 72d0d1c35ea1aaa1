"""Conversations over HTTP as chains of requests on Tornado's IOLoop, and WebQQ on top.

>>> from webqq_tornado import HTTPStream
>>> stream = HTTPStream.instance()
>>> chain = stream.add_request("http://example.org/", lambda response: print(response.read()))
>>> stream.start()
"""

from .engine.chain import Chain, Gather, Next, State
from .engine.conduct import Attempt
from .engine.errors import (
    AddressError,
    AuthError,
    CircuitOpenError,
    ClosedError,
    ConnectError,
    DeadlineError,
    LinkError,
    LoggedOut,
    ProtocolError,
    ProxyError,
    RedirectError,
    ReplayError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from .engine.forms import FilePart, Multipart
from .engine.inflow import BodyStream
from .engine.limits import Limits
from .engine.pipes import Progress
from .engine.request import Request
from .engine.response import Hop, Response
from .engine.session import CookieJar, Session
from .engine.stats import Stats
from .engine.stream import HTTPStream
from .engine.websocket.message import SocketMessage

__version__ = "1.0.0.dev0"

__all__ = [
    "AddressError",
    "Attempt",
    "AuthError",
    "BodyStream",
    "Chain",
    "CircuitOpenError",
    "ClosedError",
    "ConnectError",
    "CookieJar",
    "DeadlineError",
    "FilePart",
    "Gather",
    "HTTPStream",
    "Hop",
    "Limits",
    "LinkError",
    "LoggedOut",
    "Multipart",
    "Next",
    "Progress",
    "ProtocolError",
    "ProxyError",
    "RedirectError",
    "ReplayError",
    "Request",
    "ResolveError",
    "Response",
    "Session",
    "SocketMessage",
    "State",
    "Stats",
    "StreamError",
    "TLSError",
    "TimeoutError",
    "TooLargeError",
]
