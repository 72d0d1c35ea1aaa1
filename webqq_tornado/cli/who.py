"""Whose account a command is about, on which server, and that account online."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import click

from ..engine.stream import HTTPStream
from ..flows.client import Client, PasswordNeeded
from ..flows.store import Store
from ..protocol.dialect import SMARTQQ, WEBQQ3, Dialect
from ..protocol.endpoints import Endpoints
from .accounts import known_logins
from .asking import Asking
from .console import Screen
from .passwords import read_password
from .settings import SETTINGS, options

__all__ = ["Who", "account_options", "online", "server_here", "session_file", "who_is_meant"]

F = TypeVar("F", bound=Callable[..., Any])

#: Where `serve` listens unless told otherwise.
DEFAULT_SERVER = "http://127.0.0.1:8100"
#: Seconds for chains under way when leaving.
DRAIN_SECONDS = 3.0
#: In the state directory: the address of the server that runs with it.
ADDRESS_FILE = "server.url"


class Who(NamedTuple):
    """One account on one server.

    Args:
        url: of the server.
        account: QQ number; 0 for whoever scans the QR code.
        dialect: by which it logs in.
        folder: of its session and its messages.
        password: if it was given, or is known here.
        password_file: to read it from.
    """

    url: str
    account: int
    dialect: Dialect
    folder: Path
    password: str | None = None
    password_file: Path | None = None

    @property
    def session_file(self) -> Path:
        """Where its session is kept."""
        return session_file(self.folder, self.account, self.dialect)

    def ask_password(self) -> str:
        """Its password, from wherever it can be had.

        Raises:
            click.ClickException: there is none, and nobody to ask.
        """
        return read_password(self.account, self.password_file, self.password)

    def __repr__(self) -> str:
        return f"<Who {self.account} at {self.url}>"


def session_file(folder: Path, account: int, dialect: Dialect) -> Path:
    """Where the session of an account is kept."""
    return folder / f"{account or 'scanned'}.{dialect.name}.session"


def account_options(command: F) -> F:
    """The options of every command that is about an account."""
    return options("server", "account", "password_file", "qr", "state_dir", "verbose")(command)


def who_is_meant(
    context: click.Context,
    *,
    server: str | None,
    account: int | None,
    password_file: Path | None,
    qr: bool,
    state_dir: Path,
) -> Who:
    """The account of the options; without any, the user of the server that runs here.

    Raises:
        click.UsageError: it can not be told.
    """
    here = server_here(state_dir)
    url = checked_url(server or here or DEFAULT_SERVER)
    is_here = server is None or url == here
    known = known_logins(state_dir) if is_here else {}
    if account is None and not qr:
        if "user" not in known:
            raise click.UsageError(f"give --account N: the QQ number to log in with at {url}")
        account = known["user"].account
    name = "here" if is_here else urlsplit(url).netloc.replace(":", "_")
    given = given_password(context) or next(
        (login.password for login in known.values() if login.account == account), None
    )
    dialect = SMARTQQ if qr else WEBQQ3
    folder = state_dir / "clients" / name
    return Who(url, account or 0, dialect, folder, given, password_file)


def server_here(state_dir: Path) -> str | None:
    """The address of the server that runs with this state directory, if one does."""
    try:
        return (state_dir / ADDRESS_FILE).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def checked_url(url: str) -> str:
    """The address of a server, without a slash at its end.

    Raises:
        click.UsageError: it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.UsageError(f"--server {url}: give a URL such as {DEFAULT_SERVER}")
    return url.rstrip("/")


def given_password(context: click.Context) -> str | None:
    """The password of the environment, else of the TOML file."""
    setting = SETTINGS["password"]
    given: str | None = (context.default_map or {}).get(setting.key)
    return os.environ.get(setting.variable) or given


@asynccontextmanager
async def online(
    who: Who, screen: Screen, *, listens: bool = False, log_level: int = logging.DEBUG
) -> AsyncIterator[Client]:
    """The account, logged in; it stays so when the block is left.

    Args:
        who: which.
        screen: where QR codes and captchas are shown.
        listens: whether messages are fetched. One that only sends leaves them to whoever does.
        log_level: of lines about states and messages.
    """
    stream = HTTPStream()
    store = Store(who.folder / "client.db")
    asking = Asking(screen, who.folder)
    client = Client(
        stream,
        who.account,
        who.password or "",
        Endpoints.at(who.url),
        dialect=who.dialect,
        log_level=log_level,
        store=store,
        session_file=who.session_file,
        listens=listens,
        on_captcha=asking.captcha,
        on_qr=asking.qr,
    )
    try:
        await log_in(client, who)
        yield client
    finally:
        client.leave()
        await stream.drain(DRAIN_SECONDS)
        stream.close()
        store.close()


async def log_in(client: Client, who: Who) -> None:
    """Log in by the session that was kept, else by password, which may be asked for."""
    try:
        await client.login()
    except PasswordNeeded:
        await client.login(who.ask_password())


def as_json(value: object) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False)
