"""Storage format of a message's content: a JSON list, as on the page, and its font."""

from __future__ import annotations

import json
from dataclasses import astuple

from ...protocol import wire
from ...protocol.models.content import Content, Face, Font

__all__ = ["dump_content", "load_content", "plain_parts"]

_ENCODER = json.JSONEncoder(ensure_ascii=False)


def dump_content(content: Content) -> str:
    """A content as JSON: texts, ["face", id], the font; of pictures, what stands for them."""
    font = [] if content.font == Font() else [["font", list(astuple(content.font))]]
    return _ENCODER.encode([*plain_parts(content), *font])


def plain_parts(content: Content) -> list[object]:
    """A content as the page has it: texts and ["face", id]."""
    return [
        ["face", part.id] if isinstance(part, Face) else getattr(part, "text", part)
        for part in content.parts
    ]


def load_content(parts: object) -> Content:
    """The reverse of `plain_parts` and, when it was parsed, of `dump_content`.

    Raises:
        ValueError: it is not a list of texts and ["face", id].
    """
    if not isinstance(parts, list):
        raise ValueError('content is a list of texts and ["face", id]')
    loaded = [_load_part(part) for part in parts]
    fonts = [part for part in loaded if isinstance(part, Font)]
    return Content.of(
        *(part for part in loaded if not isinstance(part, Font)), font=fonts[0] if fonts else None
    )


def _load_part(part: object) -> str | Face | Font:
    match part:
        case ["font", [str(name), int(size), bool(bold), bool(italic), bool(under), str(color)]]:
            if -(2**63) <= size < 2**63:
                return Font(wire.clean(name), size, bold, italic, under, wire.clean(color))
        case str():
            return wire.clean(part)  # JSON can hold what no text can: half of a pair
        # Any number that the protocol can carry: what was accepted must come out again.
        case ["face", number] if type(number) is int and -(2**63) <= number < 2**63:
            return Face(number)
    raise ValueError('content is a list of texts and ["face", id]')
