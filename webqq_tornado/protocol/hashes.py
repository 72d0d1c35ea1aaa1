"""The hashes of the protocol: password, friend list, ptqrtoken and bkn.

All of them are functions of their arguments; golden vectors are in
``tests/protocol/webqq_vectors.json``.
"""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import partial
from hashlib import md5
from itertools import cycle

from .models.login import Secret

__all__ = [
    "FriendListHash",
    "bkn",
    "digest_hash",
    "digits_hash",
    "eqq_hash",
    "friend_list_hash",
    "hash33",
    "password_digest",
    "password_error_hash",
    "password_hash",
    "password_salt",
    "quicksort_hash",
]

_BKN_START = 5381
#: The protocol knows nothing better; said so that it is there on systems that allow no MD5 (FIPS).
_md5 = partial(md5, usedforsecurity=False)


class FriendListHash(Enum):
    """The three ways in which the servers wanted the friend list's hash."""

    QUICKSORT_2013 = "quicksort_2013"
    """WebQQ 3 in 2013."""
    PASSWORD_ERROR_2014 = "password_error_2014"  # noqa: S105 - a name, not a password
    """WebQQ 3 in 2014."""
    EQQ_2012 = "eqq_2012_xor_ECOK"
    """Every SmartQQ client, 2015 to 2018."""


def password_salt(account: int) -> bytes:
    """The salt of `password_hash`: the QQ number as 8 bytes, big endian."""
    return account.to_bytes(8, "big")


def password_hash(password: str, salt: bytes, verify_code: str) -> Secret:
    """Compute the parameter ``p`` of ``login`` (WebQQ 3).

    Upper hex md5( upper hex md5( md5(password) as 16 bytes + salt ) + upper-case verify code ).

    Args:
        password: In UTF-8 before it is hashed.
        salt: 8 bytes from ``check``; see `password_salt`.
        verify_code: From ``check``, or typed from the captcha.

    Example:
        >>> str(password_hash("123456", password_salt(10001), "!PTH"))
        '177A6530961994D255540C16D59593DC'
    """
    return digest_hash(password_digest(password), salt, verify_code)


def password_digest(password: str) -> bytes:
    """All that the login proves knowledge of: md5 of a password, unsalted, as Tencent had it.

    Some keyboards write an accent as a character of its own, others one with its letter: it is made
    the latter first (NFC; RFC 8265, 4.2), which is what almost all of them write.

    Example:
        >>> password_digest("secret").hex()
        '5ebe2294ecd0e0f08eab7690d2a6ee69'
    """
    return _md5(unicodedata.normalize("NFC", password).encode()).digest()


def digest_hash(digest: bytes, salt: bytes, verify_code: str) -> Secret:
    """`password_hash` for who has only md5(password), like a server.

    Args:
        digest: md5 of the password, 16 bytes.
        salt: 8 bytes; see `password_salt`.
        verify_code: That the server gave out.
    """
    inner = _md5(digest + salt).hexdigest().upper()
    return Secret(_md5((inner + verify_code.upper()).encode()).hexdigest().upper())


def _times33(text: str, start: int) -> int:
    value = start
    for character in text:
        value = (value * 33 + ord(character)) & 0x7FFFFFFF
    return value


def hash33(text: str) -> int:
    """``ptqrtoken`` of a ``qrsig`` cookie (SmartQQ).

    Example:
        >>> hash33("x")
        120
    """
    return _times33(text, 0)


def bkn(skey: str) -> int:
    """``bkn``, also called ``g_tk``, of a ``skey`` cookie.

    Example:
        >>> bkn("x")
        177693
    """
    return _times33(skey, _BKN_START)


def eqq_hash(uin: int, ptwebqq: str) -> str:
    """Friend-list hash of the SmartQQ clients, as 16 upper hex digits.

    The characters of ptwebqq are XORed into 4 bytes, which alternate with the 4 bytes of the
    number XORed with "ECOK".
    """
    mixed = [0, 0, 0, 0]
    for index, character in enumerate(ptwebqq):
        mixed[index % 4] ^= ord(character) & 0xFF
    number = (uin & 0xFFFFFFFF).to_bytes(4, "big")
    salted = (byte ^ salt for byte, salt in zip(number, b"ECOK", strict=True))
    return "".join(f"{left:02X}{right:02X}" for left, right in zip(mixed, salted, strict=True))


def password_error_hash(uin: int, ptwebqq: str) -> str:
    """Friend-list hash of WebQQ 3 in 2014: ptwebqq + "password error", XOR the repeated number.

    Two upper hex digits for each character.
    """
    text = f"{ptwebqq}password error"
    mixed = (ord(left) ^ ord(right) for left, right in zip(text, cycle(str(uin)), strict=False))
    return "".join(f"{code & 0xFF:02X}" for code in mixed)


def digits_hash(account: int, ptwebqq: str) -> str:
    """Friend-list hash of WebQQ 3 in early 2013 (webqq-core, pual_bot), as 8 upper hex digits.

    Each digit of the number moves a place on in ptwebqq, from where four characters are XORed.
    No client of ours sends it: the server takes it. Past the end the script had 0.
    """
    codes = [*ptwebqq.encode("latin-1", "replace"), *bytes(4)]
    key, place, length = 0xFFFFFFFF, 0, max(len(ptwebqq), 1)
    for digit in str(account):
        place = (place + int(digit)) % length
        missing = max(4 + place - length, 0)
        there = codes[place : place + (missing or 4)]
        key ^= int.from_bytes(bytes([*there, *codes][:4]), "big")
    return f"{key:08X}"


def quicksort_hash(uin: int, ptwebqq: str) -> str:
    """Friend-list hash of WebQQ 3 in 2013, as 8 upper hex digits.

    Each step of a quicksort over the characters of ptwebqq disturbs one byte of the number.
    """
    mixer = _Mixer(uin, ptwebqq)
    ranges = [(0, len(ptwebqq) - 1)]
    while ranges:
        first, last = ranges.pop()
        if first < last:
            ranges += mixer.partition(first, last)
    return mixer.digest()


class _Mixer:
    """The quicksort of `quicksort_hash` with the four bytes that it disturbs."""

    def __init__(self, uin: int, ptwebqq: str) -> None:
        self._bytes = list((uin & 0xFFFFFFFF).to_bytes(4, "big"))
        self._codes = [ord(character) for character in ptwebqq]

    def digest(self) -> str:
        return "".join(f"{byte:02X}" for byte in self._bytes)

    def partition(self, first: int, last: int) -> list[tuple[int, int]]:
        """Sort one range around its first element; returns the ranges that remain."""
        if first + 1 == last:
            pair = self._codes[first : last + 1]
            self._codes[first : last + 1] = sorted(pair)
            return []
        middle = self._split(first, last)
        return [(first, middle - 1), (middle + 1, last)]

    def _split(self, low: int, high: int) -> int:
        codes, mix = self._codes, self._bytes
        pivot = codes[low]
        while low < high:
            while low < high and codes[high] >= pivot:
                high -= 1
                mix[0] = (mix[0] + 3) & 0xFF
            if low < high:
                codes[low] = codes[high]
                low += 1
                mix[1] = (mix[1] * 13 + 43) & 0xFF
            while low < high and codes[low] <= pivot:
                low += 1
                mix[2] = (mix[2] - 3) & 0xFF
            if low < high:
                codes[high] = codes[low]
                high -= 1
                mix[3] = (mix[0] ^ mix[1] ^ mix[2] ^ (mix[3] + 1)) & 0xFF
        codes[low] = pivot
        return low


_HASHES = {
    FriendListHash.QUICKSORT_2013: quicksort_hash,
    FriendListHash.PASSWORD_ERROR_2014: password_error_hash,
    FriendListHash.EQQ_2012: eqq_hash,
}


def friend_list_hash(kind: FriendListHash, uin: int, ptwebqq: str) -> str:
    """The hash for ``get_user_friends2``.

    Args:
        kind: Which of the three; a server that wants another one answers retcode 50.
        uin: One's own number.
        ptwebqq: The cookie.
    """
    return _HASHES[kind](uin, ptwebqq)
