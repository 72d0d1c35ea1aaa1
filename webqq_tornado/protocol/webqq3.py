"""WebQQ 3, the dialect of 2012 to 2014: every request and its reply, one table entry each.

A conversation in the order of the clients: `CHECK`, (`CAPTCHA`,) `LOGIN`, `LOGIN2`, `FRIENDS`,
`GROUPS`, `GROUP_INFO` for each group, then `POLL` without end, `HEARTBEAT` every 60 s, the
three ``SEND_*`` when there is something to say, `LOGOUT`.

Example:
    The client half, then the server half of the same exchange:

    >>> from webqq_tornado.protocol import webqq3
    >>> from webqq_tornado.protocol.endpoints import Endpoints
    >>> from webqq_tornado.protocol.forms import CheckForm
    >>> form = CheckForm(1685359365, r="0.5")
    >>> webqq3.CHECK.request(Endpoints.at("http://127.0.0.1:8100"), form).full_url
    'http://127.0.0.1:8100/check?uin=1685359365&appid=1003903&r=0.5'
    >>> webqq3.CHECK.read_form({"uin": "1685359365", "appid": "1003903", "r": "0.5"}) == form
    True

Sources: pual_bot 2013 and twqq 2014, where not said otherwise.
"""

from __future__ import annotations

from . import contacts, forms, messages
from .content import MESSAGE_CONTENT
from .endpoints import (
    APP_ID,
    LOGIN_REFERER,
    ORIGIN_D,
    ORIGIN_S,
    REFERER_D,
    REFERER_POLL,
    REFERER_S,
    REFERER_WEB,
)
from .exchange import Call, Exchange, Form, Reply, json_reply, list_reply
from .fields import (
    INTEGER,
    LENIENT,
    NUMERAL,
    RAW,
    SECRET,
    SECRET_OR_NULL,
    STATUS,
    Field,
    fixed,
    secret_at,
)
from .login import CHECK_REPLY, LOGIN_PAGE_REPLY, LOGIN_REPLY

__all__ = [
    "ACCEPT_FRIEND",
    "CAPTCHA",
    "CHANGE_STATUS",
    "CHECK",
    "DISCUSSIONS",
    "DISCUSSION_INFO",
    "EXCHANGES",
    "FILE",
    "FRIENDS",
    "FRIEND_INFO",
    "GROUPS",
    "GROUP_INFO",
    "HEARTBEAT",
    "LOGIN",
    "LOGIN2",
    "LOGIN_PAGE",
    "LOGOUT",
    "LONG_NICK",
    "ONLINE",
    "POLL",
    "RECENT",
    "SELF_INFO",
    "SEND_DISCUSSION",
    "SEND_FRIEND",
    "SEND_GROUP",
    "SEND_SESSION",
    "SET_LONG_NICK",
    "SIGNATURE",
    "TRANSLATE",
]


# --- signing in -------------------------------------------------------------------------------

LOGIN_PAGE = Exchange(
    "login_page",
    "GET",
    "ui",
    "/cgi-bin/login",
    Form(
        forms.LoginPageForm,
        fixed("daid", 164),
        fixed("target", "self"),
        fixed("style", 5),
        fixed("mibao_css", "m_webqq"),
        fixed("appid", APP_ID),
        fixed("enable_qlogin", 0),
        fixed("no_verifyimg", 1),
        fixed("s_url", "http://web2.qq.com/loginproxy.html"),
        fixed("f_url", "loginerroralert"),
        fixed("strong_login", 1),
        fixed("login_state", 10),
        Field("t", RAW),
    ),
    LOGIN_PAGE_REPLY,
)
"""The login_sig that twqq 2014 asked for first; the others did without."""

_LOGIN_SIG = Field("login_sig", SECRET, is_sparse=True)

CHECK = Exchange(
    "check",
    "GET",
    "check",
    "/check",
    Form(
        forms.CheckForm,
        Field("uin", INTEGER, "account"),
        fixed("appid", APP_ID),
        _LOGIN_SIG,
        Field("r", RAW),
    ),
    CHECK_REPLY,
    referer=LOGIN_REFERER,
)
"""Whether a captcha is needed; returns the verify code and the salt."""

CAPTCHA = Call(
    "getimage",
    "GET",
    "captcha",
    "/getimage",
    Form(
        forms.CaptchaForm,
        fixed("aid", APP_ID),
        Field("r", RAW),
        Field("uin", INTEGER, "account"),
    ),
)
"""The captcha as a JPEG."""

LOGIN = Exchange(
    "login",
    "GET",
    "ssl",
    "/login",
    Form(
        forms.LoginForm,
        Field("u", INTEGER, "account"),
        Field("p", SECRET),
        Field("verifycode", RAW, "verify_code"),
        fixed("webqq_type", 10),
        fixed("remember_uin", 1),
        fixed("login2qq", 1),
        fixed("aid", APP_ID),
        fixed("u1", "http://web.qq.com/loginproxy.html?login2qq=1&webqq_type=10"),
        fixed("h", 1),
        fixed("ptredirect", 0),
        fixed("ptlang", 2052),
        fixed("from_ui", 1),
        fixed("pttype", 1),
        fixed("dumy", ""),
        fixed("fp", "loginerroralert"),
        fixed("mibao_css", "m_webqq"),
        fixed("t", 1),
        fixed("g", 1),
        fixed("js_type", 0),
        fixed("js_ver", 10040),
        _LOGIN_SIG,
    ),
    LOGIN_REPLY,
    referer=LOGIN_REFERER,
)
"""The password login; the cookies that it sets matter more than its reply."""

_CLIENT_ID = Field("clientid", NUMERAL)
_SESSION_ID = Field("psessionid", SECRET)
_SESSION = (_CLIENT_ID, _SESSION_ID)
_TIME = Field("t", LENIENT)
_VFWEBQQ = Field("vfwebqq", SECRET)

LOGIN2 = Exchange(
    "login2",
    "POST",
    "d",
    "/channel/login2",
    Form(
        forms.Login2Form,
        _CLIENT_ID,
        Field("psessionid", SECRET_OR_NULL),
        inner=(
            Field("status", STATUS),
            Field("ptwebqq", SECRET),
            fixed("passwd_sig", ""),
            _CLIENT_ID,
            Field("psessionid", SECRET_OR_NULL),
        ),
    ),
    json_reply(contacts.SESSION.parse, contacts.SESSION.build),
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""Opens the session."""

# --- contacts ---------------------------------------------------------------------------------

FRIENDS = Exchange(
    "get_user_friends2",
    "POST",
    "s",
    "/api/get_user_friends2",
    Form(
        forms.FriendsForm,
        inner=(fixed("h", "hello"), Field("hash", SECRET, is_sparse=True), _VFWEBQQ),
    ),
    json_reply(contacts.parse_friend_list, contacts.build_friend_list),
    referer=REFERER_S,
    origin=ORIGIN_S,
)
"""Friends with their categories and marks; a wrong hash is retcode 50."""

GROUPS = Exchange(
    "get_group_name_list_mask2",
    "POST",
    "s",
    "/api/get_group_name_list_mask2",
    Form(forms.GroupsForm, inner=(_VFWEBQQ, Field("hash", SECRET, is_sparse=True))),
    json_reply(contacts.parse_groups, contacts.build_groups),
    referer=REFERER_S,
    origin=ORIGIN_S,
)
"""Groups with their marks and masks."""

GROUP_INFO = Exchange(
    "get_group_info_ext2",
    "GET",
    "s",
    "/api/get_group_info_ext2",
    Form(
        forms.GroupInfoForm,
        Field("gcode", INTEGER),
        fixed("cb", "undefined"),
        _VFWEBQQ,
        _TIME,
    ),
    json_reply(contacts.parse_group_details, contacts.build_group_details),
    referer=REFERER_S,
)
"""One group with its members; retcode 6, or an incomplete answer: ask again."""

TRANSLATE = Exchange(
    "get_friend_uin2",
    "GET",
    "s",
    "/api/get_friend_uin2",
    Form(
        forms.TranslateForm,
        Field("tuin", INTEGER, "uin"),
        fixed("verifysession", ""),
        Field("type", INTEGER),
        fixed("code", ""),
        _VFWEBQQ,
        _TIME,
    ),
    json_reply(contacts.TRANSLATION.parse, contacts.TRANSLATION.build),
    referer=REFERER_S,
)
"""The public number of a uin."""

ONLINE = Exchange(
    "get_online_buddies2",
    "GET",
    "d",
    "/channel/get_online_buddies2",
    Form(forms.OnlineForm, _VFWEBQQ, *_SESSION, _TIME),
    list_reply(contacts.PRESENCE),
    referer=REFERER_D,
)
"""Who is online."""

SELF_INFO = Exchange(
    "get_self_info2",
    "GET",
    "s",
    "/api/get_self_info2",
    Form(forms.SelfInfoForm, _TIME),
    json_reply(contacts.SELF_INFO.parse, contacts.SELF_INFO.build),
    referer=REFERER_S,
)
"""One's own profile."""

FRIEND_INFO = Exchange(
    "get_friend_info2",
    "GET",
    "s",
    "/api/get_friend_info2",
    Form(forms.FriendInfoForm, Field("tuin", INTEGER, "uin"), _VFWEBQQ, *_SESSION, _TIME),
    json_reply(contacts.FRIEND_INFO.parse, contacts.FRIEND_INFO.build),
    referer=REFERER_S,
)
"""A friend's profile."""

LONG_NICK = Exchange(
    "get_single_long_nick2",
    "GET",
    "s",
    "/api/get_single_long_nick2",
    Form(forms.LongNickForm, Field("tuin", INTEGER, "uin"), _VFWEBQQ, _TIME),
    list_reply(contacts.SIGNATURE),
    referer=REFERER_S,
)
"""A friend's signature."""

DISCUSSIONS = Exchange(
    "get_discus_list",
    "GET",
    "s",
    "/api/get_discus_list",
    Form(forms.DiscussionsForm, *_SESSION, _VFWEBQQ, _TIME),
    json_reply(contacts.parse_discussions, contacts.build_discussions),
    referer=REFERER_S,
)
"""Discussions with their masks."""

DISCUSSION_INFO = Exchange(
    "get_discu_info",
    "GET",
    "d",
    "/channel/get_discu_info",
    Form(forms.DiscussionInfoForm, Field("did", INTEGER), _VFWEBQQ, *_SESSION, _TIME),
    json_reply(contacts.parse_discussion_details, contacts.build_discussion_details),
    referer=REFERER_D,
)
"""One discussion with its members."""

RECENT = Exchange(
    "get_recent_list2",
    "POST",
    "d",
    "/channel/get_recent_list2",
    Form(forms.RecentForm, *_SESSION, inner=(_VFWEBQQ, *_SESSION)),
    list_reply(contacts.RECENT),
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""Whom one has lately written with."""

_DONE = Reply(lambda _name, text, _: messages.parse_send_reply(text), messages.build_send_reply)

SET_LONG_NICK = Exchange(
    "set_long_nick2",
    "POST",
    "s",
    "/api/set_long_nick2",
    Form(forms.SetLongNickForm, inner=(Field("nlk", RAW, "text"), _VFWEBQQ)),
    _DONE,
    referer=REFERER_S,
    origin=ORIGIN_S,
)
"""Change one's signature."""

ACCEPT_FRIEND = Exchange(
    "allow_and_add2",
    "POST",
    "s",
    "/api/allow_and_add2",
    Form(
        forms.AcceptFriendForm,
        inner=(
            Field("account", INTEGER),
            fixed("gid", 0),
            Field("mname", RAW, "mark"),
            _VFWEBQQ,
        ),
    ),
    _DONE,
    referer=REFERER_S,
    origin=ORIGIN_S,
)
"""Accept a friend request."""

# --- messages ---------------------------------------------------------------------------------

POLL = Exchange(
    "poll2",
    "POST",
    "d",
    "/channel/poll2",
    Form(
        forms.PollForm,
        *_SESSION,
        inner=(
            Field("ptwebqq", SECRET, is_sparse=True),
            *_SESSION,
            fixed("key", 0),
            fixed("ids", []),
        ),
    ),
    Reply(lambda _, text, format_: messages.parse_poll(text, format_), messages.build_poll),
    referer=REFERER_POLL,
    origin=ORIGIN_D,
)
"""What is new; held by the server for up to about 60 s."""

_MESSAGE = (MESSAGE_CONTENT, Field("msg_id", INTEGER), *_SESSION)
_FACE = Field("face", INTEGER)

SEND_FRIEND = Exchange(
    "send_buddy_msg2",
    "POST",
    "d",
    "/channel/send_buddy_msg2",
    Form(forms.SendForm, *_SESSION, inner=(Field("to", INTEGER), _FACE, *_MESSAGE)),
    _DONE,
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""A message to a friend."""

SEND_GROUP = Exchange(
    "send_qun_msg2",
    "POST",
    "d",
    "/channel/send_qun_msg2",
    Form(
        forms.GroupSendForm,
        *_SESSION,
        inner=(Field("group_uin", INTEGER, "gid"), _FACE, *_MESSAGE),
    ),
    _DONE,
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""A message to a group."""

SEND_SESSION = Exchange(
    "send_sess_msg2",
    "POST",
    "d",
    "/channel/send_sess_msg2",
    Form(
        forms.SessionSendForm,
        *_SESSION,
        inner=(
            Field("to", INTEGER),
            Field("group_sig", SECRET, "signature"),
            _FACE,
            *_MESSAGE,
            Field("service_type", INTEGER),
        ),
    ),
    _DONE,
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""A message to a stranger."""


SEND_DISCUSSION = Exchange(
    "send_discu_msg2",
    "POST",
    "d",
    "/channel/send_discu_msg2",
    Form(
        forms.DiscussionSendForm,
        *_SESSION,
        inner=(Field("did", INTEGER), _FACE, *_MESSAGE),
    ),
    _DONE,
    referer=REFERER_D,
    origin=ORIGIN_D,
)
"""A message to a discussion."""

FILE = Call(
    "get_file2",
    "GET",
    "d",
    "/channel/get_file2",
    Form(
        forms.FileForm,
        Field("lcid", INTEGER, "session_id"),
        Field("guid", RAW, "name"),
        Field("to", INTEGER),
        *_SESSION,
        fixed("count", 1),
        Field("time", LENIENT),
    ),
    referer=REFERER_D,
)
"""A file that a friend offers (twqq 2014)."""


SIGNATURE = Exchange(
    "get_c2cmsg_sig2",
    "GET",
    "d",
    "/channel/get_c2cmsg_sig2",
    Form(
        forms.SignatureForm,
        Field("id", INTEGER, "origin"),
        Field("to_uin", INTEGER, "to"),
        Field("service_type", INTEGER),
        *_SESSION,
        _TIME,
    ),
    json_reply(secret_at("value"), lambda value: {"type": 0, "value": str(value)}),
    referer=REFERER_D,
)
"""The signature that `SEND_SESSION` needs; good for 300 s (Mojo-Webqq 2018)."""

# --- the session ------------------------------------------------------------------------------

CHANGE_STATUS = Exchange(
    "change_status2",
    "GET",
    "d",
    "/channel/change_status2",
    Form(forms.StatusForm, Field("newstatus", STATUS, "status"), *_SESSION, _TIME),
    _DONE,
    referer=REFERER_D,
)
"""Change one's status."""

HEARTBEAT = Exchange(
    "get_msg_tip",
    "GET",
    "web",
    "/web2/get_msg_tip",
    Form(
        forms.HeartbeatForm,
        fixed("uin", ""),
        fixed("tp", 1),
        fixed("id", 0),
        fixed("retype", 1),
        Field("rc", LENIENT),
        fixed("lv", 3),
        _TIME,
    ),
    # No client read the reply, and no source shows it: whatever comes is taken.
    Reply(lambda _name, text, _: text, lambda value, _: str(value)),
    referer=REFERER_WEB,
)
"""Still here, every 60 s."""

LOGOUT = Exchange(
    "logout2",
    "GET",
    "d",
    "/channel/logout2",
    Form(forms.LogoutForm, fixed("ids", ""), *_SESSION, _TIME),
    _DONE,
    referer=REFERER_D,
)
"""The end of the session."""

EXCHANGES = (
    LOGIN_PAGE,
    CHECK,
    CAPTCHA,
    LOGIN,
    LOGIN2,
    FRIENDS,
    GROUPS,
    GROUP_INFO,
    TRANSLATE,
    ONLINE,
    SELF_INFO,
    FRIEND_INFO,
    LONG_NICK,
    SET_LONG_NICK,
    ACCEPT_FRIEND,
    DISCUSSIONS,
    DISCUSSION_INFO,
    RECENT,
    POLL,
    SEND_FRIEND,
    SEND_GROUP,
    SEND_DISCUSSION,
    SEND_SESSION,
    FILE,
    SIGNATURE,
    CHANGE_STATUS,
    HEARTBEAT,
    LOGOUT,
)
"""All of them, for a server's routes."""
