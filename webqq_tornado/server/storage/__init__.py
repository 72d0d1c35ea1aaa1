"""The server's memory: accounts, friends, rooms, messages and sessions in one SQLite file.

Each subject is a file of this package, with its tables and the questions asked of them;
`Storage` is all of them.
"""

from __future__ import annotations

import os

from .contents import dump_content, load_content, plain_parts
from .messages import MessageTable
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
    StorageError,
    StoredMessage,
    Ticket,
)
from .search import MessageIndex
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


class Storage(MessageTable, SessionTable):
    """The server's memory.

    Args:
        path: the database file; made with its folder if it is not there. ":memory:" keeps
            nothing.

    Raises:
        StorageError: it is no such database, of a newer version, or cannot be written.

    Example:
        >>> storage = Storage(":memory:")
        >>> ann = storage.create_account("Ann", "secret")
        >>> ann.number
        10001
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._numbers, self._blocked = {}, {}
        super().__init__(path)
        self._index = MessageIndex(self._db)
