"""`Rule`: a handler with its conditions."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from ..client.address import Kind
from ..client.contacts import Contact, comparable, kind_of, name_of, number_in
from ..protocol.models import Discussion, Friend, Group
from .message import Message
from .permissions import Permission
from .ratelimit import Rate, UserRateLimiter

__all__ = ["ContactFilter", "ContactSpec", "Handler", "Rule", "pattern_of", "rule_of"]

#: The lowest QQ number there was.
FIRST_NUMBER = 10_000

#: A function of a `Message`; may be `async def`. Its result is ignored.
Handler: TypeAlias = Callable[[Message], object]
#: A specification of contacts: a name, mark or QQ number, several of them, or True for any.
ContactSpec: TypeAlias = "str | int | bool | Iterable[str | int]"


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """A set of contacts, by names or numbers.

    Args:
        names: in lower case.
        numbers: QQ numbers, or groups' numbers.
        is_anybody: whether it contains all contacts.
    """

    names: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    is_anybody: bool = False

    @classmethod
    def of(cls, given: ContactSpec, *, has_numbers: bool = True) -> ContactFilter:
        """Build a filter from a specification.

        Args:
            given: see `ContactSpec`. Digits are a number, not a name, which anybody could take;
                too few digits for a QQ number are both.
            has_numbers: False for discussions, which have none: then digits are a name.

        Raises:
            TypeError: it is not a specification.
        """
        if given is True:
            return cls(is_anybody=True)
        several: list[Any] = [given]
        if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
            several = list(given)
        for one in several:
            if not isinstance(one, (str, int)) or isinstance(one, bool):
                raise TypeError(f"{one!r}: give a name or a QQ number, or several, or True")
        numbers = {one if isinstance(one, int) else number_in(one) for one in several} - {0}
        names = [
            comparable(one)
            for one in several
            if isinstance(one, str) and not (has_numbers and number_in(one) >= FIRST_NUMBER)
        ]
        return cls(frozenset(names), frozenset(numbers))

    async def has(self, names: Iterable[str], number: Callable[[], Awaitable[int]]) -> bool:
        """Return True if the filter matches a contact.

        Args:
            names: all names of the contact.
            number: looks up its number, if the names do not decide.
        """
        if self.is_anybody or any(comparable(name) in self.names for name in names if name):
            return True
        return bool(self.numbers) and await number() in self.numbers


@dataclass(frozen=True, slots=True)
class Rule:
    """A handler and its conditions.

    Args:
        handler: called when all conditions are met.
        origins: filters of senders or conversations, by kind; empty for all.
        without: excluded kinds of origins.
        text: pattern that must be found.
        at_me: the bot must be addressed or named.
        command: first word to the bot, in lower case.
        help: description of the command, for users.
        permission: required of the sender; None for all.
        refusal: reply to senders without the permission; empty for none.
        limiter: rate of each user.
        notice: reply, once in a period, to users over the rate; ``{wait}`` is the number of
            seconds to wait; empty for none.
        is_concurrent: later messages do not wait for it.
    """

    handler: Handler
    origins: dict[Kind, ContactFilter] = field(default_factory=dict)
    without: frozenset[Kind] = frozenset()
    text: re.Pattern[str] | None = None
    at_me: bool = False
    command: str = ""
    help: str = ""
    permission: Permission | None = None
    refusal: str = ""
    limiter: UserRateLimiter | None = None
    notice: str = ""
    is_concurrent: bool = False

    async def applied(self, message: Message) -> Message | None:
        """The message as the handler gets it; None if a condition fails.

        Args:
            message: received.

        Raises:
            SendError: a QQ number is not known, and the client is not online.
            StreamError: the server cannot be reached.
            ProtocolError: the answer is not WebQQ.
        """
        if self.at_me and not message.at_me:
            return None
        text = message.said if self.at_me else message.text
        if self.command:
            rest = self._rest(message)
            if rest is None:
                return None
            message, text = replace(message, rest=rest), rest
        match = self.text.search(text) if self.text else None
        if self.text and match is None:
            return None
        return replace(message, match=match) if await self._is_from(message) else None

    def _rest(self, message: Message) -> str | None:
        """The text after the command's word; None without that word."""
        said = message.said_to_bot
        if said is None:
            if not message.is_private:
                return None
            said = message.text.strip()
        word, *rest = said.split(None, 1) or [""]
        return "".join(rest) if word.casefold() == self.command else None

    async def _is_from(self, message: Message) -> bool:
        contact = message.contact
        kind = kind_of(contact)
        if kind in self.without:
            return False
        if not self.origins:
            return True
        who = self.origins.get(kind)
        if who is None:
            return False
        return await who.has(_names(contact), lambda: message.client.number_of(contact))


def rule_of(
    handler: Handler,
    *,
    origins: dict[Kind, ContactSpec | None],
    rate: str | Rate | None = None,
    text: str | re.Pattern[str] | None = None,
    **others: Any,
) -> Rule:
    """Build a rule from the arguments of a decorator.

    Args:
        handler: the function.
        origins: specifications by kind; None for no condition, False to exclude the kind.
        rate: text or value.
        text: text or pattern.
        others: arguments of `Rule`.

    Raises:
        ValueError: `text` is not a regular expression, or `rate` not a rate.
        TypeError: `origins` has a value that is neither a name nor a number.
    """
    return Rule(
        handler,
        {
            kind: ContactFilter.of(given, has_numbers=kind is not Kind.DISCUSSION)
            for kind, given in origins.items()
            if given is not None and given is not False
        },
        frozenset(kind for kind, given in origins.items() if given is False),
        text=pattern_of(text),
        limiter=None if rate is None else UserRateLimiter(Rate.of(rate)),
        **others,
    )


def pattern_of(text: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    """Compile the regular expression of a handler.

    Raises:
        ValueError: it is not one.
    """
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise ValueError(f"text={text!r} is not a regular expression: {error}") from error


def _names(contact: Contact) -> tuple[str, ...]:
    match contact:
        case Friend():
            return contact.mark, contact.nick
        case Group():
            return contact.mark, contact.name
        case Discussion():
            return (contact.name,)
    return (name_of(contact),)
