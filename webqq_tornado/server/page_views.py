"""What the page in the browser is shown: accounts, conversations, messages as JSON."""

from __future__ import annotations

from .site import Site
from .storage import (
    Account,
    Conversation,
    FriendRow,
    RoomRow,
    StoredMessage,
    plain_parts,
)

__all__ = ["conversations", "friend_view", "identifier", "message_view", "person", "room_view"]


def person(account: Account) -> dict[str, object]:
    """An account."""
    return {"account": account.number, "nick": account.nick}


def identifier(conversation: Conversation) -> str:
    """A conversation's name on the page."""
    return f"{conversation.kind}:{conversation.number}"


def conversations(site: Site, me: int) -> list[dict[str, object]]:
    """All that an account sees: friends, groups, discussions, strangers it has written with."""
    storage = site.storage
    views = [friend_view(site, me, row) for row in storage.friend_rows(me)]
    for kind in ("group", "discussion"):
        for room, mark, mask in storage.rooms(me, kind):
            views.append(room_view(site, me, room, mark, mask))
    return views + [stranger_view(site, me, *stranger) for stranger in storage.strangers(me)]


def friend_view(site: Site, me: int, row: FriendRow) -> dict[str, object]:
    """A conversation with a friend."""
    account = row.account
    return {
        **_thread(site, me, Conversation("friend", account.number)),
        "name": row.mark or account.nick,
        "nick": account.nick,
        "mark": row.mark,
        "category": row.category,
        "lnick": account.lnick,
        "status": site.channel.status_of(account.number).value,
    }


def stranger_view(site: Site, me: int, number: int, origin: int) -> dict[str, object]:
    """A temporary session."""
    account, kind = site.storage.account(number), site.storage.room_kind(origin)
    room = site.storage.room(origin, kind) if kind else None
    return {
        **_thread(site, me, Conversation("session", number)),
        "name": account.nick if account else str(number),
        "via": room.name if room else "",
        "status": site.channel.status_of(number).value,
    }


def room_view(
    site: Site, me: int, room: RoomRow, mark: str = "", mask: int = 0
) -> dict[str, object]:
    """A conversation in a group or a discussion."""
    status_of = site.channel.status_of
    members = [
        {
            "account": number,
            "nick": nick,
            "card": card,
            "status": status_of(number).value,
            "admin": bool(is_admin),
        }
        for number, nick, card, is_admin in site.storage.roster(room.number)
    ]
    return {
        **_thread(site, me, Conversation(room.kind, room.number)),
        "name": mark or room.name,
        "title": room.name,
        "mark": mark,
        "mask": mask,
        "memo": room.memo,
        "owner": room.owner,
        "members": members,
    }


def _thread(site: Site, me: int, conversation: Conversation) -> dict[str, object]:
    last = site.storage.newest(me, conversation)
    return {
        "id": identifier(conversation),
        "kind": conversation.kind,
        "number": conversation.number,
        "unread": site.storage.unread(me, conversation),
        "last": message_view(site, me, last) if last else None,
    }


def message_view(site: Site, me: int, message: StoredMessage) -> dict[str, object]:
    """A message."""
    sender = site.storage.account(message.sender)
    return {
        "id": message.id,
        "conversation": identifier(message.conversation_for(me)),
        "from": person(sender) if sender else {"account": message.sender, "nick": "?"},
        "mine": message.sender == me,
        "time": message.time,
        "content": plain_parts(message.content),
    }
