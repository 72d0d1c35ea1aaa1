"""How the events of poll2 are written, in both dialects and on both sides.

One table for each poll type, in the field order of the historical server (captures of 2012 to
2015). Section D of the protocol.
"""

from __future__ import annotations

from . import content, wire
from .codes import PollType
from .contacts import PRESENCE_FIELDS
from .fields import (
    FLAG,
    INTEGER,
    RAW,
    STAT,
    TEXT,
    Field,
    Kind,
    Record,
    as_object,
    constant,
    fixed,
    raw_json,
)
from .models import (
    DiscussionMessage,
    Event,
    FileOffer,
    FriendListChange,
    FriendMessage,
    GroupMessage,
    GroupSystemMessage,
    Kicked,
    Other,
    PollReply,
    Secret,
    SendReply,
    SessionMessage,
    StatusChange,
    SystemMessage,
    Typing,
)

__all__ = [
    "build_event",
    "build_late_send_reply",
    "build_poll",
    "build_send_reply",
    "parse_event",
    "parse_poll",
    "parse_send_reply",
]

_CONTENT = Field("content", Kind(content.parse_received, content.build_received))


def _head(sender: str) -> tuple[Field, ...]:
    """The fields that every message begins with; `sender` is what from_uin stands for."""
    return (
        Field("msg_id", INTEGER),
        Field("from_uin", INTEGER, sender),
        Field("to_uin", INTEGER, "recipient"),
        Field("msg_id2", INTEGER),
        Field("msg_type", INTEGER),
        Field("reply_ip", INTEGER),
    )


def _parse_uins(raw: object) -> tuple[int, ...]:
    rows = _FRIEND.parse_all(raw)
    if not all(rows):
        raise ValueError("uin is missing")
    return tuple(row["uin"] for row in rows)


_FRIEND: Record[dict[str, int]] = Record(dict[str, int], Field("uin", INTEGER))
_UINS = Kind(_parse_uins, lambda uins: [{"uin": uin, "groupid": 0} for uin in uins])

_RECORDS: dict[str, Record[Event]] = {
    PollType.MESSAGE.value: Record(
        FriendMessage, *_head("sender"), Field("time", INTEGER), _CONTENT
    ),
    PollType.GROUP_MESSAGE.value: Record(
        GroupMessage,
        *_head("gid"),
        Field("group_code", INTEGER, "code"),
        Field("send_uin", INTEGER, "sender"),
        Field("seq", INTEGER),
        Field("time", INTEGER),
        Field("info_seq", INTEGER),
        _CONTENT,
    ),
    PollType.DISCU_MESSAGE.value: Record(
        DiscussionMessage,
        *_head("from_uin"),
        Field("did", INTEGER),
        Field("send_uin", INTEGER, "sender"),
        Field("seq", INTEGER),
        Field("time", INTEGER),
        Field("info_seq", INTEGER),
        _CONTENT,
    ),
    PollType.SESS_MESSAGE.value: Record(
        SessionMessage,
        *_head("sender"),
        Field("time", INTEGER),
        Field("id", INTEGER, "origin"),
        Field("ruin", INTEGER, "account"),
        Field("service_type", INTEGER),
        Field(
            "flags",
            constant({"text": 1, "pic": 1, "file": 1, "audio": 1, "video": 1}),
            is_read=False,
        ),
        _CONTENT,
    ),
    PollType.BUDDIES_STATUS_CHANGE.value: Record(StatusChange, *PRESENCE_FIELDS),
    PollType.KICK_MESSAGE.value: Record(
        Kicked, Field("way", RAW), Field("show_reason", FLAG), Field("reason", TEXT)
    ),
    PollType.SYSTEM_MESSAGE.value: Record(
        SystemMessage,
        Field("seq", INTEGER),
        Field("type", RAW),
        fixed("uiuin", ""),
        Field("from_uin", INTEGER, "uin"),
        Field("account", INTEGER),
        Field("msg", TEXT, "text"),
        fixed("allow", 1),
        Field("stat", STAT, "status"),
        Field("client_type", INTEGER),
    ),
    PollType.SYS_G_MSG.value: Record(
        GroupSystemMessage,
        Field("from_uin", INTEGER, "gid"),
        Field("type", RAW),
        Field("gcode", INTEGER, "code"),
        Field("t_gcode", INTEGER, "account"),
        Field("op_type", INTEGER),
        Field("old_member", INTEGER, "member", is_sparse=True),
        Field("new_member", INTEGER, "joined", is_sparse=True),
        Field("admin_uin", INTEGER, "admin", is_sparse=True),
        Field("msg", TEXT, "text", is_sparse=True),
    ),
    PollType.INPUT_NOTIFY.value: Record(Typing, *_head("sender")),
    PollType.FILE_MESSAGE.value: Record(
        FileOffer,
        *_head("sender"),
        Field("mode", RAW),
        Field("type", INTEGER),
        Field("name", TEXT),
        Field("session_id", INTEGER),
        Field("time", INTEGER),
    ),
    PollType.BUDDYLIST_CHANGE.value: Record(
        FriendListChange,
        Field("added_friends", _UINS, "added"),
        Field("removed_friends", _UINS, "removed"),
    ),
}
_TYPES = {record.model: poll_type for poll_type, record in _RECORDS.items()}


def parse_event(raw: object) -> Event:
    """One element of the result of poll2.

    An event of an unknown type becomes an `Other`; so does one whose fields are not as they
    should be, because one odd event must not cost the others of the same poll.

    Raises:
        ValueError: It has no poll_type.
    """
    event = as_object(raw)
    poll_type, value = event.get("poll_type"), event.get("value")
    if not isinstance(poll_type, str):
        raise ValueError("poll_type is missing")
    record = _RECORDS.get(poll_type)
    if record is None:
        return Other(wire.clean(poll_type), raw_json(value))
    try:
        return record.parse(value)
    except ValueError as error:
        return Other(poll_type, raw_json(value), str(error))


def build_event(event: Event) -> object:
    """The reverse of `parse_event`."""
    if isinstance(event, Other):
        return {"poll_type": event.poll_type, "value": wire.load(event.raw)}
    poll_type = _TYPES[type(event)]
    return {"poll_type": poll_type, "value": _RECORDS[poll_type].build(event)}


def parse_poll(text: str) -> PollReply:
    """The reply of poll2; a retcode other than 0 is a value here, not an error.

    Raises:
        ValueError: It is not as described.
    """
    reply = wire.parse_envelope(text)
    if reply.retcode != 0 or reply.result is None:
        return PollReply(reply.retcode, ptwebqq=Secret(reply.p))
    if not isinstance(reply.result, list):
        raise ValueError("result: a list was expected")
    return PollReply(0, tuple(map(parse_event, reply.result)))


def build_poll(reply: PollReply) -> str:
    """The reverse of `parse_poll`.

    A reply without events and with retcode 0 is that of late SmartQQ; WebQQ 3 said 102.
    """
    if reply.events:
        return wire.dump({"retcode": 0, "result": [build_event(event) for event in reply.events]})
    if reply.ptwebqq:
        return wire.dump({"retcode": reply.retcode, "p": reply.ptwebqq})
    return wire.build_refusal(reply.retcode, "" if reply.retcode else "error")


def parse_send_reply(text: str) -> SendReply:
    """The reply to a message; a retcode other than 0 is a value here, not an error.

    Raises:
        ValueError: It is not as described.
    """
    reply = wire.parse_envelope(text)
    words = wire.clean(reply.result) if isinstance(reply.result, str) else reply.text
    return SendReply(reply.retcode, words)


def build_late_send_reply(reply: SendReply) -> str:
    """The reverse of `parse_send_reply`, as SmartQQ answered to a message from 2016 on."""
    if reply.retcode == 0:
        return wire.dump({"errCode": 0, "msg": reply.text})
    return wire.build_refusal(reply.retcode, reply.text)


def build_send_reply(reply: SendReply) -> str:
    """The reverse of `parse_send_reply`, as WebQQ 3 answered."""
    if reply.retcode == 0:
        return wire.dump({"retcode": 0, "result": reply.text})
    return wire.build_refusal(reply.retcode, reply.text)
