"""Accounts whose server is not there: an error, or they come later, if others run meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import click

from ..client.onebot.transport import Pauses

__all__ = ["Unreachable", "check_somebody", "is_retried", "retry"]

logger = logging.getLogger("webqq_tornado.cli")


class Unreachable(click.ClickException):
    """The server does not answer, now."""


def check_somebody(
    results: Sequence[BaseException | None], names: Sequence[str], *, is_alone: bool
) -> None:
    """Log who is not online.

    Args:
        results: of the logins; None is a success.
        names: of the accounts, in the same order.
        is_alone: whether there is nothing else to do without these accounts.

    Raises:
        BaseException: that of the first, if nobody is online and they are alone.
    """
    failed = [error for error in results if error is not None]
    if is_alone and len(failed) == len(results):
        raise failed[0]
    for name, error in zip(names, results, strict=True):
        if error is not None:
            words = getattr(error, "message", None) or error
            more = "; it is tried again" if is_retried(error) else ""
            logger.error("%s is not online: %s%s", name, words, more)


def is_retried(error: BaseException | None) -> bool:
    """Return True for an error that may pass.

    Args:
        error: of a login, or None.
    """
    return isinstance(error, Unreachable)


async def retry(log_in: Callable[[], Awaitable[object]], name: str) -> None:
    """Log in after growing pauses, until that succeeds, or fails for good.

    Args:
        log_in: raises `Unreachable` as long as nobody answers.
        name: of the account.
    """
    pauses = Pauses()
    while True:
        await asyncio.sleep(pauses.next())
        try:
            await log_in()
        except Unreachable:
            continue
        except Exception as error:
            words = getattr(error, "message", None) or error
            logger.error("%s is not online: %s", name, words)
        return
