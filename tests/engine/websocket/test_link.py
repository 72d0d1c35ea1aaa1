"""WebSockets as links of chains, against Tornado's own server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from descriptors import open_descriptors
from servers.raw import raw_server, saying
from servers.web import Web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler
from waiting import until
from websockets.asyncio.server import serve

from webqq_tornado import (
    ClosedError,
    ConnectError,
    DeadlineError,
    HTTPStream,
    Next,
    ProtocolError,
    Request,
    SocketMessage,
    State,
    TimeoutError,
    TLSError,
)


class Room(WebSocketHandler):
    """Echoes; `bye CODE` closes, `flood` sends without an end, `who` tells the handshake."""

    async def on_message(self, message):
        self.application.heard.append(message)
        if message == "flood":
            with contextlib.suppress(Exception):
                while True:
                    await self.write_message("x" * 65536)
                    self.application.flooded += 65536
        elif message == "who":
            headers = self.request.headers
            named = (headers.get(name, "") for name in ("Cookie", "X-Token", "User-Agent"))
            self.write_message(" | ".join([*named, self.selected_subprotocol or ""]))
        elif isinstance(message, str) and message.startswith("bye"):
            self.close(int(message[4:]) if message[4:] else None, "because")
        elif message == "drop":
            self.ws_connection.stream.close()
        else:
            self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self):
        self.application.closed.put_nowait((self.close_code, self.close_reason))

    def on_ping(self, data):
        self.application.pings.put_nowait(data)

    def select_subprotocol(self, subprotocols):
        return subprotocols[-1] if subprotocols else None


class House(Application):
    def __init__(self, room: type[WebSocketHandler] = Room) -> None:
        super().__init__([("/room", room)], websocket_max_message_size=2**30)
        self.heard: list[str | bytes] = []
        self.closed: asyncio.Queue[tuple[int | None, str | None]] = asyncio.Queue()
        self.pings: asyncio.Queue[bytes] = asyncio.Queue()
        self.flooded = 0
        self.url = ""


@contextlib.asynccontextmanager
async def house(
    tls: ssl.SSLContext | None = None, room: type[WebSocketHandler] = Room
) -> AsyncIterator[House]:
    app = House(room)
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(app, ssl_options=tls)
    server.add_sockets(sockets)
    app.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{sockets[0].getsockname()[1]}/room"
    yield app
    server.stop()
    await server.close_all_connections()


def taking(number: int, into: list) -> Callable[[SocketMessage], object]:
    """A reader of so many messages, which then closes."""

    def read(message: SocketMessage):
        into.append(message.data)
        if len(into) == number:
            message.chain.close_socket()

    return read


async def test_messages_go_both_ways_in_order():
    async with house() as app, HTTPStream() as stream:
        seen: list[str | bytes] = []
        chain = stream.add_request(app.url, taking(4, seen))
        for data in ("one", b"\x00two", "thr€€", "x" * 300_000):
            chain.send(data)
        assert await chain is None
        assert seen == ["one", b"\x00two", "thr€€", "x" * 300_000]
        assert (await app.closed.get())[0] == 1000
        assert stream.stats().done == 1


async def test_a_reader_answers_and_goes_on_with_another_link(web: Web):
    async with house() as app, HTTPStream() as stream:

        def read(message: SocketMessage):
            if message.data == "1":
                message.reply("2")
                return None
            return web.http, lambda _: None

        chain = stream.add_request(app.url, read)
        chain.send("1")
        assert (await chain).status == 200
        assert app.heard == ["1", "2"]
        assert (await app.closed.get())[0] == 1001


async def test_it_may_be_a_link_in_the_middle_of_a_chain(web: Web):
    async with house() as app, HTTPStream() as stream:
        seen: list[str | bytes] = []
        chain = stream.add_request(web.http, lambda _: (app.url, taking(1, seen)))
        while chain._socket is None:
            await stream.fetch(web.http)
        await chain.send("hello")
        await chain
        assert seen == ["hello"]
        assert chain.steps == 2


async def test_a_coroutine_reads_one_after_the_other():
    async with house() as app, HTTPStream() as stream:
        seen = []

        async def read(message):
            await asyncio.sleep(0.001)
            seen.append(message.data)
            if len(seen) == 3:
                message.chain.close_socket()

        chain = stream.add_request(app.url, read)
        for data in "abc":
            chain.send(data)
        await chain
        assert seen == list("abc")


async def test_a_slow_reader_holds_the_sender(caplog):
    async with house() as app, HTTPStream() as stream:
        held = asyncio.Event()

        async def read(message):
            held.set()
            await asyncio.Event().wait()

        chain = stream.add_request(app.url, read)
        chain.send("flood")
        await held.wait()
        last = -1
        while app.flooded != last:
            last = app.flooded
            await asyncio.sleep(0.05)
        assert app.flooded < 2**25
        chain.cancel()


async def test_what_the_handshake_says():
    async with house() as app, HTTPStream() as stream:
        stream.cookiejar.set("sid", "abc", domain="127.0.0.1", subdomains=False)
        stream.cookiejar.set("other", "no", domain="elsewhere.test")
        seen: list[str | bytes] = []
        request = Request(app.url, headers={"X-Token": "t"}, subprotocols=["v1", "v2"])
        chain = stream.add_request(request, taking(1, seen))
        chain.send("who")
        await chain
        assert seen == ["sid=abc | t | webqq_tornado | v2"]


async def test_pings_go_out_while_nothing_is_said():
    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(Request(app.url, ping_interval=0.05), print)
        await app.pings.get()
        await app.pings.get()
        chain.cancel()


async def test_the_server_says_goodbye():
    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, print)
        chain.send("bye 1000")
        assert await chain is None
        assert chain.state is State.DONE


@pytest.mark.parametrize("word", ["bye 1011", "bye 4001", "drop"])
async def test_an_end_that_is_none_is_an_error_for_the_errback(word, caplog):
    async with house() as app, HTTPStream() as stream:
        seen: list[Exception] = []
        chain = stream.add_request(app.url, print, errback=seen.append)
        chain.send(word)
        await chain
        assert isinstance(seen[0], ProtocolError)
        assert {"bye 1011": "1011 because", "bye 4001": "4001", "drop": "1006"}[word] in str(
            seen[0]
        )


async def test_an_errback_connects_again(caplog):
    async with house() as app, HTTPStream() as stream:
        seen: list[str | bytes] = []

        def again(error):
            stream.ioloop.add_callback(lambda: chain.send("back"))
            return Next(app.url, taking(1, seen), delay=0)

        chain = stream.add_request(app.url, print, errback=again)
        chain.send("drop")
        await chain
        assert seen == ["back"]


async def test_cancel_says_goodbye_and_leaves_nothing(web: Web):
    async with house() as app, HTTPStream() as stream:
        await stream.fetch(web.http)
        before = open_descriptors()
        chain = stream.add_request(app.url, print)
        await chain.send("x")
        assert chain.cancel()
        assert (await app.closed.get())[0] == 1001
        with pytest.raises(ClosedError):
            chain.send("y")
        await stream.fetch(web.http)
        await until(lambda: open_descriptors() <= before + 1)
        assert stream.stats().in_flight == 0


async def test_close_of_the_stream_ends_it():
    async with house() as app:
        stream = HTTPStream()
        chain = stream.add_request(app.url, print)
        await chain.send("x")
        stream.close()
        with pytest.raises(ClosedError):
            await chain
        assert (await app.closed.get())[0] == 1001


async def test_a_deadline_holds_for_it_too(caplog):
    async with house() as app, HTTPStream() as stream:
        with pytest.raises(DeadlineError):
            await stream.add_request(app.url, print, deadline=0.05)


async def test_a_reader_that_raises_closes_it(caplog):
    def read(message):
        raise ZeroDivisionError

    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, read)
        chain.send("x")
        with pytest.raises(ZeroDivisionError):
            await chain
        assert (await app.closed.get())[0] == 1001


async def test_nobody_there_is_a_connect_error():
    async with HTTPStream() as stream:
        with pytest.raises(ConnectError, match="connecting failed"):
            await stream.fetch("ws://127.0.0.1:1/")


async def test_a_server_that_does_not_speak_it_is_a_protocol_error(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(ProtocolError, match="404"):
            await stream.fetch(web.http.replace("http", "ws") + "/status/404")


async def test_a_server_that_says_nothing_runs_into_the_timeout():
    async def silent(reader, writer):
        await reader.read()

    async with raw_server(silent) as url, HTTPStream() as stream:
        request = Request(url.replace("http", "ws"), connect_timeout=0.05)
        with pytest.raises(TimeoutError) as caught:
            await stream.fetch(request)
        assert not isinstance(caught.value, DeadlineError)


async def test_what_is_no_http_is_an_error():
    async with raw_server(saying(b"hello\r\n\r\n")) as url, HTTPStream() as stream:
        with pytest.raises(ProtocolError):
            await stream.fetch(url.replace("http", "ws"))


async def test_over_tls(web: Web, caplog):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    async with house(context) as app, HTTPStream() as stream:
        seen: list[str | bytes] = []
        chain = stream.add_request(Request(app.url, ca_certs=web.ca), taking(1, seen))
        chain.send("secret")
        await chain
        assert seen == ["secret"]
        with pytest.raises(TLSError):
            await stream.fetch(app.url)


async def test_a_chain_without_a_socket_cannot_send(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, print)
        with pytest.raises(ClosedError, match="no open WebSocket"):
            chain.send("x")
        await chain


class Squeezing(Room):
    def get_compression_options(self):
        return {}


async def test_messages_are_compressed_where_the_server_takes_it():
    async with house(room=Squeezing) as app, HTTPStream() as stream:
        seen: list[str | bytes] = []
        told = []
        stream.observe(lambda chain, request, outcome: told.append(outcome))
        chain = stream.add_request(app.url, taking(3, seen))
        for data in ("a" * 100_000, b"b" * 100_000, ""):
            chain.send(data)
        await chain
        assert seen == ["a" * 100_000, b"b" * 100_000, ""]
        assert "permessage-deflate" in told[0].headers["Sec-WebSocket-Extensions"]
        request = Request(app.url, decompress_response=False)
        plain = stream.add_request(request, taking(1, []))
        await plain.send("x")
        await plain
        assert "Sec-WebSocket-Extensions" not in told[1].headers


async def test_messages_go_both_ways_with_another_server():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    seen: list[str | bytes] = []
    messages = ["a" * 300_000, b"\x00", "thr€€", "", b""]
    async with serve(echo, "127.0.0.1", 0) as server, HTTPStream() as stream:
        host, port = server.sockets[0].getsockname()
        chain = stream.add_request(f"ws://{host}:{port}/", taking(len(messages), seen))
        for message in messages:
            chain.send(message)
        await chain
    assert seen == messages


async def test_a_pong_tells_that_the_other_side_has_read_all_before():
    async with house() as app, HTTPStream() as stream:
        read: asyncio.Queue[str] = asyncio.Queue()
        chain = stream.add_request(
            app.url, lambda message: read.put_nowait(message.data), errback=lambda _error: None
        )
        chain.send("one")
        assert await read.get() == "one"
        chain.send("two")
        await chain.ping()
        assert app.heard == ["one", "two"]
        chain.send("drop")
        with pytest.raises(ClosedError):
            await chain.ping()
        await chain


async def test_no_ping_goes_where_there_is_no_open_websocket():
    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, lambda _: None)
        with pytest.raises(ClosedError, match="handshake"):
            chain.ping()
        chain.cancel()
        with pytest.raises(ClosedError, match="no open WebSocket"):
            chain.ping()


async def test_the_bytes_of_messages_that_wait_are_counted_and_not_their_letters():
    goes_on = asyncio.Event()
    is_reading = asyncio.Event()

    async def read(_message: SocketMessage) -> None:
        is_reading.set()
        await goes_on.wait()

    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, read)
        chain.send("first")
        await is_reading.wait()
        for _ in range(3):  # less than 256 Ki letters, more than that in bytes
            chain.send("\U0001f427" * 30_000)
        link, held = chain._socket, asyncio.Event()
        hold = link.hold
        link.hold = lambda: (room := hold()) and (held.set() or room)
        await held.wait()
        chain.cancel()
        goes_on.set()
