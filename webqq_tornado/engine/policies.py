"""Policies around each link: the request hook, credentials, circuit breaker, retries.

The runner calls `before_send` before it sends a link, and `handle_outcome` with the result. A
stream without any of these has no `Policies`. Which error is worth another try, how long to wait,
where a token comes from: users plug that in, see `webqq_tornado.retry` and `webqq_tornado.auth`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from .chain import Chain, Link, State, is_delay
from .errors import AuthError, ConnectError, DeadlineError, RedirectError, StreamError
from .request import Request
from .response import Response
from .session import Session
from .transport.options import IDEMPOTENT

__all__ = ["Attempt", "Auth", "Breaker", "Observer", "Policies", "Retry", "hide_signed"]

logger = logging.getLogger("webqq_tornado.engine")

_T = TypeVar("_T")
_Result = TypeVar("_Result")

#: Attempts of one link that are remembered, the last ones: each holds a response with its body.
_KEPT = 16


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
        """Whether they are for this request."""

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


class LinkState:
    """What is to be known of a chain's link while it is tried."""

    __slots__ = (
        "admitted",
        "asked",
        "attempts",
        "generation",
        "is_renewed",
        "is_waiting",
        "renewal",
        "request",
        "since",
        "step",
        "tries",
    )

    def __init__(self, step: int, since: float) -> None:
        self.step = step
        self.asked: Request | None = None  # the request that the hook has seen
        self.request: Request | None = None  # and what it made of it
        self.since = since
        self.tries = 0  # that came to nothing
        self.attempts: deque[Attempt] = deque(maxlen=_KEPT)  # the last of them
        self.generation = 0  # of the credentials that it was sent with
        self.is_renewed = False  # credentials, since this link was refused
        self.admitted: Request | None = None  # by the breaker, which waits to hear of it
        self.renewal: _Renewal | None = None  # of the credentials that it was sent with
        self.is_waiting = False  # for its end


class _Renewal:
    """The renewal of some credentials, shared by all who use them, and gone with the last."""

    __slots__ = ("__weakref__", "auth", "chain", "generation", "waiting")

    def __init__(self, auth: Auth) -> None:
        self.auth = auth
        self.generation = 0
        self.chain: Chain | None = None
        self.waiting: dict[Chain, None] = {}


class _Part(NamedTuple):
    """What belongs to a renewal, and sends without what that is to bring."""

    renewal: _Renewal
    chain: Chain


#: Set in the tasks of a renewal: what they send must not wait for its end.
_renewing: contextvars.ContextVar[_Part | None] = contextvars.ContextVar("renewing", default=None)


class Sender(Protocol):
    """What this needs of the runner."""

    def new_chain(self, name: str | None, session: Session, parent: Chain | None = None) -> Chain:
        """A chain with no link yet."""

    def follow_call(
        self, chain: Chain, function: Callable[..., object], *arguments: object, origin: object
    ) -> None:
        """Call it in the chain's name, and follow what it returns."""

    def set_deadline(self, chain: Chain, seconds: float) -> None:
        """The chain fails if it has not ended in so many seconds."""

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

    def interrupt(self, chain: Chain, error: BaseException) -> None:
        """End the chain; what is more than its cancellation goes on its way."""

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


class Policies:
    """Credentials, breaker and retries for the chains of one runner.

    Args:
        sender: the runner.
        hooks: the stream.
        breaker: of all hosts.
        hears_requests: `hooks.on_request` does something.

    Attributes:
        retries: so far.

    What a policy, credentials or a hook raise is the error of the link that they were asked about.
    """

    def __init__(
        self, sender: Sender, hooks: Hooks, breaker: Breaker | None, *, hears_requests: bool
    ) -> None:
        self._sender = sender
        self._hooks = hooks
        self._breaker = breaker
        self._hears_requests = hears_requests
        self._cares: dict[Chain, LinkState] = {}
        # By the id of their credentials, which they hold. A login in a new session brings new
        # ones, and may be made every minute for months.
        self._renewals: weakref.WeakValueDictionary[int, _Renewal] = weakref.WeakValueDictionary()
        self._parts: dict[Chain, _Part] = {}  # chains that renew, and those they lead to
        self._calls_renew = False
        self._observers: dict[object, Observer] = {}
        self.retries = 0

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Tell it of each request what came of it; gives a function that ends this."""
        key = object()
        self._observers[key] = observer

        def stop() -> None:
            self._observers.pop(key, None)

        return stop

    def on_new(self, chain: Chain) -> None:
        """A chain was made."""
        part = self._part_here()
        if part is None and chain.parent is not None:
            part = self._parts.get(chain.parent)
        if part is not None:
            self._parts[chain] = part

    def _part_here(self) -> _Part | None:
        # A callback of the loop has the context of whoever opened a connection or asked for a
        # turn, be it a renewal; it serves all chains. Tasks have a context of their own.
        part = _renewing.get()
        return part if part is not None and (self._calls_renew or _is_in_task()) else None

    def in_its_name(self, chain: Chain, function: Callable[[_T], _Result], argument: _T) -> _Result:
        """Call what makes a task, so that the task is part of a renewal if the chain is."""
        part = self._parts.get(chain)
        if _renewing.get() is part:
            return function(argument)
        context = contextvars.copy_context()
        context.run(_renewing.set, part)
        return context.run(function, argument)

    # -- before a request is sent ---------------------------------------------------------------

    def before_send(self, chain: Chain) -> bool:
        """Whether the chain's request may be sent now; if not, it is seen to here.

        What is to be sent is `chain._signed` then: the request with what hook and credentials
        add. The chain's own stays as it was, for readers to send again, wherever they will.
        """
        try:
            return self._is_shown(chain) and self._has_credentials(chain) and self._goes_out(chain)
        except Exception as error:
            self._later(chain, self._sender.fail, error)
            return False

    def _is_shown(self, chain: Chain) -> bool:
        """Show the request of a new link, or of its next redirect, to the hook.

        Returns:
            False if it is not to be sent then.
        """
        care = self._cares.get(chain)
        if care is None or care.step != chain.steps:
            if care is not None:
                self._give_up(care)
            care = self._cares[chain] = LinkState(chain.steps, self._sender.time())
        asked: Request = chain._hop or chain._request
        if care.asked is not asked:
            care.asked = care.request = asked
            if self._hears_requests:
                changed = self._hooks.on_request(asked)
                if changed is not None and not chain.done:
                    care.request = Request.of(changed)
        chain._signed = care.request
        return not chain.done  # the hook may have ended it

    def _has_credentials(self, chain: Chain) -> bool:
        care = self._cares[chain]
        auth = self._auth_of(chain, care)
        return auth is None or self._is_authorized(chain, care, auth)

    def _goes_out(self, chain: Chain) -> bool:
        request: Request = chain._signed
        if self._breaker is None:
            return True
        refusal = self._breaker.admit(request)
        if refusal is not None:
            self._later(chain, self._sender.take, refusal)
        elif chain.done:  # by the breaker
            self._give_back(self._breaker, request)
        else:
            self._cares[chain].admitted = request
        return refusal is None and not chain.done

    def _later(
        self, chain: Chain, function: Callable[[Chain, Exception], None], error: Exception
    ) -> None:
        # So that an errback which tries the same again is a loop and no recursion.
        if not chain.done:
            chain.state = State.QUEUED
            self._sender.call_soon(_unless_done, chain, function, error)

    # -- what came of it ------------------------------------------------------------------------

    def handle_outcome(self, chain: Chain, outcome: Response | Exception) -> bool:
        """What came of a request. True: that is not the end of it, the link goes on here."""
        sent = chain._signed
        hide_signed(chain, outcome)
        if self._observers:
            self._tell_observers(chain, sent, outcome)
            if chain.done:
                return True
        care = self._cares.get(chain)
        if care is None:
            return False
        try:
            return self._goes_on(chain, care, outcome)
        except BaseException as error:
            self._come_to(chain, error)
            return True

    def on_redirect(self, chain: Chain, response: Response) -> bool:
        """That is what came of a request. False: the next one of the link is not to follow."""
        self._tell_observers(chain, chain._signed, response)
        care = self._cares.get(chain)
        if care is not None and not chain.done:
            try:
                self._record(care, response)
            except BaseException as error:
                self._come_to(chain, error)
                return False
        return not chain.done

    def _come_to(self, chain: Chain, error: BaseException) -> None:
        """A policy has raised it, which was asked what to do."""
        if not isinstance(error, Exception):
            self._sender.interrupt(chain, error)
        elif not chain.done:
            self._sender.fail(chain, error)

    def on_socket_open(self, chain: Chain, response: Response) -> None:
        """That is what came of the request for it; messages are no outcomes."""
        sent = chain._signed
        hide_signed(chain, response)
        self._tell_observers(chain, sent, response)
        care = self._cares.get(chain)
        if care is not None:
            self._record(care, response)

    def _tell_observers(
        self, chain: Chain, sent: Request | None, outcome: Response | Exception
    ) -> None:
        request = sent or chain._hop or chain._request
        for observer in tuple(self._observers.values()):
            try:
                observer(chain, request, outcome)
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer raised, of chain %s: %r", chain.name, observer)

    def _goes_on(self, chain: Chain, care: LinkState, outcome: Response | Exception) -> bool:
        self._record(care, outcome)
        if not isinstance(outcome, (Response, StreamError)):
            return False
        auth = self._auth_of(chain, care)
        is_refused = auth is not None and isinstance(outcome, Response) and auth.is_refused(outcome)
        if is_refused and auth is not None and self._renews(chain, care, auth, outcome):
            return True
        return self._retries(chain, care, outcome) or chain.done

    def _record(self, care: LinkState, outcome: Response | Exception) -> None:
        if self._breaker is not None and care.admitted is not None:
            admitted, care.admitted = care.admitted, None
            self._breaker.record(admitted, outcome)

    # -- retries --------------------------------------------------------------------------------

    def _retries(self, chain: Chain, care: LinkState, outcome: Response | StreamError) -> bool:
        if chain._retry is None:
            return False
        elapsed = self._sender.time() - care.since
        request: Request = chain._hop or chain._request
        attempt = Attempt(care.tries + 1, request, outcome, elapsed)
        delay = chain._retry(attempt) if _can_repeat(request, outcome) else None
        if delay is None:
            outcome.retried = tuple(care.attempts)
            return False
        if not is_delay(delay):
            raise ValueError(f"retry gave {delay!r}, which is no number of seconds, 0 or more")
        attempt = attempt._replace(delay=delay)
        care.tries += 1
        care.attempts.append(attempt)
        self.retries += 1
        chain.retries += 1
        self._hooks.on_retry(attempt)
        if not chain.done:
            self._sender.send_later(chain, delay)
        return True

    # -- credentials ----------------------------------------------------------------------------

    def _auth_of(self, chain: Chain, care: LinkState) -> Auth | None:
        """The credentials that the chain's request needs."""
        auth, part = chain.session.auth, self._parts.get(chain)
        if auth is None or chain.done or care.request is None:
            return None
        if part is not None and part.renewal.auth is auth and not part.chain.done:
            return None
        return auth if auth.covers(care.request) else None

    def _is_authorized(self, chain: Chain, care: LinkState, auth: Auth) -> bool:
        care.renewal = renewal = self._renewal_of(auth)
        if renewal.chain is not None or auth.needs_renewal:
            self._await_renewal(chain, care, auth, renewal)
            return False
        care.generation = renewal.generation
        signed = auth.apply(chain._signed)
        if not chain.done:
            chain._signed = signed
        return not chain.done

    def _renewal_of(self, auth: Auth) -> _Renewal:
        renewal = self._renewals.get(id(auth))
        if renewal is None:
            renewal = self._renewals[id(auth)] = _Renewal(auth)
        return renewal

    def renews(self, chain: Chain) -> bool:
        """A reader says that its session is logged out: send the link again when it is not."""
        care = self._cares.get(chain)
        auth = None if care is None else self._auth_of(chain, care)
        return care is not None and auth is not None and self._renews(chain, care, auth, None)

    def _renews(
        self, chain: Chain, care: LinkState, auth: Auth, outcome: Response | StreamError | None
    ) -> bool:
        renewal = self._renewal_of(auth)
        is_replaced = care.renewal is not None and care.renewal is not renewal
        care.renewal = renewal
        if care.is_renewed:
            return False  # the new ones are not good enough either, whoever has renewed them
        care.is_renewed = True
        is_tried = not is_replaced and care.generation == renewal.generation
        is_news = is_tried and renewal.chain is None
        if chain._request.method in IDEMPOTENT:
            chain._hop = chain._redirects = None  # a login page may be where it was led to
        if not _can_repeat(chain._hop or chain._request, outcome):
            if is_news:  # the next link is to have better ones
                self._begin_renewal(chain, auth, renewal)
            return False
        if is_news:
            self._await_renewal(chain, care, auth, renewal)
        else:  # meanwhile somebody else has seen to it
            self._sender.send_later(chain, 0)
        return True

    def _await_renewal(self, chain: Chain, care: LinkState, auth: Auth, renewal: _Renewal) -> None:
        if chain.done:  # by what the credentials were asked
            return
        self._sender.drop_transfer(chain)
        chain.state = State.QUEUED
        renewal.waiting[chain] = None
        care.is_waiting = True
        if renewal.chain is None:
            self._begin_renewal(chain, auth, renewal)

    def _begin_renewal(self, chain: Chain, auth: Auth, renewal: _Renewal) -> None:
        renewing = self._sender.new_chain("auth", chain.session)
        renewing._is_quiet = True
        renewing._priority = chain._priority
        renewal.chain = renewing
        self._parts[renewing] = _Part(renewal, renewing)
        if auth.renew_timeout is not None:
            self._sender.set_deadline(renewing, auth.renew_timeout)
        self._sender.follow_call(renewing, self._renew, renewing, auth, origin=auth.renew)

    def _renew(self, renewing: Chain, auth: Auth) -> Link:
        """Chains and tasks that are begun in here are part of the renewal."""
        token = _renewing.set(self._parts[renewing])
        self._calls_renew = True
        try:
            return auth.renew()
        finally:
            self._calls_renew = False
            _renewing.reset(token)

    def _on_renewed(self, renewal: _Renewal, chain: Chain) -> None:
        auth = renewal.auth
        renewal.chain = None
        waiting, renewal.waiting = renewal.waiting, {}
        lack = _lack_of(auth, chain)
        if lack is None:
            renewal.generation += 1
        for one in waiting:
            if one.done:
                continue
            if lack is None:
                self._sender.send(one)
                continue
            # Each has its own: an error knows its chain, and gathers tracebacks.
            error = AuthError(f"no new credentials: {lack.why}", request=one._request)
            error.__cause__ = lack.cause
            self._later(one, self._sender.fail, error)

    # -- ends -----------------------------------------------------------------------------------

    def on_end(self, chain: Chain) -> None:
        """A chain has ended."""
        care = self._cares.pop(chain, None)
        if care is not None:
            self._give_up(care)
            if care.is_waiting and care.renewal is not None:
                care.renewal.waiting.pop(chain, None)
        part = self._parts.pop(chain, None)
        if part is not None and part.chain is chain:
            self._on_renewed(part.renewal, chain)

    def _give_up(self, care: LinkState) -> None:
        admitted, care.admitted = care.admitted, None
        if admitted is not None and self._breaker is not None:
            self._give_back(self._breaker, admitted)

    @staticmethod
    def _give_back(breaker: Breaker, admitted: Request) -> None:
        try:
            breaker.give_up(admitted)
        except (Exception, asyncio.CancelledError):
            # There is no link any more whose error it could be.
            logger.exception("the breaker raised in give_up() of %r", admitted)


class RenewalFailure(NamedTuple):
    """Why there are no new credentials."""

    why: str
    cause: BaseException | None = None


def _lack_of(auth: Auth, renewing: Chain) -> RenewalFailure | None:
    try:
        auth.on_renewed(renewing.state is State.DONE)
        if renewing.state is State.DONE:
            return RenewalFailure("renew() has ended without any") if auth.needs_renewal else None
    except (Exception, asyncio.CancelledError) as error:
        return RenewalFailure(str(error), error)
    cause = renewing.error
    if isinstance(cause, DeadlineError):
        return RenewalFailure(
            f"renew() took more than {auth.renew_timeout:g} s, see renew_timeout", cause
        )
    return RenewalFailure(str(cause or "cancelled"), cause)


def hide_signed(chain: Chain, outcome: Response | Exception | None) -> None:
    """Readers see the request of their link, without what hook and credentials have added.

    Args:
        chain: whose link it is.
        outcome: of it.
    """
    signed = chain._signed
    if signed is None or not isinstance(outcome, (Response, StreamError)):
        return
    if outcome.request is signed:
        outcome.request = chain._request
    if isinstance(outcome, RedirectError) and isinstance(outcome.response, Response):
        hide_signed(chain, outcome.response)


def _unless_done(
    chain: Chain, function: Callable[[Chain, Exception], None], error: Exception
) -> None:
    if not chain.done:
        function(chain, error)


def _is_in_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # the loop does not run
        return False


def _can_repeat(request: Request, outcome: Response | StreamError | None) -> bool:
    """Whether to send it again can do no harm to its own body and sink."""
    return request.is_replayable and _is_untouched(request.sink, outcome)


def _is_untouched(sink: object, outcome: Response | StreamError | None) -> bool:
    if sink is None or isinstance(sink, os.PathLike):  # which is begun anew
        return True
    if isinstance(outcome, Response) and not callable(sink):  # a file gets no error pages
        return not 200 <= outcome.status < 300
    return isinstance(outcome, ConnectError)
