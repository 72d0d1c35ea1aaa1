"""The option --journal, and what commands say of a journal."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from ..engine.stream import HTTPStream
from ..journal.errors import JournalError
from ..journal.records import Summary

__all__ = [
    "JournalFailed",
    "failed_chains",
    "journal_errors",
    "journal_option",
    "said_of",
    "summary_of",
]

F = TypeVar("F", bound=Callable[..., Any])


class JournalFailed(click.ClickException):
    """A journal cannot be used or written; the flow has stopped, and can go on."""

    exit_code = 3


def journal_option(command: F) -> F:
    """The option --journal."""
    return click.option(
        "--journal",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Keep chains and results in FILE: killed, the same command goes on.",
    )(command)


@contextlib.contextmanager
def journal_errors() -> Iterator[None]:
    """Convert errors of a journal to one line and exit code 3.

    Raises:
        JournalFailed: there was one.
    """
    try:
        yield
    except JournalError as error:
        raise JournalFailed(error.message) from None


def summary_of(flow: HTTPStream) -> Summary | None:
    """Return how far a flow is that is open, None if it has no journal.

    Args:
        flow: open.
    """
    return None if flow.journal is None else flow.journal.summary()


def failed_chains(path: Path) -> str:
    """Return the command that makes failed chains ready again.

    Args:
        path: of the journal.
    """
    return f"python -m webqq_tornado journal {shlex.quote(str(path))} retry"


def said_of(path: Path, found: Summary, *, was_complete: bool, is_exported: bool) -> list[str]:
    """Return lines about a journal after a run.

    Args:
        path: of it.
        found: how far it is.
        was_complete: there was nothing to do.
        is_exported: results have gone to a file.
    """
    lines = []
    results = f"{found.results} results, {found.failed} failed"
    if was_complete and found.finished is not None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.finished))
        lines.append(f"complete since {since}: {results}; another journal begins anew")
    elif found.ready or found.delayed:
        waiting = found.ready + found.delayed
        lines.append(f"{waiting} chains wait in {path}: the same command goes on; {results}")
    if found.failed:
        lines.append(f"to try again what has failed: {failed_chains(path)}")
    if found.waiting and not is_exported:
        command = f"python -m webqq_tornado journal {shlex.quote(str(path))} export FILE.jsonl"
        lines.append(f"{found.waiting} results are in {path}: {command}")
    return lines
