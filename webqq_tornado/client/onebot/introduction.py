"""Questions to an implementation after each connection: whose it is, which, and who is there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from ...onebot.v11.events import parse_status
from ...onebot.v11.values import as_text, number
from ...protocol.models.people import Group
from ..login import LoginError
from .directory import NetworkDirectory, friends_of, groups_of, members_of
from .transport import ActionFailed, NotConnected

__all__ = ["Identity", "Introduction"]

logger = logging.getLogger("webqq_tornado.webqq")


class Identity(NamedTuple):
    """An account and its implementation.

    Args:
        account: QQ number.
        nick: of the account.
        implementation: name and version; empty if it does not say.
    """

    account: int
    nick: str
    implementation: str


class Caller(Protocol):
    """The part of an account that calls actions."""

    name: str

    async def call(self, action: str, /, **params: Any) -> Any:
        """Call an action; returns the data of the answer."""


class Introduction:
    """Queries of the identity, friends, groups and members of an account.

    Args:
        caller: of the actions.
        directory: gets friends, groups and members.
    """

    def __init__(self, caller: Caller, directory: NetworkDirectory) -> None:
        self._caller, self._directory = caller, directory

    async def identity(self, wanted: int) -> Identity:
        """Query the account and the implementation.

        Args:
            wanted: QQ number; 0 for any.

        Raises:
            LoginError: it holds another account.
            ActionFailed: it does not say.
        """
        login = await self._caller.call("get_login_info")
        values: Mapping[str, object] = login if isinstance(login, dict) else {}
        try:
            account = number(values.get("user_id"))
        except ValueError:
            raise ActionFailed("get_login_info", why="the answer has no user_id") from None
        if wanted not in (0, account):
            raise LoginError(
                f"the implementation holds the account {account}, not {wanted}: give its own"
                " address for each account"
            )
        version = await self._optional("get_version_info")
        told = version if isinstance(version, dict) else {}
        texts = (as_text(told.get(key)) for key in ("app_name", "app_version"))
        return Identity(account, as_text(values.get("nickname")), " ".join(texts).strip())

    async def is_online(self) -> bool:
        """Ask whether QQ has the account online; True unless it says that it has not."""
        return parse_status(await self._optional("get_status")).online is not False

    async def contacts(self, account: int) -> None:
        """Fetch friends and groups; those that are known stay where a list cannot be had.

        Args:
            account: QQ number.
        """
        friends = friends_of(await self._optional("get_friend_list"))
        groups = groups_of(await self._optional("get_group_list"))
        known = self._directory.contacts
        self._directory.update(account, friends or known.friends, groups or known.groups)

    async def refresh(self, account: int, group: int) -> None:
        """Fetch friends and groups again, and the members of one.

        Args:
            account: QQ number.
            group: number; 0 for none.
        """
        try:
            await self.contacts(account)
        except NotConnected:
            return
        if group in self._directory.contacts.groups:
            await self.members(self._directory.contacts.groups[group])

    async def members(self, *groups: Group) -> None:
        """Fetch members, one group after the other: GC times out at many at once (issue 225).

        Args:
            groups: whose.
        """
        for group in groups:
            try:
                data = await self._caller.call("get_group_member_list", group_id=group.gid)
            except NotConnected:
                return
            except ActionFailed as error:
                logger.debug("%s: no members of %s: %s", self._caller.name, group.name, error)
            else:
                self._directory.know_members(members_of(group, data))

    async def _optional(self, action: str) -> object:
        """Data of an action that not all have; None where it fails."""
        try:
            data: object = await self._caller.call(action)
        except NotConnected:
            raise
        except ActionFailed as error:
            logger.debug("%s: %s", self._caller.name, error)
            return None
        return data
