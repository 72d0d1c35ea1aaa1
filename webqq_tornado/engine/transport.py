"""libcurl on the IOLoop: a request goes in, a response or an error comes out.

Some facts about libcurl's multi interface on an event loop. Each was seen to break something
(libcurl 8.23, pycurl 7.49, Linux), and each has its line below.

- *libcurl forgets sockets eagerly.* It says POLL_REMOVE when a transfer ends and asks for the
  same socket again when the next one starts. Obeyed, that is two epoll_ctl and two IOLoop
  operations a request: 30 thousand requests a second instead of 50 (one core, 64 connections).
  So a removal is only noted (`_removed`, then `_parked`) and carried out when the socket was
  not asked for again by the end of the lane's next turn.

- *A handler must not outlive its socket.* The kernel reuses fd numbers at once. If some other
  code on the loop opened a file with the number of a socket that libcurl has closed while our
  handler stood, its `add_handler` would raise. libcurl closes without telling. So the rule: a
  noted removal survives the libcurl call in which it was made only if a transfer that ended in
  this very call reports the socket as its live connection (ACTIVESOCKET; negative when the
  connection is gone), and it survives a later call only if that call opened no connection (to
  open one, libcurl may first prune dead ones). Application code runs after that, never before.

- *CLOSESOCKETFUNCTION is no help*: pycurl runs it through the easy handle that opened the
  connection, and when the connection is closed while that handle is idle or gone, it is not
  run and the fd leaks. SOCKOPTFUNCTION is always run on a live handle, once for each new
  connection: there a stale registration under the new socket's number is dropped.

- *Not every fd is a connection.* The resolver's wake-up descriptors come through the socket
  callback too and are closed right after their POLL_REMOVE. The rule above covers them: they
  are nobody's ACTIVESOCKET.

- *M_MAXCONNECTS evicts idle connections inside a lane* when a transfer ends. The oldest goes
  first, so with room for several times the lane's transfers it is never one that ended this turn.

- *libcurl is not re-entrant*: nothing here calls it from inside its callbacks; readers run
  after `info_read`, outside. An exception in a callback must not pass into libcurl.

- *One kick a turn.* A started transfer asks for a timeout of 0 ms. However many were started,
  the lane calls `socket_action(SOCKET_TIMEOUT)` once, at the loop's next turn. Other timeouts
  are one deadline a lane, moved lazily: a later one only changes a number.

- *A CurlMulti with thousands of connections to one host is slow*: its pool is searched
  linearly (7 thousand requests a second at 9,000 connections, 25 thousand in lanes). Hence
  lanes of 128 transfers; a chain stays in its lane, where its connection is.

- *After a fork* the child must not touch what the parent's libcurl holds: not even close it
  (that would say goodbye on the parent's TLS connections). It is put aside, see `_forget`.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol, cast

import pycurl
from tornado.ioloop import IOLoop

from .errors import StreamError, from_curl
from .options import Options
from .request import Request
from .response import Response
from .session import Session

__all__ = ["Lane", "Outcome", "Transport"]

#: Transfers in one CurlMulti before another is opened. Also nginx's and most servers' limit of
#: streams on one HTTP/2 connection.
LANE_TRANSFERS = 128
#: Idle connections kept by a lane; more than can end in one turn (see "evicts" above).
LANE_CONNECTIONS = 4 * LANE_TRANSFERS
#: Idle easy handles kept for the next requests, about 6 KiB each.
SPARE_HANDLES = 512
#: Seconds after which a lane that nobody uses is closed, with its idle connections. Within
#: nginx's and Apache's own keep-alive (75 s and 5 s), and what libcurl trusts (118 s).
IDLE_SECONDS = 60.0
#: A lane with no more transfers than this is kicked at once instead of at the next turn.
EAGER_TRANSFERS = 2

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
_TIMES = (
    pycurl.TOTAL_TIME,
    pycurl.NAMELOOKUP_TIME,
    pycurl.CONNECT_TIME,
    pycurl.APPCONNECT_TIME,
    pycurl.PRETRANSFER_TIME,
    pycurl.STARTTRANSFER_TIME,
    pycurl.REDIRECT_TIME,
)


class Outcome(Protocol):
    """Who is told how a transfer ended: at most once, never from inside libcurl."""

    def __call__(self, result: Response | StreamError, lane: Lane, /) -> None:
        """Take the response or the error; the lane is where its connection now idles."""


class _Easy(pycurl.Curl):
    """An easy handle that knows its transfer."""

    transfer: Transfer


class Transfer:
    """An easy handle and what is in flight on it. Pooled: its options stay set."""

    __slots__ = (
        "_sockopt",
        "body",
        "discards",
        "easy",
        "header_lines",
        "lane",
        "options",
        "outcome",
        "request",
        "session",
        "url",
    )

    def __init__(self, sockopt: Callable[[int, int], int]) -> None:
        self._sockopt = sockopt
        self.easy = _Easy()
        self.easy.transfer = self
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        #: Where it is in flight; None when it ended, also if nobody was told yet.
        self.lane: Lane | None = None
        self.outcome: Outcome | None = None
        self.request: Request | None = None
        self._blank()

    def _blank(self) -> None:
        """Bring the handle to the state that `options == {}` stands for."""
        easy = self.easy
        easy.reset()
        for option, value in _BASE_OPTIONS.items():
            easy.setopt(option, value)
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._sockopt)
        easy.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)
        easy.setopt(pycurl.WRITEFUNCTION, self.body.append)
        self.discards = False
        self.options: Options = {}
        self.session: Session | None = None
        self.url = ""

    def prepare(self, request: Request, options: Options, session: Session, discards: bool) -> None:
        """Set what differs from the last request on this handle.

        Raises:
            pycurl.error, TypeError, UnicodeError: a value is refused; the handle is in doubt.
        """
        easy = self.easy
        if options is not self.options:
            self._set_options(options)
        if session is not self.session:
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

    def _set_options(self, options: Options) -> None:
        old = self.options
        if not old.keys() <= options.keys():
            self._blank()  # what is to be unset is not worth a table of its own
            old = self.options
        for option, value in options.items():
            if old.get(option) != value:
                self.easy.setopt(option, value)
        self.options = options

    def take_response(self, request: Request) -> Response:
        """The response that has arrived."""
        easy, body = self.easy, self.body
        redirected = easy.getinfo(pycurl.REDIRECT_COUNT)
        return Response(
            request,
            status=easy.getinfo(pycurl.RESPONSE_CODE),
            url=easy.getinfo(pycurl.EFFECTIVE_URL) if redirected else self.url,
            header_lines=self.header_lines[:],
            body=body[0] if len(body) == 1 else b"".join(body),
            times=tuple(map(easy.getinfo, _TIMES)),
        )

    def close(self) -> None:
        """Close the handle; it must not be in flight."""
        del self.easy.transfer  # or the two would keep each other alive
        self.easy.close()


class Lane:
    """One CurlMulti: its transfers, its sockets on the loop, its timer."""

    __slots__ = (
        "_busy",
        "_deadline",
        "_ended",
        "_kick_is_due",
        "_multi",
        "_parked",
        "_removed",
        "_timer",
        "_timer_at",
        "_transport",
        "_turn_is_due",
        "active",
        "idle_since",
    )

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        #: Transfers in flight.
        self.active = 0
        #: Loop time at which the last transfer ended, for `Transport._sweep`.
        self.idle_since = 0.0
        self._removed: list[int] = []  # sockets let go in the libcurl call under way
        self._parked: set[int] = set()  # let go, but alive and still registered on the loop
        self._ended: deque[tuple[Transfer, int, str]] = deque()  # to be told to their outcomes
        self._busy = False  # a turn is at work; `_rest` will see to the next one
        self._turn_is_due = False
        self._kick_is_due = False
        self._deadline: float | None = None  # loop time at which libcurl wants to be kicked
        self._timer: object | None = None
        self._timer_at = 0.0
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        multi.setopt(pycurl.M_MAXCONNECTS, LANE_CONNECTIONS)

    def __repr__(self) -> str:
        return f"<Lane {self.active} transfers, {len(self._parked)} parked sockets>"

    # -- libcurl's callbacks: they take notes and change registrations, no more -------------

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._removed.append(fd)
            return
        if self._removed and fd in self._removed:
            self._removed.remove(fd)
        self._parked.discard(fd)
        self._transport.watch(fd, _EVENTS[what], self)

    def _on_timer(self, timeout_ms: int) -> None:
        if timeout_ms == 0:
            self._deadline = None
            self._kick_is_due = True
            if not self._busy:
                self._schedule_turn()
        elif timeout_ms < 0:
            self._deadline = None
        else:
            self._deadline = at = self._transport.time() + timeout_ms / 1000
            if self._timer is None or at < self._timer_at:
                self._set_timer(at)

    # -- turns ------------------------------------------------------------------------------

    def handle_events(self, fd: int, events: int) -> None:
        """The loop says that a socket of ours is ready."""
        selected = _SELECTED.get(events)
        self._busy = True
        self._act(fd, _selected(events) if selected is None else selected)
        if self._ended:
            self._tell_outcomes()
        if self._kick_is_due and self.active <= EAGER_TRANSFERS:
            # Alone in its lane, a conversation need not wait for others to share its kick.
            self._turn()
        self._rest()

    def _on_turn(self) -> None:
        self._turn_is_due = False
        self._busy = True
        self._turn()
        self._rest()

    def _turn(self) -> None:
        """Kick libcurl if it asked for it; drop the handlers of sockets left alone since."""
        parked = tuple(self._parked)
        if self._kick_is_due:
            self._kick_is_due = False
            self._act(pycurl.SOCKET_TIMEOUT, 0)
        if parked:
            self._drop(fd for fd in parked if fd in self._parked)
        if self._ended:
            self._tell_outcomes()

    def _rest(self) -> None:
        self._busy = False
        if self._kick_is_due or self._parked:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self._transport.call_soon(self._on_turn)

    def _act(self, fd: int, selected: int) -> None:
        """Let libcurl work on one socket, or on its timeouts; then bring order to the sockets."""
        running = self._multi.socket_action(fd, selected)[1]
        alive = self._collect() if running < self.active else ()
        if self._removed or self._transport.opened:
            self._settle(alive)

    def _collect(self) -> Iterable[int]:
        """Take the transfers that ended off the multi.

        Returns:
            The sockets of their connections, as far as these live on.
        """
        _, succeeded, failed = self._multi.info_read()
        alive = []
        for easy in succeeded:
            alive.append(easy.getinfo(pycurl.ACTIVESOCKET))
            self._detach(easy, 0, "")
        for easy, code, text in failed:
            alive.append(easy.getinfo(pycurl.ACTIVESOCKET))
            self._detach(easy, code, text)
        return alive

    def _detach(self, easy: pycurl.Curl, code: int, text: str) -> None:
        self._multi.remove_handle(easy)
        self.active -= 1
        transfer = cast(_Easy, easy).transfer
        transfer.lane = None
        self._ended.append((transfer, code, text))

    def _settle(self, alive: Iterable[int]) -> None:
        """Decide on the sockets that libcurl let go of; see "A handler must not outlive"."""
        if self._transport.opened:
            self._transport.opened = False
            self._drop(self._parked)
        for fd in self._removed:
            if fd in alive:
                self._parked.add(fd)
            else:
                self._transport.unwatch(fd, self)
        self._removed.clear()

    def _drop(self, fds: Iterable[int]) -> None:
        for fd in tuple(fds):
            self._parked.discard(fd)
            self._transport.unwatch(fd, self)

    def lose_socket(self, fd: int) -> None:
        """The number now belongs to another socket: ours is closed."""
        if fd in self._removed:
            self._removed.remove(fd)
        self._drop((fd,))

    def _tell_outcomes(self) -> None:
        ended, transport = self._ended, self._transport
        try:
            while ended:
                transfer, code, text = ended.popleft()
                outcome, request = transfer.outcome, transfer.request
                if outcome is None or request is None:  # cancelled after it had ended
                    transport.release(transfer)
                    continue
                result = (
                    from_curl(code, text, method=request.method, url=request.url, request=request)
                    if code
                    else transfer.take_response(request)
                )
                transport.release(transfer)
                outcome(result, self)
        finally:
            if ended:  # something like KeyboardInterrupt came through: the rest is not lost
                self._schedule_turn()
            if not self.active:
                self.idle_since = transport.time()

    def _on_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        # libcurl counts whole milliseconds; to come one early would only bring us back.
        if self._deadline > self._transport.time() + 0.0005:
            self._set_timer(self._deadline)
            return
        self._deadline = None
        self._kick_is_due = True
        self._on_turn()

    def _set_timer(self, at: float) -> None:
        ioloop = self._transport.ioloop
        if self._timer is not None:
            ioloop.remove_timeout(self._timer)
        self._timer_at = at
        self._timer = ioloop.call_at(at, self._on_deadline)

    # -- the transport's side -----------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Nothing in flight, and nobody still to be told."""
        return not self.active and not self._ended

    def start(self, transfer: Transfer) -> None:
        """Put a prepared transfer into flight."""
        self._multi.add_handle(transfer.easy)
        transfer.lane = self
        self.active += 1

    def cancel(self, transfer: Transfer) -> None:
        """Take a transfer out of flight; over HTTP/1 this closes its connection."""
        self._multi.remove_handle(transfer.easy)
        transfer.lane = None
        self.active -= 1
        if not self.active:
            self.idle_since = self._transport.time()
        if self._removed or self._transport.opened:
            self._settle(())

    def close(self) -> None:
        """Close the connections. Timer first, then handlers, then the multi."""
        self._deadline = None
        if self._timer is not None:
            self._transport.ioloop.remove_timeout(self._timer)
            self._timer = None
        self._transport.unwatch_lane(self)
        self._parked.clear()
        self._kick_is_due = False
        for option in (pycurl.M_SOCKETFUNCTION, pycurl.M_TIMERFUNCTION):
            self._multi.setopt(option, None)
        self._multi.close()

    def abandon(self) -> pycurl.CurlMulti:
        """In a forked child: what must neither be used nor closed."""
        return self._multi


class Transport:
    """Easy handles, lanes and sockets on one IOLoop.

    Not safe across threads: all calls belong to the loop's thread.

    Attributes:
        ioloop: whose `add_handler` is told of libcurl's sockets.
        fd_map: what is registered there now: fd to (lane, events).
        opened: a connection was opened in the libcurl call under way.
    """

    def __init__(self, ioloop: IOLoop, handler: Callable[[int, int], None]) -> None:
        self.ioloop = ioloop
        self.fd_map: dict[int, tuple[Lane, int]] = {}
        self.opened = False
        self.time = ioloop.time
        # IOLoop.add_callback would wrap each call; every loop of Tornado's is asyncio's.
        self.call_soon = ioloop.asyncio_loop.call_soon  # type: ignore[attr-defined]
        self._handler = handler
        self._lanes: list[Lane] = []
        self._spare: list[Transfer] = []
        self._sweep_timer: object | None = None
        self._closed = False
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
    ) -> Transfer:
        """Start a transfer.

        Args:
            request: what to send.
            options: `compile_options` of it.
            session: in whose name.
            outcome: is called once with what came of it, unless the transfer is cancelled.
            lane: where the last request of this conversation left its connection.
            discards: the body is not wanted.

        Raises:
            ValueError: libcurl refuses an option or its value.
        """
        transfer = self._spare.pop() if self._spare else Transfer(self._on_new_socket)
        try:
            transfer.prepare(request, options, session, discards)
        except (pycurl.error, TypeError, UnicodeError) as error:
            transfer.easy.close()
            raise ValueError(f"{request!r} has an option that libcurl refuses: {error}") from error
        transfer.outcome = outcome
        if lane is None or lane.active >= LANE_TRANSFERS:
            lane = self._lane_with_room()
        lane.start(transfer)
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """Stop a transfer; its outcome will not be called."""
        transfer.outcome = None
        if transfer.lane is not None:
            transfer.lane.cancel(transfer)
            self.release(transfer)

    def release(self, transfer: Transfer) -> None:
        """Take back a handle that is not in flight."""
        transfer.body.clear()
        transfer.header_lines.clear()
        transfer.outcome = transfer.request = None
        if len(self._spare) < SPARE_HANDLES and not self._closed:
            self._spare.append(transfer)
        else:
            transfer.close()

    @property
    def active(self) -> int:
        """Transfers in flight."""
        return sum(lane.active for lane in self._lanes)

    def close(self) -> None:
        """Close all: handlers and timers, then multis, then easy handles.

        Transfers in flight must have been cancelled.
        """
        self._closed = True
        if self.ioloop.asyncio_loop.is_closed():  # type: ignore[attr-defined]
            self.fd_map.clear()  # it went first, and its handlers with it
        if self._sweep_timer is not None:
            self.ioloop.remove_timeout(self._sweep_timer)
            self._sweep_timer = None
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        for transfer in self._spare:
            transfer.close()
        self._spare.clear()
        _living.discard(self)

    # -- for the lanes ----------------------------------------------------------------------

    def watch(self, fd: int, events: int, lane: Lane) -> None:
        """Have the loop tell us when the socket is ready."""
        known = self.fd_map.get(fd)
        if known == (lane, events):
            return
        self.fd_map[fd] = (lane, events)
        if known is not None:
            self.ioloop.update_handler(fd, events)
            return
        try:
            self.ioloop.add_handler(fd, self._handler, events)
        except ValueError:
            # Somebody else's handler stands under the number of a socket that libcurl has just
            # opened: theirs has been closed without remove_handler, and can only confuse.
            self.ioloop.remove_handler(fd)
            self.ioloop.add_handler(fd, self._handler, events)

    def unwatch(self, fd: int, lane: Lane) -> None:
        """The loop is to forget a socket of the lane, which may be closed already."""
        known = self.fd_map.get(fd)
        if known is not None and known[0] is lane:
            del self.fd_map[fd]
            self.ioloop.remove_handler(fd)

    def unwatch_lane(self, lane: Lane) -> None:
        """The loop is to forget all sockets of a lane."""
        for fd in [fd for fd, (owner, _) in self.fd_map.items() if owner is lane]:
            self.unwatch(fd, lane)

    def _on_new_socket(self, fd: int, _purpose: int) -> int:
        # In a libcurl callback. A registration under this number is of a socket that is gone.
        self.opened = True
        known = self.fd_map.get(fd)
        if known is not None:
            known[0].lose_socket(fd)
        return pycurl.SOCKOPT_OK

    # -- lanes --------------------------------------------------------------------------------

    def _lane_with_room(self) -> Lane:
        for lane in self._lanes:
            if lane.active < LANE_TRANSFERS:
                return lane
        lane = Lane(self)
        self._lanes.append(lane)
        if self._sweep_timer is None:
            self._sweep_timer = self.ioloop.call_later(IDLE_SECONDS, self._sweep)
        return lane

    def _sweep(self) -> None:
        """Close lanes that nobody has used for a while, and with them their connections."""
        self._sweep_timer = None
        stale = self.time() - IDLE_SECONDS
        for lane in [lane for lane in self._lanes if lane.is_idle and lane.idle_since < stale]:
            self._lanes.remove(lane)
            lane.close()
        if self._lanes:
            self._sweep_timer = self.ioloop.call_later(IDLE_SECONDS, self._sweep)

    def _forget(self) -> list[object]:
        """In a forked child: what must neither be used nor closed, see the facts above."""
        self._closed = True
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
