"""Messages of OneBot as our `Content`, and back.

Texts, faces, mentions, replies and files have their own parts; any other segment (``json``,
``share``, ``forward``, ``poke`` ...) is an `UnknownPart` with its JSON, so that nothing is lost.
The numbers of faces are those of WebQQ: 14 is a smile in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable

from ...protocol.models.content import (
    At,
    Attachment,
    Content,
    Face,
    GroupPicture,
    Part,
    Picture,
    Reply,
    UnknownPart,
)
from .segments import Segment, Segments, build_array
from .values import as_text, dump, id_in, number, object_of

__all__ = ["build_nodes", "content_of", "segments_of"]

#: Types that are an `Attachment`.
_ATTACHMENTS = frozenset({"image", "record", "video", "file"})
#: How browsers write base64; NC takes such a file for a path (ncatbot issue 129).
_DATA_URL = re.compile(r"^data:[^,]{0,200};base64,")
#: The name of everybody.
_EVERYBODY = "全体成员"
#: Values of a segment that an attribute of `Attachment` holds.
_OWN = frozenset({"file", "url", "name", "file_size"})


def _no_name(_account: int) -> str:
    return ""


def content_of(segments: Iterable[Segment], name_of: Callable[[int], str] = _no_name) -> Content:
    r"""The content that a message has.

    Args:
        segments: of the message; a segment whose values make no sense is an `UnknownPart`.
        name_of: name of a mentioned person, by QQ number; used where the message has
            none.

    Example:
        >>> content_of([Segment("text", {"text": "hi\r\n"}), Segment("face", {"id": "14"})]).text
        'hi\n[微笑]'
    """
    return Content.of(*(_part_of(segment, name_of) for segment in segments))


def _part_of(segment: Segment, name_of: Callable[[int], str]) -> Part:
    try:
        match segment.type:
            case "text":
                return segment.text("text").replace("\r\n", "\n").replace("\r", "\n")
            case "face":
                return Face(number(segment.data.get("id")))
            case "at":
                return _at_of(segment, name_of)
            case "reply":
                return Reply(number(segment.data.get("id")))
            case kind if kind in _ATTACHMENTS:
                return _attachment_of(segment)
    except ValueError:
        pass
    return UnknownPart(segment.type, dump([segment.type, dict(segment.data)]))


def _at_of(segment: Segment, name_of: Callable[[int], str]) -> At | str:
    who = segment.text("qq")
    account = 0 if who.strip().lower() == "all" else number(who)
    name = segment.text("name").removeprefix("@")
    # LG writes 0 for everybody (issue 797), and for people whom it does not find (issue 329).
    if who.strip() == "0" and name not in ("", _EVERYBODY):
        return f"@{name}"
    return At(account, name or (name_of(account) if account else ""))


def _attachment_of(segment: Segment) -> Attachment:
    size = segment.text("file_size")
    return Attachment(
        segment.type,
        segment.text("file"),
        segment.text("url"),
        segment.text("name"),
        id_in(size),
        tuple((k, as_text(v)) for k, v in segment.data.items() if k not in _OWN),
    )


def segments_of(content: Content) -> Segments:
    """The message that has a content.

    Args:
        content: which; of its font nothing is left, as OneBot has none.

    Example:
        >>> segments_of(Content.of(At(10001), " hi"))[0]
        Segment(type='at', data={'qq': '10001'})
    """
    return tuple(_segment_of(part) for part in content.parts)


def _segment_of(part: Part) -> Segment:
    if isinstance(part, str):
        return Segment("text", {"text": part})
    if isinstance(part, Attachment):
        return _attachment_segment(part)
    if isinstance(part, UnknownPart):
        return _segment_in(part)
    kind, values = _plain_values(part)
    return Segment(kind, {name: value for name, value in values.items() if value})


def _plain_values(
    part: Face | At | Reply | Picture | GroupPicture,
) -> tuple[str, dict[str, str]]:
    """Type and data of a part that has a field or two."""
    match part:
        case Face():
            return "face", {"id": str(part.id)}
        case At():
            return "at", {"qq": str(part.account or "all"), "name": part.name}
        case Reply():
            return "reply", {"id": str(part.id)}
        case Picture():
            return "image", {"file": part.path}
        case GroupPicture():
            return "image", {"file": part.name}


def _attachment_segment(part: Attachment) -> Segment:
    size = str(part.size or "")
    own = {
        "file": _DATA_URL.sub("base64://", part.file),
        "url": part.url,
        "name": part.name,
        "file_size": size,
    }
    values = {**own, **dict(part.extra)}
    return Segment(part.kind, {name: value for name, value in values.items() if value})


def _segment_in(part: UnknownPart) -> Segment:
    """The segment that a part was made of; its text, if it was none."""
    try:
        kind, data = json.loads(part.raw)
        values = object_of(data, "data")
    except (ValueError, TypeError, RecursionError):
        return Segment("text", {"text": part.text})
    return Segment(as_text(kind), dict(values))


def build_nodes(contents: Iterable[Content], account: int, name: str) -> list[dict[str, object]]:
    """Contents as the nodes of one forwarded message.

    Both spellings are written: GC and Koishi read ``uin`` and ``name``, NC and LG ``user_id`` and
    ``nickname`` (OB message/segment.md; GC docs/cqhttp.md).

    Args:
        contents: one for each node.
        account: QQ number that they seem to be of.
        name: likewise.
    """
    return [
        {
            "type": "node",
            "data": {
                **{"user_id": str(account), "nickname": name, "uin": str(account), "name": name},
                "content": build_array(segments_of(content)),
            },
        }
        for content in contents
    ]
