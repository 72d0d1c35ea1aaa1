"""The accounts of the first start: a bot, a user, a group with both.

`accounts.json` in the state directory keeps their passwords, mode 0600: the bot must log in again
by itself. The server's database knows which accounts they are. So only two passwords are lost with
the file, and the next start makes new ones.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, NamedTuple

import click

from ..files import DamagedFile, FileError, read_json, reason, replaced_file
from ..server.storage import Storage

__all__ = [
    "ACCOUNTS_FILE",
    "FirstStartAccounts",
    "Login",
    "first_start_accounts",
    "known_logins",
    "remember_password",
]

#: In the state directory: the accounts and their passwords.
ACCOUNTS_FILE = "accounts.json"
#: The accounts and their first nicks.
_NICKS = {"bot": "Bot", "user": "You"}
#: No letters or digits that look alike.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


class Login(NamedTuple):
    """Credentials of an account of the embedded server."""

    account: int
    password: str
    nick: str


class FirstStartAccounts(NamedTuple):
    """Accounts that the first start creates on the embedded server.

    Args:
        bot: of the bot.
        user: of the person at the page and the terminal.
        is_new: created just now.
        renewal: reason for new passwords, for the user; empty without new ones.
    """

    bot: Login
    user: Login
    is_new: bool = False
    renewal: str = ""


def first_start_accounts(storage: Storage, state_dir: Path) -> FirstStartAccounts:
    """The bot's and the user's accounts, made by the first start.

    Raises:
        click.ClickException: their file cannot be read or written.
    """
    path = state_dir / ACCOUNTS_FILE
    known = storage.accounts.local()
    try:
        logins = known_logins(state_dir)
        damage = "" if logins else f"{path} is gone"
    except DamagedFile as error:
        logins, damage = {}, str(error)
    except FileError as error:
        raise click.ClickException(str(error)) from None
    if logins and not storage.accounts.all():
        raise click.ClickException(
            f"{state_dir / 'server.db'} is empty, and {path} is of one that was not: put a copy of"
            f" it back, or move {path.name} away to begin anew"
        )
    if logins and not _are_of(storage, logins, known):
        logins, damage = {}, f"{path} is not of this server.db"
    if not logins:
        return _renewed(storage, path, known, damage) if known else _created(storage, path)
    if not known:
        storage.accounts.set_local({part: login.account for part, login in logins.items()})
    return FirstStartAccounts(logins["bot"], logins["user"])


def known_logins(state_dir: Path) -> dict[str, Login]:
    """The accounts of the first start, "bot" and "user"; empty without a first start.

    Raises:
        FileError: their file cannot be read.
        DamagedFile: it is damaged.
    """
    path = state_dir / ACCOUNTS_FILE
    if not os.path.lexists(path):
        return {}
    values = read_json(path)
    try:
        return {part: _login(values[part]) for part in _NICKS}
    except (TypeError, KeyError, ValueError):
        raise DamagedFile(f"file {path}: it has not the accounts of a bot and a user") from None


def remember_password(state_dir: Path, account: int, password: str) -> None:
    """Save the password of one of them that was changed elsewhere.

    Raises:
        click.ClickException: their file cannot be read or written.
    """
    try:
        known = known_logins(state_dir)
    except FileError as error:
        raise click.ClickException(str(error)) from None
    logins = {
        part: login._replace(password=password) if login.account == account else login
        for part, login in known.items()
    }
    if logins:
        _write(state_dir / ACCOUNTS_FILE, logins)


def _login(values: Any) -> Login:
    login = Login(**values)
    if type(login.account) is not int or not 0 < login.account < 2**63:
        raise ValueError("no QQ number")
    if not (login.password and isinstance(login.password, str) and isinstance(login.nick, str)):
        raise ValueError("no password or no nick")
    return login


def _are_of(storage: Storage, logins: dict[str, Login], known: dict[str, int]) -> bool:
    if known:
        return {part: login.account for part, login in logins.items()} == known
    return all(storage.accounts.get(login.account) for login in logins.values())


def _created(storage: Storage, path: Path) -> FirstStartAccounts:
    logins = {}
    for part, nick in _NICKS.items():
        password = _new_password()
        logins[part] = Login(storage.accounts.create(nick, password).number, password, nick)
    bot, user = logins["bot"], logins["user"]
    storage.friends.befriend(bot.account, user.account)
    storage.rooms.create_group("Playground", user.account, [bot.account])
    storage.accounts.set_local({part: login.account for part, login in logins.items()})
    _write(path, logins)
    return FirstStartAccounts(bot, user, is_new=True)


def _renewed(
    storage: Storage, path: Path, known: dict[str, int], damage: str
) -> FirstStartAccounts:
    """The same accounts with new passwords, in place of lost ones."""
    logins = {}
    for part, nick in _NICKS.items():
        account = storage.accounts.get(known[part])
        logins[part] = Login(known[part], _new_password(), account.nick if account else nick)
    _write(path, logins)  # first: an unknown password would be worse than an old one
    for login in logins.values():
        storage.accounts.set_password(login.account, login.password)
    return FirstStartAccounts(logins["bot"], logins["user"], renewal=damage)


def _new_password() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(3))


def _write(path: Path, logins: dict[str, Login]) -> None:
    try:
        with replaced_file(path) as file:
            json.dump({part: login._asdict() for part, login in logins.items()}, file, indent=1)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {reason(error)}") from None
