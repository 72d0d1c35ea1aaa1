"""The one server of a state directory: whether it runs, and its address.

Its process holds `server.lock`, which contains the address; `server.url` is for people and scripts,
and remains when the process is killed. So the lock decides whether the server runs: on the port of
one that has ended another program may listen, which must not get a password.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import click

from ..files import FileError, read_text, reason, replaced_file
from ..lockfile import Holder, Locked, LockFile, holder_of
from .errors import START
from .settings import DEFAULT_STATE_DIR

__all__ = [
    "ServerHere",
    "is_url",
    "locked_state_dir",
    "refuse_second_start",
    "remove_address",
    "server_here",
    "write_address",
]

#: File in the state directory with the address of its server.
ADDRESS_FILE = "server.url"
#: Lock file beside it, held by the process of that server.
LOCK_FILE = "server.lock"


class ServerHere(NamedTuple):
    """The server of a state directory.

    Args:
        url: its present or last address; empty if unknown.
        absence: why it cannot be asked, and the remedy; empty if it runs.
    """

    url: str = ""
    absence: str = ""


def server_here(state_dir: Path) -> ServerHere:
    """The server of a state directory: its URL, or its absence.

    Args:
        state_dir: its folder.
    """
    noted = _noted_url(state_dir)
    try:
        holder = holder_of(state_dir / LOCK_FILE)
    except OSError as error:
        return ServerHere("", f"{state_dir / LOCK_FILE} cannot be read: {reason(error)}")
    if holder is None:
        place = state_dir / ADDRESS_FILE
        ended = f"the one at {noted} has ended" if noted else f"there is no {place}"
        return ServerHere(noted, f"no server runs with {state_dir} ({ended}); {START}")
    url = holder.url if is_url(holder.url) else noted
    if url:
        return ServerHere(url)
    return ServerHere(
        "",
        f"a server runs with {state_dir} (process {holder.pid}), and {ADDRESS_FILE} does not say"
        " where: give --server URL, or try again if it has just been started",
    )


def refuse_second_start(state_dir: Path) -> None:
    """Refuse a start beside another server early, before loading the server's modules.

    Args:
        state_dir: the folder.

    Raises:
        click.ClickException: another process has the folder.
    """
    with contextlib.suppress(OSError):  # `locked_state_dir` says more
        holder = holder_of(state_dir / LOCK_FILE)
        if holder is not None:
            raise click.ClickException(_runs_already(state_dir, holder))


def locked_state_dir(state_dir: Path) -> LockFile:
    """Lock a state directory for this process.

    Args:
        state_dir: the folder, created if it is missing.

    Raises:
        click.ClickException: another process has it, or it cannot be used.
    """
    path = state_dir / LOCK_FILE
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return LockFile(path)
    except Locked as error:
        raise click.ClickException(_runs_already(state_dir, error.holder)) from None
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or path} cannot be used: {reason(error)}; or give another --state-dir"
        ) from None


def write_address(state_dir: Path, url: str) -> None:
    """Write the server's URL to the folder, for other commands.

    Args:
        state_dir: its folder.
        url: of the server.

    Raises:
        click.ClickException: it cannot be written.
    """
    path = state_dir / ADDRESS_FILE
    try:
        with replaced_file(path) as file:
            file.write(url)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {reason(error)}") from None


def remove_address(state_dir: Path) -> None:
    """Remove the address of a server that has ended."""
    with contextlib.suppress(OSError):
        (state_dir / ADDRESS_FILE).unlink(missing_ok=True)


def is_url(text: str) -> bool:
    """Return True if a text is the URL of a server."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # read for its ValueError
    except ValueError:
        return False
    is_printable = text.isprintable() and " " not in text
    return is_printable and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _noted_url(state_dir: Path) -> str:
    """The URL in `server.url`; empty if the file is missing or damaged."""
    try:
        url = read_text(state_dir / ADDRESS_FILE).strip().rstrip("/")
    except FileError:
        return ""
    return url if is_url(url) else ""


def _runs_already(state_dir: Path, holder: Holder) -> str:
    where = holder.url or "a server that is starting"
    process = f" (process {holder.pid})" if holder.pid else ""
    option = "" if state_dir == DEFAULT_STATE_DIR else f" --state-dir {shlex.quote(str(state_dir))}"
    return (
        f"webqq_tornado runs with {state_dir} already: {where}{process}. Join it with"
        f" `python -m webqq_tornado chat{option}`, or start another one with --state-dir DIR"
    )
