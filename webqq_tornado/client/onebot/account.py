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
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...engine.chain import Chain
from ...engine.links import Errback, Next
from ...onebot.v11.actions import Answer
from ...onebot.v11.events import (
    Event,
    MessageEvent,
)
from ...onebot.v11.values import Fields
from ...protocol.codes import Status
from ...protocol.models.content import Attachment, Content
from ...protocol.models.people import Friend, Group
from ..contacts import Contact, Contacts, Message, Stranger, name_of, uin_of
from ..context import Loss
from ..incoming import Consumer, IncomingQueue
from ..listeners import Listeners
from ..login import LoginError
from ..lookup import look_up
from ..quote import Quote
from ..receipt import Receipt, SendError, log_sent
from ..records import MemoryRecords, Records, StoredRecords
from ..state import ClientEvent, HeartbeatLate, State, StateChange
from ..store import Store
from .addresses import transport_of
from .catchup import Peer, latest_of
from .directory import NetworkDirectory
from .heartbeats import Heartbeats
from .inbox import NetworkInbox
from .introduction import Introduction
from .pictures import PICTURE_TYPES, PictureFile, Pictures
from .quotes import Quotes
from .reception import Reception
from .requests import Requests
from .sending import Sending, SendLimits
from .transport import ActionFailed, NotConnected, OutcomeUnknown, Transport

if TYPE_CHECKING:
    from ...engine.stream import HTTPStream

__all__ = ["OneBotAccount"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds for an ordinary action.
_TIMEOUT = 30.0
#: Bytes of a picture.
_PICTURE_SIZE = 10 * 2**20


class OneBotAccount:
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
        self.stream = stream
        self.transports: list[Transport] = [
            transport_of(stream, way, token) if isinstance(way, str) else way for way in given
        ]
        self.account, self.nick, self.name = account, "", name or str(account or "new account")
        self._has_name = bool(name)
        self.log_level, self.store = log_level, store
        self.state = State.OFFLINE
        self.implementation = ""
        self.records: Records = MemoryRecords()
        self.directory = NetworkDirectory()
        self._listeners = Listeners()
        self._incoming = IncomingQueue(self, self.directory, self.tell_listeners)
        self._inbox = NetworkInbox(self)
        self._sending = Sending(self, limits or SendLimits())
        self._pictures = Pictures(self, max_picture_size, picture_types)
        self._quotes = Quotes(self)
        self._requests = Requests()
        self._introduction = Introduction(self, self.directory)
        self._heartbeats = Heartbeats(self._on_late, self._on_silence)
        self._reception = Reception(self, self._inbox, self._requests, self._heartbeats)
        self._catchup = self._reception.catchup
        self._ready: asyncio.Future[None] | None = None
        self._hello: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_started = self._is_known = False
        self._is_patient = False  # the first login waits, too

    def __repr__(self) -> str:
        return f"<OneBotAccount {self.account} {self.state.value}>"

    # -- for its users -------------------------------------------------------------------------

    @property
    def contacts(self) -> Contacts:
        """Friends, groups and their members."""
        return self.directory.contacts

    @property
    def session_mark(self) -> str:
        """A mark of the session; QQ numbers hold in all of them."""
        return self.directory.mark

    @property
    def friends(self) -> Mapping[int, Friend]:
        """Friends by QQ number."""
        return self.contacts.friends

    @property
    def groups(self) -> Mapping[int, Group]:
        """Groups by number."""
        return self.contacts.groups

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
        return self._heartbeats.skew

    def find(self, name: str) -> Contact | None:
        """The contact that a name means; None for nobody, or several. See `Client.find`."""
        return self.contacts.find(name)

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

    def search(self, word: str) -> list[Contact]:
        """All contacts that have a word in one of their names.

        Args:
            word: part of a name, mark or card, in any case.
        """
        return self.contacts.search(word)

    async def resolve(self, name: str | int) -> Contact:
        """The one contact that a name or QQ number means.

        Args:
            name: of a friend, a group, or a member of one; or a number.

        Raises:
            ContactError: it is nobody, or may be several.
        """
        return await look_up(self, name)

    async def number_of(self, contact: Contact) -> int:
        """The QQ number of a contact.

        Args:
            contact: which.
        """
        return self.contacts.number(contact)

    def contact_of(self, message: Message) -> Contact:
        """The conversation that a message belongs to.

        Args:
            message: as listeners get it.
        """
        return self.directory.contact_of(message)

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
        self._listeners.add(listener)
        self.call_soon(self._incoming.hand_out)
        return listener

    def on_incoming(self, consumer: Consumer) -> Consumer:
        """Have a function called with each message, which says when it is handled.

        Args:
            consumer: gets an `IncomingMessage`; see `Client.on_incoming`.
        """
        self._incoming.add(consumer)
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
        self._ready, self._is_patient = asyncio.get_running_loop().create_future(), is_patient
        self._set_state(State.CONNECTING)
        self.is_started = True
        try:
            for transport in self.transports:
                transport.start(self)
            await self._ready
        except asyncio.CancelledError:
            self._end(State.OFFLINE, "the login was cancelled")
            raise
        except OSError as error:
            self._end(State.OFFLINE, str(error))
            raise
        finally:
            self._ready = None

    def leave(self) -> None:
        """Disconnect; the account itself stays online, as its implementation holds it."""
        self._end(State.REJECTED if self.state is State.REJECTED else State.OFFLINE, "left")

    async def logout(self) -> None:
        """The same as `leave`: only the implementation can log the account out of QQ."""
        self.leave()

    async def flush(self) -> None:
        """Wait until the outbox is empty: each message was delivered or has failed."""
        while receipts := self._sending.receipts:
            await asyncio.wait(receipts)

    async def set_status(self, status: Status) -> None:
        """Set the account's status.

        Args:
            status: the new one; NC's ``set_online_status`` knows online, away, busy, silent,
                callme and hidden.

        Raises:
            SendError: it is not connected, or that is refused.
        """
        codes = {
            **{Status.ONLINE: 10, Status.AWAY: 30, Status.HIDDEN: 40, Status.BUSY: 50},
            **{Status.CALLME: 60, Status.SILENT: 70},
        }
        if status not in codes:
            raise SendError(f"OneBot has no status {status.value}")
        params = {"status": codes[status], "ext_status": 0, "battery_status": 0}
        try:
            await self.call("set_online_status", **params)
        except ActionFailed as error:
            raise SendError(f"the status was not set: {error}") from error

    def send(self, contact: Contact, content: Content | str) -> asyncio.Future[Receipt]:
        """Send a message; messages to one contact arrive in the order of the calls.

        While the account is not connected they wait. A message whose outcome is unknown is
        looked for before it is sent again, see `webqq_tornado.client.onebot.sending`.

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

    async def call(self, action: str, /, **params: Any) -> Any:
        """Call any action of the implementation.

        Args:
            action: its name: ``delete_msg``, ``set_group_ban`` ...
            params: its parameters.

        Returns:
            The data of the answer, as JSON has it.

        Raises:
            NotConnected: there is no connection; nothing was sent.
            OutcomeUnknown: there was no answer; it may have been done.
            ActionFailed: it was refused or failed; `error.answer` has the retcode.

        Example:
            >>> await account.call("set_group_ban", group_id=20001, user_id=10002, duration=60)
        """
        answer = await self.answer_to(action, params, _TIMEOUT)
        if answer.is_outcome_unknown:
            raise OutcomeUnknown(action, answer)
        if not answer.is_ok:
            raise ActionFailed(action, answer)
        return answer.data

    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Call an action, and return the answer, whatever it says.

        Args:
            action: its name.
            params: its parameters.
            timeout: seconds.

        Raises:
            NotConnected: there is no connection.
            OutcomeUnknown: there was no answer.
        """
        for transport in self.transports:
            if transport.can_call and transport.is_open:
                answer = await transport.call(action, params, timeout)
                self._hear()
                return answer
        raise NotConnected(action, why=f"{self.name} is not connected")

    async def recall(self, message: Message | int) -> None:
        """Recall a message.

        Args:
            message: one that came in, or the id of one.

        Raises:
            ActionFailed: it is refused: too old, or of somebody else.
        """
        id_ = message if isinstance(message, int) else message.msg_id
        await self.call("delete_msg", message_id=id_)

    async def picture(self, part: Attachment) -> PictureFile:
        """A picture of a message: as it is kept, else fetched now.

        Args:
            part: of its content, of the kind ``image``.

        Raises:
            PictureError: it is too large, not a picture, or gone.

        Example:
            >>> for part in message.content.parts:
            ...     if isinstance(part, Attachment):
            ...         print((await message.client.picture(part)).suffix)
        """
        return await self._pictures.get(part)

    async def answer_friend_request(
        self, user: int, *, approve: bool = True, remark: str = ""
    ) -> None:
        """Accept or refuse a friend request that came in.

        Args:
            user: QQ number of who asks.
            approve: False refuses.
            remark: name for the new friend.

        Raises:
            LookupError: there is no request of theirs.
            ActionFailed: it is refused.
        """
        params = self._requests.friend(user, approve=approve, remark=remark)
        await self.call("set_friend_add_request", **params)

    async def answer_group_request(
        self, group: int, user: int, *, approve: bool = True, reason: str = ""
    ) -> None:
        """Let somebody into a group or not, or accept or decline an invitation.

        Args:
            group: number of the group.
            user: QQ number of who asks or invites.
            approve: False refuses.
            reason: for a refusal.

        Raises:
            LookupError: there is no such request.
            ActionFailed: it is refused.
        """
        params = self._requests.group(group, user, approve=approve, reason=reason)
        await self.call("set_group_add_request", **params)

    # -- connections ---------------------------------------------------------------------------

    def on_open(self, transport: Transport) -> None:
        """See `Receiver`."""
        logger.debug("%s: connected by %s", self.name, transport.name)
        self._hear()
        self._greet()

    def on_lost(self, transport: Transport, why: str, error: Exception | None) -> None:
        """See `Receiver`."""
        logger.debug("%s: %s is lost: %s", self.name, transport.name, why)
        if self._is_usable() or not self.is_started:
            return
        if self._hello is not None:
            self._hello.cancel()
        self._reception.pause()
        is_first = self._ready is not None and not self._ready.done()
        if is_first and error is not None and len(self.transports) == 1 and not self._is_patient:
            self._fail_login(error)
        elif self.state is not State.CONNECTING:
            self._set_state(State.RECONNECTING, why)

    def on_refused(self, transport: Transport, why: str) -> None:
        """See `Receiver`."""
        if self._is_usable():
            logger.error("%s: %s", self.name, why)
            return
        self._reject(why)

    def _reject(self, why: str) -> None:
        ready = self._ready
        self._end(State.REJECTED, why, logging.DEBUG if ready is not None else logging.ERROR)
        if ready is not None and not ready.done():
            ready.set_exception(LoginError(why))

    def _fail_login(self, error: Exception) -> None:
        ready = self._ready
        self._end(State.OFFLINE, str(error), logging.DEBUG)
        if ready is not None and not ready.done():
            ready.set_exception(error)

    def _is_usable(self) -> bool:
        opened = [one for one in self.transports if one.is_open]
        return any(one.can_call for one in opened) and any(one.has_events for one in opened)

    def _greet(self) -> None:
        """Find out who is there, unless that is known or under way."""
        is_greeting = self._hello is not None and not self._hello.done()
        if self._is_usable() and self.state is not State.ONLINE and not is_greeting:
            self._hello = asyncio.get_running_loop().create_task(self._say_hello())

    async def _say_hello(self) -> None:
        try:
            await self._learn()
        except LoginError as error:
            self._reject(str(error))
        except NotConnected:
            return  # on_lost has told it
        except ActionFailed as error:
            is_final = not self._is_patient and not isinstance(error, OutcomeUnknown)
            if self._ready is not None and is_final:
                self._fail_login(error)
                return
            for transport in self.transports:
                transport.restart(f"it does not answer with sense ({error})")

    async def _learn(self) -> None:
        who = await self._introduction.who(self.account)
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
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self._incoming.resume()
        self._sending.resume()
        self._reception.catch_up()
        known = [one for gid, one in self.groups.items() if gid in self._inbox.known_groups]
        self._begin(self._introduction.members(*known))

    def _go_offline(self, why: str) -> None:
        """The account is offline, its implementation is there."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self._set_state(State.OFFLINE, why, logging.WARNING)

    def _begin(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, state: State, reason: str, level: int | None = None) -> None:
        """No connection, and none to come."""
        self.is_started = False
        for transport in self.transports:
            transport.close()
        current = asyncio.current_task()
        for task in (self._hello, *self._tasks):
            if task is not None and task is not current:
                task.cancel()
        self._reception.close()
        self._pictures.close()
        self._heartbeats.stop()
        if self._is_known and self.store is not None:
            self.store.release(self.account)
        self._is_known = False
        self._set_state(state, reason, level)
        self._sending.abandon(f"{self.name} is {state.value}" + (reason and f" ({reason})"))

    # -- events --------------------------------------------------------------------------------

    def receive(self, transport: Transport, event: Event) -> None:
        """See `Receiver`.

        Args:
            transport: over which connection.
            event: as it came.
        """
        self._hear()
        self._reception.receive(event, transport.name)

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
            self._greet()

    def refresh(self, group: int) -> None:
        """Fetch friends and groups again, and the members of one.

        Args:
            group: number; 0 for none.
        """
        self._begin(self._refresh(group))

    def hand_out(self, mark: bytes, message: Message, contact: Contact, *, is_late: bool) -> None:
        """Pass a message that is new and on record to those who handle it.

        Args:
            mark: under which it is on record.
            message: as bots have it.
            contact: its conversation.
            is_late: whether it was missed and fetched.
        """
        where = f" in {name_of(contact)}" if isinstance(contact, Group) else ""
        late = " (late)" if is_late else ""
        logger.log(self.log_level, "%s <- %s%s%s: %s", self.name, self.sender_name(message),
                   where, late, message.content.text)  # fmt: skip
        self._pictures.fetch_all(message.content)
        is_told = self.tell_listeners(message)
        if self.is_to_handle(message):
            self._incoming.enqueue(mark, message, is_heard=is_told, contact=contact, late=is_late)

    def is_to_handle(self, message: Message) -> bool:
        """Return True if somebody will say when a message is handled.

        Args:
            message: as bots have it.
        """
        is_awaited = self._incoming.has_consumers or not self._listeners
        return is_awaited and not self.is_own(message)

    async def _refresh(self, group: int) -> None:
        try:
            await self._introduction.contacts(self.account)
        except NotConnected:
            return
        if group in self.groups:
            await self._introduction.members(self.groups[group])

    # -- health --------------------------------------------------------------------------------

    def _hear(self) -> None:
        if self._heartbeats.is_late:
            logger.log(self.log_level, "%s: the implementation is heard again", self.name)
        self._heartbeats.hear()

    def _on_late(self, silent: float, interval: float) -> None:
        why = f"no heartbeat for {silent:.1f} s, which come every {interval:g} s"
        logger.warning("%s: %s", self.name, why)
        self.tell(HeartbeatLate(silent, why))

    def _on_silence(self, silent: float) -> None:
        for transport in self.transports:
            if transport.has_events and transport.is_open:
                transport.restart(f"nothing was heard for {silent:.1f} s")

    # -- what its parts need -------------------------------------------------------------------

    async def latest_of(self, contact: Contact, since: float) -> list[MessageEvent] | None:
        """The latest messages of a conversation; None where there is no history to be had.

        Args:
            contact: which.
            since: Unix time, by the implementation's clock: only from then on.
        """
        peer = Peer(isinstance(contact, Group), uin_of(contact))
        return await latest_of(self, peer, since)

    def tell_listeners(self, message: Message) -> bool:
        """Tell plain listeners of a message. Returns True if there are any.

        Args:
            message: as bots have it.
        """
        self.tell(message)
        return bool(self._listeners)

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
        for transport in self.transports:
            transport.restart(loss.reason)

    def _set_state(self, state: State, reason: str = "", level: int | None = None) -> None:
        if state is not self.state:
            self.state = state
            why = reason and f" ({reason})"
            logger.log(level or self.log_level, "%s: %s%s", self.name, state.value, why)
            self.tell(StateChange(state, reason))

    def tell(self, happening: ClientEvent) -> None:
        """Tell listeners of an event.

        Args:
            happening: which.
        """
        self._listeners.notify(self.name, happening)

    def _log_sent(self, receipt: asyncio.Future[Receipt]) -> None:
        log_sent(receipt, self.name, self.log_level)
