"""Rows of the storage, as values."""

from __future__ import annotations

from typing import NamedTuple

from ...protocol.models.content import Content

__all__ = [
    "ACCOUNT",
    "ROOM_KINDS",
    "Account",
    "Conversation",
    "FriendRequest",
    "FriendRow",
    "Heading",
    "MemberRow",
    "Nonce",
    "RoomRow",
    "SessionRow",
    "StoredMessage",
    "Ticket",
]


#: Columns of an `Account`.
ACCOUNT = "account.number, nick, password, lnick, face, vip_level, allow"


class Account(NamedTuple):
    """A person.

    Args:
        number: QQ number.
        nick: name.
        password: md5 of it.
        lnick: signature.
        face: number of the portrait.
        vip_level: 0 for none.
        allow: how a friend request is answered: 0 yes at once, 1 is asked, 2 never.
    """

    number: int
    nick: str
    password: bytes
    lnick: str = ""
    face: int = 0
    vip_level: int = 0
    allow: int = 0


class Heading(NamedTuple):
    """A category of somebody's friends. Number 0 is there without a row: "我的好友".

    Args:
        number: `categories` of the friend list.
        name: as its owner wrote it.
    """

    number: int
    name: str


class FriendRow(NamedTuple):
    """A friend, as their friend has them.

    Args:
        account: who.
        category: number of a `Heading`.
        mark: one's own name for them, or empty.
    """

    account: Account
    category: int
    mark: str


class FriendRequest(NamedTuple):
    """A friend request.

    Args:
        asker: QQ number.
        nick: of the asker.
        text: what they wrote.
        time: seconds since 1970.
    """

    asker: int
    nick: str
    text: str
    time: int


class RoomRow(NamedTuple):
    """A group or a discussion, without its members.

    Args:
        number: the group's public number; a discussion's is never shown.
        name: its name.
        owner: QQ number.
        created: seconds since 1970.
        kind: "group" or "discussion".
        memo: announcement of the group.
    """

    number: int
    name: str
    owner: int
    created: int
    kind: str = "group"
    memo: str = ""


class MemberRow(NamedTuple):
    """A member of a room.

    Args:
        account: who.
        card: name in this room, or empty.
        is_admin: whether the owner made them an administrator.
        joined: seconds since 1970; 0 for members from before this was recorded.
        province: of their profile.
        gender: of their profile.
        country: of their profile.
        city: of their profile.
    """

    account: Account
    card: str
    is_admin: bool
    joined: int
    province: str
    gender: str
    country: str
    city: str


class Ticket(NamedTuple):
    """A login that was granted; its cookie ptwebqq proves it until the client logs out.

    Args:
        account: QQ number.
        dialect: "webqq3" or "smartqq".
    """

    account: int
    dialect: str


class SessionRow(NamedTuple):
    """An open session of the protocol, so that a restart of the server ends none.

    Args:
        psessionid: secret.
        vfwebqq: secret.
        ptwebqq: secret.
        account: QQ number.
        dialect: "webqq3" or "smartqq".
        status: the protocol's word.
        seed: what its uins are made of.
    """

    psessionid: str
    vfwebqq: str
    ptwebqq: str
    account: int
    dialect: str
    status: str
    seed: bytes

    def __repr__(self) -> str:
        return f"<SessionRow of {self.account}>"


class Conversation(NamedTuple):
    """A thread of messages, as one account sees it.

    Args:
        kind: "friend", "group", "discussion", or "session" with a stranger.
        number: of the person or the room.
    """

    kind: str
    number: int


class Nonce(NamedTuple):
    """The sender's own mark of a message, by which a resend is known.

    Args:
        mark: the same for the same message.
        seconds: for how long.
    """

    mark: str
    seconds: int


class StoredMessage(NamedTuple):
    """A message as it was accepted.

    Args:
        id: increases.
        sender: QQ number.
        kind: of its conversation.
        target: number of the person or room that it was sent to.
        content: what.
        time: seconds since 1970.
        origin: room that brought two strangers together; 0 for other kinds.
        origin_kind: of that room, "group" or "discussion"; else empty.
    """

    id: int
    sender: int
    kind: str
    target: int
    content: Content
    time: int
    origin: int = 0
    origin_kind: str = ""

    def conversation_for(self, account: int) -> Conversation:
        """The thread it belongs to in the eyes of an account."""
        if self.kind in ROOM_KINDS or self.sender == account:
            return Conversation(self.kind, self.target)
        return Conversation(self.kind, self.sender)


#: Conversations of many.
ROOM_KINDS = frozenset({"group", "discussion"})
