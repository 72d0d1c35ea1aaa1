"""Stored messages, members and events in the words of OneBot."""

from __future__ import annotations

import json
import time
from datetime import date
from typing import Any

from ...onebot.v11.events import MessageEvent, Notice, Request, Sender
from ...onebot.v11.segments import Segment, Segments
from ...protocol.models.content import Content, Face, Part
from ...protocol.models.people import Profile
from ..storage import (
    FILE_SEGMENTS,
    Account,
    MemberRow,
    RoomRow,
    Storage,
    StoredMessage,
    data_of,
)
from ..storage.rooms import MOST_MEMBERS

__all__ = [
    "group_info",
    "logged_event",
    "member_info",
    "message_event",
    "segments_of",
    "stranger_info",
]

_SEXES = frozenset({"male", "female"})


def segments_of(content: Content, url: str) -> Segments:
    """A stored content as a message.

    Args:
        content: as stored.
        url: of the server: that of files follows from it.
    """
    return tuple(_segment_of(part, url) for part in content.parts)


def _segment_of(part: Part, url: str) -> Segment:
    if isinstance(part, str):
        return Segment("text", {"text": part})
    if isinstance(part, Face):
        return Segment("face", {"id": str(part.id)})
    data, kind = data_of(part), getattr(part, "kind", "")
    if not data:
        return Segment("text", {"text": part.text})
    if kind in FILE_SEGMENTS:
        return Segment(kind, _file_data(data, url, kind))
    return Segment(kind, data)


def _file_data(data: dict[str, Any], url: str, kind: str) -> dict[str, object]:
    name = str(data.get("file", ""))
    kept: dict[str, object] = {
        key: str(data[key]) for key in ("sub_type", "summary", "type", "busid") if key in data
    }
    made: dict[str, object] = {
        **kept,
        "file": name,
        "url": f"{url}/files/{name}",
        "file_size": str(data.get("size", 0)),
        "name": str(data.get("name", "")),
    }
    if kind == "file":
        made |= {"file": str(data.get("name") or name), "file_id": str(data.get("file_id") or name)}
    return made


# --- people -------------------------------------------------------------------------------------


def _sex(gender: str) -> str:
    return gender if gender in _SEXES else "unknown"


def _age(profile: Profile) -> int:
    born = profile.birthday
    if not born.year:
        return 0
    today = date.today()
    had_birthday = (today.month, today.day) >= (born.month, born.day)
    return max(0, today.year - born.year - (not had_birthday))


def stranger_info(profile: Profile) -> dict[str, object]:
    """The data of ``get_stranger_info``; beyond the standard what NapCat has."""
    return {
        "user_id": profile.uin,
        "nickname": profile.nick,
        "sex": _sex(profile.gender),
        "age": _age(profile),
        "long_nick": profile.lnick,
        "qid": "",
        "level": 1,
        "login_days": 0,
    }


def group_info(storage: Storage, room: RoomRow, mark: str = "") -> dict[str, object]:
    """The data of ``get_group_info``.

    Args:
        storage: of the server.
        room: the group.
        mark: the account's own name for it.
    """
    return {
        "group_id": room.number,
        "group_name": room.name,
        "group_remark": mark,
        "group_memo": room.memo,
        "group_create_time": room.created,
        "group_level": 1,
        "group_all_shut": -1 if room.is_silenced else 0,
        "member_count": len(storage.rooms.member_numbers(room.number)),
        "max_member_count": MOST_MEMBERS,
    }


def role_of(room: RoomRow, row: MemberRow) -> str:
    """Role of a member in a group: "owner", "admin" or "member"."""
    if row.account.number == room.owner:
        return "owner"
    return "admin" if row.is_admin else "member"


def member_info(room: RoomRow, row: MemberRow, last_sent: int) -> dict[str, object]:
    """The data of ``get_group_member_info``.

    Args:
        room: the group.
        row: the member.
        last_sent: time of their last message; 0 if they never wrote.
    """
    return {
        "group_id": room.number,
        "user_id": row.account.number,
        "nickname": row.account.nick,
        "card": row.card,
        "sex": _sex(row.gender),
        "age": 0,
        "area": row.province or row.country,
        "join_time": row.joined or room.created,
        "last_sent_time": last_sent,
        "level": "1",
        "role": role_of(room, row),
        "unfriendly": False,
        "title": row.title,
        "title_expire_time": 0,
        "card_changeable": True,
        "shut_up_timestamp": row.banned_until if row.banned_until > time.time() else 0,
    }


# --- messages -----------------------------------------------------------------------------------


def message_event(storage: Storage, me: int, message: StoredMessage, url: str) -> MessageEvent:
    """A message as an account sees it.

    Args:
        storage: of the server.
        me: the account.
        message: as stored.
        url: of the server.
    """
    is_room = message.kind in ("group", "discussion")
    room = storage.rooms.get(message.target, message.kind) if is_room else None
    account = storage.accounts.get(message.sender)
    sub_type = "normal" if is_room else ("group" if message.kind == "session" else "friend")
    return MessageEvent(
        self_id=me,
        user_id=message.sender,
        message_id=message.id,
        message=segments_of(message.content, url),
        group_id=message.target if is_room else 0,
        sub_type=sub_type,
        time=message.time,
        sender=_sender(storage, message, account, room),
        is_own=message.sender == me,
        target_id=0 if is_room else message.target,
        temp_group=0 if is_room else message.origin,
        group_name=room.name if room else "",
        seq=message.id,
        font=0,
        extra={"real_id": message.id, "real_seq": str(message.id)},
    )


def _sender(
    storage: Storage, message: StoredMessage, account: Account | None, room: RoomRow | None
) -> Sender:
    nick = account.nick if account else str(message.sender)
    row = storage.rooms.member(room.number, message.sender) if room else None
    if room is None or row is None:
        return Sender(message.sender, nick, group_id=message.origin)
    return Sender(
        message.sender,
        nick,
        card=row.card,
        sex=_sex(row.gender),
        area=row.province,
        level="1",
        role=role_of(room, row),
        title=row.title,
    )


_NOTICE = frozenset(
    {
        *("notice_type", "sub_type", "user_id", "group_id"),
        *("operator_id", "target_id", "message_id", "duration"),
    }
)
_REQUEST = frozenset({"request_type", "sub_type", "user_id", "group_id", "comment", "flag"})


def logged_event(me: int, body: str, when: int) -> Notice | Request:
    """An event that is no message, as `Hub.notify_applications` stored it.

    Args:
        me: the account.
        body: JSON.
        when: seconds since 1970.
    """
    values = json.loads(body)
    kind = values.pop("post_type")
    known = _REQUEST if kind == "request" else _NOTICE
    own = {name: value for name, value in values.items() if name in known}
    extra = {name: value for name, value in values.items() if name not in known}
    if kind == "request":
        return Request(self_id=me, time=when, extra=extra, **own)
    return Notice(self_id=me, time=when, extra=extra, **own)
