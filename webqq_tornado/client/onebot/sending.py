"""Sending by OneBot: in order, paced, and never twice because an answer was lost.

Each conversation has a queue that a task works off while the account is online. What can happen
to a message, and what follows:

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
import random
import time
from collections import OrderedDict, deque
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
from .transport import ActionFailed, NotConnected, OutcomeUnknown

__all__ = ["SendLimits", "Sending"]

#: Own messages that are remembered by their ids.
_REMEMBERED = 2000
#: Times that a message is sent which is not found afterwards. NC says "Timeout" of links that QQ
#: blocks, too (NC issue 808): those never arrive.
_SENDS = 2
#: Seconds that the clock of the implementation may be behind where one looks for a message.
_SLACK = 3.0


class SendLimits:
    """Pace and sizes of what is sent.

    Args:
        pace: least and most seconds between two messages of the account: a random number of
            them, as even pauses are what a platform takes for a bot.
        max_bytes: of UTF-8 in one message; GC's limit was about 5,000 (issue 217).
        forward_above: messages that one content may be split into; a longer one goes as one
            forwarded message. 0 splits always.
        timeout: seconds for an answer.
        looks: seconds before each look for a message whose outcome is unknown: an implementation
            may send it a while after the connection that it came over was lost.
        fail_max: failures in a row after which a conversation rests.
        rest: seconds of that.

    Raises:
        ValueError: one of them cannot be; says which.

    Example:
        >>> account = OneBotAccount(stream, "ws://127.0.0.1:3001", limits=SendLimits(pace=(1, 3)))
    """

    def __init__(
        self,
        *,
        pace: tuple[float, float] = (0.4, 1.2),
        max_bytes: int = 4500,
        forward_above: int = 3,
        timeout: float = 60.0,
        looks: tuple[float, ...] = (1.0, 4.0, 10.0),
        fail_max: int = 4,
        rest: float = 60.0,
    ) -> None:
        if not 0 <= pace[0] <= pace[1]:
            raise ValueError("pace is the least and the most seconds between two messages")
        if max_bytes < 4:
            raise ValueError("max_bytes is at least 4, the longest character")
        if timeout <= 0 or not looks or min(looks) < 0 or rest < 0:
            raise ValueError("timeout, looks and rest are seconds, and there is a look")
        if fail_max < 1 or forward_above < 0:
            raise ValueError("fail_max is at least 1, and forward_above at least 0")
        self.pace, self.max_bytes, self.forward_above = pace, max_bytes, forward_above
        self.timeout, self.looks = timeout, looks
        self.fail_max, self.rest = fail_max, rest


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


class _Pending:
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
        if self.receipt.done() or self.receipt.get_loop().is_closed():
            return
        if isinstance(outcome, Receipt):
            self.receipt.set_result(outcome)
        else:
            self.receipt.set_exception(outcome)


class _Refused(Exception):
    """The message cannot be delivered."""


class Sending:
    """Sending of an account's messages.

    Args:
        account: whose.
        limits: pace and sizes.
    """

    def __init__(self, account: Sender, limits: SendLimits) -> None:
        self._account, self._limits = account, limits
        self._queues: dict[tuple[str, int], _Queue] = {}
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._next_at = 0.0  # monotonic

    def __len__(self) -> int:
        return sum(len(queue.waiting) for queue in self._queues.values())

    @property
    def receipts(self) -> set[asyncio.Future[Receipt]]:
        """Receipts of all waiting messages."""
        return {each.receipt for queue in self._queues.values() for each in queue.waiting}

    def put(self, contact: Contact, content: Content) -> asyncio.Future[Receipt]:
        """Accept a message; from here on it is in the records.

        Args:
            contact: to whom.
            content: what.

        Raises:
            StoreError: the records cannot be written.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        address = self._account.directory.address_of(contact)
        messages = self._account.records.accept(address, self._pieces(content))
        self._add(address, messages, receipt)
        return receipt

    def _pieces(self, content: Content) -> tuple[Content, ...]:
        pieces = in_pieces(content, self._limits.max_bytes)
        is_forwarded = 0 < self._limits.forward_above < len(pieces)
        return (content,) if is_forwarded else pieces

    def _add(
        self,
        address: Address,
        messages: Sequence[OutgoingMessage],
        receipt: asyncio.Future[Receipt],
        *,
        is_first: bool = False,
    ) -> None:
        key = address.kind.value, address.number
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(self._account, self, address, self._limits)
        pieces = tuple(outgoing.content for outgoing in messages)
        added = [_Pending(outgoing, pieces, receipt) for outgoing in messages]
        added[0].is_unknown = is_first and not queue.waiting
        queue.waiting += added
        queue.resume()

    def restore(self) -> list[asyncio.Future[Receipt]]:
        """Take up what earlier processes have accepted and not delivered.

        The first message of each conversation may have been sent: the others waited for it.
        """
        waiting = [queue.waiting for queue in self._queues.values()]
        known = {each.outgoing.id for queue in waiting for each in queue}
        contents: dict[int, list[OutgoingMessage]] = {}
        for outgoing in self._account.records.outbox():
            if outgoing.id not in known:
                contents.setdefault(outgoing.whole, []).append(outgoing)
        receipts = []
        begun: set[tuple[Kind, int]] = set()
        for messages in contents.values():
            receipts.append(asyncio.get_running_loop().create_future())
            address = messages[0].address
            is_first = (address.kind, address.number) not in begun
            begun.add((address.kind, address.number))
            self._add(address, messages, receipts[-1], is_first=is_first)
        return receipts

    def resume(self) -> None:
        """The account is online: send."""
        for queue in tuple(self._queues.values()):
            queue.resume()

    def abandon(self, reason: str) -> None:
        """The account is not online, and will not be by itself.

        Args:
            reason: for those who wait for receipts.
        """
        kept = "; it is kept, and sent next time" if self._account.records.is_kept else ""
        queues, self._queues = self._queues, {}
        for queue in queues.values():
            queue.abandon(f"{reason}{kept}")

    def on_own(self, event: MessageEvent) -> bool:
        """Take a message of the account itself; return True if it was sent from here.

        It may come before the answer to its sending.

        Args:
            event: as it came.
        """
        if event.message_id in self._ids:
            return True
        kind = Kind.GROUP if event.is_group else None
        for (word, peer), queue in self._queues.items():
            is_same_kind = (word == Kind.GROUP.value) == (kind is Kind.GROUP)
            # LG and others do not tell to whom a private message of one's own went.
            if is_same_kind and event.peer in (peer, 0) and queue.recognize(event):
                self.know(event.message_id)
                return True
        return False

    def is_known(self, message_id: int) -> bool:
        """Return True if a message was sent from here.

        Args:
            message_id: of it.
        """
        return message_id in self._ids

    def know(self, message_id: int) -> None:
        """Remember that a message was sent from here.

        Args:
            message_id: of it; 0 is none.
        """
        if message_id:
            self._ids[message_id] = None
            while len(self._ids) > _REMEMBERED:
                self._ids.popitem(last=False)

    async def turn(self) -> None:
        """Wait until the account may send again."""
        now = time.monotonic()
        least, most = self._limits.pace
        begin = max(now, self._next_at)
        self._next_at = begin + random.uniform(least, most)  # noqa: S311 - a pause, no secret
        if begin > now:
            await asyncio.sleep(begin - now)


class _Queue:
    """The messages to one conversation."""

    def __init__(
        self, account: Sender, sending: Sending, address: Address, limits: SendLimits
    ) -> None:
        self._account, self._sending, self._limits = account, sending, limits
        self.address = address
        self.waiting: deque[_Pending] = deque()
        self._task: asyncio.Task[None] | None = None
        self._failures, self._why = 0, ""  # in a row, and why the last one failed
        self._rests_until = 0.0  # monotonic

    def resume(self) -> None:
        is_idle = self._task is None or self._task.done()
        if is_idle and self.waiting and self._account.is_online:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def abandon(self, reason: str) -> None:
        if self._task is not None:
            self._task.cancel()
        while self.waiting:
            self.waiting.popleft().resolve(self._error(reason))

    def recognize(self, event: MessageEvent) -> bool:
        """Return True if an own message is the first that waits here."""
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

    def _deliver(self, pending: _Pending) -> None:
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

    def _fail(self, pending: _Pending, why: str) -> None:
        """One piece has failed: so have all of its content."""
        while self.waiting and self.waiting[0].receipt is pending.receipt:
            self._account.records.drop(self.waiting.popleft().outgoing)
        pending.resolve(self._error(why))

    async def _is_delivered(self, pending: _Pending) -> bool:
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

    async def _send(self, pending: _Pending) -> bool:
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

    async def _post(self, pending: _Pending) -> None:
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

    async def _was_sent(self, pending: _Pending) -> bool:
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

    async def _look(self, pending: _Pending) -> str:
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

    def _since(self, pending: _Pending) -> int:
        """The time from which a message may have been sent, by the implementation's clock."""
        return int(pending.since + self._account.skew - _SLACK)

    async def _latest(self, since: float) -> list[MessageEvent] | None:
        contact = self._account.directory.contact_at(self.address)
        return await self._account.latest_of(contact, since)

    def _is_it(self, pending: _Pending, event: MessageEvent) -> bool:
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
