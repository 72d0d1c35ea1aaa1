"""Questions of a bot, and events, schedules and values."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from servers.bots import a_bot, answer, chatting, group_answer
from servers.town import PASSWORD, Town

from webqq_tornado.bot import Bot, NoAnswerError
from webqq_tornado.bot.event_types import EVENTS
from webqq_tornado.client import Client, Endpoints, State, StateChange, Store
from webqq_tornado.client.context import Loss
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import FriendMessage, GroupMessage


async def test_an_answer_goes_to_who_asked_alone():
    async with chatting() as (bot, ann, ear):
        heard = []

        @bot.command("weather")
        async def weather(message):
            city = await message.ask("Which city?")
            message.reply(f"fine in {city.text}")

        bot.on_message(lambda message: heard.append(message.text))
        assert await answer(ann, ear, "weather") == "Which city?"
        assert await answer(ann, ear, "ping") == "fine in ping"
        assert await answer(ann, ear, "ping") == "pong"
        assert heard == ["weather", "ping"]


@pytest.mark.slow
async def test_in_a_group_only_who_was_asked_answers_and_others_are_served_meanwhile():
    async with Town() as town, a_bot(town) as bot:
        ann, ann_hears = town.client(town.ann)
        eve, eve_hears = town.client(town.eve)
        await ann.login()
        await eve.login()

        @bot.command("quiz")
        async def quiz(message):
            guess = await bot.ask(message, "Six times seven?", timeout=90)
            message.reply(f"{guess.sender} says {guess.text}")

        assert await group_answer(ann, ann_hears, "!quiz") == "Six times seven?"
        await eve_hears.next(GroupMessage)  # Ann
        await eve_hears.next(GroupMessage)  # the question
        assert await group_answer(eve, eve_hears, "!ping") == "pong"
        await ann.send(ann.contacts.find("Square"), "42")
        texts = [(await eve_hears.next(GroupMessage)).content.text for _ in range(2)]
        assert texts == ["42", "Ann says 42"]


async def test_a_question_by_name_goes_to_a_friend():
    async with chatting() as (bot, ann, ear):
        asked = asyncio.ensure_future(bot.ask("Ann", "Shall I?"))
        assert (await ear.next(FriendMessage)).content.text == "Shall I?"
        await ann.send(ann.contacts.find("Bob"), "yes")
        assert (await asked).text == "yes"


async def test_who_does_not_answer_in_time_is_named():
    async with chatting() as (bot, _, _):
        with pytest.raises(NoAnswerError, match=r"Ann did not answer 'Shall I\?' within 0.05 s"):
            await bot.ask("Ann", "Shall I?", timeout=0.05)
        assert len(bot._dispatch.asks) == 0


async def test_a_question_by_number_finds_out_whose_it_is():
    async with chatting() as (bot, ann, ear):
        asked = asyncio.ensure_future(bot.ask(10001, "Shall I?"))
        assert (await ear.next(FriendMessage)).content.text == "Shall I?"
        await ann.send(ann.contacts.find("Bob"), "yes")
        assert (await asked).text == "yes"


@pytest.mark.slow
async def test_a_question_is_still_open_in_the_next_session(tmp_path: Path):
    async with Town(tmp_path / "server.db", poll_timeout=0.2) as town, a_bot(town) as bot:
        ann, ear = town.client(town.ann)
        await ann.login()
        asked = asyncio.ensure_future(bot.ask("Ann", "Shall I?"))
        assert (await ear.next(FriendMessage)).content.text == "Shall I?"
        for one in (ann, bot.client):
            mark = one.session_mark
            online = asyncio.Event()
            one.on_event(lambda event, online=online: _set_when_online(event, online))
            one._context.report_loss(Loss("a test"))
            await online.wait()
            assert one.session_mark != mark
        await ann.send(ann.contacts.find("Bob"), "yes")
        assert (await asked).text == "yes"


def _set_when_online(event: object, online: asyncio.Event) -> None:
    if isinstance(event, StateChange) and event.state is State.ONLINE:
        online.set()


@pytest.mark.slow
async def test_in_smartqq_questions_are_asked_as_well():
    async with Town() as town:
        client, _ = town.smart_client(town.confirm_as(town.bob))
        ann, ear = town.client(town.ann)
        bot = Bot(client, "Bob")
        await client.login()
        await ann.login()

        @bot.command("weather", friend=town.ann)
        async def weather(message):
            message.reply(f"fine in {(await message.ask('Where?')).text}")

        assert await answer(ann, ear, "weather") == "Where?"
        assert await answer(ann, ear, "Oslo") == "fine in Oslo"
        bot.close()


async def test_nobody_is_asked_who_is_not_known():
    async with chatting() as (bot, _, _):
        with pytest.raises(LookupError, match="no contact 'Nobody'"):
            await bot.ask("Nobody", "Shall I?")


# -- events ----------------------------------------------------------------------------------------


async def test_friends_come_and_go():
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()
        for name in ("friend_online", "friend_offline", "status"):
            bot.on_event(name)(lambda event, name=name: heard.put_nowait((name, event)))
        ann, _ = town.client(town.ann)
        await ann.login()
        name, event = await heard.get()
        assert (name, str(event.friend), event.status) == ("friend_online", "Ann", Status.ONLINE)
        assert event.account == town.bob
        await heard.get()
        await ann.set_status(Status.AWAY)
        assert (await heard.get())[0] == "status"
        await ann.logout()
        assert (await heard.get())[0] == "friend_offline"


async def test_a_bot_hears_how_its_client_is():
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()
        bot.on_event("kicked", "offline")(heard.put_nowait)
        twin, _ = town.client(town.bob)
        await twin.login()
        event = await heard.get()
        assert event.state is State.KICKED
        assert event.client is bot.client


async def test_a_bot_hears_of_a_session_that_is_lost_and_of_the_next():
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()
        bot.on_event("reconnecting", "online")(heard.put_nowait)
        bot.client._context.report_loss(Loss("a test"))
        first, second = await heard.get(), await heard.get()
        assert (first.state, first.reason) == (State.RECONNECTING, "a test")
        assert second.state is State.ONLINE


async def test_groups_and_requests_are_told():
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()
        bot.on_event("group_leave", "friend_request")(heard.put_nowait)
        hub = town.server.hub
        hub.requested(town.eve, town.bob, "it is me")
        request = await heard.get()
        assert (request.text, request.number) == ("it is me", town.eve)
        hub.group_changed(town.square, "group_leave", member=town.eve)
        change = await heard.get()
        assert (change.group.name, str(change.person)) == ("Square", "Eve")


async def test_a_friend_who_types_is_told():
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()
        bot.on_event("typing")(heard.put_nowait)
        town.server.hub.typing(town.ann, town.bob)
        assert str((await heard.get()).friend) == "Ann"


async def test_an_event_that_is_none_is_refused_with_a_list():
    async with chatting() as (bot, _, _):
        with pytest.raises(ValueError, match=r"friend_onlin'.*friend_online, friend_offline"):
            bot.on_event("friend_onlin")
        with pytest.raises(ValueError, match="at least one"):
            bot.on_event()
    assert {"online", "reconnecting", "rejected", "group_admin", "typing"} <= set(EVENTS)


async def test_a_listener_that_raises_is_logged_and_stops_nothing(caplog):
    async with Town() as town, a_bot(town) as bot:
        heard: asyncio.Queue = asyncio.Queue()

        @bot.on_event("typing")
        async def fail(event):
            raise KeyError("oops")

        bot.on_event("typing")(heard.put_nowait)
        town.server.hub.typing(town.ann, town.bob)
        await heard.get()
    assert "fail" in caplog.text
    assert "oops" in caplog.text


# -- schedules -------------------------------------------------------------------------------------


async def test_a_schedule_does_not_run_twice_at_a_time():
    async with chatting() as (bot, _, _):
        began, go_on = asyncio.Queue(), asyncio.Event()

        @bot.every(0.01)
        async def slow():
            began.put_nowait(None)
            await go_on.wait()

        runs: asyncio.Queue = asyncio.Queue()
        bot.every(0.01)(lambda: runs.put_nowait(None))
        for _ in range(5):
            await runs.get()
        assert began.qsize() == 1
        go_on.set()


@pytest.mark.slow
async def test_a_cron_expression_with_seconds_is_kept():
    async with chatting() as (bot, _, _):
        runs: asyncio.Queue = asyncio.Queue()
        bot.cron("* * * * * *", tz="UTC")(lambda: runs.put_nowait(None))
        await runs.get()


async def test_a_schedule_that_is_none_is_refused():
    async with chatting() as (bot, _, _):
        with pytest.raises(ValueError, match="above 0"):
            bot.every(0)
        with pytest.raises(ValueError, match="not a cron expression"):
            bot.cron("soon")


# -- values ----------------------------------------------------------------------------------------


def check_drawer(drawer) -> None:
    drawer["Ann"] = {"times": [1, None, "二"]}
    assert drawer["Ann"] == {"times": [1, None, "二"]}
    drawer["Ann"]["times"].append(2)  # of a copy
    assert drawer["Ann"] == {"times": [1, None, "二"]}
    assert (list(drawer), len(drawer), "Bob" in drawer) == (["Ann"], 1, False)
    with pytest.raises(TypeError):
        drawer["set"] = {1}
    with pytest.raises(TypeError, match="a text"):
        drawer[1] = 1
    del drawer["Ann"]
    with pytest.raises(KeyError):
        del drawer["Ann"]
    assert drawer.get("Ann", 0) == 0


async def test_values_are_kept_in_memory_without_a_store():
    async with chatting() as (bot, _, _):
        check_drawer(bot.store("scores"))
        assert bot.store("other").get("Ann") is None


async def test_values_outlive_the_bot_with_a_store(tmp_path: Path):
    async with Town() as town:
        for times in (1, 2):
            with Store(tmp_path / "client.db") as store:
                here = Endpoints.at(town.server.url)
                client = Client(town.stream, town.bob, PASSWORD, here, store=store)
                drawer = Bot(client).store("scores")
                drawer["starts"] = drawer.get("starts", 0) + 1
                assert drawer["starts"] == times
                check_drawer(Bot(client).store("others"))
