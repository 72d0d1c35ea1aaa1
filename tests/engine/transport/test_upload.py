"""Bodies of requests that come from files and iterators."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
import itertools
import os

import pytest
from servers.scripted import Asked, Say, scripted
from servers.web import Web
from tenacity import wait_none

from engine.readers import Oops, Reading
from webqq_tornado import HTTPStream, Next, Request, StreamError
from webqq_tornado.auth import BearerAuth
from webqq_tornado.engine.transport.upload import IteratorOutflow
from webqq_tornado.retry import Retry

TEXT = b"one two three"


async def pieces():
    """The text from an async generator."""
    for word in (b"one ", b"", b"two ", b"three"):
        yield word


def words():
    """The text from a generator."""
    yield from (b"one ", b"", b"two ", b"three")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(TEXT)
    return path


async def sent(web: Web, body, method="POST", **options) -> dict:
    """What the server got."""
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/echo", method, body=body, **options)
        response = await stream.fetch(request)
        seen = response.json()
        seen["headers"] = dict(seen["headers"])
        plain = await stream.fetch(f"{web.http}/echo")
        assert plain.json()["method"] == "GET"
        assert plain.json()["body"] == ""
        return seen


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_a_file_is_sent_with_its_length(web: Web, path, method):
    seen = await sent(web, path, method)
    assert (seen["method"], seen["body"]) == (method, TEXT.decode())
    assert seen["headers"]["Content-Length"] == str(len(TEXT))


async def test_an_open_file_is_sent_from_where_it_stands(web: Web):
    file = io.BytesIO(TEXT)
    file.seek(4)
    assert (await sent(web, file))["body"] == "two three"


@pytest.mark.parametrize("source", [words, pieces])
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_generator_is_sent_chunked(web: Web, source, method):
    seen = await sent(web, source(), method)
    assert (seen["method"], seen["body"]) == (method, TEXT.decode())
    assert seen["headers"]["Transfer-Encoding"] == "chunked"
    assert "Expect" not in seen["headers"]


@pytest.mark.parametrize("source", [words, pieces])
async def test_a_generator_of_known_size_is_sent_with_it(web: Web, source):
    seen = await sent(web, source(), body_size=len(TEXT))
    assert seen["body"] == TEXT.decode()
    assert seen["headers"]["Content-Length"] == str(len(TEXT))
    assert "Transfer-Encoding" not in seen["headers"]


async def test_a_large_body_arrives_whole(web: Web):
    blocks = [bytes([number]) * 100_000 for number in range(50)]
    seen = await sent(web, iter(blocks))
    assert seen["body"].encode("latin-1") == b"".join(blocks)


@pytest.mark.parametrize("source", [words, pieces])
async def test_a_function_gives_the_body_anew_after_a_redirect(web: Web, source):
    async with HTTPStream() as stream:
        url = f"{web.http}/redirect?status=307&to={web.http}/echo"
        response = await stream.fetch(Request(url, "POST", body=source))
    assert response.json()["body"] == TEXT.decode()


async def test_a_file_is_sent_again_after_a_redirect(web: Web, path):
    async with HTTPStream() as stream:
        url = f"{web.http}/redirect?status=307&to={web.http}/echo"
        response = await stream.fetch(Request(url, "POST", body=path))
    assert response.json()["body"] == TEXT.decode()


async def test_an_iterator_cannot_be_sent_again(web: Web):
    async with HTTPStream() as stream:
        url = f"{web.http}/redirect?status=307&to={web.http}/echo"
        with pytest.raises(StreamError, match="function"):
            await stream.fetch(Request(url, "POST", body=words()))


class Pipe(io.RawIOBase):
    """A file that cannot go back."""

    def __init__(self) -> None:
        self._left = TEXT

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        return data


def opened(path, place=0):
    file = path.open("rb")
    file.seek(place)
    return file


def in_memory(path, place=0):
    file = io.BytesIO(path.read_bytes())
    file.seek(place)
    return file


class Reticent:
    """A file as SpooledTemporaryFile is one in Python 3.10, and uploads of web frameworks."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        self.read, self.tell = self._file.read, self._file.tell

    def seek(self, place: int, whence: int = os.SEEK_SET) -> None:
        self._file.seek(place, whence)


@contextlib.contextmanager
def reticent(path, place=0):
    file = Reticent(path.read_bytes())
    file.seek(place)
    yield file


async def test_a_file_that_does_not_say_whether_it_can_go_back_is_sent_with_its_length(web: Web):
    file = Reticent(TEXT)
    file.seek(4)
    seen = await sent(web, file)
    assert (seen["body"], seen["headers"]["Content-Length"]) == ("two three", "9")


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("make", [opened, in_memory, reticent])
async def test_what_is_sent_again_from_a_file_is_what_was_sent_first(path, make, method):
    def script(asked: Asked) -> Say:
        return Say((503, 401, 200, 200)[asked.number])

    def again(response):
        return (response.request, again) if len(server.asked) < 4 else None

    auth = BearerAuth("old", renew=lambda: "new")
    async with scripted(script) as server:
        retry = Retry(wait=wait_none(), methods=[method])
        async with HTTPStream(retry=retry, auth=auth) as stream:
            with make(path, 4) as file:
                await stream.add_request(Request(server.url, method, body=file), again)
    assert [asked.body for asked in server.asked] == [TEXT[4:]] * 4


@pytest.mark.parametrize("make", [opened, in_memory])
async def test_requests_at_once_may_share_an_open_file(path, make):
    path.write_bytes(large := bytes(range(256)) * 4000)
    async with scripted(lambda _: Say()) as server:
        async with HTTPStream(max_clients=2) as stream:
            with make(path) as file:
                same = Request(server.url, "PUT", body=file)
                for request in (same, same, Request(server.url, "PUT", body=file)):
                    stream.add_request(request)
                await stream.drain()
    assert [asked.body == large for asked in server.asked] == [True] * 3


async def test_pieces_of_a_file_are_requests_made_where_they_begin(path):
    async with scripted(lambda _: Say()) as server:
        async with HTTPStream() as stream:
            with path.open("rb") as file:
                for place in (0, 5, 10):
                    file.seek(place)
                    await stream.fetch(Request(server.url, "PUT", body=file, body_size=3))
    assert [asked.body for asked in server.asked] == [TEXT[n : n + 3] for n in (0, 5, 10)]


USED_UP = {
    "a generator": words,
    "an async generator": pieces,
    "an iterator": lambda: map(bytes, [b"one"]),
    "a file that cannot go back": Pipe,
    "a function that gives the same": lambda: functools.partial(next, itertools.repeat(words())),
    "a function that gives the same file": lambda: functools.partial(
        next, itertools.repeat(Pipe())
    ),
}


@pytest.mark.parametrize("make", USED_UP.values(), ids=USED_UP)
async def test_what_is_used_up_is_not_sent_again_as_nothing(web: Web, make):
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/echo", "PUT", body=make())
        assert (await stream.fetch(request)).json()["body"]
        with pytest.raises(
            StreamError, match="used up: give body= a path, or a function"
        ) as caught:
            await stream.fetch(request)
        assert caught.value.request is request
        errors = []
        link = Next(request, errback=errors.append)
        await stream.add_request(web.http, lambda _: link)
    assert "used up" in str(errors[0])


async def test_a_function_that_gives_the_same_file_is_sent_from_its_beginning(web: Web):
    file = io.BytesIO(TEXT)
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/echo", "PUT", body=lambda: file)
        bodies = [(await stream.fetch(request)).json()["body"] for _ in range(3)]
    assert bodies == [TEXT.decode()] * 3


async def test_a_closed_file_is_refused(web: Web, path):
    file = path.open("rb")
    request = Request(f"{web.http}/echo", "PUT", body=file)
    file.close()
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="closed"):
            await stream.fetch(request)
    with pytest.raises(ValueError, match="is closed: send it before, or give its path"):
        Request(f"{web.http}/echo", "PUT", body=file)


async def test_what_an_iterator_raises_ends_its_chain_only(web: Web):
    def breaking():
        yield b"one"
        raise Oops("in a generator")

    async def breaking_later():
        yield b"one"
        raise Oops("in an async generator")

    async with HTTPStream() as stream:
        for body in (breaking(), breaking_later()):
            with pytest.raises(Oops):
                await stream.fetch(Request(f"{web.http}/echo", "POST", body=body))
        assert (await stream.fetch(web.http)).status == 200


async def test_an_iterator_may_start_requests(web: Web):
    reader = Reading()
    async with HTTPStream() as stream:

        def body():
            stream.add_request(web.http, reader)
            yield TEXT

        await stream.fetch(Request(f"{web.http}/echo", "POST", body=body()))
        await stream.drain()
    assert reader.paths == ["/"]


@pytest.mark.parametrize("body", [[1], iter(["text"]), io.StringIO("text")])
async def test_what_is_not_bytes_is_refused(web: Web, body):
    async with HTTPStream() as stream:
        with pytest.raises((TypeError, StreamError)):
            await stream.fetch(Request(f"{web.http}/echo", "POST", body=body))
        assert (await stream.fetch(web.http)).status == 200


async def test_a_file_that_is_not_there_is_named(web: Web, tmp_path):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match="not-there"):
            await stream.fetch(Request(web.http, "POST", body=tmp_path / "not-there"))


@pytest.mark.parametrize("body", [7, object()])
def test_a_body_of_another_kind_is_refused(body):
    with pytest.raises(ValueError, match="a body is bytes, text, a path"):
        Request("http://example.org/", body=body)


async def test_progress_of_an_upload_is_told(web: Web):
    heard = []
    body = bytes(2_000_000)
    async with HTTPStream() as stream:
        request = Request(f"{web.http}/status/200", "POST", body=body, on_progress=heard.append)
        await stream.fetch(request)
    assert heard[-1].sent == heard[-1].to_send == 2_000_000


@pytest.mark.parametrize(
    ("body", "is_replayable"),
    [(b"x", True), (words, True), (words(), False), ([b"x"], True), (io.BytesIO(), True)],
)
def test_a_request_knows_whether_it_can_be_sent_again(body, is_replayable):
    assert Request("http://example.org/", body=body).is_replayable is is_replayable


class Attending:
    """The part of a transfer that an outflow uses."""

    def attend(self) -> None:
        pass

    def resume_sending(self) -> None:
        pass


async def test_a_body_that_is_begun_anew_closes_the_old_one_behind_its_finally(caplog):
    ended: list[str] = []

    async def body():
        try:
            await asyncio.Event().wait()
            yield b"never"
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append("ended")

    outflow = IteratorOutflow(body(), None, Attending(), body)
    outflow.read(10)
    outflow.serve()
    await asyncio.sleep(0)
    outflow.seek(0, os.SEEK_SET)
    outflow.serve()
    outflow.close()
    for _ in range(20):
        await asyncio.sleep(0)
    del outflow
    gc.collect()
    assert ended == ["ended"]
    assert not caplog.records
