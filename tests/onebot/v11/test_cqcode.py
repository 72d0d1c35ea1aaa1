from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webqq_tornado.onebot.v11 import cqcode

quickly = settings(max_examples=100, deadline=None, database=None)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.lists(st.sampled_from(["&", "&amp;", "[", "]", ",", "=", "&#91;", "\n", "[CQ:"])).map(
        "".join
    ),
)
KEYS = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=6)


@quickly
@given(TEXTS)
def test_an_escaped_text_is_read(text: str):
    assert cqcode.unescape(cqcode.escape(text)) == text
    assert cqcode.parse(cqcode.escape(text)) == [("text", {"text": text})]


@quickly
@given(KEYS, st.dictionaries(KEYS, TEXTS, max_size=4), TEXTS)
def test_a_code_is_read_between_texts(kind: str, data: dict[str, str], text: str):
    written = cqcode.escape(text) + cqcode.build(kind, data) + cqcode.escape(text)
    around = ("text", {"text": text})
    assert cqcode.parse(written) == [around, (kind, data), around]


@quickly
@given(st.text("[]CQ:,=&a;# "))
def test_any_text_is_read(text: str):
    assert cqcode.parse(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[CQ:shake]", [("shake", {})]),
        ("[CQ:at,qq=1,]", [("at", {"qq": "1"})]),
        ("[CQ:at, qq=1]", [("at", {"qq": "1"})]),
        ("[CQ:share,url=http://a/?b=c&amp;d]", [("share", {"url": "http://a/?b=c&d"})]),
        ("[CQ:json,data=a\nb]", [("json", {"data": "a\nb"})]),
        ("&amp;#91;", [("text", {"text": "&#91;"})]),
        ("[CQ:at,qq=1", [("text", {"text": "[CQ:at,qq=1"})]),
        ("a[CQ:", [("text", {"text": "a[CQ:"})]),
        ("[b][CQ:face,id=1]", [("text", {"text": "[b]"}), ("face", {"id": "1"})]),
    ],
)
def test_a_text_of_another_is_read_as_users_of_it_would(text: str, parts: list[cqcode.Code]):
    assert [part for part in cqcode.parse(text) if part != ("text", {"text": ""})] == parts
