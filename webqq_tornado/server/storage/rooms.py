"""Groups and discussions. A discussion is a room without a number that anybody knows."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from ...database import transaction
from ...protocol import wire
from ...protocol.codes import Mask
from .database import check_accounts, checked_name, room_kind
from .rows import ACCOUNT, Account, EssenceRow, MemberRow, NoticeRow, RoomRequest, RoomRow

__all__ = ["RoomTable"]

#: Rooms are numbered from here.
_FIRST_ROOM = 20001
#: People in one room at most: a group of the highest level had 2,000.
MOST_MEMBERS = 2000
_MEMO_LENGTH = 500
_TITLE_LENGTH = 18
_NOTICE_LENGTH = 1000
_ROOM = "number, name, owner, created, kind, memo, is_silenced"


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
        self._silent: dict[int, dict[int, float]] = {}

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
                f"INSERT INTO room ({_ROOM}) VALUES (?, ?, ?, ?, ?, '', 0)",
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
            f"SELECT {_MEMBER} FROM member JOIN account "
            "ON number = account WHERE room = ? ORDER BY number",
            (room,),
        )
        return list(map(_member, rows))

    def member(self, room: int, account: int) -> MemberRow | None:
        """A member of a room."""
        row = self._db.execute(
            f"SELECT {_MEMBER} FROM member JOIN account ON number = account "
            "WHERE room = ? AND account = ?",
            (room, account),
        ).fetchone()
        return _member(row) if row else None

    def roster(self, room: int) -> list[tuple[int, str, str, int, str, int]]:
        """The members of a room as a list shows them.

        They are number, nick, card, whether they lead, title, and until when they are banned.

        Without the profiles of `member_rows`, which take four times as long.
        """
        return self._db.execute(
            "SELECT number, nick, card, is_admin, title, banned_until FROM member JOIN account "
            "ON number = account WHERE room = ? ORDER BY number",
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
        self._silent.pop(room, None)
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
        for cache in (self._numbers, self._blocked, self._silent):
            cache.pop(room, None)

    def set_admin(self, room: int, member: int, is_admin: bool) -> None:
        """Make a member an administrator, or revoke it."""
        self._set_member(room, member, "is_admin", int(is_admin))
        self._silent.pop(room, None)

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

    def set_title(self, room: int, member: int, title: str) -> None:
        """Give a member a title; an empty one takes it back.

        Raises:
            ValueError: it is longer than 18 characters.
        """
        title = checked_name(title, "title", _TITLE_LENGTH, 0)
        self._set_member(room, member, "title", title)

    def ban(self, room: int, member: int, until: int) -> None:
        """Let a member write nothing until a time in seconds since 1970; 0 lifts that."""
        self._set_member(room, member, "banned_until", until)
        self._silent.pop(room, None)

    def silence(self, room: int, is_silenced: bool) -> None:
        """Let only the owner and administrators write, or everybody again."""
        self._db.execute(
            "UPDATE room SET is_silenced = ? WHERE number = ?", (int(is_silenced), room)
        )
        self._silent.pop(room, None)

    def may_write(self, room: int, member: int) -> bool:
        """Return True unless a member is banned, or all but the administrators are."""
        known = self._silent.get(room)
        if known is None:
            known = self._silent[room] = self._find_silent(room)
        return known.get(member, 0) <= time.time()

    def _find_silent(self, room: int) -> dict[int, float]:
        """Members who may not write, with the time until which."""
        rows = self._db.execute(
            "SELECT account, banned_until, is_silenced AND NOT is_admin AND owner != account "
            "FROM member JOIN room ON number = room WHERE room = ?",
            (room,),
        )
        silent = {account: math.inf if silenced else until for account, until, silenced in rows}
        return {account: until for account, until in silent.items() if until}

    def dissolve(self, room: int) -> None:
        """Remove a room and its members; its messages stay in the file, and nobody sees them."""
        with transaction(self._db):
            for table in ("member", "room_request", "unwanted", "essence", "notice"):
                self._db.execute(f"DELETE FROM {table} WHERE room = ?", (room,))
            self._db.execute("UPDATE room SET kind = 'dissolved' WHERE number = ?", (room,))
        for cache in (self._numbers, self._blocked, self._silent):
            cache.pop(room, None)

    def _set_member(self, room: int, member: int, column: str, value: object) -> None:
        self._db.execute(
            f"UPDATE member SET {column} = ? WHERE room = ? AND account = ?", (value, room, member)
        )

    # -- requests -----------------------------------------------------------------------------

    def add_request(self, room: int, account: int, asker: int, text: str) -> RoomRequest:
        """Store the wish of an account to be in a group, or an invitation to it.

        Args:
            room: number of the group.
            account: who would come in.
            asker: the same, or the member who invites them.
            text: what they wrote.

        Raises:
            ValueError: an account does not exist, or was taken out for good.
        """
        check_accounts(self._db, (account, asker))
        if account == asker and self.is_unwanted(room, account):
            raise ValueError("you were removed from this group for good")
        text, now = wire.clean(" ".join(text.split()))[:120], int(time.time())
        number = self._db.execute(
            "INSERT OR REPLACE INTO room_request (room, account, asker, text, time) "
            "VALUES (?, ?, ?, ?, ?)",
            (room, account, asker, text, now),
        ).lastrowid
        return RoomRequest(number or 0, room, account, asker, text, now)

    def request(self, number: int) -> RoomRequest | None:
        """The open request with this id."""
        row = self._db.execute(
            f"SELECT {_REQUEST} FROM room_request WHERE id = ?", (number,)
        ).fetchone()
        return RoomRequest(*row) if row else None

    def requests(self, account: int) -> list[RoomRequest]:
        """Open requests that an account can answer, oldest first."""
        rows = self._db.execute(
            f"SELECT {_REQUEST} FROM room_request WHERE (account = :own AND asker != :own) OR "
            "(account = asker AND room IN (SELECT number FROM room WHERE owner = :own UNION "
            "SELECT room FROM member WHERE account = :own AND is_admin)) ORDER BY id",
            {"own": account},
        )
        return [RoomRequest(*row) for row in rows]

    def remove_request(self, number: int) -> bool:
        """Remove a request; return False if there is none."""
        return self._db.execute("DELETE FROM room_request WHERE id = ?", (number,)).rowcount > 0

    def set_unwanted(self, room: int, account: int) -> None:
        """Take no request of an account any more."""
        self._db.execute("INSERT OR IGNORE INTO unwanted VALUES (?, ?)", (room, account))

    def is_unwanted(self, room: int, account: int) -> bool:
        """Return True if an account was taken out for good."""
        found = self._db.execute(
            "SELECT 1 FROM unwanted WHERE room = ? AND account = ?", (room, account)
        ).fetchone()
        return found is not None

    # -- essence messages ---------------------------------------------------------------------

    def add_notice(self, room: int, sender: int, text: str, image: str = "") -> NoticeRow:
        """Store an announcement; it is the group's memo as well.

        Raises:
            ValueError: it is empty.
        """
        text = wire.clean(text.strip())[:_NOTICE_LENGTH]
        if not text:
            raise ValueError("an announcement has some text")
        now = int(time.time())
        with transaction(self._db):
            number = self._db.execute(
                "INSERT INTO notice (room, sender, time, text, image) VALUES (?, ?, ?, ?, ?)",
                (room, sender, now, text, image),
            ).lastrowid
            self.set_memo(room, text)
        return NoticeRow(number or 0, room, sender, now, text, image)

    def notices(self, room: int) -> list[NoticeRow]:
        """Announcements of a group, newest first."""
        rows = self._db.execute(
            "SELECT id, room, sender, time, text, image FROM notice WHERE room = ? "
            "ORDER BY id DESC",
            (room,),
        )
        return [NoticeRow(*row) for row in rows]

    def remove_notice(self, room: int, number: int) -> bool:
        """Remove an announcement; return False if there is none."""
        removed = self._db.execute("DELETE FROM notice WHERE room = ? AND id = ?", (room, number))
        return removed.rowcount > 0

    def set_essence(self, room: int, message: int, operator: int) -> bool:
        """Hold a message of a group up; return False if it is already."""
        added = self._db.execute(
            "INSERT OR IGNORE INTO essence VALUES (?, ?, ?, ?)",
            (message, room, operator, int(time.time())),
        )
        return added.rowcount > 0

    def remove_essence(self, message: int) -> bool:
        """Hold a message up no more; return False if it was not."""
        return self._db.execute("DELETE FROM essence WHERE message = ?", (message,)).rowcount > 0

    def essence(self, room: int) -> list[EssenceRow]:
        """Essence messages of a group, newest first."""
        rows = self._db.execute(
            "SELECT message, operator, time FROM essence WHERE room = ? ORDER BY message DESC",
            (room,),
        )
        return [EssenceRow(*row) for row in rows]


_REQUEST = "id, room, account, asker, text, time"


def _place(name: str, default: str = "") -> str:
    return f"coalesce(json_extract(profile, '$.{name}'), '{default}')"


#: Where the members of a room are from.
_PLACES = ", ".join(
    (_place("province"), _place("gender", "unknown"), _place("country"), _place("city"))
)
_MEMBER = f"{ACCOUNT}, card, is_admin, joined, {_PLACES}, title, banned_until"


def _member(row: Any) -> MemberRow:
    return MemberRow(Account(*row[:-9]), row[-9], bool(row[-8]), *row[-7:])


#: The messages of a room so far are read by an account.
_READ_ALL = """
    INSERT OR REPLACE INTO seen (account, kind, number, message, others)
        SELECT :account, kind, target, newest, messages - coalesce((
            SELECT own.messages FROM thread AS own WHERE own.kind = thread.kind
            AND own.target = thread.target AND own.sender = :account), 0)
        FROM thread WHERE target = :room AND sender = 0
            AND kind = (SELECT kind FROM room WHERE number = :room)
"""
