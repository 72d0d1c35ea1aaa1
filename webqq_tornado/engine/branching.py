"""Several links out of one: begins a chain for each link of a source, and sees to their ends.

What branches are, and what follows from the end of one, is in `fanout`; here chains are begun,
gathered and merged.

- *Chains hang below chains deeper than Python's stack goes*: nothing walks them by recursion, and a
  chain whose branches have ended is seen to at the next turn, not by the last of them.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from . import fanout
from .chain import Branches, Chain, State
from .links import Gather
from .merging import heir_of
from .reports import log_error
from .scheduler import Scheduler
from .waiting import stop_task, wake

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["Branching"]


class Branching:
    """The chains below chains.

    Args:
        runner: of all of them.
        scheduler: says whether there is room for one more link.

    Attributes:
        on_rest: is called when a source waits for room, once only what is awaited goes on.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler) -> None:
        self._runner = runner
        self._has_room = scheduler.has_room
        self._waiting = scheduler.waiting  # sources
        self.on_rest: Callable[[], None] | None = None

    def begin(self, chain: Chain, below: Branches) -> None:
        """Begin links of a chain's source; a single one is no branch."""
        source = below.source
        if isinstance(source, AsyncIterator):
            self.feed_later(chain, below, source)
        elif source is not None:
            # The reader of a Gather gets a list, of one response as well: it always branches.
            link = None if below.gather is not None else fanout.only_link(chain, below, source)
            if link is not None:
                chain._branches = None
                self._runner.count_chain(chain)
                self._runner.start_link(chain, link)
            elif not chain.done:
                self.feed(chain, below)

    def feed(self, chain: Chain, below: Branches) -> None:
        """Begin links of the chain's source, as long as there is room."""
        for _ in range(fanout.TAKEN_AT_ONCE):
            if chain._branches is not below or not isinstance(below.source, Iterator):
                return  # it has ended, or gone on
            # Asked for each link: the one before may have taken the last place.
            if not self._has_room(chain):
                self._waiting[chain] = functools.partial(self.feed, chain, below)
                return
            self._feed_one(chain, below, below.source)
        # More than that in one turn, and other callbacks of the loop would wait.
        self._runner.call_soon(self.feed, chain, below)

    def _feed_one(self, chain: Chain, below: Branches, source: Iterator[object]) -> None:
        try:
            item = fanout.next_item(below, source)
            if chain._branches is below:
                self._begin_branch(chain, below, item)
            else:  # the source has ended its own chain
                fanout.close_source(chain, source)
        except StopIteration:
            self._on_exhausted(chain, below)
        except Exception as error:
            self._on_source_error(chain, below, error)
            fanout.close_source(chain, source)
        except BaseException as error:
            self._runner.interrupt(chain, error)

    def feed_later(self, chain: Chain, below: Branches, source: AsyncIterator[object]) -> None:
        """Begin links of a source that has to be awaited, as long as there is room."""
        self._runner.start_task(chain, self._feed_async(chain, below, source))

    async def _feed_async(
        self, chain: Chain, below: Branches, source: AsyncIterator[object]
    ) -> None:
        chain._task = asyncio.current_task()  # an eager task runs before anybody has it
        try:
            async for item in source:
                # What was taken is begun: room is for the next, which is not asked for yet.
                if chain._branches is below:
                    self._begin_branch(chain, below, item)
                # Not `if`: a source that was woken before this one may have taken the room.
                while chain._branches is below and not self._has_room(chain):
                    await self._room_for(chain)
                if chain._branches is not below:
                    break  # it has ended, or gone on
            self._on_exhausted(chain, below)
        except asyncio.CancelledError:
            if chain._branches is below:
                # Not stopped by the end of the chain, which takes `_branches` from it first.
                self._runner.cancel_with_task(chain)
            raise
        except Exception as error:
            self._on_source_error(chain, below, error)
        except BaseException as error:
            self._runner.interrupt(chain, error)
        finally:
            await fanout.close_async_source(chain, source)

    async def _room_for(self, chain: Chain) -> None:
        room = asyncio.get_running_loop().create_future()
        self._waiting[chain] = functools.partial(wake, room)
        if self.on_rest is not None:
            self.on_rest()
        await room

    def _begin_branch(self, parent: Chain, below: Branches, item: object) -> None:
        link = fanout.branch_link(below, item)
        branch = self._new_branch(parent, below, link.name)
        try:
            self._runner.start_link(branch, link)
        except Exception:  # something of it cannot be kept
            self._runner.end_chain(branch, State.CANCELLED)
            raise

    def _new_branch(self, parent: Chain, below: Branches, name: str | None) -> Chain:
        below.count += 1
        branch = self._runner.new_chain(
            name or f"{parent.name}.{below.count}", parent.session, parent
        )
        fanout.add_branch(parent, below, branch)
        return branch

    def _on_exhausted(self, chain: Chain, below: Branches) -> None:
        if chain._branches is below:
            below.source = chain._task = None
            self._conclude_soon(chain if fanout.is_over(chain) else None)
            self._merge_what_waits(chain)

    def _on_source_error(self, chain: Chain, below: Branches, error: Exception) -> None:
        """Begin what the errback makes of a source's error, as one more branch."""
        if chain._branches is not below:
            return
        below.source = chain._task = None
        if below.gather is not None:
            self._conclude_soon(chain if fanout.break_off(below, error) else None)
            return
        origin = self._runner.errback_of(chain)
        try:
            if chain._is_failing:  # the source is what an errback has returned: it is asked once
                raise error
            result = self._runner.handle_error(chain, error)
        except Exception as final:
            # Now: the others below may have no end.
            log_error(chain, final)
            self._runner.count_chain(chain)
            below.error, below.is_logged = below.error or final, True
        except BaseException as final:
            self._runner.interrupt(chain, final)
            return
        else:
            if result is not None and not chain.done:
                branch = self._new_branch(chain, below, None)
                branch.state = State.READING
                branch._is_failing = True
                self._runner.follow(branch, result, origin, None, below.base)
        self._conclude_soon(chain if fanout.is_over(chain) else None)

    def on_branch_ended(self, branch: Chain) -> None:
        """Go on with the chain above, if that was the last: it ends, is gathered, or merges."""
        parent = branch.parent
        self._conclude_soon(fanout.drop_branch(branch))
        # The one that is left may wait for branches itself, for days: the two become one.
        if parent is not None and parent._branches is not None:
            self._merge_what_waits(parent)

    def _conclude_soon(self, chain: Chain | None) -> None:
        """End a chain whose branches have ended, or go on if they were gathered."""
        below = None if chain is None else heir_of(chain)._branches
        if chain is not None and below is not None:
            # Not from here: chains may hang below chains deeper than Python's stack.
            self._runner.call_soon(self._conclude, chain, below)

    def _conclude(self, chain: Chain, below: Branches) -> None:
        chain = heir_of(chain)
        if chain._branches is not below:
            return  # it has ended, or gone on
        if below.gather is not None:
            self._join(chain, below, below.gather)
        elif not below.alive:
            state = State.DONE if below.error is None else State.FAILED
            self._runner.end_chain(chain, state, below.error)

    def _join(self, chain: Chain, below: Branches, gather: Gather) -> None:
        """Go on with a chain whose links were gathered: all have ended, or something has failed."""
        # Each ends by itself, and is dropped from the set as it does.
        for branch in tuple(below.alive):  # where one has failed, the others are not asked
            branch.cancel()
        self.leave_source(chain, below)
        if chain.done:  # by what a source does when it is closed
            return
        chain._branches = None
        chain._data = None
        if gather.errback is not None:
            chain._errback = gather.errback
        if below.error is not None:
            self._runner.follow_gathered(chain, fanout.raiser(below.error))
        elif gather.readback is not None:
            self._runner.follow_gathered(chain, gather.readback, fanout.results_of(below))
        else:
            self._runner.end_chain(chain, State.DONE)

    def leave_source(self, chain: Chain, below: Branches) -> None:
        """Close the source of a chain that has ended, or goes on from what was below it."""
        self._waiting.pop(chain, None)
        source, below.source = below.source, None
        if isinstance(source, AsyncIterator):
            stop_task(chain)  # which closes it
        elif source is not None:
            fanout.close_source(chain, source)

    def merge_upwards(self, chain: Chain) -> Chain:
        """Find the chain as which one goes on that is about to branch: maybe one that waits."""
        while fanout.last_branch(chain.parent) is chain and chain._task is None:
            chain = self._runner.merge(chain)
            chain._branches, chain.state = None, State.READING
        return chain

    def _merge_what_waits(self, chain: Chain) -> None:
        """Make one chain of several where one waits for another that waits, too."""
        while (last := fanout.last_branch(chain)) is not None and fanout.only_waits(last):
            below = last._branches
            self._runner.merge(last)
            fanout.move_branches(below, chain)
        while fanout.only_waits(chain) and fanout.last_branch(chain.parent) is chain:
            below = chain._branches
            chain = self._runner.merge(chain)
            fanout.move_branches(below, chain)
