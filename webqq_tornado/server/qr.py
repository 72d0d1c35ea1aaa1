"""Signing in by QR code, as SmartQQ did: a code to show, its state, and who confirms it.

The code leads to this server's page, where somebody who is signed in confirms that the client
may act for them. What follows (check_sig, getvfwebqq, login2) is in `signin`.
"""

from __future__ import annotations

import io
import secrets
from urllib.parse import urlencode

import segno

from ..protocol import forms, smartqq, wire
from ..protocol.codes import QRState
from ..protocol.hashes import hash33
from ..protocol.login import qr_reply
from .handlers import NOT_LOGGED_IN, Answer, ExchangeHandler
from .storage import Account

__all__ = ["ANSWERS"]

#: Pixels of a module: the PNG is as large as the historical one, within a few pixels.
_SCALE = 5


def _code(handler: ExchangeHandler, _form: forms.QRCodeForm) -> str:
    code = handler.server.qr.new(handler.request.remote_ip or "")
    handler.set_ptlogin_cookie("qrsig", code.qrsig)
    picture = io.BytesIO()
    address = f"{handler.server.url}/?{urlencode({'qr': code.id})}"
    segno.make_qr(address, error="m").save(picture, kind="png", scale=_SCALE, border=3)
    handler.set_header("Content-Type", "image/png")
    handler.write(picture.getvalue())
    return ""


def _state(handler: ExchangeHandler, form: forms.QRStateForm) -> str:
    qrsig = handler.get_cookie("qrsig", "") or ""
    code = handler.server.qr.of_cookie(qrsig)
    if code is None or hash33(qrsig) != form.token:
        # As the historical server: a cookie that it does not know is a code that has expired.
        return smartqq.QR_STATE.answer(qr_reply(QRState.EXPIRED, _number()))
    account = handler.server.storage.account(code.account) if code.account else None
    if code.state is not QRState.DONE or account is None:
        return smartqq.QR_STATE.answer(qr_reply(code.state, _number()))
    handler.server.qr.use(code)
    return smartqq.QR_STATE.answer(
        qr_reply(QRState.DONE, url=_grant(handler, account), nick=account.nick)
    )


def _grant(handler: ExchangeHandler, account: Account) -> str:
    """The cookies of who is let in, and where to go next."""
    ptwebqq = handler.server.gate.new_ticket(account.number, "smartqq")
    handler.set_account_cookies(account.number, ptwebqq)
    query = urlencode(
        {
            "pttype": 1,
            "uin": account.number,
            "service": "ptqrlogin",
            "nodirect": 0,
            "ptsigx": secrets.token_hex(48),
            "s_url": handler.address_of("w.qq.com", "/proxy.html?login2qq=1&webqq_type=10"),
            "f_url": "",
            "ptlang": 2052,
            "ptredirect": 100,
            "aid": 501004106,
            "daid": 164,
            "j_later": 0,
            "low_login_hour": 0,
            "regmaster": 0,
            "pt_login_type": 3,
            "pt_aid": 0,
            "pt_aaid": 16,
            "pt_light": 0,
            "pt_3rd_aid": 0,
        }
    )
    return handler.address_of("ptlogin4.web2.qq.com", f"/check_sig?{query}")


def _number() -> int:
    return 10**9 + secrets.randbelow(3 * 10**9)


def _vfwebqq(handler: ExchangeHandler, form: forms.VfwebqqForm) -> str:
    gate = handler.server.gate
    for ptwebqq in (form.ptwebqq, handler.get_cookie("ptwebqq", "") or ""):
        if gate.ticket(ptwebqq) is not None:
            return smartqq.VFWEBQQ.answer(gate.vfwebqq(ptwebqq))
    return wire.build_refusal(NOT_LOGGED_IN)


def _sign_out(handler: ExchangeHandler, _form: forms.SignOutForm) -> str:
    server, ptwebqq = handler.server, handler.get_cookie("ptwebqq", "") or ""
    session = server.channel.find(ptwebqq)
    if session is not None:
        server.channel.close_session(session)
    if ptwebqq:
        server.gate.end_ticket(ptwebqq)
    return smartqq.SIGN_OUT.answer("")


ANSWERS: dict[object, Answer] = {
    smartqq.QR_CODE.name: _code,
    smartqq.QR_STATE.name: _state,
    smartqq.VFWEBQQ.name: _vfwebqq,
    smartqq.SIGN_OUT.name: _sign_out,
}
