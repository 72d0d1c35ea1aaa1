"""Keep an account online after a logout or login elsewhere, or a refusal.

A client reconnects by itself while the server is away. The rest is decided here:

    logged out elsewhere   sign in again at once, where the password is known
    logged in elsewhere    wait for Enter: two programs that always come back would kick each other
                           for ever; without a terminal, come back after a pause
    refused                wait for Enter, and ask for the password
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import click
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    wait_exponential,
    wait_random_exponential,
)

from ..client.client import Client
from ..client.login import LoginError, PasswordNeeded, WrongPassword
from ..client.state import LOGGED_OUT, ClientEvent, State, StateChange
from ..client.store import StoreError
from ..engine.errors import StreamError
from ..protocol.errors import ProtocolError
from .console import printable

__all__ = ["BOT", "YOU", "Name", "Presence"]

#: Seconds until a kicked account comes back: after one kick, two, ... in a row.
_RETURNS = wait_exponential(multiplier=60, max=3600)
#: Seconds between attempts to reach a server.
_PAUSES = wait_random_exponential(multiplier=0.5, max=60)
_ENTER = "Press Enter to sign in again."
_FAILURES = (LoginError, StreamError, ProtocolError, StoreError)


class Name(NamedTuple):
    """An account in a sentence: "You are", "The bot was".

    Args:
        subject: of the sentence.
        now: the form of "to be".
        then: the same, in the past.
    """

    subject: str
    now: str = "is"
    then: str = "was"


YOU, BOT = Name("You", "are", "were"), Name("The bot")


class Presence:
    """Keeps one account online.

    Args:
        client: of the account.
        name: of the account in sentences.
        say: shows a line to the user.
        is_attended: whether a user can press Enter.
        password: returns the password, or asks for it; gets True if the known one was wrong.
        remember: gets a right password that replaces a known one.

    Example:
        >>> presence = Presence(client, YOU, screen.say, is_attended=True)
        >>> await presence.sign_in()
        True
    """

    def __init__(
        self,
        client: Client,
        name: Name,
        say: Callable[[str], object],
        *,
        is_attended: bool,
        password: Callable[[bool], Awaitable[str]] | None = None,
        remember: Callable[[str], object] | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._say = say
        self._is_attended = is_attended
        self._password = password
        self._remember = remember
        self._is_told = False  # that it is not online
        self._is_signing_in = False
        self._returns = 0
        self._returning: asyncio.Task[None] | None = None
        client.on_event(self._on_event)

    @property
    def trouble(self) -> str:
        """Reason why the account is not online, in a few words; empty if it is."""
        state = self._client.state
        if state is State.ONLINE:
            return ""
        whose = "" if self._name is YOU else f"{self._name.subject}: "
        if self._is_signing_in or not state.is_over:
            return f"{whose}signing in"
        return f"{whose}signed out, Enter signs in again"

    async def sign_in(self) -> bool:
        """Bring the account online; return True if it is then, or will be by itself.

        The user sees the reason of a failure.
        """
        if not self._client.state.is_over:
            return True
        self.close()
        self._is_signing_in = True
        try:
            await self._log_in()
        except _FAILURES as error:
            self._say_failure(getattr(error, "message", None) or str(error))
        except click.ClickException as error:
            self._say_failure(error.message)
        except click.Abort:
            self._say_failure("no password was given")
        finally:
            self._is_signing_in = False
        return not self._client.state.is_over

    def close(self) -> None:
        """Cancel a pending sign-in."""
        returning, self._returning = self._returning, None
        if returning is not None:
            returning.cancel()

    async def _log_in(self) -> None:
        """Log in with the client's own session or password, else prompt for a password."""
        try:
            await self._client.login()
        except (PasswordNeeded, WrongPassword) as error:
            is_wrong = isinstance(error, WrongPassword)
            if self._password is None or (is_wrong and not self._is_attended):
                raise
            if is_wrong:
                self._say_failure(str(error))
            password = await self._password(is_wrong)
            await self._client.login(password)
            if is_wrong and self._remember is not None:
                self._remember(password)

    def _say_failure(self, why: str) -> None:
        self._is_told = True
        self._say(f"{self._name.subject} {self._name.now} not signed in: {printable(why)}")

    # -- states of the account -----------------------------------------------------------------

    def _on_event(self, event: ClientEvent) -> None:
        if not isinstance(event, StateChange):
            return
        report = _REPORTS.get(event.state)
        if report is not None and (event.state is State.ONLINE or not self._is_signing_in):
            report(self, printable(event.reason))

    def _on_online(self, _reason: str) -> None:
        if self._is_told:
            self._say(f"{self._name.subject} {self._name.now} online again.")
        self._is_told = False

    def _on_reconnecting(self, reason: str) -> None:
        self._is_told = True
        self._say(f"{self._name.subject} {self._name.now} cut off: {reason}. Signing in again ...")

    def _on_rejected(self, reason: str) -> None:
        self._say_failure(reason)
        if self._is_attended:
            self._say(_ENTER)

    def _on_kicked(self, reason: str) -> None:
        self._is_told = True
        was = f"{self._name.subject} {self._name.then}"
        if reason == LOGGED_OUT:
            self._say(f"{was} signed out by another program. Signing in again ...")
            self._return_after(0.0)
            return
        self._say(f"{was} signed out by a login elsewhere: {reason}")
        if self._is_attended:
            self._say(_ENTER)
        else:
            self._return_after(self._next_pause())

    def _next_pause(self) -> float:
        self._returns += 1
        attempt = RetryCallState(Retrying(), None, (), {})
        attempt.attempt_number = self._returns
        pause = _RETURNS(attempt)
        self._say(f"{self._name.subject} will sign in again in {pause:.0f} s.")
        return pause

    # -- automatic sign-in ---------------------------------------------------------------------

    def _return_after(self, pause: float) -> None:
        self.close()
        self._returning = asyncio.ensure_future(self._return(pause))

    async def _return(self, pause: float) -> None:
        """Sign in, and retry until the server can be reached."""
        await asyncio.sleep(pause)
        away = retry_if_exception_type((StreamError, ProtocolError))
        try:
            async for attempt in AsyncRetrying(wait=_PAUSES, retry=away, reraise=True):
                with attempt:
                    if self._client.state.is_over:
                        await self._client.login()
        except LoginError:
            return  # `_on_rejected` has reported it
        except StoreError as error:
            self._on_rejected(str(error))


_REPORTS: dict[State, Callable[[Presence, str], None]] = {
    State.ONLINE: Presence._on_online,
    State.RECONNECTING: Presence._on_reconnecting,
    State.KICKED: Presence._on_kicked,
    State.REJECTED: Presence._on_rejected,
}
