"""The result of sending a message: a receipt, or the error that says why there is none."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.models.content import Content
from .contacts import Contact

__all__ = ["Receipt", "SendError"]


class SendError(Exception):
    """A message was not delivered; says to whom and why."""


class Receipt(NamedTuple):
    """Proof that the server has taken a message.

    Args:
        contact: to whom.
        content: what, in as many pieces as it took.
        time: Unix time in seconds.

    Example:
        >>> receipt = await client.send(ann, "hello")
        >>> print(len(receipt.content), "pieces at", receipt.time)
    """

    contact: Contact
    content: tuple[Content, ...]
    time: float
