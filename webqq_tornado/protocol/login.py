"""The answers of ptlogin2: JSONP with single quotes, and the login page.

The wording is exact, because clients of that time matched on it. Shared by both dialects.
"""

from __future__ import annotations

import re

from . import wire
from .codes import LoginResult, QRState
from .exchange import Reply
from .models.login import CheckReply, LoginReply, Secret
from .wireformat import WireFormat

__all__ = [
    "CHECK_REPLY",
    "LOGIN_PAGE_REPLY",
    "LOGIN_REPLY",
    "LOGIN_TEXTS",
    "QR_TEXTS",
    "build_check",
    "build_login",
    "login_refusal",
    "qr_reply",
]

LOGIN_TEXTS: dict[LoginResult, str] = {
    LoginResult.OK: "登录成功!",
    LoginResult.WRONG_PASSWORD: "您输入的帐号或密码不正确，请重新输入。",
    LoginResult.WRONG_CAPTCHA: "您输入的验证码不正确，请重新输入。",
    LoginResult.BAD_PARAMETER: "很遗憾，网络连接出现异常，请您稍后再试。",
    LoginResult.REFUSED: "很遗憾，网络连接出现异常，请您检查是否禁用cookies。",
}
"""The server's words for each result (captures of 2013 and 2014)."""


QR_TEXTS: dict[QRState, str] = {
    QRState.DONE: "登录成功！",
    QRState.EXPIRED: "二维码已失效。({elapsed})",
    QRState.WAITING: "二维码未失效。({elapsed})",
    QRState.SCANNED: "二维码认证中。({elapsed})",
    QRState.REFUSED: "本次登录已被拒绝",
}
"""The server's words while a QR code is shown; clients look for them (qqbot 2017).

The number is an id of the request's log line, made of digits (captures of 2016 and 2017).
"""


def qr_reply(state: QRState, elapsed: int = 0, url: str = "", nick: str = "") -> LoginReply:
    """The reply to ptqrlogin.

    Args:
        state: Of the QR code.
        elapsed: The number behind the server's words.
        url: Where to go next, once it is confirmed.
        nick: Of the account, the same.
    """
    text = QR_TEXTS[state].format(elapsed=elapsed)
    return LoginReply(state.value, Secret(url), text, nick)


def login_refusal(result: LoginResult, account: int = 0) -> LoginReply:
    """The reply to a login that fails; the account stood where else the nick is.

    Args:
        result: Why.
        account: QQ number; 0 if it could not be read.
    """
    return LoginReply(result.value, text=LOGIN_TEXTS[result], nick=str(account or ""))


def _arguments(text: str, name: str, least: int, most: int) -> list[str]:
    """The arguments of a call as texts: `most` of them, empty where fewer came."""
    call = wire.parse_call(text)
    if call.name.rpartition(".")[2] != name:
        raise ValueError(f"a call of {name} was expected")
    if len(call.arguments) < least:
        raise ValueError(f"{name} has {len(call.arguments)} arguments, not {least}")
    texts = ["" if value is None else str(value) for value in call.arguments[:most]]
    return texts + [""] * (most - len(texts))


def _code(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII):
        raise ValueError("the first argument is not a number")
    return int(text)


# --- ptui_checkVC -----------------------------------------------------------------------------


def _parse_check(_name: str, text: str, _: WireFormat) -> CheckReply:
    code, verify_code, salt, session, random_salt = _arguments(text, "ptui_checkVC", 3, 5)
    if code not in {"0", "1"}:
        raise ValueError("the first argument is neither 0 nor 1")
    if len(salt) != 8 or not all(ord(character) < 0x100 for character in salt):
        raise ValueError("the third argument is not 8 bytes")
    return CheckReply(
        needs_captcha=code == "1",
        code=verify_code,
        salt=salt.encode("latin-1"),
        session=Secret(session),
        is_random_salt=random_salt == "1",
    )


def build_check(reply: CheckReply, *, is_late: bool = False) -> str:
    """The reply to check.

    Args:
        reply: The values.
        is_late: Five of them, as clients of 2015 and later expect it, also if the last two are
            empty; those of 2013 took no more than three.
    """
    salt = "".join(f"\\x{byte:02x}" for byte in reply.salt)
    late = [wire.quote(reply.session), wire.quote(str(int(reply.is_random_salt)))]
    is_late = is_late or bool(reply.session) or reply.is_random_salt
    return wire.build_call(
        "ptui_checkVC",
        wire.quote(str(int(reply.needs_captcha))),
        wire.quote(reply.code),
        f"'{salt}'",
        *(late if is_late else ()),
    )


CHECK_REPLY = Reply(_parse_check, lambda reply, _: build_check(reply))
r"""``ptui_checkVC('0','!PTH','\x00\x00\x00\x00\x64\x74\x8b\x05');``"""


# --- ptuiCB -----------------------------------------------------------------------------------


def _parse_login(_name: str, text: str, _: WireFormat) -> LoginReply:
    code, _second, url, _fourth, words, nick = _arguments(text, "ptuiCB", 5, 6)
    return LoginReply(_code(code), Secret(url), words, nick)


def build_login(reply: LoginReply) -> str:
    """The reply to login and to ptqrlogin, in UTF-8 in both dialects."""
    code, url, text, nick = map(wire.quote, (str(reply.code), reply.url, reply.text, reply.nick))
    # The space before the nick is the server's (captures of 2013 to 2017), and so is the line's
    # end: pywebqq 2014 cuts the last three characters off, python-smartqq-client 2017 five.
    return f"ptuiCB({code},'0',{url},'0',{text}, {nick});\r\n"


LOGIN_REPLY = Reply(_parse_login, lambda reply, _: build_login(reply))
"""``ptuiCB('0','0','URL','0','登录成功!', 'nick');``"""


# --- the login page ---------------------------------------------------------------------------

# The first form is what twqq 2014 looked for.
_LOGIN_SIG = re.compile(r'g_login_sig\s*=\s*encodeURIComponent\("([^"<>&\\\s]{0,512})"\)')


def _parse_page(_name: str, text: str, _: WireFormat) -> Secret:
    found = _LOGIN_SIG.search(text)
    if not found:
        raise ValueError("the page has no g_login_sig")
    return Secret(found[1])


def _build_page(login_sig: Secret, _: WireFormat) -> str:
    return (
        '<!DOCTYPE html><html><head><meta charset="utf-8"><title>登录</title><script>'
        f'var g_login_sig=encodeURIComponent("{login_sig}");'
        "</script></head><body></body></html>"
    )


LOGIN_PAGE_REPLY = Reply(_parse_page, _build_page)
"""HTML with ``g_login_sig=encodeURIComponent("SIG")``: the login_sig."""
