"""Events by HTTP POST: signed, answered with quick operations (OB communication/http-post.md).

An event that the application does not take waits, and those behind it with it. An answer may take
as long as the application's handler does, which may wait for a later event: so after a moment the
next one is posted beside it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from ...engine.errors import StreamError, TimeoutError
from ...engine.request import Request
from ...engine.response import Response
from ...onebot.v11.actions import ActionError
from ...onebot.v11.tokens import signature
from ...onebot.v11.values import dump, load
from ..storage import LoggedEvent
from .account import OneBotAccount
from .pauses import pause_after
from .settings import Post
from .system import quick_operation

__all__ = ["PostLink"]

logger = logging.getLogger("webqq_tornado.server")

#: Seconds that an answer may take, and after which the next event does not wait for it.
_ANSWER_SECONDS, _ORDER_SECONDS = 120.0, 1.0
#: Events on their way at once, heartbeats that wait, bytes of an answer.
_MOST_UNDER_WAY, _MOST_WAITING, _MAX_ANSWER = 50, 4, 48 * 1024**2
_LOT = 50


class PostLink:
    """An address that events are posted to, for as long as the account's settings have it.

    Args:
        account: whose events.
        where: the application.
    """

    has_events = True

    def __init__(self, account: OneBotAccount, where: Post) -> None:
        self._account = account
        self._where = where
        self._news = asyncio.Event()
        self._meta: deque[str] = deque(maxlen=_MOST_WAITING)
        self._under_way: deque[tuple[int, asyncio.Task[None]]] = deque()
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._late_up_to = 0

    @property
    def name(self) -> str:
        """Of the application among the account's targets."""
        return f"post:{self._where.url}"

    async def run(self) -> None:
        """Post what happens, until cancelled."""
        account = self._account
        target = account.target(self.name)
        self._late_up_to = account.newest
        after = target.cursor
        account.connections.add(self)
        self._meta.append(account.lifecycle("enable"))
        try:
            while True:
                await self._post_meta()
                events = account.events(after, _LOT)
                for event in events:
                    await self._begin(event)
                    after = event.id
                if not events:
                    await self._wait()
        finally:
            account.connections.discard(self)
            for _, task in self._under_way:
                task.cancel()

    async def _wait(self) -> None:
        """Until something happens; answers that are still to come are heard meanwhile."""
        self._news.clear()
        if not self._meta:
            await self._news.wait()

    async def _begin(self, event: LoggedEvent) -> None:
        """Post an event, and wait a moment for its answer."""
        await self._is_up.wait()
        task = self._account.run(self._deliver(event))
        self._under_way.append((event.id, task))
        task.add_done_callback(self._confirm)
        await asyncio.wait({task}, timeout=_ORDER_SECONDS)
        while len(self._under_way) >= _MOST_UNDER_WAY:
            await asyncio.wait(
                [each for _, each in self._under_way], return_when=asyncio.FIRST_COMPLETED
            )

    def _confirm(self, task: asyncio.Task[None]) -> None:
        """Move the cursor behind all that is done without a gap."""
        if task.cancelled():
            return
        target = self._account.target(self.name)
        while self._under_way and self._under_way[0][1].done():
            target.confirm(self._under_way.popleft()[0])

    async def _deliver(self, event: LoggedEvent) -> None:
        failures = 0
        while True:
            values = self._account.values_of(event, is_late=event.id <= self._late_up_to)
            if not values:
                return
            if await self._is_taken(values, failures):
                self._is_up.set()
                return
            failures += 1
            self._is_up.clear()
            await asyncio.sleep(pause_after(failures))
            self._late_up_to = self._account.newest

    async def _is_taken(self, values: dict[str, object], failures: int) -> bool:
        try:
            response = await self._post(dump(values))
        except TimeoutError as error:
            if error.request is not None and failures == 0 and "connect" not in str(error):
                logger.warning("%s has not answered an event: %s", self._url, error)
                return True  # it has it: a second time it would be handled twice
            self._tell(str(error), failures)
            return False
        except StreamError as error:
            self._tell(str(error), failures)
            return False
        if response.status in (401, 403, 408, 429) or response.status >= 500:
            self._tell(f"it answers {response.status}", failures)
            return False
        await self._operate(values, response)
        return True

    async def _post(self, body: str) -> Response:
        account, data = self._account, body.encode()
        headers = {
            "Content-Type": "application/json",
            "X-Self-ID": str(account.number),
            "User-Agent": "OneBot/11",
        }
        if self._where.secret:
            headers["X-Signature"] = signature(self._where.secret, data)
        request = Request(
            self._where.url,
            "POST",
            headers=headers,
            body=data,
            connect_timeout=10.0,
            request_timeout=_ANSWER_SECONDS,
            max_body_size=_MAX_ANSWER,
        )
        return await account.fetch(request)

    async def _operate(self, values: dict[str, object], response: Response) -> None:
        """Do the quick operation of an answer."""
        if not response.ok:
            logger.warning("%s refuses an event with %d", self._url, response.status)
            return
        if response.status == 204 or not response.body.strip():
            return
        try:
            operation = load(response.body)
            if operation:
                await quick_operation(self._account, values, operation)
        except (ActionError, ValueError) as error:
            logger.warning("%s answers an event with what cannot be done: %s", self._url, error)

    async def _post_meta(self) -> None:
        while self._meta:
            try:
                await self._post(self._meta.popleft())
            except StreamError as error:
                self._tell(str(error), 0)
                return

    def _tell(self, why: str, failures: int) -> None:
        if failures == 0:
            number = self._account.number
            logger.warning("events of %d do not reach %s: %s", number, self._url, why)

    @property
    def _url(self) -> str:
        return self._where.url.partition("?")[0]  # a query may hold a token

    # -- for the account ------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """See `account.Connection`."""
        return self._is_up.is_set()

    def wake(self) -> None:
        """See `account.Connection`."""
        self._news.set()

    def say(self, text: str) -> None:
        """See `account.Connection`."""
        self._meta.append(text)
        self._news.set()

    def leave(self) -> None:
        """See `account.Connection`: there is nothing to end."""
