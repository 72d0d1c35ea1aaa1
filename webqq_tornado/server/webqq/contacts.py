"""Friends, groups, discussions and members, as a session sees them."""

from __future__ import annotations

from ...protocol import forms, hashes, webqq3, wire
from ...protocol.codes import Status
from ...protocol.dialect import SMARTQQ
from ...protocol.models import (
    Category,
    Discussion,
    DiscussionDetails,
    DiscussionMember,
    Friend,
    FriendList,
    Group,
    GroupDetails,
    Member,
    Presence,
    Recent,
    Translation,
)
from ..handlers import UNKNOWN_CONTACT, Answer, ExchangeHandler, exchanges_of, in_session
from ..hub import WEB_CLIENT, PollSession
from ..storage import FriendRow, MemberRow, RoomRow

__all__ = ["ANSWERS"]

#: retcode of a friend-list hash that is wrong.
WRONG_HASH = 50
#: retcode of SmartQQ for a group's details by its gid (captures of 2016 and 2017).
NOT_BY_GID = 6
#: ``mflag`` of an administrator; the owner has none, they are in ``owner``.
_ADMIN = 1
#: ``type`` of get_recent_list2, by kind of conversation.
_RECENT_TYPES = {"friend": 0, "group": 1, "discussion": 2}


def _friends(handler: ExchangeHandler, session: PollSession, form: forms.FriendsForm) -> str:
    if form.hash and not _is_known_hash(session, form.hash):
        return wire.build_refusal(WRONG_HASH)
    storage = handler.server.storage
    headings = storage.friends.headings(session.account)
    categories = tuple(Category(number, name, number) for number, name in headings)
    friends = tuple(_friend(session, row) for row in storage.friends.rows(session.account))
    # "我的好友", number 0, has no line, as in captures of 2013 and 2016.
    return exchanges_of(session).friends.answer(FriendList(friends, categories))


def _friend(session: PollSession, row: FriendRow) -> Friend:
    return Friend(
        uin=session.uin_of(row.account.number),
        nick=row.account.nick,
        mark=row.mark,
        category=row.category,
        face=row.account.face,
        is_vip=row.account.vip_level > 0,
        vip_level=row.account.vip_level,
    )


def _is_known_hash(session: PollSession, given: str) -> bool:
    """Return True for a hash that any client of 2012 to 2018 computed."""
    # Late SmartQQ set an empty ptwebqq at check_sig, and hashed that.
    expected = {
        hashes.friend_list_hash(kind, session.account, ptwebqq)
        for ptwebqq in (session.ptwebqq, "")
        for kind in hashes.FriendListHash
    }
    return given.upper() in expected | {hashes.digits_hash(session.account, session.ptwebqq)}


def _groups(handler: ExchangeHandler, session: PollSession, form: forms.GroupsForm) -> str:
    if form.hash and not _is_known_hash(session, form.hash):
        return wire.build_refusal(WRONG_HASH)
    groups = tuple(
        Group(
            gid=session.gid_of(room.number),
            code=session.code_of(room.number),
            name=room.name,
            mark=mark,
            mask=mask,
            flag=_GROUP_FLAG,
        )
        for room, mark, mask in handler.server.storage.rooms.of(session.account, "group")
    )
    return exchanges_of(session).groups.answer(groups)


#: ``flag`` of a plain group (capture of 2016).
_GROUP_FLAG = 16778241


def _group_info(handler: ExchangeHandler, session: PollSession, form: forms.GroupInfoForm) -> str:
    room = _group_by(handler, session, form.gcode)
    if room is None:
        return wire.build_refusal(UNKNOWN_CONTACT)
    if session.dialect == SMARTQQ.name and form.gcode != session.code_of(room.number):
        return wire.build_refusal(NOT_BY_GID)
    storage = handler.server.storage
    rows = storage.rooms.member_rows(room.number)
    close = storage.friends.numbers(session.account) | {session.account}
    return exchanges_of(session).group_info.answer(
        GroupDetails(
            gid=session.gid_of(room.number),
            code=session.code_of(room.number),
            name=room.name,
            owner=session.uin_of(room.owner),
            created=room.created,
            memo=room.memo,
            flag=_GROUP_FLAG,
            option=2,  # joining requires approval
            members=tuple(
                _member(handler, session, row, is_close=row.account.number in close) for row in rows
            ),
        )
    )


def _group_by(handler: ExchangeHandler, session: PollSession, made: int) -> RoomRow | None:
    """The group of a code; some clients asked by gid."""
    storage = handler.server.storage
    for kind in ("code", "group"):
        number = session.meaning_of(made, kind)
        if storage.rooms.is_member(number, session.account):
            return storage.rooms.group(number)
    return None


def _member(
    handler: ExchangeHandler, session: PollSession, row: MemberRow, *, is_close: bool
) -> Member:
    """A member; only friends see their country, province and city."""
    status = handler.server.hub.status_of(row.account.number)
    return Member(
        uin=session.uin_of(row.account.number),
        nick=row.account.nick,
        card=row.card,
        flag=_ADMIN if row.is_admin else 0,
        gender=row.gender,
        country=row.country if is_close else "",
        province=row.province if is_close else "",
        city=row.city if is_close else "",
        status=status,
        client_type=0 if status is Status.OFFLINE else WEB_CLIENT,
        is_vip=row.account.vip_level > 0,
        vip_level=row.account.vip_level,
    )


def _discussions(
    handler: ExchangeHandler, session: PollSession, _form: forms.DiscussionsForm
) -> str:
    rooms = handler.server.storage.rooms.of(session.account, "discussion")
    return exchanges_of(session).discussions.answer(
        tuple(Discussion(session.did_of(room.number), room.name, mask) for room, _, mask in rooms)
    )


def _discussion_info(
    handler: ExchangeHandler, session: PollSession, form: forms.DiscussionInfoForm
) -> str:
    storage = handler.server.storage
    number = session.meaning_of(form.did, "discussion")
    room = storage.rooms.get(number, "discussion")
    if room is None or not storage.rooms.is_member(number, session.account):
        return wire.build_refusal(UNKNOWN_CONTACT)
    members = tuple(
        DiscussionMember(
            uin=session.uin_of(account.number),
            account=account.number,
            nick=account.nick,
            status=handler.server.hub.status_of(account.number),
            client_type=WEB_CLIENT if handler.server.hub.is_online(account.number) else 0,
        )
        for account, _ in storage.rooms.members(number)
    )
    owner = session.uin_of(room.owner)
    return exchanges_of(session).discussion_info.answer(
        DiscussionDetails(form.did, room.name, owner, members)
    )


def _translate(handler: ExchangeHandler, session: PollSession, form: forms.TranslateForm) -> str:
    number = _account_of(handler, session, form)
    if not number:
        return wire.build_refusal(UNKNOWN_CONTACT)
    return exchanges_of(session).translate.answer(Translation(form.uin, number))


def _account_of(handler: ExchangeHandler, session: PollSession, form: forms.TranslateForm) -> int:
    if form.type == 4:
        room = _group_by(handler, session, form.uin)
        return room.number if room else 0
    number = session.meaning_of(form.uin, "person")
    return number if handler.server.storage.accounts.get(number) else 0


def _online(handler: ExchangeHandler, session: PollSession, _form: forms.OnlineForm) -> str:
    session.has_asked_online = True
    hub = handler.server.hub
    present = (
        Presence(session.uin_of(number), hub.status_of(number), WEB_CLIENT)
        for number in sorted(handler.server.storage.friends.numbers(session.account))
        if hub.is_online(number)
    )
    return exchanges_of(session).online.answer(tuple(present))


def _recent(handler: ExchangeHandler, session: PollSession, _form: forms.RecentForm) -> str:
    made = {"friend": session.uin_of, "group": session.gid_of, "discussion": session.did_of}
    threads = handler.server.storage.messages.recent(session.account)
    return exchanges_of(session).recent.answer(
        tuple(Recent(made[kind](number), _RECENT_TYPES[kind]) for kind, number in threads)
    )


ANSWERS: dict[object, Answer] = {
    webqq3.FRIENDS.name: in_session(_friends),
    webqq3.GROUPS.name: in_session(_groups),
    webqq3.GROUP_INFO.name: in_session(_group_info),
    webqq3.DISCUSSIONS.name: in_session(_discussions),
    webqq3.DISCUSSION_INFO.name: in_session(_discussion_info),
    webqq3.TRANSLATE.name: in_session(_translate),
    webqq3.ONLINE.name: in_session(_online),
    webqq3.RECENT.name: in_session(_recent),
}
