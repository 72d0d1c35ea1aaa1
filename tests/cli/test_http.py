"""`http` and `shell`: one request with httpie's items, from and to curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest
from cli.shell import line, run
from servers.scripted import Asked, Say, Scripted, scripted

from webqq_tornado.cli.http_items import OneShot, curl_of, from_curl, with_items

URL = "http://127.0.0.1/a"


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
            OneShot("", URL, (("Content-Type", "application/json"),), b"{}"),
        ),
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
        (f"curl --form a=1 {URL}", "--form is not known"),
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
        ([":secret"], "give name==value"),
        (["@/nowhere"], "nowhere"),
    ],
)
def test_an_item_that_is_none_is_refused(items: list[str], why: str):
    with pytest.raises(click.UsageError, match=why) as raised:
        with_items(OneShot("", URL), items)
    assert "secret" not in str(raised.value)


def test_a_form_is_one_if_it_is_asked_for():
    shot = with_items(OneShot("", URL), ["a=1 2", "b=é"], is_form=True)
    assert (shot.verb, shot.body) == ("POST", b"a=1+2&b=%C3%A9")


def test_a_curl_command_is_quoted():
    words = shlex.split(curl_of(OneShot("", URL, (("X-A", "it's"),), b'{"a": 1}')))
    assert words == ["curl", "-X", "POST", URL, "-H", "X-A: it's", "--data-raw", '{"a": 1}']
