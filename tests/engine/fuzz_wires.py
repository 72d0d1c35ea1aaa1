"""Fuzz examples of what is no plain request: Tornado's client, event streams, WebSockets, TLS,
HTTP/2. For each kind what hypothesis draws, and a coroutine that plays it and asserts.

Each chain ends, once; a healthy one beside it goes on; no answer is another's; nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import pickle
import ssl
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st
from servers.fuzz import Answer, End, right
from servers.fuzzwire import DEEDS, HTTP2, Action, Frames, Mangler, Wire
from servers.raw import raw_server
from servers.ws import BINARY, CLOSE, CONT, PING, PONG, TEXT, closing, frame
from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from waiting import until

from engine.balance import assert_is_balanced
from engine.fuzz_plans import METHODS, answers, headers
from engine.fuzz_play import Arena, _outcome
from engine.readers import Oops
from webqq_tornado import Chain, HTTPStream, Request, Response, StreamError
from webqq_tornado.eventsource import EventParser, EventSource, JSONLines
from webqq_tornado.httpclient import HTTPStreamClient

_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")


class Behind(Arena):
    """An arena whose server stands behind one that mangles what it says.

    Args:
        folder: for files.
        inner: the server.
        tls: its context, if it speaks TLS.
    """

    def __init__(self, folder: Path, inner: Any, tls: ssl.SSLContext | None = None) -> None:
        self.inner, self._tls = inner, tls
        super().__init__(folder, Mangler(0))

    async def _open(self) -> None:
        url = await self._exits.enter_async_context(raw_server(self.inner, self._tls))
        self.server.behind = self.inner.port = int(url.rpartition(":")[2])
        await super()._open()
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    async def _play(self, run: Callable[[], Any]) -> None:
        self.inner.forget()
        self.inner.requests = 0
        await super()._play(run)
        assert not self.inner.invalid, list(self.inner.invalid)
        self.requests += self.inner.requests


# -- what all plays have in common ------------------------------------------------------------


@contextlib.asynccontextmanager
async def beside_a_healthy_chain(arena: Arena, **defaults: Any) -> AsyncIterator[HTTPStream]:
    """A stream, on which a chain polls a server that is well; in the end it has never failed."""
    stream, is_over = HTTPStream(defaults={"proxy": "", **defaults}), False

    def read(response: Response) -> object:
        assert (response.status, response.body) == (200, b"healthy"), response.body
        return None if is_over else (response.request, read, 0.002)

    good = Request(f"{arena.healthy}/", request_timeout=20, http_version="1.1")
    healthy = stream.add_request(good, read, name="healthy")
    try:
        yield stream
        is_over = True
        assert await asyncio.wait_for(_outcome(healthy), arena.deadline)
        assert healthy.state.value == "done", healthy.error
        await asyncio.wait_for(stream.drain(), arena.deadline)
    except asyncio.TimeoutError:
        arena.deadline = 1.0  # for making it smaller
        raise AssertionError(f"hangs: {list(stream.chains)}, {stream.stats()}") from None
    finally:
        stream.close()
    stats = stream.stats()
    assert stats[:5] == (0, 0, 0, 0, 0), stats
    assert_is_balanced(stream)


async def all_of(arena: Arena, chains: list[Chain]) -> None:
    """Wait until they have ended."""
    await asyncio.wait_for(asyncio.gather(*map(_outcome, chains)), arena.deadline)


def see_error(error: BaseException | None) -> None:
    """It can be shown and copied."""
    if isinstance(error, StreamError):
        _ = f"{error!r} {error}"
        copy.copy(error)


# -- requests over wires ----------------------------------------------------------------------


class Asked(NamedTuple):
    """One request."""

    method: str
    body: bytes
    mode: str
    answers: list[Any]
    cancelled_after: float | None


class Wired(NamedTuple):
    """One example."""

    asked: list[Asked]
    wires: list[Wire]


_FLIPS = st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 255)), max_size=2)
wires = st.builds(
    Wire,
    # A handshake of TLS is some 2,500 bytes.
    cut=st.sampled_from([-1] * 3) | st.integers(0, 3000) | st.integers(2000, 100_000),
    end=st.sampled_from([End.CLOSE, End.RESET, End.HALF, End.STALL]),
    flips=st.just(()) | _FLIPS.map(tuple),
    piece=st.sampled_from([0, 0, 1, 7, 100]),
)


def _asked(answer: st.SearchStrategy[Any]) -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        method=st.sampled_from(["GET", "GET", "POST", "PUT", "HEAD", "PATCH"]),
        body=st.sampled_from([b"", b"body", b"x" * 100_000]),
        mode=st.sampled_from(["plain", "plain", "sink", "stream", "some"]),
        answers=st.lists(answer, max_size=2),
        cancelled_after=st.sampled_from([None] * 5 + [0, 0.001, 0.005, 0.02]),
    )


def _wired(answer: st.SearchStrategy[Any]) -> st.SearchStrategy[Wired]:
    asked = st.lists(_asked(answer), min_size=1, max_size=5)
    return st.builds(Wired, asked, st.lists(wires, max_size=3))


def _over_tls(answer: Answer) -> Answer:
    # Half of TLS cannot be closed; and what lies behind an answer there nobody can see.
    end = End.CLOSE if answer.end is End.HALF else answer.end
    return answer._replace(end=end, late=b"")


tls_plans = _wired(answers().map(_over_tls).filter(lambda one: b"X-Stray" not in one.data))
http2_plans = _wired(
    st.builds(Action, st.sampled_from(DEEDS), st.integers(0, 255), st.integers(0, 4).map(bool))
)


class _Link:
    """One request, and how often it was told of.

    Args:
        url: of it, with the id in its path.
        asked: the plan.
    """

    def __init__(self, url: str, asked: Asked) -> None:
        self.url, self._asked = url, asked
        self.reads = self.errors = 0
        body = asked.body if asked.method in ("POST", "PUT", "PATCH") else None
        sink = self._take if asked.mode == "sink" else None
        is_streamed = asked.mode in ("stream", "some")
        self.request = Request(
            url, asked.method, body=body, sink=sink, stream=is_streamed, request_timeout=0.3
        )

    def _take(self, chunk: bytes) -> None:
        assert chunk

    async def read(self, response: Response) -> None:
        """Its reader."""
        self.reads += 1
        said = response.headers.get("X-Answer-To", "")
        number, _, check = said[1:].partition("-")
        # Else it was changed on its way, see `Arena.new_id`.
        is_whole = f"{zlib.crc32(number.encode()):08x}" == check
        assert not is_whole or f"/{said}" in self.url, f"{self.url} got the answer to {said}"
        if self._asked.mode == "plain":
            assert response.text is not None
        if self.request.stream:
            async for _ in response.stream:
                if self._asked.mode == "some":
                    return

    def fail(self, error: Exception) -> None:
        """Its errback."""
        self.errors += 1
        see_error(error)
        if isinstance(error, AssertionError):
            raise error

    def check(self, chain: Chain) -> None:
        """It was told once."""
        assert not isinstance(chain.error, AssertionError), chain.error
        told = self.reads, self.errors
        assert max(told) <= 1, told
        assert chain.state.value == "cancelled" or sum(told), told
        assert self.request.stream or sum(told) <= 1, told


async def play_wired(arena: Behind, plan: Wired, **options: Any) -> None:
    """Requests that share connections, which are mangled."""
    arena.server.wires.extend(plan.wires)
    loop, pairs = asyncio.get_running_loop(), []
    defaults = {"validate_cert": False, **options}
    async with beside_a_healthy_chain(arena, **defaults) as stream:
        for asked in plan.asked:
            ident = arena.new_id()
            queue = deque(asked.answers)
            answering = (
                arena.inner.actions if isinstance(arena.inner, HTTP2) else arena.inner.answers
            )
            answering[ident] = queue
            link = _Link(f"{arena.url}/{ident}", asked)
            chain = stream.add_request(link.request, link.read, errback=link.fail)
            pairs.append((link, chain, ident))
            if asked.cancelled_after is not None:
                loop.call_later(asked.cancelled_after, chain.cancel)
        await all_of(arena, [chain for _, chain, _ in pairs])
        await asyncio.sleep(max((asked.cancelled_after or 0) for asked in plan.asked))
    for link, chain, _ in pairs:
        link.check(chain)
    for (ident, method), count in arena.inner.bodies.items():
        allowed = 1 + arena.inner.excused[ident]
        is_once = method in _IDEMPOTENT or count <= allowed
        assert is_once, f"{method} {ident} came {count} times, not {allowed}"


# -- event streams ----------------------------------------------------------------------------


class Drips(NamedTuple):
    """One example: what several answers hold, and what the reader does with the nth item."""

    bodies: list[bytes]
    framings: list[str]
    ends: list[End]
    piece: int
    is_json: bool
    act: str
    at: int
    retry: bool


_SSE = st.sampled_from(
    [
        *(b"data: x\n", b"data:y\r\n", b"data\r", b"\n", b"\r\n", b"\r", b"\n\n", b"id: 7\n"),
        *(b"id: a\0b\n", b"event: e\n", b"retry: 1\n", b"retry: 99999999999\n", b": hm\n"),
        *(b"\xef\xbb\xbf", b"data: \xff\xfe\n", "data: ü\n".encode(), b"data: " + b"z" * 9000),
    ]
)
_JSON = st.sampled_from(
    [
        *(b"1\n", b'{"a": [1, 2]}\n', b'"\xc3\xbc"\r\n', b"\n", b"null\n", b"[" * 3000, b"tru"),
        *(b'{"a":', b"\xff\n", b"1 2\n", b"NaN\n", b'"' + b"q" * 9000 + b'"\n', b"\0\n"),
    ]
)
_ACTS = st.sampled_from(["none", "none", "later", "raise", "raise_later", "link", "cancel"])


@st.composite
def drips(draw: st.DrawFn) -> Drips:
    """One example."""
    is_json = draw(st.booleans())
    items = st.lists((_JSON if is_json else _SSE) | st.binary(max_size=4), max_size=12)
    bodies = draw(st.lists(items.map(b"".join), min_size=1, max_size=3))
    return Drips(
        bodies,
        draw(st.lists(st.sampled_from(["length", "chunks", "close"]), min_size=3, max_size=3)),
        draw(
            st.lists(
                st.sampled_from([End.KEEP, End.CLOSE, End.RESET, End.HALF]), min_size=3, max_size=3
            )
        ),
        draw(st.sampled_from([0, 1, 7])),
        is_json,
        draw(_ACTS),
        draw(st.integers(0, 5)),
        draw(st.booleans()),
    )


def _dripping(body: bytes, framing: str, kind: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n"
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if framing == "chunks":
        chunks = [body[at : at + 100] for at in range(0, len(body), 100)]
        parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n"
    return head + b"Connection: close\r\n\r\n" + body


async def play_drips(arena: Arena, plan: Drips) -> None:
    """A source of items, and a reader that has its own idea of them."""
    ident, items = arena.new_id(), []
    kind = b"application/x-ndjson" if plan.is_json else b"text/event-stream"
    said = zip(plan.bodies, plan.framings, plan.ends, strict=False)
    queue = deque(
        Answer(
            _dripping(body, framing, kind),
            End.CLOSE if framing == "close" and end is End.KEEP else end,
            plan.piece,
            is_right=end is End.KEEP,
        )
        for body, framing, end in said
    )
    queue.append(Answer(right(b"", b"204 No Content"), is_right=True))
    arena.server.answers[ident] = queue
    cancels: list[Callable[[], object]] = []
    async with beside_a_healthy_chain(arena, idle_timeout=1) as stream:
        take = _taking(plan, items, arena, cancels)
        url, retry = f"http://127.0.0.1:{arena.port}/{ident}/", 0.0 if plan.retry else None
        source = (JSONLines if plan.is_json else EventSource)(url, take, retry=retry)
        source._check = _unclamped(source)  # what the server asks for is half a second at least
        chain = stream.add_request(source.link())
        cancels.append(chain.cancel)
        chain._is_quiet = True
        await asyncio.wait_for(_outcome(chain), arena.deadline)
    see_error(chain.error)
    if plan.act in ("none", "later") and not plan.retry:
        _check_items(plan, items, chain)


def _unclamped(source: Any) -> Any:
    check = source._check

    def checking(response: Response) -> bool:
        if source.retry:
            source.retry = 0.0
        return bool(check(response))

    return checking


def _taking(plan: Drips, items: list[Any], arena: Arena, cancels: list[Any]) -> Any:
    def take(item: Any) -> Any:
        items.append(item)
        if plan.act in ("later", "raise_later"):
            return later(item)
        return act()

    def act() -> Any:
        if len(items) <= plan.at:
            return None
        if plan.act.startswith("raise"):
            raise Oops("in a reader of items")
        if plan.act == "cancel":
            cancels[0]()
        if plan.act == "link":
            return f"{arena.healthy}/", lambda _: None
        return None

    async def later(_: Any) -> Any:
        await asyncio.sleep(0)
        return act()

    return take


def _check_items(plan: Drips, items: list[Any], chain: Chain) -> None:
    """What came is what the first answer holds, or as much of it as came."""
    if plan.is_json:
        expected = []
        for line in plan.bodies[0].split(b"\n"):
            with contextlib.suppress(ValueError, RecursionError):
                expected.append(json.loads(line.decode()) if line.strip() else ...)
        expected = [one for one in expected if one is not ...]
    else:
        expected = EventParser().feed(plan.bodies[0])
    assert repr(items) == repr(expected[: len(items)]), (items, expected)
    if chain.error is None:
        assert len(items) == len(expected), (items, expected)


# -- WebSockets ------------------------------------------------------------------------------


class Socket(NamedTuple):
    """One example."""

    said: list[tuple[bytes, Any]]
    junk: bytes
    cut: int
    end: End
    piece: int
    act: str
    at: int
    how: str
    pings: bool
    max_size: int | None
    is_deflated: bool
    sends: list[bytes | str]


_text = st.sampled_from(["", "a", "ü" * 3, "x" * 126, "y" * 70_000])
_binary = st.sampled_from([b"", b"\0\xff", b"z" * 65_536])


def _fragments(text: str) -> tuple[bytes, Any]:
    data = text.encode()
    first, second = data[: len(data) // 2], data[len(data) // 2 :]
    said = frame(TEXT, first, fin=False) + frame(PING, b"between") + frame(CONT, second)
    return said, text


_good = (
    _text.map(lambda text: (frame(TEXT, text.encode()), text))
    | _binary.map(lambda data: (frame(BINARY, data), data))
    | _text.map(_fragments)
    | st.sampled_from([(frame(PING, b"?"), None), (frame(PONG, b"!"), None)])
)
_junk = st.sampled_from(
    [
        *(b"", b"", b"", closing(1000), closing(1001, b"bye"), closing(4000), closing(1006)),
        *(frame(CLOSE), frame(CLOSE, b"x"), closing(1000, b"\xff"), frame(3, b"reserved")),
        *(frame(TEXT, b"\xff\xfe"), frame(TEXT, b"r", rsv=4), frame(TEXT, b"r", rsv=1)),
        *(frame(PING, b"p" * 126), frame(PING, b"p", fin=False), frame(CONT, b"of nothing")),
        *(frame(TEXT, b"m", mask=b"1234"), frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
        *(b"\x81\xff" + b"\xff" * 8, b"\x82\x7f" + b"\0" * 8, b"\xff" * 30),
        closing(1000) + frame(TEXT, b"after the close"),
        frame(PING, b"?") * 300,
        *(frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00", rsv=4), frame(TEXT, b"\xff" * 9, rsv=4)),
    ]
) | st.binary(max_size=30)

socket_plans = st.builds(
    Socket,
    said=st.lists(_good, max_size=5),
    junk=_junk,
    cut=st.just(-1) | st.integers(0, 400),
    end=st.sampled_from(list(End)),
    piece=st.sampled_from([0, 0, 1, 7]),
    act=st.sampled_from(
        ["none", "none", "reply", "close", "close_oddly", "raise", "link", "cancel", "pause"]
    ),
    at=st.integers(0, 4),
    how=st.sampled_from(["sync", "async"]),
    pings=st.booleans(),
    max_size=st.sampled_from([None, None, 100]),
    is_deflated=st.booleans(),
    sends=st.lists(st.sampled_from(["hello", b"\0", "x" * 100_000]), max_size=3),
)


async def play_socket(arena: Arena, plan: Socket) -> None:
    """A conversation over a WebSocket."""
    data = b"".join(said for said, _ in plan.said) + plan.junk
    cut = data if plan.cut < 0 else data[: plan.cut]
    # Who answers goodbyes waits for one: the client's pings and deadline are all that ends it.
    arena.server.said = Frames(cut, plan.end, plan.piece, plan.is_deflated)
    heard: list[Any] = []
    errors: list[Exception] = []
    async with beside_a_healthy_chain(arena) as stream:
        request = Request(
            f"ws://127.0.0.1:{arena.port}/",
            ping_interval=0.05 if plan.pings else 0,
            max_body_size=plan.max_size,
        )
        link = _speaking(plan, heard, arena)
        chain = stream.add_request(request, link, errback=errors.append, deadline=0.3)
        chain._is_quiet = True
        for message in plan.sends:
            chain.send(message).add_done_callback(lambda sent: sent.exception())
        if plan.act == "pause":
            chain.pause()
            asyncio.get_running_loop().call_later(0.01, chain.resume)
        await asyncio.wait_for(_outcome(chain), arena.deadline)
    assert len(errors) <= 1, errors
    for error in (*errors, chain.error):
        see_error(error)
    _check_heard(plan, heard, cut)


def _speaking(plan: Socket, heard: list[Any], arena: Arena) -> Any:
    def act(message: Any) -> Any:
        heard.append(message.data)
        if len(heard) <= plan.at:
            return None
        if plan.act == "reply":
            message.reply(message.data).add_done_callback(lambda sent: sent.exception())
        elif plan.act == "close":
            message.chain.close_socket()
        elif plan.act == "close_oddly":
            message.chain.close_socket(4321, "so")
        elif plan.act == "raise":
            raise Oops("in a reader of messages")
        elif plan.act == "cancel":
            message.chain.cancel()
        elif plan.act == "link":
            return f"{arena.healthy}/", lambda _: None
        return None

    async def later(message: Any) -> Any:
        await asyncio.sleep(0)
        return act(message)

    return later if plan.how == "async" else act


def _check_heard(plan: Socket, heard: list[Any], cut: bytes) -> None:
    """Messages come in order, none that was not said, and of those none after a bad one."""
    expected = [message for _, message in plan.said if message is not None]
    size = min(len(heard), len(expected))
    shown = [repr(one)[:50] for one in heard], [repr(one)[:50] for one in expected]
    assert heard[:size] == expected[:size], shown
    whole = b"".join(said for said, _ in plan.said)
    assert len(heard) <= len(expected) or len(cut) > len(whole), shown


# -- Tornado's client -------------------------------------------------------------------------


class Fetched(NamedTuple):
    """One fetch."""

    method: str
    headers: list[tuple[str, str]]
    body: str | None
    answers: list[Answer]
    options: dict[str, Any]
    callbacks: str
    raises: bool
    cancelled_after: float | None


class Client(NamedTuple):
    """One example."""

    fetched: list[Fetched]
    options: dict[str, Any]
    closed_after: float | None


_client_options = st.fixed_dictionaries(
    {},
    optional={
        "follow_redirects": st.booleans(),
        "max_redirects": st.integers(0, 3),
        "decompress_response": st.booleans(),
        "connect_timeout": st.sampled_from([0.2, 5.0]),
        "auth_username": st.sampled_from(["u", ""]),
        "auth_mode": st.sampled_from(["basic", "digest", "odd"]),
        "expect_100_continue": st.booleans(),
        "allow_nonstandard_methods": st.booleans(),
        "user_agent": st.sampled_from(["", "x"]),
    },
)
_fetched = st.builds(
    Fetched,
    method=st.sampled_from(("GET", "POST") * 4 + METHODS[:-1]),
    headers=headers,
    body=st.sampled_from([None, None, "", "body", "x" * 100_000]),
    answers=st.lists(answers(), max_size=3),
    options=_client_options,
    callbacks=st.sampled_from(["none", "none", "fine", "later", "raises", "raises_later"]),
    raises=st.booleans(),
    cancelled_after=st.sampled_from([None] * 5 + [0, 0.001, 0.005]),
)
client_plans = st.builds(
    Client,
    fetched=st.lists(_fetched, min_size=1, max_size=5),
    options=st.fixed_dictionaries(
        {},
        optional={
            "max_clients": st.sampled_from([1, 2]),
            "max_body_size": st.sampled_from([10, 100_000]),
            "max_header_size": st.sampled_from([10, 1000]),
        },
    ),
    closed_after=st.sampled_from([None] * 5 + [0, 0.003]),
)


def _callbacks(how: str) -> dict[str, Any]:
    async def later(_: Any) -> None:
        await asyncio.sleep(0)
        if how == "raises_later":
            raise Oops("in a callback")

    def call(_: Any) -> None:
        if how == "raises":
            raise Oops("in a callback")

    if how == "none":
        return {}
    streaming = later if how.endswith("later") else call
    return {"streaming_callback": streaming, "header_callback": call}


async def play_client(arena: Arena, plan: Client) -> None:
    """Fetches of Tornado's interface."""
    client = HTTPStreamClient(force_instance=True, **plan.options)
    healthy = HTTPStreamClient(force_instance=True)
    begun, loop = {}, asyncio.get_running_loop()
    try:
        futures = [_fetch(arena, client, one, begun) for one in plan.fetched]
        if plan.closed_after is not None:
            loop.call_later(plan.closed_after, client.close)
        answer = await healthy.fetch(f"{arena.healthy}/")
        assert answer.body == b"healthy"
        done = await asyncio.wait_for(
            asyncio.gather(*futures, return_exceptions=True), arena.deadline
        )
        # As with Tornado's, those whose future was cancelled go on.
        await asyncio.wait_for(until(lambda: not client._active | client.queue.keys()), 20)
    except asyncio.TimeoutError:
        arena.deadline = 1.0
        raise AssertionError(f"hangs: {client._active}, {client.queue}") from None
    finally:
        client.close()
        healthy.close()
    # What callbacks raise is logged, as Tornado does, and what nobody waits for any more.
    usual = ("Oops: in a callback", "Exception after Future was cancelled")
    lines = [one for one in arena.log.lines if not any(words in one for words in usual)]
    arena.log.lines[:] = lines
    for outcome, ident in zip(done, begun, strict=True):
        _see_outcome(outcome, ident, begun)
    # Digest begins without a body, and sends it whatever the answer is.
    if not any(one.options.get("auth_mode") == "digest" for one in plan.fetched):
        for (ident, method), count in arena.server.bodies.items():
            allowed = 1 + arena.server.excused[ident]
            is_once = method in _IDEMPOTENT or not ident or count <= allowed
            assert is_once, f"{method} {ident} came {count} times, not {allowed}"


def _fetch(
    arena: Arena, client: HTTPStreamClient, plan: Fetched, begun: dict[str, None]
) -> asyncio.Future[Any]:
    ident = arena.new_id()
    begun[ident] = None
    arena.server.answers[ident] = deque(plan.answers)
    url, loop = f"http://127.0.0.1:{arena.port}/{ident}/", asyncio.get_running_loop()
    options = {"request_timeout": 0.3, **plan.options, **_callbacks(plan.callbacks)}
    if options.get("auth_username") is not None:
        options["auth_password"] = "p"
    try:
        request = HTTPRequest(url, plan.method, dict(plan.headers), plan.body, **options)
        future = asyncio.ensure_future(client.fetch(request, raise_error=plan.raises))
    except (ValueError, TypeError, RuntimeError) as error:
        future = loop.create_future()
        future.set_exception(error)
    if plan.cancelled_after is not None:
        loop.call_later(plan.cancelled_after, future.cancel)
    return future


def _see_outcome(outcome: Any, ident: str, begun: dict[str, None]) -> None:
    if isinstance(outcome, HTTPError):
        _ = f"{outcome!r} {outcome}"
        copy.copy(outcome)
        if outcome.code == 599:
            pickle.loads(pickle.dumps(outcome))
        outcome = outcome.response
    if isinstance(outcome, HTTPResponse):
        said = outcome.headers.get("X-Answer-To", "")
        assert said not in begun or said == ident, f"{ident} got the answer to {said}"
        _ = f"{outcome!r} {outcome.time_info}"
        assert outcome.body is not None
