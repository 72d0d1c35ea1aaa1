"""Recipients of an account's messages and events: listeners, and consumers that handle them."""

from __future__ import annotations

import logging
from typing import Protocol

from ...protocol.models.people import Group
from ..contacts import Contact, Message, name_of
from ..incoming import Context, IncomingQueue
from ..listeners import Listeners
from ..state import ClientEvent
from .directory import NetworkDirectory

__all__ = ["Notifier"]

logger = logging.getLogger("webqq_tornado.webqq")


class Owner(Context, Protocol):
    """The part of an account that its notifier uses.

    Attributes:
        log_level: of lines about messages.
        directory: of its contacts.
    """

    log_level: int
    directory: NetworkDirectory

    def sender_name(self, message: Message) -> str:
        """Display name of a message's author."""

    def is_own(self, message: Message) -> bool:
        """Return True if the account itself wrote it."""


class Notifier:
    """Tells listeners what happens, and hands messages to those who handle them.

    Args:
        owner: whose.

    Attributes:
        listeners: hear of everything.
        incoming: the messages that are not handled yet.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.listeners = Listeners()
        self.incoming = IncomingQueue(owner, owner.directory, self._tell_message)

    def tell(self, happening: ClientEvent) -> None:
        """Tell listeners of an event.

        Args:
            happening: which.
        """
        self.listeners.notify(self._owner.name, happening)

    def _tell_message(self, message: Message) -> bool:
        """Tell listeners of a message; True if there are any."""
        self.tell(message)
        return bool(self.listeners)

    def is_to_handle(self, message: Message) -> bool:
        """Return True if somebody will say when a message is handled.

        Args:
            message: as bots have it.
        """
        is_awaited = self.incoming.has_consumers or not self.listeners
        return is_awaited and not self._owner.is_own(message)

    def hand_out(self, mark: bytes, message: Message, contact: Contact, *, is_late: bool) -> None:
        """Pass a message that is new and on record to those who handle it.

        Args:
            mark: under which it is on record.
            message: as bots have it.
            contact: its conversation.
            is_late: whether it was missed and fetched.
        """
        owner = self._owner
        where = f" in {name_of(contact)}" if isinstance(contact, Group) else ""
        late = " (late)" if is_late else ""
        logger.log(owner.log_level, "%s <- %s%s%s: %s", owner.name, owner.sender_name(message),
                   where, late, message.content.text)  # fmt: skip
        is_told = self._tell_message(message)
        if self.is_to_handle(message):
            self.incoming.enqueue(mark, message, is_heard=is_told, contact=contact, late=is_late)
