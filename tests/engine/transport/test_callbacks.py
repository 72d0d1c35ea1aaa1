"""Files, functions and iterators of users that fail: the link has their error, nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import io

import pytest
from servers.raw import answer, raw_server, saying
from servers.web import Web

from engine.readers import Oops
from webqq_tornado import HTTPStream, Next, Request, TooLargeError


class Broken(io.BytesIO):
    """A file of a disk that fails."""

    def read(self, size=-1):
        raise OSError(5, "Input/output error")


async def failed(web: Web, request: Request, kind: type[Exception]) -> str:
    """The error that the link has, within 5 s; another link is in good health after it."""
    async with HTTPStream() as stream:
        with pytest.raises(kind) as caught:
            await asyncio.wait_for(stream.fetch(request), 60)
        assert (await stream.fetch(web.http)).status == 200
        assert stream.stats().in_flight == 0
    return str(caught.value)


async def test_a_disk_that_is_full_ends_the_download(web: Web, tmp_path):
    (tmp_path / "kept.part").symlink_to("/dev/full")
    request = Request(f"{web.http}/bytes/300000", sink=tmp_path / "kept")
    assert "No space left" in await failed(web, request, OSError)


async def test_a_disk_that_is_full_when_a_small_body_is_flushed(web: Web, tmp_path):
    (tmp_path / "kept.part").symlink_to("/dev/full")
    request = Request(f"{web.http}/bytes/3", sink=tmp_path / "kept")
    assert "No space left" in await failed(web, request, OSError)


@pytest.mark.parametrize("size", [0, 5])
async def test_a_file_that_was_closed_too_early(web: Web, size):
    file = io.BytesIO()
    file.close()
    assert "closed file" in await failed(
        web, Request(f"{web.http}/bytes/{size}", sink=file), ValueError
    )


async def test_a_file_that_cannot_be_read_is_the_error_of_its_upload(web: Web, capfd):
    request = Request(f"{web.http}/echo", "POST", body=Broken(b"12345"))
    assert "Input/output error" in await failed(web, request, OSError)
    assert capfd.readouterr().err == ""


async def test_a_generator_that_fails_to_close_does_not_hold_its_link(web: Web, caplog):
    def body():
        try:
            yield b"x" * 1000
            raise Oops("in the body")
        finally:
            raise Oops("at the end of the body")

    assert "end of the body" in await failed(
        web, Request(f"{web.http}/echo", "POST", body=body()), Oops
    )


async def test_a_generator_that_fails_to_close_when_its_chain_is_cancelled(web: Web, caplog):
    is_asked = asyncio.Event()

    def body():
        try:
            while True:
                is_asked.set()
                yield b"x" * 100_000
        finally:
            raise Oops("at the end of the body")

    async with HTTPStream() as stream:
        chain = stream.add_request(Request(f"{web.http}/hold/upload", "POST", body=body()))
        await is_asked.wait()
        chain.cancel()
        assert chain.done
        assert not stream.chains
        assert (await stream.fetch(web.http)).status == 200
    assert "at the end of the body" in caplog.text


async def test_a_function_that_fails_to_give_the_body_anew(web: Web, capfd):
    given = []

    def body():
        given.append(1)
        if len(given) > 1:
            raise Oops("no second time")
        return iter([b"12345"])

    url = f"{web.http}/redirect?status=307&to={web.http}/echo"
    request = Request(url, "POST", body=body)
    assert "no second time" in await failed(web, request, ValueError)
    assert capfd.readouterr().err == ""


async def test_a_function_that_gives_the_body_anew_may_start_requests(web: Web):
    async with HTTPStream() as stream:
        chains = []

        def body():
            chains.append(stream.add_request(web.http))
            return iter([b"12345"])

        url = f"{web.http}/redirect?status=307&to={web.http}/echo"
        response = await stream.fetch(Request(url, "POST", body=body))
        assert response.json()["body"] == "12345"
        assert len(chains) == 2


async def half(reader, writer):
    """Sends half of a body, and waits."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await reader.read()


async def test_a_second_reader_of_a_body_is_refused():
    async with raw_server(half) as url, HTTPStream() as stream, stream.open(url) as response:
        assert await response.stream.read() == b"half"
        first = asyncio.ensure_future(response.stream.read())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one reader"):
            await response.stream.read()
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first


async def test_a_disk_that_is_full_when_the_download_is_cancelled(tmp_path, caplog):
    (tmp_path / "kept.part").symlink_to("/dev/full")
    has_come = asyncio.Event()

    def on_progress(progress):
        if progress.received:
            has_come.set()

    async with raw_server(half) as url, HTTPStream() as stream:
        request = Request(url, sink=tmp_path / "kept", on_progress=on_progress)
        chain = stream.add_request(request)
        await has_come.wait()
        assert chain.cancel()
        assert not stream.chains
        assert stream.stats().in_flight == 0


async def test_a_fetch_of_a_stream_is_refused_with_what_to_use():
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match=r"open\(\)"):
            await stream.fetch(Request("http://a.test/", stream=True))


async def test_two_links_to_one_file_do_not_mix(tmp_path):
    path = tmp_path / "kept"
    first_has_come = asyncio.Event()

    def on_progress(progress):
        if progress.received:
            first_has_come.set()

    async with raw_server(half) as url, HTTPStream() as stream:
        first = stream.add_request(Request(url, sink=path, on_progress=on_progress))
        await first_has_come.wait()
        with pytest.raises(OSError, match="another link writes this file"):
            await stream.fetch(Request(url, sink=path))
        first.cancel()
        second = stream.add_request(Request(url, sink=path, on_progress=on_progress))
        first_has_come.clear()
        await first_has_come.wait()
        second.cancel()


async def test_a_next_may_be_opened(web: Web):
    async with HTTPStream() as stream:
        link = Next(f"{web.http}/bytes/3", print, session=stream.session("other"))
        async with stream.open(link) as response:
            assert await response.stream.read() == b"012"


@pytest.mark.parametrize("spelling", ["kept", "sub/../kept", "link/kept", "other"])
async def test_files_are_compared_as_they_are_and_not_as_they_are_spelt(tmp_path, spelling):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "other").symlink_to(tmp_path / "kept")
    has_come = asyncio.Event()

    def on_progress(progress):
        if progress.received:
            has_come.set()

    async with raw_server(half) as url, HTTPStream() as stream:
        first = Request(url, sink=tmp_path / "kept", on_progress=on_progress)
        chain = stream.add_request(first)
        await has_come.wait()
        with pytest.raises(OSError, match="another link writes this file"):
            await stream.fetch(Request(url, sink=tmp_path / spelling))
        chain.cancel()


@pytest.mark.parametrize("how", ["cancelled", "refused"])
async def test_a_body_that_is_still_in_its_finally_is_closed_behind_that(caplog, how):
    is_sending, goes_on, is_closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def body():
        try:
            yield b"first"
            is_sending.set()
            await asyncio.Event().wait()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await goes_on.wait()
            await asyncio.sleep(0)
            is_closed.set()

    async def refuse(reader, writer):
        await is_sending.wait()
        if how == "refused":
            writer.write(answer(status=b"413 Too Large"))
        else:
            chain.cancel()
        await reader.read()

    async with raw_server(refuse) as url, HTTPStream() as stream:
        chain = stream.add_request(Request(url, "POST", body=body()))
        with contextlib.suppress(asyncio.CancelledError):
            await chain
        goes_on.set()
        await asyncio.wait_for(is_closed.wait(), 60)
    assert not caplog.records


async def test_a_body_that_ends_its_own_chain_is_left_to_return(caplog):
    def body():
        yield b"first"
        chain.cancel()

    async with raw_server(half) as url, HTTPStream() as stream:
        chain = stream.add_request(Request(url, "POST", body=body()))
        with pytest.raises(asyncio.CancelledError):
            await chain
    assert not caplog.records


async def test_trailers_are_heard_behind_the_body():
    heard: list[object] = []
    goes_on = asyncio.Event()

    async def sink(chunk):
        heard.append(chunk)
        await goes_on.wait()

    def on_header_line(line):
        heard.append(line)
        if line.startswith("Content-Type"):
            asyncio.get_running_loop().call_soon(goes_on.set)

    text = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n"
        b"2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    async with raw_server(saying(text)) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, sink=sink, on_header_line=on_header_line))
    assert heard.index(b"ab") < heard.index("X-Sum: 1\r\n")


async def test_headers_are_counted_for_each_answer():
    challenge = answer(b"", b'WWW-Authenticate: Digest realm="a", nonce="b"', status=b"401 No")
    async with raw_server(saying(challenge, answer(b"in"))) as url, HTTPStream() as stream:
        request = Request(
            url, auth_mode="digest", auth_username="a", auth_password="b", max_header_count=4
        )
        assert (await stream.fetch(request)).body == b"in"


async def test_interim_answers_count_with_the_one_that_they_announce():
    flood = b"HTTP/1.1 103 Early\r\n\r\n" * 50
    async with raw_server(saying(flood + answer(b"in"))) as url, HTTPStream() as stream:
        with pytest.raises(TooLargeError, match="max_header_count"):
            await stream.fetch(Request(url, max_header_count=20))
