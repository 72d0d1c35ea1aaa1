"""An open WebSocket: messages in and out, over a transfer of libcurl's.

The frames (RFC 6455, permessage-deflate) are those of `websockets`, in its sans-IO protocol; the
bytes go by libcurl in raw mode. What is left for here is what takes time: what is sent in which
order and when the sender has to wait, pings, and who waits how long for the end.

- *Order.* Messages are sent one by one. Pings and pongs go between two of them, before those that
  wait; the close frame behind all, and after it nothing. When the server has closed, or broken the
  rules, what still waits is not sent.

- *Flow.* libcurl asks for bytes when the network takes some: then who sent them may go on. The
  listener says when it has too many messages: then the transfer is paused, and the server has to
  wait. Until then pings are answered, however long the listener takes for a message.

- *Pings.* The connection is lost if for a whole interval after a ping nothing came, not even the
  pong, and the server took nothing either. A pong may stand behind a long message, and a ping, too.
  While the transfer is paused by us nothing can come, and no time is counted.

- *End.* The listener hears of the end once. The connection lasts until the server has closed it,
  or `CLOSE_TIMEOUT`: a client that closes first could cut off its own last words.
"""

from __future__ import annotations

import asyncio
import builtins
import functools
import re
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State

from ..errors import ClosedError, ProtocolError, StreamError, TimeoutError, TooLargeError
from ..request import Request
from ..response import Response, StreamedResponse
from ..secrets import safe_url
from ..transport.upload import CANNOT_SEEK, PAUSE, Pausable

__all__ = ["CLOSE_TIMEOUT", "GOING_AWAY", "Listener", "WebSocketConnection", "settle"]

#: Seconds that the server gets to answer a close frame, and to close the connection then.
CLOSE_TIMEOUT = 5.0
GOING_AWAY = CloseCode.GOING_AWAY
#: Close codes of a conversation that has ended as it should (RFC 6455, 7.4.1).
_PEACEFUL = frozenset({CloseCode.NORMAL_CLOSURE, GOING_AWAY, CloseCode.NO_STATUS_RCVD})
#: Payload of a ping of `Chain.ping`, see RFC 6455, 5.5.2: any bytes.
_NUMBER = re.compile(rb"[0-9]{1,18}")
#: Pings and pongs that wait; of more the last ones are sent (RFC 6455, 5.5.3).
_MAX_CONTROL_FRAMES = 64


class Listener(Protocol):
    """Listener for the events of a connection; called outside libcurl."""

    def on_answer(self, response: Response) -> None:
        """The handshake was answered, in whatever way."""

    def on_message(self, data: str | bytes, size: int) -> None:
        """A message has come, of so many bytes."""

    def on_end(self, error: StreamError | None) -> None:
        """No more will come; not called after `WebSocketConnection.detach`."""

    def hold(self) -> asyncio.Future[None] | None:
        """A future to wait for before the server may send more; None to go on at once."""


class Traffic(Protocol):
    """The part of the transport that a connection uses."""

    def cancel(self, transfer: Any) -> None:
        """Stop a transfer."""

    def flush(self, transfer: Any) -> None:
        """Send what can be sent at once."""

    def call_later(
        self, delay: float, function: Callable[[], object]
    ) -> asyncio.TimerHandle | None:
        """See `asyncio.loop.call_later`; None if the loop is closed."""


class _Outgoing:
    """Outgoing messages, in order."""

    def __init__(self) -> None:
        self._rest = memoryview(b"")  # of what was begun
        self._sent: asyncio.Future[None] | None = None  # who waits for that
        self._messages: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        #: The oldest give way: a server that does not read need not get all its pongs.
        self.control_frames: deque[bytes] = deque(maxlen=_MAX_CONTROL_FRAMES)
        self.close_frame: bytes | None = None
        self.is_closed = False  # the close frame was sent

    @property
    def has_messages(self) -> bool:
        """Some of them were not sent, or not to their end."""
        return bool(self._messages) or self._sent is not None

    @property
    def is_empty(self) -> bool:
        """There is nothing to send."""
        is_over = self.is_closed or not (
            self.control_frames or self._messages or self.close_frame is not None
        )
        return is_over and not self._rest

    def add(self, data: bytes, sent: asyncio.Future[None]) -> None:
        """Send a message."""
        self._messages.append((data, sent))

    def read(self, size: int) -> bytes:
        """Some bytes, b"" if nothing is left; called inside libcurl."""
        parts = []
        while size and (self._rest or self._begin_next()):
            part = bytes(self._rest[:size])
            parts.append(part)
            self._rest = self._rest[len(part) :]
            size -= len(part)
            # The future calls nobody before the loop's next turn: users' code does not run in here.
            if not self._rest and self._sent is not None:
                settle(self._sent)
                self._sent = None
        return b"".join(parts)

    def _begin_next(self) -> bool:
        if self.is_closed:
            return False
        # Between frames only: one that was begun goes out to its end (RFC 6455, 5.4).
        if self.control_frames:
            self._rest = memoryview(self.control_frames.popleft())
        elif self._messages:
            data, self._sent = self._messages.popleft()
            self._rest = memoryview(data)
        elif self.close_frame is not None:
            self._rest, self.is_closed = memoryview(self.close_frame), True
        else:
            return False
        return True

    def drop(self, error: ClosedError) -> None:
        """Send no message that was not begun; callers that wait for one get the error."""
        # All or none: they are compressed already, each by what those before it say (RFC 7692,
        # 7.1.1). What was begun goes on: the close frame would stand in the middle of it.
        messages, self._messages = self._messages, deque()
        for _, sent in messages:
            settle(sent, error)

    def end(self, error: ClosedError) -> None:
        """Nothing more can be sent."""
        self.drop(error)
        if self._sent is not None:
            settle(self._sent, error)
        self._rest, self._sent, self.is_closed = memoryview(b""), None, True


class WebSocketConnection:
    """One connection, from the request of its handshake to its last byte.

    It is the `Outflow` and the stream of its transfer, and receives its outcome.

    Args:
        protocol: the rules of its frames.
        listener: hears of what comes.
        traffic: the transport that carries it.
        request: for messages.

    Attributes:
        protocol: as given.
        transfer: that carries it.
        is_over: its transfer has ended.
        on_flushed: is called once, when all messages were handed to the network.
        on_over: is called when its transfer has ended.
    """

    size = None

    def __init__(
        self, protocol: ClientProtocol, listener: Listener, traffic: Traffic, request: Request
    ) -> None:
        self.protocol = protocol
        self._listener: Listener | None = listener
        self._traffic = traffic
        self._request = request
        self._outgoing = _Outgoing()
        self._pausable: Pausable | None = None
        self._is_open = False
        self._is_waiting = False  # libcurl has asked for bytes in vain
        self._is_held = False  # the listener has enough
        self._has_said_goodbye = False
        self._received = self._taken = 0  # chunks, by us and by the network
        self._ping: bytes | None = None  # to which nothing has come yet
        self._pings_sent = 0
        self._pings: dict[int, asyncio.Future[None]] = {}  # of `ping`, that wait for their pongs
        self._fault: Exception | None = None  # the server does not answer
        self._message: bytearray | None = None  # of which more fragments are to come
        self._is_text = False
        self._timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self.transfer: Any = None
        self.is_over = False
        self.on_flushed: Callable[[], None] | None = None
        self.on_over: Callable[[], object] | None = None

    # -- for the listener -----------------------------------------------------------------------

    def begin(self, ping_interval: float) -> None:
        """The handshake is done.

        Args:
            ping_interval: seconds; 0: no pings.
        """
        self._is_open = True
        if ping_interval:
            self._set_ping_timer(ping_interval)

    @property
    def is_closing(self) -> bool:
        """A close frame was sent or received, or the connection is lost."""
        return self.is_over or self.protocol.state is not State.OPEN

    @property
    def has_unsent(self) -> bool:
        """There are messages that the network has not taken yet."""
        return not self.is_over and self._outgoing.has_messages

    @property
    def close_code(self) -> int:
        """Received, or sent for what the server did wrong, or 1006 (RFC 6455, 7.1.5)."""
        close = self._close_frame
        return int(CloseCode.ABNORMAL_CLOSURE if close is None else close.code)

    @property
    def close_reason(self) -> str:
        """Reason that came with the close code."""
        return "" if self._close_frame is None else self._close_frame.reason

    @property
    def _close_frame(self) -> Close | None:
        if self._failure is None:
            return self.protocol.close_rcvd
        return None if self._has_said_goodbye else self.protocol.close_sent

    @property
    def _failure(self) -> Exception | None:
        """The server's breach of the protocol, as an error; None if there is none."""
        failure = self._fault or self.protocol.parser_exc
        return None if isinstance(failure, EOFError) else failure

    def send(self, payload: bytes, is_text: bool, sent: asyncio.Future[None]) -> None:
        """Send a message.

        Args:
            payload: of it.
            is_text: it is UTF-8.
            sent: is done when the network has taken it, or cannot.
        """
        if self.is_closing:
            settle(sent, self._closed("the server has closed it"))
            return
        # Taken out at once: the protocol only keeps bytes, and cannot say later whose they are.
        (self.protocol.send_text if is_text else self.protocol.send_binary)(payload)
        self._outgoing.add(b"".join(self.protocol.data_to_send()), sent)
        self._wake()

    def ping(self, answered: asyncio.Future[None]) -> None:
        """Send a ping behind what was sent.

        Args:
            answered: is done when its pong comes, or cannot come.
        """
        if self.is_closing:
            settle(answered, self._closed("the server has closed it"))
            return
        self._pings_sent += 1
        number = self._pings_sent
        self._pings[number] = answered
        # A cancelled caller leaves nothing behind: the server may never answer.
        answered.add_done_callback(lambda _: self._pings.pop(number, None))
        # Never empty: pings of `_on_ping_time` are, and their pongs must answer none of these.
        self.protocol.send_ping(b"%d" % number)
        taken: asyncio.Future[None] = answered.get_loop().create_future()
        taken.add_done_callback(_hear)
        # As a message and no control frame: those pass the messages that wait.
        self._outgoing.add(b"".join(self.protocol.data_to_send()), taken)
        self._wake()

    def _take_pong(self, payload: bytes) -> None:
        """Tell who waits for it, and for those before it: some peers answer the last one alone."""
        # One that nobody has sent answers nothing.
        number = int(payload) if _NUMBER.fullmatch(payload) else 0
        # RFC 6455, 5.5.3 allows that.
        for each in [each for each in self._pings if each <= number <= self._pings_sent]:
            settle(self._pings.pop(each))

    def _drop_pings(self, why: str) -> None:
        pings, self._pings = self._pings, {}
        for answered in pings.values():
            settle(answered, self._ended(f"no pong will come: {why}"))

    def send_close(self, code: int, reason: str) -> None:
        """Say goodbye behind what was sent, and wait for the server's, but not for ever."""
        if not self.is_closing:
            self.protocol.send_close(code, reason)
            self._has_said_goodbye = True
            self._outgoing.close_frame = b"".join(self.protocol.data_to_send())
            self._wake()
        self._await_end()

    def drop_unsent(self, why: str) -> None:
        """Send no message that the network has taken nothing of, and wait for no pong.

        Args:
            why: reason in the errors of the unsent messages.
        """
        self._outgoing.drop(self._closed(why))
        # Nor will pongs come: behind a close frame nothing is sent.
        self._drop_pings(why)

    def detach(self) -> None:
        """Call the listener no more; what comes is dropped."""
        self._listener = None

    def hang_up(self) -> None:
        """Close the connection here and now."""
        if not self.is_over:
            self._traffic.cancel(self.transfer)
            # A transfer that is cancelled has no outcome to tell that.
            self._finish()

    def flush(self) -> None:
        """Send what the network takes at once."""
        if not self.is_over:
            self._traffic.flush(self.transfer)

    # -- for the transfer -----------------------------------------------------------------------

    def attach(self, pausable: Pausable) -> None:
        """Its transfer has begun."""
        self._pausable = pausable

    def read(self, size: int) -> bytes | int:
        """See `Outflow`."""
        data = self._outgoing.read(size)
        if data:
            self._taken += 1
        if self.on_flushed is not None and self._pausable is not None:
            self._pausable.attend()  # it is not to be called inside libcurl
        if data:
            return data
        # Never b"": to libcurl that is the end of the upload.
        self._is_waiting = True
        return PAUSE

    def seek(self, _offset: int, _origin: int) -> int:
        """See `Outflow`."""
        return CANNOT_SEEK

    def serve(self) -> None:
        """See `Outflow`."""
        # Without bytes libcurl would only wait once more.
        if self._is_waiting and not self._outgoing.is_empty and self._pausable is not None:
            self._is_waiting = False
            self._pausable.resume_sending()
        self._tell_flushed()

    def close(self) -> None:
        """See `Outflow`."""

    def put(self, chunk: bytes) -> asyncio.Future[None] | None:
        """Feed received bytes; return what the server has to wait for."""
        # The protocol knows of the end, and raises EOFError at more.
        if self.is_over:
            return None
        self._received += 1
        self.protocol.receive_data(chunk)
        self._take_frames()
        room = None if self._listener is None else self._listener.hold()
        if room is None:
            return None
        self._is_held = True
        # Before the callback of the inflow, which resumes the transfer.
        room.add_done_callback(self._on_room)
        return room

    def _on_room(self, _room: asyncio.Future[None]) -> None:
        self._is_held = False
        self._received += 1  # nothing could come before

    def end(self, error: BaseException | None = None) -> None:
        """See `BodyStream.end`: `__call__` hears of it, too."""

    def __call__(self, result: Response | Exception, _lane: object) -> None:
        """See `lane.Outcome`: the headers, then the end."""
        if isinstance(result, StreamedResponse):
            if self._listener is not None:
                self._listener.on_answer(result)
            return
        self._finish()
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._is_open:
            listener.on_end(self._error(result if isinstance(result, Exception) else None))
        elif isinstance(result, StreamError):
            listener.on_end(result)
        else:
            listener.on_end(
                self._made(ProtocolError, "the server closed the connection in the handshake")
            )

    # -- frames ---------------------------------------------------------------------------------

    def _take_frames(self) -> None:
        frames = [one for one in self.protocol.events_received() if isinstance(one, Frame)]
        pings = sum(frame.opcode is Opcode.PING for frame in frames)
        self._queue_answers(pings)  # at once: listeners send, too
        for frame in frames:
            self._take_frame(frame)
        # Behind the messages: those that came before the close frame are the reader's, too.
        if self.protocol.close_rcvd is not None or self._failure is not None:
            self.drop_unsent("the server has closed it")
            self._await_end()
            self._tell_end(self._error(None))

    def _queue_answers(self, pings: int) -> None:
        """Queue the frames that the protocol generates: pongs, and maybe a close frame."""
        # An empty one stands for the end of the stream, which the server is to begin (RFC 6455,
        # 7.1.1). Pongs come first: after a close frame, or a breach, the protocol reads no more
        # pings.
        made = [data for data in self.protocol.data_to_send() if data]
        self._outgoing.control_frames.extend(made[:pings])
        if made[pings:]:
            self._outgoing.close_frame = b"".join(made[pings:])
        if made:
            self._wake()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self._take_pong(bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._tell(frame.data)
            else:
                self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                message, self._message = self._message, None
                self._tell(message)

    def _tell(self, payload: bytes | bytearray | memoryview) -> None:
        if self._listener is not None:
            # It is UTF-8: `handshake._TextCheck` has seen each frame.
            data = str(payload, "utf-8") if self._is_text else bytes(payload)
            self._listener.on_message(data, len(payload))

    # -- the end --------------------------------------------------------------------------------

    def _tell_end(self, error: StreamError | None) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_end(error)

    def _await_end(self) -> None:
        if self._close_timer is None and not self.is_over:
            self._set_close_timer()

    def _set_close_timer(self) -> None:
        look = functools.partial(self._on_close_time, self._taken)
        self._close_timer = self._traffic.call_later(CLOSE_TIMEOUT, look)

    def _on_close_time(self, taken: int) -> None:
        is_sending = not self._outgoing.is_closed and self._taken != taken
        # The close frame stands behind a message that the network still takes; or the server's
        # answer behind messages that the listener has no room for.
        if self._is_held or is_sending:
            self._set_close_timer()
            return
        why = f"the server has not answered the close frame within {CLOSE_TIMEOUT:g} s"
        error = self._made(TimeoutError, why)
        self.hang_up()
        self._tell_end(error)

    def _finish(self) -> None:
        """The transfer has ended."""
        if self.is_over:
            return
        self.is_over = True
        for timer in (self._timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self.protocol.receive_eof()
        self._outgoing.end(self._closed("the connection is closed"))
        self._drop_pings("the connection is closed")
        self._pausable = None
        # A link that waits for its last message must not wait for ever.
        self._tell_flushed()
        if self.on_over is not None:
            self.on_over()

    def _tell_flushed(self) -> None:
        if self.on_flushed is not None and not self.has_unsent:
            on_flushed, self.on_flushed = self.on_flushed, None
            on_flushed()

    def _error(self, cause: Exception | None) -> StreamError | None:
        """The error that ended the connection; None if it was closed properly."""
        failure, received = self._failure, self.protocol.close_rcvd
        if isinstance(failure, PayloadTooBig):
            error = self._made(TooLargeError, f"{failure}; raise max_body_size=, or ask for less")
        elif failure is not None:
            error = self._made(ProtocolError, f"what came is no WebSocket's frame: {failure}")
        elif received is None:
            why = f": {cause.message}" if isinstance(cause, StreamError) else ""
            # The cause names the request as well: once is enough.
            shown = why.replace(f"GET {safe_url(self._request.url)}: ", "")
            error = self._made(ProtocolError, f"the WebSocket was cut (code 1006){shown}")
        elif received.code in _PEACEFUL or self._is_answer:
            # A server that repeats our own code, whatever it is, does what we asked for.
            return None
        else:
            words = f"code {int(received.code)} {received.reason}".rstrip()
            error = self._made(ProtocolError, f"the server has closed the WebSocket ({words})")
        error.__cause__ = cause or failure
        return error

    @property
    def _is_answer(self) -> bool:
        """The server's close frame has our own code."""
        sent, received = self.protocol.close_sent, self.protocol.close_rcvd
        is_ours = self.protocol.close_rcvd_then_sent is False
        return is_ours and sent is not None and received is not None and sent.code == received.code

    def _made(self, kind: type[StreamError], why: str) -> StreamError:
        error = kind(f"GET {safe_url(self._request.url)}: {why}", request=self._request)
        error.close_code, error.close_reason = self.close_code, self.close_reason
        return error

    def _closed(self, why: str) -> ClosedError:
        return self._ended(f"nothing can be sent: {why}")

    def _ended(self, why: str) -> ClosedError:
        message = f"GET {safe_url(self._request.url)}: {why}"
        return ClosedError(message, request=self._request)

    # -- time -----------------------------------------------------------------------------------

    def _wake(self) -> None:
        """There is something to send."""
        if self._pausable is not None:
            self._pausable.attend()

    def _set_ping_timer(self, interval: float) -> None:
        look = functools.partial(self._on_ping_time, interval, self._received, self._taken)
        self._timer = self._traffic.call_later(interval, look)

    def _on_ping_time(self, interval: float, received: int, taken: int) -> None:
        """Look whether the server lives, and ask again."""
        if self.is_over or self._close_timer is not None:
            return  # that one takes care of it now
        if self._is_held:
            self._set_ping_timer(interval)
            return
        # It waits behind a message that is long: a server that takes some of that has heard no
        # ping.
        is_unsent = self._ping in self._outgoing.control_frames
        # Whatever has come shows that the server lives; it need not be the pong.
        if self._ping is None or self._received != received:
            self.protocol.send_ping(b"")
            self._ping = b"".join(self.protocol.data_to_send())
            self._outgoing.control_frames.append(self._ping)
            self._wake()
        elif not (is_unsent and self._taken != taken):
            self._lose(interval)
            return
        self._set_ping_timer(interval)

    def _lose(self, interval: float) -> None:
        self._fault = builtins.TimeoutError("keepalive ping timeout")
        self.protocol.fail(CloseCode.INTERNAL_ERROR, str(self._fault))
        # No pong is among them: all of it is the close frame.
        self._queue_answers(0)
        self.drop_unsent("the server does not answer")
        self._await_end()
        why = f"nothing came for {interval:g} s after a ping, not even the pong; see ping_interval="
        self._tell_end(self._made(TimeoutError, why))


def _hear(taken: asyncio.Future[None]) -> None:
    """Retrieve the exception: the pong, or its absence, is enough."""
    if not taken.cancelled():
        taken.exception()


def settle(future: asyncio.Future[None], error: ClosedError | None = None) -> None:
    """Set the error of a waiter that is not done."""
    # A future of a closed loop cannot call anybody back: it would raise RuntimeError.
    if future.done() or future.get_loop().is_closed():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
