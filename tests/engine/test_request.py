"""`Request`: what is taken, what is refused, and what a server then gets."""

from __future__ import annotations

import asyncio
import copy
import datetime
import enum
import http.client
import io
import pickle
import re
import ssl
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.raw import answer, raw_server, saying
from servers.scripted import Say, scripted
from servers.web import Web
from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders

from webqq_tornado import (
    FilePart,
    Hop,
    HTTPStream,
    LinkError,
    Multipart,
    ProtocolError,
    Request,
)
from webqq_tornado.engine.chain import next_of
from webqq_tornado.engine.request import option_names
from webqq_tornado.retry import Retry

URL = "http://127.0.0.1/"


class Color(str, enum.Enum):
    RED = "red"


async def _told(request: object, **defaults) -> dict:
    """What the server got of it."""
    async with HTTPStream(defaults=defaults) as stream:
        return (await stream.fetch(request)).json()


def _headers(told: dict) -> dict[str, str]:
    return dict(told["headers"])


# -- methods --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"])
@pytest.mark.parametrize("body", [None, b"body"])
async def test_each_method_goes_with_and_without_a_body(web: Web, method, body):
    told = await _told(Request(f"{web.http}/echo", method, body=body))
    assert (told["method"], told["body"]) == (method, "body" if body else "")


async def test_head_has_no_body(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(Request(f"{web.http}/echo", "HEAD"))
    assert (response.status, response.body) == (200, b"")
    assert int(response.headers["Content-Length"]) > 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_that_there_is_no_body_is_said_where_one_is_usual(web: Web, method):
    """Else there are servers that answer 411 (RFC 9110, 8.6)."""
    async with HTTPStream() as stream:
        told = (await stream.fetch(Request(f"{web.http}/echo", method))).json()
    headers = dict(told["headers"])
    assert headers["Content-Length"] == "0"
    assert not {"Content-Type", "Expect", "Transfer-Encoding"} & headers.keys()


async def test_one_handle_serves_all_methods_in_turn(web: Web):
    methods = ["HEAD", "GET", "POST", "HEAD", "PUT", "GET", "DELETE", "POST", "OPTIONS", "GET"]
    seen = []
    async with HTTPStream(max_clients=1) as stream:
        for method in methods:
            body = b"b" if method in ("PUT", "POST") else None
            response = await stream.fetch(Request(f"{web.http}/echo", method, body=body))
            seen.append(response.headers["X-Method"])
            if method != "HEAD":
                assert response.json()["body"] == ("b" if body else "")
    assert seen == methods


@pytest.mark.parametrize("method", ["GET POST", "GET\r\nX: y", "G\0", "é", " "])
def test_a_method_that_is_no_token_is_refused(method):
    with pytest.raises(ValueError, match="method"):
        Request(URL, method)


@pytest.mark.parametrize("method", ["connect", "CONNECT", "head"])
@pytest.mark.parametrize("body", [b"", b"x", [b"x"]])
def test_what_libcurl_would_wait_for_in_vain_is_refused(method, body):
    """An answer to HEAD has no body, one to CONNECT has no end."""
    with pytest.raises(ValueError, match=method.upper()):
        Request(URL, method, body=body)


@pytest.mark.parametrize(
    ("given", "method"),
    [("get", "GET"), ("Post", "POST"), ("patch", "PATCH"), ("M-search", "M-SEARCH")],
)
def test_a_method_is_in_capitals(given, method):
    assert Request(URL, given).method == method


def test_the_method_is_post_when_there_is_a_body():
    assert [Request(URL).method, Request(URL, body=b"").method] == ["GET", "POST"]


# -- headers --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nX-Injected: 1", "a\0b", "\n", "a\n"])
def test_a_header_value_with_a_line_break_is_refused(value):
    with pytest.raises(ValueError, match="X-A has CR, LF or NUL"):
        Request(URL, headers={"X-A": value})


@pytest.mark.parametrize("name", ["", "X A", "X:A", "X\r\nA", "X\0", "é", "X-A\n", "@"])
def test_a_header_name_that_is_no_token_is_refused(name):
    with pytest.raises(ValueError, match="header name"):
        Request(URL, headers={name: "value"})


@pytest.mark.parametrize("value", [5, None, b"bytes", ["a"]])
def test_a_header_value_that_is_no_text_is_refused(value):
    with pytest.raises(ValueError, match="X-A has a value of type"):
        Request(URL, headers={"X-A": value})


@pytest.mark.parametrize("value", ["\ud800", "a\udcff"])
def test_a_header_value_that_cannot_be_encoded_is_refused(value):
    with pytest.raises(ValueError, match="X-A has half of a surrogate pair"):
        Request(URL, headers={"X-A": value})


def test_blanks_around_a_header_value_are_no_part_of_it():
    """HTTP/2 has no way to send them (RFC 9113, 8.2.1)."""
    made = Request(URL, headers=[("A", " a b\t"), ("B", ""), ("C", "\t"), ("D", "d")])
    assert made.header_pairs == (("A", "a b"), ("B", ""), ("C", ""), ("D", "d"))


def test_headers_that_come_twice_may_be_given_in_any_collection():
    message = http.client.parse_headers(io.BytesIO(b"X-A: 1\r\nX-A: 2\r\n\r\n"))
    tornado = HTTPHeaders({"X-A": "1"})
    tornado.add("X-A", "2")
    for headers in (message, tornado, iter([("X-A", "1"), ("X-A", "2")])):
        assert Request(URL, headers=headers).header_pairs == (("X-A", "1"), ("X-A", "2"))


INJECTED = "a\r\nX-Injected: 1"
DOORS = {
    "user_agent": {"user_agent": INJECTED},
    "auth_username": {"auth_username": INJECTED, "auth_password": "a"},
    "auth_password": {"auth_username": "a", "auth_password": INJECTED},
    "url": {"url": f"http://127.0.0.1/{INJECTED}"},
    "userinfo": {"url": f"http://{INJECTED}@127.0.0.1/"},
    "host": {"url": f"http://127.0.0.1{INJECTED}/"},
    "encoded userinfo": {"url": "http://a%0d%0aX-Injected:%201@127.0.0.1/"},
    "encoded host": {"url": "http://127.0.0.1%0d%0aX-Injected:%201/"},
    "proxy": {"proxy": f"http://{INJECTED}:a@127.0.0.1:1"},
    "file name": {"body": Multipart(files=(("f", FilePart(b"x", filename=INJECTED)),))},
    "field name": {"body": Multipart(fields=((INJECTED, "x"),))},
    "part type": {"body": Multipart(files=(("f", FilePart(b"x", "n", f"text/plain{INJECTED}")),))},
}


@pytest.mark.parametrize("door", DOORS)
async def test_no_argument_smuggles_a_line_into_the_request(door, caplog):
    """It is refused, or arrives as something else than a line of its own."""
    seen = []

    async def handler(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer())
        await writer.drain()
        seen.append(await reader.read())

    async with raw_server(handler) as url, HTTPStream() as stream:
        arguments = dict(DOORS[door])
        address = arguments.pop("url", URL).replace("127.0.0.1", url.removeprefix("http://"))
        try:
            stream.add_request(Request(address, **arguments))
        except ValueError:
            return
        await stream.drain(60)
    assert b"\r\nX-Injected" not in b"".join(seen)


async def test_headers_arrive_as_they_were_given(web: Web):
    pairs = [("X-Twice", "1"), ("X-Twice", "2"), ("X-Empty", ""), ("X-Space", " "), ("x-a", ";:,=")]
    told = await _told(Request(f"{web.http}/echo", headers=pairs))
    got = [pair for pair in told["headers"] if pair[0].startswith("X-")]
    assert sorted(got) == [
        ["X-A", ";:,="], ["X-Empty", ""], ["X-Space", ""], ["X-Twice", "1"], ["X-Twice", "2"],
    ]  # fmt: skip


async def test_headers_may_replace_what_is_sent_by_itself(web: Web):
    headers = {"Host": "example.org", "User-Agent": "me", "Accept": "text/plain"}
    told = _headers(await _told(Request(f"{web.http}/echo", headers=headers)))
    assert [told[name] for name in headers] == list(headers.values())


async def test_headers_of_one_request_are_not_those_of_the_next(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        first = Request(f"{web.http}/echo", headers={"X-A": "1"}, auth_username="a", body=b"b")
        await stream.fetch(first)
        told = (await stream.fetch(f"{web.http}/echo")).json()
    assert told["method"] == "GET"
    assert {"X-A", "Authorization", "Content-Length", "Content-Type"}.isdisjoint(_headers(told))


async def test_headers_outside_latin_1_are_sent_as_utf_8(web: Web):
    told = _headers(await _told(Request(f"{web.http}/echo", headers={"X-A": "é", "X-B": "名"})))
    assert told["X-A"] == "é"
    assert told["X-B"].encode("latin-1").decode() == "名"


async def test_a_body_says_nothing_that_nobody_said(web: Web):
    told = _headers(await _told(Request(f"{web.http}/echo", body=b"x" * 2_000_000)))
    assert {"Content-Type", "Expect"}.isdisjoint(told)
    assert told["Content-Length"] == "2000000"


async def test_a_body_waits_for_the_servers_word_when_asked_to(web: Web):
    request = Request(f"{web.http}/echo", body=b"x" * 2000, expect_100_continue=True)
    async with HTTPStream() as stream:
        response = await stream.fetch(request)
    assert _headers(response.json())["Expect"] == "100-continue"
    assert (response.status, response.history) == (200, [])


@pytest.mark.parametrize("body", [None, b"", ""])
async def test_where_there_is_no_body_nothing_waits(web: Web, body: bytes | str | None):
    request = Request(f"{web.http}/echo", "POST", body=body, expect_100_continue=True)
    assert "Expect" not in _headers(await _told(request))


@asynccontextmanager
async def _refusing_expect(*, reads: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that refuses each body that waits, by 417; and what it was asked.

    Args:
        reads: the body first, without a word.
    """
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).lower():
            waits = b"expect: 100-continue" in head
            asked.append("waits" if waits else "sends")
            if waits and reads:
                await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
            if waits:
                writer.write(answer(status=b"417 Expectation Failed"))
            elif b"chunked" in head:
                body = b""
                while not body.endswith(b"0\r\n\r\n"):
                    body += await reader.read(2**16)
                writer.write(answer(b"%d" % body.count(b"x")))
            else:
                length = int(head.split(b"content-length: ")[1].split()[0])
                writer.write(answer(b"%d" % (await reader.readexactly(length)).count(b"x")))

    async with raw_server(serve) as url:
        yield url, asked


@pytest.mark.parametrize("size", [1, 2**20 + 1])
@pytest.mark.parametrize("kind", ["bytes", "file", "function"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("says", ["flag", "header"])
async def test_a_body_that_may_not_wait_is_sent_without(
    size: int, kind: str, method: str, says: str, tmp_path: Path
):
    path, data = tmp_path / "body", b"x" * size
    path.write_bytes(data)
    body = {"bytes": data, "file": path, "function": lambda: iter([data])}[kind]
    options = {"flag": {"expect_100_continue": True}, "header": {"headers": _EXPECT}}[says]
    async with _refusing_expect() as (url, asked), HTTPStream() as stream:
        response = await stream.fetch(Request(url, method=method, body=body, **options))
        assert (response.status, response.body) == (200, b"%d" % size)
        assert asked == ["waits", "sends"]
        again = await stream.fetch(Request(url, method=method, body=body, **options))
        assert (again.status, again.body) == (200, b"%d" % size)
        assert stream.stats().in_flight == 0
    assert asked == ["waits", "sends"] * 2


_EXPECT = {"expect": "100-Continue"}


@pytest.mark.slow  # libcurl waits for a second before it sends a body that is not asked for
@pytest.mark.parametrize("kind", ["bytes", "file"])
async def test_a_body_that_was_read_before_it_was_refused_is_sent_again(kind: str, tmp_path: Path):
    (tmp_path / "body").write_bytes(b"xx")
    body = {"bytes": b"xx", "file": tmp_path / "body"}[kind]
    async with _refusing_expect(reads=True) as (url, asked), HTTPStream() as stream:
        response = await stream.fetch(Request(url, method="POST", body=body, headers=_EXPECT))
    assert (response.status, response.body) == (200, b"2")
    assert asked == ["waits", "sends"]


@pytest.mark.slow
async def test_a_streamed_response_that_the_reader_has_is_417():
    async with _refusing_expect(reads=True) as (url, asked), HTTPStream() as stream:
        async with stream.open(Request(url, body=b"xx", headers=_EXPECT)) as response:
            assert response.status == 417
    assert asked == ["waits"]


async def test_a_response_to_what_was_refused_first_streams():
    async with _refusing_expect() as (url, asked), HTTPStream() as stream:
        async with stream.open(Request(url, body=b"xx", headers=_EXPECT)) as response:
            assert (response.status, await response.stream.read()) == (200, b"2")
    assert asked == ["waits", "sends"]


async def test_a_body_that_may_not_wait_and_comes_once_is_an_error_with_a_remedy():
    async with _refusing_expect() as (url, asked), HTTPStream() as stream:
        request = Request(url, method="POST", body=iter([b"x", b"x"]), headers=_EXPECT)
        with pytest.raises(ProtocolError, match="leave out expect_100_continue="):
            await stream.fetch(request)
    assert asked == ["waits"]


async def test_a_server_that_refuses_even_what_does_not_wait_is_answered_with_its_417():
    async with raw_server(saying(*[answer(status=b"417 No")] * 2)) as url, HTTPStream() as stream:
        response = await stream.fetch(Request(url, body=b"x", expect_100_continue=True))
    assert response.status == 417


# -- addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/echo/a b", "/echo/a%20b"),
        ("/echo/é?q=名", "/echo/%C3%A9?q=%E5%90%8D"),
        ("/echo/%20?a=%41&b", "/echo/%20?a=%41&b"),
        ("/echo#part", "/echo"),
        ("/echo?a=[1]&b={c}", "/echo?a=[1]&b=%7Bc%7D"),
        ("/echo/{a}|b^?c|d", "/echo/%7Ba%7D%7Cb%5E?c%7Cd"),
        ("/echo/a/../b ", "/echo/b"),
        ("/echo/a;b,c=d/~e", "/echo/a;b,c=d/~e"),
        ("?q=1", "/?q=1"),
        ("", "/"),
    ],
)
async def test_the_path_that_is_asked_for(web: Web, path, sent):
    assert (await _told(web.http + path))["uri"] == sent


@pytest.mark.parametrize("mark", ["\0", "\r", "\n", "\t", "\x1f", "\x7f"])
@pytest.mark.parametrize("where", ["http://a/{}b", "http://a/?{}b", "http://a/#{}b"])
def test_a_control_character_in_a_url_is_dropped_or_escaped_as_browsers_do(mark, where):
    shown = "" if mark in "\r\n\t" else f"%{ord(mark):02X}"
    assert Request(where.format(mark)).url == where.format(shown)


@pytest.mark.parametrize("mark", ["\0", "\x1f", "\x7f", " ", "%0a", "%20"])
def test_a_control_character_in_a_host_is_refused(mark):
    with pytest.raises(ValueError, match="URL"):
        Request(f"http://a{mark}b/")


def test_a_host_outside_ascii_has_its_idna_form():
    assert Request("http://bücher.example/ä").url == "http://xn--bcher-kva.example/%C3%A4"


@pytest.mark.parametrize("url", [5, None, b"http://127.0.0.1/", ["http://127.0.0.1/"]])
def test_a_url_that_is_no_text_is_refused(url):
    with pytest.raises((ValueError, TypeError), match=r"(?i)url"):
        Request(url)


@given(st.text(max_size=40))
def test_any_text_makes_a_request_or_a_value_error(text):
    for url in (text, "http://" + text, "http://h/" + text):
        try:
            made = Request(url)
        except ValueError:
            continue
        assert made.url.isascii()
        assert not any(ord(mark) <= 0x20 or ord(mark) == 0x7F for mark in made.url)
        assert repr(made)


@pytest.mark.parametrize(
    "wrong",
    [
        {"connect_timeout": -1},
        {"request_timeout": float("nan")},
        {"idle_timeout": float("inf")},
        {"http_version": "0.9"},
        {"max_redirects": -5},
        {"max_body_size": -1},
        {"auth_mode": "ntlm2", "auth_username": "a"},
        {"request_timeout": "2"},
        {"connect_timeout": datetime.timedelta(seconds=2)},
        {"max_body_size": "10"},
        {"method": b"GET"},
        {"headers": "Accept: text/html"},
        {"headers": ["Accept: text/html"]},
        {"user_agent": 5},
        {"no_proxy": ["a.test"]},
        {"resolve": [("a.test", "127.0.0.1")]},
        {"local_port": "8000"},
        {"on_progress": 5},
        {"on_header_line": "x"},
        {"prepare_curl": {}},
        {"subprotocols": "chat"},
        {"body": {"name": "Ann"}},
        {"body": 5},
        {"sink": b"file.bin"},
        {"sink": bytearray()},
        {"sink": io.StringIO()},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}-{type(next(iter(wrong.values()))).__name__}",
)
def test_an_argument_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("s")):
        Request(URL, **wrong)


def test_there_is_a_default_or_none_for_every_option():
    request = Request(URL)
    assert {getattr(request, name) for name in option_names()} == {None}


# -- other people's requests ----------------------------------------------------------------


async def test_an_urllib_request_is_sent_as_urllib_would(web: Web):
    request = urllib.request.Request(
        f"{web.http}/echo?a=b#part", b"c=d", {"X-A": "b", "User-agent": "old"}, method="PUT"
    )
    request.add_unredirected_header("X-Once", "1")
    told = await _told(request)
    assert (told["method"], told["uri"], told["body"]) == ("PUT", "/echo?a=b", "c=d")
    expected = {
        "X-A": "b",
        "X-Once": "1",
        "User-Agent": "old",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert expected.items() <= _headers(told).items()


@pytest.mark.parametrize(
    "data",
    [b"body", io.BytesIO(b"body"), io.StringIO("body"), [b"bo", b"dy"], bytearray(b"body")],
    ids=lambda data: type(data).__name__,
)
async def test_an_urllib_request_has_its_body_in_any_form(web: Web, data):
    told = await _told(urllib.request.Request(f"{web.http}/echo", data))
    assert (told["method"], told["body"]) == ("POST", "body")


def test_an_urllib_request_for_a_file_is_refused():
    with pytest.raises(ValueError, match="http or https"):
        Request.of(urllib.request.Request("file:///etc/passwd"))


async def test_a_tornado_request_is_sent_as_tornado_would(web: Web):
    headers = HTTPHeaders({"X-A": "1"})
    headers.add("X-A", "2")
    request = HTTPRequest(
        f"{web.http}/echo", "POST", headers, "body é",
        auth_username="me", auth_password="pw", user_agent="tests",
    )  # fmt: skip
    told = await _told(request)
    assert told["body"].encode("latin-1").decode() == "body é"
    values = [value for name, value in told["headers"] if name == "X-A"]
    assert ",".join(values) == "1,2"
    assert _headers(told)["Authorization"] == "Basic bWU6cHc="
    assert _headers(told)["User-Agent"] == "tests"


def test_a_tornado_request_keeps_its_limits():
    request = HTTPRequest(URL, connect_timeout=3, request_timeout=4, follow_redirects=False)
    made = Request.of(request)
    assert (made.connect_timeout, made.request_timeout) == (3, 4)
    assert made.follow_redirects is False
    assert Request.of(HTTPRequest(URL)).request_timeout is None


# -- bodies ---------------------------------------------------------------------------------


async def test_a_text_body_is_sent_as_utf_8(web: Web):
    told = await _told(Request(f"{web.http}/echo", body="名"))
    assert told["body"].encode("latin-1").decode() == "名"


async def test_a_multipart_body_has_fields_and_files(web: Web, tmp_path: Path):
    by_path = tmp_path / "a.txt"
    by_path.write_bytes(b"from \0 a file")
    async with HTTPStream() as stream:
        request = stream.make_post_request(
            f"{web.http}/form",
            {"name": "a", "empty": "", "number": 5},
            files={
                "raw": b"by\0tes",
                "path": by_path,
                "named": FilePart(b"x", "n.json", "application/json"),
                "renamed": FilePart(by_path, "other.bin"),
            },
        )
        told = (await stream.fetch(request)).json()
    assert told["fields"] == [["name", "a"], ["empty", ""], ["number", "5"]]
    files = {name: (filename, kind, body) for name, filename, kind, body in told["files"]}
    assert files["raw"][0] == "raw"
    assert files["raw"][2] == "by\0tes"
    assert files["path"] == ("a.txt", "text/plain", "from \0 a file")
    assert files["named"] == ("n.json", "application/json", "x")
    assert (files["renamed"][0], files["renamed"][2]) == ("other.bin", "from \0 a file")


async def test_a_form_has_several_files_of_one_name(web: Web):
    files = [("f", b"1"), ("f", FilePart(b"2", "two"))]
    told = await _told(Request(f"{web.http}/form", files=files))
    assert [(name, body) for name, _, _, body in told["files"]] == [("f", "1"), ("f", "2")]


@pytest.mark.parametrize(
    "body",
    [
        Multipart({"a": 5}),
        Multipart({"a": None}),
        Multipart({5: "a"}),
        Multipart({"a\0": "a"}),
        Multipart({"a": "\ud800"}),
        Multipart([("a",)]),
        Multipart("ab"),
        Multipart(5),
        Multipart(files={"a": b"x"}),
        Multipart(files={"a": FilePart("x")}),
        Multipart(files={"a": FilePart(io.BytesIO(b"x"))}),
        Multipart(files={"a": FilePart(b"x", 5)}),
        Multipart(files={"a": FilePart(b"x", "a\0")}),
        Multipart(files={"a": FilePart(b"x", "a", "a/b\r\nX-Injected: 1")}),
        Multipart(files={"a": FilePart(b"x", "a", "a/b\n")}),
        Multipart(files={"a": FilePart(b"x", "a", b"a/b")}),
    ],
)
def test_what_cannot_be_in_a_multipart_body_is_refused(body):
    with pytest.raises(ValueError, match=r"Multipart|content_type|pairs"):
        Request(URL, body=body)


async def test_names_in_a_multipart_body_are_escaped_as_browsers_do():
    body = Multipart([('a"\r\nb\\', "v")], [("f", FilePart(b"x", '名"\r\n;', "text/plain; a=b"))])
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, body=body))
    lines = server.asked[0].body.decode().split("\r\n")
    assert 'Content-Disposition: form-data; name="a%22%0D%0Ab\\"' in lines
    assert 'Content-Disposition: form-data; name="f"; filename="名%22%0D%0A;"' in lines
    assert "Content-Type: text/plain; a=b" in lines


def test_a_multipart_body_of_iterators_can_be_sent_again():
    body = Request(URL, body=Multipart(iter([("a", "b")]), iter([("f", FilePart(b"x"))]))).body
    assert body == Multipart((("a", "b"),), (("f", FilePart(b"x")),))


async def test_multipart_fields_are_encoded_like_form_fields(web: Web):
    async with HTTPStream() as stream:
        params = {"several": ["a", "b"], "bytes": b"\xe5\x90\x8d", "text": "名"}
        request = stream.make_post_request(f"{web.http}/form", params, files={"f": b"x"})
        told = (await stream.fetch(request)).json()
    expected = [["several", "a"], ["several", "b"], ["bytes", "名"], ["text", "名"]]
    assert told["fields"] == expected


async def test_a_multipart_body_may_be_of_mappings(web: Web):
    body = Multipart({"user": "ann"}, {"f": FilePart(b"x", "x.txt")})
    async with HTTPStream() as stream:
        told = (await stream.fetch(Request(f"{web.http}/form", body=body))).json()
    assert told["fields"] == [["user", "ann"]]
    assert len(told["files"]) == 1


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_a_body_may_be_any_bytes(web: Web, kind):
    async with HTTPStream() as stream:
        told = (await stream.fetch(Request(f"{web.http}/echo", body=kind(b"some")))).json()
    assert told["body"] == "some"


async def test_nothing_in_the_middle_of_a_body_is_no_end(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(TypeError, match="NoneType"):
            await stream.fetch(Request(f"{web.http}/echo", body=iter([b"a", None, b"b"])))


async def test_names_outside_ascii_are_fine_in_a_multipart_body(web: Web, tmp_path: Path):
    by_path = tmp_path / "图.txt"
    by_path.write_bytes(b"content")
    files = {"附件": by_path, "b": FilePart(b"x", "图片.png")}
    async with HTTPStream() as stream:
        request = stream.make_post_request(f"{web.http}/form", {"字段": "值"}, files=files)
        told = (await stream.fetch(request)).json()
    assert told["fields"] == [["字段", "值"]]
    assert [(name, filename) for name, filename, _, _ in told["files"]] == [
        ("附件", "图.txt"),
        ("b", "图片.png"),
    ]


async def test_a_multipart_body_can_be_sent_again(web: Web):
    async with HTTPStream() as stream:
        request = stream.make_post_request(f"{web.http}/form", {"a": 1}, files={"f": b"x" * 9999})
        bodies = [(await stream.fetch(request)).json()["files"][0][3] for _ in range(3)]
    assert bodies == ["x" * 9999] * 3


async def test_a_file_that_is_not_there_is_an_error_of_the_request(web: Web, caplog):
    async with HTTPStream() as stream:
        files = {"a": Path("/nowhere/a")}
        try:
            chain = stream.add_request(stream.make_post_request(web.http, files=files))
        except (OSError, ValueError):
            return
        with pytest.raises(Exception, match=r"(?i)read|file|/nowhere"):
            await chain


# -- options outside ASCII ------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"user_agent": "机器人"},
        {"auth_username": "имя", "auth_password": "пароль"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
async def test_options_may_be_outside_ascii(web: Web, arguments):
    told = await _told(Request(f"{web.http}/echo", **arguments))
    assert told["method"] == "GET"


async def test_a_unix_socket_may_have_a_path_outside_ascii(web: Web, tmp_path: Path):
    path = tmp_path / "套接字"
    path.symlink_to(web.unix)
    told = await _told(Request("http://localhost/echo/unix", unix_socket=str(path)))
    assert told["uri"] == "/echo/unix"


async def test_a_unix_socket_takes_the_place_of_the_host(web: Web):
    async with HTTPStream() as stream:
        request = Request("http://any.example/echo/unix", unix_socket=web.unix)
        told = (await stream.fetch(request)).json()
        again = (await stream.fetch(f"{web.http}/echo/tcp")).json()
    assert (told["uri"], _headers(told)["Host"]) == ("/echo/unix", "any.example")
    assert again["uri"] == "/echo/tcp"


async def test_the_user_and_password_of_a_url_are_sent_as_basic_authentication(web: Web):
    url = web.http.replace("//", "//me:p%40w@") + "/echo"
    told = await _told(url)
    assert _headers(told)["Authorization"] == "Basic bWU6cEB3"


# -- as a value -----------------------------------------------------------------------------


def test_a_request_shows_no_secret():
    request = Request(
        "http://me:swordfish@h/?token=swordfish", body=b"swordfish", auth_password="swordfish"
    )
    assert repr(request) == "<Request POST http://h/?token=...>"


@pytest.mark.parametrize("wrong", [{"method": "POST"}, {"body": b"x"}, {"method": "HEAD"}])
def test_a_web_socket_begins_with_a_get_without_a_body(wrong):
    with pytest.raises(ValueError, match="WebSocket"):
        Request("ws://a.test/", **wrong)


def test_replace_makes_another():
    request = Request(URL, headers={"A": "b"})
    other = request.replace(method="PUT", body=b"x")
    assert (request.method, other.method, other.headers) == ("GET", "PUT", (("A", "b"),))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
@pytest.mark.parametrize("form", ["text", "request"])
async def test_a_copy_of_a_request_can_be_sent(web: Web, copied, form):
    async with HTTPStream() as stream:
        request = web.http if form == "text" else Request(web.http, headers={"X-A": "b"})
        first = await stream.fetch(request)
        second = await stream.fetch(copied(first.request))
    assert second.json()["headers"] == first.json()["headers"]


async def test_one_request_serves_streams_with_different_defaults(web: Web):
    request = Request(f"{web.http}/echo")
    agents = []
    one, other = (HTTPStream(defaults={"user_agent": name}) for name in "ab")
    async with one, other:
        for stream in (one, other, one, other):
            agents.append(_headers((await stream.fetch(request)).json())["User-Agent"])
    assert agents == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("url", "kind", "proxy"),
    [
        ("http://example.org/a", "http", "http://127.0.0.1:3128"),
        ("http://example.org/a", "https", "https://127.0.0.1:3128"),
        ("https://example.org/a", "https", "http://127.0.0.1:3128"),
    ],
)
def test_a_proxy_set_the_way_of_urllib_is_used(url, kind, proxy):
    request = urllib.request.Request(url)
    request.set_proxy("127.0.0.1:3128", kind)
    taken = Request.of(request)
    assert (taken.url, taken.proxy) == (url, proxy)


def test_an_urllib_request_keeps_its_fragment_and_its_host_gets_its_idna_form():
    taken = Request.of(urllib.request.Request("http://bücher.example:80/ä#é"))
    assert taken.url == "http://xn--bcher-kva.example/%C3%A4#%C3%A9"


async def test_headers_of_an_urllib_request_are_written_as_urllib_writes_them(web: Web):
    request = urllib.request.Request(f"{web.http}/echo", headers={"x-aB-c": 5, "X-Raw": b"\xe9"})
    told = _headers(await _told(request))
    assert (told["X-Ab-C"], told["X-Raw"]) == ("5", "é")


@pytest.mark.parametrize("data", ["text", 5, ["text"], object()])
async def test_data_of_an_urllib_request_that_is_no_body_is_refused(web: Web, data):
    async with HTTPStream() as stream:
        with pytest.raises((ValueError, TypeError), match=r"str|int|object"):
            await stream.fetch(urllib.request.Request(web.http, data))


async def test_data_of_an_urllib_request_may_come_piece_by_piece(web: Web):
    def pieces():
        yield from (b"bo", b"dy")

    headers = {"Content-Length": "4"}
    told = await _told(urllib.request.Request(f"{web.http}/echo", pieces(), headers))
    assert told["body"] == "body"
    assert _headers(told)["Content-Length"] == "4"


@pytest.mark.parametrize("headers", [{"X-A": "1"}, {"X-A": b"1"}, HTTPHeaders({"X-A": "1"})])
async def test_headers_of_a_tornado_request_may_be_any_mapping(web: Web, headers):
    told = _headers(await _told(HTTPRequest(f"{web.http}/echo", headers=headers)))
    assert told["X-A"] == "1"


def test_a_tornado_request_says_what_it_says_to_a_tornado_client():
    request = HTTPRequest(
        "http://bücher.example/",
        "POST",
        if_modified_since=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        body="é",
        auth_username="e\u0301",
        auth_mode="digest",
        allow_ipv6=False,
        ssl_options={"ca_certs": "ca.pem"},
        proxy_host="::1",
        proxy_port=3128,
        proxy_username="me@",
        proxy_password="p:w",
        proxy_auth_mode="digest",
    )
    made = Request.of(request)
    assert dict(made.header_pairs) == {
        "If-Modified-Since": "Fri, 02 Jan 2026 00:00:00 GMT",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert (made.url, made.method, made.body) == (
        "http://xn--bcher-kva.example/",
        "POST",
        b"\xc3\xa9",
    )
    assert (made.auth_username, made.auth_mode) == ("é", "digest")
    assert (made.ip_version, made.ca_certs) == (4, "ca.pem")
    assert (made.proxy, made.proxy_auth_mode) == ("http://me%40:p%3Aw@[::1]:3128", "digest")


def test_an_ssl_context_of_a_tornado_request_is_refused_with_what_to_give_instead():
    request = HTTPRequest("https://example.org/", ssl_options=ssl.create_default_context())
    with pytest.raises(ValueError, match="client_cert"):
        Request.of(request)


@pytest.mark.parametrize(
    "name", ["streaming_callback", "header_callback", "body_producer", "prepare_curl_callback"]
)
def test_what_a_chain_cannot_do_for_tornado_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name}.*: "):
        Request.of(HTTPRequest("http://example.org/", method="POST", **{name: print}))


def test_params_are_added_to_the_query():
    request = Request("http://a.example/?x=1#f", params={"q": [1, "b c"], "none": None})
    assert request.url == "http://a.example/?x=1&q=1&q=b+c#f"


@pytest.mark.parametrize(
    ("options", "body", "kind"),
    [
        ({"json": {"n": 1}}, b'{"n": 1}', "application/json"),
        ({"form": {"a": "b c"}}, b"a=b+c", "application/x-www-form-urlencoded"),
    ],
)
def test_a_value_becomes_the_body(options, body, kind):
    request = Request(URL, **options)
    assert (request.method, request.body) == ("POST", body)
    assert request.header_pairs == (("Content-Type", kind),)
    own = Request(URL, "PUT", {"content-type": "own"}, **options)
    assert (own.method, own.header_pairs) == ("PUT", (("content-type", "own"),))


def test_files_make_a_multipart_form():
    request = Request(URL, form={"a": 1}, files={"f": b"x"})
    assert request.body == Multipart((("a", "1"),), (("f", FilePart(b"x")),))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"json": {}, "form": {"a": 1}}, "json is a body of its own"),
        ({"json": {}, "body": b"x"}, "there can be one body"),
        ({"timeout": 1, "request_timeout": 2}, "give one of them"),
        ({"auth": ("a", "b"), "auth_username": "c"}, "give it or these"),
        ({"auth": "ann"}, r"auth is \(user, password\)"),
    ],
)
def test_what_excludes_each_other_is_refused(options, why):
    with pytest.raises(ValueError, match=why):
        Request(URL, **options)


def test_other_names_are_those_of_options():
    request = Request(URL, timeout=5, auth=("ann", "pw"))
    assert request.request_timeout == 5
    assert (request.auth_username, request.auth_password) == ("ann", "pw")
    assert pickle.loads(pickle.dumps(request)).request_timeout == 5
    assert request.replace(url="http://b.example/").auth_username == "ann"


# -- what people bring from other clients -------------------------------------------------------


def test_a_query_may_be_text_that_is_encoded_already():
    assert Request("http://h/?a=1", params="b=%202&c").url == "http://h/?a=1&b=%202&c"


@pytest.mark.parametrize("argument", ["params", "form"])
def test_a_mapping_in_a_form_is_refused_and_not_cut_to_its_keys(argument: str):
    with pytest.raises(ValueError, match="'a' is a mapping, of which a form has none: json="):
        Request("http://h/", **{argument: {"a": {"b": 1}}})


def test_the_path_of_a_sink_may_be_text():
    assert Request("http://h/", sink="a/b").sink == Path("a/b")


@pytest.mark.parametrize(
    ("value", "query"),
    [
        (True, "a=true"),
        ([False, None, 1.5], "a=false&a=1.5"),
        (bytearray(b"x"), "a=x"),
        (Color.RED, "a=red"),
        ([Color.RED], "a=red"),
    ],
)
def test_a_value_in_a_query_or_form_has_the_form_that_servers_read(value: object, query: str):
    assert Request("http://h/", params={"a": value}).url == f"http://h/?{query}"
    assert Request("http://h/", form={"a": value}).body == query.encode()


def test_a_query_as_text_may_begin_with_its_mark_and_loses_nothing_to_the_fragment():
    assert Request("http://h/#end", params="?a=1#2").url == "http://h/?a=1%232#end"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"a": [[1]]}, "'a' is a list in a list"),
        (["ab"], "not ['ab']"),
        ([("a",)], "not [('a',)]"),
        (5, "a mapping, or pairs of name and value, not int"),
        ({"a": "\ud800"}, "'a' has half of a surrogate pair"),
    ],
)
@pytest.mark.parametrize("argument", ["params", "form"])
def test_what_is_no_query_is_named(argument: str, given: object, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        Request("http://h/", **{argument: given})


def test_json_that_is_none_names_the_remedy():
    with pytest.raises(TypeError, match=r"json cannot be sent: .* datetime .*default=str"):
        Request("http://h/", json={"at": datetime.datetime(2020, 1, 1)})


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (
            {"timeout": datetime.timedelta(seconds=3)},
            r"^timeout is seconds .*: give its total_seconds\(\)",
        ),
        ({"timeout": (3, 5)}, "^timeout is seconds .*connect_timeout="),
        ({"auth": ("ann", None)}, r"two texts, not \(str, NoneType\)"),
        ({"headers": {"X": b"v"}}, r"header X has a value of type bytes, .*value.decode\(\)"),
        ({"headers": {"X": None}}, "header X has a value of type NoneType, .*leave it out"),
        ({"files": "f"}, "files are a mapping, or pairs of field name and file, not str"),
    ],
)
def test_values_as_other_clients_take_them_are_answered_with_ours(option, says: str):
    with pytest.raises(ValueError, match=says):
        Request("http://h/", **option)


@pytest.mark.parametrize(("name", "says"), [("gone", "is not there"), ("", "is a folder")])
async def test_a_file_of_a_form_that_cannot_be_read_is_named(web: Web, tmp_path, name, says):
    async with HTTPStream() as stream:
        with pytest.raises(ValueError, match=f"file 'f' of its form: .* {says}"):
            await stream.post(f"{web.http}/echo", files={"f": tmp_path / name})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (("n", b"x"), "FilePart(content, filename"),
        (io.BytesIO(b"x"), "file.read()"),
        ([b"x", b"y"], "files=[(name, file), (name, file)]"),
        ("a.txt", "of a path give pathlib.Path(path)"),
    ],
)
def test_a_file_as_other_clients_take_it_is_answered(content: object, says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        Request("http://h/", files={"f": content})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"auth": "ann:pw"}, "auth is (user, password), or credentials such as BearerAuth"),
        ({"retry": 3}, "retry is a policy such as Retry(stop=stop_after_attempt(3))"),
        ({"retry": Retry}, "not the class Retry"),
        ({"cache": True}, "cache is the path of its file, or an HTTPCache(...), not bool"),
        ({"replay": 5}, "replay is a HARReplay(...), or a function of requests, not int"),
        ({"breaker": 5}, "breaker is a CircuitBreaker()"),
        ({"timeout": "5"}, "timeout is seconds from 0"),
        ({"max_clients": "5"}, "max_clients is 1 or more, not '5'"),
        ({"defaults": 5}, "defaults is a mapping"),
    ],
)
def test_what_no_stream_can_work_with_is_refused_when_it_is_made(given, says: str):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}" if says[0] != "n" else says):
        HTTPStream(**given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"verify": False}, "HTTPStream has no verify=: it is defaults={'validate_cert': False}"),
        ({"proxy": "http://p"}, "it is of requests: defaults={'proxy': ...}"),
        ({"limit": 5}, "it is max_clients="),
        ({"nonsense": 1}, "unexpected keyword argument 'nonsense'"),
    ],
)
def test_arguments_of_other_clients_are_answered_by_a_stream(given: dict[str, object], says: str):
    with pytest.raises(TypeError, match=re.escape(says)):
        HTTPStream(**given)


async def test_a_link_that_is_taken_for_its_response_says_that_it_is_awaited(web: Web):
    async with HTTPStream() as stream:
        link = stream.get(web.http)
        with pytest.raises(AttributeError, match="a link has no status: await it"):
            _ = link.status
        with pytest.raises(TypeError, match=r"response = await stream\.get"):
            async with link:
                pass
        assert not hasattr(link, "nonsense")
        assert (await link).ok


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ({"a": 1}, "self.emit(item) hands on an item"),
        (FilePart(b"x"), "self.emit(item) hands on an item"),
        (Hop("u", 200, None), "self.emit(item) hands on an item"),
        ("http://h/", "a request alone has no reader"),
        (Request("http://h/"), "a request alone has no reader"),
    ],
)
def test_what_readers_of_scrapy_return_is_answered(result: object, says: str):
    with pytest.raises(LinkError, match=re.escape(says)):
        next_of(result, None)
