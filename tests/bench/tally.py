"""Counting in a closed loop, the same way for all clients."""

from __future__ import annotations

import json
import math
import sys
import time

from .nginx import BODY

_SIZE = len(BODY)


class Tally:
    """Counts the answers between the end of the warm-up and the deadline.

    Args:
        warm_up: seconds from the first answer that do not count: connections are opened,
            caches filled.
        seconds: that count.

    Attributes:
        count: answers that count.
        total: all of them.
        bad: those that were not as they should be.
    """

    __slots__ = (
        "_at_begin",
        "_at_end",
        "_begin",
        "_end",
        "_warm_up",
        "bad",
        "count",
        "seconds",
        "total",
    )

    def __init__(self, warm_up: float, seconds: float) -> None:
        self.seconds = seconds
        self._warm_up = warm_up
        self._begin = self._end = math.inf
        self.count = self.total = self.bad = 0
        #: Time and CPU time at the first answer that counts, and at the first that does not.
        self._at_begin = self._at_end = (0.0, 0.0)

    def take(self, status: int, body: bytes) -> bool:
        """Count one answer.

        Returns:
            Whether its conversation goes on.
        """
        now = time.perf_counter()
        self.total += 1
        if status != 200 or len(body) != _SIZE:
            self.bad += 1
        if now < self._begin:
            if self.total == 1:
                self._begin = now + self._warm_up
                self._end = self._begin + self.seconds
            return True
        if now >= self._end:
            if not self._at_end[0]:
                self._at_end = (now, time.process_time())
            return False
        if not self.count:
            self._at_begin = (now, time.process_time())
        self.count += 1
        return True

    def show(self) -> None:
        """Print it: see `Round` in scenarios.py."""
        elapsed, cpu = (
            end - begin for begin, end in zip(self._at_begin, self._at_end, strict=True)
        )
        facts = {
            "count": self.count,
            "total": self.total,
            "bad": self.bad,
            "seconds": self.seconds,
            "cpu": cpu * self.seconds / elapsed,
        }
        sys.stdout.write(json.dumps(facts) + "\n")
