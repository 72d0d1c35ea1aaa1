"""Looking into a journal's file, also beside who runs the flow: for commands, pages and exports.

How far it is, which chains wait or have failed, its results; and what people do to it: failed
chains are made ready again, others dropped.
"""

from __future__ import annotations

import contextlib
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from ..database import transaction
from ..lockfile import holder_of
from .errors import JournalError
from .records import COLUMNS, LISTED, READY, ChainRow, ListedChain, Summary, bare_name
from .sqlite_file import SqliteFile

__all__ = ["SqliteInspection", "listed"]

#: Rows that are read at once.
_PAGE = 500
#: More than any id.
_ANY = 2**62


class SqliteInspection(SqliteFile):
    """A journal's file, to look into.

    Args:
        path: as of `Journal`.
        sync: likewise.

    Raises:
        ValueError: sync is neither.
    """

    def waiting(self, last: int) -> Iterator[ChainRow]:
        """Chains that are alive, those that are ready first, then by their time.

        Args:
            last: id of the last.
        """
        # Their ids at once, 8 bytes each: a time that changes meanwhile would have a search by it
        # come to the same chain twice.
        return self._paged(self._waiting_ids(last))

    def _paged(self, ids: Sequence[int]) -> Iterator[ChainRow]:
        for start in range(0, len(ids), _PAGE):
            yield from self._page(ids[start : start + _PAGE])

    def _page(self, ids: Sequence[int]) -> Iterator[ChainRow]:
        marks = ", ".join("?" * len(ids))
        found = self.db.execute(
            f"SELECT {COLUMNS} FROM chains WHERE id IN ({marks}) AND {READY}", ids
        )
        rows = {row[0]: ChainRow(*row) for row in found}
        return (rows[one] for one in ids if one in rows)

    def _waiting_ids(self, last: int, limit: int = -1) -> array[int]:
        found = self.db.execute(
            f"SELECT id FROM chains WHERE {READY} AND id <= ?"
            " ORDER BY due, priority DESC, id LIMIT ?",
            (last, limit),
        )
        return array("q", (one for (one,) in found))

    # -- results --------------------------------------------------------------------------------

    def results(self, after: int = 0, limit: int = _PAGE) -> list[tuple[int, str]]:
        """Results in order, with their numbers, as text of `codec`.

        Args:
            after: number of the one before.
            limit: so many at most.
        """
        found = self.db.execute(
            "SELECT id, item FROM items WHERE id > ? AND NOT is_draft ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [(int(number), str(item)) for number, item in found]

    def forget_results(self, upto: int) -> None:
        """Delete results that were handed on.

        Args:
            upto: number of the last.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.execute("DELETE FROM items WHERE id <= ? AND NOT is_draft", (upto,))

    def export_of(self, path: str) -> tuple[int, int, str | None, int] | None:
        """Position of a file: its bytes, the last result in it, its columns, results in it.

        Args:
            path: of the file.
        """
        found = self.db.execute(
            "SELECT place, upto, columns, count FROM exports WHERE path = ?", (path,)
        ).fetchone()
        return None if found is None else (found[0], found[1], found[2], found[3])

    def note_export(
        self, path: str, place: int, upto: int, columns: str | None, count: int
    ) -> None:
        """Note that results are in a file, for good, and delete them here.

        Args:
            path: of the file.
            place: bytes in it.
            upto: number of the last result in it.
            columns: of it.
            count: results in it.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.execute(
                "REPLACE INTO exports VALUES (?, ?, ?, ?, ?)", (path, place, upto, columns, count)
            )
            self.db.execute("DELETE FROM items WHERE id <= ? AND NOT is_draft", (upto,))

    # -- for people -----------------------------------------------------------------------------

    def summary(self) -> Summary:
        """Progress of the flow.

        Raises:
            JournalError: there is no such journal.
        """
        flow = self.db.execute("SELECT kind, created, finished FROM flow").fetchone()
        if flow is None:
            raise JournalError(f"{self.path}: there is no flow in it")
        ready, delayed, next_due, failed = self.db.execute(
            "SELECT count(*) FILTER (WHERE error IS NULL AND draft IS NULL AND due IS NULL),"
            " count(*) FILTER (WHERE error IS NULL AND due IS NOT NULL),"
            " min(due) FILTER (WHERE error IS NULL),"
            " count(error) FROM chains"
        ).fetchone()
        done, cancelled, steps, results, is_begun_all = self.db.execute(
            "SELECT sum(done), sum(cancelled), sum(steps), sum(results), max(is_begun_all)"
            " FROM shards"
        ).fetchone()
        (waiting,) = self.db.execute("SELECT count(*) FROM items WHERE NOT is_draft").fetchone()
        return Summary(
            flow=flow[0],
            created=flow[1],
            finished=flow[2],
            ready=ready,
            delayed=delayed,
            next_due=next_due,
            done=done,
            failed=failed,
            cancelled=cancelled,
            steps=steps,
            results=results,
            waiting=waiting,
            is_begun_all=bool(is_begun_all),
            pid=self._pid(),
        )

    def _pid(self) -> int:
        if self._lock is not None:
            return os.getpid()
        with contextlib.suppress(OSError):
            holder = holder_of(self.lock_path)
            return 0 if holder is None else holder.pid
        return 0

    def chains(
        self, *, failed: bool = False, limit: int | None = None, after: int = 0
    ) -> Iterator[ListedChain]:
        """Chains that are alive, or those that have failed, by id.

        Args:
            failed: those that have failed.
            limit: so many at most; None: all.
            after: id of the one before the first.

        Example:
            >>> for chain in Journal("crawl.db").chains(failed=True):
            ...     print(chain.name, chain.error)
        """
        where = "error IS NOT NULL" if failed else READY
        found = self.db.execute(
            f"SELECT {LISTED} FROM chains WHERE {where} AND id > ? ORDER BY id LIMIT ?",
            (after, -1 if limit is None else limit),
        )
        yield from map(listed, found)

    def failed_count(self) -> int:
        """Number of failed chains."""
        (count,) = self.db.execute("SELECT count(*) FROM chains WHERE error IS NOT NULL").fetchone()
        return int(count)

    def latest_failures(self, limit: int) -> list[ListedChain]:
        """The chains that have failed last, the latest first.

        Args:
            limit: so many at most.

        Example:
            >>> [chain.error for chain in Journal("crawl.db").latest_failures(5)]
            ['TimeoutError: GET http://example.org/: ...']
        """
        found = self.db.execute(
            f"SELECT {LISTED} FROM chains WHERE error IS NOT NULL ORDER BY failed DESC LIMIT ?",
            (limit,),
        )
        return list(map(listed, found))

    def coming(self, limit: int) -> Iterator[ListedChain]:
        """Chains that are alive, in the order in which they are sent.

        Args:
            limit: so many at most.

        Example:
            >>> [chain.name for chain in Journal("crawl.db").coming(5)]
            ['Crawl.17', 'Crawl.18']
        """
        for row in self._paged(self._waiting_ids(_ANY, limit)):
            name = row.name or f"chain-{row.id}"
            yield ListedChain(
                row.id, name, row.step, row.url, bare_name(row.reader), row.due, None, None, None
            )

    def ids_of(self, names: Sequence[str], *, failed: bool | None = True) -> list[int]:
        """Ids of the chains of these names; of all without any.

        Args:
            names: of chains.
            failed: those that have failed; False: those that are alive; None: both.

        Raises:
            JournalError: there is no such chain.
        """
        kinds = (True, False) if failed is None else (failed,)
        found = [(one.name, one.id) for kind in kinds for one in self.chains(failed=kind)]
        if not names:
            return [one for _, one in found]
        known = {name for name, _ in found}
        said = {True: "has failed", False: "is alive", None: "is there"}[failed]
        for name in names:
            if name not in known:
                raise JournalError(f"{self.path}: no chain of the name {name!r} {said}")
        return [one for name, one in found if name in names]

    def retry(self, ids: Sequence[int]) -> int:
        """Make chains that have failed ready again.

        Args:
            ids: of them.

        Returns:
            How many that were.

        Raises:
            JournalError: that could not be written.

        Example:
            >>> journal.retry(journal.ids_of([]))
            3
        """
        count = 0
        with self._told(), transaction(self.db):
            for one in ids:
                count += self.db.execute(
                    "UPDATE chains SET error = NULL, trace = NULL, failed = NULL, due = NULL,"
                    " delay = NULL, deadline = NULL, tries = 0 WHERE id = ? AND error IS NOT NULL",
                    (one,),
                ).rowcount
            if count:
                self._begin_again()
        return count

    def drop(self, ids: Sequence[int]) -> int:
        """Forget chains: they count as cancelled.

        Args:
            ids: of them.

        Returns:
            How many that were.

        Raises:
            JournalError: that could not be written.

        Example:
            >>> journal.drop(journal.ids_of(["order-17"]))
            1
        """
        count = 0
        with self._told(), transaction(self.db):
            for one in ids:
                count += self.db.execute("DELETE FROM chains WHERE id = ?", (one,)).rowcount
            self.db.execute("UPDATE shards SET cancelled = cancelled + ? WHERE shard = 0", (count,))
        if count:
            self.finish()
        return count

    def finish(self) -> None:
        """Note that all chains have ended, if they have.

        Raises:
            JournalError: that could not be written, or the file is gone.
        """
        self._refuse_if_gone()
        with self._told(), transaction(self.db):
            self.db.execute(
                "UPDATE flow SET finished = ? WHERE finished IS NULL"
                f" AND NOT EXISTS (SELECT 1 FROM chains WHERE {READY})",
                (time.time(),),
            )

    def _begin_again(self) -> None:
        self.db.execute("UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")


def listed(row: Sequence[Any]) -> ListedChain:
    """Return a chain as it is listed.

    Args:
        row: values of `LISTED`.
    """
    one, name, step, url, reader, *rest = row
    return ListedChain(one, name or f"chain-{one}", step, url, bare_name(reader), *rest)
