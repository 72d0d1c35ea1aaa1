"""Applications of OneBot 11: programs that drive an account of our server, without a framework."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, websocket_connect
from websockets.asyncio.server import ServerConnection, serve

from servers.town import Town
from webqq_tornado.server.onebot.settings import OneBotSettings

TOKEN = "a-token"


def drive(town: Town, account: int, **settings: object) -> None:
    """Let applications drive an account."""
    parsed = OneBotSettings.parse({"heartbeat": 0, **settings})
    town.server.onebot.configure(account, parsed)


class Forward:
    """One forward WebSocket."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []

    async def _read(self) -> bool:
        text = await self.socket.read_message()
        if text is None:
            return False
        frame = json.loads(text)
        (self.events if "post_type" in frame else self.answers).append(frame)
        return True

    async def event(self, kind: str = "message") -> dict[str, Any]:
        """The next event of a kind."""
        while True:
            for each in self.events:
                if kind in (each["post_type"], each.get(f"{each['post_type']}_type")):
                    self.events.remove(each)
                    return each
            assert await self._read(), "the server closed it"

    async def call(self, action: str, echo: object = "e", **params: object) -> dict[str, Any]:
        """The answer to an action."""
        frame = {"action": action, "params": params, "echo": echo}
        await self.socket.write_message(json.dumps(frame))
        return await self.answer(echo)

    async def answer(self, echo: object) -> dict[str, Any]:
        while True:
            for each in self.answers:
                if each.get("echo") == echo:
                    self.answers.remove(each)
                    return each
            assert await self._read(), "the server closed it"

    async def data(self, action: str, **params: object) -> Any:
        """The data of an action that has to succeed."""
        answer = await self.call(action, **params)
        assert answer["status"] == "ok", answer
        return answer["data"]


@asynccontextmanager
async def forward(
    town: Town, account: int, path: str = "/", token: str = "", **headers: str
) -> AsyncIterator[Forward]:
    """An application that connects."""
    url = f"{town.server.url.replace('http', 'ws')}/onebot/{account}{path}"
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    socket = await websocket_connect(HTTPRequest(url, headers={**bearer, **headers}))
    try:
        yield Forward(socket)
    finally:
        socket.close()
        while await socket.read_message() is not None:
            pass


async def ask(town: Town, account: int, path: str, body: object = None, **headers: str) -> Any:
    """An action by HTTP."""
    method = "GET" if body is None else "POST"
    sent = body if isinstance(body, (str, bytes, type(None))) else json.dumps(body)
    kind = {} if body is None else {"Content-Type": "application/json"}
    response: HTTPResponse = await AsyncHTTPClient().fetch(
        f"{town.server.url}/onebot/{account}{path}",
        method=method,
        body=sent,
        headers={**kind, **{name.replace("_", "-"): value for name, value in headers.items()}},
        raise_error=False,
    )
    return response


class Reverse:
    """An application that the server connects to."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.url = ""

    async def __call__(self, connection: ServerConnection) -> None:
        self.connections.put_nowait(connection)
        await connection.wait_closed()


@asynccontextmanager
async def reverse(port: int = 0) -> AsyncIterator[Reverse]:
    """An application that listens."""
    app = Reverse()
    async with serve(app, "127.0.0.1", port) as server:
        app.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        yield app


class Posts:
    """An application that events are posted to."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[tuple[dict[str, Any], dict[str, str], bytes]] = asyncio.Queue()
        self.answers: dict[str, object] = {}
        self.status = 200
        self.url = ""

    async def event(self, kind: str = "message") -> tuple[dict[str, Any], dict[str, str], bytes]:
        while True:
            event, headers, body = await self.heard.get()
            if kind in (event["post_type"], event.get(f"{event['post_type']}_type")):
                return event, headers, body


class _Post(RequestHandler):
    def post(self) -> None:
        app = self.application.settings["app"]
        event = json.loads(self.request.body)
        if app.status != 200:
            self.set_status(app.status)
            return
        app.heard.put_nowait((event, dict(self.request.headers), self.request.body))
        answer = app.answers.get(event["post_type"])
        if answer is None:
            self.set_status(204)
        else:
            self.write(json.dumps(answer))


@asynccontextmanager
async def posts() -> AsyncIterator[Posts]:
    """An application that listens for POSTs."""
    app = Posts()
    server = HTTPServer(Application([("/", _Post)], app=app))
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    app.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
    yield app
    server.stop()
    await server.close_all_connections()
