"""How an account gets its session, keeps it in a file, takes it up again and gives it up."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Protocol

from tenacity import RetryCallState, Retrying, wait_random_exponential

from ...engine.chain import Chain, Errback, Link, Next
from ...engine.request import Request
from ...engine.session import CookieJar
from ...protocol import forms, smartqq, webqq3
from ...protocol.dialect import SMARTQQ, Dialect
from ...protocol.endpoints import Endpoints
from ...protocol.models import Secret, Session
from ..store import Store
from .kept import KeptSession, cookies_of
from .login import Login, OnCaptcha, OnQR, PasswordLogin, QRLogin

__all__ = ["Signing"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds before the first, second, third ... try to be online again.
_PAUSES = wait_random_exponential(multiplier=0.5, max=60)


class Signed(Protocol):
    """What it needs of its client."""

    name: str
    account: int
    nick: str
    clientid: int
    endpoints: Endpoints
    dialect: Dialect
    session: Session | None
    session_file: Path | None
    store: Store | None

    def add_chain(self, first: Next, name: str, errback: Errback | None = None) -> Chain:
        """Start a chain in the account's name."""

    def on_session(self, login: Login, session: Session, ptwebqq: Secret) -> Link:
        """A login has led to a session."""

    def on_no_login(self, error: Exception) -> Link:
        """A login has failed."""


class Signing:
    """The chain *login*, when it is due and from where it begins.

    Args:
        client: whose.
        cookies: of its identity.
        password: see `Client`.
        on_captcha: see `Client`.
        on_qr: see `Client`.
    """

    def __init__(
        self,
        client: Signed,
        cookies: CookieJar,
        password: str,
        on_captcha: OnCaptcha | None,
        on_qr: OnQR | None,
    ) -> None:
        self._client = client
        self._cookies = cookies
        self._password = password
        self._on_captcha, self._on_qr = on_captcha, on_qr
        self._attempt = 0
        self._taken_up: Secret | None = None  # psessionid that a login by cookies may take up
        self._is_by_cookies = False  # the session was opened so, and nothing has shown it works
        self._have_cookies_failed = False

    # -- logging in ---------------------------------------------------------------------------

    def begin(self, password: str = "") -> None:
        """Log in for the first time: by the session in the file, if there is one.

        Args:
            password: in place of the one from the beginning.
        """
        self._password = password or self._password
        self._start(0, self._restored())

    def after_loss(self, psessionid: Secret) -> None:
        """Log in again, after a pause.

        Args:
            psessionid: of the session that was lost, if it may be taken up; else empty.
        """
        self._have_cookies_failed = self._is_by_cookies
        self._start(self._next_pause(), psessionid)

    def again(self) -> float:
        """The last try failed: one more, after a pause of so many seconds."""
        pause = self._next_pause()
        self._start(pause, self._taken_up)
        return pause

    def has_proved_good(self) -> None:
        """The session works: the next trouble is the first again."""
        self._attempt = 0
        self._is_by_cookies = self._have_cookies_failed = False

    def _start(self, delay: float, psessionid: Secret | None) -> None:
        login = self._login()
        # By cookies first, when one was online before; but not if that does not last.
        self._taken_up = psessionid
        self._is_by_cookies = psessionid is not None and not self._have_cookies_failed
        first = login.again(psessionid or Secret()) if self._is_by_cookies else login.first()
        self._client.add_chain(first._replace(delay=delay), "login", self._client.on_no_login)

    def _login(self) -> Login:
        client = self._client

        def then(session: Session, ptwebqq: Secret) -> Link:
            return client.on_session(login, session, ptwebqq)

        login: Login
        if client.dialect is SMARTQQ:
            login = QRLogin(
                client.account,
                client.endpoints,
                on_qr=self._on_qr,
                clientid=client.clientid,
                cookies=self._cookies,
                then=then,
            )
        else:
            login = PasswordLogin(
                client.account,
                self._password,
                client.endpoints,
                on_captcha=self._on_captcha,
                clientid=client.clientid,
                cookies=self._cookies,
                then=then,
            )
        return login

    def _next_pause(self) -> float:
        self._attempt += 1
        attempt = RetryCallState(Retrying(), None, (), {})
        attempt.attempt_number = self._attempt
        return _PAUSES(attempt)

    # -- the session in the file ----------------------------------------------------------------

    def _restored(self) -> Secret | None:
        """Take up the session in the file; its psessionid, if it is this account's."""
        client = self._client
        kept = self._kept()
        if kept is None or kept.dialect != client.dialect.name:
            return None
        if client.account not in (0, kept.account):
            return None
        client.account, client.clientid, client.nick = kept.account, kept.clientid, kept.nick
        kept.restore(self._cookies)
        return kept.psessionid

    def _kept(self) -> KeptSession | None:
        client = self._client
        if client.session_file is not None:
            return KeptSession.load(client.session_file)
        text = client.store.load_session(client.account) if client.store is not None else None
        return KeptSession.parse(text, f"the store, of {client.account},") if text else None

    def keep(self) -> None:
        """Write the session to the file, or to the store."""
        client = self._client
        if client.session is None or (client.session_file is None and client.store is None):
            return
        kept = KeptSession(
            client.account,
            client.dialect.name,
            client.clientid,
            client.session.psessionid,
            client.nick,
            cookies_of(self._cookies),
        )
        try:
            if client.session_file is not None:
                kept.save(client.session_file)
            elif client.store is not None:
                client.store.save_session(client.account, kept.text)
        except OSError as error:
            logger.warning("%s: the session can not be kept: %s", client.name, error)

    def forget(self) -> None:
        """The session is given up, and what was kept of it."""
        client = self._client
        if client.session_file is not None:
            client.session_file.unlink(missing_ok=True)
        elif client.store is not None:
            client.store.forget_session(client.account)

    def renew_ptwebqq(self, ptwebqq: Secret) -> None:
        """The server has changed that cookie."""
        for cookie in [cookie for cookie in self._cookies if cookie.name == "ptwebqq"]:
            cookie.value = str(ptwebqq)
            self._cookies.set_cookie(cookie)
        self.keep()

    def goodbye(self, session: Session) -> Request:
        """The request that ends a session."""
        client = self._client
        if client.dialect is SMARTQQ:
            token, ptcz = (self._cookies.get(name) for name in ("pt4_token", "ptcz"))
            out = forms.SignOutForm(Secret(token or ""), Secret(ptcz or ""))
            return Request.of(smartqq.SIGN_OUT.request(client.endpoints, out))
        now = int(time.time() * 1000)
        form = forms.LogoutForm(client.clientid, session.psessionid, now)
        return Request.of(webqq3.LOGOUT.request(client.endpoints, form))
