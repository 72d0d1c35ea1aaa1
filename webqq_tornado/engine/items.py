"""Items: what a flow finds, handed to a file or kept in a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["ItemEmitter"]


class ItemEmitter:
    """The part of `HTTPStream` that hands on what readers find."""

    _takers: tuple[Callable[[Any], object], ...] = ()
    _emitted: list[Any] | None = None

    def emit(self, item: Any) -> None:
        """Hand on something that a reader has found.

        It goes to the functions of `take_items`, such as the file of `run -o items.csv`; without
        one it is kept in `emitted`.

        Args:
            item: a dict, a dataclass or a NamedTuple, where it goes to a file.

        Example:
            >>> def read(self, response):
            ...     self.emit({"url": response.url, "size": len(response.body)})
        """
        for take in self._takers:
            take(item)
        if not self._takers:
            self.emitted.append(item)

    @property
    def emitted(self) -> list[Any]:
        """The items that nobody has taken."""
        if self._emitted is None:
            self._emitted = []
        return self._emitted

    def take_items(self, take: Callable[[Any], object]) -> None:
        """Have items handed to a function instead of keeping them; may be called more than once.

        Args:
            take: gets each item as it is emitted. What it raises, the reader that emits raises.

        Example:
            >>> with ItemFile("pages.csv") as file:
            ...     flow.take_items(file.write)
            ...     flow.run(strict=True)
        """
        self._takers = (*self._takers, take)
