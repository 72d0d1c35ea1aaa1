"""Values of the protocol: people, groups, messages, events.

Nothing in this folder knows how any of it is written on the wire (`contacts`, `messages` and
`content` beside it know). Every value is frozen; a `Secret` is a text whose repr is stars, so
that the values can be logged as they are.

Identifiers: *account* is the public QQ number; *uin* stands for a contact in one login session
only; *gid* is a group's uin, *code* the number under which a group is queried.
"""

from __future__ import annotations

from .content import (
    At,
    Attachment,
    Content,
    Face,
    Font,
    GroupPicture,
    Part,
    Picture,
    Reply,
    UnknownPart,
)
from .events import (
    DiscussionMessage,
    Event,
    FileOffer,
    FriendListChange,
    FriendMessage,
    GroupMessage,
    GroupSystemMessage,
    Kicked,
    Other,
    PollReply,
    SendReply,
    SessionMessage,
    StatusChange,
    SystemMessage,
    Typing,
)
from .login import CheckReply, LoginReply, Secret, Session
from .people import (
    Birthday,
    Category,
    Discussion,
    DiscussionDetails,
    DiscussionMember,
    Friend,
    FriendInfo,
    FriendList,
    Group,
    GroupDetails,
    Member,
    Presence,
    Profile,
    Recent,
    SelfInfo,
    Signature,
    Translation,
)

__all__ = [
    "At",
    "Attachment",
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
    "Reply",
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
