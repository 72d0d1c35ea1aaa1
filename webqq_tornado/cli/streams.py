"""Standard input and output as a command finds them: closed, full, or for ASCII alone."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys

__all__ = [
    "flush_output",
    "is_unicode_output",
    "mute_output",
    "prepare_streams",
]


def prepare_streams() -> None:
    """Have all three streams, and text of any script in them."""
    # A descriptor that is closed would be given to the next file that is opened.
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
    """Whether standard output can take any character."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return codecs.lookup(encoding).name.startswith("utf")


def flush_output() -> None:
    """Write out what is left, while what fails can still be told."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # closed meanwhile
            stream.flush()


def mute_output() -> None:
    """Have nothing left that the interpreter would try to write once more when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
