"""All outboxes of a client: accepted messages find their contacts again in each session."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from ..engine.errors import StreamError
from ..engine.links import Errback, Link, Next
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.models.content import Content
from .address import Address, Kind
from .contacts import Contact, name_of
from .context import ClientContext, Loss
from .directory import LOST, Directory, recovery_of
from .message_tokens import MessageTokens
from .outbox import PAUSE, Outbox, PendingMessage, in_pieces
from .receipt import Receipt, SendError
from .store import OutgoingMessage

__all__ = ["Delivery"]

_NOBODY = "the contact is gone, or several have its name"


class Delivery:
    """Passes each message to the outbox of its contact.

    In a new session every contact must be found again, maybe by asking the server. Until all
    are found nothing is sent: a later message must not overtake an earlier one whose contact
    turns out to be the same.

    Args:
        context: of the client.
        directory: finds the contacts.
        tokens: signs messages to strangers.
    """

    def __init__(self, context: ClientContext, directory: Directory, tokens: MessageTokens) -> None:
        self._context = context
        self._directory = directory
        self._tokens = tokens
        self._found: dict[tuple[Kind, str, int], Outbox] = {}
        self._lost: list[Outbox] = []  # whose contacts must be found first
        self._sought: set[Outbox] = set()  # those of them whose search is running

    def __len__(self) -> int:
        return sum(map(len, (*self._found.values(), *self._lost)))

    @property
    def receipts(self) -> set[asyncio.Future[Receipt]]:
        """Receipts of all waiting messages."""
        outboxes = (*self._found.values(), *self._lost)
        return {receipt for outbox in outboxes for receipt in outbox.receipts}

    def accept(self, contact: Contact, content: Content) -> asyncio.Future[Receipt]:
        """Accept a message; from now on it is in the records.

        Args:
            contact: recipient.
            content: of the message.

        Returns:
            A future of the receipt; raises `SendError`.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        address = self._directory.address_of(contact)
        if address is None:
            receipt.set_exception(SendError(f"not sent to {name_of(contact)}: {_NOBODY}"))
            return receipt
        messages = self._context.records.accept(address, in_pieces(content))
        outbox = self._found.get(_key(address))
        if outbox is None:
            # While its contact is looked for, an outbox has no uin of this session: a second one
            # for the same contact could overtake it.
            outbox = next((one for one in self._lost if one.address == address), None)
        if outbox is None:
            outbox = self._new_outbox(address)
            self._lost.append(outbox)
        outbox.add(_pending(messages, receipt))
        if self._lost:
            self._seek()
        else:
            outbox.resume()
        return receipt

    def restore(self) -> list[asyncio.Future[Receipt]]:
        """Restore the messages that earlier processes accepted and did not deliver.

        `resume` sends them.

        Returns:
            Futures of their receipts, which nobody else has.
        """
        known = {
            message.id for one in (*self._found.values(), *self._lost) for message in one.messages
        }
        contents: dict[int, list[OutgoingMessage]] = defaultdict(list)
        for message in self._context.records.outbox():
            if message.id not in known:
                contents[message.whole].append(message)
        receipts = []
        outboxes: dict[Address, Outbox] = {}
        for messages in contents.values():
            address = messages[0].address
            outbox = outboxes.setdefault(address, self._new_outbox(address))
            receipts.append(asyncio.get_running_loop().create_future())
            outbox.add(_pending(messages, receipts[-1]))
        self._lost += outboxes.values()
        return receipts

    def resume(self) -> None:
        """Find the contacts in the new session, and send."""
        if self._lost:
            self._seek()
        else:
            self._resume_all()

    def pause(self) -> None:
        """Stop sending: the session has ended."""
        # Empty ones go: their contacts would have to be found again for nothing.
        waiting = [outbox for outbox in (*self._found.values(), *self._lost) if outbox]
        for outbox in self._found.values():
            outbox.pause()
        self._found, self._lost = {}, waiting
        self._sought.clear()

    def abandon(self, reason: str) -> None:
        """Fail all receipts: there will be no session.

        Args:
            reason: of the errors. Messages in a store are sent after the next login.
        """
        is_kept = self._context.records.is_kept
        kept = "; the store keeps it, and it is sent after the next login" if is_kept else ""
        self.pause()
        for outbox in self._lost:
            outbox.abandon(f"not sent to {outbox.address.name}: {reason}{kept}")
        self._lost = []

    def _new_outbox(self, address: Address) -> Outbox:
        return Outbox(self._context, self._directory, self._tokens, address)

    # -- finding the contacts -----------------------------------------------------------------

    def _seek(self) -> None:
        if not self._context.is_online:
            return
        # A copy: a contact that is at hand is found at once, and leaves the list meanwhile.
        for outbox in [outbox for outbox in self._lost if outbox not in self._sought]:
            self._sought.add(outbox)
            link = self._seek_link(outbox)
            if isinstance(link, Next):
                name = f"find {outbox.address.name}"
                self._context.add_chain(link, name, self._errback(outbox))

    def _seek_link(self, outbox: Outbox) -> Link:
        def then(contact: Contact | None) -> Link:
            self._on_found(outbox, contact)
            return None

        return self._directory.find(outbox.address, then)

    def _on_found(self, outbox: Outbox, contact: Contact | None) -> None:
        self._lost.remove(outbox)
        self._sought.discard(outbox)
        address = self._directory.address_of(contact) if contact is not None else None
        if contact is None or address is None:
            outbox.fail(_NOBODY)
        else:
            if address != outbox.address:  # a new uin, or a number that was not known before
                self._context.records.remember(address)
            other = self._found.setdefault(_key(address), outbox)
            if other is not outbox:  # two addresses, by name and by number, meant the same contact
                other.absorb(outbox)
            other.move(address, contact)
        if not self._lost:
            self._resume_all()

    def _resume_all(self) -> None:
        for outbox in tuple(self._found.values()):
            outbox.resume()

    def _errback(self, outbox: Outbox) -> Errback:
        return lambda error: self._on_error(error, outbox)

    def _on_error(self, error: Exception, outbox: Outbox) -> Link:
        if isinstance(error, RefusedError) and error.action in LOST:
            self._context.report_loss(Loss(str(error), recovery_of(error.action)))
            return None
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        link = self._seek_link(outbox)  # only poll decides that the session is lost
        return link._replace(delay=PAUSE) if isinstance(link, Next) else link


def _key(address: Address) -> tuple[Kind, str, int]:
    return address.kind, address.session, address.uin


def _pending(
    messages: Sequence[OutgoingMessage], receipt: asyncio.Future[Receipt]
) -> list[PendingMessage]:
    pieces = tuple(message.content for message in messages)
    return [PendingMessage(message, pieces, receipt) for message in messages]
