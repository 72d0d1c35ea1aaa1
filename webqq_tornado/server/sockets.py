"""Listening sockets that work even when the process can open no more files.

A client that connects then stays in the backlog: Tornado would try again on every turn
of the loop, each time with a traceback in the log (5 MB a second, measured). So one descriptor is
kept in reserve: it is closed for as long as it takes to accept the client and close the
connection. Clients of the protocol come back by themselves.

A client that vanishes silently (its machine was switched off, a router forgot the connection) is
noticed within a minute, even while its poll is held: connections inherit TCP keepalive.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from typing import Any

from tornado.netutil import bind_sockets

__all__ = ["listening_sockets"]

logger = logging.getLogger("webqq_tornado.server")

#: Connections that may wait to be accepted. With Tornado's 128, of 2,000 accounts that log in at
#: once most had their SYN dropped, and 17 s went by with both sides idle.
BACKLOG = 4096
#: Seconds without a byte, seconds between probes, and how many of them stay unanswered.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
#: Seconds between two lines in the log about clients that were turned away.
_SECONDS = 60.0


def listening_sockets(port: int, address: str) -> list[socket.socket]:
    """Sockets that listen on a port of one address.

    Args:
        port: 0 takes a free one.
        address: nothing else is bound.

    Raises:
        OSError: the port is not available.
    """
    bound = bind_sockets(port, address, backlog=BACKLOG)
    for one in bound:
        _keep_alive(one)
    return [_Listener(fileno=one.detach()) for one in bound]


def _keep_alive(listening: socket.socket) -> None:
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # each system has some of them
            listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _Listener(socket.socket):
    """Refuses clients when there is no descriptor for them."""

    def __init__(self, *, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.setblocking(False)
        self._reserve = os.open(os.devnull, os.O_RDONLY)
        self._told = -_SECONDS

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE) or self._reserve < 0:
                raise
        self._turn_away()
        raise ConnectionAbortedError  # Tornado continues with the next one

    def _turn_away(self) -> None:
        os.close(self._reserve)
        self._reserve = -1
        try:
            super().accept()[0].close()
        finally:
            self._reserve = os.open(os.devnull, os.O_RDONLY)
        if time.monotonic() >= self._told + _SECONDS:
            self._told = time.monotonic()
            logger.warning("no file descriptors left, clients are turned away: raise `ulimit -n`")

    def close(self) -> None:
        """Close the socket, and the reserve."""
        reserve, self._reserve = self._reserve, -1
        if reserve >= 0:
            os.close(reserve)
        super().close()
