"""Messages: accepted, not delivered yet, read, lately written with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import astuple

from ...protocol import wire
from ...protocol.models import Content, Face, Font
from .rooms import RoomTable
from .rows import ROOM_KINDS, Conversation, Nonce, StoredMessage

__all__ = ["MessageTable", "dump_content", "load_content", "plain_parts"]


class MessageTable(RoomTable):
    """Messages and who is still to get them."""

    def add_message(
        self,
        sender: int,
        conversation: Conversation,
        content: Content,
        recipients: Iterable[int],
        nonce: Nonce | None = None,
        *,
        origin: int = 0,
    ) -> tuple[StoredMessage, bool]:
        """Accept a message, and remember for whom it is still to be delivered.

        All of it is in the file when this returns.

        Args:
            sender: account.
            conversation: as the sender sees it.
            content: what.
            recipients: accounts that are to get it by poll.
            nonce: the sender's own mark: the same one again is the same message.
            origin: room that brought two strangers together.

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
        with self._transaction():
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
        kind = self.room_kind(origin) if origin else ""
        return StoredMessage(number or 0, sender, *conversation, content, now, origin, kind), True

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
        where, values = _thread(account, conversation)
        rows = self._db.execute(
            f"SELECT {_MESSAGE} FROM message WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?",
            (*values, before, limit + 1),
        ).fetchall()
        return [_message(row) for row in reversed(rows[:limit])], len(rows) > limit

    def recent(self, account: int, limit: int = 50) -> list[Conversation]:
        """Threads with messages, the one with the newest first.

        Looks at what the account wrote or got from people, and at its rooms.
        """
        rows = self._db.execute(_RECENT, {"account": account, "limit": limit})
        return [Conversation(kind, number) for kind, number, _ in rows]

    def strangers(self, account: int) -> list[tuple[int, int]]:
        """Who one has a temporary session with: (number, room that brought them together)."""
        rows = self._db.execute(
            "SELECT CASE sender WHEN :account THEN target ELSE sender END AS other, origin, "
            "max(id) FROM message WHERE kind = 'session' AND (sender = :account OR "
            "target = :account) GROUP BY other ORDER BY other",
            {"account": account},
        )
        return [(number, origin) for number, origin, _ in rows]

    def session_origin(self, one: int, other: int) -> int:
        """The room that brought the two together when they last wrote; 0 if they never did."""
        row = self._db.execute(
            "SELECT origin FROM message WHERE kind = 'session' AND ((target = ? AND sender = ?) "
            "OR (target = ? AND sender = ?)) ORDER BY id DESC LIMIT 1",
            (one, other, other, one),
        ).fetchone()
        return int(row[0]) if row else 0

    def mark_seen(self, account: int, conversation: Conversation, message: int) -> None:
        """The account has read the thread up to this message, on the page."""
        self._db.execute(
            "INSERT INTO seen VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET message = max(message, excluded.message)",
            (account, *conversation, message),
        )

    def unread(self, account: int, conversation: Conversation) -> int:
        """How many messages of others are unread in a thread."""
        where, values = _thread(account, conversation)
        (count,) = self._db.execute(
            f"SELECT count(*) FROM message WHERE {where} AND sender != ? AND id > coalesce("
            "(SELECT message FROM seen WHERE account = ? AND kind = ? AND number = ?), 0)",
            (*values, account, account, *conversation),
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
    "CASE origin WHEN 0 THEN '' ELSE (SELECT room.kind FROM room WHERE number = origin) END"
)

#: Messages of a person that `recent` looks back on.
_LOOK_BACK = 1000
_RECENT = f"""
    SELECT kind, other, max(newest) AS last FROM (
        SELECT kind, target AS other, id AS newest FROM
            (SELECT * FROM message WHERE kind = 'friend' AND sender = :account
             ORDER BY id DESC LIMIT {_LOOK_BACK})
        UNION ALL SELECT kind, sender, id FROM
            (SELECT * FROM message WHERE kind = 'friend' AND target = :account
             ORDER BY id DESC LIMIT {_LOOK_BACK})
        UNION ALL SELECT kind, room,
            (SELECT max(id) FROM message WHERE message.kind = room.kind AND target = room.number)
            FROM member JOIN room ON number = room WHERE account = :account)
    WHERE newest IS NOT NULL GROUP BY kind, other ORDER BY last DESC LIMIT :limit
"""


def _thread(account: int, conversation: Conversation) -> tuple[str, tuple[object, ...]]:
    """The messages of a thread, as a condition."""
    kind, number = conversation
    if kind in ROOM_KINDS:
        return "kind = ? AND target = ?", (kind, number)
    return (
        "kind = ? AND ((target = ? AND sender = ?) OR (target = ? AND sender = ?))",
        (kind, account, number, number, account),
    )


def _message(row: tuple[int, int, str, int, str, int, int, str]) -> StoredMessage:
    content = load_content(json.loads(row[4]))
    return StoredMessage(*row[:4], content, *row[5:])


def dump_content(content: Content) -> str:
    """A content as JSON: texts, ["face", id], the font; of pictures, what stands for them."""
    font = [] if content.font == Font() else [["font", list(astuple(content.font))]]
    return json.dumps([*plain_parts(content), *font], ensure_ascii=False)


def plain_parts(content: Content) -> list[object]:
    """A content as the page has it: texts and ["face", id]."""
    return [
        ["face", part.id] if isinstance(part, Face) else getattr(part, "text", part)
        for part in content.parts
    ]


def load_content(parts: object) -> Content:
    """The reverse of `plain_parts` and, when it was parsed, of `dump_content`.

    Raises:
        ValueError: it is not a list of texts and ["face", id].
    """
    if not isinstance(parts, list):
        raise ValueError('content is a list of texts and ["face", id]')
    loaded = [_load_part(part) for part in parts]
    fonts = [part for part in loaded if isinstance(part, Font)]
    return Content.of(
        *(part for part in loaded if not isinstance(part, Font)), font=fonts[0] if fonts else None
    )


def _load_part(part: object) -> str | Face | Font:
    match part:
        case ["font", [str(name), int(size), bool(bold), bool(italic), bool(under), str(color)]]:
            if -(2**63) <= size < 2**63:
                return Font(wire.clean(name), size, bold, italic, under, wire.clean(color))
        case str():
            return wire.clean(part)  # JSON can hold what no text can: half of a pair
        # Any number that the protocol can carry: what was accepted must come out again.
        case ["face", number] if type(number) is int and -(2**63) <= number < 2**63:
            return Face(number)
    raise ValueError('content is a list of texts and ["face", id]')
