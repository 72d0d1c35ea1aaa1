"""The location of a journal: a file, or a database; known before what opens either is loaded."""

from __future__ import annotations

__all__ = ["is_postgres"]


def is_postgres(where: object) -> bool:
    """Return whether this is the URL of a PostgreSQL database, and no file.

    Args:
        where: as given for a journal.
    """
    return isinstance(where, str) and where.startswith(("postgresql://", "postgres://"))
