"""The sockets that libcurl has opened, and those of them that no request may use again.

libcurl looks for dead connections in its pool once a second only. In between it sends on whatever
it finds there: on a connection that the server has closed, or has sent something on that nobody
asked for. What is sent on the first is lost; what is sent on the second gets the wrong answer
(RFC 9112, 9.2: data without an outstanding request is no response, and the connection is closed).
So an idle connection that becomes readable is *retired*: shut down, so that not a byte of a request
can leave on it and libcurl goes on to another one. libcurl itself closes it when it looks again.

On connections of HTTP/2 and 3 servers talk whenever they like: of these only the end is looked for.

A number may be another file's by now, since libcurl closes sockets silently. The inode shows it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .lane import Lane
from .poller import ended_of
from .tcpinfo import borrowed, bytes_read

__all__ = ["Connection", "Connections"]


class Connection(NamedTuple):
    """A socket as libcurl has opened it."""

    fd: int
    inode: int
    lane: Lane | None


class Connections:
    """Sockets by their number.

    Attributes:
        known: what was opened under a number last; it may be closed by now.
    """

    def __init__(self) -> None:
        self.known: dict[int, Connection] = {}
        self._multiplexed: set[int] = set()
        self._is_unknown = True  # what is spoken over TLS
        self._fds: dict[object, int] = {}  # of connections over TLS, by their own end
        self._ends: dict[int, object] = {}
        self._read: dict[int, int | None] = {}  # bytes, when the last request was over
        #: Retired and not closed yet, and how their own end is called: address and port.
        self._retired: dict[int, tuple[Connection, object]] = {}

    def __contains__(self, fd: object) -> bool:
        return fd in self.known

    def __iter__(self) -> Iterator[int]:
        return iter(self.known)

    def opened(self, fd: int, lane: Lane | None) -> Connection:
        """Note a new socket, and forget what was known under its number.

        Returns:
            For `is_known`.
        """
        connection = self.known[fd] = Connection(fd, _inode(fd), lane)
        # All that was known under the number was of a socket that is gone: as one of HTTP/2 that of
        # HTTP/1 would never be retired.
        self._multiplexed.discard(fd)
        self._read.pop(fd, None)
        self._fds.pop(self._ends.pop(fd, None), None)
        self._retired.pop(fd, None)
        return connection

    def is_known(self, connection: Connection) -> bool:
        """Return True if its number still belongs to the same connection.

        Args:
            connection: from `opened`.
        """
        return self.known.get(connection.fd) is connection

    def is_open(self, fd: int) -> bool:
        """Return True if the fd number still belongs to a socket that libcurl has opened."""
        known = self.known.get(fd)
        return known is not None and _inode(fd) == known.inode

    def note_multiplexed(self, opened: Iterable[Connection]) -> None:
        """Note those that speak HTTP/2 or 3.

        Args:
            opened: from `opened`.
        """
        for connection in opened:
            if self.is_known(connection):
                self._multiplexed.add(connection.fd)

    def note_plain(self) -> None:
        """One over TLS speaks HTTP/1."""
        self._is_unknown = False

    def note_end(self, fd: int, end: object) -> None:
        """Its own end is called so: address and port."""
        if fd in self.known:
            self._fds.pop(self._ends.get(fd), None)
            self._fds[end], self._ends[fd] = fd, end

    def read_from(self, address: str, port: int) -> tuple[int, int] | None:
        """The connection with this end, and the bytes that were read from it; None: not known.

        Args:
            address: of our end, as libcurl writes it.
            port: likewise.
        """
        fd = self._fds.get((address, port), -1)
        read = bytes_read(fd) if self.is_open(fd) else None
        return None if read is None else (fd, read)

    def note_read(self, fd: int) -> None:
        """A request is over: what was read until now is no answer to the next one."""
        if fd in self.known:
            # OpenSSL reads ahead: with an answer it may have read what lies behind it, see
            # `Transport._refuse_early_answers`.
            self._read[fd] = bytes_read(fd)

    def may_have_read(self, fd: int, lines: Iterable[bytes]) -> bool:
        """Return True if these lines can have been read since the last request ended.

        Args:
            fd: of the connection.
            lines: of headers, which are no shorter when they are encrypted.
        """
        before, now = self._read.get(fd), bytes_read(fd)
        return before is None or now is None or now - before >= sum(map(len, lines))

    def speaks_any_time(self, fd: int) -> bool:
        """Return True if the connection is open and its server may send at any time."""
        return fd in self._multiplexed and self.is_open(fd)

    def is_retirable(self, fd: int) -> bool:
        """Return True if unread data on the connection belongs to no request, or is its last."""
        # Of HTTP/2 and 3 something to read is no reason: servers send PING and SETTINGS at any
        # time.
        return self.is_open(fd) and (fd not in self._multiplexed or bool(ended_of([fd])))

    def retire(self, fd: int) -> Lane | None:
        """Shut a socket down.

        Returns:
            The lane that has it in its pool.
        """
        known = self.known[fd]
        # Borrowed and not duplicated: there may be no descriptor left. Shut down and not closed:
        # the number is libcurl's, which would close whatever has it by then.
        with contextlib.suppress(OSError), borrowed(fd) as connection:
            self._retired[fd] = known, _end_of(connection)
            connection.shutdown(socket.SHUT_RDWR)
        return known.lane

    @property
    def may_multiplex(self) -> bool:
        """True if a connection over TLS has spoken HTTP/2 or 3, or none has spoken at all."""
        return self._is_unknown or bool(self._multiplexed)

    def is_retired(self, address: str, port: int) -> bool:
        """Return True if the connection with this local address accepts no more requests.

        Args:
            address: of our end, as libcurl writes it.
            port: likewise.
        """
        # libcurl passes its PREREQFUNCTION addresses and no descriptor. A port may have passed to
        # another connection since: the inode shows it.
        return any(
            end == (address, port) and _inode(fd) == known.inode
            for fd, (known, end) in self._retired.items()
        )

    def retired_lanes(self) -> set[Lane]:
        """The lanes that have some of these in their pools; forgets those that are closed."""
        for fd, (known, _) in tuple(self._retired.items()):
            if _inode(fd) != known.inode:
                del self._retired[fd]
        lanes = (known.lane for known, _ in self._retired.values())
        return {lane for lane in lanes if lane is not None and not lane.is_closed}

    def clear(self) -> None:
        """Forget all: the connections are closed."""
        self.known.clear()
        self._multiplexed.clear()
        self._read.clear()
        self._fds.clear()
        self._ends.clear()
        self._retired.clear()


def _inode(fd: int) -> int:
    try:
        return os.fstat(fd).st_ino
    except OSError:
        # It is closed: no socket that was open has this one.
        return -1


def _end_of(connected: socket.socket) -> object:
    # That of a unix socket is no pair, and equals no end that libcurl reports.
    name = connected.getsockname()
    return name[:2] if isinstance(name, tuple) else name
