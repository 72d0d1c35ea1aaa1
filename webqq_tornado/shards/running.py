"""Running a flow in shards on a Dask cluster: the part at the client.

Each shard has a task at a time: a slice, which is submitted again when it has ended. Where there is
nothing to do for a shard it sleeps here, on no worker's slot. Nothing of the flow is kept here: a
client that is killed, and one that takes its place, find all of it in the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine.eventloop import within
from ..engine.kept_readers import kind_of
from ..engine.stream import HTTPStream
from ..journal.errors import JournalError
from ..journal.location import is_postgres, refuse_other_urls
from ..journal.records import Summary
from .plan import FlowName, Plan
from .progress import Merged, ShardProgress

if TYPE_CHECKING:
    from .slices import Ending, Report

__all__ = ["ShardError", "ShardRun", "import_distributed", "run_shards"]

logger = logging.getLogger("webqq_tornado.shards")

#: Seconds between two looks whether sleeping shards have work.
_LOOK = 0.5
#: Seconds before a shard is tried again whose journal, or whose cluster, was gone.
_PAUSE, _LONG_PAUSE = 1.0, 30.0
#: Seconds in which a cluster has to answer at the start.
_CONNECT = 30.0
#: Seconds that slices have to end when asked to, and to report it.
_END = 60.0
#: Seconds that a local worker may be away before another one is started.
_AWAY = 15.0
#: Times that Dask may report a shard's workers dead, with no commit in between, before it is given
#: up; of all but the first it was the only one so suspected, for so many seconds at least.
_DEATHS, _ALONE = 3, 10.0


class ShardError(Exception):
    """A flow cannot run in shards, or some of them were given up; the message says why.

    Example:
        >>> print(ShardError("local:0: give a number of processes, as in local:4"))
        local:0: give a number of processes, as in local:4
    """


async def run_shards(
    flow: type[HTTPStream],
    *arguments: Any,
    journal: str | os.PathLike[str],
    dask: str,
    shards: int = 64,
    sync: str = "full",
    on_progress: Callable[[ShardProgress], object] | None = None,
    stop: asyncio.Event | None = None,
    **named: Any,
) -> Summary:
    """Run a flow in shards on a Dask cluster, from where it is to its end.

    Needs the extra `dask`, and `postgres` on a cluster of several machines. Workers have to be able
    to import the flow's module.

    Args:
        flow: its class.
        arguments: of the constructor, in order; they go to other processes, so plain values.
        journal: URL of a PostgreSQL database that all workers reach; with `local:N` also a file.
        dask: address of a scheduler, such as `tcp://127.0.0.1:8786`, whose workers have threads
            enough for the shards (`dask worker --nthreads 32`); or `local:N` for N processes here.
        shards: how many; stays as it was when the journal was made.
        sync: as of `Journal`.
        on_progress: gets the numbers of all shards every second.
        stop: set, it ends: what is in flight is read, and goes on in the next run.
        named: further arguments of the constructor.

    Returns:
        How far the flow is.

    Raises:
        ShardError: there is no such cluster, its workers cannot run the flow, or shards were given
            up.
        JournalError: the journal cannot be used, or another run is on it.
        SystemExit: a reader has called `sys.exit`; the log says which.

    Example:
        >>> asyncio.run(run_shards(Crawl, journal="crawl.db", dask="local:4"))
    """
    make = functools.partial(_made, arguments, named)
    run = ShardRun(flow, make, journal, dask, shards=shards, sync=sync)
    run.on_progress = on_progress
    return await run.run(stop)


def _made(
    arguments: Sequence[Any], named: Mapping[str, Any], kind: type[HTTPStream], journal: Any
) -> HTTPStream:
    return kind(*arguments, journal=journal, **named)


class ShardRun:
    """One run of a flow in shards.

    Args:
        flow: its class.
        make: makes the flow of its class and a journal, in another process.
        journal: URL or path.
        dask: address, or local:N.
        shards: how many.
        sync: as of `Journal`.

    Attributes:
        journal: of the flow, open while it runs.
        on_progress: gets the numbers of all shards every second.
        on_open: is awaited when the journal is open, and before the first slice.
        on_close: is awaited behind the last one, and before the journal is closed.

    Raises:
        ShardError: an argument is out of range.
    """

    #: Seconds of a slice; and after which a silent owner is cut off.
    seconds = 60.0
    silent = 60.0

    def __init__(
        self,
        flow: type[HTTPStream],
        make: Callable[[type[HTTPStream], Any], HTTPStream],
        journal: str | os.PathLike[str],
        dask: str,
        *,
        shards: int,
        sync: str = "full",
    ) -> None:
        if not 1 <= shards <= 10_000:
            raise ShardError(f"shards are 1 to 10,000, not {shards}")
        self._asks_again = flow._begins_by_keys
        self._workers = _local_workers(dask)
        self._address = dask
        if self._workers is None and not is_postgres(journal):
            raise ShardError(
                f"{os.fspath(journal)}: the machines of a cluster share no file: give "
                "--journal postgresql://..., or --dask local:N for processes of this machine"
            )
        if not is_postgres(journal):
            refuse_other_urls(journal)
        place = str(journal) if is_postgres(journal) else os.path.abspath(journal)
        self._plan = Plan(
            FlowName.of(flow),
            make,
            kind_of(flow),
            place,
            sync,
            shards,
            uuid.uuid4().hex,
            self.seconds,
            self.silent,
        )
        self._merged = Merged(shards)
        self.on_progress: Callable[[ShardProgress], object] | None = None
        self.on_open: Callable[[], Any] | None = None
        self.on_close: Callable[[], Any] | None = None
        self.journal: Any = self._plan.store()
        self._cluster: Any = None
        self._client: Any = None
        self._connecting = asyncio.Lock()
        self._over = asyncio.Event()
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._stopping = False
        self._background: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None
        self._asleep: dict[int, tuple[asyncio.Event, float]] = {}
        self._given_up: dict[int, str] = {}
        #: By shard: how much it had done when its workers died last, and how often that was so.
        self._deaths: dict[int, tuple[int, int]] = {}
        self._suspect = asyncio.Lock()
        self._has_begun = False

    @property
    def progress(self) -> ShardProgress:
        """Numbers of all shards together."""
        return self._merged.progress()

    def state_of(self, shard: int) -> tuple[str, str, int]:
        """Return what a shard does, at which worker, and how many requests it has in flight.

        Args:
            shard: its number.
        """
        now = self._merged.now(shard)
        if now is not None:
            return "running", str(now.get("worker", "")), int(now.get("in_flight", 0))
        if shard in self._given_up:
            return "given up", "", 0
        if self.is_paused:
            return "paused", "", 0
        return "idle" if shard in self._asleep else "starting", "", 0

    async def run(self, stop: asyncio.Event | None = None) -> Summary:
        """Run it to its end.

        Args:
            stop: set, it ends before.

        Returns:
            How far the flow is.

        Raises:
            ShardError: as of `run_shards`.
            JournalError: likewise.
            SystemExit: likewise.
        """
        import_distributed()  # said before anything is opened
        await self.journal.lead(self._plan.kind, self._plan.shards)
        try:
            if self.on_open is not None:
                await self.on_open()
            if not await self._is_complete():
                await self._connect()
                await self._check_workers()
                await self._run_all(stop)
            if self.on_close is not None:
                await self.on_close()
            return await self._summary()
        finally:
            await self._disconnect()
            await self.journal.aclose()

    async def _is_complete(self) -> bool:
        """Nothing is left to do, for which no cluster is needed."""
        return not self._asks_again and (await self.journal.summary()).finished is not None

    async def _summary(self) -> Summary:
        if self._failure is not None:
            raise self._failure
        if self._given_up:
            raise ShardError("; ".join(self._given_up.values()))
        found: Summary = await self.journal.summary()
        return found

    async def _run_all(self, stop: asyncio.Event | None) -> None:
        shards = [asyncio.ensure_future(self._keep(shard)) for shard in range(self._plan.shards)]
        others = [asyncio.ensure_future(each) for each in (self._watch(), self._show())]
        if stop is not None:
            others.append(asyncio.ensure_future(self._stop_when(stop)))
        try:
            await asyncio.gather(*shards)
        except BaseException:
            for each in shards:
                each.cancel()
            await self._stop_slices()
            raise
        finally:
            for each in others:
                each.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    # -- the cluster ----------------------------------------------------------------------------

    async def _connect(self) -> None:
        distributed = import_distributed()
        if self._workers is not None and self._cluster is None:
            await self._start_workers(distributed, self._workers)
        where = self._address if self._cluster is None else self._cluster
        try:
            self._client = await distributed.Client(where, asynchronous=True, timeout=_CONNECT)
        except (OSError, ValueError, asyncio.TimeoutError) as error:
            raise ShardError(
                f"{self._address}: there is no Dask scheduler ({error or type(error).__name__}): "
                "start `dask scheduler` and `dask worker`, or give local:N"
            ) from error
        subscribed = self._client.subscribe_topic(self._plan.topic, self._on_event)
        if hasattr(subscribed, "__await__"):
            await subscribed

    async def _start_workers(self, distributed: Any, count: int) -> None:
        """Start processes of this machine, each of which imports the program's main module.

        Raises:
            ShardError: they end at once.
        """
        try:
            self._cluster = await distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=math.ceil(self._plan.shards / count),
                processes=True,
                asynchronous=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise ShardError(
                f"{self._address}: its processes do not start ({error}): a program that calls "
                'run_shards() does so below `if __name__ == "__main__":`, as each imports it'
            ) from error

    async def _disconnect(self) -> None:
        for each in (self._client, self._cluster):
            if each is not None:
                with contextlib.suppress(Exception):
                    await within(each.close(), _CONNECT)

    async def _reconnected(self) -> Any:
        """The client, or a new one after the scheduler was gone for long."""
        async with self._connecting:
            while self._client.status in ("closed", "closing") and not self._is_over:
                with contextlib.suppress(ShardError):
                    await self._connect()
        return self._client

    def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, numbers = event
        self._merged.note(int(numbers["shard"]), numbers)

    async def _check_workers(self) -> None:
        """Have all workers import the flow, in our version.

        Raises:
            ShardError: there is none, or some cannot run it.
        """
        from .slices import check_worker  # noqa: PLC0415 - needs `distributed`

        try:
            await self._client.wait_for_workers(self._workers or 1, timeout=_CONNECT)
        except (OSError, asyncio.TimeoutError) as error:
            raise ShardError(
                f"{self._address}: has no workers: start `dask worker {self._address} --nthreads "
                "32`"
            ) from error
        try:
            found = await self._client.run(check_worker, self._plan, on_error="return")
        except TypeError as error:
            raise ShardError(f"the flow's arguments cannot go to other processes: {error}") from (
                error
            )
        problems = {address: str(one) for address, one in found.items() if one is not None}
        if problems:
            address, problem = next(iter(problems.items()))
            others = f", and so have {len(problems) - 1} others" if len(problems) > 1 else ""
            raise ShardError(
                f"worker {address} cannot run the flow: {problem}{others}: install the same "
                "version and the flow's module on all workers"
            )

    # -- a shard --------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self._over.is_set() or self._stopping

    async def _keep(self, shard: int) -> None:
        """Run slices of a shard until the flow is over."""
        pause = _PAUSE
        while not self._is_over:
            if not self._may_go.is_set():
                await self._wait(_LOOK)
                continue
            try:
                report = await self._watched_slice(shard)
            except _killed_errors() as error:
                self._merged.deaths += 1
                await self._after_death(shard, error)
                continue
            except _lost_errors() as error:
                if not self._is_over:
                    logger.info("shard %d: %s; it goes on", shard, _named(error))
                    await self._wait(_PAUSE)
                continue
            except Exception as error:  # of the flow's own constructor, say
                self._fail(ShardError(f"shard {shard} cannot run: {_named(error)}"))
                return
            finally:
                self._merged.end(shard, None)
            if report.ending is not None:
                self._end_by(report.ending)
                return
            if report.error is not None:
                if report.stats is not None and report.stats["responses"]:
                    pause = _PAUSE  # the journal was there meanwhile
                pause = await self._after_error(report, pause)
                continue
            pause = _PAUSE
            self._deaths.pop(shard, None)
            self._note(report)
            if report.is_idle and not self._is_over:
                await self._sleep(shard, report.next_due)

    async def _slice(self, shard: int) -> Report:
        from .slices import run_shard  # noqa: PLC0415 - needs `distributed`

        client = await self._reconnected()
        key = f"{self._plan.flow.name}-shard-{shard}-{uuid.uuid4().hex}"
        future = client.submit(run_shard, self._plan, shard, pure=False, key=key)
        report: Report = await future
        if report.stats is not None:
            self._merged.note(shard, report.stats)
        return report

    def _note(self, report: Report) -> None:
        if report.shard == 0:
            self._has_begun = report.has_begun

    async def _after_error(self, report: Report, pause: float) -> float:
        """The journal could not be used: try again later, if that may help."""
        if not report.is_passing:
            self._fail(JournalError(str(report.error)))
            return pause
        logger.warning("shard %d: %s; again in %g s", report.shard, report.error, pause)
        await self._wait(pause)
        return min(pause * 2, _LONG_PAUSE)

    async def _watched_slice(self, shard: int) -> Report:
        """Run a slice; of shards whose workers die without a commit one at a time.

        A worker that dies takes all of its shards along, and each of them may be the cause. Of two
        that are suspected the innocent one would be given up with the other.
        """
        if not self._deaths.get(shard, (0, 0))[1]:
            return await self._slice(shard)
        async with self._suspect:
            running = asyncio.ensure_future(self._slice(shard))
            try:
                await asyncio.wait([running], timeout=_ALONE)
            except BaseException:
                running.cancel()
                raise
        return await running

    async def _after_death(self, shard: int, error: BaseException) -> None:
        """Dask reports that four workers have died with the shard: find out if that is its fault.

        Raises nothing: a shard that commits nothing from one such report to the next, again and
        again, is given up.

        Args:
            shard: its number.
            error: of Dask's.
        """
        try:
            done = int((await self.journal.progress()).get(shard, 0))
        except JournalError:
            return
        before, count = self._deaths.get(shard, (-1, 0))
        count = count + 1 if done == before else 0
        self._deaths[shard] = (done, count)
        if count < _DEATHS:
            logger.warning("shard %d: %s; it goes on", shard, _named(error))
            # Something else may kill workers faster than they start: that passes.
            if count:
                await self._wait(min(_PAUSE * 2**count, _LONG_PAUSE))
            return
        self._given_up[shard] = (
            f"shard {shard} was given up: workers with it have died again and again without a "
            f"commit in between ({_named(error)}); see what its readers do, and run again"
        )
        logger.error("%s", self._given_up[shard])
        await self._sleep(shard, None)

    def _end_by(self, ending: Ending) -> None:
        """A reader wants the program to end: here it does, as it would without shards."""
        code = f"({ending.code!r})" if ending.kind == "SystemExit" else ""
        if self._failure is None:  # of several shards the first is named
            logger.error("%s%s%s: the run ends", ending.where, ending.kind, code)
        self._fail(_error_of(ending))

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._over.set()
        self._wake_all()
        stopping = asyncio.ensure_future(self._stop_slices())
        self._background.add(stopping)
        stopping.add_done_callback(self._background.discard)

    # -- sleep ----------------------------------------------------------------------------------

    async def _sleep(self, shard: int, due: float | None) -> None:
        """Wait until there is work for a shard."""
        woken = asyncio.Event()
        self._asleep[shard] = (woken, math.inf if due is None else due)
        await woken.wait()
        self._asleep.pop(shard, None)

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._over.wait(), seconds)

    def _wake(self, shard: int) -> None:
        if shard in self._asleep and shard not in self._given_up:
            self._asleep[shard][0].set()

    def _wake_all(self) -> None:
        for woken, _ in tuple(self._asleep.values()):
            woken.set()

    async def _watch(self) -> None:
        """Wake shards that have work, and see when all have none."""
        away = 0.0
        while True:
            await asyncio.sleep(_LOOK)
            was_open = self.journal.is_open
            try:
                if not was_open:
                    await self.journal.lead(self._plan.kind, self._plan.shards)
                await self._look()
            except JournalError as error:
                if was_open:  # else it was said
                    logger.warning("%s", error)
                # Without its lock another client might lead, too.
                await self.journal.aclose()
            away = await self._tend(away)

    async def _look(self) -> None:
        if not self._asleep:
            return
        now = time.time()
        for shard, (_, due) in tuple(self._asleep.items()):
            if due <= now:
                self._wake(shard)
        for shard in await self.journal.shards_with_arrivals():
            self._wake(shard)
        if len(self._asleep) < self._plan.shards:
            return
        work = dict(await self.journal.shards_with_work())
        for shard, due in work.items():
            if due <= now:
                self._wake(shard)
        is_over = self._has_begun or 0 in self._given_up
        if is_over and all(shard in self._given_up for shard in work):
            if not work:
                await self.journal.finish()
            self._over.set()
            self._wake_all()

    async def _tend(self, away: float) -> float:
        """Start a local worker in the place of one whose keeper has given up."""
        with contextlib.suppress(Exception):  # its scheduler may be gone
            self._merged.workers = len(await within(self._client.nthreads(), _AWAY))
        if self._workers is None or self._merged.workers >= self._workers:
            return 0.0
        if away < _AWAY:
            return away + _LOOK
        missing = self._workers - self._merged.workers
        logger.warning("%d of %d local workers are gone: starting others", missing, self._workers)
        self._cluster.scale(len(self._cluster.worker_spec) + missing)
        return 0.0

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.on_progress is not None:
                self.on_progress(self.progress)

    # -- the end --------------------------------------------------------------------------------

    async def _stop_when(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True
        self._wake_all()
        await self._stop_slices()
        # Slices that do not answer, as their workers are gone, are not waited for.
        await asyncio.sleep(_END)
        self._fail(ShardError(f"some shards have not ended within {_END:g} s"))

    async def _stop_slices(self, *, for_good: bool = True) -> None:
        from .slices import stop_shards  # noqa: PLC0415 - needs `distributed`

        stopping = functools.partial(stop_shards, for_good=for_good)
        with contextlib.suppress(Exception):
            await within(self._client.run(stopping, self._plan.run, on_error="ignore"), _CONNECT)

    @property
    def is_paused(self) -> bool:
        """No slices are begun, by `pause`."""
        return not self._may_go.is_set()

    def pause(self) -> None:
        """End all slices, and begin no more until `resume`; what is in flight is read."""
        self._may_go.clear()
        stopping = asyncio.ensure_future(self._stop_slices(for_good=False))
        self._background.add(stopping)
        stopping.add_done_callback(self._background.discard)

    def resume(self) -> None:
        """Go on where `pause` has stopped."""
        self._may_go.set()


def _local_workers(dask: str) -> int | None:
    """Number of processes that `local:N` stands for; None: it is an address."""
    kind, _, number = dask.partition(":")
    if kind != "local":
        return None
    if not number.isdecimal() or not 1 <= int(number) <= 1000:
        raise ShardError(f"{dask}: give a number of processes, as in local:4")
    return int(number)


def import_distributed() -> Any:
    """Return Dask's package.

    Raises:
        ShardError: it is not installed.
    """
    try:
        import distributed  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ShardError('shards need Dask: pip install "webqq_tornado[dask]"') from error
    return distributed


def _killed_errors() -> tuple[type[BaseException], ...]:
    from distributed.scheduler import KilledWorker  # noqa: PLC0415 - an extra

    return (KilledWorker,)


def _lost_errors() -> tuple[type[BaseException], ...]:
    """Errors after which a slice is submitted again: its scheduler, or its worker, is gone."""
    from distributed.client import FutureCancelledError  # noqa: PLC0415 - an extra
    from distributed.comm.core import CommClosedError  # noqa: PLC0415

    return (FutureCancelledError, CommClosedError, OSError, asyncio.TimeoutError)


def _error_of(ending: Ending) -> BaseException:
    if ending.kind == "SystemExit":
        return SystemExit(ending.code)
    if ending.kind == "KeyboardInterrupt":
        return KeyboardInterrupt()
    return ShardError(f"{ending.where}{ending.kind}")


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
