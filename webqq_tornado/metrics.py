"""Numbers of a stream for a monitoring system: requests, errors, bytes and latencies by host.

A stream counts nothing by host until a `Metrics` of it is made. Prometheus gets them as
text, from a registry or by a Tornado handler; that needs ``pip install 'webqq_tornado[metrics]'``.
Names, units and help texts go by Prometheus' conventions (prometheus.io/docs/practices/naming).
"""

from __future__ import annotations

import time
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from tornado.web import RequestHandler

from .engine.chain import Chain
from .engine.closing import ClosedByBlock
from .engine.request import Request
from .engine.response import Response

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from .engine.stream import HTTPStream

__all__ = ["HostCounts", "Latency", "Metrics", "SentTimes"]

#: Bounds of the latency histogram, in seconds: OpenTelemetry's for HTTP clients, and those of long
#: polls, which servers hold for one or two minutes.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
#: The host of all that come after `max_hosts`.
OTHER = "other"
#: Requests whose chains were cancelled are looked for when so many are under way.
_SENT_AT_LEAST = 1024
_CLASSES = ("other", "1xx", "2xx", "3xx", "4xx", "5xx")
_NO_CLIENT = "metrics as text need prometheus-client: pip install 'webqq_tornado[metrics]'"


class Latency:
    """A histogram of seconds.

    Attributes:
        buckets: how many were up to each of `BOUNDS` and above the one before; the last: above all.
        total: seconds of all together.

    Example:
        >>> latency = Latency()
        >>> latency.add(0.02)
        >>> latency.count
        1
    """

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one.

        Args:
            seconds: that it took.
        """
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


class HostCounts:
    """Requests to one host, retries and redirects included.

    Attributes:
        latencies: by class of the status ("2xx"), or "error".
        errors: that ended a request without a response, by the name of their class.
        received: bytes of bodies that were kept for a reader, decompressed.
        sent: bytes of bodies that are held in memory.

    Example:
        >>> metrics.hosts["example.org"].latencies["2xx"].count
        12
    """

    __slots__ = ("errors", "latencies", "received", "sent")

    def __init__(self) -> None:
        self.latencies: dict[str, Latency] = {}
        self.errors: dict[str, int] = {}
        self.received = self.sent = 0

    def add(self, request: Request, outcome: Response | Exception, seconds: float) -> None:
        """Count what came of a request.

        Args:
            request: as sent.
            outcome: of it.
            seconds: that it took.
        """
        if isinstance(outcome, Response):
            status = outcome.status // 100
            kind = _CLASSES[status] if status < len(_CLASSES) else OTHER
            self.received += len(outcome.body)
        else:
            kind, name = "error", type(outcome).__name__
            self.errors[name] = self.errors.get(name, 0) + 1
        if type(request.body) is bytes:
            self.sent += len(request.body)
        latency = self.latencies.get(kind)
        if latency is None:
            latency = self.latencies[kind] = Latency()
        latency.add(seconds)


class SentTimes:
    """When the requests under way were sent: an error does not know how long it took.

    Example:
        >>> times = SentTimes()
        >>> stream.observe(lambda chain, request, outcome: times.pop(chain), before=times.note)
    """

    __slots__ = ("_limit", "_sent")

    def __init__(self) -> None:
        self._sent: dict[Chain, float] = {}
        self._limit = _SENT_AT_LEAST

    def note(self, chain: Chain, request: Request) -> None:
        """Note that a request of the chain is sent now.

        Args:
            chain: whose.
            request: of its link.
        """
        sent = self._sent
        sent[chain] = time.perf_counter()
        if len(sent) > self._limit:  # those that were cancelled in flight have no outcome
            for ended in [chain for chain in sent if chain.done]:
                del sent[ended]
            self._limit = max(_SENT_AT_LEAST, 2 * len(sent))

    def elapsed(self, chain: Chain) -> float | None:
        """Seconds since the chain's request was sent; None if none is under way.

        Args:
            chain: whose.
        """
        at = self._sent.get(chain)
        return None if at is None else time.perf_counter() - at

    def pop(self, chain: Chain) -> float:
        """Seconds since the chain's request was sent; 0 if it was not.

        Args:
            chain: whose.
        """
        at = self._sent.pop(chain, None)
        return 0.0 if at is None else time.perf_counter() - at


class Metrics(ClosedByBlock):
    """Counts what a stream does, host by host, until it is closed.

    Args:
        stream: whose requests.
        registry: of prometheus_client, which gets these numbers, too; by default they are in one of
            their own. Several `Metrics` may share one.
        name: the value of the label `stream`; by default the class's name.
        max_hosts: hosts counted apart; those that come later are counted as "other", so that
            a crawl of a million hosts is not a million time series.

    Attributes:
        hosts: a `HostCounts` by host, with the port if it is not the scheme's own.

    Example:
        >>> metrics = Metrics(stream)
        >>> app = tornado.web.Application([*metrics.handlers(), ("/", Index)])
    """

    def __init__(
        self,
        stream: HTTPStream,
        *,
        registry: CollectorRegistry | None = None,
        name: str | None = None,
        max_hosts: int = 100,
    ) -> None:
        if max_hosts < 0:
            raise ValueError(f"max_hosts is 0 or more, not {max_hosts}")
        self.stream = stream
        self.name = type(stream).__name__ if name is None else name
        self.hosts: dict[str, HostCounts] = {}
        self._max_hosts = max_hosts
        self._times = SentTimes()
        self._registry = registry
        self._collector = None if registry is None else _collector_of(registry)
        if self._collector is not None:
            self._collector.members.add(self)
        self._stop = stream.observe(self._on_outcome, before=self._times.note)

    def close(self) -> None:
        """Count no more, and leave the registry."""
        self._stop()
        if self._collector is not None:
            self._collector.members.discard(self)

    def _on_outcome(self, chain: Chain, request: Request, outcome: Response | Exception) -> None:
        seconds = self._times.pop(chain)
        hosts, host = self.hosts, request.host
        counts = hosts.get(host)
        if counts is None:
            if len(hosts) >= self._max_hosts:
                host = OTHER
            counts = hosts.setdefault(host, HostCounts())
        counts.add(request, outcome, seconds)

    @property
    def registry(self) -> CollectorRegistry:
        """The registry of prometheus_client that has these numbers.

        Raises:
            ImportError: prometheus-client is not installed.
        """
        if self._registry is None:
            try:
                from prometheus_client import CollectorRegistry  # noqa: PLC0415 - an extra
            except ImportError as error:
                raise ImportError(_NO_CLIENT) from error
            self._registry = CollectorRegistry()
            self._collector = _collector_of(self._registry)
            self._collector.members.add(self)
        return self._registry

    def text(self) -> bytes:
        """All that is in the registry, in Prometheus' text format.

        Raises:
            ImportError: prometheus-client is not installed.
        """
        registry = self.registry
        from prometheus_client import generate_latest  # noqa: PLC0415 - an extra

        return generate_latest(registry)

    def handlers(self, path: str = "/metrics") -> list[tuple[str, type[RequestHandler], Any]]:
        """The route that serves `text`, for a `tornado.web.Application`.

        Args:
            path: of it.

        Raises:
            ImportError: prometheus-client is not installed.

        Example:
            >>> app = tornado.web.Application(metrics.handlers())
        """
        _ = self.registry  # what is missing is to be said now, and not to the first who asks
        return [(path, _MetricsHandler, {"metrics": self})]


class _MetricsHandler(RequestHandler):
    """Serves the numbers as OpenMetrics or Prometheus text, by what the client accepts."""

    def initialize(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def get(self) -> None:
        """Answer a scrape."""
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra

        encoder, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.set_header("Cache-Control", "no-store")
        self.finish(encoder(self._metrics.registry))


# -- Prometheus -----------------------------------------------------------------------------------


class _Family(NamedTuple):
    """A number of `Stats` as a metric."""

    field: str
    name: str
    documentation: str


_COUNTERS = (
    _Family("started", "http_stream_chains_started", "Chains begun."),
    _Family("retries", "http_stream_retries", "Links that were tried again."),
)
_GAUGES = (
    _Family("chains", "http_stream_chains", "Chains that are alive."),
    _Family("in_flight", "http_stream_requests_in_flight", "Requests sent and not answered."),
    _Family("queued", "http_stream_requests_queued", "Requests that wait for their turn."),
    _Family("paused", "http_stream_requests_paused", "Requests of chains that are paused."),
    _Family("delayed", "http_stream_chains_delayed", "Chains that wait for their next time."),
    _Family("lanes", "http_stream_lanes", "Groups of transfers that libcurl looks at together."),
)
_ENDS = ("done", "failed", "cancelled")


class _Collector:
    """Gives the numbers of several `Metrics` to one registry, each family once."""

    def __init__(self) -> None:
        #: Weak, or the table of collectors would keep each registry alive by its members.
        self.members: weakref.WeakSet[Metrics] = weakref.WeakSet()

    def describe(self) -> Iterable[Metric]:
        """Say that names need not be asked for when this is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give all numbers as they are now."""
        members = tuple(self.members)
        yield from _of_streams(members)
        yield from _of_hosts(members)


def _of_streams(members: Iterable[Metrics]) -> Iterator[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415 - an extra
        CounterMetricFamily,
        GaugeMetricFamily,
    )

    stats = [(each.name, each.stream.stats()) for each in members]
    for families, kind in ((_COUNTERS, CounterMetricFamily), (_GAUGES, GaugeMetricFamily)):
        for field, name, documentation in families:
            family = kind(name, documentation, labels=["stream"])
            for stream, numbers in stats:
                family.add_metric([stream], getattr(numbers, field))
            yield family
    ended = CounterMetricFamily(
        "http_stream_chains_ended", "Chains that have ended.", labels=["stream", "state"]
    )
    for stream, numbers in stats:
        for state in _ENDS:
            ended.add_metric([stream, state], getattr(numbers, state))
    yield ended


def _of_hosts(members: Iterable[Metrics]) -> Iterator[Metric]:
    from prometheus_client.core import (  # noqa: PLC0415 - an extra
        CounterMetricFamily,
        HistogramMetricFamily,
    )

    def counter(name: str, documentation: str, *labels: str) -> CounterMetricFamily:
        return CounterMetricFamily(name, documentation, labels=["stream", "host", *labels])

    requests = counter("http_stream_requests", "Requests that have ended.", "status")
    errors = counter("http_stream_errors", "Requests that had no response.", "error")
    received = counter("http_stream_received_bytes", "Bytes of bodies read, decompressed.")
    sent = counter("http_stream_sent_bytes", "Bytes of bodies sent.")
    durations = HistogramMetricFamily(
        "http_stream_request_duration_seconds",
        "Seconds from sending a request to the end of its response.",
        labels=["stream", "host", "status"],
    )
    for each in members:
        for host, counts in each.hosts.items():
            where = [each.name, host]
            received.add_metric(where, counts.received)
            sent.add_metric(where, counts.sent)
            for error, count in counts.errors.items():
                errors.add_metric([*where, error], count)
            for kind, latency in counts.latencies.items():
                requests.add_metric([*where, kind], latency.count)
                durations.add_metric([*where, kind], _buckets(latency), latency.total)
    yield from (requests, errors, received, sent, durations)


def _buckets(latency: Latency) -> list[tuple[str, float]]:
    bounds = (*map(str, BOUNDS), "+Inf")
    return list(zip(bounds, accumulate(latency.buckets), strict=True))


_collectors: weakref.WeakKeyDictionary[CollectorRegistry, _Collector] = weakref.WeakKeyDictionary()


def _collector_of(registry: CollectorRegistry) -> _Collector:
    """The collector of this module in a registry; the first call registers it."""
    collector = _collectors.get(registry)
    if collector is None:
        collector = _collectors[registry] = _Collector()
        registry.register(collector)
    return collector
