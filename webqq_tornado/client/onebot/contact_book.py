"""Contacts of an account by OneBot, found by name and by number."""

from __future__ import annotations

from collections.abc import Mapping

from ...protocol.models.people import Friend, Group
from ..contacts import Contact, Contacts, Message
from ..lookup import look_up
from .directory import NetworkDirectory

__all__ = ["ContactBook"]


class ContactBook:
    """The contacts of an account.

    Attributes:
        directory: of the contacts, filled by the account.
    """

    def __init__(self) -> None:
        self.directory = NetworkDirectory()

    @property
    def contacts(self) -> Contacts:
        """Friends, groups and their members."""
        return self.directory.contacts

    @property
    def session_mark(self) -> str:
        """A mark of the session; QQ numbers hold in all of them."""
        return self.directory.mark

    @property
    def friends(self) -> Mapping[int, Friend]:
        """Friends by QQ number."""
        return self.contacts.friends

    @property
    def groups(self) -> Mapping[int, Group]:
        """Groups by number."""
        return self.contacts.groups

    def find(self, name: str) -> Contact | None:
        """The contact that a name means; None for nobody, or several. See `Client.find`."""
        return self.contacts.find(name)

    def search(self, word: str) -> list[Contact]:
        """All contacts that have a word in one of their names.

        Args:
            word: part of a name, mark or card, in any case.
        """
        return self.contacts.search(word)

    async def resolve(self, name: str | int) -> Contact:
        """The one contact that a name or QQ number means.

        Args:
            name: of a friend, a group, or a member of one; or a number.

        Raises:
            ContactError: it is nobody, or may be several.
        """
        return await look_up(self, name)

    async def number_of(self, contact: Contact) -> int:
        """The QQ number of a contact.

        Args:
            contact: which.
        """
        return self.contacts.number(contact)

    def contact_of(self, message: Message) -> Contact:
        """The conversation that a message belongs to.

        Args:
            message: as listeners get it.
        """
        return self.directory.contact_of(message)
