"""Keys of chains in a journal that is awaited: who has one is known when the journal has answered.

`add_request(key=)` gives the chain that has the key. Where that is not known yet, it gives one that
sends nothing and ends as the other does: with its last response, or its error. One that waits in
the journal for room is begun for that; it is claimed before its row is read, so that whoever comes
to the row in its turn passes it over.

A chain of another shard is not waited for: there the one that stands for it ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..journal.errors import JournalError
from .chain import Chain, State
from .eventloop import asyncio_loop_of

if TYPE_CHECKING:
    from .kept_awaited import AwaitedKeeper
    from .runner import Runner

__all__ = ["FollowedKeys"]

#: Keys of which this process remembers that they were followed.
_KNOWN = 200_000
#: Seconds between two looks whether a link of another shard has arrived.
_LOOK = 0.1


class FollowedKeys:
    """The keys that were followed, as far as this process knows, and chains that wait for others.

    Args:
        keeper: of the chains.
        runner: that moves them.
    """

    def __init__(self, keeper: AwaitedKeeper, runner: Runner) -> None:
        self._keeper, self._runner = keeper, runner
        #: The chain of each; 0: which one is not known, or none is.
        self._known: dict[bytes, int] = {}
        #: Chains that were begun out of turn; None: one is about to be.
        self._claimed: dict[int, Chain | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, mark: bytes) -> bool:
        return mark in self._known

    def number_of(self, mark: bytes) -> int | None:
        """Return the id of the chain that has a key, 0 if it is not known; None: the key is not.

        Args:
            mark: of the key.
        """
        return self._known.get(mark)

    def remember(self, chains: Mapping[bytes, int]) -> None:
        """Note keys, and let go of those that were noted first.

        Args:
            chains: id of each.
        """
        known = self._known
        known.update(chains)
        while len(known) > _KNOWN:
            del known[next(iter(known))]

    def is_claimed(self, number: int, chain: Chain) -> bool:
        """Return True if a chain was begun out of turn, and is not this one.

        Args:
            number: of its row.
            chain: that comes to it.
        """
        return self._claimed.get(number, chain) is not chain

    def release(self, number: int) -> None:
        """The row is to be begun again: it has failed before, or was another shard's.

        Args:
            number: of it.
        """
        self._claimed.pop(number, None)

    def stand_in(self, mark: bytes) -> Chain:
        """Return a chain that ends as the one that has a key.

        Args:
            mark: of the key.
        """
        number = self._known.get(mark)
        name = f"chain-{number}" if number else "followed"
        chain = self._runner.new_flow(name, self._keeper.session)
        self.follow(chain, mark)
        return chain

    def follow(self, chain: Chain, mark: bytes) -> None:
        """Have a chain end as the one that has a key.

        Args:
            chain: that has no link.
            mark: of the key.
        """
        loop = asyncio_loop_of(self._runner.ioloop)
        # In a context of its own: it is no part of the reader that has asked.
        task = contextvars.Context().run(loop.create_task, self._follow(chain, mark))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _follow(self, chain: Chain, mark: bytes) -> None:
        try:
            owner = await self._owner(mark)
        except JournalError as error:
            if not self._keeper.is_closing:
                self._keeper.fail(error)
            return
        if isinstance(owner, Chain):
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await owner
            if owner.state is State.CANCELLED:
                self._runner.end_chain(chain, State.CANCELLED, owner.error)
            else:
                self._runner.end_like(chain, owner.response, owner.error)
        else:
            self._runner.end_like(chain, None, owner)

    async def _owner(self, mark: bytes) -> Chain | JournalError | None:
        """The chain that has a key, or what it has failed with; None: it has ended, or is away."""
        keeper, store = self._keeper, self._keeper.store
        while True:
            # What has led to the end of a chain may not be in the journal yet.
            await keeper.settled()
            found = await store.owner_of_key(mark)
            if found is None:
                return None
            self.remember({mark: found.chain})
            if (chain := keeper.chain_of_id(found.chain)) is not None:
                return chain
            if found.error is not None:
                return JournalError(f"chain-{found.chain} has failed before: {found.error}")
            if found.shard != store.shard:
                return None
            if found.is_away:
                await asyncio.sleep(_LOOK)
            elif (chain := await self._begun(found.chain)) is not None:
                return chain

    async def _begun(self, number: int) -> Chain | None:
        """Begin a chain that waits in the journal; None if it has ended meanwhile."""
        keeper = self._keeper
        self._claimed.setdefault(number, None)
        await keeper.settled()
        chain = keeper.chain_of_id(number) or self._claimed[number]
        if chain is not None:  # it was begun before it was claimed
            return chain
        for row in await keeper.store.rows([number]):
            if self._claimed.get(number) is None:
                chain = self._runner.new_chain(None, keeper.session)
                self._claimed[number] = chain
                self._runner.start_link(chain, keeper.rows.link_of(row))
            return self._claimed[number]
        self.release(number)
        return None
