"""Spans and durations, as OpenTelemetry's SDK exports them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none

from webqq_tornado import ConnectError, HTTPStream, Request
from webqq_tornado.otel import Telemetry
from webqq_tornado.retry import Retry


class Exported:
    """Where a program's spans and metrics go."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader])

    def telemetry(self, stream: HTTPStream, **arguments) -> Telemetry:
        given = {"tracer_provider": self.tracers, "meter_provider": self.meters, **arguments}
        return Telemetry(stream, **given)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._spans.get_finished_spans()

    def durations(self) -> list:
        (resource,) = self._reader.get_metrics_data().resource_metrics
        (metric,) = resource.scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("http.client.request.duration", "s")
        return list(metric.data.data_points)


@pytest.fixture
def exported():
    exported = Exported()
    yield exported
    exported.tracers.shutdown()
    exported.meters.shutdown()


async def test_a_request_is_a_span_by_the_conventions_without_its_secrets(exported: Exported):
    async with scripted(lambda asked: Say(404)) as server, HTTPStream() as stream:
        exported.telemetry(stream)
        await stream.fetch(f"{server.url}/a?id=7&token=s3cr3t")
    (span,) = exported.spans
    port = int(server.url.rpartition(":")[2])
    assert (span.name, span.kind) == ("GET", trace.SpanKind.CLIENT)
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.scheme": "http",
        "url.full": f"{server.url}/a?id=7&token=...",
        "http.response.status_code": 404,
        "error.type": "404",
    }
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_the_histogram_has_the_durations_by_method_host_and_status(exported: Exported):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        exported.telemetry(stream)
        for _ in range(3):
            await stream.fetch(server.url)
    (point,) = exported.durations()
    assert point.count == 3
    assert point.attributes["http.response.status_code"] == 200
    assert "url.full" not in point.attributes
    assert point.explicit_bounds[0] == 0.005


async def test_an_error_is_named_by_its_class(exported: Exported, free_port: int):
    async with HTTPStream() as stream:
        exported.telemetry(stream)
        with pytest.raises(ConnectError):
            await stream.fetch(f"http://127.0.0.1:{free_port}/")
    (span,) = exported.spans
    assert span.attributes["error.type"].endswith(".ConnectError")
    assert span.status.description


async def test_retries_are_spans_of_the_same_trace(exported: Exported):
    def busy_once(asked: Asked) -> Say:
        return Say(503 if asked.number == 0 else 200)

    tracer = exported.tracers.get_tracer("test")
    async with scripted(busy_once) as server, HTTPStream(retry=Retry(wait=wait_none())) as stream:
        exported.telemetry(stream)
        with tracer.start_as_current_span("job") as job:
            await stream.fetch(server.url)
    first, second = exported.spans[:2]
    assert [span.parent.span_id for span in (first, second)] == [job.get_span_context().span_id] * 2
    assert second.attributes["http.request.resend_count"] == 1


async def test_the_parent_is_the_span_where_the_chain_was_begun(exported: Exported):
    tracer = exported.tracers.get_tracer("test")
    seen = {}

    def read(response):
        name = response.url[-1]
        seen.setdefault(name, []).append(trace.get_current_span().get_span_context().span_id)
        if "/next" not in response.url:
            return f"/next/{name}", read

    async def read_async(response):
        read(response)
        with tracer.start_as_current_span("inner"):
            await stream.fetch("/inner/3")
        return [("/child/3", read), ("/child/3", None)]

    # One connection for all: it was opened in the context of the first.
    async with (
        scripted(lambda asked: Say()) as server,
        HTTPStream(base_url=server.url, max_clients=1) as stream,
    ):
        exported.telemetry(stream)
        jobs = {}
        for name, reader in (("1", read), ("2", read), ("3", read_async)):
            with tracer.start_as_current_span(name) as job:
                stream.add_request(f"/{name}", reader)
                jobs[name] = job.get_span_context()
    traces = {span.attributes["url.full"]: span.context.trace_id
              for span in exported.spans if span.kind is trace.SpanKind.CLIENT}  # fmt: skip
    assert traces == {url: jobs[url[-1]].trace_id for url in traces}
    assert len(traces) == 8
    assert {name: set(ids) for name, ids in seen.items()} == {
        name: {job.span_id} for name, job in jobs.items()
    }
    (inner,) = (span for span in exported.spans if span.name == "inner")
    assert inner.parent.span_id == jobs["3"].span_id


@pytest.mark.parametrize("propagates", [False, True])
async def test_traceparent_is_sent_if_it_was_asked_for(exported: Exported, propagates: bool):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        exported.telemetry(stream, propagate=propagates)
        response = await stream.fetch(Request(server.url, headers={"X-A": "b"}))
    (span,) = exported.spans
    sent = server.asked[0].headers
    assert sent["X-A"] == "b"
    assert "traceparent" not in dict(response.request.header_pairs)
    expected = trace.format_span_id(span.context.span_id) if propagates else None
    assert sent.get("traceparent", "00-0-None-0").split("-")[2] == str(expected)


async def test_a_span_ends_with_its_telemetry(exported: Exported):
    async with scripted(lambda asked: Say(200, None)) as server, HTTPStream() as stream:
        with exported.telemetry(stream):
            stream.add_request(server.url).cancel()
    (span,) = exported.spans
    assert span.attributes["error.type"] == "cancelled"


def test_what_is_missing_is_named_with_its_remedy():
    code = "import sys; sys.modules['opentelemetry'] = None; import webqq_tornado.otel"
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert "pip install 'webqq_tornado[otel]'" in ended.stderr
