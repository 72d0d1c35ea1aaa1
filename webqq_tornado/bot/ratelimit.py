"""Rate limits of users: a function of the time, which comes in as a number."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Rate", "RateDecision", "RateLimiter"]

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|min|h|d)\s*")
#: Users that are remembered before one looks for those who are long quiet.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of calls in a time, in any window of that length.

    Args:
        count: at most so many.
        period: in so many seconds.

    Example:
        >>> Rate.of("5/min")
        Rate(count=5, period=60.0)
    """

    count: int
    period: float

    def __post_init__(self) -> None:
        if self.count < 1 or not self.period > 0:
            raise ValueError(f"rate={self}: at least one, in more than no time")

    @classmethod
    def of(cls, rate: str | Rate) -> Rate:
        """A rate from a text: "5/min", "1/10s", "100/d"; a rate as it is.

        Args:
            rate: units are s, min, h and d.

        Raises:
            ValueError: it is no rate.
        """
        if isinstance(rate, Rate):
            return rate
        found = _RATE.fullmatch(rate)
        if found is None:
            raise ValueError(f'rate={rate!r}: write "5/min", "1/10s", "100/d" or Rate(5, 60)')
        return cls(int(found[1]), float(found[2] or 1) * _UNITS[found[3]])


class RateDecision(NamedTuple):
    """A rate limiter's decision.

    Args:
        is_allowed: go on.
        is_first: the first refusal for a while: the user may be told, once.
        wait: seconds until the next one is allowed.
    """

    is_allowed: bool
    is_first: bool = False
    wait: float = 0.0


_ALLOWED = RateDecision(True)


@dataclass(slots=True)
class _User:
    times: deque[float] = field(default_factory=deque)
    told_at: float | None = None


class RateLimiter:
    """Holds each user to a rate. What is refused does not count.

    Args:
        rate: for each.

    Example:
        >>> limiter = RateLimiter(Rate(1, 60))
        >>> [limiter.take("Ann", now).is_allowed for now in (0.0, 30.0, 60.0)]
        [True, False, True]
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._users: dict[Hashable, _User] = {}
        self._next_look = _MANY

    def __len__(self) -> int:
        return len(self._users)

    def take(self, user: Hashable, now: float) -> RateDecision:
        """Count one call of a user; allow at most one notice in each period.

        Args:
            user: who.
            now: seconds on a clock that does not go back.
        """
        count, period = self.rate.count, self.rate.period
        if user not in self._users and len(self._users) >= self._next_look:
            self._forget(now)
        known = self._users.setdefault(user, _User())
        while known.times and known.times[0] <= now - period:
            known.times.popleft()
        if len(known.times) < count:
            known.times.append(now)
            return _ALLOWED
        is_first = known.told_at is None or known.told_at <= now - period
        if is_first:
            known.told_at = now
        return RateDecision(False, is_first, known.times[0] + period - now)

    def _forget(self, now: float) -> None:
        """Users whose records no longer matter."""
        before = now - self.rate.period
        self._users = {
            user: known
            for user, known in self._users.items()
            if known.times[-1] > before or (known.told_at or before) > before
        }
        self._next_look = max(_MANY, 2 * len(self._users))
