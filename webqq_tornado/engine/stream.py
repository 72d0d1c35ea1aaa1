"""`HTTPStream`: chains of requests on one IOLoop.

This is where the parts meet. A link's way through this file: `add_request` makes a chain,
`_begin` gives it a link, `_send` hands the request to the transport (or queues it),
`_on_result` takes what came, `_read` runs the reader, and `_follow` looks at what it returned:
back to `_begin`, or to `_end`.

Users' code is called from here only, and never while libcurl is at work.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import warnings
import weakref
from collections import OrderedDict, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlencode

from tornado.ioloop import IOLoop

from .chain import (
    Below,
    Chain,
    Errback,
    Link,
    Next,
    Readback,
    State,
    check_delay,
    check_link,
    link_of,
    next_of,
)
from .errors import ClosedError, DeadlineError, StreamError
from .options import DEFAULTS, Options, compile_options
from .request import (
    PLAIN,
    FilePart,
    Headers,
    Multipart,
    Request,
    form_body,
    json_body,
    option_names,
)
from .response import Response
from .session import CookieJar, Session
from .stats import Stats
from .transport import Lane, Transport

__all__ = ["HTTPStream"]

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger("webqq_tornado.engine")

_Self = TypeVar("_Self", bound="HTTPStream")
#: Links taken from one source of several before other callbacks of the loop get their turn.
_FEED_AT_ONCE = 64
#: File descriptors left to the rest of the process.
_SPARE_DESCRIPTORS = 64


class HTTPStream:
    """Chains of HTTP requests on a Tornado IOLoop.

    `add_request(request, readback)` starts a chain; the readback gets the response and
    returns nothing, or the next request, its reader and an optional delay. Subclass it for a
    flow of your own: `begin` yields the first links, `run` runs it.

    Args:
        ioloop: the loop to work on; by default the running one, else the thread's current one.
        max_clients: requests in flight at most, others wait in order; by default what the
            limit on file descriptors allows.
        defaults: arguments of `Request`, from `connect_timeout` on, for requests that do not
            give them.

    Raises:
        ValueError: an argument is out of range, or `defaults` has an unknown name.

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

    def __init__(
        self,
        ioloop: IOLoop | None = None,
        *,
        max_clients: int | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        if max_clients is not None and max_clients < 1:
            raise ValueError(f"max_clients is 1 or more, not {max_clients}")
        unknown = set(defaults or ()) - set(option_names())
        if unknown:
            raise ValueError(f"defaults has no {', '.join(sorted(unknown))}; see Request")
        self.ioloop = ioloop or _current_ioloop()
        #: What requests take that do not say otherwise.
        self.defaults: Mapping[str, Any] = {**DEFAULTS, **(defaults or {})}
        # Checks the defaults, and serves each request that is nothing but a URL.
        self._plain_options = compile_options(Request("http://localhost"), self.defaults)
        self._options_key = object()  # marks what this stream compiled for a request
        self._max_clients = max_clients or _descriptor_limit()
        self._transport = Transport(self.ioloop, self._handle_events)
        self._session = Session()
        self._sessions: dict[str, Session] = {}
        self._chains: set[Chain] = set()
        self._queue: OrderedDict[Chain, None] = OrderedDict()  # first come, first sent
        self._feeders: deque[Callable[[], None]] = deque()  # sources of links, waiting for room
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._started_at = self.ioloop.time()
        self._in_flight = self._delayed = 0
        self._started = self._done = self._failed = self._cancelled = 0
        self._requests = self._responses = self._errors = self._received = 0
        self._closed = False
        self._returns_when_idle = False
        # Hooks that nobody overrode cost nothing.
        self._hears_responses = type(self).on_response is not HTTPStream.on_response

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._chains)} chains"
        return f"<{type(self).__name__} {state}, {self._in_flight} in flight>"

    @classmethod
    def instance(cls: type[_Self]) -> _Self:
        """The stream of this class on the current loop; the first call makes it."""
        ioloop = _current_ioloop()
        streams = _instances.setdefault(ioloop, {})
        stream = streams.get(cls)
        if stream is None or stream._closed:
            stream = streams[cls] = cls(ioloop)
        return stream  # type: ignore[return-value]

    # -- chains -----------------------------------------------------------------------------

    def add_request(
        self,
        request: object,
        readback: Readback = None,
        *,
        delay: float = 0,
        errback: Errback | None = None,
        name: str | None = None,
        session: Session | None = None,
        deadline: float | None = None,
    ) -> Chain:
        """Start a chain.

        Args:
            request: a URL, a `Request`, an `urllib.request.Request` or a
                `tornado.httpclient.HTTPRequest`.
            readback: gets the `Response`, returns what comes next: see `chain`. None sends
                the request and drops the body.
            delay: seconds until the request is sent.
            errback: gets the error, should this link fail; returns like a readback.
            name: of the chain, for logs and errors.
            session: in whose name (cookies); by default the stream's own.
            deadline: seconds for the whole chain; it then fails with `DeadlineError`.

        Returns:
            The chain: await it, watch it, cancel it.

        Raises:
            ValueError: it is no request, or malformed.
            LinkError: readback, errback or delay can not work (a TypeError).
            ClosedError: the stream is closed.

        Example:
            >>> stream.add_request("http://example.org/", lambda response: print(response.text))
        """
        link = Next(Request.of(request), readback, delay, errback)
        check_link(link, self.add_request)
        chain = self._new_chain(name, session or self._session)
        if deadline is not None:
            self._set_deadline(chain, deadline)
        self._begin(chain, link)
        return chain

    def add_delay_request(self, request: object, readback: Readback, delay: float) -> Chain:
        """`add_request` with a delay in seconds, as in 2013."""
        return self.add_request(request, readback, delay=delay)

    async def fetch(
        self, request: object, *, session: Session | None = None, timeout: float | None = None
    ) -> Response:
        """One request, awaited.

        Args:
            request: as for `add_request`.
            session: in whose name.
            timeout: seconds in all, queueing included.

        Raises:
            StreamError: there was no response. A status of 400 or more is a response.

        Example:
            >>> response = await stream.fetch("http://example.org/")
        """
        chain = self.add_request(request, _keep, session=session, deadline=timeout)
        chain._is_quiet = True
        try:
            response = await chain
        except asyncio.CancelledError:
            chain.cancel()
            raise
        assert response is not None  # noqa: S101 - _keep has read it
        return response

    def begin(self) -> Link:
        """The first links of the flow: override it; any form of several links will do.

        Each becomes a chain of its own. A generator is only taken as far as there is room
        (`max_clients`), so that it may be endless.
        """
        return None

    def launch(self) -> Chain:
        """Start what `begin` gives on a loop that runs already.

        Returns:
            A chain that ends when all of them have.

        Example:
            >>> await Watch().launch()
        """
        chain = self._new_chain(type(self).__name__, self._session)
        self._follow_call(chain, self.begin)
        return chain

    def run(self) -> Stats:
        """Run the flow to its end on a loop that does not run yet, and close the stream.

        Returns:
            What was done.

        Raises:
            RuntimeError: the loop runs already; use `await stream.launch()` then.
        """
        _refuse_running_loop("run()", "await stream.launch()")
        try:
            self.ioloop.run_sync(self._run)
            return self.stats()
        finally:
            self.close()

    async def _run(self) -> None:
        flow = self.launch()
        await self.drain()
        if flow.error is not None and self._started == 1 and not flow.steps:
            raise flow.error  # begin() itself failed: there was no flow

    # -- hooks ------------------------------------------------------------------------------

    def on_response(self, response: Response) -> None:
        """Override to see each response before its reader does."""

    def on_error(self, error: Exception) -> Link:
        """Override to decide what follows an error in a chain whose link has no errback.

        Args:
            error: a `StreamError`, which knows its request and chain, or what a reader raised.

        Returns:
            As a reader; None: it is dealt with, the chain ends in peace. Raise to end the
            chain with an error, as this default does.
        """
        raise error

    # -- the loop ---------------------------------------------------------------------------

    def start(self) -> None:
        """Run the loop until `stop`, or until the last chain has ended.

        Raises:
            RuntimeError: the loop runs already; then chains run without this.
        """
        _refuse_running_loop("start()", "chains as they are, they already run")
        self._returns_when_idle = True
        try:
            self.ioloop.start()
        finally:
            self._returns_when_idle = False

    def stop(self) -> None:
        """Make `start` return; chains stay as they are and go on with the next `start`."""
        self.ioloop.stop()

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until all chains have ended, those they start included.

        Args:
            timeout: seconds to wait at most.

        Returns:
            True if none is left.
        """
        if self._chains:
            waiter = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await asyncio.wait((waiter,), timeout=timeout)
            if waiter in self._idle_waiters:
                self._idle_waiters.remove(waiter)
        return not self._chains

    def close(self) -> None:
        """End all chains and give back every socket, handler, timer and handle.

        Whoever awaits a chain gets `ClosedError`. May be called twice, and in a reader.
        """
        if self._closed:
            return
        self._closed = True
        for chain in tuple(self._chains):
            if chain.parent is None:
                self._end(chain, State.CANCELLED, ClosedError("the stream was closed"))
        self._transport.close()
        for session in (self._session, *self._sessions.values()):
            session.close()
        self._sessions.clear()
        streams = _instances.get(self.ioloop, {})
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
        if kind is None:
            await self.drain()
        self.close()

    @property
    def fd_map(self) -> Mapping[int, object]:
        """The sockets that are waited for now."""
        return self._transport.fd_map

    def _handle_events(self, fd: int, events: int) -> None:
        """What `IOLoop.add_handler` calls when some of our sockets are ready."""
        self._transport.handle_events()

    # -- sessions and numbers ---------------------------------------------------------------

    @property
    def cookiejar(self) -> CookieJar:
        """The cookies of the stream's own session."""
        return self._session.cookiejar

    def session(self, name: str) -> Session:
        """The session of this name: an identity with cookies of its own, made when first named."""
        if self._closed:
            raise ClosedError("the stream is closed")
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = Session(name)
        return session

    @property
    def chains(self) -> frozenset[Chain]:
        """The chains that are alive."""
        return frozenset(self._chains)

    def stats(self) -> Stats:
        """What was done so far, and what is under way."""
        return Stats(
            chains=len(self._chains),
            in_flight=self._in_flight,
            queued=len(self._queue),
            delayed=self._delayed,
            started=self._started,
            done=self._done,
            failed=self._failed,
            cancelled=self._cancelled,
            requests=self._requests,
            responses=self._responses,
            errors=self._errors,
            received=self._received,
            elapsed=self.ioloop.time() - self._started_at,
        )

    # -- requests, by the names of 2013 -----------------------------------------------------

    def make_get_url(self, url: str, params: Mapping[str, Any] | None = None) -> str:
        """The URL with the parameters in its query, after those it has."""
        if not params:
            return url
        base, mark, fragment = url.partition("#")
        joint = "&" if "?" in base else "?"
        return base + joint + urlencode(params, doseq=True) + mark + fragment

    def make_get_request(
        self, url: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> Request:
        """A GET request.

        Args:
            url: absolute.
            params: for the query.
            options: further arguments of `Request`.
        """
        return Request(self.make_get_url(url, params), **options)

    def make_post_request(
        self,
        url: str,
        params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes = b"",
        *,
        json: object = None,
        files: Mapping[str, FilePart | bytes | os.PathLike[str]] | None = None,
        headers: Headers = (),
        **options: Any,
    ) -> Request:
        """A POST request.

        Args:
            url: absolute.
            params: form fields, or a body as bytes or text.
            json: instead of params, a value to send as JSON.
            files: by field name: bytes, a path, or a `FilePart`; makes it multipart/form-data,
                with `params` as its fields. A file by path is read when it is sent.
            headers: as of `Request`; one may change the content type.
            options: further arguments of `Request`.

        Raises:
            ValueError: json goes with neither params nor files; files not with a bytes body.

        Example:
            >>> stream.make_post_request(url, {"name": "a"}, files={"picture": Path("a.png")})
        """
        if json is not None and (params or files):
            raise ValueError("json is a body of its own: give it without params and files")
        if files:
            body: bytes | Multipart = _multipart(params, files)
            return Request(url, "POST", headers, body, **options)
        body, kind = json_body(json) if json is not None else form_body(params)
        items = list(headers.items() if isinstance(headers, Mapping) else headers)
        if not any(name.lower() == "content-type" for name, _ in items):
            items.append(("Content-Type", kind))
        return Request(url, "POST", items, body, **options)

    # -- a link's way -----------------------------------------------------------------------

    def _new_chain(self, name: str | None, session: Session, parent: Chain | None = None) -> Chain:
        if self._closed:
            raise ClosedError("the stream is closed: make another one")
        self._started += 1
        chain = Chain(self._started, name, session, self._cancel, parent)
        chain._outcome = functools.partial(self._on_result, chain)
        self._chains.add(chain)
        return chain

    def _begin(self, chain: Chain, link: Next) -> None:
        """Give the chain its next link. The link is checked, its request a `Request`."""
        chain._request, chain._readback, delay, chain._errback, session, _ = link
        if session is not None:
            chain.session = session
        chain.steps += 1
        if not delay:
            self._send(chain)
            return
        chain.state = State.DELAYED
        self._delayed += 1
        chain._delay_timer = self.ioloop.call_later(delay, self._on_time, chain)

    def _on_time(self, chain: Chain) -> None:
        chain._delay_timer = None
        self._delayed -= 1
        self._send(chain)

    def _send(self, chain: Chain) -> None:
        if self._in_flight >= self._max_clients:
            chain.state = State.QUEUED
            self._queue[chain] = None
            return
        request: Request = chain._request
        try:
            plain = request.compiled is PLAIN
            transfer = self._transport.submit(
                request,
                self._plain_options if plain else self._options_of(request),
                chain.session,
                chain._outcome,
                lane=chain._lane,
                discards=chain._readback is None,
            )
        except ValueError as error:
            self._errors += 1
            # Later, so that an errback which tries the same again is a loop and no recursion.
            chain.state = State.QUEUED
            self._transport.call_soon(self._fail, chain, error)
            return
        self._in_flight += 1
        self._requests += 1
        chain._transfer = transfer
        chain.state = State.SENT

    def _options_of(self, request: Request) -> Options:
        # Kept on the request, so that one sent again is neither compiled nor compared again.
        compiled = request.compiled
        if compiled is not None and compiled[0] is self._options_key:
            return compiled[1]  # type: ignore[no-any-return]
        options = compile_options(request, self.defaults)
        if options == self._plain_options:
            options = self._plain_options
        object.__setattr__(request, "compiled", (self._options_key, options))
        return options

    def _on_result(self, chain: Chain, result: Response | StreamError, lane: Lane | None) -> None:
        self._in_flight -= 1
        chain._transfer = None
        chain._lane = lane
        if self._queue or self._feeders:
            self._use_room()
        if isinstance(result, Response):
            self._responses += 1
            self._received += len(result.body)
            self._read(chain, result)
        else:
            self._errors += 1
            result.chain, result.step = chain.name, chain.steps
            self._fail(chain, result)

    def _use_room(self) -> None:
        """A request ended: the first in the queue may go; when there is none, one is fetched."""
        while self._queue and self._in_flight < self._max_clients and not self._closed:
            self._send(self._queue.popitem(last=False)[0])
        if self._feeders and not self._queue and not self._closed:
            self._feeders.popleft()()

    def _read(self, chain: Chain, response: Response) -> None:
        """Run the reader, and follow what it returns."""
        chain.state = State.READING
        readback = chain._readback
        try:
            if self._hears_responses:
                self.on_response(response)
            result = None if readback is None else readback(response)
        except asyncio.CancelledError:
            self._cancel(chain)
            return
        except Exception as error:
            self._fail(chain, error)
            return
        if chain.state is not State.READING:  # the reader has ended its own chain
            return
        if type(result) is tuple and len(result) == 2 and type(result[0]) is Request:
            # What nearly all readers return, by the shortest way to the same end.
            chain._request, next_readback = result
            if callable(next_readback):
                chain._readback, chain._errback = next_readback, None
                chain.steps += 1
                self._send(chain)
                return
        self._follow(chain, result, readback, response)

    def _follow(
        self, chain: Chain, result: object, origin: object, response: Response | None
    ) -> None:
        """Do what a reader's result says.

        Args:
            chain: whose reader it was.
            result: what it returned.
            origin: the reader, for messages.
            response: what it had read, if the chain should end here.
        """
        try:
            link = next_of(result, origin)
            if link is None:
                chain.response = response
                self._end(chain, State.DONE)
            elif isinstance(link, Next):
                check_link(link, origin)
                self._begin(chain, link._replace(request=Request.of(link.request)))
            elif isinstance(link, Below):
                chain.state = State.WAITING
                chain.response = response
                chain._below = link
                self._feed(chain)
            else:
                coroutine = self._await_reader(chain, link, origin, response)
                chain._task = _start_task(self.ioloop, coroutine)
        except Exception as error:
            self._fail(chain, error)

    def _follow_call(self, chain: Chain, function: Any, *arguments: object) -> None:
        """Call a hook or errback in the chain's name, and follow what it returns."""
        chain.state = State.READING
        try:
            result = function(*arguments)
        except Exception as error:
            self._end(chain, State.FAILED, error)
            return
        if chain.state is State.READING:
            self._follow(chain, result, function, None)

    async def _await_reader(
        self, chain: Chain, result: Awaitable[object], origin: object, response: Response | None
    ) -> None:
        try:
            link = await result
        except asyncio.CancelledError:
            self._cancel(chain)
            raise
        except Exception as error:
            chain._task = None
            if chain.state is State.READING:
                self._fail(chain, error)
            return
        chain._task = None
        if chain.state is State.READING:
            self._follow(chain, link, origin, response)

    # -- several links ----------------------------------------------------------------------

    def _feed(self, chain: Chain) -> None:
        """Take links from the source of a chain that became several, as far as there is room."""
        below = chain._below
        if below is None or below.source is None:
            return
        if isinstance(below.source, AsyncIterator):
            if chain._task is None:
                feeding = self._feed_async(chain, below, below.source)
                chain._task = _start_task(self.ioloop, feeding)
            return
        for _ in range(_FEED_AT_ONCE):
            if self._queue or chain.done:
                break
            if not self._feed_one(chain, below, below.source):
                return
        if not chain.done:
            self._feed_later(chain)

    def _feed_later(self, chain: Chain) -> None:
        if self._queue:
            self._feeders.append(functools.partial(self._feed, chain))
        else:
            self._transport.call_soon(self._feed, chain)

    def _feed_one(self, chain: Chain, below: Below, source: Iterator[object]) -> bool:
        try:
            item = next(source)
            self._add_below(chain, below, item)
        except StopIteration:
            below.source = None
        except Exception as error:
            below.source, below.error = None, below.error or error
            self._log_error(chain, error)
        if below.source is None:
            self._end_if_all_ended(chain)
        return below.source is not None

    async def _feed_async(self, chain: Chain, below: Below, source: AsyncIterator[object]) -> None:
        try:
            async for item in source:
                self._add_below(chain, below, item)
                while self._queue and not chain.done:
                    await self._room()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            below.error = below.error or error
            self._log_error(chain, error)
        finally:
            below.source = chain._task = None
            close = getattr(source, "aclose", None)
            if close is not None and chain.done:
                await close()
        self._end_if_all_ended(chain)

    async def _room(self) -> None:
        """Wait until the queue is empty."""
        room = asyncio.get_running_loop().create_future()
        self._feeders.append(functools.partial(_wake, room))
        await room

    def _add_below(self, parent: Chain, below: Below, item: object) -> None:
        link = link_of(item, parent._readback or self.begin)
        check_link(link, parent._readback or self.begin)
        link = link._replace(request=Request.of(link.request))
        below.made += 1
        chain = self._new_chain(link.name or f"{parent.name}.{below.made}", parent.session, parent)
        chain._is_quiet = parent._is_quiet
        below.alive.add(chain)
        self._begin(chain, link)

    def _end_if_all_ended(self, chain: Chain) -> None:
        below = chain._below
        if below is None or below.source is not None or below.alive or chain.done:
            return
        if below.error is not None:
            self._end(chain, State.FAILED, below.error, is_logged=True)
        else:
            self._end(chain, State.DONE)

    # -- ends -------------------------------------------------------------------------------

    def _fail(self, chain: Chain, error: Exception) -> None:
        """A link ended with an error: ask the errback, else `on_error`."""
        if chain.done:
            return
        errback, chain._errback = chain._errback or self.on_error, None
        if isinstance(error, StreamError) and error.chain is None:
            error.chain, error.step = chain.name, chain.steps
        self._follow_call(chain, errback, error)

    def _set_deadline(self, chain: Chain, seconds: float) -> None:
        check_delay(seconds)
        chain._deadline_timer = self.ioloop.call_later(seconds, self._on_deadline, chain, seconds)

    def _on_deadline(self, chain: Chain, seconds: float) -> None:
        chain._deadline_timer = None
        error = DeadlineError(
            f"the chain's deadline of {seconds:g} s has passed; raise deadline= or ask for less",
            request=chain._request,
            chain=chain.name,
            step=chain.steps,
        )
        self._end(chain, State.FAILED, error)

    def _cancel(self, chain: Chain) -> bool:
        if chain.done:
            return False
        self._end(chain, State.CANCELLED)
        return True

    def _end(
        self,
        chain: Chain,
        state: State,
        error: BaseException | None = None,
        *,
        is_logged: bool = False,
    ) -> None:
        """The chain has ended: take back what it holds, tell whoever waits."""
        if chain.done:
            return
        self._release(chain)
        chain.state, chain.error = state, error
        self._chains.discard(chain)
        if state is State.DONE:
            self._done += 1
        elif state is State.CANCELLED:
            self._cancelled += 1
        else:
            self._failed += 1
            if not is_logged and error is not None:
                self._log_error(chain, error)
        chain._wake_waiters()
        parent = chain.parent
        if parent is not None and parent._below is not None:
            parent._below.alive.discard(chain)
            if state is State.FAILED:
                parent._below.error = parent._below.error or error
            self._end_if_all_ended(parent)
        if not self._chains:
            self._on_idle()

    def _release(self, chain: Chain) -> None:
        """Take back transfer, timers, task, place in the queue; end the chains below."""
        if chain._deadline_timer is not None:
            self.ioloop.remove_timeout(chain._deadline_timer)
        if chain._delay_timer is not None:
            self.ioloop.remove_timeout(chain._delay_timer)
            self._delayed -= 1
        if chain._transfer is not None:
            self._in_flight -= 1
            self._transport.cancel(chain._transfer)
            self._transport.call_soon(self._use_room)
        else:
            self._queue.pop(chain, None)
        below, chain._below = chain._below, None
        if below is not None:
            if isinstance(below.source, Iterator) and hasattr(below.source, "close"):
                below.source.close()
            for child in tuple(below.alive):
                self._end(child, State.CANCELLED)
        if chain._task is not None and chain._task is not _current_task():
            chain._task.cancel()
        # Readers often are methods of objects that hold their chain: let the circle go.
        chain._transfer = chain._task = chain._lane = chain._outcome = None
        chain._delay_timer = chain._deadline_timer = None
        chain._request = chain._readback = chain._errback = None

    def _log_error(self, chain: Chain, error: BaseException) -> None:
        if chain._is_quiet:
            return
        # What the engine raises says it all; what a reader raised needs its traceback.
        trace = None if isinstance(error, StreamError) else error
        logger.error(
            "chain %s failed at step %d: %s", chain.name, chain.steps, error, exc_info=trace
        )

    def _on_idle(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            _wake(waiter)
        if self._returns_when_idle:
            self.ioloop.stop()


#: The streams that `instance` made, by loop and class.
_instances: weakref.WeakKeyDictionary[IOLoop, dict[type, HTTPStream]] = weakref.WeakKeyDictionary()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _current_ioloop() -> IOLoop:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # A script that has not started its loop yet, as in 2013. asyncio would rather not
        # know of current loops that do not run, and warns from Python 3.12 on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return IOLoop.current()
    return IOLoop.current()


def _refuse_running_loop(what: str, instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{what} would block the loop that is running: use {instead}")


def _descriptor_limit() -> int:
    """Requests that can be in flight before the process runs out of file descriptors."""
    if resource is None:
        return 512 - _SPARE_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**20
    return max(1, soft - _SPARE_DESCRIPTORS)


def _start_task(ioloop: IOLoop, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task: asyncio.Task[None] = ioloop.asyncio_loop.create_task(coroutine)  # type: ignore[attr-defined]
    return task


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _keep(_response: Response) -> None:
    """The reader of `fetch`: the chain keeps the response for who awaits it."""


def _multipart(
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | str | bytes,
    files: Mapping[str, FilePart | bytes | os.PathLike[str]],
) -> Multipart:
    if isinstance(params, (str, bytes)):
        if params:
            raise ValueError("with files, params are form fields: a mapping or pairs, not a body")
        params = ()
    pairs = params.items() if isinstance(params, Mapping) else params
    fields = tuple((name, str(value)) for name, value in pairs)
    parts = tuple(
        (name, file if isinstance(file, FilePart) else FilePart(file))
        for name, file in files.items()
    )
    return Multipart(fields, parts)
