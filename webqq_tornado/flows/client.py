"""`Client`: one account by WebQQ 3, as chains on a stream.

- *login*: check, login, login2, friends, groups, members; again with growing pauses when the
  session is lost, until the server says that there is no use in it.
- *poll*: poll2, and again, and again.
- *heartbeat*: get_msg_tip every 60 s.
- *contacts*: friends, groups, members every 300 s.
- *send*: one for each contact that something is to be sent to, see `outbox`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from tenacity import RetryCallState, Retrying, wait_random_exponential

from ..engine.chain import Chain, Errback, Link, Next
from ..engine.errors import ConnectError, StreamError, TimeoutError
from ..engine.request import Request
from ..engine.response import Response
from ..engine.stream import HTTPStream
from ..protocol import forms, webqq3
from ..protocol.codes import Action, meaning_of
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from ..protocol.models import (
    Content,
    Event,
    Friend,
    FriendMessage,
    GroupMessage,
    Kicked,
    PollReply,
    Secret,
    Session,
    SessionMessage,
)
from .contacts import Contact, Contacts, Fetch, name_of
from .login import Login, LoginError
from .outbox import Outbox, Receipt, SendError

__all__ = ["Client", "Happening", "LoginError", "SendError", "State", "StateChange"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds for ordinary requests and for poll2 (qqbot 2017, Mojo-Webqq 2018).
REQUEST_TIMEOUT, POLL_TIMEOUT = 30.0, 120.0
#: Seconds between heartbeats, and between fetches of the contacts (pual_bot 2013).
HEARTBEAT_SECONDS, CONTACTS_SECONDS = 60.0, 300.0
#: Polls in a row without sense after which one logs in again (Mojo-Webqq 2018).
MAX_SENSELESS = 3
#: Messages that are remembered to tell repetitions.
REMEMBERED = 2000
#: Seconds before the first, second, third ... try to be online again.
_PAUSES = wait_random_exponential(multiplier=0.5, max=60)


class State(enum.Enum):
    """Where a client is."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    KICKED = "kicked"
    REJECTED = "rejected"


class StateChange(NamedTuple):
    """The client is in another state now; why, in words for the user."""

    state: State
    reason: str = ""


#: What listeners hear.
Happening: TypeAlias = "StateChange | Event"


class Client:
    """One account, online.

    Args:
        stream: carries all its chains; several clients may share one.
        account: QQ number.
        password: its password.
        endpoints: the server; Tencent's own addresses by default (they are gone).
        name: for log lines; by default the QQ number.
        log_level: of lines about states and messages.

    Attributes:
        state: a `State`.
        contacts: friends, groups, members: as of the last fetch.
        session: of the server, while there is one.

    Example:
        >>> client = Client(stream, 10001, "secret", Endpoints.at("http://127.0.0.1:8100"))
        >>> client.on_event(print)
        >>> await client.login()
        >>> await client.send(client.contacts.find("Ann"), "hello")
    """

    def __init__(
        self,
        stream: HTTPStream,
        account: int,
        password: str,
        endpoints: Endpoints | None = None,
        *,
        name: str = "",
        log_level: int = logging.INFO,
    ) -> None:
        self.stream = stream
        self.log_level = log_level
        self.name = name or str(account)
        self.account = account
        self.endpoints = endpoints or Endpoints.historical()
        self.clientid = random.randrange(10**7, 10**8)  # noqa: S311 - a number, no secret
        self.state = State.OFFLINE
        self.contacts = Contacts()
        self.session: Session | None = None
        self._password = password
        self._identity = stream.session(f"webqq {account} {id(self)}")
        self._ptwebqq = Secret()
        self._message_id = random.randrange(10**7, 10**8)  # noqa: S311 - the same
        self._listeners: list[Callable[[Happening], object]] = []
        self._ready: asyncio.Future[None] | None = None
        self._chains: set[Chain] = set()
        self._outboxes: dict[tuple[type, str], Outbox] = {}
        self._attempt = 0
        self._senseless = 0
        self._beats = 0
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Client {self.account} {self.state.value}>"

    # -- for its users ------------------------------------------------------------------------

    def on_event(self, listener: Callable[[Happening], object]) -> Callable[[Happening], object]:
        """Have a function called with each `StateChange` and each event of the server."""
        self._listeners.append(listener)
        return listener

    async def login(self) -> None:
        """Get online, and stay so until `logout`.

        Raises:
            LoginError: the server does not let the account in.
            StreamError: the server is not there. (Later on the client tries again by itself.)
            ProtocolError: it is no WebQQ server.
        """
        self._ready = asyncio.get_running_loop().create_future()
        self._set_state(State.CONNECTING)
        self._start_login(0)
        try:
            await self._ready
        finally:
            self._ready = None

    async def logout(self) -> None:
        """Say goodbye, and end all chains. What is not sent yet is not sent any more."""
        session = self.session
        self._drop_session()
        for outbox in self._outboxes.values():
            outbox.fail("logged out")
        if session is not None:
            form = forms.LogoutForm(self.clientid, session.psessionid, _milliseconds())
            request = Request.of(webqq3.LOGOUT.request(self.endpoints, form))
            try:
                await self.stream.fetch(request, session=self._identity, timeout=5)
            except StreamError as error:
                logger.debug("%s: logout was not heard: %s", self.name, error)
        if self.state is not State.REJECTED:
            self._set_state(State.OFFLINE, "logged out")

    def send(self, contact: Contact, content: Content | str) -> asyncio.Future[Receipt]:
        """Send a message; messages to one contact arrive in the order of the calls.

        Args:
            contact: a friend or group out of `contacts`.
            content: a text, or text and faces. What is over 720 bytes goes in several.

        Returns:
            A future: the receipt, or `SendError`. It need not be awaited.

        Raises:
            ValueError: there is nothing in it.
        """
        content = Content.of(content) if isinstance(content, str) else content
        if not content.text.strip():
            raise ValueError("a message has some content")
        key = (type(contact), name_of(contact))
        outbox = self._outboxes.get(key)
        if outbox is None:
            outbox = self._outboxes[key] = Outbox(self, contact)
        receipt = outbox.put(content)
        receipt.add_done_callback(self._log_sent)
        return receipt

    def sender_name(self, message: FriendMessage | GroupMessage | SessionMessage) -> str:
        """Who wrote, as one calls them."""
        if isinstance(message, GroupMessage):
            member = self.contacts.member(message.gid, message.sender)
            if member is not None:
                return member.name
        friend = self.contacts.friends.get(message.sender)
        return friend.name if friend else str(message.sender)

    # -- what the outbox needs ----------------------------------------------------------------

    def add_chain(self, first: Next, name: str, errback: Errback | None = None) -> Chain:
        """Start a chain in the account's name; it ends with the session.

        Args:
            first: its first link.
            name: what it does, for logs.
            errback: for all its links that have none of their own.
        """
        link = _prepared(first, errback)
        chain = self.stream.add_request(
            link.request,
            link.readback,
            delay=link.delay,
            errback=link.errback,
            name=f"{self.account} {name}",
            session=self._identity,
        )
        self._chains = {known for known in self._chains if not known.done} | {chain}
        return chain

    def next_message_id(self) -> int:
        """One more for each message."""
        self._message_id += 1
        return self._message_id

    def now_called(self, contact: Contact) -> Contact | None:
        """The contact in the present session: numbers change with it, names do not."""
        if isinstance(contact, Friend):
            known: dict[int, Contact] = dict(self.contacts.friends)
            same = known.get(contact.uin)
        else:
            known = dict(self.contacts.groups)
            same = known.get(contact.gid)
        if same is not None:
            return same
        name = name_of(contact)
        return next((other for other in known.values() if name_of(other) == name), None)

    def lose_session(self, reason: str) -> None:
        """The server does not know the session any more: log in again."""
        if self.state is State.ONLINE:
            self._set_state(State.RECONNECTING, reason)
            self._drop_session()
            self._start_login(self._next_pause())

    # -- login --------------------------------------------------------------------------------

    def _start_login(self, delay: float) -> None:
        login = Login(
            self.account,
            self._password,
            self.endpoints,
            clientid=self.clientid,
            cookies=self._identity.cookiejar,
            then=self._on_session,
        )
        self.add_chain(login.first()._replace(delay=delay), "login", self._on_no_login)

    def _on_session(self, session: Session, ptwebqq: Secret) -> Link:
        self.session, self._ptwebqq = session, ptwebqq
        return self._fetch(self._on_first_contacts).first()

    def _fetch(self, then: Callable[[Contacts], Link]) -> Fetch:
        assert self.session is not None  # noqa: S101 - callers have one
        return Fetch(self.endpoints, self.session, self._ptwebqq, account=self.account, then=then)

    def _on_first_contacts(self, contacts: Contacts) -> Link:
        self.contacts = contacts
        self._attempt = self._senseless = 0
        self._set_state(State.ONLINE)
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
        self.add_chain(self._poll_link(), "poll", self._on_poll_error)
        self.add_chain(self._heartbeat_link(), "heartbeat", self._on_heartbeat_error)
        self.add_chain(self._contacts_link(), "contacts", self._on_contacts_error)
        for outbox in self._outboxes.values():
            outbox.resume()
        return None

    def _on_no_login(self, error: Exception) -> Link:
        is_final = isinstance(error, LoginError)
        if not isinstance(error, (LoginError, StreamError, ProtocolError)):
            raise error
        if self._ready is not None:  # the first login: whoever awaits it decides
            self._drop_session()
            self.state = State.REJECTED if is_final else State.OFFLINE
            self._tell(StateChange(self.state, str(error)))
            if not self._ready.done():
                self._ready.set_exception(error)
        elif is_final:
            self._drop_session()
            self._set_state(State.REJECTED, str(error))
            for outbox in self._outboxes.values():
                outbox.fail(str(error))
        else:
            pause = self._next_pause()
            logger.info("%s: no login yet (%s); again in %.1f s", self.name, error, pause)
            self._start_login(pause)
        return None

    def _next_pause(self) -> float:
        self._attempt += 1
        attempt = RetryCallState(Retrying(), None, (), {})
        attempt.attempt_number = self._attempt
        return _PAUSES(attempt)

    def _drop_session(self) -> None:
        """End the chains of the session, all but the one whose reader is calling."""
        self.session = None
        for outbox in self._outboxes.values():
            outbox.pause()
        chains, self._chains = self._chains, set()
        for chain in chains:
            chain.cancel()

    def _set_state(self, state: State, reason: str = "") -> None:
        if state is not self.state:
            self.state = state
            logger.log(
                self.log_level, "%s: %s%s", self.name, state.value, reason and f" ({reason})"
            )
            self._tell(StateChange(state, reason))

    def _tell(self, happening: Happening) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(happening)
            except Exception:
                logger.exception("%s: a listener failed on %r", self.name, happening)

    def _log_sent(self, receipt: asyncio.Future[Receipt]) -> None:
        if receipt.cancelled():
            return
        if receipt.exception() is not None:
            logger.warning("%s: %s", self.name, receipt.exception())
            return
        contact, pieces, _ = receipt.result()
        text = "".join(piece.text for piece in pieces)
        logger.log(self.log_level, "%s -> %s: %s", self.name, name_of(contact), text)

    # -- heartbeat and contacts ---------------------------------------------------------------

    def _heartbeat_link(self) -> Next:
        self._beats += 1
        form = forms.HeartbeatForm(self._beats, _milliseconds())
        request = webqq3.HEARTBEAT.request(self.endpoints, form)
        return Next(request, lambda response: self._heartbeat_link(), HEARTBEAT_SECONDS)

    def _on_heartbeat_error(self, error: Exception) -> Link:
        logger.debug("%s: heartbeat: %s", self.name, error)
        return self._heartbeat_link()  # whether one is online is for poll to say

    def _contacts_link(self) -> Next:
        return self._fetch(self._on_contacts).first(CONTACTS_SECONDS)

    def _on_contacts(self, contacts: Contacts) -> Link:
        self.contacts = contacts
        return self._contacts_link()

    def _on_contacts_error(self, error: Exception) -> Link:
        logger.debug("%s: contacts stay as they are: %s", self.name, error)
        return self._contacts_link()

    # -- poll ---------------------------------------------------------------------------------

    def _poll_link(self, delay: float = 0) -> Next:
        assert self.session is not None  # noqa: S101 - it ends with the session
        form = forms.PollForm(self.clientid, self.session.psessionid)
        request = Request.of(webqq3.POLL.request(self.endpoints, form))
        request = request.replace(request_timeout=POLL_TIMEOUT)
        return Next(request, self._on_poll, delay)

    def _on_poll(self, response: Response) -> Link:
        if response.status != 200:
            # A front server gave up waiting (502, 504), or there is trouble behind it.
            return self._poll_after_nonsense(f"HTTP status {response.status}")
        try:
            reply = webqq3.POLL.parse(response.body)
        except ProtocolError as error:
            return self._poll_after_nonsense(str(error))
        return self._after_poll(reply)

    def _after_poll(self, reply: PollReply) -> Link:
        action = reply.action
        if action in (Action.GO_ON, Action.ASK_AGAIN):
            self._senseless = 0
            for event in reply.events:
                self._take(event)
            return self._poll_link() if self.session is not None else None
        if action is Action.NEW_PTWEBQQ:
            self._ptwebqq = reply.ptwebqq
            return self._poll_link()
        why = f"poll2 answered {reply.retcode} ({meaning_of(reply.retcode)})"
        if action is Action.COUNT:
            return self._poll_after_nonsense(why)
        self.lose_session(why)
        return None

    def _poll_after_nonsense(self, what: str) -> Link:
        self._senseless += 1
        logger.debug("%s: poll: %s (%d in a row)", self.name, what, self._senseless)
        if self._senseless < MAX_SENSELESS:
            return self._poll_link(delay=self._senseless)
        self.lose_session(what)
        return None

    def _on_poll_error(self, error: Exception) -> Link:
        if isinstance(error, TimeoutError) and not isinstance(error, ConnectError):
            return self._poll_link()  # nobody answered in time: not unusual for a poll
        if not isinstance(error, StreamError):
            raise error
        self.lose_session(str(error))
        return None

    def _take(self, event: Event) -> None:
        """One event: told to the listeners, unless it is a message that came before."""
        if isinstance(event, Kicked):
            self._drop_session()
            self._set_state(State.KICKED, event.reason or "logged in elsewhere")
            return
        if isinstance(event, (FriendMessage, GroupMessage, SessionMessage)):
            # Not the sender: its number is another one in the next session.
            key = (type(event), event.msg_id, event.msg_id2, event.time, event.content)
            if key in self._seen:
                return
            self._seen[key] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            self._log_received(event)
        self._tell(event)

    def _log_received(self, event: FriendMessage | GroupMessage | SessionMessage) -> None:
        where = ""
        if isinstance(event, GroupMessage):
            group = self.contacts.groups.get(event.gid)
            where = f" in {name_of(group)}" if group else ""
        name, text = self.sender_name(event), event.content.text
        logger.log(self.log_level, "%s <- %s%s: %s", self.name, name, where, text)


def _prepared(link: Next, errback: Errback | None) -> Next:
    """The link, and all that follow it, with the usual timeout and errback."""
    request = Request.of(link.request)
    if request.request_timeout is None:
        request = request.replace(request_timeout=REQUEST_TIMEOUT)
    readback = link.readback

    def read(response: Response) -> Link:
        return _prepared_next(readback(response) if readback else None, errback)

    def fail(error: Exception) -> Link:
        handler = link.errback or errback
        if handler is None:
            raise error
        return _prepared_next(handler(error), errback)

    return link._replace(request=request, readback=read, errback=fail)


def _prepared_next(link: Link, errback: Errback | None) -> Link:
    if isinstance(link, tuple):
        return _prepared(link if isinstance(link, Next) else Next(*link), errback)
    return link


def _milliseconds() -> int:
    return int(time.time() * 1000)
