"""Responses that are used again by RFC 9111, against servers that say when they may be."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers.scripted import Asked, Say, Scripted, scripted

from webqq_tornado import DeadlineError, HTTPStream, Limits, Request
from webqq_tornado.cache import CacheError, HTTPCache
from webqq_tornado.engine.transport.curl import Transport
from webqq_tornado.flows import Crawl, Monitor
from webqq_tornado.har import Answer, HARRecorder, HARReplay


def saying(body: bytes = b"body", status: int = 200, **headers: str) -> Callable[[Asked], Say]:
    """A script with the same answer each time, but a 304 to who has its ETag."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def say(asked: Asked) -> Say:
        tag = named.get("ETag")
        if tag is not None and asked.headers["If-None-Match"] == tag:
            return Say(304, b"", named)
        return Say(status, body, named)

    return say


FRESH = {"Cache_Control": "max-age=60"}
STALE = {"Cache_Control": "max-age=0", "ETag": '"a"'}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the wall clock."""
    now = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: now() + seconds)


@pytest.fixture
def cache() -> Iterator[HTTPCache]:
    with HTTPCache() as cache:
        yield cache


async def twice(server: Scripted, cache: HTTPCache, *requests: Request) -> list[bool]:
    """Ask for each in turn; whether the responses came from the cache."""
    async with HTTPStream(cache=cache) as stream:
        wanted = requests or (Request(server.url),) * 2
        return [(await stream.fetch(request)).from_cache for request in wanted]


async def test_a_fresh_response_is_given_without_the_server(cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        first, second = [await stream.fetch(server.url + "/a#b") for _ in range(2)]
    assert [first.from_cache, second.from_cache] == [False, True]
    assert (second.status, second.body, second.reason) == (200, b"body", first.reason)
    assert int(second.headers["Age"]) < 60  # seconds pass on a machine that is busy
    assert second.url == first.url
    assert len(server.asked) == 1


async def test_what_the_cache_has_takes_nothing_of_a_host_s_limits(cache: HTTPCache):
    limits = Limits(per_host=1, spacing=3600)
    async with scripted(saying(**FRESH)) as server:
        async with HTTPStream(cache=cache) as stream:
            for page in range(5):
                await stream.fetch(f"{server.url}/{page}")
        async with HTTPStream(cache=cache, limits=limits) as stream:
            pages = [stream.fetch(f"{server.url}/{page}") for page in range(5)]
            assert all(response.from_cache for response in await asyncio.gather(*pages))
            await stream.fetch(f"{server.url}/new")  # the first that is sent, and goes at once
            with pytest.raises(DeadlineError):
                await stream.fetch(f"{server.url}/newer", timeout=0.01)
    assert len(server.asked) == 6


async def test_a_stale_response_is_used_if_the_server_confirms_it(cache: HTTPCache):
    async with scripted(saying(**STALE, X_Number="1")) as server:
        assert await twice(server, cache) == [False, True]
    assert [asked.headers["If-None-Match"] for asked in server.asked] == [None, '"a"']
    assert (cache.hits, cache.confirmed, cache.misses) == (0, 1, 1)


async def test_a_304_refreshes_what_is_stored(later, cache: HTTPCache):
    def say(asked: Asked) -> Say:
        fresh = {"Cache-Control": "max-age=60", "ETag": '"a"', "X-Number": str(asked.number)}
        return Say(304 if asked.headers["If-None-Match"] else 200, b"" if asked.number else b"b",
                   fresh)  # fmt: skip

    async with scripted(say) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        later(61)
        confirmed = await stream.fetch(server.url)
        again = await stream.fetch(server.url)
    assert [one.headers["X-Number"] for one in (confirmed, again)] == ["1", "1"]
    assert (again.body, len(server.asked)) == (b"b", 2)
    assert int(again.headers["Age"]) < 61  # a second or two may pass between the two


async def test_a_new_version_takes_the_place_of_the_old_one(cache: HTTPCache):
    def say(asked: Asked) -> Say:
        tag = f'"{asked.number}"'
        return Say(200, tag.encode(), {"Cache-Control": "max-age=0", "ETag": tag})

    async with scripted(say) as server:
        assert await twice(server, cache) == [False, False]
    assert len(cache) == 1
    assert cache.misses == 2


async def test_a_304_about_nothing_that_is_stored_is_asked_again_without_conditions(
    cache: HTTPCache,
):
    def say(asked: Asked) -> Say:
        if asked.headers["If-None-Match"]:
            return Say(304, b"", {"ETag": '"other"'})
        return Say(200, b"%d" % asked.number, {"Cache-Control": "max-age=0", "ETag": '"a"'})

    async with scripted(say) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        response = await stream.fetch(server.url)
    assert (response.status, response.body, response.from_cache) == (200, b"2", False)


@pytest.mark.parametrize("status", [500, 503])
async def test_an_error_of_the_server_leaves_what_is_stored(status: int, cache: HTTPCache):
    def say(asked: Asked) -> Say:
        if asked.number == 1:
            return Say(status)
        return saying(**STALE)(asked)

    async with scripted(say) as server:
        request = Request(server.url)
        assert await twice(server, cache, request, request, request) == [False, False, True]


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_passing_failure_is_not_kept(status: int, cache: HTTPCache):
    async with scripted(saying(status=status, **FRESH)) as server:
        assert await twice(server, cache) == [False, False]
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("says", "used"),
    [("stale-if-error=60", True), ("stale-if-error=60, must-revalidate", False), ("public", False)],
)
@pytest.mark.parametrize("failure", [Say(503), Say(200, None)])
async def test_a_stale_response_is_used_if_the_server_fails_and_has_allowed_that(
    says: str, used: bool, failure: Say, cache: HTTPCache, later
):
    headers = {"Cache_Control": f"max-age=1, {says}", "ETag": '"a"'}

    def say(asked: Asked) -> Say:
        return failure if asked.number else saying(**headers)(asked)

    async with scripted(say) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        later(30)
        found = [one async for one in stream.map([server.url])]
        assert [one.ok and one.from_cache for one in found] == [used]
        later(90)
        found = [one async for one in stream.map([server.url])]
        assert not found[0].ok


@pytest.mark.parametrize(
    ("vary", "header", "shared"),
    [("Accept-Language", "Accept-Language", False), ("Accept-Language", "X-B", True),
     ("*", "X-B", False), ("user-agent, Cookie", "Cookie", False)],
)  # fmt: skip
async def test_vary_names_the_headers_that_count(
    vary: str, header: str, shared: bool, cache: HTTPCache
):
    async with scripted(saying(**FRESH, Vary=vary)) as server:
        one, other = (Request(server.url, headers={header: value}) for value in "12")
        found = await twice(server, cache, one, other, one)
    assert found == [False, shared, vary != "*"]


async def test_a_variant_by_cookie_is_for_who_has_that_cookie(cache: HTTPCache):
    async with scripted(saying(**FRESH, Vary="Cookie")) as server:
        async with HTTPStream(cache=cache) as stream:
            await stream.fetch(server.url)
            stream.cookiejar.set("a", "1", domain="127.0.0.1")
            found = [(await stream.fetch(server.url)).from_cache for _ in range(2)]
    assert found == [False, True]


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "no-store, max-age=60"},
        {"Cache_Control": "no-cache"},
        {},
        {"Cache_Control": "max-age=60", "Age": "61"},
        {"Expires": "0"},
        {"Date": formatdate(time.time() - 61, usegmt=True), "Cache_Control": "max-age=60"},
    ],
)
async def test_what_is_not_fresh_is_not_used_unasked(headers: dict[str, str], cache: HTTPCache):
    async with scripted(saying(**headers)) as server:
        assert await twice(server, cache) == [False, False]


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "private, max-age=60"},
        {"Cache_Control": "s-maxage=0, max-age=60"},
        {"Expires": formatdate(time.time() + 10**6, usegmt=True)},
        {"Expires": formatdate(time.time() + 10**6, usegmt=True), "Age": "120"},
        {"Last_Modified": formatdate(time.time() - 10**6, usegmt=True)},
        {"Cache_Control": 'max-age=60, no-cache="Set-Cookie"'},
    ],
)
async def test_what_is_fresh_to_a_private_cache_is_used(headers: dict[str, str], cache: HTTPCache):
    async with scripted(saying(**headers)) as server:
        assert await twice(server, cache) == [False, True]


async def test_a_response_ages_though_the_server_gives_no_date(later, cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        later(50)
        aged = await stream.fetch(server.url)
        later(70)
        assert not (await stream.fetch(server.url)).from_cache
    assert 49 <= int(aged.headers["Age"]) < 60


@pytest.mark.parametrize(
    ("wish", "count"), [("no-store", 2), ("no-cache", 2), ("max-age=0", 2), ("max-stale", 1)]
)
async def test_the_request_says_how_much_of_the_cache_it_wants(
    wish: str, count: int, cache: HTTPCache
):
    async with scripted(saying(**FRESH)) as server:
        await twice(
            server, cache, Request(server.url),
            Request(server.url, headers={"Cache-Control": wish}),
        )  # fmt: skip
    assert len(server.asked) == count


async def test_only_if_cached_never_asks(cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        request = Request(server.url, headers={"Cache-Control": "only-if-cached"})
        assert (await stream.fetch(request)).status == 504
        await stream.fetch(server.url)
        assert (await stream.fetch(request)).status == 200
    assert len(server.asked) == 1


async def test_users_do_not_see_what_others_were_sent(cache: HTTPCache):
    async with (
        scripted(saying(**FRESH)) as server,
        HTTPStream(cache=cache) as stream,
    ):
        ann, bob = stream.session("ann"), stream.session("bob")
        requests = [
            Request(server.url),
            Request(server.url, auth=("ann", "pw")),
            Request(server.url, auth=("bob", "pw")),
            Request(server.url, headers={"X-Api-Key": "k"}),
            Request(server.url, public_only=False, resolve={"a": "127.0.0.1"}),
        ]
        found = [
            await stream.fetch(one, session=who) for who in (None, ann, bob) for one in requests
        ]
        assert not any(response.from_cache for response in found)
        assert (await stream.fetch(requests[2], session=bob)).from_cache


async def test_the_file_has_no_secrets_of_requests_and_no_cookies(tmp_path: Path):
    path = tmp_path / "cache"
    say = saying(**FRESH, Set_Cookie="sid=hushhush", Vary="Cookie, X-Token")
    async with scripted(say) as server, HTTPStream(cache=path) as stream:
        request = Request(
            server.url + "/a?token=hushurl",
            headers={"Authorization": "Bearer hushtoken", "X-Token": "hushheader"},
        )
        first = await stream.fetch(request)
        stream.cookiejar.clear()
        second = await stream.fetch(request)
        assert (first.from_cache, second.from_cache) == (False, True)
        assert "Set-Cookie" not in second.headers
        assert len(stream.cookiejar) == 0
        for file in tmp_path.iterdir():
            assert b"hush" not in file.read_bytes()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("has_reader", [True, False])
@pytest.mark.parametrize(("status", "kept"), [(204, False), (500, True)])
async def test_a_change_makes_the_stored_response_void(
    has_reader: bool, status: int, kept: bool, cache: HTTPCache
):
    def say(asked: Asked) -> Say:
        return Say(status) if asked.method == "POST" else saying(**FRESH)(asked)

    async with scripted(say) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        post = Request(server.url, body=b"x")
        await stream.add_request(post, (lambda _: None) if has_reader else None)
        assert (await stream.fetch(server.url)).from_cache is kept


async def test_streams_sinks_ranges_and_conditions_pass_by(tmp_path: Path, cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        async with stream.open(server.url) as response:
            assert await response.stream.read() == b"body"
        sunk = await stream.fetch(Request(server.url, sink=tmp_path / "sunk"))
        for headers in ({"Range": "bytes=0-1"}, {"If-None-Match": '"x"'}):
            await stream.fetch(Request(server.url, headers=headers))
        await stream.fetch(Request(server.url, decompress_response=False))
    assert not sunk.from_cache
    assert (tmp_path / "sunk").read_bytes() == b"body"
    assert len(server.asked) == 6


async def test_head_and_get_are_kept_apart(cache: HTTPCache):
    async with scripted(saying(b"", **FRESH)) as server:
        head = Request(server.url, method="HEAD")
        assert await twice(server, cache, head, Request(server.url), head) == [
            False, False, True,
        ]  # fmt: skip


async def test_redirects_are_kept_as_what_they_are(cache: HTTPCache):
    def say(asked: Asked) -> Say:
        if asked.path == "/":
            return Say(301, b"", {"Location": "/b", "Cache-Control": "max-age=60"})
        return saying(**FRESH)(asked)

    async with scripted(say) as server, HTTPStream(cache=cache) as stream:
        for _ in range(2):
            response = await stream.fetch(server.url)
    assert (response.from_cache, response.url) == (True, server.url + "/b")
    assert [hop.status for hop in response.history] == [301]
    assert server.paths == ["/", "/b"]


async def test_the_cache_is_there_after_a_restart(tmp_path: Path):
    async with scripted(saying(**FRESH)) as server:
        found = []
        for _ in range(2):
            async with HTTPStream(cache=str(tmp_path / "new" / "cache")) as stream:
                found.append((await stream.fetch(server.url)).from_cache)
    assert found == [False, True]


async def test_two_streams_of_one_file_see_what_the_other_has_stored(tmp_path: Path):
    path = tmp_path / "cache"
    async with (
        scripted(saying(**FRESH)) as server,
        HTTPStream(cache=path) as one,
        HTTPStream(cache=path) as other,
    ):
        await one.fetch(server.url)
        assert (await other.fetch(server.url)).from_cache
        await other.fetch(Request(server.url, body=b"x"))
        assert not (await one.fetch(server.url)).from_cache


async def test_the_least_recently_used_go_first():
    def say(asked: Asked) -> Say:
        return saying(b"x" * int(asked.path[2:]), **FRESH)(asked)

    sizes = ("a900", "b900", "c900", "d1501")
    with HTTPCache(max_size=2500, max_body_size=1500) as cache:
        async with scripted(say) as server:
            a, b, c, large = (Request(f"{server.url}/{name}") for name in sizes)
            assert await twice(server, cache, a, b, c, large) == [False] * 4
            assert await twice(server, cache, large, c, b) == [False, True, True]
        assert len(cache) == 2
        cache.clear()
        assert len(cache) == 0


async def test_a_cache_that_fails_is_none(caplog: pytest.LogCaptureFixture, cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        cache._storage._db.execute("DROP TABLE entries")
        for _ in range(2):
            assert not (await stream.fetch(server.url)).from_cache
        cache.close()
        assert not (await stream.fetch(server.url)).from_cache
    assert [
        record.getMessage()[:36] for record in caplog.records if record.levelname == "WARNING"
    ] == ["the cache cannot look for a response"]
    caplog.clear()


def test_another_file_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "other"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE entries (a)")
    db.close()
    with pytest.raises(CacheError, match="cannot be used as a cache of responses"):
        HTTPStream(cache=path)


async def test_a_stored_response_of_a_chain_that_ends_is_not_read(cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream(cache=cache) as stream:
        await stream.fetch(server.url)
        read = []
        chain = stream.add_request(server.url, read.append)
        chain.cancel()
        await stream.drain()
    assert read == []


async def test_a_stream_without_a_cache_has_nothing_of_it():
    async with HTTPStream() as stream:
        assert type(stream._transport) is Transport


async def test_a_cache_works_over_a_replay(tmp_path: Path, cache: HTTPCache):
    async with scripted(saying(**FRESH)) as server, HTTPStream() as stream:
        with HARRecorder(stream, tmp_path / "har"):
            await stream.fetch(server.url)
    async with HTTPStream(replay=HARReplay(tmp_path / "har"), cache=cache) as stream:
        found = [(await stream.fetch(server.url)).from_cache for _ in range(2)]
    assert found == [False, True]


class Pages(Crawl):
    """Follows each link."""

    def parse(self, response):
        return [response.follow(url, self.parse) for url in response.links()]


async def test_a_crawl_that_is_repeated_asks_for_no_page(cache: HTTPCache):
    def say(asked: Asked) -> Say:
        body = b'<a href="/b">b</a>' if asked.path == "/" else b"User-agent: *\nAllow: /"
        return Say(200, body, {"Cache-Control": "max-age=60", "Content-Type": "text/html"})

    done = []
    async with scripted(say) as server:
        for _ in range(2):
            flow = Pages(server.url, cache=cache, say=lambda line: None)
            await flow.serve(signals=False)
            done.append(flow.done)
    assert done == [2, 2]
    # Of robots.txt the beginning counts, which is streamed.
    assert sorted(server.paths) == ["/", "/b", "/robots.txt", "/robots.txt"]


async def test_a_monitor_asks_in_any_case(cache: HTTPCache):
    async with scripted(saying(**FRESH, ETag='"a"')) as server:
        flow = Monitor(
            [server.url], rounds=2, interval=0, cache=cache, say=lambda line: None,
            limits=Limits(),
        )  # fmt: skip
        await flow.serve(signals=False)
    assert [asked.headers["If-None-Match"] for asked in server.asked] == [None, '"a"']
    assert flow.watches[0].is_up


PIECES = st.lists(
    st.sampled_from(
        [
            *("max-age=", "no-cache", "private", "s-maxage", "stale-if-error=", "public", "*"),
            *("cookie", "60", "0", "-1", "1e400", "9" * 30, '="', '"', ",", ";", " ", "=", "\\"),
            *('W/"a"', "é", "\x7f", "Mon, 01 Jan 2024 00:00:00 GMT", "Thu, 99 Foo 99999 99:9 GMT"),
        ]
    ),
    max_size=5,
).map(lambda pieces: "".join(pieces).strip())
NAMES = ["Cache-Control", "Expires", "Date", "Age", "ETag", "Last-Modified", "Vary", "Pragma"]
ANSWERS = st.builds(
    Answer,
    st.sampled_from([200, 200, 304, 404, 500]),
    st.lists(st.tuples(st.sampled_from(NAMES), PIECES), max_size=5).map(tuple),
    st.just(b"x"),
    delay=st.just(0.0),
    reason=st.just(""),
)


@settings(deadline=None, max_examples=60)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=4))
def test_whatever_a_server_says_of_caching_there_is_a_response(answers: list[Answer]):
    async def ask() -> None:
        coming = itertools.cycle(answers)
        with HTTPCache() as cache:
            async with HTTPStream(replay=lambda _: next(coming), cache=cache) as stream:
                for _ in range(6):
                    assert (await stream.fetch("http://h/")).body in (b"x", b"")

    asyncio.run(ask())
