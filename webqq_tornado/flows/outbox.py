"""Sending: in order for each contact, at the pace the servers bore, resent when in doubt."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import NamedTuple, Protocol
from urllib.request import Request

from ..engine.chain import Chain, Link, Next
from ..engine.errors import StreamError
from ..engine.response import Response
from ..protocol import forms, webqq3
from ..protocol.codes import Action
from ..protocol.content import MAX_BYTES, split_text
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from ..protocol.models import Content, Group, SendReply, Session
from .contacts import Contact, name_of

__all__ = ["Outbox", "Receipt", "SendError"]

#: Seconds between two messages to one group; the server dropped what came faster
#: (pual_bot 2013, twqq 2014).
GROUP_SPACING = 0.5
#: Seconds more when the same text is repeated (the same).
REPEAT_SPACING = 0.5
#: Tries for one message (Mojo-Webqq 2018), and seconds between them.
TRIES, TRY_AGAIN = 3, 1.0


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
    clientid: int
    session: Session | None

    def add_chain(self, first: Next, name: str) -> Chain:
        """Start a chain in the account's name."""

    def next_message_id(self) -> int:
        """One more for each message."""

    def now_called(self, contact: Contact) -> Contact | None:
        """The contact as it is known in the session that is open now."""

    def lose_session(self, reason: str) -> None:
        """The server does not know the session any more."""


class Outbox:
    """The messages to one contact.

    Args:
        client: sends them.
        contact: to whom.
    """

    def __init__(self, client: Sender, contact: Contact) -> None:
        self._client = client
        self._contact = contact
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
        for piece in pieces:
            done = (
                _Done(receipt, Receipt(self._contact, pieces, 0)) if piece is pieces[-1] else None
            )
            self._waiting.append(_Letter(piece, receipt, done))
        self.resume()
        return receipt

    def resume(self) -> None:
        """Go on sending, if there is a session and something to send."""
        if self._client.session is None or self._chain is not None or not self._waiting:
            return
        link = self._next_link()
        if link is not None:
            self._chain = self._client.add_chain(link, f"send to {name_of(self._contact)}")

    def pause(self) -> None:
        """The session is gone: what is under way is sent again in the next one."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def fail(self, reason: str) -> None:
        """Nothing will be sent any more."""
        self.pause()
        while self._waiting:
            self._waiting.popleft().fail(SendError(f"not sent to {self._name}: {reason}"))

    @property
    def _name(self) -> str:
        return name_of(self._contact)

    def _next_link(self) -> Next | None:
        contact = self._client.now_called(self._contact)
        if contact is None:
            self.fail("no such contact any more")
            return None
        self._contact = contact
        letter = self._waiting[0]
        letter.message_id = letter.message_id or self._client.next_message_id()
        request = self._request(contact, letter)
        return Next(request, self._on_reply, self._pause_before(letter), self._on_error)

    def _request(self, contact: Contact, letter: _Letter) -> Request:
        session, client = self._client.session, self._client
        assert session is not None  # noqa: S101 - resume() looked
        rest = (letter.content, letter.message_id, client.clientid, session.psessionid)
        if isinstance(contact, Group):
            return webqq3.SEND_GROUP.request(
                client.endpoints, forms.GroupSendForm(contact.gid, *rest)
            )
        return webqq3.SEND_FRIEND.request(client.endpoints, forms.SendForm(contact.uin, *rest))

    def _pause_before(self, letter: _Letter) -> float:
        if not isinstance(self._contact, Group):
            return 0.0
        repeat = REPEAT_SPACING if letter.content.text == self._last_text else 0.0
        return max(0.0, self._last_time + GROUP_SPACING + repeat - time.monotonic())

    def _on_reply(self, response: Response) -> Link:
        reply = webqq3.SEND_FRIEND.parse(response.body)  # the same answer for groups
        if reply.is_accepted:
            letter = self._waiting.popleft()
            self._last_time, self._last_text = time.monotonic(), letter.content.text
            letter.succeed()
            return self._after()
        if reply.action in (Action.LOG_IN_AGAIN, Action.RELINK, Action.CHECK_ONLINE):
            self._chain = None
            self._client.lose_session(f"sending was refused with retcode {reply.retcode}")
            return None
        return self._give_up_or_again(_words(reply))

    def _on_error(self, error: Exception) -> Link:
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        return self._give_up_or_again(str(error))

    def _give_up_or_again(self, reason: str) -> Link:
        letter = self._waiting[0]
        letter.tries += 1
        if letter.tries < TRIES:
            link = self._next_link()
            return link and link._replace(delay=TRY_AGAIN)
        self._waiting.popleft()
        letter.fail(SendError(f"not sent to {self._name}: {reason}"))
        return self._after()

    def _after(self) -> Link:
        link = self._next_link() if self._waiting else None
        if link is None:
            self._chain = None
        return link


class _Letter:
    """One piece on its way; a long content is several."""

    __slots__ = ("_done", "_receipt", "content", "message_id", "tries")

    def __init__(
        self, content: Content, receipt: asyncio.Future[Receipt], done: _Done | None
    ) -> None:
        self.content = content
        self.message_id = 0
        self.tries = 0
        self._receipt = receipt
        self._done = done

    def succeed(self) -> None:
        if self._done is not None:
            self._done()

    def fail(self, error: SendError) -> None:
        if not self._receipt.done():
            self._receipt.set_exception(error)


class _Done(NamedTuple):
    """The last piece was taken: so was the whole."""

    future: asyncio.Future[Receipt]
    receipt: Receipt

    def __call__(self) -> None:
        if not self.future.done():
            self.future.set_result(self.receipt._replace(time=time.time()))


def _pieces(content: Content) -> tuple[Content, ...]:
    """The content in pieces the server takes; only texts are ever too long."""
    pieces: list[Content] = []
    for part in content.parts:
        if isinstance(part, str):
            pieces.extend(Content.of(text, font=content.font) for text in split_text(part))
        else:
            pieces.append(Content.of(part, font=content.font))
    whole = len(content.text.encode("utf-8", "replace")) <= MAX_BYTES
    return (content,) if whole or not pieces else tuple(pieces)


def _words(reply: SendReply) -> str:
    return f"the server refused it with retcode {reply.retcode} ({reply.text})"
