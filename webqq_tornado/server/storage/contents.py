"""Storage format of a message's content: a JSON list, as on the page, and its font.

Texts and ["face", id], as WebQQ has them, and segments of today's QQ: a kind of `SEGMENTS` with
what belongs to it, such as ["at", {"qq": "10001", "name": "Ann"}]. In a `Content` a segment is an
`UnknownPart` with that list as its raw text: the protocol has no words for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from ...protocol import wire
from ...protocol.models.content import Content, Face, Font, Part, UnknownPart

__all__ = [
    "FILE_SEGMENTS",
    "SEGMENTS",
    "content_text",
    "data_of",
    "dump_content",
    "load_content",
    "plain_parts",
    "segment",
]

_ENCODER = json.JSONEncoder(ensure_ascii=False)
#: Kinds of segments that have a stored file.
FILE_SEGMENTS = frozenset({"image", "record", "video", "file"})


def _named(name: str, key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda data: f"[{name}] {data[key]}" if data.get(key) else f"[{name}]"


def _plain(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda _: f"[{name}]"


#: Segments that a message can have, and the words that stand for each where it is not shown.
SEGMENTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "at": lambda data: f"@{data.get('name') or data.get('qq', '')}",
    "reply": lambda _: "",
    "image": _plain("图片"),
    "record": _plain("语音"),
    "video": _plain("视频"),
    "file": _named("文件", "name"),
    "forward": _plain("聊天记录"),
    "poke": _plain("戳一戳"),
    "shake": _plain("窗口抖动"),
    "dice": _named("骰子", "result"),
    "rps": _plain("猜拳"),
    "share": _named("分享", "title"),
    "contact": _plain("推荐"),
    "location": _named("位置", "title"),
    "music": _named("音乐", "title"),
    "json": _plain("卡片消息"),
    "xml": _plain("卡片消息"),
    "markdown": lambda data: str(data.get("content", "")),
    "mface": lambda data: str(data.get("summary") or "[动画表情]"),
}


def segment(kind: str, data: Mapping[str, object]) -> UnknownPart:
    """A segment as a part of a content.

    Args:
        kind: of `SEGMENTS`.
        data: JSON.

    Example:
        >>> segment("at", {"qq": "all"}).raw
        '["at", {"qq": "all"}]'
    """
    return UnknownPart(kind, _ENCODER.encode([kind, data]))


def data_of(part: Part) -> dict[str, Any]:
    """The data of a segment; empty for what is none."""
    if not isinstance(part, UnknownPart) or part.kind not in SEGMENTS:
        return {}
    data: dict[str, Any] = json.loads(part.raw)[1]
    return data


def content_text(content: Content) -> str:
    """A content as plain text, with words for what is none.

    Example:
        >>> content_text(Content.of("hi ", segment("at", {"qq": "10001", "name": "Ann"})))
        'hi @Ann'
    """
    return "".join(map(_text_of, content.parts))


def _text_of(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, UnknownPart) and part.kind in SEGMENTS:
        return SEGMENTS[part.kind](data_of(part))
    return part.text


def dump_content(content: Content) -> str:
    """A content as JSON: texts, ["face", id], segments, the font; words for anything else."""
    font = [] if content.font == Font() else [["font", list(astuple(content.font))]]
    return _ENCODER.encode([*plain_parts(content), *font])


def plain_parts(content: Content) -> list[object]:
    """A content as the page has it: texts, ["face", id] and segments."""
    return [_plain_part(part) for part in content.parts]


def _plain_part(part: Part) -> object:
    if isinstance(part, str):
        return part
    if isinstance(part, Face):
        return ["face", part.id]
    if isinstance(part, UnknownPart) and part.kind in SEGMENTS:
        return [part.kind, data_of(part)]
    return part.text


def load_content(parts: object) -> Content:
    """The reverse of `plain_parts` and, when it was parsed, of `dump_content`.

    Raises:
        ValueError: it is not a list of texts, ["face", id] and segments.
    """
    if not isinstance(parts, list):
        raise ValueError(f"content is {_IS}")
    loaded = [_load_part(part) for part in parts]
    fonts = [part for part in loaded if isinstance(part, Font)]
    return Content.of(
        *(part for part in loaded if not isinstance(part, Font)), font=fonts[0] if fonts else None
    )


_IS = 'a list of texts, ["face", id] and [kind, {...}]'


def _load_part(part: object) -> Part | Font:
    match part:
        case ["font", [str(name), int(size), bool(bold), bool(italic), bool(under), str(color)]]:
            if -(2**63) <= size < 2**63:
                return Font(wire.clean(name), size, bold, italic, under, wire.clean(color))
        case str():
            return wire.clean(part)  # JSON can hold what no text can: half of a pair
        # Any number that the protocol can carry: what was accepted must come out again.
        case ["face", number] if type(number) is int and -(2**63) <= number < 2**63:
            return Face(number)
        case [str(kind), dict(data)] if kind in SEGMENTS:
            return segment(kind, data)
    raise ValueError(f"content is {_IS}")
