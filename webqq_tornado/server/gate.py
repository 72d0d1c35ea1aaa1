"""Who may come in: verify codes, captchas, wrong passwords, tickets of logins."""

from __future__ import annotations

import logging
import secrets
import string
import time
from typing import NamedTuple

from ..protocol import hashes
from ..protocol.codes import LoginResult
from ..protocol.models import Secret
from .captchas import Captchas
from .recent import Recent
from .storage import Account, Storage, Ticket

__all__ = ["Gate", "is_same"]

logger = logging.getLogger("webqq_tornado.server")

#: Wrong passwords in a row after which a login of WebQQ 3 needs a captcha.
CAPTCHA_AFTER = 3
#: Wrong passwords in a row after which an account has to wait.
FREE_TRIES = 10
#: Seconds it has to wait at most.
LONGEST_WAIT = 60.0
#: Seconds after which wrong passwords are forgotten: nobody can lock an owner's bots out for good.
FORGET_SECONDS = 900.0


class _Failures(NamedTuple):
    """Wrong passwords in a row: how many, when the last came, from when another try is looked at.

    Times are of the monotonic clock.
    """

    tries: int = 0
    last: float = 0.0
    open_from: float = 0.0


class Gate:
    """Lets accounts in by what proves their password.

    Args:
        storage: knows the accounts.
        captcha_after: wrong passwords in a row after which a login needs a captcha.

    Attributes:
        captchas: the pictures that were given out.
    """

    def __init__(self, storage: Storage, captcha_after: int = CAPTCHA_AFTER) -> None:
        self.captchas = Captchas()
        self._storage = storage
        self._captcha_after = captcha_after
        self._codes: Recent[str] = Recent()
        self._failures: Recent[_Failures] = Recent()
        self._vfwebqq: Recent[Secret] = Recent()  # by ptwebqq

    # -- tickets ------------------------------------------------------------------------------

    def new_ticket(self, account: int, dialect: str) -> Secret:
        """A login was granted: the cookie ptwebqq that proves it."""
        ptwebqq = Secret(secrets.token_hex(32))
        self._storage.add_ticket(ptwebqq, Ticket(account, dialect))
        return ptwebqq

    def ticket(self, ptwebqq: str) -> Ticket | None:
        """The login that a cookie proves."""
        return self._storage.ticket(ptwebqq) if ptwebqq else None

    def end_ticket(self, ptwebqq: str) -> None:
        """The client has logged out."""
        self._storage.remove_ticket(ptwebqq)
        self._vfwebqq.take(ptwebqq)

    def vfwebqq(self, ptwebqq: str) -> Secret:
        """The vfwebqq of a SmartQQ login: it has one before its session is open."""
        known = self._vfwebqq.get(ptwebqq)
        if known is None:
            known = Secret(secrets.token_hex(40))
            self._vfwebqq.put(ptwebqq, known)
        return known

    # -- passwords ----------------------------------------------------------------------------

    def new_code(self, account: int) -> str:
        """A verify code for the next login: "!" and three characters, as without a captcha."""
        alphabet = string.ascii_uppercase + string.digits
        code = "!" + "".join(secrets.choice(alphabet) for _ in range(3))
        self._codes.put(account, code)
        return code

    def needs_captcha(self, number: int) -> bool:
        """Whether the next login of an account has to show that somebody reads."""
        return self._failures_of(number).tries >= self._captcha_after

    def by_hash(self, number: int, code: str, p: str, captcha: str = "") -> Account | LoginResult:
        """The account, if the hash proves its password; else why not.

        Args:
            number: QQ number.
            code: verify code, or what was read on the captcha.
            p: the hash.
            captcha: cookie verifysession.
        """
        account = self._storage.account(number)
        expected = self._expected(number, code, captcha)
        if self.must_wait(number):
            return LoginResult.REFUSED
        if not expected or not is_same(code.upper(), expected):
            return LoginResult.WRONG_CAPTCHA
        # The salt is the QQ number: the password itself is not needed, only its md5.
        proof = account and hashes.digest_hash(
            account.password, hashes.password_salt(number), expected
        )
        return self._judged(number, account, bool(proof) and is_same(str(proof), p.upper()))

    def _expected(self, number: int, code: str, captcha: str) -> str:
        """The one code that is good now; it is used up by this."""
        if not code.startswith("!"):
            return self.captchas.take(captcha)
        given_out = self._codes.take(number) or ""
        return "" if self.needs_captcha(number) else given_out

    def by_password(self, number: int, digest: bytes) -> Account | LoginResult:
        """The account, if this is md5 of its password; for the page."""
        if self.must_wait(number):
            return LoginResult.REFUSED
        account = self._storage.account(number)
        is_right = account is not None and secrets.compare_digest(account.password, digest)
        return self._judged(number, account, is_right)

    def must_wait(self, number: int) -> bool:
        """Whether too many wrong passwords came for it just now."""
        return self._failures_of(number).open_from > time.monotonic()

    def _failures_of(self, number: int) -> _Failures:
        failures = self._failures.get(number)
        if failures is None or failures.last + FORGET_SECONDS < time.monotonic():
            return _Failures()
        return failures

    def _judged(
        self, number: int, account: Account | None, is_right: bool
    ) -> Account | LoginResult:
        if account is not None and is_right:
            self._failures.take(number)
            return account
        tries, now = self._failures_of(number).tries + 1, time.monotonic()
        # Doubles with each further one, and never locks the owner out for long.
        wait = min(2.0 ** (tries - FREE_TRIES), LONGEST_WAIT) if tries >= FREE_TRIES else 0.0
        self._failures.put(number, _Failures(tries, now, now + wait))
        logger.info("wrong password for %d", number)
        return LoginResult.WRONG_PASSWORD


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of either."""
    return secrets.compare_digest(*(text.encode("utf-8", "replace") for text in (one, other)))
