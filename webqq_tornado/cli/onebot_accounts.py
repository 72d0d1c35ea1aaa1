"""Accounts that implementations of OneBot 11 hold: found in the settings, and brought online."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from ..client.login import LoginError
from ..client.onebot.account import OneBotAccount
from ..client.onebot.addresses import transport_of
from ..client.onebot.listener import Listener
from ..client.onebot.transport import ActionFailed
from ..client.state import ClientEvent, State, StateChange
from ..client.store import Store
from ..engine.errors import StreamError
from ..engine.stream import HTTPStream
from .console import printable
from .onebot_limits import account_options, parsed
from .password_source import first_line
from .settings import SETTINGS, account_tables, limits_table
from .unreachable import Unreachable, check_somebody, is_retried, retry

__all__ = ["OneBotTarget", "given_token", "onebots_meant", "onebots_online", "until_rejected"]

logger = logging.getLogger("webqq_tornado.cli")

#: Seconds for unsent messages, then for running requests, at the end.
_FLUSH_SECONDS, _DRAIN_SECONDS = 5.0, 3.0


class OneBotTarget(NamedTuple):
    """An account by OneBot.

    Args:
        ways: URLs of its implementation.
        token: of the implementation.
        folder: of its messages.
        account: QQ number; 0 for any.
        plugins: files with handlers for its bot alone.
        limits: of it, see `onebot_limits`.
    """

    ways: tuple[str, ...]
    token: str
    folder: Path
    account: int = 0
    plugins: tuple[Path, ...] = ()
    limits: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"<OneBotTarget {self.account or self.folder.name}>"


def onebots_meant(
    context: click.Context,
    urls: Sequence[str],
    token_file: Path | None,
    state_dir: Path,
    limits: Sequence[str] = (),
) -> list[OneBotTarget]:
    """The accounts of the options --onebot and of the tables with onebot.

    Args:
        context: of the command.
        urls: of the options: an account each; several for one are parted by commas.
        token_file: for those without a token of their own.
        state_dir: with their messages.
        limits: of the options --onebot-limit; those of a table of its own come first, those for
            all in the TOML file last.

    Raises:
        click.ClickException: a file cannot be read, or a limit is none.
    """
    token = given_token(context, token_file)
    common = {**limits_table(context), **parsed(limits)}
    found = [
        OneBotTarget(_parted(url), token, _folder(state_dir, url), limits=common) for url in urls
    ]
    for table in account_tables(context):
        if table.onebot:
            own = table.token or (first_line(table.token_file, "token") if table.token_file else "")
            folder = _folder(state_dir, str(table.account or table.onebot[0]))
            both = {**common, **(table.onebot_limits or {})}
            found.append(
                OneBotTarget(table.onebot, own or token, folder, table.account, table.plugin, both)
            )
    return found


def _parted(url: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in url.split(",") if part.strip())


def given_token(context: click.Context, token_file: Path | None) -> str:
    """The token of a file, else of the environment, else of the TOML file; empty without one.

    Args:
        context: of the command.
        token_file: of the options.

    Raises:
        click.ClickException: the file cannot be read.
    """
    if token_file is not None:
        return first_line(token_file, "token")
    setting = SETTINGS["token"]
    given: str = (context.default_map or {}).get(setting.key, "")
    return os.environ.get(setting.variable) or given


def _folder(state_dir: Path, url: str) -> Path:
    place = re.sub(r"[^A-Za-z0-9.]+", "_", url.partition("://")[2].partition("?")[0] or url)
    return state_dir / "clients" / "onebot" / place.strip("_.")


@asynccontextmanager
async def onebots_online(
    targets: Sequence[OneBotTarget],
    prepare: Callable[[OneBotTarget, OneBotAccount], object],
    *,
    is_alone: bool = True,
) -> AsyncIterator[list[OneBotAccount]]:
    """The accounts, on one stream: those that are online, and those that are tried again.

    Args:
        targets: which.
        prepare: is called with each before it connects.
        is_alone: whether there is nothing to do without one of them.

    Raises:
        click.ClickException: none is online, and they are alone: what the first has met.
    """
    if not targets:
        yield []
        return
    stream, listeners = HTTPStream(), dict[int, Listener]()
    with ExitStack() as files:
        accounts = [_account(stream, files, target, listeners) for target in targets]
        names = [account.transports[0].name for account in accounts]
        later: list[asyncio.Task[None]] = []
        try:
            for target, account in zip(targets, accounts, strict=True):
                prepare(target, account)
            results = await asyncio.gather(*map(_connected, accounts), return_exceptions=True)
            check_somebody(results, names, is_alone=is_alone)
            both = list(zip(accounts, names, results, strict=True))
            for account, name, error in both:
                if is_retried(error):
                    patient = functools.partial(_connected, account, is_patient=True)
                    later.append(asyncio.ensure_future(retry(patient, name)))
            yield [one for one, _, error in both if error is None or is_retried(error)]
            await _flushed(accounts)
        finally:
            for task in later:
                task.cancel()
            for account in accounts:
                account.leave()
            await stream.drain(_DRAIN_SECONDS)
            stream.close()


def _account(
    stream: HTTPStream, files: ExitStack, target: OneBotTarget, listeners: dict[int, Listener]
) -> OneBotAccount:
    try:
        ways = [
            transport_of(stream, url, target.token, target.account, listeners)
            for url in target.ways
        ]
    except ValueError as error:
        raise click.UsageError(printable(str(error))) from None
    target.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = files.enter_context(Store(target.folder / "client.db"))
    more = account_options(target.limits)
    return OneBotAccount(stream, ways, account=target.account, store=store, **more)


async def _connected(account: OneBotAccount, *, is_patient: bool = False) -> None:
    """Connect.

    Raises:
        Unreachable: nobody answers; not if it is patient.
        click.ClickException: that is not possible; says what to do.
    """
    for transport in account.transports:
        if transport.name.startswith("ws://") and not transport.is_open and _is_reverse(transport):
            logger.info("waiting for an implementation: let it connect to %s", transport.name)
    try:
        await account.login(is_patient=is_patient)
    except LoginError as error:
        raise click.ClickException(printable(str(error))) from None
    except (StreamError, ActionFailed) as error:
        name = account.transports[0].name
        said = str(getattr(error, "message", None) or error)
        why = said.removeprefix(f"GET {name}: ").partition("; check that ")[0]
        remedy = "start it, and look for host, port and kind in its settings"
        line = f"no implementation of OneBot answers at {name}: {why}; {remedy}"
        raise Unreachable(printable(line)) from error
    except OSError as error:
        line = f"{account.transports[0].name} cannot be listened on: {error.strerror}"
        raise click.ClickException(printable(line)) from error


def _is_reverse(transport: object) -> bool:
    return hasattr(transport, "is_started")


async def _flushed(accounts: Sequence[OneBotAccount]) -> None:
    """Wait a little until what handlers have sent is delivered."""
    waiting = [asyncio.ensure_future(account.flush()) for account in accounts if account.is_online]
    if waiting:
        _, left = await asyncio.wait(waiting, timeout=_FLUSH_SECONDS)
        for task in left:
            task.cancel()


async def until_rejected(accounts: Sequence[OneBotAccount]) -> None:
    """Wait until none of the accounts can come back by itself.

    Args:
        accounts: which.

    Raises:
        click.ClickException: says why the last one cannot.
    """
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look(event: ClientEvent) -> None:
        is_over = all(account.state is State.REJECTED for account in accounts)
        if isinstance(event, StateChange) and is_over and not ended.done():
            ended.set_result(event.reason)

    for account in accounts:
        account.on_event(look)
    raise click.ClickException(printable(await ended))
