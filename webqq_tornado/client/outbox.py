"""Sending to one contact: in order, at the rate that servers accepted, repeated when in doubt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus

from ..engine.chain import Chain
from ..engine.errors import StreamError, TimeoutError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..protocol import forms
from ..protocol.content import MAX_BYTES, split_text
from ..protocol.delivery import IDEMPOTENCY_KEY, idempotency_key
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.models.content import Content, Part
from ..protocol.models.events import SendReply
from ..protocol.models.login import Secret
from ..protocol.models.people import Discussion, Group
from ..retry import retry_after
from .address import Address, Kind
from .contacts import Contact, Stranger, name_of
from .context import ClientContext, Loss, Recovery
from .directory import LOST, Directory, recovery_of
from .history import Entry
from .message_tokens import MessageTokens
from .receipt import Receipt, SendError
from .store import OutgoingMessage

__all__ = ["Outbox", "PendingMessage", "in_pieces"]

#: Seconds between two messages to one group or discussion; the server dropped what came faster
#: (pual_bot 2013, twqq 2014).
GROUP_SPACING = 0.5
#: Seconds more when the same text is repeated (the same).
REPEAT_SPACING = 0.5
#: Times that a message is sent again (Mojo-Webqq 2018), and seconds before that.
RESENDS, PAUSE = 3, 1.0
#: An answer that makes no sense does not refuse the message: so many times the client logs in
#: again and repeats it.
LOGINS = 3
#: Seconds for a request, doubled after each of these logins, and their maximum. Repeating a message
#: costs nothing, since the server recognizes it; waiting for a lost answer does.
PATIENCE, MOST_PATIENCE = 4.0, 30.0
#: Seconds for which a message waits for a server that answers "not now" (Retry-After), and the
#: longest pause between two tries.
NOT_NOW_SECONDS, LONGEST_PAUSE = 600.0, 30.0
_NOT_NOW = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})


class PendingMessage:
    """A message on its way, and the receipt that its sender awaits.

    Args:
        message: one piece of the content.
        pieces: all of its content.
        receipt: of the whole content.
    """

    __slots__ = ("logins", "message", "pieces", "put_off_at", "receipt", "tries")

    def __init__(
        self,
        message: OutgoingMessage,
        pieces: tuple[Content, ...],
        receipt: asyncio.Future[Receipt],
    ) -> None:
        self.message = message
        self.pieces = pieces
        self.receipt = receipt
        self.tries = self.logins = 0
        self.put_off_at: float | None = None  # time.monotonic() of the first "not now"

    def resolve(self, outcome: Receipt | SendError) -> None:
        """Set the result of the receipt."""
        if self.receipt.done():
            return
        if isinstance(outcome, SendError):
            self.receipt.set_exception(outcome)
        else:
            self.receipt.set_result(outcome)


class Outbox:
    """The waiting messages to one contact.

    Args:
        context: of the client.
        directory: knows the contact's number.
        tokens: signs messages to strangers.
        address: of the contact.

    Attributes:
        address: as above, as of the session in which it was found last.
        contact: in the present session; None until it is found there.
    """

    def __init__(
        self,
        context: ClientContext,
        directory: Directory,
        tokens: MessageTokens,
        address: Address,
    ) -> None:
        self._context = context
        self._directory = directory
        self._tokens = tokens
        self.address = address
        self.contact: Contact | None = None
        self._waiting: deque[PendingMessage] = deque()
        self._chain: Chain | None = None
        self._last_time = 0.0
        self._last_text = ""
        self._had_trouble = False  # of the network, in this session

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def messages(self) -> list[OutgoingMessage]:
        """Waiting messages, in order."""
        return [pending.message for pending in self._waiting]

    @property
    def receipts(self) -> list[asyncio.Future[Receipt]]:
        """Receipts of the waiting messages, in order."""
        return [pending.receipt for pending in self._waiting]

    def add(self, pending: Sequence[PendingMessage]) -> None:
        """Add messages, in the order of their acceptance."""
        # `absorb` brings older messages; ids are in the order of acceptance, over all sessions.
        is_late = bool(self._waiting) and self._waiting[-1].message.id > pending[0].message.id
        self._waiting.extend(pending)
        if is_late:
            self._waiting = deque(sorted(self._waiting, key=lambda pending: pending.message.id))

    def absorb(self, other: Outbox) -> None:
        """Take over the messages of another outbox for the same contact."""
        pending, other._waiting = other._waiting, deque()
        if pending:
            self.add(pending)

    def move(self, address: Address, contact: Contact) -> None:
        """Set the contact, found in the present session."""
        self.address, self.contact = address, contact
        records = self._context.records
        for pending in [one for one in self._waiting if not records.is_waiting(one.message)]:
            self._waiting.remove(pending)  # another process with the same store has sent it
            pending.resolve(Receipt(contact, pending.pieces, time.time()))

    def resume(self) -> None:
        """Continue sending, if there is a session and a message."""
        if self._context.is_online and self._chain is None and self._waiting and self.contact:
            link = self._next_link()
            if isinstance(link, Next):
                name = f"send to {name_of(self.contact)}"
                self._chain = self._context.add_chain(link, name, self._on_error)

    def pause(self) -> None:
        """Stop: the session has ended, and the next one repeats the unanswered message."""
        if self.contact is not None:  # its number may be known by now
            self.address = self._directory.address_of(self.contact) or self.address
        self.contact, self._had_trouble = None, False
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def fail(self, reason: str) -> None:
        """Drop all messages for good."""
        for message in self.messages:
            self._context.records.drop(message)
        self.abandon(f"not sent to {self.address.name}: {reason}")

    def abandon(self, message: str) -> None:
        """Fail all receipts; messages in a store stay there."""
        self.pause()
        while self._waiting:
            self._waiting.popleft().resolve(SendError(message))

    # -- the chain ----------------------------------------------------------------------------

    def _next_link(self, delay: float = 0) -> Link:
        """Send the first message, after looking up the contact's number."""
        if not self._waiting or self.contact is None:
            self._chain = None
            return None
        contact = self.contact
        directory = self._directory
        if self._context.records.is_kept and not directory.is_asked(contact):
            # With its number a later session finds the contact under any name.
            link = directory.look_up_number(
                contact, lambda _number: self._message_link(contact), delay
            )
            return self._limited(link)
        return self._message_link(contact, delay)

    def _limited(self, link: Link) -> Link:
        """Set the timeout of a link."""
        if not isinstance(link, Next) or not self._waiting:
            return link
        seconds = min(PATIENCE * 2 ** self._waiting[0].logins, MOST_PATIENCE)
        request = Request.of(link.request).replace(request_timeout=seconds)
        return link._replace(request=request)

    def _message_link(self, contact: Contact, delay: float = 0) -> Link:
        if not isinstance(contact, Stranger):
            return self._send(self._request(contact), delay)

        def sign(signature: Secret) -> Link:
            return self._send(self._session_request(contact, signature), delay)

        return self._limited(self._tokens.get(contact, sign))

    def _send(self, request: Request, delay: float) -> Link:
        message = self._waiting[0].message
        # The numbers of its acceptance, not of this session: a process that was killed after the
        # server had the message sends it again, and the server recognizes it.
        key = idempotency_key(message.clientid, message.message_id)
        request = request.replace(headers=(*request.header_pairs, (IDEMPOTENCY_KEY, key)))
        return self._limited(Next(request, self._on_reply, max(delay, self._pause_before())))

    def _request(self, contact: Contact) -> Request:
        connection, rest = self._context.connection, self._message()
        dialect = connection.dialect
        if isinstance(contact, Group):
            to_group = forms.GroupSendForm(contact.gid, *rest)
            return connection.request(dialect.send_group, to_group)
        if isinstance(contact, Discussion):
            to_discussion = forms.DiscussionSendForm(contact.did, *rest)
            return connection.request(dialect.send_discussion, to_discussion)
        return connection.request(dialect.send_friend, forms.SendForm(contact.uin, *rest))

    def _session_request(self, stranger: Stranger, signature: Secret) -> Request:
        content, message_id, clientid, psessionid = self._message()
        form = forms.SessionSendForm(
            *(stranger.uin, signature, content, stranger.service_type),
            *(message_id, clientid, psessionid),
        )
        connection = self._context.connection
        return connection.request(connection.dialect.send_session, form)

    def _message(self) -> tuple[Content, int, int, Secret]:
        message, session = self._waiting[0].message, self._context.connection.open_session
        return message.content, message.message_id, message.clientid, session.psessionid

    def _pause_before(self) -> float:
        if self.address.kind not in (Kind.GROUP, Kind.DISCUSSION):
            return 0.0
        is_repeated = self._waiting[0].message.content.text == self._last_text
        repeat = REPEAT_SPACING if is_repeated else 0.0
        return max(0.0, self._last_time + GROUP_SPACING + repeat - time.monotonic())

    def _on_reply(self, response: Response) -> Link:
        asked = retry_after(response, time.time())
        if response.status in _NOT_NOW and asked and self._may_wait():
            return self._next_link(min(asked, LONGEST_PAUSE))
        # The answer is the same for friends, groups, discussions and strangers.
        reply = self._context.connection.dialect.send_friend.parse(response.body)
        if reply.is_accepted:
            self._deliver()
            return self._next_link()
        why = f"the server refused the message with retcode {reply.retcode} ({reply.text})"
        if reply.action in LOST:
            self._lose(reply, why)
            return None
        if isinstance(self.contact, Stranger):  # its token may have expired before its time
            self._tokens.forget(self.contact)
        return self._again(why)

    def _may_wait(self) -> bool:
        """Return True if the first message has not been postponed for too long yet."""
        pending, now = self._waiting[0], time.monotonic()
        if pending.put_off_at is None:
            pending.put_off_at = now
        return now - pending.put_off_at < NOT_NOW_SECONDS

    def _deliver(self) -> None:
        pending = self._waiting.popleft()
        message = pending.message
        self._last_time, self._last_text = time.monotonic(), message.content.text
        context, had_trouble, self._had_trouble = self._context, self._had_trouble, False
        # An answer after an outage: the poll's connection may have died with it, unnoticed.
        if had_trouble:
            context.report_reachable()
        context.records.sent(
            message,
            Entry(
                *(0, context.account, self.address.kind, self.address.number, self.address.name),
                *(context.nick, context.account, True, time.time(), message.content),
            ),
        )
        # Identity, not equality: a text of equal pieces would have its receipt too early.
        if message.content is pending.pieces[-1] and self.contact is not None:
            pending.resolve(Receipt(self.contact, pending.pieces, time.time()))

    def _lose(self, reply: SendReply, why: str) -> None:
        """Log in again after a refusal; a message that is refused in every session fails."""
        self._chain = None
        self._count(why)
        reason = f"sending was refused with retcode {reply.retcode}"
        self._context.report_loss(Loss(reason, recovery_of(reply.action)))

    def _on_error(self, error: Exception) -> Link:
        """Errback of the chain: no answer, or one without sense."""
        if isinstance(error, RefusedError):  # the request for a number, or for a signature
            if error.action in LOST:
                self._chain = None
                self._context.report_loss(Loss(str(error), recovery_of(error.action)))
                return None
            return self._again(str(error))
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        self._had_trouble |= isinstance(error, StreamError)
        pending = self._waiting[0]
        if pending.tries < RESENDS or pending.logins == LOGINS:
            # A timeout has cost time enough: no pause after it.
            return self._again(str(error), 0 if isinstance(error, TimeoutError) else PAUSE)
        pending.tries, pending.logins = 0, pending.logins + 1
        self._chain = None
        why = f"sending failed: {error}"
        is_away = isinstance(error, StreamError)
        self._context.report_loss(Loss(why, Recovery.RECONNECT if is_away else Recovery.LOG_IN))
        return None

    def _again(self, why: str, pause: float | None = None) -> Link:
        is_left = self._count(why)
        return self._next_link((PAUSE if pause is None else pause) if is_left else 0)

    def _count(self, why: str) -> bool:
        """Count a failed try of the first message; fail its whole content after the last try."""
        pending = self._waiting[0]
        pending.tries += 1
        if pending.tries <= RESENDS:
            return True
        while self._waiting and self._waiting[0].receipt is pending.receipt:
            self._context.records.drop(self._waiting.popleft().message)
        pending.resolve(SendError(f"not sent to {self.address.name}: {why}"))
        return False


def in_pieces(content: Content, limit: int = MAX_BYTES) -> tuple[Content, ...]:
    """Split a content into as few pieces as the server accepts.

    Args:
        content: of the message.
        limit: bytes of UTF-8 of one piece.
    """
    if _size(content.parts) <= limit:
        return (content,)
    pieces: list[list[Part]] = [[]]
    used = 0
    for part in content.parts:
        bits: Sequence[Part] = split_text(part, limit) if isinstance(part, str) else (part,)
        for number, bit in enumerate(bits):
            size = _size((bit,))
            # Pieces of one text stay apart: the white space between them is gone.
            if number or used + size > limit:
                pieces.append([])
                used = 0
            pieces[-1].append(bit)
            used += size
    return tuple(Content(tuple(parts), content.font) for parts in pieces if parts)


def _size(parts: Sequence[Part]) -> int:
    return len(Content(tuple(parts)).text.encode("utf-8", "replace"))
