"""A server of a few lines that says what it is told to say, HTTP or not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(
    handler: Handler,
    tls: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    *,
    path: str | None = None,
) -> AsyncIterator[str]:
    """Serve each connection by `handler` on the running loop; gives the address.

    With a path it is a unix socket there.

    The connection is closed when the handler returns. At the end the handlers that still run are
    cancelled, and what one of them has raised is raised here.
    """
    tasks: set[asyncio.Task[None]] = set()
    failed: list[BaseException] = []
    is_open = True

    def ended(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            failed.append(error)

    # Not a coroutine function: asyncio makes a task of it that we could not await before the loop
    # closes, and CPython 3.11.7 and 3.12.1 log an error if such a task is cancelled.
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_open:
            task = asyncio.ensure_future(_serve(handler, reader, writer))
            tasks.add(task)
            task.add_done_callback(ended)
        else:
            writer.transport.abort()

    if path is None:
        server = await asyncio.start_server(accept, address, 0, ssl=tls)
        host, port = server.sockets[0].getsockname()
    else:
        server = await asyncio.start_unix_server(accept, path, ssl=tls)
        host, port = "localhost", 443 if tls else 80
    try:
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        is_open = False
        server.close()
        running = tuple(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for _ in range(10):  # what was accepted last gets its transport, and loses it again
            await asyncio.sleep(0)
    for error in failed:
        raise error


async def _serve(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        # The client may have seen enough.
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    finally:
        # Of one that has closed after its last byte CPython raises AttributeError: for TLS up to
        # 3.10 also when it is only asked how much it has to write.
        with contextlib.suppress(AttributeError):
            writer.transport.abort()


def saying(*answers: bytes) -> Handler:
    """A handler that answers the requests of a connection one by one, then closes it."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return handler


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that resets the connection instead of an answer."""
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


def answer(body: bytes = b"ok", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An HTTP/1.1 answer as bytes."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
