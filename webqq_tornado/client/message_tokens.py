"""Signatures (get_c2cmsg_sig2) that messages to strangers need."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..engine.links import Link, Next
from ..engine.response import Response
from ..protocol import forms
from ..protocol.models.login import Secret
from .contacts import Stranger
from .context import ClientContext

__all__ = ["MessageTokens"]

#: Seconds for which a signature is valid (Mojo-Webqq 2018).
GOOD_SECONDS = 300.0


class MessageTokens:
    """The signatures of a client, each asked for once while it is valid.

    Args:
        context: of the client.
    """

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._known: dict[tuple[Secret, Stranger], tuple[Secret, float]] = {}

    def get(self, stranger: Stranger, then: Callable[[Secret], Link]) -> Link:
        """Get a signature that is valid now.

        Args:
            stranger: recipient of the message.
            then: gets it.
        """
        connection = self._context.connection
        session = connection.open_session
        key, now = (session.psessionid, stranger), time.monotonic()
        self._known = {who: what for who, what in self._known.items() if what[1] > now}
        if key in self._known:
            return then(self._known[key][0])
        form = forms.SignatureForm(
            *(stranger.origin, stranger.uin, stranger.service_type),
            *(connection.clientid, session.psessionid, int(time.time() * 1000)),
        )

        def read(response: Response) -> Link:
            signature = connection.dialect.signature.parse(response.body)
            self._known[key] = signature, time.monotonic() + GOOD_SECONDS
            return then(signature)

        return Next(connection.request(connection.dialect.signature, form), read)

    def forget(self, stranger: Stranger) -> None:
        """Drop the signatures for a stranger: the server has refused one.

        Args:
            stranger: recipient of the refused message.
        """
        self._known = {who: what for who, what in self._known.items() if who[1] != stranger}
