"""A server whose answers a test writes as a function, on the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from servers.raw import raw_server


class Asked(NamedTuple):
    """A request that has come."""

    method: str
    path: str
    headers: http.client.HTTPMessage
    body: bytes
    number: int  # of all, from 0


class Say(NamedTuple):
    """An answer. `body` None: the connection is closed without one."""

    status: int = 200
    body: bytes | None = b""
    headers: Mapping[str, str] = MappingProxyType({})


Script = Callable[[Asked], "Say | Awaitable[Say]"]


class Scripted:
    """Where it is, and who came."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.path for asked in self.asked]


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Scripted]:
    """Serve what `script` says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, lines = head.partition(b"\r\n")
            headers = http.client.parse_headers(io.BytesIO(lines))
            method, path, _ = line.decode().split(" ")
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
            asked = Asked(method, path, headers, body, len(server.asked))
            server.asked.append(asked)
            say = script(asked)
            say = say if isinstance(say, Say) else await say
            if say.body is None:
                return
            given = "".join(f"{name}: {value}\r\n" for name, value in say.headers.items())
            length = f"Content-Length: {len(say.body)}\r\n" if "Content-Length" not in given else ""
            writer.write(f"HTTP/1.1 {say.status} X\r\n{length}{given}\r\n".encode())
            writer.write(b"" if method == "HEAD" else say.body)
            await writer.drain()
            if len(say.body) < int(say.headers.get("Content-Length", 0)):
                return  # it was cut short on purpose

    async with raw_server(serve) as url:
        server = Scripted(url)
        yield server
