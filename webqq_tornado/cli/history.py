"""The command `history`: messages sent and received, from the store."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import click

from ..client.store import Store
from ..files import reason, replaced_file
from .console import printable, show_entries
from .param_types import TEXT
from .stdio import is_unicode_output
from .targets import account_and_screen, account_options, as_json, complete_names, json_option

__all__ = ["history"]

#: Messages shown by default, the latest.
_SHOWN = 50
#: More messages than any store has.
_ALL = 2**31
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(rf"(\d{{1,6}}) ?({'|'.join(_UNITS)})")


def _moment(_context: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """A date, a date with a time, or how long ago, as Unix time."""
    if value is None:
        return None
    span = _SPAN.fullmatch(value)
    if span:
        return time.time() - timedelta(**{_UNITS[span[2]]: int(span[1])}).total_seconds()
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r}: give a date (2026-01-31, 2026-01-31T18:30) or a span (30min, 12h, 7d, 2w)"
        ) from None


@click.command()
@click.option(
    "--with",
    "with_",
    type=TEXT,
    metavar="NAME",
    shell_complete=complete_names,
    help="Only with this contact: name or number.",
)
@click.option(
    "--search", type=TEXT, default="", metavar="WORD", help="Only messages with this word."
)
@click.option(
    "--since",
    metavar="WHEN",
    callback=_moment,
    help="Only messages since then: 2026-01-31, 12h, 7d.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, _ALL),
    metavar="N",
    help=f"Only the latest N; {_SHOWN} without --all, --since or --export.",
)
@click.option("--all", "is_all", is_flag=True, help="Show all messages.")
@click.option(
    "--export",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Export to FILE as JSON lines instead of showing them.",
)
@json_option
@account_options
@click.pass_context
def history(context: click.Context, /, **choices: Any) -> None:
    """Show and search the message history; works without the server.

    Keys of a line of JSON: id, account, kind (friend, group, discussion, stranger), number and
    name of the conversation, sender, sender_number, is_own, time (Unix), text, content (the
    parts, as clients send them). Numbers are 0 if not known.

    \b
    Examples:
      python -m webqq_tornado history --with Bot --search weather
      python -m webqq_tornado history --since 7d --json | jq -r .text
      python -m webqq_tornado history --export messages.jsonl
    """  # noqa: D301 - click reads the backspace
    keys = ("with_", "search", "since", "limit", "is_all", "file", "is_json")
    with_, search, since, limit, is_all, file, is_json = (choices.pop(key) for key in keys)
    who, screen = account_and_screen(context, choices)
    path = who.folder / "client.db"
    if not path.exists():
        raise click.ClickException(f"nothing was written or read yet: there is no {path}")
    wanted = {"with_": with_, "search": search, "since": since}
    is_bound = is_all or since is not None or file is not None
    with _readable(path), Store(path) as store:
        whose = who.account or None
        if with_ and not store.history(whose, with_=with_, limit=1):
            raise click.ClickException(_nobody(store, whose, with_))
        if is_bound and limit is None and (is_json or file is not None):
            lines = store.export(whose, **wanted)  # of any number
        else:
            entries = store.history(whose, **wanted, limit=limit or (_ALL if is_bound else _SHOWN))
            lines = (as_json(entry.as_json()) for entry in entries)
        if file is not None:
            number = _write(file, lines)
            if str(file) != "-":
                screen.say(printable(f"{number} messages are in {file}."))
        elif is_json:
            _print(lines)
        elif entries:
            show_entries(screen, entries)
        else:
            screen.say("Nothing found.", style="dim")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Convert the error of a damaged database to a message with its file."""
    try:
        yield
    except sqlite3.Error as error:
        raise click.ClickException(
            f"{path} cannot be read ({error}): put a copy of it back, or see what "
            f"`sqlite3 {shlex.quote(str(path))} .recover` saves of it"
        ) from None


def _nobody(store: Store, account: int | None, name: str) -> str:
    names = store.names(account)
    known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return printable(
        f"{name!r}: nothing was written to or read from anybody called so; there are: "
        f"{known or 'none yet'}"
    ).replace("\n", " ")


def _write(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a file in one step; return their number."""
    if str(path) == "-":
        return _fill(sys.stdout, lines)  # click handles a broken pipe, such as of `head`
    try:
        with replaced_file(path) as file:
            number = _fill(file, lines)
    except OSError as error:
        why = f"{path} cannot be written ({reason(error)}): give another FILE"
        raise click.ClickException(printable(why)) from None
    return number


def _fill(file: IO[str], lines: Iterable[str]) -> int:
    number = 0
    for number, line in enumerate(lines, 1):  # noqa: B007 - the last one counts
        file.write(f"{line}\n")
    return number


def _print(lines: Iterable[str]) -> None:
    is_unicode = is_unicode_output()
    for line in lines:
        click.echo(line if is_unicode else json.dumps(json.loads(line)))
