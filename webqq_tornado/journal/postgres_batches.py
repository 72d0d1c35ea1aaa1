"""Writing of a batch to a journal in PostgreSQL, in the order in which its parts have to come."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .postgres_schema import batch_statement, stored
from .records import Batch

if TYPE_CHECKING:
    import asyncpg

__all__ = ["note_failures", "settle_drafts", "take_keys", "write_batch"]


async def write_batch(db: asyncpg.Connection[Any], shard: int, batch: Batch, first: int) -> None:
    """Write all of a batch but its keys and what readers had put here before.

    Args:
        db: to write to.
        shard: whose batch.
        batch: what to write.
        first: number of its first result.
    """
    statement = batch_statement(batch, shard, first)
    await db.execute(statement.text(), *statement.values)


async def take_keys(db: asyncpg.Connection[Any], batch: Batch) -> list[int]:
    """Note keys; links whose key another process has are left out of the batch.

    Args:
        db: to write to.
        batch: is changed.

    Returns:
        Ids of the chains whose links these were.
    """
    if not batch.keys:
        return []
    # In one order by all processes: two that have a key of each other's would wait for ever.
    keys = sorted(batch.keys)
    taken = await db.fetch(
        "INSERT INTO seen SELECT * FROM unnest($1::bytea[], $2::int8[]) ON CONFLICT DO NOTHING"
        " RETURNING key",
        *(keys, [batch.keys[key] for key in keys]),
    )
    lost = batch.keys.keys() - {row["key"] for row in taken}
    return [batch.keys[key] for key in lost if batch.drops(batch.keys[key], key)]


async def note_failures(db: asyncpg.Connection[Any], batch: Batch, ids: Iterable[int]) -> None:
    """Note what has ended chains whose rows the same batch has written.

    Args:
        db: to write to.
        batch: of them.
        ids: of the chains.
    """
    rows = [(one, *batch.failed[one]) for one in ids]
    if rows:
        await db.executemany(
            "UPDATE chains SET failed = $2, error = $3, trace = $4 WHERE id = $1",
            [(one, at, stored(error), stored(trace)) for one, at, error, trace in rows],
        )


async def settle_drafts(db: asyncpg.Connection[Any], shard: int, drafts: Sequence[int]) -> None:
    """Readers have returned: what they had to put here meanwhile holds.

    Args:
        db: to write to.
        shard: whose readers.
        drafts: ids of their chains.
    """
    await db.execute(
        "INSERT INTO seen SELECT key, id FROM chains WHERE draft = ANY($1::int8[])"
        " AND key IS NOT NULL ORDER BY key, id ON CONFLICT DO NOTHING",
        drafts,
    )
    await db.execute(
        "DELETE FROM chains c WHERE draft = ANY($1::int8[]) AND key IS NOT NULL"
        " AND id <> (SELECT chain FROM seen s WHERE s.key = c.key)",
        drafts,
    )
    await db.execute("UPDATE chains SET draft = NULL WHERE draft = ANY($1::int8[])", drafts)
    results = await db.fetchval(
        "WITH settled AS (UPDATE items SET is_draft = false WHERE shard = $1 AND is_draft"
        " AND chain = ANY($2::int8[]) RETURNING 1) SELECT count(*) FROM settled",
        *(shard, drafts),
    )
    await db.execute("UPDATE shards SET results = results + $2 WHERE shard = $1", shard, results)
    await db.execute("UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")
