"""What is shown of an error that users' code raised: where it was raised, and nothing of ours."""

from __future__ import annotations

import traceback

import pytest
from servers.web import Web

from engine.readers import RAISING, REFUSED
from webqq_tornado import Gather, HTTPStream, Next

#: Where frames of ours would be.
OURS = "webqq_tornado/engine/"


def raise_it(*_: object) -> None:
    raise KeyError("oops")


def takes_nothing() -> None:
    """No reader."""


async def logged(caplog: pytest.LogCaptureFixture, stream: HTTPStream, link: Next) -> str:
    """All that is logged of a chain that fails, as it is shown."""
    async with stream:
        stream.add_request(link)
    (record,) = caplog.records
    error = record.exc_info[1] if record.exc_info else None
    return record.getMessage() + "\n" + "".join(traceback.format_exception(error))


@pytest.mark.parametrize("reader", RAISING)
async def test_the_traceback_of_a_reader_begins_with_it(web: Web, reader, caplog):
    said = await logged(caplog, HTTPStream(), Next(web.http, reader))
    assert reader.__code__.co_filename in said
    assert OURS not in said


async def test_a_reader_that_takes_other_arguments_is_named_without_our_frames(web: Web, caplog):
    said = await logged(caplog, HTTPStream(), Next(web.http, takes_nothing))
    assert "read by takes_nothing" in said
    assert OURS not in said


@pytest.mark.parametrize("name", ["on_response", "on_request", "on_error"])
async def test_a_hook_that_raises_is_named(web: Web, name, caplog):
    flow = type("Flow", (HTTPStream,), {name: raise_it})()
    reader = takes_nothing if name == "on_error" else print
    said = await logged(caplog, flow, Next(web.http, reader))
    assert "raised in raise_it" in said
    assert OURS not in said


async def test_the_traceback_of_on_idle_begins_with_it(web: Web, caplog):
    flow = type("Flow", (HTTPStream,), {"on_idle": raise_it})()
    assert OURS not in await logged(caplog, flow, Next(web.http, print))


async def test_an_errback_that_raises_is_named(web: Web, caplog):
    said = await logged(caplog, HTTPStream(), Next(REFUSED, print, errback=raise_it))
    assert f"raised in raise_it ({raise_it.__code__.co_filename}:" in said


async def test_the_reader_of_several_responses_is_named(web: Web, caplog):
    def fork(response):
        return Gather([web.http, web.http], raise_it)

    said = await logged(caplog, HTTPStream(), Next(web.http, fork))
    assert "raised in raise_it" in said
    assert OURS not in said


def test_a_begin_that_raises_is_named(caplog):
    class Flow(HTTPStream):
        def begin(self):
            yield raise_it()

    with pytest.raises(KeyError):
        Flow().run()
    assert "raised in begin" in caplog.text


async def test_to_await_a_failed_chain_again_adds_nothing_to_its_traceback(web: Web, caplog):
    sizes = []
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, raise_it)
        for _ in range(3):
            with pytest.raises(KeyError) as caught:
                await chain
            sizes.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert sizes == sizes[:1] * 3
    assert traceback.extract_tb(chain.error.__traceback__)[-1].name == "raise_it"
