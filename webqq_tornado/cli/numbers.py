"""Numbers on a command line: what is out of range is wrong usage, before anything begins."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = ["PORT", "QQ_NUMBER", "SECONDS", "SOME_SECONDS"]

#: 0 is any free one.
PORT = click.IntRange(0, 65535)
QQ_NUMBER = click.IntRange(1)


class _Seconds(click.FloatRange):
    """Seconds; those that are no number, or without end, are none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


#: The engine takes up to a million.
SECONDS = _Seconds(0, 1_000_000)
SOME_SECONDS = _Seconds(0, 1_000_000, min_open=True)
