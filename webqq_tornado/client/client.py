"""`Client`: one account by WebQQ 3 or SmartQQ, as chains on a stream.

- *login*: see `login`; then friends, groups and members. Repeated with growing pauses when the
  session is lost, until the server refuses the account for good.
- *poll*: poll2 without end, see `poll`.
- *heartbeat*: get_msg_tip every 60 s (WebQQ 3 only).
- *contacts*: friends, groups, members every 300 s.
- *send*: one chain for each contact with waiting messages, see `outbox`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..engine.chain import Chain
from ..engine.errors import StreamError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.stream import HTTPStream
from ..protocol import forms
from ..protocol.codes import Status
from ..protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from ..protocol.models.content import Content
from ..protocol.models.events import (
    Event,
    FriendListChange,
    GroupSystemMessage,
    Kicked,
    StatusChange,
    SystemMessage,
)
from ..protocol.models.login import Secret, Session
from ..protocol.models.people import Discussion, Friend, Group
from .connection import Connection
from .contacts import Contact, Contacts, Message, Stranger, name_of
from .contacts_fetch import ContactsFetch
from .context import ClientContext, Loss
from .delivery import Delivery
from .directory import Directory
from .inbox import Inbox
from .incoming import Consumer, IncomingQueue
from .keepalive import Keepalive
from .listeners import Listeners
from .login import LoggedIn, LoginError, OnCaptcha, OnQR, was_kicked
from .lookup import look_up
from .message_tokens import MessageTokens
from .poll import Poll
from .quote import Quote
from .receipt import Receipt, SendError, log_sent
from .records import MemoryRecords, Records, StoredRecords
from .saved_session import SessionStorage
from .session import SessionKeeper
from .state import LOGGED_IN, LOGGED_OUT, ClientEvent, State, StateChange
from .store import Store

__all__ = ["Client"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Name in log lines of an account whose number only the login says.
NEW_ACCOUNT = "new account"
#: Seconds for the request that ends a session: nobody waits long to leave.
GOODBYE_TIMEOUT = 5.0


class Client:
    """One WebQQ account, online.

    Args:
        stream: carries all its chains; several clients may share one.
        account: QQ number; with SmartQQ 0 is the account that scans the QR code.
        password: its password; SmartQQ has none.
        endpoints: the server; Tencent's own addresses by default (they are gone).
        dialect: `WEBQQ3`, which logs in by password, or `SMARTQQ`, by QR code.
        name: for log lines; by default the QQ number.
        log_level: of lines about states and messages.
        store: keeps the outbox, the history, the messages received, and the session unless
            there is a `session_file`. By default all that is in memory, without a history.
        session_file: path of a file with mode 0600 for the session: a client that starts again
            resumes it without a login.
        listens: whether it polls. A client that does not poll only sends; another client with
            the same session receives.
        on_captcha: gets a captcha's picture (bytes of a JPEG), returns its characters; may be
            `async def`. Called again after a wrong answer.
        on_qr: shows a QR code's picture (bytes of a PNG); called again
            with a new one after it has expired. May be `async def`: the client asks for the
            confirmation after it returns.

    Attributes:
        stream: as above.
        store: as above.
        listens: as above.
        log_level: as above.

    Example:
        >>> client = Client(stream, 10001, "secret", Endpoints.at("http://127.0.0.1:8100"))
        >>> client.on_event(print)
        >>> await client.login()
        >>> await client.send(client.find("Ann"), "hello")
    """

    def __init__(
        self,
        stream: HTTPStream,
        account: int = 0,
        password: str = "",
        endpoints: Endpoints | None = None,
        *,
        dialect: Dialect = WEBQQ3,
        name: str = "",
        log_level: int = logging.INFO,
        store: Store | None = None,
        session_file: Path | None = None,
        listens: bool = True,
        on_captcha: OnCaptcha | None = None,
        on_qr: OnQR | None = None,
    ) -> None:
        if not account and dialect is not SMARTQQ:
            raise ValueError(
                "account=0: only a login by QR code (dialect=SMARTQQ) finds the account"
            )
        records: Records = (
            MemoryRecords() if store is None or not account else StoredRecords(store, account)
        )
        self.stream = stream
        self.store = store
        self.log_level = log_level
        self.listens = listens
        context = self._context = ClientContext(
            stream,
            Connection(endpoints or dialect.endpoints, dialect, records.clientid),
            account,
            name=name or str(account or NEW_ACCOUNT),
            records=records,
            on_loss=self._on_loss,
            on_reachable=self._on_reachable,
        )
        self._keeper = SessionKeeper(
            context,
            SessionStorage(session_file, store),
            password,
            on_captcha=on_captcha,
            on_qr=on_qr,
            on_session=self._on_session,
            on_failure=self._on_login_failure,
        )
        self._directory = Directory(context)
        self._listeners = Listeners()
        self._inbox = Inbox(context, self._directory)
        self._incoming = IncomingQueue(context, self._directory, self._notify_message)
        self._delivery = Delivery(context, self._directory, MessageTokens(context))
        self._keepalive = Keepalive(context, self._directory)
        self._poll: Poll | None = None
        self._poll_chain: Chain | None = None
        self._ready: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Client {self.account} {self.state.value}>"

    # -- for its users ------------------------------------------------------------------------

    @property
    def account(self) -> int:
        """QQ number; 0 until the first login by QR code has said it."""
        return self._context.account

    @property
    def name(self) -> str:
        """Name in log lines."""
        return self._context.name

    @property
    def nick(self) -> str:
        """Nick of the account; empty before the first login."""
        return self._context.nick

    @property
    def state(self) -> State:
        """State of the client, as the last `StateChange` said."""
        return self._context.state

    @property
    def session(self) -> Session | None:
        """The server's session, while there is one."""
        return self._context.connection.session

    @property
    def ptwebqq(self) -> Secret:
        """The latest value of that cookie; empty before a login."""
        return self._context.connection.ptwebqq

    @property
    def is_online(self) -> bool:
        """True while messages can be delivered."""
        return self._context.is_online

    @property
    def contacts(self) -> Contacts:
        """Friends, groups, discussions and their members, as of the last fetch."""
        return self._directory.contacts

    @property
    def session_mark(self) -> str:
        """A mark of the session: the same in all of it, and no secret."""
        return self._directory.mark

    @property
    def friends(self) -> Mapping[int, Friend]:
        """Friends by uin; another session has other uins."""
        return self.contacts.friends

    @property
    def groups(self) -> Mapping[int, Group]:
        """Groups by gid; another session has other gids."""
        return self.contacts.groups

    def find(self, name: str) -> Contact | None:
        """The contact that a name or a number means; None for no contact, or several.

        Digits are a number first, then a name. Only known numbers count: `resolve` asks the
        server for the others, and its error lists the candidates. See `Contacts.candidates`.
        """
        return self.contacts.find(name)

    async def resolve(self, name: str | int) -> Contact:
        """The one contact that a name or number means; asks the server for unknown numbers.

        Args:
            name: of a friend, group, discussion, or a member of one; or a QQ number, or a
                group's. An integer is never a name.

        Raises:
            ContactError: a `LookupError`: no contact matches, or several; lists these with
                their numbers.
            SendError: a number is not known, and the client is not online.
            StreamError: the server cannot be reached.
            ProtocolError: the answer is not WebQQ.

        Example:
            >>> await client.send(await client.resolve("jack"), "hello")
        """
        return await look_up(self, name)

    def has_sent(self, message_id: int) -> bool:
        """Return False: WebQQ has no ids by which messages are quoted.

        Args:
            message_id: as a `Reply` has it.
        """
        return False

    async def quote_of(self, message: Message) -> Quote | None:
        """Return None: messages of WebQQ quote none.

        Args:
            message: as listeners get it.
        """
        return None

    def search(self, word: str) -> list[Contact]:
        """Return all contacts that have a word in one of their names.

        Args:
            word: part of a name, mark or card, in any case.
        """
        return self.contacts.search(word)

    @property
    def outbox_size(self) -> int:
        """Number of messages accepted and not yet delivered; a long one counts as several."""
        return len(self._delivery)

    async def flush(self) -> None:
        """Wait until the outbox is empty: each message was delivered or has failed."""
        while receipts := self._delivery.receipts:
            await asyncio.wait(receipts)

    async def number_of(self, contact: Contact) -> int:
        """The QQ number of a friend or stranger, or a group's; asked for once a session.

        Args:
            contact: one of `contacts`.

        Returns:
            The number; 0 for a discussion, and if the server does not tell.

        Raises:
            SendError: the client is not online.
            StreamError: the server cannot be reached.
            ProtocolError: the answer is not WebQQ.
        """
        link = self._directory.look_up_number(contact, lambda _number: None)
        if isinstance(link, Next):
            response = await self._context.fetch(Request.of(link.request))
            if link.readback is not None:
                link.readback(response)
        elif self.session is None and not self._directory.is_asked(contact):
            raise SendError(f"{self.name} is {self.state.value}: log in first")
        return self.contacts.number(contact)

    def on_event(
        self, listener: Callable[[ClientEvent], object]
    ) -> Callable[[ClientEvent], object]:
        """Add a listener: a function called with each `StateChange` and each event of the server.

        Each message is delivered once, even if the listener fails; `on_incoming` repeats
        unhandled ones. Messages from before the first listener was added are delivered to it.

        Args:
            listener: gets the events one by one. May be `async def`: the next event does not wait
                for it. Its exceptions are logged.

        Raises:
            TypeError: it is not a function, or one with a `yield`.
        """
        self._listeners.add(listener)
        self._context.call_soon(self._incoming.hand_out)
        return listener

    def on_incoming(self, consumer: Consumer) -> Consumer:
        """Add a consumer: a function called with each message, which acknowledges it.

        With a `store`, messages that were not acknowledged when the process ends are delivered
        again by the next one, up to `MAX_TRIES` times. Messages that the account itself wrote on
        another device are not delivered.

        Args:
            consumer: gets an `IncomingMessage`; calls its `begin` when the handling begins,
                and `done` when it has ended.

        Example:
            >>> @client.on_incoming
            ... def handle(incoming):
            ...     incoming.begin()
            ...     print(incoming.message, incoming.again)
            ...     incoming.done()
        """
        self._incoming.add(consumer)
        return consumer

    async def login(self, password: str = "") -> None:
        """Go online, and stay online until `logout`. Cancelling it abandons the login.

        Args:
            password: replaces that of the constructor.

        Raises:
            PasswordNeeded: there is no password, and no session to resume.
            LoginError: the server refuses the account.
            StreamError: the server cannot be reached. (After the first login the client retries
                by itself.)
            ProtocolError: it is not a WebQQ server.
            StoreError: another program is online with the same store and account.
        """
        self._claim()
        self._drop_session()
        self._ready = asyncio.get_running_loop().create_future()
        self._set_state(State.CONNECTING)
        self._keeper.log_in(password)
        try:
            await self._ready
        except asyncio.CancelledError:
            self._end(State.OFFLINE, "the login was cancelled")
            raise
        finally:
            self._ready = None

    def leave(self) -> None:
        """End all chains, but stay logged in: a client with the same `session_file` resumes."""
        self._keeper.save()
        self._end(State.REJECTED if self.state is State.REJECTED else State.OFFLINE, "left")

    async def logout(self) -> None:
        """Log out, and end all chains. Messages not sent yet fail."""
        session = self.session
        self._keeper.delete()
        self._end(State.REJECTED if self.state is State.REJECTED else State.OFFLINE, "logged out")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(LoginError(f"{self.name} was logged out while logging in"))
        if session is not None:
            try:
                goodbye = self._keeper.goodbye(session)
                await self._context.fetch(goodbye, timeout=GOODBYE_TIMEOUT)
            except StreamError as error:
                logger.debug("%s: the logout did not reach the server: %s", self.name, error)
            self._context.identity.cookiejar.clear()

    async def set_status(self, status: Status) -> None:
        """Set the account's status: online, away, busy, hidden ...

        Args:
            status: the new one.

        Raises:
            SendError: the client is not online, or the server refuses the status.
            StreamError: the server cannot be reached.
        """
        connection, session = self._context.connection, self.session
        if session is None:
            raise SendError(f"{self.name} is {self.state.value}: log in first")
        now = int(time.time() * 1000)
        form = forms.StatusForm(status, connection.clientid, session.psessionid, now)
        exchange = connection.dialect.change_status
        response = await self._context.fetch(connection.request(exchange, form))
        reply = exchange.parse(response.body)
        if not reply.is_accepted:
            raise SendError(f"the server refused the status with retcode {reply.retcode}")

    def send(self, contact: Contact, content: Content | str) -> asyncio.Future[Receipt]:
        """Send a message; messages to one contact arrive in the order of the calls.

        While the client is reconnecting, messages wait. With a `store` they survive the process:
        the next one sends them.

        Args:
            contact: a friend, group or discussion of `contacts`, or a stranger (see
                `Contacts.person`). One of an earlier session is found again by its number if
                that is known, else by its name if no other contact has it.
            content: a text, or text and faces. Over 720 bytes it is sent in several messages.

        Returns:
            A future of the receipt; raises `SendError`. It need not be awaited.

        Raises:
            TypeError: it is not a contact: `find` is None for a name that several have.
            ValueError: the content is empty.
            StoreError: the store cannot be written.
        """
        if not isinstance(contact, (Friend, Group, Discussion, Stranger)):
            raise TypeError(
                f"send to {contact!r}: give a contact, as `await client.resolve(name)` finds it;"
                " `find` is None for a name that no contact has, or several"
            )
        content = Content.of(content) if isinstance(content, str) else content
        if not content.text.strip():
            raise ValueError("the message has no content: give some text")
        receipt: asyncio.Future[Receipt]
        if self.state.is_over:
            receipt = asyncio.get_running_loop().create_future()
            why = f"{self.name} is {self.state.value}: log in first"
            receipt.set_exception(SendError(f"not sent to {name_of(contact)}: {why}"))
        else:
            receipt = self._delivery.accept(contact, content)
        receipt.add_done_callback(self._log_sent)
        return receipt

    def sender_name(self, message: Message) -> str:
        """Return the name of a message's author: mark, card or nick.

        Args:
            message: as listeners get it.
        """
        return self._inbox.sender_name(message)

    def contact_of(self, message: Message) -> Contact:
        """Return the conversation of a message, to which an answer goes.

        Args:
            message: as listeners get it.
        """
        return self._inbox.contact_of(message)

    def is_own(self, message: Message) -> bool:
        """Return True if the account itself wrote the message, on another device.

        Args:
            message: as listeners get it.
        """
        return self._inbox.is_own(message)

    # -- states -------------------------------------------------------------------------------

    def _on_loss(self, loss: Loss) -> None:
        """Log in again, unless that is under way, or the client is logged out."""
        if self.is_online:
            session = self._context.connection.open_session
            self._set_state(State.RECONNECTING, loss.reason)
            self._drop_session()
            self._keeper.recover(loss, session.psessionid)

    def _on_reachable(self) -> None:
        """Start the poll anew after an outage: its connection may have died silently."""
        poll, chain = self._poll, self._poll_chain
        if self.is_online and poll is not None and chain is not None and not chain.done:
            chain.cancel()
            self._poll_chain = self._context.add_chain(poll.resume_link(), "poll", poll.on_error)

    def _on_session(self, login: LoggedIn) -> Link:
        """Go on after a login: fetch the contacts first."""
        context = self._context
        context.connection = login.connection
        context.nick = login.nick or context.nick
        is_another = login.account != context.account
        if is_another:
            context.name = str(login.account) if context.name == NEW_ACCOUNT else context.name
            context.account = login.account
        if self.store is not None and (is_another or not context.records.is_kept):
            context.records = StoredRecords(self.store, context.account)
        self._claim()
        self._keeper.save()
        return ContactsFetch(context.connection, context.account, self._on_contacts).first()

    def _claim(self) -> None:
        """Claim the account for this program, as soon as its number is known."""
        if self.listens and self.store is not None and self.account:
            self.store.claim(self.account, self._context.connection.endpoints.d)

    def _on_contacts(self, contacts: Contacts) -> Link:
        self._directory.update(contacts)
        self._keeper.note_online()
        self._set_state(State.ONLINE)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        if self.listens:
            self._incoming.resume()  # messages that came before the poll's
            self._start_polling()
        for receipt in self._delivery.restore():
            receipt.add_done_callback(self._log_sent)
        self._delivery.resume()
        return None

    def _start_polling(self) -> None:
        poll = self._poll = Poll(
            *(self._context, self._directory, self._inbox),
            keeper=self._keeper,
            on_event=self._on_server_event,
            former=self._poll,
        )
        self._poll_chain = self._context.add_chain(poll.next_link(), "poll", poll.on_error)
        self._keepalive.start()

    def _on_login_failure(self, error: Exception) -> Link:
        """Fail the first login with the error; retry later ones."""
        if was_kicked(error):
            self._on_server_event(Kicked(error.excerpt))
            return None
        is_final = not isinstance(error, (StreamError, ProtocolError))
        if is_final and not isinstance(error, LoginError) and self._ready is None:
            logger.error("%s: login failed", self.name, exc_info=error)  # our bug, or on_captcha's
        if self._ready is not None:
            state = State.REJECTED if is_final else State.OFFLINE
            self._end(state, str(error), logging.DEBUG)
            if not self._ready.done():
                self._ready.set_exception(error)
        elif is_final:
            self._end(State.REJECTED, str(error))
        else:
            pause = self._keeper.retry()
            logger.info("%s: login failed (%s); next try in %.1f s", self.name, error, pause)
        return None

    def _end(self, state: State, reason: str, level: int | None = None) -> None:
        """Drop the session for good: open receipts fail."""
        self._drop_session()
        if self.store is not None:
            self.store.release(self.account)
        self._set_state(state, reason, level)
        self._delivery.abandon(f"{self.name} is {state.value}" + (reason and f" ({reason})"))

    def _drop_session(self) -> None:
        """End the chains of the session, all but the one whose reader is calling."""
        self._context.connection = replace(self._context.connection, session=None)
        self._keepalive.stop()
        self._delivery.pause()
        self._incoming.pause()
        self._context.cancel_chains()

    def _set_state(self, state: State, reason: str = "", level: int | None = None) -> None:
        if state is not self.state:
            self._context.state = state
            why = reason and f" ({reason})"
            logger.log(level or self.log_level, "%s: %s%s", self.name, state.value, why)
            self._notify(StateChange(state, reason))

    def _notify(self, event: ClientEvent) -> None:
        self._listeners.notify(self.name, event)

    def _log_sent(self, receipt: asyncio.Future[Receipt]) -> None:
        log_sent(receipt, self.name, self.log_level)

    # -- events -------------------------------------------------------------------------------

    def _on_server_event(self, event: Event) -> None:
        """Handle an event; one that fails is logged and dropped: those behind it are others."""
        try:
            self._handle_event(event)
        except Exception:
            logger.exception("%s: dropped: %r", self.name, event)

    def _handle_event(self, event: Event) -> None:
        if isinstance(event, Kicked):
            self._keeper.drop_psessionid()
            by_logout = event.way == "logout"
            self._end(State.KICKED, LOGGED_OUT if by_logout else event.reason or LOGGED_IN)
            return
        if isinstance(event, Message):
            self._handle_message(event)
            return
        if isinstance(event, StatusChange):
            self.contacts.update_status(event)
        elif isinstance(event, (FriendListChange, GroupSystemMessage, SystemMessage)):
            self._keepalive.refresh_contacts()
        self._notify(event)

    def _handle_message(self, message: Message) -> None:
        # Without a consumer the listeners handle it; without listeners it waits for a consumer.
        is_awaited = self._incoming.has_consumers or not self._listeners
        is_to_handle = is_awaited and not self.is_own(message)
        mark = self._inbox.receive(message, is_to_handle=is_to_handle)
        if mark is None:
            return
        self._log_received(message)
        is_heard = self._notify_message(message)
        if is_to_handle:
            self._incoming.enqueue(mark, message, is_heard=is_heard)

    def _notify_message(self, message: Message) -> bool:
        """Tell plain listeners of a message; return True if there are any."""
        self._notify(message)
        return bool(self._listeners)

    def _log_received(self, event: Message) -> None:
        contact = self._inbox.contact_of(event)
        where = f" in {name_of(contact)}" if isinstance(contact, (Group, Discussion)) else ""
        name, text = self.sender_name(event), event.content.text
        logger.log(self.log_level, "%s <- %s%s: %s", self.name, name, where, text)
