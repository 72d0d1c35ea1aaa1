"""A request's body on its way from a file or an iterator, as fast as the server takes it.

libcurl asks for bytes by a callback. Files are read right there. Iterators are the user's code
and run outside libcurl, in the turn that follows: until they have something the transfer is
paused. Files in forms are read by libcurl itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from pathlib import Path
from typing import IO, Any, Protocol

import pycurl

from ..body import NOT_BINARY, BodySource, FilePart, Multipart, end_of, pairs_of, start_of

__all__ = [
    "CANNOT_SEEK",
    "PAUSE",
    "FileOutflow",
    "IteratorOutflow",
    "Outflow",
    "build_mime",
    "outflow_of",
]

logger = logging.getLogger("webqq_tornado.engine")

#: READFUNCTION: nothing is there yet; libcurl asks again after `resume_sending`.
PAUSE = int(pycurl.READFUNC_PAUSE)
#: SEEKFUNCTION: the body cannot be sent again from there; or it can.
CANNOT_SEEK = int(pycurl.SEEKFUNC_CANTSEEK)
_HAS_SOUGHT = int(pycurl.SEEKFUNC_OK)
#: After the last chunk; an iterator may yield None by mistake.
_END: Any = object()
#: Those that close generators: the loop itself holds tasks weakly.
_closing: set[asyncio.Task[None]] = set()


class Pausable(Protocol):
    """The part of a transfer that an upload uses."""

    def resume_sending(self) -> None:
        """There is more to send; libcurl asks for it at once."""

    def attend(self) -> None:
        """Have `serve` called outside libcurl."""


class Outflow(Protocol):
    """The interface of a body that a transfer sends."""

    #: Bytes; None if nobody knows before the end.
    size: int | None

    def read(self, size: int) -> bytes | int:
        """READFUNCTION: some bytes, b"" at the end, or READFUNC_PAUSE."""

    def seek(self, offset: int, origin: int) -> int:
        """SEEKFUNCTION: the body is sent again, after a redirect or for authentication."""

    def serve(self) -> None:
        """Fetch what libcurl asked for and was not there."""

    def close(self) -> None:
        """Close the body: it is sent, or will not be."""


def outflow_of(source: Any, size: int | None, transfer: Pausable) -> Outflow:
    """The outflow for one transfer.

    Args:
        source: what `source_of` gave.
        size: bytes in it, if the caller knows; else asked of a file.
        transfer: that sends it.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no source, or not of bytes.
        StreamError: it is used up.
    """
    again, body, start = None, source, None
    if isinstance(source, BodySource):
        again, (body, start) = source.again, source.begin()
    if isinstance(body, os.PathLike):
        file = Path(body).open("rb")  # noqa: SIM115 - the outflow closes it
        return FileOutflow(file, size, start=start_of(file), closes=True)
    # Before iterables: a file is one of lines, too.
    if hasattr(body, "read"):
        return FileOutflow(body, size, start=start)
    if isinstance(body, (Iterable, AsyncIterable)):
        return IteratorOutflow(body, size, transfer, again)
    raise ValueError(f"a body cannot come from {type(body).__name__}; give bytes, text, ...")


class FileOutflow:
    """Body from a binary file.

    Args:
        file: read in blocks of libcurl's size, on the loop: a local file.
        size: bytes to announce; by default to the file's end, if that can be known.
        start: the place in the file where the body begins; None: it has no places.
        closes: the file is ours.

    Raises:
        ValueError: it is shorter than the size.
    """

    def __init__(
        self,
        file: IO[bytes],
        size: int | None = None,
        *,
        start: int | None = None,
        closes: bool = False,
    ) -> None:
        self._file = file
        self._closes = closes
        self._start = self._place = start
        self.size = size
        if start is not None:
            # It may have more: `body_size` sends a piece of a file, at whose end libcurl stops.
            there = max(0, end_of(file) - start)
            self.size = there if size is None else size
            if 0 < there < self.size:  # 0 is what devices say
                # Nobody else will: the caller does not get the outflow.
                self.close()
                raise ValueError(f"{_announced(self.size)}, and the file has {there}")

    def read(self, size: int) -> bytes | int:
        """See `Outflow`."""
        if self._place is not None:
            self._file.seek(self._place)  # other requests may send the same file
        data = self._file.read(size)
        if not isinstance(data, bytes):
            raise TypeError(NOT_BINARY)
        if self._place is not None:
            self._place += len(data)
        return data

    def seek(self, offset: int, origin: int) -> int:
        """See `Outflow`."""
        if self._start is None or origin != os.SEEK_SET:
            return CANNOT_SEEK
        self._place = self._start + offset
        return _HAS_SOUGHT

    def serve(self) -> None:
        """Nothing to do: files are read when libcurl asks."""

    def close(self) -> None:
        """Close the file if it is ours."""
        if self._closes:
            self._file.close()


class IteratorOutflow:
    """Body from an iterable of bytes, sync or async.

    Args:
        body: the iterable.
        size: bytes in it, None if nobody knows: then it is sent chunked.
        transfer: that sends it.
        again: returns it anew, when it is to be sent a second time.
    """

    def __init__(
        self,
        body: Iterable[bytes] | AsyncIterable[bytes],
        size: int | None,
        transfer: Pausable,
        again: Callable[[], Any] | None = None,
    ) -> None:
        self.size = size
        self._again = again
        self._transfer = transfer
        self._buffer = memoryview(b"")
        self._taken = 0
        self._has_ended = False
        self._is_wanted = self._is_rewound = False
        self._task: asyncio.Task[bytes] | None = None
        self._stopped: asyncio.Task[bytes] | None = None  # that may still be in the iterator
        self._error: BaseException | None = None
        self._begin(body)

    def _begin(self, body: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        is_async = isinstance(body, AsyncIterable)
        self._iterator: Iterator[bytes] | AsyncIterator[bytes] = (
            body.__aiter__() if is_async else iter(body)  # type: ignore[union-attr,arg-type]
        )

    def read(self, size: int) -> bytes | int:
        """See `Outflow`."""
        if not self._buffer and not self._has_ended:
            self._is_wanted = True
            self._transfer.attend()
            return PAUSE
        # A memoryview: to slice bytes would copy the rest of a large chunk for each call.
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(data)

    def seek(self, offset: int, origin: int) -> int:
        """See `Outflow`."""
        if self._again is None or offset or origin != os.SEEK_SET:
            return CANNOT_SEEK
        # What the old iterator still yields must not be sent as the beginning of the new body.
        self._stop_task()
        self._buffer, self._taken, self._has_ended = memoryview(b""), 0, False
        self._is_rewound = True  # `serve` asks for it anew: that is the user's code
        return _HAS_SOUGHT

    def serve(self) -> None:
        """Take the next chunk and have it sent.

        Raises:
            Exception: the iterator's own.
        """
        if self._error is not None:
            raise self._error
        if self._is_rewound and self._again is not None:
            # Here and not in `seek`: to end a generator runs its `finally`, which is the user's
            # code.
            self._is_rewound = False
            self.close()
            self._begin(self._again())
        if not self._is_wanted or self._task is not None:
            return
        if isinstance(self._iterator, AsyncIterator):
            self._task = asyncio.ensure_future(_next_of(self._iterator))
            self._task.add_done_callback(self._on_chunk)
        else:
            self._take(next(self._iterator, _END))

    def _on_chunk(self, task: asyncio.Task[bytes]) -> None:
        self._task = None
        if task.cancelled():
            self._error = asyncio.CancelledError("the body's iterator was cancelled")
        elif task.exception() is not None:
            self._error = task.exception()
        else:
            try:
                self._take(task.result())
                return
            except (TypeError, ValueError) as error:
                # Raised here it would go to the loop's exception handler, and the upload would stay
                # paused for ever.
                self._error = error
        self._transfer.attend()

    def _take(self, chunk: bytes) -> None:
        if chunk is not _END and not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"a body's iterator gave {type(chunk).__name__} where bytes go")
        if chunk is _END:
            self._has_ended = True
        else:
            # A copy: the iterator may fill its bytearray again while this one is sent.
            self._buffer = memoryview(bytes(chunk))
            self._taken += len(self._buffer)
            # libcurl stops at the size that was announced: the server would get a body that is cut,
            # and answer 200.
            if self.size is not None and self._taken > self.size:
                raise ValueError(f"{_announced(self.size)}, and its iterator gave {self._taken}")
            if not self._buffer:
                self._transfer.attend()  # an empty chunk is no end: ask again
                return
        # First: `resume_sending` calls `read` at once, which may want the next chunk.
        self._is_wanted = False
        self._transfer.resume_sending()

    def close(self) -> None:
        """Have the iterator end, if it is a generator."""
        self._stop_task()
        stopped, self._stopped = self._stopped, None
        if inspect.isgenerator(self._iterator):
            if not self._iterator.gi_running:  # else it has ended its own chain
                self._iterator.close()
        elif inspect.isasyncgen(self._iterator) and not self._has_ended:
            # The request holds it, and who reads the response the request: to leave it to the
            # garbage collector may take for ever.
            with contextlib.suppress(RuntimeError):  # the loop is gone, and asyncio saw to it
                loop = asyncio.get_running_loop()
                closing = loop.create_task(_close(self._iterator, stopped))
                _closing.add(closing)
                closing.add_done_callback(_closing.discard)

    def _stop_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._stopped = task
            task.remove_done_callback(self._on_chunk)
            task.cancel()


def _announced(size: int) -> str:
    return f"the body has {size} bytes, by body_size or a Content-Length header"


async def _close(
    generator: AsyncGenerator[object, Any], stopped: asyncio.Task[bytes] | None
) -> None:
    # A task that was cancelled in there may be in its `finally` for a while: Python refuses to
    # close a generator that runs.
    try:
        if stopped is not None:
            await asyncio.wait({stopped})
            if not stopped.cancelled():
                stopped.result()
        await generator.aclose()
    except Exception:
        # The link has its outcome without.
        logger.exception("a body's generator could not be closed: %r", generator)


async def _next_of(iterator: AsyncIterator[bytes]) -> bytes:
    return await anext(iterator, _END)


def build_mime(easy: pycurl.Curl, body: Multipart) -> pycurl.CurlMime:
    """The body for one handle, to be set as MIMEPOST and closed when it was sent.

    Raises:
        pycurl.error: a file cannot be read.
    """
    mime = pycurl.CurlMime(easy)
    for name, value in pairs_of(body.fields):
        part = mime.addpart()
        part.name(name.encode(errors="surrogateescape"))
        part.data(value if isinstance(value, bytes) else value.encode())
    for name, file in pairs_of(body.files):
        part = mime.addpart()
        part.name(name.encode(errors="surrogateescape"))
        _fill(part, name, file)
    return mime


def _fill(part: pycurl.CurlMimePart, name: str, file: FilePart) -> None:
    if isinstance(file.content, bytes):
        part.data(file.content)
        # Without a name it would be a field and no file (RFC 7578, 4.2).
        part.filename((file.filename or name).encode(errors="surrogateescape"))
    else:
        if os.path.isdir(file.content) or not os.path.exists(file.content):
            # Of a folder libcurl would send an empty file, and of none it names neither.
            what = "is a folder" if os.path.isdir(file.content) else "is not there"
            raise ValueError(f"file {name!r} of its form: {os.fspath(file.content)} {what}")
        part.filedata(os.fsencode(file.content))
        # libcurl has taken the last part of the path for it: this comes after.
        if file.filename:
            part.filename(file.filename.encode(errors="surrogateescape"))
    if file.content_type:
        part.type(file.content_type.encode(errors="surrogateescape"))
