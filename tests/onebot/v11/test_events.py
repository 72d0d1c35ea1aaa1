from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onebot.v11.values import EVENTS, quickly
from webqq_tornado.onebot.v11.events import (
    NOTICES,
    Event,
    Heartbeat,
    MessageEvent,
    Notice,
    OtherEvent,
    Sender,
    build_event,
    parse_event,
    parse_message_event,
    parse_status,
)
from webqq_tornado.onebot.v11.segments import parse_message
from webqq_tornado.onebot.v11.values import dump, load


def without_extras(event: Event) -> dict[str, object]:
    kept = {name: getattr(event, name) for name in type(event).__slots__}
    return {name: kept[name] for name in kept if name not in ("extra", "raw_message")}


@quickly
@given(EVENTS, st.booleans())
def test_an_event_survives_the_wire(event: Event, as_string: bool):
    read = parse_event(load(dump(build_event(event, as_string=as_string))))
    if isinstance(event, MessageEvent) and event.user_id == event.self_id:
        return  # a message of one's own is one, whatever it was written as
    assert without_extras(read) == without_extras(event)


GROUP = {
    "time": "1700000000", "self_id": 1, "post_type": "message", "message_type": "group",
    "sub_type": "normal", "message_id": "-5", "group_id": "3", "user_id": 2, "anonymous": None,
    "message": "hi [CQ:at,qq=1]", "raw_message": "hi [CQ:at,qq=1]", "font": 14, "sender": None,
    "real_seq": "77", "raw": {"a": 1},
}  # fmt: skip


def test_a_group_message_with_texts_for_numbers_is_read():
    event = parse_event(GROUP)
    assert isinstance(event, MessageEvent)
    assert (event.time, event.message_id, event.group_id, event.real_seq) == (
        1_700_000_000,
        -5,
        3,
        77,
    )
    assert (event.sender, event.extra, event.peer) == (Sender(), {"raw": {"a": 1}}, 3)


def test_an_id_that_is_a_text_has_a_number_of_its_own():
    """OneBots issue 28."""
    texts = ("H6oYlHh+63gAAXkXCGrChWSDAE0B", "H6oYlHh+63gAAXkXCGrChWSDAE0C")
    ids = [parse_message_event({**GROUP, "message_id": text}).message_id for text in texts]
    assert ids[0] != ids[1]
    assert all(-(2**31) <= each < 2**31 for each in ids)


def test_a_message_of_a_guild_is_none_of_a_person():
    """go-cqhttp's guilds: their numbers mean nobody whom one could answer."""
    raw = {**GROUP, "message_type": "guild", "user_id": "144115218677912345"}
    assert isinstance(parse_event(raw), OtherEvent)


def test_a_time_with_a_fraction_is_read():
    assert parse_event({**GROUP, "time": 1.75e9 + 0.5}).time == 1_750_000_000


def test_a_time_in_milliseconds_is_read():
    event = parse_event({**GROUP, "time": 1_700_000_000_123})
    assert event.time == 1_700_000_000


@pytest.mark.parametrize("change", [{"post_type": "message_sent"}, {"user_id": "1"}])
def test_an_own_message_is_known_by_its_type_or_its_author(change: dict[str, object]):
    event = parse_event({**GROUP, **change})
    assert isinstance(event, MessageEvent)
    assert event.is_own


def test_a_temporary_session_has_its_group():
    raw = {**GROUP, "message_type": "private", "sub_type": "group"}
    event = parse_event(raw)
    assert isinstance(event, MessageEvent)
    assert (event.group_id, event.temp_group, event.peer) == (0, 3, 2)


def test_an_answer_to_get_msg_is_read():
    raw = {"time": 1, "message_type": "group", "message_id": 5, "real_id": 5, "message": "a",
           "sender": {"user_id": 2, "nickname": "Ann"}}  # fmt: skip
    assert parse_message_event(raw).user_id == 2


@pytest.mark.parametrize("gone", ["message_id", "post_type"])
def test_an_event_without_what_makes_it_one_is_refused(gone: str):
    with pytest.raises(ValueError, match=gone):
        parse_event({name: value for name, value in GROUP.items() if name != gone})


@pytest.mark.parametrize(
    "raw",
    [
        {"post_type": "custom"},
        {"post_type": "notice"},
        {"post_type": "request", "request_type": "x"},
        {"post_type": "meta_event", "meta_event_type": 5},
    ],
)
def test_an_unknown_event_is_kept(raw: dict[str, object]):
    event = parse_event(raw)
    assert isinstance(event, OtherEvent)
    assert event.raw == raw


@quickly
@given(st.recursive(st.none() | st.integers() | st.text(), lambda one: st.lists(one, max_size=3)))
def test_any_value_in_any_field_is_read_or_refused(value: object):
    for name in GROUP:
        try:
            parse_event({**GROUP, name: value})
        except ValueError:
            continue


def test_a_group_message_has_what_frameworks_insist_on():
    event = MessageEvent(1, 2, 5, parse_message("a&#91;"), group_id=3)
    built = build_event(event)
    assert {"sub_type", "font", "raw_message", "sender"} <= built.keys()
    assert (built["anonymous"], built["raw_message"]) == (None, "a&#91;")
    assert build_event(event, as_string=True)["message"] == "a&#91;"


def test_a_notice_without_a_field_that_it_needs_is_not_written():
    with pytest.raises(ValueError, match="file"):
        build_event(Notice(1, "group_upload", user_id=2, group_id=3))


@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_with_its_fields_is_written_and_read(name: str):
    kind, _, sub_type = name.partition(".")
    numbers = set(Notice.__slots__) - {"sub_type"}
    needed = NOTICES[name]
    own = {each: 7 for each in needed if each in numbers}
    extra = {each: "x" for each in needed if each not in (*numbers, "sub_type")}
    notice = Notice(1, kind, sub_type or "set", 9, **own, extra=extra)
    assert parse_event(json.loads(json.dumps(build_event(notice)))) == notice


def test_a_status_without_sense_is_not_known():
    assert parse_status({"online": None}).online is None
    assert parse_status("x").good
    assert parse_status({"online": "false", "good": 1}).online is False


def test_a_heartbeat_tells_that_the_account_is_offline():
    raw = {"post_type": "meta_event", "meta_event_type": "heartbeat", "status": {"online": False}}
    event = parse_event(raw)
    assert isinstance(event, Heartbeat)
    assert event.status.online is False
