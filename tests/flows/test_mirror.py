"""`Mirror`, as a class and as a command: copies of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none

from flows.commands import command, silent
from webqq_tornado.flows.mirror import Mirror, path_of
from webqq_tornado.retry import Retry

AT_ONCE = Retry(wait=wait_none())


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


async def test_a_mirror_with_a_journal_fetches_what_is_missing(tmp_path: Path):
    async with scripted(lambda asked: Say(200, b"file")) as server:
        for names in ("ab", "abc"):
            urls = [f"{server.url}/{name}" for name in names]
            flow = Mirror(urls, tmp_path / "copies", journal=tmp_path / "a.db", say=silent)
            async with flow:
                await flow.launch()
                await flow.drain()
            assert flow.report().is_good
    assert sorted(server.paths) == ["/a", "/b", "/c"]
    assert flow.fetched == 3
