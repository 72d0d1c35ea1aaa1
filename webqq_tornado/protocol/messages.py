"""How the events of poll2 are written, in both dialects and on both sides.

One table for each poll type and dialect, in the field order of the historical servers (captures
of 2012 to 2015; of SmartQQ 2015 to 2018). Section D of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from . import content, wire
from .codes import PollType
from .contacts import PRESENCE_FIELDS
from .fields import (
    FLAG,
    INTEGER,
    RAW,
    STAT,
    Field,
    Kind,
    Record,
    as_object,
    fixed,
    raw_json,
)
from .models.events import (
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
    SendReply,
    SessionMessage,
    StatusChange,
    SystemMessage,
    Typing,
)
from .models.login import Secret
from .wireformat import SMARTQQ_FORMAT, WEBQQ3_FORMAT, WireFormat

__all__ = [
    "build_event",
    "build_late_send_reply",
    "build_poll",
    "build_send_reply",
    "parse_event",
    "parse_poll",
    "parse_send_reply",
]

#: Fields of a message that SmartQQ left out.
_MORE_NUMBERS = frozenset({"msg_id2", "reply_ip", "seq", "info_seq"})


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

#: The events that carry a content: their models, and the fields before it.
_MESSAGES: dict[str, tuple[Callable[..., Event], tuple[Field, ...]]] = {
    PollType.MESSAGE.value: (FriendMessage, (*_head("sender"), Field("time", INTEGER))),
    PollType.GROUP_MESSAGE.value: (
        GroupMessage,
        (
            *_head("gid"),
            Field("group_code", INTEGER, "code"),
            Field("send_uin", INTEGER, "sender"),
            Field("seq", INTEGER),
            Field("time", INTEGER),
            Field("info_seq", INTEGER),
        ),
    ),
    PollType.DISCU_MESSAGE.value: (
        DiscussionMessage,
        (
            *_head("from_uin"),
            Field("did", INTEGER),
            Field("send_uin", INTEGER, "sender"),
            Field("seq", INTEGER),
            Field("time", INTEGER),
            Field("info_seq", INTEGER),
        ),
    ),
    PollType.SESS_MESSAGE.value: (
        SessionMessage,
        (
            *_head("sender"),
            Field("time", INTEGER),
            Field("id", INTEGER, "origin"),
            Field("ruin", INTEGER, "account"),
            Field("service_type", INTEGER),
            fixed("flags", {"text": 1, "pic": 1, "file": 1, "audio": 1, "video": 1}),
        ),
    ),
}


def _message_fields(wire_format: WireFormat, fields: tuple[Field, ...]) -> tuple[Field, ...]:
    kind = Kind(
        partial(content.parse_received, wire_format=wire_format),
        partial(content.build_received, wire_format=wire_format),
    )
    if wire_format.is_brief:
        fields = tuple(
            fixed("msg_type", 0) if field.name == "msg_type" else field
            for field in fields
            if field.name not in _MORE_NUMBERS
        )
    return (*fields, Field("content", kind))


#: The other events.
_NEWS: dict[str, Record[Event]] = {
    PollType.BUDDIES_STATUS_CHANGE.value: Record(StatusChange, *PRESENCE_FIELDS),
    PollType.KICK_MESSAGE.value: Record(
        Kicked, Field("way", RAW), Field("show_reason", FLAG), Field("reason", RAW)
    ),
    PollType.SYSTEM_MESSAGE.value: Record(
        SystemMessage,
        Field("seq", INTEGER),
        Field("type", RAW),
        fixed("uiuin", ""),
        Field("from_uin", INTEGER, "uin"),
        Field("account", INTEGER),
        Field("msg", RAW, "text"),
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
        Field("msg", RAW, "text", is_sparse=True),
    ),
    PollType.INPUT_NOTIFY.value: Record(Typing, *_head("sender")),
    PollType.FILE_MESSAGE.value: Record(
        FileOffer,
        *_head("sender"),
        Field("mode", RAW),
        Field("type", INTEGER),
        Field("name", RAW),
        Field("session_id", INTEGER),
        Field("time", INTEGER),
    ),
    PollType.BUDDYLIST_CHANGE.value: Record(
        FriendListChange,
        Field("added_friends", _UINS, "added"),
        Field("removed_friends", _UINS, "removed"),
    ),
}


def _records(wire_format: WireFormat) -> dict[str, Record[Event]]:
    """The records of one dialect, by poll type."""
    messages: dict[str, Record[Event]] = {
        poll_type: Record(model, *_message_fields(wire_format, fields))
        for poll_type, (model, fields) in _MESSAGES.items()
    }
    return messages | _NEWS


_RECORDS = {each: _records(each) for each in (WEBQQ3_FORMAT, SMARTQQ_FORMAT)}
_TYPES = {record.model: poll_type for poll_type, record in _RECORDS[WEBQQ3_FORMAT].items()}


def parse_event(raw: object, wire_format: WireFormat) -> Event:
    """One element of the result of poll2.

    An event of an unknown type becomes an `Other`; so does one whose fields are not as they
    should be, because one odd event must not cost the others of the same poll.

    Args:
        raw: The element.
        wire_format: Of the dialect.

    Raises:
        ValueError: It has no poll_type.
    """
    event = as_object(raw)
    poll_type, value = event.get("poll_type"), event.get("value")
    if not isinstance(poll_type, str):
        raise ValueError("poll_type is missing")
    record = _RECORDS[wire_format].get(poll_type)
    if record is None:
        return Other(wire.clean(poll_type), raw_json(value))
    try:
        return record.parse(value)
    except ValueError as error:
        return Other(poll_type, raw_json(value), str(error))


def build_event(event: Event, wire_format: WireFormat) -> object:
    """The reverse of `parse_event`."""
    if isinstance(event, Other):
        return {"poll_type": event.poll_type, "value": wire.load(event.raw)}
    poll_type = _TYPES[type(event)]
    return {"poll_type": poll_type, "value": _RECORDS[wire_format][poll_type].build(event)}


def parse_poll(text: str, wire_format: WireFormat) -> PollReply:
    """The reply of poll2; a retcode other than 0 is a value here, not an error.

    Raises:
        ValueError: It is not as described.
    """
    reply = wire.parse_envelope(wire_format.plain_events(text))
    if reply.retcode != 0 or reply.result is None:
        return PollReply(reply.retcode, ptwebqq=Secret(reply.p))
    if not isinstance(reply.result, list):
        raise ValueError("result: a list was expected")
    return PollReply(0, tuple(parse_event(event, wire_format) for event in reply.result))


def build_poll(reply: PollReply, wire_format: WireFormat) -> str:
    """The reverse of `parse_poll`.

    A reply without events and with retcode 0 is that of late SmartQQ; WebQQ 3 said 102.
    """
    if reply.events:
        events = [build_event(event, wire_format) for event in reply.events]
        return wire_format.dump_events({"retcode": 0, "result": events})
    if reply.ptwebqq:
        return wire_format.dump({"retcode": reply.retcode, "p": reply.ptwebqq})
    if reply.retcode:
        return wire_format.dump_events({"retcode": reply.retcode, "errmsg": wire_format.refusal})
    return wire.build_refusal(0, "error")


def parse_send_reply(text: str) -> SendReply:
    """The reply to a message; a retcode other than 0 is a value here, not an error.

    Raises:
        ValueError: It is not as described.
    """
    reply = wire.parse_envelope(text)
    words = wire.clean(reply.result) if isinstance(reply.result, str) else reply.text
    return SendReply(reply.retcode, words)


def build_late_send_reply(reply: SendReply, wire_format: WireFormat) -> str:
    """The reverse of `parse_send_reply`, as SmartQQ answered to a message from 2016 on."""
    if reply.retcode == 0:
        return wire_format.dump({"errCode": 0, "msg": reply.text})
    return wire.build_refusal(reply.retcode, reply.text)


def build_send_reply(reply: SendReply, wire_format: WireFormat) -> str:
    """The reverse of `parse_send_reply`, as WebQQ 3 answered."""
    if reply.retcode == 0:
        return wire_format.dump({"retcode": 0, "result": reply.text})
    return wire.build_refusal(reply.retcode, reply.text)
