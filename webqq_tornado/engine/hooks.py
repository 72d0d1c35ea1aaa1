"""Hooks of a flow: its first links, and methods that observe or decide on the way.

A hook that nobody overrides costs nothing: it is not called.
"""

from __future__ import annotations

from .chain import Link
from .policies import Attempt
from .request import Request
from .response import Response

__all__ = ["Hooks"]


class Hooks:
    """The part of `HTTPStream` that is there to be overridden."""

    def begin(self) -> Link:
        """The first links of the flow: override it; any form of several links will do.

        Each becomes a chain of its own. A generator is only taken as far as there is room
        (`max_clients`), so that it may be endless; with limits on hosts or sessions, as far as
        `Limits` says.
        """
        return None

    def on_request(self, request: Request) -> Request | None:
        """Override to see each link's request before it is sent, or to send another one instead.

        Called once for a link, however often that is tried. What it raises is the link's error.

        Args:
            request: about to be sent.

        Returns:
            Another one, or None.
        """

    def on_response(self, response: Response) -> None:
        """Override to see each response before its reader does.

        Args:
            response: of any status.
        """

    def on_retry(self, attempt: Attempt) -> None:
        """Override to see that a link is going to be tried again.

        Args:
            attempt: what came of the last try, and in `delay` the seconds until the next.
        """

    def on_error(self, error: Exception) -> Link:
        """Override to decide what follows an error in a chain whose link has no errback.

        Args:
            error: a `StreamError`, which knows its request and chain, or what a reader raised.

        Returns:
            As a reader; None: it is dealt with, the chain ends in peace. Raise to end the
            chain with an error, as this default does.
        """
        raise error

    def on_idle(self) -> None:
        """Override to be told whenever the last chain has ended; more may be started here."""
