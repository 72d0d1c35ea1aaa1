"""A flow in shards on Dask: with real processes, some of which are killed."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.scheduler import KilledWorker
from servers.processes import running
from waiting import until

from webqq_tornado import __version__
from webqq_tornado.dashboard.recorder import Recorder
from webqq_tornado.dashboard.snapshot import Query, take_snapshot
from webqq_tornado.engine.kept_readers import kind_of
from webqq_tornado.journal import JournalError
from webqq_tornado.journal.records import Batch, ChainRow, Failed
from webqq_tornado.shards import ShardError, run_shards
from webqq_tornado.shards.plan import FlowName
from webqq_tornado.shards.progress import Merged
from webqq_tornado.shards.running import ShardRun
from webqq_tornado.shards.slices import Ending as WayOut
from webqq_tornado.shards.slices import Report, check_worker, run_shard
from webqq_tornado.shards.view import ShardsView

from . import spread
from .kill_shards import Town
from .kill_shards import main as happen

CHAINS = 30


@pytest.fixture
def port() -> Iterator[int]:
    with running("servers.hosts") as facts:
        yield facts["port"]


@pytest.fixture
def quiet_dask() -> Iterator[None]:
    """It warns of processes that are killed."""
    logger = logging.getLogger("distributed")
    before, is_propagating = logger.level, logger.propagate
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
    yield
    gc.collect()  # here, where what Dask leaves open is no error
    logger.setLevel(before)
    logger.propagate = is_propagating


pytestmark = [
    # Of Dask's own, when it closes processes and sockets.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


#: Rows of the table of failures in the docs, and their kind in `kill_shards`.
FAILURES = {
    "worker-killed": "workers",
    "worker-retired": "retire",
    "worker-frozen-until-others-have-its-shards": "owner",
    "scheduler-killed": "scheduler",
    "client-killed": "client",
    "database-gone": "database",
}


@pytest.mark.slow
@pytest.mark.timeout(300)  # on a busy machine processes of Dask take long to start anew
@pytest.mark.parametrize("kind", FAILURES.values(), ids=FAILURES)
async def test_a_failure_loses_and_doubles_nothing(
    port: int,
    database: str,
    quiet_dask: None,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    if kind == "owner":
        monkeypatch.setattr(ShardRun, "silent", 1.0)
        monkeypatch.setenv("TTL", "2s")
    numbers = await happen(kind, 1, CHAINS, database, port)
    assert numbers["happened"] == 1
    assert numbers["results"] == len(spread.expected(CHAINS))
    caplog.clear()


@pytest.mark.slow
async def test_a_limit_of_a_host_holds_for_all_shards_also_after_a_pause(
    port: int, tmp_path: Path, quiet_dask: None
):
    town = Town(str(tmp_path / "a.db"), port, CHAINS)
    seen: list[Any] = []
    run = town.run(shards=4)
    run.on_progress = seen.append
    ending = asyncio.ensure_future(run.run())
    await town.ask("after/20")
    run.pause()  # and it goes on, with nothing twice
    await until(lambda: any(each.slices >= 4 for each in seen))
    assert run.is_paused
    run.resume()
    found = await ending
    numbers = await town.check()
    assert (numbers["at once"], numbers["again"]) == (2, 0)
    assert (found.ready, found.failed, found.finished is None) == (0, 0, False)
    assert seen[-1].workers == 2
    # Nothing is left to do: no cluster is started for that.
    again = await run_shards(
        *(spread.Spread, port, CHAINS), journal=tmp_path / "a.db", dask="local:2", shards=4
    )
    assert again == found._replace(pid=again.pid)


async def test_what_cannot_run_in_shards_is_said_before_anything_starts(tmp_path: Path):
    class Inside(spread.Spread):
        pass

    path = tmp_path / "a.db"
    for dask, message in [
        ("local:0", "as in local:4"),
        ("tcp://127.0.0.1:1", "the machines of a cluster share no file"),
    ]:
        with pytest.raises(ShardError, match=message):
            await run_shards(spread.Spread, 1, 1, journal=path, dask=dask)
    with pytest.raises(TypeError, match="move it to its module"):
        await run_shards(Inside, 1, 1, journal=path, dask="local:1")
    assert not path.exists()


async def test_a_flow_of_a_console_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>")
    kind = type("Crawl", (spread.Spread,), {"__module__": "__main__"})
    with pytest.raises(TypeError, match=r"Crawl is in no file .*: write it to a module"):
        await run_shards(kind, 1, 1, journal=tmp_path / "a.db", dask="local:1")


async def test_a_program_whose_workers_start_it_again_is_told_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def fail(**_: Any) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", fail)
    with pytest.raises(ShardError, match='below `if __name__ == "__main__":`'):
        await run_shards(spread.Spread, 1, 1, journal=tmp_path / "a.db", dask="local:1")


async def test_dask_is_asked_for_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ShardError, match=r'pip install "webqq_tornado\[dask\]"'):
        await run_shards(spread.Spread, 1, 1, journal=tmp_path / "a.db", dask="local:1")


def test_a_worker_of_another_version_or_without_the_flow_says_so(tmp_path: Path):
    run = ShardRun(spread.Spread, spread.Spread, tmp_path / "a.db", "local:1", shards=2)
    plan = run._plan
    assert check_worker(plan) is None
    other = dataclasses.replace(plan, version="0.0.1")
    assert check_worker(other) == f"it has webqq_tornado {__version__}, and the client 0.0.1"
    gone = dataclasses.replace(plan, flow=FlowName("nowhere_at_all", "", "Crawl"))
    assert "it cannot import the flow: ModuleNotFoundError" in str(check_worker(gone))


def test_a_script_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    script = tmp_path / "crawl_of_a_script.py"
    script.write_text("from webqq_tornado import HTTPStream\nclass Crawl(HTTPStream): pass\n")
    found = FlowName("__main__", str(script), "Crawl").load()
    assert kind_of(found) == "crawl_of_a_script.py:Crawl"
    assert FlowName.of(found) == FlowName("crawl_of_a_script", str(script), "Crawl")
    monkeypatch.delitem(sys.modules, "crawl_of_a_script")
    sys.path.remove(str(tmp_path))


async def test_of_shards_whose_workers_die_the_one_that_kills_them_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webqq_tornado.shards.running._PAUSE", 0)
    deadly, on_worker = 1, set[int]()

    class Dying(ShardRun):
        async def _slice(self, shard: int) -> Report:
            on_worker.add(shard)
            await asyncio.sleep(0)  # others come to the same worker
            await asyncio.sleep(0)
            is_dead = deadly in on_worker
            on_worker.discard(shard)
            if is_dead:
                raise KilledWorker("Spread", SimpleNamespace(address=""), 3)  # type: ignore[arg-type]
            return Report(shard, is_idle=True)

    run = Dying(spread.Spread, spread.Spread, tmp_path / "a.db", "local:1", shards=4)
    await run.journal.lead(kind_of(spread.Spread), 4)
    running = [asyncio.ensure_future(run._keep(shard)) for shard in range(4)]
    await until(lambda: len(run._asleep) == 4)
    assert [*run._given_up] == [deadly]
    run._over.set()
    run._wake_all()
    await asyncio.gather(*running)
    with pytest.raises(ShardError, match="shard 1 was given up"):
        await run._summary()
    await run.journal.aclose()
    caplog.clear()


async def test_a_shard_that_has_worked_is_tried_again_at_once_when_its_journal_was_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("webqq_tornado.shards.running._PAUSE", 0.001)
    answers = [0, 0, 0, 5, 0]

    class Losing(ShardRun):
        async def _slice(self, shard: int) -> Report:
            if not answers:
                self._over.set()
                return Report(shard)
            numbers = {"responses": answers.pop(0)}
            return Report(shard, stats=numbers, error="gone", is_passing=True)

    await Losing(spread.Spread, spread.Spread, tmp_path / "a.db", "local:1", shards=1)._keep(0)
    pauses = [one.getMessage().rpartition("again in ")[2] for one in caplog.records]
    assert pauses == ["0.001 s", "0.002 s", "0.004 s", "0.001 s", "0.002 s"]
    caplog.clear()


@pytest.mark.parametrize("error", [SystemExit(3), SystemExit("why"), KeyboardInterrupt()])
async def test_a_reader_that_ends_the_program_ends_it_at_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
):
    class Ending(ShardRun):
        async def _slice(self, shard: int) -> Report:
            return Report(shard, ending=WayOut.of(error, "GET http://h/, read by Crawl.page: "))

    run = Ending(spread.Spread, spread.Spread, tmp_path / "a.db", "local:1", shards=2)
    await asyncio.gather(*map(run._keep, range(2)))
    assert (repr(run._failure), [type(run._failure)]) == (repr(error), [type(error)])
    (line,) = caplog.messages
    assert re.fullmatch(r"GET http://h/, read by Crawl.page: \w+(\(.*\))?: the run ends", line)
    caplog.clear()


async def test_a_flow_whose_module_or_constructor_exits_does_not_end_the_worker(tmp_path: Path):
    (tmp_path / "exiting_script.py").write_text("import sys; sys.exit(1)\n")
    run = ShardRun(spread.Spread, lambda *_: sys.exit(3), tmp_path / "a.db", "local:1", shards=2)
    name = FlowName("exiting_script", str(tmp_path / "exiting_script.py"), "Crawl")
    problem = check_worker(dataclasses.replace(run._plan, flow=name))
    assert problem == "it cannot import the flow: SystemExit: 1"
    await run.journal.lead(run._plan.kind, 2)
    found = await run_shard(run._plan, 0)
    assert found.ending == ("SystemExit", 3, "Spread(): ")
    await run.journal.aclose()


async def test_a_client_whose_journal_was_gone_leads_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webqq_tornado.shards.running._LOOK", 0)
    run = ShardRun(spread.Spread, spread.Spread, tmp_path / "a.db", "local:1", shards=2)
    await run.journal.lead(kind_of(spread.Spread), 2)
    await run.journal.aclose()
    watching = asyncio.ensure_future(run._watch())
    await until(lambda: run.journal.is_open)
    with pytest.raises(JournalError, match="runs on it"):
        await run._plan.store().lead(kind_of(spread.Spread), 2)
    watching.cancel()
    await run.journal.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    is_file = request.param == "sqlite"
    return str(tmp_path / "a.db") if is_file else request.getfixturevalue("database")


async def test_the_page_lists_shards_and_the_chains_of_each(place: str):
    run = ShardRun(spread.Spread, spread.Spread, place, "local:1", shards=3)
    await run.journal.lead(kind_of(spread.Spread), 3)
    shard = await run._plan.store().open(run._plan.kind, shard=1, shards=3, patience=1)
    batch = Batch()
    rows = [ChainRow(one, 1, None, None, f"http://h/?token=s3cr3t&n={one}") for one in (1, 4, 7)]
    batch.new = {row.id: row for row in rows}
    batch.new[4] = rows[1]._replace(due=4e9, name="Later")
    batch.failed, batch.last_chain, batch.away = {7: Failed(1.0, "error", "trace")}, 7, {1: 2}
    await shard.commit(batch, 1)
    assert dict(await run.journal.shards_with_work()) == {1: 4e9, 2: 0}
    run._merged.note(1, {"in_flight": 2, "worker": "tcp://127.0.0.1:1"})  # type: ignore[dict-item]
    async with ShardsView(run) as view:
        await view.refresh()
        found = await take_snapshot(Recorder(view), Query())
        later = await take_snapshot(Recorder(view), Query(state="delayed"))
    lines = [(each["shard"], each["state"], each["worker"]) for each in found["shards"]]
    assert lines == [(0, "starting", ""), (1, "running", "tcp://127.0.0.1:1"), (2, "starting", "")]
    numbers = [[each[name] for name in ("ready", "delayed", "failed")] for each in found["shards"]]
    assert numbers == [[0, 0, 0], [0, 1, 1], [1, 0, 0]]
    chains = [(each["shard"], each["name"], each["state"]) for each in found["chains"]]
    assert chains == [(1, "Later", "delayed"), (2, "chain-1", "ready")]
    assert [each["name"] for each in later["chains"]] == ["Later"]
    assert "s3cr3t" not in str(found)
    (letter,) = found["journal"]["letters"]
    assert (letter["shard"], letter["name"]) == (1, "chain-7")
    for each in (shard, run.journal):
        await each.aclose()


def test_numbers_do_not_go_down_when_a_killed_slice_begins_again():
    merged = Merged(1)
    for responses in (5, 1, 2):
        merged.note(0, {"responses": responses, "in_flight": 2})
    merged.end(0, {"responses": 3})
    assert merged.progress().responses == 8


def test_numbers_of_slices_are_added_up():
    merged = Merged(4)
    merged.note(0, {"responses": 5, "in_flight": 2, "worker": "tcp://127.0.0.1:1"})  # type: ignore[dict-item]
    merged.note(1, {"responses": 7, "in_flight": 3})
    merged.end(0, None)
    merged.note(0, {"responses": 1, "in_flight": 1})
    found = merged.progress()
    assert (found.responses, found.in_flight, found.running, found.slices) == (13, 4, 2, 1)
