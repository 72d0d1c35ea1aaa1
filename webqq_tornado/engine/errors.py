"""Errors of requests and chains.

::

    StreamError                 everything the engine raises about a request or a chain
    |-- ConnectError            no connection: refused, unreachable, reset before a byte was sent
    |   |-- CircuitOpenError    not even tried: the host has failed too often
    |   |-- ResolveError        the host's name has no address
    |   `-- ProxyError          the proxy is unreachable, or refused
    |-- AddressError            the host has no address that the request may go to (public_only)
    |-- TLSError                no trust: certificate, host name, version, or a file of ours
    |-- TimeoutError            a limit in seconds ran out (also a builtin TimeoutError)
    |   `-- DeadlineError       ... that of the whole chain
    |-- ProtocolError           the peer broke off, or what it sent is not HTTP
    |-- TooLargeError           the body or the headers are over a limit
    |-- RedirectError           too many redirects, or one to a scheme that is not taken
    |-- AuthError               no credentials, or none that are good enough
    |   `-- LoggedOut           raised by readers: log in again, then send the link again
    |-- LinkError               a reader returned what is no link (also TypeError, ValueError)
    |-- StatusError             raised by `Response.raise_for_status`: 400 or more
    |-- ReplayError             a replay has no answer to this request
    `-- ClosedError             the stream was closed before the chain had ended

What a peer does wrong is a `ProtocolError`: it resets or closes before the end of headers, body or
chunks, sends no HTTP, HTTP/0.9, a status that is no number, lengths that conflict, chunks without a
size, an encoding that is corrupt. What it does not do in time is a `TimeoutError`: `idle_timeout`
for silence, `request_timeout` for a trickle. Too much of it is a `TooLargeError`. Recovered
silently: a kept connection that turns out to be closed (the request goes out on a new one, if
nothing was sent yet or it is idempotent), interim answers, an answer that comes before the upload
has ended, bytes after the body's end or behind its gzip. libcurl does not tell when a compressed
body of full length ends in the middle of its encoding: then the response has what could be decoded;
nor when an HTTP/2 server resets a stream with NO_ERROR in the middle of a body without
Content-Length, which then passes for its end. `tests/engine/test_faults.py` has all.

A child exists where a caller can do something else about it. A response with a status of 400 or
more is a response and none of these, unless its reader calls `raise_for_status`.
"""

from __future__ import annotations

import builtins
import inspect
import re
from typing import Any, NamedTuple

from .secrets import safe_text, safe_url

__all__ = [
    "AddressError",
    "AuthError",
    "CircuitOpenError",
    "ClosedError",
    "ConnectError",
    "DeadlineError",
    "LinkError",
    "LoggedOut",
    "ProtocolError",
    "ProxyError",
    "RedirectError",
    "ReplayError",
    "ResolveError",
    "StatusError",
    "StreamError",
    "TLSError",
    "TimeoutError",
    "TooLargeError",
    "from_curl",
    "safe_url",
]


class StreamError(Exception):
    """A request or its chain failed.

    Args:
        message: what happened, in which phase, and what to do about it; by default the first line
            of the class's own description.
        request: the `Request` it happened to, or None.
        chain: the chain's name, or None outside a chain.
        step: which link of the chain, counted from 1; 0 outside a chain.
        code: libcurl's error number, 0 when libcurl had no part in it.

    All are attributes too; `retried` is the tuple of `Attempt`s before this one. `str()` names
    the URL without credentials. Errors can be pickled.

    Where a WebSocket has ended with it, `close_code` and `close_reason` (RFC 6455, 7.1.5) are the
    server's, or those that it was told for what it did wrong, or 1006: it broke off. Else None.

    Example:
        >>> print(StreamError("no answer", chain="watch", step=3))
        no answer [chain watch, step 3]
    """

    #: As of a `Response`, where the two are told apart (`HTTPStream.map`).
    ok = False
    retried: tuple[Any, ...] = ()
    close_code: int | None = None
    close_reason: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        request: object = None,
        chain: str | None = None,
        step: int = 0,
        code: int = 0,
    ) -> None:
        message = message or _first_line(type(self))
        super().__init__(message)
        self.message = message
        self.request = request
        self.chain = chain
        self.step = step
        self.code = code

    def __str__(self) -> str:
        where = f" [chain {self.chain}, step {self.step}]" if self.chain else ""
        return self.message + where

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message,), dict(self.__dict__)


def _first_line(error: type[StreamError]) -> str:
    # Python has none with -OO.
    return (inspect.getdoc(error) or error.__name__).partition("\n")[0].rstrip(".")


class ConnectError(StreamError):
    """No connection to the server; nothing of the request was handled by it."""


class CircuitOpenError(ConnectError):
    """The request was not sent: its host has failed too often, see `CircuitBreaker`."""


class ResolveError(ConnectError):
    """The host's name has no address."""


class ProxyError(ConnectError):
    """The proxy could not be reached, or would not connect us."""


class AddressError(StreamError):
    """The host's addresses are none that the request may go to, see `Request(public_only=True)`.

    It is no `ConnectError`: there is nothing to be tried again, and the host may be well.
    """


class TLSError(StreamError):
    """The TLS handshake failed, or the peer is not who it should be."""


class TimeoutError(StreamError, builtins.TimeoutError):
    """A limit in seconds ran out: connecting, in total, or between two bytes."""


class DeadlineError(TimeoutError):
    """The chain's own deadline passed."""


class ProtocolError(StreamError):
    """The connection broke in mid-exchange, or what came is not HTTP.

    Attributes:
        response: the answer to a WebSocket's handshake that let nobody in; else None. It has no
            body.
    """

    response: object = None


class TooLargeError(StreamError):
    """The body is over the request's `max_body_size`, or the headers are over a limit.

    That is the request's own, or libcurl's: 100 KiB for a line, 300 KiB and 5,000 lines for all.
    """


class RedirectError(StreamError):
    """More redirects than `max_redirects`, or one that leads nowhere: to another scheme, say.

    Attributes:
        response: the redirect at which it stopped.
    """

    response: Any = None

    @property
    def is_one_too_many(self) -> bool:
        """There were more than `max_redirects`."""
        return self.code == _TOO_MANY_REDIRECTS


class AuthError(StreamError):
    """There are no credentials to send a request with: their renewal failed."""


class LoggedOut(AuthError):
    """The session is not logged in (any more); raised by readers.

    The session's `auth` is renewed, once for all who ask for it, and the link sent again. It is
    an error like any other where the session has no `auth`, or when the reader says so again.

    Example:
        >>> def read(response):
        ...     if response.url.endswith("/login"):
        ...         raise LoggedOut
    """


def as_failure(error: BaseException) -> Exception:
    """Convert what a body, sink or callback of a request has raised to the error of its link.

    Args:
        error: an error, or `asyncio.CancelledError`: it would cancel whoever calls, and is raised
            by whatever looks at a future that was cancelled.
    """
    if isinstance(error, Exception):
        return error
    failure = RuntimeError(f"a body, sink or callback of the request was cancelled: {error}")
    failure.__cause__ = error
    return failure


class LinkError(StreamError, TypeError, ValueError):
    """A reader returned something that is neither None nor a link."""


class StatusError(StreamError):
    """The response has a status of 400 or more.

    Args:
        message: as of `StreamError`.
        response: the `Response`.
        arguments: of `StreamError`.

    Example:
        >>> try:
        ...     response.raise_for_status()
        ... except StatusError as error:
        ...     print(error.response.status)
    """

    def __init__(self, message: str = "", *, response: Any = None, **arguments: Any) -> None:
        arguments.setdefault("request", getattr(response, "request", None))
        super().__init__(message, **arguments)
        self.response = response


class ReplayError(StreamError):
    """The replay has no response for this request, see `HARReplay`."""


class ClosedError(StreamError):
    """The stream was closed while the chain was under way, or before it began."""


class _Cause(NamedTuple):
    """How libcurl's error number reads to a user."""

    error: type[StreamError]
    phase: str
    remedy: str


_CHECK_TLS = "check the server's certificate, or give ca_certs= a file with its CA"
_CHECK_FILES = "check the files in ca_certs=, client_cert= and client_key=, or SSL_CERT_FILE"
_CHECK_PROXY = "check proxy= and the proxy's log"
_BROKE_OFF = "the server or something between broke off; send again if that is safe"
_SEND_AGAIN = "give body= a function that returns a new iterator each time, or a path"
_RAW = "send decompress_response=False to see it raw"
_LOOK = "send follow_redirects=False to look at where it leads"
_NOT_HTTP = "check that this port speaks HTTP in the version asked for"

#: curl_easy_perform's CURLcode (libcurl-errors(3)) to class, phase, remedy.
_CAUSES = {
    1: _Cause(RedirectError, "choosing the scheme", _LOOK),
    3: _Cause(StreamError, "reading the URL", "correct the URL"),
    5: _Cause(ProxyError, "resolving the proxy", _CHECK_PROXY),
    6: _Cause(ResolveError, "resolving the host", "check the host's name and the DNS"),
    7: _Cause(ConnectError, "connecting", "check that the server runs and that the port is right"),
    8: _Cause(ProtocolError, "reading the headers", _NOT_HTTP),
    16: _Cause(ProtocolError, "framing HTTP/2", _NOT_HTTP),
    18: _Cause(ProtocolError, "reading the body", _BROKE_OFF),
    22: _Cause(ProtocolError, "opening the WebSocket", _NOT_HTTP),
    23: _Cause(ProtocolError, "decoding the body", _RAW),
    26: _Cause(StreamError, "reading the body to send", "check the file to upload"),
    27: _Cause(StreamError, "allocating memory", "hold fewer transfers at once"),
    28: _Cause(TimeoutError, "waiting", "raise request_timeout= or connect_timeout=, or try later"),
    35: _Cause(TLSError, "the TLS handshake", "check that this port speaks TLS, and its versions"),
    43: _Cause(StreamError, "setting options", "check the request's options"),
    45: _Cause(ConnectError, "binding the interface", "check network_interface="),
    47: _Cause(RedirectError, "following redirects", "raise max_redirects=, or mend the loop"),
    52: _Cause(ProtocolError, "waiting for the headers", _BROKE_OFF),
    55: _Cause(ProtocolError, "sending", _BROKE_OFF),
    56: _Cause(ProtocolError, "receiving", _BROKE_OFF),
    58: _Cause(TLSError, "loading the client certificate", _CHECK_FILES),
    59: _Cause(TLSError, "choosing the ciphers", "check tls_ciphers= and tls13_ciphers="),
    60: _Cause(TLSError, "verifying the server", _CHECK_TLS),
    61: _Cause(ProtocolError, "decoding the body", _RAW),
    63: _Cause(TooLargeError, "reading the body", "raise max_body_size=, or ask for less"),
    65: _Cause(StreamError, "sending the body again", _SEND_AGAIN),
    77: _Cause(TLSError, "loading the CA certificates", _CHECK_FILES),
    82: _Cause(TLSError, "loading the list of revoked certificates", _CHECK_FILES),
    83: _Cause(TLSError, "verifying the server's issuer", _CHECK_TLS),
    90: _Cause(TLSError, "verifying the server's pinned key", _CHECK_TLS),
    91: _Cause(TLSError, "verifying the state of the server's certificate", _CHECK_TLS),
    92: _Cause(ProtocolError, "an HTTP/2 stream", _BROKE_OFF),
    95: _Cause(ProtocolError, "framing HTTP/3", _NOT_HTTP),
    96: _Cause(ConnectError, "connecting by QUIC", _NOT_HTTP),
    100: _Cause(TooLargeError, "reading the headers", "see to it that the server sends fewer"),
    97: _Cause(ProxyError, "the handshake with the proxy", _CHECK_PROXY),
}
_BAD_REDIRECT = _Cause(RedirectError, "following the redirect", _LOOK)
_NO_DESCRIPTOR = _Cause(
    ConnectError,
    "opening a socket",
    "this process has as many files open as it may: lower max_clients=, or raise ulimit -n",
)
_UNKNOWN = _Cause(StreamError, "the transfer", "see libcurl-errors(3) for this code")


def from_curl(
    code: int,
    text: str,
    *,
    method: str,
    url: str,
    request: object,
    is_proxied: bool = False,
    is_tunnelling: bool = False,
    lacks_descriptors: bool = False,
) -> StreamError:
    """The error that libcurl's number stands for.

    Args:
        code: a CURLcode other than 0.
        text: libcurl's own words for this transfer, may be empty.
        method: of the request, for the message.
        url: of the request; shown without credentials.
        request: kept on the error.
        is_proxied: it went by a proxy: then that is what could not be reached.
        is_tunnelling: the proxy had not made the connection yet: what came is its own.
        lacks_descriptors: this process can open no socket.
    """
    cause = _CAUSES.get(code, _UNKNOWN)
    is_proxys = is_tunnelling or (is_proxied and code == _CONNECTING)
    if lacks_descriptors:
        cause = _NO_DESCRIPTOR
    elif is_proxys or (code == _RECEIVING and "CONNECT" in text):
        cause = _CAUSES[97]
    elif code in (_SENDING, _RECEIVING) and "alert" in text:  # TLS 1.3: after our handshake
        cause = _CAUSES[35]
    elif code in (1, 3) and "redirect" in text:  # what is wrong is not the URL we were given
        cause = _BAD_REDIRECT
    elif (code == 1 and "HTTP" in text) or (code == 61 and "Transfer-Encoding" in text):
        cause = _CAUSES[8]  # the answer's version, and the way that its body is framed
    why = f": {safe_text(_PROXY_URL.sub('', text).rstrip('. '))}" if text else ""
    message = f"{method} {safe_url(url)}: {cause.phase} failed{why}; {cause.remedy}"
    return cause.error(message, request=request, code=code)


#: libcurl shows the whole of a proxy's URL that it cannot read, which is why it has no parts.
_PROXY_URL = re.compile(r"(?<=proxy syntax) in '.*'", re.DOTALL)
_CONNECTING, _TOO_MANY_REDIRECTS, _SENDING, _RECEIVING = 7, 47, 55, 56
