"""JSON for the page in the browser: accounts, conversations, messages."""

from __future__ import annotations

import json

from ..state import ServerState
from ..storage import (
    FILE_SEGMENTS,
    Account,
    Conversation,
    FriendRow,
    RoomRow,
    StoredMessage,
    plain_parts,
)

__all__ = [
    "conversations",
    "friend_view",
    "group_requests",
    "identifier",
    "message_view",
    "person",
    "room_view",
]


#: Parts of a message that a reply quotes, and messages that a forwarded one shows.
_MOST_QUOTED, _MOST_LINES = 20, 4


def person(account: Account) -> dict[str, object]:
    """JSON of an account."""
    return {"account": account.number, "nick": account.nick}


def identifier(conversation: Conversation) -> str:
    """Identifier of a conversation on the page."""
    return f"{conversation.kind}:{conversation.number}"


def conversations(state: ServerState, me: int) -> list[dict[str, object]]:
    """All conversations of an account: friends, groups, discussions, temporary chats."""
    storage = state.storage
    views = [friend_view(state, me, row) for row in storage.friends.rows(me)]
    for kind in ("group", "discussion"):
        for room, mark, mask in storage.rooms.of(me, kind):
            views.append(room_view(state, me, room, mark, mask))
    return views + [
        stranger_view(state, me, *stranger) for stranger in storage.messages.strangers(me)
    ]


def friend_view(state: ServerState, me: int, row: FriendRow) -> dict[str, object]:
    """A conversation with a friend."""
    account = row.account
    return {
        **_thread(state, me, Conversation("friend", account.number)),
        "name": row.mark or account.nick,
        "nick": account.nick,
        "mark": row.mark,
        "category": row.category,
        "lnick": account.lnick,
        "status": state.hub.status_of(account.number).value,
    }


def stranger_view(state: ServerState, me: int, number: int, origin: int) -> dict[str, object]:
    """A temporary session."""
    account, kind = state.storage.accounts.get(number), state.storage.rooms.kind(origin)
    room = state.storage.rooms.get(origin, kind) if kind else None
    return {
        **_thread(state, me, Conversation("session", number)),
        "name": account.nick if account else str(number),
        "via": room.name if room else "",
        "status": state.hub.status_of(number).value,
    }


def room_view(
    state: ServerState, me: int, room: RoomRow, mark: str = "", mask: int = 0
) -> dict[str, object]:
    """A conversation in a group or a discussion."""
    status_of = state.hub.status_of
    members = [
        {
            "account": number,
            "nick": nick,
            "card": card,
            "status": status_of(number).value,
            "admin": bool(is_admin),
            "title": title,
            "banned_until": until,
        }
        for number, nick, card, is_admin, title, until in state.storage.rooms.roster(room.number)
    ]
    return {
        **_thread(state, me, Conversation(room.kind, room.number)),
        "name": mark or room.name,
        "title": room.name,
        "mark": mark,
        "mask": mask,
        "memo": room.memo,
        "silenced": bool(room.is_silenced),
        "owner": room.owner,
        "members": members,
    }


def group_requests(state: ServerState, me: int) -> list[dict[str, object]]:
    """Requests to join groups that an account leads, and invitations to others."""
    views: list[dict[str, object]] = []
    for request in state.storage.rooms.requests(me):
        room = state.storage.rooms.group(request.room)
        asker = state.storage.accounts.get(request.asker)
        if room is not None and asker is not None:
            views.append(
                {
                    "id": request.id,
                    "group": room.number,
                    "name": room.name,
                    "asker": asker.number,
                    "nick": asker.nick,
                    "text": request.text,
                    "is_invitation": request.is_invitation,
                }
            )
    return views


def _thread(state: ServerState, me: int, conversation: Conversation) -> dict[str, object]:
    last = state.storage.messages.newest(me, conversation)
    return {
        "id": identifier(conversation),
        "kind": conversation.kind,
        "number": conversation.number,
        "unread": state.storage.messages.unread(me, conversation),
        "last": message_view(state, me, last) if last else None,
    }


def message_view(state: ServerState, me: int, message: StoredMessage) -> dict[str, object]:
    """JSON of a message."""
    sender = state.storage.accounts.get(message.sender)
    view: dict[str, object] = {
        "id": message.id,
        "conversation": identifier(message.conversation_for(me)),
        "from": person(sender) if sender else {"account": message.sender, "nick": "?"},
        "mine": message.sender == me,
        "time": message.time,
        "content": [_part_view(state, part) for part in plain_parts(message.content)],
    }
    if message.recalled:
        view["recalled"] = message.recalled
    return view


def _part_view(state: ServerState, part: object) -> object:
    """A part with the data to show it: addresses of files, the quote of a reply."""
    match part:
        case ["reply", {"id": str(number)}]:
            answered = state.storage.messages.get(int(number))
            if answered is None:
                return part
            author = state.storage.accounts.get(answered.sender)
            quoted = plain_parts(answered.content)[:_MOST_QUOTED]
            nick = author.nick if author else "?"
            return ["reply", {"id": number, "nick": nick, "content": quoted}]
        case [str(kind), {"file": str(name), **rest}] if kind in FILE_SEGMENTS:
            urls = {"url": f"/files/{name}", "thumb": f"/files/{name}?thumb=1"}
            return [kind, {"file": name, **rest, **urls}]
        case ["forward", {"id": str(name)}]:
            nodes = json.loads(state.storage.messages.forward(name) or "[]")
            first = [
                {"nick": node["nickname"], "content": node["content"][:_MOST_QUOTED]}
                for node in nodes[:_MOST_LINES]
            ]
            return ["forward", {"id": name, "first": first, "count": len(nodes)}]
    return part
