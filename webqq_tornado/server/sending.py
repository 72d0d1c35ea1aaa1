"""Rules of sending: who may write where, and contents as they are accepted.

Segments (pictures, mentions, replies; see `storage.contents`) are settled here once, when a message
is accepted: a picture is one that is stored, a mention has the name of its day, a reply is to a
message of the same conversation. So nothing has to be looked up when a message is delivered.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

from ..protocol.models.content import Content, Part, UnknownPart
from .storage import FILE_SEGMENTS, SEGMENTS, Conversation, Storage, data_of, segment

__all__ = ["NotAllowed", "check_may_send", "settled"]

#: Characters of a segment's data at most, as JSON.
_MOST_DATA = 30_000
#: Who is meant by an "at" of everybody.
EVERYBODY = "all"


class NotAllowed(Exception):
    """The rules of a group, or of friendship, forbid it; the message says which one."""


def check_may_send(storage: Storage, sender: int, conversation: Conversation) -> None:
    """Check that an account may write where it wants to.

    Args:
        storage: of the server.
        sender: QQ number.
        conversation: as the sender sees it.

    Raises:
        NotAllowed: it is not in the room, no friend, or banned there.
    """
    kind, number = conversation
    if kind == "friend" and not storage.friends.are_friends(sender, number):
        raise NotAllowed(f"{number} is not a friend")
    if kind not in ("group", "discussion"):
        return
    if not storage.rooms.is_member(number, sender):
        raise NotAllowed(f"you are not a member of {number}")
    if kind == "group" and not storage.rooms.may_write(number, sender):
        raise NotAllowed(f"{_why_silent(storage, sender, number)} in this group")


def _why_silent(storage: Storage, sender: int, group: int) -> str:
    room = storage.rooms.group(group)
    if room is not None and room.is_silenced and not storage.rooms.is_admin(group, sender):
        return "only the owner and administrators may write"
    return "you are banned from writing"


class _Place(NamedTuple):
    storage: Storage
    sender: int
    conversation: Conversation


def settled(storage: Storage, sender: int, conversation: Conversation, content: Content) -> Content:
    """A content with all its segments settled.

    Args:
        storage: of the server.
        sender: QQ number.
        conversation: as the sender sees it.
        content: with segments as they came.

    Raises:
        ValueError: a segment has a file that is not stored, or is none of ours.
    """
    place = _Place(storage, sender, conversation)
    parts: list[Part] = []
    has_reply = False
    for part in content.parts:
        made = _settled_part(place, part) if isinstance(part, UnknownPart) else part
        is_reply = isinstance(made, UnknownPart) and made.kind == "reply"
        if made is None or (is_reply and has_reply):
            continue
        has_reply = has_reply or is_reply
        # go-cqhttp moves a reply to the front, wherever it stood.
        parts.insert(0 if is_reply else len(parts), made)
    return Content.of(*parts, font=content.font)


def _settled_part(place: _Place, part: UnknownPart) -> Part | None:
    if part.kind not in SEGMENTS:
        return part.text
    if len(part.raw) > _MOST_DATA:
        raise ValueError(f"the segment {part.kind} has more than {_MOST_DATA} characters")
    settle = _SETTLE.get(part.kind)
    return settle(place, data_of(part)) if settle else part


def _at(place: _Place, data: dict[str, Any]) -> Part:
    who = str(data.get("qq", "")).strip()
    if who == EVERYBODY:
        is_led = _leads(place)
        return segment("at", {"qq": EVERYBODY, "name": "全体成员"}) if is_led else "@全体成员"
    if not (who.isascii() and who.isdigit() and len(who) < 19):
        raise ValueError(f"at: {who[:40]!r} is no QQ number, and not 'all'")
    member = place.storage.rooms.member(place.conversation.number, int(who))
    account = member.account if member else place.storage.accounts.get(int(who))
    name = (member.card if member else "") or (account.nick if account else "")
    return segment("at", {"qq": str(int(who)), "name": name or str(data.get("name") or who)})


def _leads(place: _Place) -> bool:
    kind, number = place.conversation
    room = place.storage.rooms.get(number, kind)
    is_owner = room is not None and room.owner == place.sender
    return kind == "group" and (is_owner or place.storage.rooms.is_admin(number, place.sender))


def _reply(place: _Place, data: dict[str, Any]) -> Part | None:
    """To a message of this conversation; to anything else it is left out, as go-cqhttp does."""
    try:
        number = int(data.get("id", 0))
    except (TypeError, ValueError, OverflowError):
        return None
    message = place.storage.messages.get(number)
    if message is None or message.conversation_for(place.sender) != place.conversation:
        return None
    is_ones_own = place.conversation.kind != "friend" or place.sender in (
        message.sender,
        message.target,
    )
    return segment("reply", {"id": str(number)}) if is_ones_own else None


def _file(kind: str) -> Callable[[_Place, dict[str, Any]], Part]:
    def settle(place: _Place, data: dict[str, Any]) -> Part:
        row = place.storage.files.get(str(data.get("file", "")))
        if row is None or (kind == "image" and not row.is_picture):
            raise ValueError(f"{kind}: there is no such file here: send it first")
        kept = {"file": row.name, "size": row.size, "name": str(data.get("name") or "")[:120]}
        if row.is_picture:
            kept |= {"width": row.width, "height": row.height}
        for key in ("summary", "sub_type", "type", "file_id", "busid"):
            if data.get(key) not in (None, ""):
                kept[key] = str(data[key])[:120]
        return segment(kind, kept)

    return settle


def _forward(place: _Place, data: dict[str, Any]) -> Part:
    name = str(data.get("id", ""))
    if not place.storage.messages.forward(name):
        raise ValueError(f"forward: there is nothing to pass on under {name[:40]!r}")
    return segment("forward", {"id": name})


def _chance(kind: str, most: int) -> Callable[[_Place, dict[str, Any]], Part]:
    return lambda _place, _data: segment(kind, {"result": str(secrets.randbelow(most) + 1)})


_SETTLE: dict[str, Callable[[_Place, dict[str, Any]], Part | None]] = {
    "at": _at,
    "reply": _reply,
    "forward": _forward,
    "dice": _chance("dice", 6),
    "rps": _chance("rps", 3),
    **{kind: _file(kind) for kind in FILE_SEGMENTS},
}
