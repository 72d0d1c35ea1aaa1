"""The sockets on the loop: all that wait are there, and none that is closed or somebody else's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections import Counter, deque

import pytest
import uvloop
from servers.raw import answer, raw_server, requests
from servers.web import Web
from tornado.ioloop import IOLoop

from webqq_tornado import HTTPStream, Next, Request
from webqq_tornado.engine.transport import lanepool
from webqq_tornado.engine.transport.poller import WatchedSocket


def ours(ioloop: IOLoop) -> set[int]:
    """The numbers that the loop watches for streams."""
    return {
        fd for fd, (watched, _) in ioloop.handlers.items() if isinstance(watched, WatchedSocket)
    }


async def test_every_socket_that_is_waited_for_has_a_handler_on_the_loop(web: Web):
    async with HTTPStream() as stream:
        chains = [stream.add_request(f"{web.http}/hold/poller", None) for _ in range(20)]
        async with HTTPStream() as other:
            while (await other.fetch(f"{web.http}/arrived/poller")).text != "20":
                pass
            assert len(stream.fd_map) >= 20
            assert set(stream.fd_map) <= ours(IOLoop.current())
            await other.fetch(f"{web.http}/release/poller")
        await asyncio.gather(*chains)
    assert not ours(IOLoop.current())


async def test_an_idle_connection_leaves_the_loop(web: Web):
    async with HTTPStream() as stream:
        await stream.fetch(web.http)
        # A task's turn to ask for more comes first.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wake_up = {lane._wake_up for lane in stream._transport._lanes}
        assert ours(IOLoop.current()) <= wake_up
        assert stream._transport._idle.fds


async def test_a_connection_stays_on_the_loop_while_more_is_expected():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            writer.write(answer(head))

    # On this loop: it cannot answer before libcurl waits for nothing but that.
    async with raw_server(serve) as url, HTTPStream() as stream:
        transport = stream._transport
        transport.expect_more(True)
        await stream.fetch(url)
        own = {lane._wake_up for lane in transport._lanes}
        for _ in range(5):
            await asyncio.sleep(0)
            assert len(transport.watched.keys() - own) == 1
            assert not transport._idle.fds
        await stream.fetch(url)
        transport.expect_more(False)
        await asyncio.sleep(0)
        assert not transport.watched.keys() - own
        assert len(transport._idle.fds) == 1


async def test_a_connection_that_libcurl_evicts_while_more_is_expected_leaves_the_loop():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            writer.write(answer(head))

    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(raw_server(serve)) for _ in range(5)]
        stream = await stack.enter_async_context(HTTPStream())
        transport = stream._transport
        transport.expect_more(True)

        def look(response: object) -> None:
            known = transport.watched.keys() & transport.connections.known.keys()
            stale.extend(fd for fd in known if not transport.connections.is_open(fd))

        stale: list[int] = []
        for url in urls:
            await stream.add_request(url, look)
            transport._lanes[0].keep(2)
            look(None)
        assert not stale
        assert len(transport._kept_on) == 2


async def test_a_task_that_follows_up_at_once_finds_its_socket_registered(web: Web, monkeypatch):
    calls: Counter[str] = Counter()
    ioloop = IOLoop.current()
    for name in ("add_handler", "update_handler", "remove_handler"):
        function = getattr(ioloop, name)

        def counted(*arguments, name=name, function=function):
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(ioloop, name, counted)
    async with HTTPStream() as stream:
        for _ in range(100):
            await stream.fetch(web.http)
        # Nearly: a turn for a socket that was served already may come between.
        assert sum(calls.values()) < 100


class Nosy:
    """Looks at the loop's handlers, and uses numbers that libcurl has just given back."""

    def __init__(self) -> None:
        self.ioloop = IOLoop.current()
        self.inodes: dict[int, int] = {}
        self.looks = self.heard = 0
        self.troubles: list[object] = []
        self.open: deque[tuple[socket.socket, socket.socket]] = deque()
        self._add_handler = self.ioloop.add_handler
        self.ioloop.add_handler = self.noting  # type: ignore[method-assign]

    def noting(self, fd, handler, events) -> None:
        if isinstance(fd, WatchedSocket):
            self.inodes[fd.fileno()] = os.fstat(fd.fileno()).st_ino
        self._add_handler(fd, handler, events)

    def look(self, *_: object) -> None:
        self.looks += 1
        try:
            for fd in ours(self.ioloop):
                assert os.fstat(fd).st_ino == self.inodes[fd], f"{fd} is another's by now"
            self.register()
        except Exception as error:
            self.troubles.append(error)

    def register(self) -> None:
        pair = socket.socketpair()
        self.open.append(pair)
        self._add_handler(pair[0].fileno(), self.hear, IOLoop.READ)
        pair[1].send(b"x")
        if len(self.open) > 8:
            self.close_one()

    def hear(self, fd: int, _events: int) -> None:
        self.heard += 1
        os.read(fd, 1)

    def close_one(self) -> None:
        pair = self.open.popleft()
        self.ioloop.remove_handler(pair[0].fileno())
        for end in pair:
            end.close()


async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ends connections in all ways, as the path says."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        how = head.split()[1].decode()
        if how.startswith("/never"):
            await reader.read()
            return
        if how.startswith("/reset"):
            writer.transport.abort()
            return
        if how.startswith("/late"):
            writer.write(answer() + b"HTTP/1.1 200 OK\r\n")
        else:
            writer.write(answer(b"x" * 3000))
        try:
            await writer.drain()
        except ConnectionError:
            return
        if how.startswith("/close"):
            return


KINDS = ("/keep", "/keep", "/keep", "/close", "/reset", "/late", "/never")


async def _mixed(count: int) -> tuple[Nosy, int]:
    nosy, left, dice = Nosy(), [count], random.Random(count)
    ended: Counter[str] = Counter()

    class Flow(HTTPStream):
        def on_request(self, request):
            nosy.look()

    async def read_later(response):
        nosy.look()
        await asyncio.sleep(0)
        return read(response)

    def read(response):
        nosy.look()
        left[0] -= 1
        return following() if left[0] > 0 else None

    def failed(error):
        nosy.look()
        ended[type(error).__name__] += 1
        left[0] -= 1
        return following() if left[0] > 0 else None

    def following():
        kind = dice.choice(KINDS)
        request = Request(
            f"{dice.choice(urls)}{kind}",
            dice.choice(("GET", "POST")),
            body=b"",
            request_timeout=0.05 if kind == "/never" else 60,
            sink=nosy.look if dice.random() < 0.3 else None,
        )
        reader = dice.choice((read, read_later))
        delay = dice.choice((0, 0, 0.001))
        return Next(request, reader, delay, errback=failed)

    async with raw_server(moody) as one, raw_server(moody) as two, Flow() as stream:
        urls = (one, two)
        for _ in range(12):
            stream.add_request(following())
        while stream.chains:
            fetch = asyncio.ensure_future(stream.fetch(f"{one}/keep"))
            await asyncio.sleep(0)
            if dice.random() < 0.2:
                fetch.cancel()
            await asyncio.wait([fetch])
            nosy.look()
    while nosy.open:
        nosy.close_one()
    assert not ours(nosy.ioloop)
    return nosy, sum(ended.values())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_handler_outlives_its_socket_whatever_ends(run, monkeypatch):
    """Users' code of all kinds runs between; connections close, time out, are reset, evicted."""
    monkeypatch.setattr(lanepool, "LANE_CONNECTIONS", 3)
    nosy, failures = run(_mixed(600))
    assert nosy.troubles == []
    assert nosy.looks > 600
    assert nosy.heard > 100
    assert failures > 50
