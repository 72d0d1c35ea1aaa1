"""Turns: of chains that wait in the queue, and of sources that wait for room.

The scheduler says who may go; here they are sent, at once or when a limit lets them.

- *While one is sent nobody overtakes it*: hooks run in the middle of that, and what they add waits
  in the queue until `send_queued` comes round.
"""

from __future__ import annotations

from collections.abc import Callable

from tornado.ioloop import IOLoop

from .chain import Chain
from .scheduler import Scheduler

__all__ = ["Dispatcher"]


class Dispatcher:
    """Sends chains when they have their turn, and lets sources go on when there is room.

    Args:
        ioloop: for the time at which a limit lets somebody go.
        scheduler: says who may go.
        send: of a chain that has its place.
        call_soon: of the transport: what it is given runs after the sockets of this turn.
        time: of the loop, in seconds.

    Attributes:
        is_sending: a chain is being sent, or those that wait are.
    """

    def __init__(
        self,
        ioloop: IOLoop,
        scheduler: Scheduler,
        send: Callable[[Chain], None],
        call_soon: Callable[..., object],
        time: Callable[[], float],
    ) -> None:
        self._ioloop = ioloop
        self._scheduler = scheduler
        self._queue, self._waiting = scheduler.queue, scheduler.waiting
        self._send = send
        self._call_soon = call_soon
        self._time = time
        self.is_sending = False
        self._timer: object | None = None  # for the next time at which a limit lets somebody go
        self._timer_at: float | None = None

    def space_requests(self, host: str, seconds: float) -> None:
        """See `HTTPStream.space_requests`."""
        if not self._scheduler.is_limited:
            raise ValueError(
                "the stream has no limits of hosts: give it limits=Limits(per_host=...)"
            )
        self._scheduler.space(host, seconds)

    def pause(self, chain: Chain | None) -> None:
        """Send nothing more for a chain and those below it, or for the whole flow."""
        self._scheduler.pause(chain)
        # What is paused leaves the queue, which makes room for the sources of others.
        self.wake_sources()

    def resume(self, chain: Chain | None) -> None:
        """Go on where `pause` had stopped it."""
        self._scheduler.resume(chain)
        self._go_on()

    def stall(self, is_stalled: bool) -> None:
        """Send nothing more, and ask no source, until the opposite is said."""
        self._scheduler.stall(is_stalled)
        if not is_stalled:
            self._scheduler.queue_released()
            self._go_on()

    def _go_on(self) -> None:
        self.dispatch()
        # With limits a source is woken when a link of its own leaves the queue. A source that was
        # paused may have none there, and would wait for ever.
        if self._scheduler.is_limited:
            self.ask_sources()

    def dispatch(self) -> None:
        """Send what has its turn; then there may be room for sources."""
        self.send_queued()
        if not self._scheduler.is_limited:  # else they wait for links of their own
            self.ask_sources()

    def send_queued(self, chain: Chain | None = None) -> None:
        """Send a chain that has its place, then whoever has their turn.

        What hooks add while one is sent waits until that is done, so that it neither overtakes
        nor recurses.
        """
        if self.is_sending:
            return
        scheduler = self._scheduler
        self.is_sending = True
        try:
            # Until nobody may go: what is sent here may end at once and free its place, and hooks
            # may queue more.
            while True:
                if chain is None and self._queue:
                    chain = scheduler.pop(self._time())
                    if scheduler.woken:
                        self.wake_sources()
                if chain is None:
                    break
                self._send(chain)
                chain = None
        finally:
            self.is_sending = False
        # Only a limit has a time, and only who waits needs it.
        if self._timer is not None or (scheduler.is_limited and self._queue):
            self.update_timer()

    def update_timer(self) -> None:
        """Come back when the next may go: one timer, set anew only if that time has changed."""
        at = self._scheduler.next_time if self._scheduler.is_limited else None
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._ioloop.remove_timeout(self._timer)
        self._timer_at = at
        self._timer = None
        if at is not None:
            self._timer = self._ioloop.call_later(max(0.0, at - self._time()), self._on_turn_time)

    def _on_turn_time(self) -> None:
        # First: asyncio calls a timer as early as its clock's resolution allows. The next one is
        # then for the same time, and `update_timer` would take it for one that still runs.
        self._timer = self._timer_at = None
        self.dispatch()

    def ask_sources(self) -> None:
        """Let the sources go on that wait for room, each once, as long as there is some."""
        # As many as wait now: what one takes may leave it waiting again, behind the others.
        for _ in range(len(self._waiting)):
            if self._scheduler.is_full or not self._waiting:
                return
            ask = self._scheduler.pop_source()
            if ask is not None:
                ask()

    def wake_sources(self) -> None:
        """Have sources asked at the loop's next turn that have room again."""
        # Not from here: a source is users' code, and this is in the middle of sending or ending.
        for ask in self._scheduler.take_woken():
            self._call_soon(ask)
