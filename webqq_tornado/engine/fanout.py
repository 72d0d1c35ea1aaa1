"""Several links out of one: a chain's branches, and the source they are taken from.

A source (list, generator, async generator) is only taken as far as there is room, so that it may
be endless. Each of its links becomes a chain below the one that has the source, which ends when
the source is exhausted and all below have ended. A source with a single link does not branch: the
chain goes on with it, however often that is repeated. Nor does what is left of several, when all
others have ended: the last branch goes on as the chain above it, which keeps what it has of its
own (name, deadline, who awaits it, an error of the others). So a reader that returns an answer to
send and the next poll makes no tower of chains that wait for each other.
"""

from __future__ import annotations

import asyncio
import functools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol

from .chain import Branches, Chain, Errback, Kept, Link, Next, State, checked_link, link_of
from .merging import heir_of
from .response import Response
from .session import Session

__all__ = ["FanOut", "Trunk"]

#: Links taken from one source before other callbacks of the loop get their turn.
_TAKEN_AT_ONCE = 64


class Trunk(Protocol):
    """What branching needs of the runner."""

    def has_room(self, chain: Chain) -> bool:
        """One more link below the chain could be sent now, or timed."""

    def new_chain(self, name: str | None, session: Session, parent: Chain | None = None) -> Chain:
        """A chain with no link yet."""

    def begin(self, chain: Chain, link: Next) -> None:
        """Give a chain its next link."""

    def follow(
        self,
        chain: Chain,
        result: object,
        origin: object,
        response: Response | None,
        base: str | None = None,
    ) -> None:
        """Do what a reader's result says."""

    def join(self, chain: Chain, function: Any, *arguments: object) -> None:
        """Run a reader or errback of a `Gather`, and follow what it returns."""

    def errback_of(self, chain: Chain) -> Errback:
        """Who is asked about an error of the chain's link."""

    def handle_error(self, chain: Chain, error: Exception) -> Link:
        """Ask the errback or `on_error`; raises what they raise."""

    def end(self, chain: Chain, state: State, error: BaseException | None = None) -> None:
        """The chain has ended."""

    def interrupt(self, chain: Chain, error: BaseException) -> None:
        """KeyboardInterrupt and the like end the chain and go on their way."""

    def log_error(self, chain: Chain, error: BaseException) -> None:
        """Say that something of the chain's has failed."""

    def count(self, chain: Chain) -> None:
        """The chain has a link of its own."""

    def merge(self, branch: Chain) -> None:
        """The branch is counted no more: it goes on as the chain above it."""

    def start_task(self, chain: Chain, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for the chain."""

    def stop_task(self, chain: Chain) -> None:
        """Cancel what runs for the chain, unless it is that which asks for it."""

    def call_soon(self, function: Callable[..., object], *arguments: object) -> object:
        """At the loop's next turn."""


class FanOut:
    """Feeds chains that have become several."""

    def __init__(self, trunk: Trunk, waiting: OrderedDict[Chain, Callable[[], None]]) -> None:
        self._trunk = trunk
        self.waiting = waiting  # sources, for room

    def branch(self, chain: Chain, below: Branches) -> None:
        """The chain becomes as many as its source has links."""
        chain.state = State.WAITING
        chain._branches = below
        if isinstance(below.source, AsyncIterator):
            self._trunk.start_task(chain, self._take_async(chain, below, below.source))
        elif below.source is None:
            return
        elif below.gather is not None or not self._is_single(chain, below, below.source):
            self._take(chain, below)

    def merged(self, chain: Chain) -> Chain:
        """As which chain one goes on that is about to branch: itself, or one that waits for it."""
        while _last_branch(chain.parent) is chain and chain._task is None:
            chain = self._merge(chain)
            chain._branches, chain.state = None, State.READING
        return chain

    def _merge_what_waits(self, chain: Chain) -> None:
        """One chain is enough where one waits for another that waits, too."""
        while (last := _last_branch(chain)) is not None and _only_waits(last):
            below = last._branches
            self._merge(last)
            self._move(below, chain)
        while _only_waits(chain) and _last_branch(chain.parent) is chain:
            below = chain._branches
            chain = self._merge(chain)
            self._move(below, chain)

    @staticmethod
    def _move(below: Branches | None, chain: Chain) -> None:
        chain._branches = below
        for branch in () if below is None else below.alive:
            branch.parent = chain

    def _merge(self, branch: Chain) -> Chain:
        """Go on with the last branch as the chain that waits for it."""
        chain = branch.parent
        if chain is None or chain._branches is None:
            raise ValueError(f"{branch!r} is no branch")
        errors = (chain._branches.error, None if branch._kept is None else branch._kept.error)
        kept = chain._kept or Kept(chain.response, None)
        chain._kept = kept._replace(error=kept.error or errors[0] or errors[1])
        chain.session, chain._priority, chain._retry = (
            branch.session,
            branch._priority,
            branch._retry,
        )
        chain.steps += branch.steps
        chain.retries += branch.retries
        chain._request, chain._lane = branch._request, branch._lane
        chain._errback, chain._is_failing = branch._errback, branch._is_failing
        self._trunk.merge(branch)
        return chain

    def leave(self, chain: Chain, below: Branches) -> None:
        """The chain has ended, or goes on from what was below it: close the source."""
        self.waiting.pop(chain, None)
        source, below.source = below.source, None
        if isinstance(source, AsyncIterator):
            self._trunk.stop_task(chain)  # which closes it
        elif source is not None:
            self._close(chain, source)

    def _close(self, chain: Chain, source: Iterator[object]) -> None:
        close = getattr(source, "close", None)
        if close is None or getattr(source, "gi_running", False):
            return  # if it is running, it has ended its own chain: it is closed when it returns
        try:
            close()
        except (Exception, asyncio.CancelledError) as error:
            self._trunk.log_error(chain, error)

    async def _close_async(self, chain: Chain, source: AsyncIterator[object]) -> None:
        close = getattr(source, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception as error:
            self._trunk.log_error(chain, error)

    def _is_single(self, chain: Chain, below: Branches, source: Iterator[object]) -> bool:
        """Go on with the only link there is. Looks two links ahead."""
        try:
            for item in source:
                if chain.done:
                    self._close(chain, source)
                    return True
                below.lookahead.append(item)
                if len(below.lookahead) == 2:
                    return False
        except Exception as error:
            if not below.lookahead:
                raise
            below.source = _raising(error)  # once the link that came before it is begun
            return False
        if chain.done or not below.lookahead:
            return chain.done
        link = checked_link(link_of(below.lookahead[0], below.origin), below.origin, below.base)
        chain._branches = None
        self._trunk.count(chain)
        self._trunk.begin(chain, link)
        return True

    def _take(self, chain: Chain, below: Branches) -> None:
        for _ in range(_TAKEN_AT_ONCE):
            if chain._branches is not below or not isinstance(below.source, Iterator):
                return  # it has ended, or gone on
            if not self._trunk.has_room(chain):
                self.waiting[chain] = functools.partial(self._take, chain, below)
                return
            self._take_one(chain, below, below.source)
        self._trunk.call_soon(self._take, chain, below)

    def _take_one(self, chain: Chain, below: Branches, source: Iterator[object]) -> None:
        try:
            item = below.lookahead.popleft() if below.lookahead else next(source)
            if chain._branches is below:
                self._add(chain, below, item)
            else:  # the source has ended its own chain
                self._close(chain, source)
        except StopIteration:
            self._on_exhausted(chain, below)
        except Exception as error:
            self._on_error(chain, below, error)
            self._close(chain, source)
        except BaseException as error:
            self._trunk.interrupt(chain, error)

    async def _take_async(
        self, chain: Chain, below: Branches, source: AsyncIterator[object]
    ) -> None:
        chain._task = asyncio.current_task()  # an eager task runs before anybody has it
        try:
            async for item in source:
                if chain._branches is below:
                    self._add(chain, below, item)
                while chain._branches is below and not self._trunk.has_room(chain):
                    await self._room(chain)
                if chain._branches is not below:
                    break  # it has ended, or gone on
            self._on_exhausted(chain, below)
        except asyncio.CancelledError:
            if chain._branches is below:
                self._trunk.end(chain, State.CANCELLED)
            raise
        except Exception as error:
            self._on_error(chain, below, error)
        finally:
            await self._close_async(chain, source)

    async def _room(self, chain: Chain) -> None:
        room = asyncio.get_running_loop().create_future()
        self.waiting[chain] = functools.partial(_wake, room)
        await room

    def _add(self, parent: Chain, below: Branches, item: object) -> None:
        link = link_of(item, below.origin, below.gather is not None)
        link = checked_link(link, below.origin, below.base)
        self._trunk.begin(self._new_branch(parent, below, link.name), link)

    def _new_branch(self, parent: Chain, below: Branches, name: str | None) -> Chain:
        below.count += 1
        name = name or f"{parent.name}.{below.count}"
        chain = self._trunk.new_chain(name, parent.session, parent)
        chain._is_quiet = parent._is_quiet or below.gather is not None  # the error is read there
        below.alive.add(chain)
        if below.gather is not None:
            below.branches.append(chain)
        return chain

    def _on_exhausted(self, chain: Chain, below: Branches) -> None:
        if chain._branches is below:
            below.source = chain._task = None
            self.end_if_all_ended(chain)
            self._merge_what_waits(chain)

    def _on_error(self, chain: Chain, below: Branches, error: Exception) -> None:
        """The source failed: what the errback makes of it is one more branch."""
        if chain._branches is not below:
            return
        below.source = chain._task = None
        if below.gather is not None:
            self._break_off(chain, below, error)
            return
        origin = self._trunk.errback_of(chain)
        try:
            result = self._trunk.handle_error(chain, error)
        except Exception as final:
            # Now: the others below may have no end.
            self._trunk.log_error(chain, final)
            self._trunk.count(chain)
            below.error, below.is_logged = below.error or final, True
        except BaseException as final:
            self._trunk.interrupt(chain, final)
            return
        else:
            if result is not None and not chain.done:
                branch = self._new_branch(chain, below, None)
                branch.state = State.READING
                branch._is_failing = True
                self._trunk.follow(branch, result, origin, None, below.base)
        self.end_if_all_ended(chain)

    def on_branch_ended(self, branch: Chain) -> None:
        """A chain below another has ended."""
        parent = branch.parent
        if parent is None or parent._branches is None:
            return
        below = parent._branches
        below.alive.discard(branch)
        if branch.state is State.FAILED and branch.error is not None:
            if below.gather is None:
                below.error, below.is_logged = below.error or branch.error, True
            elif not below.gather.return_exceptions:
                self._break_off(parent, below, branch.error)
        self.end_if_all_ended(parent)
        self._merge_what_waits(parent)

    def _break_off(self, chain: Chain, below: Branches, error: BaseException) -> None:
        """A `Gather` goes on to its errback, with the first error."""
        if below.error is None:
            below.error = error
            self._trunk.call_soon(self._join, chain, below)

    def end_if_all_ended(self, chain: Chain) -> None:
        """A chain that had become several ends when they all have."""
        chain = heir_of(chain)
        below = chain._branches
        if below is None or below.source is not None or below.alive or chain.done:
            return
        if below.gather is not None:
            self._trunk.call_soon(self._join, chain, below)
            return
        # Not from here: chains may hang below chains deeper than Python's stack.
        self._trunk.call_soon(self._end, chain, below)

    def _end(self, chain: Chain, below: Branches) -> None:
        chain = heir_of(chain)
        if chain._branches is below and not below.alive:
            state = State.DONE if below.error is None else State.FAILED
            self._trunk.end(chain, state, below.error)

    def _join(self, chain: Chain, below: Branches) -> None:
        """All have ended, or something has failed: on with the chain."""
        joint = below.gather
        if chain._branches is not below or joint is None:
            return  # it has ended, or gone on
        for branch in tuple(below.alive):  # where one has failed, the others are not asked
            branch.cancel()
        self.leave(chain, below)
        if chain.done:  # by what a source does when it is closed
            return
        chain._branches = None
        chain._errback = joint.errback
        if below.error is not None:
            self._trunk.join(chain, _raiser(below.error))
        elif joint.readback is not None:
            self._trunk.join(chain, joint.readback, [_came_to(one) for one in below.branches])
        else:
            self._trunk.end(chain, State.DONE)


def _last_branch(chain: Chain | None) -> Chain | None:
    """The only one that a chain waits for, and will ever wait for."""
    below = None if chain is None else chain._branches
    if below is None or below.source is not None or below.gather is not None:
        return None
    if len(below.alive) != 1:
        return None
    (branch,) = below.alive
    return None if branch.is_paused or branch.done else branch


def _only_waits(chain: Chain) -> bool:
    below = chain._branches
    if chain.state is not State.WAITING or below is None or not below.alive:
        return False
    return below.source is None and below.gather is None and not chain.is_paused


def _came_to(branch: Chain) -> object:
    if branch.state is State.CANCELLED and branch.error is None:
        return asyncio.CancelledError(f"chain {branch.name} was cancelled")
    return branch.response if branch.error is None else branch.error


def _raiser(error: BaseException) -> Callable[[], object]:
    def throw() -> object:
        raise error

    return throw


def _raising(error: Exception) -> Iterator[object]:
    raise error
    yield  # makes it a generator


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
