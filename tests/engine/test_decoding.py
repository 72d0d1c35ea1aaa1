"""Text in the encodings of the web, as browsers read it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webencodings.labels import LABELS

from webqq_tornado.engine.decoding import charset_of, decode


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        # All of these are what Chromium's TextDecoder gives.
        ("gb2312", "镕€喆".encode("gb18030"), "镕€喆"),
        ("GB_2312-80", b"\x80\x86\xb4", "€喆"),
        ("x-gbk", b"\xa6\xd9\xa8\xbc", "\ufe10ḿ"),
        ("gb18030", "😀".encode("gb18030"), "😀"),
        ("shift_jis", "①ｱ".encode("cp932"), "①ｱ"),
        ("windows-31j", b"\xa0\x81\x60", "\ufffd～"),
        ("euc-kr", "똠".encode("cp949"), "똠"),
        ("ks_c_5601-1987", b"\xc9\xa1\xb0\xa1", "\ufffd가"),
        ("big5", "碁".encode("cp950"), "碁"),
        ("big5", b"\xa1\x45\xa3\xe1", "‧€"),
        ("big5-hkscs", b"\x88\x62", "Ê̄"),
        ("euc-jp", b"\xad\xa1\xa1\xc1\xfc\xfb", "①～￢"),
        ("iso-2022-jp", b"a\x1b$B-!4A\x1b(J\\~\x1b(I1\x1b(Bz", "a①漢¥‾ｱz"),
        ("gb18030", b"\x8f9\xfe9a\x810<", "\ufffda\ufffd0<"),
        # What hides between two escapes, or in an alphabet without it, is seen.
        ("iso-2022-jp", b"\x1b(B\x1b(Ba\x1b$B\x1b(B", "\ufffda\ufffd"),
        ("iso-2022-jp", b"\x1b$B\n4A\x1b(I\r1", "\ufffd漢\ufffdｱ"),
        ("latin1", bytes(range(0x80, 0x84)), "€\x81‚ƒ"),
        ("us-ascii", b"\xe9", "é"),
        ("iso-8859-9", b"\x80\xfd", "€ı"),
        ("windows-1255", b"\xca", "\u05ba"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("tis-620", b"\xa1\x85\x81", "ก…\x81"),
        ("macintosh", b"\x8e", "é"),
        ("x-user-defined", b"a\xff", "a\uf7ff"),
        ("utf-16", b"a\0", "a"),
        ("unicode-1-1-utf-8", "é".encode(), "é"),
    ],
)
def test_a_label_means_what_it_means_to_the_web(charset, body, text):
    assert decode(body, charset) == text
    assert decode(body, f" {charset.upper()} ") == text


@pytest.mark.parametrize(
    "charset", ["", "utf-7", "punycode", "idna", "unicode_escape", "rot13", "hex", "utf-32", "é"]
)
def test_what_the_web_does_not_know_is_utf_8(charset):
    assert decode("é\\n+AD4-".encode(), charset) == "é\\n+AD4-"


def test_what_could_hide_markup_is_not_decoded():
    assert decode(b"\x1b$)C<script>", "iso-2022-kr") == "\ufffd"
    assert decode(b"", "hz-gb-2312") == ""


@pytest.mark.parametrize(("mark", "codec"), [(b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be")])
def test_a_byte_order_mark_counts_more_than_the_charset(mark, codec):
    assert decode(mark + "é".encode(codec), "gbk") == "é"


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("gb2312", b"\xff\xb0\xa1", "\ufffd啊"),
        ("gb2312", b'\xb0"\xb0\xa1', '\ufffd"啊'),
        ("big5", b"\xfe\xff\xa4\xa4", "\ufffd中"),
        ("euc-jp", b"\xa9\xa1\xa4\xa2", "\ufffdあ"),
        ("euc-jp", b"\x81\xa4\xa2", "\ufffdあ"),
        ("shift_jis", b"\x81\xad\x82\xa0", "\ufffdあ"),
        ("gbk", b"a\xb0", "a\ufffd"),
        ("utf-8", b"\xe4\xbd<", "\ufffd<"),
    ],
)
def test_one_bad_pair_costs_one_character_and_no_ascii(charset, body, text):
    assert decode(b"-" + body, charset) == "-" + text


@given(st.sampled_from(sorted(LABELS)), st.binary(max_size=60))
def test_anything_can_be_decoded(charset, body):
    assert isinstance(decode(body, charset), str)


@pytest.mark.parametrize(
    "unit",
    [b"\xff", b"\x81\xff", b"\xad\xa1", b"\xa0", b"\x1b(B", b"\x1b$B-!", b"\x81 ", b"\x00\xd8"],
)
def test_garbage_takes_time_in_proportion(unit):
    for charset in ("gbk", "big5", "euc-jp", "euc-kr", "shift_jis", "iso-2022-jp", "utf-16"):
        begun = time.process_time()
        decode(unit * (300_000 // len(unit)), charset)
        assert time.process_time() - begun < 2  # 0.2 s at most, on an idle machine


@pytest.mark.parametrize(
    ("values", "charset"),
    [
        (["text/html; charset=GBK"], "gbk"),
        (['text/html;charset="gb2312"'], "gb2312"),
        (["text/html; charset='gbk'"], "gbk"),
        (['text/html; charset="gbk'], "gbk"),
        (["text/html; Charset = gbk ; x=y"], "gbk"),
        (["text/html; charset=gbk; charset=utf-8"], "gbk"),
        (["text/html; charset=gbk, text/html"], "gbk"),
        (["text/html; charset=; x"], ""),
        (['text/html; title="; charset=utf-7"; charset=gbk'], "gbk"),
        (['text/html; title="\\"; charset=a"; charset=b'], "b"),
        (["text/html; charset=a", "text/html", "text/html; charset=b"], "b"),
        (["text/html; charset=a", "text/html"], "a"),
        (["text/html; charset=a", "Text/HTML ; x=y"], "a"),
        (["text/plain; charset=a", "text/html"], ""),
        (["text/html; charset=a", "text/plain", "text/html"], ""),
        (["text/html; charset=a", "*/*; charset=b", "", "nonsense"], "a"),
        (["text/html", "*/*; charset=b"], ""),
        (["; charset=a"], "a"),
        (['text/html;"', '\\"', "text/plain", '";charset=a'], "a"),
        (["text/html", ""], ""),
        ([], ""),
        (["text/html" + ';"' * 50_000], ""),
    ],
)
def test_the_charset_of_a_content_type(values, charset):
    begun = time.process_time()
    assert charset_of(values) == charset
    assert time.process_time() - begun < 1
