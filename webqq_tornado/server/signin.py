"""Signing in by password, as WebQQ 3 did: check, login, check_sig, login2; and out."""

from __future__ import annotations

import secrets
import string
import time
from collections import OrderedDict
from typing import Generic, TypeVar
from urllib.parse import urlencode

from ..protocol import forms, hashes, webqq3, wire
from ..protocol.codes import LoginResult
from ..protocol.login import login_refusal
from ..protocol.models import CheckReply, LoginReply, Secret, SendReply, Session
from .handlers import BAD_REQUEST, NOT_LOGGED_IN, Answer, ExchangeHandler, Handler, logger
from .storage import Account, Storage

__all__ = ["ANSWERS", "CheckSigHandler", "SignIn"]

#: Wrong passwords in a row after which an account has to wait.
FREE_TRIES = 10
#: Seconds it has to wait at most.
LONGEST_WAIT = 60.0

V = TypeVar("V")


class Recent(Generic[V]):
    """The latest entries by key: nobody can fill the memory by asking again and again."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._entries: OrderedDict[object, V] = OrderedDict()

    def put(self, key: object, value: V) -> None:
        """Remember a value, forgetting the oldest when there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def get(self, key: object) -> V | None:
        """The value, if it is still known."""
        return self._entries.get(key)

    def take(self, key: object) -> V | None:
        """The value, which is forgotten with this."""
        return self._entries.pop(key, None)


class SignIn:
    """Who may come in: verify codes, failures, and logins that wait for their login2.

    Args:
        storage: knows the accounts.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._codes: Recent[str] = Recent()
        self._failures: Recent[tuple[int, float]] = Recent()  # how many, next try from
        self.tickets: Recent[int] = Recent()  # ptwebqq to account

    def new_code(self, account: int) -> str:
        """A verify code for the next login: "!" and three characters, as without a captcha."""
        alphabet = string.ascii_uppercase + string.digits
        code = "!" + "".join(secrets.choice(alphabet) for _ in range(3))
        self._codes.put(account, code)
        return code

    def by_hash(self, number: int, code: str, p: str) -> Account | LoginResult:
        """The account, if the hash proves its password; else why not."""
        account = self._storage.account(number)
        expected = self._codes.take(number)
        if self.must_wait(number):
            return LoginResult.REFUSED
        if expected is None or code.upper() != expected:
            return LoginResult.WRONG_CAPTCHA
        # The salt is the QQ number: the password itself is not needed, only its md5.
        proof = account and hashes.digest_hash(
            account.password, hashes.password_salt(number), expected
        )
        return self._judged(number, account, bool(proof) and _equal(str(proof), p))

    def by_password(self, number: int, digest: bytes) -> Account | LoginResult:
        """The account, if this is md5 of its password; for the page."""
        if self.must_wait(number):
            return LoginResult.REFUSED
        account = self._storage.account(number)
        is_right = account is not None and secrets.compare_digest(account.password, digest)
        return self._judged(number, account, is_right)

    def must_wait(self, number: int) -> bool:
        """Whether too many wrong passwords came for it just now."""
        failures = self._failures.get(number)
        return failures is not None and failures[1] > time.monotonic()

    def _judged(
        self, number: int, account: Account | None, is_right: bool
    ) -> Account | LoginResult:
        if account is not None and is_right:
            self._failures.take(number)
            return account
        count = (self._failures.get(number) or (0, 0.0))[0] + 1
        # Doubles with each further one, and never locks the owner out for long.
        wait = min(2.0 ** (count - FREE_TRIES), LONGEST_WAIT) if count >= FREE_TRIES else 0.0
        self._failures.put(number, (count, time.monotonic() + wait))
        logger.info("wrong password for %d", number)
        return LoginResult.WRONG_PASSWORD


def _equal(one: str, other: str) -> bool:
    return secrets.compare_digest(one.upper().encode(), other.upper().encode())


# -- the exchanges --------------------------------------------------------------------------


def _login_page(handler: ExchangeHandler, _form: forms.LoginPageForm) -> str:
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    return webqq3.LOGIN_PAGE.answer(Secret(secrets.token_urlsafe(48)))


def _check(handler: ExchangeHandler, form: forms.CheckForm) -> str:
    if not 0 < form.account < 2**63:
        return wire.build_refusal(BAD_REQUEST, "uin")
    handler.set_domain_cookie("ptvfsession", secrets.token_hex(64))
    code = handler.server.signin.new_code(form.account)
    salt = hashes.password_salt(form.account)
    return webqq3.CHECK.answer(CheckReply(needs_captcha=False, code=code, salt=salt))


def _login(handler: ExchangeHandler, form: forms.LoginForm) -> str:
    outcome = handler.server.signin.by_hash(form.account, form.verify_code, form.p)
    if isinstance(outcome, LoginResult):
        return webqq3.LOGIN.answer(login_refusal(outcome, form.account))
    ptwebqq = Secret(secrets.token_hex(32))
    handler.server.signin.tickets.put(ptwebqq, outcome.number)
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
    account = server.signin.tickets.get(ptwebqq)
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
            port=handler.request.connection.stream.socket.getsockname()[1],  # type: ignore[union-attr]
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
        handler.server.signin.tickets.take(session.ptwebqq)
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
