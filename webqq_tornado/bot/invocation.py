"""Calls of handlers: sync or async, in the name of their plugin, watched, logged when they fail."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from ..protocol.models import Content
from . import watchdog
from .message import Message
from .registry import Registration, Registry
from .watchdog import Blocked, SlowHandlerWatchdog, place_of

__all__ = ["HandlerInvoker", "release_turn"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Characters of a message's text that a log line has.
SHOWN = 60
#: Seconds that a handler may hold up the loop before it is named in a warning.
BLOCKED_SECONDS = 0.25
#: Seconds that a conversation waits for a handler before that is told.
PATIENCE_SECONDS = 60.0

#: Event that a handler's conversation waits for: it goes on when this is set.
_turn: ContextVar[asyncio.Event | None] = ContextVar("webqq_tornado turn", default=None)


def release_turn() -> None:
    """The handler that calls this waits for somebody: its conversation need not wait for it."""
    turn = _turn.get()
    if turn is not None:
        turn.set()


class HandlerInvoker:
    """Calls functions for a bot.

    Args:
        scopes: in whose names.
    """

    def __init__(self, scopes: Registry) -> None:
        self._scopes = scopes
        self.patience = PATIENCE_SECONDS
        self.watch = SlowHandlerWatchdog(BLOCKED_SECONDS, _warn)

    def start(
        self,
        scope: Registration,
        function: Callable[..., object],
        about: object,
        *arguments: object,
    ) -> asyncio.Task[None] | None:
        """Call a function; log its exception.

        Args:
            scope: in whose name; what goes on ends with it.
            function: sync or async.
            about: what it is called for: a message, or some words, for log lines.
            arguments: its own.

        Returns:
            What goes on; None if it is done.
        """
        context = contextvars.copy_context()
        return context.run(self._start, scope, function, about, *arguments)

    async def finish(
        self,
        scope: Registration,
        function: Callable[..., object],
        about: object,
        *arguments: object,
        on_task: Callable[[asyncio.Task[None]], object],
    ) -> None:
        """The same, until it is done, or waits for an answer to a question.

        Args:
            scope: as in `start`.
            function: as there.
            about: as there.
            arguments: as there.
            on_task: gets what goes on, if it does.
        """
        context = contextvars.copy_context()
        turn = asyncio.Event()
        context.run(_turn.set, turn)
        task = context.run(self._start, scope, function, about, *arguments)
        if task is None:
            return
        on_task(task)
        task.add_done_callback(lambda _done: turn.set())
        timer = task.get_loop().call_later(self.patience, _warn_of_wait, function, about)
        try:
            await turn.wait()
        finally:
            timer.cancel()

    async def within(
        self,
        scope: Registration,
        function: Callable[..., Awaitable[object]],
        about: object,
        *args: object,
    ) -> None:
        """Await a function here and now; raise its exception.

        Args:
            scope: in whose name.
            function: an `async def`.
            about: as in `start`.
            args: its own.
        """
        with self._scopes.entered(scope):
            await self.watch.each_step(function, about, self.watch.call(function, about, *args))

    def _start(
        self,
        scope: Registration,
        function: Callable[..., object],
        about: object,
        *arguments: object,
    ) -> asyncio.Task[None] | None:
        with self._scopes.entered(scope):
            try:
                result = self.watch.call(function, about, *arguments)
            except Exception as error:
                log_failure(function, about, error)
                return None
            except SystemExit as error:
                log_failure(function, about, error)
                raise
            if not inspect.isawaitable(result):
                _warn_of_text(function, about, result)
                return None
            task = asyncio.ensure_future(self._await(function, about, result))
            if inspect.iscoroutine(result):  # what is cancelled at once has not been awaited
                task.add_done_callback(lambda _done: result.close())
        scope.own(task)
        return task

    async def _await(
        self, function: Callable[..., object], about: object, result: Awaitable[Any]
    ) -> None:
        try:
            returned = await self.watch.each_step(function, about, result)
        except Exception as error:
            log_failure(function, about, error)
        except SystemExit as error:
            log_failure(function, about, error)
            raise
        else:
            _warn_of_text(function, about, returned)


def log_failure(function: Callable[..., object], about: object, error: BaseException) -> None:
    """Log that a function of a bot's user has raised.

    Args:
        function: that did.
        about: what it was called for.
        error: that it raised; `SystemExit` goes on from here.
    """
    where = (type(error), error, _theirs(error.__traceback__))
    logger.error(
        "handler %s failed on %s: %r", place_of(function), _shown(about), error, exc_info=where
    )


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that is not ours: how we call a handler helps nobody."""
    ours = (__file__, watchdog.__file__)
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename in ours:
        inner = inner.tb_next
    return inner or trace


def _warn(blocked: Blocked) -> None:
    logger.warning(
        "handler %s held up everything for %.2f s, on %s: have it await what takes long",
        place_of(blocked.function),
        blocked.seconds,
        _shown(blocked.about),
    )


def _warn_of_wait(function: Callable[..., object], about: object) -> None:
    logger.warning(
        "handler %s has not ended yet, on %s: the messages after it wait; if they need not,"
        " register it with concurrent=True",
        place_of(function),
        _shown(about),
    )


def _warn_of_text(function: Callable[..., object], about: object, returned: object) -> None:
    """Warn about a handler's result: other bots send it as a reply, this one does not."""
    if isinstance(returned, (str, Content)):
        logger.warning(
            "handler %s returned a text, on %s: nobody gets it; answer with message.reply(...)",
            place_of(function),
            _shown(about),
        )


def _shown(about: object) -> str:
    if not isinstance(about, Message):
        return str(about)
    text = about.text if len(about.text) <= SHOWN else about.text[: SHOWN - 1] + "…"
    return f"{text!r} of {about.sender}"
