"""The connections of an account to its implementation, and who is found at the other end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from ...onebot.v11.actions import Answer
from ...onebot.v11.events import Event
from ...onebot.v11.values import Fields
from ..login import LoginError
from ..state import ClientEvent, HeartbeatLate, State
from .heartbeats import Heartbeats
from .transport import ActionFailed, NotConnected, OutcomeUnknown, Transport

__all__ = ["Connections"]

logger = logging.getLogger("webqq_tornado.webqq")


class Owner(Protocol):
    """The part of an account that its connections use.

    Attributes:
        name: for log lines.
        log_level: of lines about its state.
        state: of the account.
        is_started: whether it is to be online.
    """

    name: str
    log_level: int
    state: State
    is_started: bool

    async def introduce(self) -> None:
        """Find out who is there, and be online or offline as they say."""

    def take(self, event: Event, source: str) -> None:
        """Take an event that came over a connection."""

    def pause(self) -> None:
        """There is no connection: what comes next waits until it is known what was missed."""

    def reconnect(self, why: str) -> None:
        """The connection is lost; another one is on its way."""

    def end(self, state: State, reason: str, level: int | None = None) -> None:
        """No connection, and none to come."""

    def tell(self, happening: ClientEvent) -> None:
        """Tell listeners of an event."""


class Connections:
    """All transports of an account; a `Receiver` of what comes over them.

    Args:
        owner: whose.
        transports: at least one.

    Attributes:
        transports: as above.
        heartbeats: watch that something comes.
    """

    def __init__(self, owner: Owner, transports: Sequence[Transport]) -> None:
        self._owner, self.transports = owner, list(transports)
        self.heartbeats = Heartbeats(self._on_late, self._on_silence)
        self._ready: asyncio.Future[None] | None = None
        self._hello: asyncio.Task[None] | None = None
        self._is_patient = False  # the first login waits, too

    @property
    def name(self) -> str:
        """See `Receiver`."""
        return self._owner.name

    # -- from the login to the end ---------------------------------------------------------------

    async def open(self, *, is_patient: bool) -> None:
        """Connect, and return when it is known who is there.

        Args:
            is_patient: wait for an implementation that is not there yet.

        Raises:
            LoginError: the token is refused, or the implementation holds another account.
            ActionFailed: the implementation does not answer with sense.
            StreamError: there is no implementation.
            OSError: the port to listen on is taken.
        """
        self._ready, self._is_patient = asyncio.get_running_loop().create_future(), is_patient
        try:
            for transport in self.transports:
                transport.start(self)
            await self._ready
        except asyncio.CancelledError:
            self._owner.end(State.OFFLINE, "the login was cancelled")
            raise
        except OSError as error:
            self._owner.end(State.OFFLINE, str(error))
            raise
        finally:
            self._ready = None

    def close(self) -> None:
        """Disconnect, for good."""
        for transport in self.transports:
            transport.close()
        if self._hello is not None and self._hello is not asyncio.current_task():
            self._hello.cancel()
        self.heartbeats.stop()

    def restart(self, why: str) -> None:
        """Connect anew.

        Args:
            why: in words.
        """
        for transport in self.transports:
            transport.restart(why)

    def succeed(self) -> None:
        """The login is done."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """See `Actions.answer_to`."""
        for transport in self.transports:
            if transport.can_call and transport.is_open:
                answer = await transport.call(action, params, timeout)
                self._hear()
                return answer
        raise NotConnected(action, why=f"{self._owner.name} is not connected")

    # -- what the transports tell ----------------------------------------------------------------

    def on_open(self, transport: Transport) -> None:
        """See `Receiver`."""
        logger.debug("%s: connected by %s", self._owner.name, transport.name)
        self._hear()
        self.greet()

    def receive(self, transport: Transport, event: Event) -> None:
        """See `Receiver`."""
        self._hear()
        self._owner.take(event, transport.name)

    def on_lost(self, transport: Transport, why: str, error: Exception | None) -> None:
        """See `Receiver`."""
        owner = self._owner
        logger.debug("%s: %s is lost: %s", owner.name, transport.name, why)
        if self._is_usable() or not owner.is_started:
            return
        if self._hello is not None:
            self._hello.cancel()
        owner.pause()
        is_first = self._ready is not None and not self._ready.done()
        if is_first and error is not None and len(self.transports) == 1 and not self._is_patient:
            self._fail(error)
        elif owner.state is not State.CONNECTING:
            owner.reconnect(why)

    def on_refused(self, transport: Transport, why: str) -> None:
        """See `Receiver`."""
        if self._is_usable():
            logger.error("%s: %s", self._owner.name, why)
            return
        self._reject(why)

    def _reject(self, why: str) -> None:
        ready = self._ready
        level = logging.DEBUG if ready is not None else logging.ERROR
        self._owner.end(State.REJECTED, why, level)
        if ready is not None and not ready.done():
            ready.set_exception(LoginError(why))

    def _fail(self, error: Exception) -> None:
        ready = self._ready
        self._owner.end(State.OFFLINE, str(error), logging.DEBUG)
        if ready is not None and not ready.done():
            ready.set_exception(error)

    def _is_usable(self) -> bool:
        opened = [one for one in self.transports if one.is_open]
        return any(one.can_call for one in opened) and any(one.has_events for one in opened)

    # -- who is there ----------------------------------------------------------------------------

    def greet(self) -> None:
        """Find out who is there, unless that is known or under way."""
        is_greeting = self._hello is not None and not self._hello.done()
        if self._is_usable() and self._owner.state is not State.ONLINE and not is_greeting:
            self._hello = asyncio.get_running_loop().create_task(self._say_hello())

    async def _say_hello(self) -> None:
        try:
            await self._owner.introduce()
        except LoginError as error:
            self._reject(str(error))
        except NotConnected:
            return  # on_lost has told it
        except ActionFailed as error:
            is_final = not self._is_patient and not isinstance(error, OutcomeUnknown)
            if self._ready is not None and is_final:
                self._fail(error)
                return
            self.restart(f"it does not answer with sense ({error})")

    # -- health ----------------------------------------------------------------------------------

    def _hear(self) -> None:
        owner = self._owner
        if self.heartbeats.is_late:
            logger.log(owner.log_level, "%s: the implementation is heard again", owner.name)
        self.heartbeats.hear()

    def _on_late(self, silent: float, interval: float) -> None:
        why = f"no heartbeat for {silent:.1f} s, which come every {interval:g} s"
        logger.warning("%s: %s", self._owner.name, why)
        self._owner.tell(HeartbeatLate(silent, why))

    def _on_silence(self, silent: float) -> None:
        for transport in self.transports:
            if transport.has_events and transport.is_open:
                transport.restart(f"nothing was heard for {silent:.1f} s")
