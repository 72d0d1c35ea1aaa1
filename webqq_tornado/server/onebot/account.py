"""One account that applications drive: its events, its actions, its connections."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from ...engine.chain import Chain
from ...engine.request import Request
from ...engine.response import Response
from ...onebot.v11.actions import (
    ActionError,
    Answer,
    Call,
    Mode,
    Retcode,
    build_answer,
    failure,
)
from ...onebot.v11.events import Event, Heartbeat, Lifecycle, MessageEvent, build_event
from ...onebot.v11.events import Status as HealthStatus
from ...onebot.v11.values import dump
from ...protocol.codes import Status
from ..storage import LoggedEvent, StoredMessage
from .cursors import CursorWriter
from .feed import Target
from .rendering import logged_event, message_event
from .settings import OneBotSettings

if TYPE_CHECKING:
    from ..state import ServerState
    from .uploads import Upload

__all__ = ["HELD", "OneBotAccount", "Shared", "answer_text"]

logger = logging.getLogger("webqq_tornado.server")

#: Seconds between two actions of the paced queue (OB api/README.md), and how many wait at most.
_PACE, _MOST_PACED = 0.5, 1000
#: Actions that run in the background at most.
_MOST_BEHIND = 1000
#: Actions that wait for news. They end with the connection that asked for them: news given to
#: nobody would be lost.
HELD = frozenset({"get_updates"})
#: Actions that an account does which was signed out.
_OFFLINE = frozenset({"get_status", "get_version_info", "get_login_info"})
#: Seconds between two looks for events that nobody waits for any more.
_PRUNE_SECONDS = 1.0
#: More than any event's id.
_ALL = 2**62
#: Seconds that an action waits at most to keep a quota.
_PATIENCE = 8.0
#: Messages that are kept as events.
_MOST_MADE = 256
#: Seconds that an action may take: frameworks wait for 30 (NB) to 180 (AB).
_ACTION_SECONDS = 100.0


class Connection(Protocol):
    """An open connection of an application."""

    has_events: bool

    @property
    def is_open(self) -> bool:
        """True if the application is there."""

    def wake(self) -> None:
        """There are new events."""

    def say(self, text: str) -> None:
        """Send a frame that is no stored event: a heartbeat."""

    def leave(self) -> None:
        """End it."""


class Outgoing(Protocol):
    """The part of `HTTPStream` that sends what the server asks elsewhere."""

    def fetch(self, request: Request) -> Awaitable[Response]:
        """Send a request, and return the response."""

    def add_request(
        self,
        request: Request,
        readback: Callable[..., Any],
        *,
        errback: Callable[[Exception], None],
        name: str,
    ) -> Chain:
        """Start a chain."""


#: Does an action: from the account and the parameters to the data.
ActionFunction = Callable[["OneBotAccount", dict[str, Any]], Coroutine[Any, Any, object]]


class Shared(NamedTuple):
    """Parts that all accounts of a server have in common.

    Args:
        functions: implementation of each action, by name.
        stream: sends what the server asks elsewhere.
        made: the latest messages as events, by id and format.
        cursors: stores how far applications are.
    """

    functions: dict[str, ActionFunction]
    stream: Outgoing
    made: dict[tuple[int, str], dict[str, object]]
    cursors: CursorWriter


class OneBotAccount:
    """An account that applications drive; a `hub.Listener`, so that others see it as online.

    Args:
        state: of the server.
        number: QQ number.
        settings: of the account.
        shared: what all accounts have in common.

    Attributes:
        account: the number again, for the hub.
        is_online: False once the account was signed out everywhere.
        is_closed: True once applications drive it no more, or with other settings.
        targets: applications, by name.
        uploads: files that come in pieces, by the names that applications gave them.
        connections: those that are open.
    """

    def __init__(
        self,
        state: ServerState,
        number: int,
        settings: OneBotSettings,
        shared: Shared,
    ) -> None:
        self.state = state
        self.storage = state.storage
        self.number = self.account = number
        self.settings = settings
        self.stream = shared.stream
        self._made = shared.made
        self._cursors = shared.cursors
        self.is_online, self.is_closed = True, False
        self.started = time.monotonic()
        self.received = self.sent = 0
        self.connections: set[Connection] = set()
        self.targets = {
            name: Target(name, cursor, self._note)
            for name, cursor in state.storage.onebot.cursors(number).items()
        }
        self._functions = shared.functions
        self._tasks: set[asyncio.Task[Any]] = set()
        self._left: set[asyncio.Task[Any]] = set()
        self._begun: set[asyncio.Task[dict[str, object]]] = set()
        self._behind = 0
        self._heartbeat: asyncio.TimerHandle | None = None
        self._pruning: asyncio.TimerHandle | None = None
        self.uploads: dict[str, Upload] = {}
        self._paced: deque[Call] = deque()
        self._news: asyncio.Event = asyncio.Event()

    def __repr__(self) -> str:
        return f"<OneBotAccount {self.number}: {len(self.connections)} connections>"

    # -- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Be online, and hear what happens from now on."""
        self.state.hub.applications[self.number] = self._wake
        self.state.hub.add_listener(self)
        self._beat()

    def close(self) -> None:
        """Be online no more; connections end."""
        self.is_closed = True
        for timer in (self._heartbeat, self._pruning):
            if timer is not None:
                timer.cancel()
        self._heartbeat = self._pruning = None
        self.state.hub.applications.pop(self.number, None)
        self.state.hub.remove_listener(self)
        for connection in tuple(self.connections):
            connection.leave()
        for task in tuple(self._tasks):
            task.cancel()
        self._news.set()  # held polls end
        self._cursors.flush()
        self.prune()

    def run(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[Any]:
        """Run something for the account until it ends, or the account is closed."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def leave_behind(self, call: Call, task: asyncio.Task[Any]) -> None:
        """The connection of an action is gone: it is still done, see `settle`.

        Args:
            call: of it. What waits for news for the connection ends.
            task: does it.
        """
        if call.action in HELD:
            task.cancel()
        elif not call.action.startswith("get_"):  # one that waits must not be waited for
            self._left.add(task)
            task.add_done_callback(self._left.discard)

    async def settle(self) -> None:
        """Wait for actions whose connections are gone.

        An application that comes back and looks in the history for what it had sent is not to
        find that it is missing, and send it again, while it is still on its way.
        """
        if self._left:
            await asyncio.wait(self._left)

    def begin(self, call: Call) -> asyncio.Task[dict[str, object]]:
        """Begin an action, see `answer`; it is not cancelled when the account is closed."""
        task = asyncio.ensure_future(self.answer(call))
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task

    async def ended(self, patience: float) -> None:
        """Wait until nothing runs for it any more.

        Args:
            patience: seconds after which actions that were begun are cancelled.
        """
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._begun:
            _, late = await asyncio.wait(self._begun, timeout=patience)
            for task in late:
                task.cancel()

    # -- targets --------------------------------------------------------------------------------

    def target(self, name: str) -> Target:
        """An application; one that was never here begins with what happens from now on."""
        known = self.targets.get(name)
        if known is None:
            known = self.targets[name] = Target(name, self.newest, self._note)
            self._note(name, known.cursor)
        return known

    def _note(self, target: str, event: int) -> None:
        self._cursors.note(self.number, target, event)

    def keep_targets(self, names: set[str]) -> None:
        """Forget applications whose addresses are in the settings no more."""
        for name in [each for each in self.targets if ":" in each and each not in names]:
            del self.targets[name]
            self._cursors.forget(self.number, name)
            self.storage.onebot.drop_cursor(self.number, name)

    @property
    def newest(self) -> int:
        """Id of the last event."""
        return self.storage.onebot.last_event(self.number)

    def prune(self) -> None:
        """Drop the events that all applications have."""
        self._pruning = None
        # A client of server-sent events comes back with the last one that it has read, which may be
        # an older one than the server has sent.
        read = (0 if each.name == "sse" else each.cursor for each in self.targets.values())
        try:
            self.storage.onebot.prune(self.number, min(read, default=_ALL), self.settings.keep)
        except sqlite3.Error as error:
            logger.warning("events of %d could not be dropped: %s", self.number, error)

    # -- events ---------------------------------------------------------------------------------

    def events(self, after: int, limit: int) -> list[LoggedEvent]:
        """See `feed.Source`."""
        return self.storage.onebot.events(self.number, after, limit)

    def text_of(self, event: LoggedEvent, *, is_late: bool) -> str:
        """See `feed.Source`."""
        values = self.values_of(event, is_late=is_late)
        return dump(values) if values else ""

    def values_of(self, event: LoggedEvent, *, is_late: bool) -> dict[str, object]:
        """An event as a JSON object; empty for one that is not reported.

        Args:
            event: as stored.
            is_late: whether it happened while the application was away, or was sent before
                and not confirmed; marked so then.
        """
        try:
            built = self._message_values(event) if event.message else self._other_values(event)
        except (ValueError, KeyError, TypeError, RecursionError):  # of an older version's
            logger.exception("an event of %d cannot be written: it is left out", self.number)
            return {}
        return {**built, "late": True} if built and is_late else built

    def _message_values(self, event: LoggedEvent) -> dict[str, object]:
        """A message; of one to hundreds of accounts all but a field or two is made once."""
        key = (event.message, self.settings.format)
        made = self._made.get(key)
        if made is None:
            message = self.storage.messages.get(event.message)
            if message is None or message.recalled:
                return {}
            made = self._made[key] = self.build(message_event(self.storage, 0, message, self.url))
            if len(self._made) > _MOST_MADE:
                del self._made[next(iter(self._made))]
        if made["user_id"] != self.number:
            return {**made, "self_id": self.number}
        own = {"self_id": self.number, "post_type": "message_sent"}
        return {**made, **own} if self.settings.reports_own else {}

    def _other_values(self, event: LoggedEvent) -> dict[str, object]:
        return self.build(logged_event(self.number, event.body, event.time))

    def message(self, message: StoredMessage) -> MessageEvent:
        """A stored message as the account sees it."""
        return message_event(self.storage, self.number, message, self.url)

    def build(self, event: Event) -> dict[str, object]:
        """An event as a JSON object, in the account's format."""
        return build_event(event, as_string=self.settings.format == "string")

    @property
    def url(self) -> str:
        """Of the server, for addresses of files."""
        return self.state.url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

    def lifecycle(self, sub_type: str = "connect") -> str:
        """The first frame of a connection."""
        return dump(self.build(Lifecycle(self.number, sub_type, int(time.time()))))

    @property
    def health(self) -> HealthStatus:
        """The status in heartbeats and in ``get_status``."""
        details = {
            "app_initialized": True,
            "app_enabled": True,
            "app_good": True,
            "stat": self.stat,
        }
        return HealthStatus(self.is_online, True, details)

    @property
    def stat(self) -> dict[str, int]:
        """Numbers since the account was opened."""
        return {"message_received": self.received, "message_sent": self.sent}

    def heartbeat(self) -> str:
        """A sign of life."""
        beat = Heartbeat(self.number, self.health, self.settings.heartbeat, int(time.time()))
        return dump(self.build(beat))

    def _beat(self) -> None:
        if not self.settings.heartbeat:
            return
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(self.settings.heartbeat / 1000, self._beat)
        listening = [each for each in self.connections if each.has_events]
        text = self.heartbeat() if listening else ""
        for connection in listening:
            connection.say(text)

    def _wake(self) -> None:
        if self._pruning is None:  # also where nobody listens
            loop = asyncio.get_running_loop()
            self._pruning = loop.call_later(_PRUNE_SECONDS, self.prune)
        self._news.set()
        for connection in self.connections:
            connection.wake()

    async def wait_for_news(self, seconds: float) -> None:
        """Wait until something happens, or the time is over."""
        self._news.clear()
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except asyncio.TimeoutError:
            return

    def go_offline(self, why: str) -> None:
        """The account was signed out: applications hear so, and their actions fail."""
        self.state.hub.notify_applications(
            {self.number},
            post_type="notice",
            notice_type="bot_offline",
            user_id=self.number,
            tag="offline",
            message=why,
        )
        self.is_online = False
        self.state.hub.applications.pop(self.number, None)
        self.state.hub.remove_listener(self)
        for connection in self.connections:
            if connection.has_events:
                connection.say(self.heartbeat())

    # -- the hub's listener: events come from the store ------------------------------------------

    def notify_message(self, message: StoredMessage) -> None:
        """See `hub.Listener`."""
        if message.sender == self.number:
            self.sent += 1
        else:
            self.received += 1

    def notify_status(self, account: int, status: Status) -> None:
        """See `hub.Listener`: OneBot has no event for it."""

    def notify_typing(self, account: int) -> None:
        """See `hub.Listener`: only NapCat has an event for it."""

    def notify_contacts(self) -> None:
        """See `hub.Listener`: the events that tell of it come by themselves."""

    def notify_change(self, message: StoredMessage) -> None:
        """See `hub.Listener`: a notice tells of it."""
        for form in ("array", "string"):
            self._made.pop((message.id, form), None)

    def notify_poke(self, sender: int, target: int, group: int) -> None:
        """See `hub.Listener`: a notice tells of it."""

    # -- actions --------------------------------------------------------------------------------

    async def answer(self, call: Call) -> dict[str, object]:
        """Do an action; the answer, whatever becomes of it.

        Args:
            call: of an application.
        """
        if call.mode is not Mode.PLAIN:
            return build_answer(self._later(call))
        return build_answer(await self._done(call))

    async def _done(self, call: Call) -> Answer:
        try:
            function = self._functions.get(call.action)
            if function is None:
                raise ActionError(f"there is no action {call.action[:60]!r}", Retcode.NO_ACTION)
            if not self.is_online and call.action not in _OFFLINE:
                raise ActionError("the account is offline: it was signed out everywhere")
            data = await asyncio.wait_for(function(self, call.parameters()), _ACTION_SECONDS)
        except ActionError as error:
            return failure(error, call.echo)
        except asyncio.TimeoutError:
            return failure(ActionError(f"{call.action} takes too long"), call.echo)
        except OverflowError:  # of SQLite, which has 64 bits
            why = f"{call.action}: a number has more than 64 bits"
            return failure(ActionError(why, Retcode.BAD_REQUEST), call.echo)
        except sqlite3.Error as error:
            logger.error("%s for %d failed: %s", call.action, self.number, error)
            return failure(ActionError(f"the database cannot be used: {error}"), call.echo)
        except Exception:
            logger.exception("%s for %d failed", call.action, self.number)
            return failure(ActionError("internal error, see the server's log"), call.echo)
        return Answer("ok", 0, data, echo=call.echo)

    def _later(self, call: Call) -> Answer:
        """Do it in the background, or at its turn; the answer is given before that."""
        plain = Call(call.action, call.raw)
        if call.action not in self._functions:
            why = f"there is no action {call.action[:60]!r}"
            return failure(ActionError(why, Retcode.NO_ACTION), call.echo)
        if call.mode is Mode.ASYNC and self._behind >= _MOST_BEHIND:
            return failure(ActionError(f"{_MOST_BEHIND} actions are under way already"), call.echo)
        if call.mode is Mode.ASYNC:
            self._behind += 1
            self.run(self._log_failure(plain)).add_done_callback(self._note_end)
        elif len(self._paced) >= _MOST_PACED:
            return failure(ActionError(f"{_MOST_PACED} actions wait already"), call.echo)
        else:
            self._paced.append(plain)
            if len(self._paced) == 1:
                self.run(self._work_off())
        return Answer("async", Retcode.ASYNC, None, echo=call.echo)

    def _note_end(self, _task: asyncio.Task[Any]) -> None:
        self._behind -= 1

    async def _work_off(self) -> None:
        while self._paced:
            await self._log_failure(self._paced[0])
            await asyncio.sleep(_PACE)
            self._paced.popleft()

    async def _log_failure(self, call: Call) -> None:
        answer = await self._done(call)
        if not answer.is_ok:
            logger.warning("%s for %d failed: %s", call.action, self.number, answer.message)

    # -- what actions need ----------------------------------------------------------------------

    @property
    def reads_files(self) -> bool:
        """See `incoming.Fetcher`."""
        return self.settings.reads_files

    @property
    def reaches_private(self) -> bool:
        """True if private addresses may be asked."""
        allowed = self.settings.reaches_private
        return self.state.is_local if allowed is None else allowed

    def own_file(self, url: str) -> str:
        """See `incoming.Fetcher`."""
        try:
            parts = urlsplit(url)
            is_ours = parts.port in (self.state.port, self.state.tls_port)
        except ValueError:
            return ""
        if parts.scheme not in ("http", "https") or not is_ours:
            return ""
        is_served = self.state.serves(parts.hostname or "")
        return parts.path.removeprefix("/files/") if is_served else ""

    async def spend(self, quota: str) -> None:
        """Keep a quota, where others than those of this machine use the server.

        Args:
            quota: its name in `quotas.QUOTAS`.

        Raises:
            ActionError: it is done far too often.
        """
        if self.state.is_local:
            return
        may, wait = self.state.quotas.reserve(
            quota, account=self.number, address="", patience=_PATIENCE
        )
        if not may:
            raise ActionError(f"too often: try again in {wait:.0f} s")
        await asyncio.sleep(wait)

    async def fetch(self, request: Request) -> Response:
        """See `incoming.Fetcher`."""
        return await self.stream.fetch(request.replace(public_only=not self.reaches_private))

    def reopen_connections(self) -> None:
        """End all connections: applications come back, and so do those that the server opens."""
        for connection in tuple(self.connections):
            connection.leave()


def answer_text(answer: dict[str, object]) -> str:
    """An answer as JSON.

    Args:
        answer: of `OneBotAccount.answer`.
    """
    try:
        return dump(answer)
    except ValueError:  # it was read with a shorter stack than it is written with
        error = ActionError("the echo is nested too deeply", Retcode.BAD_REQUEST)
        return dump(build_answer(failure(error)))
