"""Signing in by password, as WebQQ 3 did: check, login, check_sig, login2; and out."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode, urlsplit

from ..protocol import forms, hashes, webqq3, wire
from ..protocol.codes import LoginResult
from ..protocol.login import login_refusal
from ..protocol.models import CheckReply, LoginReply, Secret, SendReply, Session
from .handlers import BAD_REQUEST, NOT_LOGGED_IN, Answer, ExchangeHandler, Handler

__all__ = ["ANSWERS", "CheckSigHandler", "LoginProxyHandler"]


def _login_page(handler: ExchangeHandler, _form: forms.LoginPageForm) -> str:
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    login_sig = Secret(secrets.token_urlsafe(48))
    handler.set_ptlogin_cookie("pt_login_sig", login_sig)  # where Mojo-Webqq 2018 reads it
    handler.set_ptlogin_cookie("pt_clientip", secrets.token_hex(8))
    return webqq3.LOGIN_PAGE.answer(login_sig)


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
    ptwebqq = handler.server.gate.new_ticket(outcome.number, "webqq3")
    handler.set_account_cookies(outcome.number, ptwebqq)
    query = urlencode({"pttype": 1, "uin": outcome.number, "ptsig": secrets.token_urlsafe(16)})
    url = Secret(handler.address_of("ptlogin4.web2.qq.com", f"/check_sig?{query}"))
    text = login_refusal(LoginResult.OK, 0).text
    return webqq3.LOGIN.answer(LoginReply(0, url, text, outcome.nick))


class CheckSigHandler(Handler):
    """Where a successful login points to (step 4 of webqq.md): more cookies, then back."""

    def get(self) -> None:
        """302 to the page that the login was for."""
        uin = self.get_cookie("uin", "") or ""
        own = {"p_skey": secrets.token_urlsafe(32), "p_uin": uin}
        own |= {"pt4_token": secrets.token_urlsafe(16)}
        # Clients of SmartQQ read ptwebqq after this, and go without if it is not set anew.
        own |= {"ptwebqq": self.get_cookie("ptwebqq", "") or ""}
        for name, value in own.items():
            self.set_domain_cookie(name, value)
        self.redirect(self._target())

    def _target(self) -> str:
        """s_url of SmartQQ, if it is one of ours; else WebQQ 3's page."""
        wanted = self.get_query_argument("s_url", "")
        if wanted and self.server.serves(urlsplit(wanted).hostname or ""):
            return wanted
        return self.address_of("web2.qq.com", "/loginproxy.html?login2qq=1&webqq_type=10")


class LoginProxyHandler(Handler):
    """The end of the redirect; nobody reads it."""

    def get(self) -> None:
        """An empty page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")


def _login2(handler: ExchangeHandler, form: forms.Login2Form) -> str:
    server = handler.server
    ptwebqq = form.ptwebqq or Secret(handler.get_cookie("ptwebqq", "") or "")
    ticket = server.gate.ticket(ptwebqq)
    if ticket is None:
        return wire.build_refusal(NOT_LOGGED_IN, "not login")
    account = ticket.account
    session = server.channel.find(form.psessionid)
    if session is None or session.account != account or session.kicked is not None:
        is_smart = ticket.dialect == "smartqq"
        session = server.channel.open_session(
            account,
            ptwebqq,
            form.status,
            dialect=ticket.dialect,
            vfwebqq=server.gate.vfwebqq(ptwebqq) if is_smart else None,
        )
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
        handler.server.gate.end_ticket(session.ptwebqq)
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
