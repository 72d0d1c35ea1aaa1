"""Listeners: functions called with events, sync or async; one that fails stops no other."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

__all__ = ["Listeners", "check_callable"]

logger = logging.getLogger("webqq_tornado.webqq")

F = TypeVar("F", bound=Callable[..., object])


def check_callable(function: F, role: str) -> F:
    """Return a function unchanged if a call, and awaiting its result, runs it.

    Args:
        function: to be called later.
        role: of the function, for the error.

    Raises:
        TypeError: it is not callable; or it has a `yield`, so that a call does not run it.

    Example:
        >>> check_callable(print, "a listener")
        <built-in function print>
    """
    if not callable(function):
        raise TypeError(f"{role} must be a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{role} {function!r} has a yield, so that a call does not run it")
    return function


class Listeners:
    """Calls functions with each event; logs their exceptions.

    Example:
        >>> listeners = Listeners()
        >>> listeners.add(print)
        >>> listeners.notify("10001", "hello")
        hello
    """

    def __init__(self) -> None:
        self._functions: list[Callable[..., object]] = []
        self._running: set[asyncio.Future[object]] = set()  # the loop holds them weakly

    def __len__(self) -> int:
        return len(self._functions)

    def add(self, function: Callable[..., object]) -> None:
        """Add a function; the coroutine of an `async def` runs concurrently.

        Raises:
            TypeError: it is not a function.
        """
        self._functions.append(check_callable(function, "a listener"))

    def notify(self, name: str, event: object) -> None:
        """Call all of them.

        Args:
            name: of the client, for log lines.
            event: their argument.
        """
        for function in tuple(self._functions):
            try:
                outcome = function(event)
                if inspect.isawaitable(outcome):
                    self._await(outcome, name, event)
            except Exception as error:
                _log(name, event, error)

    def _await(self, outcome: Awaitable[object], name: str, event: object) -> None:
        try:
            running = asyncio.ensure_future(outcome)
        except RuntimeError:  # no loop runs any more
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise

        def end(done: asyncio.Future[object]) -> None:
            self._running.discard(done)
            error = None if done.cancelled() else done.exception()
            if isinstance(error, Exception):
                _log(name, event, error)

        self._running.add(running)
        running.add_done_callback(end)


def _log(name: str, event: object, error: Exception) -> None:
    logger.error("%s: a listener failed on %r", name, event, exc_info=error)
