"""The result of sending a message: a receipt, or the error that says why there is none."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

from ..protocol.models.content import Content
from .contacts import Contact, name_of

__all__ = ["Receipt", "SendError", "log_sent"]

logger = logging.getLogger("webqq_tornado.webqq")


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


def log_sent(receipt: asyncio.Future[Receipt], name: str, level: int) -> None:
    """Log what has become of a message.

    Args:
        receipt: of it; done.
        name: of the account that has sent it.
        level: of the line, if it was delivered.
    """
    if receipt.cancelled():
        return
    if receipt.exception() is not None:
        logger.warning("%s: %s", name, receipt.exception())
        return
    contact, pieces, _ = receipt.result()
    text = "".join(piece.text for piece in pieces)
    logger.log(level, "%s -> %s: %s", name, name_of(contact), text)
