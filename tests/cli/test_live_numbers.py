"""The line of numbers that a terminal shows while a flow runs."""

from __future__ import annotations

import re

from servers.scripted import Say, scripted

from webqq_tornado import HTTPStream, Stats
from webqq_tornado.cli.live_numbers import LiveNumbers, describe


async def test_the_line_has_rate_latencies_and_counts():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        numbers = LiveNumbers(stream)
        assert numbers.line().startswith("HTTPStream: 0/s; 0 in flight")
        for _ in range(3):
            await stream.fetch(server.url)
        line = numbers.line()
        numbers.close()
    pattern = r"HTTPStream: [1-9]\d*/s, p50 \d+ ms, p95 \d+ ms, p99 \d+ ms; .*; 3 responses, .*"
    assert re.fullmatch(pattern, line), line


def test_a_second_and_more_is_in_seconds():
    line = describe("Poll", Stats(retries=2), 0.4, [0.0304, 1.26, None])
    assert line == (
        "Poll: 0/s, p50 30 ms, p95 1.3 s; 0 in flight, 0 queued, 0 delayed; "
        "0 responses, 2 retries, 0 failed"
    )
