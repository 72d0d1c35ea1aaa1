"""A response's body on its way to a sink, as it comes, no faster than the sink takes it.

libcurl's write callback only puts chunks aside: the sink is the user's code, and may start
requests, which must not happen inside libcurl. It runs in the turn that follows. While the
sink's awaitable is pending the transfer is paused: its connection is not read, and the sender
has to wait. Of a body that inflates a thousandfold libcurl would bring all that it has read in
one call: more than is put aside at once is refused, and comes again.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableSequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, TypeAlias, Union

__all__ = [
    "REDIRECT_BODY",
    "BodyStream",
    "Inflow",
    "Sink",
    "add_chunk",
    "claim",
    "is_replaced",
    "part_path",
    "release",
    "written_files",
]

#: Where a body goes: a function of each chunk, whose awaitable result makes the sender wait; a
#: binary file; the path of a file to be.
Sink: TypeAlias = Union[
    Callable[[bytes], "Awaitable[object] | object"], IO[bytes], "os.PathLike[str]", str
]

#: Bytes of the body of a redirect that is followed: with more its connection is closed.
REDIRECT_BODY = 64 * 1024
#: Bytes that are put aside before libcurl has to wait.
_ASIDE = 256 * 1024
#: Bytes that a reader of a `BodyStream` may be behind before the sender has to wait.
_AHEAD = 64 * 1024
#: Bytes of a chunk that is added to the one before, and of one to which none is added any more.
_SMALL, _BLOCK = 512, 4096
#: The files that are being written.
_claimed: set[str] = set()


def add_chunk(chunks: MutableSequence[bytes], chunk: bytes) -> None:
    """Keep one more chunk of a body.

    A server may send it byte by byte, and a `bytes` takes up to 57 times the bytes in it: small
    ones are joined. To copy less than 4 KiB costs less than libcurl's call that brought the chunk.

    Args:
        chunks: those so far, of which there is one at least.
        chunk: the next one.
    """
    if len(chunk) < _SMALL and len(chunks[-1]) < _BLOCK:
        chunks[-1] += chunk
    else:
        chunks.append(chunk)


def claim(*files: Path) -> frozenset[str]:
    """Reserve files until `release`: two writers would mix their bodies.

    Args:
        files: paths of them.

    Returns:
        What to release.

    Raises:
        OSError: another transfer writes one of them.
    """
    # As they are, and not as they are spelt: "b", "a/../b" and a link to it are one file.
    claimed = frozenset(map(os.path.realpath, files))
    for taken in claimed & _claimed:
        raise OSError(errno.EBUSY, "another link writes this file", taken)
    _claimed.update(claimed)
    return claimed


def release(claimed: frozenset[str]) -> None:
    """Release files that are complete or abandoned.

    Args:
        claimed: what `claim` returned.
    """
    _claimed.difference_update(claimed)


def is_replaced(path: Path) -> bool:
    """A body for it gets its name when it is whole; a device or a pipe is written to instead.

    So is what a symbolic link leads to: `/dev/stdout` is one.
    """
    return not path.is_symlink() and (path.is_file() or not path.exists())


def part_path(path: os.PathLike[str]) -> Path:
    """Path of the partial file, until the body is complete."""
    path = Path(path)
    return path.with_name(path.name + ".part")


def written_files(path: Path) -> tuple[Path, ...]:
    """The files that a body for this path is written to; a device or a pipe is none."""
    if is_replaced(path):
        return path, part_path(path)
    return (path,) if path.is_file() or not path.exists() else ()


class Pausable(Protocol):
    """The part of a transfer that a download uses."""

    def pause_receiving(self) -> None:
        """Let the sender wait."""

    def resume_receiving(self) -> None:
        """Go on; may bring chunks at once."""

    def attend(self) -> None:
        """Have `serve` called outside libcurl."""


class Inflow:
    """The chunks of one body, and who gets them.

    Args:
        transfer: that receives them.
        sink: where they go.

    Attributes:
        sink: as given; another one may take its place before the first chunk.
    """

    def __init__(self, transfer: Pausable, sink: Callable[[bytes], object]) -> None:
        self._transfer = transfer
        self.sink = sink
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._pending: asyncio.Future[Any] | None = None  # what the sink wants to be waited for
        self.error: BaseException | None = None  # the sink's own

    @property
    def is_drained(self) -> bool:
        """True if the sink has taken all received bytes."""
        return not self._chunks and self._pending is None

    @property
    def is_full(self) -> bool:
        """True if the buffer is full."""
        return self._size >= _ASIDE

    def write(self, chunk: bytes) -> None:
        """One more; called inside libcurl."""
        self._size += len(chunk)
        if self._chunks:
            add_chunk(self._chunks, chunk)
        else:
            self._transfer.attend()
            self._chunks.append(chunk)

    def serve(self) -> None:
        """Hand the chunks over, as far as the sink takes them.

        Raises:
            Exception: the sink's own.
        """
        # Of an awaitable: its end has asked for this call, or it was done at once. A sink that has
        # failed is not called again.
        while self._chunks and self._pending is None and self.error is None:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            # It may end its own chain: then `close` has emptied the queue, and the loop ends, too.
            result = self.sink(chunk)
            if inspect.isawaitable(result):
                self._wait(asyncio.ensure_future(result))
        if self.error is not None:
            raise self.error

    def forget(self) -> None:
        """Drop the buffered bytes."""
        self._chunks.clear()
        self._size = 0

    def _wait(self, future: asyncio.Future[Any]) -> None:
        # No pause for it: its callback would be called a turn later, only to resume.
        if future.done():
            self._note_error(future)
            return
        self._pending = future
        self._transfer.pause_receiving()
        future.add_done_callback(self._on_taken)

    def _on_taken(self, future: asyncio.Future[Any]) -> None:
        self._pending = None
        self._note_error(future)
        self._transfer.resume_receiving()
        # Also if no more bytes come: its error, and chunks from before the pause, wait for `serve`.
        self._transfer.attend()

    def _note_error(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self.error = RuntimeError("the sink's awaitable was cancelled")
        else:
            self.error = future.exception()

    def close(self) -> None:
        """Nothing more will be handed over."""
        self._chunks.clear()
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.remove_done_callback(self._on_taken)
            pending.cancel()


class BodyStream:
    """The body of a response that was asked for with `stream=True`: chunks as they come.

    The sender waits while the reader is more than 64 KiB behind.

    Example:
        >>> async with stream.open(url) as response:
        ...     async for chunk in response.stream:
        ...         print(len(chunk))
    """

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None  # of that
        self.is_complete = False

    def put(self, chunk: bytes) -> Awaitable[None] | None:
        """One more chunk: this is the sink.

        Args:
            chunk: bytes as they came, decompressed.

        Returns:
            What the sender has to wait for, if the reader is too far behind.
        """
        if self._chunks:
            add_chunk(self._chunks, chunk)
        else:
            self._chunks.append(chunk)
        self._size += len(chunk)
        _wake(self._reader)
        if self._size <= _AHEAD:
            return None
        # There is one at a time: the inflow hands nothing over before it is done.
        self._writer = asyncio.get_running_loop().create_future()
        return self._writer

    def end(self, error: BaseException | None = None) -> None:
        """No more will come.

        Args:
            error: why, if more should have.
        """
        # The first word counts: the end of the callbacks says once more what the result has said.
        if not self.is_complete:
            self.is_complete, self._error = True, error
            self._trace = None if error is None else error.__traceback__
            _wake(self._reader)

    async def read(self) -> bytes:
        """The next chunk; b"" after the last.

        Raises:
            StreamError: the body was cut.
            RuntimeError: it is already being read.
        """
        if self._reader is not None:
            raise RuntimeError("a body has one reader at a time: this one is being read already")
        # What came before an error is read before it is raised.
        while not self._chunks:
            if self.is_complete:
                if self._error is not None:
                    raise self._error.with_traceback(self._trace)
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                # Also when the task that reads is cancelled: another one may read then.
                self._reader = None
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._size <= _AHEAD:
            _wake(self._writer)
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk

    async def lines(
        self, max_size: int | None = None, *, keep_ends: bool = False
    ) -> AsyncIterator[bytes]:
        """Line by line; the last one may have had no end.

        Args:
            max_size: bytes of a line; by default there is no limit.
            keep_ends: with their LF, or CR LF; else without.

        Raises:
            ValueError: one is longer.
        """
        rest = bytearray()  # joined once: of a line in many chunks each would be copied each time
        async for chunk in self:
            *lines, last = chunk.split(b"\n")
            for line in lines:
                rest += line
                _check_line(rest, max_size)
                yield bytes(rest) + b"\n" if keep_ends else bytes(rest).removesuffix(b"\r")
                rest.clear()
            rest += last
            # Not only at its end: a line without one would grow as long as the server sends.
            _check_line(rest, max_size)
        if rest:
            yield bytes(rest)

    async def save(self, path: os.PathLike[str]) -> int:
        """Write what is left to a file, which gets its name when it is whole.

        Args:
            path: of the file.

        Returns:
            Bytes written.

        Raises:
            StreamError: the body was cut; what came is in a file of that name and `.part`.
            OSError: the file cannot be written, or another body is being written to it.
        """
        path = Path(path)
        is_whole_first = is_replaced(path)
        part = part_path(path) if is_whole_first else path
        claimed = claim(*written_files(path))
        try:
            size = await self._write_to(part)
            # The file is closed by now: a disk that is full has been an error before the name is
            # taken.
            if is_whole_first:
                part.replace(path)
        finally:
            release(claimed)
        return size

    async def _write_to(self, path: Path) -> int:
        size = 0
        with path.open("wb") as file:
            async for chunk in self:
                size += file.write(chunk)
        return size


def _check_line(line: bytearray, max_size: int | None) -> None:
    if max_size is not None and len(line) > max_size:
        raise ValueError(f"a line has more than {max_size} bytes")


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
