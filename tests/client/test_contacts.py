"""Who an account's contacts are: found, searched, kept fresh."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from servers.front import Say, front_of
from servers.town import PASSWORD, Ear, Town

from webqq_tornado.client import Client, Endpoints, Kind, SendError, Stranger
from webqq_tornado.client.contacts import Contacts, name_of
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import (
    Discussion,
    DiscussionDetails,
    DiscussionMember,
    Friend,
    FriendListChange,
    Group,
    GroupDetails,
    GroupSystemMessage,
    Member,
    StatusChange,
)

ANN, BOB = Friend(1, "Ann"), Friend(2, "Robert", mark="Bob")
SQUARE, PLAN = Group(11, 12, "Square", mark="Ours"), Discussion(21, "Plan")
CONTACTS = Contacts(
    friends={1: ANN, 2: BOB},
    groups={11: SQUARE},
    details={
        11: GroupDetails(
            11, 12, members=(Member(1, "Ann"), Member(3, "Eve", "Evening"), Member(9, "Me"))
        )
    },
    discussions={21: PLAN},
    discussion_details={21: DiscussionDetails(21, members=(DiscussionMember(4, 10004, "Dan"),))},
    numbers={(Kind.FRIEND, 1): 10001, (Kind.GROUP, 11): 20001},
    own=9,
)
EVE, DAN = Stranger(3, 11, 0, "Evening"), Stranger(4, 21, 1, "Dan", 10004)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Ann", ANN),
        (" ann ", ANN),
        ("10001", ANN),
        ("Bob", BOB),
        ("robert", BOB),
        ("bo", BOB),
        ("Ours", SQUARE),
        ("square", SQUARE),
        ("20001", SQUARE),
        ("plan", PLAN),
        ("evening", EVE),
        ("eve", EVE),
        ("dan", DAN),
        ("10004", DAN),
        ("me", None),
        ("1000", None),
        ("", None),
        ("nobody", None),
    ],
)
def test_a_name_or_a_number_finds_who_is_meant(name, found):
    assert CONTACTS.find(name) == found


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("N", [ANN, PLAN, EVE, DAN]),
        ("100", [ANN, DAN]),
        ("rob", [BOB]),
        ("square", [SQUARE]),
        ("eve", [EVE]),
        ("zzz", []),
    ],
)
def test_a_word_finds_all_who_have_it_in_one_of_their_names(word, found):
    assert CONTACTS.search(word) == found


def test_a_beginning_that_several_have_finds_nobody():
    contacts = Contacts(friends={1: Friend(1, "Bobby"), 2: Friend(2, "Bobo")})
    assert contacts.find("bob") is None


def test_a_member_is_a_friend_if_it_is_one():
    assert CONTACTS.person(SQUARE, 1) == ANN
    assert CONTACTS.people(SQUARE) == [ANN, EVE]
    assert name_of(CONTACTS.person(SQUARE, 77)) == "77"


# -- with a server -----------------------------------------------------------------------------


@asynccontextmanager
async def ann_behind_a_front():
    async with Town() as town, front_of(town.server.url) as front:
        ann = Client(town.stream, town.ann, PASSWORD, Endpoints.at(front.url))
        town.clients.append(ann)
        await ann.login()
        yield town, front, ann
        await ann.logout()


def _event(poll_type: str, **value: object) -> Say:
    event = {"poll_type": poll_type, "value": value}
    return Say(json.dumps({"retcode": 0, "result": [event]}).encode())


async def test_a_number_is_asked_for_once():
    async with ann_behind_a_front() as (town, front, ann):
        for name, number in (("Bob", town.bob), ("Square", town.square), ("Eve", town.eve)) * 2:
            assert await ann.number_of(ann.find(name)) == number
        assert front.asked["/api/get_friend_uin2"] == 3
        assert ann.find(str(town.bob)) == ann.find("Bob")


async def test_a_number_that_the_server_does_not_tell_is_0():
    async with ann_behind_a_front() as (_, front, ann):
        front.say("/api/get_friend_uin2", Say(b'{"retcode":100101}'))
        assert await ann.number_of(ann.find("Bob")) == 0
        assert await ann.number_of(ann.find("Bob")) == 0
        assert front.asked["/api/get_friend_uin2"] == 1


async def test_who_is_offline_cannot_ask():
    async with ann_behind_a_front() as (_, _front, ann):
        bob = ann.find("Bob")
        await ann.logout()
        with pytest.raises(SendError, match="offline: log in first"):
            await ann.number_of(bob)


async def test_who_is_online_is_known_from_the_login_on():
    async with Town() as town:
        ann, ear = town.client(town.ann)
        bob, _ = town.client(town.bob)
        await bob.login()
        await ann.login()
        assert ann.contacts.status_of(ann.find("Bob")) is Status.ONLINE
        await bob.set_status(Status.BUSY)
        await ear.next(StatusChange)
        assert ann.contacts.status_of(ann.find("Bob")) is Status.BUSY
        await bob.logout()
        await ear.next(StatusChange)
        assert ann.contacts.status_of(ann.find("Bob")) is Status.OFFLINE


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (_event("buddylist_change", added_friends=[{"uin": 5}]), FriendListChange),
        (_event("sys_g_msg", type="group_join", from_uin=5, gcode=5), GroupSystemMessage),
    ],
)
async def test_a_change_of_friends_or_groups_brings_new_contacts(event, kind):
    async with ann_behind_a_front() as (town, front, ann):
        ear = Ear(ann)
        storage = town.server.storage
        storage.friends.befriend(town.ann, town.eve)
        said = front.say("/channel/poll2", event)
        town.server.hub.find(ann.session.psessionid)
        bob, _ = town.client(town.bob)
        await bob.login()  # which ends the poll that is held
        await said.wait()
        await ear.next(kind)
        names = {chain.name.partition(" ")[2]: chain for chain in town.stream.chains}
        await names["refresh contacts"]
        assert isinstance(ann.find("Eve"), Friend)


async def test_a_server_without_discussions_and_latest_contacts_will_do():
    async with Town() as town, front_of(town.server.url) as front:
        for path in ("/api/get_discus_list", "/channel/get_recent_list2"):
            front.say(path, Say(b"<html>404</html>", 404))
        front.say("/channel/get_online_buddies2", Say(b'{"retcode":100000}'))
        ann = Client(town.stream, town.ann, PASSWORD, Endpoints.at(front.url))
        await ann.login()
        assert ann.find("Bob")
        assert ann.contacts.recents == ()
        await ann.logout()
