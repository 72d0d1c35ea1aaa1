"""A server that answers each request as an example says: right, wrong, in pieces, cut short.

What an answer is meant for stands in the path: `/ID/...`. It counts what is asked for, and parses
it with h11, so that a request which is no HTTP is noted.
"""

from __future__ import annotations

import asyncio
import enum
import os
import re
import socket
import traceback
from collections import defaultdict, deque
from typing import NamedTuple

import h11

from servers.raw import reset_at_close

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter

#: Seconds that a connection is kept open after an answer that is right, and one that is not.
_KEPT, _LINGER = 10.0, 0.02
_HANDSHAKE = b"\x16\x03"  # of TLS, which is not spoken here
_ID = re.compile(rb"/(i[0-9]+-[0-9a-f]{8})\b")


class End(enum.Enum):
    """What follows an answer."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HALF = "half-close"
    STALL = "stall"


class Answer(NamedTuple):
    """What is said to one request.

    Args:
        data: in it `{ID}` becomes the request's.
        end: what follows.
        piece: bytes at once; 0: all.
        is_early: said when the request's head is there, and not its body.
        is_right: the connection may be used again.
        late: said when the answer was taken, and no other request has come.
    """

    data: bytes
    end: End = End.KEEP
    piece: int = 0
    is_early: bool = False
    is_right: bool = False
    late: bytes = b""

    def __repr__(self) -> str:
        return f"Answer({', '.join(f'{value!r}' for value in self)})"


def right(body: bytes = b"ok", status: bytes = b"200 OK", *lines: bytes) -> bytes:
    """An answer as it should be, with the id of its request."""
    head = (b"HTTP/1.1 " + status, b"X-Answer-To: {ID}", b"Content-Length: %d" % len(body), *lines)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


USUAL = Answer(right(), is_right=True)
#: Statuses after which the same request may come again; in an answer that is wrong they may be
#: anywhere.
_MAY_REPEAT = re.compile(rb"30[12378]|401|407|417|425|429|503", re.IGNORECASE)


class FuzzServer:
    """The handler of `raw_server`.

    Attributes:
        answers: to the next requests of an id.
        requests: heads that came.
        bodies: whole requests that came, by their id and method.
        excused: of an id, answers after which its request may be sent again.
        invalid: what came and is no HTTP.
        open: connections.
    """

    def __init__(self) -> None:
        self.answers: dict[str, deque[Answer]] = {}
        self.requests = self.open = 0
        self.bodies: dict[tuple[str, str], int] = defaultdict(int)
        self.excused: dict[str, int] = defaultdict(int)
        self.invalid: list[str] = []

    def forget(self) -> None:
        """The example is over."""
        self.answers.clear()
        self.bodies.clear()
        self.excused.clear()
        self.invalid.clear()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.open += 1
        # A client whose socket is reset is gone, too.
        transport = writer.transport
        try:
            rest, patience = b"", _KEPT
            while not transport.is_closing():
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**21)
                if rest:
                    connection.receive_data(rest)
                head = await asyncio.wait_for(self._next(connection, reader), patience)
                if not isinstance(head, h11.Request):
                    return
                answer = await self._answer(connection, head, reader, writer)
                if answer is None or answer.end is not End.KEEP:
                    return
                rest = connection.trailing_data[0]
                patience = _KEPT if answer.is_right else _LINGER
        except (asyncio.TimeoutError, TimeoutError):
            pass  # it need not be asked again
        except Exception as error:
            if not isinstance(error, (OSError, asyncio.IncompleteReadError)):
                self.invalid.append(traceback.format_exc())
        finally:
            self.open -= 1

    async def _next(self, connection: h11.Connection, reader: Reader) -> object:
        """The next thing that the client says; None: it is gone."""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                data = connection.trailing_data[0]
                is_tls = data.startswith(_HANDSHAKE) or r"\x16\x03" in str(error)
                if not reader.at_eof() and not is_tls:
                    self.invalid.append(f"{error}: {data[:500]!r}")
                return None
            if event is h11.PAUSED:
                return h11.EndOfMessage()
            if event is not h11.NEED_DATA:
                return event
            connection.receive_data(await reader.read(2**16))

    async def _answer(
        self, connection: h11.Connection, head: h11.Request, reader: Reader, writer: Writer
    ) -> Answer | None:
        found = _ID.findall(head.target)  # relative to another's there are two
        ident = found[-1].decode() if found else ""
        self.requests += 1
        queue = self.answers.get(ident)
        answer = queue.popleft() if queue else USUAL
        if not answer.is_early:
            if connection.they_are_waiting_for_100_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not await self._takes_body(connection, reader):
                return None
        self.bodies[ident, head.method.decode()] += 1
        if _MAY_REPEAT.search(answer.data):
            self.excused[ident] += 1
        data = answer.data.replace(b"{ID}", ident.encode())
        await say(writer, data, answer.piece)
        is_to_be_read = answer.is_early and answer.end is End.KEEP
        if is_to_be_read and not await self._takes_body(connection, reader):
            return None
        await self._finish(answer, ident, reader, writer)
        return answer

    async def _takes_body(self, connection: h11.Connection, reader: Reader) -> bool:
        while not isinstance(event := await self._next(connection, reader), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return False
        return True

    async def _finish(self, answer: Answer, ident: str, reader: Reader, writer: Writer) -> None:
        if answer.late:
            for _ in range(3):
                await asyncio.sleep(0)
            if not reader._buffer and not _has_more(writer):
                writer.write(answer.late.replace(b"{ID}", ident.encode()))
        if answer.end is End.RESET:
            reset_at_close(writer)
        elif answer.end is End.HALF:
            writer.write_eof()
            await asyncio.wait_for(reader.read(), _LINGER)
        elif answer.end is End.STALL:
            while await reader.read(2**16):
                pass


async def say(writer: Writer, data: bytes, piece: int) -> None:
    piece = max(piece, len(data) // 50) if piece else len(data)
    for start in range(0, len(data), piece or 1):
        writer.write(data[start : start + piece])
        await writer.drain()
        await asyncio.sleep(0)


def _has_more(writer: Writer) -> bool:
    """Whether the next request has come: what is said now would be its answer."""
    try:
        duplicate = os.dup(writer.get_extra_info("socket").fileno())
    except OSError:
        return True  # it is closed
    with socket.socket(fileno=duplicate) as connected:
        try:
            connected.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
    return True
