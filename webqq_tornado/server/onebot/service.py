"""All accounts that applications drive, and the connections that the server opens for them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import replace

from ...engine.stream import HTTPStream
from ..state import ServerState
from .account import OneBotAccount, Shared
from .actions import FUNCTIONS
from .cursors import CursorWriter
from .post import PostLink
from .reverse import ReverseLink
from .settings import OneBotSettings, SettingsError

__all__ = ["OneBot", "OneBotState"]

logger = logging.getLogger("webqq_tornado.server")

#: Seconds that actions get to end when the server closes.
_PATIENCE = 1.0
#: Listens on a port for one account; returns what ends that.
Listen = Callable[[int, int], Callable[[], None]]


class OneBot:
    """The accounts of a server that applications drive.

    Args:
        state: of the server.
        listen: opens a port of an account's own, and returns what closes it.

    Attributes:
        accounts: those that are on, by number.
    """

    def __init__(self, state: ServerState, listen: Listen) -> None:
        self._state = state
        self._listen = listen
        self._stream: HTTPStream | None = None
        self._made: dict[tuple[int, str], dict[str, object]] = {}
        self._cursors = CursorWriter(state.storage.onebot, state.hub.writes)
        self._ports: dict[int, Callable[[], None]] = {}
        self.accounts: dict[int, OneBotAccount] = {}

    def resume(self) -> None:
        """Open the accounts that were on when the server stopped."""
        for number, text in self._state.storage.onebot.settings().items():
            try:
                settings = OneBotSettings.parse(json.loads(text))
                self._apply(number, settings)
            except (SettingsError, OSError) as error:
                logger.warning("OneBot is off for account %d: %s", number, error)

    def settings(self, number: int) -> OneBotSettings:
        """Settings of an account; off where there are none."""
        text = self._state.storage.onebot.settings().get(number)
        return OneBotSettings.parse(json.loads(text)) if text else OneBotSettings(is_on=False)

    def configure(self, number: int, settings: OneBotSettings) -> None:
        """Set how applications drive an account, from now on and after a restart.

        Args:
            number: QQ number.
            settings: all of them.

        Raises:
            ValueError: there is no such account.
            OSError: the port cannot be had; the account is off then.
        """
        if self._state.storage.accounts.get(number) is None:
            raise ValueError(f"there is no account {number}")
        self._apply(number, settings)
        self._state.storage.onebot.set_settings(number, json.dumps(settings.dump()))

    def sign_out(self, number: int) -> None:
        """An account was signed out everywhere: programs hear so, and are let in no more.

        They stay connected, as those of QQ do, until the account is turned on again.
        """
        account = self.accounts.get(number)
        if account is not None and account.is_online:
            account.go_offline("signed out everywhere")
            off = replace(account.settings, is_on=False)
            self._state.storage.onebot.set_settings(number, json.dumps(off.dump()))

    def _apply(self, number: int, settings: OneBotSettings) -> None:
        self._close(number)
        if not settings.is_on:
            return
        if settings.port:
            self._ports[number] = self._listen(settings.port, number)
        account = OneBotAccount(self._state, number, settings, self._shared())
        links: list[ReverseLink | PostLink] = [
            *(ReverseLink(account, where) for where in settings.reverse),
            *(PostLink(account, where) for where in settings.post),
        ]
        account.keep_targets({link.name for link in links})
        self.accounts[number] = account
        account.open()
        for link in links:
            if link.has_events:  # what happens until it is reached is kept for it
                account.target(link.name)
            account.run(link.run())
        logger.info("OneBot is on for %d", number)

    def _shared(self) -> Shared:
        if self._stream is None:
            self._stream = HTTPStream(defaults={"proxy": ""})
        return Shared(FUNCTIONS, self._stream, self._made, self._cursors)

    def _close(self, number: int) -> None:
        account = self.accounts.pop(number, None)
        if account is not None:
            account.close()
        close_port = self._ports.pop(number, None)
        if close_port is not None:
            close_port()

    async def close(self) -> None:
        """End all connections; what was not confirmed is kept."""
        accounts = list(self.accounts.values())
        for account in accounts:
            self._close(account.number)
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        await asyncio.gather(*(account.ended(_PATIENCE) for account in accounts))


class OneBotState(ServerState):
    """A server whose accounts applications drive.

    Attributes:
        onebot: its accounts.
    """

    onebot: OneBot
