from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from protocol.values import CONTENTS, quickly
from webqq_tornado.protocol import models, smartqq, webqq3
from webqq_tornado.protocol.models import Content, Face
from webqq_tornado.protocol.wireformat import SMARTQQ_FORMAT, WEBQQ3_FORMAT, WireFormat

TYPED = ["<b>", "&lt;b&gt;", r"\u0026lt;", r"\<", r"\\u0026gt;", "&", 'it\'s "x"', "a ", " "]


def message(*parts: models.Part) -> models.PollReply:
    return models.PollReply(0, (models.FriendMessage(1, Content.of(*parts), msg_id=2),))


def test_webqq3_writes_ascii_and_texts_as_they_were_typed() -> None:
    answer = webqq3.POLL.answer(message(">>> 你 & it's"))
    assert answer.endswith(r'"color":"000000"}],">>> \u4f60 & it' + "'s \"]}}]}")


def test_smartqq_writes_utf_8_and_tags_as_its_javascript_took_them() -> None:
    answer = smartqq.POLL.answer(message('你 <b> & it\'s "x"'))
    assert r'"你 \u0026lt;b\u0026gt; & it' + '\'s \\"x\\""]' in answer


def test_smartqq_writes_a_message_as_the_captures_of_2015_to_2018_have_it() -> None:
    event = models.GroupMessage(2, 3, Content.of("hi", Face(98)), 2, 4, 5, 6)
    assert smartqq.POLL.answer(models.PollReply(0, (event,))) == (
        '{"result":[{"poll_type":"group_message","value":{"content":[["font",{"color":"000000",'
        '"name":"宋体","size":10,"style":[0,0,0]}],"hi",["face",98]],"from_uin":2,"group_code":2,'
        '"msg_id":6,"msg_type":0,"send_uin":3,"time":5,"to_uin":4}}],"retcode":0}'
    )


@pytest.mark.parametrize("exchange", [webqq3.POLL, smartqq.POLL])
@pytest.mark.parametrize("text", TYPED)
def test_what_was_typed_is_what_is_read(exchange: Any, text: str) -> None:
    (event,) = exchange.parse(exchange.answer(message(text)).encode()).events
    assert event.content.text == text


@quickly
@given(CONTENTS)
def test_any_content_comes_through_smartqq(content: Content) -> None:
    reply = message(*content.parts)
    (event,) = smartqq.POLL.parse(smartqq.POLL.answer(reply).encode()).events
    assert isinstance(event, models.FriendMessage)
    assert event.content == Content.of(*content.parts)


@pytest.mark.parametrize("wire_format", [WEBQQ3_FORMAT, SMARTQQ_FORMAT])
def test_events_are_json_whatever_was_typed(wire_format: WireFormat) -> None:
    text = wire_format.dump_events(TYPED)
    assert json.loads(wire_format.plain_events(text)) == TYPED


@pytest.mark.parametrize(
    ("exchange", "written"),
    [(webqq3.LONG_NICK, rb"\u5b89<&"), (smartqq.LONG_NICK, "安<&".encode())],
)
def test_names_are_as_they_are_in_both(exchange: Any, written: bytes) -> None:
    signatures = (models.Signature(1, "安<&"),)
    answer = exchange.answer(signatures).encode()
    assert written in answer
    assert exchange.parse(answer) == signatures


def test_nothing_in_a_name_is_taken_for_an_escape() -> None:
    body = b'{"retcode":0,"result":[{"uin":1,"lnick":"&amp;lt;&nbsp;"}]}'
    assert smartqq.LONG_NICK.parse(body) == (models.Signature(1, "&amp;lt;&nbsp;"),)
