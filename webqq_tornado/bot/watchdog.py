"""Reports handlers that block the loop, by timing each step."""

from __future__ import annotations

import gc
import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

try:
    import resource
except ImportError:  # of Unix alone
    resource = None  # type: ignore[assignment]

__all__ = [
    "Blocked",
    "SlowHandlerWatchdog",
    "Usage",
    "place_of",
    "seconds_of_collections",
    "usage_of_thread",
]

R = TypeVar("R")


class Blocked(NamedTuple):
    """A handler blocked the loop.

    Args:
        function: of the handler.
        seconds: of the block.
        about: reason of the call: a message, or some words.
    """

    function: Callable[..., object]
    seconds: float
    about: object


class Usage(NamedTuple):
    """Use that a thread has made of the processor so far.

    Args:
        cpu: seconds of the processor.
        waits: how often it has waited for something, and not just for its turn.
    """

    cpu: float
    waits: int


def usage_of_thread() -> Usage | None:
    """Return the use of the running thread; None where the system does not say."""
    if not hasattr(resource, "RUSAGE_THREAD"):  # of Linux and FreeBSD
        return None
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return Usage(used.ru_utime + used.ru_stime, used.ru_nvcsw)


class _Collections:
    """Adds up the seconds of garbage collection in this process."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __call__(self, phase: str, _info: object) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.seconds += time.perf_counter() - self._began


_collections = _Collections()


def seconds_of_collections() -> float:
    """Return the seconds of garbage collection since this was called first."""
    if _collections not in gc.callbacks:
        gc.callbacks.append(_collections)
    return _collections.seconds


class SlowHandlerWatchdog:
    """Times the steps between two awaits, and reports those that are too long.

    A step within a step (a handler that a middleware calls) is reported once, for the inner one.
    A handler is not to blame for the time of other processes, while it neither computes nor
    waits, or of a garbage collection, which goes through the objects of the whole program.

    Args:
        limit: seconds of a step.
        tell: gets a `Blocked`.
        clock: seconds.
        usage: of the thread.
        collected: seconds of garbage collection so far.

    Example:
        >>> watch = SlowHandlerWatchdog(0.25, print)
        >>> result = watch.call(function, "what for", argument)
        >>> result = await watch.each_step(function, "what for", function(argument))
    """

    def __init__(
        self,
        limit: float,
        tell: Callable[[Blocked], object],
        clock: Callable[[], float] = time.perf_counter,
        usage: Callable[[], Usage | None] = usage_of_thread,
        collected: Callable[[], float] = seconds_of_collections,
    ) -> None:
        self.limit = limit
        self._tell, self._clock, self._usage, self._collected = tell, clock, usage, collected
        self._within = 0.0  # seconds of steps inside the running one

    def call(self, function: Callable[..., R], about: object, *arguments: object) -> R:
        """Call a function, as one step; a coroutine function only creates its coroutine then.

        Args:
            function: to call.
            about: reason of the call.
            arguments: of the function.
        """
        return self._timed(function, about, function, *arguments)

    async def each_step(
        self, function: Callable[..., object], about: object, awaitable: Awaitable[R]
    ) -> R:
        """Await the result of a function, step by step.

        Args:
            function: named in reports.
            about: reason of the call.
            awaitable: its result.
        """
        if inspect.iscoroutine(awaitable):
            awaitable = _Steps(self, function, about, awaitable)
        return await awaitable

    def _timed(
        self,
        function: Callable[..., object],
        about: object,
        step: Callable[..., R],
        *arguments: object,
    ) -> R:
        outer, self._within = self._within, 0.0
        began, used, collected = self._clock(), self._usage(), self._collected()
        try:
            return step(*arguments)
        finally:
            collecting = self._collected() - collected
            seconds = self._clock() - began - collecting
            own, self._within = seconds - self._within, outer + seconds
            if own >= self.limit and self._is_to_blame(used, collecting):
                self._tell(Blocked(function, own, about))

    def _is_to_blame(self, before: Usage | None, collecting: float) -> bool:
        after = self._usage()
        if before is None or after is None:
            return True
        computed = after.cpu - before.cpu - collecting
        return computed >= self.limit or after.waits > before.waits


class _Steps:
    """A coroutine whose steps are timed; a generator that delegates could not see them."""

    __slots__ = ("_about", "_coroutine", "_function", "_watch")

    def __init__(
        self, watch: SlowHandlerWatchdog, function: Any, about: object, coroutine: Any
    ) -> None:
        self._watch, self._function, self._about = watch, function, about
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # it has all that await needs

    def __iter__(self) -> _Steps:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._coroutine.throw, *error)

    def close(self) -> None:
        self._coroutine.close()

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        return self._watch._timed(self._function, self._about, step, *arguments)


def place_of(function: Callable[..., object]) -> str:
    """Name, file and line of a function.

    Args:
        function: any callable.

    Example:
        >>> place_of(place_of)
        'place_of (watch.py:130)'
    """
    inner = inspect.unwrap(function)
    while hasattr(inner, "func"):  # of functools.partial
        inner = inner.func
    inner = getattr(inner, "__func__", inner)
    name = getattr(inner, "__qualname__", repr(inner)).rpartition("<locals>.")[2]
    code = getattr(inner, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name
