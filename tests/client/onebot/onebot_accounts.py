"""Accounts and bots by OneBot, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from servers.onebot import Implementation

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client.onebot.account import OneBotAccount
from webqq_tornado.client.onebot.limits import SendLimits

FAST = SendLimits(pace=(0, 0), looks=(0.01, 0.05), timeout=20)


@asynccontextmanager
async def an_account(ways: Any, token: str = "", **more: Any) -> AsyncIterator[OneBotAccount]:
    """An account that is not logged in."""
    async with HTTPStream() as stream:
        account = OneBotAccount(stream, ways, token, limits=more.pop("limits", FAST), **more)
        try:
            yield account
            await account.flush()
        finally:
            account.leave()


@asynccontextmanager
async def a_bot(here: Implementation, **more: Any) -> AsyncIterator[Bot]:
    """A bot, online by a forward WebSocket."""
    async with an_account(here.ws, here.token, **more) as account:
        bot = Bot(account)
        await account.login()
        yield bot
        bot.close()
