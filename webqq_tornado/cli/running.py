"""Run a command's coroutine to its end, or to Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import click

from .errors import INTERRUPTED, end_interrupted

__all__ = ["INTERRUPTED", "run_coroutine"]


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine and return its result. Errors end the command, see `errors`."""
    try:
        return asyncio.run(coroutine)
    except (KeyboardInterrupt, asyncio.CancelledError, click.Abort):
        end_interrupted()
