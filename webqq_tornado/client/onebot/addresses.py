"""URLs of implementations: which way to take is in the scheme.

=================================  ============================================================
``ws://HOST:3001``, ``wss://``     forward WebSocket: we connect (NC: WebSocket server)
``reverse://HOST:PORT``            reverse WebSocket: we listen there (NC: WebSocket client)
``http://HOST:3000``, ``https://`` actions by HTTP, events by SSE (NC: HTTP SSE server)
``http+poll://HOST:5700``          actions by HTTP, events by long poll (GC)
``http+post://HOST:5700?listen=P`` actions by HTTP, events by POST to our port P or ADDRESS:P
=================================  ============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

from .http import LongPoll, PostedEvents, ServerSentEvents
from .listener import Listener
from .sockets import ForwardSocket
from .transport import Transport

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["SCHEMES", "transport_of"]

#: Schemes of URLs that are taken.
SCHEMES = (
    *("ws", "wss", "reverse", "http", "https"),
    *("http+poll", "https+poll", "http+post", "https+post"),
)


def transport_of(
    stream: HTTPStream,
    url: str,
    token: str = "",
    account: int = 0,
    listeners: dict[int, Listener] | None = None,
) -> Transport:
    """The way that a URL means.

    Args:
        stream: carries what goes out.
        url: see above.
        token: of the implementation.
        account: QQ number, where several share a port of ours; 0 for any.
        listeners: ports of ours, by number, that accounts share; a new one is added.

    Raises:
        ValueError: it is no such URL; says what is.

    Example:
        >>> transport_of(stream, "ws://127.0.0.1:3001")
        <ForwardSocket ws://127.0.0.1:3001/ (not connected)>
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"OneBot URL {_shown(url)!r}: give one that begins with {_BEGINNINGS}")
    if scheme in ("ws", "wss"):
        return ForwardSocket(stream, url.strip(), token)
    if scheme == "reverse":
        return _listener(listeners, parts.hostname, _port(parts.port, url), token).reverse(account)
    plain, _, events = scheme.partition("+")
    base = urlunsplit((plain, parts.netloc, parts.path, "", ""))
    if events == "poll":
        return LongPoll(stream, base, token)
    if events == "post":
        address, port = _listens(parts.query, url)
        listener = _listener(listeners, address, port, token)
        return PostedEvents(listener, stream, base, token, account)
    return ServerSentEvents(stream, base, token)


def _listener(
    listeners: dict[int, Listener] | None, address: str, port: int, token: str
) -> Listener:
    """The listener of a port; one that is shared has one token.

    Raises:
        ValueError: it would have two.
    """
    listener = listeners.get(port) if listeners is not None and port else None
    if listener is None:
        listener = Listener(address, port, token)
        if listeners is not None and port:
            listeners[port] = listener
    if listener.token != token:
        raise ValueError(f"port {port} is to have two tokens: give accounts on it the same one")
    return listener


_BEGINNINGS = "ws://, wss://, reverse://, http://, http+poll:// or http+post://"


def _shown(url: str) -> str:
    """A URL without what may be a token."""
    return url.partition("?")[0]


def _port(port: int | None, url: str) -> int:
    if port is None:
        raise ValueError(f"OneBot URL {_shown(url)!r}: give the port to listen on")
    return port


def _listens(query: str, url: str) -> tuple[str, int]:
    given = parse_qs(query).get("listen", [""])[0]
    address, _, port = given.rpartition(":")
    if not port.isdecimal():
        raise ValueError(f"OneBot URL {_shown(url)!r}: add ?listen=PORT, where events are posted")
    return address.strip("[]") or "127.0.0.1", int(port)
