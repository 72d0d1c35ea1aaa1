"""Acknowledgement of a message: after all its handlers have ended, or before they begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

from .account import Incoming
from .registry import Registration

__all__ = ["Acknowledgement"]

_current: ContextVar[Acknowledgement | None] = ContextVar(
    "webqq_tornado acknowledgement", default=None
)


class Acknowledgement:
    """Acknowledges a message once.

    Args:
        incoming: of the message.
        at_most_once: acknowledge it before it is handled.
        is_closed: returns True if the bot is closed: then cancelled handlers leave the message to
            the next process.

    Example:
        >>> acknowledgement = Acknowledgement(incoming, at_most_once=False, is_closed=bool)
        >>> acknowledgement.begin()
        >>> acknowledgement.wait_for(task, scope, is_apart=True)
        >>> acknowledgement.end()  # once the task is done
    """

    def __init__(
        self, incoming: Incoming, *, at_most_once: bool, is_closed: Callable[[], bool]
    ) -> None:
        self._incoming = incoming
        self._at_most_once, self._is_closed = at_most_once, is_closed
        self._tasks: set[asyncio.Task[None]] = set()
        self._apart: set[asyncio.Task[None]] = set()  # of these, those with concurrent=True
        self._has_ended = self._is_given = self._is_cut_off = False

    @staticmethod
    def current() -> Acknowledgement | None:
        """The acknowledgement of the message whose handler is calling; None outside of handlers."""
        return _current.get()

    def begin(self) -> None:
        """Note that this task calls the middlewares and handlers now."""
        _current.set(self)
        self._incoming.begin()
        if self._at_most_once:
            self.give()

    def wait_for(self, task: asyncio.Task[None], scope: Registration, *, is_apart: bool) -> None:
        """Wait for a handler that still runs.

        Args:
            task: of the handler.
            scope: of its plugin; unloading it cancels the handler, which counts as its end.
            is_apart: whether later messages do not wait for it.
        """

        def end(_done: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            self._apart.discard(task)
            if task.cancelled() and (scope.is_open or self._is_closed()):
                self.cut_off()
            elif not task.cancelled() and isinstance(task.exception(), SystemExit):
                self.give()
            self._look()

        self._tasks.add(task)
        if is_apart:
            self._apart.add(task)
        task.add_done_callback(end)

    def end(self) -> None:
        """Note that all handlers were called; some may still run."""
        self._has_ended = True
        if not self._apart:
            self._incoming.calm()  # those that still run wait for an answer
        self._look()

    def cut_off(self) -> None:
        """Leave the message to the next process: a handler was cut off."""
        self._is_cut_off = True

    def give(self) -> None:
        """Acknowledge the message, even if handlers still run."""
        if not self._is_given:
            self._is_given = True
            self._incoming.done()

    def _look(self) -> None:
        if self._has_ended and not self._tasks and not self._is_cut_off:
            self.give()
