"""A transport without a network: answers come from what was recorded, see `webqq_tornado.har`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from ..body import json_body
from ..errors import ReplayError, StreamError, as_failure
from ..redirects import is_redirect
from ..request import Request
from ..response import Response, StreamedResponse
from ..secrets import safe_url
from ..session import Session
from .download import BodyStream
from .lane import Lane
from .options import FOLLOWS, Options
from .poller import WatchedSocket
from .transfer import Outcome

__all__ = ["Answer", "Answering", "Recording", "ReplayTransport", "response_to"]


class Answer(NamedTuple):
    """A response without a network: a recorded one, or one that a test makes up.

    Args:
        status: such as 200.
        headers: as pairs.
        body: decompressed.
        delay: seconds until it comes.
        reason: the status line's own words.

    Example:
        >>> Answer(404).status
        404
        >>> Answer.of_json({"price": 3}).body
        b'{"price": 3}'
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay: float = 0.0
    reason: str = ""

    @classmethod
    def of_json(cls, value: object, status: int = 200) -> Answer:
        """Return one with a JSON body.

        Args:
            value: to be in it.
            status: of it.
        """
        body, kind = json_body(value)
        return cls(status, (("Content-Type", kind),), body)

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


#: Answers a request: a function of a test.
Answering: TypeAlias = Callable[[Request], "Answer | StreamError"]


class Recording(Protocol):
    """A source of recorded responses, such as `webqq_tornado.har.HARReplay`."""

    def answer(self, request: Request) -> Answer | StreamError:
        """The recorded response or error of this request."""


class _Played:
    """A transfer that is none."""

    def __init__(self, *, follows: bool) -> None:
        self.follows = follows
        self.timer: asyncio.TimerHandle | None = None
        self.taking: asyncio.Future[Any] | None = None  # what the sink wants to be waited for
        self.stream: BodyStream | None = None
        self.is_cancelled = False


class ReplayTransport:
    """Has the calls of `Transport` that a runner makes.

    Args:
        loop: to answer on.
        recording: what is answered, or a function that answers.
    """

    is_forgotten = False
    has_sockets = False
    lane_count = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, recording: Recording | Answering) -> None:
        self._loop = loop
        self._answer = recording if callable(recording) else recording.answer
        self.call_soon = loop.call_soon
        self.fd_map: Mapping[int, object] = {}

    def submit(
        self,
        request: Request,
        options: Options,
        session: Session,
        outcome: Outcome,
        *,
        lane: Lane | None = None,
        discards: bool = False,
        idle_timeout: float = 0,
    ) -> Any:
        """See `Transport.submit`."""
        played = _Played(follows=bool(options.get(FOLLOWS)))
        answer: Answer | Exception
        try:
            answer = _no_socket(request) if request.is_socket else self._answered(request)
        except Exception as error:
            # Told as an outcome, as a transport's: the link ends by it, and `submit` does not
            # raise.
            answer = error
        delay = answer.delay if isinstance(answer, Answer) else 0.0
        # Never at once, even without a delay: the chain has no transfer yet to take the outcome of.
        played.timer = self._loop.call_later(
            delay, self._tell, played, request, session, outcome, answer
        )
        return played

    def _answered(self, request: Request) -> Answer | StreamError:
        answer = self._answer(request)
        if not isinstance(answer, (Answer, Exception)):
            raise TypeError(
                f"replay= answered {safe_url(request.url)} with {type(answer).__name__}: it is an "
                "Answer, or a StreamError"
            )
        return answer

    def _tell(
        self,
        played: _Played,
        request: Request,
        session: Session,
        outcome: Outcome,
        answer: Answer | Exception,
    ) -> None:
        played.timer = None
        if isinstance(answer, Exception):
            outcome(answer, None)
            return
        try:
            response = response_to(request, answer)
            _keep_cookies(session, request, answer)
            # A redirect's body goes neither to a sink nor to a stream, as with a server.
            is_followed = played.follows and is_redirect(response)
            taking = None if is_followed else _sink(response)
        except (Exception, asyncio.CancelledError) as error:
            outcome(as_failure(error), None)
            return
        if taking is not None:
            played.taking = asyncio.ensure_future(taking)
            report = functools.partial(_report_taken, played, outcome, response)
            played.taking.add_done_callback(report)
            return
        if request.stream and not is_followed:
            played.stream = BodyStream()
            if answer.body:
                # All of it is in memory: there is no sender that would have to wait.
                played.stream.put(answer.body)
            played.stream.end()
            outcome(StreamedResponse(response, played.stream), None)
        # The reader of a streamed response has run by now, and may have ended its chain.
        if not played.is_cancelled:
            outcome(response, None)

    def cancel(self, transfer: Any) -> None:
        """See `Transport.cancel`."""
        # For `_tell`, if it is that which leads here.
        transfer.is_cancelled = True
        if transfer.timer is not None:
            transfer.timer.cancel()
        if transfer.taking is not None:
            transfer.taking.cancel()

    def leave_session(self, session: Session) -> None:
        """Nothing is kept of it."""

    def call_at_turn_end(self, function: Callable[[], object]) -> None:
        """Nothing to do: each answer is a turn of its own."""

    def expect_more(self, is_expected: bool) -> None:
        """Nothing to do: there are no sockets."""

    def handle_events(self, watched: WatchedSocket, events: int) -> None:
        """There are no sockets."""

    def close(self) -> None:
        """There is nothing to close."""


def _no_socket(request: Request) -> ReplayError:
    return ReplayError(
        f"GET {safe_url(request.url)}: a recording has no messages of WebSockets", request=request
    )


def response_to(request: Request, answer: Answer, kind: type[Response] = Response) -> Response:
    """Return a recorded response as one that has come.

    Args:
        request: that it answers.
        answer: the record.
        kind: of the response.
    """
    start = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
    lines = [f"{name}: {value}\r\n" for name, value in answer.headers]
    header_lines = [_line(text) for text in (start, *lines, "\r\n")]
    return kind(
        request,
        answer.status,
        request.url,
        header_lines,
        answer.body,
        (answer.delay,),
    )


def _line(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # a browser has decoded it
        return text.encode("utf-8", "replace")


def _sink(response: Response) -> Awaitable[object] | None:
    """Put the body where the request wants it; returns what the sink wants to be waited for."""
    sink: Any = response.request.sink
    if sink is None:
        return None
    body, taken = response.body, None
    if callable(sink):
        taken = sink(body) if body else None  # of an empty body there is no chunk
    elif 200 <= response.status < 300:
        if isinstance(sink, os.PathLike):
            # Under its name at once: the body is all there, and cannot break off.
            Path(sink).write_bytes(body)
        else:
            sink.write(body)
    else:
        return None
    response.body = b""
    return taken if inspect.isawaitable(taken) else None


def _report_taken(
    played: _Played, outcome: Outcome, response: Response, taking: asyncio.Future[Any]
) -> None:
    if taking.cancelled():
        error: BaseException | None = RuntimeError("the sink's awaitable was cancelled")
    else:
        error = taking.exception()
    if not played.is_cancelled:
        outcome(response if error is None else as_failure(error), None)


def _keep_cookies(session: Session, request: Request, answer: Answer) -> None:
    # Each line by itself: a comma may stand in a date (RFC 6265, 3).
    for name, value in answer.headers:
        if name.lower() == "set-cookie" and session.keeps_cookies:
            session.cookiejar.take(_line(value), request.url)
