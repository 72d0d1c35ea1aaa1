"""The command `run`, and how flows run on a terminal: progress, Ctrl-C, a summary."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

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
from ..flows.export import Export
from ..flows.flow import Flow
from ..flows.itemfile import ItemFile
from ..journal.records import Summary
from .console import Screen, show_logs
from .flow_loader import find_flow, given_arguments, make_flow
from .http_options import http_options, take_http_options
from .journal_options import (
    journal_errors,
    journal_of,
    journal_option,
    opened,
    said_of,
    summary_of,
)
from .live_numbers import LiveNumbers
from .param_types import TEXT
from .results import Results, output_options
from .running import run_coroutine
from .settings import options
from .stdio import has_reader, is_of_output

__all__ = ["Outcome", "run", "run_flow", "say_of_journal"]

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


@click.command()
@click.argument("flow", type=TEXT, metavar="FLOW")
@click.argument("words", type=TEXT, nargs=-1, metavar="[ARGUMENT]...")
@click.option(
    "-a",
    "--argument",
    "named",
    type=TEXT,
    multiple=True,
    metavar="NAME=VALUE",
    help="Named argument of the flow; may be given more than once.",
)
@click.option(
    "--fields",
    type=TEXT,
    default="",
    metavar="NAME,...",
    help="Columns of the items' file, in order; by default those of the first item.",
)
@click.option(
    "--dashboard", is_flag=True, help="Show what the flow does on a page, at the address printed."
)
@click.option(
    "--dashboard-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of that page, on this machine alone; by default a free one.",
)
@journal_option
@click.option(
    "--dask",
    type=TEXT,
    metavar="ADDRESS",
    help="Run it in shards on a Dask cluster (tcp://host:8786), or on local:N processes.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 10_000),
    default=64,
    metavar="N",
    help="Shards of a new journal with --dask; by default 64.",
)
@http_options()
@output_options
@options("verbose")
def run(
    flow: str, words: tuple[str, ...], named: tuple[str, ...], fields: str, **choices: Any
) -> None:
    """Run a flow of your own: a subclass of HTTPStream.

    FLOW is FILE.py:CLASS or PACKAGE.MODULE:CLASS. ARGUMENTs go to its constructor in order, or by
    name as NAME=VALUE, and become numbers, paths and so on by its annotations and defaults. What
    the options below say counts more than what the flow says itself.

    What the flow emits goes to --output, if that ends with .csv, .jsonl, .parquet or .sqlite; the
    file has .part behind its name until the flow has ended well. Without it each item is a line of
    JSON on standard output.

    With --journal the flow may be killed at any moment, and the same command goes on: what it emits
    is in the journal, or once in the file of --output (.parquet is a folder then). See the command
    journal.

    With --dask the journal's shards run on the workers of a Dask cluster, which have to be able to
    import the flow. The journal is in a database then, or with local:N also in a file.

    The exit code is 1 if a chain has failed, and 3 if the journal cannot be written. Keys of
    --json: event ("end"), flow, done, failed, cancelled (chains), requests, responses, retries,
    received (bytes), seconds, error (the first one, or null), signal (0 if none); with a journal
    results, ready, delayed.

    \b
    Examples:
      python -m webqq_tornado run poll.py:Poll
      python -m webqq_tornado run crawl.py:Crawl --journal crawl.db -o items.jsonl
      python -m webqq_tornado run crawl.py:Crawl --journal crawl.db --dask local:4
      python -m webqq_tornado run poll.py:Poll http://127.0.0.1:8100/ interval=0.5
      python -m webqq_tornado run shop.flows:Prices -a day=5 --bearer-file token
      python -m webqq_tornado run shop.flows:Prices -o all.csv --fields name,price
      python -m webqq_tornado run shop.flows:Prices --cache shop.cache
    """  # noqa: D301 - click reads the backspace
    http, verbose = take_http_options(choices), choices.pop("verbose")
    page = _port_of_page(choices.pop("dashboard"), choices.pop("dashboard_port"))
    screen = Screen()
    show_logs(screen if screen.is_terminal else Screen(is_error=True), verbose)
    kind = find_flow(flow)
    positional, by_name = given_arguments(kind, words, named)
    path, journal = choices.pop("output"), choices.pop("journal")
    dask, shards = choices.pop("dask"), choices.pop("shards")
    if dask is not None and journal is None:
        raise click.UsageError("--dask goes with --journal, in which its shards are")
    has_items = _takes_items(path, fields, is_json=choices["is_json"])
    with journal_errors(), Results(screen, None if has_items else path, **choices) as results:
        settings = http.stream_arguments()
        items = _Items(path if has_items else None, fields, results)
        if dask is not None:
            from .run_shards import made_in_worker  # noqa: PLC0415 - few runs need it

            make = functools.partial(made_in_worker, positional, by_name, settings)
            raise SystemExit(
                run_coroutine(
                    _run_shards(
                        kind,
                        make,
                        journal=journal,
                        dask=dask,
                        shards=shards,
                        screen=screen,
                        items=items,
                        page=page,
                        results=results,
                    )
                )
            )
        if journal is not None:
            settings["journal"] = journal = journal_of(journal)
        begin = items.taking(make_flow(kind, positional, by_name, settings))

        async def whole() -> Outcome:
            async with opened(journal, kind):
                await items.open(journal)
                return await run_flow(
                    begin, screen, watches_output=path is None, page=page, drain=items.drain
                )

        outcome = run_coroutine(whole())
        items.close(is_whole=outcome.exit_code == 0)
        _sum_up(results, kind.__name__, outcome)
        if http.cache is not None:
            results.say(f"cache: {http.cache.summary()}")
        say_of_journal(results, outcome, is_exported=items.is_export)
    raise SystemExit(outcome.exit_code)


async def _run_shards(
    kind: type[HTTPStream],
    make: Any,
    *,
    journal: str | Path,
    dask: str,
    shards: int,
    screen: Screen,
    items: _Items,
    page: int | None,
    results: Results,
) -> int:
    """Run a flow in shards, say what has come of it, and return the exit code."""
    from .run_shards import run_in_shards  # noqa: PLC0415 - few runs need it

    try:
        ran, found, number = await run_in_shards(
            kind,
            make,
            journal,
            dask,
            shards=shards,
            screen=screen,
            on_open=items.open,
            drain=items.drain,
            page=page,
            serve_page=_dashboard,
        )
    finally:
        items.close(is_whole=True)
    seen = ran.progress
    results.say(
        f"{kind.__name__}: {found.done} chains done, {found.failed} failed, {found.cancelled} "
        f"cancelled; {seen.responses} responses, {seen.received} bytes"
    )
    results.record(
        {
            "event": "end",
            "flow": kind.__name__,
            **{key: getattr(found, key) for key in ("done", "failed", "cancelled")},
            **{key: getattr(seen, key) for key in _COUNTS[3:]},
            "signal": number,
            **{name: getattr(found, name) for name in _KEPT},
        }
    )
    was_complete = not seen.requests and found.finished is not None
    lines = said_of(ran.journal.path, found, was_complete=was_complete, is_exported=items.is_export)
    for line in lines:
        results.say(line)
    return 128 + number if number else int(bool(found.failed))


def _names_of(fields: str) -> list[str]:
    return [name.strip() for name in fields.split(",") if name.strip()]


def _takes_items(path: Path | None, fields: str, *, is_json: bool) -> bool:
    """Return whether --output is for what the flow emits, and not for its messages."""
    takes = path is not None and ItemFile.accepts(path)
    if _names_of(fields) and not takes:
        raise click.UsageError("--fields goes with --output FILE.csv (.jsonl, .parquet ...)")
    if path is not None and not takes and not is_json and path.suffix.lower() in _NO_FORMATS:
        raise click.UsageError(
            f"--output {path}: items go to .jsonl, .csv, .parquet or .sqlite; what the run says in "
            "words goes to any other name, such as run.log"
        )
    return takes


#: Suffixes of files in which a table, and no text, would be looked for.
_NO_FORMATS = frozenset({".json", ".xml", ".xls", ".xlsx", ".tsv", ".yaml", ".yml", ".gz", ".zip"})


class _Items:
    """Where what the flow emits goes: to a file, to standard output, or from a journal to a file.

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
        self._turn = asyncio.Lock()
        self.is_export = False

    def taking(self, make: Callable[[], HTTPStream]) -> Callable[[], HTTPStream]:
        """Return what makes the flow, and takes what it emits."""

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
            async with self._turn:
                await self._export.drained(is_last=is_last)
        except (TypeError, ValueError) as error:
            raise click.ClickException(f"{error}; the results are safe in the journal") from None

    def close(self, *, is_whole: bool) -> None:
        """Close the file, and say what is in it."""
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


def _sum_up(results: Results, name: str, outcome: Outcome) -> None:
    flow, stats, error = outcome.flow, outcome.stats, outcome.flow.first_error
    text = flow.summary() if isinstance(flow, Flow) else ""
    if text:
        results.say(text)
    results.say(summary(name, stats))
    results.record(
        {
            "event": "end",
            "flow": name,
            **{key: getattr(stats, key) for key in _COUNTS},
            "seconds": round(stats.elapsed, 3),
            "error": None if error is None else f"{type(error).__name__}: {error}",
            "signal": outcome.number,
            **_kept_counts(outcome),
            **(flow.figures() if isinstance(flow, Flow) else {}),
        }
    )


def _kept_counts(outcome: Outcome) -> dict[str, object]:
    kept = outcome.kept
    return {} if kept is None else {name: getattr(kept, name) for name in _KEPT}


_KEPT = ("results", "ready", "delayed")
_COUNTS = ("done", "failed", "cancelled", "requests", "responses", "retries", "received")


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
            stack.enter_context(_dashboard(flow, screen, page))
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


def _port_of_page(is_asked: bool, port: int | None) -> int | None:
    return 0 if is_asked and port is None else port


@contextmanager
def _dashboard(flow: HTTPStream, screen: Screen, port: int | None) -> Iterator[None]:
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


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


def summary(name: str, stats: Stats) -> str:
    """One line at the end."""
    rate = stats.responses / stats.elapsed if stats.elapsed else 0.0
    return (
        f"{name}: {stats.done} chains done, {stats.failed} failed, {stats.cancelled} cancelled; "
        f"{stats.responses} responses, {stats.received} bytes in {stats.elapsed:.2f} s "
        f"({rate:.0f}/s)"
    )
