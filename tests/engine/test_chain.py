"""The life of a chain: awaited, cancelled, in time."""

from __future__ import annotations

import asyncio
import gc

import pytest
from servers.web import Web
from waiting import put_ahead

from engine.readers import REFUSED, Reading, raising, wait
from webqq_tornado import (
    Chain,
    ClosedError,
    DeadlineError,
    HTTPStream,
    Next,
    State,
    StreamError,
)


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


# -- cancelling -------------------------------------------------------------------------------
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
        assert await stream.drain(60)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_coroutine_reader(web: Web):
    async with HTTPStream() as stream:

        async def read(response):
            assert chain.cancel()
            return web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(60)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_generator(web: Web):
    async with HTTPStream() as stream:

        def read(response):
            yield f"{web.http}/hold/generator-{id(stream)}", None
            assert chain.cancel()
            yield web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(60)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_async_generator(web: Web):
    async with HTTPStream() as stream:

        async def read(response):
            yield f"{web.http}/hold/generator-{id(stream)}", None
            assert chain.cancel()
            yield web.http, raising

        chain = stream.add_request(web.http, read)
        assert await stream.drain(60)
        await _assert_cancelled(chain)


async def test_cancel_in_its_own_errback():
    async with HTTPStream() as stream:

        def errback(error):
            assert chain.cancel()
            return REFUSED, None

        chain = stream.add_request(REFUSED, None, errback=errback)
        assert await stream.drain(60)
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
        await asyncio.wait_for(stopped.wait(), 60)
        await _assert_cancelled(chain)


async def test_a_coroutine_reader_cancelled_before_its_first_step_is_closed(web: Web):
    """Else Python warns of a coroutine that was never awaited."""

    async def read_later(response):
        raise AssertionError("it was cancelled")

    async with HTTPStream() as stream, HTTPStream() as other:

        def cancel_those_that_read(response):
            for chain in stream.chains:
                if chain.state is State.READING and chain not in cancelling:
                    chain.cancel()

        url = f"{web.http}/hold/first-step"
        for _ in range(8):
            stream.add_request(url, read_later)
        cancelling = {stream.add_request(url, cancel_those_that_read) for _ in range(8)}
        while (await other.fetch(f"{web.http}/arrived/first-step")).text != "16":
            pass
        stream.on_error = lambda error: None  # one that was read in an earlier turn
        await other.fetch(f"{web.http}/release/first-step")
    gc.collect()


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
        async with HTTPStream() as other:
            await other.fetch(f"{web.http}/arrived/closing")
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
        assert await stream.drain(60)
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
        assert await stream.drain(60)
        stats = stream.stats()
        assert stats.started == stats.done + stats.failed + stats.cancelled
    assert chain.state is (State.DONE if read.responses else State.CANCELLED)


async def test_a_reader_may_cancel_by_raising_cancelled_error(web: Web):
    def read(response):
        raise asyncio.CancelledError

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        assert await stream.drain(60)
        await _assert_cancelled(chain)


async def test_a_newcomer_does_not_overtake_the_queue_after_a_cancel(web: Web):
    order = []
    async with HTTPStream(max_clients=1) as stream:
        held = stream.add_request(f"{web.http}/hold/overtaken", None)
        stream.add_request(web.http, lambda _: order.append("waiting"))
        held.cancel()
        stream.add_request(web.http, lambda _: order.append("newcomer"))
    assert order == ["waiting", "newcomer"]


# -- deadline ---------------------------------------------------------------------------------
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
        results = await asyncio.gather(*map(wait, chains), return_exceptions=True)
        assert not stream.chains
    assert {type(result) for result in results} == {DeadlineError}


async def test_a_deadline_that_is_met_does_nothing(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, None, deadline=60)
        await chain
        put_ahead(60)
        await stream.add_request(web.http, None)
    assert chain.state is State.DONE


@pytest.mark.parametrize("deadline", [-1, float("nan"), "1", True])
async def test_a_deadline_that_is_no_number_is_refused_and_leaves_nothing(web: Web, deadline):
    async with HTTPStream() as stream:
        with pytest.raises((TypeError, ValueError), match=r"deadline|delay"):
            stream.add_request(web.http, None, deadline=deadline)
        assert not stream.chains, "the refused chain is alive and holds up drain()"
        for chain in stream.chains:
            chain.cancel()


# -- as a value -------------------------------------------------------------------------------
async def test_a_chain_shows_its_name_state_and_step(web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, name="shown")
        assert repr(chain) == "<Chain shown sent, step 1>"
        assert stream.add_request(web.http).name == "chain-2"


async def test_closing_raises_for_who_awaits_whatever_the_state(web: Web):
    async with HTTPStream(max_clients=2) as stream:
        stream.add_request(web.http, lambda _: asyncio.Event().wait(), name="reading")
        stream.add_request(web.http, lambda _: [(web.http, None, 60)] * 2, name="waiting")
        stream.add_request(web.http, None, delay=60, name="delayed")
        states = {"reading", "waiting", "delayed"}
        async with HTTPStream() as other:
            while {each.state.value for each in stream.chains} != states:
                await other.fetch(web.http)
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
