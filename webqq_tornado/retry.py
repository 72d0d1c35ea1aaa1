"""Retries in tenacity's vocabulary, and a circuit breaker for each host.

>>> stream = HTTPStream(retry=Retry(stop=stop_after_attempt(5)), breaker=CircuitBreaker())

`Retry` takes tenacity's `stop` and `wait` as they are; how often and how long is tenacity's
arithmetic, the states of the breaker are pybreaker's. Waiting is the loop's: no coroutine sleeps.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any

import pybreaker
import tenacity
from tenacity import RetryCallState, Retrying

from .engine.errors import CircuitOpenError, ConnectError, ProtocolError, StreamError, TimeoutError
from .engine.framing import unix_time
from .engine.hooks import Attempt
from .engine.request import Request
from .engine.response import Response
from .engine.secrets import safe_url
from .engine.transport.options import IDEMPOTENT

__all__ = ["IDEMPOTENT", "CircuitBreaker", "Retry", "retry_after"]

#: Statuses that may be another one a little later (RFC 9110; 425: RFC 8470, 429: RFC 6585).
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_ERRORS = (ConnectError, TimeoutError, ProtocolError)
#: Nothing of such a request has been worked on: any method may be sent again.
_UNTOUCHED = frozenset({429, 503})
#: Seconds in a Retry-After: whole ones, says RFC 9110, but there are servers that say 0.5.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")
#: Circuits before those of hosts that nobody asks any more are looked for.
_KEPT = 1024


class Retry:
    """Retry policy of a link: for `HTTPStream` or `add_request`.

    Tried again is what came to an error in the network (refused, reset, timed out, broken off) or
    to a status that may be another one later, with a method that is idempotent. A request whose
    body is an iterator, or whose answer has gone to a function in part, is not.

    Args:
        stop: tenacity's, such as `stop_after_attempt(5) | stop_after_delay(60)`. By default 4
            attempts.
        wait: tenacity's, seconds. By default exponential from 0.5 s with full jitter, at most 30 s.
        statuses: of responses that are tried again.
        errors: classes of errors that are.
        methods: that may be sent again; give more where the server knows doubles by a key of
            their own. Of other methods a request is tried again only if it cannot have been
            worked on: no connection, or status 429 or 503 with a `Retry-After`.
        when: gets the `Attempt`, and decides instead of `statuses` and `errors`.
        max_retry_after: seconds; where the server asks for more with `Retry-After` what came
            stands. Else it is waited at least as long as the server asks for.

    Example:
        >>> from tenacity import stop_after_delay, wait_fixed
        >>> patient = Retry(stop=stop_after_delay(3600), wait=wait_fixed(10))
        >>> stream.add_request("http://example.org/", read, retry=patient)
    """

    def __init__(
        self,
        *,
        stop: Callable[[RetryCallState], bool] | None = None,
        wait: Callable[[RetryCallState], float] | None = None,
        statuses: Collection[int] = TRANSIENT,
        errors: tuple[type[Exception], ...] = _ERRORS,
        methods: Collection[str] = IDEMPOTENT,
        when: Callable[[Attempt], bool] | None = None,
        max_retry_after: float = 120.0,
    ) -> None:
        self._stop = stop or tenacity.stop_after_attempt(4)
        self._wait = wait or tenacity.wait_random_exponential(multiplier=0.5, max=30)
        self._statuses = frozenset(statuses)
        self._errors = errors
        self._methods = frozenset(methods)
        self._when = when
        self._max_retry_after = max_retry_after

    def __call__(self, attempt: Attempt) -> float | None:
        """See `engine.hooks.Retry`."""
        if not (self._when or self._is_worth_it)(attempt):
            return None
        asked, outcome = 0.0, _answer(attempt.outcome)
        if isinstance(outcome, Response):
            asked = retry_after(outcome, time.time()) or 0.0
            if asked > self._max_retry_after:
                return None
        state = _state_of(attempt)
        state.upcoming_sleep = max(asked, self._wait(state))
        return None if self._stop(state) else state.upcoming_sleep

    def _is_worth_it(self, attempt: Attempt) -> bool:
        outcome = _answer(attempt.outcome)
        may_be_sent_again = attempt.request.method in self._methods
        if isinstance(outcome, Response):
            is_untouched = outcome.status in _UNTOUCHED and "Retry-After" in outcome.headers
            return outcome.status in self._statuses and (may_be_sent_again or is_untouched)
        is_untouched = isinstance(outcome, ConnectError)
        return isinstance(outcome, self._errors) and (may_be_sent_again or is_untouched)


def _answer(outcome: Response | Exception) -> Response | Exception:
    """The response to be judged: for a refused WebSocket, the one to its handshake."""
    response = outcome.response if isinstance(outcome, ProtocolError) else None
    return response if isinstance(response, Response) else outcome


def _state_of(attempt: Attempt) -> RetryCallState:
    """The attempt as tenacity has it, for its `stop` and `wait`."""
    state = RetryCallState(Retrying(), None, (attempt.request,), {})
    state.attempt_number = attempt.number
    state.outcome_timestamp = state.start_time + attempt.elapsed
    outcome = tenacity.Future(attempt.number)
    if isinstance(attempt.outcome, Exception):
        outcome.set_exception(attempt.outcome)
    else:
        outcome.set_result(attempt.outcome)
    state.outcome = outcome
    return state


def retry_after(response: Response, now: float) -> float | None:
    """Seconds that the server asks to wait: its `Retry-After`, as seconds or as a date.

    Args:
        response: of any status.
        now: Unix time, seconds.

    Returns:
        None if it does not say, or not in a way that can be read (RFC 9110, 10.2.3); 0 for a date
        that is over. There is no upper limit: `math.inf` for a number of many digits.

    Example:
        >>> retry_after(response, time.time())
        120.0
    """
    text = str(response.headers.get("Retry-After", "")).strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    date = unix_time(text)
    return None if date is None else max(0.0, date - now)


class CircuitBreaker:
    """Stops asking a host that fails, for a while: for `HTTPStream`.

    When `fail_max` requests in a row to one host (with its port) have failed, the circuit
    is open: further ones end at once with `CircuitOpenError`. After `reset_timeout` one is let
    through: if it comes to something the circuit is closed again, else it stays open as long again.
    Of many hosts, those that have not been asked for `reset_timeout` are forgotten.

    Args:
        fail_max: requests in a row.
        reset_timeout: seconds.
        is_failure: gets the `Response` or the error. By default errors of the network count, and
            statuses from 500 on.

    Example:
        >>> stream = HTTPStream(breaker=CircuitBreaker(fail_max=3, reset_timeout=10))
    """

    def __init__(
        self,
        fail_max: int = 5,
        reset_timeout: float = 30.0,
        *,
        is_failure: Callable[[Response | Exception], bool] | None = None,
    ) -> None:
        if fail_max < 1 or not reset_timeout > 0:
            raise ValueError("fail_max is 1 or more, and reset_timeout more than 0 seconds")
        self._fail_max = fail_max
        self._reset_timeout = reset_timeout
        self._is_failure = is_failure or _is_failure
        self._circuits: dict[str, _Circuit] = {}
        self._kept = _KEPT

    def admit(self, request: Request) -> StreamError | None:
        """See `engine.hooks.Breaker`."""
        circuit = self._circuits.get(request.host)
        if circuit is None or circuit.lets_through(request, time.time()):
            return None
        return CircuitOpenError(
            f"{request.method} {safe_url(request.url)}: not sent: {self._fail_max} requests in a "
            f"row to {request.host} have failed; one is tried every {self._reset_timeout:g} s",
            request=request,
        )

    def record(self, request: Request, outcome: Response | Exception) -> None:
        """See `engine.hooks.Breaker`."""
        host = request.host
        circuit = self._circuits.get(host)
        is_failure = self._is_failure(outcome)
        if circuit is None and is_failure:
            circuit = self._circuits[host] = _Circuit(self._fail_max, self._reset_timeout)
            if len(self._circuits) > self._kept:
                self._forget_idle_circuits()
        if circuit is not None:
            circuit.record(request, is_failure)
            if circuit.is_closed and not is_failure:
                del self._circuits[host]  # a crawler sees many hosts

    def _forget_idle_circuits(self) -> None:
        """A crawler sees many hosts that fail once, and never asks them again."""
        since = time.monotonic() - self._reset_timeout
        self._circuits = {
            host: circuit
            for host, circuit in self._circuits.items()
            if circuit.probe is not None or circuit.used_at >= since
        }
        self._kept = max(_KEPT, 2 * len(self._circuits))

    def give_up(self, request: Request) -> None:
        """See `engine.hooks.Breaker`."""
        circuit = self._circuits.get(request.host)
        if circuit is not None and circuit.probe is request:
            circuit.probe = None


class _Circuit:
    """The breaker of one host."""

    def __init__(self, fail_max: int, reset_timeout: float) -> None:
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._breaker: Any = pybreaker.CircuitBreaker(
            fail_max,
            reset_timeout,
            state_storage=self._storage,
        )
        self._reset_timeout = reset_timeout
        self.probe: Request | None = None  # was let through, and has not come back
        self.used_at = time.monotonic()

    @property
    def is_closed(self) -> bool:
        return bool(self._breaker.current_state == pybreaker.STATE_CLOSED)

    def lets_through(self, request: Request, now: float) -> bool:
        if self.is_closed:
            return True
        opened_at = self._storage.opened_at
        if opened_at and now < opened_at.timestamp():  # the clock was set back
            self._storage.opened_at = opened_at = datetime.fromtimestamp(now, timezone.utc)
        if self.probe or (opened_at and now < opened_at.timestamp() + self._reset_timeout):
            return False
        self.probe = request
        return True

    def record(self, request: Request, is_failure: bool) -> None:
        self.used_at = time.monotonic()
        if not self.is_closed and request is not self.probe:
            return  # it was sent before the circuit opened: that is no news
        self.probe = None
        with contextlib.suppress(pybreaker.CircuitBreakerError, _NothingError):  # it is counted
            self._breaker.call(_fail if is_failure else _come_to_something)


class _NothingError(Exception):
    pass


def _fail() -> None:
    raise _NothingError


def _come_to_something() -> None:
    pass


def _is_failure(outcome: Response | Exception) -> bool:
    outcome = _answer(outcome)
    if isinstance(outcome, Response):
        return outcome.status >= 500
    return isinstance(outcome, _ERRORS) and not isinstance(outcome, CircuitOpenError)
