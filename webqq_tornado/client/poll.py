"""The poll chain: poll2, and again, and again; what each answer means for it.

To the server another poll says that its last answer has arrived. So after a poll without an
answer that makes sense (its connection broke or died, a front server gave up) the session is
taken up again before the next one: login2 with its psessionid, which has the server give its
last answer once more (Mojo-Webqq 2018 did so after retcodes 120 and 121). Our own server is told
what has arrived besides, see `protocol.delivery`: a poll that was delayed on its way, and comes
in after a later one, confirms nothing then.
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
from .poll_receipts import Received
from .session import SessionKeeper

__all__ = ["Poll"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Seconds for a poll (qqbot 2017, Mojo-Webqq 2018).
POLL_TIMEOUT = 120.0
#: Seconds for taking a session up again: one small request. Whoever needs longer is not there, or
#: slow, and `signing` has the patience for both.
RESUME_TIMEOUT = 4.0
#: Answers in a row without sense after which one logs in again (Mojo-Webqq 2018).
MAX_SENSELESS = 3
#: The same for pages of a front server that gave up waiting (qqbot 2017): on a quiet day they
#: are how every poll ends, and no reason to log in again.
MAX_TIMED_OUT = 20
TIMED_OUT = frozenset({404, 502, 504})
#: Seconds to the next poll after an answer without news that came at once, so that a server
#: which does not hold polls is not asked a thousand times a second; and how quick that is.
PAUSE, AT_ONCE = 1.0, 0.5
#: Pauses after senseless answers grow to so many times that.
MAX_PAUSES = 5


class Poll:
    """The poll chain of one session.

    Args:
        context: of the client, with an open session, which is polled.
        directory: gets the contacts when a message comes from somebody new.
        inbox: knows who is new.
        keeper: is told that the session works, and of a new cookie.
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
        """One more poll."""
        connection = self._context.connection
        # WebQQ 3 did not say ptwebqq here.
        ptwebqq = connection.ptwebqq if connection.dialect is SMARTQQ else Secret()
        form = forms.PollForm(connection.clientid, self._session.psessionid, ptwebqq)
        request = connection.request(connection.dialect.poll, form)
        return Next(_sent_once(request, self._received.last_id), self._on_poll, delay)

    def resume_link(self) -> Next:
        """One more poll, after a request that takes the session up again."""
        self._events = ()  # they were not taken in, so the server gives them again
        return self._take_up()

    def on_error(self, error: Exception) -> Link:
        """Errback of the chain."""
        if not isinstance(error, (StreamError, ProtocolError)):
            raise error
        if self._events:  # of the contacts: the poll itself was answered
            return self._deliver()
        if isinstance(error, TimeoutError):
            return self._take_up()  # nobody answered in time: not unusual for a poll
        self._broken += 1
        if self._broken > MAX_SENSELESS:
            self._context.report_loss(Loss(str(error), Recovery.RECONNECT))
            return None
        return self._take_up(PAUSE * (self._broken - 1))

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
            return self._after_nonsense(why, then=self.next_link)  # an answer all the same
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
        # One that repeats itself without end would be asked a thousand times a second.
        self._delay = PAUSE if is_quick and self._received.repeats > 1 else 0.0
        if any(self._is_from_stranger(event) for event in self._events):
            # A friend or group that is new: who it is comes first, the message then.
            context = self._context
            return ContactsFetch(context.connection, context.account, self._introduce).first()
        return self._deliver()

    def _is_from_stranger(self, event: Event) -> bool:
        return isinstance(event, Message) and self._inbox.is_from_stranger(event)

    def _check_online(self, why: str) -> Link:
        """Asking who is online brought some sessions back (qqbot 2017); once, else log in."""
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
            return (then or self._take_up)(PAUSE * min(self._senseless, MAX_PAUSES))
        self._context.report_loss(Loss(what))
        return None

    # -- after a poll without an answer -------------------------------------------------------

    def _take_up(self, delay: float = 0) -> Next:
        connection, psessionid = self._context.connection, self._session.psessionid
        form = forms.Login2Form(connection.clientid, connection.ptwebqq, psessionid)
        request = connection.request(connection.dialect.login2, form)
        limited = resuming(request).replace(request_timeout=RESUME_TIMEOUT)
        return Next(limited, self._on_taken_up, delay, self._on_not_taken_up)

    def _on_taken_up(self, response: Response) -> Link:
        session = self._context.connection.dialect.login2.parse(response.body)
        if session.psessionid != self._session.psessionid:
            reason = "the session was over when the server was there again"
            self._context.report_loss(Loss(reason, Recovery.RECONNECT))
            return None
        self._received.expect_repeat()
        return self.next_link()

    def _on_not_taken_up(self, error: Exception) -> Link:
        if was_kicked(error):
            self._on_event(Kicked(error.excerpt))
        elif isinstance(error, RefusedError):
            self._context.report_loss(Loss(str(error)))
        elif isinstance(error, (StreamError, ProtocolError)):
            self._context.report_loss(Loss(str(error), Recovery.RECONNECT))
        else:
            raise error
        return None


def _sent_once(request: Request, last_id: int) -> Request:
    """A poll that is an error when its connection breaks before an answer.

    libcurl sends a request again, without a word, when a connection that it has used before
    breaks; but not if its body comes out of an iterator. A second poll of the session would tell
    the server that its answer to the first has arrived.

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
