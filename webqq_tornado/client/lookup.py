"""Search for the contact that a name or number means; asks the server for unknown numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..engine.errors import StreamError
from ..protocol.errors import ProtocolError
from ..protocol.models.people import Discussion
from .contacts import Contact, Contacts, kind_of, name_of, number_in
from .receipt import SendError

__all__ = ["ContactError", "found_by_one", "look_up", "shown_contact"]

#: Contacts that an error names.
_SHOWN = 10


class AddressBook(Protocol):
    """Contacts, and a way to their numbers: any account that can be searched."""

    @property
    def contacts(self) -> Contacts:
        """Contacts of the last fetch."""

    async def number_of(self, contact: Contact) -> int:
        """The number of a contact; 0 if the server does not tell."""


AnyAccount = TypeVar("AnyAccount", bound=AddressBook)


class ContactError(LookupError):
    """A name or number matches no contact, or several; lists those with their numbers.

    Args:
        message: for the user.
        name: as the user gave it.
        candidates: contacts that match; none, or at least two.

    Attributes:
        name: as above.
        candidates: as above.
    """

    def __init__(self, message: str, name: str = "", candidates: Sequence[Contact] = ()) -> None:
        super().__init__(message)
        self.name, self.candidates = name, tuple(candidates)


async def look_up(client: AddressBook, name: str | int) -> Contact:
    """The one contact that a name or number means.

    Args:
        client: account with the contacts.
        name: as for `Contacts.candidates`; an integer is a number and never a name.

    Raises:
        ContactError: no contact matches, or several.
        SendError: a number is not known, and the client is not online.
        StreamError: the server cannot be reached.
        ProtocolError: the answer is not WebQQ.
    """
    number = name if isinstance(name, int) else number_in(name)
    found = await _numbered(client, number) if number else []
    if not found and isinstance(name, str):
        found = client.contacts.candidates(name)
    if len(found) == 1:
        return found[0]
    raise await _refusal(client, str(name), found)


async def _numbered(client: AddressBook, number: int) -> list[Contact]:
    """Contacts with a number; asks the server until one is found."""
    contacts = client.contacts
    if found := contacts.numbered(number):
        return found
    everyone: list[Contact] = [*contacts.friends.values(), *contacts.groups.values()]
    for contact in everyone:
        if await client.number_of(contact) == number:
            break
    return client.contacts.numbered(number)


async def _refusal(client: AddressBook, name: str, found: list[Contact]) -> ContactError:
    if found:
        shown = _listed([await shown_contact(client, contact) for contact in found[:_SHOWN]], found)
        has_numbers = any(map(client.contacts.number, found)) and not number_in(name)
        remedy = "give the number of one" if has_numbers else "give one of them a name of its own"
        why = f"several are called so: {shown}; {remedy}"
    else:
        near = client.contacts.search(name) if name.strip() else []
        everyone = near or [*client.contacts]
        shown = _listed([name_of(contact) for contact in everyone[:_SHOWN]], everyone)
        why = f"nobody is called so; there are: {shown or 'none yet'}"
    return ContactError(f"{name!r}: {why}", name, found)


def _listed(shown: list[str], everyone: Sequence[Contact]) -> str:
    return ", ".join(shown) + (", ..." if len(everyone) > len(shown) else "")


async def shown_contact(client: AddressBook, contact: Contact) -> str:
    """A contact in words that distinguish it from others with its name.

    Args:
        client: knows its number.
        contact: to be shown.

    Example:
        >>> await shown_contact(client, client.friends[7])
        'jack (friend 10004)'
    """
    try:
        number = 0 if isinstance(contact, Discussion) else await client.number_of(contact)
    except (SendError, StreamError, ProtocolError):  # the name alone is better than nothing
        number = 0
    kind = kind_of(contact).value
    return f"{name_of(contact)} ({kind} {number})" if number else f"{name_of(contact)} ({kind})"


async def found_by_one(
    clients: Sequence[AnyAccount], name: str | int
) -> tuple[AnyAccount, Contact]:
    """The one contact that a name or number means, with its client.

    Args:
        clients: accounts to search. If several have the same contact, by its number, the first
            of them is returned.
        name: as for `look_up`.

    Raises:
        ContactError: no contact matches, or several.
        SendError: as for `look_up`.
        StreamError: the same.
        ProtocolError: the same.
    """
    found: list[tuple[AnyAccount, Contact]] = []
    refusals: list[ContactError] = []
    for client in clients:
        try:
            found.append((client, await look_up(client, name)))
        except ContactError as error:
            refusals.append(error)
    if any(refusal.candidates for refusal in refusals) or not found:
        raise max(refusals, key=lambda refusal: len(refusal.candidates))
    if len(found) > 1:
        await _check_same(str(name), found)
    return found[0]


async def _check_same(name: str, found: Sequence[tuple[AddressBook, Contact]]) -> None:
    shown = [await shown_contact(client, contact) for client, contact in found]
    whom = {
        (kind_of(contact), client.contacts.number(contact) or name_of(contact))
        for client, contact in found
    }
    if len(whom) > 1:
        contacts = [contact for _, contact in found]
        several = f"{name!r}: several are called so: {', '.join(shown)}; give the number of one"
        raise ContactError(several, name, contacts)
