"""The kernel's facts about a connection that libcurl does not report: tcp(7), TCP_INFO."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

try:
    import fcntl
    from termios import FIONREAD
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["borrowed", "bytes_read"]

#: Where Linux's struct tcp_info has tcpi_bytes_received (from 4.1 on).
_RECEIVED = struct.Struct("=128xQ")
_UNREAD = struct.Struct("i")
_AF_INET, _SOCK_STREAM = int(socket.AF_INET), int(socket.SOCK_STREAM)


@contextlib.contextmanager
def borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket of libcurl's as one of Python's, which does not close it, nor need another number.

    Args:
        fd: of it.

    Raises:
        OSError: it is none, or is closed.
    """
    connection = socket.socket(fileno=fd)
    try:
        yield connection
    finally:
        connection.detach()


def bytes_read(fd: int) -> int | None:
    """Bytes that this process has read from a connection so far.

    Args:
        fd: a connected socket.

    Returns:
        None if that is unknown, as on other systems.
    """
    if fd < 0 or fcntl is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        received = _RECEIVED.unpack(_tcp_info(fd))[0]
        unread = _UNREAD.unpack(fcntl.ioctl(fd, FIONREAD, bytes(_UNREAD.size)))[0]
    except (OSError, struct.error):
        return None
    return received - unread if received else None  # 0 is what those say who do not count


def _tcp_info(fd: int) -> bytes:
    # As `borrowed`; but its family is of no matter here, and this is asked for each request: to be
    # made by C alone, and not to ask for the family, is six times as fast.
    connection = socket.SocketType(_AF_INET, _SOCK_STREAM, 0, fd)
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
    finally:
        connection.detach()
