"""The login chain of WebQQ 3: check, login, the link it gives, login2."""

from __future__ import annotations

import random
import urllib.request
from collections.abc import Callable

from ..engine.chain import Link, Next
from ..engine.response import Response
from ..engine.session import CookieJar
from ..protocol import forms, webqq3
from ..protocol.codes import LoginResult
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from ..protocol.hashes import password_hash
from ..protocol.models import LoginReply, Secret, Session

__all__ = ["Login", "LoginError"]


_NEW = Secret()


class LoginError(Exception):
    """The server does not let this account in; trying again will not change that."""


class Login:
    """One login.

    Args:
        account: QQ number.
        password: its password.
        endpoints: the server.
        clientid: number picked for this client.
        cookies: of the session; the server's cookie ptwebqq is read from here.
        then: gets the open session and the cookie ptwebqq, returns what comes next.

    Attributes:
        nick: of the account, as the server said; empty before, and after a login by cookies.

    Example:
        >>> login = Login(10001, "secret", Endpoints.at(url), 12345678, jar, print)
        >>> stream.add_request(*login.first())
    """

    def __init__(
        self,
        account: int,
        password: str,
        endpoints: Endpoints,
        *,
        clientid: int,
        cookies: CookieJar,
        then: Callable[[Session, Secret], Link],
    ) -> None:
        self._account = account
        self._password = password
        self._endpoints = endpoints
        self._clientid = clientid
        self._cookies = cookies
        self._then = then
        self.nick = ""

    def first(self) -> Next:
        """The chain's first link."""
        form = forms.CheckForm(self._account, r=str(random.random()))  # noqa: S311 - against caches
        return Next(webqq3.CHECK.request(self._endpoints, form), self._on_check)

    def again(self, psessionid: Secret) -> Next:
        """The first link of a login that tries login2 with the cookies it has.

        A refusal leads on to `first` (qqbot 2017).

        Args:
            psessionid: of a session to take up again (Mojo-Webqq 2018); empty for a new one.
        """
        request, reader = self._open_session(psessionid)
        return Next(request, reader, errback=lambda error: self.first())

    def _on_check(self, response: Response) -> Link:
        reply = webqq3.CHECK.parse(_body(response, "check"))
        if reply.needs_captcha:
            raise LoginError(
                f"the server wants a captcha for account {self._account}, which this version can "
                "not show: log in once by other means, or wait"
            )
        proof = password_hash(self._password, reply.salt, reply.code)
        form = forms.LoginForm(self._account, proof, reply.code)
        return webqq3.LOGIN.request(self._endpoints, form), self._on_login

    def _on_login(self, response: Response) -> Link:
        reply = webqq3.LOGIN.parse(_body(response, "login"))
        if reply.result is not LoginResult.OK:
            raise LoginError(self._refusal(reply))
        self.nick = reply.nick
        if reply.url:
            return str(reply.url), self._on_signature
        return self._open_session()

    def _on_signature(self, _response: Response) -> Link:
        # It was asked for its cookies only.
        return self._open_session()

    def _open_session(
        self, psessionid: Secret = _NEW
    ) -> tuple[urllib.request.Request, Callable[[Response], Link]]:
        ptwebqq = Secret(self._cookies.get("ptwebqq", ""))
        form = forms.Login2Form(self._clientid, ptwebqq, psessionid)
        return webqq3.LOGIN2.request(self._endpoints, form), self._on_session

    def _on_session(self, response: Response) -> Link:
        session = webqq3.LOGIN2.parse(_body(response, "login2"))
        return self._then(session, Secret(self._cookies.get("ptwebqq", "")))

    def _refusal(self, reply: LoginReply) -> str:
        if reply.result is LoginResult.WRONG_PASSWORD:
            return f"wrong password, or no such account: {self._account} ({reply.text})"
        return f"the server refuses account {self._account}: {reply.text or reply.code}"


def _body(response: Response, endpoint: str) -> bytes:
    if response.status != 200:
        raise ProtocolError(endpoint, f"HTTP status {response.status} {response.reason}")
    return response.body
