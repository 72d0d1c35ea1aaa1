"""Message history: stored, searched and exported."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..database import INDEXED, index_words, words_query
from ..protocol import wire
from ..protocol.content import dump_content, parse_dumped
from ..protocol.models.content import Content
from .address import Kind
from .contacts import comparable, number_in

__all__ = ["Entry", "History", "dumped"]

#: Entries that an export holds in memory.
_PAGE = 500

_COLUMNS = """
    history.id, history.account, party.kind, party.number, party.name, history.sender,
    history.sender_number, history.is_own, history.time, history.text, history.content"""
_FROM = "FROM history JOIN party ON party.id = history.party"


class Entry(NamedTuple):
    """One message, in or out.

    Args:
        id: its place in the history.
        account: whose history.
        kind: of the conversation.
        number: of the friend, stranger or group; 0 if not known.
        name: present name of the conversation.
        sender: name of the author at that time.
        sender_number: QQ number of the author; 0 if not known.
        is_own: whether the account itself wrote it, here or on another device.
        time: Unix time in seconds.
        content: of the message.

    Example:
        >>> for entry in store.history(10001, with_="Ann", limit=20):
        ...     print(entry.sender, entry.text)
    """

    id: int
    account: int
    kind: Kind
    number: int
    name: str
    sender: str
    sender_number: int
    is_own: bool
    time: float
    content: Content

    @property
    def text(self) -> str:
        """The plain text, faces as their names in brackets."""
        return self.content.text

    def as_json(self) -> dict[str, Any]:
        """The entry as values for `json.dumps`; `content` is the list that a client sends."""
        return {
            "id": self.id,
            "account": self.account,
            "kind": self.kind.value,
            "number": self.number,
            "name": self.name,
            "sender": self.sender,
            "sender_number": self.sender_number,
            "is_own": self.is_own,
            "time": self.time,
            "text": self.text,
            "content": wire.load(dumped(self.content)),
        }


class History:
    """The tables `history` and `history_index` of a store.

    Args:
        db: with the table `history` and the table `party` that it refers to.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.is_indexed = self._have_index()

    def _have_index(self) -> bool:
        """Make or complete the index; False where this SQLite cannot."""
        indexed = index_words(self._db, "history_index", "content='history', content_rowid='id'")
        if indexed is None:
            return False
        (last,) = self._db.execute("SELECT ifnull(max(id), 0) FROM history").fetchone()
        if indexed != last:  # an SQLite without FTS5 was here
            self._db.execute("INSERT INTO history_index (history_index) VALUES ('rebuild')")
        return True

    def add(self, entry: Entry, party: int) -> None:
        """Add an entry; the store picks its id.

        Args:
            entry: its `id`, `kind`, `number` and `name` are ignored.
            party: the conversation's row.
        """
        cursor = self._db.execute(
            "INSERT INTO history (account, party, sender, sender_number, is_own, time, text,"
            " content) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.account,
                party,
                wire.clean(entry.sender),
                entry.sender_number if abs(entry.sender_number) < 2**63 else 0,
                entry.is_own,
                entry.time,
                wire.clean(entry.text),
                dumped(entry.content),
            ),
        )
        if self.is_indexed:
            self._db.execute(
                "INSERT INTO history_index (rowid, text) VALUES (?, ?)",
                (cursor.lastrowid, wire.clean(entry.text)),
            )

    def find(
        self,
        account: int | None,
        with_: str | int | None,
        search: str,
        *,
        before: int | None,
        since: float | None,
        limit: int,
    ) -> list[Entry]:
        """The latest entries, oldest first. See `Store.history`."""
        conditions = self._conditions(account, with_, search, since)
        if before is not None:
            conditions.append(("history.id < ?", [before]))
        return self._select(conditions, "DESC", limit)[::-1]

    def each(
        self, account: int | None, with_: str | int | None, search: str, since: float | None
    ) -> Iterator[Entry]:
        """All entries, oldest first, a page at a time. See `Store.export`."""
        conditions = self._conditions(account, with_, search, since)
        last = 0
        while page := self._select([*conditions, ("history.id > ?", [last])], "ASC", _PAGE):
            yield from page
            last = page[-1].id

    def _select(
        self, conditions: list[tuple[str, list[Any]]], order: str, limit: int
    ) -> list[Entry]:
        where = " AND ".join(condition for condition, _ in conditions) or "1"
        values = [value for _, given in conditions for value in given]
        rows = self._db.execute(
            f"SELECT {_COLUMNS} {_FROM} WHERE {where} ORDER BY history.id {order} LIMIT ?",
            (*values, limit),
        )
        return [_entry(*row) for row in rows]

    def _conditions(
        self, account: int | None, with_: str | int | None, search: str, since: float | None
    ) -> list[tuple[str, list[Any]]]:
        conditions: list[tuple[str, list[Any]]] = []
        if since is not None:
            conditions.append(("history.time >= ?", [since]))
        if account is not None:
            conditions.append(("history.account = ?", [account]))
        if with_ is not None:
            parties = self._parties(account, str(with_))
            conditions.append((f"history.party IN ({','.join('?' * len(parties))})", parties))
        words = search.split()
        indexed = [word for word in words if self.is_indexed and len(word) >= INDEXED]
        if indexed:
            found = "SELECT rowid FROM history_index WHERE history_index MATCH ?"
            conditions.append((f"history.id IN ({found})", [words_query(indexed)]))
        conditions += [
            ("history.text LIKE ? ESCAPE '\\'", [_pattern(word)])
            for word in words
            if word not in indexed
        ]
        return conditions

    def _parties(self, account: int | None, wanted: str) -> list[int]:
        """Rows of parties with this number, else this name, else with it in their names."""
        condition, values = ("1", []) if account is None else ("account = ?", [account])
        rows = self._db.execute(
            f"SELECT id, number, name FROM party WHERE {condition}", values
        ).fetchall()
        sought, sought_number = comparable(wanted), number_in(wanted)
        names = [(id_, comparable(_text(name))) for id_, _, name in rows]
        return (
            [id_ for id_, number, _ in rows if number and number == sought_number]
            or [id_ for id_, name in names if name == sought]
            or [id_ for id_, name in names if sought in name]
        )


def _pattern(word: str) -> str:
    for special in "\\%_":
        word = word.replace(special, f"\\{special}")
    return f"%{word}%"


def _entry(id_: int, account: int, kind: str, number: int, name: str, *rest: Any) -> Entry:
    """Read an entry from a row; a damaged row does not hide the others."""
    sender, sender_number, is_own, time, text, content = rest
    known, number = _KINDS.get(kind, Kind.STRANGER), _number(number)
    if known in _OF_TWO and not is_own:  # the number is looked up after the first message
        sender_number = sender_number or number
    return Entry(
        *(id_, _number(account), known, number, _text(name)),
        *(_text(sender), _number(sender_number)),
        is_own=bool(is_own),
        time=time if isinstance(time, (int, float)) and 0 <= time < _LAST else 0.0,
        content=_loaded(content, _text(text)),
    )


_KINDS = {kind.value: kind for kind in Kind}
_OF_TWO = frozenset({Kind.FRIEND, Kind.STRANGER})
#: Unix time of the end of the year 9999.
_LAST = 253_402_300_799


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def dumped(content: Content) -> str:
    """A content as JSON.

    An unknown part may be nested so deeply that it can be read but not written; its plain text
    replaces it then.
    """
    try:
        return dump_content(content)
    except RecursionError:
        return dump_content(Content.of(content.text, font=content.font))


def _loaded(content: str, text: str) -> Content:
    try:
        return parse_dumped(content)
    except (RecursionError, ValueError, TypeError):
        return Content.of(text)


def as_line(entry: Entry) -> str:
    """An entry as one line of JSON."""
    return wire.dump_for_people(entry.as_json())
