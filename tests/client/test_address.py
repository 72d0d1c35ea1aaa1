"""Whom one can write to besides friends and groups, and who that is in the next session."""

from __future__ import annotations

import pytest
from servers.town import PASSWORD, Ear, Town

from webqq_tornado.client import Client, Endpoints, Kind, Store, Stranger
from webqq_tornado.protocol.models import (
    Discussion,
    DiscussionMessage,
    Friend,
    FriendListChange,
    FriendMessage,
    GroupSystemMessage,
    SessionMessage,
)


@pytest.fixture(params=["webqq3", "smartqq"])
def dialect(request) -> str:
    return request.param


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as store:
        yield store


def _client(town: Town, account: int, dialect: str) -> tuple[Client, Ear]:
    if dialect == "smartqq":
        return town.smart_client(town.confirm_as(account), account)
    return town.client(account)


def _stored(town: Town, account: int, store: Store) -> tuple[Client, Ear]:
    client = Client(town.stream, account, PASSWORD, Endpoints.at(town.server.url), store=store)
    town.clients.append(client)
    return client, Ear(client)


async def test_a_discussion_is_found_written_to_and_heard(dialect):
    async with Town() as town:
        town.server.storage.rooms.create_discussion("Lunch", town.ann, [town.bob, town.eve])
        ann, _ = _client(town, town.ann, dialect)
        bob, ear = _client(town, town.bob, dialect)
        await ann.login()
        await bob.login()
        lunch = ann.find("lunch")
        assert isinstance(lunch, Discussion)
        assert len(ann.contacts.people(lunch)) == 2
        for text in ("soup?", "or rice?"):
            ann.send(lunch, text)
        heard = [await ear.next(DiscussionMessage) for _ in range(2)]
        assert [message.content.text for message in heard] == ["soup?", "or rice?"]
        assert bob.sender_name(heard[0]) == "Ann"
        assert bob.contact_of(heard[0]) == bob.find("Lunch")


@pytest.mark.parametrize("is_in_group", [True, False])
async def test_a_stranger_is_written_to_and_answers(dialect, is_in_group):
    async with Town() as town:
        storage = town.server.storage
        other = storage.accounts.create("Dan", PASSWORD).number
        if is_in_group:
            storage.rooms.create_group("Chess", town.ann, [other])
        else:
            storage.rooms.create_discussion("Lunch", town.ann, [other])
        ann, ear = _client(town, town.ann, dialect)
        dan, ear_of_dan = _client(town, other, dialect)
        await ann.login()
        await dan.login()
        assert isinstance(ann.find("Dan"), Stranger)
        await ann.send(ann.find("Dan"), "who are you?")
        message = await ear_of_dan.next(SessionMessage)
        assert dan.sender_name(message) == "Ann"
        await dan.send(dan.contact_of(message), "who asks?")
        answer = await ear.next(SessionMessage)
        assert answer.content.text == "who asks?"
        assert ann.contact_of(answer) == ann.find("Dan")
        assert await ann.number_of(ann.find("Dan")) == other


async def test_a_conversation_with_a_stranger_is_one_in_the_history(store):
    async with Town() as town:
        ann, ear = _stored(town, town.ann, store)
        eve, ear_of_eve = town.client(town.eve)
        await ann.login()
        await eve.login()
        await ann.send(ann.find("Eve"), "who are you?")
        await eve.send(eve.contact_of(await ear_of_eve.next(SessionMessage)), "Eve")
        await ear.next(SessionMessage)
        entries = store.history(town.ann, with_="Eve")
        assert [(entry.text, entry.is_own) for entry in entries] == [
            ("who are you?", True),
            ("Eve", False),
        ]
        assert {(entry.kind, entry.number) for entry in entries} == {(Kind.STRANGER, town.eve)}


async def test_a_discussion_is_the_same_in_the_history_after_another_login(store):
    async with Town() as town:
        town.server.storage.rooms.create_discussion("Lunch", town.ann, [town.bob])
        for text in ("soup?", "rice?"):
            ann, _ = _stored(town, town.ann, store)
            await ann.login()
            await ann.send(ann.find("Lunch"), text)
            await ann.logout()
        entries = store.history(town.ann, with_="Lunch")
        assert [entry.text for entry in entries] == ["soup?", "rice?"]


async def test_a_message_finds_its_recipient_in_a_new_session_under_another_name(store, caplog):
    async with Town() as town:
        ann, _ = _stored(town, town.ann, store)
        await ann.login()
        bob = ann.find("Bob")
        await ann.number_of(bob)
        receipt = ann.send(bob, "for Bob")
        receipt.add_done_callback(lambda done: done.exception())
        ann.leave()  # before it is on its way
        store.forget_session(town.ann)
        storage = town.server.storage
        storage.friends.befriend(town.ann, town.eve)
        storage.friends.set_mark(town.ann, town.bob, "Robert")
        storage.friends.set_mark(town.ann, town.eve, "Bob")
        bob, ear = town.client(town.bob)
        again, _ = _stored(town, town.ann, store)
        await bob.login()
        await again.login()
        assert (await ear.next(FriendMessage)).content.text == "for Bob"


async def test_a_new_friend_is_among_the_contacts_at_once(dialect):
    async with Town() as town:
        ann, ear = _client(town, town.ann, dialect)
        await ann.login()
        town.server.storage.friends.befriend(town.ann, town.eve)
        town.server.hub.befriended(town.eve, town.ann, "verify_pass_add")
        await ear.next((FriendListChange, GroupSystemMessage))
        (refresh,) = [chain for chain in town.stream.chains if "refresh" in chain.name]
        await refresh
        assert isinstance(ann.find("Eve"), Friend)
