"""The page's requests about friends (ask, accept, name, sort) and the user's own profile."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

from ...protocol.models import Profile
from ..sending import NotAllowed
from ..storage import Account, FriendRow
from .api import PageHandler, refuse, sentence
from .views import friend_view

__all__ = ["ROUTES"]

logger = logging.getLogger("webqq_tornado.server")

#: Values of the profile's "allow": anyone may add this account, or its approval is needed.
_ANYONE, _BY_REQUEST = 0, 1
#: Fields of a profile that friends see on the page.
_SHOWN = frozenset({"nick", "lnick"})


class FriendsHandler(PageHandler):
    """Adds friends."""

    def post(self) -> None:
        """Add a friend by QQ number: at once or by a request, as the friend's profile says."""
        me, body = self.me(), self.json()
        number = body["account"]
        friend = self.server.storage.accounts.get(number)
        if friend is None:
            refuse(404, f"There is no account {number}")
        if number == me.number:
            refuse(400, "You cannot add yourself as a friend")
        if self.server.storage.friends.are_friends(me.number, number):
            refuse(409, f"{friend.nick} is a friend already")
        if self.server.storage.friends.request(me.number, number):
            self._befriend(me, friend, "verify_pass_add")
        elif friend.allow == _ANYONE:
            self._befriend(me, friend, "added_buddy_sig")
        else:
            self._ask(me, friend, body.get("text", ""))

    def _befriend(self, me: Account, friend: Account, type_: str) -> None:
        self.server.storage.friends.befriend(me.number, friend.number)
        self.server.hub.befriended(me.number, friend.number, type_)
        view = friend_view(self.server, me.number, FriendRow(friend, 0, ""))
        self.write({"conversation": view})

    def _ask(self, me: Account, friend: Account, text: str) -> None:
        if friend.allow != _BY_REQUEST:
            refuse(403, f"{friend.nick} accepts no friend requests")
        self.server.storage.friends.add_request(me.number, friend.number, text)
        self.server.hub.requested(me.number, friend.number, text)
        self.write({"asked": friend.nick})


class FriendHandler(PageHandler):
    """Changes a friend's mark or heading, or removes the friend."""

    def post(self) -> None:
        """Change the mark and the heading (category), or remove the friend."""
        me, body = self.me(), self.json()
        number, storage = body["account"], self.server.storage
        if not storage.friends.are_friends(me.number, number):
            refuse(404, "There is no such friend")
        if body.get("remove") is True:
            storage.friends.unfriend(me.number, number)
            self.server.hub.unfriended(me.number, number)
        else:
            self._change(me.number, number, body)
            self.server.hub.contacts_changed({me.number})
        self.set_status(204)

    def _change(self, me: int, friend: int, body: dict[str, Any]) -> None:
        try:
            if "category" in body:
                category = body["category"]
                self.server.storage.friends.set_category(me, friend, category)
            if "mark" in body:
                self.server.storage.friends.set_mark(me, friend, body["mark"])
        except ValueError as error:
            refuse(400, str(error))


class HeadingsHandler(PageHandler):
    """Headings of the user's friends."""

    def post(self) -> None:
        """Add a heading, or rename the one with a number; an empty name removes that one."""
        me, body = self.me(), self.json()
        storage = self.server.storage
        number = body.get("number", 0)
        name = body["name"]
        try:
            if not number:
                number = storage.friends.add_heading(me.number, name).number
            elif name:
                storage.friends.rename_heading(me.number, number, name)
            else:
                storage.friends.remove_heading(me.number, number)
        except ValueError as error:
            refuse(400, str(error))
        self.server.hub.contacts_changed({me.number})
        self.write({"number": number})


class RequestsHandler(PageHandler):
    """Friend requests."""

    def post(self) -> None:
        """Accept or refuse a request."""
        me, body = self.me(), self.json()
        asker, storage = body["account"], self.server.storage
        if storage.friends.request(me.number, asker) is None:
            refuse(404, "There is no such request any more")
        if body["accept"]:
            storage.friends.befriend(me.number, asker)
            self.server.hub.befriended(me.number, asker, "verify_pass_add")
        else:
            storage.friends.remove_request(me.number, asker)
            self.server.hub.refused(asker, me.number)
        self.set_status(204)


class JoinHandler(PageHandler):
    """Requests to join a group."""

    def post(self) -> None:
        """Send a request to the owner and administrators of a group."""
        me, body = self.me(), self.json()
        try:
            self.server.groups.ask(body["group"], me.number, body.get("text", ""))
        except ValueError as error:
            refuse(400, sentence(error))
        self.set_status(204)


class GroupRequestsHandler(PageHandler):
    """Answers to requests to join a group, and to invitations."""

    def post(self) -> None:
        """Accept or refuse a request."""
        me, body = self.me(), self.json()
        request = self.server.storage.rooms.request(body["id"])
        if request is None:
            refuse(404, "There is no such request any more")
        try:
            self.server.groups.answer(request, me.number, is_accepted=body["accept"])
        except NotAllowed as error:
            refuse(403, sentence(error))
        except ValueError as error:
            refuse(400, sentence(error))
        self.set_status(204)


class ProfileHandler(PageHandler):
    """The user's own profile."""

    def get(self) -> None:
        """Return the profile."""
        profile = self.server.storage.accounts.profile(self.me().number)
        values = {field.name: getattr(profile, field.name) for field in fields(Profile)}
        self.write({"profile": values})

    def post(self) -> None:
        """Change fields of the profile; friends' pages reload those that they show."""
        me, changes = self.me(), self.json()
        try:
            self.server.storage.accounts.change_profile(me.number, changes)
        except ValueError as error:
            refuse(400, str(error))
        is_shown = not _SHOWN.isdisjoint(changes)
        friends = self.server.storage.friends.numbers(me.number) if is_shown else set()
        self.server.hub.contacts_changed(friends | {me.number})
        self.set_status(204)


ROUTES: tuple[tuple[str, type[PageHandler]], ...] = (
    (r"/page/friends", FriendsHandler),
    (r"/page/friend", FriendHandler),
    (r"/page/headings", HeadingsHandler),
    (r"/page/requests", RequestsHandler),
    (r"/page/join", JoinHandler),
    (r"/page/grouprequest", GroupRequestsHandler),
    (r"/page/profile", ProfileHandler),
)
