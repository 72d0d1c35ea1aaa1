"""Pauses between tries to reach an application: longer and longer, and not all at once."""

from __future__ import annotations

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random

__all__ = ["pause_after"]

#: Applications restart within seconds: the first pause is short, the longest half a minute.
_PAUSES = wait_exponential(multiplier=0.5, max=30) + wait_random(0, 0.5)


def pause_after(failures: int) -> float:
    """Seconds to wait before the next try.

    Args:
        failures: in a row.

    Example:
        >>> 0.5 <= pause_after(1) <= 1.0
        True
    """
    state = RetryCallState(Retrying(), None, (), {})
    state.attempt_number = failures
    return _PAUSES(state)
