"""`OneBotAccount`: an account that an implementation of OneBot 11 holds, as `Client` is WebQQ's.

Three things can be well or not, and are told apart:

- *the connection*: `State.RECONNECTING` while there is none; sends wait.
- *the implementation*: a `HeartbeatLate` when its heartbeats stop; after three of their
  intervals without a frame the connection is given up for a new one.
- *the account*: `State.OFFLINE` while the implementation says that QQ has thrown it out, and
  `State.ONLINE` when it is back.

After each connection come the lists of friends and groups, then what was missed meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...engine.chain import Chain
from ...engine.links import Errback, Next
from ...onebot.v11.actions import Answer
from ...onebot.v11.events import Event, MessageEvent
from ...onebot.v11.values import Fields
from ...protocol.models.content import Content
from ...protocol.models.people import Friend, Group
from ..contacts import Contact, Message, Stranger, name_of, uin_of
from ..context import Loss
from ..incoming import Consumer
from ..quote import Quote
from ..receipt import Receipt, SendError, log_sent
from ..records import MemoryRecords, Records, StoredRecords
from ..state import ClientEvent, State, StateChange
from ..store import Store
from .actions import Actions
from .addresses import transport_of
from .catchup import Peer, latest_of
from .connections import Connections
from .contact_book import ContactBook
from .inbox import NetworkInbox
from .introduction import Introduction
from .limits import SendLimits
from .notifier import Notifier
from .pictures import PICTURE_TYPES, Pictures
from .quotes import Quotes
from .reception import Reception
from .requests import Requests
from .sending import Sending
from .transport import Transport

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["OneBotAccount"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Bytes of a picture.
_PICTURE_SIZE = 10 * 2**20


class OneBotAccount(ContactBook, Actions):
    """One account by OneBot 11, online.

    Args:
        stream: carries all that goes out.
        ways: how to reach the implementation: a URL (see `transport_of`), a `Transport`, or
            several of either: what comes over two of them is handled once.
        token: of the implementation; for all URLs.
        account: QQ number; 0 takes whose implementation it is.
        name: for log lines; by default the QQ number.
        log_level: of lines about states and messages.
        store: keeps messages not sent yet, the history, what came in and was not handled, the
            place in each conversation, and pictures; by default all that is in memory, and
            pictures are fetched when they are wanted.
        limits: pace and sizes of what is sent.
        max_picture_size: bytes; larger pictures are not fetched.
        picture_types: names of types; pictures of others are not kept.

    Raises:
        ValueError: there is no way, an URL is none, or a picture type is unknown.

    Attributes:
        account: as above; known from the first connection on.
        nick: of the account, likewise.
        state: of it.
        implementation: name and version, as it gives them.
        store: as above.

    Example:
        >>> account = OneBotAccount(stream, "ws://127.0.0.1:3001", "secret")
        >>> bot = Bot(account)
        >>> await account.login()
        >>> await account.send(await account.resolve("Ann"), "hello")
    """

    def __init__(
        self,
        stream: HTTPStream,
        ways: str | Transport | Iterable[str | Transport],
        token: str = "",
        *,
        account: int = 0,
        name: str = "",
        log_level: int = logging.INFO,
        store: Store | None = None,
        limits: SendLimits | None = None,
        max_picture_size: int = _PICTURE_SIZE,
        picture_types: Iterable[str] = PICTURE_TYPES,
    ) -> None:
        given = [ways] if isinstance(ways, str) or not isinstance(ways, Iterable) else list(ways)
        if not given:
            raise ValueError("give at least one URL of an implementation")
        super().__init__()
        self.stream = stream
        transports = [
            transport_of(stream, way, token) if isinstance(way, str) else way for way in given
        ]
        self.account, self.nick, self.name = account, "", name or str(account or "new account")
        self._has_name = bool(name)
        self.log_level, self.store = log_level, store
        self.state = State.OFFLINE
        self.implementation = ""
        self.records: Records = MemoryRecords()
        self._notifier = Notifier(self)
        self._inbox = NetworkInbox(self, self._notifier)
        self._sending = Sending(self, limits or SendLimits())
        self._pictures = Pictures(self, max_picture_size, picture_types)
        self._quotes = Quotes(self)
        self._requests = Requests()
        self._introduction = Introduction(self, self.directory)
        self._connections = Connections(self, transports)
        heartbeats = self._connections.heartbeats
        self._reception = Reception(self, self._inbox, self._requests, heartbeats)
        self._catchup = self._reception.catchup
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_started = self._is_known = False

    def __repr__(self) -> str:
        return f"<OneBotAccount {self.account} {self.state.value}>"

    # -- for its users -------------------------------------------------------------------------

    @property
    def transports(self) -> list[Transport]:
        """Ways to the implementation."""
        return self._connections.transports

    @property
    def is_online(self) -> bool:
        """True while messages can be sent."""
        return self.state is State.ONLINE

    @property
    def outbox_size(self) -> int:
        """Messages that were accepted and are not delivered."""
        return len(self._sending)

    @property
    def skew(self) -> float:
        """Seconds that the implementation's clock is ahead of ours, as its events tell."""
        return self._connections.heartbeats.skew

    def has_sent(self, message_id: int) -> bool:
        """Return True if a message was sent from here.

        Args:
            message_id: as a `Reply` has it.
        """
        return self._sending.is_known(message_id)

    async def quote_of(self, message: Message) -> Quote | None:
        """The message that another one answers; fetched from the implementation.

        Args:
            message: as listeners get it.

        Returns:
            It; None if the message answers none, or the implementation does not have it, or does
            not say so within some seconds.
        """
        return await self._quotes.of(message)

    def sender_name(self, message: Message) -> str:
        """Display name of a message's author.

        Args:
            message: as listeners get it.
        """
        return self._inbox.sender_name(message)

    def is_own(self, message: Message) -> bool:
        """Return True if the account itself wrote it, elsewhere.

        Args:
            message: as listeners get it.
        """
        return message.sender == self.account

    def on_event(
        self, listener: Callable[[ClientEvent], object]
    ) -> Callable[[ClientEvent], object]:
        """Have a function called with each `StateChange`, message and event. See `Client.on_event`.

        Args:
            listener: gets them one by one; may be `async def`.
        """
        self._notifier.listeners.add(listener)
        self.call_soon(self._notifier.incoming.hand_out)
        return listener

    def on_incoming(self, consumer: Consumer) -> Consumer:
        """Have a function called with each message, which says when it is handled.

        Args:
            consumer: gets an `IncomingMessage`; see `Client.on_incoming`.
        """
        self._notifier.incoming.add(consumer)
        return consumer

    async def login(self, password: str = "", *, is_patient: bool = False) -> None:
        """Connect, and stay so until `logout`: an account that is away comes back by itself.

        By a reverse WebSocket, or by POST, it waits until the implementation connects.

        Args:
            password: of no meaning here: there is a token, given from the beginning.
            is_patient: wait for an implementation that is not there yet, however long.

        Raises:
            LoginError: the token is refused, or the implementation holds another account.
            ActionFailed: the implementation does not answer with sense.
            StreamError: there is no implementation. (Later on the account tries again.)
            OSError: the port to listen on is taken.
        """
        self._set_state(State.CONNECTING)
        self.is_started = True
        await self._connections.open(is_patient=is_patient)

    def leave(self) -> None:
        """Disconnect; the account itself stays online, as its implementation holds it."""
        self.end(State.REJECTED if self.state is State.REJECTED else State.OFFLINE, "left")

    async def logout(self) -> None:
        """The same as `leave`: only the implementation can log the account out of QQ."""
        self.leave()

    async def flush(self) -> None:
        """Wait until the outbox is empty: each message was delivered or has failed."""
        while receipts := self._sending.receipts:
            await asyncio.wait(receipts)

    def send(self, contact: Contact, content: Content | str) -> asyncio.Future[Receipt]:
        """Send a message; messages to one contact arrive in the order of the calls.

        While the account is not connected they wait. A message whose outcome is unknown is
        looked for before it is sent again, see `webqq_tornado.client.onebot.conversation_queue`.

        Args:
            contact: a friend, a group, or a stranger.
            content: a text, or text, faces, `At`, `Reply` and `Attachment`. What is over
                `SendLimits.max_bytes` goes in several messages, or forwarded as one.

        Returns:
            A future: the receipt, or `SendError`. It need not be awaited.

        Raises:
            TypeError: it is no contact.
            ValueError: there is nothing in it.
            StoreError: the store cannot be written.
        """
        if not isinstance(contact, (Friend, Group, Stranger)):
            raise TypeError(
                f"send to {contact!r}: give a contact, as `await account.resolve(name)` finds it"
            )
        content = Content.of(content) if isinstance(content, str) else content
        if not content.text.strip():
            raise ValueError("a message has some content")
        if self.state is State.REJECTED or not self.is_started:
            receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
            why = f"{self.name} is {self.state.value}: log in first"
            receipt.set_exception(SendError(f"not sent to {name_of(contact)}: {why}"))
        else:
            receipt = self._sending.put(contact, content)
        receipt.add_done_callback(self._log_sent)
        return receipt

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """See `Actions`."""
        return await self._connections.answer_to(action, params, timeout)

    # -- online and offline --------------------------------------------------------------------

    async def introduce(self) -> None:
        """Find out who is there, and be online or offline as they say."""
        who = await self._introduction.identity(self.account)
        self.account, self.nick, self.implementation = who
        self._quotes.forget()
        if not self._has_name:
            self.name = str(self.account)
        await self._introduction.contacts(self.account)
        is_online = await self._introduction.is_online()
        self._on_known()
        if is_online:
            self._go_online()
        else:
            self._go_offline("the account is offline, says its implementation")
        self._reception.resume()

    def _on_known(self) -> None:
        """The account is known: its records can be used."""
        if self._is_known:
            return
        self._is_known = True
        if self.store is not None:
            self.store.claim(self.account, self.transports[0].name)
            self.records = StoredRecords(self.store, self.account)
        self._inbox.load()
        for receipt in self._sending.restore():
            receipt.add_done_callback(self._log_sent)

    def _go_online(self) -> None:
        self._set_state(State.ONLINE)
        self._connections.succeed()
        self._notifier.incoming.resume()
        self._sending.resume()
        self._reception.catch_up()
        known = [one for gid, one in self.groups.items() if gid in self._inbox.known_groups]
        self._begin(self._introduction.members(*known))

    def _go_offline(self, why: str) -> None:
        """The account is offline, its implementation is there."""
        self._connections.succeed()
        self._set_state(State.OFFLINE, why, logging.WARNING)

    def _begin(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self, state: State, reason: str, level: int | None = None) -> None:
        """No connection, and none to come.

        Args:
            state: of the account from now on.
            reason: in words; may be empty.
            level: of the log line; None for the account's own.
        """
        self.is_started = False
        self._connections.close()
        current = asyncio.current_task()
        for task in tuple(self._tasks):
            if task is not current:
                task.cancel()
        self._reception.close()
        self._pictures.close()
        if self._is_known and self.store is not None:
            self.store.release(self.account)
        self._is_known = False
        self._set_state(state, reason, level)
        self._sending.abandon(f"{self.name} is {state.value}" + (reason and f" ({reason})"))

    # -- events --------------------------------------------------------------------------------

    def pause(self) -> None:
        """There is no connection: what comes next waits until it is known what was missed."""
        self._reception.pause()

    def reconnect(self, why: str) -> None:
        """The connection is lost; another one is on its way.

        Args:
            why: in words.
        """
        self._set_state(State.RECONNECTING, why)

    def take(self, event: Event, source: str) -> None:
        """Take an event that came over a connection.

        Args:
            event: as it came.
            source: name of the connection.
        """
        self._reception.receive(event, source)

    def is_sent(self, event: MessageEvent) -> bool:
        """Return True if a message of the account itself was sent from here.

        Args:
            event: as it came.
        """
        return self._sending.on_own(event)

    def on_health(self, *, is_online: bool, why: str = "") -> None:
        """The implementation says whether QQ has the account online.

        Args:
            is_online: or thrown out.
            why: in its words.
        """
        if not is_online and self.state is State.ONLINE:
            self._go_offline(why or "the account is offline, says its implementation")
        elif is_online and self.state is State.OFFLINE and self.is_started and self._is_known:
            self._connections.greet()

    def refresh(self, group: int) -> None:
        """Fetch friends and groups again, and the members of one.

        Args:
            group: number; 0 for none.
        """
        self._begin(self._introduction.refresh(self.account, group))

    def on_message(self, message: Message) -> None:
        """A message is new: its pictures are fetched, as their URLs last for hours.

        Args:
            message: as bots have it.
        """
        self._pictures.fetch_all(message.content)

    # -- what its parts need -------------------------------------------------------------------

    async def latest_of(self, contact: Contact, since: float) -> list[MessageEvent] | None:
        """The latest messages of a conversation; None where no history is available.

        Args:
            contact: which.
            since: Unix time, by the implementation's clock: only from then on.
        """
        peer = Peer(isinstance(contact, Group), uin_of(contact))
        return await latest_of(self, peer, since)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, in its next turn.

        Args:
            function: without arguments.
        """
        self.stream.ioloop.add_callback(function)

    def add_chain(self, first: Next, name: str, errback: Errback | None = None) -> Chain:
        """Start a chain in the account's name.

        Args:
            first: its first link.
            name: what it does.
            errback: of it.
        """
        return self.stream.add_request(first, errback=errback, name=f"{self.account} {name}")

    def report_loss(self, loss: Loss) -> None:
        """Connect anew.

        Args:
            loss: why.
        """
        self._connections.restart(loss.reason)

    def _set_state(self, state: State, reason: str = "", level: int | None = None) -> None:
        if state is not self.state:
            self.state = state
            why = reason and f" ({reason})"
            logger.log(level or self.log_level, "%s: %s%s", self.name, state.value, why)
            self.tell(StateChange(state, reason))

    def tell(self, event: ClientEvent) -> None:
        """Tell listeners of an event.

        Args:
            event: which.
        """
        self._notifier.tell(event)

    def _log_sent(self, receipt: asyncio.Future[Receipt]) -> None:
        log_sent(receipt, self.name, self.log_level)
