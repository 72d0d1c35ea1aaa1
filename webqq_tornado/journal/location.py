"""The location of a journal: a file, or a database; known before what opens either is loaded."""

from __future__ import annotations

import re

from .errors import JournalError

__all__ = ["is_postgres", "refuse_other_urls"]

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def is_postgres(where: object) -> bool:
    """Return whether this is the URL of a PostgreSQL database, and no file.

    Args:
        where: as given for a journal.
    """
    return isinstance(where, str) and where[:13].lower().startswith(
        ("postgresql://", "postgres://")
    )


def refuse_other_urls(where: object) -> None:
    """Refuse the URL of another database, which would pass for a path.

    Args:
        where: as given for a journal that is in a file.

    Raises:
        JournalError: it is a URL; nothing of it is told but its scheme.
    """
    found = _SCHEME.match(where) if isinstance(where, str) else None
    if found is not None:
        raise JournalError(
            f"{found[0]}...: a journal is a file, such as crawl.db, or a database, such as "
            "postgresql://host/name"
        )
