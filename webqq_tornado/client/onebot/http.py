"""HTTP: actions as requests of the stream; events by SSE, by long poll, or posted to a listener."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ...engine.errors import ConnectError, StreamError
from ...engine.request import Request
from ...engine.response import Response
from ...engine.secrets import safe_url
from ...eventsource import Event as ServerSentEvent
from ...eventsource import EventSource
from ...onebot.v11.actions import Answer, build_params, parse_answer
from ...onebot.v11.events import parse_event
from ...onebot.v11.tokens import authorization
from ...onebot.v11.values import Fields, load
from .frames import log_dropped
from .transport import ActionFailed, NotConnected, OutcomeUnknown, Pauses, Receiver

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["HTTPActions", "LongPoll", "PostedEvents", "ServerSentEvents"]

#: Statuses of a refused token: 401 and 403 by the standard, each for either in GC, NC, OS.
_REFUSED = (401, 403)
#: Seconds of a long poll, and beside it for the answer.
_POLL_SECONDS, _POLL_GRACE = 25, 10.0
#: Seconds of silence after which a stream of events is begun anew. NC sends no heartbeats on it.
_SILENCE = 3600.0


class HTTPActions:
    """Actions of an implementation that listens for HTTP.

    Without events of its own; `ServerSentEvents`, `LongPoll` and `PostedEvents` add them.

    Args:
        stream: carries them.
        url: ``http://HOST:PORT``; actions are under it.
        token: of the implementation.
    """

    can_call = True
    has_events = False

    def __init__(self, stream: HTTPStream, url: str, token: str = "") -> None:
        self._stream = stream
        self._base = url.rstrip("/")
        self._headers = {**authorization(token), "Content-Type": "application/json"}
        self._token = token
        self.name = safe_url(Request(self._base).url)
        self.is_open = False
        self._receiver: Receiver | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_answered = False
        self._pauses = Pauses()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{'' if self.is_open else ' (not connected)'}>"

    def start(self, receiver: Receiver) -> None:
        """See `Transport`."""
        self._receiver = receiver
        self._task = asyncio.get_running_loop().create_task(self._run(receiver))

    def close(self) -> None:
        """See `Transport`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._receiver, self.is_open = None, False

    def restart(self, why: str) -> None:
        """See `Transport`."""
        receiver = self._receiver
        if receiver is not None and self.is_open:
            self._lose(receiver, why, None)
            if self._task is not None:
                self._task.cancel()
            self._task = asyncio.get_running_loop().create_task(self._run(receiver, pauses=True))

    async def call(self, action: str, params: Fields, timeout: float) -> Answer:
        """See `Transport`; a body is never empty, as LG does not answer an empty one."""
        request = Request(
            f"{self._base}/{action}",
            method="POST",
            headers=self._headers,
            json=build_params(params),
        )
        try:
            response = await self._stream.fetch(request, timeout=timeout)
        except ConnectError as error:
            self._on_error(error)
            raise NotConnected(action, why=error.message) from error
        except StreamError as error:
            raise OutcomeUnknown(action, why=error.message) from error
        return self._answer(action, response)

    def _answer(self, action: str, response: Response) -> Answer:
        if response.status in _REFUSED:
            self._refuse(f"HTTP {response.status}")
        try:
            answer = parse_answer(load(response.body))
        except ValueError as error:
            if response.status == 404 and self._has_answered:  # the standard's way to say so
                return Answer("failed", 1404, None, "no such action")
            shown = f"HTTP {response.status}, {error}"
            why = f"{self.name} does not answer as an implementation does: {shown}"
            raise ActionFailed(action, why=why) from None
        self._has_answered = True
        return answer

    # -- the connection: that it is there is known from an answer ------------------------------

    async def _run(self, receiver: Receiver, *, pauses: bool = False) -> None:
        while self._receiver is receiver:
            if pauses:
                await asyncio.sleep(self._pauses.next())
            pauses = True
            try:
                answer = await self.call("get_version_info", {}, 10.0)
            except ActionFailed as error:
                if not isinstance(error, NotConnected):
                    receiver.on_lost(self, str(error), error)
                continue
            if answer.is_token_refused:
                self._refuse(f"retcode {answer.retcode}")
            elif self._receiver is receiver:
                self._open(receiver)
                await self._listen(receiver)
                return

    async def _listen(self, receiver: Receiver) -> None:
        """Receive events until the connection is lost."""

    def _open(self, receiver: Receiver) -> None:
        self._pauses.reset()
        if not self.is_open:
            self.is_open = True
            receiver.on_open(self)

    def _on_error(self, error: Exception) -> None:
        if self._receiver is None:
            return
        if self.is_open:
            self.restart(str(error))
        else:
            self._receiver.on_lost(self, str(error), error)

    def _lose(self, receiver: Receiver, why: str, error: Exception | None) -> None:
        self.is_open = False
        receiver.on_lost(self, why, error)

    def _refuse(self, how: str) -> None:
        receiver = self._receiver
        if receiver is not None:
            verb = "refuses the token" if self._token else "asks for a token"
            self.close()
            receiver.on_refused(self, f"{self.name} {verb} ({how}): give the one of its settings")

    def _take(self, raw: object) -> None:
        """An event, parsed from JSON."""
        try:
            event = parse_event(raw)
        except ValueError as error:
            log_dropped(self.name, error, raw)
            return
        if self._receiver is not None:
            self._receiver.receive(self, event)


class ServerSentEvents(HTTPActions):
    """Actions by HTTP, events from ``GET /_events`` (NC http-server-sse.ts; LL connect/http.ts).

    Args:
        stream: see `HTTPActions`.
        url: see there.
        token: see there.
    """

    has_events = True

    async def _listen(self, receiver: Receiver) -> None:
        while self._receiver is receiver:
            failure = await self._read_events()
            if self._receiver is not receiver:
                return
            self._lose(receiver, str(failure or "the stream of events has ended"), failure)
            await asyncio.sleep(self._pauses.next())
            with suppress(ActionFailed):  # a refused token is found by this, too
                await self.call("get_version_info", {}, 10.0)
                if self._receiver is receiver:
                    self.is_open = True
                    receiver.on_open(self)

    async def _read_events(self) -> Exception | None:
        """One stream of events, to its end; returns the error that ended it."""
        url, headers = f"{self._base}/_events", authorization(self._token)
        errors: list[Exception] = []

        def read(event: ServerSentEvent) -> None:
            self._pauses.reset()
            try:
                raw = load(event.data)
            except ValueError as error:
                log_dropped(self.name, error, event.data)
            else:
                self._take(raw)

        request = Request(url, headers=headers, idle_timeout=_SILENCE)
        source = EventSource(request, read, retry=None, max_event_size=64 * 2**20).link()
        chain = self._stream.add_request(source._replace(errback=errors.append))
        try:
            await chain
        finally:
            chain.cancel()
        return errors[-1] if errors else None


class LongPoll(HTTPActions):
    """Actions by HTTP, events by the action ``get_updates`` (GC server/middlewares.go).

    Args:
        stream: see `HTTPActions`.
        url: see there.
        token: see there.
    """

    has_events = True

    async def _listen(self, receiver: Receiver) -> None:
        params = {"limit": 100, "timeout": _POLL_SECONDS}
        while self._receiver is receiver:
            try:
                answer = await self.call("get_updates", params, _POLL_SECONDS + _POLL_GRACE)
            except NotConnected:
                return  # a new task has taken over
            except ActionFailed as error:
                self._lose(receiver, str(error), error)
                await asyncio.sleep(self._pauses.next())
                self._open(receiver)
                continue
            if not answer.is_ok:
                why = f"{self.name} has no long poll ({answer}): switch it on there, or use SSE"
                self.close()
                receiver.on_refused(self, why)
                return
            self._pauses.reset()
            for raw in answer.data if isinstance(answer.data, list) else []:
                self._take(raw)


class Port(Protocol):
    """The part of a `Listener` that events by POST use."""

    posts_to: list[PostedEvents]

    def open(self) -> None:
        """Listen, if it does not yet."""

    def close(self) -> None:
        """Listen no more, once no account does."""


class PostedEvents(HTTPActions):
    """Actions by HTTP, events that the implementation posts to a `Listener`.

    Args:
        listener: where they come in.
        stream: see `HTTPActions`.
        url: see there.
        token: see there.
        account: QQ number, or 0.
    """

    has_events = True

    def __init__(
        self, listener: Port, stream: HTTPStream, url: str, token: str = "", account: int = 0
    ) -> None:
        super().__init__(stream, url, token)
        self._listener, self.account = listener, account
        self.is_started = False
        listener.posts_to.append(self)

    def start(self, receiver: Receiver) -> None:
        """See `Transport`."""
        self.is_started = True
        self._listener.open()
        super().start(receiver)

    def close(self) -> None:
        """See `Transport`."""
        self.is_started = False
        super().close()
        self._listener.close()

    def take(self, raw: object) -> None:
        """An event has come.

        Args:
            raw: parsed from JSON.

        Raises:
            ValueError: it is none.
        """
        event = parse_event(raw)
        self.account = self.account or event.self_id
        if self._receiver is not None:
            self._receiver.receive(self, event)
