"""Schedules: the times at which a function is due; `Scheduler` calls it on the loop.

`Every` and `Cron` are functions of Unix time in seconds. For daylight saving time cronsim does as
Debian's cron: a job in the skipped hour runs right after it, a job in the repeated hour runs the
first time, and hourly jobs are not affected.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from cronsim import CronSim, CronSimError

__all__ = ["Cron", "Every", "Schedule", "Scheduler"]

#: Seconds between checks of the clock: it may have been set, or the machine slept.
LOOK_SECONDS = 60.0


class Schedule(Protocol):
    """Computes when a call is due."""

    def after(self, moment: float) -> float:
        """The first time that is later than a moment; infinity if there is none.

        Args:
            moment: Unix time in seconds.
        """


@dataclass(frozen=True, slots=True)
class Every:
    """At a fixed interval from a start on.

    Args:
        seconds: of the interval; above 0.
        start: Unix time from which they are counted.

    Example:
        >>> Every(10, start=5).after(37)
        45.0
    """

    seconds: float
    start: float = 0.0

    def __post_init__(self) -> None:
        if not self.seconds > 0 or math.isinf(self.seconds):
            raise ValueError(f"every {self.seconds!r} seconds: give a number above 0")

    def after(self, moment: float) -> float:
        """See `Schedule`."""
        rounds = math.floor((moment - self.start) / self.seconds) + 1
        return self.start + rounds * self.seconds


class Cron:
    """At the times of a cron expression.

    Args:
        expression: minute, hour, day, month, day of the week; a sixth field in front of them are
            seconds. cronsim's documentation has the details.
        tz: time zone: a name such as "Asia/Shanghai"; by default the machine's.

    Raises:
        ValueError: the expression, or the zone, is invalid.

    Example:
        >>> Cron("0 9 * * 1-5", tz="Asia/Shanghai").after(0)
        3600.0
    """

    def __init__(self, expression: str, tz: str | tzinfo | None = None) -> None:
        self.expression = expression
        self.tz = _zone(tz)
        try:
            CronSim(expression, datetime.fromtimestamp(0, self.tz))
        except CronSimError as error:
            raise ValueError(
                f"{expression!r} is not a cron expression ({error}): give minute, hour, day, month"
                ' and day of the week, as in "0 9 * * 1-5" for nine on working days'
            ) from None

    def __repr__(self) -> str:
        return f"Cron({self.expression!r}, tz={str(self.tz)!r})"

    def after(self, moment: float) -> float:
        """See `Schedule`."""
        begin = datetime.fromtimestamp(moment, self.tz)
        # In the second of two equal hours cronsim begins with the times of the first.
        times = (due.timestamp() for due in CronSim(self.expression, begin))
        return next((due for due in times if due > moment), math.inf)


def _zone(tz: str | tzinfo | None) -> tzinfo:
    if tz is None:
        return _own_zone()
    if not isinstance(tz, str):
        return tz
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f'tz={tz!r} is not a time zone: give a name such as "Asia/Shanghai"'
        ) from None


#: TZ as POSIX has it, without daylight saving time: "CST-8" is eight hours east of Greenwich.
_FIXED = re.compile(r"([A-Za-z]{3,}|<[-+A-Za-z0-9]{3,}>)[-+]?\d{1,2}(:\d\d){0,2}")


def _own_zone() -> tzinfo:
    """The machine's zone."""
    try:
        return tzlocal.get_localzone()
    except (ZoneInfoNotFoundError, ValueError, OSError):
        name = os.environ.get("TZ", "")
        if _FIXED.fullmatch(name):
            return timezone(timedelta(seconds=-time.timezone), time.tzname[0])
        raise ValueError(
            f"the machine's time zone, TZ={name!r}, is not known here: set it to a name such as "
            '"Asia/Shanghai", or give one as tz='
        ) from None


class Timers(Protocol):
    """The timers of the loop; Tornado's `IOLoop` has these methods."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """Call a function in so many seconds."""

    def remove_timeout(self, timeout: object) -> None:
        """Cancel the call."""


class Scheduler:
    """Calls a function at the times of a schedule; missed times are skipped.

    Args:
        schedule: computes the times.
        call: the function.
        ioloop: its timers.
        clock: returns Unix time in seconds.

    Example:
        >>> scheduler = Scheduler(Every(60), lambda: print("a minute"), IOLoop.current())
        >>> scheduler.start()
    """

    def __init__(
        self,
        schedule: Schedule,
        call: Callable[[], object],
        ioloop: Timers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._schedule, self._call = schedule, call
        self._ioloop, self._clock = ioloop, clock
        self._due = math.inf
        self._timer: object | None = None

    def start(self) -> None:
        """Start the schedule."""
        self.stop()
        self._due = self._schedule.after(self._clock())
        self._wait()

    def stop(self) -> None:
        """Stop the schedule."""
        timer, self._timer = self._timer, None
        if timer is not None:
            self._ioloop.remove_timeout(timer)

    def _wait(self) -> None:
        left = min(max(0.0, self._due - self._clock()), LOOK_SECONDS)
        self._timer = self._ioloop.call_later(left, self._look)

    def _look(self) -> None:
        now = self._clock()
        # A clock that was set back must not delay the next call by that much.
        self._due = min(self._due, self._schedule.after(now))
        if now < self._due:
            self._wait()
            return
        self._due = self._schedule.after(now)  # from now on: times between are skipped
        self._wait()
        self._call()
