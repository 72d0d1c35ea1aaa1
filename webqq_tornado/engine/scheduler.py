"""Schedules chains that wait for a slot, for their host's or session's time, or are paused.

The runner puts a link that may not be sent at once in here by `enqueue`, and asks `pop` who is
next whenever something has changed: a request has ended, a time has come, a chain continues after a
pause. In which order is `FairQueue`'s matter. Nothing here sends, waits or reads a clock. When the
program ends, chains that nobody awaits are held, too: see `lifecycle`.

Sources of links are held back here, too: they are asked for more only when `has_room` says so.
Without limits that is when a link could be sent now. With limits hosts differ, and a source whose
links go to a slow one must not keep those of others from being asked: each may have a few links
in the queue, and more while the queue as a whole is short.

- *A source waits for its own links.* With limits it is woken when one of them leaves the queue, not
  by each request that ends: of a thousand sources, most of whose hosts are slow, all but a few
  would look in vain. `woken` are those that the runner is to ask, at the loop's next turn.
- *What was popped may not be sent after all*: its credentials are being renewed, the breaker
  refuses it, a hook ends it. It returns its place by `refund`, or the login that it waits for
  would wait behind it, for the time of the same host.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from .chain import Chain, State
from .fairqueue import FairQueue
from .limits import Limits
from .session import Session

__all__ = ["Scheduler"]

#: Chains that may wait for their time before sources of links are asked to wait, too.
_MAX_DELAYED = 100_000
#: With limits: links that each source may have in the queue, however long that is,
_AHEAD = 16
#: and the length of the queue below which a source may have more. It is what lets one source
#: keep a thousand slow hosts busy; 16 links would be for 16 of them at most.
_AHEAD_OF_ALL = 1024


class Scheduler:
    """Chains that have a link to send and wait.

    Args:
        max_clients: requests in flight at most.
        limits: of hosts and sessions.
        has_hooks: users' code runs while a request is sent.

    Attributes:
        in_flight, delayed: requests sent and not answered, and chains that wait for their time; the
            runner counts them.
        queue: chains that wait for their turn.
        held: chains with a link to send that are paused.
        waiting: sources that wait for room, and what asks them for more.
        woken: likewise, of those that may have room now and are to be asked.
        is_limited: hosts or sessions have limits.
        is_paused: the whole flow is.
        quick_clients: requests in flight below which a link need not ask here while the queue
            is empty; 0 if it always has to.
        release: by `release(chain, now)` the place of a chain whose request has ended is free.
        space: by `space(host, seconds)` so much time is between two requests to a host.
    """

    def __init__(self, *, max_clients: int, limits: Limits | None, has_hooks: bool = False) -> None:
        self._max_clients = max_clients
        self._has_hooks = has_hooks
        self._fair = FairQueue[Chain](limits)
        self.paused: set[Chain] = set()
        self._now = 0.0  # time of the last turn
        self._is_closed = False
        self._is_awaited: Callable[[Chain], bool] | None = None  # when only what is goes on
        self._is_stalled = False  # nothing can be noted in the journal for a while
        self._holds = False  # some chains, or all but a few
        self._is_guarded = self._is_held_back = False
        self.in_flight = self.delayed = 0
        self.is_limited = limits is not None and limits.is_selective
        self.queue: Mapping[Chain, object] = self._fair.members
        self.held: dict[Chain, None] = {}
        self.waiting: OrderedDict[Chain, Callable[[], None]] = OrderedDict()
        self.woken: list[Callable[[], None]] = []
        self.is_paused = False
        self.quick_clients = 0
        self._update_quick_clients()
        self.release = self._fair.release
        self.space = self._fair.space

    def close(self) -> None:
        """Let nobody go any more."""
        self._is_closed = True

    def guard(self, may_send: Callable[[float], bool]) -> None:
        """Have somebody asked before each that goes.

        Args:
            may_send: of the time; where it says no, the runner is to `pop` when it may be yes.
        """
        enqueue, pop = self.enqueue, self.pop

        def guarded_enqueue(chain: Chain, now: float) -> bool:
            self._is_held_back = not may_send(now)
            if self._is_held_back:
                self.push(chain)
                return False
            return enqueue(chain, now)

        def guarded_pop(now: float) -> Chain | None:
            self._is_held_back = not may_send(now)
            return None if self._is_held_back else pop(now)

        # In this one alone: flows without a guard do not ask whether they have one.
        self.enqueue, self.pop = guarded_enqueue, guarded_pop  # type: ignore[method-assign]
        self._is_guarded = True
        self._update_quick_clients()

    # -- waiting --------------------------------------------------------------------------------

    def enqueue(self, chain: Chain, now: float) -> bool:
        """Let the chain go at once if nobody waits and its limits allow that, else queue it.

        Args:
            chain: with a link to send.
            now: seconds.

        Returns:
            True: it has its place, and is to be sent.
        """
        # Those that wait were here first: also a source, whose next link would else be overtaken by
        # each new chain for as long as new ones come.
        waits = self.queue or self.waiting or self._holds or self.is_paused or self._is_closed
        if self.is_limited and not waits and self.in_flight < self._max_clients:
            chain.state = State.QUEUED
            host = (chain._hop or chain._request).host
            # The way through the queue would come to the same, by three times as many calls.
            if self._fair.start(chain, chain.session, host, now):
                self._now = now
                return True
        self.push(chain)
        return False

    def push(self, chain: Chain) -> None:
        """Queue a chain, or hold it if it is paused."""
        chain.state = State.QUEUED
        # Raises, if at all, before anything else is done.
        host = (chain._hop or chain._request).host
        if self._holds and self._is_held(chain):
            # Not in the queue: it would count as waiting there, and delay sources for a time
            # without end. `_holds` comes first, so that flows without pauses walk no parents.
            self.held[chain] = None
            return
        self._fair.push(chain, chain.session, host, chain._priority)
        if self.is_limited:
            self._count_queued(chain)

    def pop(self, now: float) -> Chain | None:
        """Choose the next chain that is to be sent, which has its place then.

        Args:
            now: seconds.

        Returns:
            None: nobody waits who may go now.
        """
        if self._is_closed or self.is_paused or self.in_flight >= self._max_clients:
            return None
        chain = self._fair.pop(now)
        if chain is not None:
            self._now = now  # for `refund`, which must undo at the very time of the start
            self._on_left_queue(chain)
        return chain

    def discard(self, chain: Chain) -> None:
        """Forget a chain that has ended: it waits no more."""
        # A chain can be in any of the three places; it does not know in which.
        if self._fair.remove(chain):
            self._on_left_queue(chain)
        self.held.pop(chain, None)
        if chain in self.paused:
            self.paused.discard(chain)
            self._update_quick_clients()

    def refund(self, chain: Chain) -> None:
        """Take back the place of the chain that got the last one: it was not sent."""
        self._fair.refund(chain, self._now)

    def forget_session(self, session: Session) -> None:
        """Forget a session that is closed, and whose chains have ended."""
        self._fair.forget_session(session)

    @property
    def next_time(self) -> float | None:
        """Seconds until `pop` may have a chain that it has not now.

        None: not before a request has ended, or something is queued.
        """
        # A time that is over would have the runner come back at once, again and again.
        is_stopped = self._is_closed or self._is_held_back or self.is_paused
        return self._fair.next_time if self.queue and not is_stopped else None

    # -- sources --------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """No link at all could be sent or timed now."""
        if self._is_closed or self.is_paused or self.delayed >= _MAX_DELAYED:
            return True
        if self.is_limited:
            # The queue may be long with links of a host that is at its limit, while other hosts
            # have room: `has_room` counts for each source instead.
            return False
        return bool(self.queue) or self.in_flight >= self._max_clients

    @property
    def was_full_of_delays(self) -> bool:
        """The delay that is over may be the one that sources have waited for."""
        return self.delayed == _MAX_DELAYED - 1

    def has_room(self, chain: Chain) -> bool:
        """Return True if one more link below the chain could be sent or timed now, or soon."""
        if self.is_full or (self._holds and self._is_held(chain)):
            return False
        if not self.is_limited or chain._branches is None:
            return True
        return chain._branches.queued < _AHEAD or len(self.queue) < _AHEAD_OF_ALL

    def pop_source(self) -> Callable[[], None] | None:
        """Choose the source that has waited longest; None, if it has no room: it is the last then.

        Raises:
            KeyError: none waits.
        """
        chain, ask = self.waiting.popitem(last=False)
        if self.has_room(chain):
            return ask
        # Back to the end: one that has no room must not stand in the way of the others for ever.
        self.waiting[chain] = ask
        return None

    def take_woken(self) -> list[Callable[[], None]]:
        """Take the sources that are to be asked."""
        # Swapped first: a source that is asked may end chains, which wakes others meanwhile.
        woken, self.woken = self.woken, []
        return woken

    def _count_queued(self, chain: Chain) -> None:
        """Count a link for its source, and the one above, where there are limits.

        A chain below counts for its source as one that waits as long as something does anywhere
        below it: else an endless source of links that each lead to some more would never wait.
        """
        parent = chain.parent
        while parent is not None and parent._branches is not None:
            parent._branches.queued += 1
            # Those above count this one as a single waiting chain, and do so already.
            if parent._branches.queued > 1:
                return
            parent = parent.parent

    def uncount_queued(self, chain: Chain) -> None:
        """Note that neither the chain nor anything below it waits any more."""
        parent = chain.parent
        while parent is not None and parent._branches is not None:
            parent._branches.queued -= 1
            if parent in self.waiting and self.has_room(parent):
                self.woken.append(self.waiting.pop(parent))
            if parent._branches.queued:
                return
            parent = parent.parent

    def _on_left_queue(self, chain: Chain) -> None:
        if not self.is_limited:
            return
        self.uncount_queued(chain)
        if self.waiting and len(self.queue) < _AHEAD_OF_ALL:
            ask = self.pop_source()  # one: the next is woken by the next that leaves
            if ask is not None:
                self.woken.append(ask)

    # -- pauses ---------------------------------------------------------------------------------

    def pause(self, chain: Chain | None) -> None:
        """Let nothing go of a chain and those below it, or of the whole flow."""
        if chain is None:
            self.is_paused = True
        elif not chain.done:
            chain.is_paused = True
            self.paused.add(chain)
            self._hold_queued()
        self._update_quick_clients()

    def stall(self, is_stalled: bool) -> None:
        """Let nothing go for a while, whatever is paused; or again: see `resume`."""
        self._is_stalled = is_stalled
        self._update_quick_clients()

    def hold_all_but(self, is_awaited: Callable[[Chain], bool]) -> None:
        """Let nothing go from now on but what is awaited."""
        self._is_awaited = is_awaited
        self._hold_queued()
        self._update_quick_clients()

    def _hold_queued(self) -> None:
        # A walk through the whole queue; pauses are rare, and a list for each chain of what waits
        # below it would cost each request instead.
        for queued in tuple(self.queue):
            if self._is_held(queued) and self._fair.remove(queued):
                self._on_left_queue(queued)
                self.held[queued] = None

    def resume(self, chain: Chain | None) -> None:
        """Queue what was held; the runner is to `pop` then."""
        if chain is None:
            self.is_paused = False
        else:
            chain.is_paused = False
            self.paused.discard(chain)
        self._update_quick_clients()
        self.queue_released()

    def queue_released(self) -> None:
        """Queue what was held, and may go now; the runner is to `pop` then."""
        # All are in the queue before the first is sent: hooks may end others, and priorities
        # hold among those that were paused, too.
        for held in [held for held in self.held if not self._is_held(held)]:
            del self.held[held]
            self.push(held)

    def _update_quick_clients(self) -> None:
        # A hook may begin chains while a request is sent that is not counted yet: only the queue
        # holds these back.
        is_held = self._is_stalled or self._is_awaited is not None
        self._holds = is_held or bool(self.paused)
        is_gated = self.is_limited or self.is_paused or self._holds or self._has_hooks
        self.quick_clients = 0 if is_gated or self._is_guarded else self._max_clients

    def _is_held(self, chain: Chain) -> bool:
        """Return True if the chain or one above it is paused, or only what is awaited goes on."""
        if self._is_stalled:
            return True
        above: Chain | None = chain
        while above is not None:
            if above.is_paused:
                return True
            above = above.parent
        return self._is_awaited is not None and not self._is_awaited(chain)
