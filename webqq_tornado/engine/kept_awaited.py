"""Keeping in a journal whose commits are awaited: the next batch gathers meanwhile.

The same rule as in `keeping`, and the same batches: nothing that follows from one is sent, timed or
told before it has committed. What is to be written is written in order, by one task, as a
connection does one thing at a time.

- *Whether a key was followed is known when it commits*, as another process may follow it at the
  same moment: the commit says which links have lost theirs, and these are dropped. Keys that this
  process has seen lately are known before. A chain of `add_request` ends as the one that has its
  key: see `kept_keys`.

- *`close` commits what readers had led to when it was called*, within `_LAST` seconds, on a loop
  that goes on running; `released` waits for it. What cannot be committed is lost as a whole, as by
  a kill: the next run reads those links again.

- *With shards*, the row of a link that another shard is to send is written with that number, and
  the chain ends here. What others write for this one is taken when they tell, or by a look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..journal.codec import unpack_item
from ..journal.errors import JournalError
from ..journal.postgres import PostgresJournal
from ..journal.records import Batch, ChainRow
from .chain import Branches, Chain, State
from .errors import ClosedError
from .eventloop import asyncio_loop_of
from .keeping import Keeper
from .kept_branches import Children, Found
from .kept_keys import FollowedKeys
from .kept_records import Record, id_of
from .keys import mark_of
from .links import Next

if TYPE_CHECKING:
    from .runner import Runner
    from .session import Session
    from .stream import HTTPStream

__all__ = ["AwaitedKeeper"]

logger = logging.getLogger("webqq_tornado.engine")

#: Writes that wait before what gives more of them has to.
_AHEAD = 4
#: Seconds that commits have to end when the stream is closed.
_LAST = 5.0
#: Seconds for which a lock is taken to be ours: less than a server needs to give it to another.
_OURS = 5.0


class _Turn:
    """Links, chains and results that follow from one batch.

    Attributes:
        batch: that is being written; its keys are looked at until it is.
        held, sources, told, texts: as of `Keeper`.
    """

    def __init__(self, keeper: AwaitedKeeper) -> None:
        self.batch = keeper._batch
        self.held, self.sources = keeper._held, keeper._sources
        self.told, self.texts = keeper._told, keeper._taker_items
        keeper._batch = Batch()
        keeper._held, keeper._sources = deque(), []
        keeper._told, keeper._taker_items = [], []


class AwaitedKeeper(Keeper):
    """Keeps the chains of one stream in a journal that is awaited.

    Args:
        stream: whose chains.
        runner: that moves them.
        journal: where; it is open.
        header: as of `Keeper`.

    Raises:
        JournalError: the journal is not open, or another flow's.
    """

    is_awaited = True

    def __init__(
        self, stream: HTTPStream, runner: Runner, journal: PostgresJournal, header: str | None
    ) -> None:
        super().__init__(stream, runner, journal, header)
        self._store = journal
        self._stride = journal.shards
        # Ids are multiples of the number of shards and the shard's own.
        self._last_chain = self._last_chain or journal.shard
        self._writes: deque[Callable[[], Any]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None
        self._turn: _Turn | None = None
        #: Of a stream that is closed: batches that are committed yet.
        self._last_turns: list[_Turn] = []
        self._has_written = asyncio.Event()
        self._followed = FollowedKeys(self, runner)
        journal.on_retry = self._on_retry
        if journal.answers_at_once:
            runner.traffic.call_at_turn_end(self._on_transport_turn)
        self._checker: asyncio.Task[None] | None = None
        # A file's lock is gone with the process alone.
        if isinstance(journal, PostgresJournal):
            journal.on_lost = self._on_lost
            runner.guard(self._may_send)

    # -- keys -----------------------------------------------------------------------------------

    def _has_key(self, mark: bytes) -> bool:
        is_under_way = self._turn is not None and mark in self._turn.batch.keys
        return is_under_way or mark in self._followed

    def chain_of_key(self, key: str) -> Chain | None:
        """Return the chain that has a key, or one that ends as it does; None: no key is known.

        Args:
            key: of it.
        """
        self.resume()
        mark = mark_of(key)
        batches = (self._batch, *([] if self._turn is None else [self._turn.batch]))
        numbers = [batch.keys[mark] for batch in batches if mark in batch.keys]
        number = numbers[0] if numbers else self._followed.number_of(mark)
        if number is None:
            return None  # the commit says if another process has followed it
        return self._by_id.get(number) or self._followed.stand_in(mark)

    def chain_of_id(self, number: int) -> Chain | None:
        """Return a chain that is alive in this process.

        Args:
            number: of its row.
        """
        return self._by_id.get(number)

    def _adopted(self, chain: Chain, link: Next, record: Record) -> Next | None:
        if self._followed.is_claimed(record.id, chain):
            return None
        row = record.row
        if row is not None and row.key is not None:
            self._followed.remember({row.key: row.id})
        return super()._adopted(chain, link, record)

    def _drop_lost(self, marks: Mapping[int, bytes]) -> None:
        """Links were left out, since another process has followed their keys."""
        for one, mark in marks.items():
            chain = self._by_id.get(one)
            if chain is None:
                self._begun_early.add(one)  # a child that was not begun yet
                continue
            record = self._records[chain]
            self._leave(chain, record)
            # Who has asked for a chain awaits it; a link of a reader's is dropped, and no more.
            if record.step == 1 and chain.parent is None and chain is not self._begin.flow:
                self._followed.follow(chain, mark)
            else:
                self._runner.end_chain(chain, State.DONE)

    # -- the lock -------------------------------------------------------------------------------

    def _may_send(self, now: float) -> bool:
        """Return True if the lock is ours for sure, else ask for it.

        A process that was frozen, or cut off from the server alone, may have links that it has
        committed and not sent, and that another one has taken and sends.
        """
        if now - self._store.owned_at < _OURS:
            return True
        if self._checker is None and not self._is_closing:
            loop = asyncio_loop_of(self._runner.ioloop)
            self._checker = loop.create_task(self._check_lock())
        return False

    async def _check_lock(self) -> None:
        try:
            await self._store.check_lock()
        except JournalError as error:
            if not self._is_closing:
                self.fail(error)
        else:
            self._checker = None
            if not self._is_closing:
                self._runner.dispatch()

    def _on_lost(self) -> None:
        if not self._is_closing:
            self.fail(self._store.lost_error())

    # -- writing --------------------------------------------------------------------------------

    def _on_turn_end(self) -> None:
        taken = self._taken_turn()
        if taken is not None:
            self._write(lambda: self._write_turn(*taken))

    def _on_transport_turn(self) -> None:
        """As `_on_turn_end`, in a file: what that has taken at once goes out with this turn."""
        taken = None if self._writes else self._taken_turn()
        if taken is None:
            self._on_turn_end()
            return
        store: Any = self._store
        turn, keys = taken[0], dict(taken[0].batch.keys)
        try:
            lost = store.commit_at_once(turn.batch)
        except Exception as error:
            self.fail(self._as_journal_error(error))
            return
        if lost is None:  # other shards write, too
            self._write(lambda: self._write_turn(*taken))
        else:
            self._end_turn(turn, keys, set(lost))

    def _taken_turn(self) -> tuple[_Turn, int] | None:
        """Take the links gathered, and the number of the first result; None: they gather on."""
        if self._is_closing or not self._is_due or self._turn is not None:
            return None  # one is being written: the next gathers until then
        self._is_due = False
        self._reader_of = None
        try:
            self._fill(self._batch)
        except JournalError as error:
            self.fail(error)
            return None
        turn = self._turn = _Turn(self)
        self._runner.traffic.expect_more(True)
        first = self._last_item + 1
        self._last_item += len(turn.batch.results)
        return turn, first

    async def _write_turn(self, turn: _Turn, first: int) -> None:
        keys = dict(turn.batch.keys)
        self._end_turn(turn, keys, set(await self._store.commit(turn.batch, first)))

    def _end_turn(self, turn: _Turn, keys: dict[bytes, int], lost: set[int]) -> None:
        """Send and tell all that a committed turn has led to."""
        results = turn.batch.results
        self._turn = None
        if self._is_closing:
            self._tell_last(turn)
            return
        marks = {one: mark for mark, one in keys.items() if one in lost} if lost else {}
        self._followed.remember(keys | dict.fromkeys(marks.values(), 0))
        if results and self.takers:
            turn.texts += [text for *_, text in results]
        self._drop_lost(marks)
        try:
            self._release_turn(turn)
            if self._is_due:
                self._on_turn_end()
        finally:
            if self._turn is None:
                self._runner.traffic.expect_more(False)

    def _release_turn(self, turn: _Turn) -> None:
        """Send, time and tell what follows from a batch, and nothing of what has come since."""
        gathered = (self._held, self._sources, self._told, self._taker_items)
        self._held, self._sources = turn.held, turn.sources
        self._told, self._taker_items = turn.told, turn.texts
        try:
            super()._release()
        finally:
            # What hooks have added meanwhile comes behind what was gathered before.
            held, sources, told, texts = gathered
            self._held = held + self._held
            self._sources, self._told = sources + self._sources, told + self._told
            self._taker_items = texts + self._taker_items

    def _tell_last(self, turn: _Turn) -> None:
        """Tell who awaits chains that had ended when the stream was closed; nothing is sent."""
        if turn in self._last_turns:
            self._last_turns.remove(turn)
        for chain in turn.told:
            chain._wake_waiters()
        self._taker_items = turn.texts
        self._hand_out()

    def _release(self) -> None:
        # What a KeyboardInterrupt has left behind waits for the next commit.
        self._soon()

    def _commit(self, *, waits: bool = True) -> bool:
        return self.error is None  # each has its numbers when it is taken

    def _write(self, write: Callable[[], Any]) -> bool:
        if self.error is not None or self._is_closing:
            return False
        self._writes.append(write)
        if self._writer is None or self._writer.done():
            self._has_written.clear()
            loop = asyncio_loop_of(self._runner.ioloop)
            self._writer = loop.create_task(self._write_all())
        return True

    async def _write_all(self) -> None:
        try:
            while self._writes:
                await self._writes[0]()
                self._writes.popleft()
                self._has_written.set()
                self._has_written.clear()
        except Exception as error:
            problem = self._as_journal_error(error)
            if not self._is_closing:
                self.fail(problem)
            elif self.error is None:
                self.error = problem
        finally:
            self._has_written.set()

    @property
    def defers_idle(self) -> bool:
        """Something is to be committed before anybody is told that all have ended."""
        return (self._is_due or self._turn is not None) and not self._is_closing

    def flush(self) -> None:
        """Begin to commit what there is; `flushed` waits for it."""
        if self.error is not None or self._is_closing:
            return
        self._on_turn_end()
        if not self._is_due and self._turn is None and not self._runner.chains:
            self._finish()

    async def flushed(self) -> None:
        """Return when all that there is has been committed."""
        self.flush()
        while (self._is_due or self._writes) and not self._is_closing:
            self._on_turn_end()
            await self._has_written.wait()
            # The writer is about to take the next, or to end.
            await asyncio.sleep(0)

    async def settled(self) -> None:
        """Return when all that has been noted so far has been committed."""
        pending = [self._batch] if self._is_due else []
        pending += [] if self._turn is None else [self._turn.batch]
        while any(map(self._is_pending, pending)):
            self._on_turn_end()
            if self._is_closing:
                return
            await self._has_written.wait()
            await asyncio.sleep(0)

    def _is_pending(self, batch: Batch) -> bool:
        return batch is self._batch or (self._turn is not None and batch is self._turn.batch)

    @property
    def is_closing(self) -> bool:
        """Nothing is noted any more."""
        return self._is_closing

    @property
    def store(self) -> PostgresJournal:
        """The journal."""
        return self._store

    @property
    def session(self) -> Session:
        """The stream's own."""
        return self._stream._session

    def go_on(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call what gives more to be kept when there is room for that.

        Args:
            function: to call.
            arguments: with what.
        """
        if len(self._writes) < _AHEAD:
            self._runner.call_soon(function, *arguments)
        else:
            self._writes.append(lambda: self._called(function, *arguments))

    async def _called(self, function: Callable[..., object], *arguments: Any) -> None:
        self._runner.call_soon(function, *arguments)

    def fail(self, error: JournalError) -> None:
        """As `Keeper.fail`.

        Args:
            error: why.
        """
        if self._turn is not None:  # the one that could not be committed
            self._told += self._turn.told
        super().fail(error)

    def close(self) -> None:
        """As `Keeper.close`; what there is is committed by `release`."""
        super().close()
        if self.error is not None:
            return
        if self._turn is not None:
            self._last_turns.append(self._turn)
        if self._is_due:  # behind that one
            self._is_due = False
            with contextlib.suppress(JournalError):  # a state that cannot be kept
                self._fill(self._batch)
                turn, first = _Turn(self), self._last_item + 1
                self._last_turns.append(turn)
                self._writes.append(lambda: self._write_turn(turn, first))

    def release(self) -> None:
        """Commit what was read, and close the connection."""
        loop = asyncio_loop_of(self._runner.ioloop)
        if loop.is_closed() or self.error is not None:
            self._store.close()
        elif not loop.is_running():
            with contextlib.suppress(Exception):
                loop.run_until_complete(self._end_all())
        elif self._writes:
            self._closer = loop.create_task(self._end_all())
        else:
            self._closer = loop.create_task(self._store.closing())

    async def _end_all(self) -> None:
        writer = self._writer
        try:
            if writer is not None and not writer.done():
                await asyncio.wait([writer], timeout=_LAST)
            if writer is not None and not writer.done():
                self._store.close()
                writer.cancel()
                await asyncio.wait([writer])
        finally:
            self._tell_lost()
            await self._store.aclose()

    def _tell_lost(self) -> None:
        """Tell who awaits chains of which the end is not in the journal."""
        for turn in self._last_turns:
            for chain in turn.told:
                chain.state = State.CANCELLED
                chain.error = self.error or ClosedError("the stream was closed")
                chain._wake_waiters()
        self._last_turns.clear()

    async def released(self) -> None:
        """Return when others may have the journal, which was closed."""
        if self._closer is not None:
            await asyncio.wait([self._closer])

    # -- going on -------------------------------------------------------------------------------

    def _tell_of_the_last_run(self) -> None:
        store = self._store
        counts = store.counts()
        if not counts.steps:
            return
        if store.finished_at_start is not None:
            logger.info(
                "%s: complete, %d results, %d failed: another journal begins anew",
                *(store.path, counts.results, store.failed_count()),
            )
        else:
            logger.info("%s: goes on with %d chains", store.path, store.waiting_at_start)

    def _begin_waiting(self) -> None:
        if self._store.waiting_at_start:
            self._begin_each(self._store.waiting(self._resumes_below))

    def _begin_each(self, rows: AsyncIterator[ChainRow]) -> None:
        chain = self._runner.new_flow("resumed", self._stream._session)
        self._runner.branch(chain, Branches(self._links_of(rows)))

    async def _links_of(self, rows: AsyncIterator[ChainRow]) -> AsyncIterator[object]:
        try:
            async for row in rows:
                if not self.is_begun(row.id) and row.id not in self._spared:
                    yield self.rows.link_of(row)
        except JournalError as error:
            self.fail(error)

    def _on_retry(self) -> None:
        """Begin chains that had failed and are ready again."""
        if not self._is_closing:
            self._is_finished = False
            self._begin_each(self._arrivals())

    async def _arrivals(self) -> AsyncIterator[ChainRow]:
        while rows := await self._store.take_arrivals():
            for row in rows:
                if row.id not in self._by_id:
                    self._begun_early.discard(row.id)
                    self._followed.release(row.id)
                    yield row
                    self._begun_early.add(row.id)

    def retry(self, ids: Iterable[int]) -> int:
        """See `HTTPStream.retry_failed`.

        Args:
            ids: of chains.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(
            "with PostgreSQL: await stream.journal.retry(await stream.journal.ids_of([...]))"
        )

    # -- drafts and results ---------------------------------------------------------------------

    def _write_drafts(self, rows: list[ChainRow], links: list[Found]) -> None:
        self._write(lambda: self._store.add_drafts(rows, {}))

    def _feed(self, chain: Chain, below: Branches, links: Children) -> None:
        if not links.ids:
            super()._feed(chain, below, links)
        else:
            source = AwaitedChildren(self, self._store, links)
            below.source = source
            self._runner.branching.feed_later(chain, below, source)

    async def next_results(self, limit: int) -> list[tuple[int, Any]]:
        """Results that are in the database, with their numbers.

        Args:
            limit: so many at most.
        """
        found = await self._store.results(0, limit)
        return [(number, unpack_item(text)) for number, text in found]

    async def forget(self, upto: int) -> None:
        """Delete results that were handed on.

        Args:
            upto: number of the last.
        """
        await self._store.forget_results(upto)


class AwaitedChildren(AsyncIterator[Next]):
    """The links of a chain that has branched, which are in the database: those in memory first.

    Args:
        keeper: of them.
        store: has the others.
        links: all of them.
    """

    def __init__(self, keeper: AwaitedKeeper, store: PostgresJournal, links: Children) -> None:
        self._keeper, self._store, self._links = keeper, store, links
        self._rows: deque[ChainRow] = deque()

    async def __anext__(self) -> Next:
        links = self._links
        while True:
            while links.links:
                link = links.links.popleft()
                if not self._keeper.is_begun(id_of(link)):
                    return link
            if not self._rows and not links.ids:
                raise StopAsyncIteration
            if not self._rows:
                await self._read()
                continue
            row = self._rows.popleft()
            if not self._keeper.is_begun(row.id):
                return self._keeper.rows.link_of(row)

    async def _read(self) -> None:
        ids = self._links.ids
        wanted = [ids.popleft() for _ in range(min(len(ids), 500))]
        try:
            self._rows.extend(await self._store.rows(wanted))
        except JournalError as error:
            ids.extendleft(reversed(wanted))
            self._keeper.fail(error)
            raise

    async def aclose(self) -> None:
        """None of the others will be asked for: the chain above has ended."""
        self._links.ids.extendleft(row.id for row in self._rows)
        self._rows.clear()
        self._links.close()
