"""Actions of one connection: side by side, and no more than it reads."""

from __future__ import annotations

import asyncio
import json

import pytest
from servers.applications import drive
from servers.town import Town

from webqq_tornado.server.onebot import action_queue
from webqq_tornado.server.onebot.action_queue import ActionQueue


async def test_an_application_that_does_not_read_its_answers_is_not_read_either(monkeypatch):
    monkeypatch.setattr(action_queue, "_MOST_UNREAD", 1000)
    written: asyncio.Queue[str] = asyncio.Queue()
    may_leave = asyncio.Event()

    async def write(text: str) -> None:
        written.put_nowait(text)
        await may_leave.wait()

    async with Town() as town:
        drive(town, town.bob)
        actions = ActionQueue(town.server.onebot.accounts[town.bob], write)
        frame = json.dumps({"action": "get_status", "echo": "x" * 2000})
        await actions.take(frame)
        await written.get()
        second = asyncio.ensure_future(actions.take(frame))
        await asyncio.sleep(0)
        assert not second.done()
        may_leave.set()
        await second
        await written.get()


async def test_a_frame_that_is_no_call_waits_until_its_answer_is_read_too():
    may_leave = asyncio.Event()
    async with Town() as town:
        drive(town, town.bob)
        actions = ActionQueue(town.server.onebot.accounts[town.bob], lambda _text: may_leave.wait())
        taken = asyncio.ensure_future(actions.take("{"))
        await asyncio.sleep(0)
        assert not taken.done()
        may_leave.set()
        await taken


@pytest.mark.parametrize("action", ["get_friend_msg_history", "get_msg"])
async def test_questions_of_connections_that_are_gone_wait_for_no_other_question(action: str):
    """Nor for themselves."""
    said: asyncio.Queue[str] = asyncio.Queue()
    async with Town() as town:
        drive(town, town.bob)
        account = town.server.onebot.accounts[town.bob]
        frame = json.dumps({"action": action, "params": {"user_id": town.ann, "message_id": 1}})
        for actions in (ActionQueue(account, said.put), ActionQueue(account, said.put)):
            await actions.take(frame)
            actions.close()  # before it has begun
            await actions.take(frame)  # and one that is read after that
        for _ in range(4):
            await said.get()
