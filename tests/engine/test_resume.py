"""Downloads that break off, and are gone on with."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.scripted import Asked, Say, scripted
from tenacity import wait_none

from webqq_tornado import HTTPStream, ProtocolError, Request
from webqq_tornado.retry import Retry

WHOLE = bytes(range(256)) * 40
HALF = len(WHOLE) // 2


class Files:
    """Serves `WHOLE` with ranges; of the first answers only `cut` bytes come."""

    def __init__(self, *, cuts: int = 1, etag: str = '"v1"', dated: bool = False) -> None:
        self.cuts = cuts
        self.etag = etag
        self.dated = dated
        self.whole = WHOLE

    def __call__(self, asked: Asked) -> Say:
        headers = {"ETag": self.etag} if self.etag else {}
        if self.dated:
            headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        status, start = 200, 0
        validator = asked.headers["If-Range"]
        if asked.headers["Range"] and validator in {self.etag, headers.get("Last-Modified")}:
            start = int(asked.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(self.whole) - 1}/{len(self.whole)}"
            if start >= len(self.whole):
                return Say(416, b"", {"Content-Range": f"bytes */{len(self.whole)}"})
        rest = self.whole[start:]
        if self.cuts:
            self.cuts -= 1
            headers["Content-Length"] = str(len(rest))
            rest = rest[: HALF // 2]
        return Say(status, rest, headers)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


async def broken(stream: HTTPStream, request: Request) -> None:
    """The first try, which breaks off."""
    with pytest.raises(ProtocolError):
        await stream.fetch(request)


async def test_only_the_rest_is_asked_for(target: Path):
    files = Files()
    async with scripted(files) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        assert not target.exists()
        response = await stream.fetch(request)
        assert response.status == 206
        assert server.asked[1].headers["Range"] == f"bytes={HALF // 2}-"
        assert server.asked[1].headers["If-Range"] == '"v1"'
    assert target.read_bytes() == WHOLE
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


async def test_by_last_modified_where_there_is_no_etag(target: Path):
    async with scripted(Files(etag="", dated=True)) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        assert (await stream.fetch(request)).status == 206
    assert target.read_bytes() == WHOLE


async def test_a_retry_goes_on_where_the_last_one_broke_off(target: Path):
    files = Files(cuts=3)
    async with scripted(files) as server, HTTPStream(retry=Retry(wait=wait_none())) as stream:
        response = await stream.fetch(Request(server.url, sink=target, resume=True))
        assert len(response.retried) == 3
        starts = [asked.headers["Range"] for asked in server.asked]
    assert starts[0] is None
    assert starts[1:] == [f"bytes={n * (HALF // 2)}-" for n in (1, 2, 3)]
    assert target.read_bytes() == WHOLE


async def test_another_version_comes_whole(target: Path):
    files = Files()
    async with scripted(files) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        files.etag, files.whole = '"v2"', b"something else"
        assert (await stream.fetch(request)).status == 200
    assert target.read_bytes() == b"something else"


@pytest.mark.parametrize("files", [Files(etag='W/"weak"'), Files(etag="")])
async def test_what_can_not_be_told_from_another_version_is_begun_anew(target: Path, files):
    async with scripted(files) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        assert (await stream.fetch(request)).status == 200
        assert "Range" not in server.asked[1].headers
    assert target.read_bytes() == WHOLE


async def test_the_part_of_another_address_is_not_gone_on_with(target: Path):
    async with scripted(Files()) as server, HTTPStream() as stream:
        await broken(stream, Request(f"{server.url}/a", sink=target, resume=True))
        await stream.fetch(Request(f"{server.url}/b", sink=target, resume=True))
        assert "Range" not in server.asked[1].headers
    assert target.read_bytes() == WHOLE


async def test_when_all_was_there_already_it_gets_its_name(target: Path):
    async with scripted(Files()) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        target.with_name("file.bin.part").write_bytes(WHOLE)
        assert (await stream.fetch(request)).status == 416
    assert target.read_bytes() == WHOLE


async def test_a_part_that_was_not_asked_for_is_an_error_and_then_begun_anew(target: Path):
    files = Files()

    def script(asked: Asked) -> Say:
        say = files(asked)
        if asked.number != 1:
            return say
        return Say(206, b"xyz", {**say.headers, "Content-Range": f"bytes 0-2/{len(WHOLE)}"})

    async with scripted(script) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        with pytest.raises(ProtocolError, match="begins at 0"):
            await stream.fetch(request)
        assert (await stream.fetch(request)).status == 200
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize("dated", [False, True])
async def test_a_part_of_another_version_is_an_error_and_then_begun_anew(target: Path, dated):
    """From a server that does not look at If-Range."""
    files = Files(etag="" if dated else '"v1"', dated=dated)
    other = {"Last-Modified": "Thu, 22 Oct 2015 07:28:00 GMT"} if dated else {"ETag": '"v2"'}

    def script(asked: Asked) -> Say:
        say = files(asked)
        return Say(say.status, say.body, {**say.headers, **other}) if asked.number == 1 else say

    async with scripted(script) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        with pytest.raises(ProtocolError, match="another version"):
            await stream.fetch(request)
        assert (await stream.fetch(request)).status == 200
    assert target.read_bytes() == WHOLE


async def test_the_bytes_are_those_that_were_sent(target: Path):
    async with scripted(Files(cuts=0)) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, sink=target, resume=True))
        assert "Accept-Encoding" not in server.asked[0].headers


async def test_without_resume_it_is_begun_anew(target: Path):
    async with scripted(Files()) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target)
        await broken(stream, request)
        assert (await stream.fetch(request)).status == 200
    assert target.read_bytes() == WHOLE


def test_to_resume_needs_a_path():
    with pytest.raises(ValueError, match="path"):
        Request("http://a.test/", resume=True)
