"""Sending, when answers are lost, refused or senseless, and in another session."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager

import pytest
from servers.front import CLOSE, LOSE, Front, Say, front_of
from servers.town import PASSWORD, Ear, Town
from tenacity import wait_none

from webqq_tornado.client import (
    Client,
    Endpoints,
    SendError,
    State,
    StateChange,
    Store,
    StoreError,
    Stranger,
    outbox,
)
from webqq_tornado.protocol.models import (
    Content,
    FriendMessage,
    GroupMessage,
    SessionMessage,
    UnknownPart,
)

SEND = "/channel/send_buddy_msg2"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(outbox, "PAUSE", 0.01)
    monkeypatch.setattr(outbox, "GROUP_SPACING", 0.01)
    monkeypatch.setattr("webqq_tornado.client.session._PAUSES", wait_none())


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as store:
        yield store


class Scene:
    """Ann, with a store, behind a front server, and Bob, who hears her."""

    def __init__(self, town: Town, front: Front, ann: Client, bob: Client) -> None:
        self.town, self.front, self.ann, self.bob = town, front, ann, bob
        self.ear, self.ann_hears = Ear(bob), Ear(ann)

    async def heard(self, until: str, kind: type = FriendMessage) -> list[str]:
        texts: list[str] = []
        while not texts or texts[-1] != until:
            texts.append((await self.ear.next(kind)).content.text)
        return texts


@asynccontextmanager
async def scene(store: Store | None):
    async with Town() as town, front_of(town.server.url) as front:
        ann = Client(town.stream, town.ann, PASSWORD, Endpoints.at(front.url), store=store)
        bob, _ = town.client(town.bob)
        town.clients.append(ann)
        await ann.login()
        await bob.login()
        yield Scene(town, front, ann, bob)
        for client in town.clients:  # the front server has nothing to pass on after that
            await client.logout()


def _code(retcode: int) -> Say:
    return Say(json.dumps({"retcode": retcode, "result": "no"}).encode())


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_message_whose_answer_was_lost_arrives_once(store, is_kept):
    async with scene(store if is_kept else None) as one:
        one.front.say(SEND, LOSE, CLOSE, LOSE)
        await one.ann.send(one.ann.find("Bob"), "one")
        await one.ann.send(one.ann.find("Bob"), "two")
        assert await one.heard("two") == ["one", "two"]


async def test_a_resent_message_has_its_first_numbers(store):
    async with scene(store) as one:
        one.front.say(SEND, LOSE)
        await one.ann.send(one.ann.find("Bob"), "one")
        first, second = one.front.bodies[SEND]
        assert first == second


async def test_what_the_server_refuses_is_tried_four_times_and_given_up(store, caplog):
    async with scene(store) as one:
        one.front.say(SEND, *[_code(7)] * 4)
        refused = one.ann.send(one.ann.find("Bob"), "no")
        taken = one.ann.send(one.ann.find("Bob"), "yes")
        with pytest.raises(SendError, match="not sent to Bob: the server refused the message"):
            await refused
        await taken
        assert await one.heard("yes") == ["yes"]
        assert one.front.asked[SEND] == 5
        assert store.outbox(one.ann.account) == []


@pytest.mark.parametrize("retcode", [1202, 100003, 100100])
async def test_what_was_accepted_in_spite_of_the_code_is_not_sent_again(store, retcode):
    async with scene(store) as one:
        one.front.say(SEND, _code(retcode))
        await one.ann.send(one.ann.find("Bob"), "one")
        assert one.front.asked[SEND] == 1


@pytest.mark.parametrize("trouble", [Say(b"<html>502</html>", 502), Say(b"garbage"), CLOSE])
async def test_trouble_on_the_way_costs_no_message(store, trouble):
    async with scene(store) as one:
        one.front.say(SEND, *[trouble] * 9)
        await one.ann.send(one.ann.find("Bob"), "one")
        assert await one.heard("one") == ["one"]


@pytest.mark.parametrize("status", [503, 429])
async def test_a_server_that_says_not_now_is_waited_for(store, status):
    not_now = Say(b'{"error":"not now"}', status, {"Retry-After": "0.01"})
    async with scene(store) as one:
        asked = one.front.asked["/channel/login2"]
        one.front.say(SEND, *[not_now] * 30)
        await one.ann.send(one.ann.find("Bob"), "one")
        assert await one.heard("one") == ["one"]
        assert one.front.asked["/channel/login2"] == asked  # nor is the session to blame


async def test_a_server_that_never_has_time_is_told_of(store, caplog, monkeypatch):
    monkeypatch.setattr(outbox, "NOT_NOW_SECONDS", 0.05)
    not_now = Say(b'{"error":"Service Unavailable"}', 503, {"Retry-After": "0.01"})
    async with scene(store) as one:
        one.front.say(SEND, *[not_now] * 1000)
        with pytest.raises(SendError, match="not sent to Bob"):
            await one.ann.send(one.ann.find("Bob"), "one")


@pytest.mark.parametrize("retcode", [100001, 103, 8])
async def test_a_session_that_is_over_costs_no_message(store, retcode):
    async with scene(store) as one:
        one.front.say(SEND, _code(retcode))
        receipts = [one.ann.send(one.ann.find("Bob"), f"{n}") for n in range(3)]
        for receipt in receipts:
            await receipt
        assert await one.heard("2") == ["0", "1", "2"]


async def test_what_waits_is_counted_and_what_is_sent_is_in_the_history(store):
    async with scene(store) as one:
        one.ann.send(one.ann.find("Bob"), "one")
        one.ann.send(one.ann.find("Square"), "two")
        assert one.ann.outbox_size == 2
        assert len(store.outbox(one.ann.account)) == 2
        await one.ann.flush()
        assert one.ann.outbox_size == 0
        kept = [(e.name, e.number, e.text, e.is_own) for e in store.history(one.ann.account)]
        assert sorted(kept) == [
            ("Bob", one.town.bob, "one", True),
            ("Square", one.town.square, "two", True),
        ]


async def test_messages_to_a_group_keep_their_distance(store, monkeypatch):
    monkeypatch.setattr(outbox, "GROUP_SPACING", 0.2)
    monkeypatch.setattr(outbox, "REPEAT_SPACING", 0.3)
    async with scene(store) as one:
        began = time.monotonic()  # before the first: each counts from the answer to the last
        await one.ann.send(one.ann.find("Square"), "one")
        await one.ann.send(one.ann.find("Square"), "two")
        assert time.monotonic() - began >= 0.2
        await one.ann.send(one.ann.find("Square"), "two")
        assert time.monotonic() - began >= 0.2 + 0.5


# -- another session, another process ----------------------------------------------------------


async def _leave_with_something_to_say(one: Scene, name: str, *texts: str) -> None:
    """Ann accepts messages, and is gone before any of them was sent."""
    contact = one.ann.find(name)
    await one.ann.number_of(contact)
    for text in texts:
        receipt = one.ann.send(contact, text)
        receipt.add_done_callback(lambda done: done.exception())
    one.ann.leave()
    with pytest.raises(SendError, match="the store keeps it, and it is sent after the next login"):
        await receipt


@pytest.mark.parametrize("is_same_session", [True, False])
async def test_what_is_left_is_sent_by_the_next_one(store, caplog, is_same_session):
    async with scene(store) as one:
        await _leave_with_something_to_say(one, "Bob", "one", "two")
        if not is_same_session:
            store.forget_session(one.ann.account)
        again = _again(one, store)
        await again.login()
        again.send(again.find("Bob"), "three")
        assert await one.heard("three") == ["one", "two", "three"]
        await again.flush()


async def test_it_goes_to_the_same_person_whatever_the_names_are(store, caplog):
    async with scene(store) as one:
        await _leave_with_something_to_say(one, "Bob", "for Bob")
        store.forget_session(one.ann.account)
        _befriend_another_bob(one)
        again = _again(one, store)
        await again.login()
        assert await one.heard("for Bob") == ["for Bob"]


async def test_without_a_number_it_goes_to_nobody_of_the_same_name(store, caplog):
    async with scene(store) as one:
        one.front.say("/api/get_friend_uin2", *[_code(7)] * 9)
        await _leave_with_something_to_say(one, "Bob", "for Bob")
        store.forget_session(one.ann.account)
        _befriend_another_bob(one)
        again = _again(one, store)
        await again.login()
        await again.logout()
        assert "the contact is gone, or several have its name" in caplog.text


async def test_who_is_kicked_says_it_after_the_next_login(store, caplog):
    async with scene(store) as one:
        one.front.say(SEND, *[CLOSE] * 3)
        receipt = one.ann.send(one.ann.find("Bob"), "one")
        other, _ = one.town.client(one.town.ann)
        await other.login()
        while (await one.ann_hears.next(StateChange)).state is not State.KICKED:
            pass
        with pytest.raises(SendError, match="kicked"):
            await receipt
        await one.ann.login()
        assert await one.heard("one") == ["one"]


async def test_who_is_offline_accepts_nothing(store, caplog):
    async with scene(store) as one:
        bob = one.ann.find("Bob")
        await one.ann.logout()
        with pytest.raises(SendError, match="not sent to Bob: 10001 is offline: log in first"):
            await one.ann.send(bob, "one")
        assert store.outbox(one.ann.account) == []


def _befriend_another_bob(one: Scene) -> None:
    storage = one.town.server.storage
    storage.friends.befriend(one.town.ann, storage.accounts.create("Bob", PASSWORD).number)


def _again(one: Scene, store: Store) -> Client:
    client = Client(
        one.town.stream, one.town.ann, PASSWORD, Endpoints.at(one.front.url), store=store
    )
    one.town.clients.append(client)
    return client


# -- strangers ---------------------------------------------------------------------------------


async def test_a_member_who_is_no_friend_is_written_to_by_a_signature_that_is_kept(store):
    async with scene(store) as one:
        eve, ear = one.town.client(one.town.eve)
        await eve.login()
        stranger = one.ann.find("Eve")
        assert isinstance(stranger, Stranger)
        await one.ann.send(stranger, "psst")
        await one.ann.send(stranger, "hey")
        heard = [await ear.next((SessionMessage, FriendMessage)) for _ in range(2)]
        assert [message.content.text for message in heard] == ["psst", "hey"]
        assert one.front.asked["/channel/get_c2cmsg_sig2"] == 1


async def test_a_signature_that_is_refused_is_asked_for_again(store):
    async with scene(store) as one:
        one.front.say("/channel/send_sess_msg2", _code(7))
        await one.ann.send(one.ann.find("Eve"), "psst")
        assert one.front.asked["/channel/get_c2cmsg_sig2"] == 2


async def test_a_stranger_is_found_again_by_the_next_one(store, caplog):
    async with scene(store) as one:
        eve, ear = one.town.client(one.town.eve)
        await eve.login()
        await _leave_with_something_to_say(one, "Eve", "psst")
        store.forget_session(one.ann.account)
        again = _again(one, store)
        await again.login()
        assert (await ear.next((SessionMessage, FriendMessage))).content.text == "psst"


async def test_a_group_is_found_again_by_the_next_one(store, caplog):
    async with scene(store) as one:
        await _leave_with_something_to_say(one, "Square", "to all")
        store.forget_session(one.ann.account)
        again = _again(one, store)
        await again.login()
        assert await one.heard("to all", GroupMessage) == ["to all"]


# -- a disk that is full -----------------------------------------------------------------------


async def test_what_cannot_be_written_is_not_accepted(store):
    async with scene(store) as one:
        store._db.execute("PRAGMA query_only=1")  # SQLite's word for it is another one
        with pytest.raises(StoreError, match="the message to Bob is not accepted: make room"):
            one.ann.send(one.ann.find("Bob"), "one")
        store._db.execute("PRAGMA query_only=0")
        await one.ann.send(one.ann.find("Bob"), "two")
        assert await one.heard("two") == ["two"]


async def test_a_store_that_cannot_be_written_stops_nothing_that_is_under_way(store, caplog):
    async with scene(store) as one:
        receipt = one.ann.send(one.ann.find("Bob"), "one")
        store._db.execute("PRAGMA query_only=1")
        await receipt
        await one.bob.send(one.bob.find("Ann"), "two")
        assert (await one.ann_hears.next(FriendMessage)).content.text == "two"
        store._db.execute("PRAGMA query_only=0")
    lost = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert any(line.endswith("not on record: a message from Bob") for line in lost)
    assert any(line.endswith("not on record: that a message to Bob was delivered") for line in lost)


class Counted(UnknownPart):
    """A part that counts how often its text is asked for."""

    asked = 0

    @property
    def text(self) -> str:
        Counted.asked += 1
        return "[x]"


def test_a_content_of_many_parts_is_split_in_one_pass():
    parts = [Counted("x", str(number)) for number in range(2000)]
    pieces = outbox.in_pieces(Content(tuple(parts)), 300)
    assert [part for piece in pieces for part in piece.parts] == parts
    assert {len(piece.parts) for piece in pieces} == {100}
    assert Counted.asked <= 3 * len(parts)
