"""Events of a bot that only today's QQ has; for those of WebQQ see test_questions."""

from __future__ import annotations

import asyncio

from servers.onebot import ANN, BOB, BOT, SQUARE, Implementation

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.bot.event_types import EVENTS, Unknown
from webqq_tornado.bot.events import events_of
from webqq_tornado.client import OneBotAccount, notices
from webqq_tornado.protocol.codes import Status

NOTICES = {
    "recall": {"notice_type": "group_recall", "operator_id": BOB, "message_id": 7},
    "ban": {"notice_type": "group_ban", "sub_type": "ban", "operator_id": BOB, "duration": 60},
    "poke": {"notice_type": "notify", "sub_type": "poke", "target_id": BOT},
    "card": {"notice_type": "group_card", "card_new": "Anna", "card_old": "Ann"},
    "upload": {"notice_type": "group_upload", "file": {"id": "/a", "name": "a.txt", "size": 5}},
    "honor": {"notice_type": "notify", "sub_type": "honor", "honor_type": "talkative"},
    "title": {"notice_type": "notify", "sub_type": "title", "title": "Queen"},
    "lucky_king": {"notice_type": "notify", "sub_type": "lucky_king", "target_id": BOB},
    "essence": {"notice_type": "essence", "sub_type": "add", "message_id": 7, "sender_id": ANN},
    "reaction": {"notice_type": "group_msg_emoji_like", "message_id": 7,
                 "likes": [{"emoji_id": "76", "count": 2}]},
    "group_name": {"notice_type": "notify", "sub_type": "group_name", "name_new": "Place"},
    "like": {"notice_type": "notify", "sub_type": "profile_like", "operator_id": ANN, "times": 3},
    "group_join": {"notice_type": "group_increase", "sub_type": "invite", "operator_id": BOB},
    "group_leave": {"notice_type": "group_decrease", "sub_type": "kick", "operator_id": BOB},
    "group_admin": {"notice_type": "group_admin", "sub_type": "unset"},
    "friend_added": {"notice_type": "friend_add"},
    "typing": {"notice_type": "notify", "sub_type": "input_status", "status_text": "..."},
}  # fmt: skip


async def test_news_of_todays_qq_are_told_with_people_and_groups():
    heard: dict[str, object] = {}
    async with Implementation() as here, HTTPStream() as stream:
        account = OneBotAccount(stream, here.ws)
        bot = Bot(account)
        ended = asyncio.Event()
        for name in NOTICES:
            bot.on_event(name)(lambda event, name=name: heard.__setitem__(name, event))
        bot.on_event("other")(lambda _: ended.set())
        await account.login()
        for notice in NOTICES.values():
            about = {"post_type": "notice", "self_id": BOT, "group_id": SQUARE, "user_id": ANN}
            here.tell({**about, **notice})
        here.tell({"post_type": "notice", "notice_type": "last", "self_id": BOT})
        await ended.wait()
        bot.close()
        account.leave()
    assert heard.keys() == NOTICES.keys()
    for name, event in heard.items():
        assert type(event) is EVENTS[name]
        assert getattr(event, "group", None) is None or event.group.name == "Square"
    poke, ban, leave = heard["poke"], heard["ban"], heard["group_leave"]
    assert (str(poke.sender), str(poke.target), poke.at_me) == ("Ann", "Bot", True)
    assert (str(ban.person), str(ban.by), ban.seconds) == ("Ann", "Bob", 60)
    assert (str(leave.person), leave.how, heard["group_admin"].how) == ("Ann", "kick", "unset")
    assert str(heard["lucky_king"].king) == "Bob"


async def test_every_kind_of_news_has_an_event_of_a_bot():
    kinds = [getattr(notices, name) for name in set(notices.__all__) - {"News", "GroupNews"}]
    async with HTTPStream() as stream:
        account = OneBotAccount(stream, "ws://127.0.0.1:1")
        for kind in kinds:
            heard = kind(**dict.fromkeys(kind.__dataclass_fields__, 1))
            ((name, event),) = events_of(account, heard, Status.OFFLINE)
            assert type(event) is EVENTS[name] is not Unknown
