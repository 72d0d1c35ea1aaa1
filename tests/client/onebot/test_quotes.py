"""What a message quotes, which comes as a number alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from servers.onebot import ANN, BOT, SQUARE, Implementation
from waiting import until

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot, Message
from webqq_tornado.client import OneBotAccount, SendLimits, Store
from webqq_tornado.client.onebot import quotes
from webqq_tornado.onebot.v11.actions import Answer

FAST = SendLimits(pace=(0, 0))


@asynccontextmanager
async def hearing(here: Implementation, **more: Any) -> AsyncIterator[list[Message]]:
    """The messages that a bot handles."""
    heard: list[Message] = []
    async with HTTPStream() as stream:
        account = OneBotAccount(stream, here.ws, limits=FAST, **more)
        bot = Bot(account)
        bot.on_message(heard.append)
        await account.login()
        yield heard
        bot.close()
        account.leave()


async def test_a_message_comes_with_what_it_quotes_which_is_asked_for_once():
    async with Implementation() as here, hearing(here) as heard:
        quoted = here.message(ANN, "first[CQ:face,id=14]", SQUARE)
        for text in ("one", "two"):
            here.say(ANN, f"[CQ:reply,id={quoted['message_id']}]{text}", SQUARE)
        here.say(ANN, "three", SQUARE)
        await until(lambda: len(heard) == 3)
        quote = heard[0].quote
        assert (quote.text, quote.sender, quote.name) == ("first[微笑]", ANN, "Ann")
        assert [message.text for message in heard] == ["one", "two", "three"]
        assert heard[1].quote == quote
        assert heard[2].quote is None
        assert here.calls.count("get_msg") == 1


async def test_a_quote_of_nothing_is_not_asked_for():
    """Lagrange issue 456."""
    async with Implementation() as here, hearing(here) as heard:
        here.say(ANN, "[CQ:reply,id=0]one", SQUARE)
        await until(lambda: heard)
        assert heard[0].quote is None
        assert "get_msg" not in here.calls


@pytest.mark.parametrize(
    "answer",
    [
        Answer("failed", 1404, None, "no such action"),
        Answer("failed", 100, None, "no such message"),
        Answer(data=None),
        Answer(data=[]),
        Answer(data={"message": 5}),
        Answer(data={"user_id": "x", "message": {"type": []}}),
        Answer(data={"message_id": 7, "sender": None, "message": None}),
    ],
)
async def test_without_the_quoted_message_the_other_one_is_handled_all_the_same(answer: Answer):
    async with Implementation() as here, hearing(here) as heard:
        here.fails["get_msg"] = answer
        here.say(ANN, "[CQ:reply,id=99]one")
        here.say(ANN, "two")
        await until(lambda: len(heard) == 2)
        assert [(message.text, message.quote) for message in heard] == [
            ("one", None),
            ("two", None),
        ]


async def test_a_quoted_message_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(quotes, "_TIMEOUT", 0.05)
    async with Implementation() as here, hearing(here) as heard:
        here.is_mute = True
        here.say(ANN, "[CQ:reply,id=99]one")
        await until(lambda: heard)
        assert heard[0].quote is None


async def test_who_quotes_the_bot_means_it_also_after_a_restart():
    async with Implementation() as here, hearing(here) as heard:
        quoted = here.message(BOT, "said before", SQUARE)
        here.say(ANN, f"[CQ:reply,id={quoted['message_id']}]and?", SQUARE)
        await until(lambda: heard)
        assert heard[0].at_me
        assert heard[0].quote.sender == heard[0].account


async def test_what_is_quoted_is_kept_for_the_next_process(tmp_path):
    async with Implementation() as here:
        quoted = here.message(ANN, "first", SQUARE)["message_id"]
        with Store(tmp_path / "bot.db") as store:
            async with hearing(here, store=store) as heard:
                here.say(ANN, f"[CQ:reply,id={quoted}]one", SQUARE)
                await until(lambda: heard)
        here.history.clear()  # as an implementation that forgets
        with Store(tmp_path / "bot.db") as store:
            async with hearing(here, store=store) as later:
                here.say(ANN, "two", SQUARE)
                await until(lambda: later)
                quote = await later[0].client.quote_of(heard[0].event)
        assert quote.text == "first"
        assert here.calls.count("get_msg") == 1


async def test_no_more_quotes_are_kept_than_is_sensible(tmp_path, monkeypatch):
    monkeypatch.setattr(quotes, "_KEPT", 3)
    monkeypatch.setattr(quotes, "_REMEMBERED", 2)
    with Store(tmp_path / "bot.db") as store:
        async with Implementation() as here, hearing(here, store=store) as heard:
            for number in range(5):
                quoted = here.message(ANN, f"first {number}")["message_id"]
                here.say(ANN, f"[CQ:reply,id={quoted}]{number}")
            await until(lambda: len(heard) == 5)
            kept = store.values(f"onebot quotes {BOT}").values()
            assert sorted(one["content"][2:9] for one in kept) == ["first 2", "first 3", "first 4"]
            assert len(heard[0].client._quotes._known) == 2
