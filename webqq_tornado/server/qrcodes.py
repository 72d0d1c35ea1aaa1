"""QR codes that wait for confirmation, by which SmartQQ signs in.

The cookie of a code identifies the program that shows it. Users at the program's address, and
browsers that have requested the code's id, having scanned it, can see and decide it. A number of
two digits, below the picture and on the page, shows users that the program is theirs, even if
several show codes at once (the code of a "QRLjacking" page has another number).
"""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from ..protocol.codes import QRState
from ..protocol.models.login import Secret
from .cache import BoundedCacheByOwner
from .throttle import network_of

__all__ = ["QRCode", "QRCodes"]

#: Seconds for which a code is valid.
QR_SECONDS = 150.0
#: Maximum number of waiting codes, of all and of one address, which loses its oldest then.
MOST_CODES, MOST_OF_ADDRESS = 10_000, 200
#: Seconds for which a confirmed client can ask again.
USED_SECONDS = 30.0


class QRCode(NamedTuple):
    """An issued code.

    Args:
        id: in the address that it shows; independent of the cookie.
        qrsig: cookie of the client that shows it.
        address: of that client.
        program: the client's User-Agent.
        expires: loop time.
        number: two digits, beside the picture and on the page.
        state: as reported to its client.
        account: that has confirmed or scanned it.
        scanned_by: the browsers that have asked for its id, by their sessions.
        ticket: cookie ptwebqq of its client, once confirmed.
    """

    id: str
    qrsig: Secret
    address: str
    program: str
    expires: float
    number: str
    state: QRState = QRState.WAITING
    account: int = 0
    scanned_by: frozenset[str] = frozenset()
    ticket: Secret = Secret()

    def is_shown_to(self, address: str, browser: str) -> bool:
        """Return True if the viewer has the program's address, or has scanned the code.

        Args:
            address: of the viewer.
            browser: session of their page.
        """
        return self.address == address or browser in self.scanned_by

    @property
    def seconds_left(self) -> float:
        """Seconds until the code expires."""
        return max(0.0, self.expires - asyncio.get_running_loop().time())

    def __repr__(self) -> str:
        return f"<QRCode {self.state.name.lower()} for {self.address}>"


class QRCodes:
    """The issued codes that are still valid.

    Args:
        seconds: for which a code is valid.
    """

    def __init__(self, seconds: float = QR_SECONDS) -> None:
        self.seconds = seconds
        sizes = (MOST_CODES, MOST_OF_ADDRESS)
        self._by_id: BoundedCacheByOwner[QRCode] = BoundedCacheByOwner(*sizes)
        self._ids: BoundedCacheByOwner[str] = BoundedCacheByOwner(*sizes)  # by qrsig

    def new(self, address: str, program: str = "") -> QRCode:
        """A code for a client.

        Args:
            address: of the client, shown to the user who confirms it.
            program: its User-Agent, likewise shown.
        """
        expires = asyncio.get_running_loop().time() + self.seconds
        qrsig = Secret(secrets.token_hex(32))
        number = self._new_number(address)
        code = QRCode(secrets.token_urlsafe(9), qrsig, address, program, expires, number)
        owner = network_of(address)
        self._by_id.put(code.id, code, owner)
        self._ids.put(code.qrsig, code.id, owner)
        return code

    def _new_number(self, address: str) -> str:
        """Two digits that no other code of an address has, as long as there are some left."""
        taken = {code.number for code in self.all_waiting() if code.address == address}
        free = [number for number in range(10, 100) if str(number) not in taken]
        return str(secrets.choice(free or range(10, 100)))

    def of_cookie(self, qrsig: str) -> QRCode | None:
        """The code of a client's cookie, in any state; None if it was never issued."""
        identifier = self._ids.get(qrsig) if qrsig else None
        code = self._by_id.get(identifier) if identifier else None
        return code and self._as_it_is(code)

    def waiting(self, identifier: str) -> QRCode | None:
        """A code that can be confirmed."""
        code = self._by_id.get(identifier)
        if code is None or self._as_it_is(code).state not in (QRState.WAITING, QRState.SCANNED):
            return None
        return code

    def all_waiting(self) -> list[QRCode]:
        """The codes that can be confirmed, the newest first."""
        codes = [code for code in self._by_id.values() if self.waiting(code.id) is not None]
        return sorted(codes, key=lambda code: code.expires, reverse=True)

    def shown_to(self, address: str, browser: str) -> list[QRCode]:
        """The codes visible to a user, newest first; see `QRCode.is_shown_to`."""
        return [code for code in self.all_waiting() if code.is_shown_to(address, browser)]

    def scan(self, identifier: str, account: int, browser: str = "") -> None:
        """Mark a code as scanned, and notify its client.

        Args:
            identifier: of the code.
            account: who.
            browser: session of their page, which may decide from now on.
        """
        code = self.waiting(identifier)
        if code is not None:
            seen = code._replace(scanned_by=code.scanned_by | {browser})
            self._by_id.put(identifier, seen, code.address)
        self._change(identifier, QRState.SCANNED, account)

    def confirm(self, identifier: str, account: int) -> bool:
        """Let its client in as this account; return False if the code has expired."""
        return self._change(identifier, QRState.DONE, account)

    def refuse(self, identifier: str, account: int) -> bool:
        """Refuse its client, which shows a new code; return False if the code has expired."""
        return self._change(identifier, QRState.EXPIRED, account)

    def revoke(self, account: int) -> None:
        """Revoke the codes that an account has confirmed and no client has used yet."""
        for code in self._by_id.values():
            if code.account == account:
                self._by_id.put(code.id, code._replace(state=QRState.EXPIRED), code.address)

    def use(self, code: QRCode, ticket: Secret) -> None:
        """Use the code up for its client.

        For a while `of_cookie` still finds it, since the answer may be lost.

        Args:
            code: of `of_cookie`.
            ticket: cookie ptwebqq.
        """
        if not code.ticket:
            expires = asyncio.get_running_loop().time() + USED_SECONDS
            used = code._replace(ticket=ticket, expires=expires)
            self._by_id.put(code.id, used, code.address)

    def _change(self, identifier: str, state: QRState, account: int) -> bool:
        code = self.waiting(identifier)
        if code is not None:
            self._by_id.put(identifier, code._replace(state=state, account=account), code.address)
        return code is not None

    def _as_it_is(self, code: QRCode) -> QRCode:
        is_over = asyncio.get_running_loop().time() >= code.expires
        if is_over and (code.ticket or code.state is not QRState.DONE):
            return code._replace(state=QRState.EXPIRED)
        return code
