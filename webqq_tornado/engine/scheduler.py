"""Whose turn it is: chains that wait for a slot, for their host's or session's time, or paused.

`enqueue` is where a link waits that may not be sent at once; `dispatch` sends those whose turn has
come. In which order is `FairQueue`'s matter. There is one timer, for the next time at which a rate
or a spacing lets somebody go.

Sources of links are held back here, too: they are asked for more only when `has_room` says so.
Without limits that is when a link could be sent now. With limits hosts differ, and a source whose
links go to a slow one must not keep those of others from being asked: each may have a few links
in the queue, and more while the queue as a whole is short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from .chain import Chain, State
from .fairqueue import FairQueue
from .fanout import FanOut
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


class Sender(Protocol):
    """What this needs of the runner."""

    in_flight: int
    delayed: int

    def submit(self, chain: Chain) -> None:
        """Send the chain's request now."""

    def time(self) -> float:
        """Seconds, of a clock that does not go back."""

    def call_later(self, delay: float, function: Callable[..., object]) -> object:
        """In so many seconds."""

    def remove_timeout(self, timer: object) -> None:
        """Do not call it."""


class Scheduler:
    """Chains that have a link to send and wait.

    Args:
        sender: the runner.
        fan_out: the sources.
        max_clients: requests in flight at most.
        limits: of hosts and sessions.

    Attributes:
        queue: chains that wait for their turn.
        held: chains with a link to send that are paused.
        is_limited: hosts or sessions have limits.
        is_paused: the whole flow is.
        quick_clients: requests in flight below which a link need not ask here while the queue
            is empty; 0 if it always has to.
    """

    def __init__(
        self, sender: Sender, fan_out: FanOut, *, max_clients: int, limits: Limits | None
    ) -> None:
        self._sender = sender
        self._fan_out = fan_out
        self._max_clients = max_clients
        self._fair = FairQueue[Chain](limits)
        self._paused: set[Chain] = set()
        self._is_letting_go = False
        self._now = 0.0  # when somebody had a turn
        self._is_closed = False
        self._timer: object | None = None
        self._timer_at: float | None = None
        self.is_limited = limits is not None and limits.is_selective
        self.queue: Mapping[Chain, object] = self._fair.members
        self.held: dict[Chain, None] = {}
        self.is_paused = False

    @property
    def quick_clients(self) -> int:
        """See above."""
        is_gated = self.is_limited or self.is_paused or self._paused
        return 0 if is_gated else self._max_clients

    def close(self) -> None:
        """Nobody goes any more."""
        self._is_closed = True
        self._stop_timer()

    # -- waiting --------------------------------------------------------------------------------

    def enqueue(self, chain: Chain) -> None:
        """The chain has a link to send, which may go at once or have to wait."""
        self._push(chain)
        if self.is_limited:
            self.dispatch()
        else:
            self._let_go()

    def discard(self, chain: Chain) -> None:
        """The chain has ended: it waits no more."""
        if self._fair.remove(chain):
            self._left_queue(chain)
        self.held.pop(chain, None)
        self._paused.discard(chain)

    def end(self, chain: Chain) -> None:
        """What the chain had sent has ended."""
        self._fair.end(chain, self._sender.time())

    def end_session(self, session: Session) -> None:
        """A session is over, and its chains have ended."""
        self._fair.end_session(session)

    def refund(self, chain: Chain) -> None:
        """The chain has its turn, and nothing to send.

        It may have to wait for a login, whose own links go to the same host.
        """
        self._fair.refund(chain, self._now)

    def dispatch(self) -> None:
        """Whose turn it is may go; when nobody waits any more, sources are asked for more."""
        self._let_go()
        if self.is_limited:
            self._set_timer()  # sources wait for links of their own: see _left_queue
        else:
            self._fan_out.dispatch()

    def _push(self, chain: Chain) -> None:
        chain.state = State.QUEUED
        host = (
            chain._hop or chain._request
        ).host  # raises, if at all, before anything else is done
        if self._paused and _is_held(chain):
            self.held[chain] = None
            return
        self._fair.push(chain, chain.session, host, chain._priority)
        if self.is_limited:
            self._fan_out.on_queued(chain)

    def _let_go(self) -> None:
        if self._is_letting_go:
            return  # called by what was sent here
        self._is_letting_go = True
        try:
            while self.queue and self._may_send:
                self._now = self._sender.time()
                chain = self._fair.pop(self._now)
                if chain is None:
                    break
                self._left_queue(chain)
                self._sender.submit(chain)
        finally:
            self._is_letting_go = False

    @property
    def _may_send(self) -> bool:
        is_stopped = self._is_closed or self.is_paused
        return not is_stopped and self._sender.in_flight < self._max_clients

    def _left_queue(self, chain: Chain) -> None:
        if not self.is_limited:
            return
        self._fan_out.on_left_queue(chain)
        if len(self.queue) < _AHEAD_OF_ALL:
            self._fan_out.wake_next()

    # -- the next time that something may go ----------------------------------------------------

    def _set_timer(self) -> None:
        at = self._fair.next_time if self.queue and not self._is_closed else None
        if at == self._timer_at:
            return
        self._stop_timer()
        if at is not None:
            delay = max(0.0, at - self._sender.time())
            self._timer_at = at
            self._timer = self._sender.call_later(delay, self._on_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._sender.remove_timeout(self._timer)
        self._timer = self._timer_at = None

    def _on_time(self) -> None:
        self._timer = self._timer_at = None
        self.dispatch()

    # -- sources --------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """No link at all could be sent or timed now."""
        if self._is_closed or self.is_paused or self._sender.delayed >= _MAX_DELAYED:
            return True
        if self.is_limited:
            return False
        return bool(self.queue) or self._sender.in_flight >= self._max_clients

    def has_room(self, chain: Chain) -> bool:
        """One more link below the chain could be sent or timed now, or have its turn soon."""
        if self.is_full or (self._paused and _is_held(chain)):
            return False
        if not self.is_limited or chain._branches is None:
            return True
        return chain._branches.queued < _AHEAD or len(self.queue) < _AHEAD_OF_ALL

    def on_time_come(self) -> None:
        """A delay is over, which sources may have waited for."""
        if self._sender.delayed == _MAX_DELAYED - 1:
            self._fan_out.dispatch()

    # -- pauses ---------------------------------------------------------------------------------

    def pause(self, chain: Chain | None) -> None:
        """Send nothing more for a chain and those below it, or for the whole flow."""
        if chain is None:
            self.is_paused = True
        elif not chain.done:
            chain.is_paused = True
            self._paused.add(chain)
            for queued in tuple(self.queue):
                if _is_held(queued) and self._fair.remove(queued):
                    self._left_queue(queued)
                    self.held[queued] = None

    def resume(self, chain: Chain | None) -> None:
        """Go on where `pause` had stopped it."""
        if chain is None:
            self.is_paused = False
        else:
            chain.is_paused = False
            self._paused.discard(chain)
        # All are in the queue before the first is sent: hooks may end others, and priorities
        # hold among those that were paused, too.
        for held in [held for held in self.held if not _is_held(held)]:
            del self.held[held]
            self._push(held)
        self.dispatch()
        if self.is_limited:
            self._fan_out.dispatch()


def _is_held(chain: Chain | None) -> bool:
    """Whether it or one above it is paused."""
    while chain is not None:
        if chain.is_paused:
            return True
        chain = chain.parent
    return False
