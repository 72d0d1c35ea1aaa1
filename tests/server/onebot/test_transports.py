"""HTTP, HTTP POST, reverse WebSockets, server-sent events, long polls."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from servers.applications import TOKEN, ask, drive, forward, posts, reverse
from servers.town import Town
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from waiting import until

from webqq_tornado.server.storage import Conversation, load_content


def say(town: Town, words: str) -> int:
    where = Conversation("friend", town.bob)
    return town.server.hub.send(town.ann, where, load_content([words])).id


def spoken(town: Town) -> list[str]:
    """What Bob has written to Ann."""
    where = Conversation("friend", town.bob)
    messages, _ = town.server.storage.messages.history(town.ann, where)
    return [each.content.text for each in messages if each.sender == town.bob]


async def until_spoken(town: Town, words: str) -> None:
    await until(lambda: words in spoken(town))


# -- HTTP --------------------------------------------------------------------------------------


async def test_an_action_is_asked_for_by_get_form_and_json():
    async with Town() as town:
        drive(town, town.bob)
        query = await ask(town, town.bob, f"/get_stranger_info?user_id={town.ann}")
        body = {"user_id": str(town.ann), "self_id": town.bob}
        by_json = await ask(town, town.bob, "/get_stranger_info/", body)
        kind = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}
        form = await ask(town, town.bob, "/get_stranger_info", f"user_id={town.ann}", **kind)
        gocq = await ask(town, town.bob, "/", {"action": "get_stranger_info", "params": body})
    for response in (query, by_json, form, gocq):
        answer = json.loads(response.body)
        assert (response.code, answer["status"], answer["retcode"]) == (200, "ok", 0)
        assert answer["data"]["nickname"] == "Ann"


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "retcode"),
    [
        ("/dance", None, {}, 404, 1404),
        ("/get_status", "{", {}, 400, 1400),
        ("/get_status", "[1]", {}, 400, 1400),
        ("/get_status", "x", {"Content_Type": "text/plain"}, 406, 1400),
        ("/get_stranger_info", {}, {}, 200, 1400),
        ("/get_stranger_info", {"user_id": 5}, {}, 200, 100),
        ("/send_msg", {"user_id": "x", "message": "hi"}, {}, 200, 1400),
        ("/get_status", None, {"Origin": "http://evil.example"}, 403, 1403),
        ("/get_status", None, {"Host": "evil.example"}, 403, 1403),
        ("/get_status", "", {}, 200, 0),
        ("/get_status_async", None, {}, 200, 1),
        ("/get_status_rate_limited", None, {}, 200, 1),
        ("/dance_async", None, {}, 404, 1404),
    ],
)
async def test_each_error_has_its_status_and_its_retcode(path, body, headers, status, retcode):
    async with Town() as town:
        drive(town, town.bob)
        response = await ask(town, town.bob, path, body, **headers)
    assert (response.code, json.loads(response.body)["retcode"]) == (status, retcode)


@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, "", 401),
        ({"Authorization": "Bearer x"}, "", 403),
        ({"Authorization": f"Bearer {TOKEN}"}, "", 200),
        ({}, f"?access_token={TOKEN}", 200),
        ({}, "?access_token=x", 403),
    ],
)
async def test_a_token_is_looked_at_by_http_as_well(headers, query, status):
    async with Town() as town:
        drive(town, town.bob, token=TOKEN)
        response = await ask(town, town.bob, f"/get_login_info{query}", **headers)
    assert response.code == status


async def test_an_action_in_the_background_is_done_after_its_answer():
    async with Town() as town:
        drive(town, town.bob)
        body = {"user_id": town.ann, "message": "later"}
        response = await ask(town, town.bob, "/send_private_msg_async", body)
        assert json.loads(response.body) == {"status": "async", "retcode": 1, "data": None}
        await until_spoken(town, "later")


async def test_a_picture_of_some_megabytes_is_taken_as_base64():
    async with Town() as town:
        drive(town, town.bob)
        body = {"file": "x" * 3_000_000}
        response = await ask(town, town.bob, "/get_image", body)
        assert json.loads(response.body)["retcode"] == 100


# -- HTTP POST ---------------------------------------------------------------------------------


async def test_events_are_posted_signed_and_answered_with_quick_operations():
    async with posts() as app, Town() as town:
        app.answers["message"] = {"reply": "pong, [x]"}
        drive(town, town.bob, post=[{"url": app.url, "secret": "key"}])
        lifecycle, _, _ = await app.event("lifecycle")
        assert lifecycle["sub_type"] == "enable"
        say(town, "ping")
        event, headers, body = await app.event()
        right = hmac.new(b"key", body, hashlib.sha1).hexdigest()
        assert headers["X-Signature"] == f"sha1={right}"
        assert headers["X-Self-Id"] == str(town.bob)
        assert headers["Content-Type"] == "application/json"
        assert event["raw_message"] == "ping"
        await until_spoken(town, "pong, [x]")


async def test_an_application_that_refuses_gets_the_event_again_once_it_takes_it(caplog):
    async with posts() as app, Town() as town:
        app.status = 503
        drive(town, town.bob, post=[app.url])
        say(town, "first")
        say(town, "second")
        await until(lambda: "it answers 503" in caplog.text)
        app.status = 200
        first, second = [(await app.event())[0] for _ in range(2)]
    assert [first["raw_message"], second["raw_message"]] == ["first", "second"]
    assert caplog.text.count("do not reach") == 1


async def test_requests_are_answered_by_quick_operations_as_well():
    async with posts() as app, Town() as town:
        app.answers["request"] = {"approve": True, "remark": "Evie"}
        drive(town, town.bob, post=[app.url])
        town.server.storage.accounts.change_profile(town.bob, {"allow": 1})
        town.server.storage.friends.add_request(town.eve, town.bob, "hi")
        town.server.hub.requested(town.eve, town.bob, "hi")
        event, _, _ = await app.event("friend")
        assert (event["user_id"], event["comment"]) == (town.eve, "hi")
        friends = town.server.storage.friends
        await until(lambda: friends.are_friends(town.bob, town.eve))
        assert [row.mark for row in friends.rows(town.bob) if row.account.number == town.eve]


# -- reverse WebSockets ------------------------------------------------------------------------


async def test_the_server_connects_says_who_it_is_and_takes_actions():
    async with reverse() as app, Town() as town:
        drive(town, town.bob, token=TOKEN, reverse=[app.url])
        connection = await app.connections.get()
        headers = connection.request.headers
        assert headers["X-Self-ID"] == str(town.bob)
        assert headers["X-Client-Role"] == "Universal"
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert json.loads(await connection.recv())["meta_event_type"] == "lifecycle"
        say(town, "ping")
        event = json.loads(await connection.recv())
        assert event["raw_message"] == "ping"
        call = {"action": "get_login_info", "echo": {"seq": 1}}
        await connection.send(json.dumps(call))
        assert json.loads(await connection.recv())["echo"] == {"seq": 1}


async def test_two_connections_have_a_part_each():
    async with reverse() as app, Town() as town:
        urls = [{"url": f"{app.url}/{role}", "role": role} for role in ("API", "Event")]
        drive(town, town.bob, reverse=urls)
        found = [await app.connections.get() for _ in range(2)]
        api, events = sorted(found, key=lambda each: each.request.headers["X-Client-Role"])
        assert json.loads(await events.recv())["meta_event_type"] == "lifecycle"
        await api.send('{"action":"get_status","echo":1}')
        assert json.loads(await api.recv())["data"]["online"] is True
        say(town, "ping")
        assert json.loads(await events.recv())["raw_message"] == "ping"


async def test_the_server_comes_back_and_hands_over_what_was_missed(caplog):
    async with Town() as town:
        async with reverse() as app:
            port = int(app.url.rpartition(":")[2].partition("/")[0])
            drive(town, town.bob, reverse=[app.url])
            connection = await app.connections.get()
            await connection.recv()
        say(town, "missed")
        async with reverse(port) as app:
            connection = await app.connections.get()
            assert json.loads(await connection.recv())["meta_event_type"] == "lifecycle"
            event = json.loads(await connection.recv())
    assert (event["raw_message"], event["late"]) == ("missed", True)
    assert "it is tried again" in caplog.text


async def test_what_happens_while_a_connection_closes_comes_over_the_next_one(caplog):
    async with reverse() as app, Town() as town:
        drive(town, town.bob, reverse=[app.url])
        await (await app.connections.get()).recv()
        town.server.onebot.accounts[town.bob].reopen_connections()
        say(town, "one")
        connection = await app.connections.get()
        await connection.recv()
        event = json.loads(await connection.recv())
    assert (event["raw_message"], event["late"]) == ("one", True)
    assert "Exception in callback" not in caplog.text


async def test_what_was_sent_and_not_read_before_a_cut_comes_again(caplog):
    async with reverse() as app, Town() as town:
        drive(town, town.bob, reverse=[app.url])
        connection = await app.connections.get()
        await connection.recv()
        say(town, "one")
        assert json.loads(await connection.recv())["raw_message"] == "one"
        connection.transport.pause_reading()  # the application hangs
        say(town, "two")
        await asyncio.sleep(0)
        connection.transport.abort()
        connection = await app.connections.get()
        await connection.recv()
        found = []
        while "two" not in found:
            found.append(json.loads(await connection.recv())["raw_message"])
    assert found[-1] == "two"


async def test_an_answer_goes_over_no_other_connection_than_its_question(caplog):
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def held(_quota: str) -> None:
        begun.set()
        await may_go_on.wait()

    async with reverse() as app, Town() as town:
        drive(town, town.bob, reverse=[app.url])
        town.server.onebot.accounts[town.bob].spend = held  # type: ignore[method-assign]
        connection = await app.connections.get()
        params = {"user_id": town.ann, "message": "hello"}
        send = {"action": "send_private_msg", "params": params, "echo": 1}
        await connection.send(json.dumps(send))
        await begun.wait()
        connection.transport.abort()
        connection = await app.connections.get()
        await connection.recv()
        may_go_on.set()
        ask = {"action": "get_friend_msg_history", "params": {"user_id": town.ann}, "echo": 2}
        await connection.send(json.dumps(ask))
        answer = json.loads(await connection.recv())
    assert (answer["echo"], len(answer["data"]["messages"])) == (2, 1)


# -- server-sent events, long poll -------------------------------------------------------------


async def test_events_come_as_server_sent_events_and_go_on_behind_the_last_id():
    async with Town() as town:
        drive(town, town.bob)
        url = f"{town.server.url}/onebot/{town.bob}/_events"
        async with listening(url) as events:
            assert "lifecycle" in await events.read("connect")
            say(town, "one")
            text = await events.read('"one"')
        number = text[text.index("id: ") + 4 :].partition("\n")[0]
        say(town, "two")
        async with listening(url, **{"Last-Event-ID": number}) as events:
            text = await events.read('"two"')
        assert '"one"' not in text
        assert '"late":true' in text


class Events:
    """What comes in a response that does not end."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[str] = asyncio.Queue()

    async def read(self, words: str) -> str:
        text = ""
        while words not in text:
            text += await self.pieces.get()
        return text


@asynccontextmanager
async def listening(url: str, **headers: str) -> AsyncIterator[Events]:
    events = Events()
    client = AsyncHTTPClient(force_instance=True)
    request = HTTPRequest(
        url,
        headers=headers,
        streaming_callback=lambda data: events.pieces.put_nowait(data.decode()),
        request_timeout=0,
    )
    response = client.fetch(request, raise_error=False)
    yield events
    client.close()
    response.cancel()


async def test_events_are_fetched_by_get_updates_once():
    async with Town() as town:
        drive(town, town.bob)
        assert json.loads((await ask(town, town.bob, "/get_updates")).body)["data"] == []
        say(town, "one")
        waiting = asyncio.ensure_future(ask(town, town.bob, "/get_updates", {"timeout": 20}))
        first = json.loads((await waiting).body)["data"]
        waiting = asyncio.ensure_future(ask(town, town.bob, "/get_updates", {"timeout": 20}))
        await asyncio.sleep(0)
        say(town, "two")
        second = json.loads((await waiting).body)["data"]
    assert [each["raw_message"] for each in (*first, *second)] == ["one", "two"]


async def held(town: Town) -> asyncio.Future:
    """A poll that the server holds."""
    account = town.server.onebot.accounts[town.bob]
    waiting = asyncio.ensure_future(ask(town, town.bob, "/get_updates", {"timeout": 60}))
    await until(lambda: bool(account._news._waiters))
    return waiting


async def test_a_held_poll_is_answered_when_the_server_closes(tmp_path):
    async with Town(tmp_path / "server.db") as town:
        drive(town, town.bob)
        waiting = await held(town)
        async with town.away():
            assert json.loads((await waiting).body)["data"] == []


async def test_a_poll_whose_application_has_gone_takes_no_event():
    async with Town() as town:
        drive(town, town.bob)
        news = town.server.onebot.accounts[town.bob]._news
        _, client = await asyncio.open_connection("127.0.0.1", town.port)
        path = f"/onebot/{town.bob}/get_updates?timeout=60"
        client.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{town.port}\r\n\r\n".encode())
        await until(lambda: bool(news._waiters))
        client.close()
        await until(lambda: not news._waiters)
        say(town, "kept")
        found = json.loads((await ask(town, town.bob, "/get_updates")).body)["data"]
    assert [each["raw_message"] for each in found] == ["kept"]


async def test_a_poll_over_a_websocket_ends_with_it():
    async with Town() as town:
        drive(town, town.bob)
        news = town.server.onebot.accounts[town.bob]._news
        async with forward(town, town.bob, "/api") as app:
            frame = {"action": "get_updates", "params": {"timeout": 60}, "echo": 1}
            await app.socket.write_message(json.dumps(frame))
            await until(lambda: bool(news._waiters))
        await until(lambda: not news._waiters)


async def test_events_that_were_sent_but_not_read_come_again_behind_an_older_id():
    async with Town() as town:
        drive(town, town.bob)
        account = town.server.onebot.accounts[town.bob]
        url = f"{town.server.url}/onebot/{town.bob}/_events"
        async with listening(url) as events:
            await events.read("connect")
            say(town, "one")
            number = (await events.read('"one"')).rpartition("id: ")[2].partition("\n")[0]
            say(town, "two")
            await until(lambda: account.target("sse").cursor == account.newest)
        account.prune()
        async with listening(url, **{"Last-Event-ID": number}) as events:
            assert '"late":true' in await events.read('"two"')


@pytest.mark.parametrize("last", ["9" * 5000, "x", "-1", "0"])
async def test_an_id_that_nobody_gave_begins_where_the_application_is(last: str):
    async with Town() as town:
        drive(town, town.bob)
        url = f"{town.server.url}/onebot/{town.bob}/_events"
        async with listening(url, **{"Last-Event-ID": last}) as events:
            await events.read("connect")
            say(town, "new")
            assert '"raw_message":"new"' in await events.read('"new"')


async def test_blanks_in_a_query_stay_and_an_echo_in_a_body_comes_back():
    async with Town() as town:
        drive(town, town.bob)
        query = f"/send_private_msg?user_id={town.ann}&message=%20hi%0A%20"
        assert json.loads((await ask(town, town.bob, query)).body)["status"] == "ok"
        assert spoken(town) == [" hi\n "]
        body = {"action": "get_status", "params": {}, "echo": [1]}
        assert json.loads((await ask(town, town.bob, "/", body)).body)["echo"] == [1]
