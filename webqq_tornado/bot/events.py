"""A client's events as those of a bot, with the names that listeners register for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..client.notices import (
    CardChanged,
    EssenceChanged,
    FileUploaded,
    GroupNews,
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
from ..client.state import ClientEvent, HeartbeatLate, StateChange
from ..protocol.codes import Status
from ..protocol.models import (
    FileOffer,
    Friend,
    FriendListChange,
    Group,
    GroupSystemMessage,
    Kicked,
    Other,
    StatusChange,
    SystemMessage,
    Typing,
)
from .account import Account
from .event_types import (
    Ban,
    BotEvent,
    Card,
    Connection,
    Essence,
    FileOffered,
    FriendRequest,
    FriendsChanged,
    FriendStatus,
    FriendTyping,
    GroupChange,
    GroupName,
    Honor,
    Like,
    Poke,
    Reaction,
    Recall,
    RedPacketKing,
    Unknown,
    Upload,
)
from .message import Person, person_in

__all__ = ["Listener", "events_of"]

#: Words of system_message and sys_g_msg (Mojo-Webqq 2018), and our names.
_REQUESTS = {
    "verify_required": "friend_request",
    "added_buddy_sig": "friend_added",
    "verify_pass": "friend_added",
    "verify_pass_add": "friend_added",
    "verify_rejected": "friend_refused",
}
_CHANGES = {
    "group_join": "group_join",
    "group_request_join_agree": "group_join",
    "group_leave": "group_leave",
    "group_request_join": "group_request",
    "group_invite": "group_invite",
    "group_admin_op": "group_admin",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A function, and the names of its events."""

    names: frozenset[str]
    function: Callable[[BotEvent], object]


def events_of(
    client: Account, heard: ClientEvent, before: Status
) -> Iterator[tuple[str, BotEvent]]:
    """Convert a client's event to those of a bot, with the names that listeners register for.

    Args:
        client: that received it.
        heard: the client's event.
        before: former status of the friend concerned.
    """
    match heard:
        case StateChange():
            yield heard.state.value, Connection(client, heard.state, heard.reason)
        case HeartbeatLate():
            yield "late", Connection(client, client.state, heard.reason)
        case Kicked():  # the client's own state reports it
            return
        case StatusChange():
            yield from _status(client, heard, before)
        case SystemMessage():
            about = FriendRequest(
                client, _friend(client, heard.uin), heard.account, heard.text, heard.type
            )
            known = _REQUESTS.get(heard.type)
            yield (known, about) if known else ("other", Unknown(client, heard.type, heard.text))
        case GroupSystemMessage():
            change = _group_change(client, heard)
            if heard.type in _CHANGES:
                yield _CHANGES[heard.type], change
            yield "group", change
        case FriendListChange():
            yield "friends", FriendsChanged(client, heard.added, heard.removed)
        case Typing():
            yield "typing", FriendTyping(client, _friend(client, heard.sender))
        case FileOffer():
            is_offer = heard.mode == "recv"
            friend = _friend(client, heard.sender)
            yield "file", FileOffered(client, friend, heard.name, is_offer)
        case Other():
            yield "other", Unknown(client, heard.poll_type, heard.raw)
        case News():
            yield _news(client, heard)


def _status(client: Account, heard: StatusChange, before: Status) -> Iterator[tuple[str, BotEvent]]:
    event = FriendStatus(client, _friend(client, heard.uin), heard.status, heard.client_type)
    if heard.status is Status.OFFLINE:
        if before is not Status.OFFLINE:
            yield "friend_offline", event
    elif before is Status.OFFLINE:
        yield "friend_online", event
    yield "status", event


def _friend(client: Account, uin: int) -> Person:
    friend = client.contacts.friends.get(uin) or Friend(uin, str(uin))
    return person_in(client, friend, uin)


def _group_change(client: Account, heard: GroupSystemMessage) -> GroupChange:
    known = client.contacts.groups.get(heard.gid)
    group = known or Group(heard.gid, heard.code, str(heard.account or heard.gid))
    people = [_member(client, group, uin) for uin in (heard.joined or heard.member, heard.admin)]
    how = heard.how
    if heard.type == "group_admin_op":
        how = "set" if heard.op_type else "unset"
    return GroupChange(client, group, heard.type, people[0], people[1], heard.text, how)


# -- news of today's QQ --------------------------------------------------------------------------


def _news(client: Account, heard: News) -> tuple[str, BotEvent]:
    match heard:
        case Poked():
            group = _group(client, heard.group) if heard.group else None
            people = [_person(client, group, uin) for uin in (heard.sender, heard.target)]
            return "poke", Poke(client, people[0], people[1], group)
        case MessageRecalled():
            group = _group(client, heard.group) if heard.group else None
            people = [_person(client, group, uin) for uin in (heard.sender, heard.by)]
            return "recall", Recall(client, heard.message_id, people[0], people[1], group)
        case ProfileLiked():
            friend = client.contacts.friends.get(heard.sender)
            known = friend or Friend(heard.sender, heard.name or str(heard.sender))
            return "like", Like(client, person_in(client, known, heard.sender), heard.times)
        case GroupNews():
            return _group_news(client, _group(client, heard.group), heard)
    raise TypeError(f"no event of a bot: {heard!r}")


def _group_news(client: Account, group: Group, heard: GroupNews) -> tuple[str, BotEvent]:
    def person(uin: int) -> Person:
        return _person(client, group, uin)

    def maybe(uin: int) -> Person | None:
        return _member(client, group, uin)

    event: tuple[str, BotEvent]
    match heard:
        case MemberBanned():
            by = maybe(heard.by)
            event = "ban", Ban(client, group, maybe(heard.member), by, heard.seconds)
        case CardChanged():
            event = "card", Card(client, group, person(heard.member), heard.new, heard.old)
        case FileUploaded():
            file = heard.name, heard.size, heard.file_id, heard.busid, heard.url
            event = "upload", Upload(client, group, person(heard.member), *file)
        case HonorReceived():
            event = "honor", Honor(client, group, person(heard.member), heard.honor)
        case TitleChanged():
            event = "title", Honor(client, group, person(heard.member), heard.title)
        case LuckyKing():
            king = person(heard.king)
            event = "lucky_king", RedPacketKing(client, group, person(heard.sender), king)
        case EssenceChanged():
            people = maybe(heard.sender), maybe(heard.by)
            event = "essence", Essence(client, group, heard.message_id, *people, heard.is_set)
        case Reacted():
            more = heard.emoji, heard.count, heard.is_set
            sender = person(heard.sender)
            event = "reaction", Reaction(client, group, heard.message_id, sender, *more)
        case GroupRenamed():
            event = "group_name", GroupName(client, group, heard.name, maybe(heard.by))
        case _:
            raise TypeError(f"no event of a bot: {heard!r}")
    return event


def _group(client: Account, number: int) -> Group:
    return client.contacts.groups.get(number) or Group(number, number, str(number))


def _person(client: Account, group: Group | None, uin: int) -> Person:
    person = person_in(client, group, uin) if group is not None else _friend(client, uin)
    is_unnamed = uin == client.account and person.name == str(uin)
    return replace(person, name=client.nick or person.name) if is_unnamed else person


def _member(client: Account, group: Group, uin: int) -> Person | None:
    return person_in(client, group, uin) if uin else None
