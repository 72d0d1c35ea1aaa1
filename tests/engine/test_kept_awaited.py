"""A flow whose journal is in PostgreSQL: the same as in a file, and what is other there."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from servers.web import Web
from waiting import until

from webqq_tornado import Chain, ClosedError, HTTPStream, Limits, Next
from webqq_tornado.engine.keys import mark_of
from webqq_tornado.flows import Export
from webqq_tornado.journal import JournalError, PostgresJournal
from webqq_tornado.journal.codec import unpack_item

from .test_keeping import Failing, Flow, Keyed, Many, Numbers, Orders, Patient, Posting, Steps


async def opened(database: str) -> Any:
    return await PostgresJournal(database).open()


async def run(make: Callable[..., Flow], web: Web, database: str, **options: Any) -> Flow:
    flow = make(web, await opened(database), **options)
    await flow.serve()
    return flow


async def results_of(database: str) -> list[Any]:
    async with PostgresJournal(database) as journal:
        return [unpack_item(text) for _, text in await journal.results(limit=1000)]


async def chain_end(chain: Chain) -> Any:
    return await chain


async def change(database: str, statement: str) -> None:
    async with PostgresJournal(database) as journal:
        await journal._db.execute(statement)


@pytest.mark.parametrize(
    ("kind", "results"),
    [
        (Numbers, [*range(5)]),
        (Keyed, []),
        (Many, [*({"page": n} for n in range(25)), *({"read": n} for n in range(20))]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_a_flow_has_its_results_once_however_often_it_is_run(
    kind: type[Flow],
    results: list[Any],
    web: Web,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("webqq_tornado.engine.keeping.Keeper.at_once", 4)
    first = await run(kind, web, database, max_clients=2)
    if kind is Keyed:
        assert sorted(first.seen) == ["/echo/0", "/echo/1", "/echo/2"]
    again = await run(kind, web, database)
    assert (first.stats().failed, again.stats().requests) == (0, 0)
    assert sorted(await results_of(database), key=str) == sorted(results, key=str)
    async with PostgresJournal(database) as journal:
        found = await journal.summary()
    assert found.finished is not None
    assert (found.ready, found.failed, found.pid) == (0, 0, 0)


async def test_a_chain_goes_on_with_the_link_that_was_in_flight(web: Web, database: str):
    first = Steps(web, await opened(database))
    first.launch()
    async with HTTPStream() as other:
        await other.get(f"{web.http}/arrived/steps")
        first.close()
        again = Steps(web, await opened(database))
        ended = asyncio.ensure_future(again.serve(strict=True))
        await other.get(f"{web.http}/release/steps")
        await other.get(f"{web.http}/arrived/steps")
        await other.get(f"{web.http}/release/steps")
        await ended
    assert again.seen == ["/hold/steps", "/echo/third"]
    assert await results_of(database) == ["first", "second", "third"]


async def test_what_has_failed_is_a_dead_letter_and_is_retried_while_the_flow_runs(
    web: Web, database: str, caplog: pytest.LogCaptureFixture
):
    journal = await opened(database)
    async with Failing(web, journal) as flow:
        flow.launch()
        await flow.drain()
        assert await results_of(database) == []
        (failed,) = await journal.chains(failed=True)
        assert failed.error == "ValueError: on purpose"
        assert journal.failed_count() == 1
        with pytest.raises(RuntimeError, match=r"await stream\.journal\.retry"):
            flow.retry_failed()
        flow.is_mended = True
        assert await journal.retry(await journal.ids_of([])) == 1
        await flow.drain()
    assert sorted(await results_of(database)) == ["below", "below", "page"]
    caplog.clear()


async def test_what_postgresql_does_not_take_is_kept_as_well(
    web: Web, database: str, caplog: pytest.LogCaptureFixture
):
    class Odd(Flow):
        def begin(self):
            yield Next(f"{self.web.http}/echo", self.page, name="nul \0 and \u4f60")

        def page(self, response):
            self.emit("\0")
            raise ValueError("nul \0")

    await run(Odd, web, database)
    async with PostgresJournal(database) as journal:
        (failed,) = await journal.chains(failed=True)
    assert failed.error == "ValueError: nul \\0"
    caplog.clear()


async def test_state_cookies_and_delays_go_on(web: Web, database: str):
    class Login(Patient):
        def begin(self):
            session = self.session("ann")
            yield Next(f"{self.web.http}/set-cookie?line=who%3Dann", self.page, session=session)

        def page(self, response):
            self.state["page"] = 1
            return f"{self.web.http}/echo", self.read, 3600

        def read(self, response):
            headers = dict(map(tuple, response.json()["headers"]))
            self.emit([headers["Cookie"], self.state["page"]])

    flow = Login(web, await opened(database))
    flow.launch()
    await until(lambda: flow.stats().delayed)
    flow.close()
    await asyncio.ensure_future(flow._journal.released())  # type: ignore[union-attr]
    await change(database, "UPDATE chains SET due = 0")
    await run(Login, web, database)
    assert await results_of(database) == [["who=ann", 1]]


async def test_what_had_been_read_when_a_stream_is_closed_is_committed(
    web: Web, database: str, monkeypatch: pytest.MonkeyPatch
):
    journal = await opened(database)
    flow, is_closed = Numbers(web, journal), asyncio.Event()
    commit = journal.commit

    async def commit_later(*batch: Any) -> Any:
        if flow.seen:  # the next batches gather until the stream is closed
            await is_closed.wait()
        return await commit(*batch)

    monkeypatch.setattr(journal, "commit", commit_later)
    waiting = asyncio.ensure_future(chain_end(flow.add_request(f"{web.http}/echo", flow.see)))
    flow.launch()
    await until(lambda: len(flow.seen) == 6)
    flow.close()
    is_closed.set()
    await flow._journal.released()  # type: ignore[union-attr]
    assert (await waiting).url.endswith("/echo")
    assert sorted(await results_of(database)) == [*range(5)]
    again = await run(Numbers, web, database)
    assert again.seen == []


async def test_a_database_that_is_gone_does_not_keep_a_stream_from_being_closed(
    web: Web, database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("webqq_tornado.engine.kept_awaited._LAST", 0.01)
    journal = await opened(database)
    monkeypatch.setattr(journal, "commit", lambda *_: asyncio.Event().wait())
    flow = Flow(web, journal)
    chain = flow.add_request(f"{web.http}/echo", flow.see)
    waiting = asyncio.ensure_future(chain_end(chain))
    await until(lambda: flow._journal._writes)  # type: ignore[union-attr]
    flow.close()
    await flow._journal.released()  # type: ignore[union-attr]
    with pytest.raises(ClosedError):
        await waiting
    assert not journal.is_owned


async def test_each_post_has_a_key_of_its_own(web: Web, database: str):
    await run(Posting, web, database)
    first, second = await results_of(database)
    assert first
    assert first != second


async def test_a_key_that_another_process_has_followed_is_dropped_by_the_commit(
    web: Web, database: str
):
    class Both(Orders):
        def begin(self):
            self.add_request(f"{self.web.http}/echo", self.done, key="order-17")
            yield Next(f"{self.web.http}/echo/first", self.several)

        def several(self, response):
            return [Next(f"{self.web.http}/echo", self.done, key=key) for key in ("a", "b")]

    journal = await opened(database)
    marks = [(mark_of(key), 4711) for key in ("order-17", "a")]
    await journal._db.executemany("INSERT INTO seen VALUES ($1, $2)", marks)
    flow = Both(web, journal)
    await flow.serve(strict=True)
    assert flow.seen == ["/echo"]
    assert await results_of(database) == ["order"]
    async with PostgresJournal(database) as journal:
        assert (await journal.summary()).ready == 0


async def test_results_are_handed_out_and_deleted(web: Web, database: str):
    async with Numbers(web, await opened(database)) as flow:
        flow.launch()
        assert sorted([item async for item in flow.items()]) == [*range(5)]
    assert await results_of(database) == []


async def test_results_are_exported_once(web: Web, database: str, tmp_path: Any):
    await run(Numbers, web, database)
    for count in (5, 0):
        async with PostgresJournal(database) as journal:
            with await Export.opened(journal, tmp_path / "items.jsonl") as export:
                assert await export.drained() == count
    assert sorted((tmp_path / "items.jsonl").read_text().split()) == [*"01234"]


async def test_nothing_is_sent_when_the_database_is_gone_and_the_flow_goes_on_later(
    web: Web, database: str, caplog: pytest.LogCaptureFixture
):
    connections: list[Any] = []

    class Cut(Numbers):
        def read(self, number, response):
            super().read(number, response)
            if connections:  # before what this leads to has committed
                connections.pop().terminate()
            return f"{self.web.http}/echo/after", functools.partial(self.after, number)

        def after(self, number, response):
            self.see(response)

    flow = Cut(web, await opened(database))
    connections.append(flow.journal._db)  # type: ignore[union-attr]
    flow.launch()
    with pytest.raises(JournalError, match="see that the server runs"):
        await flow.drain()
    assert "/echo/after" not in flow.seen
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    caplog.clear()
    await run(Cut, web, database)
    assert sorted(await results_of(database)) == [*range(5)]


async def test_what_asyncpg_says_of_a_lost_connection_is_the_journal_s_error(database: str):
    of_asyncpg = AttributeError("'NoneType' object has no attribute 'bind_execute'")
    journal = await opened(database)
    with pytest.raises(AttributeError), journal._told():
        raise of_asyncpg
    journal._db.terminate()
    with pytest.raises(JournalError, match="see that the server runs") as caught, journal._told():
        raise of_asyncpg
    assert caught.value.is_passing


async def test_a_server_that_breaks_off_at_the_first_statement_may_come_back(
    database: str, monkeypatch: pytest.MonkeyPatch
):
    async def execute(*_words: object) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 15")

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    with pytest.raises(JournalError, match="the connection broke off") as caught:
        await opened(database)
    assert caught.value.is_passing


async def test_a_second_process_is_refused_with_the_number_of_the_first(web: Web, database: str):
    flow = Steps(web, await opened(database))
    try:
        with pytest.raises(
            JournalError, match=f"process {os.getpid()} on {socket.gethostname()} runs on it"
        ):
            await PostgresJournal(database).open(patience=0)
    finally:
        flow.close()


async def test_a_journal_of_another_flow_or_one_that_is_not_open_is_refused(
    web: Web, database: str
):
    await run(Numbers, web, database)
    with pytest.raises(JournalError, match=r"not of test_keeping\.py:Steps: name another schema"):
        Steps(web, await opened(database))
    with pytest.raises(JournalError, match=r'await PostgresJournal\("postgresql://...'):
        Numbers(web, database)  # type: ignore[arg-type]


def test_a_url_will_do_where_no_loop_runs_yet(web: Web, database: str):
    for _ in range(2):
        Numbers(web, database).run()  # type: ignore[arg-type]
    assert sorted(asyncio.run(results_of(database))) == [*range(5)]


async def test_a_silent_owner_is_cut_off_and_can_commit_nothing_any_more(
    web: Web, database: str, caplog: pytest.LogCaptureFixture
):
    flow = Numbers(web, await opened(database))
    other = await PostgresJournal(database).open(patience=60, ends_silent=0)
    with pytest.raises(JournalError, match="ended, by the server or by the next owner"):
        flow.launch()
    assert flow.seen == []
    await other.aclose()
    caplog.clear()


@pytest.mark.parametrize("limits", [None, Limits(per_host=1)])
@pytest.mark.parametrize("is_taken", [False, True])
async def test_who_was_frozen_asks_for_its_lock_before_anything_is_sent(
    web: Web,
    database: str,
    limits: Limits | None,
    is_taken: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    journal = await opened(database)
    flow = Flow(web, journal, limits=limits)
    flow.pause()
    chains = [flow.add_request(f"{web.http}/echo", flow.see) for _ in range(2)]
    await flow._journal.flushed()  # type: ignore[union-attr]
    journal.on_lost = None  # who is frozen does not hear of it
    other = PostgresJournal(database)
    if is_taken:
        await other.open(patience=60, ends_silent=0)
    is_asked, may_be, ask = asyncio.Event(), asyncio.Event(), journal.check_lock

    async def ask_later() -> None:
        is_asked.set()
        await may_be.wait()
        await ask()

    monkeypatch.setattr(journal, "check_lock", ask_later)
    journal.owned_at = -math.inf
    flow.resume()
    await is_asked.wait()
    assert flow.stats().requests == 0
    may_be.set()
    ends = await asyncio.gather(*chains, return_exceptions=True)
    assert [isinstance(end, JournalError) for end in ends] == [is_taken] * 2
    assert flow.stats().requests == 2 * (not is_taken)
    flow.close()
    for each in (other, journal):
        await each.aclose()
    caplog.clear()


async def test_no_password_is_shown(caplog: pytest.LogCaptureFixture):
    url = "postgresql://ann:sesame@127.0.0.1:1/crawl?password=sesame&schema=one"
    journal = PostgresJournal(url)
    with pytest.raises(JournalError) as error:
        await journal.open()
    shown = f"{error.value} {journal!r} {journal.path} {caplog.text}"
    assert "postgresql://ann@127.0.0.1:1/crawl?schema=one: cannot be reached" in shown
    assert "sesame" not in shown


async def test_an_old_version_refuses_the_tables_of_a_newer_one(database: str):
    journal = await PostgresJournal(database).open("a.py:A")
    await journal._db.execute("UPDATE flow SET version = 99")
    await journal.aclose()
    with pytest.raises(JournalError, match="update this one"):
        await opened(database)


def test_asyncpg_is_asked_for_with_the_command(monkeypatch: pytest.MonkeyPatch, web: Web):
    assert asyncpg
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(JournalError, match=r'pip install "webqq_tornado\[postgres\]"'):
        Numbers(web, "postgresql://127.0.0.1/crawl")  # type: ignore[arg-type]
