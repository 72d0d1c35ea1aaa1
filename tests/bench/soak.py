"""A mixed flow for as long as one likes: `python -m tests.bench.soak MINUTES`.

One stream with some 80 conversations at a time, at an easy pace, against servers that are well and
a server with all faults there are; they run in other processes. At the end of each sixth of the
time nothing new is begun until all but the lasting chains have ended; then it is counted what this
process has. Shows the counts on standard error, and prints all as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import random
import re
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pycurl
from tornado.ioloop import IOLoop

from webqq_tornado import HTTPStream
from webqq_tornado.httpclient import HTTPStreamClient

from ..engine.balance import assert_is_balanced
from ..servers import nginx
from ..servers.processes import running
from .soak_flows import FLOWS, Ground, begin_lasting, end_lasting, limits

#: Flows at a time, and seconds that each of them rests afterwards, on the average.
SLOTS, REST = 80, 1.5
#: Parts of the time, after each of which there is a row.
PARTS = 6
#: Seconds that a flow may take: none takes as many.
PATIENCE = 60.0
#: Seconds from the last chain's end to the count: what closes connections has run.
QUIET = 2.0
#: What may be more at the end than after the first part: of each figure a share, and so many.
#: (Limits of up to 1,024 hosts that nobody asks any more may wait to be forgotten together.)
SHARE = 0.03
SLACK = {"rss_kib": 1024, "objects": 3000}
_SLACK_OF_OTHERS = 12


class Row(NamedTuple):
    """What this process has when nothing but the lasting chains is under way.

    Args:
        minute: since the start.
        rss_kib: memory, KiB.
        objects: that the collector knows, after a collection.
        descriptors: open ones.
        timers: of the loop, those that were cancelled left out.
        tasks: of asyncio.
        handlers: of the IOLoop.
        registered: sockets that any epoll of this process watches.
        chains: alive.
        in_flight: requests.
        sessions: by name.
        lanes: of libcurl's multi handles.
        handles: easy ones, idle.
        busy: medians while flows ran: chains, requests in flight, descriptors, timers.
        done: flows so far.
        requests: so far.
        core: of a core that was used since the last row, %.
    """

    minute: float
    rss_kib: int
    objects: int
    descriptors: int
    timers: int
    tasks: int
    handlers: int
    registered: int
    chains: int
    in_flight: int
    sessions: int
    lanes: int
    handles: int
    busy: list[float]
    done: int
    requests: int
    core: float


#: Of a row: what has to stay as it is.
FLAT = Row._fields[1:13]


class Soak:
    """The flows, and what is counted of them.

    Args:
        ground: what they share.
        seconds: in all.
    """

    def __init__(self, ground: Ground, seconds: float) -> None:
        self.ground, self.seconds = ground, seconds
        self.ends: Counter[str] = Counter()
        self.rows: list[Row] = []
        self._turns = self._names()
        self._may_go = asyncio.Event()
        self._resting = 0  # slots that wait for it
        self._samples: list[tuple[int, ...]] = []
        self._began = self._since = time.monotonic()
        self._cpu = time.process_time()

    def _names(self) -> Iterator[str]:
        """All flows in turn; those of faults, of which there are many, more often."""
        names = [*FLOWS, *["faults"] * 4, *["streamed_faults", "odd_http2"] * 2]
        while True:
            self.ground.chance.shuffle(names)
            yield from names

    async def run(self) -> None:
        """All of it."""
        lasting = begin_lasting(self.ground)
        slots = [asyncio.ensure_future(self._slot()) for _ in range(SLOTS)]
        for _ in range(PARTS):
            await self._flow(self.seconds / PARTS)
            self.rows.append(self._row())
            _show(self.rows)
        for slot in slots:
            slot.cancel()
        await end_lasting(lasting)

    async def _flow(self, seconds: float) -> None:
        """Let them run so long, then wait until all rest."""
        self._may_go.set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(1)
            self._samples.append(self._sample())
        self._may_go.clear()
        while self._resting < SLOTS:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(QUIET)

    async def _slot(self) -> None:
        while True:
            self._resting += 1
            await self._may_go.wait()
            self._resting -= 1
            await self._run_flow(next(self._turns))
            await asyncio.sleep(self.ground.chance.uniform(0, 2 * REST))

    async def _run_flow(self, name: str) -> None:
        try:
            await asyncio.wait_for(FLOWS[name](self.ground), PATIENCE)
        except asyncio.TimeoutError:
            self.ground.problems[f"{name} hangs"] += 1
            _say(f"{name} hangs; alive: {sorted(map(repr, self.ground.stream.chains))}")
        except Exception as error:
            shown = re.sub(r"\d+", "N", f"{name}: {error!r}")
            self.ground.problems[shown[:300]] += 1
        else:
            self.ends[name] += 1

    # -- counting ---------------------------------------------------------------------------------

    def _sample(self) -> tuple[int, ...]:
        stats = self.ground.stream.stats()
        return stats.chains, stats.in_flight, len(os.listdir("/proc/self/fd")), len(_timers())

    def _row(self) -> Row:
        with contextlib.suppress(AssertionError):
            assert_is_balanced(self.ground.stream)
            self.ground.problems["the stream is not balanced"] -= 1
        self.ground.problems["the stream is not balanced"] += 1
        gc.collect()
        now, cpu = time.monotonic(), time.process_time()
        core = 100 * (cpu - self._cpu) / (now - self._since)
        self._since, self._cpu = now, cpu
        stream, samples = self.ground.stream, zip(*self._samples, strict=True)
        busy = [statistics.median(some) for some in samples]
        self._samples.clear()
        return Row(
            minute=round((now - self._began) / 60, 1),
            rss_kib=_resident_kib(),
            objects=len(gc.get_objects()),
            descriptors=len(os.listdir("/proc/self/fd")),
            timers=len(_timers()),
            tasks=len(asyncio.all_tasks()),
            handlers=len(IOLoop.current().handlers),  # type: ignore[attr-defined]
            registered=_registered(),
            chains=stream.stats().chains,
            in_flight=stream.stats().in_flight,
            sessions=len(stream._sessions),
            **_inside(stream, self.ground.client),
            busy=busy,
            done=sum(self.ends.values()),
            requests=stream.stats().requests,
            core=round(core, 1),
        )


def _inside(stream: HTTPStream, client: HTTPStreamClient) -> dict[str, int]:
    """What is known only to their transports."""
    transports: list[Any] = [stream._transport, client._transport]
    return {
        "lanes": sum(len(one._lanes) for one in transports),
        "handles": sum(len(one._spare) for one in transports),
    }


def _timers() -> list[asyncio.TimerHandle]:
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]


def _resident_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _registered() -> int:
    """Sockets in all epolls of this process, as the kernel knows them."""
    count = 0
    for info in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):  # that of the listing itself
            count += info.read_text().count("tfd:")
    return count


def growth(rows: Sequence[Row]) -> dict[str, float]:
    """By how much of itself each figure has grown beyond what it may, %: none should.

    Compared is the mean of the last two rows to that of the second and the third.

    Args:
        rows: all of them.
    """
    grown = {}
    for name in FLAT:
        early, late = (
            statistics.mean(getattr(row, name) for row in some) for some in (rows[1:3], rows[-2:])
        )
        if late > early * (1 + SHARE) + SLACK.get(name, _SLACK_OF_OTHERS):
            grown[name] = 100 * (late / max(early, 1) - 1)
    return grown


def _show(rows: Sequence[Row]) -> None:
    """The last row, and before the first one what they are."""
    names = (*Row._fields[:13], "busy: chains, in flight, descriptors, timers", *Row._fields[14:])
    widths = [max(len(name), 7) for name in names]
    if len(rows) == 1:
        _say("  ".join(f"{name:>{width}}" for name, width in zip(names, widths, strict=True)))
    cells = [
        ", ".join(f"{one:g}" for one in cell) if cell is rows[-1].busy else f"{cell:,}"
        for cell in rows[-1]
    ]
    _say("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def _ground() -> AsyncIterator[Ground]:
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        for name in ("web", "nginx", "files"):
            (folder / name).mkdir()
        web = exits.enter_context(running("servers.web", str(folder / "web")))
        soak = exits.enter_context(running("servers.soak", web["certificate"]))
        doors = exits.enter_context(
            nginx.running(folder / "nginx", web["certificate"], web["http"])
        )
        closed = exits.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and listens not
        refused = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        client = HTTPStreamClient(force_instance=True, max_clients=20)
        defaults = {"ca_certs": web["ca"], "proxy": ""}
        async with HTTPStream(defaults=defaults, limits=limits(web)) as stream:
            chance = random.Random(1)
            files = folder / "files"
            yield Ground(stream, client, web, soak, doors._asdict(), files, refused, chance)
        client.close()


async def measure(minutes: float) -> dict[str, Any]:
    """All figures."""
    async with _ground() as ground:
        soak = Soak(ground, minutes * 60)
        await soak.run()
        stats = ground.stream.stats()._asdict()
    return {
        "rows": [row._asdict() for row in soak.rows],
        "grown": growth(soak.rows),
        "problems": {what: count for what, count in ground.problems.items() if count},
        "flows": soak.ends,
        "ends": ground.ends,
        "stats": stats,
    }


def main() -> None:
    """See the module."""
    logging.disable()  # faults are what it is about
    pycurl.global_init(pycurl.GLOBAL_ALL)
    print(json.dumps(asyncio.run(measure(float(sys.argv[1])))))


if __name__ == "__main__":
    main()
