"""Transfers in which nothing moves: `idle_timeout` of requests.

Not by libcurl's LOW_SPEED_TIME, which looks at the mean of some seconds, once a second for each
transfer; a limit of 1 s took 7 s when a few bytes had come. And not by a timer for each request,
most of which would outlive it: a handle has at most one entry in one heap.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .transfer import Transfer

__all__ = ["Silence", "SilenceWatch"]


class Silence:
    """The time in which no byte has moved, and what is allowed of it.

    Attributes:
        limit: seconds; 0: none, for now.
        moved: bytes, when that was looked at.
        since: the last time that there were more.
        looked_at: when that is looked at next; 0: never.
    """

    __slots__ = ("limit", "looked_at", "moved", "since")

    def __init__(self) -> None:
        self.limit = self.since = self.looked_at = 0.0
        self.moved = 0


class SilenceWatch:
    """Looks at transfers from time to time, and ends those in which no byte moves.

    Args:
        call_later: of the transport.
        end: a transfer in which no byte has moved for so many seconds.
    """

    def __init__(
        self,
        call_later: Callable[[float, Callable[[], object]], asyncio.TimerHandle | None],
        end: Callable[[Transfer, float], None],
    ) -> None:
        self._call_later = call_later
        self._end = end
        self._heap: list[tuple[float, int, Transfer]] = []  # who is looked at when
        self._serial = 0  # transfers have no order of their own
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Look at none any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._heap.clear()

    def watch(self, transfer: Transfer, seconds: float) -> None:
        """End the transfer if no byte moves for so many seconds."""
        silence = transfer.silence = transfer.silence or Silence()
        silence.limit = seconds
        silence.moved, silence.since = 0, monotonic()
        at = silence.since + _pause(seconds)
        if not silence.looked_at or at < silence.looked_at:
            self._look_later(transfer, silence, at)

    def _look_later(self, transfer: Transfer, silence: Silence, at: float) -> None:
        silence.looked_at = at
        self._serial += 1
        heapq.heappush(self._heap, (at, self._serial, transfer))
        if self._heap[0][0] == at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._call_later(max(0.0, at - monotonic()), self._look)

    def _look(self) -> None:
        self._timer = None
        now = monotonic()
        while self._heap and self._heap[0][0] <= now:
            at, _, transfer = heapq.heappop(self._heap)
            silence = transfer.silence
            if silence is not None and at == silence.looked_at:  # else it is looked at earlier
                silence.looked_at = 0.0
                if silence.limit and transfer.lane is not None:
                    self._look_at(transfer, silence, now)
        if self._heap and self._timer is None:
            self._timer = self._call_later(self._heap[0][0] - now, self._look)

    def _look_at(self, transfer: Transfer, silence: Silence, now: float) -> None:
        moved, limit = transfer.bytes_moved(), silence.limit
        # While it is paused by us the silence is not the server's.
        if moved != silence.moved or (transfer.callbacks and transfer.callbacks.is_paused):
            silence.moved, silence.since = moved, now
        elif now - silence.since >= limit:
            self._end(transfer, limit)
            return
        self._look_later(transfer, silence, now + _pause(limit))


def _pause(seconds: float) -> float:
    """Seconds from one look at a transfer to the next."""
    return min(seconds / 4, 5.0)
