r"""Message content both ways: texts, faces, pictures, fonts.

What is received (captures of 2013 to 2015)::

    [
        ["font", {"size": 10, "color": "000000", "style": [0, 0, 0], "name": "宋体"}],
        "hello ",
        ["face", 14],
        " ",
    ]

The font comes first, ``\r`` ends a line, and WebQQ 3 put a space after each face and picture and
at the end of the last text; SmartQQ put none (see `wireformat`). What is sent is a JSON *text* of
a list with the font last, ``\n`` line ends and no added spaces. Our `Content` is free of all of
that, so both directions are exact inverses.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

from . import wire
from .fields import FLAG, INTEGER, RAW, Field, Kind, Record, raw_json
from .models.content import (
    At,
    Attachment,
    Content,
    Face,
    Font,
    GroupPicture,
    Part,
    Picture,
    Reply,
    UnknownPart,
)
from .wireformat import WireFormat

__all__ = [
    "MAX_BYTES",
    "MESSAGE_CONTENT",
    "build_received",
    "build_sent",
    "dump_content",
    "parse_dumped",
    "parse_received",
    "parse_sent",
    "split_text",
]

MAX_BYTES = 720
"""Length limit of one message in bytes of UTF-8 (qqbot 2017)."""


# --- the parts, one line each -----------------------------------------------------------------


def _parse_font(raw: object) -> Font:
    if not isinstance(raw, dict):
        raise ValueError("font: an object was expected")
    style = [*_flags(raw.get("style")), False, False, False]
    return dataclasses.replace(_FONT.parse(raw), bold=style[0], italic=style[1], underline=style[2])


def _flags(raw: object) -> list[bool]:
    numbers = [] if raw is None else raw
    if not isinstance(numbers, list):
        raise ValueError("style: a list was expected")
    return [bool(FLAG.parse(number)) for number in numbers]


def _build_font(font: Font) -> dict[str, object]:
    style = [int(font.bold), int(font.italic), int(font.underline)]
    plain = _FONT.build(font)
    return {"name": plain["name"], "size": plain["size"], "style": style, "color": plain["color"]}


_FONT = Record(Font, Field("name", RAW), Field("size", INTEGER), Field("color", RAW))
_PICTURE = Record(Picture, Field("success", FLAG, "is_sent"), Field("file_path", RAW, "path"))
_GROUP_PICTURE = Record(
    GroupPicture,
    Field("name", RAW),
    Field("file_id", INTEGER),
    Field("key", RAW),
    Field("server", RAW),
)


def _parse_face(raw: object) -> Face:
    number = INTEGER.parse(raw)
    return Face(number if isinstance(number, int) else 0)


def _parse_pairs(raw: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(raw, list):
        raise ValueError("a list was expected")
    return tuple(_parse_pair(pair) for pair in raw)


def _parse_pair(raw: object) -> tuple[str, str]:
    match raw:
        case [str(name), str(value)]:
            return wire.clean(name), wire.clean(value)
    raise ValueError("a pair of texts was expected")


_AT = Record(At, Field("account", INTEGER), Field("name", RAW))
_REPLY = Record(Reply, Field("id", INTEGER))
_ATTACHMENT = Record(
    Attachment,
    Field("kind", RAW),
    Field("file", RAW),
    Field("url", RAW),
    Field("name", RAW),
    Field("size", INTEGER),
    Field("extra", Kind(_parse_pairs, lambda pairs: [list(pair) for pair in pairs])),
)


_PARSERS: dict[str, Callable[[object], Part]] = {
    "face": _parse_face,
    "offpic": _PICTURE.parse,
    "cface": _GROUP_PICTURE.parse,
}
#: With the parts that are stored, and that no dialect of WebQQ has.
_ALL_PARSERS: dict[str, Callable[[object], Part]] = {
    **_PARSERS,
    "at": _AT.parse,
    "reply": _REPLY.parse,
    "attachment": _ATTACHMENT.parse,
}


def _build_part(part: Part) -> object:
    if isinstance(part, Face):
        return ["face", part.id]
    if isinstance(part, Picture):
        return ["offpic", _PICTURE.build(part)]
    if isinstance(part, GroupPicture):
        return ["cface", _GROUP_PICTURE.build(part)]
    if isinstance(part, (At, Reply, Attachment)):
        return part.text
    return wire.load(part.raw) if isinstance(part, UnknownPart) else part


def _dump_part(part: Part) -> object:
    """One part for the store: those that WebQQ has no form for as well."""
    if isinstance(part, At):
        return ["at", _AT.build(part)]
    if isinstance(part, Reply):
        return ["reply", _REPLY.build(part)]
    if isinstance(part, Attachment):
        return ["attachment", _ATTACHMENT.build(part)]
    return _build_part(part)


def _parse_item(
    item: object, parsers: Mapping[str, Callable[[object], Part]] = _PARSERS
) -> Part | Font:
    """One item of a content; what we cannot read is kept as it came."""
    if isinstance(item, str):
        return wire.clean(item).replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(item, dict) and {"name", "size"} <= item.keys():
        item = ["font", item]  # as thbattle's bot sent it in 2013, and was understood
    if not isinstance(item, list) or not item or not isinstance(item[0], str):
        return UnknownPart("", raw_json(item))
    kind = wire.clean(item[0])
    parse = _parse_font if kind == "font" else parsers.get(kind)
    try:
        return parse(item[1]) if parse else UnknownPart(kind, raw_json(item))
    except (ValueError, IndexError):
        return UnknownPart(kind, raw_json(item))


def _parse(
    items: object,
    tidy: Callable[[list[Part]], Iterable[Part]],
    parsers: Mapping[str, Callable[[object], Part]] = _PARSERS,
) -> Content:
    if not isinstance(items, list):
        raise ValueError("a list was expected")
    parsed = [_parse_item(item, parsers) for item in items]
    fonts = [part for part in parsed if isinstance(part, Font)]
    parts = [part for part in parsed if not isinstance(part, Font)]
    return Content.of(*tidy(parts), font=fonts[0] if fonts else None)


def _as_it_is(parts: list[Part]) -> list[Part]:
    return parts


# --- what is received -------------------------------------------------------------------------


def _without_added_spaces(parts: list[Part]) -> Iterator[Part]:
    follows_picture = False
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if not isinstance(part, str):
            yield part
            follows_picture = True
            continue
        text = part.removeprefix(" ") if follows_picture else part
        yield text.removesuffix(" ") if index == last else text
        follows_picture = False


def _with_added_spaces(parts: tuple[Part, ...]) -> Iterator[Part]:
    follows_picture = False
    last = len(parts) - 1
    for index, part in enumerate(parts):
        if isinstance(part, str):
            yield f"{' ' if follows_picture else ''}{part}{' ' if index == last else ''}"
        else:
            if follows_picture:
                yield " "
            yield part
        follows_picture = not isinstance(part, str)
    if follows_picture:
        yield " "


def parse_received(raw: object, wire_format: WireFormat) -> Content:
    r"""The content of an event of poll2.

    Args:
        raw: The field ``content`` of the event.
        wire_format: Of the dialect.

    Raises:
        ValueError: It is not a list.

    Example:
        >>> from webqq_tornado.protocol.wireformat import WEBQQ3_FORMAT
        >>> content = [["font", {"size": 10}], "1 < 2\r", ["face", 14], " "]
        >>> parse_received(content, WEBQQ3_FORMAT).text
        '1 < 2\n[微笑]'
    """
    return _parse(raw, _without_added_spaces if wire_format.adds_spaces else _as_it_is)


def build_received(content: Content, wire_format: WireFormat) -> list[object]:
    """The reverse of `parse_received`: what a server puts into an event."""
    parts: Iterable[Part] = content.parts
    if wire_format.adds_spaces:
        parts = _with_added_spaces(content.parts)
    built = (_build_part(part) for part in parts)
    lines = (part.replace("\n", "\r") if isinstance(part, str) else part for part in built)
    return [["font", _build_font(content.font)], *lines]


# --- what is sent -----------------------------------------------------------------------------


def parse_sent(raw: object) -> Content:
    """The content of a message that a client sends.

    Args:
        raw: The field ``content``: a JSON text, or (some clients) the list itself.

    Raises:
        ValueError: It is neither.
    """
    items = wire.load(raw, wire.MAX_DEPTH) if isinstance(raw, str) else raw
    return _parse(items, _as_it_is)


def build_sent(content: Content) -> str:
    """The reverse of `parse_sent`: what a client puts into a message."""
    parts = [_build_part(part) for part in content.parts]
    return wire.dump([*parts, ["font", _build_font(content.font)]])


def dump_content(content: Content) -> str:
    """A content as a JSON text that keeps all of it, for stores; `parse_dumped` reads it.

    Args:
        content: Which; parts that WebQQ has no form for keep their values here, whereas
            `build_sent` writes their texts.

    Raises:
        ValueError: A part that was kept as it came is no JSON.
    """
    parts = [_dump_part(part) for part in content.parts]
    return wire.dump([*parts, ["font", _build_font(content.font)]])


def parse_dumped(raw: object) -> Content:
    """The reverse of `dump_content`; reads what `build_sent` wrote as well.

    Args:
        raw: The JSON text, or the list in it.

    Raises:
        ValueError: It is neither.

    Example:
        >>> from webqq_tornado.protocol.models.content import At
        >>> parse_dumped(dump_content(Content.of(At(10001, "Ann"), " hi"))).parts
        (At(account=10001, name='Ann'), ' hi')
    """
    items = wire.load(raw, wire.MAX_DEPTH) if isinstance(raw, str) else raw
    return _parse(items, _as_it_is, _ALL_PARSERS)


MESSAGE_CONTENT = Field("content", Kind(parse_sent, build_sent))
"""The field of every message that a client sends."""


# --- length -----------------------------------------------------------------------------------


def split_text(text: str, limit: int = MAX_BYTES) -> list[str]:
    r"""The text in pieces that fit into one message each.

    Cuts at the last white space of a piece, and only that one character is dropped; where a
    piece has none in its last three quarters, between two characters that do not belong
    together (a combining mark, a variation selector or a joiner stays with what it is about).
    Blank pieces are left out: an empty text has none.

    Args:
        text: What to send.
        limit: Bytes of UTF-8 for a piece; at least 4, the longest character.

    Raises:
        ValueError: The limit is too small.

    Example:
        >>> split_text("one two three", 8)
        ['one two', 'three']
    """
    if limit < 4:
        raise ValueError(f"limit must be at least 4 bytes, not {limit}")
    rest = wire.clean(text)
    pieces = []
    while len(rest) > limit or len(rest.encode()) > limit:
        end = _cut(rest, limit)
        pieces.append(rest[:end])
        rest = rest[end + rest[end].isspace() :]
    return [piece for piece in (*pieces, rest) if piece.strip()]


def _cut(text: str, limit: int) -> int:
    """Where the first piece ends; the text is longer than the limit."""
    fits = len(text[:limit].encode()[:limit].decode(errors="ignore"))
    spaces = (end for end in range(fits, fits // 4, -1) if text[end].isspace())
    bounds = (end for end in range(fits, 0, -1) if not _belongs_together(text, end))
    return next(spaces, 0) or next(bounds, fits)


def _belongs_together(text: str, at: int) -> bool:
    joiner = "\u200d"
    after = text[at]
    return (
        text[at - 1] == joiner
        or after == joiner
        or unicodedata.combining(after) != 0
        or unicodedata.category(after) in {"Mn", "Me", "Mc"}
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
    )
