"""The poll chain: poll2 without end, and the consequences of each answer.

A poll confirms to the server that its last response has arrived. So after a poll without a sensible
answer (its connection broke or died, a front server gave up) the session is resumed before the
next one: login2 with its psessionid makes the server repeat its last answer (Mojo-Webqq 2018 did
so after retcodes 120 and 121). Our own server also learns which message arrived last, see
`protocol.delivery`: then a poll that was delayed on its way, and overtaken by a later one,
confirms nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..engine.errors import StreamError, TimeoutError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action, meaning_of
from ..protocol.delivery import LAST_EVENT_ID
from ..protocol.dialect import SMARTQQ
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.models.events import Event, Kicked, PollReply
from ..protocol.models.login import Secret
from .contacts import Contacts, Message
from .contacts_fetch import ContactsFetch
from .context import ClientContext, Loss, Recovery
from .directory import Directory, recovery_of
from .inbox import Inbox
from .login import resuming, was_kicked
from .session import SessionKeeper

__all__ = ["Poll", "Received"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds for a poll (qqbot 2017, Mojo-Webqq 2018).
POLL_TIMEOUT = 120.0
#: Seconds for resuming a session: one small request. A server that needs longer is away, or slow;
#: `session` waits for both.
RESUME_TIMEOUT = 4.0
#: Senseless answers in a row after which the client logs in again (Mojo-Webqq 2018).
MAX_SENSELESS = 3
#: The same for error pages of a front server that gave up waiting (qqbot 2017): on a quiet day
#: every poll ends so, which is no reason to log in again.
MAX_TIMED_OUT = 20
TIMED_OUT = frozenset({404, 502, 504})
#: Seconds to the next poll after an immediate answer without news, so that a server which does not
#: hold polls is not asked a thousand times a second; and how many seconds are immediate.
PAUSE, AT_ONCE = 1.0, 0.5
#: Pauses after senseless answers grow to so many times `PAUSE`.
MAX_PAUSES = 5


class Poll:
    """The poll chain of one session.

    Args:
        context: of the client, with an open session, which is polled.
        directory: gets the contacts when a message comes from an unknown sender.
        inbox: knows who is new.
        keeper: gets the new cookie, and resets its pauses while the session works.
        on_event: gets the events, one by one.
        former: the last session's poll, which may have been of the same session.

    Example:
        >>> poll = Poll(context, directory, inbox, keeper=keeper, on_event=print)
        >>> context.add_chain(poll.next_link(), "poll", poll.on_error)
    """

    def __init__(
        self,
        context: ClientContext,
        directory: Directory,
        inbox: Inbox,
        *,
        keeper: SessionKeeper,
        on_event: Callable[[Event], object],
        former: Poll | None = None,
    ) -> None:
        self._context, self._directory, self._inbox = context, directory, inbox
        self._keeper, self._on_event = keeper, on_event
        session = self._session = context.connection.open_session
        self._received = Received()
        if former is not None and former._session.psessionid == session.psessionid:
            self._received = former._received
            self._received.expect_repeat()
        self._senseless = self._broken = 0
        self._was_checked = False
        self._events: tuple[Event, ...] = ()
        self._delay = 0.0  # to the poll after the answer that is being processed

    def next_link(self, delay: float = 0) -> Next:
        """The next poll."""
        connection = self._context.connection
        # WebQQ 3 did not send ptwebqq here.
        ptwebqq = connection.ptwebqq if connection.dialect is SMARTQQ else Secret()
        form = forms.PollForm(connection.clientid, self._session.psessionid, ptwebqq)
        request = connection.request(connection.dialect.poll, form)
        return Next(_sent_once(request, self._received.last_id), self._on_poll, delay)

    def resume_link(self) -> Next:
        """The next poll, after a request that resumes the session."""
        self._events = ()  # not delivered, so the server repeats them
        return self._resume()

    def on_error(self, error: Exception) -> Link:
        """Errback of the chain."""
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        if self._events:  # the fetch of contacts failed, not the poll
            return self._deliver()
        if isinstance(error, TimeoutError):
            return self._resume()  # usual for a poll
        self._broken += 1
        if self._broken > MAX_SENSELESS:
            self._context.report_loss(Loss(str(error), Recovery.RECONNECT))
            return None
        return self._resume(PAUSE * (self._broken - 1))

    def _on_poll(self, response: Response) -> Link:
        if response.status != 200:
            limit = MAX_TIMED_OUT if response.status in TIMED_OUT else MAX_SENSELESS
            return self._after_nonsense(f"HTTP status {response.status}", limit)
        try:
            reply = self._context.connection.dialect.poll.parse(response.body)
        except ProtocolError as error:
            return self._after_nonsense(str(error))
        return self._after(reply, response.request_time < AT_ONCE)

    def _after(self, reply: PollReply, is_quick: bool) -> Link:
        action = reply.action
        why = f"poll2 answered {reply.retcode} ({meaning_of(reply.retcode)})"
        self._broken = 0
        if action is Action.COUNT:
            return self._after_nonsense(why, then=self.next_link)  # an answer nevertheless
        if action is Action.CHECK_ONLINE and not self._was_checked:
            return self._check_online(why)
        if action not in (Action.GO_ON, Action.ASK_AGAIN, Action.NEW_PTWEBQQ):
            self._context.report_loss(Loss(why, recovery_of(action)))
            return None
        self._senseless, self._was_checked = 0, False
        self._keeper.reset_backoff()
        if action is Action.NEW_PTWEBQQ:
            self._keeper.renew_ptwebqq(reply.ptwebqq)
        if not reply.events:
            return self.next_link(PAUSE if is_quick else 0)
        self._events = self._received.new_of(reply.events)
        # A server that repeats itself without end would be asked a thousand times a second.
        self._delay = PAUSE if is_quick and self._received.repeats > 1 else 0.0
        if any(self._is_from_stranger(event) for event in self._events):
            # A new friend or group: fetch the contacts first, then deliver the message.
            context = self._context
            return ContactsFetch(context.connection, context.account, self._introduce).first()
        return self._deliver()

    def _is_from_stranger(self, event: Event) -> bool:
        return isinstance(event, Message) and self._inbox.is_from_stranger(event)

    def _check_online(self, why: str) -> Link:
        """Ask who is online: that revived some sessions (qqbot 2017). Do so once, else log in."""
        connection, session = self._context.connection, self._session
        self._was_checked = True
        form = forms.OnlineForm(connection.clientid, session.psessionid, session.vfwebqq)
        request = connection.request(connection.dialect.online, form)
        return Next(request, lambda response: self._on_online(response, why))

    def _on_online(self, response: Response, why: str) -> Link:
        try:
            self._context.connection.dialect.online.parse(response.body)
        except ProtocolError:
            self._context.report_loss(Loss(why))
            return None
        return self.next_link()

    def _introduce(self, contacts: Contacts) -> Link:
        self._directory.update(contacts)
        return self._deliver()

    def _deliver(self) -> Link:
        events, self._events = self._events, ()
        for event in events:
            self._on_event(event)
        self._received.note(events)
        is_open = self._context.connection.session is self._session
        return self.next_link(self._delay) if is_open else None

    def _after_nonsense(
        self,
        what: str,
        limit: int = MAX_SENSELESS,
        then: Callable[[float], Next] | None = None,
    ) -> Link:
        self._senseless += 1
        logger.debug("%s: poll: %s (%d in a row)", self._context.name, what, self._senseless)
        if self._senseless < limit:
            return (then or self._resume)(PAUSE * min(self._senseless, MAX_PAUSES))
        self._context.report_loss(Loss(what))
        return None

    # -- after a poll without an answer -------------------------------------------------------

    def _resume(self, delay: float = 0) -> Next:
        connection, psessionid = self._context.connection, self._session.psessionid
        form = forms.Login2Form(connection.clientid, connection.ptwebqq, psessionid)
        request = connection.request(connection.dialect.login2, form)
        limited = resuming(request).replace(request_timeout=RESUME_TIMEOUT)
        return Next(limited, self._on_resumed, delay, self._on_resume_error)

    def _on_resumed(self, response: Response) -> Link:
        session = self._context.connection.dialect.login2.parse(response.body)
        if session.psessionid != self._session.psessionid:
            reason = "the session had ended when the server came back"
            self._context.report_loss(Loss(reason, Recovery.RECONNECT))
            return None
        self._received.expect_repeat()
        return self.next_link()

    def _on_resume_error(self, error: Exception) -> Link:
        if was_kicked(error):
            self._on_event(Kicked(error.excerpt))
        elif isinstance(error, RefusedError):
            self._context.report_loss(Loss(str(error)))
        elif isinstance(error, (StreamError, ProtocolError)):
            self._context.report_loss(Loss(str(error), Recovery.RECONNECT))
        else:
            raise error
        return None


class Received:
    """The last answer of a session that has arrived.

    A server repeats its last answer when a session is resumed. The inbox recognizes messages by
    their numbers; other events have none, so those of the last answer are remembered here.

    Attributes:
        last_id: msg_id of the last message that was delivered; 0 before the first.
        repeats: times that the last answer was repeated without a change.
    """

    def __init__(self) -> None:
        self.last_id = self.repeats = 0
        self._whole: tuple[Event, ...] = ()  # the last answer
        self._news: tuple[Event, ...] = ()  # other events of the last delivered answer
        self._answer: tuple[Event, ...] = ()  # the same of the answer being delivered
        self._may_repeat = False

    def expect_repeat(self) -> None:
        """Note that the session was resumed: the next answer may begin with the last one."""
        self._may_repeat = True

    def new_of(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """The events of an answer without repeated ones; messages are left to the inbox.

        Args:
            events: of the answer, in order.
        """
        self.repeats = self.repeats + 1 if events == self._whole else 0
        self._whole = events
        news = tuple(event for event in events if not isinstance(event, Message))
        is_repeated = self._may_repeat and news[: len(self._news)] == self._news
        repeated = len(self._news) if is_repeated else 0
        self._answer, self._may_repeat = news, False
        fresh = []
        for event in events:
            if not isinstance(event, Message) and repeated:
                repeated -= 1
            else:
                fresh.append(event)
        return tuple(fresh)

    def note(self, events: tuple[Event, ...]) -> None:
        """Note that the last answer was delivered.

        Args:
            events: as `new_of` returned them.
        """
        self._news = self._answer
        ids = [event.msg_id for event in events if isinstance(event, Message)]
        self.last_id = max([self.last_id, *ids])


def _sent_once(request: Request, last_id: int) -> Request:
    """Make a poll fail, rather than repeat, when its connection breaks before an answer.

    libcurl silently repeats a request when a reused connection breaks, but not if its body comes
    from an iterator. A second poll would tell the server that its answer to the first has
    arrived.

    Args:
        request: the poll.
        last_id: msg_id of the last message that has arrived.
    """
    body = request.body if isinstance(request.body, bytes) else b""
    return request.replace(
        body=iter((body,)),
        body_size=len(body),
        headers=(*request.header_pairs, (LAST_EVENT_ID, str(last_id))),
        request_timeout=POLL_TIMEOUT,
    )
