"""A journal in an SQLite file: one transaction for all that a turn of the loop has led to.

What is in it is what was sent, or is to be. A row of `chains` is a link: ready (`due` is null),
delayed, failed (`error` says why), or a draft of a reader that has not returned. There is no
"sent": that would be one more write, and tell nothing.

Statements are short and run on the loop's own thread. A row costs 2 to 7 microseconds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from ..database import DatabaseError, open_database, transaction
from ..files import reason
from ..lockfile import Locked, LockFile, holder_of
from .errors import JournalError
from .records import COLUMNS, READY, Batch, ChainRow, Counts, ListedChain, Summary, bare_name

__all__ = ["LISTED", "Journal", "listed"]

#: One script a version of the file.
_MIGRATIONS = (
    """
    CREATE TABLE flow (
        uuid BLOB NOT NULL, kind TEXT NOT NULL, shards INTEGER NOT NULL, created REAL NOT NULL,
        finished REAL);
    CREATE TABLE shards (
        shard INTEGER PRIMARY KEY, begun INTEGER NOT NULL DEFAULT 0,
        is_begun_all INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
        done INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
        results INTEGER NOT NULL DEFAULT 0, last_chain INTEGER NOT NULL DEFAULT 0,
        last_item INTEGER NOT NULL DEFAULT 0, state TEXT);
    CREATE TABLE chains (
        id INTEGER PRIMARY KEY, step INTEGER NOT NULL, name TEXT, key BLOB, url TEXT NOT NULL,
        request TEXT, body BLOB, reader TEXT, args TEXT, errback TEXT, errback_args TEXT, data TEXT,
        session TEXT NOT NULL, priority INTEGER NOT NULL, due REAL, delay REAL, deadline REAL,
        tries INTEGER NOT NULL, draft INTEGER, error TEXT, trace TEXT, failed REAL);
    CREATE INDEX waiting ON chains (due, priority DESC, id) WHERE error IS NULL AND draft IS NULL;
    CREATE INDEX failures ON chains (failed) WHERE error IS NOT NULL;
    CREATE INDEX drafts ON chains (draft) WHERE draft IS NOT NULL;
    CREATE TABLE items (
        id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, step INTEGER NOT NULL, n INTEGER NOT NULL,
        item TEXT NOT NULL, is_draft INTEGER NOT NULL DEFAULT 0, UNIQUE (chain, step, n));
    CREATE INDEX draft_items ON items (chain) WHERE is_draft;
    CREATE TABLE seen (key BLOB PRIMARY KEY, chain INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE sessions (name TEXT PRIMARY KEY, cookies BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE exports (
        path TEXT PRIMARY KEY, place INTEGER NOT NULL, upto INTEGER NOT NULL, columns TEXT,
        count INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE chains ADD COLUMN shard INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE chains ADD COLUMN away INTEGER NOT NULL DEFAULT 0;
    """,
)

_INSERT = f"INSERT INTO chains ({COLUMNS}) VALUES ({', '.join('?' * len(ChainRow._fields))})"
_CHANGE = (
    f"UPDATE chains SET {', '.join(f'{name} = ?' for name in ChainRow._fields[1:])} WHERE id = ?"
)
#: Columns of a `ListedChain`.
LISTED = "id, name, step, url, reader, due, error, trace, failed, shard"
#: Rows that are read at once.
_PAGE = 500
#: More than any id.
_ANY = 2**62
_REMEDY = "name another file, which is made then, or remove this one to begin anew"

Sync = Literal["full", "normal"]


class Journal(contextlib.AbstractContextManager["Journal"]):
    """The file in which a flow's chains and results are kept.

    Args:
        path: of the file, of mode 0600; made if it is not there. Beside it is `PATH.lock`. Not on a
            network file system.
        sync: "full" survives a power cut; "normal" is faster, and a power cut takes the last
            moments back as a whole: all agrees then, and some requests are sent again.

    Raises:
        ValueError: sync is neither.

    Example:
        >>> HTTPStream(journal=Journal("crawl.db", sync="normal"))
        >>> Journal("crawl.db").summary().results
        512
    """

    is_awaited = False
    #: The part of it that is this one's; see `sqlite_shards`.
    shard = 0
    _db: sqlite3.Connection | None = None
    _lock: LockFile | None = None
    _owner = 0
    _inode: int | None = None

    def __init__(self, path: str | os.PathLike[str], sync: Sync = "full") -> None:
        if sync not in ("full", "normal"):
            raise ValueError(f'sync is "full" or "normal", not {sync!r}')
        self.path = Path(path)
        self._file = Path(os.path.abspath(path))  # wherever the flow may change to
        self.sync = sync

    def __repr__(self) -> str:
        return f"<Journal {self.path}>"

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Who only asks for a number need not close it.
        self.close()

    # -- opening --------------------------------------------------------------------------------

    @property
    def db(self) -> sqlite3.Connection:
        """The file, opened when it is first asked for.

        Raises:
            JournalError: there is none, or it is no journal.
        """
        if self._db is None:
            if not self._file.exists():
                raise JournalError(f"{self.path}: there is no such journal; a flow makes it")
            self._db = self._opened()
        return self._db

    @property
    def folder(self) -> Path:
        """The folder that it is in, absolute."""
        return self._file.parent

    @property
    def lock_path(self) -> Path:
        """The file by which one process alone has it."""
        return self.beside(".lock")

    def beside(self, suffix: str) -> Path:
        """The path of a file beside it, of the same name and more.

        Args:
            suffix: what its name has more.
        """
        # By its real name: a link to it is the same journal, and would have a lock of its own.
        return Path(os.path.realpath(self._file) + suffix)

    @property
    def is_owned(self) -> bool:
        """A flow of this process runs on it."""
        return self._lock is not None

    def own(self, kind: str | None = None) -> None:
        """Take the journal for this process alone.

        Args:
            kind: file and name of the flow's class; None: it is there, and whichever it is.

        Raises:
            JournalError: another process has it, it cannot be used, or it is another flow's.
        """
        if kind is None and not self._file.exists():
            raise JournalError(f"{self.path}: there is no such journal; a flow makes it")
        self._take_lock()
        try:
            if self._db is None:
                self._db = self._opened()
            with self._told(), transaction(self._db):
                self._settle(kind)
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        if self._lock is not None:
            raise JournalError(f"{self.path}: another flow of this process runs on it")
        path = self.lock_path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = LockFile(path)
            self._owner = os.getpid()
        except Locked as error:
            raise JournalError(
                f"{self.path}: process {error.holder.pid} runs on it: wait for its end, or stop it"
            ) from None
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be used as a journal ({reason(error)}): name another file"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        try:
            db = open_database(self._file, _MIGRATIONS, role="a journal", remedy=_REMEDY)
        except DatabaseError as error:
            raise JournalError(str(error)) from error
        db.execute(f"PRAGMA synchronous={self.sync.upper()}")
        self._inode = self._inode_there()
        return db

    def _inode_there(self) -> int | None:
        try:
            return self._file.stat().st_ino
        except OSError:
            return None

    def _refuse_if_gone(self) -> None:
        # SQLite goes on in a file that has no name any more, and all of it ends with the process.
        if self._inode_there() != self._inode:
            raise JournalError(
                f"{self.path}: was removed, moved or replaced while the flow ran on it: what it "
                "has noted since is not there"
            )

    def _settle(self, kind: str | None) -> None:
        """Make the flow's row, or compare it; take back what readers had not finished."""
        found = self.db.execute("SELECT kind, shards FROM flow").fetchone()
        if found is not None:
            self._check_flow(*found, kind=kind, shards=1)
        elif kind is None:
            raise JournalError(f"{self.path}: there is no flow in it")
        else:
            self._make_flow(kind, 1)
        self.db.execute("DELETE FROM chains WHERE draft IS NOT NULL")
        self.db.execute("DELETE FROM items WHERE is_draft")

    def _make_flow(self, kind: str, shards: int) -> None:
        self.db.execute(
            "INSERT INTO flow VALUES (?, ?, ?, ?, NULL)",
            (uuid.uuid4().bytes, kind, shards, time.time()),
        )
        self.db.executemany(
            "INSERT INTO shards (shard) VALUES (?)", [(shard,) for shard in range(shards)]
        )

    def _check_flow(self, found: str, has: int, *, kind: str | None, shards: int) -> None:
        if kind is not None and found != kind:
            raise JournalError(
                f"{self.path}: it is the journal of {found}, not of {kind}: name another file"
            )
        if kind is not None and has != shards:
            how = "run it with --dask" if shards == 1 else f"give --shards {has}"
            raise JournalError(f"{self.path}: it has {has} shard{'s' * (has > 1)}: {how}")
        if kind is None and has > 1:
            self._check_owners(has)

    def _check_owners(self, shards: int) -> None:
        """Shards may be run on for a while, by processes whose client was killed."""
        for shard in range(shards):
            holder = holder_of(self.beside(f"-shard-{shard}"))
            if holder is not None:
                raise JournalError(
                    f"{self.path}: process {holder.pid} runs its shard {shard}: wait for its end"
                )

    def close(self) -> None:
        """Close the file, and let others have it. May be called twice."""
        db, self._db = self._db, None
        if self._owner not in (0, os.getpid()):
            return  # a fork's: it is the parent's
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Convert errors of the database."""
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(
                f"{self.path}: cannot be written ({error}); {_advice(error)}",
                # Whoever has it may be another shard's process, and frozen.
                is_passing="locked" in str(error),
            ) from error

    # -- writing --------------------------------------------------------------------------------

    def commit(self, batch: Batch, first_result: int) -> int:
        """Write all of a batch, or nothing.

        Args:
            batch: what to write.
            first_result: number of its first result.

        Returns:
            The number of the last result so far.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            return self._write(batch, first_result)

    def _write(self, batch: Batch, first: int) -> int:
        many = self.db.executemany
        if batch.keys:
            many("INSERT INTO seen VALUES (?, ?)", batch.keys.items())
        if batch.new:
            self._insert(batch.new.values())
            self._begin_again()
        if batch.moved:
            self._move(batch)
        if batch.led:
            many(
                "UPDATE chains SET step = ?, url = ? WHERE id = ?",
                [(*led, one) for one, led in batch.led.items()],
            )
        if batch.changed:
            many(_CHANGE, [(*row[1:], row[0]) for row in batch.changed.values()])
        if batch.failed:
            many(
                "UPDATE chains SET failed = ?, error = ?, trace = ? WHERE id = ?",
                [(*failed, one) for one, failed in batch.failed.items()],
            )
        if batch.ended:
            many("DELETE FROM chains WHERE id = ?", [(one,) for one in batch.ended])
        for draft in batch.settled:
            first += self._settle_drafts(draft, first)
        if batch.results:
            many(
                "INSERT INTO items (id, chain, step, n, item) VALUES (?, ?, ?, ?, ?)",
                [
                    (number, chain, step, number if n < 0 else n, text)
                    for number, (chain, step, n, text) in enumerate(batch.results, first)
                ],
            )
        for name, cookies in batch.sessions.items():
            self._keep_cookies(name, cookies)
        last = first + len(batch.results) - 1
        self._count(batch, last)
        return last

    def _insert(self, rows: Iterable[ChainRow]) -> None:
        self.db.executemany(_INSERT, rows)

    def _begin_again(self) -> None:
        self.db.execute("UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")

    def _move(self, batch: Batch) -> None:
        # An update of `due` is one of an index, too: most links have none.
        plain = [
            (step, one)
            for one, (step, due, _, tries) in batch.moved.items()
            if due is None and not tries
        ]
        if plain:
            self.db.executemany("UPDATE chains SET step = ? WHERE id = ?", plain)
        if len(plain) < len(batch.moved):
            self.db.executemany(
                "UPDATE chains SET step = ?, due = ?, delay = ?, tries = ? WHERE id = ?",
                [
                    (step, due, delay, max(tries, 0), one)
                    for one, (step, due, delay, tries) in batch.moved.items()
                    if due is not None or tries
                ],
            )

    def _settle_drafts(self, chain: int, first: int) -> int:
        """A reader has returned: what it had to put here meanwhile holds; how many results."""
        execute = self.db.execute
        execute(
            "INSERT OR IGNORE INTO seen SELECT key, id FROM chains"
            " WHERE draft = ? AND key IS NOT NULL ORDER BY id",
            (chain,),
        )
        execute(
            "DELETE FROM chains WHERE draft = ? AND key IS NOT NULL"
            " AND id <> (SELECT chain FROM seen WHERE seen.key = chains.key)",
            (chain,),
        )
        execute("UPDATE chains SET draft = NULL WHERE draft = ?", (chain,))
        # With numbers behind all others: who takes results has been told of later ones meanwhile.
        found = execute("SELECT id FROM items WHERE chain = ? AND is_draft ORDER BY id", (chain,))
        numbers = [(number, old) for number, (old,) in enumerate(found.fetchall(), first)]
        self.db.executemany("UPDATE items SET id = ?, is_draft = 0 WHERE id = ?", numbers)
        execute(
            "UPDATE shards SET results = results + ? WHERE shard = ?", (len(numbers), self.shard)
        )
        self._begin_again()
        return len(numbers)

    def _keep_cookies(self, name: str, cookies: bytes | None) -> None:
        if cookies is None:
            self.db.execute("DELETE FROM sessions WHERE name = ?", (name,))
        else:
            self.db.execute("REPLACE INTO sessions VALUES (?, ?)", (name, cookies))

    def _count(self, batch: Batch, last_item: int) -> None:
        self.db.execute(
            "UPDATE shards SET steps = steps + ?, done = done + ?, cancelled = cancelled + ?,"
            " results = results + ?, last_item = ?, last_chain = ?, begun = coalesce(?, begun),"
            " is_begun_all = is_begun_all OR ?, state = coalesce(?, state) WHERE shard = ?",
            (
                *(batch.steps, batch.done, batch.cancelled, len(batch.results), last_item),
                *(batch.last_chain, batch.begun, batch.is_begun_all, batch.state, self.shard),
            ),
        )

    def add_drafts(self, rows: Iterable[ChainRow]) -> None:
        """Put links of a reader that has not returned yet into the file.

        Args:
            rows: with the id of the reader's chain as `draft`.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self._insert(rows)

    def add_draft_results(self, results: Sequence[tuple[int, int, int, str]], first: int) -> None:
        """Put results of a reader that has not returned yet into the file.

        Args:
            results: chain, step and number in it, and text of each.
            first: number of the first.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.executemany(
                "INSERT INTO items (id, chain, step, n, item, is_draft) VALUES (?, ?, ?, ?, ?, 1)",
                [(number, *one) for number, one in enumerate(results, first)],
            )
            last = first + len(results) - 1
            self.db.execute("UPDATE shards SET last_item = ? WHERE shard = ?", (last, self.shard))

    def drop_drafts(self, chain: int) -> None:
        """Take back what a reader had put into the file that has failed.

        Args:
            chain: id of the reader's.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.execute("DELETE FROM chains WHERE draft = ?", (chain,))
            self.db.execute("DELETE FROM items WHERE chain = ? AND is_draft", (chain,))

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

    # -- reading --------------------------------------------------------------------------------

    @property
    def uuid(self) -> bytes:
        """The flow's own, of 16 bytes."""
        (found,) = self.db.execute("SELECT uuid FROM flow").fetchone()
        return bytes(found)

    def counts(self) -> Counts:
        """Return the numbers so far."""
        found = self.db.execute(
            "SELECT begun, is_begun_all, steps, done, cancelled, results, last_chain, last_item,"
            " state FROM shards WHERE shard = ?",
            (self.shard,),
        ).fetchone()
        return Counts(found[0], bool(found[1]), *found[2:])

    def rows(self, ids: Iterable[int]) -> Iterator[ChainRow]:
        """Chains that are alive, of these ids.

        Args:
            ids: of them.
        """
        for one in ids:
            found = self.db.execute(
                f"SELECT {COLUMNS} FROM chains WHERE id = ? AND {READY}", (one,)
            ).fetchone()
            if found is not None:
                yield ChainRow(*found)

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

    def readers(self) -> list[tuple[str, str | None, str | None, int]]:
        """Each reader and errback that chains wait for, examples of arguments and data, how many.

        Failed ones are among them: they may be retried.
        """
        found = self.db.execute(
            "SELECT reader, max(args), max(data), count(*) FROM chains"
            " WHERE reader IS NOT NULL GROUP BY 1"
            " UNION ALL SELECT errback, max(errback_args), NULL, count(*) FROM chains"
            " WHERE errback IS NOT NULL GROUP BY 1"
        )
        return [(str(name), args, data, int(count)) for name, args, data, count in found]

    def chain_of_key(self, key: bytes) -> int | None:
        """Id of the chain that a key leads to, None if none does.

        Args:
            key: its hash.
        """
        found = self.db.execute("SELECT chain FROM seen WHERE key = ?", (key,)).fetchone()
        return None if found is None else int(found[0])

    def failure_of(self, chain: int) -> str | None:
        """Return the error that has ended a chain; None if none has.

        Args:
            chain: its id.
        """
        found = self.db.execute("SELECT error FROM chains WHERE id = ?", (chain,)).fetchone()
        return None if found is None else found[0]

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name."""
        return dict(self.db.execute("SELECT name, cookies FROM sessions"))

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

    # -- exports --------------------------------------------------------------------------------

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


def listed(row: Sequence[Any]) -> ListedChain:
    """Return a chain as it is listed.

    Args:
        row: values of `LISTED`.
    """
    one, name, step, url, reader, *rest = row
    return ListedChain(one, name or f"chain-{one}", step, url, bare_name(reader), *rest)


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if "too big" in text:
        return "a result or a request of more than a gigabyte is in it: put that into a file"
    if "full" in text:
        return "make room on its disk, and run the same command again"
    if "readonly" in text or "read-only" in text:
        return "check its mode and owner"
    if "locked" in text:
        return "another program writes to it: end that, and run the same command again"
    return "see that its disk works, and run the same command again"
