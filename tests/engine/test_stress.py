"""Everything at once, by chance but the same each time: the books must balance in the end."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from socket import SO_LINGER, SOL_SOCKET

import pytest
from conftest import open_descriptors
from servers.raw import answer, raw_server
from servers.web import Web

from engine.readers import REFUSED, Oops, wait
from webqq_tornado import Chain, HTTPStream, Next, Request, State


class Monkey(HTTPStream):
    """A flow whose readers do whatever comes to their mind."""

    def __init__(self, urls: list[str], seed: int, **arguments):
        super().__init__(**arguments)
        self.chance = random.Random(seed)
        self.urls = urls
        self.made: list[Chain] = []
        self.left = 600

    def link(self) -> Next:
        chance = self.chance
        self.left -= 1
        url, method = chance.choice(self.urls), chance.choice(["GET", "GET", "POST", "HEAD"])
        request = Request(url, method, request_timeout=0.01 if "hold" in url else 5)
        readers = [self.read, self.read_later, self.several, self.several_later, None]
        errback = chance.choice([None, self.recover])
        return Next(request, chance.choice(readers), chance.choice([0, 0, 0, 0.005]), errback)

    def something(self) -> object:
        """What a reader returns, or does."""
        chance = self.chance
        if self.left <= 0:
            return None
        what = chance.randrange(12)
        if what == 0:
            raise Oops
        if what == 1:
            return 42
        if what == 2 and self.made:
            chance.choice(self.made).cancel()
        if what == 3:
            deadline = chance.choice([None, 0.01, 3])
            link = self.link()
            self.made.append(self.add_request(link.request, link.readback, deadline=deadline))
        if what == 4:
            return None
        if what == 5:
            return [self.link() for _ in range(chance.randrange(4))]
        return self.link()

    def read(self, response):
        return self.something()

    async def read_later(self, response):
        await asyncio.sleep(self.chance.choice([0, 0.001]))
        return self.something()

    def several(self, response):
        for _ in range(self.chance.randrange(4)):
            self.something()
            yield self.link()

    async def several_later(self, response):
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
            self.something()
            yield self.link()

    def recover(self, error):
        return self.something()

    def begin(self):
        while self.left > 0:
            yield self.link()


async def _unreliable(reader, writer):
    """Answers, or closes, or resets, as it likes."""
    chance = random.Random(1)
    while True:
        await reader.readuntil(b"\r\n\r\n")
        what = chance.randrange(8)
        if what == 0:
            return
        if what == 1:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
            return
        writer.write(answer(b"x" * 1000)[: 300 if what == 2 else None])
        await writer.drain()
        if what == 2:
            return


def _check_books(stream: HTTPStream) -> None:
    stats = stream.stats()
    assert stats[:4] == (0, 0, 0, 0)
    assert stats.started == stats.done + stats.failed + stats.cancelled
    assert not stream.chains


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_readers_do_the_books_balance(web: Web, seed, caplog):
    caplog.set_level(logging.CRITICAL, "webqq_tornado.engine")
    async with raw_server(_unreliable) as url:
        urls = [web.http, f"{web.http}/close", f"{web.http}/hold/monkey", REFUSED, url, url]
        stream = Monkey(urls, seed, max_clients=8)
        flow = stream.launch()
        assert await stream.drain(60), stream.chains
        _check_books(stream)
        assert flow.done
        assert all(chain.state.is_final for chain in stream.made)
        stream.close()
    assert not [r for r in caplog.records if r.name.startswith(("tornado", "asyncio"))]


@pytest.mark.parametrize("seed", range(8))
async def test_close_at_any_moment_leaves_nothing(web: Web, seed, caplog):
    caplog.set_level(logging.CRITICAL, "webqq_tornado.engine")
    before = open_descriptors()
    async with HTTPStream() as other:
        urls = [web.http, f"{web.http}/close", f"{web.http}/hold/monkey", REFUSED]
        stream = Monkey(urls, seed, max_clients=8)
        flow = stream.launch()
        for _ in range(seed * 3):
            await other.fetch(web.http)
        waiting = asyncio.gather(*map(wait, stream.chains), return_exceptions=True)
        await asyncio.sleep(0)
        stream.close()
        await waiting
        await asyncio.sleep(0.01)  # what is left in the loop gets its turn
        _check_books(stream)
        assert flow.done
        assert {chain.state for chain in stream.made} <= {s for s in State if s.is_final}
    assert open_descriptors() == before
    assert not [r for r in caplog.records if r.name.startswith(("tornado", "asyncio"))]
