"""A server that holds long polls: in a process of its own, so that its memory is not counted.

`/hold` is answered when somebody asks for `/release`; `/held/N` when N are held; anything else at
once. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

from .children import ROOT, pinned, python
from .nginx import BODY

_ANSWER = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()


class _Holds:
    """Who waits for what."""

    def __init__(self) -> None:
        self.polls: set[_Connection] = set()
        self.watchers: list[tuple[int, _Connection]] = []

    def hold(self, connection: _Connection) -> None:
        self.polls.add(connection)
        for number, watcher in self.watchers:
            if len(self.polls) == number:
                watcher.answer()

    def watch(self, number: int, connection: _Connection) -> None:
        if len(self.polls) >= number:
            connection.answer()
        else:
            self.watchers.append((number, connection))

    def release(self) -> None:
        for connection in self.polls:
            connection.answer()
        self.polls.clear()


class _Connection(asyncio.Protocol):
    """One client's connection; GET only, one request at a time."""

    def __init__(self, holds: _Holds) -> None:
        self._holds = holds
        self._transport: asyncio.Transport | None = None
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._holds.polls.discard(self)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._got.endswith(b"\r\n\r\n"):
            return
        path = self._got.split(b" ", 2)[1].decode()
        self._got = b""
        if path == "/hold":
            self._holds.hold(self)
        elif path.startswith("/held/"):
            self._holds.watch(int(path.removeprefix("/held/")), self)
        else:
            if path == "/release":
                self._holds.release()
            self.answer()

    def answer(self) -> None:
        if self._transport:
            self._transport.write(_ANSWER)


@contextlib.contextmanager
def running(core: int | None) -> Iterator[str]:
    """Run it; gives its address."""
    command = pinned(python("holder"), core)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}/"
        process.communicate()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    holds = _Holds()
    server = await loop.create_server(lambda: _Connection(holds), "127.0.0.1", 0, backlog=16384)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())
