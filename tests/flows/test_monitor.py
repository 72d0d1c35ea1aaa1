"""`Monitor`, as a class and as a command, against servers that behave as told."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted

from flows.commands import command, silent
from webqq_tornado.flows.monitor import Monitor


async def test_a_monitor_tells_changes_and_sums_up():
    def script(asked: Asked) -> Say:
        return Say(500 if asked.path == "/shaky" and 2 <= asked.number < 4 else 200)

    async with scripted(script) as server:
        lines: list[str] = []
        urls = [f"{server.url}/good", f"{server.url}/shaky", "http://127.0.0.1:1/"]
        async with Monitor(urls, interval=0.01, rounds=3, say=lines.append) as flow:
            await flow.launch()
            report = flow.report()
    good, shaky, gone = flow.watches
    assert (good.checks, good.failures, good.is_up) == (3, 0, True)
    assert (shaky.checks, shaky.failures, shaky.is_up) == (3, 1, True)
    assert (gone.checks, gone.failures, gone.last) == (3, 3, "ConnectError")
    told = [line.split()[0] for line in lines if "shaky" in line]
    assert told == ["up", "DOWN", "up"]
    assert not report.is_good
    assert (flow.done, flow.total) == (9, 9)


@pytest.mark.parametrize("error", [ValueError("no URL"), OSError("no file")])
async def test_whatever_goes_wrong_with_a_check_the_next_one_comes(error):
    class Watching(Monitor):
        def on_request(self, request):
            raise error

    async with Watching(["http://127.0.0.1:1/"], interval=0, rounds=3, say=print) as flow:
        await flow.launch()
    assert (flow.watches[0].failures, flow.watches[0].last) == (3, type(error).__name__)


async def test_a_slow_endpoint_is_down():
    async def script(asked: Asked) -> Say:
        await asyncio.Event().wait()
        return Say()

    async with scripted(script) as server:
        async with Monitor([server.url], timeout=0.05, rounds=1, say=print) as flow:
            await flow.launch()
        assert flow.watches[0].last == "TimeoutError"


async def test_a_monitor_tells_causes_and_how_long_it_was_the_other_way():
    lines, events = [], []
    url = "http://127.0.0.1:1/"
    async with Monitor([url], rounds=1, say=lines.append, record=events.append) as flow:
        await flow.launch()
        report = flow.report()
    assert lines[0].startswith(f"DOWN  {url}  ConnectError: connecting failed: ")
    assert (events[0]["event"], events[0]["url"]) == ("down", url)
    assert events[0]["cause"].startswith("connecting failed: ")
    assert report.values[0]["cause"] == events[0]["cause"]
    assert (report.values[0]["is_up"], report.values[0]["failed"]) == (False, 1)


async def test_a_monitor_as_a_command_writes_lines_of_json_with_times(tmp_path: Path):
    async with scripted(lambda asked: Say()) as server:
        file = tmp_path / "out"
        words = ("--rounds", 2, "--interval", 0.01)
        code, output = await command("monitor", server.url, *words, "--json", "-o", file)
        assert (code, output) == (0, "")
        up, end = [json.loads(line) for line in file.read_text().splitlines()]
        code, output = await command("monitor", server.url, *words)
    assert (up["event"], end["event"], end["checks"]) == ("up", "end", 2)
    assert re.match(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  up    {server.url}", output)


async def test_monitor_as_a_command():
    async with scripted(lambda asked: Say()) as server:
        code, output = await command("monitor", server.url, "--rounds", 2, "--interval", 0.01)
        assert code == 0, output
        assert f"up    {server.url}" in output
        code, output = await command("monitor", server.url, "http://127.0.0.1:1/", "--rounds", 1)
        assert code == 1
        assert "DOWN" in output
        code, output = await command("monitor", "ftp://x/")
        assert (code, "not http or https" in output) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("monitor", "http://127.0.0.1:1/", "--interval", "-1"),
        ("monitor", "http://127.0.0.1:1/", "--interval", "nan"),
        ("monitor", "http://127.0.0.1:1/", "--timeout", "0"),
        ("sync", "http://127.0.0.1:1/", "x", "--spacing", "inf"),
        ("job", "http://127.0.0.1:1/", "--interval", "-1"),
    ],
)
async def test_seconds_that_cannot_be_are_wrong_usage(words: tuple[str, ...]):
    code, output = await command(*words)
    assert code == 2
    assert f"Invalid value for '{words[-2]}'" in output


async def test_a_monitor_with_a_journal_goes_on_counting(tmp_path: Path):
    async with scripted(lambda asked: Say()) as server:
        for rounds, expected in ((2, 2), (5, 2)):
            urls = [f"{server.url}/a"]
            flow = Monitor(urls, interval=0, rounds=rounds, journal=tmp_path / "a.db", say=silent)
            async with flow:
                await flow.launch()
                await flow.drain()
            assert flow.watches[0].checks == expected
        assert flow.report().is_good


@pytest.mark.slow
async def test_a_command_with_a_journal_says_that_it_is_complete(tmp_path: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("monitor", server.url, "--rounds", "1", "--journal", tmp_path / "a.db")
        for _ in range(2):
            code, output = await command(*words)
            assert code == 0
    assert "complete since" in output
    assert len(server.asked) == 1
