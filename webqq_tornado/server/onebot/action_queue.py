"""The actions that an application asks for on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tornado.websocket import WebSocketClosedError

from ...engine.errors import StreamError
from ...onebot.v11.actions import ActionError, Call, build_answer, failure, parse_call
from .account import OneBotAccount, answer_text

__all__ = ["ActionQueue"]

#: Actions of one connection that may be under way, and characters of answers that it has not read
#: when no more of its actions are begun.
_MOST_UNDER_WAY, _MOST_UNREAD = 200, 4 * 1024**2


class ActionQueue:
    """Does actions side by side, and answers each when it is done.

    Nothing more is read from an application that does not read its answers.

    Args:
        account: does them.
        write: sends a text to the application; awaited until it has left.
    """

    def __init__(self, account: OneBotAccount, write: Callable[[str], Awaitable[object]]) -> None:
        self._account = account
        self._write = write
        self._under_way: dict[asyncio.Task[None], Call] = {}
        self._unread = 0
        self._room = asyncio.Event()
        self._is_closed = False

    async def take(self, message: str | bytes) -> None:
        """Do an action; others need not wait for it, unless there are very many.

        Args:
            message: a frame of the application's.
        """
        try:
            call = parse_call(message)
        except ActionError as error:
            await self._say(answer_text(build_answer(failure(error))))
            return
        while self._is_full and not self._is_closed:
            self._room.clear()
            await self._room.wait()
        task = self._account.run(self._answer(call))
        self._under_way[task] = call
        task.add_done_callback(self._on_done)
        if self._is_closed:
            self._account.leave_behind(call, task)

    @property
    def _is_full(self) -> bool:
        return len(self._under_way) >= _MOST_UNDER_WAY or self._unread > _MOST_UNREAD

    async def _answer(self, call: Call) -> None:
        await self._say(answer_text(await self._account.answer(call)))

    async def _say(self, text: str) -> None:
        self._unread += len(text)
        try:
            with suppress(StreamError, WebSocketClosedError):  # the connection has ended
                # Shielded: Tornado logs a write that is cancelled as an error of its own.
                await asyncio.shield(self._write(text))
        finally:
            self._unread -= len(text)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._room.set()

    def close(self) -> None:
        """Let nobody wait any more: the connection is gone; what is under way is still done."""
        self._is_closed = True
        self._room.set()
        for task, call in tuple(self._under_way.items()):
            self._account.leave_behind(call, task)
