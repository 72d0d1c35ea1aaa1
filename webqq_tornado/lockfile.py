"""A lock in a file, of which one process at a time is the holder, and says who it is.

The system takes the lock from a process that ends, however it ends: none is left behind by
`kill -9`. The file stays, as removing it would leave two programs with a lock each, one of them on
a file without a name. Windows, where the commands do not run, has no such locks: there it is free.

    exclusive   held by the process, for as long as it runs
    shared      for the moment in which another one looks
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Holder", "LockFile", "Locked", "holder_of"]

#: Tells this process from others, also where containers give them the same number.
_PROCESS = secrets.token_hex(8)
#: Tries to get it from those who only look; each of these takes microseconds.
_TRIES = 1000
#: Bytes of the file at most.
_LARGEST = 4096
#: Errors of file systems without locks: there is nothing to hold then.
_UNKNOWN = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class Holder(NamedTuple):
    """The process that holds a lock.

    Args:
        pid: its process; 0 if it has not said so yet.
        url: where it serves, or whom it talks to; empty if there is no such place.
        process: a mark that no other process has.
    """

    pid: int = 0
    url: str = ""
    process: str = ""

    @property
    def is_this_process(self) -> bool:
        """True if it is the current process."""
        return self.process == _PROCESS


class Locked(Exception):
    """Another holder has the lock.

    Args:
        holder: who.
    """

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"process {holder.pid} has it")
        self.holder = holder


class LockFile:
    """A lock that is held from here on, until `release` or the end of the process.

    Args:
        path: of the file; made if it is not there, for its owner alone.

    Raises:
        Locked: another process has it.
        OSError: the file cannot be written.

    Example:
        >>> lock = LockFile(Path("server.lock"))
        >>> lock.say("http://127.0.0.1:8100")
        >>> holder_of(Path("server.lock")).url
        'http://127.0.0.1:8100'
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._file)
            self.say("")
        except BaseException:
            os.close(self._file)
            raise

    def say(self, url: str) -> None:
        """Tell others where one is.

        Args:
            url: of the server.
        """
        text = json.dumps(Holder(os.getpid(), url, _PROCESS)._asdict()).encode()
        os.pwrite(self._file, text.ljust(len(_content(self._file))), 0)

    def release(self) -> None:
        """Let others have it. Once is enough, more do no harm."""
        file, self._file = self._file, -1
        if file >= 0:
            os.ftruncate(file, 0)
            os.close(file)


def holder_of(path: Path) -> Holder | None:
    """The process that holds the lock of a file; None if it is free.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _is_free(file) else _holder(file)
    finally:
        os.close(file)


def _lock(file: int) -> None:
    """Take it; who only looks is in the way for a moment alone."""
    if fcntl is None:
        return
    for _ in range(_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not _is_free(file):
                break
        except OSError as error:
            if error.errno in _UNKNOWN:
                return
            raise
    raise Locked(_holder(file))


def _is_free(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    return True


def _holder(file: int) -> Holder:
    """Read the holder from a lock file; it is empty in the moment after the lock was taken."""
    try:
        said = json.loads(_content(file))
        return Holder(int(said["pid"]), str(said["url"]), str(said["process"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Holder()


def _content(file: int) -> bytes:
    return os.pread(file, _LARGEST, 0)
