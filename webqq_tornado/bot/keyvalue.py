"""`KeyValueStore`: values of a plugin by key; on disk if the bot has a store."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, MutableMapping
from typing import Any, Protocol

__all__ = ["KeyValueStore", "LateValues", "MemoryValues", "Values", "checked_values"]


class Values(Protocol):
    """Storage of values; `webqq_tornado.client.Store` is one."""

    def get(self, namespace: str, key: str, default: Any = None) -> Any:
        """A value, or the default."""

    def put(self, namespace: str, key: str, value: Any) -> None:
        """Save a value."""

    def delete(self, namespace: str, key: str) -> bool:
        """Delete a value; return True if there was one."""

    def values(self, namespace: str) -> dict[str, Any]:
        """All values of a namespace by key."""


class MemoryValues:
    """Values in memory, with the semantics of a store."""

    def __init__(self) -> None:
        self._texts: dict[str, dict[str, str]] = {}

    def get(self, namespace: str, key: str, default: Any = None) -> Any:
        """See `Values`."""
        text = self._texts.get(namespace, {}).get(key)
        return default if text is None else json.loads(text)

    def put(self, namespace: str, key: str, value: Any) -> None:
        """See `Values`."""
        self._texts.setdefault(namespace, {})[key] = json.dumps(value)

    def delete(self, namespace: str, key: str) -> bool:
        """See `Values`."""
        return self._texts.get(namespace, {}).pop(key, None) is not None

    def values(self, namespace: str) -> dict[str, Any]:
        """See `Values`."""
        texts = self._texts.get(namespace, {})
        return {key: json.loads(texts[key]) for key in sorted(texts)}


def checked_values(values: Values) -> Values:
    """Return values unchanged if their methods are synchronous, as a mapping needs.

    Raises:
        TypeError: a method is `async def`.
    """
    for method in (values.get, values.put, values.delete, values.values):
        if inspect.iscoroutinefunction(method):
            raise TypeError(f"store {values!r}: {method.__name__} must not be async")
    return values


class LateValues:
    """Values of a bot whose client, with its store, comes later.

    Example:
        >>> values = LateValues()
        >>> values.use(MemoryValues())
    """

    def __init__(self) -> None:
        self._values: Values | None = None

    @property
    def is_known(self) -> bool:
        """True once there is a storage."""
        return self._values is not None

    def use(self, values: Values) -> None:
        """Set the storage.

        Args:
            values: the storage.

        Raises:
            TypeError: see `checked_values`.
        """
        self._values = checked_values(values)

    def get(self, namespace: str, key: str, default: Any = None) -> Any:
        """See `Values`."""
        return self._known.get(namespace, key, default)

    def put(self, namespace: str, key: str, value: Any) -> None:
        """See `Values`."""
        self._known.put(namespace, key, value)

    def delete(self, namespace: str, key: str) -> bool:
        """See `Values`."""
        return self._known.delete(namespace, key)

    def values(self, namespace: str) -> dict[str, Any]:
        """See `Values`."""
        return self._known.values(namespace)

    @property
    def _known(self) -> Values:
        if self._values is None:
            raise RuntimeError("the bot's store is opened by run(): read values in a handler")
        return self._values


_MISSING = object()


class KeyValueStore(MutableMapping[str, Any]):
    """The values of one namespace, as a mapping from texts to JSON values.

    Values are copies: to change a list, assign the changed one again. An assigned value is on
    disk when the assignment returns, if the bot has a store.

    Args:
        values: the storage.
        namespace: of the plugin.

    Example:
        >>> scores = bot.store("quiz")
        >>> scores["Ann"] = scores.get("Ann", 0) + 1
    """

    def __init__(self, values: Values, namespace: str) -> None:
        self._values, self.namespace = values, namespace

    def __repr__(self) -> str:
        return f"<KeyValueStore {self.namespace!r} of {len(self)}>"

    def __getitem__(self, key: str) -> Any:
        value = self._values.get(self.namespace, key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"key {key!r}: a text, such as str({key!r})")
        self._values.put(self.namespace, key, value)

    def __delitem__(self, key: str) -> None:
        if not self._values.delete(self.namespace, key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values.values(self.namespace))

    def __len__(self) -> int:
        return len(self._values.values(self.namespace))
