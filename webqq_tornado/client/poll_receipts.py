"""The answers to poll that have arrived: what the server is told of them, and what it repeats."""

from __future__ import annotations

from ..protocol.models.events import Event
from .contacts import Message

__all__ = ["Received"]


class Received:
    """The last answer of a session that has arrived.

    A server whose session is taken up again gives its last answer once more. Messages have a
    number by which the inbox knows them; other events have none, so those of the last answer
    are remembered here.

    Attributes:
        last_id: msg_id of the last message that was taken in; 0 before the first.
        repeats: how often the last answer came again, word by word, one time after the other.
    """

    def __init__(self) -> None:
        self.last_id = self.repeats = 0
        self._whole: tuple[Event, ...] = ()  # the last answer
        self._news: tuple[Event, ...] = ()  # of the last answer that was taken in
        self._answer: tuple[Event, ...] = ()  # the same of the one that is being taken in
        self._may_repeat = False

    def expect_repeat(self) -> None:
        """The session is taken up again: the next answer may begin with the last one."""
        self._may_repeat = True

    def new_of(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """The events of an answer, but for those that are no messages and are a repetition.

        Args:
            events: all that the answer brought, in order.
        """
        self.repeats = self.repeats + 1 if events == self._whole else 0
        self._whole = events
        news = tuple(event for event in events if not isinstance(event, Message))
        is_repeated = self._may_repeat and news[: len(self._news)] == self._news
        repeated = len(self._news) if is_repeated else 0
        self._answer, self._may_repeat = news, False
        fresh = []
        for event in events:
            if not isinstance(event, Message) and repeated:
                repeated -= 1
            else:
                fresh.append(event)
        return tuple(fresh)

    def note(self, events: tuple[Event, ...]) -> None:
        """The last answer was taken in.

        Args:
            events: as `new_of` returned them.
        """
        self._news = self._answer
        ids = [event.msg_id for event in events if isinstance(event, Message)]
        self.last_id = max([self.last_id, *ids])
