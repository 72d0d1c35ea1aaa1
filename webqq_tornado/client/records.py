"""Records of a client's messages: in a `Store` or, without one, in memory."""

from __future__ import annotations

import itertools
import logging
import random
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from ..protocol.models.content import Content
from .address import Address, Kind
from .history import Entry
from .store import OutgoingMessage, Store, StoreError
from .unhandled import Unhandled

__all__ = ["MemoryRecords", "Records", "StoredRecords"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Messages remembered to recognize repetitions.
REMEMBERED = 2000


class Records(Protocol):
    """The part of a `Store` that is an account's own; see there."""

    clientid: int

    @property
    def is_kept(self) -> bool:
        """True if the records outlive the process."""

    def remember(self, address: Address) -> None:
        """Save an address."""

    def numbers_in(self, session: str) -> dict[tuple[Kind, int], int]:
        """QQ numbers that were looked up in a session."""

    def accept(self, address: Address, contents: Sequence[Content]) -> list[OutgoingMessage]:
        """Put the pieces of one content into the outbox."""

    def outbox(self) -> list[OutgoingMessage]:
        """Messages that earlier runs have left to deliver."""

    def is_waiting(self, message: OutgoingMessage) -> bool:
        """Return True if a message is still to be delivered."""

    def sent(self, message: OutgoingMessage, entry: Entry) -> None:
        """Move a delivered message to the history."""

    def drop(self, message: OutgoingMessage) -> None:
        """Remove a message that will not be delivered."""

    def receive(self, mark: bytes, entry: Entry, address: Address, message: str = "") -> bool:
        """Record a received message; return True if it is new."""

    def unhandled(self) -> list[Unhandled]:
        """Messages that earlier runs received and did not handle."""

    def begin_handling(self, mark: bytes) -> None:
        """Count one more try of a message."""

    def handled(self, mark: bytes) -> None:
        """Remove a message that was handled or dropped."""


class StoredRecords:
    """The records of one account in a store.

    With a file that cannot be written (a full disk) running work continues: the error is logged,
    and the process remembers the change. New messages are refused.

    Args:
        store: which.
        account: whose.
    """

    is_kept = True

    def __init__(self, store: Store, account: int) -> None:
        self._store, self._account = store, account
        self._unwritten = MemoryRecords()
        self.clientid, _ = store.numbers_of(account)

    def remember(self, address: Address) -> None:
        """See `Store.remember`."""
        try:
            self._store.remember(self._account, address)
        except sqlite3.Error as error:
            self._complain(f"who {address.name} is", error)

    def numbers_in(self, session: str) -> dict[tuple[Kind, int], int]:
        """See `Store.numbers_in`."""
        return self._store.numbers_in(self._account, session)

    def accept(self, address: Address, contents: Sequence[Content]) -> list[OutgoingMessage]:
        """See `Store.accept`.

        Raises:
            StoreError: it cannot be written, so it is not accepted.
        """
        try:
            return self._store.accept(self._account, address, contents, time.time())
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._store.path}: cannot be written ({error}); the message to {address.name} "
                "is not accepted: make room, and send it again"
            ) from error

    def outbox(self) -> list[OutgoingMessage]:
        """See `Store.outbox`."""
        return self._store.outbox(self._account)

    def is_waiting(self, message: OutgoingMessage) -> bool:
        """See `Store.is_waiting`."""
        return self._store.is_waiting(message.id)

    def sent(self, message: OutgoingMessage, entry: Entry) -> None:
        """See `Store.sent`."""
        try:
            self._store.sent(message.id, entry)
        except sqlite3.Error as error:
            self._complain(f"that a message to {message.address.name} was delivered", error)

    def drop(self, message: OutgoingMessage) -> None:
        """See `Store.drop`."""
        try:
            self._store.drop(message.id)
        except sqlite3.Error as error:
            self._complain(f"that a message to {message.address.name} was dropped", error)

    def receive(self, mark: bytes, entry: Entry, address: Address, message: str = "") -> bool:
        """See `Store.receive`."""
        try:
            return self._store.receive(mark, entry, address, message)
        except sqlite3.Error as error:
            if not self._unwritten.receive(mark, entry, address):
                return False
            self._complain(f"a message from {entry.sender}", error)
            return True

    def unhandled(self) -> list[Unhandled]:
        """See `Store.unhandled`."""
        try:
            return self._store.unhandled(self._account)
        except sqlite3.Error as error:
            logger.error(
                "%s cannot be read (%s): no messages from it are handled", self._store, error
            )
            return []

    def begin_handling(self, mark: bytes) -> None:
        """See `Store.begin_handling`."""
        if not self._unwritten.has(mark):
            try:
                self._store.begin_handling(self._account, mark)
            except sqlite3.Error as error:
                self._complain("that a message is being handled", error)

    def handled(self, mark: bytes) -> None:
        """See `Store.handled`."""
        if not self._unwritten.has(mark):
            try:
                self._store.handled(self._account, mark)
            except sqlite3.Error as error:
                self._complain("that a message was handled", error)

    def _complain(self, what: str, error: sqlite3.Error) -> None:
        logger.error("%s cannot be written (%s); not on record: %s", self._store.path, error, what)


class MemoryRecords:
    """The records in memory, without a history."""

    is_kept = False

    def __init__(self) -> None:
        self.clientid = random.randrange(10**7, 10**8)  # noqa: S311 - a number, no secret
        self._message_ids = itertools.count(random.randrange(10**7, 10**8))  # noqa: S311
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def remember(self, address: Address) -> None:
        """Do nothing: only a later session would read it."""

    def numbers_in(self, _session: str) -> dict[tuple[Kind, int], int]:
        """Empty: there was no earlier session."""
        return {}

    def accept(self, address: Address, contents: Sequence[Content]) -> list[OutgoingMessage]:
        """The messages; the outbox holds them."""
        ids = [next(self._message_ids) for _ in contents]
        return [
            OutgoingMessage(id_, address, self.clientid, id_, content, ids[0], time.time())
            for id_, content in zip(ids, contents, strict=True)
        ]

    def outbox(self) -> list[OutgoingMessage]:
        """Empty: nothing survives a process."""
        return []

    def is_waiting(self, _letter: OutgoingMessage) -> bool:
        """Always True: no other process can have sent it."""
        return True

    def sent(self, message: OutgoingMessage, entry: Entry) -> None:
        """Do nothing: there is no history and no copy."""

    def drop(self, message: OutgoingMessage) -> None:
        """Do nothing: there is no history and no copy."""

    def unhandled(self) -> list[Unhandled]:
        """Empty: nothing survives a process."""
        return []

    def begin_handling(self, mark: bytes) -> None:
        """Do nothing: no later process handles it."""

    def handled(self, mark: bytes) -> None:
        """Do nothing: no later process handles it."""

    def has(self, mark: bytes) -> bool:
        """Return True if a message with the mark came in."""
        return mark in self._seen

    def receive(self, mark: bytes, _entry: Entry, _address: Address, _message: str = "") -> bool:
        """Record a message; return True if its mark is new."""
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True
