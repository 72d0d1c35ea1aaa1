"""Waiting for what gives no event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object]) -> None:
    """Turn the loop until it holds. What never does fails as a test that hangs does."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def put_ahead(seconds: float) -> None:
    """Put the running loop's clock ahead: what was to happen by then happens now."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]
