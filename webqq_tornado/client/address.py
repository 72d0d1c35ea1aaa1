"""Addresses of contacts that stay valid in other sessions, where every uin is another one."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Address", "Kind"]


class Kind(str, enum.Enum):
    """Kinds of contacts.

    Example:
        >>> Kind("group") is Kind.GROUP
        True
    """

    FRIEND = "friend"
    GROUP = "group"
    DISCUSSION = "discussion"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a person, a group or a discussion.

    Args:
        kind: which of them.
        name: as it was when it was last fetched.
        number: QQ number, or a group's; 0 if it has not been looked up. Discussions have none.
        uin: the number of one session: uin, gid or did.
        session: mark of that session, see `Directory.mark`.
        is_unique: whether no other contact of its kind had the name: then the name finds it in
            another session when there is no `number`.
        origin: of a stranger: the group or discussion that brought the two together.

    Example:
        >>> Address(Kind.FRIEND, "Ann", number=10001)
        <Address of friend Ann (10001)>
    """

    kind: Kind
    name: str
    number: int = 0
    uin: int = 0
    session: str = ""
    is_unique: bool = False
    origin: Address | None = None

    def __repr__(self) -> str:
        number = f" ({self.number})" if self.number else ""
        return f"<Address of {self.kind.value} {self.name}{number}>"
