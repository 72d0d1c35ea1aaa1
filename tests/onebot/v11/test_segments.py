from __future__ import annotations

import pytest
from hypothesis import given

from onebot.v11.values import MESSAGES, quickly
from webqq_tornado.onebot.v11.segments import (
    MOST_SEGMENTS,
    Segment,
    Segments,
    TooManySegments,
    build_array,
    build_string,
    parse_message,
    text_of,
)


@quickly
@given(MESSAGES)
def test_an_array_is_read(message: Segments):
    assert parse_message(build_array(message)) == message


@quickly
@given(MESSAGES)
def test_a_string_is_read(message: Segments):
    assert parse_message(build_string(message)) == message


def test_numbers_and_booleans_are_texts_and_null_is_left_out():
    raw = [{"type": "image", "data": {"file": "a", "sub_type": 0, "cache": True, "url": None}}]
    (segment,) = parse_message(raw)
    assert segment.data == {"file": "a", "sub_type": "0", "cache": "true"}


def test_an_object_in_a_segment_stays():
    (segment,) = parse_message({"type": "face", "data": {"id": 1, "raw": {"a": [1]}}})
    assert segment.data == {"id": "1", "raw": {"a": [1]}}


@pytest.mark.parametrize("data", [None, {}])
def test_a_segment_needs_no_data(data: object):
    assert parse_message([{"type": "shake", "data": data}]) == (Segment("shake"),)


def test_texts_in_an_array_are_joined():
    raw = ["a", {"type": "text", "data": {"text": "b"}}, {"type": "text", "data": {"text": ""}}]
    assert parse_message(raw) == (Segment("text", {"text": "ab"}),)


def test_auto_escape_takes_a_string_as_it_is():
    assert text_of(parse_message("[CQ:face,id=1]", is_plain=True)) == "[CQ:face,id=1]"
    assert parse_message([{"type": "face", "data": {"id": "1"}}], is_plain=True)[0].type == "face"


@pytest.mark.parametrize("raw", [5, [5], [{}], [{"type": 1}], {"type": "a", "data": 5}, True])
def test_anything_else_is_refused(raw: object):
    with pytest.raises(ValueError, match=r"segment|message"):
        parse_message(raw)


def test_what_is_empty_is_not_written():
    assert build_array([Segment("image", {"file": "a", "url": ""})]) == [
        {"type": "image", "data": {"file": "a"}}
    ]


@pytest.mark.parametrize("one", [{"type": "at", "data": {"qq": 1}}, "[CQ:at,qq=1]", "x"])
def test_a_message_of_more_segments_than_there_may_be_is_refused(one: object):
    def of(count: int) -> object:
        return one * count if isinstance(one, str) and len(one) > 1 else [one] * count

    assert parse_message(of(MOST_SEGMENTS))
    with pytest.raises(TooManySegments, match="4096 segments at most, this has 4097"):
        parse_message(of(MOST_SEGMENTS + 1))


def test_what_is_no_segment_does_not_cost_the_rest_of_what_an_implementation_tells():
    raw = [None, 5, {"type": "text", "data": {"text": "a"}}, {"data": {}}, {"type": "dice"}]
    assert parse_message(raw, is_lenient=True) == (Segment("text", {"text": "a"}), Segment("dice"))
    with pytest.raises(ValueError, match="no type"):
        parse_message([{"type": []}], is_lenient=True)
