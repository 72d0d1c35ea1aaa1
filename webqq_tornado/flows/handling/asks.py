"""Questions that a bot has asked, and who is to answer them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ..account.contacts import Contact, kind_of, name_of, uin_of
from ..client import Client
from .message import Message, Person

__all__ = ["Asks", "NoAnswerError"]


class NoAnswerError(TimeoutError):
    """Nobody answered in time; says who was asked what."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """One question.

    The conversation is known by its name, too, and so is the person, as soon as the session is
    another one: then the uins are others.
    """

    client: Client
    contact: Contact
    person: Person | None
    mark: str
    answer: asyncio.Future[Message]

    def is_answered_by(self, message: Message) -> bool:
        if message.client is not self.client or self.answer.done():
            return False
        is_same_session = self.client.directory.mark == self.mark
        if kind_of(message.contact) is not kind_of(self.contact):
            return False
        if is_same_session:
            is_here = uin_of(message.contact) == uin_of(self.contact)
            return is_here and self.person in (None, message.sender)
        person = str(self.person) if self.person else None
        return name_of(message.contact) == name_of(self.contact) and person in (
            None,
            str(message.sender),
        )


class Asks:
    """The questions that are open, in the order in which they were asked.

    Example:
        >>> answer = asks.expect(client, friend, None)
        >>> text = (await answer).text
    """

    def __init__(self) -> None:
        self._open: list[_Ask] = []

    def __len__(self) -> int:
        return len(self._open)

    def expect(
        self, client: Client, contact: Contact, person: Person | None
    ) -> asyncio.Future[Message]:
        """A future that gets the next message; cancel it to expect none any more.

        Args:
            client: to which it must come.
            contact: by which conversation.
            person: who must have written it; None for anybody there.
        """
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        ask = _Ask(client, contact, person, client.directory.mark, answer)
        self._open.append(ask)
        answer.add_done_callback(lambda _done: self._open.remove(ask))
        return answer

    def take(self, message: Message) -> bool:
        """Whether a message answers a question, which has its answer then.

        Args:
            message: that came in.
        """
        ask = next((ask for ask in self._open if ask.is_answered_by(message)), None)
        if ask is not None:
            ask.answer.set_result(message)
        return ask is not None
