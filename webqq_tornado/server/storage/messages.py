"""Messages: accepted, not delivered yet, read, lately written with."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import Any

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
        rows = [
            row
            for where in _halves(account, conversation)
            for row in self._latest(*where, before, limit + 1)
        ]
        rows = sorted(rows, reverse=True)[: limit + 1]
        return [_message(row) for row in reversed(rows[:limit])], len(rows) > limit

    def _latest(self, where: str, values: tuple[object, ...], before: int, limit: int) -> list[Any]:
        return self._db.execute(
            f"SELECT {_MESSAGE} FROM message WHERE {where} AND id < ? ORDER BY id DESC LIMIT ?",
            (*values, before, limit),
        ).fetchall()

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
        """How many messages there are of a sender to a target, and the id of the newest."""
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
        """Who one has a temporary session with: (number, room that brought them together)."""
        rows = self._db.execute(_STRANGERS, {"account": account})
        return [(number, origin) for number, origin, _ in rows]

    def session_origin(self, one: int, other: int) -> int:
        """The room that brought the two together when they last wrote; 0 if they never did."""
        newest = self.newest(one, Conversation("session", other))
        return newest.origin if newest else 0

    def mark_seen(self, account: int, conversation: Conversation, message: int) -> None:
        """The account has read the thread up to this message, on the page.

        What there is no message of yet can not be read: a higher number is that of the newest.
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
        """How many messages of others are unread in a thread; kept, not counted."""
        return self._of_others(account, conversation) - self._seen(account, conversation)[1]

    def _seen(self, account: int, conversation: Conversation) -> tuple[int, int]:
        """Up to which message a thread was read, and how many of others these were."""
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
    "CASE origin WHEN 0 THEN '' ELSE (SELECT room.kind FROM room WHERE number = origin) END"
)

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
