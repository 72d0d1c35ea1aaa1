"""Bob's bot in the town, and those who talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from servers.town import Ear, Town
from webqq_tornado.bot import Bot
from webqq_tornado.client import Client
from webqq_tornado.protocol.models import FriendMessage, GroupMessage


@asynccontextmanager
async def chatting(**options: Any) -> AsyncIterator[tuple[Bot, Client, Ear]]:
    """Bob's bot is online, and Ann with what she hears."""
    async with Town() as town, a_bot(town, **options) as bot:
        ann, ear = town.client(town.ann)
        await ann.login()
        yield bot, ann, ear


@asynccontextmanager
async def a_bot(town: Town, **options: Any) -> AsyncIterator[Bot]:
    """Bob's bot, online."""
    client, _ = town.client(town.bob)
    bot = Bot(client, "Bob", **options)
    await client.login()
    yield bot
    bot.close()


async def answer(ann: Client, ear: Ear, text: str) -> str:
    """What the bot says to a friend's text."""
    await ann.send(ann.contacts.find("Bob"), text)
    return (await ear.next(FriendMessage)).content.text


async def group_answer(who: Client, ear: Ear, text: str) -> str:
    """What the next one says to a text in the group."""
    await who.send(who.contacts.find("Square"), text)
    return (await ear.next(GroupMessage)).content.text
