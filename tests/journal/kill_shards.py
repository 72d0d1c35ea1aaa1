"""Shards whose processes are killed. In tests/: `python -m journal.kill_shards KIND COUNT`.

A number of chains may follow. KIND is `workers` (SIGKILL), `retire`, `frozen` (SIGSTOP, for longer
than the others wait; a nanny may end it), `owner` (the same of a worker without a nanny, which
wakes when others have its shards), `database` (it ends all connections), `client` (SIGKILL of the
program, then the same again) or `scheduler`; with `-file` behind it the journal is SQLite. Prints
what was lost and doubled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
from servers.processes import held_port, running

from journal import spread
from webqq_tornado.journal import Journal, PostgresJournal
from webqq_tornado.journal.codec import unpack_item
from webqq_tornado.shards.running import ShardRun, _made

TESTS = Path(__file__).parent.parent
#: Requests of a chain: pages, branches, orders, and half of a pair.
REQUESTS = spread.STEPS + 1 + 2 * spread.BRANCHES + 0.5


class Town:
    """What has happened to the shards, and the server that they ask."""

    def __init__(self, place: str, port: int, chains: int) -> None:
        self.place, self.port, self.chains = place, port, chains
        self.chance = random.Random()
        self.seen = 0
        self.happened = 0

    def run(self, where: str = "local:2", shards: int = 8, kind: type = spread.Spread) -> ShardRun:
        make = functools.partial(_made, (self.port, self.chains), {})
        return ShardRun(kind, make, self.place, where, shards=shards)

    async def more(self, count: int) -> None:
        """Until the server has seen so many requests more."""
        wanted = self.seen + self.chance.randrange(1, max(2, count))
        wanted = min(wanted, int(self.chains * REQUESTS) - 20)
        self.seen = int(await self.ask(f"after/{wanted}"))

    async def ask(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self.port}/{path}"

        def ask() -> bytes:
            with urllib.request.urlopen(url, timeout=100) as answer:
                return bytes(answer.read())

        return await asyncio.to_thread(ask)

    async def check(self) -> dict[str, Any]:
        """Numbers of it; raises if something was lost or doubled."""
        if self.place.startswith("postgres"):
            async with PostgresJournal(self.place) as journal:
                found = await journal.results(limit=10_000_000)
                summary = await journal.summary()
        else:
            with Journal(self.place) as file:
                found, summary = file.results(limit=10_000_000), file.summary()
        results = Counter(text for _, text in found)
        wanted = {json.dumps(each, separators=(",", ":")) for each in spread.expected(self.chains)}
        seen = json.loads(await self.ask("report"))
        numbers = {
            "happened": self.happened,
            "results": len(found),
            "lost": len(wanted - set(results)),
            "doubled": sum(count - 1 for count in results.values()),
            "foreign": len(set(results) - wanted),
            "again": sum(seen["counts"].values()) - len(seen["counts"]),
            "keys and bodies of a POST": max(map(len, seen["orders"].values())),
            "at once": max(seen["most"].values()),
            "waiting": summary.ready + summary.delayed,
            "failed": summary.failed,
        }
        assert unpack_item(found[0][1])
        bad = [
            name for name in ("lost", "doubled", "foreign", "waiting", "failed") if numbers[name]
        ]
        assert not bad, numbers
        assert numbers["keys and bodies of a POST"] == 1, numbers
        return numbers


def workers_of(run: ShardRun) -> list[int]:
    """Processes of the local workers."""
    nannies = () if run._cluster is None else tuple(run._cluster.workers.values())
    return [nanny.pid for nanny in nannies if getattr(nanny, "pid", None)]


async def trouble(town: Town, run: ShardRun, kind: str, count: int) -> None:
    """Let it happen so many times, while it runs."""
    each = int(town.chains * REQUESTS / (count + 1))
    while town.happened < count:
        await town.more(each)
        pids = workers_of(run)
        if len(pids) < 2:
            await asyncio.sleep(0.1)
            continue
        pid = town.chance.choice(pids)
        if kind == "workers":
            os.kill(pid, signal.SIGKILL)
        elif kind == "database":
            async with PostgresJournal(town.place) as other:
                await other._db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name"
                    " LIKE 'webqq_tornado%' AND pid <> pg_backend_pid()"
                )
        elif kind == "frozen":
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(4 * run.silent)
            with contextlib.suppress(ProcessLookupError):  # its nanny may have ended it
                os.kill(pid, signal.SIGCONT)
        else:
            workers = [*await run._client.nthreads()]
            if not workers:  # those that are there are starting
                await asyncio.sleep(0.1)
                continue
            await run._client.retire_workers([town.chance.choice(workers)])
            run._cluster.scale(len(run._cluster.worker_spec) + 1)
        town.happened += 1


async def with_trouble(town: Town, kind: str, count: int) -> None:
    """Run it, with what happens meanwhile."""
    run = town.run()
    happening = asyncio.ensure_future(trouble(town, run, kind, count))
    try:
        await run.run()
    finally:
        happening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await happening


def program(town: Town, where: str) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    words = ["run", f"{spread.__file__}:Spread", str(town.port), str(town.chains)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "webqq_tornado", *words),
            *("--journal", town.place, "--dask", where, "--shards", "8"),
        ],
        env={**os.environ, "PYTHONPATH": path},
    )


async def with_killed_client(town: Town, count: int) -> None:
    """Kill the program so many times; the same command goes on."""
    each = int(town.chains * REQUESTS / (count + 1))
    for _ in range(count):
        process = program(town, "local:2")
        await town.more(each)
        process.kill()
        process.wait(60)
        town.happened += 1
    code = await asyncio.to_thread(program(town, "local:2").wait, 300)
    assert code == 0, code


class Cluster:
    """A scheduler and two workers without nannies; a supervisor starts those that have ended."""

    def __init__(self) -> None:
        self._exits = contextlib.ExitStack()
        self._port = self._exits.enter_context(held_port())
        self.address = f"tcp://127.0.0.1:{self._port}"
        path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
        ttl = os.environ.get("TTL", "300s")
        name = "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL"
        self._environment = {**os.environ, "PYTHONPATH": path, name: ttl}
        self.scheduler = self._scheduler()
        self.workers = [self._worker(), self._worker()]

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
        return subprocess.Popen(command, env=self._environment)

    def _scheduler(self) -> subprocess.Popen[bytes]:
        where = ("--host", "127.0.0.1", "--port", str(self._port))
        return self._start("dask_scheduler", *where, "--no-dashboard")

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._start(
            "dask_worker", self.address, "--nthreads", "8", "--no-dashboard", "--no-nanny"
        )

    def kill_scheduler(self) -> None:
        """And start another one."""
        self.scheduler.kill()
        self.scheduler.wait()
        self.scheduler = self._scheduler()

    async def supervise(self) -> None:
        """Start workers again."""
        while True:
            await asyncio.sleep(0.2)
            for place, process in enumerate(self.workers):
                if process.poll() is not None:
                    self.workers[place] = self._worker()

    def end(self) -> None:
        """End all."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._exits.close()


async def with_cluster(town: Town, count: int, happen: Callable[[Cluster], Any]) -> None:
    """A cluster of its own, to which something happens so many times."""
    cluster = Cluster()
    each = int(town.chains * REQUESTS / (count + 1))

    async def trouble() -> None:
        while town.happened < count:
            await town.more(each)
            await happen(cluster)
            town.happened += 1

    tasks = [asyncio.ensure_future(one) for one in (cluster.supervise(), trouble())]
    try:
        await town.run(cluster.address).run()
    finally:
        for task in tasks:
            task.cancel()
        cluster.end()


async def kill_scheduler(cluster: Cluster) -> None:
    cluster.kill_scheduler()


async def freeze_owner(cluster: Cluster) -> None:
    """Stop a worker until others have its shards, and wake it: it may commit nothing."""
    frozen = random.choice(cluster.workers)
    frozen.send_signal(signal.SIGSTOP)
    await asyncio.sleep(4 * ShardRun.silent)
    frozen.send_signal(signal.SIGCONT)


async def main(kind: str, count: int, chains: int, place: str, port: int) -> dict[str, Any]:
    town = Town(place, port, chains)
    if kind == "client":
        await with_killed_client(town, count)
    elif kind == "scheduler":
        await with_cluster(town, count, kill_scheduler)
    elif kind == "owner":
        await with_cluster(town, count, freeze_owner)
    else:
        await with_trouble(town, kind, count)
    return await town.check()


if __name__ == "__main__":
    words = [*sys.argv[1:], "300"]
    begun = time.time()
    if words[0].startswith(("frozen", "owner")):
        # Dask gives its shards to others when it has not been heard of for so long.
        os.environ["TTL"] = "5s"
        dask.config.set({"distributed.scheduler.worker-ttl": "5s"})
        ShardRun.silent = 3.0
    with running("servers.hosts") as server, running("servers.postgres") as postgres:
        with tempfile.TemporaryDirectory() as folder:
            is_file = words[0].endswith("-file")
            where = f"{folder}/a.db" if is_file else f"{postgres['url']}&schema=kills"
            kind = words[0].removesuffix("-file")
            print(
                kind,
                asyncio.run(main(kind, int(words[1]), int(words[2]), where, server["port"])),
                f"{time.time() - begun:.1f} s",
            )
