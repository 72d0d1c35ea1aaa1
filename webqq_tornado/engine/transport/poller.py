"""libcurl's sockets on the IOLoop, and its idle connections beside it.

Each socket that a transfer waits for is registered with `IOLoop.add_handler`. Two things make that
nearly as fast as one private epoll descriptor for all:

- *A turn is served at once.* The first handler that the loop calls serves all sockets that are
  ready; an epoll descriptor of our own, on no loop, shows which these are. The other handlers of
  that turn find nothing to do. (Served one by one they take twice the time; noted first and served
  in a callback, each third one is reported twice, as asyncio looks once more before it calls that.)
- *Registrations survive from one link to the next*, though libcurl lets a socket go when its
  transfer ends and asks for it again when the next one starts. (Obeyed to the letter it takes three
  times the time.)

Idle connections are on no loop: libcurl closes them silently, and a handler that outlives
its socket makes the next `add_handler` for the same number raise. One private epoll
descriptor watches them, where there is one, so that what a server says or does there is seen; the
kernel takes a closed socket off it by itself. Elsewhere they are looked at before they are used.
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from tornado.ioloop import IOLoop

from ..eventloop import asyncio_loop_of

__all__ = [
    "IdleSockets",
    "Poller",
    "WatchedSocket",
    "closed_of",
    "ended_of",
    "idle_sockets",
    "readable_of",
]


class WatchedSocket:
    """A socket of libcurl's on the loop: `IOLoop.close(all_fds=True)` does not close it.

    Attributes:
        fd: its number.
    """

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        """See `fd`."""
        return self.fd

    def close(self) -> None:
        """Libcurl does."""


class Poller:
    """The sockets that transfers wait for: a handler on the loop for each.

    Args:
        ioloop: to register with.
        handler: for the loop to call with a `WatchedSocket` and events.

    Attributes:
        watched: the events that the loop watches each number for.
    """

    def __init__(
        self,
        ioloop: IOLoop,
        handler: Callable[[WatchedSocket, int], None],
    ) -> None:
        self.watched: dict[int, int] = {}
        self._ioloop = ioloop
        self._asyncio_loop = asyncio_loop_of(ioloop)
        self._handler = handler
        self._has_epoll = hasattr(select, "epoll")
        self._poll: Any = select.epoll() if self._has_epoll else select.poll()

    def ready(self, count: int) -> list[tuple[int, int]]:
        """Return sockets that are ready now, and for what, as poll(2) says it.

        Args:
            count: of them, at most.
        """
        if self._has_epoll:
            return self._poll.poll(0, count)  # type: ignore[no-any-return]
        return self._poll.poll(0)[:count]  # type: ignore[no-any-return]

    def readable(self, fds: set[int]) -> set[int]:
        """Return those of some watched sockets where there is something to read, or an end.

        Args:
            fds: which.
        """
        if 2 * len(fds) < len(self.watched):  # else too many others may be ready
            return readable_of(fds)
        return fds.intersection(fd for fd, _ in self.ready(len(self.watched)))

    def watch(self, fd: int, events: int) -> None:
        """Watch a socket, maybe watched for other events so far.

        Args:
            fd: its number.
            events: of IOLoop's.
        """
        is_watched = fd in self.watched
        self.watched[fd] = events
        self._mirror(fd, events)
        if is_watched:
            try:
                self._ioloop.update_handler(fd, events)
            except (OSError, KeyError):  # the loop has another opinion: see `_clear`
                self._clear(fd)
            else:
                return
        try:
            self._add(fd, events)
        except (OSError, ValueError):
            # Tornado's ValueError of a number that it has, or epoll's FileExistsError.
            self._clear(fd)
            self._add(fd, events)

    def _mirror(self, fd: int, events: int) -> None:
        # Ends, too, which the loop does not watch for: the turn serves such sockets first.
        try:
            self._poll.register(fd, events | _END)
        except FileExistsError:  # of epoll alone: poll's register modifies
            self._poll.modify(fd, events | _END)

    def _add(self, fd: int, events: int) -> None:
        self._ioloop.add_handler(WatchedSocket(fd), self._handler, events)

    def _clear(self, fd: int) -> None:
        """Take a number off the loop.

        libcurl has just opened it: what stands there is of a file that was closed without
        `remove_handler`, and can only confuse.
        """
        self._ioloop.remove_handler(fd)
        self._asyncio_loop.remove_reader(fd)
        self._asyncio_loop.remove_writer(fd)

    def unwatch(self, fd: int) -> None:
        """Take a socket off the loop, open or closed."""
        if self.watched.pop(fd, None) is not None:
            with contextlib.suppress(OSError, KeyError):  # closed: the kernel has taken it off
                self._poll.unregister(fd)
            try:
                self._ioloop.remove_handler(fd)
            except OSError:  # closed, and watched for two events: the first one is gone now
                self._ioloop.remove_handler(fd)

    def close(self) -> None:
        """Leave nothing on the loop."""
        # A loop that went first has taken its handlers with it.
        if not self._asyncio_loop.is_closed():
            for fd in tuple(self.watched):
                self.unwatch(fd)
        self.watched.clear()
        if self._has_epoll:
            self._poll.close()


class IdleSockets(Protocol):
    """Connections that no transfer waits for: whatever comes there was not asked for.

    Attributes:
        fds: their numbers.
    """

    fds: dict[int, int]

    def add(self, fd: int) -> None:
        """Watch one for whatever may come."""

    def add_end(self, fd: int) -> None:
        """Watch it for nothing but that the other side closes it, whatever lies there unread."""

    def discard(self, fd: int) -> None:
        """Watch it no more, open or closed."""

    def ready(self) -> list[int]:
        """Sockets that are readable."""

    def renew(self) -> None:
        """Begin anew with those that are open.

        What is closed here and open in a forked child is reported for as long as the child lives:
        under a number that may be another socket's by now.
        """

    def close(self) -> None:
        """Leave nothing on the loop."""


class EpolledIdleSockets:
    """See `IdleSockets`: a private epoll descriptor, on the loop.

    Args:
        ioloop: to register with.
        handler: for the loop to call when `ready` has something to say.
    """

    def __init__(self, ioloop: IOLoop, handler: Callable[[object, int], None]) -> None:
        self._ioloop = ioloop
        self._handler = handler
        self.fds: dict[int, int] = {}  # and what each is watched for
        self._open()

    def _open(self) -> None:
        self._epoll = select.epoll()
        # By the object and not by its number: `IOLoop.close(all_fds=True)`, which Tornado's test
        # cases use, closes what it finds, and a number would later be closed once more.
        self._ioloop.add_handler(self._epoll, self._handler, IOLoop.READ)

    def add(self, fd: int) -> None:
        """See `IdleSockets`."""
        self._watch(fd, select.EPOLLIN)

    def add_end(self, fd: int) -> None:
        """See `IdleSockets`."""
        # Not EPOLLIN: epoll would report in each turn what nobody reads there.
        self._watch(fd, select.EPOLLRDHUP)

    def _watch(self, fd: int, events: int) -> None:
        self.fds[fd] = events
        try:
            self._epoll.register(fd, events)
        except FileExistsError:
            self._epoll.modify(fd, events)

    def discard(self, fd: int) -> None:
        """See `IdleSockets`."""
        if self.fds.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def ready(self) -> list[int]:
        """See `IdleSockets`."""
        # epoll refuses to report 0 of them.
        ready = [fd for fd, _ in self._epoll.poll(0, len(self.fds) or 1)]
        watched = [fd for fd in ready if fd in self.fds]
        # One that is closed here, and open in a forked child.
        if len(watched) < len(ready):
            self.renew()
        return watched

    def renew(self) -> None:
        """See `IdleSockets`."""
        # `close` forgets them.
        events = tuple(self.fds.items())
        self.close()
        self._open()
        for fd, wanted in events:
            with contextlib.suppress(OSError):  # closed silently, as libcurl does
                self._watch(fd, wanted)

    def close(self) -> None:
        """See `IdleSockets`."""
        if not asyncio_loop_of(self._ioloop).is_closed():
            self._ioloop.remove_handler(self._epoll)
        self._epoll.close()
        self.fds.clear()


class PolledIdleSockets:
    """See `IdleSockets`: looked at before they are used, where there is no epoll."""

    def __init__(self) -> None:
        self.fds: dict[int, int] = {}

    def add(self, fd: int) -> None:
        """See `IdleSockets`."""
        self.fds[fd] = select.POLLIN

    def add_end(self, fd: int) -> None:
        """See `IdleSockets`: other events cannot be distinguished from that."""
        self.fds.pop(fd, None)

    def discard(self, fd: int) -> None:
        """See `IdleSockets`."""
        self.fds.pop(fd, None)

    def ready(self) -> list[int]:
        """See `IdleSockets`."""
        return list(readable_of(self.fds))

    def renew(self) -> None:
        """See `IdleSockets`: poll(2) asks for numbers that are open here, and for no others."""

    def close(self) -> None:
        """See `IdleSockets`."""
        self.fds.clear()


def idle_sockets(ioloop: IOLoop, handler: Callable[[object, int], None]) -> IdleSockets:
    """Return the best watch of idle connections that this system has.

    Args:
        ioloop: to register with.
        handler: is called as by `IOLoop` when `IdleSockets.ready` has something to say.
    """
    return EpolledIdleSockets(ioloop, handler) if hasattr(select, "epoll") else PolledIdleSockets()


#: The other side has said that it says no more (Linux alone reports it).
_END = getattr(select, "POLLRDHUP", 0)
#: Of `Poller.ready`: the connection is broken; and the other side has closed it, or it is broken.
FAILED = select.POLLERR | select.POLLHUP
ENDED = _END | FAILED


def readable_of(fds: Iterable[int]) -> set[int]:
    """Return those of some sockets where there is something to read, an end, or an error."""
    return _polled(fds, select.POLLIN)


def ended_of(fds: Iterable[int]) -> set[int]:
    """Return those of some sockets that the other side has closed, or that are broken."""
    return _polled(fds, _END)


def closed_of(fds: Iterable[int]) -> set[int]:
    """Return those of some numbers that are no open file's, and those of broken connections."""
    return _polled(fds, 0)


def _polled(fds: Iterable[int], events: int) -> set[int]:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, events)
    return {fd for fd, _ in poll.poll(0)}
