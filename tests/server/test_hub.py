"""Messages arrive once and in order, whatever happens to connections, clients and the server."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers.processes import Restartable
from servers.town import Town, Visitor
from tornado.httpclient import HTTPError
from waiting import until

from webqq_tornado.protocol import forms, webqq3
from webqq_tornado.protocol.delivery import IDEMPOTENCY_KEY, LAST_EVENT_ID
from webqq_tornado.protocol.errors import RefusedError
from webqq_tornado.protocol.models import (
    Content,
    DiscussionMessage,
    Face,
    Font,
    FriendMessage,
    GroupMessage,
    Kicked,
    Secret,
    SessionMessage,
    StatusChange,
    Typing,
)
from webqq_tornado.server import write_queue
from webqq_tornado.server.quirks import quirks_of
from webqq_tornado.server.storage import Conversation

QQBOT = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:27.0) Gecko/20100101 Firefox/27.0"
SMARTQQ_CLIENTID = 53999199
#: What a client meets while the server is away.
GONE = (OSError, HTTPError)


async def entered(town: Town, account: int, dialect: str = "webqq3") -> Visitor:
    visitor = town.visitor(account)
    await (visitor.enter() if dialect == "webqq3" else visitor.enter_smart())
    return visitor


def say(town: Town, *texts: str) -> None:
    """Ann writes to Bob."""
    for text in texts:
        to = Conversation("friend", town.bob)
        town.server.hub.send(town.ann, to, Content.of(text))


def texts_of(body: bytes) -> list[str]:
    events = webqq3.POLL.parse(body).events
    return [event.content.text for event in events if isinstance(event, FriendMessage)]


# -- connections --------------------------------------------------------------------------------


def raw_poll(visitor: Visitor) -> socket.socket:
    """A connection with a poll on it, whose answer is still to be read."""
    form = forms.PollForm(1, visitor.session.psessionid)
    body = f"r={json.dumps({'psessionid': form.psessionid, 'clientid': 1})}".encode()
    connection = socket.create_connection(("127.0.0.1", visitor.server.port))
    connection.sendall(
        b"POST /channel/poll2 HTTP/1.1\r\nHost: d.web2.qq.com\r\n"
        b"Referer: http://d.web2.qq.com/proxy.html\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    return connection


async def arrived(connection: socket.socket) -> bytes:
    """The answer, left unread."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 60)
    finally:
        loop.remove_reader(connection)
    return connection.recv(65536, socket.MSG_PEEK)


async def test_an_answer_that_nobody_read_is_given_again_in_the_same_session():
    async with Town() as town:
        bob = await entered(town, town.bob)
        say(town, "one", "two")
        connection = raw_poll(bob)
        assert b"two" in await arrived(connection)
        connection.close()  # unread: the kernel resets it
        body = await bob.poll()
        later = await poll_after(town, bob, "three")
    assert texts_of(body) == ["one", "two"]
    assert later == ["three"]


async def poll_after(town: Town, visitor: Visitor, text: str) -> list[str]:
    say(town, text)
    return texts_of(await visitor.poll())


async def test_an_answer_that_was_read_is_not_given_again_though_its_connection_was_closed():
    async with Town() as town:
        bob = await entered(town, town.bob)
        say(town, "one")
        connection = raw_poll(bob)
        await arrived(connection)
        connection.recv(65536)
        connection.close()
        assert await poll_after(town, bob, "two") == ["two"]


async def test_a_client_that_goes_away_while_it_waits_loses_nothing():
    async with Town() as town:
        bob = await entered(town, town.bob)
        session = town.server.hub.find(bob.session.psessionid)
        connection = raw_poll(bob)
        await until(lambda: session.held_poll is not None)
        connection.close()
        await until(lambda: session.held_poll is None)
        assert await poll_after(town, bob, "one") == ["one"]


async def test_of_two_polls_the_later_one_gets_the_message():
    async with Town() as town:
        bob = await entered(town, town.bob)
        session = town.server.hub.find(bob.session.psessionid)
        first = asyncio.ensure_future(bob.poll())
        await until(lambda: session.held_poll is not None)
        poll = session.held_poll
        second = asyncio.ensure_future(bob.poll())
        await until(lambda: session.held_poll is not poll)
        say(town, "once")
        bodies = [await first, await second]
    assert [texts_of(body) for body in bodies] == [[], ["once"]]


async def test_a_poll_whose_client_left_takes_nothing_back_from_the_next_one():
    async with Town() as town:
        bob = await entered(town, town.bob)
        session = town.server.hub.find(bob.session.psessionid)
        connection = raw_poll(bob)
        await until(lambda: session.held_poll is not None)
        first, answer = session.held_poll, asyncio.ensure_future(bob.poll())
        await until(lambda: session.held_poll is not first)
        say(town, "once")
        assert texts_of(await answer) == ["once"]
        connection.close()
        town.server.hub.end_poll(session, first)
        assert await poll_after(town, bob, "next") == ["next"]


# -- clients that say what has arrived, and those that take their session up again ------------


async def polled(visitor: Visitor, last_id: int | None = None) -> list[tuple[int, str]]:
    """The messages that a poll brings, with their msg_ids."""
    headers = {} if last_id is None else {LAST_EVENT_ID: str(last_id)}
    form = forms.PollForm(1, visitor.session.psessionid)
    body = (await visitor.ask(webqq3.POLL, form, **headers)).body
    messages = (e for e in webqq3.POLL.parse(body).events if isinstance(e, FriendMessage))
    return [(message.msg_id, message.content.text) for message in messages]


async def resume(visitor: Visitor, **headers: str) -> str:
    """login2 with the psessionid that there is; the one that it gives."""
    session = visitor.session
    form = forms.Login2Form(1, Secret(visitor.cookies["ptwebqq"]), session.psessionid)
    reply = await visitor.ask(webqq3.LOGIN2, form, **headers)
    return str(webqq3.LOGIN2.parse(reply.body).psessionid)


@pytest.mark.parametrize("dialect", ["webqq3", "smartqq"])
async def test_a_session_that_is_taken_up_gives_its_last_answer_again(dialect: str):
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob, dialect)
        say(town, "one")
        first = await polled(bob)
        assert await resume(bob) == bob.session.psessionid
        assert await polled(bob) == first
        say(town, "two")
        assert [text for _, text in await polled(bob)] == ["two"]


async def test_an_old_client_that_only_polls_again_is_given_nothing_twice():
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob)
        say(town, "one")
        assert [await polled(bob), await polled(bob)][1] == []


async def test_what_a_client_does_not_call_arrived_is_given_again():
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob)
        say(town, "one", "two")
        first = await polled(bob, 0)
        assert await polled(bob, 0) == first
        assert await polled(bob, first[-1][0]) == []
        assert town.server.storage.messages.undelivered(town.bob) == []


async def test_a_poll_that_was_delayed_confirms_nothing():
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob)
        say(town, "one")
        (one, _), *_ = await polled(bob, 0)
        say(town, "two")
        lost = await polled(bob, one)
        assert await polled(bob, one) == lost  # as the delayed one, which nobody reads
        assert await polled(bob, one) == lost
        assert await polled(bob, lost[-1][0]) == []


async def test_a_number_that_was_never_given_confirms_no_more_than_was():
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob)
        say(town, "one")
        assert await polled(bob, 2**60) == await polled(bob, 0) != []
        assert await polled(bob, 2**60) == []
        say(town, "two")
        assert [text for _, text in await polled(bob, 2**60)] == ["two"]


async def test_nothing_goes_into_a_poll_whose_client_has_taken_its_session_up():
    async with Town() as town:
        bob = await entered(town, town.bob)
        session = town.server.hub.find(bob.session.psessionid)
        given_up = asyncio.ensure_future(bob.poll())
        await until(lambda: session.held_poll is not None)
        await resume(bob)
        say(town, "one")
        assert texts_of(await given_up) == []
        assert texts_of(await bob.poll()) == ["one"]


async def test_events_that_are_no_messages_are_given_again_with_the_answer():
    async with Town(poll_timeout=0.02) as town:
        bob = await entered(town, town.bob)
        town.server.hub.typing(town.ann, town.bob)
        say(town, "one")
        first = webqq3.POLL.parse(await bob.poll()).events
        await resume(bob)
        assert webqq3.POLL.parse(await bob.poll()).events == first
        assert [type(event) for event in first] == [Typing, FriendMessage]


async def test_who_missed_a_kick_is_told_of_it_and_undoes_no_login():
    async with Town() as town:
        first, second = await entered(town, town.bob), await entered(town, town.bob)
        assert [type(e) for e in webqq3.POLL.parse(await first.poll()).events] == [Kicked]
        with pytest.raises(RefusedError) as refused:
            await resume(first, **{LAST_EVENT_ID: "0"})
        assert refused.value.retcode == 108
        assert json.loads(await first.poll())["retcode"] == 103
        assert town.server.hub.find(second.session.psessionid).kicked is None


async def test_a_kick_that_nobody_read_is_told_again():
    async with Town() as town:
        first, _ = await entered(town, town.bob), await entered(town, town.bob)
        connection = raw_poll(first)
        assert b"kick_message" in await arrived(connection)
        connection.close()  # unread: the kernel resets it
        assert [type(e) for e in webqq3.POLL.parse(await first.poll()).events] == [Kicked]
        assert json.loads(await first.poll())["retcode"] == 103


async def test_an_old_client_that_was_kicked_gets_a_session_of_its_own():
    async with Town() as town:
        first, _ = await entered(town, town.bob), await entered(town, town.bob)
        assert [type(e) for e in webqq3.POLL.parse(await first.poll()).events] == [Kicked]
        assert await resume(first) != first.session.psessionid


# -- messages that are sent again ---------------------------------------------------------------


async def test_a_message_with_a_key_is_known_whenever_it_comes_again(
    monkeypatch: pytest.MonkeyPatch,
):
    async with Town(poll_timeout=0.02) as town:
        ann = await entered(town, town.ann)
        bob = await entered(town, town.bob)
        form, key = await to_bob(ann, "one"), {IDEMPOTENCY_KEY: '"1-1"'}
        await ann.ask(webqq3.SEND_FRIEND, form, **key)
        now = time.time()
        for moment in (now + 3 * 86400, now - 10 * 365 * 86400):  # days later; a wrong clock
            monkeypatch.setattr(time, "time", lambda moment=moment: moment)
            await ann.ask(webqq3.SEND_FRIEND, form, **key)
        monkeypatch.undo()
        await ann.ask(webqq3.SEND_FRIEND, replace(form, content=Content.of("two")), **key)
        assert [text for _, text in await polled(bob)] == ["one", "two"]


async def test_an_old_client_may_begin_with_the_same_numbers_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    async with Town(poll_timeout=0.02) as town:
        ann = await entered(town, town.ann)
        bob = await entered(town, town.bob)
        form, now = await to_bob(ann, "one"), time.time()
        for moment in (now, now + 60, now + 300):
            monkeypatch.setattr(time, "time", lambda moment=moment: moment)
            await ann.ask(webqq3.SEND_FRIEND, form)
        monkeypatch.undo()
        assert [text for _, text in await polled(bob)] == ["one", "one"]


async def test_the_connection_of_a_poll_inherits_tcp_keepalive():
    async with Town() as town:
        bob = await entered(town, town.bob)
        session = town.server.hub.find(bob.session.psessionid)
        with raw_poll(bob):
            await until(lambda: session.held_poll is not None)
            place = session.held_poll.request.connection.stream.socket
            assert place.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that can lock the town's file."""
    other = sqlite3.connect(tmp_path / "town.db", isolation_level=None)
    yield other
    other.close()


async def test_a_file_that_is_locked_keeps_no_news_back(
    tmp_path: Path, locked: sqlite3.Connection, caplog: pytest.LogCaptureFixture
):
    async with Town(tmp_path / "town.db", poll_timeout=0.01) as town:
        bob = await entered(town, town.bob)
        say(town, "one", "two")
        heard = texts_of(await bob.poll())
        locked.execute("BEGIN IMMEDIATE")
        heard += texts_of(await bob.poll())
        locked.execute("ROLLBACK")
        heard += texts_of(await bob.poll())
        assert town.server.storage.messages.undelivered(town.bob) == []
    assert heard == ["one", "two"]
    assert "could not be noted" in caplog.text


async def test_a_send_into_a_file_that_is_locked_says_what_to_do(
    tmp_path: Path,
    locked: sqlite3.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(write_queue, "LOCKED_SECONDS", 0.05)
    async with Town(tmp_path / "town.db") as town:
        ann = await entered(town, town.ann)
        form = await to_bob(ann, "x")
        locked.execute("BEGIN IMMEDIATE")
        reply = await ann.ask(webqq3.SEND_FRIEND, form)
        locked.execute("ROLLBACK")
    assert (reply.code, reply.headers["Retry-After"]) == (503, "1")
    assert "town.db: database is locked; free space" in caplog.text
    assert "Traceback" not in caplog.text


async def to_bob(ann: Visitor, text: str, msg_id: int = 1, clientid: int = 1) -> forms.SendForm:
    uin = await first_friend(ann)
    return forms.SendForm(uin, Content.of(text), msg_id, clientid, ann.session.psessionid)


def _trying(town: Town) -> int:
    """Who waits until the file is unlocked."""
    return len(town.server.hub.writes)


async def test_messages_wait_in_order_until_a_file_is_unlocked_and_others_go_on(
    tmp_path: Path, locked: sqlite3.Connection
):
    async with Town(tmp_path / "town.db", poll_timeout=0.01) as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        forms_ = [await to_bob(ann, text, number) for number, text in enumerate("abc", 1)]
        locked.execute("BEGIN IMMEDIATE")
        sent = []
        for form in forms_:
            sent.append(asyncio.ensure_future(ann.ask(webqq3.SEND_FRIEND, form)))
            await until(lambda: _trying(town) == len(sent))
        assert texts_of(await bob.poll()) == []  # who does not write is answered meanwhile
        locked.execute("ROLLBACK")
        replies = [(await one).code for one in sent]
        heard = [*texts_of(await bob.poll()), *texts_of(await bob.poll())]
    assert (replies, heard) == ([200] * 3, ["a", "b", "c"])


async def test_messages_of_one_turn_have_one_commit_and_are_heard_in_order(tmp_path: Path):
    async with Town(tmp_path / "town.db") as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob)
        session, statements = town.server.hub.find(ann.session.psessionid), []
        send = partial(town.server.hub.send, town.ann, Conversation("friend", town.bob))
        town.server.storage._db.set_trace_callback(statements.append)
        writes = [partial(send, Content.of(text), origin=session) for text in "abc"]
        await asyncio.gather(*map(town.server.hub.writes.put, writes))
        town.server.storage._db.set_trace_callback(None)
        heard = texts_of(await bob.poll())
    assert (statements.count("COMMIT"), heard) == (1, ["a", "b", "c"])


async def test_nobody_hears_a_message_whose_commit_failed():
    async with Town(poll_timeout=0.01) as town:
        bob = await entered(town, town.bob)
        with suppress(RuntimeError), town.server.hub.together():
            say(town, "lost")
            raise RuntimeError
        say(town, "kept")
        assert texts_of(await bob.poll()) == ["kept"]


async def test_a_message_that_cannot_be_passed_on_was_sent_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with Town() as town:
        hub = town.server.hub
        monkeypatch.setattr(hub, "_pages_of", lambda people: 1 / 0)
        send = partial(hub.send, town.ann, Conversation("friend", town.bob))
        writes = [partial(send, Content.of(text)) for text in "ab"]
        await asyncio.gather(*map(hub.writes.put, writes))
        stored = town.server.storage.messages.undelivered(town.bob)
    assert [message.content.text for message in stored] == ["a", "b"]
    assert "could not be passed on" in caplog.text


async def test_what_was_taken_back_is_not_found_and_what_follows_is():
    async with Town() as town:
        storage = town.server.storage
        with suppress(RuntimeError), town.server.hub.together():
            say(town, *["taken back"] * 300)
            raise RuntimeError
        say(town, "wonderful", *["filler"] * 300)
        found = [storage.messages.search(town.ann, text)[0] for text in ("taken", "wonderful")]
    assert list(map(len, found)) == [0, 1]


async def test_messages_that_were_accepted_are_written_when_the_server_stops(tmp_path: Path):
    async with Town(tmp_path / "town.db") as town:
        conversation = Conversation("friend", town.bob)
        send = partial(town.server.hub.send, town.ann, conversation, Content.of("last"))
        accepted = town.server.hub.writes.put(send)
        async with town.away():
            assert accepted.result()
        (message,) = town.server.storage.messages.undelivered(town.bob)
    assert message.content.text == "last"


async def test_a_long_backlog_comes_in_order_and_once():
    async with Town(poll_timeout=0.05) as town:
        say(town, *map(str, range(450)))
        bob = await entered(town, town.bob)
        heard: list[str] = []
        while len(heard) < 450:
            heard += texts_of(await bob.poll())
            say(town, *(["last"] if len(heard) == 400 else []))
        heard += texts_of(await bob.poll())
    assert heard == [*map(str, range(450)), "last"]


# -- the server ---------------------------------------------------------------------------------


async def test_a_session_goes_on_when_the_server_is_back(tmp_path: Path):
    async with Town(tmp_path / "server.db") as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob, "smartqq")
        uin = town.server.hub.find(ann.session.psessionid).uin_of(town.bob)
        async with town.away():
            pass
        ann.server = bob.server = town.server
        form = forms.SendForm(uin, Content.of("still here"), 1, 1, ann.session.psessionid)
        reply = await ann.ask(webqq3.SEND_FRIEND, form)
        (message,) = await bob.news(FriendMessage)
        form = forms.FriendsForm(bob.session.vfwebqq)
        friends = await bob.result(webqq3.FRIENDS, form)
    assert json.loads(reply.body)["retcode"] == 0
    assert message.content.text == "still here"
    assert friends["info"][0]["uin"] == message.sender


async def test_what_is_given_again_after_a_restart_is_what_was_given_before(tmp_path: Path):
    content = Content.of("a ", Face(14), "\nb", font=Font("黑体", 12, True, False, True, "ff0000"))
    async with Town(tmp_path / "town.db") as town:
        bob = await entered(town, town.bob)
        town.server.hub.send(town.ann, Conversation("friend", town.bob), content)
        first = await bob.news(FriendMessage)
        async with town.away():
            pass
        bob.server = town.server
        again = await bob.news(FriendMessage)
    assert again == first
    assert first[0].content == content


async def test_a_session_that_was_kicked_is_over_after_a_restart_too(tmp_path: Path):
    async with Town(tmp_path / "server.db") as town:
        first, second = await entered(town, town.ann), await entered(town, town.ann)
        async with town.away():
            pass
        first.server = second.server = town.server
        form = forms.StatusForm(second.session.status, 1, first.session.psessionid)
        over = json.loads((await first.ask(webqq3.CHANGE_STATUS, form)).body)
        form = forms.StatusForm(second.session.status, 1, second.session.psessionid)
        open_ = json.loads((await second.ask(webqq3.CHANGE_STATUS, form)).body)
    assert (over["retcode"], open_["retcode"]) == (103, 0)


@pytest.fixture
def killable(tmp_path: Path, free_port: int) -> Iterator[Restartable]:
    server = Restartable("servers.webqq", str(tmp_path), free_port)
    yield server
    server.stop()


def visitor_of(server: Restartable, account: int) -> Visitor:
    place: Any = SimpleNamespace(url=f"http://127.0.0.1:{server.port}", port=server.port)
    return Visitor(place, account)


async def first_friend(visitor: Visitor) -> int:
    result = await visitor.result(webqq3.FRIENDS, forms.FriendsForm(visitor.session.vfwebqq))
    return int(result["info"][0]["uin"])


async def sent(visitor: Visitor, form: forms.SendForm) -> None:
    """Again and again, until the server says ok."""
    while True:
        try:
            body = (await visitor.ask(webqq3.SEND_FRIEND, form)).body
        except GONE:
            continue
        if body == b'{"retcode":0,"result":"ok"}':
            return


@pytest.mark.slow
async def test_a_server_that_is_killed_loses_and_doubles_nothing(killable: Restartable):
    ann, bob = visitor_of(killable, 10001), visitor_of(killable, 10002)
    await ann.enter()
    await bob.enter()
    to = await first_friend(ann)
    heard: dict[int, str] = {}

    async def talk() -> None:
        for number in range(200):
            content = Content.of(f"number {number}")
            await sent(ann, forms.SendForm(to, content, 7000 + number, 1, ann.session.psessionid))

    async def listen() -> None:
        while len(heard) < 200:
            try:
                events = webqq3.POLL.parse(await bob.poll()).events
            except GONE:
                continue
            for event in events:
                if isinstance(event, FriendMessage):
                    heard.setdefault(event.msg_id, event.content.text)

    talking, listening = asyncio.ensure_future(talk()), asyncio.ensure_future(listen())
    for mark in (40, 80, 120, 160):
        await until(lambda mark=mark: len(heard) >= mark)
        killable.kill()
        killable.start()
    await asyncio.wait_for(asyncio.gather(talking, listening), 60)
    assert list(heard) == sorted(heard)
    assert list(heard.values()) == [f"number {number}" for number in range(200)]


# -- what each client is told -------------------------------------------------------------------


async def poll_as(visitor: Visitor, agent: str, clientid: int) -> dict[str, Any]:
    form = forms.PollForm(clientid, visitor.session.psessionid)
    headers = {"User-Agent": agent}
    body = (await visitor.ask(webqq3.POLL, form, **headers)).body
    found: dict[str, Any] = json.loads(body)
    return found


async def test_qqbot_is_told_of_messages_alone():
    async with Town(poll_timeout=0.05) as town:
        bob = await entered(town, town.bob, "smartqq")
        assert await poll_as(bob, QQBOT, SMARTQQ_CLIENTID) == {"retcode": 0, "errmsg": "error"}
        await entered(town, town.ann)
        town.server.hub.typing(town.ann, town.bob)
        town.server.hub.send(
            town.eve, Conversation("session", town.bob), Content.of("psst"), room=town.square
        )
        heard = await poll_as(bob, QQBOT, SMARTQQ_CLIENTID)
        to = heard["result"][0]["value"]["from_uin"]
        form = forms.SendForm(to, Content.of("who?"), 1, 1, bob.session.psessionid)
        await bob.ask(webqq3.SEND_FRIEND, form)
        (answer,) = town.server.storage.messages.undelivered(town.eve)
    assert [event["poll_type"] for event in heard["result"]] == ["message"]
    assert (answer.kind, answer.origin) == ("session", town.square)


async def test_qqbot_that_was_kicked_is_told_by_a_code_that_ends_it():
    async with Town() as town:
        first = await entered(town, town.ann, "smartqq")
        held = asyncio.ensure_future(poll_as(first, QQBOT, SMARTQQ_CLIENTID))
        session = town.server.hub.find(first.session.psessionid)
        await until(lambda: session.held_poll is not None)
        await entered(town, town.ann)
        codes = [(await held)["retcode"]]
        codes.append((await poll_as(first, QQBOT, SMARTQQ_CLIENTID))["retcode"])
    assert codes == [100001, 100001]


def test_who_knows_what():
    mojo = quirks_of("smartqq", SMARTQQ_CLIENTID, "Mozilla/5.0 Chrome/37.0.2062")
    ours = quirks_of("smartqq", 12345678, "")
    old = quirks_of("webqq3", 12345678, "")
    messages = {FriendMessage, GroupMessage, DiscussionMessage}
    assert quirks_of("smartqq", SMARTQQ_CLIENTID, QQBOT).kinds == messages
    assert mojo.kinds == messages | {SessionMessage, Kicked}
    assert ours.kinds is old.kinds is None
    assert (mojo.at_once, old.at_once) == (1, 50)


async def test_nothing_new_in_the_words_of_each_dialect():
    async with Town(poll_timeout=0.02) as town:
        ann, bob = await entered(town, town.ann), await entered(town, town.bob, "smartqq")
        await ann.news(StatusChange)
        bodies = [await ann.poll(), await bob.poll()]
    assert re.fullmatch(rb'\{"retcode":102,"errmsg":"[^"]*"\}', bodies[0])
    assert bodies[1] == b'{"retcode":0,"errmsg":"error"}'


async def test_a_server_of_2017_wants_to_be_asked_who_is_online_first():
    async with Town(poll_timeout=0.02, needs_online=True) as town:
        ann = await entered(town, town.ann, "smartqq")
        before = json.loads(await ann.poll())["retcode"]
        form = forms.OnlineForm(1, ann.session.psessionid, ann.session.vfwebqq)
        await ann.ask(webqq3.ONLINE, form)
        after = json.loads(await ann.poll())["retcode"]
    assert (before, after) == (103, 0)
