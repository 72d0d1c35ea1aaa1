"""Bob's bot in the town, and those who talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from servers.town import Ear, Town
from webqq_tornado.bot import Bot
from webqq_tornado.client import Client, OneBotAccount, SendLimits
from webqq_tornado.protocol.models import FriendMessage, GroupMessage
from webqq_tornado.server.onebot.settings import OneBotSettings

#: Ways to a bot's account, and the one that is taken now.
WAYS = ("webqq3", "smartqq", "onebot")
way = "webqq3"


@asynccontextmanager
async def chatting(**options: Any) -> AsyncIterator[tuple[Bot, Client, Ear]]:
    """Bob's bot is online, and Ann with what she hears."""
    async with Town() as town, a_bot(town, **options) as bot:
        ann, ear = town.client(town.ann)
        await ann.login()
        yield bot, ann, ear


@asynccontextmanager
async def a_bot(town: Town, **options: Any) -> AsyncIterator[Bot]:
    """Bob's bot, online by the way that the tests are run for."""
    client = bobs_account(town)
    bot = Bot(client, "Bob", **options)
    await client.login()
    yield bot
    bot.close()
    if isinstance(client, OneBotAccount):
        if client.is_online:
            await client.flush()
        client.leave()


def bobs_account(town: Town) -> Client | OneBotAccount:
    """Bob's account, not logged in."""
    if way == "smartqq":
        return town.smart_client(town.confirm_as(town.bob), town.bob)[0]
    if way == "onebot":
        settings = OneBotSettings.parse({"heartbeat": 0})
        town.server.onebot.configure(town.bob, settings)
        url = f"ws://127.0.0.1:{town.port}/onebot/{town.bob}"
        return OneBotAccount(town.stream, url, limits=SendLimits(pace=(0, 0)))
    return town.client(town.bob)[0]


async def answer(ann: Client, ear: Ear, text: str) -> str:
    """What the bot says to a friend's text."""
    await ann.send(ann.contacts.find("Bob"), text)
    return (await ear.next(FriendMessage)).content.text


async def group_answer(who: Client, ear: Ear, text: str) -> str:
    """What the next one says to a text in the group."""
    await who.send(who.contacts.find("Square"), text)
    return (await ear.next(GroupMessage)).content.text
