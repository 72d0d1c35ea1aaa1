"""What a soak talks to, beside the web server: `python -m servers.soak CERTIFICATE` runs it.

Long polls, answers that fail and then do not, event streams, WebSockets, HTTP/2, connections that
close or speak while they idle, digest authentication, and all the faults of `misbehaving`. It takes
its time where a network does: that is what it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
import sys
from collections import Counter
from typing import NamedTuple

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from servers import http2
from servers.digest import Challenging
from servers.misbehaving import NAMES, misbehaving
from servers.processes import announce, wait_for_the_end
from servers.raw import Handler, answer, raw_server, requests
from servers.ws import TEXT, accepting, closing, frame, frames

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


#: Seconds that a connection is kept.
_IDLE = 20.0


class Doors(NamedTuple):
    """Where they are; addresses have no slash at the end."""

    app: str  # polls, events, JSON lines, `/echo` of WebSockets
    faults: str
    faults_tls: str
    names: list[str]  # of the faults
    idle: str
    idle_tls: str
    sockets: str
    digest: str
    h2: str  # HTTP/2 by prior knowledge
    h2_tls: str


# -- the application ------------------------------------------------------------------------------


class Poll(RequestHandler):
    """`?seconds=N`: answers so much later."""

    async def get(self) -> None:
        self.is_left = asyncio.Event()
        seconds = float(self.get_query_argument("seconds"))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.is_left.wait(), seconds)
        self.finish(self.get_query_argument("say", "news"))

    def on_connection_close(self) -> None:
        self.is_left.set()


_failures: Counter[str] = Counter()


class Flaky(RequestHandler):
    """`/flaky/KEY?fails=N&how=503`: fails so often, by status or by reset, then is well."""

    def prepare(self) -> None:
        key, how = self.path_args[0], self.get_query_argument("how", "503")
        _failures[key] += 1
        if _failures[key] > int(self.get_query_argument("fails")):
            self.finish(f"well after {_failures.pop(key)}")
        elif how == "reset":
            self.detach().close()
        else:
            self.set_status(int(how))
            self.set_header("Retry-After", "0")
            self.finish("not yet")


class _Drip(RequestHandler):
    """`?count=N&every=SECONDS`: so many items; `&cut` breaks off in the last."""

    async def get(self) -> None:
        self.set_header("Content-Type", self.kind)
        count = int(self.get_query_argument("count"))
        every = float(self.get_query_argument("every", "0.01"))
        with contextlib.suppress(StreamClosedError):
            for number in range(count):
                self.write(self.item(number))
                await self.flush()
                await asyncio.sleep(every)
            if self.get_query_argument("cut", None) is not None:
                self.write(self.item(count)[:-3])
                await self.flush()
                self.detach().close()

    def item(self, number: int) -> str:
        raise NotImplementedError


class Events(_Drip):
    """Server-sent events."""

    kind = "text/event-stream"

    def item(self, number: int) -> str:
        return f"id: {number}\ndata: tick {number}\n\n"


class Lines(_Drip):
    """JSON lines."""

    kind = "application/x-ndjson"

    def item(self, number: int) -> str:
        return f'{{"number": {number}}}\n'


class Echo(WebSocketHandler):
    """Says what it hears; "bye" closes."""

    def on_message(self, message: str | bytes) -> None:
        if message == "bye":
            self.close(1000, "so long")
        else:
            self.write_message(message, binary=isinstance(message, bytes))


def _application() -> str:
    routes = [
        (r"/poll", Poll),
        (r"/flaky/(.+)", Flaky),
        (r"/events", Events),
        (r"/lines", Lines),
        (r"/echo", Echo),
    ]
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    app = Application(routes, log_function=lambda _: None)
    HTTPServer(app, idle_connection_timeout=_IDLE).add_sockets(sockets)
    return f"http://127.0.0.1:{sockets[0].getsockname()[1]}"


# -- connections that do not idle in peace ---------------------------------------------------------


class Idling:
    """Answers with method, path, and how often that path was asked for.

    `/late/HOST` says something more on the connection of that host, `/close/HOST` closes it, and
    only then are they answered themselves.
    """

    def __init__(self) -> None:
        self._writers: dict[str, Writer] = {}
        self._delivered: Counter[str] = Counter()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        host = ""
        end = asyncio.get_running_loop().call_later(_IDLE, writer.close)
        try:
            async for head in requests(reader):
                method, path = head.decode().split(" ")[:2]
                host = head.decode().lower().partition("\r\nhost: ")[2].split("\r\n")[0]
                what, _, other = path[1:].partition("/")
                if what in ("late", "close"):
                    await self._disturb(what, other)
                else:
                    self._writers[host] = writer
                    self._delivered[path] += 1
                writer.write(answer(f"{method} {path} {self._delivered[path]}".encode()))
        finally:
            end.cancel()
            if self._writers.get(host) is writer:
                del self._writers[host]

    async def _disturb(self, what: str, host: str) -> None:
        other = self._writers.pop(host, None)
        if other is not None and what == "late":
            other.write(answer(b"late"))
        elif other is not None:
            other.close()
            await asyncio.sleep(0)  # asyncio closes it in the loop's next turn


# -- WebSockets -----------------------------------------------------------------------------------


async def sockets(reader: Reader, writer: Writer) -> None:
    """`/KIND/NUMBER`: what comes after the handshake, or in its place."""
    head = await reader.readuntil(b"\r\n\r\n")
    kind, number = head.split(b" ")[1].decode().strip("/").split("/")
    if kind == "refused":
        writer.write(answer(b"no", status=b"403 Forbidden"))
        return
    writer.write(accepting(head))
    await _AFTER_HANDSHAKE[kind](reader, writer, int(number))


async def _cut(reader: Reader, writer: Writer, number: int) -> None:
    """Break off in the frames."""
    said = frame(TEXT, b"one") + frame(TEXT, b"two" * 100)
    writer.write(said[: number % len(said)])


async def _garbage(reader: Reader, writer: Writer, number: int) -> None:
    """No frames."""
    writer.write(random.Random(number).randbytes(200))
    await reader.read(2**16)


async def _slow(reader: Reader, writer: Writer, number: int) -> None:
    """A message in pieces, then the end."""
    said = frame(TEXT, b"slowly " * 10) + closing(1000)
    for start in range(0, len(said), 10):
        writer.write(said[start : start + 10])
        await asyncio.sleep(0.02)
    await reader.read(2**16)


async def _mute(reader: Reader, writer: Writer, number: int) -> None:
    """Answer no ping."""
    await reader.read()


async def _closing(reader: Reader, writer: Writer, number: int) -> None:
    """Close with that code."""
    writer.write(frame(TEXT, b"hello") + closing(number, b"that is why"))
    await reader.read(2**16)


async def _flood(reader: Reader, writer: Writer, number: int) -> None:
    """So many messages at once, and then goodbye."""
    writer.write(frame(TEXT, b"x" * 500) * number + closing(1000))
    async for _ in frames(reader):
        pass


_AFTER_HANDSHAKE = {
    "cut": _cut,
    "garbage": _garbage,
    "slow": _slow,
    "mute": _mute,
    "closing": _closing,
    "flood": _flood,
}


# -- HTTP/2 ----------------------------------------------------------------------------------------


def _half(http: H2Connection, stream: int, writer: Writer) -> None:
    """Reset the stream in its body."""
    http.send_headers(stream, [(":status", "200")])
    http.send_data(stream, b"half")
    http.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)


def _silent(http: H2Connection, stream: int, writer: Writer) -> None:
    """Say nothing."""


def _unknown_frame(http: H2Connection, stream: int, writer: Writer) -> None:
    """Say what is no frame of any kind that is known, and then answer."""
    writer.write(http.data_to_send() + b"\0\0\4\xbe\0\0\0\0\0odd!")
    http.send_headers(stream, [(":status", "200")])
    http.send_data(stream, b"after it", end_stream=True)


def _garbled(http: H2Connection, stream: int, writer: Writer) -> None:
    """Say what is no frame at all."""
    writer.write(http.data_to_send() + os.urandom(64))
    writer.close()


#: By the path; to any other one the answer is right.
ACTIONS: dict[bytes, http2.Action] = {
    b"/refuse": http2.refuse,
    b"/before": http2.go_away_before,
    b"/after": http2.go_away_after,
    b"/close": http2.close,
    b"/reset": http2.reset,
    b"/half": _half,
    b"/silent": _silent,
    b"/unknown_frame": _unknown_frame,
    b"/garbled": _garbled,
}


class OddHTTP2(http2.HTTP2):
    """Does so with requests that ask for it."""

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        # A client that has given up a request may break off in the middle of a frame.
        with contextlib.suppress(ProtocolError):
            await super().__call__(reader, writer)

    def _serve(
        self, http: H2Connection, event: RequestReceived, writer: Writer, *, is_first: bool
    ) -> None:
        path = dict(event.headers or ())[b":path"]
        if writer.is_closing():
            return  # an earlier one has asked for that
        if path in ACTIONS:
            ACTIONS[path](http, event.stream_id or 0, writer)
        else:
            super()._serve(http, event, writer, is_first=is_first)


# -- all of it -------------------------------------------------------------------------------------


async def main(certificate: str) -> None:
    """Open all doors, say where they are, and serve until standard input ends."""
    logging.disable()
    async with contextlib.AsyncExitStack() as exits:

        async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> str:
            return await exits.enter_async_context(raw_server(handler, tls))

        async def digest(reader: Reader, writer: Writer) -> None:
            await Challenging(says_stale=True)(reader, writer)

        tls, idling = _context(certificate), Idling()
        doors = Doors(
            app=_application(),
            faults=await exits.enter_async_context(misbehaving()),
            faults_tls=await exits.enter_async_context(misbehaving(tls)),
            names=sorted(NAMES),
            idle=await serve(idling),
            idle_tls=await serve(idling, tls),
            sockets=await serve(sockets),
            digest=await serve(digest),
            h2=await serve(OddHTTP2()),
            h2_tls=await serve(OddHTTP2(), _context(certificate, "h2")),
        )
        announce(**doors._asdict())
        await asyncio.get_running_loop().run_in_executor(None, wait_for_the_end)


def _context(certificate: str, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
