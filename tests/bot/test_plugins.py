"""Plugins of a bot: files and packages, loaded again when they change."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from servers.bots import answer, chatting
from servers.town import Town

from webqq_tornado.bot import Bot, PluginError
from webqq_tornado.protocol.models import FriendMessage


def says(word: str) -> str:
    return f"@bot.on_message(text='^say$')\ndef f(message):\n    message.reply({word!r})\n"


def write(path: Path, code: str) -> Path:
    """Write a file as editors do: the old one or the new one is there, and nothing between."""
    draft = path.with_suffix(".draft")
    draft.write_text(code, encoding="utf-8")
    draft.replace(path)
    return path


async def test_a_plugin_that_changes_is_loaded_again(tmp_path: Path):
    async with chatting() as (bot, ann, ear):
        bot.loaded = asyncio.Queue()
        setup = "def setup(bot): bot.loaded.put_nowait(None)\n"
        path = write(tmp_path / "one.py", says("old") + setup)
        bot.load_plugin(path)
        bot.watch_plugins(0.01)
        await bot.loaded.get()
        assert await answer(ann, ear, "say") == "old"
        write(path, says("new") + setup)  # of the same size, within the same second
        await bot.loaded.get()
        assert await answer(ann, ear, "say") == "new"
        assert await answer(ann, ear, "ping") == "pong"  # and nothing said twice


async def test_that_the_file_of_a_plugin_is_gone_is_told_once(tmp_path: Path, caplog):
    async with chatting() as (bot, ann, ear):
        path = write(tmp_path / "one.py", says("old"))
        bot.load_plugin(path)
        path.rename(tmp_path / "other.py")
        for _ in range(4):
            bot._plugins.look()
        assert await answer(ann, ear, "say") == "old"
    assert caplog.text.count(f"{path} is missing; plugin one stays loaded") == 1


@pytest.mark.parametrize(
    "code",
    [
        "x = (",
        "1/0",
        says("new") + "def setup(bot): 1/0\n",
        "def setup(bot): import nope",
        "import sys\nsys.exit(3)",  # a program's last line is one of many, for a bot
        says("new") + "class Odd(BaseException): pass\nraise Odd",
    ],
)
async def test_a_version_that_fails_leaves_the_one_before(tmp_path: Path, code: str, caplog):
    async with chatting() as (bot, ann, ear):
        path = write(tmp_path / "one.py", says("old"))
        bot.load_plugin(path)
        write(path, code)
        bot._plugins.look()
        bot._plugins.look()
        assert await answer(ann, ear, "say") == "old"
        write(path, says("newer"))
        bot._plugins.look()
        assert await answer(ann, ear, "say") == "newer"
    assert caplog.text.count("stays loaded") == 1  # it is told once


ALL = """
import asyncio

class Ended(list):
    def __init__(self):
        self.news = asyncio.Queue()
    def append(self, what):
        super().append(what)
        self.news.put_nowait(what)

ended = Ended()

@bot.on_message(text="^say$")
async def handler(message):
    try:
        await message.ask("sure?")
    except asyncio.CancelledError:
        ended.append("ask")
        raise

@bot.middleware
async def middleware(message, call_next):
    ended.append("middleware")
    await call_next(message)

@bot.every(0.01)
def schedule():
    ended.append("schedule")

@bot.on_event("typing")
def listener(event):
    ended.append("listener")

def teardown(bot):
    ended.append("teardown")
"""


async def test_of_a_plugin_that_is_unloaded_nothing_is_left(tmp_path: Path):
    async with chatting() as (bot, ann, ear):
        module = bot.load_plugin(write(tmp_path / "all.py", ALL)).module
        assert await answer(ann, ear, "say") == "sure?"
        while await module.ended.news.get() != "schedule":
            pass
        module.ended.clear()
        bot.unload_plugin("all")
        while await module.ended.news.get() != "ask":
            pass
        assert await answer(ann, ear, "ping") == "pong"
        assert module.ended == ["teardown", "ask"]
        assert (bot.plugins, len(bot._dispatch.asks)) == ((), 0)
    assert "webqq_tornado_plugin_all" not in sys.modules


async def test_a_new_version_is_set_up_before_the_old_one_is_torn_down(tmp_path: Path):
    code = "def setup(bot): bot.log.append('up')\ndef teardown(bot): bot.log.append('down')\n"
    async with chatting() as (bot, _, _):
        bot.log = []
        path = write(tmp_path / "one.py", code)
        bot.load_plugin(path)
        bot.load_plugin(path)
        bot.close()
        assert bot.log == ["up", "up", "down", "down"]


@pytest.mark.parametrize(
    ("code", "error"), [("1/0", "ZeroDivisionError"), ("raise SystemExit(1)", "SystemExit")]
)
async def test_a_teardown_that_fails_is_logged_and_stops_nothing(
    tmp_path: Path, caplog, code: str, error: str
):
    async with chatting() as (bot, _, _):
        path = write(tmp_path / "one.py", f"def teardown(bot): {code}\n")
        bot.load_plugin(path)
        bot.unload_plugin("one")
    assert "teardown: plugin" in caplog.text
    assert f"line 1: {error}" in caplog.text


async def test_a_package_is_a_plugin_and_its_modules_are_watched(tmp_path: Path):
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "words.py", "WORD = 'old'\n")
    write(
        folder / "__init__.py",
        "from .words import WORD\n"
        "@bot.on_message(text='^say$')\ndef f(message): message.reply(WORD)\n",
    )
    async with chatting() as (bot, ann, ear):
        bot.load_plugin(folder)
        assert await answer(ann, ear, "say") == "old"
        write(folder / "words.py", "WORD = 'new'\n")
        bot._plugins.look()
        assert await answer(ann, ear, "say") == "new"
        write(folder / "words.py", "\n\nWORD = (\n")
        with pytest.raises(PluginError, match=r"words.py line 3: SyntaxError"):
            bot.load_plugin(folder)
        assert await answer(ann, ear, "say") == "new"
        assert bot.plugins == ("many",)


async def test_a_module_that_can_be_imported_is_a_plugin(tmp_path: Path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path / "a_module_of_mine.py", says("here"))
    async with chatting() as (bot, ann, ear):
        bot.load_plugin("a_module_of_mine")
        assert await answer(ann, ear, "say") == "here"


async def test_two_plugins_of_one_name_are_refused(tmp_path: Path):
    (tmp_path / "other").mkdir()
    async with Town() as town:
        bot = Bot(town.client(town.bob)[0])
        bot.load_plugin(write(tmp_path / "one.py", ""))
        with pytest.raises(PluginError, match="with that name already"):
            bot.load_plugin(write(tmp_path / "other" / "one.py", ""))


@pytest.mark.parametrize(
    ("code", "says_"),
    [
        ("async def setup(bot): pass", "must not be async"),
        ("async def begin(bot): pass\ndef setup(bot): return begin(bot)", "must not be async"),
        (None, "no __init__.py"),
    ],
)
async def test_what_is_no_plugin_is_refused(tmp_path: Path, code: str | None, says_: str):
    path = tmp_path if code is None else write(tmp_path / "one.py", code)
    async with Town() as town:
        bot = Bot(town.client(town.bob)[0])
        with pytest.raises(PluginError, match=says_):
            bot.load_plugin(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
async def test_a_plugin_of_a_windows_editor_is_loaded(tmp_path: Path, encoding: str):
    path = tmp_path / "one.py"
    path.write_bytes(says("密码").replace("\n", "\r\n").encode(encoding))
    async with chatting() as (bot, ann, ear):
        bot.load_plugin(path)
        assert await answer(ann, ear, "say") == "密码"


async def test_the_encoding_of_a_plugin_is_named(tmp_path: Path):
    path = tmp_path / "one.py"
    path.write_bytes(says("密码本").encode("gbk"))
    async with Town() as town:
        bot = Bot(town.client(town.bob)[0])
        with pytest.raises(PluginError, match="line 3 is not UTF-8, it looks like GBK"):
            bot.load_plugin(path)
        path.write_bytes(b"# coding: gbk\n" + path.read_bytes())
        bot.load_plugin(path)


async def test_a_plugin_may_load_itself_again_from_its_own_handler(tmp_path: Path):
    code = (
        "@bot.command('again')\nasync def again(message):\n"
        "    bot.load_plugin(__file__)\n    await message.reply('done')\n"
    )
    async with chatting() as (bot, ann, ear):
        bot.load_plugin(write(tmp_path / "one.py", code))
        assert await answer(ann, ear, "again") == "done"
        assert await answer(ann, ear, "again") == "done"


async def test_what_a_plugin_keeps_has_its_name(tmp_path: Path):
    code = "@bot.on_message(text='^say$')\ndef f(m): bot.store()['said'] = m.text\n"
    async with chatting() as (bot, ann, ear):
        bot.load_plugin(write(tmp_path / "one.py", code))
        await ann.send(ann.contacts.find("Bob"), "say")
        assert await answer(ann, ear, "ping") == "pong"
        assert dict(bot.store("one")) == {"said": "say"}


async def test_tasks_that_a_handler_left_in_ask_answer_nobody_after_a_reload(tmp_path: Path):
    code = (
        "@bot.command('go')\nasync def go(message):\n"
        "    await message.ask('sure?')\n    message.reply('wrong')\n"
    )
    async with chatting() as (bot, ann, ear):
        path = write(tmp_path / "one.py", code)
        bot.load_plugin(path)
        assert await answer(ann, ear, "go") == "sure?"
        bot.load_plugin(path)
        await ann.send(ann.contacts.find("Bob"), "yes")
        assert await answer(ann, ear, "ping") == "pong"
        assert not [event for event in ear.rest() if isinstance(event, FriendMessage)]


IMPORTS = "from webqq_tornado.bot import bot\n"


async def test_a_plugin_may_import_its_bot(tmp_path: Path):
    async with chatting() as (bot, ann, ear):
        later = "@bot.command('who')\ndef who(m):\n    m.reply(bot.name)\n"
        bot.load_plugin(write(tmp_path / "one.py", IMPORTS + says("imported") + later))
        assert await answer(ann, ear, "say") == "imported"
        assert await answer(ann, ear, "who") == "Bob"


async def test_the_bot_of_a_plugin_is_that_which_loads_it(tmp_path: Path):
    path = write(tmp_path / "one.py", IMPORTS + "bot.mark = bot.mark + 1\n")
    bots = Bot(), Bot()
    for number, bot in enumerate(bots):
        bot.mark = number
        bot.load_plugin(path)
    assert [bot.mark for bot in bots] == [1, 2]


def test_outside_of_plugins_the_bot_says_where_it_works():
    import webqq_tornado.bot.bot  # noqa: F401 - a module of the same name, which must not win
    from webqq_tornado.bot import bot

    assert "plugin" in repr(bot)
    with pytest.raises(RuntimeError, match="the bot that loads a plugin"):
        bot.command("ping")
