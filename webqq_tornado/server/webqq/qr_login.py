"""Signing in by QR code, as SmartQQ did: a code to show, its state, and who confirms it.

The code contains the address of this server's page, where a signed-in user confirms the client.
 What follows (check_sig, getvfwebqq, login2) is in `signin`.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlencode

from ...protocol import forms, smartqq, wire
from ...protocol.codes import QRState
from ...protocol.hashes import hash33
from ...protocol.login import qr_reply
from ..authentication import is_same
from ..handlers import NOT_LOGGED_IN, Answer, ExchangeHandler
from ..qrcodes import QRCode
from .qr_picture import qr_picture
from .signin import grant

__all__ = ["ANSWERS"]

#: Characters of a client's User-Agent shown to the user who confirms it.
_PROGRAM_LENGTH = 200


def _code(handler: ExchangeHandler, _form: forms.QRCodeForm) -> str:
    handler.spend("qr")
    server, request = handler.server, handler.request
    program = request.headers.get("User-Agent", "")
    code = server.qr.new(request.remote_ip or "", program[:_PROGRAM_LENGTH])
    server.notify_pages_of_code(code)
    handler.set_domain_cookie("qrsig", code.qrsig, "ptlogin2.qq.com")
    # A hosts file points clients with historical hosts here; a telephone has none.
    base = handler.plain_address if handler.is_historical else handler.address_of("", "")
    text = f"{base}/?{urlencode({'qr': code.id})}"
    level, scale = _level(handler), _scale(handler)
    handler.set_header("Content-Type", "image/png")
    handler.write(qr_picture(text, code.number, level=level, scale=scale))
    return ""


def _level(handler: ExchangeHandler) -> str:
    """Level of error correction."""
    given = handler.get_query_argument("l", "M").upper()
    return given if given in {"L", "M", "Q", "H"} else "M"


def _scale(handler: ExchangeHandler) -> int:
    """Pixels of a module: SmartQQBot 2016 given for 8, the others for 5."""
    given = handler.get_query_argument("s", "5")
    return int(given) if re.fullmatch(r"[1-9]|1[0-6]", given) else 5


def _state(handler: ExchangeHandler, form: forms.QRStateForm) -> str:
    qrsig = handler.get_cookie("qrsig", "") or ""
    if form.token not in (-1, hash33(qrsig)):
        # The historical response to clients from before February 2017, without a token.
        handler.set_status(403)
        handler.set_header("Content-Type", "text/html")
        return _FORBIDDEN
    code = handler.server.qr.of_cookie(qrsig)
    if code is None:
        # As on the historical server: an unknown cookie means an expired code.
        return smartqq.QR_STATE.answer(qr_reply(QRState.EXPIRED, _number()))
    account = handler.server.storage.accounts.get(code.account) if code.account else None
    if code.state is not QRState.DONE or account is None:
        return smartqq.QR_STATE.answer(qr_reply(code.state, _number()))
    if code.ticket and not _may_have_missed(handler, code):
        return smartqq.QR_STATE.answer(qr_reply(QRState.EXPIRED, _number()))
    ticket = code.ticket or handler.server.authenticator.new_ticket(account.number, "smartqq")
    handler.server.qr.use(code, ticket)
    url = grant(handler, account, smartqq.QR_STATE.name, ticket)
    return smartqq.QR_STATE.answer(qr_reply(QRState.DONE, url=url, nick=account.nick))


def _may_have_missed(handler: ExchangeHandler, code: QRCode) -> bool:
    """Return True if the response with the login may have been lost.

    The client has neither sent its cookies nor opened its session.
    """
    is_known = is_same(handler.get_cookie("ptwebqq", "") or "", code.ticket)
    is_open = handler.server.hub.find(code.ticket, "ptwebqq") is not None
    return not (is_known or is_open) and handler.request.remote_ip == code.address


#: As reported to the authors of b3log/xiaov in February 2017.
_FORBIDDEN = """<html>
<head><title>403 Forbidden</title></head>
<body bgcolor="white">
<center><h1>403 Forbidden</h1></center>
<hr><center>Tencent Login Server</center>
</body>
</html>
"""


def _number() -> int:
    return 10**9 + secrets.randbelow(3 * 10**9)


def _vfwebqq(handler: ExchangeHandler, form: forms.VfwebqqForm) -> str:
    authenticator = handler.server.authenticator
    for ptwebqq in (form.ptwebqq, handler.get_cookie("ptwebqq", "") or ""):
        if authenticator.ticket(ptwebqq) is not None:
            return smartqq.VFWEBQQ.answer(authenticator.vfwebqq(ptwebqq))
    return wire.build_refusal(NOT_LOGGED_IN)


def _sign_out(handler: ExchangeHandler, _form: forms.SignOutForm) -> str:
    server, ptwebqq = handler.server, handler.get_cookie("ptwebqq", "") or ""
    session = server.hub.find(ptwebqq, "ptwebqq")
    if session is not None:
        server.hub.close_session(session)
    if ptwebqq:
        server.authenticator.end_ticket(ptwebqq)
    for name in ("ptwebqq", "skey", "uin"):
        handler.clear_domain_cookie(name)
    for name in ("superuin", "superkey", "supertoken"):
        handler.clear_domain_cookie(name, "ptlogin2.qq.com")
    return smartqq.SIGN_OUT.answer("")


ANSWERS: dict[object, Answer] = {
    smartqq.QR_CODE.name: _code,
    smartqq.QR_STATE.name: _state,
    smartqq.VFWEBQQ.name: _vfwebqq,
    smartqq.SIGN_OUT.name: _sign_out,
}
