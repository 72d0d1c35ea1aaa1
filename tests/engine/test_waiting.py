"""Waiting for a chain while one holds what it waits for."""

from __future__ import annotations

import asyncio

import pytest
from servers.scripted import Asked, Say, scripted
from servers.web import Web
from waiting import put_ahead, until

from webqq_tornado import HTTPStream, Limits, Request, TimeoutError

LARGE = bytes(8_000_000)
ONE_PLACE = [
    {"max_clients": 1},
    {"limits": Limits(per_host=1)},
    {"limits": Limits(per_session=1)},
    {"limits": Limits(clients=1)},
]


def script(asked: Asked) -> Say:
    return Say(200, LARGE if asked.path == "/large" else asked.path.encode())


def quick(**options) -> HTTPStream:
    return HTTPStream(defaults={"request_timeout": 0.1}, **options)


async def fetched(stream: HTTPStream, url: str) -> object:
    return await stream.fetch(url)


async def awaited(stream: HTTPStream, url: str) -> object:
    return await stream.add_request(url, lambda _: None)


async def opened(stream: HTTPStream, url: str) -> object:
    async with stream.open(url) as response:
        return response


async def followed(stream: HTTPStream, url: str) -> object:
    return [page async for page in stream.follow(url, lambda _: None)]


async def in_a_task_of_its_own(stream: HTTPStream, url: str) -> object:
    return (await asyncio.gather(stream.fetch(url), stream.fetch(url)))[0]


WAYS = [fetched, awaited, opened, followed, in_a_task_of_its_own]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("options", ONE_PLACE, ids=str)
async def test_who_waits_for_the_place_that_it_holds_is_told(way, options):
    async with scripted(script) as server, quick(**options) as stream:
        with pytest.raises(TimeoutError, match="its caller holds a place open"):
            async with stream.open(f"{server.url}/large"):
                await way(stream, f"{server.url}/small")
        small = Request(f"{server.url}/small", request_timeout=60)
        assert (await stream.fetch(small)).body == b"/small"


@pytest.mark.parametrize("way", WAYS)
async def test_with_another_place_there_is_an_answer(way):
    async with scripted(script) as server, HTTPStream(max_clients=2) as stream:
        async with stream.open(f"{server.url}/large"):
            await way(stream, f"{server.url}/small")


async def test_a_body_that_is_there_holds_no_place():
    async with scripted(script) as server, HTTPStream(max_clients=1) as stream:
        async with stream.open(f"{server.url}/small") as response:
            assert (await stream.fetch(f"{server.url}/other")).body == b"/other"
            assert [chunk async for chunk in response.stream] == [b"/small"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_reader_of_a_streamed_response_is_told(way):
    errors = []

    async def read(_):
        await way(stream, f"{server.url}/small")

    async with scripted(script) as server, quick(max_clients=1) as stream:
        large = Request(f"{server.url}/large", stream=True)
        await stream.add_request(large, read, errback=errors.append)
    assert [type(error) for error in errors] == [TimeoutError]


async def test_tasks_that_wait_for_each_others_places_are_told():
    async with scripted(script) as server, quick(max_clients=3) as stream:
        holding, all_hold = [], asyncio.Event()

        async def hold():
            async with stream.open(f"{server.url}/large") as response:
                holding.append(response)
                if len(holding) == 3:
                    all_hold.set()
                await all_hold.wait()
                return await stream.fetch(f"{server.url}/small")

        results = await asyncio.gather(*(hold() for _ in range(3)), return_exceptions=True)
    assert any(isinstance(result, TimeoutError) for result in results)


async def test_who_holds_nothing_waits_as_long_as_it_takes(web: Web):
    async with scripted(script) as server, HTTPStream(max_clients=1) as stream:
        is_held, is_over = asyncio.Event(), asyncio.Event()

        async def hold():
            async with stream.open(f"{server.url}/large"):
                is_held.set()
                await is_over.wait()

        holding = asyncio.ensure_future(hold())
        await is_held.wait()
        waiting = asyncio.ensure_future(stream.fetch(f"{server.url}/small"))
        await until(lambda: stream.stats().queued)
        put_ahead(600)
        await asyncio.sleep(0.001)  # what was to happen by then has happened
        is_over.set()
        assert (await waiting).body == b"/small"
        await holding


async def test_whatever_order_blocks_are_left_in_nothing_stays_held():
    async with scripted(script) as server, quick(max_clients=2) as stream:
        one, two = stream.open(f"{server.url}/large"), stream.open(f"{server.url}/large")
        await one.__aenter__()
        await two.__aenter__()
        await one.__aexit__(None, None, None)
        await two.__aexit__(None, None, None)
        async with stream.open(f"{server.url}/large"):
            assert (await stream.fetch(f"{server.url}/small")).body == b"/small"
