"""Waiting for what gives no event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object]) -> None:
    """Turn the loop until it holds. What never does fails as a test that hangs does."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)
