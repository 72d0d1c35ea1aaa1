from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.values import (
    CHECKS,
    LOGINS,
    SECRETS,
    SENDS,
    TEXTS,
    any_of,
    arguments_of,
    details,
    discussions,
    distinct,
    friend_lists,
    named,
    polls,
    quickly,
    several,
)
from webqq_tornado.client import Endpoints
from webqq_tornado.protocol import forms, models, webqq3
from webqq_tornado.protocol.codes import Action, LoginResult, Status
from webqq_tornado.protocol.errors import ProtocolError, RefusedError
from webqq_tornado.protocol.exchange import Exchange
from webqq_tornado.protocol.login import LOGIN_TEXTS, login_refusal
from webqq_tornado.protocol.models import Content, Face, Secret

HOME = Endpoints.historical()
EVENTS = [
    models.FriendMessage,
    models.GroupMessage,
    models.DiscussionMessage,
    models.SessionMessage,
    models.StatusChange,
    models.Kicked,
    models.SystemMessage,
    models.GroupSystemMessage,
    models.Typing,
    models.FileOffer,
]
REPLIES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (webqq3.LOGIN_PAGE, SECRETS),
    (webqq3.CHECK, CHECKS),
    (webqq3.LOGIN, LOGINS),
    (webqq3.LOGIN2, any_of(models.Session)),
    (
        webqq3.FRIENDS,
        friend_lists(distinct(models.Friend, "uin"), several(models.Category)),
    ),
    (webqq3.GROUPS, distinct(models.Group, "gid")),
    (webqq3.GROUP_INFO, details(distinct(models.Member, "uin"))),
    (webqq3.TRANSLATE, any_of(models.Translation)),
    (webqq3.ONLINE, several(models.Presence)),
    (webqq3.SELF_INFO, any_of(models.SelfInfo)),
    (webqq3.FRIEND_INFO, any_of(models.FriendInfo)),
    (webqq3.LONG_NICK, several(models.Signature)),
    (webqq3.SET_LONG_NICK, SENDS),
    (webqq3.ACCEPT_FRIEND, SENDS),
    (webqq3.DISCUSSIONS, distinct(models.Discussion, "did")),
    (webqq3.DISCUSSION_INFO, discussions(distinct(models.DiscussionMember, "uin"))),
    (webqq3.RECENT, several(models.Recent)),
    (webqq3.POLL, polls(EVENTS)),
    (webqq3.SEND_FRIEND, SENDS),
    (webqq3.SIGNATURE, SECRETS),
    (webqq3.CHANGE_STATUS, SENDS),
    (webqq3.HEARTBEAT, TEXTS.map(lambda text: text.lstrip("\ufeff"))),
    (webqq3.LOGOUT, SENDS),
]
FORMS: list[tuple[Any, Any]] = [
    (webqq3.LOGIN_PAGE, forms.LoginPageForm),
    (webqq3.CHECK, forms.CheckForm),
    (webqq3.CAPTCHA, forms.CaptchaForm),
    (webqq3.LOGIN, forms.LoginForm),
    (webqq3.LOGIN2, forms.Login2Form),
    (webqq3.FRIENDS, forms.FriendsForm),
    (webqq3.GROUPS, forms.GroupsForm),
    (webqq3.GROUP_INFO, forms.GroupInfoForm),
    (webqq3.TRANSLATE, forms.TranslateForm),
    (webqq3.ONLINE, forms.OnlineForm),
    (webqq3.SELF_INFO, forms.SelfInfoForm),
    (webqq3.FRIEND_INFO, forms.FriendInfoForm),
    (webqq3.LONG_NICK, forms.LongNickForm),
    (webqq3.SET_LONG_NICK, forms.SetLongNickForm),
    (webqq3.ACCEPT_FRIEND, forms.AcceptFriendForm),
    (webqq3.DISCUSSIONS, forms.DiscussionsForm),
    (webqq3.DISCUSSION_INFO, forms.DiscussionInfoForm),
    (webqq3.RECENT, forms.RecentForm),
    (webqq3.SEND_DISCUSSION, forms.DiscussionSendForm),
    (webqq3.FILE, forms.FileForm),
    (webqq3.POLL, forms.PollForm),
    (webqq3.SEND_FRIEND, forms.SendForm),
    (webqq3.SEND_GROUP, forms.GroupSendForm),
    (webqq3.SEND_SESSION, forms.SessionSendForm),
    (webqq3.SIGNATURE, forms.SignatureForm),
    (webqq3.CHANGE_STATUS, forms.StatusForm),
    (webqq3.HEARTBEAT, forms.HeartbeatForm),
    (webqq3.LOGOUT, forms.LogoutForm),
]


# --- both sides together ----------------------------------------------------------------------


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


def test_every_exchange_is_tested_both_ways() -> None:
    assert {call for call, _ in FORMS} == set(webqq3.EXCHANGES)
    with_reply = {call.name for call in webqq3.EXCHANGES if isinstance(call, Exchange)}
    shared = {webqq3.SEND_GROUP.name, webqq3.SEND_SESSION.name, webqq3.SEND_DISCUSSION.name}
    assert {call.name for call, _ in REPLIES} == with_reply - shared


def test_no_two_exchanges_have_the_same_path() -> None:
    paths = [call.path for call in webqq3.EXCHANGES]
    assert len(set(paths)) == len(paths)


# --- requests as the clients of 2013 sent them ------------------------------------------------


def test_check_goes_to_its_own_host() -> None:
    request = webqq3.CHECK.request(HOME, forms.CheckForm(1685359365, r="0.5"))
    assert request.full_url == (
        "http://check.ptlogin2.qq.com/check?uin=1685359365&appid=1003903&r=0.5"
    )


def test_the_captcha_is_asked_for_as_pual_bot_did() -> None:
    request = webqq3.CAPTCHA.request(HOME, forms.CaptchaForm(10000, r="0.5"))
    assert request.full_url == "https://ssl.captcha.qq.com/getimage?aid=1003903&r=0.5&uin=10000"


def test_login_sends_every_parameter_of_the_facts() -> None:
    form = forms.LoginForm(10000, Secret("AB"), "!PTH")
    sent = arguments_of(webqq3.LOGIN.request(HOME, form))
    expected = (
        "u p verifycode webqq_type remember_uin login2qq aid u1 h ptredirect ptlang from_ui"
        " pttype dumy fp mibao_css t g js_type js_ver"
    )
    assert list(sent) == expected.split()
    assert (sent["u"], sent["p"], sent["verifycode"]) == ("10000", "AB", "!PTH")


def test_login2_says_null_where_there_is_no_session() -> None:
    form = forms.Login2Form(53999199, ptwebqq=Secret("pt"))
    sent = arguments_of(webqq3.LOGIN2.request(HOME, form))
    assert sent == {
        "r": '{"status":"online","ptwebqq":"pt","passwd_sig":"","clientid":"53999199",'
        '"psessionid":null}',
        "clientid": "53999199",
        "psessionid": "null",
    }


def test_poll_is_asked_for_with_key_and_ids() -> None:
    request = webqq3.POLL.request(HOME, forms.PollForm(7, Secret("s")))
    assert arguments_of(request) == {
        "r": '{"clientid":"7","psessionid":"s","key":0,"ids":[]}',
        "clientid": "7",
        "psessionid": "s",
    }


def test_posts_to_d_have_the_referer_and_the_origin_that_are_checked() -> None:
    request = webqq3.POLL.request(HOME, forms.PollForm())
    assert request.get_method() == "POST"
    assert request.full_url == "http://d.web2.qq.com/channel/poll2"
    assert request.get_header("Referer") == (
        "http://d.web2.qq.com/proxy.html?v=20110331002&callback=1&id=2"
    )
    assert request.get_header("Origin") == "http://d.web2.qq.com"
    assert request.get_header("Content-type") == "application/x-www-form-urlencoded"


def test_a_message_is_sent_with_its_font_last() -> None:
    form = forms.SendForm(7, Content.of("hi", Face(14)), msg_id=9, clientid=1, face=522)
    sent = json.loads(arguments_of(webqq3.SEND_FRIEND.request(HOME, form))["r"])
    assert list(sent) == ["to", "face", "content", "msg_id", "clientid", "psessionid"]
    font = {"name": "宋体", "size": 10, "style": [0, 0, 0], "color": "000000"}
    assert json.loads(sent["content"]) == ["hi", ["face", 14], ["font", font]]


def test_everything_goes_to_one_bare_address_when_told_so() -> None:
    endpoints = Endpoints.at("http://127.0.0.1:8100/")
    request = webqq3.SELF_INFO.request(endpoints, forms.SelfInfoForm(t=5))
    assert request.full_url == "http://127.0.0.1:8100/api/get_self_info2?t=5"


# --- what other clients send ------------------------------------------------------------------


def test_the_server_reads_a_check_with_the_fields_that_twqq_adds() -> None:
    more = {"u1": "http://web2.qq.com/loginproxy.html", "js_ver": "10040", "js_type": "0"}
    form = webqq3.CHECK.read_form({"uin": "10000", "appid": "1003903", "r": "0.1", **more})
    assert form == forms.CheckForm(10000, "0.1")


def test_the_server_reads_a_client_id_as_number_or_text() -> None:
    for written in ("7", '"7"'):
        r = f'{{"status":"away","ptwebqq":"x","clientid":{written},"psessionid":""}}'
        form = webqq3.LOGIN2.read_form({"r": r})
        assert form == forms.Login2Form(7, Secret("x"), status=Status.AWAY)


def test_what_is_null_inside_is_taken_from_beside_it() -> None:
    form = webqq3.LOGIN2.read_form({"r": '{"clientid":null}', "clientid": "7"})
    assert form == forms.Login2Form(7)


@pytest.mark.parametrize("uin", ["9223372036854775808", "1.5", "x", "-"])
def test_what_is_no_number_of_64_bits_is_refused(uin: str) -> None:
    with pytest.raises(ProtocolError, match="check: request: uin: "):
        webqq3.CHECK.read_form({"uin": uin})


def test_the_server_does_without_a_hash() -> None:
    form = webqq3.FRIENDS.read_form({"r": '{"h":"hello","vfwebqq":"v"}'})
    assert form == forms.FriendsForm(Secret("v"))


def test_the_server_reads_the_time_of_twqq_2014() -> None:
    assert webqq3.SELF_INFO.read_form({"t": "1384167681.25"}) == forms.SelfInfoForm(1384167681)


def test_the_server_reads_a_content_that_is_a_list_and_no_text() -> None:
    r = '{"to":7,"content":["a","",["font",{}]],"msg_id":1}'
    assert webqq3.SEND_FRIEND.read_form({"r": r}).content.text == "a"


@pytest.mark.parametrize("r", ["", "[]", "{", '{"to":"x"}', '{"to":1}', "[" * 100000])
def test_a_message_that_cannot_be_read_is_an_error_that_says_where(r: str) -> None:
    with pytest.raises(ProtocolError, match="send_buddy_msg2: request: "):
        webqq3.SEND_FRIEND.read_form({"r": r})


# --- answers as the historical server wrote them ----------------------------------------------


def test_check_is_answered_word_for_word() -> None:
    reply = models.CheckReply(False, "!PTH", bytes.fromhex("0000000064748b05"))
    assert webqq3.CHECK.answer(reply) == (
        r"ptui_checkVC('0','!PTH','\x00\x00\x00\x00\x64\x74\x8b\x05');"
    )


def test_the_late_check_has_five_values() -> None:
    reply = models.CheckReply(True, "cap", bytes(8), Secret("vf"))
    assert webqq3.CHECK.answer(reply).endswith(r"\x00','vf','0');")


def test_login_is_answered_word_for_word() -> None:
    reply = models.LoginReply(0, Secret("http://u/"), LOGIN_TEXTS[LoginResult.OK], "nick")
    assert webqq3.LOGIN.answer(reply) == "ptuiCB('0','0','http://u/','0','登录成功!', 'nick');\r\n"


def test_a_wrong_password_is_answered_word_for_word() -> None:
    reply = login_refusal(LoginResult.WRONG_PASSWORD, 10000)
    assert webqq3.LOGIN.answer(reply) == (
        "ptuiCB('3','0','','0','您输入的帐号或密码不正确，请重新输入。', '10000');\r\n"
    )
    assert reply.result is LoginResult.WRONG_PASSWORD


def test_login2_is_answered_in_the_order_of_the_facts() -> None:
    answer = json.loads(webqq3.LOGIN2.answer(models.Session(1, Secret("p"), Secret("v"))))
    expected = "uin cip index port status vfwebqq psessionid user_state f"
    assert list(answer["result"]) == expected.split()
    assert answer["result"]["psessionid"] == "p"


def test_a_group_message_is_written_in_the_order_of_the_captures() -> None:
    event = models.GroupMessage(gid=2, sender=3, content=Content.of("a<b\n"))
    (written,) = json.loads(webqq3.POLL.answer(models.PollReply(0, (event,))))["result"]
    expected = (
        "msg_id from_uin to_uin msg_id2 msg_type reply_ip group_code send_uin seq time info_seq"
        " content"
    )
    assert written["poll_type"] == "group_message"
    assert list(written["value"]) == expected.split()
    assert written["value"]["content"][1] == "a<b\r "


def test_nothing_new_is_answered_with_102() -> None:
    assert webqq3.POLL.answer(models.PollReply(102)) == '{"retcode":102,"errmsg":""}'


def test_a_sent_message_is_answered_with_ok() -> None:
    assert webqq3.SEND_GROUP.answer(models.SendReply()) == '{"retcode":0,"result":"ok"}'


def test_cards_are_absent_when_nobody_has_one() -> None:
    group = models.GroupDetails(1, 2, members=(models.Member(3),))
    assert "cards" not in json.loads(webqq3.GROUP_INFO.answer(group))["result"]


# --- replies as they were captured ------------------------------------------------------------


def test_a_poll_of_2014_is_read() -> None:
    body = rb"""{"retcode":0,"result":[{"poll_type":"message","value":{"msg_id":33358,
        "from_uin":972050537,"to_uin":1170624690,"msg_id2":206584,"msg_type":9,
        "reply_ip":176488532,"time":1436432378,"content":[["font",{"size":10,
        "color":"000000","style":[1,0,0],"name":"\u5B8B\u4F53"}],"2 > 1 ",["face",14]," "]}}]}
        """
    (event,) = webqq3.POLL.parse(body).events
    assert isinstance(event, models.FriendMessage)
    assert event.content == Content.of("2 > 1 ", Face(14), font=models.Font(bold=True))
    assert (event.sender, event.msg_id, event.time) == (972050537, 33358, 1436432378)


def test_one_odd_event_does_not_cost_the_others() -> None:
    odd = {"poll_type": "message", "value": {"from_uin": 1}}
    good = {"poll_type": "kick_message", "value": {"way": "poll", "reason": "x"}}
    body = json.dumps({"retcode": 0, "result": [odd, good]}).encode()
    first, second = webqq3.POLL.parse(body).events
    assert first == models.Other("message", '{"from_uin":1}', "content is missing")
    assert second == models.Kicked("x")


def test_a_new_ptwebqq_is_a_value() -> None:
    reply = webqq3.POLL.parse(b'{"retcode":116,"p":"abc"}')
    assert (reply.action, str(reply.ptwebqq)) == (Action.NEW_PTWEBQQ, "abc")


def test_late_smartqq_said_nothing_new_with_retcode_0() -> None:
    assert webqq3.POLL.parse(b'{"retcode":0,"errmsg":"error"}') == models.PollReply()


@pytest.mark.parametrize(
    "body", [b'{"errCode":0,"msg":"send ok"}', b'{"retcode":1202}', b'{"ec":100100}']
)
def test_a_message_counts_as_delivered_in_spite_of_some_codes(body: bytes) -> None:
    assert webqq3.SEND_FRIEND.parse(body).is_accepted


def test_a_refused_message_asks_for_a_login() -> None:
    reply = webqq3.SEND_FRIEND.parse(b'{"retcode":8,"errmsg":""}')
    assert (reply.is_accepted, reply.action) == (False, Action.LOG_IN_AGAIN)


def test_friends_are_put_together_from_five_lists() -> None:
    body = """{"retcode":0,"result":{"friends":[{"flag":20,"uin":5,"categories":1}],
        "marknames":[{"uin":5,"markname":"Tom","type":0},{"uin":6,"markname":"nobody"}],
        "categories":[{"index":1,"sort":1,"name":"A&B"}],
        "vipinfo":[{"vip_level":2,"u":5,"is_vip":1}],
        "info":[{"face":288,"flag":4,"nick":"t","uin":5}]}}"""
    friends = webqq3.FRIENDS.parse(body.encode())
    tom = models.Friend(5, "t", "Tom", 1, 288, 4, 20, 0, True, 2)
    assert friends == models.FriendList((tom,), (models.Category(1, "A&B", 1),))
    assert friends.category_name(0) == "我的好友"


def test_half_of_a_group_is_told_from_a_whole() -> None:
    body = b'{"retcode":0,"result":{"ginfo":{"gid":1,"code":2,"members":[{"muin":3}]}}}'
    group = webqq3.GROUP_INFO.parse(body)
    assert not group.is_complete
    assert group.members == (models.Member(3),)


def test_a_refusal_has_its_code_and_what_to_do() -> None:
    with pytest.raises(RefusedError, match="get_user_friends2: refused with retcode 50") as caught:
        webqq3.FRIENDS.parse(b'{"retcode":50}')
    assert caught.value.action is Action.RECOMPUTE_HASH


def test_a_missing_field_is_named_with_its_path() -> None:
    body = b'{"retcode":0,"result":[{"uin":1,"status":"online"},{"status":"away"}]}'
    with pytest.raises(ProtocolError, match="get_online_buddies2: 1: uin is missing"):
        webqq3.ONLINE.parse(body)
