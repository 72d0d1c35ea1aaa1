"""What the page asks of clients that show a QR code: who they are, and to let them in or not."""

from __future__ import annotations

import logging

from ..protocol.codes import QRState
from .page_api import PageHandler, refuse
from .qrcodes import QRCode

__all__ = ["ROUTES"]

logger = logging.getLogger("webqq_tornado.server")


class QRHandler(PageHandler):
    """Clients that show a QR code, and wait for somebody who lets them in."""

    def get(self) -> None:
        """All that wait, the newest first; with ?id= that one alone, which counts as scanned."""
        me, identifier = self.me(), self.query().get("id", "")
        waiting = self.server.qr.all_waiting()
        if identifier:
            waiting = [code for code in waiting if code.id == identifier]
            if not waiting:
                refuse(404, "This QR code has expired, or was used already: scan the new one")
            self.server.qr.scan(identifier, me.number)
        self.write({"waiting": [_view(code) for code in waiting]})

    def post(self) -> None:
        """Let one in as oneself, or do not."""
        me, body = self.me(), self.json()
        identifier = body["id"]
        is_confirmed = body["confirm"]
        decide = self.server.qr.confirm if is_confirmed else self.server.qr.refuse
        if not decide(identifier, me.number):
            refuse(404, "This QR code has expired, or was used already: scan the new one")
        logger.info("%d %s a QR code", me.number, "confirmed" if is_confirmed else "refused")
        self.set_status(204)


def _view(code: QRCode) -> dict[str, object]:
    """A client as the page has it."""
    return {
        "id": code.id,
        "address": code.address,
        "program": code.program,
        "seconds_left": int(code.seconds_left),
        "scanned": code.state is QRState.SCANNED,
    }


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = ((r"/page/qr", QRHandler),)
