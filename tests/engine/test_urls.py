"""URLs: what is made of them is what browsers make of them, and what any server takes."""

from __future__ import annotations

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webqq_tornado.engine.urls import host_of, join_url, normal_url, origin_of

NORMAL = [
    ("http://h/", "http://h/"),
    ("http://h", "http://h/"),
    ("https://h:8443", "https://h:8443/"),
    ("http://h?q", "http://h/?q"),
    ("HTTP://Example.ORG/A", "http://example.org/A"),
    ("http://h:80/", "http://h/"),
    ("https://h:443", "https://h/"),
    ("wss://h:443/", "wss://h/"),
    ("https://h:80/", "https://h:80/"),
    ("http://h:00080/", "http://h/"),
    ("http://h:/", "http://h/"),
    ("http://h:65535/", "http://h:65535/"),
    (" \n http://h/a\t ", "http://h/a"),
    ("http://h/a\r\nb", "http://h/ab"),
    ("http:\\\\h\\a", "http://h/a"),
    ("http://h/a/../b/./%2e%2E/c", "http://h/c"),
    ("http://h/.well-known/..x", "http://h/.well-known/..x"),
    ("http://h//a//", "http://h//a//"),
    ("http://h/a b", "http://h/a%20b"),
    ("http://h/é?é#é", "http://h/%C3%A9?%C3%A9#%C3%A9"),
    ("http://h/%ff%zz%?%ff%", "http://h/%ff%zz%?%ff%"),
    ("http://h/\udcff", "http://h/%FF"),
    ("http://h/'?'", "http://h/'?%27"),
    ("http://h/[a]?[b]", "http://h/[a]?[b]"),
    ("http://h/\0\x1f\x7f", "http://h/%00%1F%7F"),
    ('http://h/"<>^`{|}', "http://h/%22%3C%3E%5E%60%7B%7C%7D"),
    ('http://h/?"<>\\^`{|}', "http://h/?%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ("http://me:pw@h/", "http://me:pw@h/"),
    ("http://me:p@w@h/", "http://me:p%40w@h/"),
    ("http://@h/", "http://h/"),
    ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/"),
    ("http://0x7f.1/", "http://127.0.0.1/"),
    ("http://2130706433", "http://127.0.0.1/"),
    ("http://127.000.0.01/", "http://127.0.0.1/"),
    ("http://[0:0::1]:80/", "http://[::1]/"),
    ("http://[::FFFF:127.0.0.1]:8080/", "http://[::ffff:7f00:1]:8080/"),
    ("http://straße.example/", "http://xn--strae-oqa.example/"),
    ("http://пример.рф:8080", "http://xn--e1afmkfd.xn--p1ai:8080/"),
    ("http://例え。テスト:80/", "http://xn--r8jz45g.xn--zckzah/"),
    ("http://ＥＸ.org/", "http://ex.org/"),
    ("http://نامه‌ای.example/", "http://xn--mgba3gch31f060k.example/"),
    ("http://h/?a#b#c", "http://h/?a#b#c"),
]


@pytest.mark.parametrize(("url", "normal"), NORMAL)
def test_the_normal_form_of_a_url(url, normal):
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "absolute"),
        ("//h/", "absolute"),
        ("h:80/", "absolute"),
        ("ftp://h/", "scheme"),
        ("http:h", "absolute"),
        ("http:/h", "absolute"),
        ("http://", "no host"),
        ("http:///a", "no host"),
        ("http://?q", "no host"),
        ("http://me@/", "a host is"),
        ("http://:80/", "a host is"),
        ("http://[oops/", "a host is"),
        ("http://[::1%eth0]/", "a host is"),
        ("http://a b/", "a host is"),
        ("http://a%00b/", "a host is"),
        ("http://a%2fb/", "a host is"),
        ("http://a\0b/", "a host is"),
        ("http://256.0.0.1/", "a host is"),
        ("http://1.2.3.4.5/", "a host is"),
        ("http://\u200d.example/", "a host is"),
        ("http://\ud800/", "a host is"),
        ("http://h:65536/", "a port is"),
        ("http://h:-1/", "a port is"),
        ("http://h:8o/", "a port is"),
        (b"http://h/", "not bytes"),
        (None, "not NoneType"),
        ("http://[fe80::1%25eth0]/", "network_interface="),
        ("http://[fe80::1%eth0]:80/", "network_interface="),
    ],
)
def test_what_is_no_url_is_refused_with_the_reason(url, reason):
    with pytest.raises(ValueError, match=reason):
        normal_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:swordfish@h:x/",
        "http://me:sword/fish@h/",
        "http://me:sword?fish@h:x/",
        "http:\\me:swordfish@h",
        "me:swordfish@h",
        "http://h:x/?token=swordfish",
    ],
)
def test_what_is_refused_is_shown_without_its_secret(url):
    with pytest.raises(ValueError, match="URL") as caught:
        normal_url(url)
    assert "fish" not in str(caught.value)


SCHEMES = st.sampled_from(["http", "https", "ws", "wss"])
HOSTS = st.one_of(
    st.sampled_from(["h", "a.b", "127.0.0.1", "xn--bcher-kva.a", "1.a", "a.1", "256.1.1.1"]),
    st.text("az019.-_x", min_size=1, max_size=8),
)
PORTS = st.sampled_from(["", ":80", ":443", ":8080", ":65535", ":65536", ":0", ":08"])
RESTS = st.text(st.sampled_from("az09/.%2eEfF?#[]'!~@:;,=+&$*()-_|{}^\"<>\\ \t\né"), max_size=12)


@given(SCHEMES, HOSTS, PORTS, RESTS)
@example("http", "h", "", "/a?'")
def test_what_is_taken_as_it_is_is_what_the_standard_would_make_of_it(scheme, host, port, rest):
    url = f"{scheme}://{host}{port}/{rest}"
    try:
        standard = ada_url.normalize_url(url)
    except ValueError:
        with pytest.raises(ValueError, match="URL"):
            normal_url(url)
        return
    target, mark, fragment = standard.partition("#")
    for character in '"<>\\^`{|}':
        target = target.replace(character, f"%{ord(character):02X}")
    assert normal_url(url) == target + mark + fragment


@pytest.mark.parametrize(
    ("base", "reference", "url"),
    [
        ("http://h/a/b?c", "../d", "http://h/d"),
        ("http://h/a", "", "http://h/a"),
        ("http://h/a?b#c", "#d", "http://h/a?b#d"),
        ("http://h/a?b", "?c", "http://h/a?c"),
        ("http://h/a", "//other:80/b", "http://other/b"),
        ("http://h/a", "http:/b", "http://h/b"),
        ("http://h/a", "https:/b", "https://b/"),
        ("http://h/a", "///b", "http://b/"),
        ("http://h/a", "\\b|c", "http://h/b%7Cc"),
        ("http://h/a", " b\n ", "http://h/b"),
        ("http://h/a", "//straße.example/ü", "http://xn--strae-oqa.example/%C3%BC"),
        ("http://h/a", "/\udce9", "http://h/%E9"),
        ("http://me:pw@h/a", "b", "http://me:pw@h/b"),
        ("http://h/a", "mailto:me@h", "mailto:me@h"),
    ],
)
def test_a_link_means_what_browsers_make_of_it(base, reference, url):
    assert join_url(base, reference) == url


@pytest.mark.parametrize("reference", ["http://[oops/", "//me:swordfish@h:x/", "https://"])
def test_a_link_that_leads_nowhere_is_refused(reference):
    with pytest.raises(ValueError, match="URL") as caught:
        join_url("http://h/", reference)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("http://me:pw@H:80/a?b@c", "h", ("http", "h", 80)),
        ("https://h", "h", ("https", "h", 443)),
        ("wss://h:8443/", "h:8443", ("wss", "h", 8443)),
        ("http://[0::1]/", "[::1]", ("http", "[::1]", 80)),
        ("http://[0::1]:81/", "[::1]:81", ("http", "[::1]", 81)),
        ("http://Bücher:81/", "xn--bcher-kva:81", ("http", "xn--bcher-kva", 81)),
    ],
)
def test_host_and_origin_are_equal_where_urls_mean_the_same(url, host, origin):
    assert (host_of(url), origin_of(url)) == (host, origin)
