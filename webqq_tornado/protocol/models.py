"""What the protocol speaks about, as values: people, groups, messages, events.

Nothing in this file knows how any of it is written on the wire (`contacts`, `messages` and
`content` know). Every value is frozen; a `Secret` is a text whose repr is stars, so that the
values can be logged as they are.

Identifiers: *account* is the public QQ number; *uin* stands for a contact in one login session
only; *gid* is a group's uin, *code* the number under which a group is queried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .codes import ACCEPTED, Action, LoginResult, Mask, QRState, Status, action_of
from .faces import FACES

__all__ = [
    "Birthday",
    "Category",
    "CheckReply",
    "Content",
    "Discussion",
    "DiscussionDetails",
    "DiscussionMember",
    "DiscussionMessage",
    "Event",
    "Face",
    "FileOffer",
    "Font",
    "Friend",
    "FriendInfo",
    "FriendList",
    "FriendListChange",
    "FriendMessage",
    "Group",
    "GroupDetails",
    "GroupMessage",
    "GroupPicture",
    "GroupSystemMessage",
    "Kicked",
    "LoginReply",
    "Member",
    "Other",
    "Part",
    "Picture",
    "PollReply",
    "Presence",
    "Profile",
    "Recent",
    "Secret",
    "SelfInfo",
    "SendReply",
    "Session",
    "SessionMessage",
    "Signature",
    "StatusChange",
    "SystemMessage",
    "Translation",
    "Typing",
    "UnknownPart",
]


class Secret(str):
    """A text that is not shown in a repr: a token, a cookie, a hash.

    Example:
        >>> Secret("8f0d...")
        Secret('***')
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('***')" if self else "Secret('')"


_NO_SECRET = Secret()


# --- content of a message ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Font:
    """How a message looks.

    Args:
        name: Name of the font.
        size: In points.
        bold: First number of the wire's style.
        italic: Second number of the wire's style.
        underline: Third number of the wire's style.
        color: ``rrggbb`` in hex.
    """

    name: str = "宋体"
    size: int = 10
    bold: bool = False
    italic: bool = False
    underline: bool = False
    color: str = "000000"


@dataclass(frozen=True, slots=True)
class Face:
    """One of the built-in small pictures.

    Args:
        id: Its number on the wire.
    """

    id: int

    @property
    def text(self) -> str:
        """Its name in brackets, as QQ shows it: ``[微笑]``."""
        return f"[{FACES.get(self.id, f'表情{self.id}')}]"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture from a friend (``offpic``).

    Args:
        path: ``file_path``, under which the server kept it.
        is_sent: Whether the upload succeeded.
    """

    path: str
    is_sent: bool = True

    @property
    def text(self) -> str:
        """What stands for it in plain text."""
        return "[图片]"


@dataclass(frozen=True, slots=True)
class GroupPicture:
    """A picture in a group (``cface``).

    Args:
        name: File name.
        file_id: Number on the server.
        key: Key to fetch it (kept as it came: spaces count).
        server: ``ip:port`` that has it.
    """

    name: str
    file_id: int = 0
    key: str = ""
    server: str = ""

    @property
    def text(self) -> str:
        """What stands for it in plain text."""
        return "[图片]"


@dataclass(frozen=True, slots=True)
class UnknownPart:
    """A part of a content that we have no name for.

    Args:
        kind: Its first word, or empty.
        raw: The part as JSON text, so that nothing is lost.
    """

    kind: str
    raw: str

    @property
    def text(self) -> str:
        """What stands for it in plain text."""
        return f"[{self.kind or '?'}]"


Part: TypeAlias = "str | Face | Picture | GroupPicture | UnknownPart"


@dataclass(frozen=True, slots=True)
class Content:
    r"""What a message says: texts, faces and pictures in order.

    Texts have ``\n`` line ends and no escapes. Build one with `of`, which joins neighbours.

    Args:
        parts: The parts in order; no empty and no neighbouring texts.
        font: How the whole looks.

    Example:
        >>> Content.of("good morning", Face(14)).text
        'good morning[微笑]'
    """

    parts: tuple[Part, ...] = ()
    font: Font = Font()

    @classmethod
    def of(cls, *parts: Part, font: Font | None = None) -> Content:
        """A content of these parts; texts that touch are joined, empty ones dropped."""
        joined: list[Part] = []
        for part in parts:
            if isinstance(part, str) and joined and isinstance(joined[-1], str):
                joined[-1] += part
            elif part != "":
                joined.append(part)
        return cls(tuple(joined), font or Font())

    @property
    def text(self) -> str:
        """Plain text, faces as their names in brackets, pictures as ``[图片]``."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def is_unseen_picture(self) -> bool:
        """Whether only a font came: a picture that the web client could not be shown."""
        return not self.parts


# --- signing in -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckReply:
    r"""What ``check`` says before a password login.

    Args:
        needs_captcha: Whether a picture must be solved first.
        code: The verify code to use, or, with a captcha, the captcha's handle (``cap_cd``).
        salt: The QQ number as 8 bytes, big endian: the password hash's salt.
        session: ``ptvfsession`` of the late variant, else empty.
        is_random_salt: ``isRandSalt`` of the late variant.
    """

    needs_captcha: bool
    code: str
    salt: bytes
    session: Secret = _NO_SECRET
    is_random_salt: bool = False


@dataclass(frozen=True, slots=True)
class LoginReply:
    """What ``login`` says (``ptuiCB``).

    Args:
        code: The first value; see `result`.
        url: Where to go next (carries a signature), empty when refused.
        text: The server's words, for example ``登录成功!``.
        nick: The account's nick, empty when refused.
    """

    code: int
    url: Secret = _NO_SECRET
    text: str = ""
    nick: str = ""

    @property
    def result(self) -> LoginResult:
        """The code's meaning after a login by password."""
        return LoginResult.of_code(self.code)

    @property
    def qr_state(self) -> QRState:
        """The code's meaning while one waits for a QR code to be scanned."""
        return QRState.of_code(self.code)


@dataclass(frozen=True, slots=True)
class Session:
    """What ``login2`` gives: an open session.

    Args:
        uin: One's own uin.
        psessionid: Goes into every request to the d host.
        vfwebqq: Goes into every request to the s host.
        status: The status the session began with.
        cip: The client's address as a number.
        index: Number of the server's link.
        port: Port of the server's link.
        user_state: A number that no client used.
        f: The same.
    """

    uin: int
    psessionid: Secret
    vfwebqq: Secret = _NO_SECRET
    status: Status = Status.ONLINE
    cip: int = 0
    index: int = 0
    port: int = 0
    user_state: int = 0
    f: int = 0


# --- people and groups ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Category:
    """A heading of the friend list.

    Args:
        index: Its number, which friends refer to; 0 is the default one.
        name: Its name.
        sort: Its place.
    """

    index: int
    name: str
    sort: int = 0


@dataclass(frozen=True, slots=True)
class Friend:
    """One line of the friend list.

    Args:
        uin: Number in this session.
        nick: The name the friend chose.
        mark: The name the account gave the friend, or empty.
        category: Index of a `Category`.
        face: Number of the portrait.
        flag: ``flag`` of the list ``info``.
        friend_flag: ``flag`` of the list ``friends``.
        mark_type: ``type`` of the list ``marknames``.
        is_vip: Whether the friend pays.
        vip_level: How much.
    """

    uin: int
    nick: str = ""
    mark: str = ""
    category: int = 0
    face: int = 0
    flag: int = 0
    friend_flag: int = 0
    mark_type: int = 0
    is_vip: bool = False
    vip_level: int = 0

    @property
    def name(self) -> str:
        """What to call the friend: the mark, else the nick."""
        return self.mark or self.nick


@dataclass(frozen=True, slots=True)
class FriendList:
    """What ``get_user_friends2`` gives.

    Args:
        friends: In the server's order.
        categories: In the server's order; index 0 may be left out.
    """

    friends: tuple[Friend, ...] = ()
    categories: tuple[Category, ...] = ()

    def category_name(self, index: int) -> str:
        """Name of a category; index 0 is ``我的好友`` when the server leaves it out."""
        known = {category.index: category.name for category in self.categories}
        return known.get(index, "我的好友" if index == 0 else "")


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is online and how.

    Args:
        uin: Who.
        status: How.
        client_type: With what; see `CLIENT_TYPES`.
    """

    uin: int
    status: Status = Status.ONLINE
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """One line of the group list.

    Args:
        gid: The number to send to, and the sender of its messages.
        code: The number to query it under.
        name: Its name.
        mark: The name the account gave it, or empty.
        mask: A `Mask`, or a number that clients did not know.
        flag: A number of flags.
    """

    gid: int
    code: int
    name: str = ""
    mark: str = ""
    mask: int = Mask.NOTIFY
    flag: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group.

    Args:
        uin: Number in this session.
        nick: The name the person chose.
        card: The name in this group, or empty.
        flag: ``mflag``; odd for an administrator.
        gender: ``male``, ``female`` or ``unknown``.
        country: As the person wrote it.
        province: As the person wrote it.
        city: As the person wrote it.
        status: `Status.OFFLINE` unless the server listed one.
        client_type: With what; 0 unless the server said.
        is_vip: Whether the person pays.
        vip_level: How much.
    """

    uin: int
    nick: str = ""
    card: str = ""
    flag: int = 0
    gender: str = "unknown"
    country: str = ""
    province: str = ""
    city: str = ""
    status: Status = Status.OFFLINE
    client_type: int = 0
    is_vip: bool = False
    vip_level: int = 0

    @property
    def name(self) -> str:
        """What to call the member: the card, else the nick."""
        return self.card or self.nick


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """What ``get_group_info_ext2`` gives.

    Args:
        gid: The number to send to.
        code: The number to query it under.
        name: Its name.
        owner: uin of the owner.
        created: Seconds since 1970.
        memo: The announcement.
        fingermemo: The description.
        face: Number of the portrait.
        level: Size class.
        flag: A number of flags.
        option: How one joins.
        classification: Number of the subject.
        members: In the server's order.
        is_complete: Whether ``minfo`` came: without it no member has a nick, ask again.
    """

    gid: int
    code: int
    name: str = ""
    owner: int = 0
    created: int = 0
    memo: str = ""
    fingermemo: str = ""
    face: int = 0
    level: int = 0
    flag: int = 0
    option: int = 0
    classification: int = 0
    members: tuple[Member, ...] = ()
    is_complete: bool = True


class Birthday(NamedTuple):
    """A date; zeros when not given."""

    year: int = 0
    month: int = 0
    day: int = 0


_NO_BIRTHDAY = Birthday()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person tells about themselves; numbers and words as the person's client sent them.

    Args:
        uin: Number in this session.
        account: QQ number, 0 if the server kept it back.
        nick: Name.
        lnick: Signature.
        face: Number of the portrait.
        gender: ``male``, ``female`` or ``unknown``.
        birthday: Zeros when not given.
        phone: As written.
        mobile: As written.
        email: As written.
        occupation: As written.
        college: As written.
        country: As written.
        province: As written.
        city: As written.
        homepage: As written.
        personal: About oneself.
        blood: Number of the blood group.
        constel: Number of the sign of the zodiac.
        shengxiao: Number of the Chinese sign.
        allow: How a friend request is answered.
        vip_info: Number.
    """

    uin: int
    account: int = 0
    nick: str = ""
    lnick: str = ""
    face: int = 0
    gender: str = "unknown"
    birthday: Birthday = _NO_BIRTHDAY
    phone: str = ""
    mobile: str = ""
    email: str = ""
    occupation: str = ""
    college: str = ""
    country: str = ""
    province: str = ""
    city: str = ""
    homepage: str = ""
    personal: str = ""
    blood: int = 0
    constel: int = 0
    shengxiao: int = 0
    allow: int = 0
    vip_info: int = 0


@dataclass(frozen=True, slots=True)
class SelfInfo(Profile):
    """What ``get_self_info2`` gives.

    Args:
        vfwebqq: The token of the s host once more.
    """

    vfwebqq: Secret = _NO_SECRET


@dataclass(frozen=True, slots=True)
class FriendInfo(Profile):
    """What ``get_friend_info2`` gives.

    Args:
        status: How the friend is to be reached.
    """

    status: Status = Status.OFFLINE


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's signature (``get_single_long_nick2``).

    Args:
        uin: Whose.
        lnick: The text.
    """

    uin: int
    lnick: str = ""


@dataclass(frozen=True, slots=True)
class Translation:
    """Which account or group number a uin stands for (``get_friend_uin2``).

    Args:
        uin: Number in this session.
        account: The public number.
    """

    uin: int
    account: int


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion: a small group without a number of its own.

    Args:
        did: Its number in this session.
        name: Its name.
        mask: What the account wants of its messages.
    """

    did: int
    name: str = ""
    mask: int = Mask.NOTIFY


@dataclass(frozen=True, slots=True)
class DiscussionMember:
    """A member of a discussion.

    Args:
        uin: Number in this session (``mem_uin``).
        account: QQ number (``ruin``), 0 if the server kept it back.
        nick: Own name.
        status: How to be reached.
        client_type: See `webqq_tornado.protocol.codes.CLIENT_TYPES`.
    """

    uin: int
    account: int = 0
    nick: str = ""
    status: Status = Status.OFFLINE
    client_type: int = 0

    @property
    def name(self) -> str:
        """What to call the member."""
        return self.nick or str(self.uin)


@dataclass(frozen=True, slots=True)
class DiscussionDetails:
    """A discussion with its members (``get_discu_info``).

    Args:
        did: Its number in this session.
        name: ``discu_name``.
        owner: ``discu_owner``, a uin.
        members: All of them.
    """

    did: int
    name: str = ""
    owner: int = 0
    members: tuple[DiscussionMember, ...] = ()


@dataclass(frozen=True, slots=True)
class Recent:
    """Somebody one has lately written with (``get_recent_list2``).

    Args:
        uin: uin, gid or did.
        type: 0 a friend, 1 a group, 2 a discussion.
    """

    uin: int
    type: int = 0


# --- what poll2 brings ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FriendMessage:
    """A friend wrote.

    Args:
        sender: uin; one's own for a message sent from the same account elsewhere.
        content: What.
        recipient: One's own uin, or the friend's for a message sent elsewhere.
        time: Seconds since 1970.
        msg_id: With `msg_id2` tells repetitions.
        msg_id2: See `msg_id`.
        msg_type: 9.
        reply_ip: A number that goes back to nobody.
    """

    sender: int
    content: Content
    recipient: int = 0
    time: int = 0
    msg_id: int = 0
    msg_id2: int = 0
    msg_type: int = 9
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class GroupMessage:
    """Somebody wrote in a group.

    Args:
        gid: The group (``from_uin``).
        sender: uin of the member.
        content: What.
        code: The number to query the group under (``group_code``).
        recipient: One's own uin.
        time: Seconds since 1970.
        msg_id: With `msg_id2` and `seq` tells repetitions.
        msg_id2: See `msg_id`.
        seq: Number of the message in the group.
        info_seq: The group's public number.
        msg_type: 43.
        reply_ip: A number that goes back to nobody.
    """

    gid: int
    sender: int
    content: Content
    code: int = 0
    recipient: int = 0
    time: int = 0
    msg_id: int = 0
    msg_id2: int = 0
    seq: int = 0
    info_seq: int = 0
    msg_type: int = 43
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class DiscussionMessage:
    """Somebody wrote in a discussion.

    Args:
        did: The discussion.
        sender: uin of the member.
        content: What.
        from_uin: A number the server put there besides `did`.
        recipient: One's own uin.
        time: Seconds since 1970.
        msg_id: Tells repetitions.
        msg_id2: Tells repetitions.
        seq: Number of the message in the discussion.
        info_seq: The discussion's number once more.
        msg_type: 42.
        reply_ip: A number that goes back to nobody.
    """

    did: int
    sender: int
    content: Content
    from_uin: int = 0
    recipient: int = 0
    time: int = 0
    msg_id: int = 0
    msg_id2: int = 0
    seq: int = 0
    info_seq: int = 0
    msg_type: int = 42
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class SessionMessage:
    """A stranger wrote, whom a group or a discussion brought.

    Args:
        sender: uin.
        content: What.
        origin: gid or did (``id``).
        account: The stranger's QQ number (``ruin``), 0 if the server kept it back.
        service_type: 0 from a group, 1 from a discussion.
        recipient: One's own uin.
        time: Seconds since 1970.
        msg_id: Tells repetitions.
        msg_id2: Tells repetitions.
        msg_type: 140.
        reply_ip: A number that goes back to nobody.
    """

    sender: int
    content: Content
    origin: int = 0
    account: int = 0
    service_type: int = 0
    recipient: int = 0
    time: int = 0
    msg_id: int = 0
    msg_id2: int = 0
    msg_type: int = 140
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A friend came, went or changed status.

    Args:
        uin: Who.
        status: How now.
        client_type: With what; see `CLIENT_TYPES`.
    """

    uin: int
    status: Status
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class Kicked:
    """The account logged in elsewhere: this session is over.

    Args:
        reason: Words for the user.
        show_reason: Whether the server wants them shown.
        way: Where the words came from.
    """

    reason: str = ""
    show_reason: bool = True
    way: str = "poll"


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """A friend request, an accepted one, and the like.

    Args:
        type: ``verify_required``, ``added_buddy_sig``, ...
        uin: Who (``from_uin``).
        account: QQ number, 0 if the server kept it back.
        text: What they wrote (``msg``).
        seq: Number of the message.
    """

    type: str
    uin: int = 0
    account: int = 0
    text: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class GroupSystemMessage:
    """Somebody joined, left, asked to join, was made administrator.

    Args:
        type: ``group_leave``, ``group_join``, ``group_request_join``, ``group_admin_op``, ...
        gid: The group (``from_uin``).
        code: The number to query it under (``gcode``).
        account: The group's public number (``t_gcode``).
        member: Who left (``old_member``), 0 if nobody.
        joined: Who came (``new_member``), 0 if nobody.
        op_type: Number of the operation.
        admin: uin of the administrator who did it (``admin_uin``).
        text: What they wrote (``msg``).
    """

    type: str
    gid: int = 0
    code: int = 0
    account: int = 0
    member: int = 0
    joined: int = 0
    op_type: int = 0
    admin: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Typing:
    """A friend is writing (``input_notify``).

    Args:
        sender: uin.
        recipient: One's own uin.
        msg_id: A number that tells nothing.
        msg_id2: The same.
        msg_type: 121.
        reply_ip: A number that goes back to nobody.
    """

    sender: int
    recipient: int = 0
    msg_id: int = 0
    msg_id2: int = 0
    msg_type: int = 121
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class FileOffer:
    """A friend offers a file (``file_message``), or takes the offer back.

    Args:
        sender: uin.
        name: Of the file.
        session_id: Goes into get_file2 as ``lcid``.
        mode: ``recv`` for an offer, ``refuse`` when it is over.
        recipient: One's own uin.
        time: Seconds since 1970.
        type: 101 for an offer.
        msg_id: Tells repetitions.
        msg_id2: Tells repetitions.
        msg_type: 9.
        reply_ip: A number that goes back to nobody.
    """

    sender: int
    name: str = ""
    session_id: int = 0
    mode: str = "recv"
    recipient: int = 0
    time: int = 0
    type: int = 101
    msg_id: int = 0
    msg_id2: int = 0
    msg_type: int = 9
    reply_ip: int = 0


@dataclass(frozen=True, slots=True)
class FriendListChange:
    """Friends came or went (``buddylist_change``): time to fetch the list again.

    Args:
        added: uins of new friends.
        removed: uins of friends that are none any more.
    """

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Other:
    """An event that we have no name for, or one whose fields are not as they should be.

    Args:
        poll_type: The protocol's word for it.
        raw: ``value`` as JSON text, so that nothing is lost.
        problem: What was wrong with an event of a known type, else empty.
    """

    poll_type: str
    raw: str
    problem: str = ""


Event: TypeAlias = (
    "FriendMessage | GroupMessage | DiscussionMessage | SessionMessage | StatusChange | Kicked"
    " | SystemMessage | GroupSystemMessage | Typing | FileOffer | FriendListChange | Other"
)


@dataclass(frozen=True, slots=True)
class PollReply:
    """What one poll2 brought.

    Args:
        retcode: See `action`.
        events: In the server's order; empty when nothing is new.
        ptwebqq: The new cookie when `action` is `Action.NEW_PTWEBQQ`, else empty.
    """

    retcode: int = 0
    events: tuple[Event, ...] = ()
    ptwebqq: Secret = _NO_SECRET

    @property
    def action(self) -> Action:
        """What to do about the code."""
        return action_of(self.retcode)


@dataclass(frozen=True, slots=True)
class SendReply:
    """What the server said to a message, status change or logout.

    Args:
        retcode: See `action` and `is_accepted`.
        text: The server's words, for example ``ok`` or ``send ok``.
    """

    retcode: int = 0
    text: str = "ok"

    @property
    def is_accepted(self) -> bool:
        """Whether the message is delivered; never send it again then."""
        return self.retcode in ACCEPTED

    @property
    def action(self) -> Action:
        """What to do about the code."""
        return Action.GO_ON if self.is_accepted else action_of(self.retcode)
