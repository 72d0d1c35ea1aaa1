"""Requests of SmartQQ clients to qun.qq.com: public numbers of friends, groups and members.

SmartQQBot 2016 does not sign in without it, and qqbot (until 2017) read the numbers here. Requests
to qun.qq.com are POSTs with `bkn`, which proves the cookie skey; the cookies identify the account.
Source of the forms: the two programs; there is no other document.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from ...protocol import wire
from ...protocol.hashes import bkn
from ...protocol.wireformat import SMARTQQ_FORMAT
from ..handlers import Handler
from ..state import ServerState
from ..storage import MemberRow

__all__ = ["ROUTES", "QunHandler"]

#: ``ec`` for a client that is not signed in.
_NOT_SIGNED_IN = 4
#: ``ec`` for a group that the account is not in.
_NO_SUCH_GROUP = 7

#: Default names of a group's levels; "lv" of a member is a key of this table.
_LEVELS = {"1": "潜水", "2": "冒泡", "3": "吐槽", "4": "活跃", "5": "话唠", "6": "传说"}

_Reply: TypeAlias = "dict[str, object]"
Query: TypeAlias = Callable[["QunHandler", int], _Reply]


class QunHandler(Handler):
    """Serves one of the queries."""

    def initialize(self, server: ServerState, **route: Any) -> None:
        """Called by Tornado with the route's arguments."""
        super().initialize(server)
        self.reply: Query = route["reply"]

    def post(self) -> None:
        """Reply if bkn matches the cookies."""
        skey = self.get_cookie("skey", "") or ""
        session = self.server.hub.find(self.get_cookie("ptwebqq"), "ptwebqq")
        is_proved = bool(skey) and self.get_body_argument("bkn", "") == str(bkn(skey))
        self.set_header("Content-Type", "application/json; charset=utf-8")
        if session is None or not is_proved:
            self.write(SMARTQQ_FORMAT.dump({"ec": _NOT_SIGNED_IN}))
            return
        self.write(SMARTQQ_FORMAT.dump(self.reply(self, session.account)))

    def group(self) -> int:
        """Number of the group in the request."""
        digits = self.get_body_argument("gc", "")
        return int(digits) if digits.isdecimal() and len(digits) < 19 else 0


def _name(text: str) -> str:
    return wire.escape(text)


def _friends(handler: QunHandler, me: int) -> _Reply:
    storage = handler.server.storage
    headings = {0: "", **dict(storage.friends.headings(me))}
    rows = storage.friends.rows(me)
    lists: _Reply = {}
    for number, name in headings.items():
        mems = [
            {"name": _name(row.mark or row.account.nick), "uin": row.account.number}
            for row in rows
            if row.category == number
        ]
        lists[str(number)] = {"gname": _name(name), "mems": mems} if number else {"mems": mems}
    return {"ec": 0, "result": lists}


def _groups(handler: QunHandler, me: int) -> _Reply:
    lists: dict[str, list[object]] = {"create": [], "manage": [], "join": []}
    storage = handler.server.storage
    for room in storage.rooms.groups(me):
        entry = {"gc": room.number, "gn": _name(room.name), "owner": room.owner}
        is_admin = storage.rooms.is_admin(room.number, me)
        kind = "create" if room.owner == me else "manage" if is_admin else "join"
        lists[kind].append(entry)
    return {"ec": 0, **{kind: entries for kind, entries in lists.items() if entries}}


def _members(handler: QunHandler, me: int) -> _Reply:
    storage, group = handler.server.storage, handler.group()
    room = storage.rooms.group(group)
    if room is None or not storage.rooms.is_member(group, me):
        return {"ec": _NO_SUCH_GROUP}
    rows = storage.rooms.member_rows(group)
    return {
        "ec": 0,
        "adm_max": 10,
        "adm_num": sum(row.is_admin for row in rows),
        "count": len(rows),
        "levelname": _LEVELS,
        "max_count": 2000,
        "mems": [_member(row, room.owner) for row in rows],
        "search_count": len(rows),
        "svr_time": int(time.time()),
        "vecsize": 1,
    }


def _member(row: MemberRow, owner: int) -> _Reply:
    role = 0 if row.account.number == owner else 1 if row.is_admin else 2
    return {
        "card": _name(row.card),
        "flag": 0,
        "g": {"male": 0, "female": 1}.get(row.gender, 255),
        "join_time": row.joined,
        "last_speak_time": 0,
        "lv": {"level": 1, "point": 0},
        "nick": _name(row.account.nick),
        "qage": 0,
        "role": role,
        "tags": "-1",
        "uin": row.account.number,
    }


def _new_members(handler: QunHandler, me: int) -> _Reply:
    storage, group = handler.server.storage, handler.group()
    room = storage.rooms.group(group)
    if room is None or not storage.rooms.is_member(group, me):
        return {"ec": _NO_SUCH_GROUP}
    rows = storage.rooms.member_rows(group)
    return {
        "ec": 0,
        "adm": [row.account.number for row in rows if row.is_admin],
        "cards": {str(row.account.number): _name(row.card) for row in rows if row.card},
        "friends": sorted(storage.friends.numbers(me) & storage.rooms.member_numbers(group)),
        "join": {str(row.account.number): row.joined for row in rows},
        "mems": [{"u": row.account.number, "n": _name(row.account.nick)} for row in rows],
        "owner": room.owner,
        "remarks": {str(row.account.number): _name(row.mark) for row in storage.friends.rows(me)},
    }


#: Paths of qun.qq.com, and one of qinfo.clt.qq.com.
ROUTES: tuple[tuple[str, Query], ...] = (
    (r"/cgi-bin/qun_mgr/get_friend_list", _friends),
    (r"/cgi-bin/qun_mgr/get_group_list", _groups),
    (r"/cgi-bin/qun_mgr/search_group_members", _members),
    (r"/cgi-bin/qun_info/get_group_members_new", _new_members),
)
