"""Whatever the other side sends: a value or a `ProtocolError`, never another exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.values import quickly
from webqq_tornado.protocol import smartqq, webqq3
from webqq_tornado.protocol.errors import ProtocolError
from webqq_tornado.protocol.exchange import Exchange

CALLS = [
    pytest.param(call, id=f"{dialect}-{call.name}")
    for dialect, calls in (("webqq3", webqq3.EXCHANGES), ("smartqq", smartqq.EXCHANGES))
    for call in calls
]
EXCHANGES: list[Any] = [param for param in CALLS if isinstance(param.values[0], Exchange)]
NAMES = [
    "retcode",
    "errCode",
    "result",
    "errmsg",
    "p",
    "friends",
    "info",
    "marknames",
    "categories",
    "uin",
    "nick",
    "vipinfo",
    "u",
    "gid",
    "gnamelist",
    "gmarklist",
    "gmasklist",
    "ginfo",
    "minfo",
    "members",
    "muin",
    "cards",
    "stats",
    "stat",
    "birthday",
    "year",
    "poll_type",
    "value",
    "from_uin",
    "send_uin",
    "content",
    "did",
    "type",
    "status",
    "psessionid",
    "account",
    "flags",
    "dnamelist",
    "dmasklist",
    "info",
    "mem_list",
    "mem_info",
    "mem_status",
    "mem_uin",
    "ruin",
    "vfwebqq",
    "added_friends",
    "removed_friends",
    "session_id",
]
WORDS = [
    "message",
    "group_message",
    "sess_message",
    "kick_message",
    "font",
    "face",
    "offpic",
    "cface",
    "input_notify",
    "file_message",
    "buddylist_change",
    "online",
    "\ud83d",
    "\udc00\ud800",
    "",
    " ",
    "9" * 40,
]
NESTED = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(0, 130),
        st.floats(),
        st.just(10**300),
        st.sampled_from(WORDS),
        st.text(st.characters(), max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    ),
    max_leaves=20,
)
ENVELOPES = st.fixed_dictionaries(
    {"retcode": st.sampled_from([0, 0, 0, "0", 116, None])}, optional={"result": NESTED}
)


JSON_BODIES = st.one_of(ENVELOPES, NESTED).map(lambda value: json.dumps(value).encode())
CALL_TEXTS = st.from_regex(
    r"ptui(CB|_checkVC)\((('([a-z]|\\x[0-9a-g]{1,2}|\\u[0-9a-f]{3,4}|\\.){0,9}'|[-0-9.e]{1,4}|null),?"
    r"){0,7}\);?",
    fullmatch=True,
).map(lambda text: text.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("exchange", EXCHANGES)
@quickly
@given(body=st.one_of(st.binary(), JSON_BODIES, CALL_TEXTS))
def test_any_reply_is_a_value_or_a_protocol_error(exchange: Any, body: bytes) -> None:
    with suppress(ProtocolError):
        repr(exchange.parse(body)).encode()


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"retcode":0,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"retcode":0,"result":[{"poll_type":"x","value":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"retcode":0,"result":[{"poll_type":"message","value":{"from_uin":1,"content":'
        + b"[" * 900
        + b"]" * 900
        + b"}}]}",
        b'{"retcode":' + b"9" * 100_000 + b"}",
        b'{"retcode":NaN}',
        b'{"retcode":0,"result":Infinity}',
        b'{"retcode":true}',
        b"\xff\xfe\x00\x00",
        b"<html>502 Bad Gateway</html>",
        b"ptuiCB(" + b"'\\" * 50_000,
        b"ptuiCB(" + b"'a'," * 50_000,
        b"ptui_checkVC(" + b" " * 100_000,
        b"ptui_checkVC()" + b" " * 200_000 + b"x",
        b"",
    ],
    ids=range(16),
)
def test_a_crafted_reply_is_a_value_or_a_protocol_error(exchange: Any, body: bytes) -> None:
    with suppress(ProtocolError):
        repr(exchange.parse(body)).encode()


RESULTS = [
    {
        "friends": [{"uin": 1, "categories": 0, "flag": 0}],
        "info": [{"uin": 1, "nick": "a", "face": 0, "flag": 0}],
        "marknames": [{"uin": 1, "markname": "a", "type": 0}],
        "categories": [{"index": 1, "sort": 1, "name": "a"}],
        "vipinfo": [{"u": 1, "is_vip": 0, "vip_level": 0}],
    },
    {
        "gnamelist": [{"gid": 1, "code": 2, "name": "a", "flag": 1}],
        "gmarklist": [{"uin": 1, "markname": "a"}],
        "gmasklist": [{"gid": 1, "mask": 1}],
    },
    {
        "ginfo": {"gid": 1, "code": 2, "name": "a", "members": [{"muin": 1, "mflag": 0}]},
        "minfo": [{"uin": 1, "nick": "a", "gender": "male"}],
        "cards": [{"muin": 1, "card": "a"}],
        "stats": [{"uin": 1, "client_type": 41, "stat": 10}],
    },
    {
        "dnamelist": [{"did": 1, "name": "a"}],
        "dmasklist": [{"did": 1, "mask": 1}],
        "info": {"did": 1, "discu_name": "a", "mem_list": [{"mem_uin": 1, "ruin": 1}]},
        "mem_info": [{"uin": 1, "nick": "a"}],
        "mem_status": [{"uin": 1, "status": "online", "client_type": 41}],
    },
    {"uin": 1, "account": 2, "birthday": {"year": 1, "month": 1, "day": 1}, "stat": 10},
    {"uin": 1, "status": "online", "vfwebqq": "a", "psessionid": "b", "value": "c"},
    [
        {"poll_type": "group_message", "value": {"from_uin": 1, "content": [["face", 1], "a"]}},
        {"poll_type": "buddylist_change", "value": {"added_friends": [{"uin": 1}]}},
        {"poll_type": "kick_message", "value": {"way": "poll", "show_reason": 1}},
        {"uin": 1, "type": 0, "lnick": "a", "status": "online", "client_type": 1},
    ],
]


def with_one_thing_else(value: Any) -> Iterator[Any]:
    """The value with one of its parts left out or replaced, each in turn."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys if isinstance(value, (dict, list)) else ():
        for instead in (None, True, "", "a", 2**64, 1.5, [], {}, [[]], "1"):
            changed = value.copy()
            changed[key] = instead
            yield changed
        without = value.copy()
        del without[key]
        yield without
        if isinstance(value[key], (dict, list)):
            for inner in with_one_thing_else(value[key]):
                changed = value.copy()
                changed[key] = inner
                yield changed


@pytest.mark.parametrize("result", RESULTS, ids=range(len(RESULTS)))
def test_a_reply_with_one_thing_else_is_a_value_or_a_protocol_error(result: Any) -> None:
    for changed in with_one_thing_else(result):
        body = json.dumps({"retcode": 0, "result": changed}).encode()
        for exchange in EXCHANGES:
            with suppress(ProtocolError):
                exchange.values[0].parse(body)


ARGUMENTS = st.dictionaries(
    st.sampled_from(["uin", "u", "p", "tuin", "gcode", "r", "t", "clientid", "psessionid", "id"]),
    st.one_of(st.text(st.characters(), max_size=8), NESTED.map(json.dumps), st.just("[" * 100_000)),
)


@pytest.mark.parametrize("call", CALLS)
@quickly
@given(arguments=ARGUMENTS)
def test_any_request_is_a_form_or_a_protocol_error(call: Any, arguments: Any) -> None:
    with suppress(ProtocolError):
        repr(call.read_form(arguments)).encode()
