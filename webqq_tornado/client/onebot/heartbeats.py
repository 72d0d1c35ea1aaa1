"""Heartbeats of an implementation: late ones, lost ones, and what its clock says.

Heartbeats are off by default in some (OB event/meta.md), so that nothing is expected before the
first; from then on any frame is as good as one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["Heartbeats"]

#: Intervals without a frame until the implementation is late, and until it is lost.
_LATE, _LOST = 1.5, 3.0
#: Seconds that clocks may differ: times are whole seconds, and take a while to come here.
_SKEW = 2.0


class Heartbeats:
    """Watches that something is heard.

    Args:
        on_late: called once with the seconds of silence and the interval.
        on_lost: called with the seconds of silence.

    Attributes:
        skew: seconds that the implementation's clock is ahead of ours.
        is_late: whether something was to be heard by now.
    """

    def __init__(
        self, on_late: Callable[[float, float], object], on_lost: Callable[[float], object]
    ) -> None:
        self._on_late, self._on_lost = on_late, on_lost
        self._heard_at = 0.0  # monotonic
        self._timer: asyncio.TimerHandle | None = None
        self.skew = 0.0
        self.is_late = False

    def hear(self) -> None:
        """Note that a frame has come."""
        self._heard_at = time.monotonic()
        self.is_late = False

    def note_time(self, seconds: int) -> None:
        """Note what its clock says.

        Args:
            seconds: Unix time of an event that happens now; 0 if it has none.
        """
        if seconds:
            skew = seconds - time.time()
            self.skew = 0.0 if abs(skew) < _SKEW else skew

    def expect(self, interval: float) -> None:
        """Look whether more comes in time.

        Args:
            interval: seconds between two heartbeats; 0 expects none.
        """
        self.stop()
        if interval > 0:
            self._call_later(interval * _LATE, interval)

    def stop(self) -> None:
        """Expect nothing any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _call_later(self, seconds: float, interval: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look, interval)

    def _look(self, interval: float) -> None:
        self._timer = None
        silent = time.monotonic() - self._heard_at
        if silent < interval * _LATE:
            self.expect(interval)
        elif silent < interval * _LOST:
            if not self.is_late:
                self.is_late = True
                self._on_late(silent, interval)
            self._call_later(interval * _LOST - silent + 0.01, interval)
        else:
            self._on_lost(silent)
