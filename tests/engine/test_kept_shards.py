"""Shards of one flow, here in one process: whose a link is, and what goes from one to the other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from servers.web import Web

from webqq_tornado import HTTPStream, Limits, Next
from webqq_tornado.engine.kept_readers import kind_of
from webqq_tornado.engine.slices import Interrupted, Slice, run_slice
from webqq_tornado.engine.stats import Stats
from webqq_tornado.journal import JournalError, PostgresJournal, sqlite_shards
from webqq_tornado.journal.codec import unpack_item
from webqq_tornado.journal.records import Batch, ChainRow
from webqq_tornado.journal.sqlite_shards import ShardFile


class Walk(HTTPStream):
    """Chains that go to the other shard at each step, and some that have one key."""

    def __init__(self, web: Web, journal: Any, **options: Any) -> None:
        super().__init__(journal=journal, **options)
        self.web = web
        self.seen: list[str] = []

    def shard_of(self, link: Next) -> int:
        return int(link.request.url.rpartition("=")[2])  # type: ignore[union-attr]

    def link(self, number: int, step: int) -> tuple[str, Any]:
        url = f"{self.web.http}/echo?of={number}&step={step}&shard={(number + step) % 2}"
        return url, functools.partial(self.read, number, step)

    def begin(self):
        for number in range(6):
            yield self.link(number, 0)

    def read(self, number, step, response):
        self.seen.append(response.url.partition("?")[2])
        self.emit([number, step])
        if step == 0:
            return self.link(number, 1)
        if step == 1:
            return [self.link(number, 2), self.link(number, 3), self.keyed(number)]
        return None

    def keyed(self, number):
        url = f"{self.web.http}/echo?key&shard={number % 2}"
        return Next(url, functools.partial(self.read, -1, 9), key="once")


class Held(Walk):
    """Two links, of which the server holds one."""

    def begin(self):
        yield f"{self.web.http}/hold/shard?shard=0", self.held
        yield f"{self.web.http}/echo?shard=1", self.held

    def held(self, response):
        self.emit(response.status)
        return f"{self.web.http}/echo?shard=0", functools.partial(self.read, 7, 7)


class Ending(Walk):
    """A reader that ends the program, in one of two ways."""

    way = "plain"

    def begin(self):
        yield f"{self.web.http}/echo?shard=0", self.first

    def first(self, response):
        self.emit("first")
        return f"{self.web.http}/echo?shard=0", getattr(self, self.way)

    def plain(self, response):
        sys.exit(3)

    async def awaited(self, response):
        sys.exit(3)


class Failing(Walk):
    """A reader that fails at first."""

    fails = True

    def begin(self):
        yield f"{self.web.http}/echo?shard=0", self.bad

    def bad(self, response):
        if self.fails:
            raise ValueError("on purpose")
        self.emit("good")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    is_file = request.param == "sqlite"
    return tmp_path / "a.db" if is_file else request.getfixturevalue("database")


def store(place: Any) -> Any:
    return ShardFile(place) if isinstance(place, Path) else PostgresJournal(place)


async def led(place: Any, shards: int = 2, kind: type[HTTPStream] = Walk) -> Any:
    return await store(place).lead(kind_of(kind), shards)


async def opened(
    place: Any, shard: int, patience: float = 30, kind: type[HTTPStream] = Walk
) -> Any:
    return await store(place).open(kind_of(kind), shard=shard, shards=2, patience=patience)


async def slice_of(
    place: Any, web: Web, shard: int, stop: asyncio.Event, kind: type[Walk] = Walk
) -> tuple[Walk, Slice]:
    flow = kind(web, await opened(place, shard, kind=kind))
    reports: list[Stats] = []
    return flow, await run_slice(flow, 60, stop, reports.append)


async def test_each_link_is_sent_by_its_shard_and_each_result_comes_once(place: Any, web: Web):
    leader = await led(place)
    stop = asyncio.Event()
    running = [asyncio.ensure_future(slice_of(place, web, shard, stop)) for shard in range(2)]
    # They end by themselves where they have nothing to do, and are begun again, as by a client.
    while len(await leader.results(limit=1000)) < 25:
        await asyncio.wait(running, timeout=0.05)
        for shard, one in enumerate(running):
            if one.done():
                one.result()
                running[shard] = asyncio.ensure_future(slice_of(place, web, shard, stop))
    stop.set()
    await asyncio.gather(*running)
    results = sorted(unpack_item(text) for _, text in await leader.results(limit=1000))
    assert results == sorted([[-1, 9], *([n, step] for n in range(6) for step in range(4))])
    found = await leader.summary()
    assert (found.ready, found.failed, found.is_begun_all) == (0, 0, True)
    await leader.aclose()


async def test_what_is_in_flight_ends_and_the_rest_waits_for_the_next_slice(place: Any, web: Web):
    await (await led(place, kind=Held)).aclose()
    stop = asyncio.Event()
    running = asyncio.ensure_future(slice_of(place, web, 0, stop, Held))
    async with HTTPStream() as other:
        await other.get(f"{web.http}/arrived/shard")
        stop.set()
        for _ in range(10):  # turns of the loop in which the slice hears of it
            await asyncio.sleep(0)
        await other.get(f"{web.http}/release/shard")
    flow, ended = await running
    assert (ended.is_idle, flow.seen) == (False, [])
    leader = await led(place, kind=Held)
    assert dict(await leader.shards_with_work()) == {0: 0, 1: 0}
    assert [text for _, text in await leader.results()] == ["200"]
    assert (await leader.progress())[0] > 0
    await leader.aclose()


@pytest.mark.parametrize("way", ["plain", "awaited"])
async def test_a_reader_that_ends_the_program_ends_its_slice_and_not_the_loop(
    place: Any, web: Web, way: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Ending, "way", way)
    await (await led(place, kind=Ending)).aclose()
    with pytest.raises(Interrupted, match=rf"echo.* read by Ending.{way} \(.*SystemExit\(3\)"):
        await slice_of(place, web, 0, asyncio.Event(), Ending)
    leader = await led(place, kind=Ending)
    # What had been decided stands, and the link that was read goes on in the next run.
    assert dict(await leader.shards_with_work()) == {0: 0}
    assert [text for _, text in await leader.results()] == ['"first"']
    await leader.aclose()


async def test_a_shard_has_one_owner_and_its_number_stays(place: Any, web: Web):
    await (await led(place)).aclose()
    first = await opened(place, 1)
    with pytest.raises(JournalError, match=r"process .* (has its shard 1|runs on it)"):
        await opened(place, 1, patience=0)
    waiting = asyncio.ensure_future(opened(place, 1))
    other = await opened(place, 0)
    await first.aclose()
    for each in (await waiting, other):
        await each.aclose()
    with pytest.raises(JournalError, match="2 shards"):
        await led(place, 3)


async def test_a_second_client_is_refused(place: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("webqq_tornado.journal.postgres.GONE", 0)
    leader = await led(place)
    with pytest.raises(JournalError, match=r"process .* runs on it"):
        await led(place)
    await leader.aclose()


async def test_chains_that_are_tried_again_are_taken_by_their_shard(
    place: Any, web: Web, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    leader = await led(place, kind=Failing)
    stop = asyncio.Event()
    _, ended = await slice_of(place, web, 0, stop, Failing)
    assert (ended.is_idle, ended.next_due, ended.has_begun) == (True, None, True)
    (letter,) = await leader.letters(5)
    assert letter.error == "ValueError: on purpose"
    monkeypatch.setattr(Failing, "fails", False)
    running = asyncio.ensure_future(slice_of(place, web, 0, stop, Failing))
    assert await leader.retry(await leader.ids_of([])) == 1
    await running
    if await leader.shards_with_work():  # it had ended just before
        await slice_of(place, web, 0, stop, Failing)
    assert [text for _, text in await leader.results()] == ['"good"']
    await leader.aclose()
    caplog.clear()


async def test_a_journal_with_shards_is_not_run_without(place: Any, web: Web):
    await (await led(place)).aclose()
    if isinstance(place, Path):
        with pytest.raises(JournalError, match="it has 2 shards: run it with --dask"):
            Walk(web, place)
    else:
        with pytest.raises(JournalError, match="it has 2 shards: run it with --dask"):
            Walk(web, await PostgresJournal(place).open())


def test_each_shard_has_its_part_of_the_limits_where_several_ask_one_host():
    limits = Limits(per_host=8, rate_per_host=4, spacing=1, hosts={"a.example": Limits(per_host=4)})
    part = limits.part(4)
    assert (part.per_host, part.rate_per_host, part.spacing) == (2, 1, 4)
    assert part.hosts["a.example"].per_host == 1
    assert limits.part(1) is limits
    with pytest.raises(ValueError, match="per_host is 4, and 8 shards share it"):
        limits.part(8)
    assert math.isclose(Limits(rate_per_session=1).part(2).rate_per_session or 0, 0.5)


@pytest.fixture
def frozen(tmp_path: Path):
    """Another process that is in the middle of a transaction."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        yield db


async def test_a_shard_tries_again_where_a_frozen_one_has_the_file(
    tmp_path: Path, frozen: sqlite3.Connection
):
    await (await led(tmp_path / "a.db")).aclose()
    other = await opened(tmp_path / "a.db", 1)
    frozen.execute("BEGIN IMMEDIATE")
    other._part.db.patience = 0.001  # type: ignore[attr-defined]
    with pytest.raises(JournalError, match="another program writes to it") as error:
        await other.finish()
    assert error.value.is_passing
    await other.aclose()


chains = itertools.count(1)


def results_of(text: str) -> Batch:
    batch = Batch()
    batch.results = [(next(chains), 1, 0, text)]
    return batch


async def two_shards(path: Path) -> tuple[ShardFile, ShardFile]:
    await (await led(path)).aclose()
    return await opened(path, 0), await opened(path, 1)


async def test_shards_of_a_process_commit_together(tmp_path: Path):
    one, other = await two_shards(tmp_path / "a.db")
    statements: list[str] = []
    one._part.db.set_trace_callback(statements.append)
    assert one.commit_at_once(results_of("early")) is None  # it would not be together
    await asyncio.gather(one.commit(results_of("1"), 1), other.commit(results_of("2"), 1))
    assert [text for _, text in await one.results()] == ["1", "2"]
    assert statements.count("COMMIT") == 1
    await other.aclose()
    assert one.commit_at_once(results_of("3")) == []
    assert len(await one.results()) == 3
    await one.aclose()


async def test_shards_of_files_of_one_name_in_two_folders_are_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        await (await led(tmp_path / name / "a.db")).aclose()
        monkeypatch.chdir(tmp_path / name)
        files.append(ShardFile("a.db"))
    for each in files:  # the flow has gone to another folder since it has named its journal
        await each.open(kind_of(Walk), shard=0, shards=2, patience=30)
    for each, text in zip(files, ("one", "other"), strict=True):
        await each.commit(results_of(text), 1)
    assert [[text for _, text in await each.results()] for each in files] == [["one"], ["other"]]
    for each in files:
        await each.aclose()


async def test_a_shard_of_a_file_that_was_replaced_does_not_write_to_the_old_one(tmp_path: Path):
    path = tmp_path / "a.db"
    await (await led(path)).aclose()
    old = await opened(path, 0)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    await (await led(path)).aclose()
    new = await opened(path, 1)
    await new.commit(results_of("new"), 1)
    await old.aclose()
    await new.aclose()
    again = await opened(path, 1)
    assert [text for _, text in await again.results()] == ["new"]
    await again.aclose()


async def test_what_one_shard_cannot_write_does_not_take_the_batch_of_another_along(
    tmp_path: Path,
):
    one, other = await two_shards(tmp_path / "a.db")
    twice = Batch()
    twice.results = [(1, 1, 0, "good"), (1, 1, 0, "the same")]
    bad, good = await asyncio.gather(
        one.commit(twice, 1), other.commit(results_of("good"), 1), return_exceptions=True
    )
    assert isinstance(bad, JournalError)
    assert "UNIQUE" in str(bad)
    assert good == []
    assert [text for _, text in await other.results()] == ["good"]
    for each in (one, other):
        await each.aclose()


async def test_shards_wait_together_for_another_program_and_one_that_is_closed_does_not(
    tmp_path: Path, frozen: sqlite3.Connection
):
    one, other = await two_shards(tmp_path / "a.db")
    frozen.execute("BEGIN IMMEDIATE")
    commits = [
        asyncio.ensure_future(each.commit(results_of(text), 1))
        for each, text in ((one, "lost"), (other, "good"))
    ]
    await asyncio.sleep(0)  # they begin
    await asyncio.sleep(0)  # and are refused
    one.close()
    with pytest.raises(JournalError, match="another program writes to it") as error:
        await commits[0]
    assert error.value.is_passing
    frozen.execute("COMMIT")
    assert await commits[1] == []
    assert [text for _, text in await other.results()] == ["good"]
    await other.aclose()


def test_what_ctrl_c_has_taken_back_is_written_again_and_tells_what_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def keyed(number: int) -> Batch:
        batch = Batch()
        batch.keys = {b"key": number}
        batch.new = {number: ChainRow(number, 1, None, b"key", "http://localhost/")}
        return batch

    def interrupted(*_arguments: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        one, other = loop.run_until_complete(two_shards(tmp_path / "a.db"))
        assert loop.run_until_complete(one.commit(keyed(2), 1)) == []
        monkeypatch.setattr(sqlite_shards._Part, "_write", interrupted)
        commit = loop.create_task(other.commit(keyed(3), 1))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(commit)
        assert loop.run_until_complete(commit) == [3]
        for each in (one, other):
            loop.run_until_complete(each.aclose())


async def test_a_shard_that_is_closed_before_its_commit_says_so(tmp_path: Path):
    one, other = await two_shards(tmp_path / "a.db")
    commit = asyncio.ensure_future(one.commit(results_of("lost"), 1))
    await asyncio.sleep(0)
    one.close()
    with pytest.raises(JournalError, match="is closed"):
        await commit
    assert await other.commit(results_of("good"), 1) == []
    assert [text for _, text in await other.results()] == ["good"]
    await other.aclose()


async def test_shards_that_wait_too_long_for_another_program_say_so(
    tmp_path: Path, frozen: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite_shards, "_PATIENCE", 0.01)
    one, other = await two_shards(tmp_path / "a.db")
    frozen.execute("BEGIN IMMEDIATE")
    commits = [each.commit(results_of("late"), 1) for each in (one, other)]
    for error in await asyncio.gather(*commits, return_exceptions=True):
        assert isinstance(error, JournalError)
        assert error.is_passing
        assert "another program writes to it" in str(error)
    for each in (one, other):
        await each.aclose()


async def test_a_shard_that_was_closed_commits_nothing_more(place: Any, web: Web):
    await (await led(place)).aclose()
    shard = await opened(place, 0)
    await shard.aclose()
    batch = Batch()
    batch.results = [(1, 1, 0, "late")]
    with pytest.raises(JournalError, match="is closed"):
        await shard.commit(batch, 1)
