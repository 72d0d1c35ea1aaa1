"""Friends, groups, members and profiles, as a session sees them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..protocol import forms, hashes, webqq3, wire
from ..protocol.codes import Status
from ..protocol.models import (
    Friend,
    FriendInfo,
    FriendList,
    Group,
    GroupDetails,
    Member,
    Presence,
    SelfInfo,
    Signature,
    Translation,
)
from .channel import PollSession
from .handlers import SESSION_GONE, UNKNOWN_CONTACT, Answer, ExchangeHandler

__all__ = ["ANSWERS"]

#: retcode of a friend-list hash that is wrong.
WRONG_HASH = 50
#: client_type of somebody who is online; 41 is a web client.
_WEB = 41

_SessionAnswer = Callable[[ExchangeHandler, PollSession, Any], str]


def _in_session(answer: _SessionAnswer) -> Answer:
    """An answer for those whose vfwebqq, psessionid or cookie is of an open session."""

    @wraps(answer)
    def with_session(handler: ExchangeHandler, form: Any) -> str:
        secrets = (
            getattr(form, "vfwebqq", ""),
            getattr(form, "psessionid", ""),
            handler.get_cookie("ptwebqq", ""),
        )
        for secret in secrets:
            session = handler.server.channel.find(secret)
            if session is not None and session.kicked is None:
                return answer(handler, session, form)
        return wire.build_refusal(SESSION_GONE)

    return with_session


def _friends(handler: ExchangeHandler, session: PollSession, form: forms.FriendsForm) -> str:
    if form.hash and not _is_known_hash(session, form.hash):
        return wire.build_refusal(WRONG_HASH)
    storage = handler.server.storage
    friends = tuple(
        Friend(session.uin_of(friend.number), friend.nick)
        for friend in storage.friends(session.account)
    )
    return webqq3.FRIENDS.answer(FriendList(friends))


def _is_known_hash(session: PollSession, given: str) -> bool:
    """Whether it is what any of the clients computed, from 2012 to 2018."""
    expected = (
        hashes.friend_list_hash(kind, session.account, session.ptwebqq)
        for kind in hashes.FriendListHash
    )
    return given.upper() in expected


def _groups(handler: ExchangeHandler, session: PollSession, _form: forms.GroupsForm) -> str:
    groups = tuple(
        Group(session.gid_of(group.number), session.code_of(group.number), group.name)
        for group in handler.server.storage.groups(session.account)
    )
    return webqq3.GROUPS.answer(groups)


def _group_info(handler: ExchangeHandler, session: PollSession, form: forms.GroupInfoForm) -> str:
    server = handler.server
    # Some clients ask by gid: both lead to the group.
    number = session.meaning_of(form.gcode, "code") or session.meaning_of(form.gcode, "group")
    group = server.storage.group(number) if number else None
    if group is None or not server.storage.is_member(group.number, session.account):
        return wire.build_refusal(UNKNOWN_CONTACT)
    members = tuple(
        Member(
            session.uin_of(member.number),
            member.nick,
            card,
            status=server.channel.status_of(member.number),
            client_type=_WEB,
        )
        for member, card in server.storage.members(group.number)
    )
    return webqq3.GROUP_INFO.answer(
        GroupDetails(
            gid=session.gid_of(group.number),
            code=session.code_of(group.number),
            name=group.name,
            owner=session.uin_of(group.owner),
            created=group.created,
            members=members,
        )
    )


def _translate(handler: ExchangeHandler, session: PollSession, form: forms.TranslateForm) -> str:
    kinds = ("code", "group") if form.type == 4 else ("person",)
    for kind in kinds:
        number = session.meaning_of(form.uin, kind)
        if number is not None:
            return webqq3.TRANSLATE.answer(Translation(form.uin, number))
    return wire.build_refusal(UNKNOWN_CONTACT)


def _online(handler: ExchangeHandler, session: PollSession, _form: forms.OnlineForm) -> str:
    server = handler.server
    present = (
        Presence(session.uin_of(friend.number), server.channel.status_of(friend.number), _WEB)
        for friend in server.storage.friends(session.account)
    )
    return webqq3.ONLINE.answer(tuple(p for p in present if p.status is not Status.OFFLINE))


def _self_info(handler: ExchangeHandler, session: PollSession, _form: forms.SelfInfoForm) -> str:
    account = handler.server.storage.account(session.account)
    if account is None:
        return wire.build_refusal(SESSION_GONE)
    info = SelfInfo(
        uin=account.number,
        account=account.number,
        nick=account.nick,
        lnick=account.lnick,
        vfwebqq=session.vfwebqq,
    )
    return webqq3.SELF_INFO.answer(info)


def _friend_info(handler: ExchangeHandler, session: PollSession, form: forms.FriendInfoForm) -> str:
    number = session.meaning_of(form.uin, "person")
    account = handler.server.storage.account(number) if number else None
    if account is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    info = FriendInfo(
        uin=form.uin,
        nick=account.nick,
        lnick=account.lnick,
        status=handler.server.channel.status_of(account.number),
    )
    return webqq3.FRIEND_INFO.answer(info)


def _long_nick(handler: ExchangeHandler, session: PollSession, form: forms.LongNickForm) -> str:
    number = session.meaning_of(form.uin, "person")
    account = handler.server.storage.account(number) if number else None
    if account is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    return webqq3.LONG_NICK.answer((Signature(form.uin, account.lnick),))


ANSWERS: dict[object, Answer] = {
    webqq3.FRIENDS.name: _in_session(_friends),
    webqq3.GROUPS.name: _in_session(_groups),
    webqq3.GROUP_INFO.name: _in_session(_group_info),
    webqq3.TRANSLATE.name: _in_session(_translate),
    webqq3.ONLINE.name: _in_session(_online),
    webqq3.SELF_INFO.name: _in_session(_self_info),
    webqq3.FRIEND_INFO.name: _in_session(_friend_info),
    webqq3.LONG_NICK.name: _in_session(_long_nick),
}
