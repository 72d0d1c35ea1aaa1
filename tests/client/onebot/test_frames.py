"""Frames without sense: the account goes on, and hears what comes next once."""

from __future__ import annotations

import json

import pytest
from servers.onebot import ANN, BOT, Implementation
from waiting import until

from webqq_tornado import HTTPStream
from webqq_tornado.bot import Bot
from webqq_tornado.client import OneBotAccount

MESSAGE = {"post_type": "message", "message_type": "private", "self_id": BOT, "user_id": ANN}
DEEP = "[" * 3000 + "]" * 3000


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        json.dumps({**MESSAGE, "message_id": "x", "message": "x"}),
        json.dumps({**MESSAGE, "message_id": 10**400, "message": "x"}),
        json.dumps({**MESSAGE, "message_id": 5, "time": 10**25, "message": [{"type": None}]}),
        json.dumps({**MESSAGE, "message_id": 6, "time": float("nan"), "message": {"a": []}}),
        json.dumps({**MESSAGE, "message_id": 7, "message": "[CQ:at,qq=" * 1000}),
        json.dumps({**MESSAGE, "message_id": 8, "sender": [], "message": [5, None, {}]}),
        json.dumps(MESSAGE)[:-1] + f', "message_id": 9, "message": {DEEP}}}',
        json.dumps(MESSAGE)[:-1] + ', "message_id": 10, "message": "\\ud800\\u0000"}',
        json.dumps({**MESSAGE, "message_id": 11, "message": [{"type": "face"}] * 100_000}),
        json.dumps({"post_type": "notice", "notice_type": {}, "self_id": BOT, "file": 5}),
        json.dumps({"post_type": "meta_event", "meta_event_type": "heartbeat", "interval": "x",
                    "status": [], "time": -(10**18), "self_id": BOT}),
        json.dumps({"status": {}, "retcode": [], "echo": {}}),
    ],
)  # fmt: skip
async def test_a_frame_without_sense_disturbs_nothing(frame: str, caplog):
    heard: list[str] = []
    async with Implementation("secret") as here, HTTPStream() as stream:
        account = OneBotAccount(stream, here.ws, "secret")
        bot = Bot(account)
        bot.on_message(lambda message: heard.append(message.text))
        await account.login()
        for socket in here.sockets:
            socket.put(frame)
        here.say(ANN, "and then")
        await until(lambda: "and then" in heard)
        assert heard.count("and then") == 1
        assert account.is_online
        assert "secret" not in caplog.text
        bot.close()
        account.leave()
    assert not any(record.levelname == "ERROR" for record in caplog.records)
    caplog.clear()
