"""Actions about people: oneself, friends, strangers, requests, likes."""

from __future__ import annotations

from typing import Any

from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.values import id_in
from ...protocol.codes import Status
from ..sending import NotAllowed
from ..storage import Account
from .account import ActionFunction, OneBotAccount
from .incoming import stored_file
from .rendering import stranger_info

__all__ = ["FUNCTIONS"]

#: Likes of one account for another in a day (10, and 20 for members of QQ's club).
_MOST_LIKES = 10
#: Numbers of ``set_online_status`` (NC): online, away, hidden, busy, "call me", do not disturb.
_STATUSES = {
    10: Status.ONLINE,
    11: Status.ONLINE,
    30: Status.AWAY,
    40: Status.HIDDEN,
    50: Status.BUSY,
    60: Status.CALLME,
    70: Status.SILENT,
}


def person(account: OneBotAccount, number: int) -> Account:
    """An account of the server.

    Raises:
        ActionError: there is none.
    """
    row = account.storage.accounts.get(number)
    if row is None:
        raise ActionError(f"there is no account {number}")
    return row


async def _login_info(account: OneBotAccount, _params: dict[str, Any]) -> object:
    return {"user_id": account.number, "nickname": person(account, account.number).nick}


async def _stranger(account: OneBotAccount, params: dict[str, Any]) -> object:
    profile = account.storage.accounts.profile(params["user_id"])
    if profile is None:
        raise ActionError(f"there is no account {params['user_id']}")
    return stranger_info(profile)


async def _friends(account: OneBotAccount, _params: dict[str, Any]) -> object:
    rows = account.storage.friends.rows(account.number)
    return [
        {
            "user_id": row.account.number,
            "nickname": row.account.nick,
            "remark": row.mark,
            "sex": "unknown",
            "level": 1,
        }
        for row in rows
    ]


async def _friends_by_heading(account: OneBotAccount, params: dict[str, Any]) -> object:
    friends = account.storage.friends
    rows = friends.rows(account.number)
    headings = [(0, "我的好友"), *friends.headings(account.number)]
    listed = []
    for place, (number, name) in enumerate(headings):
        inside = [row for row in rows if row.category == number]
        online = sum(account.state.hub.is_online(row.account.number) for row in inside)
        people = [
            {"user_id": row.account.number, "nickname": row.account.nick, "remark": row.mark}
            for row in inside
        ]
        listed.append(
            {
                "categoryId": number,
                "categorySortId": place,
                "categoryName": name,
                "categoryMbCount": len(inside),
                "onlineCount": online,
                "buddyList": people,
            }
        )
    return listed


async def _answer_friend(account: OneBotAccount, params: dict[str, Any]) -> object:
    kind, _, number = str(params["flag"]).rpartition("-")
    asker = id_in(number) if kind == "friend" else 0
    friends, hub = account.storage.friends, account.state.hub
    if friends.request(account.number, asker) is None:
        raise ActionError(f"there is no request {str(params['flag'])[:60]!r} any more")
    if not params["approve"]:
        friends.remove_request(account.number, asker)
        hub.refused(asker, account.number)
        return None
    friends.befriend(account.number, asker)
    if params["remark"]:
        _set_mark(account, asker, params["remark"])
    hub.befriended(account.number, asker, "verify_pass_add")
    return None


def _set_mark(account: OneBotAccount, friend: int, mark: str) -> None:
    try:
        account.storage.friends.set_mark(account.number, friend, mark)
    except ValueError as error:
        raise ActionError(str(error)) from None


async def _remark(account: OneBotAccount, params: dict[str, Any]) -> object:
    _check_friend(account, params["user_id"])
    _set_mark(account, params["user_id"], params["remark"])
    account.state.hub.contacts_changed({account.number})
    return None


def _check_friend(account: OneBotAccount, number: int) -> None:
    if not account.storage.friends.are_friends(account.number, number):
        raise ActionError(f"{number} is not a friend")


async def _delete_friend(account: OneBotAccount, params: dict[str, Any]) -> object:
    _check_friend(account, params["user_id"])
    account.storage.friends.unfriend(account.number, params["user_id"])
    account.state.hub.unfriended(account.number, params["user_id"])
    return None


async def _like(account: OneBotAccount, params: dict[str, Any]) -> object:
    whom, times = params["user_id"], params["times"]
    if whom == account.number or times < 1:
        raise ActionError("likes are for others, and at least one", Retcode.BAD_REQUEST)
    person(account, whom)
    given = account.storage.onebot.like(account.number, whom, times, _MOST_LIKES)
    if not given:
        raise ActionError(f"{whom} got {_MOST_LIKES} likes of you today: that is the most")
    account.state.hub.notify_applications(
        {whom},
        post_type="notice",
        notice_type="notify",
        sub_type="profile_like",
        operator_id=account.number,
        operator_nick=person(account, account.number).nick,
        times=given,
    )
    return None


async def _typing(account: OneBotAccount, params: dict[str, Any]) -> object:
    """A friend sees that the account writes; of what is 0 NC says that it has stopped."""
    _check_friend(account, params["user_id"])
    if params["event_type"]:
        account.state.hub.typing(account.number, params["user_id"])
    return None


async def _poke_friend(account: OneBotAccount, params: dict[str, Any]) -> object:
    group = int(params.get("group_id") or 0)
    whom = int((params.get("target_id") or 0) if not group else 0) or params["user_id"]
    try:
        account.state.groups.poke(account.number, whom, group)
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return None


# --- oneself ------------------------------------------------------------------------------------


def _change(account: OneBotAccount, **changes: object) -> None:
    try:
        account.storage.accounts.change_profile(account.number, changes)
    except ValueError as error:
        raise ActionError(str(error)) from None
    friends = account.storage.friends.numbers(account.number)
    account.state.hub.contacts_changed(friends | {account.number})


async def _profile(account: OneBotAccount, params: dict[str, Any]) -> object:
    given = {"nick": params["nickname"], "personal": params["personal_note"]}
    _change(account, **{name: value for name, value in given.items() if value})
    return None


async def _signature(account: OneBotAccount, params: dict[str, Any]) -> object:
    _change(account, lnick=params["longNick"])
    return None


async def _status(account: OneBotAccount, params: dict[str, Any]) -> object:
    status = _STATUSES.get(params["status"])
    if status is None:
        known = ", ".join(map(str, _STATUSES))
        raise ActionError(f"status is to be one of {known}", Retcode.BAD_REQUEST)
    account.state.hub.set_application_status(account.number, status)
    return None


async def _avatar(account: OneBotAccount, params: dict[str, Any]) -> object:
    await stored_file(account, params["file"], is_picture=True)
    raise ActionError("accounts of this server have no pictures of their own")


FUNCTIONS: dict[str, ActionFunction] = {
    "get_login_info": _login_info,
    "get_stranger_info": _stranger,
    "get_friend_list": _friends,
    "get_friends_with_category": _friends_by_heading,
    "set_friend_add_request": _answer_friend,
    "set_friend_remark": _remark,
    "set_input_status": _typing,
    "delete_friend": _delete_friend,
    "send_like": _like,
    "friend_poke": _poke_friend,
    "send_poke": _poke_friend,
    "set_qq_profile": _profile,
    "set_self_longnick": _signature,
    "set_online_status": _status,
    "set_qq_avatar": _avatar,
}
