"""RFC 6455, sections 5 to 8, frame by frame, from a server that says what it is told."""

from __future__ import annotations

import asyncio
import zlib
from typing import NamedTuple

import pytest
from servers.raw import raw_server
from servers.ws import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Sending,
    accepting,
    closing,
    frame,
    frames,
)

from webqq_tornado import (
    Chain,
    ClosedError,
    HTTPStream,
    ProtocolError,
    Request,
    StreamError,
    TooLargeError,
)

BYE = closing(1000)
DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return (squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]


def finished(data: bytes) -> bytes:
    """Compressed, with a final block (RFC 7692, 7.2.3.4)."""
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush() + b"\0"


class Exchange(NamedTuple):
    """What came of a conversation."""

    seen: list[str | bytes]
    errors: list[StreamError]
    heard: list[tuple[int, bytes]]
    chain: Chain


async def exchange(*data: bytes, lines: tuple[str, ...] = (), **options) -> Exchange:
    server, seen, errors = Sending(*data, lines=lines), [], []
    async with raw_server(server) as url, HTTPStream() as stream:
        chain = stream.add_request(
            Request(url.replace("http", "ws"), **options),
            lambda message: seen.append(message.data),
            errback=errors.append,
        )
        await chain
        await server.is_left.wait()
    return Exchange(seen, errors, server.heard, chain)


RIGHT = {
    "text": (frame(TEXT, b"hi"), ["hi"]),
    "empty text": (frame(TEXT), [""]),
    "bytes": (frame(BINARY, b"\x00\xff"), [b"\x00\xff"]),
    "126 bytes": (frame(TEXT, b"x" * 126), ["x" * 126]),
    "65,536 bytes": (frame(BINARY, b"x" * 65536), [b"x" * 65536]),
    "two in one segment": (frame(TEXT, b"1") + frame(TEXT, b"2"), ["1", "2"]),
    "fragments": (frame(TEXT, b"a", fin=False) + frame(CONT, b"b"), ["ab"]),
    "empty fragments": (
        frame(TEXT, fin=False) + frame(CONT, b"", fin=False) * 9 + frame(CONT),
        [""],
    ),
    "a character in two fragments": (
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"\xac"),
        ["€"],
    ),
    "a ping between fragments": (
        frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONT, b"b"),
        ["ab"],
    ),
    "a pong that nobody asked for": (frame(PONG, b"x") + frame(TEXT, b"a"), ["a"]),
    "what comes after the goodbye": (frame(TEXT, b"a") + BYE + frame(TEXT, b"b"), ["a"]),
    "a goodbye without a code": (frame(CLOSE), []),
}


@pytest.mark.parametrize("name", RIGHT)
async def test_what_is_right_is_read(name):
    data, messages = RIGHT[name]
    came = await exchange(data, BYE)
    assert came.seen == messages
    assert came.errors == []
    assert came.heard[-1][0] == CLOSE


WRONG = {
    "RSV1 without an extension": (frame(TEXT, b"a", rsv=4), 1002),
    "RSV2": (frame(TEXT, b"a", rsv=2), 1002),
    "RSV3": (frame(TEXT, b"a", rsv=1), 1002),
    "an opcode for data that is none": (frame(3, b"a"), 1002),
    "an opcode for control that is none": (frame(11), 1002),
    "a masked frame": (frame(TEXT, b"a", mask=b"abcd"), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a close frame of 126 bytes": (closing(1000, b"x" * 124), 1002),
    "a ping in fragments": (frame(PING, b"a", fin=False), 1002),
    "a continuation of nothing": (frame(CONT, b"a"), 1002),
    "a message within a message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "a goodbye within a message": (frame(TEXT, b"a", fin=False) + BYE, 1002),
    "a close frame of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a close code of 999": (closing(999), 1002),
    "a close code of 1005": (closing(1005), 1002),
    "a close code of 1006": (closing(1006), 1002),
    "a close code of 5000": (closing(5000), 1002),
    "a reason that is no UTF-8": (closing(1000, b"\xff"), 1007),
    "text that is no UTF-8": (frame(TEXT, b"\xff"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "half a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "fragments that are no UTF-8": (frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"a"), 1007),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_an_error_and_the_server_is_told(name):
    data, code = WRONG[name]
    came = await exchange(frame(TEXT, b"good"), data, frame(TEXT, b"bad"), BYE)
    assert came.seen == ["good"]
    assert type(came.errors[0]) is ProtocolError
    assert came.errors[0].close_code == came.chain.close_code == code
    assert came.heard == [(CLOSE, came.heard[0][1])]
    assert came.heard[0][1][:2] == code.to_bytes(2, "big")


async def test_pings_are_answered_with_what_they_say():
    came = await exchange(frame(PING, b"1"), frame(PING), frame(PING, b"3" * 125), BYE)
    assert came.heard[:-1] == [(PONG, b"1"), (PONG, b""), (PONG, b"3" * 125)]


async def test_a_flood_of_pings_is_answered_as_far_as_the_server_listens():
    came = await exchange(*(frame(PING, b"%d" % number) for number in range(5000)), BYE)
    assert came.heard[-2] == (PONG, b"4999")
    assert came.errors == []


@pytest.mark.parametrize(
    "code", [1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999]
)
async def test_a_goodbye_that_is_none_is_an_error_with_its_code(code):
    came = await exchange(frame(TEXT, b"a"), closing(code, "wegen 你".encode()))
    assert came.seen == ["a"]
    assert type(came.errors[0]) is ProtocolError
    assert (came.errors[0].close_code, came.errors[0].close_reason) == (code, "wegen 你")
    assert f"code {code} wegen 你" in str(came.errors[0])
    assert came.heard == [(CLOSE, code.to_bytes(2, "big") + "wegen 你".encode())]


@pytest.mark.parametrize(("code", "reason"), [(1000, "thanks"), (1001, "restart")])
async def test_a_goodbye_is_the_end_and_is_told(code, reason):
    came = await exchange(closing(code, reason.encode()))
    assert came.errors == []
    assert (came.chain.close_code, came.chain.close_reason) == (code, reason)


SQUEEZED = {
    "a message": (frame(TEXT, deflated(b"a" * 999), rsv=4), ["a" * 999]),
    "a plain one between": (
        frame(TEXT, deflated(b"a"), rsv=4) + frame(TEXT, b"b") + frame(TEXT, deflated(b"c"), rsv=4),
        ["a", "b", "c"],
    ),
    "an empty one": (frame(TEXT, b"\x00", rsv=4), [""]),
    "in fragments": (
        frame(TEXT, deflated(b"hello")[:3], rsv=4, fin=False) + frame(CONT, deflated(b"hello")[3:]),
        ["hello"],
    ),
    "several, each with a final block": (
        frame(TEXT, finished(b"a"), rsv=4)
        + frame(TEXT, finished(b"b"), rsv=4, fin=False)
        + frame(CONT, finished(b"c" * 3000))
        + frame(TEXT, deflated(b"d"), rsv=4),
        ["a", "b" + "c" * 3000, "d"],
    ),
}


@pytest.mark.parametrize("name", SQUEEZED)
async def test_what_is_compressed_is_read(name):
    data, messages = SQUEEZED[name]
    came = await exchange(data, BYE, lines=DEFLATE)
    assert (came.seen, came.errors) == (messages, [])


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"\xff\xff\xff", rsv=4),
        frame(TEXT, deflated(b"a"), rsv=4, fin=False) + frame(CONT, b"", rsv=4),
        frame(PING, b"", rsv=4),
        frame(TEXT, finished(b"a") + deflated(b"b"), rsv=4),
    ],
    ids=["corrupt", "in a continuation", "in a ping", "behind a final block"],
)
async def test_what_is_compressed_wrongly_is_an_error(data):
    came = await exchange(data, BYE, lines=DEFLATE)
    assert type(came.errors[0]) is ProtocolError
    assert came.errors[0].close_code == 1002


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"x" * 1001),
        frame(BINARY, b"x" * 70_000),
        frame(TEXT, b"x" * 501, fin=False) + frame(CONT, b"x" * 500),
        frame(TEXT, deflated(b"x" * 10_000_000), rsv=4),
        b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
    ],
    ids=["text", "bytes", "fragments", "compressed", "announced"],
)
async def test_a_message_over_the_limit_is_too_large(data):
    came = await exchange(frame(TEXT, b"x" * 1000), data, BYE, lines=DEFLATE, max_body_size=1000)
    assert [len(one) for one in came.seen] == [1000]
    assert type(came.errors[0]) is TooLargeError
    assert came.errors[0].close_code == came.chain.close_code == 1009
    assert "max_body_size" in str(came.errors[0])


async def test_the_limit_is_for_each_message_and_not_for_all():
    came = await exchange(*[frame(TEXT, b"x" * 1000)] * 50, BYE, max_body_size=1000)
    assert len(came.seen) == 50
    assert came.errors == []


class Silent:
    """Answers no ping, says so many words when it gets one, then what it is told."""

    def __init__(self, *data: bytes) -> None:
        self.data = data

    async def __call__(self, reader, writer) -> None:
        writer.write(accepting(await reader.readuntil(b"\r\n\r\n")))
        async for opcode, _ in frames(reader):
            if opcode == PING:
                writer.write(b"".join(self.data))
            elif opcode == CLOSE:
                return


@pytest.mark.parametrize("data", [BYE, frame(TEXT, b"\xff")])
async def test_who_waits_for_a_pong_is_told_when_none_can_come(data):
    async with raw_server(Silent(data)) as url, HTTPStream() as stream:
        chain = stream.add_request(url.replace("http", "ws"), print, errback=lambda _: None)
        await chain.send("x")
        with pytest.raises(ClosedError, match="no pong will come"):
            await chain.ping()


async def test_a_ping_that_nobody_waits_for_leaves_nothing_behind():
    async with (
        raw_server(Silent(frame(PONG, b"2"), frame(TEXT, b"x"))) as url,
        HTTPStream() as stream,
    ):
        said = asyncio.Event()
        chain = stream.add_request(url.replace("http", "ws"), lambda _: said.set())
        await chain.send("x")
        pings = chain._socket._connection._pings
        first, second = chain.ping(), chain.ping()
        second.cancel()
        await asyncio.sleep(0)
        assert list(pings.values()) == [first]
        await first  # the pong to a later one answers it, whoever waits for that
        assert not pings
        await said.wait()
        chain.cancel()


async def test_a_pong_that_answers_nothing_is_let_pass():
    pongs = [frame(PONG, data) for data in (b"99", b"\xff", b"x", b"")]
    async with raw_server(Silent(*pongs, frame(TEXT, b"x"))) as url, HTTPStream() as stream:
        said = asyncio.Event()
        chain = stream.add_request(url.replace("http", "ws"), lambda _: said.set())
        await chain.send("x")
        ping = chain.ping()
        await said.wait()
        assert not ping.done()
        chain.cancel()
