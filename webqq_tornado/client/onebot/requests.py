"""Requests that wait for a decision: to be a friend, to join a group, invitations."""

from __future__ import annotations

from ...onebot.v11.events import Request
from ...onebot.v11.values import Fields

__all__ = ["Requests"]

#: Requests that are kept; the oldest go.
_MOST = 1000


class Requests:
    """Finds the flag of a request, which goes back with the decision.

    Example:
        >>> requests = Requests()
        >>> requests.note(Request(10001, "friend", "flag", 10002))
        >>> requests.friend(10002, approve=True, remark="")["flag"]
        'flag'
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int, int], Request] = {}

    def note(self, request: Request) -> None:
        """Keep a request; a newer one of the same person takes its place.

        Args:
            request: as it came.
        """
        key = (request.request_type, request.group_id, request.user_id)
        self._waiting.pop(key, None)
        self._waiting[key] = request
        if len(self._waiting) > _MOST:
            del self._waiting[next(iter(self._waiting))]

    def friend(self, user: int, *, approve: bool, remark: str) -> Fields:
        """Parameters of ``set_friend_add_request``.

        Args:
            user: who asks.
            approve: the decision.
            remark: name for the new friend.

        Raises:
            LookupError: there is no request of theirs.
        """
        request = self._taken("friend", 0, user)
        return {"flag": request.flag, "approve": approve, "remark": remark}

    def group(self, group: int, user: int, *, approve: bool, reason: str) -> Fields:
        """Parameters of ``set_group_add_request``.

        Args:
            group: which group.
            user: who asks or invites.
            approve: the decision.
            reason: for a refusal.

        Raises:
            LookupError: there is no such request.
        """
        request = self._taken("group", group, user)
        # GC and LL read `type`, the standard and NC `sub_type`.
        kind = {"sub_type": request.sub_type, "type": request.sub_type}
        return {"flag": request.flag, **kind, "approve": approve, "reason": reason}

    def _taken(self, kind: str, group: int, user: int) -> Request:
        found = self._waiting.pop((kind, group, user), None)
        if found is None:
            raise LookupError(f"there is no {kind} request of {user} to answer")
        return found
