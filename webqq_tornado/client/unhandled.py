"""Messages not handled yet, as text: a later process may deliver them again.

Their uins are valid in one session, so the names go along. In another session the conversation is
found by its address, and the sender by a name that is unique there.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import NamedTuple

from ..protocol.content import parse_dumped
from ..protocol.models.events import DiscussionMessage, FriendMessage, GroupMessage, SessionMessage
from ..protocol.models.people import Discussion, Friend, Group
from .address import Address, Kind
from .contacts import Contact, Contacts, Message, Stranger, uin_of
from .history import dumped

__all__ = ["Unhandled", "as_text", "message_in", "placeholder"]

_TYPES: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (FriendMessage, GroupMessage, DiscussionMessage, SessionMessage)
}


class Unhandled(NamedTuple):
    """A message on record that no consumer has acknowledged.

    Args:
        mark: of the message; see `inbox.mark_of`.
        address: of its conversation.
        text: the message, see `as_text`.
        tries: times that its handling began.
    """

    mark: bytes
    address: Address
    text: str
    tries: int = 0


def as_text(message: Message, sender: str, session: str) -> str:
    """A message as JSON.

    Args:
        message: as it came.
        sender: name of the author.
        session: mark of the session in which its uins hold.
    """
    names = [field.name for field in fields(message) if field.name != "content"]
    value = {
        "type": type(message).__name__,
        "sender": sender,
        "session": session,
        "content": dumped(message.content),
        "fields": {name: getattr(message, name) for name in names},
    }
    return json.dumps(value)


def message_in(
    stored: Unhandled, contacts: Contacts, session: str, contact: Contact
) -> tuple[Message, str]:
    """A message with the uins of the present session, and the name of its author.

    Args:
        stored: the message.
        contacts: of the present session.
        session: its mark.
        contact: the conversation, or its `placeholder` if it was not found.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        value = json.loads(stored.text)
        content = parse_dumped(value["content"])
        message = _TYPES[value["type"]](**value["fields"], content=content)
        sender, was_session = str(value["sender"]), str(value["session"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if was_session != session:
        message = _moved(message, contacts, sender, contact)
    return message, sender


def _moved(message: Message, contacts: Contacts, sender: str, contact: Contact) -> Message:
    """Replace the uins by present ones; 0 if not found: an old uin may mean another contact now."""
    match message, contact:
        case GroupMessage(), Group():
            uin = _member(contacts, contact, sender)
            return replace(message, gid=contact.gid, code=contact.code, sender=uin)
        case DiscussionMessage(), Discussion():
            return replace(message, did=contact.did, sender=_member(contacts, contact, sender))
        case SessionMessage(), Stranger():
            return replace(message, sender=contact.uin, origin=contact.origin)
    return replace(message, sender=uin_of(contact))


def _member(contacts: Contacts, origin: Group | Discussion, name: str) -> int:
    """The uin of the one member of that name; 0 if there is none, or several."""
    uins = [member.uin for member in contacts.members(origin) if member.name == name]
    return uins[0] if len(uins) == 1 else 0


def placeholder(address: Address) -> Contact:
    """A contact for a conversation that the present session lacks: with a name, without a uin.

    Args:
        address: of the conversation.
    """
    match address.kind:
        case Kind.GROUP:
            return Group(0, 0, address.name)
        case Kind.DISCUSSION:
            return Discussion(0, address.name)
        case Kind.STRANGER:
            return Stranger(0, 0, 0, address.name, address.number)
    return Friend(0, address.name)
