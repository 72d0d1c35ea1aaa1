"""The option --journal, and what commands say of a journal."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from ..engine.kept_readers import kind_of
from ..engine.stream import HTTPStream
from ..journal.errors import JournalError
from ..journal.postgres import PostgresJournal
from ..journal.records import Summary
from .param_types import JOURNAL

__all__ = [
    "Blocking",
    "JournalFailed",
    "failed_chains",
    "journal_errors",
    "journal_of",
    "journal_option",
    "opened",
    "said_of",
    "summary_of",
]

_T = TypeVar("_T")
F = TypeVar("F", bound=Callable[..., Any])


class JournalFailed(click.ClickException):
    """A journal cannot be used or written; the flow has stopped, and can go on."""

    exit_code = 3


def journal_option(command: F) -> F:
    """The option --journal."""
    return click.option(
        "--journal",
        type=JOURNAL,
        metavar="FILE",
        help="Keep chains and results in FILE, or in a database (postgresql://...): killed, the "
        "same command goes on.",
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


async def summary_of(flow: HTTPStream) -> Summary | None:
    """Return how far a flow is that is open, None if it has no journal.

    Args:
        flow: open.
    """
    if flow.journal is None:
        return None
    found = flow.journal.summary()
    return found if isinstance(found, Summary) else await found


def journal_of(where: Path | str | None) -> Path | PostgresJournal | None:
    """Return what a stream takes as its journal.

    Args:
        where: of the option.
    """
    return PostgresJournal(where) if isinstance(where, str) else where


@contextlib.asynccontextmanager
async def opened(journal: object, kind: type) -> AsyncIterator[None]:
    """Have a journal open in the block, where it has to be awaited; others are opened by the flow.

    Args:
        journal: of `journal_of`.
        kind: class of the flow.

    Raises:
        JournalError: it cannot be used.
    """
    if not isinstance(journal, PostgresJournal):
        yield
        return
    await journal.open(kind_of(kind))
    try:
        yield
    finally:
        await journal.aclose()


class Blocking:
    """A journal in PostgreSQL for commands: each call waits for its answer.

    Args:
        journal: not open.
    """

    def __init__(self, journal: PostgresJournal) -> None:
        self.journal = journal
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_error: object) -> None:
        self.wait(self.journal.aclose())
        self._loop.close()

    def wait(self, awaitable: Awaitable[_T]) -> _T:
        """Return the answer.

        Args:
            awaitable: of the journal.
        """
        return self._loop.run_until_complete(_awaited(awaitable))

    def own(self) -> None:
        """Take it for this process alone."""
        self.wait(self.journal.open())
        self.journal.own()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.journal, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            answer = found(*arguments, **named)
            return self.wait(answer) if inspect.isawaitable(answer) else answer

        return call


async def _awaited(awaitable: Awaitable[_T]) -> _T:
    return await awaitable


def failed_chains(path: Path | str) -> str:
    """Return the command that makes failed chains ready again.

    Args:
        path: of the journal.
    """
    return f"python -m webqq_tornado journal {shlex.quote(str(path))} retry"


def said_of(
    path: Path | str, found: Summary, *, was_complete: bool, is_exported: bool
) -> list[str]:
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
