"""Sources of links that fail, are closed, or end the chain that they are for."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from servers.web import Web
from waiting import put_ahead, until

from engine.readers import REFUSED
from webqq_tornado import ConnectError, DeadlineError, Gather, HTTPStream, LinkError, Next, State


def failing_source(url: str, has_failed: asyncio.Event | None = None):
    yield url, None
    yield url, None
    if has_failed is not None:
        has_failed.set()
    raise LookupError("the list is broken")


async def test_a_source_that_fails_is_told_while_others_are_under_way(web: Web, caplog):
    has_failed = asyncio.Event()
    async with HTTPStream() as stream:
        links = failing_source(f"{web.http}/hold/source-told", has_failed)
        chain = stream.add_request(web.http, lambda _: links)
        await has_failed.wait()
        assert [record.exc_info[0] for record in caplog.records] == [LookupError]
        chain.cancel()


async def test_a_source_that_fails_after_one_of_its_links_is_told_too(web: Web, caplog):
    async def source():
        yield Next(REFUSED, name="first")
        first = next(chain for chain in stream.chains if chain.name == "first")
        with contextlib.suppress(ConnectError):
            await first
        raise LookupError("the list is broken")

    async with HTTPStream() as stream:
        with pytest.raises(ConnectError):
            await stream.add_request(web.http, lambda _: source())
    assert len(caplog.records) == 2
    assert "the list is broken" in caplog.records[1].message


async def test_a_deadline_is_told_though_one_below_has_failed(web: Web, caplog):
    links = [(REFUSED, None), (f"{web.http}/hold/told-deadline", None)]
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: links, deadline=60)
        await until(lambda: caplog.records)
        put_ahead(60)
        with pytest.raises(DeadlineError):
            await chain
    assert len(caplog.records) == 2
    assert "deadline" in caplog.records[1].message


async def test_what_an_errback_makes_of_a_source_is_checked_in_its_name(web: Web, caplog):
    def wrong_errback(_error):
        return 3

    async with HTTPStream() as stream:
        chain = stream.add_request(
            web.http, lambda _: failing_source(web.http), errback=wrong_errback
        )
        with pytest.raises(LinkError, match="wrong_errback"):
            await chain


async def test_an_errback_may_end_the_chain_whose_source_has_failed(web: Web):
    def errback(_error):
        chain.cancel()
        return web.http, None

    async with HTTPStream() as stream:
        links = failing_source(f"{web.http}/hold/ending-errback")
        chain = stream.add_request(web.http, lambda _: links, errback=errback)
        with pytest.raises(asyncio.CancelledError):
            await chain
        assert not stream.chains


async def test_what_a_source_raises_when_it_is_closed_is_logged(web: Web, caplog):
    held = f"{web.http}/hold/closed-source", None
    is_begun = asyncio.Event()

    def source():
        with contextlib.suppress(GeneratorExit):
            while True:
                is_begun.set()
                yield held
        raise ValueError("no way to close")

    async def source_later():
        with contextlib.suppress(GeneratorExit):
            while True:
                is_begun.set()
                yield held
        raise ValueError("no way to close later")

    async with HTTPStream(max_clients=3) as stream:
        for links in (source(), source_later()):
            chain = stream.add_request(web.http, lambda _, links=links: links)
            await is_begun.wait()
            is_begun.clear()
            chain.cancel()
        await stream.fetch(web.http)
    assert [str(record.exc_info[1])[:15] for record in caplog.records] == ["no way to close"] * 2


@pytest.mark.parametrize("joins", [False, True])
async def test_a_source_that_is_cancelled_inside_cancels_its_chain(web: Web, joins):
    def source():
        yield web.http, None
        yield web.http, None
        raise asyncio.CancelledError

    def read(_response):
        return Gather(source(), print) if joins else source()

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        with pytest.raises(asyncio.CancelledError):
            await chain
        assert chain.state is State.CANCELLED


async def test_a_gather_leaves_its_chain_the_response_that_led_to_it(web: Web):
    async with HTTPStream() as stream:
        for readback in (None, lambda _: None):
            gather = Gather([web.http], readback)
            chain = stream.add_request(f"{web.http}/bytes/3", lambda _, gather=gather: gather)
            assert (await chain).body == b"012"


async def test_a_gather_closes_its_source_when_one_has_failed(web: Web):
    closed = []

    def source():
        try:
            while True:
                yield REFUSED
        finally:
            closed.append(True)

    async with HTTPStream(max_clients=5) as stream:
        kept = source()  # who holds it: the garbage collector does not close it
        gather = Gather(kept, print, lambda _error: closed.append("errback"))
        await stream.add_request(web.http, lambda _: gather)
    assert closed == [True, "errback"]


async def test_the_errback_of_a_gather_may_gather_again(web: Web):
    def source():
        yield from [REFUSED] * 30
        yield from [f"{web.http}/hold/again"] * 30

    joined = []

    def again(_error):
        return Gather((f"{web.http}/bytes/{n}" for n in range(9)), joined.extend)

    async with HTTPStream(max_clients=4) as stream:
        await stream.add_request(web.http, lambda _: Gather(source(), print, again))
    assert [len(one.body) for one in joined] == list(range(9))


@pytest.mark.parametrize("before", [0, 5])
async def test_a_source_that_ends_its_own_chain_is_closed(web: Web, before, caplog):
    closed = []

    def source():
        try:
            for _ in range(before):
                yield f"{web.http}/hold/own-end", None
            chain.cancel()
            yield f"{web.http}/hold/own-end", None
        finally:
            closed.append(True)

    kept = source()  # who holds it: the garbage collector does not close it
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: kept)
        with pytest.raises(asyncio.CancelledError):
            await chain
    assert closed == [True]
