"""What a client can be told, and how: the historical servers changed with their web clients.

WebQQ 3's server told everything that there was to tell. SmartQQ's told messages, one an answer.
Programs that speak SmartQQ and were never told more ignore the rest at best: qqbot 2017 looks
its message types up in a table of three, and ends when there is another one. It is known by
the User-Agent that it always sends.
"""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.models import (
    DiscussionMessage,
    Event,
    FriendMessage,
    GroupMessage,
    Kicked,
    SessionMessage,
)

__all__ = ["EVERYTHING", "Habits", "habits_of"]

#: clientid of the programs that know SmartQQ's own events only (qqbot 2017, SmartQQBot 2016,
#: smartqq (Java) 2017, Mojo-Webqq 2018): it is what the web client of SmartQQ sent.
SMARTQQ_CLIENTID = 53999199
#: In the User-Agent of qqbot 2017.
_QQBOT = "Intel Mac OS X 10.9; rv:27.0"
#: retcodes for a poll of no session (webqq.md, E).
NOT_LOGGED_IN, SESSION_GONE = 103, 100001

_THREE = frozenset[type]({FriendMessage, GroupMessage, DiscussionMessage})


class Habits(NamedTuple):
    """How to speak with one client.

    Args:
        kinds: events that it knows; None for all.
        at_once: events in one answer to poll2.
        lost: retcode for a session that is over. qqbot takes 103 for "nothing new" and asks
            again without a pause; with 100001 it ends, or logs in again.
    """

    kinds: frozenset[type] | None = None
    at_once: int = 50
    lost: int = NOT_LOGGED_IN

    def knows(self, event: Event) -> bool:
        """Whether the client is to be told."""
        return self.kinds is None or type(event) in self.kinds


EVERYTHING = Habits()
_SMARTQQ = Habits(at_once=1)
_SMARTQQ_CLIENT = Habits(_THREE | {SessionMessage, Kicked}, at_once=1)
_QQBOT_CLIENT = Habits(_THREE, at_once=1, lost=SESSION_GONE)


def habits_of(dialect: str, clientid: int, user_agent: str) -> Habits:
    """How to speak with a client.

    Args:
        dialect: "webqq3" or "smartqq"; "" when there is no session that tells.
        clientid: that it sent.
        user_agent: that it sent.
    """
    if clientid == SMARTQQ_CLIENTID and dialect != "webqq3":
        return _QQBOT_CLIENT if _QQBOT in user_agent else _SMARTQQ_CLIENT
    return _SMARTQQ if dialect == "smartqq" else EVERYTHING
