"""What the page does with groups and discussions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..protocol.codes import Mask
from .page_api import PageHandler, refuse
from .page_views import room_view
from .storage import Account, RoomRow

__all__ = ["ROUTES"]

#: ``op_type`` of sys_g_msg.
_LEFT, _TAKEN_OUT, _MADE_ADMIN, _NO_ADMIN = 2, 3, 1, 0


class RoomsHandler(PageHandler):
    """Makes groups and discussions."""

    kind = "group"

    def post(self) -> None:
        """Of oneself and others."""
        me, body = self.me(), self.json()
        name, members = self.field(body, "name", str), self.friends(me, body, "members")
        storage = self.server.storage
        create = storage.create_group if self.kind == "group" else storage.create_discussion
        try:
            room = create(name, me.number, members)
        except ValueError as error:
            refuse(400, str(error))
        self.server.channel.contacts_changed({me.number, *members})
        self.write({"conversation": room_view(self.server, me.number, room)})

    def friends(self, me: Account, body: dict[str, Any], name: str) -> list[int]:
        """A list of QQ numbers of the body, all of friends: nobody else is put anywhere unasked.

        Raises:
            Refusal: 403 names the first who is no friend, 400 who does not exist.
        """
        numbers, storage = self.numbers(body, name), self.server.storage
        known = storage.friend_numbers(me.number) | {me.number}
        for number in numbers:
            person = None if number in known else storage.account(number)
            if person is not None:
                refuse(403, f"{person.nick} is not your friend: add them as a friend first")
        return numbers

    def numbers(self, body: dict[str, Any], name: str) -> list[int]:
        """A list of QQ numbers of the body."""
        numbers: list[int] = self.field(body, name, list)
        if not all(type(number) is int for number in numbers) or len(numbers) > 500:
            refuse(400, f"{name} is a list of at most 500 QQ numbers")
        return numbers


class DiscussionsHandler(RoomsHandler):
    """Makes discussions."""

    kind = "discussion"


class RoomHandler(RoomsHandler):
    """Changes a room, or how one has it."""

    def post(self) -> None:
        """Each field of the body is one change; see `_CHANGES`."""
        me, body = self.me(), self.json()
        conversation = self.conversation(self.field(body, "conversation", str), me)
        room = self.server.storage.room(conversation.number, conversation.kind)
        if room is None:
            refuse(404, "There is no such room")
        for name in body:
            change = _CHANGES.get(name)
            if change is None and name != "conversation":
                refuse(400, f"{name} is nothing that a room can change")
            try:
                if change is not None:
                    change(self, me, room, body)
            except ValueError as error:
                refuse(400, str(error))
        people = self.server.storage.member_numbers(room.number) | {me.number}
        self.server.channel.contacts_changed(people)
        self.set_status(204)

    def must_lead(self, me: Account, room: RoomRow) -> None:
        """A group has who leads it; in a discussion all may do all.

        Raises:
            Refusal: 403, this one does not.
        """
        rows = self.server.storage.member_rows(room.number)
        is_admin = any(row.is_admin for row in rows if row.account.number == me.number)
        if room.kind == "group" and room.owner != me.number and not is_admin:
            refuse(403, "Only the owner and administrators do that")


_Change: TypeAlias = Callable[[RoomHandler, Account, RoomRow, dict[str, Any]], None]


def _rename(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.must_lead(me, room)
    handler.server.storage.rename_room(room.number, handler.field(body, "name", str))


def _memo(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.must_lead(me, room)
    handler.server.storage.set_memo(room.number, handler.field(body, "memo", str))


def _mark(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    mark = handler.field(body, "mark", str)
    handler.server.storage.set_room_mark(room.number, me.number, mark)


def _card(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.server.storage.set_card(room.number, me.number, handler.field(body, "card", str))


def _mask(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    mask = Mask(handler.field(body, "mask", int))
    handler.server.storage.set_mask(room.number, me.number, mask)


def _add(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    new = handler.server.storage.add_members(room.number, handler.friends(me, body, "add"))
    if room.kind == "group":
        for number in sorted(new):
            handler.server.channel.group_changed(
                room.number, "group_join", joined=number, admin=me.number
            )


def _leave(handler: RoomHandler, me: Account, room: RoomRow, _body: dict[str, Any]) -> None:
    _remove_member(handler, me, room, me.number)


def _remove(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.must_lead(me, room)
    member = handler.field(body, "remove", int)
    if not handler.server.storage.is_member(room.number, member) or member == room.owner:
        raise ValueError("there is no such member to take out")
    _remove_member(handler, me, room, member)


def _remove_member(handler: RoomHandler, me: Account, room: RoomRow, member: int) -> None:
    handler.server.storage.remove_member(room.number, member)
    if room.kind == "group":
        is_own = member == me.number
        handler.server.channel.group_changed(
            room.number,
            "group_leave",
            {member},
            member=member,
            op_type=_LEFT if is_own else _TAKEN_OUT,
            **({} if is_own else {"admin": me.number}),
        )
    handler.server.channel.contacts_changed({member})


def _admin(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    if room.owner != me.number or room.kind != "group":
        refuse(403, "Only the owner does that")
    member, is_admin = handler.field(body, "admin", int), body.get("is_admin") is not False
    handler.server.storage.set_admin(room.number, member, is_admin)
    handler.server.channel.group_changed(
        room.number, "group_admin_op", member=member, op_type=_MADE_ADMIN if is_admin else _NO_ADMIN
    )


_CHANGES: dict[str, _Change] = {
    "name": _rename,
    "memo": _memo,
    "mark": _mark,
    "card": _card,
    "mask": _mask,
    "add": _add,
    "remove": _remove,
    "admin": _admin,
    "is_admin": lambda *_: None,  # belongs to "admin"
    "leave": _leave,
}

ROUTES: tuple[tuple[str, type[PageHandler]], ...] = (
    (r"/page/groups", RoomsHandler),
    (r"/page/discussions", DiscussionsHandler),
    (r"/page/room", RoomHandler),
)
