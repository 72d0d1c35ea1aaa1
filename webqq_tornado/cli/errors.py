"""The end of a command that failed: errors as one line, interrupts as an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

__all__ = ["INTERRUPTED", "START", "TERMINATED", "end_interrupted", "one_line", "unreachable"]

#: Exit codes of a process ended by Ctrl-C or SIGTERM.
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

#: Remedy without a server.
START = "start a server with `python -m webqq_tornado serve`, or name one with --server URL"


def end_interrupted() -> NoReturn:
    """End the process as Ctrl-C does, on a new line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would show a traceback
    with contextlib.suppress(OSError, ValueError):
        if os.isatty(2):
            sys.stderr.write("\n")
    sys.exit(INTERRUPTED)


def one_line(error: Exception) -> str | None:
    """The message for an error that is not a bug; None for any other error.

    Args:
        error: that ended a command.
    """
    if isinstance(error, OSError) and not _is_of_ours(error):
        return _line_of_system(error)
    import sqlite3  # noqa: PLC0415 - as below

    if isinstance(error, sqlite3.Error):
        return f"a database of the state directory cannot be used: {error}"
    if isinstance(error, UnicodeEncodeError):  # of a name: options check text themselves
        return _in_one_line(
            f"{error.object!r} cannot be written in {error.encoding}: set LC_ALL=C.UTF-8"
        )
    if isinstance(error, _expected()):
        said = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
        return _in_one_line(said)
    return None


def unreachable(url: str, place: str, error: Exception) -> str:
    """The message for a server that does not answer.

    Args:
        url: of the server.
        place: source of the URL.
        error: of the request; its own URL, a query of the protocol, is not shown.
    """
    why = getattr(error, "message", None) or str(error)
    _, _, phase = why.partition(": ")
    return _in_one_line(f"no server answers at {url} ({place}): {phase or why}; {START}")


def _is_of_ours(error: OSError) -> bool:
    return type(error).__module__.partition(".")[0] == __name__.partition(".")[0]


def _line_of_system(error: OSError) -> str:
    what = error.filename if error.filename is not None else "the output"
    if isinstance(what, bytes):
        what = os.fsdecode(what)
    why = error.strerror or str(error) or type(error).__name__
    verb = "cannot be written" if error.filename is None else "cannot be used"
    return _in_one_line(f"{what} {verb}: {why}")


def _in_one_line(text: str) -> str:
    from .console import printable  # noqa: PLC0415 - it brings rich

    return printable(" ".join(text.split("\n")))


def _expected() -> tuple[type[Exception], ...]:
    # Imported when something has failed: commands import what they need, and no more.
    from ..bot.bot import PluginError  # noqa: PLC0415
    from ..client.login import LoginError  # noqa: PLC0415
    from ..client.receipt import SendError  # noqa: PLC0415
    from ..client.store import StoreError  # noqa: PLC0415
    from ..engine.errors import StreamError  # noqa: PLC0415
    from ..protocol.errors import ProtocolError  # noqa: PLC0415
    from ..server.app import PortTaken  # noqa: PLC0415
    from ..server.storage import StorageError  # noqa: PLC0415
    from ..server.tls import CertificateError  # noqa: PLC0415

    return (
        *(CertificateError, LoginError, PluginError, PortTaken, ProtocolError),
        *(SendError, StorageError, StoreError, StreamError),
    )
