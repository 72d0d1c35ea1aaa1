"""How far applications are, on disk: of all that moves in one turn of the loop, in one commit.

With it a killed server repeats no event whose pong had come; a bot in a busy group has one for
each message, so that a write of its own for each would cost more than the message.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from ..storage.onebot import OneBotTable
from ..write_queue import WriteQueue

__all__ = ["CursorWriter"]

logger = logging.getLogger("webqq_tornado.server")

#: The last event that each application has, by account and target.
_Cursors = dict[tuple[int, str], int]


class CursorWriter:
    """Stores the cursors of all accounts.

    Args:
        table: has them.
        writes: of the server.
    """

    def __init__(self, table: OneBotTable, writes: WriteQueue) -> None:
        self._table = table
        self._writes = writes
        self._moved: _Cursors = {}
        self._is_waiting = False

    def note(self, account: int, target: str, event: int) -> None:
        """Store a cursor with the next commit of the server.

        Args:
            account: QQ number.
            target: name of the application.
            event: the last one that it has.
        """
        self._moved[account, target] = event
        if not self._is_waiting:
            self._is_waiting = True
            self._writes.put(self._write).add_done_callback(self._on_written)

    def forget(self, account: int, target: str) -> None:
        """Store a cursor no more."""
        self._moved.pop((account, target), None)

    def flush(self) -> None:
        """Store at once what waits."""
        try:
            self._settle(self._write())
        except sqlite3.Error as error:
            _tell(error)

    def _write(self) -> _Cursors:
        moved = self._moved.copy()
        self._table.set_cursors(moved)
        return moved

    def _settle(self, stored: _Cursors) -> None:
        """Keep what has moved on while it was stored."""
        self._moved = dict(self._moved.items() - stored.items())

    def _on_written(self, written: asyncio.Future[_Cursors]) -> None:
        self._is_waiting = False
        if written.cancelled():
            return
        error = written.exception()
        if error is None:
            self._settle(written.result())
        else:
            _tell(error)


def _tell(error: BaseException) -> None:
    """Locked, or the disk is full: the next one makes up for it."""
    logger.warning("what applications have got could not be noted: %s", error)
