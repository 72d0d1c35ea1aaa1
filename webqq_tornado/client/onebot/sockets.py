"""Forward WebSocket: a chain on the stream for each connection, and a new one after a pause."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...engine.chain import Chain
from ...engine.errors import ClosedError, StreamError
from ...engine.request import Request
from ...engine.secrets import safe_url
from ...onebot.v11.actions import Answer, build_call
from ...onebot.v11.events import Event
from ...onebot.v11.tokens import authorization
from ...onebot.v11.values import Fields
from .frames import Frames
from .transport import NotConnected, Pauses, PendingCalls, Receiver

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["ForwardSocket"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Bytes of a frame: forwarded messages hold pictures in base64 (NC takes 50 MiB itself).
_MAX_FRAME = 64 * 2**20
#: Seconds between WebSocket pings: heartbeats never show a half-open connection by themselves.
_PING = 20.0
#: Close code of a policy: OS closes so at a wrong token, right after the upgrade.
_POLICY = 1008
#: A connection that lasted so many seconds works: its loss is the first trouble again.
_STEADY = 10.0


class ForwardSocket:
    """A WebSocket to an implementation that listens.

    Args:
        stream: carries it.
        url: ``ws://HOST:PORT`` or ``wss://…``; a path that ends with ``/event`` has no actions,
            one with ``/api`` no events.
        token: of the implementation; goes in the header, so that no log of URLs has it.
        connect_timeout: seconds.
    """

    def __init__(
        self, stream: HTTPStream, url: str, token: str = "", *, connect_timeout: float = 10.0
    ) -> None:
        self._stream = stream
        headers = authorization(token)
        self._request = Request(
            url,
            headers=headers,
            connect_timeout=connect_timeout,
            max_body_size=_MAX_FRAME,
            ping_interval=_PING,
        )
        self.name = safe_url(self._request.url)
        path = self.name.partition("?")[0].rstrip("/")
        self.can_call = not path.endswith("/event")
        self.has_events = not path.endswith("/api")
        self.is_open = False
        self._has_token = bool(token)
        self._calls = PendingCalls()
        self._chain: Chain | None = None
        self._task: asyncio.Task[None] | None = None
        self._receiver: Receiver | None = None
        self._pauses = Pauses()
        self._refusal = ""
        self._why = ""  # of a restart
        self._error: Exception | None = None  # that ended the connection
        self._has_heard = False  # an event, over this connection

    def __repr__(self) -> str:
        return f"<ForwardSocket {self.name}{'' if self.is_open else ' (not connected)'}>"

    def start(self, receiver: Receiver) -> None:
        """See `Transport`."""
        self._receiver, self._refusal = receiver, ""
        self._task = asyncio.get_running_loop().create_task(self._run(receiver))

    def close(self) -> None:
        """See `Transport`."""
        task, self._task = self._task, None
        if self._chain is not None and not self._chain.done and self.is_open:
            with suppress(ClosedError):
                self._chain.close_socket()
        if task is not None:
            task.cancel()
        self._receiver, self.is_open = None, False
        self._calls.fail()

    def restart(self, why: str) -> None:
        """See `Transport`."""
        if self._chain is not None:
            self._why = why
            self._chain.cancel()

    async def call(self, action: str, params: Fields, timeout: float) -> Answer:
        """See `Transport`."""
        chain = self._chain
        if chain is None or not self.is_open or chain.done:
            raise NotConnected(action, why=f"{self.name} is not connected")
        echo, future = self._calls.new()
        try:
            sent = chain.send(build_call(action, params, echo))
        except ClosedError as error:
            future.cancel()
            raise NotConnected(action, why=str(error)) from error
        sent.add_done_callback(_hear)
        return await self._calls.answer(action, future, timeout)

    async def _run(self, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._connect(receiver)
            except ClosedError as error:  # the stream is closed: nothing can be connected by it
                self._error = error
                self._on_end(receiver)
                return
            if loop.time() - began > _STEADY:
                self._pauses.reset()
            self._on_end(receiver)
            if self._refusal:
                return
            await asyncio.sleep(self._pauses.next())

    def _on_end(self, receiver: Receiver) -> None:
        error, self._error = self._error, None
        self.is_open, self._chain = False, None
        self._calls.fail()
        self._refusal = self._refusal or self._refused(error)
        if self._refusal:
            receiver.on_refused(self, self._refusal)
            return
        why, self._why = self._why or str(error or "the implementation has closed it"), ""
        receiver.on_lost(self, why, error)

    async def _connect(self, receiver: Receiver) -> None:
        """One connection, to its end; `_error` is what ended it."""
        self._has_heard = False
        frames = Frames(
            self.name, self._calls, lambda event: self._on_event(receiver, event), self._on_refused
        )

        def read(message: Any) -> None:
            frames.read(message.data)

        chain = self._chain = self._stream.add_request(
            self._request, read, errback=self._on_error, name=f"onebot {self.name}"
        )
        probe = asyncio.ensure_future(self._probe(chain, receiver))
        try:
            await chain
        except asyncio.CancelledError:
            if self._receiver is not receiver or not chain.done:
                chain.cancel()
                raise
        finally:
            probe.cancel()

    def _on_error(self, error: Exception) -> None:
        self._error = error

    async def _probe(self, chain: Chain, receiver: Receiver) -> None:
        """Notice the end of the handshake, also where no lifecycle event follows it.

        The call waits in the chain until then.
        """
        if self.can_call:
            echo, future = self._calls.new()
            future.add_done_callback(_hear)
            with suppress(ClosedError):
                await chain.send(build_call("get_version_info", {}, echo))
                self._open(receiver)

    def _open(self, receiver: Receiver) -> None:
        if not self.is_open and self._receiver is receiver:
            self.is_open = True
            receiver.on_open(self)

    def _on_event(self, receiver: Receiver, event: Event) -> None:
        self._has_heard = True
        self._open(receiver)
        if self._receiver is receiver:
            receiver.receive(self, event)

    def _on_refused(self, answer: Answer) -> None:
        self._refusal = self._words(f"retcode {answer.retcode}")
        self.restart(self._refusal)

    def _refused(self, error: Exception | None) -> str:
        """Words for a refused token; empty for any other error."""
        response = getattr(error, "response", None)
        if response is not None and response.status in (401, 403):
            return self._words(f"HTTP {response.status}")
        is_policy = isinstance(error, StreamError) and error.close_code == _POLICY
        return self._words(f"close code {_POLICY}") if is_policy and not self._has_heard else ""

    def _words(self, how: str) -> str:
        if self._has_token:
            return f"{self.name} refuses the token ({how}): give the one of its settings"
        return f"{self.name} asks for a token ({how}): give the one of its settings"


def _hear(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception: the end of the connection is told elsewhere."""
    if not future.cancelled():
        future.exception()
