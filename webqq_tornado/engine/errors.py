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
    |-- ProtocolError           the peer disconnected, or sent invalid HTTP
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
from typing import Any

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
    server's, or those for its own protocol error, or 1006: it disconnected. Else None.

    Example:
        >>> print(StreamError("no answer", chain="watch", step=3))
        no answer [chain watch, step 3]
    """

    #: As of a `Response`, where the two are distinguished (`HTTPStream.map`).
    ok = False
    retried: tuple[Any, ...] = ()
    close_code: int | None = None
    close_reason: str = ""

    def __init__(
        self,
        message: str = "",
        *,
        request: Any = None,
        chain: str | None = None,
        step: int = 0,
        code: int = 0,
    ) -> None:
        # Raised bare, as readers raise LoggedOut, it says what its class means.
        message = message or _first_line(type(self))
        super().__init__(message)
        self.message = message
        #: The `Request`, whose module imports this one; None where there was none.
        self.request: Any = request
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
        error: an error, or `asyncio.CancelledError`: it would cancel the caller, and is raised
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


#: CURLE_TOO_MANY_REDIRECTS.
_TOO_MANY_REDIRECTS = 47
