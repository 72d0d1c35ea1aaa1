"""The file and its schema; see `webqq_tornado.database` for how it is kept."""

from __future__ import annotations

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterable

from ...database import DatabaseError, open_database

__all__ = ["StorageError", "check_accounts", "checked_name", "open_storage", "room_kind"]

NICK_LENGTH = 24
#: A zero-width joiner or non-joiner between two characters.
_JOINERS = re.compile(r"(?<=[^\s\u200c\u200d])[\u200c\u200d](?=[^\s\u200c\u200d])")
#: Blank, though they count as letters, marks and symbols: fillers of Hangul, vowels of Khmer that
#: nobody sees, Braille without dots, an empty note head.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159]")
#: Seconds that everybody waits when another program locks the file. Messages are tried again for
#: longer, while the others go on, see `server.messages`.
_PATIENCE = 0.1

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
    """
    ALTER TABLE account ADD COLUMN face INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN vip_level INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN allow INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN profile TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE heading (
        owner INTEGER NOT NULL REFERENCES account, number INTEGER NOT NULL, name TEXT NOT NULL,
        PRIMARY KEY (owner, number)) WITHOUT ROWID;
    CREATE TABLE request (
        asked INTEGER NOT NULL REFERENCES account, asker INTEGER NOT NULL REFERENCES account,
        text TEXT NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (asked, asker)) WITHOUT ROWID;
    ALTER TABLE room ADD COLUMN kind TEXT NOT NULL DEFAULT 'group';
    ALTER TABLE room ADD COLUMN memo TEXT NOT NULL DEFAULT '';
    ALTER TABLE member ADD COLUMN mark TEXT NOT NULL DEFAULT '';
    ALTER TABLE member ADD COLUMN mask INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE member ADD COLUMN is_admin INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE member ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX member_of ON member (account);
    ALTER TABLE message ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE session (
        account INTEGER PRIMARY KEY, psessionid TEXT NOT NULL UNIQUE,
        vfwebqq TEXT NOT NULL UNIQUE, ptwebqq TEXT NOT NULL UNIQUE, dialect TEXT NOT NULL,
        status TEXT NOT NULL, seed BLOB NOT NULL);
    """,
    """
    CREATE TABLE known_place (
        account INTEGER NOT NULL REFERENCES account, place BLOB NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (account, place));
    CREATE INDEX known_place_of ON known_place (place);
    DELETE FROM page_session; -- of cookies, which all ports of the host have seen
    """,
    """
    -- How many messages there are of whom to whom, and the newest; sender 0: of all, to a room.
    CREATE TABLE thread (
        kind TEXT NOT NULL, target INTEGER NOT NULL, sender INTEGER NOT NULL,
        messages INTEGER NOT NULL, newest INTEGER NOT NULL,
        PRIMARY KEY (kind, target, sender)) WITHOUT ROWID;
    CREATE INDEX thread_from ON thread (sender, kind);
    INSERT INTO thread
        SELECT kind, target, sender, count(*), max(id) FROM message GROUP BY kind, target, sender;
    INSERT INTO thread
        SELECT kind, target, 0, count(*), max(id) FROM message
        WHERE kind IN ('group', 'discussion') GROUP BY kind, target;
    CREATE TRIGGER message_counted AFTER INSERT ON message BEGIN
        INSERT INTO thread VALUES (new.kind, new.target, new.sender, 1, new.id)
            ON CONFLICT DO UPDATE SET messages = messages + 1, newest = excluded.newest;
        INSERT INTO thread SELECT new.kind, new.target, 0, 1, new.id
            WHERE new.kind IN ('group', 'discussion')
            ON CONFLICT DO UPDATE SET messages = messages + 1, newest = excluded.newest;
    END;
    ALTER TABLE seen ADD COLUMN others INTEGER NOT NULL DEFAULT 0;
    UPDATE seen SET others = CASE WHEN kind IN ('group', 'discussion')
        THEN (SELECT count(*) FROM message WHERE message.kind = seen.kind AND
              target = seen.number AND sender != seen.account AND id <= seen.message)
        ELSE (SELECT count(*) FROM message WHERE message.kind = seen.kind AND
              target = seen.account AND sender = seen.number AND id <= seen.message) END;
    CREATE INDEX message_between ON message (kind, target, sender, id);
    DROP INDEX message_from;
    """,
    """
    CREATE TABLE local_account (
        part TEXT PRIMARY KEY, account INTEGER NOT NULL REFERENCES account) WITHOUT ROWID;
    """,
    """
    ALTER TABLE message ADD COLUMN recalled INTEGER NOT NULL DEFAULT 0; -- by whom
    ALTER TABLE member ADD COLUMN title TEXT NOT NULL DEFAULT '';
    ALTER TABLE member ADD COLUMN banned_until INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE room ADD COLUMN is_silenced INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE essence (
        message INTEGER PRIMARY KEY REFERENCES message, room INTEGER NOT NULL,
        operator INTEGER NOT NULL, time INTEGER NOT NULL);
    CREATE INDEX essence_of ON essence (room);
    CREATE TABLE notice (
        id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, sender INTEGER NOT NULL,
        time INTEGER NOT NULL, text TEXT NOT NULL, image TEXT NOT NULL DEFAULT '');
    CREATE INDEX notice_of ON notice (room);
    -- Who asks to join a room (asker = account), or is invited to it by a member.
    CREATE TABLE room_request (
        id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL REFERENCES room,
        account INTEGER NOT NULL REFERENCES account, asker INTEGER NOT NULL REFERENCES account,
        text TEXT NOT NULL, time INTEGER NOT NULL, UNIQUE (room, account, asker));
    -- Who was taken out of a room for good.
    CREATE TABLE unwanted (
        room INTEGER NOT NULL, account INTEGER NOT NULL,
        PRIMARY KEY (room, account)) WITHOUT ROWID;
    CREATE TABLE liked (
        liker INTEGER NOT NULL, account INTEGER NOT NULL, day INTEGER NOT NULL,
        times INTEGER NOT NULL, PRIMARY KEY (liker, account)) WITHOUT ROWID;
    CREATE TABLE reaction (
        message INTEGER NOT NULL REFERENCES message, emoji TEXT NOT NULL,
        account INTEGER NOT NULL, PRIMARY KEY (message, emoji, account)) WITHOUT ROWID;
    CREATE TABLE forward (id TEXT PRIMARY KEY, nodes TEXT NOT NULL, time INTEGER NOT NULL);
    CREATE TABLE file (
        name TEXT PRIMARY KEY, type TEXT NOT NULL, size INTEGER NOT NULL,
        width INTEGER NOT NULL, height INTEGER NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE room_folder (
        id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL, name TEXT NOT NULL,
        creator INTEGER NOT NULL, time INTEGER NOT NULL, UNIQUE (room, name));
    CREATE TABLE room_file (
        id INTEGER PRIMARY KEY AUTOINCREMENT, room INTEGER NOT NULL,
        folder INTEGER NOT NULL DEFAULT 0, name TEXT NOT NULL, file TEXT NOT NULL,
        uploader INTEGER NOT NULL, time INTEGER NOT NULL);
    CREATE INDEX room_file_of ON room_file (room, folder);
    CREATE TABLE onebot_account (account INTEGER PRIMARY KEY, settings TEXT NOT NULL);
    -- Events still to be reported to applications: a message, or another event as JSON.
    CREATE TABLE onebot_event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL,
        message INTEGER, body TEXT, time INTEGER NOT NULL);
    CREATE INDEX onebot_event_of ON onebot_event (account, id);
    CREATE TABLE onebot_cursor (
        account INTEGER NOT NULL, target TEXT NOT NULL, event INTEGER NOT NULL,
        PRIMARY KEY (account, target)) WITHOUT ROWID;
    """,
)


class StorageError(Exception):
    """The file cannot be used; the message says which, why, and what to do."""


def open_storage(path: str | os.PathLike[str]) -> sqlite3.Connection:
    """Open the server's database file, and bring its schema up to date.

    Args:
        path: the database file; made with its folder if it is not there. ":memory:" keeps
            nothing.

    Raises:
        StorageError: it is no such database, of a newer version, or cannot be written.
    """
    try:
        return open_database(
            path,
            _MIGRATIONS,
            role="the server's database",
            remedy="name another state directory",
            patience=_PATIENCE,
        )
    except DatabaseError as error:
        raise StorageError(str(error)) from error


def check_accounts(db: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Check that accounts exist.

    Raises:
        ValueError: one does not.
    """
    for number in numbers:
        is_number = 0 < number < 2**63
        if not is_number or not db.execute(_HAS_ACCOUNT, (number,)).fetchone():
            raise ValueError(f"there is no account {number}")


_HAS_ACCOUNT = "SELECT 1 FROM account WHERE number = ?"


def room_kind(db: sqlite3.Connection, number: int) -> str:
    """Kind of a room: "group" or "discussion"; empty if there is no such room."""
    row = db.execute("SELECT kind FROM room WHERE number = ?", (number,)).fetchone()
    return str(row[0]) if row else ""


def checked_name(name: str, what: str, longest: int = NICK_LENGTH, shortest: int = 1) -> str:
    """A name with single spaces.

    What joins is allowed where it joins something: it makes one family of several emoji, and
    spells words of Persian and of Hindi. An accent goes on a letter of the name, never on what
    stands in front of it.

    Raises:
        ValueError: it is too short, too long, or has characters that cannot be shown.
    """
    name = " ".join(name.split())
    if not _JOINERS.sub("", name).isprintable() or _BLANK.search(name):
        raise ValueError(f"a {what} has no invisible characters")
    if unicodedata.category(name[:1] or "-").startswith("M"):
        raise ValueError(f"a {what} begins with a letter, digit or sign, not with an accent")
    if not shortest <= len(name) <= longest:
        raise ValueError(f"a {what} has {shortest} to {longest} characters")
    return name
