"""Sending to one contact: in order, at the pace the servers bore, resent when in doubt."""

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
#: When nobody answers with sense, that is no refusal of the message: so many times one logs in
#: again and goes on with it.
LOGINS = 3
#: Seconds for a request, and the most of them: twice as many after each of these logins. To send a
#: message twice costs nothing, since the server knows it; to wait for an answer that was lost does.
PATIENCE, MOST_PATIENCE = 4.0, 30.0
#: Seconds for which a message waits for a server that says "not now" (Retry-After), and the longest
#: pause between two tries.
NOT_NOW_SECONDS, LONGEST_PAUSE = 600.0, 30.0
_NOT_NOW = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS})


class PendingMessage:
    """A letter on its way, and the receipt that somebody waits for.

    Args:
        letter: what is to be sent, one piece.
        pieces: all of its content.
        receipt: of the whole content.
    """

    __slots__ = ("letter", "logins", "pieces", "put_off_at", "receipt", "tries")

    def __init__(
        self, letter: OutgoingMessage, pieces: tuple[Content, ...], receipt: asyncio.Future[Receipt]
    ) -> None:
        self.letter = letter
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
    """The messages to one contact.

    Args:
        context: of the client.
        directory: knows the contact's number.
        tokens: signs messages to strangers.
        address: of the contact.

    Attributes:
        address: as above, as of the session in which it was found last.
        contact: in the present session; None as long as it was not found there.
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
        self._had_trouble = False  # with the network, and in this session

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def letters(self) -> list[OutgoingMessage]:
        """Waiting messages, in order."""
        return [slip.letter for slip in self._waiting]

    @property
    def receipts(self) -> list[asyncio.Future[Receipt]]:
        """Receipts of the waiting messages, in order."""
        return [slip.receipt for slip in self._waiting]

    def add(self, slips: Sequence[PendingMessage]) -> None:
        """Have letters wait for their turn, which is that of their acceptance."""
        is_late = bool(self._waiting) and self._waiting[-1].letter.id > slips[0].letter.id
        self._waiting.extend(slips)
        if is_late:
            self._waiting = deque(sorted(self._waiting, key=lambda slip: slip.letter.id))

    def absorb(self, other: Outbox) -> None:
        """Take over what waits for the same contact elsewhere."""
        slips, other._waiting = other._waiting, deque()
        if slips:
            self.add(slips)

    def move(self, address: Address, contact: Contact) -> None:
        """The contact was found in the present session."""
        self.address, self.contact = address, contact
        records = self._context.records
        for slip in [slip for slip in self._waiting if not records.is_waiting(slip.letter)]:
            self._waiting.remove(slip)  # another process with the same store has sent it
            slip.resolve(Receipt(contact, slip.pieces, time.time()))

    def resume(self) -> None:
        """Go on sending, if there is a session and something to send."""
        if self._context.is_online and self._chain is None and self._waiting and self.contact:
            link = self._next_link()
            if isinstance(link, Next):
                name = f"send to {name_of(self.contact)}"
                self._chain = self._context.add_chain(link, name, self._on_error)

    def pause(self) -> None:
        """The session is gone: what is under way is sent again in the next one."""
        if self.contact is not None:  # its number may have been looked up meanwhile
            self.address = self._directory.address_of(self.contact) or self.address
        self.contact, self._had_trouble = None, False
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def fail(self, reason: str) -> None:
        """Nothing of it will ever be sent."""
        for letter in self.letters:
            self._context.records.drop(letter)
        self.abandon(f"not sent to {self.address.name}: {reason}")

    def abandon(self, message: str) -> None:
        """Nothing will be sent any more by this client."""
        self.pause()
        while self._waiting:
            self._waiting.popleft().resolve(SendError(message))

    # -- the chain ----------------------------------------------------------------------------

    def _next_link(self, delay: float = 0) -> Link:
        """Send the first letter; before that, what has to be known for it."""
        if not self._waiting or self.contact is None:
            self._chain = None
            return None
        contact = self.contact
        directory = self._directory
        if self._context.records.is_kept and not directory.is_asked(contact):
            # By its number it is found in a later session, whatever its name is then.
            link = directory.ask(contact, lambda _number: self._letter_link(contact), delay)
            return self._limited(link)
        return self._letter_link(contact, delay)

    def _limited(self, link: Link) -> Link:
        """A link of ours with a timeout of its own."""
        if not isinstance(link, Next) or not self._waiting:
            return link
        seconds = min(PATIENCE * 2 ** self._waiting[0].logins, MOST_PATIENCE)
        request = Request.of(link.request).replace(request_timeout=seconds)
        return link._replace(request=request)

    def _letter_link(self, contact: Contact, delay: float = 0) -> Link:
        if not isinstance(contact, Stranger):
            return self._send(self._request(contact), delay)

        def sign(signature: Secret) -> Link:
            return self._send(self._session_request(contact, signature), delay)

        return self._limited(self._tokens.get(contact, sign))

    def _send(self, request: Request, delay: float) -> Link:
        letter = self._waiting[0].letter
        key = idempotency_key(letter.clientid, letter.message_id)
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
        letter, session = self._waiting[0].letter, self._context.connection.open_session
        return letter.content, letter.message_id, letter.clientid, session.psessionid

    def _pause_before(self) -> float:
        if self.address.kind not in (Kind.GROUP, Kind.DISCUSSION):
            return 0.0
        is_repeated = self._waiting[0].letter.content.text == self._last_text
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
        why = f"the server refused it with retcode {reply.retcode} ({reply.text})"
        if reply.action in LOST:
            self._lose(reply, why)
            return None
        if isinstance(self.contact, Stranger):
            self._tokens.forget(self.contact)
        return self._again(why)

    def _may_wait(self) -> bool:
        """Return True if the first message has not been postponed for too long yet."""
        slip, now = self._waiting[0], time.monotonic()
        if slip.put_off_at is None:
            slip.put_off_at = now
        return now - slip.put_off_at < NOT_NOW_SECONDS

    def _deliver(self) -> None:
        slip = self._waiting.popleft()
        letter = slip.letter
        self._last_time, self._last_text = time.monotonic(), letter.content.text
        context, had_trouble, self._had_trouble = self._context, self._had_trouble, False
        if had_trouble:
            context.report_reachable()
        context.records.sent(
            letter,
            Entry(
                *(0, context.account, self.address.kind, self.address.number, self.address.name),
                *(context.nick, context.account, True, time.time(), letter.content),
            ),
        )
        if letter.content is slip.pieces[-1] and self.contact is not None:
            slip.resolve(Receipt(self.contact, slip.pieces, time.time()))

    def _lose(self, reply: SendReply, why: str) -> None:
        """Log in again after a refusal; a message that is refused in every session fails."""
        self._chain = None
        self._count(why)
        reason = f"sending was refused with retcode {reply.retcode}"
        self._context.report_loss(Loss(reason, recovery_of(reply.action)))

    def _on_error(self, error: Exception) -> Link:
        """Errback of the chain: no answer, or none with sense."""
        if isinstance(error, RefusedError):  # asking for a number, or for a signature
            if error.action in LOST:
                self._chain = None
                self._context.report_loss(Loss(str(error), recovery_of(error.action)))
                return None
            return self._again(str(error))
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        self._had_trouble |= isinstance(error, StreamError)
        slip = self._waiting[0]
        if slip.tries < RESENDS or slip.logins == LOGINS:
            # A message that has waited in vain has waited long enough.
            return self._again(str(error), 0 if isinstance(error, TimeoutError) else PAUSE)
        slip.tries, slip.logins = 0, slip.logins + 1
        self._chain = None
        why = f"sending does not work: {error}"
        is_away = isinstance(error, StreamError)
        self._context.report_loss(Loss(why, Recovery.RECONNECT if is_away else Recovery.LOG_IN))
        return None

    def _again(self, why: str, pause: float | None = None) -> Link:
        is_left = self._count(why)
        return self._next_link((PAUSE if pause is None else pause) if is_left else 0)

    def _count(self, why: str) -> bool:
        """One try of the first letter has failed; after the last, all of its content does."""
        slip = self._waiting[0]
        slip.tries += 1
        if slip.tries <= RESENDS:
            return True
        while self._waiting and self._waiting[0].receipt is slip.receipt:
            self._context.records.drop(self._waiting.popleft().letter)
        slip.resolve(SendError(f"not sent to {self.address.name}: {why}"))
        return False


def in_pieces(content: Content, limit: int = MAX_BYTES) -> tuple[Content, ...]:
    """The content in pieces that the server takes, as few as keep it in order.

    Args:
        content: which.
        limit: bytes of UTF-8 of one piece.
    """
    if _size(content.parts) <= limit:
        return (content,)
    pieces: list[list[Part]] = [[]]
    for part in content.parts:
        bits: Sequence[Part] = split_text(part, limit) if isinstance(part, str) else (part,)
        for number, bit in enumerate(bits):
            # What was cut apart stays apart: the white space between is gone.
            if number or _size([*pieces[-1], bit]) > limit:
                pieces.append([])
            pieces[-1].append(bit)
    return tuple(Content(tuple(parts), content.font) for parts in pieces if parts)


def _size(parts: Sequence[Part]) -> int:
    return len(Content(tuple(parts)).text.encode("utf-8", "replace"))
