from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.values import ALL_CONTENTS, CONTENTS, quickly
from webqq_tornado.protocol.content import (
    MAX_BYTES,
    build_received,
    build_sent,
    dump_content,
    parse_dumped,
    parse_received,
    parse_sent,
    split_text,
)
from webqq_tornado.protocol.models import (
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
from webqq_tornado.protocol.wireformat import SMARTQQ_FORMAT, WEBQQ3_FORMAT, WireFormat

FONT = ["font", {"name": "宋体", "size": 10, "style": [0, 0, 0], "color": "000000"}]


FORMATS = st.sampled_from([WEBQQ3_FORMAT, SMARTQQ_FORMAT])


@quickly
@given(CONTENTS, FORMATS)
def test_what_a_server_wrote_is_read(content: Content, wire_format: WireFormat) -> None:
    assert parse_received(build_received(content, wire_format), wire_format) == content


@quickly
@given(CONTENTS)
def test_what_a_client_wrote_is_read(content: Content) -> None:
    assert parse_sent(build_sent(content)) == content


@quickly
@given(ALL_CONTENTS)
def test_a_store_keeps_all_of_a_content(content: Content) -> None:
    assert parse_dumped(dump_content(content)) == content


def test_a_store_reads_what_was_sent_before_there_were_mentions() -> None:
    content = Content.of("a", Face(14), UnknownPart("shake", '["shake",1]'))
    assert parse_dumped(build_sent(content)) == content


@pytest.mark.parametrize("raw", ['[["at",{"account":"x"}]]', '[["attachment",{"extra":[1]}]]'])
def test_a_damaged_part_is_kept_as_it_came(raw: str) -> None:
    assert isinstance(parse_dumped(raw).parts[0], UnknownPart)


def test_webqq_sends_the_texts_of_mentions_and_files() -> None:
    content = Content.of(Reply(5), At(10001, "Ann"), " see ", Attachment("image", "a.png"))
    assert parse_sent(build_sent(content)).parts == ("@Ann see [图片]",)


def test_the_spaces_that_the_server_adds_are_taken_off() -> None:
    content = parse_received([FONT, "a  ", ["face", 14], " b c "], WEBQQ3_FORMAT)
    assert content == Content.of("a  ", Face(14), "b c")


def test_a_text_without_added_spaces_stays_whole() -> None:
    assert parse_received([FONT, ["face", 14], "b", "c"], WEBQQ3_FORMAT).parts == (Face(14), "bc")


def test_smartqq_adds_no_space_and_takes_none_off() -> None:
    content = Content.of("a ", Face(98), " b ", Face(99))
    written = build_received(content, SMARTQQ_FORMAT)
    assert written[1:] == ["a ", ["face", 98], " b ", ["face", 99]]
    assert parse_received(written, SMARTQQ_FORMAT) == content


def test_a_font_without_its_name_in_front_is_a_font() -> None:
    assert parse_sent(["a", {**FONT[1], "size": 12}]) == Content.of("a", font=Font(size=12))


def test_line_ends_become_newlines() -> None:
    assert parse_received([FONT, "a\rb\r\nc\nd "], WEBQQ3_FORMAT).text == "a\nb\nc\nd"


def test_faces_have_names_in_the_plain_text() -> None:
    assert Content.of("a", Face(14), Face(9999)).text == "a[微笑][表情9999]"


def test_pictures_of_both_kinds_are_read() -> None:
    parts = parse_received(
        [
            FONT,
            ["offpic", {"success": 1, "file_path": "/abc"}],
            ["cface", {"name": "{8}.jpg", "file_id": 3, "key": "   ", "server": "1.2.3.4:80"}],
        ],
        WEBQQ3_FORMAT,
    ).parts
    assert parts == (Picture("/abc"), GroupPicture("{8}.jpg", 3, "   ", "1.2.3.4:80"))


def test_a_font_alone_is_a_picture_that_could_not_be_shown() -> None:
    assert parse_received([FONT], WEBQQ3_FORMAT).is_unseen_picture


def test_the_style_of_the_font_is_three_truths() -> None:
    font = ["font", {"name": "Tahoma", "size": "12", "style": [1, 0, 1], "color": "ff0000"}]
    expected = Font("Tahoma", 12, bold=True, italic=False, underline=True, color="ff0000")
    assert parse_received([font, "x"], WEBQQ3_FORMAT).font == expected


@pytest.mark.parametrize("item", [["shake", 1], ["face"], ["face", "x"], ["cface", "a.jpg", ""]])
def test_a_part_that_cannot_be_read_is_kept(item: list[object]) -> None:
    (part,) = parse_received([FONT, item], WEBQQ3_FORMAT).parts
    assert isinstance(part, UnknownPart)
    assert build_received(Content.of(part), WEBQQ3_FORMAT)[1] == item


# --- split_text -------------------------------------------------------------------------------


@quickly
@given(st.text(), st.integers(4, 40))
def test_pieces_fit_and_nothing_but_white_space_is_lost(text: str, limit: int) -> None:
    pieces = split_text(text, limit)
    assert all(0 < len(piece.encode()) <= limit for piece in pieces)
    if len(text.encode()) > limit:
        assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_text_is_cut_at_the_last_white_space_that_fits() -> None:
    assert split_text("one two three", 8) == ["one two", "three"]


def test_a_cut_drops_one_white_space_only() -> None:
    assert split_text("one  two", 5) == ["one ", "two"]


def test_an_early_white_space_does_not_make_a_tiny_piece() -> None:
    assert split_text("a " + "b" * 20, 12) == ["a " + "b" * 10, "b" * 10]


def test_a_text_that_fits_exactly_is_not_cut() -> None:
    assert split_text("你" * 240) == ["你" * 240]


def test_a_text_without_white_space_is_cut_between_characters() -> None:
    assert [len(piece) for piece in split_text("你" * 500, MAX_BYTES)] == [240, 240, 20]


@pytest.mark.parametrize("cluster", ["e\u0301", "👍🏽", "❤\ufe0f", "👩\u200d🚀"])
def test_a_combined_character_stays_whole(cluster: str) -> None:
    limit = len(cluster.encode()) + 2
    assert split_text("ab" + cluster * 3, limit)[1:] == [cluster, cluster]


def test_an_empty_text_has_no_pieces() -> None:
    assert split_text("") == []


def test_a_limit_below_one_character_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 4 bytes"):
        split_text("x", 3)
