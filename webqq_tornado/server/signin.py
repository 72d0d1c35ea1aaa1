"""Signing in by password, as WebQQ 3 did: check, login, check_sig, login2; and out."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from ..protocol import forms, hashes, webqq3, wire
from ..protocol.codes import LoginResult
from ..protocol.login import login_refusal
from ..protocol.models import CheckReply, LoginReply, Secret, SendReply, Session
from .handlers import BAD_REQUEST, NOT_LOGGED_IN, Answer, ExchangeHandler, Handler

__all__ = ["ANSWERS", "CheckSigHandler", "LoginProxyHandler"]


def _login_page(handler: ExchangeHandler, _form: forms.LoginPageForm) -> str:
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    return webqq3.LOGIN_PAGE.answer(Secret(secrets.token_urlsafe(48)))


def _check(handler: ExchangeHandler, form: forms.CheckForm) -> str:
    if not 0 < form.account < 2**63:
        return wire.build_refusal(BAD_REQUEST, "uin")
    handler.set_domain_cookie("ptvfsession", secrets.token_hex(64))
    code = handler.server.gate.new_code(form.account)
    salt = hashes.password_salt(form.account)
    return webqq3.CHECK.answer(CheckReply(needs_captcha=False, code=code, salt=salt))


def _login(handler: ExchangeHandler, form: forms.LoginForm) -> str:
    outcome = handler.server.gate.by_hash(form.account, form.verify_code, form.p)
    if isinstance(outcome, LoginResult):
        return webqq3.LOGIN.answer(login_refusal(outcome, form.account))
    ptwebqq = Secret(secrets.token_hex(32))
    handler.server.gate.tickets.put(ptwebqq, outcome.number)
    cookies = {
        "ptwebqq": ptwebqq,
        "skey": "@" + secrets.token_urlsafe(7)[:9],
        "uin": f"o{outcome.number:010d}",
        "superuin": f"o{outcome.number:010d}",
        "ptcz": secrets.token_hex(32),
    }
    for name, value in cookies.items():
        handler.set_domain_cookie(name, value)
    host = handler.request.host
    base = f"{handler.request.protocol}://{host}"
    query = urlencode({"pttype": 1, "uin": outcome.number, "ptsig": secrets.token_urlsafe(16)})
    url = Secret(f"{base}/check_sig?{query}")
    text = login_refusal(LoginResult.OK, 0).text
    return webqq3.LOGIN.answer(LoginReply(0, url, text, outcome.nick))


class CheckSigHandler(Handler):
    """Where a successful login points to (step 4 of webqq.md): more cookies, then back."""

    def get(self) -> None:
        """302 to the page that the login was for."""
        self.set_domain_cookie("p_skey", secrets.token_urlsafe(32))
        self.set_domain_cookie("pt4_token", secrets.token_urlsafe(16))
        host = self.request.host
        target = "http://web2.qq.com" if host.endswith(".qq.com") else ""
        self.redirect(f"{target}/loginproxy.html?login2qq=1&webqq_type=10")


class LoginProxyHandler(Handler):
    """The end of the redirect; nobody reads it."""

    def get(self) -> None:
        """An empty page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")


def _login2(handler: ExchangeHandler, form: forms.Login2Form) -> str:
    server = handler.server
    ptwebqq = form.ptwebqq or handler.get_cookie("ptwebqq", "")
    account = server.gate.tickets.get(ptwebqq)
    if account is None:
        return wire.build_refusal(NOT_LOGGED_IN, "not login")
    session = server.channel.find(form.psessionid)
    if session is None or session.account != account or session.kicked is not None:
        session = server.channel.open_session(account, Secret(ptwebqq), form.status)
    return webqq3.LOGIN2.answer(
        Session(
            uin=account,
            psessionid=session.psessionid,
            vfwebqq=session.vfwebqq,
            status=session.status,
            cip=2130706433,  # 127.0.0.1
            index=1075,
            port=server.port,
        )
    )


def _change_status(handler: ExchangeHandler, form: forms.StatusForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    handler.server.channel.set_status(session, form.status)
    return webqq3.CHANGE_STATUS.answer(SendReply(0, "ok"))


def _logout(handler: ExchangeHandler, form: forms.LogoutForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    if session is not None:
        handler.server.gate.tickets.take(session.ptwebqq)
        handler.server.channel.close_session(session)
    return webqq3.LOGOUT.answer(SendReply(0, "ok"))


def _heartbeat(_handler: ExchangeHandler, _form: forms.HeartbeatForm) -> str:
    return webqq3.HEARTBEAT.answer('{"retcode":0,"result":[]}')


ANSWERS: dict[object, Answer] = {
    webqq3.LOGIN_PAGE.name: _login_page,
    webqq3.CHECK.name: _check,
    webqq3.LOGIN.name: _login,
    webqq3.LOGIN2.name: _login2,
    webqq3.CHANGE_STATUS.name: _change_status,
    webqq3.LOGOUT.name: _logout,
    webqq3.HEARTBEAT.name: _heartbeat,
}
