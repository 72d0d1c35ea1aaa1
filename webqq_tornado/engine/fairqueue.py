"""A fair queue: a session or host that floods it cannot starve the others.

Items of higher priority go first. Within a priority the sessions take turns, and within a session
its hosts; within a host it is first come, first served. A *line* is what waits for one host in
one session; a line whose host or session may not go yet is parked with it, at its *gate*, so that
`pop` does not look at it in vain.

A gate that opens lets one of its lines look, and each line that has looked, whether it went or was
parked elsewhere, lets the next one. To let all of them look is what one would write first: with
10,000 sessions waiting for one host that was 10 ms for each link, this is some microseconds. What
must hold for nobody to be forgotten: a gate that is open and has lines parked has another line
that is ready, or was not looked at since; one that is closed for a time is in the heap.

Nothing in here reads a clock or knows what an item is.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from .limits import Limits, RateLimiter

__all__ = ["FairQueue"]

Item = TypeVar("Item", bound=Hashable)
#: Rate limiters kept before idle ones are searched for and removed.
_KEPT = 1024


class _Line(Generic[Item]):
    """Items that wait for one host in one session."""

    __slots__ = ("gates", "host", "items", "parked_at", "priority", "session")

    def __init__(
        self, priority: int, session: Hashable, host: str, gates: tuple[_Gate[Item], ...]
    ) -> None:
        self.priority = priority
        self.session = session
        self.host = host
        self.gates = gates
        self.items: OrderedDict[Item, None] = OrderedDict()
        self.parked_at: _Gate[Item] | None = None


class _Gate(Generic[Item]):
    """A rate limiter, and the lines that wait for it, by priority, in order of arrival."""

    __slots__ = ("is_timed", "limiter", "parked")

    def __init__(self, limiter: RateLimiter) -> None:
        self.limiter = limiter
        self.parked: dict[int, OrderedDict[_Line[Item], None]] = {}
        self.is_timed = False  # it is in the heap


class FairQueue(Generic[Item]):
    """Items that wait, and those that have gone and not ended.

    Args:
        limits: how many may go; without, all may.

    Attributes:
        members: what waits.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits if limits is not None and limits.is_selective else None
        self.members: dict[Item, _Line[Item]] = {}
        self._lines: dict[tuple[int, Hashable, str], _Line[Item]] = {}
        # By priority: sessions in turn, and of each its hosts in turn. Only lines that may go.
        self._rings: dict[int, OrderedDict[Hashable, OrderedDict[str, _Line[Item]]]] = {}
        self._gates: dict[Hashable, _Gate[Item]] = {}
        self._spacings: dict[str, float] = {}
        self._gates_kept = _KEPT
        self._active: dict[Item, tuple[_Gate[Item], ...]] = {}
        self._timed: list[tuple[float, int, _Gate[Item]]] = []  # a heap
        self._serial = 0

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self.members))

    def push(self, item: Item, session: Hashable, host: str, priority: int = 0) -> None:
        """One more that waits."""
        key = (priority, session, host)
        # A line for each session and host, and not one for each session: a session whose first
        # host is at its limit continues with the others.
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(priority, session, host, self._gates_of(session, host))
            self._make_ready(line)
        line.items[item] = None
        self.members[item] = line

    def pop(self, now: float) -> Item | None:
        """The next that may go, which counts as gone until `release`.

        Args:
            now: seconds.

        Returns:
            None if nothing waits, or nothing that waits may go.
        """
        self._open_gates(now)
        while self._rings:  # looked up each time: one that is parked lets another one in
            ring = self._rings[max(self._rings)]
            session, hosts = next(iter(ring.items()))
            host, line = next(iter(hosts.items()))
            gate = self._closed_gate(line, now)
            if gate is None:
                # Both to the end before the item is taken: the next one belongs to another session,
                # and of this session to another host.
                ring.move_to_end(session)
                hosts.move_to_end(host)
                return self._start(line, now)
            # A parked line is not looked at again before its gate opens, so that a turn costs
            # the number of lines that may go, not of those that wait.
            self._park(line, gate, now)
        return None

    def remove(self, item: Item) -> bool:
        """Remove an item. Returns False if it did not wait."""
        line = self.members.pop(item, None)
        if line is None:
            return False
        del line.items[item]
        if line.items:
            return True
        gates = line.gates if line.parked_at is None else ()
        self._drop(line)
        for gate in gates:  # it may have been the one that was to look
            self._wake_one(gate)
        return True

    def start(self, item: Item, session: Hashable, host: str, now: float) -> bool:
        """Let an item go past the queue, which is empty: what `push` and `pop` come to then.

        Args:
            item: which.
            session: whose it is.
            host: where to.
            now: seconds.

        Returns:
            False if it may not go yet; nothing has changed then.
        """
        gates = self._gates_of(session, host)
        # All gates are asked before one is entered: else a refusal would have to be undone.
        for gate in gates:
            if gate.limiter.opens_at(now) > now:
                return False
        if gates:
            self._active[item] = gates
            for gate in gates:  # of which none has lines parked: there are none
                gate.limiter.start(now)
        return True

    def release(self, item: Item, now: float) -> None:
        """Note that one that had gone has ended; nothing happens if it had not gone."""
        for gate in self._active.pop(item, ()):
            gate.limiter.release()
            if gate.parked:
                self._heed(gate, now)
        if len(self._gates) > self._gates_kept:
            self._forget_idle_gates(now)

    def forget_session(self, session: Hashable) -> None:
        """Forget a session that is over: nothing of it waits, has gone or will come."""
        self._gates.pop((session,), None)

    def space(self, host: str, seconds: float) -> None:
        """Let at least these seconds be between two that go to a host.

        Args:
            host: which.
            seconds: in addition to its limits.
        """
        self._spacings[host] = seconds
        gate = self._gates.get(host)
        if gate is not None:
            gate.limiter.widen(seconds)

    def refund(self, item: Item, now: float) -> None:
        """The one that `pop` gave last did not go after all, and has taken nothing."""
        for gate in self._active.pop(item, ()):
            gate.limiter.undo()
            self._heed(gate, now)

    @property
    def next_time(self) -> float | None:
        """When something may go that may not now, in seconds; None: when something has ended."""
        return self._timed[0][0] if self._timed else None

    # -- lines ----------------------------------------------------------------------------------

    def _make_ready(self, line: _Line[Item]) -> None:
        ring = self._rings.setdefault(line.priority, OrderedDict())
        ring.setdefault(line.session, OrderedDict())[line.host] = line

    def _leave_ring(self, line: _Line[Item]) -> None:
        ring = self._rings[line.priority]
        hosts = ring[line.session]
        del hosts[line.host]
        if not hosts:
            del ring[line.session]
        if not ring:
            del self._rings[line.priority]

    def _start(self, line: _Line[Item], now: float) -> Item:
        item, _ = line.items.popitem(last=False)
        del self.members[item]
        if line.gates:
            self._active[item] = line.gates
            for gate in line.gates:
                gate.limiter.start(now)
        if not line.items:
            self._drop(line)
        # One wakes one: the gate may be closed again by this start, and if it is not, the next
        # start looks again. Waking all would park all but one anew.
        for gate in line.gates:
            self._heed(gate, now)
        return item

    def _drop(self, line: _Line[Item]) -> None:
        del self._lines[line.priority, line.session, line.host]
        if line.parked_at is None:
            self._leave_ring(line)
        else:
            self._leave_gate(line, line.parked_at)

    # -- gates ----------------------------------------------------------------------------------

    def _gates_of(self, session: Hashable, host: str) -> tuple[_Gate[Item], ...]:
        limits = self._limits
        if limits is None:
            return ()
        by_session = self._gates.get((session,))
        if by_session is None:
            by_session = self._gates[session,] = _Gate(limits.of_session())
        by_host = self._gates.get(host)
        if by_host is None:
            by_host = self._gates[host] = _Gate(limits.of_host(host))
            by_host.limiter.widen(self._spacings.get(host, 0.0))
        return by_session, by_host

    @staticmethod
    def _closed_gate(line: _Line[Item], now: float) -> _Gate[Item] | None:
        for gate in line.gates:
            if gate.limiter.opens_at(now) > now:
                return gate
        return None

    def _park(self, line: _Line[Item], gate: _Gate[Item], now: float) -> None:
        self._leave_ring(line)
        line.parked_at = gate
        gate.parked.setdefault(line.priority, OrderedDict())[line] = None
        for each in line.gates:
            self._heed(each, now)

    @staticmethod
    def _leave_gate(line: _Line[Item], gate: _Gate[Item]) -> None:
        line.parked_at = None
        lines = gate.parked[line.priority]
        del lines[line]
        if not lines:
            del gate.parked[line.priority]

    def _heed(self, gate: _Gate[Item], now: float) -> None:
        """Wake a parked line if the gate is open, else schedule its opening."""
        if not gate.parked:
            return
        opens_at = gate.limiter.opens_at(now)
        if opens_at <= now:
            self._wake_one(gate)
        elif opens_at < math.inf and not gate.is_timed:
            # Infinite: something must end first, and `release` looks then. Once in the heap is
            # enough, even if the time moves: an early look puts it in again.
            gate.is_timed = True
            self._serial += 1  # gates have no order of their own
            heapq.heappush(self._timed, (opens_at, self._serial, gate))

    def _wake_one(self, gate: _Gate[Item]) -> None:
        if gate.parked:
            line = next(iter(gate.parked[max(gate.parked)]))
            self._leave_gate(line, gate)
            self._make_ready(line)

    def _open_gates(self, now: float) -> None:
        while self._timed and self._timed[0][0] <= now:
            gate = heapq.heappop(self._timed)[2]
            gate.is_timed = False
            self._heed(gate, now)

    def _forget_idle_gates(self, now: float) -> None:
        """A crawler sees many hosts once."""
        # By identity: a line holds its gates, and one made anew for the same host would count
        # from zero beside the old one.
        used = {id(gate) for line in self._lines.values() for gate in line.gates}
        self._gates = {
            key: gate
            for key, gate in self._gates.items()
            if id(gate) in used or not gate.limiter.is_idle(now)
        }
        # Twice what is left: the walk is paid for by as many new hosts.
        self._gates_kept = max(_KEPT, 2 * len(self._gates))
