"""A proxy between a client and a server that cuts connections at a byte of one's choice.

It passes whole requests and answers on. Of one that is to be cut only the first bytes get through;
then each of the two sides sees the end of its connection (FIN or RST), or nothing: what it sends
from then on is swallowed, as by a router that has forgotten the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from servers.raw import raw_server, reset

FIN, RST, SILENT = "fin", "rst", "silent"
#: To the server: the rest of a request comes when its client has given it up.
LATE = "late"
REQUEST, ANSWER = "request", "answer"


class Cut(NamedTuple):
    """What is to be cut.

    Args:
        path: of the request.
        part: REQUEST or ANSWER.
        at: so many bytes of it get through; of a shorter one all.
        client: what the client sees of it.
        server: what the server sees of it.
    """

    path: str
    part: str
    at: int
    client: str = FIN
    server: str = FIN


class Cutter:
    """Where it is, what it is to cut, and what it has seen."""

    def __init__(self, behind: str) -> None:
        self.url = ""
        self.cuts = 0
        self.asked: dict[str, int] = defaultdict(int)
        #: Bytes of the latest whole request and answer, by path and part.
        self.sizes: dict[tuple[str, str], int] = {}
        self.is_away = False  # whoever connects is turned away
        self.is_silent = False  # ... or hears nothing; what comes on old connections is swallowed
        self._behind = urlsplit(behind)
        self._armed: dict[str, tuple[Cut, asyncio.Event]] = {}
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()

    def arm(self, cut: Cut) -> asyncio.Event:
        """Cut the next request for that path; the event is set when it is done."""
        done = asyncio.Event()
        self._armed[cut.path] = cut, done
        return done

    def cut_all(self, how: str = RST) -> None:
        """End the connections that there are."""
        for pair in tuple(self._pairs):
            for writer in pair:
                end(writer, how)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_away:
            return
        if self.is_silent:
            await asyncio.Event().wait()
        there = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        pair = (writer, there[1])
        self._pairs.add(pair)
        try:
            while await self._pass_on(reader, writer, *there):
                pass
        finally:
            self._pairs.discard(pair)
            there[1].transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> bool:
        """One request and its answer; whether there may be another one."""
        request = await _message(reader)
        path = request.split(b" ", 2)[1].split(b"?")[0].decode()
        self.asked[path] += 1
        for part, message_of, to in ((REQUEST, request, server), (ANSWER, None, writer)):
            message = message_of or await self._answer(reader, answers)
            if message is None or self.is_silent:
                break
            self.sizes[path, part] = len(message)
            cut, done = self._armed.get(path, (None, None))
            if cut is not None and cut.part == part:
                del self._armed[path]
                to.write(message[: cut.at])
                await self._break(cut, done, writer, server)
                if cut.server == LATE:
                    await reader.read()
                    server.write(message[cut.at :])
                if {SILENT, LATE} & {cut.client, cut.server}:
                    await asyncio.Event().wait()  # until the test has ended
                return False
            to.write(message)
            await to.drain()
        if self.is_silent:
            await asyncio.Event().wait()
        return message is not None

    async def _answer(
        self, reader: asyncio.StreamReader, answers: asyncio.StreamReader
    ) -> bytes | None:
        """None: the client has left before."""
        answer = asyncio.ensure_future(_message(answers))
        left = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([answer, left], return_when=asyncio.FIRST_COMPLETED)
            return await answer if answer.done() else None
        finally:
            for task in (answer, left):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await left

    async def _break(
        self,
        cut: Cut,
        done: asyncio.Event,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> None:
        for writer, how in ((client, cut.client), (server, cut.server)):
            if how in (FIN, RST):
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                end(writer, how)
        self.cuts += 1
        done.set()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:-2])
    return head + await reader.readexactly(int(lines.get(b"content-length", 0)))


def end(writer: asyncio.StreamWriter, how: str) -> None:
    """Close a connection as one sees it from afar."""
    if how == RST:
        reset(writer)
    else:
        writer.close()


@asynccontextmanager
async def cutter_of(url: str) -> AsyncIterator[Cutter]:
    """A proxy before the server at an address."""
    cutter = Cutter(url)
    async with raw_server(cutter.serve) as address:
        cutter.url = address
        yield cutter
