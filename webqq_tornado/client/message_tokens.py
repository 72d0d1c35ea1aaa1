"""Signatures (get_c2cmsg_sig2) that messages to strangers need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from ..engine.links import Link, Next
from ..engine.response import Response
from ..protocol import forms
from ..protocol.dialect import Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.models.login import Secret, Session
from .contacts import Stranger

__all__ = ["MessageTokens"]

#: Seconds for which a signature is good (Mojo-Webqq 2018).
GOOD_SECONDS = 300.0


class Asker(Protocol):
    """The part of a client that the request for a token uses."""

    endpoints: Endpoints
    dialect: Dialect
    clientid: int
    session: Session | None


class MessageTokens:
    """The signatures of a client.

    Args:
        client: asks the server.
    """

    def __init__(self, client: Asker) -> None:
        self._client = client
        self._known: dict[tuple[Secret, Stranger], tuple[Secret, float]] = {}

    def ask(self, stranger: Stranger, then: Callable[[Secret], Link]) -> Link:
        """Get a signature that is good now.

        Args:
            stranger: to whom one wants to write.
            then: gets it.
        """
        session = self._client.session
        assert session is not None  # noqa: S101 - nothing is sent without
        key, now = (session.psessionid, stranger), time.monotonic()
        self._known = {who: what for who, what in self._known.items() if what[1] > now}
        if key in self._known:
            return then(self._known[key][0])
        form = forms.SignatureForm(
            *(stranger.origin, stranger.uin, stranger.service_type),
            *(self._client.clientid, session.psessionid, int(time.time() * 1000)),
        )

        def read(response: Response) -> Link:
            signature = self._client.dialect.signature.parse(response.body)
            self._known[key] = signature, time.monotonic() + GOOD_SECONDS
            return then(signature)

        return Next(self._client.dialect.signature.request(self._client.endpoints, form), read)

    def forget(self, stranger: Stranger) -> None:
        """The server did not like it."""
        self._known = {who: what for who, what in self._known.items() if who[1] != stranger}
