"""An HTTP server that closes connections whose request does not arrive in time.

Tornado's own timeouts make a future and a timer for each head and for each body: an eighth of
what a small request costs (measured in instructions). Here all deadlines of a kind are equally
far away, so they end in the order in which they began: a dict and one timer hold them all.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable
from typing import Any, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)

__all__ = ["Deadlines", "TimedHTTPServer"]

logger = logging.getLogger("webqq_tornado.server")


class Deadlines:
    """Connections that are closed at a deadline.

    Args:
        what: expected part of the request, for the log.
        seconds: of each connection.

    Example:
        >>> heads = Deadlines("head", 90.0)
        >>> len(heads)
        0
    """

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._due: dict[HTTP1ServerConnection, float] = {}  # the earliest first
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def start(self, connection: HTTP1ServerConnection) -> None:
        """Close a connection after the time, unless `stop` comes first."""
        loop = asyncio.get_running_loop()
        self._due.pop(connection, None)  # else it would keep its place in the order
        self._due[connection] = due = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._close_late)

    def stop(self, connection: HTTP1ServerConnection) -> None:
        """Remove the deadline of a connection."""
        self._due.pop(connection, None)

    def close(self) -> None:
        """Remove all deadlines."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_late(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = itertools.takewhile(lambda item: item[1] <= now, tuple(self._due.items()))
        for connection, _ in late:
            self.stop(connection)
            logger.debug(
                "no whole %s from %s in %g s", self._what, connection.context, self._seconds
            )
            connection.stream.close()
        self._timer = None
        if self._due:
            self._timer = loop.call_at(next(iter(self._due.values())), self._close_late)


class TimedHTTPServer(HTTPServer):
    """Tornado's server with cheaper timeouts; its arguments are Tornado's.

    Args:
        idle_connection_timeout: seconds in which the head of the next request has to arrive.
        body_timeout: seconds in which the body of a request has to arrive.

    Neither timeout ends a request that is being answered, or a WebSocket.
    """

    def initialize(self, *args: Any, **options: Any) -> None:
        """Called by Tornado with the arguments."""
        self._heads = Deadlines("head", options.pop("idle_connection_timeout"))
        self._bodies = Deadlines("body", options.pop("body_timeout"))
        super().initialize(*args, **options)
        self.conn_params.header_timeout = None

    def start_request(
        self, server_conn: object, request_conn: HTTPConnection
    ) -> HTTPMessageDelegate:
        """Called by Tornado when a connection waits for its next request."""
        connection = cast("HTTP1ServerConnection", server_conn)
        self._heads.start(connection)
        delegate = super().start_request(server_conn, request_conn)
        return _TimedDelegate(delegate, connection, self._heads, self._bodies)

    def on_close(self, server_conn: object) -> None:
        """Called by Tornado when a connection has ended, or became a WebSocket."""
        connection = cast("HTTP1ServerConnection", server_conn)
        self._heads.stop(connection)
        self._bodies.stop(connection)
        super().on_close(server_conn)

    async def close_all_connections(self) -> None:
        """Close all connections, and remove the deadlines."""
        await super().close_all_connections()
        self._heads.close()
        self._bodies.close()


class _TimedDelegate(HTTPMessageDelegate):
    """Passes a request on, and notes the arrival of its parts."""

    __slots__ = ("_bodies", "_connection", "_delegate", "_heads")

    def __init__(
        self,
        delegate: HTTPMessageDelegate,
        connection: HTTP1ServerConnection,
        heads: Deadlines,
        bodies: Deadlines,
    ) -> None:
        self._delegate = delegate
        self._connection = connection
        self._heads = heads
        self._bodies = bodies

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._heads.stop(self._connection)
        self._bodies.start(self._connection)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._bodies.stop(self._connection)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._bodies.stop(self._connection)
        self._delegate.on_connection_close()
