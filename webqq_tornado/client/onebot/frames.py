"""Frames of a WebSocket opened by either side: to events and answers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...onebot.v11.actions import Answer, parse_answer
from ...onebot.v11.events import Event, parse_event
from ...onebot.v11.values import load, object_of
from .transport import PendingCalls

__all__ = ["Frames", "log_dropped"]

logger = logging.getLogger("webqq_tornado.webqq")

#: Characters of a frame that a log line has.
_SHOWN = 120


def log_dropped(name: str, error: ValueError, data: object) -> None:
    """Log that something without sense came.

    Args:
        name: of the connection.
        error: why it makes none.
        data: as it came.
    """
    shown = data if isinstance(data, (str, bytes)) else str(data)
    logger.warning("%s: dropped a frame that makes no sense (%s): %r",
                   name, error, shown[:_SHOWN])  # fmt: skip


class Frames:
    """Reads what an implementation sends; a frame without sense is logged and dropped.

    Args:
        name: of the connection, for log lines.
        calls: that wait for answers.
        on_event: gets the events.
        on_refused: gets the answer that says that the token is refused: NC and LL accept the
            upgrade first, and say so in a frame with ``echo: null``.
    """

    def __init__(
        self,
        name: str,
        calls: PendingCalls,
        on_event: Callable[[Event], object],
        on_refused: Callable[[Answer], object],
    ) -> None:
        self._name, self._calls = name, calls
        self._on_event, self._on_refused = on_event, on_refused

    def read(self, data: str | bytes) -> None:
        """Take one frame.

        Args:
            data: text, or bytes that are UTF-8 (some send binary frames).
        """
        try:
            self._read(object_of(load(data), "a frame"))
        except ValueError as error:
            log_dropped(self._name, error, data)

    def _read(self, values: dict[str, object]) -> None:
        if "post_type" in values:
            self._on_event(parse_event(values))
            return
        if "detail_type" in values:
            raise ValueError("it speaks OneBot 12: choose version 11 in its settings")
        answer = parse_answer(values)
        if self._calls.resolve(answer):
            return
        if answer.is_token_refused:
            self._on_refused(answer)
        else:
            logger.debug("%s: an answer that nobody waits for: %s", self._name, answer)
