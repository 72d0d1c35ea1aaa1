"""The watch: who holds up the loop is named."""

from __future__ import annotations

import asyncio
import functools
import gc
import time

import pytest

from webqq_tornado.bot.watchdog import (
    Blocked,
    SlowHandlerWatchdog,
    Usage,
    place_of,
    seconds_of_collections,
)


class Clock:
    """A clock that stands still but for `work`."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


class Watched:
    def __init__(self, *usages: Usage) -> None:
        self.clock, self.told = Clock(), []
        used = iter(usages)
        usage = lambda: next(used, None)  # noqa: E731
        self.watch = SlowHandlerWatchdog(0.25, self.told.append, self.clock, usage)


async def test_a_function_that_takes_long_is_told():
    seen = Watched()
    seen.watch.call(seen.clock.work, "a message", 0.5)
    assert seen.told == [Blocked(seen.clock.work, 0.5, "a message")]


@pytest.mark.parametrize(
    ("after", "is_reported"),
    [(Usage(1.0, 7), False), (Usage(1.2, 7), False), (Usage(1.25, 7), True), (Usage(1.0, 8), True)],
)
def test_a_handler_is_not_to_blame_for_what_other_processes_take(after: Usage, is_reported: bool):
    seen = Watched(Usage(1.0, 7), after)
    seen.watch.call(seen.clock.work, "a message", 0.5)
    assert bool(seen.told) is is_reported


async def test_a_handler_is_not_to_blame_for_garbage_collection():
    told: list[Blocked] = []
    clock = Clock()
    collected = iter([0.0, 0.3])
    SlowHandlerWatchdog(
        0.25, told.append, clock, iter([Usage(1, 0), Usage(1.5, 0)]).__next__, collected.__next__
    ).call(clock.work, "a message", 0.5)
    assert told == []


def test_the_time_of_garbage_collection_is_known():
    before = seconds_of_collections()
    gc.collect()
    assert seconds_of_collections() > before


def _compute() -> None:
    end = time.thread_time() + 0.03
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("dawdle", [_compute, lambda: time.sleep(0.03)], ids=["computes", "waits"])
def test_work_and_waiting_of_a_thread_are_seen(dawdle):
    told: list[Blocked] = []
    SlowHandlerWatchdog(0.02, told.append).call(dawdle, "a message")
    assert [blocked.about for blocked in told] == ["a message"]


async def test_only_a_step_that_takes_long_is_told_not_many_short_ones():
    seen = Watched()

    async def handle() -> str:
        for seconds in (0.2, 0.2, 0.3, 0.2):
            seen.clock.work(seconds)
            await asyncio.sleep(0)
        return "done"

    assert await seen.watch.each_step(handle, "", handle()) == "done"
    assert [blocked.seconds for blocked in seen.told] == [pytest.approx(0.3)]


async def test_waiting_is_not_working():
    seen = Watched()

    async def handle() -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        await task
        asyncio.get_running_loop().call_soon(seen.clock.work, 9)
        await asyncio.sleep(0)

    await seen.watch.each_step(handle, "", handle())
    assert seen.told == []


async def test_a_step_within_a_step_is_told_of_the_inner_one_alone():
    seen = Watched()

    async def inner() -> None:
        await asyncio.sleep(0)
        seen.clock.work(1)

    async def outer() -> None:
        seen.clock.work(0.1)
        await seen.watch.each_step(inner, "", inner())
        seen.clock.work(0.1)

    await seen.watch.each_step(outer, "", outer())
    assert [blocked.function for blocked in seen.told] == [inner]


async def test_what_is_raised_into_and_out_of_a_coroutine_passes():
    seen = Watched()

    async def handle() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise KeyError("cancelled") from None

    task = asyncio.ensure_future(seen.watch.each_step(handle, "", handle()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(KeyError):
        await task


async def test_futures_are_awaited_as_they_are():
    seen = Watched()
    future = asyncio.get_running_loop().create_future()
    future.set_result(7)
    assert await seen.watch.each_step(print, "", future) == 7


def a_function() -> None:
    """To be found."""


@pytest.mark.parametrize("function", [a_function, functools.partial(a_function)])
def test_a_place_is_name_file_and_line(function):
    assert place_of(function).startswith("a_function (")
    assert ".py:" in place_of(function)


def test_what_has_no_place_has_a_name():
    assert place_of(print) == "print"
