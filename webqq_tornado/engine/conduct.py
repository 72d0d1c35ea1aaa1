"""What is done about a link beyond sending it: hook, credentials, breaker, retries.

The runner asks `allows` before it sends a link, and tells `retakes` what came of it. A stream that
has none of these has no `Conduct`. Which error is worth another try, how long to wait, where a
token comes from: that is for the policies, see `webqq_tornado.retry` and `webqq_tornado.auth`.
"""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from .chain import Chain, Link, State
from .errors import AuthError, ConnectError, StreamError
from .request import Request
from .response import Response
from .session import Session

__all__ = ["Attempt", "Auth", "Breaker", "Conduct", "Observer", "Retry"]


class Attempt(NamedTuple):
    """A try of a link, and what came of it.

    Args:
        number: 1 for the first.
        request: that was sent.
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


#: Is told of each request what came of it: the chain, the request, and the outcome.
Observer: TypeAlias = Callable[[Chain, Request, "Response | Exception"], None]


class _Care:
    """What is to be known of a chain's link while it is tried."""

    __slots__ = ("attempts", "awaits", "generation", "is_admitted", "is_renewed", "since", "step")

    def __init__(self, step: int, since: float) -> None:
        self.step = step
        self.since = since
        self.attempts: list[Attempt] = []
        self.generation = 0  # of the credentials that it was sent with
        self.is_renewed = False  # credentials, for this link
        self.is_admitted = False  # by the breaker, which waits to hear of it
        self.awaits: _Renewal | None = None


class _Renewal:
    """The renewal of some credentials, shared by all who wait for them."""

    __slots__ = ("chain", "generation", "waiting")

    def __init__(self) -> None:
        self.generation = 0
        self.chain: Chain | None = None
        self.waiting: dict[Chain, None] = {}


#: Set in the task of a renewal: what it sends must not wait for its own end.
_renewing: contextvars.ContextVar[Auth | None] = contextvars.ContextVar("renewing", default=None)


class Sender(Protocol):
    """What this needs of the runner."""

    def new_chain(self, name: str | None, session: Session, parent: Chain | None = None) -> Chain:
        """A chain with no link yet."""

    def follow_call(self, chain: Chain, function: Callable[..., object]) -> None:
        """Call it in the chain's name, and follow what it returns."""

    def send(self, chain: Chain) -> None:
        """Send the chain's request."""

    def send_later(self, chain: Chain, delay: float) -> None:
        """Send it in so many seconds."""

    def drop_transfer(self, chain: Chain) -> None:
        """Give up the rest of a streamed response, if there is one."""

    def take(self, chain: Chain, result: Response | Exception) -> None:
        """Read the response, or deal with the error."""

    def fail(self, chain: Chain, error: Exception) -> None:
        """The link ended with an error."""

    def call_soon(self, function: Callable[..., object], *arguments: object) -> object:
        """At the loop's next turn."""

    def time(self) -> float:
        """Seconds, of the loop's clock."""


class Hooks(Protocol):
    """What it asks the stream."""

    def on_request(self, request: Request) -> Request | None:
        """See a request before it is sent, or change it."""

    def on_retry(self, attempt: Attempt) -> None:
        """See that a link will be tried again."""


class Conduct:
    """Credentials, breaker and retries for the chains of one runner.

    Args:
        sender: the runner.
        hooks: the stream.
        breaker: of all hosts.
        hears_requests: `hooks.on_request` does something.

    Attributes:
        retries: so far.
        observers: are told of each request what came of it, before anything is done about it.
    """

    def __init__(
        self, sender: Sender, hooks: Hooks, breaker: Breaker | None, *, hears_requests: bool
    ) -> None:
        self._sender = sender
        self._hooks = hooks
        self._breaker = breaker
        self._hears_requests = hears_requests
        self._cares: dict[Chain, _Care] = {}
        self._renewals: dict[Auth, _Renewal] = {}
        self._renewing: dict[Chain, Auth] = {}  # chains that renew, and those they lead to
        self.retries = 0
        self.observers: list[Observer] = []

    def on_new(self, chain: Chain) -> None:
        """A chain was made."""
        auth = _renewing.get()
        if chain.parent is not None:
            auth = auth or self._renewing.get(chain.parent)
        if auth is not None:
            self._renewing[chain] = auth

    def allows(self, chain: Chain) -> bool:
        """Whether the chain's request may be sent now; if not, it is seen to here.

        The request may be another one when it does.
        """
        care = self._cares.get(chain)
        if care is None or care.step != chain.steps:
            care = self._cares[chain] = _Care(chain.steps, self._sender.time())
            if self._hears_requests and not self._shows(chain):
                return False
        auth = self._auth_of(chain)
        if auth is not None and not self._is_authorized(chain, care, auth):
            return False
        if self._breaker is not None:
            refusal = self._breaker.admit(chain._request)
            if refusal is not None:
                self._later(chain, self._sender.take, refusal)
                return False
            care.is_admitted = True
        return True

    def _shows(self, chain: Chain) -> bool:
        """Show the request to the hook; False if it is not to be sent then."""
        try:
            changed = self._hooks.on_request(chain._request)
        except Exception as error:
            if not chain.done:
                self._later(chain, self._sender.fail, error)
            return False
        if chain.done:  # the hook has ended it
            return False
        chain._request = changed or chain._request
        return True

    def _later(
        self, chain: Chain, function: Callable[[Chain, Exception], None], error: Exception
    ) -> None:
        # So that an errback which tries the same again is a loop and no recursion.
        chain.state = State.QUEUED
        self._sender.call_soon(function, chain, error)

    def retakes(self, chain: Chain, outcome: Response | Exception) -> bool:
        """What came of a request. True: that is not the end of it, the link goes on here."""
        for observer in tuple(self.observers):
            observer(chain, chain._request, outcome)
        care = self._cares.get(chain)
        if care is None:
            return False
        if self._breaker is not None and care.is_admitted:
            care.is_admitted = False
            self._breaker.record(chain._request, outcome)
        if not isinstance(outcome, (Response, StreamError)):
            return False
        auth = self._auth_of(chain)
        is_refused = auth is not None and isinstance(outcome, Response) and auth.is_refused(outcome)
        if is_refused and auth is not None and self._renews(chain, care, auth):
            return True
        return self._retries(chain, care, outcome)

    # -- retries --------------------------------------------------------------------------------

    def _retries(self, chain: Chain, care: _Care, outcome: Response | StreamError) -> bool:
        if chain._retry is None:
            return False
        number, elapsed = len(care.attempts) + 1, self._sender.time() - care.since
        attempt = Attempt(number, chain._request, outcome, elapsed)
        delay = chain._retry(attempt) if _can_repeat(chain._request, outcome) else None
        if delay is None:
            outcome.retried = tuple(care.attempts)
            return False
        attempt = attempt._replace(delay=delay)
        care.attempts.append(attempt)
        self.retries += 1
        chain.retries += 1
        self._hooks.on_retry(attempt)
        if not chain.done:
            self._sender.send_later(chain, delay)
        return True

    # -- credentials ----------------------------------------------------------------------------

    def _auth_of(self, chain: Chain) -> Auth | None:
        auth = chain.session.auth
        return None if auth is None or self._renewing.get(chain) is auth else auth

    def _is_authorized(self, chain: Chain, care: _Care, auth: Auth) -> bool:
        renewal = self._renewals.setdefault(auth, _Renewal())
        if renewal.chain is not None or auth.needs_renewal:
            self._await_renewal(chain, care, auth, renewal)
            return False
        care.generation = renewal.generation
        chain._request = auth.apply(chain._request)
        return True

    def renews(self, chain: Chain) -> bool:
        """A reader says that its session is logged out: send the link again when it is not."""
        care, auth = self._cares.get(chain), self._auth_of(chain)
        return care is not None and auth is not None and self._renews(chain, care, auth)

    def _renews(self, chain: Chain, care: _Care, auth: Auth) -> bool:
        renewal = self._renewals.setdefault(auth, _Renewal())
        if not chain._request.is_replayable:
            return False
        if care.generation == renewal.generation and renewal.chain is None:
            if care.is_renewed:
                return False  # the new ones are not good enough either
            care.is_renewed = True
            self._await_renewal(chain, care, auth, renewal)
        else:  # meanwhile somebody else has seen to it
            self._sender.send_later(chain, 0)
        return True

    def _await_renewal(self, chain: Chain, care: _Care, auth: Auth, renewal: _Renewal) -> None:
        self._sender.drop_transfer(chain)
        chain.state = State.QUEUED
        renewal.waiting[chain] = None
        care.awaits = renewal
        if renewal.chain is None:
            renewing = self._sender.new_chain("auth", chain.session)
            renewing._is_quiet = True
            renewal.chain = renewing
            self._renewing[renewing] = auth
            token = _renewing.set(auth)  # for the tasks that it starts
            try:
                self._sender.follow_call(renewing, auth.renew)
            finally:
                _renewing.reset(token)

    def _on_renewed(self, auth: Auth, renewal: _Renewal, chain: Chain) -> None:
        renewal.chain = None
        waiting, renewal.waiting = renewal.waiting, {}
        auth.on_renewed(chain.state is State.DONE)
        error: AuthError | None = None
        if chain.state is not State.DONE:
            error = AuthError(f"no new credentials: {chain.error or 'cancelled'}")
            error.__cause__ = chain.error
        elif auth.needs_renewal:
            error = AuthError("no new credentials: renew() has ended without any")
        else:
            renewal.generation += 1
        for one in waiting:
            if one.done:
                continue
            if error is None:
                self._sender.send(one)
            else:
                self._later(one, self._sender.fail, error)

    # -- ends -----------------------------------------------------------------------------------

    def on_end(self, chain: Chain, request: Request | None) -> None:
        """A chain has ended."""
        care = self._cares.pop(chain, None)
        if care is not None and care.is_admitted and self._breaker is not None and request:
            self._breaker.give_up(request)
        if care is not None and care.awaits is not None:
            care.awaits.waiting.pop(chain, None)
        auth = self._renewing.pop(chain, None)
        if auth is not None and self._renewals[auth].chain is chain:
            self._on_renewed(auth, self._renewals[auth], chain)


def _can_repeat(request: Request, outcome: Response | StreamError) -> bool:
    """Whether to send it again can do no harm to its own body and sink."""
    is_file = isinstance(request.sink, os.PathLike)  # which is begun anew
    is_untouched = request.sink is None or is_file or isinstance(outcome, ConnectError)
    return request.is_replayable and is_untouched
