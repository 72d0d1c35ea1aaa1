"""What comes in: each message once, on record before it is handled, and under whose name."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from servers.front import LOSE, Say, front_of
from servers.town import PASSWORD, Ear, Town
from tenacity import wait_none

from webqq_tornado.client import Client, Endpoints, Kind, Store
from webqq_tornado.protocol.models import FriendMessage, GroupMessage, SessionMessage
from webqq_tornado.server.storage import Conversation, load_content

POLL = "/channel/poll2"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("webqq_tornado.client.session._PAUSES", wait_none())


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as store:
        yield store


@asynccontextmanager
async def scene(store: Store | None):
    """Ann behind a front server, and Bob."""
    async with Town() as town, front_of(town.server.url) as front:
        ann = Client(town.stream, town.ann, PASSWORD, Endpoints.at(front.url), store=store)
        bob, _ = town.client(town.bob)
        town.clients.append(ann)
        await ann.login()
        await bob.login()
        yield town, front, ann, bob
        for client in town.clients:
            await client.logout()


def _poll_answer(poll_type: str, text: str, **value: object) -> Say:
    content = [["font", {"size": 10}], f"{text} "]
    event = {"poll_type": poll_type, "value": {"content": content, "msg_id": 7, "time": 1} | value}
    return Say(json.dumps({"retcode": 0, "result": [event]}).encode())


@pytest.mark.parametrize("is_kept", [True, False])
async def test_an_answer_that_was_lost_comes_again_and_is_heard_once(store, is_kept):
    async with scene(store if is_kept else None) as (_, front, ann, bob):
        ear = Ear(ann)
        front.say(POLL, LOSE)
        for text in ("one", "two", "three"):
            await bob.send(bob.find("Ann"), text)
        heard = [(await ear.next(FriendMessage)).content.text for _ in range(3)]
        assert heard == ["one", "two", "three"]
        await bob.send(bob.find("Ann"), "four")
        assert (await ear.next(FriendMessage)).content.text == "four"


@pytest.mark.parametrize("is_kept", [True, False])
async def test_what_a_server_says_twice_is_heard_once(store, is_kept):
    async with scene(store if is_kept else None) as (_town, front, ann, bob):
        ear = Ear(ann)
        uin = next(iter(ann.friends))
        again = [_poll_answer("message", "hello", from_uin=uin)] * 3
        front.say(POLL, *again, _poll_answer("message", "bye", from_uin=uin))
        await bob.send(bob.find("Ann"), "ends the poll that is held")
        heard = []
        while "bye" not in heard:
            heard.append((await ear.next(FriendMessage)).content.text)
        assert heard.count("hello") == 1


async def test_the_next_one_does_not_hear_it_again(store):
    async with scene(store) as (town, front, ann, bob):
        ear = Ear(ann)
        answer = _poll_answer("message", "hello", from_uin=next(iter(ann.friends)))
        front.say(POLL, answer)
        await bob.send(bob.find("Ann"), "one")
        await ear.next(FriendMessage)
        ann.leave()
        again = Client(town.stream, town.ann, PASSWORD, Endpoints.at(front.url), store=store)
        town.clients.append(again)
        ear = Ear(again)
        front.say(POLL, answer)
        await again.login()
        await bob.send(bob.find("Ann"), "two")
        while (await ear.next(FriendMessage)).content.text != "two":
            pass
        texts = [entry.text for entry in store.history(town.ann)]
        assert texts.count("hello") == 1


async def test_a_message_is_on_record_before_it_is_handled(store):
    async with scene(store) as (town, _, ann, bob):
        found = []
        ann.on_event(
            lambda event: (
                isinstance(event, FriendMessage)
                and found.append(store.history(town.ann, search=event.content.text))
            )
        )
        ear = Ear(ann)
        await bob.send(bob.find("Ann"), "hello")
        await ear.next(FriendMessage)
        assert [entry.text for entry in found[0]] == ["hello"]


async def test_the_record_says_who_wrote_where_and_finds_out_their_numbers(store):
    async with scene(store) as (town, _, ann, bob):
        ear = Ear(ann)
        await bob.send(bob.find("Ann"), "hello")
        await ear.next(FriendMessage)
        await bob.send(bob.find("Square"), "to all")
        await ear.next(GroupMessage)
        for chain in list(town.stream.chains):
            if "number of" in chain.name:
                await chain
        private, public = store.history(town.ann)
        assert (private.kind, private.name, private.number) == (Kind.FRIEND, "Bob", town.bob)
        assert (public.kind, public.name, public.number) == (Kind.GROUP, "Square", town.square)
        assert [entry.sender for entry in (private, public)] == ["Bob", "Bob"]
        assert not private.is_own


async def test_what_was_written_elsewhere_is_ones_own_in_the_conversation_it_belongs_to(store):
    async with scene(store) as (town, _, ann, _bob):
        ear = Ear(ann)
        for conversation in (Conversation("friend", town.bob), Conversation("group", town.square)):
            said = load_content(["from the page"])
            town.server.hub.send(town.ann, conversation, said)
        message = await ear.next(FriendMessage)
        assert ann.is_own(message)
        assert ann.contact_of(message) == ann.find("Bob")
        assert ann.is_own(await ear.next(GroupMessage))
        entries = store.history(town.ann)
        assert {entry.name for entry in entries} == {"Bob", "Square"}
        assert {(e.sender, e.sender_number, e.is_own) for e in entries} == {("Ann", town.ann, True)}


async def test_a_sender_that_nobody_knows_is_recorded_all_the_same(store):
    async with scene(store) as (town, front, ann, bob):
        ear = Ear(ann)
        big = 2**63 - 1
        front.say(
            POLL,
            _poll_answer("message", "who?", from_uin=big),
            _poll_answer("group_message", "where?", from_uin=5, send_uin=6),
            _poll_answer("discu_message", "what?", did=5, send_uin=6),
            _poll_answer("sess_message", "why?", from_uin=8, id=5, ruin=10009),
        )
        await bob.send(bob.find("Ann"), "ends the poll that is held")
        while not store.history(town.ann, search="why?"):
            await ear.heard.get()
        entries = {entry.text: entry for entry in store.history(town.ann)}
        assert {"who?", "where?", "what?", "why?"} <= set(entries)
        assert entries["why?"].number == 10009
        assert entries["where?"].sender == "6"


@pytest.mark.parametrize("number", [2**63 - 1, 0])
@pytest.mark.parametrize("text", ["\ud83d broken", "\x00", "x" * 100_000])
async def test_what_is_out_of_the_ordinary_is_heard_and_so_is_what_comes_after_it(
    store, caplog, number, text
):
    async with scene(store) as (_, front, ann, bob):
        ear = Ear(ann)
        front.say(
            POLL,
            _poll_answer("sess_message", text, from_uin=number, id=number, ruin=number),
            _poll_answer("group_message", text, from_uin=number, send_uin=number, info_seq=number),
            _poll_answer("message", text, from_uin=number, time=number, msg_id2=number),
        )
        await bob.send(bob.find("Ann"), "ends the poll that is held")
        kinds = (FriendMessage, GroupMessage, SessionMessage)
        heard = [await ear.next(kinds) for _ in range(4)]
        assert {type(one) for one in heard} == set(kinds)
        await bob.send(bob.find("Ann"), "after it")
        assert (await ear.next(FriendMessage)).content.text == "after it"
        assert "dropped" not in caplog.text
