"""Standard input and output as a command finds them: closed, full, or for ASCII alone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any

import click

__all__ = ["Command"]

#: What a disk says that is full; a pipe that was closed is click's.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Command(click.Group):
    """The whole command: what its output can not take is told in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was given."""
        _prepare()
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            _let_go()
            what = error.filename or "the output"
            raise click.ClickException(f"{what} can not be written: {error.strerror}") from None


def _prepare() -> None:
    if sys.stdin is None:  # closed: there is nothing to read
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # a terminal for ASCII has no 微笑


def _let_go() -> None:
    """Have nothing left for the interpreter to write when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
