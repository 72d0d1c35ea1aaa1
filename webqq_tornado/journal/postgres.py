"""A journal in a PostgreSQL database: commits are awaited, and the next batch gathers meanwhile.

Who runs a flow holds an advisory lock, on the connection that commits: who has lost the lock can
commit nothing, and the lock is gone with its process. There is no lease, and no clock.

What is said once when it is opened (`counts`, `cookies`, `readers`) is asked for without `await`;
all else has to be awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
import zlib
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .errors import JournalError
from .location import is_postgres
from .postgres_schema import TABLES, VERSION, batch_statement, stored
from .records import (
    COLUMNS,
    READY,
    Batch,
    ChainRow,
    Counts,
    KeyOwner,
    ListedChain,
    Summary,
    bare_name,
)

if TYPE_CHECKING:
    import asyncpg

    from .sqlite import Sync

__all__ = ["PostgresJournal"]

_LISTED = "id, name, step, url, reader, due, error, trace, failed"
#: Rows that are read at once.
_PAGE = 500
#: Seconds in which a connection has to be made, and in which any statement has to be done.
_CONNECT, _COMMAND = 15.0, 60.0
#: Seconds between two looks whether a lock is free; and in which an owner that has just ended is
#: gone from the server.
_LOOK, _GONE = 0.05, 2.0
#: Number of the lock of who runs the shards.
_LEADER = -3
#: Seconds after which who waits for a silent owner ends its connection.
SILENT = 60.0
#: Seconds between two words to another shard that it has new links.
_TELL = 0.05
#: The server looks after 5 s whether a silent client is there, every 2 s, and gives up after three.
#: A batch meets its rows by their index, however few the planner takes the table to have.
_SETTINGS = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET client_min_messages = warning; SET statement_timeout = 0;
"""


class PostgresJournal(contextlib.AbstractAsyncContextManager["PostgresJournal"]):
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

    def __init__(self, url: str, sync: Sync = "full") -> None:
        if sync not in ("full", "normal"):
            raise ValueError(f'sync is "full" or "normal", not {sync!r}')
        if not is_postgres(url):
            raise ValueError(f"not the URL of a PostgreSQL database: {_without_secrets(url)}")
        self.sync = sync
        self.shard, self.shards = 0, 1
        #: Of all shards, and not of one.
        self.is_whole = True
        self._url, self.schema = _split_schema(url)
        self._shown = _without_secrets(url)
        self._connection: asyncpg.Connection[Any] | None = None
        self._is_owner = False
        self._turn = asyncio.Lock()
        self._is_gone = asyncio.Event()
        self._is_gone.set()
        self._known: _Known | None = None
        self._new_kind: str | None = None
        self._told_at: dict[int, float] = {}
        #: Is called when chains that had failed are ready again.
        self.on_retry: Callable[[], None] | None = None
        self._letters: list[ListedChain] = []
        self._failed_count = 0
        self._letters_task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<PostgresJournal {self._shown}>"

    @property
    def path(self) -> str:
        """The URL, without its secrets."""
        return self._shown

    @property
    def is_open(self) -> bool:
        """Return True from `open` or `look` to `aclose`."""
        return self._connection is not None

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
        patience: float = _GONE,
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
                await self._load(connection)
        except BaseException:
            connection.terminate()
            raise
        self._connection, self._is_owner = connection, True
        return self

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
                await self._take_locks(connection, (_LEADER,), _GONE, None)
                self._known = await _Known.read(connection, 0)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return self

    async def look(self) -> PostgresJournal:
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
                    self._known = await _Known.read(connection, 0)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection
        return self

    async def __aenter__(self) -> PostgresJournal:
        return await self.look()

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()

    async def _connected(self) -> asyncpg.Connection[Any]:
        try:
            import asyncpg  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise JournalError(
                f'{self.path}: PostgreSQL needs asyncpg: pip install "webqq_tornado[postgres]"'
            ) from error
        shown = f"webqq_tornado {os.getpid()}@{socket.gethostname()}"[:55] + f" #{self.shard}"
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=_CONNECT,
                command_timeout=_COMMAND,
                server_settings={"application_name": shown},
            )
        except (OSError, asyncio.TimeoutError, asyncpg.PostgresError) as error:
            raise JournalError(
                f"{self.path}: cannot be reached ({_reason(error)}): see that the server runs, and "
                "that the database and its user exist",
                is_passing=not isinstance(error, asyncpg.PostgresError) or _is_passing(error),
            ) from error
        except (asyncpg.InterfaceError, ValueError) as error:
            raise JournalError(f"{self.path}: is no URL of a database ({error})") from None
        commit = "on" if self.sync == "full" else "off"
        schema = self.schema.replace('"', '""')
        try:
            await connection.execute(
                f'{_SETTINGS} SET synchronous_commit = {commit}; SET search_path = "{schema}"'
            )
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _make_tables(self, connection: asyncpg.Connection[Any]) -> None:
        schema = self.schema.replace('"', '""')
        if await self._flow(connection) is not None:
            return
        # Of several that make it at once, the others wait here: two CREATEs fail otherwise.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1, -2)", self._class_id)
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            await connection.execute(TABLES)

    async def _flow(self, connection: asyncpg.Connection[Any]) -> Any:
        """The flow's row; None if there is none."""
        schema = self.schema.replace('"', '""')
        if await connection.fetchval("SELECT to_regclass($1)", f'"{schema}".exports') is None:
            return None
        flow = await connection.fetchrow("SELECT * FROM flow")
        if flow is not None and flow["version"] > VERSION:
            raise JournalError(
                f"{self.path}: a newer version of webqq_tornado has made it: update this one"
            )
        return flow

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
                "as in ?schema=another"
            )

    def _check_shards(self) -> None:
        if self.is_whole and self.shards > 1:
            raise JournalError(
                f"{self.path}: it has {self.shards} shards: run it with --dask, or run_shards()"
            )

    @property
    def _class_id(self) -> int:
        """The first half of the keys of its locks: they are of the whole database."""
        return zlib.crc32(f"webqq_tornado:{self.schema}".encode()) - 2**31

    async def _take_locks(
        self,
        connection: asyncpg.Connection[Any],
        wanted: Sequence[int],
        patience: float,
        ends_silent: float | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        has_ended = False
        for one in wanted:
            # Asked again and again, and not waited for in the server: who waits there cannot be
            # ended by its caller without ending the connection.
            while not await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, $2)", self._class_id, one
            ):
                waited = loop.time() - begun
                if waited >= patience:
                    raise await self._in_use(connection, one)
                if ends_silent is not None and waited >= ends_silent and not has_ended:
                    has_ended = True
                    await self._end_owner(connection, one)
                await asyncio.sleep(_LOOK if waited < _GONE else 10 * _LOOK)

    async def _owner(self, connection: asyncpg.Connection[Any], shard: int) -> Any:
        # `classid` and `objid` are unsigned, and so may be more than the integers of the key.
        return await connection.fetchrow(
            "SELECT a.pid, a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity"
            " a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
            " AND l.classid::int8 = $1 AND l.objid::int8 = $2"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            *(self._class_id % 2**32, shard % 2**32),
        )

    async def _in_use(self, connection: asyncpg.Connection[Any], shard: int) -> JournalError:
        owner = await self._owner(connection, shard)
        process, _, host = _process_of(owner)
        where = f" on {host}" if host else ""
        return JournalError(
            f"{self.path}: process {process}{where} runs on it: wait for its end, or stop it"
        )

    async def _end_owner(self, connection: asyncpg.Connection[Any], shard: int) -> None:
        """End the connection of an owner that says nothing: it is frozen, or cut off."""
        owner = await self._owner(connection, shard)
        if owner is not None:
            await connection.execute("SELECT pg_terminate_backend($1)", owner["pid"])

    async def _load(self, connection: asyncpg.Connection[Any]) -> None:
        """Take back what readers had not finished, and read what is asked for at the start."""
        if self._new_kind is not None:
            self._known = _Known.of_nothing()
            return
        async with connection.transaction():
            # By its id a draft is of the shard whose reader has given it.
            for statement in (
                f"DELETE FROM chains WHERE draft IS NOT NULL AND id % {self.shards} = $1",
                "DELETE FROM items WHERE is_draft AND shard = $1",
                "UPDATE chains SET away = false WHERE away AND shard = $1",
            ):
                await connection.execute(statement, self.shard)
            self._known = await _Known.read(connection, self.shard)
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

    async def aclose(self) -> None:
        """Close the connection, and let others have the flow. May be called twice."""
        await self.closing()

    def closing(self) -> Coroutine[Any, Any, None]:
        """Have it closed from now on, and return what ends the connection."""
        return self._end(self._released())

    def _released(self) -> asyncpg.Connection[Any] | None:
        connection, self._connection, self._is_owner = self._connection, None, False
        if self._letters_task is not None:
            self._letters_task.cancel()
        if connection is not None:
            self._is_gone.clear()
        return connection

    async def _end(self, connection: asyncpg.Connection[Any] | None) -> None:
        if connection is None:
            await self._is_gone.wait()  # somebody else may be about to
            return
        try:
            # What is under way on it has its time.
            await asyncio.wait_for(self._turn.acquire(), _GONE)
            try:
                await connection.close(timeout=_GONE)
            finally:
                self._turn.release()
        except BaseException as error:
            connection.terminate()
            if not isinstance(error, Exception):
                raise
        finally:
            self._is_gone.set()

    def close(self) -> None:
        """Break the connection off, as the end of the process would. May be called twice."""
        connection = self._released()
        if connection is not None:
            connection.terminate()
            self._is_gone.set()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Convert errors of the database."""
        import asyncpg  # noqa: PLC0415 - an extra

        try:
            yield
        # The last three, where a connection breaks off in the middle of something.
        except (
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            OSError,
            asyncpg.InternalClientError,
            AttributeError,
        ) as error:
            # asyncpg asks a protocol that it has let go of.
            if isinstance(error, AttributeError) and not self._is_lost():
                raise
            raise JournalError(
                f"{self.path}: cannot be used ({_reason(error)}); {_advice(error)}",
                is_passing=not isinstance(error, asyncpg.PostgresError) or _is_passing(error),
            ) from error
        except asyncio.TimeoutError as error:
            raise JournalError(
                f"{self.path}: has not answered for {_COMMAND:g} s; see that the server runs, and "
                "run the same command again",
                is_passing=True,
            ) from error

    def _is_lost(self) -> bool:
        return self._connection is None or self._connection.is_closed()

    def _missing(self) -> JournalError:
        return JournalError(f"{self.path}: there is no such journal; a flow makes it")

    @property
    def _db(self) -> asyncpg.Connection[Any]:
        if self._connection is None:
            raise JournalError(f"{self.path}: is closed")
        return self._connection

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """The connection, which does one thing at a time; or one for the moment."""
        if self._connection is not None:
            async with self._turn:
                if self._connection is not None:  # it may have been closed meanwhile
                    with self._told():
                        yield self._connection
                    return
        other = PostgresJournal.__new__(PostgresJournal)
        other.__dict__.update(self.__dict__)
        other._turn = asyncio.Lock()
        async with other:
            with other._told():
                yield other._db

    # -- writing --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _using(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """The connection of the owner, which does one thing at a time."""
        async with self._turn:
            with self._told():
                if self._new_kind is not None:
                    await self._make_own_flow(self._db)
                yield self._db

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
                await self._write(db, batch, first_result)
                lost: Sequence[int] = ()
            else:
                async with db.transaction():
                    lost = await self._take_keys(db, batch)
                    await self._write(db, batch, first_result)
                    await self._fail(db, batch, late)
                    if batch.settled:
                        await self._settle_drafts(db, batch)
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

    async def _write(self, db: asyncpg.Connection[Any], batch: Batch, first: int) -> None:
        statement = batch_statement(batch, self.shard, first)
        await db.execute(statement.text(), *statement.values)

    async def _take_keys(self, db: asyncpg.Connection[Any], batch: Batch) -> list[int]:
        """Note keys; links whose key another process has are left out of the batch."""
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

    async def _fail(self, db: asyncpg.Connection[Any], batch: Batch, ids: Iterable[int]) -> None:
        rows = [(one, *batch.failed[one]) for one in ids]
        if rows:
            await db.executemany(
                "UPDATE chains SET failed = $2, error = $3, trace = $4 WHERE id = $1",
                [(one, at, stored(error), stored(trace)) for one, at, error, trace in rows],
            )

    async def _settle_drafts(self, db: asyncpg.Connection[Any], batch: Batch) -> None:
        """Readers have returned: what they had to put here meanwhile holds."""
        drafts = batch.settled
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
            *(self.shard, drafts),
        )
        await db.execute(
            "UPDATE shards SET results = results + $2 WHERE shard = $1", self.shard, results
        )
        await db.execute("UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")

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
        async with self._reading() as db:
            await db.execute(
                "UPDATE flow SET finished = $1 WHERE finished IS NULL"
                f" AND NOT EXISTS (SELECT 1 FROM chains WHERE {READY})",
                time.time(),
            )

    # -- reading --------------------------------------------------------------------------------

    @property
    def _at_start(self) -> _Known:
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
            found = await db.fetch(
                f"SELECT shard, min(coalesce(due, 0)) FROM chains WHERE {READY} GROUP BY shard"
            )
        return [(shard, due) for shard, due in found]

    async def progress(self) -> dict[int, int]:
        """How much each shard has done: a number that goes up with each commit."""
        async with self._reading() as db:
            found = await db.fetch("SELECT shard, steps + done + results + cancelled FROM shards")
        return dict(found)

    async def waiting_count(self, most: int) -> int:
        """How many chains of all shards are alive, or `most` if they are more.

        Args:
            most: where to stop.
        """
        async with self._reading() as db:
            return int(
                await db.fetchval(
                    f"SELECT count(*) FROM (SELECT 1 FROM chains WHERE {READY} LIMIT $1) c", most
                )
            )

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

    # -- exports --------------------------------------------------------------------------------

    async def export_of(self, path: str) -> tuple[int, int, str | None, int] | None:
        """How far a file is: its bytes, the last result in it, its columns, results in it.

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
        """How far the flow is, all shards together.

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
            owners = [_process_of(each) for each in await self._owners(db)]
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

    async def _owners(self, db: asyncpg.Connection[Any]) -> Sequence[Any]:
        found: Sequence[Any] = await db.fetch(
            "SELECT a.pid, a.application_name, a.client_addr FROM pg_locks l JOIN pg_stat_activity"
            " a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
            " AND l.classid::int8 = $1 AND l.objid::int8 < 2147483648"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " ORDER BY l.objid::int8",
            self._class_id % 2**32,
        )
        return found

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
            found = await db.fetch(f"SELECT {_LISTED} FROM chains WHERE {where}", *values)
        return [
            ListedChain(one, name or f"chain-{one}", step, url, bare_name(reader), *rest)
            for one, name, step, url, reader, *rest in found
        ]

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

    def failed_count(self) -> int:
        """How many chains of this shard have failed."""
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


class _Known:
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
    def of_nothing(cls) -> _Known:
        """Return what there is to know of a flow that was not begun."""
        flow = {"uuid": uuid.uuid4().bytes, "kind": "", "finished": None}
        return cls(flow, Counts(0, False, 0, 0, 0, 0, 0, 0, None))

    @classmethod
    async def read(cls, db: asyncpg.Connection[Any], shard: int) -> _Known:
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


def _split_schema(url: str) -> tuple[str, str]:
    """The URL as libpq has it, and the schema that it names."""
    head, mark, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [value for name, value in pairs if name == "schema" and value]
    rest = urlencode([pair for pair in pairs if pair[0] != "schema"])
    return head + (mark and rest and f"?{rest}"), names[-1] if names else "webqq_tornado"


def _without_secrets(url: str) -> str:
    """The URL without passwords."""
    parts = urlsplit(str(url))
    user, at, hosts = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}"
    others = [pair for pair in parse_qsl(parts.query) if "pass" not in pair[0].lower()]
    return shown + (f"?{urlencode(others, safe='/')}" if others else "")


def _process_of(owner: Any) -> tuple[int, str, str]:
    """Number of a lock's process, the same as text, and its host."""
    if owner is None:
        return 0, "that has just ended", ""
    name = str(owner["application_name"])
    process, _, host = name.removeprefix("webqq_tornado ").partition(" #")[0].partition("@")
    if name.startswith("webqq_tornado ") and process.isdigit():
        return int(process), process, host
    return 0, f"of {owner['client_addr'] or 'this machine'}", ""


def _reason(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_passing(error: BaseException) -> bool:
    # Classes of PostgreSQL's errors: connections, resources, intervention of an operator.
    return str(getattr(error, "sqlstate", "")).startswith(("08", "53", "57"))


def _advice(error: BaseException) -> str:
    text = str(error)
    if "permission" in text:
        return "give its user the right to make tables, or name a schema of its own"
    if "No space" in text or "disk" in text:
        return "make room on the server's disk, and run the same command again"
    return "see that the server runs, and run the same command again"
