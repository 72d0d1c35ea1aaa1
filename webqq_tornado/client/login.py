"""The login chains: by password as in WebQQ 3, by QR code as in SmartQQ, and by cookies in both.

- `PasswordLogin`: check, (the captcha's picture,) login, its link, login2.
- `QRLogin`: a QR code, its state every two seconds until a user has confirmed it (a new code
  when it has expired), its link, getvfwebqq, login2, get_online_buddies2.
"""

from __future__ import annotations

import inspect
import logging
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias, TypeGuard

from ..engine.errors import StreamError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..engine.session import CookieJar
from ..protocol import forms, smartqq, webqq3
from ..protocol.codes import ELSEWHERE, LoginResult, QRState
from ..protocol.delivery import LAST_EVENT_ID
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.hashes import hash33, password_hash
from ..protocol.models.login import CheckReply, LoginReply, Secret, Session
from .connection import Connection

__all__ = [
    "LoggedIn",
    "Login",
    "LoginError",
    "OnCaptcha",
    "OnQR",
    "PasswordLogin",
    "PasswordNeeded",
    "QRLogin",
    "WrongPassword",
    "resuming",
    "was_kicked",
]

logger = logging.getLogger("webqq_tornado.webqq")

#: Gets the picture's bytes (a JPEG), returns the characters on it; may be `async def`.
OnCaptcha: TypeAlias = "Callable[[bytes], str | Awaitable[str]]"
#: Gets the QR code's picture (a PNG), and shows it; may be `async def`.
OnQR: TypeAlias = Callable[[bytes], object]

#: Seconds between two requests for a QR code's state (the clients: 1 to 3).
QR_SECONDS = 2.0
#: Wrong answers to captchas after which the login fails.
CAPTCHA_TRIES = 5
#: Times that the verify code of check may turn out to be used already.
STALE_CODES = 3
#: Requests for a QR code's state that may fail in a row, so that nobody has to scan it again.
QR_FAILURES = 5
#: Seconds for getvfwebqq (Mojo-Webqq 2018).
VFWEBQQ_TIMEOUT = 10.0
_NEW = Secret()


class LoginError(Exception):
    """The server refuses the account; a retry will not help."""


class WrongPassword(LoginError):
    """The server does not know the account, or it has another password."""


class PasswordNeeded(LoginError):
    """No password was given, and the saved session has ended."""


class LoggedIn(NamedTuple):
    """Result of a login that has succeeded.

    Args:
        account: QQ number; after a login by QR code that of the scanner.
        nick: of the account; empty after a login by cookies.
        connection: with the open session.
    """

    account: int
    nick: str
    connection: Connection


class Login(ABC):
    """One login.

    Args:
        account: QQ number; 0 if the QR code's scanner is to say.
        connection: to the server, in the dialect of the login.
        cookies: of the account; the server's cookie ptwebqq is read from here.
        then: gets a `LoggedIn`, returns the link that follows.
    """

    def __init__(
        self,
        account: int,
        connection: Connection,
        *,
        cookies: CookieJar,
        then: Callable[[LoggedIn], Link],
    ) -> None:
        self._account = account
        self._nick = ""
        self._connection = connection
        self._cookies = cookies
        self._then = then
        self._resumes = False

    @abstractmethod
    def first(self) -> Next:
        """The first link of a full login."""

    def again(self, psessionid: Secret, *, resumes: bool = False) -> Next:
        """The first link of a login that tries login2 with the present cookies.

        After a refusal `first` follows (qqbot 2017). A server that cannot be reached has refused
        nothing: that error fails the chain. While resuming, so does the page of a front server
        that has lost its backend; in a first login it may be all that the server ever says.

        Args:
            psessionid: of a session to resume (Mojo-Webqq 2018); empty for a new one.
            resumes: whether the account was online until now: if another login has ended its
                session since, that is reported, not undone.
        """
        self._resumes = resumes
        return self._open_session(psessionid)._replace(errback=self._on_refusal)

    def _on_refusal(self, error: Exception) -> Link:
        makes_sense = isinstance(error, RefusedError) and not was_kicked(error)
        if isinstance(error, StreamError) or (self._resumes and not makes_sense):
            raise error
        logger.debug("login by cookies: %s", error)
        return self.first()

    @property
    def _ptwebqq(self) -> Secret:
        return Secret(self._cookies.get("ptwebqq", "") or "")

    def _open_session(self, psessionid: Secret = _NEW) -> Next:
        form = forms.Login2Form(self._connection.clientid, self._ptwebqq, psessionid)
        request = self._connection.request(self._connection.dialect.login2, form)
        is_resumed = self._resumes and bool(psessionid)
        return Next(resuming(request) if is_resumed else request, self._on_login2)

    def _on_login2(self, response: Response) -> Link:
        login2 = self._connection.dialect.login2
        return self._finish(login2.parse(_body(response, "login2")))

    def _finish(self, session: Session) -> Link:
        connection = replace(self._connection, session=session, ptwebqq=self._ptwebqq)
        return self._then(LoggedIn(self._account, self._nick, connection))

    def _refusal(self, reply: LoginReply) -> LoginError:
        if reply.result is LoginResult.WRONG_PASSWORD:
            return WrongPassword(
                f"wrong password, or no such account: {self._account} ({reply.text})"
            )
        whom = self._account or "the account"
        return LoginError(f"the server refuses {whom}: {reply.text or reply.code}")


class PasswordLogin(Login):
    """A login of WebQQ 3.

    Args:
        account: QQ number.
        password: its password.
        connection: to the server.
        on_captcha: reads the characters off the captcha's picture; None refuses captchas.
        options: see `Login`.

    Example:
        >>> connection = Connection(Endpoints.at(url), WEBQQ3, clientid=1)
        >>> login = PasswordLogin(10001, "secret", connection, cookies=jar, then=print)
        >>> stream.add_request(*login.first())
    """

    def __init__(
        self,
        account: int,
        password: str,
        connection: Connection,
        *,
        on_captcha: OnCaptcha | None = None,
        cookies: CookieJar,
        then: Callable[[LoggedIn], Link],
    ) -> None:
        super().__init__(account, connection, cookies=cookies, then=then)
        self._password = password
        self._on_captcha = on_captcha
        self._wrong_captchas = self._stale_codes = 0
        self._salt = b""
        self._is_typed = False  # a human typed the code, from a captcha

    def first(self) -> Next:
        """The first link of a full login."""
        form = forms.CheckForm(self._account, r=_random())
        return Next(self._connection.request(webqq3.CHECK, form), self._on_check)

    def _on_check(self, response: Response) -> Link:
        if not self._password:
            raise PasswordNeeded(
                f"there is no session of {self._account} to resume: give its password"
            )
        reply = webqq3.CHECK.parse(_body(response, "check"))
        self._salt = reply.salt
        self._is_typed = reply.needs_captcha
        return self._picture(reply) if reply.needs_captcha else self._proof(reply.code)

    def _picture(self, reply: CheckReply) -> Link:
        if self._on_captcha is None:
            raise LoginError(
                f"the server wants a captcha for account {self._account}: log in on a terminal, "
                "or give the client on_captcha=, a function from the picture to its characters"
            )
        form = forms.CaptchaForm(self._account, r=_random())
        return Next(self._connection.request(webqq3.CAPTCHA, form), self._on_picture)

    async def _on_picture(self, response: Response) -> Link:
        assert self._on_captcha is not None  # noqa: S101 - _picture() looked
        answer = self._on_captcha(_body(response, "getimage"))
        typed = await answer if inspect.isawaitable(answer) else answer
        return self._proof(str(typed).strip())

    def _proof(self, code: str) -> Link:
        proof = password_hash(self._password, self._salt, code)
        form = forms.LoginForm(self._account, proof, code)
        return Next(self._connection.request(webqq3.LOGIN, form), self._on_login)

    def _on_login(self, response: Response) -> Link:
        reply = webqq3.LOGIN.parse(_body(response, "login"))
        if reply.result is LoginResult.WRONG_CAPTCHA and self._may_ask_again():
            return self.first()
        if reply.result is not LoginResult.OK:
            raise self._refusal(reply)
        self._nick = reply.nick
        if reply.url:
            return Next(str(reply.url), self._on_signature)
        return self._open_session()

    def _may_ask_again(self) -> bool:
        if not self._is_typed:
            # The server's own code is valid for one login: the answer was lost, and libcurl has
            # sent the request again.
            self._stale_codes += 1
            return self._stale_codes <= STALE_CODES
        self._wrong_captchas += 1
        return self._on_captcha is not None and self._wrong_captchas < CAPTCHA_TRIES

    def _on_signature(self, _response: Response) -> Link:
        # Only its cookies matter.
        return self._open_session()


class QRLogin(Login):
    """A login of SmartQQ.

    Args:
        account: QQ number that has to scan the code; 0 for any.
        connection: to the server.
        on_qr: shows the QR code's picture; called again with a new one when it has expired.
        options: see `Login`.

    Example:
        >>> connection = Connection(Endpoints.at(url), SMARTQQ, clientid=1)
        >>> login = QRLogin(0, connection, on_qr=show, cookies=jar, then=print)
        >>> stream.add_request(*login.first())
    """

    def __init__(
        self,
        account: int,
        connection: Connection,
        *,
        on_qr: OnQR | None = None,
        cookies: CookieJar,
        then: Callable[[LoggedIn], Link],
    ) -> None:
        super().__init__(account, connection, cookies=cookies, then=then)
        self._on_qr = on_qr
        self._began = time.monotonic()
        self._state = QRState.WAITING
        self._failures = 0
        self._vfwebqq = Secret()
        self._is_by_cookies = False

    def first(self) -> Next:
        """The first link of a full login."""
        self._is_by_cookies = False
        form = forms.LoginPageForm(t="20131024001")
        return Next(self._connection.request(smartqq.LOGIN_PAGE, form), self._on_page)

    def again(self, psessionid: Secret, *, resumes: bool = False) -> Next:
        """See `Login.again`; getvfwebqq comes first here."""
        self._is_by_cookies, self._resumes = True, resumes
        return self._ask_vfwebqq(psessionid)._replace(errback=self._on_refusal)

    def _on_page(self, _response: Response) -> Link:
        # Only its cookies matter.
        return self._new_code()

    def _new_code(self) -> Next:
        if self._on_qr is None:
            raise LoginError(
                "SmartQQ logs in by QR code: log in on a terminal, or give the client on_qr=, a "
                "function that shows a picture"
            )
        form = forms.QRCodeForm(_random())
        return Next(self._connection.request(smartqq.QR_CODE, form), self._on_code)

    async def _on_code(self, response: Response) -> Link:
        assert self._on_qr is not None  # noqa: S101 - _new_code() looked
        shown = self._on_qr(_body(response, "ptqrshow"))
        if inspect.isawaitable(shown):
            await shown
        self._began, self._state = time.monotonic(), QRState.WAITING
        return self._look()

    def _look(self) -> Next:
        qrsig = self._cookies.get("qrsig", "") or ""
        milliseconds = int((time.monotonic() - self._began) * 1000)
        form = forms.QRStateForm(hash33(qrsig), f"0-0-{milliseconds}")
        request = self._connection.request(smartqq.QR_STATE, form)
        return Next(request, self._on_state, QR_SECONDS, self._on_no_state)

    def _on_no_state(self, error: Exception) -> Link:
        self._failures += 1
        if not isinstance(error, StreamError) or self._failures > QR_FAILURES:
            raise error
        logger.debug("the QR code's state: %s", error)
        return self._look()

    def _on_state(self, response: Response) -> Link:
        self._failures = 0
        reply = smartqq.QR_STATE.parse(_body(response, "ptqrlogin"))
        state, self._state = self._state, reply.qr_state
        if reply.qr_state is QRState.EXPIRED:
            return self._new_code()
        if reply.qr_state is QRState.REFUSED:
            raise self._refusal(reply)
        if reply.qr_state is not QRState.DONE:
            if reply.qr_state is not state:
                logger.info("the QR code was scanned; confirm the login on the telephone")
            return self._look()
        self._nick = reply.nick
        self._check_account()
        # Where it redirects to is a page for browsers; the cookies come with the redirect.
        return Next(Request(str(reply.url), follow_redirects=False), self._on_signature)

    def _check_account(self) -> None:
        found = (self._cookies.get("uin", "") or "").lstrip("o")
        scanned_by = int(found) if found.isdecimal() else 0
        if self._account and scanned_by not in (0, self._account):
            raise LoginError(
                f"the QR code was confirmed by {scanned_by}, not by {self._account}: sign in as "
                f"{self._account} where you scan it"
            )
        self._account = self._account or scanned_by

    def _on_signature(self, _response: Response) -> Link:
        return self._ask_vfwebqq(_NEW)

    def _ask_vfwebqq(self, psessionid: Secret) -> Next:
        form = forms.VfwebqqForm(self._ptwebqq, self._connection.clientid, int(time.time() * 1000))
        request = self._connection.request(smartqq.VFWEBQQ, form)
        limited = request.replace(request_timeout=VFWEBQQ_TIMEOUT)
        return Next(limited, lambda response: self._on_vfwebqq(response, psessionid))

    def _on_vfwebqq(self, response: Response, psessionid: Secret) -> Link:
        self._vfwebqq = smartqq.VFWEBQQ.parse(_body(response, "getvfwebqq"))
        link = self._open_session(psessionid)
        return link._replace(errback=self._on_refusal) if self._is_by_cookies else link

    def _on_login2(self, response: Response) -> Link:
        session = smartqq.LOGIN2.parse(_body(response, "login2"))
        self._account = self._account or session.uin
        # login2 returns another vfwebqq, which the s host refuses.
        session = replace(session, vfwebqq=self._vfwebqq)
        form = forms.OnlineForm(self._connection.clientid, session.psessionid, session.vfwebqq)
        # Without it the server answered poll2 with 103 (qqbot 2017).
        request = self._connection.request(smartqq.ONLINE, form)
        return Next(request, lambda _: self._finish(session))


def resuming(request: Request) -> Request:
    """Mark login2 as that of an account that was online in that session until now.

    Args:
        request: login2 with its psessionid.
    """
    return request.replace(headers=(*request.header_pairs, (LAST_EVENT_ID, "0")))


def was_kicked(error: Exception) -> TypeGuard[RefusedError]:
    """Return True if another login ended the session that was to be resumed."""
    return isinstance(error, RefusedError) and error.retcode == ELSEWHERE


def _random() -> str:
    return str(random.random())  # noqa: S311 - against caches


def _body(response: Response, endpoint: str) -> bytes:
    if response.status != 200:
        raise ProtocolError(endpoint, f"HTTP status {response.status} {response.reason}")
    return response.body
