"""Plays a fuzz example against the server, and asserts what holds of each.

Each chain ends, once; the numbers of the stream are right; a healthy chain beside it goes on; no
response is another request's; nothing that is not idempotent is sent twice; nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import logging
import os
import re
import urllib.request
import zlib
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tenacity
from descriptors import open_descriptors
from servers.fuzz import FuzzServer
from servers.fuzzwire import Odd
from servers.raw import answer, raw_server
from tornado.httpclient import HTTPRequest
from waiting import until

from engine.balance import assert_is_balanced
from engine.fuzz_plans import GOOD_URL, Event, LinkPlan, Plan, Step
from engine.readers import Oops
from webqq_tornado import (
    Chain,
    ClosedError,
    FilePart,
    Gather,
    HTTPStream,
    Limits,
    LoggedOut,
    Multipart,
    Next,
    Request,
    Response,
    StreamError,
)
from webqq_tornado.auth import Auth, BasicAuth, BearerAuth, DigestAuth, LoginAuth
from webqq_tornado.engine.transport import lane
from webqq_tornado.retry import CircuitBreaker, Retry

#: Seconds after which an example hangs. None takes one.
DEADLINE = 20.0
#: Links of one example at most.
_LINKS = 30
_IDS = re.compile(r"i[0-9]+-[0-9a-f]{8}\b")
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")


class Arena:
    """What examples share: a loop, the server, a healthy one, and counts.

    Args:
        folder: for files.
        server: the one that examples talk to.
    """

    def __init__(self, folder: Path, server: FuzzServer | Odd | None = None) -> None:
        self.folder = folder
        self.deadline = DEADLINE
        self.server: Any = server or FuzzServer()
        self.examples = self.requests = self.links = 0
        self.loop = asyncio.new_event_loop()
        self.log = _Log()
        self._exits = contextlib.AsyncExitStack()
        self.loop.run_until_complete(self._open())

    async def _open(self) -> None:
        url = await self._exits.enter_async_context(raw_server(self.server))
        self.port = int(url.rpartition(":")[2])
        self.server.port = self.port
        self.healthy = await self._exits.enter_async_context(raw_server(_healthy))
        logging.getLogger().addHandler(self.log)
        self._descriptors = open_descriptors()

    def close(self) -> None:
        logging.getLogger().removeHandler(self.log)
        self.loop.run_until_complete(self._exits.aclose())
        self.loop.close()

    def play(self, run: Callable[[], Any]) -> None:
        """Run the coroutine function of an example, and look at what it leaves."""
        self.log.lines.clear()
        self.server.forget()
        self.loop.run_until_complete(self._play(run))
        self.examples += 1

    async def _play(self, run: Callable[[], Any]) -> None:
        tasks = asyncio.all_tasks()
        self.server.requests = 0
        await run()
        for _, multi in lane.postponed:  # they would be closed a minute later
            multi.close()
        lane.postponed.clear()
        try:
            await asyncio.wait_for(self._settle(tasks), self.deadline)
        except asyncio.TimeoutError:
            self.deadline = 1.0  # for making it smaller
            raise AssertionError(
                f"left: {open_descriptors() - self._descriptors} descriptors, "
                f"{asyncio.all_tasks() - tasks - {asyncio.current_task()}}, {self._timers()}"
            ) from None
        assert not self.server.invalid, list(self.server.invalid)
        assert not self.log.lines, list(self.log.lines)
        self.requests += self.server.requests

    async def _settle(self, tasks: set[Any]) -> None:
        own = {asyncio.current_task(), *tasks}
        await until(
            lambda: (
                not self.server.open
                and open_descriptors() <= self._descriptors
                and not asyncio.all_tasks() - own
            )
        )
        # The limit of this is one of them, and that of `until`.
        await until(lambda: len(self._timers()) <= 1)

    def _timers(self) -> list[Any]:
        return [timer for timer in self.loop._scheduled if not timer._cancelled]

    def new_id(self) -> str:
        """An id that no mangled one is equal to."""
        self.links += 1
        return f"i{self.links}-{zlib.crc32(b'%d' % self.links):08x}"


class _Log(logging.Handler):
    """What the loop says, or Tornado, is a failure; what the engine says is made text of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if not record.name.startswith("webqq_tornado.engine"):
            self.lines.append(text)


async def _healthy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"healthy"))


class _Stream(HTTPStream):
    """With the hooks of a play."""

    play: Play

    def on_request(self, request: Request) -> Request | None:
        return self.play.hook("on_request", request)

    def on_response(self, response: Response) -> None:
        if response.body != b"healthy":
            self.play.hook("on_response", response)

    def on_error(self, error: Exception) -> object:
        if self.play.plan.options.get("on_error") == "step":
            return self.play.act(self.play.next_step(), error)
        return super().on_error(error)

    def on_retry(self, attempt: Any) -> None:
        self.play.may_come(attempt.request)


class Play:
    """One example.

    Args:
        arena: where.
        plan: of what.
    """

    def __init__(self, arena: Arena, plan: Plan) -> None:
        self.arena, self.plan = arena, plan
        self.steps, self.number = deque(plan.steps), 0
        self.failures: list[str] = []
        self.calls: dict[object, int] = defaultdict(int)
        self.begun: dict[str, int] = defaultdict(int)
        self.outcomes: list[asyncio.Task[object]] = []
        self.is_over = False
        self.closed_by_plan = False
        self.logged_out = 0
        self.good = Request(f"{arena.healthy}/", proxy="", request_timeout=20)

    async def run(self) -> None:
        options = dict(self.plan.options)
        self.stream = stream = _Stream(**self._options(options))
        stream.play = self
        if "observer" in options:
            stream.observe(lambda chain, request, outcome: self.hook("observer", chain))
        healthy = stream.add_request(self.good, self._read_healthy, name="healthy")
        self.outcomes.append(asyncio.ensure_future(_outcome(healthy)))
        try:
            for _ in range(self.plan.chains):
                self._add()
            for event in sorted(self.plan.events):
                await self._happen(event)
            self._let_go()
            await asyncio.wait_for(self._end(), self.arena.deadline)
        except asyncio.TimeoutError:
            self.arena.deadline = 1.0
            shown = [(chain, chain._request, chain.state) for chain in stream.chains]
            raise AssertionError(f"hangs: {shown}, {stream.stats()}") from None
        finally:
            self.is_over = True
            stream.close()
        await self._check(healthy)

    async def _end(self) -> None:
        while self.stream.chains - self._healthy_ones() and not self.stream._closed:
            await asyncio.sleep(0.001)
            self._let_go()
        self.is_over = True
        await self.stream.drain()
        for outcome in self.outcomes:
            await outcome

    def _healthy_ones(self) -> set[Chain]:
        return {chain for chain in self.stream.chains if chain.name == "healthy"}

    def _let_go(self) -> None:
        """What was paused goes on."""
        if not self.stream._closed:
            self.stream.resume()
            for chain in self.stream.chains:
                if chain.is_paused:
                    chain.resume()

    # -- checks -------------------------------------------------------------------------------

    async def _check(self, healthy: Chain) -> None:
        stats = self.stream.stats()
        assert not self.failures, self.failures
        assert stats[:5] == (0, 0, 0, 0, 0), stats
        assert stats.started == stats.done + stats.failed + stats.cancelled, stats
        assert_is_balanced(self.stream)
        runner = self.stream._runner
        assert not runner.in_flight, runner.in_flight
        fair = runner._scheduler._fair
        assert not fair._active, fair._active
        assert not fair.members
        assert not runner.held
        assert not runner._waiting
        if runner._policies is not None:
            assert not runner._policies.links, runner._policies.links
            assert not runner._policies.renewals.parts
        if not self.closed_by_plan:
            assert healthy.state.value == "done", (healthy, healthy.error)
        most = 1 + self.logged_out  # which has a link sent again
        assert all(count <= most for count in self.calls.values()), self.calls
        for (ident, method), count in self.arena.server.bodies.items():
            allowed = self.begun[ident] + self.arena.server.excused[ident]
            # Digest begins without the body, and sends it whatever the answer is.
            is_digest = self.plan.options.get("auth") == "digest" or any(
                link.settings.get("auth_mode") == "digest" for link in self.plan.links
            )
            if method not in _IDEMPOTENT and ident and not is_digest:
                assert count <= allowed, f"{method} {ident} came {count} times, not {allowed}"

    def fail(self, what: str) -> None:
        self.failures.append(what)

    def _see(self, response: Response, ident: str) -> None:
        """A response is whole, and this link's."""
        try:
            shown = (response.headers, response.reason, response.version, response.trailers)
            shown += (response.text, response.history, response.time_info, repr(response))
            shown += (response.getheaders(), response.retried, response.request_time)
            with contextlib.suppress(ValueError):
                response.json()
        except Exception as error:
            self.fail(f"{response!r}: {error!r}")
            return
        said = response.headers.get("X-Answer-To", "")
        asked = _IDS.findall(response.request.url)[-1:]  # a relative URL may have none of its own
        if said in self.begun and said not in asked:
            self.fail(f"{response!r} of {ident} is {said}'s: {response.headers.items()}")

    def _see_error(self, error: Exception) -> None:
        try:
            _ = f"{error!r} {error}"
            if isinstance(error, StreamError):
                copy.copy(error)
        except Exception as second:
            self.fail(f"{type(error)}: {second!r}")

    def _read_healthy(self, response: Response) -> object:
        if (response.status, response.body) != (200, b"healthy"):
            self.fail(f"{response!r}: {response.body[:99]!r}")
        return None if self.is_over else (response.request, self._read_healthy, 0.002)

    def may_come(self, request: object) -> None:
        """It may be sent once more."""
        if isinstance(request, Request):
            for ident in tuple(self.begun):
                if f"/{ident}" in request.url:
                    self.begun[ident] += 1

    # -- streams ------------------------------------------------------------------------------

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"defaults": {"request_timeout": 0.5, "max_redirects": 4}}
        if self.plan.is_proxied:
            made["defaults"]["proxy"] = f"http://127.0.0.1:{self.arena.port}"
        if "max_clients" in options:
            # The healthy chain takes a place, too.
            made["max_clients"] = options["max_clients"] + 1
        names = {"per_host", "per_session", "rate_per_host"} & options.keys()
        if names:
            made["limits"] = Limits(**{name: options[name] for name in names})
        if "retry" in options:
            made["retry"] = self._retry(options["retry"])
        if "breaker" in options:
            made["breaker"] = _Breaker(options["breaker"])
        if "auth" in options:
            made["auth"] = self._auth(options["auth"])
        return made

    def _retry(self, how: str) -> Any:
        if how == "raises":

            def raising(attempt: Any) -> float | None:
                if "healthy" in repr(attempt.outcome) or attempt.request.url.startswith(
                    self.arena.healthy
                ):
                    return None
                raise Oops("in a policy")

            return raising
        stop, wait = tenacity.stop_after_attempt(3), tenacity.wait_none()
        return Retry(stop=stop, wait=wait, max_retry_after=0.1)

    def _auth(self, how: str) -> Auth:
        origin = f"http://127.0.0.1:{self.arena.port}"
        if how in ("basic", "digest"):
            return (BasicAuth if how == "basic" else DigestAuth)("u", "p", origin=origin)
        if how == "login":
            return LoginAuth(lambda: (self.good, lambda response: None), origin=origin)

        def renew() -> Any:
            if how == "raises":
                raise Oops("in renew()")
            if how == "nonsense":
                return 42
            if how == "fetch":
                return later()
            if how == "hangs":
                return never()
            if how == "link":
                return self.good, keep
            return "token"

        async def later() -> str:
            await self.stream.fetch(self.good)
            return "token"

        async def never() -> str:
            await asyncio.Event().wait()
            return ""

        def keep(response: Response) -> None:
            auth.token = "token"

        auth = BearerAuth(renew=renew, origin=origin)
        auth.renew_timeout = 0.2 if how == "hangs" else 5
        return auth

    def hook(self, name: str, of: object) -> Any:
        what = self.plan.options.get(name)
        if isinstance(of, Request) and of.url.startswith(self.arena.healthy):
            return None
        if isinstance(of, Chain) and of.name == "healthy":
            return None
        if what == "raises":
            raise Oops("in a hook")
        if what == "nonsense":
            return 42
        if what == "cancels":
            self._cancel_any()
        return None

    # -- links --------------------------------------------------------------------------------

    def _add(self) -> None:
        link = self.link()
        if link is None or self.stream._closed:
            return
        self.number += 1
        deadline = 0.05 if self.number % 7 == 6 else None
        try:
            chain = self.stream.add_request(link, deadline=deadline)
        except (ValueError, TypeError, ClosedError) as error:
            self._see_error(error)
            return
        for _ in range(2):
            self.outcomes.append(asyncio.ensure_future(_outcome(chain)))

    def link(self) -> Next | None:
        """The next link of the plan, as it is or as far as it can be."""
        if self.arena.links - getattr(self, "first", self.arena.links) >= _LINKS or self.is_over:
            return None
        self.first = getattr(self, "first", self.arena.links)
        plan = self.plan.links[(self.arena.links - self.first) % len(self.plan.links)]
        ident = self.arena.new_id()
        self.begun[ident] += 1
        self.arena.server.answers[ident] = deque(plan.answers)
        request = self._request(plan, ident)
        session = None
        if plan.session and not self.stream._closed:
            session = self.stream.session(plan.session)
        errback = self._errback(plan.errback, ident) if plan.errback else None
        readback = self.reader(plan, ident)
        return Next(request, readback, plan.delay, errback, session, None, self.number % 3)

    def _request(self, plan: LinkPlan, ident: str) -> object:
        url = self._filled(plan.url, ident)
        if plan.form == "raw":  # whatever it is: that is the link's error
            return url
        try:
            return self._made(plan, url, ident)
        except (ValueError, TypeError) as error:  # of a file that is open for text
            self._see_error(error)
        good = Request(self._filled(GOOD_URL, ident), request_timeout=self._timeout(plan))
        return good

    def _filled(self, text: str, ident: str) -> str:
        return text.replace("{PORT}", str(self.arena.port)).replace("{ID}", ident)

    def _timeout(self, plan: LinkPlan) -> float:
        # Another's connection may be the one that it is sent on.
        stalls = any(one.end.value == "stall" for link in self.plan.links for one in link.answers)
        is_slow = stalls or plan.url.startswith("ws") or "expect_100_continue" in plan.settings
        return 0.1 if is_slow or plan.is_timed else 0

    def _made(self, plan: LinkPlan, url: str, ident: str) -> object:
        timeout = self._timeout(plan)
        if plan.form == "text":
            return Request.of(url).replace(request_timeout=timeout)
        if plan.form == "urllib":
            method = plan.method or None
            return urllib.request.Request(url, None, dict(plan.headers), method=method)
        body = self._body(plan.body)
        if plan.form == "tornado":
            body = body if isinstance(body, (bytes, str)) else None
            return HTTPRequest(
                url, plan.method or "GET", dict(plan.headers), body, request_timeout=timeout or 5
            )
        settings = {name: self._setting(name, value) for name, value in plan.settings.items()}
        settings |= self._mode(plan.mode, ident)
        return Request(url, plan.method, plan.headers, body, request_timeout=timeout, **settings)

    def _setting(self, name: str, value: object) -> object:
        if name not in ("on_header_line", "on_progress", "prepare_curl"):
            return value

        def callback(_given: object) -> None:
            if value == "raises":
                raise Oops(name)
            if value == "cancels":
                self._cancel_any()

        return callback

    def _mode(self, mode: str, ident: str) -> dict[str, Any]:
        if mode == "stream":
            return {"stream": True}
        if mode in ("sink", "sink_raises"):
            return {"sink": lambda chunk: _raise() if mode == "sink_raises" else None}
        if mode == "sink_later":
            return {"sink": _sink_later}
        if mode == "file":
            return {"sink": io.BytesIO()}
        if mode == "path":
            return {"sink": self.arena.folder / f"sink-{len(ident)}"}
        return {}

    def _body(self, body: str) -> Any:
        return _BODIES[body](self)

    # -- readers ------------------------------------------------------------------------------

    def next_step(self) -> Step:
        return self.steps.popleft() if self.steps else Step("none", 0)

    def reader(self, plan: LinkPlan, ident: str) -> Any:
        key = object()
        if plan.how == "none":
            return None

        def note(response: Response) -> None:
            self.calls[key] += 1
            if isinstance(response, Response):
                self._see(response, ident)

        def plain(response: Response) -> object:
            note(response)
            return self.act(self.next_step(), response)

        async def later(response: Response) -> object:
            note(response)
            if plan.mode == "stream" and isinstance(response, Response):
                await self._read_stream(plan.reading, response)
            await asyncio.sleep(0)
            return await self._act_later(self.next_step(), response)

        def generator(response: Response) -> Any:
            note(response)
            for _ in range(3):
                step = self.next_step()
                if step.what == "none":
                    return
                yield self.act(step, response)

        async def async_generator(response: Response) -> Any:
            note(response)
            for _ in range(3):
                step = self.next_step()
                if step.what == "none":
                    return
                yield await self._act_later(step, response)

        return {
            "sync": plain,
            "async": later,
            "generator": generator,
            "async_generator": async_generator,
        }[plan.how]

    def _errback(self, how: str, ident: str) -> Any:
        key = object()  # it stays for the links that follow: each error is told once

        def plain(error: Exception) -> object:
            self.calls[key, error] += 1
            self._see_error(error)
            return self.act(self.next_step(), error)

        async def later(error: Exception) -> object:
            self.calls[key, error] += 1
            self._see_error(error)
            await asyncio.sleep(0)
            return await self._act_later(self.next_step(), error)

        def generator(error: Exception) -> Any:
            self.calls[key, error] += 1
            yield self.act(self.next_step(), error)

        async def async_generator(error: Exception) -> Any:
            self.calls[key, error] += 1
            yield self.act(self.next_step(), error)

        return {
            "sync": plain,
            "async": later,
            "generator": generator,
            "async_generator": async_generator,
        }[how]

    async def _read_stream(self, reading: str, response: Response) -> None:
        try:
            body = response.stream
        except ValueError:  # in another form than its own it is a whole one
            return
        if reading == "all":
            async for _ in body:
                pass
        elif reading == "some":
            await body.read()
        elif reading == "lines":
            async for _ in body.lines(20):
                pass
        elif reading == "save":
            await body.save(self.arena.folder / f"saved-{id(body)}")
        elif reading == "twice":
            await asyncio.gather(body.read(), body.read())

    def act(self, step: Step, of: object) -> object:
        """Do what a step says; gives what the reader returns."""
        what, number = step
        if what in ("next", "later"):
            link = self.link()
            return link._replace(delay=0.002) if link and what == "later" else link
        if what == "again":
            return self._again(of)
        if what in ("list", "gather", "generator", "async_generator", "nested", "endless"):
            return self._several(what, number)
        if what == "awaitable":
            return _Resolved(self.link())
        if what == "garbage":
            return self._garbage(number)
        if what == "raise":
            raise self._error(number, of)
        if what == "cancel_self":
            self._cancel_self(of)
        elif what == "cancel_any":
            self._cancel_any(number)
        elif what == "pause_any":
            self._pause_any(number)
        elif what == "close" and number < 7:
            self._close()
        elif what == "close_session":
            self._close_session(number)
        elif what == "add":
            self._add()
        return None

    async def _act_later(self, step: Step, of: object) -> object:
        what = step.what
        if what == "fetch":
            with contextlib.suppress(StreamError, ValueError):
                link = self.link()
                await self.stream.fetch(link or self.good, timeout=1)
        elif what == "open":
            with contextlib.suppress(StreamError, ValueError):
                link = self.link()
                async with self.stream.open(link or self.good) as response:
                    await response.stream.read()
        elif what == "drain":
            await self.stream.drain()  # a RuntimeError
        elif what == "await_self":
            for chain in self._own(of):
                await chain  # likewise
        else:
            return self.act(step, of)
        return None

    def _again(self, of: object) -> object:
        request = getattr(of, "request", None)
        if not isinstance(request, Request):
            return None
        self.may_come(request)
        if sum(self.begun.values()) > 3 * _LINKS:
            return None
        return request, lambda response: None

    def _several(self, what: str, number: int) -> object:
        links = [link for _ in range(number % 4) if (link := self.link())]
        if what == "gather":
            return Gather(links, self._join if number % 2 else None, None, number % 3 == 0)
        if what == "nested":
            return [[link] for link in links] or [()]
        if what == "generator":
            return self._source(links, number)
        if what == "async_generator":
            return self._source_later(links, number)
        if what == "endless":
            return iter(self.link, None)
        return links

    def _join(self, responses: list[Any]) -> object:
        return self.act(self.next_step(), responses)

    def _source(self, links: list[Next], number: int) -> Any:
        try:
            for link in links:
                yield link
                if number % 5 == 4:
                    raise Oops("in a source")
        finally:
            if number % 6 == 5:
                self._cancel_any()

    async def _source_later(self, links: list[Next], number: int) -> Any:
        try:
            for link in links:
                await asyncio.sleep(0)
                yield link
                if number % 5 == 4:
                    raise Oops("in a source")
        finally:
            await asyncio.sleep(0)
            if number % 6 == 5:
                self._cancel_any()

    def _garbage(self, number: int) -> object:
        good = self._filled(GOOD_URL, "none")
        some: list[Callable[[], object]] = [
            lambda: 42,
            lambda: "text",
            lambda: b"bytes",
            object,
            lambda: (good,),
            lambda: (good, None, 0, 0),
            lambda: (good, "no reader"),
            lambda: (good, None, -1),
            lambda: (good, None, float("nan")),
            lambda: (good, None, float("inf")),
            lambda: ("http://[oops/", None),
            lambda: ("\ud800", None),
            lambda: (None, None),
            lambda: [None],
            lambda: [good],
            lambda: {},
            lambda: next(iter(self.stream.chains), None),
            lambda: self.stream,
            lambda: Next(good, print, errback=3),
            lambda: Gather(3),
            lambda: Next(good, session="none"),
        ]
        return some[number % len(some)]()

    def _error(self, number: int, of: object) -> BaseException:
        if number % 5 == 4 and isinstance(of, Response):
            self.may_come(of.request)
            self.logged_out += 1
            return LoggedOut("again")
        kinds = (Oops, asyncio.CancelledError, StopIteration, RecursionError)
        return kinds[number % 4]("in a reader")

    # -- what happens -------------------------------------------------------------------------

    async def _happen(self, event: Event) -> None:
        for _ in range(event.turns):
            await asyncio.sleep(0)
        if event.turns > 15:
            await asyncio.sleep(0.003)
        if self.stream._closed:
            return
        number = event.number
        if event.what == "cancel":
            self._cancel_any(number)
        elif event.what == "pause":
            self._pause_any(number)
        elif event.what == "pause_all":
            self.stream.pause()
        elif event.what == "resume":
            self._let_go()
        elif event.what == "close" and number < 10:
            self._close()
        elif event.what == "close_session":
            self._close_session(number)
        elif event.what == "add":
            self._add()
        elif event.what == "stats":
            assert_is_balanced(self.stream)

    def _others(self) -> list[Chain]:
        others = self.stream.chains - self._healthy_ones()
        return sorted(others, key=lambda chain: chain.name)

    def _own(self, of: object) -> list[Chain]:
        request = getattr(of, "request", None)
        return [chain for chain in self._others() if chain._request is request]

    def _cancel_self(self, of: object) -> None:
        for chain in self._own(of):
            chain.cancel()

    def _cancel_any(self, number: int = 0) -> None:
        others = self._others()
        if others:
            others[number % len(others)].cancel()

    def _pause_any(self, number: int) -> None:
        others = self._others()
        if others:
            others[number % len(others)].pause()

    def _close(self) -> None:
        self.closed_by_plan = True
        self.stream.close()

    def _close_session(self, number: int) -> None:
        if not self.stream._closed:
            self.stream.session("ab"[number % 2]).close()


class _Breaker:
    """A breaker that does what it should, or raises."""

    def __init__(self, how: str) -> None:
        self._raises = how == "raises"
        self._breaker = CircuitBreaker(fail_max=2, reset_timeout=0.01)

    def admit(self, request: Request) -> StreamError | None:
        return self._breaker.admit(request)

    def record(self, request: Request, outcome: Response | Exception) -> None:
        self._breaker.record(request, outcome)
        if self._raises and getattr(outcome, "body", b"") != b"healthy":
            raise Oops("in a breaker")

    def give_up(self, request: Request) -> None:
        self._breaker.give_up(request)


async def _outcome(chain: Chain) -> object:
    try:
        return await chain
    except (Exception, asyncio.CancelledError) as error:
        if not chain.done:
            raise
        return error


class _Resolved:
    """An awaitable that may be left alone."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __await__(self) -> Any:
        yield
        return self._value


async def _sink_later(chunk: bytes) -> None:
    await asyncio.sleep(0)


def _raise() -> None:
    raise Oops("in a sink")


def _generator(*chunks: Any) -> Any:
    for chunk in chunks:
        if chunk is Oops:
            raise Oops("in a body")
        yield chunk


async def _async_generator(*chunks: Any) -> Any:
    for chunk in chunks:
        await asyncio.sleep(0)
        if chunk is Oops:
            raise Oops("in a body")
        yield chunk


class _ShortReads(io.RawIOBase):
    """A file that gives a byte at a time, and cannot go back."""

    def __init__(self) -> None:
        self._left = 5

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        return b"x" if self._left >= 0 else b""


def _closed_file() -> Any:
    file = io.BytesIO(b"closed")
    file.close()
    return file


def _function(*results: Any) -> Callable[[], Any]:
    def give() -> Any:
        if results[0] is Oops:
            raise Oops("in a body's function")
        return results[0]

    return give


_BODIES: dict[str, Callable[[Play], Any]] = {
    "none": lambda play: None,
    "empty": lambda play: b"",
    "bytes": lambda play: b"\0\xffbody",
    "text": lambda play: "text\u20ac",
    "large": lambda play: b"x" * 300_000,
    "list": lambda play: [b"a", b"", b"b" * 70_000],
    "generator": lambda play: _generator(b"a", b"b"),
    "generator_raises": lambda play: _generator(b"a", Oops),
    "async": lambda play: _async_generator(b"a", b"b" * 70_000),
    "async_raises": lambda play: _async_generator(b"a", Oops),
    "function": lambda play: lambda: _generator(b"a", b"c"),
    "function_raises": lambda play: _function(Oops),
    "function_none": lambda play: _function(None),
    "file": lambda play: io.BytesIO(b"file" * 1000),
    "closed": lambda play: _closed_file(),
    "text_file": lambda play: io.StringIO("text"),
    "missing": lambda play: play.arena.folder / "missing",
    "folder": lambda play: play.arena.folder,
    "pipe": lambda play: Path(os.devnull),
    "multipart": lambda play: Multipart({"a": "b"}, {"f": FilePart(b"x" * 1000, "x.txt")}),
    "numbers": lambda play: [1, 2],
    "short_reads": lambda play: _ShortReads(),
}
