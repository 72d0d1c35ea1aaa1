"""Differences between clients: historical servers changed with their web clients.

WebQQ 3's server reported all events. SmartQQ's reported messages, one a response.
Programs that speak SmartQQ, and never got more, ignore the rest at best: qqbot 2017 looks
its message types up in a table of three, and ends when there is another one. SmartQQBot 2016 and
2017 looks for from_uin in a kick_message, and polls for ever unless it gets 100012. smartqq in
Java wants a retcode in the answer to a message, which had errCode until September 2017. They are
known by the User-Agent that they always send.
"""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.models.events import (
    DiscussionMessage,
    Event,
    FriendMessage,
    GroupMessage,
    Kicked,
    SessionMessage,
)

__all__ = ["EVERYTHING", "SMARTQQ", "SMARTQQ_CLIENTID", "WEBQQ3", "Quirks", "quirks_of"]

#: Names of the dialects, as sessions and tickets have them.
WEBQQ3, SMARTQQ = "webqq3", "smartqq"
#: clientid of the programs that know SmartQQ's own events only (qqbot 2017, SmartQQBot 2016,
#: smartqq (Java) 2017, Mojo-Webqq 2018): it is what the web client of SmartQQ sent.
SMARTQQ_CLIENTID = 53999199
#: In the User-Agent of qqbot 2017.
_QQBOT = "Intel Mac OS X 10.9; rv:27.0"
#: In the User-Agent of SmartQQBot 2016 to 2018.
_SMARTQQBOT = "Mac OS X 10_11_3) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/47.0.2526.111"
#: In the User-Agent of smartqq (Java) 2017, and of node-smartqq 2017.
_SMARTQQ_JAVA = "Windows NT 6.3; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/45.0.2454.101"
#: retcodes for a poll of no session (webqq.md, E).
NOT_LOGGED_IN, SESSION_GONE, LOGIN_EXPIRED = 103, 100001, 100012

_THREE = frozenset[type]({FriendMessage, GroupMessage, DiscussionMessage})


class Quirks(NamedTuple):
    """The differences of one client from others.

    Args:
        kinds: events that it knows; None for all.
        at_once: events in one answer to poll2.
        lost: retcode for a session that is over. qqbot takes 103 for "nothing new" and asks
            again without a pause; with 100001 it ends, or logs in again.
        reads_retcode: whether it reads the retcode of the answer to a message, not the errCode.
    """

    kinds: frozenset[type] | None = None
    at_once: int = 50
    lost: int = NOT_LOGGED_IN
    reads_retcode: bool = False

    def knows(self, event: Event) -> bool:
        """Return True if the client understands an event."""
        return self.kinds is None or type(event) in self.kinds


EVERYTHING = Quirks()
_SMARTQQ = Quirks(at_once=1)
_SMARTQQ_CLIENT = Quirks(_THREE | {SessionMessage, Kicked}, at_once=1)
_BY_USER_AGENT = {
    _QQBOT: Quirks(_THREE, at_once=1, lost=SESSION_GONE),
    _SMARTQQBOT: Quirks(_THREE | {SessionMessage}, at_once=1, lost=LOGIN_EXPIRED),
    _SMARTQQ_JAVA: _SMARTQQ_CLIENT._replace(reads_retcode=True),
}


def quirks_of(dialect: str, clientid: int, user_agent: str) -> Quirks:
    """The quirks of a client.

    Args:
        dialect: "webqq3" or "smartqq"; "" without a session.
        clientid: that it sent.
        user_agent: that it sent.
    """
    if clientid == SMARTQQ_CLIENTID and dialect != WEBQQ3:
        known = (quirks for words, quirks in _BY_USER_AGENT.items() if words in user_agent)
        return next(known, _SMARTQQ_CLIENT)
    return _SMARTQQ if dialect == SMARTQQ else EVERYTHING
