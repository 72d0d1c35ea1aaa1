"""Messages that came in while nobody was connected: fetched from the histories, in order, once.

No implementation replays it. From each conversation that may have news the history is asked for
(``get_group_msg_history``, ``get_friend_msg_history``: LG, NC, LL; GC for groups alone), page by
page back to the last message that was heard before. What comes in live meanwhile waits for its
conversation's turn, so that the order holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

from ...onebot.v11.actions import Answer
from ...onebot.v11.events import MessageEvent, parse_message_event
from ...onebot.v11.values import Fields, object_of
from .duplicates import mark_of
from .transport import ActionFailed, NotConnected, OutcomeUnknown

__all__ = ["CatchUp", "Peer", "history_of", "latest_of"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Messages of a page, pages of a conversation, conversations, and those asked at once.
_PAGE, _PAGES, _MOST, _AT_ONCE = 50, 20, 300, 4
#: Messages that are asked for where there are no pages.
_MOST_AT_ONCE = 1000
#: Seconds for one page.
_TIMEOUT = 20.0


class Peer(NamedTuple):
    """A conversation.

    Args:
        is_group: or a person.
        number: of the group or person.
    """

    is_group: bool
    number: int

    @classmethod
    def of(cls, event: MessageEvent) -> Peer:
        """The conversation of a message.

        Args:
            event: as it came.
        """
        return cls(event.is_group, event.peer)


class Caller(Protocol):
    """The part of an account that asks."""

    name: str
    account: int

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Send an action; return the answer, whatever it says."""


async def history_of(
    caller: Caller, peer: Peer, before: MessageEvent | None = None, count: int = _PAGE
) -> list[MessageEvent] | None:
    """A page of a conversation's history, the oldest message first.

    Args:
        caller: asks.
        peer: the conversation.
        before: the message that the page ends with; None for the latest.
        count: of messages.

    Returns:
        The messages that can be read; None if the implementation has no such history.

    Raises:
        NotConnected: there is nobody to ask.
        ActionFailed: it failed.
    """
    kind, key = ("group", "group_id") if peer.is_group else ("friend", "user_id")
    action = f"get_{kind}_msg_history"
    params: dict[str, object] = {key: peer.number, "count": count}
    if before is not None:
        # GC: the real sequence; NC: an id under this name; LG: under the other. Without the last
        # two NC and LL give what follows that message (NC issues 441, 987; LL issue 472).
        params |= {"message_seq": before.seq or before.message_id, "message_id": before.message_id}
        params |= {"reverse_order": True, "reverseOrder": True}
    answer = await caller.answer_to(action, params, _TIMEOUT)
    if answer.is_unknown_action:
        return None
    if not answer.is_ok:
        raise ActionFailed(action, answer)
    data = answer.data.get("messages") if isinstance(answer.data, dict) else answer.data
    rows = data if isinstance(data, list) else []
    read = (_message(raw, peer, caller.account) for raw in rows)
    found = [one for one in read if one is not None]
    if found and _order(found[0]) > _order(found[-1]):
        found.reverse()
    return sorted(found, key=_order)


async def latest_of(caller: Caller, peer: Peer, since: float) -> list[MessageEvent] | None:
    """The messages of a conversation from a time on; a busy group has many in a second.

    Args:
        caller: asks.
        peer: the conversation.
        since: Unix time, by the implementation's clock.

    Returns:
        The messages; None if the implementation has no such history.

    Raises:
        NotConnected: there is nobody to ask.
        ActionFailed: it failed, or there are more messages than are read.
    """

    async def page(before: MessageEvent | None, count: int) -> list[MessageEvent]:
        found = await history_of(caller, peer, before, count)
        if found is None:
            raise _NoHistory
        return found

    try:
        found, is_whole = await _read_back(page, since)
    except _NoHistory:
        return None
    if not is_whole:
        why = f"there are more than {len(found)} messages in {_shown(peer)} since then"
        raise ActionFailed("the history", why=why)
    return [one for one in found if one.time >= since or not one.time]


class _NoHistory(Exception):
    """The implementation has none."""


#: Reads a page: up to a message, so many.
_ReadPage = Callable[[MessageEvent | None, int], Awaitable[list[MessageEvent]]]


async def _read_back(page: _ReadPage, since: float) -> tuple[list[MessageEvent], bool]:
    """Messages back to a time, in the order given; False if there are more than is read."""
    found: list[MessageEvent] = []
    ids: set[int] = set()
    for _ in range(_PAGES):
        read = await page(found[0] if found else None, _PAGE)
        new = [one for one in read if one.message_id not in ids]
        if found and not new and found[0].time >= since:
            # It does not page backwards: as many as it gives are asked for at once.
            read = await page(None, _MOST_AT_ONCE)
            new = [one for one in read if one.message_id not in ids]
        ids.update(one.message_id for one in new)
        found = [*new, *found]
        # What is known is no end: it may have come in live, behind what was missed.
        if not new or new[0].time < since:
            return found, True
    return found, False


def _order(event: MessageEvent) -> tuple[int, int]:
    """The order of messages; those of one second keep the order in which they were given."""
    return event.time, event.real_seq


def _message(raw: object, peer: Peer, account: int) -> MessageEvent | None:
    """A message of a history, with what goes without saying there."""
    kind = "group" if peer.is_group else "private"
    key = "group_id" if peer.is_group else "target_id"
    try:
        values = {"message_type": kind, key: peer.number, **object_of(raw, "a message")}
        return parse_message_event({**values, "self_id": account, "message_type": kind})
    except ValueError:
        return None


class CatchUp:
    """Fetches what was missed.

    Args:
        caller: asks.
        take: gets each message that was not heard, in order, with whether it is late.
        is_known: whether a message was heard.
        on_whole: called with each conversation that is caught up with.
        on_end: called at the end with those that are not, as their histories did not answer.
    """

    def __init__(
        self,
        caller: Caller,
        take: Callable[[MessageEvent, bool], object],
        is_known: Callable[[MessageEvent], bool],
        on_whole: Callable[[Peer], object],
        on_end: Callable[[list[Peer]], object],
    ) -> None:
        self._caller, self._take, self._is_known = caller, take, is_known
        self._on_whole, self._on_end = on_whole, on_end
        self._held: dict[Peer, list[MessageEvent]] = {}
        self._task: asyncio.Task[None] | None = None
        self._has_history = {True: True, False: True}  # of groups, of friends

    @property
    def is_running(self) -> bool:
        """True while something is fetched."""
        return bool(self._held)

    def hold(self, event: MessageEvent) -> bool:
        """Keep a live message until its conversation is caught up with.

        Args:
            event: as it came.

        Returns:
            False if nothing is fetched for its conversation.
        """
        held = self._held.get(Peer.of(event))
        if held is None:
            return False
        held.append(event)
        return True

    def start(self, peers: Iterable[Peer], since: Callable[[Peer], float]) -> None:
        """Fetch what was missed.

        Args:
            peers: conversations, those that matter most first.
            since: Unix time, by the implementation's clock, from which messages may be missing.
        """
        self.stop()
        wanted = list(dict.fromkeys(peers))
        if len(wanted) > _MOST:
            logger.info("%s: looks for missed messages in %d conversations of %d",
                        self._caller.name, _MOST, len(wanted))  # fmt: skip
        self._held = {peer: [] for peer in wanted[:_MOST]}
        if self._held:
            self._task = asyncio.get_running_loop().create_task(self._run(since))
        else:
            self._on_end([])

    def stop(self) -> None:
        """Give it up; what was held comes now."""
        if self._task is not None:
            self._task.cancel()
        for peer in tuple(self._held):
            self._release(peer)

    async def _run(self, since: Callable[[Peer], float]) -> None:
        turn = asyncio.Semaphore(_AT_ONCE)

        left: list[Peer] = []

        async def one(peer: Peer) -> None:
            async with turn:
                try:
                    is_whole = await self._fetch(peer, since(peer))
                finally:
                    self._release(peer)
                if is_whole:
                    self._on_whole(peer)
                else:
                    left.append(peer)

        await asyncio.gather(*(one(peer) for peer in tuple(self._held)))
        self._on_end(left)

    def _release(self, peer: Peer) -> None:
        for event in self._held.pop(peer, []):
            self._take(event, False)

    async def _fetch(self, peer: Peer, since: float) -> bool:
        """Fetch what was missed; False if the next connection is to try again."""
        try:
            missed = await self._missed(peer, since)
        except (NotConnected, OutcomeUnknown) as error:
            logger.debug("%s: %s", self._caller.name, error)
            return False
        except ActionFailed as error:
            logger.warning("%s: what was missed in %s cannot be fetched: %s",
                           self._caller.name, _shown(peer), error)  # fmt: skip
            return True
        is_missed = [not self._is_known(one) for one in missed]
        if any(is_missed):
            logger.info("%s: %d messages were missed in %s",
                        self._caller.name, sum(is_missed), _shown(peer))  # fmt: skip
        # What came in live has its place among them: it may be older than what was missed.
        held = {mark_of(event): event for event in self._held.get(peer, ())}
        for event, is_late in zip(missed, is_missed, strict=True):
            live = held.pop(mark_of(event), None)
            if live is not None or is_late:
                self._take(live or event, live is None)
        if peer in self._held:
            self._held[peer] = list(held.values())
        return True

    async def _missed(self, peer: Peer, since: float) -> list[MessageEvent]:
        """Messages of the time in which some were not heard, the oldest first."""

        async def page(before: MessageEvent | None, count: int) -> list[MessageEvent]:
            return await self._page(peer, before, count)

        found, is_whole = await _read_back(page, since)
        if not is_whole:
            logger.warning("%s: more was missed in %s than is fetched", self._caller.name,
                           _shown(peer))  # fmt: skip
        return sorted((one for one in found if one.time >= since), key=_order)

    async def _page(
        self, peer: Peer, oldest: MessageEvent | None, count: int
    ) -> list[MessageEvent]:
        if not self._has_history[peer.is_group]:
            return []
        page = await history_of(self._caller, peer, oldest, count)
        if page is None:
            self._has_history[peer.is_group] = False
            logger.info("%s: there is no history of %s: what was missed there is lost",
                        self._caller.name, "groups" if peer.is_group else "friends")  # fmt: skip
        return page or []


def _shown(peer: Peer) -> str:
    return f"{'group' if peer.is_group else 'the conversation with'} {peer.number}"
