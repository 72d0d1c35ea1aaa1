"""Actions with parameters of any kind: each is answered, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from servers.applications import drive
from servers.town import Town

from webqq_tornado.onebot.v11.actions import ACTIONS, Retcode
from webqq_tornado.server.onebot.account import HELD, OneBotAccount
from webqq_tornado.server.onebot.action_queue import ActionQueue

#: Ann, Bob and their group, as numbers and texts: so that some actions are done.
KNOWN = st.sampled_from([10001, "10002", 20001, "20001", 1, "1", True])
LONG = "9" * 5000
ODD = st.sampled_from(
    [
        0,
        -1,
        2**31,
        2**63,
        -(2**64),
        1.5,
        1e300,
        "",
        "0",
        "\x00",
        "\u00b2",
        "\u0661",
        LONG,
        "x" * 9000,
    ]
)
FLAGS = st.sampled_from(["friend-10001", f"friend-{LONG}", "group-1", f"group-{LONG}", "group--1"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
JSON = st.recursive(
    PLAIN | ODD | KNOWN,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=9), inside),
    max_leaves=8,
)
DATA = st.sampled_from(["id", "qq", "text", "file", "url", "content", "time", "user_id", "type"])
SEGMENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["text", "at", "face", "image", "reply", "node", "json", "x"]),
        "data": st.dictionaries(DATA, JSON, max_size=3),
    }
)
VALUE = JSON | FLAGS | SEGMENT | st.lists(SEGMENT | st.text(max_size=9), max_size=3)
NAMES = sorted({param.name for action in ACTIONS.values() for param in action.params})
ACTION = st.sampled_from(sorted(ACTIONS.keys() - HELD - {"set_restart"}))
DEEP = eval("[" * 90 + "]" * 90)


def message(*segments: object) -> dict[str, object]:
    return {"user_id": 10001, "group_id": 20001, "message": segments, "messages": segments}


@pytest.fixture
def driven(caplog) -> Iterator[tuple[asyncio.AbstractEventLoop, OneBotAccount]]:
    """Bob, whom applications drive, on a loop for all examples."""
    loop = asyncio.new_event_loop()

    async def begin() -> Town:
        town = Town()
        drive(town, town.bob)
        return town

    town = loop.run_until_complete(begin())
    yield loop, town.server.onebot.accounts[town.bob]
    loop.run_until_complete(town.__aexit__(None, None, None))
    loop.close()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ACTION, st.dictionaries(st.sampled_from(NAMES), VALUE, min_size=2, max_size=8), JSON)
@example("get_forward_msg", {"id": LONG}, None)
@example("set_group_add_request", {"flag": f"group-{LONG}"}, 0)
@example("send_forward_msg", message({"type": "node", "data": {"id": LONG}}), "")
@example("send_msg", message({"type": "json", "data": {"data": DEEP}}), [])
@example("send_msg", message({"type": "text", "data": {"text": DEEP}}), {"": DEEP})
def test_an_action_is_answered_with_its_echo_whatever_its_parameters(driven, name, params, echo):
    loop, account = driven
    loop.run_until_complete(_call(account, {"action": name, "params": params, "echo": echo}))


async def _call(account: OneBotAccount, frame: dict[str, object]) -> None:
    answers: list[str] = []

    async def write(text: str) -> None:
        answers.append(text)

    await ActionQueue(account, write).take(json.dumps(frame))
    await asyncio.gather(*account._tasks)
    (text,) = answers
    answer = json.loads(text, parse_constant=pytest.fail)
    assert answer["echo"] == frame["echo"]
    assert answer["retcode"] in (Retcode.OK, Retcode.FAILED, Retcode.BAD_REQUEST), answer
    assert "internal" not in answer.get("message", "")
