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
from typing import Protocol

from ..engine.errors import StreamError, TimeoutError
from ..engine.links import Link, Next
from ..engine.request import Request
from ..engine.response import Response
from ..protocol import forms
from ..protocol.codes import Action, meaning_of
from ..protocol.delivery import LAST_EVENT_ID
from ..protocol.dialect import SMARTQQ, Dialect
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError, RefusedError
from ..protocol.models.events import Event, Kicked, PollReply
from ..protocol.models.login import Secret, Session
from .contacts import Contacts
from .contacts_fetch import ContactsFetch
from .login import resuming, was_kicked
from .poll_receipts import Received

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


class Poller(Protocol):
    """The part of a client that the poll chain uses."""

    name: str
    endpoints: Endpoints
    dialect: Dialect
    ptwebqq: Secret
    clientid: int
    session: Session | None

    def take(self, event: Event) -> None:
        """Pass an event to the listeners."""

    def is_from_stranger(self, event: Event) -> bool:
        """Return True for an author who is not in the contacts, but may be after a fetch."""

    def fetch(self, then: Callable[[Contacts], Link]) -> ContactsFetch:
        """A fetch of the contacts in the open session."""

    def know(self, contacts: Contacts) -> None:
        """Replace the contacts."""

    def stay_online(self) -> None:
        """The session works."""

    def renew_ptwebqq(self, ptwebqq: Secret) -> None:
        """The server has changed that cookie."""

    def lose_session(self, reason: str, *, relink: bool = False) -> None:
        """The server does not know the session any more."""

    def lose_connection(self, reason: str) -> None:
        """The server cannot be reached."""


class Poll:
    """The poll chain of one session.

    Args:
        client: whose it is.
        session: which is polled.
        former: the last one's, which may have been of the same session.

    Example:
        >>> poll = Poll(client, session)
        >>> client.add_chain(poll.next_link(), "poll", poll.on_error)
    """

    def __init__(self, client: Poller, session: Session, former: Poll | None = None) -> None:
        self._client = client
        self._session = session
        self._received = Received()
        if former is not None and former._session.psessionid == session.psessionid:
            self._received = former._received
            self._received.expect_repeat()
        self._senseless = self._broken = 0
        self._was_checked = False
        self._events: tuple[Event, ...] = ()
        self._delay = 0.0  # to the poll after the answer that is being taken in

    def next_link(self, delay: float = 0) -> Next:
        """One more poll."""
        client = self._client
        # WebQQ 3 did not say ptwebqq here.
        ptwebqq = client.ptwebqq if client.dialect is SMARTQQ else Secret()
        form = forms.PollForm(client.clientid, self._session.psessionid, ptwebqq)
        request = Request.of(client.dialect.poll.request(client.endpoints, form))
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
            self._client.lose_connection(str(error))
            return None
        return self._take_up(PAUSE * (self._broken - 1))

    def _on_poll(self, response: Response) -> Link:
        if response.status != 200:
            limit = MAX_TIMED_OUT if response.status in TIMED_OUT else MAX_SENSELESS
            return self._after_nonsense(f"HTTP status {response.status}", limit)
        try:
            reply = self._client.dialect.poll.parse(response.body)
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
            self._client.lose_session(why, relink=action is Action.RELINK)
            return None
        self._senseless, self._was_checked = 0, False
        self._client.stay_online()
        if action is Action.NEW_PTWEBQQ:
            self._client.renew_ptwebqq(reply.ptwebqq)
        if not reply.events:
            return self.next_link(PAUSE if is_quick else 0)
        self._events = self._received.new_of(reply.events)
        # One that repeats itself without end would be asked a thousand times a second.
        self._delay = PAUSE if is_quick and self._received.repeats > 1 else 0.0
        if any(self._client.is_from_stranger(event) for event in self._events):
            # A friend or group that is new: who it is comes first, the message then.
            return self._client.fetch(self._introduce).first()
        return self._deliver()

    def _check_online(self, why: str) -> Link:
        """Asking who is online brought some sessions back (qqbot 2017); once, else log in."""
        client = self._client
        self._was_checked = True
        form = forms.OnlineForm(client.clientid, self._session.psessionid, self._session.vfwebqq)
        request = client.dialect.online.request(client.endpoints, form)
        return Next(request, lambda response: self._on_online(response, why))

    def _on_online(self, response: Response, why: str) -> Link:
        try:
            self._client.dialect.online.parse(response.body)
        except ProtocolError:
            self._client.lose_session(why)
            return None
        return self.next_link()

    def _introduce(self, contacts: Contacts) -> Link:
        self._client.know(contacts)
        return self._deliver()

    def _deliver(self) -> Link:
        events, self._events = self._events, ()
        for event in events:
            self._client.take(event)
        self._received.note(events)
        return self.next_link(self._delay) if self._client.session is self._session else None

    def _after_nonsense(
        self,
        what: str,
        limit: int = MAX_SENSELESS,
        then: Callable[[float], Next] | None = None,
    ) -> Link:
        self._senseless += 1
        logger.debug("%s: poll: %s (%d in a row)", self._client.name, what, self._senseless)
        if self._senseless < limit:
            return (then or self._take_up)(PAUSE * min(self._senseless, MAX_PAUSES))
        self._client.lose_session(what)
        return None

    # -- after a poll without an answer -------------------------------------------------------

    def _take_up(self, delay: float = 0) -> Next:
        client = self._client
        form = forms.Login2Form(client.clientid, client.ptwebqq, self._session.psessionid)
        request = Request.of(client.dialect.login2.request(client.endpoints, form))
        limited = resuming(request).replace(request_timeout=RESUME_TIMEOUT)
        return Next(limited, self._on_taken_up, delay, self._on_not_taken_up)

    def _on_taken_up(self, response: Response) -> Link:
        session = self._client.dialect.login2.parse(response.body)
        if session.psessionid != self._session.psessionid:
            self._client.lose_connection("the session was over when the server was there again")
            return None
        self._received.expect_repeat()
        return self.next_link()

    def _on_not_taken_up(self, error: Exception) -> Link:
        if was_kicked(error):
            self._client.take(Kicked(error.excerpt))
        elif isinstance(error, RefusedError):
            self._client.lose_session(str(error))
        elif isinstance(error, (StreamError, ProtocolError)):
            self._client.lose_connection(str(error))
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
