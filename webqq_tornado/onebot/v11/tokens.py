"""Tokens and signatures (OB communication/authorization.md, communication/http-post.md).

A token comes in the header ``Authorization`` or in the query as ``access_token``. The word before
it is ``Bearer`` by the standard and ``Token`` in GC and Koishi, in any case (AQ; NB utils.py).
Events by HTTP POST are signed: ``X-Signature: sha1=<hex>``, HMAC-SHA1 of the body's bytes.
"""

from __future__ import annotations

import enum
import hmac
from typing import NamedTuple

__all__ = [
    "Role",
    "Upgrade",
    "Verdict",
    "authorization",
    "check_token",
    "has_signature",
    "signature",
    "token_in",
    "upgrade_headers",
]


class Verdict(enum.Enum):
    """The result of looking at a token: the HTTP status code if it is refused."""

    OK = 200
    MISSING = 401
    WRONG = 403


class Role(enum.Enum):
    """Purpose of a reverse WebSocket; LG writes ``Api``, so that the case does not count."""

    UNIVERSAL = "Universal"
    API = "API"
    EVENT = "Event"

    @property
    def has_events(self) -> bool:
        """True if events go over it."""
        return self is not Role.API

    @property
    def has_actions(self) -> bool:
        """True if actions go over it."""
        return self is not Role.EVENT


def token_in(header: str, query: str = "") -> str:
    """The token of a request; empty if none.

    Args:
        header: ``Authorization``; the bare token is taken, too.
        query: ``access_token``; counts where the header has none.

    Example:
        >>> token_in("Token abc"), token_in("", "abc"), token_in("Bearer ")
        ('abc', 'abc', '')
    """
    word, _, rest = header.strip().partition(" ")
    if word.lower() in ("bearer", "token"):
        return rest.strip() or query
    return header.strip() or query


def check_token(wanted: str, given: str) -> Verdict:
    """Look at a token, in a time that does not depend on it.

    Args:
        wanted: the right one; without one nothing is looked at: Koishi sends ``Token undefined``
            then (KO http.ts).
        given: what came.
    """
    if not wanted:
        return Verdict.OK
    if not given:
        return Verdict.MISSING
    is_right = hmac.compare_digest(wanted.encode(), given.encode(errors="replace"))
    return Verdict.OK if is_right else Verdict.WRONG


def authorization(token: str) -> dict[str, str]:
    """The header that shows a token; none without a token.

    Args:
        token: which.
    """
    return {"Authorization": f"Bearer {token}"} if token else {}


def signature(secret: str, body: bytes) -> str:
    """The value of ``X-Signature`` for a body.

    Args:
        secret: the key.
        body: the bytes as they are sent.

    Example:
        >>> signature("key", b"{}")
        'sha1=c9963b837183dc667106461b3de91d0885f539b3'
    """
    return f"sha1={hmac.new(secret.encode(), body, 'sha1').hexdigest()}"


def has_signature(secret: str, body: bytes, header: str) -> Verdict:
    """Look at the signature of a body.

    Args:
        secret: the key; without one nothing is looked at.
        body: the bytes as they came.
        header: ``X-Signature``.
    """
    if not secret:
        return Verdict.OK
    if not header:
        return Verdict.MISSING
    right = signature(secret, body).encode()
    given = header.strip().lower().encode(errors="replace")
    return Verdict.OK if hmac.compare_digest(right, given) else Verdict.WRONG


class Upgrade(NamedTuple):
    """The side that opens a reverse WebSocket (OB communication/ws-reverse.md).

    Args:
        self_id: the account.
        role: purpose.
    """

    self_id: int
    role: Role

    @classmethod
    def parse(cls, self_id: str, role: str) -> Upgrade:
        """Read the headers of an upgrade.

        Args:
            self_id: ``X-Self-ID``.
            role: ``X-Client-Role``; without one it is Universal.

        Raises:
            ValueError: the first is no number, or the second no role.
        """
        if not (self_id.isascii() and self_id.strip().isdecimal()):
            raise ValueError("X-Self-ID is no QQ number")
        named = {each.value.lower(): each for each in Role}
        found = named.get(role.strip().lower() or "universal")
        if found is None:
            raise ValueError("X-Client-Role is none of Universal, API, Event")
        return cls(int(self_id), found)


def upgrade_headers(upgrade: Upgrade, token: str = "") -> dict[str, str]:
    """The headers with which an implementation opens a reverse WebSocket.

    Args:
        upgrade: who, and what for.
        token: of the application.
    """
    own = {"X-Self-ID": str(upgrade.self_id), "X-Client-Role": upgrade.role.value}
    return {**own, **authorization(token)}
