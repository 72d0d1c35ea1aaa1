"""Reports handlers that block the loop, by timing each step."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any, NamedTuple, TypeVar

__all__ = ["Blocked", "SlowHandlerWatchdog", "place_of"]

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


class SlowHandlerWatchdog:
    """Times the steps between two awaits, and reports those that are too long.

    A step within a step (a handler that a middleware calls) is reported once, for the inner one.

    Args:
        limit: seconds of a step.
        tell: gets a `Blocked`.
        clock: seconds.

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
    ) -> None:
        self.limit = limit
        self._tell, self._clock = tell, clock
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
        began = self._clock()
        try:
            return step(*arguments)
        finally:
            seconds = self._clock() - began
            own, self._within = seconds - self._within, outer + seconds
            if own >= self.limit:
                self._tell(Blocked(function, own, about))


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
