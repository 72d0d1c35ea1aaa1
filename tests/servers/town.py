"""A WebQQ server with people in it, for the tests' own loop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from webqq_tornado import HTTPStream
from webqq_tornado.client import Client, Store
from webqq_tornado.client.state import ClientEvent
from webqq_tornado.protocol import forms, hashes, smartqq, webqq3
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3
from webqq_tornado.protocol.endpoints import REFERER_D, Endpoints
from webqq_tornado.protocol.exchange import Call
from webqq_tornado.protocol.models import Secret, Session
from webqq_tornado.server import Storage, WebQQServer

PASSWORD = "correct horse"


class Town:
    """Ann (10001), Bob (10002), who are friends, Eve (10003), and a group of all, "Square"."""

    def __init__(self, path: Path | str = ":memory:", **options: float) -> None:
        self.path, self.options = path, options
        storage = Storage(path)
        self.ann, self.bob, self.eve = (
            storage.accounts.create(nick, PASSWORD).number for nick in ("Ann", "Bob", "Eve")
        )
        storage.friends.befriend(self.ann, self.bob)
        self.square = storage.rooms.create_group("Square", self.ann, [self.bob, self.eve]).number
        self.server = WebQQServer(storage, **options)
        self.port = self.server.listen(0)
        self.stream = HTTPStream()
        self.clients: list[Client] = []

    async def __aenter__(self) -> Town:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in self.clients:
            await client.logout()
        self.stream.close()
        await self.server.close()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The server stops; it is back, on the same port and data, at the end."""
        await self.server.close()
        yield
        self.server = WebQQServer(Storage(self.path), **self.options)
        self.server.listen(self.port)

    def client(
        self, account: int, password: str = PASSWORD, file: Path | None = None
    ) -> tuple[Client, Ear]:
        """A client of ours, not logged in, and what it hears."""
        client = Client(
            self.stream, account, password, Endpoints.at(self.server.url), session_file=file
        )
        self.clients.append(client)
        return client, Ear(client)

    def smart_client(
        self,
        show: Callable[[bytes], object],
        account: int = 0,
        file: Path | None = None,
        store: Store | None = None,
    ) -> tuple[Client, Ear]:
        """A client of ours that speaks SmartQQ, not logged in; `show` gets its QR codes."""
        client = Client(
            self.stream,
            account,
            endpoints=Endpoints.at(self.server.url),
            dialect=SMARTQQ,
            on_qr=show,
            session_file=file,
            store=store,
        )
        self.clients.append(client)
        return client, Ear(client)

    def confirm_as(self, account: int) -> Callable[[bytes], object]:
        """Shows a QR code to somebody who confirms it at once."""

        def show(_png: bytes) -> None:
            self.server.qr.confirm(self.server.qr.all_waiting()[0].id, account)

        return show

    def visitor(self, account: int) -> Visitor:
        """A client by hand."""
        return Visitor(self.server, account)


class Ear:
    """What a client hears, in order."""

    def __init__(self, client: Client) -> None:
        self.heard: asyncio.Queue[ClientEvent] = asyncio.Queue()
        client.on_event(self.heard.put_nowait)

    async def next(self, kind: type) -> ClientEvent:
        """The next of a kind; others are dropped."""
        while True:
            happening = await self.heard.get()
            if isinstance(happening, kind):
                return happening

    def rest(self) -> list[ClientEvent]:
        """What was heard and not asked for."""
        return [self.heard.get_nowait() for _ in range(self.heard.qsize())]


class Visitor:
    """Requests one by one, as an old client would send them, with Tornado's own HTTP client."""

    def __init__(self, server: WebQQServer, account: int) -> None:
        self.server, self.account = server, account
        self.cookies: dict[str, str] = {}
        self.token = ""  # of the page's session
        self.session = Session(0, Secret())
        self.exchanges = WEBQQ3

    async def get(self, path: str, /, **query: object) -> HTTPResponse:
        return await self._fetch(f"{path}?{urlencode(query)}" if query else path)

    async def ask(self, exchange: Call, form: object, **headers: str) -> HTTPResponse:
        """Send an exchange's request as our protocol writes it."""
        request = exchange.request(Endpoints.at(self.server.url), form)
        sent = {**dict(request.header_items()), **headers}
        path = request.full_url.removeprefix(self.server.url)
        body = request.data.decode() if isinstance(request.data, bytes) else None
        return await self._fetch(path, body, sent)

    async def post(
        self, path: str, body: str, referer: str = REFERER_D, agent: str = ""
    ) -> HTTPResponse:
        kind = "application/x-www-form-urlencoded"
        headers = {"Referer": referer, "Content-Type": kind, "User-Agent": agent}
        return await self._fetch(path, body, headers)

    async def proof(self, password: str = PASSWORD) -> forms.LoginForm:
        reply = await self.ask(webqq3.CHECK, forms.CheckForm(self.account))
        check = webqq3.CHECK.parse(reply.body)
        p = hashes.password_hash(password, check.salt, check.code)
        return forms.LoginForm(self.account, p, check.code)

    async def login(self, password: str = PASSWORD) -> str:
        """The words of the login's answer."""
        reply = await self.ask(webqq3.LOGIN, await self.proof(password))
        return reply.body.decode()

    async def enter(self) -> Session:
        """All the way to an open session."""
        await self.login()
        form = forms.Login2Form(12345678, Secret(self.cookies["ptwebqq"]))
        reply = await self.ask(webqq3.LOGIN2, form)
        self.session = webqq3.LOGIN2.parse(reply.body)
        return self.session

    async def enter_smart(self) -> Session:
        """All the way to an open session of SmartQQ, as if a QR code had been confirmed."""
        self.exchanges = SMARTQQ
        ptwebqq = self.server.authenticator.new_ticket(self.account, "smartqq")
        self.cookies["ptwebqq"] = ptwebqq
        reply = await self.ask(smartqq.VFWEBQQ, forms.VfwebqqForm(ptwebqq))
        vfwebqq = smartqq.VFWEBQQ.parse(reply.body)
        form = forms.Login2Form(12345678, ptwebqq)
        session = smartqq.LOGIN2.parse((await self.ask(smartqq.LOGIN2, form)).body)
        self.session = replace(session, vfwebqq=vfwebqq)
        return self.session

    async def poll(self) -> bytes:
        form = forms.PollForm(12345678, self.session.psessionid)
        return (await self.ask(webqq3.POLL, form)).body

    async def news(self, kind: type) -> list[Any]:
        """Events of a kind, of the next poll that has some."""
        while True:
            events = [
                event
                for event in self.exchanges.poll.parse(await self.poll()).events
                if isinstance(event, kind)
            ]
            if events:
                return events

    async def result(self, exchange: Call, form: object) -> Any:
        """What an exchange brings, as JSON."""
        return json.loads((await self.ask(exchange, form)).body)["result"]

    async def _fetch(
        self, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        response = await AsyncHTTPClient().fetch(
            self.server.url + path,
            method="GET" if body is None else "POST",
            body=body,
            headers={**bearer, **(headers or {}), "Cookie": cookie},
            follow_redirects=False,
            raise_error=False,
            request_timeout=25,
        )
        for line in response.headers.get_list("Set-Cookie"):
            found = re.match(r"([^=]+)=([^;]*)", line)
            assert found
            self.cookies[found[1]] = found[2]
        if path in {"/page/signin", "/page/register"} and response.code == 200:
            self.token = json.loads(response.body)["token"]
        return response
