"""Events of OneBot as those of an account."""

from __future__ import annotations

import pytest
from servers.onebot import ANN, BOB, BOT, SQUARE

from webqq_tornado.client.notices import (
    CardChanged,
    EssenceChanged,
    FileUploaded,
    GroupRenamed,
    HonorReceived,
    LuckyKing,
    MemberBanned,
    MessageRecalled,
    Poked,
    ProfileLiked,
    Reacted,
    TitleChanged,
)
from webqq_tornado.client.onebot.convert import events_of
from webqq_tornado.onebot.v11.events import parse_event
from webqq_tornado.protocol.models.events import GroupSystemMessage, Other, Typing

IN_SQUARE = {"group_id": SQUARE, "user_id": ANN}


def told(kind: str, **fields: object) -> list[object]:
    """The events of a notice."""
    notice, _, sub = kind.partition(".")
    values = {"post_type": "notice", "notice_type": notice, "self_id": BOT, **fields}
    return list(events_of(parse_event({**values, "sub_type": sub} if sub else values)))


@pytest.mark.parametrize(
    ("kind", "fields", "event"),
    [
        (
            "group_recall",
            {**IN_SQUARE, "operator_id": BOB, "message_id": -5},
            MessageRecalled(-5, ANN, BOB, SQUARE),
        ),
        ("friend_recall", {"user_id": ANN, "message_id": "7"}, MessageRecalled(7, ANN, ANN)),
        (
            "group_ban.ban",
            {**IN_SQUARE, "operator_id": BOB, "duration": 60},
            MemberBanned(SQUARE, ANN, BOB, 60),
        ),
        (
            "group_ban.lift_ban",
            {**IN_SQUARE, "operator_id": BOB, "duration": 60},
            MemberBanned(SQUARE, ANN, BOB, 0),
        ),
        (
            "group_ban.ban",
            {"group_id": SQUARE, "user_id": 0, "operator_id": BOB, "duration": -1},
            MemberBanned(SQUARE, 0, BOB, -1),
        ),
        ("notify.poke", {**IN_SQUARE, "target_id": BOT}, Poked(ANN, BOT, SQUARE)),
        # NapCat, in private: the account itself has poked Ann.
        ("notify.poke", {"user_id": ANN, "sender_id": BOT, "target_id": ANN}, Poked(BOT, ANN)),
        (
            "group_card",
            {**IN_SQUARE, "card_new": "Anna", "card_old": None},
            CardChanged(SQUARE, ANN, "Anna", ""),
        ),
        (
            "group_upload",
            {**IN_SQUARE, "file": {"id": "/a", "name": "a.txt", "size": "5", "busid": 102}},
            FileUploaded(SQUARE, ANN, "a.txt", 5, "/a", 102),
        ),
        (
            "notify.honor",
            {**IN_SQUARE, "honor_type": "talkative"},
            HonorReceived(SQUARE, ANN, "talkative"),
        ),
        ("notify.title", {**IN_SQUARE, "title": "Queen"}, TitleChanged(SQUARE, ANN, "Queen")),
        ("notify.lucky_king", {**IN_SQUARE, "target_id": BOB}, LuckyKing(SQUARE, ANN, BOB)),
        (
            "essence.add",
            {"group_id": SQUARE, "message_id": 5, "sender_id": ANN, "operator_id": BOB},
            EssenceChanged(SQUARE, 5, ANN, BOB),
        ),
        (
            "essence.delete",
            {"group_id": SQUARE, "message_id": 5, "sender_id": ANN, "operator_id": BOB},
            EssenceChanged(SQUARE, 5, ANN, BOB, is_set=False),
        ),
        (
            "group_msg_emoji_like",
            {**IN_SQUARE, "message_id": 5, "likes": [{"emoji_id": "76", "count": 2}]},
            Reacted(SQUARE, 5, ANN, "76", 2),
        ),
        (
            "reaction.remove",
            {"group_id": SQUARE, "message_id": 5, "operator_id": ANN, "code": "76", "count": 1},
            Reacted(SQUARE, 5, ANN, "76", 1, is_set=False),
        ),
        (
            "notify.group_name",
            {**IN_SQUARE, "name_new": "Place"},
            GroupRenamed(SQUARE, "Place", ANN),
        ),
        ("group_name_change", {"group_id": SQUARE, "name": "Place"}, GroupRenamed(SQUARE, "Place")),
        (
            "notify.profile_like",
            {"operator_id": ANN, "operator_nick": "Ann", "times": 10},
            ProfileLiked(ANN, "Ann", 10),
        ),
        (
            "group_decrease.kick",
            {**IN_SQUARE, "operator_id": BOB},
            GroupSystemMessage("group_leave", *[SQUARE] * 3, member=ANN, admin=BOB, how="kick"),
        ),
        (
            "group_dismiss",
            IN_SQUARE,
            GroupSystemMessage("group_leave", *[SQUARE] * 3, member=ANN, how="disband"),
        ),
        ("notify.input_status", {"user_id": ANN, "status_text": "..."}, Typing(ANN, BOT)),
    ],
)
def test_each_notice_has_an_event_of_its_own(kind: str, fields: dict, event: object):
    assert told(kind, **fields) == [event]


def test_the_end_of_typing_is_no_typing():
    assert told("notify.input_status", user_id=ANN, status_text="", event_type=2) == []


def test_a_notice_without_a_name_here_keeps_its_fields():
    (other,) = told("client_status", online=True, client={"app_id": 1})
    assert isinstance(other, Other)
    assert (other.poll_type, '"app_id":1' in other.raw) == ("notice.client_status", True)


@pytest.mark.parametrize("file", [None, "a.txt", [], {"size": "large", "name": 5}])
@pytest.mark.parametrize("likes", [None, {}, [5, None, {"count": []}]])
def test_fields_of_wrong_types_are_left_out(file: object, likes: object):
    (upload,) = told("group_upload", **IN_SQUARE, file=file)
    assert upload.size == 0
    for event in told("group_msg_emoji_like", **IN_SQUARE, message_id=5, likes=likes):
        assert event == Reacted(SQUARE, 5, ANN, "")
