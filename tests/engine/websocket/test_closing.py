"""How WebSockets end: what was sent goes out, what went wrong is told, nothing stays."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import textwrap
from pathlib import Path

import pytest
from descriptors import open_descriptors
from servers.raw import raw_server
from servers.web import Web
from servers.ws import CLOSE, PING, PONG, TEXT, Sending, accepting, closing, frame, frames
from waiting import put_ahead, until

from engine.readers import REFUSED, run_script
from webqq_tornado import (
    ClosedError,
    Gather,
    HTTPStream,
    Limits,
    ProtocolError,
    Request,
    State,
    TimeoutError,
)

BYE = closing(1000)
CLOSED = (1001).to_bytes(2, "big")


def ws(url: str) -> str:
    return url.replace("http", "ws", 1)


class Playing(Sending):
    """A handler that goes on with what `play` does, after the handshake."""

    def __init__(self, play) -> None:
        super().__init__()
        self.play = play

    async def __call__(self, reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(accepting(head))
        await self.play(reader, writer)


async def failed(url: str, reader=lambda _: None, **options):
    """The errors that the errback gets."""
    errors: list[Exception] = []
    async with HTTPStream() as stream:
        chain = stream.add_request(Request(ws(url), **options), reader, errback=errors.append)
        await chain
        assert stream.stats().in_flight == 0
    assert len(errors) == 1
    return errors[0]


# -- lost ---------------------------------------------------------------------------------------


async def test_a_server_that_is_silent_is_given_up():
    server, errors = Sending(), []
    async with raw_server(server) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), print, errback=errors.append)
        await until(lambda: chain.state is State.READING)
        put_ahead(30)
        await until(lambda: server.heard)
        put_ahead(30)
        await chain
        await server.is_left.wait()
    assert [type(error) for error in errors] == [TimeoutError]
    assert errors[0].close_code == chain.close_code == 1011
    assert server.heard[0] == (PING, b"")
    assert server.heard[1][1][:2] == (1011).to_bytes(2, "big")


@pytest.mark.parametrize(
    "pieces",
    [[frame(TEXT, b"abc")] * 3, [frame(TEXT, b"abc")[i : i + 1] for i in range(5)]],
    ids=["messages", "a message byte by byte"],
)
async def test_a_server_that_says_anything_is_there_without_pongs(pieces):
    server, seen = Sending(), []
    async with raw_server(server) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), lambda message: seen.append(message.data))
        await until(lambda: chain.state is State.READING)
        for count, piece in enumerate(pieces, 1):
            put_ahead(30)
            await until(lambda count=count: len(server.heard) == count)
            server.writer.write(piece)
        await until(lambda: seen)
        chain.close_socket()
        await chain
    assert set(seen) == {"abc"}


async def test_pings_of_the_server_are_answered_while_the_reader_takes_its_time():
    server = Sending(*(frame(TEXT, b"%d" % n) for n in range(4)), frame(PING, b"there?"))
    may_go_on, seen = asyncio.Event(), []

    async def read(message):
        await may_go_on.wait()
        seen.append(message.data)

    async with raw_server(server) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), read)
        await until(lambda: (PONG, b"there?") in server.heard)
        for count in (2, 3):
            put_ahead(30)
            await until(lambda count=count: len(server.heard) == count)
            server.writer.write(frame(PONG))
        may_go_on.set()
        server.writer.write(BYE)
        await chain
    assert seen == ["0", "1", "2", "3"]


async def test_a_reader_that_holds_the_server_is_no_missing_pong():
    """All its buffers are full: no pong can come, and no time is counted."""
    server = Sending(*[frame(TEXT, b"x" * 2**20)] * 8, BYE)
    may_go_on, seen = asyncio.Event(), []

    async def read(message):
        await may_go_on.wait()
        seen.append(len(message.data))

    async with raw_server(server) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), read)
        await until(lambda: chain._socket and chain._socket._room)
        for _ in range(5):
            put_ahead(30)
            await asyncio.sleep(0)
        may_go_on.set()
        await chain
    assert seen == [2**20] * 8


def reset(writer):
    """The connection ends in RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@pytest.mark.parametrize("how", ["closed", "reset", "in a frame", "in a message"])
@pytest.mark.parametrize("says", [b"", frame(TEXT, b"hello")])
async def test_a_connection_that_breaks_off_is_an_error(how, says):
    async def play(reader, writer):
        rest = {"in a frame": frame(TEXT, b"abc")[:-1], "in a message": frame(TEXT, fin=False)}
        writer.write(says + rest.get(how, b""))
        await writer.drain()
        if says:
            await reader.readexactly(1)
        if how == "reset":
            reset(writer)

    seen = []

    def read(message):
        seen.append(message.data)
        message.reply("got it")

    async with raw_server(Playing(play)) as url:
        error = await failed(url, read)
    assert type(error) is ProtocolError
    assert error.close_code == 1006
    assert "1006" in str(error)
    assert seen == (["hello"] if says else [])


# -- goodbyes -------------------------------------------------------------------------------------


async def test_a_goodbye_that_nobody_answers_is_an_error():
    heard, errors = [], []

    async def play(reader, writer):
        async for opcode, _ in frames(reader):
            heard.append(opcode)

    async with raw_server(Playing(play)) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), print, errback=errors.append)
        chain.close_socket()
        await until(lambda: heard)
        put_ahead(5)
        await chain
    assert heard == [CLOSE]
    assert type(errors[0]) is TimeoutError
    assert "close frame" in str(errors[0])


async def test_a_server_that_hangs_up_at_our_goodbye_has_broken_off():
    async def play(reader, writer):
        writer.write(frame(TEXT, b"a"))
        async for opcode, _ in frames(reader):
            if opcode == CLOSE:
                return

    async with raw_server(Playing(play)) as url:
        error = await failed(url, lambda message: message.chain.close_socket())
    assert type(error) is ProtocolError
    assert error.close_code == 1006


@pytest.mark.parametrize(("code", "is_peaceful"), [(4321, True), (1000, True), (1011, False)])
async def test_an_answer_to_our_goodbye(code, is_peaceful):
    async def play(reader, writer):
        writer.write(frame(TEXT, b"a"))
        async for opcode, _ in frames(reader):
            if opcode == CLOSE:
                writer.write(closing(code))
                return

    errors = []
    async with raw_server(Playing(play)) as url, HTTPStream() as stream:
        chain = stream.add_request(
            ws(url), lambda message: message.chain.close_socket(4321), errback=errors.append
        )
        await chain
        assert chain.close_code == code
    assert [type(one) for one in errors] == ([] if is_peaceful else [ProtocolError])


async def test_messages_that_come_before_the_answer_to_our_goodbye_are_read():
    async def play(reader, writer):
        writer.write(frame(TEXT, b"a"))
        async for opcode, data in frames(reader):
            if opcode == CLOSE:
                writer.write(frame(TEXT, b"b") + frame(CLOSE, data))
                return

    seen = []

    def read(message):
        seen.append(message.data)
        message.chain.close_socket()

    async with raw_server(Playing(play)) as url, HTTPStream() as stream:
        await stream.add_request(ws(url), read)
    assert seen == ["a", "b"]


# -- the last words -------------------------------------------------------------------------------


async def said(read) -> list[tuple[int, bytes]]:
    """What a server hears that says something."""
    server = Sending(frame(TEXT, b"hello"))
    async with raw_server(server) as url:
        async with HTTPStream() as stream:
            await stream.add_request(ws(url), read, errback=lambda _: None)
        await server.is_left.wait()
    return server.heard


LARGE = b"x" * 3_000_000


@pytest.mark.parametrize("last", [b"bye", LARGE])
@pytest.mark.parametrize("how", ["close", "link", "links", "raise", "later"])
async def test_the_last_message_goes_out_before_the_goodbye(web: Web, how, last):
    def end(message):
        message.reply("one")
        message.reply(last)
        if how == "close":
            message.chain.close_socket()
        if how == "raise":
            raise ZeroDivisionError
        return {"link": (web.http, None), "links": [(web.http, None)] * 2}.get(how)

    async def read_later(message):
        end(message)
        return web.http, None

    heard = await said(read_later if how == "later" else end)
    assert heard[:2] == [(TEXT, b"one"), (2, last)]
    assert heard[2][0] == CLOSE
    assert len(heard) == 3


async def test_the_next_link_is_sent_when_the_last_message_was():
    order, is_left = [], asyncio.Event()

    class Slow(Sending):
        async def __call__(self, reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"Upgrade" not in head:
                order.append("link")
                writer.write(b"HTTP/1.1 204 X\r\n\r\n")
                return
            writer.write(accepting(head) + frame(TEXT, b"hello"))
            async for opcode, data in frames(reader):
                order.append(len(data) if opcode == 2 else opcode)
                if opcode == CLOSE:
                    is_left.set()

    def read(message):
        message.reply(b"x" * 2**24)
        return message.chain._request.url.replace("ws", "http"), None

    async with raw_server(Slow()) as url, HTTPStream() as stream:
        await stream.add_request(ws(url), read)
        await is_left.wait()
    assert order[0] == 2**24
    assert set(order[1:]) == {CLOSE, "link"}


async def test_a_server_that_does_not_take_the_last_message_does_not_hold_the_chain(web: Web):
    has_left = asyncio.Event()

    async def play(reader, writer):
        writer.write(frame(TEXT, b"hello"))
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    def read(message):
        message.reply(b"x" * 2**25)
        has_left.set()
        return web.http, lambda _: None

    async with raw_server(Playing(play)) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), read)
        await has_left.wait()
        await until(lambda: put_ahead(5) or chain.steps == 2)
        assert (await chain).status == 200


async def test_whoever_awaits_what_it_sends_goes_no_faster_than_the_server():
    may_read, sent = asyncio.Event(), []

    async def play(reader, writer):
        writer.transport.pause_reading()
        await may_read.wait()
        writer.transport.resume_reading()
        async for opcode, data in frames(reader):
            if opcode == CLOSE:
                writer.write(frame(CLOSE, data))
                return

    async def flood(chain):
        for number in range(100):
            await chain.send(b"x" * 2**20)
            sent.append(number)
        chain.close_socket()

    async with raw_server(Playing(play)) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), print)
        flooding = asyncio.ensure_future(flood(chain))
        await until(lambda: sent)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert len(sent) < 50
        may_read.set()
        await flooding
        await chain
    assert len(sent) == 100


# -- what is left ---------------------------------------------------------------------------------


ENDS = ["server", "client", "error", "refused", "link", "cancel", "deadline", "drop", "raise"]


@pytest.mark.parametrize("how", ENDS)
async def test_an_end_gives_back_its_place_and_its_descriptors(how, web: Web, caplog):
    said = {"server": BYE, "error": frame(11), "drop": b""}.get(how, frame(TEXT, b"a"))

    async def play(reader, writer):
        writer.write(said)
        if how != "drop":
            async for opcode, data in frames(reader):
                if opcode == CLOSE:
                    writer.write(frame(CLOSE, data))
                    return

    def read(message):
        if how == "client":
            message.chain.close_socket()
        if how == "raise":
            raise ZeroDivisionError
        if how == "cancel":
            message.chain.cancel()
        return (web.http, None) if how == "link" else None

    async with raw_server(Playing(play)) as url, HTTPStream(limits=Limits(clients=1)) as stream:
        await stream.fetch(web.http)
        before = open_descriptors()
        where = REFUSED if how == "refused" else url
        deadline = 0.2 if how == "deadline" else None
        for _ in range(3):
            chain = stream.add_request(ws(where), read, deadline=deadline)
            await asyncio.wait([asyncio.ensure_future(_ended(chain))])
            assert stream.stats().in_flight == 0
            assert (await stream.fetch(web.http)).status == 200
    await until(lambda: open_descriptors() <= before)


async def _ended(chain):
    try:
        await chain
    except (Exception, asyncio.CancelledError) as error:
        return error
    return None


async def test_cancel_in_the_handshake_leaves_nothing(web: Web):
    asked = asyncio.Event()

    async def silent(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        assert await reader.read() == b""
        asked.clear()

    async with raw_server(silent) as url, HTTPStream() as stream:
        await stream.fetch(web.http)
        before = open_descriptors()
        chain = stream.add_request(ws(url), print)
        await asked.wait()
        assert chain.cancel()
        assert stream.stats().in_flight == 0
        await stream.fetch(web.http)
        await until(lambda: open_descriptors() <= before + 1)


async def test_a_chain_that_is_cancelled_sends_nothing_more():
    server = Sending(frame(TEXT, b"hello"))

    def read(message):
        message.reply("never")
        message.chain.cancel()

    async with raw_server(server) as url, HTTPStream() as stream:
        with pytest.raises(asyncio.CancelledError):
            await stream.add_request(ws(url), read)
        await server.is_left.wait()
    assert server.heard == [(CLOSE, CLOSED)]


async def test_a_reader_may_close_the_stream():
    server = Sending(frame(TEXT, b"1"), frame(TEXT, b"2"))
    seen = []
    async with raw_server(server) as url:
        stream = HTTPStream()

        def read(message):
            seen.append(message.data)
            stream.close()

        with pytest.raises(ClosedError):
            await stream.add_request(ws(url), read)
        await server.is_left.wait()
    assert seen == ["1"]
    assert server.heard == [(CLOSE, CLOSED)]


async def test_what_is_sent_after_the_server_has_closed_fails_and_the_chain_is_well():
    sent = []

    def read(message):
        sent.append(message.reply("late"))

    async with raw_server(Sending(frame(TEXT, b"a") + BYE)) as url, HTTPStream() as stream:
        chain = stream.add_request(ws(url), read)
        await chain
        assert chain.state is State.DONE
    assert isinstance(sent[0].exception(), ClosedError)


async def test_sockets_may_be_several_links():
    seen = []

    def read(message):
        return Gather([(ws(url), lambda message: seen.append(message.data))] * 5, seen.append)

    async with raw_server(Sending(frame(TEXT, b"a"), BYE)) as url, HTTPStream() as stream:
        await stream.add_request(ws(url), read)
    assert seen == [*"aaaaa", [None] * 5]


def run(text: str) -> str:
    """Run a program that may import the tests' servers."""
    tests = Path(__file__).parents[2]
    return run_script(f"import sys; sys.path.insert(0, {str(tests)!r})\n{textwrap.dedent(text)}")


def test_an_interrupt_in_a_reader_passes():
    output = run(
        """
        import asyncio
        from servers.raw import raw_server
        from servers.ws import TEXT, Sending, frame
        from webqq_tornado import HTTPStream

        async def main():
            async with raw_server(Sending(frame(TEXT, b"a"))) as url:
                async with HTTPStream() as stream:
                    await stream.add_request(url.replace("http", "ws"), interrupt)

        def interrupt(message):
            raise KeyboardInterrupt

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert output == "interrupted\n"


def test_a_loop_that_is_closed_with_an_open_socket_leaves_no_complaint():
    run(
        """
        import asyncio, socket, threading
        from servers.ws import TEXT, accepting, frame
        from webqq_tornado import HTTPStream

        listening, streams = socket.create_server(("127.0.0.1", 0)), []

        def serve():
            served, _ = listening.accept()
            served.sendall(accepting(served.recv(4096)) + frame(TEXT, b"a"))
            while served.recv(65536):
                pass
            served.close()

        async def main():
            stream, heard = HTTPStream(), asyncio.Event()
            streams.append(stream)
            url = "ws://127.0.0.1:%d" % listening.getsockname()[1]
            chain = stream.add_request(url, lambda message: heard.set())
            await heard.wait()
            chain.send("x" * 50_000_000)

        serving = threading.Thread(target=serve)
        serving.start()
        asyncio.run(main())
        streams[0].close()
        serving.join()
        listening.close()
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_leaves_the_parents_socket_alone():
    output = run(
        """
        import asyncio, os
        from servers.raw import raw_server
        from servers.ws import TEXT, Sending, frame
        from webqq_tornado import HTTPStream

        async def main():
            server = Sending(frame(TEXT, b"a"))
            async with raw_server(server) as url:
                stream, heard = HTTPStream(), asyncio.Event()
                chain = stream.add_request(url.replace("http", "ws"), lambda m: heard.set())
                await heard.wait()
                chain.send("of the parent, later")
                child = os.fork()
                if not child:
                    stream.close()
                    os._exit(0)
                os.waitpid(child, 0)
                chain.close_socket()
                await chain
                print(server.heard)

        asyncio.run(main())
        """
    )
    assert output == "[(1, b'of the parent, later'), (8, b'\\x03\\xe8')]\n"


async def test_a_session_that_is_closed_ends_its_sockets_and_those_that_are_closing(web: Web):
    server = Sending(frame(TEXT, b"hello"))

    def read(message):
        message.reply("bye")
        return web.http, lambda _: None

    async with raw_server(server) as url, HTTPStream() as stream:
        session = stream.session("ann")
        await stream.add_request(ws(url), read, session=session)
        other = stream.add_request(ws(url), lambda _: None, session=session)
        await other.send("x")
        session.close()
        with pytest.raises(ClosedError):
            await other
        assert stream.stats().in_flight == 0


async def test_a_hook_may_end_the_chain_as_its_handshake_is_made():
    chains = []
    async with raw_server(Sending()) as url, HTTPStream() as stream:
        request = Request(ws(url), prepare_curl=lambda _: chains[0].cancel())
        chains.append(stream.add_request(request, print, delay=0.01))
        with pytest.raises(asyncio.CancelledError):
            await chains[0]
        assert stream.stats().in_flight == 0


async def test_what_another_thread_sends_is_refused(web: Web):
    async with raw_server(Sending()) as url, HTTPStream() as stream:
        opened = asyncio.Event()
        stream.observe(lambda *_: opened.set())
        chain = stream.add_request(ws(url), print)
        await opened.wait()
        for call in (lambda: chain.send("x"), chain.close_socket):
            with pytest.raises(RuntimeError, match="another thread"):
                await asyncio.to_thread(call)
        chain.close_socket()
        await chain


async def test_a_bad_frame_after_our_goodbye_is_an_error():
    async def play(reader, writer):
        writer.write(frame(TEXT, b"a"))
        async for opcode, _ in frames(reader):
            if opcode == CLOSE:
                writer.write(frame(11))
                return

    async with raw_server(Playing(play)) as url:
        error = await failed(url, lambda message: message.chain.close_socket())
    assert type(error) is ProtocolError
    assert error.close_code == 1006
