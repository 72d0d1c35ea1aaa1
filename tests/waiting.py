"""Waiting for what gives no event of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable


async def until(holds: Callable[[], object]) -> None:
    """Turn the loop until it holds. What never does fails as a test that hangs does."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def put_ahead(seconds: float) -> None:
    """Put the running loop's clock ahead: what was to happen by then happens now."""
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]


class Span:
    """The time since it was made, as it would be if other processes left the cores alone.

    Attributes:
        seconds: so far, without those in which the loop did not get to run what was due.
    """

    def __init__(self) -> None:
        self._time = asyncio.get_running_loop().time
        self._began = self._due = self._time()
        self._late = 0.0

    @property
    def seconds(self) -> float:
        now = self._time()
        return now - self._began - self._late - max(0.0, now - self._due)

    async def look(self) -> None:
        """Note again and again how much later than asked for the loop comes back."""
        while True:
            self._due = self._time() + 0.01
            await asyncio.sleep(0.01)
            self._late += max(0.0, self._time() - self._due)


@contextlib.asynccontextmanager
async def span() -> AsyncIterator[Span]:
    """Measure the time of a block that waits for the most part."""
    found = Span()
    looking = asyncio.ensure_future(found.look())
    try:
        yield found
    finally:
        looking.cancel()
