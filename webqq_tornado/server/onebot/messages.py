"""Actions about messages: send, look up, take back, history, forwarded ones, reactions."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

from ...onebot.v11.actions import ActionError, Retcode
from ...onebot.v11.segments import Segment, Segments, build_array, build_string
from ...onebot.v11.values import id_in
from ...protocol.models.content import Content
from ..hub import is_too_long
from ..sending import NotAllowed, check_may_send, settled
from ..storage import Conversation, StoredMessage, content_text, load_content
from .account import ActionFunction, OneBotAccount
from .incoming import content_of, sees, stored_forward
from .rendering import segments_of

__all__ = ["FUNCTIONS", "conversation_with", "sent"]

#: Messages of a history at most.
_MOST_HISTORY = 200
_FOREVER = 2**62
#: Conversations that are marked as read at once.
_MOST_CONVERSATIONS = 10_000


def conversation_with(
    account: OneBotAccount, user: int, group: int = 0
) -> tuple[Conversation, int]:
    """The conversation with a person, and the group that brings two strangers together.

    Args:
        account: who writes.
        user: to whom.
        group: that a temporary session goes through; 0: the one that they have in common.

    Raises:
        ActionError: they are no friends, and have no group in common.
    """
    storage = account.storage
    if storage.friends.are_friends(account.number, user):
        return Conversation("friend", user), 0
    if user == account.number:
        raise ActionError("an account cannot write to itself")
    if storage.accounts.get(user) is None:
        raise ActionError(f"there is no account {user} to write to")
    both = {account.number, user}
    room = group if both <= storage.rooms.member_numbers(group) else 0
    room = room or storage.messages.session_origin(account.number, user)
    room = room or storage.rooms.shared(account.number, user)
    if not room:
        raise ActionError(f"{user} is no friend, and in no group with you")
    return Conversation("session", user), room


async def sent(
    account: OneBotAccount, conversation: Conversation, message: Segments, room: int = 0
) -> StoredMessage:
    """Send a message.

    Args:
        account: who writes.
        conversation: where.
        message: what.
        room: that brings two strangers together.

    Raises:
        ActionError: it may not be sent, or cannot.
    """
    try:
        check_may_send(account.storage, account.number, conversation)
        made = await content_of(account, message)
        content = settled(account.storage, account.number, conversation, made)
    except (NotAllowed, ValueError) as error:
        if isinstance(error, ActionError):
            raise
        raise ActionError(str(error)) from None
    return await _delivered(account, conversation, content, room)


async def _delivered(
    account: OneBotAccount, conversation: Conversation, content: Content, room: int
) -> StoredMessage:
    if not content.parts or (not content_text(content).strip() and not _has_segment(content)):
        raise ActionError("the message is empty", Retcode.BAD_REQUEST)
    if is_too_long(content):
        raise ActionError("the message is too long")
    await account.spend("message")
    hub = account.state.hub
    send = partial(hub.send, account.number, conversation, content, room=room)
    return await hub.writes.put(send)


def _has_segment(content: Content) -> bool:
    return any(not isinstance(part, str) for part in content.parts)


async def _send(account: OneBotAccount, params: dict[str, Any]) -> object:
    group, user = int(params.get("group_id") or 0), int(params.get("user_id") or 0)
    kind = params.get("message_type") or ("group" if group else "private")
    message: Segments = params["message"]
    if kind == "group":
        return await _send_to_group(account, group, message)
    if kind != "private":
        raise ActionError("message_type is to be private or group", Retcode.BAD_REQUEST)
    if not user:
        raise ActionError("user_id is missing", Retcode.BAD_REQUEST)
    if len(message) == 1 and message[0].type == "poke":
        return _poked(account, user, 0)
    conversation, room = conversation_with(account, user, group)
    return {"message_id": (await sent(account, conversation, message, room)).id}


async def _send_to_group(account: OneBotAccount, group: int, message: Segments) -> object:
    if not group:
        raise ActionError("group_id is missing", Retcode.BAD_REQUEST)
    if len(message) == 1 and message[0].type == "poke":
        whom = message[0].text("qq", "id")
        return _poked(account, id_in(whom), group)
    kind = account.storage.rooms.kind(group) or "group"
    return {"message_id": (await sent(account, Conversation(kind, group), message)).id}


def _poked(account: OneBotAccount, user: int, group: int) -> object:
    """GC has no action for a poke, but a segment; it makes no message."""
    _ruled(lambda: account.state.groups.poke(account.number, user, group))
    return {"message_id": 0}


def _ruled(function: Any) -> Any:
    try:
        return function()
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None


# --- looking up ---------------------------------------------------------------------------------


def found(account: OneBotAccount, number: int) -> StoredMessage:
    """The message with an id, if the account can see it.

    Raises:
        ActionError: there is none.
    """
    message = account.storage.messages.get(number)
    if message is None or not sees(account.storage, account.number, number):
        raise ActionError(f"there is no message {number}")
    return message


async def _delete(account: OneBotAccount, params: dict[str, Any]) -> object:
    message = found(account, params["message_id"])
    _ruled(lambda: account.state.groups.recall(message, account.number))
    return None


async def _get(account: OneBotAccount, params: dict[str, Any]) -> object:
    await account.settle()
    message = found(account, params["message_id"])
    if message.recalled:
        raise ActionError(f"message {message.id} was taken back")
    return _view(account, message)


def _view(account: OneBotAccount, message: StoredMessage) -> dict[str, object]:
    """An earlier message: an event of its own, as NC has it; own ones, too."""
    return account.build(account.message(message))


async def _history(
    account: OneBotAccount, conversation: Conversation, params: dict[str, Any]
) -> object:
    """A page, up to a message, as GC and LG have it; NC and LL need `reverse_order` for that.

    To give what follows it, as NC does without that (NC issue 987), would keep the applications
    of the others from paging.
    """
    await account.settle()
    limit = min(max(1, int(params["count"])), _MOST_HISTORY)
    number = int(params["message_seq"])
    before = number + 1 if number else _FOREVER
    rows, _ = account.storage.messages.history(account.number, conversation, before, limit)
    return {"messages": [_view(account, row) for row in rows if not row.recalled]}


async def _group_history(account: OneBotAccount, params: dict[str, Any]) -> object:
    group = params["group_id"]
    if not account.storage.rooms.is_member(group, account.number):
        raise ActionError(f"you are not a member of group {group}")
    kind = account.storage.rooms.kind(group)
    return await _history(account, Conversation(kind, group), params)


async def _friend_history(account: OneBotAccount, params: dict[str, Any]) -> object:
    user = params["user_id"]
    are_friends = account.storage.friends.are_friends(account.number, user)
    kind = "friend" if are_friends else "session"
    return await _history(account, Conversation(kind, user), params)


# --- forwarded ----------------------------------------------------------------------------------


async def _send_forward(account: OneBotAccount, params: dict[str, Any]) -> object:
    name = await stored_forward(account, params["messages"])
    segments = build_forward(name)
    details = await _send(account, {**params, "message": segments})
    return {**(details if isinstance(details, dict) else {}), "forward_id": name, "res_id": name}


def build_forward(name: str) -> Segments:
    """A message of one forward segment."""
    return (Segment("forward", {"id": name}),)


async def _get_forward(account: OneBotAccount, params: dict[str, Any]) -> object:
    name = str(params["id"])
    if number := id_in(name):  # GC and Koishi ask by the id of the message
        message = account.storage.messages.get(number)
        if message is not None and sees(account.storage, account.number, message.id):
            segments = segments_of(message.content, account.url)
            name = next((one.text("id") for one in segments if one.type == "forward"), "")
    stored = account.storage.messages.forward(name)
    if not stored:
        raise ActionError(f"there is no forwarded message {str(params['id'])[:60]!r}")
    nodes = [_node(account, node) for node in json.loads(stored)]
    return {"messages": nodes, "message": [_as_segment(node) for node in nodes]}


def _node(account: OneBotAccount, node: dict[str, Any]) -> dict[str, object]:
    segments = segments_of(load_content(node["content"]), account.url)
    is_string = account.settings.format == "string"
    content = build_string(segments) if is_string else build_array(segments)
    sender = {"user_id": node["user_id"], "nickname": node["nickname"]}
    when = node["time"] or int(time.time())
    return {"content": content, "message": content, "sender": sender, "time": when}


def _as_segment(node: dict[str, Any]) -> dict[str, object]:
    sender = node["sender"]
    details = {
        "user_id": str(sender["user_id"]),
        "nickname": sender["nickname"],
        "content": node["content"],
    }
    return {"type": "node", "data": details}


# --- read, liked, held up -----------------------------------------------------------------------


async def _mark_read(account: OneBotAccount, params: dict[str, Any]) -> object:
    message = found(account, params["message_id"])
    conversation = message.conversation_for(account.number)
    account.storage.messages.mark_seen(account.number, conversation, message.id)
    return None


async def _mark_thread_read(account: OneBotAccount, params: dict[str, Any]) -> object:
    user, group = params.get("user_id"), params.get("group_id")
    kind = account.storage.rooms.kind(group) if group else "friend"
    conversation = Conversation(kind or "group", int(group or user or 0))
    account.storage.messages.mark_seen(account.number, conversation, _FOREVER)
    return None


async def _mark_all_read(account: OneBotAccount, _params: dict[str, Any]) -> object:
    messages = account.storage.messages
    for conversation in messages.recent(account.number, _MOST_CONVERSATIONS):
        messages.mark_seen(account.number, conversation, _FOREVER)
    return None


async def _pass_on(account: OneBotAccount, params: dict[str, Any]) -> object:
    """Send a message again, to others (NC action/msg/ForwardSingleMsg.ts)."""
    message, group = found(account, params["message_id"]), params.get("group_id")
    if message.recalled:
        raise ActionError(f"message {message.id} was taken back")
    if group:
        conversation, room = Conversation(account.storage.rooms.kind(group) or "group", group), 0
    else:
        conversation, room = conversation_with(account, params["user_id"])
    try:
        check_may_send(account.storage, account.number, conversation)
        content = settled(account.storage, account.number, conversation, message.content)
    except (NotAllowed, ValueError) as error:
        raise ActionError(str(error)) from None
    return {"message_id": (await _delivered(account, conversation, content, room)).id}


async def _react(account: OneBotAccount, params: dict[str, Any]) -> object:
    message = found(account, params["message_id"])
    emoji = str(params.get("emoji_id") or params.get("code") or "")[:40]
    if not emoji:
        raise ActionError("emoji_id is missing", Retcode.BAD_REQUEST)
    is_set = params.get("set", params.get("is_add", False))
    react = account.state.groups.react
    _ruled(lambda: react(message, account.number, emoji, is_set=bool(is_set)))
    return None


def _essence(*, is_set: bool) -> ActionFunction:
    async def set_essence(account: OneBotAccount, params: dict[str, Any]) -> object:
        message = found(account, params["message_id"])
        change = account.state.groups.set_essence
        _ruled(lambda: change(message, account.number, is_set=is_set))
        return None

    return set_essence


async def _essence_list(account: OneBotAccount, params: dict[str, Any]) -> object:
    group = params["group_id"]
    if not account.storage.rooms.is_member(group, account.number):
        raise ActionError(f"you are not a member of group {group}")
    listed = []
    for row in account.storage.rooms.essence(group):
        message = account.storage.messages.get(row.message)
        if message is None:
            continue
        event = account.message(message)
        operator = account.storage.accounts.get(row.operator)
        listed.append(
            {
                "sender_id": message.sender,
                "sender_nick": event.sender.nickname,
                "sender_time": message.time,
                "operator_id": row.operator,
                "operator_nick": operator.nick if operator else "",
                "operator_time": row.time,
                "message_id": message.id,
                "content": account.build(event)["message"],
            }
        )
    return listed


def _to(kind: str, function: ActionFunction) -> ActionFunction:
    """An action to a kind of conversation."""
    return lambda account, params: function(account, {**params, "message_type": kind})


FUNCTIONS: dict[str, ActionFunction] = {
    "send_private_msg": _to("private", _send),
    "send_group_msg": _to("group", _send),
    "send_msg": _send,
    "delete_msg": _delete,
    "get_msg": _get,
    "get_group_msg_history": _group_history,
    "get_friend_msg_history": _friend_history,
    "send_forward_msg": _send_forward,
    "send_group_forward_msg": _to("group", _send_forward),
    "send_private_forward_msg": _to("private", _send_forward),
    "get_forward_msg": _get_forward,
    "mark_msg_as_read": _mark_read,
    "mark_private_msg_as_read": _mark_thread_read,
    "mark_group_msg_as_read": _mark_thread_read,
    "_mark_all_as_read": _mark_all_read,
    "forward_friend_single_msg": _pass_on,
    "forward_group_single_msg": _pass_on,
    "set_msg_emoji_like": _react,
    "unset_msg_emoji_like": _react,
    "set_group_reaction": _react,
    "set_essence_msg": _essence(is_set=True),
    "delete_essence_msg": _essence(is_set=False),
    "get_essence_msg_list": _essence_list,
}
