"""Quick operations: what an application answers an event with, as calls of actions.

By HTTP POST they are the body of the answer (OB communication/http-post.md); aiocqhttp sends them
as ``.handle_quick_operation_async``, on which AstrBot and Hoshino depend (AQ __init__.py).
"""

from __future__ import annotations

from .actions import Call
from .events import Event, MessageEvent, Request
from .segments import Segment, Segments, parse_message
from .values import Fields, boolean, number

__all__ = ["quick_calls"]


def quick_calls(event: Event, operation: Fields) -> list[Call]:
    """The calls that a quick operation stands for (OB event/*.md), in order.

    ``at_sender`` counts only if it is given: the standard's default is true, and no
    implementation has it (GC coolq/api.go; NC api/quick-action.ts; LL quickOperation.ts).
    ``reject_add_request`` beside ``kick`` is GC's.

    Args:
        event: that is answered.
        operation: the JSON object; unknown fields, and null ones, are passed over.

    Raises:
        ValueError: a field of it is of another kind.

    Example:
        >>> event = MessageEvent(10001, 10002, 5, (), group_id=20001)
        >>> [call.action for call in quick_calls(event, {"reply": "hi", "ban": True})]
        ['send_group_msg', 'set_group_ban']
    """
    match event:
        case MessageEvent():
            return [*_reply(event, operation), *_moderation(event, operation)]
        case Request():
            return _decision(event, operation)
    return []


def _flag(operation: Fields, name: str) -> bool:
    given = operation.get(name)
    return given is not None and boolean(given)


def _reply(event: MessageEvent, operation: Fields) -> list[Call]:
    reply = operation.get("reply")
    message = parse_message(reply, is_plain=_flag(operation, "auto_escape"))
    if not message:
        return []
    if not event.is_group:
        target: dict[str, object] = {"user_id": event.user_id}
        if event.temp_group:
            target["group_id"] = event.temp_group
        return [Call("send_private_msg", {**target, "message": _written(message)})]
    if _flag(operation, "at_sender") and event.anonymous is None:
        message = (
            Segment("at", {"qq": str(event.user_id)}),
            Segment("text", {"text": " "}),
            *message,
        )
    target = {"group_id": event.group_id}
    return [Call("send_group_msg", {**target, "message": _written(message)})]


def _written(message: Segments) -> list[dict[str, object]]:
    return [{"type": one.type, "data": dict(one.data)} for one in message]


def _moderation(event: MessageEvent, operation: Fields) -> list[Call]:
    calls = []
    if _flag(operation, "delete"):
        calls.append(Call("delete_msg", {"message_id": event.message_id}))
    if not event.is_group:
        return calls
    person: dict[str, object] = {"group_id": event.group_id, "user_id": event.user_id}
    if _flag(operation, "kick"):
        refuses = _flag(operation, "reject_add_request")
        calls.append(Call("set_group_kick", {**person, "reject_add_request": refuses}))
    if _flag(operation, "ban"):
        given = operation.get("ban_duration")
        duration = 1800 if given is None else number(given)
        calls.append(_ban(event, person, duration))
    return calls


def _ban(event: MessageEvent, person: Fields, duration: int) -> Call:
    if event.anonymous is None:
        return Call("set_group_ban", {**person, "duration": duration})
    who = {"group_id": event.group_id, "anonymous": event.anonymous}
    return Call("set_group_anonymous_ban", {**who, "duration": duration})


def _decision(event: Request, operation: Fields) -> list[Call]:
    if operation.get("approve") is None:
        return []
    decision: dict[str, object] = {
        "flag": event.flag,
        "approve": boolean(operation["approve"]),
    }
    if event.request_type == "friend":
        remark = operation.get("remark") or ""
        return [Call("set_friend_add_request", {**decision, "remark": remark})]
    reason = operation.get("reason") or ""
    own = {"sub_type": event.sub_type, "reason": reason}
    return [Call("set_group_add_request", {**decision, **own})]
