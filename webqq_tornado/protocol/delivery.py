"""Headers by which our client and server know what has arrived; nobody else sends them.

WebQQ itself had no word for it. Its server took the next poll for the word that the last answer
had arrived, and its clients numbered their messages as they liked (see ``webqq.md``, D). That is
not enough where a connection dies silently: the two headers say what it leaves open. They
are the web's own: ``Last-Event-ID`` of server-sent events (HTML, 9.2), and ``Idempotency-Key``
(draft-ietf-httpapi-idempotency-key-header). A server that does not know them ignores them.
"""

from __future__ import annotations

__all__ = ["IDEMPOTENCY_KEY", "LAST_EVENT_ID", "idempotency_key", "read_last_event_id"]

#: Of poll2: msg_id of the last message that has arrived, "0" before the first.
LAST_EVENT_ID = "Last-Event-ID"
#: Of a message that is sent: its own for all times, and the same whenever it is sent again.
IDEMPOTENCY_KEY = "Idempotency-Key"


def idempotency_key(clientid: int, msg_id: int) -> str:
    """The key of a message, out of numbers that no other message of the account has.

    Args:
        clientid: of the client that accepted it.
        msg_id: of the message.

    Example:
        >>> idempotency_key(12345678, 6000001)
        '"12345678-6000001"'
    """
    return f'"{clientid}-{msg_id}"'


def read_last_event_id(value: str | None) -> int | None:
    """The msg_id that a poll names; None for clients that name none.

    Args:
        value: of the header.

    Example:
        >>> read_last_event_id("17"), read_last_event_id("x"), read_last_event_id(None)
        (17, None, None)
    """
    if value is None or not (value.isascii() and value.isdecimal() and len(value) <= 19):
        return None
    return int(value)
