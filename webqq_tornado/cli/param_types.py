"""Parameter types of the command line: invalid values are wrong usage, before any work."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from ..journal.errors import JournalError
from ..journal.location import is_postgres, refuse_other_urls

__all__ = ["ADDRESS", "JOURNAL", "PORT", "QQ_NUMBER", "SECONDS", "SOME_SECONDS", "TEXT"]

#: 0 means any free port.
PORT = click.IntRange(0, 65535)
#: QQ numbers have up to eleven digits; SQLite's integers up to nineteen.
QQ_NUMBER = click.IntRange(1, 99_999_999_999)


class _Seconds(click.FloatRange):
    """Seconds, finite."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        seconds: float = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


#: The engine accepts up to a million.
SECONDS = _Seconds(0, 1_000_000)
SOME_SECONDS = _Seconds(0, 1_000_000, min_open=True)


class _Text(click.types.StringParamType):
    """Text as the UTF-8 that terminals send, also where the locale says that it is ASCII.

    Bytes without a character in the locale arrive as surrogates (PEP 383). File names stay so.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not any("\ud800" <= character <= "\udfff" for character in text):
            return text
        try:
            return os.fsencode(text).decode("utf-8")
        except UnicodeError:
            self.fail(f"{os.fsencode(text)!r} is not UTF-8 text.", param, ctx)


TEXT = _Text()


class _Address(_Text):
    """An address or name of this machine, without a port; an empty one would mean all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from ..engine.urls import normal_url  # noqa: PLC0415 - `--version` needs no engine

        text = super().convert(value, param, ctx).strip()
        host = f"[{text}]" if ":" in text else text
        try:
            text.encode("idna")  # as the resolver does
            if (
                normal_url(f"http://{host}/").count("/") != 3
                or not text
                or set(text) & set("@?#\\")
            ):
                raise ValueError
        except ValueError:
            self.fail(f"{text!r} is not an address such as 127.0.0.1, ::1 or a name.", param, ctx)
        return text


ADDRESS = _Address()


class _JournalPlace(click.Path):
    """A file, or the URL of a PostgreSQL database."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_postgres(value):
            return value
        try:
            refuse_other_urls(value)
        except JournalError as error:
            self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


JOURNAL = _JournalPlace(dir_okay=False, path_type=Path)
