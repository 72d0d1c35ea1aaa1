"""The virtual numbers of one session: uins, gids, codes, dids.

Like Tencent's, they hide the real numbers and differ between sessions. They are computed, not
stored, in both directions: each kind has a permutation of the 32-bit numbers, derived from the
session's seed. So 2,000 sessions with 500 fellow members each cost no memory, and a
server that starts again knows all numbers that it gave out.

The permutation multiplies by odd numbers and folds the upper half into the lower one, twice;
each step is reversible. It is not a secret: `get_friend_uin2` returns the real number.
"""

from __future__ import annotations

import hashlib

__all__ = ["Uins"]

_MASK = 0xFFFF_FFFF
_ABOVE = ~_MASK


class _Permutation:
    """One permutation of the 32-bit numbers; what is above stays as it is."""

    __slots__ = ("_add", "_back_one", "_back_two", "_one", "_two")

    def __init__(self, seed: bytes, kind: str) -> None:
        digest = hashlib.blake2b(kind.encode(), key=seed, digest_size=12).digest()
        words = [int.from_bytes(digest[at : at + 4], "big") for at in (0, 4, 8)]
        self._one, self._two, self._add = words[0] | 1, words[1] | 1, words[2]
        self._back_one = pow(self._one, -1, _MASK + 1)
        self._back_two = pow(self._two, -1, _MASK + 1)

    def there(self, number: int) -> int:
        low = (number * self._one + self._add) & _MASK
        low ^= low >> 16
        low = low * self._two & _MASK
        low ^= low >> 16
        return number & _ABOVE | low

    def back(self, number: int) -> int:
        low = number & _MASK
        low ^= low >> 16  # twice the same fold is none
        low = low * self._back_two & _MASK
        low ^= low >> 16
        low = (low - self._add) * self._back_one & _MASK
        return number & _ABOVE | low


class Uins:
    """Numbers of one session.

    Args:
        seed: 16 random bytes of the session.
        account: whose it is: one's own uin is one's QQ number.

    Example:
        >>> uins = Uins(bytes(16), 10001)
        >>> uins.meant_by(uins.of("person", 10002), "person")
        10002
        >>> uins.of("person", 10001)
        10001
    """

    __slots__ = ("_account", "_kinds")

    def __init__(self, seed: bytes, account: int) -> None:
        self._account = account
        kinds = ("person", "group", "code", "discussion")
        self._kinds = {kind: _Permutation(seed, kind) for kind in kinds}

    def of(self, kind: str, number: int) -> int:
        """The virtual number of a person, a group (its gid), its code, or a discussion."""
        if kind != "person":
            return self._kinds[kind].there(number)
        if number == self._account:
            return number
        made = self._kinds[kind].there(number)
        # The contact that would get our own number gets the one that we do not need.
        return self._kinds[kind].there(made) if made == self._account else made

    def meant_by(self, made: int, kind: str) -> int:
        """The real number; the reverse of `of`. A number never issued maps to any."""
        if kind != "person":
            return self._kinds[kind].back(made)
        if made == self._account:
            return made
        number = self._kinds[kind].back(made)
        return self._kinds[kind].back(number) if number == self._account else number
