"""`HTTPStreamClient`: Tornado's `AsyncHTTPClient` on our transport.

>>> AsyncHTTPClient.configure("webqq_tornado.httpclient.HTTPStreamClient")

and an existing app goes by it. What a request may say, what a response has and which errors are
raised is Tornado's (6.6); where its two clients differ, this one does what its documentation
says, else what `curl_httpclient` does. Like both it keeps no cookies.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.client
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from io import BytesIO
from typing import Any

import tornado
from tornado.concurrent import future_set_exception_unless_cancelled
from tornado.escape import native_str, utf8
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders, HTTPInputError
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from .engine.errors import (
    ClosedError,
    ConnectError,
    ProtocolError,
    RedirectError,
    StreamError,
    TimeoutError,
    TooLargeError,
    as_failure,
)
from .engine.eventloop import asyncio_loop_of
from .engine.interop import tornado_pairs, tornado_settings
from .engine.redirects import STATUSES, Redirects, is_redirect
from .engine.request import Request
from .engine.response import Response
from .engine.session import Session
from .engine.transport.curl import Transport
from .engine.transport.lane import Lane
from .engine.transport.options import (
    DEFAULTS,
    FOLLOWS,
    Compiler,
    Options,
    compile_options,
    without_credentials,
)
from .engine.transport.poller import WatchedSocket

__all__ = ["HTTPStreamClient", "HTTPStreamError"]

app_log = logging.getLogger("tornado.application")

#: Bytes of a body, decompressed, unless the client is made with another number.
MAX_BODY_SIZE = 100 * 2**20
#: Of our requests: what no default can say.
_OF_EACH = frozenset({"url", "method", "headers", "body", "is_special", "compiled"})
_USER_AGENT = f"Tornado/{tornado.version}"
#: Methods that Tornado knows, and whether they come with a body.
_METHODS = {
    "GET": False,
    "HEAD": False,
    "POST": True,
    "DELETE": False,
    "PATCH": True,
    "PUT": True,
    "OPTIONS": False,
}


class HTTPStreamError(HTTPError):
    """No response: `code` is 599.

    Attributes:
        errno: libcurl's number, as `CurlError` has it.
        message: what happened, in which phase, and what to do about it.
    """

    def __init__(self, errno: int, message: str) -> None:
        HTTPError.__init__(self, 599, message)  # the classes below have a base that takes less
        self.errno = errno

    def __str__(self) -> str:
        return HTTPError.__str__(self)

    def __reduce__(self) -> tuple[object, ...]:
        # By its class and arguments, as errors are copied, it would be of three arguments.
        return _restored, (type(self), self.errno, self.message), dict(vars(self))


def _restored(kind: type[HTTPStreamError], errno: int, message: str) -> HTTPStreamError:
    """An error as it was when it was pickled or copied."""
    error = kind.__new__(kind)
    HTTPStreamError.__init__(error, errno, message)
    return error


# Apps on `simple_httpclient` catch what that raises: these are of both kinds.


class _TimeoutError(HTTPStreamError, HTTPTimeoutError):
    def __str__(self) -> str:
        return str(self.message)


class _ClosedError(HTTPStreamError, HTTPStreamClosedError):
    def __str__(self) -> str:
        return str(self.message)


class _ConnectError(HTTPStreamError, OSError):  # type: ignore[misc]  # errno stays libcurl's
    pass


class _SchemeError(HTTPStreamError, ValueError):
    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, f"Unsupported url scheme in a redirect: {message}")


class HTTPStreamClient(AsyncHTTPClient):
    """Tornado's HTTP client on libcurl, as fast as `HTTPStream`.

    Args:
        max_clients: requests in flight at most; others wait, no longer than their
            `connect_timeout` and `request_timeout` allow.
        defaults: of `HTTPRequest` arguments.
        max_body_size: bytes of a body, decompressed; more is an error.
        max_header_size: bytes of a response's header lines; by default libcurl's 300 KiB.

    Attributes:
        queue: requests that wait for others to end, and their timers.

    Example:
        >>> AsyncHTTPClient.configure(HTTPStreamClient, max_clients=100)
        >>> response = await AsyncHTTPClient().fetch("http://example.org/")
    """

    def initialize(  # type: ignore[override]
        self,
        max_clients: int = 10,
        defaults: dict[str, Any] | None = None,
        max_body_size: int | None = None,
        max_header_size: int | None = None,
    ) -> None:
        """See `HTTPStreamClient`; `AsyncHTTPClient` calls it in place of `__init__`."""
        super().initialize(defaults=defaults)
        _close_those_of_closed_loops(type(self))
        self.max_clients = max_clients
        self.max_body_size = MAX_BODY_SIZE if max_body_size is None else max_body_size
        self.max_header_size = max_header_size
        self._create_future = asyncio_loop_of(self.io_loop).create_future
        self._transport = Transport(self.io_loop, self._handle_events)
        self._session = Session(keeps_cookies=False)
        self.queue: OrderedDict[_Fetch, asyncio.TimerHandle | None] = OrderedDict()
        self._active: set[_Fetch] = set()
        settings = {"max_body_size": self.max_body_size, "user_agent": _USER_AGENT}
        self._defaults = {**DEFAULTS, **settings}
        plain = _request_of(_Merged(HTTPRequest("http://localhost"), self.defaults), self)
        said = {name: value for name, value in vars(plain).items() if name not in _OF_EACH}
        # By the short way there are no callbacks, limits on headers, or headers by default.
        self._has_short_way = not plain.is_special and not plain.headers
        self._plain_defaults = {**self._defaults, **said}
        self._compile_plain = Compiler(self._plain_defaults)
        self._plain_options = self._compile_plain.plain

    def close(self) -> None:
        """Give back every socket and handle. What is in flight fails."""
        if self._closed:
            return
        super().close()
        waiting, self.queue = self.queue, OrderedDict()
        for timeout in waiting.values():
            if timeout is not None:
                timeout.cancel()
        if not asyncio_loop_of(self.io_loop).is_closed():  # else nobody waits for it
            for fetch in (*self._active, *waiting):
                fetch.abandon()
        self._transport.close()
        if not self._transport.is_forgotten:
            self._session.close()

    def fetch(
        self, request: str | HTTPRequest, raise_error: bool = True, **kwargs: Any
    ) -> asyncio.Future[HTTPResponse]:
        """See `AsyncHTTPClient.fetch`."""
        is_plain = type(request) is str or (type(request) is HTTPRequest and _is_plain(request))
        if not is_plain or kwargs or not self._has_short_way:
            return super().fetch(request, raise_error, **kwargs)
        # What most apps fetch, without what they do not use of it.
        if self._closed:
            raise RuntimeError("fetch() called on closed AsyncHTTPClient")
        future: asyncio.Future[HTTPResponse] = self._create_future()
        try:
            ours, options = self._plain(request)
        except ValueError as error:
            future.set_exception(error)
            return future
        fetch = _PlainFetch(self, ours, options, future, raise_error)
        if not isinstance(request, str):
            fetch.original = request
        self._begin(fetch)
        return future

    def _plain(self, request: str | HTTPRequest) -> tuple[Request, Options]:
        """Ours for a request of a URL and headers."""
        if isinstance(request, str):
            return Request.of(request), self._plain_options
        pairs = tornado_pairs(request.headers)
        if not pairs:
            return Request.of(native_str(request.url)), self._plain_options
        ours = Request(native_str(request.url), headers=pairs)
        return ours, self._compile_plain(ours)

    def fetch_impl(self, request: HTTPRequest, callback: Callable[[HTTPResponse], None]) -> None:
        """See `AsyncHTTPClient`: what `fetch` calls with the request and its defaults."""
        original: HTTPRequest = getattr(request, "request", request)
        try:
            _check_method(request)
            ours = _request_of(request, self)
            fetch = _Fetch(self, ours, compile_options(ours, self._defaults), original, callback)
        except Exception as error:
            callback(HTTPResponse(original, 599, error=error, request_time=0))
            return
        fetch.queue_seconds = _shortest(request.connect_timeout, request.request_timeout)
        self._begin(fetch)

    def _begin(self, fetch: _Fetch) -> None:
        if len(self._active) < self.max_clients:
            self._submit(fetch)
            return
        timeout = None
        if fetch.queue_seconds:
            timeout = self._transport.call_later(
                fetch.queue_seconds, functools.partial(self._on_queue_timeout, fetch)
            )
        self.queue[fetch] = timeout

    def _on_queue_timeout(self, fetch: _Fetch) -> None:
        del self.queue[fetch]
        fetch.fail(_TimeoutError(28, "Timeout in request queue"))

    def _submit(self, fetch: _Fetch) -> None:
        self._active.add(fetch)
        fetch.start_time = time.time()
        try:
            fetch.transfer = self._transport.submit(fetch.ours, fetch.options, self._session, fetch)
        except (Exception, asyncio.CancelledError) as error:
            # Later: the next in the queue may be no better, and the one after that.
            self._transport.call_soon(self._on_refused, fetch, _refusal_of(error, fetch.ours))

    def _on_refused(self, fetch: _Fetch, error: Exception) -> None:
        if fetch in self._active:
            fetch.fail(error)

    def leave(self, fetch: _Fetch) -> None:
        """See `_Fetch`: it has ended; the next in the queue may go."""
        self._active.discard(fetch)
        while self.queue and len(self._active) < self.max_clients and not self._closed:
            following, timeout = self.queue.popitem(last=False)
            if timeout is not None:
                timeout.cancel()
            self._submit(following)

    def follow(self, fetch: _Fetch, response: Response) -> None:
        """See `_Fetch`: send the request that a redirect leads to, in the place of the last one.

        Raises:
            StreamError: it cannot be followed.
            ValueError: likewise.
        """
        redirects = fetch.redirects = fetch.redirects or Redirects()
        fetch.ours = redirects.next_request(
            fetch.ours,
            response,
            limit=self._setting(fetch.ours, "max_redirects"),
            timeout=self._setting(fetch.first, "request_timeout"),
        )
        # The others have the client's defaults in them.
        is_plain = isinstance(fetch, _PlainFetch)
        options = compile_options(fetch.ours, self._plain_defaults if is_plain else self._defaults)
        fetch.options = without_credentials(options) if redirects.crosses else options
        fetch.transfer = self._transport.submit(fetch.ours, fetch.options, self._session, fetch)

    def _setting(self, request: Request, name: str) -> Any:
        value = getattr(request, name)
        return self._plain_defaults[name] if value is None else value

    def cancel(self, fetch: _Fetch) -> None:
        """See `_Fetch`: take it off the wire."""
        if fetch.transfer is not None:
            self._transport.cancel(fetch.transfer)

    def _handle_events(self, fd: WatchedSocket, events: int) -> None:
        self._transport.handle_events(fd, events)


def _close_those_of_closed_loops(kind: type[AsyncHTTPClient]) -> None:
    # Tornado keeps a client for each loop, and a client its loop: no entry ever dies by itself.
    for cache in (AsyncHTTPClient._async_clients(), kind._async_clients()):
        for ioloop, client in tuple(cache.items()):
            if isinstance(client, HTTPStreamClient) and asyncio_loop_of(ioloop).is_closed():
                client.close()


#: Attributes in which plain requests differ.
_OWN: dict[str, Any] = {"url": None, "_headers": None, "start_time": None}
_PLAIN = {**vars(HTTPRequest("http://localhost")), **_OWN}


def _is_plain(request: HTTPRequest) -> bool:
    """Return True if the request has a URL and headers and no other option."""
    return {**vars(request), **_OWN} == _PLAIN


class _Merged:
    """A request and the client's defaults, as Tornado's own proxy of them."""

    def __init__(self, request: HTTPRequest, defaults: Mapping[str, Any]) -> None:
        self.request = request
        self._defaults = defaults

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.request, name)
        return self._defaults.get(name) if value is None else value


class _Fetch:
    """One request under way: an `Outcome` for the transport."""

    __slots__ = (
        "_callback",
        "_client",
        "_created",
        "first",
        "options",
        "original",
        "ours",
        "queue_seconds",
        "redirects",
        "start_time",
        "transfer",
    )

    def __init__(
        self,
        client: HTTPStreamClient,
        ours: Request,
        options: Options,
        original: HTTPRequest | None,
        callback: Callable[[HTTPResponse], None] | None,
    ) -> None:
        self._client = client
        self._callback = callback
        self.original = original
        self._created = time.time()
        self.ours = self.first = ours
        self.redirects: Redirects | None = None
        self.options = options
        self.queue_seconds: float | None = 20.0
        self.start_time = 0.0
        self.transfer: Any = None

    def __call__(self, result: Response | Exception, lane: Lane | None) -> None:
        self.transfer = None
        if isinstance(result, Response) and result.status in STATUSES and self._leads_on(result):
            try:
                self._client.follow(self, result)
                return
            except (Exception, asyncio.CancelledError) as error:
                result = as_failure(error)
        self._client.leave(self)
        if isinstance(result, Response):
            if self.redirects is not None:
                self.redirects.finish(result, self.first)
            waited = self.start_time - self._created
            self._deliver(_Response(self.original, result, self.start_time, waited))
        elif isinstance(result, RedirectError) and result.is_one_too_many:
            # The redirect that was one too many is the answer.
            waited = self.start_time - self._created
            self._deliver(_Response(self.original, result.response, self.start_time, waited))
        else:
            self._fail(_error_of(result, self.ours))

    def _leads_on(self, response: Response) -> bool:
        return bool(self.options.get(FOLLOWS)) and is_redirect(response)

    def fail(self, error: Exception) -> None:
        """End the request with an error, without a transfer."""
        self._client.leave(self)
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        request = self.original or HTTPRequest(self.ours.url)
        seconds = time.time() - (self.start_time or self._created)
        self._deliver(HTTPResponse(request, 599, error=error, request_time=seconds))

    def _deliver(self, response: HTTPResponse) -> None:
        assert self._callback is not None  # noqa: S101 - only _PlainFetch has none
        try:
            self._callback(response)
        except Exception:
            app_log.error("Exception in callback %r", self._callback, exc_info=True)

    def abandon(self) -> None:
        """Fail the request, so that its caller does not wait for ever: the client is closed."""
        self._client.cancel(self)
        self.fail(_ClosedError(0, "the client was closed"))


class _PlainFetch(_Fetch):
    """One of a URL, or of a URL and headers: by a shorter way to its future."""

    __slots__ = ("_future", "_raises")

    def __init__(
        self,
        client: HTTPStreamClient,
        ours: Request,
        options: Options,
        future: asyncio.Future[HTTPResponse],
        raises: bool,
    ) -> None:
        self._client = client
        self.original = None
        self._future = future
        self._raises = raises
        self._created = time.time()
        self.ours = self.first = ours
        self.redirects = None
        self.options = options
        self.queue_seconds = 20.0
        self.start_time = 0.0
        self.transfer = None

    def _deliver(self, response: HTTPResponse) -> None:
        error = response.error
        if error is not None and (self._raises or not response._error_is_response_code):
            future_set_exception_unless_cancelled(self._future, error)
        elif not self._future.cancelled():
            self._future.set_result(response)

    def abandon(self) -> None:
        if not self._future.cancelled():
            super().abandon()
            return
        self._client.cancel(self)  # Tornado would log an error that nobody waits for
        self._client.leave(self)


class _Response(HTTPResponse):
    """An `HTTPResponse` whose attributes are computed when they are used."""

    def __init__(
        self,
        request: HTTPRequest | None,
        response: Response,
        start_time: float | None,
        waited: float,
    ) -> None:
        self._response = response
        self._waited = waited
        self.code = response.status
        self.start_time = start_time
        if request is not None:
            self.request = request
        if not 200 <= self.code < 300:
            self._error_is_response_code = True
            self.error = HTTPError(self.code, message=self.reason, response=self)

    @functools.cached_property
    def request(self) -> HTTPRequest:  # type: ignore[override]
        return HTTPRequest(self._response.request.url)

    @functools.cached_property
    def headers(self) -> HTTPHeaders:  # type: ignore[override]
        headers = HTTPHeaders()
        for name, value in self._response.headers.items():
            # Tornado's type does not hold what is none; who looks at the others must not meet it.
            with contextlib.suppress(HTTPInputError):
                headers.add(name, value)
        headers["X-Http-Reason"] = self._response.reason
        return headers

    @functools.cached_property
    def buffer(self) -> BytesIO:  # type: ignore[override]
        return BytesIO(self._response.body)

    @functools.cached_property
    def reason(self) -> str:  # type: ignore[override]
        return self._response.reason or http.client.responses.get(self.code, "Unknown")

    @functools.cached_property
    def time_info(self) -> dict[str, float]:  # type: ignore[override]
        return {**self._response.time_info, "queue": self._waited}

    @functools.cached_property
    def effective_url(self) -> str:  # type: ignore[override]
        return self._response.url

    @functools.cached_property
    def request_time(self) -> float:  # type: ignore[override]
        return self._response.request_time

    @property
    def body(self) -> bytes:
        return self._response.body

    def __repr__(self) -> str:
        return f"<HTTPResponse {self.code} {self._response!r}>"


# -- from Tornado's words to ours --------------------------------------------------------------


def _check_method(request: HTTPRequest) -> None:
    """Tornado's rules for methods and bodies.

    Raises:
        KeyError, ValueError: they are broken, and `allow_nonstandard_methods` is not set.
    """
    has_body = request.body is not None or request.body_producer is not None
    if request.body is not None and request.body_producer is not None:
        raise ValueError("body and body_producer are two bodies: give one of them")
    if request.allow_nonstandard_methods:
        return
    if request.method not in _METHODS:
        raise KeyError("unknown method " + request.method)
    if has_body is not _METHODS[request.method]:
        raise ValueError(
            f"Body must {'not ' if _METHODS[request.method] else ''}be None for method "
            f"{request.method} (unless allow_nonstandard_methods is true)"
        )


def _request_of(request: Any, client: HTTPStreamClient) -> Request:
    """Our request for Tornado's.

    Raises:
        ValueError: libcurl has nothing of the kind.
    """
    settings = tornado_settings(request)
    body: Any = request.body
    if request.body_producer is not None:
        body = functools.partial(_produced, request.body_producer)
    elif body is not None:
        # It is counted, as by Tornado's default client: what a proxy has passed on may be wrong.
        kept = (one for one in settings["headers"] if one[0].lower() != "content-length")
        settings["headers"] = list(kept)
    if request.streaming_callback is not None:
        settings.update(sink=request.streaming_callback, max_body_size=client.max_body_size)
    if request.header_callback is not None:
        settings["on_header_line"] = _FinalHeaders(
            request.header_callback, bool(request.follow_redirects)
        )
    if client.max_header_size is not None:
        settings["max_header_size"] = client.max_header_size
    return Request(body=body, prepare_curl=request.prepare_curl_callback, **settings)


class _FinalHeaders:
    """Hands on the header lines of the final response only, as Tornado documents."""

    def __init__(self, callback: Callable[[str], None], follows: bool) -> None:
        self._callback = callback
        self._follows = follows
        self._lines: list[str] = []

    def __call__(self, line: str) -> None:
        if line.startswith("HTTP/"):
            self._lines.clear()
        self._lines.append(line)
        if line in ("\r\n", "\n"):
            lines, self._lines = self._lines, []
            if not self._goes_on(lines):
                for one in lines:
                    self._callback(one)

    def _goes_on(self, lines: list[str]) -> bool:
        status = lines[0].split(None, 2)[1][:1]
        has_location = any(line.lower().startswith("location:") for line in lines)
        return status == "1" or (status == "3" and has_location and self._follows)


async def _produced(
    producer: Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None] | None],
) -> AsyncIterator[bytes]:
    """Iterate over the chunks that a `body_producer` writes: each write waits until it is sent."""
    chunks: asyncio.Queue[tuple[bytes, asyncio.Future[None]] | None] = asyncio.Queue()

    def write(chunk: bytes) -> asyncio.Future[None]:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        chunks.put_nowait((utf8(chunk), sent))
        return sent

    async def produce() -> None:
        try:
            done = producer(write)
            if done is not None:
                await done
        finally:
            chunks.put_nowait(None)

    task = asyncio.ensure_future(produce())
    try:
        while (item := await chunks.get()) is not None:
            chunk, sent = item
            yield chunk
            if not sent.done():
                sent.set_result(None)
        await task
    finally:
        task.cancel()


# -- and back ----------------------------------------------------------------------------------


def _error_of(error: Exception, request: Request) -> Exception:
    """Tornado's error for ours."""
    if isinstance(error, StreamError):
        kinds = (kind for ours, kind in _KINDS if isinstance(error, ours))
        return next(kinds, HTTPStreamError)(error.code, error.message)
    # Raised by a callback of the app.
    app_log.error("Uncaught exception in a callback of %r", request, exc_info=error)
    return _ClosedError(0, "a callback raised an exception")


def _refusal_of(error: BaseException, request: Request) -> Exception:
    """Why a request cannot be sent at all."""
    if isinstance(error, StreamError):
        return _error_of(error, request)
    cause = error.__cause__
    return cause if isinstance(cause, KeyError) else as_failure(error)


_KINDS: tuple[tuple[type[StreamError], type[HTTPStreamError]], ...] = (
    (TimeoutError, _TimeoutError),
    (ConnectError, _ConnectError),
    (ProtocolError, _ClosedError),
    (RedirectError, _SchemeError),
    (ClosedError, _ClosedError),
    (TooLargeError, _ClosedError),
)


def _shortest(*seconds: float | None) -> float | None:
    return min((one for one in seconds if one), default=None)
