"""The contact that a name or a number means: one, or an error that says who there is."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from servers.bots import a_bot
from servers.town import PASSWORD, Town

from webqq_tornado.bot import Bot
from webqq_tornado.client import ContactError, SendError
from webqq_tornado.client.contacts import Contacts
from webqq_tornado.protocol.models import Friend, FriendMessage, Group


@asynccontextmanager
async def two_jacks():
    """Ann with two friends who are called jack: 10004 and 10005."""
    async with Town() as town:
        storage = town.server.storage
        for _ in range(2):
            storage.friends.befriend(town.ann, storage.accounts.create("jack", PASSWORD).number)
        ann, _ = town.client(town.ann)
        await ann.login()
        yield town, ann


async def test_a_name_that_several_have_is_refused_with_their_numbers():
    async with two_jacks() as (_, ann):
        assert ann.find("jack") is None
        with pytest.raises(ContactError, match="several are called so") as refusal:
            await ann.resolve("Jack")
        assert {"jack (friend 10004)", "jack (friend 10005)"} <= set(
            str(refusal.value).partition("so: ")[2].partition(";")[0].split(", ")
        )
        assert len(refusal.value.candidates) == 2
        assert await ann.number_of(await ann.resolve(10005)) == 10005


async def test_a_bot_asks_neither_of_two_of_a_name():
    async with two_jacks() as (_, ann):
        with pytest.raises(LookupError, match=r"10004.*10005|10005.*10004"):
            await Bot(ann, "Ann").ask("jack", "which of you?")


async def test_nobody_is_none_of_those_there_are():
    async with two_jacks() as (_, ann):
        with pytest.raises(ContactError, match=r"'Carl': nobody is called so; there are: .*Bob"):
            await ann.resolve("Carl")
        with pytest.raises(ContactError, match="'999999'"):
            await ann.resolve(999999)


async def test_digits_are_the_number_of_somebody_before_they_are_the_name_of_another():
    async with Town() as town:
        storage = town.server.storage
        dan = storage.accounts.create("Dan", PASSWORD).number
        storage.friends.befriend(town.ann, storage.accounts.create(str(dan), PASSWORD).number)
        storage.friends.befriend(town.ann, dan)
        ann, _ = town.client(town.ann)
        await ann.login()
        assert ann.find(str(dan)) is None  # nobody's number was asked for
        assert await ann.resolve(str(dan)) == ann.find("Dan")
        assert ann.find(str(dan)) == ann.find("Dan")


async def test_digits_that_are_nobodys_number_are_a_name():
    async with Town() as town:
        storage = town.server.storage
        storage.friends.befriend(town.ann, storage.accounts.create("77777", PASSWORD).number)
        ann, _ = town.client(town.ann)
        await ann.login()
        assert (await ann.resolve("77777")).name == "77777"
        with pytest.raises(ContactError):
            await ann.resolve(77777)


async def test_a_member_whom_a_group_names_like_a_friend_gets_nothing_of_the_friends():
    async with Town() as town:
        town.server.storage.rooms.set_card(town.square, town.eve, "Bob")
        ann, _ = town.client(town.ann)
        await ann.login()
        assert isinstance(await ann.resolve("Bob"), Friend)


async def test_a_group_and_a_friend_of_one_name_are_two():
    async with Town() as town:
        town.server.storage.rooms.create_group("Bob", town.ann, [town.bob])
        ann, _ = town.client(town.ann)
        await ann.login()
        assert ann.find("Bob") is None
        with pytest.raises(ContactError, match=rf"Bob \(friend {town.bob}\), Bob \(group \d+\)"):
            await ann.resolve("Bob")


async def test_one_bot_of_two_accounts_refuses_a_name_that_is_another_one_in_each():
    async with two_jacks() as (town, ann):
        storage = town.server.storage
        eve, _ = town.client(town.eve)
        storage.friends.befriend(town.eve, storage.accounts.create("Bob", PASSWORD).number)
        await eve.login()
        bot = Bot(ann, "Ann")
        bot.add(eve)
        with pytest.raises(ContactError, match=r"'Bob': several .* \(friend 10002\).*10006"):
            await bot.ask("Bob", "which of you?")
        with pytest.raises(ContactError, match="several are called so: jack"):
            await bot.ask("jack", "which of you?")


async def test_what_is_no_contact_is_sent_nothing():
    async with two_jacks() as (_, ann):
        with pytest.raises(TypeError, match=r"client\.resolve"):
            ann.send(ann.find("jack"), "hello")


async def test_who_is_offline_cannot_be_asked_for_numbers():
    async with two_jacks() as (_, ann):
        await ann.logout()
        with pytest.raises(SendError, match="log in first"):
            await ann.resolve(10005)


@pytest.mark.parametrize("name", ["josé", " JOSÉ  M. ", "Jose\u0301 m."])
def test_names_that_look_the_same_are_the_same(name):
    contacts = Contacts(friends={1: Friend(1, "José M.")})
    assert contacts.find(name) == contacts.friends[1]


def test_of_two_who_differ_by_case_the_one_that_is_written_is_meant():
    contacts = Contacts(friends={1: Friend(1, "jack"), 2: Friend(2, "Jack")})
    assert contacts.find("Jack") == contacts.friends[2]
    assert contacts.find("JACK") is None


def test_a_number_with_digits_missing_is_no_beginning_of_a_name():
    assert Contacts(groups={1: Group(1, 1, "1000 miles")}).find("1000") is None
    assert Contacts(friends={1: Friend(1, "007")}).find("007") is not None


async def test_a_condition_by_number_is_not_met_by_who_takes_it_for_a_name():
    async with Town() as town:
        town.server.storage.friends.set_mark(town.bob, town.ann, str(town.eve))
        async with a_bot(town) as bot:
            ann, ear = town.client(town.ann)
            await ann.login()
            bot.on_message(friend=str(town.eve))(lambda message: message.reply("wrong"))
            bot.on_message(friend=str(town.ann))(lambda message: message.reply("right"))
            await ann.send(ann.find("Bob"), "who am I?")
            assert (await ear.next(FriendMessage)).content.text == "right"
