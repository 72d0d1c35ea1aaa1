"""Selection of what goes into a flow's journal, and when: the rule that makes it durable.

All that a reader's run leads to (results, the next link or links, the chain's end, cookies,
state, the position of `begin`) is one transaction, and nothing that follows from it is sent, timed,
told to who awaits the chain or exported before that has committed. All readers of one turn of the
loop share a transaction:

1. The runner hands in what readers lead to: `prepare` and `hold` take a link, `ended` an end,
   `takes_source` several links, `emit` a result. A batch gathers the *last* row of each chain. What
   a reader has emitted waits with its chain until the reader has returned; one that raises takes it
   back.
2. At the end of the turn, by `call_soon`, one commit.
3. What was held is sent or timed, and who waits is told.

So a request that was sent is in the journal, byte for byte, and at most the one in flight of each
chain is sent again after a crash. A commit that fails sends nothing: the stream is closed with the
`JournalError`.

Some facts that shape this:

- *`close`, Ctrl-C or a kill end chains as cancelled*, and those are to go on: their rows stay. So
  do those whose readers' tasks somebody else has cancelled. `Chain.cancel` alone deletes.

- *A chain that branches has no row any more*: those below it are chains of their own. All of a
  reader's links are in the journal before the first is sent, so that its generator is taken to its
  end first. Of more than `at_once` the rest are drafts in the file, which count only once the
  reader has returned, and are read from there as there is room.

- *`begin` alone is lazy and may have no end*: its position counts the links that were begun. The
  fan-out looks two ahead, so each link carries its number.

- *`fetch`, `open`, renewals and the branches of a `Gather` have no rows*: they are a part of the
  reader that awaits them, or of the link that leads to them, which is sent again as a whole.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..journal.codec import pack_item, unpack_item
from ..journal.errors import JournalError
from ..journal.records import Batch, ChainRow
from .chain import Branches, Chain, State
from .defaults import with_defaults
from .errors import DeadlineError
from .kept_begin import BeginLinks
from .kept_branches import BranchCollector, Children, Found
from .kept_readers import Readers, kind_of
from .kept_records import BegunMark, KeptMark, Record
from .kept_requests import IdempotencyKeys
from .kept_rows import Rows, failure_of, storable
from .kept_state import KeptState
from .keys import mark_of
from .links import Next
from .request import PLAIN, Request, plain_request
from .response import Response
from .session import Session
from .waiting import owning_chain, running_owner

if TYPE_CHECKING:
    from ..journal.sqlite import Journal
    from .runner import Runner
    from .stream import HTTPStream

__all__ = ["Keeper"]

logger = logging.getLogger("webqq_tornado.engine")

#: Seconds between two tries to write to a file that another program writes to.
_LOOK = 0.01
#: Seconds after which that is said.
_LONG = 1.0
#: In the place of a row of which only the URL is another one.
_LED = ChainRow(0, 0, None, None, "")
#: Methods of requests without a key of their own for each link.
_REPEATABLE = frozenset({"GET", "HEAD"})
#: Those of this process.
_living: weakref.WeakSet[Keeper] = weakref.WeakSet()


class Keeper:
    """Keeps the chains of one stream in a journal.

    Args:
        stream: whose chains.
        runner: that moves them.
        journal: where.
        header: of keys by which servers know a POST again; None: there are none.

    Attributes:
        journal: as given.
        error: why nothing can be kept any more.
        state: the flow's own values.
        rows: makes rows of links.
        at_once: links and results of one reader that wait in memory until it has returned.

    Raises:
        JournalError: the journal cannot be used.
    """

    at_once = 1000
    #: What commits and reads has to be awaited: see `kept_awaited`.
    is_awaited = False
    #: From one id to the next.
    _stride = 1

    def __init__(
        self, stream: HTTPStream, runner: Runner, journal: Any, header: str | None
    ) -> None:
        kind = type(stream)
        # First: nothing of the file is read before it is locked, and drafts of readers that a crash
        # has cut short are deleted by this.
        journal.own(kind_of(kind))
        self.journal: Journal = journal
        self.error: JournalError | None = None
        self._stream, self._runner = stream, runner
        self._send_now: Callable[[Chain], None] = runner.send_request
        self._keys = IdempotencyKeys(journal.uuid, header)
        self.rows = Rows(stream, Readers(stream, kind.renamed), self._keys)
        counts = journal.counts()
        self._last_chain: int = counts.last_chain
        self._last_item: int = counts.last_item
        # Rows with higher ids are of this run: `Children` give those that are not in memory.
        self._resumes_below = counts.last_chain
        self._begin = BeginLinks(
            self, counts.begun, is_all=counts.is_begun_all, asks_again=stream._begins_by_keys
        )
        self._collector = BranchCollector(self, runner)
        self.state = KeptState(counts.state)
        self._cookies = journal.cookies()
        self._records: dict[Chain, Record] = {}
        self._by_id: dict[int, Chain] = {}
        #: Begun out of turn: by their key, or again. Whoever comes to their row passes it over,
        #: also when they have ended by then.
        self._begun_early: set[int] = set()
        # Ids of chains that go on in the next run: in this one their rows are left alone.
        self._spared: set[int] = set()
        self._reading: Chain | None = None
        self._reader_of: Chain | None = None  # whose response was read last
        self._batch = Batch()
        #: Links that are sent, or timed, once they are in the file: of which step, in how long.
        self._held: deque[tuple[Chain, Record, int, float]] = deque()
        self._sources: list[tuple[Chain, Branches, Children]] = []
        self._told: list[Chain] = []
        self._jars: set[Session] = set()
        self._taker_items: list[Any] = []
        #: Another program writes to the file: since when, and the timer of the next try.
        self._locked_since: float | None = None
        self._lock_timer: object | None = None
        self._is_lock_told = False
        self._is_due = self._is_closing = self._is_resumed = self._is_finished = False
        _living.add(self)
        self.result_listeners: list[Callable[[], None]] = []
        self.takers: list[Callable[[Any], object]] = []
        if not self.is_awaited:
            # What a turn has led to goes out with it, and not with one more of its own.
            runner.traffic.call_at_turn_end(self._on_turn_end)

    # -- links ----------------------------------------------------------------------------------

    def prepare(self, chain: Chain, link: Next) -> tuple[Next | None, ChainRow | None]:
        """Look at a chain's next link before anything is done with it.

        Args:
            chain: whose.
            link: checked.

        Returns:
            The link as it is to be sent, None if it is to be dropped since its key was followed;
            and its row, None if it needs none (any more).

        Raises:
            LinkError: something of it cannot be kept.
        """
        key = link.key
        if type(key) is KeptMark:
            # No row: the file has it as it is, and nothing is to be committed before it is sent.
            return self._adopted(chain, link, key.record), None
        record = self._records.get(chain)
        if record is None:
            return self._prepare_first(chain, link, key)
        if key is not None and self.is_followed(key):
            return None, None
        # Short ways: an update of one or two columns is half the price of the whole row.
        if self._is_same_reader(record, link) and self._has_same_args(record, chain):
            request: Any = link.request
            if self._is_same_request(record, request):
                return link, record.row
            if request.compiled is PLAIN and self._is_plain(record):
                return link, _LED
        return self._prepared(record, chain, link)

    def _prepare_first(
        self, chain: Chain, link: Next, key: Any
    ) -> tuple[Next | None, ChainRow | None]:
        """The first link of a chain that has no row yet."""
        begun = key if type(key) is BegunMark else None
        # Of `fetch`, `open`, a renewal or a `Gather`: a part of the link that it is redone with.
        if begun is None and not self._is_of_begin(chain):
            return link._replace(key=None), None
        if begun is not None:
            link = link._replace(key=begun.key)
        is_dropped = link.key is not None and self.is_followed(link.key)
        record = Record(0 if is_dropped else self._new_id())
        found = (None, None) if is_dropped else self._prepared(record, chain, link)
        # Behind `_prepared`, which may refuse the link: that one is not begun, and given again. One
        # that is dropped counts as begun: `begin` may end with it.
        if begun is not None:
            self._begin.note_begun(begun)
        if not is_dropped:
            self._enter(chain, record)
        return found

    @staticmethod
    def _is_same_reader(record: Record, link: Next) -> bool:
        """Return whether only step and request are others: most links are so."""
        row = record.row
        return (
            row is not None
            and link.readback == record.readback
            # Errback and session, then priority, data and key: None leaves what the row has. Not
            # the name: a chain keeps that of its first link.
            and link[3:5] == (None, None)
            and link[6:] == (None, None, None)
            # A time, tries and data of the row are to be cleared, which its step alone does not.
            and not link.delay
            and not record.is_timed
            and row.data is None
        )

    def _has_same_args(self, record: Record, chain: Chain) -> bool:
        """Return False if arguments that a `functools.partial` gives have changed inside."""
        row = record.row
        if row is None or (row.args is None and row.errback_args is None):
            return True
        has_same = self.rows.has_same_args
        is_same = has_same(record.readback, row.args)
        return is_same and has_same(chain._errback, row.errback_args)

    @staticmethod
    def _is_plain(record: Record) -> bool:
        """The row has a URL, and nothing else is said of the request."""
        row = record.row
        return row is not None and row.request is None and row.body is None

    def _prepared(self, record: Record, chain: Chain, link: Next) -> tuple[Next, ChainRow]:
        plain = self.rows.plain(link.request)
        row = self.rows.row(record, chain, link, plain)
        record.readback = link.readback
        # Of the next step: `hold` counts it, when nothing can refuse the link any more.
        sent = self._keys.added(plain, record.id, record.step + 1)
        return (link if sent is link.request else link._replace(request=sent)), row

    def check(self, chain_session: Session, link: Next) -> None:
        """Refuse a link that cannot be kept, before there is a chain for it.

        Args:
            chain_session: of the chain that is to be.
            link: checked.

        Raises:
            LinkError: something of it cannot be kept.
        """
        probe = Chain(0, None, chain_session, self._runner)
        self.rows.row(Record(0), probe, link, self.rows.plain(link.request))

    @staticmethod
    def _is_same_request(record: Record, request: Any) -> bool:
        # A POST is another request at each step: it has a key of its own.
        if request is record.request:
            return request is not None and request.method in _REPEATABLE
        is_plain = request.compiled is PLAIN and Keeper._is_plain(record)
        return is_plain and request.url == record.url

    def _adopted(self, chain: Chain, link: Next, record: Record) -> Next | None:
        """The link of a row that is in the file."""
        row = record.row
        assert row is not None  # noqa: S101 - it was made of one
        self._enter(chain, record)
        chain._name = row.name or f"chain-{row.id}"
        # `start_link` counts this one again.
        chain.steps = record.step - 1
        record.readback = link.readback
        # A chain of this run above it has the same deadline, and a timer for it; a flow has none.
        if row.deadline is not None and (chain.parent is None or chain.parent._number == 0):
            self._runner.set_deadline(chain, max(0.0, row.deadline - time.time()))
        if row.tries:
            self._runner.use_policies().restore(chain, record.step, row.tries)
        # The key that the server may know from before the crash: of the same chain and step.
        sent = self._keys.added(link.request, record.id, record.step)  # type: ignore[arg-type]
        return link._replace(request=sent, key=None)

    def _enter(self, chain: Chain, record: Record) -> None:
        self._records[chain] = record
        self._by_id[record.id] = chain
        if chain._name is None:
            chain._name = f"chain-{record.id}"

    def _new_id(self) -> int:
        self._last_chain += self._stride
        return self._last_chain

    def goes_on(self, chain: Chain, request: object, readback: object) -> bool:
        """Note the same request once more or another URL for the same reader: most links are so.

        What `start_link` and `hold` come to then, by a third of their calls.

        Args:
            chain: whose.
            request: of the next link, as the reader gave it.
            readback: its reader.

        Returns:
            False: it is another one, and nothing was noted.
        """
        record = self._records.get(chain)
        if record is None or readback != record.readback or record.is_timed:
            return False
        row: Any = record.row
        has_args = row.args is not None or row.errback_args is not None
        if row.data is not None or (has_args and not self._has_same_args(record, chain)):
            return False
        if type(request) is str:
            plain = plain_request(request) if row.request is None and row.body is None else None
            return plain is not None and self._leads_on(chain, record, plain)
        before = record.request
        if request is not before or before is None or before.method not in _REPEATABLE:
            return False
        self._moves_on(chain, record)
        return True

    def _moves_on(self, chain: Chain, record: Record) -> None:
        """Go on with the same request."""
        if chain._transfer is not None:
            self._runner.drop_transfer(chain)
        chain.steps += 1
        chain._is_failing = False
        # The file has what is to be sent, and nothing else has changed: no commit to wait for.
        if self._is_written(chain, record):
            record.step += 1
            self._runner.send_request(chain)
        else:
            self.hold(chain, record.row, 0)  # type: ignore[arg-type]

    def _leads_on(self, chain: Chain, record: Record, request: Request) -> bool:
        """Go on with another URL; False if that is to be noted in another way."""
        if chain._transfer is not None:
            self._runner.drop_transfer(chain)
        defaults = chain.session.defaults
        chain._request = request if defaults is None else with_defaults(request, defaults)
        chain.steps += 1
        chain._is_failing = False
        self._count_step(chain, record)
        self._lead(record, request.url)
        chain.state = State.QUEUED
        self._held.append((chain, record, record.step, 0))
        if not self._is_due:
            self._soon()
        return True

    def _is_written(self, chain: Chain, record: Record) -> bool:
        """Return whether the row in the file says it all: the same link, and nothing beside it.

        Its step is behind then, which tells links of one chain apart only where they led to more.
        """
        # State of any kind counts: what changes inside a value is noted nowhere. (Of what was just
        # emptied the log tells.)
        has_state = self.state or self.state.log
        if record.results or record.spilled or record.keys or has_state or self._jars:
            return False
        one, batch = record.id, self._batch
        if one in batch.new or one in batch.changed or one in batch.led:
            return False
        return not chain.session.cookiejar.is_changed

    def hold(self, chain: Chain, row: ChainRow, delay: float) -> None:
        """Note the chain's next link, which is sent or timed when that has committed.

        Args:
            chain: whose.
            row: of `prepare`.
            delay: seconds.
        """
        record = self._records[chain]
        self._count_step(chain, record)
        if row is record.row:
            self._move(record, None, None, 0)
        elif row is _LED:
            request = chain._request
            # Without what the session adds: that may be secret, or another one in the next run.
            given = request if request.defaulted is None else request.defaulted[2]
            self._lead(record, given.url)
        else:
            self._change(record, row._replace(step=record.step))
            if row.key is not None and row.key not in self._batch.keys:
                self._batch.keys[row.key] = record.id
        # In no queue of the scheduler's yet: that is asked for a place when the link may be sent.
        chain.state = State.QUEUED
        self._held.append((chain, record, record.step, delay))
        if not self._is_due:
            self._soon()

    def _count_step(self, chain: Chain, record: Record) -> None:
        """The chain has its next link: what its reader has emitted is final."""
        # Before the step is counted: results belong to the link that was read.
        if record.results or record.drafts or record.spilled or record.keys:
            self._settle_results(record)
        if self._jars or chain.session.cookiejar.is_changed:
            self._note_jar(chain.session)
        record.step += 1
        # With what the session adds, as its response will have it: `goes_on` compares by identity.
        record.request = chain._request
        self._batch.steps += 1

    def _change(self, record: Record, row: ChainRow) -> None:
        # A row that is not in the file yet is inserted once, in its last form.
        is_new = record.row is None or record.id in self._batch.new
        (self._batch.new if is_new else self._batch.changed)[record.id] = row
        # A chain is in one of these alone: of several statements for it their order would decide.
        self._batch.moved.pop(record.id, None)
        self._batch.led.pop(record.id, None)
        record.row, record.url = row, row.url
        record.is_timed = row.due is not None

    def _lead(self, record: Record, url: str) -> None:
        """Note a row of which only step and URL are others."""
        batch, one = self._batch, record.id
        record.url = url
        if one in batch.new or one in batch.changed:
            rows = batch.new if one in batch.new else batch.changed
            rows[one] = rows[one]._replace(step=record.step, url=url)
            return
        batch.led[one] = (record.step, url)
        if not batch.moved:
            return
        if self._is_cleared(one):  # a time that is to go, which this alone would leave
            batch.moved[one] = (record.step, None, None, -1)
        else:
            batch.moved.pop(one, None)

    def _is_cleared(self, one: int) -> bool:
        """Return True if the batch writes over the time that a row has in the file."""
        moved = self._batch.moved.get(one)
        return moved is not None and moved[3] < 0

    def _move(self, record: Record, due: float | None, delay: float | None, tries: int) -> None:
        """Note a row of which only step and time are others."""
        batch, one, step = self._batch, record.id, record.step
        for rows in (batch.new, batch.changed):
            if one in rows:
                rows[one] = rows[one]._replace(step=step, due=due, delay=delay, tries=tries)
                break
        else:
            if one in batch.led:
                batch.led[one] = (step, batch.led[one][1])
            # -1 tries are none, and have the file's time written over; 0 writes the step alone.
            clears = due is None and not tries and (record.is_timed or self._is_cleared(one))
            batch.moved[one] = (step, due, delay, -1 if clears else tries)
        record.is_timed = due is not None or tries > 0

    def retry_later(self, chain: Chain, delay: float, tries: int) -> bool:
        """Note that the chain's link is sent again later; False if the chain is not kept.

        Args:
            chain: whose.
            delay: seconds.
            tries: that failed.
        """
        record = self._records.get(chain)
        if record is None:
            return False
        self._runner.drop_transfer(chain)
        self._move(record, time.time() + delay, delay, tries)
        # The step stays: it is the same link, and a POST is sent with the same key.
        chain.state = State.QUEUED
        self._held.append((chain, record, record.step, delay))
        self._soon()
        return True

    def new_chain(self, chain: Chain, deadline: float | None) -> None:
        """A chain of `add_request` is to be kept.

        Args:
            chain: with no link yet.
            deadline: seconds that it has, None: no limit.
        """
        # Nothing is due by this alone: its first link follows in the same call.
        record = Record(self._new_id())
        self._enter(chain, record)
        if deadline is not None:
            # The first link's row takes it over.
            record.row = ChainRow(
                record.id, 0, storable(chain._name), None, "", deadline=time.time() + deadline
            )
            self._batch.new[record.id] = record.row

    # -- keys -----------------------------------------------------------------------------------

    def is_followed(self, key: str) -> bool:
        """Return whether a link with this key was followed.

        Args:
            key: of a link.
        """
        # Not those of a reader that has not returned: it may raise yet, and take them back.
        mark = mark_of(key)
        return mark in self._batch.keys or self._has_key(mark)

    def _has_key(self, mark: bytes) -> bool:
        """Return whether a key was followed by what is in the file."""
        return self.journal.chain_of_key(mark) is not None

    def add_key(self, key: str) -> None:
        """Note a key that no link of ours has: followed once the reader that runs has returned.

        Args:
            key: of it.
        """
        record = self._running_record()
        if record is None:
            # 0: followed, and by no chain.
            self._batch.keys.setdefault(mark_of(key), 0)
            self._soon()
        else:
            record.keys = [*(record.keys or ()), mark_of(key)]

    def chain_of_key(self, key: str) -> Chain | None:
        """Return the chain that has a key, alive or ended; None if none has.

        Args:
            key: of it.
        """
        # First: it looks up all readers, and says which are gone, before a row is made a link here.
        self.resume()
        mark = mark_of(key)
        number = self._batch.keys.get(mark) or self.journal.chain_of_key(mark)
        if number is None:
            return None
        return self._by_id.get(number) or self._from_file(number) or self._ended(number)

    def _from_file(self, number: int) -> Chain | None:
        """Begin a chain that waits in the file for room: somebody asks for it."""
        for row in self.journal.rows([number]):
            self._begun_early.add(number)
            chain = self._runner.new_chain(None, self._stream._session)
            self._runner.start_link(chain, self.rows.link_of(row))
            return chain
        return None

    def _ended(self, number: int) -> Chain:
        failure = self.journal.failure_of(number)
        chain = Chain(number, None, self._stream._session, self._runner)
        chain.state = State.DONE if failure is None else State.FAILED
        if failure is not None:
            chain.error = JournalError(f"chain-{number} has failed before: {failure}")
        return chain

    # -- readers --------------------------------------------------------------------------------

    def read(self, chain: Chain, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a reader of the chain's: what it emits belongs to that.

        Args:
            chain: whose.
            function: to call.
            arguments: with what.
        """
        # Calls nest: `begin` is called by what numbers its links, which is called in its name, too.
        before, self._reading = self._reading, chain
        log = self.state.log
        # Not within another call, which has its mark in the log.
        if before is None and log:
            log.clear()
        mark = len(log)
        try:
            return function(*arguments)
        # The end of a source is no failure: what it has set stands.
        except StopIteration:
            raise
        except BaseException:
            self.state.undo(mark)
            raise
        finally:
            self._reading = before

    def reader(self, chain: Chain, response: Response) -> Callable[[Response], Any] | None:
        """Return what calls the chain's reader with a response, which may have set cookies.

        Args:
            chain: whose.
            response: for it.
        """
        self.note_cookies(chain, response)
        log = self.state.log
        if log:
            log.clear()
        # No function around the reader, one more call for each link: `_running` knows by the
        # chain's state whether it runs.
        self._reader_of = chain
        return chain._readback  # type: ignore[no-any-return]

    def leave_reader(self, chain: Chain) -> None:
        """The chain's plain reader has returned, what goes on in a task or gives several links.

        Args:
            chain: whose.
        """
        # Others run beside it: what they change of the state is not taken back with it.
        if self._reader_of is chain:
            self._reader_of = None

    def take_back(self, chain: Chain) -> None:
        """The chain's reader has failed: forget what it has emitted.

        Args:
            chain: whose.
        """
        if self._reader_of is chain:
            self._reader_of = None
            self.state.undo(0)
        record = self._records.get(chain)
        if record is None:
            return
        self._drop_results(record)

    def _drop_results(self, record: Record) -> None:
        """Forget what the chain's reader has led to: it has not returned, and will not."""
        record.results = record.keys = None
        record.is_gathering = False
        if record.drafts or record.spilled:
            record.drafts, record.spilled = [], 0
            # Now, and not with the batch: an errback may give drafts of the same chain.
            self._write(lambda: self.journal.drop_drafts(record.id))

    def after_message(self, chain: Chain) -> None:
        """The reader of a WebSocket's message has returned, and the link goes on.

        Args:
            chain: whose.
        """
        record = self._records.get(chain)
        if record is None or not self._has_led_to_any(chain, record):
            return
        self._settle_results(record)
        # A message is a step: chain, step and number are not the same for two results.
        record.step += 1
        self._move(record, None, None, 0)
        self._soon()

    def _has_led_to_any(self, chain: Chain, record: Record) -> bool:
        """Return True if a reader that has sent nothing has something to be committed."""
        if record.results or record.spilled or record.keys:
            return True
        self._note_jar(chain.session)
        return bool(self._jars) or self.state.has_changed()

    def emit(self, item: object) -> None:
        """Keep a result, with what else the reader leads to.

        Args:
            item: any JSON value.

        Raises:
            TypeError: something in it is of another type.
        """
        # First: what cannot be kept is an error of the reader's, at the line that emits it.
        text = pack_item(item)
        record = self._running_record()
        if record is not None:
            if record.results is None:
                record.results = []
            record.results.append(text)
            if len(record.results) >= self.at_once:
                self._spill_results(record)
        elif self._begin.flow is not None and self._running() is self._begin.flow:
            # They go with the next link of `begin`, and are left out with one that is skipped.
            self._begin.results.append(text)
        elif not _is_timed_out(running_owner()):
            # No reader's: -1 has it numbered by its place in the file.
            self._batch.results.append((0, 0, -1, text))
            self._soon()

    def _running(self) -> Chain | None:
        """The chain in whose name the current code runs."""
        chain = self._reader_of
        # A plain reader runs while its chain is READING and has no task; an `async def` one is
        # known by its task, below.
        if chain is not None and (chain.state is not State.READING or chain._task is not None):
            chain = None  # its reader has returned
        return self._reading or chain or owning_chain()

    def _is_reader_running(self) -> bool:
        """Return True if the current code runs in a plain reader, whose changes are in the log."""
        chain = self._reader_of
        is_called = chain is not None and chain.state is State.READING and chain._task is None
        return self._reading is not None or is_called

    def _running_record(self) -> Record | None:
        """The chain with a row in whose name the current code runs."""
        chain = self._running()
        # A branch of a `Gather` has no row: its results are those of the chain that gathers.
        while chain is not None and chain not in self._records:
            chain = chain.parent
        return None if chain is None else self._records[chain]

    def _settle_results(self, record: Record) -> None:
        """A reader has returned: what it has emitted is final."""
        if record.drafts or record.spilled:
            self._batch.settled.append(record.id)
            self._batch.spilled += record.spilled
        texts = record.results or ()
        self._batch.results += [
            (record.id, record.step, number, text)
            for number, text in enumerate(texts, record.spilled)
        ]
        for key in record.keys or ():
            # One that is there already would have the whole batch refused.
            if not self._has_key(key):
                self._batch.keys.setdefault(key, record.id)
        record.results, record.spilled, record.drafts, record.keys = None, 0, [], None

    def _spill_results(self, record: Record) -> None:
        """Put results of a reader that emits very many into the file, as drafts."""
        texts, record.results = record.results or [], []
        rows = [
            (record.id, record.step, number, text)
            for number, text in enumerate(texts, record.spilled)
        ]
        record.spilled += len(rows)
        first, self._last_item = self._last_item + 1, self._last_item + len(rows)
        self._write(lambda: self.journal.add_draft_results(rows, first))

    def results(self, limit: int) -> list[tuple[int, Any]]:
        """Results that are in the file, with their numbers.

        Args:
            limit: so many at most.
        """
        return [(number, unpack_item(text)) for number, text in self.journal.results(0, limit)]

    def forget_results(self, upto: int) -> None:
        """Delete results that were handed on.

        Args:
            upto: number of the last.
        """
        self._write(lambda: self.journal.forget_results(upto))

    # -- several links --------------------------------------------------------------------------

    def takes_source(self, chain: Chain, below: Branches) -> bool:
        """Take the links of a reader to their end first; False: they are taken as there is room.

        Args:
            chain: whose reader it was.
            below: the source, and what is known of it.
        """
        if chain is self._begin.flow and chain not in self._records:
            below.count = self._begin.position  # names go on where they were
        self.leave_reader(chain)
        record = self._records.get(chain)
        if record is not None:
            # A reader has returned, whose results wait with the link that is redone as a whole.
            record.is_gathering = below.gather is not None
        return self._collector.take(chain, below)

    def record_of(self, chain: Chain) -> Record | None:
        """Return what the journal knows of a chain, None if that has no row.

        Args:
            chain: any.
        """
        return self._records.get(chain)

    def branch(self, chain: Chain, below: Branches, record: Record, links: list[Found]) -> None:
        """Note all of a reader's links: from now on they are chains of their own.

        Args:
            chain: whose reader has given them.
            below: of it.
            record: of it.
            links: all that are in memory.
        """
        if record.drafts and links:  # so that of two with one key the first is followed
            self.spill_links(record, links)
        drafts = record.drafts
        self._settle_results(record)
        self._note_jar(chain.session)
        # Ids in the order of the links, by which rows are read, and so begun, in the next run.
        children = [child for link, row in links if (child := self._child(link, row)) is not None]
        self._leave(chain, record)
        self._batch.ended[record.id] = None
        self._batch.done += 1
        # A row that was to be inserted by this batch need not be deleted by it.
        self._forget_rows(record)
        # Empty, and not None: without a source, and with none alive below it, the chain would be
        # over before the commit.
        below.source = iter(())
        chain.state = State.WAITING
        self._sources.append((chain, below, Children(self, children, drafts)))
        self._soon()

    def spill_links(self, record: Record, links: list[Found]) -> None:
        """Put links of a reader that gives very many into the file, as drafts.

        Args:
            record: of the reader's chain.
            links: is empty then.
        """
        first = self._last_chain + self._stride
        rows = [one._replace(id=self._new_id(), step=1, draft=record.id) for _, one in links]
        record.drafts.append(range(first, self._last_chain + 1, self._stride))
        self._write_drafts(rows, links)
        links.clear()

    def _write_drafts(self, rows: list[ChainRow], links: list[Found]) -> None:
        self._write(lambda: self.journal.add_drafts(rows))

    def _child(self, link: Next, row: ChainRow) -> Next | None:
        batch = self._batch
        if row.key is not None:
            if row.key in batch.keys or self._has_key(row.key):
                return None
            # The id that it gets next.
            batch.keys[row.key] = self._last_chain + self._stride
        row = row._replace(id=self._new_id(), step=1)
        batch.new[row.id] = row
        batch.steps += 1
        return link._replace(name=row.name, key=KeptMark.of(Record(row.id, 1, row)))

    def merge(self, branch: Chain, parent: Chain) -> None:
        """A chain goes on as the one above it.

        Args:
            branch: which.
            parent: as which.
        """
        record = self._records.pop(branch, None)
        if record is not None:
            self._records[parent] = record
            self._by_id[record.id] = parent

    def rows_of(self, drafts: Iterable[range]) -> Iterator[Next]:
        """Links of chains that are in the file, and not in memory.

        Args:
            drafts: ids of them.
        """
        for row in self._read_rows(self.journal.rows(itertools.chain.from_iterable(drafts))):
            # Else somebody has asked for it by its key, and it was begun then.
            if not self.is_begun(row.id):
                yield self.rows.link_of(row)

    def is_begun(self, number: int) -> bool:
        """Return True if a chain is alive, or was begun before its turn and may have ended.

        Args:
            number: of its row.
        """
        return number in self._by_id or number in self._begun_early

    def cancel_rows(self, ids: Iterable[int]) -> None:
        """Chains that wait in the file for room are cancelled with the one above them.

        Args:
            ids: of them.
        """
        if self._is_closing:
            return
        for one in ids:
            # Those that were begun are ended with the chain above, and noted as any other.
            if not self.is_begun(one):
                self._batch.ended[one] = None
                self._batch.cancelled += 1
                self._soon()

    # -- begin ----------------------------------------------------------------------------------

    def begin(self, flow: Chain, begin: Callable[[], Any]) -> Callable[[], Any]:
        """Return what gives the links of `begin` that were not begun yet, with their numbers.

        Args:
            flow: the chain that holds those together.
            begin: of the flow.
        """
        return self._begin.of(flow, begin)

    def _is_of_begin(self, chain: Chain) -> bool:
        flow = self._begin.flow
        if flow is None or flow in self._records:  # it is the one link of `begin` itself
            return False
        return chain is flow or chain.parent is flow

    def note_position(self, number: int | None, results: Sequence[str]) -> None:
        """Note how far `begin` is, with what it has emitted on the way.

        Args:
            number: links that were begun; None: all of them.
            results: texts.
        """
        self._batch.results += [(0, 0, -1, text) for text in results]
        if number is None:
            self._batch.is_begun_all = True
        else:
            self._batch.begun = number
        self._soon()

    # -- ends -----------------------------------------------------------------------------------

    def ended(self, chain: Chain) -> bool:
        """Note the end of a chain.

        Args:
            chain: which.

        Returns:
            Who awaits it is told by us, when that has committed.
        """
        record = self._records.get(chain)
        if record is not None:
            self._leave(chain, record)
            if not self._is_closing:
                self._note_end(chain, record)
        # Whoever is told may look into the file, and is to find what has led to this end.
        if self._is_due and not self._is_closing:
            self._told.append(chain)
            return True
        return False

    def _note_end(self, chain: Chain, record: Record) -> None:
        batch = self._batch
        if chain.state is State.FAILED and chain.error is not None:
            # Without a row there is nothing that could be tried again.
            if record.row is not None:
                batch.failed[record.id] = failure_of(chain.error)
            self._drop_results(record)
        else:
            if chain.state is State.CANCELLED and not self._has_returned(chain, record):
                self._drop_results(record)
            self._settle_results(record)
            self._forget_rows(record)
            batch.ended[record.id] = None
            batch.done += chain.state is State.DONE
            batch.cancelled += chain.state is State.CANCELLED
        self._note_jar(chain.session)
        self._soon()

    def _has_returned(self, chain: Chain, record: Record) -> bool:
        """Return True if what the reader of a cancelled chain has emitted stands."""
        if record.drafts:  # links, which a chain that is cancelled takes along
            return False
        # One that has cancelled its own chain runs on to its return.
        is_own = chain in (self._reader_of, self._reading, running_owner())
        return record.is_gathering or is_own

    def _leave(self, chain: Chain, record: Record) -> None:
        del self._records[chain]
        self._by_id.pop(record.id, None)

    def _forget_rows(self, record: Record) -> None:
        self._batch.moved.pop(record.id, None)
        self._batch.led.pop(record.id, None)
        self._batch.changed.pop(record.id, None)
        if self._batch.new.pop(record.id, None) is not None:
            self._batch.ended.pop(record.id, None)

    def spare(self, chain: Chain) -> None:
        """The chain ends here, and is to go on in the next run: its row stays.

        Args:
            chain: which.
        """
        record = self._records.get(chain)
        if record is not None:
            self._leave(chain, record)
            self._spared.add(record.id)

    @property
    def defers_idle(self) -> bool:
        """Something is to be committed before anybody is told that all have ended."""
        return self._is_due and not self._is_closing

    # -- commits --------------------------------------------------------------------------------

    def _soon(self) -> None:
        if not self._is_due and not self._is_closing:
            self._is_due = True
            self._runner.call_soon(self._on_turn_end)

    def _on_turn_end(self) -> None:
        # `flush` may have been here before.
        if self._is_closing or not self._is_due or self._lock_timer is not None:
            return
        # Before `_release`: hooks in there may note more, and a commit is due again then.
        self._is_due = False
        # The readers of this turn have returned: what they have set stands, whatever comes of the
        # links that they led to.
        self._reader_of = None
        if self._commit(waits=False):
            self._release()
            if self._locked_since is not None:
                self._end_lock()
        elif self._locked_since is not None:
            self._is_due = True  # there is still something to be committed

    def flush(self) -> None:
        """Commit what there is now; what is held is sent at the end of the turn, if at all."""
        if self.error is not None or self._is_closing:
            return
        if self._is_due or self._jars:
            if not self._commit():
                return
            # `_on_turn_end` is on its way, and does nothing unless there is something for it.
            self._is_due = bool(self._held or self._sources)
            self._tell()
        elif not self._runner.chains:
            self._finish()

    def _commit(self, *, waits: bool = True) -> bool:
        # A batch that cannot be written is lost as a whole: the next run reads its links again.
        batch, self._batch = self._batch, Batch()
        before = self._last_item
        if not self._write(lambda: self._write_batch(batch, waits=waits)):
            return False
        if self._batch is batch:  # it gathers on: another program writes
            return False
        if batch.spilled and self.takers:  # they are in the file alone
            self._taker_items += [text for _, text in self.journal.results(before, batch.spilled)]
        if batch.results and self.takers:
            # Handed on by `_tell`: a reader may be running.
            self._taker_items += [text for *_, text in batch.results]
        return True

    def _write_batch(self, batch: Batch, *, waits: bool) -> None:
        self._fill(batch)
        first = self._last_item + 1
        commit = self.journal.commit if waits else self.journal.commit_if_free
        last = commit(batch, first)
        if last is None:
            self._batch = batch
            self._try_again()
        else:
            self._last_item = last

    def _try_again(self) -> None:
        """Another program writes to the file: the loop goes on, and the chains when it has ended.

        A program that writes for long may be a copy that is made, or somebody's open transaction.
        """
        now, since = self._runner.time(), self._locked_since
        if since is None:
            self._locked_since = now
            self._runner.stall(True)
        elif since <= now - _LONG and not self._is_lock_told:
            self._is_lock_told = True
            logger.warning(
                "%s: another program writes to it, and the flow waits for that: end it if it "
                "should not",
                self.journal.path,
            )
        self._lock_timer = self._runner.call_later(_LOOK, self._on_lock_timer)

    def _on_lock_timer(self) -> None:
        self._lock_timer = None
        if self._is_due:
            self._on_turn_end()
        elif not self._is_closing:  # `flush` has waited for it
            self._end_lock()

    def _end_lock(self) -> None:
        # Behind `_release`: what sources give now is not in the file yet.
        self._locked_since = None
        self._is_lock_told = False
        self._runner.stall(False)

    def _fill(self, batch: Batch) -> None:
        batch.last_chain = self._last_chain
        for session in self._jars:
            # A jar that is closed gives no lines, it raises.
            if not session.is_closed:
                session.cookiejar.is_changed = False
                # All of them: libcurl does not say which have changed.
                batch.sessions[session.name] = b"\n".join(session.cookiejar._lines())
        self._jars.clear()
        # Of a reader that has not returned, and closes the stream or retries others, nothing.
        text = self.state.changed_text(0 if self._is_reader_running() else None)
        if text is not None:  # else one that could not be written yet stands
            batch.state = text

    def _write(self, write: Callable[[], None]) -> bool:
        try:
            write()
        # Whatever it is: what was to follow must not be sent.
        except Exception as error:
            self.fail(self._as_journal_error(error))
            return False
        return True

    def _as_journal_error(self, error: Exception) -> JournalError:
        if isinstance(error, JournalError):
            return error
        problem = f"{self.journal.path}: {type(error).__name__}: {error}"
        return JournalError(f"{problem}; the flow stops, and goes on by the same command")

    def fail(self, error: JournalError) -> None:
        """Nothing can be kept any more: the stream is closed.

        Args:
            error: why.
        """
        if self.error is None:
            self.error = error
            logger.error("%s", error)
        # Before the stream is closed: neither ends that come of it are noted, nor what users' code
        # does in them.
        self._is_closing = True
        for chain in self._told:  # it has ended, and not in the file
            chain.state, chain.error = State.CANCELLED, self.error
            chain._wake_waiters()
        self._told.clear()
        self._stream.close()
        # The last chain may have ended in this turn, and nobody was told (`defers_idle`).
        self._runner.tell_idle()

    def _release(self) -> None:
        """Send, time and tell all that follows from the batch."""
        # What hooks add while these are sent waits for the commit of its own.
        held, sources = self._held, deque(self._sources)
        self._held, self._sources = deque(), []
        try:
            records, queued, send = self._records.get, State.QUEUED, self._send_now
            while held:
                chain, record, step, delay = held.popleft()
                # Hooks of a link that was sent before it may have ended it, or given it another.
                if chain.state is queued and records(chain) is record and record.step == step:
                    if delay:
                        self._send(chain, delay)
                    else:
                        send(chain)
            while sources:
                self._feed_source(*sources.popleft())
        finally:
            # KeyboardInterrupt out of a hook: the others have their turn, should the loop go on.
            if held or sources:
                self._held.extendleft(reversed(held))
                self._sources = [*sources, *self._sources]
                self._runner.call_soon(self._release)
        self._tell()

    def _feed_source(self, chain: Chain, below: Branches, links: Children) -> None:
        if chain._branches is below:
            self._feed(chain, below, links)
        else:  # it has ended meanwhile
            links.close()

    def _feed(self, chain: Chain, below: Branches, links: Children) -> None:
        below.source = links
        self._runner.branching.feed(chain, below)

    def _send(self, chain: Chain, delay: float) -> None:
        if delay:
            self._runner.delay_request(chain, delay)
        else:
            self._runner.send_request(chain)

    def _tell(self) -> None:
        told, self._told = self._told, []
        for chain in told:
            chain._wake_waiters()
        self._hand_out()
        for listener in tuple(self.result_listeners):
            listener()
        # Asked last: listeners may have begun chains.
        if not self._runner.chains and not self._is_due:
            self._finish()
            self._runner.tell_idle()

    def _hand_out(self) -> None:
        texts, self._taker_items = self._taker_items, []
        for text in texts:
            item = unpack_item(text)
            for take in tuple(self.takers):
                try:
                    take(item)
                except Exception:
                    logger.exception("%r raised, of a result that is in the journal", take)

    def _finish(self) -> None:
        if (
            self.error is None
            and not self._is_finished
            # A `begin` that has failed half way has more links, and the flow is not complete.
            and (self._begin.is_all or not self._begin.flow)
        ):
            self._is_finished = self._write(self.journal.finish)

    # -- cookies --------------------------------------------------------------------------------

    def note_cookies(self, chain: Chain, response: Response) -> None:
        """Note the session's cookies if a response has set some, be it read or not.

        Args:
            chain: whose link it answers.
            response: a redirect, or what is sent again, too.
        """
        # libcurl puts cookies into the jar by itself, and leaves no mark there. One search for all
        # lines; only the name of a header has a line break before it. Not `in`, which tries whether
        # the name is a number first, at three times the time.
        if b"".join(response._header_lines).lower().find(b"\nset-cookie:") >= 0:
            self._jars.add(chain.session)

    def _note_jar(self, session: Session) -> None:
        if session.cookiejar.is_changed:
            self._jars.add(session)

    def restore_cookies(self, session: Session) -> None:
        """Give a session the cookies that it had.

        Args:
            session: that was just made.
        """
        lines = self._cookies.pop(session.name, b"")
        if lines:
            session.cookiejar._put(lines.split(b"\n"))
            session.cookiejar.is_changed = False

    def forget_session(self, session: Session) -> None:
        """The session was closed.

        Args:
            session: which.
        """
        # The end of the stream closes its sessions, too: their cookies are for the next run.
        if not self._is_closing:
            self._jars.discard(session)
            self._cookies.pop(session.name, None)
            # None: deleted, in one transaction with its chains.
            self._batch.sessions[session.name] = None
            self._soon()

    # -- going on -------------------------------------------------------------------------------

    def resume(self) -> None:
        """Go on with the chains that are in the file. May be called twice.

        Raises:
            JournalError: the code has changed so that some of them cannot go on.
        """
        if self.error is not None:
            raise self.error
        if self._is_resumed or self._is_closing:
            return
        # Each time, until they are there: a flow that was refused once is refused again.
        self.rows.check_readers(self.journal)
        self._is_resumed = True
        self._tell_of_the_last_run()
        self._begin_waiting()

    def _begin_waiting(self) -> None:
        """Begin the chains that are in the file, as there is room."""
        rows = self._read_rows(self.journal.waiting(self._resumes_below))
        # A chain without any would end at once, and tell that the flow is idle.
        first = next(rows, None)
        if first is not None:
            chain = self._runner.new_flow("resumed", self._stream._session)
            self._runner.branch(chain, Branches(self._waiting(first, rows)))

    def _waiting(self, first: ChainRow, rows: Iterable[ChainRow]) -> Iterator[object]:
        for row in itertools.chain((first,), rows):
            # Rows are read by the page: some of their chains may have been begun, or have ended so
            # as to go on in the next run, since then.
            if not self.is_begun(row.id) and row.id not in self._spared:
                yield self.rows.link_of(row)

    def _tell_of_the_last_run(self) -> None:
        """Log what there is to do: a flow that is complete does nothing, and is to say why."""
        found = self.journal.summary()
        if not found.steps:
            return
        path = self.journal.path
        if found.finished is not None:
            logger.info(
                "%s: complete, %d results, %d failed: another journal begins anew",
                *(path, found.results, found.failed),
            )
        else:
            logger.info("%s: goes on with %d chains", path, found.ready + found.delayed)

    def _read_rows(self, rows: Iterator[ChainRow]) -> Iterator[ChainRow]:
        """Rows as they are read; where that fails the flow stops, as no part of it may be left."""
        try:
            yield from rows
        except sqlite3.Error as error:
            self.fail(JournalError(f"{self.journal.path}: cannot be read ({error})"))

    def resume_if_open(self) -> None:
        """Go on, at a turn of the loop: nobody has launched the flow."""
        try:
            self.resume()
        except JournalError as error:
            self.fail(error)

    def retry(self, ids: Iterable[int]) -> int:
        """Make chains that have failed ready again, and begin them.

        Args:
            ids: of them.

        Returns:
            How many that were.
        """
        wanted = list(ids)
        # Chains that have failed in this turn are in the batch alone.
        self.flush()
        count = self.journal.retry(wanted)
        self._is_finished = False
        for row in list(self.journal.rows(wanted)):
            if row.id not in self._by_id:
                self._begun_early.add(row.id)
                chain = self._runner.new_chain(None, self._stream._session)
                self._runner.start_link(chain, self.rows.link_of(row))
        return count

    def go_on(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call what gives more to be kept at the next turn, or when there is room for that.

        Args:
            function: to call.
            arguments: with what.
        """
        self._runner.call_soon(function, *arguments)

    async def flushed(self) -> None:
        """`flush`, awaited."""
        self.flush()

    async def released(self) -> None:
        """Return when others may have the journal, which was closed."""

    def close(self) -> None:
        """Commit what there is, and end nothing in the file from now on."""
        # In this order: ends so far are noted, and those that come of closing are not.
        self.flush()
        self._is_closing = True

    def leave_to_parent(self) -> None:
        """In a forked child: note nothing, as the batch, and where it goes, are the parent's."""
        self._is_closing = True

    def release(self) -> None:
        """Close the file."""
        self.journal.close()


def _is_timed_out(chain: Chain | None) -> bool:
    """Return True if the chain of a reader is over its deadline: it may be tried again as a whole.

    What the reader emits as it is cancelled is a part of what it has not done.
    """
    return chain is not None and isinstance(chain.error, DeadlineError)


def _after_fork() -> None:
    for keeper in tuple(_living):
        keeper.leave_to_parent()
    _living.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
