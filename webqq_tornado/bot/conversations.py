"""Queues of jobs: in order within a conversation, concurrent between conversations."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeAlias

__all__ = ["ConversationQueues"]

_Job: TypeAlias = Callable[[], Awaitable[None]]


class ConversationQueues:
    """A queue and a task for each conversation that has jobs.

    Example:
        >>> queues = ConversationQueues()
        >>> queues.add("Ann", handle_first)
        >>> queues.add("Ann", handle_second)  # after the first
        >>> queues.add("Bob", handle_other)  # meanwhile
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[_Job]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._queues)

    def add(self, key: Hashable, job: _Job) -> None:
        """Run a job after all earlier ones with the same key.

        Args:
            key: of the conversation.
            job: returns an awaitable; must not raise.
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
        """Drop all jobs; cancel the running ones."""
        self._queues.clear()
        for task in self._tasks:
            task.cancel()

    async def _drain(self, key: Hashable, queue: deque[_Job]) -> None:
        while queue:
            await queue.popleft()()
        self._queues.pop(key, None)
