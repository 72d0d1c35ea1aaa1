"""The chain that fetches the contacts of an account."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..engine.links import Link, Next
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action, Status
from ..protocol.dialect import SMARTQQ
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.exchange import Exchange
from ..protocol.hashes import friend_list_hash
from ..protocol.models.login import Secret
from ..protocol.models.people import (
    Discussion,
    DiscussionDetails,
    FriendList,
    Group,
    GroupDetails,
    Presence,
    Recent,
)
from .connection import Connection
from .contacts import Contacts

__all__ = ["ContactsFetch"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Tries for details of a group that are not ready (Mojo-Webqq 2018 asked three times).
DETAIL_TRIES = 3

R = TypeVar("R")


class ContactsFetch:
    """Fetches friends, groups, their members, discussions, presences and latest conversations.

    Friends and groups must come. The server may refuse the rest: some servers had no discussions,
    and a list of names is not worth another login.

    Args:
        connection: with an open session.
        account: QQ number, for the friend list's hash.
        then: gets the contacts, returns the link that follows.
    """

    def __init__(
        self, connection: Connection, account: int, then: Callable[[Contacts], Link]
    ) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._session = connection.open_session
        self._hashes = [
            friend_list_hash(kind, account, connection.ptwebqq)
            for kind in self._dialect.hashes
            # Late SmartQQ had an empty ptwebqq, and its hash.
            if connection.ptwebqq or self._dialect is SMARTQQ
        ] or [""]
        self._then = then
        self._list = FriendList()
        self._groups: list[Group] = []
        self._waiting: list[tuple[Group, int]] = []  # groups without details, and tries left
        self._details: dict[int, GroupDetails] = {}
        self._discussions: Sequence[Discussion] = ()
        self._unasked: list[Discussion] = []  # discussions without details
        self._discussion_details: dict[int, DiscussionDetails] = {}
        self._online: Sequence[Presence] = ()

    def first(self, delay: float = 0) -> Next:
        """The chain's first link."""
        form = forms.FriendsForm(self._session.vfwebqq, Secret(self._hashes[0]))
        return Next(self._connection.request(self._dialect.friends, form), self._on_friends, delay)

    def _on_friends(self, response: Response) -> Link:
        try:
            self._list = self._dialect.friends.parse(response.body)
        except RefusedError as error:
            if error.action is not Action.RECOMPUTE_HASH or len(self._hashes) < 2:
                raise
            self._hashes.pop(0)  # only a request shows which kind a server wants
            return self.first()
        hash_ = self._hashes[0] if self._dialect is SMARTQQ else ""
        form = forms.GroupsForm(self._session.vfwebqq, Secret(hash_))
        return self._connection.request(self._dialect.groups, form), self._on_groups

    def _on_groups(self, response: Response) -> Link:
        self._groups = list(self._dialect.groups.parse(response.body))
        self._waiting = [(group, DETAIL_TRIES) for group in self._groups]
        return self._next_group()

    def _next_group(self) -> Link:
        if not self._waiting:
            lists = forms.DiscussionsForm(*self._credentials(), _milliseconds())
            return self._ask(self._dialect.discussions, lists, self._on_discussions, ())
        group = self._waiting[0][0]
        form = forms.GroupInfoForm(group.code, self._session.vfwebqq, _milliseconds())
        return self._connection.request(self._dialect.group_info, form), self._on_details

    def _on_details(self, response: Response) -> Link:
        group, tries = self._waiting.pop(0)
        try:
            details = self._dialect.group_info.parse(response.body)
        except RefusedError as error:
            if error.action is not Action.ASK_AGAIN:
                return self._next_group()  # names of members are not worth a login
            details = None
        if details is not None:
            self._details[group.gid] = details
        if (details is None or not details.is_complete) and tries > 1:
            self._waiting.append((group, tries - 1))
        return self._next_group()

    def _on_discussions(self, discussions: Sequence[Discussion]) -> Link:
        self._discussions = discussions
        self._unasked = list(discussions)
        return self._next_discussion()

    def _next_discussion(self) -> Link:
        if not self._unasked:
            online = forms.OnlineForm(*self._credentials(), _milliseconds())
            return self._ask(self._dialect.online, online, self._on_online, ())
        did = self._unasked.pop(0).did
        clientid, psessionid, vfwebqq = self._credentials()
        form = forms.DiscussionInfoForm(did, vfwebqq, clientid, psessionid, _milliseconds())

        def keep(details: DiscussionDetails | None) -> Link:
            if details is not None:
                self._discussion_details[did] = details
            return self._next_discussion()

        return self._ask(self._dialect.discussion_info, form, keep, None)

    def _on_online(self, online: Sequence[Presence]) -> Link:
        self._online = online
        clientid, psessionid, vfwebqq = self._credentials()
        form = forms.RecentForm(vfwebqq, clientid, psessionid)
        return self._ask(self._dialect.recent, form, self._on_recent, ())

    def _on_recent(self, recents: Sequence[Recent]) -> Link:
        return self._then(
            Contacts(
                {friend.uin: friend for friend in self._list.friends},
                {group.gid: group for group in self._groups},
                self._details,
                {category.index: category.name for category in self._list.categories},
                {discussion.did: discussion for discussion in self._discussions},
                self._discussion_details,
                {one.uin: one for one in self._online if one.status is not Status.OFFLINE},
                tuple(recents),
                own=self._session.uin,
            )
        )

    def _credentials(self) -> tuple[int, Secret, Secret]:
        return self._connection.clientid, self._session.psessionid, self._session.vfwebqq

    def _ask(
        self, exchange: Exchange[Any, R], form: object, then: Callable[[Any], Link], without: object
    ) -> Link:
        """Ask for an optional part; use `without` if it is refused."""

        def read(response: Response) -> Link:
            try:
                answer: object = exchange.parse(response.body)
            except ProtocolError as error:
                if response.status >= 500:
                    raise  # the server has them, but fails now
                logger.debug("contacts: without %s: %s", exchange.name, error)
                answer = without
            return then(answer)

        return self._connection.request(exchange, form), read


def _milliseconds() -> int:
    return int(time.time() * 1000)
