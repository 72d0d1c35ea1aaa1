"""Sending by OneBot: a queue for each conversation, and a pace for all of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Sequence

from ...onebot.v11.events import MessageEvent
from ...protocol.models.content import Content
from ..address import Address, Kind
from ..contacts import Contact
from ..outbox import in_pieces
from ..receipt import Receipt
from ..store import OutgoingMessage
from .conversation_queue import ConversationQueue, Pending, Sender
from .limits import SendLimits

__all__ = ["Sending"]

#: Own messages that are remembered by their ids.
_REMEMBERED = 2000


class Sending:
    """Sending of an account's messages.

    Args:
        account: whose.
        limits: pace and sizes.
    """

    def __init__(self, account: Sender, limits: SendLimits) -> None:
        self._account, self._limits = account, limits
        self._queues: dict[tuple[str, int], ConversationQueue] = {}
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
            queue = self._queues[key] = ConversationQueue(
                self._account, self, address, self._limits
            )
        pieces = tuple(outgoing.content for outgoing in messages)
        added = [Pending(outgoing, pieces, receipt) for outgoing in messages]
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
