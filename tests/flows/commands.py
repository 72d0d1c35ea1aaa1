"""Commands of flows, run as users run them."""

from __future__ import annotations

import asyncio
import os
import sys


async def command(*arguments: object) -> tuple[int, str]:
    """Exit code and output of `python -m webqq_tornado ...`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "webqq_tornado", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "200"},
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def silent(_line: str) -> None:
    """Say nothing."""
