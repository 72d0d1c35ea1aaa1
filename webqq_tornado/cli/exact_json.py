"""JSON as it was written: numbers with all their digits, and keys that come twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

__all__ = ["dump_exact", "load_exact"]

#: A number as it came, between NULs, which JSON has no other way to say.
_NUMBER = re.compile(r'"\\u0000([^"\\]+)\\u0000"')


def load_exact(text: str) -> Any:
    """Read JSON, for `dump_exact` alone.

    Args:
        text: to read.

    Raises:
        ValueError: it is none, or too deep; NaN and infinities are none (RFC 8259, 6).

    Example:
        >>> dump_exact(load_exact('{"a": 1.10, "a": 1e999}'))
        '{"a": 1.10, "a": 1e999}'
    """
    try:
        return json.loads(
            text, object_pairs_hook=_Pairs, parse_float=_number, parse_int=_number,
            parse_constant=_refuse,
        )  # fmt: skip
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def dump_exact(value: Any, indent: int | None = None) -> str:
    """Write what `load_exact` has read, maybe as a part of something else.

    Args:
        value: to write.
        indent: blanks by which each level begins further right; None: all in one line.

    Raises:
        ValueError: it is nested too deeply.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return _NUMBER.sub(r"\1", text)


def _number(text: str) -> str:
    """JSON's numbers have more digits than a float, and an int of Python's may be too long."""
    return f"\0{text}\0"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class _Pairs(dict[str, Any]):
    """An object whose keys may come twice."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self._pairs = list(pairs)
        super().__init__(self._pairs)

    def __setitem__(self, key: str, value: Any) -> None:
        self._pairs = [pair for pair in self._pairs if pair[0] != key] + [(key, value)]
        super().__setitem__(key, value)

    def items(self) -> Any:
        """The pairs, in order."""
        return self._pairs
