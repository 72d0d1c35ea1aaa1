"""Support of `serve` for old clients: hosts, ports, the certificate authority."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

from ..server.app import WebQQServer
from ..server.tls import Certificates, certificates
from .console import Screen

__all__ = ["allow_many_connections", "serve_tls", "show_tls"]

#: Files that may be open, where the system sets no bound of its own.
_MOST_FILES = 2**20

#: The port for https that the server likes best.
FIRST_TLS_PORT = 8443


def allow_many_connections() -> None:
    """Let the process open as many files as the system allows it.

    Most systems begin with 1,024, and a client that polls keeps one or two open. Without any
    left a server can neither answer nor refuse a client: it spins at full speed.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a lower bound that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def serve_tls(server: WebQQServer, state_dir: Path, address: str, port: int | None) -> Certificates:
    """Serve https as well; its certificates are made when they are not there.

    Args:
        server: that listens already.
        state_dir: its folder.
        address: that it listens on.
        port: None takes 8443 or the next free one.

    Raises:
        CertificateError: the certificates cannot be made or used.
        PortTaken: the port, or all that were tried, are taken.
    """
    files = certificates(state_dir / "tls", [address])
    if port is None:
        server.listen_tls_on_free_port(FIRST_TLS_PORT, files, address=address)
    else:
        server.listen_tls(port, files, address)
    return files


def show_tls(files: Certificates, server: WebQQServer, screen: Screen) -> None:
    """Say where https is served, and what a client has to trust."""
    screen.say(
        f"https is served on port {server.tls_port}; a client has to trust",
        f"  {files.authority}",
        "How an old client is pointed here: python -m webqq_tornado serve --help",
    )
