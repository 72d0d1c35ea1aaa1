"""Contacts of an account by OneBot: lists that the implementation gives, and what events tell.

Every number is a QQ number, the same in all sessions: uin and number are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ...engine.links import Link
from ...onebot.v11.events import MessageEvent, Sender
from ...onebot.v11.values import as_text, number
from ...protocol.models.people import Friend, Group, GroupDetails, Member
from ..address import Address, Kind
from ..contacts import Contact, Contacts, Message, Stranger, kind_of, name_of, uin_of

__all__ = ["MARK", "NetworkDirectory", "friends_of", "groups_of", "members_of"]

#: Mark of all sessions: the numbers hold in each of them.
MARK = "onebot"


class _SameNumbers(Mapping[tuple[Kind, int], int]):
    """The number of everybody is the one that they are known by."""

    def __getitem__(self, key: tuple[Kind, int]) -> int:
        return key[1]

    def __iter__(self) -> Iterator[tuple[Kind, int]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _rows(data: object) -> Iterator[Mapping[str, object]]:
    """The rows of an answer; those that are none are passed over."""
    if isinstance(data, list):
        yield from (row for row in data if isinstance(row, dict))


def _number(row: Mapping[str, object], name: str) -> int:
    try:
        return number(row.get(name))
    except ValueError:
        return 0


def friends_of(data: object) -> dict[int, Friend]:
    """Friends by number.

    Args:
        data: of ``get_friend_list``.
    """
    friends = (
        Friend(_number(row, "user_id"), as_text(row.get("nickname")), as_text(row.get("remark")))
        for row in _rows(data)
    )
    # The remark of who has none is the nick in some of them.
    own = (replace(one, mark="") if one.mark == one.nick else one for one in friends)
    return {one.uin: one for one in own if one.uin}


def groups_of(data: object) -> dict[int, Group]:
    """Groups by number.

    Args:
        data: of ``get_group_list``.
    """
    numbered = ((_number(row, "group_id"), row) for row in _rows(data))
    return {gid: _group(gid, row) for gid, row in numbered if gid}


def _group(gid: int, row: Mapping[str, object]) -> Group:
    return Group(gid, gid, as_text(row.get("group_name")), as_text(row.get("group_remark")))


def members_of(group: Group, data: object) -> GroupDetails:
    """A group with its members.

    Args:
        group: which.
        data: of ``get_group_member_list``.
    """
    senders = [_sender(row) for row in _rows(data) if _number(row, "user_id")]
    owners = [one.user_id for one in senders if one.role == "owner"]
    members = tuple(_member(one) for one in senders)
    owner = owners[0] if owners else 0
    return GroupDetails(group.gid, group.code, group.name, owner, members=members)


def _sender(row: Mapping[str, object]) -> Sender:
    texts = (as_text(row.get(name)) for name in ("nickname", "card", "sex"))
    nickname, card, sex = texts
    return Sender(_number(row, "user_id"), nickname, card, sex, role=as_text(row.get("role")))


def _member(sender: Sender) -> Member:
    is_admin = sender.role in ("admin", "owner")
    return Member(sender.user_id, sender.nickname, sender.card, int(is_admin), sender.sex)


class NetworkDirectory:
    """Finds contacts by number; see `webqq_tornado.client.directory` for WebQQ's.

    Attributes:
        contacts: as of the last fetch, and of what came in since.
        mark: of the sessions.
    """

    mark = MARK

    def __init__(self) -> None:
        self.contacts = Contacts(numbers=_SameNumbers())

    def update(self, own: int, friends: Mapping[int, Friend], groups: Mapping[int, Group]) -> None:
        """Replace the lists; members that are known stay.

        Args:
            own: QQ number of the account.
            friends: by number.
            groups: by number.
        """
        details = {gid: one for gid, one in self.contacts.details.items() if gid in groups}
        self.contacts = Contacts({**friends}, {**groups}, details, numbers=_SameNumbers(), own=own)

    def know_members(self, details: GroupDetails) -> None:
        """Replace the members of a group.

        Args:
            details: the group.
        """
        self.contacts.details[details.gid] = details

    def learn(self, event: MessageEvent) -> None:
        """Note what a message tells of its author and its group.

        Args:
            event: as it came.
        """
        gid, sender = event.group_id, replace(event.sender, user_id=event.user_id)
        if not gid or event.anonymous is not None:
            return
        if gid not in self.contacts.groups:
            self.contacts.groups[gid] = Group(gid, gid, event.group_name or str(gid))
        group = self.contacts.groups[gid]
        details = self.contacts.details.get(gid) or GroupDetails(gid, gid, group.name)
        member, known = _member(sender), self.contacts.member(gid, sender.user_id)
        if not sender.role and known is not None:
            member = replace(member, flag=known.flag)
        if member == known or not (sender.nickname or sender.card):
            return
        others = tuple(one for one in details.members if one.uin != member.uin)
        owner = sender.user_id if sender.role == "owner" else details.owner
        self.know_members(replace(details, members=(*others, member), owner=owner))

    def name_of(self, group: int, account: int) -> str:
        """Name of somebody in a group, or of a friend; empty if not known.

        Args:
            group: number, or 0.
            account: QQ number.
        """
        member = self.contacts.member(group, account) if group else None
        friend = self.contacts.friends.get(account)
        return member.name if member else friend.name if friend else ""

    # -- conversations -------------------------------------------------------------------------

    def contact_of(self, message: Message, event: MessageEvent | None = None) -> Contact:
        """The conversation of a message.

        Args:
            message: as bots have it.
            event: that it was made of, which knows names.
        """
        nick = event.sender.nickname if event is not None and not event.is_own else ""
        gid = getattr(message, "gid", 0)
        if gid:
            return self.contacts.groups.get(gid) or Group(gid, gid, str(gid))
        is_own = message.sender == self.contacts.own
        other = message.recipient if is_own else message.sender
        friend = self.contacts.friends.get(other)
        if friend is not None:
            return friend
        origin = getattr(message, "origin", None)
        if origin is None:
            return Friend(other, nick or str(other))
        return Stranger(other, origin, 0, nick or self.name_of(origin, other), other)

    def address_of(self, contact: Contact) -> Address:
        """The address of a contact.

        Args:
            contact: which.
        """
        origin = None
        if isinstance(contact, Stranger) and contact.origin:
            group = self.contacts.groups.get(contact.origin) or Group(
                contact.origin, contact.origin, str(contact.origin)
            )
            origin = self.address_of(group)
        name = name_of(contact) or str(uin_of(contact))
        return Address(kind_of(contact), name, uin_of(contact), uin_of(contact), MARK, True, origin)

    def contact_at(self, address: Address) -> Contact:
        """The contact at an address; known or not, its number is enough.

        Args:
            address: of this or an earlier session.
        """
        who = address.number or address.uin
        match address.kind:
            case Kind.GROUP:
                return self.contacts.groups.get(who) or Group(who, who, address.name)
            case Kind.STRANGER:
                origin = address.origin.number if address.origin else 0
                return Stranger(who, origin, 0, address.name, who)
        return self.contacts.friends.get(who) or Friend(who, address.name)

    def find(self, address: Address, then: Callable[[Contact | None], Link]) -> Link:
        """See `Directory.find`.

        Args:
            address: whom.
            then: gets the contact.
        """
        return then(self.contact_at(address))
