"""Policies around each link: the request hook, credentials, circuit breaker, retries.

The runner asks `before` about each request that it is to send, and `after` about what came of it.
The answers are values, which say what shall happen; the runner alone makes it happen. A stream
without any policy has no `Policies`.

- A `Request` is to be sent, `Refused` is an error that stands for what came of it. `READ`: what
  came of it stands, for the reader or the errback. `Again`: the link is to be sent again, in so
  many seconds.
- `Wait`: the link waits for this renewal, which begins unless it has. `Renew`: it begins for the
  sake of others; what is left to be asked is asked of `retry` then.
- `Fail`: the link ends with what a policy, credentials or the hook have raised. `GONE`: the chain
  has ended, by what was asked here.

What they raise is the error of the link that they were asked about. What is asked here is users'
code, and may end the chain that it is asked about: hence a look at its state after each.

Which error is worth another try, how long to wait, where a token comes from: users plug that in,
see `webqq_tornado.retry` and `webqq_tornado.auth`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias

from .chain import Chain, is_delay
from .errors import ConnectError, LoggedOut, RedirectError, StreamError
from .hooks import Attempt, Auth, BeforeSend, Breaker, Observer
from .renewal import Renewal, Renewals
from .request import Request
from .response import Response
from .transport.options import IDEMPOTENT

__all__ = [
    "GONE",
    "READ",
    "Again",
    "Fail",
    "Policies",
    "Refused",
    "Renew",
    "Wait",
    "hide_signed",
]

logger = logging.getLogger("webqq_tornado.engine")

#: Attempts of one link that are remembered, the last ones: each holds a response with its body.
_KEPT = 16


class _Answer(enum.Enum):
    READ = "read"
    GONE = "gone"


#: The outcome stands: read the response, or ask the errback about the error.
READ: Final = _Answer.READ
#: The chain has ended meanwhile: there is nothing to do.
GONE: Final = _Answer.GONE


class Wait(NamedTuple):
    """Send the link when the renewal has ended; begin it, unless it is under way."""

    renewal: Renewal


class Renew(NamedTuple):
    """Begin the renewal for links to come: this one cannot be sent again. Then ask `retry`."""

    renewal: Renewal


class Again(NamedTuple):
    """Send the link again, in so many seconds; with an attempt it is a retry."""

    delay: float
    attempt: Attempt | None = None


class Refused(NamedTuple):
    """Take the breaker's error for what came of the request."""

    error: StreamError


class Fail(NamedTuple):
    """End the link with what was raised; what is no `Exception` ends the chain and goes on."""

    error: BaseException


Before: TypeAlias = "Request | Wait | Refused | Fail | Literal[_Answer.GONE]"
After: TypeAlias = "Literal[_Answer.READ, _Answer.GONE] | Again | Wait | Renew | Fail"


class LinkState:
    """The history of a chain's link while it is tried. Kept for the next link of the chain.

    Attributes:
        step: the number of the link.
        since: seconds, when it was first to be sent.
        asked: the request that the hook has seen; `request` is what it made of that.
        attempts: the last that failed; `tries` of them in all.
        admitted: the request that the breaker waits to hear of.
        renewal: of the credentials that the link was sent with, in their `generation`.
        is_renewed: credentials were renewed since this link was refused.
        kept: the renewal that the chain has used last. It holds what it knows of the credentials
            from link to link: found by weak references it would be made anew for each.
    """

    __slots__ = (
        "admitted",
        "asked",
        "attempts",
        "generation",
        "is_renewed",
        "kept",
        "renewal",
        "request",
        "since",
        "step",
        "tries",
    )

    def __init__(self) -> None:
        self.admitted: Request | None = None
        self.kept: Renewal | None = None
        self.reset(0, 0.0)

    def reset(self, step: int, since: float) -> None:
        """Begin with the next link."""
        self.step = step
        self.since = since
        self.asked: Request | None = None
        self.request: Request | None = None
        self.tries = 0
        self.attempts: deque[Attempt] | None = None
        self.generation = 0
        self.is_renewed = False
        self.renewal: Renewal | None = None


class Policies:
    """Credentials, breaker and retries for the chains of one runner.

    Args:
        breaker: of all hosts.
        on_request: the stream's hook, if it does something.
        time: a clock that does not go back, in seconds.

    Attributes:
        renewals: of credentials.
        links: what is known of the links under way.
    """

    def __init__(
        self,
        breaker: Breaker | None,
        on_request: Callable[[Request], Request | None] | None,
        time: Callable[[], float],
    ) -> None:
        self._breaker = breaker
        self._on_request = on_request
        self._time = time
        self._observers: dict[object, Observer] = {}
        self._befores: dict[object, BeforeSend] = {}
        self._on_starts: dict[object, Callable[[Chain], None]] = {}
        self.renewals = Renewals()
        self._parts = self.renewals.parts
        self.links: dict[Chain, LinkState] = {}

    def observe(
        self,
        observer: Observer,
        before: BeforeSend | None = None,
        on_start: Callable[[Chain], None] | None = None,
    ) -> Callable[[], None]:
        """Tell it of each request what came of it; returns a function that ends this."""
        # Not the function: it may observe twice, and each end is the end of one.
        key = object()
        self._observers[key] = observer
        if before is not None:
            self._befores[key] = before
        if on_start is not None:
            self._on_starts[key] = on_start

        def stop() -> None:
            for by_key in (self._observers, self._befores, self._on_starts):
                by_key.pop(key, None)

        return stop

    def adopt(self, chain: Chain) -> None:
        """Take note of a chain that begins, where `add_request` was called."""
        self.renewals.adopt(chain)
        for on_start in tuple(self._on_starts.values()):
            try:
                on_start(chain)
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer raised, of chain %s: %r", chain.name, on_start)

    def restore(self, chain: Chain, step: int, tries: int) -> None:
        """Go on counting the tries of a link that an earlier process has begun."""
        link = self.links[chain] = LinkState()
        link.reset(step, self._time())
        link.tries = tries

    # -- before a request is sent ---------------------------------------------------------------

    def before(self, chain: Chain) -> Before:
        """Decide what happens to the chain's request.

        What is sent has what hook and credentials add, and is `chain._signed`, too. The chain's
        own request stays as it was, for readers to send again, wherever they will.
        """
        link = self.links.get(chain)
        if link is None:
            link = self.links[chain] = LinkState()
        if link.step != chain.steps:
            # The link before was admitted, and its request could not even be made: `after` was not
            # asked. A probe that the breaker never hears of would keep the circuit open.
            if link.admitted is not None:
                self._give_back(link)
            link.reset(chain.steps, self._time())
        try:
            asked: Request = chain._hop or chain._request
            if link.asked is not asked:  # once for a link and each redirect, however often tried
                link.asked = link.request = asked
                if self._on_request is not None:
                    self._show(chain, link, asked)
            # From here on: what a retry sends is signed anew, with what the credentials are then.
            chain._signed = link.request
            if chain.session.auth is not None and (auth := self._auth_of(chain, link)) is not None:
                wait = self._sign(chain, link, auth)
                if wait is not None:
                    return wait
            if chain.state.is_final:
                return GONE
            step = self._admit(chain, link)
            if self._befores and isinstance(step, Request):
                return self._show_to_observers(chain, step)
            return step
        except Exception as error:
            return Fail(error)

    def _show_to_observers(self, chain: Chain, request: Request) -> Before:
        """Let observers see, or replace, what is about to go out."""
        for before in tuple(self._befores.values()):
            try:
                request = before(chain, request) or request
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer raised, of chain %s: %r", chain.name, before)
        if chain.state.is_final:
            return GONE
        chain._signed = request
        return request

    def _show(self, chain: Chain, link: LinkState, asked: Request) -> None:
        assert self._on_request is not None  # noqa: S101 - the caller has looked
        changed = self._on_request(asked)
        if changed is not None and not chain.state.is_final:
            link.request = Request.of(changed)

    def _auth_of(self, chain: Chain, link: LinkState) -> Auth | None:
        """The credentials that the link's request needs."""
        auth = chain.session.auth
        if auth is None or chain.state.is_final or link.request is None:
            return None
        if self._parts and self.renewals.is_exempt(chain, auth):
            return None
        return auth if auth.covers(link.request) else None

    def _sign(self, chain: Chain, link: LinkState, auth: Auth) -> Wait | None:
        link.renewal = link.kept = renewal = self._renewal_of(link, auth)
        if renewal.chain is not None or auth.needs_renewal:
            return None if chain.state.is_final else Wait(renewal)
        link.generation = renewal.generation
        signed = auth.apply(chain._signed)
        if not chain.state.is_final:
            chain._signed = signed
        return None

    def _renewal_of(self, link: LinkState, auth: Auth) -> Renewal:
        kept = link.kept
        return kept if kept is not None and kept.auth is auth else self.renewals.renewal_of(auth)

    def _admit(self, chain: Chain, link: LinkState) -> Before:
        request: Request = chain._signed
        if self._breaker is None:
            return request
        # Last: what waits for credentials, or was ended by a hook, must not be its only probe.
        refusal = self._breaker.admit(request)
        if refusal is not None:
            return Refused(refusal)
        link.admitted = request
        if chain.state.is_final:  # by the breaker; the link was forgotten then
            self._give_back(link)
            return GONE
        return request

    # -- what came of it ------------------------------------------------------------------------

    def after(self, chain: Chain, outcome: Response | Exception) -> After:
        """Decide what happens to what came of a request."""
        # Observers see the request as sent, and the outcome as readers do.
        sent = chain._signed
        hide_signed(chain, outcome)
        if self._observers:
            self._tell_observers(chain, sent, outcome)
            if chain.state.is_final:
                return GONE
        link = self.links.get(chain)
        # Sent before there were policies: `observe` and `session(auth=...)` bring them later.
        if link is None:
            return READ
        try:
            # The breaker hears of it whatever the others say, and once.
            if link.admitted is not None:
                self._record(link, outcome)
            if not isinstance(outcome, (Response, StreamError)):
                return READ
            # Before retries: a refusal is no reason to wait, and new credentials are no retry.
            if chain.session.auth is not None:
                step = self._after_refusal(chain, link, outcome)
                if step is not None:
                    return step
            return self._retry(chain, link, outcome)
        # Of any class: the runner ends the chain with it first, and lets pass what is no Exception.
        except BaseException as error:
            return Fail(error)

    def retry(self, chain: Chain, outcome: Response | Exception) -> After:
        """Decide as `after`, which has said `Renew`: all but that is still to be asked."""
        link = self.links.get(chain)
        if link is None or not isinstance(outcome, (Response, StreamError)):
            return READ
        try:
            return self._retry(chain, link, outcome)
        except BaseException as error:
            return Fail(error)

    def after_redirect(self, chain: Chain, response: Response) -> After:
        """Note what came of a request that leads to the next; `READ`: that is to follow."""
        # Each hop is admitted by itself, maybe to another host: without this the breaker would
        # never hear of the one that has answered.
        self._tell_observers(chain, chain._signed, response)
        link = self.links.get(chain)
        if link is not None and not chain.state.is_final:
            try:
                self._record(link, response)
            except BaseException as error:
                return Fail(error)
        return GONE if chain.state.is_final else READ

    def after_handshake(self, chain: Chain, response: Response) -> None:
        """Note what came of the request for a WebSocket; messages are no outcomes."""
        sent = chain._signed
        hide_signed(chain, response)
        self._tell_observers(chain, sent, response)
        link = self.links.get(chain)
        # Now: the link lasts for days, and a probe would be under way for as long.
        if link is not None:
            self._record(link, response)

    def after_logout(self, chain: Chain) -> After:
        """Decide what happens when a reader says that its session is logged out."""
        link = self.links.get(chain)
        try:
            auth = None if link is None else self._auth_of(chain, link)
            step = None if link is None or auth is None else self._renew(chain, link, auth, None)
        except LoggedOut:  # they need not ask again
            return READ
        except BaseException as error:
            return Fail(error)
        return READ if step is None else step

    def _tell_observers(
        self, chain: Chain, sent: Request | None, outcome: Response | Exception
    ) -> None:
        request = sent or chain._hop or chain._request
        for observer in tuple(self._observers.values()):
            try:
                observer(chain, request, outcome)
            # A CancelledError would cancel the task or callback that has brought the outcome.
            except (Exception, asyncio.CancelledError):
                logger.exception("an observer raised, of chain %s: %r", chain.name, observer)

    def _record(self, link: LinkState, outcome: Response | Exception) -> None:
        if self._breaker is not None and link.admitted is not None:
            # Taken first: the breaker hears of it once, even where it raises.
            admitted, link.admitted = link.admitted, None
            self._breaker.record(admitted, outcome)

    def _after_refusal(
        self, chain: Chain, link: LinkState, outcome: Response | StreamError
    ) -> Again | Wait | Renew | None:
        auth = self._auth_of(chain, link)
        if auth is None or not isinstance(outcome, Response) or not auth.is_refused(outcome):
            return None
        return self._renew(chain, link, auth, outcome)

    def _renew(
        self, chain: Chain, link: LinkState, auth: Auth, outcome: Response | StreamError | None
    ) -> Again | Wait | Renew | None:
        """Decide what follows for a link whose credentials were not good enough."""
        renewal = self._renewal_of(link, auth)
        is_replaced = link.renewal is not None and link.renewal is not renewal
        link.renewal = link.kept = renewal
        if link.is_renewed:
            return None  # the new ones are refused too, whichever chain renewed them
        link.is_renewed = True
        is_tried = not is_replaced and link.generation == renewal.generation
        is_news = is_tried and renewal.chain is None
        is_from_start = chain._request.method in IDEMPOTENT
        request = chain._request if is_from_start else chain._hop or chain._request
        if not _can_repeat(request, outcome):
            return Renew(renewal) if is_news else None  # the next link is to have better ones
        if is_from_start:
            chain._hop = chain._redirects = None  # a login page may be where it was led to
        # Else another chain has renewed them while this one was on its way.
        return Wait(renewal) if is_news else Again(0)

    # -- retries --------------------------------------------------------------------------------

    def _retry(self, chain: Chain, link: LinkState, outcome: Response | StreamError) -> After:
        if chain._retry is not None:
            request: Request = chain._hop or chain._request
            attempt = Attempt(link.tries + 1, request, outcome, self._time() - link.since)
            delay = chain._retry(attempt) if _can_repeat(request, outcome) else None
            if delay is not None:
                return self._again(link, attempt, delay)
            # A response is a new one; an error may be the breaker's, given before.
            if link.attempts is not None or type(outcome) is not Response:
                outcome.retried = tuple(link.attempts or ())
        return GONE if chain.state.is_final else READ

    @staticmethod
    def _again(link: LinkState, attempt: Attempt, delay: float) -> Again:
        if not is_delay(delay):
            raise ValueError(f"retry gave {delay!r}, which is no number of seconds, 0 or more")
        attempt = attempt._replace(delay=delay)
        link.tries += 1
        # Most links are never tried again: they have no deque.
        if link.attempts is None:
            link.attempts = deque(maxlen=_KEPT)
        link.attempts.append(attempt)
        return Again(delay, attempt)

    # -- ends -----------------------------------------------------------------------------------

    def release(self, chain: Chain) -> Renewal | None:
        """Forget a chain that has ended; the renewal whose end that is, if it is one."""
        link = self.links.pop(chain, None)
        if link is not None:
            self._give_back(link)
            if link.renewal is not None:
                link.renewal.waiting.pop(chain, None)
        return self.renewals.release(chain)

    def _give_back(self, link: LinkState) -> None:
        """Tell the breaker that it will not hear of what it has admitted."""
        admitted, link.admitted = link.admitted, None
        if admitted is None or self._breaker is None:
            return
        try:
            self._breaker.give_up(admitted)
        except (Exception, asyncio.CancelledError):
            # There is no link any more whose error it could be.
            logger.exception("the breaker raised in give_up() of %r", admitted)


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
    # The redirect at which it stopped is a response to the same request.
    if isinstance(outcome, RedirectError) and isinstance(outcome.response, Response):
        hide_signed(chain, outcome.response)


def _can_repeat(request: Request, outcome: Response | StreamError | None) -> bool:
    """Return True if sending the request again does no harm to its body and sink."""
    if not request.is_special:  # most have none, or bytes
        return True
    return request.is_replayable and _is_untouched(request.sink, outcome)


def _is_untouched(sink: object, outcome: Response | StreamError | None) -> bool:
    if sink is None or isinstance(sink, os.PathLike):  # which is begun anew
        return True
    if isinstance(outcome, Response) and not callable(sink):  # a file gets no error pages
        return not 200 <= outcome.status < 300
    # Nothing has come yet; else a function or a file may have a part of it.
    return isinstance(outcome, ConnectError)
