"""Bodies that libcurl does not decode: of several gzip members, of POSTs, of no known coding."""

from __future__ import annotations

import asyncio
import gzip
import sys
import zlib

import pytest
from servers.raw import answer, raw_server

from webqq_tornado import HTTPStream, Multipart, ProtocolError, Request, TooLargeError
from webqq_tornado.engine.transport.inflating import Members, inflated

ONE, TWO = gzip.compress(b"one"), gzip.compress(b"two")
BODIES = {
    "two members": (ONE + TWO, b"onetwo"),
    "members without anything": (gzip.compress(b"") * 3 + TWO, b"two"),
    "a thousand members": (ONE * 1000, b"one" * 1000),
    "zeros behind": (ONE + bytes(5), b"one"),
    "zeros between": (ONE + bytes(3) + TWO, b"onetwo"),
    "a line break behind": (ONE + b"\r\n", b"one"),
}


def _whole(body: bytes) -> bytes:
    return answer(body, b"Content-Encoding: gzip")


def _in_chunks(body: bytes) -> bytes:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n\r\n"


async def _fetch(raw: bytes, **options: object) -> tuple[bytes, int]:
    asked = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readuntil(b"\r\n\r\n"):
            asked += 1
            writer.write(raw)

    async with raw_server(handler) as url, HTTPStream() as stream:
        response = await stream.fetch(Request(url, **options))  # type: ignore[arg-type]
        return response.body, asked


@pytest.mark.parametrize("framed", [_whole, _in_chunks])
@pytest.mark.parametrize("name", BODIES)
async def test_all_members_of_a_gzip_body_are_read(name: str, framed):
    body, right = BODIES[name]
    assert await _fetch(framed(body)) == (right, 2)


async def test_one_member_is_asked_for_once():
    assert await _fetch(_whole(ONE)) == (b"one", 1)


async def test_what_members_are_together_counts_against_the_limit():
    many = gzip.compress(bytes(600)) * 2
    assert (await _fetch(_whole(many), max_body_size=1200))[0] == bytes(1200)
    with pytest.raises(TooLargeError):
        await _fetch(_whole(many), max_body_size=1199)


async def test_a_member_that_is_corrupt_is_an_error():
    with pytest.raises(ProtocolError, match="decoding the body"):
        await _fetch(_whole(ONE + TWO[:-8] + bytes(8)))


@pytest.mark.parametrize("options", [{"body": b"x", "sink": [].append}, {"sink": [].append}])
async def test_what_is_not_sent_again_says_what_to_do(options):
    with pytest.raises(ProtocolError, match="decompress_response=False"):
        await _fetch(_whole(ONE + TWO), **options)


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_members_may_be_cut_anywhere(size: int):
    whole = ONE + bytes(2) + gzip.compress(bytes(300_000)) + TWO + b"\x1f" + ONE
    taken: list[bytes] = []
    members = Members(taken.append)
    for start in range(0, len(whole), size):
        assert members(whole[start : start + size]) is None
    assert b"".join(taken) == b"one" + bytes(300_000) + b"two"


def test_who_takes_no_more_is_given_no_more():
    assert Members(lambda chunk: 0)(ONE) == 0
    with pytest.raises(zlib.error):
        Members(lambda chunk: None)(b"\x1f\x8bno gzip")


# -- of POST and the like, which are not sent again ---------------------------------------------

POSTS = {
    "POST": {"body": b"x"},
    "PATCH": {"method": "PATCH", "body": b"x"},
    "without a body": {"method": "POST"},
    "multipart": {"body": Multipart({"a": "b"})},
}


@pytest.mark.parametrize("options", [{}, *POSTS.values()], ids=["GET", *POSTS])
@pytest.mark.parametrize("coding", ["utf-8", "aws-chunked", "binary", "none", "gzip, rot13", ""])
async def test_a_body_of_an_unknown_coding_comes_as_it_is(coding: str, options):
    raw = answer(b"as it is", f"Content-Encoding: {coding}".encode())
    body, _ = await _fetch(raw, **options)
    assert body == b"as it is"


@pytest.mark.parametrize("options", POSTS.values(), ids=POSTS)
@pytest.mark.parametrize("name", BODIES)
async def test_what_is_not_sent_again_is_inflated_at_once(name: str, options):
    body, right = BODIES[name]
    assert (await _fetch(_whole(body), **options))[0] == right


async def test_such_a_body_that_is_corrupt_is_an_error():
    with pytest.raises(ProtocolError, match="decoding the body"):
        await _fetch(_whole(ONE[:-12] + bytes(12)), body=b"x")
    with pytest.raises(ProtocolError, match="decoding the body"):
        await _fetch(_whole(b"no gzip"), body=b"x")


async def test_such_a_body_is_limited_as_it_is_inflated():
    with pytest.raises(TooLargeError, match="max_body_size"):
        await _fetch(_whole(gzip.compress(bytes(2_000_000))), body=b"x", max_body_size=1_000_000)


async def test_an_own_accept_encoding_is_libcurls_to_undo():
    options = {"body": b"x", "headers": {"Accept-Encoding": "gzip"}}
    assert await _fetch(_whole(ONE), **options) == (b"one", 1)


def test_deflate_comes_with_and_without_a_header():
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for body in (zlib.compress(b"abc"), raw.compress(b"abc") + raw.flush()):
        assert inflated(body, [b"deflate"], 3) == b"abc"
        assert inflated(body, [b"deflate"], sys.maxsize) == b"abc"  # there is no limit
        with pytest.raises(OverflowError):
            inflated(body, [b"deflate"], 2)


def test_codings_are_undone_from_the_last_to_the_first_unknown_one():
    body = gzip.compress(gzip.compress(b"abc"))
    assert inflated(body, [b"gzip", b"x-gzip"], 100) == b"abc"
    assert inflated(body, [b"rot13", b"gzip"], 100) == gzip.decompress(body)
    assert inflated(body, [b"gzip", b"rot13"], 100) == body


@pytest.mark.parametrize("size", [10**14, 2**63, 10**30])
async def test_a_length_that_is_announced_to_head_is_of_no_matter(size: int):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    assert await _fetch(head, method="HEAD") == (b"", 1)
