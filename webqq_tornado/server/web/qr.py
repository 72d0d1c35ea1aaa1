"""The page's requests about QR codes: show the client that waits, let it in or refuse it."""

from __future__ import annotations

import logging

from ...protocol.codes import QRState
from ..qrcodes import QRCode
from .api import PageHandler, refuse

__all__ = ["ROUTES"]

logger = logging.getLogger("webqq_tornado.server")

#: Codes that are listed at once.
_MOST_SHOWN = 50
_GONE = "This QR code has expired, or was used already: scan the new one"


class QRHandler(PageHandler):
    """Clients that show a QR code, and wait for somebody who lets them in."""

    def get(self) -> None:
        """List the codes of the user's address, newest first; with ?id= scan that one."""
        me, identifier = self.me(), self.query().get("id", "")
        if identifier:
            self._scanned(identifier)
            self.server.qr.scan(identifier, me.number, self.credential)
            waiting = [self._scanned(identifier)]
        else:
            waiting = self.server.qr.shown_to(self.place.address, self.credential)
        self.write({"waiting": [_view(code) for code in waiting[:_MOST_SHOWN]]})

    def _scanned(self, identifier: str) -> QRCode:
        """The code with an id.

        Raises:
            Refusal: 404, there is none such any more.
        """
        code = self.server.qr.waiting(identifier)
        if code is None:
            refuse(404, _GONE)
        return code

    def post(self) -> None:
        """Let one in as oneself, or do not."""
        me, body = self.me(), self.json()
        identifier = body["id"]
        is_confirmed = body["confirm"]
        # A code is shown only beside its program, or to the browser that has its picture.
        if not self._scanned(identifier).is_shown_to(self.place.address, self.credential):
            refuse(404, _GONE)
        decide = self.server.qr.confirm if is_confirmed else self.server.qr.refuse
        if not decide(identifier, me.number):
            refuse(404, _GONE)
        logger.info("%d %s a QR code", me.number, "confirmed" if is_confirmed else "refused")
        self.set_status(204)


def _view(code: QRCode) -> dict[str, object]:
    """A client as the page has it."""
    return {
        "id": code.id,
        "address": code.address,
        "program": code.program,
        "number": code.number,
        "seconds_left": int(code.seconds_left),
        "scanned": code.state is QRState.SCANNED,
    }


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/qr", QRHandler),)
