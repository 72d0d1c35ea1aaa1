"""The server's memory: accounts, friends, rooms, messages and sessions in one SQLite file.

Each subject is a file of this package, with its tables and the questions asked of them; a
`Storage` has one object for each.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...deprecation import warn_deprecated
from .accounts import AccountTable
from .contents import (
    FILE_SEGMENTS,
    SEGMENTS,
    content_text,
    data_of,
    dump_content,
    load_content,
    plain_parts,
    segment,
)
from .database import StorageError, open_storage
from .files import FileTable, TooLarge
from .friends import FriendTable
from .messages import MessageTable
from .onebot import OneBotTable
from .rooms import RoomTable
from .rows import (
    ROOM_KINDS,
    Account,
    Conversation,
    EssenceRow,
    FileRow,
    FolderRow,
    FriendRequest,
    FriendRow,
    Heading,
    LoggedEvent,
    MemberRow,
    Nonce,
    NoticeRow,
    RoomFileRow,
    RoomRequest,
    RoomRow,
    SessionRow,
    StoredMessage,
    Ticket,
)
from .sessions import SessionTable

__all__ = [
    "FILE_SEGMENTS",
    "ROOM_KINDS",
    "SEGMENTS",
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
    "Storage",
    "StorageError",
    "StoredMessage",
    "Ticket",
    "TooLarge",
    "content_text",
    "data_of",
    "dump_content",
    "load_content",
    "plain_parts",
    "segment",
]


#: Methods of the previews, where all subjects were one object.
_MOVED = {
    "account": "accounts.get",
    "add_heading": "friends.add_heading",
    "add_members": "rooms.add_members",
    "add_message": "messages.add",
    "add_request": "friends.add_request",
    "add_ticket": "sessions.add_ticket",
    "are_friends": "friends.are_friends",
    "befriend": "friends.befriend",
    "change_profile": "accounts.change_profile",
    "create_account": "accounts.create",
    "create_discussion": "rooms.create_discussion",
    "create_group": "rooms.create_group",
    "friend_numbers": "friends.numbers",
    "group": "rooms.group",
    "groups": "rooms.groups",
    "headings": "friends.headings",
    "history": "messages.history",
    "is_member": "rooms.is_member",
    "mark_seen": "messages.mark_seen",
    "member_numbers": "rooms.member_numbers",
    "members": "rooms.members",
    "newest": "messages.newest",
    "profile": "accounts.profile",
    "recent": "messages.recent",
    "remove_member": "rooms.remove_member",
    "requests": "friends.requests",
    "room": "rooms.get",
    "search": "messages.search",
    "set_admin": "rooms.set_admin",
    "set_card": "rooms.set_card",
    "set_category": "friends.set_category",
    "set_mark": "friends.set_mark",
    "set_password": "accounts.set_password",
    "ticket": "sessions.ticket",
    "undelivered": "messages.undelivered",
    "unfriend": "friends.unfriend",
    "unread": "messages.unread",
}


class Storage:
    """The server's memory.

    Args:
        path: the database file; made with its folder if it is not there. ":memory:" keeps
            nothing.

    Attributes:
        path: as given.
        accounts: accounts and profiles.
        friends: friendships, headings and friend requests.
        rooms: groups and discussions.
        messages: messages, and the accounts that are still to get them.
        sessions: sign-ins of browsers and clients.
        files: pictures and files; their bytes are in the folder `files` beside the database.
        onebot: settings and events of applications that speak OneBot.

    Raises:
        StorageError: it is no such database, of a newer version, or cannot be written.

    Example:
        >>> storage = Storage(":memory:")
        >>> ann = storage.accounts.create("Ann", "secret")
        >>> ann.number
        10001
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._db = open_storage(path)
        self.accounts = AccountTable(self._db)
        self.friends = FriendTable(self._db)
        self.rooms = RoomTable(self._db)
        self.messages = MessageTable(self._db)
        self.sessions = SessionTable(self._db)
        is_kept = str(path) != ":memory:"
        self.files = FileTable(self._db, self.path.with_name("files") if is_kept else None)
        self.onebot = OneBotTable(self._db)

    if not TYPE_CHECKING:  # which would take any name for an attribute

        def __getattr__(self, name: str) -> object:
            if name not in _MOVED:
                raise AttributeError(f"'Storage' object has no attribute {name!r}")
            warn_deprecated(f"Storage.{name}", "1.0", instead=f"Storage.{_MOVED[name]}")
            return operator.attrgetter(_MOVED[name])(self)

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self.files.close()
