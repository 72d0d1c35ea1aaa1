"""A WebSocket as the link of a chain: its handshake, its messages to the reader, its end."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from tornado.ioloop import IOLoop

from ..chain import Chain, State
from ..errors import ClosedError, LoggedOut, StreamError, TimeoutError
from ..eventloop import asyncio_loop_of, refuse_other_thread
from ..redirects import Redirects, is_redirect
from ..request import Request
from ..response import Response
from ..secrets import safe_url
from ..session import Session
from ..transport.transfer import Outcome
from .closing import ClosingSockets
from .connection import GOING_AWAY, WebSocketConnection, settle
from .handshake import accept, handshake_of, protocol_for, refusal
from .message import SocketMessage

__all__ = ["WebSocketLink"]

#: Close codes that stand for what was not said, or for nothing yet (RFC 6455, 7.4).
_NEVER_SENT = frozenset({1004, 1005, 1006, *range(1015, 3000)})
_MAX_REASON = 123  # bytes
_SWITCHING_PROTOCOLS = 101
#: Seconds between pings, unless the request says otherwise.
_PING_INTERVAL = 30.0
#: Bytes of messages that wait for the reader before the server has to, and what is counted for
#: each beside its own.
_AHEAD, _OVERHEAD = 256 * 1024, 128


class Runner(Protocol):
    """The part of the runner that a link uses."""

    @property
    def ioloop(self) -> IOLoop:
        """Owner of the chains."""

    def connect(
        self, request: Request, session: Session, outcome: Outcome, *, crosses: bool
    ) -> Any:
        """Start the transfer of a WebSocket."""

    @property
    def traffic(self) -> Any:
        """The transport, which stops the link."""

    def handle_result(self, chain: Chain, result: Response | Exception) -> None:
        """Read the response, or deal with the error."""

    def fail_link(self, chain: Chain, error: Exception) -> None:
        """The link ended with an error."""

    def follow(
        self, chain: Chain, result: object, origin: object, response: Response | None
    ) -> None:
        """Do what a reader's result says."""

    def interrupt(self, chain: Chain, error: BaseException) -> None:
        """End the chain, and raise the error again."""

    def cancel_with_task(self, chain: Chain) -> None:
        """End the chain whose task was cancelled."""

    def read_message(self, chain: Chain, readback: Any, message: SocketMessage) -> Any:
        """Call the reader of a message."""

    def after_message(self, chain: Chain) -> None:
        """Note that it has returned, and that the link goes on."""

    def start_task(self, chain: Chain, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine for the chain."""

    def on_socket_open(self, chain: Chain, response: Response) -> None:
        """The handshake is done."""

    def leave_socket(self, chain: Chain) -> None:
        """The chain has no WebSocket any more."""


class WebSocketLink:
    """A link that is a WebSocket, from its handshake to its close.

    Args:
        runner: of the chain.
        chain: whose link it is.
        request: of the link, with what hook and credentials add.
        defaults: of requests.
        closing: where its connection goes in the end.
    """

    def __init__(
        self,
        runner: Runner,
        chain: Chain,
        request: Request,
        defaults: Mapping[str, Any],
        closing: ClosingSockets,
    ) -> None:
        self._runner = runner
        self._loop = asyncio_loop_of(runner.ioloop)
        self._chain = chain
        self._request = request
        self._shown_request: Request = chain._request  # without credentials, for readers
        self._readback: Any = chain._readback
        self._defaults = defaults
        self._closing = closing
        self._connection: WebSocketConnection | None = None
        self._is_open = False
        self._redirects = Redirects()
        self._timer: asyncio.TimerHandle | None = None
        #: What is to be sent before the handshake is done: payload, whether it is text, who waits.
        self._early: deque[tuple[bytes, bool, asyncio.Future[None]]] = deque()
        self._goodbye: tuple[int, str] | None = None
        self._inbox: deque[tuple[str | bytes, int]] = deque()  # with the bytes that it took
        self._size = 0  # of it
        self._room: asyncio.Future[None] | None = None
        self._is_reading = False  # the reader is a coroutine, and not through
        self._is_delivering = False
        self._is_left = False  # nothing more goes to the reader
        self._ending: Callable[[], None] | None = None  # what follows what waits for the reader

    # -- for the chain --------------------------------------------------------------------------

    def send(self, data: str | bytes) -> asyncio.Future[None]:
        """Send a message, or keep it until the handshake is done."""
        if not isinstance(data, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {type(data).__name__}")
        if self._goodbye is not None or self._is_left:
            raise self._closed("it is being closed")
        is_text = isinstance(data, str)
        payload = data.encode() if isinstance(data, str) else data
        refuse_other_thread(self._runner.ioloop)
        sent: asyncio.Future[None] = self._loop.create_future()
        sent.add_done_callback(_hear)
        if self._is_open and self._connection is not None:
            self._connection.send(payload, is_text, sent)
        else:
            self._early.append((payload, is_text, sent))
        return sent

    def ping(self) -> asyncio.Future[None]:
        """Send a ping behind what was sent."""
        if self._goodbye is not None or self._is_left:
            raise self._closed("it is being closed")
        if not self._is_open or self._connection is None:
            raise self._closed("its handshake is not done")
        refuse_other_thread(self._runner.ioloop)
        answered: asyncio.Future[None] = self._loop.create_future()
        answered.add_done_callback(_hear)
        self._connection.ping(answered)
        return answered

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; the chain ends, or goes on, when the server has answered.

        Raises:
            ValueError: that cannot be said.
        """
        if not 1000 <= code <= 4999 or code in _NEVER_SENT:
            raise ValueError(
                f"a WebSocket is not closed with {code}, but with 1000 to 4999, and of these not "
                "with 1004 to 1006, nor 1015 to 2999"
            )
        if len(reason.encode()) > _MAX_REASON:
            raise ValueError(f"the reason for closing has more than {_MAX_REASON} bytes")
        refuse_other_thread(self._runner.ioloop)
        if self._goodbye is None:
            self._goodbye = code, reason
            if self._is_open and self._connection is not None:
                self._connection.send_close(code, reason)

    def abandon(self) -> None:
        """The chain has ended: what was not sent is not."""
        connection = self._connection
        self._forget()
        if connection is not None and self._is_open:
            # It waits to continue with the next link, which will not come.
            connection.on_flushed = None
            connection.drop_unsent("its chain has ended")
            self._part_from(connection)
        else:
            self._hang_up()

    # -- the handshake --------------------------------------------------------------------------

    def connect(self) -> None:
        """Send the handshake.

        Raises:
            ValueError: the request cannot be one of a WebSocket.
        """
        if self._setting("auth_mode") != "basic" and self._setting("auth_username") is not None:
            # libcurl fails at the challenge: it takes no answer to a handshake but 101.
            raise ValueError(f"{self._shown}: a WebSocket cannot have auth_mode=digest")
        deflates = bool(self._setting("decompress_response"))
        protocol = protocol_for(self._request, self._setting("max_body_size"), deflates)
        connection = WebSocketConnection(protocol, self, self._runner.traffic, self._shown_request)
        handshake = handshake_of(self._request, protocol)
        # A request is frozen, and `channel` is no argument of it.
        object.__setattr__(handshake, "channel", connection)
        connection.transfer = self._runner.connect(
            handshake, self._chain.session, connection, crosses=self._redirects.crosses
        )
        self._connection = connection
        # One timer for all hops of a redirect: the limit is on the handshake as a whole.
        if self._timer is None:
            self._set_timer(self._setting("connect_timeout"))

    def _set_timer(self, seconds: float) -> None:
        if seconds:
            why = f"the handshake has not ended within {seconds:g} s; raise connect_timeout="
            error = TimeoutError(f"{self._shown}: {why}", request=self._shown_request)
            self._timer = self._runner.traffic.call_later(
                seconds, functools.partial(self._refuse, error)
            )

    def on_answer(self, answer: Response) -> None:
        """See `connection.Listener`."""
        lines = answer._header_lines
        # Not the answer itself: its request has credentials, and readers and errors show theirs.
        response = Response(self._shown_request, answer.status, self._request.url, lines, b"")
        response.note_redirects(self._redirects.hops, 0.0)
        try:
            if response.status == _SWITCHING_PROTOCOLS:
                self._open(response)
            else:
                self._go_on(response)
        except Exception as error:
            self._refuse(error)
        except BaseException as error:  # of a policy
            self._runner.interrupt(self._chain, error)

    def _open(self, response: Response) -> None:
        connection = self._connection
        assert connection is not None  # noqa: S101 - whose answer it is
        # First: if it raises, the link was never open, and is refused.
        accept(connection.protocol, response)
        self._stop_timer()
        self._is_open = True
        self._chain.state = State.READING
        interval = self._request.ping_interval
        connection.begin(_PING_INTERVAL if interval is None else interval)
        # An observer may end the chain in there: then `abandon` has emptied `_early`.
        self._runner.on_socket_open(self._chain, response)
        while self._early:
            connection.send(*self._early.popleft())
        if self._goodbye is not None:
            connection.send_close(*self._goodbye)

    def _go_on(self, response: Response) -> None:
        """The answer is none of a WebSocket: follow it, or have better credentials."""
        auth = self._chain.session.auth
        if auth is not None and auth.is_refused(response):
            raise LoggedOut(refusal(response).message, request=self._shown_request)
        if not self._setting("follow_redirects") or not is_redirect(response):
            raise refusal(response)
        limit = self._setting("max_redirects")
        # The handshake has a timer of its own.
        self._request = self._redirects.next_request(
            self._request,
            response,
            limit=limit,
            timeout=0,
            keeps_cookies=self._chain.session.keeps_cookies,
        )
        # Its protocol has the key of the handshake that was answered: the next one gets its own.
        self._hang_up()
        self.connect()

    def _refuse(self, error: Exception) -> None:
        """There will be no connection."""
        self._forget()
        self._hang_up()
        # Before the error is dealt with: that may begin the chain's next link.
        self._runner.leave_socket(self._chain)
        if not self._chain.done:
            self._runner.handle_result(self._chain, error)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.detach()
            connection.hang_up()

    # -- messages -------------------------------------------------------------------------------

    def on_message(self, data: str | bytes, size: int) -> None:
        """See `connection.Listener`."""
        # Without a reader nothing is kept, and so nothing holds the server.
        if self._readback is not None:
            self._inbox.append((data, size))
            self._size += size + _OVERHEAD
            self._deliver()

    def hold(self) -> asyncio.Future[None] | None:
        """See `connection.Listener`."""
        if self._size <= _AHEAD:
            return None
        self._room = self._loop.create_future()
        return self._room

    def on_end(self, error: StreamError | None) -> None:
        """See `connection.Listener`."""
        connection, chain, runner = self._connection, self._chain, self._runner
        if not self._is_open or connection is None:
            self._refuse(error or self._closed("the handshake has ended"))
            return
        chain._last_close = connection.close_code, connection.close_reason
        # Not done yet: messages may still wait for a reader that is a coroutine.
        if error is None:
            self._ending = functools.partial(runner.follow, chain, None, self._readback, None)
        else:
            self._ending = functools.partial(runner.fail_link, chain, error)
        self._deliver()

    def _deliver(self) -> None:
        """Give the reader what waits for it; then comes the end, if it has come."""
        # A reader that turns the loop must not be called for the next message before it returns.
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._inbox and not self._is_reading:
                data, size = self._inbox.popleft()
                self._size -= size + _OVERHEAD
                self._read(data)
        finally:
            self._is_delivering = False
        # At half: else the transfer would be paused and resumed for each message.
        if self._size <= _AHEAD // 2:
            self._make_room()
        if self._ending is not None and not self._is_reading and not self._is_left:
            self._leave(self._ending)

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done() and not room.get_loop().is_closed():
            room.set_result(None)

    def _read(self, data: str | bytes) -> None:
        chain = self._chain
        try:
            message = SocketMessage(data, chain)
            result = self._runner.read_message(chain, self._readback, message)
        except Exception as error:
            self._leave(functools.partial(self._runner.fail_link, chain, error))
            return
        except BaseException as error:
            self._runner.interrupt(chain, error)
            return
        if inspect.isawaitable(result) and not self._is_left:
            self._is_reading, chain._awaited = True, result
            self._runner.start_task(chain, self._await(result))
        else:
            self._take_result(result)

    async def _await(self, awaitable: Awaitable[object]) -> None:
        chain = self._chain
        try:
            result = await awaitable
        except asyncio.CancelledError:
            self._runner.cancel_with_task(chain)
            raise
        except Exception as error:
            # Before the chain goes on: it may have another task then.
            self._end_await()
            self._leave(functools.partial(self._runner.fail_link, chain, error))
            return
        self._end_await()
        self._take_result(result)
        self._deliver()

    def _end_await(self) -> None:
        self._is_reading, self._chain._task, self._chain._awaited = False, None, None

    def _take_result(self, result: object) -> None:
        if result is None:
            self._runner.after_message(self._chain)
        else:
            self._leave(
                functools.partial(self._runner.follow, self._chain, result, self._readback, None)
            )

    # -- the end --------------------------------------------------------------------------------

    def _leave(self, then: Callable[[], None]) -> None:
        """The link is over: what was sent goes out, then the chain goes on."""
        connection = self._connection
        if self._is_left or connection is None:  # the chain has ended
            return
        # What has come must not reach a reader whose link is over.
        self._forget()
        connection.detach()
        if connection.has_unsent:
            # `send_close` starts the timer that closes the connection of a server that reads
            # nothing: that end calls this, too.
            connection.on_flushed = functools.partial(self._depart, connection, then)
            connection.send_close(GOING_AWAY, "")
        else:
            self._depart(connection, then)

    def _depart(self, connection: WebSocketConnection, then: Callable[[], None]) -> None:
        self._part_from(connection)
        self._runner.leave_socket(self._chain)
        # It may have been cancelled while the last message went out.
        if self._chain.state is State.READING:
            then()

    def _part_from(self, connection: WebSocketConnection) -> None:
        self._connection = None
        connection.detach()
        connection.send_close(GOING_AWAY, "")
        self._closing.add(connection, self._chain.session)

    def _forget(self) -> None:
        """Nothing more goes to the reader, nor waits for the handshake."""
        self._is_left = True
        self._stop_timer()
        self._inbox.clear()
        self._size = 0
        # Else the transfer stays paused, and the server's close frame cannot come.
        self._make_room()
        while self._early:
            settle(self._early.popleft()[2], self._closed("its chain went on or has ended"))

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # -- what it says ---------------------------------------------------------------------------

    def _setting(self, name: str) -> Any:
        value = getattr(self._request, name)
        return self._defaults.get(name) if value is None else value

    @property
    def _shown(self) -> str:
        return f"GET {safe_url(self._request.url)}"

    def _closed(self, why: str) -> ClosedError:
        message = f"{self._shown}: nothing can be sent: {why}"
        return ClosedError(message, request=self._shown_request)


def _hear(sent: asyncio.Future[None]) -> None:
    """Retrieve the exception: a caller that does not await a sent message need not handle it."""
    if not sent.cancelled():
        sent.exception()
