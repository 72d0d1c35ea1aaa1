"""Errors in a message of the other side.

The tree::

    ProtocolError       what came is not what the protocol says
    └── RefusedError    it is, and its retcode says no

A parser returns a value or raises one of these, for any bytes. The excerpt in the text never shows
a session token: see `webqq_tornado.protocol.wire.excerpt`.
"""

from __future__ import annotations

from .codes import Action, action_of, meaning_of

__all__ = ["ProtocolError", "RefusedError"]


class ProtocolError(Exception):
    """The other side sent what the protocol does not know.

    Args:
        endpoint: Name of the exchange or record, for example ``"login2"``.
        problem: What was wrong.
        excerpt: The beginning of what came, without secrets.
    """

    def __init__(self, endpoint: str, problem: str, excerpt: str = "") -> None:
        super().__init__(endpoint, problem, excerpt)
        self.endpoint = endpoint
        self.problem = problem
        self.excerpt = excerpt

    def __str__(self) -> str:
        tail = f": {self.excerpt}" if self.excerpt else ""
        return f"{self.endpoint}: {self.problem}{tail}"


class RefusedError(ProtocolError):
    """The server understood and answered with a retcode other than 0.

    Args:
        endpoint: Name of the exchange.
        retcode: The code.
        text: The server's own words (``errmsg``), may be empty.
    """

    def __init__(self, endpoint: str, retcode: int, text: str = "") -> None:
        super().__init__(endpoint, f"refused with retcode {retcode} ({meaning_of(retcode)})", text)
        self.args = (endpoint, retcode, text)
        self.retcode = retcode

    @property
    def action(self) -> Action:
        """Clients' reaction to the code."""
        return action_of(self.retcode)
