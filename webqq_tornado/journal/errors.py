"""Errors of journals."""

from __future__ import annotations

__all__ = ["JournalError", "former_name"]


def former_name(found: str, kind: str) -> str:
    """Return what to do for a journal of a class that has another name now.

    Args:
        found: file and name of the class, as the journal has them.
        kind: as they are.
    """
    return f'if that is its former name, have renamed = {{"{found}": "{kind}"}} in it'


class JournalError(Exception):
    """A journal cannot be used or written; the message says which, why, and what to do.

    Args:
        message: of it.
        is_passing: the same may go well later: a database that is gone may come back.

    Example:
        >>> print(JournalError("crawl.db: process 4711 runs on it: wait for its end, or stop it"))
        crawl.db: process 4711 runs on it: wait for its end, or stop it
    """

    def __init__(self, message: str, *, is_passing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.is_passing = is_passing
