"""Links: what a reader returns to carry its chain on.

What a reader returns, and an errback likewise:

=================================  =================================================
None                               the chain ends
(request, readback)                the next link; a URL may be relative to the response's own
(request, readback, delay)         the next link, begun `delay` seconds from now
Next(request, readback, ...)       the same with names, an errback, and data for the reader
stream.get(url, readback, ...)     likewise, and `post`, `put` ...; `response.follow(href, ...)`
Gather(links, readback)            several links; the reader gets all their responses
a list, iterator or generator      several links (sync or async): each becomes a chain
                                   below this one, which ends when all have ended
an awaitable of any of these       it is awaited first (`async def` readers)
=================================  =================================================

An errback stays with the chain for the links that follow, until a link sets another one (or
False, for none); chains that a list or iterator leads to have it, too, those of a `Gather` do not.
"""

from __future__ import annotations

import functools
import inspect
import re
import reprlib
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    SupportsIndex,
    TypeAlias,
    TypeVar,
    Union,
)

from tornado.httpclient import HTTPRequest

from .body import Params, form_query, with_query
from .request import Request, plain_request
from .secrets import safe_url
from .urls import join_url, normal_url

if TYPE_CHECKING:
    from .response import Response
    from .session import Session

__all__ = [
    "Errback",
    "Gather",
    "Link",
    "Next",
    "Readback",
    "RelativeRequest",
    "RequestLike",
    "accepted",
    "described",
    "is_absolute",
    "keep",
    "raise_error",
    "refuse_lost_data",
    "request_of",
    "shown",
]

_T_co = TypeVar("_T_co", covariant=True)


class _List(Protocol[_T_co]):
    """A list, as type checkers see one whose items are of a narrower type."""

    # Text, sets and mappings have no such method. With `__iter__` mypy takes a list of texts.
    def pop(self, index: SupportsIndex = -1, /) -> _T_co: ...


class RelativeRequest(NamedTuple):
    """A request whose URL is not known before there is one that it is relative to.

    Args:
        url: relative.
        request: all the rest.
    """

    url: str
    request: Request

    @classmethod
    def of(cls, url: str, params: Params | str | None = None, **options: Any) -> RelativeRequest:
        """Return a request with these arguments of `Request`.

        Args:
            url: relative.
            params: for its query.
            options: other arguments of `Request`.
        """
        query = form_query(params) if params else ""
        # A Request from the start: a wrong option is raised in the line that sets it.
        return cls(with_query(url, query), Request(_NOWHERE, **options))

    def seen_from(self, base: str | None) -> Request:
        """Return the request that it is on a page.

        Args:
            base: URL of the page; None: there is none.

        Raises:
            ValueError: there is no such URL.
        """
        return self.request.replace(url=_joined(base, self.url))

    def __repr__(self) -> str:
        return f"<RelativeRequest {self.request.method} {safe_url(self.url)}>"


#: In the place of a URL that is not known yet.
_NOWHERE = "http://localhost/"

#: What `Request.of` takes; a URL may be relative to the response, or to the base URL.
RequestLike: TypeAlias = str | Request | RelativeRequest | urllib.request.Request | HTTPRequest
#: A single link.
_Single: TypeAlias = Union[
    "Next", "Gather", "tuple[RequestLike, Readback]", "tuple[RequestLike, Readback, float]"
]
#: Of a `Gather`, where a request alone will do.
_Several: TypeAlias = Union[
    "_List[_Single | RequestLike]",
    "tuple[_Single | RequestLike, ...]",
    "Iterator[_Single | RequestLike]",
    "AsyncIterator[_Single | RequestLike]",
]
#: What a reader may return, see the table above.
Link: TypeAlias = Union[
    _Single,
    "tuple[_Single, ...]",
    "_List[Link]",
    "Iterator[Link]",
    "AsyncIterator[Link]",
    "Awaitable[Link]",
    None,
]
#: A reader: takes the response, returns what comes next. None: do not read.
Readback: TypeAlias = Union["Callable[[Response], Link]", None]
#: Takes the error that ended a link, a `StreamError` or what a reader raised, returns what comes
#: next like a reader.
Errback: TypeAlias = Callable[[Any], "Link"]


class Next(NamedTuple):
    """The next link of a chain, with all that can be said of it.

    Args:
        request: what `Request.of` takes: a URL, a `Request`, urllib's or Tornado's request. A
            URL may be relative (RFC 3986, 5) to that of the response which leads to it; where an
            errback returns it, to that of the request that failed.
        readback: the reader of its response; None sends the request and drops the body.
        delay: seconds from now until it is sent.
        errback: gets the error if this link fails, or its reader does, and returns what comes
            next. By default that of the link before; False: none, so that `on_error` is asked.
        session: the `Session` in whose name it is sent; by default the chain's.
        name: for the chain that it becomes when it is one of several.
        priority: links that wait for their turn go by it, higher first; by default the chain's.
        data: goes to the reader as keyword arguments, and to the errback. Values that JSON has,
            where the stream has a journal.
        key: a link whose key was followed before is dropped, and a chain that it was to carry on
            ends. With a journal keys last; else as long as the stream.

    Example:
        >>> def read(response, page):
        ...     print(page, len(response.body))
        ...     return Next(f"?page={page + 1}", read, data={"page": page + 1})
    """

    request: RequestLike
    readback: Callable[..., Link] | None = None
    delay: float = 0
    errback: Callable[..., Link] | Literal[False] | None = None
    session: Session | None = None
    name: str | None = None
    priority: int | None = None
    data: Mapping[str, Any] | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"<Next {shown(self.request)} to {shown(self.readback)} in {self.delay!r} s>"


class Gather(NamedTuple):
    """Several links, and a reader of what all of them came to: what `asyncio.gather` is to tasks.

    Args:
        links: any form of several links; a request alone stands for a link that keeps its
            response.
        readback: gets the list of the last responses of their chains, in the order of the links
            (None of a chain that has read none, an `asyncio.CancelledError` of one that was
            cancelled), and returns what comes next, like any reader.
        errback: gets the first error; the other chains are cancelled then.
        return_exceptions: errors are put in the list instead, in the place of the response.

    Example:
        >>> def read(response):
        ...     return Gather([f"{base}/a", f"{base}/b"], join)
        >>> def join(responses):
        ...     print([response.status for response in responses])
    """

    links: _Several
    readback: Callable[[list[Any]], Link] | None = None
    errback: Errback | None = None
    return_exceptions: bool = False

    def __repr__(self) -> str:
        return f"<Gather {shown(self.links)} to {shown(self.readback)}>"


#: Others are seen from where they were found, if that is known.
is_absolute = re.compile("(?:http|ws)s?://", re.IGNORECASE | re.ASCII).match


def request_of(request: object, base: str | None) -> Request:
    """Return the `Request` of a link.

    Args:
        request: what the link says.
        base: URL that a relative one is relative to; None: there is none.

    Raises:
        ValueError: it is none, or malformed.
    """
    if isinstance(request, str):
        plain = plain_request(request)
        if plain is not None:
            return plain
        if not is_absolute(request):
            request = _joined(base, request)
    elif isinstance(request, RelativeRequest):
        return request.seen_from(base)
    return Request.of(request)


def _joined(base: str | None, url: str) -> str:
    if base is not None:
        return join_url(base, url)
    try:
        return normal_url(url)
    except ValueError as error:
        # With a colon it may be meant as absolute: its own fault is the one to name.
        remedy = "" if ":" in url else "; to be relative it needs base_url= of the stream"
        raise ValueError(f"{error}{remedy}") from None


def refuse_lost_data(data: object, readback: object, errback: object) -> None:
    """Refuse data without a reader: other clients send `data=` as the body.

    Args:
        data: as of `Next`.
        readback: as of `Next`.
        errback: as of `Next`.

    Raises:
        TypeError: it would be lost.
    """
    if data is not None and readback is None and errback is None:
        raise TypeError("data= goes to a reader, and there is none: form= sends fields, json= JSON")


def raise_error(error: Exception) -> Link:
    """The errback of `fetch`: the error is for who awaits it, whatever `on_error` would do."""
    raise error


def accepted(function: Callable[..., object], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the keyword arguments that a function takes.

    An errback stays for links whose data is for their own readers.

    Args:
        function: an errback.
        data: of a link.
    """
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:  # of a builtin type: it takes the error alone
        return {}
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return dict(data)
    return {name: value for name, value in data.items() if name in parameters}


def described(function: object) -> str:
    """A function's name and where it is defined, for messages."""
    # A partial has no name; a decorator's wrapper has the right one, with the code of another file.
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    name = getattr(function, "__qualname__", None) or repr(function)
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else name


def shown(part: object) -> str:
    """A value without the secrets that it may hold: containers and bytes by their type only."""
    if isinstance(part, str):
        return reprlib.repr(safe_url(part))
    if part is None or isinstance(part, (bool, int, float, Request, RelativeRequest)):
        return repr(part)
    return described(part) if callable(part) else f"<{type(part).__name__}>"


def keep(_response: Response, **_data: object) -> None:
    """A reader that does nothing: the chain keeps the response for who awaits it."""
