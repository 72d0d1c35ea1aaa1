"""Dialects: the exchange that each one uses for an action, beyond the login.

`WEBQQ3` and `SMARTQQ` are the two there are. Signing in and out differs too much to be a table:
see `webqq3` and `smartqq` for their exchanges.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import forms, smartqq, webqq3
from .endpoints import Endpoints
from .exchange import Exchange
from .hashes import FriendListHash
from .models.events import PollReply, SendReply
from .models.login import Secret, Session
from .models.people import (
    Discussion,
    DiscussionDetails,
    FriendInfo,
    FriendList,
    Group,
    GroupDetails,
    Presence,
    Recent,
    SelfInfo,
    Signature,
    Translation,
)

__all__ = ["DIALECTS", "SMARTQQ", "WEBQQ3", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect of the protocol.

    Args:
        name: ``webqq3`` or ``smartqq``.
        endpoints: The historical hosts.
        hashes: Kinds of the friend list's hash, the likeliest first.
        heartbeat: None where there is none.

    The other arguments are the exchanges of these names in `webqq3` and `smartqq`.

    Example:
        >>> WEBQQ3.poll.path
        '/channel/poll2'
    """

    name: str
    endpoints: Endpoints
    hashes: tuple[FriendListHash, ...]
    login2: Exchange[forms.Login2Form, Session]
    friends: Exchange[forms.FriendsForm, FriendList]
    groups: Exchange[forms.GroupsForm, tuple[Group, ...]]
    group_info: Exchange[forms.GroupInfoForm, GroupDetails]
    discussions: Exchange[forms.DiscussionsForm, tuple[Discussion, ...]]
    discussion_info: Exchange[forms.DiscussionInfoForm, DiscussionDetails]
    translate: Exchange[forms.TranslateForm, Translation]
    online: Exchange[forms.OnlineForm, tuple[Presence, ...]]
    recent: Exchange[forms.RecentForm, tuple[Recent, ...]]
    self_info: Exchange[forms.SelfInfoForm, SelfInfo]
    friend_info: Exchange[forms.FriendInfoForm, FriendInfo]
    long_nick: Exchange[forms.LongNickForm, tuple[Signature, ...]]
    set_long_nick: Exchange[forms.SetLongNickForm, SendReply]
    accept_friend: Exchange[forms.AcceptFriendForm, SendReply]
    poll: Exchange[forms.PollForm, PollReply]
    send_friend: Exchange[forms.SendForm, SendReply]
    send_group: Exchange[forms.GroupSendForm, SendReply]
    send_discussion: Exchange[forms.DiscussionSendForm, SendReply]
    send_session: Exchange[forms.SessionSendForm, SendReply]
    signature: Exchange[forms.SignatureForm, Secret]
    change_status: Exchange[forms.StatusForm, SendReply]
    heartbeat: Exchange[forms.HeartbeatForm, str] | None = None


WEBQQ3 = Dialect(
    name="webqq3",
    endpoints=Endpoints.historical(),
    # The latest that the servers wanted first.
    hashes=(
        FriendListHash.PASSWORD_ERROR_2014,
        FriendListHash.QUICKSORT_2013,
        FriendListHash.EQQ_2012,
    ),
    login2=webqq3.LOGIN2,
    friends=webqq3.FRIENDS,
    groups=webqq3.GROUPS,
    group_info=webqq3.GROUP_INFO,
    discussions=webqq3.DISCUSSIONS,
    discussion_info=webqq3.DISCUSSION_INFO,
    translate=webqq3.TRANSLATE,
    online=webqq3.ONLINE,
    recent=webqq3.RECENT,
    self_info=webqq3.SELF_INFO,
    friend_info=webqq3.FRIEND_INFO,
    long_nick=webqq3.LONG_NICK,
    set_long_nick=webqq3.SET_LONG_NICK,
    accept_friend=webqq3.ACCEPT_FRIEND,
    poll=webqq3.POLL,
    send_friend=webqq3.SEND_FRIEND,
    send_group=webqq3.SEND_GROUP,
    send_discussion=webqq3.SEND_DISCUSSION,
    send_session=webqq3.SEND_SESSION,
    signature=webqq3.SIGNATURE,
    change_status=webqq3.CHANGE_STATUS,
    heartbeat=webqq3.HEARTBEAT,
)
"""2012 to 2014: login by account and password."""

SMARTQQ = Dialect(
    name="smartqq",
    endpoints=Endpoints.smartqq(),
    hashes=(FriendListHash.EQQ_2012,),
    login2=smartqq.LOGIN2,
    friends=smartqq.FRIENDS,
    groups=smartqq.GROUPS,
    group_info=smartqq.GROUP_INFO,
    discussions=smartqq.DISCUSSIONS,
    discussion_info=smartqq.DISCUSSION_INFO,
    translate=smartqq.TRANSLATE,
    online=smartqq.ONLINE,
    recent=smartqq.RECENT,
    self_info=smartqq.SELF_INFO,
    friend_info=smartqq.FRIEND_INFO,
    long_nick=smartqq.LONG_NICK,
    set_long_nick=smartqq.SET_LONG_NICK,
    accept_friend=smartqq.ACCEPT_FRIEND,
    poll=smartqq.POLL,
    send_friend=smartqq.SEND_FRIEND,
    send_group=smartqq.SEND_GROUP,
    send_discussion=smartqq.SEND_DISCUSSION,
    send_session=smartqq.SEND_SESSION,
    signature=smartqq.SIGNATURE,
    change_status=smartqq.CHANGE_STATUS,
)
"""2015 to 2018: login by QR code."""

DIALECTS = {dialect.name: dialect for dialect in (WEBQQ3, SMARTQQ)}
"""Both, by name."""
