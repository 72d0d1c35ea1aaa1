"""Which of libcurl's sockets are ready: one registration on the IOLoop for all of them.

The sockets are registered with an epoll descriptor of our own, and only that descriptor with
`IOLoop.add_handler` (epoll descriptors can be watched like any other). Compared with one
`add_handler` for each socket this

- saves a callback of the loop for each ready socket: 3 to 4 of about 21 microseconds a request
  (64 connections, one core);
- lets a registration outlive its socket in peace. libcurl closes sockets without a word, and
  the kernel reuses their numbers at once: a handler left on the *loop* makes the next
  `add_handler` of whoever gets the number raise. In a private epoll nobody else is met, and
  the kernel drops a closed socket by itself. So nothing need be unregistered when a transfer
  ends, and the next one on the same connection registers nothing.

Where there is no epoll, `LoopHandlers` does it with `add_handler`, and obeys libcurl's removals
to the letter.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tornado.ioloop import IOLoop

from .loops import asyncio_loop_of

__all__ = ["EVENTS_AT_ONCE", "Epoll", "LoopHandlers", "Readiness", "readiness_for"]

#: Events taken at once, about 2 ms of work: the loop's other callbacks come in between.
EVENTS_AT_ONCE = 128


class Readiness(Protocol):
    """What the transport needs; events are IOLoop's, which are epoll's."""

    #: A socket may be left registered when libcurl has no more interest in it.
    outlives_sockets: bool

    def watch_idle(self, fd: int) -> None:
        """Watch a socket that nothing waits for: whatever comes there was not asked for."""

    def watch_end(self, fd: int) -> int:
        """Watch it for nothing but that the other side closes it, whatever lies there unread.

        Returns:
            The events that it is registered for now.
        """

    def register(self, fd: int, events: int) -> None:
        """Watch a socket."""

    def modify(self, fd: int, events: int) -> None:
        """Watch it for something else."""

    def unregister(self, fd: int) -> bool:
        """Watch it no more; it may be closed already.

        Returns:
            False if the kernel knows no such registration: then it may go on reporting one, and
            `renew` is what stops it.
        """

    def ready(self) -> list[tuple[int, int]]:
        """The sockets that are ready now, and for what."""

    def renew(self, watched: Mapping[int, int]) -> None:
        """Begin anew with these sockets.

        A socket that is closed here and still open in a forked child is reported for as long as
        the child lives: under a number that may be another file's by now.
        """

    def close(self) -> None:
        """Leave nothing on the loop."""


class Epoll:
    """One epoll descriptor on the loop."""

    outlives_sockets = True

    def __init__(self, ioloop: IOLoop, handler: Callable[[Any, int], None]) -> None:
        self._ioloop = ioloop
        self._handler = handler
        self._epoll = select.epoll()
        self._watch()

    def _watch(self) -> None:
        # By the object and not by its number: `IOLoop.close(all_fds=True)`, which Tornado's test
        # cases use, closes what it finds, and a number would later be closed once more.
        self._ioloop.add_handler(self._epoll, self._handler, IOLoop.READ)

    def register(self, fd: int, events: int) -> None:
        """See `Readiness`."""
        try:
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """See `Readiness`."""
        try:
            self._epoll.modify(fd, events)
        except FileNotFoundError:  # closed in between, and the number used again
            self._epoll.register(fd, events)

    def watch_idle(self, fd: int) -> None:
        """See `Readiness`."""
        self.modify(fd, IOLoop.READ)

    def watch_end(self, fd: int) -> int:
        """See `Readiness`."""
        self.modify(fd, select.EPOLLRDHUP)
        return select.EPOLLRDHUP

    def unregister(self, fd: int) -> bool:
        """See `Readiness`."""
        try:
            self._epoll.unregister(fd)
        except OSError:
            return False
        return True

    def ready(self) -> list[tuple[int, int]]:
        """See `Readiness`."""
        return self._epoll.poll(0, EVENTS_AT_ONCE)

    def close(self) -> None:
        """See `Readiness`."""
        # A loop that went first has taken its handlers with it.
        if not asyncio_loop_of(self._ioloop).is_closed():
            self._ioloop.remove_handler(self._epoll)
        self._epoll.close()

    def renew(self, watched: Mapping[int, int]) -> None:
        """See `Readiness`."""
        self.close()
        self._epoll = select.epoll()
        self._watch()
        for fd, events in watched.items():
            with contextlib.suppress(OSError):  # closed without a word, as libcurl does
                self.register(fd, events)


class _Borrowed:
    """A socket of libcurl's: `IOLoop.close(all_fds=True)` is not to close it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        """Libcurl does."""


class LoopHandlers:
    """A handler on the loop for each socket, where there is no epoll."""

    outlives_sockets = False

    def __init__(self, ioloop: IOLoop, handler: Callable[[Any, int], None]) -> None:
        self._ioloop = ioloop
        self._handler = handler
        self._fds: set[int] = set()
        self._ready: list[tuple[int, int]] = []

    def register(self, fd: int, events: int) -> None:
        """See `Readiness`."""
        self._fds.add(fd)
        try:
            self._ioloop.add_handler(_Borrowed(fd), self._on_ready, events)
        except ValueError:
            # libcurl has just opened it: what stands under its number is of a file that
            # somebody closed without remove_handler, and can only confuse.
            self._ioloop.remove_handler(fd)
            self._ioloop.add_handler(_Borrowed(fd), self._on_ready, events)

    def modify(self, fd: int, events: int) -> None:
        """See `Readiness`."""
        self._ioloop.update_handler(fd, events)

    def unregister(self, fd: int) -> bool:
        """See `Readiness`."""
        if fd in self._fds:
            self._fds.remove(fd)
            self._ioloop.remove_handler(fd)
        return True

    def watch_idle(self, fd: int) -> None:
        """See `Readiness`: it is not registered any more."""

    def watch_end(self, fd: int) -> int:
        """See `Readiness`: likewise."""
        return 0

    def ready(self) -> list[tuple[int, int]]:
        """See `Readiness`."""
        ready, self._ready = self._ready, []
        return ready

    def renew(self, watched: Mapping[int, int]) -> None:
        """See `Readiness`: the loop is told of each removal, before the socket is closed."""

    def close(self) -> None:
        """See `Readiness`."""
        for fd in () if asyncio_loop_of(self._ioloop).is_closed() else tuple(self._fds):
            with contextlib.suppress(OSError):
                self.unregister(fd)

    def _on_ready(self, borrowed: _Borrowed, events: int) -> None:
        self._ready.append((borrowed.fileno(), events))
        self._handler(borrowed, events)


def readiness_for(ioloop: IOLoop, handler: Callable[[Any, int], None]) -> Readiness:
    """The best there is on this system.

    Args:
        ioloop: to register with.
        handler: is called as by `IOLoop`, when `ready` has something to say.
    """
    return (Epoll if hasattr(select, "epoll") else LoopHandlers)(ioloop, handler)
