"""The messages to one conversation: in order, and never twice because an answer was lost.

A task works the queue off while the account is online. What can happen to a message, and what
follows:

=========================================  =====================================================
the answer is ``ok`` or ``async``          delivered
it failed (muted, risk control ...)        `SendError`; after some in a row the conversation rests
no connection                              it waits for the next one
"timeout" (NC's 1200), or no answer, or    it is looked for: among the account's own messages that
the connection was lost meanwhile          came in as events, then in the history; sent again only
                                           if it is not there; not at all where nobody can tell
=========================================  =====================================================

So it is with what an earlier process has left: it may have been sent just before that ended.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from ...onebot.v11.actions import Answer
from ...onebot.v11.content import build_nodes, content_of, segments_of
from ...onebot.v11.events import MessageEvent
from ...onebot.v11.values import Fields, number
from ...protocol.models.content import At, Attachment, Content, Face, Reply, UnknownPart
from ..address import Address, Kind
from ..contacts import Contact, Stranger
from ..history import Entry
from ..outbox import in_pieces
from ..receipt import Receipt, SendError
from ..records import Records
from ..store import OutgoingMessage
from .directory import NetworkDirectory
from .limits import SendLimits
from .transport import ActionFailed, NotConnected, OutcomeUnknown

__all__ = ["ConversationQueue", "Pending", "Sender"]

#: Times that a message is sent which is not found afterwards. NC says "Timeout" of links that QQ
#: blocks, too (NC issue 808): those never arrive.
_SENDS = 2
#: Seconds that the clock of the implementation may be behind where one looks for a message.
_SLACK = 3.0


class Sender(Protocol):
    """The part of an account that sending uses."""

    account: int
    nick: str
    name: str
    records: Records
    directory: NetworkDirectory

    @property
    def is_online(self) -> bool:
        """True while messages can be sent."""

    @property
    def skew(self) -> float:
        """Seconds that the implementation's clock is ahead of ours."""

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says."""

    async def latest_of(self, contact: Contact, since: float) -> list[MessageEvent] | None:
        """The messages of a conversation from then on; None where there is no history."""


class Turns(Protocol):
    """The part of `Sending` that its queues share."""

    def is_known(self, message_id: int) -> bool:
        """Return True if a message was sent from here."""

    def know(self, message_id: int) -> None:
        """Remember that a message was sent from here."""

    async def turn(self) -> None:
        """Wait until the account may send again."""


class Pending:
    """A message being sent, and its receipt."""

    __slots__ = ("is_unknown", "outgoing", "pieces", "receipt", "seen", "sends", "since", "splits")

    def __init__(
        self,
        outgoing: OutgoingMessage,
        pieces: tuple[Content, ...],
        receipt: asyncio.Future[Receipt],
    ) -> None:
        self.outgoing, self.pieces, self.receipt = outgoing, pieces, receipt
        self.is_unknown = False  # it may have been sent
        self.since = outgoing.time  # it may have been sent from then on, by our clock
        self.seen = 0  # the id of the own message that it is, as an event told
        self.sends = 0
        self.splits: list[Content] = []  # of a forwarded message that is sent in pieces

    def resolve(self, outcome: Receipt | SendError) -> None:
        """Tell who waits for the receipt.

        Args:
            outcome: of it.
        """
        if self.receipt.done() or self.receipt.get_loop().is_closed():
            return
        if isinstance(outcome, Receipt):
            self.receipt.set_result(outcome)
        else:
            self.receipt.set_exception(outcome)


class _Refused(Exception):
    """The message cannot be delivered."""


class ConversationQueue:
    """The messages to one conversation.

    Args:
        account: sends them.
        sending: of the account.
        address: of the conversation.
        limits: pace and sizes.

    Attributes:
        address: as above.
        waiting: those that are not delivered, the oldest first.
    """

    def __init__(
        self, account: Sender, sending: Turns, address: Address, limits: SendLimits
    ) -> None:
        self._account, self._sending, self._limits = account, sending, limits
        self.address = address
        self.waiting: deque[Pending] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failures, self._why = 0, ""  # in a row, and why the last one failed
        self._rests_until = 0.0  # monotonic

    def resume(self) -> None:
        """Send, if the account is online."""
        is_idle = self._task is None or self._task.done()
        if is_idle and self.waiting and self._account.is_online:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def abandon(self, reason: str) -> None:
        """Send no more.

        Args:
            reason: for those who wait for receipts.
        """
        if self._task is not None:
            self._task.cancel()
        while self.waiting:
            self.waiting.popleft().resolve(self._error(reason))

    def recognize(self, event: MessageEvent) -> bool:
        """Return True if an own message is the first that waits here.

        Args:
            event: as it came.
        """
        for pending in self.waiting:
            is_sent = pending.sends or pending.is_unknown
            if is_sent and not pending.seen and self._is_it(pending, event):
                pending.seen = event.message_id
                return True
        return False

    def _error(self, why: str) -> SendError:
        return SendError(f"not sent to {self.address.name}: {why}")

    # -- one after the other -------------------------------------------------------------------

    async def _run(self) -> None:
        while self.waiting and self._account.is_online:
            pending = self.waiting[0]
            try:
                if not await self._is_delivered(pending):
                    continue
            except NotConnected:
                return  # `resume` comes with the next connection
            except _Refused as refused:
                self._fail(pending, str(refused))
            else:
                self._deliver(pending)

    def _deliver(self, pending: Pending) -> None:
        if not self.waiting or self.waiting[0] is not pending:
            return
        self.waiting.popleft()
        account, address = self._account, self.address
        account.records.sent(
            pending.outgoing,
            Entry(
                *(0, account.account, address.kind, address.number, address.name, account.nick),
                *(account.account, True, time.time(), _slim(pending.outgoing.content)),
            ),
        )
        if pending.outgoing.content is pending.pieces[-1]:
            contact = account.directory.contact_at(address)
            pending.resolve(Receipt(contact, pending.pieces, time.time()))

    def _fail(self, pending: Pending, why: str) -> None:
        """One piece has failed: so have all of its content."""
        while self.waiting and self.waiting[0].receipt is pending.receipt:
            self._account.records.drop(self.waiting.popleft().outgoing)
        pending.resolve(self._error(why))

    async def _is_delivered(self, pending: Pending) -> bool:
        """Send it, or find that it was sent; False to come back.

        Raises:
            NotConnected: it waits.
            _Refused: it is not sent.
        """
        if pending.is_unknown and await self._was_sent(pending):
            return True
        pending.is_unknown = False
        if pending.sends >= _SENDS:
            raise self._count_failure(
                f"sent {pending.sends} times, never answered, and not in the history: QQ may block"
                " what is in it, such as a link"
            )
        await self._sending.turn()
        if not self._account.is_online:
            raise NotConnected("send")
        return await self._send(pending)

    async def _send(self, pending: Pending) -> bool:
        self._check_rest()
        now = time.time()
        pending.since = now if not pending.sends else pending.since
        pending.sends += 1
        try:
            await self._post(pending)
        except OutcomeUnknown:  # which says nothing about the conversation
            pending.is_unknown = True
            return False
        except NotConnected:
            pending.sends -= 1
            raise
        except ActionFailed as error:
            raise self._count_failure(str(error)) from error
        self._failures = 0
        return True

    def _check_rest(self) -> None:
        """Refuse to send while the conversation rests; one message is tried after that."""
        if time.monotonic() < self._rests_until:
            why = f"{self._limits.fail_max} messages in a row have failed ({self._why})"
            raise _Refused(f"{why}; the next is tried after {self._limits.rest:g} s")

    def _count_failure(self, why: str) -> _Refused:
        self._failures, self._why = self._failures + 1, why
        if self._failures >= self._limits.fail_max:
            self._rests_until = time.monotonic() + self._limits.rest
        return _Refused(why)

    async def _post(self, pending: Pending) -> None:
        content = pending.outgoing.content
        pieces = in_pieces(content, self._limits.max_bytes)
        if len(pieces) > 1 and not pending.splits:
            answer = await self._call(*self._forward(pieces))
            if answer.is_ok:
                self._know(answer)
                return
            if not answer.is_unknown_action:
                self._check(answer)
            pending.splits = list(pieces)
        if not pending.splits:
            pending.splits = [content]
        while pending.splits:
            answer = await self._call(*self._message(pending.splits[0]))
            self._check(answer)
            self._know(answer)
            del pending.splits[0]

    async def _call(self, action: str, params: Fields) -> Answer:
        return await self._account.answer_to(action, params, self._limits.timeout)

    def _check(self, answer: Answer) -> None:
        if answer.is_outcome_unknown:
            raise OutcomeUnknown("send", answer)
        if not answer.is_ok:
            raise ActionFailed("send", answer)

    def _know(self, answer: Answer) -> None:
        data = answer.data if isinstance(answer.data, dict) else {}
        try:
            self._sending.know(number(data.get("message_id")))
        except ValueError:
            return

    def _message(self, content: Content) -> tuple[str, Fields]:
        message = segments_of(content)
        if self.address.kind is Kind.GROUP:
            return "send_group_msg", {"group_id": self.address.number, "message": message}
        params: dict[str, object] = {"user_id": self.address.number, "message": message}
        contact = self._account.directory.contact_at(self.address)
        if isinstance(contact, Stranger) and contact.origin:
            params["group_id"] = contact.origin
        return "send_private_msg", params

    def _forward(self, pieces: Sequence[Content]) -> tuple[str, Fields]:
        nodes = build_nodes(pieces, self._account.account, self._account.nick)
        if self.address.kind is Kind.GROUP:
            return "send_group_forward_msg", {"group_id": self.address.number, "messages": nodes}
        return "send_private_forward_msg", {"user_id": self.address.number, "messages": nodes}

    # -- what became of it ---------------------------------------------------------------------

    async def _was_sent(self, pending: Pending) -> bool:
        """Look for a message that may have been sent.

        Raises:
            _Refused: nobody can tell.
            NotConnected: there is nobody to ask.
        """
        if pending.splits and len(pending.splits) > 1:
            return False  # some pieces of it were taken; the rest is sent
        failure = ""
        for pause in self._limits.looks:
            await asyncio.sleep(pause)
            failure = "" if pending.seen else await self._look(pending)
            if pending.seen:  # by the look, or an event that came meanwhile
                return True
        if failure:
            raise _Refused(f"the outcome is unknown, and the history fails: {failure}")
        return False

    async def _look(self, pending: Pending) -> str:
        """Look for it in the history; return what went wrong."""
        try:
            latest = await self._latest(self._since(pending))
        except OutcomeUnknown as error:
            if not self._account.is_online:
                raise NotConnected(error.action, why=str(error)) from error
            return str(error)
        except NotConnected:
            raise
        except ActionFailed as error:
            return str(error)
        if latest is None:
            raise _Refused(
                "the outcome is unknown, and there is no history to look for it; it is not"
                " sent again, as it may have arrived"
            )
        found = next((each for each in latest if self._is_it(pending, each)), None)
        if found is not None:
            pending.seen = found.message_id
            self._sending.know(found.message_id)
        return ""

    def _since(self, pending: Pending) -> int:
        """The time from which a message may have been sent, by the implementation's clock."""
        return int(pending.since + self._account.skew - _SLACK)

    async def _latest(self, since: float) -> list[MessageEvent] | None:
        contact = self._account.directory.contact_at(self.address)
        return await self._account.latest_of(contact, since)

    def _is_it(self, pending: Pending, event: MessageEvent) -> bool:
        is_own = event.user_id == self._account.account
        if not is_own or self._sending.is_known(event.message_id):
            return False
        is_in_time = not event.time or event.time >= self._since(pending)
        sent = pending.splits[0] if pending.splits else pending.outgoing.content
        return is_in_time and _looks(sent, event, self._limits.max_bytes)


def _looks(sent: Content, event: MessageEvent, limit: int) -> bool:
    """Return True if an own message is the one that was sent: files come back under other names."""
    if any(one.type in ("forward", "longmsg", "json") for one in event.message):
        return len(in_pieces(sent, limit)) > 1
    return _shape(sent) == _shape(content_of(event.message))


def _slim(content: Content) -> Content:
    """The content for the history: without the bytes of pictures, which the outbox needs alone."""
    parts = (
        replace(part, file=f"{part.file[:16]}…")
        if isinstance(part, Attachment) and part.file.startswith(("base64://", "data:"))
        else part
        for part in content.parts
    )
    return Content.of(*parts, font=content.font)


def _shape(content: Content) -> list[object]:
    shape: list[object] = []
    for part in content.parts:
        match part:
            case Reply():
                continue
            case str():
                text = " ".join(part.split())  # NC strips blanks at the ends
                shape += [text] if text else []
            case Face():
                shape.append(part.id)
            case At():
                shape.append(("at", part.account))
            case UnknownPart():
                shape.append(part.kind)
            case _:
                shape.append("file")
    return shape
