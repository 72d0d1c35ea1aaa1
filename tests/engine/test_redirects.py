"""Redirects: which are followed, what goes on with them, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from servers.raw import answer, raw_server, requests
from servers.web import Web
from tornado.httpclient import HTTPRequest

from engine.readers import Reading
from webqq_tornado import (
    FilePart,
    HTTPStream,
    Limits,
    Multipart,
    Next,
    RedirectError,
    Request,
    Response,
    StreamError,
    TimeoutError,
    TooLargeError,
)
from webqq_tornado.httpclient import HTTPStreamClient
from webqq_tornado.retry import CircuitBreaker

HEAD = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n"
#: What the body of a redirect may be like: what comes after its first lines.
BODIES = {
    "breaks off": b"Content-Length: 1000\r\n\r\nabc",
    "breaks off in a chunk": b"Transfer-Encoding: chunked\r\n\r\n40\r\nabc",
    "has no chunks": b"Transfer-Encoding: chunked\r\n\r\nabc\r\n",
    "is not compressed": b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "has an unknown coding": b"Content-Encoding: rot13\r\nContent-Length: 3\r\n\r\nabc",
    "is over the limit": b"Content-Length: 300000\r\n\r\n" + bytes(300_000),
}


def _redirecting(rest: bytes, *, is_endless: bool = False) -> Callable[..., object]:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/there" in await reader.readuntil(b"\r\n\r\n"):
            writer.write(answer(b"there"))
            return
        writer.write(HEAD + rest)
        with contextlib.suppress(ConnectionError):
            while is_endless:
                writer.write(bytes(65536))
                await writer.drain()

    return handler


async def _fetch(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    response = await stream.fetch(request)
    return response.status, response.body


async def _open(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    async with stream.open(request) as response:
        return response.status, b"".join([chunk async for chunk in response.stream])


async def _sink(stream: HTTPStream, request: Request) -> tuple[int, bytes]:
    chunks: list[bytes] = []
    response = await stream.fetch(request.replace(sink=chunks.append))
    return response.status, b"".join(chunks)


WAYS = [_fetch, _open, _sink]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", BODIES)
async def test_a_redirect_is_followed_whatever_is_wrong_with_its_body(name: str, way):
    async with raw_server(_redirecting(BODIES[name])) as url, HTTPStream() as stream:
        request = Request(url, max_body_size=200_000)
        assert await way(stream, request) == (200, b"there")
        assert stream.stats().errors == 0


@pytest.mark.parametrize("way", WAYS)
async def test_a_redirect_with_a_body_that_has_no_end_is_followed(way):
    async with (
        raw_server(_redirecting(b"\r\n", is_endless=True)) as url,
        HTTPStream() as stream,
    ):
        assert await way(stream, Request(url)) == (200, b"there")


async def test_tornados_client_follows_it_too():
    async with raw_server(_redirecting(BODIES["breaks off"])) as url:
        client = HTTPStreamClient(force_instance=True)
        response = await client.fetch(url)
        assert (response.code, response.body) == (200, b"there")
        client.close()


async def test_of_a_redirect_that_is_not_followed_the_body_counts():
    async with raw_server(_redirecting(BODIES["is over the limit"])) as url, HTTPStream() as stream:
        request = Request(url, follow_redirects=False, max_body_size=200_000)
        with pytest.raises(TooLargeError):
            await stream.fetch(request)
        response = await stream.fetch(request.replace(max_body_size=400_000))
        assert isinstance(response, Response)
        assert len(response.body) == 300_000


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("a=1", b"a=2"),
        ("a=1; b=1", b"a=2; b=1"),
        ("b=1;a=1 ; A=1", b"a=2; b=1; A=1"),
        ("aa=1", b"a=2; aa=1"),
    ],
)
async def test_a_cookie_that_a_redirect_sets_takes_the_place_of_the_callers(
    given: str, sent: bytes
):
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in (HEAD + b"Set-Cookie: a=2\r\nContent-Length: 0\r\n\r\n", answer()):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(said)

    async with raw_server(handler) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, headers={"Cookie": given}))
        assert b"\r\nCookie: " + sent + b"\r\n" in asked.pop()


async def test_who_keeps_no_cookies_goes_on_with_those_that_were_given():
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in (HEAD + b"Set-Cookie: a=2\r\nContent-Length: 0\r\n\r\n", answer()):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(said)

    async with raw_server(handler) as url:
        client = HTTPStreamClient(force_instance=True)
        await client.fetch(url, headers={"Cookie": "a=1"})
        client.close()
    assert b"\r\nCookie: a=1\r\n" in asked.pop()


# -- the rules ----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """A request as it came to `Site`."""

    method: str
    target: str
    headers: dict[str, str]


class Site:
    """Redirects as its `ways` say, from path to an answer; other requests get "here"."""

    def __init__(self) -> None:
        self.ways: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for head in requests(reader):
            first, *lines = head.decode("latin-1").split("\r\n")[:-2]
            method, target, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (one.split(": ") for one in lines)}
            self.asked.append(Asked(method, target, headers))
            body = b"" if method == "HEAD" else b"here"
            told = self.ways.get(target, answer(b"here"))
            writer.write(told if body else told.split(b"\r\n\r\n")[0] + b"\r\n\r\n")


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    one = Site()
    async with raw_server(one) as one.url:
        yield one


def led(location: str | bytes, status: int = 302) -> bytes:
    """An answer that leads on."""
    location = location.encode() if isinstance(location, str) else location
    return answer(b"not here", b"Location: " + location, status=b"%d Go" % status)


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT")


def _method_after(method: str, status: int) -> str:
    """By WHATWG's Fetch, 4.4."""
    if status == 303 and method not in ("GET", "HEAD"):
        return "GET"
    return "GET" if status in (301, 302) and method == "POST" else method


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", METHODS)
async def test_methods_and_bodies_follow_fetch(method: str, status: int):
    of_the_body = {"Content-Type": "text/plain", "Content-Language": "en"}
    body = b"body" if method in ("POST", "PUT", "PATCH", "REPORT") else None
    headers = {"X-Own": "1", **(of_the_body if body else {})}
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/there", status)
        await stream.fetch(Request(here.url, method, headers=headers, body=body))
    last, wanted = here.asked[-1], _method_after(method, status)
    assert (len(here.asked), last.method, last.target) == (2, wanted, "/there")
    assert last.headers["x-own"] == "1"
    keeps_body = body is not None and wanted == method
    assert last.headers.get("content-length") == ("4" if keeps_body else None)
    assert ("content-language" in last.headers) == keeps_body


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 399])
async def test_other_statuses_with_a_location_lead_nowhere(status: int):
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/there", status)
        response = await stream.fetch(here.url)
    assert (response.status, len(here.asked)) == (status, 1)


SECRETS = {
    "headers": {"headers": {"Authorization": "Bearer s", "Cookie": "c=s", "Host": "own.example"}},
    "basic": {"auth_username": "ann", "auth_password": "s"},
    "AWS": {"auth_username": "ann", "auth_password": "s", "aws_sigv4": "aws:amz:eu:s3"},
}


@pytest.mark.parametrize("status", [302, 303, 307])
@pytest.mark.parametrize("options", SECRETS.values(), ids=SECRETS.keys())
async def test_credentials_do_not_reach_another_origin_nor_come_back(options, status: int):
    async with site() as here, site() as there, HTTPStream() as stream:
        here.ways["/"] = led(f"{there.url}/away", status)
        there.ways["/away"] = led(f"{here.url}/back", status)
        await stream.fetch(Request(here.url, **options))
    assert "authorization" in here.asked[0].headers
    for asked, url in ((there.asked[0], there.url), (here.asked[1], here.url)):
        assert not {"authorization", "cookie", "x-amz-date"} & asked.headers.keys()
        assert f"http://{asked.headers['host']}" == url


async def test_credentials_of_the_defaults_do_not_either():
    defaults = {"auth_username": "ann", "auth_password": "s", "user_agent": "own"}
    async with site() as here, site() as there, HTTPStream(defaults=defaults) as stream:
        here.ways["/"] = led(f"{there.url}/away")
        there.ways["/away"] = led(f"{here.url}/back")
        await stream.fetch(here.url)
    has_credentials = ["authorization" in one.headers for one in (*here.asked, *there.asked)]
    assert has_credentials == [True, False, False]
    assert {one.headers["user-agent"] for one in (*here.asked, *there.asked)} == {"own"}


async def test_credentials_stay_within_their_origin():
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/there")
        await stream.fetch(here.url.replace("//", "//ann:s@"))
        await stream.fetch(Request(here.url, headers={"Authorization": "Bearer s"}))
    assert all("authorization" in one.headers for one in here.asked)


LOCATIONS = {
    "/there": "/there",
    "there": "/from/there",
    "../there": "/there",
    "?q=1": "/from/here?q=1",
    "\\there": "/there",
    "/a b|c": "/a%20b%7Cc",
    "/%zz": "/%zz",
    " /there\t": "/there",
    "http:there": "/from/there",
    "/th\u00e9re": "/th%C3%A9re",
}


@pytest.mark.parametrize(("location", "target"), LOCATIONS.items())
async def test_a_location_is_taken_as_browsers_take_it(location: str, target: str):
    async with site() as here, HTTPStream() as stream:
        here.ways["/from/here"] = led(location)
        await stream.fetch(f"{here.url}/from/here", timeout=20)
        assert here.asked[1].target == target


async def test_a_location_that_is_no_utf_8_is_escaped():
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/中".encode("gbk"))
        await stream.fetch(here.url)
    assert here.asked[1].target == "/%D6%D0"


@pytest.mark.parametrize("location", ["http://[oops/", "ftp://h/", "file:///etc/passwd", "http://"])
async def test_a_location_that_leads_nowhere_is_an_error(location: str):
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led(location)
        with pytest.raises(RedirectError, match="follow_redirects=False") as told:
            await stream.fetch(here.url)
    assert told.value.response.status == 302


@pytest.mark.parametrize(
    ("location", "url"), [("/there", "/there#top"), ("/there#own", "/there#own")]
)
async def test_a_fragment_is_inherited(location: str, url: str):
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led(location)
        response = await stream.fetch(f"{here.url}/#top")
    assert response.url == here.url + url


async def test_the_response_knows_the_way_that_led_to_it():
    async with site() as here, site() as there, HTTPStream() as stream:
        here.ways = {"/": led("/b", 301), "/b": led(f"{there.url}/c", 307)}
        response = await stream.fetch(Request(here.url, body=b"x", method="PUT"))
    ways = [(hop.url, hop.status) for hop in response.history]
    assert ways == [(f"{here.url}/", 301), (f"{here.url}/b", 307)]
    assert (response.url, response.request.url) == (f"{there.url}/c", f"{here.url}/")


@pytest.mark.parametrize("cap", [0, 1, 3])
async def test_there_are_no_more_than_max_redirects(cap: int):
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/")
        with pytest.raises(RedirectError, match="max_redirects"):
            await stream.fetch(Request(here.url, max_redirects=cap))
    assert len(here.asked) == cap + 1


@pytest.mark.slow
async def test_request_timeout_is_for_all_of_them():
    async with site() as here, HTTPStream() as stream:
        here.ways["/"] = led("/")
        with pytest.raises(TimeoutError):
            await stream.fetch(Request(here.url, request_timeout=1, max_redirects=10**6))
    assert len(here.asked) > 1


BODIES_AGAIN: dict[str, Callable[[Path], dict[str, object]]] = {
    "bytes": lambda path: {"body": b"body"},
    "a path": lambda path: {"body": path},
    "a file": lambda path: {"body": io.BytesIO(b"body")},
    "a list": lambda path: {"body": [b"bo", b"dy"], "body_size": 4},
    "a function": lambda path: {"body": lambda: iter([b"bo", b"dy"]), "body_size": 4},
    "multipart": lambda path: {"body": Multipart({"a": "b"}, {"f": FilePart(b"body", "f")})},
}


@pytest.mark.parametrize("options", BODIES_AGAIN.values(), ids=BODIES_AGAIN.keys())
async def test_307_sends_the_same_body(
    tmp_path: Path, options: Callable[[Path], dict[str, object]]
):
    path = tmp_path / "body"
    path.write_bytes(b"body")
    sent: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent.append(await reader.readuntil(b"body"))
        rest = b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        is_first = head.startswith(b"POST / ")
        writer.write(b"HTTP/1.1 307 X\r\nLocation: /b\r\n" + rest if is_first else answer())
        writer.write_eof()
        await reader.read()

    async with raw_server(serve) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, "POST", **options(path)))
    assert [one.endswith(b"body") for one in sent] == [True, True]


async def test_a_body_that_cannot_be_sent_again_is_an_error_of_307_and_none_of_303():
    async with site() as here, HTTPStream() as stream:
        here.ways = {"/7": led("/there", 307), "/3": led("/there", 303)}
        with pytest.raises(StreamError, match="function that returns a new iterator"):
            await stream.fetch(Request(f"{here.url}/7", "POST", body=iter([b"a"])))
        await stream.fetch(Request(f"{here.url}/3", "POST", body=iter([b"a"])))


async def test_each_hop_is_seen_by_hook_and_observers_and_counted_by_limits():
    seen: list[str] = []

    class Watching(HTTPStream):
        def on_request(self, request: Request) -> None:
            seen.append(request.url)

    async with site() as here, site() as there:
        async with Watching(limits=Limits(per_host=1)) as stream:
            outcomes: list[object] = []
            stream.observe(lambda chain, request, outcome: outcomes.append(outcome.status))
            here.ways["/"] = led(there.url)
            await asyncio.gather(*(stream.fetch(here.url) for _ in range(3)))
    assert sorted(seen) == sorted([f"{here.url}/", f"{there.url}/"] * 3)
    assert sorted(outcomes) == [200] * 3 + [302] * 3


async def test_tornados_client_keeps_its_defaults_on_the_way(web: Web):
    defaults = {"user_agent": "own", "auth_username": "ann", "auth_password": "s"}
    client = HTTPStreamClient(force_instance=True, defaults=defaults)
    async with site() as here, site() as there:
        here.ways = {"/": led("/b"), "/b": led(there.url)}
        for request in (here.url, HTTPRequest(here.url, headers={"X-Own": "1"})):
            await client.fetch(request)
    client.close()
    assert {one.headers["user-agent"] for one in (*here.asked, *there.asked)} == {"own"}
    assert all("authorization" in one.headers for one in here.asked)
    assert not any("authorization" in one.headers for one in there.asked)


class _RaisingBreaker(CircuitBreaker):
    """One that has a mistake in it."""

    def record(self, request: Request, outcome: Response | Exception) -> None:
        if isinstance(outcome, Response) and outcome.status == 302:
            raise LookupError("in a breaker")


async def test_what_a_breaker_raises_at_a_redirect_is_asked_the_errback_and_that_is_followed():
    reading = Reading()
    handler = _redirecting(b"Content-Length: 0\r\n\r\n")
    async with raw_server(handler) as url, HTTPStream(breaker=_RaisingBreaker()) as stream:
        # The errback may go elsewhere, or end the chain.
        on = stream.add_request(Next(url, print, errback=lambda error: (f"{url}/there", reading)))
        out = stream.add_request(Next(url, print, errback=lambda error: None))
        assert (await on).body == b"there"
        assert await out is None
    assert [response.history for response in reading.responses] == [[]]


@pytest.mark.parametrize("name", ["X-Api-Key", "X-Auth-Token", "Authorization", "Cookie"])
async def test_no_key_or_token_goes_to_another_origin(web: Web, name):
    async with HTTPStream() as stream:
        headers = {name: "secret-123", "X-A": "1"}
        url = f"{web.http}/redirect?to={web.other}/echo"
        names = {n for n, _ in (await stream.get(url, headers=headers)).json()["headers"]}
        assert "X-A" in names
        assert name not in names
        own = f"{web.http}/redirect?to=/echo"
        names = {n for n, _ in (await stream.get(own, headers=headers)).json()["headers"]}
        assert name in names
