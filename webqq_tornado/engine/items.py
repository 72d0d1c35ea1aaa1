"""Items: what a flow finds, handed to a file, kept in a list, or in the journal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .keeping import Keeper
    from .runner import Runner

__all__ = ["ItemEmitter", "ItemWriter"]

#: Results that are read from the journal at once.
_PAGE = 500


class ItemWriter(Protocol):
    """A place for items, such as `webqq_tornado.flows.ItemFile`."""

    def write(self, item: object, /) -> object:
        """Take an item."""

    def close(self, *, is_whole: bool) -> object:
        """Take no more: all have come, or only some."""


class ItemEmitter:
    """The part of `HTTPStream` that hands on what readers find."""

    _takers: tuple[Callable[[Any], object], ...] = ()
    _emitted: list[Any] | None = None
    _handed = 0  # of these, which are gone as soon as anybody looks
    _journal: Keeper | None = None
    _arrived: asyncio.Event | None = None
    _runner: Runner

    def emit(self, item: Any) -> None:
        """Hand on something that a reader has found.

        It goes to the functions of `take_items`, such as the file of `run -o items.csv`; without
        one it is kept in `emitted`. With a journal it is kept there, once the reader has returned:
        see `items`, and the command `journal`.

        Args:
            item: a dict, a dataclass or a NamedTuple, where it goes to a file.

        Raises:
            TypeError: with a journal, it is no value that can be kept.

        Example:
            >>> def read(self, response):
            ...     self.emit({"url": response.url, "size": len(response.body)})
        """
        if self._journal is not None:
            self._journal.emit(item)
            return
        for take in self._takers:
            take(item)
        if not self._takers:
            if self._emitted is None:
                self._emitted = []
            self._emitted.append(item)
            if self._arrived is not None:
                self._arrived.set()

    @property
    def emitted(self) -> list[Any]:
        """The items that nobody has taken; with a journal they are there, and this is empty."""
        if self._emitted is None:
            self._emitted = []
        del self._emitted[: self._handed]
        self._handed = 0
        return self._emitted

    def take_items(self, take: Callable[[Any], object]) -> None:
        """Have items handed to a function instead of keeping them; may be called more than once.

        With a journal it gets them when they are in there, and they stay in there.

        Args:
            take: gets each item as it is emitted. What it raises, the reader that emits raises;
                with a journal it is logged.

        Example:
            >>> with ItemFile("pages.csv") as file:
            ...     flow.take_items(file.write)
            ...     flow.run(strict=True)
        """
        if self._journal is not None:
            self._journal.takers.append(take)
        # A new tuple: `emit` may be in the middle of the old one.
        self._takers = (*self._takers, take)

    @contextlib.contextmanager
    def _writing(self, items: ItemWriter | None) -> Iterator[None]:
        """Hand items on to a writer in the block, which says then whether all have come."""
        if items is None:
            yield
            return
        if self._journal is not None:
            raise ValueError(
                "with a journal results are in there, and `webqq_tornado.flows.Export`, or the "
                "command `journal FILE export`, puts each into a file once: leave out items="
            )
        is_whole = False
        try:
            self.take_items(items.write)
            yield
            # Not behind an exception, which is also how a signal ends `run`.
            is_whole = not self._runner.failures.errors
        finally:
            items.close(is_whole=is_whole)

    async def items(self) -> AsyncIterator[Any]:
        """Iterate over what readers emit, as it comes, until all chains have ended.

        With a journal these are results that are in the file, also those of earlier runs; each is
        deleted there when the next one is asked for. So a crash may hand out one of them again.

        Raises:
            JournalError: the journal cannot be written.
            RuntimeError: another loop has begun to iterate: each item is for one.

        Example:
            >>> async with Crawl(journal="crawl.db") as crawl:
            ...     crawl.launch()
            ...     async for item in crawl.items():
            ...         print(item)
        """
        arrived = self._begin_items()
        listeners = [self._runner.idle_listeners]
        if self._journal is not None:
            listeners.append(self._journal.result_listeners)
        for each in listeners:
            each.append(arrived.set)
        try:
            if self._journal is not None:
                self._journal.resume()
            while True:
                # First: what comes during a `yield` sets it again, and is not slept through.
                arrived.clear()
                async for item in self._those_there():
                    yield item
                    self._refuse_second(arrived)
                if not arrived.is_set():
                    # The end of the last chain sets it, too: no wait is without an end.
                    if self._is_over():
                        break
                    await arrived.wait()
                    self._refuse_second(arrived)
        finally:
            self._arrived = None if self._arrived is arrived else self._arrived
            for each in listeners:
                each.remove(arrived.set)
        if self._journal is not None and self._journal.error is not None:
            raise self._journal.error

    def _begin_items(self) -> asyncio.Event:
        if self._arrived is not None:
            # Of a loop that was left by `break`, which learns that at the next turn; or of one that
            # continues, and is to say so.
            self._arrived.set()
        self._arrived = asyncio.Event()
        return self._arrived

    async def _those_there(self) -> AsyncIterator[Any]:
        if self._journal is not None and self._journal.is_awaited:
            async for item in self._from_database():
                yield item
            return
        for item in self._from_list() if self._journal is None else self._from_journal():
            yield item

    def _refuse_second(self, arrived: asyncio.Event) -> None:
        if self._arrived is not arrived:
            raise RuntimeError(
                "another loop iterates over items() of this stream: have one, which hands them on"
            )

    def _is_over(self) -> bool:
        """Return True if all chains have ended, and their results are in the journal."""
        is_deferred = self._journal is not None and self._journal.defers_idle
        return not self._runner.chains and not is_deferred

    def _from_list(self) -> Any:
        # One by one: where the caller stops, the others stay in `emitted`. They are deleted many at
        # a time, as each deletion moves all that come behind.
        while self._emitted and self._handed < len(self._emitted):
            item = self._emitted[self._handed]
            self._handed += 1
            if self._handed > len(self._emitted) // 2:
                _ = self.emitted
            yield item

    async def _from_database(self) -> AsyncIterator[Any]:
        keeper: Any = self._journal
        while keeper.error is None:
            results = await keeper.next_results(_PAGE)
            if not results:
                return
            for number, item in results:
                yield item
                await keeper.forget(number)

    def _from_journal(self) -> Any:
        keeper = self._journal
        while keeper is not None and keeper.error is None:
            results = keeper.results(_PAGE)
            if not results:
                return
            for number, item in results:
                yield item
                # Behind the `yield`: who asks for the next has done with this one.
                keeper.forget_results(number)
