"""Acknowledgement of a message: after all its handlers are done, or before they begin."""

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
    """Says once that a message is handled.

    Args:
        incoming: of the message.
        at_most_once: say so before it is handled.
        is_closed: whether the bot is: then what is cancelled is left to the next process.

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
        self._apart: set[asyncio.Task[None]] = set()  # those of them that nobody waits for
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
        """Wait for a handler that goes on.

        Args:
            task: of it.
            scope: of its plugin: one that is unloaded ends its handlers, and that is all of it.
            is_apart: whether messages that follow do not wait for it.
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
        """Note that all handlers were called; some may go on."""
        self._has_ended = True
        if not self._apart:
            self._incoming.calm()  # those that go on wait for an answer
        self._look()

    def cut_off(self) -> None:
        """Leave the message to the next process: a handler could not finish."""
        self._is_cut_off = True

    def give(self) -> None:
        """Acknowledge the message, whatever still runs."""
        if not self._is_given:
            self._is_given = True
            self._incoming.done()

    def _look(self) -> None:
        if self._has_ended and not self._tasks and not self._is_cut_off:
            self.give()
