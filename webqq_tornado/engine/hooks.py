"""Hooks, policies and credentials: everything of the user's that the engine calls on the way.

A flow overrides the hooks; one that nobody overrides costs nothing: it is not called. The
protocols are what `retry`, `breaker` and `auth` may be, see `webqq_tornado.retry` and
`webqq_tornado.auth`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from .chain import Chain
from .errors import StreamError
from .links import Link
from .request import Request
from .response import Response

__all__ = ["Attempt", "Auth", "BeforeSend", "Breaker", "Hooks", "Observer", "Retry"]


class Attempt(NamedTuple):
    """A try of a link, and what came of it.

    Args:
        number: 1 for the first. Of a link with very many the last 16 are kept.
        request: of the link, without what hook and credentials add.
        outcome: the `Response`, of any status, or the `StreamError`.
        elapsed: seconds since the first try was begun.
        delay: seconds that were waited before the next one.

    Example:
        >>> for attempt in response.retried:
        ...     print(attempt.number, attempt.outcome, attempt.delay)
    """

    number: int
    request: Request
    outcome: Response | StreamError
    elapsed: float
    delay: float = 0.0


class Retry(Protocol):
    """Decides whether a link is tried again; `webqq_tornado.retry.Retry` is one."""

    def __call__(self, attempt: Attempt, /) -> float | None:
        """Seconds until the next try, or None: what came stands."""


class Breaker(Protocol):
    """Refuses requests to hosts that fail; `webqq_tornado.retry.CircuitBreaker` is one."""

    def admit(self, request: Request) -> StreamError | None:
        """Why it is not to be sent, if so."""

    def record(self, request: Request, outcome: Response | Exception) -> None:
        """See what came of one that was."""

    def give_up(self, request: Request) -> None:
        """One that was admitted ends without an outcome: its chain did."""


class Auth(Protocol):
    """Credentials of a session, see `webqq_tornado.auth`."""

    @property
    def renew_timeout(self) -> float | None:
        """Seconds that `renew` and what follows it may take."""

    def covers(self, request: Request) -> bool:
        """Return True if the credentials are for this request."""

    # Asked for each request that is covered, as `is_refused` of each response: nothing slow here.
    @property
    def needs_renewal(self) -> bool:
        """There are none to send with."""

    def apply(self, request: Request) -> Request:
        """The request with credentials."""

    def is_refused(self, response: Response) -> bool:
        """They were not good enough."""

    def renew(self) -> Link:
        """Get new ones: the first link of a chain, or whatever a reader may return."""

    def on_renewed(self, is_good: bool) -> None:
        """The chain of `renew` has ended, without an error or with one."""


#: Receives the outcome of each request: the chain, the request, and the outcome.
Observer: TypeAlias = Callable[[Chain, Request, "Response | Exception"], None]

#: Is shown each request that goes out, retries and redirects included; may return another one.
BeforeSend: TypeAlias = Callable[[Chain, Request], "Request | None"]


class Hooks:
    """The part of `HTTPStream` that is there to be overridden."""

    def begin(self) -> Link:
        """The first links of the flow: override it; any form of several links will do.

        Each becomes a chain of its own. A generator is only taken as far as there is room
        (`max_clients`), so that it may be endless; with limits on hosts or sessions, as far as
        `Limits` says.
        """
        return None

    def on_request(self, request: Request) -> Request | None:
        """Override to see each link's request before it is sent, or to send another one instead.

        Called once for a link, however often that is tried. What it raises is the link's error.

        Args:
            request: about to be sent.

        Returns:
            Another one, or None.
        """

    def on_response(self, response: Response) -> None:
        """Override to see each response before its reader does.

        Args:
            response: of any status.
        """

    def on_retry(self, attempt: Attempt) -> None:
        """Override to see that a link is going to be tried again.

        Args:
            attempt: what came of the last try, and in `delay` the seconds until the next.
        """

    def on_error(self, error: Exception) -> Link:
        """Override to decide what follows an error in a chain whose link has no errback.

        Args:
            error: a `StreamError`, which knows its request and chain, or what a reader raised.

        Returns:
            As a reader; None: it is dealt with, the chain ends in peace. Raise to end the
            chain with an error, as this default does.
        """
        raise error

    def on_idle(self) -> None:
        """Override to be called whenever the last chain has ended; more may be started here."""
