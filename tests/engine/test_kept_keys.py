"""`add_request(key=)`: the same chain, and the same outcome, whatever the flow is kept in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from servers.web import Web
from waiting import until

from webqq_tornado import HTTPStream, StreamError
from webqq_tornado.engine.kept_readers import kind_of
from webqq_tornado.journal import Journal, JournalError, PostgresJournal
from webqq_tornado.journal.sqlite_shards import ShardFile


class Orders(HTTPStream):
    """Orders, of which some fail."""

    def __init__(self, web: Web, journal: Any = None, **options: Any) -> None:
        super().__init__(journal=journal, **options)
        self.web = web
        self.seen: list[str] = []

    def order(self, key: str, path: str = "echo", **options: Any) -> Any:
        return self.add_request(f"{self.web.http}/{path}", self.ordered, key=key, **options)

    def ordered(self, response):
        self.seen.append(response.url)
        response.raise_for_status()


Make = Callable[[], Awaitable[Orders]]


@pytest.fixture(params=["sqlite", "postgres", "shards"])
async def make(request: pytest.FixtureRequest, web: Web, tmp_path: Path) -> AsyncIterator[Make]:
    path = tmp_path / "a.db"
    database = request.getfixturevalue("database") if request.param == "postgres" else ""
    if request.param == "shards":
        led = await ShardFile(path).lead(kind_of(Orders), 1)

    async def make() -> Orders:
        if request.param == "sqlite":
            return Orders(web, Journal(path))
        if request.param == "postgres":
            return Orders(web, await PostgresJournal(database).open(kind_of(Orders)))
        shard = await ShardFile(path).open(kind_of(Orders), shard=0, shards=1, patience=30)
        return Orders(web, shard)

    yield make
    if request.param == "shards":
        await led.aclose()


async def end(flow: Orders) -> None:
    keeper = flow._journal
    assert keeper
    await keeper.flushed()
    flow.close()
    await keeper.released()


async def test_a_chain_that_is_alive_is_the_one_that_has_the_key(make: Make, web: Web):
    flow = await make()
    chain = flow.order("17", "hold/17")
    await flow.fetch(f"{web.http}/arrived/17")  # it is sent, and so in the journal
    again = flow.order("17")
    assert again is chain
    await flow.fetch(f"{web.http}/release/17")
    assert await again is await chain is not None
    await end(flow)


@pytest.mark.parametrize("is_next_run", [False, True])
async def test_of_a_chain_that_has_ended_its_key_knows_how(
    is_next_run: bool, make: Make, caplog: pytest.LogCaptureFixture
):
    flow = await make()
    await flow.order("good")
    with pytest.raises(StreamError):
        await flow.order("bad", "status/404")
    if is_next_run:
        await end(flow)
        flow = await make()
    before = flow.stats()
    assert await flow.order("good") is None
    with pytest.raises(JournalError, match=r"has failed before: .*404"):
        await flow.order("bad")
    after = flow.stats()
    assert (after.requests, after.failed) == (before.requests, before.failed)
    await end(flow)
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1


async def test_a_chain_that_waits_in_the_journal_is_begun_once_and_awaited(make: Make):
    flow = await make()
    flow.pause()
    for number in range(5):
        flow.order(str(number), f"echo?{number}")
    await end(flow)
    flow = await make()
    response = await flow.order("3")
    # None where it was sent in its turn, and had ended before anybody knew whose the key is.
    assert response is None or response.url.endswith("?3")
    assert [url for url in flow.seen if url.endswith("?3")]
    await until(lambda: len(flow.seen) == 5)
    assert len({*flow.seen}) == 5
    await end(flow)
