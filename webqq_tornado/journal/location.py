"""Where a journal is: a file, or a database. Commands ask before they load what opens either."""

from __future__ import annotations

__all__ = ["is_postgres"]


def is_postgres(where: object) -> bool:
    """Return whether this is the URL of a PostgreSQL database, and no file.

    Args:
        where: as given for a journal.
    """
    return isinstance(where, str) and where.startswith(("postgresql://", "postgres://"))
