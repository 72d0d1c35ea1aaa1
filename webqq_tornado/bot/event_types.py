"""Events of a bot other than messages, as typed values; and their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ..client.state import State
from ..protocol.codes import Status
from ..protocol.models import Group
from .account import Account
from .message import Person

__all__ = [
    "EVENTS",
    "Ban",
    "BotEvent",
    "Card",
    "Connection",
    "Essence",
    "FileOffered",
    "FriendRequest",
    "FriendStatus",
    "FriendTyping",
    "FriendsChanged",
    "GroupChange",
    "GroupName",
    "Honor",
    "Like",
    "Poke",
    "Reaction",
    "Recall",
    "RedPacketKing",
    "Unknown",
    "Upload",
    "check_event",
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
    """A change of a group's members: one joined, left, asked to join, became administrator ...

    Args:
        client: of the account, a member.
        group: that has changed.
        type: as in the protocol.
        person: concerned; None if the server does not tell.
        by: administrator who did it; None if nobody did.
        text: of the request.
        how: ``approve`` or ``invite`` of who joined; ``leave``, ``kick``, ``kick_me`` (the account
            itself) or ``disband`` of who left; ``set`` or ``unset`` of administrators; empty if
            the server does not tell.
    """

    group: Group
    type: str
    person: Person | None = None
    by: Person | None = None
    text: str = ""
    how: str = ""


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
class Recall(_BotEvent):
    """A message was recalled (OneBot).

    Args:
        client: of the account.
        message_id: of the message; `Message.id` of those that came in.
        sender: who had written it.
        by: who recalled it: the sender, or an administrator.
        group: of the message; None for a private one.
    """

    message_id: int
    sender: Person
    by: Person
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class Ban(_BotEvent):
    """A member of a group, or all of them, may not write any more, or may again (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        person: who; None for all.
        by: administrator who did it; None if nobody is named.
        seconds: of the ban; 0 lifts it, -1 has no end.
    """

    group: Group
    person: Person | None = None
    by: Person | None = None
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Poke(_BotEvent):
    """A poke (OneBot).

    Args:
        client: of the account.
        sender: who did.
        target: whom.
        group: where; None in private.

    Example:
        >>> @bot.on_event("poke")
        ... def poked(event):
        ...     if event.at_me and event.group is not None:
        ...         event.client.send(event.group, f"do not poke me, {event.sender}")
    """

    sender: Person
    target: Person
    group: Group | None = None

    @property
    def at_me(self) -> bool:
        """True if the account itself was poked."""
        return self.target.uin == self.account


@dataclass(frozen=True, slots=True)
class Card(_BotEvent):
    """The name of a member in a group is another one (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        person: whose.
        new: the name; empty for none.
        old: the former one, likewise.
    """

    group: Group
    person: Person
    new: str = ""
    old: str = ""


@dataclass(frozen=True, slots=True)
class Upload(_BotEvent):
    """A file was put into a group (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        person: by whom.
        name: of the file.
        size: in bytes.
        file_id: for ``get_group_file_url``.
        busid: likewise.
        url: where it is fetched from, if known.
    """

    group: Group
    person: Person
    name: str
    size: int = 0
    file_id: str = ""
    busid: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class Honor(_BotEvent):
    """A member has an honor of the group, or a special title (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        person: who.
        honor: ``talkative``, ``performer``, ``emotion`` ...; the words of a title.
    """

    group: Group
    person: Person
    honor: str


@dataclass(frozen=True, slots=True)
class RedPacketKing(_BotEvent):
    """A red packet is empty, and a member had the largest part (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        sender: of the red packet.
        king: who had the largest part.
    """

    group: Group
    sender: Person
    king: Person


@dataclass(frozen=True, slots=True)
class Essence(_BotEvent):
    """A message is among the essence of a group now, or no more (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        message_id: of the message.
        sender: its author; None if unknown.
        by: administrator who did it; None likewise.
        is_set: False for no more.
    """

    group: Group
    message_id: int
    sender: Person | None = None
    by: Person | None = None
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class Reaction(_BotEvent):
    """An emoji was put to a message, or taken away (OneBot).

    Args:
        client: of the account, a member.
        group: where.
        message_id: of the message.
        sender: who did.
        emoji: its number, as a text.
        count: how many have put it there.
        is_set: False if it was taken away.
    """

    group: Group
    message_id: int
    sender: Person
    emoji: str
    count: int = 0
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class GroupName(_BotEvent):
    """A group has another name (OneBot).

    Args:
        client: of the account, a member.
        group: which, as it was.
        name: the new one.
        by: who gave it; None if nobody is named.
    """

    group: Group
    name: str
    by: Person | None = None


@dataclass(frozen=True, slots=True)
class Like(_BotEvent):
    """The account's profile was liked (OneBot).

    Args:
        client: of the account.
        sender: who.
        times: how often, this time.
    """

    sender: Person
    times: int = 1


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
    " | FileOffered | Recall | Ban | Poke | Card | Upload | Honor | RedPacketKing | Essence"
    " | Reaction | GroupName | Like | Unknown"
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
    "group_invite": GroupChange,
    "group_admin": GroupChange,
    "group": GroupChange,
    "recall": Recall,
    "ban": Ban,
    "poke": Poke,
    "card": Card,
    "upload": Upload,
    "honor": Honor,
    "title": Honor,
    "lucky_king": RedPacketKing,
    "essence": Essence,
    "reaction": Reaction,
    "group_name": GroupName,
    "like": Like,
    "typing": FriendTyping,
    "file": FileOffered,
    "other": Unknown,
}


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
