"""Authentication: verify codes, captchas, passwords, login tickets."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import string
import time
from typing import NamedTuple

from ..protocol import hashes
from ..protocol.codes import LoginResult
from ..protocol.models.login import Secret
from .cache import BoundedCache, BoundedCacheByOwner
from .captchas import Captchas
from .storage import Account, Storage, Ticket
from .throttle import Place, Throttle

__all__ = ["Authenticator", "Proof", "is_same"]

logger = logging.getLogger("webqq_tornado.server")

#: Wrong passwords in a row after which a login of WebQQ 3 needs a captcha.
CAPTCHA_AFTER = 3
#: Seconds for which a verify code is valid.
CODE_SECONDS = 300.0
#: Seconds for which the address of check_sig stands for its login.
SIGNATURE_SECONDS = 60.0
#: Bytes of a check's cookie before its proof: time of issue and random bytes.
_NONCE_BYTES = 16


class Proof(NamedTuple):
    """The credentials of a login by password.

    Args:
        code: verify code, or answer to the captcha.
        p: the hash.
        sessions: cookie ptvfsession, and where else clients put it.
        captcha: cookie verifysession.
    """

    code: str
    p: str
    sessions: tuple[str, ...] = ()
    captcha: str = ""


class Authenticator:
    """Checks passwords, verify codes and tickets of logins.

    Args:
        storage: knows the accounts.
        captcha_after: wrong passwords in a row after which a login needs a captcha.

    Attributes:
        captchas: issued pictures.
    """

    def __init__(self, storage: Storage, captcha_after: int = CAPTCHA_AFTER) -> None:
        self.captchas = Captchas()
        self._storage = storage
        self._captcha_after = captcha_after
        self._key = secrets.token_bytes(32)
        self._codes: BoundedCacheByOwner[str] = BoundedCacheByOwner(
            each=5000
        )  # nonce by account, code, address
        self._used: BoundedCache[bool] = BoundedCache()  # by nonce
        self._signed: BoundedCache[tuple[Secret, float]] = (
            BoundedCache()
        )  # by signature of check_sig
        self._throttle = Throttle()

    # -- tickets ------------------------------------------------------------------------------

    def new_ticket(self, account: int, dialect: str) -> Secret:
        """Issue the cookie ptwebqq of a granted login."""
        ptwebqq = Secret(secrets.token_hex(32))
        self._storage.sessions.add_ticket(ptwebqq, Ticket(account, dialect))
        return ptwebqq

    def ticket(self, ptwebqq: str) -> Ticket | None:
        """The login that a cookie proves."""
        return self._storage.sessions.ticket(ptwebqq) if ptwebqq else None

    def end_ticket(self, ptwebqq: str) -> None:
        """Revoke the ticket of a login."""
        self._storage.sessions.remove_ticket(ptwebqq)

    def sign(self, ptwebqq: Secret) -> str:
        """A signature for the address of check_sig, which stands for a login, once."""
        signature = secrets.token_hex(48)
        self._signed.put(signature, (ptwebqq, time.monotonic() + SIGNATURE_SECONDS))
        return signature

    def signed(self, signature: str) -> Secret:
        """The cookie ptwebqq of a signed login; "" if there is none any more."""
        ptwebqq, expires = self._signed.take(signature) or (Secret(), 0.0)
        return ptwebqq if time.monotonic() < expires else Secret()

    def vfwebqq(self, ptwebqq: str) -> Secret:
        """The vfwebqq of a SmartQQ login: it has one before its session is open.

        It is derived from the cookie one way, so that nothing must be stored.
        """
        return Secret(hashlib.sha512(b"vfwebqq" + ptwebqq.encode()).hexdigest()[:80])

    # -- verify codes ---------------------------------------------------------------------------

    def new_code(self, account: int, address: str) -> tuple[str, Secret]:
        """A verify code for the next login, "!" and three characters, as without a captcha.

        Args:
            account: QQ number.
            address: of the client.

        Returns:
            The code and its cookie ptvfsession. The cookie proves the code, so that others can
            neither use it up nor push it out of a table. For clients without cookies it is valid
            from their address, too.
        """
        alphabet = string.ascii_uppercase + string.digits
        code = "!" + "".join(secrets.choice(alphabet) for _ in range(3))
        begun = int(time.monotonic()).to_bytes(8, "big")
        nonce = (begun + secrets.token_bytes(_NONCE_BYTES - len(begun))).hex()
        if self._storage.accounts.get(account) is not None:
            self._codes.put((account, code, address), nonce, owner=address)
        return code, Secret(nonce + self._sign(account, code, nonce))

    def _sign(self, account: int, code: str, nonce: str) -> str:
        text = f"{account}:{code}:{nonce}"
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _takes_code(self, account: int, address: str, proof: Proof) -> bool:
        """Use up a verify code; return True if it was issued to this client."""
        code = proof.code.upper()
        by_address = self._codes.take((account, code, address))
        own = (
            each[: 2 * _NONCE_BYTES] for each in proof.sessions if self._is_of(account, code, each)
        )
        nonce = next(own, by_address)
        if nonce is None or self._used.get(nonce):
            return False
        self._used.put(nonce, True)
        age = time.monotonic() - int(nonce[:16], 16)
        return age <= CODE_SECONDS

    def _is_of(self, account: int, code: str, session: str) -> bool:
        """Return True if a cookie was issued together with a code."""
        nonce, signature = session[: 2 * _NONCE_BYTES], session[2 * _NONCE_BYTES :]
        return is_same(signature, self._sign(account, code, nonce))

    # -- passwords ----------------------------------------------------------------------------

    def needs_captcha(self, number: int, place: Place) -> bool:
        """Return True if the next login of an account must solve a captcha."""
        return self._throttle.tries(*self._door(number, place)) >= self._captcha_after

    def by_hash(self, number: int, place: Place, proof: Proof) -> Account | LoginResult:
        """The account, if the hash proves its password; else the reason of the refusal.

        Args:
            number: QQ number.
            place: of the client.
            proof: given credentials.
        """
        expected = self._expected(number, place, proof)
        if self.wait(number, place):
            return LoginResult.REFUSED
        if not expected:
            return LoginResult.WRONG_CAPTCHA
        account = self._storage.accounts.get(number)
        # The salt is the QQ number: the password itself is not needed, only its md5. It is also
        # computed for accounts that do not exist, which take as long.
        password, salted = (account.password, number) if account else (b"", 0)
        shown = hashes.digest_hash(password, hashes.password_salt(salted), expected)
        return self._judged(number, place, account, is_right=is_same(shown, proof.p.upper()))

    def _expected(self, number: int, place: Place, proof: Proof) -> str:
        """The verify code of the hash, if it is valid; this uses it up."""
        if not proof.code.startswith("!"):
            return self.captchas.takes(proof.captcha, proof.code)
        is_good = self._takes_code(number, place.address, proof)
        return proof.code.upper() if is_good and not self.needs_captcha(number, place) else ""

    def by_password(self, number: int, place: Place, digest: bytes) -> Account | LoginResult:
        """The account, if this is md5 of its password; for the page.

        Args:
            number: QQ number.
            place: of the browser.
            digest: md5 of the typed password.
        """
        if self.wait(number, place):
            return LoginResult.REFUSED
        account = self._storage.accounts.get(number)
        password = account.password if account else bytes(len(digest))
        is_right = secrets.compare_digest(password, digest)
        return self._judged(number, place, account, is_right=is_right)

    def wait(self, number: int, place: Place) -> float:
        """Seconds until the next password for an account from a place is checked."""
        return self._throttle.wait(*self._door(number, place))

    def _door(self, number: int, place: Place) -> tuple[int, str, str]:
        """The keys under which the throttle counts an account and a place."""
        address = place.keys[-1]
        if self._storage.accounts.get(number) is None:
            return 0, address, ""
        known = (key for key in place.keys if self._storage.sessions.is_known_place(number, key))
        return number, address, next(known, "")

    def _judged(
        self, number: int, place: Place, account: Account | None, *, is_right: bool
    ) -> Account | LoginResult:
        door = self._door(number, place)
        if account is not None and is_right:
            self._throttle.succeeded(*door)
            return account
        self._throttle.failed(*door)
        logger.info("wrong password for %d from %s", number, place.address)
        return LoginResult.WRONG_PASSWORD

    def change_password(self, account: int, password: str, place: Place) -> None:
        """Change the password of an account; only the place of the change stays known.

        Args:
            account: QQ number.
            password: the new one.
            place: of the change.

        Raises:
            ValueError: the password is empty.
        """
        self._storage.accounts.set_password(account, password)
        self._storage.sessions.forget_places(account, place.keys)

    def know(self, account: int, place: Place) -> str:
        """Remember a place of an account's sign-in, which has tries of its own from now on.

        Args:
            account: QQ number.
            place: of its browser or client.

        Returns:
            The cookie of its device for the next time; it replaces the former one.
        """
        device = secrets.token_hex(32)
        former = place.keys[0] if place.device else ""
        self._storage.sessions.know_places(account, Place(place.address, device).keys, former)
        return device


def is_same(one: str, other: str) -> bool:
    """Compare two secrets in constant time."""
    return secrets.compare_digest(*(text.encode("utf-8", "replace") for text in (one, other)))
