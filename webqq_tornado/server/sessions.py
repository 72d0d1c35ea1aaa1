"""One login of an account by the protocol, and the events that its client has not confirmed.

A message for a session stays in storage until it is delivered. An answer to poll2 can be lost, so
an answer alone proves nothing: its contents count as delivered when the *next* poll of the session
arrives, or, for clients that acknowledge messages (our own, see `protocol.delivery`), when they do.
They are repeated if the connection broke before or while the answer was written, or was reset
afterwards (then nobody read it), if login2 resumes the session, if the account opens another
session first, or if the server was killed. Clients compare msg_id, which stays the same, as they
had to with Tencent's server (twqq 2014).

Events (a friend came online, kicked) are transient and not stored. Those of the last answer are
repeated with it, except in the last two cases.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Protocol

from ..protocol.codes import Status
from ..protocol.models.events import Event, Kicked
from ..protocol.models.login import Secret
from .quirks import EVERYTHING, Quirks
from .storage.rows import SessionRow, StoredMessage
from .uins import Uins

__all__ = ["PendingPoll", "PollSession"]

#: Messages and events held in memory for a slow client.
_MOST_PENDING = 200


class PendingPoll(Protocol):
    """A poll, until shortly after its answer."""

    def is_lost(self) -> bool:
        """True if the connection broke, so that the response cannot have been read."""


class PollSession:
    """One login of an account by the WebQQ protocol.

    Args:
        row: of the session on disk.

    Attributes:
        account: QQ number.
        dialect: "webqq3" or "smartqq".
        psessionid, vfwebqq, ptwebqq: its secrets.
        status: as the client set it.
        quirks: differences of the client from others.
        seen: loop time of its last poll.
        kicked: set when the session has ended.
        knows_end: whether its client knows that.
        has_asked_online: whether it has called get_online_buddies2.
    """

    def __init__(self, row: SessionRow) -> None:
        self.account = row.account
        self.dialect = row.dialect
        self.psessionid = Secret(row.psessionid)
        self.vfwebqq = Secret(row.vfwebqq)
        self.ptwebqq = Secret(row.ptwebqq)
        self.status = Status.of_word(row.status)
        self.seed = row.seed
        self.quirks: Quirks = EVERYTHING
        self.seen = 0.0
        self.kicked: Kicked | None = None
        self.knows_end = False
        self.expiry: asyncio.TimerHandle | None = None
        self.has_asked_online = False
        self.held_poll: PendingPoll | None = None  # the held poll; a later one replaces it
        self._new_events: asyncio.Future[None] | None = None
        self._events: deque[Event] = deque(maxlen=_MOST_PENDING)
        self._pending: deque[StoredMessage] = deque()
        self._is_behind = True  # messages may be on disk that are not in memory
        self._given: list[StoredMessage] = []  # in the last answer, not confirmed yet
        self._given_events: list[Event] = []  # the same
        self._last_given = 0  # id of the last message in any answer
        self._given_to: PendingPoll | None = None
        self._arrived = 0  # id of the last message that has arrived, until storage knows
        self._uins = Uins(row.seed, row.account)
        self._last_sent = (0, "")
        self._has_numbers = True

    def __repr__(self) -> str:
        return f"<PollSession of {self.account} {self.status.value}>"

    @classmethod
    def new(
        cls, account: int, ptwebqq: Secret, status: Status, dialect: str, vfwebqq: Secret | None
    ) -> PollSession:
        """A session with secrets of its own."""
        own = (secrets.token_hex(64), vfwebqq or secrets.token_hex(40), ptwebqq)
        return cls(SessionRow(*own, account, dialect, status.value, secrets.token_bytes(16)))

    @property
    def row(self) -> SessionRow:
        """The session's row on disk."""
        own = (self.psessionid, self.vfwebqq, self.ptwebqq)
        return SessionRow(*own, self.account, self.dialect, self.status.value, self.seed)

    @property
    def secrets(self) -> dict[str, Secret]:
        """Each of them, by its kind, names the session."""
        return {
            "psessionid": self.psessionid,
            "vfwebqq": self.vfwebqq,
            "ptwebqq": self.ptwebqq,
        }

    def counts(self, msg_id: int, words: str) -> bool:
        """Return True if the client numbers its messages uniquely: not all clients did.

        Args:
            msg_id: of a message from it.
            words: content and recipient, or a digest of them.
        """
        number, said = self._last_sent
        if msg_id == number and words != said:
            self._has_numbers = False
        self._last_sent = (msg_id, words)
        return self._has_numbers

    # -- its numbers --------------------------------------------------------------------------

    def uin_of(self, account: int) -> int:
        """The uin that stands for an account."""
        return self._uins.of("person", account)

    def gid_of(self, group: int) -> int:
        """The gid that stands for a group."""
        return self._uins.of("group", group)

    def code_of(self, group: int) -> int:
        """The code under which a group is queried."""
        return self._uins.of("code", group)

    def did_of(self, discussion: int) -> int:
        """The did that stands for a discussion."""
        return self._uins.of("discussion", discussion)

    def meaning_of(self, made: int, kind: str) -> int:
        """The account ("person"), group ("group", "code") or "discussion" of a number.

        Each number maps to one: the caller checks that it exists.
        """
        return self._uins.meant_by(made, kind)

    # -- events for the client ------------------------------------------------------------------

    def enqueue(self, event: Event) -> None:
        """Queue an event for the next response, if the client understands it."""
        if self.quirks.knows(event):
            self._events.append(event)
            self.wake()

    def take_message(self, message: StoredMessage) -> None:
        """Queue a message that was stored for the session."""
        if not self._is_behind:
            self._pending.append(message)
            self._is_behind = len(self._pending) >= _MOST_PENDING
        self.wake()

    def drop_message(self, number: int) -> None:
        """Drop a recalled message that was in no answer yet."""
        self._pending = deque(each for each in self._pending if each.id != number)

    def wake(self) -> None:
        """Wake the held poll: events have arrived."""
        if self._new_events is not None and not self._new_events.done():
            self._new_events.set_result(None)

    async def wait(self, deadline: float) -> None:
        """Wait for events, or until the loop's time is `deadline`."""
        loop = asyncio.get_running_loop()
        events = self._new_events = loop.create_future()
        timer = loop.call_at(deadline, self.wake)
        try:
            await events
        finally:
            timer.cancel()
            if self._new_events is events:  # else a later poll waits
                self._new_events = None

    @property
    def is_behind(self) -> bool:
        """True if more messages are to be loaded from storage now."""
        return self._is_behind and not self._pending and not self._given

    def load(self, messages: list[StoredMessage], are_all: bool) -> None:
        """Queue the oldest messages on disk, and note whether they are all."""
        self._pending.extend(message for message in messages if message.id > self._arrived)
        self._is_behind = not are_all

    def give(self, poll: PendingPoll) -> tuple[list[Event], list[StoredMessage]]:
        """Take the contents of the next response; they are kept until it is confirmed."""
        room = self.quirks.at_once
        events = [self._events.popleft() for _ in range(min(room, len(self._events)))]
        room = min(room - len(events), len(self._pending))
        messages = [self._pending.popleft() for _ in range(room)]
        self._given, self._given_events, self._given_to = messages, events, poll
        self._last_given = messages[-1].id if messages else self._last_given
        return events, messages

    def report_end(self, poll: PendingPoll) -> None:
        """Note that the next response ends the session.

        Args:
            poll: the answered poll.
        """
        self._given_to, self.knows_end = poll, True

    def confirm(self, last_id: int | None = None) -> int:
        """Confirm the last response, since another poll came; return the last id that has arrived.

        Args:
            last_id: of the last message by the client's account; None if it does not report it.

        Returns:
            0 if there is none, or storage knows it (`noted`).
        """
        poll, self._given_to = self._given_to, None
        is_lost = poll is not None and poll.is_lost()
        if last_id is not None and self._given:
            is_lost = last_id < self._given[-1].id
        if is_lost:
            self._requeue()
        given, self._given, self._given_events = self._given, [], []
        if given:
            self._arrived = given[-1].id
        elif last_id is not None:
            self._drop(min(last_id, self._last_given))
        return self._arrived

    def _drop(self, last_id: int) -> None:
        """Drop the requeued messages up to this one: they arrived after all."""
        while self._pending and self._pending[0].id <= last_id:
            self._arrived = self._pending.popleft().id

    def noted(self) -> None:
        """Note that storage knows which messages have arrived."""
        self._arrived = 0

    def requeue(self, poll: PendingPoll | None = None) -> None:
        """Requeue the contents of the last response, if it answered this poll.

        Args:
            poll: by default any poll.
        """
        if poll is None or self._given_to is poll:
            self._given_to = None
            self._requeue()

    def _requeue(self) -> None:
        self._pending.extendleft(reversed(self._given))
        self._events.extendleft(reversed(self._given_events))
        self._given, self._given_events = [], []
        self.knows_end = False
