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

#: Maximum number of open files if the system has no limit.
_MOST_FILES = 2**20

#: Preferred port for https.
FIRST_TLS_PORT = 8443


def allow_many_connections() -> None:
    """Raise the process's limit of open files to the system's.

    Most systems begin with 1,024, and a polling client holds one or two. Without a free
    descriptor a server can neither answer nor refuse a client: it spins at full speed.
    """
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # macOS has a lower limit that it does not report
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def serve_tls(server: WebQQServer, state_dir: Path, address: str, port: int | None) -> Certificates:
    """Serve https, too; create missing certificates.

    Args:
        server: listening already.
        state_dir: its folder.
        address: that it listens on.
        port: None takes 8443 or the next free one.

    Raises:
        CertificateError: the certificates cannot be made or used.
        PortTaken: the port, or each one tried, is taken.
    """
    files = certificates(state_dir / "tls", [address])
    if port is None:
        server.listen_tls_on_free_port(FIRST_TLS_PORT, files, address=address)
    else:
        server.listen_tls(port, files, address)
    return files


def show_tls(files: Certificates, server: WebQQServer, screen: Screen) -> None:
    """Show the port of https, and the certificate that clients must trust."""
    screen.say(
        f"https is served on port {server.tls_port}; a client has to trust",
        f"  {files.authority}",
        "How an old client is pointed here: python -m webqq_tornado serve --help",
    )
