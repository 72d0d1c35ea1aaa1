"""Values of OneBot as they occur: numbers as texts, booleans as words, null for "not given".

A parameter comes as its type or as a text that holds it (OB communication/http.md); booleans of
segments as 0/1, no/yes, false/true (OB message/segment.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import TypeAlias

from ...protocol import wire

__all__ = [
    "Fields",
    "as_text",
    "boolean",
    "dump",
    "id_in",
    "load",
    "number",
    "object_of",
    "signed32",
]

#: A JSON object.
Fields: TypeAlias = Mapping[str, object]

_DIGITS = re.compile(r"\s*[+-]?[0-9]{1,20}\s*", re.ASCII)
_WORDS = {
    **dict.fromkeys(("true", "yes", "1", "on"), True),
    **dict.fromkeys(("false", "no", "0", "off", ""), False),
}


def load(text: str | bytes) -> object:
    """The value of a JSON text.

    Args:
        text: a frame, a body, or the data of a server-sent event.

    Raises:
        ValueError: it is no JSON, no UTF-8, nested too deeply, or has a number that JSON cannot
            hold: NaN or Infinity, which Python alone would take, and could not be passed on.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        _refuse(digits[:40])
    return value


def dump(value: object) -> str:
    """A value as JSON the way that JavaScript prints it.

    That is: no blanks, letters of all scripts as they are. Koishi signs what it has printed
    itself (KO http.ts), so that a body in this form has the signature that it expects.

    Args:
        value: of what JSON has.

    Raises:
        ValueError: it is nested too deeply, as `load` has it.
    """
    try:
        return wire.clean(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def object_of(raw: object, what: str) -> dict[str, object]:
    """The value if it is a JSON object.

    Args:
        raw: the value.
        what: name of it for the error.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"{what} is no JSON object")
    return raw


def number(raw: object) -> int:
    """A whole number, given as one, as a text or as a float without a fraction.

    Args:
        raw: the value.

    Raises:
        ValueError: it is none.

    Example:
        >>> number(10001), number(" 10001 "), number(3.0)
        (10001, 10001, 3)
    """
    if type(raw) is int:
        return raw
    if isinstance(raw, str) and _DIGITS.fullmatch(raw):
        return int(raw)
    if isinstance(raw, float) and raw.is_integer():
        return int(raw)
    raise ValueError("a whole number was expected")


def id_in(text: str) -> int:
    """The id that a text holds; 0, which nothing has, where it holds none.

    Args:
        text: of an application: an id has up to 18 digits, so that a store can take it.

    Example:
        >>> id_in("10001"), id_in("-1"), id_in("9" * 5000)
        (10001, 0, 0)
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def boolean(raw: object) -> bool:
    """A boolean, given as one, as 0 or 1, or as one of the words for them.

    Args:
        raw: the value.

    Raises:
        ValueError: it is none.

    Example:
        >>> boolean("yes"), boolean(0), boolean("false")
        (True, False, False)
    """
    if isinstance(raw, bool):
        return raw
    known = _WORDS.get(str(raw).strip().lower()) if isinstance(raw, (str, int)) else None
    if known is None:
        raise ValueError("a boolean was expected")
    return known


def as_text(raw: object) -> str:
    """A plain value as a text; an object or list as JSON.

    Args:
        raw: the value; None is the empty text.
    """
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float) and raw.is_integer():
        return str(int(raw))
    return wire.clean(raw if isinstance(raw, str) else dump(raw))


def signed32(value: int) -> int:
    """A number as a signed one of 32 bits, which a message_id is (OB event/message.md).

    Args:
        value: a counter or hash of any size.

    Example:
        >>> signed32(5), signed32(2**31)
        (5, -2147483648)
    """
    return (value + 2**31) % 2**32 - 2**31
