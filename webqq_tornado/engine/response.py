"""The response that a reader gets, whole, as `urllib.request.urlopen` returns it.

Nothing is parsed before it is used: most readers want the body or one header.
"""

from __future__ import annotations

import http.client
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, NamedTuple

from .closing import ClosedByBlock
from .decoding import charset_of, decode
from .errors import StatusError
from .hints import RESPONSE, answer_attributes
from .links import Link, Next, refuse_lost_data
from .markup import base_of, document_charset, is_markup, links_of, select_css, selector_of
from .request import Request
from .secrets import safe_text, safe_url
from .transport.download import BodyStream
from .transport.headerlines import STATUS_LINE
from .urls import in_charset, join_url

if TYPE_CHECKING:
    from parsel import Selector, SelectorList

    from .session import Session

__all__ = ["Hop", "Response", "StreamedResponse", "parse_json"]

_EMPTY = (b"\r\n", b"\n")
#: Bytes of a body that is not what was wanted, in the message.
_EXCERPT = 60
_FIRST_ERROR = 400


class Hop(NamedTuple):
    """An answer on the way to the response: a redirect that was followed.

    Example:
        >>> [hop.status for hop in response.history]
        [301, 302]
    """

    url: str
    status: int
    headers: http.client.HTTPMessage

    def __repr__(self) -> str:
        return f"<Hop {self.status} {safe_url(self.url)}>"


class Response(ClosedByBlock):
    """A response with its body, for a reader.

    It reads like the file that `urllib.request.urlopen` returns (`read`, `readline`,
    iteration, `status`, `reason`, `headers`, `url`, `geturl`, `getcode`, `info`), and has
    Tornado's names where they differ (`code`, `effective_url`, `request_time`).

    Attributes:
        request: the `Request` that was answered: return it again to send it again.
        status: such as 200. 400 and more is a response like any other.
        url: where the response came from, after redirects.
        body: bytes, decompressed.
        request_time: seconds from the start of the transfer to its last byte.
        from_cache: True if its body comes from the stream's `cache`.

    Example:
        >>> def read(response):
        ...     if response.json()["state"] != "done":
        ...         return response.request, read, 5
    """

    __slots__ = (
        "_depth",
        "_header_lines",
        "_headers",
        "_hops",
        "_reader",
        "_retried",
        "_selector",
        "_times",
        "body",
        "request",
        "status",
        "url",
    )

    from_cache = False

    def __init__(  # noqa: PLR0917 - the transport makes one for each request, by position
        self,
        request: Request,
        status: int,
        url: str,
        header_lines: list[bytes],
        body: bytes,
        times: tuple[float, ...] = (),
    ) -> None:
        self.request = request
        self.status = status
        self.url = url
        self.body = body
        self._header_lines = header_lines
        self._times = times
        self._headers: http.client.HTTPMessage | None = None
        self._reader: io.BytesIO | None = None

    def __repr__(self) -> str:
        return f"<Response {self.status} {safe_url(self.url)} {len(self.body)} bytes>"

    # -- what it says --------------------------------------------------------------------

    @property
    def headers(self) -> http.client.HTTPMessage:
        """The final answer's headers; names in any case; `get_all` for repeated ones."""
        if self._headers is None:
            self._headers = _parse_headers(self._blocks()[-1][1:])
        return self._headers

    @property
    def reason(self) -> str:
        """The status line's own words, often empty since HTTP/2."""
        return _status_line(self._blocks()[-1])[2]

    @property
    def version(self) -> int:
        """The version as in http.client: 10, 11, 20 or 30."""
        return _status_line(self._blocks()[-1])[0]

    @property
    def trailers(self) -> http.client.HTTPMessage:
        """Trailer fields, as `headers`; none of them is among these (RFC 9110, 6.5.1).

        With `stream=True`: of it what had come when the reader was called, most often nothing.
        """
        return _parse_headers(self._parts()[1])

    @property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type, else UTF-8.

        A charset means what it means to a browser (WHATWG's Encoding standard), and a byte order
        mark counts more. Invalid bytes become U+FFFD.
        """
        return decode(self.body, self._charset)

    @property
    def _charset(self) -> str:
        return charset_of(self.headers.get_all("Content-Type", []))

    def json(self) -> Any:
        """The body as JSON: in UTF-8, as it has to be, or else in the charset that is declared.

        Raises:
            json.JSONDecodeError: it is not JSON, or is nested too deeply. A `ValueError`, whose
                message has the URL, the type, how the body begins, and where it stops being JSON.
        """
        try:
            # JSON between systems is UTF-8 (RFC 8259, 8.1), whatever the header says: that is asked
            # last.
            return parse_json(self.body)
        # A ValueError as well: so it is caught before that.
        except UnicodeDecodeError as error:
            return self._json_in_its_charset(error)
        except ValueError as error:
            raise self._not_json(error) from error

    def _json_in_its_charset(self, error: ValueError) -> Any:
        text = self.text
        # U+FFFD stands for what is not of the charset: it is none of this body's, then.
        if "\ufffd" not in text:
            try:
                return parse_json(text)
            except ValueError as error_in_text:
                error = error_in_text
        raise self._not_json(error) from error

    def _not_json(self, error: ValueError) -> JSONDecodeError:
        why, document, position = str(error), "", 0
        if isinstance(error, JSONDecodeError):
            why, document, position = error.msg, error.doc, error.pos
        kind = str(self.headers.get("Content-Type", "no type"))
        # Messages end in logs, and a body may have secrets in it.
        begins = safe_text(self.body[:_EXCERPT].decode("utf-8", "replace"))
        said = (
            f"is not JSON, it begins with {begins!r}: {why}" if self.body else "is empty, no JSON"
        )
        return JSONDecodeError(
            f"{self.request.method} {safe_url(self.url)}: status {self.status}, {kind}: the body "
            f"{said}",
            document,
            position,
        )

    @property
    def history(self) -> list[Hop]:
        """The redirects that were followed, oldest first."""
        return list(getattr(self, "_hops", ()))  # most have none, and never set it

    def note_redirects(self, hops: list[Hop], seconds: float) -> None:
        """Add the redirects that led here to `history` and `time_info`. Called by the engine.

        Args:
            hops: the redirects that led to it.
            seconds: that they took.
        """
        self._hops = hops
        last = dict(zip(TIMES, self._times, strict=False))
        # 0 stays: that phase was over before, on a connection that was there.
        times = {name: last[name] + seconds if last.get(name) else 0.0 for name in TIMES}
        self._times = tuple({**times, "redirect": seconds}.values())

    @property
    def retried(self) -> tuple[Any, ...]:
        """Each `Attempt` before this one, oldest first."""
        return getattr(self, "_retried", ())  # most have no such thing, and never set it

    @retried.setter
    def retried(self, attempts: tuple[Any, ...]) -> None:
        self._retried = attempts

    @property
    def depth(self) -> int:
        """Links that led to it from where a `webqq_tornado.flows.Crawl` began; 0 elsewhere."""
        return getattr(self, "_depth", 0)

    @depth.setter
    def depth(self, links: int) -> None:
        self._depth = links

    @property
    def time_info(self) -> Mapping[str, float]:
        """Seconds from the start of the transfer, by phase, as `pycurl` counts them.

        `namelookup`, `connect`, `appconnect` (TLS), `pretransfer`, `redirect`: 0 on a connection
        that was there already; `starttransfer` (first byte), `total`.
        """
        return {**dict.fromkeys(TIMES, 0.0), **dict(zip(TIMES, self._times, strict=False))}

    @property
    def request_time(self) -> float:
        """Seconds from the start of the transfer to its last byte."""
        return self._times[0] if self._times else 0.0

    @property
    def stream(self) -> BodyStream:
        """The body as it comes, of a request with `stream=True`.

        Raises:
            ValueError: the request had it not.
        """
        raise ValueError("the whole body is in .body: to have it piecemeal, give stream=True")

    @property
    def ok(self) -> bool:
        """The status is below 400."""
        return self.status < _FIRST_ERROR

    def raise_for_status(self) -> Response:
        """Return the response itself, unless it says that the request has failed.

        Raises:
            StatusError: the status is 400 or more; it has the response.

        Example:
            >>> items = response.raise_for_status().json()["items"]
        """
        if self.ok:
            return self
        begins = safe_text(self.body[:_EXCERPT].decode("utf-8", "replace"))
        said = f": the body begins with {begins!r}" if begins else ""
        raise StatusError(
            f"{self.request.method} {safe_url(self.url)}: status {self.status} {self._words}{said}",
            response=self,
        )

    @property
    def _words(self) -> str:
        """Words of the status, ours where HTTP/2 sends none."""
        return self.reason or http.client.responses.get(self.status, "")

    def follow(
        self,
        url: str,
        readback: Callable[..., Link] | None = None,
        *,
        delay: float = 0,
        errback: Callable[..., Link] | None = None,
        session: Session | None = None,
        name: str | None = None,
        priority: int | None = None,
        data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Next:
        """Return a link to a URL as this response has it, for a reader to return.

        Args:
            url: absolute, or relative to this response; of a document that `css`, `xpath` or
                `links` has looked at, to its `base` element, with the query in its charset.
            readback: as of `Next`, and so the others.
            delay: seconds.
            errback: as of `Next`.
            session: as of `Next`.
            name: as of `Next`.
            priority: as of `Next`.
            data: as of `Next`.
            options: arguments of `Request`.

        Raises:
            ValueError: there is no such URL, or an option is malformed.
            TypeError: there is data, and no reader that it could go to; or the URL is no text.

        Example:
            >>> def read(response):
            ...     yield response.follow("?page=2", read, data={"page": 2})
        """
        refuse_lost_data(data, readback, errback)
        if not isinstance(url, str):
            raise TypeError(
                f"follow takes a URL as text, not {type(url).__name__}: of an element "
                ".attrib['href'], of what ::attr(href) selects .get()"
            )
        document = getattr(self, "_selector", None)
        base = self.url
        if document is not None:
            base = base_of(document, base)
            url = url if url.isascii() else in_charset(url, self._document_charset)
        request = Request(join_url(base, url), **options)
        return Next(request, readback, delay, errback, session, name, priority, data)

    # -- as a document ---------------------------------------------------------------------

    _selector: Selector

    @property
    def selector(self) -> Selector:
        """The document as a `parsel.Selector`, parsed once; what is not XML is taken for HTML.

        Its charset is that of its Content-Type, else the one that it declares itself
        (`<meta charset=gbk>`), else UTF-8.

        Raises:
            ImportError: parsel is not installed; the extra `crawl` has it.
        """
        # `__init__` leaves it unset: few responses are looked at as documents, and each would pay.
        try:
            return self._selector
        except AttributeError:
            pass
        self._selector = selector_of(self.body, self._document_charset, self._content_type)
        return self._selector

    def css(self, query: str) -> SelectorList[Selector]:
        """Select from the document by CSS, with parsel's `::text` and `::attr(name)`.

        Args:
            query: selector.

        Raises:
            ValueError: the selector is malformed.
            ImportError: parsel is not installed; the extra `crawl` has it.

        Example:
            >>> response.css("title::text").get()
        """
        return select_css(self.selector, query)

    def xpath(self, query: str) -> SelectorList[Selector]:
        """Select from the document by XPath.

        Args:
            query: path.

        Raises:
            ValueError: the path is malformed.
            ImportError: parsel is not installed; the extra `crawl` has it.

        Example:
            >>> response.xpath("//h1/text()").getall()
        """
        return self.selector.xpath(query)

    def links(self) -> list[str]:
        """Return where the document's links lead: absolute, http and https alone.

        Returns:
            URLs without fragments, in the document's order, each once; relative ones are seen from
            the `base` element, if there is one. None of a body whose type is not HTML or XML.

        Raises:
            ImportError: parsel is not installed; the extra `crawl` has it.

        Example:
            >>> def read(response):
            ...     for url in response.links():
            ...         yield response.follow(url, read)
        """
        if not is_markup(self._content_type):
            return []
        return links_of(self.selector, self.url, self._document_charset)

    @property
    def _document_charset(self) -> str:
        return self._charset or document_charset(self.body, self._content_type)

    @property
    def _content_type(self) -> str:
        return str(self.headers.get("Content-Type", "")).strip()

    # -- as urlopen's file ---------------------------------------------------------------

    @property
    def _file(self) -> io.BytesIO:
        if self._reader is None:
            self._reader = io.BytesIO(self.body)
        return self._reader

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes from where the last read stopped; all that is left by default.

        Args:
            size: bytes; -1: all that is left.
        """
        return self._file.read(size)

    def readline(self, size: int = -1) -> bytes:
        """The next line with its end, b"" after the last.

        Args:
            size: bytes at most; -1: no limit.
        """
        return self._file.readline(size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """The remaining lines.

        Args:
            hint: bytes after which no further line is begun; -1: no limit.
        """
        return self._file.readlines(hint)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def geturl(self) -> str:
        """`url`, by urllib's name."""
        return self.url

    def getcode(self) -> int:
        """`status`, by urllib's name."""
        return self.status

    def info(self) -> http.client.HTTPMessage:
        """`headers`, by urllib's name."""
        return self.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """One header by name, repeated ones joined by a comma, as http.client does.

        Args:
            name: of the header, in any case.
            default: what to return if there is none.
        """
        values = self.headers.get_all(name)
        return ", ".join(values) if values else default

    def getheaders(self) -> list[tuple[str, str]]:
        """All headers as pairs, in the order they came."""
        return self.headers.items()

    def close(self) -> None:
        """Nothing is held open; here because a file has it."""

    # -- by Tornado's names --------------------------------------------------------------

    @property
    def code(self) -> int:
        """`status`, by Tornado's name."""
        return self.status

    @property
    def effective_url(self) -> str:
        """`url`, by Tornado's name."""
        return self.url

    def _blocks(self) -> list[list[bytes]]:
        """The header lines by answer: interim ones, redirects, the final one."""
        return self._parts()[0]

    def _parts(self) -> tuple[list[list[bytes]], list[bytes]]:
        """The header lines by answer, and the trailers of the final one."""
        blocks: list[list[bytes]] = []
        trailers: list[bytes] = []
        has_ended = True
        for line in self._header_lines:
            # Only behind an empty line: the name of a header may look like a status line.
            if has_ended and STATUS_LINE.match(line):
                blocks.append([])
                trailers, has_ended = [], False
            # Behind the end of a block, and no status line: a trailer (RFC 9110, 6.5).
            (trailers if has_ended else blocks[-1]).append(line)
            has_ended = has_ended or line in _EMPTY
        # Whatever the lines are, the last block is looked at: so there is one.
        return blocks or [[b"HTTP/0.0 0\r\n"]], trailers


answer_attributes(Response, RESPONSE)


class StreamedResponse(Response):
    """A response whose body is still to come: in `stream`.

    Args:
        response: with the headers.
        stream: its body.
    """

    __slots__ = ("_stream",)

    def __init__(self, response: Response, stream: BodyStream) -> None:
        super().__init__(
            response.request,
            response.status,
            response.url,
            response._header_lines,
            b"",
            response._times,
        )
        self._stream = stream

    @property
    def stream(self) -> BodyStream:
        """The body as it comes."""
        return self._stream


#: The names of `time_info`, in the order in which the transport reads them.
TIMES = (
    "total",
    "starttransfer",
    "pretransfer",
    "namelookup",
    "connect",
    "appconnect",
    "redirect",
)


def _status_line(block: list[bytes]) -> tuple[int, int, str]:
    """Version as in http.client, status, reason."""
    version, _, rest = block[0].decode("latin-1").strip().partition(" ")
    status, _, reason = rest.partition(" ")
    digits = re.sub(r"\D", "", version)  # "HTTP/1.1", "HTTP/2"
    # 20 for HTTP/2, as 11 for HTTP/1.1.
    number = int(digits.ljust(2, "0")) if digits else 0
    return number, int(status) if status.isdigit() else 0, reason


def _parse_headers(lines: Iterable[bytes]) -> http.client.HTTPMessage:
    # libcurl has checked names and sizes; http.client.parse_headers would stop at 100 headers.
    message = http.client.HTTPMessage()
    for line in lines:
        text = line.decode("latin-1").rstrip("\r\n")
        name, colon, value = text.partition(":")
        # What begins with white space is a header's second line that has no first one: it is no
        # header (RFC 9112, 2.2). libcurl joins those that have one.
        if colon and name[:1] not in ("", " ", "\t"):
            # In Latin-1 a byte of UTF-8 or GBK may be a space.
            message[name.rstrip(" \t")] = value.strip(" \t")
    return message


def parse_json(data: bytes | str) -> Any:
    """`json.loads`, but what it cannot read is always a `ValueError`.

    Args:
        data: JSON; bytes are UTF-8, or as RFC 4627 had it UTF-16 or 32.

    Raises:
        ValueError: it is not JSON, or is nested more deeply than Python's parser can follow.

    Example:
        >>> parse_json(b'{"n": 1}')
        {'n': 1}
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("its arrays and objects are nested too deeply") from None
