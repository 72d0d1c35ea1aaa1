"""Connections that are cut at any byte, loudly or without a word: each message arrives once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from servers.cutter import ANSWER, FIN, LATE, REQUEST, RST, SILENT, Cut, Cutter, cutter_of
from servers.town import PASSWORD, Ear, Town
from tenacity import RetryCallState, Retrying, wait_none
from waiting import span

from webqq_tornado import StreamError
from webqq_tornado.client import Client, Endpoints, State, login, outbox, poll
from webqq_tornado.client.session import _PAUSES
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from webqq_tornado.protocol.models import FriendMessage
from webqq_tornado.server.quotas import Quota, Rate

POLL, SEND, LOGIN2 = "/channel/poll2", "/channel/send_buddy_msg2", "/channel/login2"
#: More QR codes than anybody shows in earnest.
MANY = {"qr": Quota(None, Rate(10_000, 0.001))}
#: What the client and the server see of a cut.
WAYS = {
    "fin": (FIN, FIN),
    "rst": (RST, RST),
    "silent": (SILENT, SILENT),
    "silent-for-the-server": (RST, SILENT),
    "silent-for-the-client": (SILENT, RST),
}
#: Every so many bytes of a request or an answer is cut.
STEPS = [
    pytest.param(331, id="some-bytes"),
    pytest.param(97, marks=pytest.mark.slow, id="more-bytes"),
]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(login, "QR_SECONDS", 0.01)
    monkeypatch.setattr(poll, "PAUSE", 0.001)
    monkeypatch.setattr(poll, "POLL_TIMEOUT", 0.25)
    monkeypatch.setattr(outbox, "PATIENCE", 0.25)
    monkeypatch.setattr(outbox, "PAUSE", 0.001)
    monkeypatch.setattr("webqq_tornado.client.session._PAUSES", wait_none())


@pytest.fixture(params=[WEBQQ3, SMARTQQ], ids=lambda dialect: dialect.name)
def dialect(request) -> Dialect:
    return request.param


class Scene:
    """Ann behind the proxy, and Bob."""

    def __init__(self, town: Town, cutter: Cutter, ann: Client, bob: Client) -> None:
        self.town, self.cutter, self.ann, self.bob = town, cutter, ann, bob
        self.ears = {"Ann": Ear(ann), "Bob": Ear(bob)}
        self.said: list[str] = []
        self.heard: list[str] = []

    async def say(self, by: Client, to: str) -> None:
        """One more message, which is heard; whatever else is heard is noted, too."""
        text = str(len(self.said))
        self.said.append(text)
        await by.send(by.find(to), text)
        while not self.heard or self.heard[-1] != text:
            self.heard.append((await self.ears[to].next(FriendMessage)).content.text)

    async def cut_everywhere(self, path: str, part: str, way: str, step: int, to: str) -> int:
        """Say something for each byte at which that part is cut; the number of cuts."""
        speaker = self.bob if to == "Ann" else self.ann
        await self.say(speaker, to)
        await self.say(speaker, to)
        client, server = WAYS[way]
        for at in range(0, self.cutter.sizes[path, part] + 1, step):
            done = self.cutter.arm(Cut(path, part, at, client, server))
            while not done.is_set():
                await self.say(speaker, to)
        await self.say(speaker, to)
        return self.cutter.cuts


@asynccontextmanager
async def scene(dialect: Dialect) -> AsyncIterator[Scene]:
    async with Town(poll_timeout=0.1, quotas=MANY) as town, cutter_of(town.server.url) as cutter:
        ann = Client(
            *(town.stream, town.ann, PASSWORD, Endpoints.at(cutter.url)),
            dialect=dialect,
            on_qr=town.confirm_as(town.ann),
        )
        bob, _ = town.client(town.bob)
        await ann.login()
        await bob.login()
        yield Scene(town, cutter, ann, bob)
        ann.leave()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", [REQUEST, ANSWER])
@pytest.mark.parametrize("way", WAYS)
async def test_no_poll_that_is_cut_loses_or_doubles_a_message(dialect, way, part, step):
    async with scene(dialect) as one:
        cuts = await one.cut_everywhere(POLL, part, way, step, to="Ann")
    assert one.heard == one.said
    assert cuts > 0


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", [REQUEST, ANSWER])
@pytest.mark.parametrize("way", WAYS)
async def test_no_message_that_is_cut_on_its_way_out_is_lost_or_doubled(dialect, way, part, step):
    async with scene(dialect) as one:
        cuts = await one.cut_everywhere(SEND, part, way, step, to="Bob")
    assert one.heard == one.said
    assert cuts > 0


# -- logins -------------------------------------------------------------------------------------

PATHS = {
    WEBQQ3: ["/check", "/login", "/check_sig", LOGIN2, "/api/get_user_friends2"],
    SMARTQQ: [
        *("/cgi-bin/login", "/ptqrshow", "/ptqrlogin", "/check_sig", "/api/getvfwebqq", LOGIN2),
        *("/channel/get_online_buddies2", "/api/get_user_friends2"),
    ],
}


async def _logged_in(client: Client) -> None:
    """As a program does that is told of a server that is not there."""
    while client.state is not State.ONLINE:
        with contextlib.suppress(StreamError):
            await client.login()


MORE = pytest.param(101, marks=pytest.mark.slow, id="more-bytes")


@pytest.mark.parametrize("step", [pytest.param(661, id="some-bytes"), MORE])
@pytest.mark.parametrize("part", [REQUEST, ANSWER])
@pytest.mark.parametrize("way", ["fin", "rst", "silent-for-the-server"])
async def test_a_login_that_is_cut_works_the_next_time(dialect, way, part, step, monkeypatch):
    client, server = WAYS[way]
    async with scene(dialect) as one:
        for path in PATHS[dialect]:
            for at in range(0, one.cutter.sizes[path, part] + 1, step):
                await one.ann.logout()
                cut = one.cutter.arm(Cut(path, part, at, client, server))
                await one.bob.send(one.bob.find("Ann"), f"{path} {at}")
                await _logged_in(one.ann)
                assert cut.is_set()
                heard = await one.ears["Ann"].next(FriendMessage)
                assert heard.content.text == f"{path} {at}"
        await one.say(one.bob, "Ann")
    assert one.heard == one.said  # nothing came twice


@pytest.mark.parametrize("part", [REQUEST, ANSWER])
async def test_a_session_is_taken_up_though_that_is_cut_in_silence(dialect, part, monkeypatch):
    monkeypatch.setattr(poll, "RESUME_TIMEOUT", 0.2)
    monkeypatch.setattr("webqq_tornado.client.session._PATIENCE", 0.2)
    monkeypatch.setattr("webqq_tornado.client.session._LATER_PATIENCE", 0.2)
    async with scene(dialect) as one:
        session = one.ann.session.psessionid
        for at in range(0, one.cutter.sizes[LOGIN2, part], 211):
            one.cutter.arm(Cut(POLL, ANSWER, 0, SILENT, SILENT))
            done = one.cutter.arm(Cut(LOGIN2, part, at, SILENT, SILENT))
            while not done.is_set():
                await one.say(one.bob, "Ann")
        await one.say(one.bob, "Ann")
        assert one.ann.session.psessionid == session
    assert one.heard == one.said


# -- outages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "to"), [(POLL, "Ann"), (SEND, "Bob")], ids=["poll", "send"])
async def test_a_request_that_comes_in_when_its_client_has_given_it_up_does_no_harm(
    dialect, path, to
):
    async with scene(dialect) as one:
        speaker = one.bob if to == "Ann" else one.ann
        for at in (0, 100, 600):
            late = one.cutter.arm(Cut(path, REQUEST, at, SILENT, LATE))
            while not late.is_set():
                await one.say(speaker, to)
            await one.say(speaker, to)
    assert one.heard == one.said


async def test_who_could_not_send_looks_after_the_poll_whose_connection_may_be_dead(
    dialect, monkeypatch
):
    monkeypatch.setattr(poll, "POLL_TIMEOUT", 3600.0)
    async with scene(dialect) as one:
        one.cutter.arm(Cut(POLL, ANSWER, 0, SILENT, SILENT))
        one.cutter.arm(Cut(SEND, ANSWER, 0, SILENT, SILENT))
        await one.bob.send(one.bob.find("Ann"), "in")
        await one.ann.send(one.ann.find("Bob"), "out")
        assert (await one.ears["Ann"].next(FriendMessage)).content.text == "in"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refused", "silent", "silent-after-a-reset"])
async def test_an_outage_of_10_seconds_costs_5_more_at_most(kind, monkeypatch):
    monkeypatch.undo()  # all as it is outside of tests
    monkeypatch.setattr(poll, "POLL_TIMEOUT", 2.0)  # for a poll whose connection is dead
    async with scene(WEBQQ3) as one:
        await one.say(one.bob, "Ann")
        one.cutter.is_away, one.cutter.is_silent = kind == "refused", kind != "refused"
        if kind != "silent":
            one.cutter.cut_all()
        receipt = one.ann.send(one.ann.find("Bob"), "out")
        await one.bob.send(one.bob.find("Ann"), "in")
        await asyncio.sleep(10)
        one.cutter.is_away = one.cutter.is_silent = False
        async with span() as more:
            await receipt
            assert (await one.ears["Ann"].next(FriendMessage)).content.text == "in"
            assert more.seconds < 5
        assert one.ann.session is not None


def test_the_pause_after_an_outage_is_a_third_of_it_at_most(monkeypatch):
    monkeypatch.undo()
    for _ in range(2000):
        passed, attempt = 0.0, RetryCallState(Retrying(), None, (), {})
        while passed < 10:
            pause = _PAUSES(attempt)
            passed += pause
            attempt.attempt_number += 1
        assert passed < 14
    attempt.attempt_number = 10_000
    assert 30 <= _PAUSES(attempt) <= 60
