"""SmartQQ, the dialect of 2015 to 2018: what it does otherwise than WebQQ 3, one entry each.

A conversation in the order of the clients: `LOGIN_PAGE`, `QR_CODE`, `QR_STATE` every one to
three seconds until the code is confirmed, the address in the response, `VFWEBQQ`, `LOGIN2`,
`ONLINE` (without it the server answered polls with 103), `FRIENDS`, `GROUPS`, `DISCUSSIONS`,
then `POLL` without end and the ``SEND_*``.

Example:
    >>> from webqq_tornado.protocol import smartqq
    >>> from webqq_tornado.protocol.endpoints import Endpoints
    >>> from webqq_tornado.protocol.forms import VfwebqqForm
    >>> smartqq.VFWEBQQ.request(Endpoints.smartqq(), VfwebqqForm(clientid=53999199)).full_url
    'http://s.web2.qq.com/api/getvfwebqq?ptwebqq=&clientid=53999199&psessionid=&t=0'

Sources: qqbot 2017, Mojo-Webqq 2018, smartqq (Java) 2017 and SmartQQBot 2016, where not said
otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from . import contacts, forms, messages, webqq3
from .content import MESSAGE_CONTENT
from .endpoints import (
    DAID,
    ORIGIN_S,
    SMARTQQ_APP_ID,
    SMARTQQ_LOGIN_REFERER,
    SMARTQQ_ORIGIN_D,
    SMARTQQ_REFERER_D,
    SMARTQQ_REFERER_S,
)
from .exchange import Call, Exchange, Form, Reply, json_reply
from .fields import INTEGER, LENIENT, RAW, SECRET, STATUS, Field, fixed, secret_at
from .login import LOGIN_PAGE_REPLY, LOGIN_REPLY
from .wireformat import SMARTQQ_FORMAT

__all__ = [
    "ACCEPT_FRIEND",
    "CHANGE_STATUS",
    "DISCUSSIONS",
    "DISCUSSION_INFO",
    "EXCHANGES",
    "FRIENDS",
    "FRIEND_INFO",
    "GROUPS",
    "GROUP_INFO",
    "LOGIN2",
    "LOGIN_PAGE",
    "LONG_NICK",
    "ONLINE",
    "POLL",
    "QR_CODE",
    "QR_STATE",
    "RECENT",
    "SELF_INFO",
    "SEND_DISCUSSION",
    "SEND_FRIEND",
    "SEND_GROUP",
    "SEND_SESSION",
    "SET_LONG_NICK",
    "SIGNATURE",
    "SIGN_OUT",
    "TRANSLATE",
    "VFWEBQQ",
]

_CLIENT_ID = Field("clientid", INTEGER)
_SESSION_ID = Field("psessionid", SECRET)
_SESSION = (_CLIENT_ID, _SESSION_ID)
_TIME = Field("t", LENIENT)
_VFWEBQQ = Field("vfwebqq", SECRET)
_PTWEBQQ = Field("ptwebqq", SECRET)
_HASH = Field("hash", SECRET)

F = TypeVar("F")
R = TypeVar("R")


def _late(exchange: Exchange[F, R], **changes: Any) -> Exchange[F, R]:
    """An exchange of WebQQ 3, as SmartQQ has it: with changes, and in its wire format."""
    return replace(exchange, wire_format=SMARTQQ_FORMAT, **changes)


# --- signing in -------------------------------------------------------------------------------

LOGIN_PAGE = Exchange(
    "login_page",
    "GET",
    "ui",
    "/cgi-bin/login",
    Form(
        forms.LoginPageForm,
        fixed("daid", DAID),
        fixed("target", "self"),
        fixed("style", 16),
        fixed("mibao_css", "m_webqq"),
        fixed("appid", SMARTQQ_APP_ID),
        fixed("enable_qlogin", 0),
        fixed("no_verifyimg", 1),
        fixed("s_url", "http://w.qq.com/proxy.html"),
        fixed("f_url", "loginerroralert"),
        fixed("strong_login", 1),
        fixed("login_state", 10),
        Field("t", RAW),
    ),
    LOGIN_PAGE_REPLY,
)
"""The login page; its cookies are what clients asked for."""

QR_CODE = Call(
    "ptqrshow",
    "GET",
    "ssl",
    "/ptqrshow",
    Form(
        forms.QRCodeForm,
        fixed("appid", SMARTQQ_APP_ID),
        fixed("e", 0),
        fixed("l", "M"),
        fixed("s", 5),
        fixed("d", 72),
        fixed("v", 4),
        Field("t", RAW),
    ),
)
"""A QR code as a PNG, and the cookie qrsig."""

QR_STATE = Exchange(
    "ptqrlogin",
    "GET",
    "ssl",
    "/ptqrlogin",
    Form(
        forms.QRStateForm,
        Field("ptqrtoken", INTEGER, "token"),
        fixed("webqq_type", 10),
        fixed("remember_uin", 1),
        fixed("login2qq", 1),
        fixed("aid", SMARTQQ_APP_ID),
        fixed("u1", "http://w.qq.com/proxy.html?login2qq=1&webqq_type=10"),
        fixed("ptredirect", 0),
        fixed("ptlang", 2052),
        fixed("daid", DAID),
        fixed("from_ui", 1),
        fixed("pttype", 1),
        fixed("dumy", ""),
        fixed("fp", "loginerroralert"),
        Field("action", RAW),
        fixed("mibao_css", "m_webqq"),
        fixed("t", "undefined"),
        fixed("g", 1),
        fixed("js_type", 0),
        fixed("js_ver", 10141),
        Field("login_sig", SECRET),
        fixed("pt_randsalt", 0),
    ),
    LOGIN_REPLY,
    referer=SMARTQQ_LOGIN_REFERER,
)
"""What has become of the QR code; see `webqq_tornado.protocol.models.LoginReply.qr_state`."""


VFWEBQQ = Exchange(
    "getvfwebqq",
    "GET",
    "s",
    "/api/getvfwebqq",
    # python-smartqq-client 2017 forgot an ampersand: it sent clientid=53999199psessionid=.
    Form(
        forms.VfwebqqForm,
        _PTWEBQQ,
        Field("clientid", LENIENT),
        fixed("psessionid", ""),
        _TIME,
    ),
    json_reply(secret_at("vfwebqq"), lambda value: {"vfwebqq": str(value)}),
    referer=SMARTQQ_REFERER_S,
    origin=ORIGIN_S,
    wire_format=SMARTQQ_FORMAT,
)
"""The vfwebqq for the s host; the one of login2 is not valid there."""

LOGIN2 = _late(
    webqq3.LOGIN2,
    form=Form(
        forms.Login2Form,
        inner=(_PTWEBQQ, _CLIENT_ID, _SESSION_ID, Field("status", STATUS)),
    ),
    reply=json_reply(contacts.LATE_SESSION.parse, contacts.LATE_SESSION.build),
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
"""Opens the session."""

SIGN_OUT = Exchange(
    "logout",
    "GET",
    "ptlogin",
    "/logout",
    Form(
        forms.SignOutForm,
        Field("pt4_token", SECRET),
        fixed("pt4_hkey", ""),
        Field("pt4_ptcz", SECRET, "ptcz"),
        fixed("deep_logout", 1),
    ),
    # No client read the reply, and no source shows it: whatever comes is taken.
    Reply(lambda _name, text, _: text, lambda value, _: str(value)),
    referer="http://w.qq.com/",
)
"""The end of the account's being signed in (Mojo-Webqq 2018)."""

# --- contacts ---------------------------------------------------------------------------------

FRIENDS = _late(
    webqq3.FRIENDS, form=Form(forms.FriendsForm, inner=(_VFWEBQQ, _HASH)), referer=SMARTQQ_REFERER_S
)
GROUPS = _late(
    webqq3.GROUPS, form=Form(forms.GroupsForm, inner=(_VFWEBQQ, _HASH)), referer=SMARTQQ_REFERER_S
)
GROUP_INFO = _late(
    webqq3.GROUP_INFO,
    form=Form(forms.GroupInfoForm, Field("gcode", INTEGER), _VFWEBQQ, _TIME),
    referer=SMARTQQ_REFERER_S,
)
DISCUSSIONS = _late(webqq3.DISCUSSIONS, referer=SMARTQQ_REFERER_S)
DISCUSSION_INFO = _late(webqq3.DISCUSSION_INFO, referer=SMARTQQ_REFERER_D)
TRANSLATE = _late(
    webqq3.TRANSLATE,
    form=Form(
        forms.TranslateForm, Field("tuin", INTEGER, "uin"), Field("type", INTEGER), _VFWEBQQ, _TIME
    ),
    referer=SMARTQQ_REFERER_S,
)
ONLINE = _late(webqq3.ONLINE, referer=SMARTQQ_REFERER_D)
RECENT = _late(
    webqq3.RECENT,
    form=Form(forms.RecentForm, inner=(_VFWEBQQ, *_SESSION)),
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
SELF_INFO = _late(webqq3.SELF_INFO, referer=SMARTQQ_REFERER_S)
FRIEND_INFO = _late(webqq3.FRIEND_INFO, referer=SMARTQQ_REFERER_S)
LONG_NICK = _late(webqq3.LONG_NICK, referer=SMARTQQ_REFERER_S)
SET_LONG_NICK = _late(webqq3.SET_LONG_NICK, referer=SMARTQQ_REFERER_S)
ACCEPT_FRIEND = _late(webqq3.ACCEPT_FRIEND, referer=SMARTQQ_REFERER_S)

# --- messages ---------------------------------------------------------------------------------

POLL = _late(
    webqq3.POLL,
    form=Form(forms.PollForm, inner=(_PTWEBQQ, *_SESSION, fixed("key", ""))),
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)

_SENT = Reply(
    lambda _name, text, _: messages.parse_send_reply(text), messages.build_late_send_reply
)
_MESSAGE = (
    MESSAGE_CONTENT,
    Field("face", INTEGER),
    _CLIENT_ID,
    Field("msg_id", INTEGER),
    _SESSION_ID,
)

SEND_FRIEND = _late(
    webqq3.SEND_FRIEND,
    form=Form(forms.SendForm, inner=(Field("to", INTEGER), *_MESSAGE)),
    reply=_SENT,
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
SEND_GROUP = _late(
    webqq3.SEND_GROUP,
    form=Form(forms.GroupSendForm, inner=(Field("group_uin", INTEGER, "gid"), *_MESSAGE)),
    reply=_SENT,
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
SEND_DISCUSSION = _late(
    webqq3.SEND_DISCUSSION,
    form=Form(forms.DiscussionSendForm, inner=(Field("did", INTEGER), *_MESSAGE)),
    reply=_SENT,
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
SEND_SESSION = _late(
    webqq3.SEND_SESSION,
    form=Form(
        forms.SessionSendForm,
        inner=(
            Field("to", INTEGER),
            Field("group_sig", SECRET, "signature"),
            *_MESSAGE,
            Field("service_type", INTEGER),
        ),
    ),
    reply=_SENT,
    referer=SMARTQQ_REFERER_D,
    origin=SMARTQQ_ORIGIN_D,
)
SIGNATURE = _late(webqq3.SIGNATURE, referer=SMARTQQ_REFERER_D)
CHANGE_STATUS = _late(webqq3.CHANGE_STATUS, referer=SMARTQQ_REFERER_D)

EXCHANGES: tuple[Call[Any], ...] = (
    LOGIN_PAGE,
    QR_CODE,
    QR_STATE,
    VFWEBQQ,
    LOGIN2,
    ONLINE,
    FRIENDS,
    GROUPS,
    GROUP_INFO,
    DISCUSSIONS,
    DISCUSSION_INFO,
    RECENT,
    TRANSLATE,
    SELF_INFO,
    FRIEND_INFO,
    LONG_NICK,
    SET_LONG_NICK,
    ACCEPT_FRIEND,
    POLL,
    SEND_FRIEND,
    SEND_GROUP,
    SEND_DISCUSSION,
    SEND_SESSION,
    SIGNATURE,
    CHANGE_STATUS,
    SIGN_OUT,
)
"""All of them, for a server's routes."""
