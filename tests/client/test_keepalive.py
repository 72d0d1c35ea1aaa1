"""Heartbeats, and contacts that are kept up to date, over errors of all kinds."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from servers.front import CLOSE, PASS, Say, front_of
from servers.town import PASSWORD, Town

from webqq_tornado.client import Client, Endpoints, State
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3

BEAT = "/web2/get_msg_tip"
FRIENDS, GROUPS = "/api/get_user_friends2", "/api/get_group_name_list_mask2"
#: What a server says that is not well.
TROUBLES = (CLOSE, Say(b"<html>Bad Gateway</html>", 502), Say(b"garbage"), Say(b'{"retcode":-1}'))


@asynccontextmanager
async def ann_online(dialect=WEBQQ3):
    async with Town() as town, front_of(town.server.url) as front:
        show = town.confirm_as(town.ann)
        ann = Client(
            town.stream, town.ann, PASSWORD, Endpoints.at(front.url), dialect=dialect, on_qr=show
        )
        town.clients.append(ann)
        await ann.login()
        yield town, front, ann


async def test_heartbeats_go_on_whatever_comes_back(monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.keepalive.HEARTBEAT_SECONDS", 0.01)
    async with ann_online() as (_, front, ann):
        await front.say(BEAT, *TROUBLES).wait()
        beats = front.asked[BEAT]
        await front.say(BEAT, *TROUBLES).wait()
        assert front.asked[BEAT] >= beats + len(TROUBLES)
        assert ann.state is State.ONLINE


async def test_smartqq_has_no_heartbeat(monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.keepalive.HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr("webqq_tornado.client.keepalive.CONTACTS_SECONDS", 0.1)
    async with ann_online(SMARTQQ) as (_, front, _ann):
        await front.say(FRIENDS, CLOSE).wait()  # the contacts were fetched again meanwhile
        assert front.asked[BEAT] == 0


@pytest.mark.parametrize("dialect", [WEBQQ3, SMARTQQ], ids=lambda dialect: dialect.name)
async def test_contacts_are_fetched_again_and_again_whatever_comes_back(monkeypatch, dialect):
    monkeypatch.setattr("webqq_tornado.client.keepalive.CONTACTS_SECONDS", 0.01)
    async with ann_online(dialect) as (town, front, ann):
        await front.say(FRIENDS, *TROUBLES).wait()
        await front.say(GROUPS, *TROUBLES).wait()
        assert ann.state is State.ONLINE
        assert ann.find("Bob") is not None
        town.server.storage.rooms.rename(town.square, "Circle")  # nobody is told of it
        while ann.find("Circle") is None:
            await front.say(FRIENDS, PASS).wait()


async def test_a_refresh_that_fails_leaves_the_contacts_as_they_are(monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.keepalive.CONTACTS_SECONDS", 3600.0)
    async with ann_online() as (town, front, ann):
        friends = front.say(FRIENDS, CLOSE)
        town.server.hub.befriended(town.ann, town.eve, "verify_pass")
        await friends.wait()
        friends = front.say(FRIENDS, PASS)
        while not friends.is_set():  # it may take a while to know of the first one's end
            assert ann.find("Bob") in ann.friends.values()
            town.server.hub.befriended(town.ann, town.eve, "verify_pass")
            await front.say("/channel/poll2", PASS).wait()
