"""The embedded server with people in it, in a process of its own: `python -m tests.bench.town N`.

Everybody is friends with the one who sits beside them, and in a group with nine others. Prints
its address as JSON; ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from webqq_tornado.server import Storage, WebQQServer

from .children import ROOT, pinned, python

PASSWORD = "correct horse"
#: QQ number of the first; the others have the next ones.
FIRST = 10001
GROUP = 10


class Running(NamedTuple):
    """Where it is: `pid` for those who look what it costs."""

    url: str
    pid: int


@contextlib.contextmanager
def running(people: int, core: int | None) -> Iterator[Running]:
    """Run it, on one core."""
    command = pinned(python("town", people), core)
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        yield Running(**json.loads(process.stdout.readline()), pid=process.pid)
        process.communicate()


def _settle(storage: Storage, people: int) -> None:
    numbers = range(FIRST, FIRST + people)
    for number in numbers:
        storage.accounts.create(f"P{number}", PASSWORD, number)
    for one, other in zip(numbers[::2], numbers[1::2], strict=True):
        storage.friends.befriend(one, other)
    for first in numbers[::GROUP]:
        members = range(first, min(first + GROUP, FIRST + people))
        storage.rooms.create_group(f"G{first}", first, members)


async def _serve(people: int) -> None:
    with tempfile.TemporaryDirectory(prefix="town-") as folder:
        storage = Storage(Path(folder) / "server.db")
        _settle(storage, people)
        server = WebQQServer(storage)
        server.listen(0)
        print(json.dumps({"url": server.url}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        await server.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
