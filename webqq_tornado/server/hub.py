"""Delivery to online accounts: messages, presence, events of contacts."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from ..protocol.codes import Status
from ..protocol.content import build_sent
from ..protocol.models.content import Content
from ..protocol.models.events import (
    Event,
    FriendListChange,
    Kicked,
    StatusChange,
    SystemMessage,
    Typing,
)
from ..protocol.models.login import Secret
from .events import event_for, group_event
from .sessions import PendingPoll, PollSession
from .storage import ROOM_KINDS, Conversation, Nonce, Storage, StoredMessage, content_text
from .write_queue import WriteQueue

__all__ = ["Hub", "Listener", "PollSession", "SessionOver", "is_too_long"]

logger = logging.getLogger("webqq_tornado.server")

#: Messages read from disk at once for a client that was away.
_LOAD = 100
#: Maximum bytes of UTF-8 in one message. Clients cut theirs at 720 (qqbot 2017).
MAX_TEXT = 4096
#: Characters of all of it as JSON, with fonts and pictures; of a text's byte there are 6 at most.
MAX_WRITTEN = 8 * MAX_TEXT
#: client_type of accounts that are online with this server: 41 is a web client.
WEB_CLIENT = 41
#: Tencent's words, captures of 2013.
_KICKED = "您的账号在另一地点登录，您已被迫下线。如有疑问，请登录 safe.qq.com 了解更多。"
#: Ours: "You have signed out everywhere, or changed your password; sign in again."
_SIGNED_OUT = "您已在所有设备上退出登录或修改了密码，请重新登录。"


class SessionOver(Exception):
    """The session was ended by another login.

    Args:
        kicked: event for the client; None if it got that before.
    """

    def __init__(self, kicked: Kicked | None = None) -> None:
        super().__init__(kicked.reason if kicked is not None else "")
        self.kicked = kicked


class Listener(Protocol):
    """An open page, which is notified of its account's events."""

    account: int

    def notify_message(self, message: StoredMessage) -> None:
        """Deliver a message, maybe one that the account wrote on another device."""

    def notify_status(self, account: int, status: Status) -> None:
        """Deliver a change of a friend's or fellow member's status."""

    def notify_typing(self, account: int) -> None:
        """Report that a friend is typing."""

    def notify_contacts(self) -> None:
        """Report that friends, groups, discussions or requests have changed."""

    def notify_change(self, message: StoredMessage) -> None:
        """Report that a message was recalled."""

    def notify_poke(self, sender: int, target: int, group: int) -> None:
        """Notify pages of a poke, in a group or (0) in private."""


class Hub:
    """Delivery to the sessions and pages that are online.

    Args:
        storage: of messages.
        poll_timeout: seconds that a poll is held without events.
        session_timeout: seconds without a poll after which a session ends.

    Attributes:
        writes: messages that wait for their commit, see `together`.
        applications: accounts that programs drive by OneBot, with the function that wakes each.
        pictures_at: "host:port" where old clients find pictures.
    """

    def __init__(self, storage: Storage, poll_timeout: float, session_timeout: float) -> None:
        self.storage = storage
        self.poll_timeout = poll_timeout
        self.session_timeout = session_timeout
        self._closing = asyncio.Event()
        self.writes = WriteQueue(self.together)
        self._held: list[Callable[[], None]] | None = None  # by a block of `together`
        self._by_account: dict[int, PollSession] = {}
        self._by_secret: dict[tuple[str, str], PollSession] = {}  # by kind and secret
        self._listeners: dict[int, set[Listener]] = {}
        self.applications: dict[int, Callable[[], None]] = {}
        self._application_status: dict[int, Status] = {}
        self.pictures_at = ""
        # liblwqq skips a system_message whose seq it has seen. Captures have five digits; the first
        # seq is random, so that a restart does not repeat one.
        self._seq = itertools.count(10_000 + secrets.randbelow(50_000))

    @property
    def is_closing(self) -> bool:
        """True while the server is stopping."""
        return self._closing.is_set()

    # -- sessions ---------------------------------------------------------------------------

    def resume(self) -> None:
        """Restore the sessions that were open when the server stopped, or was killed."""
        for row in self.storage.sessions.all():
            self._add(PollSession(row))

    def open_session(
        self,
        account: int,
        ptwebqq: Secret,
        status: Status,
        *,
        dialect: str = "webqq3",
        vfwebqq: Secret | None = None,
    ) -> PollSession:
        """Open a session; the account's former one is ended and notified.

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
            self._end(former, Kicked(reason=_KICKED))
        session = PollSession.new(account, ptwebqq, status, dialect, vfwebqq)
        self.storage.sessions.put(session.row)
        self._add(session)
        self._announce(account)
        self._queue_requests(session)
        logger.info("%d has signed in by WebQQ", account)
        return session

    def _add(self, session: PollSession) -> None:
        self._by_account[session.account] = session
        self._by_secret.update(dict.fromkeys(session.secrets.items(), session))
        loop = asyncio.get_running_loop()
        session.seen = loop.time()
        session.expiry = loop.call_later(self.session_timeout, self._expire, session)

    def _queue_requests(self, session: PollSession) -> None:
        for request in self.storage.friends.requests(session.account):
            session.enqueue(self._system(session, "verify_required", request.asker, request.text))

    def find(self, secret: str | None, kind: str = "psessionid") -> PollSession | None:
        """The session with this secret, also one that was kicked.

        Args:
            secret: of the client; an empty one finds nothing.
            kind: "psessionid", "vfwebqq" or "ptwebqq", which are not interchangeable.
        """
        return self._by_secret.get((kind, secret)) if secret else None

    def close_session(self, session: PollSession) -> None:
        """Close the session of a client that logged out."""
        if session.kicked is None:
            self._end(session, Kicked(reason="", show_reason=False, way="logout"))
            self._announce(session.account)
            logger.info("%d logged out", session.account)
        self._forget(session)

    def sign_out(self, account: int) -> None:
        """End the session of an account signed out everywhere, as by a kick."""
        session = self._by_account.get(account)
        if session is not None:
            self._end(session, Kicked(reason=_SIGNED_OUT))
            self._announce(account)
            logger.info("%d was signed out", account)

    def set_status(self, session: PollSession, status: Status) -> None:
        """Change the status of a session."""
        session.status = status
        self.storage.sessions.set_status(session.psessionid, status.value)
        self._announce(session.account)

    def status_of(self, account: int) -> Status:
        """Status of an account, as other accounts see it."""
        session = self._by_account.get(account)
        if session is not None:
            return Status.OFFLINE if session.status is Status.HIDDEN else session.status
        if account in self._application_status and account in self.applications:
            status = self._application_status[account]
            return Status.OFFLINE if status is Status.HIDDEN else status
        return Status.ONLINE if self._listeners.get(account) else Status.OFFLINE

    def set_application_status(self, account: int, status: Status) -> None:
        """An application changes the status of the account that it drives."""
        self._application_status[account] = status
        self._announce(account)

    def is_online(self, account: int) -> bool:
        """Return True if others see an account as online."""
        return self.status_of(account) is not Status.OFFLINE

    def is_polling(self, account: int) -> bool:
        """Return True if the account is online by the protocol, not only on the page."""
        return account in self._by_account

    def _end(self, session: PollSession, kicked: Kicked) -> None:
        session.kicked = kicked
        self.storage.sessions.remove(session.psessionid)
        session.wake()
        if self._by_account.get(session.account) is session:
            del self._by_account[session.account]

    def _forget(self, session: PollSession) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
        for secret in session.secrets.items():
            if self._by_secret.get(secret) is session:
                del self._by_secret[secret]

    def _expire(self, session: PollSession) -> None:
        # One timer for many polls: it checks the time of the last one.
        loop = asyncio.get_running_loop()
        left = session.seen + self.session_timeout - loop.time()
        if session.held_poll is not None or left > 0:
            wait = max(left, 1.0) if session.held_poll is None else self.session_timeout
            session.expiry = loop.call_later(wait, self._expire, session)
            return
        was_online = session.kicked is None
        self._end(session, Kicked())
        self._forget(session)
        if was_online:
            logger.info("%d stopped polling and is offline", session.account)
            self._announce(session.account)

    # -- poll -------------------------------------------------------------------------------

    async def poll(
        self, session: PollSession, poll: PendingPoll, last_id: int | None = None
    ) -> list[Event]:
        """Wait for events.

        Args:
            session: that is polled.
            poll: identifies this poll, see `end_poll`.
            last_id: msg_id of the last message that has arrived, if the client reports it.

        Returns:
            Events in order; none after the timeout, or if a later poll came.

        Raises:
            SessionOver: another login ended the session; repeated until it is confirmed.
        """
        loop = asyncio.get_running_loop()
        self._note_delivered(session, last_id)
        if session.knows_end:
            self._forget(session)
            raise SessionOver
        session.held_poll = poll
        session.wake()  # a held poll yields to this one
        deadline = loop.time() + self.poll_timeout
        try:
            while session.held_poll is poll:
                events = self._take_events(session, poll)
                if events or self.is_closing or loop.time() >= deadline:
                    return events
                await session.wait(deadline)
            return []
        finally:
            session.seen = loop.time()
            if session.held_poll is poll:
                session.held_poll = None

    def _note_delivered(self, session: PollSession, last_id: int | None) -> None:
        arrived = session.confirm(last_id)
        if not arrived:
            return
        try:
            self.storage.messages.mark_delivered(session.account, arrived)
        except sqlite3.Error as error:  # locked, or the disk is full: delivery needs no disk
            logger.warning(
                "deliveries to %d could not be noted in %s (%s): retried with the next poll",
                session.account,
                self.storage.path,
                error,
            )
        else:
            session.noted()

    async def pause_until(self, deadline: float) -> None:
        """Hold an empty answer, unless the server stops.

        Args:
            deadline: loop time.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left > 0 and not self.is_closing:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closing.wait(), left)

    def end_poll(self, session: PollSession, poll: PendingPoll) -> None:
        """End a held poll without events: its client has disconnected."""
        session.requeue(poll)
        if session.held_poll is poll:
            session.held_poll = None
            session.wake()

    def requeue(self, session: PollSession) -> None:
        """Requeue the last answer of a session that its client resumes: it may be lost.

        The held poll is dead: it gets no more events.
        """
        session.requeue()
        session.held_poll = None
        session.wake()

    def _take_events(self, session: PollSession, poll: PendingPoll) -> list[Event]:
        if session.kicked is not None:
            session.report_end(poll)
            raise SessionOver(session.kicked)
        if session.is_behind:
            messages = self.storage.messages.undelivered(session.account, _LOAD)
            session.load(messages, len(messages) < _LOAD)
        events, messages = session.give(poll)
        where = self.pictures_at
        return events + [event_for(session, message, where) for message in messages]

    def close(self) -> None:
        """End all held polls without events; the sessions stay on disk."""
        self.writes.flush()
        self._closing.set()
        for session in set(self._by_secret.values()):
            session.wake()
            if session.expiry is not None:
                session.expiry.cancel()

    # -- messages -----------------------------------------------------------------------------

    def send(
        self,
        sender: int,
        conversation: Conversation,
        content: Content,
        *,
        origin: PollSession | None = None,
        nonce: Nonce | None = None,
        room: int = 0,
    ) -> StoredMessage:
        """Accept a message and deliver it.

        Args:
            sender: account.
            conversation: as the sender sees it; checked by the caller.
            content: of the message.
            origin: the sender's session it came by; the sender's other devices get it, too.
            nonce: see `Storage.add_message`.
            room: that brought two strangers together.
        """
        people = self._people_in(conversation)
        recipients = {person for person in people if self._is_to_poll(person)} - {sender}
        session = self._by_account.get(sender)
        if session is not None and session is not origin:
            recipients.add(sender)
        message, is_new = self.storage.messages.add(
            sender,
            conversation,
            content,
            recipients,
            nonce,
            origin=room,
            logged_for=self.applications.keys() & (people | {sender}),
        )
        if is_new:
            pass_on = partial(self._deliver, message, recipients, people | {sender})
            if self._held is None:
                pass_on()
            else:
                self._held.append(pass_on)
        return message

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit the messages sent in the block together, and deliver them afterwards.

        If the commit or the block fails, none of them was sent.
        """
        held = self._held = []
        try:
            with self.storage.messages.together():
                yield
        finally:
            self._held = None
        for pass_on in held:
            try:
                pass_on()
            except Exception:  # they are stored, so their senders must not repeat them
                logger.exception("a message could not be passed on at once")

    def _people_in(self, conversation: Conversation) -> frozenset[int]:
        if conversation.kind not in ROOM_KINDS:
            return frozenset({conversation.number})
        room = conversation.number
        return self.storage.rooms.member_numbers(room) - self.storage.rooms.blocked_by(room)

    def _is_to_poll(self, account: int) -> bool:
        # An open page alone has shown it. An offline recipient gets it at the next login.
        return account in self._by_account or not self._listeners.get(account)

    def _deliver(
        self, message: StoredMessage, recipients: Iterable[int], people: Iterable[int]
    ) -> None:
        for person in recipients:
            session = self._by_account.get(person)
            if session is not None:
                session.take_message(message)
        for person in self._pages_of(people):
            self._notify_pages(person, lambda listener: listener.notify_message(message))
        self._wake_applications(people)

    def recalled(self, message: StoredMessage, operator: int) -> None:
        """Withdraw a recalled message from the queues, and notify pages.

        Args:
            message: as it was.
            operator: QQ number of the account that recalled it.
        """
        people = self._people_in(Conversation(message.kind, message.target)) | {message.sender}
        for person in people:
            session = self._by_account.get(person)
            if session is not None:
                session.drop_message(message.id)
        changed = message._replace(content=Content(), recalled=operator)
        for person in self._pages_of(people):
            self._notify_pages(person, lambda listener: listener.notify_change(changed))

    def poked(self, people: Iterable[int], sender: int, target: int, group: int = 0) -> None:
        """Notify pages of a poke, in a group or (0) in private."""
        for person in self._pages_of(people):
            self._notify_pages(person, lambda listener: listener.notify_poke(sender, target, group))

    # -- applications ---------------------------------------------------------------------------

    def notify_applications(self, people: Iterable[int], **event: object) -> None:
        """Notify programs that drive accounts of events other than messages.

        Args:
            people: accounts, driven or not.
            event: as in OneBot 11, without `time` and `self_id`.
        """
        driven = self.applications.keys() & set(people)
        if driven:
            self.storage.onebot.log(driven, json.dumps(event, ensure_ascii=False))
            self._wake_applications(driven)

    def _wake_applications(self, people: Iterable[int]) -> None:
        if self.applications:
            for person in self.applications.keys() & set(people):
                self.applications[person]()

    def _pages_of(self, people: Iterable[int]) -> list[int]:
        return [person for person in people if person in self._listeners]

    # -- presence and contacts ----------------------------------------------------------------

    def _announce(self, account: int) -> None:
        """Send the status of an account to friends, and to pages of fellow members."""
        status = self.status_of(account)
        friends = self.storage.friends.numbers(account)
        for friend in friends:
            self.notify(friend, lambda to: StatusChange(to.uin_of(account), status, WEB_CLIENT))
        for person in friends | {account}:
            self._notify_pages(person, lambda listener: listener.notify_status(account, status))

    def notify(self, account: int, event: Callable[[PollSession], Event]) -> None:
        """Queue an event for an account's client, with the uins of its session."""
        session = self._by_account.get(account)
        if session is not None:
            session.enqueue(event(session))

    def typing(self, writer: int, friend: int) -> None:
        """Notify a friend that the writer is typing, on the page."""
        self.notify(friend, lambda to: Typing(to.uin_of(writer), to.account))
        self._notify_pages(friend, lambda listener: listener.notify_typing(writer))

    def requested(self, asker: int, asked: int, text: str) -> None:
        """Notify an account of a friend request."""
        self.notify(asked, lambda to: self._system(to, "verify_required", asker, text))
        self.contacts_changed({asked})
        self.notify_applications(
            {asked},
            post_type="request",
            request_type="friend",
            user_id=asker,
            comment=text,
            flag=f"friend-{asker}",
        )

    def _system(self, to: PollSession, type_: str, about: int, text: str = "") -> SystemMessage:
        return SystemMessage(
            type_,
            to.uin_of(about),
            about,
            text,
            seq=next(self._seq),
            status=self.status_of(about),
            client_type=WEB_CLIENT,
        )

    def refused(self, asker: int, asked: int) -> None:
        """Notify an account that its friend request was refused."""
        self.notify(asker, lambda to: self._system(to, "verify_rejected", asked))
        self.contacts_changed({asked})

    def befriended(self, one: int, other: int, type_: str) -> None:
        """Notify an account of a new friend.

        Args:
            one: account that did the last step.
            other: account to notify.
            type_: of the system_message: "added_buddy_sig", or "verify_pass_add" after a request.
        """
        self.notify(other, lambda to: self._system(to, type_, one))
        for me, friend in ((one, other), (other, one)):
            status = self.status_of(friend)
            self.notify(me, _change(added=friend))
            self.notify(me, _presence(friend, status))
            self.notify_applications(
                {me}, post_type="notice", notice_type="friend_add", user_id=friend
            )
        self.contacts_changed({one, other})

    def unfriended(self, one: int, other: int) -> None:
        """Notify two accounts that they are not friends any more."""
        for me, friend in ((one, other), (other, one)):
            self.notify(me, _change(removed=friend))
        self.contacts_changed({one, other})

    def group_changed(self, group: int, type_: str, also: Iterable[int] = (), **who: int) -> None:
        """Notify members that one came, left, or became administrator.

        Args:
            group: its number.
            type_: of the sys_g_msg, for example "group_join".
            also: former member to notify.
            who: see `events.group_event`.
        """
        people = self.storage.rooms.member_numbers(group) | set(also)
        for person in people:
            self.notify(person, lambda to: group_event(to, type_, group, **who))
        self.contacts_changed(people)

    def contacts_changed(self, accounts: Iterable[int]) -> None:
        """Notify pages that friends, rooms or requests have changed."""
        for account in self._pages_of(accounts):
            self._notify_pages(account, lambda listener: listener.notify_contacts())

    def _notify_pages(self, account: int, say: Callable[[Listener], None]) -> None:
        for listener in tuple(self._listeners.get(account, ())):
            say(listener)

    # -- pages ------------------------------------------------------------------------------

    def add_listener(self, listener: Listener) -> None:
        """Add an open page."""
        was_there = bool(self._listeners.get(listener.account))
        self._listeners.setdefault(listener.account, set()).add(listener)
        if not was_there and not self.is_polling(listener.account):
            self._announce(listener.account)

    def remove_listener(self, listener: Listener) -> None:
        """Remove a closed page."""
        listeners = self._listeners.get(listener.account, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.account, None)
            if not self.is_polling(listener.account) and not self.is_closing:
                self._announce(listener.account)


def _change(added: int = 0, removed: int = 0) -> Callable[[PollSession], Event]:
    def change(session: PollSession) -> Event:
        return FriendListChange(
            added=(session.uin_of(added),) if added else (),
            removed=(session.uin_of(removed),) if removed else (),
        )

    return change


def _presence(friend: int, status: Status) -> Callable[[PollSession], Event]:
    return lambda session: StatusChange(session.uin_of(friend), status, WEB_CLIENT)


def is_too_long(content: Content) -> bool:
    """Return True if a content is too long to be delivered."""
    is_long = len(content_text(content).encode("utf-8", "replace")) > MAX_TEXT
    return is_long or len(build_sent(content)) > MAX_WRITTEN
