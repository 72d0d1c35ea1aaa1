from __future__ import annotations

import pytest

from webqq_tornado.onebot.v11.events import Event, Heartbeat, MessageEvent, Request
from webqq_tornado.onebot.v11.quick import quick_calls
from webqq_tornado.onebot.v11.segments import build_string, parse_message

GROUP = MessageEvent(1, 2, 5, (), group_id=3)
PRIVATE = MessageEvent(1, 2, 5, (), temp_group=3)
FRIEND = Request(1, "friend", "f", 2)
JOIN = Request(1, "group", "f", 2, 3, "add")


@pytest.mark.parametrize(
    ("event", "operation", "actions"),
    [
        (GROUP, {}, []),
        (GROUP, {"reply": None, "delete": False, "ban_duration": 5}, []),
        (GROUP, {"reply": "a", "delete": 1, "kick": True}, ["send_group_msg", "delete_msg",
                                                            "set_group_kick"]),
        (PRIVATE, {"reply": "a", "kick": True}, ["send_private_msg"]),
        (FRIEND, {"remark": "x"}, []),
        (FRIEND, {"approve": False}, ["set_friend_add_request"]),
        (JOIN, {"approve": "true", "reason": "x"}, ["set_group_add_request"]),
        (Heartbeat(1), {"reply": "a"}, []),
    ],
)  # fmt: skip
def test_an_operation_is_these_actions(event: Event, operation: dict[str, object], actions: list):
    assert [call.action for call in quick_calls(event, operation)] == actions


def said(operation: dict[str, object], event: MessageEvent = GROUP) -> str:
    (call,) = quick_calls(event, operation)
    call.parameters()
    return build_string(parse_message(call.raw["message"]))


def test_a_reply_mentions_its_receiver_only_when_told_to():
    assert said({"reply": "a"}) == "a"
    assert said({"reply": "a", "at_sender": True}) == "[CQ:at,qq=2] a"


@pytest.mark.parametrize("reply", [[{"type": "face", "data": {"id": 1}}], "[CQ:face,id=1]"])
def test_a_reply_has_any_form(reply: object):
    assert said({"reply": reply}) == "[CQ:face,id=1]"


def test_a_plain_reply_stays_plain():
    assert said({"reply": "[CQ:face,id=1]", "auto_escape": True}) == "&#91;CQ:face,id=1&#93;"


def test_a_ban_has_its_duration():
    (call,) = quick_calls(GROUP, {"ban": True, "ban_duration": "60"})
    assert call.raw == {"group_id": 3, "user_id": 2, "duration": 60}
    (call,) = quick_calls(GROUP, {"ban": True})
    assert call.raw["duration"] == 1800


def test_a_temporary_session_is_answered_through_its_group():
    (call,) = quick_calls(PRIVATE, {"reply": "a"})
    assert (call.raw["user_id"], call.raw["group_id"]) == (2, 3)
