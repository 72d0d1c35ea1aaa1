"""Writes of one turn of the loop: one transaction, in order, each with its own outcome."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import pytest
from waiting import until

from webqq_tornado.server.write_queue import WriteQueue


class Book:
    """What is written in a transaction stays, or is taken back."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.transactions = 0
        self.locked = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        if self.locked:
            self.locked -= 1
            raise sqlite3.OperationalError("database is locked")
        self.transactions += 1
        before = tuple(self.lines)
        try:
            yield
        except BaseException:
            self.lines[:] = before
            raise

    def add(self, line: str) -> str:
        self.lines.append(line)
        if line == "bad":
            raise ValueError(line)
        return line


@pytest.fixture
def book() -> Book:
    return Book()


async def _outcomes(
    book: Book, *lines: str, transaction: Callable[[], AbstractContextManager[None]] | None = None
) -> list[object]:
    queue = WriteQueue(transaction or book.open)
    puts = [queue.put(partial(book.add, line)) for line in lines]
    return await asyncio.gather(*puts, return_exceptions=True)


async def test_writes_of_one_turn_share_a_transaction(book: Book):
    assert await _outcomes(book, "a", "b", "c") == ["a", "b", "c"]
    assert (book.lines, book.transactions) == (["a", "b", "c"], 1)


async def test_a_write_that_fails_fails_alone(book: Book):
    first, bad, last = await _outcomes(book, "a", "bad", "c")
    assert (first, type(bad), last) == ("a", ValueError, "c")
    assert book.lines == ["a", "c"]


async def test_writes_wait_in_order_while_the_file_is_locked(book: Book):
    book.locked = 2
    queue = WriteQueue(book.open)
    early = queue.put(partial(book.add, "a"))
    await until(lambda: book.locked < 2)
    await asyncio.gather(queue.put(partial(book.add, "b")), early)
    assert (book.lines, len(queue)) == (["a", "b"], 0)


async def test_a_commit_that_fails_is_told_to_each(book: Book):
    @contextmanager
    def full() -> Iterator[None]:
        yield
        raise sqlite3.OperationalError("database or disk is full")

    outcomes = await _outcomes(book, "a", "b", transaction=full)
    assert [str(outcome) for outcome in outcomes] == ["database or disk is full"] * 2


async def test_a_write_nobody_waits_for_any_more_disturbs_no_other(book: Book):
    queue = WriteQueue(book.open)
    given_up, other = queue.put(partial(book.add, "a")), queue.put(partial(book.add, "b"))
    given_up.cancel()
    assert await other == "b"


async def test_a_queue_goes_on_after_it_was_empty(book: Book):
    queue = WriteQueue(book.open)
    assert [await queue.put(partial(book.add, line)) for line in "ab"] == ["a", "b"]
    assert book.transactions == 2
