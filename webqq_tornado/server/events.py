"""Events of poll2, written with the identifiers of one session."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.models.events import (
    DiscussionMessage,
    Event,
    FriendMessage,
    GroupMessage,
    GroupSystemMessage,
    SessionMessage,
)
from .client_contents import for_client
from .quirks import SMARTQQ
from .sessions import PollSession
from .storage.rows import ROOM_KINDS, StoredMessage

__all__ = ["DISCUSSION", "GROUP", "event_for", "group_event"]

#: service_type of a temporary session: what brought the two together.
GROUP, DISCUSSION = 0, 1


def _friend(session: PollSession, message: StoredMessage) -> Event:
    return FriendMessage(
        sender=session.uin_of(message.sender),
        content=message.content,
        recipient=session.uin_of(message.target),
        time=message.time,
        msg_id=message.id,
        msg_id2=message.id,
    )


def _group(session: PollSession, message: StoredMessage) -> Event:
    gid = session.gid_of(message.target)
    # SmartQQ said the gid twice (captures of 2015 to 2017): smartqq in Java answers to the code.
    code = gid if session.dialect == SMARTQQ else session.code_of(message.target)
    return GroupMessage(
        gid=gid,
        sender=session.uin_of(message.sender),
        content=message.content,
        code=code,
        recipient=session.account,
        time=message.time,
        msg_id=message.id,
        msg_id2=message.id,
        seq=message.id,
        info_seq=message.target,
    )


def _discussion(session: PollSession, message: StoredMessage) -> Event:
    did = session.did_of(message.target)
    return DiscussionMessage(
        did=did,
        sender=session.uin_of(message.sender),
        content=message.content,
        from_uin=did,
        recipient=session.account,
        time=message.time,
        msg_id=message.id,
        msg_id2=message.id,
        seq=message.id,
        info_seq=did,
    )


def _session(session: PollSession, message: StoredMessage) -> Event:
    room, is_discussion = message.origin, message.origin_kind == "discussion"
    event = SessionMessage(
        sender=session.uin_of(message.sender),
        content=message.content,
        origin=session.did_of(room) if is_discussion else session.gid_of(room),
        account=message.sender,
        service_type=DISCUSSION if is_discussion else GROUP,
        recipient=session.uin_of(message.target),
        time=message.time,
        msg_id=message.id,
        msg_id2=message.id,
    )
    # Who knows no strangers' messages gets it as a friend's: better than not at all.
    return event if session.quirks.knows(event) else _friend(session, message)


_EVENTS: dict[str, Callable[[PollSession, StoredMessage], Event]] = {
    "friend": _friend,
    "group": _group,
    "discussion": _discussion,
    "session": _session,
}


def event_for(session: PollSession, message: StoredMessage, pictures_at: str = "") -> Event:
    """A message as the session's account sees it.

    Args:
        session: of the account.
        message: to it.
        pictures_at: "host:port" where it finds pictures.
    """
    is_room = message.kind in ROOM_KINDS
    content = for_client(message.content, is_room=is_room, server=pictures_at)
    return _EVENTS[message.kind](session, message._replace(content=content))


def group_event(session: PollSession, type_: str, group: int, **details: int) -> Event:
    """Something about a group.

    Args:
        session: whose words.
        type_: of the protocol, for example ``group_leave``.
        group: its number.
        details: "member", "joined" and "admin" are QQ numbers here; "op_type" is as it is.
    """
    return GroupSystemMessage(
        type=type_,
        gid=session.gid_of(group),
        code=session.code_of(group),
        account=group,
        op_type=details.get("op_type", 0),
        **{
            name: session.uin_of(details[name])
            for name in ("member", "joined", "admin")
            if name in details
        },  # type: ignore[arg-type]  # numbers, all of them
    )
