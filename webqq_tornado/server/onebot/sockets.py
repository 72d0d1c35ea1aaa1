"""Forward WebSockets: `/` for events and actions, `/event` and `/api` for one of them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from .access import AccountHandler
from .action_queue import ActionQueue
from .feed import Feed

if TYPE_CHECKING:
    from .service import OneBotState

__all__ = ["SocketHandler"]

logger = logging.getLogger("webqq_tornado.server")

#: Bytes of a frame: pictures travel in it as base64 (NC takes 50 MiB).
MAX_FRAME = 48 * 1024**2


class SocketHandler(WebSocketHandler, AccountHandler):
    """One connection of an application. A connection of `OneBotAccount`."""

    has_events = True

    def initialize(self, server: OneBotState, number: int = 0) -> None:  # type: ignore[override]
        """Called by Tornado with the route's arguments."""
        super().initialize(server, number)
        self._feed: Feed | None = None
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._actions: ActionQueue | None = None

    @property
    def max_message_size(self) -> int:
        """Bytes of a frame."""
        return MAX_FRAME

    def check_origin(self, origin: str) -> bool:
        """True: `enter` has looked."""
        return True

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Check who comes before the handshake."""
        self.enter()
        self.check_room()
        await super().get(*args, **kwargs)

    def open(self, *_args: str, **path: str) -> None:
        """Say who we are, then what has happened."""
        where = (path.get("where") or "").strip("/").lower()
        self.has_events = where != "api"
        stream = getattr(self.ws_connection, "stream", None)
        if stream is not None:
            stream.max_buffer_size = 2 * MAX_FRAME
        if where != "event":
            self._actions = ActionQueue(self.bot, self._write)
        self.bot.connections.add(self)
        logger.info("an application is connected to %d", self.bot.number)
        if self.has_events:
            self.say(self.bot.lifecycle())
            target = self.bot.target("forward")
            self._feed = Feed(self.bot, target, self.bot.newest, self.say, self._ping)
            self._feed.wake()

    def on_close(self) -> None:
        """Stop: what was not confirmed goes out on the next connection."""
        if self._feed is not None:
            self._feed.close()
        for answered in self._pings.values():
            answered.cancel()
        if self._actions is not None:
            self._actions.close()
        bot = getattr(self, "bot", None)
        if bot is not None:
            bot.connections.discard(self)
            logger.info("an application has left %d", bot.number)

    # -- events ---------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """See `account.Connection`."""
        return self.ws_connection is not None

    def wake(self) -> None:
        """See `account.Connection`."""
        if self._feed is not None:
            self._feed.wake()

    def say(self, text: str) -> None:
        """See `account.Connection`."""
        with suppress(WebSocketClosedError):
            self._write(text)

    def _write(self, text: str) -> asyncio.Future[None]:
        written = asyncio.ensure_future(self.write_message(text))
        written.add_done_callback(_hear)
        return written

    def leave(self) -> None:
        """See `account.Connection`."""
        self.close(1001, "the server restarts")

    def _ping(self) -> asyncio.Future[None]:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        payload = b"e%d" % next(self._numbers)
        self._pings[payload] = answered
        try:
            self.ping(payload)
        except WebSocketClosedError:
            answered.cancel()
        return answered

    def on_pong(self, data: bytes) -> None:
        """Note that all before its ping has been read."""
        if data not in self._pings:
            return
        for payload in list(self._pings):
            answered = self._pings.pop(payload)
            if not answered.done():
                answered.set_result(None)
            if payload == data:
                return

    # -- actions --------------------------------------------------------------------------------

    async def on_message(self, message: str | bytes) -> None:
        """Do an action; others need not wait for it, unless there are very many."""
        if self._actions is not None:
            await self._actions.take(message)


def _hear(written: asyncio.Future[None]) -> None:
    if not written.cancelled():
        written.exception()  # the connection has ended: nothing was confirmed
