"""`Store`: outbox, history and other records of any number of accounts in one SQLite file.

- *outbox*: messages that were accepted and have not been delivered yet. Each is sent
  under its own numbers (clientid, msg_id), by which a server recognizes a repetition.
- *history*: every message in and out.
- *seen*: marks of received messages, so that none is delivered twice.
- *unhandled*: received messages not acknowledged yet, see `webqq_tornado.bot.bot`.
- *party*: the contacts of an account; the cache of QQ numbers is in it.
- *values*: of plugins. *session*: of an account, to be resumed without a login.

A reader of the file can resume the sessions in it: it has mode 0600.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..database import DatabaseError, open_database, transaction
from ..files import reason
from ..lockfile import Locked, LockFile
from ..protocol import wire
from ..protocol.content import dump_content, parse_dumped
from ..protocol.models.content import Content
from .address import Address, Kind
from .history import Entry, History, as_line
from .unhandled import Unhandled

__all__ = ["OutgoingMessage", "Store", "StoreError"]

#: Number of marks kept of an account's latest messages. A server repeats only its last answer, a
#: page of messages at most.
REMEMBERED = 10_000

_MIGRATIONS = (
    """
    CREATE TABLE account (
        number INTEGER PRIMARY KEY, clientid INTEGER NOT NULL, message_id INTEGER NOT NULL,
        session TEXT);
    CREATE TABLE party (
        id INTEGER PRIMARY KEY, account INTEGER NOT NULL, kind TEXT NOT NULL,
        number INTEGER NOT NULL, name TEXT NOT NULL, uin INTEGER NOT NULL,
        session TEXT NOT NULL, is_unique INTEGER NOT NULL, origin INTEGER REFERENCES party);
    CREATE UNIQUE INDEX party_number ON party (account, kind, number) WHERE number > 0;
    CREATE INDEX party_uin ON party (account, kind, session, uin);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL,
        party INTEGER NOT NULL REFERENCES party, clientid INTEGER NOT NULL,
        message_id INTEGER NOT NULL, content TEXT NOT NULL, whole INTEGER NOT NULL,
        time REAL NOT NULL);
    CREATE INDEX outbox_of ON outbox (account, id);
    CREATE TABLE history (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL,
        party INTEGER NOT NULL REFERENCES party, sender TEXT NOT NULL,
        sender_number INTEGER NOT NULL, is_own INTEGER NOT NULL, time REAL NOT NULL,
        text TEXT NOT NULL, content TEXT NOT NULL);
    CREATE INDEX history_of ON history (account, id);
    CREATE INDEX history_with ON history (party, id);
    CREATE TABLE seen (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL, mark BLOB NOT NULL,
        UNIQUE (account, mark));
    CREATE TABLE value (
        namespace TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (namespace, key)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE unhandled (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account INTEGER NOT NULL, mark BLOB NOT NULL,
        party INTEGER NOT NULL REFERENCES party, message TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0, UNIQUE (account, mark));
    """,
)

#: Columns that refer to a row of *party*.
_REFERENCES = (
    *(("outbox", "party"), ("history", "party"), ("unhandled", "party"), ("party", "origin")),
)


logger = logging.getLogger("webqq_tornado.webqq")

#: Exceptions for damaged values.
_DAMAGE = (ValueError, TypeError, RecursionError)
#: Remedy if the file cannot be used.
_REMEDY = "name another file"


class StoreError(Exception):
    """The file cannot be used; the message says which, why, and what to do."""


class OutgoingMessage(NamedTuple):
    """A message in the outbox; a long content is several messages.

    Args:
        id: its row, in the order of acceptance.
        address: of the recipient.
        clientid: with `message_id`, identifies the message for the server.
        message_id: see `clientid`.
        content: of this piece.
        whole: id of the first piece of the content.
        time: of acceptance, Unix time in seconds.

    Example:
        >>> [message.content.text for message in store.outbox(10001)]
        ['not yet sent']
    """

    id: int
    address: Address
    clientid: int
    message_id: int
    content: Content
    whole: int
    time: float


class Store:
    """Records of clients in one file, which several clients of a process may share.

    Args:
        path: the file, created with its folder if it is missing. ":memory:" keeps nothing.

    Raises:
        StoreError: it is not a store, of a newer version, or cannot be written.

    Example:
        >>> with Store("bot.db") as store:
        ...     client = Client(stream, 10001, "secret", endpoints, store=store)
        ...     for entry in store.history(10001, with_="Ann", limit=20):
        ...         print(entry.sender, entry.text)
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._claims: dict[int, LockFile] = {}
        try:
            self._db = open_database(path, _MIGRATIONS, role="a client's store", remedy=_REMEDY)
        except DatabaseError as error:
            raise StoreError(str(error)) from error
        try:
            self._history = History(self._db)
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path}: its history cannot be used ({error}); {_REMEDY}") from error

    def __repr__(self) -> str:
        return f"<Store {self.path}>"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for account in tuple(self._claims):
            self.release(account)
        self._db.close()

    # -- who listens --------------------------------------------------------------------------

    def claim(self, account: int, url: str) -> None:
        """Claim an account: two processes that poll for it would each receive half its messages.

        Processes that only send need no claim. It ends with `release`, `close` or the process.

        Args:
            account: QQ number.
            url: of its server, shown to a second program.

        Raises:
            StoreError: another process has claimed it; says which, and the remedy.
        """
        if account in self._claims or str(self.path) == ":memory:":
            return
        path = self.path.with_name(f"{self.path.name}-{account}.lock")
        try:
            lock = self._claims[account] = LockFile(path)
            lock.say(url)
        except Locked as error:
            holder = error.holder
            if holder.is_this_process:  # another `Store` of the same file
                return
            raise StoreError(
                f"{account} is online in another program already: process {holder.pid}, at "
                f"{holder.url}; use that one, or end it (kill {holder.pid})"
            ) from None
        except OSError as error:
            raise StoreError(f"{path} cannot be used: {reason(error)}; {_REMEDY}") from error

    def release(self, account: int) -> None:
        """Let another process claim an account.

        Args:
            account: QQ number; one without a claim is ignored.
        """
        lock = self._claims.pop(account, None)
        if lock is not None:
            lock.release()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """A block without `await` whose changes are all kept, or none if it raises."""
        return transaction(self._db)

    # -- history ------------------------------------------------------------------------------

    def history(
        self,
        account: int | None = None,
        *,
        with_: str | int | None = None,
        search: str = "",
        before: int | None = None,
        since: float | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        """The latest messages, received and sent, oldest first.

        Args:
            account: QQ number; None for all accounts.
            with_: name or number of a friend, stranger, group or discussion; if none has
                exactly that name, all whose names contain it.
            search: words that the text must contain, anywhere, in any case.
            before: id of an entry; only earlier ones, for paging back.
            since: Unix time in seconds; only entries from then on.
            limit: maximum number of entries.
        """
        return self._history.find(account, with_, search, before=before, since=since, limit=limit)

    def export(
        self,
        account: int | None = None,
        *,
        with_: str | int | None = None,
        search: str = "",
        since: float | None = None,
    ) -> Iterator[str]:
        """The messages, oldest first, as lines of JSON.

        Args:
            account: as for `history`.
            with_: as for `history`.
            search: as for `history`.
            since: as for `history`.
        """
        return map(as_line, self._history.each(account, with_, search, since))

    def names(self, account: int | None = None) -> list[str]:
        """Names of all conversations.

        Args:
            account: QQ number; None for all accounts.
        """
        rows = self._db.execute(
            "SELECT DISTINCT name FROM party WHERE name <> '' AND (? IS NULL OR account = ?)"
            " ORDER BY name",
            (account, account),
        )
        return [name for (name,) in rows]

    def receive(self, mark: bytes, entry: Entry, address: Address, message: str = "") -> bool:
        """Record a received message as seen, in the history and as unhandled, in one step.

        Args:
            mark: of the message, the same if it is repeated.
            entry: for the history; its `id`, `kind`, `number` and `name` are ignored.
            address: of the conversation.
            message: text for `unhandled`; empty if no consumer will acknowledge it.

        Returns:
            True if the message is new.
        """
        with transaction(self._db):
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO seen (account, mark) VALUES (?, ?)", (entry.account, mark)
            )
            if not cursor.rowcount:
                return False
            if cursor.lastrowid and cursor.lastrowid % REMEMBERED == 0:
                self._forget_marks()
            party = self.remember(entry.account, address)
            self._history.add(entry, party)
            if message:
                self._db.execute(
                    "INSERT OR IGNORE INTO unhandled (account, mark, party, message)"
                    " VALUES (?, ?, ?, ?)",
                    (entry.account, mark, party, message),
                )
        return True

    def unhandled(self, account: int) -> list[Unhandled]:
        """Messages that came in and have not been acknowledged, in order of arrival.

        Args:
            account: that received it.
        """
        rows = self._db.execute(
            "SELECT mark, party, message, tries FROM unhandled WHERE account = ? ORDER BY id",
            (account,),
        ).fetchall()
        known = (self._unhandled(*row) for row in rows)
        return [message for message in known if message is not None]

    def _unhandled(self, mark: bytes, party: int, message: str, tries: int) -> Unhandled | None:
        """Read a row; None if it is damaged, so that it does not stop the others."""
        try:
            return Unhandled(mark, self._address(party), message, tries)
        except _DAMAGE as error:
            logger.error(
                "a message in %s that was not handled is damaged (%s), and stays there",
                *(self.path, type(error).__name__),
            )
        return None

    def begin_handling(self, account: int, mark: bytes) -> None:
        """Count one more try of a message, whose handling begins.

        Args:
            account: that received it.
            mark: as for `receive`.
        """
        self._db.execute(
            "UPDATE unhandled SET tries = tries + 1 WHERE account = ? AND mark = ?",
            (account, mark),
        )

    def handled(self, account: int, mark: bytes) -> None:
        """Remove a message that was handled or dropped.

        Args:
            account: that received it.
            mark: as for `receive`.
        """
        self._db.execute("DELETE FROM unhandled WHERE account = ? AND mark = ?", (account, mark))

    def _forget_marks(self) -> None:
        """Delete all marks of each account but the latest."""
        self._db.execute(
            "DELETE FROM seen WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
            " (PARTITION BY account ORDER BY id DESC) AS age FROM seen) WHERE age > ?)",
            (REMEMBERED,),
        )

    # -- outbox -------------------------------------------------------------------------------

    def numbers_of(self, account: int) -> tuple[int, int]:
        """The permanent clientid of an account, and its last msg_id.

        Args:
            account: QQ number.
        """
        row: tuple[int, int] | None = self._db.execute(
            "SELECT clientid, message_id FROM account WHERE number = ?", (account,)
        ).fetchone()
        if row is None:
            row = (random.randrange(10**7, 10**8), random.randrange(10**7, 10**8))  # noqa: S311
            self._db.execute(
                "INSERT INTO account (number, clientid, message_id) VALUES (?, ?, ?)",
                (account, *row),
            )
        return row

    def accept(
        self, account: int, address: Address, contents: Sequence[Content], time: float
    ) -> list[OutgoingMessage]:
        """Put the pieces of one content into the outbox; each gets a msg_id of its own.

        Args:
            account: that sends it.
            address: of the recipient.
            contents: the pieces in order.
            time: Unix time in seconds.
        """
        messages: list[OutgoingMessage] = []
        with transaction(self._db):
            clientid, message_id = self.numbers_of(account)
            party = self.remember(account, address)
            for content in contents:
                message_id += 1
                whole = messages[0].id if messages else 0
                row = self._db.execute(
                    "INSERT INTO outbox (account, party, clientid, message_id, content, whole,"
                    " time) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (account, party, clientid, message_id, dump_content(content), whole, time),
                ).lastrowid
                row = row or 0
                messages.append(
                    OutgoingMessage(row, address, clientid, message_id, content, whole or row, time)
                )
            self._db.execute(
                "UPDATE account SET message_id = ? WHERE number = ?", (message_id, account)
            )
        return messages

    def outbox(self, account: int) -> list[OutgoingMessage]:
        """Messages still to be delivered, in the order of acceptance.

        Args:
            account: that sends it.
        """
        rows = self._db.execute(
            "SELECT id, party, clientid, message_id, content, whole, time FROM outbox"
            " WHERE account = ? ORDER BY id",
            (account,),
        ).fetchall()
        messages = (self._outgoing(*row) for row in rows)
        return [message for message in messages if message is not None]

    def _outgoing(self, id_: int, party: int, *rest: Any) -> OutgoingMessage | None:
        """Read a row; None if it is damaged, so that it does not stop the others."""
        clientid, message_id, content, whole, time = rest
        try:
            address = self._address(party)
            parsed = parse_dumped(content)
        except _DAMAGE as error:
            logger.error(
                "message %d in the outbox of %s is damaged (%s), and stays there",
                *(id_, self.path, type(error).__name__),
            )
            return None
        return OutgoingMessage(id_, address, clientid, message_id, parsed, whole or id_, time)

    def is_waiting(self, message: int) -> bool:
        """Return True if a message is still in the outbox.

        Args:
            message: its row.
        """
        row = self._db.execute("SELECT 1 FROM outbox WHERE id = ?", (message,)).fetchone()
        return row is not None

    def sent(self, message: int, entry: Entry) -> None:
        """Move a delivered message from the outbox to the history.

        Args:
            message: its row.
            entry: for the history; its `id`, `kind`, `number` and `name` are ignored.
        """
        with transaction(self._db):
            row = self._db.execute("SELECT party FROM outbox WHERE id = ?", (message,)).fetchone()
            if row is not None:
                self._history.add(entry, row[0])
                self.drop(message)

    def drop(self, message: int) -> None:
        """Remove a message that will not be delivered.

        Args:
            message: its row.
        """
        self._db.execute("DELETE FROM outbox WHERE id = ?", (message,))

    # -- contacts -----------------------------------------------------------------------------

    def remember(self, account: int, address: Address) -> int:
        """Save an address with its uin and name in the present session.

        Args:
            account: that has the contact.
            address: of the contact; a `number` of 0 leaves a known number as it is.

        Returns:
            Its row, which `accept` and `receive` look up themselves.
        """
        with transaction(self._db):
            origin = self.remember(account, address.origin) if address.origin else None
            number, uin = _fitting(address.number), _fitting(address.uin)
            name = wire.clean(address.name)
            row = self._row_of(account, address, uin)
            if row is None:
                return self._new_party(account, address, origin)
            if number:
                row = self._identify(account, address.kind, row, number)
            self._db.execute(
                "UPDATE party SET name = ?, uin = ?, session = ?, is_unique = ?,"
                " origin = ifnull(?, origin) WHERE id = ?",
                (name, uin, address.session, address.is_unique, origin, row),
            )
        return row

    def _row_of(self, account: int, address: Address, uin: int) -> int | None:
        """Find a row by uin in the session, else by QQ number, else by a unique name."""
        conditions: list[tuple[str, tuple[object, ...]]] = [
            ("session <> '' AND session = ? AND uin = ?", (address.session, uin)),
            ("number > 0 AND number = ?", (_fitting(address.number),)),
        ]
        if address.is_unique and not address.number:
            name = wire.clean(address.name)
            conditions.append(("number = 0 AND is_unique AND name = ?", (name,)))
        for condition, values in conditions:
            row = self._db.execute(
                f"SELECT id FROM party WHERE account = ? AND kind = ? AND {condition}",
                (account, address.kind.value, *values),
            ).fetchone()
            if row is not None:
                return int(row[0])
        return None

    def _new_party(self, account: int, address: Address, origin: int | None) -> int:
        cursor = self._db.execute(
            "INSERT INTO party (account, kind, number, name, uin, session, is_unique, origin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(account, address.kind.value, _fitting(address.number), wire.clean(address.name)),
                *(_fitting(address.uin), address.session, address.is_unique, origin),
            ),
        )
        return cursor.lastrowid or 0

    def _identify(self, account: int, kind: Kind, row: int, number: int) -> int:
        """Give a row its QQ number; if another row has it already, the two become one."""
        known = self._db.execute(
            "SELECT id FROM party WHERE account = ? AND kind = ? AND number = ?",
            (account, kind.value, number),
        ).fetchone()
        if known is None:
            self._db.execute("UPDATE party SET number = ? WHERE id = ?", (number, row))
            return row
        if known[0] != row:
            for table, column in _REFERENCES:
                self._db.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (known[0], row)
                )
            self._db.execute("DELETE FROM party WHERE id = ?", (row,))
        return int(known[0])

    def numbers_in(self, account: int, session: str) -> dict[tuple[Kind, int], int]:
        """QQ numbers that were looked up, by kind and uin.

        Args:
            account: that looked them up.
            session: mark of the session in which the uins hold.
        """
        rows = self._db.execute(
            "SELECT kind, uin, number FROM party WHERE account = ? AND session = ? AND number > 0",
            (account, session),
        )
        return {(Kind(kind), uin): number for kind, uin, number in rows}

    def _address(self, party: int) -> Address:
        kind, name, number, uin, session, is_unique, origin = self._db.execute(
            "SELECT kind, name, number, uin, session, is_unique, origin FROM party WHERE id = ?",
            (party,),
        ).fetchone()
        way = self._address(origin) if origin else None
        return Address(Kind(kind), name, number, uin, session, bool(is_unique), way)

    # -- values of plugins --------------------------------------------------------------------

    def get(self, namespace: str, key: str, default: Any = None) -> Any:
        """A value of a plugin.

        Args:
            namespace: separates the values of plugins.
            key: of the value.
            default: returned when there is none.
        """
        row = self._db.execute(
            "SELECT value FROM value WHERE namespace = ? AND key = ?", (namespace, key)
        ).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, namespace: str, key: str, value: Any) -> None:
        """Save a value; it is on disk when this returns.

        Args:
            namespace: as for `get`.
            key: of the value.
            value: any that `json.dumps` accepts.

        Raises:
            TypeError: `json.dumps` does not accept it.
            ValueError: the same.
        """
        self._db.execute(
            "INSERT INTO value (namespace, key, value) VALUES (?, ?, ?)"
            " ON CONFLICT (namespace, key) DO UPDATE SET value = excluded.value",
            (namespace, key, json.dumps(value)),
        )

    def delete(self, namespace: str, key: str) -> bool:
        """Delete a value; return True if there was one.

        Args:
            namespace: as for `get`.
            key: of the value.
        """
        cursor = self._db.execute(
            "DELETE FROM value WHERE namespace = ? AND key = ?", (namespace, key)
        )
        return cursor.rowcount > 0

    def values(self, namespace: str) -> dict[str, Any]:
        """All values of a namespace by key, in the keys' order.

        Args:
            namespace: as for `get`.
        """
        rows = self._db.execute(
            "SELECT key, value FROM value WHERE namespace = ? ORDER BY key", (namespace,)
        )
        return {key: json.loads(value) for key, value in rows}

    # -- sessions -----------------------------------------------------------------------------

    def save_session(self, account: int, session: str) -> None:
        """Save a session.

        Args:
            account: QQ number.
            session: as text, see `saved_session`.
        """
        with transaction(self._db):
            self.numbers_of(account)
            self._db.execute("UPDATE account SET session = ? WHERE number = ?", (session, account))

    def load_session(self, account: int) -> str | None:
        """The session that was saved last, as text; None if there is none.

        Args:
            account: QQ number.
        """
        row = self._db.execute(
            "SELECT session FROM account WHERE number = ?", (account,)
        ).fetchone()
        return None if row is None else row[0]

    def forget_session(self, account: int) -> None:
        """Delete the session.

        Args:
            account: QQ number.
        """
        self._db.execute("UPDATE account SET session = NULL WHERE number = ?", (account,))

    @property
    def accounts(self) -> list[int]:
        """Accounts that have messages in the store."""
        return [number for (number,) in self._db.execute("SELECT number FROM account ORDER BY 1")]


def _fitting(number: int) -> int:
    """The number, or 0 if SQLite's 64 bits with a sign cannot hold what a server sent."""
    return number if -(2**63) <= number < 2**63 else 0
