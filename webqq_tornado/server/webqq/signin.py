"""Sign-in by password, as in WebQQ 3 (check, login, check_sig, login2), and logout."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from ...protocol import forms, hashes, smartqq, webqq3, wire
from ...protocol.codes import ELSEWHERE, LoginResult, Status
from ...protocol.delivery import LAST_EVENT_ID
from ...protocol.endpoints import APP_ID, DAID, SMARTQQ_APP_ID
from ...protocol.login import build_check, login_refusal
from ...protocol.models import CheckReply, LoginReply, Secret, SendReply, Session
from ..authentication import Proof
from ..handlers import BAD_REQUEST, NOT_LOGGED_IN, Answer, ExchangeHandler, Handler, exchanges_of
from ..hosts import is_historical
from ..storage import Account

__all__ = ["ANSWERS", "CheckSigHandler", "Pt4AuthHandler", "grant"]


#: Arguments that only late clients send (Mojo-Webqq 2018).
_LATE_CHECK = frozenset({"pt_tea", "pt_vcode"})


def _check(handler: ExchangeHandler, form: forms.CheckForm) -> str:
    if not 0 < form.account < 2**63:
        return wire.build_refusal(BAD_REQUEST, "uin")
    authenticator, is_late = (
        handler.server.authenticator,
        bool(_LATE_CHECK & set(handler.request.arguments)),
    )
    salt = hashes.password_salt(form.account)
    place = handler.place
    code, session = authenticator.new_code(form.account, place.address)
    handler.set_domain_cookie("ptvfsession", session, "ptlogin2.qq.com")
    if authenticator.needs_captcha(form.account, place):
        handle = secrets.token_urlsafe(24)
        return build_check(CheckReply(True, handle, salt), is_late=is_late)
    given = session if is_late else Secret()
    return build_check(CheckReply(False, code, salt, given), is_late=is_late)


def _captcha(handler: ExchangeHandler, _form: forms.CaptchaForm) -> str:
    handler.spend("captcha")
    open_with = handler.get_cookie("verifysession", "") or ""
    captcha = handler.server.authenticator.captchas.new(handler.place.address, open_with)
    handler.set_domain_cookie("verifysession", captcha.session)
    handler.set_header("Content-Type", "image/jpeg")
    handler.write(captcha.picture)
    return ""


def _login(handler: ExchangeHandler, form: forms.LoginForm) -> str:
    # Late clients send the session of their code or captcha also as an argument.
    named = handler.get_query_argument("pt_verifysession_v1", "")
    captcha = handler.get_cookie("verifysession", "") or named
    sessions = (handler.get_cookie("ptvfsession", "") or "", named)
    proof = Proof(form.verify_code, form.p, sessions, captcha)
    outcome = handler.server.authenticator.by_hash(form.account, handler.place, proof)
    if outcome is LoginResult.REFUSED:
        return webqq3.LOGIN.answer(_BLOCKED)
    if isinstance(outcome, LoginResult):
        return webqq3.LOGIN.answer(login_refusal(outcome, form.account))
    url = Secret(grant(handler, outcome, webqq3.LOGIN.name))
    text = login_refusal(LoginResult.OK, 0).text
    return webqq3.LOGIN.answer(LoginReply(0, url, text, outcome.nick))


#: The response for an account that may not log in for now (a capture of 2014).
_BLOCKED = LoginReply(
    19,
    text='您的帐号暂时无法登录，请<a href="http://aq.qq.com/007" target="_blank">点击这里</a>'
    "恢复正常使用。",
)


def grant(handler: Handler, account: Account, service: str, ticket: Secret | None = None) -> str:
    """Log an account in: set its cookies, and return the client's next address.

    Args:
        handler: of the login.
        account: that logs in.
        service: "login" (by password, WebQQ 3) or "ptqrlogin" (by QR code, SmartQQ).
        ticket: cookie ptwebqq, if the account already has one.

    Returns:
        The address of check_sig, with the arguments in the order of the captures.
    """
    values = _SERVICES[service]
    authenticator = handler.server.authenticator
    former = handler.get_cookie("ptwebqq", "") or ""
    known = authenticator.ticket(former)
    if known is not None and known.account == account.number and former != ticket:
        authenticator.end_ticket(former)  # the new one replaces it
    ptwebqq = ticket or authenticator.new_ticket(account.number, values.dialect)
    device = authenticator.know(account.number, handler.place)
    handler.set_account_cookies(account.number, account.nick, ptwebqq, device)
    wanted = handler.get_query_argument("u1", "")
    query = {
        "pttype": 1,
        "uin": account.number,
        "service": service,
        "nodirect": 0,
        values.signature: handler.server.authenticator.sign(ptwebqq),
        "s_url": _own_url(handler, wanted)
        or handler.address_of(values.host, values.path, is_plain=True),
        "f_url": "",
        "ptlang": 2052,
        "ptredirect": 100,
        "aid": values.appid,
        "daid": DAID,
        "j_later": 0,
        "low_login_hour": 0,
        "regmaster": 0,
        "pt_login_type": values.login_type,
        "pt_aid": 0,
        "pt_aaid": values.aaid,
        "pt_light": 0,
        "pt_3rd_aid": 0,
    }
    return _check_sig(handler, query)


def _check_sig(handler: Handler, query: dict[str, object]) -> str:
    """The address of check_sig, with http:// also for clients that use https.

    xhan/qqbot 2015 requests it with node's ``http``, which needs that (captures of 2015 to 2017).
    """
    path = f"/check_sig?{urlencode(query)}"
    return handler.address_of("ptlogin4.web2.qq.com", path, is_plain=True)


class _Service(NamedTuple):
    """The values in which the two services of check_sig differ."""

    dialect: str
    signature: str
    host: str
    path: str
    appid: int
    login_type: int
    aaid: int


_PROXY = "proxy.html?login2qq=1&webqq_type=10"
_SERVICES = {
    "login": _Service("webqq3", "ptsig", "web2.qq.com", f"/login{_PROXY}", APP_ID, 1, 0),
    "ptqrlogin": _Service("smartqq", "ptsigx", "w.qq.com", f"/{_PROXY}", SMARTQQ_APP_ID, 3, 16),
}


def _own_url(handler: Handler, url: str) -> str:
    """The address of a requested redirect, if it is one of ours; else ""."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    # Browsers and `urlsplit` parse a host with a backslash, a blank or a user name differently.
    is_plain = re.match(r"https?://[\w.:\[\]-]+(?:[/?#]|$)", url, re.ASCII)
    if not is_plain or not handler.server.serves(host):
        return ""
    if port not in _ports(handler, is_historical(host)):
        return ""
    if is_historical(host) and not handler.is_historical:
        # A client that uses the bare address cannot reach the historical hosts.
        return handler.address_of(host, parts._replace(scheme="", netloc="").geturl())
    return url


def _ports(handler: Handler, is_old: bool) -> set[int | None]:
    """Ports on which this server listens: not any port of loopback."""
    ours = {handler.server.port, handler.server.tls_port} - {0}
    # The client's port may be mapped to ours; old clients use only the default ports.
    return {*ours, handler.port, *((None, 80, 443) if is_old else ())}


#: Characters of an address that a header may contain (RFC 3986).
_SAFE = ":/?#[]@!$&'()*+,;=%"


class CheckSigHandler(Handler):
    """The target of a successful login (step 4 of webqq.md): more cookies, then back."""

    def get(self) -> None:
        """302 to the page that the login was for."""
        # 44 characters with this end, as captured in 2015: some clients counted them.
        own = {name: f"{secrets.token_urlsafe(32)}_" for name in ("p_skey", "pt4_token")}
        ptwebqq = self._signed() or self._own_cookie("ptwebqq")
        ticket = self.server.authenticator.ticket(ptwebqq)
        own |= {"p_uin": f"o0{ticket.account}" if ticket else self._own_cookie("uin")}
        for name, value in own.items():
            self.set_domain_cookie(name, value, "web2.qq.com")
        # Clients of SmartQQ read ptwebqq after this response, so it is set again. For the same
        # domain as before: qqbot 2017 fails when a name exists twice.
        self.set_domain_cookie("ptwebqq", ptwebqq)
        default = "/loginproxy.html?login2qq=1&webqq_type=10"
        target = _own_url(self, self.get_query_argument("s_url", ""))
        self.set_status(302)
        where = target or self.address_of("web2.qq.com", default)
        self.set_header("Location", quote(where, safe=_SAFE))
        self.write("0")  # pywebqq 2014 does not follow the redirect, but searches for this

    def _signed(self) -> str:
        """The ticket that the address signs: xhan/qqbot 2015 sends no cookies here."""
        names = (values.signature for values in _SERVICES.values())
        given = (self.get_query_argument(name, "") for name in names)
        return next(filter(None, map(self.server.authenticator.signed, given)), "")

    def _own_cookie(self, name: str) -> str:
        """The value of a cookie of ours; "" if it cannot be one, and is unsafe in a header."""
        value = self.get_cookie(name, "") or ""
        return value if re.fullmatch(r"\w{0,64}", value, re.ASCII) else ""


class Pt4AuthHandler(Handler):
    """Reports whether the account is signed in (Mojo-Webqq 2018 asked before a QR code)."""

    def get(self) -> None:
        """Return the address of check_sig, or 1 if it is not signed in."""
        ticket = self.server.authenticator.ticket(self.get_cookie("ptwebqq", "") or "")
        account = self.server.storage.accounts.get(ticket.account) if ticket else None
        self.set_header("Content-Type", "application/x-javascript; charset=utf-8")
        if account is None:
            self.write("ptui_auth_CB('1','');")
            return
        address = _check_sig(self, {"uin": account.number})
        self.write(f"ptui_auth_CB('0','{address}');")


def _login2(handler: ExchangeHandler, form: forms.Login2Form) -> str:
    server = handler.server
    ptwebqq = form.ptwebqq or Secret(handler.get_cookie("ptwebqq", "") or "")
    ticket = server.authenticator.ticket(ptwebqq)
    if ticket is None:
        return wire.build_refusal(NOT_LOGGED_IN, "not login")
    account = ticket.account
    session = server.hub.find(form.psessionid)
    kicked = session.kicked if session is not None and session.account == account else None
    if kicked is not None and LAST_EVENT_ID in handler.request.headers:
        # The client only missed the kick: a new session would end the other client's.
        return wire.build_refusal(ELSEWHERE, kicked.reason)
    if session is None or session.account != account or kicked is not None:
        is_smart = ticket.dialect == "smartqq"
        session = server.hub.open_session(
            account,
            ptwebqq,
            Status.ONLINE if form.status is Status.UNKNOWN else form.status,
            dialect=ticket.dialect,
            vfwebqq=server.authenticator.vfwebqq(ptwebqq) if is_smart else None,
        )
    else:
        # A client that resumes a session may have lost the last response.
        server.hub.requeue(session)
    exchange = smartqq.LOGIN2 if ticket.dialect == "smartqq" else webqq3.LOGIN2
    return exchange.answer(
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
    session = handler.server.hub.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    if form.status is Status.UNKNOWN:
        return wire.build_refusal(BAD_REQUEST, "newstatus")
    handler.server.hub.set_status(session, form.status)
    return exchanges_of(session).change_status.answer(SendReply(0, "ok"))


def _logout(handler: ExchangeHandler, form: forms.LogoutForm) -> str:
    session = handler.server.hub.find(form.psessionid)
    if session is not None:
        handler.server.authenticator.end_ticket(session.ptwebqq)
        handler.server.hub.close_session(session)
    return webqq3.LOGOUT.answer(SendReply(0, "ok"))


def _heartbeat(_handler: ExchangeHandler, _form: forms.HeartbeatForm) -> str:
    return webqq3.HEARTBEAT.answer('{"retcode":0,"result":[]}')


ANSWERS: dict[object, Answer] = {
    webqq3.CHECK.name: _check,
    webqq3.CAPTCHA.name: _captcha,
    webqq3.LOGIN.name: _login,
    webqq3.LOGIN2.name: _login2,
    webqq3.CHANGE_STATUS.name: _change_status,
    webqq3.LOGOUT.name: _logout,
    webqq3.HEARTBEAT.name: _heartbeat,
}
