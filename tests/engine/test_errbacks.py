"""Where errors go: to the errback, to `on_error`, to who awaits."""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from servers.web import Web

from engine.readers import RAISING, REFUSED, Oops, Reading, raising, raising_later
from webqq_tornado import (
    ConnectError,
    Gather,
    HTTPStream,
    LinkError,
    Next,
    State,
    StreamError,
)


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
    message = record.getMessage()
    assert f"chain unlucky failed at step 1: GET {web.http}/, status 200, read by " in message
    assert f"{reader.__name__} ({reader.__code__.co_filename}" in message
    assert message.endswith("Oops('in a reader')")


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


async def test_an_errback_stays_for_the_links_that_follow(web: Web):
    errors = []
    async with HTTPStream() as stream:
        await stream.add_request(web.http, lambda _: (REFUSED, None), errback=errors.append)
        assert [type(error) for error in errors] == [ConnectError]


async def test_an_errback_stays_until_a_link_gives_another_one(web: Web):
    first, second = [], []

    def read(response):
        return Next(REFUSED, None, errback=second.append)

    async with HTTPStream() as stream:
        await stream.add_request(web.http, read, errback=first.append)
    assert (len(first), len(second)) == (0, 1)


async def test_an_errback_stays_for_each_of_several_links(web: Web):
    errors = []

    def read(response):
        yield web.http, None
        yield REFUSED, None
        yield REFUSED, None

    async with HTTPStream() as stream:
        await stream.add_request(web.http, read, errback=errors.append)
    assert len(errors) == 2


async def test_errors_below_a_gather_are_for_the_gather(web: Web):
    errors, gathered = [], []

    def read(response):
        return Gather([REFUSED, web.http], gathered.extend, return_exceptions=True)

    async with HTTPStream() as stream:
        await stream.add_request(web.http, read, errback=errors.append)
    assert errors == []
    assert [result.ok for result in gathered] == [False, True]


@pytest.mark.parametrize("kind", ["generator", "async generator"])
async def test_an_errback_whose_links_cannot_be_had_is_asked_once(kind, caplog):
    asked = []

    def generator(error):
        asked.append(error)
        raise Oops
        yield

    async def later(error):
        asked.append(error)
        raise Oops
        yield

    async with HTTPStream() as stream:
        with pytest.raises(Oops):
            await stream.add_request(
                REFUSED, None, errback=generator if kind == "generator" else later
            )
    assert len(asked) == 1


@pytest.mark.parametrize("errback", [raising, raising_later])
async def test_an_errback_that_raises_ends_the_chain_with_that(errback, caplog):
    async with HTTPStream() as stream:
        chain = stream.add_request(REFUSED, None, errback=errback)
        with pytest.raises(Oops):
            await chain
    assert chain.state is State.FAILED


async def test_an_errback_that_returns_no_link_is_named_and_ends_the_chain(caplog):
    def errback_that_is_wrong(error):
        return 42

    async with HTTPStream() as stream:
        with pytest.raises(LinkError, match=r"errback_that_is_wrong \(.*test_errbacks\.py:\d+\)"):
            await stream.add_request(REFUSED, None, errback=errback_that_is_wrong)


async def test_an_on_error_that_returns_no_link_is_named(caplog):
    class Flow(HTTPStream):
        def on_error(self, error):
            return 42

    async with Flow() as stream:
        with pytest.raises(LinkError, match=r"Flow\.on_error \(.*test_errbacks\.py:\d+\)"):
            await stream.add_request(REFUSED)


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


def test_engine_errors_are_logged_without_a_traceback(web: Web, caplog):
    stream = HTTPStream()
    stream.add_request(REFUSED)
    stream.add_request(web.http, raising)
    stream.start()
    stream.close()
    has_trace = {bool(record.exc_info) for record in caplog.records}
    assert has_trace == {True, False}
    assert all(record.levelno == logging.ERROR for record in caplog.records)
