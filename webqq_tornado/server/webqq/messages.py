"""Polling (poll2) and sending."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from functools import partial
from typing import Any

from tornado.iostream import StreamClosedError

from ...protocol import forms, smartqq, webqq3, wire
from ...protocol.delivery import IDEMPOTENCY_KEY, LAST_EVENT_ID, read_last_event_id
from ...protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from ...protocol.exchange import Exchange
from ...protocol.models import PollReply, Secret, SendReply
from ...protocol.models.content import Content, Face
from ..authentication import is_same
from ..client_contents import from_client
from ..events import DISCUSSION
from ..handlers import (
    BAD_REQUEST,
    NOT_LOGGED_IN,
    UNKNOWN_CONTACT,
    Answer,
    ExchangeHandler,
    exchanges_of,
)
from ..hub import PollSession, SessionOver, is_too_long
from ..quirks import SMARTQQ_CLIENTID, quirks_of
from ..sending import NotAllowed, check_may_send, settled
from ..storage import ROOM_KINDS, Conversation, Nonce, Storage

__all__ = ["ANSWERS", "PollHandler"]

#: Seconds in which a client may resend a message (Mojo-Webqq 2018 tried three times).
RESEND_SECONDS = 120
#: The same for clients whose keys are unique.
FOREVER = 2**40
#: msg_id of clients that do not number messages: each message had the number of a capture
#: (webqq-core 2013, and bots in Python of 2013, 2015 and 2017).
_NO_NUMBERS = frozenset({0, 13190001, 34220099, 52880001, 91310001})
#: Shortest duration of a poll without events, in seconds. Old clients rely on the server to hold
#: polls: some poll an ended session again as soon as they are refused, up to 2,400 times a second
#: (measured); with Tencent's server, the network limited that.
REFUSAL_SECONDS = 1.0
#: retcode "nothing new" (webqq.md, E); late SmartQQ said 0, without a result.
NOTHING_NEW = {"webqq3": 102, "smartqq": 0}


class PollHandler(ExchangeHandler):
    """Serves poll2, and watches whether the response is sent. A `sessions.PendingPoll`."""

    session: PollSession | None = None

    async def _serve(self) -> None:
        self._stream = getattr(self.request.connection, "stream", None)
        await super()._serve()
        try:
            await self.finish()
        except StreamClosedError:
            self._requeue()

    def is_lost(self) -> bool:
        """True if the connection was reset: the response cannot have been read."""
        return self._stream is not None and self._stream.error is not None

    def on_connection_close(self) -> None:
        """Requeue the events: the client disconnected before it had the response."""
        super().on_connection_close()
        self._requeue()

    def _requeue(self) -> None:
        if self.session is not None:
            self.server.hub.end_poll(self.session, self)


async def _poll(handler: ExchangeHandler, form: forms.PollForm) -> str:
    hub, loop = handler.server.hub, asyncio.get_running_loop()
    session = hub.find(form.psessionid)
    begun = loop.time()
    reply = await _poll_reply(handler, form, session)
    if not reply.events:
        # Also for a poll that yields to another one: two clients in one session would otherwise
        # poll in a tight loop.
        is_held = session is not None and reply.retcode == NOTHING_NEW[session.dialect]
        pause = min(REFUSAL_SECONDS, hub.poll_timeout) if is_held else REFUSAL_SECONDS
        await hub.pause_until(begun + pause)
    return _exchanges(session, form.clientid).poll.answer(reply)


def _exchanges(session: PollSession | None, clientid: int) -> Dialect:
    """Exchanges of a session, also of an unknown one."""
    if session is None:
        return SMARTQQ if clientid == SMARTQQ_CLIENTID else WEBQQ3
    return exchanges_of(session)


async def _poll_reply(
    handler: ExchangeHandler, form: forms.PollForm, session: PollSession | None
) -> PollReply:
    server = handler.server
    agent = handler.request.headers.get("User-Agent", "")
    quirks = quirks_of(session.dialect if session else "", form.clientid, agent)
    if session is None or (server.needs_online and not session.has_asked_online):
        return PollReply(quirks.lost)
    if not isinstance(handler, PollHandler):
        raise TypeError("poll2 is served by PollHandler")
    handler.session, session.quirks = session, quirks
    try:
        last_id = read_last_event_id(handler.request.headers.get(LAST_EVENT_ID))
        events = await server.hub.poll(session, handler, last_id)
    except SessionOver as over:
        if over.kicked is None or not quirks.knows(over.kicked):
            return PollReply(quirks.lost)
        return PollReply(0, (over.kicked,))
    return PollReply(0, tuple(events)) if events else PollReply(NOTHING_NEW[session.dialect])


# --- sending ----------------------------------------------------------------------------------


async def _send(
    handler: ExchangeHandler, form: Any, conversation: Conversation | None, room: int = 0
) -> str:
    server = handler.server
    session = server.hub.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    if conversation is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    if not form.content.parts or is_too_long(form.content):
        return wire.build_refusal(BAD_REQUEST, "content")
    try:
        check_may_send(server.storage, session.account, conversation)
        content = _content(server.storage, session.account, conversation, form.content)
    except NotAllowed as error:
        return wire.build_refusal(BAD_REQUEST, str(error))
    except ValueError:
        return wire.build_refusal(BAD_REQUEST, "content")
    send = partial(
        server.hub.send,
        session.account,
        conversation,
        content,
        origin=session,
        nonce=_nonce(handler, session, form, conversation),
        room=room,
    )
    await server.hub.writes.put(send)
    agent = handler.request.headers.get("User-Agent", "")
    quirks = quirks_of(session.dialect, form.clientid, agent)
    return _SENT_2017 if quirks.reads_retcode else _SENT[session.dialect]


def _content(
    storage: Storage, sender: int, conversation: Conversation, content: Content
) -> Content:
    if all(isinstance(part, (str, Face)) for part in content.parts):
        return content
    return settled(storage, sender, conversation, from_client(content))


def _ok(exchange: Exchange[Any, SendReply], words: str) -> str:
    return exchange.answer(SendReply(0, words))


#: Response to every message.
_SENT = {
    "webqq3": _ok(webqq3.SEND_FRIEND, "ok"),
    "smartqq": _ok(smartqq.SEND_FRIEND, "send ok"),
}
#: The same for clients that read the retcode, which exists since September 2017.
_SENT_2017 = wire.dump({"errCode": 0, "msg": "send ok", "retcode": 0})


def _nonce(
    handler: ExchangeHandler, session: PollSession, form: Any, conversation: Conversation
) -> Nonce | None:
    """The nonce that identifies a resent message, also in a new session.

    The response may have been lost with the old session.
    """
    key = handler.request.headers.get(IDEMPOTENCY_KEY)
    if key is not None:
        # Not by the key alone: a store restored from a backup assigns numbers twice.
        kind = conversation.kind if conversation.kind in ROOM_KINDS else "person"
        return Nonce(_mark(key, kind, conversation.number, form.content), FOREVER)
    # The same content to the same contact with the same numbers. Only for a while: some clients
    # started with the same numbers each time.
    mark = _mark(form.clientid, form.msg_id, *conversation, form.content)
    is_numbered = session.counts(form.msg_id, mark) and form.msg_id not in _NO_NUMBERS
    return Nonce(mark, RESEND_SECONDS) if is_numbered else None


def _mark(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "replace")).hexdigest()


async def _send_friend(handler: ExchangeHandler, form: forms.SendForm) -> str:
    session = handler.server.hub.find(form.psessionid)
    if session is None:
        return wire.build_refusal(NOT_LOGGED_IN)
    storage = handler.server.storage
    person = session.meaning_of(form.to, "person")
    if storage.friends.are_friends(session.account, person):
        return await _send(handler, form, Conversation("friend", person))
    # A client without sess_message received a stranger's message as a friend's, and replies so.
    room = storage.messages.session_origin(session.account, person)
    return await _send(handler, form, Conversation("session", person) if room else None, room)


async def _send_group(handler: ExchangeHandler, form: forms.GroupSendForm) -> str:
    # SmartQQBot 2016 replied to the code instead of the gid.
    return await _send(handler, form, _room_of(handler, form.psessionid, form.gid, "group", "code"))


async def _send_discussion(handler: ExchangeHandler, form: forms.DiscussionSendForm) -> str:
    return await _send(handler, form, _room_of(handler, form.psessionid, form.did, "discussion"))


def _room_of(
    handler: ExchangeHandler, psessionid: str, contact: int, *spaces: str
) -> Conversation | None:
    session = handler.server.hub.find(psessionid)
    kind = spaces[0]
    for space in spaces if session else ():
        number = session.meaning_of(contact, space) if session else 0
        if session and handler.server.storage.rooms.is_member(number, session.account):
            is_there = handler.server.storage.rooms.kind(number) == kind
            return Conversation(kind, number) if is_there else None
    return None


# --- temporary sessions -----------------------------------------------------------------------


def _signature(handler: ExchangeHandler, form: forms.SignatureForm) -> str:
    session = handler.server.hub.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    person = session.meaning_of(form.to, "person")
    room = _origin(handler, session, form, person)
    if not room:
        return wire.build_refusal(UNKNOWN_CONTACT)
    value = Secret(secrets.token_hex(32))
    handler.server.strangers.put((session.psessionid, form.to), (value, room))
    return exchanges_of(session).signature.answer(value)


def _origin(
    handler: ExchangeHandler, session: PollSession, form: forms.SignatureForm, person: int
) -> int:
    """The room that the two share; 0 if there is none."""
    storage = handler.server.storage
    kind = "discussion" if form.service_type == DISCUSSION else "group"
    room = session.meaning_of(form.origin, kind)
    both = {session.account, person}
    if storage.rooms.kind(room) == kind and both <= storage.rooms.member_numbers(room):
        return room
    # twqq 2014 always sent the same number: accept any room that both are in.
    is_other = person != session.account
    return storage.rooms.shared(session.account, person) if is_other else 0


async def _send_session(handler: ExchangeHandler, form: forms.SessionSendForm) -> str:
    session = handler.server.hub.find(form.psessionid)
    given, room = handler.server.strangers.get((form.psessionid, form.to)) or ("", 0)
    person = session.meaning_of(form.to, "person") if session else 0
    is_signed = bool(given) and is_same(given, form.signature)
    return await _send(handler, form, Conversation("session", person) if is_signed else None, room)


def _file(handler: ExchangeHandler, form: forms.FileForm) -> str:
    """Refuse: this server has no files offered by clients."""
    session = handler.server.hub.find(form.psessionid)
    is_over = session is None or session.kicked is not None
    return wire.build_refusal(NOT_LOGGED_IN if is_over else UNKNOWN_CONTACT)


ANSWERS: dict[object, Answer] = {
    webqq3.POLL.name: _poll,
    webqq3.SEND_FRIEND.name: _send_friend,
    webqq3.SEND_GROUP.name: _send_group,
    webqq3.SEND_DISCUSSION.name: _send_discussion,
    webqq3.SIGNATURE.name: _signature,
    webqq3.SEND_SESSION.name: _send_session,
    webqq3.FILE.name: _file,
}
