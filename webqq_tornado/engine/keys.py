"""Keys of links: a key is followed once."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from .chain import Chain, State
from .errors import StreamError

__all__ = ["Keys", "mark_of"]


def mark_of(key: str) -> bytes:
    """A short form of a key: millions are kept.

    Args:
        key: of a link.
    """
    # 16 bytes: of a billion keys two are alike by a chance of less than 1 in 10**20. Keys may be
    # any text, and so have halves of surrogate pairs in them.
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Keys:
    """The keys that were followed, where there is no journal to keep them.

    Of a chain that has ended nothing is held but a digest of each of its keys and how it ended: no
    response, no reader, no exception. So a stream may follow millions of them.
    """

    def __init__(self) -> None:
        #: By digest: the chain; once that has ended its state, or what it has failed with.
        self._found: dict[bytes, Chain | State | str] = {}
        #: Those of chains that are alive.
        self.alive: dict[Chain, list[bytes]] = {}

    def take(self, key: str, chain: Chain) -> bool:
        """Note a key.

        Args:
            key: of a link.
            chain: that has it.

        Returns:
            False: it was followed before.
        """
        mark = mark_of(key)
        if mark in self._found:
            return False
        self._found[mark] = chain
        self.alive.setdefault(chain, []).append(mark)
        return True

    def end(self, chain: Chain) -> None:
        """Let go of a chain.

        Args:
            chain: that has ended.
        """
        outcome: State | str = chain.state
        if chain.state is State.FAILED:
            outcome = f"{type(chain.error).__name__}: {chain.error}"
        for mark in self.alive.pop(chain, ()):
            self._found[mark] = outcome

    def merge(self, branch: Chain, parent: Chain) -> None:
        """A chain goes on as the one above it.

        Args:
            branch: which.
            parent: as which.
        """
        marks = self.alive.pop(branch, None)
        if marks is not None:
            self.alive.setdefault(parent, []).extend(marks)
            self._found.update(dict.fromkeys(marks, parent))

    def chain_of(self, key: str, make: Callable[[], Chain]) -> Chain | None:
        """Return the chain that has a key, alive or ended; None if none has.

        Args:
            key: of it.
            make: makes one to stand for a chain that has ended.
        """
        found = self._found.get(mark_of(key))
        if found is None or isinstance(found, Chain):
            return found
        chain = make()
        chain.state = found if isinstance(found, State) else State.FAILED
        if isinstance(found, str):
            chain.error = StreamError(f"the chain of the key {key!r} has failed before: {found}")
        return chain
