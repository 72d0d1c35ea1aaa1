"""Friendships: headings, marks, requests."""

from __future__ import annotations

import sqlite3
import time

from ...database import transaction
from ...protocol import wire
from .database import check_accounts, checked_name
from .rows import ACCOUNT, Account, FriendRequest, FriendRow, Heading

__all__ = ["FriendTable"]

#: Headings that one may have beside the default one.
_MOST_HEADINGS = 30
_MARK_LENGTH = 24
_REQUEST_LENGTH = 120


class FriendTable:
    """Friendships, with the mark and category that each side gave the other.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def befriend(self, one: int, other: int) -> bool:
        """Make two accounts friends; False if they are already. Open requests are settled.

        Raises:
            ValueError: they are the same, or one does not exist.
        """
        self._check_pair(one, other)
        with transaction(self._db):
            made = self._db.execute(
                "INSERT OR IGNORE INTO friend (owner, friend) VALUES (?, ?), (?, ?)",
                (one, other, other, one),
            )
            self._db.execute(
                "DELETE FROM request WHERE (asked = ? AND asker = ?) OR (asked = ? AND asker = ?)",
                (one, other, other, one),
            )
        return made.rowcount > 0

    def _check_pair(self, one: int, other: int) -> None:
        if one == other:
            raise ValueError("nobody is their own friend")
        check_accounts(self._db, (one, other))

    def unfriend(self, one: int, other: int) -> bool:
        """End a friendship; False if there was none."""
        ended = self._db.execute(
            "DELETE FROM friend WHERE (owner = ? AND friend = ?) OR (owner = ? AND friend = ?)",
            (one, other, other, one),
        )
        return ended.rowcount > 0

    def accounts(self, account: int) -> list[Account]:
        """The friends of an account, by number."""
        return [row.account for row in self.rows(account)]

    def rows(self, account: int) -> list[FriendRow]:
        """The friends of an account with its names for them, by number."""
        rows = self._db.execute(
            f"SELECT {ACCOUNT}, category, mark FROM friend JOIN account ON number = friend "
            "WHERE owner = ? ORDER BY number",
            (account,),
        )
        return [FriendRow(Account(*row[:-2]), *row[-2:]) for row in rows]

    def numbers(self, account: int) -> set[int]:
        """QQ numbers of the friends of an account."""
        rows = self._db.execute("SELECT friend FROM friend WHERE owner = ?", (account,))
        return {number for (number,) in rows}

    def are_friends(self, one: int, other: int) -> bool:
        """Return True if the two are friends."""
        found = self._db.execute(
            "SELECT 1 FROM friend WHERE owner = ? AND friend = ?", (one, other)
        ).fetchone()
        return found is not None

    def set_mark(self, owner: int, friend: int, mark: str) -> None:
        """Set an account's own name for a friend; an empty one removes it.

        Raises:
            ValueError: it is longer than 24 characters.
        """
        mark = checked_name(mark, "name for a friend", _MARK_LENGTH, 0)
        self._db.execute(
            "UPDATE friend SET mark = ? WHERE owner = ? AND friend = ?", (mark, owner, friend)
        )

    # -- headings -----------------------------------------------------------------------------

    def headings(self, owner: int) -> list[Heading]:
        """Headings of an account, without the default one, in order."""
        rows = self._db.execute(
            "SELECT number, name FROM heading WHERE owner = ? ORDER BY number", (owner,)
        )
        return [Heading(*row) for row in rows]

    def add_heading(self, owner: int, name: str) -> Heading:
        """A new heading.

        Raises:
            ValueError: its name is not 1 to 24 characters, or there are too many.
        """
        name = checked_name(name, "heading")
        known = {heading.number for heading in self.headings(owner)}
        free = [number for number in range(1, _MOST_HEADINGS + 1) if number not in known]
        if not free:
            raise ValueError(f"there are {_MOST_HEADINGS} headings already")
        self._db.execute("INSERT INTO heading VALUES (?, ?, ?)", (owner, free[0], name))
        return Heading(free[0], name)

    def rename_heading(self, owner: int, number: int, name: str) -> None:
        """Give a heading another name.

        Raises:
            ValueError: its name is not 1 to 24 characters.
        """
        self._db.execute(
            "UPDATE heading SET name = ? WHERE owner = ? AND number = ?",
            (checked_name(name, "heading"), owner, number),
        )

    def remove_heading(self, owner: int, number: int) -> None:
        """Remove a heading; its friends move to the default one."""
        with transaction(self._db):
            self._db.execute(
                "UPDATE friend SET category = 0 WHERE owner = ? AND category = ?", (owner, number)
            )
            self._db.execute("DELETE FROM heading WHERE owner = ? AND number = ?", (owner, number))

    def set_category(self, owner: int, friend: int, number: int) -> None:
        """Put a friend under a heading, 0 for the default one.

        Raises:
            ValueError: there is no such heading.
        """
        if number and number not in {heading.number for heading in self.headings(owner)}:
            raise ValueError("there is no such heading")
        self._db.execute(
            "UPDATE friend SET category = ? WHERE owner = ? AND friend = ?", (number, owner, friend)
        )

    # -- requests -----------------------------------------------------------------------------

    def add_request(self, asker: int, asked: int, text: str) -> None:
        """Store a friend request; a second one replaces the first.

        Raises:
            ValueError: they are the same, or one does not exist.
        """
        self._check_pair(asker, asked)
        text = wire.clean(" ".join(text.split()))[:_REQUEST_LENGTH]
        self._db.execute(
            "INSERT OR REPLACE INTO request (asked, asker, text, time) VALUES (?, ?, ?, ?)",
            (asked, asker, text, int(time.time())),
        )

    def requests(self, asked: int) -> list[FriendRequest]:
        """Open friend requests, oldest first."""
        rows = self._db.execute(
            "SELECT asker, nick, text, time FROM request JOIN account ON number = asker "
            "WHERE asked = ? ORDER BY time, asker",
            (asked,),
        )
        return [FriendRequest(*row) for row in rows]

    def request(self, asked: int, asker: int) -> FriendRequest | None:
        """The open request of one to another."""
        row = self._db.execute(
            "SELECT asker, nick, text, time FROM request JOIN account ON number = asker "
            "WHERE asked = ? AND asker = ?",
            (asked, asker),
        ).fetchone()
        return FriendRequest(*row) if row else None

    def remove_request(self, asked: int, asker: int) -> bool:
        """Remove a request; return False if there is none."""
        removed = self._db.execute(
            "DELETE FROM request WHERE asked = ? AND asker = ?", (asked, asker)
        )
        return removed.rowcount > 0
