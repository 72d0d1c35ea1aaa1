"""Web sockets as links: `ws://` and `wss://`, each message to the reader.

The protocol (RFC 6455, with permessage-deflate and pings) is Tornado's, on the same loop; it has
its own connections, and no proxies. A reader that has not finished holds the sender.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import certifi
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.websocket import (
    WebSocketClientConnection,
    WebSocketClosedError,
    WebSocketError,
    WebSocketProtocol,
    websocket_connect,
)

from .chain import Chain, Link, State
from .errors import (
    ClosedError,
    ConnectError,
    LoggedOut,
    ProtocolError,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    safe_url,
)
from .request import Request
from .response import Response
from .session import Session

__all__ = ["Partings", "SocketMessage", "Talk"]

#: Close codes of a conversation that has ended as it should (RFC 6455, 7.4.1).
_PEACEFUL = frozenset({1000, 1001, 1005})
_GOING_AWAY = 1001
#: Codes that stand for what was not said, and can not be.
_NEVER_SENT = frozenset({1004, 1005, 1006, 1015})
_MAX_REASON = 123  # bytes
_UNAUTHORIZED = 401
#: Seconds between pings, unless the request says otherwise; as long to wait for the answer.
_PING_INTERVAL = 30.0
#: What Tornado's web sockets have not, and a request must not be sent without.
_LACKING = (
    "proxy",
    "unix_socket",
    "network_interface",
    "local_port",
    "resolve",
    "doh_url",
    "tls_min_version",
    "tls_max_version",
    "tls_ciphers",
    "tls13_ciphers",
    "pinned_public_key",
    "client_key_password",
    "prepare_curl",
)


class SocketMessage(NamedTuple):
    """What the reader of a web socket's link gets.

    Args:
        data: text, or bytes of a binary message.
        chain: whose it is: `chain.send` answers.

    Example:
        >>> def read(message):
        ...     message.reply(message.data.upper())
        >>> stream.add_request("ws://example.org/chat", read)
    """

    data: str | bytes
    chain: Chain

    def json(self) -> Any:
        """The data as JSON.

        Raises:
            ValueError: it is not.
        """
        return json.loads(self.data)

    def reply(self, data: str | bytes) -> asyncio.Future[None]:
        """`Chain.send` of its chain.

        Args:
            data: the message.
        """
        return self.chain.send(data)


class Sender(Protocol):
    """What it needs of the runner."""

    def take(self, chain: Chain, result: Response | Exception) -> None:
        """Read the response, or deal with the error."""

    def fail(self, chain: Chain, error: Exception) -> None:
        """The link ended with an error."""

    def follow(
        self, chain: Chain, result: object, origin: object, response: Response | None
    ) -> None:
        """Do what a reader's result says."""

    def leave_socket(self, chain: Chain) -> None:
        """The chain's socket is closed."""

    def cancel(self, chain: Chain) -> bool:
        """End the chain now."""

    def on_socket_open(self, chain: Chain, response: Response) -> None:
        """The handshake is done."""


class Partings:
    """Web sockets that wait for the server's goodbye: for 5 s, says Tornado."""

    def __init__(self) -> None:
        self._protocols: list[WebSocketProtocol] = []
        self._is_cut_short = False

    def begin(
        self, connection: WebSocketClientConnection, protocol: WebSocketProtocol | None
    ) -> None:
        """Say goodbye, unless that was said.

        Args:
            connection: which forgets its protocol when it closes.
            protocol: that it had.
        """
        connection.close(_GOING_AWAY)
        self._protocols = [one for one in self._protocols if not _is_closed(one)]
        if protocol is not None and not _is_closed(protocol):
            self._protocols.append(protocol)
        if self._is_cut_short:
            self.cut_short()

    def begin_late(self, connecting: asyncio.Future[WebSocketClientConnection]) -> None:
        """Say goodbye to one whose handshake has ended after its chain."""
        if not connecting.cancelled() and connecting.exception() is None:
            connection = connecting.result()
            self.begin(connection, connection.protocol)

    def cut_short(self) -> None:
        """Wait no longer, for none that come either."""
        self._is_cut_short = True
        for protocol in self._protocols:
            if protocol.stream is not None:
                protocol.stream.close()
        self._protocols.clear()


def _is_closed(protocol: WebSocketProtocol) -> bool:
    return protocol.stream is None or protocol.stream.closed()


class Talk:
    """One web socket: the link of a chain, from its handshake to its close.

    Args:
        runner: of the chain.
        chain: whose link it is.
        defaults: of requests.
        partings: where it goes in the end.
    """

    def __init__(
        self, runner: Sender, chain: Chain, defaults: Mapping[str, Any], partings: Partings
    ) -> None:
        self._runner = runner
        self._partings = partings
        self._chain = chain
        self._request: Request = chain._signed or chain._request
        self._shown_request: Request = chain._request  # without credentials, for readers
        self._readback = chain._readback
        self._defaults = defaults
        self._connection: WebSocketClientConnection | None = None
        self._protocol: WebSocketProtocol | None = None  # of it
        #: Payloads, whether they are binary, and who waits; until the last of them is sent all
        #: others get in line, too.
        self._unsent: deque[tuple[bytes, bool, asyncio.Future[None]]] = deque()
        self._closing: tuple[int, str] | None = None

    # -- for the chain --------------------------------------------------------------------------

    def send(self, data: str | bytes) -> asyncio.Future[None]:
        """Send a message, or keep it until the handshake is done."""
        if not isinstance(data, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {type(data).__name__}")
        if self._closing is not None:
            raise self._closed("it is being closed")
        payload, is_binary = (data.encode(), False) if isinstance(data, str) else (data, True)
        sent: asyncio.Future[None]
        if self._connection is None or self._unsent:
            sent = asyncio.get_running_loop().create_future()
            self._unsent.append((payload, is_binary, sent))
        else:
            sent = asyncio.ensure_future(self._send(self._connection, payload, is_binary))
        sent.add_done_callback(_hear)
        return sent

    async def _send(
        self, connection: WebSocketClientConnection, payload: bytes, is_binary: bool
    ) -> None:
        try:
            await connection.write_message(payload, binary=is_binary)
        except (WebSocketClosedError, StreamClosedError) as error:
            raise self._closed("the server has closed it") from error

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; the chain ends, or goes on, when the server has answered.

        Raises:
            ValueError: that can not be said.
        """
        if not 1000 <= code <= 4999 or code in _NEVER_SENT:
            raise ValueError(f"a web socket is not closed with {code}, but with 1000 to 4999")
        if len(reason.encode()) > _MAX_REASON:
            raise ValueError(f"the reason for closing has more than {_MAX_REASON} bytes")
        self._closing = code, reason
        if self._connection is not None and not self._unsent:
            self._connection.close(code, reason)

    def abandon(self) -> None:
        """The chain has ended."""
        if self._connection is not None:
            self._partings.begin(self._connection, self._protocol)
        while self._unsent:
            _, _, sent = self._unsent.popleft()
            if not sent.done():
                sent.set_exception(self._closed("its chain went on or has ended"))

    # -- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handshake, messages, close."""
        chain = self._chain
        try:
            self._connection = await self._connect()
            self._protocol = self._connection.protocol
        except asyncio.CancelledError:
            self._runner.cancel(chain)
            raise
        except Exception as error:
            self._leave()
            if not chain.done:
                self._runner.take(chain, self._error(error))
            return
        chain.state = State.READING
        try:
            self._note_handshake(self._connection)
            # Who is told of that may have ended it.
            link = None if chain.done else await self._converse(self._connection)
        except asyncio.CancelledError:
            self._runner.cancel(chain)
            raise
        except Exception as error:
            self._leave()
            if chain.state is State.READING:
                self._runner.fail(chain, error)
            return
        self._leave()
        if chain.state is State.READING:
            self._runner.follow(chain, link, self._readback, None)

    def _leave(self) -> None:
        self.abandon()
        self._chain._task = None
        self._runner.leave_socket(self._chain)

    async def _connect(self) -> WebSocketClientConnection:
        lacking = [name for name in _LACKING if self._setting(name) not in (None, "")]
        if self._setting("auth_mode") != "basic":  # the password would go in clear
            lacking.append("auth_mode")
        if lacking:
            raise ValueError(f"{self._shown}: a web socket can not have {', '.join(lacking)}")
        limit = self._setting("max_body_size") or 2**62
        deflates = self._setting("decompress_response")
        interval = self._request.ping_interval
        connecting = asyncio.ensure_future(
            websocket_connect(
                self._http_request(self._chain.session),
                compression_options={} if deflates else None,
                ping_interval=_PING_INTERVAL if interval is None else interval or None,
                max_message_size=limit,
                subprotocols=list(self._request.subprotocols) or None,
            )
        )
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # There is no way to call it off.
            connecting.add_done_callback(self._partings.begin_late)
            raise

    def _note_handshake(self, connection: WebSocketClientConnection) -> None:
        session, url = self._chain.session, self._request.url
        pairs = [] if connection.headers is None else list(connection.headers.get_all())
        if session.keeps_cookies:
            for name, value in pairs:
                if name.lower() == "set-cookie":
                    session.cookiejar.take(value, url)
        lines = [f"{name}: {value}\r\n".encode("latin-1", "replace") for name, value in pairs]
        head = [b"HTTP/1.1 101 Switching Protocols\r\n", *lines, b"\r\n"]
        self._runner.on_socket_open(self._chain, Response(self._request, 101, url, head, b"", ()))

    def _setting(self, name: str) -> Any:
        value = getattr(self._request, name)
        return self._defaults.get(name) if value is None else value

    def _http_request(self, session: Session) -> HTTPRequest:
        request = self._request
        headers = dict(request.header_pairs)
        headers.setdefault("User-Agent", self._setting("user_agent"))
        cookies = session.cookiejar.header_for(request.url)
        if cookies:
            headers.setdefault("Cookie", cookies)
        same = ("connect_timeout", "validate_cert", "auth_username", "auth_password")
        return HTTPRequest(
            request.url,
            headers=headers,
            request_timeout=self._setting("connect_timeout"),  # of the handshake
            ca_certs=self._setting("ca_certs") or certifi.where(),
            client_cert=self._setting("client_cert"),
            client_key=self._setting("client_key"),
            **{name: self._setting(name) for name in same},
        )

    async def _converse(self, connection: WebSocketClientConnection) -> Link:
        # Beside the reader: a server may take no more until what it says is heard.
        sending = asyncio.ensure_future(self._send_waiting(connection))
        try:
            return await self._read(connection)
        finally:
            sending.cancel()

    async def _send_waiting(self, connection: WebSocketClientConnection) -> None:
        """Send what had to wait for the handshake, and what came behind it."""
        while self._unsent:
            payload, is_binary, sent = self._unsent[0]
            try:
                await self._send(connection, payload, is_binary)
            except ClosedError:
                return  # the reader hears more of why; `abandon` tells who waits
            self._unsent.popleft()
            if not sent.done():
                sent.set_result(None)
        if self._closing is not None:
            connection.close(*self._closing)

    async def _read(self, connection: WebSocketClientConnection) -> Link:
        while (message := await connection.read_message()) is not None:
            if self._readback is None:
                continue
            result: Any = self._readback(SocketMessage(message, self._chain))  # type: ignore[arg-type]
            if inspect.isawaitable(result):
                result = await result
            if result is not None:
                return result
        if connection.close_code not in _PEACEFUL and self._closing is None:
            why = f"code {connection.close_code or 1006} {connection.close_reason or ''}".rstrip()
            raise ProtocolError(f"{self._shown}: the web socket broke off ({why})", **self._where)
        return None

    # -- errors ---------------------------------------------------------------------------------

    @property
    def _shown(self) -> str:
        return f"GET {safe_url(self._request.url)}"

    @property
    def _where(self) -> dict[str, Any]:
        return {"request": self._shown_request}

    def _closed(self, why: str) -> ClosedError:
        return ClosedError(f"{self._shown}: nothing can be sent: {why}", **self._where)

    def _error(self, error: Exception) -> Exception:
        """Ours for Tornado's."""
        if isinstance(error, HTTPTimeoutError):
            return TimeoutError(f"{self._shown}: {error}; raise connect_timeout=", **self._where)
        if isinstance(error, HTTPClientError):
            # With credentials it is for these to get better ones, as after any other answer.
            is_refused = error.code == _UNAUTHORIZED and self._chain.session.auth is not None
            why = f"the server refused the web socket: {error}"
            return (LoggedOut if is_refused else ProtocolError)(
                f"{self._shown}: {why}", **self._where
            )
        for theirs, ours in _ERRORS:
            if isinstance(error, theirs):
                return ours(f"{self._shown}: no web socket: {error}", **self._where)
        return error


#: Subclasses before their bases.
_ERRORS: tuple[tuple[type[Exception], type[StreamError]], ...] = (
    (ssl.SSLError, TLSError),
    (socket.gaierror, ResolveError),
    (StreamClosedError, ProtocolError),
    (WebSocketError, ProtocolError),
    (OSError, ConnectError),
)


def _hear(sent: asyncio.Future[None]) -> None:
    """Whoever does not wait for what was sent need not hear what became of it."""
    if not sent.cancelled():
        sent.exception()
