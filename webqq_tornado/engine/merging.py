"""Two chains become one: the last branch goes on as the chain that waits for it.

User code may still hold a branch that ends so. Asked for anything it answers for the chain
as which it goes on: by its class, so that nothing is looked up for chains that never merge.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .chain import Chain
from .response import Response

__all__ = ["heir_of", "merge_into_parent"]


class _Merged(Chain):
    """A chain that goes on as the one above it."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        return getattr(heir_of(self), name)

    def __repr__(self) -> str:
        return repr(heir_of(self))

    def __await__(self) -> Generator[Any, None, Response | None]:
        return heir_of(self).__await__()


def heir_of(chain: Chain) -> Chain:
    """The chain itself, or the one as which it goes on.

    Args:
        chain: that may have merged.
    """
    # `type`, not `isinstance`: that reads `__class__`, which `_Merged` would answer by asking here.
    while type(chain) is _Merged:
        chain = object.__getattribute__(chain, "parent")
    return chain


def merge_into_parent(branch: Chain) -> None:
    """Go on as the chain above: who awaits the branch awaits that.

    Args:
        branch: the last of a chain that only waits for it; holds nothing of the stream's.
    """
    parent = branch.parent
    if parent is None:
        raise ValueError(f"{branch!r} is no branch")
    # Before the class changes: from then on every attribute of the branch is the parent's.
    waiters, branch._waiters = branch._waiters, None
    if waiters:
        parent._waiters = {**(parent._waiters or {}), **waiters}
    # The object lives as long as a caller has it; what it refers to need not.
    branch._outcome = branch._branches = branch._lane = branch._kept = branch.response = None
    branch._request = branch._readback = branch._errback = branch._hop = branch._signed = None
    branch._data = None
    branch.__class__ = _Merged
