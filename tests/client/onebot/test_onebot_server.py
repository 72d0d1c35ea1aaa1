"""Our bot's account and our server's implementation, by every way, with cuts of either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from servers.applications import TOKEN, drive
from servers.town import Town
from tenacity import wait_fixed
from waiting import until

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client import Listener, OneBotAccount, SendLimits, Store
from webqq_tornado.client.onebot.http import PostedEvents
from webqq_tornado.protocol.models import FriendMessage, GroupMessage
from webqq_tornado.server.storage import Conversation, content_text, load_content

FAST = SendLimits(pace=(0, 0), looks=(0.1, 1, 4))
WAYS = ("forward", "reverse", "sse", "poll", "post")


@asynccontextmanager
async def a_bot(town: Town, way: str, **more: object) -> AsyncIterator[Bot]:
    """Bob's bot, online by a way."""
    listener = Listener(port=0, token=TOKEN)
    async with HTTPStream() as stream:
        base = f"127.0.0.1:{town.port}/onebot/{town.bob}"
        ways = {"forward": f"ws://{base}", "sse": f"http://{base}", "poll": f"http+poll://{base}"}
        transport = ways.get(way) or listener.reverse()
        if way == "post":
            transport = PostedEvents(listener, stream, f"http://{base}", TOKEN)
        account = OneBotAccount(stream, transport, TOKEN, limits=FAST, **more)
        bot = Bot(account)
        login = asyncio.ensure_future(account.login())
        await asyncio.sleep(0)  # our port is open
        here = f"127.0.0.1:{listener.port}/ws"
        own = {
            "reverse": {"reverse": [f"ws://{here}"]},
            "post": {"post": [{"url": f"http://{here}", "secret": TOKEN}]},
        }
        drive(town, town.bob, token=TOKEN, **own.get(way, {}))
        await login
        yield bot
        await account.flush()
        bot.close()
        account.leave()


@pytest.mark.parametrize("way", WAYS)
async def test_a_bot_answers_a_friend_and_a_group(way: str, caplog):
    async with Town() as town, a_bot(town, way):
        ann, ear = town.client(town.ann)
        await ann.login()
        await ann.send(ann.find("Bob"), "ping")
        assert (await ear.next(FriendMessage)).content.text == "pong"
        await ann.send(ann.find("Square"), "!ping")
        assert (await ear.next(GroupMessage)).content.text == "pong"


def say(town: Town, text: str) -> None:
    """Ann writes to Bob."""
    where = Conversation("friend", town.bob)
    town.server.hub.send(town.ann, where, load_content([text]))


async def test_an_answer_that_was_cut_off_is_found_behind_pages_of_the_history(caplog):
    """It was sent, and 60 messages of Ann's lie between it and the look for it."""
    async with Town() as town, a_bot(town, "forward") as bot:
        calls = bot.client.transports[0]._calls
        real = calls.resolve

        def cut(answer):
            if not (isinstance(answer.data, dict) and "message_id" in answer.data):
                return real(answer)
            calls.resolve = real
            for number in range(60):
                say(town, f"number {number}")
            bot.client.transports[0].restart("cut by the test")
            return True

        calls.resolve = cut
        bot.client._catchup.start = lambda *_: None  # which may happen to fetch it, too
        await bot.client.send(bot.client.find("Ann"), "hello")
        page, _ = town.server.storage.messages.history(town.bob, Conversation("friend", town.ann))
        texts = [content_text(one.content) for one in page]
        assert len(texts) == 50
        assert "hello" not in texts  # it lies on an earlier page, and was not sent again


@pytest.mark.slow
async def test_none_is_lost_and_none_doubled_whatever_is_cut(tmp_path, caplog, monkeypatch):
    """Either side is cut again and again while both write."""
    monkeypatch.setattr("webqq_tornado.client.onebot.transport._PAUSES", wait_fixed(0.05))
    count, heard, answers = 120, [], []
    async with Town() as town:
        ann, _ = town.client(town.ann)

        @ann.on_event
        def take(event):
            if isinstance(event, FriendMessage) and not ann.is_own(event):
                answers.append(event.content.text)

        await ann.login()
        with Store(tmp_path / "bot.db") as store:
            async with a_bot(town, "forward", store=store) as bot:
                account = bot.client

                @bot.on_message
                def hear(message):
                    heard.append(message.text)
                    message.reply(f"got {message.text}")

                for number in range(count):
                    say(town, f"number {number}")
                    if number % 20 == 10:
                        drive(town, town.bob, token=TOKEN)  # the server closes its connections
                    if number % 20 == 0:
                        account.transports[0].restart("cut by the test")
                    await asyncio.sleep(0.01)
                await until(lambda: len(heard) >= count)
                await account.flush()
                await until(lambda: len(answers) >= count)
    assert heard == [f"number {number}" for number in range(count)]
    assert answers == [f"got number {number}" for number in range(count)]
