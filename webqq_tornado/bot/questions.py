"""Open questions of a bot, and the persons whose answers they wait for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from ..client.contacts import Contact, kind_of, name_of, uin_of
from .account import Account
from .message import Message, Person

__all__ = ["NoAnswerError", "PendingQuestions"]


class NoAnswerError(TimeoutError):
    """A question was not answered in time; names the person and the question."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    """One question.

    Another session has other uins: then the conversation and the person are recognized by their
    QQ numbers, or by a name that is unique there.
    """

    client: Account
    contact: Contact
    person: Person | None
    mark: str
    known: _Known
    known_person: _Known | None
    answer: asyncio.Future[Message]

    def is_answered_by(self, message: Message) -> bool:
        contact, sender = message.contact, message.sender
        if message.client is not self.client or self.answer.done():
            return False
        if kind_of(contact) is not kind_of(self.contact):
            return False
        if self.client.session_mark == self.mark:
            is_here = uin_of(contact) == uin_of(self.contact)
            return is_here and self.person in (None, sender)
        return _is_same(self.known, _known(self.client, contact)) and (
            self.known_person is None
            or _is_same(self.known_person, _known(self.client, sender.contact))
        )


class _Known(NamedTuple):
    """A contact in any session: by number, else by name."""

    name: str
    number: int
    has_namesake: bool


def _known(client: Account, contact: Contact) -> _Known:
    contacts = client.contacts
    return _Known(name_of(contact), contacts.number(contact), contacts.has_namesake(contact))


def _is_same(one: _Known, other: _Known) -> bool:
    if one.number and other.number:
        return one.number == other.number
    return one.name == other.name and not (one.has_namesake or other.has_namesake)


class PendingQuestions:
    """The open questions, in the order of asking.

    Example:
        >>> answer = asks.expect(client, friend, None)
        >>> text = (await answer).text
    """

    def __init__(self) -> None:
        self._open: list[_Ask] = []

    def __len__(self) -> int:
        return len(self._open)

    def expect(
        self, client: Account, contact: Contact, person: Person | None
    ) -> asyncio.Future[Message]:
        """A future of the next message; cancel it to close the question.

        Args:
            client: that receives the answer.
            contact: conversation of the answer.
            person: author of the answer; None for anybody in the conversation.
        """
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        known_person = _known(client, person.contact) if person else None
        mark = client.session_mark
        ask = _Ask(client, contact, person, mark, _known(client, contact), known_person, answer)
        self._open.append(ask)
        answer.add_done_callback(lambda _done: self._open.remove(ask))
        return answer

    def answer(self, message: Message) -> bool:
        """Pass a message to the question that it answers; return True if there is one.

        Args:
            message: received.
        """
        ask = next((ask for ask in self._open if ask.is_answered_by(message)), None)
        if ask is not None:
            ask.answer.set_result(message)
        return ask is not None
