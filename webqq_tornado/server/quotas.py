"""Quotas of actions that cost others something: by account, and by address.

A quota lets a burst pass and then one each so many seconds. It is the virtual scheduling algorithm
of a leaky bucket (GCRA; ITU-T I.371, appendix I): all that is kept of a client is the time at which
their bucket is empty, so a table of 50,000 is a few MB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from .cache import BoundedCache
from .throttle import network_of

__all__ = ["QUOTAS", "Quota", "Quotas", "Rate"]

#: Accounts and addresses that are remembered, for each kind. A client with more addresses than
#: that is not limited.
_MOST_KNOWN = 50_000


class Rate(NamedTuple):
    """A rate: a burst, then one action in each interval.

    Args:
        burst: actions allowed at once.
        seconds: of the interval.
    """

    burst: int
    seconds: float


class Quota(NamedTuple):
    """The quota of one action.

    Args:
        by_account: of one account; None for no limit.
        by_address: of one IPv4 address, or one /64 of IPv6, the size of a household's network.
    """

    by_account: Rate | None
    by_address: Rate


#: Classes of a school register behind one address, a bot answers 100 messages in two seconds, and
#: 2,000 accounts at one address write 1,000 a second. Synapse, for comparison, lets an account send
#: 10 messages at once and one each five seconds (rc_message).
QUOTAS: Mapping[str, Quota] = {
    "registration": Quota(None, Rate(90, 60.0)),
    "message": Quota(Rate(200, 0.01), Rate(4000, 0.0005)),
    "upload": Quota(Rate(60, 1.0), Rate(600, 0.1)),
    "room": Quota(Rate(20, 30.0), Rate(60, 10.0)),
    "request": Quota(Rate(50, 10.0), Rate(200, 2.0)),
    "change": Quota(Rate(200, 0.1), Rate(2000, 0.01)),
    "reading": Quota(Rate(400, 0.02), Rate(4000, 0.002)),
    "load": Quota(Rate(400, 0.02), Rate(4000, 0.002)),
    "search": Quota(Rate(60, 0.2), Rate(600, 0.05)),
    "qr": Quota(None, Rate(60, 1.0)),
    "captcha": Quota(None, Rate(60, 1.0)),
}


class Quotas:
    """Remaining quotas of all users, in memory: a restart resets them.

    Args:
        table: quotas by their names.
        clock: returns seconds of a monotonic clock.

    Example:
        >>> quotas = Quotas({"qr": Quota(None, Rate(1, 60.0))}, clock=lambda: 0.0)
        >>> quotas.take("qr", address="127.0.0.1"), quotas.take("qr", address="127.0.0.1")
        (0.0, 60.0)
    """

    def __init__(
        self,
        table: Mapping[str, Quota] = QUOTAS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._clock = clock
        self._empty: dict[str, BoundedCache[float]] = {
            name: BoundedCache(_MOST_KNOWN) for name in table
        }

    def take(self, name: str, *, account: int = 0, address: str = "") -> float:
        """Count an action, now.

        Args:
            name: of the quota.
            account: QQ number; 0 without a sign-in.
            address: IP address of the client.

        Returns:
            0.0 if it counts; else the seconds to wait.
        """
        return self.reserve(name, account=account, address=address, patience=0.0)[1]

    def reserve(
        self, name: str, *, account: int = 0, address: str = "", patience: float
    ) -> tuple[bool, float]:
        """Reserve an action, now or after a wait, in the order of calls.

        Args:
            name: of the quota.
            account: QQ number; 0 without a sign-in.
            address: IP address of the client.
            patience: maximum seconds to wait.

        Returns:
            True if it counts, and the seconds to wait.
        """
        now, empty = self._clock(), self._empty[name]
        found = [
            (key, rate, max(empty.get(key) or now, now))
            for key, rate in _keys(self._table[name], account, address)
        ]
        waits = (at + rate.seconds - rate.burst * rate.seconds - now for _, rate, at in found)
        wait = max(0.0, *waits) if found else 0.0
        if wait > patience:
            return False, wait
        for key, rate, at in found:
            empty.put(key, at + rate.seconds)
        return True, wait


def _keys(quota: Quota, account: int, address: str) -> Iterator[tuple[object, Rate]]:
    if account and quota.by_account is not None:
        yield account, quota.by_account
    if address:
        yield network_of(address), quota.by_address
