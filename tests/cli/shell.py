"""Commands as processes, to their end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    output: str
    errors: str

    @property
    def error(self) -> str:
        """Its one line; what wrong usage is followed by stands before it."""
        (line,) = [line for line in self.errors.splitlines() if line.startswith("Error: ")]
        return line.removeprefix("Error: ")


async def run(folder: Path, *words: object, **environment: str) -> Ended:
    """A command, in a folder that is its home as well."""
    arguments = (sys.executable, "-m", "webqq_tornado", *map(str, words))
    return await _ended(asyncio.create_subprocess_exec(*arguments, **_around(folder, environment)))


async def line(folder: Path, text: str, **environment: str) -> Ended:
    """A line for a shell, in which $qq is the command."""
    environment["qq"] = f"{sys.executable} -m webqq_tornado"
    return await _ended(
        asyncio.create_subprocess_exec("bash", "-c", text, **_around(folder, environment))
    )


def _around(folder: Path, environment: dict[str, str]) -> dict[str, object]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEBQQ_")}
    return {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "cwd": folder,
        "env": {**kept, "WEBQQ_STATE_DIR": str(folder / "state"), **environment},
    }


async def _ended(starting) -> Ended:
    process = await starting
    output, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())
