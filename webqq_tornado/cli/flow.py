"""`run package.module:Flow`: run an `HTTPStream` subclass, with progress and a summary."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Callable

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

from ..engine.chain import Chain
from ..engine.stats import Stats
from ..engine.stream import HTTPStream
from ..flows.ready import ReadyFlow
from .console import Screen

__all__ = ["find_flow", "run_flow"]

#: Seconds between two looks at the progress.
_LOOK = 0.2


def find_flow(spec: str) -> type[HTTPStream]:
    """The class that package.module:Name names; the working directory is searched first.

    Raises:
        click.ClickException: there is none such, or it is no flow.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise click.ClickException(f"{spec!r} is not of the form package.module:Flow")
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        # Whatever a module can raise, in one line; a missing one names itself.
        raise click.ClickException(
            f"{module_name} can not be imported: {type(error).__name__}: {error}"
        ) from None
    flow = getattr(module, name, None)
    if not isinstance(flow, type) or not issubclass(flow, HTTPStream):
        what = "has no such name" if flow is None else "is not a subclass of HTTPStream"
        raise click.ClickException(f"{spec}: {what}")
    return flow


async def run_flow(make: Callable[[], HTTPStream], screen: Screen) -> Stats:
    """Run a flow to its end, or to Ctrl-C.

    Args:
        make: makes it, on the loop.
        screen: shows how far it is.

    Returns:
        What it did.
    """
    flow = make()
    name = type(flow).__name__
    root = flow.launch()
    flow_ended = asyncio.ensure_future(_until_ended(flow, root))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, flow_ended.cancel)
    with Progress(
        *_columns(flow), console=screen.console, transient=True, disable=not screen.is_terminal,
        auto_refresh=False,
    ) as progress:  # fmt: skip
        task = progress.add_task(name, total=getattr(flow, "total", None))

        def look() -> None:
            if isinstance(flow, ReadyFlow):
                progress.update(
                    task, completed=flow.done, total=flow.total, description=flow.describe()
                )
            else:
                progress.update(task, description=describe(name, flow.stats()))
            progress.refresh()

        ticks = PeriodicCallback(look, _LOOK * 1000)
        ticks.start()
        try:
            await flow_ended
        except asyncio.CancelledError:
            screen.say("Interrupted.", style="yellow")
        finally:
            ticks.stop()
            stats = flow.stats()
            flow.close()
    return stats


def _columns(flow: HTTPStream) -> tuple[ProgressColumn, ...]:
    what = (SpinnerColumn(), TextColumn("{task.description}"))
    if not isinstance(flow, ReadyFlow):
        return (*what, TimeElapsedColumn())
    return (*what, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


async def _until_ended(flow: HTTPStream, root: Chain) -> None:
    await flow.drain()
    if root.error is not None and flow.stats().requests == 0:
        raise click.ClickException(f"begin() failed: {type(root.error).__name__}: {root.error}")


def describe(name: str, stats: Stats) -> str:
    """One line of progress."""
    return (
        f"{name}: {stats.responses} responses, {stats.in_flight} in flight, "
        f"{stats.delayed} delayed, {stats.failed} failed"
    )


def summary(name: str, stats: Stats) -> str:
    """One line at the end."""
    rate = stats.responses / stats.elapsed if stats.elapsed else 0.0
    return (
        f"{name}: {stats.done} chains done, {stats.failed} failed, {stats.cancelled} cancelled; "
        f"{stats.responses} responses, {stats.received} bytes in {stats.elapsed:.2f} s "
        f"({rate:.0f}/s)"
    )
