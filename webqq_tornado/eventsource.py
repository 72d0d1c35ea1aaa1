"""Responses that never end: server-sent events and JSON lines, one at a time to a reader.

>>> stream.add_request(EventSource("http://example.org/events", print).link())

Each is a chain like any other: its connection is read no faster than the reader is done with what
it has got, a break leads to a new link after a pause, and what the reader returns is followed.
The format of server-sent events is that of the HTML standard, section 9.2.

A source with a `retry` asks again when its answer has ended, and after errors that may pass: no
connection, no name, a time limit, an interrupted answer or TLS handshake. All else would be no
better the next time, and ends the chain: a status or type that is not the right one (a policy of
`webqq_tornado.retry` sends again for a 503), TLS that is not trusted, redirects, limits on sizes, a
line that is not JSON, and whatever the reader raises or returns by mistake. When three connections
in a row have brought nothing, the pauses get longer and longer, up to a minute.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import inspect
import io
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from types import EllipsisType
from typing import TYPE_CHECKING, Any, NamedTuple

from .engine.errors import ConnectError, ProtocolError, StreamError, TimeoutError, TLSError
from .engine.eventloop import error_of
from .engine.links import Gather, Link, Next
from .engine.request import Request
from .engine.response import Response, parse_json
from .engine.secrets import safe_url
from .engine.transport.options import IDEMPOTENT

if TYPE_CHECKING:
    from .engine.stream import HTTPStream

__all__ = ["Event", "EventParser", "EventSource", "JSONLines", "each"]

_EVENT_STREAM = "text/event-stream"
_NO_CONTENT = 204
_LINE_END = re.compile(r"\r\n|\n|\r")
#: Milliseconds; what has more digits is no pause (115 days have ten).
_PAUSE = re.compile(r"[0-9]{1,10}")
#: Seconds until an event source asks again.
_RETRY = 3.0
#: Seconds: what a server may ask for. Browsers have such limits, too.
_MIN_PAUSE, _MAX_PAUSE = 0.5, 300.0
#: Connections in a row that bring nothing before the pauses grow, from so many seconds to so many.
_FUTILE, _MIN_BACK_OFF, _MAX_BACK_OFF = 3, 0.1, 60.0
#: Seconds after which a connection was not in vain, whatever came.
_LONG = 10.0
_HANDSHAKE = 35  # libcurl's error number
#: In its words when the two do not agree, and did not just lose each other.
_DISAGREES = re.compile(r"alert|SSL routines(?!::unexpected eof)")


class Event(NamedTuple):
    """A server-sent event.

    Args:
        data: its text, lines joined by LF.
        event: its type.
        id: the last one that the server has given.

    Example:
        >>> Event('{"n": 1}').json()
        {'n': 1}
    """

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> Any:
        """The data as JSON.

        Raises:
            ValueError: it is not, or is nested too deeply.
        """
        return parse_json(self.data)


class EventParser:
    r"""Bytes of an event stream to events; no network in here.

    Args:
        last_event_id: where an earlier stream has ended.
        max_event_size: characters of one event, its lines' names included.

    Attributes:
        last_event_id: to ask for what comes after it.
        retry: seconds to wait before asking again, if the server has said so.

    Example:
        >>> EventParser().feed(b"event: tick\ndata: 1\n\n")
        [Event(data='1', event='tick', id='')]
    """

    def __init__(self, last_event_id: str = "", max_event_size: int = 2**20) -> None:
        self.last_event_id = last_event_id
        self.retry: float | None = None
        self._max_event_size = max_event_size
        # A byte order mark at the start is no part of it; invalid bytes become U+FFFD.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_begun = self._is_after_cr = False
        # The beginning of a line: looked at once, however many chunks it comes in.
        self._rest = io.StringIO(newline="")
        self._size = self._rest_size = 0
        self._data: list[str] = []
        self._event = ""
        self._id = last_event_id

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that these bytes complete.

        Args:
            chunk: the next bytes of the stream, cut anywhere.

        Raises:
            ValueError: one is larger than `max_event_size`.
        """
        return [event for line in self._lines(chunk) if (event := self._take(line)) is not None]

    def _lines(self, chunk: bytes) -> Iterator[str]:
        text = self._decoder.decode(chunk)
        if text and not self._is_begun:
            self._is_begun = True
            text = text.removeprefix("\ufeff")
        if text:
            # A CR ends its line at once; a LF that comes later may belong to it.
            was_after_cr, self._is_after_cr = self._is_after_cr, text.endswith("\r")
            text = text.removeprefix("\n") if was_after_cr else text
        first, *lines = _LINE_END.split(text)
        self._rest.write(first)
        self._rest_size += len(first)
        if lines:
            *lines, rest = self._rest.getvalue(), *lines
            self._rest = io.StringIO(newline="")
            self._rest_size = self._rest.write(rest)
        for line in lines:
            if not line.startswith(":"):  # a comment, to keep the connection alive
                self._size += len(line)
                self._check(self._size)
                yield line
        self._check(self._size + self._rest_size)

    def _check(self, size: int) -> None:
        if size > self._max_event_size:
            raise ValueError(f"an event has more than {self._max_event_size} characters")

    def _take(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and _PAUSE.fullmatch(value):
            self.retry = int(value) / 1000
        return None

    def _dispatch(self) -> Event | None:
        data, event = self._data, self._event
        self._data, self._event, self._size = [], "", 0
        self.last_event_id = self._id
        return Event("\n".join(data), event or "message", self._id) if data else None


class _Source:
    """Base of both sources: a link, and another one when it breaks."""

    def __init__(
        self, request: object, on_item: Callable[[Any], Link], retry: float | None
    ) -> None:
        self.request = Request.of(request)
        self.retry = retry
        self._on_item = on_item
        self._raised: Exception | None = None  # by the reader, on its way to the errback
        self._futile = 0  # connections in a row that have brought nothing
        self._opened_at: float | None = None  # by the loop's clock
        self._is_over = False  # the reader has returned a link, which is followed

    def link(self) -> Next:
        """The link that begins it: for `add_request`, `begin`, or a reader to return."""
        return Next(self._next_request(), self._read, errback=self._on_error)

    def _next_request(self) -> Request:
        raise NotImplementedError

    def _items(self, response: Response) -> AsyncGenerator[Any, None]:
        raise NotImplementedError

    def _check(self, response: Response) -> bool:
        """Return True if the response is to be read, False if it ends the source."""
        raise NotImplementedError

    async def _read(self, response: Response) -> Link:
        if not self._check(response):
            return None
        self._opened_at = asyncio.get_running_loop().time()
        async with contextlib.aclosing(self._items(response)) as items:
            async for item in items:
                self._futile = 0
                link = await self._given(item)
                if link is not None:
                    return self._released(link)
        return self._again()

    def _released(self, link: Link) -> Link:
        """Return the reader's link without our errback, which is for the source alone."""
        self._is_over = True
        if isinstance(link, tuple) and link and not isinstance(link, (Gather, Next)):
            link = link if isinstance(link[0], tuple) else Next(*link)
        if isinstance(link, Next) and link.errback is None:
            return link._replace(errback=False)
        return link

    async def _given(self, item: object) -> Link:
        """Pass an item to the reader and return the link it asks for."""
        try:
            result = self._on_item(item)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            self._raised = error
            raise

    def _on_error(self, error: Exception) -> Link:
        # What the reader raises may be of the network, too: of another conversation.
        is_raised, self._raised = error is self._raised, None
        if self._is_over or self.retry is None or is_raised or not _may_pass(error):
            raise error
        return self._again()

    def _again(self) -> Link:
        if self.retry is None:
            return None
        opened_at, self._opened_at = self._opened_at, None
        if opened_at is not None and asyncio.get_running_loop().time() - opened_at >= _LONG:
            self._futile = 0
        delay = _pause(self.retry, self._futile)
        self._futile += 1
        return self.link()._replace(delay=delay)

    def _unfit(self, response: Response, why: str) -> StreamError:
        request = response.request
        return _UnfitError(f"{request.method} {safe_url(request.url)}: {why}", request=request)


class _UnfitError(ProtocolError):
    """A wrong response that a new attempt would not change."""


def _may_pass(error: Exception) -> bool:
    if isinstance(error, TLSError):
        return error.code == _HANDSHAKE and not _DISAGREES.search(error.message)
    is_of_network = isinstance(error, (ConnectError, TimeoutError, ProtocolError))
    return is_of_network and not isinstance(error, _UnfitError)


def _pause(retry: float, futile: int) -> float:
    """Seconds before the next connection, after so many that were in vain."""
    doublings = min(futile - _FUTILE, 30)
    if doublings < 0:
        return retry
    return max(retry, min(max(retry, _MIN_BACK_OFF) * 2.0**doublings, _MAX_BACK_OFF))


class EventSource(_Source):
    """Server-sent events, from one connection after the other.

    When the connection ends or breaks it asks again after a pause, for what comes after the last
    event (`Last-Event-ID`). It ends when the reader returns a link, which is followed; when the
    server answers 204; and with an error when the answer is no event stream.

    Args:
        request: a URL or `Request`. Its `idle_timeout` (60 s) is when a silent connection is given
            up for a new one.
        on_event: gets each `Event`. While what it returns is awaited no more is read. A link that
            it returns ends this and is followed.
        retry: seconds until it asks again, unless the server says otherwise, of which 0.5 s to 5
            minutes count; None: it does not, whatever the server says. By default 3, but None for
            a method that is not idempotent, such as POST: nothing is sent twice unasked.
        last_event_id: to begin after.
        max_event_size: characters.

    Attributes:
        last_event_id: of the last event that the reader was given.

    Example:
        >>> source = EventSource("http://example.org/events", lambda event: print(event.data))
        >>> stream.add_request(source.link())
    """

    def __init__(
        self,
        request: object,
        on_event: Callable[[Event], Link],
        *,
        retry: float | EllipsisType | None = ...,
        last_event_id: str = "",
        max_event_size: int = 2**20,
    ) -> None:
        given = Request.of(request)
        if isinstance(retry, EllipsisType):
            retry = _RETRY if given.method in IDEMPOTENT else None
        super().__init__(given, on_event, retry)
        self.last_event_id = last_event_id
        self._max_event_size = max_event_size

    def _next_request(self) -> Request:
        own = [("Accept", _EVENT_STREAM), ("Cache-Control", "no-store")]
        if self.last_event_id:
            # In UTF-8, says the standard; header values are taken for Latin-1.
            own.append(("Last-Event-ID", self.last_event_id.encode().decode("latin-1")))
        names = {name.lower() for name, _ in own}
        given = [pair for pair in self.request.header_pairs if pair[0].lower() not in names]
        return self.request.replace(headers=[*given, *own], stream=True)

    def _check(self, response: Response) -> bool:
        if response.status == _NO_CONTENT:
            return False
        kind = response.headers.get_content_type()
        if response.status != 200 or kind != _EVENT_STREAM:
            raise self._unfit(response, f"no event stream, but status {response.status}, {kind}")
        return True

    async def _items(self, response: Response) -> AsyncGenerator[Event, None]:
        parser = EventParser(self.last_event_id, self._max_event_size)
        async for chunk in response.stream:
            try:
                events = parser.feed(chunk)
            except ValueError as error:
                raise self._unfit(response, str(error)) from error
            for event in events:
                self.last_event_id = event.id
                yield event
            self.last_event_id = parser.last_event_id
            if self.retry is not None and parser.retry is not None:
                self.retry = min(max(parser.retry, _MIN_PAUSE), _MAX_PAUSE)


class JSONLines(_Source):
    """JSON lines (one JSON value a line, as of ndjson), one value at a time.

    Args:
        request: a URL or `Request`.
        on_value: gets each value; as `on_event` of `EventSource`.
        retry: seconds until it asks again when the answer ends or breaks off; None: it ends then,
            with the error if there was one.
        max_line_size: bytes.

    Example:
        >>> stream.add_request(JSONLines("http://example.org/log", print).link())
    """

    def __init__(
        self,
        request: object,
        on_value: Callable[[Any], Link],
        *,
        retry: float | None = None,
        max_line_size: int = 64 * 2**20,
    ) -> None:
        super().__init__(request, on_value, retry)
        self._max_line_size = max_line_size

    def _next_request(self) -> Request:
        return self.request.replace(stream=True)

    def _check(self, response: Response) -> bool:
        if not 200 <= response.status < 300:
            raise self._unfit(response, f"no JSON lines, but status {response.status}")
        return response.status != _NO_CONTENT

    async def _items(self, response: Response) -> AsyncGenerator[Any, None]:
        number = 0
        async for line in self._lines(response):
            number += 1
            if not line.strip():
                continue
            try:
                value = parse_json(line)
            except ValueError as error:
                raise self._no_value(response, number, line, error) from error
            yield value

    def _no_value(
        self, response: Response, number: int, line: bytes, error: ValueError
    ) -> StreamError:
        if number > 1 and not line.endswith(b"\n"):
            # The end of a connection may be all that says where an answer ends.
            request = response.request
            return ProtocolError(
                f"{request.method} {safe_url(request.url)}: the answer was cut in line {number}",
                request=request,
            )
        return self._unfit(response, f"line {number} is not JSON: {error}")

    async def _lines(self, response: Response) -> AsyncIterator[bytes]:
        try:
            async for line in response.stream.lines(self._max_line_size, keep_ends=True):
                yield line
        except ValueError as error:
            raise self._unfit(response, str(error)) from error


async def each(
    stream: HTTPStream, source: Callable[[Callable[[Any], Link]], EventSource | JSONLines]
) -> AsyncIterator[Any]:
    """The items of a source, for `async for`.

    Args:
        stream: to run it on.
        source: makes the source, given the function that takes its items.

    Raises:
        StreamError: it ended with one.

    Example:
        >>> async for event in each(stream, lambda take: EventSource(url, take)):
        ...     print(event.data)
    """
    items: asyncio.Queue[Any] = asyncio.Queue(maxsize=1)  # the sender waits for the loop's body
    chain = stream.add_request(source(items.put).link())
    chain._is_quiet = True
    ended = asyncio.ensure_future(error_of(chain))
    try:
        while True:
            item = asyncio.ensure_future(items.get())
            try:
                await asyncio.wait((item, ended), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not item.done():
                    item.cancel()
            if not item.done():
                break
            yield item.result()
        error = ended.result()
        if error is not None:
            raise error
    finally:
        chain.cancel()
        ended.cancel()
