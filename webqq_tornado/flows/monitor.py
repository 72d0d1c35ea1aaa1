"""Watch endpoints: say when one goes down or comes back, and sum up in the end.

    Monitor(["http://example.org/health"], interval=10, rounds=6).run()

An example of the engine: each endpoint is a chain that sends its own request again after a while;
an answer and an error lead to the same next link.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.chain import Link, Next
from ..engine.errors import StreamError, safe_url
from ..engine.request import Request
from ..engine.response import Response
from .ready import ReadyFlow, Report

__all__ = ["Monitor", "Watch"]


@dataclass
class Watch:
    """What is known of one endpoint.

    Attributes:
        checks: so far; `failures` of them were no success.
        seconds: that the successful ones took together; `slowest` the longest.
        is_up: at the last check; None before the first.
        last: what came of that, in words.

    Example:
        >>> monitor.watches[0].is_up
        True
    """

    request: Request
    checks: int = 0
    failures: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    is_up: bool | None = None
    last: str = ""


class Monitor(ReadyFlow):
    """Checks URLs over and over; a status below 400 is a success.

    Args:
        urls: to check.
        interval: seconds from the end of a check to the next one of the same URL.
        rounds: checks of each; None: until it is stopped.
        timeout: seconds that a check may take.
        arguments: of `ReadyFlow`.

    Attributes:
        watches: a `Watch` for each URL, in their order.

    Example:
        >>> Monitor(["http://example.org/health"], interval=10, rounds=6).run()
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        interval: float = 30.0,
        rounds: int | None = None,
        timeout: float = 10.0,
        **arguments: Any,
    ) -> None:
        limits = {"request_timeout": timeout, "connect_timeout": timeout, "max_redirects": 5}
        super().__init__(defaults=limits, **arguments)
        self.watches = [Watch(Request(url)) for url in urls]
        self.interval = interval
        self.rounds = rounds
        self.total = None if rounds is None else rounds * len(self.watches)

    def begin(self) -> Iterator[Link]:
        """A chain for each URL."""
        for watch in self.watches:
            yield self._check(watch, 0)

    def _check(self, watch: Watch, delay: float) -> Next:
        seen = functools.partial(self._seen, watch)
        missed = functools.partial(self._missed, watch)
        return Next(watch.request, seen, delay, missed, name=safe_url(watch.request.url))

    def _seen(self, watch: Watch, response: Response) -> Link:
        seconds = response.request_time
        is_up = response.status < 400
        if is_up:
            watch.seconds += seconds
            watch.slowest = max(watch.slowest, seconds)
        return self._note(watch, is_up, f"{response.status} in {seconds * 1000:.0f} ms")

    def _missed(self, watch: Watch, error: Exception) -> Link:
        if not isinstance(error, (StreamError, OSError, ValueError)):
            raise error  # a mistake of ours
        return self._note(watch, False, type(error).__name__)

    def _note(self, watch: Watch, is_up: bool, what: str) -> Link:
        watch.checks += 1
        watch.failures += not is_up
        if watch.is_up is not is_up:
            state = "up" if is_up else "DOWN"
            self.say(f"{state:<5} {safe_url(watch.request.url)}  {what}")
        watch.is_up, watch.last = is_up, what
        self.done += 1
        if self.rounds is not None and watch.checks >= self.rounds:
            return None
        return self._check(watch, self.interval)

    def report(self) -> Report:
        """A row for each URL."""
        columns = ("URL", "now", "checks", "failed", "mean ms", "max ms", "last")
        return Report(columns, [_row(watch) for watch in self.watches], self._are_all_up)

    @property
    def _are_all_up(self) -> bool:
        return all(watch.is_up for watch in self.watches)


def _row(watch: Watch) -> tuple[str, ...]:
    good = watch.checks - watch.failures
    mean = f"{watch.seconds / good * 1000:.0f}" if good else "-"
    slowest = f"{watch.slowest * 1000:.0f}" if good else "-"
    state = {True: "up", False: "DOWN", None: "?"}[watch.is_up]
    counts = (str(watch.checks), str(watch.failures))
    return (safe_url(watch.request.url), state, *counts, mean, slowest, watch.last)
