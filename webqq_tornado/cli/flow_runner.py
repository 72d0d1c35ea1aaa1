"""Flows on a terminal: progress, Ctrl-C, the end of the output, the state of a journal."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NamedTuple

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from tornado.ioloop import PeriodicCallback

from ..engine.stats import Stats
from ..engine.stream import HTTPStream
from ..flows.flow import Flow
from ..journal.records import Summary
from .console import Screen
from .journal_options import (
    said_of,
    summary_of,
)
from .live_numbers import LiveNumbers
from .results import Results
from .stdio import has_reader, is_of_output

__all__ = ["Outcome", "dashboard_of", "run_flow", "say_of_journal"]

#: Seconds between two checks of the progress, and of the output's reader.
_LOOK = 0.2
#: Seconds between two moments in which results of a journal are written to a file.
_DRAIN = 0.5


class Outcome(NamedTuple):
    """The result of running a flow.

    Args:
        flow: closed.
        stats: of the flow.
        number: of the signal that ended it; 0 if none did.
        kept: state of its journal; None without one.
    """

    flow: HTTPStream
    stats: Stats
    number: int
    kept: Summary | None = None

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        if self.number:
            return 128 + self.number
        if self.kept is not None and self.kept.failed:
            return 1
        return 0 if self.flow.first_error is None else 1


async def run_flow(
    make: Callable[[], HTTPStream],
    screen: Screen,
    *,
    watches_output: bool = True,
    page: int | None = None,
    drain: Callable[[bool], Awaitable[None]] | None = None,
) -> Outcome:
    """Run a flow to its end, or to Ctrl-C.

    Args:
        make: makes it, on the loop.
        screen: shows how far it is.
        watches_output: it ends when nobody reads standard output any more, as `tail -f` does.
        page: port of its dashboard, 0 for a free one; None: it has none.
        drain: writes results of its journal to a file; is called now and then, with False, and in
            the end with True.

    Raises:
        OSError: the output cannot be written any more.
        JournalError: the journal cannot be written.
    """
    flow = make()
    try:
        ending = asyncio.ensure_future(_whole(flow))
        with ExitStack() as stack:
            stack.enter_context(dashboard_of(flow, screen, page))
            failures = stack.enter_context(_draining(ending, drain))
            numbers = stack.enter_context(_interrupts(ending))
            errors = stack.enter_context(_ends_with_output(ending, is_watched=watches_output))
            stack.enter_context(_progress(flow, screen))
            await asyncio.wait([ending])
        for error in (*failures, *errors):
            raise error
        if not ending.cancelled():
            ending.result()
        if drain is not None:
            await drain(True)
    finally:
        flow.close()  # before the count: it cancels running chains
    kept = await summary_of(flow)
    if numbers:
        where = screen if screen.is_terminal else Screen(is_error=True)
        where.say("Interrupted.", style="yellow")
    return Outcome(flow, flow.stats(), numbers[0] if numbers else 0, kept)


def say_of_journal(results: Results, outcome: Outcome, *, is_exported: bool = False) -> None:
    """Say how far the flow's journal is.

    Args:
        results: says it.
        outcome: of the flow.
        is_exported: results have gone to a file.
    """
    journal, found = outcome.flow.journal, outcome.kept
    if journal is None or found is None:
        return
    was_complete = not outcome.stats.requests and found.finished is not None
    for line in said_of(journal.path, found, was_complete=was_complete, is_exported=is_exported):
        results.say(line)


@contextmanager
def dashboard_of(flow: HTTPStream, screen: Screen, port: int | None) -> Iterator[None]:
    """Serve the flow's dashboard, if wanted, and show its address."""
    if port is None:
        yield
        return
    from ..dashboard import serve  # noqa: PLC0415 - a web server, which few runs need

    with ExitStack() as stack:
        try:
            url = stack.enter_context(serve(flow, port))
        except OSError as error:
            raise click.ClickException(
                f"the dashboard cannot listen on 127.0.0.1 port {port}: {error.strerror}; "
                "give --dashboard-port another one, or none for a free one"
            ) from None
        where = screen if screen.is_terminal else Screen(is_error=True)
        where.say(f"Dashboard: {url}")
        yield


async def _whole(flow: HTTPStream) -> None:
    flow.launch()
    await flow.drain()


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def _interrupts(ending: asyncio.Future[None]) -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM end the flow; the second one ends a blocking reader.

    The loop's own signal handlers would wait for such a reader.
    """
    numbers: list[int] = []
    loop = asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if numbers:
            raise KeyboardInterrupt
        numbers.append(number)
        loop.call_soon_threadsafe(ending.cancel)

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ends_with_output(ending: asyncio.Future[None], *, is_watched: bool) -> Iterator[list[OSError]]:
    """End the flow when the output cannot be written, instead of logging each reader's error."""
    errors: list[OSError] = []

    def end(error: OSError) -> None:
        errors.append(error)
        ending.cancel()

    def look() -> None:
        if not has_reader(sys.stdout):
            end(BrokenPipeError(errno.EPIPE, "nobody reads the output"))

    def is_logged(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or not is_of_output(error):
            return not errors
        end(error)
        return False

    logger = logging.getLogger("webqq_tornado.engine")
    logger.addFilter(is_logged)
    looks = PeriodicCallback(look, _LOOK * 1000)
    if is_watched:
        looks.start()
    try:
        yield errors
    finally:
        looks.stop()
        logger.removeFilter(is_logged)


@contextmanager
def _draining(
    ending: asyncio.Future[None], drain: Callable[[bool], Awaitable[None]] | None
) -> Iterator[list[Exception]]:
    """Write results of the journal to a file now and then; the flow ends when that fails."""
    errors: list[Exception] = []

    async def look() -> None:
        try:
            if drain is not None and not errors:
                await drain(False)
        except Exception as error:
            errors.append(error)
            ending.cancel()

    looks = PeriodicCallback(look, _DRAIN * 1000)
    if drain is not None:
        looks.start()
    try:
        yield errors
    finally:
        looks.stop()


@contextmanager
def _progress(flow: HTTPStream, screen: Screen) -> Iterator[None]:
    """Show the progress periodically on a terminal."""
    with Progress(
        *_columns(flow), console=screen.console, transient=True, disable=not screen.is_terminal,
        auto_refresh=False,
    ) as progress:  # fmt: skip
        is_plain = screen.is_terminal and not isinstance(flow, Flow)
        numbers = LiveNumbers(flow) if is_plain else None
        task = progress.add_task(type(flow).__name__, total=getattr(flow, "total", None))

        def look() -> None:
            if isinstance(flow, Flow):
                progress.update(
                    task, completed=flow.done, total=flow.total, description=flow.describe()
                )
            elif numbers is not None:
                progress.update(task, description=numbers.line())
            progress.refresh()

        ticks = PeriodicCallback(look, _LOOK * 1000)
        ticks.start()
        try:
            yield
        finally:
            ticks.stop()
            if numbers is not None:
                numbers.close()


def _columns(flow: HTTPStream) -> tuple[ProgressColumn, ...]:
    what = (SpinnerColumn(), TextColumn("{task.description}"))
    if not isinstance(flow, Flow):
        return (*what, TimeElapsedColumn())
    return (*what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
