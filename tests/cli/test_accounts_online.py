"""Several accounts in one process: a bot for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.town import PASSWORD, Town

from cli.test_main import command, failure
from webqq_tornado.protocol.models import FriendMessage, GroupMessage

pytestmark = pytest.mark.slow


def tables(path: Path, *accounts: str) -> tuple[str, str]:
    """A TOML file with [[accounts]]."""
    path.write_text("".join(f"[[accounts]]\n{lines}\n" for lines in accounts))
    return "--config", str(path)


async def test_each_account_has_a_bot(tmp_path):
    async with Town() as town:
        options = ("--server", town.server.url)
        accounts = ("--account", str(town.bob), "--account", str(town.eve))
        async with command(tmp_path, *options, *accounts, WEBQQ_PASSWORD=PASSWORD) as running:
            await running.until(r"10002 \(Bob\) is online")
            await running.until(r"10003 \(Eve\) is online")
            ann, ear = town.client(town.ann)
            await ann.login()
            ann.send(ann.find("Square"), "!ping")
            heard = {(await ear.next(GroupMessage)).sender for _ in range(2)}
            assert len(heard) == 2
            assert await running.end() == 0


async def test_tables_give_each_account_its_own_password_and_plugin(tmp_path):
    plugin = tmp_path / "hello.py"
    plugin.write_text("@bot.on_message(text='^hi')\ndef f(m): m.reply('hello')\n")
    async with Town() as town:
        config = tables(
            tmp_path / "webqq.toml",
            f'account = {town.bob}\npassword = "{PASSWORD}"\nserver = "{town.server.url}"\n'
            f'plugin = "{plugin}"',
            f'account = {town.eve}\npassword = "{PASSWORD}"\nserver = "{town.server.url}"',
        )
        async with command(tmp_path, *config) as running:
            await running.until(r"10003 \(Eve\) is online")
            ann, ear = town.client(town.ann)
            await ann.login()
            ann.send(ann.find("Bob"), "hi")
            assert (await ear.next(FriendMessage)).content.text == "hello"
            assert await running.end() == 0


async def test_what_waited_for_the_bots_is_handled_and_that_they_are_online_is_told(tmp_path):
    plugin = tmp_path / "hello.py"
    plugin.write_text(
        "@bot.on_event('online')\ndef f(event):\n"
        "    bot.client.send(bot.client.find('Ann'), 'here I am')\n"
    )
    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        for text in ("ping", "echo one"):
            await ann.send(ann.find("Bob"), text)
        config = tables(
            tmp_path / "webqq.toml",
            f'account = {town.bob}\npassword = "{PASSWORD}"\nplugin = "{plugin}"',
            f'account = {town.eve}\npassword = "{PASSWORD}"',
        )
        options = ("--server", town.server.url, "--at-most-once")
        async with command(tmp_path, *config, *options) as running:
            heard = [(await ear.next(FriendMessage)).content.text for _ in range(3)]
            assert heard == ["here I am", "pong", "one"]
            assert await running.end() == 0


async def test_one_wrong_password_leaves_the_others_online(tmp_path):
    async with Town() as town:
        config = tables(
            tmp_path / "webqq.toml",
            f'account = {town.bob}\npassword = "wrong"',
            f'account = {town.eve}\npassword = "{PASSWORD}"',
        )
        async with command(tmp_path, *config, "--server", town.server.url) as running:
            await running.until(r"10003 \(Eve\) is online")
            assert "10002 is not online: wrong password" in running.output
            assert await running.end() == 0


async def test_accounts_without_a_server_are_not_passed_over(tmp_path):
    errors = await failure(tmp_path, *tables(tmp_path / "webqq.toml", "account = 10001"))
    assert "give --server URL too: where to log in" in errors


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("acount = 1", "[[accounts]] has an unknown key 'acount'; known are account, server"),
        ('account = "1"', "account is to be a number"),
        ('password = "x"', "give account = N, qr = true, or onebot = URL, in each"),
        ("account = 0", "give account = N, qr = true, or onebot = URL, in each"),
        ("account = -5", "give account = N, qr = true, or onebot = URL, in each"),
    ],
)
async def test_a_wrong_table_is_told_in_one_line(tmp_path, lines, says):
    errors = await failure(tmp_path, *tables(tmp_path / "webqq.toml", lines))
    assert says in errors
    assert errors.count("\n") == 1
