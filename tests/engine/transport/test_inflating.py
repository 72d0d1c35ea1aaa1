"""Codings of bodies, undone in memory and on the way to a sink; cut ones are errors."""

from __future__ import annotations

import asyncio
import gzip
import sys
import zlib

import brotli
import pytest
from servers.raw import answer, raw_server, saying

from webqq_tornado import HTTPStream, Multipart, ProtocolError, Request, TooLargeError
from webqq_tornado.engine.transport.inflating import Decoder, inflated

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
    assert await _fetch(framed(body)) == (right, 1)


async def test_what_members_are_together_counts_against_the_limit():
    many = gzip.compress(bytes(600)) * 2
    assert (await _fetch(_whole(many), max_body_size=1200))[0] == bytes(1200)
    with pytest.raises(TooLargeError):
        await _fetch(_whole(many), max_body_size=1199)


async def test_a_member_that_is_corrupt_is_an_error():
    with pytest.raises(ProtocolError, match="decoding the body"):
        await _fetch(_whole(ONE + TWO[:-8] + bytes(8)))


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_members_may_be_cut_anywhere(size: int):
    whole = ONE + bytes(2) + gzip.compress(bytes(300_000)) + TWO + b"\x1f" + ONE
    decoder = Decoder([b"gzip"])
    pieces = [
        piece
        for start in range(0, len(whole), size)
        for piece in decoder.pieces(whole[start : start + size])
    ]
    assert b"".join(pieces) == b"one" + bytes(300_000) + b"two"
    decoder.check_end()


# -- whole and cut, by whatever way -------------------------------------------------------------

TEXT = b"".join(b"%d," % number for number in range(3000))
_raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
CODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "deflate, gzip": gzip.compress(zlib.compress(TEXT)),
    "br": brotli.compress(TEXT),
    "raw deflate": _raw.compress(TEXT) + _raw.flush(),
}


async def _taken(body: bytes, coding: str, how: str, status: bytes = b"200 OK") -> bytes:
    """The body, as it comes to the reader in memory, in a sink of some kind, or in a stream."""
    coded = f"Content-Encoding: {coding.removeprefix('raw ')}".encode()
    taken = bytearray()

    async def put(chunk: bytes) -> None:
        await asyncio.sleep(0)
        taken.extend(chunk)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(body, coded, status=status))

    async with raw_server(handler) as url, HTTPStream() as stream:
        if how == "stream":
            async with stream.open(url) as response:
                return b"".join([chunk async for chunk in response.stream])
        sink = {"memory": None, "sink": taken.extend, "async sink": put}[how]
        response = await stream.fetch(Request(url, sink=sink))
        return response.body or bytes(taken)


WAYS = ["memory", "sink", "async sink", "stream"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("coding", CODED)
async def test_a_coded_body_is_undone(coding: str, how: str):
    assert await _taken(CODED[coding], coding, how) == TEXT


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("coding", CODED)
async def test_a_coded_body_that_is_cut_is_an_error_though_it_was_framed_as_whole(coding, how):
    for size in (1, 2, len(CODED[coding]) // 2, len(CODED[coding]) - 1):
        with pytest.raises(ProtocolError, match="decoding the body failed: the body ends in"):
            await _taken(CODED[coding][:size], coding, how)


@pytest.mark.parametrize("how", WAYS)
async def test_a_part_of_what_is_coded_need_not_have_its_end(how: str):
    part = await _taken(CODED["gzip"][:2000], "gzip", how, b"206 Partial Content")
    assert TEXT.startswith(part)
    assert part


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("coding", CODED)
async def test_a_body_without_anything_is_empty_whatever_its_coding(coding: str, how: str):
    assert await _taken(b"", coding, how) == b""


async def test_a_file_whose_coded_body_is_cut_does_not_get_its_name(tmp_path):
    with pytest.raises(ProtocolError, match="the body ends in the middle of its gzip"):
        await _fetch(_whole(gzip.compress(TEXT)[:-4]), sink=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("how", ["sink", "async sink"])
async def test_a_sink_that_ends_its_chain_gets_no_more_of_what_a_chunk_inflates_to(how: str):
    taken = 0

    def sink(chunk: bytes):
        nonlocal taken
        taken += 1
        chain.cancel()
        return asyncio.sleep(0) if how == "async sink" else None

    async with raw_server(saying(_whole(gzip.compress(bytes(2**20))))) as url:
        async with HTTPStream() as stream:
            chain = stream.add_request(Request(url, sink=sink))
            with pytest.raises(asyncio.CancelledError):
                await chain
    assert taken == 1


async def test_more_than_five_codings_are_refused():
    body = b"x"
    for _ in range(6):
        body = gzip.compress(body)
    for sink in (None, [].append):
        with pytest.raises(ProtocolError, match="more than 5 codings"):
            await _fetch(answer(body, b"Content-Encoding: " + b"gzip, " * 6), sink=sink)


# -- of POST and the like ------------------------------------------------------------------------

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
async def test_bodies_of_all_methods_are_undone(name: str, options):
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


async def test_an_own_accept_encoding_is_undone_as_well():
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
