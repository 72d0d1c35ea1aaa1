"""What is remembered for a while and in memory only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")


class Recent(Generic[V]):
    """The latest entries by key: nobody can fill the memory by asking again and again."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._entries: OrderedDict[object, V] = OrderedDict()

    def put(self, key: object, value: V) -> None:
        """Remember a value, forgetting the oldest when there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def get(self, key: object) -> V | None:
        """The value, if it is still known."""
        return self._entries.get(key)

    def values(self) -> list[V]:
        """All of them, the oldest first."""
        return list(self._entries.values())

    def take(self, key: object) -> V | None:
        """The value, which is forgotten with this."""
        return self._entries.pop(key, None)
