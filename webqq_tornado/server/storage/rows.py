"""Rows of the storage, as values."""

from __future__ import annotations

from typing import NamedTuple

from ...protocol.models.content import Content

__all__ = [
    "ACCOUNT",
    "ROOM_KINDS",
    "Account",
    "Conversation",
    "EssenceRow",
    "FileRow",
    "FolderRow",
    "FriendRequest",
    "FriendRow",
    "Heading",
    "LoggedEvent",
    "MemberRow",
    "Nonce",
    "NoticeRow",
    "RoomFileRow",
    "RoomRequest",
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
    """A category of an account's friends. Number 0 is there without a row: "我的好友".

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
        is_silenced: whether only its owner and administrators may write.
    """

    number: int
    name: str
    owner: int
    created: int
    kind: str = "group"
    memo: str = ""
    is_silenced: int = 0


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
        title: that the owner gave them, or empty.
        banned_until: seconds since 1970 until which they may not write.
    """

    account: Account
    card: str
    is_admin: bool
    joined: int
    province: str
    gender: str
    country: str
    city: str
    title: str = ""
    banned_until: int = 0


class RoomRequest(NamedTuple):
    """A wish to be in a group, or an invitation to one.

    Args:
        id: increases.
        room: number of the group.
        account: who would come in.
        asker: the same, or the member who invites them.
        text: what they wrote.
        time: seconds since 1970.
    """

    id: int
    room: int
    account: int
    asker: int
    text: str
    time: int

    @property
    def is_invitation(self) -> bool:
        """True if a member invites the account; it is the account that answers."""
        return self.asker != self.account


class NoticeRow(NamedTuple):
    """An announcement of a group.

    Args:
        id: increases.
        room: number of the group.
        sender: QQ number.
        time: seconds since 1970.
        text: of it.
        image: name of a stored picture, or empty.
    """

    id: int
    room: int
    sender: int
    time: int
    text: str
    image: str


class EssenceRow(NamedTuple):
    """An essence message of a group.

    Args:
        message: its id.
        operator: QQ number of who has put it there.
        time: seconds since 1970.
    """

    message: int
    operator: int
    time: int


class FileRow(NamedTuple):
    """A stored file.

    Args:
        name: SHA-256 of its bytes in hex and an ending that says its type.
        type: media type: of pictures that of their bytes, else application/octet-stream.
        size: bytes.
        width: pixels; 0 for what is no picture.
        height: pixels.
        time: seconds since 1970.
    """

    name: str
    type: str
    size: int
    width: int
    height: int
    time: int

    @property
    def is_picture(self) -> bool:
        """True for a picture that browsers show."""
        return self.width > 0


class RoomFileRow(NamedTuple):
    """A file of a group.

    Args:
        id: increases.
        room: number of the group.
        folder: id of a folder; 0 for none.
        name: that it was given.
        file: name of the stored file.
        uploader: QQ number.
        time: seconds since 1970.
    """

    id: int
    room: int
    folder: int
    name: str
    file: str
    uploader: int
    time: int


class FolderRow(NamedTuple):
    """A folder of a group's files.

    Args:
        id: increases.
        room: number of the group.
        name: of the folder.
        creator: QQ number.
        time: seconds since 1970.
    """

    id: int
    room: int
    name: str
    creator: int
    time: int


class LoggedEvent(NamedTuple):
    """An event to report to an application.

    Args:
        id: increases.
        message: id of the message it is; 0 for other events.
        body: the event as JSON; empty for a message.
        time: seconds since 1970.
    """

    id: int
    message: int
    body: str
    time: int


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
        recalled: QQ number of who took it back, its content with it; 0 for nobody.
    """

    id: int
    sender: int
    kind: str
    target: int
    content: Content
    time: int
    origin: int = 0
    origin_kind: str = ""
    recalled: int = 0

    def conversation_for(self, account: int) -> Conversation:
        """The thread it belongs to in the eyes of an account."""
        if self.kind in ROOM_KINDS or self.sender == account:
            return Conversation(self.kind, self.target)
        return Conversation(self.kind, self.sender)


#: Conversations of many.
ROOM_KINDS = frozenset({"group", "discussion"})
