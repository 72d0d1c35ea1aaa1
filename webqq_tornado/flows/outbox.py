"""Sending: in order for each contact, at the pace the servers bore, resent when in doubt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from urllib.request import Request

from ..engine.chain import Chain, Link, Next
from ..engine.errors import StreamError
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action
from ..protocol.content import MAX_BYTES, split_text
from ..protocol.dialect import Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from ..protocol.models import Content, Group, Part, Session
from .contacts import Contact, name_of

__all__ = ["Outbox", "Receipt", "SendError"]

#: Seconds between two messages to one group; the server dropped what came faster
#: (pual_bot 2013, twqq 2014).
GROUP_SPACING = 0.5
#: Seconds more when the same text is repeated (the same).
REPEAT_SPACING = 0.5
#: Times that a message is sent again (Mojo-Webqq 2018), and seconds before that.
RESENDS, PAUSE = 3, 1.0


class SendError(Exception):
    """A message was not delivered; says to whom and why."""


class Receipt(NamedTuple):
    """The server has taken a message.

    Args:
        contact: to whom.
        content: what, in as many pieces as it took.
        time: Unix time in seconds.
    """

    contact: Contact
    content: tuple[Content, ...]
    time: float


class Sender(Protocol):
    """What the outbox needs of its client."""

    endpoints: Endpoints
    dialect: Dialect
    clientid: int
    session: Session | None

    @property
    def is_online(self) -> bool:
        """Whether what is sent now can arrive."""

    def add_chain(self, first: Next, name: str) -> Chain:
        """Start a chain in the account's name."""

    def next_message_id(self) -> int:
        """One more for each message."""

    def now_called(self, contact: Contact) -> Contact | None:
        """The contact as it is known in the session that is open now."""

    def lose_session(self, reason: str, *, relink: bool = False) -> None:
        """The server does not know the session any more."""


class Outbox:
    """The messages to one contact.

    Args:
        client: sends them.
        contact: to whom.

    Attributes:
        contact: as it is known in the session in which was sent last.
    """

    def __init__(self, client: Sender, contact: Contact) -> None:
        self._client = client
        self.contact = contact
        self._waiting: deque[_Letter] = deque()
        self._chain: Chain | None = None
        self._last_time = 0.0
        self._last_text = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, content: Content) -> asyncio.Future[Receipt]:
        """Send a content when its turn comes.

        Returns:
            A future: the receipt, or `SendError`.
        """
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        pieces = _pieces(content)
        self._waiting.extend(_Letter(piece, pieces, receipt) for piece in pieces)
        self.resume()
        return receipt

    def resume(self) -> None:
        """Go on sending, if there is a session and something to send."""
        if not self._client.is_online or self._chain is not None or not self._waiting:
            return
        link = self._next_link()
        if link is not None:
            self._chain = self._client.add_chain(link, f"send to {self._name}")

    def readdress(self) -> bool:
        """Find the contact in a new session; what waits fails if it is not there."""
        contact = self._client.now_called(self.contact)
        if contact is None:
            self.fail("there is no such contact any more, or there are several of that name")
            return False
        self.contact = contact
        return True

    def pause(self) -> None:
        """The session is gone: what is under way is sent again in the next one."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def fail(self, reason: str) -> None:
        """Nothing will be sent any more."""
        self.pause()
        while self._waiting:
            self._waiting.popleft().settle(SendError(f"not sent to {self._name}: {reason}"))

    @property
    def _name(self) -> str:
        return name_of(self.contact)

    def _next_link(self) -> Next | None:
        if not self.readdress():
            return None
        letter = self._waiting[0]
        letter.message_id = letter.message_id or self._client.next_message_id()
        request = self._request(self.contact, letter)
        return Next(request, self._on_reply, self._pause_before(letter), self._on_error)

    def _request(self, contact: Contact, letter: _Letter) -> Request:
        session, client = self._client.session, self._client
        assert session is not None  # noqa: S101 - resume() looked
        rest = (letter.content, letter.message_id, client.clientid, session.psessionid)
        if isinstance(contact, Group):
            return client.dialect.send_group.request(
                client.endpoints, forms.GroupSendForm(contact.gid, *rest)
            )
        return client.dialect.send_friend.request(
            client.endpoints, forms.SendForm(contact.uin, *rest)
        )

    def _pause_before(self, letter: _Letter) -> float:
        if not isinstance(self.contact, Group):
            return 0.0
        repeat = REPEAT_SPACING if letter.content.text == self._last_text else 0.0
        return max(0.0, self._last_time + GROUP_SPACING + repeat - time.monotonic())

    def _on_reply(self, response: Response) -> Link:
        reply = self._client.dialect.send_friend.parse(response.body)  # the same answer for groups
        if reply.is_accepted:
            letter = self._waiting.popleft()
            self._last_time, self._last_text = time.monotonic(), letter.content.text
            if letter.is_last:
                letter.settle(Receipt(self.contact, letter.pieces, time.time()))
            return self._after()
        why = f"the server refused it with retcode {reply.retcode} ({reply.text})"
        if reply.action not in _LOST:
            return self._again_or_give_up(why)
        # Of a message that the server refuses in every session, one is rid in the end.
        self._chain = None
        self._count_try(why)
        self._client.lose_session(
            f"sending was refused with retcode {reply.retcode}",
            relink=reply.action is Action.RELINK,
        )
        return None

    def _on_error(self, error: Exception) -> Link:
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        return self._again_or_give_up(str(error))

    def _again_or_give_up(self, why: str) -> Link:
        if not self._count_try(why):
            return self._after()
        link = self._next_link()
        return link and link._replace(delay=PAUSE)

    def _count_try(self, why: str) -> bool:
        """One try of the first letter has failed; after the last, all of its message does."""
        letter = self._waiting[0]
        letter.tries += 1
        if letter.tries <= RESENDS:
            return True
        while self._waiting and self._waiting[0].receipt is letter.receipt:
            self._waiting.popleft()
        letter.settle(SendError(f"not sent to {self._name}: {why}"))
        return False

    def _after(self) -> Link:
        link = self._next_link() if self._waiting else None
        if link is None:
            self._chain = None
        return link


#: Codes that say that the session is what is wrong.
_LOST = frozenset({Action.LOG_IN_AGAIN, Action.RELINK, Action.CHECK_ONLINE})


class _Letter:
    """One piece on its way; a long content is several."""

    __slots__ = ("content", "message_id", "pieces", "receipt", "tries")

    def __init__(
        self, content: Content, pieces: tuple[Content, ...], receipt: asyncio.Future[Receipt]
    ) -> None:
        self.content = content
        self.pieces = pieces
        self.receipt = receipt
        self.message_id = 0
        self.tries = 0

    @property
    def is_last(self) -> bool:
        """Whether the whole is delivered with it."""
        return self.content is self.pieces[-1]

    def settle(self, outcome: Receipt | SendError) -> None:
        if self.receipt.done():
            return
        if isinstance(outcome, SendError):
            self.receipt.set_exception(outcome)
        else:
            self.receipt.set_result(outcome)


def _pieces(content: Content) -> tuple[Content, ...]:
    """The content in pieces that the server takes, as few as keep it in order."""
    if _size(content.parts) <= MAX_BYTES:
        return (content,)
    pieces: list[list[Part]] = [[]]
    for part in content.parts:
        bits: Sequence[Part] = split_text(part) if isinstance(part, str) else (part,)
        for number, bit in enumerate(bits):
            # What was cut apart stays apart: the white space between is gone.
            if number or _size([*pieces[-1], bit]) > MAX_BYTES:
                pieces.append([])
            pieces[-1].append(bit)
    return tuple(Content(tuple(parts), content.font) for parts in pieces if parts)


def _size(parts: Sequence[Part]) -> int:
    return len(Content(tuple(parts)).text.encode("utf-8", "replace"))
