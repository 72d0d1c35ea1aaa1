"""Many clients of the server, as bare as can be, so that the figures are the server's.

`python -m tests.bench.load idle NUMBER URL PID`, `polls NUMBER URL PID`,
`messages NUMBER RATE SECONDS URL PID`: each prints its figures as JSON. Accounts are those of
`town`: each is friends with the one beside.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

from webqq_tornado.client import Endpoints
from webqq_tornado.protocol import forms, hashes, webqq3
from webqq_tornado.protocol.exchange import Call
from webqq_tornado.protocol.models import Content, Secret, Session

from .accounts import cpu_of, resident
from .town import FIRST, PASSWORD

#: Accounts that sign in at the same time.
AT_ONCE = 50
#: Seconds that what is under way at the end gets to arrive.
PATIENCE = 30.0


class Line:
    """One connection: a request after the other."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self.cookies: dict[str, str] = {}

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    async def ask(self, request: Request) -> bytes:
        """The body of an answer."""
        self.send(request)
        return await self.answer()

    def send(self, request: Request) -> None:
        """Send a request."""
        body = request.data if isinstance(request.data, bytes) else b""
        headers = {**dict(request.header_items()), "Content-Length": str(len(body))}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{request.get_method()} {request.selector} HTTP/1.1\r\nHost: {self._host}\r\n"
        self._writer.write(f"{head}{lines}\r\n".encode() + body)

    async def answer(self) -> bytes:
        """The body of the answer to what was sent first."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        size = 0
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "content-length":
                size = int(value)
            elif name.lower() == "set-cookie":
                cookie, _, value = value.partition(";")[0].partition("=")
                self.cookies[cookie] = value
        return await self._reader.readexactly(size)


class Visitor:
    """An account that signs in by password, polls and sends."""

    def __init__(self, account: int, url: str) -> None:
        self.account = account
        self._at = Endpoints.at(url)
        self.line, self.poll_line = Line(url), Line(url)
        self.session = Session(0, Secret())

    def request(self, exchange: Call[Any], form: object) -> Request:
        """What an exchange sends."""
        return exchange.request(self._at, form)

    async def sign_in(self) -> None:
        """All the way to an open session."""
        await self.line.open()
        asked = self.request(webqq3.CHECK, forms.CheckForm(self.account))
        check = webqq3.CHECK.parse(await self.line.ask(asked))
        p = hashes.password_hash(PASSWORD, check.salt, check.code)
        await self.line.ask(
            self.request(webqq3.LOGIN, forms.LoginForm(self.account, p, check.code))
        )
        form = forms.Login2Form(1, Secret(self.line.cookies["ptwebqq"]))
        reply = await self.line.ask(self.request(webqq3.LOGIN2, form))
        self.session = webqq3.LOGIN2.parse(reply)

    async def hold(self) -> None:
        """Begin a poll."""
        await self.poll_line.open()
        self.poll_line.send(self.poll())

    def poll(self) -> Request:
        """poll2."""
        return self.request(webqq3.POLL, forms.PollForm(1, self.session.psessionid))

    async def friend(self) -> int:
        """The uin of the friend."""
        form = forms.FriendsForm(self.session.vfwebqq)
        reply = await self.line.ask(self.request(webqq3.FRIENDS, form))
        return webqq3.FRIENDS.parse(reply).friends[0].uin


async def _signed_in(number: int, url: str) -> list[Visitor]:
    visitors = [Visitor(account, url) for account in range(FIRST, FIRST + number)]
    for first in range(0, number, AT_ONCE):
        group = visitors[first : first + AT_ONCE]
        await asyncio.gather(*(visitor.sign_in() for visitor in group))
    return visitors


async def _settled(url: str) -> None:
    """Until the server has seen what came before."""
    line = Line(url)
    await line.open()
    for _ in range(3):
        await line.ask(Request(f"{url}/page/static/icon.svg"))
    line.close()


async def idle(number: str, url: str, pid: str) -> dict[str, float]:
    """Memory of the server for connections that ask for nothing."""
    await _settled(url)
    before = resident(int(pid))
    lines = [Line(url) for _ in range(int(number))]
    for first in range(0, len(lines), 500):
        await asyncio.gather(*(line.open() for line in lines[first : first + 500]))
    await _settled(url)
    grown = resident(int(pid)) - before
    return {"grown_mib": grown / 2**20, "each_kib": grown / len(lines) / 1024}


async def polls(number: str, url: str, pid: str) -> dict[str, float]:
    """Memory of the server for accounts that are signed in and poll."""
    await _settled(url)
    before = resident(int(pid))
    visitors = await _signed_in(int(number), url)
    for visitor in visitors:
        visitor.line.close()
    for first in range(0, len(visitors), 500):
        await asyncio.gather(*(visitor.hold() for visitor in visitors[first : first + 500]))
    await _settled(url)
    return {"each_kib": (resident(int(pid)) - before) / len(visitors) / 1024}


class Tally:
    """Who has heard what, and how long it took."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.sent: dict[str, float] = {}
        self.twice = self.refused = 0
        self._quiet = asyncio.Event()

    def heard(self, text: str) -> None:
        """A message has arrived."""
        began = self.sent.pop(text, None)
        if began is None:
            self.twice += 1
        else:
            self.waits.append(time.perf_counter() - began)
        if not self.sent:
            self._quiet.set()

    async def ebb(self) -> None:
        """Wait until nothing is under way."""
        while self.sent:
            self._quiet.clear()
            await self._quiet.wait()


async def _listen(visitor: Visitor, tally: Tally) -> None:
    while True:
        reply = webqq3.POLL.parse(await visitor.poll_line.answer())
        for event in reply.events:
            if content := getattr(event, "content", None):
                tally.heard(content.text)
        visitor.poll_line.send(visitor.poll())


async def _say(visitor: Visitor, to: int, number: int, tally: Tally) -> None:
    text = f"{visitor.account} {number}"
    form = forms.SendForm(to, Content.of(text), number, 1, visitor.session.psessionid)
    tally.sent[text] = time.perf_counter()
    reply = webqq3.SEND_FRIEND.parse(
        await visitor.line.ask(visitor.request(webqq3.SEND_FRIEND, form))
    )
    tally.refused += not reply.is_accepted


async def _talk(visitor: Visitor, to: int, rate: float, seconds: float, tally: Tally) -> None:
    """Messages of one account at its rate; what it is late with when time is up stays unsaid."""
    clock = asyncio.get_running_loop().time
    begin = clock() + visitor.account % 100 / 100 / rate
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - clock()))
        if clock() > begin + seconds:
            return
        await _say(visitor, to, 1_000_000 + number, tally)


async def messages(number: str, rate: str, seconds: str, url: str, pid: str) -> dict[str, float]:
    """Messages between friends at a steady rate: how long each takes from `send` to the poll."""
    visitors = await _signed_in(int(number), url)
    friends = [await visitor.friend() for visitor in visitors]
    await asyncio.gather(*(visitor.hold() for visitor in visitors))
    tally = Tally()
    ears = [asyncio.ensure_future(_listen(visitor, tally)) for visitor in visitors]
    began, cpu = time.perf_counter(), cpu_of(int(pid))
    own = time.process_time()
    each = float(rate) / len(visitors)
    await asyncio.gather(
        *(
            _talk(visitor, to, each, float(seconds), tally)
            for visitor, to in zip(visitors, friends, strict=True)
        )
    )
    took, used = time.perf_counter() - began, cpu_of(int(pid)) - cpu
    own = time.process_time() - own
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(tally.ebb(), PATIENCE)
    for ear in ears:
        ear.cancel()
    ranks = statistics.quantiles(tally.waits, n=100)
    return {
        "heard": len(tally.waits),
        "lost": len(tally.sent),
        "twice": tally.twice,
        "refused": tally.refused,
        "rate": len(tally.waits) / took,
        "p50_ms": ranks[49] * 1e3,
        "p99_ms": ranks[98] * 1e3,
        "max_ms": max(tally.waits) * 1e3,
        "server_cpu": used / took,
        "client_cpu": own / took,
    }


MEASURES: dict[str, Callable[..., Coroutine[Any, Any, dict[str, float]]]] = {
    measure.__name__: measure for measure in (idle, polls, messages)
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(MEASURES[sys.argv[1]](*sys.argv[2:]))))
