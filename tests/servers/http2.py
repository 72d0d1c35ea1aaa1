"""An HTTP/2 server of a few lines, by `h2`, that does as it is told with some requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived

#: What is done with a request: gets the connection, the stream's number, the writer.
Action = Callable[[H2Connection, int, asyncio.StreamWriter], None]


class HTTP2:
    """A handler for `raw_server`: answers "to " and the path, but those to /lost as told.

    Args:
        action: with requests of the first connection to /lost.

    Attributes:
        asked: how often for which path.
        connections: so far.
        idle: after the first answer of the first connection `after` is called, and this set.
    """

    def __init__(self, action: Action | None = None, after: Action | None = None) -> None:
        self._action, self._after = action, after
        self.asked: Counter[bytes] = Counter()
        self.connections = 0
        self.idle = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        is_first = self.connections == 1
        http = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        http.initiate_connection()
        writer.write(http.data_to_send())
        while not writer.is_closing() and (data := await reader.read(65536)):
            for event in http.receive_data(data):
                if isinstance(event, RequestReceived):
                    self._serve(http, event, writer, is_first=is_first)
            writer.write(http.data_to_send())
            if is_first and self._after and self.asked and not self.idle.is_set():
                await asyncio.sleep(0)
                self._after(http, 0, writer)
                writer.write(http.data_to_send())
                await asyncio.sleep(0)  # the loop's next turn closes the socket of who aborts
                self.idle.set()

    def _serve(
        self,
        http: H2Connection,
        event: RequestReceived,
        writer: asyncio.StreamWriter,
        *,
        is_first: bool,
    ) -> None:
        path = dict(event.headers or ())[b":path"]
        stream = event.stream_id or 0
        self.asked[path] += 1
        if path == b"/lost" and is_first and self._action is not None:
            self._action(http, stream, writer)
            return
        http.send_headers(stream, [(":status", "200")])
        http.send_data(stream, b"to " + path, end_stream=True)


def refuse(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Say that it was not worked on."""
    http.reset_stream(stream, ErrorCodes.REFUSED_STREAM)


def go_away_before(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Close the connection, and say that it was not worked on."""
    http.close_connection(last_stream_id=max(stream - 2, 0))
    _say_and_close(http, writer)


def go_away_after(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Close the connection, and say that it may have been worked on."""
    http.close_connection(last_stream_id=stream)
    _say_and_close(http, writer)


def close(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""
    _say_and_close(http, writer)


def reset(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.transport.abort()


def ping(http: H2Connection, stream: int, writer: asyncio.StreamWriter) -> None:
    """Ask whether the other side is still there."""
    http.ping(b"are you?")


def _say_and_close(http: H2Connection, writer: asyncio.StreamWriter) -> None:
    writer.write(http.data_to_send())
    writer.close()
    with contextlib.suppress(OSError):  # as servers do: over TLS asyncio waits for a last word
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
