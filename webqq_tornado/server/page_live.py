"""Tells open pages what is new, over a WebSocket each."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from ..protocol.codes import Status
from .page_api import COOKIE, PageHandler
from .page_views import message_view
from .site import Site
from .storage import StoredMessage

__all__ = ["PING_SECONDS", "ROUTES"]

#: News that may wait for a page that does not read; it is then closed and comes again.
MAX_BACKLOG = 1000
#: Seconds between two pings of a page; one that does not answer is closed.
PING_SECONDS = 30


class LiveHandler(WebSocketHandler, PageHandler):
    """Tells an open page what is new. A `channel.Listener`."""

    account = 0
    token = ""
    remote_ip = ""

    def check_origin(self, origin: str) -> bool:
        """Only our own page."""
        return self.is_own(origin)

    def initialize(self, server: Site) -> None:
        """Called by Tornado with the route's arguments."""
        super().initialize(server)
        self.writes: set[asyncio.Future[None]] = set()

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Refuse before the handshake who is not signed in."""
        self.me()
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        """Listen."""
        self.token = self.get_cookie(COOKIE) or ""
        self.account = self.me().number
        self.remote_ip = self.request.remote_ip or ""
        self.server.pages.add(self)
        self.server.channel.add_listener(self)

    def on_close(self) -> None:
        """Listen no more."""
        self.server.pages.discard(self)
        self.server.channel.remove_listener(self)

    def on_message(self, message: str | bytes) -> None:
        """The page says nothing here; what comes all the same is dropped."""

    def tell_message(self, message: StoredMessage) -> None:
        """See `channel.Listener`."""
        view = message_view(self.server, self.account, message)
        self.push({"type": "message", "message": view})

    def tell_status(self, account: int, status: Status) -> None:
        """See `channel.Listener`."""
        self.push({"type": "status", "account": account, "status": status.value})

    def tell_typing(self, account: int) -> None:
        """See `channel.Listener`."""
        self.push({"type": "typing", "account": account})

    def tell_contacts(self) -> None:
        """See `channel.Listener`."""
        self.push({"type": "state"})

    def push(self, value: dict[str, object]) -> None:
        """Send to the page, unless it has stopped reading."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        if len(self.writes) >= MAX_BACKLOG:
            self.close(1013, "reads too slowly")
            return
        write = asyncio.ensure_future(self._write(value))
        self.writes.add(write)
        write.add_done_callback(self.writes.discard)

    async def _write(self, value: dict[str, object]) -> None:
        try:
            await self.write_message(value)
        except WebSocketClosedError:
            return  # it comes again and asks for the state


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/live", LiveHandler),)
