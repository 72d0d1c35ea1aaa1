"""A server of a few lines that says what it is told to say, HTTP or not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET

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

    def ended(writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        # Here: one that was cancelled before it began runs no line. Of one that has closed after
        # its last byte CPython raises AttributeError.
        with contextlib.suppress(AttributeError):
            writer.transport.abort()
        if not task.cancelled() and (error := task.exception()):
            failed.append(error)

    # Not a coroutine function: asyncio makes a task of it that we could not await before the loop
    # closes, and CPython 3.11.7 and 3.12.1 log an error if such a task is cancelled.
    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_open:
            task = asyncio.ensure_future(_serve(handler, reader, writer))
            tasks.add(task)
            task.add_done_callback(functools.partial(ended, writer))
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
        for listening in server.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        await _turns()  # who was accepted gets its transport: none is made for a closed server
        server.close()
        running = tuple(tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await _turns()  # the transports are closed
    for error in failed:
        raise error


async def _turns() -> None:
    """Have the loop do what it has begun."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _serve(
    handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    # The client may have seen enough.
    with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
        await handler(reader, writer)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


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


def reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Have a connection end in RST instead of FIN when it is closed."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST, whatever was sent before."""
    reset_at_close(writer)
    writer.transport.abort()


def answer(body: bytes = b"ok", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An HTTP/1.1 answer as bytes."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def requests(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The heads of a connection's requests, each when its body has come, too."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        if b"transfer-encoding" in lines:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        await reader.readexactly(int(lines.get(b"content-length", 0)))
        yield head
