"""A flow is killed at random moments, and goes on by the same command."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.processes import running

from webqq_tornado.journal import Journal
from webqq_tornado.journal.codec import unpack_item

from . import shop

CUSTOMERS = 80
#: Requests of one run that nothing stops.
REQUESTS = CUSTOMERS * (1 + shop.PAGES + 2 * shop.ARTICLES)
KILLS = int(os.environ.get("JOURNAL_KILLS", "10"))
PACKAGE = Path(shop.__file__).parent.parent.parent


@pytest.fixture
def url() -> Iterator[str]:
    with running("servers.counted") as facts:
        yield facts["url"]


def start(url: str, journal: Path, sync: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, shop.__file__, url, str(journal), sync, str(CUSTOMERS)]
    path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def kill_after(process: subprocess.Popen[bytes], url: str, total: int) -> int:
    """Kill it when the server has seen so many requests; how many these were then."""
    with urllib.request.urlopen(f"{url}/after/{total}", timeout=100) as answer:
        process.kill()
        seen = int(answer.read())
    process.wait(100)
    assert process.returncode < 0
    return seen


def report(url: str) -> dict[str, dict[str, object]]:
    with urllib.request.urlopen(f"{url}/report", timeout=30) as answer:
        return json.load(answer)


def check(journal: Path, url: str, kills: int) -> None:
    results = [unpack_item(text) for _, text in Journal(journal).results(limit=100_000)]
    assert sorted(map(str, results)) == sorted(map(str, shop.expected(CUSTOMERS)))
    summary = Journal(journal).summary()
    assert (summary.ready, summary.delayed, summary.failed) == (0, 0, 0)
    assert summary.finished is not None
    seen = report(url)
    # One body a key, and one key a body: what was sent again was the same.
    bodies = Counter(body for bodies in seen["orders"].values() for body in bodies)
    assert set(bodies.values()) == {1}
    assert all(len(each) == 1 for each in seen["orders"].values())
    # At most what was in flight, and that once a kill.
    gets = [count for request, count in seen["counts"].items() if request.startswith("GET")]
    assert max(gets) <= 1 + kills
    again = sum(seen["counts"].values()) - REQUESTS
    assert 0 <= again <= 16 * kills
    print(f"{len(results)} results, {kills} kills, {again} requests sent again")


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["normal", "full"])
def test_a_flow_that_is_killed_ten_times_has_each_result_once(sync: str, url: str, tmp_path: Path):
    seed = random.randrange(1 << 30)
    print("seed", seed)  # shown when it fails
    chance, journal, seen = random.Random(seed), tmp_path / "shop.db", 0
    for _ in range(KILLS):
        process = start(url, journal, sync)
        seen = kill_after(process, url, seen + chance.randrange(1, REQUESTS // (KILLS + 2)))
    assert start(url, journal, sync).wait(100) == 0
    check(journal, url, KILLS)
