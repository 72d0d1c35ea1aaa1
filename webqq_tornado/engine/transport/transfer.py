"""Transfers: one easy handle each, and the request that is in flight on it.

What libcurl's callbacks may do here, and why, is told in `transport`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import pycurl

from ..addresses import is_public
from ..errors import AddressError, StreamError
from ..eventloop import lacks_descriptors
from ..request import Request
from ..response import Response
from ..secrets import safe_url
from ..session import Session
from .callbacks import TransferCallbacks
from .connections import Connection
from .download import REDIRECT_BODY, add_chunk
from .failures import from_curl
from .headerlines import announced_size, codings_of, is_cut, last_status, leads_on
from .inflating import UndecodableError, inflated
from .lane import Lane
from .options import (
    AT_MOST_ONCE,
    BODY_LIMIT,
    EXPECTS,
    FOLLOWS,
    INFLATES,
    PUBLIC_ONLY,
    Options,
)
from .tcpinfo import bytes_read

if TYPE_CHECKING:
    from .silence import Silence

__all__ = ["Carrier", "Outcome", "Transfer"]

#: CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl has no name for.
_SUPPRESS_CONNECT_HEADERS = 265

_BASE_OPTIONS: Options = {
    pycurl.NOSIGNAL: 1,  # libcurl must not touch signals; its resolver has its own thread
    pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
    # What this libcurl was built to trust is not asked for, see `trust`.
    pycurl.CAINFO: None,
    pycurl.CAPATH: None,
    pycurl.PROXY_CAINFO: None,
    pycurl.PROXY_CAPATH: None,
    # Our own limit is looked at elsewhere. Without any libcurl takes a length that it cannot
    # count for none at all, and whatever comes for the body.
    pycurl.MAXFILESIZE_LARGE: 2**63 - 1,
    # Else what a proxy says to CONNECT comes first among the header lines.
    _SUPPRESS_CONNECT_HEADERS: 1,
}
#: Of a handle and a number. pycurl takes half as long again to look it up on each handle.
getinfo: Callable[[pycurl.Curl, int], Any] = pycurl.Curl.getinfo
_STATUS = pycurl.RESPONSE_CODE
_TOTAL, _STARTTRANSFER = pycurl.TOTAL_TIME, pycurl.STARTTRANSFER_TIME
#: In the order of `response.TIMES`.
_TIMES = (
    _TOTAL,
    _STARTTRANSFER,
    pycurl.PRETRANSFER_TIME,
    pycurl.NAMELOOKUP_TIME,
    pycurl.CONNECT_TIME,
    pycurl.APPCONNECT_TIME,
)

#: libcurl's errors.
_NOT_CONNECTED, _NO_ANSWER, _NOT_SENT, _NOT_DECODED = 7, 52, 55, 61
_TOO_MANY_REPEATS, _TOO_LARGE, _NOT_REWOUND = 47, 63, 65
_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_IN_HEADERS = frozenset({1, 8, 100})
#: Those that a connection may be to blame for that others have used before.
_OF_OLD_CONNECTIONS = frozenset({1, 8, 16, _NO_ANSWER, _NOT_SENT, 56})
#: Bytes of a body that an idle handle may go on holding: of a larger one it is blanked.
_SMALL_BODY = 2048
#: libcurl's errors of a body whose headers were all there: broken off, refused by us, reset, ...
_IN_BODY = frozenset({16, 18, 23, 56, 61, 63, 92, 95})
_CHALLENGES = (401, 407)
_PARTIAL, _EXPECTATION_FAILED = 206, 417
_NO_TUNNEL = "CONNECT tunnel failed, response 407"
_NOT_SENT_AGAIN = "The connection broke off before an answer, and nothing is sent twice"
_NOT_EXPECTED = "The server does not take Expect (417), and the body cannot be sent again"
_EARLY = "An answer was there before the request was sent: it is that to another one"
#: Of CURLOPT_DEBUGFUNCTION's kinds: libcurl's own words; and those about a refused stream.
_TEXT = 0
_REFUSALS = (b" refused by server, try again", b"Downgrades to HTTP/1.1")
_BYTES = (pycurl.SIZE_UPLOAD_T, pycurl.SIZE_DOWNLOAD_T, pycurl.HEADER_SIZE, pycurl.REQUEST_SIZE)


class Outcome(Protocol):
    """Callback for the end of a transfer: called at most once, never from inside libcurl."""

    def __call__(self, result: Response | Exception, lane: Lane | None, /) -> None:
        """Take the response or the error; the lane is where its connection now idles."""


class Used(Protocol):
    """The connections that requests were sent on."""

    @property
    def may_multiplex(self) -> bool:
        """True if a connection over TLS has spoken HTTP/2 or 3, or none has spoken at all."""

    def is_retired(self, address: str, port: int) -> bool:
        """Return True if the connection with this local address accepts no more requests."""

    def read_from(self, address: str, port: int) -> tuple[int, int] | None:
        """The one with this end of ours, and the bytes that were read from it."""

    def may_have_read(self, fd: int, lines: Iterable[bytes]) -> bool:
        """Return True if these lines can have been read since the last request ended."""


class Carrier(Protocol):
    """The part of the transport that a transfer uses."""

    transfers: dict[pycurl.Curl, Transfer]

    @property
    def connections(self) -> Used:
        """The connections that requests were sent on."""

    def kick_soon(self, lane: Lane) -> None:
        """Kick the lane when this turn ends, or in the next one."""

    def on_new_socket(self, fd: int, transfer: Transfer) -> None:
        """Forget the socket that had this number."""

    def attend(self, transfer: Transfer) -> None:
        """Serve the transfer's callbacks outside libcurl."""


class Transfer:
    """An easy handle and what is in flight on it. Pooled: its options stay set.

    Args:
        transport: to tell of new sockets, and of what is to be done outside libcurl.
    """

    __slots__ = (
        "_expects",
        "_identity",
        "_is_early",
        "_is_measured",
        "_is_multiplexing",
        "_is_restarted",
        "_is_ruled",
        "_is_sent",
        "_listens",
        "_may_be_refused",
        "_read_before",
        "_room",
        "_sends_once",
        "_transport",
        "_was_refused",
        "body",
        "callbacks",
        "discards",
        "easy",
        "failure",
        "has_large_body",
        "has_nonce",
        "has_notes",
        "has_tls_proxy",
        "header_lines",
        "home",
        "inflates",
        "is_attended",
        "is_marked",
        "is_over_tls",
        "is_waiting",
        "lane",
        "limit",
        "looked_up",
        "may_be_challenged",
        "opened",
        "options",
        "outcome",
        "public_only",
        "refused",
        "request",
        "session",
        "silence",
        "url",
    )

    def __init__(self, transport: Carrier) -> None:
        self._transport = transport
        self._room = self.limit = sys.maxsize  # bytes of body that may still come
        self.is_attended = False  # the transport is to serve its callbacks
        self.is_waiting = False  # it has ended, but what came was not taken yet
        #: Connections for the request in flight: one, if any, in nearly all.
        self.opened: tuple[Connection, ...] = ()
        self.refused = ""  # an address that is not public
        self.looked_up = ""  # the origin whose name may be looked up for it
        self.silence: Silence | None = None  # if the time without a byte is limited, or was once
        self.has_notes = False  # about the request in flight, to be looked at when it ends
        self._is_measured = False  # against the limit, by what the headers announce
        self._is_sent = -1  # header lines that there were when the request was sent last
        self._was_refused = False  # by the server, which has not worked on it
        self._read_before: tuple[int, int] | None = None  # it was sent: from which socket, bytes
        self._is_early = False  # the answer had been read by then
        self._identity: object = None  # whose digest state the handle has
        self.easy = pycurl.Curl()
        transport.transfers[self.easy] = self
        self.body: list[bytes] = []
        self.header_lines: list[bytes] = []
        self.lane: Lane | None = None  # where it is in flight
        self.home: Lane | None = None  # where it was last
        self.failure: tuple[int, str] | Exception | None = None  # libcurl's number and words
        self.callbacks: TransferCallbacks | None = (
            None  # what goes through the caller's hands: set only once
        )
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
        self.discards = self.is_marked = self.has_nonce = self.has_large_body = False
        self._is_restarted = self.public_only = self.inflates = False
        self._listens = self._may_be_refused = self._is_multiplexing = False
        self._sends_once = self._expects = False
        self.has_tls_proxy = self.is_over_tls = False
        self.may_be_challenged = False  # libcurl may go on from a 401 or 407 by itself
        self._is_ruled = False  # something of each request is to be minded
        self._identity = None
        self.limit = sys.maxsize
        self.options: Options = {}
        self.url = ""

    def _mind_cookies(self) -> None:
        if self.session is not None and self.session.keeps_cookies:
            self.easy.setopt(pycurl.COOKIEFILE, "")  # how libcurl is told to mind them

    def _on_sockopt(self, fd: int, _purpose: int) -> int:
        self.has_notes = True
        self._transport.on_new_socket(fd, self)
        return pycurl.SOCKOPT_OK

    def _on_open_socket(self, _purpose: int, address: Any) -> int:
        """A socket to connect to an address, if that is public."""
        host = address.addr[0] if address.family in _INTERNET else "a unix socket"
        if not is_public(host):
            self.has_notes = True
            self.refused = host
            return int(pycurl.SOCKET_BAD)
        try:
            # By its number it is libcurl's alone; of an object libcurl would get a copy, without
            # the flag that keeps it from programs that are started meanwhile.
            return socket.socket(address.family, address.socktype, address.protocol).detach()
        except OSError:
            return int(pycurl.SOCKET_BAD)  # and its errno is libcurl's to tell

    def _on_body(self, chunk: bytes) -> int | None:
        # As it was sent; decompressed it is counted once more.
        self._room -= len(chunk)
        if self._room < 0:
            return 0
        if not self.body:  # most bodies come as one
            self.body.append(chunk)
            return None
        # Not by MAXFILESIZE, which judges answers without a body, too: to HEAD, and 304.
        if not self._is_measured:
            self.has_notes = self._is_measured = True
            self._measure()
            if self._room < 0:
                return 0
        add_chunk(self.body, chunk)
        return None

    def _measure(self) -> None:
        """Look at what the headers announce."""
        lines = self.header_lines
        if announced_size(lines) > self.limit:
            self._room = -1
        elif self.follows and leads_on(lines):
            self._room = min(self._room, REDIRECT_BODY)

    def _on_send(self, _peer: str, address: str, _peer_port: int, port: int) -> int:
        """Let libcurl send a request that is not idempotent once, and refuse a second time.

        It repeats by itself what it has sent on a connection that was there already and then
        broke, although a server may have worked on it (RFC 9110, 9.2.2). And it repeats what was
        answered by 417, with the line of ours that the server has just refused, up to 30 times.
        """
        if self._expects and last_status(self.header_lines) == _EXPECTATION_FAILED:
            self.failure = _TOO_MANY_REPEATS, _NOT_EXPECTED
            return int(pycurl.PREREQFUNC_ABORT)
        if not self._sends_once:
            self.has_notes = True
            return int(pycurl.PREREQFUNC_OK)
        if self._transport.connections.is_retired(address, port):
            return int(pycurl.PREREQFUNC_OK)  # not a byte can leave on it
        lines = len(self.header_lines)
        # After an answer (401, 417) it is sent anew; and after the server's word that it has
        # not worked on it, in HTTP/2 and 3.
        if self._is_sent == lines and not self._was_refused:
            self.failure = _NO_ANSWER, _NOT_SENT_AGAIN
            return int(pycurl.PREREQFUNC_ABORT)
        self.has_notes = True
        self._is_sent, self._was_refused = lines, False
        if self.is_over_tls and not self.opened:
            self._read_before = self._transport.connections.read_from(address, port)
        return int(pycurl.PREREQFUNC_OK)

    def _listen(self, listens: bool) -> None:
        """Hear libcurl's own words, or no more: they cost more than all else of such a request."""
        self._listens = listens
        self.easy.setopt(pycurl.VERBOSE, listens)
        self.easy.setopt(pycurl.DEBUGFUNCTION, self._on_debug)

    def _on_debug(self, kind: int, text: bytes) -> None:
        if kind == _TEXT and any(words in text for words in _REFUSALS):
            # There is no other way to know it from a broken connection.
            self._was_refused = True

    def add_header_line(self, line: bytes) -> None:
        """Keep one more; and see whether the first one was there before the request was sent."""
        self.header_lines.append(line)
        if self._read_before is not None:
            (fd, before), self._read_before = self._read_before, None
            now = bytes_read(fd)
            if line.startswith(b"HTTP/1") and now is not None and now - before < len(line):
                self._is_early = True

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
        if self._is_ruled:
            self._mind_rules(request, options)
        if request.url != self.url:
            easy.setopt(pycurl.URL, request.url)
            self.url = request.url
            self.is_over_tls = self.has_tls_proxy or request.url[4] == "s"
        if discards is not self.discards:
            # len() answers "all taken" and keeps nothing: a body nobody reads costs nothing.
            easy.setopt(pycurl.WRITEFUNCTION, len if discards else self._on_body)
            self.discards = discards
        if request.is_special:
            self.is_marked = True
            self.callbacks = TransferCallbacks(self, request)
            self.callbacks.set_callbacks()
        self.request = request
        self._room = self.limit
        if self.has_notes or self.is_over_tls:
            self.has_notes = self.has_nonce or self.is_over_tls
            self._is_measured = False
            self._is_sent, self.opened, self.refused = -1, (), ""
            self._read_before, self._is_early = None, False

    def _mind_rules(self, request: Request, options: Options) -> None:
        if self.may_be_challenged:
            self._mind_digest(request, options)
        if self._may_be_refused:
            listens = self._is_multiplexing or self._transport.connections.may_multiplex
            if listens is not self._listens:
                self._listen(listens)

    def leave_session(self) -> None:
        """Let go of the session that it was last used for."""
        if self.session is not None:
            self.easy.unsetopt(pycurl.SHARE)
            self.session = None
            # What the handle has of a server's nonce is of that session, too.
            self.is_marked = self.is_marked or self._identity is not None

    def _set_options(self, options: Options) -> None:
        old = self.options
        if not old.keys() <= options.keys():
            self._blank()  # what is to be unset is not worth a table of its own
            old = self.options
        for option, value in options.items():
            if old.get(option) != value:
                if option < 0:
                    self._set_own_option(option, value)
                else:
                    self.easy.setopt(option, value)
        self.options = options
        self.has_large_body = len(options.get(pycurl.POSTFIELDS) or b"") > _SMALL_BODY
        auths = options.get(pycurl.HTTPAUTH), options.get(pycurl.PROXYAUTH)
        self.may_be_challenged = pycurl.HTTPAUTH_DIGEST in auths
        self.has_nonce = False
        self._is_ruled = self.may_be_challenged or self._may_be_refused
        self.has_tls_proxy = (options.get(pycurl.PROXY) or b"").startswith(b"https:")
        self.is_over_tls = self.has_tls_proxy or self.url[4:5] == "s"

    def is_multiplexed(self) -> bool:
        """Return True for HTTP/2 and 3, whose servers may send on idle connections."""
        lines = self.header_lines
        return bool(lines) and lines[0].startswith((b"HTTP/2", b"HTTP/3"))

    def forget_body(self) -> None:
        """Drop the body from the handle: it was sent, and an idle handle need not hold it."""
        self._blank()

    def _set_own_option(self, option: int, value: int) -> None:
        if option == BODY_LIMIT:
            self.limit = value or sys.maxsize
        elif option == AT_MOST_ONCE:
            self._sends_once = True
            self.easy.setopt(pycurl.PREREQFUNCTION, self._on_send)
            if value > 1:
                self._may_be_refused, self._is_multiplexing = True, value > 2
                self.easy.setopt(pycurl.HEADERFUNCTION, self.add_header_line)
        elif option == EXPECTS:
            self._expects = True
            self.easy.setopt(pycurl.PREREQFUNCTION, self._on_send)
        elif option == INFLATES:
            self.inflates = True
        elif option == PUBLIC_ONLY:
            self.public_only = True
            self.easy.setopt(pycurl.OPENSOCKETFUNCTION, self._on_open_socket)

    def _mind_digest(self, request: Request, options: Options) -> None:
        """A handle keeps nonces: for that server or proxy, and these credentials."""
        server: object = None
        if options.get(pycurl.HTTPAUTH) == pycurl.HTTPAUTH_DIGEST:
            place = request.url.partition("?")[0].split("/", 3)[:3]
            server = place, options.get(pycurl.USERNAME), options.get(pycurl.PASSWORD)
        identity = server, options.get(pycurl.PROXY)
        # What goes through the caller's hands does so once: it is not to meet a nonce that is old.
        if self.is_marked or request.is_special or self._identity not in (None, identity):
            self._blank()
            self._set_options(options)
        self.has_nonce = self._identity == identity
        self.has_notes = self.has_notes or self.has_nonce
        self._identity = identity

    # -- another start --------------------------------------------------------------------------

    @property
    def may_restart(self) -> bool:
        """True if `restarts` is to be asked when it has ended."""
        return self.failure is not None or self.has_nonce or self._expects

    def restarts(self) -> bool:
        """Return True if the ended transfer is to be started again, and is ready for it.

        libcurl gives up where we know better. That is so once for a request at most.
        """
        if self._is_restarted or self.outcome is None:
            return False
        if isinstance(self.failure, tuple):
            is_good = self._evades(*self.failure)
        else:
            is_good = self.failure is None and (self._is_challenged() or self._is_unexpected())
        if is_good:
            self.failure = None
            self.header_lines.clear()
            self.body.clear()
            self._room = self.limit
            # The next request is to find nothing of this.
            self._is_restarted = self.is_marked = True
        return is_good

    def forgive(self) -> None:
        """Ignore errors in the body of a redirect that is followed."""
        is_of_body = isinstance(self.failure, tuple) and self.failure[0] in _IN_BODY
        lines = self.header_lines
        if is_of_body and self.follows and leads_on(lines) and not is_cut(lines):
            self.failure = None
            self.body.clear()
            self._room = self.limit

    def _evades(self, code: int, text: str) -> bool:
        """Set the options that avoid libcurl's failure; return True if there are any."""
        if code == _TOO_MANY_REPEATS and self._expects:
            return self._leaves_out_expect()
        if self._is_sent >= 0:
            return False
        if self.has_nonce and text.startswith(_NO_TUNNEL):
            self._forget_nonce()
            return True
        if code not in _OF_OLD_CONNECTIONS or self.opened or not is_cut(self.header_lines):
            return False
        # It has met one dead connection after the other, and stops after five; or what lay in a
        # connection was not for this request.
        self.easy.setopt(pycurl.FRESH_CONNECT, 1)
        return self.callbacks is None or self.callbacks.rewind()

    def _is_unexpected(self) -> bool:
        """The server answers 417 after it has read the body: libcurl takes that as it is."""
        if not self._expects or getinfo(self.easy, _STATUS) != _EXPECTATION_FAILED:
            return False
        # Not where the user has heard of that answer already.
        is_told = self.callbacks is not None and self.callbacks.has_sink
        assert self.request is not None  # noqa: S101 - it had one
        return not is_told and self.request.is_replayable and self._leaves_out_expect()

    def _leaves_out_expect(self) -> bool:
        """Send it again as the server wants it (RFC 9110, 10.1.1); False if the body is gone."""
        lines = [line for line in self.own_headers if not line.lower().startswith(b"expect:")]
        self.easy.setopt(pycurl.HTTPHEADER, [*lines, b"Expect:"])  # nor one of libcurl's
        self._expects, self._is_sent = False, -1
        return self.callbacks is None or self.callbacks.rewind()

    def is_answered_early(self, fd: int) -> bool:
        """Return True if the response was there before the request was sent.

        Args:
            fd: its connection's; -1 if that is closed.
        """
        if self.opened or not self.header_lines or self._is_sent >= 0 or self.is_multiplexed():
            return self._is_early
        # Where nobody can tell any more it is asked for again, which does no harm.
        return fd < 0 or not self._transport.connections.may_have_read(fd, self.header_lines)

    def refuse_early_answer(self) -> tuple[int, str]:
        """Forget what was there before the request was sent: it answers another one.

        Returns:
            What the failure is, in libcurl's terms.
        """
        self.header_lines.clear()
        self.body.clear()
        if self.callbacks is not None:
            self.callbacks.forget()
        return _NO_ANSWER, _EARLY

    def _is_challenged(self) -> bool:
        """The nonce that it was begun with is not taken any more: then it is forgotten."""
        # libcurl itself answers that only if the server says stale=true; with a challenge that
        # it has answered there are two blocks of headers.
        if not self.has_nonce or self.callbacks is not None:
            return False
        if getinfo(self.easy, pycurl.RESPONSE_CODE) not in _CHALLENGES:
            return False
        is_answer = sum(line.startswith(b"HTTP/") for line in self.header_lines) == 1
        if is_answer:
            self._forget_nonce()
        return is_answer

    def _forget_nonce(self) -> None:
        request, session, options, discards = (
            self.request,
            self.session,
            self.options,
            self.discards,
        )
        assert request is not None and session is not None  # noqa: S101, PT018 - it had both
        self._blank()
        self.prepare(request, options, session, discards)

    # -- for its callbacks ----------------------------------------------------------------------

    @property
    def is_in_flight(self) -> bool:
        """True until the transfer has ended."""
        return self.lane is not None

    def attend(self) -> None:
        """Have the callbacks served outside libcurl."""
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

    @property
    def follows(self) -> bool:
        """A redirect is followed."""
        return bool(self.options.get(FOLLOWS))

    def answer(self) -> Response:
        """Status and headers of the final answer; not to be called inside libcurl."""
        assert self.request is not None  # noqa: S101 - it has one while it lasts
        status = getinfo(self.easy, pycurl.RESPONSE_CODE)
        return Response(self.request, status, self.url, self.header_lines[:], b"")

    # -- the end --------------------------------------------------------------------------------

    def note_cut(self) -> None:
        """Its headers have no end."""
        self.failure = 8, "The server broke off in the headers"

    def response(self, request: Request) -> Response | Exception:
        """Build the response from the data received so far."""
        body, lines = self.body, self.header_lines
        head = b"".join(lines).lower()
        # Of nearly all the first empty line is the last line: one answer, and all of it.
        is_single = head.find(b"\r\n\r\n") == len(head) - 4
        if (not is_single or head[9:10] == b"1") and is_cut(lines):
            self.note_cut()
            return self.error_of(request)
        easy = self.easy
        if self.opened:
            times = tuple([getinfo(easy, each) for each in _TIMES])
        else:  # its connection was there already, and the later ones are 0
            times = getinfo(easy, _TOTAL), getinfo(easy, _STARTTRANSFER)
        data = body[0] if len(body) == 1 else b"".join(body)
        status = getinfo(easy, _STATUS)
        # First what tells most: few bodies are coded.
        if data and head.find(b"\ncontent-encoding:") > 0 and self._inflates_held_body():
            try:
                is_part = status == _PARTIAL
                data = inflated(data, codings_of(lines), self.limit, is_part=is_part)
            except (UndecodableError, OverflowError) as error:
                if not (self.follows and leads_on(lines)):
                    return self._not_inflated(request, error)
        return Response(
            request,
            status,
            self.url,
            lines[:],
            data,
            times,
        )

    def _inflates_held_body(self) -> bool:
        # What went by the callbacks to a sink was decoded there.
        return self.inflates and (self.callbacks is None or not self.callbacks.has_sink)

    def _not_inflated(self, request: Request, error: Exception) -> StreamError:
        if isinstance(error, OverflowError):
            return self._error(request, _TOO_LARGE, f"More than {self.limit} bytes")
        return self._error(request, _NOT_DECODED, str(error))

    def error_of(self, request: Request) -> Exception:
        """Return what ended it instead of a response."""
        if isinstance(self.failure, Exception):
            return self.failure
        assert self.failure is not None  # noqa: S101 - for the type checker
        if self.callbacks is not None and self.callbacks.refusal is not None:
            return self.callbacks.refusal
        if self._room < 0:
            return self._error(request, _TOO_LARGE, f"More than {self.limit} bytes")
        if self.failure[0] == _NOT_REWOUND and self._is_sent == len(self.header_lines):
            return self._error(request, _NO_ANSWER, _NOT_SENT_AGAIN)
        return self._error(request, *self.failure)

    def _error(self, request: Request, code: int, text: str) -> StreamError:
        """Convert libcurl's error code to an error of the request."""
        if code == _NOT_CONNECTED and self.refused and not self.opened:
            return _address_error(request, self.refused)
        is_proxied = bool(getinfo(self.easy, pycurl.USED_PROXY))
        number = getinfo(self.easy, pycurl.OS_ERRNO) if code == _NOT_CONNECTED else 0
        if number:
            text = f"{text.rstrip('. ')}: [Errno {number}] {os.strerror(number)}"
        return from_curl(
            code,
            text,
            method=request.method,
            url=request.url,
            request=request,
            is_proxied=is_proxied,
            is_tunnelling=is_proxied and code in _IN_HEADERS and self._is_tunnelling(request),
            lacks_descriptors=code == _NOT_CONNECTED and not number and lacks_descriptors(),
        )

    def _is_tunnelling(self, request: Request) -> bool:
        """Return True if the response is the proxy's: the server has not been reached."""
        if not self.opened or not request.url.startswith("https:"):
            return False
        return not getinfo(self.easy, pycurl.APPCONNECT_TIME)

    def bytes_moved(self) -> int:
        """Bytes sent and received so far; only good for telling whether there were more."""
        moved: int = sum(getinfo(self.easy, each) for each in _BYTES)
        return moved

    def drop_callbacks(self) -> None:
        """The transfer has ended, one way or another."""
        callbacks, self.callbacks = self.callbacks, None
        if callbacks is not None:
            callbacks.close()

    def close(self) -> None:
        """Close the handle; it must not be in flight."""
        self.drop_callbacks()
        self.easy.close()
        self._transport.transfers.pop(self.easy, None)


def _address_error(request: Request, address: str) -> AddressError:
    return AddressError(
        f"{request.method} {safe_url(request.url)}: not connected: {address} is not a public "
        "address, and the request is public_only",
        request=request,
        code=_NOT_CONNECTED,
    )
