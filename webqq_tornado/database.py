"""SQLite files of our own: private, migrated, safe against a crash of the process.

They are used on the loop's own thread: statements are short, the file is local and in WAL mode, so
that a commit is an append (`synchronous=NORMAL`: a power cut may lose the last moments, a crash
of the process nothing).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from .files import reason

__all__ = [
    "INDEXED",
    "DatabaseError",
    "index_words",
    "is_locked",
    "open_database",
    "transaction",
    "words_query",
]


#: Statements that sqlite3 keeps prepared: more than there are in one of our packages.
_STATEMENTS = 256


class DatabaseError(Exception):
    """A file cannot be used; the message says which, why, and what to do."""


class _Connection(sqlite3.Connection):
    """Waits for another program's lock once; what follows fails at once until one has succeeded.

    The loop waits with it: each of a thousand statements would block it.
    """

    patience = 5.0  # sqlite3's own
    #: Seconds that SQLite has been told to wait.
    _waits = 5.0
    _is_locked_out = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """See `sqlite3.Connection.execute`."""
        if self._waits != self.patience and not (self._is_locked_out or self.in_transaction):
            self._wait_for(self.patience)
        try:
            cursor = super().execute(sql, parameters)
        except sqlite3.OperationalError as error:
            if is_locked(error) and not self._is_locked_out:
                self._is_locked_out = True
                self._wait_for(0)
            raise
        if self._is_locked_out and not sql.lstrip().startswith(_READS):
            self._is_locked_out = False
        return cursor

    def begin_at_once(self) -> None:
        """Begin to write; fail where another program writes.

        To tell SQLite takes as long as to write a row: it is told once for all that come so.
        """
        self._wait_for(0)
        super().execute("BEGIN IMMEDIATE")

    def _wait_for(self, seconds: float) -> None:
        if seconds != self._waits:
            self._waits = seconds
            super().execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


#: Bytes of a file that is looked through when it is opened: 32 MiB take a twentieth of a second.
_CHECKED = 32 * 2**20
#: SQLite's messages about a file that is no database, or is one no more.
_DAMAGE = re.compile("malformed|not a database|disk image")

#: Statements that succeed though the file is locked.
_READS = ("SELECT", "PRAGMA", "ROLLBACK")

#: Letters of the shortest word that an index of words finds.
INDEXED = 3


def is_locked(error: sqlite3.Error) -> bool:
    """Return True if another program was writing; the statement can be tried again.

    Args:
        error: of a statement.
    """
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def open_database(
    path: str | os.PathLike[str],
    migrations: Sequence[str],
    *,
    role: str,
    remedy: str,
    patience: float = 5.0,
) -> sqlite3.Connection:
    """Open a file of mode 0600 in which every statement commits at once.

    Args:
        path: the file; made with its folder if it is not there. ":memory:" keeps nothing.
        migrations: SQL, one script a version; `user_version` in the file says how many were
            taken.
        role: what the file is, for messages: "the server's database".
        remedy: what one can do when it cannot be used.
        patience: seconds that a statement waits, and the loop with it, while another program
            writes; those that follow wait no longer until one has succeeded. The steps of
            `migrations` wait longer.

    Raises:
        DatabaseError: it is no such database, of a newer version, or cannot be written.

    Example:
        >>> db = open_database(":memory:", ["CREATE TABLE a (b);"], role="a list", remedy="none")
        >>> db.execute("PRAGMA user_version").fetchone()
        (1,)
    """
    is_file = str(path) != ":memory:"
    try:
        if is_file:
            Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _refuse_device(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(
            path, isolation_level=None, cached_statements=_STATEMENTS, factory=_Connection
        )
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            _check_whole(db, os.path.getsize(path) if is_file else 0)
            _check_version(db, len(migrations))
            _migrate(db, migrations)
            _check_tables(db, migrations)
            db.patience = patience
        except BaseException:
            db.close()
            raise
    except (OSError, sqlite3.Error) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        if _DAMAGE.search(why):
            saved = f"see what `sqlite3 {shlex.quote(str(path))} .recover` saves"
            remedy = f"put a copy of it back, or {saved}, or {remedy}"
        elif "disk is full" in why:
            remedy = "make room on its disk"
        # Nothing is wrong with the file: who removes it loses what is in it.
        elif isinstance(error, sqlite3.Error) and is_locked(error):
            remedy = "another program writes to it: end that, and try again"
        raise DatabaseError(f"{path}: cannot be used as {role} ({why}); {remedy}") from error
    return db


def _refuse_device(opened: int) -> None:
    is_regular = stat.S_ISREG(os.fstat(opened).st_mode)
    os.close(opened)
    if not is_regular:  # SQLite would speak of its disk
        raise sqlite3.DatabaseError("it is a device or a pipe, and no file")


def _check_whole(db: sqlite3.Connection, size: int) -> None:
    """Find a damage now, and not in the middle of something; a large file takes too long."""
    if size <= _CHECKED:
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"it is malformed: {' '.join(found.split())}")


def _check_version(db: sqlite3.Connection, newest: int) -> None:
    # In this order: another process may be making the tables, which come with their version.
    is_new = db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise sqlite3.DatabaseError(
            f"written by a newer version of webqq_tornado, schema {version}: upgrade"
        )
    if version < 0 or (version == 0 and not is_new):
        raise sqlite3.DatabaseError("it is a database of another program")


def _migrate(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    while version < len(migrations):
        _take_step(db, migrations[version], version)
        (version,) = db.execute("PRAGMA user_version").fetchone()


def _check_tables(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Compare the tables with those of a new file: whose else may have a version as ours."""
    with contextlib.closing(sqlite3.connect(":memory:")) as new:
        for script in migrations:
            new.executescript(script)
        tables = new.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if missing := _columns(new, table) - _columns(db, table):
                raise sqlite3.DatabaseError(
                    f"it is a database of another program: {table} has no {min(missing)}"
                )


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))}


def _take_step(db: sqlite3.Connection, script: str, version: int) -> None:
    """One version on, unless another process that opens the file does it at the same time."""
    try:
        db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version={version + 1}; COMMIT;")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        (now,) = db.execute("PRAGMA user_version").fetchone()
        if now == version:
            raise


@contextmanager
def transaction(db: sqlite3.Connection, *, waits: bool = True) -> Iterator[None]:
    """All statements of the block, or none; inside another transaction a part of it.

    Args:
        db: of `open_database`.
        waits: for the end of another program's that writes; else that is an error at once.
    """
    if db.in_transaction:
        yield
        return
    if waits:
        db.execute("BEGIN IMMEDIATE")
    else:
        cast(_Connection, db).begin_at_once()
    try:
        yield
        db.execute("COMMIT")  # may fail as well: left open, it would swallow all that follows
    except BaseException:
        if db.in_transaction:  # SQLite has taken it back by itself when the disk was full
            db.execute("ROLLBACK")
        raise


def index_words(db: sqlite3.Connection, table: str, content: str) -> int | None:
    """Make an index of texts by three letters in a row, in any script, unless it is there.

    Args:
        db: has it from then on.
        table: its name; the column is `text`.
        content: options of FTS5 that say where the texts are; "content=''" keeps none.

    Returns:
        The last row in it, 0 before the first; None where SQLite has no FTS5 or is older than
        3.34, whose tokenizer "trigram" it takes.

    Example:
        >>> index_words(db, "note_index", "content='note', content_rowid='id'")
        0
    """
    try:
        db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {table}"
            f" USING fts5 (text, {content}, tokenize='trigram')"
        )
        (last,) = db.execute(f"SELECT max(id) FROM {table}_docsize").fetchone()
    except sqlite3.OperationalError:
        return None
    return last or 0


def words_query(words: Iterable[str]) -> str:
    """The right side of MATCH for texts that have all of these words, as parts of words too.

    Args:
        words: of `INDEXED` letters or more.

    Example:
        >>> words_query(["ping", "hello"])
        '"ping" "hello"'
    """
    return " ".join('"{}"'.format(word.replace('"', '""')) for word in words)
