"""Chains that wait: for an answer that is held back, or for their time.

`python -m tests.bench.waiting held NUMBER URL`, `held_aiohttp NUMBER URL`,
`delayed NUMBER URL WAIT SPREAD`: each prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from webqq_tornado import Response


def resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def held(number: str, url: str) -> dict[str, float]:
    """Memory for each chain while all are in a long poll."""
    from webqq_tornado import HTTPStream

    statuses: list[int] = []

    def read(response: Response) -> None:
        statuses.append(response.status)

    async with HTTPStream() as stream:
        await stream.fetch(url)  # what is loaded by the first request is no chain's
        before = resident()
        chains = [stream.add_request(url + "hold", read) for _ in range(int(number))]
        await stream.fetch(f"{url}held/{number}")
        after = resident()
        await stream.fetch(url + "release")
        for chain in chains:
            await chain
    return _memory(statuses, before, after)


async def held_aiohttp(number: str, url: str) -> dict[str, float]:
    """The same with aiohttp, a task for each poll."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def get(path: str) -> int:
            async with session.get(url + path) as response:
                await response.read()
                return response.status

        await get("")
        before = resident()
        polls = [asyncio.ensure_future(get("hold")) for _ in range(int(number))]
        await get(f"held/{number}")
        after = resident()
        await get("release")
        statuses = await asyncio.gather(*polls)
    return _memory(statuses, before, after)


def _memory(statuses: list[int], before: int, after: int) -> dict[str, float]:
    each = (after - before) / len(statuses) / 1024
    return {"good": statuses.count(200), "each_kib": each}


async def delayed(number: str, url: str, wait: str, spread: str) -> dict[str, float]:
    """How late delayed chains start, and what they cost while they wait.

    When a request started is when its reader gets the answer, less the time that libcurl says
    it took from its start: so lateness includes what the answer waited for its reader, and is
    never shown too small.
    """
    from webqq_tornado import HTTPStream

    lateness: list[float] = []
    now = asyncio.get_running_loop().time

    def read(due: float, response: Response) -> None:
        if response.status == 200:
            lateness.append(now() - response.request_time - due)

    # Any order will do, and the same one each time.
    whens = random.Random(1).choices(range(1_000_000), k=int(number))
    async with HTTPStream() as stream:
        first = now() + float(wait)
        for when in whens:
            due = first + float(spread) * when / 1_000_000
            stream.add_delay_request(url, functools.partial(read, due), due - now())
        added, cpu = now(), time.process_time()
        idle_for = first - 0.05 - added
        await asyncio.sleep(max(idle_for, 0.001))
        idle_cpu = (time.process_time() - cpu) / (now() - added)
    ranks = statistics.quantiles(lateness, n=100)
    return {
        "good": len(lateness),
        "idle_for": idle_for,
        "idle_cpu": idle_cpu * 100,
        "p50_ms": ranks[49] * 1e3,
        "p99_ms": ranks[98] * 1e3,
        "max_ms": max(lateness) * 1e3,
    }


MEASURES: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    measure.__name__: measure for measure in (held, held_aiohttp, delayed)
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(MEASURES[sys.argv[1]](*sys.argv[2:]))))
