"""Callbacks of one transfer into users' code: bodies by pieces, header lines, progress.

Most transfers have none. The others get a `TransferCallbacks`: it sets libcurl's callbacks, which
only put things aside; `serve` hands them on outside libcurl, in the order in which they came.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pycurl

from ..body import Multipart
from ..errors import ClosedError, StreamError, TooLargeError, as_failure
from ..request import Request
from ..secrets import safe_url
from .download import REDIRECT_BODY, BodyStream, Inflow
from .failures import from_curl
from .filesink import FileSink
from .headerlines import (
    announced_size,
    begins_answer,
    codings_of,
    is_interim,
    last_status,
    leads_on,
)
from .inflating import Decoder, UndecodableError
from .upload import Outflow, build_mime, outflow_of

if TYPE_CHECKING:
    from ..response import Response

__all__ = ["Progress", "TransferCallbacks"]

logger = logging.getLogger("webqq_tornado.engine")

_SWITCHING, _PARTIAL = 101, 206
_NOT_DECODED = 61  # of libcurl's errors
# curl_easy_pause sets both directions at once: to change one is to repeat the other as it is.
_PAUSES = {
    (False, False): pycurl.PAUSE_CONT,
    (True, False): pycurl.PAUSE_RECV,
    (False, True): pycurl.PAUSE_SEND,
    (True, True): pycurl.PAUSE_ALL,
}


class Progress(NamedTuple):
    """Progress of a transfer, in bytes. Totals are 0 while they are unknown.

    Example:
        >>> def show(progress):
        ...     print(progress.received, "of", progress.to_receive)
        >>> Request(url, sink=path, on_progress=show)
    """

    received: int
    to_receive: int
    sent: int
    to_send: int


class Piped(Protocol):
    """The part of a transfer that its callbacks use."""

    body: list[bytes]
    header_lines: list[bytes]
    #: Libcurl may go on from a 401 or 407 by itself.
    may_be_challenged: bool
    #: The body is to be decoded.
    inflates: bool

    @property
    def easy(self) -> pycurl.Curl:
        """Its handle."""

    @property
    def is_in_flight(self) -> bool:
        """True until the transfer has ended."""

    @property
    def own_headers(self) -> list[bytes]:
        """The header lines that were set on it."""

    @property
    def follows(self) -> bool:
        """A redirect is followed."""

    def add_header_line(self, line: bytes) -> None:
        """Keep one more."""

    def answer(self) -> Response:
        """Status and headers of the final answer."""

    def attend(self) -> None:
        """Have `TransferCallbacks.serve` called outside libcurl."""

    def resumed(self) -> None:
        """Note that the transfer runs again after a pause."""


class Channel(Outflow, Protocol):
    """A body in both directions, for its transfer: a WebSocket."""

    def attach(self, pausable: TransferCallbacks) -> None:
        """Set the callbacks that can pause the transfer."""

    def put(self, chunk: bytes) -> Awaitable[None] | None:
        """As of `BodyStream`."""

    def end(self, error: BaseException | None = None) -> None:
        """As of `BodyStream`."""


class TransferCallbacks:
    """The callbacks of one transfer.

    Args:
        transfer: whose.
        request: that is special.

    Raises:
        OSError: the file to upload cannot be opened.
        ValueError: the body is no source.

    Attributes:
        stream: the body for the reader of a request with `stream=True`.
        received: bytes of the body so far, decompressed.
        has_headers: the final answer's headers are all there.
        is_told: the reader has been called for them.
        is_followed: it is a redirect that is followed: its body is dropped.
        refusal: why libcurl was stopped.
    """

    def __init__(self, transfer: Piped, request: Request) -> None:
        self._transfer = transfer
        self._request = request
        self._easy = transfer.easy
        self._lines: deque[bytes] = deque()
        self._trailers: deque[bytes] = deque()  # lines behind a body that is not all taken
        self._header_size = self._header_count = 0
        self._progress: Progress | None = None
        self._reported: Progress | None = None
        self._receiving_is_paused = self._sending_is_paused = False
        self._is_closed = self._is_serving = self._is_asked_again = False
        self._file: FileSink | None = None
        self._mime: pycurl.CurlMime | None = None
        self._outflow: Outflow | None = None
        self._inflow: Inflow | None = None
        self._decoder: Decoder | None = None  # of a body that is coded
        self._inflated = 0  # bytes that it has given
        self.stream = BodyStream() if request.stream else None
        self.received = 0
        self.has_headers = False
        self.is_told = False
        self.refusal: TooLargeError | None = None
        self._is_judged = False  # the body's first bytes have come, or its headers
        self.is_followed = False  # it is a redirect, whose body nobody is to have
        self._broken: Exception | None = None  # what ended it when it was to go on
        if request.channel is not None:
            self.stream = self._outflow = request.channel
            request.channel.attach(self)
        elif isinstance(request.body, Multipart):
            self._mime = build_mime(self._easy, request.body)
        elif request.is_piped:
            self._outflow = outflow_of(request.body, request.body_size, self)
        self._sink = self._chosen_sink()
        if self._sink is not None:
            self._inflow = Inflow(self, self._sink)

    @property
    def has_sink(self) -> bool:
        """The body goes to a sink or a stream."""
        return self._sink is not None

    def _chosen_sink(self) -> Callable[[bytes], object] | None:
        if self.stream is not None:
            return self.stream.put
        sink = self._request.sink
        if sink is None or callable(sink):
            return sink
        self._file = FileSink(self._request, self._transfer)
        return self._file.write

    def set_callbacks(self) -> None:
        """Set them on the handle, which must be blank, but for the request's plain options."""
        easy, request = self._easy, self._request
        if self._mime is not None:
            easy.setopt(pycurl.MIMEPOST, self._mime)
        if self._outflow is not None:
            self._set_outflow(self._outflow)
        if self._inflow is not None:
            easy.setopt(pycurl.WRITEFUNCTION, self._on_chunk)
        if request.hears_headers:
            easy.setopt(pycurl.HEADERFUNCTION, self._on_header)
        if self._file is not None and self._file.headers:
            # HTTPHEADER replaces the whole list that was set before.
            lines = [f"{name}: {value}".encode() for name, value in self._file.headers]
            easy.setopt(pycurl.HTTPHEADER, [*self._transfer.own_headers, *lines])
        if request.on_progress is not None:
            easy.setopt(pycurl.NOPROGRESS, 0)
            easy.setopt(pycurl.XFERINFOFUNCTION, self._on_progress)
        # After all others: the caller has the last word on options.
        if request.prepare_curl is not None:
            request.prepare_curl(easy)

    def _set_outflow(self, outflow: Outflow) -> None:
        easy = self._easy
        if self._request.method == "POST":
            easy.setopt(pycurl.POST, 1)
            easy.setopt(pycurl.POSTFIELDSIZE_LARGE, -1 if outflow.size is None else outflow.size)
        else:
            easy.setopt(pycurl.UPLOAD, 1)
            easy.setopt(pycurl.INFILESIZE_LARGE, -1 if outflow.size is None else outflow.size)
        easy.setopt(pycurl.READFUNCTION, self._on_read)
        easy.setopt(pycurl.SEEKFUNCTION, self._on_seek)

    # -- libcurl's callbacks --------------------------------------------------------------------

    def _on_read(self, size: int) -> bytes | int:
        assert self._outflow is not None  # noqa: S101 - else it is not set
        try:
            data = self._outflow.read(size)
        except (Exception, asyncio.CancelledError) as error:
            # CancelledError is no Exception: a file of the user's may raise it, and it must not
            # pass into libcurl.
            self._break(as_failure(error))
            return int(pycurl.READFUNC_ABORT)
        if data == pycurl.READFUNC_PAUSE:
            self._sending_is_paused = True
        return data

    def _on_seek(self, offset: int, origin: int) -> int:
        assert self._outflow is not None  # noqa: S101 - else it is not set
        try:
            return self._outflow.seek(offset, origin)
        except (Exception, asyncio.CancelledError) as error:
            self._break(as_failure(error))
            return int(pycurl.SEEKFUNC_FAIL)

    def _break(self, error: Exception) -> None:
        # Not raised: pycurl would print it, and libcurl's own words for it say nothing.
        self._broken = error
        self._transfer.attend()

    def _on_header(self, line: bytes) -> int | None:
        request = self._request
        if self._header_count and self._begins_anew(line):
            self._header_size = self._header_count = 0
        self._transfer.add_header_line(line)
        self._header_size += len(line)
        self._header_count += 1
        for name, number in (
            ("max_header_size", self._header_size),
            ("max_header_count", self._header_count),
        ):
            limit = getattr(request, name)
            if limit is not None and number > limit:
                self.refusal = self._too_large("the headers", name, limit)
                return 0
        if request.on_header_line is not None:
            # What stands behind the body is reported after it, however long the sink takes.
            (self._trailers if self.received else self._lines).append(line)
            self._transfer.attend()
        # The empty line that ends the headers; libcurl passes on a bare line feed as it came.
        if self.stream is not None and line in (b"\r\n", b"\n"):
            self.has_headers = self._is_final()
            if self.has_headers:
                self._transfer.attend()
        # Any line may be of another answer, after 100 or 401: what the last one announced does not
        # hold for its body.
        self._is_judged = False
        return None

    def _begins_anew(self, line: bytes) -> bool:
        """Return True if an answer begins that stands for one before: after 401, 407 or 417."""
        # Interim ones count with the answer that they announce: a server may send any number.
        lines = self._transfer.header_lines
        return begins_answer(lines, line) and not is_interim(lines)

    def _on_chunk(self, chunk: bytes) -> int | None:
        assert self._inflow is not None  # noqa: S101 - else it is not set
        # Before anything is counted: libcurl brings a chunk that is refused here once more.
        if self._inflow.is_full:
            self._receiving_is_paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        size = 0 if self._is_judged else self._judge()
        self.received += len(chunk)
        if self.is_followed:
            # A small one is read to its end, which keeps the connection; one that may have no end
            # is given up with it.
            return None if self.received <= REDIRECT_BODY else 0
        # What is announced counts at once; what comes counts as sent, and in `_decoded` as what it
        # becomes: a few KiB may become GiB.
        limit = self._request.max_body_size
        if limit and max(self.received, size) > limit:
            self.refusal = self._too_large("the body", "max_body_size", limit)
            return 0
        # libcurl hands on no body of a challenge that it answers itself: this answer is the final
        # one.
        self.has_headers = self.stream is not None
        self._inflow.write(chunk)
        return None

    def _too_large(self, what: str, name: str, limit: int) -> TooLargeError:
        request = self._request
        message = (
            f"{request.method} {safe_url(request.url)}: reading {what} stopped at {name}={limit}; "
            "raise it, or ask for less"
        )
        return TooLargeError(message, request=request)

    def _judge(self) -> int:
        """Look at the headers when the first bytes of the body come; return the announced size."""
        self._is_judged = True
        lines = self._transfer.header_lines
        self.is_followed = self._transfer.follows and leads_on(lines)
        self._begin_decoding(lines)
        return announced_size(lines)

    def _begin_decoding(self, lines: list[bytes]) -> None:
        """Have the sink get the body as it was before its codings."""
        if self._inflow is None or self._sink is None or not self._transfer.inflates:
            return
        self._decoder, self._inflated, self._inflow.sink = None, 0, self._sink
        codings = codings_of(lines)
        if codings and not self.is_followed:
            try:
                self._decoder, self._inflow.sink = Decoder(codings), self._put_decoded
            except UndecodableError as error:
                self._break(self._error(_NOT_DECODED, str(error)))

    def _put_decoded(self, chunk: bytes) -> object:
        return self._put_pieces(self._decoded(chunk))

    def _put_pieces(self, pieces: Iterator[bytes]) -> object:
        assert self._sink is not None  # noqa: S101 - else nothing is decoded
        for piece in pieces:
            result = self._sink(piece)
            if inspect.isawaitable(result):
                return self._put_others(asyncio.ensure_future(result), pieces)
        return None

    async def _put_others(self, first: Awaitable[object], pieces: Iterator[bytes]) -> None:
        assert self._sink is not None  # noqa: S101 - else nothing is decoded
        await first
        for piece in pieces:
            result = self._sink(piece)
            if inspect.isawaitable(result):
                await result

    def _decoded(self, chunk: bytes) -> Iterator[bytes]:
        assert self._decoder is not None  # noqa: S101 - whose sink this is
        limit = self._request.max_body_size
        try:
            for piece in self._decoder.pieces(chunk):
                self._inflated += len(piece)
                if limit and self._inflated > limit:
                    raise self._too_large("the body", "max_body_size", limit)
                if self._is_closed:  # by what the sink has done with the piece before
                    return
                yield piece
        except UndecodableError as error:
            raise self._error(_NOT_DECODED, str(error)) from error

    def _is_final(self) -> bool:
        """Return True if these headers belong to the final response, and no other one follows."""
        # To a challenge libcurl may answer: then the first byte of the body decides, or the end.
        # (getinfo cannot be asked from a callback.)
        lines = self._transfer.header_lines
        status = last_status(lines)
        if self._request.channel is not None:  # there it ends with each answer but interim ones
            return status == _SWITCHING or status >= 200
        if self._transfer.follows and leads_on(lines):
            # No body need follow, so that `_judge` may never be called.
            self.is_followed = True
            return False
        if status in (401, 407):
            return not self._transfer.may_be_challenged
        # After 417 libcurl sends the request again, without Expect (RFC 9110, 10.1.1).
        return 200 <= status < 600 and status != 417

    def forget(self) -> None:
        """Drop the received bytes that were not handed on."""
        self._lines.clear()
        self._trailers.clear()
        self._header_size = self._header_count = self.received = 0
        self.has_headers = self.is_told  # others are to come
        self.is_followed = self._is_judged = False
        # It begins anew in libcurl, too, where nothing is paused then, nor refused.
        self._receiving_is_paused = self._sending_is_paused = False
        self.refusal = None
        if self._inflow is not None:
            self._inflow.forget()

    def rewind(self) -> bool:
        """Begin the body anew: nothing of it has reached a server.

        Returns:
            False if it can be had once only.
        """
        self.forget()
        if self._outflow is None:
            return True
        return self._outflow.seek(0, os.SEEK_SET) == pycurl.SEEKFUNC_OK

    def _on_progress(self, to_receive: int, received: int, to_send: int, sent: int) -> None:
        progress = Progress(received, to_receive, sent, to_send)
        if progress != self._progress:
            # libcurl calls often, mostly with nothing new: of a turn only the last is reported.
            self._progress = progress
            self._transfer.attend()

    # -- outside libcurl ------------------------------------------------------------------------

    def serve(self) -> None:
        """Hand on what came and fetch what is wanted.

        Raises:
            Exception: of the user's functions, or what ended it when it was to go on.
        """
        if self._is_serving:  # by a loop that the user's code turns: one after the other
            self._is_asked_again = True
            return
        self._is_serving = True
        try:
            self._serve()
        finally:
            self._is_serving = False
        # That call has used up the note that this transfer is to be served: without another one a
        # body that libcurl has asked for meanwhile would never be sent.
        if self._is_asked_again:
            self._is_asked_again = False
            self.attend()

    def _serve(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._outflow is not None:
            self._outflow.serve()
        self._tell_lines(self._lines)
        if self._inflow is not None:
            self._inflow.serve()
            # A full buffer has paused it. Where an awaitable of the sink is pending, the end of
            # that resumes it.
            if self._receiving_is_paused and self._inflow.is_drained:
                self.resume_receiving()
        if self._trailers and (self._inflow is None or self._inflow.is_drained):
            self._tell_lines(self._trailers)
        self._report()

    def _tell_lines(self, lines: deque[bytes]) -> None:
        on_header_line = self._request.on_header_line
        while lines and on_header_line is not None:
            on_header_line(lines.popleft().decode("latin-1"))

    def _report(self) -> None:
        progress, on_progress = self._progress, self._request.on_progress
        if on_progress is not None and progress is not None and progress != self._reported:
            self._reported = progress
            on_progress(progress)

    @property
    def is_drained(self) -> bool:
        """True if all received bytes were consumed."""
        # A loop that the sink turns must not end the transfer while the sink still has its chunk.
        return not self._is_serving and (self._inflow is None or self._inflow.is_drained)

    @property
    def is_paused(self) -> bool:
        """True while these callbacks have paused the transfer."""
        return self._receiving_is_paused or self._sending_is_paused

    def attend(self) -> None:
        """See `Piped`; nothing once it is over: the handle may be in other hands."""
        if not self._is_closed:
            self._transfer.attend()

    def pause_receiving(self) -> None:
        """Let the sender wait."""
        self._set_pauses(True, self._sending_is_paused)

    def resume_receiving(self) -> None:
        """Read on; may call the write callback at once."""
        self._set_pauses(False, self._sending_is_paused)

    def resume_sending(self) -> None:
        """Send on; calls the read callback at once."""
        self._set_pauses(self._receiving_is_paused, False)

    def _set_pauses(self, receiving: bool, sending: bool) -> None:
        # The handle may be in flight for another request by now.
        if self._is_closed:
            return
        # Before libcurl is called: it calls back in there, and the buffer may be full again.
        self._receiving_is_paused, self._sending_is_paused = receiving, sending
        # It has ended, and waits for its sink alone: libcurl has nothing left to pause.
        if not self._transfer.is_in_flight:
            return
        try:
            self._easy.pause(_PAUSES[receiving, sending])
        except pycurl.error as error:  # what had waited was refused, or is corrupt
            self._break(self.refusal or self._error(*error.args))
            return
        # libcurl goes on at its next call only, and no timer callback asks for that.
        self._transfer.resumed()

    def _error(self, code: int, text: str) -> StreamError:
        request = self._request
        return from_curl(code, text, method=request.method, url=request.url, request=request)

    def finish(self) -> None:
        """The whole answer is there and taken.

        Raises:
            Exception: of its file, which cannot be written, or is none.
            ProtocolError: it is not the part that was asked for, or only the beginning of what is
                coded.
        """
        if self._decoder is not None and last_status(self._transfer.header_lines) != _PARTIAL:
            try:
                self._decoder.check_end()
            except UndecodableError as error:
                raise self._error(_NOT_DECODED, str(error)) from error
        if self._file is not None:
            self._file.finish(self._transfer.answer())

    def end(self, result: object) -> None:
        """Pass the result to the reader of a stream."""
        if self.stream is not None:
            self.stream.end(result if isinstance(result, Exception) else None)

    def close(self) -> None:
        """Close body and sink: the transfer has ended."""
        self._is_closed = True
        if self.stream is not None:
            # Without effect if `end` has reported the result: this is for what was cancelled.
            self.stream.end(ClosedError("the body was dropped: its chain went on or has ended"))
        for held in (self._inflow, self._outflow, self._mime, self._file):
            try:
                if held is not None:
                    held.close()
            except (Exception, asyncio.CancelledError):
                # Of a full disk, or a generator of the user's: the link has its outcome without.
                logger.exception("what %r held could not be closed", self._request)
