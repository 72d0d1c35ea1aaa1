"""Crawl sites: each page once, to a maximum depth, on given hosts, as robots.txt allows.

    class Titles(Crawl):
        start_urls = ["http://example.org/"]
        max_depth = 2

        def parse(self, response):
            self.emit({"url": response.url, "title": response.css("title::text").get()})
            for url in response.links():
                yield response.follow(url, self.parse)

A flow like any other, whose links are filtered on their way from the readers to the engine: links
that must not be followed are dropped and counted; all else is unchanged.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections import Counter, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, NamedTuple, TypeGuard

from ..engine.chain import link_of
from ..engine.errors import StreamError
from ..engine.limits import Limits
from ..engine.links import Gather, Link, Next, request_of
from ..engine.redirects import is_redirect, target_of
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import safe_url
from ..engine.stream import each_of
from ..engine.urls import normal_host
from ..retry import Retry
from .flow import Flow, Report
from .robots import Robots

__all__ = ["Crawl"]

logger = logging.getLogger("webqq_tornado.engine")

#: Links of one source that are checked while the first of them waits for a robots.txt.
_AHEAD = 64
#: Key in `state` of the hosts that a crawl started at.
_START_HOSTS = "crawl.hosts"
#: Why a redirect is not followed yet: the robots.txt of where it leads is not here.
_UNKNOWN = "unknown"
#: Number of canonical URLs in the cache.
_CACHED = 16_384


class Crawl(Flow):
    """Follows links: override `parse`; `start_urls` and the other settings are attributes, too.

    Links that readers, errbacks and `begin` return are followed unless

    - the same request was made already ("duplicate"). URLs are the same by the rules of w3lib's
      `canonicalize_url`: without fragment, parameters in any order. A reader that returns
      `response.request` itself repeats it; see `key` for others;
    - it is more than `max_depth` links away from the start ("depth");
    - its host is not in `allowed_hosts` ("host");
    - robots.txt forbids it ("robots").

    Responses with a status of 400 or more are not read ("status", see `accepts`), nor are those
    that redirects led to a page that was read already. Redirects to another host, or to a page that
    robots.txt forbids, are not followed; those of `start_urls` may lead to another host. All these
    are counted in `filtered`, and none is an error. A `Gather` may repeat requests; its reader gets
    the responses of the followed links. Awaited requests (`await self.get(url)`) are not filtered.

    Crawl-delay and Request-rate of robots.txt hold, up to 60 s, where `limits` are not stricter.

    Args:
        start_urls: instead of those of the class.
        max_depth: instead of that of the class, and so the others.
        allowed_hosts: hosts as "example.org" (any port) or "127.0.0.1:8100", ".example.org" with
            its subdomains, "*" for all; a text separates them by commas. By default the hosts of
            `start_urls`.
        obey_robots: fetch and obey robots.txt.
        arguments: of `Flow`. By default four requests at once go to a host, and `Retry()` holds.

    Attributes:
        done: pages read.
        filtered: links and pages dropped, counted by reason.

    Raises:
        ImportError: w3lib or protego are not installed; the extra `crawl` has them.
        ValueError: a host is invalid.

    Example:
        >>> class Titles(Crawl):
        ...     start_urls = ["http://example.org/"]
        ...     max_depth = 2
        ...
        ...     def parse(self, response):
        ...         self.emit({"url": response.url, "title": response.css("title::text").get()})
        ...         for url in response.links():
        ...             yield response.follow(url, self.parse)
    """

    #: URLs of the first pages.
    start_urls: Sequence[str] = ()
    #: Maximum number of links from there; None for no limit.
    max_depth: int | None = None
    #: See above.
    allowed_hosts: Collection[str] | str | None = None
    #: Whether robots.txt is obeyed.
    obey_robots: bool = True
    _begins_by_keys = True
    _reader_makers = ("reader_again",)

    def __init__(
        self,
        *start_urls: str,
        max_depth: int | None = None,
        allowed_hosts: Collection[str] | str | None = None,
        obey_robots: bool | None = None,
        **arguments: Any,
    ) -> None:
        limits = arguments.pop("limits", None) or Limits(per_host=4)
        super().__init__(limits=limits, **{"retry": Retry(), **arguments})
        self.start_urls = start_urls or _texts(self.start_urls)
        self.max_depth = self.max_depth if max_depth is None else max_depth
        hosts = self.allowed_hosts if allowed_hosts is None else allowed_hosts
        self.obey_robots = self.obey_robots if obey_robots is None else obey_robots
        self.filtered: Counter[str] = Counter()
        self._takes_start_hosts = hosts is None
        self._hosts = set(map(_host_pattern, _texts(hosts or ())))
        self._hosts.update(self.state.get(_START_HOSTS, ()))
        self._seen: set[bytes] = set()
        self._canonical = _canonicalize_url()
        self._robots = (
            Robots(self.add_unkept, self._agent(), self._slow_down) if self.obey_robots else None
        )
        # The first links of a subclass are filtered like those of readers.
        self.begin = _Reader(self, self.begin, -1)  # type: ignore[method-assign]

    # -- to override ------------------------------------------------------------------------

    def begin(self) -> Link:
        """The first links: `start_urls`, read by `parse`. May be overridden.

        Raises:
            ValueError: there are none.
        """
        if not self.start_urls:
            raise ValueError(
                f"{type(self).__name__} has no start_urls: name some, or override begin()"
            )
        return [Next(url, self.parse) for url in self.start_urls]

    def parse(self, response: Response) -> Link:
        """Override to read a page of `start_urls`.

        Args:
            response: to one of these, with `depth` 0; pages linked from it have 1, and so on.

        Returns:
            As any reader; `response.follow(url, self.parse)` is the link to another page.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parse(self, response): define it")

    def accepts(self, response: Response) -> bool:
        """Return True if a response shall be read; override it to read error pages, too.

        Args:
            response: to one of the links.
        """
        return response.ok

    def key(self, request: Request) -> object:
        """Return the key of a request, equal for duplicates; override it for other rules.

        Args:
            request: of a link.

        Returns:
            Any value with a `repr` of its own; None for a request that may be repeated.
        """
        if not isinstance(request.body, (bytes, type(None))):
            return None
        return request.method, self._canonical(request.url), request.body or b""

    # -- for the command line ---------------------------------------------------------------

    def describe(self) -> str:
        """The progress in words."""
        stats = self.stats()
        return f"{type(self).__name__}: {self.done} pages, {stats.in_flight} in flight"

    def summary(self) -> str:
        """Pages read, and links left out by reason."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.filtered.items()))
        return f"{self.done} pages read; filtered: {reasons or 'none'}"

    def figures(self) -> Mapping[str, object]:
        """The same as values."""
        return {"pages": self.done, "filtered": dict(sorted(self.filtered.items()))}

    def report(self) -> Report:
        """Numbers of pages and of what was left out."""
        columns = ("pages", *sorted(self.filtered))
        numbers = (self.done, *(self.filtered[reason] for reason in columns[1:]))
        rows = [tuple(f"{number:,}" for number in numbers)]
        is_good = self.first_error is None
        return Report(columns, rows, is_good, [dict(zip(columns, numbers, strict=True))])

    # -- filter of links --------------------------------------------------------------------

    def _call(self, reader: _Reader, got: tuple[object, ...], data: Mapping[str, Any]) -> Any:
        """Call a reader, an errback or `begin`, and filter the links that it returns."""
        page = _Page(reader.depth)
        if got and isinstance(got[0], Response):
            return self._read(got[0], reader, data)
        elif got and isinstance(got[0], StreamError) and isinstance(got[0].request, Request):
            page = _Page(reader.depth, got[0].request.url, got[0].request)
        return self._followed(reader.__wrapped__(*got, **data), page, reader)

    def _read(self, response: Response, reader: _Reader, data: Mapping[str, Any]) -> Any:
        reason = self._why_not_read(response, reader)
        if reason == _UNKNOWN:
            return self._again_with_rules(response, reader, data)
        if reason is not None:
            self._leave_out(reason, response.url, response.status)
            return None
        response.depth = reader.depth
        page = _Page(reader.depth, response.url, response.request)
        arrived = response.request.replace(url=response.url) if response.history else None
        if arrived is None or self._is_known(arrived):
            self.done += 1
            return self._followed(reader.__wrapped__(response, **data), page, reader)
        # Redirects have led to a host whose robots.txt nobody has asked for.
        return self._followed(self._read_if_allowed(arrived, response, reader, data), page, reader)

    async def _again_with_rules(
        self, response: Response, reader: _Reader, data: Mapping[str, Any]
    ) -> Next:
        """Ask for the robots.txt of where a redirect leads, then for what was redirected."""
        await self._robots_of(response)
        return Next(response.request, reader, data=data or None)

    async def _robots_of(self, response: Response) -> None:
        assert self._robots is not None  # noqa: S101 - they are unknown, and not ignored
        url = target_of(response.request, response)
        await asyncio.shield(self._robots.rules_of(response.request.replace(url=url)))

    async def _read_if_allowed(
        self, arrived: Request, response: Response, reader: _Reader, data: Mapping[str, Any]
    ) -> Any:
        if not await self._robots_allow(arrived):
            return None
        self.done += 1
        return reader.__wrapped__(response, **data)

    def _why_not_read(self, response: Response, reader: _Reader) -> str | None:
        request = response.request
        if is_redirect(response) and self._follows_redirects(request):
            reason = self._why_not_followed(response, reader)
            if reason is not None:
                return reason
        if not self.accepts(response):
            return "status"
        if not response.history or reader.is_repeat:
            return None
        arrived = request.replace(url=response.url)
        if reader.depth == 0:
            self._note_start(arrived)
        if not self._is_allowed_host(arrived.host):
            return "host"
        mark = self._mark(arrived)
        if mark is None or mark == self._mark(request):
            return None
        is_new = self._is_new(mark)
        if is_new and self._journal is not None:
            self._journal.add_key(mark.hex())
        return None if is_new else "duplicate"

    def _follows_redirects(self, request: Request) -> bool:
        own = request.follow_redirects
        return bool(self.defaults["follow_redirects"] if own is None else own)

    def _why_not_followed(self, response: Response, reader: _Reader) -> str | None:
        """Return why a redirect must not be followed; None: it may be."""
        try:
            url = target_of(response.request, response)
        except ValueError:  # the engine reports the error
            return None
        following = response.request.replace(url=url)
        is_bound = reader.depth > 0 and not reader.is_repeat
        if is_bound and not self._is_allowed_host(following.host):
            return "host"
        if self._robots is None:
            return None
        # What is sent again must not have changed anything.
        if self._robots.known_rules_of(following) is None and following.method == "GET":
            return _UNKNOWN
        return "robots" if self._robots.forbids(following) else None

    def _followed(self, result: Any, page: _Page, reader: _Reader) -> Any:
        """Return the result of a reader without the links that must not be followed."""
        if isinstance(result, Gather):
            links = self._several(result.links, page, reader, is_gathered=True)
            joins = self._reader(result.readback, page.depth)
            return result._replace(
                links=links, readback=joins, errback=self._reader(result.errback, page.depth)
            )
        if isinstance(result, Next) or (isinstance(result, tuple) and _is_single(result)):
            return self._one(result, page, reader)
        if isinstance(result, Awaitable):
            return self._awaited(result, page, reader)
        if isinstance(result, (list, tuple, Iterator, AsyncIterator)):
            return self._several(result, page, reader)
        return result  # nothing, or what the engine refuses

    async def _awaited(self, result: Awaitable[Any], page: _Page, reader: _Reader) -> Any:
        found = self._followed(await result, page, reader)
        return await found if isinstance(found, Awaitable) and not isinstance(found, Next) \
            else found  # fmt: skip

    def _one(self, item: object, page: _Page, reader: _Reader) -> Any:
        link = self._admitted(item, page, reader)
        if link is None or self._robots is None or not isinstance(link.request, Request):
            return link
        return self._if_allowed(link)

    async def _if_allowed(self, link: Next) -> Next | None:
        return link if await self._robots_allow(link.request) else None

    async def _several(
        self, links: Any, page: _Page, reader: _Reader, *, is_gathered: bool = False
    ) -> AsyncIterator[Next]:
        """The links to follow, in order; each robots.txt is fetched ahead."""
        ahead = 1 if isinstance(links, AsyncIterator) else _AHEAD
        window: deque[Next] = deque()
        error: Exception | None = None
        left_out = 0
        try:
            async for item in each_of(links):
                link = self._admitted(item, page, reader, is_gathered=is_gathered)
                if link is not None:
                    self._is_known(link.request)  # starts the fetch of its robots.txt
                    window.append(link)
                else:  # an endless source may have only links that were seen
                    left_out += 1
                    if left_out % _AHEAD == 0:
                        await asyncio.sleep(0)
                while window and (len(window) >= ahead or self._is_known(window[0].request)):
                    link = window.popleft()
                    if await self._robots_allow(link.request):
                        yield link
        except Exception as raised:  # earlier links are followed, as without a filter
            error = raised
        for link in window:
            if await self._robots_allow(link.request):
                yield link
        if error is not None:
            raise error

    # -- which links ------------------------------------------------------------------------

    def _admitted(
        self, item: object, page: _Page, reader: _Reader, *, is_gathered: bool = False
    ) -> Next | None:
        """The link if robots.txt allows it, else None."""
        link = link_of(item, reader, is_gathered)
        try:
            request = request_of(link.request, page.url or self._base_url(link.session))
        except ValueError:
            return link  # the engine reports the error
        is_repeat = request is page.request
        depth = page.depth if is_repeat else page.depth + 1
        mark = None if is_repeat else self._mark_of(request, link)
        reason = None if is_repeat else self._refusal(request, depth, mark, is_gathered)
        if reason is not None:
            self._leave_out(reason, request.url)
            return None
        errback = link.errback
        return link._replace(
            request=request,
            readback=self._reader(link.readback, depth, is_repeat=is_repeat),
            errback=self._reader(errback, page.depth) if callable(errback) else errback,
            priority=-depth if link.priority is None else link.priority,  # breadth first
            key=self._key_of(link, None if is_gathered else mark),
        )

    def _mark_of(self, request: Request, link: Next) -> bytes | None:
        return self._mark(request, "" if link.session is None else link.session.name)

    def _key_of(self, link: Next, mark: bytes | None) -> str | None:
        """The key by which a journal knows that the link was followed."""
        if link.key is not None or mark is None or self._journal is None:
            return link.key
        return mark.hex()

    def _refusal(
        self, request: Request, depth: int, mark: bytes | None, is_gathered: bool
    ) -> str | None:
        if depth == 0:
            self._note_start(request)
        elif not self._is_allowed_host(request.host):
            return "host"
        if self.max_depth is not None and depth > self.max_depth:
            return "depth"
        is_new = mark is None or self._is_new(mark)
        return None if is_new or is_gathered else "duplicate"

    def _note_start(self, request: Request) -> None:
        if self._takes_start_hosts and request.host not in self._hosts:
            self._hosts.add(request.host)
            if self.journal is not None:  # a crawl that goes on does not begin there again
                self.state[_START_HOSTS] = sorted(self._hosts)

    def _is_allowed_host(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        forms = ["*", name, host]
        if not colon or port.endswith("]"):  # the scheme's own port is one of the two
            name = host
            forms = ["*", host, f"{host}:80", f"{host}:443"]
        if not self._hosts.isdisjoint(forms):
            return True
        labels = name.split(".")
        return any("." + ".".join(labels[i:]) in self._hosts for i in range(len(labels)))

    def _mark(self, request: Request, session: str | None = "") -> bytes | None:
        """A digest of the key: millions are kept."""
        key = self.key(request)
        if key is None:
            return None
        return hashlib.blake2b(repr((key, session)).encode(), digest_size=16).digest()

    def _is_new(self, mark: bytes) -> bool:
        if self._journal is not None:
            return not self._journal.is_followed(mark.hex())
        is_new = mark not in self._seen
        self._seen.add(mark)
        return is_new

    def _leave_out(self, reason: str, url: str, status: int | None = None) -> None:
        self.filtered[reason] += 1
        level = logging.DEBUG if status is None else logging.INFO
        if logger.isEnabledFor(level):
            logger.log(level, "not followed, %s %s: %s", reason, status or "", safe_url(url))

    # -- robots.txt -------------------------------------------------------------------------

    def _is_known(self, request: object) -> bool:
        """Return True if `_robots_allow` does not have to wait."""
        if self._robots is None or not _is_page(request):
            return True
        return self._robots.rules_of(request).done()

    async def _robots_allow(self, request: object) -> bool:
        if self._robots is None or not _is_page(request):
            return True
        is_allowed = await self._robots.allows(request)
        if not is_allowed:
            self._leave_out("robots", request.url)
        return is_allowed

    def _slow_down(self, host: str, seconds: float) -> None:
        try:
            self.space_requests(host, seconds)
        except ValueError as error:
            logger.warning("%s wants %g s between two requests: %s", host, seconds, error)

    def _agent(self) -> str:
        stands = self._session.defaults
        headers = () if stands is None else stands.headers
        own = next((value for name, value in headers if name.lower() == "user-agent"), "")
        return own or str(self.defaults.get("user_agent") or "*")

    def _reader(
        self, function: Callable[..., Any] | None, depth: int, *, is_repeat: bool = False
    ) -> _Reader | None:
        if function is None or isinstance(function, _Reader):
            return function
        return _Reader(self, function, depth, is_repeat=is_repeat)

    def reader_again(
        self, function: Callable[..., Any], depth: int, is_repeat: bool
    ) -> Callable[..., Any]:
        """Return a reader that a journal has kept.

        Args:
            function: of yours.
            depth: of the page that it reads.
            is_repeat: the page was read before, and is meant to be.
        """
        return _Reader(self, function, depth, is_repeat=is_repeat)


class _Page(NamedTuple):
    """The page that links were found on."""

    depth: int
    url: str | None = None
    request: Request | None = None


class _Reader:
    """A reader, errback or `begin`, whose links the crawl filters.

    Args:
        crawl: the flow.
        function: of the user; messages name it, since this is a wrapper.
        depth: of the page that it reads.
        is_repeat: the page was read before, and is meant to be.
    """

    __slots__ = ("__wrapped__", "_crawl", "depth", "is_repeat")

    def __init__(
        self, crawl: Crawl, function: Callable[..., Any], depth: int, *, is_repeat: bool = False
    ) -> None:
        self.__wrapped__ = function
        self._crawl = crawl
        self.depth = depth
        self.is_repeat = is_repeat

    @property
    def kept_as(self) -> tuple[str, int, bool]:
        """The method that makes it again out of the function, and what else that wants."""
        return "reader_again", self.depth, self.is_repeat

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is _Reader
            and self.kept_as == other.kept_as
            and self.__wrapped__ == other.__wrapped__
        )

    def __hash__(self) -> int:
        return hash((self.kept_as, self.__wrapped__))

    def follows_redirect(self, response: Response) -> bool:
        """Return False if a redirect leads where the crawl must not ask. Called by the engine.

        Args:
            response: the redirect.
        """
        return self._crawl._why_not_followed(response, self) is None

    def __call__(self, *got: object, **data: Any) -> Any:
        return self._crawl._call(self, got, data)


def _is_page(request: object) -> TypeGuard[Request]:
    return isinstance(request, Request) and request.url.startswith("http")


def _is_single(result: tuple[object, ...]) -> bool:
    return bool(result) and not isinstance(result[0], tuple)


def _texts(texts: Iterable[str] | str) -> tuple[str, ...]:
    if isinstance(texts, str):
        texts = texts.split(",")
    return tuple(text.strip() for text in texts if text.strip())


def _host_pattern(text: str) -> str:
    """A host, or a suffix that begins with a dot, normalized as in URLs."""
    if "/" in text:
        raise ValueError(f"allowed_hosts has {safe_url(text)!r}: give the host alone, as in a URL")
    if text == "*":
        return text
    return "." * text.startswith(".") + normal_host(text.removeprefix("."))


def _canonicalize_url() -> Callable[[str], str]:
    try:
        from w3lib.url import canonicalize_url  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError('a Crawl needs w3lib: pip install "webqq_tornado[crawl]"') from error
    return functools.lru_cache(_CACHED)(
        canonicalize_url
    )  # pages link to the same URLs over and over
