"""JSON for the page in the browser: accounts, conversations, messages."""

from __future__ import annotations

from ..state import ServerState
from ..storage import Account, Conversation, FriendRow, RoomRow, StoredMessage, plain_parts

__all__ = ["conversations", "friend_view", "identifier", "message_view", "person", "room_view"]


def person(account: Account) -> dict[str, object]:
    """An account."""
    return {"account": account.number, "nick": account.nick}


def identifier(conversation: Conversation) -> str:
    """A conversation's name on the page."""
    return f"{conversation.kind}:{conversation.number}"


def conversations(state: ServerState, me: int) -> list[dict[str, object]]:
    """All that an account sees: friends, groups, discussions, strangers it has written with."""
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
        }
        for number, nick, card, is_admin in state.storage.rooms.roster(room.number)
    ]
    return {
        **_thread(state, me, Conversation(room.kind, room.number)),
        "name": mark or room.name,
        "title": room.name,
        "mark": mark,
        "mask": mask,
        "memo": room.memo,
        "owner": room.owner,
        "members": members,
    }


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
    """A message."""
    sender = state.storage.accounts.get(message.sender)
    return {
        "id": message.id,
        "conversation": identifier(message.conversation_for(me)),
        "from": person(sender) if sender else {"account": message.sender, "nick": "?"},
        "mine": message.sender == me,
        "time": message.time,
        "content": plain_parts(message.content),
    }
