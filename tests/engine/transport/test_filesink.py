"""Downloads that break off, and are gone on with."""

from __future__ import annotations

from email.utils import formatdate
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
async def test_what_cannot_be_told_from_another_version_is_begun_anew(target: Path, files):
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


async def test_it_goes_on_where_the_redirect_leads_to_another_address_each_time(target: Path):
    """As of stores that sign their links anew."""
    files, signatures = Files(), iter("ab")

    def answer(asked: Asked) -> Say:
        if asked.path == "/":
            return Say(302, b"", {"Location": f"/file?signature={next(signatures)}"})
        return files(asked)

    async with scripted(answer) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        assert (await stream.fetch(request)).status == 206
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


PART = f"bytes {HALF // 2}-{len(WHOLE) - 1}/{len(WHOLE)}"
TAG = {"ETag": '"v1"'}


async def gone_on(target: Path, first: dict[str, str], second: Say) -> object:
    """What comes of the second request, after a first answer with these headers has broken off."""
    length = {"Content-Length": str(len(WHOLE))}

    def script(asked: Asked) -> Say:
        if asked.number == 0:
            return Say(200, WHOLE[: HALF // 2], {**length, **first})
        return second if asked.headers["Range"] else Say(200, b"anew", first)

    async with scripted(script) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        try:
            return (await stream.fetch(request)).status
        except ProtocolError as error:
            assert not target.exists()
            assert (await stream.fetch(request)).status == 200
            assert target.read_bytes() == b"anew"
            return error.message


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Content-Range": PART}, "does not say of which"),
        ({"Content-Range": PART, "ETag": '"v2"'}, "another version"),
        ({"Content-Range": PART, "ETag": 'W/"v1"'}, "another version"),
        ({"Content-Range": PART, **TAG, "Content-Encoding": "gzip"}, "another version"),
        ({**TAG}, "which part"),
        ({**TAG, "Content-Type": "multipart/byteranges; boundary=x"}, "which part"),
        ({**TAG, "Content-Range": f"lines {PART[6:]}"}, "which part"),
        ({**TAG, "Content-Range": f"bytes 5-9/{len(WHOLE)}"}, "begins at 5"),
        ({**TAG, "Content-Range": f"{PART}0"}, "of 102400, of 10240 before"),
        ({**TAG, "Content-Range": PART.replace(f"/{len(WHOLE)}", "/*")}, "of None"),
        ({**TAG, "Content-Range": f"bytes {HALF // 2}-{len(WHOLE)}/{len(WHOLE)}"}, "ends at"),
    ],
)
async def test_only_the_rest_of_the_same_version_is_joined(target: Path, headers, why):
    assert why in await gone_on(target, TAG, Say(206, WHOLE[HALF // 2 :], headers))


DATE = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}


@pytest.mark.parametrize(
    ("first", "headers"),
    [
        (DATE, {"Content-Range": PART}),
        ({**DATE, "Content-Encoding": "gzip"}, {"Content-Range": PART}),
        ({**TAG, **DATE, "Content-Encoding": "gzip"}, {**TAG, "Content-Range": PART}),
    ],
)
async def test_a_part_need_not_repeat_what_if_range_has_said(target: Path, first, headers):
    assert await gone_on(target, first, Say(206, WHOLE[HALF // 2 :], headers)) == 206
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": PART, "ETag": '"v1"'},
        {"Content-Range": PART, "Last-Modified": "Thu, 22 Oct 2015 07:28:00 GMT"},
        {"Content-Range": PART, "Content-Encoding": "gzip"},
    ],
)
async def test_a_part_that_says_otherwise_than_the_date_is_not_joined(target: Path, headers):
    assert "another version" in await gone_on(target, DATE, Say(206, WHOLE[HALF // 2 :], headers))


@pytest.mark.parametrize("size", [10, len(WHOLE)])
async def test_a_part_of_another_length_than_it_says_is_not_joined(target: Path, size):
    say = Say(206, (WHOLE * 2)[HALF // 2 :][:size], {**TAG, "Content-Range": PART})
    assert "it ends at" in await gone_on(target, TAG, say)


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"v2"', "Content-Range": f"bytes */{HALF // 2}"},
        {"Content-Range": f"bytes */{HALF // 2}"},
        {**TAG, "Content-Range": f"bytes */{HALF // 2}"},
        {**TAG, "Content-Range": f"bytes */{len(WHOLE)}"},
        TAG,
    ],
)
async def test_where_no_rest_is_to_be_had_it_is_begun_anew(target: Path, headers):
    assert "none is left" in await gone_on(target, TAG, Say(416, b"", headers))


@pytest.mark.parametrize("headers", [{}, TAG])
async def test_a_whole_that_had_no_name_yet_gets_it(target: Path, headers):
    part = {"Content-Range": f"bytes */{len(WHOLE)}", **headers}

    def script(asked: Asked) -> Say:
        if asked.headers["Range"]:
            return Say(416, b"", part)
        return Say(200, WHOLE[:-1], {**TAG, "Content-Length": str(len(WHOLE))})

    async with scripted(script) as server, HTTPStream() as stream:
        request = Request(server.url, sink=target, resume=True)
        await broken(stream, request)
        target.with_name("file.bin.part").write_bytes(WHOLE)
        assert (await stream.fetch(request)).status == 416
    assert target.read_bytes() == WHOLE


async def test_less_than_the_rest_is_gone_on_with(target: Path):
    """A server may send ranges of a limited size."""

    def script(asked: Asked) -> Say:
        if not asked.headers["Range"]:
            return Say(200, WHOLE[:10], {**TAG, "Content-Length": str(len(WHOLE))})
        start = int(asked.headers["Range"][6:-1])
        part = WHOLE[start : start + 4000]
        span = f"bytes {start}-{start + len(part) - 1}/{len(WHOLE)}"
        return Say(206, part, {**TAG, "Content-Range": span})

    async with scripted(script) as server, HTTPStream(retry=Retry(wait=wait_none())) as stream:
        response = await stream.fetch(Request(server.url, sink=target, resume=True))
    assert len(response.retried) == 3
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("headers", "is_strong"),
    [
        ({"ETag": '"v1"'}, True),
        ({"ETag": "v1"}, False),
        ({"ETag": '"'}, False),
        ({"ETag": 'w/"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, False),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, True),
        ({"Last-Modified": "yesterday"}, False),
        (
            {
                "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Date": "Wed, 21 Oct 2015 07:28:59 GMT",
            },
            False,
        ),
        (
            {
                "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT",
                "Date": "Wed, 21 Oct 2015 07:29:00 GMT",
            },
            True,
        ),
        ({"Last-Modified": "now"}, False),
        ({"Last-Modified": "Wed, 21 Oct 2099 07:28:00 GMT"}, False),
    ],
)
async def test_a_validator_is_used_only_if_it_is_strong(target: Path, headers, is_strong):
    if headers.get("Last-Modified") == "now":
        headers = {"Last-Modified": formatdate(usegmt=True)}
    say = Say(206, WHOLE[HALF // 2 :], {**headers, "Content-Range": PART})
    assert await gone_on(target, headers, say) == (206 if is_strong else 200)
    assert target.read_bytes() == (WHOLE if is_strong else b"anew")


@pytest.mark.parametrize("resume", [False, True])
async def test_a_part_that_nobody_asked_for_is_no_file(target: Path, resume):
    say = Say(206, b"AAAAA", {"Content-Range": "bytes 5-9/100"})
    async with scripted(lambda _: say) as server, HTTPStream() as stream:
        with pytest.raises(ProtocolError, match="all of it was asked for"):
            await stream.fetch(Request(server.url, sink=target, resume=resume))
        with target.open("wb") as file, pytest.raises(ProtocolError, match="all of it"):
            await stream.fetch(Request(server.url, sink=file))
        asking = Request(server.url, headers={"range": "bytes=5-9"}, sink=target, resume=resume)
        assert (await stream.fetch(asking)).status == 206
        assert server.asked[-1].headers.get_all("Range") == ["bytes=5-9"]
    assert target.read_bytes() == b"AAAAA"


async def test_no_validator_stands_beside_the_bytes_of_another_version(target: Path, monkeypatch):
    """Not even if the process ends between the two."""
    part, seen = target.with_name("file.bin.part"), []
    part.write_bytes(b"of the version before")
    write_text = Path.write_text

    def noting(path: Path, *arguments: object, **options: object) -> int:
        seen.append(part.read_bytes())
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", noting)
    async with scripted(Files(cuts=0)) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, sink=target, resume=True))
    assert seen == [b""]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 205)])
async def test_an_answer_that_has_no_body_leaves_the_file(target: Path, method, status, resume):
    target.write_bytes(b"the old one")
    async with scripted(lambda _: Say(status)) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, method, sink=target, resume=resume))
    assert target.read_bytes() == b"the old one"
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


async def test_only_get_asks_for_the_rest(target: Path):
    async with scripted(Files()) as server, HTTPStream() as stream:
        await broken(stream, Request(server.url, sink=target, resume=True))
        await stream.fetch(Request(server.url, "POST", sink=target, resume=True))
        assert "Range" not in server.asked[1].headers
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
