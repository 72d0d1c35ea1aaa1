"""How often anybody may do what: bursts pass, floods do not, others are not held up."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import pytest
from servers.town import Town, Visitor
from tornado.httpclient import HTTPResponse

from server.web.test_api import post, signed_in
from webqq_tornado.protocol import forms, smartqq, webqq3
from webqq_tornado.protocol.models import Content
from webqq_tornado.server.quotas import QUOTAS, Quota, Quotas, Rate
from webqq_tornado.server.web.schema import OPERATIONS


class Clock:
    """A clock that is put ahead by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _quotas(account: Rate | None, address: Rate) -> tuple[Quotas, Clock]:
    clock = Clock()
    return Quotas({"x": Quota(account, address)}, clock), clock


def test_a_burst_passes_and_then_one_each_so_many_seconds():
    quotas, clock = _quotas(Rate(3, 10.0), Rate(100, 0.0))
    assert [quotas.take("x", account=1) for _ in range(4)] == [0, 0, 0, 10.0]
    clock.now += 10
    assert [quotas.take("x", account=1) for _ in range(2)] == [0, 10.0]
    clock.now += 1000
    assert [quotas.take("x", account=1) for _ in range(4)] == [0, 0, 0, 10.0]


def test_what_is_refused_does_not_count():
    quotas, clock = _quotas(None, Rate(1, 10.0))
    assert quotas.take("x", address="127.0.0.1") == 0
    assert {quotas.take("x", address="127.0.0.1") for _ in range(50)} == {10.0}
    clock.now += 10
    assert quotas.take("x", address="127.0.0.1") == 0


def test_nobody_is_held_up_by_others():
    quotas, _ = _quotas(Rate(1, 10.0), Rate(2, 10.0))
    assert quotas.take("x", account=1, address="192.0.2.1") == 0
    assert quotas.take("x", account=1, address="192.0.2.2") == 10.0
    assert quotas.take("x", account=2, address="192.0.2.1") == 0
    assert quotas.take("x", account=3, address="192.0.2.1") == 10.0
    assert quotas.take("x", account=3, address="192.0.2.2") == 0


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "0", False),
    ],
)
def test_an_address_of_ipv6_is_its_network(one: str, other: str, are_same: bool):
    quotas, _ = _quotas(None, Rate(1, 10.0))
    quotas.take("x", address=one)
    assert bool(quotas.take("x", address=other)) is are_same


def test_who_waits_waits_behind_those_before():
    quotas, _ = _quotas(Rate(1, 10.0), Rate(9, 0.0))
    waits = [quotas.reserve("x", account=1, patience=25.0) for _ in range(4)]
    assert waits == [(True, 0.0), (True, 10.0), (True, 20.0), (False, 30.0)]


def test_what_must_go_on_goes_on():
    quotas = Quotas(clock=Clock())
    assert not any(quotas.take("registration", address="127.0.0.1") for _ in range(5))
    assert not any(quotas.take("message", account=1, address="::1") for _ in range(100))


TIGHT = {
    "registration": Quota(None, Rate(2, 60.0)),
    "message": Quota(Rate(3, 60.0), Rate(100, 0.0)),
    "room": Quota(Rate(2, 60.0), Rate(100, 0.0)),
    "change": Quota(Rate(2, 60.0), Rate(100, 0.0)),
    "request": Quota(Rate(2, 60.0), Rate(100, 0.0)),
    "qr": Quota(None, Rate(2, 60.0)),
    "captcha": Quota(None, Rate(2, 60.0)),
}


async def _statuses(visitor: Visitor, path: str, **body: object) -> Counter[int]:
    return Counter([(await post(visitor, path, **body)).code for _ in range(5)])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/page/messages", {"conversation": "friend:10002", "content": ["x"]}),
        ("/page/groups", {"name": "x", "members": []}),
        ("/page/discussions", {"name": "x", "members": []}),
        ("/page/room", {"conversation": "group:20001", "card": "x"}),
        ("/page/friends", {"account": 10003}),
        ("/page/profile", {"lnick": "x"}),
        ("/page/typing", {"conversation": "friend:10002"}),
    ],
)
async def test_an_account_that_does_too_much_is_told_when_to_try_again(path: str, body: dict):
    async with Town(quotas=TIGHT) as town:
        ann, bob = await signed_in(town, town.ann), await signed_in(town, town.bob)
        assert (await _statuses(ann, path, **body))[429] in {2, 3}
        reply: HTTPResponse = await post(ann, path, **body)
        assert reply.code == 429
        assert 0 < int(reply.headers["Retry-After"]) <= 60
        assert json.loads(reply.body)["error"].startswith("Too often: try again in ")
        assert 429 not in {(await post(bob, path, **body)).code}


async def test_an_address_makes_so_many_accounts_shows_so_many_codes_and_captchas():
    async with Town(quotas=TIGHT) as town:
        visitor = town.visitor(town.ann)
        made = await _statuses(visitor, "/page/register", nick="N", password="long enough")
        assert made == {200: 2, 429: 3}
        for path in (smartqq.QR_CODE.path, webqq3.CAPTCHA.path):
            codes = Counter([(await visitor.get(path, uin=town.ann)).code for _ in range(5)])
            assert codes == {200: 2, 429: 3}


async def test_an_old_client_that_sends_too_fast_waits_and_loses_nothing():
    quota = {"message": Quota(Rate(2, 0.2), Rate(100, 0.0))}
    async with Town(quotas=quota, poll_timeout=5) as town:
        ann, bob = town.visitor(town.ann), town.visitor(town.bob)
        await ann.enter()
        await bob.enter()
        reply = await ann.ask(webqq3.FRIENDS, forms.FriendsForm(ann.session.vfwebqq))
        (friend,) = webqq3.FRIENDS.parse(reply.body).friends
        began = time.monotonic()
        sent = [_say(ann, friend.uin, number) for number in range(5)]
        replies = [webqq3.SEND_FRIEND.parse(reply.body) for reply in await asyncio.gather(*sent)]
        assert all(reply.is_accepted for reply in replies)
        assert time.monotonic() - began > 0.5
        heard: set[str] = set()
        while len(heard) < 5:
            heard |= {event.content.text for event in webqq3.POLL.parse(await bob.poll()).events}
    assert heard == set("01234")


async def _say(visitor: Visitor, to: int, number: int) -> HTTPResponse:
    content, secret = Content.of(str(number)), visitor.session.psessionid
    return await visitor.ask(
        webqq3.SEND_FRIEND, forms.SendForm(to, content, 7001 + number, 1, secret)
    )


async def test_who_waits_too_long_is_refused():
    async with Town(quotas=TIGHT) as town:
        ann = town.visitor(town.ann)
        await ann.enter()
        reply = await ann.ask(webqq3.FRIENDS, forms.FriendsForm(ann.session.vfwebqq))
        (friend,) = webqq3.FRIENDS.parse(reply.body).friends
        codes = Counter([(await _say(ann, friend.uin, number)).code for number in range(5)])
    assert codes == {200: 3, 429: 2}


def test_each_quota_of_the_page_is_there():
    assert {one.quota for one in OPERATIONS} - {""} <= QUOTAS.keys()
