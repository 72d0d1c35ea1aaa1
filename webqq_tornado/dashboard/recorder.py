"""The last requests and failures of a stream, in memory that is bounded.

Rings and tables of fixed size hold plain values: no request, response or chain is kept alive.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from tornado.ioloop import PeriodicCallback

from ..engine.chain import Chain
from ..engine.request import Request
from ..engine.response import Response
from ..metrics import OTHER, SentTimes

if TYPE_CHECKING:
    from ..engine.stream import HTTPStream

__all__ = ["Exchange", "Failure", "HostWindow", "Recorder", "Sample"]

#: Exchanges that timelines are made of: about 5 MB.
_EXCHANGES = 10_000
_FAILURES = 100
_SLOWEST = 50
#: Seconds after which a slow request is forgotten.
_SLOW_FOR = 300.0
#: Durations that percentiles are made of: of all hosts, and of each.
_RECENT, _RECENT_OF_HOST = 2048, 256
_HOSTS = 200
#: Samples of the rates, one each second.
_SAMPLES = 120
_MAX_TEXT = 300


class Exchange(NamedTuple):
    """A request and what came of it."""

    at: float  # when it had ended, in seconds of time.time()
    number: int  # of its chain
    step: int
    method: str
    url: str  # with its secrets: for `safe_url` before anybody sees it
    reader: str
    seconds: float
    status: int  # 0: an error
    size: int  # bytes of the body
    error: str


class Failure(NamedTuple):
    """A request without a good response, or a chain that has failed."""

    at: float
    number: int
    step: int
    method: str
    url: str
    reader: str
    kind: str  # "503", or the class of the error
    words: str
    is_final: bool  # it has ended the chain


class Sample(NamedTuple):
    """Counts of the stream at one time."""

    at: float  # seconds of time.monotonic()
    responses: int
    errors: int
    received: int


class HostWindow:
    """Requests to one host; of the latest ones also how long they took."""

    __slots__ = ("errors", "recent", "requests")

    def __init__(self) -> None:
        self.requests = self.errors = 0
        self.recent: deque[float] = deque(maxlen=_RECENT_OF_HOST)


class Recorder:
    """Looks at a stream until it is closed.

    Args:
        stream: at which.

    Attributes:
        exchanges, failures: the latest, oldest first.
        hosts: by name, with "other" for all after the first 200.
        recent: seconds of the latest requests.
        samples: of each of the last 120 seconds.
        sent: when requests under way were sent.
    """

    def __init__(self, stream: HTTPStream) -> None:
        self.stream = stream
        self.exchanges: deque[Exchange] = deque(maxlen=_EXCHANGES)
        self.failures: deque[Failure] = deque(maxlen=_FAILURES)
        self.hosts: dict[str, HostWindow] = {}
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self.sent = SentTimes()
        self._slowest: list[tuple[float, int, Exchange]] = []
        self._count = 0
        self._stop = stream.observe(
            self._on_outcome, before=self.sent.note, on_failure=self._on_failure
        )
        self._sample()
        self._ticks = PeriodicCallback(self._sample, 1000)
        self._ticks.start()

    def close(self) -> None:
        """Look no more."""
        self._stop()
        self._ticks.stop()

    def slowest(self) -> list[Exchange]:
        """The slowest of the last five minutes, slowest first."""
        since = time.time() - _SLOW_FOR
        fresh = [item for item in self._slowest if item[2].at >= since]
        if len(fresh) != len(self._slowest):
            heapq.heapify(fresh)
            self._slowest = fresh
        return [exchange for _, _, exchange in sorted(fresh, reverse=True)]

    def _sample(self) -> None:
        stats = self.stream.stats()
        self.samples.append(Sample(time.monotonic(), stats.responses, stats.errors, stats.received))

    def _on_outcome(self, chain: Chain, request: Request, outcome: Response | Exception) -> None:
        seconds = self.sent.pop(chain)
        status, size, error = 0, 0, ""
        if isinstance(outcome, Response):
            status, size = outcome.status, len(outcome.body)
        else:
            error = type(outcome).__name__
        exchange = Exchange(
            *(time.time(), chain.number, chain.steps, request.method, request.url, chain.reader),
            *(seconds, status, size, error),
        )
        self.exchanges.append(exchange)
        self.recent.append(seconds)
        window = self._window(request.host)
        window.requests += 1
        window.recent.append(seconds)
        if not 0 < status < 400:
            window.errors += 1
            words = "" if status else str(outcome)[:_MAX_TEXT]
            self.failures.append(
                Failure(*exchange[:6], error or str(status), words, is_final=False)
            )
        self._note_if_slow(exchange)

    def _window(self, host: str) -> HostWindow:
        window = self.hosts.get(host)
        if window is None:
            name = host if len(self.hosts) < _HOSTS else OTHER
            window = self.hosts.setdefault(name, HostWindow())
        return window

    def _note_if_slow(self, exchange: Exchange) -> None:
        slowest, self._count = self._slowest, self._count + 1
        if len(slowest) < _SLOWEST:
            heapq.heappush(slowest, (exchange.seconds, self._count, exchange))
        elif exchange.seconds > slowest[0][0]:
            heapq.heapreplace(slowest, (exchange.seconds, self._count, exchange))

    def _on_failure(self, chain: Chain, error: BaseException) -> None:
        request = chain.request
        method, url = ("", "") if request is None else (request.method, request.url)
        self.failures.append(
            Failure(
                *(time.time(), chain.number, chain.steps, method, url, chain.reader),
                *(type(error).__name__, str(error)[:_MAX_TEXT]),
                is_final=True,
            )
        )
