"""`Rule`: which messages a handler is called with."""

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
from .ratelimit import Rate, RateLimiter

__all__ = ["ContactFilter", "ContactSpec", "Handler", "Rule", "pattern_of", "rule_of"]

#: The lowest QQ number there was.
FIRST_NUMBER = 10_000

#: A function that takes a `Message`; what it returns is ignored; it may be `async def`.
Handler: TypeAlias = Callable[[Message], object]
#: How one says who: a name, mark or QQ number, several of them, or True for any.
ContactSpec: TypeAlias = "str | int | bool | Iterable[str | int]"


@dataclass(frozen=True, slots=True)
class ContactFilter:
    """Some contacts, by what they are called or by their numbers.

    Args:
        names: in lower case.
        numbers: QQ numbers, or groups'.
        is_anybody: all of them.
    """

    names: frozenset[str] = frozenset()
    numbers: frozenset[int] = frozenset()
    is_anybody: bool = False

    @classmethod
    def of(cls, given: ContactSpec, *, has_numbers: bool = True) -> ContactFilter:
        """Build a filter from a specification.

        Args:
            given: see `ContactSpec`. Digits are a number, not a name, which anybody could take;
                those too few for a QQ number are both.
            has_numbers: False of discussions, which have none: then digits are a name.

        Raises:
            TypeError: it is something else.
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
            names: all that they are called.
            number: asks for their number, if names do not tell.
        """
        if self.is_anybody or any(comparable(name) in self.names for name in names if name):
            return True
        return bool(self.numbers) and await number() in self.numbers


@dataclass(frozen=True, slots=True)
class Rule:
    """A handler and its conditions.

    Args:
        handler: is called when all of them are met.
        origins: whom the message must come from, by kind; empty for all.
        without: kinds of origins that are left out.
        text: must be found in it.
        at_me: the bot must be meant.
        command: the first word, in lower case, of what is said to the bot.
        help: what the command does, for users.
        permission: who may; None for all.
        refusal: reply to senders without the permission; empty for none.
        limiter: how often each user may.
        notice: reply, once, to users over the rate; ``{wait}`` is the number of seconds until
            they may again; empty for nothing.
        is_concurrent: the messages that follow do not wait for it.
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
    limiter: RateLimiter | None = None
    notice: str = ""
    is_concurrent: bool = False

    async def applied(self, message: Message) -> Message | None:
        """The message as the handler gets it; None if it does not want it.

        Args:
            message: that came in.

        Raises:
            SendError: a QQ number had to be looked up, and the client is not online.
            StreamError: the server is not there.
            ProtocolError: it does not answer with sense.
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
        """The text after the command's word; None if the message is another one."""
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
    """A rule from what a bot's user has given.

    Args:
        handler: the function.
        origins: None where nothing is given; False leaves a kind out.
        rate: as a text or a value.
        text: as a text or a pattern.
        others: of `Rule`, as they are.

    Raises:
        ValueError: `text` is no regular expression, or `rate` no rate.
        TypeError: `origins` has something that is no name and no number.
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
        limiter=None if rate is None else RateLimiter(Rate.of(rate)),
        **others,
    )


def pattern_of(text: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    """The regular expression that a handler gives.

    Raises:
        ValueError: it is none.
    """
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise ValueError(f"text={text!r} is no regular expression: {error}") from error


def _names(contact: Contact) -> tuple[str, ...]:
    match contact:
        case Friend():
            return contact.mark, contact.nick
        case Group():
            return contact.mark, contact.name
        case Discussion():
            return (contact.name,)
    return (name_of(contact),)
