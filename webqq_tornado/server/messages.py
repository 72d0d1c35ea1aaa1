"""poll2 and sending."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from tornado.iostream import StreamClosedError

from ..protocol import forms, webqq3, wire
from ..protocol.models import Content, PollReply, Secret, SendReply
from .channel import PollSession, SessionOver
from .gate import is_same
from .handlers import BAD_REQUEST, NOT_LOGGED_IN, UNKNOWN_CONTACT, Answer, ExchangeHandler
from .storage import Conversation, Nonce

__all__ = ["ANSWERS", "PollHandler"]

#: Bytes of UTF-8 in one message. Clients cut theirs at 720 (qqbot 2017); more is no message.
MAX_TEXT = 4096
#: Seconds in which a message may come again (Mojo-Webqq 2018 tried three times).
RESEND_SECONDS = 120
#: retcode "nothing new" (webqq.md, E).
NOTHING_NEW = 102


class PollHandler(ExchangeHandler):
    """poll2: its answer is watched on its way out, see `channel`."""

    session: PollSession | None = None

    async def _serve(self) -> None:
        await super()._serve()
        try:
            await self.finish()
        except StreamClosedError:
            self._take_back()

    def on_connection_close(self) -> None:
        """The client went away while the poll was held, or before it had the answer."""
        super().on_connection_close()
        self._take_back()
        if self.session is not None:
            self.server.channel.end_poll(self.session, self)

    def _take_back(self) -> None:
        if self.session is not None:
            self.server.channel.take_back(self.session)


async def _poll(handler: ExchangeHandler, form: forms.PollForm) -> str:
    channel = handler.server.channel
    session = channel.find(form.psessionid)
    if session is None:
        return webqq3.POLL.answer(PollReply(NOT_LOGGED_IN))
    if isinstance(handler, PollHandler):
        handler.session = session
    try:
        events = await channel.poll(session, handler)
    except SessionOver as over:
        return webqq3.POLL.answer(PollReply(0, (over.kicked,)))
    return webqq3.POLL.answer(PollReply(0, tuple(events)) if events else PollReply(NOTHING_NEW))


def _send(
    handler: ExchangeHandler, form: Any, conversation: Conversation | None, exchange: Any
) -> str:
    server = handler.server
    session = server.channel.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    if conversation is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    if not form.content.parts or is_too_long(form.content):
        return wire.build_refusal(BAD_REQUEST, "content")
    nonce = _nonce(form, conversation) if form.msg_id else None
    server.channel.send(session.account, conversation, form.content, origin=session, nonce=nonce)
    return str(exchange.answer(SendReply(0, "ok")))


def _nonce(form: Any, conversation: Conversation) -> Nonce:
    """The same words to the same contact under the same numbers are a message sent again.

    Also in a new session: the answer may have been lost with the old one. Only for a while,
    because there were clients that began with the same numbers whenever they started.
    """
    text = repr((form.clientid, form.msg_id, *conversation, form.content))
    return Nonce(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest(), RESEND_SECONDS)


def is_too_long(content: Content) -> bool:
    """Whether nobody would deliver it."""
    return len(content.text.encode("utf-8", "replace")) > MAX_TEXT


def _send_friend(handler: ExchangeHandler, form: forms.SendForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    friend = session.meaning_of(form.to, "person") if session else None
    known = (
        session is not None
        and friend is not None
        and handler.server.storage.are_friends(session.account, friend)
    )
    conversation = Conversation("friend", friend) if known and friend else None
    return _send(handler, form, conversation, webqq3.SEND_FRIEND)


def _send_group(handler: ExchangeHandler, form: forms.GroupSendForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    group = session.meaning_of(form.gid, "group") if session else None
    known = (
        session is not None
        and group is not None
        and handler.server.storage.is_member(group, session.account)
    )
    conversation = Conversation("group", group) if known and group else None
    return _send(handler, form, conversation, webqq3.SEND_GROUP)


def _signature(handler: ExchangeHandler, form: forms.SignatureForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    if session is None or session.kicked is not None:
        return wire.build_refusal(NOT_LOGGED_IN)
    group = session.meaning_of(form.origin, "group")
    person = session.meaning_of(form.to, "person")
    storage = handler.server.storage
    if group is None or person is None or not storage.is_member(group, person):
        return wire.build_refusal(UNKNOWN_CONTACT)
    value = Secret(secrets.token_hex(32))
    handler.server.strangers.put((session.psessionid, form.to), value)
    return webqq3.SIGNATURE.answer(value)


def _send_session(handler: ExchangeHandler, form: forms.SessionSendForm) -> str:
    session = handler.server.channel.find(form.psessionid)
    given = handler.server.strangers.get((form.psessionid, form.to))
    person = session.meaning_of(form.to, "person") if session else None
    is_signed = given is not None and is_same(given, form.signature)
    conversation = Conversation("friend", person) if is_signed and person else None
    return _send(handler, form, conversation, webqq3.SEND_SESSION)


ANSWERS: dict[object, Answer] = {
    webqq3.POLL.name: _poll,
    webqq3.SEND_FRIEND.name: _send_friend,
    webqq3.SEND_GROUP.name: _send_group,
    webqq3.SIGNATURE.name: _signature,
    webqq3.SEND_SESSION.name: _send_session,
}
