"""Servers in processes of their own: their descriptors and their loop are not the test's."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
#: Seconds that a server gets to end.
PATIENCE = 60


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run `python -m module`; gives the JSON that it prints when it is ready.

    The process ends when its standard input does, so also with the tests.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, f"{module} did not start: see its messages above"
        yield json.loads(line)
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def announce(**facts: Any) -> None:
    """In the server's process: say that it is ready, and where."""
    print(json.dumps(facts), flush=True)


def wait_for_the_end() -> None:
    """In the server's process: return when the tests have ended. Blocks: for an executor."""
    sys.stdin.buffer.read()


@contextlib.contextmanager
def held_port() -> Iterator[int]:
    """Hold a port of 127.0.0.1 at which nobody listens, and which the system gives to nobody else.

    Servers can listen there, again and again: they set SO_REUSEADDR, as this does.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class Restartable:
    """A server on one port and directory that can be killed and started again.

    Args:
        module: runs with the directory and the port as its arguments.
        directory: its data.
        port: by `held_port`.
    """

    def __init__(self, module: str, directory: str, port: int) -> None:
        self.module, self.directory, self.port = module, directory, port
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", self.module, self.directory, str(self.port)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=TESTS, stdin=pipe, stdout=pipe)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{self.module} did not start: see its messages above"

    def kill(self) -> None:
        """As kill -9."""
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        """Let it end."""
        self.process.communicate(timeout=PATIENCE)
