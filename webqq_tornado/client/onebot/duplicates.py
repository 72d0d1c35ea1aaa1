"""The same message heard twice: over two transports, after a reconnect, or from the account itself.

A message is known by (self_id, message_id), with its conversation, author and time, as ids of 32
bits collide, and as those of a counter begin anew with its implementation. Two implementations of
one account give other ids to the same message: it is known by its text and second then, counted
for each source, so that a person who says the same twice in a second is heard twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict

from ...onebot.v11.events import MessageEvent
from ...onebot.v11.segments import Segments, build_string

__all__ = ["Duplicates", "mark_of"]

#: Messages that are remembered.
REMEMBERED = 5000


def mark_of(event: MessageEvent) -> bytes:
    """The same for the same message, also in the next process.

    Args:
        event: as it came, or as a history has it.
    """
    told = (event.message_id, event.group_id or event.peer, event.user_id, event.time)
    return hashlib.sha256(repr(told).encode()).digest()[:16]


class Duplicates:
    """Tells repeated messages from new ones.

    Example:
        >>> duplicates = Duplicates()
        >>> event = MessageEvent(1, 2, 5, ())
        >>> duplicates.is_new(event, "a"), duplicates.is_new(event, "b")
        (True, False)
    """

    def __init__(self) -> None:
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._counts: OrderedDict[tuple[object, ...], Counter[str]] = OrderedDict()

    def is_new(self, event: MessageEvent, source: str) -> bool:
        """Note a message; return True if it is not known.

        Args:
            event: as it came.
            source: the transport, or the history, that it came from.
        """
        mark = mark_of(event)
        if mark in self._marks:
            self._count(event, source)
            return False
        self._marks[mark] = None
        while len(self._marks) > REMEMBERED:
            self._marks.popitem(last=False)
        return self._count(event, source)

    def has(self, event: MessageEvent) -> bool:
        """Return True if a message is known.

        Args:
            event: as a history has it.
        """
        return mark_of(event) in self._marks

    def _count(self, event: MessageEvent, source: str) -> bool:
        key = (event.peer, event.user_id, event.time, build_string(_plain(event)))
        counts = self._counts.setdefault(key, Counter())
        accepted = max(counts.values(), default=0)
        counts[source] += 1
        while len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        return counts[source] > accepted


def _plain(event: MessageEvent) -> Segments:
    """Texts, mentions and faces: files have other names in other implementations."""
    return tuple(one for one in event.message if one.type in ("text", "at", "face"))
