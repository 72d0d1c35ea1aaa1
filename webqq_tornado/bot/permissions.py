"""Permissions: the groups of users that may call a handler."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from .message import Message

__all__ = ["GROUP_ADMIN", "GROUP_OWNER", "OWNER", "Permission", "is_permitted", "owners_of"]


class Permission(enum.Flag):
    """A set of users that may call a handler; join several with `|`.

    Example:
        >>> @bot.command("leave", permission=OWNER | GROUP_ADMIN)
        ... def leave(message): ...
    """

    OWNER = enum.auto()
    """An owner of the bot, by QQ number."""
    GROUP_OWNER = enum.auto()
    """The owner of the group of the message."""
    GROUP_ADMIN = enum.auto()
    """An administrator of that group, or its owner."""


OWNER = Permission.OWNER
GROUP_OWNER = Permission.GROUP_OWNER
GROUP_ADMIN = Permission.GROUP_ADMIN


async def is_permitted(wanted: Permission, message: Message, owners: frozenset[int]) -> bool:
    """Return True if the sender of a message has one of the permissions.

    Args:
        wanted: permissions, one of which is enough.
        message: of the sender.
        owners: QQ numbers; the sender's is looked up only if it matters.

    Raises:
        SendError: the client is not online.
        StreamError: the server cannot be reached.
        ProtocolError: the answer is not WebQQ.
    """
    sender = message.sender
    if (GROUP_OWNER in wanted and sender.is_owner) or (GROUP_ADMIN in wanted and sender.is_admin):
        return True
    return OWNER in wanted and bool(owners) and await sender.number() in owners


def owners_of(owners: int | Iterable[int]) -> frozenset[int]:
    """The set of a bot's owners.

    Args:
        owners: one QQ number, or several.

    Raises:
        TypeError: an owner is not a number: anybody can take a name.
    """
    numbers = frozenset([owners] if isinstance(owners, (int, str)) else owners)
    for number in numbers:
        if not isinstance(number, int) or number <= 0:
            raise TypeError(f"owner {number!r}: give a QQ number such as 10001; names can be taken")
    return numbers
