"""Accounts of the server started here that programs drive by OneBot: options and TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..files import FileError, read_text
from ..server.app import WebQQServer
from ..server.onebot.settings import OneBotSettings, SettingsError
from .settings import served_tables

__all__ = ["ServedOptions", "configure", "served_accounts"]


class ServedOptions(NamedTuple):
    """Options that are the same for all accounts that they name.

    Args:
        accounts: QQ numbers.
        token_file: its first line is the token.
        reverse: WebSockets that the server connects to.
        post: addresses that events are posted to.
    """

    accounts: tuple[int, ...] = ()
    token_file: Path | None = None
    reverse: tuple[str, ...] = ()
    post: tuple[str, ...] = ()


def served_accounts(context: click.Context, given: ServedOptions) -> dict[int, OneBotSettings]:
    """Settings of the accounts that programs drive, by QQ number.

    Args:
        context: of the command, with the tables [[onebot_accounts]] of the TOML file.
        given: options.

    Raises:
        click.ClickException: a value is not what it can be.
    """
    rest = (given.token_file, given.reverse, given.post)
    if any(rest) and not given.accounts:
        raise click.UsageError("--onebot-* options need --onebot-account N: for which account")
    served = {}
    for table in served_tables(context):
        number, settings = _of_table("config file, [[onebot_accounts]]", table)
        served[number] = settings
    values: dict[str, object] = {"reverse": list(given.reverse), "post": list(given.post)}
    if given.token_file is not None:
        values["token"] = _token(given.token_file)
    for number in given.accounts:
        served[number] = _parsed("--onebot options", values)
    return served


def _of_table(where: str, table: Mapping[str, Any]) -> tuple[int, OneBotSettings]:
    values = dict(table)
    number = values.pop("account", None)
    if type(number) is not int or number < 1:
        raise click.ClickException(f"{where}: give account = N in each table")
    if "token_file" in values:
        values["token"] = _token(Path(str(values.pop("token_file"))))
    return number, _parsed(where, values)


def _token(path: Path) -> str:
    try:
        return read_text(path, "token file").partition("\n")[0].strip()
    except FileError as error:
        raise click.ClickException(str(error)) from None


def _parsed(where: str, values: Mapping[str, object]) -> OneBotSettings:
    try:
        return OneBotSettings.parse(values)
    except SettingsError as error:
        raise click.ClickException(f"{where}: {error}") from None


def configure(server: WebQQServer, served: Mapping[int, OneBotSettings]) -> list[str]:
    """Let programs drive accounts; return a line for each, with where they connect.

    Args:
        server: that listens.
        served: settings, by QQ number.

    Raises:
        click.ClickException: there is no such account, or its port cannot be had.
    """
    lines = []
    for number, settings in served.items():
        try:
            server.onebot.configure(number, settings)
        except (ValueError, OSError) as error:
            raise click.ClickException(f"OneBot for {number}: {error}") from None
        if settings.is_on:
            where = server.url.replace("http", "ws", 1)
            lines.append(f"OneBot 11 for {number}: {where}/onebot/{number}/")
    return lines
