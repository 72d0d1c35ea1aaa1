"""A fork in mid-flight: the parent goes on, whatever the child does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers.raw import answer, raw_server, requests
from servers.web import Web
from waiting import until

from webqq_tornado import HTTPStream, Request
from webqq_tornado.engine.transport import curl, lanepool

SCRIPT = """
import asyncio, os, sys
from webqq_tornado import HTTPStream

http, https, ca, child = sys.argv[1:]

async def main():
    stream = HTTPStream(defaults={"ca_certs": ca})
    for door in (http, https):
        await stream.fetch(door)
    held = [stream.add_request(f"{door}/hold/fork-{child[:3]}", print) for door in (http, https)]
    other = HTTPStream(defaults={"ca_certs": ca})
    while (await other.fetch(f"{http}/arrived/fork-{child[:3]}")).text != "2":
        pass
    pid = os.fork()
    if not pid:
        return stream
    _, status = os.waitpid(pid, 0)
    assert status == 0, status
    await other.fetch(f"{http}/release/fork-{child[:3]}")
    for chain in held:
        assert (await asyncio.wait_for(asyncio.ensure_future(chain), 60)).body == b"released"
    for door in (http, https, f"{http}/close"):
        assert (await asyncio.wait_for(stream.fetch(door), 60)).status == 200
    stream.close()
    other.close()
    print("parent is fine")

async def run():
    parent = os.getpid()
    stream = await main()
    if os.getpid() != parent:
        CHILD
"""

CHILDREN = {
    "exits at once": "os._exit(0)",
    "closes its copy of the stream": "stream.close(); os._exit(0)",
    "collects its garbage": "import gc; del stream; gc.collect(); os._exit(0)",
    "runs a stream of its own": """
        def work():
            inner = HTTPStream()
            inner.add_request(http, lambda r: os._exit(0))
            inner.start()
        import threading
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        os._exit(1)
    """,
}


def _run(web: Web, child: str, name: str) -> subprocess.CompletedProcess[str]:
    indented = textwrap.indent(textwrap.dedent(child).strip(), " " * 8).strip()
    script = SCRIPT.replace("CHILD", indented) + "\nasyncio.run(run())\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    arguments = [web.http, web.https, web.ca, name]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.parametrize("child", CHILDREN)
def test_the_parent_goes_on_when_its_child(web: Web, child):
    name = f"{list(CHILDREN).index(child):03}"
    done = _run(web, CHILDREN[child], name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("parent is fine\n")
    assert done.stderr == ""


def test_the_parent_goes_on_when_its_child_ends_like_any_program(web: Web):
    """With all of the interpreter's tidying up, where libcurl's handles are destroyed."""
    done = _run(web, "sys.exit(0)", "900")
    assert "parent is fine" in done.stdout, done.stderr


@contextlib.contextmanager
def _child() -> Iterator[None]:
    """A forked process that holds copies of all sockets."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writer)
        os.read(reader, 1)  # until the parent has closed its end
        os._exit(0)
    os.close(reader)
    try:
        yield
    finally:
        os.close(writer)
        os.waitpid(pid, 0)


async def test_idle_connections_that_were_closed_here_keep_no_loop_busy(monkeypatch):
    """And that are open in a child: epoll goes on reporting what the server does to them."""
    monkeypatch.setattr(lanepool, "IDLE_SECONDS", 0.02)
    looks, may_close, closed = [], asyncio.Event(), asyncio.Event()
    look = curl.Transport._on_idle_ready

    def counted(self, *arguments):
        looks.append(arguments)
        look(self, *arguments)

    monkeypatch.setattr(curl.Transport, "_on_idle_ready", counted)

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer())
        await may_close.wait()
        writer.write_eof()  # which the child's copy does not keep from the other side
        closed.set()

    async with raw_server(serve) as url, HTTPStream() as stream:
        await stream.fetch(url)
        with _child():
            await until(lambda: not stream._transport._lanes)
            may_close.set()
            await closed.wait()
            before = len(looks)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(looks) - before < 30


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_idle_connections_are_looked_after_while_a_child_lives(method):
    """What the server says there is nobody's answer."""
    may_speak, spoken, asked = asyncio.Event(), asyncio.Event(), []

    async def serve(reader, writer):
        async for head in requests(reader):
            asked.append(head.split()[1])
            writer.write(answer(asked[-1]))
            if len(asked) == 2:
                await may_speak.wait()
                writer.write(answer(b"stray"))
                spoken.set()

    async with raw_server(serve) as url, HTTPStream() as stream:
        await stream.fetch(f"{url}/1")
        with _child():
            await stream.fetch(f"{url}/2")
            may_speak.set()
            await spoken.wait()
            third = await stream.fetch(Request(f"{url}/3", method, body=None))
    assert third.body == b"/3"


class Forking(HTTPStream):
    """A reader forks, and its child closes the stream, as it does where it ends by `sys.exit`."""

    def begin(self):
        for number in range(4):
            yield f"echo/{number}", self.page

    def page(self, response):
        self.emit(response.url[-1])
        if response.url.endswith("2"):
            self.add_request("echo/9", self.page)  # waits for the commit of this turn
            pid = os.fork()
            if not pid:
                self.close()
                os._exit(0)
            os.waitpid(pid, 0)


async def test_a_forked_child_commits_nothing_of_its_parent(web: Web, tmp_path: Path):
    async with Forking(base_url=f"{web.http}/", journal=tmp_path / "a.db") as flow:
        await flow.launch()
        await flow.drain()
        found = flow.journal.summary()  # type: ignore[union-attr]
    assert (found.done, found.failed, found.results) == (5, 0, 5)


async def test_a_subprocess_that_lives_on_keeps_the_parents_loop_idle(web: Web):
    """It may hold copies of sockets that were closed here: epoll goes on reporting those."""
    handled = []

    class Flow(HTTPStream):
        def _handle_events(self, fd, events):
            handled.append(fd)
            super()._handle_events(fd, events)

    async with Flow() as stream:
        await asyncio.gather(*(stream.fetch(web.http) for _ in range(8)))
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(writer)
            os.read(reader, 1)  # until the parent has closed its end
            os._exit(0)
        os.close(reader)
        try:
            # All eight connections are closed by the server, and their numbers used again.
            await asyncio.gather(*(stream.fetch(f"{web.http}/close") for _ in range(8)))
            held = [stream.add_request(f"{web.http}/hold/spin", None) for _ in range(8)]
            await stream.fetch(f"{web.http}/arrived/spin")
            before = len(handled)
            await stream.drain(0.2)
            assert len(handled) - before < 30
            for chain in held:
                chain.cancel()
        finally:
            os.close(writer)
            await asyncio.get_running_loop().run_in_executor(None, os.waitpid, pid, 0)
