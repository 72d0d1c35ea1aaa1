"""The part of an account that a bot and its handlers use.

`webqq_tornado.client.Client` has all of it; so can an account that is reached another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from ..client.contacts import Contact, Contacts, Message
from ..client.receipt import Receipt
from ..client.state import State
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

    async def set_status(self, status: Status) -> None:
        """Change the account's status."""

    async def logout(self) -> None:
        """Log the account out."""


class Incoming(Protocol):
    """A message on its way to handlers; see `webqq_tornado.client.IncomingMessage`.

    Attributes:
        message: with the uins of the present session.
        again: whether an earlier process had it and was not done with it.
        tries: times that its handling was begun before.
        contact: its conversation, if the message alone does not lead there.
        sender: display name of the author, likewise.
    """

    message: Message
    again: bool
    tries: int
    contact: Contact | None
    sender: str

    def begin(self) -> None:
        """Note that the handling begins."""

    def calm(self) -> None:
        """Note that the handling waits for an answer: other messages need not wait for it."""

    def done(self) -> None:
        """Note that the message is handled."""
