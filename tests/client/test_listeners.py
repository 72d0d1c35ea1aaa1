"""Functions that clients and bots call: sync or async, or refused where that cannot be."""

from __future__ import annotations

import asyncio

import pytest
from servers.bots import a_bot
from servers.town import Town
from waiting import until

from webqq_tornado.bot import Bot
from webqq_tornado.client import State, StateChange
from webqq_tornado.client.listeners import Listeners
from webqq_tornado.protocol.models import FriendMessage


async def test_a_listener_may_be_async():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        heard: asyncio.Queue = asyncio.Queue()

        @ann.on_event
        async def listen(event):
            await asyncio.sleep(0)
            heard.put_nowait(event)

        await ann.login()
        assert isinstance(await heard.get(), StateChange)


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_listener_raises_is_logged_and_stops_no_other(is_async, caplog):
    heard, listeners = asyncio.Event(), Listeners()

    async def fail_later(_event):
        raise ValueError("oops")

    def fail(_event):
        raise ValueError("oops")

    listeners.add(fail_later if is_async else fail)
    listeners.add(lambda _event: heard.set())
    listeners.notify("10001", "hello")
    await heard.wait()
    await until(lambda: caplog.text)
    assert "10001: a listener failed on 'hello'" in caplog.text
    assert "oops" in caplog.text


def test_a_listener_that_is_told_without_a_loop_is_logged_and_not_left_unawaited(caplog):
    async def listen(_event):
        pass

    listeners = Listeners()
    listeners.add(listen)
    listeners.notify("10001", "bye")
    assert "10001: a listener failed on 'bye'" in caplog.text


def _yields(_message):
    yield


async def _yields_too(_message):
    yield


@pytest.mark.parametrize("function", [_yields, _yields_too, "no function"])
async def test_what_would_not_run_when_it_is_called_is_refused(function):
    async with Town() as town:
        client, _ = town.client(town.bob)
        bot = Bot(client, "Bob")
        for register in (
            client.on_event,
            bot.on_message(text="^hi"),
            bot.command("hi"),
            bot.on_event("online"),
            bot.every(60),
            bot.middleware,
        ):
            with pytest.raises(TypeError, match=r"yield|must be a function|async def"):
                register(function)


async def test_a_store_of_a_bot_that_is_async_is_refused():
    class Values(dict):
        put = delete = values = dict.get

        async def get(self, *_):
            pass

    async with Town() as town:
        with pytest.raises(TypeError, match="get must not be async"):
            Bot(town.client(town.bob)[0], store=Values())


async def test_all_that_a_bot_calls_may_be_async():
    async with Town() as town, a_bot(town) as bot:
        called: set[str] = set()
        ann, ear = town.client(town.ann)
        await ann.login()

        @bot.middleware
        async def pass_on(message, call_next):
            called.add("middleware")
            await call_next(message)

        @bot.every(0.01)
        async def each_moment():
            called.add("schedule")

        @bot.on_event("friend_offline")
        async def miss(event):
            await bot.client.send(event.friend.contact, f"{sorted(called)}")

        await ann.send(ann.find("Bob"), "ping")
        await ear.next(FriendMessage)
        await until(lambda: "schedule" in called)
        await ann.logout()
        await ann.login()
        assert (await ear.next(FriendMessage)).content.text == "['middleware', 'schedule']"


async def test_what_a_bot_has_begun_to_call_and_is_closed_at_once_leaves_no_warning():
    async with Town() as town:
        client, _ = town.client(town.bob)
        bot = Bot(client, "Bob")

        @bot.on_event("online")
        async def never(_event):
            pytest.fail("it was closed")

        client.on_event(lambda event: event.state is State.ONLINE and bot.close())
        await client.login()
