"""Several links out of one: a chain's branches, and the source they are taken from.

A source (list, generator, async generator) is only taken as far as there is room, so that it may
be endless. Each of its links becomes a chain below the one that has the source, which ends when
the source is exhausted and all below have ended.

- *A source with a single link does not branch*: the chain continues with it, however often that is
  repeated. So two links are looked at before the first is begun. A source that fails behind its
  first link has that begun first, and fails then.
- *Nor does what is left of several* when all others have ended: the last branch goes on as the
  chain above it, which keeps what it has of its own (name, deadline, who awaits it, an error of the
  others). So a reader that returns an answer to send and the next poll makes no tower of chains
  that wait for each other.
- *A source is users' code*, and may end its own chain while it is asked for the next link. Python
  refuses to close a generator that runs: it is closed when it has returned.

In here is what branches are, what follows from the end of one, and how a source is read and closed.
The runner begins and ends chains.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

from .chain import Branches, Chain, Kept, State, checked_link, link_of
from .errors import DeadlineError
from .links import Next
from .merging import heir_of
from .reports import log_error

__all__ = [
    "TAKEN_AT_ONCE",
    "add_branch",
    "branch_link",
    "break_off",
    "close_async_source",
    "close_source",
    "drop_branch",
    "end_as_kept",
    "hand_over",
    "is_logged",
    "is_over",
    "last_branch",
    "move_branches",
    "next_item",
    "only_link",
    "only_waits",
    "raiser",
    "results_of",
    "with_all_below",
]

#: Links taken from one source before other callbacks of the loop get their turn.
TAKEN_AT_ONCE = 64


# -- sources ----------------------------------------------------------------------------------


def only_link(chain: Chain, below: Branches, source: Iterator[object]) -> Next | None:
    """Read two links ahead, and return the only one there is.

    Args:
        chain: that has the source, and continues with the link.
        below: where links that were read wait.
        source: to read.

    Returns:
        None if there are none or several, or the source has ended the chain.

    Raises:
        LinkError: the only one is no link.
        Exception: of the source, before its first link.
    """
    # Two, not one: a list of a single link goes on in the same chain, so that a poll written as a
    # generator runs for days without a branch for each step.
    try:
        for item in source:
            if chain.done:  # the source has cancelled its own chain between two links
                close_source(chain, source)
                return None
            below.lookahead.append(item)
            if len(below.lookahead) == 2:
                return None
    except Exception as error:
        if not below.lookahead:
            raise
        # The link before the error is still sent, as it would be in a loop of `yield`s: the
        # error comes when the source is asked for more.
        below.source = _raising(error)
        return None
    if chain.done or not below.lookahead:
        return None
    return checked_link(link_of(below.lookahead[0], below.origin), below.origin, below.base)


def next_item(below: Branches, source: Iterator[object]) -> object:
    """Take the next item of a source.

    Raises:
        StopIteration: there is none.
        Exception: of the source.
    """
    return below.lookahead.popleft() if below.lookahead else next(source)


def close_source(chain: Chain, source: Iterator[object]) -> None:
    """Close a source that nobody reads any more; what it raises then is logged.

    Args:
        chain: that has it.
        source: any iterator.
    """
    close = getattr(source, "close", None)
    if close is None or getattr(source, "gi_running", False):
        return  # if it is running, it has ended its own chain: it is closed when it returns
    try:
        close()
    except (Exception, asyncio.CancelledError) as error:
        log_error(chain, error)


async def close_async_source(chain: Chain, source: AsyncIterator[object]) -> None:
    """Close an asynchronous source, likewise."""
    close = getattr(source, "aclose", None)
    if close is None:
        return
    # Awaited, unlike `close`: only so does a `finally` with an `await` in it run to its end.
    try:
        await close()
    except Exception as error:
        log_error(chain, error)


def _raising(error: Exception) -> Iterator[object]:
    raise error
    yield  # makes it a generator


# -- branches ---------------------------------------------------------------------------------


def branch_link(below: Branches, item: object) -> Next:
    """Check what a source gave.

    Raises:
        LinkError: it is no link.
    """
    link = link_of(item, below.origin, below.gather is not None)
    return checked_link(link, below.origin, below.base)


def add_branch(parent: Chain, below: Branches, branch: Chain) -> None:
    """Note a new chain below another."""
    # The error of one that is gathered is read there.
    branch._is_quiet = parent._is_quiet or below.gather is not None
    below.alive.add(branch)
    if below.gather is not None:
        # The errback of a `Gather` gets one error for all; inherited, it would be called for each.
        branch._errback = None
        below.branches.append(branch)


def drop_branch(branch: Chain) -> Chain | None:
    """Note that a chain has ended which may be below another.

    Returns:
        The one above, if it is to end or to go on now.
    """
    parent = branch.parent
    if parent is None or parent._branches is None:
        return None
    below = parent._branches
    # Only those alive are kept: of a crawl with a million links the others would fill the memory.
    below.alive.discard(branch)
    is_broken_off = False
    if branch.state is State.FAILED and branch.error is not None:
        if below.gather is None:
            # The first error wins, as in a loop; the later ones are in the log.
            below.error, below.is_logged = below.error or branch.error, True
        elif not below.gather.return_exceptions:
            is_broken_off = break_off(below, branch.error)
    return parent if is_broken_off or is_over(parent) else None


def break_off(below: Branches, error: BaseException) -> bool:
    """Note the error with which a `Gather` goes on to its errback; False if it had one."""
    if below.error is not None:
        return False
    below.error = error
    return True


def is_over(chain: Chain) -> bool:
    """Return True if all branches of a chain have ended, and no more will come."""
    chain = heir_of(chain)
    below = chain._branches
    return not (below is None or below.source is not None or below.alive or chain.done)


def with_all_below(chain: Chain) -> list[Chain]:
    """The chain and all below it that have not ended, those above first."""
    found = [chain]
    for one in found:  # grows: those below, those below them; chains are deeper than the stack
        # One that is done is being ended now, and its source's end has led here.
        alive = one._branches.alive if one._branches else ()
        found.extend(below for below in alive if not below.done)
    return found


def results_of(below: Branches) -> list[object]:
    """The outcomes of gathered chains, in the order of their links."""
    return [_result_of(branch) for branch in below.branches]


def _result_of(branch: Chain) -> object:
    if branch.state is State.CANCELLED and branch.error is None:
        return asyncio.CancelledError(f"chain {branch.name} was cancelled")
    return branch.response if branch.error is None else branch.error


def raiser(error: BaseException) -> Callable[[], object]:
    """A function that raises the error: a reader of what failed."""

    def throw() -> object:
        raise error

    return throw


# -- the last of several ----------------------------------------------------------------------


def last_branch(chain: Chain | None) -> Chain | None:
    """The only branch that a chain waits for, and will ever wait for."""
    below = None if chain is None else chain._branches
    if below is None or below.source is not None or below.gather is not None:
        return None
    if len(below.alive) != 1:
        return None
    # A paused branch stays a chain of its own: its `resume` would find nothing after a merge.
    (branch,) = below.alive
    return None if branch.is_paused or branch.done else branch


def only_waits(chain: Chain) -> bool:
    """Return True if a chain only waits for the end of its branches."""
    below = chain._branches
    if chain.state is not State.WAITING or below is None or not below.alive:
        return False
    return below.source is None and below.gather is None and not chain.is_paused


def hand_over(branch: Chain) -> Chain:
    """Give the chain above all that its last branch continues with.

    Args:
        branch: the last; to be merged then.

    Returns:
        The chain above.
    """
    chain = branch.parent
    if chain is None or chain._branches is None:
        raise ValueError(f"{branch!r} is no branch")
    # Without this, each page of an endless list that yields "this item, then the next page" would
    # leave one more chain waiting: a hundred thousand pages deep. The chain above takes the place
    # of its last branch, and remembers with what it would have ended.
    errors = (chain._branches.error, None if branch._kept is None else branch._kept.error)
    kept = chain._kept or Kept(chain.response, None)
    chain._kept = kept._replace(error=kept.error or errors[0] or errors[1])
    chain.session, chain._priority, chain._retry = branch.session, branch._priority, branch._retry
    chain.steps += branch.steps
    chain.retries += branch.retries
    chain._request, chain._lane = branch._request, branch._lane
    chain._errback, chain._is_failing = branch._errback, branch._is_failing
    chain._data = branch._data
    return chain


def move_branches(below: Branches | None, chain: Chain) -> None:
    """Have the chain wait for branches that another one has waited for."""
    # What waited for the branch waits for the chain now, else its end would lead nowhere.
    chain._branches = below
    for branch in () if below is None else below.alive:
        branch.parent = chain


def end_as_kept(
    chain: Chain, kept: Kept, state: State, error: BaseException | None
) -> tuple[State, BaseException | None]:
    """Outcome of a chain that its last branch continues: as if it had waited for that."""
    # A deadline or a cancel is of the whole chain: it counts more than what an early branch had.
    chain.response = kept.response
    if kept.error is None or state is State.CANCELLED or isinstance(error, DeadlineError):
        return state, error
    return State.FAILED, kept.error


def is_logged(chain: Chain, error: BaseException) -> bool:
    """Return True if the branch that raised the error has logged it."""
    below = chain._branches
    return below is not None and below.is_logged and below.error is error
