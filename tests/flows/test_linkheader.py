"""Links in headers, as RFC 8288 has them, and as servers write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webqq_tornado.flows.linkheader import HeaderLink, parse_links


def link(target: str, *relations: str, anchor: str | None = None) -> HeaderLink:
    return HeaderLink(target, frozenset(relations), anchor)


@pytest.mark.parametrize(
    ("header", "links"),
    [
        # The examples of the RFC, 3.5.
        (
            '<http://example.com/TheBook/chapter2>; rel="previous"; title="previous chapter"',
            [link("http://example.com/TheBook/chapter2", "previous")],
        ),
        ('</>; rel="http://example.net/foo"', [link("/", "http://example.net/foo")]),
        ('</terms>; rel="copyright"; anchor="#foo"', [link("/terms", "copyright", anchor="#foo")]),
        (
            "</TheBook/chapter2>; rel=\"previous\"; title*=UTF-8'de'letztes%20Kapitel, "
            "</TheBook/chapter4>; rel=\"next\"; title*=UTF-8'de'n%c3%a4chstes%20Kapitel",
            [link("/TheBook/chapter2", "previous"), link("/TheBook/chapter4", "next")],
        ),
        (
            '<http://example.org/>; rel="start http://example.net/relation/other"',
            [link("http://example.org/", "start", "http://example.net/relation/other")],
        ),
        (
            '<https://example.org/>; rel="start", <https://example.org/index>; rel="index"',
            [link("https://example.org/", "start"), link("https://example.org/index", "index")],
        ),
        # Its grammar.
        ('<a> ; rel = "next"', [link("a", "next")]),
        ("<a>;REL=Next", [link("a", "next")]),
        ("<a,b;c>;rel=next,<d>;rel=prev", [link("a,b;c", "next"), link("d", "prev")]),
        ('<a>; title="x, <b>; rel=prev"; rel=next', [link("a", "next")]),
        ('<a>; title="\\"; rel=prev"; rel="n\\ext"', [link("a", "next")]),
        ("<a>; rel=next; rel=prev", [link("a", "next")]),
        ("<a>; crossorigin; rel=next", [link("a", "next")]),
        ('<a>; rel="\\"', [link("a", '"')]),
        ("<>; rel=self", [link("", "self")]),
        (" , ,<a>; rel=next, ,", [link("a", "next")]),
        ("<a>", [link("a")]),
        # And what is not of it.
        ("<a>; rel='next'", [link("a", "next")]),
        ("<a>; rel=next last", [link("a", "next", "last")]),
        ('<a>; rel="next', [link("a", "next")]),
        ("a; rel=next, <b>; rel=prev", [link("b", "prev")]),
        ("<a>; rel=next oops=, <b>; rel=prev", [link("a", "next", "oops="), link("b", "prev")]),
        ("<a; rel=next", []),
        ("", []),
        (";,<", []),
    ],
)
def test_links_are_read(header, links):
    assert parse_links([header]) == links


def test_links_of_several_headers_are_in_their_order():
    assert parse_links(['<a>; rel="x', "<b>; rel=y"]) == [link("a", "x"), link("b", "y")]


@given(st.lists(st.text("<>;,=\"\\ 'arelnxt*")))
def test_anything_can_be_read(headers):
    assert all(isinstance(one, HeaderLink) for one in parse_links(headers))


@pytest.mark.parametrize(
    "unit", [",", "<", "<>", ";", '"', '\\"', " ", "<>;=", ",x", '; a="', "x>"]
)
def test_garbage_takes_time_in_proportion(unit):
    begun = time.process_time()
    parse_links([unit * 100_000, '<a>;x="' + unit * 100_000])
    assert time.process_time() - begun < 3
