"""`http` and `shell`: one request with httpie's items, from and to curl."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
from servers.raw import raw_server
from servers.scripted import Asked, Say, Scripted, scripted

from cli.shell import line, run
from webqq_tornado import Request, Response
from webqq_tornado.cli.curl_command import curl_of, from_curl
from webqq_tornado.cli.http_items import Kind, OneShot, with_items
from webqq_tornado.cli.pretty import body_text, coloured
from webqq_tornado.engine.body import FilePart, Multipart

URL = "http://127.0.0.1/a"
JSON = "application/json"


def echo(asked: Asked) -> Say:
    seen = {
        "method": asked.method,
        "path": asked.path,
        "type": asked.headers["Content-Type"],
        "x": asked.headers["X-A"],
        "body": asked.body.decode(),
    }
    status = 404 if asked.path == "/none" else 200
    return Say(status, json.dumps(seen).encode(), {"Content-Type": "application/json"})


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with scripted(echo) as found:
        yield found


@pytest.mark.slow
async def test_items_become_query_headers_and_json(tmp_path: Path, server: Scripted):
    ended = await run(
        tmp_path, "http", "put", server.url + "/a", "q==a b", "X-A:1", "name=Ann", "age:=7"
    )
    assert ended.code == 0, ended.errors
    assert json.loads(ended.output) == {
        "method": "PUT",
        "path": "/a?q=a+b",
        "type": "application/json",
        "x": "1",
        "body": '{"name": "Ann", "age": 7}',
    }


@pytest.mark.slow
async def test_a_body_comes_from_a_file_and_makes_it_a_post(tmp_path: Path, server: Scripted):
    (tmp_path / "body").write_text("as it is")
    seen = json.loads((await run(tmp_path, "http", server.url, "@body")).output)
    assert (seen["method"], seen["body"]) == ("POST", "as it is")


@pytest.mark.slow
async def test_a_status_of_400_or_more_is_exit_code_1(tmp_path: Path, server: Scripted):
    ended = await run(tmp_path, "http", "--headers", f"{server.url}/none")
    assert (ended.code, ended.output.splitlines()[0]) == (1, "HTTP/1.1 404 X")


@pytest.mark.slow
async def test_details_show_the_request_without_its_secrets(tmp_path: Path, server: Scripted):
    ended = await run(tmp_path, "http", server.url, "Authorization:hush", "X-A:1", "--details")
    assert "X-A: 1" in ended.output
    assert "Authorization: ***" in ended.output
    assert "hush" not in ended.output + ended.errors


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_one_line(tmp_path: Path):
    ended = await run(tmp_path, "http", "127.0.0.1:1")
    assert ended.code == 1
    assert "127.0.0.1:1" in ended.error


@pytest.mark.slow
async def test_what_is_printed_as_curl_is_read_again(tmp_path: Path, server: Scripted):
    words = (server.url + "/a", "X-A:it's", "name=Ann")
    curl = (await run(tmp_path, "http", *words, "--as-curl")).output.strip()
    assert server.asked == []
    ended = await run(tmp_path, "http", "--from-curl", curl)
    assert ended.output == (await run(tmp_path, "http", *words)).output


@pytest.mark.slow
async def test_the_shell_has_the_response(tmp_path: Path, server: Scripted):
    text = f"echo 'print(response.status, fetch(response.url).status)' | $qq shell {server.url}"
    ended = await line(tmp_path, text, PYTHONPATH=_without_ipython(tmp_path))
    assert "200 200" in ended.output, ended.errors


def _without_ipython(folder: Path) -> str:
    (folder / "IPython.py").write_text("raise ImportError")
    return f"{folder}:{Path(__file__).parent.parent.parent}"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"curl {URL}", OneShot("", URL)),
        (f"curl -sSL --compressed {URL}", OneShot("", URL)),
        (f"curl -XDELETE -H 'X-A: 1' {URL}", OneShot("DELETE", URL, (("X-A", "1"),))),
        (f"curl -I {URL}", OneShot("HEAD", URL)),
        (f"curl -G -d a=1 -d b=2 {URL}", OneShot("", f"{URL}?a=1&b=2")),
        (
            f"curl {URL} \\\n -d a=1 --data-raw b=2",
            OneShot("", URL, (("Content-Type", "application/x-www-form-urlencoded"),), b"a=1&b=2"),
        ),
        (
            f"curl --json '{{}}' --url {URL}",
            OneShot("", URL, (("Accept", JSON), ("Content-Type", JSON)), b"{}"),
        ),
        (f"curl {URL} -d x --data-raw '@/etc/hostname' -H 'X-E;' -H 'Content-Type:'", OneShot(
            "", URL, (("X-E", ""),), b"x&@/etc/hostname"
        )),
        (f"curl {URL} -H 'Content-Type: a/b' --data-raw $'it\\'s\\n\\u0041\\x21'", OneShot(
            "", URL, (("Content-Type", "a/b"),), b"it's\nA!"
        )),
        (f"curl -G --data-urlencode 'q=a b&c' --data-urlencode '=d/e' {URL}?x=1#top", OneShot(
            "", f"{URL}?x=1&q=a+b%26c&d%2Fe#top"
        )),
        (f"curl --http2 -r 0-9 --oauth2-bearer t -H User-Agent: {URL}", OneShot(
            "", URL, (("Range", "bytes=0-9"), ("Authorization", "Bearer t")), None,
            {"http_version": "2", "user_agent": ""},
        )),
        (f"curl -u ann:pw {URL}", OneShot("", URL, (), None, {"auth": ("ann", "pw")})),
        (f"curl -k -m 3 {URL}", OneShot(
            "", URL, (), None, {"validate_cert": False, "request_timeout": 3.0}
        )),
    ],
)  # fmt: skip
def test_a_curl_command_is_read(command: str, expected: OneShot):
    assert from_curl(command) == expected


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (f"curl --hsts a {URL}", "--hsts is not known"),
        (f"curl -F 'a=1;type=text/plain' {URL}", "leave out ;type="),
        (f"curl -F a=1 -d b=2 {URL}", "without -d"),
        (f"curl -b jar.txt {URL}", "names a file"),
        (f"curl {URL} {URL}", "one URL, not 2"),
        ("curl", "one URL, not 0"),
        (f"curl '{URL}", "No closing quotation"),
        (f"curl {URL} -m soon", "max-time"),
    ],
)
def test_a_curl_command_that_cannot_be_read_says_why(command: str, why: str):
    with pytest.raises(click.UsageError, match=why):
        from_curl(command)


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (["name"], "give name==value"),
        (["age:=x"], "no JSON"),
        (["age:=NaN"], "NaN is no JSON"),
        (["a:={}", "a[b]=1", "a[0]=1"], "has made an object"),
        (["a[10000]=1"], "places up to 9999"),
        ([":secret"], "give name==value"),
        (["@/nowhere"], "nowhere"),
    ],
)
def test_an_item_that_is_none_is_refused(items: list[str], why: str):
    with pytest.raises(click.UsageError, match=why) as raised:
        with_items(OneShot("", URL), items)
    assert "secret" not in str(raised.value)


def test_a_form_is_one_if_it_is_asked_for():
    shot = with_items(OneShot("", URL), ["a=1 2", "b=é", "a:=true"], Kind(is_form=True))
    assert (shot.verb, shot.body) == ("POST", b"a=1+2&b=%C3%A9&a=true")


def test_files_make_a_form_in_parts(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"\0png")
    path = tmp_path / "a.png"
    shot = with_items(OneShot("", URL), ["t=1", f"p@{path}", f"p@{path};type=x/y"])
    first, second = FilePart(path, "a.png", "image/png"), FilePart(path, "a.png", "x/y")
    assert shot.body == Multipart((("t", "1"),), (("p", first), ("p", second)))


def test_a_body_from_a_file_has_the_type_of_its_name(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text("[1]")
    shot = with_items(OneShot("", URL), [f"@{path}"])
    assert (shot.body, shot.headers) == (path, (("Content-Type", "application/json"),))


def test_values_come_from_files(tmp_path: Path):
    path = tmp_path / "v"
    path.write_text("[1, 2]")
    items = [f"q==@{path}", f"X-A:@{path}", f"text=@{path}", f"json:=@{path}"]
    shot = with_items(OneShot("", URL), items)
    assert (shot.url, shot.headers[0]) == (f"{URL}?q=%5B1%2C+2%5D", ("X-A", "[1, 2]"))
    assert isinstance(shot.body, bytes)
    assert json.loads(shot.body) == {"text": "[1, 2]", "json": [1, 2]}


@pytest.mark.parametrize(
    ("items", "value"),
    [
        (["a[b][c]=1", "a[b][d]:=2"], {"a": {"b": {"c": "1", "d": 2}}}),
        (["a[]=1", "a[]=2", "a[3]=4"], {"a": ["1", "2", None, "4"]}),
        (["[]:=1", "[][x]=y"], [1, {"x": "y"}]),
        (["[k]=v", "a]b=1", "c\\:d=2"], {"k": "v", "a]b": "1", "c:d": "2"}),
    ],
)
def test_names_with_brackets_are_places_in_json(items: list[str], value: object):
    body = with_items(OneShot("", URL), items).body
    assert isinstance(body, bytes)
    assert json.loads(body) == value


def test_numbers_are_sent_as_they_were_typed():
    shot = with_items(
        OneShot("", URL), ["price:=1.10", "n:=123456789012345678901e9", "a[b]:=[0.10]"]
    )
    assert shot.body == b'{"price": 1.10, "n": 123456789012345678901e9, "a": {"b": [0.10]}}'


def test_headers_are_left_out_or_empty():
    begun = OneShot("", URL, (("X-A", "1"), ("X-B", "2")))
    shot = with_items(begun, ["x-a:", "X-E;", "User-Agent:"])
    assert shot.headers == (("X-B", "2"), ("X-E", ""))
    assert shot.options == {"user_agent": ""}


@pytest.mark.parametrize(
    "items",
    [
        ["q==a b", "X-A:it's", "X-E;", "name=Ann", "list[]:=1"],
        ["User-Agent:", "Accept-Encoding:", "p==[1]"],
        ["t=1", "t=<y", 'pic@a b,"c".png;type=x/y', "pic@plain.txt"],
        ["@plain.txt"],
        ["@no-type"],
    ],
)
def test_what_goes_to_curl_comes_back(
    items: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for name in ('a b,"c".png', "plain.txt", "no-type"):
        (tmp_path / name).write_text("content")
    for verb in ("", "PUT"):
        shot = with_items(OneShot(verb, URL), items)
        assert from_curl(curl_of(shot)) == shot._replace(method=shot.verb)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "items",
    [
        ["q==[a]", "X-A:it's", "X-E;", "name=Ann"],
        ["title=@plain.txt", "say=<x;type=y", 'pic@a b,"c".png;type=x/y', "--multipart"],
        ["@no-type"],
        ["HEAD"],
    ],
)
async def test_curl_sends_the_same(tmp_path: Path, items: list[str]):
    for name in ('a b,"c".png', "plain.txt", "no-type"):
        (tmp_path / name).write_text(f"content of {name}")
    async with scripted(lambda _: Say(200, b"")) as server:
        method = ["HEAD"] if items == ["HEAD"] else []
        words = (*method, f"{server.url}/a", *(item for item in items if item != "HEAD"))
        curl = (await run(tmp_path, "http", *words, "--as-curl")).output
        assert (await run(tmp_path, "http", *words)).code == 0
        assert (await line(tmp_path, curl)).code == 0
        ours, curls = (_without_boundary(asked) for asked in server.asked)
    assert ours == curls


def _without_boundary(asked: Asked) -> tuple[object, ...]:
    kind, _, boundary = asked.headers.get("Content-Type", "").partition("boundary=")
    body = asked.body.decode().replace(boundary or "\0", "")
    return asked.method, asked.path, kind, asked.headers["X-A"], asked.headers["X-E"], body


def _responding(body: bytes) -> Response:
    return Response(Request(URL), 200, URL, [b"Content-Type: application/json"], body)


def test_formatted_json_keeps_its_numbers_and_keys():
    body = b'{"a": 1.10, "a": 12345678901234567890123, "e": 1e999, "s": "1.5", "o": {}}'
    text = body_text(_responding(body), is_formatted=True)
    assert text.startswith('{\n  "a": 1.10,\n  "a": 12345678901234567890123,\n')
    assert " ".join(text.split()) == "{ " + body.decode()[1:-1] + " }"


def test_a_body_cannot_steer_the_terminal():
    shown = coloured('{"a": "\x1b[2J"}', "json")
    assert "\x1b" not in shown.plain
    assert len(shown.spans) > 1


@pytest.mark.slow
async def test_colours_are_for_terminals_and_who_asks(tmp_path: Path, server: Scripted):
    words = (server.url, "-b", "--pretty")
    assert "\x1b[" in (await run(tmp_path, "http", *words, "colors")).output
    formatted = (await run(tmp_path, "http", *words, "format")).output
    assert formatted.startswith('{\n  "method": "GET"')


@pytest.mark.slow
async def test_a_body_is_written_to_a_file(tmp_path: Path, server: Scripted):
    ended = await run(tmp_path, "http", server.url, "--raw", "[1]", "-o", "got.json")
    assert (ended.code, ended.output, ended.errors) == (0, "", "the body is in got.json\n")
    seen = json.loads((tmp_path / "got.json").read_text())
    assert (seen["body"], seen["type"]) == ("[1]", "application/json")


@pytest.mark.slow
async def test_a_body_goes_to_a_pipe_as_it_comes(tmp_path: Path):
    is_seen = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nfirst\n")
        await is_seen.wait()
        writer.write(b"last\n")
        writer.close()

    async with raw_server(serve) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "http", url),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"first\n"
        is_seen.set()
        assert await process.stdout.read() == b"last\n"
        assert await process.wait() == 0


@pytest.mark.slow
async def test_a_word_before_items_is_a_host_unless_it_is_a_method(tmp_path: Path):
    for words, curl in (
        (("localhost", "a==1"), "curl -X GET 'http://localhost?a=1'"),
        (("delete", "localhost", "a==1"), "curl -X DELETE 'http://localhost?a=1'"),
        (("PURGE", "localhost"), "curl -X PURGE http://localhost"),
    ):
        assert (await run(tmp_path, "http", *words, "--as-curl")).output == curl + "\n"


@pytest.mark.slow
async def test_a_body_goes_to_a_pipe_as_it_is_if_the_file_is_a_dash(tmp_path: Path):
    async with scripted(lambda _: Say(200, b'{"a":1}', {"Content-Type": JSON})) as server:
        ended = await run(tmp_path, "http", server.url, "--pretty", "all", "-o", "-")
    assert (ended.code, ended.output) == (0, '{"a":1}')
    assert not (tmp_path / "-").exists()


def test_a_curl_command_is_quoted():
    words = shlex.split(curl_of(OneShot("", URL, (("Content-Type", "it's"),), b'{"a": 1}')))
    said = "Content-Type: it's"
    assert words == ["curl", "-X", "POST", URL, "-H", said, "--data-raw", '{"a": 1}']
