"""What readers may return, and the life of a chain."""

from __future__ import annotations

import asyncio
import itertools
import logging
import urllib.request

import pytest
from servers.web import Web
from tornado.httpclient import HTTPRequest

from webqq_tornado import (
    Chain,
    ClosedError,
    DeadlineError,
    HTTPStream,
    LinkError,
    Next,
    Request,
    State,
    StreamError,
)

REFUSED = "http://127.0.0.1:1/"  # tcpmux: nobody has listened there for decades


class Reading:
    """A reader that keeps what it read, and returns what it is told."""

    def __init__(self, *results: object) -> None:
        self.responses: list = []
        self.results = list(results)

    def __call__(self, response):
        self.responses.append(response)
        return self.results.pop(0) if self.results else None

    @property
    def paths(self) -> list[str]:
        return [response.json()["uri"] for response in self.responses]


# -- forms of a link ------------------------------------------------------------------------


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
    assert 0.1 <= times[1] - times[0] < 2


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


@pytest.mark.parametrize("form", [list, tuple, iter, lambda links: (link for link in links)])
async def test_several_links_become_chains_below(web: Web, form):
    read = Reading()
    links = [(f"{web.http}/echo/{n}", read) for n in range(5)]
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: form(links))
        await chain
    assert sorted(read.paths) == [f"/echo/{n}" for n in range(5)]
    assert chain.state is State.DONE


async def test_several_links_may_be_of_every_form(web: Web):
    read = Reading()
    links = [
        (f"{web.http}/echo/1", read),
        (f"{web.http}/echo/2", read, 0.01),
        Next(f"{web.http}/echo/3", read),
        (urllib.request.Request(f"{web.http}/echo/4"), read),
        (HTTPRequest(f"{web.http}/echo/5"), read),
        (f"{web.http}/echo/6", None),
    ]
    async with HTTPStream() as stream:
        await stream.add_request(web.http, lambda _: links)
        assert stream.stats().responses == 7
    assert sorted(read.paths) == [f"/echo/{n}" for n in range(1, 6)]


@pytest.mark.parametrize("empty", [[], (), iter(())], ids=["list", "tuple", "iterator"])
async def test_several_links_may_be_none_at_all(web: Web, empty):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: empty)
        await chain
    assert chain.state is State.DONE


async def test_a_chain_of_several_ends_after_all_below_it(web: Web):
    ended = []
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: [Next(f"{web.http}/hold/below", print)])
        task = asyncio.ensure_future(chain)
        task.add_done_callback(lambda _: ended.append("above"))
        await stream.fetch(f"{web.http}/arrived/below")
        assert chain.state is State.WAITING
        (below,) = (each for each in stream.chains if each is not chain)
        assert below.parent is chain
        await stream.fetch(f"{web.http}/release/below")
        await below
        ended.append("below")
        await task
    assert set(ended) == {"above", "below"}


async def test_chains_below_are_named_after_the_one_above(web: Web):
    names = []
    async with HTTPStream() as stream:

        def read(_):
            names.extend(sorted(chain.name for chain in stream.chains))

        links = [(web.http, read), Next(web.http, None, name="own name")]
        await stream.add_request(web.http, lambda _: links, name="top")
    assert {"top.1", "own name"} <= set(names) | {"own name"}
    assert "top.1" in names


async def test_a_generator_reader_is_a_source_of_links(web: Web):
    read = Reading()

    def several(response):
        for n in range(3):
            yield f"{web.http}/echo/{n}", read

    async with HTTPStream() as stream:
        await stream.add_request(web.http, several)
    assert sorted(read.paths) == ["/echo/0", "/echo/1", "/echo/2"]


async def test_an_async_generator_reader_is_a_source_of_links(web: Web):
    read = Reading()

    async with HTTPStream() as stream:

        async def several(response):
            for n in range(3):
                await stream.fetch(web.http)
                yield f"{web.http}/echo/{n}", read

        chain = stream.add_request(web.http, several)
        await chain
    assert sorted(read.paths) == ["/echo/0", "/echo/1", "/echo/2"]
    assert chain.state is State.DONE


async def test_an_endless_generator_is_taken_as_far_as_there_is_room(web: Web):
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, lambda _: None

        chain = stream.add_request(web.http, endless)
        while stream.stats().responses < 100:
            await stream.ioloop.asyncio_loop.create_task(stream.fetch(web.http))
        assert len(taken) < stream.stats().responses + 10
        assert stream.stats().in_flight <= 4
        chain.cancel()
    assert chain.state is State.CANCELLED


async def test_an_endless_async_generator_is_taken_as_far_as_there_is_room(web: Web):
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        async def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, lambda _: None

        chain = stream.add_request(web.http, endless)
        while stream.stats().responses < 100:
            await stream.fetch(web.http)
        assert len(taken) < stream.stats().responses + 10
        chain.cancel()
    assert chain.state is State.CANCELLED


async def test_an_endless_generator_of_delayed_links_leaves_the_loop_to_others(web: Web):
    taken = []
    async with HTTPStream(max_clients=4) as stream:

        def endless(_):
            for n in itertools.count():
                taken.append(n)
                yield web.http, None, 60

        chain = stream.add_request(web.http, endless)
        for _ in range(20):
            await stream.fetch(web.http)
        chain.cancel()
    assert len(taken) < 1000, "nothing holds back links with a delay: memory grows without end"


async def test_generators_take_turns_when_there_is_little_room(web: Web):
    async with HTTPStream(max_clients=2) as stream:
        reads = [Reading(), Reading()]
        for read in reads:
            links = iter([(web.http, read)] * 20)
            stream.add_request(web.http, lambda _, links=links: links)
        assert await stream.drain(10)
    assert [len(read.responses) for read in reads] == [20, 20]


async def test_a_generator_goes_on_when_the_one_before_it_in_the_line_is_cancelled(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        key, read = "turns", Reading()
        links = [(f"{web.http}/hold/{key}", None)] * 9
        first = stream.add_request(web.http, lambda _: iter(links))
        second = stream.add_request(web.http, lambda _: iter([(web.http, read)] * 3))
        async with HTTPStream() as other:
            while second.state is not State.WAITING:
                await other.fetch(f"{web.http}/arrived/{key}")
                await other.fetch(f"{web.http}/release/{key}")
        first.cancel()
        assert await stream.drain(5), "nobody fed the second generator"
    assert len(read.responses) == 3


async def test_generators_that_turn_out_empty_do_not_stop_those_behind_them(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        read, links = Reading(), [iter(()), iter(()), iter(())]
        links.append(iter([(web.http, read)]))
        # All four come while one request is in flight and one waits.
        stream.add_request(f"{web.http}/hold/empty", None)
        stream.add_request(web.http, None)
        flows = [stream._runner.new_chain(None, stream._session) for _ in links]
        for flow, source in zip(flows, links, strict=True):
            stream._runner.follow_call(flow, lambda source=source: source)
        other = HTTPStream()
        await other.fetch(f"{web.http}/release/empty")
        other.close()
        assert await stream.drain(5), "the generator behind the empty ones was forgotten"
    assert len(read.responses) == 1


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


async def test_a_generator_that_goes_on_link_by_link_may_be_long(web: Web):
    left = itertools.count(1500, -1)
    async with HTTPStream() as stream:

        def read(response):
            if next(left) > 0:
                yield response.request, read

        chain = stream.add_request(web.http, read)
        await asyncio.wait_for(asyncio.ensure_future(chain), 20)
    assert chain.state is State.DONE


# -- delays ---------------------------------------------------------------------------------


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


# -- wrong returns --------------------------------------------------------------------------

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
        with pytest.raises(LinkError, match=r"coroutine_that_is_wrong \(.*test_chain\.py:\d+\)"):
            await stream.add_request(web.http, coroutine_that_is_wrong)


async def test_a_generator_that_yields_no_link_is_named(web: Web, caplog):
    def generator_that_is_wrong(response):
        yield 42

    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match=r"generator_that_is_wrong \(.*test_chain\.py:\d+\)"):
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


# -- errors ---------------------------------------------------------------------------------


class Oops(Exception):
    """What readers of these tests raise."""


def raising(*_):
    raise Oops("in a reader")


async def raising_later(*_):
    await asyncio.sleep(0)
    raise Oops("in a reader")


def raising_in_a_generator(*_):
    raise Oops("in a reader")
    yield


async def raising_in_an_async_generator(*_):
    raise Oops("in a reader")
    yield


RAISING = [raising, raising_later, raising_in_a_generator, raising_in_an_async_generator]


@pytest.mark.parametrize("reader", RAISING)
async def test_what_a_reader_raises_ends_its_chain_and_reaches_who_awaits(web: Web, reader, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, reader, name="unlucky")
        with pytest.raises(Oops):
            await chain
    assert chain.state is State.FAILED
    assert isinstance(chain.error, Oops)
    (record,) = caplog.records
    assert record.name == "webqq_tornado.engine"
    assert "chain unlucky failed at step 1" in record.getMessage()


@pytest.mark.parametrize("reader", RAISING)
async def test_what_a_reader_raises_goes_to_the_links_errback(web: Web, reader):
    errors = []
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, reader, errback=errors.append)
        await chain
    assert [type(error) for error in errors] == [Oops]
    assert chain.state is State.DONE


@pytest.mark.parametrize("reader", RAISING)
async def test_what_a_reader_raises_goes_to_on_error(web: Web, reader):
    errors = []

    class Flow(HTTPStream):
        def on_error(self, error):
            errors.append(error)

    async with Flow() as stream:
        chain = stream.add_request(web.http, reader)
        await chain
    assert [type(error) for error in errors] == [Oops]
    assert chain.state is State.DONE


async def test_an_errback_takes_over_from_on_error():
    class Flow(HTTPStream):
        def on_error(self, error):
            raise AssertionError("the errback should have it")

    errors = []
    async with Flow() as stream:
        await stream.add_request(REFUSED, None, errback=errors.append)
    assert isinstance(errors[0], StreamError)


async def test_an_errback_may_return_the_next_link(web: Web):
    read = Reading()
    async with HTTPStream() as stream:
        chain = stream.add_request(REFUSED, None, errback=lambda _: (web.http, read))
        await chain
    assert len(read.responses) == 1
    assert (chain.steps, chain.state) == (2, State.DONE)


async def test_an_errback_may_be_a_coroutine(web: Web):
    read = Reading()

    async def errback(error):
        await asyncio.sleep(0)
        return web.http, read

    async with HTTPStream() as stream:
        await stream.add_request(REFUSED, None, errback=errback)
    assert len(read.responses) == 1


async def test_an_errback_is_for_one_link_only(web: Web, caplog):
    errors = []
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: (REFUSED, None), errback=errors.append)
        with pytest.raises(StreamError):
            await chain
    assert errors == []


@pytest.mark.parametrize("errback", [raising, raising_later])
async def test_an_errback_that_raises_ends_the_chain_with_that(errback, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(REFUSED, None, errback=errback)
        with pytest.raises(Oops):
            await chain
    assert chain.state is State.FAILED


async def test_an_errback_that_returns_no_link_ends_the_chain(caplog):
    async with HTTPStream() as stream:
        with pytest.raises(LinkError):
            await stream.add_request(REFUSED, None, errback=lambda _: 42)


async def test_an_errback_can_try_the_same_again_until_it_works(web: Web):
    left = itertools.count(3, -1)

    async with HTTPStream() as stream:

        def retry(error):
            return Next(REFUSED if next(left) else web.http, None, errback=retry)

        chain = stream.add_request(REFUSED, None, errback=retry)
        await chain
    assert chain.steps == 5


async def test_the_error_knows_its_request_its_chain_and_its_step(web: Web):
    errors = []
    async with HTTPStream() as stream:
        link = Next(REFUSED, None, errback=errors.append)
        await stream.add_request(web.http, lambda _: link, name="lost")
    (error,) = errors
    assert (error.chain, error.step, error.request.url) == ("lost", 2, REFUSED)
    assert str(error).endswith("[chain lost, step 2]")


async def test_an_error_below_fails_the_chain_above_after_the_others_have_ended(web: Web, caplog):
    read = Reading()
    async with HTTPStream() as stream:
        links = [(web.http, raising), (web.http, read), (web.http, read, 0.05)]
        chain = stream.add_request(web.http, lambda _: links)
        with pytest.raises(Oops):
            await chain
    assert len(read.responses) == 2
    assert chain.state is State.FAILED


async def test_an_error_is_logged_once(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: [(web.http, raising)])
        with pytest.raises(Oops):
            await chain
    assert len(caplog.records) == 1


# -- awaiting -------------------------------------------------------------------------------


async def test_a_chain_can_be_awaited_by_many_and_again(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, Reading())

        async def wait():
            return await chain

        first, second = await asyncio.gather(wait(), wait())
        assert first is second is await chain is chain.response


async def test_to_cancel_who_awaits_does_not_cancel_the_chain(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(f"{web.http}/hold/awaited", Reading())
        task = asyncio.ensure_future(chain)
        await stream.fetch(f"{web.http}/arrived/awaited")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert chain.state is State.SENT
        await stream.fetch(f"{web.http}/release/awaited")
        assert (await chain).body == b"released"


async def test_a_failed_chain_raises_its_error_for_everyone(caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(REFUSED)
        with pytest.raises(StreamError):
            await chain
        with pytest.raises(StreamError):
            await chain


# -- cancelling -----------------------------------------------------------------------------


async def _assert_cancelled(chain: Chain) -> None:
    assert chain.state is State.CANCELLED
    assert not chain.cancel()
    with pytest.raises(asyncio.CancelledError):
        await chain


async def test_cancel_in_flight_closes_the_connection(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(f"{web.http}/hold/cancelled", Reading())
        await stream.fetch(f"{web.http}/arrived/cancelled")
        assert chain.cancel()
        await _assert_cancelled(chain)
        assert stream.stats().in_flight == 0
        await stream.fetch(f"{web.http}/left/cancelled")


async def test_cancel_before_anything_was_sent(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, raising)
        assert chain.cancel()
        await _assert_cancelled(chain)
        await stream.fetch(web.http)
        assert stream.stats()[:3] == (0, 0, 0)


async def test_cancel_while_delayed(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, raising, delay=60)
        assert chain.cancel()
        await _assert_cancelled(chain)
        assert stream.stats().delayed == 0


async def test_cancel_while_queued(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        stream.add_request(web.http, None)
        chain = stream.add_request(web.http, raising)
        assert chain.state is State.QUEUED
        assert chain.cancel()
        await _assert_cancelled(chain)
        assert stream.stats().queued == 0


async def test_cancel_in_its_own_reader(web: Web):
    async with HTTPStream() as stream:

        def read(response):
            assert chain.cancel()
            return web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_coroutine_reader(web: Web):
    async with HTTPStream() as stream:

        async def read(response):
            assert chain.cancel()
            return web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_generator(web: Web):
    async with HTTPStream() as stream:

        def read(response):
            yield f"{web.http}/hold/generator-{id(stream)}", None
            assert chain.cancel()
            yield web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_async_generator(web: Web):
    async with HTTPStream() as stream:

        async def read(response):
            yield f"{web.http}/hold/generator-{id(stream)}", None
            assert chain.cancel()
            yield web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_errback():
    async with HTTPStream() as stream:

        def errback(error):
            assert chain.cancel()
            return REFUSED, None

        chain = stream.add_request(REFUSED, None, errback=errback)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_cancel_stops_a_coroutine_reader(web: Web):
    started, stopped = asyncio.Event(), asyncio.Event()

    async def read(response):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        await started.wait()
        assert chain.cancel()
        await asyncio.wait_for(stopped.wait(), 5)
        await _assert_cancelled(chain)


async def test_cancel_reaches_the_chains_below(web: Web):
    async with HTTPStream() as stream:
        links = [
            Next(f"{web.http}/hold/deep", print),
            Next(web.http, raising, 60),
            Next(web.http, lambda _: [(web.http, raising, 60)]),
        ]
        chain = stream.add_request(web.http, lambda _: links)
        await stream.fetch(f"{web.http}/arrived/deep")
        while stream.stats().delayed < 2:
            await stream.fetch(web.http)
        below = stream.chains - {chain}
        assert chain.cancel()
        assert {each.state for each in below} == {State.CANCELLED}
        assert not stream.chains
        await stream.fetch(f"{web.http}/left/deep")


async def test_cancel_closes_the_generator(web: Web):
    closed = []

    async with HTTPStream(max_clients=1) as stream:

        def several(_):
            try:
                while True:
                    yield f"{web.http}/hold/closing", None
            finally:
                closed.append(True)

        chain = stream.add_request(web.http, several)
        while chain.state is not State.WAITING:
            await asyncio.sleep(0)
        chain.cancel()
    assert closed == [True]


async def test_a_cancelled_chain_below_leaves_the_one_above_alone(web: Web):
    async with HTTPStream() as stream:
        links = [Next(f"{web.http}/hold/one-below", print, name="held"), (web.http, print)]
        chain = stream.add_request(web.http, lambda _: links)
        await stream.fetch(f"{web.http}/arrived/one-below")
        (held,) = (each for each in stream.chains if each.name == "held")
        held.cancel()
        await chain
    assert chain.state is State.DONE


async def test_cancel_from_a_reader_in_the_same_turn_of_the_loop(web: Web):
    """Responses that have arrived together: the first reader cancels all other chains."""
    async with HTTPStream() as stream:
        chains, read_by = [], []

        def read(response):
            read_by.append(response)
            for chain in chains:
                if chain.state is not State.READING:
                    chain.cancel()

        chains += [stream.add_request(f"{web.http}/hold/turn", read) for _ in range(32)]
        other = HTTPStream()
        while (await other.fetch(f"{web.http}/arrived/turn")).text != "32":
            pass
        await other.fetch(f"{web.http}/release/turn")
        other.close()
        assert await stream.drain(5)
        assert len(read_by) == 1
        assert stream.stats()[:4] == (0, 0, 0, 0)
        assert (stream.stats().done, stream.stats().cancelled) == (1, 31)
        # The handles of the cancelled ones are whole.
        responses = await asyncio.gather(*(stream.fetch(web.http) for _ in range(64)))
        assert {response.status for response in responses} == {200}


async def test_a_feeder_may_cancel_the_chain_whose_response_made_room(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        read = Reading()

        def several(_):
            yield f"{web.http}/echo/1", None
            yield f"{web.http}/echo/2", None
            chain.cancel()
            yield f"{web.http}/echo/3", None

        stream.add_request(web.http, several)
        chain = stream.add_request(f"{web.http}/echo/x", read)
        assert await stream.drain(5)
        stats = stream.stats()
        assert stats.started == stats.done + stats.failed + stats.cancelled
    assert chain.state is (State.DONE if read.responses else State.CANCELLED)


async def test_a_reader_may_cancel_by_raising_cancelled_error(web: Web):
    def read(response):
        raise asyncio.CancelledError

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        assert await stream.drain(5)
        await _assert_cancelled(chain)


async def test_a_newcomer_does_not_overtake_the_queue_after_a_cancel(web: Web):
    order = []
    async with HTTPStream(max_clients=1) as stream:
        held = stream.add_request(f"{web.http}/hold/overtaken", None)
        stream.add_request(web.http, lambda _: order.append("waiting"))
        held.cancel()
        stream.add_request(web.http, lambda _: order.append("newcomer"))
    assert order == ["waiting", "newcomer"]


# -- deadline -------------------------------------------------------------------------------


async def test_a_deadline_ends_a_chain_in_flight(web: Web, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(f"{web.http}/hold/late", None, deadline=0.05, name="late")
        with pytest.raises(DeadlineError, match=r"0\.05 s .*\[chain late, step 1\]"):
            await chain
        assert stream.stats().in_flight == 0
    assert chain.state is State.FAILED


async def test_a_deadline_is_for_all_links_together(web: Web, caplog):
    async with HTTPStream() as stream:

        def again(response):
            return response.request, again, 0.01

        with pytest.raises(DeadlineError):
            await stream.add_request(web.http, again, deadline=0.1)


async def test_a_deadline_reaches_delayed_queued_and_waiting_chains(web: Web, caplog):
    async with HTTPStream(max_clients=2) as stream:
        chains = [
            stream.add_request(f"{web.http}/hold/late", None, deadline=0.06),
            stream.add_request(web.http, lambda _: [(web.http, None, 60)], deadline=0.07),
            stream.add_request(web.http, None, delay=60, deadline=0.05),
            stream.add_request(web.http, lambda _: asyncio.Event().wait(), deadline=0.09),
        ]
        results = await asyncio.gather(*map(_wait, chains), return_exceptions=True)
        assert not stream.chains
    assert {type(result) for result in results} == {DeadlineError}


async def _wait(chain):
    return await chain


async def test_a_deadline_that_is_met_does_nothing(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, deadline=0.2)
        await chain
        await stream.add_request(web.http, None, delay=0.25)
    assert chain.state is State.DONE


@pytest.mark.parametrize("deadline", [-1, float("nan"), "1", True])
async def test_a_deadline_that_is_no_number_is_refused_and_leaves_nothing(web: Web, deadline):
    async with HTTPStream() as stream:
        with pytest.raises((TypeError, ValueError), match="deadline|delay"):
            stream.add_request(web.http, None, deadline=deadline)
        assert not stream.chains, "the refused chain is alive and holds up drain()"
        for chain in stream.chains:
            chain.cancel()


# -- as a value -----------------------------------------------------------------------------


async def test_a_chain_shows_its_name_state_and_step(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, name="shown")
        assert repr(chain) == "<Chain shown sent, step 1>"
        assert stream.add_request(web.http).name == "chain-2"


async def test_closing_raises_for_who_awaits_whatever_the_state(web: Web):
    async with HTTPStream(max_clients=2) as stream:
        stream.add_request(web.http, lambda _: asyncio.Event().wait(), name="reading")
        stream.add_request(web.http, lambda _: [(web.http, None, 60)], name="waiting")
        stream.add_request(web.http, None, delay=60, name="delayed")
        while stream.stats().delayed < 2:
            await asyncio.sleep(0)
        stream.add_request(f"{web.http}/hold/closed", None, name="sent")
        stream.add_request(f"{web.http}/hold/closed", None, name="sent too")
        stream.add_request(web.http, None, name="queued")
        chains = list(stream.chains)
        assert {chain.state.value for chain in chains} >= {
            "reading", "waiting", "delayed", "sent", "queued",
        }  # fmt: skip
        tasks = [asyncio.ensure_future(chain) for chain in chains]
        await asyncio.sleep(0)
        stream.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {ClosedError}


def test_the_states_that_are_final():
    assert {s for s in State if s.is_final} == {State.DONE, State.FAILED, State.CANCELLED}


def test_engine_errors_are_logged_without_a_traceback(web: Web, caplog):
    stream = HTTPStream()
    stream.add_request(REFUSED)
    stream.add_request(web.http, raising)
    stream.start()
    stream.close()
    has_trace = {bool(record.exc_info) for record in caplog.records}
    assert has_trace == {True, False}
    assert all(record.levelno == logging.ERROR for record in caplog.records)
