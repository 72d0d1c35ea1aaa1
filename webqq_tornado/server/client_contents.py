"""Contents as the clients of WebQQ have them: pictures of their kind, and words for all else."""

from __future__ import annotations

import re

from ..protocol.models.content import Content, GroupPicture, Part, Picture, UnknownPart
from .storage.contents import content_text, data_of, segment

__all__ = ["for_client", "from_client"]

#: A stored file's name in what an old client sends.
_STORED = re.compile(r"[0-9a-fA-F]{64}\.[A-Za-z0-9]{1,8}")


def from_client(content: Content) -> Content:
    """The content that an old client sent: pictures that it has uploaded, words for the rest.

    Args:
        content: as the protocol reads it.
    """
    return Content.of(*map(_from_client, content.parts), font=content.font)


def _from_client(part: Part) -> Part:
    if isinstance(part, Picture):
        return _picture(part.path) or part.text
    if isinstance(part, GroupPicture):
        return _picture(part.name) or part.text
    if isinstance(part, UnknownPart):
        # webqq-core 2013 sent ["offpic", path, name, size] and ["cface", "group", name].
        is_picture = part.kind in ("offpic", "cface")
        return (_picture(part.raw) if is_picture else None) or part.text
    return part


def _picture(text: str) -> Part | None:
    found = _STORED.search(text)
    return segment("image", {"file": found[0].lower()}) if found else None


def for_client(content: Content, *, is_room: bool, server: str) -> Content:
    """A content as an old client can show it: pictures of its kind, and words.

    Args:
        content: as stored.
        is_room: whether it is of a group or a discussion.
        server: "host:port" that has pictures.
    """
    if not any(isinstance(part, UnknownPart) for part in content.parts):
        return content
    shown = (_for_client(part, is_room, server) for part in content.parts)
    return Content.of(*shown, font=content.font)


def _for_client(part: Part, is_room: bool, server: str) -> Part:
    if not isinstance(part, UnknownPart):
        return part
    if part.kind != "image":
        return content_text(Content((part,)))
    name = str(data_of(part)["file"])
    if is_room:
        return GroupPicture(name, int(name[:8], 16), name[:16].upper(), server)
    return Picture(f"/{name}")
