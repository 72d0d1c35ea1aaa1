"""Flows: `begin`, `run`, `launch`, and the hooks to override."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from servers.scripted import Say, scripted
from servers.web import Web

from engine.readers import REFUSED, Oops
from webqq_tornado import (
    ClosedError,
    ConnectError,
    DeadlineError,
    Gather,
    HTTPStream,
    Next,
    State,
    Stats,
    StreamError,
)


async def test_on_response_sees_each_response_before_its_reader(web: Web):
    seen = []

    class Flow(HTTPStream):
        def on_response(self, response):
            seen.append(("hook", response.status))

    async with Flow() as stream:
        stream.add_request(web.http, lambda response: seen.append(("reader", response.status)))
    assert seen == [("hook", 200), ("reader", 200)]


async def test_an_error_in_on_response_ends_the_chain(web: Web, caplog):
    class Flow(HTTPStream):
        def on_response(self, response):
            raise RuntimeError("in a hook")

    async with Flow() as stream:
        with pytest.raises(RuntimeError, match="in a hook"):
            await stream.add_request(web.http, print)


async def test_a_chain_cancelled_in_on_response_is_not_read(web: Web):
    class Flow(HTTPStream):
        def on_response(self, response):
            for chain in self.chains:
                chain.cancel()

    read = []
    async with Flow() as stream:
        chain = stream.add_request(web.http, read.append)
    assert read == []
    assert chain.state is State.CANCELLED


async def test_on_error_may_return_the_next_link(web: Web):
    read = []

    class Flow(HTTPStream):
        def on_error(self, error):
            return web.http, read.append

    async with Flow() as stream:
        await stream.add_request(REFUSED)
    assert len(read) == 1


async def test_on_error_may_be_a_coroutine(web: Web):
    read = []

    class Flow(HTTPStream):
        async def on_error(self, error):
            await asyncio.sleep(0)
            return web.http, read.append

    async with Flow() as stream:
        await stream.add_request(REFUSED)
    assert len(read) == 1


async def test_a_coroutine_on_error_that_raises_ends_the_chain_and_is_asked_once(caplog):
    asked = []

    class Flow(HTTPStream):
        async def on_error(self, error):
            asked.append(error)
            if len(asked) > 10:
                return None
            raise error

    async with Flow() as stream:
        chain = stream.add_request(REFUSED)
        assert await stream.drain(60)
    assert len(asked) == 1
    assert chain.state is State.FAILED


async def test_an_on_error_that_returns_no_link_ends_the_chain_and_is_asked_once(caplog):
    asked = []

    class Flow(HTTPStream):
        def on_error(self, error):
            asked.append(error)
            return 42

    async with Flow() as stream:
        chain = stream.add_request(REFUSED)
        assert await stream.drain(60)
    assert len(asked) == 1
    assert chain.state is State.FAILED


# -- flows ------------------------------------------------------------------------------------


def test_run_runs_a_flow_and_says_what_was_done(web: Web):
    class Flow(HTTPStream):
        left = 3

        def begin(self):
            yield web.http, self.check

        def check(self, response):
            self.left -= 1
            return (response.request, self.check, 0.01) if self.left else None

    flow = Flow()
    stats = flow.run()
    assert isinstance(stats, Stats)
    assert (stats.responses, stats.errors, stats.chains) == (3, 0, 0)
    with pytest.raises(ClosedError):
        flow.add_request(web.http)


BEGINNINGS = ["none", "pair", "list", "generator", "coroutine", "async generator"]


@pytest.mark.parametrize("form", BEGINNINGS)
def test_begin_may_return_all_that_a_reader_may(web: Web, form):
    read = []
    link = (web.http, read.append)

    def generator(self):
        yield link

    async def coroutine(self):
        return link

    async def async_generator(self):
        yield link

    forms = {
        "none": lambda self: None,
        "pair": lambda self: link,
        "list": lambda self: [link],
        "generator": generator,
        "coroutine": coroutine,
        "async generator": async_generator,
    }
    type("Flow", (HTTPStream,), {"begin": forms[form]})().run()
    assert len(read) == (form != "none")


def test_run_raises_what_begin_raises(caplog):
    class Flow(HTTPStream):
        def begin(self):
            raise LookupError("no beginning")

    with pytest.raises(LookupError, match="no beginning"):
        Flow().run()


def test_run_goes_on_when_a_chain_of_the_flow_fails(web: Web, caplog):
    read = []

    class Flow(HTTPStream):
        def begin(self):
            yield REFUSED, None
            yield web.http, read.append

    stats = Flow().run()
    assert len(read) == 1
    assert stats.errors == 1


def test_a_strict_run_raises_the_first_error_when_all_have_ended(web: Web, caplog):
    read = []

    class Flow(HTTPStream):
        def begin(self):
            yield web.http, self.fail
            yield web.http, read.append
            yield Next(web.http, read.append, 0.01)

        def fail(self, response):
            raise Oops("no page")

    flow = Flow()
    with pytest.raises(Oops, match="no page"):
        flow.run(strict=True)
    assert (len(read), flow.stats().done, flow.stats().failed) == (2, 2, 1)


def test_a_strict_run_does_not_raise_what_was_dealt_with(web: Web):
    class Flow(HTTPStream):
        def begin(self):
            yield web.http, self.ask
            yield Next(REFUSED, print, errback=lambda error: None)
            yield web.http, lambda response: Gather([REFUSED, REFUSED], print, lambda error: None)

        async def ask(self, response):
            with contextlib.suppress(StreamError):
                await self.fetch(REFUSED)

    flow = Flow()
    assert flow.run(strict=True).errors >= 3
    assert flow.first_error is None


def test_a_strict_run_raises_what_passes_a_deadline(web: Web, caplog):
    class Flow(HTTPStream):
        def begin(self):
            self.add_request(web.http, print, delay=60, deadline=0.01)

    with pytest.raises(DeadlineError):
        Flow().run(strict=True)


async def test_launch_runs_a_flow_on_a_loop_that_runs(web: Web):
    read = []

    class Flow(HTTPStream):
        def begin(self):
            yield web.http, read.append
            yield web.http, read.append

    async with Flow() as flow:
        await flow.launch()
        assert len(read) == 2


@pytest.mark.parametrize("method", ["run", "start"])
async def test_what_would_block_a_running_loop_is_refused(method):
    async with HTTPStream() as stream:
        with pytest.raises(RuntimeError, match="would block the loop"):
            getattr(stream, method)()


@pytest.mark.parametrize("name", ["on_request", "on_response", "on_retry", "on_idle"])
def test_a_hook_that_nobody_would_await_is_refused(name):
    async def hook(self, *_):
        pass

    flow = type("Flow", (HTTPStream,), {name: hook})
    with pytest.raises(TypeError, match=rf"Flow\.{name}\(\) is called and not awaited"):
        flow()


async def test_what_on_request_adds_does_not_pile_up_from_poll_to_poll(web: Web):
    class Traced(HTTPStream):
        def on_request(self, request):
            return request.replace(headers=[*request.header_pairs, ("X-Trace", "1")])

    traces = []

    def poll(response):
        traces.append([name for name, _ in response.json()["headers"] if name == "X-Trace"])
        return (response.request, poll) if len(traces) < 3 else None

    async with Traced() as stream:
        await stream.add_request(f"{web.http}/echo", poll)
    assert traces == [["X-Trace"]] * 3


async def test_the_chain_that_holds_a_flow_together_is_not_counted(web: Web):
    class Fork(HTTPStream):
        def begin(self):
            for _ in range(3):
                yield web.http, self.read

        def read(self, response):
            if len(self.chains) > 1:
                return None
            return [(web.http, None), (web.http, lambda _: [(web.http, None)] * 2)]

    async with Fork() as flow:
        await flow.launch()
    stats = flow.stats()
    assert (stats.started, stats.done, stats.chains) == (stats.requests, stats.requests, 0)


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_a_flow_whose_begin_fails_is_counted(count, web: Web, caplog):
    class Flow(HTTPStream):
        def begin(self):
            for _ in range(count):
                yield web.http, None
            raise Oops

    async with Flow() as flow:
        with pytest.raises(Oops):
            await flow.launch()
    assert (flow.stats().started, flow.stats().done, flow.stats().failed) == (count + 1, count, 1)


def test_a_flow_without_begin_is_warned_of(caplog):
    class Flow(HTTPStream):
        def start_requests(self):
            yield "http://127.0.0.1:1/", print

    assert Flow().run().requests == 0
    assert "Flow has no begin()" in caplog.text


def test_a_flow_that_forgets_our_init_is_told():
    class Flow(HTTPStream):
        def __init__(self):
            self.seen = []

    with pytest.raises(AttributeError, match=r"Flow.__init__\(\) has not called super"):
        Flow().run()
    with pytest.raises(AttributeError, match="'HTTPStream' object has no attribute 'nothing'"):
        _ = HTTPStream().nothing


async def test_an_observer_may_replace_what_goes_out_and_readers_do_not_see_it():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        stop = stream.observe(
            lambda *told: None,
            before=lambda chain, request: request.replace(headers={"X-Seen": "yes"}),
        )
        response = await stream.fetch(server.url)
        stop()
        await stream.fetch(server.url)
    assert [asked.headers.get("X-Seen") for asked in server.asked] == ["yes", None]
    assert response.request.header_pairs == ()


async def test_an_observer_is_told_of_a_chain_that_fails_in_its_reader(caplog):
    told = []

    def read(response):
        raise KeyError("price")

    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        stop = stream.observe(
            lambda *told: None,
            on_failure=lambda chain, error: told.append((chain.number, chain.reader, error)),
        )
        chain = stream.add_request(server.url, read)
        with pytest.raises(KeyError):
            await chain
        stop()
        stop()
    assert told == [(1, read.__qualname__, chain.error)]


async def test_an_observer_that_raises_is_logged_and_the_request_goes_out(caplog):
    def look(chain, request):
        raise KeyError("mine")

    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        stream.observe(lambda *told: None, before=look)
        assert (await stream.fetch(server.url)).status == 200
    assert "an observer raised" in caplog.text


async def test_what_a_hook_begins_counts_among_max_clients(web: Web):
    in_flight = []

    class Flow(HTTPStream):
        def begin(self):
            return f"{web.http}/echo/first", None

        def on_request(self, request):
            in_flight.append(self.stats().in_flight)
            if request.url.endswith("first"):
                for n in range(5):
                    self.add_request(f"{web.http}/echo/{n}", None)

    await Flow(max_clients=1).serve()
    assert in_flight == [0] * 6


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
async def test_an_observer_that_raises_where_a_chain_starts_is_logged(web: Web, caplog, kind):
    def fail(*told):
        raise kind

    async with HTTPStream() as stream:
        stream.observe(lambda *told: None, before=fail, on_start=fail)
        assert (await stream.fetch(web.http)).status == 200
    assert caplog.text.count("an observer raised") == 2


async def test_a_function_that_is_told_of_failures_twice_stops_being_told_one_by_one(caplog):
    told = []

    def on_failure(chain, error):
        told.append(error)

    async with HTTPStream() as stream:
        stops = [stream.observe(lambda *_: None, on_failure=on_failure) for _ in range(2)]
        stops[0]()
        stops[0]()
        with pytest.raises(ConnectError):
            await stream.add_request(REFUSED)
        stops[1]()
        with pytest.raises(ConnectError):
            await stream.add_request(REFUSED)
    assert len(told) == 1
