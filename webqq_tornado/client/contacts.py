"""The contacts of an account in one session, and the search for them by name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ..protocol.codes import Status
from ..protocol.models.events import (
    DiscussionMessage,
    FriendMessage,
    GroupMessage,
    SessionMessage,
    StatusChange,
)
from ..protocol.models.people import (
    Discussion,
    DiscussionDetails,
    DiscussionMember,
    Friend,
    Group,
    GroupDetails,
    Member,
    Presence,
    Recent,
)
from .address import Kind

__all__ = [
    "Contact",
    "Contacts",
    "Message",
    "Stranger",
    "comparable",
    "kind_of",
    "name_of",
    "number_in",
    "uin_of",
]


@dataclass(frozen=True, slots=True)
class Stranger:
    """A person who is not a friend, reached through a group or a discussion.

    Args:
        uin: number in this session.
        origin: gid or did that brought the two together.
        service_type: 0 for a group, 1 for a discussion.
        nick: the card in that group, else the nick.
        account: QQ number, 0 if not known.

    Example:
        >>> Stranger(uin=3001, origin=4001, nick="Bob").name
        'Bob'
    """

    uin: int
    origin: int
    service_type: int = 0
    nick: str = field(default="", compare=False)
    account: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """Display name of the stranger."""
        return self.nick or str(self.account or self.uin)


#: Digits of the longest number there is; QQ numbers have 5 to 11.
MAX_DIGITS = 19

#: Recipients of messages.
Contact: TypeAlias = Friend | Group | Discussion | Stranger
#: Messages of contacts.
Message: TypeAlias = FriendMessage | GroupMessage | DiscussionMessage | SessionMessage

_KINDS: dict[type, Kind] = {
    Friend: Kind.FRIEND,
    Group: Kind.GROUP,
    Discussion: Kind.DISCUSSION,
    Stranger: Kind.STRANGER,
}


def kind_of(contact: Contact) -> Kind:
    """The kind of a contact."""
    return _KINDS[type(contact)]


def uin_of(contact: Contact) -> int:
    """Its number in this session: uin, gid or did."""
    match contact:
        case Group():
            return contact.gid
        case Discussion():
            return contact.did
    return contact.uin


def name_of(contact: Contact) -> str:
    """Display name of a contact: the user's own mark for it, else its name."""
    return contact.mark or contact.name if isinstance(contact, Group) else contact.name


@dataclass(frozen=True, slots=True)
class Contacts:
    """All contacts of an account in one session.

    Args:
        friends: by uin.
        groups: by gid.
        details: of groups, by gid; a group whose details never came is missing.
        categories: names of the friend list's categories by index.
        discussions: by did.
        discussion_details: of discussions, by did, as `details`.
        presences: of the friends that are not offline, by uin; kept up to date.
        recents: latest conversations, as the server has them.
        numbers: QQ numbers that are known, by kind and uin; see `Client.number_of`.
        own: uin of the account itself.
    """

    friends: dict[int, Friend] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    details: dict[int, GroupDetails] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    discussions: dict[int, Discussion] = field(default_factory=dict)
    discussion_details: dict[int, DiscussionDetails] = field(default_factory=dict)
    presences: dict[int, Presence] = field(default_factory=dict)
    recents: tuple[Recent, ...] = ()
    numbers: Mapping[tuple[Kind, int], int] = field(default_factory=dict)
    own: int = 0

    def __iter__(self) -> Iterator[Contact]:
        """Friends, groups, discussions; not the strangers in them."""
        yield from self.friends.values()
        yield from self.groups.values()
        yield from self.discussions.values()

    # -- by name ------------------------------------------------------------------------------

    def find(self, name: str) -> Contact | None:
        """The contact that a name means; None for no contact or several.

        Args:
            name: as for `candidates`.
        """
        found = self.candidates(name)
        return found[0] if len(found) == 1 else None

    def candidates(self, name: str) -> list[Contact]:
        """All contacts that a name may mean.

        Digits are a QQ number, or a group's, first and a name second; while the numbers of some
        contacts are unknown, they are only a number (see `Client.resolve`, which asks the
        server). Any other name is compared with display names, then with nicks and the groups'
        own names, then with the beginnings of names, then with the cards and nicks of members
        of groups and discussions.

        Args:
            name: in any case; if several contacts differ in case alone, as it is written.
        """
        wanted = comparable(name)
        number = number_in(wanted)
        if number:
            found = self.numbered(number)
            if found or self._has_unasked():
                return found
        if not wanted:
            return []
        begins = [one for one in self if comparable(name_of(one)).startswith(wanted)]
        return (
            self._as_written(name, self._named(wanted))
            or ([] if number else begins)  # a mistyped number must not become a name
            or [*{stranger.uin: stranger for stranger in self._called(wanted)}.values()]
        )

    def numbered(self, number: int) -> list[Contact]:
        """All contacts known to have a number; a friend and a group may have the same.

        Args:
            number: QQ number, or a group's.
        """
        found = [contact for contact in self if self.number(contact) == number]
        members = {one.uin: one for one, _ in self._strangers() if self.number(one) == number}
        return found or [*members.values()]

    def _has_unasked(self) -> bool:
        """Return True if the number of a contact has not been looked up yet."""
        contacts: list[Contact] = [*self.friends.values(), *self.groups.values()]
        return any((kind_of(one), uin_of(one)) not in self.numbers for one in contacts)

    def _named(self, wanted: str) -> list[Contact]:
        """Contacts with that display name; else those with that nick or group name."""
        shown = [contact for contact in self if comparable(name_of(contact)) == wanted]
        return shown or [contact for contact in self if wanted in self._names(contact)]

    def _as_written(self, name: str, found: list[Contact]) -> list[Contact]:
        exact = [contact for contact in found if name_of(contact).strip() == name.strip()]
        return exact if len(exact) == 1 else found

    def search(self, word: str) -> list[Contact]:
        """All contacts with a word in name, mark, nick, card or QQ number.

        Args:
            word: in any case. Friends come first, strangers in groups last.
        """
        wanted = comparable(word)
        found: list[Contact] = [
            contact
            for contact in self
            if any(wanted in name for name in (*self._names(contact), self._number(contact)))
        ]
        strangers = {
            stranger.uin: stranger
            for stranger, names in self._strangers()
            if any(wanted in name for name in (*names, self._number(stranger)))
        }
        return [*found, *strangers.values()]

    def _names(self, contact: Contact) -> set[str]:
        names = {name_of(contact), contact.name}
        if isinstance(contact, Friend):
            names.add(contact.nick)
        return {comparable(name) for name in names} - {""}

    def _number(self, contact: Contact) -> str:
        return str(self.number(contact) or "")

    def number(self, contact: Contact) -> int:
        """The QQ or group number of a contact; 0 until the server was asked."""
        kind = kind_of(contact)
        if isinstance(contact, Stranger):
            if contact.account:
                return contact.account
            kind = Kind.FRIEND  # a person as well
        return self.numbers.get((kind, uin_of(contact)), 0)

    def _called(self, wanted: str) -> Iterator[Stranger]:
        for stranger, names in self._strangers():
            if wanted in names:
                yield stranger

    def _strangers(self) -> Iterator[tuple[Stranger, tuple[str, str]]]:
        """Members of groups who are not friends, with card and nick for comparison."""
        origins: list[Group | Discussion] = [*self.groups.values(), *self.discussions.values()]
        for origin in origins:
            for member in self.members(origin):
                if member.uin not in self.friends and member.uin != self.own:
                    card = member.card if isinstance(member, Member) else ""
                    names = comparable(card), comparable(member.nick)
                    yield _stranger(origin, member), names

    # -- by number of this session ------------------------------------------------------------

    def same(self, contact: Contact) -> Contact | None:
        """The contact with the same number, as it is known here."""
        match contact:
            case Friend():
                return self.friends.get(contact.uin)
            case Group():
                return self.groups.get(contact.gid)
            case Discussion():
                return self.discussions.get(contact.did)
        friend = self.friends.get(contact.uin)
        if friend is not None:
            return friend
        origin = self.origin_of(contact)
        if origin is None:
            return None
        members = self.members(origin)  # empty, if they never came
        is_there = not members or any(member.uin == contact.uin for member in members)
        return contact if is_there else None

    def origin_of(self, stranger: Stranger) -> Group | Discussion | None:
        """The group or discussion that a stranger is a member of."""
        if stranger.service_type:
            return self.discussions.get(stranger.origin)
        return self.groups.get(stranger.origin)

    def members(self, origin: Group | Discussion) -> tuple[Member | DiscussionMember, ...]:
        """Members of a group or discussion; empty until the server has sent them."""
        if isinstance(origin, Group):
            group = self.details.get(origin.gid)
            return group.members if group else ()
        discussion = self.discussion_details.get(origin.did)
        return discussion.members if discussion else ()

    def person(self, origin: Group | Discussion, uin: int) -> Friend | Stranger:
        """A member of a group or discussion, to write to.

        Args:
            origin: which.
            uin: of the member.
        """
        friend = self.friends.get(uin)
        if friend is not None:
            return friend
        found = next((one for one in self.members(origin) if one.uin == uin), None)
        return _stranger(origin, found or DiscussionMember(uin))

    def people(self, origin: Group | Discussion) -> list[Friend | Stranger]:
        """All members of a group or discussion, to write to; not the account itself."""
        return [
            self.friends.get(member.uin) or _stranger(origin, member)
            for member in self.members(origin)
            if member.uin != self.own
        ]

    def has_namesake(self, contact: Contact) -> bool:
        """Return True if another of its kind (of its group, for a stranger) has the same name."""
        return sum(name_of(other) == name_of(contact) for other in self.alike(contact)) > 1

    def alike(self, contact: Contact) -> list[Contact]:
        """Contacts of the same kind; of a stranger, those of the same group or discussion."""
        match contact:
            case Friend():
                return [*self.friends.values()]
            case Group():
                return [*self.groups.values()]
            case Discussion():
                return [*self.discussions.values()]
        origin = self.origin_of(contact)
        return [*self.people(origin)] if origin else []

    def knows(self, message: Message) -> bool:
        """Return True if the sender of a message, and its group, are among the contacts."""
        match message:
            case FriendMessage():
                return message.sender in self.friends
            case GroupMessage():
                if message.gid not in self.details:  # they may never come
                    return message.gid in self.groups
                return self.member(message.gid, message.sender) is not None
            case DiscussionMessage():
                discussion = self.discussions.get(message.did)
                members = self.members(discussion) if discussion else ()
                return discussion is not None and (
                    not members or any(member.uin == message.sender for member in members)
                )
        return True  # a stranger is one

    def member(self, gid: int, uin: int) -> Member | None:
        """A member of a group."""
        details = self.details.get(gid)
        members = details.members if details else ()
        return next((member for member in members if member.uin == uin), None)

    # -- who is online ------------------------------------------------------------------------

    def status_of(self, friend: Friend) -> Status:
        """Present status of a friend."""
        presence = self.presences.get(friend.uin)
        return presence.status if presence else Status.OFFLINE

    def update_status(self, change: StatusChange) -> None:
        """Update the status of a friend."""
        if change.status is Status.OFFLINE:
            self.presences.pop(change.uin, None)
        else:
            self.presences[change.uin] = Presence(change.uin, change.status, change.client_type)


def _stranger(origin: Group | Discussion, member: Member | DiscussionMember) -> Stranger:
    if isinstance(origin, Group):
        return Stranger(member.uin, origin.gid, 0, member.name)
    account = member.account if isinstance(member, DiscussionMember) else 0
    return Stranger(member.uin, origin.did, 1, member.nick, account)


# -- names as users type them ------------------------------------------------------------------


def comparable(name: str) -> str:
    """A name in the form in which those that look the same are equal.

    Args:
        name: in any case, with accents as letters of their own or not, with any white space.

    Example:
        >>> comparable(" Jose\u0301  M. ") == comparable("josé m.")
        True
    """
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def number_in(text: str) -> int:
    """The QQ number, or a group's, that a text is; 0 if it is none.

    Args:
        text: anything; digits may be of full width.

    Example:
        >>> number_in("10001"), number_in("007"), number_in("Ann")
        (10001, 0, 0)
    """
    digits = text.strip()
    is_number = digits.isdecimal() and len(digits) <= MAX_DIGITS and int(digits[0]) > 0
    return int(digits) if is_number else 0
