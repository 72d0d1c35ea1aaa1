"""Chains with a journal.

`python -m tests.bench.journal links URL NUMBER MODE FOLDER` is a run of 64 chains, each link to
another URL; MODE is none, normal or full, with "+items" behind it where each link emits a result.
`python -m tests.bench.journal shards URL NUMBER WHERE SHARDS MODE FOLDER` is the same in shards on
Dask; WHERE is local:N, or "here" for one process without. MODE is normal or full.
`python -m tests.bench.journal million FOLDER` opens a journal of a million chains. Each prints its
figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webqq_tornado import HTTPStream
from webqq_tornado.engine.kept_readers import kind_of
from webqq_tornado.journal import Journal
from webqq_tornado.journal.records import Batch, ChainRow
from webqq_tornado.shards import run_shards

if TYPE_CHECKING:
    from webqq_tornado import Link, Next, Response

CHAINS, MILLION = 64, 1_000_000


class Links(HTTPStream):
    """So many links in all."""

    def __init__(self, url: str, number: int, emits: bool, **options: Any) -> None:
        super().__init__(max_clients=CHAINS, **options)
        self.url, self.left, self.emits = url, number, emits

    def begin(self) -> Link:
        for number in range(CHAINS):
            yield f"{self.url}?{number}", self.read

    def read(self, response: Response) -> Link:
        self.left -= 1
        if self.emits:
            self.emit({"url": response.url, "left": self.left})
        return (f"{self.url}?{self.left}", self.read) if self.left >= CHAINS else None


def links(url: str, number: str, mode: str, folder: str) -> dict[str, float]:
    """Links a second, and CPU for each."""
    sync, _, items = mode.partition("+")
    options: dict[str, Any] = {}
    if sync != "none":
        options["journal"] = Journal(Path(folder, f"{mode}-{os.getpid()}.db"), sync=sync)  # type: ignore[arg-type]
    flow = Links(url, int(number), bool(items), **options)
    began, used = time.perf_counter(), time.process_time()
    stats = flow.run(strict=True)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return {
        "good": stats.responses,
        "rate": stats.responses / seconds,
        "cpu_us": cpu / stats.responses * 1e6,
    }


class Shared(HTTPStream):
    """Chains of so many links each, which stay in their shard."""

    def __init__(self, url: str, number: int, **options: Any) -> None:
        super().__init__(max_clients=CHAINS, **options)
        self.url, self.number = url, number // CHAINS

    def begin(self) -> Link:
        for chain in range(CHAINS):
            yield f"{self.url}?{chain}.0", self.read

    def read(self, response: Response) -> Link:
        chain, _, step = response.url.rpartition("?")[2].partition(".")
        number = int(step) + 1
        if number in (1, self.number):  # the time of the processes' start is another thing
            self.emit(time.time())
        return (f"{self.url}?{chain}.{number}", self.read) if number < self.number else None

    def shard_of(self, link: Next) -> int:
        return int(link.request.url.rpartition("?")[2].partition(".")[0])


def shards(url: str, number: str, where: str, parts: str, mode: str, folder: str) -> dict[str, Any]:
    """Links a second, between the first and the last."""
    path = Path(folder, f"shards-{os.getpid()}.db")
    if where == "here":
        flow = Shared(url, int(number), journal=Journal(path, sync=mode))  # type: ignore[arg-type]
        flow.run(strict=True)
    else:
        run = run_shards(
            *(Shared, url, int(number)), journal=path, dask=where, shards=int(parts), sync=mode
        )
        asyncio.run(run)
    with Journal(path) as journal:
        times = [float(text) for _, text in journal.results(limit=3 * CHAINS)]
        steps = journal.summary().steps
    return {"good": steps, "rate": steps / (max(times) - min(times)), "load": os.getloadavg()[0]}


def million(folder: str) -> dict[str, float]:
    """Bytes of the file, and seconds until the first of its chains are sent."""
    path = Path(folder, "million.db")
    with Journal(path, sync="normal") as journal:
        journal.own(kind_of(Links))
        for first in range(1, MILLION, 10_000):
            batch = Batch()
            batch.new = {number: _row(number) for number in range(first, first + 10_000)}
            batch.last_chain, batch.is_begun_all = first + 9_999, True
            journal.commit(batch, 1)
    size = path.stat().st_size
    began = time.perf_counter()
    flow = Links("http://127.0.0.1:1/", 0, emits=False, journal=path)
    try:
        flow._journal.resume()  # type: ignore[union-attr]
        seconds = time.perf_counter() - began
        alive = flow.stats().chains
    finally:
        flow.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"size_mb": size / 1e6, "seconds": seconds, "alive": alive, "memory_mib": memory}


def _row(number: int) -> ChainRow:
    url = f"http://127.0.0.1:8200/items/{number}"
    return ChainRow(number, 1, f"Links.{number}", None, url, reader=".read")


if __name__ == "__main__":
    run = {"links": links, "shards": shards, "million": million}[sys.argv[1]]
    print(json.dumps(run(*sys.argv[2:])))
