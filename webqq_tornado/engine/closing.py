"""Closing what a block has opened."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

__all__ = ["ClosedByBlock"]

_Self = TypeVar("_Self", bound="ClosedByBlock")


class ClosedByBlock:
    """Base of what is closed when its `with` block is left, however that happens."""

    __slots__ = ()

    def close(self) -> None:
        """Close it; may be called twice."""
        raise NotImplementedError

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
