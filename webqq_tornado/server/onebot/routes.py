"""Paths of an account: below `/onebot/NUMBER` on the server's port, or at the root of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule

from .http import ActionHandler
from .sockets import SocketHandler
from .sse import EventsHandler

if TYPE_CHECKING:
    from .service import OneBotState

__all__ = ["account_routes", "port_routes"]

_ACCOUNT = r"/onebot/(?P<number>[0-9]{1,18})"


class _Upgrades(PathMatches):
    """A path of WebSockets; the same path may mean something else by HTTP."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Arguments of the handler; None for what is no handshake."""
        is_handshake = request.headers.get("Upgrade", "").lower() == "websocket"
        return super().match(request) if is_handshake else None


def account_routes(server: OneBotState) -> list[Rule]:
    """The paths of all accounts.

    Args:
        server: with the accounts.
    """
    return _rules(_ACCOUNT, {"server": server})


def port_routes(server: OneBotState, number: int) -> list[Rule]:
    """The paths of one account, as the standard has them.

    Args:
        server: with the account.
        number: of the account.
    """
    return _rules("", {"server": server, "number": number})


def _rules(prefix: str, route: dict[str, Any]) -> list[Rule]:
    return [
        # Every other path is "/", as in GC (server/websocket.go).
        Rule(_Upgrades(rf"{prefix}(?P<where>/.*)?"), SocketHandler, route),
        Rule(PathMatches(rf"{prefix}/_events/?"), EventsHandler, route),
        Rule(PathMatches(rf"{prefix}/(?P<action>[\w.]+)/?"), ActionHandler, route),
        Rule(PathMatches(rf"{prefix}/?"), ActionHandler, route),
    ]
