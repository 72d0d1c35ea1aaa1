"""`python -m webqq_tornado password`, as a process against a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from servers.town import PASSWORD

from cli.test_account import shell
from webqq_tornado.lockfile import LockFile

pytestmark = pytest.mark.slow


def _file(tmp_path: Path, password: str) -> str:
    path = tmp_path / "new"
    path.write_text(f"{password}\n", encoding="utf-8")
    return str(path)


async def test_it_changes_the_password_and_ends_the_session_that_is_kept(tmp_path: Path) -> None:
    async with shell(tmp_path) as one:
        await one.run("login")
        file = _file(tmp_path, "another horse")
        said = await one.run("password", "--new-password-file", file)
        assert said == "The password of Ann (10001) is changed.\n"
        assert "wrong password" in await one.run("send", "Bob", "hello", code=1)
        await one.run("send", "Bob", "hello", WEBQQ_PASSWORD="another horse")


async def test_the_password_that_the_first_start_has_kept_is_the_new_one(tmp_path: Path) -> None:
    async with shell(tmp_path) as one:
        one.state.mkdir()
        user = {"account": one.town.ann, "password": PASSWORD, "nick": "Ann"}
        bot = {"account": one.town.bob, "password": PASSWORD, "nick": "Bob"}
        path = one.state / "accounts.json"
        path.write_text(json.dumps({"bot": bot, "user": user}), encoding="utf-8")
        lock = LockFile(one.state / "server.lock")
        lock.say(one.town.server.url)
        file = _file(tmp_path, "another horse")
        nothing = {"WEBQQ_PASSWORD": "", "WEBQQ_SERVER": "", "WEBQQ_ACCOUNT": ""}
        await one.run("password", "--new-password-file", file, **nothing)
        assert json.loads(path.read_text()) == {
            "bot": bot,
            "user": {**user, "password": "another horse"},
        }
        assert path.stat().st_mode & 0o777 == 0o600
        lock.release()


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("short", "A password has 8 to 128 characters"),
        (PASSWORD, "The new password is the same as the current one"),
    ],
)
async def test_a_password_that_cannot_be_is_told_why(tmp_path: Path, new: str, said: str) -> None:
    async with shell(tmp_path) as one:
        file = _file(tmp_path, new)
        assert said in await one.run("password", "--new-password-file", file, code=1)


async def test_without_a_terminal_it_says_where_the_new_one_comes_from(tmp_path: Path) -> None:
    async with shell(tmp_path) as one:
        assert "give --new-password-file" in await one.run("password", code=1)


async def test_it_signs_out_everywhere(tmp_path: Path) -> None:
    async with shell(tmp_path) as one:
        await one.run("login")
        said = await one.run("password", "--sign-out-everywhere")
        assert said == "Ann (10001) is signed out everywhere.\n"
        said = await one.run("send", "Bob", "hello", code=1, WEBQQ_PASSWORD="")
        assert said.startswith("Error: no password")
