"""Header lines: what they say before anything is parsed, and what breaks off in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from servers.raw import raw_server

from webqq_tornado import HTTPStream, Request, StreamError
from webqq_tornado.engine.transport.headerlines import announced_size, is_cut, last_status, leads_on
from webqq_tornado.httpclient import HTTPStreamClient, HTTPStreamError

EARLY = [b"HTTP/1.1 103 Early Hints\r\n", b"Content-Length: 7\r\n", b"\r\n"]
FINAL = [b"HTTP/1.1 200 OK\r\n", b"content-length:  12 \r\n", b"\r\n"]
TRAILERS = [b"HTTP/1.1: not a status line\r\n", b"Location: /nowhere\r\n"]


def test_the_last_answer_counts():
    assert announced_size(EARLY + FINAL) == 12
    assert last_status(EARLY + FINAL) == 200
    assert not is_cut(EARLY + FINAL)


def test_without_lines_there_is_nothing_to_say():
    assert (announced_size([]), last_status([]), leads_on([]), is_cut([])) == (-1, 0, False, True)


@pytest.mark.parametrize("size", [b"-1", b"+1", b"1 2", b"", b"0x10", b"1,1", "\u0661".encode()])
def test_a_size_that_is_no_number_is_none(size: bytes):
    assert announced_size([FINAL[0], b"Content-Length: " + size + b"\r\n", b"\r\n"]) == -1


@pytest.mark.parametrize("status", [b"", b"abc", b"-200", "\u00b2\u00b2\u00b2".encode("latin-1")])
def test_a_status_that_is_no_number_is_none(status: bytes):
    assert last_status([b"HTTP/1.1 " + status + b"\r\n", b"\r\n"]) == 0


def test_trailers_are_no_answer():
    assert last_status(FINAL + TRAILERS) == 200
    assert not is_cut(FINAL + TRAILERS)


@pytest.mark.parametrize("number", range(6))
def test_lines_are_cut_before_the_last_one_is_there(number: int):
    assert is_cut((EARLY + FINAL)[:number])


@pytest.mark.parametrize(("status", "is_last"), [(100, False), (103, False), (101, True)])
def test_another_answer_follows_interim_ones(status: int, is_last: bool):
    assert is_cut([b"HTTP/1.1 %d X\r\n" % status, b"\r\n"]) is not is_last


def test_a_line_may_end_in_a_line_feed_alone():
    assert not is_cut([b"HTTP/1.1 200 OK\n", b"\n"])


@pytest.mark.parametrize(
    ("status", "location", "leads"),
    [(302, b"/a", True), (308, b"/a", True), (302, b" ", False), (304, b"/a", False)],
)
def test_a_redirect_with_an_address_leads_on(status: int, location: bytes, leads: bool):
    lines = [b"HTTP/1.1 %d X\r\n" % status, b"location: " + location + b"\r\n", b"\r\n"]
    assert leads_on(lines) is leads
    assert leads_on(lines + EARLY[:1]) is False


# -- an exchange that is cut ----------------------------------------------------------------------

HEAD = (
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Own: 1\r\n\r\n"
)
ANSWER = HEAD + b"body"


async def _whole(stream: HTTPStream, url: str, folder: Path) -> bytes:
    return (await stream.fetch(url)).body


async def _head(stream: HTTPStream, url: str, folder: Path) -> bytes:
    return (await stream.fetch(Request(url, "HEAD"))).body


async def _path(stream: HTTPStream, url: str, folder: Path) -> bytes:
    await stream.fetch(Request(url, sink=folder / "body"))
    return (folder / "body").read_bytes()


async def _open(stream: HTTPStream, url: str, folder: Path) -> bytes:
    async with stream.open(url) as response:
        return b"".join([chunk async for chunk in response.stream])


async def _unread(stream: HTTPStream, url: str, folder: Path) -> bytes:
    errors: list[Exception] = []
    await stream.add_request(url, None, errback=errors.append)
    if errors:
        raise errors[0]
    return b""


async def _tornado(stream: HTTPStream, url: str, folder: Path) -> bytes:
    client = HTTPStreamClient(force_instance=True)
    try:
        return (await client.fetch(url)).body
    finally:
        client.close()


@pytest.mark.parametrize("way", [_whole, _head, _path, _open, _unread, _tornado])
async def test_an_exchange_that_is_cut_at_any_byte_is_an_error(
    tmp_path: Path, way: Callable[[HTTPStream, str, Path], Awaitable[bytes]]
):
    cut = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER[:cut])

    whole = len(HEAD) if way is _head else len(ANSWER)
    async with raw_server(serve) as url, HTTPStream() as stream:
        for cut in range(whole):  # noqa: B007 - the server looks at it
            with pytest.raises((StreamError, HTTPStreamError)):
                await way(stream, url, tmp_path)
            assert stream.stats().in_flight == 0
            assert not (tmp_path / "body").exists()
        cut = whole
        assert await way(stream, url, tmp_path) in (b"body", b"")
