"""A look at what is no implementation, or not the right one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from servers.onebot import Implementation
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from waiting import put_ahead, until

from webqq_tornado import HTTPStream
from webqq_tornado.client.onebot.check import Findings, check


class Page(RequestHandler):
    def get(self) -> None:
        self.write("<html>hello</html>")

    post = get


class Mute(WebSocketHandler):
    is_asked = False

    def on_message(self, message: str | bytes) -> None:
        type(self).is_asked = True


class Echo(Mute):
    def on_message(self, message: str | bytes) -> None:
        super().on_message(message)
        self.write_message(message)


class Twelve(Mute):
    def open(self) -> None:
        self.write_message(json.dumps({"type": "meta", "detail_type": "connect", "time": 1.5}))


@contextmanager
def served(handler: type[RequestHandler]) -> Iterator[int]:
    """The port of a server."""
    server = HTTPServer(Application([(r".*", handler)], log_function=lambda _: None))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    yield sockets[0].getsockname()[1]
    server.stop()


async def looked_at(url: str, token: str = "", timeout: float = 20.0) -> Findings:
    async with HTTPStream() as stream:
        return await check(stream, url, token, timeout=timeout)


@pytest.mark.parametrize("refuses", ["http", "frame", "1008"])
@pytest.mark.parametrize(("token", "words"), [("", "asks for a token"), ("x", "refuses the token")])
async def test_a_wrong_token_is_told_however_it_is_refused(refuses: str, token: str, words: str):
    async with Implementation("secret") as here:
        here.refuses = refuses
        assert words in (await looked_at(here.ws, token)).problem


async def test_a_web_server_is_told_from_an_implementation():
    with served(Page) as port:
        assert "a web server is there" in (await looked_at(f"ws://127.0.0.1:{port}")).problem
        problem = (await looked_at(f"http://127.0.0.1:{port}")).problem
    assert "does not answer as an implementation does" in problem


@pytest.mark.parametrize("handler", [Echo, Twelve])
async def test_what_speaks_something_else_is_no_implementation(handler, caplog):
    with served(handler) as port:
        looking = asyncio.ensure_future(looked_at(f"ws://127.0.0.1:{port}"))
        await until(lambda: handler.is_asked)
        await until(lambda: handler is Echo or "OneBot 12" in caplog.text)
        put_ahead(20)
        found = await looking
    assert "is it an implementation of OneBot 11?" in found.problem
    assert ("OneBot 12" in caplog.text) == (handler is Twelve)
    caplog.clear()


async def test_nobody_there_is_said_without_the_words_of_a_request():
    problem = (await looked_at("ws://127.0.0.1:1")).problem
    assert problem.startswith("connecting failed")


async def test_for_a_reverse_connection_the_url_for_its_settings_is_told():
    found = await looked_at("reverse://127.0.0.1:0", timeout=0.05)
    assert "put this URL into its settings" in found.problem
    assert found.url.startswith("ws://127.0.0.1:")
    assert ":0/" not in found.url
