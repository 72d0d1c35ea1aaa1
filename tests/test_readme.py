"""The README's examples are run as they stand, against a server on loopback."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.protocol.models import FriendMessage
from webqq_tornado.server import Storage, WebQQServer

README = Path(__file__).parent.parent / "README.rst"
ADDRESS = "http://127.0.0.1:8100"


def blocks() -> list[str]:
    """The Python blocks, without their indentation."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    return [re.sub(r"(?m)^   ", "", block).strip() + "\n" for block in found]


PROGRAMS = [block for block in blocks() if "\n@bot" not in block]
(PLUGIN,) = (block for block in blocks() if "\n@bot" in block)


def test_there_are_examples():
    assert len(PROGRAMS) >= 6


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
async def test_an_example_runs(program: str, tmp_path: Path):
    storage = Storage(tmp_path / "server.db")
    storage.create_account("Bot", "its password")
    server = WebQQServer(storage)
    server.listen(0)
    path = tmp_path / "example.py"
    path.write_text(program.replace(ADDRESS, server.url), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, path, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    await server.close()
    assert (process.returncode, errors.decode()) == (0, "")
    assert output.strip()


async def test_the_plugin_answers(tmp_path: Path, caplog):
    storage = Storage(tmp_path / "server.db")
    bot_account, user_account = (storage.create_account(n, "pw").number for n in ("Bot", "Ann"))
    storage.befriend(bot_account, user_account)
    server = WebQQServer(storage)
    server.listen(0)
    (tmp_path / "hello.py").write_text(PLUGIN, encoding="utf-8")
    answers: asyncio.Queue[str] = asyncio.Queue()
    stream = HTTPStream()
    here = Endpoints.at(server.url)
    client, user = (Client(stream, n, "pw", here) for n in (bot_account, user_account))
    bot = Bot(client, "Bot")
    bot.load_plugin(tmp_path / "hello.py")
    user.on_event(lambda e: isinstance(e, FriendMessage) and answers.put_nowait(e.content.text))
    await client.login()
    await user.login()
    assert await answers.get() == "welcome back, Ann"
    user.send(user.contacts.find("Bot"), "hi there")
    assert await answers.get() == "hello Ann"
    user.send(user.contacts.find("Bot"), f"how long is {server.url}/loginproxy.html")
    user.send(user.contacts.find("Bot"), "order")
    assert await answers.get() == "Which one?"
    user.send(user.contacts.find("Bot"), "Margherita")
    assert await answers.get() == "Margherita for Ann: that makes 1"
    assert "AddressError" in caplog.text  # the bot asks nothing of its own machine
    bot.close()
    await client.logout()
    await user.logout()
    stream.close()
    await server.close()
