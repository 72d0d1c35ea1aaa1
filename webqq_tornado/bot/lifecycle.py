"""A bot as a program of its own: log in, handle messages until a signal, log out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..client.client import Client
from ..client.login import LoginError
from ..client.state import ClientEvent, State, StateChange
from ..client.store import Store
from ..engine.lifecycle import stop_signals
from ..engine.stream import HTTPStream
from ..protocol.endpoints import Endpoints
from .account import Account

__all__ = ["SERVER", "NewClient", "NewOneBotAccount", "serve_clients"]

logger = logging.getLogger("webqq_tornado.webqq")

#: The server that `python -m webqq_tornado` starts.
SERVER = "http://127.0.0.1:8100"
#: Seconds for the last requests of a stream.
_DRAIN_SECONDS = 3.0


class NewClient(NamedTuple):
    """Arguments of a client that is to be made.

    Args:
        account: QQ number.
        password: of it.
        server: URL.
        store: file of a `Store`, or None.
        session_file: see `Client`.
        options: further arguments of `Client`.
    """

    account: int
    password: str
    server: str
    store: Path | None
    session_file: Path | None
    options: dict[str, Any]

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Client]:
        """Make the client; its stream and store are closed with the block."""
        stream = HTTPStream()
        with contextlib.ExitStack() as files:
            store = None if self.store is None else files.enter_context(Store(self.store))
            try:
                yield Client(
                    stream,
                    self.account,
                    self.password,
                    Endpoints.at(self.server),
                    store=store,
                    session_file=self.session_file,
                    **self.options,
                )
                await stream.drain(_DRAIN_SECONDS)
            finally:
                stream.close()


class NewOneBotAccount(NamedTuple):
    """Arguments of an account by OneBot that is to be made.

    Args:
        account: QQ number; 0 for any.
        ways: URLs of its implementation.
        token: of it.
        store: file of a `Store`, or None.
        options: further arguments of `OneBotAccount`.
    """

    account: int
    ways: str | Iterable[str]
    token: str
    store: Path | None
    options: dict[str, Any]

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Account]:
        """Make the account; its stream and store are closed with the block."""
        # What connects to today's QQ is not loaded by a bot for WebQQ.
        from ..client.onebot.account import OneBotAccount  # noqa: PLC0415

        stream = HTTPStream()
        with contextlib.ExitStack() as files:
            store = None if self.store is None else files.enter_context(Store(self.store))
            try:
                yield OneBotAccount(
                    stream,
                    self.ways,
                    self.token,
                    account=self.account,
                    store=store,
                    **self.options,
                )
                await stream.drain(_DRAIN_SECONDS)
            finally:
                stream.close()


class Handlers(Protocol):
    """The tasks of a bot that end with it."""

    def running(self) -> Collection[asyncio.Task[Any]]:
        """Return the tasks of running handlers."""

    def close(self) -> None:
        """Cancel them, and call no handler any more."""


async def serve_clients(
    clients: Collection[Account], handlers: Handlers, grace: float, *, catches_signals: bool
) -> None:
    """Log in, and stay online until a signal; then log out.

    Args:
        clients: of the bot.
        handlers: of the bot.
        grace: seconds for running handlers and unsent messages at the end.
        catches_signals: whether SIGINT and SIGTERM end it; else only cancelling does.

    Raises:
        LoginError: the server refuses an account, or it was logged in elsewhere.
        StreamError: the server cannot be reached at the login.
        ProtocolError: it is not a WebQQ server.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def stop() -> None:
        if not ended.done():
            logger.info("leaving")
            ended.set_result(None)

    with stop_signals(stop, is_caught=catches_signals):
        try:
            await _log_in(clients, ended)
            for client in clients:
                client.on_event(_Watch(client, ended))
            await ended
        finally:
            await _leave(clients, handlers, grace)


async def _log_in(clients: Collection[Account], ended: asyncio.Future[None]) -> None:
    """Log all in, unless a signal comes first."""
    logins = asyncio.gather(*(one.login() for one in clients if one.state.is_over))
    waiting: list[asyncio.Future[Any]] = [logins, ended]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if logins.done():
            logins.result()
    finally:
        logins.cancel()
        await asyncio.gather(logins, return_exceptions=True)


class _Watch:
    """Ends the program when a client is offline for good.

    Args:
        client: to be watched.
        ended: gets the error.
    """

    def __init__(self, client: Account, ended: asyncio.Future[None]) -> None:
        self._client, self._ended = client, ended

    def __call__(self, event: ClientEvent) -> None:
        """Handle an event of the client."""
        if isinstance(event, StateChange) and event.state in (State.KICKED, State.REJECTED):
            why = event.reason or event.state.value
            if not self._ended.done():
                error = LoginError(f"{self._client.name} is {event.state.value}: {why}")
                self._ended.set_exception(error)


async def _leave(clients: Collection[Account], handlers: Handlers, grace: float) -> None:
    try:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_settled(clients, handlers), grace)
    finally:
        handlers.close()
        await asyncio.gather(*(client.logout() for client in clients))


async def _settled(clients: Collection[Account], handlers: Handlers) -> None:
    """Wait until handlers have ended, and their messages are delivered."""
    if running := handlers.running():
        await asyncio.wait(running)
    await asyncio.gather(*(client.flush() for client in clients))
