"""The page's requests about QR codes: list waiting clients, confirm or refuse one."""

from __future__ import annotations

import logging

from ...protocol.codes import QRState
from ..qrcodes import QRCode
from .api import PageHandler, refuse

__all__ = ["ROUTES"]

logger = logging.getLogger("webqq_tornado.server")

#: Codes listed at most.
_MOST_SHOWN = 50
_EXPIRED = "This QR code has expired or was used: scan the new one"


class QRHandler(PageHandler):
    """Clients that show a QR code and wait for confirmation."""

    def get(self) -> None:
        """List the codes shown at the user's address, newest first; with ?id= scan that one."""
        me, identifier = self.me(), self.query().get("id", "")
        if identifier:
            self._scanned(identifier)
            self.server.qr.scan(identifier, me.number, self.credential)
            waiting = [self._scanned(identifier)]
        else:
            waiting = self.server.qr.shown_to(self.place.address, self.credential)
        self.write({"waiting": [_view(code) for code in waiting[:_MOST_SHOWN]]})

    def _scanned(self, identifier: str) -> QRCode:
        """The code of an id.

        Raises:
            Refusal: 404, it has expired or was used.
        """
        code = self.server.qr.waiting(identifier)
        if code is None:
            refuse(404, _EXPIRED)
        return code

    def post(self) -> None:
        """Confirm a client, which signs in as the user, or refuse it."""
        me, body = self.me(), self.json()
        identifier = body["id"]
        is_confirmed = body["confirm"]
        # Only the program's own address, or the browser that scanned the code, may decide.
        if not self._scanned(identifier).is_shown_to(self.place.address, self.credential):
            refuse(404, _EXPIRED)
        decide = self.server.qr.confirm if is_confirmed else self.server.qr.refuse
        if not decide(identifier, me.number):
            refuse(404, _EXPIRED)
        logger.info("%d %s a QR code", me.number, "confirmed" if is_confirmed else "refused")
        self.set_status(204)


def _view(code: QRCode) -> dict[str, object]:
    """JSON of a waiting client."""
    return {
        "id": code.id,
        "address": code.address,
        "program": code.program,
        "number": code.number,
        "seconds_left": int(code.seconds_left),
        "scanned": code.state is QRState.SCANNED,
    }


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/qr", QRHandler),)
