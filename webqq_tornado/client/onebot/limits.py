"""Pace and sizes of what an account by OneBot sends."""

from __future__ import annotations

__all__ = ["SendLimits"]


class SendLimits:
    """Pace and sizes of what is sent.

    Args:
        pace: least and most seconds between two messages of the account: a random number of
            them, as even pauses are what a platform takes for a bot.
        max_bytes: of UTF-8 in one message; GC's limit was about 5,000 (issue 217).
        forward_above: messages that one content may be split into; a longer one goes as one
            forwarded message. 0 splits always.
        timeout: seconds for an answer.
        looks: seconds before each look for a message whose outcome is unknown: an implementation
            may send it a while after the connection that it came over was lost.
        fail_max: failures in a row after which a conversation rests.
        rest: seconds of that.

    Raises:
        ValueError: one of them cannot be; says which.

    Example:
        >>> account = OneBotAccount(stream, "ws://127.0.0.1:3001", limits=SendLimits(pace=(1, 3)))
    """

    def __init__(
        self,
        *,
        pace: tuple[float, float] = (0.4, 1.2),
        max_bytes: int = 4500,
        forward_above: int = 3,
        timeout: float = 60.0,
        looks: tuple[float, ...] = (1.0, 4.0, 10.0),
        fail_max: int = 4,
        rest: float = 60.0,
    ) -> None:
        if not 0 <= pace[0] <= pace[1]:
            raise ValueError("pace is the least and the most seconds between two messages")
        if max_bytes < 4:
            raise ValueError("max_bytes is at least 4, the longest character")
        if timeout <= 0 or not looks or min(looks) < 0 or rest < 0:
            raise ValueError("timeout, looks and rest are seconds, and there is a look")
        if fail_max < 1 or forward_above < 0:
            raise ValueError("fail_max is at least 1, and forward_above at least 0")
        self.pace, self.max_bytes, self.forward_above = pace, max_bytes, forward_above
        self.timeout, self.looks = timeout, looks
        self.fail_max, self.rest = fail_max, rest
