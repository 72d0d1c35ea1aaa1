"""Friends, groups, discussions, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..codes import Mask, Status
from .login import NO_SECRET, Secret

__all__ = [
    "Birthday",
    "Category",
    "Discussion",
    "DiscussionDetails",
    "DiscussionMember",
    "Friend",
    "FriendInfo",
    "FriendList",
    "Group",
    "GroupDetails",
    "Member",
    "Presence",
    "Profile",
    "Recent",
    "SelfInfo",
    "Signature",
    "Translation",
]


@dataclass(frozen=True, slots=True)
class Category:
    """A heading of the friend list.

    Args:
        index: Its number, which friends refer to; 0 is the default one.
        name: Its name.
        sort: Its place.
    """

    index: int
    name: str
    sort: int = 0


@dataclass(frozen=True, slots=True)
class Friend:
    """One line of the friend list.

    Args:
        uin: Number in this session.
        nick: The name the friend chose.
        mark: The name the account gave the friend, or empty.
        category: Index of a `Category`.
        face: Number of the portrait.
        flag: ``flag`` of the list ``info``.
        friend_flag: ``flag`` of the list ``friends``.
        mark_type: ``type`` of the list ``marknames``.
        is_vip: Whether the friend pays.
        vip_level: How much.
    """

    uin: int
    nick: str = ""
    mark: str = ""
    category: int = 0
    face: int = 0
    flag: int = 0
    friend_flag: int = 0
    mark_type: int = 0
    is_vip: bool = False
    vip_level: int = 0

    @property
    def name(self) -> str:
        """Display name of the friend: the mark, else the nick."""
        return self.mark or self.nick


@dataclass(frozen=True, slots=True)
class FriendList:
    """Reply to ``get_user_friends2``.

    Args:
        friends: In the server's order.
        categories: In the server's order; index 0 may be left out.
    """

    friends: tuple[Friend, ...] = ()
    categories: tuple[Category, ...] = ()

    def category_name(self, index: int) -> str:
        """Name of a category; index 0 is ``我的好友`` when the server leaves it out."""
        known = {category.index: category.name for category in self.categories}
        return known.get(index, "我的好友" if index == 0 else "")


@dataclass(frozen=True, slots=True)
class Presence:
    """The online status of a friend.

    Args:
        uin: Who.
        status: How.
        client_type: With what; see `CLIENT_TYPES`.
    """

    uin: int
    status: Status = Status.ONLINE
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the group list.

    Args:
        gid: The number to send to, and the sender of its messages.
        code: The number to query it under.
        name: Its name.
        mark: The name the account gave it, or empty.
        mask: A `Mask`, or a number that clients did not know.
        flag: A number of flags.
    """

    gid: int
    code: int
    name: str = ""
    mark: str = ""
    mask: int = Mask.NOTIFY
    flag: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group.

    Args:
        uin: Number in this session.
        nick: The name the person chose.
        card: The name in this group, or empty.
        flag: ``mflag``; odd for an administrator.
        gender: ``male``, ``female`` or ``unknown``.
        country: As the person wrote it.
        province: As the person wrote it.
        city: As the person wrote it.
        status: `Status.OFFLINE` unless the server listed one.
        client_type: With what; 0 unless the server said.
        is_vip: Whether the person pays.
        vip_level: How much.
    """

    uin: int
    nick: str = ""
    card: str = ""
    flag: int = 0
    gender: str = "unknown"
    country: str = ""
    province: str = ""
    city: str = ""
    status: Status = Status.OFFLINE
    client_type: int = 0
    is_vip: bool = False
    vip_level: int = 0

    @property
    def name(self) -> str:
        """Display name of the member: the card, else the nick."""
        return self.card or self.nick


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """Reply to ``get_group_info_ext2``.

    Args:
        gid: The number to send to.
        code: The number to query it under.
        name: Its name.
        owner: uin of the owner.
        created: Seconds since 1970.
        memo: The announcement.
        fingermemo: The description.
        face: Number of the portrait.
        level: Size class.
        flag: A number of flags.
        option: How one joins.
        classification: Number of the subject.
        members: In the server's order.
        is_complete: Whether ``minfo`` came: without it no member has a nick, ask again.
    """

    gid: int
    code: int
    name: str = ""
    owner: int = 0
    created: int = 0
    memo: str = ""
    fingermemo: str = ""
    face: int = 0
    level: int = 0
    flag: int = 0
    option: int = 0
    classification: int = 0
    members: tuple[Member, ...] = ()
    is_complete: bool = True


class Birthday(NamedTuple):
    """A date; zeros when not given."""

    year: int = 0
    month: int = 0
    day: int = 0


_NO_BIRTHDAY = Birthday()


@dataclass(frozen=True, slots=True)
class Profile:
    """A person's profile; numbers and words as the person's client sent them.

    Args:
        uin: Number in this session.
        account: QQ number, 0 if the server kept it back.
        nick: Name.
        lnick: Signature.
        face: Number of the portrait.
        gender: ``male``, ``female`` or ``unknown``.
        birthday: Zeros when not given.
        phone: As written.
        mobile: As written.
        email: As written.
        occupation: As written.
        college: As written.
        country: As written.
        province: As written.
        city: As written.
        homepage: As written.
        personal: About oneself.
        blood: Number of the blood group.
        constel: Number of the sign of the zodiac.
        shengxiao: Number of the Chinese sign.
        allow: How a friend request is answered.
        vip_info: Number.
    """

    uin: int
    account: int = 0
    nick: str = ""
    lnick: str = ""
    face: int = 0
    gender: str = "unknown"
    birthday: Birthday = _NO_BIRTHDAY
    phone: str = ""
    mobile: str = ""
    email: str = ""
    occupation: str = ""
    college: str = ""
    country: str = ""
    province: str = ""
    city: str = ""
    homepage: str = ""
    personal: str = ""
    blood: int = 0
    constel: int = 0
    shengxiao: int = 0
    allow: int = 0
    vip_info: int = 0


@dataclass(frozen=True, slots=True)
class SelfInfo(Profile):
    """Reply to ``get_self_info2``.

    Args:
        vfwebqq: The token of the s host once more.
    """

    vfwebqq: Secret = NO_SECRET


@dataclass(frozen=True, slots=True)
class FriendInfo(Profile):
    """Reply to ``get_friend_info2``.

    Args:
        status: How the friend is to be reached.
    """

    status: Status = Status.OFFLINE


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's signature (``get_single_long_nick2``).

    Args:
        uin: Whose.
        lnick: The text.
    """

    uin: int
    lnick: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """Which account or group number a uin stands for (``get_friend_uin2``).

    Args:
        uin: Number in this session.
        account: The public number.
    """

    uin: int
    account: int


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion: a small group without a number of its own.

    Args:
        did: Its number in this session.
        name: Its name.
        mask: What the account wants of its messages.
    """

    did: int
    name: str = ""
    mask: int = Mask.NOTIFY


@dataclass(frozen=True, slots=True)
class DiscussionMember:
    """A member of a discussion.

    Args:
        uin: Number in this session (``mem_uin``).
        account: QQ number (``ruin``), 0 if the server kept it back.
        nick: Own name.
        status: How to be reached.
        client_type: See `webqq_tornado.protocol.codes.CLIENT_TYPES`.
    """

    uin: int
    account: int = 0
    nick: str = ""
    status: Status = Status.OFFLINE
    client_type: int = 0

    @property
    def name(self) -> str:
        """Display name of the member."""
        return self.nick or str(self.uin)


@dataclass(frozen=True, slots=True)
class DiscussionDetails:
    """A discussion with its members (``get_discu_info``).

    Args:
        did: Its number in this session.
        name: ``discu_name``.
        owner: ``discu_owner``, a uin.
        members: All of them.
    """

    did: int
    name: str = ""
    owner: int = 0
    members: tuple[DiscussionMember, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """A recent conversation (``get_recent_list2``).

    Args:
        uin: uin, gid or did.
        type: 0 a friend, 1 a group, 2 a discussion.
    """

    uin: int
    type: int = 0
