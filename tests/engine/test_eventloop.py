"""The engine on other people's loops: asyncio's, Tornado's, uvloop's, a notebook's, threads'."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading

import pytest
import uvloop
from descriptors import open_descriptors
from servers.web import Web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from engine.readers import run_script
from webqq_tornado import HTTPStream
from webqq_tornado.engine.eventloop import within


async def _converse(url: str, count: int = 3) -> list[int]:
    """A chain of some links on a stream of its own."""
    seen: list[int] = []

    def read(response):
        seen.append(response.status)
        return (response.request, read, 0.001) if len(seen) < count else None

    async with HTTPStream() as stream:
        await stream.add_request(url, read)
    return seen


def test_under_asyncio_run(web: Web):
    assert asyncio.run(_converse(web.http)) == [200] * 3


def test_under_uvloop(web: Web):
    assert uvloop.run(_converse(web.http)) == [200] * 3


def test_under_uvloop_sockets_that_come_and_go_are_no_trouble(web: Web):
    assert uvloop.run(_converse(f"{web.http}/close", 50)) == [200] * 50


def test_under_a_tornado_loop_that_is_started_by_hand(web: Web):
    ioloop = IOLoop(make_current=False)
    seen = []

    def read(response):
        seen.append(response)
        ioloop.stop()

    stream = HTTPStream(ioloop)
    ioloop.add_callback(stream.add_request, web.http, read)
    ioloop.start()
    stream.close()
    ioloop.close()
    assert len(seen) == 1


def test_under_run_sync(web: Web):
    ioloop = IOLoop(make_current=False)
    assert ioloop.run_sync(lambda: _converse(web.http)) == [200] * 3
    ioloop.close()


async def test_handlers_of_a_tornado_app_use_the_stream(web: Web):
    class Front(RequestHandler):
        async def get(self):
            stream = HTTPStream.instance()
            response = await stream.fetch(f"{web.http}/bytes/5")
            self.finish(response.body)

    (listener,) = sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([("/", Front)]))
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    async with HTTPStream.instance() as stream:
        responses = await asyncio.gather(*(stream.fetch(url) for _ in range(20)))
    server.stop()
    await server.close_all_connections()
    assert {response.body for response in responses} == {b"01234"}


def test_cells_of_a_notebook_share_a_loop_that_runs_between_them(web: Web):
    """Each cell is a coroutine on one running loop; nothing may block it."""
    loop, cells = asyncio.new_event_loop(), []

    async def first_cell():
        stream = HTTPStream.instance()
        cells.append(stream.add_request(web.http, lambda r: None))

    async def second_cell():
        return (await cells[0]).status, HTTPStream.instance()

    loop.run_until_complete(first_cell())
    status, stream = loop.run_until_complete(second_cell())
    assert status == 200
    stream.close()
    loop.close()


async def test_two_streams_share_a_loop(web: Web):
    one, other = HTTPStream(), HTTPStream()
    responses = await asyncio.gather(*(s.fetch(web.http) for s in (one, other) * 20))
    assert {response.status for response in responses} == {200}
    one.close()
    assert (await other.fetch(web.http)).status == 200
    other.close()


def test_threads_have_a_stream_each(web: Web):
    results, streams = [], set()

    async def work():
        stream = HTTPStream.instance()
        streams.add(stream)
        responses = await asyncio.gather(*(stream.fetch(web.http) for _ in range(50)))
        results.extend(response.status for response in responses)
        stream.close()

    threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 200
    assert len(streams) == 4


def test_a_thread_without_a_loop_gets_one(web: Web):
    results = []

    def work():
        stream = HTTPStream()
        stream.add_request(web.http, lambda response: results.append(response.status))
        stream.start()
        stream.close()
        stream.ioloop.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [200]


def test_another_thread_hands_in_a_request_by_the_loop(web: Web):
    async def main():
        seen = asyncio.Event()
        async with HTTPStream() as stream:
            arguments = (stream.add_request, web.http, lambda _: seen.set())
            thread = threading.Thread(target=stream.ioloop.add_callback, args=arguments)
            thread.start()
            await asyncio.wait_for(seen.wait(), 60)
            thread.join()

    asyncio.run(main())


def test_a_request_from_another_thread_is_refused_and_told_the_way(web: Web):
    refused: list[str] = []

    async def main():
        async with HTTPStream() as stream:

            def hand_in():
                with pytest.raises(RuntimeError) as caught:
                    stream.add_request(web.http, print)
                refused.append(str(caught.value))

            async def hand_in_on_a_loop():
                hand_in()

            await asyncio.to_thread(hand_in)
            await asyncio.to_thread(asyncio.run, hand_in_on_a_loop())
            assert not stream.chains

    asyncio.run(main())
    assert len(refused) == 2
    assert all("stream.ioloop.add_callback(stream.add_request, ...)" in text for text in refused)


# -- instance() -----------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["fetch", "launch"])
def test_a_stream_of_another_loop_says_so_at_once(web: Web, use: str):
    """Made before `asyncio.run`, or in one that is over: that loop will not turn any more."""
    stream = HTTPStream(ioloop=IOLoop(make_current=False))

    async def main() -> None:
        with pytest.raises(RuntimeError, match="another loop than the one that runs"):
            await (stream.fetch(web.http) if use == "fetch" else stream.launch())

    asyncio.run(main())
    assert not stream.chains
    stream.close()
    stream.ioloop.close()


async def test_there_is_one_instance_of_a_class_on_a_loop():
    class Flow(HTTPStream):
        pass

    assert HTTPStream.instance() is HTTPStream.instance()
    assert Flow.instance() is Flow.instance()
    assert type(Flow.instance()) is Flow
    assert Flow.instance() is not HTTPStream.instance()
    Flow.instance().close()
    HTTPStream.instance().close()


async def test_a_closed_instance_is_replaced(web: Web):
    first = HTTPStream.instance()
    first.close()
    second = HTTPStream.instance()
    assert second is not first
    assert (await second.fetch(web.http)).status == 200
    second.close()


def test_each_loop_has_an_instance(web: Web):
    async def main():
        stream = HTTPStream.instance()
        await stream.fetch(web.http)
        return stream

    first, second = asyncio.run(main()), asyncio.run(main())
    assert first is not second
    first.close()
    second.close()


def test_instances_on_loops_that_were_closed_do_not_pile_up(web: Web):
    """A script that calls asyncio.run again and again, and never closes a stream."""

    async def main():
        await HTTPStream.instance().fetch(web.http)

    for _ in range(3):
        asyncio.run(main())
    gc.collect()
    before = open_descriptors()
    for _ in range(20):
        asyncio.run(main())
    gc.collect()
    assert open_descriptors() - before < 20


def test_a_stream_that_nobody_keeps_is_collected(web: Web):
    async def main():
        await HTTPStream().fetch(web.http)

    asyncio.run(main())
    gc.collect()
    before = open_descriptors()
    for _ in range(10):
        asyncio.run(main())
    gc.collect()
    assert open_descriptors() - before < 10


def test_an_instance_outlives_runs_of_a_script(web: Web):
    stream, seen = HTTPStream.instance(), []
    for _ in range(3):
        stream.add_request(web.http, seen.append)
        stream.start()
    assert HTTPStream.instance() is stream
    stream.close()
    assert len(seen) == 3


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_loop_that_ends_in_mid_flight_leaves_no_complaint(web: Web, run):
    async def main():
        stream = HTTPStream()
        stream.add_request(f"{web.http}/hold/mid-flight", None)
        stream.add_request(web.http, None, delay=60)

        async def read(response):
            await asyncio.Event().wait()

        stream.add_request(web.http, read)
        await stream.fetch(f"{web.http}/arrived/mid-flight")

    run(main())
    gc.collect()


#: A stream on a loop that may be turned inside of its own callbacks, as in notebooks.
NESTED = """
    import asyncio, sys
    import nest_asyncio
    nest_asyncio.apply()
    from webqq_tornado import HTTPStream, Request
    from webqq_tornado.httpclient import HTTPStreamClient

    url, bodies = sys.argv[1], []

    def fetch(*_):
        bodies.append(asyncio.get_running_loop().run_until_complete(stream.fetch(url)).body)
"""


@pytest.mark.parametrize(
    "request_",
    ["url, fetch", "Request(url, sink=fetch)", "Request(url, on_header_line=fetch), fetch"],
)
def test_a_nested_loop_waits_for_another_request_of_the_stream(web: Web, request_: str):
    script = f"""
    async def main():
        global stream
        async with HTTPStream(defaults={{"request_timeout": 60}}) as stream:
            await stream.add_request({request_})
        print(set(bodies))
    asyncio.run(main())
    """
    assert run_script(NESTED + script, f"{web.http}/bytes/5") == "{b'01234'}\n"


def test_a_nested_loop_waits_for_what_an_earlier_reader_of_the_same_turn_began(web: Web):
    script = """
    begun = []

    def begin(response):
        begun.append(asyncio.ensure_future(stream.fetch(url)))

    def join(response):
        if begun:
            bodies.append(asyncio.get_running_loop().run_until_complete(begun[0]).body)

    async def main():
        global stream
        async with HTTPStream(defaults={"request_timeout": 60}) as stream:
            for _ in range(20):
                for read in (begin, join, join):
                    stream.add_request(url, read)
                await stream.drain()
                begun.clear()
        print(set(bodies))
    asyncio.run(main())
    """
    assert run_script(NESTED + script, f"{web.http}/bytes/5") == "{b'01234'}\n"


def test_what_a_nested_loop_brings_waits_for_what_came_before(web: Web):
    script = """
    calls = []

    def sink(chunk):
        calls.append("begin")
        fetch()
        calls.append("end")

    async def main():
        global stream
        async with HTTPStream(defaults={"request_timeout": 60}) as stream:
            await stream.fetch(Request(f"{url}/bytes/2000000", sink=sink))
        print(len(calls) > 2, calls == ["begin", "end"] * (len(calls) // 2))
    asyncio.run(main())
    """
    assert run_script(NESTED + script, web.http) == "True True\n"


async def test_a_cancellation_that_meets_the_result_is_not_lost():
    cancelled = 0
    for turns in range(8):
        event = asyncio.Event()
        task = asyncio.ensure_future(within(event.wait(), 60))
        await asyncio.sleep(0.001)
        event.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        is_cancelled = task.cancel()
        cancelled += is_cancelled
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError) is is_cancelled
    assert 0 < cancelled < 8


async def test_what_takes_too_long_is_cancelled_and_its_own_end_counts():
    with pytest.raises(asyncio.TimeoutError):
        await within(asyncio.Event().wait(), 0.001)

    async def clears_up() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "cleared up"

    assert await within(clears_up(), 0.001) == "cleared up"
    assert await within(asyncio.sleep(0, "done"), None) == "done"
