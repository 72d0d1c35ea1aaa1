"""Delivery of messages to consumers, each of which acknowledges them; redelivery of the rest.

A consumer (a bot) gets each message as an `IncomingMessage`, and acknowledges it. Messages that
are not acknowledged when the process ends are on record, and the next process delivers them,
marked as `again`. It does the same with messages that came while nobody listened.

A message whose handling ends the process each time must not do so for ever: after `MAX_TRIES`
tries it is dropped. To know which message it was, those whose handling had begun are delivered
one by one, before all others; newer messages wait for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

from ..engine.chain import Chain
from ..engine.errors import StreamError
from ..engine.links import Errback, Link, Next
from ..protocol.errors import ProtocolError, RefusedError
from .address import Address
from .contacts import Contact, Contacts, Message
from .context import Loss
from .directory import LOST, recovery_of
from .records import Records
from .unhandled import Unhandled, message_in, placeholder

__all__ = ["MAX_TRIES", "Consumer", "IncomingMessage", "IncomingQueue"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Times that the handling of a message may begin, so that one that ends the process is dropped.
MAX_TRIES = 3
#: Seconds that others wait for a message whose handling ended a process: it mostly does so at
#: once.
PATIENCE_SECONDS = 10.0
#: Messages that wait while nobody listens; the oldest are dropped first.
MAX_WAITING = 10_000
#: Times that the server is asked again for a contact, and seconds before that.
FIND_TRIES, FIND_PAUSE = 3, 1.0
#: Characters of a message's text in a log line.
SHOWN = 60


class Context(Protocol):
    """The part of a `ClientContext` that incoming messages use; other accounts have it, too."""

    @property
    def name(self) -> str:
        """Name for log lines."""

    @property
    def records(self) -> Records:
        """Records of messages."""

    @property
    def is_online(self) -> bool:
        """True while contacts can be found."""

    @property
    def report_loss(self) -> Callable[[Loss], None]:
        """Called when the session does not work any more."""

    def add_chain(self, first: Next, name: str, errback: Errback | None = None) -> Chain:
        """Start a chain in the account's name."""

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on the loop."""


class Finder(Protocol):
    """The part of a directory that incoming messages use."""

    @property
    def contacts(self) -> Contacts:
        """Contacts of the present session."""

    @property
    def mark(self) -> str:
        """A mark of the session."""

    def find(self, address: Address, then: Callable[[Contact | None], Link]) -> Link:
        """Find the contact at an address, which may take requests."""


class IncomingMessage:
    """A message that consumers handle and acknowledge.

    Args:
        records: keep it until it is handled.
        mark: its key there.
        message: with uins of the present session.
        again: whether an earlier process received it and did not handle it.
        tries: times that its handling had begun.
        contact: its conversation, if the message alone does not identify it.
        sender: name of the author, likewise.
        late: whether it came in while the account was not connected, and was fetched later.

    Attributes:
        message: as above.
        again: as above.
        tries: as above; without this time.
        contact: as above.
        sender: as above.
        late: as above.

    Example:
        >>> @client.on_incoming
        ... def heard(incoming):
        ...     incoming.begin()
        ...     print(incoming.message.content)
        ...     incoming.done()
    """

    __slots__ = (
        *("_consumers", "_is_begun", "_mark", "_on_calm", "_records"),
        *("again", "contact", "is_heard", "late", "message", "sender", "tries"),
    )

    def __init__(
        self,
        records: Records,
        mark: bytes,
        message: Message,
        *,
        again: bool = False,
        tries: int = 0,
        contact: Contact | None = None,
        sender: str = "",
        late: bool = False,
    ) -> None:
        self._records, self._mark = records, mark
        self.message, self.again, self.tries = message, again, tries
        self.contact, self.sender, self.late = contact, sender, late
        self.is_heard = False  # plain listeners have heard it
        self._is_begun = False
        self._consumers = 0
        self._on_calm: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<IncomingMessage of {self.message!r}{' again' if self.again else ''}>"

    def begin(self) -> None:
        """Note that the handling begins: if the process ends now, this message may be the cause."""
        if not self._is_begun:
            self._is_begun = True
            self._records.begin_handling(self._mark)

    def calm(self) -> None:
        """Note that the handling waits for an answer: other messages need not wait for it."""
        on_calm, self._on_calm = self._on_calm, None
        if on_calm is not None:
            on_calm()

    def done(self) -> None:
        """Acknowledge it for one consumer; after the last one it is not delivered again."""
        self._consumers -= 1
        if self._consumers <= 0:
            self._records.handled(self._mark)
            self.calm()

    def hand_to(self, consumers: list[Consumer], on_calm: Callable[[], object] | None) -> None:
        """Deliver it to all consumers.

        Args:
            consumers: each must acknowledge it; without any it is handled at once.
            on_calm: called when other messages need not wait for it any more.
        """
        self._consumers, self._on_calm = len(consumers), on_calm
        if not consumers:
            self.done()
        for consumer in consumers:
            try:
                consumer(self)
            except Exception:
                logger.exception("a consumer failed on %r", self)
                self.done()


#: Gets each message, and calls `IncomingMessage.done`.
Consumer: TypeAlias = Callable[[IncomingMessage], object]


class IncomingQueue:
    """Messages of a client that consumers have not handled yet.

    Args:
        context: of the client.
        directory: finds the conversations of messages from earlier processes.
        notify_listeners: gets each message once; returns True if a listener has heard it.
    """

    def __init__(
        self,
        context: Context,
        directory: Finder,
        notify_listeners: Callable[[Message], bool],
    ) -> None:
        self._context = context
        self._directory = directory
        self._notify_listeners = notify_listeners
        self._consumers: list[Consumer] = []
        self._queue: deque[IncomingMessage] = deque()
        self._records: Records | None = None  # whose unhandled messages were read
        self._stored: deque[Unhandled] = deque()  # of earlier processes, contact not found yet
        self._found: list[IncomingMessage] = []  # of these, contact found
        self._is_finding = False
        self._find_tries = 0
        self._suspect: IncomingMessage | None = None  # may end the process; others wait

    @property
    def has_consumers(self) -> bool:
        """True while a consumer acknowledges messages."""
        return bool(self._consumers)

    def add(self, consumer: Consumer) -> None:
        """Add a consumer.

        Args:
            consumer: gets each message.
        """
        self._consumers.append(consumer)
        self._context.call_soon(self.hand_out)

    def enqueue(
        self,
        mark: bytes,
        message: Message,
        *,
        is_heard: bool,
        contact: Contact | None = None,
        late: bool = False,
    ) -> None:
        """Add a new message.

        Args:
            mark: its key in the records.
            message: as it came.
            is_heard: whether plain listeners have heard it.
            contact: see `IncomingMessage`.
            late: see there.
        """
        records = self._context.records
        incoming = IncomingMessage(records, mark, message, contact=contact, late=late)
        incoming.is_heard = is_heard
        self._queue.append(incoming)
        self.hand_out()
        if len(self._queue) > MAX_WAITING:
            logger.warning("%s: nobody handles messages: the oldest is dropped", self._context.name)
            self._queue.popleft().hand_to([], None)

    def resume(self) -> None:
        """Start delivery in a new session, with the messages of earlier processes."""
        if self._records is not self._context.records:
            self._records = self._context.records
            self._stored = deque(self._records.unhandled())
        self.hand_out()

    def pause(self) -> None:
        """Note that the session has ended, and with it the chain that finds contacts."""
        self._is_finding = False

    def hand_out(self) -> None:
        """Deliver waiting messages, as far as they may be now."""
        if self._consumers and self._stored:
            self._find_stored()
            return
        while self._queue and self._suspect is None and not self._is_finding:
            incoming = self._queue[0]
            if not incoming.is_heard and not incoming.again:
                incoming.is_heard = self._notify_listeners(incoming.message)
            if not self._consumers and not incoming.is_heard:
                return  # nobody listens
            self._hand_out(self._queue.popleft())

    # -- what earlier processes have left -------------------------------------------------------

    def _hand_out(self, incoming: IncomingMessage) -> None:
        if not incoming.tries:
            incoming.hand_to(self._consumers, None)
            return
        self._suspect = incoming

        def go_on() -> None:
            timer.cancel()
            if self._suspect is incoming:
                self._suspect = None
                self._context.call_soon(self.hand_out)

        timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, go_on)
        incoming.hand_to(self._consumers, go_on)

    def _find_stored(self) -> None:
        """Find the conversations of what is stored, one after the other."""
        if self._is_finding or not self._context.is_online:
            return
        self._is_finding = True
        link = self._find_next()
        if isinstance(link, Next):
            self._context.add_chain(link, "find senders", self._on_error)

    def _find_next(self) -> Link:
        link: Link = None
        while self._stored and link is None:
            link = self._find(self._stored[0])
        if link is None and self._is_finding:
            self._is_finding = False
            # Those that may end the process come first: no other handling runs then.
            self._queue.extendleft(sorted(self._found, key=lambda one: not one.tries)[::-1])
            self._found = []
            self._context.call_soon(self.hand_out)
        return link

    def _find(self, stored: Unhandled) -> Link:
        if stored.tries >= MAX_TRIES:
            self._drop(stored)
            return None
        is_at_hand = True

        def then(contact: Contact | None) -> Link:
            self._on_conversation(stored, contact)
            return None if is_at_hand else self._find_next()

        link = self._directory.find(stored.address, then)
        is_at_hand = False
        return link

    def _on_conversation(self, stored: Unhandled, contact: Contact | None) -> None:
        """Queue a stored message: its conversation is found, or exists no longer."""
        self._stored.popleft()
        self._find_tries = 0
        conversation = contact or placeholder(stored.address)
        try:
            message, sender = self._message_in(stored, conversation)
        except ValueError as error:
            self._log_dropped(stored, "a message", f"it cannot be read ({error})")
            return
        self._found.append(
            IncomingMessage(
                self._context.records,
                stored.mark,
                message,
                again=True,
                tries=stored.tries,
                contact=conversation,
                sender=sender,
            )
        )

    def _message_in(self, stored: Unhandled, conversation: Contact) -> tuple[Message, str]:
        directory = self._directory
        return message_in(stored, directory.contacts, directory.mark, conversation)

    def _drop(self, stored: Unhandled) -> None:
        self._stored.popleft()
        try:
            message, sender = self._message_in(stored, placeholder(stored.address))
            text = message.content.text
            what = f"{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'!r} of {sender}"
        except ValueError:
            what = "a message"
        why = f"its handling was begun {stored.tries} times, and the program ended each time"
        self._log_dropped(stored, what, why)

    def _log_dropped(self, stored: Unhandled, what: str, why: str) -> None:
        self._context.records.handled(stored.mark)
        logger.error(
            "%s: dropped: %s, in the conversation with %s: %s; it is in the history",
            *(self._context.name, what, stored.address.name, why),
        )

    def _on_error(self, error: Exception) -> Link:
        if isinstance(error, RefusedError) and error.action in LOST:
            self._context.report_loss(Loss(str(error), recovery_of(error.action)))
            return None
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        self._find_tries += 1
        if self._find_tries >= FIND_TRIES:
            self._on_conversation(self._stored[0], None)
        link = self._find_next()
        return link._replace(delay=FIND_PAUSE) if isinstance(link, Next) else link
