"""Headers that say where a message ends and who it is for: a caller's may not lie about it."""

from __future__ import annotations

import io

import pytest
from servers.raw import answer, raw_server
from servers.scripted import Say, scripted
from servers.web import Web

from webqq_tornado import FilePart, HTTPStream, Multipart, ProxyError, Request, StreamError

URL = "http://127.0.0.1/"
WRONG = {
    "shorter": ({"Content-Length": "3"}, b"four"),
    "longer": ({"content-length": "100"}, b"four"),
    "of no body": ({"Content-Length": "4"}, None),
    "no number": ({"Content-Length": "abc"}, b"four"),
    "negative": ({"Content-Length": "-4"}, b"four"),
    "signed": ({"Content-Length": "+4"}, b"four"),
    "empty": ({"Content-Length": ""}, b""),
    "of other digits": ({"Content-Length": "٤"}, b"four"),
    "a list": ({"Content-Length": "4, 4"}, b"four"),
    "two lengths": ([("Content-Length", "4"), ("content-length", "5")], b"four"),
    "both": ({"Content-Length": "4", "Transfer-Encoding": "chunked"}, b"four"),
    "coding": ({"Transfer-Encoding": "gzip"}, b"four"),
    "codings": ({"Transfer-Encoding": "gzip, chunked"}, b"four"),
    "two codings": ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], b"four"),
    "coding of no body": ({"Transfer-Encoding": "chunked"}, None),
    "two hosts": ([("Host", "a"), ("host", "a")], None),
    "host": ({"Host": "a\u200db"}, None),
    "json": ({"Content-Type": "application/json"}, Multipart({"a": "b"})),
}


@pytest.mark.parametrize("which", WRONG)
def test_a_header_that_lies_about_the_message_is_refused(which):
    headers, body = WRONG[which]
    with pytest.raises(ValueError, match=r"(?i)Content-Length|Transfer-Encoding|Host|Type"):
        Request(URL, "POST", headers, body)


async def test_a_content_length_of_a_source_has_to_agree_with_its_size():
    with pytest.raises(ValueError, match="says 4, and the body has 5"):
        Request(URL, "POST", {"Content-Length": "4"}, iter([b"four"]), body_size=5)


@pytest.mark.parametrize(
    "body",
    [b"four", "four", [b"fo", b"ur"], io.BytesIO(b"four")],
    ids=lambda one: type(one).__name__,
)
async def test_a_content_length_that_is_right_is_said_once(body):
    async with scripted(lambda asked: Say(200, asked.body)) as server, HTTPStream() as stream:
        headers = [("Content-Length", "4"), ("content-length", "4"), ("X-A", "1")]
        response = await stream.fetch(Request(server.url, "POST", headers, body))
    assert server.asked[0].headers.get_all("Content-Length") == ["4"]
    assert (response.body, server.asked[0].headers["X-A"]) == (b"four", "1")


async def _pieces():
    yield b"four"


@pytest.mark.parametrize("length", [3, 5])
@pytest.mark.parametrize("kind", ["path", "file", "iterator", "generator", "function"])
async def test_a_content_length_that_a_source_does_not_have_is_an_error(tmp_path, kind, length):
    path = tmp_path / "four.txt"
    path.write_bytes(b"four")
    with path.open("rb") as file:
        bodies = {"path": path, "file": file, "iterator": iter([b"four"]), "generator": _pieces()}
        body = bodies.get(kind, lambda: iter([b"four"]))
        async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
            headers = {"Content-Length": str(length)}
            with pytest.raises((ValueError, StreamError), match=r"bytes"):
                await stream.fetch(Request(server.url, "POST", headers, body))
    assert not server.asked


def test_a_request_with_a_content_length_can_get_another_body():
    made = Request(URL, "POST", {"Content-Length": "4"}, b"four")
    assert made.replace(body=b"seven").body == b"seven"


async def test_a_body_may_be_sent_chunked(web: Web):
    heard = []

    async def handler(reader, writer):
        heard.append(await reader.readuntil(b"\r\n0\r\n\r\n"))
        writer.write(answer())
        await writer.drain()

    async with raw_server(handler) as url, HTTPStream() as stream:
        await stream.fetch(Request(url, "PUT", {"Transfer-Encoding": "Chunked"}, b"four"))
    assert b"Content-Length" not in heard[0]
    assert heard[0].endswith(b"\r\n\r\n4\r\nfour\r\n0\r\n\r\n")


async def test_a_host_outside_ascii_in_a_header_has_its_idna_form():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, headers={"Host": "bücher.example:80"}))
    assert server.asked[0].headers["Host"] == "xn--bcher-kva.example:80"


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ("multipart/form-data", "multipart/form-data; boundary="),
        ("Multipart/Form-Data; boundary=mine", "Multipart/Form-Data; boundary=--"),
        ('multipart/mixed; boundary="a b"; x=y', 'multipart/mixed; x="y"; boundary='),
    ],
)
async def test_the_boundary_of_a_multipart_body_is_the_one_that_is_in_it(given, start):
    body = Multipart({"a": "b"}, {"f": FilePart(b"x")})
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, headers={"Content-Type": given}, body=body))
    said = server.asked[0].headers["Content-Type"]
    assert said.startswith(start)
    assert said.count("boundary") == 1
    assert server.asked[0].body.startswith(b"--" + said.partition("boundary=")[2].encode())


# -- proxies --------------------------------------------------------------------------------


LOGIN = "Basic d2Fsa2VyOm9wZW4="


async def test_what_is_for_the_proxy_is_not_for_the_server():
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        await stream.fetch(Request(server.url, headers={"proxy-authorization": LOGIN}))
    assert "Proxy-Authorization" not in server.asked[0].headers


async def test_what_is_for_the_proxy_comes_to_the_proxy():
    request = Request(
        "http://web.test/",
        headers={"Proxy-Authorization": LOGIN, "X-A": "1"},
        proxy_headers={"X-B": "2", "Proxy-Authorization": "other"},
    )
    async with scripted(lambda asked: Say()) as proxy, HTTPStream() as stream:
        await stream.fetch(request.replace(proxy=proxy.url))
    headers = proxy.asked[0].headers
    assert headers.get_all("Proxy-Authorization") == [LOGIN]
    assert (headers["X-A"], headers["X-B"]) == ("1", "2")


async def test_in_a_tunnel_what_is_for_the_proxy_is_not_for_the_server(web: Web):
    heads = []

    async def proxy(reader, writer):
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"", status=b"407 Proxy Authentication Required"))
        await writer.drain()

    headers = {"Proxy-Authorization": LOGIN, "Authorization": "Bearer t"}
    async with raw_server(proxy) as url, HTTPStream() as stream:
        with pytest.raises(ProxyError):
            await stream.fetch(Request("https://web.test/", headers=headers, proxy=url))
    assert f"Proxy-Authorization: {LOGIN}".encode() in heads[0]
    assert b"Bearer" not in heads[0]


# -- cookies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([("Cookie", "mine=1")], "jar=2; mine=1"),
        ([("cookie", "a=1;"), ("Cookie", " b=2 ")], "jar=2; a=1; b=2"),
        ([("Cookie", "jar=1")], "jar=2; jar=1"),
        ([("Cookie", "")], "jar=2"),
        ([("Cookie", "名=é")], "jar=2; 名=é"),
    ],
)
async def test_there_is_one_line_of_cookies(given, line):
    async with scripted(lambda asked: Say()) as server, HTTPStream() as stream:
        stream.cookiejar.set("jar", "2", domain="127.0.0.1")
        await stream.fetch(Request(server.url, headers=given))
        await stream.fetch(server.url)
    (first,) = server.asked[0].headers.get_all("Cookie")
    assert first.encode("latin-1").decode() == line
    assert server.asked[1].headers.get_all("Cookie") == ["jar=2"]


async def test_a_cookie_header_does_not_cross_to_another_host():
    def script(asked):
        return Say(302, headers={"Location": other.url}) if asked.path == "/" else Say()

    async with scripted(lambda asked: Say()) as other, scripted(script) as server:
        there = other.url.replace("127.0.0.1", "localhost")
        async with HTTPStream() as stream:
            other.url = there
            request = Request(server.url, headers={"Cookie": "mine=1"}, ip_version=4)
            await stream.fetch(request)
    assert server.asked[0].headers["Cookie"] == "mine=1"
    assert "Cookie" not in other.asked[0].headers
