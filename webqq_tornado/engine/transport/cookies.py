"""libcurl's rules of cookies, for requests that libcurl does not make.

Which cookies a response sets, and which ones a request has, is much to get right: RFC 6265bis
with its prefixes, the list of public suffixes, dates in all forms, limits. libcurl does it in each
transfer, and has no function for it. So it is given a transfer: one of HTTP on a pair of sockets,
whose other end has the answer in it before it begins. Nothing leaves this process, no name is
looked up, and it takes 0.1 ms.

There is no TLS in a pair of sockets. What is different over TLS is the attribute Secure alone: it
is taken off before, where it would stop a cookie, and put back after. So are the prefixes that
ask for it: a name such as `__Host-a` goes in under another, as long as itself.

Cookies are lines of the Mozilla format here, as bytes (`INFO_COOKIELIST`).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit

import pycurl

from ..urls import normal_url

__all__ = ["accepted", "cookie_header", "lines_of", "new_share", "put_lines", "receive"]

#: Fields of a line.
SECURE, EXPIRES = 3, 4
_PAST = b"1"  # a second after 1970 began: deletes the cookie
_LASTING = b"; max-age=9"  # the last word on its life
_PREFIXES = (b"__Secure-", b"__Host-")
_SECURE = re.compile(rb"(;[ \t]*)secure(?=[ \t]*(?:[;=\t]|$))", re.IGNORECASE)
#: Prefixes of names that ask for Secure, and what nobody else's name begins with: as long.
_MASKS = {prefix: bytes(128 | byte for byte in os.urandom(len(prefix))) for prefix in _PREFIXES}
#: In no header, which would end there.
_IMPOSSIBLE = re.compile(rb"[\r\n\0]")
#: Cookies in header form that a handle takes between two transfers, and then none any more.
_HEADERS_OF_A_HANDLE = 50
_MAX_HEADER = 2**14  # bytes: it is to fit into a socket; libcurl takes up to 5,000


def new_share(*data: int) -> pycurl.CurlShare:
    """A store of cookies, and of what else is named, that easy handles may have in common."""
    share = pycurl.CurlShare()
    for each in (pycurl.LOCK_DATA_COOKIE, *data):
        share.setopt(pycurl.SH_SHARE, each)
    return share


@contextlib.contextmanager
def _scratch() -> Iterator[pycurl.CurlShare]:
    """A store of cookies for the moment."""
    share = new_share()
    try:
        yield share
    finally:
        share.close()


@contextlib.contextmanager
def _handle(share: pycurl.CurlShare) -> Iterator[pycurl.Curl]:
    """A handle on a store, for the moment: to keep one would be 4 KiB for each session."""
    easy = pycurl.Curl()
    try:
        easy.setopt(pycurl.SHARE, share)
        easy.setopt(pycurl.COOKIEFILE, "")  # switches the cookie engine on
        yield easy
    finally:
        easy.close()


def cookie_header(share: pycurl.CurlShare, url: str) -> bytes:
    """The value of the `Cookie` header of a request; empty without any.

    Raises:
        ValueError: the URL is none.
    """
    url = normal_url(url)
    lines = lines_of(share) if _is_secure(url) else []
    if not any(line.split(b"\t")[SECURE] == b"TRUE" for line in lines):
        return _cookies_in(_exchange(share, url))
    # In a copy: the session's own cookies must keep their Secure.
    with _scratch() as copy:
        put_lines(copy, map(_unlocked, lines))
        return _unmasked(_cookies_in(_exchange(copy, url)))


def receive(share: pycurl.CurlShare, header: bytes, url: str) -> None:
    """Do what a `Set-Cookie` header says, if it may.

    Raises:
        ValueError: the URL is none.
    """
    url = normal_url(url)
    if len(header) > _MAX_HEADER or _IMPOSSIBLE.search(header):
        return
    if not _is_secure(url):
        # In the store itself: whether it may replace a cookie depends on the Secure ones there.
        _exchange(share, url, header)
        return
    header = _masked(header)
    # "xecure" is no attribute, and ignored (RFC 6265, 5.2); the header stays as long as it was.
    line = _cookie_of(header, url) or _cookie_of(_SECURE.sub(rb"\1xecure", header), url, b"TRUE")
    if line:
        put_lines(share, [line])


def _cookie_of(header: bytes, url: str, secure: bytes = b"") -> bytes | None:
    """The line of the cookie that a header sets or deletes, in an empty store."""
    line = _heard(header, url)
    expires = b""
    if line is None:  # refused, or it is to be deleted
        # In an empty store a deletion leaves nothing to see: given a life, the same header shows
        # which cookie it is of.
        line, expires = _heard(header + _LASTING, url), _PAST
    if line is None:
        return None
    fields = line.split(b"\t")
    fields[SECURE] = secure or fields[SECURE]
    fields[EXPIRES] = expires or fields[EXPIRES]
    return _unmasked(b"\t".join(fields))


def _heard(header: bytes, url: str) -> bytes | None:
    with _scratch() as share:
        _exchange(share, url, header)
        return next(iter(lines_of(share)), None)


def _unlocked(line: bytes) -> bytes:
    fields = line.split(b"\t")
    fields[SECURE] = b"FALSE"
    return _masked(b"\t".join(fields))


def _masked(text: bytes) -> bytes:
    for prefix, mask in _MASKS.items():
        text = text.replace(prefix, mask)
    return text


def _unmasked(text: bytes) -> bytes:
    for prefix, mask in _MASKS.items():
        text = text.replace(mask, prefix)
    return text


def _is_secure(url: str) -> bool:
    return url.startswith(("https:", "wss:"))


def lines_of(share: pycurl.CurlShare) -> list[bytes]:
    """The cookies that have not expired."""
    with _handle(share) as easy:
        lines: list[bytes] = easy.getinfo_raw(pycurl.INFO_COOKIELIST)
    return lines


def put_lines(share: pycurl.CurlShare, lines: Iterable[bytes]) -> None:
    """Add cookies; what libcurl refuses is left out. "ALL" removes them."""
    with _handle(share) as easy:
        for line in lines:
            easy.setopt(pycurl.COOKIELIST, line)


def accepted(lines: Sequence[bytes]) -> list[bytes | None]:
    """Each line as libcurl returns it when it has taken it; None where it is refused."""
    kept: list[bytes | None] = []
    with _scratch() as share:
        for start in range(0, len(lines), _HEADERS_OF_A_HANDLE):
            with _handle(share) as easy:
                for line in lines[start : start + _HEADERS_OF_A_HANDLE]:
                    # Each in an empty store, where the list has it alone, or nothing.
                    easy.setopt(pycurl.COOKIELIST, b"ALL")
                    easy.setopt(pycurl.COOKIELIST, line)
                    kept.append(next(iter(easy.getinfo_raw(pycurl.INFO_COOKIELIST)), None))
    return kept


def _cookies_in(request: bytes) -> bytes:
    lines = request.split(b"\r\n")
    return next((line[8:] for line in lines if line.startswith(b"Cookie: ")), b"")


def _exchange(share: pycurl.CurlShare, url: str, set_cookie: bytes = b"") -> bytes:
    """Have libcurl send a request for a URL, over http, and read an answer; return the request."""
    ours, theirs = socket.socketpair()
    with ours, theirs, _handle(share) as easy:
        line = b"Set-Cookie: " + set_cookie + b"\r\n" if set_cookie else b""
        # Before the request: one thread is both ends, so that neither may wait for the other.
        ours.sendall(b"HTTP/1.0 200 OK\r\n" + line + b"\r\n")
        ours.shutdown(socket.SHUT_WR)
        for option, value in _EXCHANGE:
            easy.setopt(option, value)
        parts = urlsplit(url)
        easy.setopt(pycurl.URL, f"http://{parts.netloc.rpartition('@')[2]}{parts.path}")
        easy.setopt(pycurl.OPENSOCKETFUNCTION, lambda _purpose, _address: theirs.detach())
        # Where libcurl can make nothing of it, there are no cookies.
        with contextlib.suppress(pycurl.error):
            easy.perform()
        # Their end is closed, be it libcurl's by now or still ours: else `recv` waits for ever.
        easy.close()
        theirs.close()
        return b"".join(iter(lambda: ours.recv(65536), b""))


_EXCHANGE = (
    (pycurl.SOCKOPTFUNCTION, lambda _fd, _purpose: pycurl.SOCKOPT_ALREADY_CONNECTED),
    (pycurl.CONNECT_TO, ["::127.0.0.1:"]),  # no name is looked up
    (pycurl.NOPROXY, "*"),
    (pycurl.NOBODY, 1),
    (pycurl.REQUEST_TARGET, "/"),  # a long path might not fit into the socket
    (pycurl.NOSIGNAL, 1),
    # All is there before it begins: this is for a machine that stands still for a while, on which
    # the cookies must not be lost silently.
    (pycurl.TIMEOUT_MS, 60_000),
)
