"""Values as text that gives the same values back: JSON, and tags for what JSON has not.

Never pickle: a file or a database is not code. What is plain JSON is stored as it is. Anything else
is an object of two keys, a tag and its value; a mapping that has such a key itself is tagged, too.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

__all__ = ["pack", "pack_item", "unpack", "unpack_item"]

#: As `json.dumps`, which makes an encoder for each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
#: Key of what is tagged.
_TAG = "$kept"
#: Values that JSON has, of these types exactly: an enum that is an int would come back as an int.
_PLAIN = frozenset({str, int, float, bool, type(None)})
#: Before an item that has tags. JSON cannot begin so.
_TAGGED = "!"


def _packed_datetime(value: datetime) -> Any:
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if zone is None and not value.fold:
        return value.isoformat()
    # What ISO 8601 has no place for: a zone, of which the offset is another one in summer, and
    # which of the two hours it is when the clock is set back.
    bare = value if zone is None else value.replace(tzinfo=None)
    return [bare.isoformat(), value.fold, zone]


def _unpacked_datetime(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    text, fold, zone = value
    found = datetime.fromisoformat(text).replace(fold=fold)
    return found if zone is None else found.replace(tzinfo=ZoneInfo(zone))


#: By type: tag, and what is stored.
_PACKED: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bytes: ("bytes", lambda value: base64.b64encode(value).decode()),
    bytearray: ("bytearray", lambda value: base64.b64encode(value).decode()),
    datetime: ("datetime", _packed_datetime),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: ("decimal", str),
    UUID: ("uuid", str),
}
_UNPACKED: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "bytearray": lambda value: bytearray(base64.b64decode(value)),
    "datetime": _unpacked_datetime,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda value: timedelta(*value),
    "decimal": Decimal,
    "uuid": UUID,
    "path": Path,
    "tuple": lambda value: tuple(map(_untagged, value)),
    "set": lambda value: set(map(_untagged, value)),
    "frozenset": lambda value: frozenset(map(_untagged, value)),
    "dict": lambda value: {_untagged(name): _untagged(one) for name, one in value},
}


def pack(value: object) -> str:
    """Return a value as text; tuples, bytes, dates and paths come back as they were.

    Args:
        value: of JSON's types, or one of the above.

    Raises:
        TypeError: it, or something in it, is of another type.
        ValueError: it contains itself.

    Example:
        >>> unpack(pack((1, b"two")))
        (1, b'two')
    """
    try:
        return _text(_tagged(value))
    except RecursionError:
        raise ValueError("it contains itself, or is nested too deeply") from None


def unpack(text: str) -> Any:
    """Return the value that `pack` was given.

    Args:
        text: of `pack`.
    """
    return _untagged(json.loads(text))


def pack_item(item: object) -> str:
    """Return a result as text: of a dataclass or NamedTuple its fields, of a tuple a list.

    Args:
        item: any JSON value; bytes, dates, sets and the like come back as they were.

    Raises:
        TypeError: something in it is of another type.
        ValueError: it contains itself.
    """
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        item = dataclasses.asdict(item)
    elif isinstance(item, tuple) and hasattr(item, "_asdict"):
        item = item._asdict()
    try:
        return _text(item)
    except TypeError:
        return _TAGGED + pack(item)
    except RecursionError:
        raise ValueError("it contains itself, or is nested too deeply") from None


def unpack_item(text: str) -> Any:
    """Return the result that `pack_item` was given.

    Args:
        text: of `pack_item`.
    """
    return unpack(text[1:]) if text.startswith(_TAGGED) else json.loads(text)


def _text(value: object) -> str:
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no database takes
            return json.dumps(value, separators=(",", ":"))
    return text


def _tagged(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [_tagged(one) for one in value]
    if kind is dict:
        return _tagged_mapping(value)
    if kind in (tuple, set, frozenset):
        return {_TAG: kind.__name__, "v": [_tagged(one) for one in value]}
    if kind in _PACKED:
        tag, function = _PACKED[kind]
        return {_TAG: tag, "v": function(value)}
    if isinstance(value, os.PathLike):
        return {_TAG: "path", "v": os.fspath(value)}
    raise TypeError(f"a value of type {kind.__name__} cannot be kept")


def _tagged_mapping(value: Mapping[Any, Any]) -> Any:
    if _TAG not in value and all(type(name) is str for name in value):
        return {name: _tagged(one) for name, one in value.items()}
    return {_TAG: "dict", "v": [[_tagged(name), _tagged(one)] for name, one in value.items()]}


def _untagged(value: Any) -> Any:
    if type(value) is list:
        return [_untagged(one) for one in value]
    if type(value) is not dict:
        return value
    if _TAG in value:
        return _UNPACKED[value[_TAG]](value["v"])
    return {name: _untagged(one) for name, one in value.items()}
