"""Runs our command again and again, out of one process that has imported all of it.

A line of standard input is a JSON list, of a URL and the command's words; the answer is the exit
code. So a test of many short runs does not wait for as many interpreters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NoReturn

#: The folders in which `journal.starter` and `servers` are, and our package.
_TESTS = Path(__file__).parent.parent


class Starter:
    """A context in which runs can be started."""

    def __enter__(self) -> Starter:
        path = os.pathsep.join([str(_TESTS.parent), str(_TESTS), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "journal.starter"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def run(self, *words: str, kill: str = "") -> int:
        """Run the command to its end; returns its exit code, which is below 0 for a signal.

        Args:
            words: of the command.
            kill: URL of `servers.counted`, which is given the pid and kills it.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([kill, words]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def main() -> None:
    """See above."""
    from webqq_tornado import cli
    from webqq_tornado.cli import run  # noqa: F401 - imported when it is first needed

    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _be_run(cli.main, *json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _be_run(command: Callable[[list[str]], NoReturn], kill: str, words: list[str]) -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_RDWR), sys.stdin.fileno())
    os.dup2(sys.stdin.fileno(), sys.stdout.fileno())
    if kill:
        urllib.request.urlopen(f"{kill}/{os.getpid()}", b"", timeout=100).close()
    command(words)


if __name__ == "__main__":
    main()
