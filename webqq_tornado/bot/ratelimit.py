"""Rate limits of users: a function of the time, which comes in as a number."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Rate", "RateDecision", "UserRateLimiter"]

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"\s*(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|min|h|d)\s*")
#: Number of users remembered before quiet ones are forgotten.
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """A number of calls in a time, in any window of that length.

    Args:
        count: maximum number of calls.
        period: seconds.

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
            ValueError: it is not a rate.
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
        is_allowed: the call is within the rate.
        is_first: the first refusal in a period: the user may be notified.
        wait: seconds until the next call is allowed.
    """

    is_allowed: bool
    is_first: bool = False
    wait: float = 0.0


_ALLOWED = RateDecision(True)


@dataclass(slots=True)
class _User:
    times: deque[float] = field(default_factory=deque)
    notified_at: float | None = None


class UserRateLimiter:
    """Limits each user to a rate. Refused calls do not count.

    Args:
        rate: of each user.

    Example:
        >>> limiter = UserRateLimiter(Rate(1, 60))
        >>> [limiter.admit("Ann", now).is_allowed for now in (0.0, 30.0, 60.0)]
        [True, False, True]
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._users: dict[Hashable, _User] = {}
        self._next_look = _MANY

    def __len__(self) -> int:
        return len(self._users)

    def admit(self, user: Hashable, now: float) -> RateDecision:
        """Count one call of a user; allow at most one notice in each period.

        Args:
            user: any key.
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
        is_first = known.notified_at is None or known.notified_at <= now - period
        if is_first:
            known.notified_at = now
        return RateDecision(False, is_first, known.times[0] + period - now)

    def _forget(self, now: float) -> None:
        """Forget users whose calls no longer count."""
        before = now - self.rate.period
        self._users = {
            user: known
            for user, known in self._users.items()
            if known.times[-1] > before or (known.notified_at or before) > before
        }
        self._next_look = max(_MANY, 2 * len(self._users))
