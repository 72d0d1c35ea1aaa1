"""Who may come in: verify codes, wrong passwords, logins that wait for their login2."""

from __future__ import annotations

import logging
import secrets
import string
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from ..protocol import hashes
from ..protocol.codes import LoginResult
from ..protocol.models import Secret
from .storage import Account, Storage, Ticket

__all__ = ["Gate", "Recent", "is_same"]

logger = logging.getLogger("webqq_tornado.server")

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

    def keys(self) -> list[str]:
        """All keys, the oldest first."""
        return [str(key) for key in self._entries]

    def take(self, key: object) -> V | None:
        """The value, which is forgotten with this."""
        return self._entries.pop(key, None)


class Gate:
    """Lets accounts in by what proves their password.

    Args:
        storage: knows the accounts.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._codes: Recent[str] = Recent()
        self._failures: Recent[tuple[int, float]] = Recent()  # how many, next try from
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
        return self._judged(number, account, bool(proof) and is_same(str(proof), p.upper()))

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


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing of either."""
    return secrets.compare_digest(*(text.encode("utf-8", "replace") for text in (one, other)))
