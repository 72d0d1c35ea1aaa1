"""States of a client, and the events that its listeners receive."""

from __future__ import annotations

import enum
from typing import NamedTuple, TypeAlias

from ..protocol.models.events import Event
from .notices import News

__all__ = ["LOGGED_IN", "LOGGED_OUT", "ClientEvent", "HeartbeatLate", "State", "StateChange"]

#: Reasons of a `StateChange` to KICKED: another program has ended the session, or has begun one
#: (where the server has no words of its own for that).
LOGGED_OUT, LOGGED_IN = "logged out elsewhere", "logged in elsewhere"


class State(enum.Enum):
    """States of a client.

    Example:
        >>> client.state is State.OFFLINE and client.state.is_over
        True
    """

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    RECONNECTING = "reconnecting"
    KICKED = "kicked"
    REJECTED = "rejected"

    @property
    def is_over(self) -> bool:
        """True for states that only `login` leaves."""
        return self in (State.OFFLINE, State.KICKED, State.REJECTED)


class StateChange(NamedTuple):
    """Event: the client is in another state now.

    Args:
        state: the new one.
        reason: why, in words for the user.

    Example:
        >>> @client.on_event
        ... def heard(event):
        ...     if isinstance(event, StateChange):
        ...         print(event.state.value, event.reason)
    """

    state: State
    reason: str = ""


class HeartbeatLate(NamedTuple):
    """Event: the connection stands, and the other side's heartbeats stay away (OneBot).

    Args:
        seconds: since anything was heard.
        reason: in words for the user.

    Example:
        >>> HeartbeatLate(45.0, "no heartbeat for 45 s").seconds
        45.0
    """

    seconds: float
    reason: str = ""


#: Events that listeners receive.
ClientEvent: TypeAlias = "StateChange | HeartbeatLate | Event | News"
