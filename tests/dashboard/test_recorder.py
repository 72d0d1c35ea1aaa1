"""What is remembered of a stream, and how much."""

from __future__ import annotations

import pytest
from servers.scripted import Asked, Say, scripted

from webqq_tornado import HTTPStream, StreamError
from webqq_tornado.dashboard import recorder as module
from webqq_tornado.dashboard.recorder import Recorder


async def test_each_request_is_an_exchange_of_its_chain():
    async with scripted(lambda asked: Say(200, b"abc")) as server, HTTPStream() as stream:
        recorder = Recorder(stream)
        chain = stream.add_request(server.url, lambda response: None)
        await chain
        recorder.close()
        await stream.fetch(server.url)
    (exchange,) = recorder.exchanges
    assert (exchange.number, exchange.step, exchange.status, exchange.size) == (1, 1, 200, 3)
    assert exchange.seconds > 0
    assert recorder.failures == module.deque([], 100)


async def test_a_bad_status_and_an_error_are_failures():
    async with scripted(lambda asked: Say(503, None if asked.number else b"")) as server:
        async with HTTPStream() as stream:
            recorder = Recorder(stream)
            await stream.fetch(server.url)
            with pytest.raises(StreamError):
                await stream.fetch(server.url)
            recorder.close()
    kinds = [(failure.kind, failure.is_final) for failure in recorder.failures]
    assert kinds == [("503", False), ("ProtocolError", False), ("ProtocolError", True)]


async def test_the_slowest_are_kept_and_forgotten_in_time(monkeypatch: pytest.MonkeyPatch):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        recorder = Recorder(stream)
        for _ in range(60):
            await stream.fetch(server.url)
        slowest = [exchange.seconds for exchange in recorder.slowest()]
        every = sorted((exchange.seconds for exchange in recorder.exchanges), reverse=True)
        assert slowest == every[:50]
        now = module.time.time()
        monkeypatch.setattr(module.time, "time", lambda: now + 301)
        assert recorder.slowest() == []
        recorder.close()


async def test_hosts_above_the_limit_share_a_window(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_HOSTS", 1)

    def answer(asked: Asked) -> Say:
        return Say()

    async with scripted(answer) as one, scripted(answer) as two, HTTPStream() as stream:
        recorder = Recorder(stream)
        for url in (one.url, two.url, two.url):
            await stream.fetch(url)
        recorder.close()
    assert [window.requests for window in recorder.hosts.values()] == [1, 2]
