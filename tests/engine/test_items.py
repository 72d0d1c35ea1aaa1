"""Items of a stream without a journal, as they come."""

from __future__ import annotations

import asyncio
import time

import pytest
from servers.web import Web
from waiting import until

from webqq_tornado import HTTPStream


async def test_items_that_were_not_asked_for_stay():
    async with HTTPStream() as stream:
        for number in range(5):
            stream.emit(number)
        async for item in stream.items():
            if item == 1:
                break
        assert stream.emitted == [2, 3, 4]
        assert [item async for item in stream.items()] == [2, 3, 4]
        assert stream.emitted == []


async def test_very_many_items_take_no_longer_each():
    async with HTTPStream() as stream:
        began = time.process_time()
        for number in range(300_000):
            stream.emit(number)
        assert sum([1 async for _ in stream.items()]) == 300_000
        # By list.pop(0) it is a minute.
        assert time.process_time() - began < 15


async def test_a_second_loop_over_the_items_ends_the_first(web: Web):
    class Waiting(HTTPStream):
        def begin(self):
            yield f"{web.http}/hold/items", lambda response: self.emit("one")

    async def take(stream: HTTPStream) -> list[object]:
        return [item async for item in stream.items()]

    async with Waiting() as stream:
        stream.launch()
        first = asyncio.ensure_future(take(stream))
        await until(lambda: stream._arrived)
        second = asyncio.ensure_future(take(stream))
        with pytest.raises(RuntimeError, match="another loop iterates over items"):
            await first
        async with HTTPStream() as other:
            await other.get(f"{web.http}/arrived/items")
            await other.get(f"{web.http}/release/items")
        assert await second == ["one"]
