"""Values of items in the formats of files: what JSON, CSV and SQLite have no type for becomes text.

=================================== ===================== ================== ==================
Value                               JSON lines            CSV                SQLite
=================================== ===================== ================== ==================
list, dict, set, tuple, dataclass   array, object         JSON               JSON
bytes                               text, by UTF-8        text, by UTF-8     BLOB
``Enum``                            its value             its value          its value
NaN, infinity                       null (RFC 8259, 6)    nan, inf           NULL, Inf
integer of more than 64 bits        number                number             text
date, ``Decimal``, UUID, others     text                  text               text
half of a surrogate pair            escaped               escaped            escaped
=================================== ===================== ================== ==================
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

__all__ = ["as_json", "database_value", "plain_value"]


def as_json(value: object, *, is_ascii: bool = False) -> str:
    """Return a value as JSON in one line.

    Args:
        value: of any type.
        is_ascii: escape all other characters.

    Raises:
        ValueError: it contains itself.
    """
    try:
        return json.dumps(value, ensure_ascii=is_ascii, default=_for_json, allow_nan=False)
    except (TypeError, ValueError) as error:  # keys that are no text, or numbers that JSON has not
        try:
            value = _strict(value)
        except RecursionError:
            raise ValueError(f"an item contains itself, or is nested too deeply: {error}") from None
        return json.dumps(value, ensure_ascii=is_ascii)


def _strict(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _strict(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return _strict(_for_json(value))


def _for_json(value: Any) -> object:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "backslashreplace")
    return str(value)


def plain_value(value: Any) -> Any:
    """Return a value that a cell of a CSV file can hold.

    Args:
        value: of any type.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    value = _for_json(value) if not isinstance(value, (list, tuple)) else value
    return as_json(value) if isinstance(value, (Mapping, list, tuple)) else value


def database_value(value: Any) -> Any:
    """Return a value that a cell of a SQLite table can hold.

    Args:
        value: of any type.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    value = plain_value(value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    # SQLite's integers have 64 bits (sqlite.org/datatype3.html, 2).
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
