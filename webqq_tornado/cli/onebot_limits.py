"""Limits of bots for today's QQ, from the TOML file and options: pace, sizes, pictures."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import click

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..client.onebot.limits import SendLimits
from ..client.onebot.pictures import PICTURE_TYPES
from .console import printable

__all__ = ["LIMITS", "Limit", "account_options", "checked", "parsed"]


class Limit(NamedTuple):
    """One limit.

    Args:
        says: what it is to be.
        fits: returns whether a value of TOML is that.
    """

    says: str
    fits: Callable[[Any], bool]


def _is_number(value: Any, least: float = 0) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= least


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _is_pace(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2
    return is_pair and all(map(_is_number, value)) and value[0] <= value[1]


def _are_types(value: Any) -> bool:
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return is_list and set(value) <= set(PICTURE_TYPES)


#: By name; all but the last two are those of `SendLimits`.
LIMITS = {
    "pace": Limit("the least and the most seconds between two messages, as [0.4, 1.2]", _is_pace),
    "max_bytes": Limit("a number of bytes, 4 or more", _whole(4)),
    "forward_above": Limit("a number of messages; 0 always splits", _whole(0)),
    "timeout": Limit("a number of seconds above 0", lambda value: _is_number(value, 1e-3)),
    "looks": Limit(
        "seconds before each look, as [1, 4, 10]",
        lambda value: isinstance(value, list) and bool(value) and all(map(_is_number, value)),
    ),
    "fail_max": Limit("a number of failures, 1 or more", _whole(1)),
    "rest": Limit("a number of seconds", _is_number),
    "max_picture_size": Limit("a number of bytes, 1 or more", _whole(1)),
    "picture_types": Limit(f'some of {", ".join(PICTURE_TYPES)}, as ["png"]', _are_types),
}


def checked(where: str, values: object) -> dict[str, Any]:
    """The limits of a table.

    Args:
        where: the table is, for errors.
        values: of it.

    Raises:
        click.ClickException: one is unknown, or has a wrong value; names it, and where it is.
    """
    if not isinstance(values, dict):
        raise click.ClickException(f"{where} is to be a table")
    for key, value in values.items():
        limit = LIMITS.get(key)
        if limit is None:
            line = f"{where} has an unknown key {key!r}; known are {', '.join(LIMITS)}"
            raise click.ClickException(printable(line))
        if not limit.fits(value):
            raise click.ClickException(printable(f"{where}: {key} is to be {limit.says}"))
    return dict(values)


def parsed(given: Iterable[str]) -> dict[str, Any]:
    """The limits of the options ``--onebot-limit KEY=VALUE``, where VALUE is as in TOML.

    Args:
        given: their values.

    Raises:
        click.ClickException: one is none, or has a wrong value.
    """
    limits: dict[str, Any] = {}
    for text in given:
        where = f"--onebot-limit {text}"
        try:
            values = tomllib.loads(text)
        except (ValueError, RecursionError):
            values = {}
        if len(values) != 1:
            line = f"{where}: write it as KEY=VALUE, such as rest=30 or pace=[1,3]"
            raise click.ClickException(printable(line))
        limits |= checked(where, values)
    return limits


def account_options(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `OneBotAccount` that set these limits.

    Args:
        limits: as `checked` returns them.
    """
    pictures = {"max_picture_size", "picture_types"}
    of_sending: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in limits.items()
        if key not in pictures
    }
    others = {key: value for key, value in limits.items() if key in pictures}
    return {"limits": SendLimits(**of_sending), **others}
