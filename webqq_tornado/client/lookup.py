"""The contact that a name or a number means, whose number the server may have to be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..engine.errors import StreamError
from ..protocol.errors import ProtocolError
from ..protocol.models.people import Discussion
from .contacts import Contact, Contacts, kind_of, name_of
from .names import number_in
from .receipt import SendError

__all__ = ["ContactError", "found_by_one", "look_up", "shown_contact"]

#: Contacts that an error names.
_SHOWN = 10


class Account(Protocol):
    """The part of a client that a search uses."""

    @property
    def contacts(self) -> Contacts:
        """Contacts of the last fetch."""

    async def number_of(self, contact: Contact) -> int:
        """The number of a contact; 0 where the server does not tell."""


AnyAccount = TypeVar("AnyAccount", bound=Account)


class ContactError(LookupError):
    """A name or number matches no contact, or several; lists those with their numbers.

    Args:
        message: in words for the user.
        name: that was looked for.
        candidates: whom it may mean; nobody, or at least two.

    Attributes:
        name: as above.
        candidates: as above.
    """

    def __init__(self, message: str, name: str = "", candidates: Sequence[Contact] = ()) -> None:
        super().__init__(message)
        self.name, self.candidates = name, tuple(candidates)


async def look_up(client: Account, name: str | int) -> Contact:
    """The one contact that is meant.

    Args:
        client: whose contacts.
        name: as for `Contacts.candidates`; an integer is a number and never a name.

    Raises:
        ContactError: it is nobody, or may be several.
        SendError: a number had to be asked for, and the client is not online.
        StreamError: the server is not there.
        ProtocolError: it does not answer with sense.
    """
    number = name if isinstance(name, int) else number_in(name)
    found = await _numbered(client, number) if number else []
    if not found and isinstance(name, str):
        found = client.contacts.candidates(name)
    if len(found) == 1:
        return found[0]
    raise await _refusal(client, str(name), found)


async def _numbered(client: Account, number: int) -> list[Contact]:
    """Contacts with a number; asks the server until one is found."""
    contacts = client.contacts
    if found := contacts.numbered(number):
        return found
    everyone: list[Contact] = [*contacts.friends.values(), *contacts.groups.values()]
    for contact in everyone:
        if await client.number_of(contact) == number:
            break
    return client.contacts.numbered(number)


async def _refusal(client: Account, name: str, found: list[Contact]) -> ContactError:
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


async def shown_contact(client: Account, contact: Contact) -> str:
    """A contact in words that tell it from others of its name.

    Args:
        client: is asked for its number.
        contact: which.

    Example:
        >>> await shown_contact(client, client.friends[7])
        'jack (friend 10004)'
    """
    try:
        number = 0 if isinstance(contact, Discussion) else await client.number_of(contact)
    except (SendError, StreamError, ProtocolError):  # the names alone are better than nothing
        number = 0
    kind = kind_of(contact).value
    return f"{name_of(contact)} ({kind} {number})" if number else f"{name_of(contact)} ({kind})"


async def found_by_one(
    clients: Sequence[AnyAccount], name: str | int
) -> tuple[AnyAccount, Contact]:
    """The contact that is meant, with the client that has it.

    Args:
        clients: in whose contacts it is looked for. The first one counts of those who have the
            same contact, by its number.
        name: as for `look_up`.

    Raises:
        ContactError: it is nobody, or may be several.
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


async def _check_same(name: str, found: Sequence[tuple[Account, Contact]]) -> None:
    shown = [await shown_contact(client, contact) for client, contact in found]
    whom = {
        (kind_of(contact), client.contacts.number(contact) or name_of(contact))
        for client, contact in found
    }
    if len(whom) > 1:
        contacts = [contact for _, contact in found]
        several = f"{name!r}: several are called so: {', '.join(shown)}; give the number of one"
        raise ContactError(several, name, contacts)
