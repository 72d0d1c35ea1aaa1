"""Slices on a worker of Dask: a task that runs a shard for a while, on the worker's own loop."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import NamedTuple

from distributed import get_worker

from ..engine.slices import Interrupted, run_slice
from ..engine.stats import Stats
from ..journal.errors import JournalError
from .plan import Plan

__all__ = ["Ending", "Report", "check_worker", "run_shard", "stop_shards"]

logger = logging.getLogger("webqq_tornado.shards")

#: By run: what ends its slices here.
_stops: dict[str, list[asyncio.Event]] = {}
#: Runs that were stopped: of these nothing more begins.
_stopped: set[str] = set()


class Ending(NamedTuple):
    """The wish of a reader that the program end.

    Args:
        kind: SystemExit, or another class that is no Exception.
        code: of a SystemExit.
        where: the reader and its link, for people.
    """

    kind: str
    code: int | str | None
    where: str

    @classmethod
    def of(cls, cause: BaseException, where: str) -> Ending:
        """Return what is to be said of an error, by values that other processes can read.

        Args:
            cause: the error.
            where: as above.
        """
        code = cause.code if isinstance(cause, SystemExit) else None
        plain = code if code is None or isinstance(code, (int, str)) else str(code)
        return cls(type(cause).__name__, plain, where)


class Report(NamedTuple):
    """How a slice has ended.

    Args:
        shard: of which.
        is_idle: there was nothing to do.
        next_due: Unix time until then; None: until others find links for it.
        has_begun: of shard 0: `begin` has no more links.
        stats: numbers; None if it was not begun.
        error: why the journal could not be used; None if it could.
        is_passing: of the error: the next slice may do better.
        ending: a reader wants the program to end.
    """

    shard: int
    is_idle: bool = False
    next_due: float | None = None
    has_begun: bool = False
    stats: dict[str, float] | None = None
    error: str | None = None
    is_passing: bool = False
    ending: Ending | None = None


def check_worker(plan: Plan) -> str | None:
    """Say why this worker cannot run the plan; None if it can.

    Args:
        plan: of the run.
    """
    return plan.problem()


def stop_shards(run: str, *, for_good: bool = True) -> None:
    """End the slices of a run on this worker.

    Args:
        run: its mark.
        for_good: no more of them are to begin.
    """
    if for_good:
        _stopped.add(run)
    for event in _stops.get(run, ()):
        event.set()


async def run_shard(plan: Plan, shard: int) -> Report:
    """Run a slice of a shard.

    Args:
        plan: of the run.
        shard: its number.
    """
    stop = asyncio.Event()
    _stops.setdefault(plan.run, []).append(stop)
    if plan.run in _stopped:
        stop.set()
    try:
        return await _run(plan, shard, stop)
    except JournalError as error:
        return Report(shard, error=str(error), is_passing=error.is_passing)
    # Out of the flow's constructor. Raised here it would end the worker, and all of its shards.
    except (SystemExit, KeyboardInterrupt) as error:
        return Report(shard, ending=Ending.of(error, f"{plan.flow.name}(): "))
    finally:
        _stops[plan.run].remove(stop)


async def _run(plan: Plan, shard: int, stop: asyncio.Event) -> Report:
    problem = plan.problem()  # a worker may have come after all were checked
    if problem is not None:
        raise JournalError(f"worker {get_worker().address}: {problem}")
    store = plan.store()
    opening = asyncio.ensure_future(
        store.open(
            plan.kind,
            shard=shard,
            shards=plan.shards,
            patience=math.inf,
            ends_silent=plan.silent,
        )
    )
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not opening.done():
            opening.cancel()
    if opening.cancelled() or not opening.done():
        return Report(shard)
    opening.result()
    try:
        stream = plan.make(plan.flow.load(), store)
    except BaseException:
        await store.aclose()
        raise
    try:
        found = await run_slice(stream, plan.seconds, stop, _reporter(plan, shard))
    except JournalError as error:
        numbers = _numbers(stream.stats())
        return Report(shard, stats=numbers, error=str(error), is_passing=error.is_passing)
    except Interrupted as error:
        ending = Ending.of(error.cause, error.where)
        return Report(shard, stats=_numbers(stream.stats()), ending=ending)
    return Report(
        shard,
        found.is_idle,
        found.next_due,
        found.has_begun,
        _numbers(found.stats),
    )


def _reporter(plan: Plan, shard: int) -> Callable[[Stats], None]:
    worker = get_worker()

    def report(stats: Stats) -> None:
        worker.log_event(plan.topic, {"shard": shard, **_numbers(stats)})

    return report


def _numbers(stats: Stats) -> dict[str, float]:
    return {name: getattr(stats, name) for name in _SHOWN}


_SHOWN = (
    "requests",
    "responses",
    "errors",
    "retries",
    "received",
    "in_flight",
    "queued",
    "delayed",
)
