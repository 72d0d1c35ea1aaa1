"""A link: what a reader returns to go on."""

from __future__ import annotations

import asyncio

import pytest
from servers.scripted import Asked, Say, scripted
from servers.web import Web

from engine.readers import REFUSED, Oops, Reading, raising_in_a_generator, raising_later
from webqq_tornado import (
    Gather,
    HTTPStream,
    LinkError,
    Next,
    Request,
    State,
)
from webqq_tornado.engine.links import RelativeRequest


async def test_a_reader_that_returns_none_ends_the_chain(web: Web):
    async with HTTPStream() as stream:
        read = Reading()
        chain = stream.add_request(web.http, read)
        response = await chain
    assert read.responses == [response]
    assert (chain.state, chain.steps, chain.done) == (State.DONE, 1, True)


async def test_a_pair_is_the_next_link(web: Web):
    last = Reading()
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: (f"{web.http}/echo/2", last))
        response = await chain
    assert response.json()["uri"] == "/echo/2"
    assert chain.steps == 2


async def test_a_pair_with_a_request_made_before_is_the_next_link(web: Web):
    read = Reading()
    read.results = [(Request(f"{web.http}/echo/2"), read)]
    async with HTTPStream() as stream:
        await stream.add_request(f"{web.http}/echo/1", read)
    assert read.paths == ["/echo/1", "/echo/2"]


async def test_a_triple_waits_before_its_request_is_sent(web: Web):
    loop, times = asyncio.get_running_loop(), []

    def read(response):
        times.append(loop.time())
        return (response.request, read, 0.1) if len(times) < 2 else None

    async with HTTPStream() as stream:
        await stream.add_request(web.http, read)
    assert 0.1 <= times[1] - times[0] < 60


async def test_the_response_knows_the_request_that_can_be_sent_again(web: Web):
    async with HTTPStream() as stream:
        request = stream.make_post_request(f"{web.http}/echo", {"a": 1})
        read = Reading()
        await stream.add_request(request, lambda first: (first.request, read))
    assert read.responses[0].json()["body"] == "a=1"


async def test_a_link_without_a_reader_is_sent_and_its_body_dropped(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(f"{web.http}/bytes/100000")
        response = await chain
        assert stream.stats().responses == 1
    assert chain.state is State.DONE
    assert response is None or response.body == b""


async def test_a_reader_may_end_with_a_link_without_a_reader(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: (web.http, None))
        await chain
        assert stream.stats().responses == 2


async def test_next_carries_reader_delay_errback_session_and_name(web: Web):
    loop, errors, times = asyncio.get_running_loop(), [], []
    async with HTTPStream() as stream:
        session = stream.session("mine")
        session.cookiejar.set("who", "me", domain="127.0.0.1")
        read = Reading()

        def retry(error):
            errors.append(error)
            times.append(loop.time())
            return Next(f"{web.http}/echo", read, session=session)

        def first(_):
            times.append(loop.time())
            return Next(REFUSED, print, delay=0.05, errback=retry, name="ignored in one")

        await stream.add_request(web.http, first)
    assert len(errors) == 1
    assert times[1] - times[0] >= 0.05
    assert ["Cookie", "who=me"] in read.responses[0].json()["headers"]


@pytest.mark.parametrize("result", ["none", "pair", "list", "generator"])
async def test_a_coroutine_reader_returns_like_a_function(web: Web, result):
    read = Reading()
    link = (f"{web.http}/echo/2", read)
    results = {"none": None, "pair": link, "list": [link], "generator": iter([link])}

    async with HTTPStream() as stream:

        async def first(response):
            await stream.fetch(web.http)
            return results[result]

        chain = stream.add_request(web.http, first)
        await chain
    assert read.paths == ([] if result == "none" else ["/echo/2"])
    assert chain.state is State.DONE


async def test_a_chain_is_reading_while_its_coroutine_reader_runs(web: Web):
    async with HTTPStream() as stream:
        go_on = asyncio.Event()

        async def read(response):
            await go_on.wait()

        chain = stream.add_request(web.http, read)
        await stream.fetch(web.http)
        while chain.state is not State.READING:
            await stream.fetch(web.http)
        go_on.set()
        await chain
    assert chain.state is State.DONE


# -- delays -----------------------------------------------------------------------------------


async def test_a_delay_of_zero_is_none(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, delay=0)
        assert chain.state is State.SENT


async def test_a_delayed_chain_waits_for_its_time(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_delay_request(web.http, None, 0.02)
        assert chain.state is State.DELAYED
        assert stream.stats().delayed == 1
        await chain
        assert stream.stats().delayed == 0
    assert chain.state is State.DONE


BAD_DELAYS = [-1, -0.001, float("nan"), float("inf"), True, "1", None, 1j]


@pytest.mark.parametrize("delay", BAD_DELAYS, ids=str)
async def test_a_delay_that_is_no_number_of_seconds_is_refused(web: Web, delay):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match="delay"):
            stream.add_request(web.http, None, delay=delay)
        with pytest.raises(LinkError, match="delay"):
            stream.add_delay_request(web.http, None, delay)
        assert not stream.chains


@pytest.mark.parametrize("delay", BAD_DELAYS, ids=str)
async def test_a_reader_that_returns_a_bad_delay_is_named(web: Web, delay, caplog):
    def reader_with_bad_delay(response):
        return web.http, None, delay

    async with HTTPStream() as stream:
        with pytest.raises(LinkError) as caught:
            await stream.add_request(web.http, reader_with_bad_delay)
    message = str(caught.value)
    assert "delay" in message
    assert "reader_with_bad_delay" in message
    assert __file__ in message


# -- wrong returns ----------------------------------------------------------------------------

WRONG = {
    "int": 42,
    "bool": True,
    "text": "http://127.0.0.1/",
    "bytes": b"x",
    "dict": {"a": 1},
    "set": {1},
    "request": Request("http://127.0.0.1/"),
    "single": ("http://127.0.0.1/",),
    "four": ("http://127.0.0.1/", None, 0, None),
    "no reader": ("http://127.0.0.1/", 5),
    "swapped": (print, "http://127.0.0.1/"),
    "no request": (5, None),
    "bytes request": (b"http://127.0.0.1/", None),
    "list of text": ["http://127.0.0.1/"],
    "list of none": [None],
    "list of lists": [[("http://127.0.0.1/", None)]],
    "list with a bad reader": [("http://127.0.0.1/", "read")],
    "list with a bad request": [(5, None)],
    "bad errback": Next("http://127.0.0.1/", None, errback=5),
    "object": object(),
    "function": print,
    "exception": ValueError("x"),
}


@pytest.mark.parametrize("what", WRONG)
async def test_what_is_no_link_fails_the_chain_and_names_the_reader(web: Web, what, caplog):
    def reader_that_is_wrong(response):
        return WRONG[what]

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, reader_that_is_wrong, name="wrong")
        with pytest.raises(LinkError) as caught:
            await chain
    message = str(caught.value)
    assert chain.state is State.FAILED
    assert "reader_that_is_wrong" in message
    assert f"{__file__}:" in message
    assert "chain wrong, step 1" in message


@pytest.mark.parametrize(("what", "kind"), [("int", "int"), ("text", "str"), ("dict", "dict")])
async def test_the_message_says_what_came_and_its_type(web: Web, what, kind, caplog):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError) as caught:
            await stream.add_request(web.http, lambda _: WRONG[what])
    assert f"of type {kind}" in str(caught.value)


async def test_a_coroutine_that_returns_no_link_is_named(web: Web, caplog):
    async def coroutine_that_is_wrong(response):
        return 42

    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match=r"coroutine_that_is_wrong \(.*test_links\.py:\d+\)"):
            await stream.add_request(web.http, coroutine_that_is_wrong)


async def test_a_generator_that_yields_no_link_is_named(web: Web, caplog):
    def generator_that_is_wrong(response):
        yield 42

    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match=r"generator_that_is_wrong \(.*test_links\.py:\d+\)"):
            await stream.add_request(web.http, generator_that_is_wrong)


async def test_a_wrong_return_leaves_other_chains_alone(web: Web, caplog):
    async with HTTPStream() as stream:
        stream.add_request(web.http, lambda _: 42)
        read = Reading()
        await stream.add_request(web.http, lambda _: (web.http, read))
    assert len(read.responses) == 1


async def test_a_wrong_return_goes_to_the_errback_first(web: Web):
    errors = []
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: 42, errback=errors.append)
        await chain
    assert isinstance(errors[0], LinkError)
    assert chain.state is State.DONE


async def test_a_reader_that_returns_a_chain_is_told_to_return_nothing(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: stream.add_request(web.http))
        with pytest.raises(LinkError, match="needs no return"):
            await chain


def _site(asked: Asked) -> Say:
    return Say(302, b"", {"Location": "/list/1"}) if asked.path == "/" else Say()


async def _generator(_):
    yield "2?x", None
    yield "../b", None


def _raise(_):
    raise Oops


async def _returning(link):
    return link


@pytest.mark.parametrize(
    ("read", "paths"),
    [
        (lambda _: ("/b", None), ["/b"]),
        (lambda _: ("?page=2", None, 0.001), ["/list/1?page=2"]),
        (lambda _: ("", None), ["/list/1"]),
        (lambda response: (response.url.removeprefix("http:"), None), ["/list/1"]),
        (lambda _: Next("2#part"), ["/list/2"]),
        (lambda _: [("2", None), Next("../b")], ["/b", "/list/2"]),
        (lambda _: iter([("2", None)]), ["/list/2"]),
        (_generator, ["/b", "/list/2?x"]),
        (lambda _: _returning(("2", None)), ["/list/2"]),
        (lambda _: Gather(["2", "../b"]), ["/b", "/list/2"]),
        (lambda _: Gather(["2"], lambda _: ("3", None)), ["/list/2", "/list/3"]),
        (lambda _: Gather(["2"], _raise, lambda _: ("3", None)), ["/list/2", "/list/3"]),
    ],
)
async def test_relative_urls_are_seen_from_the_response(read, paths):
    async with scripted(_site) as server:
        async with HTTPStream() as stream:
            await stream.add_request(server.url, read)
    assert server.paths[:2] == ["/", "/list/1"]
    assert sorted(server.paths[2:]) == paths


@pytest.mark.parametrize("read", [_raise, raising_later, raising_in_a_generator])
async def test_an_errback_sees_relative_urls_from_the_response_that_was_read(read):
    async with scripted(_site) as server:
        async with HTTPStream() as stream:
            await stream.add_request(server.url, read, errback=lambda _: ("2", None))
    assert server.paths == ["/", "/list/1", "/list/2"]


async def test_an_errback_sees_relative_urls_from_the_request_that_failed():
    def script(asked: Asked) -> Say:
        return Say(200, None if asked.path == "/a/b" else b"")

    class Flow(HTTPStream):
        def on_error(self, error):
            return "d", None

    async with scripted(script) as server:
        async with Flow() as stream:
            await stream.add_request(f"{server.url}/a/b", errback=lambda _: ("c", None))
            await stream.add_request(f"{server.url}/a/b")
    assert {*server.paths} == {"/a/b", "/a/c", "/a/d"}


async def test_pages_that_are_followed_may_be_relative():
    following = {"1": "2", "2": ("?page=3", 0.001), "3": Next("/list/4"), "4": None}
    async with scripted(_site) as server, HTTPStream() as stream:
        pages = stream.follow(server.url, lambda page: following[page.url[-1]])
        urls = [page.url.removeprefix(server.url) async for page in pages]
    assert urls == ["/list/1", "/list/2", "/list/2?page=3", "/list/4"]


@pytest.mark.parametrize("url", ["/health", "//host/health", "health", ""])
async def test_where_there_is_nothing_that_it_is_relative_to_the_cause_comes_first(url, caplog):
    class Flow(HTTPStream):
        def begin(self):
            yield url, print

    with pytest.raises(ValueError, match="is not absolute"):
        HTTPStream().add_request(url)
    async with Flow() as stream:
        chain = stream.launch()
        with pytest.raises(LinkError, match=f"^URL '{url}' is not absolute.*; .*begin .*returned"):
            await chain


async def test_a_relative_request_and_a_reader_are_one_link(web: Web):
    seen = []

    def read(response):
        return RelativeRequest.of("/bytes/3"), seen.append

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        assert (await chain).body == b"012"
    assert len(seen) == 1
