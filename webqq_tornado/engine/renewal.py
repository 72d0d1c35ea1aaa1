"""Renewal of credentials: one for all chains whose session needs it, and what belongs to it.

A link that finds no credentials, or whose credentials were refused, waits. The first one that
waits has the runner begin a chain, which runs `Auth.renew`; when that has ended all who wait are
sent, or get an error each.

- *A renewal must not wait for itself.* What `renew` asks for goes out without the credentials that
  it is to bring. That is known of its own chain, of those below it, and of what its tasks begin: by
  a context variable. But a callback of the loop has the context of the code that opened a
  connection or asked for a turn, be it a renewal, and serves all chains: so the variable counts
  in tasks only, and while `renew` itself is called.
- *Credentials come and go.* A login in a new session brings new ones, and may be made every minute
  for months. Renewals are found by the `id` of their credentials, which need be neither hashable
  nor weakly referable, and live as long as a chain has used them.

Nothing here moves a chain: the runner does.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .chain import Chain, State
from .errors import AuthError, DeadlineError
from .eventloop import running_task
from .links import Link

if TYPE_CHECKING:
    from .hooks import Auth

__all__ = ["Failure", "Part", "Renewal", "Renewals", "close_renewal"]

_T = TypeVar("_T")
_Result = TypeVar("_Result")


class Renewal:
    """The renewal of some credentials, shared by all chains that use them.

    Args:
        auth: the credentials.

    Attributes:
        generation: how often they were renewed: a link that was sent with older ones is sent again
            and renews nothing.
        chain: that is renewing them now.
        waiting: chains with a link to send when it has ended, in order.
    """

    __slots__ = ("__weakref__", "auth", "chain", "generation", "waiting")

    def __init__(self, auth: Auth) -> None:
        self.auth = auth
        self.generation = 0
        self.chain: Chain | None = None
        self.waiting: dict[Chain, None] = {}


class Failure(NamedTuple):
    """Why there are no new credentials.

    Args:
        why: in words.
        cause: the error, if it was one.
    """

    why: str
    cause: BaseException | None = None

    def error_of(self, chain: Chain) -> AuthError:
        """The error of one that has waited."""
        # Each has its own: an error knows its chain, and gathers tracebacks.
        error = AuthError(f"no new credentials: {self.why}", request=chain._request)
        error.__cause__ = self.cause
        return error


class Part(NamedTuple):
    """A chain that belongs to a renewal, and is sent without the credentials it is to bring."""

    renewal: Renewal
    chain: Chain


#: Set in the tasks of a renewal: what they send must not wait for its end.
_renewing: contextvars.ContextVar[Part | None] = contextvars.ContextVar("renewing", default=None)


class Renewals:
    """The renewals of one runner's chains.

    Attributes:
        parts: chains that belong to a renewal, and to which.
    """

    def __init__(self) -> None:
        self._by_auth: weakref.WeakValueDictionary[int, Renewal] = weakref.WeakValueDictionary()
        self.parts: dict[Chain, Part] = {}
        self._calls_renew = False

    def renewal_of(self, auth: Auth) -> Renewal:
        """The renewal of these credentials, whether it is under way or not."""
        # Weakly, and by identity: credentials need not be hashable, and two that are equal may
        # belong to different accounts. Links hold the renewal that they use.
        renewal = self._by_auth.get(id(auth))
        if renewal is None:
            renewal = self._by_auth[id(auth)] = Renewal(auth)
        return renewal

    def is_exempt(self, chain: Chain, auth: Auth) -> bool:
        """Return True if the chain belongs to the renewal of these credentials, which it lacks."""
        part = self.parts.get(chain)
        return part is not None and part.renewal.auth is auth and not part.chain.state.is_final

    # -- what belongs to a renewal --------------------------------------------------------------

    def adopt(self, chain: Chain) -> None:
        """Note a new chain, which belongs to a renewal if its maker does."""
        part = self._part_here()
        if part is None and chain.parent is not None:
            part = self.parts.get(chain.parent)
        if part is not None:
            self.parts[chain] = part

    def _part_here(self) -> Part | None:
        # A callback of the loop that was registered inside a renewal still has its context, long
        # after its end; what such a callback sends is nobody's part. A task's context is its own.
        part = _renewing.get()
        is_for_it = self._calls_renew or running_task() is not None
        return part if part is not None and is_for_it else None

    def run_for(self, chain: Chain, function: Callable[[_T], _Result], argument: _T) -> _Result:
        """Call what makes a task, so that the task belongs to a renewal if the chain does."""
        part = self.parts.get(chain)
        # Nearly always None is None: to copy a context for each reader costs more than the call.
        if _renewing.get() is part:
            return function(argument)
        context = contextvars.copy_context()
        context.run(_renewing.set, part)
        return context.run(function, argument)

    # -- its beginning and its end --------------------------------------------------------------

    def begin(self, renewal: Renewal, renewing: Chain) -> None:
        """Note that this chain is renewing the credentials now."""
        renewal.chain = renewing
        self.parts[renewing] = Part(renewal, renewing)

    def renew(self, renewing: Chain) -> Link:
        """Call `Auth.renew`: chains and tasks that are begun in it belong to the renewal."""
        part = self.parts[renewing]
        token = _renewing.set(part)
        self._calls_renew = True
        try:
            return part.renewal.auth.renew()
        finally:
            self._calls_renew = False
            _renewing.reset(token)

    def release(self, chain: Chain) -> Renewal | None:
        """Forget a chain that has ended; the renewal whose end that is, if it is one."""
        part = self.parts.pop(chain, None)
        return part.renewal if part is not None and part.chain is chain else None


def close_renewal(renewal: Renewal, renewing: Chain) -> tuple[list[Chain], Failure | None]:
    """Note the end of a renewal's chain.

    Args:
        renewal: whose.
        renewing: the chain.

    Returns:
        Who has waited, to be sent; with a failure, to get an error.
    """
    # Emptied before any chain is sent: one refused again begins another renewal, which must
    # not find those of this one.
    renewal.chain = None
    waiting, renewal.waiting = list(renewal.waiting), {}
    failure = _failure_of(renewal.auth, renewing)
    if failure is None:
        # A request that was sent before is refused after it: it is sent again with the new
        # credentials, and does not renew them once more.
        renewal.generation += 1
    return waiting, failure


def _failure_of(auth: Auth, renewing: Chain) -> Failure | None:
    try:
        auth.on_renewed(renewing.state is State.DONE)
        if renewing.state is State.DONE:
            return Failure("renew() has ended without any") if auth.needs_renewal else None
    except (Exception, asyncio.CancelledError) as error:
        return Failure(str(error), error)
    cause = renewing.error
    if isinstance(cause, DeadlineError):
        return Failure(f"renew() took more than {auth.renew_timeout:g} s, see renew_timeout", cause)
    return Failure(str(cause or "cancelled"), cause)
