"""Random flows, the same each time: the books balance, nothing hangs, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest
import tenacity
from descriptors import open_descriptors
from servers.raw import answer, raw_server
from servers.web import Web
from waiting import until

from engine.readers import REFUSED, Oops, wait
from webqq_tornado import Chain, Gather, HTTPStream, Limits, Next, Request, State
from webqq_tornado.auth import BearerAuth
from webqq_tornado.retry import CircuitBreaker, Retry


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
    await until(lambda: open_descriptors() <= before)
    assert not [r for r in caplog.records if r.name.startswith(("tornado", "asyncio"))]


pytestmark = pytest.mark.slow


class Wild(Monkey):
    """A `Monkey` with more on its mind."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.opened = self.closed = 0  # sources
        super().__init__(*arguments, **options)
        self.left = 300

    def is_chosen(self, one_in: int) -> bool:
        return self.chance.randrange(one_in) == 0

    def link(self):
        link = super().link()
        request = Request.of(link.request)
        what = self.chance.randrange(8)
        if what < 2:
            request = request.replace(sink=(self.sunk, self.sunk_later)[what])
        elif what == 2:
            request = request.replace(stream=True)
            link = link._replace(readback=self.read_stream)
        elif what == 3 and request.method == "POST":
            request = request.replace(body=self.chance.choice([self.body, self.body_later]))
        return link._replace(request=request, priority=self.chance.choice([None, 0, 1]))

    def something(self):
        what, chains = self.chance.randrange(10), list(self.chains)
        if what == 0 and self.left > 0:
            links = self.chance.choice([self.links, self.source, self.source_later])()
            join = self.chance.choice([self.read, self.read_later, None])
            errback = self.chance.choice([None, self.recover, self.recover_later])
            return Gather(links, join, errback, self.is_chosen(2))
        if what == 1 and chains:
            chain = self.chance.choice(chains)
            chain.pause()
            self.ioloop.call_later(0.002, chain.resume)
        if what == 2 and chains and self.is_chosen(4):
            self.chance.choice(chains).cancel()
        if what == 3 and self.is_chosen(5):
            self.pause()
            self.ioloop.call_later(0.002, self.resume)
        return super().something()

    def on_error(self, error):
        if self.is_chosen(3):
            return self.something()
        raise error

    async def recover_later(self, error):
        await asyncio.sleep(0)
        return self.something()

    # -- several ------------------------------------------------------------------------------

    def links(self):
        wrong = [REFUSED, 3, "http://[oops/"]
        return [
            self.chance.choice(wrong) if self.is_chosen(10) else self.link()
            for _ in range(self.chance.randrange(5))
        ]

    def source(self, _response=None):
        self.opened += 1
        try:
            for _ in range(self.chance.randrange(8)):
                self.mishap()
                yield self.link()
        finally:
            self.closed += 1
            self.mishap()

    async def source_later(self, _response=None):
        self.opened += 1
        try:
            for _ in range(self.chance.randrange(8)):
                await asyncio.sleep(self.chance.choice([0, 0.001]))
                self.mishap()
                yield self.link()
        finally:
            self.closed += 1
            await asyncio.sleep(0)
            self.mishap()

    several, several_later = source, source_later

    # -- bodies -------------------------------------------------------------------------------

    def mishap(self):
        """What may happen in users' code, anywhere."""
        if self.is_chosen(10):
            raise Oops
        if self.is_chosen(6):
            with contextlib.suppress(Oops):
                self.something()

    def body(self):
        for _ in range(3):
            self.mishap()
            yield b"x" * 100

    async def body_later(self):
        for _ in range(3):
            await asyncio.sleep(0)
            self.mishap()
            yield b"x" * 100

    def sunk(self, _chunk):
        self.mishap()

    async def sunk_later(self, _chunk):
        await asyncio.sleep(0)
        self.mishap()

    async def read_stream(self, response):
        async for _ in response.stream:
            self.mishap()
            if self.is_chosen(5):
                break
        return self.something()


def policies(seed: int) -> dict[str, Any]:
    """Some of what a stream may have."""
    chance = random.Random(seed)

    async def renew() -> str:
        await asyncio.sleep(0.001)
        if chance.random() < 0.3:
            raise Oops
        return "token"

    every = {
        "limits": Limits(per_host=chance.choice([1, 2, 5])),
        "retry": Retry(wait=tenacity.wait_none(), stop=tenacity.stop_after_attempt(2)),
        "breaker": CircuitBreaker(fail_max=3, reset_timeout=0.01),
        "auth": BearerAuth(renew=renew),
    }
    some = {name: policy for name, policy in every.items() if chance.random() < 0.5}
    return {"max_clients": chance.choice([1, 3, 8]), **some}


@contextlib.contextmanager
def nothing_left(caplog):
    """No word of asyncio's on what nobody has awaited or retrieved."""
    caplog.set_level(logging.CRITICAL, "webqq_tornado.engine")
    yield
    gc.collect()
    assert not [r for r in caplog.records if r.name.startswith(("tornado", "asyncio"))]


async def settled(stream: Wild) -> None:
    """Async sources take some turns to close."""
    await until(lambda: stream.opened == stream.closed)
    _check_books(stream)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_a_flow_is_made_of_it_ends(web: Web, seed, caplog):
    paths = ["", "/close", "/hold/chance", "/status/401", "/status/503", "/bytes/300000"]
    with nothing_left(caplog):
        async with raw_server(_unreliable) as url:
            urls = [REFUSED, url, url, *(f"{web.http}{path}" for path in paths)]
            stream = Wild(urls, seed, **policies(seed))
            flow = stream.launch()
            assert await stream.drain(60), stream.chains
            assert flow.done
            await settled(stream)
            stream.close()


@pytest.mark.parametrize("seed", range(12))
async def test_close_at_any_moment_ends_all_of_it(web: Web, seed, caplog):
    paths = ["", "/close", "/hold/chance", "/bytes/300000"]
    with nothing_left(caplog):
        stream = Wild([REFUSED, *(f"{web.http}{path}" for path in paths)], seed, **policies(seed))
        stream.launch()
        for _ in range(seed * 3):
            await asyncio.sleep(0.0005)
        stream.close()
        await settled(stream)
