"""OpenTelemetry: a span for each request of a stream, and `http.client.request.duration`.

Names go by the semantic conventions for HTTP clients 1.23 and later, which are stable
(opentelemetry.io/docs/specs/semconv/http). Only the API is needed
(``pip install 'webqq_tornado[otel]'``); which SDK exports where is the program's matter, and
without one all of this does nothing.
"""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

try:
    from opentelemetry import context, metrics, propagate, trace
except ImportError as missing:
    raise ImportError(
        "webqq_tornado.otel needs opentelemetry-api: pip install 'webqq_tornado[otel]'"
    ) from missing

from .engine.chain import Chain
from .engine.closing import ClosedByBlock
from .engine.eventloop import running_task
from .engine.request import Request
from .engine.response import Response
from .engine.secrets import safe_text, safe_url
from .engine.stream import HTTPStream
from .engine.urls import origin_of

__all__ = ["Telemetry"]

#: Bounds of the histogram in seconds, as the conventions ask for them.
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
#: Methods that may be attributes; others are a client's invention and without limit (RFC 9110,
#: 9; RFC 5789).
_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
)
#: The chains with open spans are looked through when there are so many.
_OPEN_AT_LEAST = 1024


class _Sent(NamedTuple):
    """A request under way."""

    span: trace.Span
    attributes: dict[str, str | int]
    at: float


class Telemetry(ClosedByBlock):
    """Makes a span of each request of a stream, retries and redirects included, until closed.

    The parent is the span that was current where `add_request` or `fetch` was called, for all
    requests of the chain and of those that its readers start. It is current in readers, too, so
    that spans which they begin belong to the same trace.

    Args:
        stream: whose requests.
        propagate: put the `traceparent` header on requests (W3C Trace Context), or whatever the
            program's propagator sets. It shows the trace to each host: only for your own.
        tracer_provider: of spans; by default the global one.
        meter_provider: of the histogram; by default the global one.

    Example:
        >>> telemetry = Telemetry(stream, propagate=True)
    """

    def __init__(
        self,
        stream: HTTPStream,
        *,
        propagate: bool = False,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("webqq_tornado", tracer_provider=tracer_provider)
        meter = metrics.get_meter("webqq_tornado", meter_provider=meter_provider)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._propagates = propagate
        self._contexts: dict[Chain, context.Context] = {}
        self._open: dict[Chain, _Sent] = {}
        self._limit = _OPEN_AT_LEAST
        self._stop = stream.observe(self._on_outcome, before=self._on_send, on_start=self._on_start)

    def close(self) -> None:
        """Make no more spans, and end those that are open."""
        self._stop()
        for chain in tuple(self._open):
            self._cancel(chain)
        self._contexts.clear()

    def _on_start(self, chain: Chain) -> None:
        if len(self._contexts) > self._limit:
            self._forget_ended()
        above = None if chain.parent is None else self._contexts.get(chain.parent)
        self._contexts[chain] = context.get_current() if above is None else above

    def _on_send(self, chain: Chain, request: Request) -> Request | None:
        parent = self._contexts.get(chain)
        if parent is None:  # it was there before
            self._on_start(chain)
            parent = self._contexts[chain]
        attributes, shown = _facts(request.method, request.url)
        span = self._tracer.start_span(
            str(attributes["http.request.method"]).replace("_OTHER", "HTTP"),
            parent,
            trace.SpanKind.CLIENT,
            {**attributes, **shown, **_details(chain, request)},
        )
        self._open[chain] = _Sent(span, attributes, time.perf_counter())
        if not self._propagates:
            return None
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(span, parent))
        mine = {name.lower() for name in headers}
        others = [pair for pair in request.header_pairs if pair[0].lower() not in mine]
        return request.replace(headers=[*others, *headers.items()])

    def _on_outcome(self, chain: Chain, request: Request, outcome: Response | Exception) -> None:
        sent = self._open.pop(chain, None)
        if sent is None:
            return
        seconds = time.perf_counter() - sent.at
        ending: dict[str, str | int] = {}
        words = ""
        if isinstance(outcome, Response):
            ending["http.response.status_code"] = outcome.status
            if outcome.status >= 400:
                ending["error.type"] = str(outcome.status)
        else:
            ending["error.type"] = f"{type(outcome).__module__}.{type(outcome).__qualname__}"
            words = safe_text(str(outcome))
        if sent.span.is_recording():
            _end(sent.span, ending, words)
        sent.span.end()
        parent = self._contexts.get(chain)
        # In the span's context, so that the histogram's exemplars lead to the trace.
        where = trace.set_span_in_context(sent.span, parent)
        self._duration.record(seconds, {**sent.attributes, **ending}, where)
        if parent is not None and running_task() is None:
            # A reader comes next. The loop's callbacks have the context of the code that opened the
            # connection, which is not used afterwards: nothing needs to be restored.
            context.attach(parent)

    def _forget_ended(self) -> None:
        for chain in [chain for chain in self._contexts if chain.done]:
            del self._contexts[chain]
            if chain in self._open:
                self._cancel(chain)
        self._limit = max(_OPEN_AT_LEAST, 2 * len(self._contexts))

    def _cancel(self, chain: Chain) -> None:
        """End the span of a request that has no outcome."""
        span = self._open.pop(chain).span
        _end(span, {"error.type": "cancelled"}, "")
        span.end()


@functools.lru_cache(1024)  # a poll asks for the same again and again
def _facts(method: str, url: str) -> tuple[dict[str, str | int], dict[str, str | int]]:
    """Attributes of span and histogram, of few values each, and those of the span alone."""
    scheme, host, port = origin_of(url)
    attributes: dict[str, str | int] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "server.address": host.strip("[]"),
        "server.port": port,
        "url.scheme": scheme,
    }
    return attributes, {"url.full": safe_url(url)}


def _details(chain: Chain, request: Request) -> dict[str, str | int]:
    """Attributes of the span that not all requests have."""
    details: dict[str, str | int] = {}
    if request.method not in _METHODS:
        details["http.request.method_original"] = request.method
    if chain.retries:
        details["http.request.resend_count"] = chain.retries
    return details


def _end(span: trace.Span, attributes: dict[str, str | int], words: str) -> None:
    span.set_attributes(attributes)
    if "error.type" in attributes:
        span.set_status(trace.Status(trace.StatusCode.ERROR, words or None))
