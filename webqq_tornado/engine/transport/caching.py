"""A transport that asks a cache first, see `webqq_tornado.cache`.

Around `Transport`, or around a replay: what the cache has is answered without either. It holds no
rules of caching, but knows what a response depends on besides its request, and what has no place
in a cache: streams, sinks, WebSockets, and what the user's code sees on the way.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pycurl

from ..errors import ClosedError
from ..request import Request
from ..response import Response
from ..session import Session
from .options import PUBLIC_ONLY, Options
from .replay import Answer, response_to
from .transfer import Outcome

if TYPE_CHECKING:
    from .curl import Transport
    from .lane import Lane
    from .replay import ReplayTransport

__all__ = ["Asked", "Cache", "CachedResponse", "CachingTransport", "Exchange", "Verdict"]

#: Options that say whose response it is, and who may have given it: a response that came without
#: verification, say, is none to a request that wants it.
_DECISIVE = (
    pycurl.USERNAME, pycurl.PASSWORD, pycurl.AWS_SIGV4, pycurl.SSLCERT, pycurl.PROXY,
    pycurl.UNIX_SOCKET_PATH, pycurl.CONNECT_TO, pycurl.DOH_URL, pycurl.PINNEDPUBLICKEY,
    pycurl.SSL_VERIFYPEER, pycurl.SSL_VERIFYHOST, PUBLIC_ONLY,
)  # fmt: skip


#: Methods that change nothing.
_READING = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Asked(NamedTuple):
    """A request, and what its response depends on besides.

    Args:
        request: as it is to be sent.
        user: the name of the session.
        origin: a digest of the options that decide who answers, and to whom.
        user_agent: the value of the header, if the request has none.
        cookies: returns the value of the `Cookie` header that the session adds to it.
    """

    request: Request
    user: str
    origin: bytes
    user_agent: str
    cookies: Callable[[], str]


class Verdict(enum.Enum):
    """The result of a look at a response.

    `KEEP`: it is the answer. `AGAIN`: the request is to be sent without conditions.
    """

    KEEP = "keep"
    AGAIN = "again"


class Exchange(Protocol):
    """A request in the hands of a cache."""

    @property
    def answer(self) -> Answer | None:
        """The stored response; None: the request is to be sent."""

    @property
    def conditions(self) -> Sequence[tuple[str, str]]:
        """Headers to send with it."""

    def fail(self) -> Answer | None:
        """The response that may be used where the server cannot be reached."""

    def take(self, response: Response) -> Answer | Verdict:
        """See the response, and store it if it may be: the answer is another one after a 304."""


class Cache(Protocol):
    """A place where responses are kept, such as `webqq_tornado.cache.HTTPCache`."""

    def ask(self, asked: Asked) -> Exchange | None:
        """Look for a response; None: the request is none of the cache's."""


class CachedResponse(Response):
    """A response that comes from the cache, maybe after the server has confirmed it."""

    __slots__ = ()
    from_cache = True


class _Pending:
    """A transfer that is none, or not yet."""

    __slots__ = ("handle", "inner")

    def __init__(self) -> None:
        #: Tells the outcome what the cache has: nothing is sent then.
        self.handle: asyncio.Handle | None = None
        self.inner: Any = None


class CachingTransport:
    """Has the calls of `Transport` that a runner makes.

    Args:
        inner: to send by what the cache has not.
        cache: to ask first.
    """

    def __init__(self, inner: Transport | ReplayTransport, cache: Cache) -> None:
        self._inner = inner
        self._cache = cache
        self.call_soon = inner.call_soon

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            """Everything else is the inner transport's: sockets, timers, numbers."""
            return getattr(self._inner, name)

    has_sockets: bool
    is_forgotten: bool
    lane_count: int
    fd_map: Mapping[int, object]
    handle_events: Callable[[Any, int], None]
    leave_session: Callable[[Session], None]
    call_at_turn_end: Callable[[Callable[[], object]], None]
    expect_more: Callable[[bool], None]
    close: Callable[[], None]

    def submit(
        self,
        request: Request,
        options: Options,
        session: Session,
        outcome: Outcome,
        *,
        lane: Lane | None = None,
        discards: bool = False,
        idle_timeout: float = 0,
    ) -> Any:
        """See `Transport.submit`."""
        exchange = None
        if _is_for_a_cache(request, options, discards=discards):
            exchange = self._cache.ask(_asked(request, options, session))

        def send(to: Outcome, options: Options) -> Any:
            return self._inner.submit(
                request, options, session, to, lane=lane, discards=discards,
                idle_timeout=idle_timeout,
            )  # fmt: skip

        if exchange is None:
            return send(outcome, options)
        pending = _Pending()
        if exchange.answer is not None:
            # Not at once: the caller has no transfer yet to which the outcome could belong.
            pending.handle = self.call_soon(outcome, _cached(request, exchange.answer), lane)
            return pending

        is_again = False

        def take(result: Response | Exception, lane: Lane | None) -> None:
            nonlocal is_again
            try:
                verdict = _verdict(exchange, result)
                # Once: a server that says 304 to everything would be asked for ever.
                if verdict is Verdict.AGAIN and not is_again:
                    # Without conditions: the 304 was about none of the stored responses.
                    is_again = True
                    pending.inner = send(take, options)
                    return
                if isinstance(verdict, Answer):
                    result = _cached(request, verdict)
            except Exception as error:  # the chain's, which would wait for ever
                result = error
            outcome(result, lane)

        pending.inner = send(take, _with_headers(options, exchange.conditions))
        return pending

    def is_sending(self, transfer: Any) -> bool:
        """Return False if nothing was sent, since the cache has the response.

        Args:
            transfer: that was just submitted.
        """
        return not isinstance(transfer, _Pending) or transfer.handle is None

    def cancel(self, transfer: Any) -> None:
        """See `Transport.cancel`."""
        if not isinstance(transfer, _Pending):
            self._inner.cancel(transfer)
            return
        if transfer.handle is not None:
            transfer.handle.cancel()
        if transfer.inner is not None:
            self._inner.cancel(transfer.inner)


def _verdict(exchange: Exchange, result: Response | Exception) -> Answer | Verdict:
    if isinstance(result, Response):
        return exchange.take(result)
    # That error is of our own stream, and says nothing about the server.
    stale = None if isinstance(result, ClosedError) else exchange.fail()
    return Verdict.KEEP if stale is None else stale


def _is_for_a_cache(request: Request, options: Options, *, discards: bool) -> bool:
    if request.method not in _READING:  # what it changes is no longer as it is stored
        # A stream has two outcomes, its headers and its end, and `take` is for one.
        return not request.is_socket and not request.stream
    return not (
        discards
        or request.is_socket
        or request.is_streamed
        or request.resume
        or request.prepare_curl is not None
        or request.on_header_line is not None
        # What is stored is decompressed; who wants it as it was sent gets it from the server.
        or (request.method == "GET" and pycurl.ENCODING not in options)
    )


def _asked(request: Request, options: Options, session: Session) -> Asked:
    # A digest, as there are credentials among them.
    decisive = [(number, options[number]) for number in _DECISIVE if number in options]
    digest = hashlib.sha256(repr(decisive).encode()).digest() if decisive else b""
    agent = options.get(pycurl.USERAGENT, b"").decode()
    # Cookies as they are now: other responses may set some before this one is stored.
    return Asked(request, session.name, digest, agent, session.cookiejar.frozen_header(request.url))


def _cached(request: Request, answer: Answer) -> Response:
    return response_to(request, answer, CachedResponse)


def _with_headers(options: Options, headers: Sequence[tuple[str, str]]) -> Options:
    if not headers:
        return options
    # A new dict: compiled options are those of each sending of the request.
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers]
    return {**options, pycurl.HTTPHEADER: [*options.get(pycurl.HTTPHEADER, ()), *lines]}
