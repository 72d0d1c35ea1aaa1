"""The lock in a file: one holder, who says where it is, and no lock that outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from webqq_tornado.lockfile import Holder, Locked, LockFile, holder_of

HOLD = """
import signal, sys
from pathlib import Path
from webqq_tornado.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
lock.say("http://127.0.0.1:1")
print(flush=True)
signal.pause()
"""


def test_a_second_one_learns_who_has_it(tmp_path: Path):
    path = tmp_path / "lock"
    first = LockFile(path)
    first.say("http://127.0.0.1:8100")
    with pytest.raises(Locked) as caught:
        LockFile(path)
    assert caught.value.holder[:2] == (os.getpid(), "http://127.0.0.1:8100")
    assert caught.value.holder.is_this_process
    first.say("u")
    assert holder_of(path)[:2] == (os.getpid(), "u")


def test_it_is_free_before_and_after(tmp_path: Path):
    path = tmp_path / "lock"
    assert holder_of(path) is None
    lock = LockFile(path)
    lock.release()
    lock.release()
    assert holder_of(path) is None
    LockFile(path).release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path):
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    with process:
        process.stdout.readline()
        holder = holder_of(path)
        assert (holder.pid, holder.url) == (process.pid, "http://127.0.0.1:1")
        assert not holder.is_this_process
        process.send_signal(signal.SIGKILL)
    assert holder_of(path) is None
    LockFile(path).release()


@pytest.mark.parametrize("content", [b"", b"[" * 4000, b'{"pid": "x"}', b'{"pid": 1e999}', b"\xff"])
def test_a_file_that_is_damaged_is_a_lock_all_the_same(tmp_path: Path, content: bytes):
    path = tmp_path / "lock"
    path.write_bytes(content)
    assert holder_of(path) is None
    lock = LockFile(path)
    path.write_bytes(content)
    assert holder_of(path) == Holder()
    with pytest.raises(Locked):
        LockFile(path)
    lock.release()


def test_who_only_looks_is_not_in_the_way(tmp_path: Path, monkeypatch):
    import fcntl

    path = tmp_path / "lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    real, seen = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        seen.append(how)
        if len(seen) == 3:
            real(looking, fcntl.LOCK_UN)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    LockFile(path).release()
    os.close(looking)
    assert len(seen) > 3


def test_what_is_no_file_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(OSError, match="directory"):
        LockFile(tmp_path)
    with pytest.raises(OSError, match="directory"):
        LockFile(tmp_path / "none" / "lock")
