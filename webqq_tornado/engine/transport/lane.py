"""Lanes: one CurlMulti each, with what is in flight on it.

What libcurl's callbacks may do here, and why, is explained in `transport.curl`.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol, TypeAlias

import pycurl
from tornado.ioloop import IOLoop

from .options import Options

__all__ = ["LANE_CONNECTIONS", "LANE_TRANSFERS", "Lane", "Traffic", "postponed"]

#: Transfers in one CurlMulti before another is opened. Also nginx's and most servers' limit of
#: streams on one HTTP/2 connection.
LANE_TRANSFERS = 128
#: Connections kept by a lane at most, idle ones included.
LANE_CONNECTIONS = 4 * LANE_TRANSFERS
#: What libcurl says of a socket, and events of the loop.
_REMOVE = pycurl.POLL_REMOVE
_EVENTS = {
    pycurl.POLL_IN: IOLoop.READ,
    pycurl.POLL_OUT: IOLoop.WRITE,
    pycurl.POLL_INOUT: IOLoop.READ | IOLoop.WRITE,
}
_BOTH = IOLoop.READ | IOLoop.WRITE

#: libcurl's answer: how much it did not say yet, and which handles are through.
_Ended: TypeAlias = "tuple[int, list[Any], list[tuple[Any, int, str]]]"


class Known(Protocol):
    """The sockets that libcurl has opened, by their number."""

    def is_open(self, fd: int) -> bool:
        """Return True if the fd number belongs to a socket that libcurl has opened."""


class Traffic(Protocol):
    """The part of the transport that a lane uses."""

    #: The sockets that libcurl waits for now, and whose lane does.
    fd_map: dict[int, Lane]
    #: The sockets that have a handler on the loop, and for what events.
    watched: dict[int, int]
    #: Those that libcurl has let go since it was last called.
    let_go: set[int]
    #: Those that have no handler a moment longer than libcurl wants them.
    leave_at_once: set[int]

    @property
    def connections(self) -> Known:
        """The sockets that libcurl has opened."""

    def call_later(
        self, delay: float, function: Callable[[], object]
    ) -> asyncio.TimerHandle | None:
        """Schedule a call on the loop; None if the loop is closed."""

    def watch(self, fd: int, events: int) -> None:
        """Have the loop watch a socket, maybe watched for other events so far."""

    def unwatch(self, fd: int) -> object:
        """Have the loop forget a socket, which may be closed already."""

    def kick_soon(self, lane: Lane) -> None:
        """Kick the lane when this turn ends, or in the next one."""


#: Up to libcurl 8.21 each lookup had wake-up descriptors of its own, closed silently.
_WAKE_UP_LASTS = pycurl.version_info()[2] >= 0x081600
#: Transfers of a lane whose names may be looked up at once: its libcurl has 20 threads for that,
#: and a name takes two of them.
_LOOKUPS = 9
#: Origins that a lane remembers.
_HOSTS = 4096
#: An origin whose host is an address: nothing is looked up. URLs are in their normal form.
_ADDRESS = re.compile(r"https?://(?:[^/@]*@)?(?:\[|[0-9.]+(?::|$))")
#: Seconds after which a name is taken to be looked up, in the worst case: resolv.conf(5) has 5 s,
#: two attempts and three servers as the most that is usual.
_LONGEST_LOOKUP = 60.0
#: A transfer that fails before anything is opened.
_TO_NOWHERE: Options = {
    pycurl.URL: "http://localhost/",
    pycurl.UNIX_SOCKET_PATH: os.devnull,
    pycurl.PROXY: "",
    pycurl.NOSIGNAL: 1,
}
#: Multis with a lookup under way, and when they were to be closed: to close one is to wait for it.
#: They are closed when another lane is made or closed, a minute later.
postponed: list[tuple[float, pycurl.CurlMulti]] = []


def _close_postponed() -> None:
    """Close those whose lookups must have ended."""
    ripe = monotonic() - _LONGEST_LOOKUP
    while postponed and postponed[0][0] < ripe:
        postponed.pop(0)[1].close()


class Lane:
    """One CurlMulti: its transfers, its timer, and whether it wants a kick.

    Attributes:
        active: transfers in flight.
        last_url: of the last request to one of `hosts`; none once it is closed.
        hosts: origins that it has reached: their names need not be looked up before all else.
        idle_since: when the last of them had ended, in seconds of `time.monotonic`.
        is_due: it is to be kicked, and was not yet.
        public_only: its connections are to public addresses, as its requests want them to be.
        add_handle, remove_handle, socket_action, info_read, timeout: libcurl's own.
    """

    __slots__ = (
        "_deadline",
        "_fd_map",
        "_leave_at_once",
        "_let_go",
        "_lookups",
        "_multi",
        "_timer",
        "_timer_at",
        "_transport",
        "_wake_up",
        "_watched",
        "active",
        "add_handle",
        "hosts",
        "idle_since",
        "info_read",
        "is_closed",
        "is_due",
        "last_url",
        "public_only",
        "remove_handle",
        "socket_action",
        "timeout",
    )

    def __init__(self, transport: Traffic, *, public_only: bool = False) -> None:
        _close_postponed()
        self._transport = transport
        self.public_only = public_only
        self._fd_map = transport.fd_map
        self._wake_up = -1  # a descriptor of its own, which stays on the loop
        self._watched = transport.watched
        self._let_go = transport.let_go.add
        self._leave_at_once = transport.leave_at_once
        self.active = 0
        self.idle_since = monotonic()
        self.hosts: set[str] = set()
        self.last_url = ""
        self._lookups: Counter[str] = Counter()
        self.is_closed = False
        self.is_due = False
        self._deadline: float | None = None  # when libcurl wants to be kicked
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_MAXCONNECTS, LANE_CONNECTIONS)
        self.add_handle = multi.add_handle
        self.remove_handle = multi.remove_handle
        self.socket_action = multi.socket_action
        self.info_read: Callable[[], _Ended] = multi.info_read
        self.timeout = multi.timeout

    def __repr__(self) -> str:
        return f"<Lane {self.active} transfers>"

    def close(self) -> None:
        """Close the connections. First the timer goes, then the multi."""
        self.is_closed = True
        self.last_url = ""
        if self._wake_up >= 0:
            self._transport.unwatch(self._wake_up)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, None)
        _close_postponed()
        if self._lookups:
            postponed.append((monotonic(), self._multi))
        else:
            self._multi.close()

    def keep(self, connections: int) -> None:
        """Set how many connections, idle ones included, it has at most."""
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)

    def prune(self) -> None:
        """Have libcurl look for dead connections among its idle ones, and close them."""
        # It looks when a transfer wants a connection, once a second. This one gets none.
        easy = pycurl.Curl()
        for option, value in _TO_NOWHERE.items():
            easy.setopt(option, value)
        self.add_handle(easy)
        try:
            self.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        finally:
            self.remove_handle(easy)
            easy.close()

    # -- names --------------------------------------------------------------------------------

    def takes(self, origin: str) -> bool:
        """Return True if the name is cached, or a thread of the resolver is free for it."""
        if origin in self.hosts:
            return True
        if _ADDRESS.match(origin):
            self._remember(origin)
            return True
        lookups = self._lookups
        return lookups.total() < _LOOKUPS or (len(lookups) == 1 and origin in lookups)

    def begin_lookup(self, origin: str) -> None:
        """A transfer to an origin that is not known here begins."""
        self._lookups[origin] += 1

    def end_lookup(self, origin: str, *, is_known: bool) -> None:
        """The transfer needs no name any more.

        Args:
            origin: of it.
            is_known: it was reached.
        """
        self._lookups[origin] -= 1
        if not self._lookups[origin]:
            del self._lookups[origin]
        if is_known:
            self._remember(origin)

    def _remember(self, origin: str) -> None:
        if len(self.hosts) >= _HOSTS:
            self.hosts.clear()  # a crawler sees many once
        self.hosts.add(origin)

    def abandon(self) -> pycurl.CurlMulti:
        """In a forked child: what must neither be used nor closed."""
        return self._multi

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        if what == _REMOVE:
            self._fd_map.pop(fd, None)
            if fd != self._wake_up:
                # Once it is closed asyncio fails to take off what is watched for both.
                if fd in self._leave_at_once or self._watched.get(fd) == _BOTH:
                    self._transport.unwatch(fd)
                self._let_go(fd)
            return
        self._fd_map[fd] = self
        events = _EVENTS[what]
        if self._watched.get(fd) != events:
            if fd not in self._watched and not self._transport.connections.is_open(fd):
                self._note_foreign(fd)
            self._transport.watch(fd, events)

    def _note_foreign(self, fd: int) -> None:
        """Note a descriptor that is no connection of ours."""
        if _WAKE_UP_LASTS and not stat.S_ISSOCK(os.fstat(fd).st_mode):
            self._wake_up = fd
        else:
            self._leave_at_once.add(fd)  # closed silently

    # -- time ---------------------------------------------------------------------------------

    def update_timer(self) -> None:
        """Ask libcurl when it wants to be kicked: after each thing that was done with it."""
        timeout_ms = self.timeout()
        if timeout_ms > 0:
            self._deadline = at = monotonic() + timeout_ms / 1000
            if self._timer is None or at < self._timer_at:
                self._set_timer(at)
        elif timeout_ms == 0:
            self._transport.kick_soon(self)
        else:
            self._deadline = None

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._transport.call_later(at - monotonic(), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        # libcurl counts whole milliseconds; to come one early would only bring us back.
        if self._deadline > monotonic() + 0.0005:
            self._set_timer(self._deadline)
            return
        self._deadline = None
        self._transport.kick_soon(self)
