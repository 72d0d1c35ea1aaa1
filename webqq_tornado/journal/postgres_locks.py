"""Locks of a journal in PostgreSQL: advisory ones, which die with the connection that has them.

The keys of a lock are two integers: one for the journal's schema, and the number of the shard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .errors import JournalError
from .postgres_connection import GONE

if TYPE_CHECKING:
    import asyncpg

__all__ = ["owners_of", "process_of", "take_locks"]

#: Seconds between two looks whether a lock is free.
_LOOK = 0.05


async def take_locks(
    connection: asyncpg.Connection[Any],
    class_id: int,
    wanted: Sequence[int],
    patience: float,
    ends_silent: float | None,
) -> None:
    """Take the locks of shards, one after the other.

    Args:
        connection: that is to have them.
        class_id: of the journal.
        wanted: numbers of the shards.
        patience: seconds to wait for another owner's end.
        ends_silent: seconds after which the connection of another owner is ended; None: never.

    Raises:
        JournalError: another process has one; the message names it, and the caller the journal.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    has_ended = False
    for one in wanted:
        # Asked again and again, and not waited for in the server: who waits there cannot be
        # ended by its caller without ending the connection.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", class_id, one):
            waited = loop.time() - begun
            if waited >= patience:
                raise await _in_use(connection, class_id, one)
            if ends_silent is not None and waited >= ends_silent and not has_ended:
                has_ended = True
                await _end_owner(connection, class_id, one)
            await asyncio.sleep(_LOOK if waited < GONE else 10 * _LOOK)


async def owners_of(db: asyncpg.Connection[Any], class_id: int) -> Sequence[Any]:
    """Processes that have shards of a journal, by shard.

    Args:
        db: to ask.
        class_id: of the journal.
    """
    found: Sequence[Any] = await db.fetch(
        "SELECT a.pid, a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity"
        " a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
        " AND l.classid::int8 = $1 AND l.objid::int8 < 2147483648"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " ORDER BY l.objid::int8",
        class_id % 2**32,
    )
    return found


def process_of(owner: Any) -> tuple[int, str, str]:
    """Return the number of a lock's process, the same as text, and its host.

    Args:
        owner: row of it; None: nobody has the lock any more.
    """
    if owner is None:
        return 0, "that has just ended", ""
    name = str(owner["application_name"])
    process, _, host = name.removeprefix("webqq_tornado ").partition(" #")[0].partition("@")
    if name.startswith("webqq_tornado ") and process.isdigit():
        return int(process), process, host
    return 0, f"of {owner['client_addr'] or 'this machine'}", ""


async def _owner(connection: asyncpg.Connection[Any], class_id: int, shard: int) -> Any:
    # `classid` and `objid` are unsigned, and so may be more than the integers of the key.
    return await connection.fetchrow(
        "SELECT a.pid, a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity"
        " a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
        " AND l.classid::int8 = $1 AND l.objid::int8 = $2"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        *(class_id % 2**32, shard % 2**32),
    )


async def _in_use(connection: asyncpg.Connection[Any], class_id: int, shard: int) -> JournalError:
    owner = await _owner(connection, class_id, shard)
    process, _, host = process_of(owner)
    where = f" on {host}" if host else ""
    return JournalError(f"process {process}{where} runs on it: wait for its end, or stop it")


async def _end_owner(connection: asyncpg.Connection[Any], class_id: int, shard: int) -> None:
    """End the connection of an owner that says nothing: it is frozen, or cut off."""
    owner = await _owner(connection, class_id, shard)
    if owner is not None:
        await connection.execute("SELECT pg_terminate_backend($1)", owner["pid"])
