"""Reverse WebSockets: the server opens them to applications, and opens them again when they end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from ...engine.chain import Chain, State
from ...engine.errors import StreamError
from ...engine.request import Request
from ...engine.websocket.message import SocketMessage
from ...onebot.v11.tokens import Role, Upgrade, upgrade_headers
from .account import OneBotAccount
from .action_queue import ActionQueue
from .feed import Feed
from .pauses import pause_after
from .settings import Reverse

__all__ = ["ReverseLink"]

logger = logging.getLogger("webqq_tornado.server")

#: Bytes of a frame, seconds of a handshake and between pings.
_MAX_FRAME, _CONNECT_SECONDS, _PING_SECONDS = 48 * 1024**2, 10.0, 20.0
#: Seconds after which a connection counts as a good one: the next pause is the shortest again.
_GOOD_SECONDS = 10.0


class ReverseLink:
    """A connection to one application, for as long as the account's settings have it.

    Args:
        account: whose.
        where: the application.
    """

    def __init__(self, account: OneBotAccount, where: Reverse) -> None:
        self._account = account
        self._where = where
        self._role = Role(where.role)
        self.has_events = self._role.has_events
        self._chain: Chain | None = None
        self._feed: Feed | None = None
        self._error: Exception | None = None
        self._is_told = False
        self._actions: ActionQueue | None = None

    @property
    def name(self) -> str:
        """Of the application among the account's targets."""
        return f"reverse:{self._where.url}"

    async def run(self) -> None:
        """Connect, and again when that has ended, until cancelled."""
        loop, failures = asyncio.get_running_loop(), 0
        try:
            while True:
                begun = loop.time()
                was_open = await self._connect()
                failures = 1 if was_open and loop.time() - begun > _GOOD_SECONDS else failures + 1
                self._tell()
                await asyncio.sleep(pause_after(failures))
        finally:
            self._drop()

    async def _connect(self) -> bool:
        """Open it and serve until it ends; return True if it was open."""
        account, self._error = self._account, None
        chain = self._chain = account.stream.add_request(
            self._request(),
            self._on_message,
            errback=self._on_error,
            name=f"onebot {account.number}",
        )
        account.connections.add(self)
        self._actions = ActionQueue(account, chain.send)
        try:
            if self.has_events:
                await chain.send(account.lifecycle())  # before anything else
                self._opened()
                self._start_feed(chain)
            await chain
            return self._error is None or self._feed is not None
        except StreamError as error:
            with suppress(StreamError):
                await chain
            self._error = self._error or error  # its errback knows more
            return False
        finally:
            self._drop()

    def _request(self) -> Request:
        account = self._account
        token = self._where.token or account.settings.token
        upgrade = Upgrade(account.number, self._role)
        return Request(
            self._where.url,
            headers={**upgrade_headers(upgrade, token), "User-Agent": "OneBot/11"},
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=_PING_SECONDS,
            max_body_size=_MAX_FRAME,
            public_only=not account.reaches_private,
        )

    def _start_feed(self, chain: Chain) -> None:
        account = self._account
        target = account.target(self.name)
        self._feed = Feed(account, target, account.newest, self.say, lambda: _ping(chain))
        self._feed.wake()

    def _opened(self) -> None:
        self._is_told, self._error = False, None
        logger.info("%d is connected to the application at %s", self._account.number, self._url)

    def _on_error(self, error: Exception) -> None:
        self._error = error

    def _tell(self) -> None:
        """Once for each outage: it may last."""
        if self._is_told:
            return
        self._is_told = True
        why = f": {self._error}" if self._error else ""
        logger.warning(
            "%d has no connection to the application at %s%s; it is tried again",
            self._account.number,
            self._url,
            why,
        )

    @property
    def _url(self) -> str:
        return self._where.url.partition("?")[0]  # a query may hold a token

    def _drop(self) -> None:
        self._account.connections.discard(self)
        if self._feed is not None:
            self._feed.close()
            self._feed = None
        if self._actions is not None:
            self._actions.close()
            self._actions = None
        if self._chain is not None and not self._chain.done:
            self._chain.cancel()

    # -- for the account ------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """See `account.Connection`."""
        return self._chain is not None and self._chain.state is State.READING

    def wake(self) -> None:
        """See `account.Connection`."""
        if self._feed is not None:
            self._feed.wake()

    def say(self, text: str) -> None:
        """See `account.Connection`."""
        chain = self._chain
        if chain is not None and (self._feed is not None or not self.has_events):
            _say(chain, text)

    def leave(self) -> None:
        """See `account.Connection`."""
        if self._chain is not None:
            self._chain.close_socket(1001, "the server restarts")

    # -- actions --------------------------------------------------------------------------------

    async def _on_message(self, message: SocketMessage) -> None:
        if self._role.has_actions and self._actions is not None:
            await self._actions.take(message.data)


def _say(chain: Chain, text: str) -> None:
    """Send a text over one connection: the answer to an action is of no use on the next one."""
    if not chain.done:
        try:
            chain.send(text)
        except StreamError:
            return  # it has just ended: nothing was confirmed


def _ping(chain: Chain) -> asyncio.Future[None]:
    """Send a ping; cancelled where the connection is being closed: nothing is confirmed then."""
    try:
        return chain.ping()
    except StreamError:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        return never
