"""Events on their way to an application: none is lost on a cut, and a slow reader delays nobody.

Events lie in the store until the application has them, each application with a cursor of its own.
A message that was handed to the network was not read yet, so behind each lot goes a ping, and its
pong moves the cursor: a WebSocket's other side answers pings in order. What no pong has confirmed
when a connection ends goes out again on the next one, marked ``late``, and so does what happened
while there was none. A reader that does not keep up gets no more than a window; the rest waits on
disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..storage import LoggedEvent

__all__ = ["Feed", "Source", "Target"]

#: Events and characters that may be on their way, unconfirmed; and events of one lot.
_WINDOW, _WINDOW_SIZE, _LOT = 1000, 4 * 1024**2, 100


class Source(Protocol):
    """An account's events."""

    def events(self, after: int, limit: int) -> list[LoggedEvent]:
        """Those that follow one, oldest first."""

    def text_of(self, event: LoggedEvent, *, is_late: bool) -> str:
        """An event as JSON; empty for one that is not reported."""


class Target:
    """An application, which may have several connections, or none.

    Args:
        name: in the store.
        cursor: the last event that it has.
        note: stores under its name that the cursor has moved.
    """

    __slots__ = ("_note", "cursor", "name")

    def __init__(self, name: str, cursor: int, note: Callable[[str, int], None]) -> None:
        self.name = name
        self.cursor = cursor
        self._note = note

    def confirm(self, event: int) -> None:
        """Note that it has all events up to this one."""
        if event > self.cursor:
            self.cursor = event
            self._note(self.name, event)


class Feed:
    """One connection of an application that gets events.

    Args:
        source: of the events.
        target: whose connection it is.
        newest: id of the last event when it was opened: those up to there are late.
        send: hands a text to the network.
        ping: sends a ping behind it; the future is done when the pong comes.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        newest: int,
        send: Callable[[str], object],
        ping: Callable[[], asyncio.Future[None]],
    ) -> None:
        self._source = source
        self._target = target
        self._newest = newest
        self._send = send
        self._ping = ping
        self._sent = target.cursor
        self._unconfirmed: deque[tuple[int, int, int]] = deque()  # last id, events, characters
        self._is_open = True
        self._is_scheduled = False

    def wake(self) -> None:
        """There are new events: they go out at the end of this turn of the loop."""
        if self._is_open and not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def close(self) -> None:
        """Send no more; what was not confirmed goes out on the next connection."""
        self._is_open = False

    def _run(self) -> None:
        self._is_scheduled = False
        while self._is_open and self._has_room():
            events = self._source.events(self._sent, _LOT)
            if not events:
                return
            self._send_lot(events)

    def _has_room(self) -> bool:
        waiting = sum(events for _, events, _ in self._unconfirmed)
        size = sum(characters for _, _, characters in self._unconfirmed)
        return waiting < _WINDOW and size < _WINDOW_SIZE

    def _send_lot(self, events: list[LoggedEvent]) -> None:
        size = 0
        for event in events:
            text = self._source.text_of(event, is_late=event.id <= self._newest)
            if text:
                self._send(text)
                size += len(text)
        self._sent = events[-1].id
        self._unconfirmed.append((self._sent, len(events), size))
        self._ping().add_done_callback(self._on_pong)

    def _on_pong(self, answered: asyncio.Future[None]) -> None:
        if answered.cancelled() or answered.exception() is not None or not self._unconfirmed:
            return
        last, _, _ = self._unconfirmed.popleft()
        self._target.confirm(last)
        self.wake()
