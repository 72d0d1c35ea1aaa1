"""The doors of an account: who may come in, by token, by host and by origin.

Web pages are kept out: a browser on this machine reaches loopback, and implementations that answer
any page can be driven by one (GC, NC and LL accept WebSockets of any origin).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ...onebot.v11.tokens import Verdict, check_token, token_in
from ..handlers import Handler, Refusal
from .account import OneBotAccount

if TYPE_CHECKING:
    from .service import OneBotState

__all__ = ["AccountHandler"]

#: Connections of an account that stay.
_MOST_CONNECTIONS = 100


class AccountHandler(Handler):
    """A request to an account that applications drive."""

    server: OneBotState
    bot: OneBotAccount

    def initialize(self, server: OneBotState, number: int = 0) -> None:  # type: ignore[override]
        """Called by Tornado with the route's arguments.

        Args:
            server: of the account.
            number: of the account, on a port of its own; else the path has it.
        """
        super().initialize(server)
        self._number = number

    def enter(self) -> None:
        """Find the account, and check who comes.

        Raises:
            Refusal: 404, no application drives it; 401 or 403, the token is missing or wrong, or a
                web page asks.
        """
        number = self._number or int(self.path_kwargs["number"])
        bot = self.server.onebot.accounts.get(number)
        if bot is None:
            raise Refusal(404, f"OneBot is not on for account {number}")
        self._refuse_pages()
        self._check_token(bot)
        self.bot = bot

    def check_room(self) -> None:
        """Check that there may be one more connection that gets events.

        Raises:
            Refusal: 429, there are too many.
        """
        if len(self.bot.connections) >= _MOST_CONNECTIONS:
            raise Refusal(429, f"There are {_MOST_CONNECTIONS} connections already")

    def _refuse_pages(self) -> None:
        headers = self.request.headers
        is_foreign = headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        origin = headers.get("Origin", self._own_origin)
        # RFC 6454, 6.1: a page has a URL's beginning, or null; cq-websocket has "[object Object]".
        is_of_page = "://" in origin or origin.strip().lower() == "null"
        if is_foreign or (is_of_page and origin != self._own_origin):
            raise Refusal(403, "Requests from web pages are refused")

    @property
    def _own_origin(self) -> str:
        return f"{self.request.protocol}://{self.request.host}"

    def _check_token(self, bot: OneBotAccount) -> None:
        given = token_in(
            self.request.headers.get("Authorization", ""),
            self.get_query_argument("access_token", ""),
        )
        if not bot.settings.token and not _is_near(self.request.remote_ip or ""):
            raise Refusal(403, "Without a token only programs on the server's machine may connect")
        verdict = check_token(bot.settings.token, given)
        if verdict is Verdict.MISSING:
            self.set_header("WWW-Authenticate", "Bearer")
            raise Refusal(401, "The token is missing: Authorization: Bearer TOKEN")
        if verdict is Verdict.WRONG:
            raise Refusal(403, "The token is wrong")


def _is_near(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
