"""Connections that wait for their next request: closed ones, and what comes there unasked."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter

import pytest
from h2.connection import H2Connection
from servers import http2
from servers.http2 import HTTP2
from servers.nginx import Nginx
from servers.raw import answer, raw_server, requests
from servers.web import Web
from waiting import until

from engine.readers import Reading
from webqq_tornado import HTTPStream, ProtocolError, Request
from webqq_tornado.engine.transport import curl

#: What a server sends behind its answer to /first, and nobody has asked for.
UNASKED = [
    pytest.param(answer(b"to nobody"), id="an answer"),
    pytest.param(answer(b"to nobody") * 2, id="two answers"),
    pytest.param(answer(b"n" * 300_000), id="a large answer"),
    pytest.param(answer(b"", b"Connection: close", status=b"408 Request Timeout"), id="408"),
    pytest.param(answer(b"to nobody")[:20], id="a part of one"),
    pytest.param(b"H", id="one byte"),
    pytest.param(b"\r\n", id="a line break"),
]


class Talking:
    """Says where each answer is from, and something unasked behind that to /first."""

    def __init__(self, unasked: bytes = b"", *, closes: bool = False, at_once: bool = False):
        self._unasked, self._closes, self._at_once = unasked, closes, at_once
        self.asked: Counter[bytes] = Counter()
        self.connections = self.said = 0
        self.may_speak = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        async for head in requests(reader):
            path = head.split(b" ")[1]
            self.asked[path] += 1
            writer.write(answer(b"to " + path))
            if path != b"/first":
                continue
            if not self._at_once:
                await writer.drain()
                await self.may_speak.wait()
            writer.write(self._unasked)
            self.said += 1
            if self._closes:
                return


def context_of(web: Web) -> ssl.SSLContext:
    """For a server that `web.ca` has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(web.certificate)
    return context


def given(url: str, method: str) -> Request:
    return Request(url, method, body=b"order" if method == "POST" else None)


@pytest.mark.parametrize("over", ["http", "https"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("unasked", UNASKED)
async def test_what_comes_while_a_connection_is_idle_answers_no_request(
    web: Web, unasked: bytes, method: str, over: str
):
    talking = Talking(unasked)
    tls = context_of(web) if over == "https" else None
    async with raw_server(talking, tls) as url, HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        assert (await stream.fetch(f"{url}/first")).body == b"to /first"
        talking.may_speak.set()
        await until(lambda: talking.said)
        other = stream.session("somebody else")
        for path in ("/second", "/third"):
            response = await stream.fetch(given(url + path, method), session=other)
            assert response.text == f"to {path}"
    assert max(talking.asked.values()) == 1


@pytest.mark.parametrize("unasked", UNASKED)
async def test_what_lies_behind_an_answer_over_tls_answers_no_get(web: Web, unasked: bytes):
    """OpenSSL has read it together with the answer, and nobody can see it there."""
    talking = Talking(unasked, at_once=True)
    async with (
        raw_server(talking, context_of(web)) as url,
        HTTPStream(defaults={"ca_certs": web.ca}) as stream,
    ):
        for path in ("/first", "/second", "/third"):
            assert (await stream.fetch(url + path)).text == f"to {path}"


@pytest.mark.parametrize("unasked", UNASKED)
async def test_a_post_never_gets_what_lies_behind_an_answer_over_tls(web: Web, unasked: bytes):
    talking = Talking(unasked, at_once=True)
    async with (
        raw_server(talking, context_of(web)) as url,
        HTTPStream(defaults={"ca_certs": web.ca}) as stream,
    ):
        await stream.fetch(f"{url}/first")
        try:
            response = await stream.fetch(given(f"{url}/second", "POST"))
        except ProtocolError:
            pass  # it was sent, and whether it was worked on nobody knows
        else:
            assert response.text == "to /second"
        assert (await stream.fetch(given(f"{url}/third", "POST"))).text == "to /third"
    assert max(talking.asked.values()) == 1


async def test_neither_sink_nor_stream_gets_what_lies_behind_an_answer_over_tls(web: Web):
    talking = Talking(answer(b"to nobody"), at_once=True)
    chunks: list[bytes] = []
    lines: list[str] = []
    heard = {"sink": chunks.append, "on_header_line": lines.append}
    async with (
        raw_server(talking, context_of(web)) as url,
        HTTPStream(defaults={"ca_certs": web.ca}) as stream,
    ):
        await stream.fetch(f"{url}/first")
        await stream.fetch(Request(f"{url}/second", **heard))
        await stream.fetch(f"{url}/first")
        async with stream.open(f"{url}/third") as response:
            assert await response.stream.read() == b"to /third"
    assert b"".join(chunks) == b"to /second"
    assert len([line for line in lines if line.startswith("HTTP/")]) == 1


async def test_a_fast_server_over_tls_is_not_taken_for_one_that_answers_early(
    nginx: Nginx, web: Web
):
    """Of nginx on the same machine many answers are there in the call that sends the request."""
    seen: Counter[str] = Counter()

    def read(response):
        seen[response.text] += 1
        return (response.request, read) if seen.total() < 2000 else None

    async with HTTPStream(defaults={"ca_certs": web.ca, "http_version": "1.1"}) as stream:
        for _ in range(16):
            stream.add_request(f"{nginx.https}/connection", read)
    assert stream.stats().errors == 0
    assert len(seen) <= 16


@pytest.mark.parametrize("over", ["http", "https", "unix"])
@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_idle_connections_that_the_server_has_closed_cost_no_request(
    web: Web, tmp_path, method: str, count: int, over: str
):
    talking = Talking(closes=True)
    path = str(tmp_path / "socket") if over == "unix" else None
    tls = context_of(web) if over == "https" else None
    defaults = {"ca_certs": web.ca, "unix_socket": path}
    async with raw_server(talking, tls, path=path) as url, HTTPStream(defaults=defaults) as stream:
        first = (stream.fetch(f"{url}/first") for _ in range(count))
        await asyncio.gather(*first)
        talking.may_speak.set()
        await until(lambda: talking.said == count)
        fetches = (stream.fetch(given(f"{url}/{n}", method)) for n in range(count))
        bodies = [response.text for response in await asyncio.gather(*fetches)]
    assert bodies == [f"to /{n}" for n in range(count)]
    assert max(talking.asked[b"/%d" % n] for n in range(count)) == 1


async def test_any_number_of_connections_may_have_been_closed(monkeypatch):
    monkeypatch.setattr(curl, "EVENTS_AT_ONCE", 1)
    talking, count = Talking(closes=True), 30
    async with raw_server(talking) as url, HTTPStream() as stream:
        first = (stream.fetch(f"{url}/first") for _ in range(count))
        await asyncio.gather(*first)
        talking.may_speak.set()
        await until(lambda: talking.said == count)
        fetches = (stream.fetch(given(f"{url}/{n}", "POST")) for n in range(count))
        await asyncio.gather(*fetches)


EXCESS = [
    pytest.param("GET", answer(b"to /first"), id="Content-Length"),
    pytest.param("HEAD", answer(b"to /first").removesuffix(b"to /first"), id="HEAD"),
    pytest.param("GET", b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
    pytest.param("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", id="304"),
    pytest.param(
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nto /first\r\n0\r\n\r\n",
        id="chunked",
    ),
]


@pytest.mark.parametrize("over", ["http", "https"])
@pytest.mark.parametrize("in_one", [True, False], ids=["in one piece", "in two"])
@pytest.mark.parametrize(
    "excess", [answer(b"to nobody"), b"x", b"\r\n"], ids=["answer", "x", "\\n"]
)
@pytest.mark.parametrize(("method", "first"), EXCESS)
async def test_what_is_behind_the_end_of_an_answer_belongs_to_no_request(
    web: Web, method: str, first: bytes, excess: bytes, in_one: bool, over: str
):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            path = head.split(b" ")[1]
            if path != b"/first":
                writer.write(answer(b"to " + path))
            elif in_one:
                writer.write(first + excess)
            else:
                writer.write(first)
                writer.write(excess)

    tls = context_of(web) if over == "https" else None
    async with raw_server(serve, tls) as url, HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        response = await stream.fetch(Request(f"{url}/first", method))
        assert response.body == (
            b"to /first" if response.status == 200 and method == "GET" else b""
        )
        for path in ("/second", "/third"):
            assert (await stream.fetch(url + path)).text == f"to {path}"


STRAY = answer(b"nobody's")


class Held:
    """A handler that answers by the path; `/busy` when it is told so. Keeps the writers."""

    def __init__(self) -> None:
        self.writers: dict[str, asyncio.StreamWriter] = {}
        self.is_asked = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            self.writers[path] = writer
            if path == "/busy":
                self.is_asked.set()
            else:
                writer.write(answer(path.encode()))


async def test_a_request_from_a_task_does_not_get_what_lies_in_an_idle_connection():
    held, reading = Held(), Reading()
    async with raw_server(held) as url, HTTPStream() as stream:
        busy = stream.add_request(f"{url}/busy", reading)
        await held.is_asked.wait()
        await stream.fetch(f"{url}/idle")
        held.writers["/busy"].write(answer(b"/busy")[:20])  # its connection is not free
        held.writers["/idle"].write(STRAY)
        await asyncio.sleep(0)  # both are seen in the turn that begins now
        response = await stream.fetch(Request(f"{url}/next", "POST"))
        held.writers["/busy"].write(answer(b"/busy")[20:])
        await busy
    assert response.body == b"/next"
    assert [response.body for response in reading.responses] == [b"/busy"]


@pytest.mark.parametrize("unasked", UNASKED)
@pytest.mark.parametrize("closes", [False, True])
async def test_what_comes_while_more_is_expected_answers_no_request(unasked: bytes, closes: bool):
    server = Talking(unasked, closes=closes)
    async with raw_server(server) as url, HTTPStream() as stream:
        stream._transport.expect_more(True)
        assert (await stream.fetch(f"{url}/first")).text == "to /first"
        server.may_speak.set()
        await until(lambda: server.said)
        assert (await stream.fetch(Request(f"{url}/second", "POST"))).text == "to /second"
        stream._transport.expect_more(False)
        assert (await stream.fetch(f"{url}/third")).text == "to /third"
        assert server.asked == {b"/first": 1, b"/second": 1, b"/third": 1}


async def test_what_http_2_says_while_more_is_expected_does_not_keep_the_loop_busy():
    server = HTTP2(after=http2.ping)
    defaults = {"http_version": "2-prior-knowledge"}
    async with raw_server(server) as url, HTTPStream(defaults=defaults) as stream:
        transport = stream._transport
        transport.expect_more(True)
        assert (await stream.fetch(f"{url}/first")).text == "to /first"
        own = {lane._wake_up for lane in transport._lanes}
        await server.idle.wait()
        await until(lambda: transport._idle.fds)
        assert not transport.watched.keys() - own
        assert (await stream.fetch(f"{url}/second")).text == "to /second"
        assert server.connections == 1


@pytest.mark.parametrize("expects", [False, True])
async def test_a_request_that_libcurl_repeats_does_not_get_what_lies_in_an_idle_connection(
    expects: bool,
):
    writers: list[asyncio.StreamWriter] = []
    are_two, asked = asyncio.Event(), []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while b"/again" not in await reader.readuntil(b"\r\n\r\n"):
            if len(writers) == 2:
                are_two.set()
            await are_two.wait()
            writer.write(answer(b"first"))
        asked.append(writer)
        if len(asked) > 1:
            writer.write(answer(b"again"))
            return
        writer.write_eof()  # the connection that is used dies: libcurl goes on to the other one
        writers[writer is writers[0]].write(STRAY)

    async with raw_server(handler) as url, HTTPStream() as stream:
        stream._transport.expect_more(expects)
        await asyncio.gather(stream.fetch(url), stream.fetch(url))
        response = await stream.fetch(f"{url}/again")
    assert response.body == b"again"
    assert len(asked) == 2


class Together:
    """A handler that answers the first requests of two connections when both have come."""

    def __init__(self, first: bytes, second: bytes | None) -> None:
        self._said = {"/first": first, "/second": second}
        self.asked: list[str] = []
        self._writers: dict[str, asyncio.StreamWriter] = {}

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            path = head.split()[1].decode()
            self.asked.append(path)
            if path in self._writers or path not in self._said:
                writer.write(answer(path.encode()))
                continue
            self._writers[path] = writer
            if len(self._writers) == 2:
                self._answer()

    def _answer(self) -> None:
        for path, said in self._said.items():
            if said is None:
                self._writers[path].write_eof()
            else:
                self._writers[path].write(said)


#: libcurl reads it to its last byte, and nothing of what is behind it.
LARGE_AND_STRAY = answer(b"x" * 70_000) + STRAY


async def test_a_request_that_libcurl_repeats_does_not_get_what_lies_behind_an_answer():
    """Of that which has ended in the same turn."""
    together = Together(LARGE_AND_STRAY, None)
    async with raw_server(together) as url, HTTPStream() as stream:
        await asyncio.gather(stream.fetch(f"{url}/open"), stream.fetch(f"{url}/open"))
        first, second = await asyncio.gather(
            stream.fetch(f"{url}/first"), stream.fetch(f"{url}/second")
        )
    assert (len(first.body), second.body) == (70_000, b"/second")


async def test_a_number_that_was_http_2s_is_looked_after_as_that_of_http_1():
    """The socket is closed, and another has its number, before its transfer is looked at."""
    writers: list[asyncio.StreamWriter] = []
    may_speak, has_spoken = asyncio.Event(), asyncio.Event()

    def half(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
        http.send_headers(stream, [(":status", "200")])
        http.send_data(stream, b"half")
        writers.append(writer)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            path = head.split()[1].decode()
            if path == "/again" and len(writers) == 1:
                writers.append(writer)  # and libcurl asks again
                continue
            writer.write(answer(path.encode()))
            if path == "/again":
                await may_speak.wait()
                writer.write(STRAY)
                has_spoken.set()

    async with raw_server(HTTP2(half)) as http2, raw_server(serve) as url, HTTPStream() as stream:
        lines: list[str] = []
        lost = Request(
            f"{http2}/lost", http_version="2-prior-knowledge", on_header_line=lines.append
        )
        broken = stream.add_request(lost, errback=lambda _: None)
        await until(lambda: lines)
        await stream.fetch(f"{url}/open")
        again = stream.add_request(f"{url}/again")
        await until(lambda: len(writers) == 2)
        for writer in writers:
            writer.transport.abort()
        await broken
        await again
        may_speak.set()
        await has_spoken.wait()
        assert (await stream.fetch(f"{url}/next")).body == b"/next"
