"""The address of a contact, and the contact of an address, across sessions.

The server assigns each contact another uin in the next session. Permanent are only the QQ number,
which takes a request (get_friend_uin2, one for each contact), and, failing that, a name that no
other contact has. So an answer is either at hand, or a link away: functions that may have to ask
the server take `then`, which gets the answer and returns the link that follows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from ..engine.links import Link, Next
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action
from ..protocol.errors import RefusedError
from ..protocol.models.login import Secret
from ..protocol.models.people import Discussion, Friend, Group
from .address import Address, Kind
from .contacts import Contact, Contacts, Stranger, kind_of, name_of, uin_of
from .context import ClientContext, Recovery

__all__ = ["LOST", "Directory", "recovery_of"]

#: Codes that mean that the session is lost.
LOST = frozenset({Action.LOG_IN_AGAIN, Action.RELINK, Action.CHECK_ONLINE})
#: Kinds of numbers in get_friend_uin2.
_PERSON, _GROUP = 1, 4


class _Era(NamedTuple):
    """The contacts of one session, its mark, and the numbers that were looked up in it."""

    contacts: Contacts
    mark: str
    numbers: dict[tuple[Kind, int], int]


class Directory:
    """The contacts of a client, now and in the session before.

    Args:
        context: of the client.

    Attributes:
        contacts: as of the last fetch.
    """

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._now = self._former = _Era(Contacts(), "", {})

    @property
    def contacts(self) -> Contacts:
        """Contacts of the last fetch."""
        return self._now.contacts

    @property
    def mark(self) -> str:
        """A mark of the session: the same in all of it, and no secret."""
        return self._now.mark

    def update(self, contacts: Contacts) -> None:
        """Replace the contacts, unless their session has ended meanwhile.

        Args:
            contacts: as they were fetched.
        """
        session = self._context.connection.session
        if session is None:
            return
        mark = mark_of(session.psessionid)
        numbers = self._now.numbers
        if mark != self._now.mark:
            self._former = self._now
            kept = self._context.records.numbers_in(mark)
            numbers = {(_of_person(kind), uin): number for (kind, uin), number in kept.items()}
        for details in contacts.discussion_details.values():
            known = {(Kind.FRIEND, one.uin): one.account for one in details.members if one.account}
            numbers.update(known)
        self._now = _Era(replace(contacts, numbers=numbers), mark, numbers)

    # -- from a contact to its address --------------------------------------------------------

    def address_of(self, contact: Contact) -> Address | None:
        """The address of a contact; None if it is of neither this session nor the one before."""
        for era in (self._now, self._former):
            same = era.contacts.same(contact)
            if same is not None:
                return self._address(same, era)
        return None

    def _address(self, contact: Contact, era: _Era) -> Address:
        origin: Address | None = None
        if isinstance(contact, Stranger):
            way = era.contacts.origin_of(contact)
            origin = self._address(way, era) if way else None
        name = name_of(contact)
        return Address(
            kind_of(contact),
            name,
            era.contacts.number(contact),
            uin_of(contact),
            era.mark,
            bool(name) and not era.contacts.has_namesake(contact),
            origin,
        )

    # -- from a contact to its number ---------------------------------------------------------

    def note_number(self, kind: Kind, uin: int, number: int) -> None:
        """Store the number of a person or group, as the server has sent it.

        Args:
            kind: which of them; strangers are persons, so friends.
            uin: of this session.
            number: QQ number, or a group's.
        """
        if number:
            self._now.numbers[kind, uin] = number

    def is_asked(self, contact: Contact) -> bool:
        """Return True if the number is known, or known not to exist."""
        return (
            isinstance(contact, Discussion)
            or self.contacts.number(contact) != 0
            or _key(contact) in self._now.numbers
        )

    def look_up_number(
        self, contact: Contact, then: Callable[[int], Link], delay: float = 0
    ) -> Link:
        """Get the number of a contact, 0 if the server does not tell; ask only once a session.

        Args:
            contact: friend, group or stranger.
            then: gets the number, returns the link that follows.
            delay: seconds before the request.
        """
        if self.is_asked(contact):
            return then(self.contacts.number(contact))
        connection = self._context.connection
        session = connection.session
        if session is None:
            return then(0)
        is_group = isinstance(contact, Group)
        uin = contact.code if isinstance(contact, Group) else uin_of(contact)
        form = forms.TranslateForm(
            uin, _GROUP if is_group else _PERSON, session.vfwebqq, int(time.time() * 1000)
        )
        request = connection.request(connection.dialect.translate, form)
        mark = mark_of(session.psessionid)

        def read(response: Response) -> Link:
            number = self._read(response)
            if mark == self.mark:
                self._now.numbers[_key(contact)] = number
                address = self.address_of(contact)
                if number and address is not None:
                    self._context.records.remember(address)
            return then(number)

        return Next(request, read, delay)

    def _read(self, response: Response) -> int:
        try:
            return self._context.connection.dialect.translate.parse(response.body).account
        except RefusedError as error:
            if error.action in LOST:
                raise
            return 0

    # -- from an address to the contact -------------------------------------------------------

    def find(self, address: Address, then: Callable[[Contact | None], Link]) -> Link:
        """Find a contact in the present session; None rather than a wrong one.

        Args:
            address: of the contact, maybe from another session.
            then: gets the contact, returns the link that follows.
        """
        if address.session and address.session == self.mark:
            return then(self.contacts.same(self._contact(address)))
        if address.origin is None:
            return self._find_among(address, self.contacts.alike(self._contact(address)), then)

        def go_on(origin: Contact | None) -> Link:
            members: list[Contact] = []
            if isinstance(origin, (Group, Discussion)):
                members = [*self.contacts.people(origin)]
            if address.number:  # strangers may have become friends
                members += self.contacts.friends.values()
            return self._find_among(address, members, then)

        return self.find(address.origin, go_on)

    def _contact(self, address: Address) -> Contact:
        match address.kind:
            case Kind.GROUP:
                return Group(address.uin, 0, address.name)
            case Kind.DISCUSSION:
                return Discussion(address.uin, address.name)
            case Kind.STRANGER if address.origin is not None:
                is_discussion = address.origin.kind is Kind.DISCUSSION
                return Stranger(
                    *(address.uin, address.origin.uin, int(is_discussion)),
                    *(address.name, address.number),
                )
        return Friend(address.uin, address.name)

    def _find_among(
        self, address: Address, everyone: list[Contact], then: Callable[[Contact | None], Link]
    ) -> Link:
        if address.number:
            # Most keep their names: the namesake is asked first, and seldom another.
            everyone.sort(key=lambda contact: name_of(contact) != address.name)
            return self._compare(address.number, everyone, then)
        alike = [contact for contact in everyone if name_of(contact) == address.name]
        return then(alike[0] if address.is_unique and len(alike) == 1 else None)

    def _compare(
        self, number: int, left: list[Contact], then: Callable[[Contact | None], Link]
    ) -> Link:
        while left and self.is_asked(left[0]):
            contact = left.pop(0)
            if self.contacts.number(contact) == number:
                return then(contact)
        if not left:
            return then(None)
        return self.look_up_number(left[0], lambda _number: self._compare(number, left, then))


def recovery_of(action: Action) -> Recovery:
    """The way back to a session that the server has refused a request in.

    Args:
        action: that the refusal asks for, one of `LOST`.
    """
    return Recovery.RELINK if action is Action.RELINK else Recovery.LOG_IN


def mark_of(psessionid: Secret) -> str:
    """A mark that identifies a session without disclosing its secret."""
    return hashlib.sha256(psessionid.encode()).hexdigest()[:16]


def _key(contact: Contact) -> tuple[Kind, int]:
    return _of_person(kind_of(contact)), uin_of(contact)


def _of_person(kind: Kind) -> Kind:
    return Kind.FRIEND if kind is Kind.STRANGER else kind
