"""Profiles, signatures, friend requests."""

from __future__ import annotations

from dataclasses import fields

from ...protocol import forms, webqq3, wire
from ...protocol.models import FriendInfo, Profile, SelfInfo, SendReply, Signature
from ..handlers import (
    BAD_REQUEST,
    SESSION_GONE,
    UNKNOWN_CONTACT,
    Answer,
    ExchangeHandler,
    exchanges_of,
    in_session,
)
from ..hub import PollSession

__all__ = ["ANSWERS"]


#: Public fields of a profile. Friends and the account itself see all.
_PUBLIC = frozenset({"uin", "nick", "face", "gender"})


def _fields_of(profile: Profile, only: frozenset[str] | None = None) -> dict[str, object]:
    names = (field.name for field in fields(Profile))
    return {name: getattr(profile, name) for name in names if only is None or name in only}


def _self_info(handler: ExchangeHandler, session: PollSession, _form: forms.SelfInfoForm) -> str:
    profile = handler.server.storage.accounts.profile(session.account)
    if profile is None:
        return wire.build_refusal(SESSION_GONE)
    info = SelfInfo(**_fields_of(profile), vfwebqq=session.vfwebqq)  # type: ignore[arg-type]  # its own fields
    return exchanges_of(session).self_info.answer(info)


def _friend_info(handler: ExchangeHandler, session: PollSession, form: forms.FriendInfoForm) -> str:
    number = session.meaning_of(form.uin, "person")
    profile = handler.server.storage.accounts.profile(number)
    if profile is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    # Tencent also withheld the QQ number from strangers.
    values = {**_fields_of(profile, _PUBLIC), "account": 0}
    if _is_close(handler, session, number):
        values = {**_fields_of(profile), "status": handler.server.hub.status_of(number)}
    values["uin"] = form.uin
    return exchanges_of(session).friend_info.answer(FriendInfo(**values))  # type: ignore[arg-type]  # its own fields


def _is_close(handler: ExchangeHandler, session: PollSession, number: int) -> bool:
    """Return True if an account is a friend of the session's, or its own."""
    is_own = number == session.account
    return is_own or handler.server.storage.friends.are_friends(session.account, number)


def _long_nick(handler: ExchangeHandler, session: PollSession, form: forms.LongNickForm) -> str:
    number = session.meaning_of(form.uin, "person")
    account = handler.server.storage.accounts.get(number)
    if account is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    text = account.lnick if _is_close(handler, session, number) else ""
    return exchanges_of(session).long_nick.answer((Signature(form.uin, text),))


def _set_long_nick(
    handler: ExchangeHandler, session: PollSession, form: forms.SetLongNickForm
) -> str:
    try:
        handler.server.storage.accounts.change_profile(session.account, {"lnick": form.text})
    except ValueError as error:
        return wire.build_refusal(BAD_REQUEST, str(error))
    handler.server.hub.contacts_changed({session.account})
    return exchanges_of(session).set_long_nick.answer(SendReply(0, "ok"))


def _accept_friend(
    handler: ExchangeHandler, session: PollSession, form: forms.AcceptFriendForm
) -> str:
    storage = handler.server.storage
    if storage.friends.request(session.account, form.account) is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    storage.friends.befriend(session.account, form.account)
    try:
        storage.friends.set_mark(session.account, form.account, form.mark)
    except ValueError as error:
        return wire.build_refusal(BAD_REQUEST, str(error))
    handler.server.hub.befriended(session.account, form.account, "verify_pass_add")
    return exchanges_of(session).accept_friend.answer(SendReply(0, "ok"))


ANSWERS: dict[object, Answer] = {
    webqq3.SELF_INFO.name: in_session(_self_info),
    webqq3.FRIEND_INFO.name: in_session(_friend_info),
    webqq3.LONG_NICK.name: in_session(_long_nick),
    webqq3.SET_LONG_NICK.name: in_session(_set_long_nick),
    webqq3.ACCEPT_FRIEND.name: in_session(_accept_friend),
}
