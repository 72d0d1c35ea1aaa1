"""Limits of concurrency and rate: `Limits` as a value, and the arithmetic of a rate limiter.

Times are numbers of seconds on any clock that does not go back; nothing here reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from .secrets import safe_text
from .urls import normal_host

__all__ = ["Limits", "RateLimiter"]

#: What is not of hosts or sessions, or says nothing alone.
_OF_ALL = ("clients", "burst")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a stream's requests, by host and session.

    Links that may not go yet wait in a fair queue: sessions take turns, within a session its
    hosts, and within these it is first come, first served; see also `priority` in
    `HTTPStream.add_request`. A host is what stands in the URL, port included, but for the ports
    of http and https: a name without one is one host, by either.

    Sources of links (generators and the like) are asked for more while less than 16 of their own
    links wait in the queue, or less than 1,024 of all; so they may be endless, and one whose host
    is slow delays no other. Where one source has the links of many hosts, mix these: it is held
    up by a long run of links to one.

    Args:
        clients: requests in flight in total, as `HTTPStream(max_clients=...)`; the lower one of
            the two counts.
        per_host: requests in flight to one host.
        per_session: requests in flight in one session.
        rate_per_host: requests a second to one host, on the average.
        rate_per_session: requests a second of one session, on the average.
        burst: requests that may go at once before a rate is felt; 1 spaces them evenly.
        spacing: seconds at least from one request to the next to one host, like the
            `Crawl-delay` of a robots.txt.
        hosts: other limits for some hosts, in any form that a URL may have them in:
            `"127.0.0.1:8100"`, or `"example.org"` for those of its ports (each for itself) that
            have none of their own. Of these only `per_host`, `rate_per_host`, `burst` and
            `spacing` count.

    Raises:
        ValueError: a number is out of range; names it.

    Example:
        >>> polite = Limits(per_host=2, spacing=1, hosts={"127.0.0.1:8100": Limits()})
    """

    clients: int | None = None
    per_host: int | None = None
    per_session: int | None = None
    rate_per_host: float | None = None
    rate_per_session: float | None = None
    burst: int = 1
    spacing: float = 0.0
    # Not in the hash, which a frozen dataclass makes of its fields: a dict has none.
    hosts: Mapping[str, Limits] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("clients", "per_host", "per_session", "burst"):
            value = getattr(self, name)
            # NaN fails any comparison: it does not pass.
            if value is not None and not 1 <= value < math.inf:
                raise ValueError(f"{name} is 1 or more, not {value!r}")
        for name in ("rate_per_host", "rate_per_session"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is requests a second, more than 0, not {value!r}")
        if not 0 <= self.spacing < math.inf:
            raise ValueError(f"spacing is seconds, 0 or more, not {self.spacing!r}")
        for host, limits in self.hosts.items():
            if not isinstance(limits, Limits):
                raise ValueError(f"hosts has a {type(limits).__name__}, which is no Limits")
            if "/" in host or "@" in host:
                # It may be a whole URL, with a password.
                shown = safe_text(host).rpartition("@")[2]
                raise ValueError(f"hosts has {shown!r}: give the host alone, with its port if any")
        by_host = {normal_host(host): limits for host, limits in self.hosts.items()}
        # In the form of `Request.host`; set in this way as the class is frozen.
        object.__setattr__(self, "hosts", by_host)

    @property
    def is_selective(self) -> bool:
        """True if hosts or sessions are limited, not only all together."""
        return any(getattr(self, f.name) for f in fields(self) if f.name not in _OF_ALL)

    def part(self, count: int) -> Limits:
        """Return the limits of one of several that share them.

        Args:
            count: how many.

        Raises:
            ValueError: less than one request at once would be left to each; names it.

        Example:
            >>> Limits(per_host=8, spacing=1).part(4)
            Limits(..., per_host=2, ..., spacing=4, ...)
        """
        if count == 1:
            return self
        parts: dict[str, Any] = {"spacing": self.spacing * count}
        for name in ("per_host", "per_session"):
            limit = getattr(self, name)
            if limit is not None and limit < count:
                raise ValueError(
                    f"{name} is {limit}, and {count} shards share it: each needs one at least, so "
                    "make it more, run fewer shards, or leave shard_of() as it is"
                )
            parts[name] = None if limit is None else limit // count
        for name in ("rate_per_host", "rate_per_session"):
            rate = getattr(self, name)
            parts[name] = None if rate is None else rate / count
        parts["hosts"] = {host: limits.part(count) for host, limits in self.hosts.items()}
        return replace(self, **parts)

    def of_host(self, host: str) -> RateLimiter:
        """Limit of one host.

        Args:
            host: as `Request.host` has it.
        """
        # All of its own, or none: what those do not say is not limited.
        own = next((self.hosts[key] for key in _keys_of(host) if key in self.hosts), self)
        return RateLimiter(own.per_host, own.rate_per_host, own.burst, own.spacing)

    def of_session(self) -> RateLimiter:
        """Limit of one session."""
        return RateLimiter(self.per_session, self.rate_per_session, self.burst)


def _keys_of(host: str) -> tuple[str, ...]:
    """Keys of `Limits.hosts` that a host matches, the best first."""
    name, colon, port = host.rpartition(":")
    # `[::1]` has colons and no port.
    if colon and not port.endswith("]"):
        return host, name
    return f"{host}:80", f"{host}:443", host  # one of the two is what the URL leaves out


class RateLimiter:
    """One limit in use: counts what is in flight, and says when the next may go.

    The rate is kept by the generic cell rate algorithm (ITU-T I.371): a theoretical arrival time
    moves on by 1/rate with each request, and may be ahead of the clock by burst - 1 of these.

    Args:
        limit: in flight at most.
        rate: a second.
        burst: at once.
        spacing: seconds from one to the next.

    Attributes:
        active: in flight.
    """

    __slots__ = (
        "_arrival",
        "_interval",
        "_last",
        "_limit",
        "_next",
        "_spacing",
        "_tolerance",
        "active",
    )

    def __init__(
        self,
        limit: int | None = None,
        rate: float | None = None,
        burst: int = 1,
        spacing: float = 0.0,
    ) -> None:
        self._limit = math.inf if limit is None else limit
        self._interval = 1 / rate if rate else 0.0
        self._tolerance = (burst - 1) * self._interval
        self._spacing = spacing
        self._arrival = self._next = -math.inf
        #: Arrival and next before the last start, and after it.
        self._last = ((self._arrival, self._next), (self._arrival, self._next))
        self.active = 0

    def opens_at(self, now: float) -> float:
        """When the next may go: not after `now` if it may at once, infinite if one must end first.

        Args:
            now: seconds.
        """
        if self.active >= self._limit:
            return math.inf  # no clock opens it: `release` does
        return max(self._arrival - self._tolerance, self._next)

    def start(self, now: float) -> None:
        """One goes."""
        self.active += 1
        before = self._arrival, self._next
        # One number for each limit, where a window would keep the time of each request.
        if self._interval:
            # From now on if it lies behind: unused time is no credit beyond the burst.
            self._arrival = max(now, self._arrival) + self._interval
        self._next = now + self._spacing if self._spacing else self._next
        self._last = before, (self._arrival, self._next)

    def widen(self, spacing: float) -> None:
        """Let at least these seconds be between two starts, from the next start on.

        Args:
            spacing: seconds; less than there is changes nothing.
        """
        self._spacing = max(spacing, self._spacing)

    def release(self) -> None:
        """Note that one has ended."""
        self.active -= 1

    def undo(self) -> None:
        """The one that started last did not go after all."""
        self.active -= 1
        before, after = self._last
        if (self._arrival, self._next) == after:
            # Restored, not computed: (now + interval) - interval can be later than now.
            self._arrival, self._next = before
        else:  # a hook, asked about that one, has started another
            self._arrival -= self._interval

    def is_idle(self, now: float) -> bool:
        """True if a new one would be the same."""
        return not self.active and max(self._arrival, self._next) <= now
