"""Events of OneBot as the rest of the package has them. Numbers are QQ numbers, never uins."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...onebot.v11.content import content_of
from ...onebot.v11.events import Event, MessageEvent, Notice, Request
from ...onebot.v11.values import as_text, dump, number
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
from ..notices import (
    CardChanged,
    EssenceChanged,
    FileUploaded,
    GroupRenamed,
    HonorReceived,
    LuckyKing,
    MemberBanned,
    MessageRecalled,
    News,
    Poked,
    ProfileLiked,
    Reacted,
    TitleChanged,
)

__all__ = ["changes_groups", "events_of", "message_of"]

#: Notices about a group's members, and WebQQ's words for them.
_CHANGES = {
    "group_increase": "group_join",
    "group_decrease": "group_leave",
    "group_dismiss": "group_leave",
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


def events_of(event: Event) -> Iterator[OurEvent | News]:
    """Other events, with WebQQ's words where it had such.

    What has no type (devices, files of NTQQ ...) is an `Other` whose type is
    ``notice.<notice_type>`` and whose `raw` is the event as it came.

    Args:
        event: as it came.
    """
    match event:
        case Request():
            yield from _request(event)
        case Notice(notice_type="notify", sub_type="input_status"):
            # NC tells the end of it with an empty text.
            if as_text(event.extra.get("status_text", "?")):
                yield Typing(event.user_id, event.self_id)
        case Notice(notice_type="friend_add"):
            yield FriendListChange(added=(event.user_id,))
            yield SystemMessage("added_buddy_sig", event.user_id, event.user_id)
        case Notice(notice_type="offline_file"):
            name = as_text(_object(event, "file").get("name"))
            yield FileOffer(event.user_id, name, time=event.time)
        case Notice() if event.notice_type in _CHANGES:
            yield _change(event)
        case Notice():
            kind = _kind(event)
            read = _NEWS.get(kind)
            if read is not None:
                yield from read(event)
            else:
                yield Other(f"notice.{kind}", dump(raw_of(event)))


def _kind(event: Notice) -> str:
    """The type of a notice; those that say more in their sub_type have it behind a dot."""
    is_more = event.notice_type not in _NEWS
    return ".".join(filter(None, (event.notice_type, event.sub_type if is_more else "")))


# -- news -----------------------------------------------------------------------------------------


def _recall(event: Notice) -> Iterator[News]:
    by = event.operator_id or event.user_id
    yield MessageRecalled(event.message_id, event.user_id, by, event.group_id)


def _ban(event: Notice) -> Iterator[News]:
    seconds = 0 if event.sub_type == "lift_ban" else event.duration
    yield MemberBanned(event.group_id, event.user_id, event.operator_id, seconds)


def _poke(event: Notice) -> Iterator[News]:
    # In private NC has the friend in user_id, and the poking account in sender_id.
    sender = _int(event, "sender_id") or event.user_id
    yield Poked(sender, event.target_id, event.group_id)


def _card(event: Notice) -> Iterator[News]:
    yield CardChanged(event.group_id, event.user_id, _text(event, "card_new"),
                      _text(event, "card_old"))  # fmt: skip


def _upload(event: Notice) -> Iterator[News]:
    file = _object(event, "file")
    numbers = [_number(file.get(name)) for name in ("size", "busid")]
    texts = [as_text(file.get(name)) for name in ("name", "id", "url")]
    yield FileUploaded(
        *(event.group_id, event.user_id, texts[0], numbers[0], texts[1], numbers[1], texts[2])
    )


def _honor(event: Notice) -> Iterator[News]:
    yield HonorReceived(event.group_id, event.user_id, _text(event, "honor_type"))


def _title(event: Notice) -> Iterator[News]:
    yield TitleChanged(event.group_id, event.user_id, _text(event, "title"))


def _lucky_king(event: Notice) -> Iterator[News]:
    yield LuckyKing(event.group_id, event.user_id, event.target_id)


def _essence(event: Notice) -> Iterator[News]:
    sender = _int(event, "sender_id")
    is_set = event.sub_type != "delete"
    yield EssenceChanged(event.group_id, event.message_id, sender, event.operator_id, is_set)


def _likes(event: Notice) -> Iterator[News]:
    """NC and LL: several at once."""
    likes = event.extra.get("likes")
    is_set = event.extra.get("is_add") is not False
    for like in likes if isinstance(likes, list) else ():
        if isinstance(like, dict):
            emoji, count = as_text(like.get("emoji_id")), _number(like.get("count"))
            yield Reacted(event.group_id, event.message_id, event.user_id, emoji, count, is_set)


def _reaction(event: Notice) -> Iterator[News]:
    """LG."""
    sender = event.operator_id or event.user_id
    count, is_set = _int(event, "count"), event.sub_type != "remove"
    emoji = _text(event, "code")
    yield Reacted(event.group_id, event.message_id, sender, emoji, count, is_set)


def _group_name(event: Notice) -> Iterator[News]:
    name = _text(event, "name_new") or _text(event, "name")
    yield GroupRenamed(event.group_id, name, event.user_id or event.operator_id)


def _profile_like(event: Notice) -> Iterator[News]:
    times = max(1, _int(event, "times"))
    yield ProfileLiked(event.operator_id or event.user_id, _text(event, "operator_nick"), times)


#: Notices by type, those of ``notify`` with their sub_type.
_NEWS: dict[str, Callable[[Notice], Iterator[News]]] = {
    "group_recall": _recall,
    "friend_recall": _recall,
    "group_ban": _ban,
    "notify.poke": _poke,
    "group_card": _card,
    "group_upload": _upload,
    "notify.honor": _honor,
    "notify.title": _title,
    "notify.lucky_king": _lucky_king,
    "essence": _essence,
    "group_msg_emoji_like": _likes,
    "reaction": _reaction,
    "notify.group_name": _group_name,
    "group_name_change": _group_name,
    "notify.profile_like": _profile_like,
}


def _text(event: Notice, name: str) -> str:
    return as_text(event.extra.get(name))


def _int(event: Notice, name: str) -> int:
    return _number(event.extra.get(name))


def _number(value: object) -> int:
    try:
        return number(value)
    except ValueError:
        return 0


def _object(event: Notice, name: str) -> dict[str, object]:
    value = event.extra.get(name)
    return value if isinstance(value, dict) else {}


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
    has_left = event.notice_type in ("group_decrease", "group_dismiss")
    how = "disband" if event.notice_type == "group_dismiss" else event.sub_type
    return GroupSystemMessage(
        _CHANGES[event.notice_type],
        event.group_id,
        event.group_id,
        event.group_id,
        member=event.user_id if has_left else 0,
        joined=0 if has_left else event.user_id,
        op_type=int(event.sub_type == "set"),
        admin=event.operator_id,
        how=how,
    )


def changes_groups(event: Event) -> bool:
    """Return True for an event after which a group's members are others.

    Args:
        event: any.
    """
    return isinstance(event, Notice) and event.notice_type in _MEMBERS
