"""Redirects: which answers are followed, and what is sent there.

The engine follows them itself, one request after the other, so that limits, hooks, credentials,
cookies and observers see each of them. The rules are those of WHATWG's Fetch (4.4, HTTP-redirect
fetch) where RFC 9110 (15.4) leaves a choice:

======================  ==================================================================
301, 302                POST becomes GET; other methods stay
303                     GET, but HEAD stays
307, 308                method and body stay; a body that cannot be sent again is an error
300, 304, 305, 306      no redirects, with a Location or without
to another origin       without credentials, keys and cookies of the caller's, and without Host
that sets a cookie      without one of the caller's of the same name
without a fragment      the fragment of the address before it stays
its own body            is dropped; what is wrong with it does not count, its size neither
======================  ==================================================================

Nothing here sends anything: `next_request` makes the next request of the last one and its answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from .chain import Chain
from .errors import RedirectError, StreamError, TimeoutError
from .request import Request
from .response import Hop, Response
from .secrets import is_secret_name, safe_url
from .urls import join_url, origin_of

__all__ = ["STATUSES", "Redirects", "is_redirect", "leads_on", "next_hop", "target_of"]

STATUSES = frozenset({301, 302, 303, 307, 308})
#: Headers that say something of a body that is not sent again; and all whose names begin so.
_OF_THE_BODY = frozenset({"transfer-encoding", "expect", "trailer", "digest", "repr-digest"})
_OF_THE_BODY_PREFIX = "content-"
#: Headers for the server that they were given for.
_OF_THE_ORIGIN = frozenset({"authorization", "cookie", "host", "proxy-authorization"})
_TOO_MANY, _UNSUPPORTED, _NOT_REPLAYABLE, _TIMED_OUT = 47, 1, 65, 28  # libcurl's numbers


def is_redirect(response: Response) -> bool:
    """Return True if the response redirects to another address.

    Args:
        response: of any status.
    """
    return response.status in STATUSES and bool(_location(response))


class Redirects:
    """The redirects of one link, as they are followed.

    Attributes:
        hops: the answers that led on, oldest first.
        crosses: one of them led to another origin, where no default credentials go either.
    """

    __slots__ = ("_seconds", "crosses", "hops")

    def __init__(self) -> None:
        self.hops: list[Hop] = []
        self.crosses = False
        self._seconds = 0.0

    def next_request(
        self,
        request: Request,
        response: Response,
        *,
        limit: int,
        timeout: float,
        keeps_cookies: bool = False,
    ) -> Request:
        """The request that follows a redirect.

        Args:
            request: of this hop, without what hooks and credentials have added.
            response: its answer, which is a redirect.
            limit: redirects of one link at most.
            timeout: seconds for all of the link; 0: no limit.
            keeps_cookies: the session has taken those that the answer sets.

        Raises:
            RedirectError: it leads nowhere, or there were too many.
            StreamError: the body cannot be sent again.
            TimeoutError: no time is left.
        """
        if len(self.hops) >= limit:
            why = f"there were more than max_redirects={limit}; raise it, or mend the loop"
            raise _redirect_error(request, response, why, _TOO_MANY)
        try:
            url = target_of(request, response)
        except ValueError as error:
            why = f"{error}; send follow_redirects=False to look at where it leads"
            raise _redirect_error(request, response, why, _UNSUPPORTED) from error
        changes = _changes(request, response, url)
        # Without a change of the body, that of the request goes again (307, 308): an iterator that
        # was read is empty by now, and would silently be sent as a shorter body.
        if "body" not in changes and not request.is_replayable:
            raise StreamError(
                f"{_shown(request, response)}: the server redirects with status {response.status}, "
                "and the body cannot be sent again: give body= a function that returns a new "
                "iterator, or a path",
                request=request,
                code=_NOT_REPLAYABLE,
            )
        # A Cookie header of the caller's goes along as it is: where the answer has just set that
        # cookie anew, the old value would be sent beside the new one.
        if keeps_cookies and "Set-Cookie" in response.headers:
            given: Any = changes.get("headers", request.header_pairs)
            changes["headers"] = _without_renewed(given, response)
        # One timeout for the whole way: else a server could hold a request `limit` times as long.
        self._seconds += response.request_time
        if timeout:
            changes["request_timeout"] = self._left_of(timeout, request, response)
        self.hops.append(Hop(response.url, response.status, response.headers))
        # It stays so: back at the first origin the link has no credentials either.
        self.crosses = self.crosses or "auth_username" in changes
        following = request.replace(url=url, **changes)
        # A file that is resumed goes by this: the address behind it may be another each time.
        object.__setattr__(following, "asked_url", request.asked_url or request.url)
        return following

    def _left_of(self, timeout: float, request: Request, response: Response) -> float:
        if timeout <= self._seconds:
            raise TimeoutError(
                f"{_shown(request, response)}: following redirects failed: request_timeout="
                f"{timeout:g} s has passed; raise it, or try later",
                request=request,
                code=_TIMED_OUT,
            )
        return timeout - self._seconds

    def finish(self, response: Response, request: Request) -> None:
        """Make the last response that of the whole link.

        Args:
            response: the last one.
            request: of the link.
        """
        # Readers know the request of their link, not that of the last hop.
        response.request = request
        response.note_redirects(self.hops, self._seconds)


def leads_on(chain: Chain, response: Response, defaults: Mapping[str, Any]) -> bool:
    """Return True if the response to a chain's request is a redirect that it wants followed.

    Args:
        chain: whose request it was.
        response: to it.
        defaults: of requests.
    """
    # As it went out: a hook may have said otherwise.
    request: Request = chain._signed or chain._hop or chain._request
    return bool(_setting(request, "follow_redirects", defaults)) and is_redirect(response)


def next_hop(chain: Chain, response: Response, defaults: Mapping[str, Any]) -> Request:
    """The request that follows in a chain, see `Redirects.next_request`.

    Args:
        chain: whose link it is; its `Redirects` are begun with the first.
        response: that leads on.
        defaults: of requests.

    Raises:
        StreamError: there is none.
    """
    request: Request = chain._request
    # The default timeout is for whole responses; a stream of events has no end that it could meet.
    is_unlimited = request.is_streamed and request.request_timeout is None
    redirects: Redirects = chain._redirects or Redirects()
    chain._redirects = redirects
    return redirects.next_request(
        chain._hop or request,
        response,
        limit=_setting(request, "max_redirects", defaults),
        timeout=0.0 if is_unlimited else _setting(request, "request_timeout", defaults),
        keeps_cookies=chain.session.keeps_cookies,
    )


def _setting(request: Request, name: str, defaults: Mapping[str, Any]) -> Any:
    value = getattr(request, name)
    return defaults[name] if value is None else value


def _location(response: Response) -> str:
    """The Location header as text: UTF-8, or else bytes to be escaped."""
    # Header values are Latin-1 to http.client; addresses are UTF-8 where they are not ASCII.
    value = str(response.headers.get("Location") or "").encode("latin-1", "replace").strip()
    try:
        return value.decode()
    except UnicodeDecodeError:
        return quote(value, safe="".join(map(chr, range(0x21, 0x7F))))


def target_of(request: Request, response: Response) -> str:
    """The URL that a redirect leads to.

    Args:
        request: that was answered.
        response: the redirect.

    Raises:
        ValueError: to none that can be asked; says why.
    """
    # Clients differ in which of them they take, so that a page could show a proxy another target
    # than the client follows. The same one twice is harmless.
    if len(set(response.headers.get_all("Location") or ())) > 1:
        raise ValueError("it leads to several addresses")
    try:
        url = join_url(response.url, _location(response))
    except ValueError as error:
        raise ValueError(f"its Location is no URL: {error}") from error
    if request.is_socket:
        url = _socket_url(url, request.url)
    elif not url.startswith(("http:", "https:")):
        raise ValueError(f"{safe_url(url)} is of another scheme than http and https")
    return _with_inherited(url, response.url)


def _socket_url(url: str, old: str) -> str:
    url = f"ws{url.removeprefix('http')}" if url.startswith("http") else url
    if not url.startswith(("ws:", "wss:")):
        raise ValueError(f"it leads to {safe_url(url)}, which is no WebSocket")
    if old.startswith("wss:") and not url.startswith("wss:"):
        raise ValueError(f"it leads to {safe_url(url)}, without TLS")
    return url


def _with_inherited(url: str, base: str) -> str:
    """The URL with the fragment of the one before, and its user if it has the same origin."""
    # RFC 9110, 10.2.2: a Location without a fragment inherits it.
    fragment = "" if "#" in url else base.partition("#")[2]
    url = f"{url}#{fragment}" if fragment else url
    parts, before = urlsplit(url), urlsplit(base)
    if "@" in before.netloc and "@" not in parts.netloc and origin_of(url) == origin_of(base):
        userinfo = before.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))
    return url


def _changes(request: Request, response: Response, url: str) -> dict[str, object]:
    """The fields in which the next request differs, besides its URL."""
    changes: dict[str, object] = {}
    dropped: set[str] = set()
    if _becomes_get(request.method, response.status):
        changes |= {"method": "GET", "body": None, "body_size": None}
        dropped |= _OF_THE_BODY
    if origin_of(url) != origin_of(response.url):
        changes |= {"auth_username": None, "auth_password": None, "aws_sigv4": None}
        dropped |= _OF_THE_ORIGIN
        # Keys and tokens as well, which browsers do not know, such as X-Api-Key.
        dropped |= {n.lower() for n, _ in request.header_pairs if is_secret_name(n)}
    if dropped:
        drops_body = "body" in changes
        changes["headers"] = [
            (name, value)
            for name, value in request.header_pairs
            if name.lower() not in dropped
            and not (drops_body and name.lower().startswith(_OF_THE_BODY_PREFIX))
        ]
    return changes


def _without_renewed(pairs: Sequence[tuple[str, str]], response: Response) -> list[tuple[str, str]]:
    """Headers of the caller's, without the cookies that the session has newer ones of."""
    renewed = {_cookie_name(one) for one in response.headers.get_all("Set-Cookie", [])}
    kept = [(name, value) for name, value in pairs if name.lower() != "cookie"]
    for name, value in pairs:
        if name.lower() == "cookie":
            cookies = [one for one in value.split(";") if _cookie_name(one) not in renewed]
            kept += [(name, ";".join(cookies).strip())] if cookies else []
    return kept


def _cookie_name(cookie: str) -> str:
    return cookie.partition(";")[0].partition("=")[0].strip()


def _becomes_get(method: str, status: int) -> bool:
    # HEAD stays (RFC 9110, 15.4.4): nobody wants the body of a GET.
    if status == 303:
        return method not in ("GET", "HEAD")
    # What browsers made of POST before there was 307 (RFC 9110, 15.4.2 and 15.4.3).
    return status in (301, 302) and method == "POST"


def _shown(request: Request, response: Response) -> str:
    return f"{request.method} {safe_url(response.url)}"


def _redirect_error(request: Request, response: Response, why: str, code: int) -> RedirectError:
    message = f"{_shown(request, response)}: following the redirect failed: {why}"
    error = RedirectError(message, request=request, code=code)
    error.response = response
    return error
