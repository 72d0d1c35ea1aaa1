"""`Response`, and what libcurl makes of an answer before: redirects, encodings, times."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers.raw import answer, raw_server, saying
from servers.web import Web

from webqq_tornado import (
    HTTPStream,
    ProtocolError,
    RedirectError,
    Request,
    Response,
    StatusError,
    StreamError,
)


async def _answered(raw: bytes, **defaults) -> Response:
    async with raw_server(saying(raw)) as url, HTTPStream(defaults=defaults) as stream:
        return await stream.fetch(url)


# -- as urlopen's file ----------------------------------------------------------------------


async def test_it_reads_like_the_file_that_urlopen_returns(web: Web):
    url = f"{web.http}/bytes/50"
    async with HTTPStream() as stream:
        ours = await stream.fetch(urllib.request.Request(url))
    loop = asyncio.get_running_loop()
    theirs = await loop.run_in_executor(None, urllib.request.urlopen, url)
    with ours, theirs:
        assert ours.read(10) == theirs.read(10)
        assert ours.read() == theirs.read()
        assert ours.read() == theirs.read() == b""
    assert (ours.status, ours.reason, ours.geturl()) == (200, "OK", theirs.geturl())
    assert (ours.getcode(), ours.version) == (theirs.getcode(), theirs.version)
    for header in ("content-type", "CONTENT-LENGTH", "Missing"):
        assert ours.info()[header] == theirs.info()[header]
        assert ours.getheader(header, "x") == theirs.getheader(header, "x")
    names = [name for name, _ in theirs.getheaders() if name != "Connection"]
    assert [name for name, _ in ours.getheaders()] == names


async def test_lines_are_read_like_those_of_a_file():
    response = await _answered(answer(b"one\ntwo\nthree"))
    assert response.readline() == b"one\n"
    assert list(response) == [b"two\n", b"three"]
    assert response.readlines() == []
    assert response.body == b"one\ntwo\nthree"


async def test_it_has_tornados_names_too(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/hops/1")
    assert (response.code, response.effective_url) == (200, f"{web.http}/hops/0")
    assert response.request_time > 0


# -- headers --------------------------------------------------------------------------------


async def test_headers_may_come_twice_and_in_any_case():
    response = await _answered(answer(b"", b"X-A: 1", b"x-a: 2", b"X-Empty:", b"X-L: \xe9"))
    assert response.headers.get_all("X-A") == ["1", "2"]
    assert response.getheader("x-A") == "1, 2"
    assert response.headers["X-Empty"] == ""
    assert response.headers["X-L"] == "é"


async def test_more_than_a_hundred_headers_are_fine():
    lines = [b"X-%d: %d" % (n, n) for n in range(300)]
    response = await _answered(answer(b"", *lines))
    assert response.headers["X-299"] == "299"


async def test_interim_answers_are_passed_over():
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    response = await _answered(interim + answer(b"body", b"X-A: b"))
    assert (response.status, response.body) == (200, b"body")
    assert "Link" not in response.headers
    assert response.history == []


async def test_blanks_around_the_colon_are_no_part_of_a_header():
    raw = b"HTTP/1.1 200 OK\r\nX-A \t:\tb \r\nX-B:c\r\nX-C:\r\nContent-Length: 0\r\n\r\n"
    response = await _answered(raw)
    assert response.headers.items()[:3] == [("X-A", "b"), ("X-B", "c"), ("X-C", "")]


async def test_trailers_leave_the_headers_as_they_are():
    response = await _answered(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\nTrailer: X-T\r\n\r\n"
        b"4\r\nbody\r\n0\r\nX-T: late\r\n\r\n"
    )
    assert (response.status, response.reason, response.version) == (200, "OK", 11)
    assert (response.body, response.headers["X-A"]) == (b"body", "b")
    assert response.history == []
    assert response.headers["X-T"] is None
    assert response.trailers["X-T"] == "late"


async def test_a_trailer_is_no_header_and_no_status_line():
    late = b"Content-Type: text/html\r\nHTTP/2: x\r\nLocation: /b\r\nETag: 1\r\n"
    response = await _answered(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
        b"4\r\nbody\r\n0\r\n" + late + b"\r\n"
    )
    assert response.headers.items() == [
        ("Transfer-Encoding", "chunked"),
        ("Content-Type", "text/plain"),
    ]
    assert response.trailers.keys() == ["Content-Type", "HTTP/2", "Location", "ETag"]
    assert response.reason == "OK"


async def test_a_folded_header_is_one():
    response = await _answered(answer(b"", b"X-A: one\r\n  two", b"X-B: c"))
    assert response.headers["X-A"].split() == ["one", "two"]
    assert response.headers["X-B"] == "c"


async def test_an_answer_without_a_reason_has_an_empty_one():
    response = await _answered(answer(b"", status=b"204"))
    assert (response.status, response.reason) == (204, "")


async def test_an_answer_of_http_1_0_ends_with_its_connection():
    response = await _answered(b"HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nuntil the end")
    assert (response.version, response.body) == (10, b"until the end")


async def test_a_header_whose_name_looks_like_a_status_line_is_a_header():
    response = await _answered(answer(b"body", b"X-A: b", b"HTTP/2: yes", b"X-C: d"))
    assert (response.version, response.reason) == (11, "OK")
    assert (response.headers["X-A"], response.headers["X-C"]) == ("b", "d")


@given(st.binary(max_size=30), st.lists(st.binary(max_size=20), max_size=4))
def test_any_header_lines_can_be_looked_at(reason, lines):
    lines = [b"HTTP/1.1 200 " + reason + b"\r\n"] + [line + b"\r\n" for line in lines]
    response = Response(Request("http://127.0.0.1/"), 200, "http://127.0.0.1/", lines, b"")
    assert isinstance(response.reason, str)
    assert isinstance(response.version, int)
    assert response.history == [] or response.history
    assert response.headers is response.headers
    assert response.text == ""


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 200 OK OK"])
async def test_status_lines_that_libcurl_takes_can_be_looked_at(line):
    try:
        response = await _answered(line + b"\r\nContent-Length: 2\r\n\r\nok")
    except StreamError:
        return
    assert response.status == 200
    assert response.version == 11
    assert isinstance(response.reason, str)


# -- body -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (b"text/plain; charset=gbk", "名".encode("gbk"), "名"),
        (b"text/plain", "名".encode(), "名"),
        (b"text/plain; charset=no-such", "名".encode(), "名"),
        (b"text/plain; charset=hex", b"abc", "abc"),
        (b"text/plain; charset=idna", b"abc", "abc"),
        (b"text/plain; charset=\xff", b"abc", "abc"),
        (b"text/plain; charset=ascii", b"a\xff", "aÿ"),  # windows-1252, to the web
        (b"text/plain; charset=gb2312", "镕€喆".encode("gb18030"), "镕€喆"),
        (b"text/plain; charset=utf-7", b"+ADw-script+AD4-", "+ADw-script+AD4-"),
        (b"text/plain; charset=gbk", "\ufeff名".encode(), "名"),  # the mark counts more
        (b"text/plain", b"\xff\xfea\0", "a"),
    ],
)
async def test_text_is_decoded_as_the_server_says_or_as_utf_8(kind, body, text):
    response = await _answered(answer(body, b"Content-Type: " + kind))
    assert response.text == text


async def test_the_last_content_type_that_says_a_charset_counts():
    lines = [b"Content-Type: text/html; charset=%s" % name for name in (b"koi8-r", b'"GBK"')]
    response = await _answered(answer("名".encode("gbk"), *lines, b"Content-Type: text/html"))
    assert response.text == "名"


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b"<html><title>Bad Gateway", b"text/html", "text/html.*'<html><title>Bad"),
        (b"", b"application/json", "the body is empty"),
        (b"[" * 100_000, b"application/json", "nested too deeply"),
        (b'{"a": \xff}', b"application/json", "can't decode byte"),
        (b"[" + b"9" * 5000 + b"]", b"application/json", "digits"),
    ],
)
async def test_what_is_not_json_is_told_with_address_type_and_how_it_begins(body, kind, why):
    response = await _answered(answer(body, b"Content-Type: " + kind))
    with pytest.raises(json.JSONDecodeError, match=f"GET {response.url}: .*{why}"):
        response.json()


async def test_json_in_another_charset_is_read_if_that_is_declared():
    body = '{"名": 1}'.encode("gbk")
    declared = b"Content-Type: application/json; charset=gb2312"
    assert (await _answered(answer(body, declared))).json() == {"名": 1}
    with pytest.raises(json.JSONDecodeError):
        (await _answered(answer(body))).json()


async def test_json_is_read_and_what_is_none_is_a_value_error():
    assert (await _answered(answer('{"名": [1]}'.encode()))).json() == {"名": [1]}
    with pytest.raises(ValueError, match="column"):
        (await _answered(answer(b"{nonsense"))).json()


@pytest.mark.parametrize("how", ["gzip", "br"])
async def test_an_encoded_body_is_decoded(web: Web, how):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/encoded/{how}")
    assert response.body == b"hello world"
    assert how in response.headers["X-Asked"]


async def test_an_encoded_body_is_left_alone_when_asked_to(web: Web):
    request = Request(f"{web.http}/encoded/gzip", decompress_response=False)
    async with HTTPStream(max_clients=1) as stream:
        await stream.fetch(f"{web.http}/encoded/gzip")
        response = await stream.fetch(request)
    assert response.body.startswith(b"\x1f\x8b")
    assert response.headers["X-Asked"] == ""


async def test_a_corrupt_encoding_is_a_protocol_error(web: Web):
    async with HTTPStream() as stream:
        with pytest.raises(ProtocolError):
            await stream.fetch(f"{web.http}/encoded/corrupt")


@pytest.mark.parametrize("how", ["", "?chunked=1"])
async def test_a_big_body_arrives_whole(web: Web, how):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/bytes/5000000{how}")
    assert len(response.body) == 5_000_000
    assert response.body[:32] == response.body[-64:-32] == b"0123456789abcdef" * 2


async def test_the_body_of_one_response_is_not_part_of_the_next(web: Web):
    async with HTTPStream(max_clients=1) as stream:
        first = await stream.fetch(f"{web.http}/bytes/100")
        await stream.add_request(f"{web.http}/bytes/200", None)
        third = await stream.fetch(f"{web.http}/bytes/300")
        with pytest.raises(StreamError):
            await stream.fetch(Request(f"{web.http}/bytes/400", max_body_size=10))
        last = await stream.fetch(f"{web.http}/bytes/500")
    assert [len(r.body) for r in (first, third, last)] == [100, 300, 500]
    assert first.headers["Content-Length"] == "100"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(web: Web, status):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/status/{status}")
    assert (response.status, response.body) == (status, b"")


# -- redirects ------------------------------------------------------------------------------


def _redirect(web: Web, to: str, status: int = 302) -> str:
    return f"{web.http}/redirect?status={status}&to={to}"


async def test_redirects_are_followed_and_remembered(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(f"{web.http}/hops/3")
    assert (response.status, response.body, response.url) == (
        200, b"arrived", f"{web.http}/hops/0",
    )  # fmt: skip
    assert [(hop.url, hop.status) for hop in response.history] == [
        (f"{web.http}/hops/{n}", 302) for n in (3, 2, 1)
    ]
    assert response.history[0].headers["Location"] == "/hops/2"
    assert response.request.url == f"{web.http}/hops/3"


async def test_redirects_are_not_followed_when_told_so(web: Web):
    async with HTTPStream() as stream:
        response = await stream.fetch(Request(f"{web.http}/hops/3", follow_redirects=False))
    assert (response.status, response.history) == (302, [])
    assert response.url == f"{web.http}/hops/3"


@pytest.mark.parametrize(("hops", "limit"), [(3, 2), (1, 0), (11, 10)])
async def test_too_many_redirects_are_an_error(web: Web, hops, limit):
    async with HTTPStream(defaults={"max_redirects": limit}) as stream:
        assert (await stream.fetch(f"{web.http}/hops/{limit}")).status == 200
        with pytest.raises(RedirectError, match="max_redirects"):
            await stream.fetch(f"{web.http}/hops/{hops}")


METHODS = [
    ("POST", 301, "GET"),
    ("POST", 302, "GET"),
    ("POST", 303, "GET"),
    ("POST", 307, "POST"),
    ("POST", 308, "POST"),
    ("PUT", 301, "PUT"),
    ("PUT", 302, "PUT"),
    ("PUT", 303, "GET"),
    ("PUT", 307, "PUT"),
    ("DELETE", 303, "GET"),
    ("DELETE", 307, "DELETE"),
    ("HEAD", 302, "HEAD"),
    ("HEAD", 303, "HEAD"),
]


@pytest.mark.parametrize(("method", "status", "then"), METHODS)
async def test_the_method_after_a_redirect(web: Web, method, status, then):
    body = b"body" if method in ("POST", "PUT") else None
    async with HTTPStream() as stream:
        request = Request(_redirect(web, "/echo", status), method, body=body)
        response = await stream.fetch(request)
    assert response.headers["X-Method"] == then
    if then != "HEAD":
        assert response.json()["body"] == ("body" if then == method and body else "")


CREDENTIALS = [
    {"headers": {"Authorization": "Bearer swordfish"}},
    {"headers": {"Cookie": "a=swordfish"}},
    {"auth_username": "me", "auth_password": "swordfish"},
]


@pytest.mark.parametrize("credentials", CREDENTIALS, ids=["header", "cookie", "login"])
async def test_credentials_do_not_pass_to_another_origin(web: Web, credentials):
    async with HTTPStream() as stream:
        here = await stream.fetch(Request(_redirect(web, "/echo"), **credentials))
        request = Request(_redirect(web, f"{web.other}/echo"), **credentials)
        there = await stream.fetch(request)
    names = {"Authorization", "Cookie"}
    assert names & dict(here.json()["headers"]).keys()
    assert not names & dict(there.json()["headers"]).keys()


async def test_the_login_of_a_url_does_not_pass_to_another_origin(web: Web):
    url = _redirect(web, f"{web.other}/echo").replace("//", "//me:swordfish@", 1)
    async with HTTPStream() as stream:
        told = (await stream.fetch(url)).json()
    assert "Authorization" not in dict(told["headers"])


async def test_a_multipart_body_is_sent_again_after_307(web: Web):
    async with HTTPStream() as stream:
        url = _redirect(web, "/form", 307)
        request = stream.make_post_request(url, {"a": 1}, files={"f": b"file"})
        told = (await stream.fetch(request)).json()
    assert (told["fields"], told["files"][0][3]) == ([["a", "1"]], "file")


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
async def test_a_redirect_to_another_scheme_is_refused(web: Web, to):
    async with HTTPStream() as stream:
        with pytest.raises(RedirectError):
            await stream.fetch(_redirect(web, to))


async def test_a_redirect_outside_ascii_is_followed(web: Web):
    async def handler(reader, writer):
        line = await reader.readuntil(b"\r\n\r\n")
        moved = answer(b"", "Location: /名 x".encode(), status=b"302 Found")
        writer.write(moved if line.startswith(b"GET / ") else answer(line.split(b"\r")[0]))
        await writer.drain()

    async with raw_server(handler) as url, HTTPStream() as stream:
        response = await stream.fetch(url)
    assert response.body == b"GET /%E5%90%8D%20x HTTP/1.1"
    assert response.url.endswith("/%E5%90%8D%20x")
    assert len(response.history) == 1


async def test_a_loop_of_redirects_ends(web: Web):
    async with raw_server(_forever) as url, HTTPStream() as stream:
        with pytest.raises(RedirectError):
            await stream.fetch(url)


async def _forever(reader, writer):
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(b"", b"Location: /", status=b"302 Found"))


# -- times ----------------------------------------------------------------------------------


async def test_times_are_told_by_phase(web: Web):
    async with HTTPStream() as stream:
        first = (await stream.fetch(web.http)).time_info
        second = (await stream.fetch(web.http)).time_info
    assert 0 < first["connect"] <= first["pretransfer"] <= first["starttransfer"] <= first["total"]
    assert second["connect"] == 0
    assert 0 < second["total"] < 1
    assert second["redirect"] == 0


def test_it_shows_no_secret():
    url = "http://me:pw@h/?token=abc"
    response = Response(Request(url), 200, url, [b"HTTP/1.1 200 OK\r\n"], b"secret")
    assert repr(response) == "<Response 200 http://h/?token=... 6 bytes>"


@pytest.mark.parametrize(("status", "ok"), [(200, True), (399, True), (400, False), (503, False)])
def test_ok_is_a_status_below_400(status, ok):
    assert Response(Request("http://a.example/"), status, "http://a.example/", [], b"").ok is ok


async def test_raise_for_status_raises_an_error_that_names_all(web: Web):
    async with HTTPStream() as stream:
        response = await stream.get(f"{web.http}/status/503")
        with pytest.raises(StatusError) as caught:
            response.raise_for_status()
        assert caught.value.response is response
        assert caught.value.request is response.request
        assert str(caught.value).startswith(f"GET {web.http}/status/503: status 503 ")
        good = await stream.get(f"{web.http}/echo")
        assert good.raise_for_status() is good


async def test_what_raise_for_status_raises_goes_to_the_errback(web: Web):
    errors = []
    async with HTTPStream() as stream:
        await stream.add_request(
            f"{web.http}/status/404", lambda r: r.raise_for_status(), errback=errors.append
        )
    assert [error.response.status for error in errors] == [404]


def test_follow_makes_a_link_relative_to_the_response():
    response = Response(Request("http://a.example/"), 200, "http://a.example/list/1", [], b"")
    link = response.follow("2?x#top", print, method="POST", json={}, data={"n": 2}, delay=3)
    assert (link.request.url, link.request.method) == ("http://a.example/list/2?x#top", "POST")
    assert (link.readback, link.delay, link.data) == (print, 3, {"n": 2})


@pytest.mark.parametrize(
    ("name", "ours"), [("status_code", "status"), ("content", "body"), ("is_success", "ok")]
)
def test_names_of_other_clients_are_answered_with_ours(name, ours):
    response = Response(Request("http://a.example/"), 200, "http://a.example/", [], b"")
    with pytest.raises(AttributeError, match=rf"no attribute '{name}': it is \.{ours}"):
        getattr(response, name)
    with pytest.raises(AttributeError, match=r"no attribute 'jason'$"):
        _ = response.jason


@pytest.mark.parametrize("line", [b" X-A: 1", b"\tX-A: 1", b": 1"])
async def test_a_line_that_is_no_header_is_none(line: bytes):
    response = await _answered(b"HTTP/1.1 200 OK\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok")
    assert response.headers.items() == [("Content-Length", "2")]
    assert response.text == "ok"
