"""Actions about groups: what they are, who is in them, and what their leaders do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.values import id_in, number
from ..groups import Groups
from ..sending import NotAllowed
from ..storage import RoomRow
from .account import ActionFunction, OneBotAccount
from .incoming import stored_file
from .rendering import group_info, member_info

__all__ = ["FUNCTIONS"]


def entered(account: OneBotAccount, number: int) -> RoomRow:
    """A group that the account is in; a discussion counts as one.

    Raises:
        ActionError: it is not.
    """
    rooms = account.storage.rooms
    room = rooms.get(number, rooms.kind(number))
    if room is None or not rooms.is_member(number, account.number):
        raise ActionError(f"there is no group {number}, or you are not in it")
    return room


def _change(change: Callable[[Groups, int, dict[str, Any]], object]) -> ActionFunction:
    """An action that `Groups` does, under its rules."""

    async def function(account: OneBotAccount, params: dict[str, Any]) -> object:
        try:
            change(account.state.groups, account.number, params)
        except (NotAllowed, ValueError) as error:
            raise ActionError(str(error)) from None
        return None

    return function


# --- looking ------------------------------------------------------------------------------------


async def _info(account: OneBotAccount, params: dict[str, Any]) -> object:
    # Also of a group that one is not in, as GC and NC.
    room = account.storage.rooms.group(params["group_id"]) or entered(account, params["group_id"])
    own = account.storage.rooms.of(account.number, room.kind)
    mark = next((mark for one, mark, _ in own if one.number == room.number), "")
    return group_info(account.storage, room, mark)


async def _list(account: OneBotAccount, _params: dict[str, Any]) -> object:
    return [
        group_info(account.storage, room, mark)
        for kind in ("group", "discussion")
        for room, mark, _ in account.storage.rooms.of(account.number, kind)
    ]


async def _member(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    row = account.storage.rooms.member(room.number, params["user_id"])
    if row is None:
        raise ActionError(f"{params['user_id']} is not a member of group {room.number}")
    last = account.storage.messages.last_sent(room.number)
    return member_info(room, row, last.get(params["user_id"], 0))


async def _members(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    last = account.storage.messages.last_sent(room.number)
    return [
        member_info(room, row, last.get(row.account.number, 0))
        for row in account.storage.rooms.member_rows(room.number)
    ]


async def _honor(account: OneBotAccount, params: dict[str, Any]) -> object:
    """Honours, which nobody has here: the lists are there, and empty."""
    room = entered(account, params["group_id"])
    kinds = ("talkative", "performer", "legend", "strong_newbie", "emotion")
    lists: dict[str, object] = {f"{kind}_list": [] for kind in kinds}
    return {"group_id": room.number, "current_talkative": None, **lists}


async def _shut(account: OneBotAccount, params: dict[str, Any]) -> object:
    room, now = entered(account, params["group_id"]), time.time()
    return [
        {
            "user_id": row.account.number,
            "uin": row.account.number,
            "nickname": row.account.nick,
            "shut_up_time": row.banned_until,
        }
        for row in account.storage.rooms.member_rows(room.number)
        if row.banned_until > now
    ]


async def _remain(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    leads = account.state.groups.role(room, account.number) != "member"
    left = 20 if leads else 0
    return {
        "can_at_all": leads,
        "remain_at_all_count_for_group": left,
        "remain_at_all_count_for_uin": left,
    }


# --- requests -----------------------------------------------------------------------------------


async def _answer_request(account: OneBotAccount, params: dict[str, Any]) -> object:
    kind, _, number = str(params["flag"]).rpartition("-")
    request = account.storage.rooms.request(id_in(number)) if kind == "group" else None
    if request is None:
        raise ActionError(f"there is no request {str(params['flag'])[:60]!r} any more")
    try:
        account.state.groups.answer(request, account.number, is_accepted=params["approve"])
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return None


async def _system_messages(account: OneBotAccount, _params: dict[str, Any]) -> object:
    listed: dict[str, list[dict[str, object]]] = {"invited_requests": [], "join_requests": []}
    for request in account.storage.rooms.requests(account.number):
        room = account.storage.rooms.group(request.room)
        asker = account.storage.accounts.get(request.asker)
        nick = asker.nick if asker else ""
        who = "invitor" if request.is_invitation else "requester"
        details: dict[str, object] = {
            "request_id": request.id,
            f"{who}_uin": request.asker,
            f"{who}_nick": nick,
            "group_id": request.room,
            "group_name": room.name if room else "",
            "message": request.text,
            "checked": False,
            "actor": 0,
            "flag": f"group-{request.id}",
        }
        listed["invited_requests" if request.is_invitation else "join_requests"].append(details)
    return {**listed, "InvitedRequest": listed["invited_requests"]}


# --- notices ------------------------------------------------------------------------------------


async def _send_notice(account: OneBotAccount, params: dict[str, Any]) -> object:
    image = ""
    if params["image"]:
        image = (await stored_file(account, params["image"], is_picture=True)).name
    try:
        groups = account.state.groups
        groups.add_notice(params["group_id"], account.number, params["content"], image)
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return None


async def _notices(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    return [
        {
            "notice_id": str(row.id),
            "sender_id": row.sender,
            "publish_time": row.time,
            "message": {
                "text": row.text,
                "images": [
                    {"id": row.image, "url": f"{account.url}/files/{row.image}"}
                    for _ in range(bool(row.image))
                ],
            },
        }
        for row in account.storage.rooms.notices(room.number)
    ]


def _number_of(text: str, what: str) -> int:
    number = id_in(text)
    if not number:
        raise ActionError(f"{what} is no number", Retcode.BAD_REQUEST)
    return number


# --- one's own ----------------------------------------------------------------------------------


async def _leave(account: OneBotAccount, params: dict[str, Any]) -> object:
    groups, number = account.state.groups, params["group_id"]
    try:
        if params["is_dismiss"]:
            groups.dissolve(number, account.number)
        else:
            groups.leave(number, account.number, passes_on=False)
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return None


async def _kick_all(account: OneBotAccount, params: dict[str, Any]) -> object:
    given = params["user_id"] if isinstance(params["user_id"], list) else [params["user_id"]]
    try:
        people = [number(each) for each in given]
    except ValueError as error:
        raise ActionError(f"user_id: {error}", Retcode.BAD_REQUEST) from None
    group, for_good = params["group_id"], params["reject_add_request"]
    try:
        for person in people:
            account.state.groups.kick(group, account.number, person, for_good=for_good)
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return None


async def _sign(account: OneBotAccount, params: dict[str, Any]) -> object:
    entered(account, params["group_id"])
    return None


async def _portrait(account: OneBotAccount, params: dict[str, Any]) -> object:
    await stored_file(account, params["file"], is_picture=True)
    raise ActionError("groups of this server have no pictures of their own")


async def _anonymous(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    raise ActionError("there is no anonymous chat any more")


async def _remark(account: OneBotAccount, params: dict[str, Any]) -> object:
    room = entered(account, params["group_id"])
    try:
        account.storage.rooms.set_mark(room.number, account.number, params["remark"])
    except ValueError as error:
        raise ActionError(str(error)) from None
    account.state.hub.contacts_changed({account.number})
    return None


FUNCTIONS: dict[str, ActionFunction] = {
    "get_group_info": _info,
    "get_group_detail_info": _info,
    "get_group_list": _list,
    "get_group_member_info": _member,
    "get_group_member_list": _members,
    "get_group_honor_info": _honor,
    "get_group_shut_list": _shut,
    "get_group_at_all_remain": _remain,
    "get_group_system_msg": _system_messages,
    "set_group_add_request": _answer_request,
    "set_group_kick": _change(
        lambda groups, me, p: groups.kick(
            p["group_id"], me, p["user_id"], for_good=p["reject_add_request"]
        )
    ),
    "set_group_ban": _change(
        lambda groups, me, p: groups.ban(p["group_id"], me, p["user_id"], p["duration"])
    ),
    "set_group_whole_ban": _change(
        lambda groups, me, p: groups.silence(p["group_id"], me, is_silenced=p["enable"])
    ),
    "set_group_admin": _change(
        lambda groups, me, p: groups.set_admin(
            p["group_id"], me, p["user_id"], is_admin=p["enable"]
        )
    ),
    "set_group_card": _change(
        lambda groups, me, p: groups.set_card(p["group_id"], me, p["user_id"], p["card"])
    ),
    "set_group_name": _change(
        lambda groups, me, p: groups.rename(p["group_id"], me, p["group_name"])
    ),
    "set_group_special_title": _change(
        lambda groups, me, p: groups.set_title(p["group_id"], me, p["user_id"], p["special_title"])
    ),
    "set_group_remark": _remark,
    "group_poke": _change(lambda groups, me, p: groups.poke(me, p["user_id"], p["group_id"])),
    "set_group_kick_members": _kick_all,
    "set_group_leave": _leave,
    "set_group_anonymous": _anonymous,
    "set_group_anonymous_ban": _anonymous,
    "set_group_portrait": _portrait,
    "send_group_sign": _sign,
    "set_group_sign": _sign,
    "_send_group_notice": _send_notice,
    "_get_group_notice": _notices,
    "_del_group_notice": _change(
        lambda groups, me, p: groups.remove_notice(
            p["group_id"], me, _number_of(p["notice_id"], "notice_id")
        )
    ),
}
