"""Several links out of one: branches, and the sources that they are taken from."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import urllib.request

import pytest
from servers.web import Web
from tornado.httpclient import HTTPRequest
from waiting import put_ahead, until

from engine.readers import REFUSED, Oops, Reading
from webqq_tornado import ConnectError, DeadlineError, Gather, HTTPStream, LinkError, Next, State
from webqq_tornado.engine import scheduler


@pytest.mark.parametrize("form", [list, tuple, iter, lambda links: (link for link in links)])
async def test_several_links_become_chains_below(web: Web, form):
    read = Reading()
    links = [(f"{web.http}/echo/{n}", read) for n in range(5)]
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: form(links))
        await chain
    assert sorted(read.paths) == [f"/echo/{n}" for n in range(5)]
    assert chain.state is State.DONE


async def test_several_links_may_be_of_every_form(web: Web):
    read = Reading()
    links = [
        (f"{web.http}/echo/1", read),
        (f"{web.http}/echo/2", read, 0.01),
        Next(f"{web.http}/echo/3", read),
        (urllib.request.Request(f"{web.http}/echo/4"), read),
        (HTTPRequest(f"{web.http}/echo/5"), read),
        (f"{web.http}/echo/6", None),
    ]
    async with HTTPStream() as stream:
        await stream.add_request(web.http, lambda _: links)
        assert stream.stats().responses == 7
    assert sorted(read.paths) == [f"/echo/{n}" for n in range(1, 6)]


@pytest.mark.parametrize("empty", [[], (), iter(())], ids=["list", "tuple", "iterator"])
async def test_several_links_may_be_none_at_all(web: Web, empty):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: empty)
        await chain
    assert chain.state is State.DONE


async def test_a_chain_of_several_ends_after_all_below_it(web: Web):
    ended = []
    async with HTTPStream() as stream:
        two = [Next(f"{web.http}/hold/below", print, name="held"), (f"{web.http}/", None)]
        chain = stream.add_request(web.http, lambda _: two)
        task = asyncio.ensure_future(chain)
        task.add_done_callback(lambda _: ended.append("above"))
        await stream.fetch(f"{web.http}/arrived/below")
        assert chain.state is State.WAITING
        (below,) = (each for each in stream.chains if each.name == "held")
        assert below.parent is chain
        await stream.fetch(f"{web.http}/release/below")
        await below
        ended.append("below")
        await task
    assert set(ended) == {"above", "below"}


async def test_chains_below_are_named_after_the_one_above(web: Web):
    names = []
    async with HTTPStream() as stream:

        def read(_):
            names.extend(sorted(chain.name for chain in stream.chains))

        links = [(web.http, read), Next(web.http, None, name="own name")]
        await stream.add_request(web.http, lambda _: links, name="top")
    assert {"top.1", "own name"} <= set(names) | {"own name"}
    assert "top.1" in names


async def test_a_generator_reader_is_a_source_of_links(web: Web):
    read = Reading()

    def several(response):
        for n in range(3):
            yield f"{web.http}/echo/{n}", read

    async with HTTPStream() as stream:
        await stream.add_request(web.http, several)
    assert sorted(read.paths) == ["/echo/0", "/echo/1", "/echo/2"]


async def test_an_async_generator_reader_is_a_source_of_links(web: Web):
    read = Reading()

    async with HTTPStream() as stream:

        async def several(response):
            for n in range(3):
                await stream.fetch(web.http)
                yield f"{web.http}/echo/{n}", read

        chain = stream.add_request(web.http, several)
        await chain
    assert sorted(read.paths) == ["/echo/0", "/echo/1", "/echo/2"]
    assert chain.state is State.DONE


async def test_an_endless_generator_is_taken_as_far_as_there_is_room(web: Web):
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, lambda _: None

        chain = stream.add_request(web.http, endless)
        while stream.stats().responses < 100:
            await stream.ioloop.asyncio_loop.create_task(stream.fetch(web.http))
        assert len(taken) < stream.stats().responses + 10
        assert stream.stats().in_flight <= 4
        chain.cancel()
    assert chain.state is State.CANCELLED


async def test_an_endless_async_generator_is_taken_as_far_as_there_is_room(web: Web):
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        async def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, lambda _: None

        chain = stream.add_request(web.http, endless)
        while stream.stats().responses < 100:
            await stream.fetch(web.http)
        assert len(taken) < stream.stats().responses + 10
        chain.cancel()
    assert chain.state is State.CANCELLED


async def test_an_endless_generator_of_delayed_links_is_bounded_too(web: Web, monkeypatch):
    monkeypatch.setattr(scheduler, "_MAX_DELAYED", 100)
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, None, 60

        chain = stream.add_request(web.http, endless)
        for _ in range(20):
            await stream.fetch(web.http)
        chain.cancel()
    assert 100 <= len(taken) < 110


async def test_generators_take_turns_when_there_is_little_room(web: Web):
    async with HTTPStream(max_clients=2) as stream:
        reads = [Reading(), Reading()]
        for read in reads:
            links = iter([(web.http, read)] * 20)
            stream.add_request(web.http, lambda _, links=links: links)
        assert await stream.drain(60)
    assert [len(read.responses) for read in reads] == [20, 20]


async def test_a_generator_goes_on_when_the_one_before_it_in_the_line_is_cancelled(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        key, read = "turns", Reading()
        links = [(f"{web.http}/hold/{key}", None)] * 9
        first = stream.add_request(web.http, lambda _: iter(links))
        second = stream.add_request(web.http, lambda _: iter([(web.http, read)] * 3))
        async with HTTPStream() as other:
            while second.state is not State.WAITING:
                await other.fetch(f"{web.http}/arrived/{key}")
                await other.fetch(f"{web.http}/release/{key}")
        first.cancel()
        assert await stream.drain(60), "nobody fed the second generator"
    assert len(read.responses) == 3


async def test_generators_that_turn_out_empty_do_not_stop_those_behind_them(web: Web):
    read = Reading()
    sources = [iter(()), iter(()), iter(()), iter([(web.http, read)])]

    class Flow(HTTPStream):
        def begin(self):
            return sources.pop(0)

    async with Flow(max_clients=1) as stream, HTTPStream() as other:
        # All four come while one request is in flight and one waits.
        stream.add_request(f"{web.http}/hold/empty", None)
        stream.add_request(web.http, None)
        for _ in range(4):
            stream.launch()
        await other.fetch(f"{web.http}/arrived/empty")
        await other.fetch(f"{web.http}/release/empty")
        assert await stream.drain(60), "the generator behind the empty ones was forgotten"
    assert len(read.responses) == 1


async def test_a_generator_that_goes_on_link_by_link_may_be_long(web: Web):
    left = itertools.count(1500, -1)
    async with HTTPStream() as stream:

        def read(response):
            if next(left) > 0:
                yield response.request, read

        chain = stream.add_request(web.http, read)
        await asyncio.wait_for(asyncio.ensure_future(chain), 60)
    assert chain.state is State.DONE


async def test_a_source_of_one_link_goes_on_in_the_same_chain(web: Web):
    def read(response):
        if chain.steps < 20:
            yield response.request, read

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        await chain
        assert stream.stats().started == 1
    assert chain.steps == 20


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_what_a_generator_yielded_before_it_raised_is_sent(web: Web, count, caplog):
    read = Reading()

    def several(_):
        for _ in range(count):
            yield web.http, read
        raise Oops

    async with HTTPStream() as stream:
        with pytest.raises(Oops):
            await stream.add_request(web.http, several)
        await stream.drain()
    assert len(read.responses) == count


async def test_an_async_generator_that_waits_for_a_cancelled_chain_ends(web: Web):
    async with HTTPStream() as stream:
        other = stream.add_request(web.http, None, delay=60)

        async def several(_):
            other.cancel()
            await other
            yield web.http, None

        chain = stream.add_request(web.http, several)
        assert await stream.drain(60), "the chain waits for links that nobody brings"
    assert chain.done


async def test_a_generator_that_cancels_its_chain_while_it_is_closed_counts_once(web: Web):
    async with HTTPStream(max_clients=1) as stream:

        def several(_):
            try:
                while True:
                    yield f"{web.http}/hold/closing-itself", None
            finally:
                chain.cancel()

        chain = stream.add_request(web.http, several)
        async with HTTPStream() as other:
            await other.fetch(f"{web.http}/arrived/closing-itself")
        chain.cancel()
        stats = stream.stats()
    assert stats.started == stats.done + stats.failed + stats.cancelled


async def test_a_generator_that_starts_chains_while_it_is_closed_is_no_trouble(web: Web):
    read = Reading()
    async with HTTPStream(max_clients=2) as stream:

        def several(_):
            try:
                while True:
                    yield f"{web.http}/hold/closing-others", None
            finally:
                stream.add_request(web.http, read)

        chain = stream.add_request(web.http, several)
        async with HTTPStream() as other:
            await other.fetch(f"{web.http}/arrived/closing-others")
        chain.cancel()
        assert await stream.drain(60)
    assert len(read.responses) == 1


async def test_a_chain_deep_below_others_can_be_cancelled_from_the_top(web: Web):
    """Two links each time: the first ends, the second goes on branching."""
    async with HTTPStream() as stream:

        def read(response):
            return [(web.http, None), (web.http, read)]

        chain = stream.add_request(web.http, read)
        while stream.stats().responses < 3000:
            await stream.fetch(web.http)
        chain.cancel()
        assert not stream.chains


async def test_chains_deep_below_others_end_from_the_bottom(web: Web):
    left = itertools.count(1000, -1)
    async with HTTPStream() as stream:

        def read(response):
            return [(web.http, None), (web.http, read)] if next(left) > 0 else None

        chain = stream.add_request(web.http, read)
        assert await stream.drain(60)
    assert chain.state is State.DONE


async def test_a_source_whose_end_cancels_the_chains_above_is_counted_once(web: Web):
    """Ending a chain runs the end of its generator, which may end the chains above it."""
    held = asyncio.Event()

    def source():
        try:
            for _ in range(100):
                held.set()
                yield f"{web.http}/hold/counted-once", None
        finally:
            top.cancel()

    async with HTTPStream(max_clients=2) as stream:
        top = stream.add_request(web.http, lambda _: [(web.http, lambda _: source())] * 2)
        await held.wait()
        next(chain for chain in stream.chains if chain.parent is top and chain._branches).cancel()
        await stream.drain()
        stats = stream.stats()
        assert stats.started == stats.done + stats.failed + stats.cancelled


async def test_a_source_that_cancels_the_chain_whose_answer_made_room_for_it(web: Web):
    """Its reader is not called any more, and it is counted once."""
    read = []

    def source():
        for name in ("one", "two"):
            yield Next(f"{web.http}/bytes/3", lambda _, name=name: read.append(name), name=name)
        next(chain for chain in stream.chains if chain.name == "two").cancel()
        yield Next(web.http, lambda _: read.append("three"))

    async with HTTPStream(max_clients=1) as stream:
        await stream.add_request(web.http, lambda _: source())
        assert read == ["one", "three"]
        stats = stream.stats()
        assert (stats.started, stats.done, stats.cancelled) == (4, 3, 1)


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
