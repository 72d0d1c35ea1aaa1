"""The end of a program: signals, the grace period of readers, and errors.

The first SIGINT or SIGTERM asks the program to finish, the second ends it at once.

What is awaited goes on, and nothing new begins. From the signal on a request is sent only if
a caller awaits its chain, or one above that, or needs the credentials that it is to bring. So what
a reader under way has to know it still hears; what it begins beside that, and what it returns, is
not sent. What is in flight may be answered meanwhile, and is read; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Protocol, TypeVar

from tornado.ioloop import IOLoop

from .chain import Chain, State, is_delay
from .eventloop import asyncio_loop_of
from .renewal import Part

__all__ = [
    "GRACE",
    "Failures",
    "checked_grace",
    "finish",
    "is_awaited",
    "raise_signal",
    "run_whole",
    "show_logs",
    "stop_signals",
]

#: Seconds that readers under way have at most, once the program is asked to end.
GRACE = 10.0
#: Errors that an `ExceptionGroup` holds at most; the others are counted.
MAX_FAILURES = 20

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_T = TypeVar("_T")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def checked_grace(grace: object) -> float:
    """Return the seconds.

    Args:
        grace: as given.

    Raises:
        ValueError: it is no number of seconds.
    """
    if not is_delay(grace):
        raise ValueError(f"grace is a number of seconds, 0 or more, not {grace!r}")
    return float(grace)  # type: ignore[arg-type] # just checked


@contextlib.contextmanager
def stop_signals(
    on_stop: Callable[[], object], *, is_caught: bool = True
) -> Iterator[Sequence[int]]:
    """Call a function on the running loop at the first SIGINT or SIGTERM, while in the block.

    The second one raises what it raises by itself: KeyboardInterrupt, or SystemExit. The handlers
    of before are back after the block. A signal that is ignored stays so, as nohup wants it. In
    another thread than the main one, where Python takes no handlers, nothing is changed.

    Args:
        on_stop: takes nothing.
        is_caught: False leaves all signals alone.

    Yields:
        The numbers of the signals that came; empty so far.
    """
    numbers: list[int] = []
    loop = asyncio.get_running_loop()

    # Python's handler, not the loop's: the second signal also ends a reader that blocks the loop.
    def on_signal(number: int, _frame: FrameType | None) -> None:
        if numbers:
            restore()  # an error raised here may never return to the block
            raise_signal(number)
        numbers.append(number)
        # Behind a handler `select` goes on waiting (PEP 475): only this way of calling wakes it.
        loop.call_soon_threadsafe(on_stop)

    before = _exchange_handlers(on_signal) if is_caught else {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield numbers
    finally:
        restore()


def _exchange_handlers(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # in another thread than the main one
        for number in _SIGNALS:
            old = signal.getsignal(number)
            # None is the handler of a program that embeds Python: it could not be put back.
            if old not in (signal.SIG_IGN, None):
                signal.signal(number, handler)
                before[number] = old
    return before


def raise_signal(number: int) -> None:
    """Raise the exception that ends a program by this signal.

    Args:
        number: of it.

    Raises:
        KeyboardInterrupt: SIGINT.
        SystemExit: another one, with the exit code of a shell: 143 for SIGTERM.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def run_whole(
    ioloop: IOLoop, make: Callable[[], Coroutine[Any, Any, _T]], close: Callable[[], object]
) -> _T:
    """Run a coroutine to its end; where an exception ends the loop, like Ctrl-C, nothing is left.

    Args:
        ioloop: does not run yet.
        make: makes the coroutine, on the loop.
        close: ends at once what it waits for.
    """
    # Tornado keeps the task to itself, and leaves it unfinished where an exception ends the loop.
    tasks: list[asyncio.Task[_T]] = []

    def start() -> asyncio.Task[_T]:
        tasks.append(asyncio.get_running_loop().create_task(make()))
        return tasks[0]

    try:
        return ioloop.run_sync(start)  # type: ignore[no-any-return]
    finally:
        if tasks and not tasks[0].done():
            close()
            tasks[0].cancel()
            # What has ended the loop is on its way to the caller, and counts.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                asyncio_loop_of(ioloop).run_until_complete(tasks[0])


class Runner(Protocol):
    """The part of the runner that ends with the program."""

    chains: set[Chain]

    def send_awaited_only(self, on_rest: Callable[[], None]) -> None:
        """Send nothing else from now on; say when a source is at rest."""

    def is_at_rest(self, chain: Chain) -> bool:
        """Return True if the chain's source waits for room."""


async def finish(runner: Runner, grace: float) -> None:
    """Send only what is awaited, and wait until the readers under way are done.

    Args:
        runner: of a stream.
        grace: seconds to wait at most.
    """
    has_rested = asyncio.Event()
    runner.send_awaited_only(has_rested.set)
    try:
        await asyncio.wait_for(_readers_are_done(runner, has_rested), grace)
    except asyncio.TimeoutError:  # not the builtin one before Python 3.11
        busy = (chain.name for chain in runner.chains if _what_runs(runner, chain))
        names = ", ".join(sorted(busy))
        logging.getLogger("webqq_tornado.engine").warning(
            "readers under way are given up after %g s: %s", grace, names
        )


async def _readers_are_done(runner: Runner, has_rested: asyncio.Event) -> None:
    while busy := [future for chain in runner.chains for future in _what_runs(runner, chain)]:
        has_rested.clear()
        resting = asyncio.ensure_future(has_rested.wait())
        try:
            await asyncio.wait([*busy, resting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
        # A task is done before its chain knows that; who awaited one may go on to the next.
        await asyncio.sleep(0)


def _what_runs(runner: Runner, chain: Chain) -> list[asyncio.Future[Any]]:
    """Tasks of the chain's reader or source, and who awaits it."""
    task = chain._task
    # A reader may be an async generator, which is at rest when it waits to be asked for more links.
    # That of `begin` is none: it may wait for work that never comes.
    is_source = chain.state is State.WAITING and chain.steps > 0
    is_read = chain.state is State.READING or (is_source and not runner.is_at_rest(chain))
    return [*(chain._waiters or ()), *([task] if is_read and task is not None else ())]


def is_awaited(chain: Chain, parts: Mapping[Chain, Part]) -> bool:
    """Return True if a caller awaits a chain, or one that depends on it.

    Args:
        chain: below which others may be.
        parts: chains that belong to a renewal of credentials.
    """
    found: dict[Chain, None] = {chain: None}
    todo = [chain]
    for one in todo:  # grows: those above, and those that wait for its credentials
        if one._waiters:
            return True
        part = parts.get(one)
        waiting = () if part is None else part.renewal.waiting
        for other in (one.parent, *waiting):
            if other is not None and other not in found:
                found[other] = None
                todo.append(other)
    return False


class Failures:
    """Errors that have ended chains: the first ones, and how many there are.

    Attributes:
        errors: the first `MAX_FAILURES`.
        count: of all.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.count = 0

    def add(self, error: BaseException) -> None:
        """Note an error; one that ends several chains counts once."""
        # By identity: two errors that compare equal are two failures.
        if any(known is error for known in self.errors):
            return
        self.count += 1
        if self.count <= MAX_FAILURES:
            self.errors.append(error)

    def raise_any(self) -> None:
        """Raise the error, or an `ExceptionGroup` of several where Python has one."""
        if not self.errors:
            return
        group: Any = getattr(builtins, "ExceptionGroup", None)  # from Python 3.11 on
        # An ExceptionGroup takes nothing that is no Exception.
        each = [error for error in self.errors if isinstance(error, Exception)]
        if group is None or len(each) < 2:
            raise self.errors[0]
        shown = "" if self.count <= MAX_FAILURES else f", of which these are the first {len(each)}"
        raise group(f"{self.count} errors have ended chains{shown}", each)


def show_logs() -> None:
    """Write log lines to standard error, unless the program has handlers of its own for ours."""
    # Handlers of the root logger count, too: ours are for programs that have set up nothing.
    if not logging.getLogger("webqq_tornado").hasHandlers():
        logging.basicConfig(level=logging.INFO, format=_FORMAT)
