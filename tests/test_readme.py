"""The Python blocks of README and documentation run as they stand, against servers on loopback."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client import Client, Endpoints
from webqq_tornado.examples.api import Service
from webqq_tornado.protocol.models import FriendMessage
from webqq_tornado.server import Storage, WebQQServer

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
DOCS = ROOT / "webqq_tornado" / "docs"
#: Where the blocks find WebQQ and the examples' service, and where an application of theirs is.
WEBQQ, SERVICE, APPLICATION = "http://127.0.0.1:8100", "http://127.0.0.1:8200", "8300"
_BLOCK = re.compile(r"\.\. code-block:: python\n((?:   :.*\n)*)\n((?:   .*\n|\n)+)")


class Block(NamedTuple):
    """A Python block; one with options (`:class: other`) is of another library, or a part."""

    name: str
    text: str
    is_part: bool

    @property
    def is_plugin(self) -> bool:
        return re.search(r"^@bot\.|^def setup\(bot", self.text, re.MULTILINE) is not None

    @property
    def is_application(self) -> bool:
        return f"listen({APPLICATION}" in self.text


def blocks_of(path: Path) -> list[Block]:
    """The Python blocks of a page, without their indentation."""
    found = _BLOCK.findall(path.read_text(encoding="utf-8"))
    return [
        Block(f"{path.stem}-{number}", re.sub(r"(?m)^   ", "", text).strip() + "\n", bool(options))
        for number, (options, text) in enumerate(found)
    ]


PAGES = [README, *sorted(DOCS.rglob("*.rst"))]
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
WHOLE = [block for block in BLOCKS if not block.is_part]
PLUGINS = [block for block in WHOLE if block.is_plugin]
APPLICATIONS = [block for block in WHOLE if block.is_application]
PROGRAMS = [block for block in WHOLE if not block.is_plugin and not block.is_application]


def names(blocks: list[Block]) -> list[str]:
    return [block.name for block in blocks]


def test_there_are_examples():
    assert len([block for block in WHOLE if block.name.startswith("README")]) >= 5
    assert len(PROGRAMS) >= 30


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("block", BLOCKS, ids=names(BLOCKS))
def test_a_block_is_python(block: Block):
    compile(block.text, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@contextlib.asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[dict[str, str]]:
    """WebQQ and the examples' service; gives what is to be replaced in a block."""
    storage = Storage(folder / "server.db")
    storage.accounts.create("Bot", "its password")
    webqq, service = WebQQServer(storage), HTTPServer(Service())
    webqq.listen(0)
    socket, port = bind_unused_port()
    service.add_socket(socket)
    try:
        yield {WEBQQ: webqq.url, SERVICE: f"http://127.0.0.1:{port}"}
    finally:
        service.stop()
        await service.close_all_connections()
        await webqq.close()


async def start(block: Block, folder: Path, replaced: dict[str, str]) -> asyncio.subprocess.Process:
    text = block.text
    for old, new in replaced.items():
        text = text.replace(old, new).replace(old.partition("//")[2] or old, new.rpartition("/")[2])
    path = folder / "example.py"
    path.write_text(text, encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", path),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=names(PROGRAMS))
async def test_a_program_runs(block: Block, tmp_path: Path):
    async with servers(tmp_path) as replaced:
        process = await start(block, tmp_path, replaced)
        output, errors = await process.communicate()
    assert (process.returncode, errors.decode()) == (0, "")
    assert output.strip()


@pytest.mark.slow
@pytest.mark.parametrize("block", APPLICATIONS, ids=names(APPLICATIONS))
async def test_an_application_answers(block: Block, tmp_path: Path, free_port: int):
    async with servers(tmp_path) as replaced, HTTPStream() as stream:
        process = await start(block, tmp_path, {**replaced, APPLICATION: str(free_port)})
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().split()[-1]
        response = await stream.fetch(url)
        process.terminate()
        _, errors = await process.communicate()
    assert (response.status, errors.decode()) == (200, "")
    assert response.body


@pytest.mark.parametrize("block", PLUGINS, ids=names(PLUGINS))
async def test_a_plugin_loads(block: Block, tmp_path: Path):
    (tmp_path / "plugin.py").write_text(block.text, encoding="utf-8")
    async with HTTPStream() as stream:
        bot = Bot(Client(stream, 10001, "pw", Endpoints.at("http://127.0.0.1:1")), "Bot")
        bot.load_plugin(tmp_path / "plugin.py")
        bot.close()


async def test_the_plugin_of_the_readme_answers(tmp_path: Path, caplog):
    (plugin,) = (block for block in PLUGINS if block.name.startswith("README"))
    storage = Storage(tmp_path / "server.db")
    bot_account, user_account = (storage.accounts.create(n, "pw").number for n in ("Bot", "Ann"))
    storage.friends.befriend(bot_account, user_account)
    server = WebQQServer(storage)
    server.listen(0)
    (tmp_path / "hello.py").write_text(plugin.text, encoding="utf-8")
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
