"""The actions that an application asks for on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...onebot.v11.actions import ActionError, Call, build_answer, failure, parse_call
from ...onebot.v11.values import dump
from .account import OneBotAccount

__all__ = ["ActionQueue"]

#: Actions of one connection that may be under way.
_MOST_UNDER_WAY = 200


class ActionQueue:
    """Does actions side by side, and answers each when it is done.

    Args:
        account: does them.
        say: sends a text to the application.
    """

    def __init__(self, account: OneBotAccount, say: Callable[[str], None]) -> None:
        self._account = account
        self._say = say
        self._under_way: set[asyncio.Task[None]] = set()
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
            self._say(dump(build_answer(failure(error))))
            return
        while len(self._under_way) >= _MOST_UNDER_WAY and not self._is_closed:
            self._room.clear()
            await self._room.wait()
        task = self._account.run(self._answer(call))
        self._under_way.add(task)
        task.add_done_callback(self._on_done)
        if self._is_closed:
            self._account.leave_behind(task)

    async def _answer(self, call: Call) -> None:
        self._say(dump(await self._account.answer(call)))

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._room.set()

    def close(self) -> None:
        """The connection is gone: let nobody wait any more; what is under way is still done."""
        self._is_closed = True
        self._room.set()
        self._account.leave_behind(*self._under_way)
