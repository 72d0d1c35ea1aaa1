"""The file of a journal: its tables, its lock, and what goes wrong with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ..database import DatabaseError, open_database
from ..files import reason
from ..lockfile import Locked, LockFile
from .errors import JournalError
from .location import refuse_other_urls

__all__ = ["SqliteFile", "Sync"]

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
    # The chains of a turn are about as far as each other: by step first, their results are next to
    # each other in the index, and a commit writes one page of it and not one for each chain.
    """
    CREATE TABLE items_by_step (
        id INTEGER PRIMARY KEY, chain INTEGER NOT NULL, step INTEGER NOT NULL, n INTEGER NOT NULL,
        item TEXT NOT NULL, is_draft INTEGER NOT NULL DEFAULT 0, UNIQUE (step, chain, n));
    INSERT INTO items_by_step (id, chain, step, n, item, is_draft)
        SELECT id, chain, step, n, item, is_draft FROM items;
    DROP TABLE items;
    ALTER TABLE items_by_step RENAME TO items;
    CREATE INDEX draft_items ON items (chain) WHERE is_draft;
    """,
)

_REMEDY = "name another file, which is made then, or remove this one to begin anew"

Sync = Literal["full", "normal"]


class SqliteFile:
    """A journal's file, opened when it is first asked for.

    Args:
        path: as of `Journal`.
        sync: likewise.

    Raises:
        ValueError: sync is neither.
        JournalError: it is the URL of a database.
    """

    _db: sqlite3.Connection | None = None
    _lock: LockFile | None = None
    _owner = 0
    _inode: int | None = None

    def __init__(self, path: str | os.PathLike[str], sync: Sync = "full") -> None:
        if sync not in ("full", "normal"):
            raise ValueError(f'sync is "full" or "normal", not {sync!r}')
        refuse_other_urls(path)
        self.path = Path(path)
        self._file = Path(os.path.abspath(path))  # wherever the flow may change to
        self.sync = sync

    def __del__(self) -> None:
        # Who only asks for a number need not close it.
        self.close()

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
