"""What a soak does all the time: small conversations, each of which has one right end.

Each flow is a coroutine function of the `Ground` that all share. It raises, or notes a problem, if
anything comes out that is not as it should be.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tenacity
from tornado.httpclient import HTTPError, HTTPRequest

from webqq_tornado import (
    Chain,
    ClosedError,
    FilePart,
    Gather,
    HTTPStream,
    Limits,
    Multipart,
    Next,
    Request,
    Response,
    StreamError,
    TimeoutError,
    TLSError,
)
from webqq_tornado.auth import BasicAuth, BearerAuth, DigestAuth, LoginAuth
from webqq_tornado.eventsource import EventSource, JSONLines, each
from webqq_tornado.httpclient import HTTPStreamClient
from webqq_tornado.retry import Retry

_RETRY = Retry(stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random(0.01, 0.1))


@dataclass
class Ground:
    """What the flows share.

    Args:
        stream: the one that all are on.
        client: Tornado's client on the same engine.
        web: doors of the well-behaved server, see `servers.web`.
        soak: doors of the others, see `servers.soak`.
        nginx: of HTTP/2: "h2c" and "https".
        folder: for files.
        refused: a URL where nothing listens.
        chance: what is left to it.

    Attributes:
        problems: how often each thing that must not be has been.
        ends: of single links, by what they came to.
    """

    stream: HTTPStream
    client: HTTPStreamClient
    web: dict[str, Any]
    soak: dict[str, Any]
    nginx: dict[str, str]
    folder: Path
    refused: str
    chance: random.Random
    problems: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def expect(self, holds: object, what: str) -> None:
        """Note a problem unless it holds."""
        if not holds:
            self.problems[what] += 1

    async def outcome(self, request: object, **options: Any) -> Response | Exception:
        """What a chain of one link came to: its reader or its errback is called, once."""
        told: list[Any] = []
        chain = self.stream.add_request(request, told.append, errback=told.append, **options)
        await chain
        self.expect(len(told) == 1, f"{len(told)} outcomes of one link")
        self.ends[type(told[0]).__name__] += 1
        return told[0]  # type: ignore[no-any-return]

    async def good(self, request: object, **options: Any) -> Response:
        """The response, which is there and has a status below 300."""
        response = await self.outcome(request, **options)
        if not isinstance(response, Response) or response.status >= 300:
            raise AssertionError(f"{request!r}: {response!r}")
        return response

    async def bad(self, kind: type[Exception], request: object, **options: Any) -> None:
        """It comes to an error of that kind."""
        error = await self.outcome(request, **options)
        if not isinstance(error, kind):
            raise AssertionError(f"{request!r}: {error!r}, and no {kind.__name__}")

    def ws(self, path: str) -> str:
        """The URL of one of the odd WebSockets."""
        return str(self.soak["sockets"]).replace("http", "ws") + path


Flow = Callable[[Ground], Awaitable[None]]
#: All of them, by name.
FLOWS: dict[str, Flow] = {}


def flow(function: Flow) -> Flow:
    """One more."""
    FLOWS[function.__name__] = function
    return function


# -- requests and their chains ---------------------------------------------------------------------


@flow
async def plain_chain(ground: Ground) -> None:
    """Each answer leads to the next request, one by a relative URL, one after a delay."""
    steps: list[str] = []

    def read(response: Response) -> object:
        steps.append(response.json()["uri"])
        return None if len(steps) == 4 else (f"echo?{len(steps)}", read, len(steps) % 2 * 0.1)

    await ground.stream.add_request(f"{ground.web['http']}/echo?0", read)
    ground.expect(steps == [f"/echo?{n}" for n in range(4)], "steps of a chain")


@flow
async def posts(ground: Ground) -> None:
    """Forms, JSON, uploads."""
    number = str(next(ground.numbers))
    form = ground.stream.make_post_request(f"{ground.web['http']}/form", {"n": number})
    ground.expect((await ground.good(form)).json()["fields"] == [["n", number]], "a form")
    said = ground.stream.make_post_request(f"{ground.web['http']}/echo", json={"n": number})
    body = (await ground.good(said)).json()["body"]
    ground.expect(json.loads(body) == {"n": number}, "a JSON body")
    parts = Multipart({"n": number}, {"f": FilePart(b"x" * 5000, "x.bin")})
    files = (await ground.good(Request(f"{ground.web['http']}/form", body=parts))).json()["files"]
    ground.expect(len(files[0][3]) == 5000, "a multipart body")


@flow
async def polls(ground: Ground) -> None:
    """Polls that are held, each of which leads to the next."""
    seconds, left = ground.chance.uniform(0.5, 2), 3

    def read(response: Response) -> object:
        nonlocal left
        left -= 1
        ground.expect(response.text == "news", "a poll's answer")
        return (response.request, read) if left else None

    await ground.stream.add_request(f"{ground.soak['app']}/poll?seconds={seconds:.2f}", read)
    ground.expect(left == 0, "rounds of a poll")


@flow
async def retries(ground: Ground) -> None:
    """Until it is well, with pauses; or not at all."""
    for how in ("503", "reset"):
        path = f"/flaky/{next(ground.numbers)}?fails=2&how={how}"
        response = await ground.good(f"{ground.soak['app']}{path}", retry=_RETRY)
        ground.expect(response.text == "well after 3", f"retries of {how}: {response.text}")
    await ground.bad(StreamError, ground.refused, retry=_RETRY)


@flow
async def redirects(ground: Ground) -> None:
    """Some hops, to another origin, with a body, and without end."""
    http, other = ground.web["http"], ground.web["other"]
    arrived = await ground.good(f"{http}/hops/4")
    ground.expect(len(arrived.history) == 4, "hops of a redirect")
    url = f"{http}/redirect?status=307&to={other}/echo"
    echoed = await ground.good(Request(url, "POST", body=b"body"))
    ground.expect(echoed.json()["body"] == "body", "a redirected body")
    await ground.bad(StreamError, Request(f"{http}/hops/9", max_redirects=3))


@flow
async def sessions(ground: Ground) -> None:
    """A session of its own, with cookies that nobody else has; then it ends."""
    number = str(next(ground.numbers))
    session = ground.stream.session(f"session-{number}")
    await ground.good(f"{ground.web['http']}/set-cookie?line=n={number}", session=session)
    echoed = await ground.good(f"{ground.web['http']}/echo", session=session)
    headers = dict(echoed.json()["headers"])
    ground.expect(headers.get("Cookie") == f"n={number}", f"cookies: {headers.get('Cookie')}")
    held = ground.stream.add_request(
        f"{ground.soak['app']}/poll?seconds=5", None, session=session, errback=lambda _: None
    )
    session.close()
    with contextlib.suppress(StreamError, asyncio.CancelledError):
        await held
    ground.expect(held.done, "a chain outlives its session")


@flow
async def credentials(ground: Ground) -> None:
    """Basic, digest, a token that is renewed, a login."""
    basic, digest = f"{ground.web['http']}/basic", f"{ground.soak['digest']}/"
    number = next(ground.numbers)
    async with _session(ground, BasicAuth("ann", "right", origin=basic)) as session:
        ground.expect((await ground.good(basic, session=session)).text, "basic authentication")
    async with _session(ground, DigestAuth("ann", "right", origin=digest)) as session:
        for options in ({}, {"body": b"body"}, {}):
            await ground.good(Request(digest, **options), session=session)
    bearer = BearerAuth(renew=lambda: f"token-{number}", origin=ground.web["http"])
    async with _session(ground, bearer) as session:
        echoed = await ground.good(f"{ground.web['http']}/echo", session=session)
        headers = dict(echoed.json()["headers"])
        ground.expect(headers["Authorization"] == f"Bearer token-{number}", "a token")
    login = LoginAuth(lambda: (f"{ground.web['http']}/set-cookie?line=in=1", lambda _: None))
    async with _session(ground, login) as session:
        echoed = await ground.good(f"{ground.web['http']}/echo", session=session)
        ground.expect(dict(echoed.json()["headers"])["Cookie"] == "in=1", "a login")


@contextlib.asynccontextmanager
async def _session(ground: Ground, auth: Any) -> AsyncIterator[Any]:
    session = ground.stream.session(f"auth-{next(ground.numbers)}", auth=auth)
    try:
        yield session
    finally:
        session.close()


def limits(web: dict[str, Any]) -> Limits:
    """The stream's: one host is slow, see `queued`."""
    host = str(web["other"]).partition("//")[2]
    return Limits(hosts={host: Limits(per_host=3, rate_per_host=40, burst=4)})


@flow
async def queued(ground: Ground) -> None:
    """Several at once of which few may go; some are cancelled while they wait."""
    url = f"{ground.web['other']}/bytes/100"
    chains = [ground.stream.add_request(url, lambda _: None, priority=n % 2) for n in range(8)]
    for chain in chains[5:7]:
        chain.cancel()
    ends = await asyncio.gather(*map(_end, chains))
    ground.expect(ends == ["done"] * 5 + ["cancelled"] * 2 + ["done"], f"queued: {ends}")


async def _end(chain: Chain) -> str:
    with contextlib.suppress(asyncio.CancelledError, StreamError):
        await chain
    return str(chain.state.value)


@flow
async def fan_out(ground: Ground) -> None:
    """Links that wait for others, some of which fail; several links, lazily."""
    http, joined = ground.web["http"], []

    def fork(_: Response) -> object:
        links = [f"{http}/bytes/{n}" for n in range(5)] + [ground.refused]
        return Gather(links, joined.extend, return_exceptions=True)

    await ground.stream.add_request(f"{http}/echo", fork)
    sizes = [len(one.body) for one in joined if isinstance(one, Response)]
    ground.expect(sizes == list(range(5)) and len(joined) == 6, f"gathered: {sizes}")
    seen: list[int] = []

    async def several(_: Response) -> AsyncIterator[object]:
        for number in range(6):
            await asyncio.sleep(0)
            yield f"{http}/bytes/{number}", lambda response: seen.append(len(response.body))

    await ground.stream.add_request(f"{http}/echo", several)
    ground.expect(sorted(seen) == list(range(6)), f"several: {seen}")


@flow
async def many_hosts(ground: Ground) -> None:
    """Hosts that nobody has asked before, and nobody will again."""
    port = str(ground.soak["app"]).rpartition(":")[2]
    for _ in range(3):
        number = next(ground.numbers)
        url = f"http://h{number}.localhost:{port}/flaky/{number}?fails=0"
        await ground.good(Request(url, ip_version=4))


@flow
async def pauses(ground: Ground) -> None:
    """A chain that is held up and goes on; a deadline."""
    chain = ground.stream.add_request(f"{ground.web['http']}/echo", lambda _: None, delay=0.05)
    chain.pause()
    await asyncio.sleep(0.1)
    chain.resume()
    ground.expect(await _end(chain) == "done", "a paused chain")
    url = f"{ground.soak['app']}/poll?seconds=30"
    ground.expect(
        await _end(ground.stream.add_request(url, None, deadline=0.2)) == "failed", "deadline"
    )


# -- bodies ----------------------------------------------------------------------------------------


@flow
async def downloads(ground: Ground) -> None:
    """To functions, to files, to loops; some are given up in the middle."""
    url, size = f"{ground.web['http']}/bytes/200000", 200_000
    got: list[int] = []
    await ground.good(Request(url, sink=lambda chunk: got.append(len(chunk))))
    ground.expect(sum(got) == size, "a function's bytes")
    path = ground.folder / f"download-{next(ground.numbers)}"
    await ground.good(Request(url, sink=path))
    ground.expect(path.stat().st_size == size, "a file's bytes")
    path.unlink()
    async with ground.stream.open(f"{url}?chunked") as response:
        count = sum([len(chunk) async for chunk in response.stream])
    ground.expect(count == size, "a stream's bytes")
    async with ground.stream.open(f"{ground.web['http']}/bytes/3000000") as response:
        async for _ in response.stream:
            break


@flow
async def broken_downloads(ground: Ground) -> None:
    """Files of answers that break off, or are refused, are not left behind."""
    path = ground.folder / f"broken-{next(ground.numbers)}"
    for name in ("short_body", "reset_in_a_chunk", "stalled_in_body", "corrupt_gzip"):
        url = f"{ground.soak['faults']}/{name}"
        await ground.bad(StreamError, Request(url, sink=path, request_timeout=0.5))
    ground.expect(not path.exists(), "a broken file has its name")
    path.with_name(path.name + ".part").unlink(missing_ok=True)

    def refuse(_: bytes) -> None:
        raise OSError("full")

    await ground.bad(Exception, Request(f"{ground.web['http']}/bytes/100000", sink=refuse))


@flow
async def uploads(ground: Ground) -> None:
    """From files, generators of both kinds, some of which fail; to a server that refuses."""
    path = ground.folder / f"upload-{next(ground.numbers)}"
    path.write_bytes(b"x" * 60_000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield b"y" * 20_000

    async def broken() -> AsyncIterator[bytes]:
        yield b"z" * 1000
        raise OSError("gone")

    url = f"{ground.web['http']}/echo"
    for body in (path, chunks(), iter([b"x" * 30_000] * 2)):
        echoed = await ground.good(Request(url, "PUT", body=body))
        ground.expect(len(echoed.json()["body"]) == 60_000, "an upload")
    await ground.bad(Exception, Request(url, "PUT", body=broken()))
    fault = f"{ground.soak['faults']}/refusal_during_upload"
    await ground.outcome(Request(fault, "PUT", body=chunks(), request_timeout=0.5))
    path.unlink()


# -- what comes bit by bit -------------------------------------------------------------------------


@flow
async def event_streams(ground: Ground) -> None:
    """Whole ones, one that breaks off, one that is left early."""
    url = f"{ground.soak['app']}/events?count=5"
    seen: list[str] = []
    whole = EventSource(url, lambda event: seen.append(event.data), retry=None)
    await ground.stream.add_request(whole.link())
    ground.expect(seen == [f"tick {n}" for n in range(5)], "events")
    cut = EventSource(f"{url}&cut", lambda _: None, retry=None)
    ground.expect(await _end(ground.stream.add_request(cut.link())) == "failed", "cut events")
    source = each(ground.stream, lambda take: EventSource(f"{url}00", take))
    async with contextlib.aclosing(source) as events:
        async for _ in events:
            break


@flow
async def json_lines(ground: Ground) -> None:
    """Likewise."""
    url, seen = f"{ground.soak['app']}/lines?count=5", []
    lines = JSONLines(url, lambda value: seen.append(value["number"]))
    await ground.stream.add_request(lines.link())
    ground.expect(seen == list(range(5)), "lines")
    cut = JSONLines(f"{url}&cut", lambda _: None)
    ground.expect(await _end(ground.stream.add_request(cut.link())) == "failed", "cut lines")


@flow
async def web_sockets(ground: Ground) -> None:
    """Conversations that end well: the client says goodbye, or the server does."""
    url = str(ground.soak["app"]).replace("http", "ws") + "/echo"
    for goodbye in (True, False):
        heard: list[str | bytes] = []

        def read(message: Any, heard: Any = heard, goodbye: bool = goodbye) -> None:
            heard.append(message.data)
            if len(heard) < 5:
                message.reply(f"{len(heard)}")
            elif goodbye:
                message.chain.close_socket()
            else:
                message.reply("bye")

        chain = ground.stream.add_request(url, read)
        chain.send("0")
        ground.expect(await _end(chain) == "done", f"a WebSocket: {chain.error!r}")
        ground.expect(heard == [str(n) for n in range(5)], "messages")


@flow
async def odd_web_sockets(ground: Ground) -> None:
    """They are cut, refused, garbled, mute, closed with a code, left early."""
    number = next(ground.numbers)
    expected = {f"/cut/{number}": 1, f"/garbage/{number}": 1, "/refused/0": 1, "/closing/4000": 1}
    for path, errors in {**expected, "/closing/1000": 0, "/slow/0": 0}.items():
        told: list[Exception] = []
        await ground.stream.add_request(ground.ws(path), lambda _: None, errback=told.append)
        ground.expect(len(told) == errors, f"{path.rstrip('0123456789')}: {told!r}")
    mute = Request(ground.ws("/mute/0"), ping_interval=0.2)
    await ground.bad(TimeoutError, mute)
    left = ground.stream.add_request(ground.ws("/mute/0"), lambda _: None)
    await asyncio.sleep(0.05)
    left.cancel()
    ground.expect(await _end(left) == "cancelled", "a WebSocket that was left")


@flow
async def slow_readers(ground: Ground) -> None:
    """The server has to wait for them."""
    count = 0

    async def read(_: Any) -> None:
        nonlocal count
        count += 1
        if count % 50 == 0:
            await asyncio.sleep(0.02)

    await ground.stream.add_request(ground.ws("/flood/300"), read)
    ground.expect(count == 300, f"{count} messages of 300")


# -- TLS and HTTP/2 --------------------------------------------------------------------------------


@flow
async def tls(ground: Ground) -> None:
    """Trusted, of another name, of a stranger, with a certificate of ours."""
    web = ground.web
    await ground.good(Request(f"{web['https']}/echo", http_version="1.1"))
    await ground.good(Request(f"{web['mutual']}/echo", client_cert=web["client"]))
    await ground.bad(TLSError, f"{web['wrong_host']}/")
    await ground.bad(TLSError, f"{web['stranger']}/")
    # A server of clear text waits for the rest of what it takes for a line.
    no_tls = Request(web["http"].replace("http", "https"), connect_timeout=0.5)
    await ground.bad(StreamError, no_tls)


@flow
async def http2(ground: Ground) -> None:
    """Several on one connection; some are held, one of them is cancelled."""
    https = ground.nginx["https"]
    answers = await asyncio.gather(*(ground.good(f"{https}/connection") for _ in range(5)))
    ground.expect(all(one.version == 20 for one in answers), "HTTP/2 by ALPN")
    h2c = Request(f"{ground.nginx['h2c']}/proxied/echo", http_version="2-prior-knowledge")
    ground.expect((await ground.good(h2c)).json()["uri"] == "/echo", "HTTP/2 without TLS")
    held = ground.stream.add_request(f"{https}/proxied/hold/soak", lambda _: None)
    await asyncio.sleep(0.1)
    held.cancel()
    ground.expect(await _end(held) == "cancelled", "HTTP/2, cancelled")


@flow
async def odd_http2(ground: Ground) -> None:
    """Streams are refused, reset, halved; connections go away; others beside them are well."""
    door = ground.chance.choice((ground.soak["h2"], ground.soak["h2_tls"]))
    version = "2" if door.startswith("https") else "2-prior-knowledge"
    odd = ("refuse", "before", "after", "close", "reset", "half", "silent", "garbled")

    def asked(path: str, timeout: float = 0.5) -> Request:
        return Request(f"{door}/{path}", http_version=version, request_timeout=timeout)

    for path in ground.chance.sample(odd, 3):
        told = await ground.outcome(asked(path))
        ground.expect(not isinstance(told, Response), f"HTTP/2, {path}: {told!r}")
    # Others may break the connection that it is on.
    healthy = f"healthy{next(ground.numbers)}"
    for path, text in ((healthy, f"to /{healthy}"), ("unknown_frame", "after it")):
        told = await ground.outcome(asked(path, 20), retry=_RETRY)
        is_its = isinstance(told, Response) and told.text == text
        ground.expect(is_its, f"HTTP/2 beside others: {told!r}")


# -- faults ----------------------------------------------------------------------------------------


@flow
async def faults(ground: Ground) -> None:
    """The next two faults there are, each in one way that a request may be made."""
    for _ in range(2):
        number = next(ground.numbers)
        name = ground.soak["names"][number % len(ground.soak["names"])]
        door = ground.soak["faults_tls" if number % 5 == 0 else "faults"]
        options: dict[str, Any] = {"request_timeout": 0.5}
        if number % 3 == 1:
            options["sink"] = lambda _: None
        if number % 7 == 1:
            options["body"] = b"x" * 2000
        await ground.outcome(Request(f"{door}/{name}", **options))


@flow
async def streamed_faults(ground: Ground) -> None:
    """The same, to a reader that is called when the headers are there."""
    name = ground.chance.choice(ground.soak["names"])
    ended = []

    async def read(response: Response) -> None:
        with contextlib.suppress(StreamError):
            async for _ in response.stream:
                pass
        ended.append(1)

    request = Request(f"{ground.soak['faults']}/{name}", stream=True, request_timeout=0.5)
    told: list[Exception] = []
    await _end(ground.stream.add_request(request, read, errback=told.append))
    ground.expect(len(ended) + len(told) == 1, f"{name}, streamed: {len(ended)} and {told!r}")


@flow
async def idle_connections(ground: Ground) -> None:
    """Servers close them, or say something that nobody asked for: nobody gets that."""
    for door in (ground.soak["idle"], ground.soak["idle_tls"]):
        what = ground.chance.choice(("late", "close"))
        number = next(ground.numbers)
        name = f"i{number}.localhost:{door.rpartition(':')[2]}"
        own = f"{door.partition(':')[0]}://{name}"
        options: dict[str, Any] = {"ip_version": 4, "validate_cert": False}
        await ground.good(Request(f"{own}/before/{number}", **options))
        await ground.good(f"{door}/{what}/{name}")
        for method in ("POST", "GET"):
            path = f"/{method}/{number}"
            body = b"body" if method == "POST" else None
            answer = await ground.good(Request(f"{own}{path}", method, body=body, **options))
            ground.expect(answer.text == f"{method} {path} 1", f"{what}: {answer.text}")


@flow
async def timeouts(ground: Ground) -> None:
    """In all, and without a byte."""
    url = f"{ground.soak['app']}/poll?seconds=30"
    await ground.bad(TimeoutError, Request(url, request_timeout=0.2))
    await ground.bad(TimeoutError, Request(url, idle_timeout=0.3))
    trickle = f"{ground.soak['faults']}/trickle"
    await ground.bad(TimeoutError, Request(trickle, idle_timeout=5, request_timeout=0.4))


@flow
async def cancellations(ground: Ground) -> None:
    """Wherever a chain is: delayed, sent, in its reader, in its body."""
    poll = f"{ground.soak['app']}/poll?seconds=30"

    async def never(_: Response) -> None:
        await asyncio.Event().wait()

    add = ground.stream.add_request
    chains = [
        add(poll, None, delay=30),
        add(poll, None),
        add(f"{ground.web['http']}/echo", never),
        add(Request(f"{ground.web['http']}/bytes/9000000", stream=True), never),
        add(Request(f"{ground.web['https']}/hold/soak-tls", http_version="1.1"), None),
        add(Next(f"{ground.web['http']}/echo", lambda _: Gather([poll, poll], None))),
    ]
    await asyncio.sleep(ground.chance.uniform(0, 0.2))
    for chain in chains:
        chain.cancel()
    ends = await asyncio.gather(*map(_end, chains))
    ground.expect(ends == ["cancelled"] * len(ends), f"cancelled: {ends}")


# -- Tornado's client ------------------------------------------------------------------------------


@flow
async def tornado_client(ground: Ground) -> None:
    """Answers of all kinds, to those who use Tornado's interface."""
    http, got = ground.web["http"], []
    response = await ground.client.fetch(f"{http}/echo?tornado")
    ground.expect(json.loads(response.body)["uri"] == "/echo?tornado", "Tornado's client")
    await ground.client.fetch(f"{http}/bytes/50000", streaming_callback=got.append)
    ground.expect(sum(map(len, got)) == 50_000, "Tornado's streaming_callback")
    posted = HTTPRequest(f"{http}/echo", "POST", body="said", headers={"X-A": "b"})
    ground.expect(
        json.loads((await ground.client.fetch(posted)).body)["body"] == "said", "Tornado's POST"
    )
    name = ground.chance.choice(ground.soak["names"])
    for url in (f"{http}/status/404", ground.refused, f"{ground.soak['faults']}/{name}"):
        with contextlib.suppress(HTTPError):
            await ground.client.fetch(url, request_timeout=0.5)


# -- those that never end --------------------------------------------------------------------------


def begin_lasting(ground: Ground) -> list[Chain]:
    """Chains for the whole soak: polls by README's idiom, events, WebSockets, lines."""
    app = str(ground.soak["app"])

    def poll(response: Response) -> object:
        ground.ends["lasting polls"] += 1
        return response.request, poll

    async def poll_later(response: Response) -> object:
        ground.ends["lasting polls"] += 1
        await asyncio.sleep(0)
        return response.request, poll_later

    def several(response: Response) -> Iterator[object]:
        ground.ends["lasting polls of several"] += 1
        yield f"{ground.web['http']}/bytes/10", lambda _: None
        yield response.request, several

    def event(_: Any) -> None:
        ground.ends["lasting events"] += 1

    async def talk(message: Any) -> None:
        ground.ends["lasting messages"] += 1
        await asyncio.sleep(0.5)
        message.reply(message.data)

    add, made = ground.stream.add_request, []
    for number in range(4):
        made.append(add(Request(f"{app}/poll?seconds={number + 1}"), poll))
        made.append(add(Request(f"{app}/poll?seconds={number + 1}", idle_timeout=30), poll_later))
        made.append(add(f"{app}/poll?seconds={number + 1}", several))
    for _ in range(2):
        made.append(add(EventSource(f"{app}/events?count=100&every=0.5", event, retry=0.5).link()))
        made.append(add(JSONLines(f"{app}/lines?count=20&every=0.5", event, retry=0.5).link()))
        made.append(add(f"{app.replace('http', 'ws')}/echo", talk))
        made[-1].send("hello")
    return made


async def end_lasting(chains: list[Chain]) -> None:
    """The soak is over."""
    for chain in chains:
        chain.cancel()
    with contextlib.suppress(ClosedError):
        await asyncio.gather(*map(_end, chains))
