"""The part of an account that a bot and its handlers use.

`webqq_tornado.client.Client` (WebQQ) and `OneBotAccount` (OneBot 11) have all of it; so can an
account that is reached another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..client.contacts import Contact, Contacts, Message
    from ..client.incoming import Consumer
    from ..client.quote import Quote
    from ..client.receipt import Receipt
    from ..client.state import ClientEvent, State
    from ..client.store import Store
    from ..engine.stream import HTTPStream
    from ..protocol.codes import Status
    from ..protocol.models import Content, Friend, Group

__all__ = ["Account", "Incoming"]


class Account(Protocol):
    """One account, online; see `webqq_tornado.client.Client` for each of these."""

    @property
    def account(self) -> int:
        """QQ number."""

    @property
    def nick(self) -> str:
        """Nick of the account."""

    @property
    def state(self) -> State:
        """State of its connection."""

    @property
    def name(self) -> str:
        """Name for log lines."""

    @property
    def stream(self) -> HTTPStream:
        """The stream that carries its chains."""

    @property
    def store(self) -> Store | None:
        """Keeps what must not be forgotten; None keeps it in memory."""

    @property
    def contacts(self) -> Contacts:
        """Friends, groups, discussions and their members."""

    @property
    def session_mark(self) -> str:
        """A mark of the session: the same in all of it, and no secret."""

    @property
    def friends(self) -> Mapping[int, Friend]:
        """Friends by uin."""

    @property
    def groups(self) -> Mapping[int, Group]:
        """Groups by gid."""

    def find(self, name: str) -> Contact | None:
        """The contact that a name means; None for no contact or several."""

    async def resolve(self, name: str | int) -> Contact:
        """The contact that a name or number means."""

    async def number_of(self, contact: Contact) -> int:
        """The QQ number of a contact; 0 if the server does not tell."""

    def contact_of(self, message: Message) -> Contact:
        """The conversation that a message belongs to."""

    def send(self, contact: Contact, content: Content | str) -> asyncio.Future[Receipt]:
        """Send a message."""

    def has_sent(self, message_id: int) -> bool:
        """Return True if a message, by its id, was sent from here."""

    async def quote_of(self, message: Message) -> Quote | None:
        """The message that another one answers; None if it is not available."""

    def search(self, word: str) -> list[Contact]:
        """All contacts that have a word in one of their names."""

    def on_event(
        self, listener: Callable[[ClientEvent], object]
    ) -> Callable[[ClientEvent], object]:
        """Have a function called with each event."""

    def on_incoming(self, consumer: Consumer) -> Consumer:
        """Have a function called with each message, which says when it is handled."""

    async def login(self, password: str = "") -> None:
        """Get online, and stay so."""

    def leave(self) -> None:
        """End all chains, but stay logged in."""

    async def flush(self) -> None:
        """Wait until the outbox is empty."""

    async def set_status(self, status: Status) -> None:
        """Change the account's status."""

    async def logout(self) -> None:
        """Log the account out."""


class Incoming(Protocol):
    """A message on its way to handlers; see `webqq_tornado.client.IncomingMessage`.

    Attributes:
        message: with the uins of the present session.
        again: whether an earlier process received it and did not handle it.
        tries: times that its handling was begun before.
        contact: its conversation, if the message alone does not identify it.
        sender: display name of the author, likewise.
        late: whether it came in while the account was away, and was fetched later.
    """

    message: Message
    again: bool
    tries: int
    contact: Contact | None
    sender: str
    late: bool

    def begin(self) -> None:
        """Note that the handling begins."""

    def calm(self) -> None:
        """Note that the handling waits for an answer: other messages need not wait for it."""

    def done(self) -> None:
        """Note that the message is handled."""
