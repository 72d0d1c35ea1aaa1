"""The last branch of a chain goes on as that chain."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest
from servers.scripted import Asked, Say, scripted
from waiting import put_ahead

from engine.readers import Oops, raising, wait
from webqq_tornado import (
    Chain,
    DeadlineError,
    Gather,
    HTTPStream,
    Limits,
    Next,
    Response,
    State,
)

ROUNDS = 200


class Bot(HTTPStream):
    """Polls, and answers: its reader gives what to send, and the next poll."""

    def __init__(self, url: str, answer: Callable[[Bot], object], **options) -> None:
        super().__init__(**options)
        self.url, self._answer = url, answer
        self.rounds = self.most = 0

    def poll(self, response: Response) -> object:
        self.rounds += 1
        self.most = max(self.most, len(self.chains))
        return self._answer(self) if self.rounds < ROUNDS else None

    def links(self) -> list[object]:
        return [(f"{self.url}/send", None), (f"{self.url}/poll", self.poll)]

    def on_error(self, error: Exception) -> None:
        """A send that fails is no end."""


def as_list(bot: Bot) -> object:
    return bot.links()


def as_generator(bot: Bot) -> object:
    yield from bot.links()


def poll_first(bot: Bot) -> object:
    yield from reversed(bot.links())


async def as_async_generator(bot: Bot) -> object:
    for link in bot.links():
        yield link


async def with_a_last_word(bot: Bot) -> object:
    """It is exhausted long after its last link was sent."""
    for link in bot.links():
        yield link
    for _ in range(50):
        await asyncio.sleep(0)


async def later(bot: Bot) -> object:
    await asyncio.sleep(0)
    return bot.links()


def with_delay(bot: Bot) -> object:
    return [bot.links()[0], (f"{bot.url}/poll", bot.poll, 0.0001)]


def with_failures(bot: Bot) -> object:
    return [("http://127.0.0.1:1/", None), *bot.links()]


def gathered(bot: Bot) -> object:
    return Gather([bot.links()[0]], lambda _: as_generator(bot))


def in_steps(bot: Bot) -> object:
    """Some links between one answer and the next."""
    yield f"{bot.url}/send", lambda response: (response.request, None)
    yield f"{bot.url}/1", lambda _: ("2", lambda _: iter([("3", lambda _: ("poll", bot.poll))]))


def of_other_sessions(bot: Bot) -> object:
    yield Next("send", session=bot.session("ann"))
    yield Next("poll", bot.poll, session=bot.session("bob"), priority=1, name="poll")


ANSWERS = [
    as_list,
    as_generator,
    poll_first,
    as_async_generator,
    with_a_last_word,
    later,
    with_delay,
    with_failures,
    gathered,
    in_steps,
    of_other_sessions,
]
OPTIONS = [{}, {"max_clients": 1}, {"limits": Limits(per_host=1)}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_poll_that_goes_on_beside_its_answers_is_one_chain(answer, options):
    async with scripted(lambda _: Say()) as server:
        async with Bot(server.url, answer, **options) as bot:
            await bot.add_request(f"{server.url}/poll", bot.poll)
            assert bot.rounds == ROUNDS
    assert bot.most < 40  # some that are about to end
    gc.collect()
    assert sum(isinstance(one, Chain) for one in gc.get_objects()) < 50


async def test_answers_that_take_their_time_are_no_reason_to_keep_all():
    """The polls hurry on: the answers to the last five are still under way."""
    held: list[asyncio.Event] = []

    async def script(asked: Asked) -> Say:
        if asked.path == "/send":
            held.append(asyncio.Event())
            if len(held) > 5:
                held[-6].set()
            await held[-1].wait()
        elif len(server.asked) >= 2 * ROUNDS - 1:
            for event in held:
                event.set()
        return Say()

    async with scripted(script) as server:
        async with Bot(server.url, as_generator) as bot:
            bot.add_request(f"{server.url}/poll", bot.poll)
            await bot.drain(60)
    assert bot.rounds == ROUNDS
    assert bot.most < 20


class Forked:
    """A chain that is left to its last branch: the poll that `held` has held up."""

    def __init__(self, server, **options) -> None:
        self.server = server
        self.stream = HTTPStream()
        self.polls: asyncio.Queue[Response] = asyncio.Queue()
        self.chain = self.stream.add_request(f"{server.url}/first", self.fork, **options)

    def fork(self, response: Response) -> object:
        self.polls.put_nowait(response)
        yield "/send", None
        yield "/poll", self.fork

    async def rounds(self, number: int) -> None:
        for _ in range(number):
            await self.polls.get()


async def test_who_awaits_the_first_chain_hears_of_its_own_response():
    async with scripted(lambda _: Say()) as server, HTTPStream() as stream:
        bot = Bot(server.url, as_generator)
        chain = bot.add_request(f"{server.url}/first", bot.poll)
        response = await chain
        bot.close()
    assert response.url == f"{server.url}/first"
    assert chain.state is State.DONE
    assert stream.stats().chains == 0


async def test_cancel_ends_what_goes_on():
    async with scripted(lambda _: Say()) as server:
        forked = Forked(server)
        await forked.rounds(5)
        assert forked.chain.cancel()
        assert not forked.stream.chains
        forked.stream.close()


async def test_the_deadline_holds():
    async with scripted(lambda _: Say()) as server:
        forked = Forked(server, deadline=60)
        forked.chain._is_quiet = True
        await forked.rounds(5)
        put_ahead(60)
        with pytest.raises(DeadlineError):
            await forked.chain
        assert not forked.stream.chains
        forked.stream.close()


async def test_pause_and_resume_hold_what_goes_on():
    async with scripted(lambda _: Say()) as server:
        forked = Forked(server)
        await forked.rounds(3)
        forked.chain.pause()
        assert not await forked.stream.drain(0.1)  # what was under way has ended
        seen = len(server.asked)
        assert not await forked.stream.drain(0.02)
        assert len(server.asked) == seen
        forked.chain.resume()
        await forked.rounds(3)
        forked.stream.close()


async def test_a_branch_that_had_failed_is_not_forgotten(caplog):
    def fork(_):
        yield "/send", raising
        yield "/poll", lambda _: [("/send", None), ("/poll", lambda _: ("/end", None))]

    async with scripted(lambda _: Say()) as server:
        async with HTTPStream() as stream:
            chain = stream.add_request(server.url, fork)
            with pytest.raises(Oops):
                await chain
    assert chain.state is State.FAILED
    assert server.paths[-1] == "/end"
    assert caplog.text.count("failed at step") == 1


async def test_what_the_last_branch_comes_to_is_what_the_chain_comes_to(caplog):
    def fork(_):
        yield "/send", None
        yield "/poll", lambda _: [("/send", None), ("/poll", raising)]

    async with scripted(lambda _: Say()) as server:
        async with HTTPStream() as stream:
            chain = stream.add_request(server.url, fork)
            with pytest.raises(Oops):
                await chain
    assert caplog.text.count("failed at step") == 1


async def test_an_errback_of_the_last_branch_is_asked_of_its_source():
    errors = []

    def failing(_):
        yield "/send", None
        yield "/send", None
        raise Oops

    def fork(_):
        yield "/send", None
        yield Next("/poll", failing, errback=errors.append)

    async with scripted(lambda _: Say()) as server:
        async with HTTPStream() as stream:
            await stream.add_request(server.url, fork)
    assert [type(error) for error in errors] == [Oops]


async def test_a_gather_keeps_its_branches():
    def read(_):
        yield "/send", None
        yield "/poll", lambda _: [("/a", None), ("/b", None)]

    joined = []
    async with scripted(lambda _: Say()) as server:
        async with HTTPStream() as stream:
            gather = Gather([(f"{server.url}/1", read), f"{server.url}/2"], joined.extend)
            await stream.add_request(server.url, lambda _: gather)
    assert [response.url[-2:] for response in joined] == ["/1", "/2"]


async def test_whoever_holds_the_branch_has_the_chain():
    held: list[Chain] = []

    def fork(response):
        yield "/send", None
        yield "/poll", again

    async def again(response):
        if len(held) < 2:
            held.extend(stream.chains)
            return [("/send", None), ("/poll", again)]
        waiting.set()
        await asyncio.sleep(3600)

    async with scripted(lambda _: Say()) as server:
        waiting = asyncio.Event()
        async with HTTPStream() as stream:
            chain = stream.add_request(server.url, fork)
            await waiting.wait()
            branch = next(one for one in held if one is not chain)
            ended = asyncio.ensure_future(wait(branch))
            assert repr(branch) == repr(chain)
            assert (branch.name, branch.done, branch.state) == (chain.name, False, State.WAITING)
            assert branch.cancel()
            assert branch.state is State.CANCELLED
            with pytest.raises(asyncio.CancelledError):
                await ended
