"""Writes with a common commit: those of one turn of the loop share one.

A commit of a message appends seven pages to the write-ahead log and takes twice as long as all
its statements, so a busy server commits all writes of a turn at once. An awaited write is on disk,
as if it had been committed alone.

While another program locks the file, writes wait in the order in which they came.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, TypeVar

from ..database import is_locked

__all__ = ["WriteQueue"]

T = TypeVar("T")

#: Seconds for which a write waits while another program locks the file (clients wait 30 for an
#: answer), and between two tries.
LOCKED_SECONDS, _LOCKED_PAUSE = 5.0, 0.05


class _Write(NamedTuple):
    run: Callable[[], Any]
    result: asyncio.Future[Any]
    deadline: float


class WriteQueue:
    """Functions that write, called in order.

    Args:
        transaction: all that is written in its block is on disk when it is left, or nothing is.

    Example:
        >>> async def two(db):
        ...     queue = WriteQueue(lambda: transaction(db))
        ...     insert = functools.partial(db.execute, "INSERT INTO a VALUES (1)")
        ...     await asyncio.gather(queue.put(insert), queue.put(insert))
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._transaction = transaction
        self._waiting: list[_Write] = []
        self._is_scheduled = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, run: Callable[[], T]) -> asyncio.Future[T]:
        """Call a function in a transaction at the end of this turn of the loop.

        Args:
            run: writes. Called again when the transaction it was called in is taken back, so all
                its effects have to be in the file, or such that they may be repeated.

        Returns:
            What it returned, when that is on disk; or what it raised.
        """
        loop = asyncio.get_running_loop()
        write = _Write(run, loop.create_future(), loop.time() + LOCKED_SECONDS)
        self._waiting.append(write)
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._drain)
        return write.result

    def flush(self) -> None:
        """Write all waiting now; writes fail if the file is locked."""
        waiting, self._waiting = self._waiting, []
        for write, error in self._write(waiting):
            _fail(write, error)

    def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        waiting, self._waiting = self._waiting, []
        for write, error in self._write(waiting):
            if loop.time() >= write.deadline:
                _fail(write, error)
            else:
                self._waiting.append(write)
        self._is_scheduled = bool(self._waiting)
        if self._is_scheduled:
            loop.call_later(_LOCKED_PAUSE, self._drain)

    def _write(self, writes: list[_Write]) -> list[tuple[_Write, sqlite3.Error]]:
        """Writes that found the file locked, with the error."""
        try:
            with self._transaction():
                results = [write.run() for write in writes]
        except sqlite3.Error as error:
            if is_locked(error):
                return [(write, error) for write in writes]
            return self._write_each(writes, error)
        except Exception as error:
            return self._write_each(writes, error)
        for write, result in zip(writes, results, strict=True):
            if not write.result.done():
                write.result.set_result(result)
        return []

    def _write_each(
        self, writes: list[_Write], error: Exception
    ) -> list[tuple[_Write, sqlite3.Error]]:
        """Write one by one, so that only the faulty write gets the error."""
        if len(writes) == 1:
            _fail(writes[0], error)
            return []
        locked_out: list[tuple[_Write, sqlite3.Error]] = []
        for write in writes:
            locked_out += self._write([write])
        return locked_out


def _fail(write: _Write, error: Exception) -> None:
    if not write.result.done():
        write.result.set_exception(error)
