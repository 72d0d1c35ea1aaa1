"""One update of the page."""

from __future__ import annotations

import json

from servers.scripted import Say, scripted

from webqq_tornado import HTTPStream
from webqq_tornado.dashboard.recorder import Recorder, Sample
from webqq_tornado.dashboard.snapshot import Query, percentiles, rates, take_snapshot


def read(response):
    """Read, and end."""


async def test_chains_are_counted_by_state_host_and_reader():
    async with HTTPStream() as stream:
        recorder = Recorder(stream)
        for number in range(3):
            stream.add_request(f"http://127.0.0.1:1/{number}", read, delay=60)
        stream.add_request("http://127.0.0.1:2/", delay=60).pause()
        update = await take_snapshot(recorder, Query())
        recorder.close()
        stream.close()
    assert update["states"] == {"delayed": 3, "paused": 1}
    assert update["readers"] == [("read", 3), ("", 1)]
    assert [(host["host"], host["chains"]) for host in update["hosts"]] == [
        ("127.0.0.1:1", 3),
        ("127.0.0.1:2", 1),
    ]


async def test_the_oldest_of_many_chains_are_listed_by_what_was_asked():
    async with HTTPStream() as stream:
        recorder = Recorder(stream)
        for number in range(2500):
            stream.add_request(f"http://127.0.0.1:1/{number % 2}", read, delay=60)
        update = await take_snapshot(recorder, Query(text="1/1", state="delayed", reader="read"))
        none = await take_snapshot(recorder, Query(host="127.0.0.1"))
        recorder.close()
        stream.close()
    assert update["matches"] == 1250
    assert [chain["number"] for chain in update["chains"]] == list(range(2, 102, 2))
    assert none["matches"] == 0


async def test_a_timeline_has_the_requests_of_its_chain_and_no_secret():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        recorder = Recorder(stream)
        url = f"{server.url}/?token=s3cr3t"
        await stream.add_request(url, lambda response: (url, read))
        await stream.fetch(server.url)
        update = await take_snapshot(recorder, Query(chain=1))
        recorder.close()
    assert [each["step"] for each in update["timeline"]["exchanges"]] == [1, 2]
    assert update["timeline"]["state"] == "ended"
    assert "s3cr3t" not in json.dumps(update)


def test_percentiles_are_by_the_nearest_rank():
    assert percentiles(range(1, 101)) == [50, 95, 99]
    assert percentiles([7]) == [7, 7, 7]
    assert percentiles([]) == [None, None, None]


def test_rates_are_changes_by_the_time_between():
    samples = [Sample(at, 10 * at, at, 0) for at in range(8)]
    found = rates(samples)
    assert (found["responses"], found["errors"]) == (10, 1)
    assert found["history"] == [[10, 1]] * 7
    assert rates(samples[:1])["responses"] == 0
