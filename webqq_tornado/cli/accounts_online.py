"""Accounts online for a command: one or several, on one stream."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import click

from ..client.client import Client
from ..client.contacts import Contact
from ..client.login import PasswordNeeded
from ..client.lookup import ContactError
from ..client.store import Store
from ..engine.errors import StreamError
from ..engine.stream import HTTPStream
from ..protocol.endpoints import Endpoints
from ..protocol.errors import ProtocolError
from .console import Screen, printable
from .errors import unreachable
from .login_prompt import LoginPrompt
from .password_source import known_password
from .presence import Name, Presence
from .targets import AccountTarget
from .unreachable import Unreachable, check_somebody, is_retried, retry

__all__ = ["DRAIN_SECONDS", "all_online", "contact_meant", "online", "presence_of"]

#: Seconds for running chains at the end.
DRAIN_SECONDS = 3.0


@asynccontextmanager
async def online(
    who: AccountTarget, *, listens: bool = False, log_level: int = logging.DEBUG
) -> AsyncIterator[Client]:
    """The account, logged in; the session stays open after the block.

    Args:
        who: account and server.
        listens: whether messages are fetched; a command that only sends leaves them to others.
        log_level: of lines about states and messages.
    """
    async with all_online([who], listens=listens, log_level=log_level) as found:
        yield found[0][1]


@asynccontextmanager
async def all_online(
    everyone: Sequence[AccountTarget],
    *,
    listens: bool,
    log_level: int,
    prepare: Callable[[AccountTarget, Client], object] | None = None,
    is_alone: bool = True,
) -> AsyncIterator[list[tuple[AccountTarget, Client]]]:
    """Several accounts on one stream, as `online`; those that cannot log in are skipped.

    Unless they are alone, those whose server does not answer are there as well, and log in later.

    Args:
        everyone: accounts and servers.
        listens: as in `online`.
        log_level: as there.
        prepare: called with each before any logs in, so that no message is missed.
        is_alone: whether there is nothing to do without one of them.

    Raises:
        Exception: no account could log in, and they are alone; the error of the first.
    """
    for who in everyone:
        who.check_server()
    stream = HTTPStream()
    with ExitStack() as open_files:
        stores = {
            folder: open_files.enter_context(Store(folder / "client.db"))
            for folder in {who.folder: None for who in everyone}
        }
        turn = asyncio.Lock()
        both = []
        for who in everyone:
            asking = LoginPrompt(who.folder, who.account, opens=who.opens_pictures, turn=turn)
            store = stores[who.folder]
            client = _client(stream, store, who, asking, listens=listens, log_level=log_level)
            both.append((who, client, asking))
        later: list[asyncio.Task[None]] = []
        try:
            if prepare is not None:
                for who, client, _ in both:
                    prepare(who, client)
            logins = (_log_in(*each) for each in both)
            results = await asyncio.gather(*logins, return_exceptions=True)
            check_somebody(results, [str(who.account) for who in everyone], is_alone=is_alone)
            found = []
            for (who, client, asking), error in zip(both, results, strict=True):
                is_later = not is_alone and is_retried(error)
                if error is None or is_later:
                    found.append((who, client))
                if is_later:
                    log_in = functools.partial(_log_in, who, client, asking)
                    later.append(asyncio.ensure_future(retry(log_in, str(who.account))))
            yield found
        finally:
            for task in later:
                task.cancel()
            for _, client, _ in both:
                client.leave()
            await stream.drain(DRAIN_SECONDS)
            stream.close()


async def contact_meant(client: Client, target: str) -> Contact:
    """The contact that a name or number means; asks the server for unknown numbers.

    Raises:
        click.ClickException: no contact matches, or several.
    """
    try:
        return await client.resolve(target)
    except ContactError as error:
        raise click.ClickException(printable(str(error))) from None


def presence_of(who: AccountTarget, client: Client, name: Name, screen: Screen) -> Presence:
    """Build the presence that keeps an account of `online` logged in.

    Args:
        who: account and server.
        client: of `online`.
        name: of the account in sentences.
        screen: shows its state to the user.
    """
    asking = LoginPrompt(who.folder, client.account, opens=who.opens_pictures)

    async def password(is_wrong: bool) -> str:
        known = None if is_wrong else known_password(who.password_file, who.password)
        return await asking.password() if known is None else known

    def say(line: str) -> None:
        screen.say(line, style="yellow")

    return Presence(client, name, say, is_attended=screen.is_attended, password=password)


def _client(
    stream: HTTPStream, store: Store, who: AccountTarget, asking: LoginPrompt, **rest: Any
) -> Client:
    return Client(
        stream,
        who.account,
        who.password or "",
        Endpoints.at(who.url),
        dialect=who.dialect,
        store=store,
        session_file=who.session_file,
        on_captcha=asking.captcha,
        on_qr=asking.qr,
        **rest,
    )


async def _log_in(who: AccountTarget, client: Client, asking: LoginPrompt) -> None:
    """Log in with the saved session, else by password, with a prompt if needed.

    Raises:
        Unreachable: nobody answers there.
    """
    try:
        try:
            await client.login()
        except PasswordNeeded:
            known = known_password(who.password_file, who.password)
            await client.login(await asking.password() if known is None else known)
    except StreamError as error:
        raise Unreachable(unreachable(who.url, who.place, error)) from error
    except ProtocolError as error:
        why = f"{who.url} ({who.place}) is not a WebQQ server: {error}"
        raise click.ClickException(printable(why)) from error
