"""libcurl on the IOLoop: a request goes in, a response or an error comes out.

Some facts about libcurl's multi interface on an event loop. Each was seen to break something
or to cost time (libcurl 8.23, pycurl 7.49, Linux), and each has its line below.

- *libcurl forgets sockets eagerly.* It says POLL_REMOVE when a transfer ends and asks for the
  same socket again when the next one starts. Obeyed, that is two epoll_ctl and two IOLoop
  operations a request. So a socket whose connection lives stays on the loop while the readers
  of its turn run, and keeps its handler if the kick that ends the turn asks for it again.

- *libcurl closes sockets silently*, and the kernel reuses their numbers at once. A handler
  that outlives its socket makes the next `add_handler` for the same number raise. libcurl
  closes inside its own calls only: before any of the user's code runs, `_release_sockets` has taken
  off the loop whatever libcurl let go and did not prove to be alive (by ACTIVESOCKET); and before
  users' code has libcurl do something in between, what was kept goes, too.
  CLOSESOCKETFUNCTION is no help: pycurl runs it through the easy handle that opened the
  connection, and when the connection is closed while that handle is idle or gone, it is not
  run and the fd leaks. SOCKOPTFUNCTION is always run on a live handle, once for each new
  connection: there we learn that the fd number now means a new socket.

- *Not every fd is a connection.* The resolver's wake-up descriptors come through the socket
  callback too, never through SOCKOPTFUNCTION, and are closed right after their POLL_REMOVE:
  these are unregistered at once.

- *libcurl looks for dead connections once a second*, and sends on what died in between; and when
  no byte of an answer comes, it sends the request again by itself, a POST too. Hence `connections`,
  which sees to idle ones, and `Transfer._on_send`, which refuses the second sending.

- *Closing a multi joins its resolver's threads*: the loop would stand still for as long as a lookup
  lasts. One with a lookup under way is closed later. A multi has 20 such threads: transfers to new
  names are spread over lanes, so that slow names delay no others.

- *libcurl is not re-entrant*: nothing here calls it from inside its callbacks; readers run
  after `info_read`, outside. An exception must not pass into libcurl: the callbacks here only
  take notes.

- *One kick a turn.* However many transfers were started while the ready sockets were served,
  `socket_action(SOCKET_TIMEOUT)` is called once for each lane, and once for each lane libcurl is
  asked when it wants the next. (Its timer callback would say so 1.6 times a request: 0.6 of 18
  microseconds.) That is one deadline a lane, moved lazily: a later one changes a number.

- *A CurlMulti with thousands of connections to one host is slow*: its pool is searched
  linearly (7 thousand requests a second at 9,000 connections, 25 thousand in lanes). Hence
  lanes of 128 transfers; a chain stays in its lane, where its connection is.

- *After a fork* the child must not touch what the parent's libcurl holds: not even close it
  (that would say goodbye on the parent's TLS connections). It is put aside, see `_forget`. In the
  parent a socket that is closed stays in epoll while the child has it: see `_renew_idle`.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import defaultdict, deque
from collections.abc import Callable
from time import monotonic

import pycurl
from tornado.ioloop import IOLoop

from ..errors import ClosedError, ConnectError, StreamError, as_failure
from ..eventloop import asyncio_loop_of, is_nested
from ..request import Request
from ..response import Response, StreamedResponse
from ..secrets import safe_url
from ..session import Session
from .callbacks import TransferCallbacks
from .connections import Connections
from .headerlines import is_cut
from .lane import LANE_TRANSFERS, Lane, postponed
from .lanepool import LanePool
from .options import Options
from .poller import ENDED, FAILED, Poller, WatchedSocket, closed_of, idle_sockets
from .silence import SilenceWatch
from .transfer import Outcome, Transfer, getinfo

__all__ = ["Transport"]

#: Idle easy handles kept for the next requests, about 6 KiB each.
SPARE_HANDLES = 512
#: Sockets served in one turn, 20 ms of work at most: the loop's other callbacks come in between.
#: Those that are left over are reported again by each turn: with 128 a request took three times
#: the time where 1,000 connections were busy.
EVENTS_AT_ONCE = 1024
#: Sockets that are worth a turn of their own before the loop has looked again.
_MANY = 16
_READ = IOLoop.READ
_SOCKET = pycurl.ACTIVESOCKET
#: Seconds from a connection that was shut down to libcurl's next look at its idle ones, which is
#: a second after the last one at the earliest.
_PRUNE_SECONDS = 1.1
_TIMED_OUT = 28  # of libcurl's errors
_SELECTED = {IOLoop.READ: pycurl.CSELECT_IN, IOLoop.WRITE: pycurl.CSELECT_OUT}


class Transport:
    """Easy handles, lanes and sockets on one IOLoop.

    Not safe across threads: all calls belong to the loop's thread.

    Args:
        ioloop: to work on.
        handler: what `IOLoop.add_handler` is to call; it calls `handle_events`.

    Attributes:
        fd_map: the sockets that libcurl waits for now, and whose lane does.
        watched: the sockets that have a handler on the loop, and for what events.
        let_go: those that libcurl has let go since it was last called, open or closed.
        leave_at_once: those that have no handler a moment longer than libcurl wants them.
        connections: the sockets that libcurl has opened.
        transfers: all that there are, by their handles. (An attribute of the handle would take 20
            times as long to look up: pycurl has a dict of its own for these.)
    """

    #: It can carry WebSockets.
    has_sockets = True

    def __init__(self, ioloop: IOLoop, handler: Callable[[WatchedSocket, int], None]) -> None:
        self.fd_map: dict[int, Lane] = {}
        self.let_go: set[int] = set()
        self.leave_at_once: set[int] = set()
        self._kept: set[int] = set()  # on the loop, though libcurl has let them go; alive
        self._kept_on: set[int] = set()  # likewise, after a kick that did not ask for them
        self._kept_now: set[int] = set()  # likewise, of requests that a kick has sent and ended
        self._all_kept = self._kept, self._kept_on, self._kept_now
        self.connections = Connections()
        # IOLoop's own add_callback and call_later wrap each call.
        self._asyncio_loop = asyncio_loop_of(ioloop)
        self.call_soon = self._asyncio_loop.call_soon
        self._poller = Poller(ioloop, handler)
        self.watched = self._poller.watched
        self._idle = idle_sockets(ioloop, self._on_idle_ready)
        self._idle_fds = self._idle.fds
        self._pool = LanePool(self, self._release_sockets)
        self._lanes = self._pool.lanes
        self.transfers: dict[pycurl.Curl, Transfer] = {}
        self._spare: list[Transfer] = []
        self._due: deque[Lane] = deque()  # lanes to kick
        self._touched: set[Lane] = set()  # lanes to ask when they want the next kick
        self._ended: deque[Transfer] = deque()  # to be reported to their outcomes
        self._attended: deque[Transfer] = deque()  # whose callbacks are to be served
        self._has_served = False  # in this iteration of the loop
        self._is_turning = False  # a turn is at work and will see to what it leads to
        self._turn_is_due = False
        self._at_turn_end: Callable[[], object] | None = None
        self._prune_timer: asyncio.TimerHandle | None = None
        self._silence = SilenceWatch(self.call_later, self._end_silent)
        self._is_more_expected = False
        self._may_have_left = False  # connections whose requests are new since the last look
        #: Those that go out at their lane's next kick, over TLS.
        self._over_tls: defaultdict[Lane, list[Transfer]] = defaultdict(list)
        self._special: set[Transfer] = set()  # in flight, with callbacks
        self._shared: set[int] = set()  # sockets that a forked child may hold open
        self._has_forked = False  # since the last kick
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
            outcome: is called once with the result, unless the transfer is cancelled.
            lane: where the last request of this conversation left its connection.
            discards: the body is not wanted.
            idle_timeout: seconds without a byte in either direction; 0: no limit.

        Raises:
            ValueError: libcurl refuses an option or its value.
            StreamError: the body is used up.
            ConnectError: no file descriptor is left for it.
        """
        transfer = self._spare.pop() if self._spare else Transfer(self)
        try:
            transfer.prepare(request, options, session, discards)
        except (pycurl.error, TypeError, UnicodeError) as error:
            # Not back among the spare ones: nobody knows which of its options were set.
            transfer.close()
            raise ValueError(f"{request!r} has an option that libcurl refuses: {error}") from error
        except StreamError as error:
            transfer.close()
            error.request = request
            raise
        except Exception as error:
            transfer.close()
            raise ValueError(f"{request!r} cannot be sent: {error}") from error
        except BaseException:
            transfer.close()
            raise
        if self._closed:  # by the user's code that ran there
            transfer.close()
            raise ClosedError("the stream was closed while the request was made")
        transfer.outcome = outcome
        url = request.url
        if lane is None and self._lanes:  # of a new conversation
            lane = self._lanes[0]
        if (
            lane is None
            or url is not lane.last_url  # nearly all go where the last one of their lane went
            or lane.active >= LANE_TRANSFERS
            or lane.public_only is not transfer.public_only
        ):
            lane = self._lane_for(transfer, request, lane)
        transfer.lane = transfer.home = lane
        lane.add_handle(transfer.easy)
        lane.active += 1
        # libcurl sends it when it is called for whatever socket: idle connections are looked at
        # before.
        self._may_have_left = True
        if transfer.is_over_tls:
            self._over_tls[lane].append(transfer)
        if transfer.callbacks is not None:
            self._special.add(transfer)
        if not lane.is_due:
            self.kick_soon(lane)
        if idle_timeout:
            self._silence.watch(transfer, idle_timeout)
        return transfer

    def cancel(self, transfer: Transfer) -> None:
        """Stop a transfer; its outcome will not be called."""
        transfer.outcome = None
        lane = transfer.lane
        if self.is_forgotten:
            return
        if lane is not None:
            self._leave_lane(transfer, lane)
            self._release(transfer)
        elif transfer.is_waiting:
            self._release(transfer)
        elif transfer.callbacks is not None:
            # It has ended and is about to be reported: its sink gets nothing more.
            self._special.discard(transfer)
            transfer.drop_callbacks()

    def call_at_turn_end(self, function: Callable[[], object]) -> None:
        """Have a function called when a turn has told its outcomes, before it sends what follows.

        Args:
            function: what it submits is sent by this turn, on sockets that are still on the loop.
        """
        self._at_turn_end = function

    def expect_more(self, is_expected: bool) -> None:
        """Leave the sockets of the last turn on the loop: what it has led to is sent soon.

        Args:
            is_expected: True; or False, when that has been submitted.
        """
        self._is_more_expected = is_expected
        if self._kept_on and not is_expected:
            self._schedule_turn()

    def leave_session(self, session: Session) -> None:
        """The session is over, and none of its transfers in flight."""
        # libcurl frees no store of cookies that a handle still takes part in.
        for transfer in (*self._spare, *self._ended):
            if transfer.session is session:
                transfer.leave_session()

    def flush(self, transfer: Transfer) -> None:
        """Have libcurl send at once what its callbacks have, and not at the loop's next turn."""
        if not self.is_forgotten and transfer.lane is not None and transfer.callbacks is not None:
            transfer.callbacks.resume_sending()
            # This is no turn: as in one, idle connections are looked at before libcurl may send on
            # them, and no handler outlives its socket.
            if self._may_have_left:
                self._retire_readable()
            self._release_sockets()
            transfer.lane.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._release_sockets()

    @property
    def active(self) -> int:
        """Transfers in flight."""
        return sum(lane.active for lane in self._lanes)

    @property
    def lane_count(self) -> int:
        """Lanes that are open."""
        return len(self._lanes)

    def _leave_lane(self, transfer: Transfer, lane: Lane) -> None:
        """Remove a transfer that libcurl has not ended from its lane."""
        # Before libcurl closes any: their handlers would outlive them.
        self._release_sockets()
        lane.remove_handle(transfer.easy)  # over HTTP/1 this closes its connection
        self._release_sockets()
        lane.active -= 1
        transfer.lane = None
        if not lane.active:
            lane.idle_since = monotonic()
        if transfer.looked_up:
            self._end_lookup(transfer, lane, is_over=bool(transfer.header_lines))
        self.kick_soon(lane)  # others may have waited for it

    @staticmethod
    def _end_lookup(transfer: Transfer, lane: Lane, *, is_over: bool) -> None:
        # Else it may last: the lane has a thread less, until it is idle and closed.
        if is_over:
            lane.end_lookup(transfer.looked_up, is_known=bool(transfer.header_lines))
        transfer.looked_up = ""

    def _end_silent(self, transfer: Transfer, seconds: float) -> None:
        self._end_early(transfer, (_TIMED_OUT, f"No byte moved for {seconds:g} seconds"))

    def _end_early(self, transfer: Transfer, failure: tuple[int, str] | Exception) -> None:
        """End a transfer, as libcurl would have with such a code, or with an error of ours."""
        lane = transfer.lane
        transfer.failure = failure
        if lane is not None:
            self._leave_lane(transfer, lane)
        if lane is not None or transfer.is_waiting:
            transfer.is_waiting = False
            self._ended.append(transfer)
            self._schedule_turn()

    def close(self) -> None:
        """Close all: timers, then handlers, then multis, then easy handles.

        Transfers in flight must have been cancelled.
        """
        self._closed = True
        self._at_turn_end = None
        if self.is_forgotten:
            return
        if self._prune_timer is not None:
            self._prune_timer.cancel()
            self._prune_timer = None
        self._silence.close()
        self._poller.close()
        self._idle.close()
        self._pool.close()
        for transfer in self._spare:
            transfer.close()
        self.connections.clear()
        sockets = (self.let_go, self.leave_at_once, *self._all_kept)
        for forgotten in (
            self.fd_map,
            *sockets,
            self._spare,
            self._due,
            self._touched,
        ):
            forgotten.clear()
        _living.discard(self)

    def call_later(
        self, delay: float, function: Callable[[], object]
    ) -> asyncio.TimerHandle | None:
        """As the loop's; None if it is closed, which libcurl does not know when it is freed."""
        if self._asyncio_loop.is_closed():
            return None
        own: list[asyncio.TimerHandle] = []
        timer = self._asyncio_loop.call_later(delay, self._on_time, function, own)
        own.append(timer)
        return timer

    def _on_time(self, function: Callable[[], object], own: list[asyncio.TimerHandle]) -> None:
        """Call it when the sockets that are ready were served: they may say what it waits for.

        After something has held up the loop, all timers are due at once.
        """
        timer = own.pop()
        if self.watched and self._poller.ready(1):
            self._serve()
        # What was served may have cancelled it, too late for asyncio, which is calling it.
        if not timer.cancelled():
            function()

    # -- turns ------------------------------------------------------------------------------

    def handle_events(self, watched: WatchedSocket, events: int) -> None:
        """Serve all sockets that are ready, on the first event of an iteration of the loop."""
        # Not in a callback of the next iteration: asyncio would look at the sockets once more
        # before that, and report each a second time.
        if self._has_served:
            return
        self._has_served = True
        self.call_soon(self._end_iteration)
        count = served = self._serve()
        # Where many are busy, the next have answered meanwhile: the loop need not report them. But
        # tasks that the last have woken need the loop, to continue with the sockets of these.
        while (
            count >= _MANY
            and served < EVENTS_AT_ONCE
            and not self._kept_on
            and self._are_many_ready()
        ):
            count = self._serve()
            served += count

    def _are_many_ready(self) -> bool:
        return not self._closed and len(self._poller.ready(_MANY)) == _MANY

    def _end_iteration(self) -> None:
        self._has_served = False

    def _serve(self) -> int:
        """Serve the sockets that are ready, then kick the lanes that ask for it.

        Returns:
            How many there were.
        """
        if self._closed:
            return 0
        self._is_turning = True
        try:
            if self._may_have_left:
                # What tasks have asked for since: libcurl would send it by the way, on whatever
                # connection, before that is looked at.
                self._kick_lanes()
            elif self._idle_fds or self._kept_on:
                # libcurl goes on from a connection that has died to another one right then.
                self._retire_readable()
            return self._serve_sockets()
        finally:
            if is_nested(self._asyncio_loop):
                # Its loop cannot call this again before it has returned: what is to be read by
                # then may be what a reader waits for.
                self._is_turning = False
                self._schedule_turn()
            else:
                self._run_once(False)

    def _serve_sockets(self) -> int:
        ready = self._poller.ready(EVENTS_AT_ONCE)
        lane_of, selected, touch = self.fd_map.get, _SELECTED.get, self._touched.add
        finished: list[Lane] = []
        unwanted: list[int] = []
        ended = {fd for fd, events in ready if events & ENDED}
        if ended:
            # libcurl may repeat the request of such a one on a connection that another has just
            # let go: these come first, each after a look.
            ready.sort(key=lambda one: one[0] not in ended)
        for fd, events in ready:
            lane = lane_of(fd)
            if lane is None:
                unwanted.append(fd)
                continue
            if finished and fd in ended:
                self._release_let_go()
                self._retire_readable()
            touch(lane)
            selection = selected(events) or _selected(events, self.watched.get(fd, 0))
            # libcurl counts those that run: only when some have ended is `info_read` asked for
            # them.
            if lane.socket_action(fd, selection)[1] < lane.active and lane not in finished:
                finished.append(lane)
        for lane in finished:
            self._collect(lane, self._kept)
        if self.let_go:
            self._release_let_go()
        if finished and self._kept_on:
            self._release_closed()
        for fd in unwanted:
            if fd not in self.fd_map:  # not even now, that others were served
                self._on_idle_event(fd)
        return len(ready)

    def kick_soon(self, lane: Lane) -> None:
        """The lane is kicked when this turn ends, or else at the loop's next one."""
        if lane.is_due:
            return
        lane.is_due = True
        self._due.append(lane)
        if not self._is_turning:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_is_due and not self._asyncio_loop.is_closed():
            self._turn_is_due = True
            self.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._turn_is_due = False
        self._run_once(is_nested(self._asyncio_loop))

    def _run_once(self, is_nested: bool) -> None:
        """Tell the outcomes, then start what they led to."""
        self._is_turning = True
        try:
            if is_nested:
                # Users' code may turn the loop, and wait there for what this turn was to do.
                self._is_turning = False
                self._schedule_turn()
            if self._attended:
                self._serve_callbacks()
            if self._ended:
                self._deliver_results()
            # Not where a reader may be running that turns the loop.
            if self._at_turn_end is not None and not is_nested:
                self._at_turn_end()
            self._is_turning = True
            self._kick_lanes()
            while self._touched:
                self._touched.pop().update_timer()
        finally:
            self._is_turning = False
            is_done = not (
                self._ended
                or self._due
                or self._touched
                or self._attended
                or (self._kept_on and not self._is_more_expected)
            )
            if not is_done and not self._closed:
                # What ended at once waits for the loop's next turn: others are to run too.
                self._schedule_turn()

    def _kick_lanes(self) -> None:
        if self._may_have_left and not self._closed:
            self._retire_readable()
        if self._has_forked:
            self._has_forked = False
            self._release_sockets()  # what is closed here stays in the loop's epoll
        has_kicked = bool(self._due)
        # No more than are due now: what these kicks lead to waits for the next turn.
        for _ in range(len(self._due)):
            lane = self._due.popleft()
            lane.is_due = False
            if lane.is_closed:
                continue
            self._touched.add(lane)
            running = lane.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1]
            if self._over_tls:
                self._refuse_early_answers(lane)
            if running < lane.active:
                self._collect(lane, self._kept_now)
        if self.let_go:
            self._release_let_go()
        if self._kept or self._kept_on or self._kept_now:
            self._release_unwanted(has_kicked=has_kicked)

    def _collect(self, lane: Lane, kept: set[int]) -> None:
        """Take the transfers that ended off their lane; the sockets that live go to `kept`."""
        watched = self.watched
        _, succeeded, failed = lane.info_read()
        for easy, code, text in failed:
            transfer = self.transfers[easy]
            transfer.has_notes = True
            if transfer.failure is None:
                transfer.failure = code, text
            transfer.forgive()
        let_go, transfers, remove = self.let_go, self.transfers, lane.remove_handle
        for easy in (*succeeded, *(easy for easy, _, _ in failed)) if failed else succeeded:
            transfer = transfers[easy]
            fd = getinfo(easy, _SOCKET)  # negative if libcurl has closed it
            if fd in let_go:
                if watched.get(fd) == _READ:  # else what it says would not be seen
                    let_go.remove(fd)
                    kept.add(fd)
            elif fd in self._kept_on:  # it was sent and answered in one call
                self._kept_on.remove(fd)
                kept.add(fd)
            if transfer.has_notes:
                self._note_connection(transfer, fd)
                remove(easy)
                if transfer.may_restart and transfer.restarts():
                    self._begin_anew(transfer, lane)
                    continue
            else:
                remove(easy)
            lane.active -= 1
            transfer.lane = None
            if transfer.looked_up:
                self._end_lookup(transfer, lane, is_over=_is_looked_up(transfer))
            self._ended.append(transfer)
        if not lane.active:
            lane.idle_since = monotonic()

    def _begin_anew(self, transfer: Transfer, lane: Lane) -> None:
        lane.add_handle(transfer.easy)
        self._may_have_left = True
        if transfer.is_over_tls:
            self._over_tls[lane].append(transfer)
        self.kick_soon(lane)

    def _note_connection(self, transfer: Transfer, active: int) -> None:
        """See what its connection is, and how much has come there.

        Args:
            transfer: that has ended.
            active: the socket of its connection; negative if that is closed.
        """
        if transfer.is_multiplexed():
            self.connections.note_multiplexed(transfer.opened)
            return
        for connection in transfer.opened:
            fd = connection.fd
            if (
                self.connections.is_known(connection)
                and fd not in self.watched
                and self.connections.is_open(fd)
            ):
                self._idle.add(fd)  # libcurl has never waited for it
        if transfer.is_over_tls:
            if transfer.header_lines:
                self.connections.note_plain()
            if transfer.opened:
                easy = transfer.easy
                end = easy.getinfo(pycurl.LOCAL_IP), easy.getinfo(pycurl.LOCAL_PORT)
                self.connections.note_end(active, end)
            self.connections.note_read(active)

    def _deliver_results(self) -> None:
        ended = self._ended
        while ended:
            transfer = ended.popleft()
            request, outcome, lane = transfer.request, transfer.outcome, transfer.home
            if outcome is None or request is None:  # cancelled after it had ended
                self._release(transfer)
                continue
            if transfer.callbacks is not None:
                if not self._is_finished(transfer, transfer.callbacks):
                    continue
                if transfer.outcome is None:  # cancelled by what ran there
                    self._release(transfer)
                    continue
            failure = transfer.failure
            result = transfer.response(request) if failure is None else transfer.error_of(request)
            if transfer.callbacks is not None:
                # Before `_release`, which informs the reader of a stream that its body was dropped.
                transfer.callbacks.end(result)
            # Before the outcome: the next request of its reader may be sent by this very handle.
            self._release(transfer)
            outcome(result, lane)

    # -- callbacks --------------------------------------------------------------------------------

    def attend(self, transfer: Transfer) -> None:
        """The callbacks of a transfer are served in this turn, or else in the loop's next one."""
        self._attended.append(transfer)
        if not self._is_turning:
            self._schedule_turn()

    def _serve_callbacks(self) -> None:
        """Run what the users of transfers have in them, outside libcurl."""
        # No more than wait now: a sink that is asked again at once would block the loop.
        for _ in range(len(self._attended)):
            if not self._attended:
                return  # a loop that was turned in here has served them
            transfer = self._attended.popleft()
            transfer.is_attended = False
            callbacks = transfer.callbacks
            if callbacks is None:
                continue  # it has ended
            try:
                if callbacks.has_headers and not callbacks.is_told:
                    self._tell_headers(transfer, callbacks)
                callbacks.serve()
            except (Exception, asyncio.CancelledError) as error:
                # The user's code may have ended it, and another request may have the handle.
                if transfer.callbacks is callbacks:
                    self._end_early(transfer, as_failure(error))
                continue
            if transfer.callbacks is callbacks and transfer.is_waiting and callbacks.is_drained:
                transfer.is_waiting = False
                self._ended.append(transfer)

    def _tell_headers(self, transfer: Transfer, callbacks: TransferCallbacks) -> None:
        """The reader of a streamed response need not wait for the body."""
        # First: a reader that turns the loop would be called once more.
        callbacks.is_told = True
        request, outcome = transfer.request, transfer.outcome
        if request is not None and outcome is not None and callbacks.stream is not None:
            response = transfer.response(request)
            if isinstance(response, Response):
                outcome(StreamedResponse(response, callbacks.stream), transfer.home)

    def _is_finished(self, transfer: Transfer, callbacks: TransferCallbacks) -> bool:
        """Return True if all received bytes were consumed; else the transfer waits for that."""
        if not callbacks.is_drained and _leaves_time(transfer.failure):
            transfer.is_waiting = True
            return False
        if transfer.failure is None and is_cut(transfer.header_lines):
            transfer.note_cut()  # before a file gets its name; and an outcome is reported once
        if transfer.failure is None:
            try:
                callbacks.finish()
            except (Exception, asyncio.CancelledError) as error:
                transfer.failure = as_failure(error)  # the file may be any object with a `write`
        if (
            transfer.failure is None
            and callbacks.stream
            and not (callbacks.is_told or callbacks.is_followed)
        ):
            self._tell_headers(transfer, callbacks)
        return True

    def _release(self, transfer: Transfer) -> None:
        """Take back a handle that is not in flight."""
        if transfer.callbacks is not None:
            self._special.discard(transfer)
            transfer.drop_callbacks()
            transfer.is_waiting = False
        transfer.body.clear()
        transfer.header_lines.clear()
        transfer.lane = transfer.outcome = transfer.request = transfer.failure = None
        if transfer.silence is not None:
            transfer.silence.limit = 0.0
        if transfer.has_large_body:
            transfer.forget_body()
        if len(self._spare) < SPARE_HANDLES and not self._closed:
            self._spare.append(transfer)
        else:
            transfer.close()

    # -- sockets ------------------------------------------------------------------------------

    def watch(self, fd: int, events: int) -> None:
        """Have the loop watch a socket, maybe watched for other events so far."""
        if fd not in self.watched:
            self._idle.discard(fd)
        self._poller.watch(fd, events)

    def unwatch(self, fd: int) -> None:
        """Have the loop forget a socket, which may be closed already."""
        self._poller.unwatch(fd)

    def on_new_socket(self, fd: int, transfer: Transfer) -> None:
        """Forget the socket that had this number, and is gone. Called inside libcurl."""
        self.fd_map.pop(fd, None)
        lane = transfer.lane
        if transfer.looked_up and lane is not None:
            lane.end_lookup(transfer.looked_up, is_known=True)
            transfer.looked_up = ""
        self._poller.unwatch(fd)
        self._idle.discard(fd)
        for fds in (self.let_go, self.leave_at_once, *self._all_kept):
            fds.discard(fd)
        if fd in self._shared:
            # A child may hold the socket that was closed here: epoll would go on reporting it.
            self._shared.discard(fd)
            self.call_soon(self._renew_idle)
        others = [one for one in transfer.opened if one.fd != fd]
        transfer.opened = *others, self.connections.opened(fd, lane)

    def _release_let_go(self) -> None:
        """Before users' code runs: leave no handler of a socket that may be closed."""
        for fd in self.let_go:
            self._release_socket(fd)
        self.let_go.clear()

    def _release_unwanted(self, *, has_kicked: bool) -> None:
        """After a kick: keep the handlers that it asked for, or that the next one may ask for.

        For what a task is woken by, it follows up a turn later.
        """
        wanted, kept, now = self.fd_map.keys(), self._kept, self._kept_now
        if self._is_more_expected:
            self._kept_on -= wanted
            if has_kicked:
                self._release_closed()
        elif self._kept_on:
            for fd in self._kept_on - kept - now:
                self._release_socket(fd)
            self._kept_on.clear()
        if kept:
            for fd in kept - wanted - now:
                if not has_kicked or self.connections.is_open(fd):  # a kick may have closed it
                    self._kept_on.add(fd)
                else:
                    self._release_socket(fd)
            kept.clear()
        if now:
            self._kept_on |= now - wanted
            now.clear()

    def _release_closed(self) -> None:
        """Leave no handler of what libcurl has closed since it has too many connections."""
        for fd in closed_of(self._kept_on):
            self._kept_on.discard(fd)
            self._release_socket(fd)

    def _release_sockets(self) -> None:
        """Before libcurl is called outside of a turn: leave no handler that it does not know of."""
        for fds in (self.let_go, *self._all_kept):
            for fd in fds:
                self._release_socket(fd)
            fds.clear()

    def _release_socket(self, fd: int) -> None:
        """Take a socket off the loop if libcurl has let it go, and watch it as an idle one."""
        if fd in self.fd_map:
            return
        self._poller.unwatch(fd)
        if self.connections.is_open(fd):
            self._idle.add(fd)

    def _retire_readable(self) -> None:
        """Look at the idle connections just before requests may go out on them."""
        self._may_have_left = False
        if self._kept or self._kept_on:
            # These are still on the loop, and not yet watched as idle ones.
            for fd in self._poller.readable(self._kept | self._kept_on):
                self._on_idle_event(fd)
        if self._idle_fds:
            self._on_idle_ready()

    def _on_idle_ready(self, _epoll: object = None, _events: int = 0) -> None:
        for fd in self._idle.ready():
            self._on_idle_event(fd)

    def _refuse_early_answers(self, lane: Lane) -> None:
        """Give up answers that had come before their requests were sent.

        OpenSSL reads ahead: what a server has sent behind an answer, as a record of its own, lies
        there until the next request, unseen by libcurl and by who watches the socket.
        """
        for transfer in self._over_tls.pop(lane, ()):
            if transfer.lane is not lane or not transfer.header_lines:
                continue
            fd = int(getinfo(transfer.easy, pycurl.ACTIVESOCKET))
            if transfer.is_answered_early(fd):
                self._refuse_early_answer(transfer, lane, fd)

    def _refuse_early_answer(self, transfer: Transfer, lane: Lane, fd: int) -> None:
        if self.connections.is_open(fd):
            self.connections.retire(fd)
            self._prune_soon()
        failure = transfer.failure = transfer.refuse_early_answer()
        if transfer.restarts():
            lane.remove_handle(transfer.easy)
            self._begin_anew(transfer, lane)
        else:
            self._end_early(transfer, failure)

    def _on_idle_event(self, fd: int) -> None:
        """A socket that no transfer waits for has something to say."""
        # One whose transfer is paused is not waited for either, and is heard when that goes on.
        is_retirable = self.connections.is_retirable(fd) and not any(
            transfer.is_in_flight and getinfo(transfer.easy, pycurl.ACTIVESOCKET) == fd
            for transfer in self._special
        )
        lane = self.connections.retire(fd) if is_retirable else None
        if lane is not None:
            self._prune_soon()
        for fds in self._all_kept:
            fds.discard(fd)
        # What nobody reads is reported at each turn for as long as the loop watches it.
        self._poller.unwatch(fd)
        if lane is None and self.connections.speaks_any_time(fd):
            self._idle.add_end(fd)
        else:
            self._idle.discard(fd)

    def _prune_soon(self) -> None:
        if self._prune_timer is None:
            self._prune_timer = self.call_later(_PRUNE_SECONDS, self._prune)

    def _prune(self) -> None:
        """Have libcurl close the connections that were retired."""
        self._prune_timer = None
        # First: `prune` would send what is due by the way, before idle connections are looked at.
        self._kick_lanes()
        self._release_sockets()
        for lane in self.connections.retired_lanes():
            lane.prune()
            self.kick_soon(lane)  # some of its transfers may have ended in there
        if self.connections.retired_lanes():  # it had looked for another reason meanwhile
            self._prune_soon()
        self._schedule_turn()

    def _renew_idle(self) -> None:
        """Watch none but what is open here: see the last of the facts above."""
        if not self._closed:
            self._idle.renew()

    def _lane_for(self, transfer: Transfer, request: Request, lane: Lane | None) -> Lane:
        """The lane for a transfer: the given one if that has room and takes it.

        Raises:
            ConnectError: there is none, and no file descriptor for another one.
        """
        try:
            return self._pool.lane_for(transfer, request.url, lane)
        except pycurl.error as error:
            transfer.outcome = None
            self._release(transfer)
            raise ConnectError(
                f"{request.method} {safe_url(request.url)}: opening a CurlMulti failed: this "
                "process has as many files open as it may: lower max_clients=, or raise ulimit -n",
                request=request,
            ) from error

    def _forget(self) -> list[object]:
        """In a forked child: what must neither be used nor closed, see the facts above."""
        self._closed = self.is_forgotten = True
        kept: list[object] = [lane.abandon() for lane in self._lanes]
        kept.extend(self.transfers)
        self._lanes.clear()
        self._spare.clear()
        self.transfers.clear()
        return kept


def _is_looked_up(transfer: Transfer) -> bool:
    """Return True if libcurl has ended the transfer after the name was resolved."""
    failure = transfer.failure
    return not isinstance(failure, tuple) or failure[0] != _TIMED_OUT or bool(transfer.header_lines)


def _leaves_time(failure: tuple[int, str] | Exception | None) -> bool:
    """Return True if a sink may take the received bytes before its link ends."""
    return failure is None or (isinstance(failure, tuple) and failure[0] != _TIMED_OUT)


def _selected(events: int, watched: int) -> int:
    """Return the poller's events as libcurl's: an error ends what the socket is watched for."""
    has_failed = events & FAILED
    selected = 0
    if watched & IOLoop.READ and (events & IOLoop.READ or has_failed):
        selected |= pycurl.CSELECT_IN
    if watched & IOLoop.WRITE and (events & IOLoop.WRITE or has_failed):
        selected |= pycurl.CSELECT_OUT
    return selected


_living: weakref.WeakSet[Transport] = weakref.WeakSet()
_parents: list[object] = []  # in a forked child: never closed


def _after_fork_in_parent() -> None:
    for transport in tuple(_living):
        transport._shared.update(transport.connections)
        transport.leave_at_once.update(transport.connections)
        transport._has_forked = True


def _after_fork() -> None:
    for transport in tuple(_living):
        _parents.append(transport._forget())
    _parents.append(tuple(postponed))
    postponed.clear()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork, after_in_parent=_after_fork_in_parent)
