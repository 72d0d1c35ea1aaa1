"""Servers of other kinds that say what an example says: WebSockets, HTTP/2, TLS in disorder.

`Mangler` stands between a client and a server, and changes what that says: also where it is
encrypted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from typing import Any, NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from servers.fuzz import End, say
from servers.raw import reset_at_close
from servers.ws import CLOSE, accepting, frame, frames

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

#: Seconds that a connection is kept open for a client that is to close it.
_LINGER = 0.02


async def finish(end: End, reader: Reader, writer: Writer) -> None:
    """End a connection so; the handler is to return then."""
    if end is End.RESET:
        reset_at_close(writer)
    elif end is End.HALF and writer.can_write_eof():
        writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(), _LINGER)
    elif end in (End.STALL, End.KEEP):
        while await reader.read(2**16):
            pass


class Odd:
    """What an arena needs of a server.

    Attributes:
        open: connections.
        requests: that came.
        invalid: what came and should not.
    """

    def __init__(self) -> None:
        self.open = self.requests = self.port = 0
        self.invalid: list[str] = []

    def forget(self) -> None:
        """The example is over."""
        self.invalid.clear()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.open += 1
        try:
            await self.serve(reader, writer)
        finally:
            self.open -= 1

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """Serve a connection."""
        raise NotImplementedError


# -- WebSockets ------------------------------------------------------------------------------


class Frames(NamedTuple):
    """What is said after a handshake that is as it should be.

    Args:
        data: the bytes.
        end: what follows; after KEEP goodbyes are answered.
        piece: bytes at once; 0: all, with the answer to the handshake.
        is_deflated: the handshake agrees to permessage-deflate.
    """

    data: bytes
    end: End = End.KEEP
    piece: int = 0
    is_deflated: bool = False


class WebSockets(Odd):
    """Says `said` after each handshake.

    Attributes:
        said: what.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said = Frames(b"")

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """See `Odd`."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        said = self.said
        lines = ("Sec-WebSocket-Extensions: permessage-deflate",) if said.is_deflated else ()
        answer = accepting(head, *lines)
        if said.piece:
            await say(writer, answer, 0)
            await say(writer, said.data, said.piece)
        else:
            writer.write(answer + said.data)
        if said.end is not End.KEEP:
            await finish(said.end, reader, writer)
            return
        async for opcode, payload in frames(reader):
            if opcode == CLOSE:
                writer.write(frame(CLOSE, payload))
                return


# -- HTTP/2 -----------------------------------------------------------------------------------


class Action(NamedTuple):
    """What is done with one request of HTTP/2.

    Args:
        what: a name.
        code: of an error, or a number.
        at_head: before its body has come.
    """

    what: str
    code: int = 0
    at_head: bool = False


#: What `Action.what` may be. Those that end the connection come last.
DEEDS = (
    *("right", "right", "right", "large", "trailers", "interim", "ping", "settings", "window"),
    *("no_body", "short", "reset", "reset_in_body", "refuse", "silent", "unknown_frame"),
    *("go_away", "go_away_before", "close", "abort", "garbage", "odd_frame"),
)
#: The request may be sent again after these.
REFUSALS = ("refuse", "go_away_before")


class HTTP2(Odd):
    """Does the actions of an example, one for each request that comes.

    Attributes:
        actions: of each id, the next ones.
        heads: requests by path and method.
        excused: of an id, actions after which its request may be sent again.
        speaks_first: what comes behind the connection preface.
    """

    def __init__(self) -> None:
        super().__init__()
        self.actions: dict[str, deque[Action]] = {}
        self.bodies: Counter[tuple[str, str]] = Counter()
        self.excused: Counter[str] = Counter()
        self.speaks_first = b""

    def forget(self) -> None:
        """See `Odd`."""
        super().forget()
        self.actions.clear()
        self.bodies.clear()
        self.excused.clear()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """See `Odd`."""
        config = H2Configuration(client_side=False, header_encoding="utf-8")
        http = H2Connection(config)
        http.initiate_connection()
        writer.write(http.data_to_send() + self.speaks_first)
        asked: dict[int, Any] = defaultdict(dict)
        try:
            while not writer.is_closing() and (data := await reader.read(2**16)):
                for event in http.receive_data(data):
                    self._take(http, event, asked, writer)
                if not writer.is_closing():
                    writer.write(http.data_to_send())
        except ProtocolError:  # it goes on with what we have reset
            return

    def _take(self, http: H2Connection, event: Any, asked: dict[int, Any], writer: Writer) -> None:
        if isinstance(event, RequestReceived):
            headers = asked[event.stream_id] = dict(event.headers or ())
            ident = headers[":path"].strip("/")
            queue = self.actions.get(ident)
            headers["action"] = queue.popleft() if queue else Action("right")
            self.requests += 1
            self.bodies[ident, headers[":method"]] += 1
            self.excused[ident] += headers["action"].what in REFUSALS
            if headers["action"].at_head:
                self._do(http, event.stream_id, headers, writer)
        elif isinstance(event, DataReceived):
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded) and not asked[event.stream_id]["action"].at_head:
            self._do(http, event.stream_id, asked[event.stream_id], writer)

    def _do(self, http: H2Connection, stream: int, asked: dict[str, Any], writer: Writer) -> None:
        action: Action = asked["action"]
        ident = asked[":path"].strip("/")
        if not writer.is_closing():
            getattr(self, f"_{action.what}")(http, stream, ident, action.code, writer)

    def _head(self, http: H2Connection, stream: int, ident: str, *more: Any, **how: Any) -> None:
        http.send_headers(stream, [(":status", "200"), ("x-answer-to", ident), *more], **how)

    def _right(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident)
        http.send_data(stream, b"ok", end_stream=True)

    def _large(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident)
        for _ in range(3):
            size = min(http.local_flow_control_window(stream), http.max_outbound_frame_size)
            http.send_data(stream, b"x" * size)
        http.end_stream(stream)

    def _trailers(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident)
        http.send_data(stream, b"ok")
        http.send_headers(stream, [("x-trailer", "1")], end_stream=True)

    def _interim(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        http.send_headers(stream, [(":status", "103"), ("link", "</a>")])
        self._right(http, stream, ident, code, writer)

    def _ping(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        for _ in range(code % 20):
            http.ping(b"01234567")
        self._right(http, stream, ident, code, writer)

    def _settings(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        http.update_settings({3: code % 5, 4: code * 10_000})  # streams at once; a window
        self._right(http, stream, ident, code, writer)

    def _window(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        if code:
            http.increment_flow_control_window(code)
        self._right(http, stream, ident, code, writer)

    def _no_body(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident, end_stream=True)

    def _short(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident, ("content-length", "100"))
        http.send_data(stream, b"short", end_stream=True)

    def _reset(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        http.reset_stream(stream, code)
        self.excused[ident] += code == 7  # REFUSED_STREAM

    def _reset_in_body(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._head(http, stream, ident)
        http.send_data(stream, b"half")
        # What libcurl takes for an end is an error of NO_ERROR.
        http.reset_stream(stream, code or 2)

    def _refuse(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        http.reset_stream(stream, 7)

    def _silent(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        pass

    def _unknown_frame(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        kind = 0xB0 + code % 64
        writer.write(http.data_to_send() + b"\0\0\4" + bytes([kind]) + b"\0\0\0\0\0odd!")
        self._right(http, stream, ident, code, writer)

    def _go_away(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        http.close_connection(error_code=code, last_stream_id=stream)
        self._hang_up(http, writer)

    def _go_away_before(
        self, http: Any, stream: int, ident: str, code: int, writer: Writer
    ) -> None:
        http.close_connection(last_stream_id=max(stream - 2, 0))
        self._hang_up(http, writer)

    def _close(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        self._hang_up(http, writer)

    def _abort(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        writer.transport.abort()

    def _garbage(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        writer.write(http.data_to_send() + bytes((code * n + 7) % 256 for n in range(60)))
        writer.close()

    def _odd_frame(self, http: Any, stream: int, ident: str, code: int, writer: Writer) -> None:
        """A frame of a kind that is known, on this stream, with nothing that it should have."""
        kind, flags = code % 10, (code * 37) % 256
        head = b"\0\0\5" + bytes([kind, flags]) + stream.to_bytes(4, "big")
        writer.write(http.data_to_send() + head + b"\xff\1\2\3\4")
        writer.close()

    @staticmethod
    def _hang_up(http: Any, writer: Writer) -> None:
        writer.write(http.data_to_send())
        writer.close()


# -- what comes between -----------------------------------------------------------------------


class Wire(NamedTuple):
    """What becomes of the server's bytes on one connection.

    Args:
        cut: after so many it ends; -1: it does not.
        end: how.
        flips: where a byte is changed, and by what.
        piece: bytes at once; 0: as they come.
    """

    cut: int = -1
    end: End = End.CLOSE
    flips: tuple[tuple[int, int], ...] = ()
    piece: int = 0


class Mangler(Odd):
    """Passes bytes between clients and a server, as `wires` say of one connection after the other.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self.behind = port
        self.wires: deque[Wire] = deque()

    def forget(self) -> None:
        """See `Odd`."""
        super().forget()
        self.wires.clear()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        """See `Odd`."""
        wire = self.wires.popleft() if self.wires else Wire()
        server, to_server = await asyncio.open_connection("127.0.0.1", self.behind)
        upwards = asyncio.ensure_future(_pass(reader, to_server))
        try:
            await self._mangle(server, writer, wire)
            if wire.end is End.STALL:
                await upwards
            elif not upwards.done() and wire.end is End.RESET:
                await finish(wire.end, reader, writer)
        finally:
            upwards.cancel()
            to_server.transport.abort()
            await asyncio.gather(upwards, return_exceptions=True)

    async def _mangle(self, server: Reader, writer: Writer, wire: Wire) -> None:
        passed = 0
        while data := await server.read(2**16):
            changed = bytearray(data)
            for at, by in wire.flips:
                if 0 <= at - passed < len(changed):
                    changed[at - passed] ^= by
            left = len(changed) if wire.cut < 0 else wire.cut - passed
            await say(writer, bytes(changed[:left]), wire.piece)
            passed += len(data)
            if left < len(data):
                return


async def _pass(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()  # raises where the other end is gone: asyncio would log it
    writer.transport.abort()
