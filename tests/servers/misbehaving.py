"""A server that misbehaves as it is asked to: `/NAME` is a function below, one fault each."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import struct
from collections.abc import AsyncIterator
from socket import SO_LINGER, SOL_SOCKET

from servers.raw import raw_server

OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"Content-Length: 100\r\n\r\n"
_ZIPPED = gzip.compress(bytes(range(256)) * 400)

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
    """One method for each fault; gets the connection once the request's head has come."""

    async def reset_before_headers(self, reader: Reader, writer: Writer) -> None:
        _reset(writer)

    async def reset_in_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-")
        _reset(writer)

    async def reset_in_body(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, BODY, b"half")
        _reset(writer)

    async def close_before_headers(self, reader: Reader, writer: Writer) -> None:
        pass

    async def close_in_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Type: text/")

    async def close_in_a_chunk(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Transfer-Encoding: chunked\r\n\r\n", b"64\r\nhalf")

    async def close_before_the_last_chunk(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhalf\r\n")

    async def short_body(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, BODY, b"half")

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

    async def no_number_for_a_status(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"HTTP/1.1 fine\r\n\r\n")

    async def unknown_version(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"HTTP/7.3 200 OK\r\n\r\n")

    async def http_0_9(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"<html>hello</html>")

    async def giant_header(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"X-Giant: " + b"x" * 2_000_000 + b"\r\n\r\n")

    async def many_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"X: y\r\n" * 50_000, b"\r\n")

    async def endless_headers(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK)
        while True:
            await _say(writer, b"X-More: and more\r\n" * 100)

    async def conflicting_lengths(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Length: 4\r\nContent-Length: 8\r\n\r\n", b"halfhalf")

    async def length_and_chunks(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer,
            OK,
            b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\n",
        )

    async def negative_length(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Length: -5\r\n\r\n", b"half")

    async def huge_length(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Content-Length: 99999999999999999999999\r\n\r\n", b"half")

    async def bad_chunk_size(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, OK, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nhalf\r\n0\r\n\r\n")

    async def corrupt_gzip(self, reader: Reader, writer: Writer) -> None:
        body = _ZIPPED[:100] + b"\0\xff" * 50 + _ZIPPED[200:]
        await self._encoded(writer, b"gzip", body)

    async def no_gzip_at_all(self, reader: Reader, writer: Writer) -> None:
        await self._encoded(writer, b"gzip", b"this was never compressed")

    async def truncated_gzip(self, reader: Reader, writer: Writer) -> None:
        await self._encoded(writer, b"gzip", _ZIPPED[: len(_ZIPPED) // 2])

    async def corrupt_brotli(self, reader: Reader, writer: Writer) -> None:
        await self._encoded(writer, b"br", b"\xff\xff\xff\xff this is none")

    async def truncated_brotli(self, reader: Reader, writer: Writer) -> None:
        await self._encoded(writer, b"br", b"\x0b\x05\x80hello")

    async def _encoded(self, writer: Writer, how: bytes, body: bytes) -> None:
        head = b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (how, len(body))
        await _say(writer, OK, head, body)

    async def redirect_to_itself(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer, b"HTTP/1.1 302 F\r\nLocation: /redirect_to_itself\r\nContent-Length: 0\r\n\r\n"
        )

    async def redirect_to_a_file(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer, b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
        )

    async def redirect_to_nowhere(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer, b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        )

    async def flood_of_1xx(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"HTTP/1.1 102 Wait\r\n\r\n" * 50_000, OK, BODY)

    async def some_1xx(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer,
            b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 3,
            OK,
            b"Content-Length: 4\r\n\r\nhalf",
        )

    async def refusal_during_upload(self, reader: Reader, writer: Writer) -> None:
        await _say(
            writer, b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
        )
        writer.write_eof()
        await asyncio.wait({asyncio.ensure_future(_for_ever(reader))}, timeout=1)

    async def refusal_and_reset_during_upload(self, reader: Reader, writer: Writer) -> None:
        await _say(writer, b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read(1)


@contextlib.asynccontextmanager
async def misbehaving() -> AsyncIterator[str]:
    """Serve all of them; gives the address."""
    faults = Faults()

    async def serve(reader: Reader, writer: Writer) -> None:
        while not reader.at_eof():
            head = await reader.readuntil(b"\r\n\r\n")
            name = head.split(b" ")[1].decode().strip("/")
            await getattr(faults, name)(reader, writer)
            if "redirect" not in name:
                return

    async with raw_server(serve) as url:
        yield url
