"""Responses as documents: links, and parsel's selectors."""

from __future__ import annotations

import sys

import pytest

from webqq_tornado import Request, Response

URL = "http://example.org/a/b"


def page(body: str | bytes, kind: str = "text/html; charset=utf-8") -> Response:
    data = body if isinstance(body, bytes) else body.encode()
    lines = [b"HTTP/1.1 200 OK\r\n", f"Content-Type: {kind}\r\n".encode(), b"\r\n"]
    return Response(Request(URL), 200, URL, lines if kind else lines[::2], data)


def test_links_are_absolute_and_each_is_there_once_in_order():
    html = """<a href="c">c</a> <a href=" /d?x=1#top ">d</a> <a href="./c#x">c again</a>
        <map><area href="//e.example/"></map> <a href="">self</a>"""
    assert page(html).links() == [
        "http://example.org/a/c",
        "http://example.org/d?x=1",
        "http://e.example/",
        URL,
    ]


@pytest.mark.parametrize(
    "href", ["mailto:a@b", "javascript:void(0)", "ftp://a/", "http://[", "http://a:99999/", "data:"]
)
def test_what_is_no_page_is_no_link(href: str):
    assert page(f'<a href="{href}">x</a><a name="n">y</a>').links() == []


@pytest.mark.parametrize(
    ("base", "link"),
    [
        ("/z/", "http://example.org/z/c"),
        ("http://other.example/q", "http://other.example/c"),
        ("mailto:x", "http://example.org/a/c"),
    ],
)
def test_relative_links_are_seen_from_the_base_element(base: str, link: str):
    html = f'<head><base target=x><base href="{base}"><base href="/no/"></head><a href=c>c</a>'
    assert page(html).links() == [link]


def test_what_was_selected_is_followed_from_the_base_element():
    response = page('<base href="/z/"><a href="c">c</a>')
    assert response.follow("c").request.url == "http://example.org/a/c"  # nobody has looked yet
    href = response.css("a::attr(href)").get()
    assert response.follow(href).request.url == "http://example.org/z/c"
    with pytest.raises(TypeError, match=r"not Selector: of an element \.attrib\['href'\]"):
        response.follow(response.css("a")[0])


def test_links_are_decoded_as_the_text_is():
    html = '<a href="/一">x</a><title>早</title>'.encode("gbk")
    response = page(html, "text/html; charset=gbk")
    assert response.links() == ["http://example.org/%E4%B8%80"]
    assert response.css("title::text").get() == "早"


@pytest.mark.parametrize(
    ("declaration", "charset", "kind"),
    [
        ("<meta charset=gb2312>", "gbk", "text/html"),
        ('<meta http-equiv=Content-Type content="text/html; charset=big5">', "big5", ""),
        ("<meta charset=euc-kr>", "euc-kr", "text/html"),
        ("<meta charset=shift_jis>", "shift_jis", "text/html"),
        ("<meta charset=utf-16>", "utf-8", "text/html"),
        ('<?xml version="1.0" encoding="gbk"?>', "gbk", "application/xml"),
        ("<meta charset=gbk>", "utf-8", "text/html; charset=utf-8"),
    ],
)
def test_a_document_is_decoded_as_its_header_says_or_else_it_itself(declaration, charset, kind):
    response = page(f"{declaration}<p><a href='/一'>一</a></p>".encode(charset), kind)
    assert response.xpath("string(//a)").get() == "一"
    assert response.links() == ["http://example.org/%E4%B8%80"]


@pytest.mark.parametrize(
    ("charset", "query"),
    [("gbk", "%D6%D0"), ("utf-8", "%E4%B8%AD"), ("windows-1252", "%26%2320013%3B")],
)
def test_the_query_of_a_link_is_escaped_in_the_charset_of_its_page(charset: str, query: str):
    html = f"<meta charset={charset}><a href='/中?q=%20中#中'>x</a>"
    response = page(html.encode(charset, "xmlcharrefreplace"), "text/html")
    assert response.links() == [f"http://example.org/%E4%B8%AD?q=%20{query}"]
    followed = response.follow(response.css("a::attr(href)").get() or "").request.url
    assert followed.partition("#")[0] == response.links()[0]


@pytest.mark.parametrize("kind", ["image/png", "application/json", "text/plain", "text/xmlish"])
def test_a_body_of_another_type_has_no_links(kind: str):
    assert page("<a href=c>c</a>", kind).links() == []


@pytest.mark.parametrize("kind", ["", "TEXT/HTML", "application/xhtml+xml", "application/xml"])
def test_html_and_xml_have_links(kind: str):
    assert page('<p><a href="c">c</a></p>', kind).links() == ["http://example.org/a/c"]


def test_an_empty_body_has_no_links():
    assert page(b"").links() == []
    assert page(b"\0\xff<a href").links() == []


def test_documents_are_selected_from_by_css_and_xpath_and_parsed_once():
    response = page("<ul><li>one<li class=b>two</ul>")
    assert response.css("li.b::text").get() == "two"
    assert response.xpath("//li/text()").getall() == ["one", "two"]
    assert response.selector is response.selector
    with pytest.raises(ValueError, match="CSS selector '\\['"):
        response.css("[")
    with pytest.raises(ValueError, match="//"):
        response.xpath("//[")


def test_xml_is_parsed_as_xml():
    response = page("<rss><link>http://a/</link></rss>", "application/rss+xml")
    assert response.xpath("//link/text()").get() == "http://a/"


@pytest.mark.parametrize("ask", [Response.links, lambda page: page.css("p")])
def test_without_parsel_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, ask):
    monkeypatch.setitem(sys.modules, "parsel", None)
    with pytest.raises(ImportError, match=r'pip install "webqq_tornado\[crawl\]"'):
        ask(page("<p>"))
