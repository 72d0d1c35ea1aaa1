"""The rules of groups, and of messages taken back."""

from __future__ import annotations

import time

import pytest
from servers.town import Town

from webqq_tornado.protocol.models.content import Content
from webqq_tornado.server.sending import NotAllowed, check_may_send
from webqq_tornado.server.storage import Conversation, StoredMessage, load_content


def say(town: Town, sender: int, words: str = "hello") -> StoredMessage:
    where = Conversation("group", town.square)
    return town.server.hub.send(sender, where, load_content([words]))


async def test_who_leads_a_group_bans_and_kicks_those_below_them():
    async with Town() as town:
        groups, rooms = town.server.groups, town.server.storage.rooms
        groups.set_admin(town.square, town.ann, town.bob, is_admin=True)
        groups.ban(town.square, town.bob, town.eve, 60)
        assert not rooms.may_write(town.square, town.eve)
        with pytest.raises(NotAllowed, match="banned"):
            check_may_send(town.server.storage, town.eve, Conversation("group", town.square))
        groups.ban(town.square, town.bob, town.eve, 0)
        assert rooms.may_write(town.square, town.eve)
        groups.kick(town.square, town.bob, town.eve, for_good=True)
        assert not rooms.is_member(town.square, town.eve)
        with pytest.raises(ValueError, match="for good"):
            groups.ask(town.square, town.eve, "let me in")


@pytest.mark.parametrize(
    "action", ["ban", "kick", "admin", "title", "rename", "silence", "essence"]
)
async def test_a_plain_member_does_none_of_it(action: str):
    async with Town() as town:
        groups, square, message = town.server.groups, town.square, say(town, town.ann)
        actions = {
            "ban": lambda: groups.ban(square, town.bob, town.eve, 60),
            "kick": lambda: groups.kick(square, town.bob, town.eve),
            "admin": lambda: groups.set_admin(square, town.bob, town.eve, is_admin=True),
            "title": lambda: groups.set_title(square, town.bob, town.eve, "Sir"),
            "rename": lambda: groups.rename(square, town.bob, "Mine"),
            "silence": lambda: groups.silence(square, town.bob, is_silenced=True),
            "essence": lambda: groups.set_essence(message, town.bob, is_set=True),
        }
        with pytest.raises(NotAllowed, match="only the owner"):
            actions[action]()


async def test_nobody_bans_the_owner_or_another_administrator():
    async with Town() as town:
        groups = town.server.groups
        for each in (town.bob, town.eve):
            groups.set_admin(town.square, town.ann, each, is_admin=True)
        with pytest.raises(NotAllowed, match="the owner of the group"):
            groups.ban(town.square, town.bob, town.ann, 60)
        with pytest.raises(NotAllowed, match="an administrator of the group"):
            groups.ban(town.square, town.bob, town.eve, 60)
        with pytest.raises(ValueError, match="0 to 2592000"):
            groups.ban(town.square, town.ann, town.eve, 31 * 86_400)


async def test_in_a_silenced_group_only_those_who_lead_it_write():
    async with Town() as town:
        town.server.groups.silence(town.square, town.ann, is_silenced=True)
        may_write = town.server.storage.rooms.may_write
        assert may_write(town.square, town.ann)
        assert not may_write(town.square, town.bob)
        town.server.groups.set_admin(town.square, town.ann, town.bob, is_admin=True)
        assert may_write(town.square, town.bob)


async def test_one_takes_back_ones_own_for_two_minutes_and_who_leads_any(monkeypatch):
    async with Town() as town:
        groups, messages = town.server.groups, town.server.storage.messages
        own, old, annes = say(town, town.bob), say(town, town.eve), say(town, town.ann)
        groups.recall(own, town.bob)
        taken = messages.get(own.id)
        assert taken
        assert (taken.content, taken.recalled) == (Content(), town.bob)
        with pytest.raises(NotAllowed, match="leads its group"):
            groups.recall(annes, town.bob)
        later = time.time() + 121
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(NotAllowed, match="120 s"):
            groups.recall(old, town.eve)
        groups.recall(old, town.ann)
        with pytest.raises(ValueError, match="already"):
            groups.recall(messages.get(old.id), town.ann)


async def test_a_message_taken_back_before_it_was_polled_is_not_delivered():
    async with Town() as town:
        bob = town.visitor(town.bob)
        await bob.enter()
        gone, kept = say(town, town.ann, "gone"), say(town, town.ann, "kept")
        town.server.groups.recall(gone, town.ann)
        reply = await bob.poll()
        assert b"kept" in reply
        assert b"gone" not in reply
        assert kept.id


async def test_an_owner_dissolves_a_group_and_cannot_just_leave_it():
    async with Town() as town:
        groups = town.server.groups
        with pytest.raises(NotAllowed, match="dissolve"):
            groups.leave(town.square, town.ann, passes_on=False)
        groups.dissolve(town.square, town.ann)
        assert town.server.storage.rooms.groups(town.bob) == []
        with pytest.raises(ValueError, match="no group"):
            groups.group(town.square)


async def test_a_request_to_join_waits_for_who_leads_and_an_invitation_for_the_invited():
    async with Town() as town:
        groups, rooms = town.server.groups, town.server.storage.rooms
        room = rooms.create_group("Club", town.ann, [town.bob]).number
        asked = groups.ask(room, town.eve, "may I?")
        assert rooms.requests(town.ann) == [asked]
        assert rooms.requests(town.bob) == []
        with pytest.raises(NotAllowed):
            groups.answer(asked, town.bob, is_accepted=True)
        groups.answer(asked, town.ann, is_accepted=False)
        invited = groups.invite(room, town.bob, town.eve)
        assert rooms.requests(town.eve) == [invited]
        groups.answer(invited, town.eve, is_accepted=True)
        assert rooms.is_member(room, town.eve)


async def test_pokes_and_reactions_are_for_those_who_are_there():
    async with Town() as town:
        groups, message = town.server.groups, say(town, town.ann)
        groups.poke(town.bob, town.eve, town.square)
        with pytest.raises(NotAllowed, match="is not a friend"):
            groups.poke(town.bob, town.eve)
        groups.react(message, town.bob, "76", is_set=True)
        assert town.server.storage.messages.reactions(message.id) == {"76": 1}
