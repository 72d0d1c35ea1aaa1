"""`Message`, the argument of handlers, and `Person`, its author."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from ..client import contacts
from ..client.contacts import Contact, Stranger, kind_of, name_of, uin_of
from ..client.quote import Quote
from ..client.receipt import Receipt
from ..protocol.models import (
    At,
    Content,
    Discussion,
    Friend,
    Group,
    Member,
    Part,
    Reply,
)
from .account import Account, Incoming
from .mentions import is_mentioned, said_to

__all__ = ["Host", "Message", "Person", "conversation_of", "message_of", "person_in", "with_quote"]


class Host(Protocol):
    """A bot, as its messages see it."""

    async def ask(self, whom: Message, question: Content | str, timeout: float = 60) -> Message:
        """Ask a question, and wait for the answer."""

    def name_for(self, client: Account) -> str:
        """The bot's name for the contacts of a client."""


@dataclass(frozen=True, slots=True)
class Person:
    """The author of a message or the subject of an event; prints as the name.

    Two objects are equal if they are the same person, with whatever name.

    Args:
        client: that has the contact.
        uin: number in this session.
        name: display name.
        contact: for private messages: a friend, or a stranger of a group or discussion.
        is_owner: whether the person owns the group of the message.
        is_admin: whether the person administers that group, as its owner does.

    Example:
        >>> @bot.on_message
        ... async def who(message):
        ...     message.reply(f"{message.sender} is {await message.sender.number()}")
    """

    client: Account = field(repr=False)
    uin: int
    name: str = field(compare=False)
    contact: Friend | Stranger = field(repr=False, compare=False)
    is_owner: bool = field(default=False, compare=False)
    is_admin: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)

    async def number(self) -> int:
        """Get the QQ number; asks the server once a session.

        Returns:
            The number; 0 if the server does not tell.

        Raises:
            SendError: the client is not online.
            StreamError: the server cannot be reached.
            ProtocolError: the answer is not WebQQ.
        """
        return await self.client.number_of(self.contact)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that came in, for a handler.

    Args:
        bot: that got it.
        client: to whose account it came.
        event: as the protocol has it.
        sender: who wrote.
        contact: whom a reply goes to: the friend, group, discussion or stranger.
        match: of the handler's `text=`, or None.
        rest: what follows the word of a command.
        again: whether an earlier process had it, and was not done with it when it ended: its
            handlers may have been called. See `Bot`.
        late: whether it came in while the account was not connected, and was fetched from the
            history later (OneBot).
        quote: the message that this one answers; None if it answers none, or the implementation
            does not have it any more (OneBot).

    Example:
        >>> @bot.on_message(text=r"^good (morning|night)")
        ... def greet(message):
        ...     message.reply(f"good {message.match[1]}, {message.sender}")
    """

    bot: Host = field(repr=False)
    client: Account = field(repr=False)
    event: contacts.Message
    sender: Person
    contact: Contact
    match: re.Match[str] | None = None
    rest: str = ""
    again: bool = False
    late: bool = False
    quote: Quote | None = None

    @property
    def content(self) -> Content:
        """Texts, faces and pictures in order."""
        return self.event.content

    @property
    def text(self) -> str:
        """The plain text, faces as their names in brackets."""
        return self.event.content.text

    @property
    def said(self) -> str:
        """The text without "@name" or "!" at its start."""
        said = self.said_to_bot
        return self.text.strip() if said is None else said

    @property
    def said_to_bot(self) -> str | None:
        """The text after the bot's name, a mention of it, or "!"; None if it starts with none."""
        mentioned = self._said_behind_mention()
        if mentioned is not None:
            return mentioned
        return said_to(self._names, self._spoken, self._others())

    def _said_behind_mention(self) -> str | None:
        """The text behind mentions of the bot at the start; a quoted message is passed over.

        QQ puts a mention of the quoted author behind the quotation, which is none of the user's.
        """
        parts = self.content.parts
        is_mentioned = is_behind_quote = False
        passed = 0
        for part in parts:
            is_me, is_quote = self._is_me(part), isinstance(part, Reply)
            if not (is_me or is_quote or part == " " or (is_behind_quote and isinstance(part, At))):
                break
            is_mentioned, is_behind_quote = is_mentioned or is_me, is_behind_quote or is_quote
            passed += 1
        return Content.of(*parts[passed:]).text.strip(" ,，:：") if is_mentioned else None

    def _is_me(self, part: Part) -> bool:
        return isinstance(part, At) and part.account == self.account

    @property
    def _spoken(self) -> str:
        """The text without mentions, which say by a number whom they mean."""
        return "".join(
            part if isinstance(part, str) else "" if isinstance(part, At) else part.text
            for part in self.content.parts
        )

    @property
    def _names(self) -> tuple[str, ...]:
        """Names of the bot: its own, and its card in the group."""
        group = self.group
        me = self.client.contacts.member(group.gid, self.account) if group else None
        return self.bot.name_for(self.client), me.card if me else ""

    def _others(self) -> Iterator[str]:
        """Names of the other members of the group or discussion."""
        contacts = self.client.contacts
        if isinstance(self.contact, (Group, Discussion)):
            for member in contacts.members(self.contact):
                if member.uin not in (self.account, contacts.own):
                    yield member.nick
                    yield member.card if isinstance(member, Member) else ""

    @property
    def time(self) -> int:
        """Time of arrival at the server: Unix time in seconds."""
        return self.event.time

    @property
    def account(self) -> int:
        """QQ number of the account that received it."""
        return self.client.account

    @property
    def group(self) -> Group | None:
        """The group of the message; None for other conversations."""
        return self.contact if isinstance(self.contact, Group) else None

    @property
    def discussion(self) -> Discussion | None:
        """The discussion of the message; None for other conversations."""
        return self.contact if isinstance(self.contact, Discussion) else None

    @property
    def is_private(self) -> bool:
        """True for a private message, from a friend or a stranger."""
        return not isinstance(self.contact, (Group, Discussion))

    @property
    def is_from_stranger(self) -> bool:
        """True for a message from a non-friend, by way of a group or discussion."""
        return isinstance(self.contact, Stranger)

    @property
    def at_me(self) -> bool:
        """True in private, and where the bot is addressed, named or quoted."""
        if self.is_private or self.said_to_bot is not None:
            return True
        quoted = (part.id for part in self.content.parts if isinstance(part, Reply))
        if any(map(self._is_me, self.content.parts)) or any(map(self.client.has_sent, quoted)):
            return True
        if self.quote is not None and self.quote.sender == self.account:
            return True
        return is_mentioned(self._names, self._spoken, self._others())

    def reply(self, content: Content | str, *, at_sender: bool = False) -> asyncio.Future[Receipt]:
        """Reply to the conversation of the message.

        Args:
            content: content or text.
            at_sender: begin with "@name" of the sender, except in private.

        Returns:
            A future of the receipt; raises `SendError`. It need not be awaited.

        Raises:
            ValueError: the content is empty.
        """
        if at_sender and not self.is_private:
            content = Content.of(content) if isinstance(content, str) else content
            number = self.client.contacts.number(self.sender.contact)
            at = At(number, str(self.sender)) if number else f"@{self.sender}"
            content = Content.of(at, " ", *content.parts, font=content.font)
        return self.client.send(self.contact, content)

    async def ask(self, question: Content | str, timeout: float = 60) -> Message:
        """Ask the sender a question in the conversation, and wait for the answer. See `Bot.ask`.

        Args:
            question: content or text.
            timeout: seconds.
        """
        return await self.bot.ask(self, question, timeout)

    def with_text(self, text: str) -> Message:
        """A copy of the message with another text, for middlewares.

        Args:
            text: of the copy.
        """
        return replace(self, event=replace(self.event, content=Content.of(text)))


def message_of(bot: Host, client: Account, incoming: Incoming) -> Message:
    """Convert a client's incoming message to the one that handlers receive.

    Args:
        bot: that received it.
        client: that received it.
        incoming: as the client delivers it.
    """
    event = incoming.message
    contact = incoming.contact or client.contact_of(event)
    sender = person_in(client, contact, event.sender)
    if not event.sender and incoming.sender:  # of an earlier session, and missing in this one
        sender = replace(sender, name=incoming.sender)
    return Message(bot, client, event, sender, contact, again=incoming.again, late=incoming.late)


async def with_quote(message: Message) -> Message:
    """The message, with the one that it answers.

    Args:
        message: as `message_of` makes it.
    """
    if not any(isinstance(part, Reply) for part in message.content.parts):
        return message
    return replace(message, quote=await message.client.quote_of(message.event))


def person_in(client: Account, contact: Contact, uin: int) -> Person:
    """A member of a group or discussion, a friend or a stranger.

    Args:
        client: that has the contact.
        contact: the conversation.
        uin: of the person.
    """
    if isinstance(contact, (Friend, Stranger)):
        return Person(client, uin, name_of(contact) or str(uin), contact)
    contacts = client.contacts
    member = next((one for one in contacts.members(contact) if one.uin == uin), None)
    person = contacts.person(contact, uin)
    name = (member.name if member else "") or name_of(person)
    is_owner = is_admin = False
    if isinstance(contact, Group):
        details = contacts.details.get(contact.gid)
        is_owner = details is not None and details.owner == uin
        is_admin = is_owner or (isinstance(member, Member) and member.flag % 2 == 1)
    return Person(client, uin, name, person, is_owner, is_admin)


def conversation_of(message: Message) -> object:
    """A key that all messages of one conversation share, also in the next session."""
    client, contact = message.client, message.contact
    # Only namesakes are distinguished by a uin, which the next session does not have.
    uin = uin_of(contact) if client.contacts.has_namesake(contact) else 0
    return client.account, kind_of(contact), name_of(contact), uin
