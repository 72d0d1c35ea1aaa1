"""The connection to a journal's database: made, asked for one thing at a time, and let go.

What goes wrong with it is a `JournalError`, which says what to do about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
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
#: A batch meets its rows by their index, however few the planner takes the table to have. What the
#: administrator has set for others does not end a connection that waits for the next link, nor fail
#: a commit that another one goes before.
_SETTINGS = """
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = 0;
SET default_transaction_isolation = 'read committed';
SELECT set_config(name, '0', false) FROM pg_settings
    WHERE name IN ('idle_session_timeout', 'transaction_timeout');
SELECT set_config('idle_in_transaction_session_timeout', '60s', false);
"""
#: Parameters of a URL that are libpq's own: asyncpg would set them at the server, which has none.
_OF_LIBPQ = frozenset(
    {
        *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval"),
        *(
            "keepalives_count",
            "tcp_user_timeout",
            "channel_binding",
            "gssencmode",
            "sslcompression",
        ),
        *("sslsni", "requirepeer", "fallback_application_name", "load_balance_hosts"),
    }
)
#: Bytes that PostgreSQL keeps of a name; it leaves out the rest, and two schemas would be one.
_NAME = 63


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
        self._url, self.schema, own = _split_query(url)
        self._timeout = _seconds(own.get("connect_timeout"))
        self._binding = own.get("channel_binding")
        self._is_ambiguous = _is_ambiguous(url)
        # Not even the host: a part of the password may be where that is.
        self._shown = "postgresql://..." if self._is_ambiguous else _without_secrets(url)
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
        self._check_url()
        shown = f"webqq_tornado {os.getpid()}@{socket.gethostname()}"[:55] + f" #{self.shard}"
        try:
            connection = await asyncpg.connect(
                self._url,
                timeout=self._timeout,
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
                f"{self.path}: cannot be reached ({_reason(error)}): {_remedy(error)}",
                is_passing=not isinstance(error, asyncpg.PostgresError) or _is_passing(error),
            ) from error
        commit = "on" if self.sync == "full" else "off"
        schema = self.schema.replace('"', '""')
        try:
            with self._told():
                self._check_encoding(connection.get_settings().server_encoding)
                await connection.execute(
                    f'{_SETTINGS} SET synchronous_commit = {commit}; SET search_path = "{schema}"'
                )
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _check_url(self) -> None:
        """Refuse what cannot be had as the URL says."""
        if self._is_ambiguous:
            raise JournalError(
                f"{self.path}: / ? # or @ in its name or password is not quoted: write %2F for /, "
                "%3F for ?, %23 for # and %40 for @"
            )
        if self._binding == "require":
            raise JournalError(
                f"{self.path}: channel_binding=require is nothing that asyncpg can do: leave it out"
            )
        if len(self.schema.encode()) > _NAME:
            raise JournalError(
                f"{self.path}: the name of a schema has {_NAME} bytes at most: give a shorter one"
            )

    def _check_encoding(self, encoding: str) -> None:
        # SQL_ASCII takes any bytes; others have no place for most of what pages say.
        if encoding.upper() not in ("UTF8", "SQL_ASCII"):
            raise JournalError(
                f"{self.path}: the database is in {encoding}, which has not all characters: make "
                "one by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )

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


def _split_query(url: str) -> tuple[str, str, dict[str, str]]:
    """The URL as asyncpg has it, the schema that it names, and parameters of libpq alone."""
    head, mark, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [value for name, value in pairs if name == "schema" and value]
    own = {name: value for name, value in pairs if name in _OF_LIBPQ}
    rest = urlencode([pair for pair in pairs if pair[0] != "schema" and pair[0] not in _OF_LIBPQ])
    return head + (mark and rest and f"?{rest}"), names[-1] if names else "webqq_tornado", own


def _is_ambiguous(url: str) -> bool:
    """Return True if a name or password seems to end the host: what follows must not be shown."""
    later = url.partition("://")[2]
    authority = re.split("[/?#]", later, maxsplit=1)[0]
    path, mark, rest = re.split("([?#]|$)", later[len(authority) :], maxsplit=1)
    is_in_query = "@" in rest and "=" not in rest.partition("@")[0]
    return authority.count("@") > 1 or "@" in path or "#" in mark + rest or is_in_query


def _seconds(text: str | None) -> float:
    """Seconds of `connect_timeout`, of which libpq takes 0 and less for no limit."""
    try:
        seconds = float(text or "")
    except ValueError:
        return _CONNECT
    return seconds if seconds > 0 else _CONNECT


def _without_secrets(url: str) -> str:
    """The URL without passwords."""
    parts = urlsplit(str(url))
    user, at, hosts = parts.netloc.rpartition("@")
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}"
    others = [pair for pair in parse_qsl(parts.query) if "pass" not in pair[0].lower()]
    return shown + (f"?{urlencode(others, safe='/')}" if others else "")


def _reason(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    # asyncpg's words for it are of its own states.
    if type(error).__name__ == "InternalClientError":
        return "the connection broke off"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_passing(error: BaseException) -> bool:
    # Classes of PostgreSQL's errors: connections, resources, intervention of an operator.
    # Then of two that wait for each other, and of a server that is about to be the first again.
    return str(getattr(error, "sqlstate", "")).startswith(("08", "53", "57", "40", "25006"))


def _remedy(error: BaseException) -> str:
    if "unrecognized configuration parameter" in str(error):
        return "leave this parameter out of the URL"
    if str(getattr(error, "sqlstate", "")) == "53300":
        return "raise max_connections of the server, or have fewer shards: each has a connection"
    return "see that the server runs, and that the database and its user exist"


def _advice(error: BaseException) -> str:
    text = str(error)
    if "schema name" in text:
        return "name another schema"
    if "permission" in text:
        return "give its user the right to make tables, or name a schema of its own"
    if "read-only" in text:
        return (
            "its user may only read, or it is a replica: name the primary server, as by "
            "?target_session_attrs=read-write and several hosts"
        )
    if "No space" in text or "disk" in text:
        return "make room on the server's disk, and run the same command again"
    return "see that the server runs, and run the same command again"
