"""Events as server-sent events: `GET /_events` (LL connect/http.ts; NC network/http-server-sse.ts).

Each has an id; a client that comes back with ``Last-Event-ID`` goes on behind it.
"""

from __future__ import annotations

import asyncio

from tornado.iostream import StreamClosedError

from ...onebot.v11.values import id_in
from .access import AccountHandler

__all__ = ["EventsHandler"]

_LOT = 100


class EventsHandler(AccountHandler):
    """A stream of events. A connection of `OneBotAccount`."""

    has_events = True

    async def get(self, **_path: str) -> None:
        """Send events until the client goes away."""
        self.enter()
        self.check_room()
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        self._news, self._frames = asyncio.Event(), [self.bot.lifecycle()]
        self._is_open = True
        self.bot.connections.add(self)
        try:
            await self._stream()
        except StreamClosedError:
            pass
        finally:
            self.bot.connections.discard(self)

    async def _stream(self) -> None:
        target, newest = self.bot.target("sse"), self.bot.newest
        last = self.request.headers.get("Last-Event-ID", "")
        after = min(id_in(last), newest) or target.cursor
        while self._is_open:
            for frame in self._frames:
                self.write(f"data: {frame}\n\n")
            self._frames.clear()
            events = self.bot.events(after, _LOT)
            for event in events:
                text = self.bot.text_of(event, is_late=event.id <= newest)
                self.write(f"id: {event.id}\ndata: {text}\n\n" if text else "")
                after = event.id
            await self.flush()
            target.confirm(after)
            if not events:
                await self._news.wait()
                self._news.clear()

    def on_connection_close(self) -> None:
        """The client has gone."""
        super().on_connection_close()
        if hasattr(self, "_news"):
            self.leave()

    @property
    def is_open(self) -> bool:
        """See `account.Connection`."""
        return self._is_open

    def wake(self) -> None:
        """See `account.Connection`."""
        self._news.set()

    def say(self, text: str) -> None:
        """See `account.Connection`."""
        self._frames.append(text)
        self._news.set()

    def leave(self) -> None:
        """See `account.Connection`."""
        self._is_open = False
        self._news.set()
