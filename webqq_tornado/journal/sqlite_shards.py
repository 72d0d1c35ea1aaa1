"""Shards in an SQLite file: several processes of one machine, each the owner of some.

Processes write to one file one after the other, which takes a quarter of a millisecond each time,
or a disk's: so the shards that a process has commit together. The owner of a shard has a lock in a
file beside it, `PATH-shard-N`. Answers are awaited as those of PostgreSQL, so that shards have one
keeper.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..database import is_locked, transaction
from ..lockfile import Locked, LockFile
from .errors import JournalError
from .records import (
    COLUMNS,
    FIRST_OF_SHARDS,
    LISTED,
    READY,
    SHARD_COUNTS,
    Batch,
    ChainRow,
    Counts,
    KeyOwner,
    ListedChain,
    ShardCounts,
    Summary,
)
from .sqlite import Journal, Sync
from .sqlite_inspection import listed

__all__ = ["ShardFile"]

_PAGE = 500
#: Seconds that a commit waits for others at most, that it looks for their end at each turn of the
#: loop, and between two looks from then on.
_PATIENCE, _SHORT, _MOMENT = 5.0, 0.005, 0.001
#: Seconds between two looks whether a lock is free.
_LOOK = 0.05
#: Files without shards do without these.
_INDEXES = f"""
CREATE INDEX IF NOT EXISTS by_shard ON chains (shard, due, priority DESC, id) WHERE {READY};
CREATE INDEX IF NOT EXISTS arrived ON chains (shard, id) WHERE away;
"""


#: File, which another one may have replaced, sync, process and loop.
_Place = tuple[Path, "int | None", str, int, asyncio.AbstractEventLoop]


class _Group:
    """The shards of a file that this process has: they share a connection, and a transaction.

    Each that wrote alone would wait for the others, and read anew what they have written.

    Args:
        place: by which others find it.
        db: the file.
    """

    def __init__(self, place: _Place, db: sqlite3.Connection) -> None:
        self.place, self.db = place, db
        self.members = 0
        self._waiting: list[_Waiting] = []
        #: Another program writes.
        self._locked_out: sqlite3.Error | None = None

    @classmethod
    def of(cls, part: _Part) -> _Group:
        """Return that of a file, which has one member more then; a new one opens it."""
        loop = asyncio.get_running_loop()
        place = (part.beside(""), part._inode_there(), part.sync, os.getpid(), loop)
        group = _groups.get(place)
        if group is None:
            group = _groups[place] = cls(place, part._opened())
        group.members += 1
        return group

    def leave(self, part: _Part) -> None:
        """Have one member less, whose batch is not written; the last closes the file."""
        self.members -= 1
        for one in self._waiting:
            if one.part is part:
                one.tell(self._locked_out or part.closed_error())
        if not self.members and self.place[3] == os.getpid():  # a fork's is the parent's
            _groups.pop(self.place, None)
            with contextlib.suppress(sqlite3.Error):
                self.db.close()

    def commit_at_once(self, part: _Part, batch: Batch) -> list[int] | None:
        """Write a batch if there are no others to wait for, see `ShardFile.commit_at_once`."""
        if self.members > 1 or self._waiting:
            return None
        try:
            with part._told(), transaction(self.db, waits=False):
                return part.write_part(batch)
        except JournalError as error:
            if not error.is_passing:
                raise
            return None

    async def commit(self, part: _Part, batch: Batch) -> list[int]:
        """Write a batch with those of others, see `ShardFile.commit`."""
        loop = asyncio.get_running_loop()
        one = _Waiting(part, batch, loop.create_future())
        self._waiting.append(one)
        if len(self._waiting) == 1:
            loop.call_soon(self._commit_all, loop, loop.time())
        return await one.lost

    def _commit_all(self, loop: asyncio.AbstractEventLoop, begun: float) -> None:
        waiting = [one for one in self._waiting if not one.lost.done()]
        self._locked_out = None
        try:
            outcomes = self._written(waiting)
        except sqlite3.Error as error:
            waited = loop.time() - begun
            if is_locked(error) and waited <= _PATIENCE:
                self._locked_out = error
                # Another process is through in a quarter of a millisecond, another program may
                # take long.
                loop.call_later(0 if waited < _SHORT else _MOMENT, self._commit_all, loop, begun)
                return
            outcomes = [error] * len(waiting)
        except BaseException:  # Ctrl-C has taken it back
            loop.call_soon(self._commit_all, loop, begun)
            raise
        self._waiting.clear()
        for one, outcome in zip(waiting, outcomes, strict=True):
            one.tell(outcome)

    def _written(self, waiting: list[_Waiting]) -> list[list[int] | Exception]:
        outcomes: list[list[int] | Exception] = []
        with transaction(self.db, waits=False):
            for part, batch, _ in waiting:
                self.db.execute("SAVEPOINT part")
                try:
                    outcomes.append(part.write_part(batch))
                except Exception as error:
                    if not self.db.in_transaction:  # the disk is full: all of it is taken back
                        raise
                    self.db.execute("ROLLBACK TO part")
                    outcomes.append(error)
                self.db.execute("RELEASE part")
        return outcomes


_groups: dict[_Place, _Group] = {}


class _Waiting(NamedTuple):
    """A batch that is to be written.

    Args:
        part: of which shard.
        batch: what.
        lost: ids of chains whose key another one has followed, when it has been.
    """

    part: _Part
    batch: Batch
    lost: asyncio.Future[list[int]]

    def tell(self, outcome: list[int] | Exception) -> None:
        """Have whoever awaits it go on."""
        if self.lost.done():
            return
        if isinstance(outcome, list):
            self.lost.set_result(outcome)
            return
        try:
            with self.part._told():
                raise outcome
        except Exception as error:
            self.lost.set_exception(error)


class _Part(Journal):
    """One shard of a file, whose statements are run at once.

    Args:
        path: of the file.
        sync: as of `Journal`.
    """

    shards = 1
    group: _Group | None = None

    @property
    def db(self) -> sqlite3.Connection:
        """The file.

        Raises:
            JournalError: it is closed: a commit that waits is not to open it again, as the shard
                may have another owner by now.
        """
        if self._db is None:
            raise self.closed_error()
        return self._db

    def closed_error(self) -> JournalError:
        """Return what is raised when it is used and not open."""
        return JournalError(f"{self.path}: is closed", is_passing=True)

    def begin(self, kind: str, shards: int) -> None:
        """Be the only one that runs the shards of a flow, which is made if it is not there."""
        self.shards = shards
        self._take_lock()
        try:
            self._db = self._opened()
            with self._told(), transaction(self.db):
                self._settle_flow(kind)
                for statement in filter(str.strip, _INDEXES.split(";")):
                    self.db.execute(statement)
        except BaseException:
            self.close()
            raise

    def enter(self, kind: str, shard: int, shards: int) -> None:
        """Open a shard whose lock is ours, and take back what readers had not finished."""
        self.shard, self.shards = shard, shards
        self.group = _Group.of(self)
        self._db, self._inode = self.group.db, self._inode_there()
        with self._told(), transaction(self.db):
            self._settle_flow(kind)
            for statement in (
                f"DELETE FROM chains WHERE draft IS NOT NULL AND id % {shards} = ?",
                "DELETE FROM items WHERE is_draft AND chain IN"
                " (SELECT id FROM chains WHERE shard = ?)",
                "UPDATE chains SET away = 0 WHERE away AND shard = ?",
            ):
                self.db.execute(statement, (shard,))

    def _settle_flow(self, kind: str) -> None:
        found = self.db.execute("SELECT kind, shards FROM flow").fetchone()
        if found is None:
            self._make_flow(kind, self.shards)
        else:
            self._check_flow(*found, kind=kind, shards=self.shards)

    def _insert(self, rows: Iterable[ChainRow]) -> None:
        marks = ", ".join("?" * len(ChainRow._fields))
        self.db.executemany(
            f"INSERT INTO chains ({COLUMNS}, shard) VALUES ({marks}, {self.shard})", rows
        )

    def _name(self, session: str) -> str:
        return f"{self.shard}/{session}"

    def _keep_cookies(self, name: str, cookies: bytes | None) -> None:
        super()._keep_cookies(self._name(name), cookies)

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name."""
        mine = self._name("")
        return {
            name.removeprefix(mine): cookies
            for name, cookies in super().cookies().items()
            if name.startswith(mine)
        }

    def _next_result(self) -> int:
        # Of the file, in whose order results are taken: so it is asked for in the transaction.
        (last,) = self.db.execute("SELECT max(last_item) FROM shards").fetchone()
        return int(last) + 1

    def close(self) -> None:
        """Close the file, unless other shards of this process have it."""
        group, self.group = self.group, None
        if group is not None:
            self._db = None
            group.leave(self)
        super().close()

    def write_part(self, batch: Batch) -> list[int]:
        """Write a batch into a transaction; ids of chains whose key another one has followed."""
        for key in self._followed(batch):
            one = batch.keys.pop(key)
            if batch.drops(one, key):
                batch.lost.append(one)
        self._write(batch, self._next_result())
        self.db.executemany(
            "UPDATE chains SET shard = ?, away = 1 WHERE id = ?",
            [(shard, one) for one, shard in batch.away.items()],
        )
        return batch.lost

    def _followed(self, batch: Batch) -> list[bytes]:
        found = [
            self.db.execute("SELECT key FROM seen WHERE key = ?", (key,)).fetchone()
            for key in batch.keys
        ]
        return [row[0] for row in found if row is not None]

    def add_part_drafts(self, rows: Sequence[ChainRow], away: dict[int, int]) -> None:
        """Write links of a reader that has not returned."""
        with self._told(), transaction(self.db):
            self._insert(rows)
            self.db.executemany(
                "UPDATE chains SET shard = ?, away = 1 WHERE id = ?",
                [(shard, one) for one, shard in away.items()],
            )

    def add_part_results(self, results: Sequence[tuple[int, int, int, str]]) -> None:
        """Write results of a reader that has not returned."""
        with self._told(), transaction(self.db):
            self.add_draft_results(results, self._next_result())

    def retry_part(self, ids: Sequence[int]) -> int:
        """Make chains ready again, and have their shards take them."""
        with self._told(), transaction(self.db):
            count = self.retry(ids)
            self.db.executemany(
                "UPDATE chains SET away = 1 WHERE id = ? AND error IS NULL",
                [(one,) for one in ids],
            )
        return count

    def select(self, rest: str, *values: object) -> list[ChainRow]:
        """Rows of chains.

        Args:
            rest: behind FROM chains.
            values: its parameters.
        """
        with self._told():
            found = self.db.execute(f"SELECT {COLUMNS} FROM chains {rest}", values).fetchall()
        return [ChainRow(*row) for row in found]

    def take(self, limit: int) -> list[ChainRow]:
        """Rows that others have written for this shard, each once."""
        where = f"WHERE away AND shard = ? AND {READY} ORDER BY id LIMIT ?"
        # Most looks find none, and are to write nothing.
        if not self.select(where, self.shard, 1):
            return []
        with self._told(), transaction(self.db):
            rows = self.select(where, self.shard, limit)
            self.db.executemany(
                "UPDATE chains SET away = 0 WHERE id = ?", [(row.id,) for row in rows]
            )
        return rows

    def ask(self, statement: str, *values: object) -> list[Any]:
        """Rows of any statement that reads.

        Args:
            statement: of SQL.
            values: its parameters.
        """
        with self._told():
            return self.db.execute(statement, values).fetchall()


class ShardFile:
    """A journal in a file of which one process has a shard, or leads all; as `PostgresJournal`.

    Args:
        path: of the file.
        sync: as of `Journal`.

    Attributes:
        shard, shards: the part, and how many there are.
        on_retry: is not called.
    """

    is_awaited = True
    #: Nothing of it suspends the caller.
    answers_at_once = True
    is_whole = False
    finished_at_start: float | None = None
    on_retry: Callable[[], None] | None = None

    def __init__(self, path: str | os.PathLike[str], sync: Sync = "full") -> None:
        self._part = _Part(path, sync)
        self._owned: LockFile | None = None

    @property
    def shard(self) -> int:
        """Number of the shard."""
        return self._part.shard

    @property
    def shards(self) -> int:
        """Number of shards."""
        return self._part.shards

    @property
    def path(self) -> Path:
        """Name of the file."""
        return self._part.path

    @property
    def folder(self) -> Path:
        """The folder that it is in, absolute."""
        return self._part.folder

    @property
    def is_open(self) -> bool:
        """Return True from `open` or `lead` to `aclose`."""
        return self._part._db is not None

    @property
    def is_owned(self) -> bool:
        """A flow of this process runs on it."""
        return self._owned is not None

    # -- opening --------------------------------------------------------------------------------

    async def lead(self, kind: str, shards: int) -> ShardFile:
        """Make a new flow with so many shards, and be the only one that runs these.

        Args:
            kind: file and name of the flow's class.
            shards: how many.

        Raises:
            JournalError: another process does, or it is another flow's.
        """
        self._part.begin(kind, shards)
        return self

    async def open(
        self,
        kind: str,
        *,
        shard: int,
        shards: int,
        patience: float,
        ends_silent: float | None = None,
    ) -> ShardFile:
        """Take a shard for this process alone.

        Args:
            kind: file and name of the flow's class.
            shard: number of the shard.
            shards: how many there are.
            patience: seconds to wait for another owner's end.
            ends_silent: is for databases.

        Raises:
            JournalError: another process has it, or it is another flow's.
        """
        path = self._part.beside(f"-shard-{shard}")
        end = asyncio.get_running_loop().time() + patience
        while self._owned is None:
            try:
                self._owned = LockFile(path)
            except Locked as error:
                if asyncio.get_running_loop().time() >= end:
                    raise JournalError(
                        f"{self.path}: process {error.holder.pid} has its shard {shard}"
                    ) from None
                await asyncio.sleep(_LOOK)
            except OSError as error:
                raise JournalError(f"{path}: cannot be used as a lock ({error})") from error
        try:
            self._part.enter(kind, shard, shards)
        except BaseException:
            self.close()
            raise
        return self

    def own(self, kind: str | None = None) -> None:
        """Take it for a flow: it is open, and the flow's.

        Args:
            kind: of the flow.
        """

    def close(self) -> None:
        """Close the file, and let others have the shard. May be called twice."""
        self._part.close()
        lock, self._owned = self._owned, None
        if lock is not None:
            lock.release()

    async def aclose(self) -> None:
        """`close`, awaited."""
        self.close()

    def closing(self) -> Coroutine[Any, Any, None]:
        """Have it closed, and return what may be awaited."""
        self.close()
        return self.aclose()

    # -- at once --------------------------------------------------------------------------------

    @property
    def uuid(self) -> bytes:
        """The flow's own, of 16 bytes."""
        return self._part.uuid

    def counts(self) -> Counts:
        """Return the numbers so far, of this shard."""
        return self._part.counts()

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name."""
        return self._part.cookies()

    def readers(self) -> list[tuple[str, str | None, str | None, int]]:
        """Each reader and errback that chains wait for, see `Journal.readers`."""
        return self._part.readers()

    @property
    def waiting_at_start(self) -> int:
        """Chains of this shard that are alive."""
        ((count,),) = self._part.ask(
            f"SELECT count(*) FROM chains WHERE shard = ? AND {READY}", self.shard
        )
        return int(count)

    def failed_count(self) -> int:
        """Number of failed chains."""
        return self._part.failed_count()

    def latest_failures(self, limit: int) -> list[ListedChain]:
        """The chains that have failed last, see `Journal.latest_failures`.

        Args:
            limit: so many at most.
        """
        return self._part.latest_failures(limit)

    # -- writing --------------------------------------------------------------------------------

    async def commit(self, batch: Batch, first_result: int) -> list[int]:
        """Write all of a batch, or nothing, see `PostgresJournal.commit`.

        Args:
            batch: what to write.
            first_result: is not needed: numbers are the file's.
        """
        group = self._part.group
        if group is None:
            raise self._part.closed_error()
        return await group.commit(self._part, batch)

    def commit_at_once(self, batch: Batch) -> list[int] | None:
        """As `commit`, if nobody else writes; None: somebody does, and nothing was written.

        Args:
            batch: what to write.

        Raises:
            JournalError: that could not be written for another reason.
        """
        group = self._part.group
        return group.commit_at_once(self._part, batch) if group is not None else None

    async def add_drafts(self, rows: Sequence[ChainRow], away: dict[int, int]) -> None:
        """Write links of a reader that has not returned.

        Args:
            rows: of them.
            away: shard of each that is another one's.
        """
        self._part.add_part_drafts(rows, away)

    async def add_draft_results(
        self, results: Sequence[tuple[int, int, int, str]], first: int
    ) -> None:
        """Write results of a reader that has not returned.

        Args:
            results: as of `Journal.add_draft_results`.
            first: is not needed.
        """
        self._part.add_part_results(results)

    async def drop_drafts(self, chain: int) -> None:
        """Take back what a reader had put into the file that has failed.

        Args:
            chain: id of the reader's.
        """
        self._part.drop_drafts(chain)

    async def finish(self) -> None:
        """Note that all chains have ended, if they have."""
        self._part.finish()

    # -- reading --------------------------------------------------------------------------------

    async def waiting(self, last: int) -> AsyncIterator[ChainRow]:
        """Chains of this shard that were alive when it was opened: ready ones first, then by time.

        Args:
            last: the highest id that this shard had given then.
        """
        ids = [
            one
            for (one,) in self._part.ask(
                f"SELECT id FROM chains WHERE shard = ? AND {READY} AND NOT away"
                f" AND (id <= ? OR id % {self.shards} <> {self.shard})"
                " ORDER BY due, priority DESC, id",
                *(self.shard, last),
            )
        ]
        for start in range(0, len(ids), _PAGE):
            wanted = ids[start : start + _PAGE]
            rows = {row.id: row for row in await self.rows(wanted)}
            for one in wanted:
                if one in rows:
                    yield rows[one]

    async def rows(self, ids: Iterable[int]) -> list[ChainRow]:
        """Chains of this shard that are alive, of these ids.

        Args:
            ids: of them, not very many.
        """
        wanted = list(ids)
        marks = ", ".join("?" * len(wanted))
        return self._part.select(
            f"WHERE id IN ({marks}) AND shard = ? AND {READY} ORDER BY id", *wanted, self.shard
        )

    async def owner_of_key(self, key: bytes) -> KeyOwner | None:
        """The chain that a key leads to, None if none does.

        Args:
            key: its hash.
        """
        found = self._part.ask(
            "SELECT s.chain, c.error, c.shard, coalesce(c.away, 0) FROM seen s"
            " LEFT JOIN chains c ON c.id = s.chain WHERE s.key = ?",
            key,
        )
        return KeyOwner(*found[0]) if found else None

    async def take_arrivals(self, limit: int = _PAGE) -> list[ChainRow]:
        """Take links that other shards have found: each is given once.

        Args:
            limit: so many at most.
        """
        return self._part.take(limit)

    async def listen(self, on_arrival: Callable[[], None]) -> None:
        """Do nothing: a file tells nobody.

        Args:
            on_arrival: is not called.
        """

    async def next_due(self) -> float | None:
        """Unix time at which the first chain of this shard is due, 0 if one is; None: none is."""
        found = self._part.ask(
            f"SELECT due FROM chains WHERE shard = ? AND {READY} ORDER BY due LIMIT 1",
            self.shard,
        )
        return (found[0][0] or 0.0) if found else None

    async def shards_with_arrivals(self) -> list[int]:
        """Shards for which others have found links that they have not taken yet."""
        return [one for (one,) in self._part.ask("SELECT DISTINCT shard FROM chains WHERE away")]

    async def shards_with_work(self) -> list[tuple[int, float]]:
        """Shards with chains that are alive, and the Unix time of the first of each; 0 is now."""
        return self._part.ask(FIRST_OF_SHARDS.format(order="due"))

    async def progress(self) -> dict[int, int]:
        """How much each shard has done: a number that goes up with each commit."""
        return dict(self._part.ask("SELECT shard, steps + done + results + cancelled FROM shards"))

    async def waiting_count(self, most: int) -> int:
        """How many chains of all shards are alive, or `most` if they are more.

        Args:
            most: where to stop.
        """
        ((count,),) = self._part.ask(
            f"SELECT count(*) FROM (SELECT 1 FROM chains WHERE {READY} LIMIT ?)", most
        )
        return int(count)

    async def results(self, after: int = 0, limit: int = _PAGE) -> list[tuple[int, str]]:
        """Results in order, with their numbers.

        Args:
            after: number of the one before.
            limit: so many at most.
        """
        return self._part.results(after, limit)

    async def forget_results(self, upto: int) -> None:
        """Delete results that were handed on.

        Args:
            upto: number of the last.
        """
        self._part.forget_results(upto)

    async def export_of(self, path: str) -> tuple[int, int, str | None, int] | None:
        """How far a file is, see `Journal.export_of`.

        Args:
            path: of the file.
        """
        return self._part.export_of(path)

    async def note_export(
        self, path: str, place: int, upto: int, columns: str | None, count: int
    ) -> None:
        """Note that results are in a file, see `Journal.note_export`.

        Args:
            path: of the file.
            place: bytes in it.
            upto: number of the last result in it.
            columns: of it.
            count: results in it.
        """
        self._part.note_export(path, place, upto, columns, count)

    async def shard_counts(self) -> list[ShardCounts]:
        """How many chains each shard has that has any."""
        return [ShardCounts(*row) for row in self._part.ask(SHARD_COUNTS)]

    async def chains_of_shards(self, shards: Sequence[int], each: int) -> list[ListedChain]:
        """The chains of shards that are sent next.

        Args:
            shards: numbers of them.
            each: so many of each at most.
        """
        statement = (
            f"SELECT {LISTED} FROM chains WHERE shard = ? AND {READY}"
            " ORDER BY due, priority DESC, id LIMIT ?"
        )
        return [listed(row) for one in shards for row in self._part.ask(statement, one, each)]

    async def letters(self, limit: int) -> list[ListedChain]:
        """The chains of all shards that have failed last, the latest first.

        Args:
            limit: so many at most.
        """
        return self._part.latest_failures(limit)

    async def ids_of(self, names: Sequence[str], *, failed: bool | None = True) -> list[int]:
        """Ids of the chains of these names, see `Journal.ids_of`.

        Args:
            names: of chains.
            failed: those that have failed.
        """
        return self._part.ids_of(names, failed=failed)

    async def retry(self, ids: Sequence[int]) -> int:
        """Make chains that have failed ready again, see `Journal.retry`.

        Args:
            ids: of them.
        """
        return self._part.retry_part(ids)

    async def summary(self) -> Summary:
        """How far the flow is, all shards together."""
        return self._part.summary()
