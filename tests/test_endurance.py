"""Two clients and the server, all of them killed (SIGKILL) in mid-conversation, again and again.

1,000 messages each way: none lost, none doubled, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from servers.processes import TESTS, Restartable

from webqq_tornado.client import Store

pytestmark = pytest.mark.slow

COUNT = 1000
#: Who is killed when so many messages were heard by both together; all of them at the end.
PLAN = (
    *((60, "server"), (150, "Ann"), (300, "server"), (420, "Bob"), (640, "server")),
    *((800, "Ann"), (801, "Bob"), (1100, "server"), (1101, "Ann"), (1500, "server")),
    *((1700, "Bob"), (1900, "server")),
)


class Talk:
    """Ann and Bob, who talk; the server between them."""

    def __init__(self, folder: Path, dialect: str, port: int) -> None:
        self.folder, self.dialect = folder, dialect
        self.server = Restartable("servers.webqq", str(folder), port)
        self.processes: dict[str, Process] = {}
        self.readers: set[asyncio.Task[None]] = set()
        self.heard = 0
        self.progress = asyncio.Condition()

    async def start(self, name: str) -> None:
        account, peer = {"Ann": (10001, "Bob"), "Bob": (10002, "Ann")}[name]
        url = f"http://127.0.0.1:{self.server.port}"
        words = (url, account, self.folder / f"{name}.db", self.dialect, peer, COUNT)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "servers.talker", *map(str, words)), cwd=TESTS, stdout=PIPE
        )
        self.processes[name] = process
        self.readers.add(asyncio.ensure_future(self._read(process)))

    async def _read(self, process: Process) -> None:
        """Count what it says: that it is online, and each message that it hears."""
        assert process.stdout
        while await process.stdout.readline():
            async with self.progress:
                self.heard += 1
                self.progress.notify_all()

    async def kill(self, name: str) -> None:
        if name == "server":
            self.server.kill()
            self.server.start()
        elif self.processes[name].returncode is None:
            self.processes[name].kill()
            await self.processes[name].wait()
            await self.start(name)

    async def until(self, heard: int) -> None:
        async with self.progress:
            await self.progress.wait_for(lambda: self.heard >= heard)

    def end(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        self.server.kill()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dialect", ["webqq3", "smartqq"])
async def test_nothing_is_lost_doubled_or_out_of_order_whoever_is_killed(
    tmp_path, dialect, free_port
):
    talk = Talk(tmp_path, dialect, free_port)
    try:
        await talk.start("Ann")
        await talk.until(1)  # one after the other: both show a QR code
        await talk.start("Bob")
        for heard, victim in PLAN:
            await talk.until(heard)
            await talk.kill(victim)
        for process in talk.processes.values():
            assert await process.wait() == 0
    finally:
        talk.end()
    expected = [str(number) for number in range(COUNT)]
    for name, account in (("Ann", 10001), ("Bob", 10002)):
        with Store(tmp_path / f"{name}.db") as store:
            entries = store.history(account, limit=4 * COUNT)
            assert store.outbox(account) == []
        assert [entry.text for entry in entries if entry.is_own] == expected
        assert [entry.text for entry in entries if not entry.is_own] == expected
