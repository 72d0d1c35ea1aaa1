"""What the kernel knows of a TCP connection and libcurl does not tell: tcp(7), TCP_INFO."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

__all__ = ["borrowed", "came_before_it_was_sent"]

#: Linux's struct tcp_info: eight bytes, then numbers of 32 bits.
_HEAD, _LAST_DATA_SENT, _LAST_DATA_RECEIVED, _NUMBERS = 8, 9, 11, 12
#: Milliseconds: twice the coarsest tick of the kernel's clock.
_TICKS = 20


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


def came_before_it_was_sent(fd: int) -> bool:
    """Whether the last byte that was received is older than the last one that was sent.

    Args:
        fd: a connected socket.

    Returns:
        False also if that cannot be told.
    """
    if fd < 0 or not hasattr(socket, "TCP_INFO"):
        return False
    size = _HEAD + 4 * _NUMBERS
    try:
        with borrowed(fd) as connection:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    except OSError:
        return False
    if len(info) < size:
        return False
    numbers = struct.unpack(f"={_NUMBERS}I", info[_HEAD:size])
    return bool(numbers[_LAST_DATA_RECEIVED] - numbers[_LAST_DATA_SENT] > _TICKS)
