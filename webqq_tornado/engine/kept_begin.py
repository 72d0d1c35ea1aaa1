"""The links of `begin`, with their numbers: how far it is, is how many were begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from . import fanout
from .chain import Branches, Chain, link_of, next_of
from .errors import LinkError
from .kept_records import BegunMark
from .links import Next, described

if TYPE_CHECKING:
    from .keeping import Keeper

__all__ = ["BeginLinks"]


class BeginLinks:
    """Gives each link of `begin` its number, and leaves out those that were begun before.

    Args:
        keeper: is told of those that are begun.
        position: how many earlier runs have begun.
        is_all: there are no more.
        asks_again: all are given again, as they have keys.

    Attributes:
        flow: the chain that holds them together, once the flow is launched.
        position: links begun so far.
        is_all: all of them.
        results: texts of what `begin` has emitted since its last link.
    """

    def __init__(self, keeper: Keeper, position: int, *, is_all: bool, asks_again: bool) -> None:
        self._keeper = keeper
        self.flow: Chain | None = None
        self.position = position
        self.is_all = is_all and not asks_again
        self.results: list[str] = []
        self._skipped = 0 if asks_again else position
        self._taken: int | None = None  # links that it has given, once it has ended

    def of(self, flow: Chain, begin: Callable[[], Any]) -> Callable[[], Any]:
        """Return what gives the links of `begin` that were not begun yet, with their numbers.

        Args:
            flow: the chain that holds those together.
            begin: of the flow.
        """
        # A position counts the links of one `begin`: those of two would be taken for each other's.
        if self.flow is not None:
            raise RuntimeError("with a journal a flow is launched once")
        self.flow = flow

        def marked() -> Any:
            if self.is_all:
                return None
            # As a reader's call: what `begin` emits is kept with its links.
            return self._marked(self._keeper.read(flow, begin), begin)

        return marked

    def _marked(self, result: Any, origin: object) -> Any:
        links = next_of(result, origin)
        if isinstance(links, Awaitable):
            return self._marked_later(links, origin)
        if isinstance(links, Branches):
            if links.gather is not None:
                raise LinkError(
                    f"{described(origin)} returned a Gather, of which a journal keeps no part: "
                    "begin with a link whose reader gathers"
                )
            source = links.source
            if isinstance(source, AsyncIterator):
                return self._marked_each_async(source, origin)
            return self._marked_each(source or iter(()), origin)
        return self._marked_each(iter(() if links is None else (links,)), origin)

    async def _marked_later(self, awaited: Awaitable[Any], origin: object) -> Any:
        return self._marked(await awaited, origin)

    def _marked_each(self, source: Iterator[Any], origin: object) -> Iterator[Next]:
        # Of those given, skipped ones too: that is what an earlier run has counted.
        number = 0
        flow = self.flow
        assert flow is not None  # noqa: S101 - whose links these are
        try:
            while True:
                try:
                    item = self._keeper.read(flow, next, source)
                except StopIteration:
                    break
                number += 1
                link = self._mark(item, number, origin)
                if link is not None:
                    yield link
        finally:
            # The fan-out has this generator as its source, and closes no other.
            fanout.close_source(flow, source)
        # Not in the `finally`: a source that was broken off has more links.
        self._note_taken(number)

    async def _marked_each_async(
        self, source: AsyncIterator[Any], origin: object
    ) -> AsyncIterator[Next]:
        number = 0
        assert self.flow is not None  # noqa: S101 - whose links these are
        try:
            async for item in source:
                number += 1
                link = self._mark(item, number, origin)
                if link is not None:
                    yield link
        finally:
            await fanout.close_async_source(self.flow, source)
        self._note_taken(number)

    def _mark(self, item: object, number: int, origin: object) -> Next | None:
        link = link_of(item, origin)
        # Also where the link is skipped: the run that has begun it has kept them.
        results, self.results = self.results, []
        if number <= self._skipped:
            return None  # begun by an earlier run
        return link._replace(key=BegunMark.of(number, link.key, results))

    def note_begun(self, mark: BegunMark) -> None:
        """A link is begun.

        Args:
            mark: of it.
        """
        # The link's own number: some before it were skipped, and some behind it may have been read.
        self.position = mark.number
        self._keeper.note_position(mark.number, mark.results)
        self._note_all()

    def _note_taken(self, number: int) -> None:
        self._taken = number
        self._note_all()

    def _note_all(self) -> None:
        # A source may have ended before the last of its links, read ahead, are begun.
        if self._taken is None or self.position < self._taken or self.is_all:
            return
        self.is_all = True
        results, self.results = self.results, []
        self._keeper.note_position(None, results)
