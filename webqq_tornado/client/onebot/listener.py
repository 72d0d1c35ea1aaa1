"""A listener for implementations that connect to us: reverse WebSockets, and events by POST."""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ...onebot.v11.actions import Answer, build_call
from ...onebot.v11.tokens import Role, Upgrade, Verdict, check_token, has_signature, token_in
from ...onebot.v11.values import Fields, load
from .frames import Frames, log_dropped
from .transport import NotConnected, PendingCalls, Receiver

if TYPE_CHECKING:
    from .http import PostedEvents

__all__ = ["Listener", "ReverseSocket"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Bytes of a frame or body; as for a forward WebSocket.
_MAX_FRAME = 64 * 2**20
#: Seconds between WebSocket pings.
_PING = 20
#: Close codes: a policy, and a newer connection in the place of this one.
_POLICY, _REPLACED = 1008, 1000


class Listener:
    """A port for any number of accounts, told apart by ``X-Self-ID``.

    Every path is taken, as each framework has another and all settings pages show theirs.

    Args:
        address: to listen on. Off this machine only with a token.
        port: 0 takes a free one; see `port`.
        token: that implementations must show; for events by POST, the secret of their signature.

    Raises:
        ValueError: it would listen for everybody, without a token.

    Example:
        >>> listener = Listener("127.0.0.1", 8080, "secret")
        >>> account = OneBotAccount(stream, listener.reverse())
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 8080, token: str = "") -> None:
        if not token and not _is_loopback(address):
            raise ValueError(
                f"listening on {address} without a token lets anybody drive the bot: give a token,"
                " or listen on 127.0.0.1"
            )
        self.address, self.port, self.token = address, port, token
        self._server: HTTPServer | None = None
        self.sockets: list[ReverseSocket] = []
        self.posts_to: list[PostedEvents] = []

    def reverse(self, account: int = 0) -> ReverseSocket:
        """A reverse WebSocket for one account.

        Args:
            account: QQ number; 0 for the first that connects and is nobody else's.
        """
        transport = ReverseSocket(self, account)
        self.sockets.append(transport)
        return transport

    def open(self) -> None:
        """Listen, if it does not yet.

        Raises:
            OSError: the port is taken.
        """
        if self._server is None:
            application = Application(
                [(r".*", _Door, {"listener": self})],
                websocket_ping_interval=_PING,
                websocket_max_message_size=_MAX_FRAME,
                log_function=_log_nothing,
            )
            server = HTTPServer(application, max_body_size=_MAX_FRAME)
            sockets = bind_sockets(self.port, self.address)
            self.port = sockets[0].getsockname()[1]
            server.add_sockets(sockets)
            self._server = server

    def close(self) -> None:
        """Listen no more, once no account does."""
        everyone: list[ReverseSocket | PostedEvents] = [*self.sockets, *self.posts_to]
        if any(one.is_started for one in everyone):
            return
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def socket_for(self, account: int) -> ReverseSocket | None:
        """The transport of an account: its own, else one that has none yet.

        Args:
            account: QQ number.
        """
        return _chosen(self.sockets, account)

    def posts_for(self, account: int) -> PostedEvents | None:
        """Likewise, for events by POST.

        Args:
            account: QQ number.
        """
        return _chosen(self.posts_to, account)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _log_nothing(_handler: RequestHandler) -> None:
    """The URL may have the token in its query."""


_Way = TypeVar("_Way", "ReverseSocket", "PostedEvents")


def _chosen(transports: list[_Way], account: int) -> _Way | None:
    started = [one for one in transports if one.is_started]
    own = next((one for one in started if one.account == account), None)
    return own or next((one for one in started if not one.account), None)


class _Door(WebSocketHandler):
    """One connection: an upgrade, or a POST."""

    def initialize(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: ReverseSocket | None = None
        self.role = Role.UNIVERSAL

    def data_received(self, chunk: bytes) -> None:
        """Nothing is streamed."""

    async def get(self, *args: Any, **kwargs: Any) -> None:
        header = self.request.headers.get("Authorization", "")
        token = token_in(header, self.get_query_argument("access_token", ""))
        verdict = check_token(self._listener.token, token)
        upgrade = None
        if verdict is not Verdict.OK:
            logger.warning("refused a reverse WebSocket of %s: its token is %s",
                           self.request.remote_ip, verdict.name.lower())  # fmt: skip
            self.set_status(verdict.value)
            self.finish("the token is missing or wrong")
            return
        try:
            headers = self.request.headers
            upgrade = Upgrade.parse(headers.get("X-Self-ID", ""), headers.get("X-Client-Role", ""))
        except ValueError as error:
            self.set_status(400)
            self.finish(str(error))
            return
        self._transport = self._listener.socket_for(upgrade.self_id)
        if self._transport is None:
            logger.warning("refused a reverse WebSocket of account %d, which is not served here",
                           upgrade.self_id)  # fmt: skip
            self.set_status(403)
            self.finish(f"account {upgrade.self_id} is not served here")
            return
        self.role, self._self_id = upgrade.role, upgrade.self_id
        await super().get(*args, **kwargs)

    def open(self, *_args: str, **_kwargs: str) -> None:
        if self._transport is not None:
            self._transport.take(self, self._self_id)

    def on_message(self, message: str | bytes) -> None:
        if self._transport is not None:
            self._transport.read(self, message)

    def on_close(self) -> None:
        if self._transport is not None:
            self._transport.leave(self, self.close_reason or f"closed with {self.close_code}")

    def post(self, *_args: str) -> None:
        listener, headers = self._listener, self.request.headers
        body = self.request.body
        signature = headers.get("X-Signature", "")
        verdict = has_signature(listener.token, body, signature)
        if verdict is not Verdict.OK:
            logger.warning("refused an event by POST of %s: its signature is %s",
                           self.request.remote_ip, verdict.name.lower())  # fmt: skip
            self.set_status(verdict.value)
            return
        number = headers.get("X-Self-ID", "")
        account = int(number) if number.isascii() and number.isdecimal() else 0
        transport = listener.posts_for(account)
        if transport is None:
            self.set_status(403)
            return
        try:
            transport.take(load(body))
        except ValueError as error:
            log_dropped(transport.name, error, body)
            self.set_status(400)
            return
        self.set_status(204)


class ReverseSocket:
    """The WebSockets that an implementation opens to us for one account; made by `Listener`.

    Args:
        listener: where.
        account: QQ number, or 0.
    """

    can_call = True
    has_events = True

    def __init__(self, listener: Listener, account: int = 0) -> None:
        self._listener, self.account = listener, account
        self.is_open = self.is_started = False
        self._doors: dict[Role, _Door] = {}
        self._calls = PendingCalls()
        self._receiver: Receiver | None = None

    def __repr__(self) -> str:
        return f"<ReverseSocket {self.name}{'' if self.is_open else ' (not connected)'}>"

    @property
    def name(self) -> str:
        """The address to put into the implementation's settings."""
        return f"ws://{self._listener.address}:{self._listener.port}/onebot/v11/ws"

    def start(self, receiver: Receiver) -> None:
        """See `Transport`."""
        self._receiver, self.is_started = receiver, True
        self._listener.open()

    def close(self) -> None:
        """See `Transport`."""
        self._receiver, self.is_started = None, False
        self.restart("left")
        self._listener.close()

    def restart(self, why: str) -> None:
        """See `Transport`: the implementation connects again by itself."""
        for door in tuple(self._doors.values()):
            door.close(_REPLACED, why[:100])
            self.leave(door, why)

    async def call(self, action: str, params: Fields, timeout: float) -> Answer:
        """See `Transport`."""
        door = self._doors.get(Role.UNIVERSAL) or self._doors.get(Role.API)
        if door is None:
            raise NotConnected(action, why=f"no implementation is connected to {self.name}")
        echo, future = self._calls.new()
        try:
            await door.write_message(build_call(action, params, echo))
        except WebSocketClosedError as error:
            future.cancel()
            raise NotConnected(action, why="the connection is closed") from error
        return await self._calls.answer(action, future, timeout)

    def take(self, door: _Door, account: int) -> None:
        """A connection is there; it takes the place of an older one of its kind.

        Args:
            door: the connection.
            account: that it is of.
        """
        self.account = self.account or account
        old = self._doors.get(door.role)
        self._doors[door.role] = door
        if old is not None:
            old.close(_REPLACED, "a newer connection has come")
            self._calls.fail()
        receiver = self._receiver
        if receiver is not None and self._is_complete():
            if old is not None and self.is_open:
                receiver.on_lost(self, "a newer connection has come", None)
            self.is_open = True
            receiver.on_open(self)

    def _is_complete(self) -> bool:
        kinds = set(self._doors)
        return Role.UNIVERSAL in kinds or {Role.API, Role.EVENT} <= kinds

    def read(self, door: _Door, message: str | bytes) -> None:
        """A frame has come.

        Args:
            door: over which connection.
            message: the frame.
        """
        receiver = self._receiver
        if receiver is not None and self._doors.get(door.role) is door:
            frames = Frames(
                self.name,
                self._calls,
                lambda event: receiver.receive(self, event),
                lambda answer: logger.debug("%s: %s", self.name, answer),
            )
            frames.read(message)

    def leave(self, door: _Door, why: str) -> None:
        """A connection is gone.

        Args:
            door: which.
            why: in words.
        """
        if self._doors.get(door.role) is not door:
            return
        del self._doors[door.role]
        self._calls.fail()
        if self.is_open and not self._is_complete():
            self.is_open = False
            if self._receiver is not None:
                self._receiver.on_lost(self, why, None)
