"""A journal in an SQLite file: one transaction for all that a turn of the loop has led to.

What is in it is what was sent, or is to be. A row of `chains` is a link: ready (`due` is null),
delayed, failed (`error` says why), or a draft of a reader that has not returned. There is no
"sent": that would be one more write, and tell nothing.

Statements are short and run on the loop's own thread. A row costs 2 to 7 microseconds.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence

from ..database import transaction
from ..lockfile import holder_of
from .errors import JournalError, former_name
from .records import COLUMNS, READY, Batch, ChainRow, Counts
from .sqlite_file import Sync
from .sqlite_inspection import SqliteInspection

__all__ = ["Journal", "Sync"]

_INSERT = f"INSERT INTO chains ({COLUMNS}) VALUES ({', '.join('?' * len(ChainRow._fields))})"
_CHANGE = (
    f"UPDATE chains SET {', '.join(f'{name} = ?' for name in ChainRow._fields[1:])} WHERE id = ?"
)


class Journal(SqliteInspection, contextlib.AbstractContextManager["Journal"]):
    """The file in which a flow's chains and results are kept.

    Args:
        path: of the file, of mode 0600; made if it is not there. Beside it is `PATH.lock`. Not on a
            network file system.
        sync: "full" survives a power cut; "normal" is faster, and a power cut takes the last
            moments back as a whole: all agrees then, and some requests are sent again.

    Raises:
        ValueError: sync is neither.

    Example:
        >>> HTTPStream(journal=Journal("crawl.db", sync="normal"))
        >>> Journal("crawl.db").summary().results
        512
    """

    is_awaited = False
    #: The part of it that is this one's; see `sqlite_shards`.
    shard = 0

    def __repr__(self) -> str:
        return f"<Journal {self.path}>"

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- opening --------------------------------------------------------------------------------

    def own(self, kind: str | None = None) -> None:
        """Take the journal for this process alone.

        Args:
            kind: file and name of the flow's class; None: it is there, and whichever it is.

        Raises:
            JournalError: another process has it, it cannot be used, or it is another flow's.
        """
        if kind is None and not self._file.exists():
            raise JournalError(f"{self.path}: there is no such journal; a flow makes it")
        self._take_lock()
        try:
            if self._db is None:
                self._db = self._opened()
            with self._told(), transaction(self._db):
                self._settle(kind)
        except BaseException:
            self.close()
            raise

    def _settle(self, kind: str | None) -> None:
        """Make the flow's row, or compare it; take back what readers had not finished."""
        found = self.db.execute("SELECT kind, shards FROM flow").fetchone()
        if found is not None:
            self._check_flow(*found, kind=kind, shards=1)
        elif kind is None:
            raise JournalError(f"{self.path}: there is no flow in it")
        else:
            self._make_flow(kind, 1)
        self.db.execute("DELETE FROM chains WHERE draft IS NOT NULL")
        self.db.execute("DELETE FROM items WHERE is_draft")

    def _make_flow(self, kind: str, shards: int) -> None:
        self.db.execute(
            "INSERT INTO flow VALUES (?, ?, ?, ?, NULL)",
            (uuid.uuid4().bytes, kind, shards, time.time()),
        )
        self.db.executemany(
            "INSERT INTO shards (shard) VALUES (?)", [(shard,) for shard in range(shards)]
        )

    def _check_flow(self, found: str, has: int, *, kind: str | None, shards: int) -> None:
        if kind is not None and found != kind:
            raise JournalError(
                f"{self.path}: it is the journal of {found}, not of {kind}: name another file, or "
                f"{former_name(found, kind)}"
            )
        if kind is not None and has != shards:
            how = "run it with --dask" if shards == 1 else f"give --shards {has}"
            raise JournalError(f"{self.path}: it has {has} shard{'s' * (has > 1)}: {how}")
        if kind is None and has > 1:
            self._check_owners(has)

    def _check_owners(self, shards: int) -> None:
        """Shards may be run on for a while, by processes whose client was killed."""
        for shard in range(shards):
            holder = holder_of(self.beside(f"-shard-{shard}"))
            if holder is not None:
                raise JournalError(
                    f"{self.path}: process {holder.pid} runs its shard {shard}: wait for its end"
                )

    # -- writing --------------------------------------------------------------------------------

    def commit(self, batch: Batch, first_result: int, *, waits: bool = True) -> int:
        """Write all of a batch, or nothing.

        Args:
            batch: what to write.
            first_result: number of its first result.
            waits: for another program that writes to the file; else that is an error.

        Returns:
            The number of the last result so far.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db, waits=waits):
            return self._write(batch, first_result)

    def commit_if_free(self, batch: Batch, first_result: int) -> int | None:
        """As `commit`, but without waiting for another program that writes to the file.

        Args:
            batch: what to write.
            first_result: number of its first result.

        Returns:
            As of `commit`; None: another program writes, and nothing was written.

        Raises:
            JournalError: that could not be written for another reason.
        """
        try:
            return self.commit(batch, first_result, waits=False)
        except JournalError as error:
            if not error.is_passing:
                raise
            return None

    def _write(self, batch: Batch, first: int) -> int:
        many = self.db.executemany
        if batch.keys:
            many("INSERT INTO seen VALUES (?, ?)", batch.keys.items())
        if batch.new:
            self._insert(batch.new.values())
            self._begin_again()
        if batch.moved:
            self._move(batch)
        if batch.led:
            many(
                "UPDATE chains SET step = ?, url = ? WHERE id = ?",
                [(*led, one) for one, led in batch.led.items()],
            )
        if batch.changed:
            many(_CHANGE, [(*row[1:], row[0]) for row in batch.changed.values()])
        if batch.failed:
            many(
                "UPDATE chains SET failed = ?, error = ?, trace = ? WHERE id = ?",
                [(*failed, one) for one, failed in batch.failed.items()],
            )
        if batch.ended:
            many("DELETE FROM chains WHERE id = ?", [(one,) for one in batch.ended])
        for draft in batch.settled:
            first += self._settle_drafts(draft, first)
        if batch.results:
            many(
                "INSERT INTO items (id, chain, step, n, item) VALUES (?, ?, ?, ?, ?)",
                [
                    (number, chain, step, number if n < 0 else n, text)
                    for number, (chain, step, n, text) in enumerate(batch.results, first)
                ],
            )
        for name, cookies in batch.sessions.items():
            self._keep_cookies(name, cookies)
        last = first + len(batch.results) - 1
        self._count(batch, last)
        return last

    def _insert(self, rows: Iterable[ChainRow]) -> None:
        self.db.executemany(_INSERT, rows)

    def _move(self, batch: Batch) -> None:
        # An update of `due` is one of an index, too: most links have none.
        plain = [
            (step, one)
            for one, (step, due, _, tries) in batch.moved.items()
            if due is None and not tries
        ]
        if plain:
            self.db.executemany("UPDATE chains SET step = ? WHERE id = ?", plain)
        if len(plain) < len(batch.moved):
            self.db.executemany(
                "UPDATE chains SET step = ?, due = ?, delay = ?, tries = ? WHERE id = ?",
                [
                    (step, due, delay, max(tries, 0), one)
                    for one, (step, due, delay, tries) in batch.moved.items()
                    if due is not None or tries
                ],
            )

    def _settle_drafts(self, chain: int, first: int) -> int:
        """A reader has returned: what it had to put here meanwhile holds; how many results."""
        execute = self.db.execute
        execute(
            "INSERT OR IGNORE INTO seen SELECT key, id FROM chains"
            " WHERE draft = ? AND key IS NOT NULL ORDER BY id",
            (chain,),
        )
        execute(
            "DELETE FROM chains WHERE draft = ? AND key IS NOT NULL"
            " AND id <> (SELECT chain FROM seen WHERE seen.key = chains.key)",
            (chain,),
        )
        execute("UPDATE chains SET draft = NULL WHERE draft = ?", (chain,))
        # With numbers behind all others: who takes results has been told of later ones meanwhile.
        found = execute("SELECT id FROM items WHERE chain = ? AND is_draft ORDER BY id", (chain,))
        numbers = [(number, old) for number, (old,) in enumerate(found.fetchall(), first)]
        self.db.executemany("UPDATE items SET id = ?, is_draft = 0 WHERE id = ?", numbers)
        execute(
            "UPDATE shards SET results = results + ? WHERE shard = ?", (len(numbers), self.shard)
        )
        self._begin_again()
        return len(numbers)

    def _keep_cookies(self, name: str, cookies: bytes | None) -> None:
        if cookies is None:
            self.db.execute("DELETE FROM sessions WHERE name = ?", (name,))
        else:
            self.db.execute("REPLACE INTO sessions VALUES (?, ?)", (name, cookies))

    def _count(self, batch: Batch, last_item: int) -> None:
        self.db.execute(
            "UPDATE shards SET steps = steps + ?, done = done + ?, cancelled = cancelled + ?,"
            " results = results + ?, last_item = ?, last_chain = ?, begun = coalesce(?, begun),"
            " is_begun_all = is_begun_all OR ?, state = coalesce(?, state) WHERE shard = ?",
            (
                *(batch.steps, batch.done, batch.cancelled, len(batch.results), last_item),
                *(batch.last_chain, batch.begun, batch.is_begun_all, batch.state, self.shard),
            ),
        )

    def add_drafts(self, rows: Iterable[ChainRow]) -> None:
        """Put links of a reader that has not returned yet into the file.

        Args:
            rows: with the id of the reader's chain as `draft`.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self._insert(rows)

    def add_draft_results(self, results: Sequence[tuple[int, int, int, str]], first: int) -> None:
        """Put results of a reader that has not returned yet into the file.

        Args:
            results: chain, step and number in it, and text of each.
            first: number of the first.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.executemany(
                "INSERT INTO items (id, chain, step, n, item, is_draft) VALUES (?, ?, ?, ?, ?, 1)",
                [(number, *one) for number, one in enumerate(results, first)],
            )
            last = first + len(results) - 1
            self.db.execute("UPDATE shards SET last_item = ? WHERE shard = ?", (last, self.shard))

    def drop_drafts(self, chain: int) -> None:
        """Take back what a reader had put into the file that has failed.

        Args:
            chain: id of the reader's.

        Raises:
            JournalError: that could not be written.
        """
        with self._told(), transaction(self.db):
            self.db.execute("DELETE FROM chains WHERE draft = ?", (chain,))
            self.db.execute("DELETE FROM items WHERE chain = ? AND is_draft", (chain,))

    # -- reading --------------------------------------------------------------------------------

    @property
    def uuid(self) -> bytes:
        """The flow's own, of 16 bytes."""
        (found,) = self.db.execute("SELECT uuid FROM flow").fetchone()
        return bytes(found)

    def counts(self) -> Counts:
        """Return the numbers so far."""
        found = self.db.execute(
            "SELECT begun, is_begun_all, steps, done, cancelled, results, last_chain, last_item,"
            " state FROM shards WHERE shard = ?",
            (self.shard,),
        ).fetchone()
        return Counts(found[0], bool(found[1]), *found[2:])

    def rows(self, ids: Iterable[int]) -> Iterator[ChainRow]:
        """Chains that are alive, of these ids.

        Args:
            ids: of them.
        """
        for one in ids:
            found = self.db.execute(
                f"SELECT {COLUMNS} FROM chains WHERE id = ? AND {READY}", (one,)
            ).fetchone()
            if found is not None:
                yield ChainRow(*found)

    def readers(self) -> list[tuple[str, str | None, str | None, int]]:
        """Each reader and errback that chains wait for, examples of arguments and data, how many.

        Failed ones are among them: they may be retried.
        """
        found = self.db.execute(
            "SELECT reader, max(args), max(data), count(*) FROM chains"
            " WHERE reader IS NOT NULL GROUP BY 1"
            " UNION ALL SELECT errback, max(errback_args), NULL, count(*) FROM chains"
            " WHERE errback IS NOT NULL GROUP BY 1"
        )
        return [(str(name), args, data, int(count)) for name, args, data, count in found]

    def chain_of_key(self, key: bytes) -> int | None:
        """Id of the chain that a key leads to, None if none does.

        Args:
            key: its hash.
        """
        found = self.db.execute("SELECT chain FROM seen WHERE key = ?", (key,)).fetchone()
        return None if found is None else int(found[0])

    def failure_of(self, chain: int) -> str | None:
        """Return the error that has ended a chain; None if none has.

        Args:
            chain: its id.
        """
        found = self.db.execute("SELECT error FROM chains WHERE id = ?", (chain,)).fetchone()
        return None if found is None else found[0]

    def cookies(self) -> dict[str, bytes]:
        """Cookies by the session's name."""
        return dict(self.db.execute("SELECT name, cookies FROM sessions"))
