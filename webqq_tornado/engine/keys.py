"""Keys of links: a key is followed once."""

from __future__ import annotations

from hashlib import blake2b

from .chain import Chain

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
    """The keys that were followed, where there is no journal to keep them."""

    def __init__(self) -> None:
        self._chains: dict[bytes, Chain | None] = {}

    def take(self, key: str, chain: Chain | None) -> bool:
        """Note a key.

        Args:
            key: of a link.
            chain: that has it.

        Returns:
            False: it was followed before.
        """
        mark = mark_of(key)
        if mark in self._chains:
            return False
        self._chains[mark] = chain
        return True

    def is_followed(self, key: str) -> bool:
        """Return whether a link with this key was followed.

        Args:
            key: of a link.
        """
        return mark_of(key) in self._chains

    def chain_of(self, key: str) -> Chain | None:
        """Return the chain that has a key, alive or ended; None if none has.

        Args:
            key: of it.
        """
        return self._chains.get(mark_of(key))
