"""Messages that came in by OneBot: each once, on record, with the place in its conversation."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from ...onebot.v11.events import MessageEvent
from ...protocol.models.events import GroupMessage
from ..contacts import Message, kind_of, name_of, uin_of
from ..history import Entry
from ..records import Records
from ..store import Store
from ..unhandled import as_text
from .catchup import Peer
from .convert import message_of
from .directory import NetworkDirectory
from .duplicates import Duplicates, mark_of
from .notifier import Notifier

__all__ = ["NetworkInbox"]

logger = logging.getLogger("webqq_tornado.webqq")

#: A time that an event gives is taken for one if it lies so many seconds from ours at most.
_PLAUSIBLE = 366 * 86400
#: Seconds before that time that a conversation without a place is asked from: two messages of one
#: second may come in any order.
_OVERLAP = 2.0
#: Seconds after which it is noted anew.
_STEP = 10.0


class Owner(Protocol):
    """The part of an account that its inbox uses."""

    account: int
    nick: str
    name: str
    records: Records
    directory: NetworkDirectory
    store: Store | None

    def on_message(self, message: Message) -> None:
        """A message is new."""


class NetworkInbox:
    """The messages that come in to an account.

    Args:
        owner: whose.
        notifier: passes messages to those who handle them.

    Attributes:
        since: Unix time, by the implementation's clock, up to which everything was heard, in all
            conversations; None if nothing ever was.
        known_groups: groups that something was heard from.
    """

    def __init__(self, owner: Owner, notifier: Notifier) -> None:
        self._owner, self._notifier = owner, notifier
        self._duplicates = Duplicates()
        self._places: dict[Peer, float] = {}
        self._heard: dict[Peer, float] | None = None  # latest of those that may have a gap
        self._whole: set[Peer] = set()  # those that have none
        self.since: float | None = None
        self.known_groups: set[int] = set()

    # -- the places in conversations -------------------------------------------------------------

    @property
    def _namespace(self) -> str:
        return f"onebot places {self._owner.account}"

    def load(self) -> None:
        """Read what an earlier process has noted."""
        store = self._owner.store
        for key, place in (store.values(self._namespace) if store is not None else {}).items():
            kind, _, digits = key.partition(" ")
            if digits.isdecimal() and isinstance(place, (int, float)):
                self._note(Peer(kind == "group", int(digits)), float(place))
            elif kind == "since" and isinstance(place, (int, float)):
                self.since = max(self.since or 0.0, float(place))
        if self.since is not None:
            self.doubt()

    def doubt(self) -> None:
        """There may be gaps: a place stays in front of its gap until that is looked into."""
        self._heard = {} if self._heard is None else self._heard
        self._whole.clear()

    def trust(self, peer: Peer) -> None:
        """A conversation has no gap any more.

        Args:
            peer: which.
        """
        self._whole.add(peer)
        place = self._heard.pop(peer, 0.0) if self._heard is not None else 0.0
        if place:
            self._advance(peer, place)

    def trust_all(self, but: Iterable[Peer]) -> None:
        """No conversation has a gap any more.

        Args:
            but: those that may.
        """
        left = dict.fromkeys(but, 0.0)
        for peer in left:
            self._places.setdefault(peer, self.since_of(peer))
        for peer in tuple(self._heard or ()):
            if peer not in left:
                self.trust(peer)
        if not left:
            self._heard = None

    def complete(self, now: float) -> None:
        """Everything up to now was heard, or is not wanted.

        Args:
            now: by the implementation's clock.
        """
        if self.since is None or now - self.since >= _STEP:
            self.since = now
            if self._owner.store is not None:
                self._owner.store.put(self._namespace, "since", now)

    def note(self, event: MessageEvent) -> None:
        """Note that a message was heard.

        Args:
            event: as it came.
        """
        peer, place = Peer.of(event), float(event.time)
        if self._heard is not None and peer not in self._whole:
            self._heard[peer] = max(place, self._heard.get(peer, 0.0))
        elif place:
            self._advance(peer, place)
        if peer.is_group:
            self.known_groups.add(peer.number)

    def _advance(self, peer: Peer, place: float) -> None:
        if self._note(peer, place) and self._owner.store is not None:
            key = f"{'group' if peer.is_group else 'friend'} {peer.number}"
            self._owner.store.put(self._namespace, key, place)

    def _note(self, peer: Peer, place: float) -> bool:
        is_news = place > self._places.get(peer, 0.0)
        if is_news:
            self._places[peer] = place
        if peer.is_group:
            self.known_groups.add(peer.number)
        return is_news

    def peers(self) -> list[Peer]:
        """Conversations that something was heard in, the latest first."""
        places = {**self._places, **(self._heard or {})}
        return sorted(places, key=lambda peer: -places[peer])

    def since_of(self, peer: Peer) -> float:
        """The time from which a conversation may have what was not heard.

        Args:
            peer: which.
        """
        return self._places.get(peer, (self.since or 0.0) - _OVERLAP)

    # -- messages --------------------------------------------------------------------------------

    def is_new(self, event: MessageEvent, source: str) -> bool:
        """Note a message; return True if it was not heard before.

        Args:
            event: as it came.
            source: over which transport, or from the history.
        """
        return self._duplicates.is_new(event, source)

    def is_known(self, event: MessageEvent) -> bool:
        """Return True if a message was heard before.

        Args:
            event: as a history has it.
        """
        return self._duplicates.has(event)

    def take(self, event: MessageEvent, *, is_late: bool) -> None:
        """Put a message on record, and hand it out if an earlier process did not have it.

        Args:
            event: that is new.
            is_late: whether it was missed and fetched.
        """
        owner, directory = self._owner, self._owner.directory
        message = message_of(event, directory.contacts.friends.__contains__, self._name_of)
        contact = directory.contact_of(message, event)
        mark, entry = mark_of(event), self._entry(event, message)
        text = ""
        if self._notifier.is_to_handle(message):
            text = as_text(message, entry.sender, directory.mark)
        is_new = owner.records.receive(mark, entry, directory.address_of(contact), text)
        if not event.is_own:
            self.note(event)
        if is_new:
            owner.on_message(message)
            self._notifier.hand_out(mark, message, contact, is_late=is_late)

    def _name_of(self, group: int, account: int) -> str:
        if account == self._owner.account:
            member = self._owner.directory.contacts.member(group, account) if group else None
            return member.name if member and member.card else self._owner.nick
        return self._owner.directory.name_of(group, account)

    def _entry(self, event: MessageEvent, message: Message) -> Entry:
        now = time.time()
        return Entry(
            *(0, self._owner.account, kind_of(self._owner.directory.contact_of(message)), 0, ""),
            *(event.sender.card or event.sender.nickname or self.sender_name(message),),
            sender_number=event.user_id,
            is_own=event.is_own,
            time=float(event.time) if abs(now - event.time) < _PLAUSIBLE else now,
            content=message.content,
        )

    def sender_name(self, message: Message) -> str:
        """Display name of a message's author.

        Args:
            message: as bots have it.
        """
        owner = self._owner
        if message.sender == owner.account:
            return owner.nick or str(owner.account)
        contact = owner.directory.contact_of(message)
        if isinstance(message, GroupMessage):
            name = owner.directory.name_of(uin_of(contact), message.sender)
            return name or str(message.sender)
        return name_of(contact) or str(message.sender)
