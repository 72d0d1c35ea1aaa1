"""Figures of a running flow in one line, as on the dashboard."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ..engine.response import Response
from ..engine.stats import Stats

if TYPE_CHECKING:
    from ..engine.chain import Chain
    from ..engine.request import Request
    from ..engine.stream import HTTPStream

__all__ = ["LiveNumbers", "describe"]

#: Number of responses for the percentiles.
_RECENT = 1024
#: Number of samples for the rate: about five seconds.
_LOOKS = 25


class LiveNumbers:
    """Watches a flow from now on, at about a microsecond for each request.

    Args:
        flow: to be watched.
    """

    def __init__(self, flow: HTTPStream) -> None:
        self._flow = flow
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        self.close = flow.observe(self._on_outcome)

    def line(self) -> str:
        """The present figures."""
        from ..dashboard.snapshot import percentiles  # noqa: PLC0415 - comes with a web server

        stats, now = self._flow.stats(), time.monotonic()
        self._looks.append((now, stats.responses))
        since, before = self._looks[0]
        rate = (stats.responses - before) / (now - since) if now > since else 0.0
        return describe(type(self._flow).__name__, stats, rate, percentiles(self._recent))

    def _on_outcome(self, _chain: Chain, _request: Request, outcome: Response | Exception) -> None:
        if isinstance(outcome, Response):
            self._recent.append(outcome.request_time)


def describe(name: str, stats: Stats, rate: float, latency: list[float | None]) -> str:
    """One line of progress.

    Args:
        name: of the flow.
        stats: of the flow.
        rate: recent responses a second.
        latency: the 50th, 95th and 99th percentile in seconds; None without a response.
    """
    times = [
        f"p{rank} {_seconds(value)}"
        for rank, value in zip((50, 95, 99), latency, strict=True)
        if value is not None
    ]
    counts = (
        f"{stats.in_flight} in flight, {stats.queued} queued, {stats.delayed} delayed",
        f"{stats.responses} responses, {stats.retries} retries, {stats.failed} failed",
    )
    return f"{name}: {', '.join([f'{rate:.0f}/s', *times])}; {'; '.join(counts)}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"
