"""Throttle for passwords: it slows guessing down, and does not lock the owner out.

Wrong passwords are counted at four doors; a door with too many is shut for a while:

========================== ======================== ==========================================
door                       wrong ones without delay then one in
========================== ======================== ==========================================
a place that the account   10 in a row              1, 2, 4 ... 60 s
has signed in from
an account from any one    10 in a row              1, 2, 4 ... 240 s
other address
an account from all other  13 in 15 minutes         60 s
addresses together
an address, for all        100 in 15 minutes        6 s
accounts
========================== ======================== ==========================================

A known place (a browser by its cookie, or an address) has the first door alone, so an attacker
elsewhere does not keep its owner out. From a new place one can sign in during an attack: one
address uses up a quarter of what the third door lets through. Failures are kept for accounts that
exist, and each was let through a door: nobody fills the memory with them, and none is forgotten
before its time. (OWASP ASVS 4.0, 2.2.1; OWASP "Blocking Brute Force Attacks", device cookies.)
"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections import deque
from typing import NamedTuple

__all__ = ["Place", "Throttle", "network_of"]

#: Seconds after which wrong passwords are forgotten.
FORGET_SECONDS = 900.0
#: Maximum number of addresses with wrong passwords in memory.
_MOST_NETWORKS = 10_000
#: Seconds between two clean-ups.
_SWEEP_SECONDS = 60.0


class Place(NamedTuple):
    """Origin of a password.

    Args:
        address: of the client.
        device: cookie that its last sign-in gave it; empty for a new one.
    """

    address: str
    device: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys under which an account knows a place, the surest first."""
        address = f"address:{network_of(self.address)}"
        return (f"device:{self.device}", address) if self.device else (address,)

    def __repr__(self) -> str:
        return f"<Place {self.address}>"


class _Limit(NamedTuple):
    """Number of free wrong passwords, and the longest wait after a further one, in seconds."""

    free: int
    longest: float


_KNOWN, _OTHER = _Limit(10, 60.0), _Limit(10, 240.0)
_OTHERS, _NETWORK = _Limit(13, 60.0), _Limit(100, 6.0)


class _Row(NamedTuple):
    """Wrong passwords in a row: how many, and when the last came (monotonic clock)."""

    tries: int = 0
    last: float = 0.0

    def wait(self, limit: _Limit, now: float) -> float:
        """Seconds until the next password is checked."""
        if self.tries < limit.free:
            return 0.0
        doubled = 2.0 ** min(self.tries - limit.free, 30)
        return max(0.0, self.last + min(doubled, limit.longest) - now)


class _Window:
    """Wrong passwords of the last quarter of an hour, also those between right ones."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_NETWORK.free + 1)

    def add(self, now: float) -> None:
        """Count one more."""
        self._times.append(now)

    def count(self, now: float) -> int:
        """Number of entries."""
        while self._times and self._times[0] + FORGET_SECONDS < now:
            self._times.popleft()
        return len(self._times)

    def wait(self, limit: _Limit, now: float) -> float:
        """Seconds until the next password is checked."""
        if self.count(now) < limit.free:
            return 0.0
        return max(0.0, self._times[-1] + limit.longest - now)


class Throttle:
    """Counts wrong passwords, and says how long to wait. Places are named by the caller.

    Example:
        >>> throttle = Throttle()
        >>> throttle.failed(10001, "address:192.0.2.1", "")
        >>> throttle.tries(10001, "address:192.0.2.1", "")
        1
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], _Row] = {}
        self._others: dict[int, _Window] = {}
        self._networks: dict[str, _Window] = {}
        self._swept = time.monotonic()

    def wait(self, account: int, address: str, known: str) -> float:
        """Seconds until a password is checked; 0 for now.

        Args:
            account: QQ number; 0 for one that does not exist.
            address: key of the address.
            known: key of the place, if the account has signed in from it.
        """
        now = time.monotonic()
        if known:
            return self._row(account, known, now).wait(_KNOWN, now)
        others, network = self._others.get(account), self._networks.get(address)
        return max(
            self._row(account, address, now).wait(_OTHER, now),
            others.wait(_OTHERS, now) if others else 0.0,
            network.wait(_NETWORK, now) if network else 0.0,
        )

    def tries(self, account: int, address: str, known: str) -> int:
        """Number of wrong passwords that count for a place.

        Args:
            account: QQ number.
            address: see `wait`.
            known: the same.
        """
        now = time.monotonic()
        own = self._row(account, known or address, now).tries
        others = None if known else self._others.get(account)
        return max(own, others.count(now)) if others else own

    def failed(self, account: int, address: str, known: str) -> None:
        """Count a wrong password.

        Args:
            account: QQ number; 0 for one that does not exist.
            address: see `wait`.
            known: the same.
        """
        now = time.monotonic()
        self._sweep(now)
        if account:
            row = self._row(account, known or address, now)
            self._rows[account, known or address] = _Row(row.tries + 1, now)
        if account and not known:
            self._others.setdefault(account, _Window()).add(now)
        if not known:
            self._networks.setdefault(address, _Window()).add(now)

    def succeeded(self, account: int, address: str, known: str) -> None:
        """Forget the wrong passwords of a place after a right one from there.

        Args:
            account: QQ number.
            address: see `wait`.
            known: the same.
        """
        for place in {known, address}:
            self._rows.pop((account, place), None)

    def _row(self, account: int, place: str, now: float) -> _Row:
        row = self._rows.get((account, place), _NONE)
        return _NONE if row.last + FORGET_SECONDS < now else row

    def _sweep(self, now: float) -> None:
        if now < self._swept + _SWEEP_SECONDS and len(self._networks) < _MOST_NETWORKS:
            return
        self._swept = now
        self._rows = {
            key: row for key, row in self._rows.items() if row.last + FORGET_SECONDS >= now
        }
        self._others = {key: one for key, one in self._others.items() if one.count(now)}
        self._networks = {key: one for key, one in self._networks.items() if one.count(now)}
        if len(self._networks) >= _MOST_NETWORKS:
            # Those with the most stay; the accounts' own doors hold the others, too.
            kept = sorted(self._networks.items(), key=lambda item: item[1].count(now))
            self._networks = dict(kept[len(kept) // 2 :])


_NONE = _Row()


@functools.lru_cache(maxsize=1024)  # asked for each message
def network_of(address: str) -> str:
    """The network that counts as one address: of IPv6 the 64 bits of one customer.

    Example:
        >>> network_of("2001:db8::1:2:3"), network_of("192.0.2.7")
        ('2001:db8::/64', '192.0.2.7')
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address  # a Unix socket has none
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))
