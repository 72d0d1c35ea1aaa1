"""A bot as a program of its own: it logs in, answers, and leaves at a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from servers.bots import answer
from servers.town import PASSWORD, Town

from webqq_tornado.bot import Bot
from webqq_tornado.client import LoginError

ROOT = Path(__file__).parent.parent.parent


def greeter() -> tuple[Bot, asyncio.Event]:
    """A bot that was given all it does before there is a client, and the event of its login."""
    bot, is_online = Bot(name="Bob"), asyncio.Event()
    seen = bot.store("seen")

    @bot.command("hello")
    def hello(message):
        seen[str(message.sender)] = True
        message.reply(f"hello {message.sender}, one of {len(seen)}")

    bot.on_event("online")(lambda _event: is_online.set())
    return bot, is_online


async def test_a_bot_serves_until_sigterm_and_logs_out(tmp_path: Path):
    bot, is_online = greeter()
    ticks = asyncio.Event()
    bot.every(0.01)(ticks.set)
    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        store = tmp_path / "bot.db"
        serving = asyncio.create_task(
            bot.serve(town.bob, PASSWORD, server=town.server.url, store=store)
        )
        await is_online.wait()
        assert await answer(ann, ear, "hello") == "hello Ann, one of 1"
        await ticks.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        assert bot.client.state.is_over
    with contextlib.closing(sqlite3.connect(store)) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


async def test_a_handler_under_way_gets_to_finish(tmp_path: Path):
    bot, is_online = greeter()

    @bot.command("slow")
    async def slow(message):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.01)
        await message.reply("done")

    async with Town() as town:
        ann, ear = town.client(town.ann)
        await ann.login()
        serving = asyncio.create_task(bot.serve(town.bob, PASSWORD, server=town.server.url))
        await is_online.wait()
        assert await answer(ann, ear, "slow") == "done"
        await serving


async def test_a_wrong_password_is_raised():
    async with Town() as town:
        with pytest.raises(LoginError):
            await Bot().serve(town.bob, "wrong", server=town.server.url)


async def test_a_login_elsewhere_ends_the_bot():
    bot, is_online = greeter()
    async with Town() as town:
        serving = asyncio.create_task(bot.serve(town.bob, PASSWORD, server=town.server.url))
        await is_online.wait()
        other, _ = town.client(town.bob)
        await other.login()
        with pytest.raises(LoginError, match="kicked"):
            await serving


async def test_a_bot_that_has_clients_serves_these():
    async with Town() as town:
        client, _ = town.client(town.bob)
        bot, is_online = Bot(client), asyncio.Event()
        bot.on_event("online")(lambda _event: is_online.set())
        with pytest.raises(ValueError, match="clients already"):
            await bot.serve(town.bob, PASSWORD)
        serving = asyncio.create_task(bot.serve(signals=False))
        await is_online.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert client.state.is_over


async def test_run_names_the_way_on_a_loop_that_runs():
    with pytest.raises(RuntimeError, match=r"await bot\.serve\(\)"):
        Bot().run(10001, "secret")


def test_what_needs_a_client_says_that_there_is_none():
    bot = Bot()
    assert "no account yet" in repr(bot)
    with pytest.raises(RuntimeError, match=r"call bot\.run\(\)"):
        bot.stream  # noqa: B018
    with pytest.raises(RuntimeError, match="in a handler"):
        len(bot.store("seen"))


PROGRAM = """
import sys
from webqq_tornado.bot import Bot
bot = Bot()
bot.on_event("online")(lambda event: print("online", flush=True))
bot.run(int(sys.argv[1]), sys.argv[2], server=sys.argv[3])
print("left")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_program_leaves_at_a_signal_and_goes_on(number: int):
    async with Town() as town:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(town.bob), PASSWORD, town.server.url),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"online\n"
        process.send_signal(number)
        output, errors = await process.communicate()
    assert (process.returncode, output) == (0, b"left\n")
    assert b"INFO webqq_tornado.webqq: leaving" in errors
    assert b"Traceback" not in errors
