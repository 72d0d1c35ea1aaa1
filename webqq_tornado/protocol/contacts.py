"""How people and groups are written, in both dialects and on both sides.

One table for each record, in the field order of the historical server (captures of 2012 to
2015). Section C of the protocol.
"""

from __future__ import annotations

from .codes import Mask, Status
from .fields import (
    FLAG,
    INTEGER,
    RAW,
    SECRET,
    STAT,
    STATUS,
    Field,
    Joined,
    Record,
    Rows,
    as_object,
    constant,
)
from .models.login import Session
from .models.people import (
    Birthday,
    Category,
    Discussion,
    DiscussionDetails,
    DiscussionMember,
    Friend,
    FriendInfo,
    FriendList,
    Group,
    GroupDetails,
    Member,
    Presence,
    Recent,
    SelfInfo,
    Signature,
    Translation,
)

__all__ = [
    "FRIEND_INFO",
    "LATE_SESSION",
    "PRESENCE",
    "PRESENCE_FIELDS",
    "RECENT",
    "SELF_INFO",
    "SESSION",
    "SIGNATURE",
    "TRANSLATION",
    "build_discussion_details",
    "build_discussions",
    "build_friend_list",
    "build_group_details",
    "build_groups",
    "parse_discussion_details",
    "parse_discussions",
    "parse_friend_list",
    "parse_group_details",
    "parse_groups",
]

SESSION = Record(
    Session,
    Field("uin", INTEGER),
    Field("cip", INTEGER),
    Field("index", INTEGER),
    Field("port", INTEGER),
    Field("status", STATUS),
    Field("vfwebqq", SECRET),
    Field("psessionid", SECRET),
    Field("user_state", INTEGER),
    Field("f", INTEGER),
)
"""Result of login2."""

LATE_SESSION = Record(Session, *sorted(SESSION.fields, key=lambda field: field.name))
"""The same in SmartQQ: by the alphabet (captures of 2016; a client in Java of 2017 cut it so)."""

# --- friends ----------------------------------------------------------------------------------

_CATEGORY = Record(Category, Field("index", INTEGER), Field("sort", INTEGER), Field("name", RAW))
_VIP = (Field("is_vip", FLAG), Field("vip_level", INTEGER))


def _has_mark(friend: Friend) -> bool:
    return bool(friend.mark or friend.mark_type)


_FRIENDS = Joined(
    Friend,
    "uin",
    Rows(
        "friends",
        "uin",
        (Field("categories", INTEGER, "category"), Field("flag", INTEGER, "friend_flag")),
        adds=True,
    ),
    Rows(
        "info",
        "uin",
        (Field("nick", RAW), Field("face", INTEGER), Field("flag", INTEGER)),
        adds=True,
    ),
    Rows(
        "marknames",
        "uin",
        (Field("markname", RAW, "mark"), Field("type", INTEGER, "mark_type")),
        has_row=_has_mark,
    ),
    Rows("vipinfo", "u", _VIP),
)


def parse_friend_list(result: object) -> FriendList:
    """Result of get_user_friends2.

    Raises:
        ValueError: It is not as described.
    """
    lists = as_object(result)
    categories = _CATEGORY.parse_all(lists.get("categories") or [])
    return FriendList(_FRIENDS.parse(lists), categories)


def build_friend_list(friends: FriendList) -> object:
    """The reverse of `parse_friend_list`."""
    lists = _FRIENDS.build(friends.friends)
    return {
        "friends": lists["friends"],
        "marknames": lists["marknames"],
        "categories": _CATEGORY.build_all(friends.categories),
        "vipinfo": lists["vipinfo"],
        "info": lists["info"],
    }


PRESENCE_FIELDS = (
    Field("uin", INTEGER),
    Field("status", STATUS),
    Field("client_type", INTEGER),
)
"""Of get_online_buddies2 and of the event buddies_status_change."""

PRESENCE = Record(Presence, *PRESENCE_FIELDS)
"""One line of the result of get_online_buddies2."""

SIGNATURE = Record(Signature, Field("uin", INTEGER), Field("lnick", RAW))
"""One line of the result of get_single_long_nick2."""

TRANSLATION = Record(
    Translation,
    Field("uiuin", constant(""), is_read=False),
    Field("account", INTEGER),
    Field("uin", INTEGER),
)
"""Result of get_friend_uin2, in this order: clients looked for the comma after the account."""

RECENT = Record(Recent, Field("uin", INTEGER), Field("type", INTEGER))
"""One line of the result of get_recent_list2."""

# --- profiles ---------------------------------------------------------------------------------

_BIRTHDAY = Record(Birthday, Field("year", INTEGER), Field("month", INTEGER), Field("day", INTEGER))
_PROFILE = (
    Field("uin", INTEGER),
    Field("account", INTEGER),
    Field("nick", RAW),
    Field("lnick", RAW),
    Field("face", INTEGER),
    Field("gender", RAW),
    Field("birthday", _BIRTHDAY.kind),
    Field("phone", RAW),
    Field("mobile", RAW),
    Field("email", RAW),
    Field("occupation", RAW),
    Field("college", RAW),
    Field("country", RAW),
    Field("province", RAW),
    Field("city", RAW),
    Field("homepage", RAW),
    Field("personal", RAW),
    Field("blood", INTEGER),
    Field("constel", INTEGER),
    Field("shengxiao", INTEGER),
    Field("allow", INTEGER),
    Field("vip_info", INTEGER),
)
SELF_INFO = Record(SelfInfo, *_PROFILE, Field("vfwebqq", SECRET))
"""Result of get_self_info2."""
FRIEND_INFO = Record(FriendInfo, *_PROFILE, Field("stat", STAT, "status"))
"""Result of get_friend_info2."""

# --- groups -----------------------------------------------------------------------------------


def _is_marked(group: Group) -> bool:
    return bool(group.mark)


def _is_masked(group: Group | Discussion) -> bool:
    return group.mask != Mask.NOTIFY


_GROUPS = Joined(
    Group,
    "gid",
    Rows(
        "gnamelist",
        "gid",
        (Field("code", INTEGER), Field("name", RAW), Field("flag", INTEGER)),
        adds=True,
    ),
    Rows("gmarklist", "uin", (Field("markname", RAW, "mark"),), has_row=_is_marked),
    Rows("gmasklist", "gid", (Field("mask", INTEGER),), has_row=_is_masked),
)


def parse_groups(result: object) -> tuple[Group, ...]:
    """Result of get_group_name_list_mask2.

    Raises:
        ValueError: It is not as described.
    """
    return _GROUPS.parse(as_object(result))


def build_groups(groups: tuple[Group, ...]) -> object:
    """The reverse of `parse_groups`."""
    lists = _GROUPS.build(groups)
    return {name: lists[name] for name in ("gmasklist", "gnamelist", "gmarklist")}


def _has_card(member: Member) -> bool:
    return bool(member.card)


def _is_seen(member: Member | DiscussionMember) -> bool:
    return member.status != Status.OFFLINE or member.client_type != 0


_MEMBERS = Joined(
    Member,
    "uin",
    Rows("members", "muin", (Field("mflag", INTEGER, "flag"),), adds=True),
    Rows(
        "minfo",
        "uin",
        (
            Field("nick", RAW),
            Field("province", RAW),
            Field("gender", RAW),
            Field("country", RAW),
            Field("city", RAW),
        ),
        adds=True,
    ),
    Rows("cards", "muin", (Field("card", RAW),), has_row=_has_card),
    Rows(
        "stats",
        "uin",
        (Field("client_type", INTEGER), Field("stat", STAT, "status")),
        has_row=_is_seen,
    ),
    Rows("vipinfo", "u", _VIP),
)

_DETAILS = Record(
    GroupDetails,
    Field("gid", INTEGER),
    Field("code", INTEGER),
    Field("name", RAW),
    Field("owner", INTEGER),
    Field("createtime", INTEGER, "created"),
    Field("memo", RAW),
    Field("fingermemo", RAW),
    Field("face", INTEGER),
    Field("level", INTEGER),
    Field("flag", INTEGER),
    Field("option", INTEGER),
    Field("class", INTEGER, "classification"),
)


def parse_group_details(result: object) -> GroupDetails:
    """Result of get_group_info_ext2.

    A result without ``minfo`` is half an answer (Mojo-Webqq 2018): `GroupDetails.is_complete`
    is False then, and the client asks again.

    Raises:
        ValueError: It is not as described.
    """
    lists = as_object(result)
    ginfo = as_object(lists.get("ginfo"))
    return GroupDetails(
        **_DETAILS.values(ginfo),  # type: ignore[arg-type]  # by the table above
        members=_MEMBERS.parse({**lists, "members": ginfo.get("members")}),
        is_complete=isinstance(lists.get("minfo"), list),
    )


def build_group_details(details: GroupDetails) -> object:
    """The reverse of `parse_group_details`; ``cards`` is absent when nobody has one."""
    lists = _MEMBERS.build(details.members)
    ginfo = {**_DETAILS.build(details), "members": lists.pop("members")}
    is_sent = {"minfo": details.is_complete, "cards": bool(lists["cards"])}
    order = ("stats", "minfo", "cards", "vipinfo")
    return {"ginfo": ginfo, **{name: lists[name] for name in order if is_sent.get(name, True)}}


# --- discussions ------------------------------------------------------------------------------

_DISCUSSIONS = Joined(
    Discussion,
    "did",
    Rows("dnamelist", "did", (Field("name", RAW),), adds=True),
    Rows("dmasklist", "did", (Field("mask", INTEGER),), has_row=_is_masked),
)


def parse_discussions(result: object) -> tuple[Discussion, ...]:
    """Result of get_discus_list.

    Raises:
        ValueError: It is not as described.
    """
    return _DISCUSSIONS.parse(as_object(result))


def build_discussions(discussions: tuple[Discussion, ...]) -> object:
    """The reverse of `parse_discussions`."""
    lists = _DISCUSSIONS.build(discussions)
    return {name: lists[name] for name in ("dmasklist", "dnamelist")}


_DISCUSSION_MEMBERS = Joined(
    DiscussionMember,
    "uin",
    Rows("mem_list", "mem_uin", (Field("ruin", INTEGER, "account"),), adds=True),
    Rows("mem_info", "uin", (Field("nick", RAW),), adds=True),
    Rows(
        "mem_status",
        "uin",
        (Field("status", STATUS), Field("client_type", INTEGER)),
        has_row=_is_seen,
    ),
)
_DISCUSSION = Record(
    DiscussionDetails,
    Field("did", INTEGER),
    Field("discu_name", RAW, "name"),
    Field("discu_owner", INTEGER, "owner"),
)


def parse_discussion_details(result: object) -> DiscussionDetails:
    """Result of get_discu_info.

    Raises:
        ValueError: It is not as described.
    """
    lists = as_object(result)
    info = as_object(lists.get("info"))
    members = _DISCUSSION_MEMBERS.parse({**lists, "mem_list": info.get("mem_list")})
    return DiscussionDetails(**_DISCUSSION.values(info), members=members)  # type: ignore[arg-type]  # by the table above


def build_discussion_details(details: DiscussionDetails) -> object:
    """The reverse of `parse_discussion_details`."""
    lists = _DISCUSSION_MEMBERS.build(details.members)
    info = {**_DISCUSSION.build(details), "mem_list": lists["mem_list"]}
    return {"info": info, "mem_info": lists["mem_info"], "mem_status": lists["mem_status"]}
