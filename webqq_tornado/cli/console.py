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

#: Unprintable by Python's word, but text: line ends, joiners of emoji and letters, and the marks
#: of direction that turn nothing around (the overrides do).
_HARMLESS = "\n\t\u200c\u200d\u200e\u200f"

#: Colours by logger, so that one sees at a glance who speaks.
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
        is_error: standard error: what is no result of a command.
        file: an open file instead.
        has_colours: also in a pipe, as somebody has asked for them.
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
        """True if that person can type: a job in the background only writes to the terminal."""
        return self.is_terminal and os.isatty(0)

    def say(self, *lines: str, style: str = "") -> None:
        """Show lines of our own."""
        for line in lines:
            self.console.print(Text(line, style=style))

    def pieces(self, *pieces: str | tuple[str, str]) -> None:
        """Show one line of pieces, some with a style of their own."""
        self.console.print(Text.assemble(*pieces))

    def text(self, text: Text) -> None:
        """Show a text that has its styles."""
        self.console.print(text)

    def picture(self, picture: Text) -> None:
        """Show a picture, in colour even where there is NO_COLOR: it is made of them."""
        _wide(Console(soft_wrap=True, stderr=self._is_error, no_color=False)).print(picture)

    def chat(self, who: str, text: str, where: str = "") -> None:
        """Show a message to the person at the terminal."""
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
    """The console, of a width at which something can be shown.

    rich takes a dumb terminal for one of 80 columns, and shows nothing at all where COLUMNS is 0,
    as some containers, serial lines and editors set it.
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
            # Nobody reads the log any more (rich would exit), or its disk is full: a stranger's
            # request, which is logged, must not end a server because of that.
            return
        except Exception:
            self.handleError(record)


def show_logs(screen: Screen, verbose: bool) -> None:
    """Have what is logged shown.

    Args:
        screen: where.
        verbose: each request as well.
    """
    root = logging.getLogger("webqq_tornado")
    root.handlers[:] = [_ScreenHandler(screen)]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    # What a reader sees of a failed handler or chain is its error; tornado's own is rare.
    logging.getLogger("tornado").handlers[:] = [_ScreenHandler(screen)]
    logging.getLogger("tornado").setLevel(logging.ERROR)


def printable(text: str) -> str:
    """The text without what would move a terminal's cursor or change its colours."""
    return "".join(
        character if character.isprintable() or character in _HARMLESS else "\ufffd"
        for character in text
    )


def in_one_line(text: str) -> str:
    """The same for names, which have a line, or a part of one, to themselves."""
    return printable(text).translate({ord("\n"): " ", ord("\t"): " "})


def _indented(text: str, columns: int) -> str:
    """Lines behind the first begin further right: none looks like somebody else's message."""
    return printable(text).replace("\n", "\n" + " " * columns)


def show_entries(screen: Screen, entries: Iterable[Entry]) -> None:
    """Messages as lines, with the day wherever it changes."""
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
