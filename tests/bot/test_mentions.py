"""Who is meant by "@name": whole names, in any script."""

from __future__ import annotations

import pytest
from servers.bots import a_bot, group_answer
from servers.town import Town

from webqq_tornado.bot.mentions import is_mentioned, said_to


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Bot", "@Bot", ""),
        ("Bot", "@bot, ping", "ping"),
        ("Bot", "@Bot:ping", "ping"),
        ("Bot", "@Bot! Ping.", "Ping."),
        ("Bot", "＠Bot ping", "ping"),
        ("Bot", "@Bot\nping", "ping"),
        ("Bot", "@Bot，你好", "你好"),
        ("Bot", "@Bot你好", "你好"),
        ("Bot", "@Bot@Ann hi", "@Ann hi"),
        ("小冰", "@小冰你好", "你好"),
        ("小冰", "@小冰ping", "ping"),
        ("Бот", "@бот привет", "привет"),
        ("José", "@Jose\u0301 hola", "hola"),
        ("Bobby Tables", "@bobby \u3000tables: hi", "hi"),
        (" Bot ", "@Bot hi", "hi"),
        ("C++ (1.*)", "@c++ (1.*) hi", "hi"),
    ],
)
def test_a_whole_name_is_a_mention(name: str, text: str, said: str):
    assert said_to([name], text) == said
    assert is_mentioned([name], f"so {text}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Bot", "@Bot-x ping"),
        ("Bot", "@Bot_x ping"),
        ("Bot", "@Bot2 ping"),
        ("Bot", "@Bot.x ping"),
        ("Bot", "@Bot's ping"),
        ("Bot", "@Bot+ ping"),
        ("Bot", "@Botник ping"),
        ("Bot", "@Bote\u0301 ping"),
        ("Bot", "@ Bot ping"),
        ("Bot", "me@bot ping"),
        ("Бот", "@Ботик привет"),
        ("봇", "@봇봇 ping"),
        ("小冰", "@小冰-x ping"),
        ("小冰", "@小冰2 ping"),
        ("C++", "@C++x ping"),
        ("C.t", "@Cat ping"),
        ("", "@ ping"),
    ],
)
def test_a_part_of_another_name_is_none(name: str, text: str):
    assert said_to([name], text) is None
    assert not is_mentioned([name], text)


def test_the_longest_name_is_meant():
    assert said_to(["Bot"], "@Bot Two, hello", ["Bot Two"]) is None
    assert said_to(["小冰"], "@小冰冰你好", ["小冰冰"]) is None
    assert not is_mentioned(["Bot"], "so @Bot  two!", ["Bot Two"])
    assert said_to(["Bot"], "@Bot twofold", ["Bot Two"]) == "twofold"
    assert said_to(["Bot Two", "Bot"], "@Bot Two hello", ["Bot", "Bot T"]) == "hello"


async def test_a_bot_does_not_answer_for_a_member_whose_name_begins_with_its_own():
    async with Town() as town:
        town.server.storage.rooms.set_card(town.square, town.eve, "Bob Two")
        async with a_bot(town) as bot:
            ann, ear = town.client(town.ann)
            await ann.login()
            bot.on_message(at_me=True)(lambda m: m.reply(m.said))
            ann.send(ann.find("Square"), "@Bob Two ping")
            assert await group_answer(ann, ear, "@Bob here") == "here"
