"""Tables of a journal in PostgreSQL, and how a batch becomes one statement.

Arrays are parameters, one a column, whatever the number of rows: so there are few statements, each
is planned once, and a batch costs one way to the server and back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .records import Batch, ChainRow, Failed

__all__ = ["TABLES", "VERSION", "Statement", "batch_statement", "columns_of", "stored"]

#: Of the tables.
VERSION = 1

#: Rows are updated in place: fillfactor leaves room for that beside them.
TABLES = """
CREATE TABLE IF NOT EXISTS flow (
    version int NOT NULL, uuid bytea NOT NULL, kind text NOT NULL, shards int NOT NULL,
    created float8 NOT NULL, finished float8);
CREATE UNIQUE INDEX IF NOT EXISTS one_flow ON flow ((true));
CREATE TABLE IF NOT EXISTS shards (
    shard int PRIMARY KEY, begun int8 NOT NULL DEFAULT 0, is_begun_all bool NOT NULL DEFAULT false,
    steps int8 NOT NULL DEFAULT 0, done int8 NOT NULL DEFAULT 0, cancelled int8 NOT NULL DEFAULT 0,
    results int8 NOT NULL DEFAULT 0, last_chain int8 NOT NULL DEFAULT 0,
    last_item int8 NOT NULL DEFAULT 0, state text) WITH (fillfactor = 10);
CREATE TABLE IF NOT EXISTS chains (
    shard int NOT NULL, away bool NOT NULL DEFAULT false, id int8 PRIMARY KEY, step int8 NOT NULL,
    name text, key bytea, url text NOT NULL, request text, body bytea, reader text, args text,
    errback text, errback_args text, data text, session text NOT NULL, priority int8 NOT NULL,
    due float8, delay float8, deadline float8, tries int NOT NULL, draft int8, error text,
    trace text, failed float8) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS waiting ON chains (shard, due NULLS FIRST, priority DESC, id)
    WHERE error IS NULL AND draft IS NULL;
CREATE INDEX IF NOT EXISTS arrived ON chains (shard, id) WHERE away;
CREATE INDEX IF NOT EXISTS failures ON chains (failed) WHERE error IS NOT NULL;
CREATE INDEX IF NOT EXISTS drafts ON chains (draft) WHERE draft IS NOT NULL;
CREATE TABLE IF NOT EXISTS items (
    shard int NOT NULL, id int8 NOT NULL, number int8, chain int8 NOT NULL, step int8 NOT NULL,
    n int8 NOT NULL, item text NOT NULL, is_draft bool NOT NULL DEFAULT false,
    PRIMARY KEY (shard, id), UNIQUE (shard, chain, step, n));
CREATE INDEX IF NOT EXISTS fresh_items ON items (shard, id) WHERE number IS NULL AND NOT is_draft;
CREATE INDEX IF NOT EXISTS numbered_items ON items (number) WHERE number IS NOT NULL;
CREATE INDEX IF NOT EXISTS draft_items ON items (chain) WHERE is_draft;
CREATE SEQUENCE IF NOT EXISTS numbers CACHE 1;
CREATE TABLE IF NOT EXISTS seen (key bytea PRIMARY KEY, chain int8 NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    shard int NOT NULL, name text NOT NULL, cookies bytea NOT NULL, PRIMARY KEY (shard, name));
CREATE TABLE IF NOT EXISTS exports (
    path text PRIMARY KEY, place int8 NOT NULL, upto int8 NOT NULL, columns text,
    count int8 NOT NULL);
"""

#: Type of each column of a row.
_TYPES = {
    **dict.fromkeys(("id", "step", "priority", "draft"), "int8"),
    **dict.fromkeys(("key", "body"), "bytea"),
    **dict.fromkeys(("due", "delay", "deadline"), "float8"),
    "tries": "int4",
}
_NAMES = ChainRow._fields
_TEXTS = tuple(place for place, name in enumerate(_NAMES) if name not in _TYPES)
_ARRAYS = ", ".join(f"{{}}::{_TYPES.get(name, 'text')}[]" for name in _NAMES)


def stored(text: str | None) -> str | None:
    """Return text that PostgreSQL takes, which has no NUL in it.

    Args:
        text: any.
    """
    return text.replace("\0", "\\0") if text is not None and "\0" in text else text


def columns_of(rows: Iterable[ChainRow]) -> list[list[Any]]:
    """Return rows as a list for each column.

    Args:
        rows: at least one.
    """
    columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    for place in _TEXTS:
        columns[place] = [stored(text) for text in columns[place]]
    return columns


class Statement:
    """Several changes that are made as one statement.

    Attributes:
        values: its parameters.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.values: list[Any] = []

    def add(self, name: str, change: str, *values: Any) -> None:
        """Add a change.

        Args:
            name: of it.
            change: with {} for each value.
            values: its parameters.
        """
        first = len(self.values) + 1
        self.values += values
        numbers = (f"${number}" for number in range(first, first + len(values)))
        self._parts.append(f"{name} AS ({change.format(*numbers)})")

    def text(self) -> str:
        """The statement."""
        return f"WITH {', '.join(self._parts)} SELECT 1"


def batch_statement(batch: Batch, shard: int, first: int) -> Statement:
    """Return what writes a batch, except for keys and drafts.

    A statement sees the tables as they were before it, so that of two changes to a row one would be
    lost: each row is in one of its parts alone.

    Args:
        batch: whose rows are changed as said.
        shard: whose it is.
        first: number of its first result.
    """
    statement = Statement()
    new = [row for one, row in batch.new.items() if one not in batch.ended]
    if new:
        _add_rows(statement, new, batch, shard)
    changed = [row for one, row in batch.changed.items() if one not in batch.ended]
    if changed:
        _add_changes(statement, changed, batch, shard)
    _add_moves(statement, batch)
    if batch.failed:
        _add_failures(statement, batch)
    if batch.ended:
        statement.add("ended", "DELETE FROM chains WHERE id = ANY({}::int8[])", list(batch.ended))
    if batch.results:
        _add_results(statement, batch, shard, first)
    if batch.sessions:
        _add_cookies(statement, batch, shard)
    _add_counts(statement, batch, shard, first)
    return statement


def _add_rows(statement: Statement, rows: Sequence[ChainRow], batch: Batch, shard: int) -> None:
    ids = [row.id for row in rows]
    statement.add(
        "new",
        f"INSERT INTO chains (shard, away, {', '.join(_NAMES)})"
        f" SELECT * FROM unnest({{}}::int4[], {{}}::bool[], {_ARRAYS})",
        [batch.away.get(one, shard) for one in ids],
        [one in batch.away for one in ids],
        *columns_of(rows),
    )
    statement.add("again", "UPDATE flow SET finished = NULL WHERE finished IS NOT NULL")


def _add_changes(statement: Statement, rows: Sequence[ChainRow], batch: Batch, shard: int) -> None:
    names = ("shard", "away", *_NAMES)
    sets = ", ".join(f"{name} = u.{name}" for name in names if name != "id")
    statement.add(
        "changed",
        f"UPDATE chains c SET {sets} FROM unnest({{}}::int4[], {{}}::bool[], {_ARRAYS})"
        f" u ({', '.join(names)}) WHERE c.id = u.id",
        [batch.away.get(row.id, shard) for row in rows],
        [row.id in batch.away for row in rows],
        *columns_of(rows),
    )


def _add_moves(statement: Statement, batch: Batch) -> None:
    skipped = batch.failed.keys() | batch.ended.keys()
    plain: list[tuple[int, int]] = []
    timed: list[tuple[Any, ...]] = []
    for one, (step, due, delay, tries) in batch.moved.items():
        if one in skipped:
            continue
        if due is None and not tries and one not in batch.led:
            plain.append((one, step))
        else:
            url = batch.led[one][1] if one in batch.led else None
            timed.append((one, step, url, due, delay, max(tries, 0)))
    if plain:
        statement.add(
            "moved",
            "UPDATE chains c SET step = u.step FROM unnest({}::int8[], {}::int8[]) u (id, step)"
            " WHERE c.id = u.id",
            *map(list, zip(*plain, strict=True)),
        )
    if timed:
        statement.add(
            "timed",
            "UPDATE chains c SET step = u.step, url = coalesce(u.url, c.url), due = u.due,"
            " delay = u.delay, tries = u.tries FROM unnest({}::int8[], {}::int8[], {}::text[],"
            " {}::float8[], {}::float8[], {}::int4[]) u (id, step, url, due, delay, tries)"
            " WHERE c.id = u.id",
            *map(list, zip(*timed, strict=True)),
        )
    led = [
        (one, *led)
        for one, led in batch.led.items()
        if one not in batch.moved and one not in skipped
    ]
    if led:
        statement.add(
            "led",
            "UPDATE chains c SET step = u.step, url = u.url FROM unnest({}::int8[], {}::int8[],"
            " {}::text[]) u (id, step, url) WHERE c.id = u.id",
            *map(list, zip(*led, strict=True)),
        )


def _add_failures(statement: Statement, batch: Batch) -> None:
    rows = [
        (one, *_place(batch, one), *_failure(failed))
        for one, failed in batch.failed.items()
        if one not in batch.new and one not in batch.changed
    ]
    if not rows:
        return
    statement.add(
        "failed",
        "UPDATE chains c SET step = coalesce(u.step, c.step), url = coalesce(u.url, c.url),"
        " failed = u.failed, error = u.error, trace = u.trace FROM unnest({}::int8[], {}::int8[],"
        " {}::text[], {}::float8[], {}::text[], {}::text[])"
        " u (id, step, url, failed, error, trace) WHERE c.id = u.id",
        *map(list, zip(*rows, strict=True)),
    )


def _place(batch: Batch, one: int) -> tuple[int | None, str | None]:
    if one in batch.led:
        return batch.led[one]
    return (batch.moved[one][0] if one in batch.moved else None), None


def _failure(failed: Failed) -> tuple[float, str | None, str | None]:
    return failed.at, stored(failed.error), stored(failed.trace)


def _add_results(statement: Statement, batch: Batch, shard: int, first: int) -> None:
    rows = [
        (number, chain, step, number if n < 0 else n, text)
        for number, (chain, step, n, text) in enumerate(batch.results, first)
    ]
    statement.add(
        "results",
        "INSERT INTO items (shard, id, chain, step, n, item) SELECT {}::int4, * FROM"
        " unnest({}::int8[], {}::int8[], {}::int8[], {}::int8[], {}::text[])",
        shard,
        *map(list, zip(*rows, strict=True)),
    )


def _add_cookies(statement: Statement, batch: Batch, shard: int) -> None:
    kept = [(stored(name), one) for name, one in batch.sessions.items() if one is not None]
    gone = [stored(name) for name, one in batch.sessions.items() if one is None]
    if kept:
        statement.add(
            "cookies",
            "INSERT INTO sessions SELECT {}::int4, * FROM unnest({}::text[], {}::bytea[])"
            " ON CONFLICT (shard, name) DO UPDATE SET cookies = excluded.cookies",
            shard,
            *map(list, zip(*kept, strict=True)),
        )
    if gone:
        statement.add(
            "closed",
            "DELETE FROM sessions WHERE shard = {}::int4 AND name = ANY({}::text[])",
            *(shard, gone),
        )


def _add_counts(statement: Statement, batch: Batch, shard: int, first: int) -> None:
    statement.add(
        "counted",
        "UPDATE shards SET steps = steps + {}::int8, done = done + {}::int8,"
        " cancelled = cancelled + {}::int8, results = results + {}::int8, last_item = {}::int8,"
        " last_chain = {}::int8, begun = coalesce({}::int8, begun),"
        " is_begun_all = is_begun_all OR {}::bool, state = coalesce({}::text, state)"
        " WHERE shard = {}::int4",
        *(batch.steps, batch.done, batch.cancelled, len(batch.results)),
        *(first + len(batch.results) - 1, batch.last_chain, batch.begun, batch.is_begun_all),
        *(batch.state, shard),
    )
