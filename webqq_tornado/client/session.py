"""The session of an account: opened, saved to a file, resumed and closed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random_exponential

from ..engine.chain import Chain
from ..engine.links import Errback, Link, Next
from ..engine.request import Request
from ..engine.session import CookieJar
from ..files import reason
from ..protocol import forms, smartqq, webqq3
from ..protocol.dialect import SMARTQQ, Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.models.login import Secret, Session
from .link_defaults import REQUEST_TIMEOUT
from .login import Login, OnCaptcha, OnQR, PasswordLogin, QRLogin
from .saved_session import SavedSession, cookies_of
from .store import Store

__all__ = ["SessionKeeper"]

logger = logging.getLogger("webqq_tornado.webqq")

_NONE = Secret()
#: Seconds before the first, second, third ... try to be online again: 0.25 to 0.5 at first, 30 to
#: 60 in the end. When the pauses add up to T seconds the next one is T/6 as a rule, T/3 at most:
#: an outage of 10 s costs 2 or 3 s more, and after a long one not everybody comes at once.
_PAUSES = wait_exponential(0.25, 30, 1.15) + wait_random_exponential(0.25, 30, 1.15)
#: A session that was online for so many seconds works: its loss is the first trouble again.
_STEADY = 10.0
#: A try without a response fails after a third of the outage so far, but not before so
#: many seconds: one that is under way when the network is back costs no more than that. Of
#: the requests after the first, which was answered, each has at least so many.
_PATIENCE, _LATER_PATIENCE = 3.0, 10.0


class Signed(Protocol):
    """The part of a client that its session uses."""

    name: str
    account: int
    nick: str
    clientid: int
    endpoints: Endpoints
    dialect: Dialect
    session: Session | None
    session_file: Path | None
    store: Store | None

    def add_chain(
        self,
        first: Next,
        name: str,
        errback: Errback | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Chain:
        """Start a chain in the account's name."""

    def on_session(self, login: Login, session: Session, ptwebqq: Secret) -> Link:
        """A login has led to a session."""

    def on_no_login(self, error: Exception) -> Link:
        """A login has failed."""


class SessionKeeper:
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
        self._lost_at: float | None = None  # time.monotonic()
        self._online_at: float | None = None  # the same
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

    def relogin(self, psessionid: Secret) -> None:
        """Log in again, after a pause.

        Args:
            psessionid: of the session that was lost, if it may be taken up; else empty.
        """
        self._have_cookies_failed = self._is_by_cookies
        self.after_cut(psessionid)

    def after_cut(self, psessionid: Secret) -> None:
        """Log in again, after a pause: the server could not be reached.

        That says nothing against the cookies.

        Args:
            psessionid: of the session, to be taken up.
        """
        now, online_at, self._online_at = time.monotonic(), self._online_at, None
        if online_at is not None and now - online_at > _STEADY:
            self._attempt, self._lost_at = 0, None
        if self._lost_at is None:
            self._lost_at = now
        self._start(self._next_pause(), psessionid)

    def on_online(self) -> None:
        """The login has led to a session, and the contacts have come."""
        self._online_at = time.monotonic()

    def again(self) -> float:
        """The last try failed: one more, after a pause of so many seconds."""
        pause = self._next_pause()
        self._start(pause, self._taken_up)
        return pause

    def reset_backoff(self) -> None:
        """The session works: the next trouble is the first again."""
        self._attempt, self._lost_at = 0, None
        self._is_by_cookies = self._have_cookies_failed = False

    def _start(self, delay: float, psessionid: Secret | None) -> None:
        login = self._login()
        # By cookies first, when one was online before; but not if that does not last.
        self._taken_up = psessionid
        self._is_by_cookies = psessionid is not None and not self._have_cookies_failed
        resumes = self._lost_at is not None
        by_cookies = self._is_by_cookies
        first = login.again(psessionid or _NONE, resumes=resumes) if by_cookies else login.first()
        patience = self._patience(delay)
        if patience is not None:
            request = Request.of(first.request).replace(request_timeout=patience)
            first = first._replace(request=request)
        later = REQUEST_TIMEOUT if patience is None else max(patience, _LATER_PATIENCE)
        self._client.add_chain(
            first._replace(delay=delay), "login", self._client.on_no_login, later
        )

    def _patience(self, delay: float) -> float | None:
        """Seconds for the first answer of a login after `delay`; None: the usual."""
        if self._lost_at is None:
            return None
        outage = time.monotonic() + delay - self._lost_at
        return min(max(outage / 3, _PATIENCE), REQUEST_TIMEOUT)

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

    def _kept(self) -> SavedSession | None:
        client = self._client
        if client.session_file is not None:
            return SavedSession.load(client.session_file)
        text = client.store.load_session(client.account) if client.store is not None else None
        return SavedSession.parse(text, f"the store, of {client.account},") if text else None

    def keep(self) -> None:
        """Write the session to the file, or to the store."""
        client = self._client
        if client.session is None or (client.session_file is None and client.store is None):
            return
        kept = SavedSession(
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
            logger.warning("%s: the session cannot be kept: %s", client.name, reason(error))

    def give_up_session(self) -> None:
        """Drop a session that the server has ended: the next login opens another by cookies."""
        client = self._client
        if client.session is not None:
            client.session = replace(client.session, psessionid=Secret())
            self.keep()

    def forget(self) -> None:
        """Forget the session, and delete its file."""
        client = self._client
        if client.session_file is not None:
            try:
                client.session_file.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s: the session cannot be removed: %s", client.name, reason(error))
        elif client.store is not None:
            client.store.forget_session(client.account)

    def renew_ptwebqq(self, ptwebqq: Secret) -> None:
        """Replace the cookie by the server's new one."""
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
