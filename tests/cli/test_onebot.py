"""Bots for accounts of today's QQ, from the command line, and a look at an implementation."""

from __future__ import annotations

import json
import socket

import pytest
from servers.onebot import ANN, SQUARE, Implementation
from servers.town import PASSWORD, Town
from waiting import until

from cli.shell import run
from cli.test_main import command

pytestmark = pytest.mark.slow


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "hello.py"
    path.write_text("@bot.on_message(text='^hi')\ndef f(m): m.reply(f'hello {m.sender}')\n")
    return path


def token_file(folder, token: str = "secret"):
    path = folder / "token"
    path.write_text(f"{token}\n")
    return path


async def test_a_plugin_answers_by_onebot(tmp_path, plugin):
    async with Implementation("secret") as here:
        options = ("--onebot", here.ws, "--token-file", str(token_file(tmp_path)))
        async with command(tmp_path, *options, "--plugin", str(plugin)) as running:
            await running.until(r"10000 \(Bot\) is online, by Scripted 1.2")
            here.say(ANN, "hi")
            await until(lambda: here.sent)
            assert here.sent == [(ANN, "hello Ann")]
            assert await running.end() == 0


async def test_both_kinds_of_accounts_are_in_one_process(tmp_path, plugin):
    async with Town() as town, Implementation() as here:
        config = tmp_path / "bots.toml"
        config.write_text(
            f'plugin = "{plugin}"\n'
            f'[[accounts]]\naccount = {town.bob}\npassword = "{PASSWORD}"\n'
            f'server = "{town.server.url}"\n'
            f'[[accounts]]\nonebot = "{here.ws}"\n'
        )
        async with command(tmp_path, "--config", str(config)) as running:
            await running.until(r"10000 \(Bot\) is online, by")
            ann, ear = town.client(town.ann)
            await ann.login()
            ann.send(ann.find("Bob"), "hi")
            here.say(ANN, "hi", SQUARE)
            await until(lambda: here.sent and ear.heard.qsize())
            assert here.sent == [(SQUARE, "hello Ann")]
            assert await running.end() == 0


async def test_accounts_of_one_kind_go_on_where_nobody_answers_the_others(
    tmp_path, plugin, free_port
):
    """Either kind, and those that were not there come as soon as they are."""
    async with Town() as town, Implementation() as here:
        config = tmp_path / "bots.toml"
        config.write_text(
            f'plugin = "{plugin}"\n'
            f'[[accounts]]\naccount = {town.bob}\npassword = "{PASSWORD}"\n'
            f'server = "{town.server.url}"\n'
            f'[[accounts]]\nonebot = "ws://127.0.0.1:{free_port}"\n'
        )
        async with command(tmp_path, "--config", str(config)) as running:
            await running.until(r"is not online: no implementation .*; it is tried again")
            await running.until(rf"{town.bob} \(Bob\) is online at")
            here._listen(free_port)
            await running.until("10000: online")
            here.say(ANN, "hi")
            await until(lambda: here.sent)
            assert await running.end() == 0


async def test_a_server_of_webqq_that_comes_later_is_found(tmp_path, plugin):
    async with Town(tmp_path / "town.db") as town, Implementation() as here:
        config = tmp_path / "bots.toml"
        config.write_text(
            f'plugin = "{plugin}"\n'
            f'[[accounts]]\naccount = {town.bob}\npassword = "{PASSWORD}"\n'
            f'server = "{town.server.url}"\n'
            f'[[accounts]]\nonebot = "{here.ws}"\n'
        )
        async with command(tmp_path, "--config", str(config)) as running:
            async with town.away():
                await running.until(r"is not online: no server .*; it is tried again")
                await running.until(r"10000 \(Bot\) is online")
            await running.until(f"{town.bob}: online")
            assert await running.end() == 0


@pytest.mark.parametrize("refuses", ["http", "frame", "1008"])
async def test_a_refused_token_is_one_line(tmp_path, refuses: str):
    async with Implementation("secret") as here:
        here.refuses = refuses
        ended = await run(tmp_path, "--onebot", here.ws)
    assert ended.code == 1
    assert "asks for a token" in ended.error


async def test_nobody_there_is_one_line(tmp_path):
    ended = await run(tmp_path, "--onebot", "ws://127.0.0.1:1")
    assert (ended.code, "no implementation of OneBot answers" in ended.error) == (1, True)
    assert "check that the server runs" not in ended.error  # the engine's remedy, beside ours


async def test_a_wrong_url_is_wrong_usage(tmp_path):
    ended = await run(tmp_path, "--onebot", "127.0.0.1:3001")
    assert (ended.code, "begins with ws://" in ended.error) == (2, True)


@pytest.mark.parametrize("way", ["ws", "http"])
async def test_check_says_who_is_there(tmp_path, way: str):
    async with Implementation("secret") as here:
        here.message(ANN, "hi", SQUARE)
        url = getattr(here, way)
        options = ("--token-file", token_file(tmp_path), "--json")
        ended = await run(tmp_path, "onebot", "check", url, *options)
        found = json.loads(ended.output)
        assert (ended.code, found["is_good"]) == (0, True)
        assert (found["implementation"], found["account"]) == ("Scripted 1.2", 10000)
        assert (found["token"], found["format"]) == ("asked for, and right", "array")
        assert "get_image" in found["lacks"]
        assert not here.sent


async def test_check_says_what_keeps_a_bot_from_working(tmp_path):
    async with Implementation() as here:
        here.online = False
        ended = await run(tmp_path, "onebot", "check", here.ws)
        assert ended.code == 1
        assert "OFFLINE" in ended.output
        assert "none is asked for" in ended.output
    async with Implementation("secret") as here:
        ended = await run(tmp_path, "onebot", "check", here.ws)
        assert (ended.code, "asks for a token" in ended.output) == (1, True)


async def test_check_says_that_a_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"reverse://127.0.0.1:{taken.getsockname()[1]}"
        ended = await run(tmp_path, "onebot", "check", url)
    assert (ended.code, "cannot be listened on: Address already in use" in ended.output) == (
        1,
        True,
    )
