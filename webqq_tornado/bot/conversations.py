"""Things to do, in order for each conversation, and side by side for several."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeAlias

__all__ = ["ConversationQueues"]

_Job: TypeAlias = Callable[[], Awaitable[None]]


class ConversationQueues:
    """A queue for each conversation that has something to do, and a task that does it.

    Example:
        >>> queues = ConversationQueues()
        >>> queues.put("Ann", handle_first)
        >>> queues.put("Ann", handle_second)  # after the first
        >>> queues.put("Bob", handle_other)  # meanwhile
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[_Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def put(self, key: Hashable, job: _Job) -> None:
        """Do something after all that was put under the same key.

        Args:
            key: of the conversation.
            job: returns what is awaited; it must not raise.
        """
        queue = self._queues.get(key)
        if queue is not None:
            queue.append(job)
            return
        queue = self._queues[key] = deque([job])
        task = asyncio.ensure_future(self._drain(key, queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Do nothing any more; what is being done is cancelled."""
        self._queues.clear()
        for task in self._tasks:
            task.cancel()

    async def _drain(self, key: Hashable, queue: deque[_Job]) -> None:
        while queue:
            await queue.popleft()()
        self._queues.pop(key, None)
