"""The bot: commands, handlers, plugins."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from servers.bots import answer, chatting
from servers.town import Town

from webqq_tornado.bot import Bot, PluginError
from webqq_tornado.protocol.models import GroupMessage


@pytest.mark.parametrize(
    ("said", "begins"),
    [("ping", "pong"), ("PING", "pong"), ("!ping", "pong"), ("uptime", "up "), ("help", "I know")],
)
async def test_commands_are_answered(said: str, begins: str):
    async with chatting() as (_, ann, ear):
        assert (await answer(ann, ear, said)).startswith(begins)


async def test_echo_says_it_again():
    async with chatting() as (_, ann, ear):
        assert await answer(ann, ear, "echo good morning") == "good morning"


@pytest.mark.parametrize("said", ["!ping", "@Bob ping"])
async def test_in_a_group_the_bot_answers_when_it_is_meant(said: str):
    async with chatting() as (_, ann, ear):
        group = ann.contacts.find("Square")
        ann.send(group, "ping")
        ann.send(group, said)
        message = await ear.next(GroupMessage)
    assert message.content.text == "pong"


async def test_handlers_may_be_functions_or_coroutines():
    async with chatting() as (bot, ann, ear):

        @bot.on_message
        def bare(message):
            if message.text == "one":
                message.reply(f"1 {message.sender}")

        @bot.on_message(text=r"^two (\w+)")
        async def pattern(message):
            await asyncio.sleep(0)
            message.reply(f"2 {message.match[1]}")

        assert await answer(ann, ear, "one") == "1 Ann"
        assert await answer(ann, ear, "two words") == "2 words"


async def test_conditions_keep_a_handler_to_its_own():
    async with chatting() as (bot, ann, ear):

        @bot.on_message(group="Square")
        def in_group(message):
            message.reply(f"in {message.group.name}")

        @bot.on_message(friend="Nobody")
        def for_nobody(message):
            message.reply("wrong")

        assert await answer(ann, ear, "ping") == "pong"
        ann.send(ann.contacts.find("Square"), "anything")
        assert (await ear.next(GroupMessage)).content.text == "in Square"


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_returns_its_answer_is_told_how_to_answer(is_async: bool, caplog):
    async with chatting() as (bot, ann, ear):

        async def wait(_message) -> str:
            return "an answer"

        bot.on_message(text="^how")(wait if is_async else lambda _message: "an answer")
        await ann.send(ann.contacts.find("Bob"), "how do you do")
        assert await answer(ann, ear, "ping") == "pong"
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "returned a text, on 'how do you do' of Ann" in told
    assert "message.reply" in told


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_handler_that_raises_is_logged_and_stops_nothing(is_async: bool, caplog):
    async with chatting() as (bot, ann, ear):

        def fail(message):
            raise KeyError("oops")

        async def fail_later(message):
            raise KeyError("oops")

        bot.on_message(fail_later if is_async else fail)
        assert await answer(ann, ear, "ping") == "pong"
        assert await answer(ann, ear, "ping") == "pong"
    assert "handler" in caplog.text
    assert "oops" in caplog.text
    assert 'calls.py", line' not in caplog.text  # the traceback begins where the handler does


async def test_the_bot_does_not_answer_itself():
    async with chatting() as (bot, ann, ear):
        heard = []
        bot.on_message(lambda message: heard.append(str(message.sender)))
        group = bot.client.contacts.find("Square")
        await bot.client.send(group, "!ping")
        assert await answer(ann, ear, "ping") == "pong"
    assert heard == ["Ann"]


async def test_a_pattern_that_is_none_is_refused():
    async with Town() as town:
        bot = Bot(town.client(town.bob)[0])
        with pytest.raises(ValueError, match="not a regular expression"):
            bot.on_message(text="(")


async def test_a_plugin_registers_by_the_name_bot_or_by_setup(tmp_path: Path):
    (tmp_path / "one.py").write_text("@bot.on_message(text='^one')\ndef f(m): m.reply('1')\n")
    (tmp_path / "two.py").write_text(
        "def setup(bot):\n    @bot.on_message(text='^two')\n    def f(m): m.reply('2')\n"
    )
    async with chatting() as (bot, ann, ear):
        bot.load_plugin(tmp_path / "one.py")
        bot.load_plugin(tmp_path / "two.py")
        assert [await answer(ann, ear, said) for said in ("one", "two")] == ["1", "2"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = (", r"line 1: SyntaxError"),
        ("\n1/0\n", r"line 2: ZeroDivisionError"),
        ("import no_such_module", r"line 1: ModuleNotFoundError.*no_such_module"),
        (None, r"no such Python file"),
    ],
)
async def test_a_broken_plugin_is_told_in_one_line(tmp_path: Path, code: str | None, says: str):
    path = tmp_path / "broken.py"
    if code is not None:
        path.write_text(code)
    async with Town() as town:
        bot = Bot(town.client(town.bob)[0])
        with pytest.raises(PluginError, match=says) as failure:
            bot.load_plugin(path)
    assert "\n" not in str(failure.value)
    assert "broken.py" in str(failure.value)
