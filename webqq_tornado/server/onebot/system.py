"""Actions about the implementation itself, quick operations, and events that are fetched."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ... import __version__
from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.events import build_status, parse_event
from ...onebot.v11.quick import quick_calls
from .account import ActionFunction, OneBotAccount

__all__ = ["FUNCTIONS"]

#: Events of one ``get_updates``, and seconds that it waits at most.
_MOST_UPDATES, _MOST_SECONDS = 200, 60


async def _status(account: OneBotAccount, _params: dict[str, Any]) -> object:
    return build_status(account.health)


async def _version(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    return {
        "app_name": "webqq_tornado",
        "app_version": __version__,
        "protocol_version": "v11",
        "app_full_name": f"webqq_tornado-{__version__}",
        "runtime_version": "python",
    }


async def _yes(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    return {"yes": True}


async def _nothing(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    return None


async def _none(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    return []


async def _guild_profile(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    """The profile of an account without guilds (GC coolq/api.go); Koishi asks for it first."""
    return {"nickname": "", "tiny_id": "0", "avatar_url": ""}


async def _cookies(_account: OneBotAccount, _params: dict[str, Any]) -> object:
    raise ActionError("there are no cookies of Tencent's here")


async def _restart(account: OneBotAccount, params: dict[str, Any]) -> object:
    """Connections end, and those that the server opens are opened again."""
    loop = asyncio.get_running_loop()
    seconds = min(max(int(params["delay"]), 0), 60_000) / 1000
    loop.call_later(seconds, account.reopen_connections)
    return None


async def _clients(account: OneBotAccount, _params: dict[str, Any]) -> object:
    is_there = account.state.hub.is_polling(account.number)
    client = {"app_id": 41, "device_name": "WebQQ", "device_kind": "web"}
    return {"clients": [client] if is_there else []}


async def _recent(account: OneBotAccount, params: dict[str, Any]) -> object:
    listed = []
    messages = account.storage.messages
    for conversation in messages.recent(account.number, min(max(params["count"], 1), 100)):
        newest = messages.newest(account.number, conversation)
        if newest is None:
            continue
        is_room = conversation.kind in ("group", "discussion")
        person = account.storage.accounts.get(newest.sender)
        room = account.storage.rooms.get(conversation.number, conversation.kind)
        listed.append(
            {
                "peerUin": str(conversation.number),
                "peerName": room.name if room else "",
                "chatType": 2 if is_room else 1,
                "msgTime": str(newest.time),
                "msgId": str(newest.id),
                "sendNickName": person.nick if person else "",
                "lastestMsg": account.build(account.message(newest)),
            }
        )
    return listed


# --- quick operations ---------------------------------------------------------------------------


async def quick_operation(account: OneBotAccount, context: object, operation: object) -> None:
    """Do what an application answers an event with.

    Args:
        account: to which the event was reported.
        context: the event, which may be shortened.
        operation: a JSON object.

    Raises:
        ActionError: one of them makes no sense, or an action of it failed.
    """
    if not isinstance(context, dict) or not isinstance(operation, dict):
        raise ActionError("context and operation are to be JSON objects", Retcode.BAD_REQUEST)
    try:
        # A shortened one has no message: nothing of it is needed.
        event = parse_event({"message": "", "message_id": 0, "flag": "", **context})
        calls = quick_calls(event, operation)
    except ValueError as error:
        raise ActionError(f"quick operation: {error}", Retcode.BAD_REQUEST) from None
    for call in calls:
        answer = await account.answer(call)
        if answer["status"] == "failed":
            raise ActionError(f"{call.action}: {answer.get('message', '')}")


async def _quick(account: OneBotAccount, params: dict[str, Any]) -> object:
    await quick_operation(account, params["context"], params["operation"])
    return None


# --- events by long poll ------------------------------------------------------------------------


async def _updates(account: OneBotAccount, params: dict[str, Any]) -> object:
    """Events, oldest first; given once (GC server/middlewares.go)."""
    target, newest = account.target("updates"), account.newest
    limit = min(params["limit"] or _MOST_UPDATES, _MOST_UPDATES)
    deadline = time.monotonic() + min(max(params["timeout"], 0), _MOST_SECONDS)
    while True:
        events = account.events(target.cursor, limit)
        found = [account.values_of(each, is_late=each.id <= newest) for each in events]
        updates = [each for each in found if each]
        if events:
            target.confirm(events[-1].id)
        left = deadline - time.monotonic()
        if updates or left <= 0 or account.is_closed:
            return updates
        if not events:
            await account.wait_for_news(left)


FUNCTIONS: dict[str, ActionFunction] = {
    "get_status": _status,
    "get_version_info": _version,
    "can_send_image": _yes,
    "can_send_record": _yes,
    "clean_cache": _nothing,
    "set_restart": _restart,
    "get_cookies": _cookies,
    "get_csrf_token": _cookies,
    "get_credentials": _cookies,
    "get_online_clients": _clients,
    "get_recent_contact": _recent,
    "get_unidirectional_friend_list": _none,
    "get_guild_list": _none,
    "get_guild_service_profile": _guild_profile,
    ".handle_quick_operation": _quick,
    "get_updates": _updates,
}
