"""Tens of thousands of HTTP conversations on Tornado's IOLoop, and WebQQ on top.

Each conversation is a chain of requests, and one thread runs them all.

>>> from webqq_tornado import HTTPStream
>>> stream = HTTPStream.instance()
>>> chain = stream.add_request("http://example.org/", lambda response: print(response.read()))
>>> stream.start()

The packages, each of which knows those below it only:

==============  ================================================================================
cli             the commands of ``python -m webqq_tornado``
bot, flows      handlers and plugins for QQ; ready flows such as `Crawl` and `Sync`
client          one QQ account online, by WebQQ (`Client`) or by OneBot 11
server          a local QQ server with a page; independent of client
protocol        WebQQ on the wire: pure functions and tables, shared by client and server
auth, retry ..  policies for the engine: auth, retry, har, eventsource, httpclient, metrics
engine          chains of requests: `HTTPStream`, and below it the scheduler and the transport
==============  ================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .deprecation import MOVED, redirect_imports
from .lazy import lazy_names

if TYPE_CHECKING:
    from .engine.body import FilePart, Multipart
    from .engine.chain import Chain, State
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
        StatusError,
        StreamError,
        TimeoutError,
        TLSError,
        TooLargeError,
    )
    from .engine.hooks import Attempt
    from .engine.limits import Limits
    from .engine.links import Errback, Gather, Link, Next, Readback
    from .engine.request import Request
    from .engine.response import Hop, Response
    from .engine.session import CookieJar, Session
    from .engine.stats import Stats
    from .engine.stream import HTTPStream
    from .engine.transport.callbacks import Progress
    from .engine.transport.download import BodyStream
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
    "Errback",
    "FilePart",
    "Gather",
    "HTTPStream",
    "Hop",
    "Limits",
    "Link",
    "LinkError",
    "LoggedOut",
    "Multipart",
    "Next",
    "Progress",
    "ProtocolError",
    "ProxyError",
    "Readback",
    "RedirectError",
    "ReplayError",
    "Request",
    "ResolveError",
    "Response",
    "Session",
    "SocketMessage",
    "State",
    "Stats",
    "StatusError",
    "StreamError",
    "TLSError",
    "TimeoutError",
    "TooLargeError",
]

#: Where the public names are.
_MODULES = {
    "engine.errors": (
        "AddressError AuthError CircuitOpenError ClosedError ConnectError DeadlineError "
        "LinkError LoggedOut ProtocolError ProxyError RedirectError ReplayError ResolveError "
        "StatusError StreamError TLSError TimeoutError TooLargeError"
    ),
    "engine.hooks": "Attempt",
    "engine.transport.download": "BodyStream",
    "engine.chain": "Chain State",
    "engine.links": "Errback Gather Link Next Readback",
    "engine.session": "CookieJar Session",
    "engine.body": "FilePart Multipart",
    "engine.stream": "HTTPStream",
    "engine.response": "Hop Response",
    "engine.limits": "Limits",
    "engine.transport.callbacks": "Progress",
    "engine.request": "Request",
    "engine.websocket.message": "SocketMessage",
    "engine.stats": "Stats",
}
if TYPE_CHECKING:
    _MODULE_OF: dict[str, str]
else:  # where type checkers would take any name for one of ours
    _MODULE_OF, __getattr__, __dir__ = lazy_names(globals(), _MODULES)

redirect_imports(__name__, MOVED)
