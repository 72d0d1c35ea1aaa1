"""Whatever the other side sends: a value or a `ProtocolError`, never another exception."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_values import quickly

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
