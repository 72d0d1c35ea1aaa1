"""Values of a journal in PostgreSQL that are read when it is opened, and asked for at once."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from .records import READY, Counts

if TYPE_CHECKING:
    import asyncpg

__all__ = ["Snapshot"]


class Snapshot:
    """Values that are read once, when a journal is opened.

    Attributes:
        uuid, kind, finished: of the flow.
        counts: of the shard, which go on with each commit.
        cookies, readers: see `PostgresJournal`.
        waiting: chains that are alive.
        is_taken: a flow runs on it.
    """

    def __init__(self, flow: Any, counts: Counts) -> None:
        self.uuid: bytes = bytes(flow["uuid"])
        self.kind: str = flow["kind"]
        self.finished: float | None = flow["finished"]
        self.counts = counts
        self.cookies: dict[str, bytes] = {}
        self.readers: list[tuple[str, str | None, str | None, int]] = []
        self.waiting = 0
        self.is_taken = False

    @classmethod
    def of_nothing(cls) -> Snapshot:
        """Return what there is to know of a flow that was not begun."""
        flow = {"uuid": uuid.uuid4().bytes, "kind": "", "finished": None}
        return cls(flow, Counts(0, False, 0, 0, 0, 0, 0, 0, None))

    @classmethod
    async def read(cls, db: asyncpg.Connection[Any], shard: int) -> Snapshot:
        """Return what the database says.

        Args:
            db: to ask.
            shard: of which.
        """
        counts: Any = await db.fetchrow(
            "SELECT begun, is_begun_all, steps, done, cancelled, results, last_chain, last_item,"
            " state FROM shards WHERE shard = $1",
            shard,
        )
        known = cls(await db.fetchrow("SELECT * FROM flow"), Counts(*counts))
        known.cookies = dict(
            await db.fetch("SELECT name, cookies FROM sessions WHERE shard = $1", shard)
        )
        known.readers = [
            tuple(row)
            for row in await db.fetch(
                "SELECT reader, max(args), max(data), count(*) FROM chains"
                " WHERE reader IS NOT NULL AND shard = $1 GROUP BY 1"
                " UNION ALL SELECT errback, max(errback_args), NULL, count(*) FROM chains"
                " WHERE errback IS NOT NULL AND shard = $1 GROUP BY 1",
                shard,
            )
        ]
        known.waiting = await db.fetchval(
            f"SELECT count(*) FROM chains WHERE shard = $1 AND {READY}", shard
        )
        return known
