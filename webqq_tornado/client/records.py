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

#: Messages that are remembered to tell repetitions.
REMEMBERED = 2000


class Records(Protocol):
    """The part of a `Store` that is an account's own; see there."""

    clientid: int

    @property
    def is_kept(self) -> bool:
        """True if the records outlive the process."""

    def know(self, address: Address) -> None:
        """Note who somebody is."""

    def numbers_in(self, session: str) -> dict[tuple[Kind, int], int]:
        """QQ numbers that were looked up in a session."""

    def accept(self, address: Address, contents: Sequence[Content]) -> list[OutgoingMessage]:
        """Put the pieces of one content into the outbox."""

    def outbox(self) -> list[OutgoingMessage]:
        """Messages that earlier runs have left to deliver."""

    def is_waiting(self, letter: OutgoingMessage) -> bool:
        """Return True if a message is still to be delivered."""

    def sent(self, letter: OutgoingMessage, entry: Entry) -> None:
        """A message is delivered."""

    def drop(self, letter: OutgoingMessage) -> None:
        """A message is not to be delivered any more."""

    def receive(self, mark: bytes, entry: Entry, address: Address, message: str = "") -> bool:
        """Note a message that came in; whether it is new."""

    def unhandled(self) -> list[Unhandled]:
        """Messages that earlier runs received and did not handle."""

    def begin_handling(self, mark: bytes) -> None:
        """The handling of a message begins."""

    def handled(self, mark: bytes) -> None:
        """Remove a message that was handled or dropped."""


class StoredRecords:
    """The records of one account in a store.

    A file that cannot be written any more (a full disk) stops nothing that is under way: that
    is logged, and remembered while the process runs. It accepts nothing new.

    Args:
        store: which.
        account: whose.
    """

    is_kept = True

    def __init__(self, store: Store, account: int) -> None:
        self._store, self._account = store, account
        self._unwritten = MemoryRecords()
        self.clientid, _ = store.numbers_of(account)

    def know(self, address: Address) -> None:
        """See `Store.know`."""
        try:
            self._store.know(self._account, address)
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

    def is_waiting(self, letter: OutgoingMessage) -> bool:
        """See `Store.is_waiting`."""
        return self._store.is_waiting(letter.id)

    def sent(self, letter: OutgoingMessage, entry: Entry) -> None:
        """See `Store.sent`."""
        try:
            self._store.sent(letter.id, entry)
        except sqlite3.Error as error:
            self._complain(f"that a message to {letter.address.name} was delivered", error)

    def drop(self, letter: OutgoingMessage) -> None:
        """See `Store.drop`."""
        try:
            self._store.drop(letter.id)
        except sqlite3.Error as error:
            self._complain(f"that a message to {letter.address.name} was dropped", error)

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
            logger.error("%s cannot be read (%s): what waits is not handled", self._store, error)
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
    """The same in memory, without a history."""

    is_kept = False

    def __init__(self) -> None:
        self.clientid = random.randrange(10**7, 10**8)  # noqa: S311 - a number, no secret
        self._message_ids = itertools.count(random.randrange(10**7, 10**8))  # noqa: S311
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def know(self, address: Address) -> None:
        """Nothing asks for it later."""

    def numbers_in(self, _session: str) -> dict[tuple[Kind, int], int]:
        """None: it is the first session of the process."""
        return {}

    def accept(self, address: Address, contents: Sequence[Content]) -> list[OutgoingMessage]:
        """The letters; who sends them holds them."""
        ids = [next(self._message_ids) for _ in contents]
        return [
            OutgoingMessage(id_, address, self.clientid, id_, content, ids[0], time.time())
            for id_, content in zip(ids, contents, strict=True)
        ]

    def outbox(self) -> list[OutgoingMessage]:
        """Nothing is left of an earlier run."""
        return []

    def is_waiting(self, _letter: OutgoingMessage) -> bool:
        """Always True: no other process can have sent it."""
        return True

    def sent(self, letter: OutgoingMessage, entry: Entry) -> None:
        """Nothing keeps it."""

    def drop(self, letter: OutgoingMessage) -> None:
        """Nothing keeps it."""

    def unhandled(self) -> list[Unhandled]:
        """Nothing is left of an earlier run."""
        return []

    def begin_handling(self, mark: bytes) -> None:
        """No other process asks for it."""

    def handled(self, mark: bytes) -> None:
        """No other process asks for it."""

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
