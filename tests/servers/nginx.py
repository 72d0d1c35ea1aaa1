"""nginx, for HTTP/2."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_CONFIG = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000;
    http2_max_concurrent_streams 128;
    server {{
        listen 127.0.0.1:{h2c} http2;
        listen 127.0.0.1:{https} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location /connection {{
            default_type text/plain;
            return 200 "$connection $server_protocol";
        }}
        location /proxied/ {{
            proxy_pass {upstream}/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_read_timeout 60s;
        }}
    }}
}}
"""


class Nginx(NamedTuple):
    """Its addresses: HTTP/2 without TLS, and by ALPN.

    `/connection` says the connection's number and the protocol; `/proxied/` is the web server.
    """

    h2c: str
    https: str


def _binary() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    assert found, "these tests need nginx: apt-get install nginx-light"
    return found


@contextlib.contextmanager
def running(folder: Path, certificate: str, upstream: str) -> Iterator[Nginx]:
    """Run it with a config of its own in an empty folder."""
    with socket.socket() as plain, socket.socket() as secure:
        for listener in (plain, secure):
            listener.bind(("127.0.0.1", 0))
            listener.listen(512)
        ports = {"h2c": plain.getsockname()[1], "https": secure.getsockname()[1]}
        config = folder / "nginx.conf"
        # Else the worker is nobody, who may not enter the folder.
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        facts = {"folder": folder, "certificate": certificate, "upstream": upstream, "user": user}
        config.write_text(_CONFIG.format(**facts, **ports))
        fds = (plain.fileno(), secure.fileno())
        # It takes over listening sockets as from an older nginx: no port is lost to others.
        inherited = {**os.environ, "NGINX": "".join(f"{fd};" for fd in fds)}
        command = [_binary(), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
        process = subprocess.Popen(command, env=inherited, pass_fds=fds, stderr=subprocess.DEVNULL)
    try:
        yield Nginx(f"http://127.0.0.1:{ports['h2c']}", f"https://127.0.0.1:{ports['https']}")
    finally:
        process.terminate()
        process.wait(60)
