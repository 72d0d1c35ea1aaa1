"""Standard input and output that may be closed, full, or limited to ASCII."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
from typing import IO

__all__ = [
    "flush_output",
    "has_reader",
    "is_of_output",
    "is_unicode_output",
    "mute_output",
    "prepare_streams",
]


def prepare_streams() -> None:
    """Open closed standard streams, and let them encode any script."""
    # The next opened file would get the closed descriptor.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - until the end
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="backslashreplace")  # a terminal for ASCII has no 微笑


def is_unicode_output() -> bool:
    """Return True if standard output can encode any character."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return codecs.lookup(encoding).name.startswith("utf")


def is_of_output(error: OSError) -> bool:
    """Return True if an error is most likely of standard output: it names no file.

    Args:
        error: raised by printing.
    """
    if error.filename is not None or error.errno not in _UNWRITABLE:
        return False
    return error.errno != errno.EPIPE or not has_reader(sys.stdout)


#: Errors of writing to a pipe without a reader, or to a disk.
_UNWRITABLE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def has_reader(stream: IO[str]) -> bool:
    """Return True if a stream may have a reader; False only for a pipe that was closed.

    Args:
        stream: that is written to.
    """
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return not any(events & select.POLLERR for _, events in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # Windows has no poll; a buffer no descriptor
        return True


def flush_output() -> None:
    """Flush the output while an error can still be reported."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed meanwhile
            stream.flush()


def mute_output() -> None:
    """Discard buffered output, which the interpreter would try to write again at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
