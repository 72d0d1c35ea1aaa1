"""Keeping of one shard of a flow: a link of another one is written for that, and ends here.

A link belongs to a shard by `HTTPStream.shard_of`, which goes by its host: so a host is asked by
one process alone, and limits hold for all together. Its row has the number of that shard, in the
transaction of what has led to it. The owner takes it when it is told, or by a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from ..journal.records import ChainRow
from .chain import Chain, State
from .eventloop import within
from .fanout import close_source
from .keeping import _LED
from .kept_awaited import AwaitedKeeper
from .kept_branches import Found
from .kept_records import Record, id_of
from .links import Next
from .request import Request

if TYPE_CHECKING:
    from .runner import Runner
    from .stream import HTTPStream

__all__ = ["ShardKeeper"]

#: Seconds between two looks for links that others have found.
_LOOK = 0.5
#: Chains that wait in the journal before `begin` is not asked for more.
_FULL = 100_000
#: Links of `begin` between two looks at how many wait.
_BETWEEN = 1000


class ShardKeeper(AwaitedKeeper):
    """Keeps the chains of one stream in a shard of a journal.

    Args:
        stream: whose chains.
        runner: that moves them.
        journal: where; the shard is open.
        header: as of `Keeper`.

    Raises:
        JournalError: as of `AwaitedKeeper`.
    """

    def __init__(
        self, stream: HTTPStream, runner: Runner, journal: Any, header: str | None
    ) -> None:
        super().__init__(stream, runner, journal, header)
        self.shard, self._shards = journal.shard, journal.shards
        #: Shards of chains whose link is not held yet, and of those that leave with it.
        self._leaving: dict[Chain, int] = {}
        self._left: dict[Chain, int] = {}
        self._send_now = self._send_or_leave
        self._has_arrived = asyncio.Event()
        #: The last look for links of others has found none.
        self.is_quiet = False
        journal.on_retry = None

    def _shard_of(self, link: Next) -> int:
        return int(self._stream.shard_of(link)) % int(self._shards)

    # -- links of others ------------------------------------------------------------------------

    def prepare(self, chain: Chain, link: Next) -> tuple[Next | None, ChainRow | None]:
        """As `Keeper.prepare`; notes whose the link is.

        Args:
            chain: whose.
            link: checked.
        """
        found, row = super().prepare(chain, link)
        if found is None or row is None:
            return found, row
        shard = self._shard_of(found)
        if shard == self.shard:
            return found, row
        old = self._records[chain].row
        if row is _LED or row is old:
            assert old is not None  # noqa: S101 - these are of chains that have one
            # Not its key, which it had before: this would have the link dropped.
            row = old._replace(url=found.request.url, key=None)  # type: ignore[union-attr]
        self._leaving[chain] = shard
        return found, row

    def _leads_on(self, chain: Chain, record: Record, request: Request) -> bool:
        link = Next(request, chain._readback)
        return self._shard_of(link) == self.shard and super()._leads_on(chain, record, request)

    def hold(self, chain: Chain, row: ChainRow, delay: float) -> None:
        """As `Keeper.hold`.

        Args:
            chain: whose.
            row: of `prepare`.
            delay: seconds.
        """
        super().hold(chain, row, delay)
        shard = self._leaving.pop(chain, None)
        if shard is not None:
            self._batch.away[self._records[chain].id] = shard
            self._left[chain] = shard

    def _send(self, chain: Chain, delay: float) -> None:
        if self._left.pop(chain, None) is None:
            super()._send(chain, delay)
            return
        # In the journal it goes on: here it has no row any more, and its end is not noted.
        self._leave(chain, self._records[chain])
        self._runner.end_chain(chain, State.DONE)

    def _send_or_leave(self, chain: Chain) -> None:
        self._send(chain, 0)

    def _leave(self, chain: Chain, record: Record) -> None:
        super()._leave(chain, record)
        self._left.pop(chain, None)
        self._leaving.pop(chain, None)

    def _child(self, link: Next, row: ChainRow) -> Next | None:
        child = super()._child(link, row)
        if child is None:
            return None
        shard = self._shard_of(child)
        if shard == self.shard:
            return child
        self._batch.away[id_of(child)] = shard
        return None

    def _write_drafts(self, rows: list[ChainRow], links: list[Found]) -> None:
        shards = [self._shard_of(link) for link, _ in links]
        away = {
            row.id: shard for row, shard in zip(rows, shards, strict=True) if shard != self.shard
        }
        self._write(lambda: self._store.add_drafts(rows, away))

    # -- links by others ------------------------------------------------------------------------

    def _begin_waiting(self) -> None:
        self._begin_each(self._all_rows())

    async def _all_rows(self) -> AsyncIterator[ChainRow]:
        """Rows that were there, and those that come, without an end."""
        await self._store.listen(self._has_arrived.set)
        async for row in self._store.waiting(self._resumes_below):
            yield row
        while True:
            self._has_arrived.clear()
            rows = await self._store.take_arrivals()
            self.is_quiet = not rows
            for row in rows:
                # It may have been here before, and have left.
                self._begun_early.discard(row.id)
                if row.id not in self._by_id:
                    self._followed.release(row.id)
                    yield row
                self._begun_early.add(row.id)
            if not rows:
                await self._arrival()

    async def _arrival(self) -> None:
        try:
            await within(self._has_arrived.wait(), _LOOK)
        except asyncio.TimeoutError:  # not the builtin one before Python 3.11
            return

    # -- begin ----------------------------------------------------------------------------------

    def begin(self, flow: Chain, begin: Callable[[], Any]) -> Callable[[], Any]:
        """As `Keeper.begin`; gives no more links while very many wait.

        Args:
            flow: the chain that holds those together.
            begin: of the flow.
        """
        marked = super().begin(flow, begin)
        return lambda: self._held_back(flow, marked)

    async def _held_back(self, flow: Chain, marked: Callable[[], Any]) -> AsyncIterator[object]:
        links = marked()
        if links is None:
            return
        if hasattr(links, "__await__"):
            links = await links
        number = 0
        try:
            async for link in _each(links):
                if number % _BETWEEN == 0:
                    await self._until_fewer()
                number += 1
                yield link
        finally:
            if hasattr(links, "aclose"):
                await links.aclose()
            elif links is not None:
                close_source(flow, links)

    async def _until_fewer(self) -> None:
        while await self._store.waiting_count(_FULL) >= _FULL:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(_LOOK)

    @property
    def has_begun(self) -> bool:
        """`begin` has no more links, or is another shard's, or has failed."""
        flow = self._begin.flow
        return flow is None or flow.done or self._begin.is_all

    def _finish(self) -> None:
        """The flow is over when all shards are: that is seen by who runs them."""

    async def next_due(self) -> float | None:
        """Unix time at which the first chain of this shard is due, 0 if one is; None: none is."""
        return await self._store.next_due()

    @property
    def is_busy(self) -> bool:
        """Something is to be committed, or is being."""
        return self.defers_idle or bool(self._writes)


async def _each(links: Any) -> AsyncIterator[object]:
    if hasattr(links, "__aiter__"):
        async for link in links:
            yield link
    else:
        for link in links or ():
            yield link
