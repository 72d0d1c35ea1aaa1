"""Servers in processes of their own: their descriptors and their loop are not the test's."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
#: Seconds that a server gets to end.
PATIENCE = 10


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
