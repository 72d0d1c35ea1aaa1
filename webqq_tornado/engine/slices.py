"""Running one shard of a flow for a while, and leaving it so that another process goes on.

A slice ends by its time, when asked to, or when there is nothing to do. What is in flight then
ends, and what that leads to is committed; links wait in the journal for the next slice.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from .chain import Chain
from .eventloop import within
from .kept_shards import ShardKeeper
from .lifecycle import finish
from .reports import place_of
from .stats import Stats
from .stream import HTTPStream

__all__ = ["Interrupted", "Slice", "run_slice"]

#: Seconds between two looks at how it goes, and between two reports.
_LOOK, _REPORT = 0.1, 1.0
#: Seconds that requests in flight have at the end of a slice; a long poll is sent again.
_GRACE = 15.0
#: Seconds: for a link that is sent sooner a slice goes on.
_SOON = 2.0


class Slice(NamedTuple):
    """The outcome of a slice.

    Args:
        stats: of it.
        is_idle: there was nothing to do, until `next_due` if that is a time.
        next_due: Unix time at which the first link is to be sent; None: none is.
        has_begun: `begin` has no more links.
    """

    stats: Stats
    is_idle: bool
    next_due: float | None
    has_begun: bool


class Interrupted(Exception):
    """A reader wants the program to end: it has called `sys.exit`, say.

    Args:
        cause: SystemExit, KeyboardInterrupt, or the like.
        where: the reader and its link, for people.
    """

    def __init__(self, cause: BaseException, where: str) -> None:
        super().__init__(f"{where}{cause!r}")
        self.cause = cause
        self.where = where


async def run_slice(
    stream: HTTPStream,
    seconds: float,
    stop: asyncio.Event,
    on_report: Callable[[Stats], object],
) -> Slice:
    """Run a stream whose journal is one shard, and leave it closed.

    Args:
        stream: just made.
        seconds: that it has.
        stop: set, it ends before.
        on_report: gets its numbers every second.

    Raises:
        JournalError: the journal cannot be used.
        Interrupted: a reader wants the program to end.
    """
    keeper = stream._journal
    assert isinstance(keeper, ShardKeeper)  # noqa: S101 - the caller has made it so
    interrupts: list[Interrupted] = []

    def on_interrupt(chain: Chain, error: BaseException) -> None:
        interrupts.append(Interrupted(error, place_of(chain, error)))
        stop.set()

    # The loop is the worker's, with other shards on it: the error would end them all.
    stream._runner.on_interrupt = on_interrupt
    try:
        # All shards have one `begin`.
        if keeper.shard == 0:
            stream.launch()
        else:
            keeper.resume()
        next_due = await _work(stream, keeper, seconds, stop, on_report)
        if not interrupts:
            await _rest(stream, keeper)
        if interrupts:
            await keeper.flushed()
            raise interrupts[0]
        if keeper.error is not None:
            raise keeper.error
        is_idle = next_due != _BUSY
        due = next_due if is_idle else None
        return Slice(stream.stats(), is_idle, due, keeper.has_begun)
    finally:
        stream.close()
        await keeper.released()


#: In the place of a time: there is something to do.
_BUSY = -1.0


async def _work(
    stream: HTTPStream,
    keeper: ShardKeeper,
    seconds: float,
    stop: asyncio.Event,
    on_report: Callable[[Stats], object],
) -> float | None:
    """Return when there is nothing to do, with the time until which; or `_BUSY`."""
    loop = asyncio.get_running_loop()
    end, report_at = loop.time() + seconds, loop.time() + _REPORT
    idle = 0
    while not stop.is_set() and loop.time() < end and keeper.error is None:
        with contextlib.suppress(asyncio.TimeoutError):
            await within(stop.wait(), _LOOK)
        if loop.time() >= report_at:
            report_at = loop.time() + _REPORT
            on_report(stream.stats())
        # Twice: what has just arrived may be between two of its places.
        idle = idle + 1 if _is_idle(stream, keeper) else 0
        if idle > 1:
            due = await keeper.next_due()
            if due is None or due > time.time() + _SOON:
                return due
            idle = 0
    return _BUSY


def _is_idle(stream: HTTPStream, keeper: ShardKeeper) -> bool:
    stats = stream.stats()
    return (
        keeper.is_quiet
        and keeper.has_begun
        and not keeper.is_busy
        and not stats.in_flight
        and stats.chains == stats.delayed
    )


async def _rest(stream: HTTPStream, keeper: ShardKeeper) -> None:
    """Have what is under way end, and in the journal; nothing more is sent but what is awaited."""
    runner = stream._runner
    loop = asyncio.get_running_loop()
    end = loop.time() + _GRACE
    await finish(runner, _GRACE)
    while runner.in_flight and loop.time() < end and keeper.error is None:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK / 4)
    await finish(runner, _GRACE)
    await keeper.flushed()
