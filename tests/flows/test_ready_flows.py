"""The flows for everyday work, as classes and as commands, against servers that behave as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none
from waiting import until

from webqq_tornado import ProtocolError, StreamError
from webqq_tornado.flows.job import Job
from webqq_tornado.flows.mirror import Mirror, path_of
from webqq_tornado.flows.monitor import Monitor
from webqq_tornado.flows.sync import Sync
from webqq_tornado.retry import Retry

AT_ONCE = Retry(wait=wait_none())


async def command(*arguments: object) -> tuple[int, str]:
    """Exit code and output of `python -m webqq_tornado ...`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webqq_tornado", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


# -- monitor ----------------------------------------------------------------------------------


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


# -- sync -------------------------------------------------------------------------------------


def pages(asked: Asked) -> Say:
    """Three pages by `next`, relative; the second fails once."""
    number = int(asked.path.rpartition("=")[2])
    if number == 2 and asked.number == 1:
        return Say(503)
    document = {"items": [{"n": number}, {"n": -number}], "next": f"?page={number + 1}"}
    if number == 3:
        del document["next"]
    return Say(200, json.dumps(document).encode())


async def test_a_sync_writes_all_items_of_all_pages(tmp_path: Path):
    path = tmp_path / "items.jsonl"
    async with scripted(pages) as server:
        async with Sync(f"{server.url}/?page=1", path, retry=AT_ONCE, say=print) as flow:
            await flow.launch()
    items = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert items == [1, -1, 2, -2, 3, -3]
    assert (flow.pages, flow.items_written) == (3, 6)
    assert flow.report().is_good


class Interrupted:
    """Three pages; the third is refused until it is asked for the second time."""

    def __init__(self) -> None:
        self.refusals = 1

    def __call__(self, asked: Asked) -> Say:
        if asked.path.endswith("3") and self.refusals:
            self.refusals -= 1
            return Say(500)
        return pages(asked._replace(number=0))


async def test_a_sync_goes_on_where_it_was_interrupted(tmp_path: Path, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(Interrupted()) as server:
        url = f"{server.url}/?page=1"
        async with Sync(url, path, retry=None, say=print) as flow:
            with pytest.raises(ProtocolError, match=r"status 500, no page \[chain"):
                await flow.launch()
        part = tmp_path / "items.jsonl.part"
        with part.open("a") as file:
            file.write('{"n": 3}\n{"n"')  # written, and killed before that was noted
        asked = len(server.asked)
        async with Sync(url, path, say=print) as flow:
            await flow.launch()
        assert server.paths[asked:] == ["/?page=3"]
        assert (flow.is_resumed, flow.pages, flow.items_written) == (True, 3, 6)
    items = [json.loads(line)["n"] for line in path.read_text().splitlines()]
    assert items == [1, -1, 2, -2, 3, -3]
    assert [file.name for file in tmp_path.iterdir()] == ["items.jsonl"]


@pytest.mark.parametrize("change", ["url", "keys", "restart", "damage", "no part"])
async def test_a_sync_of_another_list_begins_anew(tmp_path: Path, change, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(Interrupted()) as server:
        async with Sync(f"{server.url}/?page=1", path, retry=None, say=print) as flow:
            with pytest.raises(ProtocolError):
                await flow.launch()
        url = f"{server.url}/?x&page=1" if change == "url" else f"{server.url}/?page=1"
        more = {"restart": {"resume": False}, "keys": {"items": "things"}}.get(change, {})
        if change == "damage":
            (tmp_path / "items.jsonl.part.next").write_bytes(b"\x00{")
        if change == "no part":
            (tmp_path / "items.jsonl.part").unlink()
        async with Sync(url, path, say=print, **more) as flow:
            with contextlib.suppress(ProtocolError):
                await flow.launch()
    assert not flow.is_resumed
    assert flow.pages == (0 if change == "keys" else 3)


async def test_where_to_go_on_is_for_the_owners_eyes(tmp_path: Path, caplog):
    async with scripted(Interrupted()) as server:
        async with Sync(f"{server.url}/?page=1", tmp_path / "x", retry=None, say=print) as flow:
            with pytest.raises(ProtocolError):
                await flow.launch()
    assert (tmp_path / "x.part.next").stat().st_mode & 0o777 == 0o600


async def test_a_sync_without_room_says_so(tmp_path: Path, caplog):
    async with scripted(lambda asked: Say(200, b"[1]")) as server:
        async with Sync(server.url, "/dev/full", say=print) as flow:
            with pytest.raises(StreamError, match="/dev/full cannot be written: the disk is full"):
                await flow.launch()


@pytest.mark.parametrize(
    "line",
    [
        '</?p=0>; rel="prev", </?p=2>; rel="next"',
        "</?p=0>; rel=prev,</?p=2>;rel=next",
        '</?p=2>; title="a, b"; rel="next"',
        '</?p=2>; rel="last next"',
        '</?p=0>; rel="next-archive", </?p=2>; REL="Next"',
        '</?p=0>; title="; rel=next", </?p=2>; rel="next"',
        '</?p=2> ; rel = "next"',
        "</?p=2>; rel='next'",
        '</?p=0>; rel="next"; anchor="/elsewhere", <?p=2#x>; rel="next"; anchor="#top"',
    ],
)
async def test_pages_may_be_lists_with_a_link_header(tmp_path: Path, line):
    def script(asked: Asked) -> Say:
        link = {"Link": line} if asked.number == 0 else {}
        return Say(200, b"[%d]" % asked.number, link)

    async with scripted(script) as server:
        async with Sync(f"{server.url}/?p=1", tmp_path / "x", say=print) as flow:
            await flow.launch()
        assert server.paths == ["/?p=1", "/?p=2"]
    assert (tmp_path / "x").read_text() == "0\n1\n"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"items": 3}', "no list"),
        (b'{"items": [], "next": "/"}', "circle"),
        (b'{"items": [], "next": 7}', "no URL"),
        (b'{"items": [], "next": "http://[oops/"}', "the next page: URL"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[", "not JSON"),
    ],
)
async def test_a_sync_that_cannot_go_on_says_why_and_leaves_the_part(tmp_path, body, why, caplog):
    path = tmp_path / "items.jsonl"
    async with scripted(lambda asked: Say(200, body)) as server:
        async with Sync(f"{server.url}/", path, say=print) as flow:
            with pytest.raises(ProtocolError, match=why):
                await flow.launch()
        assert not flow.report().is_good
    assert not path.exists()


async def test_half_a_character_is_written_as_it_came(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b'["\\ud83d", "\xc3\xa4"]')) as server:
        async with Sync(server.url, tmp_path / "x", say=print) as flow:
            await flow.launch()
    assert (tmp_path / "x").read_text("utf-8") == '"\\ud83d"\n"\u00e4"\n'


async def test_a_sync_to_where_nothing_can_be_written_says_so_without_a_traceback(tmp_path: Path):
    (tmp_path / "file").write_text("")
    code, output = await command("sync", "http://127.0.0.1:1/", tmp_path / "file" / "x")
    assert code == 1
    assert "cannot be written" in output
    assert "Traceback" not in output


async def test_a_sync_of_no_url_names_it_in_one_line(tmp_path: Path):
    code, output = await command("sync", "nowhere", tmp_path / "x")
    assert code == 2
    (line,) = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert "URL 'nowhere' is not absolute" in line


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


async def test_sync_as_a_command(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b'{"rows": [1, 2]}')) as server:
        path = tmp_path / "rows.jsonl"
        code, output = await command("sync", server.url, path, "--items", "rows")
    assert code == 0, output
    assert path.read_text() == "1\n2\n"
    assert str(path) in output


# -- job --------------------------------------------------------------------------------------


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


# -- mirror -----------------------------------------------------------------------------------


class Files:
    """Serves files that were changed in 2015; `/cut` breaks off once."""

    def __init__(self) -> None:
        self.has_cut = False

    def __call__(self, asked: Asked) -> Say:
        changed = "Wed, 21 Oct 2015 07:28:00 GMT"
        if asked.path == "/missing":
            return Say(404, b"no")
        if asked.headers["If-Modified-Since"] == changed:
            return Say(304)
        body, headers = asked.path.encode() * 1000, {"Last-Modified": changed, "ETag": '"1"'}
        if asked.headers["Range"]:
            start = int(asked.headers["Range"][6:-1])
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return Say(206, body[start:], {**headers, "Content-Range": span})
        if asked.path == "/cut" and not self.has_cut:
            self.has_cut = True
            return Say(200, body[:1500], {**headers, "Content-Length": str(len(body))})
        return Say(200, body, headers)


async def test_a_mirror_fetches_goes_on_and_asks_only_for_what_has_changed(tmp_path: Path):
    async with scripted(Files()) as server:
        urls = [f"{server.url}{path}" for path in ("/a", "/b/c", "/cut", "/missing", "/a")]
        async with Mirror(urls, tmp_path, retry=AT_ONCE, say=print) as flow:
            await flow.launch()
        assert (flow.fetched, flow.unchanged, flow.total) == (3, 0, 4)
        assert list(flow.missed.values()) == ["status 404"]
        assert any(asked.headers["Range"] for asked in server.asked)
        host = server.url.removeprefix("http://").replace(":", "_")
        assert (tmp_path / host / "cut").read_bytes() == b"/cut" * 1000
        assert (tmp_path / host / "b" / "c").stat().st_mtime == 1445412480
        async with Mirror(urls[:3], tmp_path, say=print) as again:
            await again.launch()
        assert (again.fetched, again.unchanged, again.report().is_good) == (0, 3, True)


async def test_a_file_that_can_have_no_copy_holds_up_no_other(tmp_path: Path):
    async with scripted(Files()) as server:
        async with Mirror([f"{server.url}/a"], tmp_path, say=print) as flow:
            await flow.launch()
        # No URL, one below a file, one with a name that is too long, and a good one.
        bad = ["example.org/a", f"{server.url}/a/b", f"{server.url}/{'x' * 300}/y"]
        async with Mirror([*bad, f"{server.url}/c"], tmp_path, say=print) as flow:
            await flow.launch()
        assert list(flow.missed) == bad
        assert (flow.fetched, flow.done, flow.total) == (1, 4, 4)


async def test_a_folder_is_no_copy(tmp_path: Path):
    async with scripted(Files()) as server:
        urls = [f"{server.url}/a/b", f"{server.url}/a"]
        for _ in range(2):
            async with Mirror(urls, tmp_path, say=print) as flow:
                await flow.launch()
            assert list(flow.missed) == urls[1:]


async def test_the_time_of_a_copy_is_that_of_its_file_however_it_is_said(tmp_path, far_east):
    def script(asked: Asked) -> Say:
        return Say(200, b"x", {"Last-Modified": "Wed Oct 21 07:28:00 2015"})

    async with scripted(script) as server:
        async with Mirror([f"{server.url}/a"], tmp_path, say=print) as flow:
            await flow.launch()
    (copy,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert copy.stat().st_mtime == 1445412480


async def test_a_copy_may_have_no_time_that_the_system_knows(tmp_path, monkeypatch):
    def utime(*_: object) -> None:
        raise OverflowError("timestamp out of range")

    monkeypatch.setattr("webqq_tornado.flows.mirror.os.utime", utime)
    async with scripted(Files()) as server:
        async with Mirror([f"{server.url}/a"], tmp_path, say=print) as flow:
            await flow.launch()
    assert (flow.fetched, flow.missed) == (1, {})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://a.test/x/y.txt", "a.test/x/y.txt"),
        ("http://me:pw@a.test:8/", "a.test_8/index.html"),
        ("http://a.test/x/", "a.test/x/index.html"),
        ("http://a.test/../../etc/passwd", "a.test/__/__/etc/passwd"),
        ("http://a.test/%2e%2e/%2Fetc", "a.test/__/_etc"),
        ("http://a.test/x?id=1&b=/../y", "a.test/x@id=1&b=%2F..%2Fy"),
        ("http://a.test/a%00b", "a.test/a_b"),
    ],
)
def test_copies_stay_below_their_folder(url, path):
    assert path_of(url).as_posix() == path


async def test_mirror_as_a_command(tmp_path: Path):
    async with scripted(Files()) as server:
        wanted = tmp_path / "list"
        wanted.write_text(f"# files\n{server.url}/a\n\n{server.url}/missing\n")
        code, output = await command("mirror", wanted, tmp_path / "copies")
    assert code == 1
    assert "missed" in output
    assert len([path for path in (tmp_path / "copies").rglob("*") if path.is_file()]) == 1


# -- with a journal --------------------------------------------------------------------------------


class Cut(Sync):
    """Closes itself where a kill would be worst: when a page is written, and not in the journal."""

    cut_at: int | None = None

    def _read(self, response):
        link = super()._read(response)
        if self.pages == self.cut_at:
            self._journal.spare(next(iter(self._journal._records)))
            self.close()
        return link


@pytest.mark.parametrize("cut_at", [1, 2, 3])
async def test_a_sync_with_a_journal_has_each_item_once(cut_at: int, tmp_path: Path):
    def script(asked: Asked) -> Say:
        page = int(asked.path.rpartition("=")[2] if "=" in asked.path else 0)
        following = f"?page={page + 1}" if page < 2 else None
        return Say(200, json.dumps({"items": [page, page], "next": following}).encode())

    path, journal = tmp_path / "items.jsonl", tmp_path / "a.db"
    async with scripted(script) as server:
        first = Cut(server.url, path, journal=journal, say=_no)
        first.cut_at = cut_at
        async with first:
            first.launch()
            await until(lambda: first._closed)
        for _ in range(2):
            async with Cut(server.url, path, journal=journal, say=_no) as again:
                await again.launch()
                await again.drain()
                report = again.report()
    assert path.read_text().split() == ["0", "0", "1", "1", "2", "2"]
    assert report.is_good
    assert (again.pages, again.items_written) == (3, 6)


def _no(_line: str) -> None:
    """Say nothing."""


async def test_a_monitor_with_a_journal_goes_on_counting(tmp_path: Path):
    async with scripted(lambda asked: Say()) as server:
        for rounds, expected in ((2, 2), (5, 2)):
            urls = [f"{server.url}/a"]
            flow = Monitor(urls, interval=0, rounds=rounds, journal=tmp_path / "a.db", say=_no)
            async with flow:
                await flow.launch()
                await flow.drain()
            assert flow.watches[0].checks == expected
        assert flow.report().is_good


async def test_a_job_with_a_journal_is_submitted_once(tmp_path: Path):
    def script(asked: Asked) -> Say:
        if asked.method == "POST":
            return Say(201, b"", {"Location": "/jobs/1"})
        return Say(200, b'{"state": "done", "value": 7}')

    async with scripted(script) as server:
        for _ in range(2):
            job = Job(server.url, {"a": 1}, interval=0, journal=tmp_path / "a.db", say=_no)
            async with job:
                await job.launch()
                await job.drain()
            assert job.result == {"state": "done", "value": 7}
            assert job.report().is_good
    assert [asked.method for asked in server.asked] == ["POST", "GET"]


async def test_a_mirror_with_a_journal_fetches_what_is_missing(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b"file")) as server:
        for names in ("ab", "abc"):
            urls = [f"{server.url}/{name}" for name in names]
            flow = Mirror(urls, tmp_path / "copies", journal=tmp_path / "a.db", say=_no)
            async with flow:
                await flow.launch()
                await flow.drain()
            assert flow.report().is_good
    assert sorted(server.paths) == ["/a", "/b", "/c"]
    assert flow.fetched == 3


@pytest.mark.slow
async def test_a_command_with_a_journal_says_that_it_is_complete(tmp_path: Path):
    async with scripted(lambda asked: Say()) as server:
        words = ("monitor", server.url, "--rounds", "1", "--journal", tmp_path / "a.db")
        for _ in range(2):
            code, output = await command(*words)
            assert code == 0
    assert "complete since" in output
    assert len(server.asked) == 1
