"""Messages that are handled, those that were not, and those that nobody heard yet."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from servers.town import PASSWORD, Ear, Town
from waiting import put_ahead, until

from webqq_tornado.bot import Bot
from webqq_tornado.client import Client, Endpoints, Store, incoming
from webqq_tornado.protocol.models import (
    DiscussionMessage,
    FriendMessage,
    GroupMessage,
    SessionMessage,
)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.db") as store:
        yield store


def bob_of(town: Town, store: Store | None) -> Client:
    client = Client(town.stream, town.bob, PASSWORD, Endpoints.at(town.server.url), store=store)
    town.clients.append(client)
    return client


@asynccontextmanager
async def bots_life(town: Town, store: Store, **options):
    """Bob's bot as in one process; at the end it is closed, and others go on with its session."""
    client = bob_of(town, store)
    bot = Bot(client, "Bob", **options)
    yield bot
    bot.close()
    client.leave()


class Handled(asyncio.Queue):
    """What a handler got, as text and whether it was again."""

    def note(self, message) -> None:
        self.put_nowait((message.text, message.again))

    async def next(self, count: int) -> list[tuple[str, bool]]:
        return [await self.get() for _ in range(count)]


async def say(ann: Client, *texts: str) -> None:
    for text in texts:
        await ann.send(ann.find("Bob"), text)


# -- before anybody listens ---------------------------------------------------------------------


@pytest.mark.parametrize("is_kept", [True, False])
async def test_what_came_in_before_the_bot_was_there_is_handled(store, is_kept):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        await say(ann, "one", "two")
        client = bob_of(town, store if is_kept else None)
        await client.login()
        await until(lambda: len(client._incoming._queue) == 2)
        handled, bot = Handled(), Bot(client, "Bob")
        bot.on_message(handled.note)
        assert await handled.next(2) == [("one", False), ("two", False)]
        await until(lambda: not store.unhandled(town.bob))
        bot.close()


async def test_what_came_in_before_anybody_listened_is_told_to_who_listens_first(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        await say(ann, "one")
        client = bob_of(town, store)
        await client.login()
        await until(lambda: client._incoming._queue)
        assert (await Ear(client).next(FriendMessage)).content.text == "one"
        await until(lambda: not store.unhandled(town.bob))


async def test_of_what_nobody_ever_hears_the_oldest_goes(store, monkeypatch, caplog):
    monkeypatch.setattr(incoming, "MAX_WAITING", 2)
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        client = bob_of(town, store)
        await client.login()
        await say(ann, "one", "two", "three")
        await until(lambda: "the oldest is dropped" in caplog.text)
        assert len(store.unhandled(town.bob)) == 2
        assert [entry.text for entry in store.history(town.bob)] == ["one", "two", "three"]


async def test_what_a_plain_listener_hears_it_hears_once(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        client = bob_of(town, store)
        ear = Ear(client)
        await client.login()
        await say(ann, "one")
        await ear.next(FriendMessage)
        assert store.unhandled(town.bob) == []


# -- handled, or again --------------------------------------------------------------------------


async def test_what_is_not_handled_when_it_ends_is_handled_by_the_next_one(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        handled, began = Handled(), asyncio.Event()
        async with bots_life(town, store) as bot:

            @bot.on_message(text="^two")
            async def hang(_message):
                began.set()
                await asyncio.Event().wait()

            bot.on_message(text="^one")(handled.note)
            await bot.client.login()
            await say(ann, "one", "two", "three")
            await began.wait()
            await until(lambda: len(store.history(town.bob)) == 3)
        async with bots_life(town, store) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            await say(ann, "four")
            assert await handled.next(4) == [
                *(("one", False), ("two", True), ("three", True), ("four", False)),
            ]
            await until(lambda: not store.unhandled(town.bob))
        async with bots_life(town, store) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            await say(ann, "five")
            assert await handled.next(1) == [("five", False)]


async def test_at_most_once_is_what_was_begun_not_handled_again(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        handled, began = Handled(), asyncio.Event()
        async with bots_life(town, store, at_most_once=True) as bot:

            @bot.on_message
            async def hang(_message):
                began.set()
                await asyncio.Event().wait()

            await bot.client.login()
            await say(ann, "begun", "waiting")
            await began.wait()
            await until(lambda: len(store.history(town.bob)) == 2)
        async with bots_life(town, store, at_most_once=True) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            assert await handled.next(1) == [("waiting", True)]


async def test_a_bot_that_is_to_handle_at_most_once_leaves_out_what_another_began(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        handled, began = Handled(), asyncio.Event()
        async with bots_life(town, store) as bot:

            @bot.on_message
            async def hang(_message):
                began.set()
                await asyncio.Event().wait()

            await bot.client.login()
            await say(ann, "begun")
            await began.wait()
        async with bots_life(town, store) as bot:
            bot.at_most_once = True
            bot.on_message(handled.note)
            await bot.client.login()
            await say(ann, "new")
            assert await handled.next(1) == [("new", False)]
            await until(lambda: not store.unhandled(town.bob))


@pytest.mark.parametrize("how", ["concurrent", "ask", "middleware"])
async def test_what_still_runs_apart_when_the_bot_is_closed_is_handled_again(store, how):
    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        handled, began = Handled(), asyncio.Event()
        async with bots_life(town, store) as bot:

            async def handle(message, *_call_next):
                began.set()
                await (message.ask("which?") if how == "ask" else asyncio.Event().wait())

            if how == "middleware":
                bot.middleware(handle)
            else:
                bot.on_message(text="^one", concurrent=how == "concurrent")(handle)
            await bot.client.login()
            await say(ann, "one")
            await began.wait()
            if how == "ask":
                await ear.next(FriendMessage)
        async with bots_life(town, store) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            assert await handled.next(1) == [("one", True)]


async def test_what_a_handler_raised_on_or_its_plugin_was_unloaded_on_is_handled(
    store, tmp_path, caplog
):
    (tmp_path / "one.py").write_text(
        "import asyncio\n@bot.on_message(text='^hang')\nasync def hang(message):\n"
        "    began.set()\n    await asyncio.Event().wait()\n"
    )
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        async with bots_life(town, store) as bot:

            @bot.on_message(text="^fail")
            def fail(_message):
                raise ValueError("oops")

            plugin = bot.load_plugin(tmp_path / "one.py")
            began = plugin.module.__dict__["began"] = asyncio.Event()
            await bot.client.login()
            await say(ann, "fail", "hang")
            await began.wait()
            bot.unload_plugin("one")
            await until(lambda: not store.unhandled(town.bob))


async def test_a_handler_that_logs_out_or_closes_the_bot_is_done(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        for stop in ("leave", "close"):
            async with bots_life(town, store) as bot:
                stopped = asyncio.Event()

                @bot.command(stop)
                async def handle(message, stopped=stopped, bot=bot):
                    (message.client.leave if message.text == "leave" else bot.close)()
                    stopped.set()
                    await asyncio.Event().wait()

                await bot.client.login()
                await say(ann, stop)
                await stopped.wait()
            assert store.unhandled(town.bob) == []


async def test_what_comes_in_after_the_bot_was_closed_is_for_the_next_one(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        handled = Handled()
        async with bots_life(town, store) as bot:
            await bot.client.login()
            bot.close()
            await say(ann, "late")
            await until(lambda: store.unhandled(town.bob))
        async with bots_life(town, store) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            assert await handled.next(1) == [("late", True)]


async def test_an_answer_is_handled_by_who_asked(store):
    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        async with bots_life(town, store) as bot:

            @bot.on_message(text="^order")
            async def order(message):
                answer = await message.ask("which?")
                await message.reply(answer.text)

            await bot.client.login()
            await say(ann, "order")
            await ear.next(FriendMessage)
            await say(ann, "that one")
            assert (await ear.next(FriendMessage)).content.text == "that one"
            await until(lambda: not store.unhandled(town.bob))


# -- in another session -------------------------------------------------------------------------


async def left_behind(town: Town, store: Store, count: int) -> None:
    """Messages come to Bob that are not handled, and his session is given up."""
    client = bob_of(town, store)
    await client.login()
    await until(lambda: len(store.unhandled(town.bob)) == count)
    for chain in list(town.stream.chains):
        if "number of" in chain.name:
            await chain
    await client.logout()


async def test_they_are_answered_in_another_session_where_they_came_from(store):
    async with Town() as town:
        town.server.storage.rooms.create_discussion("Plan", town.bob, [town.ann])
        ann, ear = town.client(town.ann)
        eve, ear_of_eve = town.client(town.eve)
        await ann.login()
        await eve.login()
        for contact in (ann.find("Bob"), ann.find("Square"), ann.find("Plan")):
            await ann.send(contact, f"to {contact.name}")
        await eve.send(eve.contacts.person(eve.find("Square"), eve.find("Bob").uin), "of Eve")
        await ear_of_eve.next(GroupMessage)
        await left_behind(town, store, 4)
        async with bots_life(town, store) as bot:

            @bot.on_message
            async def answer(m):
                await m.reply(f"{m.sender}, {m.sender.is_owner}: {m.text}", at_sender=False)

            await bot.client.login()
            kinds = (FriendMessage, GroupMessage, DiscussionMessage)
            texts = {(await ear.next(kinds)).content.text for _ in range(3)}
            assert texts == {
                *("Ann, False: to Bob", "Ann, True: to Square", "Ann, False: to Plan"),
            }
            heard = await ear_of_eve.next(SessionMessage)
            assert heard.content.text == "Eve, False: of Eve"


async def test_who_is_none_any_more_is_known_by_name_and_answered_nothing(store, caplog):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        await say(ann, "hello")
        await left_behind(town, store, 1)
        town.server.storage.friends.unfriend(town.bob, town.ann)
        handled: asyncio.Queue = asyncio.Queue()
        async with bots_life(town, store) as bot:
            bot.on_message(handled.put_nowait)
            await bot.client.login()
            message = await handled.get()
            assert (str(message.sender), message.text, message.again) == ("Ann", "hello", True)
            message.reply("who are you?")
            await until(lambda: "not sent to Ann: the contact is gone" in caplog.text)


# -- what ends the process ----------------------------------------------------------------------


async def test_a_message_that_ends_the_process_each_time_is_given_up_and_named(store, caplog):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        await say(ann, "poison", "good")
        await left_behind(town, store, 2)
        mark = store.unhandled(town.bob)[0].mark
        for _ in range(incoming.MAX_TRIES):
            store.begin_handling(town.bob, mark)
        handled = Handled()
        async with bots_life(town, store) as bot:
            bot.on_message(handled.note)
            await bot.client.login()
            assert await handled.next(1) == [("good", True)]
        assert "dropped: 'poison' of Ann" in caplog.text
        assert [entry.text for entry in store.history(town.bob)] == ["poison", "good"]


async def test_those_that_may_end_the_process_are_handled_first_and_one_by_one(store):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        eve, _ = town.client(town.eve)
        town.server.storage.friends.befriend(town.eve, town.bob)
        await ann.login()
        await eve.login()
        await say(ann, "not begun")
        await say(eve, "begun")
        await eve.send(eve.find("Square"), "begun too")
        await left_behind(town, store, 3)
        for stored in store.unhandled(town.bob)[1:]:
            store.begin_handling(town.bob, stored.mark)
        may_end: dict[str, asyncio.Event] = {}
        async with bots_life(town, store) as bot:

            @bot.on_message
            async def handle(message):
                may_end[message.text] = asyncio.Event()
                await may_end[message.text].wait()

            await bot.client.login()
            await say(ann, "new")
            await until(lambda: may_end)
            await until(lambda: len(store.history(town.bob)) == 4)
            assert list(may_end) == ["begun"]
            may_end["begun"].set()
            await until(lambda: len(may_end) == 2)
            assert list(may_end)[1] == "begun too"
            put_ahead(incoming.PATIENCE_SECONDS + 1)  # nobody waits for ever
            await until(lambda: "not begun" in may_end)
            may_end["not begun"].set()
            await until(lambda: "new" in may_end)


async def test_an_event_that_cannot_be_taken_is_logged_and_those_behind_it_are_heard(
    store, monkeypatch, caplog
):
    async with Town() as town:
        ann, _ = town.client(town.ann)
        await ann.login()
        client = bob_of(town, store)
        ear = Ear(client)
        receive = client._inbox.receive

        def fail_once(message, **rest):
            if message.content.text == "one":
                raise OverflowError("too much")
            return receive(message, **rest)

        monkeypatch.setattr(client._inbox, "receive", fail_once)
        await client.login()
        await say(ann, "one", "two")
        assert (await ear.next(FriendMessage)).content.text == "two"
        assert "dropped: FriendMessage(" in caplog.text
