"""What is taken is given back: descriptors, handlers, timers, memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tracemalloc

import pytest
from descriptors import open_descriptors
from servers.web import Web
from tornado.ioloop import IOLoop
from waiting import until

from engine.readers import run_script
from webqq_tornado import HTTPStream, Request, StreamError

REFUSED = "http://127.0.0.1:1/"


def _handlers() -> int:
    """Descriptors that the running loop watches."""
    return len(IOLoop.current().handlers)  # type: ignore[attr-defined]


def _timers() -> int:
    """Timers of the running loop that have not been cancelled."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return sum(not timer.cancelled() for timer in scheduled)


async def _busy(stream: HTTPStream, web: Web) -> None:
    """A bit of everything, some of it left under way."""
    links = [(web.http, None), (web.http, None, 60), (f"{web.http}/hold/balance", None)]
    stream.add_request(web.http, lambda _: iter(links))
    stream.add_request(web.http, None, delay=60, deadline=70)
    stream.add_request(f"{web.http}/close", lambda r: None)
    stream.add_request(REFUSED, None, errback=lambda error: None)
    stream.session("mine").cookiejar.set("a", "1", domain="127.0.0.1")
    stream.add_request(web.http, lambda _: asyncio.Event().wait(), session=stream.session("mine"))
    await stream.fetch(Request(web.https, ca_certs=web.ca))
    await stream.fetch(web.http.replace("127.0.0.1", "localhost"))
    with pytest.raises(StreamError):
        await stream.fetch(Request(f"{web.http}/hold/balance", request_timeout=0.01))
    while stream.stats().delayed < 2:
        await stream.fetch(web.http)


async def test_close_gives_back_descriptors_handlers_and_timers(web: Web):
    stream = HTTPStream()
    await stream.fetch(web.http)
    stream.close()
    await asyncio.sleep(0)
    before = open_descriptors(), _handlers(), _timers()
    for _ in range(5):
        stream = HTTPStream()
        await _busy(stream, web)
        stream.close()
        await until(lambda: open_descriptors() <= before[0])
        assert (_handlers(), _timers()) == before[1:]
        assert stream.stats()[:4] == (0, 0, 0, 0)


async def test_close_leaves_no_task(web: Web):
    before = asyncio.all_tasks()
    stream = HTTPStream()
    await _busy(stream, web)
    stream.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_closed_stream_is_collected(web: Web):
    class Flow(HTTPStream):
        pass

    stream = Flow()
    await _busy(stream, web)
    stream.close()
    del stream

    def is_collected():
        gc.collect()
        return not [each for each in gc.get_objects() if type(each) is Flow]

    await until(is_collected)  # what close() has scheduled holds it until its turn


async def test_a_chain_that_has_ended_holds_nothing(web: Web):
    class Owner:
        def read(self, response):
            return None

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, Owner().read)
        await chain
        await stream.drain()
        gc.collect()
        assert not [each for each in gc.get_objects() if type(each) is Owner]


@pytest.mark.parametrize("how", ["refused", "timeout", "cancelled", "closed by the server"])
async def test_failures_give_back_what_they_took(web: Web, how):
    async def once():
        if how == "cancelled":
            chain = stream.add_request(f"{web.http}/hold/failures", None)
            await stream.fetch(web.http)
            chain.cancel()
        elif how == "closed by the server":
            await stream.fetch(f"{web.http}/close")
        else:
            url = REFUSED if how == "refused" else f"{web.http}/hold/failures"
            with pytest.raises(StreamError):
                await stream.fetch(Request(url, request_timeout=0.02))

    async with HTTPStream() as stream:
        for _ in range(3):
            await once()
        before = open_descriptors(), _handlers()
        for _ in range(20):
            await once()
        await until(lambda: open_descriptors() <= before[0])
        assert _handlers() == before[1]
        assert not stream.chains
        assert stream.stats().in_flight == 0


def test_more_requests_than_descriptors_end_one_by_one(web: Web):
    """EMFILE: some fail, none is lost, and the stream goes on."""
    script = """
        import resource, sys
        from webqq_tornado import HTTPStream

        stream = HTTPStream(max_clients=200)
        stream.add_request(sys.argv[1], None)
        stream.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        ends = []
        for _ in range(200):
            stream.add_request(sys.argv[1], ends.append, errback=ends.append)
        stream.ioloop.call_later(80, stream.stop)
        stream.start()
        kinds = {type(each).__name__ for each in ends} - {"Response"}
        late = []
        stream.add_request(sys.argv[1], late.append)
        stream.start()
        stream.close()
        told = any("ulimit" in str(each) for each in ends)
        print(len(ends), len(late), told, *kinds)
    """
    ended, late, told, *kinds = run_script(script, web.http).split()
    assert (ended, late, told) == ("200", "1", "True")
    assert set(kinds) <= {"ConnectError", "StreamError"}


@pytest.mark.slow
async def test_ten_thousand_chains_leave_nothing_behind(web: Web):
    async with HTTPStream(max_clients=64) as stream:

        async def run(count: int) -> None:
            links = itertools.repeat((web.http, lambda r: (r.request, None)), count // 2)
            await stream.add_request(web.http, lambda _: links)

        await run(2_000)
        gc.collect()
        before = open_descriptors(), _handlers(), _timers()
        tracemalloc.start()
        await run(10_000)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await until(lambda: open_descriptors() <= before[0])
        assert _handlers() == before[1]
        assert _timers() <= before[2]  # one of before may have passed
        assert left < 100_000, "bytes that 10,000 chains left behind"


@pytest.mark.slow
async def test_ten_thousand_cancelled_chains_leave_nothing_behind(web: Web):
    async with HTTPStream(max_clients=32) as stream:
        await stream.fetch(web.http)
        for _ in range(100):
            chains = [stream.add_request(web.http, None, delay=n % 3) for n in range(100)]
            await stream.fetch(web.http) if chains[0].cancel() else None
            for chain in chains:
                chain.cancel()
        await asyncio.sleep(0)
        assert stream.stats()[:4] == (0, 0, 0, 0)
        # The loop drops cancelled timers when they are most of what it has.
        assert _timers() <= 3
        assert (await stream.fetch(web.http)).status == 200


async def test_a_long_chain_keeps_no_memory_of_its_past(web: Web):
    async with HTTPStream() as stream:

        def read(response):
            left[0] -= 1
            return (response.request, read) if left[0] else None

        left = [200]
        await stream.add_request(web.http, read)
        gc.collect()
        tracemalloc.start()
        left = [1000]
        await stream.add_request(web.http, read)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size < 30_000
