"""Looking into a journal in PostgreSQL beside who runs the flow: for commands, pages and exports.

How far it is, which chains wait or have failed, its results; and what people do to it: failed
chains are made ready again, others dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import JournalError
from .postgres_connection import PostgresConnection
from .postgres_locks import owners_of, process_of
from .postgres_schema import stored
from .postgres_snapshot import Snapshot
from .records import LISTED, READY, SHARD_COUNTS, ListedChain, ShardCounts, Summary, bare_name

if TYPE_CHECKING:
    import asyncpg

    from .sqlite import Sync

__all__ = ["PostgresInspection"]

_T = TypeVar("_T", bound="PostgresInspection")
#: Results that are read at once.
_PAGE = 500


class PostgresInspection(PostgresConnection, contextlib.AbstractAsyncContextManager["Any"]):
    """A journal's database, to look into.

    Args:
        url: as of `PostgresJournal`.
        sync: likewise.

    Raises:
        ValueError: the URL is none, or sync is neither.
    """

    def __init__(self, url: str, sync: Sync = "full") -> None:
        super().__init__(url, sync)
        self._known: Snapshot | None = None
        #: Is called when chains that had failed are ready again.
        self.on_retry: Callable[[], None] | None = None
        self._letters: list[ListedChain] = []
        self._failed_count = 0
        self._letters_task: asyncio.Task[None] | None = None

    async def look(self: _T) -> _T:
        """Connect to look at it, or to take results from it, beside who runs the flow.

        Raises:
            JournalError: the database cannot be reached, or there is no flow in it.
        """
        if self._connection is None:
            connection = await self._connected()
            try:
                with self._told():
                    flow = await self._flow(connection)
                    if flow is None:
                        raise self._missing()
                    self.shards = flow["shards"]
                    self._known = await Snapshot.read(connection, 0)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self

    async def __aenter__(self: _T) -> _T:
        return await self.look()

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """The connection, which does one thing at a time; or one for the moment."""
        if self._connection is not None:
            async with self._turn:
                if self._connection is not None:  # it may have been closed meanwhile
                    with self._told():
                        yield self._connection
                    return
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._turn = asyncio.Lock()
        async with other:
            with other._told():
                yield other._db

    def _released(self) -> asyncpg.Connection[Any] | None:
        if self._letters_task is not None:
            self._letters_task.cancel()
        return super()._released()

    # -- results --------------------------------------------------------------------------------

    async def results(self, after: int = 0, limit: int = _PAGE) -> list[tuple[int, str]]:
        """Results with numbers, in which they go up for whoever takes them; as text of `codec`.

        A result has its number from the first time that it is asked for.

        Args:
            after: number of the one before.
            limit: so many at most.
        """
        async with self._reading() as db:
            found = await db.fetch(
                "SELECT number, item FROM items WHERE number > $1 ORDER BY number LIMIT $2",
                *(after, limit),
            )
            if len(found) < limit:
                found += await db.fetch(
                    "UPDATE items i SET number = n.number FROM (SELECT shard, id,"
                    " nextval('numbers') AS number FROM (SELECT shard, id FROM items WHERE number"
                    " IS NULL AND NOT is_draft ORDER BY shard, id LIMIT $1) s) n"
                    " WHERE i.shard = n.shard AND i.id = n.id RETURNING i.number, i.item",
                    limit - len(found),
                )
        return sorted((int(number), str(item)) for number, item in found)

    async def forget_results(self, upto: int) -> None:
        """Delete results that were handed on.

        Args:
            upto: number of the last.

        Raises:
            JournalError: that could not be written.
        """
        async with self._reading() as db:
            await db.execute("DELETE FROM items WHERE number <= $1", upto)

    async def export_of(self, path: str) -> tuple[int, int, str | None, int] | None:
        """Position of a file: its bytes, the last result in it, its columns, results in it.

        Args:
            path: of the file.
        """
        async with self._reading() as db:
            found = await db.fetchrow(
                "SELECT place, upto, columns, count FROM exports WHERE path = $1", stored(path)
            )
        return None if found is None else (found[0], found[1], found[2], found[3])

    async def note_export(
        self, path: str, place: int, upto: int, columns: str | None, count: int
    ) -> None:
        """Note that results are in a file, for good, and delete them here.

        Args:
            path: of the file.
            place: bytes in it.
            upto: number of the last result in it.
            columns: of it.
            count: results in it.

        Raises:
            JournalError: that could not be written.
        """
        async with self._reading() as db:
            await db.execute(
                "WITH gone AS (DELETE FROM items WHERE number <= $3::int8) INSERT INTO exports"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (path) DO UPDATE SET"
                " place = excluded.place, upto = excluded.upto, columns = excluded.columns,"
                " count = excluded.count",
                *(stored(path), place, upto, stored(columns), count),
            )

    # -- for people -----------------------------------------------------------------------------

    async def summary(self) -> Summary:
        """Progress of the flow, all shards together.

        Raises:
            JournalError: there is no such journal.
        """
        async with self._reading() as db:
            flow = await self._flow(db)
            if flow is None:
                raise JournalError(f"{self.path}: there is no flow in it")
            numbers: Any = await db.fetchrow(
                "SELECT count(*) FILTER (WHERE error IS NULL AND draft IS NULL AND due IS NULL),"
                " count(*) FILTER (WHERE error IS NULL AND due IS NOT NULL),"
                " min(due) FILTER (WHERE error IS NULL), count(error) FROM chains"
            )
            ready, delayed, next_due, failed = numbers
            counts: Any = await db.fetchrow(
                "SELECT sum(done)::int8 AS done, sum(cancelled)::int8 AS cancelled,"
                " sum(steps)::int8 AS steps, sum(results)::int8 AS results,"
                " bool_or(is_begun_all) AS is_begun_all FROM shards"
            )
            waiting = await db.fetchval("SELECT count(*) FROM items WHERE NOT is_draft")
            owners = [process_of(each) for each in await owners_of(db, self._class_id)]
        return Summary(
            flow=flow["kind"],
            created=flow["created"],
            finished=flow["finished"],
            ready=ready,
            delayed=delayed,
            next_due=next_due,
            done=counts["done"],
            failed=failed,
            cancelled=counts["cancelled"],
            steps=counts["steps"],
            results=counts["results"],
            waiting=waiting,
            is_begun_all=bool(counts["is_begun_all"]),
            pid=owners[0][0] if owners else 0,
        )

    async def finish(self) -> None:
        """Note that all chains have ended, if they have.

        Raises:
            JournalError: that could not be written.
        """
        async with self._reading() as db:
            await db.execute(
                "UPDATE flow SET finished = $1 WHERE finished IS NULL"
                f" AND NOT EXISTS (SELECT 1 FROM chains WHERE {READY})",
                time.time(),
            )

    async def chains(
        self, *, failed: bool = False, limit: int | None = None, after: int = 0
    ) -> list[ListedChain]:
        """Chains that are alive, or those that have failed, by id.

        Args:
            failed: those that have failed.
            limit: so many at most; None: all.
            after: id of the one before the first.

        Example:
            >>> for chain in await journal.chains(failed=True):
            ...     print(chain.name, chain.error)
        """
        where = "error IS NOT NULL" if failed else READY
        return await self._listed(f"{where} AND id > $1 ORDER BY id LIMIT $2", after, limit)

    async def _listed(self, where: str, *values: object) -> list[ListedChain]:
        async with self._reading() as db:
            found = await db.fetch(f"SELECT {LISTED} FROM chains WHERE {where}", *values)
        return list(map(_listed, found))

    async def coming(self, limit: int) -> list[ListedChain]:
        """Chains that are alive, in the order in which they are sent.

        Args:
            limit: so many at most.

        Example:
            >>> [chain.name for chain in await journal.coming(5)]
            ['Crawl.17', 'Crawl.18']
        """
        return await self._listed(
            f"{READY} ORDER BY due NULLS FIRST, priority DESC, id LIMIT $1", limit
        )

    async def shard_counts(self) -> list[ShardCounts]:
        """How many chains each shard has that has any."""
        async with self._reading() as db:
            found = await db.fetch(SHARD_COUNTS)
        return [ShardCounts(*row) for row in found]

    async def chains_of_shards(self, shards: Sequence[int], each: int) -> list[ListedChain]:
        """The chains of shards that are sent next.

        Args:
            shards: numbers of them.
            each: so many of each at most.
        """
        async with self._reading() as db:
            found = await db.fetch(
                f"SELECT c.* FROM unnest($1::int4[]) s CROSS JOIN LATERAL (SELECT {LISTED} FROM"
                f" chains WHERE shard = s AND {READY} ORDER BY due NULLS FIRST, priority DESC, id"
                " LIMIT $2) c",
                *(list(shards), each),
            )
        return list(map(_listed, found))

    def failed_count(self) -> int:
        """Number of failed chains of this shard."""
        return self._failed_count

    def latest_failures(self, limit: int) -> list[ListedChain]:
        """The chains that have failed last, the latest first, as of the last look.

        To ask is to have the database asked for the next time.

        Args:
            limit: so many at most.

        Example:
            >>> [chain.error for chain in journal.latest_failures(5)]
            ['TimeoutError: GET http://example.org/: ...']
        """
        if self._letters_task is None or self._letters_task.done():
            self._letters_task = asyncio.ensure_future(self._read_letters(limit))
        return self._letters[:limit]

    async def _read_letters(self, limit: int) -> None:
        with contextlib.suppress(JournalError):
            self._letters = await self._listed(
                "error IS NOT NULL AND shard = $1 ORDER BY failed DESC LIMIT $2", self.shard, limit
            )

    async def letters(self, limit: int) -> list[ListedChain]:
        """The chains of all shards that have failed last, the latest first.

        Args:
            limit: so many at most.

        Example:
            >>> [chain.error for chain in await journal.letters(5)]
            ['TimeoutError: GET http://example.org/: ...']
        """
        return await self._listed("error IS NOT NULL ORDER BY failed DESC LIMIT $1", limit)

    async def ids_of(self, names: Sequence[str], *, failed: bool | None = True) -> list[int]:
        """Ids of the chains of these names; of all without any.

        Args:
            names: of chains.
            failed: those that have failed; False: those that are alive; None: both.

        Raises:
            JournalError: there is no such chain.
        """
        kinds = {True: "error IS NOT NULL", False: READY, None: "draft IS NULL"}
        async with self._reading() as db:
            found = await db.fetch(
                f"SELECT id, coalesce(name, 'chain-' || id) FROM chains WHERE {kinds[failed]}"
                " AND ($1::text[] IS NULL OR coalesce(name, 'chain-' || id) = ANY($1))",
                list(names) or None,
            )
        known = {name for _, name in found}
        said = {True: "has failed", False: "is alive", None: "is there"}[failed]
        for name in names:
            if name not in known:
                raise JournalError(f"{self.path}: no chain of the name {name!r} {said}")
        return [int(one) for one, _ in found]

    async def retry(self, ids: Sequence[int]) -> int:
        """Make chains that have failed ready again; a flow of this process begins them.

        Args:
            ids: of them.

        Returns:
            How many that were.

        Raises:
            JournalError: that could not be written.

        Example:
            >>> await journal.retry(await journal.ids_of([]))
            3
        """
        async with self._reading() as db, db.transaction():
            found = await db.fetch(
                "UPDATE chains SET error = NULL, trace = NULL, failed = NULL, due = NULL,"
                " delay = NULL, deadline = NULL, tries = 0, away = true"
                " WHERE id = ANY($1::int8[]) AND error IS NOT NULL RETURNING shard",
                list(ids),
            )
            if found:
                await db.execute("UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")
        self._failed_count -= len(found)
        if self.on_retry is not None:
            self.on_retry()
        return len(found)

    async def drop(self, ids: Sequence[int]) -> int:
        """Forget chains: they count as cancelled.

        Args:
            ids: of them.

        Returns:
            How many that were.

        Raises:
            JournalError: that could not be written.

        Example:
            >>> await journal.drop(await journal.ids_of(["order-17"]))
            1
        """
        async with self._reading() as db, db.transaction():
            found = await db.fetch(
                "DELETE FROM chains WHERE id = ANY($1::int8[]) RETURNING 1", list(ids)
            )
            await db.execute(
                "UPDATE shards SET cancelled = cancelled + $1 WHERE shard = 0", len(found)
            )
        if found:
            await self.finish()
        return len(found)


def _listed(row: Sequence[Any]) -> ListedChain:
    one, name, step, url, reader, *rest = row
    return ListedChain(one, name or f"chain-{one}", step, url, bare_name(reader), *rest)
