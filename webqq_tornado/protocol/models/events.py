"""Events of poll2 (messages, news of people) and replies to sending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..codes import ACCEPTED, Action, Status, action_of
from .content import Content
from .login import NO_SECRET, Secret

__all__ = [
    "DiscussionMessage",
    "Event",
    "FileOffer",
    "FriendListChange",
    "FriendMessage",
    "GroupMessage",
    "GroupSystemMessage",
    "Kicked",
    "Other",
    "PollReply",
    "SendReply",
    "SessionMessage",
    "StatusChange",
    "SystemMessage",
    "Typing",
]


@dataclass(frozen=True, slots=True)
class FriendMessage:
    """A friend wrote.

    Args:
        sender: uin; one's own for a message sent from the same account elsewhere.
        content: What.
        recipient: One's own uin, or the friend's for a message sent elsewhere.
        time: Seconds since 1970.
        msg_id: With `msg_id2` identifies repetitions.
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
    """A message in a group.

    Args:
        gid: The group (``from_uin``).
        sender: uin of the member.
        content: What.
        code: The number to query the group under (``group_code``).
        recipient: One's own uin.
        time: Seconds since 1970.
        msg_id: With `msg_id2` and `seq` identifies repetitions.
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
    """A message in a discussion.

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
        status: How they are (``stat``).
        client_type: With what; see `CLIENT_TYPES`.
    """

    type: str
    uin: int = 0
    account: int = 0
    text: str = ""
    seq: int = 0
    status: Status = Status.OFFLINE
    client_type: int = 1


@dataclass(frozen=True, slots=True)
class GroupSystemMessage:
    """A change of a group's members: one joined, left, asked to join or became administrator.

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
        how: They came or went, in the words of OneBot; WebQQ has none.
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
    how: str = ""


@dataclass(frozen=True, slots=True)
class Typing:
    """A friend is writing (``input_notify``).

    Args:
        sender: uin.
        recipient: One's own uin.
        msg_id: A number without meaning.
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
    """The reply to one poll2.

    Args:
        retcode: See `action`.
        events: In the server's order; empty when nothing is new.
        ptwebqq: The new cookie when `action` is `Action.NEW_PTWEBQQ`, else empty.
    """

    retcode: int = 0
    events: tuple[Event, ...] = ()
    ptwebqq: Secret = NO_SECRET

    @property
    def action(self) -> Action:
        """The reaction to the code."""
        return action_of(self.retcode)


@dataclass(frozen=True, slots=True)
class SendReply:
    """The reply to a message, status change or logout.

    Args:
        retcode: See `action` and `is_accepted`.
        text: The server's words, for example ``ok`` or ``send ok``.
    """

    retcode: int = 0
    text: str = "ok"

    @property
    def is_accepted(self) -> bool:
        """True if the server accepted the message; never send it again then."""
        return self.retcode in ACCEPTED

    @property
    def action(self) -> Action:
        """The reaction to the code."""
        return Action.GO_ON if self.is_accepted else action_of(self.retcode)
