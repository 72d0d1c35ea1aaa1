"""Results of a journal in a file, each exactly once, whatever ends the process.

    with Export(journal, "items.jsonl") as export:
        export.drain()

Results are appended, the file is on the disk, and then one transaction of the journal notes how far
the file is and deletes them there. A process that ends in between leaves a file that is too long:
it is cut when it is opened. SQLite has the number of the last result in the file itself; Parquet is
a folder with a file for each batch, named by the number of its first result.
"""

from __future__ import annotations

import contextlib
import csv
import inspect
import io
import json
import os
import sqlite3
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..files import reason
from ..journal.codec import unpack_item
from ..journal.errors import JournalError
from .itemfile import (
    Columns,
    checked_suffix,
    checked_types,
    fields_of,
    import_pyarrow,
    quoted_names,
)
from .itemvalues import as_json, database_value, plain_value

if TYPE_CHECKING:
    from ..journal.sqlite import Journal
    from ..journal.store import Store

__all__ = ["Export"]

_T = TypeVar("_T")

#: Results that are written at once; of Parquet, whose parts are files, more.
_BATCH, _PART = 5000, 20_000


class _Target(Protocol):
    """A file in one format.

    Attributes:
        batch: results to write at once.
        keeps_waiting: fewer than those wait for more.
    """

    batch: int
    keeps_waiting: bool

    def open(self, place: int, upto: int) -> int:
        """Open it, as it was when the journal noted it last.

        Args:
            place: what was noted of the file.
            upto: number of the last result in it.

        Returns:
            The number of the last result in it.
        """

    def write(self, first: int, last: int, rows: Sequence[Any]) -> int:
        """Write results so that they are on the disk; returns what is to be noted of the file."""

    def close(self) -> None:
        """Close it."""


class Export(contextlib.AbstractContextManager["Export"]):
    """A file into which the results of a journal go.

    Args:
        journal: whose; of this process alone. One in PostgreSQL has to be awaited: see `opened`.
        path: of the file: it ends with .csv, .jsonl, .parquet (a folder) or .sqlite.
        fields: names of the columns, in order; by default those of the first result.

    Attributes:
        count: results in the file.
        file: the path, absolute.

    Raises:
        ValueError: the suffix is another one, or the columns are others than before.
        ImportError: Parquet needs pyarrow.
        JournalError: the file is none of this journal's, or a part of it is gone.

    Example:
        >>> with Export(journal, "items.csv", ["url", "title"]) as export:
        ...     print(export.drain(), "results")
    """

    def __init__(
        self, journal: Journal | Store, path: str | os.PathLike[str], fields: Sequence[str] = ()
    ) -> None:
        _at_once(self._start(journal, path, fields))

    @classmethod
    async def opened(
        cls, journal: Journal | Store, path: str | os.PathLike[str], fields: Sequence[str] = ()
    ) -> Export:
        """Return an export of any journal, also of one that is to be awaited.

        Args:
            journal: as of `Export`.
            path: likewise.
            fields: likewise.

        Raises:
            ValueError: as of `Export`, and so the others.

        Example:
            >>> with await Export.opened(journal, "items.jsonl") as export:
            ...     await export.drained()
        """
        export = cls.__new__(cls)
        await export._start(journal, path, fields)
        return export

    async def _start(
        self, journal: Journal | Store, path: str | os.PathLike[str], fields: Sequence[str]
    ) -> None:
        self.path = Path(path)
        self.file = _absolute(path)  # wherever the flow may change to
        suffix = checked_suffix(self.path)
        self._journal = journal
        # So that both may be moved together.
        self._name = _relative(self.file, getattr(journal, "folder", None))
        noted = await _asked(journal.export_of(self._name))
        self._upto: int
        self.count: int
        place, self._upto, columns, self.count = noted or (0, 0, None, 0)
        names = tuple(json.loads(columns)) if columns else ()
        if fields and names and tuple(fields) != names:
            raise ValueError(
                f"{self.path}: its columns are {','.join(names)}, not {','.join(fields)}"
            )
        self._columns = Columns(self.path, fields, are_needed=suffix not in _LINES, names=names)
        self._target = _TARGETS[suffix](self, is_new=noted is None)
        try:
            with self._told():
                await self._open(place, is_new=noted is None)
        except BaseException:
            self._target.close()
            raise

    async def _open(self, place: int, *, is_new: bool) -> None:
        if is_new:
            await self._note(0)  # before the first result is in it: from now on it is ours
        upto = self._target.open(place, self._upto)
        if upto > self._upto:
            waiting = await _asked(self._journal.results(self._upto, upto - self._upto))
            self.count += sum(number <= upto for number, _ in waiting)
            self._upto = upto
            await self._note(place)

    @property
    def flow(self) -> bytes:
        """The flow's own 16 bytes."""
        return self._journal.uuid

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns so far."""
        return self._columns.names

    def drain(self, *, is_last: bool = True) -> int:
        """Write the results that wait.

        Args:
            is_last: also those of a part that is not full.

        Returns:
            How many were written.

        Raises:
            TypeError: a result has no columns.
            ValueError: it has other columns than the first one, or of another type.
            JournalError: the file or the journal cannot be written.
        """
        return _at_once(self.drained(is_last=is_last))

    async def drained(self, *, is_last: bool = True) -> int:
        """`drain`, awaited: for a journal in PostgreSQL, too.

        Args:
            is_last: as of `drain`.

        Returns:
            As `drain`.

        Raises:
            TypeError: as of `drain`, and so the others.

        Example:
            >>> await export.drained()
            512
        """
        count = 0
        while True:
            results = await _asked(self._journal.results(self._upto, self._target.batch))
            is_full = len(results) == self._target.batch
            if not results or (self._target.keeps_waiting and not is_full and not is_last):
                return count
            rows = [self._row(unpack_item(text)) for _, text in results]
            with self._told():
                place = self._target.write(results[0][0], results[-1][0], rows)
            self._upto = results[-1][0]
            self.count += len(rows)
            count += len(rows)
            await self._note(place)

    def _row(self, item: Any) -> Any:
        is_plain = not isinstance(item, Mapping) and self.path.suffix.lower() in _LINES
        return item if is_plain and not self.columns else self._columns.row(fields_of(item))

    async def _note(self, place: int) -> None:
        columns = json.dumps(self.columns) if self.columns else None
        await _asked(self._journal.note_export(self._name, place, self._upto, columns, self.count))

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except OSError as error:
            raise JournalError(f"{self.path}: cannot be written ({reason(error)})") from error
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot be written ({error})") from error

    def refuse_others(self, is_ours: bool) -> None:
        """Raise an error if the file is there, and not of this journal.

        Args:
            is_ours: the journal knows it.

        Raises:
            JournalError: it is.
        """
        path = self.file
        if is_ours or not path.exists() or (path.is_file() and not path.stat().st_size):
            return
        if path.is_dir() and not any(path.iterdir()):
            return
        raise JournalError(
            f"{self.path}: is there, and not of {self._journal.path}: remove it, or name another "
            "file"
        )

    def close(self) -> None:
        """Close the file; what waits in the journal stays there."""
        self._target.close()

    def __exit__(self, *_error: object) -> None:
        self.close()


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.abspath(path))


def _relative(file: Path, folder: Path | None) -> str:
    """Name of the file in the journal; a database is in no folder."""
    return str(file) if folder is None else os.path.relpath(file, folder)


async def _asked(answer: Any) -> Any:
    """The answer of a journal, at once or awaited."""
    return await answer if inspect.isawaitable(answer) else answer


def _at_once(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run what has nothing to wait for, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a journal in PostgreSQL is to be awaited: Export.opened(), drained()")


class _Lines:
    """A file that grows at its end."""

    batch, keeps_waiting = _BATCH, False

    def __init__(self, export: Export, *, is_new: bool) -> None:
        export.refuse_others(not is_new)
        self._export = export
        self._file = -1
        self._place = 0

    def open(self, place: int, upto: int) -> int:
        path = self._export.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if place and not path.exists():
            raise JournalError(f"{path}: is gone, and {place} bytes were in it: put it back")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        size = os.fstat(self._file).st_size
        if size < place:
            raise JournalError(
                f"{path}: ends at byte {size}, and {place} bytes were written: put it back whole, "
                "or name another file for what is to come"
            )
        os.ftruncate(self._file, place)
        self._place = place
        _sync_folder(path.parent)
        return upto

    def write(self, first: int, last: int, rows: Sequence[Any]) -> int:
        content = self._text(rows).encode("utf-8", "backslashreplace")
        os.lseek(self._file, self._place, os.SEEK_SET)
        view = memoryview(content)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)
        self._place += len(content)
        return self._place

    def _text(self, rows: Sequence[Any]) -> str:
        return "".join(as_json(row) + "\n" for row in rows)

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


class _CSVLines(_Lines):
    """A line of names, then a line a result."""

    def _text(self, rows: Sequence[Any]) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if not self._place:
            writer.writerow(self._export.columns)
        writer.writerows(map(plain_value, row.values()) for row in rows)
        return text.getvalue()


class _SQLiteTable:
    """A table `items`, and beside it the number of the last result that is in it."""

    batch, keeps_waiting = _BATCH, False

    def __init__(self, export: Export, *, is_new: bool) -> None:
        export.refuse_others(not is_new)
        self._export = export
        self._db: sqlite3.Connection | None = None
        self._insert = ""

    def open(self, place: int, upto: int) -> int:
        path = self._export.file
        if upto and not path.exists():
            raise JournalError(f"{path}: is gone, and {self._export.count} results were in it")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # or sqlite3 would not say why it cannot
        db = self._db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE IF NOT EXISTS webqq_journal (flow BLOB PRIMARY KEY, upto INTEGER)")
        found = db.execute(
            "SELECT upto FROM webqq_journal WHERE flow = ?", (self._export.flow,)
        ).fetchone()
        has = 0 if found is None else int(found[0])
        if has < upto:
            raise JournalError(
                f"{path}: has results up to number {has}, and those up to {upto} were written: put "
                "it back whole, or name another file for what is to come"
            )
        return has

    def write(self, first: int, last: int, rows: Sequence[Any]) -> int:
        db = self._db
        assert db is not None  # noqa: S101 - it was opened
        names = quoted_names(self._export.columns, self._export.path)
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute(f"CREATE TABLE IF NOT EXISTS items ({', '.join(names)})")
            db.executemany(
                f"INSERT INTO items ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                [tuple(map(database_value, row.values())) for row in rows],
            )
            db.execute("REPLACE INTO webqq_journal VALUES (?, ?)", (self._export.flow, last))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return 0

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class _ParquetParts:
    """A folder with a file for each batch: what reads Parquet takes it for one table."""

    batch, keeps_waiting = _PART, True

    def __init__(self, export: Export, *, is_new: bool) -> None:
        self._arrow, self._parquet = import_pyarrow()
        export.refuse_others(not is_new)
        self._export = export
        self._schema: Any = None
        self._kinds: dict[str, type] = {}
        self._count = 0

    def open(self, place: int, upto: int) -> int:
        folder = self._export.file
        folder.mkdir(parents=True, exist_ok=True)
        parts = []
        for part in sorted(folder.glob("part-*")):
            if part.suffix != ".parquet" or int(part.stem.removeprefix("part-")) > upto:
                part.unlink()  # not noted: its results are in the journal
            else:
                parts.append(part)
        if len(parts) < place:
            raise JournalError(
                f"{folder}: has {len(parts)} parts, and {place} were written: put them back, or "
                "name another folder for what is to come"
            )
        if parts:
            self._schema = self._parquet.read_schema(parts[0])
        self._count = place
        return upto

    def write(self, first: int, last: int, rows: Sequence[Any]) -> int:
        folder = self._export.file
        checked = [checked_types(row, self._kinds, folder) for row in rows]
        try:
            table = self._arrow.Table.from_pylist(checked, schema=self._schema)
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError) as error:
            raise ValueError(
                f"{folder}: a result has values of other types than the first part ({error}): "
                "write .jsonl"
            ) from error
        self._schema = table.schema
        draft = folder / f"part-{first:015d}.new"
        self._parquet.write_table(table, draft)
        _sync(draft)
        draft.replace(draft.with_suffix(".parquet"))
        _sync_folder(folder)
        self._count += 1
        return self._count

    def close(self) -> None:
        """Nothing is open."""


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on the disk, too; Windows opens no folders."""
    with contextlib.suppress(PermissionError):
        _sync(folder)


#: Formats of which a line is a result, whatever its fields.
_LINES = frozenset({".jsonl", ".ndjson"})
#: By suffix.
_TARGETS: Mapping[str, Any] = {
    ".csv": _CSVLines,
    ".jsonl": _Lines,
    ".ndjson": _Lines,
    ".parquet": _ParquetParts,
    ".sqlite": _SQLiteTable,
    ".db": _SQLiteTable,
}
