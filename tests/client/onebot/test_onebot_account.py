"""An account by OneBot, by every way, with faults of the wire."""

from __future__ import annotations

import asyncio
import json

import pytest
from onebot_accounts import FAST, a_bot, an_account
from servers.onebot import ANN, BOB, BOT, EVE, SQUARE, Implementation
from tornado.httpclient import HTTPClientError
from waiting import until

from webqq_tornado import ConnectError, HTTPStream
from webqq_tornado.bot import Bot, Message
from webqq_tornado.client import ActionFailed, LoginError, SendError, State, Store
from webqq_tornado.client.onebot.account import OneBotAccount
from webqq_tornado.client.onebot.addresses import transport_of
from webqq_tornado.client.onebot.http import PostedEvents
from webqq_tornado.client.onebot.limits import SendLimits
from webqq_tornado.client.onebot.listener import Listener
from webqq_tornado.client.onebot.pictures import PictureError
from webqq_tornado.onebot.v11.actions import Answer
from webqq_tornado.onebot.v11.events import Request, build_event, parse_message_event
from webqq_tornado.onebot.v11.tokens import Role
from webqq_tornado.protocol.models import Attachment, Content


async def test_a_bot_answers_in_private():
    async with Implementation("secret") as here, a_bot(here) as bot:
        assert (bot.client.account, bot.client.nick, bot.client.state) == (BOT, "Bot", State.ONLINE)
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        assert here.sent == [(ANN, "pong")]


@pytest.mark.parametrize("said", ["!ping", "[CQ:at,qq=10000] ping", "[CQ:at,qq=10000]ping"])
async def test_a_bot_answers_in_a_group_when_it_is_meant(said: str):
    async with Implementation() as here, a_bot(here):
        here.say(ANN, "ping", SQUARE)
        here.say(ANN, said, SQUARE)
        await until(lambda: here.sent)
        assert here.sent == [(SQUARE, "pong")]


SENSELESS = {"post_type": "request", "request_type": "friend", "flag": None}


async def test_events_come_by_server_sent_events(caplog):
    async with Implementation("secret") as here, an_account(here.http, "secret") as account:
        bot = Bot(account)
        await account.login()
        await until(lambda: here._streams)
        here.tell(SENSELESS)
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        assert "dropped a frame that makes no sense (flag of" in caplog.text
        bot.close()


async def test_events_come_by_long_poll(caplog):
    async with Implementation() as here:
        async with an_account(here.http.replace("http:", "http+poll:")) as account:
            bot = Bot(account)
            await account.login()
            here.tell(SENSELESS)
            here.say(ANN, "ping")
            await until(lambda: here.sent)
            assert "dropped a frame that makes no sense (flag of" in caplog.text
            bot.close()


async def test_events_come_by_post(caplog):
    listener = Listener(port=0, token="key")
    async with Implementation("secret") as here, HTTPStream() as stream:
        way = PostedEvents(listener, stream, here.http, "secret")
        account = OneBotAccount(stream, way, limits=FAST)
        bot = Bot(account)
        await account.login()
        here.post_to(f"http://127.0.0.1:{listener.port}/onebot", "key")
        assert await here.post(here.message(ANN, "ping"), "wrong") == 403
        assert await here.post(SENSELESS) == 400
        assert "dropped a frame that makes no sense (flag of" in caplog.text
        assert await here.post(here.message(ANN, "ping")) == 204
        await until(lambda: here.sent)
        await account.flush()
        bot.close()
        account.leave()


async def test_an_implementation_connects_to_us():
    listener = Listener(port=0, token="key")
    async with Implementation() as here, an_account(listener.reverse()) as account:
        bot = Bot(account)
        login = asyncio.ensure_future(account.login())
        await until(lambda: listener.port)
        await asyncio.sleep(0)
        await here.connect(f"ws://127.0.0.1:{listener.port}/onebot/v11/ws", "key")
        await login
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        bot.close()


@pytest.mark.parametrize("refuses", ["http", "frame", "1008"])
@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_refused_token_ends_with_one_clear_line(refuses: str, token: str):
    async with Implementation("secret") as here, an_account(here.ws, token) as account:
        here.refuses = refuses
        words = "refuses the token" if token else "asks for a token"
        with pytest.raises(LoginError, match=words):
            await account.login()
        assert account.state is State.REJECTED


async def test_what_comes_twice_is_handled_once():
    async with Implementation() as here, an_account([here.ws, here.http]) as account:
        here.doubles = True
        bot = Bot(account)
        await account.login()
        await until(lambda: here._streams and here.sockets)
        for number in range(3):
            here.say(ANN, f"echo {number}")
        here.say(ANN, "echo 2")
        await until(lambda: len(here.sent) >= 4)
        await account.flush()
        assert [text for _, text in here.sent] == ["0", "1", "2", "2"]
        bot.close()


async def test_after_a_cut_it_is_back_and_has_what_was_missed_in_order():
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[tuple[str, bool]] = []
        bot.on_message(lambda message: heard.append((message.text, message.late)))
        here.say(ANN, "one", SQUARE)
        await until(lambda: heard)
        here.message(ANN, "two", SQUARE)
        here.message(BOB, "three", SQUARE)
        here.message(BOB, "four")
        here.cut()
        await until(lambda: bot.client.state is State.RECONNECTING)
        await until(lambda: len(heard) == 4)
        here.say(ANN, "five", SQUARE)
        await until(lambda: len(heard) == 5)
        in_group = [one for one in heard if one[0] != "four"]
        late = [("two", True), ("three", True)]
        assert in_group == [("one", False), *late, ("five", False)]
        assert ("four", True) in heard


@pytest.mark.parametrize("pages", ["backwards", "on demand", "forwards"])
async def test_many_missed_messages_come_by_pages(pages: str):
    async with Implementation() as here, a_bot(here) as bot:
        here.pages = pages
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0")
        await until(lambda: heard)
        for number in range(1, 180):
            here.message(ANN, str(number))
        here.cut()
        await until(lambda: len(heard) == 180)
        assert heard == [str(number) for number in range(180)]


async def test_a_process_that_starts_again_has_what_was_missed(tmp_path):
    heard: list[tuple[str, bool]] = []
    async with Implementation() as here:
        for text in ("one", "two"):
            if heard:
                here.message(ANN, "two")
                here.message(ANN, "two b", SQUARE)
            with Store(tmp_path / "bot.db") as store:
                async with a_bot(here, store=store) as bot:
                    bot.on_message(lambda message: heard.append((message.text, message.late)))
                    if not heard:
                        here.say(ANN, text)
                        await until(lambda: heard)
                    else:
                        await until(lambda: len(heard) == 3)
                        assert store.history()[0].text == "one"
    assert sorted(heard) == [("one", False), ("two", True), ("two b", True)]


async def test_without_a_history_what_comes_next_is_still_heard():
    async with Implementation() as here, a_bot(here) as bot:
        here.has_history = False
        here.say(ANN, "echo a")
        await until(lambda: here.sent)
        here.cut()
        await until(lambda: not bot.client.is_online)
        await until(lambda: bot.client.is_online)
        here.say(ANN, "echo b")
        await until(lambda: len(here.sent) == 2)


@pytest.mark.parametrize("echoes", ["", "message", "message_sent"])
@pytest.mark.parametrize(("fault", "times"), [("times_out", 1), ("loses", 1)])
async def test_a_send_with_unknown_outcome_arrives_once(echoes: str, fault: str, times: int):
    async with Implementation() as here, a_bot(here) as bot:
        here.echoes = echoes
        setattr(here, fault, times)
        await bot.client.send(bot.client.find("Ann"), "hello")
        await bot.client.send(bot.client.find("Square"), "hello")
        assert here.sent == [(ANN, "hello"), (SQUARE, "hello")]


async def test_without_a_history_an_unknown_outcome_is_not_sent_again(caplog):
    async with Implementation() as here, a_bot(here) as bot:
        here.has_history, here.times_out = False, 1
        with pytest.raises(SendError, match="outcome is unknown"):
            await bot.client.send(bot.client.find("Ann"), "hello")
        assert len(here.sent) == 1


async def test_a_cut_while_sending_sends_nothing_twice():
    async with Implementation() as here, a_bot(here) as bot:
        here.echoes = "message_sent"
        real = here._send

        def cut(*arguments):
            here._send = real
            answer = real(*arguments)
            here.cut()
            return answer

        here._send = cut
        await bot.client.send(bot.client.find("Ann"), "hello")
        await bot.client.send(bot.client.find("Ann"), "and")
        assert here.sent == [(ANN, "hello"), (ANN, "and")]


@pytest.mark.parametrize("echoes", ["message", "message_sent"])
async def test_a_bot_does_not_hear_itself(echoes: str):
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.echoes = echoes
        here.say(ANN, "ping", peer=ANN)
        await until(lambda: here.sent)
        here.say(BOT, "written on the phone", peer=ANN)
        here.say(ANN, "end")
        await until(lambda: "end" in heard)
        assert heard == ["ping", "end"]


async def test_a_mute_implementation_is_left_for_a_new_connection(monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.onebot.actions._TIMEOUT", 0.05)
    async with Implementation() as here, an_account(here.ws) as account:
        here.is_mute = True
        login = asyncio.ensure_future(account.login())
        await until(lambda: here.calls.count("get_login_info") == 2)
        here.is_mute = False
        here.cut()
        await login
        assert account.is_online


async def test_late_heartbeats_are_told_and_then_the_connection_is_given_up(monkeypatch, caplog):
    monkeypatch.setattr("webqq_tornado.client.onebot.reception._LEAST_INTERVAL", 0)
    async with Implementation() as here, a_bot(here) as bot:
        told: list[str] = []
        for name in ("late", "online", "reconnecting"):
            bot.on_event(name)(lambda event, name=name: told.append(name))
        here.beat(40)
        await until(lambda: "online" in told)
        assert told == ["late", "reconnecting", "online"]


async def test_a_conversation_that_refuses_rests_and_others_go_on(caplog):
    limits = SendLimits(pace=(0, 0), fail_max=2, rest=60)
    async with Implementation() as here, a_bot(here, limits=limits) as bot:
        here.fails["send_group_msg"] = Answer("failed", 100, None, "muted")
        square, ann = bot.client.find("Square"), bot.client.find("Ann")
        for match in ("muted", "muted", "in a row have failed"):
            with pytest.raises(SendError, match=match):
                await bot.client.send(square, "hello")
        assert here.calls.count("send_group_msg") == 2
        await bot.client.send(ann, "hello")


async def test_a_long_text_is_split_or_forwarded():
    limits = SendLimits(pace=(0, 0), max_bytes=10, forward_above=2)
    async with Implementation() as here, a_bot(here, limits=limits) as bot:
        square = bot.client.find("Square")
        await bot.client.send(square, "one two three")
        await bot.client.send(square, "one two three four five six seven")
        assert [text for _, text in here.sent] == ["one two", "three", "forward"]
        here.fails["send_group_forward_msg"] = Answer("failed", 1404, None, "no")
        await bot.client.send(square, "one two three four five")
        assert [text for _, text in here.sent][3:] == ["one two", "three four", "five"]


async def test_what_was_not_sent_is_sent_by_the_next_process_once(tmp_path, caplog):
    async with Implementation() as here:
        here.is_mute = False
        with Store(tmp_path / "bot.db") as store:
            async with an_account(here.ws, store=store) as account:
                await account.login()
                here.is_mute = True
                sending = account.send(account.find("Ann"), "hello")
                await until(lambda: "send_private_msg" in here.calls)
                account.leave()
                with pytest.raises(SendError, match="sent next time"):
                    await sending
        here.is_mute = False
        here.message(BOT, "hello", peer=ANN)  # it had arrived
        with Store(tmp_path / "bot.db") as store:
            async with an_account(here.ws, store=store) as account:
                await account.login()
                await account.flush()
        assert here.sent == []


async def test_pictures_are_fetched_at_once_and_kept(tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    async with Implementation() as here:
        here.pictures["a.png"] = png
        with Store(tmp_path / "bot.db") as store:
            async with a_bot(here, store=store) as bot:
                heard: list[Message] = []
                bot.on_message(heard.append)
                url = f"{here.http}/pictures/a.png"
                here.say(ANN, [{"type": "image", "data": {"file": "a.png", "url": url}}])
                await until(lambda: list(tmp_path.glob("*/*.png")))
                here.pictures.clear()
                await until(lambda: not bot.client._pictures._tasks)
                (part,) = heard[0].content.parts
                assert (await bot.client.picture(part)).data == png


@pytest.mark.parametrize(
    ("data", "match"), [(b"GIF8" + bytes(5000), "More than 1000 bytes"), (b"<html>", "no JPEG")]
)
async def test_a_picture_that_is_too_large_or_none_is_refused(data: bytes, match: str):
    async with Implementation() as here, a_bot(here, max_picture_size=1000) as bot:
        here.pictures["a"] = data
        part = Attachment("image", "", f"{here.http}/pictures/a")
        with pytest.raises(PictureError, match=match):
            await bot.client.picture(part)


async def test_a_picture_of_a_type_that_is_not_wanted_is_refused():
    async with Implementation() as here, an_account(here.ws, picture_types=["png"]) as account:
        part = Attachment.of_bytes(b"GIF89a")
        with pytest.raises(PictureError, match="it is gif, and wanted are png"):
            await account.picture(part)


@pytest.mark.parametrize(
    "wrong",
    [{"pace": (2, 1)}, {"max_bytes": 3}, {"timeout": 0}, {"looks": ()}, {"looks": (-1,)},
     {"fail_max": 0}, {"rest": -1}, {"forward_above": -1}],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SendLimits(**wrong)


async def test_a_friend_request_is_answered():
    async with Implementation() as here, a_bot(here) as bot:

        @bot.on_event("friend_request")
        async def accept(event):
            await event.client.answer_friend_request(event.number)

        request = Request(BOT, "friend", "flag 1", EVE, comment="it is me")
        here.tell(build_event(request))
        await until(lambda: "set_friend_add_request" in here.calls)
        assert here.given[-1].raw["flag"] == "flag 1"


async def test_another_account_than_the_one_that_is_wanted_is_refused():
    async with Implementation() as here, an_account(here.ws, account=999) as account:
        with pytest.raises(LoginError, match="holds the account 10000"):
            await account.login()


async def test_nobody_there_is_an_error_of_the_first_login():
    async with an_account("ws://127.0.0.1:1") as account:
        with pytest.raises(ConnectError):
            await account.login()


async def test_two_connections_of_api_and_event_are_one_account():
    listener = Listener(port=0)
    async with Implementation() as here, an_account(listener.reverse()) as account:
        bot = Bot(account)
        login = asyncio.ensure_future(account.login())
        await asyncio.sleep(0)
        url = f"ws://127.0.0.1:{listener.port}/ws/"
        await here.connect(url, role=Role.API)
        await here.connect(url, role=Role.EVENT)
        await login
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        bot.close()


async def test_a_newer_reverse_connection_takes_the_place_of_the_old_one():
    listener = Listener(port=0)
    async with Implementation() as here, an_account(listener.reverse()) as account:
        bot = Bot(account)
        login = asyncio.ensure_future(account.login())
        await asyncio.sleep(0)
        url = f"ws://127.0.0.1:{listener.port}/ws"
        old = await here.connect(url)
        await login
        await here.connect(url)
        assert await old.ended == 1000
        await until(lambda: account.is_online)
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        bot.close()


async def test_two_accounts_share_a_port(caplog):
    listener = Listener(port=0, token="key")
    async with Implementation() as one, Implementation(account=30000) as two:
        async with (
            an_account(listener.reverse(BOT)) as first,
            an_account(listener.reverse(30000)) as second,
        ):
            logins = [asyncio.ensure_future(each.login()) for each in (first, second)]
            await asyncio.sleep(0)
            url = f"ws://127.0.0.1:{listener.port}/ws"
            await two.connect(url, "key")
            await one.connect(url, "key")
            await asyncio.gather(*logins)
            assert (first.account, second.account) == (BOT, 30000)
            async with Implementation(account=5) as third:
                with pytest.raises(HTTPClientError, match="403"):
                    await third.connect(url, "key")
            with pytest.raises(HTTPClientError, match="401"):
                await one.connect(url)


def test_a_port_for_everybody_needs_a_token():
    with pytest.raises(ValueError, match="without a token"):
        Listener("0.0.0.0", 8080)


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("ftp://a", "begins with"),
        ("127.0.0.1:3001", "begins with"),
        ("reverse://127.0.0.1", "port"),
        ("http+post://127.0.0.1:1", "listen"),
    ],
)
async def test_a_wrong_url_says_which_is_right(url: str, match: str):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match=match):
            transport_of(stream, url)


async def test_a_bot_runs_by_itself(tmp_path):
    bot = Bot()
    async with Implementation("secret") as here:
        serving = asyncio.ensure_future(
            bot.serve(onebot=here.ws, token="secret", store=tmp_path / "bot.db", signals=False)
        )
        await until(lambda: bot.clients and bot.client.state is State.ONLINE)
        here.say(ANN, "ping")
        await until(lambda: here.sent)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert here.sent == [(ANN, "pong")]


async def test_the_example_knows_a_picture_that_it_has_seen():
    png = b"\x89PNG\r\n\x1a\n" + bytes(9)
    async with Implementation() as here, a_bot(here) as bot:
        bot.load_plugin("webqq_tornado.examples.pictures")
        here.pictures["a.png"] = png
        image = {"type": "image", "data": {"file": "a", "url": f"{here.http}/pictures/a.png"}}
        here.say(ANN, [image], SQUARE)
        here.say(BOB, [image], SQUARE)
        await until(lambda: here.contents)
        at, text = here.contents[0]
        assert (at.text("qq"), text.text("text")) == (str(BOB), " that one is of Ann")


# -- what users of other frameworks have reported ---------------------------------------------


async def test_a_history_of_one_message_at_a_time_is_read_to_the_end():
    """NapCat issue 863."""
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(lambda message: heard.append(message.text))
        here.say(ANN, "0")
        await until(lambda: heard)
        here.page = 2
        for number in range(1, 6):
            here.message(ANN, str(number))
        here.cut()
        await until(lambda: len(heard) == 6)
        assert heard == ["0", "1", "2", "3", "4", "5"]


async def test_a_send_that_qq_refused_is_not_taken_for_sent_though_the_history_has_it(caplog):
    """NapCat issue 182."""
    async with Implementation() as here, a_bot(here) as bot:
        here.times_out = 1
        here.timeout = 'Timeout: EventRet: {"result": -1, "errMsg": "rich media transfer failed"}'
        with pytest.raises(SendError, match="rich media"):
            await bot.client.send(bot.client.find("Ann"), "hello")


async def test_what_always_times_out_is_given_up_after_two_sends(caplog):
    """NapCat issue 808: a link that QQ blocks."""
    limits = SendLimits(pace=(0, 0), looks=(0.01,), fail_max=2)
    async with Implementation() as here, a_bot(here, limits=limits) as bot:
        here.loses = 100
        ann = bot.client.find("Ann")
        for match in ("such as a link", "such as a link", "in a row have failed"):
            with pytest.raises(SendError, match=match):
                await bot.client.send(ann, "http://blocked.example/")
        assert here.calls.count("send_private_msg") == 4


async def test_a_temporary_session_is_answered_through_its_group():
    """LuckyLilliaBot issue 397, koishi adapter-onebot issue 68."""
    async with Implementation() as here, a_bot(here):
        temporary = here.message(EVE, "ping")
        here.tell({**temporary, "sub_type": "group", "temp_source": SQUARE})
        await until(lambda: here.sent)
        call = next(one for one in here.given if one.action == "send_private_msg")
        assert (call.raw["user_id"], call.raw["group_id"]) == (EVE, SQUARE)


@pytest.mark.parametrize(
    "said",
    [
        "[CQ:reply,id=1][CQ:at,qq=10001] [CQ:at,qq=10000] ping",
        "[CQ:reply,id=1][CQ:at,qq=10000][CQ:at,qq=10000] ping",
    ],
)
async def test_a_bot_is_meant_behind_a_quotation(said: str):
    """nonebot adapter-onebot issue 108."""
    async with Implementation() as here, a_bot(here):
        here.say(BOB, said, SQUARE)
        await until(lambda: here.sent)
        assert here.sent == [(SQUARE, "pong")]


async def test_a_bot_is_meant_by_who_quotes_it():
    async with Implementation() as here, a_bot(here) as bot:
        heard: list[str] = []
        bot.on_message(at_me=True)(lambda message: heard.append(message.said))
        here.say(ANN, "!ping", SQUARE)
        await until(lambda: here.sent)
        await bot.client.flush()
        own = here.history[True, SQUARE][-1]["message_id"]
        here.say(ANN, f"[CQ:reply,id={own + 50}]no", SQUARE)
        here.say(ANN, f"[CQ:reply,id={own}]thanks", SQUARE)
        await until(lambda: "thanks" in heard)
        assert heard == ["ping", "thanks"]


async def test_a_picture_is_sent_with_its_bytes_and_kept_without(tmp_path):
    """AstrBot issue 9158, ncatbot issue 129, aiocqhttp issue 18: containers, data:, 5 MB."""
    data = bytes(5 * 2**20)
    async with Implementation() as here:
        with Store(tmp_path / "bot.db") as store:
            async with a_bot(here, store=store) as bot:
                ann = bot.client.find("Ann")
                await bot.client.send(ann, Content.of(Attachment.of_bytes(data)))
                await bot.client.send(ann, Content.of(Attachment("image", "data:x/y;base64,AAAA")))
                files = [message[0].text("file") for message in here.contents]
                assert len(files[0]) > len(data)
                assert files[1] == "base64://AAAA"
                kept = [entry.content.parts[0].file for entry in store.history()]
                assert max(map(len, kept)) < 50


async def test_binary_frames_and_cq_strings_are_read():
    """Q-agent issue 17, NapCat issue 294."""
    async with Implementation() as here, a_bot(here):
        said = here.message(ANN, "[CQ:at,qq=10000] ping", SQUARE)
        event = {**said, "message": said["raw_message"], "message_format": "string"}
        for socket in tuple(here.sockets):
            await socket.write_message(json.dumps(event).encode(), binary=True)
        await until(lambda: here.sent)


async def test_members_of_groups_are_fetched_one_group_after_the_other():
    """go-cqhttp issue 225."""
    async with Implementation() as here, a_bot(here) as bot:
        running = most = 0
        real = here.answer

        async def answer(call):
            nonlocal running, most
            running += call.action == "get_group_member_list"
            most = max(most, running)
            await asyncio.sleep(0)
            result = await real(call)
            running -= call.action == "get_group_member_list"
            return result

        here.answer = answer
        here._get_group_list = lambda **_: [{"group_id": each} for each in range(1, 30)]
        for group in range(1, 30):
            here.say(ANN, "a", group)
        await until(lambda: len(bot.client._inbox.known_groups) == 29)
        here.cut()
        await until(lambda: here.calls.count("get_group_member_list") >= 29)
        assert most == 1


def test_a_time_that_is_none_is_zero():
    """Stapxs-QQ-Lite issue 87."""
    raw = {"message_id": 1, "time": -(2**31), "message": "a", "sender": {"user_id": 5}}
    assert parse_message_event(raw).time == 0


async def test_an_account_whose_stream_is_closed_says_so_and_no_task_fails():
    async with Implementation() as here:
        stream = HTTPStream()
        account = OneBotAccount(stream, here.ws)
        await account.login()
        stream.close()
        await until(lambda: account.state is State.RECONNECTING)
        await until(account.transports[0]._task.done)
        assert account.transports[0]._task.exception() is None
        account.leave()


async def test_an_address_without_an_implementation_is_an_error_of_the_first_login():
    async with Implementation() as here, an_account(f"{here.http}/pictures/none") as account:
        with pytest.raises(ActionFailed, match="does not answer as an implementation does"):
            await account.login()


async def test_of_what_an_earlier_process_left_only_the_first_may_have_been_sent(tmp_path, caplog):
    async with Implementation() as here:
        with Store(tmp_path / "bot.db") as store:
            async with an_account(here.ws, store=store) as account:
                await account.login()
                here.is_mute = True
                for text in ("one", "two", "three"):
                    account.send(account.find("Ann"), text)
                await until(lambda: "send_private_msg" in here.calls)
                account.leave()
        here.is_mute = False
        here.given.clear()
        with Store(tmp_path / "bot.db") as store:
            async with an_account(here.ws, store=store) as account:
                await account.login()
                await account.flush()
        assert [text for _, text in here.sent] == ["one", "two", "three"]
        asked = [one for one in here.given if one.action == "get_friend_msg_history"]
        # For what was missed, and two looks for the first.
        assert len([one for one in asked if one.raw["user_id"] == ANN]) == 3


async def test_a_look_that_is_cut_off_waits_for_the_next_connection():
    async with Implementation() as here, a_bot(here) as bot:
        here.times_out = 1
        real = here._page

        def cut(*arguments):
            here._page = real
            here.cut()
            return real(*arguments)

        here._page = cut
        await bot.client.send(bot.client.find("Ann"), "hello")
        assert here.sent == [(ANN, "hello")]


async def test_an_own_message_that_comes_during_the_last_look_is_found():
    limits = SendLimits(pace=(0, 0), looks=(0.01,))
    async with Implementation() as here, a_bot(here, limits=limits) as bot:
        here.times_out = 1
        real = here._page

        def tell_first(is_group, peer, *arguments):
            here._page = real
            here.tell({**here.history[False, ANN][-1], "post_type": "message_sent"})
            return real(is_group, peer, *arguments)

        here._page = tell_first
        await bot.client.send(bot.client.find("Ann"), "hello")
        assert here.sent == [(ANN, "hello")]


async def test_a_history_that_is_too_long_to_read_is_no_proof(caplog):
    async with Implementation() as here, a_bot(here) as bot:
        here.times_out = 1
        real = here._send

        def send(*arguments):
            answer = real(*arguments)
            for _ in range(1500):
                here.message(ANN, "noise", SQUARE)
            return answer

        here._send = send
        with pytest.raises(SendError, match="there are more than"):
            await bot.client.send(bot.client.find("Square"), "hello")
        assert here.sent == [(SQUARE, "hello")]


@pytest.mark.parametrize("pages", ["backwards", "on demand", "forwards"])
async def test_a_message_of_unknown_outcome_is_found_behind_many_others(pages: str):
    async with Implementation() as here, a_bot(here) as bot:
        here.times_out, here.pages = 1, pages
        real = here._send

        def send(*arguments):
            answer = real(*arguments)
            for _ in range(130):
                here.message(ANN, "noise", SQUARE)
            return answer

        here._send = send
        await bot.client.send(bot.client.find("Square"), "hello")
        assert here.sent == [(SQUARE, "hello")]
