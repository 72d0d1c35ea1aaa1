"""Every client in a process of its own, on one core, that prints what it did as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

#: Where `python -m tests.bench...` works.
ROOT = Path(__file__).parent.parent.parent
#: Seconds that a client gets beyond its own to start, connect and end.
PATIENCE = 60


class Cores(NamedTuple):
    """Where clients and servers run, so that they do not take each other's time.

    None on a machine with a single core: then the figures say little.
    """

    client: int | None
    server: int | None

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first two that we may use."""
        available = sorted(os.sched_getaffinity(0))
        return cls(available[0], available[1]) if len(available) > 1 else cls(None, None)


class ChildError(RuntimeError):
    """A client did not end well."""


def pinned(command: list[str], core: int | None) -> list[str]:
    """The command, run on one core."""
    return command if core is None else ["taskset", "-c", str(core), *command]


def python(module: str, *arguments: object) -> list[str]:
    """The command to run a module of the bench."""
    return [sys.executable, "-m", f"tests.bench.{module}", *map(str, arguments)]


def output_of(command: list[str], core: int | None, seconds: float) -> str:
    """Run a client to its end; its messages go to ours.

    Raises:
        ChildError: it failed, or did not end in its time.
    """
    try:
        done = subprocess.run(
            pinned(command, core),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds + PATIENCE,
            check=True,
        )
    except subprocess.SubprocessError as error:
        raise ChildError(str(error)) from error
    return done.stdout


def json_of(command: list[str], core: int | None, seconds: float) -> Any:
    """The same, for one that prints JSON as its last line."""
    return json.loads(output_of(command, core, seconds).splitlines()[-1])
