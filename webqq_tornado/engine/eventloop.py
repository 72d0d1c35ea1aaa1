"""The running loop, its thread, and the limit of descriptors."""

from __future__ import annotations

import asyncio
import errno
import os
import warnings
from collections.abc import Awaitable
from typing import Any, TypeVar

from tornado.ioloop import IOLoop

__all__ = [
    "asyncio_loop_of",
    "current_ioloop",
    "descriptor_limit",
    "error_of",
    "is_nested",
    "lacks_descriptors",
    "refuse_other_thread",
    "refuse_running_loop",
    "running_task",
    "within",
]

T = TypeVar("T")

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

#: File descriptors left to the rest of the process.
_SPARE_DESCRIPTORS = 64


def asyncio_loop_of(ioloop: IOLoop) -> asyncio.AbstractEventLoop:
    """The loop that an IOLoop works on: always asyncio's, though Tornado's types do not say so."""
    loop: asyncio.AbstractEventLoop = ioloop.asyncio_loop  # type: ignore[attr-defined]
    return loop


def current_ioloop() -> IOLoop:
    """The running loop, else the thread's current one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # A script that has not started its loop yet, as in 2013. asyncio would rather not
        # know of current loops that do not run, and warns from Python 3.12 on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return IOLoop.current()
    return IOLoop.current()


def running_task() -> asyncio.Task[Any] | None:
    """The task that is calling; None in a callback of the loop, and where no loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


async def error_of(awaitable: Awaitable[object]) -> BaseException | None:
    """The error of an awaitable as a value; None if it has a result.

    Args:
        awaitable: such as a chain, whose own cancellation is an error, too.
    """
    try:
        await awaitable
    except (Exception, asyncio.CancelledError) as error:
        return error
    return None


def refuse_running_loop(what: str, instead: str) -> None:
    """Raise `RuntimeError` if a loop runs: `what` would block it, `instead` would not."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"{what} would block the loop that is running: use {instead}")


def refuse_other_thread(ioloop: IOLoop) -> None:
    """Raise `RuntimeError` where another loop runs: that of the stream would not be woken.

    Where none runs it may be started later.
    """
    # Not `get_running_loop`, which raises where none runs: this is asked for each request.
    loop, running = asyncio_loop_of(ioloop), asyncio._get_running_loop()
    if running is loop:
        return
    if loop.is_running():
        raise RuntimeError(
            "the stream's loop runs in another thread, and nothing of the stream may be called "
            "from this one: use stream.ioloop.add_callback(stream.add_request, ...)"
        )
    if running is not None:
        raise RuntimeError(
            "the stream is of another loop than the one that runs here, and would wait for ever: "
            "make it inside of the coroutine that asyncio.run() runs, or use HTTPStream.instance()"
        )


def is_nested(loop: asyncio.AbstractEventLoop) -> bool:
    """Return True if the loop can run inside one of its own callbacks, as `nest_asyncio` allows."""
    return hasattr(loop, "_nest_patched")


def lacks_descriptors() -> bool:
    """The process can open no more files: libcurl does not say so, it only cannot connect."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        # The process has no more, or the system.
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False


def descriptor_limit() -> int:
    """Requests that can be in flight before the process runs out of file descriptors."""
    # Windows: Python's `select` takes 512 sockets.
    if resource is None:
        return 512 - _SPARE_DESCRIPTORS
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 2**20
    return max(1, soft - _SPARE_DESCRIPTORS)


async def within(awaitable: Awaitable[T], seconds: float | None) -> T:
    """Await as `asyncio.wait_for` does from Python 3.12 on.

    Before, that loses a cancellation that meets the result: a task that waits again and again goes
    on, and whoever has cancelled it waits for its end for ever.

    Args:
        awaitable: cancelled when the time is over, or the caller is cancelled.
        seconds: for it; None: as long as it takes.

    Raises:
        asyncio.TimeoutError: the time is over.
    """
    future = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait([future], timeout=seconds)
    except asyncio.CancelledError:
        await _cancelled(future)
        raise
    if not future.done():
        await _cancelled(future)
        if future.cancelled():
            raise asyncio.TimeoutError
    return future.result()


async def _cancelled(future: asyncio.Future[Any]) -> None:
    future.cancel()
    await asyncio.wait([future])  # it may have something to clear up
