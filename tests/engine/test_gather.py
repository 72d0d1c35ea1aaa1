"""A link that waits for several, pages that follow each other, and hooks of the flow."""

from __future__ import annotations

import asyncio
import json

import pytest
from servers.scripted import Say, scripted
from servers.web import Web

from webqq_tornado import ConnectError, DeadlineError, Gather, HTTPStream, LinkError, Next, Request

REFUSED = "http://127.0.0.1:1/"


async def test_the_reader_gets_all_responses_in_the_order_of_the_links(web: Web):
    joined = []

    def join(responses):
        joined.extend(len(response.body) for response in responses)

    async with HTTPStream() as stream:
        links = [f"{web.http}/bytes/{n}" for n in (5, 3, 4)]
        await stream.add_request(web.http, lambda _: Gather(links, join))
    assert joined == [5, 3, 4]


async def test_each_is_a_chain_that_may_go_on(web: Web):
    joined = []

    def again(response):
        return f"{web.http}/bytes/7", lambda _: None

    async with HTTPStream() as stream:
        links = [(web.http, again), Next(f"{web.http}/bytes/2", lambda _: None, name="two")]
        chain = stream.add_request(web.http, lambda _: Gather(links, joined.extend))
        await chain
        assert [len(one.body) for one in joined] == [7, 2]


async def test_what_the_reader_returns_is_followed(web: Web):
    async with HTTPStream() as stream:

        def join(responses):
            return f"{web.http}/bytes/{len(responses)}", lambda _: None

        chain = stream.add_request(web.http, lambda _: Gather([web.http] * 3, join))
        assert (await chain).body == b"012"
        assert chain.steps == 2


async def test_a_coroutine_may_read_them(web: Web):
    async with HTTPStream() as stream:

        async def join(responses):
            await asyncio.sleep(0)
            return f"{web.http}/bytes/{len(responses)}", lambda _: None

        chain = stream.add_request(web.http, lambda _: Gather([web.http] * 2, join))
        assert (await chain).body == b"01"


async def test_the_first_error_ends_the_others_and_goes_to_the_errback(web: Web):
    seen = []
    async with HTTPStream() as stream:
        links = [f"{web.http}/hold/never", REFUSED]
        gather = Gather(links, lambda _: seen.append("joined"), errback=seen.append)
        await stream.add_request(web.http, lambda _: gather)
        assert stream.stats().cancelled == 1
    assert [type(one) for one in seen] == [ConnectError]


async def test_without_an_errback_it_ends_the_chain(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: Gather([REFUSED], print))
        with pytest.raises(ConnectError):
            await chain
    assert len(caplog.records) == 1


async def test_errors_may_be_among_the_results(web: Web):
    joined = []
    async with HTTPStream() as stream:
        gather = Gather([web.http, REFUSED], joined.extend, return_exceptions=True)
        await stream.add_request(web.http, lambda _: gather)
    assert joined[0].status == 200
    assert isinstance(joined[1], ConnectError)


async def test_gathers_in_gathers(web: Web):
    sums = []

    def inner(responses):
        sums.append(sum(len(one.body) for one in responses))
        return web.http, lambda _: None

    async with HTTPStream() as stream:
        links = [
            (web.http, lambda _, n=n: Gather([f"{web.http}/bytes/{n}"] * 2, inner)) for n in (1, 2)
        ]
        await stream.add_request(web.http, lambda _: Gather(links, sums.append))
    assert sorted(sums[:2]) == [2, 4]
    assert [one.status for one in sums[2]] == [200, 200]


async def test_a_generator_is_taken_as_far_as_there_is_room(web: Web):
    async with HTTPStream(max_clients=2) as stream:
        joined = []
        source = (f"{web.http}/bytes/{n}" for n in range(40))
        await stream.add_request(web.http, lambda _: Gather(source, joined.extend))
    assert [len(one.body) for one in joined] == list(range(40))


async def test_an_async_generator_too(web: Web):
    async def source():
        for number in range(5):
            await asyncio.sleep(0)
            yield f"{web.http}/bytes/{number}"

    async with HTTPStream() as stream:
        joined = []
        await stream.add_request(web.http, lambda _: Gather(source(), joined.extend))
    assert [len(one.body) for one in joined] == list(range(5))


async def test_none_at_all_are_joined_too(web: Web):
    async with HTTPStream() as stream:
        seen = []
        await stream.add_request(web.http, lambda _: Gather([], seen.append))
    assert seen == [[]]


async def test_deadline_and_cancel_reach_into_them(web: Web, caplog):
    async with HTTPStream() as stream:
        links = [f"{web.http}/hold/deep"] * 3
        late = stream.add_request(web.http, lambda _: Gather(links, print), deadline=0.05)
        gone = stream.add_request(web.http, lambda _: Gather(links, print))
        with pytest.raises(DeadlineError):
            await late
        gone.cancel()
        assert not stream.chains


@pytest.mark.parametrize("links", [3, "http://a.test/", None])
async def test_links_that_are_not_several_are_refused(web: Web, links, caplog):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match="several"):
            await stream.add_request(web.http, lambda _: Gather(links, print))


# -- follow -------------------------------------------------------------------------------------


def pages(asked):
    number = int(asked.path.rpartition("/")[2])
    following = f"http://{asked.headers['Host']}/{number + 1}" if number < 4 else None
    return Say(200, json.dumps({"number": number, "next": following}).encode())


@pytest.mark.parametrize("page", ["mailto:a@b.test", 5, b"http://a.test/"])
async def test_a_next_page_that_is_none_names_who_gave_it(page):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        with pytest.raises(LinkError, match="lambda"):
            async for _ in stream.follow(server.url, lambda _: page):
                pass


async def test_pages_follow_each_other():
    async with scripted(pages) as server, HTTPStream() as stream:
        seen = [
            page.json()["number"]
            async for page in stream.follow(f"{server.url}/0", lambda page: page.json()["next"])
        ]
    assert seen == [0, 1, 2, 3, 4]


async def test_the_next_page_is_not_asked_for_before_it_is_wanted():
    async with scripted(pages) as server, HTTPStream() as stream:
        async for page in stream.follow(f"{server.url}/0", lambda page: page.json()["next"]):
            assert len(server.asked) == page.json()["number"] + 1
            if page.json()["number"] == 2:
                break
        assert len(server.asked) == 3
        assert not stream.chains


async def test_pages_may_come_by_requests_delays_and_coroutines():
    async def following(page):
        await asyncio.sleep(0)
        url = page.json()["next"]
        return url and (Request(url, headers={"X-Page": "1"}), 0.001)

    async with scripted(pages) as server, HTTPStream() as stream:
        seen = [page async for page in stream.follow(f"{server.url}/2", following, timeout=60)]
    assert len(seen) == 3
    assert server.asked[-1].headers["X-Page"] == "1"


# -- hooks --------------------------------------------------------------------------------------


async def test_on_request_sees_and_may_change_what_is_sent():
    class Marked(HTTPStream):
        def on_request(self, request):
            if "plain" not in request.url:
                return request.replace(headers=[("X-Mark", "1")])

    async with (
        scripted(lambda asked: Say(200, repr(asked.headers["X-Mark"]).encode())) as server,
        Marked() as stream,
    ):
        assert (await stream.fetch(server.url)).body == b"'1'"
        assert (await stream.fetch(f"{server.url}/plain")).body == b"None"


async def test_what_on_request_raises_is_the_error_of_its_link(web: Web):
    class Strict(HTTPStream):
        def on_request(self, request):
            raise PermissionError("not there")

    async with Strict() as stream:
        with pytest.raises(PermissionError):
            await stream.fetch(web.http)


async def test_on_idle_is_told_whenever_the_last_chain_has_ended(web: Web):
    class Idle(HTTPStream):
        left = 3

        def on_idle(self):
            self.left -= 1
            if self.left:
                self.add_request(web.http)

    async with Idle() as stream:
        stream.add_request(web.http)
        await stream.drain()
        assert stream.left == 0
        assert stream.stats().done == 3


async def test_an_on_idle_that_raises_is_logged(web: Web, caplog):
    class Idle(HTTPStream):
        def on_idle(self):
            raise ValueError("oh")

    async with Idle() as stream:
        await stream.fetch(web.http)
    assert "on_idle" in caplog.text


# -- sources and chains that fail in between ----------------------------------------------------


async def test_an_async_source_is_closed_when_one_of_its_links_has_failed(web: Web):
    given = []
    is_closed = asyncio.Event()

    async def source():
        try:
            yield REFUSED
            while True:
                given.append(1)
                yield f"{web.http}/hold/source"
                await asyncio.sleep(0.01)
        finally:
            is_closed.set()

    async def errback(error):
        await asyncio.wait_for(is_closed.wait(), 60)
        given.clear()
        return f"{web.http}/bytes/7", lambda _: None

    async with HTTPStream() as stream:
        gather = Gather(source(), print, errback=errback)
        chain = stream.add_request(web.http, lambda _: gather)
        assert (await asyncio.wait_for(chain, 60)).request.url.endswith("/bytes/7")
        assert given == []


async def test_an_async_source_that_waits_for_room_is_closed_too(web: Web):
    is_closed = asyncio.Event()

    async def source():
        try:
            yield web.http, failing
            while True:
                yield f"{web.http}/hold/gather-room"
        finally:
            is_closed.set()

    def failing(_response):
        raise ValueError("no")

    async with HTTPStream(max_clients=2) as stream:
        seen = []
        await stream.add_request(web.http, lambda _: Gather(source(), print, errback=seen.append))
        await asyncio.wait_for(is_closed.wait(), 60)
    assert [type(one) for one in seen] == [ValueError]


@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_the_error_of_a_source_is_the_gathers(web: Web, return_exceptions):
    def source():
        yield f"{web.http}/hold/never-2"
        yield REFUSED
        raise LookupError("the source is broken")

    async def source_later():
        for link in source():
            yield link

    async with HTTPStream() as stream:
        for links in (source(), source_later()):
            seen = []
            gather = Gather(links, print, seen.append, return_exceptions)
            await asyncio.wait_for(stream.add_request(web.http, lambda _, g=gather: g), 60)
            assert [type(one) for one in seen] in ([LookupError], [ConnectError])
            if return_exceptions:
                assert isinstance(seen[0], LookupError)


async def test_a_failing_child_deep_below_ends_its_own_gather_first(web: Web):
    seen = []

    def inner(_response):
        return Gather([f"{web.http}/hold/inner", REFUSED], print, errback=caught)

    def caught(error):
        seen.append("inner")
        raise error

    async with HTTPStream() as stream:
        links = [(web.http, inner), f"{web.http}/hold/outer"]
        gather = Gather(links, print, errback=lambda error: seen.append(type(error)))
        await asyncio.wait_for(stream.add_request(web.http, lambda _: gather), 60)
        assert not stream.chains
    assert seen == ["inner", ConnectError]


async def test_thousands_that_fail_at_once_end_the_gather_once(web: Web):
    seen = []
    async with HTTPStream(max_clients=50) as stream:
        gather = Gather([REFUSED] * 3000, print, errback=seen.append)
        await stream.add_request(web.http, lambda _: gather)
        assert not stream.chains
        assert stream.stats().in_flight == 0
    assert len(seen) == 1


# -- follow -------------------------------------------------------------------------------------


async def test_pages_may_come_by_a_next_with_a_delay(web: Web):
    async with HTTPStream() as stream:
        links = iter([Next(f"{web.http}/bytes/3", delay=0.001), None])
        seen = [
            len(page.body)
            async for page in stream.follow(Next(f"{web.http}/bytes/2"), lambda _: next(links))
        ]
    assert seen == [2, 3]


async def test_a_page_link_of_a_wrong_shape_says_so(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match="request and a delay"):
            async for _ in stream.follow(web.http, lambda _: (web.http, 1, 2)):
                pass


async def test_a_fetch_of_a_next_reads_its_body_and_raises_its_error(web: Web):
    async with HTTPStream() as stream:
        assert (await stream.fetch(Next(f"{web.http}/bytes/3"))).body == b"012"
        with pytest.raises(ConnectError):
            await stream.fetch(Next(REFUSED, errback=lambda error: None))
