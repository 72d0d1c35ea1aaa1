"""A request's body on its way from a file or an iterator, as fast as the server takes it.

libcurl asks for bytes by a callback. Files are read right there. Iterators are the user's code
and run outside libcurl, in the turn that follows: until they have something the transfer is
paused.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import os
import weakref
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
)
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, Union

import pycurl

from .errors import StreamError

__all__ = [
    "BodySource",
    "FileOutflow",
    "IteratorOutflow",
    "Outflow",
    "Source",
    "is_source",
    "outflow_of",
    "size_of",
    "source_of",
]

#: Where a body comes from: the path of a file, an open binary file, an iterable of bytes, sync
#: or async, or a function that gives one of these for each time the body is sent.
Source: TypeAlias = Union[
    "os.PathLike[str]", IO[bytes], Iterable[bytes], AsyncIterable[bytes], Callable[[], Any]
]


#: After the last chunk; None may be what an iterator gives by mistake.
_END: Any = object()
_NO_BYTES = "a file to upload is opened in binary mode ('rb')"


class Pausable(Protocol):
    """What an outflow needs of its transfer."""

    def resume_sending(self) -> None:
        """There is more to send; libcurl asks for it at once."""

    def attend(self) -> None:
        """Have `serve` called outside libcurl."""


class Outflow(Protocol):
    """What the transfer needs of a body."""

    #: Bytes; None if nobody knows before the end.
    size: int | None

    def read(self, size: int) -> bytes | int:
        """READFUNCTION: some bytes, b"" at the end, or READFUNC_PAUSE."""

    def seek(self, offset: int, origin: int) -> int:
        """SEEKFUNCTION: the body is sent again, after a redirect or for authentication."""

    def serve(self) -> None:
        """Fetch what libcurl asked for and was not there."""

    def close(self) -> None:
        """It is sent, or will not be."""


def is_source(body: object) -> bool:
    """Whether it is a body that is not held in memory."""
    kinds = (os.PathLike, io.IOBase, Iterable, AsyncIterable, BodySource)
    return isinstance(body, kinds) or hasattr(body, "read") or callable(body)


def source_of(body: Any) -> Any:
    """The body as a request keeps it: with its place, if there is one that sending it moves on.

    Args:
        body: see `Source`.

    Raises:
        TypeError: it is a file that is open for text.
        ValueError: it is a file that is closed.
    """
    if isinstance(body, io.TextIOBase):
        raise TypeError(_NO_BYTES)
    return BodySource(body) if _is_function(body) or _has_place(body) else body


def size_of(source: Any) -> int | None:
    """Bytes in a body, if a file on disk can tell.

    Args:
        source: what `source_of` gave.
    """
    if isinstance(source, os.PathLike):
        path = Path(source)
        return path.stat().st_size if path.is_file() else None
    return source.size if isinstance(source, BodySource) else None


def outflow_of(source: Any, size: int | None, transfer: Pausable) -> Outflow:
    """The outflow for one transfer.

    Args:
        source: what `source_of` gave.
        size: bytes in it, if the caller knows; else asked of a file.
        transfer: that sends it.

    Raises:
        OSError: the file can not be opened.
        ValueError: it is no source, or not of bytes.
        StreamError: it is used up.
    """
    again, body, start = None, source, None
    if isinstance(source, BodySource):
        again, (body, start) = source.again, source.begin()
    if isinstance(body, os.PathLike):
        file = Path(body).open("rb")  # noqa: SIM115 - the outflow closes it
        return FileOutflow(file, size, start=_start_of(file), closes=True)
    if hasattr(body, "read"):
        return FileOutflow(body, size, start=start)
    if isinstance(body, (Iterable, AsyncIterable)):
        return IteratorOutflow(body, size, transfer, again)
    raise ValueError(f"a body can not come from {type(body).__name__}; give bytes, text, ...")


class BodySource:
    """An open file, an iterator, or a function that gives such a body: sending moves it on.

    What is sent again is to be what was sent first. So each sending of a file begins where it
    stood when the request was made, or when the function gave it; an iterator, or a file that can
    not go back, is sent once.

    Args:
        given: file, iterator or function.

    Raises:
        ValueError: the file is closed.
    """

    def __init__(self, given: Any) -> None:
        self._function: Callable[[], Any] | None = given if _is_function(given) else None
        self._body = given  # not of a function: it makes a new one each time, and may close it
        self._last: weakref.ref[Any] | None = None  # what the function gave last
        self._start = None if self._function is not None else _start_of(given)
        self._is_used = False

    @property
    def size(self) -> int | None:
        """Bytes from where it begins to its end, if it is a file that can tell."""
        if self._start is None or self._function is not None:
            return None
        place = self._body.tell()
        size = self._body.seek(0, os.SEEK_END) - self._start
        self._body.seek(place)
        return int(size)

    @property
    def is_replayable(self) -> bool:
        """Whether it can be sent a second time."""
        return self._function is not None or self._start is not None

    @property
    def again(self) -> Callable[[], Any] | None:
        """Gives it anew, if a function does."""
        return None if self._function is None else lambda: self.begin()[0]

    def begin(self) -> tuple[Any, int | None]:
        """The body to send now, and the place in its file where it begins, if it has one.

        Raises:
            StreamError: it is used up.
            ValueError: as `BodySource`, of what the function gave.
        """
        body = self._body if self._function is None else self._from(self._function)
        if self._start is None and _has_place(body):
            if self._is_used or _is_spent(body):
                kind = "open file that can not go back" if hasattr(body, "read") else "iterator"
                raise StreamError(
                    f"the body was an {kind}, and is used up: give body= a path, or a function "
                    "that gives a new one each time"
                )
            self._is_used = True
        return body, self._start

    def _from(self, function: Callable[[], Any]) -> Any:
        body = function()
        if self._last is None or self._last() is not body:  # a new one, as it should be
            self._start, self._is_used = _start_of(body), False
            try:
                self._last = weakref.ref(body)
            except TypeError:  # such as a list, which has no place
                self._last = None
        return body


def _is_function(body: object) -> bool:
    return callable(body) and not hasattr(body, "read")


def _has_place(body: object) -> bool:
    return hasattr(body, "read") or isinstance(body, (Iterator, AsyncIterator))


def _is_spent(body: object) -> bool:
    if inspect.isgenerator(body):
        return body.gi_frame is None
    return inspect.isasyncgen(body) and body.ag_frame is None


def _start_of(body: Any) -> int | None:
    """Where a file stands, if it can go back there.

    Raises:
        ValueError: it is closed.
    """
    if not hasattr(body, "read"):
        return None
    if getattr(body, "closed", False):
        raise ValueError("the file to upload is closed: send it before, or give its path")
    return int(body.tell()) if _is_seekable(body) else None


class FileOutflow:
    """From a binary file.

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
            there = max(0, file.seek(0, os.SEEK_END) - start)
            self.size = there if size is None else size
            if 0 < there < self.size:  # 0 is what devices say
                self.close()
                raise ValueError(f"{_announced(self.size)}, and the file has {there}")

    def read(self, size: int) -> bytes | int:
        """See `Outflow`."""
        if self._place is not None:
            self._file.seek(self._place)  # other requests may send the same file
        data = self._file.read(size)
        if not isinstance(data, bytes):
            raise TypeError(_NO_BYTES)
        if self._place is not None:
            self._place += len(data)
        return data

    def seek(self, offset: int, origin: int) -> int:
        """See `Outflow`."""
        if self._start is None or origin != os.SEEK_SET:
            return pycurl.SEEKFUNC_CANTSEEK
        self._place = self._start + offset
        return pycurl.SEEKFUNC_OK

    def serve(self) -> None:
        """Nothing to do: files are read when libcurl asks."""

    def close(self) -> None:
        """Close the file if it is ours."""
        if self._closes:
            self._file.close()


class IteratorOutflow:
    """From an iterable of bytes, sync or async.

    Args:
        body: the iterable.
        size: bytes in it, None if nobody knows: then it is sent chunked.
        transfer: that sends it.
        again: gives it anew, when it is to be sent a second time.
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
        self._closing: asyncio.Task[None] | None = None
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
            return int(pycurl.READFUNC_PAUSE)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(data)

    def seek(self, offset: int, origin: int) -> int:
        """See `Outflow`."""
        if self._again is None or offset or origin != os.SEEK_SET:
            return pycurl.SEEKFUNC_CANTSEEK
        self._stop_task()
        self._buffer, self._taken, self._has_ended = memoryview(b""), 0, False
        self._is_rewound = True  # `serve` asks for it anew: that is the user's code
        return pycurl.SEEKFUNC_OK

    def serve(self) -> None:
        """Take the next chunk and have it sent.

        Raises:
            Exception: the iterator's own.
        """
        if self._error is not None:
            raise self._error
        if self._is_rewound and self._again is not None:
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
                self._error = error
        self._transfer.attend()

    def _take(self, chunk: bytes) -> None:
        if chunk is not _END and not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError(f"a body's iterator gave {type(chunk).__name__} where bytes go")
        if chunk is _END:
            self._has_ended = True
        else:
            self._buffer = memoryview(bytes(chunk))
            self._taken += len(self._buffer)
            if self.size is not None and self._taken > self.size:
                raise ValueError(f"{_announced(self.size)}, and its iterator gave {self._taken}")
            if not self._buffer:
                self._transfer.attend()  # an empty chunk is no end: ask again
                return
        self._is_wanted = False
        self._transfer.resume_sending()

    def close(self) -> None:
        """Have the iterator end, if it is a generator."""
        if self._stop_task():
            return  # and that ends it
        if inspect.isgenerator(self._iterator):
            self._iterator.close()
        elif inspect.isasyncgen(self._iterator) and not self._has_ended:
            # The request holds it, and who reads the response the request: to leave it to the
            # garbage collector may take for ever.
            with contextlib.suppress(RuntimeError):  # the loop is gone, and asyncio saw to it
                self._closing = asyncio.get_running_loop().create_task(_close(self._iterator))

    def _stop_task(self) -> bool:
        task, self._task = self._task, None
        if task is not None:
            task.remove_done_callback(self._on_chunk)
            task.cancel()
        return task is not None


def _announced(size: int) -> str:
    return f"the body has {size} bytes, by body_size or a Content-Length header"


async def _close(generator: AsyncGenerator[object, Any]) -> None:
    await generator.aclose()


async def _next_of(iterator: AsyncIterator[bytes]) -> bytes:
    return await anext(iterator, _END)


def _is_seekable(file: IO[bytes]) -> bool:
    return bool(getattr(file, "seekable", lambda: False)())
