"""Events for open pages, over a WebSocket each."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from tornado import escape
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ...protocol.codes import Status
from ..state import ServerState
from ..storage import StoredMessage
from .api import PageHandler, refuse
from .views import message_view

__all__ = ["MAX_RECEIVED", "PING_SECONDS", "ROUTES"]

#: Events, and bytes of them, that may wait for a page that does not read. Beyond that, the
#: connection is closed; the page reconnects when it reads again.
MAX_BACKLOG, MAX_BACKLOG_BYTES = 1000, 1024 * 1024
#: Pages that an account may have open at once.
MAX_PAGES = 20
#: Largest message from a page, in bytes: pages send none.
MAX_RECEIVED = 4096
#: Seconds between two events to reload the state; changes in between are one event.
STATE_SECONDS = 1.0
#: Prefix of the token as a subprotocol.
_TOKEN_PREFIX = "token."  # noqa: S105 - no secret
#: Seconds between two pings of a page; one that does not answer is closed.
PING_SECONDS = 30


class LiveHandler(WebSocketHandler, PageHandler):
    """Sends events to an open page. A `hub.Listener`."""

    account = 0
    token = ""
    remote_ip = ""

    @property
    def credential(self) -> str:
        """The session's token, from the only header of a handshake that a script can set."""
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")
        named = (
            each.strip().removeprefix(_TOKEN_PREFIX) for each in offered if _TOKEN_PREFIX in each
        )
        return next(named, "") or super().credential

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Accept the offered subprotocol: a browser drops a connection without one."""
        return next((each for each in subprotocols if each.startswith(_TOKEN_PREFIX)), None)

    def check_origin(self, origin: str) -> bool:
        """Accept only our own page."""
        return self.is_own(origin)

    def initialize(self, server: ServerState) -> None:
        """Called by Tornado with the route's arguments."""
        super().initialize(server)
        self._waiting = self._waiting_bytes = 0
        self._reported_state = -STATE_SECONDS
        self._later: asyncio.TimerHandle | None = None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Refuse, before the handshake, requests without a session and those beyond `MAX_PAGES`."""
        self._check_handshake()
        account = self.me().number
        if sum(page.account == account for page in self.server.pages) >= MAX_PAGES:
            refuse(429, f"You have {MAX_PAGES} pages open: close one of them")
        await super().get(*args, **kwargs)

    def _check_handshake(self) -> None:
        """Refuse, with a reason in JSON, a handshake that Tornado would refuse without one.

        Raises:
            Refusal: 403, it is from another page; 426, it is not a handshake.
        """
        headers = self.request.headers
        is_upgrade = "upgrade" in headers.get("Connection", "").lower()
        is_socket = headers.get("Upgrade", "").lower() == "websocket"
        if not (is_upgrade and is_socket and headers.get("Sec-WebSocket-Version") == "13"):
            refuse(426, "Open this address as a WebSocket, version 13")
        if "Origin" in headers and not self.is_own(headers["Origin"]):
            refuse(403, "Requests from other pages are refused")

    def open(self, *args: str, **kwargs: str) -> None:
        """Register as a listener."""
        self.token = self.credential
        self.account = self.me().number
        self.remote_ip = self.request.remote_ip or ""
        self.server.pages.add(self)
        self.server.hub.add_listener(self)

    def on_close(self) -> None:
        """Unregister the listener."""
        if self._later is not None:
            self._later.cancel()
        self.server.pages.discard(self)
        self.server.hub.remove_listener(self)

    def on_message(self, message: str | bytes) -> None:
        """Ignore a message: pages send none."""

    def notify_message(self, message: StoredMessage) -> None:
        """See `hub.Listener`."""
        view = message_view(self.server, self.account, message)
        self.push({"type": "message", "message": view})

    def notify_status(self, account: int, status: Status) -> None:
        """See `hub.Listener`."""
        self.push({"type": "status", "account": account, "status": status.value})

    def notify_typing(self, account: int) -> None:
        """See `hub.Listener`."""
        self.push({"type": "typing", "account": account})

    def notify_change(self, message: StoredMessage) -> None:
        """See `hub.Listener`."""
        view = message_view(self.server, self.account, message)
        self.push({"type": "changed", "message": view})

    def notify_poke(self, sender: int, target: int, group: int) -> None:
        """See `hub.Listener`."""
        self.push({"type": "poke", "from": sender, "to": target, "group": group})

    def notify_contacts(self) -> None:
        """See `hub.Listener`. Changes within `STATE_SECONDS` are one event."""
        if self._later is None:
            loop = asyncio.get_running_loop()
            when = max(self._reported_state + STATE_SECONDS, loop.time())
            self._later = loop.call_at(when, self._report_state)

    def _report_state(self) -> None:
        self._later, self._reported_state = None, asyncio.get_running_loop().time()
        self.push({"type": "state"})

    def push(self, value: dict[str, object]) -> None:
        """Send to the page, unless it has stopped reading."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        text = escape.json_encode(value)
        size = len(text)  # in ASCII: as many bytes
        if self._waiting >= MAX_BACKLOG or self._waiting_bytes + size > MAX_BACKLOG_BYTES:
            self.close(1013, "reads too slowly")
            return
        try:
            written = asyncio.ensure_future(self.write_message(text))
        except WebSocketClosedError:
            return  # the page reconnects and reloads the state
        self._waiting, self._waiting_bytes = self._waiting + 1, self._waiting_bytes + size
        written.add_done_callback(functools.partial(self._on_written, size))

    def _on_written(self, size: int, written: asyncio.Future[None]) -> None:
        self._waiting, self._waiting_bytes = self._waiting - 1, self._waiting_bytes - size
        if not written.cancelled():
            written.exception()  # the connection has ended: the page reconnects


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/live", LiveHandler),)
