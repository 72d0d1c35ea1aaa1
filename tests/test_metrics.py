"""Numbers by host, as Prometheus reads them."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from webqq_tornado import ConnectError, HTTPStream, Request
from webqq_tornado.metrics import BOUNDS, OTHER, Latency, Metrics, SentTimes
from webqq_tornado.retry import Retry


def answer(asked: Asked) -> Say:
    return Say(int(asked.path[1:4]), b"12345")


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Values by name and labels' values, as a scraper reads them."""
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_requests_are_counted_by_host_and_class_of_their_status():
    async with scripted(answer) as server, HTTPStream() as stream:
        metrics = Metrics(stream, name="shop")
        for path in ("/200", "/204", "/404"):
            await stream.fetch(server.url + path)
        await stream.fetch(Request(server.url + "/200", body=b"abc"))
        found = samples(metrics.text())
    host = server.url.removeprefix("http://")
    assert found["http_stream_requests_total", host, "2xx", "shop"] == 3
    assert found["http_stream_requests_total", host, "4xx", "shop"] == 1
    assert found["http_stream_sent_bytes_total", host, "shop"] == 3
    assert found["http_stream_received_bytes_total", host, "shop"] == 15
    assert found["http_stream_request_duration_seconds_count", host, "2xx", "shop"] == 3
    assert found["http_stream_chains_ended_total", "done", "shop"] == 4


async def test_a_stream_counts_from_the_first_look_at_its_metrics_on():
    async with scripted(answer) as server, HTTPStream() as stream:
        await stream.fetch(server.url + "/200")
        assert not stream.metrics.hosts
        await stream.fetch(server.url + "/404")
    (counts,) = stream.metrics.hosts.values()
    assert counts.latencies["4xx"].count == 1
    assert "2xx" not in counts.latencies


async def test_an_error_is_counted_by_its_class_with_the_time_it_took(free_port: int):
    async with HTTPStream() as stream:
        metrics = Metrics(stream)
        with pytest.raises(ConnectError):
            await stream.fetch(f"http://127.0.0.1:{free_port}/")
    counts = metrics.hosts[f"127.0.0.1:{free_port}"]
    assert counts.errors == {"ConnectError": 1}
    assert counts.latencies["error"].total > 0


async def test_each_try_is_a_request():
    def busy_once(asked: Asked) -> Say:
        return Say(503 if asked.number == 0 else 200)

    async with scripted(busy_once) as server, HTTPStream(retry=Retry(wait=wait_none())) as stream:
        metrics = Metrics(stream)
        await stream.fetch(server.url)
        found = samples(metrics.text())
    (counts,) = metrics.hosts.values()
    assert {kind: each.count for kind, each in counts.latencies.items()} == {"5xx": 1, "2xx": 1}
    assert found["http_stream_retries_total", "HTTPStream"] == 1


async def test_hosts_above_the_limit_are_counted_together():
    async with scripted(answer) as one, scripted(answer) as two, HTTPStream() as stream:
        metrics = Metrics(stream, max_hosts=1)
        for url in (one.url, two.url, two.url):
            await stream.fetch(f"{url}/200")
    assert list(metrics.hosts) == [one.url.removeprefix("http://"), OTHER]
    assert metrics.hosts[OTHER].latencies["2xx"].count == 2


async def test_nothing_is_counted_after_close():
    async with scripted(answer) as server, HTTPStream() as stream:
        with Metrics(stream) as metrics:
            pass
        await stream.fetch(f"{server.url}/200")
    assert metrics.hosts == {}


async def test_streams_share_a_registry_in_which_each_family_stands_once():
    registry = CollectorRegistry()
    async with HTTPStream() as one, HTTPStream() as two:
        metrics = [Metrics(one, registry=registry, name="a")]
        metrics.append(Metrics(two, registry=registry, name="b"))
        text = metrics[0].text().decode()
        assert text.count("# TYPE http_stream_chains gauge") == 1
        assert 'http_stream_chains{stream="a"}' in text
        metrics[1].close()
        assert 'stream="b"' not in metrics[0].text().decode()


async def test_an_application_serves_the_metrics():
    async with HTTPStream() as stream:
        metrics = Metrics(stream)
        server = HTTPServer(Application([*metrics.handlers()]))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        response = await stream.fetch(f"http://127.0.0.1:{port}/metrics")
        server.stop()
        await server.close_all_connections()
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert samples(response.body)["http_stream_requests_in_flight", "HTTPStream"] == 1


async def test_each_metric_has_a_help_text_and_a_name_with_its_unit():
    async with scripted(answer) as server, HTTPStream() as stream:
        metrics = Metrics(stream)
        await stream.fetch(f"{server.url}/200")
        text = metrics.text().decode()
    names = re.findall(r"^# TYPE (\S+) counter$", text, re.MULTILINE)
    assert names
    assert all(name.endswith("_total") for name in names)
    assert len(re.findall(r"^# HELP \S+ [A-Z].+\.$", text, re.MULTILINE)) == text.count("# TYPE")


def test_a_histogram_puts_a_bound_into_its_own_bucket():
    latency = Latency()
    for seconds in (BOUNDS[0], BOUNDS[0] * 1.01, 1e6):
        latency.add(seconds)
    assert (latency.buckets[0], latency.buckets[1], latency.buckets[-1]) == (1, 1, 1)
    assert latency.count == 3


async def test_requests_that_were_cancelled_are_not_remembered_for_ever():
    times = SentTimes()
    async with HTTPStream() as stream:
        for _ in range(2000):
            chain = stream.add_request("http://127.0.0.1:1/", delay=60)
            times.note(chain, Request("http://127.0.0.1:1/"))
            chain.cancel()
    assert len(times._sent) <= 1025


def test_max_hosts_is_no_negative_number():
    with pytest.raises(ValueError, match="max_hosts is 0 or more, not -1"):
        Metrics(None, max_hosts=-1)  # type: ignore[arg-type]
