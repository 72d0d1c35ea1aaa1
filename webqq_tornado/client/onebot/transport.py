"""Ways to an implementation: what they have in common, and how their failures are told."""

from __future__ import annotations

import asyncio
import itertools
from typing import Protocol

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random_exponential

from ...onebot.v11.actions import Answer
from ...onebot.v11.events import Event
from ...onebot.v11.values import Fields

__all__ = [
    "ActionFailed",
    "NotConnected",
    "OutcomeUnknown",
    "Pauses",
    "PendingCalls",
    "Receiver",
    "Transport",
]

#: Seconds before the first, second, third ... try to connect again: 0.25 to 0.5 at first, 30 to 60
#: in the end; a bot and its implementation restart together as a rule.
_PAUSES = wait_exponential(0.25, 30, 1.5) + wait_random_exponential(0.25, 30, 1.5)


class ActionFailed(Exception):
    """An implementation refused or failed an action; says which, and why.

    Args:
        action: its name.
        answer: with status, retcode and message; None if there was none.
        why: in words, where there was none.

    Example:
        >>> try:
        ...     await account.call("set_group_card", group_id=20001, user_id=10001)
        ... except ActionFailed as error:
        ...     print(error.answer.retcode)
    """

    def __init__(self, action: str, answer: Answer | None = None, why: str = "") -> None:
        super().__init__(f"{action}: {why or answer}")
        self.action, self.answer, self.why = action, answer, why

    def __reduce__(self) -> tuple[type[ActionFailed], tuple[str, Answer | None, str]]:
        return type(self), (self.action, self.answer, self.why)


class OutcomeUnknown(ActionFailed):
    """No answer, or one that says "timeout": the action may nevertheless have been done."""


class NotConnected(ActionFailed):
    """There is no connection: nothing was sent."""


class Receiver(Protocol):
    """The part of an account that its transports use."""

    @property
    def name(self) -> str:
        """Name for log lines."""

    def on_open(self, transport: Transport) -> None:
        """A connection is there: actions can be sent, or events come."""

    def receive(self, transport: Transport, event: Event) -> None:
        """An event has come."""

    def on_lost(self, transport: Transport, why: str, error: Exception | None) -> None:
        """A connection is gone, or did not come to be; the transport tries again by itself."""

    def on_refused(self, transport: Transport, why: str) -> None:
        """The token, or the account, is refused: the transport has given up."""


class Transport(Protocol):
    """A way to an implementation.

    Attributes:
        is_open: whether there is a connection.
        can_call: whether actions go over it.
        has_events: whether events come over it.
    """

    is_open: bool
    can_call: bool
    has_events: bool

    @property
    def name(self) -> str:
        """Name for log lines, without secrets."""

    def start(self, receiver: Receiver) -> None:
        """Connect, and connect again, until `close`."""

    def restart(self, why: str) -> None:
        """Give the connection up for a new one."""

    def close(self) -> None:
        """End all of it."""

    async def call(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says.

        Raises:
            NotConnected: nothing was sent.
            OutcomeUnknown: it was sent, and no answer came within `timeout` seconds.
        """


class Pauses:
    """Growing pauses between tries.

    Example:
        >>> pauses = Pauses()
        >>> await asyncio.sleep(pauses.next())
    """

    def __init__(self) -> None:
        self._attempt = 0

    def reset(self) -> None:
        """The connection works: the next trouble is the first again."""
        self._attempt = 0

    def next(self) -> float:
        """Seconds before the next try."""
        self._attempt += 1
        state = RetryCallState(Retrying(), None, (), {})
        state.attempt_number = self._attempt
        return _PAUSES(state)


class PendingCalls:
    """Calls over a WebSocket that wait for their answers, by echo.

    The echo is a number and never 0, as some implementations answer none for what is falsy (NT);
    one that came back as a text counts.
    """

    def __init__(self) -> None:
        self._echoes = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Answer]] = {}

    def new(self) -> tuple[int, asyncio.Future[Answer]]:
        """An echo, and the future of its answer."""
        echo = next(self._echoes)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[str(echo)] = future
        future.add_done_callback(lambda _: self._waiting.pop(str(echo), None))
        return echo, future

    def resolve(self, answer: Answer) -> bool:
        """Hand an answer to its call; return True if there was one.

        Of several answers to one call (NC's stream actions) the last one counts.

        Args:
            answer: that came.
        """
        future = self._waiting.get(str(answer.echo))
        if future is None:
            return False
        data = answer.data if isinstance(answer.data, dict) else {}
        is_part = answer.stream == "stream-action" and data.get("type") == "stream"
        if not is_part and not future.done():
            future.set_result(answer)
        return True

    def fail(self) -> None:
        """The connection is gone: nobody knows what became of what was sent."""
        for future in tuple(self._waiting.values()):
            if not future.done():
                future.cancel()

    async def answer(self, action: str, future: asyncio.Future[Answer], timeout: float) -> Answer:
        """Wait for an answer.

        Args:
            action: its name, for the error.
            future: of `new`.
            timeout: seconds.

        Raises:
            OutcomeUnknown: there is none in time, or the connection is gone.
        """
        done, _ = await asyncio.wait([future], timeout=timeout)
        if not done:
            future.cancel()
            raise OutcomeUnknown(action, why=f"no answer within {timeout:g} s")
        if future.cancelled():
            raise OutcomeUnknown(action, why="the connection was lost before the answer")
        return future.result()
