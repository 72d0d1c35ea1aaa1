"""The page's requests about groups and discussions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ...protocol.codes import Mask
from ..sending import NotAllowed
from ..storage import Account, RoomRow
from .api import PageHandler, refuse, sentence
from .views import room_view

__all__ = ["ROUTES"]


class RoomsHandler(PageHandler):
    """Creates groups."""

    kind = "group"

    def post(self) -> None:
        """Create a room of the user and friends."""
        me, body = self.me(), self.json()
        name, members = body["name"], self.friends(me, body, "members")
        rooms = self.server.storage.rooms
        create = rooms.create_group if self.kind == "group" else rooms.create_discussion
        try:
            room = create(name, me.number, members)
        except ValueError as error:
            refuse(400, str(error))
        self.server.hub.contacts_changed({me.number, *members})
        self.write({"conversation": room_view(self.server, me.number, room)})

    def friends(self, me: Account, body: dict[str, Any], name: str) -> list[int]:
        """QQ numbers in a field of the body, all of friends: others are not added unasked.

        Raises:
            Refusal: 403, names the first account that is not a friend.
        """
        numbers: list[int] = body[name]
        storage = self.server.storage
        known = storage.friends.numbers(me.number) | {me.number}
        for number in numbers:
            person = None if number in known else storage.accounts.get(number)
            if person is not None:
                refuse(403, f"{person.nick} is not your friend: add them as a friend first")
        return numbers


class DiscussionsHandler(RoomsHandler):
    """Creates discussions."""

    kind = "discussion"


class RoomHandler(RoomsHandler):
    """Changes a room, or the user's own settings of it."""

    def post(self) -> None:
        """Apply the changes of the body, one a field; see `_CHANGES`."""
        me, body = self.me(), self.json()
        conversation = self.conversation(body["conversation"], me)
        room = self.server.storage.rooms.get(conversation.number, conversation.kind)
        if room is None:
            refuse(404, "There is no such room")
        try:
            for name in filter(_CHANGES.get, body):  # in the schema's order
                _CHANGES[name](self, me, room, body)
        except NotAllowed as error:
            refuse(403, sentence(error))
        except ValueError as error:
            refuse(400, str(error))
        self.server.hub.contacts_changed(self._affected(me, room, body))
        self.set_status(204)

    def _affected(self, me: Account, room: RoomRow, body: Mapping[str, object]) -> set[int]:
        """Accounts whose pages reload the room; only the user's own after a private change."""
        is_private = body.keys() <= {"conversation", *_PRIVATE}
        others = () if is_private else self.server.storage.rooms.member_numbers(room.number)
        return {me.number, *others}

    def check_leads(self, me: Account, room: RoomRow) -> None:
        """Check that an account leads a group; in a discussion, every member may change all.

        Raises:
            Refusal: 403, it is a plain member.
        """
        is_admin = self.server.storage.rooms.is_admin(room.number, me.number)
        if room.kind == "group" and room.owner != me.number and not is_admin:
            refuse(403, "Only the owner and administrators may do that")


_Change: TypeAlias = Callable[[RoomHandler, Account, RoomRow, dict[str, Any]], None]


def _rename(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    if room.kind == "group":
        handler.server.groups.rename(room.number, me.number, body["name"])
    else:
        handler.server.storage.rooms.rename(room.number, body["name"])


def _memo(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.check_leads(me, room)
    handler.server.storage.rooms.set_memo(room.number, body["memo"])


def _mark(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    mark = body["mark"]
    handler.server.storage.rooms.set_mark(room.number, me.number, mark)


def _card(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    if room.kind == "group":
        member = body.get("member", me.number)
        handler.server.groups.set_card(room.number, me.number, member, body["card"])
    else:
        handler.server.storage.rooms.set_card(room.number, me.number, body["card"])


def _title(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    member = body.get("member", me.number)
    handler.server.groups.set_title(room.number, me.number, member, body["title"])


def _mask(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    mask = Mask(body["mask"])
    handler.server.storage.rooms.set_mask(room.number, me.number, mask)


def _add(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    accounts = handler.friends(me, body, "add")
    if room.kind == "group":
        handler.server.groups.add(room.number, me.number, accounts, "invite")
    else:
        handler.server.storage.rooms.add_members(room.number, accounts)


def _leave(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    if not body["leave"]:
        return
    if room.kind == "group":
        handler.server.groups.leave(room.number, me.number)
    else:
        _remove_from_discussion(handler, room, me.number)


def _remove(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    member = body["remove"]
    if room.kind == "group":
        handler.check_leads(me, room)
    if not handler.server.storage.rooms.is_member(room.number, member) or member == room.owner:
        raise ValueError("there is no such member to remove")
    if room.kind == "group":
        handler.server.groups.kick(room.number, me.number, member)
    else:
        _remove_from_discussion(handler, room, member)


def _remove_from_discussion(handler: RoomHandler, room: RoomRow, member: int) -> None:
    handler.server.storage.rooms.remove_member(room.number, member)
    handler.server.hub.contacts_changed({member})


def _admin(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    if room.owner != me.number or room.kind != "group":
        refuse(403, "Only the owner may do that")
    member, is_admin = body["admin"], body.get("is_admin") is not False
    if not handler.server.storage.rooms.is_member(room.number, member):
        raise ValueError("there is no such member")
    handler.server.groups.set_admin(room.number, me.number, member, is_admin=is_admin)


def _ban(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.server.groups.ban(room.number, me.number, body["ban"], body.get("seconds", 1800))


def _silence(handler: RoomHandler, me: Account, room: RoomRow, body: dict[str, Any]) -> None:
    handler.server.groups.silence(room.number, me.number, is_silenced=body["silence"])


_CHANGES: dict[str, _Change] = {
    "name": _rename,
    "memo": _memo,
    "mark": _mark,
    "card": _card,
    "mask": _mask,
    "add": _add,
    "remove": _remove,
    "admin": _admin,
    "ban": _ban,
    "silence": _silence,
    "title": _title,
    "leave": _leave,
}

#: Changes that only the user sees; "is_admin" without "admin" changes nothing.
_PRIVATE = frozenset({"mark", "mask", "is_admin", "seconds", "member"})

ROUTES: tuple[tuple[str, type[PageHandler]], ...] = (
    (r"/page/groups", RoomsHandler),
    (r"/page/discussions", DiscussionsHandler),
    (r"/page/room", RoomHandler),
)
