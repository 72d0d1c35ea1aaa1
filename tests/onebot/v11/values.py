"""Arbitrary messages and events of OneBot, for the property tests."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from webqq_tornado.onebot.v11.events import (
    Event,
    Heartbeat,
    Lifecycle,
    MessageEvent,
    Notice,
    Request,
    Sender,
    Status,
)
from webqq_tornado.onebot.v11.segments import Segment, Segments, parse_message
from webqq_tornado.protocol.models.content import At, Attachment, Content, Face, Reply, UnknownPart

quickly = settings(max_examples=60, deadline=None, database=None)

NUMBERS = st.integers(1, 2**63 - 1)
IDS = st.integers(-(2**31), 2**31 - 1)
TIMES = st.integers(0, 4_000_000_000)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    st.lists(st.sampled_from(["&", "[", "]", ",", "&amp;", "\n", "😀", "[CQ:at"])).map("".join),
)
SOME = TEXTS.filter(bool)
SEGMENTS: st.SearchStrategy[Segment] = st.one_of(
    st.builds(lambda text: Segment("text", {"text": text}), SOME),
    st.builds(lambda id_: Segment("face", {"id": str(id_)}), st.integers(0, 300)),
    st.builds(lambda qq: Segment("at", {"qq": str(qq)}), NUMBERS),
    st.builds(lambda file, url: Segment("image", {"file": file, "url": url}), SOME, SOME),
    st.builds(lambda data: Segment("json", {"data": data}), SOME),
)
MESSAGES: st.SearchStrategy[Segments] = st.lists(SEGMENTS, max_size=5).map(
    lambda segments: parse_message([{"type": s.type, "data": dict(s.data)} for s in segments])
)
SENDERS = st.builds(
    Sender, user_id=NUMBERS, nickname=TEXTS, sex=st.sampled_from(["male", "unknown"]), age=IDS
)
GROUP_SENDERS = st.builds(
    Sender, user_id=NUMBERS, nickname=TEXTS, card=TEXTS, level=TEXTS, title=TEXTS,
    role=st.sampled_from(["owner", "admin", "member"]),
)  # fmt: skip
_SAID = {"self_id": NUMBERS, "user_id": NUMBERS, "message_id": IDS, "message": MESSAGES}
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        MessageEvent, **_SAID, time=TIMES, sender=SENDERS, sub_type=st.just("friend"), seq=NUMBERS
    ),
    st.builds(
        MessageEvent, **_SAID, time=TIMES, group_id=NUMBERS, sender=GROUP_SENDERS, seq=NUMBERS,
        sub_type=st.just("normal"), group_name=TEXTS,
    ),
    st.builds(
        Notice, NUMBERS, st.just("group_increase"), st.just("approve"), TIMES, NUMBERS, NUMBERS
    ),
    st.builds(Notice, NUMBERS, st.just("notify"), st.just("poke"), TIMES, NUMBERS, NUMBERS),
    st.builds(Request, NUMBERS, st.just("friend"), SOME, NUMBERS, comment=TEXTS, time=TIMES),
    st.builds(
        Request, NUMBERS, st.just("group"), SOME, NUMBERS, NUMBERS, st.just("invite"), TEXTS, TIMES
    ),
    st.builds(Lifecycle, NUMBERS, st.just("connect"), TIMES),
    st.builds(
        Heartbeat, NUMBERS, st.builds(Status, st.sampled_from([True, False, None])), NUMBERS, TIMES
    ),
)  # fmt: skip
PARTS = st.one_of(
    TEXTS.map(lambda text: text.replace("\r", "")),
    st.builds(Face, st.integers(0, 300)),
    st.builds(At, st.one_of(NUMBERS, st.just(0)), TEXTS.filter(lambda name: name[:1] != "@")),
    st.builds(Reply, IDS),
    st.builds(
        Attachment, st.sampled_from(["image", "record", "video", "file"]), TEXTS, TEXTS, TEXTS,
        st.integers(0, 2**40), st.sampled_from([(), (("type", "flash"),)]),
    ),
    st.just(UnknownPart("share", '["share",{"url":"http://a/","title":"b"}]')),
)  # fmt: skip
CONTENTS = st.builds(lambda parts: Content.of(*parts), st.lists(PARTS, max_size=5))
