"""Output of a flow's results: to the terminal, a pipe or a file; as text or JSON."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, TypeVar

import click
from rich.text import Text

from ..flows.flow import Report
from ..flows.itemfile import line_of
from .console import Screen, in_one_line
from .stdio import is_unicode_output
from .tables import show_table
from .targets import as_json

__all__ = ["Results", "output_options"]

F = TypeVar("F", bound=Callable[..., Any])


class _Output(click.Path):
    """A file; of Parquet it may be a folder, which runs with a journal make."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(value)
        is_parts = path.suffix.lower() == ".parquet" and path.is_dir()
        return path if is_parts else super().convert(value, param, ctx)


def output_options(command: F) -> F:
    """The options --json and --output."""
    command = click.option(
        "-o",
        "--output",
        type=_Output(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the results to FILE.",
    )(command)
    return click.option("--json", "is_json", is_flag=True, help="Print JSON lines, for programs.")(
        command
    )


class Results(contextlib.AbstractContextManager["Results"]):
    """Writer of results and events.

    Args:
        screen: shows text without a file.
        path: of the file; None or "-" for none. It is opened at once: before a job is submitted.
        is_json: whether events and the report are lines of JSON. Sentences about events go to the
            screen only if the lines go elsewhere.
        has_times: whether lines begin with date and time.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self, screen: Screen, path: Path | None, *, is_json: bool, has_times: bool = False
    ) -> None:
        self._file: IO[str] | None = None
        if path is not None and str(path) != "-":
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace", buffering=1)
        self._screen = screen if self._file is None else Screen(file=self._file)
        self._is_json = is_json
        self._has_times = has_times

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

    def say(self, text: str) -> None:
        """Show a line about an event."""
        if not self._is_json:
            when = time.strftime("%Y-%m-%d %H:%M:%S  ") if self._has_times else ""
            line = Text(when + in_one_line(text))
            # Without wrapping, which would break words.
            self._screen.console.print(line, soft_wrap=not self._screen.is_terminal)

    def record(self, values: Mapping[str, object]) -> None:
        """Write an event, in JSON."""
        if not self._is_json:
            return
        line = as_json(values, is_ascii=self._file is None and not is_unicode_output())
        click.echo(line, file=self._file)

    def item(self, item: object) -> None:
        """Write an item of a flow, in JSON."""
        is_ascii = self._file is None and not is_unicode_output()
        click.echo(line_of(item, is_ascii=is_ascii), file=self._file)

    def report(self, report: Report) -> None:
        """Show the results."""
        if self._is_json:
            for values in report.values:
                self.record({"event": "end", **values})
        else:
            show_table(self._screen, report.columns, report.rows)
