"""Events of an implementation on their way: whose they are, what was missed before them, health.

After a connection was lost, events wait until the account is asked for what was missed: that goes
before them, and the places in the conversations, from which it is asked for, must not move.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Protocol

from ...onebot.v11.actions import Answer
from ...onebot.v11.events import (
    Event,
    Heartbeat,
    Lifecycle,
    MessageEvent,
    Notice,
    OtherEvent,
    Request,
)
from ...onebot.v11.values import Fields, as_text
from ..state import ClientEvent
from .catchup import CatchUp, Peer
from .convert import changes_groups, events_of
from .directory import NetworkDirectory
from .heartbeats import Heartbeats
from .inbox import NetworkInbox
from .requests import Requests

__all__ = ["Reception"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Events that wait until it is known whose they are, and what was missed before them.
_MOST_EARLY = 10_000
#: Milliseconds between heartbeats at least: some give seconds (Stapxs-QQ-Lite-2.0 issue 392).
_LEAST_INTERVAL = 1000


class Owner(Protocol):
    """The part of an account that its reception uses.

    Attributes:
        account: QQ number; 0 until it is known.
        name: for log lines.
        is_started: whether it is to be online.
        directory: of its contacts.
    """

    account: int
    name: str
    is_started: bool
    directory: NetworkDirectory

    @property
    def is_online(self) -> bool:
        """True while messages can be sent."""

    @property
    def skew(self) -> float:
        """Seconds that the implementation's clock is ahead of ours."""

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says."""

    def is_sent(self, event: MessageEvent) -> bool:
        """Return True if a message of the account itself was sent from here."""

    def on_health(self, *, is_online: bool, why: str = "") -> None:
        """The implementation says whether QQ has the account online."""

    def refresh(self, group: int) -> None:
        """Fetch friends and groups again, and the members of one."""

    def tell(self, event: ClientEvent) -> None:
        """Tell listeners of an event."""


class Reception:
    """Takes the events of one account.

    Args:
        owner: whose.
        inbox: gets messages.
        requests: keeps requests until they are answered.
        heartbeats: watches that they come.

    Attributes:
        catchup: fetches what was missed.
    """

    def __init__(
        self, owner: Owner, inbox: NetworkInbox, requests: Requests, heartbeats: Heartbeats
    ) -> None:
        self._owner, self._inbox, self._requests = owner, inbox, requests
        self._heartbeats = heartbeats
        self.catchup = CatchUp(owner, self._take, inbox.is_known, inbox.trust, self._on_caught_up)
        self._early: deque[tuple[Event, str]] = deque(maxlen=_MOST_EARLY)
        self._is_open = False
        self._began_at = 0.0  # to fetch what was missed, by the implementation's clock

    # -- what was missed -------------------------------------------------------------------------

    def pause(self) -> None:
        """The connection is lost: what comes next waits for `resume`."""
        self._is_open = False
        self._inbox.doubt()
        self.catchup.stop()

    def resume(self) -> None:
        """Take what has come since, behind what was missed, which is asked for now."""
        self._is_open = True
        while self._early and self._is_open:
            self.receive(*self._early.popleft())

    def close(self) -> None:
        """Drop what waits: the next login fetches it."""
        self.catchup.stop()
        self._is_open = False
        self._early.clear()

    def catch_up(self) -> None:
        """Fetch what was missed."""
        inbox, directory = self._inbox, self._owner.directory
        now = time.time() + self._owner.skew
        if inbox.since is None:  # nothing was heard yet, so nothing was missed
            inbox.trust_all(())
            inbox.complete(now)
            return
        self._began_at = now
        everyone = [
            *(Peer(True, gid) for gid in directory.contacts.groups),
            *(Peer(False, uin) for uin in directory.contacts.friends),
        ]
        self.catchup.start([*inbox.peers(), *everyone], inbox.since_of)

    def _on_caught_up(self, left: list[Peer]) -> None:
        self._inbox.trust_all(left)
        self._inbox.complete(self._began_at)

    # -- events ----------------------------------------------------------------------------------

    def receive(self, event: Event, source: str) -> None:
        """Take an event.

        Args:
            event: as it came.
            source: name of the transport that it came over.
        """
        owner = self._owner
        if not self._is_open and not isinstance(event, (Heartbeat, Lifecycle)):
            self._early.append((event, source))
            return
        if owner.account and event.self_id not in (0, owner.account):
            logger.debug("%s: an event of %d is not ours", owner.name, event.self_id)
            return
        match event:
            case Heartbeat():
                self._on_heartbeat(event)
            case Lifecycle():
                self._heartbeats.note_time(event.time)
            case MessageEvent():
                self._on_message(event, source)
            case Notice() | Request():
                self._on_notice(event)
            case OtherEvent():
                logger.debug("%s: an event %s is passed over", owner.name, event.post_type)

    def _on_heartbeat(self, event: Heartbeat) -> None:
        self._heartbeats.note_time(event.time)
        if self._owner.is_started:
            is_in_seconds = event.interval < _LEAST_INTERVAL
            self._heartbeats.expect(event.interval / (1 if is_in_seconds else 1000))
        if event.time and self._owner.is_online and not self.catchup.is_running:
            self._inbox.complete(event.time)
        if event.status.online is not None:
            self._owner.on_health(is_online=event.status.online)

    def _on_message(self, event: MessageEvent, source: str) -> None:
        if not self._inbox.is_new(event, source):
            return
        if event.is_own and self._owner.is_sent(event):
            return  # its time says nothing about what others wrote before
        if not self.catchup.hold(event):
            self._take(event, False)

    def _take(self, event: MessageEvent, is_late: bool) -> None:
        """Take a message in its turn."""
        owner = self._owner
        if is_late and not self._inbox.is_new(event, "history"):
            return
        if event.is_own and owner.is_sent(event):
            return
        if event.is_own and not event.peer:
            logger.debug("%s: dropped an own message that does not say to whom", owner.name)
            return
        owner.directory.learn(event)
        try:
            self._inbox.take(event, is_late=is_late)
        except Exception:
            logger.exception("%s: dropped: %r", owner.name, event)

    def _on_notice(self, event: Notice | Request) -> None:
        owner = self._owner
        if isinstance(event, Request):
            self._requests.note(event)
        elif event.notice_type == "bot_offline":
            words = as_text(event.extra.get("message") or event.extra.get("reason"))
            owner.on_health(is_online=False, why=words or "the account was thrown out of QQ")
        elif event.notice_type == "bot_online":
            owner.on_health(is_online=True)
        if changes_groups(event) or getattr(event, "notice_type", "") == "friend_add":
            owner.refresh(event.group_id)
        for heard in events_of(event):
            owner.tell(heard)
