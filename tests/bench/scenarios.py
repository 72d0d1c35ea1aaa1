"""What is compared with what, and what we promise: a table, and how one of its lines is run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from .awaited import missing_for
from .children import ChildError, Cores, json_of, output_of, python
from .nginx import Nginx

#: Peers that are no Python.
REFERENCE, H2LOAD = "reference", "h2load"
#: Peers that open a connection for each request; they have no other way.
_WITHOUT_KEEP_ALIVE = frozenset({"tornado_simple", "urllib_threads"})


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """A closed loop by several clients.

    Args:
        name: for the command line.
        title: for the table.
        conversations: at once, each on a connection of its own, or in a stream of one.
        peers: who runs it besides us.
        promises: how many times as fast as a peer we say we are.
        warm_up: seconds; longer where there are many connections to open.
        http2: over one connection.
        us: our own client's name among the peers.
    """

    name: str
    title: str
    conversations: int
    peers: tuple[str, ...]
    promises: Mapping[str, float]
    warm_up: float = 0.4
    http2: bool = False
    us: str = "ours"

    def within(self, sockets: int) -> Scenario:
        """The same with as many conversations as one process may have sockets."""
        if self.conversations <= sockets:
            return self
        title = f"{self.title}: {sockets:,}, as the limit on open files has it"
        return dataclasses.replace(self, conversations=sockets, title=title)

    def installed(self) -> Scenario:
        """The same without the peers that are not installed; the title names them."""
        missing = [peer for peer in self.peers if missing_for(peer)]
        if not missing:
            return self
        title = f"{self.title} (not installed: {', '.join(missing)})"
        peers = tuple(peer for peer in self.peers if peer not in missing)
        return dataclasses.replace(self, peers=peers, title=title)


_ALL = (
    REFERENCE,
    "ours_uvloop",
    "pycurl_async",
    "aiohttp_uvloop",
    "aiohttp",
    "tornado_curl",
    "tornado_simple",
    "urllib_threads",
    "httpx",
)

_AWAITED = (
    *("ours_fetch_uvloop", "ours", "ours_uvloop"),
    *("wreq", "pyreqwest", "pyqwest", "primp", "curl_cffi", "aiohttp_uvloop", "aiohttp"),
    *("aiosonic", "niquests", "httpx"),
)

SCENARIOS = (
    Scenario(
        "64", "64 connections", 64, _ALL, {REFERENCE: 0.75, "aiohttp": 3.5, "tornado_curl": 5.0}
    ),
    Scenario("1", "1 connection", 1, _ALL, {REFERENCE: 0.7}),
    Scenario(
        "1000",
        "1,000 connections to one host",
        1000,
        (REFERENCE, "pycurl_async", "aiohttp"),
        {REFERENCE: 0.9},
        warm_up=1.0,
    ),
    Scenario(
        "9000",
        "9,000 connections to one host",
        9000,
        (REFERENCE, "pycurl_async"),
        {REFERENCE: 2.0},
        warm_up=4.0,
    ),
    Scenario(
        "http2",
        "HTTP/2, 64 streams of one connection",
        64,
        (H2LOAD, REFERENCE),
        {H2LOAD: 0.55},
        http2=True,
        us="ours_http2",
    ),
    Scenario(
        "fetch",
        "Awaited requests, 64 connections",
        64,
        _AWAITED,
        {"wreq": 1.25, "ours": 0.85},
        us="ours_fetch",
    ),
    Scenario(
        "tornado",
        "Tornado's own client interface, 64 connections",
        64,
        ("tornado_curl", "tornado_simple"),
        {"tornado_curl": 4.0},
        us="ours_tornado",
    ),
)


class Round(NamedTuple):
    """What one client did once.

    Args:
        peer: its name.
        count: answers in the time that counts.
        total: all answers, warm-up included.
        bad: of those, the ones that were no 200 with the whole body.
        seconds: that count.
        cpu: seconds of it that the client computed.
        opened: connections that the server has seen.
        served: requests that it has seen.
    """

    peer: str
    count: int
    total: int
    bad: int
    seconds: float
    cpu: float
    opened: int
    served: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.count / self.seconds


class Loops(NamedTuple):
    """What closed loops need to run.

    Args:
        nginx: the server.
        reference: the C program.
        cores: where to run.
        seconds: that count, each time.
        repeats: of each client; they take turns, so that a slow spell of the machine hits all.
    """

    nginx: Nginx
    reference: Path
    cores: Cores
    seconds: float
    repeats: int

    def run(self, scenario: Scenario) -> Iterator[Round | str]:
        """Each client in turn, and again; one that fails yields its error, and runs no more."""
        peers = [scenario.us, *scenario.peers]
        for _ in range(self.repeats):
            for peer in tuple(peers):
                try:
                    done = self.round(scenario, peer)
                except ChildError as error:
                    peers.remove(peer)
                    yield f"{peer}: {error}"
                else:
                    yield done

    def round(self, scenario: Scenario, peer: str) -> Round:
        """One client once."""
        before = self.nginx.counters()
        facts = self._facts(scenario, peer)
        after = self.nginx.counters()
        # The second look at the counters is counted by them.
        opened = after.connections - before.connections - 1
        served = after.requests - before.requests - 1
        count, seconds, cpu = int(facts["count"]), facts["seconds"], facts["cpu"]
        total = int(facts.get("total", served))
        return Round(peer, count, total, int(facts["bad"]), seconds, cpu, opened, served)

    def _facts(self, scenario: Scenario, peer: str) -> Mapping[str, float]:
        url = self.nginx.h2c if scenario.http2 else self.nginx.http
        times = (scenario.warm_up, self.seconds)
        if peer == H2LOAD:
            return self._h2load(scenario, url)
        if peer == REFERENCE:
            program = [str(self.reference), str(scenario.conversations), *map(str, times), url]
            command = program + ["h2"] * scenario.http2
        else:
            command = python("peers", peer, scenario.conversations, *times, url)
        facts: Mapping[str, float] = json_of(command, self.cores.client, sum(times))
        return facts

    def _h2load(self, scenario: Scenario, url: str) -> Mapping[str, float]:
        options = ["-c1", f"-m{scenario.conversations}", "-t1"]
        times = [f"--warm-up-time={_in_ms(scenario.warm_up)}", f"-D{_in_ms(self.seconds)}"]
        command = ["h2load", *options, *times, url]
        shown = output_of(command, self.cores.client, self.seconds + scenario.warm_up)
        return _h2load_facts(shown) | {"seconds": self.seconds}


def problems_of(scenario: Scenario, one: Round) -> Iterator[str]:
    """What shows that a round was not the work that it should be."""
    if not one.count:
        yield "no answer in the time that counts"
    if one.bad:
        yield f"{one.bad} answers that were no 200 with the whole body"
    if one.served != one.total:
        yield f"the client counts {one.total} answers, the server {one.served} requests"
    low, high = _connections(scenario, one)
    if not low <= one.opened <= high:
        yield f"{one.opened} connections were opened, not {low} to {high}"


def _connections(scenario: Scenario, one: Round) -> tuple[int, int]:
    if one.peer in _WITHOUT_KEEP_ALIVE:
        return one.total, one.total
    if scenario.http2:
        return 1, 2
    # A little more is no fault: some clients open one while another is about to be free.
    return scenario.conversations, scenario.conversations * 21 // 20 + 1


def _in_ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _h2load_facts(shown: str) -> dict[str, float]:
    requests = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored", shown)
    others = re.search(r"2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", shown)
    assert requests, shown
    assert others, shown
    # Not what lacks to the 2xx: it counts an answer's end and its status apart, so that one on
    # the border of the warm-up is in one figure only.
    bad = sum(map(int, (*requests.groups()[1:], *others.groups())))
    return {"count": int(requests[1]), "bad": bad, "cpu": 0.0}
