"""Connections of WebSockets that outlive their links, until the server has said goodbye."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

from ..session import Session

__all__ = ["ClosingSockets"]


class Connection(Protocol):
    """The part of a connection that is used here."""

    is_over: bool
    on_over: Callable[[], object] | None

    def flush(self) -> None:
        """Send what the network takes at once."""

    def hang_up(self) -> None:
        """Close it here and now."""


class ClosingSockets:
    """Connections that their chains have left: each waits for the server's goodbye."""

    def __init__(self) -> None:
        self._sessions: dict[Connection, Session] = {}

    def add(self, connection: Connection, session: Session) -> None:
        """Keep a connection that is closing, until it is closed."""
        # `on_over` has been called of one that is over: nothing would take it out of here again.
        if not connection.is_over:
            self._sessions[connection] = session
            connection.on_over = functools.partial(self._sessions.pop, connection)

    def cut_short(self, session: Session | None = None) -> None:
        """Send what the network takes at once, and close those of a session, or all."""
        # A copy: `hang_up` calls `on_over`, which takes it out.
        for connection, its in tuple(self._sessions.items()):
            if session in (None, its):
                # Its close frame may wait for the loop's next turn, for which there is no time.
                connection.flush()
                connection.hang_up()
