"""libcurl on the IOLoop: a request goes in, a response or an error comes out.

Some facts about libcurl's multi interface on an event loop. Each was seen to break something
or to cost time (libcurl 8.23, pycurl 7.49, Linux), and each has its line below.

- *libcurl forgets sockets eagerly.* It says POLL_REMOVE when a transfer ends and asks for the
  same socket again when the next one starts. Obeyed, that is two epoll_ctl and two IOLoop
  operations a request. So a removal only takes the socket off `fd_map`; it stays registered
  with `Readiness` until it reports an event that nobody wants.

- *libcurl closes sockets without a word*, and the kernel reuses their numbers at once.
  CLOSESOCKETFUNCTION is no help: pycurl runs it through the easy handle that opened the
  connection, and when the connection is closed while that handle is idle or gone, it is not
  run and the fd leaks. SOCKOPTFUNCTION is always run on a live handle, once for each new
  connection: there we learn that what was known under the number is of the past.

- *Not every fd is a connection.* The resolver's wake-up descriptors come through the socket
  callback too, never through SOCKOPTFUNCTION, and are closed right after their POLL_REMOVE:
  these are unregistered at once.

- *libcurl is not re-entrant*: nothing here calls it from inside its callbacks; readers run
  after `info_read`, outside. An exception must not pass into libcurl: the callbacks here only
  take notes.

- *One kick a turn.* A started transfer asks for a timeout of 0 ms. However many were started
  while the ready sockets were served, `socket_action(SOCKET_TIMEOUT)` is called once for each
  lane. Other timeouts are one deadline a lane, moved lazily: a later one changes a number.

- *A CurlMulti with thousands of connections to one host is slow*: its pool is searched
  linearly (7 thousand requests a second at 9,000 connections, 25 thousand in lanes). Hence
  lanes of 128 transfers; a chain stays in its lane, where its connection is.

- *After a fork* the child must not touch what the parent's libcurl holds: not even close it
  (that would say goodbye on the parent's TLS connections). It is put aside, see `_forget`.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol, cast

import pycurl
from tornado.ioloop import IOLoop

from .errors import StreamError, from_curl
from .multipart import build_mime
from .options import Options
from .readiness import readiness_for
from .request import Multipart, Request
from .response import Response
from .session import Session

__all__ = ["Lane", "Outcome", "Transport"]

#: Transfers in one CurlMulti before another is opened. Also nginx's and most servers' limit of
#: streams on one HTTP/2 connection.
LANE_TRANSFERS = 128
#: Connections kept by a lane, idle ones included.
LANE_CONNECTIONS = 4 * LANE_TRANSFERS
#: Idle easy handles kept for the next requests, about 6 KiB each.
SPARE_HANDLES = 512
#: Seconds after which a lane that nobody uses is closed, with its idle connections. Within
#: nginx's and Apache's own keep-alive (75 s and 5 s), and what libcurl trusts (118 s).
IDLE_SECONDS = 60.0

_EVENTS = {
    pycurl.POLL_IN: IOLoop.READ,
    pycurl.POLL_OUT: IOLoop.WRITE,
    pycurl.POLL_INOUT: IOLoop.READ | IOLoop.WRITE,
}
_SELECTED = {IOLoop.READ: pycurl.CSELECT_IN, IOLoop.WRITE: pycurl.CSELECT_OUT}

_BASE_OPTIONS: Options = {
    pycurl.NOSIGNAL: 1,  # libcurl must not touch signals; its resolver has its own thread
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.REDIR_PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.COOKIEFILE: "",
}
#: In the order of `response.TIMES`. On a connection that was there already the later ones are 0.
_TIMES_OF_EACH = (pycurl.TOTAL_TIME, pycurl.PRETRANSFER_TIME, pycurl.STARTTRANSFER_TIME)
_TIMES_OF_FIRST = (
    *_TIMES_OF_EACH,
    pycurl.NAMELOOKUP_TIME,
    pycurl.CONNECT_TIME,
    pycurl.APPCONNECT_TIME,
    pycurl.REDIRECT_TIME,
)

_BYTES = (pycurl.SIZE_UPLOAD_T, pycurl.SIZE_DOWNLOAD_T, pycurl.HEADER_SIZE, pycurl.REQUEST_SIZE)


class Outcome(Protocol):
    """Who is told how a transfer ended: at most once, never from inside libcurl."""

    def __call__(self, result: Response | StreamError, lane: Lane | None, /) -> None:
        """Take the response or the error; the lane is where its connection now idles."""


class _Easy(pycurl.Curl):
    """An easy handle that knows its transfer."""

    transfer: Transfer


class Transfer:
    """An easy handle and what is in flight on it. Pooled: its options stay set."""

    __slots__ = (
        "_on_new_socket",
        "body",
        "discards",
        "easy",
        "header_lines",
        "home",
        "lane",
        "mime",
        "opened",
        "options",
        "outcome",
        "request",
        "session",
        "url",
    )

    def __init__(self, on_new_socket: Callable[[int], None]) -> None:
        self._on_new_socket = on_new_socket
        self.opened = False  # a connection, for the request in flight
        self.easy = _Easy()
        self.easy.transfer = self
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.lane: Lane | None = None  # where it is in flight
        self.home: Lane | None = None  # where it was last
        self.mime: pycurl.CurlMime | None = None  # a multipart body, which is set only once
        self.outcome: Outcome | None = None
        self.request: Request | None = None
        self.session: Session | None = None  # its share is the one thing that reset() leaves
        self._blank()

    def _blank(self) -> None:
        """Bring the handle to the state that `options == {}` stands for."""
        easy = self.easy
        easy.reset()
        if self.mime is not None:
            self.mime.close()
            self.mime = None
        for option, value in _BASE_OPTIONS.items():
            easy.setopt(option, value)
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._on_sockopt)
        easy.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)
        easy.setopt(pycurl.WRITEFUNCTION, self.body.append)
        self.discards = False
        self.options: Options = {}
        self.url = ""

    def _on_sockopt(self, fd: int, _purpose: int) -> int:
        self.opened = True
        self._on_new_socket(fd)
        return pycurl.SOCKOPT_OK

    def prepare(self, request: Request, options: Options, session: Session, discards: bool) -> None:
        """Set what differs from the last request on this handle.

        Raises:
            pycurl.error, TypeError, UnicodeError: a value is refused; the handle is in doubt.
        """
        easy = self.easy
        if self.mime is not None:
            self._blank()
        if options is not self.options:
            self._set_options(options)
        if isinstance(request.body, Multipart):
            self.mime = build_mime(easy, request.body)
            easy.setopt(pycurl.MIMEPOST, self.mime)
        if session is not self.session:
            if self.session is not None:
                easy.unsetopt(pycurl.SHARE)
            easy.setopt(pycurl.SHARE, session.share)
            easy.setopt(pycurl.COOKIEFILE, "")  # taking part in a share forgets it
            self.session = session
        if request.url != self.url:
            easy.setopt(pycurl.URL, request.url)
            self.url = request.url
        if discards is not self.discards:
            # len() answers "all taken" and keeps nothing: a body nobody reads costs nothing.
            easy.setopt(pycurl.WRITEFUNCTION, len if discards else self.body.append)
            self.discards = discards
        self.request = request
        self.opened = False

    def _set_options(self, options: Options) -> None:
        old = self.options
        if not old.keys() <= options.keys():
            self._blank()  # what is to be unset is not worth a table of its own
            old = self.options
        for option, value in options.items():
            if old.get(option) != value:
                self.easy.setopt(option, value)
        self.options = options

    def take(self, request: Request) -> Response | StreamError:
        """The response that has arrived."""
        easy, body = self.easy, self.body
        if self.header_lines and self.header_lines[-1] != b"\r\n" and self._is_cut():
            return self.take_error(request, 8, "The server broke off in the headers")
        redirected = easy.getinfo(pycurl.REDIRECT_COUNT)
        times = _TIMES_OF_FIRST if self.opened or redirected else _TIMES_OF_EACH
        return Response(
            request,
            easy.getinfo(pycurl.RESPONSE_CODE),
            easy.getinfo(pycurl.EFFECTIVE_URL) if redirected else self.url,
            self.header_lines[:],
            body[0] if len(body) == 1 else b"".join(body),
            tuple(map(easy.getinfo, times)),
        )

    def take_error(self, request: Request, code: int, text: str) -> StreamError:
        """What libcurl's number means for the request."""
        is_proxied = bool(self.easy.getinfo(pycurl.USED_PROXY))
        return from_curl(
            code,
            text,
            method=request.method,
            url=request.url,
            request=request,
            is_proxied=is_proxied,
        )

    def bytes_moved(self) -> int:
        """Bytes sent and received so far; only good for telling whether there were more."""
        moved: int = sum(map(self.easy.getinfo, _BYTES))
        return moved

    def _is_cut(self) -> bool:
        """The headers have no end: libcurl takes that for a response without a body."""
        # After the end there may be trailers.
        return not any(line in (b"\r\n", b"\n") for line in self.header_lines)

    def close(self) -> None:
        """Close the handle; it must not be in flight."""
        # They keep each other alive: by the attribute, and by the callbacks.
        if self.mime is not None:
            self.mime.close()
        self.easy.close()
        del self.easy.transfer


class Lane:
    """One CurlMulti: its transfers, its timer, and whether it wants a kick.

    Attributes:
        active: transfers in flight.
        idle_since: when it was last seen without any, in seconds of `time.monotonic`.
        add_handle, remove_handle, socket_action, info_read: libcurl's own.
    """

    __slots__ = (
        "_deadline",
        "_fd_map",
        "_multi",
        "_registered",
        "_timer",
        "_timer_at",
        "_transport",
        "active",
        "add_handle",
        "idle_since",
        "info_read",
        "is_closed",
        "is_due",
        "remove_handle",
        "socket_action",
    )

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._fd_map = transport.fd_map
        self._registered = transport.registered
        self.active = 0
        self.idle_since = 0.0
        self.is_closed = False
        self.is_due = False  # libcurl asked for a kick, and did not get it yet
        self._deadline: float | None = None  # when libcurl wants to be kicked
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        multi.setopt(pycurl.M_MAXCONNECTS, LANE_CONNECTIONS)
        self.add_handle = multi.add_handle
        self.remove_handle = multi.remove_handle
        self.socket_action = multi.socket_action
        self.info_read = multi.info_read

    def __repr__(self) -> str:
        return f"<Lane {self.active} transfers>"

    def close(self) -> None:
        """Close the connections. First the timer goes, then the multi."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for option in (pycurl.M_SOCKETFUNCTION, pycurl.M_TIMERFUNCTION):
            self._multi.setopt(option, None)
        self._multi.close()

    def abandon(self) -> pycurl.CurlMulti:
        """In a forked child: what must neither be used nor closed."""
        return self._multi

    # -- libcurl's callbacks: they take notes, no more ----------------------------------------

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._fd_map.pop(fd, None)
            if fd not in self._transport.lasting:
                self._transport.unregister(fd)
            return
        self._fd_map[fd] = self
        events = _EVENTS[what]
        if self._registered.get(fd) != events:
            self._transport.register(fd, events)

    def _on_timer(self, timeout_ms: int) -> None:
        if timeout_ms == 0:
            if not self.is_due:
                self.is_due = True
                self._transport.kick_soon(self)
        elif timeout_ms < 0:
            self._deadline = None
        else:
            self._deadline = at = monotonic() + timeout_ms / 1000
            if self._timer is None or at < self._timer_at:
                self._set_timer(at)

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
        if not self.is_due:
            self.is_due = True
            self._transport.kick_soon(self)


class Transport:
    """Easy handles, lanes and sockets on one IOLoop.

    Not safe across threads: all calls belong to the loop's thread.

    Args:
        ioloop: to work on.
        handler: what `IOLoop.add_handler` is to call; it calls `handle_events`.

    Attributes:
        fd_map: the sockets that libcurl waits for now, and whose lane does.
        registered: the sockets that the loop watches, and for what.
        lasting: numbers of sockets that stay registered when libcurl lets them go.
    """

    def __init__(self, ioloop: IOLoop, handler: Callable[[int, int], None]) -> None:
        self.fd_map: dict[int, Lane] = {}
        self.registered: dict[int, int] = {}
        self.lasting: set[int] = set()
        # IOLoop's own add_callback and call_later wrap each call; its loop is always asyncio's.
        self._asyncio_loop: asyncio.AbstractEventLoop = ioloop.asyncio_loop  # type: ignore[attr-defined]
        self.call_soon = self._asyncio_loop.call_soon
        self.call_later = self._asyncio_loop.call_later
        self._readiness = readiness_for(ioloop, handler)
        self._lanes: list[Lane] = []
        self._spare: list[Transfer] = []
        self._due: deque[Lane] = deque()  # lanes to kick
        self._ended: deque[tuple[Transfer, int, str]] = deque()  # to be told to their outcomes
        self._is_turning = False  # a turn is at work and will see to what it leads to
        self._turn_is_due = False
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.is_forgotten = False  # by a fork: it is the parent's
        _living.add(self)

    # -- for the stream ---------------------------------------------------------------------

    def submit(
        self,
        request: Request,
        options: Options,
        session: Session,
        outcome: Outcome,
        *,
        lane: Lane | None = None,
        discards: bool = False,
        idle_timeout: float = 0,
    ) -> Transfer:
        """Start a transfer.

        Args:
            request: what to send.
            options: `compile_options` of it.
            session: in whose name.
            outcome: is called once with what came of it, unless the transfer is cancelled.
            lane: where the last request of this conversation left its connection.
            discards: the body is not wanted.
            idle_timeout: seconds without a byte in either direction; 0: no limit.

        Raises:
            ValueError: libcurl refuses an option or its value.
        """
        transfer = self._spare.pop() if self._spare else Transfer(self._on_new_socket)
        try:
            transfer.prepare(request, options, session, discards)
        except (pycurl.error, TypeError, UnicodeError) as error:
            transfer.close()
            raise ValueError(f"{request!r} has an option that libcurl refuses: {error}") from error
        transfer.outcome = outcome
        if lane is None or lane.is_closed or lane.active >= LANE_TRANSFERS:
            lane = self._lane_with_room()
        transfer.lane = transfer.home = lane
        lane.add_handle(transfer.easy)
        lane.active += 1
        if idle_timeout:
            self._watch_idle(transfer, request, idle_timeout)
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """Stop a transfer; its outcome will not be called."""
        transfer.outcome = None
        lane = transfer.lane
        if lane is not None and not self.is_forgotten:  # else it has ended and is about to be told
            lane.remove_handle(transfer.easy)  # over HTTP/1 this closes its connection
            lane.active -= 1
            self._release(transfer)

    def _watch_idle(self, transfer: Transfer, request: Request, seconds: float) -> None:
        """End a transfer in which nothing moves.

        Not by LOW_SPEED_TIME: libcurl looks at the mean of some seconds, once a second for each
        transfer; a limit of 1 s took 7 s when a few bytes had come.
        """
        moved, since = transfer.bytes_moved(), monotonic()

        def look() -> None:
            nonlocal moved, since
            if transfer.request is not request or transfer.lane is None:
                return  # it has ended
            now_moved, now = transfer.bytes_moved(), monotonic()
            if now_moved != moved:
                moved, since = now_moved, now
            elif now - since >= seconds:
                self._end_early(transfer, 28, f"No byte moved for {seconds:g} seconds")
                return
            self.call_later(min(seconds / 4, 5.0), look)

        self.call_later(min(seconds / 4, 5.0), look)

    def _end_early(self, transfer: Transfer, code: int, text: str) -> None:
        """End a transfer as libcurl would have with this code."""
        lane = transfer.lane
        if lane is not None:
            lane.remove_handle(transfer.easy)
            lane.active -= 1
            transfer.lane = None
            self._ended.append((transfer, code, text))
            self._schedule_turn()

    def close(self) -> None:
        """Close all: timers, then handlers, then multis, then easy handles.

        Transfers in flight must have been cancelled.
        """
        self._closed = True
        if self.is_forgotten:
            return
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._readiness.close()
        for lane in self._lanes:
            lane.close()
        for transfer in self._spare:
            transfer.close()
        for forgotten in (self.fd_map, self.registered, self._lanes, self._spare, self._due):
            forgotten.clear()
        _living.discard(self)

    # -- turns ------------------------------------------------------------------------------

    def handle_events(self) -> None:
        """Some of our sockets are ready: serve them, then kick the lanes that ask for it."""
        self._is_turning = True
        lane_of, selected, finished = self.fd_map.get, _SELECTED, []
        try:
            for fd, events in self._readiness.ready():
                lane = lane_of(fd)
                if lane is None:
                    self.unregister(fd)
                    continue
                selection = selected.get(events) or _selected(events)
                if lane.socket_action(fd, selection)[1] < lane.active and lane not in finished:
                    finished.append(lane)
            for lane in finished:
                self._collect(lane)
        finally:
            self._turn()

    def kick_soon(self, lane: Lane) -> None:
        """The lane is kicked when this turn ends, or else at the loop's next one."""
        self._due.append(lane)
        if not self._is_turning:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._turn_is_due = False
        self._turn()

    def _turn(self) -> None:
        """Tell the outcomes, then start what they led to."""
        self._is_turning = True
        try:
            if self._ended:
                self._tell_outcomes()
            for _ in range(len(self._due)):
                lane = self._due.popleft()
                lane.is_due = False
                if lane.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1] < lane.active:
                    self._collect(lane)
        finally:
            self._is_turning = False
            if (self._ended or self._due) and not self._closed:
                # What ended at once waits for the loop's next turn: others are to run too.
                self._schedule_turn()

    def _collect(self, lane: Lane) -> None:
        """Take the transfers that ended off their lane."""
        _, succeeded, failed = lane.info_read()
        lane.active -= len(succeeded) + len(failed)
        ended = [(easy, 0, "") for easy in succeeded]
        for easy, code, text in ended + failed if failed else ended:
            lane.remove_handle(easy)
            transfer = cast(_Easy, easy).transfer
            transfer.lane = None
            self._ended.append((transfer, code, text))

    def _tell_outcomes(self) -> None:
        ended = self._ended
        while ended:
            transfer, code, text = ended.popleft()
            request, outcome, lane = transfer.request, transfer.outcome, transfer.home
            if outcome is None or request is None:  # cancelled after it had ended
                self._release(transfer)
                continue
            result = transfer.take_error(request, code, text) if code else transfer.take(request)
            self._release(transfer)
            outcome(result, lane)

    def _release(self, transfer: Transfer) -> None:
        """Take back a handle that is not in flight."""
        transfer.body.clear()
        transfer.header_lines.clear()
        transfer.lane = transfer.outcome = transfer.request = None
        if len(self._spare) < SPARE_HANDLES and not self._closed:
            self._spare.append(transfer)
        else:
            transfer.close()

    # -- sockets ------------------------------------------------------------------------------

    def register(self, fd: int, events: int) -> None:
        """Have the loop watch a socket, maybe watched for other events so far."""
        known = fd in self.registered
        self.registered[fd] = events
        (self._readiness.modify if known else self._readiness.register)(fd, events)

    def unregister(self, fd: int) -> None:
        """Have the loop forget a socket, which may be closed already."""
        if self.registered.pop(fd, None) is not None:
            self._readiness.unregister(fd)

    def _on_new_socket(self, fd: int) -> None:
        """What is known under this number is of a socket that is gone. Called inside libcurl."""
        self.fd_map.pop(fd, None)
        if self._readiness.outlives_sockets:
            self.lasting.add(fd)
            self.registered.pop(fd, None)
        else:
            self.unregister(fd)

    # -- lanes --------------------------------------------------------------------------------

    def _lane_with_room(self) -> Lane:
        for lane in self._lanes:
            if lane.active < LANE_TRANSFERS:
                return lane
        lane = Lane(self)
        self._lanes.append(lane)
        if self._sweep_timer is None:
            self._sweep_timer = self.call_later(IDLE_SECONDS, self._sweep)
        return lane

    def _sweep(self) -> None:
        """Close lanes that nobody has used for a while, and with them their connections."""
        self._sweep_timer = None
        stale = monotonic() - IDLE_SECONDS
        for lane in tuple(self._lanes):
            if lane.active:
                lane.idle_since = 0.0
            elif not lane.idle_since:
                lane.idle_since = monotonic()
            elif lane.idle_since <= stale:
                self._lanes.remove(lane)
                lane.close()
        if self._lanes:
            self._sweep_timer = self.call_later(IDLE_SECONDS, self._sweep)

    def _forget(self) -> list[object]:
        """In a forked child: what must neither be used nor closed, see the facts above."""
        self._closed = self.is_forgotten = True
        kept: list[object] = [lane.abandon() for lane in self._lanes]
        kept.extend(transfer.easy for transfer in self._spare)
        self._lanes.clear()
        self._spare.clear()
        return kept


def _selected(events: int) -> int:
    """IOLoop's events as libcurl's."""
    selected = 0
    if events & IOLoop.READ:
        selected |= pycurl.CSELECT_IN
    if events & IOLoop.WRITE:
        selected |= pycurl.CSELECT_OUT
    if events & IOLoop.ERROR:
        selected |= pycurl.CSELECT_ERR
    return selected


_living: weakref.WeakSet[Transport] = weakref.WeakSet()
_parents: list[object] = []  # in a forked child: never closed


def _after_fork() -> None:
    for transport in tuple(_living):
        _parents.append(transport._forget())
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
