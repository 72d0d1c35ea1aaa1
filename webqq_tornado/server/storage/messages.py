"""Messages: accepted, not delivered yet, read, searched, lately written with."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ...database import transaction
from ...protocol.models.content import Content
from .contents import dump_content, load_content
from .database import room_kind
from .rows import ROOM_KINDS, Conversation, Nonce, StoredMessage
from .search import MessageIndex, folded, plain_text

__all__ = ["MessageTable"]

#: Messages that a search looks at, at most, before it answers with what it has found: about 30 ms.
MOST_EXAMINED = 2000
#: Ids that it passes over then, most of which are of messages of others.
_MOST_PASSED = 20_000


class MessageTable:
    """Messages, and the accounts that are still to get them.

    Args:
        db: the open database.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._index = MessageIndex(db)
        self._newest = 0  # id of the last message added, maybe taken back

    def add(
        self,
        sender: int,
        conversation: Conversation,
        content: Content,
        recipients: Iterable[int],
        nonce: Nonce | None = None,
        *,
        origin: int = 0,
        logged_for: Iterable[int] = (),
    ) -> tuple[StoredMessage, bool]:
        """Store a message and the accounts it is still to be delivered to.

        All of it is in the file when this returns.

        Args:
            sender: account.
            conversation: as the sender sees it.
            content: what.
            recipients: accounts that are to get it by poll.
            nonce: the sender's own mark: the same one again is the same message.
            origin: room that brought two strangers together.
            logged_for: accounts to whose applications it is reported.

        Returns:
            The message, and whether it is new.
        """
        now = int(time.time())
        known = self._by_nonce(sender, nonce) if nonce else None
        # Not only "since": a clock that was put back leaves messages of the future.
        if known is not None and abs(now - known.time) <= (nonce.seconds if nonce else 0):
            return known, False
        mark = nonce.mark if nonce else None
        values = (sender, *conversation, dump_content(content), now, mark, origin)
        with transaction(self._db):
            if known is not None:
                self._db.execute("UPDATE message SET nonce = NULL WHERE id = ?", (known.id,))
            number = self._db.execute(
                "INSERT INTO message (sender, kind, target, content, time, nonce, origin) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
            self._db.executemany(
                "INSERT INTO undelivered VALUES (?, ?)",
                [(recipient, number) for recipient in recipients],
            )
            self._db.executemany(
                "INSERT INTO onebot_event (account, message, time) VALUES (?, ?, ?)",
                [(account, number, now) for account in logged_for],
            )
        self._newest = number or 0
        self._index_newest()
        kind = room_kind(self._db, origin) if origin else ""
        return StoredMessage(number or 0, sender, *conversation, content, now, origin, kind), True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write everything in the block at once, at its end; an error undoes all of it."""
        with transaction(self._db):
            yield
        self._index_newest()

    def _index_newest(self) -> None:
        if not self._db.in_transaction:  # what may be taken back must not be in the index
            self._index.added(self._newest)

    def get(self, number: int) -> StoredMessage | None:
        """The message with this id."""
        if not 0 < number < 2**63:
            return None
        row = self._db.execute(f"SELECT {_MESSAGE} FROM message WHERE id = ?", (number,)).fetchone()
        return _message(row) if row else None

    def recall(self, number: int, operator: int) -> bool:
        """Take a message back: its content is gone. False if it was taken back before.

        Args:
            number: its id.
            operator: QQ number of who takes it back.
        """
        with transaction(self._db):
            taken = self._db.execute(
                "UPDATE message SET content = '[]', recalled = ? WHERE id = ? AND recalled = 0",
                (operator, number),
            )
            self._db.execute("DELETE FROM undelivered WHERE message = ?", (number,))
            self._db.execute("DELETE FROM essence WHERE message = ?", (number,))
            self._db.execute("DELETE FROM reaction WHERE message = ?", (number,))
        return taken.rowcount > 0

    def last_sent(self, room: int) -> dict[int, int]:
        """Time of the last message of each member of a group, by QQ number."""
        rows = self._db.execute(
            "SELECT thread.sender, time FROM thread JOIN message ON message.id = newest "
            "WHERE thread.kind = 'group' AND thread.target = ? AND thread.sender != 0",
            (room,),
        )
        return dict(rows)

    def react(self, message: int, account: int, emoji: str, *, is_set: bool) -> bool:
        """Set a reaction of an account, or take it back; False if nothing changed."""
        statement = (
            "INSERT OR IGNORE INTO reaction (message, emoji, account) VALUES (?, ?, ?)"
            if is_set
            else "DELETE FROM reaction WHERE message = ? AND emoji = ? AND account = ?"
        )
        return self._db.execute(statement, (message, emoji, account)).rowcount > 0

    def reactions(self, message: int) -> dict[str, int]:
        """Number of accounts that have reacted to a message, by emoji."""
        rows = self._db.execute(
            "SELECT emoji, count(*) FROM reaction WHERE message = ? GROUP BY emoji", (message,)
        )
        return dict(rows)

    def add_forward(self, name: str, nodes: str) -> None:
        """Store messages that are passed on together.

        Args:
            name: by which they are found.
            nodes: JSON.
        """
        self._db.execute(
            "INSERT OR IGNORE INTO forward VALUES (?, ?, ?)", (name, nodes, int(time.time()))
        )

    def forward(self, name: str) -> str:
        """The nodes of `add_forward`; empty if there are none of that name."""
        row = self._db.execute("SELECT nodes FROM forward WHERE id = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def undelivered(self, account: int, limit: int = 50) -> list[StoredMessage]:
        """The oldest messages that the account has not got by poll."""
        rows = self._db.execute(
            f"SELECT {_MESSAGE} FROM undelivered JOIN message ON id = message "
            "WHERE account = ? ORDER BY message LIMIT ?",
            (account, limit),
        )
        return list(map(_message, rows))

    def mark_delivered(self, account: int, up_to: int) -> None:
        """The account has got all messages up to this one by poll."""
        self._db.execute(
            "DELETE FROM undelivered WHERE account = ? AND message <= ?", (account, up_to)
        )

    def history(
        self, account: int, conversation: Conversation, before: int = 2**62, limit: int = 50
    ) -> tuple[list[StoredMessage], bool]:
        """Messages of a thread, oldest first, and whether there are older ones."""
        rows = sorted(self._beside(account, conversation, _BEFORE, before, limit + 1), reverse=True)
        return [_message(row) for row in reversed(rows[:limit])], len(rows) > limit

    def history_after(
        self, account: int, conversation: Conversation, after: int, limit: int = 50
    ) -> tuple[list[StoredMessage], bool]:
        """Messages of a thread that follow one, oldest first, and whether there are newer ones."""
        rows = sorted(self._beside(account, conversation, _AFTER, after, limit + 1))
        return [_message(row) for row in rows[:limit]], len(rows) > limit

    def _beside(
        self, account: int, conversation: Conversation, side: str, message: int, limit: int
    ) -> list[Any]:
        """The messages of a thread next to one, on one side of it, in no order."""
        return [
            row
            for where, values in _halves(account, conversation)
            for row in self._db.execute(
                f"SELECT {_MESSAGE} FROM message WHERE {where} AND {side} LIMIT ?",
                (*values, message, limit),
            )
        ]

    def search(
        self, account: int, text: str, before: int = 2**62, limit: int = 30
    ) -> tuple[list[StoredMessage], int | None]:
        """Messages that have all words of a text, in the threads that an account has now.

        It blocks the loop for some 30 ms at most, and may then have found less than there is.

        Args:
            account: whose threads.
            text: words or parts of words, in any script and case.
            before: only messages with lower ids.
            limit: messages at most.

        Returns:
            The messages, newest first, and `before` of the next search; None: that is all.
        """
        words = folded(text).split()
        if not words:
            return [], None
        query = self._index.query(words)
        rows, rest = self._indexed(query, before) if query else self._read_back(account, before)
        is_ones_own = self._thread_filter(account)
        found: list[StoredMessage] = []
        for row in filter(is_ones_own, rows):
            written = plain_text(row[4])
            if all(word in written for word in words):
                found.append(_message(row))
            if len(found) == limit:
                return found, found[-1].id
        return found, rest

    def _indexed(self, query: str, before: int) -> tuple[list[Any], int | None]:
        """The latest messages of everybody that the index finds, and where it stopped."""
        self._index.complete()
        rows = self._db.execute(_INDEXED, (query, before, MOST_EXAMINED)).fetchall()
        return rows, rows[-1][0] if len(rows) == MOST_EXAMINED else None

    def _read_back(self, account: int, before: int) -> tuple[list[Any], int | None]:
        """The latest messages of an account, and where the reading stopped."""
        (last,) = self._db.execute("SELECT max(id) FROM message").fetchone()
        before = min(before, (last or 0) + 1)
        values = {
            "account": account,
            "before": before,
            "first": before - _MOST_PASSED,
            "limit": MOST_EXAMINED,
        }
        rows = self._db.execute(_OWN, values).fetchall()
        if len(rows) == MOST_EXAMINED:
            return rows, rows[-1][0]
        return rows, before - _MOST_PASSED if before > _MOST_PASSED else None

    def _thread_filter(self, account: int) -> Callable[[Any], bool]:
        """Build a filter for rows of the account's threads: with friends, rooms and strangers."""
        friends = {friend for (friend,) in self._db.execute(_FRIENDS, (account,))}
        rooms = set(self._db.execute(_ROOMS, (account,)))

        def is_ones_own(row: Any) -> bool:
            _, sender, kind, target, *_ = row
            if kind in ROOM_KINDS:
                return (kind, target) in rooms
            if account not in (sender, target):
                return False
            return kind != "friend" or (target if sender == account else sender) in friends

        return is_ones_own

    def newest(self, account: int, conversation: Conversation) -> StoredMessage | None:
        """The latest message of a thread."""
        number = max(self._newest_ids(account, conversation))
        row = self._db.execute(f"SELECT {_MESSAGE} FROM message WHERE id = ?", (number,)).fetchone()
        return _message(row) if row else None

    def _newest_ids(self, account: int, conversation: Conversation) -> list[int]:
        kind, number = conversation
        pairs = [(number, 0)] if kind in ROOM_KINDS else [(account, number), (number, account)]
        return [self._counted(kind, *pair)[1] for pair in pairs]

    def _counted(self, kind: str, target: int, sender: int) -> tuple[int, int]:
        """Number of messages from a sender to a target, and the id of the newest."""
        row = self._db.execute(
            "SELECT messages, newest FROM thread WHERE kind = ? AND target = ? AND sender = ?",
            (kind, target, sender),
        ).fetchone()
        return row or (0, 0)

    def recent(self, account: int, limit: int = 50) -> list[Conversation]:
        """Threads with messages, the one with the newest first."""
        rows = self._db.execute(_RECENT, {"account": account, "limit": limit})
        return [Conversation(kind, number) for kind, number, _ in rows]

    def strangers(self, account: int) -> list[tuple[int, int]]:
        """Temporary sessions of an account: (number, room that brought the two together)."""
        rows = self._db.execute(_STRANGERS, {"account": account})
        return [(number, origin) for number, origin, _ in rows]

    def session_origin(self, one: int, other: int) -> int:
        """The room that brought the two together when they last wrote; 0 if they never did."""
        newest = self.newest(one, Conversation("session", other))
        return newest.origin if newest else 0

    def mark_seen(self, account: int, conversation: Conversation, message: int) -> None:
        """The account has read the thread up to this message, on the page.

        What there is no message of yet cannot be read: a higher number is that of the newest.
        """
        newest = max(self._newest_ids(account, conversation))
        seen, others = self._seen(account, conversation)
        if min(message, newest) <= seen:
            return
        if message >= newest:
            message, others = newest, self._of_others(account, conversation)
        else:  # each message is counted once at most, however often one reads on
            others += self._others_between(account, conversation, seen, message)
        self._db.execute(
            "INSERT OR REPLACE INTO seen (account, kind, number, message, others) "
            "VALUES (?, ?, ?, ?, ?)",
            (account, *conversation, message, others),
        )

    def unread(self, account: int, conversation: Conversation) -> int:
        """Number of unread messages of others in a thread; stored, not counted."""
        return self._of_others(account, conversation) - self._seen(account, conversation)[1]

    def _seen(self, account: int, conversation: Conversation) -> tuple[int, int]:
        """Id of the last message read in a thread, and the number of others' messages up to it."""
        row = self._db.execute(
            "SELECT message, others FROM seen WHERE account = ? AND kind = ? AND number = ?",
            (account, *conversation),
        ).fetchone()
        return row or (0, 0)

    def _of_others(self, account: int, conversation: Conversation) -> int:
        kind, number = conversation
        if kind not in ROOM_KINDS:
            return self._counted(kind, account, number)[0]
        return self._counted(kind, number, 0)[0] - self._counted(kind, number, account)[0]

    def _others_between(
        self, account: int, conversation: Conversation, after: int, up_to: int
    ) -> int:
        kind, number = conversation
        is_room = kind in ROOM_KINDS
        where, who = ("!=", (number, account)) if is_room else ("=", (account, number))
        (count,) = self._db.execute(
            f"SELECT count(*) FROM message WHERE kind = ? AND target = ? AND sender {where} ? "
            "AND id > ? AND id <= ?",
            (kind, *who, after, up_to),
        ).fetchone()
        return int(count)

    def _by_nonce(self, sender: int, nonce: Nonce) -> StoredMessage | None:
        row = self._db.execute(
            f"SELECT {_MESSAGE} FROM message WHERE sender = ? AND nonce = ?", (sender, nonce.mark)
        ).fetchone()
        return _message(row) if row else None


#: The columns of a `StoredMessage`.
_MESSAGE = (
    "id, sender, kind, target, content, time, origin, "
    "CASE origin WHEN 0 THEN '' ELSE (SELECT room.kind FROM room WHERE number = origin) END, "
    "recalled"
)

#: Numbers of an account's friends, and its rooms with their kinds.
_FRIENDS = "SELECT friend FROM friend WHERE owner = ?"
_ROOMS = "SELECT kind, number FROM member JOIN room ON number = room WHERE account = ?"

#: Messages next to one, as a condition and its order.
_BEFORE, _AFTER = "id < ? ORDER BY id DESC", "id > ? ORDER BY id"

_INDEXED = f"""
    SELECT {_MESSAGE} FROM message_index JOIN message ON message.id = message_index.rowid
    WHERE message_index MATCH ? AND message_index.rowid < ?
    ORDER BY message_index.rowid DESC LIMIT ?
"""
_OWN = f"""
    SELECT {_MESSAGE} FROM message WHERE id < :before AND id >= :first AND (
        kind IN ('friend', 'session') AND :account IN (sender, target)
        OR kind IN ('group', 'discussion')
        AND target IN (SELECT room FROM member WHERE account = :account))
    ORDER BY id DESC LIMIT :limit
"""

#: With whom one wrote as friends, or by way of a room: what one sent, what one got.
_PEOPLE = """
    SELECT kind, target AS other, newest FROM thread WHERE sender = :account AND kind = '{kind}'
    UNION ALL SELECT kind, sender, newest FROM thread WHERE kind = '{kind}' AND target = :account
"""
_RECENT = f"""
    SELECT kind, other, max(newest) AS last FROM (
        {_PEOPLE.format(kind="friend")}
        UNION ALL SELECT thread.kind, thread.target, newest FROM member JOIN room ON number = room
            JOIN thread ON thread.kind = room.kind AND thread.target = number AND sender = 0
            WHERE account = :account)
    GROUP BY kind, other ORDER BY last DESC LIMIT :limit
"""
_STRANGERS = f"""
    SELECT other, (SELECT origin FROM message WHERE id = last), last FROM (
        SELECT other, max(newest) AS last FROM ({_PEOPLE.format(kind="session")}) GROUP BY other)
    ORDER BY other
"""


def _halves(account: int, conversation: Conversation) -> Iterator[tuple[str, tuple[object, ...]]]:
    """The messages of a thread, as conditions that an index answers in the order of ids."""
    kind, number = conversation
    if kind in ROOM_KINDS:
        yield "kind = ? AND target = ?", (kind, number)
        return
    # Two, and not one with OR: SQLite would sort all that two ever wrote for the last line.
    for target, sender in {(account, number), (number, account)}:
        yield "kind = ? AND target = ? AND sender = ?", (kind, target, sender)


def _message(row: tuple[int, int, str, int, str, int, int, str, int]) -> StoredMessage:
    content = load_content(json.loads(row[4]))
    return StoredMessage(*row[:4], content, *row[5:])
