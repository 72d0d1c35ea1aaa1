"""Events of a bot other than messages: typed values, and the names that listeners register for."""

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
    "events_of",
]


@dataclass(frozen=True, slots=True)
class _BotEvent:
    """Base of all events; `client` is that of the account concerned."""

    client: Account = field(repr=False)

    @property
    def account(self) -> int:
        """QQ number of the account concerned."""
        return self.client.account


@dataclass(frozen=True, slots=True)
class Connection(_BotEvent):
    """The state of a client has changed: online, reconnecting, kicked, rejected ...

    Args:
        client: which.
        state: the new one.
        reason: for the user; may be empty.
    """

    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FriendStatus(_BotEvent):
    """A friend went online or offline, or changed status.

    Args:
        client: of the account.
        friend: who has the status.
        status: the new one.
        client_type: the friend's program; see `webqq_tornado.protocol.codes.CLIENT_TYPES`.
    """

    friend: Person
    status: Status
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class FriendRequest(_BotEvent):
    """A friend request, or the acceptance or refusal of one.

    Args:
        client: of the account.
        sender: of the request or answer.
        number: QQ number; 0 if the server withholds it.
        text: of the request.
        type: as in the protocol.
    """

    sender: Person
    number: int = 0
    text: str = ""
    type: str = "verify_required"


@dataclass(frozen=True, slots=True)
class FriendsChanged(_BotEvent):
    """Friends were added or removed; the client refreshes the list by itself.

    Args:
        client: of the account.
        added: uins of new friends.
        removed: uins of former friends.
    """

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupChange(_BotEvent):
    """A change of a group's members: one joined, left, asked to join or became administrator.

    Args:
        client: of the account, a member.
        group: that has changed.
        type: as in the protocol.
        person: concerned; None if the server does not tell.
        by: administrator who did it; None if nobody did.
        text: of the request.
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
        client: of the account.
        friend: who is writing.
    """

    friend: Person


@dataclass(frozen=True, slots=True)
class FileOffered(_BotEvent):
    """A friend offers a file, or takes the offer back.

    Args:
        client: of the account.
        friend: who offers it.
        name: of the file.
        is_offer: False when the offer is taken back.
    """

    friend: Person
    name: str
    is_offer: bool = True


@dataclass(frozen=True, slots=True)
class Unknown(_BotEvent):
    """An event of the server without a name here.

    Args:
        client: of the account.
        type: as in the protocol.
        raw: its value, as JSON text.
    """

    type: str
    raw: str = ""


BotEvent: TypeAlias = (
    "Connection | FriendStatus | FriendRequest | FriendsChanged | GroupChange | FriendTyping"
    " | FileOffered | Unknown"
)

#: Names for `Bot.on_event`, and the type of the value that its listeners get.
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
    """A function, and the names of its events."""

    names: frozenset[str]
    function: Callable[[BotEvent], object]


def check_event(name: str) -> str:
    """Return the name of an event unchanged.

    Args:
        name: given by a user.

    Raises:
        ValueError: the event is unknown; lists all names.
    """
    if name not in EVENTS:
        raise ValueError(f"no event {name!r}; there are {', '.join(EVENTS)}")
    return name


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
