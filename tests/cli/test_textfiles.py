"""What commands read: password files, lists, JSON and standard input, from any editor."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from servers.town import PASSWORD, Ear, Town

from webqq_tornado.cli.main import main
from webqq_tornado.cli.password_source import known_password
from webqq_tornado.cli.textfiles import standard_input
from webqq_tornado.protocol.models import FriendMessage

MARKED = ["utf-8-sig", "utf-16"]


@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_the_first_line_of_a_password_file_is_the_password(tmp_path: Path, encoding: str):
    path = tmp_path / "password"
    path.write_bytes("correct horse\r\nnot this\r\n".encode(encoding))
    assert known_password(path, None) == "correct horse"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "first line is empty"),
        (b"\nsecret", "first line is empty"),
        ("密码是什么".encode("gbk"), "GBK"),
        (b"\x00\x01", "binary"),
    ],
)
def test_a_password_file_without_a_password_is_named(tmp_path: Path, content: bytes, why: str):
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(click.ClickException, match=f"password file .*{why}"):
        known_password(path, None)


@pytest.mark.parametrize("encoding", MARKED)
def test_a_message_on_standard_input_has_no_mark_before_it(monkeypatch, encoding: str):
    raw = io.BytesIO("你好\r\n".encode(encoding))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    assert standard_input() == "你好\n"


def test_a_list_that_cannot_be_read_is_wrong_usage(tmp_path: Path):
    (tmp_path / "list").write_bytes("http://例子\n".encode("gbk"))
    for name, why in ((tmp_path / "list", "GBK"), (tmp_path, "a folder"), ("none", "no such")):
        result = CliRunner().invoke(main, ["mirror", str(name), str(tmp_path / "copies")])
        assert result.exit_code == 2
        assert why in result.output


def test_the_json_of_a_job_is_read_or_named(tmp_path: Path):
    (tmp_path / "job.json").write_bytes(b'{"a": ' + b"[" * 100_000)
    given = f"@{tmp_path / 'job.json'}"
    result = CliRunner().invoke(main, ["job", "http://127.0.0.1:1/", "--data", given])
    assert result.exit_code == 2
    assert "nested too deeply" in result.output


@pytest.mark.slow
async def test_a_file_of_notepad_is_a_password_and_a_message(tmp_path: Path):
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\r\n", encoding="utf-8-sig")
    async with Town() as town:
        bob, ear = town.client(town.bob)
        await bob.login()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webqq_tornado", "send", "Bob", "-"),
            *("--server", town.server.url, "--account", str(town.ann)),
            *("--state-dir", tmp_path / "state", "--password-file", password),
            stdin=subprocess.PIPE,
        )
        await process.communicate("你好\r\n".encode("utf-16"))
        assert process.returncode == 0
        assert isinstance(ear, Ear)
        assert (await ear.next(FriendMessage)).content.text == "你好"
