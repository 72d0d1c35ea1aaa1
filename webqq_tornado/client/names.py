"""Names as users type them: compared without case and accents, or read as numbers."""

from __future__ import annotations

import unicodedata

__all__ = ["comparable", "number_in"]

#: Digits of the longest number there is; QQ numbers have 5 to 11.
MAX_DIGITS = 19


def comparable(name: str) -> str:
    """A name in the form in which those that look the same are equal.

    Args:
        name: in any case, with accents as letters of their own or not, with any white space.

    Example:
        >>> comparable(" Jose\u0301  M. ") == comparable("josé m.")
        True
    """
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def number_in(text: str) -> int:
    """The QQ number, or a group's, that a text is; 0 if it is none.

    Args:
        text: anything; digits may be of full width.

    Example:
        >>> number_in("10001"), number_in("007"), number_in("Ann")
        (10001, 0, 0)
    """
    digits = text.strip()
    is_number = digits.isdecimal() and len(digits) <= MAX_DIGITS and int(digits[0]) > 0
    return int(digits) if is_number else 0
