"""The connection to a journal's database: made, asked for one thing at a time, and let go.

What goes wrong with it is a `JournalError`, which says what to do about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import zlib
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from .errors import JournalError
from .location import is_postgres
from .postgres_schema import VERSION

if TYPE_CHECKING:
    import asyncpg

    from .sqlite import Sync

__all__ = ["GONE", "PostgresConnection"]

#: Seconds in which a connection has to be made, and in which any statement has to be done.
_CONNECT, _COMMAND = 15.0, 60.0
#: Seconds in which an owner that has just ended is gone from the server.
GONE = 2.0
#: The server looks after 5 s whether a silent client is there, every 2 s, and gives up after three.
#: A batch meets its rows by their index, however few the planner takes the table to have.
_SETTINGS = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET client_min_messages = warning; SET statement_timeout = 0;
"""


class PostgresConnection:
    """A journal's database, and at most one connection to it.

    Args:
        url: as of `PostgresJournal`.
        sync: likewise.

    Raises:
        ValueError: the URL is none, or sync is neither.
    """

    def __init__(self, url: str, sync: Sync = "full") -> None:
        if sync not in ("full", "normal"):
            raise ValueError(f'sync is "full" or "normal", not {sync!r}')
        if not is_postgres(url):
            raise ValueError(f"not the URL of a PostgreSQL database: {_without_secrets(url)}")
        self.sync = sync
        self.shard, self.shards = 0, 1
        self._url, self.schema = _split_schema(url)
        self._shown = _without_secrets(url)
        self._connection: asyncpg.Connection[Any] | None = None
        self._turn = asyncio.Lock()
        self._is_gone = asyncio.Event()
        self._is_gone.set()

    @property
    def path(self) -> str:
        """The URL, without its secrets."""
        return self._shown

    @property
    def is_open(self) -> bool:
        """Return True from `open` or `look` to `aclose`."""
        return self._connection is not None

    @property
    def _class_id(self) -> int:
        """The first half of the keys of its locks: they are of the whole database."""
        return zlib.crc32(f"webqq_tornado:{self.schema}".encode()) - 2**31

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
        except ValueError as error:
            raise JournalError(f"{self.path}: is no URL of a database ({error})") from None
        # The last two, where the server breaks it off at some step.
        except (
            OSError,
            asyncio.TimeoutError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            raise JournalError(
                f"{self.path}: cannot be reached ({_reason(error)}): see that the server runs, and "
                "that the database and its user exist",
                is_passing=not isinstance(error, asyncpg.PostgresError) or _is_passing(error),
            ) from error
        commit = "on" if self.sync == "full" else "off"
        schema = self.schema.replace('"', '""')
        try:
            with self._told():
                await connection.execute(
                    f'{_SETTINGS} SET synchronous_commit = {commit}; SET search_path = "{schema}"'
                )
        except BaseException:
            connection.terminate()
            raise
        return connection

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

    def _missing(self) -> JournalError:
        return JournalError(f"{self.path}: there is no such journal; a flow makes it")

    @property
    def _db(self) -> asyncpg.Connection[Any]:
        if self._connection is None:
            raise JournalError(f"{self.path}: is closed")
        return self._connection

    async def aclose(self) -> None:
        """Close the connection, and let others have the flow. May be called twice."""
        await self.closing()

    def closing(self) -> Coroutine[Any, Any, None]:
        """Have it closed from now on, and return what ends the connection."""
        return self._end(self._released())

    def _released(self) -> asyncpg.Connection[Any] | None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._is_gone.clear()
        return connection

    async def _end(self, connection: asyncpg.Connection[Any] | None) -> None:
        if connection is None:
            await self._is_gone.wait()  # somebody else may be about to
            return
        try:
            # What is under way on it has its time.
            await asyncio.wait_for(self._turn.acquire(), GONE)
            try:
                await connection.close(timeout=GONE)
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
