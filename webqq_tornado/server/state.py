"""State shared by all handlers of a server: storage, hub, authenticator, browser sessions."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from typing import Protocol

from ..deprecation import warn_deprecated
from ..protocol.models.login import Secret
from .authentication import CAPTCHA_AFTER, Authenticator
from .cache import BoundedCache
from .groups import Groups
from .hosts import is_historical
from .hub import Hub, Listener
from .qrcodes import QR_SECONDS, QRCode, QRCodes
from .quotas import QUOTAS, Quota, Quotas
from .storage import Account, Storage

__all__ = ["Page", "ServerState"]

#: Seconds for which a sign-in link is valid.
TOKEN_SECONDS = 600.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Page(Listener, Protocol):
    """An open page in a browser."""

    #: Of its session.
    token: str
    #: Of the browser, as an address.
    remote_ip: str

    def push(self, value: dict[str, object]) -> None:
        """Send it a message."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close its WebSocket."""


class ServerState:
    """The state behind the handlers; `app.WebQQServer` puts it on the network.

    Args:
        storage: its memory.
        poll_timeout: seconds a poll2 is held when there is nothing new.
        session_timeout: seconds without a poll after which an account counts as offline.
        hosts: names to serve besides loopback's and the historical ones.
        captcha_after: wrong passwords in a row after which a login needs a captcha.
        qr_timeout: seconds for which a QR code is good.
        needs_online: whether poll2 says 103 until get_online_buddies2 was called, as the server
            of 2017 did; clients that never call it (smartqq, Java) end with that.
        quotas: how often an account or an address may do what, by name.

    Attributes:
        storage, hub, authenticator, qr, quotas, groups: see their modules.
        strangers: signatures for messages to strangers, and the room that brought them
            together, by (psessionid, uin).
        pages: those that are open.
        url, port: where it listens; "" and 0 until then.
        tls_port: where it listens for https; 0 if it does not.
        is_local: whether it listens on loopback alone.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        poll_timeout: float,
        session_timeout: float,
        hosts: Iterable[str],
        captcha_after: int = CAPTCHA_AFTER,
        qr_timeout: float = QR_SECONDS,
        needs_online: bool = False,
        quotas: Mapping[str, Quota] = QUOTAS,
    ) -> None:
        self.storage = storage
        self.quotas = Quotas(quotas)
        self.hub = Hub(storage, poll_timeout, session_timeout)
        self.groups = Groups(storage, self.hub)
        self.authenticator = Authenticator(storage, captcha_after)
        self.qr = QRCodes(qr_timeout)
        self.needs_online = needs_online
        self.strangers: BoundedCache[tuple[Secret, int]] = BoundedCache()
        self.pages: set[Page] = set()
        self.url = ""
        self.port = self.tls_port = 0
        self.is_local = True
        self._hosts = {host.lower() for host in hosts} | _LOOPBACK
        self._tokens: BoundedCache[tuple[int, float]] = BoundedCache()

    @property
    def channel(self) -> Hub:
        """Old name of `hub`."""
        warn_deprecated("WebQQServer.channel", "1.0", instead="WebQQServer.hub")
        return self.hub

    @property
    def gate(self) -> Authenticator:
        """Old name of `authenticator`."""
        warn_deprecated("WebQQServer.gate", "1.0", instead="WebQQServer.authenticator")
        return self.authenticator

    def add_host(self, host: str) -> None:
        """Add a host name to serve."""
        self._hosts.add(host.lower())

    def serves(self, host: str) -> bool:
        """Return True if a Host header names this server."""
        host = host.lower()
        return host in self._hosts or is_historical(host)

    def signin_url(self, account: int) -> str:
        """A link that signs an account in on the page, once, for ten minutes."""
        token = secrets.token_urlsafe(24)
        expires = asyncio.get_running_loop().time() + TOKEN_SECONDS
        self._tokens.put(token, (account, expires))
        return f"{self.url}/signin?token={token}"

    def use_token(self, token: str) -> Account | None:
        """The account of a link's token, which works once."""
        known = self._tokens.take(token)
        if known is None or known[1] < asyncio.get_running_loop().time():
            return None
        return self.storage.accounts.get(known[0])

    def new_page_session(self, account: int) -> str:
        """Issue the token of a browser's session."""
        token = secrets.token_urlsafe(32)
        self.storage.sessions.add_page_session(token, account)
        return token

    def page_account(self, token: str) -> Account | None:
        """The account signed in with a token."""
        number = self.storage.sessions.page_account(token) if token else None
        return None if number is None else self.storage.accounts.get(number)

    def notify_pages_of_code(self, code: QRCode) -> None:
        """A client shows a QR code: pages in browsers on the same machine or network say so.

        Other users find it in their lists: strangers must not be able to prompt anybody.
        """
        for page in tuple(self.pages):
            if page.remote_ip == code.address:
                page.push({"type": "client"})

    def sign_out_everywhere(self, account: int, but: str = "") -> None:
        """End all sign-ins of an account: browsers, clients, links, QR codes.

        Args:
            account: QQ number.
            but: the token of a browser that stays signed in.
        """
        self.storage.sessions.sign_out_everywhere(account, but)
        self.hub.sign_out(account)
        self.qr.revoke(account)
        for link, (number, _) in self._tokens.items():
            if number == account:
                self._tokens.take(link)
        for page in tuple(self.pages):
            if page.account == account and page.token != but:
                page.close(4401, "signed out")

    def end_page_session(self, token: str) -> None:
        """Sign a browser out."""
        if not token:
            return
        self.storage.sessions.remove_page_session(token)
        for page in tuple(self.pages):
            if page.token == token:
                page.close(4401, "signed out")
