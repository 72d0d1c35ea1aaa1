"""`ClientContext`: what the parts of a client share, below all of them.

Each part (login, poll, outbox, ...) gets the context, and the parts that it needs besides.
What only the client can decide, such as what follows the loss of a session, goes to it as a
value: see `Loss`.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from ..engine.chain import Chain
from ..engine.links import Errback, Link, Next
from ..engine.request import Request
from ..engine.response import Response
from .connection import Connection
from .state import State

if TYPE_CHECKING:
    from ..engine.stream import HTTPStream
    from .records import Records

__all__ = ["REQUEST_TIMEOUT", "ClientContext", "Loss", "Recovery"]

#: Seconds for ordinary requests (qqbot 2017, Mojo-Webqq 2018).
REQUEST_TIMEOUT = 30.0
#: Seconds after which TCP keepalive probes the server. A poll on a dead connection then fails
#: within 8 s; TCP's own retransmissions would notice an outage of 10 s after 12.8 s.
KEEPALIVE = 5.0


class Recovery(enum.Enum):
    """Ways back to a session that was lost."""

    LOG_IN = "log in for a new session"
    """The server does not know the session any more."""
    RELINK = "log in, and resume the session if the server still has it"
    """The server said so (retcode 100, 120, 121)."""
    RECONNECT = "resume the session when the server can be reached again"
    """The network, or the server, is away: that says nothing against the session."""


class Loss(NamedTuple):
    """A part of the client has found that the session does not work any more.

    Args:
        reason: in words for the user.
        recovery: the way back.
    """

    reason: str
    recovery: Recovery = Recovery.LOG_IN


class ClientContext:
    """One account as the parts of its client see it.

    Args:
        stream: carries all chains.
        connection: to the server, still logged out.
        account: QQ number; 0 until the login says it.
        name: for log lines.
        records: of messages.
        on_loss: called with a `Loss`.
        on_reachable: called when the server answers again after an outage.

    Attributes:
        stream: as above.
        connection: as above; replaced by each login.
        account: as above.
        name: as above.
        nick: of the account; empty before the first login.
        records: as above.
        state: of the client.
        identity: cookies and connections of the account.
    """

    def __init__(
        self,
        stream: HTTPStream,
        connection: Connection,
        account: int,
        *,
        name: str,
        records: Records,
        on_loss: Callable[[Loss], None],
        on_reachable: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.connection = connection
        self.account = account
        self.name = name
        self.nick = ""
        self.records = records
        self.state = State.OFFLINE
        self.identity = stream.session(f"webqq {account} {id(self)}")
        self.report_loss = on_loss
        self.report_reachable = on_reachable
        self._chains: set[Chain] = set()

    def __repr__(self) -> str:
        return f"<ClientContext of {self.account} {self.state.value}>"

    @property
    def is_online(self) -> bool:
        """True while messages can be delivered, and contacts found."""
        return self.state is State.ONLINE

    def add_chain(
        self,
        first: Next,
        name: str,
        errback: Errback | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Chain:
        """Start a chain in the account's name; it ends with the session.

        Args:
            first: its first link.
            name: what it does, for logs.
            errback: for all its links that have none of their own.
            timeout: seconds, for all its requests that have none of their own.
        """
        link = _with_defaults(first, errback, timeout)
        chain = self.stream.add_request(
            link.request,
            link.readback,
            delay=link.delay,
            errback=link.errback or None,
            name=f"{self.account} {name}",
            session=self.identity,
        )
        self._chains = {known for known in self._chains if not known.done} | {chain}
        return chain

    def cancel_chains(self) -> None:
        """Cancel all chains, except the one whose reader is calling."""
        chains, self._chains = self._chains, set()
        for chain in chains:
            chain.cancel()

    async def fetch(self, request: Request, timeout: float = REQUEST_TIMEOUT) -> Response:
        """Send a single request in the account's name.

        Args:
            request: what.
            timeout: seconds.

        Raises:
            StreamError: the server cannot be reached.
        """
        return await self.stream.fetch(request, session=self.identity, timeout=timeout)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, in its next turn.

        Args:
            function: without arguments.
        """
        self.stream.ioloop.add_callback(function)


def _with_defaults(link: Next, errback: Errback | None, timeout: float = REQUEST_TIMEOUT) -> Next:
    """The link, and all that follow it, with the account's timeout and errback.

    Args:
        link: the first link.
        errback: for links without one, and for exceptions of their errbacks.
        timeout: seconds, for requests without one.
    """
    request = Request.of(link.request)
    seconds = timeout if request.request_timeout is None else request.request_timeout
    request = request.replace(request_timeout=seconds, tcp_keepalive=KEEPALIVE)
    readback = link.readback

    def read(response: Response) -> Link:
        result = readback(response) if readback else None
        if inspect.isawaitable(result):
            return _later(result, errback, timeout)
        return _next(result, errback, timeout)

    def fail(error: Exception) -> Link:
        if link.errback:
            try:
                return _next(link.errback(error), errback, timeout)
            except Exception as raised:
                error = raised  # the account's errback may know it
        if errback is None:
            raise error
        return _next(errback(error), errback, timeout)

    return link._replace(request=request, readback=read, errback=fail)


async def _later(link: Awaitable[Link], errback: Errback | None, timeout: float) -> Link:
    return _next(await link, errback, timeout)


def _next(link: Link, errback: Errback | None, timeout: float) -> Link:
    if isinstance(link, tuple):
        return _with_defaults(link if isinstance(link, Next) else Next(*link), errback, timeout)
    return link
