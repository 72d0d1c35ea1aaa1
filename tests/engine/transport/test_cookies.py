"""Cookies of requests that libcurl does not make: each rule compared with what libcurl does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import pytest
from descriptors import open_descriptors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers.raw import raw_server
from servers.web import Web

from webqq_tornado import CookieJar, HTTPStream, Request

HOSTS = (
    "example.org",
    "a.example.org",
    "b.a.example.org",
    "other.org",
    "co.uk",
    "bank.co.uk",
    "github.io",
    "me.github.io",
    "www.city.kobe.jp",
    "localhost",
    "app.localhost",
    "127.0.0.1",
    "10.0.0.1",
    "[::1]",
    "example.org.",
    "xn--bcher-kva.example",
)
PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a;b/c", "/a%20b", "//a")


class Set(NamedTuple):
    """A response that sets a cookie."""

    url: str
    header: bytes


@contextlib.asynccontextmanager
async def a_server(web: Web, says: list[bytes], seen: list[bytes]) -> AsyncIterator[dict]:
    """Sets the cookies that are in `says`, by http and https; `seen` has the Cookie headers."""

    async def serve(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = [line[8:] for line in head.split(b"\r\n") if line.startswith(b"Cookie: ")]
            assert len(lines) < 2
            seen.append(lines[0] if lines else b"")
            cookies = b"".join(b"Set-Cookie: " + one + b"\r\n" for one in says)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + cookies + b"\r\n")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(web.certificate)
    async with raw_server(serve) as plain, raw_server(serve, context) as tls:
        yield {"http": plain.removeprefix("http://"), "https": tls.removeprefix("https://")}


async def by_libcurl(web: Web, said: Iterable[Set], urls: Iterable[str]) -> tuple:
    """The cookies that are kept, and those that requests have, when libcurl makes all of them."""
    says: list[bytes] = []
    seen: list[bytes] = []
    async with a_server(web, says, seen) as doors, HTTPStream() as stream:

        async def ask(url: str) -> None:
            scheme, _, rest = url.partition("://")
            host = rest.partition("/")[0]
            resolve = {f"{host}:{'443' if scheme == 'https' else '80'}": doors[scheme]}
            await stream.fetch(Request(url, resolve=resolve, validate_cert=False))

        for url, header in said:
            says[:] = [header]
            await ask(url)
        says.clear()
        kept = facts(stream.cookiejar)
        seen.clear()
        for url in urls:
            await ask(url)
        return kept, seen


def by_us(said: Iterable[Set], urls: Iterable[str]) -> tuple:
    """The same, when libcurl makes none of them: as for WebSockets, or a replay."""
    jar = CookieJar()
    for url, header in said:
        jar.take(header, url.replace("http", "ws", 1))
    sent = [jar.header_for(url.replace("http", "ws", 1)).encode("latin-1") for url in urls]
    kept = facts(jar)
    jar.close()
    return kept, sent


def facts(jar: CookieJar) -> list:
    """What the cookies of a jar are; the second that they expire in may be the next one."""
    return sorted(
        (c.domain, c.path, c.name, c.value, c.secure, bool(c.expires), str(c._rest)) for c in jar
    )


def parts(headers: Iterable[bytes]) -> list:
    # The order among equals (path, domain and name as long) is that of their first setting, which
    # no list of libcurl's tells.
    return [sorted(header.split(b"; ")) for header in headers]


@pytest.mark.parametrize(
    ("said", "came_from", "to", "right"),
    [
        ("a=1", "wss://shop.test/", "https://shop.test/", "a=1"),
        ("a=1", "wss://shop.test/", "https://sub.shop.test/", ""),
        ("a=1; domain=shop.test", "wss://sub.shop.test/", "wss://shop.test/", "a=1"),
        ("a=1; domain=sub.shop.test", "wss://shop.test/", "wss://sub.shop.test/", ""),
        ("a=1; domain=co.uk", "wss://evil.co.uk/", "https://bank.co.uk/", ""),
        ("a=1; domain=com", "ws://evil.com/", "ws://bank.com/", ""),
        ("a=1", "wss://evil.test/x;domain=bank.test/y", "https://bank.test/x/", ""),
        ("a=1", "wss://evil.test/x;y/z", "https://evil.test/x;y/", "a=1"),
        ("a=1; secure", "ws://shop.test/", "wss://shop.test/", ""),
        ("a=1; secure", "wss://shop.test/", "ws://shop.test/", ""),
        ("a=1; secure", "wss://shop.test/", "wss://shop.test/", "a=1"),
        ("__Host-a=1; secure", "wss://shop.test/", "wss://shop.test/", "__Host-a=1"),
        ("__Host-a=1", "wss://shop.test/", "wss://shop.test/", ""),
        ("a=\xe5\x90\x8d", "wss://shop.test/", "wss://shop.test/", "a=\xe5\x90\x8d"),
        ("a=\u540d", "wss://shop.test/", "wss://shop.test/", "a=\xe5\x90\x8d"),
        ("a=1\r\nSet-Cookie: b=2", "ws://shop.test/", "ws://shop.test/", ""),
        ("a=1\0", "wss://shop.test/", "wss://shop.test/", ""),
        ("a=" + "x" * 10**6, "ws://shop.test/", "ws://shop.test/", ""),
        ("a=1", "ws://shop.test/" + "x" * 10**6, "ws://shop.test/", "a=1"),
        ("a=1", "HTTP://B\xfccher.TEST", "http://xn--bcher-kva.test/", "a=1"),
    ],
)
def test_a_cookie_goes_where_it_may(said, came_from, to, right):
    jar = CookieJar()
    jar.take(said, came_from)
    assert jar.header_for(to) == right


def test_a_header_deletes_a_cookie_over_tls():
    jar = CookieJar()
    past = "expires=Thu, 01 Jan 1970 00:00:10 GMT"
    for said in ("a=1; secure", "b=1", "__Host-c=1; secure"):
        jar.take(said, "https://shop.test/")
    for said in ("a=; secure; max-age=0", "b=; max-age=0", f"__Host-c=; secure; {past}"):
        jar.take(said, "https://shop.test/")
    assert len(jar) == 0


def test_an_insecure_page_leaves_secure_cookies_alone():
    jar = CookieJar()
    jar.take("a=1; secure", "https://shop.test/")
    for said in ("a=2", "a=2; domain=shop.test", "a=; max-age=0"):
        jar.take(said, "http://shop.test/")
    assert jar.header_for("https://shop.test/") == "a=1"


@pytest.mark.parametrize("url", ["", "shop.test", "ftp://shop.test/", "http://", "ws://a b/"])
def test_a_url_that_is_none_is_refused(url):
    jar = CookieJar()
    jar.set("a", "1", domain="shop.test")
    with pytest.raises(ValueError, match="URL"):
        jar.take("a=1", url)
    with pytest.raises(ValueError, match="URL"):
        jar.header_for(url)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_of_very_many_cookies_as_many_are_sent_as_libcurl_sends(web: Web, scheme):
    said = [Set(f"{scheme}://shop.test/", b"n%d=%d" % (n, n)) for n in range(200)]
    said += [Set(f"{scheme}://long.test/", b"n%d=%s" % (n, b"x" * 4000)) for n in range(5)]
    asked = [f"{scheme}://shop.test/", f"{scheme}://long.test/"]
    assert by_us(said, asked) == await by_libcurl(web, said, asked)


def test_they_leave_no_descriptor_behind():
    jar = CookieJar()
    before = open_descriptors()
    for url in ("http://a.test/", "https://a.test/", "http://[::1]/", "http://" + "a" * 300 + "/"):
        for _ in range(3):
            jar.take("a=1; secure", url)
            jar.header_for(url)
    assert open_descriptors() == before


attributes = st.one_of(
    st.sampled_from(HOSTS).map("Domain={}".format),
    st.sampled_from(HOSTS).map("domain=.{}".format),
    st.sampled_from(HOSTS).map(lambda host: f"DOMAIN={host.upper()}"),
    st.sampled_from(PATHS).map("Path={}".format),
    st.sampled_from(
        [
            "Secure", "secure", " SECURE ", "Secure=", "secure=1", "Secure\t", "insecure",
            "HttpOnly", "httponly=x", "SameSite=None", "SameSite=Strict", "Partitioned", "x", "",
            "Domain", "Domain=", "Domain=.", "Domain=org", "Domain=uk", "domain=..example.org",
            "Path", "Path=", "Path=a", 'Path="/a"', 'path="/a', "Path=/a b", "Path=/a\x01",
            "Max-Age=0", "Max-Age=-1", "Max-Age=100", 'Max-Age="100"', "Max-Age=x", "Max-Age=",
            "max-age=99999999999999999999", "Max-Age=1.5",
            "Expires=Thu, 01 Jan 1970 00:00:10 GMT", "expires=Sun Nov  6 08:49:37 1994",
            "expires=Mon, 10-Dec-2035 20:35:03 GMT", "Expires=garbage", "Expires=0",
            "secure\tx", "a\tb", "__Host-a",
        ]
    ),
)  # fmt: skip
names = st.sampled_from(
    [
        "a",
        "a",
        "b",
        "bb",
        "__Secure-a",
        "__Host-a",
        "__host-a",
        " __Host-a",
        "",
        "a b",
        "\xff_Host-a",
    ]
)
values = st.sampled_from(
    ["1", "2", "", '"q"', '"a b"', "x y", "a=b", "=", "{}", "\xe5\x90\x8d", "a,b", "a\tb", "a\x01"]
)
headers = st.builds(
    lambda name, value, rest, mark: mark.join([f"{name}={value}", *rest]).encode("latin-1"),
    names,
    values,
    st.lists(attributes, max_size=4),
    st.sampled_from([";", "; ", " ; "]),
)
urls = st.builds(
    lambda scheme, host, path: f"{scheme}://{host}{path}",
    st.sampled_from(["http", "https"]),
    st.sampled_from(HOSTS),
    st.sampled_from(PATHS),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.builds(Set, urls, headers), min_size=1, max_size=6), st.lists(urls, max_size=6))
def test_they_are_what_libcurl_would_make_of_them(web: Web, said, asked):
    asked = [*asked, *(one.url for one in said)]
    kept, sent = asyncio.run(by_libcurl(web, said, asked))
    ours, ours_sent = by_us(said, asked)
    assert ours == kept
    assert parts(ours_sent) == parts(sent)
