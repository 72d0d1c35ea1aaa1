"""Frameworks from PyPI, unmodified, drive an account: NoneBot 2 and aiocqhttp."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from servers.applications import drive
from servers.town import Town
from waiting import until

from webqq_tornado.server.storage import Conversation, load_content, plain_parts

pytestmark = pytest.mark.slow

#: Texts that have gone wrong in some implementation or framework.
AWKWARD = (
    "a,b=c]&[x",
    "€ 𝕏 👩\u200d👩\u200d👧",
    "&amp;&#91;CQ:x",
    '{"a":[1]}',
    "two\nlines",
    "x" * 3000,
)

NONEBOT = """
import os, nonebot
from nonebot.adapters.onebot.v11 import Adapter, Bot, MessageEvent, MessageSegment
nonebot.init(**eval(os.environ["SETTINGS"]))
nonebot.get_driver().register_adapter(Adapter)
matcher = nonebot.on_message(block=False)

@matcher.handle()
async def answer(bot: Bot, event: MessageEvent):
    text = event.get_plaintext().strip()
    if text == "ping":
        await matcher.finish("pong")
    if text.startswith("echo "):
        await matcher.finish(MessageSegment.text(text[5:]))
    if text == "lists":
        friends, groups = await bot.get_friend_list(), await bot.get_group_list()
        await matcher.finish(f"{len(friends)} {len(groups)}")
    if text == "back":
        picture = next(each for each in event.message if each.type == "image")
        await matcher.finish(MessageSegment.image(picture.data["url"]))

nonebot.run()
"""

AIOCQHTTP = """
import os
from aiocqhttp import CQHttp, MessageSegment
bot = CQHttp(__name__, **eval(os.environ["SETTINGS"]))

@bot.on_message
async def answer(event):
    text = "".join(each["data"].get("text", "") for each in event.message).strip()
    if text == "ping":
        return {"reply": "pong", "at_sender": False}
    if text.startswith("echo "):
        await bot.send(event, MessageSegment.text(text[5:]))
    if text == "lists":
        friends, groups = await bot.get_friend_list(), await bot.get_group_list()
        await bot.send(event, f"{len(friends)} {len(groups)}")
    if text == "back":
        picture = next(each for each in event.message if each["type"] == "image")
        await bot.send(event, MessageSegment.image(picture["data"]["url"]))

bot.run(host="127.0.0.1", port=int(os.environ["PORT"]))
"""


@asynccontextmanager
async def program(path: Path, source: str, listens: int, **settings: object) -> AsyncIterator[None]:
    """A bot in a process of its own, which is killed at the end."""
    path.write_text(source)
    env = {**os.environ, "SETTINGS": repr(settings), "PORT": str(listens)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(path), env=env, stdout=asyncio.subprocess.DEVNULL, cwd=path.parent
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


class Talk:
    """Ann's side of what she and the bot, who is Bob, say."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def _said(self, where: Conversation) -> list[list[object]]:
        messages, _ = self.town.server.storage.messages.history(self.town.ann, where)
        return [plain_parts(each.content) for each in messages if each.sender == self.town.bob]

    async def answer(self, *parts: object, group: int = 0) -> list[object]:
        where = Conversation("group", group) if group else Conversation("friend", self.town.bob)
        before = len(self._said(where))
        self.town.server.hub.send(self.town.ann, where, load_content(list(parts)))
        await until(lambda: len(self._said(where)) > before)
        return self._said(where)[before]

    async def through(self, ways: int = 1) -> None:
        """All that a bot is good for, when it has so many connections."""
        connections = self.town.server.onebot.accounts[self.town.bob].connections
        await until(lambda: sum(each.is_open for each in connections) == ways)
        assert await self.answer("ping") == ["pong"]
        assert await self.answer("ping", group=self.town.square) == ["pong"]
        mention = ["at", {"qq": str(self.town.bob), "name": "Bob"}]
        assert await self.answer(mention, " ping", group=self.town.square) == ["pong"]
        assert await self.answer("lists") == ["1 1"]
        for words in AWKWARD:
            assert await self.answer(f"echo {words}") == [words]
        made = io.BytesIO()
        Image.new("RGB", (8, 8), "blue").save(made, "PNG")
        row = self.town.server.storage.files.add(made.getvalue())
        picture = ["image", {"file": row.name, "size": row.size}]
        ((kind, data),) = await self.answer("back", picture)
        assert (kind, data["file"]) == ("image", row.name)


@pytest.mark.parametrize("way", ["forward", "reverse", "http"])
@pytest.mark.skipif(find_spec("nonebot") is None, reason="nonebot2 is not installed")
async def test_nonebot_drives_an_account(way: str, tmp_path: Path, free_port: int, caplog):
    port = free_port
    async with Town() as town:
        root = f"{town.server.url}/onebot/{town.bob}/"
        address = f"127.0.0.1:{port}/onebot/v11/"
        driven, settings = {
            "forward": (
                {"token": "t"},
                {
                    "driver": "~httpx+~websockets",
                    "onebot_ws_urls": [root.replace("http", "ws")],
                    "onebot_access_token": "t",
                },
            ),
            "reverse": (
                {"token": "t", "reverse": [f"ws://{address}ws"]},
                {"driver": "~fastapi", "port": port, "onebot_access_token": "t"},
            ),
            "http": (
                {"post": [{"url": f"http://{address}", "secret": "s"}]},
                {
                    "driver": "~fastapi+~httpx",
                    "port": port,
                    "onebot_secret": "s",
                    "onebot_api_roots": {str(town.bob): root},
                },
            ),
        }[way]
        drive(town, town.bob, **driven)
        async with program(tmp_path / "bot.py", NONEBOT, port, **settings):
            await Talk(town).through()
        drive(town, town.bob, is_on=False)


@pytest.mark.parametrize("way", ["universal", "two", "http"])
@pytest.mark.skipif(find_spec("aiocqhttp") is None, reason="aiocqhttp is not installed")
async def test_aiocqhttp_drives_an_account(way: str, tmp_path: Path, free_port: int, caplog):
    port = free_port
    async with Town() as town:
        address, settings = f"127.0.0.1:{port}", {}
        driven: dict[str, object] = {"reverse": [f"ws://{address}/ws/"]}
        if way == "two":
            ends = (("api", "API"), ("event", "Event"))
            urls = [{"url": f"ws://{address}/ws/{path}", "role": role} for path, role in ends]
            driven = {"reverse": urls}
        if way == "http":
            driven = {"post": [{"url": f"http://{address}/", "secret": "s"}]}
            settings = {
                "api_root": f"{town.server.url}/onebot/{town.bob}/",
                "secret": "s",
            }
        drive(town, town.bob, **driven)
        async with program(tmp_path / "bot.py", AIOCQHTTP, port, **settings):
            await Talk(town).through(2 if way == "two" else 1)
        drive(town, town.bob, is_on=False)
