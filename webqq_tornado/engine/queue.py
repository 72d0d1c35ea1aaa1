"""Who is next: a queue in which nobody who floods it delays the others beyond their share.

Items of higher priority go first. Within a priority the sessions take turns, and within a session
its hosts; within a host it is first come, first served. A *line* is what waits for one host in
one session; lines whose host or session may not go yet are parked with it, so that `pop` never
looks at them in vain. Nothing in here reads a clock or knows what an item is.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from .limits import Allowance, Limits

__all__ = ["FairQueue"]

Item = TypeVar("Item", bound=Hashable)
#: Allowances that are kept before those that say nothing any more are looked for.
_KEPT = 1024


class _Line(Generic[Item]):
    """What waits for one host in one session."""

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
    """An allowance, and the lines that wait for it."""

    __slots__ = ("allowance", "is_timed", "parked")

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.parked: list[_Line[Item]] = []
        self.is_timed = False  # it is in the heap


class FairQueue(Generic[Item]):
    """Items that wait, and those that have gone and not ended.

    Args:
        limits: how many may go; without, all may.

    Attributes:
        members: what waits.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or None
        self.members: dict[Item, _Line[Item]] = {}
        self._lines: dict[tuple[int, Hashable, str], _Line[Item]] = {}
        # By priority: sessions in turn, and of each its hosts in turn. Only lines that may go.
        self._rings: dict[int, OrderedDict[Hashable, OrderedDict[str, _Line[Item]]]] = {}
        self._gates: dict[Hashable, _Gate[Item]] = {}
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
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(priority, session, host, self._gates_of(session, host))
            self._make_ready(line)
        line.items[item] = None
        self.members[item] = line

    def pop(self, now: float) -> Item | None:
        """The next that may go, which counts as gone until `end`.

        Args:
            now: seconds.

        Returns:
            None if nothing waits, or nothing that waits may go.
        """
        self._open_gates(now)
        for priority in sorted(self._rings, reverse=True):
            ring = self._rings[priority]
            while ring:
                session, hosts = next(iter(ring.items()))
                host, line = next(iter(hosts.items()))
                gate = self._closed_gate(line, now)
                if gate is not None:
                    self._park(line, gate, now)
                    continue
                ring.move_to_end(session)
                hosts.move_to_end(host)
                return self._start(line, now)
        return None

    def remove(self, item: Item) -> bool:
        """It waits no more; False if it did not."""
        line = self.members.pop(item, None)
        if line is None:
            return False
        del line.items[item]
        self._drop_if_empty(line)
        return True

    def end(self, item: Item, now: float) -> None:
        """One that had gone has ended; nothing happens if it had not gone."""
        for gate in self._active.pop(item, ()):
            gate.allowance.end()
            if not gate.is_timed:
                self._unpark(gate)
        if len(self._gates) > self._gates_kept:
            self._forget_idle_gates(now)

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
                gate.allowance.start(now)
        self._drop_if_empty(line)
        return item

    def _drop_if_empty(self, line: _Line[Item]) -> None:
        if line.items:
            return
        del self._lines[line.priority, line.session, line.host]
        if line.parked_at is None:
            self._leave_ring(line)
        else:
            line.parked_at.parked.remove(line)

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
        return by_session, by_host

    @staticmethod
    def _closed_gate(line: _Line[Item], now: float) -> _Gate[Item] | None:
        for gate in line.gates:
            if gate.allowance.opens_at(now) > now:
                return gate
        return None

    def _park(self, line: _Line[Item], gate: _Gate[Item], now: float) -> None:
        self._leave_ring(line)
        line.parked_at = gate
        gate.parked.append(line)
        opens_at = gate.allowance.opens_at(now)
        if opens_at < math.inf and not gate.is_timed:
            gate.is_timed = True
            self._serial += 1  # gates have no order of their own
            heapq.heappush(self._timed, (opens_at, self._serial, gate))

    def _unpark(self, gate: _Gate[Item]) -> None:
        parked, gate.parked = gate.parked, []
        for line in parked:
            line.parked_at = None
            self._make_ready(line)

    def _open_gates(self, now: float) -> None:
        while self._timed and self._timed[0][0] <= now:
            gate = heapq.heappop(self._timed)[2]
            gate.is_timed = False
            self._unpark(gate)

    def _forget_idle_gates(self, now: float) -> None:
        """A crawler sees many hosts once."""
        used = {id(gate) for line in self._lines.values() for gate in line.gates}
        self._gates = {
            key: gate
            for key, gate in self._gates.items()
            if id(gate) in used or not gate.allowance.is_idle(now)
        }
        self._gates_kept = max(_KEPT, 2 * len(self._gates))
