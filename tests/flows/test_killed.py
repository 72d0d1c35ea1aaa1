"""Clients with a store that are killed (SIGKILL) in the middle of it and started again."""

from __future__ import annotations

import pytest
from servers.town import PASSWORD, Town
from servers.townsman import townsman

from webqq_tornado.flows.store import Store
from webqq_tornado.protocol.models import FriendMessage, GroupMessage

COUNT = 300
#: Killed when so many have arrived.
KILLS = (1, 20, 90, 91, 200)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("Bob", FriendMessage), ("Square", GroupMessage)])
async def test_what_a_killed_client_had_to_say_arrives_once_and_in_order(tmp_path, name, kind):
    async with Town() as town:
        bob, ear = town.client(town.bob)
        await bob.login()
        say = ("say", town.server.url, town.ann, PASSWORD, tmp_path / "ann.db", name, COUNT)
        heard = []
        for kill in (*KILLS, COUNT):
            async with townsman(*say) as ann:
                while len(heard) < kill:
                    heard.append((await ear.next(kind)).content.text)
                if kill == COUNT:
                    assert await ann.wait() == 0
        await bob.send(bob.find("Ann"), "that is all")
        assert heard == [f"{number}" for number in range(COUNT)]
        assert not [event for event in ear.rest() if isinstance(event, kind)]
    with Store(tmp_path / "ann.db") as store:
        assert store.outbox(town.ann) == []
        history = store.history(town.ann, with_=name, limit=COUNT * 2)
        assert [entry.text for entry in history] == heard


@pytest.mark.slow
async def test_what_is_said_to_a_client_that_is_killed_is_heard_once_and_in_order(tmp_path):
    async with Town() as town:
        bob, _ = town.client(town.bob)
        await bob.login()
        hear = ("hear", town.server.url, town.ann, PASSWORD, tmp_path / "ann.db")
        receipts = [bob.send(bob.find("Ann"), f"{number}") for number in range(COUNT)]
        handled = []
        for until in (*KILLS, COUNT - 1):
            async with townsman(*hear) as ann:
                while not handled or int(handled[-1]) < until:
                    handled.append((await ann.stdout.readline()).decode().strip())
        for receipt in receipts:
            await receipt
        assert handled == sorted(set(handled), key=int)  # none twice
    with Store(tmp_path / "ann.db") as store:
        texts = [entry.text for entry in store.history(town.ann, with_="Bob", limit=COUNT * 2)]
    assert texts == [f"{number}" for number in range(COUNT)]
