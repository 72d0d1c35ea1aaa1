"""Tracebacks of errors that users' code raised: from that code on, without the frames above it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import CodeType, TracebackType

__all__ = ["cut_callers", "first_line"]

_ENGINE = os.path.dirname(os.path.abspath(__file__)) + os.sep
#: A flow that calls the readers of others, too.
_CRAWL = os.path.join(os.path.dirname(_ENGINE.rstrip(os.sep)), "flows", "crawl.py")
#: Functions of the engine that call readers, errbacks and hooks. Where a `TypeError` ends in one of
#: them, the call itself failed: its function takes other arguments.
_CALLERS = frozenset({"_read", "follow_call", "follow_gathered", "handle_error", "on_error"})


def cut_callers(error: BaseException) -> None:
    """Let the error's traceback begin with users' code; one without any stays whole.

    Args:
        error: raised by users' code, or by the engine.
    """
    trace = error.__traceback__
    for trace in _frames(error.__traceback__):
        if not _is_ours(trace.tb_frame.f_code):
            error.__traceback__ = trace
            return
    is_call = trace is not None and trace.tb_frame.f_code.co_name in _CALLERS
    if is_call and isinstance(error, TypeError):
        error.__traceback__ = None


def first_line(error: BaseException) -> tuple[CodeType, int] | None:
    """The users' function that the error came from first, and the line; None without any."""
    for trace in _frames(error.__traceback__):
        if not _is_ours(trace.tb_frame.f_code):
            return trace.tb_frame.f_code, trace.tb_lineno
    return None


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith((_ENGINE, _CRAWL))
