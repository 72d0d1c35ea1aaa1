"""A PostgreSQL server of the tests' own, in a directory that is removed with it.

It listens on a socket there, not on a port, and loses nothing but time by not syncing its files.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from servers.processes import announce, wait_for_the_end

#: Users as which it may run: it refuses to run as root.
USERS = ("postgres", "nobody")
OPTIONS = {
    **dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "off"),
    **{"shared_buffers": "16MB", "max_connections": "200", "listen_addresses": ""},
}


def programs() -> Path:
    """Where Debian has them: often not in PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    assert initdb, "the tests need PostgreSQL: apt install postgresql"
    return Path(initdb).resolve().parent


def as_user(folder: Path) -> dict[str, Any]:
    """Arguments of `Popen` by which it is not root's."""
    if os.getuid() != 0:
        return {}
    for name in USERS:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            os.chown(folder, user.pw_uid, user.pw_gid)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError(f"none of the users {USERS} is there")


def main() -> None:
    # A short path: those of sockets have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    quiet = {"stdout": subprocess.DEVNULL, "stdin": subprocess.DEVNULL, "cwd": "/"}
    user = as_user(folder)
    data = folder / "data"
    try:
        command = [programs() / "initdb", "-N", "-A", "trust", "-U", "tests", "-D", data]
        subprocess.run([*command, "--no-locale", "-E", "UTF8"], check=True, **quiet, **user)
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        server = subprocess.Popen(
            [programs() / "postgres", "-D", data, "-k", folder, *options],
            **quiet,
            **user,
            stderr=(folder / "log").open("w"),
        )
        try:
            ready = [programs() / "pg_isready", "-q", "-h", folder]
            while subprocess.run(ready, check=False).returncode:
                assert server.poll() is None, (folder / "log").read_text()
            announce(url=f"postgresql://tests@/postgres?host={folder}", pid=server.pid)
            wait_for_the_end()
        finally:
            server.send_signal(signal.SIGQUIT)  # at once
            server.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
