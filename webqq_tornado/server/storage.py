"""Accounts, friendships, groups and messages in one SQLite file.

It is used on the loop's own thread: statements are short, the file is local and in WAL mode, so
that a commit is an append (`synchronous=NORMAL`: a power cut may lose the last moments, a crash
of the process nothing).

Passwords are kept as md5(password), because WebQQ's login proves knowledge of exactly that
(see `protocol.hashes.password_hash`). Whoever reads the file can sign in: it has mode 0600.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from ..protocol import wire
from ..protocol.models import Content, Face

__all__ = [
    "Account",
    "Conversation",
    "GroupRow",
    "Nonce",
    "Storage",
    "StorageError",
    "StoredMessage",
    "Ticket",
]

#: The first QQ number given out: Tencent's own began there, too.
FIRST_NUMBER = 10001
NICK_LENGTH = 24
#: A browser that was away for longer signs in again: 30 days.
PAGE_SESSION_SECONDS = 30 * 86400
#: The same for a client of the protocol, by its cookie ptwebqq.
TICKET_SECONDS = 30 * 86400

#: One step a version; `user_version` in the file says how many were taken.
_MIGRATIONS = (
    """
    CREATE TABLE account (
        number INTEGER PRIMARY KEY, nick TEXT NOT NULL, password BLOB NOT NULL,
        lnick TEXT NOT NULL DEFAULT '', created INTEGER NOT NULL);
    CREATE TABLE friend (
        owner INTEGER NOT NULL REFERENCES account, friend INTEGER NOT NULL REFERENCES account,
        category INTEGER NOT NULL DEFAULT 0, mark TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (owner, friend)) WITHOUT ROWID;
    CREATE TABLE room (
        number INTEGER PRIMARY KEY, name TEXT NOT NULL,
        owner INTEGER NOT NULL REFERENCES account, created INTEGER NOT NULL);
    CREATE TABLE member (
        room INTEGER NOT NULL REFERENCES room, account INTEGER NOT NULL REFERENCES account,
        card TEXT NOT NULL DEFAULT '', PRIMARY KEY (room, account)) WITHOUT ROWID;
    CREATE TABLE message (
        id INTEGER PRIMARY KEY AUTOINCREMENT, sender INTEGER NOT NULL, kind TEXT NOT NULL,
        target INTEGER NOT NULL, content TEXT NOT NULL, time INTEGER NOT NULL, nonce TEXT,
        UNIQUE (sender, nonce));
    CREATE INDEX message_to ON message (kind, target, id);
    CREATE INDEX message_from ON message (kind, sender, id);
    CREATE TABLE undelivered (
        account INTEGER NOT NULL, message INTEGER NOT NULL REFERENCES message,
        PRIMARY KEY (account, message)) WITHOUT ROWID;
    CREATE TABLE seen (
        account INTEGER NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL,
        message INTEGER NOT NULL, PRIMARY KEY (account, kind, number)) WITHOUT ROWID;
    CREATE TABLE page_session (
        token BLOB PRIMARY KEY, account INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE ticket (
        ptwebqq BLOB PRIMARY KEY, account INTEGER NOT NULL, dialect TEXT NOT NULL,
        used INTEGER NOT NULL) WITHOUT ROWID;
    """,
)


class StorageError(Exception):
    """The file can not be used; the message says which, why, and what to do."""


class Account(NamedTuple):
    """A person. `password` is md5 of it."""

    number: int
    nick: str
    password: bytes
    lnick: str = ""


class Ticket(NamedTuple):
    """A login that was granted; its cookie ptwebqq proves it until the client logs out.

    Args:
        account: QQ number.
        dialect: "webqq3" or "smartqq".
    """

    account: int
    dialect: str


class GroupRow(NamedTuple):
    """A group, without its members."""

    number: int
    name: str
    owner: int
    created: int


class Conversation(NamedTuple):
    """What an account sees as one thread: with a friend, or in a group.

    Args:
        kind: "friend" or "group".
        number: of the friend or the group.
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
    """A message as it was accepted. `id` increases."""

    id: int
    sender: int
    kind: str
    target: int
    content: Content
    time: int

    def conversation_for(self, account: int) -> Conversation:
        """The thread it belongs to in the eyes of an account."""
        if self.kind == "group" or self.sender == account:
            return Conversation(self.kind, self.target)
        return Conversation(self.kind, self.sender)


class Storage:
    """The server's memory.

    Args:
        path: the database file; made with its folder if it is not there. ":memory:" keeps
            nothing.

    Raises:
        StorageError: it is no such database, of a newer version, or can not be written.

    Example:
        >>> storage = Storage(":memory:")
        >>> ann = storage.create_account("Ann", "secret")
        >>> ann.number
        10001
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            if str(path) != ":memory:":
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"{path}: can not be used as the server's database ({error}); "
                "name another state directory, or move the file away"
            ) from error

    def _open(self) -> None:
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._migrate()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StorageError(
                f"{self.path}: written by a newer version of webqq_tornado (schema {version}); "
                "upgrade, or name another state directory"
            )
        for number, script in enumerate(_MIGRATIONS[version:], version + 1):
            self._db.executescript(f"BEGIN; {script} PRAGMA user_version={number}; COMMIT;")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- accounts ---------------------------------------------------------------------------

    def create_account(self, nick: str, password: str, number: int | None = None) -> Account:
        """A new account.

        Args:
            nick: 1 to 24 characters.
            password: not empty.
            number: QQ number; by default the next free one.

        Raises:
            ValueError: an argument is out of range, or the number is taken.
        """
        nick = _checked_name(nick, "nick")
        if not password:
            raise ValueError("a password is needed")
        if number is None:
            row = self._db.execute("SELECT max(number) FROM account").fetchone()
            number = max(FIRST_NUMBER, (row[0] or 0) + 1)
        digest = hashlib.md5(password.encode()).digest()
        try:
            self._db.execute(
                "INSERT INTO account (number, nick, password, created) VALUES (?, ?, ?, ?)",
                (number, nick, digest, int(time.time())),
            )
        except sqlite3.IntegrityError:
            raise ValueError(f"account {number} exists already") from None
        return Account(number, nick, digest)

    def account(self, number: int) -> Account | None:
        """The account with this QQ number."""
        if not 0 < number < 2**63:
            return None
        row = self._db.execute(
            "SELECT number, nick, password, lnick FROM account WHERE number = ?", (number,)
        ).fetchone()
        return Account(*row) if row else None

    def accounts(self) -> list[Account]:
        """All accounts."""
        rows = self._db.execute("SELECT number, nick, password, lnick FROM account")
        return [Account(*row) for row in rows]

    # -- page sessions: a restart of the server signs nobody out -----------------------------

    def add_page_session(self, token: str, account: int) -> None:
        """A browser has signed in. Only a digest of its token is kept."""
        now = int(time.time())
        self._db.execute("DELETE FROM page_session WHERE used < ?", (now - PAGE_SESSION_SECONDS,))
        self._db.execute(
            "INSERT INTO page_session VALUES (?, ?, ?)", (_digest(token), account, now)
        )

    def page_account(self, token: str) -> int | None:
        """Whose browser this is; using it keeps the session alive."""
        now, digest = int(time.time()), _digest(token)
        row = self._db.execute(
            "SELECT account, used FROM page_session WHERE token = ? AND used >= ?",
            (digest, now - PAGE_SESSION_SECONDS),
        ).fetchone()
        if row is None:
            return None
        if row[1] < now - 3600:  # not a write for each request
            self._db.execute("UPDATE page_session SET used = ? WHERE token = ?", (now, digest))
        return int(row[0])

    def remove_page_session(self, token: str) -> None:
        """The browser has signed out."""
        self._db.execute("DELETE FROM page_session WHERE token = ?", (_digest(token),))

    # -- tickets: after a restart of the server clients go on by their cookies ----------------

    def add_ticket(self, ptwebqq: str, ticket: Ticket) -> None:
        """A login was granted. Only a digest of the cookie is kept."""
        now = int(time.time())
        self._db.execute("DELETE FROM ticket WHERE used < ?", (now - TICKET_SECONDS,))
        self._db.execute("INSERT INTO ticket VALUES (?, ?, ?, ?)", (_digest(ptwebqq), *ticket, now))

    def ticket(self, ptwebqq: str) -> Ticket | None:
        """The login that a cookie proves; using it keeps it alive."""
        now, digest = int(time.time()), _digest(ptwebqq)
        row = self._db.execute(
            "SELECT account, dialect FROM ticket WHERE ptwebqq = ? AND used >= ?",
            (digest, now - TICKET_SECONDS),
        ).fetchone()
        if row is None:
            return None
        self._db.execute("UPDATE ticket SET used = ? WHERE ptwebqq = ?", (now, digest))
        return Ticket(*row)

    def remove_ticket(self, ptwebqq: str) -> None:
        """The client has logged out."""
        self._db.execute("DELETE FROM ticket WHERE ptwebqq = ?", (_digest(ptwebqq),))

    # -- friends and groups -----------------------------------------------------------------

    def befriend(self, one: int, other: int) -> bool:
        """Make two accounts friends; False if they are already.

        Raises:
            ValueError: they are the same, or one does not exist.
        """
        if one == other:
            raise ValueError("nobody is their own friend")
        for number in (one, other):
            if self.account(number) is None:
                raise ValueError(f"there is no account {number}")
        made = self._db.execute(
            "INSERT OR IGNORE INTO friend (owner, friend) VALUES (?, ?), (?, ?)",
            (one, other, other, one),
        )
        return made.rowcount > 0

    def friends(self, account: int) -> list[Account]:
        """The friends of an account, by number."""
        rows = self._db.execute(
            "SELECT number, nick, password, lnick FROM friend JOIN account ON number = friend "
            "WHERE owner = ? ORDER BY number",
            (account,),
        )
        return [Account(*row) for row in rows]

    def are_friends(self, one: int, other: int) -> bool:
        """Whether the two know each other."""
        found = self._db.execute(
            "SELECT 1 FROM friend WHERE owner = ? AND friend = ?", (one, other)
        ).fetchone()
        return found is not None

    def create_group(self, name: str, owner: int, members: Iterable[int] = ()) -> GroupRow:
        """A new group; its owner is a member.

        Raises:
            ValueError: a member does not exist, or the name is not 1 to 24 characters.
        """
        name = _checked_name(name, "group's name")
        everyone = dict.fromkeys((owner, *members))
        for number in everyone:
            if self.account(number) is None:
                raise ValueError(f"there is no account {number}")
        created = int(time.time())
        with self._transaction():
            row = self._db.execute("SELECT max(number) FROM room").fetchone()
            number = max(20000, row[0] or 0) + 1
            self._db.execute("INSERT INTO room VALUES (?, ?, ?, ?)", (number, name, owner, created))
            self._db.executemany(
                "INSERT INTO member (room, account) VALUES (?, ?)",
                [(number, member) for member in everyone],
            )
        return GroupRow(number, name, owner, created)

    def group(self, number: int) -> GroupRow | None:
        """The group with this number."""
        if not 0 < number < 2**63:
            return None
        row = self._db.execute(
            "SELECT number, name, owner, created FROM room WHERE number = ?", (number,)
        ).fetchone()
        return GroupRow(*row) if row else None

    def groups(self, account: int) -> list[GroupRow]:
        """The groups an account is in, by number."""
        rows = self._db.execute(
            "SELECT number, name, owner, created FROM member JOIN room ON number = room "
            "WHERE account = ? ORDER BY number",
            (account,),
        )
        return [GroupRow(*row) for row in rows]

    def members(self, group: int) -> list[tuple[Account, str]]:
        """The members of a group with their cards, by number."""
        rows = self._db.execute(
            "SELECT number, nick, password, lnick, card FROM member JOIN account "
            "ON number = account WHERE room = ? ORDER BY number",
            (group,),
        )
        return [(Account(*row[:4]), row[4]) for row in rows]

    def is_member(self, group: int, account: int) -> bool:
        """Whether the account is in the group."""
        found = self._db.execute(
            "SELECT 1 FROM member WHERE room = ? AND account = ?", (group, account)
        ).fetchone()
        return found is not None

    # -- messages ---------------------------------------------------------------------------

    def add_message(
        self,
        sender: int,
        conversation: Conversation,
        content: Content,
        recipients: Iterable[int],
        nonce: Nonce | None = None,
    ) -> tuple[StoredMessage, bool]:
        """Accept a message, and remember for whom it is still to be delivered.

        Args:
            sender: account.
            conversation: as the sender sees it.
            content: what.
            recipients: accounts that are to get it by poll.
            nonce: the sender's own mark: the same one again is the same message.

        Returns:
            The message, and whether it is new.
        """
        now = int(time.time())
        known = self._by_nonce(sender, nonce) if nonce else None
        if known is not None and known.time >= now - (nonce.seconds if nonce else 0):
            return known, False
        mark = nonce.mark if nonce else None
        values = (sender, *conversation, dump_content(content), now, mark)
        with self._transaction():
            if known is not None:
                self._db.execute("UPDATE message SET nonce = NULL WHERE id = ?", (known.id,))
            number = self._db.execute(
                "INSERT INTO message (sender, kind, target, content, time, nonce) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
            self._db.executemany(
                "INSERT INTO undelivered VALUES (?, ?)",
                [(recipient, number) for recipient in recipients],
            )
        return StoredMessage(number or 0, sender, *conversation, content, values[4]), True

    def undelivered(self, account: int, limit: int = 50) -> list[StoredMessage]:
        """The oldest messages that the account has not got by poll."""
        rows = self._db.execute(
            f"SELECT {_MESSAGE} FROM undelivered JOIN message ON id = message "
            "WHERE account = ? ORDER BY id LIMIT ?",
            (account, limit),
        )
        return list(map(_message, rows))

    def mark_delivered(self, account: int, messages: Iterable[int]) -> None:
        """The account has got these by poll."""
        with self._transaction():
            self._db.executemany(
                "DELETE FROM undelivered WHERE account = ? AND message = ?",
                [(account, message) for message in messages],
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
_MESSAGE = "id, sender, kind, target, content, time"


def _thread(account: int, conversation: Conversation) -> tuple[str, tuple[object, ...]]:
    """The messages of a thread, as a condition."""
    kind, number = conversation
    if kind == "group":
        return "kind = 'group' AND target = ?", (number,)
    return (
        "kind = 'friend' AND ((target = ? AND sender = ?) OR (target = ? AND sender = ?))",
        (account, number, number, account),
    )


def _message(row: tuple[int, int, str, int, str, int]) -> StoredMessage:
    number, sender, kind, target, content, when = row
    return StoredMessage(number, sender, kind, target, load_content(json.loads(content)), when)


def dump_content(content: Content) -> str:
    """A content as JSON: texts and ["face", id]; of pictures, what stands for them."""
    return json.dumps(plain_parts(content), ensure_ascii=False)


def plain_parts(content: Content) -> list[object]:
    """A content as the page has it: texts and ["face", id]."""
    return [
        ["face", part.id] if isinstance(part, Face) else getattr(part, "text", part)
        for part in content.parts
    ]


def load_content(parts: object) -> Content:
    """The reverse of `plain_parts`.

    Raises:
        ValueError: it is not a list of texts and ["face", id].
    """
    if not isinstance(parts, list):
        raise ValueError('content is a list of texts and ["face", id]')
    return Content.of(*map(_load_part, parts))


def _load_part(part: object) -> str | Face:
    match part:
        case str():
            return wire.clean(part)  # JSON can hold what no text can: half of a pair
        case ["face", int(number)] if 0 <= number < 1000:
            return Face(number)
    raise ValueError('content is a list of texts and ["face", id]')


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _checked_name(name: str, what: str) -> str:
    name = " ".join(name.split())
    if not 0 < len(name) <= NICK_LENGTH or not name.isprintable():
        raise ValueError(f"a {what} has 1 to {NICK_LENGTH} characters")
    return name
