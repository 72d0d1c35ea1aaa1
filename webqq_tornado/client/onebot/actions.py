"""Actions of an implementation, as methods of an account."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ...onebot.v11.actions import Answer
from ...onebot.v11.values import Fields
from ...protocol.codes import Status
from ...protocol.models.content import Attachment
from ..contacts import Message
from ..receipt import SendError
from .pictures import PictureFile, Pictures
from .requests import Requests
from .transport import ActionFailed, OutcomeUnknown

__all__ = ["Actions"]

#: Seconds for an ordinary action.
_TIMEOUT = 30.0
#: Numbers of ``set_online_status`` (NC).
_STATUSES = {
    **{Status.ONLINE: 10, Status.AWAY: 30, Status.HIDDEN: 40, Status.BUSY: 50},
    **{Status.CALLME: 60, Status.SILENT: 70},
}


class Actions(ABC):
    """The actions that users call by a method, and any other by its name."""

    _pictures: Pictures
    _requests: Requests

    @abstractmethod
    async def answer_to(self, action: str, params: Fields, timeout: float) -> Answer:
        """Call an action, and return the answer, whatever it says.

        Args:
            action: its name.
            params: its parameters.
            timeout: seconds.

        Raises:
            NotConnected: there is no connection.
            OutcomeUnknown: there was no answer.
        """

    async def call(self, action: str, /, **params: Any) -> Any:
        """Call any action of the implementation.

        Args:
            action: its name: ``delete_msg``, ``set_group_ban`` ...
            params: its parameters.

        Returns:
            The data of the answer, as JSON has it.

        Raises:
            NotConnected: there is no connection; nothing was sent.
            OutcomeUnknown: there was no answer; it may have been done.
            ActionFailed: it was refused or failed; `error.answer` has the retcode.

        Example:
            >>> await account.call("set_group_ban", group_id=20001, user_id=10002, duration=60)
        """
        answer = await self.answer_to(action, params, _TIMEOUT)
        if answer.is_outcome_unknown:
            raise OutcomeUnknown(action, answer)
        if not answer.is_ok:
            raise ActionFailed(action, answer)
        return answer.data

    async def recall(self, message: Message | int) -> None:
        """Recall a message.

        Args:
            message: one that came in, or the id of one.

        Raises:
            ActionFailed: it is refused: too old, or of somebody else.
        """
        id_ = message if isinstance(message, int) else message.msg_id
        await self.call("delete_msg", message_id=id_)

    async def picture(self, part: Attachment) -> PictureFile:
        """A picture of a message: as it is kept, else fetched now.

        Args:
            part: of its content, of the kind ``image``.

        Raises:
            PictureError: it is too large, not a picture, or gone.

        Example:
            >>> for part in message.content.parts:
            ...     if isinstance(part, Attachment):
            ...         print((await message.client.picture(part)).suffix)
        """
        return await self._pictures.get(part)

    async def answer_friend_request(
        self, user: int, *, approve: bool = True, remark: str = ""
    ) -> None:
        """Accept or refuse a friend request that came in.

        Args:
            user: QQ number of who asks.
            approve: False refuses.
            remark: name for the new friend.

        Raises:
            LookupError: there is no request of theirs.
            ActionFailed: it is refused.
        """
        params = self._requests.friend(user, approve=approve, remark=remark)
        await self.call("set_friend_add_request", **params)

    async def answer_group_request(
        self, group: int, user: int, *, approve: bool = True, reason: str = ""
    ) -> None:
        """Let somebody into a group or not, or accept or decline an invitation.

        Args:
            group: number of the group.
            user: QQ number of who asks or invites.
            approve: False refuses.
            reason: for a refusal.

        Raises:
            LookupError: there is no such request.
            ActionFailed: it is refused.
        """
        params = self._requests.group(group, user, approve=approve, reason=reason)
        await self.call("set_group_add_request", **params)

    async def set_status(self, status: Status) -> None:
        """Set the account's status.

        Args:
            status: the new one; NC's ``set_online_status`` knows online, away, busy, silent,
                callme and hidden.

        Raises:
            SendError: it is not connected, or that is refused.
        """
        if status not in _STATUSES:
            raise SendError(f"OneBot has no status {status.value}")
        params = {"status": _STATUSES[status], "ext_status": 0, "battery_status": 0}
        try:
            await self.call("set_online_status", **params)
        except ActionFailed as error:
            raise SendError(f"the status was not set: {error}") from error
