"""`HTTPStream`: the door to it all."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import re
import stat
import urllib.request

import pytest
from descriptors import open_descriptors
from servers.raw import raw_server, saying
from servers.web import Web
from tornado.httpclient import HTTPRequest

from engine.readers import REFUSED, run_script
from webqq_tornado import (
    ClosedError,
    ConnectError,
    HTTPStream,
    Next,
    StreamError,
    TimeoutError,
)

# -- as in 2013 -------------------------------------------------------------------------------


def test_a_stream_and_a_flow_show_the_arguments_of_their_init():
    class Flow(HTTPStream):
        def __init__(self, count: int) -> None:
            super().__init__()

    assert "max_clients" in inspect.signature(HTTPStream).parameters
    assert list(inspect.signature(Flow).parameters) == ["count"]


def test_the_usage_of_2013_runs_as_a_script(web: Web):
    out = run_script(
        """
        import sys
        import urllib.request
        from webqq_tornado import HTTPStream

        stream = HTTPStream.instance()
        request = urllib.request.Request(sys.argv[1] + "/bytes/10")

        def readback(resp):
            print(resp.read())

        stream.add_request(request, readback)
        stream.start()
        """,
        web.http,
    )
    assert out == "b'0123456789'\n"


def test_the_usage_of_2013_with_a_delay_and_stop_runs_as_a_script(web: Web):
    out = run_script(
        """
        import sys
        from webqq_tornado import HTTPStream

        http = HTTPStream.instance()
        steps = []

        def again(resp):
            steps.append(resp.status)
            if len(steps) == 3:
                print(steps)
                http.stop()
            return http.make_get_request(sys.argv[1], {"step": len(steps)}), again, 0.01

        http.add_delay_request(http.make_post_request(sys.argv[1], {"a": 1}), again, 0.01)
        http.start()
        """,
        web.http,
    )
    assert out == "[200, 200, 200]\n"


# -- what is a request ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "urllib", "tornado", "own"])
async def test_a_request_comes_in_four_forms(web: Web, kind):
    url = f"{web.http}/echo/here"
    async with HTTPStream() as stream:
        request = {
            "text": url,
            "urllib": urllib.request.Request(url),
            "tornado": HTTPRequest(url),
            "own": stream.make_get_request(url),
        }[kind]
        response = await stream.fetch(request)
    assert response.json()["uri"] == "/echo/here"


NO_REQUESTS = [None, 5, 1.5, True, b"http://127.0.0.1/", [], {}, object(), print, ("http://x/",)]


@pytest.mark.parametrize("thing", NO_REQUESTS, ids=lambda thing: type(thing).__name__)
async def test_what_is_no_request_is_refused_by_its_type(thing):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match=f"of type {type(thing).__name__};.*urllib"):
            stream.add_request(thing, print)
        with pytest.raises(ValueError, match="not a request"):
            stream.add_delay_request(thing, print, 1)
        assert not stream.chains


NO_URLS = [
    "",
    "/path",
    "example.org",
    "ftp://example.org/",
    "file:///etc/passwd",
    "http://",
    "h:/x",
]


@pytest.mark.parametrize("url", NO_URLS)
async def test_what_is_no_http_url_is_refused(url):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="http"):
            stream.add_request(url, print)
        assert not stream.chains


@pytest.mark.parametrize("reader", [5, "print", object(), ("a", "b")])
async def test_a_reader_that_cannot_be_called_is_refused(web: Web, reader):
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match="readback is not callable"):
            stream.add_request(web.http, reader)
        with pytest.raises(TypeError, match="errback is not callable"):
            stream.add_request(web.http, None, errback=reader)
        assert not stream.chains


async def test_a_session_that_is_none_of_ours_is_refused_and_leaves_nothing(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises((TypeError, ValueError)):
            stream.add_request(web.http, None, session="mine")
        assert not stream.chains
        for chain in stream.chains:
            chain.cancel()


async def test_a_session_of_a_closed_stream_is_refused_and_leaves_nothing(web: Web, caplog):
    async with HTTPStream() as other:
        session = other.session("mine")
    async with HTTPStream() as stream:
        try:
            chain = stream.add_request(web.http, None, session=session)
        except (ValueError, ClosedError):
            assert not stream.chains
            return
        with pytest.raises((ValueError, ClosedError)):
            await chain


async def test_the_session_of_another_stream_may_be_borrowed(web: Web):
    async with HTTPStream() as owner, HTTPStream() as stream:
        session = owner.session("mine")
        session.cookiejar.set("a", "1", domain="127.0.0.1")
        told = (await stream.fetch(web.http, session=session)).json()
        stream.close()
        again = (await owner.fetch(web.http, session=session)).json()
    assert dict(told["headers"])["Cookie"] == dict(again["headers"])["Cookie"] == "a=1"


# -- making requests --------------------------------------------------------------------------


async def test_a_get_request_has_its_parameters_in_the_query(web: Web):
    async with HTTPStream() as stream:
        request = stream.make_get_request(f"{web.http}/echo?z=0#end", {"a": "b c", "n": [1, 2]})
        response = await stream.fetch(request)
    assert response.json()["uri"] == "/echo?z=0&a=b+c&n=1&n=2"


async def test_a_post_request_has_its_parameters_as_a_form(web: Web):
    async with HTTPStream() as stream:
        params = {"name": "名 &=", "n": [1, 2], "raw": b"\xe5\x90\x8d"}
        response = await stream.fetch(stream.make_post_request(f"{web.http}/form", params))
        pairs = stream.make_post_request(f"{web.http}/form", [("a", 1), ("a", 2)])
        repeated = await stream.fetch(pairs)
    fields = response.json()["fields"]
    assert fields == [["name", "名 &="], ["n", "1"], ["n", "2"], ["raw", "名"]]
    assert repeated.json()["fields"] == [["a", "1"], ["a", "2"]]


async def test_a_post_request_with_bytes_sends_them_as_they_are(web: Web):
    async with HTTPStream() as stream:
        body = bytes(range(256))
        response = await stream.fetch(stream.make_post_request(f"{web.http}/echo", body))
    assert response.json()["body"].encode("latin-1") == body


async def test_a_post_request_without_anything_has_an_empty_body(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(stream.make_post_request(f"{web.http}/echo"))
    told = response.json()
    assert (told["method"], told["body"]) == ("POST", "")
    assert dict(told["headers"])["Content-Length"] == "0"


async def test_a_post_request_with_json_says_so(web: Web):
    async with HTTPStream() as stream:
        request = stream.make_post_request(f"{web.http}/echo", json={"名": [1, None]})
        told = (await stream.fetch(request)).json()
    assert told["body"].encode("latin-1").decode() == '{"名": [1, null]}'
    assert dict(told["headers"])["Content-Type"] == "application/json"


async def test_a_post_request_may_say_its_own_content_type(web: Web):
    async with HTTPStream() as stream:
        request = stream.make_post_request(
            f"{web.http}/echo", b"<a/>", headers={"content-type": "text/xml", "X-A": "b"}
        )
        told = (await stream.fetch(request)).json()
    assert [value for name, value in told["headers"] if name == "Content-Type"] == ["text/xml"]
    assert ["X-A", "b"] in told["headers"]


@pytest.mark.parametrize("wrong", [{"params": {"a": 1}}, {"files": {"a": b""}}])
async def test_json_goes_with_nothing_else(wrong):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="json is a body of its own"):
            stream.make_post_request("http://127.0.0.1/", json={}, **wrong)


async def test_files_do_not_go_with_a_body():
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="form fields"):
            stream.make_post_request("http://127.0.0.1/", b"body", files={"a": b""})


# -- fetch ------------------------------------------------------------------------------------


async def test_fetch_gives_the_response_whatever_its_status(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/status/503")
    assert (response.status, response.code, response.reason) == (503, 503, "As Asked")
    assert response.body == b"body"


async def test_fetch_raises_and_logs_nothing():
    async with HTTPStream() as stream:
        with pytest.raises(ConnectError):
            await stream.fetch(REFUSED)


async def test_fetch_gives_up_in_time(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(TimeoutError):
            await stream.fetch(f"{web.http}/hold/fetch", timeout=0.05)
        assert not stream.chains


async def test_a_cancelled_fetch_is_no_longer_in_flight(web: Web):
    async with HTTPStream() as stream:
        task = asyncio.ensure_future(stream.fetch(f"{web.http}/hold/gone"))
        await stream.fetch(f"{web.http}/arrived/gone")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not stream.chains
        await stream.fetch(f"{web.http}/left/gone")


async def test_fetch_raises_also_where_on_error_deals_with_errors():
    class Calm(HTTPStream):
        def on_error(self, error):
            return None

    async with Calm() as stream:
        with pytest.raises(StreamError):
            await stream.fetch(REFUSED)


# -- room -------------------------------------------------------------------------------------


async def test_requests_beyond_max_clients_wait_in_order(web: Web):
    order = []
    async with HTTPStream(max_clients=1) as stream:
        for n in range(10):
            stream.add_request(web.http, lambda _, n=n: order.append(n))
        assert stream.stats()[:3] == (10, 1, 9)
    assert order == list(range(10))


async def test_no_more_than_max_clients_are_in_flight(web: Web):
    async with HTTPStream(max_clients=3) as stream:
        for _ in range(10):
            stream.add_request(f"{web.http}/hold/room", None)
        other = HTTPStream()
        while (await other.fetch(f"{web.http}/arrived/room")).text != "3":
            pass
        await other.fetch(web.http)
        assert (await other.fetch(f"{web.http}/arrived/room")).text == "3"
        other.close()
        stream.close()


@pytest.mark.parametrize("wrong", [0, -1])
async def test_max_clients_is_one_or_more(wrong):
    with pytest.raises(ValueError, match="max_clients"):
        HTTPStream(max_clients=wrong)


async def test_a_chain_takes_turns_with_those_that_wait(web: Web):
    order = []

    async with HTTPStream(max_clients=1) as stream:

        def twice(response):
            order.append("first")
            return (web.http, lambda _: order.append("first again")) if order == ["first"] else None

        stream.add_request(web.http, twice)
        stream.add_request(web.http, lambda _: order.append("second"))
    assert order == ["first", "second", "first again"]


# -- defaults ---------------------------------------------------------------------------------


async def test_defaults_hold_where_a_request_says_nothing(web: Web):
    async with HTTPStream(defaults={"user_agent": "tests"}) as stream:
        plain = await stream.fetch(web.http)
        other = await stream.fetch(stream.make_get_request(web.http, user_agent="mine"))
        none = await stream.fetch(stream.make_get_request(web.http, user_agent=""))
    agents = [dict(r.json()["headers"]).get("User-Agent") for r in (plain, other, none)]
    assert agents == ["tests", "mine", None]


WRONG_DEFAULTS = [
    {"timeout": 5},
    {"url": "http://127.0.0.1/"},
    {"http_version": "9"},
    {"connect_timeout": -1},
    {"request_timeout": float("nan")},
    {"user_agent": "a\r\nX-Injected: 1"},
]


@pytest.mark.parametrize("defaults", WRONG_DEFAULTS, ids=lambda d: next(iter(d)))
async def test_defaults_that_cannot_be_are_refused_and_leave_nothing(defaults):
    before = open_descriptors()
    with pytest.raises(ValueError, match=next(iter(defaults))):
        HTTPStream(defaults=defaults)
    assert open_descriptors() <= before


# -- numbers ----------------------------------------------------------------------------------


async def test_stats_count_what_was_done(web: Web, caplog):
    async with HTTPStream() as stream:
        last = (f"{web.http}/bytes/24", lambda _: None)
        stream.add_request(f"{web.http}/bytes/1000", lambda _: last)
        stream.add_request(REFUSED)
        stream.add_request(f"{web.http}/bytes/5000", None)
        stream.add_request(web.http).cancel()
        await stream.drain()
        stats = stream.stats()
    assert (stats.started, stats.done, stats.failed, stats.cancelled) == (4, 2, 1, 1)
    assert (stats.responses, stats.errors, stats.received) == (3, 1, 1024)
    assert stats[:4] == (0, 0, 0, 0)
    assert stats.elapsed > 0


async def test_a_request_that_libcurl_refuses_is_an_error_of_its_chain_alone(web: Web, caplog):
    async with HTTPStream(max_clients=1) as stream:
        read = []
        stream.add_request(web.http, read.append)
        wrong = stream.make_get_request(web.http, unix_socket="a" * 5000)
        chain = stream.add_request(wrong, None)
        stream.add_request(web.http, read.append)
        with pytest.raises((ValueError, StreamError)):
            await chain
    assert len(read) == 2


async def test_next_may_name_a_session_for_one_of_several(web: Web):
    async with HTTPStream() as stream:
        told = []
        links = []
        for name in "ab":
            session = stream.session(name)
            session.cookiejar.set("who", name, domain="127.0.0.1")
            links.append(Next(web.http, lambda r: told.append(r.json()), session=session))
        await stream.add_request(web.http, lambda _: links)
    cookies = sorted(dict(each["headers"])["Cookie"] for each in told)
    assert cookies == ["who=a", "who=b"]


async def test_the_map_of_sockets_names_what_is_in_flight(web: Web):
    async with HTTPStream() as stream:
        assert not stream.fd_map
        chain = stream.add_request(f"{web.http}/hold/map", None)
        await stream.fetch(f"{web.http}/arrived/map")
        # libcurl may have it wait for an eventfd of its own besides.
        assert sum(stat.S_ISSOCK(os.fstat(fd).st_mode) for fd in stream.fd_map) == 1
        chain.cancel()
        assert not stream.fd_map


async def test_a_slow_answer_leaves_the_loop_idle(web: Web):
    """No turn of the loop is taken for a socket that has nothing to say."""
    handled = []

    class Flow(HTTPStream):
        def _handle_events(self, fd, events):
            handled.append(fd)
            super()._handle_events(fd, events)

    async with Flow() as stream:
        chain = stream.add_request(f"{web.http}/hold/idle", None)
        await stream.fetch(f"{web.http}/arrived/idle")
        before = len(handled)
        await asyncio.wait_for(asyncio.shield(stream.drain(0.2)), 60)
        assert len(handled) - before < 5
        chain.cancel()


async def test_a_server_that_closes_each_connection_is_no_trouble(web: Web):
    steps = []

    def read(response):
        steps.append(response.status)
        return (response.request, read) if len(steps) < 50 else None

    async with HTTPStream() as stream:
        await stream.add_request(f"{web.http}/close", read)
    assert steps == [200] * 50


async def test_a_keep_alive_connection_closed_before_its_next_use_is_replaced():
    one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    async with raw_server(saying(one)) as url, HTTPStream() as stream:
        bodies = [(await stream.fetch(url)).body for _ in range(20)]
    assert bodies == [b"ok"] * 20


async def test_map_gives_responses_as_they_come_and_errors_as_values(web: Web):
    urls = [f"{web.http}/echo", "http://127.0.0.1:1/", f"{web.http}/status/404"]
    async with HTTPStream() as stream:
        results = {result.request.url: result async for result in stream.map(urls)}
    assert results.keys() == set(urls)
    assert [results[url].ok for url in urls] == [True, False, False]
    assert isinstance(results["http://127.0.0.1:1/"], ConnectError)


async def test_map_takes_requests_only_as_there_is_room(web: Web):
    taken = []

    async def endless():
        for number in itertools.count():
            taken.append(number)
            yield f"{web.http}/echo?{number}"

    async with HTTPStream() as stream:
        results = stream.map(endless(), concurrency=3)
        for _ in range(5):
            await anext(results)
        assert len(taken) <= 8
        await results.aclose()
        assert await stream.drain(60)


async def test_map_never_has_more_under_way_than_it_may(web: Web):
    async with HTTPStream() as stream:
        most = 0
        async for _ in stream.map([f"{web.http}/echo"] * 20, concurrency=4):
            most = max(most, stream.stats().in_flight)
    assert most <= 4


async def test_map_of_nothing_is_nothing(web: Web):
    async with HTTPStream() as stream:
        assert [result async for result in stream.map([])] == []
        with pytest.raises(ValueError, match="concurrency is 1 or more, not 0"):
            await anext(stream.map([], concurrency=0))


@pytest.mark.parametrize(
    ("requests", "options", "says"),
    [
        ("http://127.0.0.1/", {}, "map takes several requests"),
        (Next("http://127.0.0.1/"), {}, "map takes several requests"),
        (None, {}, "map takes several requests"),
        ([], {"headers": {}}, "stream.get(url, headers=...) for url in urls"),
    ],
)
async def test_map_of_what_is_no_list_is_refused_with_the_remedy(requests, options, says: str):
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match=re.escape(says)):
            await anext(stream.map(requests, **options))


async def test_none_among_the_requests_of_map_ends_it_with_an_error_and_hides_no_others(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="not a request: None"):
            async for _ in stream.map([None, web.http]):
                pass
        with pytest.raises(ValueError, match="concurrency is 1 or more, not None"):
            await anext(stream.map([], concurrency=None))


async def test_map_gives_results_while_its_source_has_nothing(web: Web):
    may_end = asyncio.Event()

    async def slow():
        yield f"{web.http}/echo"
        await may_end.wait()
        yield f"{web.http}/status/404"

    async with HTTPStream() as stream:
        results = stream.map(slow())
        assert (await asyncio.wait_for(anext(results), 60)).status == 200
        may_end.set()
        assert [result.status async for result in results] == [404]


async def test_map_that_is_left_ends_its_source_and_its_requests(web: Web):
    ended = []

    async def endless():
        try:
            yield f"{web.http}/echo"
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with HTTPStream() as stream:
        results = stream.map(endless())
        await anext(results)
        await results.aclose()
        assert ended == [True]
        assert await stream.drain(60)
