"""The entries of a HAR file, as those write them who do not do it as we do.

What the format leaves open, or what is often wrong about it, is settled here, before anything is
made of an entry: their order, bodies that are in files of their own, base64 that is none.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from ..files import decoded as decoded_text

__all__ = ["decoded", "entries_of"]

#: Whose entries are in order: by their end, as a redirect and the answer it leads to begin at once.
_OURS = "webqq_tornado"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def entries_of(path: Path) -> list[Any]:
    """The entries, in the order in which they were asked for, with their bodies in them.

    Args:
        path: of the file. Bodies may be in files of its folder and those below (`_file`).

    Raises:
        OSError: it cannot be read.
        ValueError: it is no HAR, or has a body outside of its folder.
    """
    try:
        log = json.loads(decoded_text(path.read_bytes(), str(path)))["log"]
        entries = list(log["entries"])
        is_ours = (log.get("creator") or {}).get("name") == _OURS
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no HAR file: {error!r}") from error
    for number, entry in enumerate(entries, 1):
        try:
            _take_in_files(entry, path.parent)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no HAR file: entry {number}: {error}") from error
    return entries if is_ours else _sorted(entries)


def decoded(text: str) -> bytes | None:
    """Base64 as bytes; None if it is none, whatever it is called.

    Args:
        text: maybe with line ends, or without its padding.
    """
    code = "".join(text.splitlines()).rstrip("=")
    try:
        return base64.b64decode(code + "=" * (-len(code) % 4), validate=True)
    except (binascii.Error, ValueError):  # the latter outside ASCII
        return None


def _sorted(entries: list[Any]) -> list[Any]:
    """Sort by time ("the reader should always make sure the array is sorted"), if all have one."""
    times = [_time_of(entry) for entry in entries]
    known = [time for time in times if time is not None]
    if len(known) < len(entries):
        return entries
    # By their numbers: entries do not compare, and those of one time stay in their order.
    return [entries[number] for number in sorted(range(len(entries)), key=known.__getitem__)]


def _time_of(entry: Any) -> tuple[float, float] | None:
    """Start of an entry, in seconds and a fraction: some have more digits than Python's dates."""
    said = entry.get("startedDateTime") if isinstance(entry, dict) else None
    found = _TIME.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return None
    date, fraction, zone = found.groups()
    # `fromisoformat` takes neither Z nor +0100 before Python 3.11.
    zone = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    try:
        return datetime.fromisoformat(date + zone).timestamp(), float(fraction or 0)
    except (ValueError, OverflowError):
        return None


def _take_in_files(entry: Any, folder: Path) -> None:
    """Put the bodies that are in files of their own (Playwright's `attach`) where text has its own.

    Raises:
        ValueError: one is not in the folder.
    """
    for part, bodies in (("request", "postData"), ("response", "content")):
        body: Any = (entry.get(part) or {}).get(bodies) if isinstance(entry, dict) else None
        name = body.get("_file") if isinstance(body, dict) else None
        if isinstance(name, str) and "text" not in body:
            file = folder / name
            # By what it leads to: a name with `..` in it, or a link, would read any file.
            if not file.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"the file {name!r} of a body is not in the folder of the HAR")
            if file.is_file():
                body["text"] = base64.b64encode(file.read_bytes()).decode()
                body["encoding"] = "base64"
