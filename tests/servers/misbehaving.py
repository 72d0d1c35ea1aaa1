"""A server that misbehaves as it is asked to: `/NAME` is an answer or a method below.

One fault each. An answer is said, then the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import struct
from collections.abc import AsyncIterator
from socket import SO_LINGER, SOL_SOCKET

from servers.raw import raw_server

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"Content-Length: 100\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HALF = b"Content-Length: 4\r\n\r\nhalf"  # a whole body of that word, as it happens
_ZIPPED = gzip.compress(bytes(range(256)) * 400)


def _encoded(how: bytes, body: bytes) -> bytes:
    """An answer whose body is said to be encoded so."""
    head = b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (how, len(body))
    return OK + head + body


def _moved(*to: bytes) -> bytes:
    """A redirect."""
    lines = b"".join(b"Location: %s\r\n" % one for one in to)
    return b"HTTP/1.1 302 Found\r\n" + lines + HALF


#: What is wrong from the start to the end of an answer.
ANSWERS: dict[str, bytes] = {
    # the status line
    "no_number_for_a_status": b"HTTP/1.1 fine\r\n\r\n",
    "status_of_two_digits": b"HTTP/1.1 20 OK\r\n" + HALF,
    "status_below_100": b"HTTP/1.1 099 OK\r\n" + HALF,
    "unknown_version": b"HTTP/7.3 200 OK\r\n\r\n",
    "version_of_another_connection": b"HTTP/2 200 OK\r\n" + HALF,
    "http_0_9": b"<html>hello</html>",
    "another_protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "tls_where_none_was_asked_for": b"\x15\x03\x01\x00\x02\x02\x28",
    "giant_status_line": b"HTTP/1.1 200 " + b"O" * 2_000_000 + b"\r\n\r\n",
    # interim answers
    "some_1xx": b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 3 + OK + HALF,
    "flood_of_1xx": b"HTTP/1.1 102 Wait\r\n\r\n" * 50_000 + OK + BODY,
    "interim_answer_and_close": b"HTTP/1.1 100 Continue\r\n\r\n",
    # the headers
    "close_in_the_status_line": b"HTTP/1.1 20",
    "close_in_headers": OK + b"Content-Type: text/",
    "header_without_a_colon": OK + b"no colon here\r\n" + HALF,
    "header_with_a_nul": OK + b"X: a\0b\r\n" + HALF,
    "header_with_a_bare_cr": OK + b"X: a\rSet-Cookie: b=c\r\n" + HALF,
    "lines_that_end_in_lf": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nhalf",
    "giant_header": OK + b"X-Giant: " + b"x" * 2_000_000 + b"\r\n\r\n",
    "many_headers": OK + b"X: y\r\n" * 50_000 + b"\r\n",
    # the length
    "short_body": OK + BODY + b"half",
    "conflicting_lengths": OK + b"Content-Length: 4\r\nContent-Length: 8\r\n\r\nhalfhalf",
    "conflicting_lengths_in_a_list": OK + b"Content-Length: 4, 8\r\n\r\nhalfhalf",
    "the_same_length_twice": OK + b"Content-Length: 4\r\n" + HALF,
    "length_and_chunks": OK + b"Content-Length: 99\r\n" + CHUNKED + b"4\r\nhalf\r\n0\r\n\r\n",
    "negative_length": OK + b"Content-Length: -5\r\n\r\nhalf",
    "length_in_words": OK + b"Content-Length: four\r\n\r\nhalf",
    "huge_length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhalf",
    "body_without_a_length": OK + b"\r\nhalf",
    "body_that_cannot_be": b"HTTP/1.1 204 No Content\r\n" + HALF,
    # chunks
    "close_in_a_chunk": OK + CHUNKED + b"64\r\nhalf",
    "close_before_the_last_chunk": OK + CHUNKED + b"4\r\nhalf\r\n",
    "close_in_the_trailers": OK + CHUNKED + b"4\r\nhalf\r\n0\r\nX: y\r\n",
    "bad_chunk_size": OK + CHUNKED + b"zz\r\nhalf\r\n0\r\n\r\n",
    "chunk_size_that_overflows": OK + CHUNKED + b"f" * 17 + b"\r\nhalf",
    "chunk_longer_than_its_size": OK + CHUNKED + b"4\r\nhalf and more\r\n0\r\n\r\n",
    "many_trailers": OK + CHUNKED + b"0\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
    "giant_trailer": OK + CHUNKED + b"0\r\nX: " + b"y" * 2_000_000 + b"\r\n\r\n",
    "transfer_encoding_nobody_asked_for": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    # the encoding
    "corrupt_gzip": _encoded(b"gzip", _ZIPPED[:100] + b"\0\xff" * 50 + _ZIPPED[200:]),
    "gzip_with_another_checksum": _encoded(b"gzip", _ZIPPED[:-8] + b"\1\2\3\4" + _ZIPPED[-4:]),
    "gzip_with_something_after_it": _encoded(b"gzip", _ZIPPED + b"and more"),
    "two_gzips": _encoded(b"gzip", _ZIPPED + _ZIPPED),
    "no_gzip_at_all": _encoded(b"gzip", b"this was never compressed"),
    "truncated_gzip": _encoded(b"gzip", _ZIPPED[: len(_ZIPPED) // 2]),
    "truncated_gzip_without_a_length": OK
    + b"Content-Encoding: gzip\r\n\r\n"
    + _ZIPPED[: len(_ZIPPED) // 2],
    "corrupt_deflate": _encoded(b"deflate", b"\xff\xff\xff\xff this is none"),
    "corrupt_brotli": _encoded(b"br", b"\xff\xff\xff\xff this is none"),
    "truncated_brotli": _encoded(b"br", b"\x0b\x05\x80hello"),
    "corrupt_zstd": _encoded(b"zstd", b"\x28\xb5\x2f\xfd\xff\xff\xff\xff this is none"),
    "unknown_encoding": _encoded(b"rot13", b"unys"),
    "too_many_encodings": _encoded(b", ".join([b"gzip"] * 20), _ZIPPED),
    # redirects
    "redirect_to_itself": _moved(b"/redirect_to_itself"),
    "redirect_to_a_file": _moved(b"file:///etc/passwd"),
    "redirect_to_a_script": _moved(b"javascript:alert(1)"),
    "redirect_to_no_host": _moved(b"http:///"),
    "redirect_to_no_port": _moved(b"http://127.0.0.1:99999/"),
    "redirect_to_no_url": _moved(b"http://a b/"),
    "redirect_to_nowhere": _moved(b"http://127.0.0.1:1/"),
    "redirect_to_two_places": _moved(b"http://127.0.0.1:1/", b"http://127.0.0.1:2/"),
    "redirect_without_a_place": _moved(),
}

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def _say(writer: Writer, *parts: bytes) -> None:
    for part in parts:
        writer.write(part)
    await writer.drain()


def _reset(writer: Writer) -> None:
    """Closing it will send RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)


async def _for_ever(reader: Reader) -> None:
    await reader.read()


class Faults:
    """Faults in time, or of the connection: a method gets it once the request's head has come."""

    async def reset_before_headers(self, reader: Reader, writer: Writer) -> None:
        _reset(writer)

    async def reset_in_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-")
        _reset(writer)

    async def reset_in_a_chunk(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, CHUNKED, b"64\r\nhalf")
        _reset(writer)

    async def reset_in_body(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, BODY, b"half")
        _reset(writer)

    async def close_before_headers(self, reader: Reader, writer: Writer) -> None:
        pass

    async def long_body(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Length: 4\r\n\r\n", b"halfHTTP/1.1 200 OK\r\n\r\nsmuggled")
        await _for_ever(reader)

    async def stalled_before_headers(self, reader: Reader, writer: Writer) -> None:
        await _for_ever(reader)

    async def stalled_in_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-")
        await _for_ever(reader)

    async def stalled_in_body(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, BODY, b"half")
        await _for_ever(reader)

    async def trickle(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Length: 100000\r\n\r\n")
        while True:
            await _say(writer, b".")
            await asyncio.sleep(0.01)  # this is the fault

    async def trickle_of_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK)
        while True:
            await _say(writer, b"X: y\r\n")
            await asyncio.sleep(0.01)  # this is the fault

    async def endless_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK)
        while True:
            await _say(writer, b"X-More: and more\r\n" * 100)

    async def refusal_during_upload(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer, b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
        )
        if writer.can_write_eof():  # over TLS asyncio cannot
            with contextlib.suppress(OSError):  # the client is gone
                writer.write_eof()
        await _for_ever(reader)

    async def refusal_and_reset_during_upload(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read(1)


#: All faults there are.
NAMES = frozenset(ANSWERS) | {name for name in vars(Faults) if not name.startswith("_")}


@contextlib.asynccontextmanager
async def misbehaving(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve all of them; gives the address."""
    faults = Faults()

    async def serve(reader: Reader, writer: Writer) -> None:
        while not reader.at_eof():
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split(b" ")[1].decode().strip("/")
            if name in ANSWERS:
                await _say(writer, ANSWERS[name])
            else:
                await getattr(faults, name)(reader, writer)
            if "redirect" not in name:
                return

    async with raw_server(serve, tls) as url:
        yield url
