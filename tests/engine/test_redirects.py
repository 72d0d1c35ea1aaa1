"""Redirects that are followed although something about their answer is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from servers.raw import answer, raw_server

from webqq_tornado import HTTPStream, Request, Response, TooLargeError
from webqq_tornado.httpclient import HTTPStreamClient

HEAD = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n"
#: What the body of a redirect may be like: what comes after its first lines.
BODIES = {
    "breaks off": b"Content-Length: 1000\r\n\r\nabc",
    "breaks off in a chunk": b"Transfer-Encoding: chunked\r\n\r\n40\r\nabc",
    "has no chunks": b"Transfer-Encoding: chunked\r\n\r\nabc\r\n",
    "is not compressed": b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "has an unknown coding": b"Content-Encoding: rot13\r\nContent-Length: 3\r\n\r\nabc",
    "is over the limit": b"Content-Length: 300000\r\n\r\n" + bytes(300_000),
}


def _redirecting(rest: bytes, *, is_endless: bool = False) -> Callable[..., object]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/there" in await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer(b"there"))
            return
        writer.write(HEAD + rest)
        with contextlib.suppress(ConnectionError):
            while is_endless:
                writer.write(bytes(65536))
                await writer.drain()

    return handler


async def _fetch(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    response = await stream.fetch(request)
    return response.status, response.body


async def _open(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    async with stream.open(request) as response:
        return response.status, b"".join([chunk async for chunk in response.stream])


async def _sink(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    chunks: list[bytes] = []
    response = await stream.fetch(request.replace(sink=chunks.append))
    return response.status, b"".join(chunks)


WAYS = [_fetch, _open, _sink]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BODIES)
async def test_a_redirect_is_followed_whatever_is_wrong_with_its_body(name: str, way):
    async with raw_server(_redirecting(BODIES[name])) as url, HTTPStream() as stream:
        request = Request(url, max_body_size=200_000)
        assert await way(stream, request) == (200, b"there")
        assert stream.stats().errors == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_redirect_with_a_body_that_has_no_end_is_followed(way):
    async with (
        raw_server(_redirecting(b"\r\n", is_endless=True)) as url,
        HTTPStream() as stream,
    ):
        assert await way(stream, Request(url)) == (200, b"there")


async def test_tornados_client_follows_it_too():
    async with raw_server(_redirecting(BODIES["breaks off"])) as url:
        client = HTTPStreamClient(force_instance=True)
        response = await client.fetch(url)
        assert (response.code, response.body) == (200, b"there")
        client.close()


async def test_of_a_redirect_that_is_not_followed_the_body_counts():
    async with raw_server(_redirecting(BODIES["is over the limit"])) as url, HTTPStream() as stream:
        request = Request(url, follow_redirects=False, max_body_size=200_000)
        with pytest.raises(TooLargeError):
            await stream.fetch(request)
        response = await stream.fetch(request.replace(max_body_size=400_000))
        assert isinstance(response, Response)
        assert len(response.body) == 300_000


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("a=1", b"a=2"),
        ("a=1; b=1", b"a=2; b=1"),
        ("b=1;a=1 ; A=1", b"a=2; b=1; A=1"),
        ("aa=1", b"a=2; aa=1"),
    ],
)
async def test_a_cookie_that_a_redirect_sets_takes_the_place_of_the_callers(
    given: str, sent: bytes
):
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in (HEAD + b"Set-Cookie: a=2\r\nContent-Length: 0\r\n\r\n", answer()):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(said)

    async with raw_server(handler) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, headers={"Cookie": given}))
        assert b"\r\nCookie: " + sent + b"\r\n" in asked.pop()


async def test_who_keeps_no_cookies_goes_on_with_those_that_were_given():
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in (HEAD + b"Set-Cookie: a=2\r\nContent-Length: 0\r\n\r\n", answer()):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(said)

    async with raw_server(handler) as url:
        client = HTTPStreamClient(force_instance=True)
        await client.fetch(url, headers={"Cookie": "a=1"})
        client.close()
    assert b"\r\nCookie: a=1\r\n" in asked.pop()
