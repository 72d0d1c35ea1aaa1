"""Items in a file: CSV, JSON lines, Parquet or SQLite, by the file's suffix.

    flow.run(strict=True, items=ItemFile("pages.csv"))

The file's name ends with ".part" until it is complete. CSV, Parquet and SQLite have columns: those
of the first item, or the given ones. A list or mapping in a column becomes JSON, except in Parquet,
which has such values.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import reprlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Protocol
from uuid import UUID

from ..engine.transport.download import part_path
from .itemvalues import as_json, database_value, plain_value

if TYPE_CHECKING:
    import os

__all__ = [
    "Columns",
    "ItemFile",
    "checked_suffix",
    "checked_types",
    "fields_of",
    "import_pyarrow",
    "line_of",
    "quoted_names",
]

#: Rows written to a database or Parquet file at once.
_BATCH = 1000


class _Writer(Protocol):
    """Writes rows in one format."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Write a row."""

    def close(self) -> None:
        """Write the remaining rows, and close the file."""


class ItemFile(contextlib.AbstractContextManager["ItemFile"]):
    """A file of items.

    At the end of the block the file gets its name; after an exception the items stay in the file
    whose name ends with ".part". The next run replaces both.

    Args:
        path: of the file: it ends with .csv, .jsonl, .parquet or .sqlite (or .ndjson, .db).
        fields: names of the columns, in order; other fields are dropped. By default those of the
            first item; other fields in a later one are an error.

    Attributes:
        count: items written.
        part: path of the incomplete file.

    Raises:
        ValueError: the suffix is another one.
        ImportError: Parquet needs pyarrow.
        OSError: the file cannot be written.

    Example:
        >>> with ItemFile("pages.csv", ["url", "title"]) as file:
        ...     file.write({"url": "http://example.org/", "title": "Example"})
    """

    def __init__(self, path: str | os.PathLike[str], fields: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self.part = part_path(self.path)
        self.count = 0
        writer = _WRITERS[checked_suffix(self.path)]
        self._columns = Columns(self.path, fields, are_needed=writer is not _JSONLines)
        self._writer = writer(self.part)

    @staticmethod
    def accepts(path: str | os.PathLike[str]) -> bool:
        """Return True if the suffix names a format.

        Args:
            path: of a file.
        """
        return Path(path).suffix.lower() in _WRITERS

    def write(self, item: object) -> None:
        """Write an item.

        Args:
            item: a mapping, a dataclass or a NamedTuple.

        Raises:
            TypeError: it is not one of these.
            ValueError: it has other fields than the first item.
            OSError: the file cannot be written.
        """
        self._writer.write(self._columns.row(fields_of(item)))
        self.count += 1

    def close(self, *, is_whole: bool = True) -> None:
        """Close the file.

        Args:
            is_whole: whether it is complete, and gets its name.
        """
        self._writer.close()
        if is_whole:
            self.part.replace(self.path)

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.close(is_whole=kind is None)


class Columns:
    """Names of the columns of a file: those that were named, else those of the first item.

    Args:
        path: of the file, for messages.
        fields: names, in order; what else an item has is left out.
        are_needed: the format has columns; without them an item is written as it is.
        names: those that earlier items had.
    """

    def __init__(
        self, path: Path, fields: Sequence[str], *, are_needed: bool, names: Sequence[str] = ()
    ) -> None:
        self._path = path
        self.names = tuple(fields or names)
        self._are_needed = are_needed
        self._is_chosen = bool(fields)

    def row(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the values of each column.

        Args:
            values: fields of an item.

        Raises:
            ValueError: it has others than the first one had.
        """
        if not self._are_needed and not self._is_chosen:
            return values
        columns = self.names = self.names or tuple(values)
        if not columns:
            raise ValueError(f"{self._path}: the first item has no fields: emit one that has some")
        others = [name for name in values if name not in columns]
        if others and not self._is_chosen:
            every = ",".join((*columns, *others))
            raise ValueError(
                f"{self._path}: the item has {', '.join(map(repr, others))}, and the first one had "
                f"the columns {', '.join(columns)} alone: name all of them (--fields {every}, "
                "fields= of ItemFile), or write .jsonl"
            )
        return {name: values.get(name) for name in columns}


def checked_suffix(path: Path) -> str:
    """Return the suffix of a file that items can be written to.

    Args:
        path: of the file.

    Raises:
        ValueError: the suffix is another one.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise ValueError(f"{path}: items go to files whose names end with {', '.join(_WRITERS)}")
    return suffix


def fields_of(item: object) -> Mapping[str, Any]:
    """Return the fields of an item by name.

    Args:
        item: a mapping, a dataclass or a NamedTuple.

    Raises:
        TypeError: it is not one of these.

    Example:
        >>> fields_of({"url": "http://example.org/"})
        {'url': 'http://example.org/'}
    """
    if isinstance(item, Mapping):
        return {str(name): value for name, value in item.items()}
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    if isinstance(item, tuple) and hasattr(item, "_asdict"):
        values: Mapping[str, Any] = item._asdict()
        return values
    raise TypeError(f"an item is a dict, a dataclass or a NamedTuple, not {type(item).__name__}")


def line_of(item: object, *, is_ascii: bool = False) -> str:
    """Return an item as a line of JSON.

    Args:
        item: as of `fields_of`.
        is_ascii: escape all other characters.
    """
    return as_json(fields_of(item), is_ascii=is_ascii)


def _open(part: Path, newline: str | None = None) -> IO[str]:
    """A file of lines, each of which is there when it is written."""
    return part.open("w", 1, "utf-8", "backslashreplace", newline)


class _JSONLines:
    """An object a line."""

    def __init__(self, part: Path) -> None:
        self._file = _open(part)

    def write(self, row: Mapping[str, Any]) -> None:
        self._file.write(as_json(row) + "\n")

    def close(self) -> None:
        self._file.close()


class _CSV:
    """A line of names, then a line an item (RFC 4180)."""

    def __init__(self, part: Path) -> None:
        self._file = _open(part, newline="")
        self._rows = csv.writer(self._file)
        self._is_begun = False

    def write(self, row: Mapping[str, Any]) -> None:
        if not self._is_begun:
            self._is_begun = True
            self._rows.writerow(row)
        self._rows.writerow(map(plain_value, row.values()))

    def close(self) -> None:
        self._file.close()


class _SQLite:
    """A table `items`, whose columns have no types."""

    def __init__(self, part: Path) -> None:
        self._part = part
        part.unlink(missing_ok=True)
        part.touch()  # or sqlite3 would not say why it cannot
        self._database = sqlite3.connect(part)
        self._insert = ""
        self._waiting = 0

    def write(self, row: Mapping[str, Any]) -> None:
        if not self._insert:
            names = ", ".join(quoted_names(row, self._part))
            self._database.execute(f"CREATE TABLE items ({names})")
            self._insert = f"INSERT INTO items VALUES ({', '.join('?' * len(row))})"
        self._database.execute(self._insert, tuple(map(database_value, row.values())))
        self._waiting += 1
        if self._waiting >= _BATCH:
            self._database.commit()
            self._waiting = 0

    def close(self) -> None:
        self._database.commit()
        self._database.close()


def quoted_names(names: Iterable[str], path: Path) -> list[str]:
    """Return names of columns as SQLite takes them.

    Args:
        names: of the columns.
        path: of the file, for messages.

    Raises:
        ValueError: two of them differ in nothing but case, which SQLite does not see.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"{path}: {other!r} and {name!r} are one column to SQLite: rename one, or write "
                ".jsonl"
            )
    return ['"{}"'.format(name.replace('"', '""')) for name in seen.values()]


class _Parquet:
    """A Parquet file, whose types are those of the first rows."""

    def __init__(self, part: Path) -> None:
        self._arrow, self._parquet = import_pyarrow()
        self._part = part
        self._file: Any = None
        self._rows: list[Mapping[str, Any]] = []
        self._kinds: dict[str, type] = {}
        part.touch()

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(checked_types(row, self._kinds, self._part))
        if len(self._rows) >= _BATCH:
            self._write_rows()

    def _write_rows(self) -> None:
        rows, self._rows = self._rows, []
        try:
            self._write_table(self._table(rows))
        except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError) as error:
            wrong = self._first_wrong(rows)
            if wrong:
                self._write_table(self._table(rows[:wrong]))
            self._rows = rows[wrong + 1 :]  # it alone is lost
            raise ValueError(
                f"{self._part}: Parquet has no types for an item as {reprlib.repr(rows[wrong])} "
                f"behind those before it ({error}): write .jsonl"
            ) from error

    def _table(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        schema = None if self._file is None else self._file.schema
        return self._arrow.Table.from_pylist(rows, schema=schema)

    def _write_table(self, table: Any) -> None:
        if self._file is None:
            self._file = self._parquet.ParquetWriter(self._part, table.schema)
        self._file.write_table(table)

    def _first_wrong(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Index of the first row with which no table can be made."""
        good, wrong = 0, len(rows)
        while wrong - good > 1:
            middle = (good + wrong) // 2
            try:
                self._table(rows[:middle])
                good = middle
            except (self._arrow.ArrowInvalid, self._arrow.ArrowTypeError):
                wrong = middle
        return good

    def close(self) -> None:
        errors = []
        try:
            while self._rows or self._file is None:
                try:
                    self._write_rows()
                except ValueError as error:
                    errors.append(error)
        finally:
            if self._file is not None:
                self._file.close()
        if errors:
            raise errors[0]


def checked_types(row: Mapping[str, Any], kinds: dict[str, type], path: Path) -> dict[str, Any]:
    """Return a row whose values are of their columns' types: else a file would end there.

    Args:
        row: values by column.
        kinds: the types so far; those of new columns are added.
        path: of the file, for messages.

    Raises:
        ValueError: a value is of another type.
    """
    return {name: _checked(name, value, kinds, path) for name, value in row.items()}


def _checked(name: str, value: Any, kinds: dict[str, type], path: Path) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (set, frozenset)):
        value = list(value)
    elif isinstance(value, Mapping) and not value:
        value = None  # Parquet has no structure without fields
    elif not isinstance(value, _ARROW_TYPES):
        value = _for_arrow(value)
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace").decode()
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(
            f"{path}: {value} in column {name!r} has more than 64 bits: emit str(value), or write "
            ".jsonl"
        )
    kind = type(value)
    has = kinds.setdefault(name, kind) if value is not None else kind
    if kind is int and has is float:
        return float(value)
    if kind is not has:
        raise ValueError(
            f"{path}: column {name!r} has values of type {has.__name__}, and this one is "
            f"of type {kind.__name__}: emit one type, such as str(value), or write .jsonl"
        )
    return value


def _for_arrow(value: Any) -> Any:
    """The value itself, such as numpy's, or as text."""
    arrow, _ = import_pyarrow()
    try:
        arrow.array([value])
    except (arrow.ArrowInvalid, arrow.ArrowTypeError):
        return plain_value(value)
    return value


#: Values that Arrow has types for.
_ARROW_TYPES = (
    *(type(None), str, bool, int, float, bytes, Decimal, list, tuple, Mapping, UUID),
    *(datetime.date, datetime.time, datetime.timedelta),
)


def import_pyarrow() -> tuple[ModuleType, ModuleType]:
    """Return pyarrow, and its module for Parquet.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            'a .parquet file needs pyarrow: pip install "webqq_tornado[parquet]"'
        ) from error
    return pyarrow, parquet


#: By suffix.
_WRITERS: Mapping[str, Callable[[Path], _Writer]] = {
    ".csv": _CSV,
    ".jsonl": _JSONLines,
    ".ndjson": _JSONLines,
    ".parquet": _Parquet,
    ".sqlite": _SQLite,
    ".db": _SQLite,
}
