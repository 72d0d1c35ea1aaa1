"""Parameters of each request, as values.

Where a default stands the clients of that time did not all send the field. A ``t`` is a time in
milliseconds or a random number against caches: nobody reads it, but it is sent, so that it
comes in as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

from .codes import Status
from .models.content import Content
from .models.login import Secret

__all__ = [
    "AcceptFriendForm",
    "CaptchaForm",
    "CheckForm",
    "DiscussionInfoForm",
    "DiscussionSendForm",
    "DiscussionsForm",
    "FileForm",
    "FriendInfoForm",
    "FriendsForm",
    "GroupInfoForm",
    "GroupSendForm",
    "GroupsForm",
    "HeartbeatForm",
    "Login2Form",
    "LoginForm",
    "LoginPageForm",
    "LogoutForm",
    "LongNickForm",
    "OnlineForm",
    "PollForm",
    "QRCodeForm",
    "QRStateForm",
    "RecentForm",
    "SelfInfoForm",
    "SendForm",
    "SessionSendForm",
    "SetLongNickForm",
    "SignOutForm",
    "SignatureForm",
    "StatusForm",
    "TranslateForm",
    "VfwebqqForm",
]

_NONE = Secret()


@dataclass(frozen=True, slots=True)
class LoginPageForm:
    """The login page (twqq 2014 only); everything in it is fixed.

    Args:
        t: Version of the page.
    """

    t: str = "20130723001"


@dataclass(frozen=True, slots=True)
class CheckForm:
    """Is a captcha needed?

    Args:
        account: QQ number.
        r: A random number below 1, as text.
        login_sig: From the login page, if it was asked for.
    """

    account: int
    r: str = "0"
    login_sig: Secret = _NONE


@dataclass(frozen=True, slots=True)
class CaptchaForm:
    """The captcha's picture.

    Args:
        account: QQ number.
        r: A random number below 1, as text.
    """

    account: int
    r: str = "0"


@dataclass(frozen=True, slots=True)
class LoginForm:
    """Log in by password.

    Args:
        account: QQ number.
        p: `webqq_tornado.protocol.hashes.password_hash`.
        verify_code: The one that went into `p`.
        login_sig: From the login page, if it was asked for.
    """

    account: int
    p: Secret
    verify_code: str
    login_sig: Secret = _NONE


@dataclass(frozen=True, slots=True)
class Login2Form:
    """Open a session.

    Args:
        clientid: Number that the client picked.
        ptwebqq: The cookie.
        psessionid: Empty, or the old one to take up a lost session again.
        status: To begin with.
    """

    clientid: int
    ptwebqq: Secret = _NONE
    psessionid: Secret = _NONE
    status: Status = Status.ONLINE


@dataclass(frozen=True, slots=True)
class FriendsForm:
    """The friend list.

    Args:
        vfwebqq: From login2.
        hash: `webqq_tornado.protocol.hashes.friend_list_hash`; not everyone sent it.
    """

    vfwebqq: Secret = _NONE
    hash: Secret = _NONE


@dataclass(frozen=True, slots=True)
class GroupsForm:
    """The group list.

    Args:
        vfwebqq: From login2.
        hash: As for the friend list; not in WebQQ 3.
    """

    vfwebqq: Secret = _NONE
    hash: Secret = _NONE


@dataclass(frozen=True, slots=True)
class GroupInfoForm:
    """One group's details.

    Args:
        gcode: `Group.code`, not its gid.
        vfwebqq: From login2.
        t: Milliseconds.
    """

    gcode: int
    vfwebqq: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class TranslateForm:
    """Which QQ or group number a uin stands for.

    Args:
        uin: Of the friend or member; for a group its code.
        type: 1 for a person, 4 for a group.
        vfwebqq: From login2.
        t: Milliseconds.
    """

    uin: int
    type: int = 1
    vfwebqq: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class OnlineForm:
    """Which friends are online.

    Args:
        clientid: Number that the client picked.
        psessionid: From login2.
        vfwebqq: From login2.
        t: Milliseconds.
    """

    clientid: int = 0
    psessionid: Secret = _NONE
    vfwebqq: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class SelfInfoForm:
    """One's own profile.

    Args:
        t: Milliseconds.
    """

    t: int = 0


@dataclass(frozen=True, slots=True)
class FriendInfoForm:
    """A friend's profile.

    Args:
        uin: Of the friend.
        vfwebqq: From login2.
        clientid: Number that the client picked.
        psessionid: From login2.
        t: Milliseconds.
    """

    uin: int
    vfwebqq: Secret = _NONE
    clientid: int = 0
    psessionid: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class LongNickForm:
    """A friend's signature.

    Args:
        uin: Of the friend.
        vfwebqq: From login2.
        t: Milliseconds.
    """

    uin: int
    vfwebqq: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class PollForm:
    """A poll for news.

    Args:
        clientid: Number that the client picked.
        psessionid: From login2.
        ptwebqq: The cookie; not in WebQQ 3.
    """

    clientid: int = 0
    psessionid: Secret = _NONE
    ptwebqq: Secret = _NONE


@dataclass(frozen=True, slots=True)
class SendForm:
    """A message to a friend.

    Args:
        to: uin.
        content: What.
        msg_id: One more for each message.
        clientid: Number that the client picked.
        psessionid: From login2.
        face: Number of one's portrait, 522 to 591; any will do.
    """

    to: int
    content: Content
    msg_id: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    face: int = 564


@dataclass(frozen=True, slots=True)
class GroupSendForm:
    """A message to a group.

    Args:
        gid: `Group.gid`, not its code.
        content: What.
        msg_id: One more for each message.
        clientid: Number that the client picked.
        psessionid: From login2.
        face: Number of one's portrait; not everyone sent it.
    """

    gid: int
    content: Content
    msg_id: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    face: int = 564


@dataclass(frozen=True, slots=True)
class SessionSendForm:
    """A message to a stranger.

    Args:
        to: uin.
        signature: ``group_sig``, from get_c2cmsg_sig2.
        content: What.
        service_type: 0 by way of a group, 1 of a discussion.
        msg_id: One more for each message.
        clientid: Number that the client picked.
        psessionid: From login2.
        face: Number of one's portrait.
    """

    to: int
    signature: Secret
    content: Content
    service_type: int = 0
    msg_id: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    face: int = 564


@dataclass(frozen=True, slots=True)
class SignatureForm:
    """The signature that a message to a stranger needs.

    Args:
        origin: gid or did that brought the two together.
        to: uin of the stranger.
        service_type: 0 for a group, 1 for a discussion.
        clientid: Number that the client picked.
        psessionid: From login2.
        t: Milliseconds.
    """

    origin: int
    to: int
    service_type: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class StatusForm:
    """Change one's status.

    Args:
        status: The new one.
        clientid: Number that the client picked.
        psessionid: From login2.
        t: Milliseconds.
    """

    status: Status
    clientid: int = 0
    psessionid: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatForm:
    """Still here; every 60 s (pual_bot 2013).

    Args:
        rc: Counts from 1.
        t: Milliseconds.
    """

    rc: int = 1
    t: int = 0


@dataclass(frozen=True, slots=True)
class LogoutForm:
    """Log out.

    Args:
        clientid: Number that the client picked.
        psessionid: From login2.
        t: Milliseconds.
    """

    clientid: int = 0
    psessionid: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class DiscussionsForm:
    """The list of discussions.

    Args:
        clientid: Number that the client picked.
        psessionid: From login2.
        vfwebqq: From login2.
        t: Milliseconds.
    """

    clientid: int = 0
    psessionid: Secret = _NONE
    vfwebqq: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class DiscussionInfoForm:
    """One discussion's details.

    Args:
        did: Of the discussion.
        vfwebqq: From login2.
        clientid: Number that the client picked.
        psessionid: From login2.
        t: Milliseconds.
    """

    did: int
    vfwebqq: Secret = _NONE
    clientid: int = 0
    psessionid: Secret = _NONE
    t: int = 0


@dataclass(frozen=True, slots=True)
class RecentForm:
    """A request for the recent conversations.

    Args:
        vfwebqq: From login2.
        clientid: Number that the client picked.
        psessionid: From login2.
    """

    vfwebqq: Secret = _NONE
    clientid: int = 0
    psessionid: Secret = _NONE


@dataclass(frozen=True, slots=True)
class DiscussionSendForm:
    """A message to a discussion.

    Args:
        did: Of the discussion.
        content: What.
        msg_id: One more for each message.
        clientid: Number that the client picked.
        psessionid: From login2.
        face: Number of one's portrait.
    """

    did: int
    content: Content
    msg_id: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    face: int = 564


@dataclass(frozen=True, slots=True)
class SetLongNickForm:
    """Change one's signature.

    Args:
        text: The new one.
        vfwebqq: From login2.
    """

    text: str
    vfwebqq: Secret = _NONE


@dataclass(frozen=True, slots=True)
class AcceptFriendForm:
    """Accept a friend request, and add who made it.

    Args:
        account: QQ number of who asked.
        mark: One's own name for them.
        vfwebqq: From login2.
    """

    account: int
    mark: str = ""
    vfwebqq: Secret = _NONE


@dataclass(frozen=True, slots=True)
class FileForm:
    """A file that a friend offers.

    Args:
        to: uin of the friend.
        name: Of the file (``guid``).
        session_id: From the offer (``lcid``).
        clientid: Number that the client picked.
        psessionid: From login2.
        time: Milliseconds.
    """

    to: int
    name: str = ""
    session_id: int = 0
    clientid: int = 0
    psessionid: Secret = _NONE
    time: int = 0


# --- SmartQQ only -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QRCodeForm:
    """A QR code to log in with.

    Args:
        t: A random number below 1, as text.
    """

    t: str = "0"


@dataclass(frozen=True, slots=True)
class QRStateForm:
    """Has the QR code been scanned?

    Args:
        token: `webqq_tornado.protocol.hashes.hash33` of the cookie qrsig; -1 where a client
            sent none, as all did before February 2017.
        action: ``0-0-N`` with the milliseconds since the page was opened.
        login_sig: The cookie pt_login_sig; most clients left it empty.
    """

    token: int = -1
    action: str = "0-0-1000"
    login_sig: Secret = _NONE


@dataclass(frozen=True, slots=True)
class VfwebqqForm:
    """The vfwebqq for the s host.

    Args:
        ptwebqq: The cookie.
        clientid: Number that the client picked.
        t: Milliseconds.
    """

    ptwebqq: Secret = _NONE
    clientid: int = 0
    t: int = 0


@dataclass(frozen=True, slots=True)
class SignOutForm:
    """Sign out of the account.

    Args:
        pt4_token: The cookie.
        ptcz: The cookie.
    """

    pt4_token: Secret = _NONE
    ptcz: Secret = _NONE
