"""Several links at once: lists and generators, and the room they get."""

from __future__ import annotations

import asyncio
import itertools
import urllib.request

import pytest
from servers.web import Web
from tornado.httpclient import HTTPRequest

from engine.readers import Oops, Reading
from webqq_tornado import (
    HTTPStream,
    Next,
    State,
)
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
