"""Lanes: one CurlMulti each, with its easy handles and what is in flight on them.

What libcurl's callbacks may do here, and why, is told in `transport`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TypeAlias

import pycurl
from tornado.ioloop import IOLoop

from .errors import RedirectError, StreamError, from_curl
from .inflow import add_chunk
from .loops import lacks_descriptors
from .options import Options
from .pipes import Pipes
from .request import Request
from .response import Response
from .session import Session

__all__ = ["LANE_TRANSFERS", "Easy", "Lane", "Outcome", "Traffic", "Transfer"]

#: Transfers in one CurlMulti before another is opened. Also nginx's and most servers' limit of
#: streams on one HTTP/2 connection.
LANE_TRANSFERS = 128
#: Connections kept by a lane, idle ones included.
LANE_CONNECTIONS = 4 * LANE_TRANSFERS
_EVENTS = {
    pycurl.POLL_IN: IOLoop.READ,
    pycurl.POLL_OUT: IOLoop.WRITE,
    pycurl.POLL_INOUT: IOLoop.READ | IOLoop.WRITE,
}

_BASE_OPTIONS: Options = {
    pycurl.NOSIGNAL: 1,  # libcurl must not touch signals; its resolver has its own thread
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    pycurl.REDIR_PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    # What this libcurl was built to trust is not asked for, see `trust`.
    pycurl.CAINFO: None,
    pycurl.CAPATH: None,
    pycurl.PROXY_CAINFO: None,
    pycurl.PROXY_CAPATH: None,
}
#: In the order of `response.TIMES`. On a connection that was there already the later ones are 0.
_TIMES_OF_EACH = (pycurl.TOTAL_TIME, pycurl.STARTTRANSFER_TIME)
_TIMES_OF_FIRST = (
    *_TIMES_OF_EACH,
    pycurl.PRETRANSFER_TIME,
    pycurl.NAMELOOKUP_TIME,
    pycurl.CONNECT_TIME,
    pycurl.APPCONNECT_TIME,
    pycurl.REDIRECT_TIME,
)

_NOT_CONNECTED, _REDIRECTED_TOO_OFTEN = 7, 47  # of libcurl's errors
_IN_HEADERS = frozenset({1, 8, 100})
_BYTES = (pycurl.SIZE_UPLOAD_T, pycurl.SIZE_DOWNLOAD_T, pycurl.HEADER_SIZE, pycurl.REQUEST_SIZE)


class Outcome(Protocol):
    """Who is told how a transfer ended: at most once, never from inside libcurl."""

    def __call__(self, result: Response | Exception, lane: Lane | None, /) -> None:
        """Take the response or the error; the lane is where its connection now idles."""


class Easy(pycurl.Curl):
    """An easy handle that knows its transfer."""

    transfer: Transfer


class Transfer:
    """An easy handle and what is in flight on it. Pooled: its options stay set.

    Args:
        transport: to tell of new sockets, and of what is to be done outside libcurl.
    """

    __slots__ = (
        "_room",
        "_transport",
        "body",
        "discards",
        "easy",
        "failure",
        "header_lines",
        "home",
        "is_attended",
        "is_marked",
        "is_waiting",
        "lane",
        "limit",
        "opened",
        "options",
        "outcome",
        "pipes",
        "request",
        "session",
        "url",
    )

    def __init__(self, transport: Traffic) -> None:
        self._transport = transport
        self._room = self.limit = sys.maxsize  # bytes of body that may still come
        self.is_attended = False  # the transport is to serve its pipes
        self.is_waiting = False  # it has ended, but what came was not taken yet
        self.opened = False  # a connection, for the request in flight
        self.easy = Easy()
        self.easy.transfer = self
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.lane: Lane | None = None  # where it is in flight
        self.home: Lane | None = None  # where it was last
        self.failure: tuple[int, str] | Exception | None = None  # libcurl's number and words
        self.pipes: Pipes | None = None  # what goes through the caller's hands: set only once
        self.outcome: Outcome | None = None
        self.request: Request | None = None
        self.session: Session | None = None  # its share is the one thing that reset() leaves
        self._blank()

    def _blank(self) -> None:
        """Bring the handle to the state that `options == {}` stands for."""
        easy = self.easy
        easy.reset()
        for option, value in _BASE_OPTIONS.items():
            easy.setopt(option, value)
        self._mind_cookies()
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._on_sockopt)
        easy.setopt(pycurl.HEADERFUNCTION, self.header_lines.append)
        easy.setopt(pycurl.WRITEFUNCTION, self._on_body)
        self.discards = self.is_marked = False
        self.options: Options = {}
        self.url = ""

    def _mind_cookies(self) -> None:
        if self.session is not None and self.session.keeps_cookies:
            self.easy.setopt(pycurl.COOKIEFILE, "")  # how libcurl is told to mind them

    def _on_sockopt(self, fd: int, _purpose: int) -> int:
        self.opened = True
        self._transport.on_new_socket(fd)
        return pycurl.SOCKOPT_OK

    def _on_body(self, chunk: bytes) -> int | None:
        # Counted as decompressed: a few KiB may become some GiB, in one call of libcurl.
        self._room -= len(chunk)
        if self._room < 0:
            return 0
        if self.body:
            add_chunk(self.body, chunk)
        else:  # most bodies come as one
            self.body.append(chunk)
        return None

    def prepare(self, request: Request, options: Options, session: Session, discards: bool) -> None:
        """Set what differs from the last request on this handle.

        Raises:
            pycurl.error, TypeError, UnicodeError: a value is refused; the handle is in doubt.
            OSError, ValueError: of the body or sink; likewise.
        """
        easy = self.easy
        if self.is_marked:
            self._blank()
        if options is not self.options:
            self._set_options(options)
        if session is not self.session:
            self.leave_session()
            easy.setopt(pycurl.SHARE, session.share)
            self.session = session
            self._mind_cookies()  # taking part in a share forgets it
        if request.url != self.url:
            easy.setopt(pycurl.URL, request.url)
            self.url = request.url
        if discards is not self.discards:
            # len() answers "all taken" and keeps nothing: a body nobody reads costs nothing.
            easy.setopt(pycurl.WRITEFUNCTION, len if discards else self._on_body)
            self.discards = discards
        if request.is_special:
            self.is_marked = True
            self.pipes = Pipes(self, request)
            self.pipes.set_callbacks()
        self.request = request
        self.opened = False
        self._room = self.limit

    def leave_session(self) -> None:
        """Let go of the session that it was last used for."""
        if self.session is not None:
            self.easy.unsetopt(pycurl.SHARE)
            self.session = None

    def _set_options(self, options: Options) -> None:
        old = self.options
        if not old.keys() <= options.keys():
            self._blank()  # what is to be unset is not worth a table of its own
            old = self.options
        for option, value in options.items():
            if old.get(option) != value:
                self.easy.setopt(option, value)
        self.options = options
        self.limit = options.get(pycurl.MAXFILESIZE_LARGE) or sys.maxsize

    # -- for its pipes --------------------------------------------------------------------------

    @property
    def is_in_flight(self) -> bool:
        """It has not ended."""
        return self.lane is not None

    def attend(self) -> None:
        """Have the pipes served outside libcurl."""
        if not self.is_attended:
            self.is_attended = True
            self._transport.attend(self)

    def resumed(self) -> None:
        """Have libcurl go on with it."""
        if self.lane is not None:
            self._transport.kick_soon(self.lane)

    @property
    def own_headers(self) -> list[bytes]:
        """The header lines that were set on it."""
        return self.options.get(pycurl.HTTPHEADER) or []

    def answer(self) -> Response:
        """Status and headers of the final answer; not to be called inside libcurl."""
        assert self.request is not None  # noqa: S101 - it has one while it lasts
        status = self.easy.getinfo(pycurl.RESPONSE_CODE)
        return Response(self.request, status, self.url, self.header_lines[:], b"")

    # -- the end --------------------------------------------------------------------------------

    def take(self, request: Request) -> Response | Exception:
        """The response that has arrived, or what came instead."""
        if self.failure is not None:
            return self._failure(request)
        return self.response(request)

    def response(self, request: Request) -> Response | StreamError:
        """What has arrived so far, as a response."""
        easy, body = self.easy, self.body
        lines, redirected = self.header_lines, 0
        # Of nearly all the first empty line is the last line: one answer, and all of it.
        if not lines or lines[-1] != b"\r\n" or lines.index(b"\r\n") != len(lines) - 1:
            if lines and self._is_cut():
                return self._error(request, 8, "The server broke off in the headers")
            redirected = easy.getinfo(pycurl.REDIRECT_COUNT)
        times = _TIMES_OF_FIRST if self.opened or redirected else _TIMES_OF_EACH
        return Response(
            request,
            easy.getinfo(pycurl.RESPONSE_CODE),
            easy.getinfo(pycurl.EFFECTIVE_URL) if redirected else self.url,
            lines[:],
            body[0] if len(body) == 1 else b"".join(body),
            tuple(map(easy.getinfo, times)),
        )

    def _failure(self, request: Request) -> Exception:
        if isinstance(self.failure, Exception):
            return self.failure
        assert self.failure is not None  # noqa: S101 - for the type checker
        if self.pipes is not None and self.pipes.refusal is not None:
            return self.pipes.refusal
        if self._room < 0:
            return self._error(request, 63, f"More than {self.limit} bytes")
        return self._error(request, *self.failure)

    def _error(self, request: Request, code: int, text: str) -> StreamError:
        """What libcurl's number means for the request."""
        is_proxied = bool(self.easy.getinfo(pycurl.USED_PROXY))
        number = self.easy.getinfo(pycurl.OS_ERRNO) if code == _NOT_CONNECTED else 0
        if number:
            text = f"{text.rstrip('. ')}: [Errno {number}] {os.strerror(number)}"
        error = from_curl(
            code,
            text,
            method=request.method,
            url=request.url,
            request=request,
            is_proxied=is_proxied,
            is_tunnelling=is_proxied and code in _IN_HEADERS and self._is_tunnelling(request),
            lacks_descriptors=code == _NOT_CONNECTED and not number and lacks_descriptors(),
        )
        if code == _REDIRECTED_TOO_OFTEN and isinstance(error, RedirectError):
            response = self.response(request)
            error.response = response if isinstance(response, Response) else None
        return error

    def _is_tunnelling(self, request: Request) -> bool:
        """What came was the proxy's: the server has not been reached."""
        if not self.opened or not request.url.startswith("https:"):
            return False
        return not self.easy.getinfo(pycurl.APPCONNECT_TIME)

    def bytes_moved(self) -> int:
        """Bytes sent and received so far; only good for telling whether there were more."""
        moved: int = sum(map(self.easy.getinfo, _BYTES))
        return moved

    def _is_cut(self) -> bool:
        """The headers have no end: libcurl takes that for a response without a body."""
        # After the end there may be trailers.
        return not any(line in (b"\r\n", b"\n") for line in self.header_lines)

    def drop_pipes(self) -> None:
        """The transfer has ended, one way or another."""
        pipes, self.pipes = self.pipes, None
        if pipes is not None:
            pipes.close()

    def close(self) -> None:
        """Close the handle; it must not be in flight."""
        # They keep each other alive: by the attribute, and by the callbacks.
        self.drop_pipes()
        self.easy.close()
        del self.easy.transfer


#: What libcurl says: how much it did not say yet, and which handles are through, how.
_Ended: TypeAlias = "tuple[int, list[Easy], list[tuple[Easy, int, str]]]"


class Traffic(Protocol):
    """What a lane needs of the transport that it belongs to."""

    #: The sockets that libcurl waits for now, and whose lane does.
    fd_map: dict[int, Lane]
    #: The sockets that the loop watches, and for what.
    registered: dict[int, int]
    #: Numbers of sockets that stay registered when libcurl lets them go.
    lasting: set[int]

    def call_later(
        self, delay: float, function: Callable[[], object]
    ) -> asyncio.TimerHandle | None:
        """As the loop's; None if that is closed."""

    def register(self, fd: int, events: int) -> None:
        """Have the loop watch a socket, maybe watched for other events so far."""

    def unregister(self, fd: int) -> None:
        """Have the loop forget a socket, which may be closed already."""

    def kick_soon(self, lane: Lane) -> None:
        """The lane is to be kicked."""

    def on_new_socket(self, fd: int) -> None:
        """What is known under this number is of a socket that is gone."""

    def attend(self, transfer: Transfer) -> None:
        """The transfer's pipes are to be served outside libcurl."""


class Lane:
    """One CurlMulti: its transfers, its timer, and whether it wants a kick.

    Attributes:
        active: transfers in flight.
        idle_since: when it was last seen without any, in seconds of `time.monotonic`.
        is_due: it is to be kicked, and was not yet.
        add_handle, remove_handle, socket_action, info_read, timeout: libcurl's own.
    """

    __slots__ = (
        "_deadline",
        "_fd_map",
        "_multi",
        "_registered",
        "_timer",
        "_timer_at",
        "_transport",
        "active",
        "add_handle",
        "idle_since",
        "info_read",
        "is_closed",
        "is_due",
        "remove_handle",
        "socket_action",
        "timeout",
    )

    def __init__(self, transport: Traffic) -> None:
        self._transport = transport
        self._fd_map = transport.fd_map
        self._registered = transport.registered
        self.active = 0
        self.idle_since = 0.0
        self.is_closed = False
        self.is_due = False
        self._deadline: float | None = None  # when libcurl wants to be kicked
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        multi.setopt(pycurl.M_MAXCONNECTS, LANE_CONNECTIONS)
        self.add_handle = multi.add_handle
        self.remove_handle = multi.remove_handle
        self.socket_action = multi.socket_action
        # All handles that it is given are `Easy`.
        self.info_read: Callable[[], _Ended] = multi.info_read  # type: ignore[assignment]
        self.timeout = multi.timeout

    def __repr__(self) -> str:
        return f"<Lane {self.active} transfers>"

    def close(self) -> None:
        """Close the connections. First the timer goes, then the multi."""
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, None)
        self._multi.close()

    def abandon(self) -> pycurl.CurlMulti:
        """In a forked child: what must neither be used nor closed."""
        return self._multi

    def _on_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            self._fd_map.pop(fd, None)
            if fd not in self._transport.lasting:
                self._transport.unregister(fd)
            return
        self._fd_map[fd] = self
        events = _EVENTS[what]
        if self._registered.get(fd) != events:
            self._transport.register(fd, events)

    # -- time ---------------------------------------------------------------------------------

    def see_time(self) -> None:
        """Ask libcurl when it wants to be kicked: after each thing that was done with it."""
        timeout_ms = self.timeout()
        if timeout_ms > 0:
            self._deadline = at = monotonic() + timeout_ms / 1000
            if self._timer is None or at < self._timer_at:
                self._set_timer(at)
        elif timeout_ms == 0:
            self._transport.kick_soon(self)
        else:
            self._deadline = None

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._transport.call_later(at - monotonic(), self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        # libcurl counts whole milliseconds; to come one early would only bring us back.
        if self._deadline > monotonic() + 0.0005:
            self._set_timer(self._deadline)
            return
        self._deadline = None
        self._transport.kick_soon(self)
