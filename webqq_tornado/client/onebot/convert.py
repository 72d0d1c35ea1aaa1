"""Events of OneBot as the rest of the package has them. Numbers are QQ numbers, never uins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...onebot.v11.content import content_of
from ...onebot.v11.events import Event, MessageEvent, Notice, Request
from ...onebot.v11.values import as_text, dump
from ...protocol.models.events import Event as OurEvent
from ...protocol.models.events import (
    FileOffer,
    FriendListChange,
    FriendMessage,
    GroupMessage,
    GroupSystemMessage,
    Other,
    SessionMessage,
    SystemMessage,
    Typing,
)
from ..contacts import Message

__all__ = ["changes_groups", "events_of", "message_of"]

#: Notices about a group's members, and WebQQ's words for them.
_CHANGES = {
    "group_increase": "group_join",
    "group_decrease": "group_leave",
    "group_admin": "group_admin_op",
}
#: Notices after which the lists of friends and groups are fetched again.
_MEMBERS = frozenset(
    {"group_increase", "group_decrease", "group_admin", "group_card", "group_dismiss"}
)


def message_of(
    event: MessageEvent, is_friend: Callable[[int], bool], name_of: Callable[[int, int], str]
) -> Message:
    """A message as bots and stores have it.

    Args:
        event: as it came.
        is_friend: whether somebody is a friend; others are strangers.
        name_of: name of somebody by group (0 for none) and QQ number, for mentions without one.
    """
    group = event.group_id
    content = content_of(event.message, lambda who: name_of(group, who))
    if group:
        return GroupMessage(
            gid=group,
            sender=event.user_id,
            content=content,
            code=group,
            recipient=event.self_id,
            time=event.time,
            msg_id=event.message_id,
            seq=event.real_seq,
            info_seq=group,
        )
    recipient = event.peer if event.is_own else event.self_id
    is_temporary = event.sub_type == "group" or bool(event.temp_group)
    other = event.peer
    if is_temporary and not is_friend(other):
        return SessionMessage(
            sender=event.user_id,
            content=content,
            origin=event.temp_group,
            account=event.user_id,
            recipient=recipient,
            time=event.time,
            msg_id=event.message_id,
        )
    return FriendMessage(
        event.user_id, content, recipient, event.time, event.message_id, event.real_seq
    )


def events_of(event: Event) -> Iterator[OurEvent]:
    """Other events, with WebQQ's words where it had such.

    What it had not (recalls, bans, pokes, reactions ...) is an `Other` whose type is
    ``notice.<notice_type>`` and whose `raw` is the event as it came.

    Args:
        event: as it came.
    """
    match event:
        case Request():
            yield from _request(event)
        case Notice(notice_type="notify", sub_type="input_status"):
            yield Typing(event.user_id, event.self_id)
        case Notice(notice_type="friend_add"):
            yield FriendListChange(added=(event.user_id,))
            yield SystemMessage("added_buddy_sig", event.user_id, event.user_id)
        case Notice(notice_type="offline_file"):
            file = event.extra.get("file")
            name = as_text(file.get("name")) if isinstance(file, dict) else ""
            yield FileOffer(event.user_id, name, time=event.time)
        case Notice() if event.notice_type in _CHANGES:
            yield _change(event)
        case Notice():
            kind = ".".join(filter(None, ("notice", event.notice_type, event.sub_type)))
            yield Other(kind, dump(raw_of(event)))


def raw_of(event: Notice) -> dict[str, object]:
    """The fields of a notice that are there.

    Args:
        event: which.
    """
    names = (
        *("notice_type", "sub_type", "time", "self_id", "user_id", "group_id", "operator_id"),
        *("target_id", "message_id", "duration"),
    )
    own = {name: getattr(event, name) for name in names}
    return {**event.extra, **{name: value for name, value in own.items() if value}}


def _request(event: Request) -> Iterator[OurEvent]:
    if event.request_type == "friend":
        yield SystemMessage("verify_required", event.user_id, event.user_id, event.comment)
        return
    kind = "group_invite" if event.sub_type == "invite" else "group_request_join"
    yield GroupSystemMessage(
        kind,
        event.group_id,
        event.group_id,
        event.group_id,
        joined=event.user_id,
        text=event.comment,
    )


def _change(event: Notice) -> GroupSystemMessage:
    has_left = event.notice_type == "group_decrease"
    return GroupSystemMessage(
        _CHANGES[event.notice_type],
        event.group_id,
        event.group_id,
        event.group_id,
        member=event.user_id if has_left else 0,
        joined=0 if has_left else event.user_id,
        op_type=int(event.sub_type == "set"),
        admin=event.operator_id,
        text=event.sub_type,
    )


def changes_groups(event: Event) -> bool:
    """Return True for an event after which a group's members are others.

    Args:
        event: any.
    """
    return isinstance(event, Notice) and event.notice_type in _MEMBERS
