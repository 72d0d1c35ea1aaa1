"""Calls of handlers, sync or async: within their plugin's scope, timed, with errors logged."""

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

#: Characters of a message's text in a log line.
SHOWN = 60
#: Seconds that a handler may block the loop without a warning.
BLOCKED_SECONDS = 0.25
#: Seconds that a conversation waits for a handler without a warning.
PATIENCE_SECONDS = 60.0

#: Event that a handler's conversation waits for; when it is set, the next message follows.
_turn: ContextVar[asyncio.Event | None] = ContextVar("webqq_tornado turn", default=None)


def release_turn() -> None:
    """Let the conversation of the calling handler continue: the handler waits for an answer."""
    turn = _turn.get()
    if turn is not None:
        turn.set()


class HandlerInvoker:
    """Calls handlers, listeners and scheduled functions for a bot.

    Args:
        scopes: of its plugins.
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
            scope: of its plugin; the task ends with it.
            function: sync or async.
            about: reason of the call, for log lines: a message, or some words.
            arguments: of the function.

        Returns:
            The task; None if the function has ended.
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
        """Call a function, and wait until it ends, or waits for the answer to a question.

        Args:
            scope: as in `start`.
            function: as there.
            about: as there.
            arguments: as there.
            on_task: gets the task, if there is one.
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
        """Await a function within a scope; raise its exception.

        Args:
            scope: of its plugin.
            function: an `async def`.
            about: as in `start`.
            args: of the function.
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
            if inspect.iscoroutine(result):  # a task cancelled at once has not awaited it
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
    """Log the exception of a handler, listener or scheduled function.

    Args:
        function: that raised it.
        about: reason of the call.
        error: the exception; `SystemExit` is raised again.
    """
    where = (type(error), error, _theirs(error.__traceback__))
    logger.error(
        "handler %s failed on %s: %r", place_of(function), _shown(about), error, exc_info=where
    )


def _theirs(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback outside this package: our own calls help no user."""
    ours = (__file__, watchdog.__file__)
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename in ours:
        inner = inner.tb_next
    return inner or trace


def _warn(blocked: Blocked) -> None:
    logger.warning(
        "handler %s blocked the loop for %.2f s, on %s: let it await slow work",
        place_of(blocked.function),
        blocked.seconds,
        _shown(blocked.about),
    )


def _warn_of_wait(function: Callable[..., object], about: object) -> None:
    logger.warning(
        "handler %s still runs, on %s: later messages wait; if they need not,"
        " register it with concurrent=True",
        place_of(function),
        _shown(about),
    )


def _warn_of_text(function: Callable[..., object], about: object, returned: object) -> None:
    """Warn about a handler that returns a text: other bots reply with it, this one does not."""
    if isinstance(returned, (str, Content)):
        logger.warning(
            "handler %s returned a text, on %s, which is not sent: answer with message.reply(...)",
            place_of(function),
            _shown(about),
        )


def _shown(about: object) -> str:
    if not isinstance(about, Message):
        return str(about)
    text = about.text if len(about.text) <= SHOWN else about.text[: SHOWN - 1] + "…"
    return f"{text!r} of {about.sender}"
