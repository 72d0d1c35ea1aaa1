"""Events that a bot's listeners receive besides messages: typed values, and their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ..client.state import ClientEvent, HeartbeatLate, State, StateChange
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
from .message import Person, person_in

__all__ = [
    "EVENTS",
    "BotEvent",
    "Connection",
    "FileOffered",
    "FriendRequest",
    "FriendStatus",
    "FriendTyping",
    "FriendsChanged",
    "GroupChange",
    "Listener",
    "Unknown",
    "check_event",
    "happenings_of",
]


@dataclass(frozen=True, slots=True)
class _BotEvent:
    """Base of all events; `client` is the one whose account it happened to."""

    client: Account = field(repr=False)

    @property
    def account(self) -> int:
        """QQ number of the account that it happened to."""
        return self.client.account


@dataclass(frozen=True, slots=True)
class Connection(_BotEvent):
    """A client is online, reconnecting, kicked, rejected ... now.

    Args:
        client: which.
        state: how it is.
        reason: why, in words for the user; may be empty.
    """

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FriendStatus(_BotEvent):
    """A friend came, went, or changed status.

    Args:
        client: whose friend.
        friend: who.
        status: how now.
        client_type: with what; see `webqq_tornado.protocol.codes.CLIENT_TYPES`.
    """

    friend: Person
    status: Status
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class FriendRequest(_BotEvent):
    """A friend request, or the acceptance or refusal of one.

    Args:
        client: whose.
        sender: who.
        number: QQ number, 0 if the server kept it back.
        text: what they wrote.
        type: the protocol's word.
    """

    sender: Person
    number: int = 0
    text: str = ""
    type: str = "verify_required"


@dataclass(frozen=True, slots=True)
class FriendsChanged(_BotEvent):
    """Friends came or went; the client fetches the list again by itself.

    Args:
        client: whose.
        added: uins of the new ones.
        removed: uins of those who are none any more.
    """

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupChange(_BotEvent):
    """A change of a group's members: one joined, left, asked to join or became administrator.

    Args:
        client: who is in it.
        group: which.
        type: the protocol's word.
        person: whom it is about; None if the server does not tell.
        by: the administrator who did it; None if nobody did.
        text: what they wrote.
    """

    group: Group
    type: str
    person: Person | None = None
    by: Person | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class FriendTyping(_BotEvent):
    """A friend is writing.

    Args:
        client: whose friend.
        friend: who.
    """

    friend: Person


@dataclass(frozen=True, slots=True)
class FileOffered(_BotEvent):
    """A friend offers a file, or takes the offer back.

    Args:
        client: whose friend.
        friend: who.
        name: of the file.
        is_offer: False when the offer is taken back.
    """

    friend: Person
    name: str
    is_offer: bool = True


@dataclass(frozen=True, slots=True)
class Unknown(_BotEvent):
    """The server says something that there is no name for.

    Args:
        client: to whom.
        type: the protocol's word.
        raw: what, as JSON text.
    """

    type: str
    raw: str = ""


BotEvent: TypeAlias = (
    "Connection | FriendStatus | FriendRequest | FriendsChanged | GroupChange | FriendTyping"
    " | FileOffered | Unknown"
)

#: Names for `Bot.on_event`, and what listeners of each get.
EVENTS: dict[str, type[_BotEvent]] = {
    **{state.value: Connection for state in State},
    "late": Connection,
    "friend_online": FriendStatus,
    "friend_offline": FriendStatus,
    "status": FriendStatus,
    "friend_request": FriendRequest,
    "friend_added": FriendRequest,
    "friend_refused": FriendRequest,
    "friends": FriendsChanged,
    "group_join": GroupChange,
    "group_leave": GroupChange,
    "group_request": GroupChange,
    "group_admin": GroupChange,
    "group": GroupChange,
    "typing": FriendTyping,
    "file": FileOffered,
    "other": Unknown,
}

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
    "group_admin_op": "group_admin",
}


@dataclass(frozen=True, slots=True)
class Listener:
    """A function, and the names of the events that it is called with."""

    names: frozenset[str]
    function: Callable[[BotEvent], object]


def check_event(name: str) -> str:
    """The name of an event, if it is one.

    Args:
        name: to look at.

    Raises:
        ValueError: there is no such event.
    """
    if name not in EVENTS:
        raise ValueError(f"no event {name!r}; there are {', '.join(EVENTS)}")
    return name


def happenings_of(
    client: Account, heard: ClientEvent, before: Status
) -> Iterator[tuple[str, BotEvent]]:
    """Convert a client's event to those of a bot, with the names that listeners register for.

    Args:
        client: that heard it.
        heard: what.
        before: status, until now, of the friend that it is about.
    """
    match heard:
        case StateChange():
            yield heard.state.value, Connection(client, heard.state, heard.reason)
        case HeartbeatLate():
            yield "late", Connection(client, client.state, heard.reason)
        case Kicked():  # the client's own state tells it
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


def _status(client: Account, heard: StatusChange, before: Status) -> Iterator[tuple[str, BotEvent]]:
    told = FriendStatus(client, _friend(client, heard.uin), heard.status, heard.client_type)
    if heard.status is Status.OFFLINE:
        if before is not Status.OFFLINE:
            yield "friend_offline", told
    elif before is Status.OFFLINE:
        yield "friend_online", told
    yield "status", told


def _friend(client: Account, uin: int) -> Person:
    friend = client.contacts.friends.get(uin) or Friend(uin, str(uin))
    return person_in(client, friend, uin)


def _group_change(client: Account, heard: GroupSystemMessage) -> GroupChange:
    known = client.contacts.groups.get(heard.gid)
    group = known or Group(heard.gid, heard.code, str(heard.account or heard.gid))
    people = [
        person_in(client, group, uin) if uin else None
        for uin in (heard.joined or heard.member, heard.admin)
    ]
    return GroupChange(client, group, heard.type, people[0], people[1], heard.text)
