"""`Job`, as a class and as a command: submitted once, polled until it is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted

from flows.commands import command, silent
from webqq_tornado import ProtocolError
from webqq_tornado.flows.job import Job


class Worker:
    """Takes a job; it is done at the third question."""

    def __init__(self, end: str = "done") -> None:
        self.end = end
        self.questions = 0

    def __call__(self, asked: Asked) -> Say:
        if asked.method == "POST":
            self.data = json.loads(asked.body)
            return Say(202, b"", {"Location": "/jobs/7", "Retry-After": "0"})
        self.questions += 1
        state = self.end if self.questions == 3 else "running"
        return Say(200, json.dumps({"state": state, "answer": 42}).encode(), {"Retry-After": "0"})


async def test_a_job_is_asked_about_until_it_is_done():
    worker = Worker()
    async with scripted(worker) as server:
        lines: list[str] = []
        async with Job(f"{server.url}/jobs", {"n": 3}, say=lines.append) as flow:
            await flow.launch()
        assert server.paths == ["/jobs", *["/jobs/7"] * 3]
    assert worker.data == {"n": 3}
    assert flow.result == {"state": "done", "answer": 42}
    assert lines[1:] == ["state: running", "state: done"]


async def test_a_state_is_the_same_in_capitals():
    async with scripted(Worker("Succeeded")) as server:
        async with Job(f"{server.url}/jobs", {}, say=print) as flow:
            await flow.launch()
    assert flow.result == {"state": "Succeeded", "answer": 42}


async def test_a_job_that_fails_is_an_error(caplog):
    async with scripted(Worker("failed")) as server:
        async with Job(f"{server.url}/jobs", None, say=print) as flow:
            with pytest.raises(ProtocolError, match="'failed'"):
                await flow.launch()
    assert not flow.report().is_good


@pytest.mark.parametrize(
    ("say", "why"),
    [
        (Say(400), "refused: 400"),
        (Say(202), "where the job"),
        (Say(202, b'{"url": 7}'), "where the job"),
    ],
)
async def test_a_job_that_is_not_taken_is_an_error(say, why, caplog):
    async with scripted(lambda asked: say) as server:
        async with Job(server.url, {}, say=print) as flow:
            with pytest.raises(ProtocolError, match=why):
                await flow.launch()


@pytest.mark.parametrize("said", ["9999999999", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "11"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_job_that_is_to_wait_too_long_is_an_error_that_says_so(said, method, caplog):
    def script(asked: Asked) -> Say:
        asks = {"Retry-After": said} if asked.method == method else {}
        return Say(202, b'{"state": "queued"}', {"Location": "/7", **asks})

    async with scripted(script) as server:
        async with Job(server.url, {}, interval=0, max_retry_after=10, say=print) as flow:
            with pytest.raises(ProtocolError, match=f"max_retry_after=10 .*{said[:40]}"):
                await flow.launch()


async def test_a_job_whose_place_is_no_url_is_an_error(caplog):
    say = Say(202, b"", {"Location": "http://[oops/"})
    async with scripted(lambda _: say) as server:
        async with Job(server.url, {}, say=print) as flow:
            with pytest.raises(ProtocolError, match="where the job is: URL"):
                await flow.launch()


async def test_job_as_a_command(tmp_path: Path):
    data = tmp_path / "job.json"
    data.write_text('{"n": 9}')
    worker = Worker()
    async with scripted(worker) as server:
        code, output = await command("job", f"{server.url}/jobs", "--data", f"@{data}")
    assert code == 0, output
    assert worker.data == {"n": 9}
    assert '"answer": 42' in output
    code, output = await command("job", "http://127.0.0.1:1/", "--data", "{")
    assert (code, "--data" in output) == (2, True)


async def test_a_job_with_a_journal_is_submitted_once(tmp_path: Path):
    def script(asked: Asked) -> Say:
        if asked.method == "POST":
            return Say(201, b"", {"Location": "/jobs/1"})
        return Say(200, b'{"state": "done", "value": 7}')

    async with scripted(script) as server:
        for _ in range(2):
            job = Job(server.url, {"a": 1}, interval=0, journal=tmp_path / "a.db", say=silent)
            async with job:
                await job.launch()
                await job.drain()
            assert job.result == {"state": "done", "value": 7}
            assert job.report().is_good
    assert [asked.method for asked in server.asked] == ["POST", "GET"]
