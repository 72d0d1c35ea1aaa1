"""Caches: values with a limited lifetime, in memory only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Generic, TypeVar

__all__ = ["BoundedCache", "BoundedCacheByOwner"]

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """The latest entries by key: repeated requests cannot fill the memory."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._entries: OrderedDict[object, V] = OrderedDict()

    def put(self, key: object, value: V) -> None:
        """Store a value; drop the oldest entry if there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def get(self, key: object) -> V | None:
        """The value; None if it has been dropped."""
        return self._entries.get(key)

    def items(self) -> list[tuple[Any, V]]:
        """Keys and values, oldest first."""
        return list(self._entries.items())

    def take(self, key: object) -> V | None:
        """Remove and return the value."""
        return self._entries.pop(key, None)


class BoundedCacheByOwner(Generic[V]):
    """The latest entries by key and owner: an owner with too many loses its own oldest.

    Args:
        size: maximum number of entries; beyond it the owner of most loses its oldest.
        each: maximum number of entries of one owner.

    Example:
        >>> codes = BoundedCacheByOwner(size=100, each=1)
        >>> codes.put("a", 1, owner="one"), codes.put("b", 2, owner="other")
        (None, None)
        >>> codes.put("c", 3, owner="other")
        >>> codes.get("a"), codes.get("b"), codes.get("c")
        (1, None, 3)
    """

    def __init__(self, size: int = 10_000, each: int = 1000) -> None:
        self._size = size
        self._each = each
        self._entries: OrderedDict[object, tuple[object, V]] = OrderedDict()
        self._owned: dict[object, OrderedDict[object, None]] = {}

    def put(self, key: object, value: V, owner: object) -> None:
        """Store a value; an existing entry keeps its place in the order.

        Args:
            key: of the entry.
            value: of the entry.
            owner: for example an address.
        """
        if key not in self._entries:
            owned = self._owned.setdefault(owner, OrderedDict())
            owned[key] = None
            if len(owned) > self._each:
                self.take(next(iter(owned)))
            elif len(self._entries) >= self._size:
                most = max(self._owned.values(), key=len)
                self.take(next(iter(most)))
        else:
            owner = self._entries[key][0]
        self._entries[key] = (owner, value)

    def get(self, key: object) -> V | None:
        """The value; None if it has been dropped."""
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def values(self) -> list[V]:
        """Values, oldest first."""
        return [value for _, value in self._entries.values()]

    def take(self, key: object) -> V | None:
        """Remove and return the value."""
        owner, value = self._entries.pop(key, (None, None))
        owned = self._owned.get(owner)
        if owned is not None:
            owned.pop(key, None)
            if not owned:
                del self._owned[owner]
        return value
