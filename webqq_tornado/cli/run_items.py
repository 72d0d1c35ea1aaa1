"""Items that `run` passes on: to a file, to standard output, or from a journal to a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..engine.stream import HTTPStream
from ..flows.export import Export
from ..flows.itemfile import ItemFile
from .results import Results

__all__ = ["RunItems", "takes_items"]

#: Suffixes of files in which a table, and no text, would be looked for.
_NO_FORMATS = frozenset({".json", ".xml", ".xls", ".xlsx", ".tsv", ".yaml", ".yml", ".gz", ".zip"})


def _names_of(fields: str) -> list[str]:
    return [name.strip() for name in fields.split(",") if name.strip()]


def takes_items(path: Path | None, fields: str, *, is_json: bool) -> bool:
    """Return True if --output is for emitted items, not for messages."""
    takes = path is not None and ItemFile.accepts(path)
    if _names_of(fields) and not takes:
        raise click.UsageError("--fields goes with --output FILE.csv (.jsonl, .parquet ...)")
    if path is not None and not takes and not is_json and path.suffix.lower() in _NO_FORMATS:
        raise click.UsageError(
            f"--output {path}: items go to .jsonl, .csv, .parquet or .sqlite; what the run says in "
            "words goes to any other name, such as run.log"
        )
    return takes


class RunItems:
    """The destination of emitted items: a file, standard output, or a file written from a journal.

    Args:
        path: of the file; None: there is none.
        fields: its columns.
        results: takes them without a file.

    Attributes:
        is_export: they come from a journal.
    """

    def __init__(self, path: Path | None, fields: str, results: Results) -> None:
        self._path, self._results = path, results
        self._names = _names_of(fields)
        self._file: ItemFile | None = None
        self._export: Export | None = None
        self._lock = asyncio.Lock()
        self.is_export = False

    def taking(self, make: Callable[[], HTTPStream]) -> Callable[[], HTTPStream]:
        """Wrap the function that makes the flow, so that its items come here."""

        def made() -> HTTPStream:
            flow = make()
            try:
                self._take(flow)
            except BaseException:
                flow.close()
                raise
            return flow

        return made

    def _take(self, flow: HTTPStream) -> None:
        try:
            if flow.journal is None:
                if self._path is not None and self._path.is_dir():
                    raise click.ClickException(
                        f"{self._path} is a folder of a run with --journal: name another file"
                    )
                self._file = None if self._path is None else ItemFile(self._path, self._names)
                flow.take_items(self._results.item if self._file is None else self._file.write)
            elif self._path is not None and not self.is_export:
                self._export = Export(flow.journal, self._path, self._names)
                self.is_export = True
        except (ImportError, ValueError) as error:
            raise click.ClickException(str(error)) from None

    async def open(self, journal: Any) -> None:
        """Open the file before there is a flow, where the journal has to be awaited."""
        if self._path is None or not getattr(journal, "is_awaited", False):
            return
        try:
            self._export = await Export.opened(journal, self._path, self._names)
        except (ImportError, ValueError) as error:
            raise click.ClickException(str(error)) from None
        self.is_export = True

    async def drain(self, is_last: bool) -> None:
        """Write results of the journal to the file."""
        if self._export is None:
            return
        try:
            # One at a time: two would write the same results.
            async with self._lock:
                await self._export.drained(is_last=is_last)
        except (TypeError, ValueError) as error:
            raise click.ClickException(f"{error}; the results are safe in the journal") from None

    def close(self, *, is_whole: bool) -> None:
        """Close the file, and report the number of items in it."""
        if self._file is not None:
            try:
                self._file.close(is_whole=is_whole)
            except ValueError as error:  # Parquet has looked at the last items only now
                raise click.ClickException(str(error)) from None
            where = self._file.path if is_whole else f"{self._file.part}, which is not complete"
            self._results.say(f"{self._file.count} items in {where}")
        if self._export is not None:
            self._export.close()
            self._results.say(f"{self._export.count} items in {self._export.path}")
