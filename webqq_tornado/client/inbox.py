"""Receiving: each message once, even if the server repeats it, and recorded before it is handled.

A server repeats a message if it does not know that its last answer arrived: after a lost
connection, and after a restart on either side, then with other uins. The same are msg_id, msg_id2,
seq, time and content.
"""

from __future__ import annotations

import hashlib
import logging
import time

from ..engine.errors import StreamError
from ..engine.links import Link, Next
from ..protocol.errors import ProtocolError
from ..protocol.models.events import DiscussionMessage, FriendMessage, GroupMessage, SessionMessage
from ..protocol.models.people import Discussion, Friend, Group
from .address import Address, Kind
from .contacts import Contact, Message, Stranger, kind_of, name_of, uin_of
from .context import ClientContext
from .directory import Directory
from .history import Entry, dumped
from .unhandled import as_text

__all__ = ["Inbox"]

logger = logging.getLogger("webqq_tornado.webqq")

#: A server's time counts if it differs from ours by at most so many seconds.
_PLAUSIBLE = 366 * 86400


class Inbox:
    """The messages that a client receives.

    Args:
        context: of the client.
        directory: knows the contacts.
    """

    def __init__(self, context: ClientContext, directory: Directory) -> None:
        self._context = context
        self._directory = directory
        self._strangers: set[object] = set()  # senders who are missing in these contacts:
        self._fetched = directory.contacts
        self._asked: set[tuple[Kind, int, str]] = set()  # whose numbers are being looked up

    def receive(self, message: Message, *, is_to_handle: bool = False) -> bytes | None:
        """Record a message.

        Args:
            message: as it came.
            is_to_handle: whether a consumer will acknowledge it.

        Returns:
            Its mark; None for a repetition.
        """
        self._note_numbers(message)
        contact = self.contact_of(message)
        address = self._directory.address_of(contact) or self._unknown(contact)
        mark, entry = mark_of(message), self._entry(message)
        text = as_text(message, entry.sender, self._directory.mark) if is_to_handle else ""
        if not self._context.records.receive(mark, entry, address, text):
            return None
        if self.is_from_stranger(message):
            self._strangers.add(_origin(message))
        if self._context.records.is_kept:
            self._look_up(contact)
        return mark

    def is_own(self, message: Message) -> bool:
        """Return True if the account itself wrote the message, on another device."""
        session = self._context.connection.session
        own = session.uin if session else self._context.account
        return message.sender in (self._context.account, own)

    def contact_of(self, message: Message) -> Contact:
        """The conversation of a message, to which an answer goes.

        Args:
            message: as it came; the account's own belong to their recipients.
        """
        contacts = self._directory.contacts
        match message:
            case GroupMessage():
                group = contacts.groups.get(message.gid)
                return group or Group(message.gid, message.code, str(message.gid))
            case DiscussionMessage():
                discussion = contacts.discussions.get(message.did)
                return discussion or Discussion(message.did, str(message.did))
        other = message.recipient if self.is_own(message) else message.sender
        friend = contacts.friends.get(other)
        if friend is not None or isinstance(message, FriendMessage):
            return friend or Friend(other, str(other))
        return self._stranger(message, other)

    def _stranger(self, message: SessionMessage, uin: int) -> Stranger:
        account = 0 if self.is_own(message) else message.account
        stranger = Stranger(uin, message.origin, int(bool(message.service_type)), "", account)
        origin = self._directory.contacts.origin_of(stranger)
        known = self._directory.contacts.person(origin, uin) if origin else stranger
        return Stranger(uin, message.origin, stranger.service_type, known.nick, account)

    def sender_name(self, message: Message) -> str:
        """Display name of a message's sender.

        Args:
            message: as it came.
        """
        if self.is_own(message):
            return self._context.nick or str(self._context.account)
        contacts = self._directory.contacts
        contact = self.contact_of(message)
        if isinstance(contact, (Group, Discussion)):
            for member in contacts.members(contact):
                if member.uin == message.sender:
                    return member.name or str(message.sender)
            friend = contacts.friends.get(message.sender)
            return friend.name if friend else str(message.sender)
        return name_of(contact)

    def is_from_stranger(self, message: Message) -> bool:
        """Return True if the contacts lack the sender, but may have it after a fetch."""
        contacts = self._directory.contacts
        if self.is_own(message) or contacts.knows(message):
            return False
        if contacts is not self._fetched:  # fresh contacts: the missing may be fetched again
            self._fetched = contacts
            self._strangers.clear()
        return _origin(message) not in self._strangers

    # -- what goes on record ------------------------------------------------------------------

    def _note_numbers(self, message: Message) -> None:
        """Note the numbers in a message, which would cost a request otherwise."""
        directory = self._directory
        if isinstance(message, GroupMessage):
            directory.note_number(Kind.GROUP, message.gid, message.info_seq)
        elif isinstance(message, SessionMessage) and not self.is_own(message):
            directory.note_number(Kind.FRIEND, message.sender, message.account)

    def _entry(self, message: Message) -> Entry:
        context, is_own = self._context, self.is_own(message)
        number = self._directory.contacts.number
        person = Friend(message.sender)
        now = time.time()
        return Entry(
            id=0,
            account=context.account,
            kind=Kind.FRIEND,
            number=0,
            name="",
            sender=self.sender_name(message),
            sender_number=context.account if is_own else number(person),
            is_own=is_own,
            time=float(message.time) if abs(now - message.time) < _PLAUSIBLE else now,
            content=message.content,
        )

    def _unknown(self, contact: Contact) -> Address:
        number, mark = self._directory.contacts.number(contact), self._directory.mark
        return Address(kind_of(contact), name_of(contact), number, uin_of(contact), mark)

    def _look_up(self, contact: Contact) -> None:
        """Look up the contact's number: its name in the record may change."""
        directory = self._directory
        key = (kind_of(contact), uin_of(contact), directory.mark)
        if directory.is_asked(contact) or key in self._asked:
            return
        if directory.address_of(contact) is None:
            return

        def then(_number: int) -> Link:
            self._asked.discard(key)
            return None

        def fail(error: Exception) -> Link:
            self._asked.discard(key)
            if not isinstance(error, (StreamError, ProtocolError)):
                raise error
            logger.debug("%s: no number of %s: %s", self._context.name, name_of(contact), error)
            return None

        link = directory.look_up_number(contact, then)
        if isinstance(link, Next):
            self._asked.add(key)
            self._context.add_chain(link, f"number of {name_of(contact)}", fail)


def mark_of(message: Message) -> bytes:
    """A digest of a message: the same in each session, so without its uins."""
    facts = (
        type(message).__name__,
        message.msg_id,
        message.msg_id2,
        getattr(message, "seq", 0),
        message.time,
        dumped(message.content),
    )
    return hashlib.sha256(repr(facts).encode()).digest()[:16]


def _origin(message: Message) -> object:
    match message:
        case GroupMessage():
            return message.gid, message.sender
        case DiscussionMessage():
            return message.did, message.sender
    return message.sender
