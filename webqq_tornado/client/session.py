"""The session of an account: opened, saved to a file, resumed and closed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random_exponential

from ..engine.links import Errback, Link
from ..engine.request import Request
from ..files import reason
from ..protocol import forms, smartqq, webqq3
from ..protocol.dialect import SMARTQQ
from ..protocol.models.login import Secret, Session
from .context import REQUEST_TIMEOUT, ClientContext, Loss, Recovery
from .login import LoggedIn, Login, OnCaptcha, OnQR, PasswordLogin, QRLogin
from .saved_session import SavedSession, SessionStorage, cookies_of

__all__ = ["SessionKeeper"]

logger = logging.getLogger("webqq_tornado.webqq")

_NONE = Secret()
#: Seconds before the first, second, third ... login after a loss: 0.25 to 0.5 at first, 30 to 60
#: in the end. After T seconds of pauses the next one is about T/6, at most T/3: an outage of 10 s
#: costs 2 or 3 s more, and after a long one the clients do not all come at once.
_PAUSES = wait_exponential(0.25, 30, 1.15) + wait_random_exponential(0.25, 30, 1.15)
#: A session that was online for so many seconds works: the pauses start anew.
_STEADY = 10.0
#: Seconds, at least, for the first request of a login: after a third of the outage so far it
#: fails, so that one sent before the network is back delays the next try little. The later
#: requests, whose server has answered once, get at least the second number.
_PATIENCE, _LATER_PATIENCE = 3.0, 10.0


class SessionKeeper:
    """Decides when the chain *login* starts, and with which request.

    Args:
        context: of the client.
        storage: of the session.
        password: see `Client`.
        on_captcha: see `Client`.
        on_qr: see `Client`.
        on_session: gets a login's result, returns the link that follows.
        on_failure: errback of logins.
    """

    def __init__(
        self,
        context: ClientContext,
        storage: SessionStorage,
        password: str,
        *,
        on_captcha: OnCaptcha | None,
        on_qr: OnQR | None,
        on_session: Callable[[LoggedIn], Link],
        on_failure: Errback,
    ) -> None:
        self._context = context
        self._storage = storage
        self._password = password
        self._on_captcha, self._on_qr = on_captcha, on_qr
        self._on_session, self._on_failure = on_session, on_failure
        self._attempt = 0
        self._lost_at: float | None = None  # time.monotonic()
        self._online_at: float | None = None  # the same
        self._resumable: Secret | None = None  # psessionid that a login by cookies may resume
        self._is_by_cookies = False  # opened by cookies, and not yet known to work
        self._have_cookies_failed = False

    # -- logging in ---------------------------------------------------------------------------

    def log_in(self, password: str = "") -> None:
        """Log in for the first time: by the saved session, if there is one.

        Args:
            password: in place of the one from the beginning.
        """
        self._password = password or self._password
        self._start(0, self._restored())

    def recover(self, loss: Loss, psessionid: Secret) -> None:
        """Log in again, after a pause.

        Args:
            loss: of the session, with the way back.
            psessionid: of the session.
        """
        if loss.recovery is not Recovery.RECONNECT:  # which says nothing against the cookies
            self._have_cookies_failed = self._is_by_cookies
        now, online_at, self._online_at = time.monotonic(), self._online_at, None
        if online_at is not None and now - online_at > _STEADY:
            self._attempt, self._lost_at = 0, None
        if self._lost_at is None:
            self._lost_at = now
        resumable = _NONE if loss.recovery is Recovery.LOG_IN else psessionid
        self._start(self._next_pause(), resumable)

    def note_online(self) -> None:
        """Note that the login has led to a session, and the contacts have come."""
        self._online_at = time.monotonic()

    def retry(self) -> float:
        """Log in once more, after a pause; returns its seconds."""
        pause = self._next_pause()
        self._start(pause, self._resumable)
        return pause

    def reset_backoff(self) -> None:
        """Note that the session works: pauses start anew."""
        self._attempt, self._lost_at = 0, None
        self._is_by_cookies = self._have_cookies_failed = False

    def _start(self, delay: float, psessionid: Secret | None) -> None:
        login = self._login()
        # By cookies first after a session, unless sessions by cookies do not last.
        self._resumable = psessionid
        self._is_by_cookies = psessionid is not None and not self._have_cookies_failed
        resumes = self._lost_at is not None
        by_cookies = self._is_by_cookies
        first = login.again(psessionid or _NONE, resumes=resumes) if by_cookies else login.first()
        patience = self._patience(delay)
        if patience is not None:
            request = Request.of(first.request).replace(request_timeout=patience)
            first = first._replace(request=request)
        later = REQUEST_TIMEOUT if patience is None else max(patience, _LATER_PATIENCE)
        self._context.add_chain(first._replace(delay=delay), "login", self._on_failure, later)

    def _patience(self, delay: float) -> float | None:
        """Seconds for the first answer of a login after `delay`; None for the default."""
        if self._lost_at is None:
            return None
        outage = time.monotonic() + delay - self._lost_at
        return min(max(outage / 3, _PATIENCE), REQUEST_TIMEOUT)

    def _login(self) -> Login:
        context = self._context
        cookies, then = context.identity.cookiejar, self._on_session
        account, connection = context.account, context.connection
        if connection.dialect is SMARTQQ:
            return QRLogin(account, connection, on_qr=self._on_qr, cookies=cookies, then=then)
        return PasswordLogin(
            *(account, self._password, connection),
            on_captcha=self._on_captcha,
            cookies=cookies,
            then=then,
        )

    def _next_pause(self) -> float:
        self._attempt += 1
        attempt = RetryCallState(Retrying(), None, (), {})
        attempt.attempt_number = self._attempt
        return _PAUSES(attempt)

    # -- the saved session ----------------------------------------------------------------------

    def _restored(self) -> Secret | None:
        """Take over the saved session; return its psessionid if it is this account's."""
        context = self._context
        saved = self._storage.load(context.account)
        if saved is None or saved.dialect != context.connection.dialect.name:
            return None
        if context.account not in (0, saved.account):
            return None
        context.account, context.nick = saved.account, saved.nick
        context.connection = replace(context.connection, clientid=saved.clientid)
        saved.restore(context.identity.cookiejar)
        return saved.psessionid

    def save(self) -> None:
        """Save the open session, if there is a storage."""
        context, connection = self._context, self._context.connection
        if connection.session is None:
            return
        saved = SavedSession(
            context.account,
            connection.dialect.name,
            connection.clientid,
            connection.session.psessionid,
            context.nick,
            cookies_of(context.identity.cookiejar),
        )
        try:
            self._storage.save(saved)
        except OSError as error:
            logger.warning("%s: the session cannot be saved: %s", context.name, reason(error))

    def drop_psessionid(self) -> None:
        """Drop a session that the server has ended: the next login opens another by cookies."""
        connection = self._context.connection
        if connection.session is not None:
            session = replace(connection.session, psessionid=Secret())
            self._context.connection = replace(connection, session=session)
            self.save()

    def delete(self) -> None:
        """Delete the saved session."""
        try:
            self._storage.delete(self._context.account)
        except OSError as error:
            name = self._context.name
            logger.warning("%s: the session cannot be deleted: %s", name, reason(error))

    def renew_ptwebqq(self, ptwebqq: Secret) -> None:
        """Replace that cookie, as the server has.

        Args:
            ptwebqq: its new value.
        """
        context = self._context
        context.connection = replace(context.connection, ptwebqq=ptwebqq)
        jar = context.identity.cookiejar
        for cookie in [cookie for cookie in jar if cookie.name == "ptwebqq"]:
            cookie.value = str(ptwebqq)
            jar.set_cookie(cookie)
        self.save()

    def goodbye(self, session: Session) -> Request:
        """The request that ends a session.

        Args:
            session: that was open.
        """
        connection = self._context.connection
        if connection.dialect is SMARTQQ:
            jar = self._context.identity.cookiejar
            token, ptcz = (jar.get(name) for name in ("pt4_token", "ptcz"))
            out = forms.SignOutForm(Secret(token or ""), Secret(ptcz or ""))
            return connection.request(smartqq.SIGN_OUT, out)
        now = int(time.time() * 1000)
        form = forms.LogoutForm(connection.clientid, session.psessionid, now)
        return connection.request(webqq3.LOGOUT, form)
