"""A session: one identity on the web, with its own cookies and TLS tickets.

Flows share a loop's transport and its connections; they share cookies only by sharing a
session. The cookies live in libcurl, which knows the rules (domains, public suffixes, secure,
expiry); `CookieJar` is the window on them.
"""

from __future__ import annotations

import http.cookiejar
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pycurl

__all__ = ["CookieJar", "Session"]

_HEADER = "# Netscape HTTP Cookie File\n# Kept by webqq_tornado; one cookie a line.\n"
_HTTP_ONLY = "#HttpOnly_"
_FIELDS = 7


class Session:
    """One identity: what requests made in its name have in common.

    Made by `HTTPStream.session`.

    Args:
        name: for logs; "" is the stream's own session.
        keeps_cookies: False: what servers set is forgotten at once.

    Attributes:
        name, keeps_cookies: as given.
        cookiejar: its `CookieJar`.
        is_closed: its stream was closed.
        share: libcurl's shared store, for the transport.
        auth: its credentials: `HTTPStream.session(name, auth=...)` gives it some.

    Example:
        >>> ann, bob = stream.session("ann"), stream.session("bob")
        >>> stream.add_request(url, read, session=ann)
    """

    def __init__(self, name: str = "", *, keeps_cookies: bool = True) -> None:
        self.name = name
        self.keeps_cookies = keeps_cookies
        self.is_closed = False
        self.auth: Any = None
        self.share = pycurl.CurlShare()
        for data in (pycurl.LOCK_DATA_COOKIE, pycurl.LOCK_DATA_SSL_SESSION, pycurl.LOCK_DATA_PSL):
            self.share.setopt(pycurl.SH_SHARE, data)
        self.cookiejar = CookieJar(self.share)

    def __repr__(self) -> str:
        return f"<Session {self.name or 'default'!r} {self.cookiejar.summary}>"

    def close(self) -> None:
        """Forget it all. Only after every handle that used it is closed or has let it go."""
        self.is_closed = True
        self.cookiejar.close()
        self.share.close()


class CookieJar:
    """The cookies of a session: iterate, get, set, save and load.

    Iteration gives `http.cookiejar.Cookie` objects. Files are in the Mozilla (Netscape) format
    that curl, wget and `http.cookiejar.MozillaCookieJar` read too.

    Example:
        >>> jar = CookieJar()
        >>> jar.set("skey", "@abc", domain="qq.com")
        >>> jar.get("skey")
        '@abc'
    """

    def __init__(self, share: pycurl.CurlShare | None = None) -> None:
        self._is_closed = False
        self._easy = pycurl.Curl()
        if share is not None:
            self._easy.setopt(pycurl.SHARE, share)
        self._easy.setopt(pycurl.COOKIEFILE, "")  # switches the cookie engine on

    def __iter__(self) -> Iterator[http.cookiejar.Cookie]:
        return map(_cookie_of_line, self._lines())

    def __len__(self) -> int:
        return len(self._lines())

    def __repr__(self) -> str:
        return f"<CookieJar {self.summary}>"

    @property
    def summary(self) -> str:
        """How many cookies there are, for a repr: never which."""
        return "closed" if self._is_closed else f"{len(self)} cookies"

    def get(
        self, name: str, default: str | None = None, *, domain: str | None = None
    ) -> str | None:
        """The value of a cookie.

        Args:
            name: of the cookie.
            default: what to return if there is none.
            domain: that it is of; by default any.
        """
        for cookie in self:
            if cookie.name == name and domain in (None, cookie.domain.lstrip(".")):
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
            ValueError: a part has a tab or a line break.
        """
        parts = (name, value, domain, path)
        if any(mark in part for part in parts for mark in "\t\r\n\0"):
            raise ValueError(f"cookie {name!r} has a tab or line break in it")
        host = ("." if subdomains and not domain.startswith(".") else "") + domain
        fields = (
            (_HTTP_ONLY if http_only else "") + host,
            _flag(subdomains),
            path,
            _flag(secure),
            str(expires),
            name,
            value,
        )
        self._put("\t".join(fields))

    def take(self, header: str, url: str) -> None:
        """Set what a response says, if it is for that host (RFC 6265, 5.3).

        Args:
            header: the value of its `Set-Cookie`.
            url: where it came from.
        """
        parts = urlsplit(url)
        pairs = (part.partition("=") for part in header.split(";")[1:])
        attributes = {name.strip().lower(): value.strip() for name, _, value in pairs}
        domain = attributes.get("domain", "").lstrip(".").lower()
        if domain and not f".{parts.hostname}".endswith(f".{domain}"):
            return
        host = "" if domain else f"; domain={parts.hostname}"
        path = "" if "path" in attributes else f"; path={parts.path.rpartition('/')[0] or '/'}"
        self._put(f"Set-Cookie: {header}{host}{path}")

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
        """What the `Cookie` header of a request to a URL says (RFC 6265, 5.4); "" without any.

        For requests that libcurl does not make; those that it makes have theirs already.

        Args:
            url: absolute.
        """
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path or "/"
        is_secure = parts.scheme in {"https", "wss"}
        fitting = [
            cookie
            for cookie in self
            if _domain_fits(cookie, host)
            and _path_fits(cookie.path, path)
            and (is_secure or not cookie.secure)
            and not cookie.is_expired()
        ]
        fitting.sort(key=lambda cookie: -len(cookie.path))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)

    def clear(self) -> None:
        """Forget all cookies."""
        self._put("ALL")

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write all cookies, session cookies too, to a file that only its owner may read.

        The file is replaced in one step: a crash leaves the old one or the new one.

        Args:
            filename: of the file.

        Raises:
            OSError: it can not be written.
        """
        path = Path(filename)
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)  # one that a crash left may have another mode
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(_HEADER + "".join(_file_line(line) + "\n" for line in self._lines()))
        draft.replace(path)

    def load(self, filename: str | os.PathLike[str]) -> None:
        """Add the cookies of a file in the Mozilla format; expired ones are left out.

        Args:
            filename: of the file.

        Raises:
            OSError: it can not be read.
            ValueError: a line is not a cookie; names the file and the line. Nothing is added then.
        """
        text = Path(filename).read_text(encoding="utf-8", errors="surrogateescape")
        lines = [
            _checked_line(line, f"{filename}, line {number}")
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and (not line.startswith("#") or line.startswith(_HTTP_ONLY))
        ]
        now = time.time()
        for line in lines:
            expires = int(line.split("\t")[4])
            if not 0 < expires < now:
                self._put(line)

    def close(self) -> None:
        """Let go of the shared store."""
        self._is_closed = True
        self._easy.close()

    def _lines(self) -> list[str]:
        # A server may have sent any bytes.
        lines: list[bytes] = self._easy.getinfo_raw(pycurl.INFO_COOKIELIST)
        return [line.decode("utf-8", "surrogateescape") for line in lines]

    def _put(self, line: str) -> None:
        self._easy.setopt(pycurl.COOKIELIST, line.encode("utf-8", "surrogateescape"))


def _domain_fits(cookie: http.cookiejar.Cookie, host: str) -> bool:
    domain = cookie.domain.lower().lstrip(".")
    return host == domain or (cookie.domain_specified and host.endswith("." + domain))


def _path_fits(prefix: str, path: str) -> bool:
    return path == prefix or path.startswith(prefix.rstrip("/") + "/")


def _flag(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _checked_line(line: str, where: str) -> str:
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) == _FIELDS and not fields[4]:
        fields[4] = "0"  # how Python's MozillaCookieJar writes "with the session"
    if len(fields) != _FIELDS or not fields[4].lstrip("-").isdigit():
        raise ValueError(f"{where}: not a cookie in the Mozilla format (7 fields, tab separated)")
    return "\t".join(fields)


def _file_line(line: str) -> str:
    """A cookie for a file: libcurl's 0 for "with the session" would be 1970 to Python's jar."""
    fields = line.split("\t")
    fields[4] = "" if fields[4] == "0" else fields[4]
    return "\t".join(fields)


def _cookie_of_line(line: str) -> http.cookiejar.Cookie:
    domain, subdomains, path, secure, expires, name, value = line.split("\t")
    http_only = domain.startswith(_HTTP_ONLY)
    domain = domain.removeprefix(_HTTP_ONLY)
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
        expires=int(expires) or None,
        discard=expires == "0",
        comment=None,
        comment_url=None,
        rest={"HttpOnly": ""} if http_only else {},
    )
