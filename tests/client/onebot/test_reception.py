"""Events of an implementation on their way to the account: order, gaps, health."""

from __future__ import annotations

import asyncio
import time

from onebot_accounts import a_bot, an_account
from servers.onebot import ANN, BOT, Implementation
from waiting import until

from webqq_tornado.bot import Bot
from webqq_tornado.client import Store
from webqq_tornado.client.onebot.heartbeats import Heartbeats


def slow_history(here: Implementation) -> asyncio.Event:
    """The history answers once the event is set."""
    real, gate = here.answer, asyncio.Event()

    async def answer(call):
        if call.action.endswith("_history"):
            here.calls.append(call.action)
            await gate.wait()
        return await real(call)

    here.answer = answer
    return gate


async def test_what_comes_in_live_does_not_hide_what_was_missed():
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0")
        await until(lambda: heard)
        here.page = 3
        for number in range(1, 8):
            here.message(ANN, str(number))
        gate = slow_history(here)
        here.calls.clear()
        here.cut()
        await until(lambda: "get_friend_msg_history" in here.calls)
        for number in range(8, 12):
            here.say(ANN, str(number))
        gate.set()
        await until(lambda: len(heard) == 12)
        assert heard == [str(number) for number in range(12)]


async def test_what_comes_in_before_the_greeting_does_not_hide_what_was_missed():
    now = int(time.time())
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0", time=now - 100)
        await until(lambda: heard)
        here.message(ANN, "missed", time=now - 50)
        real = here.answer

        async def answer(call):
            if call.action == "get_login_info":
                here.say(ANN, "live", time=now)
            return await real(call)

        here.answer = answer
        here.cut()
        await until(lambda: len(heard) == 3)
        assert heard == ["0", "missed", "live"]


async def test_what_was_missed_and_what_came_in_are_in_the_order_of_the_history():
    """What came in first, between the cuts, is older than what was missed then."""
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0")
        await until(lambda: heard)
        real = here.answer

        async def answer(call):
            if call.action == "get_login_info":
                here.say(ANN, "1")
                here.message(ANN, "2")
                here.say(ANN, "3")
                here.message(ANN, "4")
            return await real(call)

        here.answer = answer
        here.cut()
        await until(lambda: len(heard) == 5)
        assert heard == ["0", "1", "2", "3", "4"]


async def test_what_was_missed_is_fetched_also_when_the_fetching_is_cut_off():
    now = int(time.time())
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0", time=now - 100)
        await until(lambda: heard)
        here.message(ANN, "missed", time=now - 50)
        gate = slow_history(here)
        here.calls.clear()
        here.cut()
        await until(lambda: "get_friend_msg_history" in here.calls)
        here.say(ANN, "live", time=now)
        await until(lambda: any(bot.client._catchup._held.values()))
        here.cut()
        gate.set()
        await until(lambda: len(heard) == 3)
        assert sorted(heard) == ["0", "live", "missed"]


async def test_what_comes_before_the_account_is_known_is_on_record_and_own_is_own(tmp_path):
    async with Implementation() as here:
        real, heard = here.answer, []

        async def answer(call):
            if call.action == "get_login_info":
                here.say(BOT, "own", peer=ANN)
                here.say(ANN, "early")
            return await real(call)

        here.answer = answer
        with Store(tmp_path / "bot.db") as store:
            async with an_account(here.ws, store=store) as account:
                bot = Bot(account)
                bot.on_message(lambda message: heard.append(message.text))
                await account.login()
                await until(lambda: heard)
                assert heard == ["early"]
                assert [entry.text for entry in store.history()] == ["own", "early"]
                bot.close()


async def test_an_own_message_does_not_hide_what_others_wrote_before(tmp_path, caplog):
    heard: list[str] = []
    async with Implementation() as here:
        here.echoes = "message_sent"
        real = here.answer
        for is_second in (False, True):
            with Store(tmp_path / "bot.db") as store:
                async with an_account(here.ws, store=store) as account:
                    bot = Bot(account)
                    bot.on_message(lambda message: heard.append(message.text))
                    await account.login()
                    if not is_second:
                        here.say(ANN, "one")
                        await until(lambda: heard)
                        missed = here.message(ANN, "two")
                        missed["time"] += 10
                        slow_history(here)
                        here.cut()
                        await until(lambda: not account.is_online)
                        await until(lambda: account.is_online)
                        own = here.message(BOT, "own", peer=ANN)
                        own["time"] += 20
                        await account.send(account.find("Ann"), "own, too")
                        here.tell(own)
                        await asyncio.sleep(0.05)
                    else:
                        await until(lambda: len(heard) == 2)
                    account.leave()
                    bot.close()
            here.answer = real
    assert heard == ["one", "two"]


async def test_an_own_message_without_a_receiver_is_passed_over():
    """nonebot adapter-onebot issue 103: Lagrange does not tell to whom it went."""
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[object] = []
        bot.client.on_event(heard.append)
        own = here.message(BOT, "on the phone", peer=ANN)
        here.tell({**own, "post_type": "message", "target_id": BOT})
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        assert [one.sender for one in heard] == [ANN]


async def test_heartbeats_whose_interval_is_in_seconds_lose_no_connection(monkeypatch):
    expected: list[float] = []
    monkeypatch.setattr(Heartbeats, "expect", lambda _self, seconds: expected.append(seconds))
    async with Implementation() as here, a_bot(here):
        for interval in (5, 30_000):
            here.beat(interval)
        await until(lambda: len(expected) == 2)
    assert expected == [5, 30]


async def test_an_account_that_is_offline_is_told_from_a_lost_connection(caplog):
    async with Implementation() as here, a_bot(here) as bot:
        told: list[str] = []
        for name in ("offline", "online", "reconnecting"):
            bot.on_event(name)(lambda event, name=name: told.append(name))
        here.online = False
        here.beat()
        await until(lambda: told == ["offline"])
        receipt = bot.client.send(bot.client.find("Ann"), "later")
        here.online = True
        here.beat()
        await receipt
        assert told == ["offline", "online"]
