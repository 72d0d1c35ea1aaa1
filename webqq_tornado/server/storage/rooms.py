"""Groups and discussions. A discussion is a room without a number that anybody knows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable

from ...database import transaction
from ...protocol import wire
from ...protocol.codes import Mask
from .database import check_accounts, checked_name, room_kind
from .rows import ACCOUNT, Account, MemberRow, RoomRow

__all__ = ["RoomTable"]

#: Rooms are numbered from here.
_FIRST_ROOM = 20001
#: People in one room at most: a group of the highest level had 2,000.
MOST_MEMBERS = 2000
_MEMO_LENGTH = 500
_ROOM = "number, name, owner, created, kind, memo"


class RoomTable:
    """Rooms and their members.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        # Read for each message: numbers only, kept until the room changes.
        self._numbers: dict[int, frozenset[int]] = {}
        self._blocked: dict[int, frozenset[int]] = {}

    def create_group(self, name: str, owner: int, members: Iterable[int] = ()) -> RoomRow:
        """A new group; its owner is a member.

        Raises:
            ValueError: a member does not exist, or the name is not 1 to 24 characters.
        """
        return self._create(checked_name(name, "group's name"), owner, members, "group")

    def create_discussion(self, name: str, owner: int, members: Iterable[int] = ()) -> RoomRow:
        """A new discussion; its owner is a member.

        Raises:
            ValueError: a member does not exist, or the name is not 1 to 24 characters.
        """
        return self._create(checked_name(name, "discussion's name"), owner, members, "discussion")

    def _create(self, name: str, owner: int, members: Iterable[int], kind: str) -> RoomRow:
        everyone = list(dict.fromkeys((owner, *members)))
        check_accounts(self._db, everyone)
        created = int(time.time())
        with transaction(self._db):
            row = self._db.execute("SELECT max(number) FROM room").fetchone()
            number = max(_FIRST_ROOM - 1, row[0] or 0) + 1
            self._db.execute(
                f"INSERT INTO room ({_ROOM}) VALUES (?, ?, ?, ?, ?, '')",
                (number, name, owner, created, kind),
            )
            self._insert_members(number, everyone)
        return RoomRow(number, name, owner, created, kind)

    def _insert_members(self, room: int, members: Iterable[int]) -> None:
        now = int(time.time())
        self._db.executemany(
            "INSERT OR IGNORE INTO member (room, account, joined) VALUES (?, ?, ?)",
            [(room, member, now) for member in members],
        )

    def get(self, number: int, kind: str) -> RoomRow | None:
        """The group or discussion with this number."""
        if not 0 < number < 2**63:
            return None
        row = self._db.execute(
            f"SELECT {_ROOM} FROM room WHERE number = ? AND kind = ?", (number, kind)
        ).fetchone()
        return RoomRow(*row) if row else None

    def kind(self, number: int) -> str:
        """Kind of a room: "group" or "discussion"; empty if there is no such room."""
        return room_kind(self._db, number)

    def group(self, number: int) -> RoomRow | None:
        """The group with this number."""
        return self.get(number, "group")

    def of(self, account: int, kind: str) -> list[tuple[RoomRow, str, int]]:
        """The rooms an account is in, by number, with its name for each and its `Mask`."""
        rows = self._db.execute(
            f"SELECT {_ROOM}, mark, mask FROM member JOIN room ON number = room "
            "WHERE account = ? AND kind = ? ORDER BY number",
            (account, kind),
        )
        return [(RoomRow(*row[:-2]), *row[-2:]) for row in rows]

    def shared(self, one: int, other: int) -> int:
        """A room that two are in; 0 if there is none."""
        row = self._db.execute(
            "SELECT mine.room FROM member AS mine JOIN member AS theirs ON theirs.room = mine.room "
            "WHERE mine.account = ? AND theirs.account = ? ORDER BY mine.room LIMIT 1",
            (one, other),
        ).fetchone()
        return int(row[0]) if row else 0

    def groups(self, account: int) -> list[RoomRow]:
        """The groups an account is in, by number."""
        return [room for room, _, _ in self.of(account, "group")]

    def member_rows(self, room: int) -> list[MemberRow]:
        """The members of a room, by number."""
        rows = self._db.execute(
            f"SELECT {ACCOUNT}, card, is_admin, joined, {_PLACES} FROM member JOIN account "
            "ON number = account WHERE room = ? ORDER BY number",
            (room,),
        )
        return [MemberRow(Account(*row[:-7]), row[-7], bool(row[-6]), *row[-5:]) for row in rows]

    def roster(self, room: int) -> list[tuple[int, str, str, int]]:
        """The members of a room as a list shows them: number, nick, card, whether they lead.

        Without the profiles of `member_rows`, which take four times as long.
        """
        return self._db.execute(
            "SELECT number, nick, card, is_admin FROM member JOIN account ON number = account "
            "WHERE room = ? ORDER BY number",
            (room,),
        ).fetchall()

    def members(self, room: int) -> list[tuple[Account, str]]:
        """The members of a room with their cards, by number."""
        return [(row.account, row.card) for row in self.member_rows(room)]

    def member_numbers(self, room: int) -> frozenset[int]:
        """QQ numbers of the members of a room."""
        known = self._numbers.get(room)
        if known is None:
            rows = self._db.execute("SELECT account FROM member WHERE room = ?", (room,))
            known = frozenset(number for (number,) in rows)
            if known:  # who asks for rooms that are none fills no memory
                self._numbers[room] = known
        return known

    def blocked_by(self, room: int) -> frozenset[int]:
        """QQ numbers of the members who want no message of a room."""
        known = self._blocked.get(room)
        if known is None:
            rows = self._db.execute(
                "SELECT account FROM member WHERE room = ? AND mask = ?", (room, int(Mask.BLOCKED))
            )
            known = frozenset(number for (number,) in rows)
            if self.member_numbers(room):
                self._blocked[room] = known
        return known

    def is_member(self, room: int, account: int) -> bool:
        """Return True if the account is in the room."""
        return account in self.member_numbers(room)

    def is_admin(self, room: int, account: int) -> bool:
        """Return True if the account is an administrator of the room."""
        row = self._db.execute(
            "SELECT is_admin FROM member WHERE room = ? AND account = ?", (room, account)
        ).fetchone()
        return bool(row and row[0])

    # -- changes ------------------------------------------------------------------------------

    def rename(self, room: int, name: str) -> None:
        """Give a room another name.

        Raises:
            ValueError: it is not 1 to 24 characters.
        """
        name = checked_name(name, "room's name")
        self._db.execute("UPDATE room SET name = ? WHERE number = ?", (name, room))

    def set_memo(self, room: int, memo: str) -> None:
        """Change the announcement of a group."""
        memo = wire.clean(memo.strip())[:_MEMO_LENGTH]
        self._db.execute("UPDATE room SET memo = ? WHERE number = ?", (memo, room))

    def add_members(self, room: int, members: Iterable[int]) -> set[int]:
        """Add people to a room; return those who were not in it before.

        Earlier messages are there for them, and are not unread.

        Raises:
            ValueError: one does not exist, or there would be too many.
        """
        new = set(members) - self.member_numbers(room)
        check_accounts(self._db, new)
        if len(self.member_numbers(room)) + len(new) > MOST_MEMBERS:
            raise ValueError(f"a room has at most {MOST_MEMBERS} members")
        with transaction(self._db):
            self._insert_members(room, sorted(new))
            self._db.executemany(_READ_ALL, [{"account": each, "room": room} for each in new])
        self._numbers.pop(room, None)
        return new

    def remove_member(self, room: int, member: int) -> None:
        """Remove a member; the room of an owner passes to the member who joined first."""
        with transaction(self._db):
            self._db.execute("DELETE FROM member WHERE room = ? AND account = ?", (room, member))
            self._db.execute(
                "UPDATE room SET owner = (SELECT account FROM member WHERE room = room.number "
                "ORDER BY is_admin DESC, joined, account LIMIT 1) "
                "WHERE number = ? AND owner = ? AND EXISTS "
                "(SELECT 1 FROM member WHERE room = room.number)",
                (room, member),
            )
        self._numbers.pop(room, None)
        self._blocked.pop(room, None)

    def set_admin(self, room: int, member: int, is_admin: bool) -> None:
        """Make a member an administrator, or revoke it."""
        self._set_member(room, member, "is_admin", int(is_admin))

    def set_card(self, room: int, member: int, card: str) -> None:
        """Change a member's name in the room; an empty one takes it back.

        Raises:
            ValueError: it is longer than 24 characters.
        """
        self._set_member(room, member, "card", checked_name(card, "card", shortest=0))

    def set_mark(self, room: int, member: int, mark: str) -> None:
        """Set an account's own name for a room; an empty one removes it.

        Raises:
            ValueError: it is longer than 24 characters.
        """
        mark = checked_name(mark, "name for a room", shortest=0)
        self._set_member(room, member, "mark", mark)

    def set_mask(self, room: int, member: int, mask: Mask) -> None:
        """Set an account's setting for the messages of a room."""
        self._set_member(room, member, "mask", int(mask))
        self._blocked.pop(room, None)

    def _set_member(self, room: int, member: int, column: str, value: object) -> None:
        self._db.execute(
            f"UPDATE member SET {column} = ? WHERE room = ? AND account = ?", (value, room, member)
        )


def _place(name: str, default: str = "") -> str:
    return f"coalesce(json_extract(profile, '$.{name}'), '{default}')"


#: Where the members of a room are from.
_PLACES = ", ".join(
    (_place("province"), _place("gender", "unknown"), _place("country"), _place("city"))
)

#: The messages of a room so far are read by an account.
_READ_ALL = """
    INSERT OR REPLACE INTO seen (account, kind, number, message, others)
        SELECT :account, kind, target, newest, messages - coalesce((
            SELECT own.messages FROM thread AS own WHERE own.kind = thread.kind
            AND own.target = thread.target AND own.sender = :account), 0)
        FROM thread WHERE target = :room AND sender = 0
            AND kind = (SELECT kind FROM room WHERE number = :room)
"""
