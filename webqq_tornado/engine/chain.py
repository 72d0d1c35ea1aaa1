"""The life of a chain.

No loop and no socket in here: `stream` moves chains through these states.

::

    queued ----> sent ----> reading ----> sent, queued     the reader returned the next link
      ^            |          |  |  '---> delayed ----> sent, queued
      |            |          |  '------> waiting ----> done, failed     it returned several
    (begin)        |          '---------> done                           it returned nothing
                   '----> reading (the errback) ----> ... or failed
    from any of them: cancelled, failed (the deadline)

A paused chain is moved like any other until it has a link to send: that stays queued. A link that
is tried again is delayed; one that waits for credentials is queued.

The last of the chains below a waiting one goes on as that chain, once it comes to be several
itself: see `fanout`.

A chain that is paused has no state of its own: it stays `queued` when it has a link to send, and
`Chain.is_paused` tells why. Sent, it ends and is read; delayed, it goes on counting first.

What a reader may return to go on: see `links`.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .errors import ClosedError, LinkError
from .links import (
    Gather,
    Next,
    RelativeRequest,
    RequestLike,
    described,
    keep,
    request_of,
    shown,
)
from .request import Request
from .session import Session

if TYPE_CHECKING:
    from .response import Response

__all__ = ["Chain", "State"]


#: Values of the states that a chain does not leave.
_FINAL = frozenset({"done", "failed", "cancelled"})


class State(enum.Enum):
    """The state of a chain; see the picture at the top of this module.

    Attributes:
        is_final: the chain has ended.

    Example:
        >>> chain.state is State.DELAYED
        True
    """

    QUEUED = "queued"
    SENT = "sent"
    READING = "reading"
    DELAYED = "delayed"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    # An attribute and no property, which would be two calls of each look at it, or with a set
    # three: an Enum hashes itself in Python. A link with policies is looked at some ten times.
    is_final: bool

    def __init__(self, value: str) -> None:
        self.is_final = value in _FINAL


#: What messages say that a function had better return.
_READERS = (
    "; a reader returns None, (request, readback), (request, readback, delay), Next(...) or "
    "several of these"
)
_PAGES = "the next page is a request, a request and a delay in seconds, Next(...), or None"


class Kept(NamedTuple):
    """Result of a chain that its last branch goes on as.

    Args:
        response: the last that its own readers have read.
        error: the first of its branches'.
    """

    response: Response | None
    error: BaseException | None


class Keeper(Protocol):
    """The runner, as chains see it."""

    def cancel(self, chain: Chain) -> bool:
        """End it now; False if it had ended."""

    def pause(self, chain: Chain) -> None:
        """Send nothing more for it."""

    def resume(self, chain: Chain) -> None:
        """Send again."""

    def wait(self, chain: Chain) -> Generator[Any, None, None]:
        """Until it has ended."""


class Socket(Protocol):
    """A WebSocket, or one that is being opened."""

    def send(self, data: str | bytes) -> asyncio.Future[None]:
        """Send a message."""

    def ping(self) -> asyncio.Future[None]:
        """Send a ping."""

    def close(self, code: int, reason: str) -> None:
        """Say goodbye."""

    def abandon(self) -> None:
        """Its chain has ended."""


class Chain:
    """A conversation under way: one request after the other.

    Made by `HTTPStream.add_request`. Awaiting it waits for its end, gives its last response
    (None if nothing was read) and raises the error that ended it; a cancelled chain raises
    `asyncio.CancelledError`. To cancel who awaits does not cancel the chain. A reader that awaits
    what waits for it (its own chain, one above, one whose reader awaits this one) would wait for
    ever, and gets a RuntimeError.

    Attributes:
        name: for logs and errors; a number unless one was given.
        state: a `State`.
        steps: links begun so far.
        retries: tries of links that were not the last one.
        response: the last one, once the chain has ended.
        error: what ended it, if it failed.
        is_paused: see `pause`; chains below a paused one are held, too.

    Example:
        >>> chain = stream.add_request("http://example.org/", read, name="example")
        >>> response = await chain
    """

    __slots__ = (
        "_awaited",
        "_branches",
        "_data",
        "_deadline_timer",
        "_delay_timer",
        "_errback",
        "_hop",
        "_is_failing",
        "_is_quiet",
        "_keeper",
        "_kept",
        "_lane",
        "_last_close",
        "_name",
        "_number",
        "_outcome",
        "_priority",
        "_readback",
        "_redirects",
        "_request",
        "_retry",
        "_signed",
        "_socket",
        "_task",
        "_trace",
        "_transfer",
        "_waiters",
        "error",
        "is_paused",
        "parent",
        "response",
        "retries",
        "session",
        "state",
        "steps",
    )

    _last_close: tuple[int, str]
    #: The traceback of `error` when that has ended it.
    _trace: TracebackType | None

    def __init__(
        self,
        number: int,
        name: str | None,
        session: Session,
        keeper: Keeper,
        parent: Chain | None = None,
    ) -> None:
        self._number = number
        self._name = name
        self._keeper = keeper
        self._priority: int = 0 if parent is None else parent._priority
        self.is_paused = False
        self._waiters: dict[asyncio.Future[None], None] | None = None
        self.state = State.QUEUED
        self.steps = self.retries = 0
        self._retry: Any = None if parent is None else parent._retry
        self.response: Response | None = None
        self.error: BaseException | None = None
        self.session = session
        self.parent = parent
        #: Chains below this one that have not ended, and the feeder that makes them.
        self._branches: Branches | None = None
        #: How it ends by itself, whatever its last branch, which goes on as this chain, comes to.
        self._kept: Kept | None = None
        #: The link under way. Its request is the one that readers see.
        self._request: Any = None
        #: The request of the redirect that is followed for it, in its place.
        self._hop: Any = None
        self._redirects: Any = None
        #: What goes out instead, if the stream has hooks or policies: with what the hook and the
        #: credentials have added. Made anew for each sending; readers do not see it.
        self._signed: Any = None
        self._readback: Any = None
        #: Its own, or that of an earlier link.
        self._errback: Any = None if parent is None else parent._errback
        #: Keyword arguments of both.
        self._data: Mapping[str, Any] | None = None
        #: What the stream holds for it while it is in this state.
        self._transfer: Any = None
        self._lane: Any = None
        self._outcome: Any = None
        self._awaited: object = None  # what the task awaits for it
        self._socket: Socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._delay_timer: object | None = None
        self._deadline_timer: object | None = None
        #: Its errback or `on_error` was asked about this link.
        self._is_failing = False
        #: Its error goes to whoever awaits it and is not logged (`HTTPStream.fetch`).
        self._is_quiet = False

    def __repr__(self) -> str:
        return f"<Chain {self.name} {self.state.value}, step {self.steps}>"

    @property
    def name(self) -> str:
        """Its name, or its number on its stream."""
        return self._name or f"chain-{self._number}"

    @property
    def number(self) -> int:
        """Its place among the chains of its stream, from 1; 0: it only holds others together."""
        return self._number

    @property
    def request(self) -> Request | None:
        """The request of the link under way, or of the redirect that is followed for it."""
        request: Request | None = self._hop or self._request
        return request

    @property
    def reader(self) -> str:
        """The name of the function that reads the response of the link under way, "" if none."""
        reader = getattr(self._readback, "func", self._readback)  # a partial, if the link has data
        return "" if reader is None else getattr(reader, "__qualname__", type(reader).__name__)

    @property
    def done(self) -> bool:
        """True once it has ended, one way or the other."""
        return self.state.is_final

    def cancel(self) -> bool:
        """End it now: in flight, delayed, queued or in its reader; and the chains below it.

        Returns:
            False if it had ended already.
        """
        return self._keeper.cancel(self)

    def pause(self) -> None:
        """Send nothing more for it and the chains below it, until `resume`.

        What is in flight ends, and its reader runs; the link that follows waits. Delays go on
        counting, and so does the deadline.
        """
        self._keeper.pause(self)

    def resume(self) -> None:
        """Go on where `pause` has stopped it."""
        self._keeper.resume(self)

    def send(self, data: str | bytes) -> asyncio.Future[None]:
        """Send a message over its WebSocket: text, or bytes as a binary message.

        Before the handshake is done messages wait for it, in order. What was sent goes out before
        `close_socket`, before the next link and when the reader raises, but not when the chain is
        cancelled or its deadline passes.

        Args:
            data: the message.

        Returns:
            Done when it was handed to the network. To wait for it is to go no faster than that.

        Raises:
            ClosedError: the chain has no open WebSocket; awaited: it closed before.
            TypeError: it is neither text nor bytes.
            RuntimeError: another loop runs than the stream's, here or in another thread.
        """
        if self._socket is None:
            raise ClosedError(f"chain {self.name} has no open WebSocket", chain=self.name)
        return self._socket.send(data)

    def ping(self) -> asyncio.Future[None]:
        """Send a ping over its WebSocket, behind the messages that were sent.

        Returns:
            Done when the pong comes: the other side has read all that was sent before.

        Raises:
            ClosedError: the chain has no open WebSocket; awaited: it closed before.
            RuntimeError: another loop runs than the stream's, here or in another thread.
        """
        if self._socket is None:
            raise ClosedError(f"chain {self.name} has no open WebSocket", chain=self.name)
        return self._socket.ping()

    def close_socket(self, code: int = 1000, reason: str = "") -> None:
        """Close its WebSocket; the chain ends when the server has answered.

        That is an error if the server breaks off instead, does not answer within 5 s, or answers
        with a code that is neither this one nor 1000, 1001 or none.

        Args:
            code: 1000 to 4999, but 1004 to 1006 and 1015 to 2999, see RFC 6455, 7.4.
            reason: up to 123 bytes.

        Raises:
            ValueError: that cannot be said.
        """
        if self._socket is not None:
            self._socket.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """Code that its last WebSocket was closed with: the server's, 1006 if it broke off.

        None: there was none, or it is open, or the chain has left it.
        """
        return self._closing_words[0]

    @property
    def close_reason(self) -> str:
        """The server's words with `close_code`."""
        return self._closing_words[1]

    @property
    def _closing_words(self) -> tuple[int | None, str]:
        return getattr(self, "_last_close", (None, ""))  # most have no such thing, and never set it

    def __await__(self) -> Generator[Any, None, Response | None]:
        if not self.done:
            yield from self._keeper.wait(self)
        return self._result()

    def _result(self) -> Response | None:
        if self.state is State.CANCELLED and self.error is None:
            raise asyncio.CancelledError(f"chain {self.name} was cancelled")
        if self.error is not None:
            # Else each who awaits it would add their frames to those of all before.
            raise self.error.with_traceback(getattr(self, "_trace", self.error.__traceback__))
        return self.response

    def _wake_waiters(self) -> None:
        """Whoever awaits the chain may look at how it ended. Called by the stream."""
        waiters, self._waiters = self._waiters or (), None
        for waiter in waiters:
            # A future schedules its callbacks on its own loop, and one that is closed raises there.
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(None)


class Branches:
    """The chains below one: those alive, the source of more, the first error."""

    __slots__ = (
        "alive",
        "base",
        "branches",
        "count",
        "error",
        "gather",
        "is_logged",
        "lookahead",
        "origin",
        "queued",
        "source",
    )

    def __init__(
        self,
        source: Iterator[object] | AsyncIterator[object],
        origin: object = None,
        gather: Gather | None = None,
    ) -> None:
        self.gather = gather
        self.branches: list[Chain] = []  # all of them, if somebody is to read what they came to
        self.alive: set[Chain] = set()
        self.lookahead: deque[object] = deque()  # taken from the source, and not begun yet
        self.origin = origin  # the reader whose source it is
        self.base: str | None = None  # what relative URLs are relative to
        self.count = 0
        self.queued = 0  # of those alive, themselves or something below them; counted with limits
        self.error: BaseException | None = None
        self.is_logged = False  # the error was logged by the chain below that it is from
        #: None when it is exhausted.
        self.source: Iterator[object] | AsyncIterator[object] | None = source


def next_of(result: object, origin: object) -> Next | Branches | Awaitable[object] | None:
    """Return the links that a reader meant, checked.

    Args:
        result: what it returned.
        origin: the reader, for the message.

    Raises:
        LinkError: it is no link; says what it is, and where the reader is defined.
    """
    # First: `stream.get(...)` is a Next that can be awaited, and a Next and a Gather are tuples.
    if result is None or isinstance(result, Next):
        return result
    if isinstance(result, Gather):
        return _several_to_join(result, origin)
    if isinstance(result, tuple) and not _is_several(result[:1]):
        if type(result) is not tuple and hasattr(result, "_fields"):
            raise _link_error(result, origin, _ITEM)
        if len(result) in (2, 3):
            return Next(*result)
        raise _link_error(result, origin, "a link has 2 or 3 parts")
    if isinstance(result, (list, tuple)):
        return Branches(iter(result), origin)
    # Before awaitables, of which it is one: returned, it is mostly meant as a link.
    if isinstance(result, Chain):
        raise _link_error(result, origin, "a chain that was begun needs no return")
    if isinstance(result, Awaitable):
        return result
    if isinstance(result, (Iterator, AsyncIterator)):
        return Branches(result, origin)
    raise _link_error(result, origin, _why_none(result))


#: Of a reader that returns an item, as Scrapy's do.
_ITEM = "that is no link: self.emit(item) hands on an item"


def _why_none(result: object) -> str:
    """The remedy for who comes from another library."""
    if isinstance(result, (str, Request)):
        return "a request alone has no reader: return (request, reader)"
    if isinstance(result, Mapping) or is_dataclass(result):
        return _ITEM
    return "that is no link"


def _several_to_join(gather: Gather, origin: object) -> Branches:
    for function, name in ((gather.readback, "readback"), (gather.errback, "errback")):
        if function is not None and not callable(function):
            raise _link_error(gather, origin, f"its {name} is not callable")
    links = gather.links
    if isinstance(links, (AsyncIterator, Iterator)):
        return Branches(links, origin, gather)
    # Text is an iterable of letters, each of which would be a relative URL.
    if isinstance(links, Iterable) and not isinstance(links, (str, bytes)):
        return Branches(iter(links), origin, gather)
    raise _link_error(gather, origin, "its links are not several")


def link_of(item: object, origin: object, takes_requests: bool = False) -> Next:
    """One of several links, checked.

    Args:
        item: what the source gave.
        origin: the reader, for the message.
        takes_requests: a request alone will do: all that is wanted of it is the response.

    Raises:
        LinkError: it is not a single link.
    """
    if isinstance(item, Next):
        return item
    if takes_requests and isinstance(item, (str, Request)):
        return Next(item, keep)
    link = None if isinstance(item, (list, Awaitable)) else next_of(item, origin)
    if not isinstance(link, Next):
        raise _link_error(item, origin, "several links hold single links only")
    return link


def page_of(result: Any, origin: object, base: str | None = None) -> RequestLike | Next | None:
    """The link to the next page, see `HTTPStream.follow`: a request, a `Next`, or None.

    Args:
        result: what the user gave.
        origin: the function that gave it, for the message.
        base: URL of the page that a relative URL is on.

    Raises:
        LinkError: it is of no such form.
    """
    # A pair has a delay here and no reader: the page is for whoever iterates.
    if isinstance(result, tuple) and not isinstance(result, Next):
        if len(result) != 2:
            raise _link_error(result, origin, _PAGES, hint="")
        result = Next(result[0], delay=result[1])
    try:
        if isinstance(result, Next):
            return result._replace(request=request_of(result.request, base))
        return result if result is None else request_of(result, base)
    except ValueError as error:
        raise _request_error(error, origin) from error


def checked_link(link: Next, origin: object, base: str | None = None) -> Next:
    """The link with its request as a `Request`.

    Args:
        link: what a reader returned.
        origin: the reader, for the message.
        base: URL of the response or request that a relative URL is relative to.

    Raises:
        LinkError: a part cannot work; names it.
    """
    for part, name in ((link.readback, "readback"), (link.errback, "errback")):
        is_none = part is None or (part is False and name == "errback")
        if not is_none and not callable(part):
            raise _link_error(link, origin, f"its {name} is not callable")
    if link.data is not None and not isinstance(link.data, Mapping):
        why = f"its data is a mapping of names to values, not {type(link.data).__name__}"
        raise _link_error(link, origin, why)
    if link.session is not None and not isinstance(link.session, Session):
        raise _link_error(link, origin, "its session is none that HTTPStream.session gave")
    if link.session is not None and link.session.is_closed:
        raise _link_error(
            link,
            origin,
            f"its session {link.session.name!r} is closed: ask HTTPStream.session for a new one",
        )
    # Not `isinstance`: True is an int.
    if link.priority is not None and type(link.priority) is not int:
        raise _link_error(link, origin, f"its priority {link.priority!r} is not a whole number")
    if link.key is not None and not isinstance(link.key, str):
        why = f"its key is text, not {type(link.key).__name__}"
        raise _link_error(link, origin, why)
    if not is_delay(link.delay):
        why = f"its delay {link.delay!r} is not a number of seconds, 0 or more"
        raise _link_error(link, origin, why)
    try:
        return link._replace(request=request_of(link.request, base))
    except ValueError as error:
        raise _request_error(error, origin) from error


def is_delay(delay: object) -> bool:
    """Return True for a number of seconds that one can wait: finite, 0 or more."""
    # True is an int, and NaN a float that fails the comparison.
    is_number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
    return is_number and 0 <= delay < math.inf  # type: ignore[operator]


def _is_several(parts: tuple[object, ...]) -> bool:
    # `()` is several links of which there are none. A RelativeRequest is a tuple, and one request.
    return not parts or (isinstance(parts[0], tuple) and not isinstance(parts[0], RelativeRequest))


def _request_error(error: ValueError, origin: object) -> LinkError:
    """The cause first: what a link holds besides is of no help then."""
    return LinkError(str(error) if origin is None else f"{error}; {described(origin)} returned it")


def _shown(part: object) -> str:
    return repr(part) if isinstance(part, Chain) else shown(part)


def _link_error(result: object, origin: object, why: str, hint: str = _READERS) -> LinkError:
    if origin is None:
        return LinkError(f"this cannot be sent: {why}")
    text = _shown(result)
    if isinstance(result, tuple):
        parts = list(result)
        while isinstance(result, Next) and not parts[-1]:  # None, 0: not given
            parts.pop()
        text = f"({', '.join(map(_shown, parts))})"
    return LinkError(
        f"{described(origin)} returned {text} of type {type(result).__name__}: {why}{hint}"
    )
