from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.values import LOGINS, SECRETS, SENDS, TEXTS, any_of, arguments_of, named, quickly
from webqq_tornado.client import Endpoints
from webqq_tornado.protocol import forms, hashes, models, smartqq, webqq3
from webqq_tornado.protocol.codes import QRState
from webqq_tornado.protocol.dialect import SMARTQQ, WEBQQ3
from webqq_tornado.protocol.login import qr_reply
from webqq_tornado.protocol.models import Content, Face, Secret, Session

HOME = Endpoints.smartqq()
REPLIES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (smartqq.LOGIN_PAGE, SECRETS),
    (smartqq.QR_STATE, LOGINS),
    (smartqq.VFWEBQQ, SECRETS),
    (smartqq.LOGIN2, any_of(Session)),
    (smartqq.SEND_FRIEND, SENDS),
    (smartqq.SIGN_OUT, TEXTS.map(lambda text: text.lstrip("\ufeff"))),
]
FORMS: list[tuple[Any, Any]] = [
    (smartqq.LOGIN_PAGE, forms.LoginPageForm),
    (smartqq.QR_CODE, forms.QRCodeForm),
    (smartqq.QR_STATE, forms.QRStateForm),
    (smartqq.VFWEBQQ, forms.VfwebqqForm),
    (smartqq.LOGIN2, forms.Login2Form),
    (smartqq.ONLINE, forms.OnlineForm),
    (smartqq.FRIENDS, forms.FriendsForm),
    (smartqq.GROUPS, forms.GroupsForm),
    (smartqq.GROUP_INFO, forms.GroupInfoForm),
    (smartqq.DISCUSSIONS, forms.DiscussionsForm),
    (smartqq.DISCUSSION_INFO, forms.DiscussionInfoForm),
    (smartqq.RECENT, forms.RecentForm),
    (smartqq.TRANSLATE, forms.TranslateForm),
    (smartqq.SELF_INFO, forms.SelfInfoForm),
    (smartqq.FRIEND_INFO, forms.FriendInfoForm),
    (smartqq.LONG_NICK, forms.LongNickForm),
    (smartqq.SET_LONG_NICK, forms.SetLongNickForm),
    (smartqq.ACCEPT_FRIEND, forms.AcceptFriendForm),
    (smartqq.POLL, forms.PollForm),
    (smartqq.SEND_FRIEND, forms.SendForm),
    (smartqq.SEND_GROUP, forms.GroupSendForm),
    (smartqq.SEND_DISCUSSION, forms.DiscussionSendForm),
    (smartqq.SEND_SESSION, forms.SessionSendForm),
    (smartqq.SIGNATURE, forms.SignatureForm),
    (smartqq.CHANGE_STATUS, forms.StatusForm),
    (smartqq.SIGN_OUT, forms.SignOutForm),
]


@pytest.mark.parametrize(("exchange", "values"), [named(pair) for pair in REPLIES])
@quickly
@given(data=st.data())
def test_a_client_reads_what_a_server_answered(exchange: Any, values: Any, data: Any) -> None:
    value = data.draw(values)
    assert exchange.parse(exchange.answer(value).encode()) == value


@pytest.mark.parametrize(("call", "model"), [named(pair) for pair in FORMS])
@quickly
@given(data=st.data())
def test_a_server_reads_what_a_client_sent(call: Any, model: Any, data: Any) -> None:
    form = data.draw(any_of(model))
    assert call.read_form(arguments_of(call.request(HOME, form))) == form


def test_every_exchange_is_tested() -> None:
    assert {call for call, _ in FORMS} == set(smartqq.EXCHANGES)


@pytest.mark.parametrize(
    "name",
    ["LOGIN2", "POLL", "SEND_FRIEND", "SEND_GROUP", "SEND_DISCUSSION", "SEND_SESSION", "RECENT"],
)
def test_a_server_may_read_either_dialect_by_the_other_ones_table(name: str) -> None:
    """Both are served on the same path."""
    late, early = getattr(smartqq, name), getattr(webqq3, name)
    assert late.path == early.path
    (model,) = (model for call, model in FORMS if call is late)
    needed: dict[str, Any] = {"to": 5, "gid": 5, "did": 5, "signature": Secret("s")}
    names = model.__dataclass_fields__
    values = {key: value for key, value in needed.items() if key in names}
    content = {"content": Content.of("hi", Face(14))} if "content" in names else {}
    form = model(**values, **content, clientid=7, psessionid=Secret("p"))
    assert early.read_form(arguments_of(late.request(HOME, form))) == form
    assert late.read_form(arguments_of(early.request(HOME, form))) == form


# --- requests as the clients of 2017 sent them ------------------------------------------------


def test_the_qr_code_is_asked_for_as_qqbot_did() -> None:
    request = smartqq.QR_CODE.request(HOME, forms.QRCodeForm("0.5"))
    assert request.full_url == (
        "https://ssl.ptlogin2.qq.com/ptqrshow?appid=501004106&e=0&l=M&s=5&d=72&v=4&t=0.5"
    )


def test_the_state_of_a_qr_code_is_asked_for_with_every_parameter_of_the_facts() -> None:
    token = hashes.hash33("x" * 40)
    sent = arguments_of(smartqq.QR_STATE.request(HOME, forms.QRStateForm(token)))
    expected = (
        "ptqrtoken webqq_type remember_uin login2qq aid u1 ptredirect ptlang daid from_ui pttype"
        " dumy fp action mibao_css t g js_type js_ver login_sig pt_randsalt"
    )
    assert list(sent) == expected.split()
    assert sent["ptqrtoken"] == str(token)


def test_login2_says_who_one_is_inside_r_alone() -> None:
    form = forms.Login2Form(53999199, ptwebqq=Secret("pt"))
    request = smartqq.LOGIN2.request(HOME, form)
    assert request.full_url == "http://d1.web2.qq.com/channel/login2"
    assert arguments_of(request) == {
        "r": '{"ptwebqq":"pt","clientid":53999199,"psessionid":"","status":"online"}'
    }
    assert request.get_header("Referer") == (
        "http://d1.web2.qq.com/proxy.html?v=20151105001&callback=1&id=2"
    )
    assert request.get_header("Origin") == "http://d1.web2.qq.com"


def test_poll_is_asked_for_with_ptwebqq_and_an_empty_key() -> None:
    sent = arguments_of(smartqq.POLL.request(HOME, forms.PollForm(7, Secret("s"), Secret("pt"))))
    assert sent == {"r": '{"ptwebqq":"pt","clientid":7,"psessionid":"s","key":""}'}


def test_a_message_to_a_discussion_is_sent_with_its_font_last() -> None:
    form = forms.DiscussionSendForm(7, Content.of("hi"), msg_id=9, clientid=1, face=522)
    sent = json.loads(arguments_of(smartqq.SEND_DISCUSSION.request(HOME, form))["r"])
    assert list(sent) == ["did", "content", "face", "clientid", "msg_id", "psessionid"]
    assert json.loads(sent["content"])[-1][0] == "font"


# --- answers as the server of 2017 wrote them -------------------------------------------------


@pytest.mark.parametrize(
    ("state", "written"),
    [
        (QRState.WAITING, "ptuiCB('66','0','','0','二维码未失效。(3437897390)', '');\r\n"),
        (QRState.SCANNED, "ptuiCB('67','0','','0','二维码认证中。(3437897390)', '');\r\n"),
        (QRState.EXPIRED, "ptuiCB('65','0','','0','二维码已失效。(3437897390)', '');\r\n"),
    ],
)
def test_the_state_of_a_qr_code_is_answered_word_for_word(state: QRState, written: str) -> None:
    reply = qr_reply(state, 3437897390)
    assert smartqq.QR_STATE.answer(reply) == written
    assert smartqq.QR_STATE.parse(written.encode()).qr_state is state


def test_a_confirmed_qr_code_leads_on() -> None:
    reply = qr_reply(QRState.DONE, url="http://ptlogin4.web2.qq.com/check_sig?a=1", nick="nick")
    assert smartqq.QR_STATE.answer(reply) == (
        "ptuiCB('0','0','http://ptlogin4.web2.qq.com/check_sig?a=1','0','登录成功！', 'nick');\r\n"
    )


def test_a_sent_message_is_answered_with_send_ok() -> None:
    answer = smartqq.SEND_GROUP.answer(models.SendReply(0, "send ok"))
    assert answer == '{"errCode":0,"msg":"send ok"}'


def test_friends_who_came_and_went_are_told_apart() -> None:
    body = b"""{"retcode":0,"result":[{"poll_type":"buddylist_change","value":
        {"added_friends":[{"uin":5,"groupid":0}],"removed_friends":[{"uin":6},{"uin":7}]}}]}"""
    (event,) = smartqq.POLL.parse(body).events
    assert event == models.FriendListChange((5,), (6, 7))
    answer = smartqq.POLL.answer(models.PollReply(0, (event,))).encode()
    assert smartqq.POLL.parse(answer).events == (event,)


# --- the table that clients go by -------------------------------------------------------------


def test_each_dialect_has_its_own_exchanges() -> None:
    assert SMARTQQ.poll is smartqq.POLL
    assert WEBQQ3.poll is webqq3.POLL
    assert (SMARTQQ.heartbeat, WEBQQ3.heartbeat) == (None, webqq3.HEARTBEAT)
