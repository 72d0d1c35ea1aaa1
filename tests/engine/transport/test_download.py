"""Bodies of responses that are not held in memory: sinks, streams, caps."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import pathlib
import sys
import tracemalloc

import pytest
from descriptors import open_descriptors
from hypothesis import given
from hypothesis import strategies as st
from servers.raw import answer, raw_server
from servers.web import Web
from waiting import until

from engine.readers import Oops, Reading, raising
from webqq_tornado import (
    ClosedError,
    ConnectError,
    HTTPStream,
    ProtocolError,
    Request,
    TimeoutError,
    TooLargeError,
)
from webqq_tornado.engine.transport.download import add_chunk

MIB = 2**20
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class Sender:
    """Sends a body of so many MiB and counts what the network has taken."""

    def __init__(self, mebibytes: int) -> None:
        self.size = mebibytes * MIB
        self.sent = 0
        self.has_gone = asyncio.Event()

    async def __call__(self, reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % self.size)
        try:
            while self.sent < self.size:
                writer.write(bytes(65536))
                await writer.drain()
                self.sent += 65536
        finally:
            self.has_gone.set()


class Halves:
    """Sends half a body, and the rest when it is told to."""

    def __init__(self, first=b"first\n", second=b"second\n", promised=None) -> None:
        self.go_on = asyncio.Event()
        self.first, self.second = first, second
        self.promised = len(first + second) if promised is None else promised

    async def __call__(self, reader, writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD % self.promised + self.first)
        await self.go_on.wait()
        writer.write(self.second)
        await writer.drain()


async def drained(response) -> int:
    """Read a streamed body to its end."""
    return sum([len(chunk) async for chunk in response.stream])


async def test_a_sink_gets_the_body_instead_of_memory(web: Web):
    chunks: list[bytes] = []
    async with HTTPStream() as stream:
        response = await stream.fetch(Request(f"{web.http}/bytes/300000", sink=chunks.append))
        plain = await stream.fetch(f"{web.http}/bytes/300000")
    assert b"".join(chunks) == plain.body
    assert response.body == b""


async def test_a_sink_may_start_requests(web: Web):
    chains = []
    async with HTTPStream() as stream:

        def sink(chunk):
            chains.append(stream.add_request(web.http))

        await stream.fetch(Request(f"{web.http}/bytes/300000", sink=sink))
        await stream.drain()
    assert chains
    assert {chain.state.value for chain in chains} == {"done"}


@pytest.mark.parametrize("how", ["sink", "stream"])
async def test_a_slow_reader_holds_the_sender(web: Web, how):
    sender, go_on = Sender(64), asyncio.Event()
    taken = 0

    async def sink(chunk):
        nonlocal taken
        await go_on.wait()
        taken += len(chunk)

    async def read(response):
        async for chunk in response.stream:
            await sink(chunk)

    async with HTTPStream() as stream, raw_server(sender) as url:
        request = Request(url, sink=sink) if how == "sink" else Request(url, stream=True)
        chain = stream.add_request(request, read if how == "stream" else Reading())
        for _ in range(300):  # the loop is not held: other links come and go
            await stream.fetch(web.http)
        assert 0 < sender.sent < 24 * MIB  # what the kernel's buffers take
        go_on.set()
        await chain
    assert taken == sender.size


async def test_an_error_in_the_sink_ends_its_chain_only(web: Web):
    async def later(chunk):
        raise Oops("in a coroutine")

    async with HTTPStream() as stream:
        for sink in (raising, later):
            with pytest.raises(Oops):
                await stream.fetch(Request(f"{web.http}/bytes/300000", sink=sink))
        assert (await stream.fetch(web.http)).status == 200


async def test_a_file_appears_when_it_is_whole(web: Web, tmp_path):
    halves = Halves()
    path = tmp_path / "body"
    async with HTTPStream() as stream, raw_server(halves) as url:
        chain = stream.add_request(Request(url, sink=path), Reading())
        while not (tmp_path / "body.part").exists():
            await stream.fetch(web.http)
        assert not path.exists()
        halves.go_on.set()
        await chain
    assert path.read_bytes() == b"first\nsecond\n"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_file_that_broke_off_stays_a_part(tmp_path):
    halves = Halves(promised=1000)
    halves.go_on.set()
    async with HTTPStream() as stream, raw_server(halves) as url:
        with pytest.raises(ProtocolError):
            await stream.fetch(Request(url, sink=tmp_path / "body"))
    assert (tmp_path / "body.part").read_bytes() == b"first\nsecond\n"
    assert not (tmp_path / "body").exists()


async def test_an_empty_body_makes_an_empty_file(web: Web, tmp_path):
    async with HTTPStream() as stream:
        await stream.fetch(Request(f"{web.http}/bytes/0", sink=tmp_path / "body"))
    assert (tmp_path / "body").read_bytes() == b""


async def test_an_error_page_goes_to_the_reader_and_not_to_the_file(tmp_path):
    server = raw_server(answers(b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone"))
    async with HTTPStream() as stream, server as url:
        response = await stream.fetch(Request(url, sink=tmp_path / "body"))
    assert (response.status, response.body) == (404, b"gone")
    assert list(tmp_path.iterdir()) == []


async def test_an_open_file_is_written_to_and_left_open(web: Web):
    file = io.BytesIO()
    async with HTTPStream() as stream:
        await stream.fetch(Request(f"{web.http}/bytes/1000", sink=file))
    assert len(file.getvalue()) == 1000


async def test_what_a_link_leads_to_is_written_to(web: Web, tmp_path):
    """As with /dev/stdout when it is a file."""
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"old")
    link.symlink_to(file)
    async with HTTPStream() as stream:
        await stream.fetch(Request(f"{web.http}/bytes/100", sink=link))
    assert link.is_symlink()
    assert len(file.read_bytes()) == 100


async def test_a_device_is_written_to_and_not_replaced(web: Web):
    master, slave = os.openpty()
    try:
        device = pathlib.Path(os.ttyname(slave))
        async with HTTPStream() as stream:
            both = (stream.fetch(Request(f"{web.http}/bytes/100", sink=device)) for _ in "12")
            await asyncio.gather(*both)
            async with stream.open(f"{web.http}/bytes/100") as response:
                assert await response.stream.save(device) == 100
        assert device.is_char_device()
        with os.fdopen(master, "rb", closefd=False) as end:  # what was written comes in pieces
            assert len(end.read(300)) == 300
    finally:
        os.close(master)
        os.close(slave)


async def test_a_folder_is_no_place_for_a_body(web: Web, tmp_path):
    async with HTTPStream() as stream:
        with pytest.raises(IsADirectoryError):
            await stream.fetch(Request(f"{web.http}/bytes/9", sink=tmp_path))
    assert not tmp_path.with_name(tmp_path.name + ".part").exists()


async def test_a_file_that_cannot_be_made_is_a_clear_error(web: Web, tmp_path):
    async with HTTPStream() as stream:
        with pytest.raises(FileNotFoundError):
            await stream.fetch(Request(f"{web.http}/bytes/9", sink=tmp_path / "no" / "body"))
        assert (await stream.fetch(web.http)).status == 200


async def test_a_streamed_response_is_read_before_its_end():
    halves = Halves()

    async def read(response):
        assert response.headers["Content-Length"] == "13"
        assert await response.stream.read() == b"first\n"
        halves.go_on.set()
        assert await response.stream.read() == b"second\n"
        assert await response.stream.read() == b""
        seen.append(response.status)

    seen: list[int] = []
    async with HTTPStream() as stream, raw_server(halves) as url:
        await stream.add_request(Request(url, stream=True), read)
        assert stream.stats().in_flight == 0
    assert seen == [200]


async def test_a_streamed_response_is_read_before_its_first_byte():
    halves = Halves(first=b"")
    async with HTTPStream() as stream, raw_server(halves) as url, stream.open(url) as response:
        assert response.status == 200
        halves.go_on.set()
        assert [line async for line in response.stream.lines()] == [b"second"]


async def test_a_streamed_redirect_leads_to_its_end(web: Web):
    async with HTTPStream() as stream, stream.open(f"{web.http}/hops/2") as response:
        assert (response.status, await response.stream.read()) == (200, b"arrived")


async def test_a_redirect_that_is_not_followed_can_be_streamed(web: Web):
    request = Request(f"{web.http}/hops/2", follow_redirects=False)
    async with HTTPStream() as stream, stream.open(request) as response:
        assert (response.status, await response.stream.read()) == (302, b"")


async def test_a_streamed_body_can_be_saved(web: Web, tmp_path):
    async with HTTPStream() as stream, stream.open(f"{web.http}/bytes/300000") as response:
        assert await response.stream.save(tmp_path / "body") == 300000
    assert (tmp_path / "body").stat().st_size == 300000


@pytest.mark.parametrize(
    ("keep_ends", "expected"),
    [
        (False, [b"one", b"two", b"", b"three"]),
        (True, [b"one\r\n", b"two\n", b"\n", b"three"]),
    ],
)
async def test_lines_do_not_mind_where_chunks_end(keep_ends, expected):
    halves = Halves(b"one\r\ntw", b"o\n\nthree")
    halves.go_on.set()
    async with HTTPStream() as stream, raw_server(halves) as url, stream.open(url) as response:
        lines = [line async for line in response.stream.lines(keep_ends=keep_ends)]
    assert lines == expected


@given(st.lists(st.binary(min_size=1, max_size=1200), min_size=1))
def test_chunks_are_kept_in_order_however_small(chunks):
    kept = chunks[:1]
    for chunk in chunks[1:]:
        add_chunk(kept, chunk)
    assert b"".join(kept) == b"".join(chunks)


@pytest.mark.parametrize("size", [1, 2, 40, 511, 512, 5000])
def test_small_chunks_take_hardly_more_than_their_bytes(size):
    kept = [b"x" * size]
    for _ in range(2**18 // size):
        add_chunk(kept, b"x" * size)
    assert sum(map(sys.getsizeof, kept)) + sys.getsizeof(kept) < 1.1 * 2**18


@pytest.mark.parametrize("how", ["in memory", "to a function", "streamed"])
async def test_a_body_in_tiny_chunks_takes_twice_its_size_at_most(how):
    size, together = 3 * 2**16, io.BytesIO()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(size // 3 // 1024):
            writer.write(b"3\r\nabc\r\n" * 1024)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with HTTPStream() as stream, raw_server(serve) as url:
        await stream.fetch(url)  # what comes with the first is not the body's
        tracemalloc.start()
        if how == "in memory":
            together.write((await stream.fetch(url)).body)
        elif how == "to a function":
            await stream.fetch(Request(url, sink=together.write))
        else:
            async with stream.open(url) as response:
                async for line in response.stream.lines():
                    together.write(line)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert together.getvalue() == b"abc" * (size // 3)
    assert peak < 4 * size + 2**17  # with what the server and the test hold


async def test_two_that_save_to_one_file_do_not_mix(web: Web, tmp_path):
    url = f"{web.http}/bytes/300000"
    async with HTTPStream() as stream, stream.open(url) as one, stream.open(url) as other:
        saving = asyncio.ensure_future(one.stream.save(tmp_path / "body"))
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="another link writes this file"):
            await other.stream.save(tmp_path / "body")
        assert await saving == 300000
        assert await other.stream.save(tmp_path / "body") == 300000


async def test_what_is_not_read_is_given_up():
    sender, before = Sender(64), open_descriptors()
    async with HTTPStream() as stream, raw_server(sender) as url:
        async with stream.open(url) as response:
            await response.stream.read()
        await sender.has_gone.wait()
        assert sender.sent < sender.size
        assert stream.stats().in_flight == 0
        with pytest.raises(ClosedError):
            await drained(response)
    await until(lambda: open_descriptors() <= before + 1)


async def test_a_chain_goes_on_from_a_streamed_response(web: Web):
    last = Reading()

    async def read(response):
        await response.stream.read()
        return web.http, last

    def read_nothing(response):
        return Request(f"{web.http}/bytes/300000", stream=True), read

    async with HTTPStream() as stream:
        request = Request(f"{web.http}/bytes/300000", stream=True)
        await stream.add_request(request, read_nothing)
        assert stream.stats().in_flight == 0
    assert last.paths == ["/"]


async def test_a_body_that_breaks_off_raises_in_the_reader():
    halves = Halves(promised=1000)
    halves.go_on.set()
    async with HTTPStream() as stream, raw_server(halves) as url, stream.open(url) as response:
        with pytest.raises(ProtocolError, match="reading the body"):
            await drained(response)


async def test_no_answer_is_raised_by_open():
    async with HTTPStream() as stream:
        with pytest.raises(ConnectError):
            async with stream.open("http://127.0.0.1:1/"):
                pass


async def test_a_closed_stream_is_raised_to_who_reads_its_body():
    halves = Halves()
    stream = HTTPStream()
    async with raw_server(halves) as url, stream.open(url) as response:
        await response.stream.read()
        stream.close()
        with pytest.raises(ClosedError):
            await response.stream.read()


async def test_a_streamed_response_that_stalls_times_out():
    async with HTTPStream() as stream, raw_server(Halves()) as url:
        request = Request(url, idle_timeout=1)
        async with stream.open(request) as response:
            with pytest.raises(TimeoutError):
                await drained(response)


async def test_a_cancelled_chain_lets_go_of_a_pending_sink(web: Web):
    called = asyncio.Event()

    async def sink(chunk):
        called.set()
        await asyncio.Event().wait()

    async with HTTPStream() as stream:
        chain = stream.add_request(Request(f"{web.http}/bytes/300000", sink=sink))
        await called.wait()
        assert chain.cancel()
        assert (await stream.fetch(web.http)).status == 200
        assert stream.stats().in_flight == 0


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_sink_whose_awaitable_failed_is_not_called_again(is_done):
    calls = 0

    def sink(chunk):
        nonlocal calls
        calls += 1
        future = asyncio.get_running_loop().create_future()
        if is_done:
            future.set_exception(Oops("in the sink"))
        else:
            asyncio.get_running_loop().call_later(0.01, future.set_exception, Oops("in the sink"))
        return future

    async with HTTPStream() as stream, raw_server(answers(answer(bytes(2**20)))) as url:
        with pytest.raises(Oops):
            await stream.fetch(Request(url, sink=sink))
    assert calls == 1


async def test_a_sink_that_ends_its_chain_gets_nothing_more_of_a_body_that_is_all_there():
    taken = 0

    def sink(chunk):
        nonlocal taken
        taken += 1
        chain.cancel()

    async with HTTPStream() as stream, raw_server(answers(answer(bytes(100_000)))) as url:
        chain = stream.add_request(Request(url, sink=sink))
        with pytest.raises(asyncio.CancelledError):
            await chain
        assert not stream._transport._special
    assert taken == 1


async def test_only_a_streamed_response_has_a_stream(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(web.http)
    with pytest.raises(ValueError, match="stream=True"):
        response.stream  # noqa: B018


def answers(*texts: bytes):
    """A handler that gives each answer once."""

    async def handler(reader, writer):
        for text in texts:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(text)
            await writer.drain()

    return handler


@pytest.mark.parametrize("how", ["memory", "sink"])
async def test_a_body_that_inflates_stops_at_the_cap(how):
    bomb = gzip.compress(bytes(64 * MIB))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    taken: list[int] = []
    sink = (lambda chunk: taken.append(len(chunk))) if how == "sink" else None
    async with HTTPStream() as stream, raw_server(answers(head % len(bomb) + bomb)) as url:
        with pytest.raises(TooLargeError, match="max_body_size"):
            await stream.fetch(Request(url, max_body_size=MIB, sink=sink))
    assert sum(taken) <= MIB


async def test_the_cap_is_for_each_response(web: Web):
    request = Request(f"{web.http}/bytes/1000", max_body_size=1000)
    async with HTTPStream() as stream:
        for _ in range(3):
            assert len((await stream.fetch(request)).body) == 1000
        with pytest.raises(TooLargeError):
            await stream.fetch(Request(f"{web.http}/bytes/1001", max_body_size=1000))


@pytest.mark.parametrize("cap", [{"max_header_size": 100}, {"max_header_count": 4}])
async def test_headers_stop_at_their_caps(cap):
    text = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: %s\r\nX-C: 3\r\nContent-Length: 0\r\n\r\n"
    async with HTTPStream() as stream:
        async with raw_server(answers(text % bytes(100).replace(b"\0", b"b"))) as url:
            with pytest.raises(TooLargeError, match=next(iter(cap))):
                await stream.fetch(Request(url, **cap))
        async with raw_server(answers(answer(b"fine"))) as url:
            assert (await stream.fetch(Request(url, **cap))).body == b"fine"


async def test_header_lines_are_heard_as_they_come(web: Web):
    lines: list[str] = []
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/hops/1", on_header_line=lines.append)
        response = await stream.fetch(request)
    assert lines[0] == "HTTP/1.1 302 Found\r\n"
    assert lines.count("\r\n") == 2
    assert [line for line in lines if line.startswith("HTTP/")][1] == "HTTP/1.1 200 OK\r\n"
    assert response.history[0].status == 302


async def test_progress_is_told_up_to_the_end(web: Web):
    heard = []
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/bytes/300000", on_progress=heard.append)
        await stream.fetch(request)
    assert heard[-1].received == 300000
    assert heard[-1].to_receive == 300000
    assert [one.received for one in heard] == sorted(one.received for one in heard)


async def test_a_special_request_leaves_nothing_to_the_next_one(web: Web):
    def prepare(easy):
        easy.setopt(easy.HTTPHEADER, ["X-Mine: 1"])

    lines: list[str] = []
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/echo", on_header_line=lines.append, prepare_curl=prepare)
        special = await stream.fetch(request)
        count = len(lines)
        plain = await stream.fetch(f"{web.http}/echo")
    assert ["X-Mine", "1"] in special.json()["headers"]
    assert ["X-Mine", "1"] not in plain.json()["headers"]
    assert len(lines) == count > 0
    assert plain.json()["peer"] == special.json()["peer"]


def test_a_sink_path_is_a_path(tmp_path):
    assert Request("http://x/", sink=pathlib.Path(tmp_path)).is_streamed
