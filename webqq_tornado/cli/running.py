"""Run a command's coroutine to its end, to Ctrl-C or to another signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

import click

from .errors import INTERRUPTED, end_interrupted

__all__ = ["INTERRUPTED", "catch_signals", "run_coroutine", "until_stopped"]

logger = logging.getLogger("webqq_tornado.cli")


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine and return its result. Errors end the command, see `errors`."""
    try:
        return asyncio.run(coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError, click.Abort):
        end_interrupted()


def catch_signals() -> asyncio.Event:
    """Return an event that Ctrl-C, SIGTERM and SIGHUP set; a second signal ends at once."""
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(INTERRUPTED)
        logger.info("leaving")
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # ignored, as nohup does
            loop.add_signal_handler(number, stop)
    return stopped


async def until_stopped(stopped: asyncio.Event, prompt: Coroutine[Any, Any, object] | None) -> None:
    """Wait for a signal, or for the end of the prompt."""
    waiting: list[asyncio.Task[object]] = [asyncio.ensure_future(stopped.wait())]
    if prompt is not None:
        waiting.append(asyncio.ensure_future(prompt))
    _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    stopped.set()
    for result in results:
        if isinstance(result, Exception):
            raise result
