"""The closed lists of the protocol: retcodes, statuses, client types, poll types.

Tables and look-ups only. The retcodes and what to do about them are those of the clients of
2013 to 2018; Mojo-Webqq 2018 and qqbot 2017 are named where only one of them knew.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

__all__ = [
    "ACCEPTED",
    "CLIENT_TYPES",
    "ELSEWHERE",
    "RETCODES",
    "Action",
    "LoginResult",
    "Mask",
    "PollType",
    "QRState",
    "Retcode",
    "Status",
    "action_of",
    "meaning_of",
]


class Action(Enum):
    """A client's reaction to a retcode."""

    GO_ON = "go on"
    ASK_AGAIN = "ask again"
    CHECK_ONLINE = "call get_online_buddies2, log in again if that fails"
    LOG_IN_AGAIN = "log in again"
    RELINK = "login2 again with the old psessionid, else log in again"
    NEW_PTWEBQQ = "store the new ptwebqq, then ask again"
    RECOMPUTE_HASH = "compute the friend-list hash anew"
    COUNT = "ask again, log in again after three in a row"


class Retcode(NamedTuple):
    """One line of `RETCODES`."""

    meaning: str
    action: Action


_RELOGIN = Action.LOG_IN_AGAIN
_AGAIN = Action.ASK_AGAIN

RETCODES: dict[int, Retcode] = {
    0: Retcode("ok", Action.GO_ON),
    6: Retcode("group details not ready", _AGAIN),
    8: Retcode("message refused", _RELOGIN),
    50: Retcode("wrong friend-list hash", Action.RECOMPUTE_HASH),
    100: Retcode("not logged in", _RELOGIN),
    102: Retcode("nothing new", _AGAIN),
    # qqbot 2017 first asks who is online; Mojo-Webqq 2018 logs in at once.
    103: Retcode("not logged in, or online on another page", Action.CHECK_ONLINE),
    108: Retcode("logged in elsewhere", _RELOGIN),  # inferred
    109: Retcode("nothing new", _AGAIN),
    110: Retcode("nothing new", _AGAIN),
    116: Retcode("new ptwebqq", Action.NEW_PTWEBQQ),
    # pual_bot 2013 and twqq 2014 logged in from the start here; Mojo-Webqq 2018 relinks.
    120: Retcode("connection lost", Action.RELINK),
    121: Retcode("connection lost", Action.RELINK),
    1202: Retcode("transient", _AGAIN),
    100000: Retcode("session no longer valid", _RELOGIN),
    100001: Retcode("session no longer valid", _RELOGIN),
    100003: Retcode("accepted in spite of the code", Action.GO_ON),
    100012: Retcode("transient", _AGAIN),
    100100: Retcode("accepted in spite of the code", Action.GO_ON),
}

ELSEWHERE = 108
"""Of login2: the session that was to be taken up was ended by another login (inferred)."""

ACCEPTED = frozenset({0, 1202, 100003, 100100})
"""Codes of a send reply that mean "delivered, do not send again" (Mojo-Webqq 2018, qqbot 2017)."""


def action_of(retcode: int) -> Action:
    """The reaction to a code; `Action.COUNT` for unknown codes.

    Example:
        >>> action_of(102)
        <Action.ASK_AGAIN: 'ask again'>
    """
    known = RETCODES.get(retcode)
    return known.action if known else Action.COUNT


def meaning_of(retcode: int) -> str:
    """The meaning of a code, in a few words.

    Example:
        >>> meaning_of(50)
        'wrong friend-list hash'
    """
    known = RETCODES.get(retcode)
    return known.meaning if known else "unknown"


class Status(Enum):
    """How a person is to be reached; the value is the protocol's word.

    `code` is the number that group details use for it.
    """

    ONLINE = "online"
    OFFLINE = "offline"
    AWAY = "away"
    HIDDEN = "hidden"
    BUSY = "busy"
    CALLME = "callme"
    SILENT = "silent"
    UNKNOWN = "unknown"
    """Our word for a status that the clients of that time did not know."""

    @property
    def code(self) -> int:
        """The ``stat`` number: 10 for online, 20 for offline, ..."""
        return _STAT_CODES[self]

    @classmethod
    def of_code(cls, code: int) -> Status:
        """The status of a ``stat`` number, `UNKNOWN` if there is none."""
        return _BY_CODE.get(code, cls.UNKNOWN)

    @classmethod
    def of_word(cls, word: str) -> Status:
        """The status of the protocol's word, `UNKNOWN` if there is none."""
        return _BY_WORD.get(word, cls.UNKNOWN)


_STAT_CODES = {
    Status.ONLINE: 10,
    Status.OFFLINE: 20,
    Status.AWAY: 30,
    Status.HIDDEN: 40,
    Status.BUSY: 50,
    Status.CALLME: 60,
    Status.SILENT: 70,
    Status.UNKNOWN: 0,
}
_BY_CODE = {code: status for status, code in _STAT_CODES.items()}
_BY_WORD = {status.value: status for status in Status}

CLIENT_TYPES: dict[int, str] = {1: "PC", 21: "mobile", 24: "iPhone", 41: "web"}
"""What a contact is online with; other numbers occurred and stay numbers."""


class Mask(IntEnum):
    """An account's setting for the messages of a group."""

    NOTIFY = 0
    SILENT = 1
    BLOCKED = 2


class PollType(Enum):
    """The ``poll_type`` of what poll2 brings."""

    MESSAGE = "message"
    GROUP_MESSAGE = "group_message"
    DISCU_MESSAGE = "discu_message"
    SESS_MESSAGE = "sess_message"
    BUDDIES_STATUS_CHANGE = "buddies_status_change"
    KICK_MESSAGE = "kick_message"
    SYSTEM_MESSAGE = "system_message"
    SYS_G_MSG = "sys_g_msg"
    INPUT_NOTIFY = "input_notify"
    FILESRV_TRANSFER = "filesrv_transfer"
    FILE_MESSAGE = "file_message"
    GROUP_WEB_MESSAGE = "group_web_message"
    BUDDYLIST_CHANGE = "buddylist_change"
    TIPS = "tips"
    AV_REQUEST = "av_request"


class LoginResult(Enum):
    """The first value of a ``ptuiCB`` answer to a password login."""

    OK = 0
    WRONG_PASSWORD = 3
    WRONG_CAPTCHA = 4
    BAD_PARAMETER = 7
    REFUSED = -1
    """Any other number: refused for the reason given in the text."""

    @classmethod
    def of_code(cls, code: int) -> LoginResult:
        """The result of a number, `REFUSED` if the clients did not know it."""
        return _LOGIN_RESULTS.get(code, cls.REFUSED)


class QRState(Enum):
    """The first value of a ``ptuiCB`` answer to a login by QR code (SmartQQ)."""

    DONE = 0
    EXPIRED = 65
    WAITING = 66
    SCANNED = 67
    REFUSED = -1
    """Any other number: refused for the reason given in the text."""

    @classmethod
    def of_code(cls, code: int) -> QRState:
        """The state of a number, `REFUSED` if the clients did not know it."""
        return _QR_STATES.get(code, cls.REFUSED)


_QR_STATES = {state.value: state for state in QRState}
_LOGIN_RESULTS = {result.value: result for result in LoginResult}
