"""A session: one identity on the web, with its own cookies and TLS tickets.

Flows share a loop's transport and its connections; they share cookies only by sharing a
session. The cookies live in libcurl, which knows the rules (domains, public suffixes, secure,
expiry); `CookieJar` is the window on them.
"""

from __future__ import annotations

import http.cookiejar
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pycurl

from ..files import replace_bytes, unmarked
from .errors import ClosedError
from .hints import SESSION, answer_attributes
from .transport import cookies
from .urls import normal_url

if TYPE_CHECKING:
    from .defaults import RequestDefaults

__all__ = ["CookieJar", "Session"]

_HEADER = "# Netscape HTTP Cookie File\n# Kept by webqq_tornado; one cookie a line.\n"
_HTTP_ONLY = b"#HttpOnly_"
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class Session:
    """One identity: what requests made in its name have in common.

    Made by `HTTPStream.session`; costs 10 KiB from its first request on, until it is closed.

    Args:
        name: for logs; "" is the stream's own session.
        keeps_cookies: False: what servers set is forgotten at once.
        on_close: called when it is to be closed: ends its use; returns False if its store is not
            to be freed.

    Attributes:
        name: as given.
        keeps_cookies: as given.
        cookiejar: its `CookieJar`.
        is_closed: it was closed, or its stream was.
        auth: its credentials: `HTTPStream.session(name, auth=...)` sets them.
        defaults: headers, params and the like of its requests; None: there are none.

    Example:
        >>> ann, bob = stream.session("ann"), stream.session("bob")
        >>> stream.add_request(url, read, session=ann)
    """

    __slots__ = (
        *("__weakref__", "_on_close", "auth", "cookiejar", "defaults", "is_closed"),
        *("keeps_cookies", "name"),
    )  # fmt: skip

    def __init__(
        self,
        name: str = "",
        *,
        keeps_cookies: bool = True,
        on_close: Callable[[Session], bool] | None = None,
    ) -> None:
        self.name = name
        self.keeps_cookies = keeps_cookies
        self.is_closed = False
        self.auth: Any = None
        self.defaults: RequestDefaults | None = None
        self.cookiejar = CookieJar()
        self._on_close = on_close

    def __repr__(self) -> str:
        return f"<Session {self.name or 'default'!r} {self.cookiejar.summary}>"

    @property
    def base_url(self) -> str | None:
        """URL that the links of `begin` and of `add_request` may be relative to."""
        return self.defaults.base_url or None if self.defaults is not None else None

    @property
    def share(self) -> pycurl.CurlShare:
        """The store in libcurl, for the transport."""
        return self.cookiejar.share

    def close(self) -> None:
        """End it: log out, so to speak. Cookies, TLS tickets and credentials are forgotten.

        Its chains end with `ClosedError`, and new ones are refused; the name may be used anew, for
        another session. May be called twice, and in a reader.

        Raises:
            ValueError: it is the stream's own session, which ends with the stream.

        Example:
            >>> stream.session("ann").close()
        """
        if self.is_closed:
            return
        # First: libcurl frees no store that a transfer still uses. After a fork it is the parent's.
        is_free = self._on_close is None or self._on_close(self)
        self.is_closed = True
        self.auth = self._on_close = None
        if is_free:
            self.cookiejar.close()


answer_attributes(Session, SESSION)


class CookieJar:
    """The cookies of a session: iterate, get, set, save and load.

    Iteration yields `http.cookiejar.Cookie` objects. Files are in the Mozilla (Netscape) format
    that curl, wget and `http.cookiejar.MozillaCookieJar` read too.

    libcurl takes 50 cookies of one answer, each of 4,096 bytes at most, and puts 150 cookies and
    8,190 bytes of them into a request at most: it silently omits the rest.

    Example:
        >>> jar = CookieJar()
        >>> jar.set("skey", "@abc", domain="qq.com")
        >>> jar.get("skey")
        '@abc'
    """

    __slots__ = ("_is_closed", "_share", "is_changed")

    def __init__(self) -> None:
        self._is_closed = False
        #: Something was put into it, and not by an answer of the transport's.
        self.is_changed = False
        self._share: pycurl.CurlShare | None = None  # 10 KiB, from the first use on

    @property
    def share(self) -> pycurl.CurlShare:
        """The store of them in libcurl, and of the TLS sessions of the same identity.

        Raises:
            ClosedError: the jar is closed.
        """
        if self._is_closed:
            raise ClosedError("the session of these cookies is closed: save them before")
        if self._share is None:
            # By a TLS ticket, too, a server would know one session for another.
            self._share = cookies.new_share(pycurl.LOCK_DATA_SSL_SESSION)
        return self._share

    def __iter__(self) -> Iterator[http.cookiejar.Cookie]:
        return map(_cookie_of_line, self._lines())

    def __len__(self) -> int:
        return len(self._lines())

    def __repr__(self) -> str:
        return f"<CookieJar {self.summary}>"

    @property
    def summary(self) -> str:
        """Number of cookies, for a repr: never their values."""
        return "closed" if self._is_closed else f"{len(self)} cookies"

    def get(
        self, name: str, default: str | None = None, *, domain: str | None = None
    ) -> str | None:
        """The value of a cookie.

        Args:
            name: of the cookie.
            default: what to return if there is none.
            domain: that it is of, with or without a leading dot; by default any.
        """
        host = None if domain is None else _ascii_domain(domain).lower()
        for cookie in self:
            if cookie.name == name and host in (None, cookie.domain.lstrip(".").lower()):
                return cookie.value
        return default

    def set(
        self,
        name: str,
        value: str,
        *,
        domain: str,
        path: str = "/",
        expires: int = 0,
        secure: bool = False,
        subdomains: bool = True,
        http_only: bool = False,
    ) -> None:
        """Set a cookie; one of the same name, domain and path is replaced.

        Args:
            name: of the cookie.
            value: of the cookie.
            domain: host that it is sent to.
            path: prefix that it is sent to.
            expires: Unix time in seconds; 0: with the session.
            secure: only over TLS.
            subdomains: to hosts below the domain too.
            http_only: as the server may have said; kept in files.

        Raises:
            ValueError: no such cookie can be: it has no name or domain, a control character, or
                less than the prefix of its name (`__Secure-`, `__Host-`) demands.
        """
        # A tab ends a field of libcurl's line, a line break that line, or one of a header.
        if any(_CONTROL.search(part) for part in (name, value, domain, path)):
            raise ValueError(f"cookie {name!r} has a tab or line break in it, or the like")
        host = _ascii_domain(domain) if name else ""
        if not host:
            raise ValueError(f"cookie {name!r} for {domain!r} has no name, or no domain")
        fields = (
            ("#HttpOnly_" if http_only else "") + ("." if subdomains else "") + host,
            _flag(subdomains),
            path,
            _flag(secure),
            # 0 lasts as long as the session: a fraction of a second after 1970, or a time before
            # it, has expired.
            str(expires and max(1, int(expires))),
            name,
            value,
        )
        line = _bytes("\t".join(fields))
        # libcurl drops what breaks the rule of its prefix, and says nothing. One that has expired
        # is dropped, too, and deletes what was there.
        if name.startswith("__") and not _is_expired(line) and cookies.accepted([line]) == [None]:
            raise ValueError(
                f"cookie {name!r}: a name that begins with __Secure- or __Host- needs secure=True, "
                "the second also subdomains=False and the path /"
            )
        self._put([line])

    def take(self, header: str | bytes, url: str) -> None:
        """Set what a response says, as libcurl does for its own; what it refuses is left out.

        Args:
            header: the value of its `Set-Cookie`; as text in Latin-1, which headers are.
            url: where it came from.

        Raises:
            ValueError: the URL is none.
        """
        cookies.receive(self.share, _header_bytes(header), url)
        self.is_changed = True

    def set_cookie(self, cookie: http.cookiejar.Cookie) -> None:
        """Set one as `http.cookiejar` has it.

        Args:
            cookie: the cookie.
        """
        self.set(
            cookie.name,
            cookie.value or "",
            domain=cookie.domain,
            path=cookie.path,
            expires=cookie.expires or 0,
            secure=cookie.secure,
            subdomains=cookie.domain_initial_dot,
            http_only=cookie.has_nonstandard_attr("HttpOnly"),
        )

    def header_for(self, url: str) -> str:
        """The value of the `Cookie` header for a request to a URL; "" without cookies.

        For requests that libcurl does not make; those that it makes have theirs already.

        Args:
            url: absolute.

        Returns:
            Text in Latin-1, which headers are: to be encoded so.

        Raises:
            ValueError: the URL is none.
        """
        # Nothing was put into it yet: no store is made to say so. A jar that is closed raises,
        # below.
        if self._share is None and not self._is_closed:
            return ""
        return cookies.cookie_header(self.share, url).decode("latin-1")

    def clear(self) -> None:
        """Forget all cookies."""
        self._put([b"ALL"])

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write all cookies, session cookies too, to a file that only its owner may read.

        The file is replaced in one step: a crash leaves the old one or the new one.

        Args:
            filename: of the file.

        Raises:
            OSError: it cannot be written.
            ClosedError: the jar is closed.
        """
        # Before the file is touched: a jar that is closed raises here, and overwrites nothing.
        text = _HEADER.encode() + b"".join(map(_file_lines, self._lines()))
        replace_bytes(filename, text)

    def load(self, filename: str | os.PathLike[str]) -> None:
        """Add the cookies of a file in the Mozilla format; expired ones are left out.

        What libcurl reads is taken: lines end in LF or CR LF; they may lack value or path, or be
        `Set-Cookie:` headers with a domain. With a byte order mark, UTF-16 is read as well.

        Args:
            filename: of the file.

        Raises:
            OSError: it cannot be read.
            ValueError: a line is not a cookie; names the file and the line. Nothing is added then.
        """
        text = unmarked(Path(filename).read_bytes())
        numbered = [(n, _line_of(line)) for n, line in enumerate(text.split(b"\n"), 1)]
        # Not left to libcurl, which takes neither those that have expired nor malformed ones.
        numbered = [(n, line) for n, line in numbered if line and not _is_expired(line)]
        # libcurl's lines end at a NUL.
        kept = cookies.accepted([line if b"\0" not in line else b"" for _, line in numbered])
        for (number, _), line in zip(numbered, kept, strict=True):
            if line is None:
                raise ValueError(
                    f"{filename}, line {number}: not a cookie in the Mozilla format (7 fields, tab "
                    "separated)"
                )
        # Last: a file with one wrong line adds nothing.
        self._put([line for line in kept if line])

    def close(self) -> None:
        """Let go of the shared store."""
        self._is_closed = True
        share, self._share = self._share, None
        if share is not None:
            share.close()

    def frozen_header(self, url: str) -> Callable[[], str]:
        """Return a function that returns the `Cookie` header for a URL as it is now.

        Args:
            url: that is asked.
        """
        lines = self._lines()  # to take them apart is for who wants to know
        return lambda: _cookie_header(lines, url)

    def _lines(self) -> list[bytes]:
        if self._share is None and not self._is_closed:
            return []
        return cookies.lines_of(self.share)

    def _put(self, lines: list[bytes]) -> None:
        cookies.put_lines(self.share, lines)
        self.is_changed = True


def _cookie_header(lines: list[bytes], url: str) -> str:
    jar = http.cookiejar.CookieJar()
    for cookie in map(_cookie_of_line, lines):
        jar.set_cookie(cookie)
    asking = urllib.request.Request(url)  # noqa: S310 - nothing is opened
    jar.add_cookie_header(asking)
    return asking.get_header("Cookie", "")


def _flag(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _bytes(text: str) -> bytes:
    # A server may have sent any bytes.
    return text.encode("utf-8", "surrogateescape")


def _header_bytes(header: str | bytes) -> bytes:
    if isinstance(header, bytes):
        return header
    try:
        # One byte for each character, as headers are read.
        return header.encode("latin-1")
    except UnicodeEncodeError:
        return _bytes(header)


def _ascii_domain(domain: str) -> str:
    """Convert a domain to the form that libcurl compares: IDNA outside ASCII."""
    domain = domain.removeprefix(".")
    if domain.isascii():
        return domain
    # By the way that hosts of URLs go, so that both have the same form.
    return normal_url(f"http://{domain}/").split("/")[2]


def _is_expired(line: bytes) -> bool:
    """Return True if the line is of a cookie that has expired."""
    fields = line.split(b"\t")
    if len(fields) < 6 or not fields[cookies.EXPIRES].isdigit():
        return False
    return 0 < int(fields[cookies.EXPIRES]) < time.time()


def _line_of(line: bytes) -> bytes:
    """A line of a file as libcurl takes it; empty where it stands for nothing."""
    line = line.rstrip(b"\r")
    # `#HttpOnly_` begins a cookie; to readers that do not know it, it is a comment.
    if not line.strip() or (line.startswith(b"#") and not line.startswith(_HTTP_ONLY)):
        return b""
    fields = line.split(b"\t")
    if len(fields) in (5, 6) and fields[2] in (b"TRUE", b"FALSE"):
        fields.insert(2, b"/")  # libcurl does without a path
    if len(fields) == 7 and not fields[cookies.EXPIRES]:
        fields[cookies.EXPIRES] = b"0"  # how Python's MozillaCookieJar writes "with the session"
    return b"\t".join(fields)


def _file_lines(line: bytes) -> bytes:
    """A cookie for a file, as one line; as two if it is to go with the session.

    Python's jar takes libcurl's 0 for 1970, and libcurl passes over Python's empty field: each
    gets one that it understands, Python's last.
    """
    fields = line.split(b"\t")
    if fields[cookies.EXPIRES] != b"0":
        return line + b"\n"
    fields[cookies.EXPIRES] = b""
    return line + b"\n" + b"\t".join(fields) + b"\n"


def _cookie_of_line(line: bytes) -> http.cookiejar.Cookie:
    fields = line.removeprefix(_HTTP_ONLY).decode("utf-8", "surrogateescape").split("\t")
    domain, subdomains, path, secure, expires, name, value = fields
    http_only = line.startswith(_HTTP_ONLY)
    return http.cookiejar.Cookie(
        version=0,
        name=name,
        value=value,
        port=None,
        port_specified=False,
        domain=domain,
        domain_specified=subdomains == "TRUE",
        domain_initial_dot=domain.startswith("."),
        path=path,
        path_specified=True,
        secure=secure == "TRUE",
        # libcurl's 0, with the session, is 1970 to Python.
        expires=int(expires) or None,
        discard=expires == "0",
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""} if http_only else {},
    )
