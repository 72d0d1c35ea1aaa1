"""The server's end of a WebSocket in bytes, right or wrong, as a test wants it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
from collections.abc import AsyncIterator

TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes = b""
) -> bytes:
    """One frame, which need not be a right one."""
    size, bit = len(data), 0x80 if mask else 0
    if size > 65535:
        length = struct.pack("!BQ", bit | 127, size)
    elif size > 125:
        length = struct.pack("!BH", bit | 126, size)
    else:
        length = bytes([bit | size])
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + mask + masked(data, mask)


def masked(data: bytes, mask: bytes) -> bytes:
    """Masked, or unmasked."""
    if not mask:
        return data
    size = len(data)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(data, "big") ^ key).to_bytes(size, "big")


def closing(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def headers_of(head: bytes) -> dict[str, list[str]]:
    """By their names in small letters."""
    found: dict[str, list[str]] = {}
    for line in head.decode("utf-8").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


def accepting(head: bytes, *lines: str, without: str = "") -> bytes:
    """The answer to a handshake, with more lines, or without one."""
    key = headers_of(head)["sec-websocket-key"][0]
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    accept = base64.b64encode(digest).decode()
    own = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]
    kept = [line for line in own if not without or not line.startswith(without)]
    return "\r\n".join(["HTTP/1.1 101 Switching Protocols", *kept, *lines, "", ""]).encode()


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Opcode and data of what the client sends."""
    while True:
        first, second = await reader.readexactly(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
        mask = await reader.readexactly(4)
        yield first & 15, masked(await reader.readexactly(size), mask)


class Sending:
    """A handler that says something after the handshake, then listens, and answers a close frame.

    Args:
        data: what it says.
        lines: headers of its handshake.

    Attributes:
        heads: of the handshakes.
        heard: opcodes and data of what the client has sent.
        writer: of the last connection, to say more.
        is_left: the client has said goodbye, or is gone.
    """

    def __init__(self, *data: bytes, lines: tuple[str, ...] = ()) -> None:
        self._data = b"".join(data)
        self._lines = lines
        self.heads: list[bytes] = []
        self.writer: asyncio.StreamWriter
        self.heard: list[tuple[int, bytes]] = []
        self.is_left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        self.writer = writer
        writer.write(accepting(head, *self._lines) + self._data)
        try:
            async for opcode, payload in frames(reader):
                self.heard.append((opcode, payload))
                if opcode == CLOSE:
                    writer.write(frame(CLOSE, payload))
                    return
        finally:
            self.is_left.set()
