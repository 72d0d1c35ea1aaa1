"""Server-sent events and JSON lines: the format, and over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.raw import raw_server
from servers.scripted import Asked, Say, scripted

from webqq_tornado import (
    AuthError,
    ConnectError,
    HTTPStream,
    LinkError,
    ProtocolError,
    RedirectError,
    Request,
    ResolveError,
    StreamError,
    TimeoutError,
    TLSError,
    TooLargeError,
)
from webqq_tornado.eventsource import Event, EventParser, EventSource, JSONLines, _pause, each

STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


# -- the format -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "events"),
    [
        # The examples of the HTML standard, 9.2.6.
        (
            "data: This is the first message.\n\ndata: This is the second message, it\n"
            "data: has two lines.\n\n",
            [
                Event("This is the first message."),
                Event("This is the second message, it\nhas two lines."),
            ],
        ),
        (
            "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
            [
                Event("73857293", "add"),
                Event("2153", "remove"),
            ],
        ),
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [Event("YHOO\n+2\n10")]),
        (
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
            "data:  third event\n\n",
            [Event("first event", id="1"), Event("second event"), Event(" third event")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
        ("data:test\n\ndata: test\n\n", [Event("test"), Event("test")]),
        # And its rules.
        ("\ufeffdata: x\n\n", [Event("x")]),
        ("data: a\rdata: b\r\ndata: c\n\r", [Event("a\nb\nc")]),
        ("data: a\r\n\n\ndata: b\r\n\r\n", [Event("a"), Event("b")]),
        ("id: 7\n\ndata: x\n\n", [Event("x", id="7")]),
        ("id: a\0b\ndata: x\n\n", [Event("x")]),
        ("unknown: y\ndata: x\n\n", [Event("x")]),
        ("event: only\n\ndata: x\n\n", [Event("x")]),
        ("data: never ended\n", []),
        ("data: ü€😀\n\n", [Event("ü€😀")]),
    ],
)
def test_events_as_the_standard_has_them(text, events):
    data = text.encode()
    assert EventParser().feed(data) == events
    parser = EventParser()
    assert [event for byte in data for event in parser.feed(bytes([byte]))] == events


def test_bytes_that_are_no_utf8_are_replaced():
    assert EventParser().feed(b"data: \xff\n\n") == [Event("\ufffd")]


@pytest.mark.parametrize(("line", "seconds"), [("1500", 1.5), ("0", 0.0), ("x", None), ("٣", None)])
def test_the_pause_that_the_server_wants(line, seconds):
    parser = EventParser()
    parser.feed(f"retry: {line}\n\n".encode())
    assert parser.retry == seconds


def test_an_event_without_end_is_an_error():
    parser = EventParser(max_event_size=100)
    parser.feed(b"data: 12345678\n" * 7)
    with pytest.raises(ValueError, match="100 characters"):
        parser.feed(b"data: 12345678\n")


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_any_bytes_in_any_pieces_are_the_same_events(data, cuts):
    whole, pieces = EventParser(), EventParser()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found = [e for a, b in pairwise(edges) for e in pieces.feed(data[a:b])]
    assert found == whole.feed(data)


@given(st.lists(st.tuples(st.text(), st.from_regex(r"[a-z]{1,9}", fullmatch=True)), max_size=5))
def test_what_is_written_is_read(items):
    written = [(text.replace("\r", "").replace("\ufeff", ""), kind) for text, kind in items]
    lines = "".join(
        f"event: {kind}\n" + "".join(f"data: {line}\n" for line in text.split("\n")) + "\n"
        for text, kind in written
    )
    data = lines.encode(errors="replace")
    assert [(e.data, e.event) for e in EventParser().feed(data)] == [
        (text.encode(errors="replace").decode(), kind) for text, kind in written
    ]


# -- over connections -------------------------------------------------------------------------


def ticking(asked: Asked) -> Say:
    """Three events after the last that the client has, then the end."""
    first = int(asked.headers["Last-Event-ID"] or 0) + 1
    text = "".join(f"id: {n}\ndata: {n}\n\n" for n in range(first, first + 3))
    return Say(200, text.encode(), STREAM)


async def tries_of(error: Exception | None, times: int) -> int:
    """How often a source asks whose first requests come to an error."""

    class Failing(HTTPStream):
        tries = 0

        def on_request(self, request):
            self.tries += 1
            if self.tries <= times:
                raise error

    async with scripted(lambda asked: Say(204)) as server, Failing() as stream:
        await stream.add_request(EventSource(server.url, print, retry=0.001).link())
    return stream.tries


async def test_events_come_one_by_one_and_go_on_after_the_last():
    seen: list[int] = []

    async def take(event: Event):
        await asyncio.sleep(0)
        seen.append(int(event.data))
        return ("http://127.0.0.1:1/", None) if len(seen) == 8 else None

    async with scripted(ticking) as server, HTTPStream() as stream:
        link = EventSource(server.url, take, retry=0.001).link()
        with contextlib.suppress(Exception):
            chain = stream.add_request(link)
            chain._is_quiet = True
            await chain
        assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
        assert [asked.headers["Last-Event-ID"] for asked in server.asked] == [None, "3", "6"]
        assert server.asked[0].headers["Accept"] == "text/event-stream"


async def test_what_the_reader_returns_is_followed():
    async with scripted(ticking) as server, HTTPStream() as stream:
        after = f"{server.url}/after"
        source = EventSource(server.url, lambda _: (after, lambda _: None))
        assert (await stream.add_request(source.link())).url == after


async def test_events_as_an_async_iterator():
    async with scripted(ticking) as server, HTTPStream() as stream:
        seen = []
        async for event in each(stream, lambda take: EventSource(server.url, take, retry=0.001)):
            seen.append(event.data)
            if len(seen) == 5:
                break
        assert seen == list("12345")
        await asyncio.sleep(0)
    assert not stream.chains


async def test_a_connection_that_breaks_is_taken_up_again():
    def script(asked: Asked) -> Say:
        if asked.number == 0:
            return Say(
                200, b"id: 5\ndata: a\n\nid: 6\ndata: half", {**STREAM, "Content-Length": "999"}
            )
        return Say(200, b"data: b\n\n", STREAM) if asked.number == 1 else Say(204)

    async with scripted(script) as server, HTTPStream() as stream:
        seen = []
        source = EventSource(server.url, lambda e: seen.append(e.data), retry=0.001)
        await stream.add_request(source.link())
        assert seen == ["a", "b"]
        assert server.asked[1].headers["Last-Event-ID"] == "5"


async def test_who_does_not_want_to_ask_again_does_not_whatever_the_server_says():
    async with scripted(ticking) as server, HTTPStream() as stream:
        source = each(stream, lambda take: EventSource(server.url, take, retry=None))
        seen = []
        async for event in source:
            seen.append(event.data)
            assert len(server.asked) == 1
        assert seen == ["1", "2", "3"]


def answering(asked: Asked) -> Say:
    """An event for each request: the first connection breaks off, the third one is not wanted."""
    cut = {"Content-Length": "99"} if asked.number == 0 else {}
    return Say(200, b"data: 1\n\n", {**STREAM, **cut}) if asked.number < 2 else Say(204)


async def heard_of(request: Request, **options: float | None) -> list[str]:
    """What a source hears of a request to this server."""
    seen: list[str] = []
    async with scripted(answering) as server, HTTPStream() as stream:
        sent = request.replace(url=server.url)
        source = EventSource(sent, lambda event: seen.append(event.data), **options)
        chain = stream.add_request(source.link())
        chain._is_quiet = True
        with contextlib.suppress(ProtocolError):
            await chain
        assert len(seen) == min(len(server.asked), 2)
    return seen


async def test_what_may_not_be_sent_twice_is_not_sent_again():
    """Such as a question to a model, which is answered by events: that costs each time."""
    post = Request("http://localhost/", body=b"{}")
    assert await heard_of(post) == ["1"]
    assert await heard_of(post.replace(method="PATCH")) == ["1"]
    assert await heard_of(post, retry=0.001) == ["1", "1"]
    assert await heard_of(post.replace(method="PUT"), retry=None) == ["1"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_what_may_be_sent_twice_is_sent_again_after_3_seconds(method: str):
    assert EventSource(Request("http://localhost/", method), print).retry == 3


async def test_a_server_that_is_away_for_a_while_is_asked_again():
    class Told(HTTPStream):
        tries = 0

        def on_request(self, request):
            self.tries += 1
            return Request(server.url) if self.tries == 3 else None

    async with scripted(lambda asked: Say(204)) as server, Told() as stream:
        await stream.add_request(EventSource("http://127.0.0.1:1/", print, retry=0.001).link())
        assert stream.tries == 3


@pytest.mark.parametrize("say", [Say(404), Say(200, b"<html>", {"Content-Type": "text/html"})])
async def test_what_is_no_event_stream_is_an_error(say, caplog):
    async with scripted(lambda asked: say) as server, HTTPStream() as stream:
        with pytest.raises(ProtocolError, match="no event stream"):
            await stream.add_request(EventSource(server.url, print).link())
        assert len(server.asked) == 1


async def test_an_error_of_the_reader_is_its_own(caplog):
    def take(event):
        raise ZeroDivisionError

    async with scripted(ticking) as server, HTTPStream() as stream:
        with pytest.raises(ZeroDivisionError):
            await stream.add_request(EventSource(server.url, take).link())


async def test_a_slow_reader_holds_the_sender():
    sent = 0
    is_held = asyncio.Event()

    async def flood(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            writer.write(b"data: " + b"x" * 65536 + b"\n\n")
            try:
                await asyncio.wait_for(writer.drain(), 0.2)
            except asyncio.TimeoutError:
                is_held.set()
                return
            sent += 65536

    async def take(event):
        await asyncio.Event().wait()

    async with raw_server(flood) as url, HTTPStream() as stream:
        chain = stream.add_request(EventSource(url, take).link())
        await is_held.wait()
        chain.cancel()
    assert sent < 2**24


async def test_json_lines_come_one_by_one():
    body = b'{"a": 1}\n\n[2]\r\n"\xc3\xbc"'
    async with scripted(lambda asked: Say(200, body)) as server, HTTPStream() as stream:
        seen = []
        await stream.add_request(JSONLines(server.url, seen.append).link())
        assert seen == [{"a": 1}, [2], "ü"]
        assert len(server.asked) == 1


async def test_json_lines_may_go_on_with_the_next_answer():
    def script(asked: Asked) -> Say:
        return Say(200, b"%d\n" % asked.number) if asked.number < 3 else Say(204)

    async with scripted(script) as server, HTTPStream() as stream:
        seen = []
        await stream.add_request(JSONLines(server.url, seen.append, retry=0.001).link())
        assert seen == [0, 1, 2]


async def test_a_line_that_is_no_json_is_named(caplog):
    async with scripted(lambda asked: Say(200, b"1\nnope\n")) as server, HTTPStream() as stream:
        with pytest.raises(ProtocolError, match="line 2"):
            await stream.add_request(JSONLines(server.url, print).link())


async def test_json_lines_that_break_off_are_an_error(caplog):
    say = Say(200, b"1\n", {"Content-Length": "99"})
    async with scripted(lambda asked: say) as server, HTTPStream() as stream:
        with pytest.raises(ProtocolError):
            async for _ in each(stream, lambda take: JSONLines(server.url, take)):
                pass


# -- streams and readers that go wrong ----------------------------------------------------------


def test_many_small_events_at_once_are_no_large_one():
    assert len(EventParser(max_event_size=20).feed(b"data: 1\n\n" * 1000)) == 1000


def test_comments_that_keep_a_connection_alive_are_no_event_without_end():
    parser = EventParser(max_event_size=20)
    for _ in range(100):
        assert parser.feed(b": still here\n") == []


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_a_pause_beyond_all_reason_is_ignored(digits):
    parser = EventParser()
    parser.feed(b"retry: " + b"9" * digits + b"\n\n")
    assert parser.retry is None


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_of_the_network_in_the_reader_is_the_readers(is_async, caplog):
    seen = []

    def take(event):
        seen.append(event.data)
        raise ConnectError("of what the reader did")

    async def take_later(event):
        take(event)

    async with scripted(ticking) as server, HTTPStream() as stream:
        source = EventSource(server.url, take_later if is_async else take, retry=0.001)
        with pytest.raises(ConnectError, match="of what the reader did"):
            await asyncio.wait_for(stream.add_request(source.link()), 60)
    assert seen == ["1"]


async def test_the_event_that_was_answered_with_a_link_is_the_last():
    async with scripted(ticking) as server, HTTPStream() as stream:
        source = EventSource(server.url, lambda event: (f"{server.url}/after", None))
        await stream.add_request(source.link())
        assert source.last_event_id == "1"


async def test_an_id_that_is_no_ascii_is_sent_back_as_it_came():
    def script(asked: Asked) -> Say:
        return Say(200, "id: naïve\ndata: 1\n\n".encode(), STREAM) if not asked.number else Say(204)

    async with scripted(script) as server, HTTPStream() as stream:
        await stream.add_request(EventSource(server.url, lambda _: None, retry=0.001).link())
        sent = server.asked[1].headers["Last-Event-ID"]
    assert sent.encode("latin-1").decode() == "naïve"


async def test_an_iteration_that_is_cancelled_leaves_no_task():
    is_asked = asyncio.Event()

    async def never(asked: Asked) -> Say:
        is_asked.set()
        return await asyncio.Event().wait()

    async def iterate(stream, url):
        async for _ in each(stream, lambda take: EventSource(url, take)):
            pass

    async with scripted(never) as server, HTTPStream() as stream:
        task = asyncio.ensure_future(iterate(stream, server.url))
        await is_asked.wait()
        task.cancel()
        await asyncio.wait({task})
        await asyncio.sleep(0)
        assert not [one for one in asyncio.all_tasks() if "Queue.get" in repr(one)]


async def test_a_line_without_end_is_given_up(caplog):
    async with scripted(lambda _: Say(200, b"1" * 1000)) as server, HTTPStream() as stream:
        source = JSONLines(server.url, print, retry=0.001, max_line_size=100)
        with pytest.raises(ProtocolError, match="100 bytes"):
            await stream.add_request(source.link())


async def test_a_long_line_arrives_whole():
    line = json.dumps("x" * 2**22).encode()
    async with scripted(lambda _: Say(200, line + b"\n1\n")) as server, HTTPStream() as stream:
        seen = []
        await stream.add_request(JSONLines(server.url, seen.append).link())
    assert [len(str(one)) for one in seen] == [2**22, 1]


@pytest.mark.parametrize("source", [EventSource, JSONLines])
@pytest.mark.parametrize("mistake", [1, "no link", (1, 2, 3, 4)])
async def test_what_is_no_link_ends_the_source(source, mistake, caplog):
    body, headers = {EventSource: (b"data: 1\n\n", STREAM), JSONLines: (b"1\n", {})}[source]
    async with scripted(lambda _: Say(200, body, headers)) as server, HTTPStream() as stream:
        with pytest.raises(LinkError):
            await stream.add_request(source(server.url, lambda _: mistake, retry=0.001).link())
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        TLSError("not trusted", code=60),
        TLSError("the TLS handshake failed: tlsv1 alert protocol version", code=35),
        TLSError("the TLS handshake failed: error:0A00010B:SSL routines::wrong version", code=35),
        RedirectError("too many"),
        TooLargeError("the headers"),
        AuthError("no credentials"),
        StreamError("no URL", code=3),
        LinkError("what a hook returned"),
        OSError("of a hook"),
    ],
)
async def test_what_would_be_no_better_the_next_time_ends_the_source(error, caplog):
    with pytest.raises(type(error)):
        await tries_of(error, 2)


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("refused", code=7),
        ResolveError("no name", code=6),
        TimeoutError("silence", code=28),
        ProtocolError("broke off", code=18),
        TLSError("the TLS handshake failed: SSL routines::unexpected eof while", code=35),
        TLSError("the TLS handshake failed: Recv failure: Connection reset by peer", code=35),
    ],
)
async def test_what_may_pass_is_tried_again(error):
    assert await tries_of(error, 2) == 3


@pytest.mark.parametrize(("asked_for", "waited"), [(0, 0.5), (700, 0.7), (86_400_000, 300.0)])
async def test_the_pause_that_a_server_asks_for_has_limits(asked_for, waited):
    async with (
        scripted(lambda _: Say(200, b"retry: %d\n\n" % asked_for, STREAM)) as server,
        HTTPStream() as stream,
    ):
        source = EventSource(server.url, print, retry=3)
        source._again = lambda: None  # the end: nobody waits
        await stream.add_request(source.link())
    assert source.retry == waited


async def test_pauses_grow_when_nothing_comes_and_are_short_again_when_something_has():
    delays = []

    class Source(EventSource):
        def _again(self):
            link = super()._again()
            delays.append(link.delay)
            return link._replace(delay=0)

    def script(asked: Asked) -> Say:
        if asked.number == 12:
            return Say(204)
        return Say(200, b"data: x\n\n" if asked.number == 8 else b": alive\n\n", STREAM)

    async with scripted(script) as server, HTTPStream() as stream:
        await stream.add_request(Source(server.url, lambda _: None, retry=3).link())
    assert delays == [3, 3, 3, 3, 6, 12, 24, 48, 3, 3, 3, 3]
    assert _pause(3, 1000) == 60
    assert _pause(90, 1000) == 90


def test_a_line_in_many_pieces_takes_time_in_proportion():
    parser, begun = EventParser(), time.process_time()
    for byte in b"data: " + b"x" * 2**18 + b"\n\n":
        events = parser.feed(bytes([byte]))
    assert [len(event.data) for event in events] == [2**18]
    assert time.process_time() - begun < 5  # 0.3 s; with each look at the whole line: 160 s


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffdata: x\r\n\r\n",
        "data: x\r\n\rdata: y\n\n",
        ":" + "c" * 50 + "\n\ndata: x\n\n",
        "id: 1\0\nid: 2\ndata: é€😀\n\n",
        "retry: 1x\nretry: -5\nretry: 7\ndata\n\n",
    ],
)
def test_pieces_make_no_difference(text):
    data = text.encode()
    whole, parser = EventParser(), EventParser()
    events = whole.feed(data)
    assert events
    assert [event for byte in data for event in parser.feed(bytes([byte]))] == events
    assert (parser.retry, parser.last_event_id) == (whole.retry, whole.last_event_id)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_limit_of_an_event_holds_whatever_the_pieces(size):
    parser, data = EventParser(max_event_size=100), b"data: " + b"x" * 200
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(ValueError, match="100 characters"):
        list(map(parser.feed, pieces))


async def test_json_that_is_nested_too_deeply_is_named_by_its_line(caplog):
    body = b"1\n" + b"[" * 200_000 + b"\n"
    async with scripted(lambda _: Say(200, body)) as server, HTTPStream() as stream:
        seen = []
        with pytest.raises(ProtocolError, match=r"line 2 .*nested too deeply"):
            await stream.add_request(JSONLines(server.url, seen.append).link())
    assert seen == [1]
    with pytest.raises(ValueError, match="nested too deeply"):
        Event("[" * 200_000).json()


async def test_json_lines_may_begin_with_a_mark_and_end_in_any_way():
    body = b'\xef\xbb\xbf{"a": 1}\r\n\r\n \t\n"x"\n'
    async with scripted(lambda _: Say(200, body)) as server, HTTPStream() as stream:
        seen = []
        await stream.add_request(JSONLines(server.url, seen.append).link())
    assert seen == [{"a": 1}, "x"]


async def test_a_line_that_was_cut_is_of_a_connection_that_broke_off():
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        answers.append(b"1\n2\n[3, 4" if not answers else b"5\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + answers[-1])

    def take(value):
        seen.append(value)
        return (url, None) if value == 5 else None

    answers, seen = [], []
    async with raw_server(serve) as url, HTTPStream() as stream:
        await stream.add_request(JSONLines(url, take, retry=0.001).link())
    assert seen == [1, 2, 5]


async def test_what_has_no_line_of_json_is_not_asked_for_again(caplog):
    async with scripted(lambda _: Say(200, b"<html>")) as server, HTTPStream() as stream:
        with pytest.raises(ProtocolError, match="line 1 is not JSON"):
            await stream.add_request(JSONLines(server.url, print, retry=0.001).link())
