"""Our client in SmartQQ, against our server."""

from __future__ import annotations

import asyncio

import pytest
from servers.town import Town

from webqq_tornado.client import Client, LoginError, State, login
from webqq_tornado.protocol.codes import Status
from webqq_tornado.protocol.dialect import WEBQQ3
from webqq_tornado.protocol.models import FriendMessage, GroupMessage, StatusChange


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(login, "QR_SECONDS", 0.01)


async def test_whoever_confirms_the_code_is_logged_in():
    async with Town() as town:
        client, _ = town.smart_client(town.confirm_as(town.bob))
        await client.login()
        assert (client.account, client.nick, client.state) == (town.bob, "Bob", State.ONLINE)
        assert [friend.nick for friend in client.friends.values()] == ["Ann"]


async def test_a_code_may_be_shown_by_a_coroutine():
    async with Town() as town:
        confirm = town.confirm_as(town.bob)

        async def show(png):
            await asyncio.sleep(0)
            confirm(png)

        client, _ = town.smart_client(show)
        await client.login()
        assert client.account == town.bob


async def test_messages_go_both_ways_between_the_dialects():
    async with Town() as town:
        ann, ear = town.smart_client(town.confirm_as(town.ann))
        bob, bobs = town.client(town.bob)
        await ann.login()
        await bob.login()
        await ann.send(ann.find("Bob"), "from 2017")
        assert (await bobs.next(FriendMessage)).content.text == "from 2017"
        await bob.send(bob.find("Square"), "from 2013")
        assert (await ear.next(GroupMessage)).content.text == "from 2013"


async def test_an_expired_code_is_followed_by_a_new_one():
    async with Town() as town:
        shown = []

        def show(png):
            shown.append(png)
            (code,) = town.server.qr.all_waiting()
            decide = town.server.qr.refuse if len(shown) < 3 else town.server.qr.confirm
            decide(code.id, town.ann)

        client, _ = town.smart_client(show)
        await client.login()
        assert len(set(shown)) == 3


async def test_a_code_that_somebody_else_confirms_is_told_of():
    async with Town() as town:
        client, _ = town.smart_client(town.confirm_as(town.bob), account=town.ann)
        with pytest.raises(LoginError, match="confirmed by 10002, not by 10001"):
            await client.login()


async def test_without_somebody_to_show_the_code_to_the_error_says_what_to_give():
    async with Town() as town:
        client, _ = town.smart_client(None)
        with pytest.raises(LoginError, match="on_qr="):
            await client.login()


async def test_a_session_that_was_kept_needs_no_code(tmp_path):
    async with Town() as town:
        first, _ = town.smart_client(town.confirm_as(town.ann), file=tmp_path / "ann")
        await first.login()
        before = first.session
        first.leave()
        again, _ = town.smart_client(None, file=tmp_path / "ann")
        await again.login()
        assert (again.account, again.state) == (town.ann, State.ONLINE)
        assert again.session == before


async def test_a_restart_of_the_server_needs_no_code(tmp_path):
    async with Town(tmp_path / "server.db") as town:
        shown = []

        def show(png):
            shown.append(png)
            town.confirm_as(town.ann)(png)

        client, ear = town.smart_client(show)
        bob, _ = town.client(town.bob)
        await client.login()
        await bob.login()
        async with town.away():
            pass
        await bob.send(bob.find("Ann"), "are you back?")
        assert (await ear.next(FriendMessage)).content.text == "are you back?"
        assert len(shown) == 1


async def test_after_a_logout_the_code_is_asked_for_again(tmp_path):
    async with Town() as town:
        first, _ = town.smart_client(town.confirm_as(town.ann), file=tmp_path / "ann")
        await first.login()
        await first.logout()
        again, _ = town.smart_client(None, file=tmp_path / "ann")
        with pytest.raises(LoginError, match="on_qr="):
            await again.login()


async def test_friends_see_a_status_that_was_set():
    async with Town() as town:
        ann, _ = town.smart_client(town.confirm_as(town.ann))
        bob, ear = town.client(town.bob)
        await bob.login()
        await ann.login()
        await ann.set_status(Status.BUSY)
        while (await ear.next(StatusChange)).status is not Status.BUSY:
            pass


def test_an_account_is_needed_where_one_logs_in_by_password():
    with pytest.raises(ValueError, match="account=0"):
        Client(None, 0, "secret", dialect=WEBQQ3)
