"""A flow is killed at random moments, and goes on by the same command."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import sqlite3
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import parquet
from servers.processes import running

from webqq_tornado.journal import Journal
from webqq_tornado.journal.codec import unpack_item

from . import shop
from .starter import Starter

#: By default few: `JOURNAL_KILLS=100 JOURNAL_CUSTOMERS=800` takes minutes.
KILLS = int(os.environ.get("JOURNAL_KILLS", "10"))
CUSTOMERS = int(os.environ.get("JOURNAL_CUSTOMERS", "80"))
#: Requests of a run that nothing stops.
REQUESTS = CUSTOMERS * (1 + shop.PAGES + 2 * shop.ARTICLES)


@pytest.fixture
def url() -> Iterator[str]:
    with running("servers.counted") as facts:
        yield facts["url"]


@pytest.fixture
def starter() -> Iterator[Starter]:
    with Starter() as starter:
        yield starter


class Runs:
    """Runs of a flow: `killed` is one that is killed at some request, `whole` one that is not."""

    def __init__(self, starter: Starter, url: str, *words: str, flow: str = "Shop") -> None:
        sync, *rest = words
        self._starter, self._url = starter, url
        self._words = [f"{shop.__file__}:{flow}", url, str(CUSTOMERS), sync, *rest]

    def killed(self, request: int) -> None:
        kill = f"{self._url}/kill/{request}"
        assert self._starter.run("run", *self._words, kill=kill) == -signal.SIGKILL

    def whole(self) -> None:
        assert self._starter.run("run", *self._words) == 0


def results_of(journal: Path, output: Path | None) -> list[tuple[str, int, int]]:
    rows: list[dict[str, object]] = []
    if output is None:
        with Journal(journal) as opened:
            rows = [unpack_item(text) for _, text in opened.results(limit=1_000_000)]
    elif output.suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    elif output.suffix == ".csv":
        rows = list(csv.DictReader(output.read_text().splitlines()))  # type: ignore[arg-type]
    elif output.suffix == ".parquet":
        rows = parquet.read_table(output).to_pylist()
    else:
        database = sqlite3.connect(output)
        found = database.execute("SELECT kind, customer, number FROM items").fetchall()
        database.close()
        return sorted(found)
    return sorted((str(r["kind"]), int(str(r["customer"])), int(str(r["number"]))) for r in rows)


def check_requests(url: str) -> int:
    """How many requests came more than once."""
    with urllib.request.urlopen(f"{url}/report", timeout=30) as answer:
        seen = json.load(answer)
    # One body a key, and one key a body: what was sent again was the same.
    bodies = Counter(body for bodies in seen["orders"].values() for body in bodies)
    assert set(bodies.values()) == {1}
    assert all(len(each) == 1 for each in seen["orders"].values())
    gets = [count for request, count in seen["counts"].items() if request.startswith("GET")]
    assert max(gets) <= 1 + KILLS
    again = sum(seen["counts"].values()) - REQUESTS
    # What was in flight, and what was read in the turn whose commit the kill has forestalled.
    assert 0 <= again <= 2 * 16 * KILLS
    return again


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sync", "suffix"),
    [("normal", ""), ("full", ""), *(("full", s) for s in (".jsonl", ".csv", ".parquet", ".db"))],
)
def test_a_flow_that_is_killed_has_each_result_once(
    sync: str, suffix: str, url: str, starter: Starter, tmp_path: Path
):
    seed = random.randrange(1 << 30)
    print("seed", seed)  # shown when it fails
    chance = random.Random(seed)
    journal, output = tmp_path / "shop.db", tmp_path / f"items{suffix}" if suffix else None
    files = ["--output", str(output)] if output else []
    runs = Runs(starter, url, sync, "--journal", str(journal), *files)
    for _ in range(KILLS):
        runs.killed(chance.randrange(1, REQUESTS // (KILLS + 2)))
    runs.whole()
    results = results_of(journal, output)
    assert results == sorted(shop.expected(CUSTOMERS))
    with Journal(journal) as opened:
        summary = opened.summary()
    assert (summary.ready, summary.delayed, summary.failed) == (0, 0, 0)
    assert summary.finished is not None
    again = check_requests(url)
    print(f"{sync} {suffix}: {KILLS} kills, {len(results)} results, {again} requests sent again")


@pytest.mark.slow
def test_a_flow_in_postgresql_that_is_killed_has_each_result_once(
    url: str, starter: Starter, database: str, tmp_path: Path
):
    kills, output = max(KILLS // 2, 1), tmp_path / "items.jsonl"
    words = ["full", "--journal", database, "--output", str(output)]
    runs = Runs(starter, url, *words, flow="Mixed")
    for _ in range(kills):
        runs.killed(random.randrange(1, CUSTOMERS * 18 // (kills + 2)))
    runs.whole()
    assert results_of(tmp_path, output) == sorted(shop.expected_of_mixed(CUSTOMERS))


@pytest.mark.slow
def test_readers_of_each_kind_have_their_results_once(url: str, starter: Starter, tmp_path: Path):
    seed = random.randrange(1 << 30)
    print("seed", seed)  # shown when it fails
    chance, journal = random.Random(seed), tmp_path / "mixed.db"
    each = CUSTOMERS * 18 // (KILLS + 3)  # requests of a customer, at least
    runs = Runs(starter, url, "normal", "--journal", str(journal), flow="Mixed")
    for _ in range(KILLS):
        runs.killed(chance.randrange(1, each))
    runs.whole()
    assert results_of(journal, None) == sorted(shop.expected_of_mixed(CUSTOMERS))
    with Journal(journal) as opened:
        summary = opened.summary()
    assert (summary.ready, summary.delayed, summary.failed) == (0, 0, 0)
    print(f"mixed: {KILLS} kills, {summary.results} results")
