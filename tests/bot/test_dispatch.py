"""Handlers of a bot: which messages they get, in which order, and what they know of them."""

from __future__ import annotations

import asyncio
import time

import pytest
from servers.bots import a_bot, answer, chatting, group_answer
from servers.town import Town
from waiting import until

from webqq_tornado.bot import GROUP_ADMIN, GROUP_OWNER, OWNER, Bot, Rate
from webqq_tornado.bot.mentions import said_to
from webqq_tornado.protocol.models import (
    DiscussionMessage,
    FriendMessage,
    GroupMessage,
    SessionMessage,
)


@pytest.mark.parametrize("friend", ["Ann", "ann", 10001, "10001", ["Nobody", 10001], True])
async def test_a_friend_is_meant_by_name_number_or_as_one_of_several(friend: object):
    async with chatting() as (bot, ann, ear):
        bot.on_message(friend=friend)(lambda message: message.reply("yes"))
        assert await answer(ann, ear, "hello") == "yes"


@pytest.mark.parametrize("friend", ["Eve", 10003, ["Eve", 7], False])
async def test_others_are_not_meant(friend: object):
    async with chatting() as (bot, ann, ear):
        bot.on_message(friend=friend)(lambda message: message.reply("wrong"))
        assert await answer(ann, ear, "ping") == "pong"


@pytest.mark.parametrize("friend", [b"Ann", 1.5, [None]])
async def test_what_is_no_name_and_no_number_is_refused(friend: object):
    async with chatting() as (bot, _, _):
        with pytest.raises(TypeError, match="a name or a QQ number"):
            bot.on_message(friend=friend)


async def test_a_group_is_meant_by_its_number():
    async with Town() as town, a_bot(town) as bot:
        ann, ear = town.client(town.ann)
        await ann.login()
        bot.on_message(group=town.square)(lambda message: message.reply("here"))
        assert await group_answer(ann, ear, "hello") == "here"


async def test_a_message_tells_who_wrote_what_and_when():
    async with Town() as town, a_bot(town) as bot:
        ann, _ = town.client(town.ann)
        await ann.login()
        heard: asyncio.Queue = asyncio.Queue()
        bot.on_message(heard.put_nowait)
        await ann.send(ann.contacts.find("Square"), "hello")
        message = await heard.get()
        sender = message.sender
        assert (str(sender), f"{sender:>5}") == ("Ann", "  Ann")
        assert await sender.number() == town.ann
        assert (sender.is_owner, sender.is_admin) == (True, True)
        assert (message.group.name, message.is_private, message.at_me) == ("Square", False, False)
        assert message.account == town.bob
        assert abs(message.time - time.time()) < 60


async def test_discussions_have_handlers_of_their_own_and_answers():
    async with Town() as town:
        town.server.storage.rooms.create_discussion("Plan", town.ann, [town.bob])
        async with a_bot(town) as bot:
            ann, ear = town.client(town.ann)
            await ann.login()
            bot.on_message(group=True)(lambda message: message.reply("wrong"))
            bot.on_message(discussion="Plan")(lambda m: m.reply(m.discussion.name, at_sender=True))
            await ann.send(ann.contacts.find("Plan"), "hello")
            assert (await ear.next(DiscussionMessage)).content.text == "@Ann Plan"


async def test_strangers_have_handlers_of_their_own_and_answers():
    async with Town() as town, a_bot(town) as bot:
        eve, ear = town.client(town.eve)
        await eve.login()
        bot.on_message(friend=True)(lambda message: message.reply("wrong"))
        bot.on_message(stranger=True)(lambda message: message.reply(f"who is {message.sender}?"))
        square = eve.contacts.find("Square")
        bob = next(one for one in eve.contacts.people(square) if one.name == "Bob")
        await eve.send(bob, "hello")
        assert (await ear.next(SessionMessage)).content.text == "who is Eve?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@Bob ping", "ping"),
        ("@Bob", ""),
        ("@bob, ping", "ping"),
        ("@Bob：　ping", "ping"),
        ("!", ""),
        ("", None),
        (" !ping ", "ping"),
        ("！ping", "ping"),
        ("@Bobby ping", None),
        ("say @Bob", None),
        ("ping", None),
    ],
)
def test_what_is_said_to_somebody_begins_with_a_mark_or_the_name(text: str, said: str | None):
    assert said_to(["Bob"], text) == said


def test_chinese_names_need_no_space_behind_them():
    assert said_to(["小冰"], "@小冰你好") == "你好"


async def test_at_me_looks_for_the_text_behind_the_name():
    async with chatting() as (bot, ann, ear):
        bot.on_message(text=r"^how (\w+)", at_me=True)(lambda m: m.reply(m.match[1]))
        assert await group_answer(ann, ear, "@Bob how now") == "now"


async def test_a_bot_is_meant_by_its_card_in_a_group_too():
    async with Town() as town:
        town.server.storage.rooms.set_card(town.square, town.bob, "Bobby Tables")
        async with a_bot(town) as bot:
            ann, ear = town.client(town.ann)
            await ann.login()
            bot.on_message(text="^so (.*)", at_me=True)(lambda m: m.reply(f"quite {m.match[1]}"))
            assert await group_answer(ann, ear, "@Bobby Tables ping") == "pong"
            assert await group_answer(ann, ear, "@bobby tables: so fine") == "quite fine"
            assert await group_answer(ann, ear, "@Bob ping") == "pong"


async def test_a_command_has_what_follows_and_stands_in_help():
    async with chatting() as (bot, ann, ear):

        @bot.command("Weather", help="weather CITY")
        def weather(message):
            message.reply(f"in {message.rest}: fine")

        assert await group_answer(ann, ear, "!weather  New York ") == "in New York: fine"
        assert await answer(ann, ear, "WEATHER Oslo") == "in Oslo: fine"
        assert "echo, weather." in await answer(ann, ear, "help")
        assert await answer(ann, ear, "help weather") == "weather: weather CITY"


async def test_a_command_takes_the_place_of_one_with_the_same_word():
    async with chatting() as (bot, ann, ear):
        bot.command("ping")(lambda message: message.reply("mine"))
        assert await answer(ann, ear, "ping") == "mine"
        assert await answer(ann, ear, "echo 1") == "1"


@pytest.mark.parametrize("word", ["", "two words", " x"])
async def test_a_command_is_one_word(word: str):
    async with chatting() as (bot, _, _):
        with pytest.raises(ValueError, match="one word"):
            bot.command(word)


async def test_messages_of_one_conversation_are_handled_in_order():
    async with chatting() as (bot, ann, ear):
        go_on = asyncio.Event()

        @bot.on_message(text="^[12]$")
        async def slow(message):
            if message.text == "1":
                await go_on.wait()
            message.reply(message.text)

        bob = ann.contacts.find("Bob")
        await ann.send(bob, "1")
        await ann.send(bob, "2")
        assert await group_answer(ann, ear, "!ping") == "pong"  # another one goes on
        go_on.set()
        texts = [(await ear.next(FriendMessage)).content.text for _ in range(2)]
        assert texts == ["1", "2"]


async def test_a_handler_that_others_wait_for_is_named(caplog):
    async with chatting() as (bot, ann, ear):
        bot._calls.patience = 0.02

        @bot.on_message(text="^1$")
        async def dawdle(message):
            await until(lambda: "still runs" in caplog.text)
            message.reply("done")

        assert await answer(ann, ear, "1") == "done"
    assert "dawdle" in caplog.text
    assert "still runs, on '1' of Ann" in caplog.text


async def test_a_concurrent_handler_holds_up_nobody():
    async with chatting() as (bot, ann, ear):
        go_on = asyncio.Event()

        @bot.on_message(text="^1$", concurrent=True)
        async def slow(message):
            await go_on.wait()
            message.reply(message.text)

        await ann.send(ann.contacts.find("Bob"), "1")
        assert await answer(ann, ear, "echo 2") == "2"
        go_on.set()
        assert (await ear.next(FriendMessage)).content.text == "1"


async def test_middlewares_come_in_order_and_may_change_or_stop_a_message():
    async with chatting() as (bot, ann, ear):
        seen = []

        @bot.middleware
        async def first(message, call_next):
            seen.append("in")
            await call_next(message.with_text(message.text.upper()))
            seen.append("out")

        @bot.middleware
        async def second(message, call_next):
            seen.append(message.text)
            if message.text != "SECRET":
                await call_next(message)

        bot.on_message(lambda message: message.reply(message.text))
        await ann.send(ann.contacts.find("Bob"), "secret")
        assert await answer(ann, ear, "hello") == "HELLO"
        assert seen[:5] == ["in", "SECRET", "out", "in", "HELLO"]


async def test_a_middleware_that_raises_lets_nothing_through(caplog):
    async with chatting() as (bot, ann, ear):

        @bot.middleware
        async def guard(message, call_next):
            if message.text == "1":
                raise KeyError("oops")
            await call_next(message)

        bot.on_message(lambda message: message.reply(message.text))
        await ann.send(ann.contacts.find("Bob"), "1")
        assert await answer(ann, ear, "2") == "2"
    assert "guard" in caplog.text
    assert "oops" in caplog.text


async def test_a_middleware_is_an_async_def():
    async with chatting() as (bot, _, _):
        with pytest.raises(TypeError, match="async def"):
            bot.middleware(lambda message, call_next: None)


async def test_an_owner_is_known_by_number():
    async with chatting(owners=[10001]) as (bot, ann, ear):
        bot.command("stop", permission=OWNER)(lambda message: message.reply("stopped"))
        assert await answer(ann, ear, "stop") == "stopped"


@pytest.mark.parametrize("owners", ["Ann", ["10001"], [0], [None]])
async def test_owners_are_numbers(owners: object):
    async with Town() as town:
        with pytest.raises(TypeError, match="QQ number"):
            Bot(town.client(town.bob)[0], owners=owners)


async def test_who_may_not_is_told_so_or_nothing():
    async with chatting(owners=[10003]) as (bot, ann, ear):
        bot.command("stop", permission=OWNER)(lambda message: message.reply("wrong"))
        bot.command("go", permission=OWNER, refusal="no")(lambda message: message.reply("wrong"))
        await ann.send(ann.contacts.find("Bob"), "stop")
        assert await answer(ann, ear, "go") == "no"


@pytest.mark.parametrize(("is_admin", "says"), [(True, "Eve False"), (False, "@Eve not you")])
async def test_group_admins_may_and_others_may_not(is_admin: bool, says: str):
    async with Town() as town:
        town.server.storage.rooms.set_admin(town.square, town.eve, is_admin)
        async with a_bot(town) as bot:
            eve, ear = town.client(town.eve)
            await eve.login()
            may = bot.command("who", permission=GROUP_ADMIN, refusal="not you")
            may(lambda m: m.reply(f"{m.sender} {m.sender.is_owner}"))
            assert await group_answer(eve, ear, "!who") == says


async def test_in_private_nobody_is_a_group_admin():
    async with chatting() as (bot, ann, ear):
        may = bot.command("who", permission=GROUP_OWNER | GROUP_ADMIN, refusal="not here")
        may(lambda message: message.reply("wrong"))
        assert await answer(ann, ear, "who") == "not here"


async def test_who_is_over_the_rate_is_told_once():
    async with chatting() as (bot, ann, ear):
        bot.command("roll", rate=Rate(1, 3600), notice="wait {wait} s")(lambda m: m.reply("6"))
        assert await answer(ann, ear, "roll") == "6"
        assert await answer(ann, ear, "roll") == "wait 3600 s"
        await ann.send(ann.contacts.find("Bob"), "roll")
        assert await answer(ann, ear, "ping") == "pong"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_holds_up_the_loop_is_named(is_async: bool, caplog):
    async with chatting() as (bot, ann, ear):
        bot._calls.watch.limit = 0.01

        def dawdle(message):
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass

        async def dawdle_later(message):
            await asyncio.sleep(0)
            dawdle(message)

        bot.on_message(text="x")(dawdle_later if is_async else dawdle)
        await ann.send(ann.contacts.find("Bob"), "x" * 100)
        assert await answer(ann, ear, "ping") == "pong"
    assert "dawdle" in caplog.text
    assert "test_dispatch.py:" in caplog.text
    assert "blocked the loop for 0." in caplog.text
    assert "x" * 59 + "…" in caplog.text
    assert "x" * 60 not in next(r for r in caplog.messages if "blocked the loop" in r)


async def test_one_bot_answers_for_several_accounts():
    async with Town() as town, a_bot(town) as bot:
        eve, _ = town.client(town.eve)
        ann, ear = town.client(town.ann)
        bot.add(eve)
        await eve.login()
        await ann.login()
        bot.command("who")(lambda message: message.reply(str(message.account)))
        await ann.send(ann.contacts.find("Square"), "!who")
        said = {(await ear.next(GroupMessage)).content.text for _ in range(2)}
        assert said == {str(town.bob), str(town.eve)}
