"""`HTTPStream`: chains of requests on one IOLoop.

The engine's face: what users call and override. The way of one request: `add_request` makes a
chain; `runner` moves it through its states and calls its readers; `transport` sends and receives.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import os
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

from tornado.ioloop import IOLoop

from .body import Params
from .builders import RequestMaker
from .chain import Chain, checked_link, is_delay, page_of
from .closing import ClosedByBlock
from .defaults import request_defaults
from .errors import ClosedError, LinkError, StreamError
from .eventloop import (
    asyncio_loop_of,
    current_ioloop,
    descriptor_limit,
    error_of,
    refuse_other_thread,
    refuse_running_loop,
)
from .hints import ATTRIBUTES, STREAM, answering
from .hooks import Auth, BeforeSend, Breaker, Hooks, Observer, Retry
from .items import ItemEmitter, ItemWriter
from .lifecycle import (
    GRACE,
    checked_grace,
    finish,
    raise_signal,
    run_whole,
    show_logs,
    stop_signals,
)
from .limits import Limits
from .links import Errback, Next, Readback, RequestLike, keep, raise_error, request_of, shown
from .request import Headers, Request, option_names
from .response import Response
from .runner import Runner
from .session import CookieJar, Session
from .stats import Stats
from .tracebacks import cut_callers
from .transport.caching import Cache, CachingTransport
from .transport.curl import Transport
from .transport.options import DEFAULTS, compile_options
from .transport.poller import WatchedSocket
from .transport.replay import Answering, Recording, ReplayTransport
from .urls import normal_host
from .validation import check_plugs, check_timeout
from .waiting import hold, let_go, running_chain

if TYPE_CHECKING:
    from ..journal.postgres import PostgresJournal
    from ..journal.sqlite import Journal
    from ..journal.store import Store
    from ..metrics import Metrics

__all__ = ["HTTPStream"]

logger = logging.getLogger("webqq_tornado.engine")

#: Hooks whose result is not awaited.
_PLAIN_HOOKS = ("on_request", "on_response", "on_retry", "on_idle")

#: What `defaults` does not take, and who does.
_ELSEWHERE = {
    "timeout": ": it is request_timeout, or HTTPStream(timeout=...)",
    **{
        name: f": HTTPStream({name}=...) has it, and stream.session(name, {name}=...)"
        for name in ("headers", "params", "auth", "base_url")
    },
}

_Self = TypeVar("_Self", bound="HTTPStream")
_T = TypeVar("_T")


class HTTPStream(Hooks, RequestMaker, ItemEmitter):
    """Chains of HTTP requests on a Tornado IOLoop.

    `add_request(request, readback)` starts a chain; the readback gets the response and
    returns nothing, or the next request, its reader and an optional delay. Subclass it for a
    flow of your own: `begin` yields the first links, `run` runs it.

    Args:
        ioloop: the loop to work on; by default the running one, else the thread's current one.
        max_clients: requests in flight at most; by default what the limit on file descriptors
            allows. Others wait for their turn, see `Limits`.
        limits: how much may be asked of one host and by one session, and how fast, see `Limits`.
        retry: policy for links that failed: see
            `webqq_tornado.retry`. By default none is.
        breaker: stops asking hosts that fail, see `webqq_tornado.retry.CircuitBreaker`.
        auth: credentials of the stream's own session, see `webqq_tornado.auth`; or user and
            password.
        replay: answers instead of the network, see `webqq_tornado.har`: a recording, or a function
            that has a request, and returns an `Answer`.
        cache: responses that RFC 9111 allows to use again, see `webqq_tornado.cache`; or the path
            of its file.
        defaults: arguments of `Request`, from `connect_timeout` on, for requests that do not
            give them.
        grace: seconds that leaving the block of `async with HTTPStream()` waits for the chains to
            end, before it closes the stream; by default as long as they take, which is for ever if
            one has no end. Left by an exception, or cancelled while it waits, it closes at once.
        base_url: what the URLs of `begin`, `add_request`, `fetch`, `get` ... are relative to: a
            folder ("users" is in it, "/users" at the root). With it, its origin alone gets
            `params`, user and password, and headers that are secret by their name, such as
            `Authorization`; without it all hosts do.
        headers: of all requests that have none of the same name; of named sessions, too.
        params: in the query of all requests that have none of the same name; likewise.
        timeout: seconds for each request in total, `request_timeout` of `defaults`.
        journal: a file, or a `webqq_tornado.journal.Journal`, in which chains and results are kept:
            killed at any moment, the flow goes on by the same command. Or the URL of a PostgreSQL
            database; while a loop runs, a `PostgresJournal` that is open.
        idempotency_header: with a journal each POST and PATCH has this header, with a value that is
            the same whenever that link is sent; None: it has none.

    Raises:
        ValueError: an argument is out of range, or `defaults` has an unknown name.
        TypeError: a hook is a coroutine function that can be none.
        JournalError: the journal cannot be used: another process runs on it, say.

    What the environment says of proxies and CAs is read when the stream is made.

    All methods belong to the loop's thread; from another one use
    `ioloop.add_callback(stream.add_request, ...)`.

    Example:
        >>> class Watch(HTTPStream):
        ...     def begin(self):
        ...         yield "https://example.org/status", self.check
        ...
        ...     def check(self, response):
        ...         if response.json()["state"] != "done":
        ...             return response.request, self.check, 5
        >>> Watch().run()
    """

    #: With a journal: old names of readers, and the new ones by which what waits for them goes on;
    #: and of the class, with its file: `{"crawl.py:Crawl": "shops.py:Shops"}`.
    renamed: Mapping[str, str] = {}
    #: With a journal `begin` is asked for all of its links again, which have keys.
    _begins_by_keys = False

    @answering("HTTPStream", STREAM, option_names)
    def __init__(
        self,
        ioloop: IOLoop | None = None,
        *,
        max_clients: int | None = None,
        limits: Limits | None = None,
        retry: Retry | None = None,
        breaker: Breaker | None = None,
        auth: Auth | tuple[str, str] | None = None,
        replay: Recording | Answering | None = None,
        cache: Cache | str | os.PathLike[str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        grace: float | None = None,
        base_url: str | None = None,
        headers: Headers = (),
        params: Params | str | None = None,
        timeout: float | None = None,
        journal: str | os.PathLike[str] | Journal | PostgresJournal | None = None,
        idempotency_header: str | None = "Idempotency-Key",
    ) -> None:
        if grace is not None:
            checked_grace(grace)
        if max_clients is not None and (not isinstance(max_clients, int) or max_clients < 1):
            raise ValueError(f"max_clients is 1 or more, not {max_clients!r}")
        if limits is not None and not isinstance(limits, Limits):
            raise ValueError(f"limits is a Limits(...), not {type(limits).__name__}")
        check_plugs(auth=auth, breaker=breaker, cache=cache, replay=replay, retry=retry)
        if timeout is not None:
            check_timeout("timeout", timeout)
        if defaults is not None and not isinstance(defaults, Mapping):
            raise ValueError(
                f"defaults is a mapping, {{'max_redirects': 3}}, not {type(defaults).__name__}"
            )
        if timeout is not None and "request_timeout" in (defaults or {}):
            raise ValueError(
                "timeout= and the request_timeout of defaults= are the same: give one of them"
            )
        unknown = set(defaults or ()) - set(option_names())
        if unknown:
            hints = (f"{name}{_ELSEWHERE.get(name, '; see Request')}" for name in sorted(unknown))
            raise ValueError(f"defaults has no {', no '.join(hints)}")
        # Its coroutine would never run, and Python warn of that later, in a line of ours.
        for name in _PLAIN_HOOKS:
            if inspect.iscoroutinefunction(getattr(self, name)):
                raise TypeError(
                    f"{type(self).__name__}.{name}() is called and not awaited: make it a plain "
                    "function, which may start a task or a chain"
                )
        limits = self._own_part(limits, journal)
        self.ioloop = ioloop or current_ioloop()
        #: What requests take that do not say otherwise.
        own: dict[str, Any] = {} if timeout is None else {"request_timeout": timeout}
        self.defaults: Mapping[str, Any] = {**DEFAULTS, **(defaults or {}), **own}
        # Wrong ones are to be refused here, before anything is opened.
        compile_options(Request("http://localhost", **(defaults or {}), **own), self.defaults)
        self._transport, self._http_cache = _transport(
            self.ioloop, self._handle_events, replay, cache
        )
        #: The cache is ours alone.
        self._owns_cache = self._http_cache is not cache
        self._runner = Runner(
            self.ioloop,
            self._transport,
            self,
            defaults=self.defaults,
            max_clients=_clients(max_clients, limits),
            limits=limits,
            # A hook that nobody overrode costs nothing.
            hears_responses=type(self).on_response is not HTTPStream.on_response,
            hears_requests=type(self).on_request is not HTTPStream.on_request,
            retry=retry,
            breaker=breaker,
        )
        if type(self).on_idle is not HTTPStream.on_idle:
            self._runner.idle_listeners.append(self._on_idle)
        self._session = Session(on_close=self._on_session_close)
        self._session.defaults = request_defaults(
            base_url, headers, params, credentials=auth if isinstance(auth, tuple) else None
        )
        if auth is not None and not isinstance(auth, tuple):
            self._session.auth = auth
            self._runner.use_policies()
        self._sessions: dict[str, Session] = {}
        self._grace = grace
        self._started_at = self._runner.time()
        self._closed = False
        # Last: where it cannot be opened, `close` releases all of the above.
        if journal is not None:
            self._open_journal(journal, idempotency_header)

    def _own_part(self, limits: Limits | None, journal: object) -> Limits | None:
        """The limits of one shard, where several may ask the same host."""
        is_by_host = type(self).shard_of is HTTPStream.shard_of
        shards = getattr(journal, "shards", 1)
        return limits if is_by_host or limits is None else limits.part(shards)

    if not TYPE_CHECKING:  # which would take any name for an attribute
        # No `__new__` that marks what `__init__` sets: `inspect.signature` would show that one.
        def __getattr__(self, name: str) -> object:
            """Asked for what is not there, which is all of it without our `__init__`."""
            kind = type(self).__name__
            if "_runner" not in self.__dict__:
                raise AttributeError(f"{kind}.__init__() has not called super().__init__()")
            hint = f": {ATTRIBUTES[name]}" if name in ATTRIBUTES else ""
            raise AttributeError(f"{kind!r} object has no attribute {name!r}{hint}")

    def _open_journal(
        self,
        journal: str | os.PathLike[str] | Journal | PostgresJournal,
        header: str | None,
    ) -> None:
        # Streams without a journal do without SQLite.
        from .kept_opening import keeper_of  # noqa: PLC0415

        try:
            self._journal = keeper_of(self, self._runner, journal, header)
        except BaseException:
            self.close()
            raise
        self._runner.use_journal(self._journal)
        self._journal.restore_cookies(self._session)
        # Not here: what waits in the file has readers in a subclass, whose `__init__` still runs.
        self.ioloop.add_callback(self._journal.resume_if_open)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._runner.chains)} chains"
        return f"<{type(self).__name__} {state}, {self._runner.in_flight} in flight>"

    @classmethod
    def instance(cls: type[_Self]) -> _Self:
        """The stream of this class on the current loop; the first call makes it."""
        ioloop = current_ioloop()
        _drop_streams_of_closed_loops()
        streams = _instances.setdefault(ioloop, {})
        stream = streams.get(cls)
        if stream is None or stream._closed:
            stream = streams[cls] = cls(ioloop)
        return stream  # type: ignore[return-value]

    # -- chains -----------------------------------------------------------------------------

    def add_request(
        self,
        request: RequestLike | Next,
        readback: Readback = None,
        *,
        delay: float = 0,
        errback: Errback | None = None,
        name: str | None = None,
        session: Session | None = None,
        deadline: float | None = None,
        priority: int = 0,
        retry: Retry | None = None,
        key: str | None = None,
    ) -> Chain:
        """Start a chain.

        Args:
            request: a URL, a `Request`, an `urllib.request.Request` or a
                `tornado.httpclient.HTTPRequest`; or a `Next`, which says it all but deadline and
                retry. A URL may be relative to the `base_url`.
            readback: gets the `Response`, returns what comes next: see `chain`. None sends
                the request and drops the body.
            delay: seconds until the request is sent.
            errback: gets the error, should this link fail; returns like a readback.
            name: of the chain, for logs and errors.
            session: in whose name (cookies); by default the stream's own.
            deadline: seconds for the whole chain; it then fails with `DeadlineError`.
            priority: a whole number; links that wait for their turn go by it, higher first, and
                lower ones not before. Chains below this one have it, too.
            retry: of all links of the chain, and of those below it; by default the stream's, which
                is the only one with a journal.
            key: of which there is one chain: the one that has it already, alive or ended, is
                returned. With a journal it lasts: starting twice is starting once. Of one that has
                ended nothing but its outcome is known: awaited, it returns None or raises that it
                has failed.

        Returns:
            The chain: await it, watch it, cancel it.

        Raises:
            ValueError: it is no request, or malformed.
            LinkError: readback, errback or delay cannot work (a TypeError).
            ClosedError: the stream is closed.
            RuntimeError: another loop runs than the stream's, here or in another thread.

        Example:
            >>> stream.add_request("http://example.org/", lambda response: print(response.text))
        """
        refuse_other_thread(self.ioloop)
        if deadline is not None and not is_delay(deadline):
            raise ValueError(f"deadline is a number of seconds, 0 or more, not {deadline!r}")
        if isinstance(request, Next):
            link = request
            name, session = name or link.name, session or link.session
        else:
            whole = request_of(request, self._base_url(session))
            link = Next(whole, readback, delay, errback, session, None, priority)
        # Before there is a chain: what is refused leaves none behind.
        link = checked_link(
            link if key is None else link._replace(key=key), None, self._base_url(session)
        )
        if link.key is not None and (found := self._chain_of_key(link.key)) is not None:
            return found
        # A policy is code, which the file cannot hold: the next run would continue without it.
        if self._journal is not None and retry is not None:
            raise LinkError(
                "retry= of a chain cannot be kept in the journal: give it to the stream"
            )
        if self._journal is not None:
            self._journal.check(session or self._session, link)
        return self._begin_chain(link, name, session, deadline, retry, is_kept=True)

    def _begin_chain(
        self,
        link: Next,
        name: str | None,
        session: Session | None,
        deadline: float | None,
        retry: Retry | None,
        *,
        is_kept: bool,
    ) -> Chain:
        if retry is not None:
            self._runner.use_policies()
        # Behind `use_policies`, which adopt a chain when it is made.
        chain = self._runner.new_chain(name, session or self._session)
        if retry is not None:
            chain._retry = retry
        if deadline is not None:
            self._runner.set_deadline(chain, deadline)
        if session is not None and link.session is not None:
            link = link._replace(session=None)  # it would take the place of the given one
        if is_kept and self._journal is not None:
            self._journal.new_chain(chain, deadline)
        self._runner.start_link(chain, link)
        return chain

    def _chain_of_key(self, key: str) -> Chain | None:
        if self._journal is not None:
            return self._journal.chain_of_key(key)
        return self._runner.chain_of_key(key, self._session)

    def add_unkept(
        self,
        link: Next,
        *,
        session: Session | None = None,
        deadline: float | None = None,
        retry: Retry | None = None,
    ) -> Chain:
        """Start a chain that is a part of what awaits it: no journal keeps it.

        Args:
            link: as for `add_request`.
            session: likewise.
            deadline: likewise.
            retry: likewise.

        Raises:
            ValueError: it is no request, or malformed.
            ClosedError: the stream is closed.

        Example:
            >>> chain = stream.add_unkept(Next("http://example.org/robots.txt", read))
        """
        refuse_other_thread(self.ioloop)
        if deadline is not None and not is_delay(deadline):
            raise ValueError(f"deadline is a number of seconds, 0 or more, not {deadline!r}")
        session = session or link.session
        # A link whose key was followed is dropped: who awaits this one would get no response.
        link = checked_link(link._replace(key=None), None, self._base_url(session))
        return self._begin_chain(link, link.name, session, deadline, retry, is_kept=False)

    def add_delay_request(self, request: RequestLike, readback: Readback, delay: float) -> Chain:
        """`add_request` with a delay, as in 2013.

        Args:
            request: as for `add_request`.
            readback: as for `add_request`.
            delay: seconds until it is sent.
        """
        return self.add_request(request, readback, delay=delay)

    async def fetch(
        self,
        request: RequestLike | Next,
        *,
        session: Session | None = None,
        timeout: float | None = None,
        delay: float = 0,
        priority: int = 0,
        retry: Retry | None = None,
    ) -> Response:
        """One request, awaited.

        Args:
            request: as for `add_request`; the readers of a `Next` are not asked.
            session: in whose name.
            timeout: seconds in all: queueing, delay and retries included.
            delay: seconds until it is sent.
            priority: as for `add_request`.
            retry: as for `add_request`.

        Raises:
            StreamError: there was no response. A status of 400 or more is a response.
            ValueError: it is no request, or one with `stream=True`: see `open`.

        Example:
            >>> response = await stream.fetch("http://example.org/")
        """
        name = None
        if isinstance(request, Next):
            link = request
            request, delay, name, session = (
                link.request,
                link.delay,
                link.name,
                session or link.session,
            )
            priority = priority if link.priority is None else link.priority
        whole = _whole(request_of(request, self._base_url(session)))
        # Each of these needs a link. Without any `start_fetch` comes to the same by fewer calls.
        if delay or session or name or timeout is not None or priority or retry:
            link = Next(whole, keep, delay, raise_error, session, name, priority)
            chain = self.add_unkept(link, deadline=timeout, retry=retry)
            # In time: no chain fails before the call that begins it has returned.
            chain._is_quiet = True
        else:
            refuse_other_thread(self.ioloop)
            chain = self._runner.start_fetch(whole, self._session)
        try:
            waiter = self._runner.waiter_of_sent(chain)
            if waiter is not None:
                await waiter
                response = chain._result()
            else:
                response = await chain
        # Who awaits it was cancelled, say: nobody else wants the response.
        except BaseException:
            chain.cancel()
            raise
        if response is None:
            raise StreamError(
                "a WebSocket has messages and no response: give add_request a reader of them",
                chain=chain.name,
            )
        return response

    async def map(
        self,
        requests: Iterable[RequestLike | Next] | AsyncIterable[RequestLike | Next],
        *,
        concurrency: int = 10,
        **options: Any,
    ) -> AsyncGenerator[Response | StreamError, None]:
        """Responses to many requests, as they come; what failed is given as its error.

        A request is taken from the iterable when there is room for it, and none while the caller
        is busy with what came: it may be endless. `result.request` shows whose a result is, and
        `result.ok` is False of errors and of a status of 400 or more.

        Args:
            requests: as for `add_request`; the readers of a `Next` are not asked.
            concurrency: requests under way at most; `Limits` hold, too.
            options: of each `fetch`: session, timeout, priority, retry.

        Raises:
            ValueError: concurrency is below 1, or one of them is no request.
            TypeError: `requests` is a single one, or an option is none of `fetch`.

        Example:
            >>> async for result in stream.map(urls, concurrency=20):
            ...     print(result.request.url, result.status if result.ok else result)
        """
        if not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency is 1 or more, not {concurrency!r}")
        _check_map(requests, options)
        source = each_of(requests)
        running: set[asyncio.Task[Response | StreamError]] = set()
        coming: asyncio.Task[Any] | None = None
        is_exhausted = False
        try:
            while True:
                if coming is None and not is_exhausted and len(running) < concurrency:
                    coming = asyncio.ensure_future(anext(source, _EXHAUSTED))
                awaited = {*running, coming} - {None}
                if not awaited:
                    return
                # Results do not wait for a source that has nothing just now.
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
                if coming is not None and coming.done():
                    request, coming = coming.result(), None
                    is_exhausted = request is _EXHAUSTED
                    if not is_exhausted:
                        running.add(asyncio.ensure_future(self._result_of(request, options)))
                for task in [task for task in running if task.done()]:
                    running.discard(task)
                    yield task.result()
        finally:
            for each in (*running, coming):
                if each is not None:
                    each.cancel()
            # Python refuses to close an async generator that runs, as this does until its task has
            # been cancelled.
            if coming is not None:
                await asyncio.wait({coming})
            await source.aclose()

    async def _result_of(
        self, request: RequestLike | Next, options: Mapping[str, Any]
    ) -> Response | StreamError:
        try:
            return await self.fetch(request, **options)
        except StreamError as error:
            return error

    async def follow(
        self,
        first: RequestLike | Next,
        next_link: Callable[[Response], object],
        **options: Any,
    ) -> AsyncIterator[Response]:
        """Responses of which each leads to the next: the pages of a list, say.

        The next one is asked for when the caller asks for it.

        Args:
            first: a request, as for `add_request`.
            next_link: gets a response, returns the next request, a request and a delay in
                seconds, a `Next`, or None after the last; a URL may be relative to the response's.
                May be a coroutine function.
            options: of each `fetch`: session, timeout, priority, retry.

        Raises:
            StreamError: there was no response.
            LinkError: `next_link` gave something else.

        Example:
            >>> async for page in stream.follow(url, lambda page: page.json()["next"]):
            ...     print(len(page.json()["items"]))
        """
        link = page_of(first, None, self._base_url(options.get("session")))
        while link is not None:
            response = await self.fetch(link, **options)
            yield response
            result = next_link(response)
            if inspect.isawaitable(result):
                result = await result
            link = page_of(result, next_link, response.url)

    @contextlib.asynccontextmanager
    async def open(
        self, request: RequestLike | Next, *, session: Session | None = None
    ) -> AsyncIterator[Response]:
        """A response whose body comes piece by piece, awaited when its headers are there.

        Leaving the block drops the unread rest. Until then it has one of the places that
        `max_clients` and `limits` allow, whether it is read or not: a request that is awaited in
        the block, and finds no place for as long as its `request_timeout`, is a `TimeoutError`.

        Args:
            request: as for `add_request`; the readers of a `Next` are not asked.
            session: in whose name.

        Raises:
            StreamError: there was no response; in the block: the body was cut.

        Example:
            >>> async with stream.open("http://example.org/large") as response:
            ...     async for chunk in response.stream:
            ...         print(len(chunk))
        """
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Response] = loop.create_future()
        closed = asyncio.Event()

        async def read(response: Response) -> None:
            opened.set_result(response)
            await closed.wait()

        link = Next(*request) if isinstance(request, Next) else Next(request)
        base = self._base_url(session or link.session)
        streamed = request_of(link.request, base).replace(stream=True)
        # Its reader lasts as long as the block, and so does its place.
        link = link._replace(request=streamed, readback=read, errback=raise_error, data=None)
        chain = self.add_unkept(link, session=session)
        chain._is_quiet = True
        reader = running_chain()
        hold(reader)
        ended = asyncio.ensure_future(error_of(chain))
        # Behind the task, which has copied the context: waiting for the chain, it must not hold it.
        hold(chain)
        try:
            await asyncio.wait((opened, ended), return_when=asyncio.FIRST_COMPLETED)
            # Both may be there by now: a body that breaks off is raised to who reads it, in the
            # block.
            error = ended.result() if ended.done() else None
            if error is not None and not opened.done():
                raise error
            yield opened.result()
        finally:
            let_go(reader, chain)
            closed.set()
            chain.cancel()
            ended.cancel()

    def observe(
        self,
        observer: Observer,
        *,
        before: BeforeSend | None = None,
        on_start: Callable[[Chain], None] | None = None,
        on_failure: Callable[[Chain, BaseException], None] | None = None,
    ) -> Callable[[], None]:
        """Tell a function of each request what came of it, retries included.

        Args:
            observer: gets the chain, the request as sent, and the `Response` or the error, before
                anybody else does. What it raises is logged.
            before: gets the chain and the request that is about to go out, retries and redirects
                included; a request that it returns is sent instead, and readers do not see it.
            on_start: gets each chain that begins, in the task and context of the caller.
            on_failure: gets each chain that fails, and its error, also when a caller awaits it.

        Returns:
            A function that ends it; may be called twice.
        """
        stop = self._runner.use_policies().observe(observer, before, on_start)
        listeners = self._runner.failure_listeners
        if on_failure is None:
            return stop
        # Not the function: it may observe twice, and each end is the end of one.
        listener = functools.partial(on_failure)
        listeners.append(listener)

        def stop_all() -> None:
            stop()
            if listener in listeners:
                listeners.remove(listener)

        return stop_all

    def launch(self) -> Chain:
        """Start what `begin` returns on a loop that runs already.

        Returns:
            A chain that ends when all of them have.

        Raises:
            RuntimeError: another loop runs than the stream's.

        Example:
            >>> await Watch().launch()
        """
        refuse_other_thread(self.ioloop)
        if type(self).begin is Hooks.begin and not self._runner.chains:
            logger.warning("%s has no begin(), and nothing to run: define it", type(self).__name__)
        begin = self.begin
        # Before `begin`: what was begun in the last run goes before the rest.
        if self._journal is not None:
            self._journal.resume()
        chain = self._runner.new_flow(type(self).__name__, self._session)
        if self._journal is not None:
            begin = self._journal.begin(chain, begin)
        self._runner.follow_call(chain, begin, origin=self.begin)
        return chain

    def run(
        self, *, strict: bool = False, grace: float = GRACE, items: ItemWriter | None = None
    ) -> Stats:
        """Run the flow to its end on a loop that does not run yet, and close the stream.

        The first SIGINT (Ctrl-C) or SIGTERM ends it: readers under way get to finish, and nothing
        more is sent but what is awaited, by them say; not what they begin beside that, or return.
        The second one ends it at once. Log lines go to
        standard error, unless logging has been set up.

        Args:
            strict: raise what chains have failed with at the end, so that a program does not
                exit with 0 then. The others have run to their end, too.
            grace: seconds that readers under way have after a signal.
            items: gets what readers `emit`, and is closed: `ItemFile("items.csv")`.

        Returns:
            What was done.

        Raises:
            RuntimeError: the loop runs already; use `await stream.serve()` then.
            ValueError: grace is no number of seconds.
            Exception: see `strict`: the error of the only chain that has failed, or an
                `ExceptionGroup` of the first 20 (before Python 3.11, which has none, the first).
                Without it, what `begin` raises before its first link.
            KeyboardInterrupt: SIGINT has ended it.
            SystemExit: SIGTERM has, with the code 143.

        Example:
            >>> Nightly().run(strict=True)
        """
        # Not inside of `closing`, which would close a stream that is at work.
        refuse_running_loop("run()", "await stream.serve()")
        checked_grace(grace)
        show_logs()
        # Left from the right: the file of items learns whether it is whole, the stream closes
        # then.
        with contextlib.closing(self), self._writing(items):
            number = run_whole(self.ioloop, lambda: self._until_end(grace), self.close)
            if number:
                raise_signal(number)
            return self._results(strict)

    async def serve(
        self,
        *,
        strict: bool = False,
        grace: float = GRACE,
        signals: bool = True,
        items: ItemWriter | None = None,
    ) -> Stats:
        """Run the flow on a loop that runs already, as `run` does, and close the stream.

        It returns when the flow has ended, by itself or by a signal. Cancelled, it ends the flow
        within the grace as well.

        Args:
            strict: as for `run`.
            grace: as for `run`.
            signals: False leaves SIGINT and SIGTERM to the program.
            items: as for `run`; whole after a signal, too, if nothing has failed.

        Returns:
            What was done.

        Raises:
            RuntimeError: another loop runs than the stream's.
            ValueError: grace is no number of seconds.
            Exception: as for `run`.

        Example:
            >>> async def main():
            ...     Application(handlers).listen(8000)
            ...     await Watch().serve()
        """
        checked_grace(grace)
        try:
            with contextlib.closing(self), self._writing(items):
                await self._until_end(grace, catches_signals=signals)
                return self._results(strict)
        finally:
            if self._journal is not None:
                await self._journal.released()

    async def _until_end(self, grace: float, *, catches_signals: bool = True) -> int:
        """Run the flow to its end, or to a signal, of which the number is returned."""
        stopped = asyncio.Event()
        with stop_signals(stopped.set, is_caught=catches_signals) as numbers:
            # In the block: a signal that comes as `begin` runs lets it finish, as any reader.
            flow = self.launch()
            ends = [asyncio.ensure_future(one) for one in (self.drain(), stopped.wait())]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                if self._runner.chains:
                    await finish(self._runner, grace)
        if ends[0].done() and not ends[0].cancelled():
            ends[0].result()  # raises what it has raised, which nobody else asks its task for
        await self._flush_journal()
        if flow.error is not None and flow._number == self._runner.started == 1 and not flow.steps:
            raise flow.error  # begin() itself failed: there was no flow
        return numbers[0] if numbers else 0

    def _results(self, is_strict: bool) -> Stats:
        if is_strict:
            self._runner.failures.raise_any()
        return self.stats()

    def _on_idle(self) -> None:
        try:
            self.on_idle()
        # A CancelledError would cancel the code that has ended the last chain.
        except (Exception, asyncio.CancelledError) as error:
            cut_callers(error)
            logger.exception("on_idle() of %r raised", self)

    # -- the loop ---------------------------------------------------------------------------

    def start(self) -> None:
        """Run the loop until `stop`, or until the last chain has ended.

        Raises:
            RuntimeError: the loop runs already; then chains run without this.
        """
        refuse_running_loop("start()", "chains as they are, they already run")
        if self._journal is not None:
            self._journal.resume()
        # Nobody would stop the loop: the last chain has ended before.
        if self._runner.started and not self._runner.chains:
            return
        self._runner.idle_listeners.append(self.ioloop.stop)
        try:
            self.ioloop.start()
        finally:
            self._runner.idle_listeners.remove(self.ioloop.stop)
        # Not without one: the loop would continue with what `stop` has left for the next start.
        if self._journal is not None:
            self.ioloop.run_sync(self._flush_journal)

    def stop(self) -> None:
        """Make `start` return; chains stay as they are and continue with the next `start`."""
        self.ioloop.stop()

    def pause(self) -> None:
        """Send nothing more until `resume`: as `Chain.pause`, for all chains."""
        self._runner.pause(None)

    def resume(self) -> None:
        """Go on where `pause` has stopped."""
        self._runner.resume(None)

    @property
    def is_paused(self) -> bool:
        """True if the stream is paused, by `pause`."""
        return self._runner.is_paused

    def space_requests(self, host: str, seconds: float) -> None:
        """Have at least so much time between two requests to a host, from the next one on.

        Args:
            host: as in a URL, with its port if that is not the scheme's own.
            seconds: 0 or more; what `limits` has counts where it is more.

        Raises:
            ValueError: the host or the number is none, or the stream has no limits of hosts or
                sessions.

        Example:
            >>> stream.space_requests("example.org", 2.5)
        """
        if not is_delay(seconds):
            raise ValueError(f"spacing is a number of seconds, 0 or more, not {seconds!r}")
        self._runner.space_requests(normal_host(host), seconds)

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until all chains have ended, those they start included.

        Args:
            timeout: seconds to wait at most.

        Returns:
            True if none is left.

        Raises:
            RuntimeError: a reader asks without a timeout: its own chain would never end.
        """
        reader = running_chain()
        # A reader of another stream may wait here: its chain is none of these.
        if timeout is None and reader is not None and reader in self._runner.chains:
            raise RuntimeError(
                f"drain() in a reader waits for its own chain ({reader.name}), which waits for the "
                "reader: give it a timeout, or call it in a task of its own"
            )
        if self._journal is not None:
            self._journal.resume()
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while True:
            while self._runner.chains:
                if not await self._becomes_idle(until and until - loop.time()):
                    return False
                # Who awaited the last chain may start another one: their turn comes first.
                await asyncio.sleep(0)
            await self._flush_journal()
            if not self._runner.chains:  # by callers that learned of a commit
                return True

    async def _flush_journal(self) -> None:
        """Have in the file what has ended.

        Raises:
            JournalError: it cannot be written.
        """
        if self._journal is not None:
            await self._journal.flushed()
            if self._journal.error is not None:
                raise self._journal.error

    async def _becomes_idle(self, timeout: float | None) -> bool:
        # An event for each: several may drain at once.
        is_idle = asyncio.Event()
        self._runner.idle_listeners.append(is_idle.set)
        try:
            await asyncio.wait_for(is_idle.wait(), timeout)
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return False
        finally:
            self._runner.idle_listeners.remove(is_idle.set)
        return True

    def close(self) -> None:
        """End all chains and give back every socket, handler, timer and handle.

        Callers who await a chain get `ClosedError`. May be called twice, and in a reader.
        """
        if self._closed:
            return
        # In a forked child the file, or the connection, is the parent's.
        keeper = None if self._transport.is_forgotten else self._journal
        if keeper is not None:
            # First: chains that this ends are not noted as ended, and go on in the next run.
            keeper.close()
            if self._closed:  # by a commit that has failed
                return
        self._closed = True
        # Chains before the transport, which wants all transfers cancelled when it closes.
        self._runner.close(None if keeper is None else keeper.error)
        if keeper is not None:
            keeper.release()
        self._transport.close()
        # In a forked child the rest is the parent's, which goes on using it.
        if self._transport.is_forgotten:
            return
        # Behind the transport: libcurl frees no store of cookies that a handle uses.
        for session in (self._session, *self._sessions.values()):
            session.close()
        if self._owns_cache and isinstance(self._http_cache, ClosedByBlock):
            self._http_cache.close()
        streams = _instances.get(self.ioloop, {})
        # One of this class that was made by hand has no entry: that is another's.
        if streams.get(type(self)) is self:
            del streams[type(self)]

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the block of `async with`: wait until all chains have ended, then close.

        At most `grace` seconds, see `HTTPStream`; not at all if an exception has left the block,
        or after `close`. What still runs then, or when this is cancelled, is ended.
        """
        try:
            if kind is None and not await self.drain(self._grace):
                await self._flush_journal()
        finally:
            self.close()
            if self._journal is not None:
                await self._journal.released()

    @property
    def fd_map(self) -> Mapping[int, object]:
        """The sockets that are waited for now."""
        return self._transport.fd_map

    def _handle_events(self, fd: WatchedSocket, events: int) -> None:
        """Note a socket that is ready: `IOLoop.add_handler` has this for each that we wait for."""
        self._transport.handle_events(fd, events)

    # -- sessions and numbers ---------------------------------------------------------------

    @property
    def cookiejar(self) -> CookieJar:
        """The cookies of the stream's own session."""
        return self._session.cookiejar

    @answering("stream.session", {"cookies": "it is session.cookiejar.set(...)"}, option_names)
    def session(
        self,
        name: str,
        *,
        auth: Auth | tuple[str, str] | None = None,
        base_url: str | None = None,
        headers: Headers = (),
        params: Params | str | None = None,
        timeout: float | None = None,
    ) -> Session:
        """The session of this name: an identity with cookies of its own, made when first named.

        It lasts until `Session.close`, or as long as the stream. What is given holds from now on;
        the stream's own `base_url`, `headers` and `params` hold where the session has none.

        Args:
            name: of it.
            auth: its credentials, see `webqq_tornado.auth`; or user and password.
            base_url: as of `HTTPStream`, and so the others.
            headers: of its requests.
            params: in the query of its requests.
            timeout: seconds for each of its requests in total.

        Raises:
            ClosedError: the stream is closed.
            ValueError: an argument is malformed.

        Example:
            >>> ann = stream.session("ann", headers={"X-Token": token})
        """
        if self._closed:
            raise ClosedError("the stream is closed")
        check_plugs(auth=auth)
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = Session(name, on_close=self._on_session_close)
            stands = self._session.defaults
            # User and password are one account's: a session has its own, or none.
            session.defaults = None if stands is None else stands.for_session(auth is not None)
            if self._journal is not None:
                self._journal.restore_cookies(session)
        pair = auth if isinstance(auth, tuple) else None
        given = request_defaults(base_url, headers, params, timeout, pair)
        if given is not None:
            session.defaults = given if session.defaults is None else given.over(session.defaults)
        if auth is not None and not isinstance(auth, tuple):
            session.auth = auth
            self._runner.use_policies()
        return session

    def _base_url(self, session: object) -> str | None:
        # One that is no session is refused later, with the link.
        return (session if isinstance(session, Session) else self._session).base_url

    def _on_session_close(self, session: Session) -> bool:
        """See `Session.close`."""
        if session is self._session and not self._closed:
            raise ValueError("the stream's own session is closed with the stream")
        # Before its chains end: users' code that runs then gets a new session by this name.
        self._sessions.pop(session.name, None)
        session.is_closed = True  # nothing new begins in it
        if self._transport.is_forgotten:
            return False  # it is the parent's
        self._runner.close_session(session)
        if self._journal is not None:
            self._journal.forget_session(session)
        self._transport.leave_session(session)
        return True

    @property
    def state(self) -> dict[str, Any]:
        """Values of the flow's own; with a journal they are kept with the results, as JSON.

        A plain reader that raises takes back what it has set in here.

        Example:
            >>> self.state["pages"] = self.state.get("pages", 0) + 1
        """
        if self._journal is not None:
            return self._journal.state
        return self.__dict__.setdefault("_state_values", {})  # type: ignore[no-any-return]

    @state.setter
    def state(self, values: dict[str, Any]) -> None:
        if self._journal is None:
            self.__dict__["_state_values"] = values
        else:
            # In place: the journal's own dict logs what changes, to undo it where a reader raises.
            given = dict(values)  # of `self.state |= ...` they are that dict
            self._journal.state.clear()
            self._journal.state.update(given)

    def shard_of(self, link: Next) -> int:
        """Return the shard that a link belongs to, where a flow runs in shards.

        By its host, so that limits of a host hold for all shards together. A flow on one large host
        may go by something else; then each shard has its part of the limits.

        Args:
            link: with a whole request.

        Returns:
            A number that is the same in each process (`hash` is not); its remainder counts.

        Example:
            >>> def shard_of(self, link):
            ...     return zlib.crc32(link.request.url.encode())
        """
        return crc32(link.request.host.encode())  # type: ignore[union-attr]

    @property
    def journal(self) -> Store | None:
        """The journal that it has, to look into; in PostgreSQL most of it is to be awaited."""
        return None if self._journal is None else self._journal.journal

    def retry_failed(self, *names: str, ids: Sequence[int] | None = None) -> int:
        """Begin chains again that have failed and are in the journal.

        Args:
            names: of them; by default all.
            ids: instead of names: as `Journal.chains` returns them.

        Returns:
            How many these are.

        Raises:
            JournalError: there is no such chain.
            RuntimeError: the stream has no journal, or it is in PostgreSQL, where
                `PostgresJournal.retry` does this.

        Example:
            >>> stream.retry_failed("order-17")
            1
        """
        if self._journal is None:
            raise RuntimeError("the stream has no journal: give it journal=")
        if self._journal.is_awaited:
            return self._journal.retry(())
        return self._journal.retry(self._journal.journal.ids_of(names) if ids is None else ids)

    @property
    def first_error(self) -> BaseException | None:
        """The error that ended the first chain that has failed; None if none has.

        Errors of `fetch`, `open` and the links of a `Gather` count only where the caller who got
        them has raised them again.
        """
        return next(iter(self._runner.failures.errors), None)

    @functools.cached_property
    def metrics(self) -> Metrics:
        """Numbers by host, see `webqq_tornado.metrics`: they are counted from the first look on.

        Example:
            >>> stream.metrics.hosts["example.org"].latencies["2xx"].count
            12
            >>> app = tornado.web.Application(stream.metrics.handlers())
        """
        from ..metrics import Metrics  # noqa: PLC0415 - tornado.web, which few streams need

        return Metrics(self)

    @property
    def chains(self) -> frozenset[Chain]:
        """The chains that are alive."""
        return frozenset(self._runner.chains)

    def stats(self) -> Stats:
        """Return numbers of what was done so far, and of what is under way."""
        runner = self._runner
        return Stats(
            # One that only holds a flow together has no link of its own.
            chains=len(runner.chains) - runner.flows,
            in_flight=runner.in_flight,
            queued=len(runner.queue),
            paused=len(runner.held),
            delayed=runner.delayed,
            started=runner.started,
            done=runner.done,
            failed=runner.failed,
            cancelled=runner.cancelled,
            requests=runner.requests,
            responses=runner.responses,
            errors=runner.errors,
            retries=runner.retries,
            received=runner.received,
            lanes=self._transport.lane_count,
            elapsed=runner.time() - self._started_at,
        )


def _transport(
    ioloop: IOLoop,
    handler: Callable[[WatchedSocket, int], None],
    replay: Recording | Answering | None,
    cache: Cache | str | os.PathLike[str] | None,
) -> tuple[Transport | ReplayTransport | CachingTransport, Cache | None]:
    if isinstance(cache, (str, os.PathLike)):
        from ..cache import HTTPCache  # noqa: PLC0415 - needs an extra

        cache = HTTPCache(cache)
    inner = (
        Transport(ioloop, handler)
        if replay is None
        else ReplayTransport(asyncio_loop_of(ioloop), replay)
    )
    return (inner, None) if cache is None else (CachingTransport(inner, cache), cache)


#: The streams that `instance` made, by loop and class.
_instances: weakref.WeakKeyDictionary[IOLoop, dict[type, HTTPStream]] = weakref.WeakKeyDictionary()


def _drop_streams_of_closed_loops() -> None:
    # Nothing else does: a stream holds its loop, so that no entry ever dies by itself.
    for ioloop in tuple(_instances):
        if asyncio_loop_of(ioloop).is_closed():
            for stream in tuple(_instances.pop(ioloop).values()):
                stream.close()


def _clients(max_clients: int | None, limits: Limits | None) -> int:
    """Requests that may be in flight, by what was given."""
    # The lower one counts. Without either, descriptors are the limit that is there anyway.
    given = (max_clients, None if limits is None else limits.clients)
    return min((one for one in given if one is not None), default=0) or descriptor_limit()


async def each_of(source: Iterable[_T] | AsyncIterable[_T]) -> AsyncGenerator[_T, None]:
    """Items of an iterable, sync or async.

    Args:
        source: of requests, say.
    """
    # One kind for both: `map` asks it by `anext`, and closes it by `aclose`.
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    else:
        for item in source:
            yield item


#: What stands behind the last request of `map`: None would hide a wrong one.
_EXHAUSTED = object()


def _check_map(requests: object, options: Iterable[str]) -> None:
    # Of text the characters would be asked for, of a link its parts.
    if isinstance(requests, (str, bytes, Next)) or not isinstance(
        requests, (Iterable, AsyncIterable)
    ):
        raise TypeError(
            f"map takes several requests, such as a list, not {shown(requests)}: for one there is "
            "await stream.get(url)"
        )
    for name in options:
        if name not in _FETCH_OPTIONS:
            raise TypeError(
                f"map has no {name}=: give requests that have it, (stream.get(url, {name}=...) for "
                f"url in urls), or one of {', '.join(_FETCH_OPTIONS)}"
            )


_FETCH_OPTIONS = ("session", "timeout", "delay", "priority", "retry")


def _whole(request: Request) -> Request:
    """A request whose response is complete when it is read."""
    if request.stream:
        raise ValueError(
            "fetch() returns a complete response: use open() for a request with stream=True"
        )
    return request
