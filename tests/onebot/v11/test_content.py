from __future__ import annotations

from hypothesis import given

from onebot.v11.values import CONTENTS, quickly
from webqq_tornado.onebot.v11.content import build_nodes, content_of, segments_of
from webqq_tornado.onebot.v11.segments import Segment, build_array, parse_message
from webqq_tornado.protocol.models.content import (
    At,
    Attachment,
    Content,
    Face,
    Font,
    GroupPicture,
    Picture,
    Reply,
    UnknownPart,
)


@quickly
@given(CONTENTS)
def test_a_content_survives_the_wire(content: Content):
    wire = build_array(segments_of(content))
    assert content_of(parse_message(wire)) == content


def test_a_cq_string_is_a_content():
    message = parse_message("[CQ:reply,id=-5][CQ:at,qq=all] hi[CQ:face,id=14]\r\n")
    assert content_of(message).parts == (Reply(-5), At(0), " hi", Face(14), "\n")


def test_a_mention_without_a_name_gets_one():
    content = content_of([Segment("at", {"qq": "10001"})], {10001: "Ann"}.__getitem__)
    assert content.text == "@Ann"


def test_nobody_is_not_everybody():
    """Lagrange issues 329 and 797."""
    everybody = [{"type": "at", "data": {"qq": "0", "name": name}} for name in ("", "@全体成员")]
    assert content_of(parse_message(everybody)).parts == (At(0), At(0, "全体成员"))
    unknown = {"type": "at", "data": {"qq": 0, "name": "@Ann"}}
    assert content_of(parse_message([unknown, " hi"])).parts == ("@Ann hi",)


def test_a_segment_without_sense_is_kept():
    (part,) = content_of([Segment("face", {"id": "x"})]).parts
    assert part == UnknownPart("face", '["face",{"id":"x"}]')


def test_a_picture_of_napcat_has_its_size_and_the_rest():
    data = {"file": "a.png", "url": "http://a/", "file_size": "12", "sub_type": "0"}
    (part,) = content_of([Segment("image", data)]).parts
    assert part == Attachment("image", "a.png", "http://a/", "", 12, (("sub_type", "0"),))


def test_pictures_of_webqq_are_images():
    content = Content.of(Picture("/a"), GroupPicture("b.png"), font=Font(size=20))
    assert [one.data for one in segments_of(content)] == [{"file": "/a"}, {"file": "b.png"}]


def test_a_part_that_was_no_segment_is_its_text():
    assert segments_of(Content.of(UnknownPart("x", "[1")))[0].text("text") == "[x]"


def test_nodes_have_both_spellings():
    (node,) = build_nodes([Content.of("a")], 10001, "Ann")
    data = node["data"]
    assert isinstance(data, dict)
    assert (data["uin"], data["user_id"], data["nickname"]) == ("10001", "10001", "Ann")
