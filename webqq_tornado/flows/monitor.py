"""Monitor URLs: report when one goes down or comes back, and a summary at the end.

    Monitor(["http://example.org/health"], interval=10, rounds=6).run()

An example of the engine: each URL is a chain that repeats its own request after an interval; an
answer and an error lead to the same next link.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine.errors import StreamError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..engine.secrets import safe_url
from .flow import Flow, Report

__all__ = ["Monitor", "WatchedURL"]


@dataclass
class WatchedURL:
    """State of one URL.

    Attributes:
        checks: so far; `failures` of them failed.
        seconds: of all successful checks; `slowest` of the longest.
        is_up: at the last check; None before the first.
        since: of that state, Unix time in seconds.
        last: result of the last check: status and time, or the error's class.
        cause: text of that error; empty after an answer.

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
    since: float = 0.0
    last: str = ""
    cause: str = ""


#: What a journal keeps of an endpoint.
_KEPT = ("checks", "failures", "seconds", "slowest", "is_up", "since", "last", "cause")


class Monitor(Flow):
    """Checks URLs over and over; a status below 400 is a success.

    Args:
        urls: to check.
        interval: seconds from the end of a check to the next one of the same URL.
        rounds: checks of each URL; None for no end.
        timeout: seconds that a check may take.
        arguments: of `Flow`.

    Attributes:
        watches: a `WatchedURL` for each URL, in their order.

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
        arguments["defaults"] = {**limits, **(arguments.get("defaults") or {})}
        super().__init__(**arguments)
        # With a cache, too, a check is a request to the server; a 304 means "up".
        headers = {} if self._http_cache is None else {"Cache-Control": "no-cache"}
        self.watches = [
            self._known(WatchedURL(Request(url, headers=headers))) for url in dict.fromkeys(urls)
        ]
        self._by_url = {watch.request.url: watch for watch in self.watches}
        self.done = sum(watch.checks for watch in self.watches)
        self.interval = interval
        self.rounds = rounds
        self.total = None if rounds is None else rounds * len(self.watches)

    _begins_by_keys = True

    def begin(self) -> Iterator[Link]:
        """A chain for each URL."""
        for watch in self.watches:
            yield self._check(watch, 0)._replace(key=watch.request.url)

    def _known(self, watch: WatchedURL) -> WatchedURL:
        """Give it what a run with the same journal has seen before."""
        for name, value in self.state.get(watch.request.url, {}).items():
            setattr(watch, name, value)
        return watch

    def _watch_of(self, url: str) -> WatchedURL:
        """The endpoint that a chain checks; one of an earlier run may not be named in this one."""
        if url not in self._by_url:
            self._by_url[url] = self._known(WatchedURL(Request(url)))
        return self._by_url[url]

    def _check(self, watch: WatchedURL, delay: float) -> Next:
        # By its URL: a journal cannot keep the object.
        seen = functools.partial(self._seen, watch.request.url)
        missed = functools.partial(self._missed, watch.request.url)
        return Next(watch.request, seen, delay, missed, name=safe_url(watch.request.url))

    def _seen(self, url: str, response: Response) -> Link:
        watch = self._watch_of(url)
        seconds = response.request_time
        is_up = response.status < 400
        if is_up:
            watch.seconds += seconds
            watch.slowest = max(watch.slowest, seconds)
        return self._note(watch, is_up, f"{response.status} in {seconds * 1000:.0f} ms")

    def _missed(self, url: str, error: Exception) -> Link:
        watch = self._watch_of(url)
        if not isinstance(error, (StreamError, OSError, ValueError)):
            raise error  # a bug
        return self._note(watch, False, type(error).__name__, _cause(error))

    def _note(self, watch: WatchedURL, is_up: bool, what: str, cause: str = "") -> Link:
        watch.checks += 1
        watch.failures += not is_up
        before, since = watch.is_up, watch.since
        watch.is_up, watch.last, watch.cause = is_up, what, cause
        if before is not is_up:
            watch.since = time.time()
            self._tell_change(watch, watch.since - since if before is not None else None)
        self.done += 1
        if self.journal is not None:
            values = {name: getattr(watch, name) for name in _KEPT}
            self.state[watch.request.url] = values
        if self.rounds is not None and watch.checks >= self.rounds:
            return None
        return self._check(watch, self.interval)

    def _tell_change(self, watch: WatchedURL, seconds: float | None) -> None:
        state, url = "up" if watch.is_up else "DOWN", safe_url(watch.request.url)
        cause = f": {watch.cause}" if watch.cause else ""
        lasted = "" if seconds is None else f", after {seconds:.0f} s"
        self.tell(
            f"{state:<5} {url}  {watch.last}{cause}{lasted}",
            **{"event": state.lower(), "time": watch.since, "url": url, "last": watch.last},
            cause=watch.cause or None,
            seconds_before=seconds,
        )

    def report(self) -> Report:
        """A row for each URL."""
        columns = ("URL", "now", "since", "checks", "failed", "mean ms", "max ms", "last")
        rows = [_row(watch) for watch in self.watches]
        return Report(columns, rows, self._are_all_up, [_values(one) for one in self.watches])

    @property
    def _are_all_up(self) -> bool:
        return all(watch.is_up for watch in self.watches)


def _cause(error: Exception) -> str:
    """The text of an error without the leading address and the remedy."""
    if not isinstance(error, StreamError):
        return str(error)
    _, _, phase = error.message.partition(": ")
    return (phase or error.message).partition("; ")[0]


def _row(watch: WatchedURL) -> tuple[str, ...]:
    values = _values(watch)
    since = time.strftime("%H:%M:%S", time.localtime(watch.since)) if watch.checks else "-"
    state = {True: "up", False: "DOWN", None: "?"}[watch.is_up]
    counts = (str(watch.checks), str(watch.failures))
    times = (f"{ms:.0f}" if ms is not None else "-" for ms in (values["mean_ms"], values["max_ms"]))
    return (str(values["url"]), state, since, *counts, *times, watch.last)


def _values(watch: WatchedURL) -> dict[str, Any]:
    good = watch.checks - watch.failures
    return {
        "url": safe_url(watch.request.url),
        "is_up": watch.is_up,
        "since": watch.since if watch.checks else None,
        "checks": watch.checks,
        "failed": watch.failures,
        "mean_ms": round(watch.seconds / good * 1000, 3) if good else None,
        "max_ms": round(watch.slowest * 1000, 3) if good else None,
        "last": watch.last,
        "cause": watch.cause or None,
    }
