"""Messages on their way to those who handle them, and what is to be handled again.

A consumer (a bot) gets each message as an `IncomingMessage`, and says when it is done with it.
What is not done when the process ends is on record, and the next process hands it out, marked as
`again`. So it does with what was heard while nobody listened.

What ends the process each time must not do so for ever: a message whose handling was begun
`MAX_TRIES` times is dropped. To know which one it was, those that were begun are handed out one
by one, before all others; whatever comes in meanwhile waits for them.
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

#: Times that the handling of a message is begun: a process that ends each time ends no more then.
MAX_TRIES = 3
#: Seconds that others wait for a message whose handling ended a process: most that do so do it
#: at once.
PATIENCE_SECONDS = 10.0
#: Messages that wait while nobody listens; the oldest go first.
MAX_WAITING = 10_000
#: Times that the server is asked again who somebody is, and seconds before that.
FIND_TRIES, FIND_PAUSE = 3, 1.0
#: Characters of a message's text that a log line has.
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
    """A message for those who handle it.

    Args:
        records: where it is until it is handled.
        mark: under which it is there.
        message: with uins of the present session.
        again: whether an earlier process had it and was not done with it.
        tries: how often its handling was begun.
        contact: its conversation, if the message alone does not lead there.
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
        *("again", "contact", "is_told", "late", "message", "sender", "tries"),
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
        self.is_told = False  # plain listeners have heard it
        self._is_begun = False
        self._consumers = 0
        self._on_calm: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"<IncomingMessage of {self.message!r}{' again' if self.again else ''}>"

    def begin(self) -> None:
        """The handling begins: from here on the message may be what ends the process."""
        if not self._is_begun:
            self._is_begun = True
            self._records.begin_handling(self._mark)

    def calm(self) -> None:
        """The handling goes on, and waits for somebody: others need not wait for it."""
        on_calm, self._on_calm = self._on_calm, None
        if on_calm is not None:
            on_calm()

    def done(self) -> None:
        """One consumer has handled it; when all have, it is not handed out any more."""
        self._consumers -= 1
        if self._consumers <= 0:
            self._records.handled(self._mark)
            self.calm()

    def hand_to(self, consumers: list[Consumer], on_calm: Callable[[], object] | None) -> None:
        """Give it to all of them.

        Args:
            consumers: who are to be done with it; none are at once.
            on_calm: is called when others need not wait for it any more.
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
    """The messages of a client that are to be handled.

    Args:
        context: of the client.
        directory: finds the conversations of messages from earlier processes.
        tell_listeners: gets each message once; returns True if a listener has heard it.
    """

    def __init__(
        self,
        context: Context,
        directory: Finder,
        tell_listeners: Callable[[Message], bool],
    ) -> None:
        self._context = context
        self._directory = directory
        self._tell_listeners = tell_listeners
        self._consumers: list[Consumer] = []
        self._queue: deque[IncomingMessage] = deque()
        self._records: Records | None = None  # that were looked into
        self._stored: deque[Unhandled] = deque()  # by earlier processes, not found yet
        self._found: list[IncomingMessage] = []  # of these
        self._is_finding = False
        self._find_tries = 0
        self._suspect: IncomingMessage | None = None  # that others wait for

    @property
    def has_consumers(self) -> bool:
        """True while a consumer acknowledges messages."""
        return bool(self._consumers)

    def add(self, consumer: Consumer) -> None:
        """Hand out messages to somebody else as well.

        Args:
            consumer: gets each.
        """
        self._consumers.append(consumer)
        self._context.call_soon(self.hand_out)

    def take(
        self,
        mark: bytes,
        message: Message,
        *,
        is_told: bool,
        contact: Contact | None = None,
        late: bool = False,
    ) -> None:
        """A message has come in.

        Args:
            mark: under which it is on record.
            message: as it came.
            is_told: whether plain listeners have heard it.
            contact: see `IncomingMessage`.
            late: see there.
        """
        records = self._context.records
        incoming = IncomingMessage(records, mark, message, contact=contact, late=late)
        incoming.is_told = is_told
        self._queue.append(incoming)
        self.hand_out()
        if len(self._queue) > MAX_WAITING:
            logger.warning("%s: nobody handles messages: the oldest goes", self._context.name)
            self._queue.popleft().hand_to([], None)

    def resume(self) -> None:
        """There is a session, in which nothing was heard yet."""
        if self._records is not self._context.records:
            self._records = self._context.records
            self._stored = deque(self._records.unhandled())
        self.hand_out()

    def pause(self) -> None:
        """The session is gone, and with it the chain that finds contacts."""
        self._is_finding = False

    def hand_out(self) -> None:
        """Go on with what waits, as far as it may."""
        if self._consumers and self._stored:
            self._find_stored()
            return
        while self._queue and self._suspect is None and not self._is_finding:
            incoming = self._queue[0]
            if not incoming.is_told and not incoming.again:
                incoming.is_told = self._tell_listeners(incoming.message)
            if not self._consumers and not incoming.is_told:
                return  # nobody is there
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
            self._context.add_chain(link, "find who wrote", self._on_error)

    def _find_next(self) -> Link:
        link: Link = None
        while self._stored and link is None:
            link = self._find(self._stored[0])
        if link is None and self._is_finding:
            self._is_finding = False
            # Those that may end the process come first, so that they end no others' handling.
            self._queue.extendleft(sorted(self._found, key=lambda one: not one.tries)[::-1])
            self._found = []
            self._context.call_soon(self.hand_out)
        return link

    def _find(self, stored: Unhandled) -> Link:
        if stored.tries >= MAX_TRIES:
            self._give_up(stored)
            return None
        is_at_hand = True

        def then(contact: Contact | None) -> Link:
            self._keep(stored, contact)
            return None if is_at_hand else self._find_next()

        link = self._directory.find(stored.address, then)
        is_at_hand = False
        return link

    def _keep(self, stored: Unhandled, contact: Contact | None) -> None:
        """The conversation is found, or is none any more."""
        self._stored.popleft()
        self._find_tries = 0
        conversation = contact or placeholder(stored.address)
        try:
            message, sender = self._message_in(stored, conversation)
        except ValueError as error:
            self._log_given_up(stored, "a message", f"it cannot be read ({error})")
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

    def _give_up(self, stored: Unhandled) -> None:
        self._stored.popleft()
        try:
            message, sender = self._message_in(stored, placeholder(stored.address))
            text = message.content.text
            what = f"{text if len(text) <= SHOWN else text[: SHOWN - 1] + '…'!r} of {sender}"
        except ValueError:
            what = "a message"
        why = f"its handling was begun {stored.tries} times, and the program ended each time"
        self._log_given_up(stored, what, why)

    def _log_given_up(self, stored: Unhandled, what: str, why: str) -> None:
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
            self._keep(self._stored[0], None)
        link = self._find_next()
        return link._replace(delay=FIND_PAUSE) if isinstance(link, Next) else link
