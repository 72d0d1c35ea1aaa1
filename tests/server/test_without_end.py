"""Requests that never end, and answers that nobody reads: they are ended, and what waits is not."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from servers.town import Town
from waiting import put_ahead, until

from webqq_tornado.protocol import webqq3
from webqq_tornado.server import certificates
from webqq_tornado.server.app import BODY_SECONDS, IDLE_SECONDS, MAX_HEAD
from webqq_tornado.server.handlers import WRITE_SECONDS

HEAD = b"POST /page/signin HTTP/1.1\r\nHost: 127.0.0.1\r\n"


async def _send(town: Town, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
    writer.write(data)
    await until(lambda: town.server._http._connections)
    return reader, writer


@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100\r\n\r\n" + b"a" * 99,
        b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n100\r\na",
    ],
)
async def test_a_body_without_its_end_is_waited_for_no_longer(body: bytes):
    async with Town() as town:
        reader, writer = await _send(town, HEAD + b"Expect: 100-continue\r\n" + body)
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # the body is waited for
        put_ahead(BODY_SECONDS)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("head", [b"", HEAD, b"\r\n", HEAD + b"X: "])
async def test_a_head_without_its_end_is_waited_for_no_longer(head: bytes):
    async with Town() as town:
        reader, writer = await _send(town, head)
        put_ahead(IDLE_SECONDS)
        assert await reader.read() == b""
        writer.close()


async def test_a_head_that_is_too_long_is_not_read_on():
    async with Town() as town:
        reader, writer = await _send(town, HEAD + b"X: " + b"a" * (MAX_HEAD + 1))
        assert await reader.read() == b""
        writer.close()


async def test_a_handshake_without_its_end_is_waited_for_no_longer(tmp_path: Path):
    async with Town() as town:
        port = town.server.listen_tls(0, certificates(tmp_path))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03")
        await until(lambda: town.server._https._connections)
        put_ahead(IDLE_SECONDS)
        assert await reader.read() == b""
        writer.close()


async def test_a_poll_that_is_held_is_no_request_without_end():
    async with Town(body_timeout=5, idle_timeout=5) as town:
        bob = town.visitor(town.bob)
        await bob.enter()
        held = asyncio.ensure_future(bob.poll())
        await until(lambda: town.server.hub.find(bob.session.psessionid)._new_events)
        put_ahead(20)
        town.server.hub.typing(town.ann, town.bob)
        assert webqq3.POLL.parse(await held).events


async def test_an_answer_that_nobody_reads_is_given_up():
    async with Town() as town:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", town.port))
        with plain:
            asked = b"GET /page/static/page.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            plain.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(plain, asked * 2000)
            await until(lambda: any(_unread(one) for one in town.server._http._connections))
            put_ahead(WRITE_SECONDS)
            await until(lambda: not town.server._http._connections)


def _unread(connection: object) -> int:
    return len(connection.stream._write_buffer)
