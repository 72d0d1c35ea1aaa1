"""Deadlines of many connections with one timer: each is closed at its own time, or never."""

from __future__ import annotations

import asyncio

from servers.town import Town
from waiting import put_ahead, until

from webqq_tornado.server.app import BODY_SECONDS, IDLE_SECONDS
from webqq_tornado.server.deadlines import Deadlines


class Connection:
    """As much of one as is closed."""

    context = "127.0.0.1"

    def __init__(self) -> None:
        self.stream = self
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


async def test_who_is_late_is_closed_and_nobody_else():
    deadlines = Deadlines("head", 90.0)
    late, done, again, early = connections = [Connection() for _ in range(4)]
    for connection in (late, done, again):
        deadlines.start(connection)
    deadlines.stop(done)
    put_ahead(60.0)
    deadlines.start(again)
    deadlines.start(early)
    put_ahead(60.0)
    await until(lambda: late.is_closed)
    assert [one.is_closed for one in connections] == [True, False, False, False]
    put_ahead(60.0)
    await until(lambda: early.is_closed)
    assert [one.is_closed for one in connections] == [True, False, True, True]
    assert not len(deadlines)


async def test_closed_deadlines_close_nobody():
    deadlines = Deadlines("body", 15.0)
    connection = Connection()
    deadlines.start(connection)
    deadlines.close()
    put_ahead(60.0)
    await asyncio.sleep(0)
    assert not connection.is_closed


async def test_a_body_has_its_own_time_however_late_its_head_came():
    async with Town() as town:
        reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
        writer.write(b"POST /page/signin HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        await until(lambda: town.server._http._heads)
        put_ahead(IDLE_SECONDS - 1)
        writer.write(b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        put_ahead(BODY_SECONDS - 1)
        writer.write(b"{}       ")
        assert b"HTTP/1.1 4" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
