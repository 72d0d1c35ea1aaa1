"""The QR codes that wait to be confirmed: what SmartQQ signs in by."""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from ..protocol.codes import QRState
from ..protocol.models import Secret
from .recent import Recent

__all__ = ["QRCode", "QRCodes"]

#: Seconds for which a code is good.
QR_SECONDS = 150.0


class QRCode(NamedTuple):
    """A code that was given out.

    Args:
        id: in the address that it shows; tells nothing of the cookie.
        qrsig: cookie of the client that shows it.
        address: of that client.
        program: what it calls itself.
        expires: time of the loop.
        state: what its client is told.
        account: who has confirmed it, or looks at it.
    """

    id: str
    qrsig: Secret
    address: str
    program: str
    expires: float
    state: QRState = QRState.WAITING
    account: int = 0

    @property
    def seconds_left(self) -> float:
        """For which it is good still."""
        return max(0.0, self.expires - asyncio.get_running_loop().time())

    def __repr__(self) -> str:
        return f"<QRCode {self.state.name.lower()} for {self.address}>"


class QRCodes:
    """The codes that were given out lately.

    Args:
        seconds: for which a code is good.
    """

    def __init__(self, seconds: float = QR_SECONDS) -> None:
        self.seconds = seconds
        self._by_id: Recent[QRCode] = Recent(1000)
        self._ids: Recent[str] = Recent(1000)  # by qrsig

    def new(self, address: str, program: str = "") -> QRCode:
        """A code for a client.

        Args:
            address: of the client, for who is asked to confirm it.
            program: what it calls itself, the same.
        """
        expires = asyncio.get_running_loop().time() + self.seconds
        qrsig = Secret(secrets.token_hex(32))
        code = QRCode(secrets.token_urlsafe(9), qrsig, address, program, expires)
        self._by_id.put(code.id, code)
        self._ids.put(code.qrsig, code.id)
        return code

    def of_cookie(self, qrsig: str) -> QRCode | None:
        """The code of a client's cookie, in whatever state; None if it was never given out."""
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

    def scan(self, identifier: str, account: int) -> None:
        """Somebody looks at it: its client is told so."""
        self._change(identifier, QRState.SCANNED, account)

    def confirm(self, identifier: str, account: int) -> bool:
        """Let its client in as this account; False if it is too late."""
        return self._change(identifier, QRState.DONE, account)

    def refuse(self, identifier: str, account: int) -> bool:
        """Do not; False if it is too late. Its client shows a new code."""
        return self._change(identifier, QRState.EXPIRED, account)

    def use(self, code: QRCode) -> None:
        """Its client is in: nobody else gets in by it."""
        self._ids.take(code.qrsig)
        self._by_id.take(code.id)

    def _change(self, identifier: str, state: QRState, account: int) -> bool:
        code = self.waiting(identifier)
        if code is not None:
            self._by_id.put(identifier, code._replace(state=state, account=account))
        return code is not None

    def _as_it_is(self, code: QRCode) -> QRCode:
        is_over = asyncio.get_running_loop().time() >= code.expires
        if is_over and code.state is not QRState.DONE:
            return code._replace(state=QRState.EXPIRED)
        return code
