"""The accounts that the first start makes: a bot, a user, a group with both."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import NamedTuple

import click

from ..files import replaced_file
from ..server.storage import Storage

__all__ = ["Household", "Login", "household", "known_logins", "remember_password"]

#: No letters or digits that look alike.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Login(NamedTuple):
    """An account of the embedded server, with what it takes to log in."""

    account: int
    password: str
    nick: str


class Household(NamedTuple):
    """Who lives on the embedded server.

    Args:
        bot: answers.
        user: the person at the page and the terminal.
        is_new: they were made just now.
    """

    bot: Login
    user: Login
    is_new: bool


def household(storage: Storage, state_dir: Path) -> Household:
    """The bot's and the user's accounts, made by the first start.

    Their passwords are kept in `accounts.json` in the state directory, mode 0600: the bot has
    to log in again by itself.

    Raises:
        click.ClickException: the file is damaged.
    """
    path = state_dir / "accounts.json"
    if path.exists():
        return _read(path, storage)
    bot = _create(storage, "Bot")
    user = _create(storage, "You")
    storage.befriend(bot.account, user.account)
    storage.create_group("Playground", user.account, [bot.account])
    _write(path, {"bot": bot._asdict(), "user": user._asdict()})
    return Household(bot, user, is_new=True)


def known_logins(state_dir: Path) -> dict[str, Login]:
    """The accounts that the first start made, "bot" and "user"; empty without a first start."""
    try:
        values = json.loads((state_dir / "accounts.json").read_text(encoding="utf-8"))
        return {name: Login(**values[name]) for name in ("bot", "user")}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def remember_password(state_dir: Path, account: int, password: str) -> None:
    """Keep the password of one of them that has been changed elsewhere."""
    logins = {
        part: login._replace(password=password) if login.account == account else login
        for part, login in known_logins(state_dir).items()
    }
    if logins:
        values = {part: login._asdict() for part, login in logins.items()}
        with replaced_file(state_dir / "accounts.json") as file:
            json.dump(values, file, indent=1)


def _create(storage: Storage, nick: str) -> Login:
    password = "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))
    return Login(storage.create_account(nick, password).number, password, nick)


def _read(path: Path, storage: Storage) -> Household:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        bot, user = Login(**values["bot"]), Login(**values["user"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise click.ClickException(
            f"{path} is damaged ({error}); move it away together with server.db to start anew"
        ) from None
    if storage.account(bot.account) is None or storage.account(user.account) is None:
        raise click.ClickException(
            f"{path} and server.db do not belong together; move both away to start anew"
        )
    return Household(bot, user, is_new=False)


def _write(path: Path, values: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=1)
