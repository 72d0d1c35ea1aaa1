"""Friends, groups and members: the chain that fetches them, and what it brings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ..engine.chain import Link, Next
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action
from ..protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.errors import RefusedError
from ..protocol.hashes import friend_list_hash
from ..protocol.models import (
    Friend,
    FriendList,
    FriendMessage,
    Group,
    GroupDetails,
    GroupMessage,
    Member,
    Secret,
    Session,
)

__all__ = ["Contact", "Contacts", "Fetch"]

#: Whom one can write to.
Contact: TypeAlias = Friend | Group
#: Tries for details of a group that are not ready (Mojo-Webqq 2018 asked three times).
DETAIL_TRIES = 3


@dataclass(frozen=True, slots=True)
class Contacts:
    """All contacts of an account in one session.

    Args:
        friends: by uin.
        groups: by gid.
        details: of groups, by gid; a group whose details never came is missing.
        categories: names of the friend list's headings by index.
    """

    friends: dict[int, Friend] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    details: dict[int, GroupDetails] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)

    def find(self, name: str) -> Contact | None:
        """A friend or group by its whole name, else by the beginning of one name only."""
        everyone: list[Contact] = [*self.friends.values(), *self.groups.values()]
        wanted = name.casefold().strip()
        exact = [contact for contact in everyone if name_of(contact).casefold() == wanted]
        if exact:
            return exact[0]
        near = [contact for contact in everyone if name_of(contact).casefold().startswith(wanted)]
        return near[0] if wanted and len(near) == 1 else None

    def same(self, contact: Contact) -> Contact | None:
        """The contact with the same number, as it is known here."""
        if isinstance(contact, Friend):
            return self.friends.get(contact.uin)
        return self.groups.get(contact.gid)

    def namesake(self, contact: Contact) -> Contact | None:
        """The one friend, or group, with the same name; None if there are several."""
        alike = self.friends.values() if isinstance(contact, Friend) else self.groups.values()
        found = [other for other in alike if name_of(other) == name_of(contact)]
        return found[0] if len(found) == 1 else None

    def knows(self, message: FriendMessage | GroupMessage) -> bool:
        """Whether the sender of a message, and its group, are here."""
        if isinstance(message, FriendMessage):
            return message.sender in self.friends
        if message.gid not in self.details:  # they may never come
            return message.gid in self.groups
        return self.member(message.gid, message.sender) is not None

    def member(self, gid: int, uin: int) -> Member | None:
        """A member of a group."""
        details = self.details.get(gid)
        members = details.members if details else ()
        return next((member for member in members if member.uin == uin), None)


def name_of(contact: Contact) -> str:
    """What to call a friend or a group: one's own mark for it, else its name."""
    return contact.name if isinstance(contact, Friend) else contact.mark or contact.name


class Fetch:
    """A chain that fetches friends, then groups, then the members of each.

    Args:
        endpoints: the server.
        session: in which.
        ptwebqq: for the friend list's hash.
        account: QQ number, for the same.
        then: gets the contacts, returns what comes next.
        dialect: that the server is spoken to in.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        session: Session,
        ptwebqq: Secret,
        *,
        account: int,
        then: Callable[[Contacts], Link],
        dialect: Dialect = WEBQQ3,
    ) -> None:
        self._dialect = dialect
        self._endpoints = endpoints
        self._session = session
        self._hashes = [
            friend_list_hash(kind, account, ptwebqq)
            for kind in dialect.hashes
            if ptwebqq or dialect is SMARTQQ  # late SmartQQ had an empty one, and its hash
        ] or [""]
        self._then = then
        self._list = FriendList()
        self._groups: list[Group] = []
        self._waiting: list[tuple[Group, int]] = []  # groups without details, and tries left
        self._details: dict[int, GroupDetails] = {}

    def first(self, delay: float = 0) -> Next:
        """The chain's first link."""
        form = forms.FriendsForm(self._session.vfwebqq, Secret(self._hashes[0]))
        return Next(self._dialect.friends.request(self._endpoints, form), self._on_friends, delay)

    def _on_friends(self, response: Response) -> Link:
        try:
            self._list = self._dialect.friends.parse(response.body)
        except RefusedError as error:
            if error.action is not Action.RECOMPUTE_HASH or len(self._hashes) < 2:
                raise
            self._hashes.pop(0)  # which kind a server wants is only known by trying
            return self.first()
        hash_ = self._hashes[0] if self._dialect is SMARTQQ else ""
        form = forms.GroupsForm(self._session.vfwebqq, Secret(hash_))
        return self._dialect.groups.request(self._endpoints, form), self._on_groups

    def _on_groups(self, response: Response) -> Link:
        self._groups = list(self._dialect.groups.parse(response.body))
        self._waiting = [(group, DETAIL_TRIES) for group in self._groups]
        return self._next_group()

    def _next_group(self) -> Link:
        if not self._waiting:
            return self._then(self._contacts())
        group = self._waiting[0][0]
        form = forms.GroupInfoForm(group.code, self._session.vfwebqq, int(time.time() * 1000))
        return self._dialect.group_info.request(self._endpoints, form), self._on_details

    def _on_details(self, response: Response) -> Link:
        group, tries = self._waiting.pop(0)
        try:
            details = self._dialect.group_info.parse(response.body)
        except RefusedError as error:
            if error.action is not Action.ASK_AGAIN:
                return self._next_group()  # no member's name is worth a login
            details = None
        if details is not None:
            self._details[group.gid] = details
        if (details is None or not details.is_complete) and tries > 1:
            self._waiting.append((group, tries - 1))
        return self._next_group()

    def _contacts(self) -> Contacts:
        return Contacts(
            {friend.uin: friend for friend in self._list.friends},
            {group.gid: group for group in self._groups},
            self._details,
            {category.index: category.name for category in self._list.categories},
        )
