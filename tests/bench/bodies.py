"""Bodies larger than memory should have to hold: `python -m tests.bench.bodies WAY MIB URL FOLDER`.

Each way of streaming a body in a process of its own: how fast, and by how much its memory peaks
above what it had before. `python -m tests.bench.bodies serve` is the server: `/MIB` sends so much,
what is sent to it is counted. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

from webqq_tornado import FilePart, HTTPStream, Multipart, Request

from .children import ROOT, pinned, python

MIB = 2**20
_CHUNK = bytes(64 * 1024)


# -- the ways ---------------------------------------------------------------------------------


async def to_function(stream: HTTPStream, url: str, _folder: Path) -> int:
    """Each chunk to a function."""
    got = 0

    def count(chunk: bytes) -> None:
        nonlocal got
        got += len(chunk)

    await stream.fetch(Request(url, sink=count))
    return got


async def to_file(stream: HTTPStream, url: str, folder: Path) -> int:
    """To a path."""
    file = folder / "download"
    await stream.fetch(Request(url, sink=file))
    return file.stat().st_size


async def to_iterator(stream: HTTPStream, url: str, _folder: Path) -> int:
    """`async for`."""
    async with stream.open(url) as response:
        return sum([len(chunk) async for chunk in response.stream])


async def from_file(stream: HTTPStream, url: str, folder: Path) -> int:
    """A path as body."""
    return int((await stream.fetch(Request(url, "PUT", body=_sparse(folder, url)))).body)


async def from_generator(stream: HTTPStream, url: str, _folder: Path) -> int:
    """An async generator as body, of no known size."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(_size(url) // len(_CHUNK)):
            yield _CHUNK

    return int((await stream.fetch(Request(url, "PUT", body=chunks()))).body)


async def from_multipart(stream: HTTPStream, url: str, folder: Path) -> int:
    """A form with a file in it."""
    form = Multipart((("name", "bench"),), (("file", FilePart(_sparse(folder, url))),))
    sent = int((await stream.fetch(Request(url, "POST", body=form))).body)
    return sent - sent % MIB  # what is between the parts is some hundred bytes


def _size(url: str) -> int:
    return int(url.rpartition("/")[2]) * MIB


def _sparse(folder: Path, url: str) -> Path:
    file = folder / "upload"
    with file.open("wb") as opened:
        opened.truncate(_size(url))
    return file


#: What each is, for the table.
WAYS: dict[Callable[[HTTPStream, str, Path], Awaitable[int]], str] = {
    to_function: "download to a function",
    to_file: "download to a file",
    to_iterator: "download, async for",
    from_file: "upload from a file",
    from_generator: "upload from an async generator",
    from_multipart: "upload of a form with a file",
}


async def measure(name: str, mib: int, url: str, folder: Path) -> dict[str, float]:
    """One way."""
    way = next(way for way in WAYS if way.__name__ == name)
    async with HTTPStream(defaults={"request_timeout": 0.0}) as stream:
        await stream.fetch(f"{url}/0")  # what is loaded by the first request is no body's
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is the present
        before, began = _peak(), time.perf_counter()
        size = await way(stream, f"{url}/{mib}", folder)
        seconds = time.perf_counter() - began
        grown = _peak() - before
    return {"size": size, "mib_s": mib / seconds, "grown_mib": grown / 1024}


def _peak() -> int:
    """KiB of memory that this process had at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


# -- the server -------------------------------------------------------------------------------


@stream_request_body
class _Bodies(RequestHandler):
    """Sends and counts."""

    def prepare(self) -> None:
        self.count = 0

    def data_received(self, chunk: bytes) -> None:
        self.count += len(chunk)

    async def get(self, mib: str) -> None:
        self.set_header("Content-Length", int(mib) * MIB)
        for _ in range(int(mib) * MIB // len(_CHUNK)):
            self.write(_CHUNK)
            await self.flush()

    def put(self, _mib: str) -> None:
        self.write(str(self.count))

    post = put


@contextlib.contextmanager
def running(core: int | None) -> Iterator[str]:
    """Run it; gives its address."""
    command = pinned(python("bodies", "serve"), core)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        yield f"http://127.0.0.1:{json.loads(process.stdout.readline())}"
        process.communicate()


async def _serve() -> None:
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([(r"/(\d+)", _Bodies)]), max_body_size=2**40)
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve())
    else:
        _way, _mib, _url, _folder = sys.argv[1:]
        print(json.dumps(asyncio.run(measure(_way, int(_mib), _url, Path(_folder)))))
