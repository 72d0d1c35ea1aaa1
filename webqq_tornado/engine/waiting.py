"""Detection of deadlocks: a chain that is awaited by one it depends on.

A reader that awaits its own chain, one above it, or one whose reader awaits this one, blocks what
it waits for: it gets a RuntimeError. A caller who holds an open response or WebSocket, and waits
for a chain that finds no place to be sent because of that, may block it: that is a TimeoutError,
once the request has waited for its turn as long as it might take by itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

from .chain import Chain
from .errors import TimeoutError
from .eventloop import running_task
from .merging import heir_of

__all__ = [
    "close_unstarted",
    "hold",
    "let_go",
    "make_task",
    "owning_chain",
    "plain_wait",
    "running_chain",
    "running_owner",
    "stop_task",
    "wait",
    "wake",
]

#: The chain that a task belongs to. The tasks which such a task makes inherit it, and are others.
_running: contextvars.ContextVar[Chain | None] = contextvars.ContextVar("running", default=None)
#: Whose responses a task holds open.
_held: contextvars.ContextVar[tuple[Chain, ...]] = contextvars.ContextVar("held", default=())
#: Of all streams: whose readers wait for which chain.
_awaited: dict[Chain, Chain] = {}


def running_chain() -> Chain | None:
    """The chain whose reader or source is what the current task runs."""
    chain = _running.get()
    if chain is None or chain._task is None or chain._task is not asyncio.current_task():
        return None
    return chain


def owning_chain() -> Chain | None:
    """The chain in whose name the current code runs, in tasks that its own has begun, too."""
    chain = _running.get()
    return None if chain is None or chain.done else heir_of(chain)


def running_owner() -> Chain | None:
    """The chain that the running task belongs to, also where that has ended; None outside tasks."""
    chain = None if running_task() is None else _running.get()
    return None if chain is None else heir_of(chain)


def make_task(
    chain: Chain,
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, None],
) -> asyncio.Task[None]:
    """A task of a chain's: `running_chain` says so in it.

    Args:
        chain: whose.
        loop: to run it.
        coroutine: of the task.
    """
    # A task copies the context in which it is made: this is set for that moment alone.
    token = _running.set(chain)
    try:
        return loop.create_task(coroutine)
    finally:
        _running.reset(token)


def stop_task(chain: Chain) -> None:
    """Cancel the task of a chain, unless it is that which asks for it.

    Args:
        chain: whose; it has none then.
    """
    task, chain._task = chain._task, None
    # A reader that ends its own chain runs on to its return. On a closed loop `cancel` raises.
    if task is not None and task is not running_task() and not task.get_loop().is_closed():
        task.cancel()


def close_unstarted(awaited: object) -> None:
    """Close a coroutine whose task was cancelled before its first step: nobody will await it.

    Args:
        awaited: what the task was to await; nothing happens unless it is such a coroutine.
    """
    # One that has begun is closed by its task; of any other Python warns that nobody awaited it.
    if inspect.iscoroutine(awaited) and inspect.getcoroutinestate(awaited) == inspect.CORO_CREATED:
        awaited.close()


def wake(waiter: asyncio.Future[None]) -> None:
    """End a wait, unless it was cancelled."""
    if not waiter.done():
        waiter.set_result(None)


def hold(*chains: Chain | None) -> None:
    """The current task holds their responses open, or waits for one who does.

    Args:
        chains: which; None is none.
    """
    _held.set((*_held.get(), *(chain for chain in chains if chain is not None)))


def let_go(*chains: Chain | None) -> None:
    """Undo `hold`.

    Args:
        chains: which.
    """
    # Not by a token: a block may be left in another context than it was entered, and in any order.
    _held.set(tuple(chain for chain in _held.get() if chain not in chains))


def wait(chain: Chain, turn: Callable[[Chain], tuple[bool, float]]) -> Generator[Any, None, None]:
    """Wait until a chain has ended.

    Args:
        chain: which.
        turn: whether it waits for its turn, and the seconds that its request may take; 0: any.

    Raises:
        RuntimeError: it waits for the reader that asks.
        TimeoutError: it waits for its turn, and the caller holds a place.
    """
    held, running = _held.get(), _running.get()
    # Nearly all: neither in a reader nor in the block of an open response.
    if running is None and not held:
        return _until_ended(chain)
    # Tasks that a reader has made are as good as itself: it may await them together.
    places = [one for one in (*held, running) if one is not None and _is_open(one)]
    watch = functools.partial(_TurnWatch, chain, places, turn) if places else None
    reader = running_chain()
    return _until_ended(chain, watch) if reader is None else _by_reader(reader, chain, watch)


def plain_wait(chain: Chain, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None] | None:
    """Return what ends with the chain, for who awaits it by fewer calls than `wait`.

    Args:
        chain: that has not ended.
        loop: the one that is running.

    Returns:
        None where `wait` has more to look at: who asks is in a reader, or holds a response open.
    """
    if _running.get() is not None or _held.get():
        return None
    return _waiter_of(chain, loop)


def _by_reader(
    reader: Chain, chain: Chain, watch: Callable[[asyncio.Future[None]], _TurnWatch] | None
) -> Generator[Any, None, None]:
    _refuse_circle(reader, chain)
    # One for each reader: its task awaits one thing at a time.
    _awaited[reader] = chain
    try:
        yield from _until_ended(chain, watch)
    finally:
        _awaited.pop(reader, None)


def _until_ended(
    chain: Chain, watched: Callable[[asyncio.Future[None]], _TurnWatch] | None = None
) -> Generator[Any, None, None]:
    # A future for each who waits: cancelled with one of them, it ends nobody else's wait.
    waiter = _waiter_of(chain, asyncio.get_running_loop())
    watch = None if watched is None else watched(waiter)
    try:
        yield from waiter
    finally:
        # Merged meanwhile, the chain answers with the waiters of its heir, and this is one of them.
        if chain._waiters is not None:  # its callers wait no more
            chain._waiters.pop(waiter, None)
        if watch is not None:
            watch.stop()


def _waiter_of(chain: Chain, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    waiter: asyncio.Future[None] = loop.create_future()
    if chain._waiters is None:
        chain._waiters = {}
    chain._waiters[waiter] = None
    return waiter


def _refuse_circle(reader: Chain, chain: Chain) -> None:
    if heir_of(chain) in _held_up_by(reader):
        raise RuntimeError(
            f"a reader of chain {reader.name} awaits chain {chain.name}, which waits for that "
            "reader: neither would end. Return from the reader, or await it in a task of its own"
        )


def _held_up_by(reader: Chain) -> set[Chain]:
    """The chains that cannot end before the reader has: its own, those above, who awaits these."""
    held_up = set(_with_those_above(reader))
    before = 0
    # Until none is added: who awaits one of these may be awaited in turn.
    while before < len(held_up):
        before = len(held_up)
        for waiting, awaited in tuple(_awaited.items()):  # a few: readers seldom await chains
            if heir_of(awaited) in held_up:
                held_up.update(_with_those_above(waiting))
    return held_up


def _with_those_above(chain: Chain | None) -> Iterator[Chain]:
    while chain is not None:
        yield chain
        chain = chain.parent


def _is_open(chain: Chain) -> bool:
    """Return True if the chain holds one of the places for requests in flight."""
    return chain._transfer is not None or chain._socket is not None


class _TurnWatch:
    """Ends the waiting for a chain that does not get its turn, for one who holds a place.

    Args:
        chain: that is awaited.
        held: whose responses the one who awaits it holds open.
        turn: see `wait`.
        waiter: of that one.
    """

    def __init__(
        self,
        chain: Chain,
        held: list[Chain],
        turn: Callable[[Chain], tuple[bool, float]],
        waiter: asyncio.Future[None],
    ) -> None:
        self._chain = chain
        self._held = held
        self._turn = turn
        self._waiter = waiter
        self._step: int | None = None  # that waited for its turn when it was looked at last
        self._timer: asyncio.TimerHandle | None = None
        self._look()

    def stop(self) -> None:
        """Stop counting the chain as awaited."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        if self._chain.done or self._waiter.done():
            return
        is_queued, seconds = self._turn(self._chain)
        # Looked at each time: one that has given back its place blocks nobody.
        held = list(filter(_is_open, self._held))
        # The same step at two looks: it has waited for all of these seconds.
        if is_queued and held and self._chain.steps == self._step:
            self._waiter.set_exception(self._error(seconds, held))
        elif seconds:
            self._step = self._chain.steps if is_queued else None
            self._timer = self._waiter.get_loop().call_later(seconds, self._look)

    def _error(self, seconds: float, held: list[Chain]) -> TimeoutError:
        names = ", ".join(one.name for one in held)
        return TimeoutError(
            f"chain {self._chain.name} has waited {seconds:g} s for its turn, and its caller "
            f"holds a place open (chain {names}): leave that first, or raise max_clients= or "
            "the limits= of the host",
            request=self._chain._request,
            chain=self._chain.name,
            step=self._chain.steps,
        )
