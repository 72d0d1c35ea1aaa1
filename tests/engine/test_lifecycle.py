"""How a stream starts, stops, drains and closes."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable

import pytest
from descriptors import open_descriptors
from servers.scripted import Asked, Say, scripted
from servers.web import Web

from engine.readers import REFUSED, Oops, run_script, wait
from webqq_tornado import (
    Chain,
    ClosedError,
    Gather,
    HTTPStream,
    Limits,
    Request,
    Response,
    State,
)
from webqq_tornado.auth import Auth, BearerAuth

# -- start, stop, drain, close ----------------------------------------------------------------


def test_start_returns_when_the_last_chain_has_ended(web: Web):
    stream = HTTPStream()
    read = []
    stream.add_request(web.http, lambda r: (r.request, read.append, 0.01))
    stream.start()
    stream.close()
    assert len(read) == 1


def test_start_returns_at_once_when_no_chain_is_alive(web: Web):
    stream = HTTPStream()
    chain = stream.add_request(web.http, None)
    chain.cancel()
    late = []
    stream.ioloop.call_later(60, lambda: (late.append("hung"), stream.ioloop.stop()))
    stream.start()
    stream.close()
    assert late == []


def test_stop_leaves_chains_for_the_next_start(web: Web):
    stream = HTTPStream()
    read = []

    def first(response):
        stream.stop()
        return web.http, read.append

    chain = stream.add_request(web.http, first)
    stream.start()
    assert (read, chain.done) == ([], False)
    stream.start()
    stream.close()
    assert (len(read), chain.state) == (1, State.DONE)


def test_a_keyboard_interrupt_in_a_reader_passes_through_start(web: Web):
    stream = HTTPStream()
    read = []

    def interrupted(response):
        raise KeyboardInterrupt

    stream.add_request(f"{web.http}/arrived/interrupt", interrupted)
    stream.add_request(f"{web.http}/hold/interrupt", read.append)
    with pytest.raises(KeyboardInterrupt):
        stream.start()
    assert read == []
    stream.add_request(f"{web.http}/release/interrupt", None)
    stream.start()
    assert len(read) == 1
    assert not stream.chains, "the chain whose reader was interrupted is neither here nor there"
    stream.close()


async def test_drain_says_whether_all_chains_have_ended(web: Web):
    async with HTTPStream() as stream:
        stream.add_request(f"{web.http}/hold/drained", None)
        assert not await stream.drain(0.02)
        assert not await stream.drain(0)
        async with HTTPStream() as other:
            await other.fetch(f"{web.http}/arrived/drained")
            await other.fetch(f"{web.http}/release/drained")
        assert await stream.drain(60)
        assert await stream.drain()


async def test_drain_waits_for_chains_that_those_waiting_for_chains_start(web: Web):
    stream = HTTPStream()
    read = []

    async def one_after_the_other():
        await stream.add_request(web.http, None)
        await stream.add_request(web.http, read.append)

    task = asyncio.ensure_future(one_after_the_other())
    await asyncio.sleep(0)
    assert await stream.drain()
    await task
    stream.close()
    assert len(read) == 1


async def test_two_may_drain_at_once(web: Web):
    async with HTTPStream() as stream:
        stream.add_request(web.http, None)
        assert await asyncio.gather(stream.drain(), stream.drain(60)) == [True, True]


async def test_leaving_the_stream_drains_it(web: Web):
    read = []
    async with HTTPStream() as stream:
        stream.add_request(web.http, read.append)
    assert len(read) == 1


async def test_leaving_the_stream_by_an_error_does_not_wait(web: Web):
    stream = HTTPStream()
    chain = stream.add_request(f"{web.http}/hold/left-by-error", None)

    async def leave():
        async with stream:
            raise KeyError

    with pytest.raises(KeyError):
        await leave()
    assert chain.state is State.CANCELLED


async def test_close_may_be_called_twice(web: Web):
    stream = HTTPStream()
    await stream.fetch(web.http)
    stream.close()
    stream.close()
    assert "closed" in repr(stream)


async def test_close_in_a_reader_ends_all_chains(web: Web):
    stream = HTTPStream()
    other = stream.add_request(web.http, None, delay=60)

    def read(response):
        stream.close()
        return web.http, print

    chain = stream.add_request(web.http, read)
    for each in (chain, other):
        with pytest.raises(ClosedError):
            await each
    assert not stream.chains


async def test_close_in_a_reader_when_other_responses_have_arrived_too(web: Web):
    stream, read_by = HTTPStream(), []

    def read(response):
        read_by.append(response)
        stream.close()

    chains = [stream.add_request(f"{web.http}/hold/close-turn", read) for _ in range(20)]
    async with HTTPStream() as other:
        while (await other.fetch(f"{web.http}/arrived/close-turn")).text != "20":
            pass
        await other.fetch(f"{web.http}/release/close-turn")
        results = await asyncio.gather(*map(wait, chains), return_exceptions=True)
        await other.fetch(web.http)
    assert len(read_by) == 1
    assert {type(result) for result in results} == {ClosedError}


async def test_close_in_a_coroutine_reader(web: Web):
    stream = HTTPStream()

    async def read(response):
        await asyncio.sleep(0)
        stream.close()
        return web.http, print

    with pytest.raises(ClosedError):
        await stream.add_request(web.http, read)


async def test_close_in_a_generator_reader(web: Web):
    stream = HTTPStream()

    def read(response):
        yield f"{web.http}/hold/close-generator", None
        stream.close()
        yield web.http, print

    chain = stream.add_request(web.http, read)
    with pytest.raises(ClosedError):
        await asyncio.wait_for(asyncio.ensure_future(chain), 60)
    stream.close()
    assert not stream.chains


async def test_close_in_an_errback():
    stream = HTTPStream()
    chain = stream.add_request(REFUSED, None, errback=lambda _: stream.close())
    with pytest.raises(ClosedError):
        await chain


async def test_a_closed_stream_takes_no_requests(web: Web):
    stream = HTTPStream()
    stream.close()
    with pytest.raises(ClosedError, match="closed"):
        stream.add_request(web.http)
    with pytest.raises(ClosedError):
        stream.session("mine")
    with pytest.raises(ClosedError):
        await stream.fetch(web.http)


def test_close_after_the_loop_was_closed_with_chains_in_flight(web: Web):
    async def main():
        stream = HTTPStream()
        stream.add_request(f"{web.http}/hold/loop-closed", None)
        stream.add_request(web.http, None, delay=60)
        await stream.fetch(f"{web.http}/arrived/loop-closed")
        return stream

    before = open_descriptors()
    stream = asyncio.run(main())
    stream.close()
    assert not stream.chains
    assert open_descriptors() <= before


def test_a_closed_session_can_still_be_shown(web: Web):
    async def main():
        async with HTTPStream() as stream:
            session = stream.session("mine")
            await stream.fetch(web.http, session=session)
        return session

    assert "mine" in repr(asyncio.run(main()))


def test_ctrl_c_in_a_script_reaches_its_caller_and_the_stream_closes(web: Web):
    script = """
        import os, signal, sys
        from webqq_tornado import HTTPStream

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job ignores it
        stream = HTTPStream.instance()
        stream.add_request(sys.argv[1], lambda resp: os.kill(os.getpid(), signal.SIGINT))
        stream.add_request(sys.argv[1], None, delay=60)
        try:
            stream.start()
        except KeyboardInterrupt:
            stream.close()
            print("closed", stream.stats().chains)
    """
    assert run_script(script, web.http) == "closed 0\n"


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("", "INFO webqq_tornado.engine: hello"),
        ("logging.basicConfig(format='own %(message)s', level='INFO')", "own hello"),
        ("logging.getLogger('webqq_tornado').addHandler(logging.NullHandler())", ""),
    ],
)
def test_a_run_logs_to_standard_error_unless_logging_is_set_up(setup: str, expected: str):
    script = f"""
        import contextlib, io, logging
        from webqq_tornado import HTTPStream

        class Hello(HTTPStream):
            def begin(self):
                logging.getLogger("webqq_tornado.engine").info("hello")

        with contextlib.redirect_stderr(io.StringIO()) as shown:
            {setup}
            Hello().run()
        print(shown.getvalue())
    """
    printed = run_script(script).strip()
    assert printed.endswith(expected)
    assert bool(printed) is bool(expected)


class Ends(Auth, HTTPStream):
    """Does `act` wherever the user's code runs while a request is made; see `place`."""

    def __init__(self, place: str, act: Callable[[], object]) -> None:
        Auth.__init__(self)
        self._place, self._act = place, act
        HTTPStream.__init__(self, auth=self, breaker=self, limits=Limits(per_host=1))

    def _at(self, place: str) -> None:
        if place == self._place:
            self._act()

    def on_request(self, request: Request) -> None:
        self._at("on_request")

    def covers(self, request: Request) -> bool:
        self._at("covers")
        return True

    @property
    def needs_renewal(self) -> bool:
        self._at("needs_renewal")
        return False

    def sign(self, request: Request) -> Request:
        self._at("sign")
        return request

    def admit(self, request: Request) -> None:
        self._at("admit")

    def record(self, request: Request, outcome: object) -> None:
        self._at("record")

    def give_up(self, request: Request) -> None:
        self._at("give_up")

    def body(self) -> list[bytes]:
        self._at("body")
        return [b"body"]

    def prepare(self, curl: object) -> None:
        self._at("prepare_curl")


PLACES = ["on_request", "covers", "needs_renewal", "sign", "admit", "body", "prepare_curl"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["cancel", "close"])
async def test_a_chain_that_ends_while_its_request_is_made_is_not_sent(place, how):
    def act() -> None:
        stream.close() if how == "close" else next(iter(stream.chains)).cancel()

    async with scripted(lambda _: Say()) as server:
        stream = Ends(place, act)
        request = Request(server.url, "PUT", body=stream.body, prepare_curl=stream.prepare)
        chain = stream.add_request(request, delay=0.001)
        with pytest.raises(ClosedError if how == "close" else asyncio.CancelledError):
            await chain
        if how == "cancel":
            stream._place = ""
            assert (await stream.fetch(f"{server.url}/next")).status == 200
        stream.close()
    assert server.paths == ([] if how == "close" else ["/next"])


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_raised_while_a_request_is_made_is_its_links_error(place):
    def act() -> None:
        raise KeyError(place)

    async with scripted(lambda _: Say()) as server:
        stream = Ends(place, act)
        errors: list[Exception] = []
        request = Request(server.url, "PUT", body=stream.body, prepare_curl=stream.prepare)
        await stream.add_request(request, errback=errors.append)
        stream._place = ""
        await stream.fetch(server.url)
        stream.close()
    assert len(errors) == 1
    assert place in str(errors[0])


# -- what is awaited ----------------------------------------------------------------------------


async def _cause_of(chain: Chain) -> BaseException | None:
    """What ended it; it must end."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(wait(chain), 30)
    return chain.error


async def test_a_reader_that_awaits_its_own_chain_is_told(web: Web, caplog):
    async def read(_):
        await chain

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        assert isinstance(await _cause_of(chain), RuntimeError)
    assert "awaits chain chain-1, which waits for that reader" in str(chain.error)


@pytest.mark.parametrize("several", [list, iter, Gather])
async def test_a_reader_that_awaits_a_chain_above_it_is_told(several, web: Web, caplog):
    async def read(_):
        await chain

    def fork(_):
        return several([(web.http, read), (web.http, lambda _: (web.http, None))])

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, lambda _: (web.http, fork))
        assert isinstance(await _cause_of(chain), RuntimeError)


async def test_a_source_that_awaits_its_own_chain_is_told(web: Web, caplog):
    async def source(_):
        yield web.http, None
        await chain

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, source)
        assert isinstance(await _cause_of(chain), RuntimeError)


async def test_of_readers_that_await_each_other_one_is_told(web: Web, caplog):
    async def await_next(number):
        await chains[(number + 1) % 3]

    async with HTTPStream() as stream:
        chains = [
            stream.add_request(web.http, lambda _, number=number: await_next(number))
            for number in range(3)
        ]
        causes = [await _cause_of(chain) for chain in chains]
    assert all(isinstance(cause, RuntimeError) for cause in causes)


async def test_a_reader_may_await_other_chains_and_its_own_in_another_task(web: Web):
    tasks = []

    async def read(_):
        await stream.add_request(web.http, lambda _: None)
        tasks.append(asyncio.create_task(wait(chain)))

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        response = await chain
        assert await tasks[0] is response


async def test_a_source_may_await_the_chains_below_it(web: Web):
    async def source(_):
        yield web.http, None
        (below,) = [one for one in stream.chains if one.parent is chain]
        await below
        yield web.http, None

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, source)
        await chain
        assert stream.stats().requests == 3


async def test_drain_in_a_reader_wants_a_timeout(web: Web, caplog):
    drained = []

    async def read(_):
        drained.append(await stream.drain(0.01))
        await stream.drain()

    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, read)
        assert isinstance(await _cause_of(chain), RuntimeError)
    assert drained == [False]
    assert "timeout" in str(chain.error)


@pytest.mark.parametrize("wait_for", [asyncio.wait_for, lambda chain, _: _cancelled(chain)])
async def test_whoever_awaits_a_chain_no_more_leaves_nothing_with_it(wait_for, web: Web):
    async with HTTPStream() as stream:
        chain = stream.add_request(web.http, delay=3600)
        for _ in range(3):
            with contextlib.suppress(asyncio.TimeoutError, asyncio.CancelledError):
                await wait_for(wait(chain), 0.001)
        assert not chain._waiters
        chain.cancel()


async def _cancelled(awaitable):
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    task.cancel()
    await task


# -- async with ---------------------------------------------------------------------------------


async def test_a_task_that_is_cancelled_as_it_leaves_the_block_closes_the_stream(web: Web):
    stream = HTTPStream()
    is_left = asyncio.Event()

    async def app():
        async with stream:
            stream.add_request(web.http, delay=3600)
            is_left.set()

    task = asyncio.ensure_future(app())
    await is_left.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert repr(stream) == "<HTTPStream closed, 0 in flight>"


async def test_grace_bounds_what_leaving_the_block_waits_for(web: Web):
    async with HTTPStream(grace=0.01) as stream:
        endless = stream.add_request(web.http, delay=3600)
    assert endless.state is State.CANCELLED
    async with HTTPStream(grace=3600) as stream:
        done = stream.add_request(web.http)
    assert done.state is State.DONE


@pytest.mark.parametrize("grace", [-1, float("inf"), "5"])
def test_a_grace_that_is_no_number_of_seconds_is_refused(grace):
    with pytest.raises(ValueError, match="grace"):
        HTTPStream(grace=grace)


# -- signals ----------------------------------------------------------------------------------


class Polling(HTTPStream):
    """Polls for ever; its reader does what a test wants of the first response."""

    def __init__(self, url: str, first: Callable[[Polling], Awaitable[None]]) -> None:
        super().__init__()
        self.url, self.first = url, first
        self.seen: list[str] = []

    def begin(self) -> object:
        return self.url, self.read

    async def read(self, response: Response) -> object:
        self.seen.append("began")
        if len(self.seen) == 1:
            await self.first(self)
        self.seen.append("ended")
        return response.request, self.read


async def terminate_and_fetch(flow: Polling) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0)
    flow.seen.append(f"fetched {(await flow.fetch(flow.url)).status}")


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_sigterm_lets_a_reader_finish_and_sends_nothing_after_it(web: Web):
    flow, before = Polling(web.http, terminate_and_fetch), handlers()
    with pytest.raises(SystemExit) as ended:
        flow.run()
    assert (ended.value.code, flow.seen) == (143, ["began", "fetched 200", "ended"])
    assert handlers() == before


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_second_signal_ends_a_run_at_once(web: Web, number: int, error: type[BaseException]):
    async def hang(_flow: Polling) -> None:
        os.kill(os.getpid(), number)
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        await asyncio.Event().wait()

    flow, before = Polling(web.http, hang), handlers()
    with pytest.raises(error):
        flow.run(grace=600)
    assert (flow.seen, handlers()) == (["began"], before)


def test_the_grace_is_what_a_reader_has_after_a_signal(web: Web, caplog):
    async def hang(_flow: Polling) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    flow = Polling(web.http, hang)
    with pytest.raises(KeyboardInterrupt):
        flow.run(grace=0.01)
    assert flow.seen == ["began"]
    assert "given up after 0.01 s" in caplog.text


async def test_serve_returns_the_numbers_when_a_signal_ends_it(web: Web):
    flow = Polling(web.http, terminate_and_fetch)
    stats = await flow.serve()
    assert (flow.seen[-1], stats.requests) == ("ended", 2)


async def test_serve_that_is_cancelled_lets_readers_finish(web: Web):
    async def cancel(flow: Polling) -> None:
        task.cancel()
        await asyncio.sleep(0)
        flow.seen.append(f"fetched {(await flow.fetch(flow.url)).status}")

    flow, before = Polling(web.http, cancel), handlers()
    task = asyncio.ensure_future(flow.serve(signals=False))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flow.seen == ["began", "fetched 200", "ended"]
    assert handlers() == before


def test_a_run_in_another_thread_leaves_signals_alone(web: Web):
    seen: list[object] = []

    async def look(flow: Polling) -> None:
        seen.append(handlers())
        flow.close()

    def work() -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        flow = Polling(web.http, look)
        seen.append(flow.run().requests)
        flow.ioloop.close()

    before = handlers()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, 1]


@pytest.mark.parametrize("grace", [-1, float("nan"), "10"])
def test_a_run_refuses_a_grace_that_is_no_number_of_seconds(web: Web, grace: object):
    flow = Polling(web.http, terminate_and_fetch)
    with pytest.raises(ValueError, match="grace is a number of seconds"):
        flow.run(grace=grace)


class Failing(HTTPStream):
    """Chains that all fail, each with an error of its own."""

    def __init__(self, url: str, number: int) -> None:
        super().__init__()
        self.url, self.number = url, number

    def begin(self) -> object:
        return [(self.url, self.fail)] * self.number

    def fail(self, _response: Response) -> None:
        raise Oops("in a reader")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="has no groups")
@pytest.mark.parametrize("number", [2, 25])
def test_a_strict_run_raises_the_first_errors_as_a_group(web: Web, caplog, number: int):
    with pytest.raises(
        builtins.ExceptionGroup, match=f"{number} errors have ended chains"
    ) as raised:
        Failing(web.http, number).run(strict=True)
    assert len(raised.value.exceptions) == min(number, 20)
    assert all(isinstance(error, Oops) for error in raised.value.exceptions)


def test_a_strict_run_raises_a_single_error_as_it_is(web: Web, caplog):
    with pytest.raises(Oops):
        Failing(web.http, 1).run(strict=True)


@pytest.mark.parametrize("reader", ["leave", "links"])
def test_an_async_reader_that_ends_the_program_ends_its_chain(web: Web, reader: str):
    script = f"""
        import sys
        from webqq_tornado import HTTPStream

        async def leave(response):
            raise SystemExit(3)

        async def links(response):
            raise SystemExit(3)
            yield

        stream = HTTPStream()
        chain = stream.add_request(sys.argv[1], {reader})
        try:
            stream.start()
        except SystemExit as error:
            print(error.code, chain.state.value, len(stream.chains))
        stream.close()
    """
    # Not `run_script`: asyncio says that nobody has taken the error of the task.
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), web.http]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout.split() == ["3", "cancelled", "0"]


async def ended(flow: HTTPStream) -> None:
    """The program is told to end, and the flow has heard it."""
    has_heard = asyncio.Event()
    send_awaited_only = flow._runner.send_awaited_only

    def hear(on_rest: Callable[[], None]) -> None:
        send_awaited_only(on_rest)
        has_heard.set()

    flow._runner.send_awaited_only = hear
    os.kill(os.getpid(), signal.SIGTERM)
    await has_heard.wait()


class Ending(HTTPStream):
    """Runs a reader that ends the program, and then what a test wants."""

    def __init__(
        self, url: str, rest: Callable[[Ending], Awaitable[object]], ends: bool, **options
    ) -> None:
        super().__init__(**options)
        self.url, self.rest, self.ends = url, rest, ends
        self.seen: list[str] = []

    def begin(self) -> object:
        return self.url, self.read

    async def read(self, _response: Response) -> object:
        if self.ends:
            await ended(self)
        await self.rest(self)
        self.seen.append("ended")
        return f"{self.url}/after", None

    def see(self, name: str) -> Callable[[Response], None]:
        """A reader that tells that it was asked."""
        return lambda _response: self.seen.append(name)


def asked_after_the_signal(
    rest: Callable[[Ending], Awaitable[object]], ends_at: str = "", **options
) -> tuple[list[str], list[str]]:
    """What is asked for after the first request, and what the flow has seen.

    The program is told to end in the first reader, or when a path is asked for.
    """
    flow: Ending

    async def script(asked: Asked) -> Say:
        if asked.path == ends_at:
            await ended(flow)
        return Say(200, (asked.headers["Authorization"] or "").encode())

    async def play() -> tuple[list[str], list[str]]:
        nonlocal flow
        async with scripted(script) as server:
            flow = Ending(server.url, rest, not ends_at, **options)
            await asyncio.wait_for(flow.serve(grace=600), 60)
        return server.paths[1:], flow.seen

    return asyncio.run(play())


@pytest.mark.parametrize("ends_at", ["", "/a"])
def test_branches_of_a_chain_that_a_reader_awaits_are_sent_after_a_signal(ends_at: str):
    async def rest(flow: Ending) -> None:
        def several(_response: Response):
            yield f"{flow.url}/a", lambda _: (f"{flow.url}/c", None)
            yield f"{flow.url}/b", None

        await flow.add_request(f"{flow.url}/several", several)

    paths, seen = asked_after_the_signal(rest, ends_at)
    assert (sorted(paths), seen) == (["/a", "/b", "/c", "/several"], ["ended"])


@pytest.mark.parametrize("ends_at", ["", "/login"])
def test_a_renewal_that_a_reader_needs_is_sent_after_a_signal(ends_at: str):
    async def rest(flow: Ending) -> None:
        session = flow.session("ann", auth=BearerAuth(renew=lambda: (f"{flow.url}/login", more)))

        def more(_response: Response) -> object:
            return f"{flow.url}/token", take

        def take(_response: Response) -> None:
            session.auth.token = "new"

        flow.seen.append((await flow.fetch(f"{flow.url}/x", session=session)).text)

    paths, seen = asked_after_the_signal(rest, ends_at)
    assert (paths, seen) == (["/login", "/token", "/x"], ["Bearer new", "ended"])


@pytest.mark.parametrize("options", [{}, {"limits": Limits(per_host=5)}, {"max_clients": 3}])
def test_what_a_reader_begins_and_does_not_await_is_not_sent_after_a_signal(options):
    async def rest(flow: Ending) -> None:
        flow.add_request(f"{flow.url}/begun", flow.see("begun"))
        flow.add_request(f"{flow.url}/later", flow.see("later"), delay=0.001)
        await flow.fetch(f"{flow.url}/awaited")
        await asyncio.sleep(0.01)

    assert asked_after_the_signal(rest, **options) == (["/awaited"], ["ended"])


@pytest.mark.parametrize("options", [{}, {"limits": Limits(per_host=5)}])
def test_what_is_begun_first_and_awaited_later_is_sent_after_a_signal(options):
    async def rest(flow: Ending) -> None:
        chains = [flow.add_request(f"{flow.url}/{name}", flow.see(name)) for name in "abc"]
        await asyncio.sleep(0.001)
        assert not flow.stats().in_flight
        await asyncio.gather(*map(wait, chains[:2]))

    paths, seen = asked_after_the_signal(rest, **options)
    assert (sorted(paths), sorted(seen)) == (["/a", "/b"], ["a", "b", "ended"])


def test_a_renewal_that_was_held_is_sent_when_a_reader_needs_it():
    async def rest(flow: Ending) -> None:
        session = flow.session("ann", auth=BearerAuth(renew=lambda: (f"{flow.url}/login", take)))

        def take(_response: Response) -> None:
            session.auth.token = "new"

        flow.add_request(f"{flow.url}/dropped", None, session=session)
        await asyncio.sleep(0.001)
        await flow.fetch(f"{flow.url}/x", session=session)

    assert asked_after_the_signal(rest)[0] == ["/login", "/x"]


def test_an_async_generator_that_reads_gets_to_its_next_link_after_a_signal():
    seen = []

    class Pages(HTTPStream):
        async def begin(self):
            yield self.url, self.read
            await asyncio.Event().wait()  # for work: nobody waits for that

        async def read(self, _response: Response):
            await ended(self)
            seen.append("saved")
            yield f"{self.url}/more", None
            seen.append("asked for more")

    async def play() -> list[str]:
        async with scripted(lambda _: Say()) as server:
            flow = Pages()
            flow.url = server.url
            await asyncio.wait_for(flow.serve(grace=600), 60)
        return server.paths

    assert asyncio.run(play()) == ["/"]
    assert seen == ["saved"]
