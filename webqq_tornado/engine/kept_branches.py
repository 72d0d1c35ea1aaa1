"""Several links out of one reader: all of them are in the journal before the first is sent."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ..journal.records import ChainRow
from . import fanout
from .chain import Branches, Chain, State
from .kept_records import Record, id_of
from .links import Next

if TYPE_CHECKING:
    from .keeping import Keeper
    from .runner import Runner

__all__ = ["BranchCollector", "Children", "Found"]

#: A link of a reader that has not returned, and the row that it is to have.
Found = tuple[Next, ChainRow]


class Children:
    """The links of a chain that has branched, which are in the file: those in memory first.

    Args:
        keeper: reads the others.
        links: those in memory.
        drafts: ids of the others.

    Attributes:
        links: as given, less those that were asked for.
        ids: of the others, likewise.
    """

    def __init__(self, keeper: Keeper, links: list[Next], drafts: list[range]) -> None:
        self._keeper = keeper
        self.links = deque(links)
        # Rows are read when there is room for them; the ids are for `close`, which reads none.
        self.ids = deque(itertools.chain.from_iterable(drafts)) if drafts else deque()
        self._rows = keeper.rows_of(drafts) if drafts else iter(())

    def __iter__(self) -> Children:
        return self

    def __next__(self) -> Next:
        while self.links:
            link = self.links.popleft()
            if not self._keeper.is_begun(id_of(link)):  # by its key
                return link
        link = next(self._rows)
        # Rows come in this order; some are gone, as their key was followed.
        while self.ids and self.ids.popleft() != id_of(link):
            pass
        return link

    def close(self) -> None:
        """None of the others will be asked for: the chain above has ended."""
        # Those that were begun are gone from both: `end_chain` has ended them.
        waiting = [*map(id_of, self.links), *self.ids]
        self.links.clear()
        self.ids.clear()
        self._keeper.cancel_rows(waiting)


class BranchCollector:
    """Takes the sources of readers to their end, and makes chains of their links.

    Args:
        keeper: of the chains.
        runner: that moves them.
    """

    def __init__(self, keeper: Keeper, runner: Runner) -> None:
        self._keeper, self._runner = keeper, runner

    def take(self, chain: Chain, below: Branches) -> bool:
        """Take the links of a reader to their end first; False: they are taken as there is room.

        Args:
            chain: whose reader it was.
            below: the source, and what is known of it.
        """
        record = self._keeper.record_of(chain)
        # A `Gather` is redone as a whole; what has no row branches as it does without a journal.
        if record is None or below.gather is not None:
            return False
        links: list[Found] = []
        if isinstance(below.source, AsyncIterator):
            self._runner.start_task(chain, self._collect_async(chain, below, record, links))
        else:
            self._collect(chain, below, record, links)
        return True

    def _collect(
        self,
        chain: Chain,
        below: Branches,
        record: Record,
        links: list[Found],
    ) -> None:
        """Take some links; then other callbacks of the loop have their turn."""
        for _ in range(fanout.TAKEN_AT_ONCE):
            source = below.source
            # Others may have run since the last turn, and ended the chain, which closes the source.
            if chain._branches is not below or not isinstance(source, Iterator):
                return  # it has ended
            try:
                item = self._keeper.read(chain, next, source)
                # By the source itself, which could not be closed while it ran.
                if chain._branches is not below:
                    fanout.close_source(chain, source)
                    return
                self._collect_one(chain, below, record, links, item)
            except StopIteration:
                self._collected(chain, below, record, links)
                return
            # Of the source, or of a link that cannot be kept: then the source is still open.
            except Exception as error:
                fanout.close_source(chain, source)
                self._fail_source(chain, below, error)
                return
            except BaseException as error:
                self._runner.interrupt(chain, error)
                return
        self._keeper.go_on(self._collect, chain, below, record, links)

    async def _collect_async(
        self,
        chain: Chain,
        below: Branches,
        record: Record,
        links: list[Found],
    ) -> None:
        source = below.source
        assert isinstance(source, AsyncIterator)  # noqa: S101 - the caller has looked
        chain._task = asyncio.current_task()  # an eager task runs before anybody has it
        try:
            async for item in source:
                if chain._branches is not below:
                    return
                self._collect_one(chain, below, record, links, item)
        except Exception as error:
            # The chain goes on without this task, and its errback may get it another one.
            chain._task = None
            if chain._branches is below:
                self._fail_source(chain, below, error)
            return
        except BaseException as error:
            # Cancelled by others, or Ctrl-C: the next run goes on with it. Where the end of the
            # chain has led here, it has no record any more, and both do nothing.
            self._keeper.spare(chain)
            is_cancel = isinstance(error, asyncio.CancelledError)
            self._runner.end_chain(chain, State.CANCELLED, None if is_cancel else error)
            raise
        finally:
            await fanout.close_async_source(chain, source)
        chain._task = None
        if chain._branches is below:
            self._collected(chain, below, record, links)

    def _collect_one(
        self,
        chain: Chain,
        below: Branches,
        record: Record,
        links: list[Found],
        item: object,
    ) -> None:
        link = fanout.branch_link(below, item)
        plain = self._keeper.rows.plain(link.request)
        named = link if link.name else link._replace(name=f"{chain.name}.{below.count + 1}")
        below.count += 1
        # Ids are given when all are known, by `branch`; or with the thousand that go to the file.
        row = self._keeper.rows.row(Record(0), chain, named, plain)
        deadline = None if record.row is None else record.row.deadline
        # Plain: a key against repeats is of one chain and step, and added when the link is sent.
        # The deadline of the chain above is for all below it.
        links.append((link._replace(request=plain), row._replace(deadline=deadline)))
        if len(links) >= self._keeper.at_once:
            self._keeper.spill_links(record, links)

    def _fail_source(self, chain: Chain, below: Branches, error: Exception) -> None:
        """A source has failed: what it gave before is taken back, as all of the reader's."""
        if chain._branches is not below:
            return
        chain._branches, below.source = None, None
        # The errback is asked as for a reader that has raised at once.
        chain.state = State.READING
        self._runner.fail_link(chain, error, below.base)

    def _collected(
        self,
        chain: Chain,
        below: Branches,
        record: Record,
        links: list[Found],
    ) -> None:
        """Note all of a reader's links: from now on they are chains of their own."""
        # Of a single link the chain makes its next one: a poll written as a generator has one row.
        if len(links) < 2 and not record.drafts:
            chain._branches, chain.state = None, State.READING
            self._go_on_with(chain, below, [link for link, _ in links])
            return
        self._keeper.branch(chain, below, record, links)

    def _go_on_with(self, chain: Chain, below: Branches, links: list[Next]) -> None:
        """A source had one link, or none: the chain goes on with it."""
        if not links:
            self._runner.end_chain(chain, State.DONE)
            return
        try:
            self._runner.start_link(chain, links[0])
        except Exception as error:
            self._runner.fail_link(chain, error, below.base)
