"""Terminal output: log lines and chat, in colour on a terminal, plain in a pipe."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterable
from typing import IO

from rich.console import Console
from rich.text import Text

from ..client.history import Entry

__all__ = ["Screen", "in_one_line", "printable", "show_entries", "show_logs"]

#: Text that Python calls unprintable: line ends, joiners of emoji and letters, and the harmless
#: marks of direction (the overrides reverse text).
_HARMLESS = "\n\t\u200c\u200d\u200e\u200f"

#: Colours of loggers.
_STYLES = {
    "webqq_tornado.webqq": "cyan",
    "webqq_tornado.server": "blue",
    "webqq_tornado.engine": "dim",
    "webqq_tornado.cli": "green",
}


class Screen:
    """Standard output, or standard error.

    rich asks for `sys.stdout` with each line, so that the prompt can keep lines above itself.

    Args:
        is_error: use standard error, for text that is not a result.
        file: an open file instead.
        has_colours: use colours in a pipe, too, at the user's request.
    """

    def __init__(
        self, *, is_error: bool = False, file: IO[str] | None = None, has_colours: bool = False
    ) -> None:
        self.console = _wide(
            Console(
                highlight=False, soft_wrap=True, stderr=is_error, file=file,
                color_system="standard" if has_colours else "auto",
                force_terminal=True if has_colours else None,
            )
        )  # fmt: skip
        self._is_error = is_error

    @property
    def is_terminal(self) -> bool:
        """True if the output is a terminal."""
        return self.console.is_terminal

    @property
    def is_attended(self) -> bool:
        """True if the user can type: a background job only writes to the terminal."""
        return self.is_terminal and os.isatty(0)

    def say(self, *lines: str, style: str = "") -> None:
        """Show lines of this program."""
        for line in lines:
            self.console.print(Text(line, style=style))

    def pieces(self, *pieces: str | tuple[str, str]) -> None:
        """Show one line of pieces, some with a style of their own."""
        self.console.print(Text.assemble(*pieces))

    def text(self, text: Text) -> None:
        """Show a styled text."""
        self.console.print(text)

    def picture(self, picture: Text) -> None:
        """Show a picture, in colour even with NO_COLOR: it consists of colours."""
        _wide(Console(soft_wrap=True, stderr=self._is_error, no_color=False)).print(picture)

    def chat(self, who: str, text: str, where: str = "") -> None:
        """Show a chat message."""
        when = time.strftime("%H:%M:%S  ")
        line = Text.assemble((when, "dim"), (in_one_line(who), "bold yellow"))
        line.append(f" in {in_one_line(where)}" if where else "", "dim")
        line.append(f": {_indented(text, len(when))}")
        self.console.print(line)

    def log(self, record: logging.LogRecord, text: str) -> None:
        """Show a log line."""
        when = time.strftime("%H:%M:%S  ", time.localtime(record.created))
        style = _STYLES.get(record.name, "")
        if record.levelno >= logging.WARNING:
            style = "bold red" if record.levelno >= logging.ERROR else "yellow"
        source = record.name.rpartition(".")[2]
        line = Text.assemble((when, "dim"), (f"{source:<7} ", style), _indented(text, len(when)))
        self.console.print(line)


def _wide(console: Console) -> Console:
    """A console with a usable width.

    rich assumes 80 columns for a dumb terminal, and shows nothing if COLUMNS is 0, which some
    containers, serial lines and editors set.
    """
    if console.is_dumb_terminal or not console.width:
        console.width = shutil.get_terminal_size().columns
    return console


class _ScreenHandler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._screen.log(record, self.format(record))
        except (OSError, SystemExit):
            # The log has no reader (rich would exit), or its disk is full: a logged request of a
            # stranger must not end the server.
            return
        except Exception:
            self.handleError(record)


def show_logs(screen: Screen, verbose: bool) -> None:
    """Show log lines.

    Args:
        screen: shows them.
        verbose: show each request as well.
    """
    root = logging.getLogger("webqq_tornado")
    root.handlers[:] = [_ScreenHandler(screen)]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # The error of a failed handler or chain is logged already; Tornado's own errors are rare.
    logging.getLogger("tornado").handlers[:] = [_ScreenHandler(screen)]
    logging.getLogger("tornado").setLevel(logging.ERROR)


def printable(text: str) -> str:
    """The text without control sequences, which would move the cursor or change colours."""
    return "".join(
        character if character.isprintable() or character in _HARMLESS else "\ufffd"
        for character in text
    )


def in_one_line(text: str) -> str:
    """The same for names, which stay within one line."""
    return printable(text).translate({ord("\n"): " ", ord("\t"): " "})


def _indented(text: str, columns: int) -> str:
    """Indent the lines after the first, so that none looks like another user's message."""
    return printable(text).replace("\n", "\n" + " " * columns)


def show_entries(screen: Screen, entries: Iterable[Entry]) -> None:
    """Show messages as lines, with the date where it changes."""
    day = ""
    for entry in entries:
        when = time.localtime(entry.time)
        if time.strftime("%Y-%m-%d", when) != day:
            day = time.strftime("%Y-%m-%d", when)
            screen.say(day, style="dim")
        clock = time.strftime("%H:%M  ", when)
        line = Text.assemble((clock, "dim"))
        line.append(in_one_line(entry.sender), "bold cyan" if entry.is_own else "bold yellow")
        where = entry.name if entry.is_own or entry.name != entry.sender else ""
        arrow = " -> " if entry.is_own else " in "
        line.append(f"{arrow}{in_one_line(where)}" if where else "", "dim")
        line.append(f": {_indented(entry.text, len(clock))}")
        screen.console.print(line)
