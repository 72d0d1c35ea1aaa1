"""The account and server that a command is about, and the options of such commands."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from ..client.store import Store, StoreError
from ..engine.urls import normal_url
from ..files import FileError
from ..protocol import wire
from ..protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from .console import Screen, show_logs
from .first_start import Login, known_logins
from .local_server import server_here
from .settings import SETTINGS, AccountTable, account_tables, options
from .stdio import is_unicode_output

__all__ = [
    "AccountTarget",
    "account_and_screen",
    "account_options",
    "account_target",
    "account_targets",
    "as_json",
    "complete_names",
    "json_option",
    "print_json",
    "session_file",
]

F = TypeVar("F", bound=Callable[..., Any])

#: Default address of `serve`.
DEFAULT_SERVER = "http://127.0.0.1:8100"

#: Settings that name the account.
_MEANT = ("server", "account", "password_file", "qr", "open_pictures", "state_dir")


class AccountTarget(NamedTuple):
    """One account on one server.

    Args:
        url: of the server.
        account: QQ number; 0 for the account that scans the QR code.
        dialect: of its login.
        folder: of its session and its messages.
        password: if given, or known here.
        password_file: to read it from.
        plugins: files with handlers for its bot alone.
        opens_pictures: whether pictures of its login are opened in a viewer.
        place: source of the URL, in words.
        absence: why the server cannot be asked; empty if it may run.
    """

    url: str
    account: int
    dialect: Dialect
    folder: Path
    password: str | None = None
    password_file: Path | None = None
    plugins: tuple[Path, ...] = ()
    opens_pictures: bool = False
    place: str = "given"
    absence: str = ""

    @property
    def session_file(self) -> Path:
        """Path of its saved session."""
        return session_file(self.folder, self.account, self.dialect)

    def check_server(self) -> None:
        """Refuse a server known to be absent, before a request to its address.

        Raises:
            click.ClickException: the server does not run.
        """
        if self.absence:
            raise click.ClickException(self.absence)

    def __repr__(self) -> str:
        return f"<Who {self.account} at {self.url}>"


def session_file(folder: Path, account: int, dialect: Dialect) -> Path:
    """Path of an account's saved session."""
    return folder / f"{account or 'scanned'}.{dialect.name}.session"


def account_options(command: F) -> F:
    """The options of every command that is about an account."""
    return options(*_MEANT, "verbose")(command)


json_option = click.option(
    "--json", "is_json", is_flag=True, help="Print JSON lines, for programs."
)


def account_and_screen(
    context: click.Context, choices: dict[str, Any]
) -> tuple[AccountTarget, Screen]:
    """The account that the options name, and the screen for results; logs go to standard error.

    Args:
        context: of the command.
        choices: its options; those of `account_options` are removed.
    """
    show_logs(Screen(is_error=True), choices.pop("verbose"))
    return account_target(context, **{name: choices.pop(name) for name in _MEANT}), Screen()


def complete_names(context: click.Context, _param: click.Parameter, typed: str) -> list[str]:
    """Complete names in the shell: contacts that the history has messages with."""
    try:
        who = account_target(context, **{name: context.params.get(name) for name in _MEANT})
        file = who.folder / "client.db"
        if not file.exists():
            return []
        with Store(file) as store:
            names = store.names(who.account)
    except (click.ClickException, StoreError, sqlite3.Error, OSError, TypeError):
        return []
    return [name for name in names if name.casefold().startswith(typed.casefold())]


def account_target(context: click.Context, **given: Any) -> AccountTarget:
    """The one account of the options; by default the user of the server here.

    Args:
        context: of the command.
        given: see `account_targets`.

    Raises:
        click.UsageError: the account is ambiguous or missing.
    """
    everyone = account_targets(context, **given)
    if len(everyone) > 1:
        numbers = ", ".join(str(who.account) for who in everyone)
        raise click.UsageError(f"several accounts are given ({numbers}): say --account with one")
    return everyone[0]


def account_targets(
    context: click.Context,
    *,
    server: str | None,
    account: tuple[int, ...],
    password_file: Path | None,
    qr: bool,
    open_pictures: bool,
    state_dir: Path,
) -> list[AccountTarget]:
    """All accounts of the options and of the TOML file; by default the user here.

    Args:
        context: of the command, with the password and the tables of the TOML file.
        server: default server.
        account: QQ numbers; without any, all tables.
        password_file: for accounts without a table.
        qr: the same.
        open_pictures: for all accounts.
        state_dir: folder of their sessions and messages.

    Raises:
        click.UsageError: the account is ambiguous or missing.
    """
    tables = [table for table in account_tables(context) if not table.onebot]
    by_number = {table.account: table for table in tables}
    given = given_password(context)
    common = AccountTable(0, None, given, password_file, qr)
    named = [by_number.get(one, common._replace(account=one)) for one in dict.fromkeys(account)]
    chosen = named or tables or [common]
    return [_target_of(table, server, state_dir, opens=open_pictures) for table in chosen]


def _target_of(
    table: AccountTable, server: str | None, state_dir: Path, *, opens: bool
) -> AccountTarget:
    here = server_here(state_dir)
    given = table.server or server
    url = checked_url(given or here.url or DEFAULT_SERVER)
    is_here = not given or url == here.url
    known = _known(state_dir, is_needed=not (table.account or table.qr)) if is_here else {}
    account = table.account
    if not account and not table.qr:
        account = _user_of(known, url, "" if given else here.absence)
    if here.absence and given:  # another program than our server
        known = {}
    kept = {login.account: login.password for login in known.values()}
    # A given file wins over a password known here.
    password = table.password or (None if table.password_file else kept.get(account))
    name = "here" if is_here else urlsplit(url).netloc.replace(":", "_")
    return AccountTarget(
        url,
        account,
        SMARTQQ if table.qr else WEBQQ3,
        state_dir / "clients" / name,
        password,
        table.password_file,
        table.plugin,
        opens,
        "as given with --server" if given else f"by {state_dir}",
        "" if given else here.absence,
    )


def _user_of(known: dict[str, Login], url: str, absence: str) -> int:
    """The QQ number of the user of the server here.

    Raises:
        click.UsageError: there is none.
    """
    if "user" not in known:
        why = f"{absence}, and g" if absence else "g"
        raise click.UsageError(f"{why}ive --account N: the QQ number to log in with at {url}")
    return known["user"].account


def _known(state_dir: Path, *, is_needed: bool) -> dict[str, Login]:
    """The accounts of the server here; empty for a damaged file if they are not needed."""
    try:
        return known_logins(state_dir)
    except FileError as error:
        if not is_needed:
            return {}
        raise click.ClickException(
            f"{error}; start the server again, which makes new passwords, or give --account N"
        ) from None


def checked_url(url: str) -> str:
    """The URL of a server, without a slash at its end.

    Raises:
        click.UsageError: it is not a URL.
    """
    try:
        is_good = normal_url(url).startswith("http") and not urlsplit(url).query
    except ValueError:
        is_good = False
    if not is_good:
        raise click.UsageError(f"--server {url}: give a URL such as {DEFAULT_SERVER}")
    return url.rstrip("/")


def given_password(context: click.Context) -> str | None:
    """The password of the environment, else of the TOML file."""
    setting = SETTINGS["password"]
    given: str | None = (context.default_map or {}).get(setting.key)
    return os.environ.get(setting.variable) or given


def as_json(value: object, *, is_ascii: bool = False) -> str:
    """One line of JSON, fit for a terminal."""
    return json.dumps(value) if is_ascii else wire.dump_for_people(value)


def print_json(*values: object) -> None:
    """Print a line of JSON for each."""
    is_ascii = not is_unicode_output()
    for value in values:
        click.echo(as_json(value, is_ascii=is_ascii))
