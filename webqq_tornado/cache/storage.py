"""Responses in an SQLite file, by key: what is stored, how old it is, and what goes first.

It knows no rules: `exchange` asks them.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import uuid
from collections.abc import Collection, Iterable, Mapping
from email.utils import formatdate
from typing import NamedTuple

import hishel

from ..database import open_database, transaction
from ..engine.framing import unix_time

__all__ = ["Pairs", "Row", "Storage", "lists_of", "value_of"]

_MIGRATIONS = (
    """
    CREATE TABLE digest_key (value BLOB NOT NULL);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL, method TEXT NOT NULL, vary TEXT NOT NULL,
        status INTEGER NOT NULL, reason TEXT NOT NULL, headers TEXT NOT NULL,
        asked REAL NOT NULL, received REAL NOT NULL, used REAL NOT NULL,
        size INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE INDEX entries_by_key ON entries (key);
    CREATE INDEX entries_by_use ON entries (used);
    """,
)
#: Seconds that stand for all more (RFC 9111, 1.2.2), and the last one that a date can say.
_LONGEST, _LAST = 2.0**31, 253_402_300_799.0
#: Seconds between two notes that an entry is in use: each is a write.
_USE_NOTED = 60.0
#: Entries that go at once, the least recently used first.
_EVICTED = 16

Pairs = tuple[tuple[str, str], ...]


class Row(NamedTuple):
    """A stored response without its body."""

    id: int
    method: str
    vary: Mapping[str, str]
    status: int
    reason: str
    headers: Pairs
    asked: float
    received: float
    used: float

    def age(self, now: float) -> float:
        """Seconds since the server has made or confirmed it (RFC 9111, 4.2.3)."""
        date = unix_time(value_of(self.headers, "date")) or self.received
        said = value_of(self.headers, "age")
        upstream = min(float(said), _LONGEST) if said.isascii() and said.isdecimal() else 0.0
        initial = max(0.0, self.received - date, upstream + self.received - self.asked)
        return initial + max(0.0, now - self.received)

    def entry(self, now: float, request: hishel.Request) -> hishel.Entry:
        """Return it for the rules.

        They reckon its age by `Date` alone: this is set to the time at which it would have its
        age, and `Expires` as far from it as it was.
        """
        headers = lists_of(self.headers)
        date = unix_time(value_of(self.headers, "date")) or self.received
        age = self.age(now)
        headers["date"] = [_date(now - age)]
        expires = unix_time(value_of(self.headers, "expires"))
        if expires is not None:
            headers["expires"] = [_date(expires + now - age - date)]
        asked = hishel.Request(self.method, request.url, hishel.Headers(dict(self.vary)))
        stored = hishel.Response(self.status, hishel.Headers(dict(headers)))
        return hishel.Entry(uuid.UUID(int=self.id), asked, stored)


class Storage:
    """The file.

    Args:
        path: of it; ":memory:" keeps nothing.
        max_size: bytes of all responses.
        max_body_size: bytes of a body.

    Raises:
        DatabaseError: it is no such file, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], max_size: int, max_body_size: int) -> None:
        self._max_size, self._max_body_size = max_size, max_body_size
        self._db = open_database(
            path, _MIGRATIONS, role="a cache of responses", remedy="delete it, it is a cache",
            patience=0.5,
        )  # fmt: skip
        with transaction(self._db):
            row = self._db.execute("SELECT value FROM digest_key").fetchone()
            self._key: bytes = row[0] if row else secrets.token_bytes(32)
            if row is None:
                self._db.execute("INSERT INTO digest_key VALUES (?)", (self._key,))
        self.size: int
        (self.size,) = self._db.execute("SELECT coalesce(sum(size), 0) FROM entries").fetchone()

    def __len__(self) -> int:
        count: int = self._db.execute("SELECT count(*) FROM entries").fetchone()[0]
        return count

    def clear(self) -> None:
        """Forget all responses."""
        self._db.execute("DELETE FROM entries")
        self.size = 0

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def digest(self, *parts: str | bytes) -> bytes:
        """Return a keyed digest, of which nobody finds the parts without the file's key."""
        texts = (part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
                 for part in parts)  # fmt: skip
        framed = b"".join(len(text).to_bytes(4, "big") + text for text in texts)
        return hmac.digest(self._key, framed, "sha256")

    def rows(self, key: bytes) -> list[Row]:
        """Return the stored responses under a key."""
        found = self._db.execute(
            "SELECT id, method, vary, status, reason, headers, asked, received, used FROM entries"
            " WHERE key = ?", (key,)
        )  # fmt: skip
        return [
            Row(
                id_,
                method,
                json.loads(vary),
                status,
                reason,
                tuple(map(tuple, json.loads(headers))),
                *times,
            )
            for id_, method, vary, status, reason, headers, *times in found
        ]

    def body(self, row: Row, now: float) -> bytes | None:
        """Return a stored body; None if it is there no more."""
        if now - row.used > _USE_NOTED:
            self._db.execute("UPDATE entries SET used = ? WHERE id = ?", (now, row.id))
        found = self._db.execute("SELECT body FROM entries WHERE id = ?", (row.id,)).fetchone()
        return None if found is None else found[0]

    def remove(self, ids: Iterable[int]) -> None:
        """Forget some responses."""
        for id_ in ids:
            found = self._db.execute("SELECT size FROM entries WHERE id = ?", (id_,)).fetchone()
            if found is not None:
                self._db.execute("DELETE FROM entries WHERE id = ?", (id_,))
                self.size -= found[0]

    def update(self, id_: int, headers: Pairs, asked: float, received: float) -> None:
        """Note what a 304 says of a stored response."""
        self._db.execute(
            "UPDATE entries SET headers = ?, asked = ?, received = ?, used = ? WHERE id = ?",
            (json.dumps(headers), asked, received, received, id_),
        )

    def store(self, key: bytes, row: Row, body: bytes, replaced: Collection[int]) -> None:
        """Keep a response, instead of others."""
        headers, vary = json.dumps(row.headers), json.dumps(row.vary)
        size = len(body) + len(headers) + len(vary) + len(key)
        with transaction(self._db):
            self.remove(replaced)
            if len(body) > self._max_body_size or size > self._max_size:
                return
            self._db.execute(
                "INSERT INTO entries (key, method, vary, status, reason, headers, asked, received,"
                " used, size, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key, row.method, vary, row.status, row.reason, headers, row.asked,
                    row.received, row.used, size, body,
                ),
            )  # fmt: skip
            self.size += size
            while self.size > self._max_size:
                self._evict()

    def _evict(self) -> None:
        oldest = self._db.execute(
            "SELECT id FROM entries ORDER BY used, id LIMIT ?", (_EVICTED,)
        ).fetchall()
        for (id_,) in oldest:
            if self.size > self._max_size:
                self.remove((id_,))


def _pairs(text: str) -> Pairs:
    return tuple((name, value) for name, value in json.loads(text))


def _date(time: float) -> str:
    return formatdate(min(max(0.0, time), _LAST), usegmt=True)


def value_of(pairs: Iterable[tuple[str, str]], name: str) -> str:
    """Return the first value of a header, "" if there is none.

    Args:
        pairs: of names and values.
        name: in lower case.
    """
    return next((value for one, value in pairs if one.lower() == name), "")


def lists_of(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return headers as the rules take them: values by names in lower case.

    Args:
        pairs: of names and values.
    """
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name.lower(), []).append(value)
    return found
