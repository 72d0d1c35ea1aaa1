"""Forward WebSockets: who is let in, what comes first, what survives a cut."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import pytest
from servers.applications import TOKEN, ask, drive, forward
from servers.town import Town
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect
from waiting import until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from webqq_tornado.server.onebot import access
from webqq_tornado.server.storage import Conversation, load_content


def say(town: Town, sender: int, *parts: object, group: int = 0, to: int = 0) -> int:
    where = Conversation("group", group) if group else Conversation("friend", to)
    return town.server.hub.send(sender, where, load_content(list(parts))).id


async def test_the_lifecycle_comes_first_and_then_what_happens():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            number = say(town, town.ann, "hello", ["face", 14], to=town.bob)
            assert await app._read()
            (first,) = app.events
            assert (first["meta_event_type"], first["sub_type"]) == ("lifecycle", "connect")
            assert first["self_id"] == town.bob
            event = await app.event()
    assert event["message_id"] == number
    assert event["raw_message"] == "hello[CQ:face,id=14]"
    assert event["message"] == [
        {"type": "text", "data": {"text": "hello"}},
        {"type": "face", "data": {"id": "14"}},
    ]
    assert (event["message_type"], event["sub_type"], event["font"]) == ("private", "friend", 0)
    assert event["sender"]["nickname"] == "Ann"
    assert "late" not in event


async def test_a_group_message_has_all_that_frameworks_insist_on():
    async with Town() as town:
        drive(town, town.bob, format="string")
        async with forward(town, town.bob) as app:
            say(town, town.ann, "a, [b] & c", group=town.square)
            event = await app.event()
    assert event["anonymous"] is None
    assert event["message"] == event["raw_message"] == "a, &#91;b&#93; &amp; c"
    assert (event["group_id"], event["sub_type"]) == (town.square, "normal")
    assert event["sender"]["role"] == "owner"


@pytest.mark.parametrize("echo", ["e", 5, {"seq": 1}, None, [1]])
async def test_the_echo_comes_back_unchanged_also_for_what_is_unknown(echo: object):
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob, "/api") as app:
            known = await app.call("get_login_info", echo)
            unknown = await app.call("dance", echo)
    assert known["data"] == {"user_id": town.bob, "nickname": "Bob"}
    assert (unknown["status"], unknown["retcode"]) == ("failed", 1404)


async def test_a_frame_that_is_no_call_is_answered():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            frames = ("{", "[]", '{"params":{}}', '{"action":"get_status","params":[]}')
            for frame in (*frames, '{"action":"get_status","echo":NaN}', "[" * 100_000):
                await app.socket.write_message(frame)
            while len(app.answers) < 6:
                assert await app._read()
            assert {each["retcode"] for each in app.answers} == {1400}


@pytest.mark.parametrize("call", ['"action":5', '"params":{}', '"action":"get_msg","params":[1]'])
async def test_the_echo_of_a_frame_that_is_no_call_comes_back_as_well(call: str):
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.socket.write_message(f'{{{call},"echo":{{"seq":1}}}}')
            assert (await app.answer({"seq": 1}))["retcode"] == 1400


async def test_event_takes_no_action_and_api_gets_no_event():
    async with Town() as town:
        drive(town, town.bob)
        async with (
            forward(town, town.bob, "/event") as events,
            forward(town, town.bob, "/api/") as api,
        ):
            await events.socket.write_message('{"action":"send_private_msg","params":{}}')
            say(town, town.ann, "hello", to=town.bob)
            assert (await events.event())["raw_message"] == "hello"
            assert (await api.data("get_status"))["online"] is True
            assert events.answers == api.events == []


@pytest.mark.parametrize(("given", "status"), [({}, 401), ({"Authorization": "Bearer wrong"}, 403)])
async def test_a_token_that_is_missing_or_wrong_is_refused(given: dict, status: int):
    async with Town() as town:
        drive(town, town.bob, token=TOKEN)
        with pytest.raises(HTTPClientError) as refused:
            async with forward(town, town.bob, **given):
                pass
        assert refused.value.code == status


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"Authorization": f"Bearer {TOKEN}"}),
        ("/", {"Authorization": f"token {TOKEN}"}),
        (f"/?access_token={TOKEN}", {}),
        (f"/event?access_token={TOKEN}", {}),
        (f"/?access_token={TOKEN}", {"Origin": "[object Object]"}),
    ],
)
async def test_a_token_is_taken_in_a_header_and_in_the_query(path: str, headers: dict):
    async with Town() as town:
        drive(town, town.bob, token=TOKEN)
        async with forward(town, town.bob, path, **headers) as app:
            assert (await app.event("lifecycle"))["self_id"] == town.bob


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
async def test_no_web_page_drives_an_account(headers: dict):
    async with Town() as town:
        drive(town, town.bob)
        with pytest.raises(HTTPClientError) as refused:
            async with forward(town, town.bob, **headers):
                pass
        assert refused.value.code == 403


async def test_what_happens_while_an_application_is_away_is_handed_over_in_order_and_marked():
    async with Town() as town:
        drive(town, town.bob)
        say(town, town.ann, "before anybody came", to=town.bob)
        async with forward(town, town.bob) as app:
            say(town, town.ann, "here", to=town.bob)
            assert (await app.event())["raw_message"] == "here"
            target = town.server.onebot.accounts[town.bob].target("forward")
            await _confirmed(app, target, town)
        for number in range(5):
            say(town, town.ann, f"away {number}", to=town.bob)
        async with forward(town, town.bob) as app:
            late = [await app.event() for _ in range(5)]
            say(town, town.ann, "back", to=town.bob)
            back = await app.event()
    assert [each["raw_message"] for each in late] == [f"away {number}" for number in range(5)]
    assert all(each["late"] is True for each in late)
    assert (back["raw_message"], "late" in back) == ("back", False)


async def _confirmed(app, target, town: Town) -> None:
    """Wait until the server knows that the application has read everything."""
    newest = town.server.onebot.accounts[town.bob].newest
    while target.cursor < newest:
        await app.data("get_status")  # tornado's client answers pings while it reads


@pytest.mark.parametrize("way", ["socket", "http"])
async def test_who_comes_back_finds_in_the_history_what_was_still_on_its_way(way: str):
    """Else it would send it again."""
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def held(_quota: str) -> None:
        begun.set()
        await may_go_on.wait()

    async with Town() as town:
        drive(town, town.bob)
        account = town.server.onebot.accounts[town.bob]
        account.spend = held  # type: ignore[method-assign]
        await (_send_and_leave if way == "socket" else _post_and_leave)(town, begun)
        async with forward(town, town.bob) as app:
            ask = {"action": "get_friend_msg_history", "params": {"user_id": town.ann}, "echo": "h"}
            await app.socket.write_message(json.dumps(ask))
            await app.call("get_status")
            assert not app.answers  # it waits
            may_go_on.set()
            found = (await app.answer("h"))["data"]["messages"]
    assert [each["raw_message"] for each in found] == ["hello"]


async def _send_and_leave(town: Town, begun: asyncio.Event) -> None:
    async with forward(town, town.bob) as app:
        params = {"user_id": town.ann, "message": "hello"}
        send = {"action": "send_private_msg", "params": params}
        await app.socket.write_message(json.dumps(send))
        await begun.wait()
    await until(lambda: not town.server.onebot.accounts[town.bob].connections)


async def _post_and_leave(town: Town, begun: asyncio.Event) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", town.port)
    path = f"/onebot/{town.bob}/send_private_msg?user_id={town.ann}&message=hello"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{town.port}\r\n\r\n".encode())
    await begun.wait()
    writer.close()
    await until(lambda: town.server.onebot.accounts[town.bob]._left)


async def test_what_an_application_has_is_on_disk_with_the_next_commit():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            say(town, town.ann, "here", to=town.bob)
            await app.event()
            target = town.server.onebot.accounts[town.bob].target("forward")
            await _confirmed(app, target, town)
            await town.server.hub.writes.put(int)  # behind it in the queue
            stored = town.server.storage.onebot.cursors(town.bob)
            assert stored == {"forward": target.cursor}


async def test_an_event_that_cannot_be_written_holds_up_no_other(caplog):
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
            town.server.storage.onebot.log([town.bob], '{"post_type":"request","user_id":[1]}')
            town.server.storage.onebot.log([town.bob], "damaged")
            say(town, town.ann, "behind them", to=town.bob)
            assert (await app.event())["raw_message"] == "behind them"
    assert "is left out" in caplog.text


async def test_a_restart_of_the_server_loses_no_event(tmp_path):
    async with Town(tmp_path / "server.db") as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
        say(town, town.ann, "kept", to=town.bob)
        async with town.away():
            pass
        async with forward(town, town.bob) as app:
            event = await app.event()
    assert (event["raw_message"], event["late"]) == ("kept", True)


async def test_no_more_events_are_kept_than_the_settings_say():
    async with Town() as town:
        drive(town, town.bob, keep=3)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
        for number in range(10):
            say(town, town.ann, str(number), to=town.bob)
        town.server.onebot.accounts[town.bob].prune()
        async with forward(town, town.bob) as app:
            kept = [(await app.event())["raw_message"] for _ in range(3)]
    assert kept == ["7", "8", "9"]


async def test_a_message_taken_back_is_not_handed_over_and_its_notice_is():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
        number = say(town, town.ann, "oops", group=town.square)
        message = town.server.storage.messages.get(number)
        town.server.groups.recall(message, town.ann)
        async with forward(town, town.bob) as app:
            notice = await app.event("group_recall")
            assert not [each for each in app.events if each["post_type"] == "message"]
    assert (notice["message_id"], notice["operator_id"]) == (number, town.ann)


async def test_own_messages_are_events_only_where_the_settings_say_so():
    async with Town() as town:
        drive(town, town.bob, reports_own=True)
        async with forward(town, town.bob) as app:
            sent = await app.data("send_private_msg", user_id=town.ann, message="hi")
            event = await app.event("message_sent")
    assert event["message_id"] == sent["message_id"]
    assert (event["user_id"], event["target_id"]) == (town.bob, town.ann)


async def test_heartbeats_come_and_say_that_the_account_is_online():
    async with Town() as town:
        drive(town, town.bob, heartbeat=1000)
        async with forward(town, town.bob) as app:
            beat = await app.event("heartbeat")
    assert (beat["interval"], beat["status"]["online"], beat["status"]["good"]) == (
        1000,
        True,
        True,
    )


async def test_a_large_frame_is_taken():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            answer = await app.call("get_login_info", more="x" * 5_000_000)
            assert answer["status"] == "ok"


async def test_many_actions_at_once_are_all_answered():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            for number in range(500):
                frame = {"action": "get_friend_list", "echo": number}
                await app.socket.write_message(json.dumps(frame))
            answers = [await app.answer(number) for number in range(500)]
    assert all(each["status"] == "ok" for each in answers)


async def test_an_account_that_is_not_driven_has_no_door():
    async with Town() as town:
        url = f"{town.server.url.replace('http', 'ws')}/onebot/{town.bob}/"
        with pytest.raises(HTTPClientError) as refused:
            await websocket_connect(url)
        assert refused.value.code == 404


async def test_an_account_that_is_signed_out_everywhere_says_so_and_does_nothing_more():
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
            town.server.sign_out_everywhere(town.bob)
            assert (await app.event("bot_offline"))["user_id"] == town.bob
            assert (await app.event("heartbeat"))["status"]["online"] is False
            assert (await app.data("get_status"))["online"] is False
            assert "offline" in (await app.call("get_friend_list"))["message"]
        assert not town.server.hub.is_online(town.bob)
        assert not town.server.onebot.settings(town.bob).is_on


async def test_a_driven_account_is_online_for_its_friends():
    async with Town() as town:
        assert not town.server.hub.is_online(town.bob)
        drive(town, town.bob)
        assert town.server.hub.is_online(town.bob)
        drive(town, town.bob, is_on=False)
        assert not town.server.hub.is_online(town.bob)


async def test_an_account_has_the_standards_paths_on_a_port_of_its_own():
    async with Town() as town:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        drive(town, town.bob, port=port)
        socket_ = await websocket_connect(f"ws://127.0.0.1:{port}/event")
        assert json.loads(await socket_.read_message())["self_id"] == town.bob
        socket_.close()
        await socket_.read_message()


async def test_an_account_closes_in_silence_though_an_application_reads_nothing():
    async with Town() as town:
        drive(town, town.bob)
        url = f"{town.server.url.replace('http', 'ws')}/onebot/{town.bob}/api"
        app = await connect(url, max_queue=1, max_size=None)
        (socket_,) = town.server.onebot.accounts[town.bob].connections
        frame = json.dumps({"action": "get_status", "echo": "x" * 1_000_000})
        sending = asyncio.ensure_future(_send_all(app, frame))
        await until(lambda: socket_._actions._is_full)
        drive(town, town.bob, is_on=False)
        app.transport.abort()
        await sending


async def _send_all(app: ClientConnection, frame: str) -> None:
    with suppress(ConnectionClosed):
        for _ in range(40):
            await app.send(frame)


@pytest.mark.parametrize("path", ["/", "/_events"])
async def test_an_account_has_no_more_connections_than_it_may(path: str, monkeypatch):
    monkeypatch.setattr(access, "_MOST_CONNECTIONS", 1)
    async with Town() as town:
        drive(town, town.bob)
        async with forward(town, town.bob) as app:
            await app.event("lifecycle")
            if path == "/":
                with pytest.raises(HTTPClientError) as refused:
                    async with forward(town, town.bob):
                        pass
                code = refused.value.code
            else:
                code = (await ask(town, town.bob, path)).code
    assert code == 429
