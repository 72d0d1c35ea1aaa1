"""What a client does about each code, and about answers that are none, in both dialects."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from servers.front import CLOSE, HANG, Front, Say, front_of
from servers.town import Ear, Town
from tenacity import wait_none

from webqq_tornado.client import Client, Endpoints, State, StateChange, login, poll
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from webqq_tornado.protocol.models import FriendMessage

POLL, LOGIN2 = "/channel/poll2", "/channel/login2"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(login, "QR_SECONDS", 0.01)
    monkeypatch.setattr(poll, "PAUSE", 0.01)
    monkeypatch.setattr("webqq_tornado.client.session._PAUSES", wait_none())


@pytest.fixture(params=[WEBQQ3, SMARTQQ], ids=lambda dialect: dialect.name)
def dialect(request) -> Dialect:
    return request.param


class Scene:
    """Ann behind a front server, and Bob, who writes to her."""

    def __init__(self, town: Town, front: Front, ann: Client, ear: Ear, bob: Client) -> None:
        self.town = town
        self.front, self.ann, self.ear, self.bob = front, ann, ear, bob
        self.states: list[State] = []
        self.shown = 0
        ann.on_event(self._hear)

    def _hear(self, happening: object) -> None:
        if isinstance(happening, StateChange):
            self.states.append(happening.state)

    async def after(self, *answers: object) -> None:
        """Have these polls answered so, then see that Ann still hears Bob."""
        said = self.front.say(POLL, *answers)
        await self._hears("one")  # it ends the poll that is held
        await said.wait()
        await self._hears("two")

    async def _hears(self, text: str) -> None:
        await self.bob.send(self.bob.find("Ann"), text)
        assert (await self.ear.next(FriendMessage)).content.text == text


@asynccontextmanager
async def scene(dialect: Dialect):
    async with Town() as town, front_of(town.server.url) as front:
        scenes: list[Scene] = []

        def show(png: bytes) -> None:
            town.confirm_as(town.ann)(png)
            for one in scenes:
                one.shown += 1

        ann = Client(
            town.stream,
            town.ann,
            "correct horse",
            Endpoints.at(front.url),
            dialect=dialect,
            on_qr=show,
        )
        town.clients.append(ann)
        bob, _ = town.client(town.bob)
        await ann.login()
        await bob.login()
        scenes.append(Scene(town, front, ann, Ear(ann), bob))
        yield scenes[0]


def _code(retcode: int) -> Say:
    return Say(json.dumps({"retcode": retcode, "errmsg": ""}).encode())


@pytest.mark.parametrize("retcode", [0, 102, 109, 110, 1202, 100003, 100012, 100100])
async def test_nothing_new_is_no_news(dialect, retcode):
    async with scene(dialect) as one:
        await one.after(*[_code(retcode)] * 5)
        assert one.states == []


async def test_a_server_that_repeats_itself_is_asked_again_after_a_pause(dialect, monkeypatch):
    delays, next_link = [], poll.Poll.next_link
    monkeypatch.setattr(
        poll.Poll, "next_link", lambda self, delay=0: delays.append(delay) or next_link(self, delay)
    )
    monkeypatch.setattr(poll, "AT_ONCE", 60)
    away = {"poll_type": "buddies_status_change", "value": {"uin": 1, "status": "away"}}
    answer = Say(json.dumps({"retcode": 0, "result": [away]}).encode())
    async with scene(dialect) as one:
        await one.after(*[answer] * 5)
    assert delays.count(poll.PAUSE) >= 3


@pytest.mark.parametrize("retcode", [8, 100, 108, 100000, 100001])
async def test_a_session_that_is_over_is_followed_by_a_new_one(dialect, retcode):
    async with scene(dialect) as one:
        await one.after(_code(retcode))
        assert one.states == [State.RECONNECTING, State.ONLINE]
        assert one.shown == 0  # the cookies were good enough


@pytest.mark.parametrize("retcode", [120, 121])
async def test_a_lost_connection_is_taken_up_again(dialect, retcode):
    async with scene(dialect) as one:
        before = one.ann.session.psessionid
        await one.after(_code(retcode))
        assert one.states == [State.RECONNECTING, State.ONLINE]
        assert one.ann.session.psessionid == before


async def test_103_is_answered_by_asking_who_is_online(dialect):
    async with scene(dialect) as one:
        before = one.front.asked["/channel/get_online_buddies2"]
        await one.after(_code(103))
        assert one.states == []
        assert one.front.asked["/channel/get_online_buddies2"] == before + 1


async def test_103_again_is_a_session_that_is_over(dialect):
    async with scene(dialect) as one:
        await one.after(_code(103), _code(103))
        assert one.states == [State.RECONNECTING, State.ONLINE]


async def test_a_new_ptwebqq_is_used_from_then_on(dialect):
    async with scene(dialect) as one:
        await one.after(Say(b'{"retcode":116,"p":"0123456789abcdef"}'))
        assert one.states == []
        assert one.ann._context.connection.ptwebqq == "0123456789abcdef"
        if dialect is SMARTQQ:  # WebQQ 3 has it in the cookie alone
            assert b"0123456789abcdef" in one.front.bodies[POLL][-1]


@pytest.mark.parametrize(
    ("answer", "limit"),
    [
        (Say(b"<html>502</html>", 502), 20),
        (Say(b"<html>504</html>", 504), 20),
        (Say(b"", 404), 20),
        (Say(b"<html>500</html>", 500), 3),
        (Say(b"\xff\x00 garbage"), 3),
        (Say(b""), 3),
        (Say(b"[]"), 3),
        (Say(b'{"retcode":0,"result":7}'), 3),
        (_code(7777), 3),
    ],
    ids=str,
)
async def test_answers_without_sense_are_borne_up_to_a_limit(dialect, answer, limit):
    async with scene(dialect) as one:
        await one.after(*[answer] * (limit - 1))
        assert one.states == []
        await one.after(*[answer] * limit)
        assert one.states == [State.RECONNECTING, State.ONLINE]


async def test_a_connection_that_breaks_is_no_end(dialect):
    async with scene(dialect) as one:
        before = one.ann.session.psessionid
        await one.after(CLOSE)
        assert one.states == []  # the session was taken up
        assert (one.ann.session.psessionid, one.front.asked[LOGIN2]) == (before, 2)


async def test_connections_that_break_again_and_again_are_no_end_of_the_session(dialect):
    async with scene(dialect) as one:
        before = one.ann.session.psessionid
        await one.after(*[CLOSE] * 10)
        assert set(one.states) == {State.RECONNECTING, State.ONLINE}
        assert one.ann.session.psessionid == before
        assert one.shown == 0  # nobody has to scan a code for that


async def test_a_poll_that_nobody_answers_is_asked_again(dialect, monkeypatch):
    monkeypatch.setattr(poll, "POLL_TIMEOUT", 0.2)
    async with scene(dialect) as one:
        await one.after(HANG, HANG)
        assert one.states == []
        assert one.front.asked[LOGIN2] > 2  # each time the session was taken up


async def test_a_session_that_is_over_after_a_silence_is_followed_by_a_new_one(dialect):
    async with scene(dialect) as one:
        one.front.say(LOGIN2, _code(103))
        await one.after(CLOSE)
        assert one.states == [State.RECONNECTING, State.ONLINE]


@pytest.mark.parametrize(
    "trouble", [CLOSE, Say(b"<html>502</html>", 502), Say(b"garbage")], ids=str
)
async def test_a_session_that_cannot_be_taken_up_at_once_is_taken_up_later(dialect, trouble):
    async with scene(dialect) as one:
        before = one.ann.session.psessionid
        one.front.say(LOGIN2, *[trouble] * 3)
        await one.after(CLOSE)
        assert one.states == [State.RECONNECTING, State.ONLINE]
        assert one.ann.session.psessionid == before


@pytest.mark.parametrize("answer", [Say(b"<html>504</html>", 504), Say(b"garbage")], ids=str)
async def test_an_answer_that_a_front_server_lost_is_asked_for_again(dialect, answer):
    async with scene(dialect) as one:
        before = one.front.asked[LOGIN2]
        await one.after(answer)
        assert (one.states, one.front.asked[LOGIN2]) == ([], before + 1)


async def test_login_by_cookies_that_is_refused_is_followed_by_one_from_the_beginning(dialect):
    async with scene(dialect) as one:
        one.front.say("/channel/login2", _code(103))
        await one.after(_code(100001))
        assert one.states == [State.RECONNECTING, State.ONLINE]
        assert one.shown == (dialect is SMARTQQ)


async def test_cookies_whose_session_does_not_last_are_not_tried_for_ever(dialect):
    async with scene(dialect) as one:
        await one.after(_code(100), _code(100))
        assert one.states == [State.RECONNECTING, State.ONLINE] * 2
        assert one.shown == (dialect is SMARTQQ)


@pytest.mark.parametrize("answer", [Say(b"<html>502</html>", 502), Say(b"garbage"), CLOSE], ids=str)
async def test_a_login_that_meets_trouble_is_tried_until_it_works(dialect, answer):
    async with scene(dialect) as one:
        one.front.say("/channel/login2", answer, answer)
        one.front.say("/check", answer, answer)
        one.front.say("/cgi-bin/login", answer, answer)
        await one.after(_code(100001))
        assert one.states == [State.RECONNECTING, State.ONLINE]


async def test_contacts_that_cannot_be_fetched_are_asked_for_again(dialect):
    async with scene(dialect) as one:
        one.front.say("/api/get_user_friends2", Say(b"", 502), Say(b"garbage"))
        one.front.say("/api/get_group_name_list_mask2", CLOSE)
        await one.after(_code(100001))
        assert one.states == [State.RECONNECTING, State.ONLINE]
        assert one.ann.find("Bob") is not None


async def test_another_login_is_the_end_of_this_one(dialect):
    async with scene(dialect) as one:
        kick = {"poll_type": "kick_message", "value": {"way": "poll", "reason": "elsewhere"}}
        one.front.say(POLL, Say(json.dumps({"retcode": 0, "result": [kick]}).encode()))
        await one.bob.send(one.bob.find("Ann"), "one")
        while (await one.ear.next(StateChange)).state is not State.KICKED:
            pass
        assert not [chain for chain in one.ann.stream.chains if "10001" in chain.name]


async def test_a_server_that_refuses_for_good_is_told_of():
    async with scene(WEBQQ3) as one:
        one.front.say("/channel/login2", _code(103))
        refusal = "ptuiCB('3','0','','0','您输入的帐号或密码不正确，请重新输入。', '10001');"
        one.front.say("/login", Say(refusal.encode()))
        one.front.say(POLL, _code(100001))
        await one.bob.send(one.bob.find("Ann"), "one")
        while (await one.ear.next(StateChange)).state is not State.REJECTED:
            pass
        await asyncio.sleep(0)
        assert not [chain for chain in one.ann.stream.chains if "10001" in chain.name]


async def test_who_was_kicked_while_the_network_was_away_is_told_so_and_kicks_nobody(
    dialect, monkeypatch
):
    monkeypatch.setattr(poll, "RESUME_TIMEOUT", 1.0)
    async with scene(dialect) as one:
        held = one.front.say(LOGIN2, HANG)
        one.front.say(POLL, CLOSE)
        await one.bob.send(one.bob.find("Ann"), "one")
        await held.wait()
        elsewhere = one.town.visitor(one.ann.account)
        await elsewhere.enter()
        while (await one.ear.next(StateChange)).state is not State.KICKED:
            pass
        session = one.town.server.hub.find(elsewhere.session.psessionid)
        assert session is not None
        assert session.kicked is None


async def test_who_was_kicked_logs_in_anew_when_told_to(dialect):
    async with scene(dialect) as one:
        elsewhere = one.town.visitor(one.ann.account)
        await elsewhere.enter()
        while (await one.ear.next(StateChange)).state is not State.KICKED:
            pass
        await one.ann.login()
        assert one.ann.state is State.ONLINE
        await one._hears("hello")
