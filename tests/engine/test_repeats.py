"""What is not idempotent reaches a server once, whatever closes when."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Callable

import pytest
from servers import http2
from servers.http2 import HTTP2
from servers.proxies import Proxies
from servers.raw import answer, raw_server, requests
from servers.web import Web
from tornado.httpclient import HTTPRequest

from webqq_tornado import HTTPStream, Multipart, ProtocolError, Request, TLSError
from webqq_tornado.httpclient import HTTPStreamClient, HTTPStreamError

#: What is said instead of an answer, before the end.
LAST_WORDS = {
    "nothing": b"",
    "half a status line": b"HTTP/1.1 2",
    "a line break": b"\r\n",
    "half of the headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "an interim answer": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "no HTTP": b"220 smtp.example.org\r\n",
}


class Losing:
    """Answers the first request of each connection; of /lost it reads the next ones, and ends."""

    def __init__(self, last_words: bytes = b"", *, resets: bool = False) -> None:
        self._last_words, self._resets = last_words, resets
        self.asked: Counter[bytes] = Counter()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            path = head.split(b" ")[1]
            path = path[path.rindex(b"/") :]  # a proxy's has all of the URL
            self.asked[path] += 1
            if path == b"/lost":
                writer.write(self._last_words)
                if self._resets:
                    await writer.drain()
                    reset_of(writer)
                return
            writer.write(answer(b"to " + path, b"Connection: keep-alive"))


def reset_of(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def post_lost(stream: HTTPStream, url: str, **options: object) -> Exception | None:
    """The error of a request whose answer is lost, on a connection that another one has used."""
    await stream.fetch(f"{url}/first")
    try:
        await stream.fetch(Request(f"{url}/lost", **{"method": "POST", **options}))
    except ProtocolError as error:
        return error
    return None


def context_of(web: Web) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(web.certificate)
    return context


@pytest.mark.parametrize("resets", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("over", ["http", "https"])
@pytest.mark.parametrize("last_words", LAST_WORDS.values(), ids=LAST_WORDS.keys())
async def test_a_post_whose_answer_is_lost_is_an_error(
    web: Web, last_words: bytes, over: str, resets: bool
):
    losing = Losing(last_words, resets=resets)
    tls = context_of(web) if over == "https" else None
    async with raw_server(losing, tls) as url, HTTPStream(defaults={"ca_certs": web.ca}) as stream:
        assert await post_lost(stream, url, body=b"order")
        assert stream.stats().in_flight == 0
    assert losing.asked[b"/lost"] == 1


BODIES: dict[str, Callable[[], dict[str, object]]] = {
    "no body": dict,
    "a large one": lambda: {"body": b"o" * 3_000_000},
    "a file": lambda: {"body": io.BytesIO(b"order" * 1000)},
    "an iterator": lambda: {"body": iter([b"or", b"der"])},
    "a function": lambda: {"body": lambda: iter([b"or", b"der"])},
    "multipart": lambda: {"body": Multipart({"order": "1"})},
    "PATCH": lambda: {"method": "PATCH", "body": b"order"},
    "a method of its own": lambda: {"method": "ORDER"},
    "header lines heard": lambda: {"body": b"order", "on_header_line": str},
    "HTTP/1.0": lambda: {"body": b"order", "http_version": "1.0"},
}


@pytest.mark.parametrize("options", BODIES.values(), ids=BODIES.keys())
async def test_whatever_its_body_is(options: Callable[[], dict[str, object]]):
    losing = Losing()
    async with raw_server(losing) as url, HTTPStream() as stream:
        assert await post_lost(stream, url, **options())
    assert losing.asked[b"/lost"] == 1


async def test_as_a_stream():
    losing = Losing()
    async with raw_server(losing) as url, HTTPStream() as stream:
        await stream.fetch(f"{url}/first")
        with pytest.raises(ProtocolError):
            async with stream.open(Request(f"{url}/lost", body=b"order")):
                pytest.fail("there was no answer")
    assert losing.asked[b"/lost"] == 1


async def test_by_tornados_client():
    losing = Losing()
    client = HTTPStreamClient(force_instance=True)
    async with raw_server(losing) as url:
        await client.fetch(f"{url}/first")
        with pytest.raises(HTTPStreamError):
            await client.fetch(HTTPRequest(f"{url}/lost", method="POST", body=b"order"))
    client.close()
    assert losing.asked[b"/lost"] == 1


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("over", ["http", "https"])
async def test_through_a_proxy(web: Web, proxies: Proxies, over: str, scheme: str):
    losing = Losing()
    tls = context_of(web) if over == "https" else None
    port = proxies.http if scheme == "http" else proxies.socks5
    defaults = {"proxy": f"{scheme}://127.0.0.1:{port}", "ca_certs": web.ca}
    async with raw_server(losing, tls) as url, HTTPStream(defaults=defaults) as stream:
        assert await post_lost(stream, url, body=b"order")
    assert losing.asked[b"/lost"] == 1


async def test_by_a_unix_socket(tmp_path):
    losing, path = Losing(), str(tmp_path / "socket")
    async with raw_server(losing, path=path) as url:
        async with HTTPStream(defaults={"unix_socket": path}) as stream:
            assert await post_lost(stream, url, body=b"order")
    assert losing.asked[b"/lost"] == 1


async def test_of_many_to_a_server_that_loses_answers_none_comes_twice():
    asked: Counter[bytes] = Counter()
    chance = random.Random(11)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            asked[head.split(b" ")[1]] += 1
            if chance.random() < 0.1:
                return
            writer.write(answer())
            if chance.random() < 0.1:
                return

    async with raw_server(serve) as url, HTTPStream(max_clients=8) as stream:
        for number in range(500):
            request = Request(f"{url}/{number}", body=b"order")
            stream.add_request(request, None, errback=lambda error: None)
        await stream.drain()
        assert stream.stats().errors > 0
    assert max(asked.values()) == 1


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_is_idempotent_is_sent_again_when_an_old_connection_breaks(method: str):
    lost: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            if b"/lost" in head and not lost:
                lost.append(head)
                return
            writer.write(answer())

    async with raw_server(serve) as url, HTTPStream() as stream:
        await stream.fetch(f"{url}/first")
        body = b"state" if method == "PUT" else None
        assert (await stream.fetch(Request(f"{url}/lost", method, body=body))).body == b"ok"
    assert len(lost) == 1


# -- HTTP/2 -------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def http2_server(server: HTTP2, web: Web, over: str):
    """Its address, and a stream that speaks HTTP/2 with it."""
    context = context_of(web)
    context.set_alpn_protocols(["h2"])
    defaults = {"ca_certs": web.ca} if over == "https" else {"http_version": "2-prior-knowledge"}
    async with raw_server(server, context if over == "https" else None) as url:
        async with HTTPStream(defaults=defaults) as stream:
            yield url, stream


both = pytest.mark.parametrize("over", ["http", "https"])


@both
@pytest.mark.parametrize("action", [http2.close, http2.reset, http2.go_away_after])
async def test_over_http_2_a_post_that_may_have_been_worked_on_is_not_sent_again(
    web: Web, over: str, action
):
    server = HTTP2(action)
    async with http2_server(server, web, over) as (url, stream):
        assert await post_lost(stream, url, body=b"order")
    assert server.asked[b"/lost"] == 1


@both
@pytest.mark.parametrize("action", [http2.refuse, http2.go_away_before])
async def test_over_http_2_a_post_that_was_refused_is_sent_again(web: Web, over: str, action):
    server = HTTP2(action)
    async with http2_server(server, web, over) as (url, stream):
        assert await post_lost(stream, url, body=b"order") is None
    assert server.asked[b"/lost"] == 2


@both
@pytest.mark.parametrize("action", [http2.refuse, http2.go_away_before])
async def test_over_http_2_a_post_that_was_refused_is_sent_again_on_the_first_connection_of_all(
    web: Web, over: str, action
):
    server = HTTP2(action)
    async with http2_server(server, web, over) as (url, stream):
        response = await stream.fetch(Request(f"{url}/lost", body=b"order"))
    assert response.body == b"to /lost"
    assert server.asked[b"/lost"] == 2


async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what is no TLS."""
    await reader.read(1)
    writer.write(answer())


async def test_over_http_2_a_post_that_was_refused_is_sent_again_after_one_without_an_answer(
    web: Web,
):
    server = HTTP2(http2.refuse)
    async with http2_server(server, web, "https") as (url, stream), raw_server(no_tls) as plain:
        with pytest.raises(TLSError):
            await stream.fetch(plain.replace("http:", "https:"))
        response = await stream.fetch(Request(f"{url}/lost", body=b"order"))
    assert response.body == b"to /lost"
    assert server.asked[b"/lost"] == 2


@both
@pytest.mark.parametrize("action", [http2.close, http2.reset, http2.go_away_after])
async def test_over_http_2_a_post_goes_out_anew_after_an_idle_connection_was_closed(
    web: Web, over: str, action
):
    server = HTTP2(after=action)
    async with http2_server(server, web, over) as (url, stream):
        await stream.fetch(f"{url}/first")
        await server.idle.wait()
        response = await stream.fetch(Request(f"{url}/second", body=b"order"))
    assert response.body == b"to /second"
    assert server.asked[b"/second"] == 1


@both
async def test_over_http_2_a_connection_is_kept_on_which_the_server_speaks(web: Web, over: str):
    server = HTTP2(after=http2.ping)
    async with http2_server(server, web, over) as (url, stream):
        await stream.fetch(f"{url}/first")
        await server.idle.wait()
        await stream.fetch(Request(f"{url}/second", body=b"order"))
    assert server.connections == 1
