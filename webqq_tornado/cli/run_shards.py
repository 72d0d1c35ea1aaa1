"""The part of the command `run` for --dask: shards on a cluster, shown as one flow."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ..engine.lifecycle import stop_signals
from ..engine.stream import HTTPStream
from ..journal.errors import JournalError
from ..journal.records import Summary
from ..shards.progress import ShardProgress
from ..shards.running import ShardError, ShardRun, import_distributed
from ..shards.view import ShardsView
from .console import Screen
from .flow_loader import make_flow

__all__ = ["made_in_worker", "run_in_shards"]

#: Seconds between two looks at the journal, for the page and for the file of results.
_LOOK = 1.0


def made_in_worker(
    positional: Sequence[Any],
    named: Mapping[str, Any],
    settings: Mapping[str, Any],
    kind: type[HTTPStream],
    journal: Any,
) -> HTTPStream:
    """Make a flow in another process.

    Args:
        positional: arguments of its constructor.
        named: likewise.
        settings: arguments of `HTTPStream` that override those.
        kind: its class.
        journal: its shard.
    """
    return make_flow(kind, positional, named, {**settings, "journal": journal})()


async def run_in_shards(
    kind: type[HTTPStream],
    make: Callable[[type[HTTPStream], Any], HTTPStream],
    journal: str | Path,
    dask: str,
    *,
    shards: int,
    screen: Screen,
    on_open: Callable[[object], Awaitable[None]],
    drain: Callable[[bool], Awaitable[None]],
    page: int | None,
    serve_page: Callable[[HTTPStream, Screen, int | None], Any],
) -> tuple[ShardRun, Summary, int]:
    """Run a flow in shards to its end, or to Ctrl-C.

    Args:
        kind: its class.
        make: see `made_in_worker`.
        journal: path, or URL.
        dask: address of a cluster, or local:N.
        shards: how many.
        screen: shows how far it is.
        on_open: is called with the journal when that is open.
        drain: writes results to a file; see `run.run_flow`.
        page: port of the dashboard, or None.
        serve_page: serves it.

    Returns:
        The run, how far the flow is, and the number of a signal, or 0.

    Raises:
        click.ClickException: it cannot run so.
        JournalError: the journal cannot be used.
    """
    stop = asyncio.Event()
    try:
        _hush_dask()
        run = ShardRun(kind, make, journal, dask, shards=shards)
        run.on_open = functools.partial(on_open, run.journal)
        view: HTTPStream = type(kind.__name__, (ShardsView,), {})(run)
        tending = asyncio.ensure_future(_tend(view, drain, stop))
        try:
            with ExitStack() as stack:
                stack.enter_context(serve_page(view, screen, page))
                numbers = stack.enter_context(stop_signals(stop.set))
                stack.enter_context(_progress(run, kind.__name__, screen))
                run.on_close = functools.partial(_last_drain, tending, drain)
                found = await run.run(stop)
        finally:
            tending.cancel()
            view.close()
    except (ShardError, TypeError) as error:
        raise click.ClickException(str(error)) from None
    return run, found, numbers[0] if numbers else 0


def _hush_dask() -> None:
    """Leave out warnings of Dask, of a worker that is gone say: we say what matters."""
    import_distributed()  # which sets up its logs when it is imported
    for name in tuple(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


async def _last_drain(
    tending: asyncio.Future[None], drain: Callable[[bool], Awaitable[None]]
) -> None:
    if tending.done():
        tending.result()  # the file could not be written
    await drain(True)


async def _tend(
    view: HTTPStream, drain: Callable[[bool], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Look at the journal now and then, and write its results to a file."""
    assert isinstance(view, ShardsView)  # noqa: S101 - it was made so
    loop = asyncio.get_running_loop()
    next_look = 0.0
    while True:
        await asyncio.sleep(_LOOK)
        if (began := loop.time()) >= next_look:
            await view.refresh()
            # Chains are counted: of millions not again and again.
            next_look = loop.time() + 10 * (loop.time() - began)
        try:
            await drain(False)
        except JournalError as error:
            if not error.is_passing:
                stop.set()
                raise
        except Exception:
            stop.set()
            raise


@contextmanager
def _progress(run: ShardRun, name: str, screen: Screen) -> Iterator[None]:
    """Show the numbers of all shards on a terminal."""
    with Progress(
        *(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()),
        console=screen.console,
        transient=True,
        disable=not screen.is_terminal,
        auto_refresh=False,
    ) as progress:
        task = progress.add_task(name, total=None)
        before = [0]

        def show(found: ShardProgress) -> None:
            rate, before[0] = found.responses - before[0], found.responses
            progress.update(task, description=described(name, found, rate))
            progress.refresh()

        run.on_progress = show
        yield


def described(name: str, found: ShardProgress, rate: int) -> str:
    """Return one line of progress.

    Args:
        name: of the flow.
        found: numbers of all shards.
        rate: responses in the last second.
    """
    return (
        f"{name}: {rate}/s; {found.running} of {found.shards} shards on {found.workers} workers; "
        f"{found.in_flight} in flight, {found.queued} queued, {found.delayed} delayed; "
        f"{found.responses} responses, {found.retries} retries"
    )
