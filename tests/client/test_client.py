"""Our client against our server, over real sockets."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.town import Town

from webqq_tornado.client import LoginError, SendError, State, StateChange
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.models import FriendMessage, GroupMessage, StatusChange
from webqq_tornado.server.storage import Conversation, load_content


async def test_login_brings_friends_groups_and_members():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        assert ann.state is State.ONLINE
        assert [friend.nick for friend in ann.contacts.friends.values()] == ["Bob"]
        (details,) = ann.contacts.details.values()
        assert [member.nick for member in details.members] == ["Ann", "Bob", "Eve"]


async def test_poll_heartbeat_and_contacts_are_chains_of_one_stream():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        names = {chain.name.partition(" ")[2] for chain in town.stream.chains}
        assert names >= {"poll", "heartbeat", "contacts"}
        await ann.logout()
        assert not town.stream.chains


async def test_a_wrong_password_is_an_error_with_the_servers_words():
    async with Town() as town:
        ann, _ = town.client(town.ann, "wrong")
        with pytest.raises(LoginError, match="wrong password"):
            await ann.login()
        assert ann.state is State.REJECTED


async def test_messages_arrive_in_order_each_once():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        bob, ear = town.client(town.bob)
        await ann.login()
        await bob.login()
        texts = [f"message {n}" for n in range(30)]
        for text in texts:
            ann.send(ann.contacts.find("Bob"), text)
        heard = [(await ear.next(FriendMessage)).content.text for _ in texts]
    assert heard == texts


async def test_a_long_text_goes_in_several_messages_and_has_one_receipt():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        bob, ear = town.client(town.bob)
        await ann.login()
        await bob.login()
        text = "长文 " * 400
        receipt = await ann.send(ann.contacts.find("Bob"), text)
        heard = [(await ear.next(FriendMessage)).content.text for _ in receipt.content]
    assert len(heard) > 1
    assert all(len(piece.encode()) <= 720 for piece in heard)
    assert "".join(heard).replace(" ", "") == text.replace(" ", "")


async def test_a_group_hears_who_said_what():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        eve, ear = town.client(town.eve)
        await ann.login()
        await eve.login()
        await ann.send(ann.contacts.find("Square"), "hello all")
        message = await ear.next(GroupMessage)
        assert eve.sender_name(message) == "Ann"
    assert message.content.text == "hello all"


async def test_what_is_said_from_the_page_comes_as_ones_own():
    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        said = load_content(["from the page"])
        town.server.hub.send(town.ann, Conversation("friend", town.bob), said)
        message = await ear.next(FriendMessage)
    assert message.sender == town.ann


async def test_a_friend_that_comes_is_announced():
    async with Town() as town:
        ann, ear = town.client(town.ann)
        bob, _ = town.client(town.bob)
        await ann.login()
        await bob.login()
        change = await ear.next(StatusChange)
    assert change.status is Status.ONLINE


async def test_another_login_kicks_and_ends_the_chains():
    async with Town() as town:
        first, ear = town.client(town.ann)
        second, _ = town.client(town.ann)
        await first.login()
        await second.login()
        while (change := await ear.next(StateChange)).state is not State.KICKED:
            pass
        assert change.reason
        assert first.session is None


@pytest.mark.slow
async def test_a_server_that_was_away_is_found_again_and_nothing_is_lost_or_doubled(tmp_path: Path):
    async with Town(tmp_path / "server.db") as town:
        ann, ears = town.client(town.ann)
        bob, ear = town.client(town.bob)
        await ann.login()
        await bob.login()
        friend = ann.contacts.find("Bob")
        receipts = [ann.send(friend, f"{n}") for n in range(20)]
        await receipts[3]
        async with town.away():
            receipts += [ann.send(friend, f"{n}") for n in range(20, 25)]
            while (await ears.next(StateChange)).state is not State.RECONNECTING:
                pass
        for receipt in receipts:
            await receipt
        heard = [(await ear.next(FriendMessage)).content.text for _ in receipts]
        assert ann.state is State.ONLINE
    assert heard == [f"{n}" for n in range(25)]


async def test_what_cannot_be_sent_any_more_is_said(caplog):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        bob, _ = town.client(town.bob)
        await ann.login()
        await bob.login()
        stranger = bob.contacts.find("Ann")
        with pytest.raises(SendError, match="the contact is gone"):
            await ann.send(stranger, "who?")


async def test_an_empty_message_is_refused():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        with pytest.raises(ValueError, match="content"):
            ann.send(ann.contacts.find("Bob"), "  ")


async def test_nothing_that_is_shown_holds_a_secret(caplog):
    caplog.set_level("DEBUG", "webqq_tornado")
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        session = ann.session
        await ann.logout()
    for secret in (session.psessionid, session.vfwebqq):
        assert secret not in caplog.text


async def test_the_secrets_of_its_session_can_be_asked_for():
    async with Town() as town:
        ann, _ = town.client(town.ann)
        assert (ann.session, str(ann.ptwebqq)) == (None, "")
        await ann.login()
        assert ann.session is not None
        assert str(ann.ptwebqq)
