"""Messages for the reader of a WebSocket's link."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from ..chain import Chain

__all__ = ["SocketMessage"]


class SocketMessage(NamedTuple):
    """A message for the reader of a WebSocket's link.

    Args:
        data: text, or bytes of a binary message.
        chain: whose it is: `chain.send` answers.

    Example:
        >>> def read(message):
        ...     message.reply(message.data.upper())
        >>> stream.add_request("ws://example.org/chat", read)
    """

    data: str | bytes
    chain: Chain

    def json(self) -> Any:
        """The data as JSON.

        Raises:
            ValueError: it is not.
        """
        return json.loads(self.data)

    def reply(self, data: str | bytes) -> asyncio.Future[None]:
        """`Chain.send` of its chain.

        Args:
            data: the message.
        """
        return self.chain.send(data)
