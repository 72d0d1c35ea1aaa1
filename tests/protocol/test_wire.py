from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.values import TEXTS, quickly
from webqq_tornado.protocol import wire

# --- JSONP ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("f()", ()),
        (" f ( 'a' , \"b\" ) ; \n", ("a", "b")),
        (r"f('\x41\u4f60\n\'\"\\\q')", ("A你\n'\"\\q",)),
        (r"f('\ud83d\ude00')", ("😀",)),
        (r"f('\ud83d!')", ("\ufffd!",)),
        ("f('a\\\nb')", ("ab",)),
        ("f(1,-2,0.5,1e3,null,true,false)", (1, -2, 0.5, 1000.0, None, True, False)),
        ("f(\"it's\",'\"')", ("it's", '"')),
    ],
)
def test_a_call_is_read(text: str, arguments: tuple[wire.Literal, ...]) -> None:
    assert wire.parse_call(text) == wire.Call("f", arguments)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f",
        "f(",
        "f('a'",
        "f('a)",
        "f('a',)",
        "f('a' 'b')",
        "f(,)",
        "f('a\nb')",
        r"f('\x4')",
        r"f('\u12')",
        "f(g())",
        "f('a'+'b')",
        "f(1x)",
        "f('a');g('b')",
        "1f()",
        "f(nullx)",
        "f(12345678901234567890)",
    ],
)
def test_what_is_not_one_call_of_literals_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|digits"):
        wire.parse_call(text)


@quickly
@given(st.lists(TEXTS))
def test_a_call_that_was_built_is_read(texts: list[str]) -> None:
    call = wire.build_call("ptuiCB", *map(wire.quote, texts))
    assert wire.parse_call(call) == ("ptuiCB", tuple(texts))


@quickly
@given(st.text(st.characters()))
def test_a_quoted_text_is_one_line_of_plain_characters(text: str) -> None:
    quoted = wire.quote(text)
    assert len(quoted.splitlines()) == 1
    assert quoted.encode()


# --- JSON -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["retcode", "errCode", "ec"])
def test_a_retcode_has_three_names(key: str) -> None:
    assert wire.parse_envelope(f'{{"{key}":103,"msg":"m"}}') == wire.Envelope(103, text="m")


@pytest.mark.parametrize("text", ["[]", "{}", '{"retcode":null}', '{"retcode":true}', "x"])
def test_a_reply_without_a_retcode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"object|retcode|Expecting"):
        wire.parse_envelope(text)


def test_a_number_of_more_than_64_bits_is_no_json_of_ours() -> None:
    with pytest.raises(ValueError, match="number too long"):
        wire.load("1" * 40)


def test_a_number_that_could_not_be_written_again_is_no_json_of_ours() -> None:
    with pytest.raises(ValueError, match="number too large"):
        wire.load('["x",1e999]')


def test_json_is_written_in_ascii_without_spaces() -> None:
    assert wire.dump({"a": [1, "你"]}) == r'{"a":[1,"\u4f60"]}'


# --- texts ------------------------------------------------------------------------------------


def test_names_have_every_escape_of_the_facts_in_the_lists_of_groups() -> None:
    assert wire.escape("&<>\"' ") == "&amp;&lt;&gt;&quot;&#39;&nbsp;"


def test_half_a_character_is_written_as_a_whole_one() -> None:
    text = wire.dump(["a\ud800", "\ud83d\ude00"], is_ascii=False)
    assert text.encode() == '["a\ufffd","😀"]'.encode()


def test_a_broken_character_does_not_cost_the_reply() -> None:
    assert wire.decode("\ufeff你好".encode()[:-1]) == "你\ufffd"


@pytest.mark.parametrize(
    "text",
    [
        '{"retcode":0,"result":{"psessionid":"SECRET',
        '{"vfwebqq": "SECRET", "uin":1}',
        '{"retcode":116,"p":"SECRET"}',
        "ptuiCB('0','0','http://x/check_sig?pttype=1&ptsigx=SECRET&u=1','0')",
        '{"value":"' + "SECRET0" * 20,
        "p_skey=SECRET; path=/",
        "@SECRETxyz0",
        "x" * 70 + " SECRET_AND_MORE_OF_IT_" * 9,
    ],
)
def test_an_excerpt_shows_no_secret(text: str) -> None:
    assert "SECRET" not in wire.excerpt(text)


def test_an_excerpt_is_short_and_one_line() -> None:
    shown = wire.excerpt("<html>\n<b>502 Bad Gateway</b>\x00" + "no " * 1000)
    assert shown.startswith("<html> <b>502 Bad Gateway</b>?no no")
    assert len(shown) < 90


@pytest.mark.parametrize("character", ["\x9b", "\x7f", "\u202e", "\u2066", "\u2028", "\U000e0041"])
def test_json_for_people_has_nothing_that_does_something_to_a_terminal(character: str):
    text = wire.dump_for_people({"text": f"微笑{character}"})
    assert text.isprintable()
    assert "微笑" in text
    assert json.loads(text) == {"text": f"微笑{character}"}
