"""WebSockets that go wrong: what waits for them is told, nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator

import pytest
from servers.raw import raw_server
from servers.ws import accepting
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from engine.websocket.test_link import house, taking
from webqq_tornado import ClosedError, ConnectError, HTTPStream, Request, StreamError
from webqq_tornado.auth import BearerAuth
from webqq_tornado.engine.websocket import connection
from webqq_tornado.retry import CircuitBreaker


@contextlib.asynccontextmanager
async def serving(handler: type[WebSocketHandler]) -> AsyncIterator[str]:
    """A server of one kind of sockets; its URL."""
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", handler)], log_function=lambda _: None))
    server.add_sockets(sockets)
    yield f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/"
    server.stop()
    await server.close_all_connections()


class Deaf:
    """Shakes hands when it may, and hears nothing of what follows, until the end."""

    def __init__(self) -> None:
        self.may_answer, self.is_asked = asyncio.Event(), asyncio.Event()
        self.is_left = asyncio.Event()

    async def __call__(self, reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.is_asked.set()
        await self.may_answer.wait()
        writer.write(accepting(head))
        await reader.read()
        self.is_left.set()


async def test_what_waits_to_be_sent_is_told_that_it_will_not_be():
    deaf = Deaf()
    async with raw_server(deaf) as url, HTTPStream() as stream:
        chain = stream.add_request(url.replace("http", "ws"), print)
        waiting = asyncio.ensure_future(wait_for_sent(chain))
        await deaf.is_asked.wait()
        chain.cancel()
        with pytest.raises(ClosedError, match="nothing can be sent"):
            await waiting


async def wait_for_sent(chain):
    await chain.send("x")


async def test_what_is_sent_as_the_server_leaves_is_told_so(caplog):
    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, print, errback=lambda _: None)
        sent = [chain.send("drop"), *(chain.send("x" * 100_000) for _ in range(200))]
        results = await asyncio.wait_for(asyncio.gather(*sent, return_exceptions=True), 60)
        assert all(one is None or isinstance(one, ClosedError) for one in results)
        assert isinstance(results[-1], ClosedError)
        await chain


async def test_who_does_not_wait_for_what_it_sends_need_not_hear_of_it(caplog):
    told = []
    async with house() as app, HTTPStream() as stream:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        chain = stream.add_request(app.url, lambda _: None, errback=lambda _: None)
        await chain.send("hello")
        chain.send("drop")
        for _ in range(200):
            try:
                chain.send("x" * 100_000)
            except ClosedError:
                break
        await chain
        gc.collect()
        await asyncio.sleep(0)
    gc.collect()
    assert not [one for one in told if isinstance(one.get("exception"), ClosedError)]


@pytest.mark.parametrize(("code", "reason"), [(1000, "x" * 124), (999, ""), (1005, ""), (5000, "")])
async def test_a_goodbye_that_cannot_be_said_is_refused(code, reason):
    async with house() as app, HTTPStream() as stream:
        seen = []
        chain = stream.add_request(app.url, taking(2, seen))
        for message in ("before the handshake", "after it"):
            with pytest.raises(ValueError, match=r"123 bytes|1000 to 4999"):
                chain.close_socket(code, reason)
            await chain.send(message)
        await chain
        assert seen == ["before the handshake", "after it"]


@pytest.mark.parametrize("message", [1, None, {"a": 1}])
async def test_what_is_no_message_is_refused(message):
    async with house() as app, HTTPStream() as stream:
        chain = stream.add_request(app.url, taking(1, []))
        with pytest.raises(TypeError, match="text or bytes"):
            chain.send(message)
        chain.send("x")
        await chain


async def test_messages_stay_in_order_around_the_handshake():
    class Told(HTTPStream):
        def tell(self, chain, request, response):
            asyncio.get_running_loop().call_soon(chain.send, "second")

    async with house() as app, Told() as stream:
        stream.observe(stream.tell)
        seen = []
        chain = stream.add_request(app.url, taking(3, seen))
        chain.send("x" * 2**24)
        chain.send("first")
        await chain
        assert seen[1:] == ["first", "second"]


class Echo(WebSocketHandler):
    """Takes no more until what it says is taken."""

    async def on_message(self, message):
        await self.write_message(message)


async def test_what_the_server_says_is_heard_while_much_is_sent():
    seen = []
    async with serving(Echo) as url, HTTPStream() as stream:
        chain = stream.add_request(url, taking(40, seen))
        for _ in range(40):
            chain.send("x" * 2**20)
        await asyncio.wait_for(chain, 60)
    assert len(seen) == 40


async def test_an_open_socket_closes_the_circuit_of_its_host():
    breaker = CircuitBreaker(fail_max=1, reset_timeout=0.01)
    async with house() as app, HTTPStream(breaker=breaker) as stream:
        request = Request(app.url)
        breaker.record(request, ConnectError("made up"))
        await asyncio.sleep(0.02)
        chains = [stream.add_request(request, taking(2, []))]
        await chains[0].send("x")
        chains.append(stream.add_request(request, taking(1, [])))
        await chains[1].send("x")
        await chains[1]
        chains[0].cancel()


async def test_who_observes_is_told_of_an_open_socket():
    async with house() as app, HTTPStream() as stream:
        told = []
        stream.observe(lambda chain, request, outcome: told.append(outcome))
        chain = stream.add_request(app.url, taking(1, []))
        chain.send("x")
        await chain
        assert [one.status for one in told] == [101]
        assert told[0].headers["Upgrade"] == "websocket"


async def test_who_observes_may_end_it():
    async with house() as app, HTTPStream() as stream:
        stream.observe(lambda chain, request, outcome: chain.cancel())
        with pytest.raises(asyncio.CancelledError):
            await stream.add_request(app.url, print)
        assert stream.stats().in_flight == 0


class Greeting(WebSocketHandler):
    def prepare(self):
        self.set_cookie("sid", "from-the-handshake")
        self.set_cookie("evil", "1", domain="other.test")

    def on_message(self, message):
        pass


async def test_cookies_of_the_handshake_are_kept():
    async with serving(Greeting) as url, HTTPStream() as stream:
        chain = stream.add_request(url, print)
        await chain.send("x")
        kept = [(one.name, one.value) for one in stream.cookiejar]
        assert kept == [("sid", "from-the-handshake")]
        chain.cancel()


async def test_what_a_socket_cannot_have_is_no_less_than_said():
    options = {"auth_username": "ann", "auth_password": "x", "auth_mode": "digest"}
    async with house() as app, HTTPStream() as stream:
        with pytest.raises(ValueError, match="a WebSocket cannot have"):
            await stream.fetch(Request(app.url, **options))
    async with house() as app, HTTPStream(defaults=options) as stream:
        with pytest.raises(ValueError, match="a WebSocket cannot have"):
            await stream.fetch(app.url)


async def test_a_fetch_of_a_socket_says_that_it_has_no_response():
    async with house() as app, HTTPStream() as stream:
        fetching = asyncio.ensure_future(stream.fetch(app.url))
        await asyncio.sleep(0)
        next(iter(stream.chains)).send("bye 1000")
        with pytest.raises(StreamError, match="no response"):
            await fetching


async def test_close_of_the_stream_waits_for_no_goodbye(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT", 3600.0)
    deaf = Deaf()
    deaf.may_answer.set()
    async with raw_server(deaf) as url, HTTPStream() as stream:
        chain = stream.add_request(url.replace("http", "ws"), print)
        await chain.send("x")
        chain.close_socket()
        chain.cancel()
        stream.close()
        await asyncio.wait_for(deaf.is_left.wait(), 60)


async def test_a_handshake_that_ends_after_the_stream_leaves_no_socket():
    deaf = Deaf()
    async with raw_server(deaf) as url, HTTPStream() as stream:
        stream.add_request(url.replace("http", "ws"), print)
        await deaf.is_asked.wait()
        stream.close()
        await asyncio.sleep(0)
        deaf.may_answer.set()
        await asyncio.wait_for(deaf.is_left.wait(), 60)


class Members(WebSocketHandler):
    """Lets in who has the new token."""

    def prepare(self):
        if self.request.headers.get("Authorization") != "Bearer new":
            self.set_status(401)
            self.finish()

    async def open(self):
        await self.write_message("welcome")


@pytest.mark.parametrize("token", ["new", "wrong"])
async def test_credentials_that_a_socket_refuses_are_renewed_once(token):
    renewed, seen = [], []

    async def renew():
        renewed.append(token)
        return token

    async with serving(Members) as url, HTTPStream(auth=BearerAuth("old", renew=renew)) as stream:
        errors = []
        await stream.add_request(url, taking(1, seen), errback=errors.append)
    assert renewed == [token]
    assert seen == (["welcome"] if token == "new" else [])
    assert ["401" in str(error) for error in errors] == ([] if seen else [True])
