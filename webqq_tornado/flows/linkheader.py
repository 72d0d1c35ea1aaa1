"""Links in headers (RFC 8288), by the algorithm of its appendix B.2.

It reads more than the grammar allows: single quotes, an unquoted relation with spaces, a list
damaged in the middle. A link with an anchor describes another resource.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["HeaderLink", "parse_links"]

_SEPARATORS = re.compile(r"[\s,]*")
#: A parameter; the closing quote may be missing.
_PARAMETER = re.compile(
    r'\s*;\s*([^\s=;,"]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;,"]*)))?', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UP_TO_COMMA = re.compile(r"[^,]*")


class HeaderLink(NamedTuple):
    """A link of a response to another resource.

    Args:
        target: its URL, as in the header.
        relations: in lower case.
        anchor: URL of the linking resource, if it is not the response.

    Example:
        >>> HeaderLink("/?page=2", frozenset({"next"})).target
        '/?page=2'
    """

    target: str
    relations: frozenset[str]
    anchor: str | None = None


def parse_links(headers: Iterable[str]) -> list[HeaderLink]:
    """The links of a response, in order; unreadable parts are skipped.

    Args:
        headers: the values of its `Link` headers.

    Example:
        >>> parse_links(['<a>; rel="next", <b>; rel=prev'])[0]
        HeaderLink(target='a', relations=frozenset({'next'}), anchor=None)
    """
    return [link for header in headers for link in _links_in(header)]


def _links_in(text: str) -> list[HeaderLink]:
    found, position = [], _after(_SEPARATORS, text, 0)
    while position < len(text):
        end = text.find(">", position)
        if end < 0:
            break
        if text[position] == "<":
            target = text[position + 1 : end].strip()
            parameters, position = _parameters(text, end + 1)
            relations = frozenset(parameters.get("rel", "").lower().split())
            found.append(HeaderLink(target, relations, parameters.get("anchor")))
        position = _after(_SEPARATORS, text, _after(_UP_TO_COMMA, text, position))
    return found


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    """Position after a pattern, which may match nothing."""
    match = pattern.match(text, position)
    return match.end() if match else position


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    """The first parameter of each name, as the standard asks, and the position after them."""
    found: dict[str, str] = {}
    while (parameter := _PARAMETER.match(text, position)) is not None:
        name, quoted, token = parameter.groups()
        value = _ESCAPED.sub(r"\1", quoted) if quoted is not None else (token or "").strip()
        if len(value) > 1 and value[0] == value[-1] == "'":
            value = value[1:-1]
        found.setdefault(name.lower(), value)
        position = parameter.end()
    return found, position
