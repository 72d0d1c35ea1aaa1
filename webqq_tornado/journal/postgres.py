"""A journal in a PostgreSQL database: commits are awaited, and the next batch gathers meanwhile.

Who runs a flow holds an advisory lock, on the connection that commits: who has lost the lock can
commit nothing, and the lock is gone with its process. There is no lease, and no clock.

What is said once when it is opened (`counts`, `cookies`, `readers`) is asked for without `await`;
all else has to be awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from array import array
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .errors import JournalError, former_name
from .postgres_batches import note_failures, settle_drafts, take_keys, write_batch
from .postgres_connection import GONE
from .postgres_inspection import PostgresInspection
from .postgres_locks import take_locks
from .postgres_schema import TABLES, VERSION
from .postgres_snapshot import Snapshot
from .records import COLUMNS, FIRST_OF_SHARDS, READY, Batch, ChainRow, Counts, KeyOwner

if TYPE_CHECKING:
    import asyncpg

    from .sqlite import Sync

__all__ = ["PostgresJournal"]

#: Rows that are read at once.
_PAGE = 500
#: Number of the lock of who runs the shards.
_LEADER = -3
#: Seconds between two words to another shard that it has new links.
_TELL = 0.05


class PostgresJournal(PostgresInspection):
    """The database in which a flow's chains and results are kept; needs the extra `postgres`.

    Args:
        url: `postgresql://user@host/database`, as libpq has it; password and the like may also come
            from `PGPASSWORD`, `~/.pgpass` and so on. `?schema=NAME` names where in the database its
            tables are, by default `webqq_tornado`: one flow has one schema.
        sync: "full" survives a power cut of the server; "normal" is faster where its disk is slow,
            and a power cut takes the last moments back as a whole.

    Attributes:
        shard, shards: the part of the flow that it is for, and how many there are.

    Raises:
        ValueError: the URL is none, or sync is neither.

    Example:
        >>> async with PostgresJournal("postgresql://127.0.0.1/crawl") as journal:
        ...     print((await journal.summary()).results)
        512
    """

    is_awaited = True
    #: Each answer has to be waited for.
    answers_at_once = False

    def __init__(self, url: str, sync: Sync = "full") -> None:
        super().__init__(url, sync)
        #: Of all shards, and not of one.
        self.is_whole = True
        self._is_owner = False
        self._new_kind: str | None = None
        self._told_at: dict[int, float] = {}
        #: Time of the loop at which the server was asked last, and has answered: so long at least
        #: the lock was ours.
        self.owned_at = 0.0
        #: Is called when the connection of the owner was ended, by whomever.
        self.on_lost: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<PostgresJournal {self._shown}>"

    @property
    def is_owned(self) -> bool:
        """A flow of this process runs on it."""
        return self._is_owner

    # -- opening --------------------------------------------------------------------------------

    async def open(
        self,
        kind: str | None = None,
        *,
        shard: int | None = None,
        shards: int = 1,
        patience: float = GONE,
        ends_silent: float | None = None,
    ) -> PostgresJournal:
        """Connect, and take the flow, or a shard of it, for this process alone.

        Args:
            kind: file and name of the flow's class; None: as it is in there, or as the first flow
                says.
            shard: number of the shard; None: all of the flow.
            shards: how many a new flow has.
            patience: seconds to wait for another owner's end.
            ends_silent: seconds after which the connection of another owner is ended; None: never.

        Returns:
            Itself.

        Raises:
            JournalError: the database cannot be reached or used, another process has the flow, or
                it is another flow's.
        """
        if self._connection is not None:
            raise JournalError(f"{self.path}: another flow of this process runs on it")
        self.shard, self.shards, self.is_whole = shard or 0, shards, shard is None
        connection = await self._connected()
        try:
            with self._told():
                await self._make_tables(connection)
                await self._settle_flow(connection, kind, is_whole=shard is None)
                wanted = range(self.shards) if shard is None else (shard,)
                await self._take_locks(connection, wanted, patience, ends_silent)
                self.owned_at = asyncio.get_running_loop().time()
                await self._load(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._is_owner = connection, True
        connection.add_termination_listener(self._on_terminated)
        return self

    def _on_terminated(self, connection: object) -> None:
        if connection is self._connection and self.on_lost is not None:
            self.on_lost()

    async def lead(self, kind: str, shards: int) -> PostgresJournal:
        """Connect, make a new flow with so many shards, and be the only one that runs these.

        Args:
            kind: file and name of the flow's class.
            shards: how many.

        Raises:
            JournalError: another process does, and the like, as of `open`.
        """
        self.shards, self.is_whole = shards, False
        connection = await self._connected()
        try:
            with self._told():
                await self._make_tables(connection)
                await self._settle_flow(connection, kind, is_whole=False)
                await self._take_locks(connection, (_LEADER,), GONE, None)
                self._known = await Snapshot.read(connection, 0)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return self

    async def _make_tables(self, connection: asyncpg.Connection[Any]) -> None:
        schema = self.schema.replace('"', '""')
        if await self._flow(connection) is not None:
            return
        # Of several that make it at once, the others wait here: two CREATEs fail otherwise.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, -2)", self._class_id)
            # IF NOT EXISTS wants the right to make schemas also where there is one.
            if await connection.fetchval("SELECT to_regnamespace($1)", f'"{schema}"') is None:
                await connection.execute(f'CREATE SCHEMA "{schema}"')
            await connection.execute(TABLES)

    async def _settle_flow(
        self, connection: asyncpg.Connection[Any], kind: str | None, *, is_whole: bool
    ) -> None:
        """Make the flow's row, or compare it."""
        flow = await self._flow(connection)
        if flow is None and kind is not None:
            await self._make_flow(connection, kind)
            flow = await self._flow(connection)
        if flow is None:
            self._new_kind = ""
            return
        self._new_kind = None
        self._check_kind(flow["kind"], kind)
        if not is_whole and flow["shards"] != self.shards:
            raise JournalError(
                f"{self.path}: it has {flow['shards']} shards, not {self.shards}: their number "
                "stays as it was when the journal was made"
            )
        self.shards = flow["shards"]

    async def _make_flow(self, connection: asyncpg.Connection[Any], kind: str) -> None:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO flow VALUES ($1, $2, $3, $4, $5, NULL) ON CONFLICT DO NOTHING",
                *(VERSION, uuid.uuid4().bytes, kind, self.shards, time.time()),
            )
            await connection.execute(
                "INSERT INTO shards (shard) SELECT generate_series(0, shards - 1) FROM flow"
                " ON CONFLICT DO NOTHING"
            )

    def _check_kind(self, found: str, kind: str | None) -> None:
        if kind is not None and found != kind:
            raise JournalError(
                f"{self.path}: it is the journal of {found}, not of {kind}: name another schema, "
                f"as in ?schema=another, or {former_name(found, kind)}"
            )

    def _check_shards(self) -> None:
        if self.is_whole and self.shards > 1:
            raise JournalError(
                f"{self.path}: it has {self.shards} shards: run it with --dask, or run_shards()"
            )

    async def _load(self, connection: asyncpg.Connection[Any]) -> None:
        """Take back what readers had not finished, and read what is asked for at the start."""
        if self._new_kind is not None:
            self._known = Snapshot.of_nothing()
            return
        async with connection.transaction():
            # By its id a draft is of the shard whose reader has given it.
            for statement in (
                f"DELETE FROM chains WHERE draft IS NOT NULL AND id % {self.shards} = $1",
                "DELETE FROM items WHERE is_draft AND shard = $1",
                "UPDATE chains SET away = false WHERE away AND shard = $1",
            ):
                await connection.execute(statement, self.shard)
            self._known = await Snapshot.read(connection, self.shard)
        self._failed_count = await connection.fetchval(
            "SELECT count(*) FROM chains WHERE error IS NOT NULL AND shard = $1", self.shard
        )

    def own(self, kind: str | None = None) -> None:
        """Take the journal, which is open, for a flow.

        Args:
            kind: file and name of the flow's class.

        Raises:
            JournalError: it is not open, it is another flow's, or it has several shards.
        """
        if not self._is_owner or self._known is None:
            raise JournalError(
                f"{self.path}: is not open: while a loop runs, give journal=await "
                'PostgresJournal("postgresql://...").open()'
            )
        if self._known.is_taken:
            raise JournalError(f"{self.path}: another flow of this process runs on it")
        self._known.is_taken = True
        if self._new_kind is not None:
            self._new_kind = kind
            return
        if kind is not None:
            self._check_kind(self._known.kind, kind)
            self._check_shards()

    async def _take_locks(
        self,
        connection: asyncpg.Connection[Any],
        wanted: Sequence[int],
        patience: float,
        ends_silent: float | None,
    ) -> None:
        try:
            await take_locks(connection, self._class_id, wanted, patience, ends_silent)
        except JournalError as error:
            raise JournalError(f"{self.path}: {error}") from None

    def _released(self) -> asyncpg.Connection[Any] | None:
        self._is_owner = False
        return super()._released()

    # -- writing --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """The connection of the owner, which does one thing at a time."""
        async with self._turn:
            # Before it is asked: who is frozen reads the answer when it is not true any more.
            asked_at = asyncio.get_running_loop().time()
            with self._told():
                if self._new_kind is not None:
                    await self._make_own_flow(self._db)
                yield self._db
            self.owned_at = asked_at

    def lost_error(self) -> JournalError:
        """Return the error of an owner whose connection was ended."""
        return JournalError(
            f"{self.path}: its connection was ended, by the server or by the next owner; see that "
            "the server runs, and run the same command again",
            is_passing=True,
        )

    async def check_lock(self) -> None:
        """Ask the server for anything: its answer says that the connection has the lock yet.

        Raises:
            JournalError: it has not.
        """
        async with self._using() as db:
            await db.execute("SELECT 1")

    async def commit(self, batch: Batch, first_result: int) -> Sequence[int]:
        """Write all of a batch, or nothing.

        Args:
            batch: what to write; is changed.
            first_result: number of its first result.

        Returns:
            Ids of chains whose link was left out, since another process has followed its key.

        Raises:
            JournalError: that could not be written.
        """
        async with self._using() as db:
            # Rows that two statements change: the second one is to see the first one's.
            late = batch.failed.keys() & (batch.new.keys() | batch.changed.keys())
            if not (batch.keys or batch.settled or late):
                await write_batch(db, self.shard, batch, first_result)
                lost: Sequence[int] = ()
            else:
                async with db.transaction():
                    lost = await take_keys(db, batch)
                    await write_batch(db, self.shard, batch, first_result)
                    await note_failures(db, batch, late)
                    if batch.settled:
                        await settle_drafts(db, self.shard, batch.settled)
            if batch.away:
                await self._tell_others(db, batch)
        self._note(batch, first_result)
        return lost

    async def _make_own_flow(self, db: asyncpg.Connection[Any]) -> None:
        kind, self._new_kind = self._new_kind, None
        assert self._known is not None  # noqa: S101 - it is open
        async with db.transaction():
            await db.execute(
                "INSERT INTO flow VALUES ($1, $2, $3, $4, $5, NULL)",
                *(VERSION, self._known.uuid, kind, self.shards, time.time()),
            )
            await db.execute(
                "INSERT INTO shards (shard) SELECT generate_series(0, $1::int - 1)", self.shards
            )

    async def _tell_others(self, db: asyncpg.Connection[Any], batch: Batch) -> None:
        """Tell other shards of their links; not often, as all who tell wait for each other."""
        now = time.monotonic()
        due = {
            shard for shard in batch.away.values() if now - self._told_at.get(shard, 0.0) > _TELL
        }
        if due:
            self._told_at.update(dict.fromkeys(due, now))
            await db.execute(
                "SELECT pg_notify($1, s::text) FROM unnest($2::int4[]) s", self._channel, [*due]
            )

    @property
    def _channel(self) -> str:
        return f"webqq_tornado_{self._class_id % 2**32}"

    def _note(self, batch: Batch, first: int) -> None:
        """Have the numbers at hand for who looks on."""
        known = self._known
        assert known is not None  # noqa: S101 - it is open
        old = known.counts
        known.counts = Counts(
            old.begun if batch.begun is None else batch.begun,
            old.is_begun_all or batch.is_begun_all,
            old.steps + batch.steps,
            old.done + batch.done,
            old.cancelled + batch.cancelled,
            old.results + len(batch.results),
            batch.last_chain,
            first + len(batch.results) - 1,
            old.state if batch.state is None else batch.state,
        )
        self._failed_count += len(batch.failed)

    async def add_drafts(self, rows: Iterable[ChainRow], away: dict[int, int]) -> None:
        """Put links of a reader that has not returned yet into the database.

        Args:
            rows: with the id of the reader's chain as `draft`.
            away: shard of each that is another one's.

        Raises:
            JournalError: that could not be written.
        """
        batch = Batch()
        batch.new = {row.id: row for row in rows}
        batch.away = away
        known = self._known
        assert known is not None  # noqa: S101 - it is open
        batch.last_chain = max(max(batch.new, default=0), known.counts.last_chain)
        await self.commit(batch, known.counts.last_item + 1)

    async def add_draft_results(
        self, results: Sequence[tuple[int, int, int, str]], first: int
    ) -> None:
        """Put results of a reader that has not returned yet into the database.

        Args:
            results: chain, step and number in it, and text of each.
            first: number of the first.

        Raises:
            JournalError: that could not be written.
        """
        rows = [(self.shard, number, *one) for number, one in enumerate(results, first)]
        last = first + len(rows) - 1
        async with self._using() as db, db.transaction():
            await db.executemany(
                "INSERT INTO items (shard, id, chain, step, n, item, is_draft)"
                " VALUES ($1, $2, $3, $4, $5, $6, true)",
                rows,
            )
            await db.execute("UPDATE shards SET last_item = $2 WHERE shard = $1", self.shard, last)
        if self._known is not None:
            self._known.counts = self._known.counts._replace(last_item=last)

    async def drop_drafts(self, chain: int) -> None:
        """Take back what a reader had put into the database that has failed.

        Args:
            chain: id of the reader's.

        Raises:
            JournalError: that could not be written.
        """
        async with self._using() as db, db.transaction():
            await db.execute("DELETE FROM chains WHERE draft = $1", chain)
            await db.execute(
                "DELETE FROM items WHERE shard = $1 AND chain = $2 AND is_draft",
                *(self.shard, chain),
            )

    async def finish(self) -> None:
        """Note that all chains have ended, if they have.

        Raises:
            JournalError: that could not be written.
        """
        if self._new_kind is not None:
            await self.commit(Batch(), 1)
        await super().finish()

    # -- reading --------------------------------------------------------------------------------

    @property
    def _at_start(self) -> Snapshot:
        if self._known is None:
            raise JournalError(f"{self.path}: is not open")
        return self._known

    @property
    def uuid(self) -> bytes:
        """The flow's own, of 16 bytes."""
        return self._at_start.uuid

    def counts(self) -> Counts:
        """Return the numbers so far, of this shard."""
        return self._at_start.counts

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name, when it was opened."""
        return dict(self._at_start.cookies)

    def readers(self) -> list[tuple[str, str | None, str | None, int]]:
        """Each reader and errback that chains wait for, when it was opened; as of `Journal`."""
        return list(self._at_start.readers)

    @property
    def waiting_at_start(self) -> int:
        """Chains of this shard that were alive when it was opened."""
        return self._at_start.waiting

    @property
    def finished_at_start(self) -> float | None:
        """Unix time at which all had ended, as it was opened; None: they had not."""
        return self._at_start.finished

    async def waiting(self, last: int) -> AsyncIterator[ChainRow]:
        """Chains of this shard that were alive when it was opened: ready ones first, then by time.

        Args:
            last: the highest id that this shard had given then.
        """
        # Not those that came since: of this process's own, and from other shards. All ids at once:
        # a time that changes meanwhile would have a search by it come to the same chain twice.
        async with self._reading() as db:
            found = await db.fetch(
                f"SELECT id FROM chains WHERE shard = $1 AND {READY} AND NOT away AND (id <= $2 OR"
                f" id % {self.shards} <> $1) ORDER BY due NULLS FIRST, priority DESC, id",
                *(self.shard, last),
            )
        ids = array("q", (one for (one,) in found))
        del found
        for start in range(0, len(ids), _PAGE):
            wanted = ids[start : start + _PAGE]
            rows = {row.id: row for row in await self.rows(wanted)}
            for one in wanted:
                if one in rows:
                    yield rows[one]

    async def _page(self, where: str, *values: object) -> list[ChainRow]:
        async with self._reading() as db:
            found = await db.fetch(f"SELECT {COLUMNS} FROM chains WHERE {where}", *values)
        return [ChainRow(*row) for row in found]

    async def rows(self, ids: Iterable[int]) -> list[ChainRow]:
        """Chains of this shard that are alive, of these ids.

        Args:
            ids: of them.
        """
        return await self._page(
            f"id = ANY($1::int8[]) AND shard = $2 AND {READY} ORDER BY id", list(ids), self.shard
        )

    async def owner_of_key(self, key: bytes) -> KeyOwner | None:
        """The chain that a key leads to, None if none does.

        Args:
            key: its hash.
        """
        async with self._reading() as db:
            found: Any = await db.fetchrow(
                "SELECT s.chain, c.error, c.shard, coalesce(c.away, false) FROM seen s"
                " LEFT JOIN chains c ON c.id = s.chain WHERE s.key = $1",
                key,
            )
        return None if found is None else KeyOwner(*found)

    async def take_arrivals(self, limit: int = _PAGE) -> list[ChainRow]:
        """Take links that other shards have found, or that are ready again: each is given once.

        Args:
            limit: so many at most.
        """
        async with self._reading() as db:
            found = await db.fetch(
                "UPDATE chains SET away = false WHERE id IN (SELECT id FROM chains WHERE away"
                f" AND shard = $1 AND {READY} ORDER BY id LIMIT $2) AND shard = $1"
                f" RETURNING {COLUMNS}",
                *(self.shard, limit),
            )
        return sorted(ChainRow(*row) for row in found) if found else []

    async def listen(self, on_arrival: Callable[[], None]) -> None:
        """Be told when other shards have found links for this one.

        Args:
            on_arrival: is called then; not each time, so that one looks now and then.
        """

        def told(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            if payload == str(self.shard):
                on_arrival()

        async with self._using() as db:
            await db.add_listener(self._channel, told)

    # -- shards ---------------------------------------------------------------------------------

    async def next_due(self) -> float | None:
        """Unix time at which the first chain of this shard is due, 0 if one is; None: none is."""
        async with self._reading() as db:
            found: Any = await db.fetchrow(
                f"SELECT due FROM chains WHERE shard = $1 AND {READY}"
                " ORDER BY due NULLS FIRST LIMIT 1",
                self.shard,
            )
        return None if found is None else found[0] or 0.0

    async def shards_with_arrivals(self) -> list[int]:
        """Shards for which others have found links that they have not taken yet."""
        async with self._reading() as db:
            found = await db.fetch("SELECT DISTINCT shard FROM chains WHERE away")
        return [shard for (shard,) in found]

    async def shards_with_work(self) -> list[tuple[int, float]]:
        """Shards with chains that are alive, and the Unix time of the first of each; 0 is now."""
        async with self._reading() as db:
            found = await db.fetch(FIRST_OF_SHARDS.format(order="due NULLS FIRST"))
        return [(shard, due) for shard, due in found]

    async def progress(self) -> dict[int, int]:
        """Progress of each shard: a number that goes up with each commit."""
        async with self._reading() as db:
            found = await db.fetch("SELECT shard, steps + done + results + cancelled FROM shards")
        return dict(found)

    async def waiting_count(self, most: int) -> int:
        """Number of living chains of all shards, or `most` if they are more.

        Args:
            most: where to stop.
        """
        async with self._reading() as db:
            return int(
                await db.fetchval(
                    f"SELECT count(*) FROM (SELECT 1 FROM chains WHERE {READY} LIMIT $1) c", most
                )
            )
