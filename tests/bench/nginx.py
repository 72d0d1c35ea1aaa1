"""The server of the closed loops: an nginx of our own on free ports, pinned to a core."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .children import pinned

#: 13 bytes: small enough that only the work for each request counts.
BODY = "Hello, World!"
#: Connections that it takes, if the limit on file descriptors allows.
CONNECTIONS = 19_000

_CONFIG = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections {connections}; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    tcp_nodelay on;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{http} backlog=16384;
        location / {{ return 200 "{body}"; }}
        location = /status {{ stub_status; }}
    }}
    server {{
        listen 127.0.0.1:{h2c} http2;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


class Counters(NamedTuple):
    """What it has counted since it started: connections, and requests on them."""

    connections: int
    requests: int


class Nginx(NamedTuple):
    """Its addresses: HTTP/1.1, and HTTP/2 without TLS."""

    http: str
    h2c: str

    def counters(self) -> Counters:
        """Asked over a connection of its own, which is counted too."""
        page = urllib.request.urlopen(self.http + "status", timeout=10).read().decode()
        accepts, _handled, requests = map(int, re.findall(r"^ (\d+) (\d+) (\d+)", page, re.M)[0])
        return Counters(accepts, requests)


def version() -> str:
    """As in "nginx/1.22.1"."""
    shown = subprocess.run([_binary(), "-v"], capture_output=True, text=True, check=True)
    return shown.stderr.partition("version: ")[2].strip()


@contextlib.contextmanager
def running(folder: Path, core: int | None, files: int) -> Iterator[Nginx]:
    """Run it, with its files in an empty folder.

    Args:
        folder: for its configuration and its log.
        core: that its worker runs on.
        files: descriptors that it may have open.
    """
    with socket.socket() as http, socket.socket() as h2c:
        for listener in (http, h2c):
            listener.bind(("127.0.0.1", 0))
            listener.listen(16384)
            # nginx takes it as it is, and would wait in accept() for the next one.
            listener.setblocking(False)
        ports = {"http": http.getsockname()[1], "h2c": h2c.getsockname()[1]}
        # Else the worker is nobody, who may not enter the folder.
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        limits = {"files": files, "connections": min(CONNECTIONS, files - 100)}
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, user=user, body=BODY, **limits, **ports))
        fds = (http.fileno(), h2c.fileno())
        # It takes over listening sockets as from an older nginx: no port is lost to others.
        inherited = {**os.environ, "NGINX": "".join(f"{fd};" for fd in fds)}
        command = [_binary(), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        process = subprocess.Popen(
            pinned(command, core), env=inherited, pass_fds=fds, stderr=subprocess.DEVNULL
        )
    try:
        yield Nginx(*(f"http://127.0.0.1:{ports[name]}/" for name in ("http", "h2c")))
    finally:
        process.terminate()
        process.wait(10)


def _binary() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise RuntimeError("the bench needs nginx: apt-get install nginx-light")
    return found
