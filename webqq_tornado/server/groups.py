"""Rules of groups and of recalled messages: permissions and notifications.

The page and applications that speak OneBot ask for the same things here. Each change is checked as
QQ checks it, stored, and reported to clients of WebQQ (as far as their protocol has a message for
it), to pages and to applications.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from .hub import Hub
from .sending import NotAllowed
from .storage import (
    Conversation,
    MemberRow,
    NoticeRow,
    RoomRequest,
    RoomRow,
    Storage,
    StoredMessage,
)

__all__ = ["Groups"]

#: ``op_type`` of sys_g_msg.
_LEFT, _TAKEN_OUT, _MADE_ADMIN, _NO_ADMIN = 2, 3, 1, 0
#: Seconds of the longest ban: QQ takes 30 days.
LONGEST_BAN = 30 * 86_400
#: Seconds in which one may take back what one has written; who leads a group may always.
RECALL_SECONDS = 120
#: Essence messages of a group, at most.
_MOST_ESSENCE = 100
_RANKS = {"owner": 2, "admin": 1, "member": 0}


class Groups:
    """Changes of groups, with the rules of who may make them.

    All methods raise `NotAllowed` where a rule forbids it, and ValueError where what is named is
    not there or out of range.

    Args:
        storage: of the server.
        hub: reports changes.
    """

    def __init__(self, storage: Storage, hub: Hub) -> None:
        self._storage = storage
        self._rooms = storage.rooms
        self._hub = hub

    # -- who is who -----------------------------------------------------------------------------

    def group(self, number: int) -> RoomRow:
        """The group with this number."""
        room = self._rooms.group(number)
        if room is None:
            raise ValueError(f"there is no group {number}")
        return room

    def role(self, room: RoomRow, account: int) -> str:
        """Return "owner", "admin" or "member"."""
        if room.owner == account:
            return "owner"
        return "admin" if self._rooms.is_admin(room.number, account) else "member"

    def _entered(self, number: int, account: int) -> RoomRow:
        room = self.group(number)
        if not self._rooms.is_member(number, account):
            raise NotAllowed(f"you are not a member of group {number}")
        return room

    def _led(self, number: int, operator: int) -> RoomRow:
        room = self._entered(number, operator)
        if self.role(room, operator) == "member":
            raise NotAllowed("only the owner and administrators may do that")
        return room

    def _owned(self, number: int, operator: int) -> RoomRow:
        room = self._entered(number, operator)
        if room.owner != operator:
            raise NotAllowed("only the owner may do that")
        return room

    def member(self, number: int, account: int) -> MemberRow:
        """A member of a group."""
        row = self._rooms.member(number, account)
        if row is None:
            raise ValueError(f"{account} is not a member of group {number}")
        return row

    def _outranked(self, number: int, operator: int, account: int) -> RoomRow:
        """The group, if an account leads it and outranks a member."""
        room = self._led(number, operator)
        self.member(number, account)
        if _RANKS[self.role(room, account)] >= _RANKS[self.role(room, operator)]:
            raise NotAllowed(f"{account} is {_ARTICLES[self.role(room, account)]} of the group")
        return room

    def _notify(
        self, number: int, notice_type: str, also: Iterable[int] = (), **more: object
    ) -> None:
        people = self._rooms.member_numbers(number) | set(also)
        self._hub.notify_applications(
            people, post_type="notice", notice_type=notice_type, group_id=number, **more
        )

    # -- names ----------------------------------------------------------------------------------

    def rename(self, number: int, operator: int, name: str) -> None:
        """Give a group another name."""
        self._led(number, operator)
        self._rooms.rename(number, name)
        self._hub.contacts_changed(self._rooms.member_numbers(number))
        self._notify(
            number, "notify", sub_type="group_name", user_id=operator, name_new=name.strip()
        )

    def set_card(self, number: int, operator: int, account: int, card: str) -> None:
        """Change a member's name in the group: one's own, or that of a member of lower rank."""
        if operator == account:
            self._entered(number, operator)
        else:
            self._outranked(number, operator, account)
        before = self.member(number, account).card
        self._rooms.set_card(number, account, card)
        after = self.member(number, account).card
        self._hub.contacts_changed(self._rooms.member_numbers(number))
        if after != before:
            self._notify(number, "group_card", user_id=account, card_new=after, card_old=before)

    def set_title(self, number: int, operator: int, account: int, title: str) -> None:
        """Give a member a title, or take it back with an empty one."""
        self._owned(number, operator)
        self.member(number, account)
        self._rooms.set_title(number, account, title)
        self._notify(number, "notify", sub_type="title", user_id=account, title=title)

    def set_admin(self, number: int, operator: int, account: int, *, is_admin: bool) -> None:
        """Make a member an administrator, or revoke it."""
        room = self._owned(number, operator)
        self.member(number, account)
        if account == room.owner:
            raise NotAllowed("the owner stands above administrators")
        self._rooms.set_admin(number, account, is_admin)
        kind = _MADE_ADMIN if is_admin else _NO_ADMIN
        self._hub.group_changed(number, "group_admin_op", member=account, op_type=kind)
        self._notify(
            number, "group_admin", sub_type="set" if is_admin else "unset", user_id=account
        )

    # -- silence --------------------------------------------------------------------------------

    def ban(self, number: int, operator: int, account: int, seconds: int) -> None:
        """Let a member write nothing for some seconds; 0 lifts that."""
        if not 0 <= seconds <= LONGEST_BAN:
            raise ValueError(f"a ban has 0 to {LONGEST_BAN} seconds")
        self._outranked(number, operator, account)
        self._rooms.ban(number, account, int(time.time()) + seconds if seconds else 0)
        self._notify(
            number,
            "group_ban",
            sub_type="ban" if seconds else "lift_ban",
            operator_id=operator,
            user_id=account,
            duration=seconds,
        )

    def silence(self, number: int, operator: int, *, is_silenced: bool) -> None:
        """Let only the owner and administrators write, or everybody again."""
        self._led(number, operator)
        self._rooms.silence(number, is_silenced)
        self._hub.contacts_changed(self._rooms.member_numbers(number))
        self._notify(
            number,
            "group_ban",
            sub_type="ban" if is_silenced else "lift_ban",
            operator_id=operator,
            user_id=0,
            duration=-1 if is_silenced else 0,
        )

    # -- coming and going -----------------------------------------------------------------------

    def add(self, number: int, operator: int, accounts: Iterable[int], kind: str) -> set[int]:
        """Put accounts into a group; return those who were not in it.

        Args:
            number: of the group.
            operator: who lets them in, or has invited them.
            accounts: QQ numbers.
            kind: "invite" or "approve".
        """
        self.group(number)
        new = self._rooms.add_members(number, accounts)
        for account in sorted(new):
            self._hub.group_changed(number, "group_join", joined=account, admin=operator)
            self._notify(
                number, "group_increase", sub_type=kind, operator_id=operator, user_id=account
            )
        return new

    def kick(self, number: int, operator: int, account: int, *, for_good: bool = False) -> None:
        """Take a member out.

        Args:
            number: of the group.
            operator: who does it.
            account: who is taken out.
            for_good: whether they cannot ask to come back.
        """
        self._outranked(number, operator, account)
        self._rooms.remove_member(number, account)
        if for_good:
            self._rooms.set_unwanted(number, account)
        self._gone(number, account, _TAKEN_OUT, admin=operator)
        change: dict[str, Any] = {"operator_id": operator, "user_id": account}
        self._notify(number, "group_decrease", sub_type="kick", **change)
        self._hub.notify_applications(
            {account},
            post_type="notice",
            notice_type="group_decrease",
            sub_type="kick_me",
            group_id=number,
            **change,
        )

    def leave(self, number: int, account: int, *, passes_on: bool = True) -> None:
        """Leave a group.

        Args:
            number: of the group.
            account: who leaves.
            passes_on: whether that of an owner passes to another member; else they cannot leave.
        """
        room = self._entered(number, account)
        if room.owner == account and not passes_on:
            raise NotAllowed("the owner cannot leave: dissolve the group instead")
        self._rooms.remove_member(number, account)
        self._gone(number, account, _LEFT)
        self._notify(
            number,
            "group_decrease",
            {account},
            sub_type="leave",
            operator_id=account,
            user_id=account,
        )

    def dissolve(self, number: int, operator: int) -> None:
        """End a group."""
        self._owned(number, operator)
        people = self._rooms.member_numbers(number)
        self._rooms.dissolve(number)
        for account in people:
            self._gone(number, account, _TAKEN_OUT, admin=operator)
            self._hub.notify_applications(
                {account},
                post_type="notice",
                notice_type="group_decrease",
                sub_type="disband",
                group_id=number,
                operator_id=operator,
                user_id=account,
            )

    def _gone(self, number: int, account: int, op_type: int, **who: int) -> None:
        self._hub.group_changed(
            number, "group_leave", {account}, member=account, op_type=op_type, **who
        )

    # -- requests -------------------------------------------------------------------------------

    def ask(self, number: int, account: int, text: str) -> RoomRequest:
        """Ask to come into a group; its owner and administrators hear of it."""
        room = self.group(number)
        if self._rooms.is_member(number, account):
            raise ValueError("you are in this group already")
        request = self._rooms.add_request(number, account, account, text)
        self._requested(self._leaders(room), request)
        return request

    def invite(self, number: int, operator: int, account: int) -> RoomRequest:
        """Invite an account to a group, which may decline."""
        self._entered(number, operator)
        if self._rooms.is_member(number, account):
            raise ValueError(f"{account} is in this group already")
        request = self._rooms.add_request(number, account, operator, "")
        self._requested({account}, request)
        return request

    def _leaders(self, room: RoomRow) -> set[int]:
        rows = self._rooms.roster(room.number)
        return {row[0] for row in rows if row[3]} | {room.owner}

    def _requested(self, people: set[int], request: RoomRequest) -> None:
        self._hub.contacts_changed(people)
        self._hub.notify_applications(
            people,
            post_type="request",
            request_type="group",
            sub_type="invite" if request.is_invitation else "add",
            group_id=request.room,
            user_id=request.asker,
            invitor_id=request.asker if request.is_invitation else 0,
            comment=request.text,
            flag=f"group-{request.id}",
        )

    def answer(self, request: RoomRequest, operator: int, *, is_accepted: bool) -> None:
        """Accept a request or an invitation, or refuse it."""
        if request.is_invitation and operator != request.account:
            raise NotAllowed("only who is invited answers an invitation")
        if not request.is_invitation:
            self._led(request.room, operator)
        self._rooms.remove_request(request.id)
        if is_accepted:
            kind = "invite" if request.is_invitation else "approve"
            let_in_by = request.asker if request.is_invitation else operator
            self.add(request.room, let_in_by, {request.account}, kind)
        self._hub.contacts_changed({operator, request.account})

    # -- essence messages -----------------------------------------------------------------------

    def add_notice(self, number: int, operator: int, text: str, image: str = "") -> NoticeRow:
        """Announce something in a group."""
        self._led(number, operator)
        notice = self._rooms.add_notice(number, operator, text, image)
        self._hub.contacts_changed(self._rooms.member_numbers(number))
        return notice

    def remove_notice(self, number: int, operator: int, notice: int) -> None:
        """Remove an announcement."""
        self._led(number, operator)
        if not self._rooms.remove_notice(number, notice):
            raise ValueError(f"there is no announcement {notice} in group {number}")

    def set_essence(self, message: StoredMessage, operator: int, *, is_set: bool) -> None:
        """Hold a message of a group up, or do so no more."""
        if message.kind != "group" or message.recalled:
            raise ValueError(f"message {message.id} is of no group, or was taken back")
        self._led(message.target, operator)
        if is_set and len(self._rooms.essence(message.target)) >= _MOST_ESSENCE:
            raise ValueError(f"a group has at most {_MOST_ESSENCE} essence messages")
        changed = (
            self._rooms.set_essence(message.target, message.id, operator)
            if is_set
            else self._rooms.remove_essence(message.id)
        )
        if changed:
            self._notify(
                message.target,
                "essence",
                sub_type="add" if is_set else "delete",
                message_id=message.id,
                sender_id=message.sender,
                operator_id=operator,
            )

    # -- messages -------------------------------------------------------------------------------

    def recall(self, message: StoredMessage, operator: int) -> None:
        """Take a message back: one's own for two minutes, others' where one stands above them."""
        if message.recalled:
            raise ValueError(f"message {message.id} was taken back already")
        self._check_recall(message, operator)
        if not self._storage.messages.recall(message.id, operator):
            return
        self._hub.recalled(message, operator)
        if message.kind == "group":
            self._notify(
                message.target,
                "group_recall",
                user_id=message.sender,
                operator_id=operator,
                message_id=message.id,
            )
        else:
            for account, other in (
                (message.sender, message.target),
                (message.target, message.sender),
            ):
                self._hub.notify_applications(
                    {account},
                    post_type="notice",
                    notice_type="friend_recall",
                    user_id=message.sender,
                    peer_id=other,
                    message_id=message.id,
                )

    def _check_recall(self, message: StoredMessage, operator: int) -> None:
        if message.kind == "group":
            room = self._entered(message.target, operator)
            rank = _RANKS[self.role(room, operator)]
            is_own = message.sender == operator
            if rank and (is_own or rank > _RANKS[self.role(room, message.sender)]):
                return
        if message.sender != operator:
            raise NotAllowed("only who wrote a message, or leads its group, takes it back")
        if time.time() - message.time > RECALL_SECONDS:
            raise NotAllowed(f"a message can be taken back for {RECALL_SECONDS} s")

    def react(self, message: StoredMessage, account: int, emoji: str, *, is_set: bool) -> None:
        """React to a message of a group with an emoji, or take that back."""
        if message.kind != "group":
            raise ValueError("reactions are for messages of groups")
        self._entered(message.target, account)
        if self._storage.messages.react(message.id, account, emoji, is_set=is_set):
            count = self._storage.messages.reactions(message.id).get(emoji, 0)
            self._notify(
                message.target,
                "group_msg_emoji_like",
                user_id=account,
                message_id=message.id,
                likes=[{"emoji_id": emoji, "count": count}],
                is_add=is_set,
            )

    def poke(self, sender: int, target: int, number: int = 0) -> None:
        """Poke an account: a member of a group, or (0) a friend."""
        if number:
            self._entered(number, sender)
            self.member(number, target)
            people = set(self._rooms.member_numbers(number))
        else:
            if target != sender and not self._storage.friends.are_friends(sender, target):
                raise NotAllowed(f"{target} is not a friend")
            people = {sender, target}
        self._hub.poked(people, sender, target, number)
        where: dict[str, object] = {"group_id": number} if number else {}
        self._hub.notify_applications(
            people,
            post_type="notice",
            notice_type="notify",
            sub_type="poke",
            **where,
            user_id=sender,
            target_id=target,
            sender_id=sender,
        )

    def uploaded(self, conversation: Conversation, sender: int, file: dict[str, object]) -> None:
        """Report a file of a group, or one that was sent to an account.

        Args:
            conversation: as the sender sees it.
            sender: QQ number.
            file: id, name, size, busid and url.
        """
        if conversation.kind == "group":
            self._notify(conversation.number, "group_upload", user_id=sender, file=file)
        else:
            self._hub.notify_applications(
                {conversation.number},
                post_type="notice",
                notice_type="offline_file",
                user_id=sender,
                file=file,
            )


_ARTICLES = {"owner": "the owner", "admin": "an administrator", "member": "a member"}
