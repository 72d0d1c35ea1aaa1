"""Events that WebQQ did not have, and today's QQ has; an account by OneBot reports them.

Numbers of people and groups are QQ numbers; 0 stands for nobody, or for an unknown one.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CardChanged",
    "EssenceChanged",
    "FileUploaded",
    "GroupNews",
    "GroupRenamed",
    "HonorReceived",
    "LuckyKing",
    "MemberBanned",
    "MessageRecalled",
    "News",
    "Poked",
    "ProfileLiked",
    "Reacted",
    "TitleChanged",
]


@dataclass(frozen=True, slots=True)
class News:
    """Any of them."""


@dataclass(frozen=True, slots=True)
class GroupNews(News):
    """Any of them that is of a group.

    Args:
        group: which.
    """

    group: int


@dataclass(frozen=True, slots=True)
class MessageRecalled(News):
    """A message was recalled.

    Args:
        message_id: of it.
        sender: who had written it.
        by: who recalled it: the sender, or an administrator.
        group: of the message; 0 for a private one.
    """

    message_id: int
    sender: int
    by: int = 0
    group: int = 0


@dataclass(frozen=True, slots=True)
class MemberBanned(GroupNews):
    """A member of a group, or all of them, may not write any more, or may again.

    Args:
        group: where.
        member: who; 0 for all.
        by: administrator who did it.
        seconds: of the ban; 0 lifts it, -1 has no end.
    """

    member: int
    by: int = 0
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Poked(News):
    """A poke: one person drew the attention of another.

    Args:
        sender: who did.
        target: whom.
        group: where; 0 in private.
    """

    sender: int
    target: int
    group: int = 0


@dataclass(frozen=True, slots=True)
class CardChanged(GroupNews):
    """The name of a member in a group is another one.

    Args:
        group: where.
        member: whose.
        new: the name; empty for none.
        old: the former one, likewise.
    """

    member: int
    new: str = ""
    old: str = ""


@dataclass(frozen=True, slots=True)
class FileUploaded(GroupNews):
    """A file was put into a group.

    Args:
        group: where.
        member: by whom.
        name: of the file.
        size: in bytes.
        file_id: for ``get_group_file_url``.
        busid: likewise.
        url: where it is fetched from, if known.
    """

    member: int
    name: str
    size: int = 0
    file_id: str = ""
    busid: int = 0
    url: str = ""


@dataclass(frozen=True, slots=True)
class HonorReceived(GroupNews):
    """A member has an honor of the group.

    Args:
        group: where.
        member: who.
        honor: ``talkative``, ``performer``, ``emotion``, ``legend``, ``strong_newbie``.
    """

    member: int
    honor: str


@dataclass(frozen=True, slots=True)
class TitleChanged(GroupNews):
    """A member has another special title.

    Args:
        group: where.
        member: who.
        title: the new one; empty for none.
    """

    member: int
    title: str = ""


@dataclass(frozen=True, slots=True)
class LuckyKing(GroupNews):
    """A red packet is empty, and a member had the largest part.

    Args:
        group: where.
        sender: of the red packet.
        king: who had the largest part.
    """

    sender: int
    king: int


@dataclass(frozen=True, slots=True)
class EssenceChanged(GroupNews):
    """A message is among the essence of a group now, or no more.

    Args:
        group: where.
        message_id: of it.
        sender: who had written it.
        by: administrator who did it.
        is_set: False for no more.
    """

    message_id: int
    sender: int = 0
    by: int = 0
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class Reacted(GroupNews):
    """An emoji was put to a message, or taken away.

    Args:
        group: where.
        message_id: of the message.
        sender: who did.
        emoji: its number, as a text.
        count: how many have put it there.
        is_set: False if it was taken away.
    """

    message_id: int
    sender: int
    emoji: str
    count: int = 0
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class GroupRenamed(GroupNews):
    """A group has another name.

    Args:
        group: which.
        name: the new one.
        by: who gave it.
    """

    name: str
    by: int = 0


@dataclass(frozen=True, slots=True)
class ProfileLiked(News):
    """The account's profile was liked.

    Args:
        sender: who.
        name: of them.
        times: how often, this time.
    """

    sender: int
    name: str = ""
    times: int = 1
