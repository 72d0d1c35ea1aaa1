"""The server's memory: accounts, friends, rooms, messages and sessions in one SQLite file.

Each subject is a file of this package, with its tables and the questions asked of them; a
`Storage` has one object for each.
"""

from __future__ import annotations

import os
from pathlib import Path

from .accounts import AccountTable
from .contents import dump_content, load_content, plain_parts
from .database import StorageError, open_storage
from .friends import FriendTable
from .messages import MessageTable
from .rooms import RoomTable
from .rows import (
    ROOM_KINDS,
    Account,
    Conversation,
    FriendRequest,
    FriendRow,
    Heading,
    MemberRow,
    Nonce,
    RoomRow,
    SessionRow,
    StoredMessage,
    Ticket,
)
from .sessions import SessionTable

__all__ = [
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
    "Storage",
    "StorageError",
    "StoredMessage",
    "Ticket",
    "dump_content",
    "load_content",
    "plain_parts",
]


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

    def close(self) -> None:
        """Close the file."""
        self._db.close()
