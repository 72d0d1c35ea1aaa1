"""What journals do alike, whether they are in a file or in a database."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from webqq_tornado.journal import Journal, JournalError, PostgresJournal
from webqq_tornado.journal.records import Batch, ChainRow, Failed


def row(number: int, **values: object) -> ChainRow:
    return ChainRow(number, 1, None, None, f"http://example.org/{number}", **values)  # type: ignore[arg-type]


class Store:
    """A journal of which each answer is awaited."""

    def __init__(self, place: Any) -> None:
        self.place = place
        self.journal: Any = None

    async def open(self) -> None:
        if isinstance(self.place, Path):
            self.journal = Journal(self.place)
            self.journal.own("a.py:A")
        else:
            self.journal = await PostgresJournal(self.place).open("a.py:A")

    async def close(self) -> None:
        if isinstance(self.journal, Journal):
            self.journal.close()
        else:
            await self.journal.aclose()

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            answer = getattr(self.journal, name)(*arguments, **named)
            if inspect.isasyncgen(answer):
                return [one async for one in answer]
            return await answer if inspect.isawaitable(answer) else answer

        return call

    async def add(self, *rows: ChainRow) -> None:
        batch = Batch()
        batch.new = {each.id: each for each in rows}
        batch.last_chain = max(batch.new)
        await self.commit(batch, self.journal.counts().last_item + 1)


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    is_file = request.param == "sqlite"
    store = Store(tmp_path / "a.db" if is_file else request.getfixturevalue("database"))
    await store.open()
    yield store
    await store.close()


async def test_chains_are_read_ready_ones_first_then_by_time(store: Store):
    await store.add(
        *(row(n, due=float(n % 7) if n % 3 else None, priority=n % 2) for n in range(1, 1200))
    )
    found = list(await store.waiting(1100))
    assert sorted(each.id for each in found) == list(range(1, 1101))
    order = [(each.due is not None, each.due or 0, -each.priority, each.id) for each in found]
    assert order == sorted(order)


async def test_a_chain_whose_time_changes_meanwhile_is_read_once(store: Store):
    await store.add(*map(row, range(1, 4)), row(4, due=1.0))
    waiting = store.journal.waiting(4)
    is_async = inspect.isasyncgen(waiting)
    found = [(await anext(waiting) if is_async else next(waiting)).id]
    batch = Batch()
    batch.moved = {1: (1, 2.0, 2.0, 1), 4: (1, 3.0, 3.0, 1)}  # they are tried again later
    await store.commit(batch, 1)
    found += [one.id async for one in waiting] if is_async else [one.id for one in waiting]
    assert found == [1, 2, 3, 4]


async def test_what_a_reader_had_not_finished_is_taken_back(store: Store):
    await store.add(row(1))
    away = () if isinstance(store.journal, Journal) else ({},)
    await store.add_drafts([row(2, draft=1), row(3, draft=1)], *away)
    await store.add_draft_results([(1, 1, 0, "{}")], 1)
    await store.close()
    await store.open()
    assert [each.id for each in await store.waiting(100)] == [1]
    assert await store.results() == []


async def test_drafts_hold_when_their_reader_has_returned(store: Store):
    await store.add(row(1), row(9))
    away = () if isinstance(store.journal, Journal) else ({},)
    await store.add_drafts([row(n, draft=1)._replace(key=b"k") for n in (2, 3)], *away)
    await store.add_draft_results([(1, 1, 0, "{}")], 1)
    batch = Batch()
    batch.settled, batch.ended, batch.done, batch.last_chain = [1], {1: None}, 1, 9
    batch.results = [(1, 1, 1, "[]")]
    await store.commit(batch, 2)
    await store.close()
    await store.open()
    assert [each.id for each in await store.waiting(100)] == [2, 9]
    assert [item for _, item in await store.results()] == ["{}", "[]"]
    found = await store.summary()
    assert (found.results, found.waiting, found.done, found.ready) == (2, 2, 1, 2)


async def test_results_of_a_reader_that_takes_long_come_behind_those_that_were_exported(
    store: Store,
):
    await store.add(row(1), row(2))
    await store.add_draft_results([(1, 1, 0, "1"), (1, 1, 1, "2")], 1)
    batch = Batch()
    batch.results, batch.last_chain = [(2, 1, 0, "3")], 2
    await store.commit(batch, 3)
    ((number, item),) = await store.results()
    await store.note_export("items.jsonl", 2, number, None, 1)
    again = Batch()
    again.settled, again.last_chain = [1], 2
    again.results = [(1, 1, 2, "4")]
    await store.commit(again, 4)
    found = await store.results(number)
    assert (item, sorted(text for _, text in found)) == ("3", ["1", "2", "4"])
    assert (await store.export_of("items.jsonl"))[3] == 1


async def test_a_commit_is_all_or_nothing(store: Store):
    await store.add(row(1))
    batch = Batch()
    batch.new = {2: row(2), 1: row(1)}
    batch.keys = {b"key": 2}
    with pytest.raises(JournalError, match="cannot be"):
        await store.commit(batch, 1)
    assert (await store.summary()).ready == 1
    again = Batch()
    again.new, again.keys, again.last_chain = {3: row(3)._replace(key=b"key")}, {b"key": 3}, 3
    await store.commit(again, 1)
    assert [each.id for each in await store.rows([1, 2, 3])] == [1, 3]


async def test_each_change_of_a_row_is_made_whatever_else_is_in_the_batch(store: Store):
    await store.add(*(row(n) for n in range(1, 9)))
    batch = Batch()
    batch.last_chain = 10
    batch.new = {9: row(9), 10: row(10)}
    batch.moved = {1: (2, None, None, 0), 2: (3, 5.0, 6.0, 1), 3: (4, None, None, 0)}
    batch.led = {3: (4, "http://example.org/led"), 4: (5, "http://example.org/led")}
    batch.changed = {5: row(5)._replace(step=7), 6: row(6)._replace(step=8)}
    batch.failed = {n: Failed(1.0, "error", "trace") for n in (3, 6, 7, 9)}
    batch.ended = {8: None, 10: None}
    batch.sessions = {"ann": b"a", "ben": None}
    await store.commit(batch, 1)
    rows = {each.id: each for each in await store.rows(range(1, 11))}
    assert {one: each.step for one, each in rows.items()} == {1: 2, 2: 3, 4: 5, 5: 7}
    assert (rows[2].due, rows[2].delay, rows[2].tries) == (5.0, 6.0, 1)
    assert rows[4].url == "http://example.org/led"
    failed = {each.id: each.step for each in await store.chains(failed=True)}
    assert failed == {3: 4, 6: 8, 7: 1, 9: 1}
    assert await store.retry(await store.ids_of(["chain-7"])) == 1
    assert [each.id for each in await store.rows([7])] == [7]
    await store.close()
    await store.open()
    assert store.journal.cookies() == {"ann": b"a"}


async def test_chains_are_dropped_by_name(store: Store):
    await store.add(row(1)._replace(name="one"), row(2)._replace(name="two"))
    assert await store.drop(await store.ids_of(["one"], failed=False)) == 1
    with pytest.raises(JournalError, match="no chain of the name 'one' is alive"):
        await store.ids_of(["one"], failed=False)
    assert (await store.summary()).cancelled == 1
    assert [each.name for each in await store.coming(5)] == ["two"]
