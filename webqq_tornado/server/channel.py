"""Who is online, and when a message counts as delivered.

A message for a WebQQ session lies in storage until the session has got it. An answer to poll2
can be lost on its way, so an answer alone proves nothing: what it held counts as delivered when
the *next* poll of the same session arrives. If the connection breaks before the answer was
written, or the account opens another session first, the same messages are given again. Clients
compare msg_id, as they had to with Tencent's server (twqq 2014).

Events (a friend came online, kicked) are news of the moment: they are not stored.

uins are made up anew for each session, as Tencent's were: a friend's uin is not the QQ number,
a group's gid and code are not its number. Only one's own uin is one's QQ number.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from ..protocol.codes import Status
from ..protocol.models import (
    Content,
    Event,
    FriendMessage,
    GroupMessage,
    Kicked,
    Secret,
    StatusChange,
)
from .storage import Conversation, Nonce, Storage, StoredMessage

__all__ = ["Channel", "Listener", "PollSession", "SessionOver"]

logger = logging.getLogger("webqq_tornado.server")

#: uins of one session are drawn from here: 32 bits, as they were.
_FIRST_UIN, _UINS = 10**8, 4 * 10**9
#: Events in one answer to poll2: clients of SmartQQ look at the first only (qqbot 2017).
_MOST_AT_ONCE = {"webqq3": 50, "smartqq": 1}


class SessionOver(Exception):
    """The session was ended by another login; `kicked` is what the client is to be told."""

    def __init__(self, kicked: Kicked) -> None:
        super().__init__(kicked.reason)
        self.kicked = kicked


class Listener(Protocol):
    """A page that is open: it hears what concerns its account."""

    account: int

    def tell_message(self, message: StoredMessage) -> None:
        """Somebody, maybe oneself elsewhere, wrote."""

    def tell_status(self, account: int, status: Status) -> None:
        """A friend or fellow member came, went, changed."""

    def tell_contacts(self) -> None:
        """Friends or groups have changed."""


class Numbers:
    """The made-up numbers of one session, both ways."""

    def __init__(self) -> None:
        self._made: dict[object, int] = {}
        self._meant: dict[int, object] = {}

    def number_of(self, thing: object) -> int:
        """The number that stands for it in this session."""
        number = self._made.get(thing)
        while number is None or self._meant.get(number, thing) != thing:
            number = _FIRST_UIN + secrets.randbelow(_UINS)
        self._made[thing], self._meant[number] = number, thing
        return number

    def meaning_of(self, number: int) -> object:
        """What a number stands for; None if it was never given out."""
        return self._meant.get(number)


class PollSession:
    """One login of an account by the WebQQ protocol.

    Attributes:
        account: QQ number.
        dialect: "webqq3" or "smartqq".
        psessionid, vfwebqq, ptwebqq: its secrets.
        status: as the client set it.
    """

    def __init__(
        self,
        account: int,
        ptwebqq: Secret,
        status: Status,
        dialect: str = "webqq3",
        vfwebqq: Secret | None = None,
    ) -> None:
        self.account = account
        self.dialect = dialect
        self.psessionid = Secret(secrets.token_hex(64))
        self.vfwebqq = vfwebqq or Secret(secrets.token_hex(40))
        self.ptwebqq = ptwebqq
        self.status = status
        self.events: list[Event] = []  # to be told with the next answer
        self.given: list[int] = []  # messages in the last answer, not confirmed yet
        self.news = asyncio.Event()
        self.poll: object | None = None  # the poll that is held: a later one takes its place
        self.kicked: Kicked | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._numbers = Numbers()

    def __repr__(self) -> str:
        return f"<PollSession of {self.account} {self.status.value}>"

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Each of them names the session; the s host takes no psessionid, the d host no vfwebqq."""
        return (self.psessionid, self.vfwebqq, self.ptwebqq)

    def uin_of(self, account: int) -> int:
        """The uin that stands for an account."""
        return account if account == self.account else self._numbers.number_of(("person", account))

    def gid_of(self, group: int) -> int:
        """The gid that stands for a group."""
        return self._numbers.number_of(("group", group))

    def code_of(self, group: int) -> int:
        """The code under which a group is queried."""
        return self._numbers.number_of(("code", group))

    def meaning_of(self, uin: int, kind: str) -> int | None:
        """The account ("person") or group number ("group", "code") that a number stands for."""
        if kind == "person" and uin == self.account:
            return self.account
        match self._numbers.meaning_of(uin):
            case (str(found), int(number)) if found == kind:
                return number
        return None


class Channel:
    """The sessions and pages that are online, and what goes to them.

    Args:
        storage: where messages lie.
        poll_timeout: seconds a poll is held when there is nothing new.
        session_timeout: seconds without a poll after which a session is over.
    """

    def __init__(self, storage: Storage, poll_timeout: float, session_timeout: float) -> None:
        self.storage = storage
        self.poll_timeout = poll_timeout
        self.session_timeout = session_timeout
        self.is_closing = False
        self._by_account: dict[int, PollSession] = {}
        self._by_secret: dict[str, PollSession] = {}
        self._listeners: dict[int, set[Listener]] = {}

    # -- sessions ---------------------------------------------------------------------------

    def open_session(
        self,
        account: int,
        ptwebqq: Secret,
        status: Status,
        *,
        dialect: str = "webqq3",
        vfwebqq: Secret | None = None,
    ) -> PollSession:
        """A new session; the account's former one is told that it is over.

        Args:
            account: QQ number.
            ptwebqq: cookie that proved the login.
            status: to begin with.
            dialect: that the client speaks.
            vfwebqq: that it has already (SmartQQ).
        """
        former = self._by_account.get(account)
        if former is not None:
            logger.info("%d signed in elsewhere: the former session is over", account)
            reason = "您的帐号在另一地点登录，您已被迫下线。"  # Tencent's words, captures of 2013
            self._end(former, Kicked(reason=reason))
        session = PollSession(account, ptwebqq, status, dialect, vfwebqq)
        self._by_account[account] = session
        self._by_secret.update(dict.fromkeys(session.secrets, session))
        self._touch(session)
        self._announce(account)
        logger.info("%d is online by WebQQ", account)
        return session

    def find(self, secret: str) -> PollSession | None:
        """The session with this psessionid, vfwebqq or ptwebqq, also one that was kicked."""
        return self._by_secret.get(secret) if secret else None

    def close_session(self, session: PollSession) -> None:
        """The client logged out."""
        if session.kicked is None:
            self._end(session, Kicked(reason="", show_reason=False, way="logout"))
            self._announce(session.account)
            logger.info("%d logged out", session.account)
        self._forget(session)

    def set_status(self, session: PollSession, status: Status) -> None:
        """The client changed its status."""
        session.status = status
        self._announce(session.account)

    def status_of(self, account: int) -> Status:
        """How others see an account."""
        session = self._by_account.get(account)
        if session is not None:
            return Status.OFFLINE if session.status is Status.HIDDEN else session.status
        return Status.ONLINE if self._listeners.get(account) else Status.OFFLINE

    def is_polling(self, account: int) -> bool:
        """Whether the account is online by the protocol, not only on the page."""
        return account in self._by_account

    def _end(self, session: PollSession, kicked: Kicked) -> None:
        session.kicked = kicked
        session.news.set()
        if self._by_account.get(session.account) is session:
            del self._by_account[session.account]

    def _forget(self, session: PollSession) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
        for secret in session.secrets:
            if self._by_secret.get(secret) is session:
                del self._by_secret[secret]

    def _touch(self, session: PollSession) -> None:
        """The client is there: it has the session's timeout again."""
        if session.expiry is not None:
            session.expiry.cancel()
        loop = asyncio.get_running_loop()
        session.expiry = loop.call_later(self.session_timeout, self._expire, session)

    def _expire(self, session: PollSession) -> None:
        if session.poll is not None:
            self._touch(session)
            return
        was_online = session.kicked is None
        self._end(session, Kicked())
        self._forget(session)
        if was_online:
            logger.info("%d stopped polling and is offline", session.account)
            self._announce(session.account)

    # -- poll -------------------------------------------------------------------------------

    async def poll(self, session: PollSession, turn: object) -> list[Event]:
        """Wait for news.

        Args:
            session: whose.
            turn: stands for this poll, see `end_poll`.

        Returns:
            Events in order; none when the time is over, or a later poll came.

        Raises:
            SessionOver: another login ended the session; told once, then it is unknown.
        """
        self._touch(session)
        if session.given:
            self.storage.mark_delivered(session.account, session.given[-1])
            session.given = []
        session.poll = turn
        session.news.set()  # a poll that is held yields to this one
        deadline = asyncio.get_running_loop().time() + self.poll_timeout
        try:
            while session.poll is turn:
                session.news.clear()
                news = self._take_news(session)
                if news or self.is_closing:
                    return news
                await _wait(session.news, deadline)
                if asyncio.get_running_loop().time() >= deadline:
                    return []
            return []
        finally:
            if session.poll is turn:
                session.poll = None
                self._touch(session)

    def end_poll(self, session: PollSession, turn: object) -> None:
        """The client has gone away: a poll that is held ends with nothing."""
        if session.poll is turn:
            session.poll = None
            session.news.set()
            self._touch(session)

    def take_back(self, session: PollSession) -> None:
        """The answer could not be written: what it held is to be given again."""
        session.given = []

    def _take_news(self, session: PollSession) -> list[Event]:
        if session.kicked is not None:
            self._forget(session)
            raise SessionOver(session.kicked)
        limit = _MOST_AT_ONCE[session.dialect]
        events, session.events = session.events[:limit], session.events[limit:]
        messages = self.storage.undelivered(session.account, limit - len(events))
        session.given = [message.id for message in messages]
        return events + [event_for(session, message) for message in messages]

    def close(self) -> None:
        """Let go all polls that are held, with nothing new."""
        self.is_closing = True
        for session in set(self._by_secret.values()):
            session.news.set()
            if session.expiry is not None:
                session.expiry.cancel()

    # -- messages and presence --------------------------------------------------------------

    def send(
        self,
        sender: int,
        conversation: Conversation,
        content: Content,
        *,
        origin: PollSession | None = None,
        nonce: Nonce | None = None,
    ) -> StoredMessage:
        """Accept a message and pass it on.

        Args:
            sender: account.
            conversation: as the sender sees it; checked by the caller.
            content: what.
            origin: the sender's session that it came by; their other presences get it too.
            nonce: see `Storage.add_message`.
        """
        people = self._people_in(conversation)
        recipients = {person for person in people - {sender} if self._is_to_poll(person)}
        session = self._by_account.get(sender)
        if session is not None and session is not origin:
            recipients.add(sender)
        message, is_new = self.storage.add_message(sender, conversation, content, recipients, nonce)
        if is_new:
            for person in people | {sender}:
                self._notify(person, message)
        return message

    def _people_in(self, conversation: Conversation) -> set[int]:
        if conversation.kind == "friend":
            return {conversation.number}
        return {account.number for account, _ in self.storage.members(conversation.number)}

    def _is_to_poll(self, account: int) -> bool:
        # Who has only the page open has seen it there. Who is offline gets it when they are back.
        return account in self._by_account or not self._listeners.get(account)

    def _notify(self, account: int, message: StoredMessage) -> None:
        session = self._by_account.get(account)
        if session is not None:
            session.news.set()
        self._tell(account, lambda listener: listener.tell_message(message))

    def _announce(self, account: int) -> None:
        """Tell friends, and pages of fellow members, how an account is now."""
        status = self.status_of(account)
        friends = {friend.number for friend in self.storage.friends(account)}
        for friend in friends:
            session = self._by_account.get(friend)
            if session is not None:
                session.events.append(StatusChange(session.uin_of(account), status))
                session.news.set()
        for person in friends | {account}:
            self._tell(person, lambda listener: listener.tell_status(account, status))

    def contacts_changed(self, accounts: set[int]) -> None:
        """Friends or groups of these have changed."""
        for account in accounts:
            self._tell(account, lambda listener: listener.tell_contacts())

    def _tell(self, account: int, say: Callable[[Listener], None]) -> None:
        for listener in tuple(self._listeners.get(account, ())):
            say(listener)

    # -- pages ------------------------------------------------------------------------------

    def add_listener(self, listener: Listener) -> None:
        """A page was opened."""
        was_there = bool(self._listeners.get(listener.account))
        self._listeners.setdefault(listener.account, set()).add(listener)
        if not was_there and not self.is_polling(listener.account):
            self._announce(listener.account)

    def remove_listener(self, listener: Listener) -> None:
        """A page was closed."""
        listeners = self._listeners.get(listener.account, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.account, None)
            if not self.is_polling(listener.account) and not self.is_closing:
                self._announce(listener.account)


def event_for(session: PollSession, message: StoredMessage) -> Event:
    """A message as the session's account sees it."""
    sender = session.uin_of(message.sender)
    if message.kind == "group":
        return GroupMessage(
            gid=session.gid_of(message.target),
            sender=sender,
            content=message.content,
            code=session.code_of(message.target),
            recipient=session.account,
            time=message.time,
            msg_id=message.id,
            msg_id2=message.id,
            seq=message.id,
            info_seq=message.target,
        )
    return FriendMessage(
        sender=sender,
        content=message.content,
        recipient=session.uin_of(message.target),
        time=message.time,
        msg_id=message.id,
        msg_id2=message.id,
    )


async def _wait(news: asyncio.Event, deadline: float) -> None:
    left = deadline - asyncio.get_running_loop().time()
    try:
        await asyncio.wait_for(news.wait(), max(0.0, left))
    except asyncio.TimeoutError:
        return
