"""The main job: a bot online on an embedded server, or on one elsewhere, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from ..engine.stream import HTTPStream
from ..flows.account.contacts import Contact
from ..flows.bot import Bot
from ..flows.client import Client, ContactError
from ..flows.store import Store
from ..protocol.dialect import WEBQQ3
from ..protocol.endpoints import Endpoints
from ..server.app import WebQQServer
from ..server.storage import Storage
from .accounts import Household, household
from .console import Screen, printable
from .online import DRAIN_SECONDS, all_online
from .prompt import HELP, Prompt
from .running import INTERRUPTED
from .serving import allow_many_connections, serve_tls, show_tls
from .who import ADDRESS_FILE, Who, server_here, session_file

__all__ = [
    "BotOptions",
    "ServerOptions",
    "catch_signals",
    "chat_elsewhere",
    "chat_here",
    "serve",
    "until_stopped",
]

logger = logging.getLogger("webqq_tornado.cli")

#: The port that the embedded server likes best.
FIRST_PORT = 8100


class ServerOptions(NamedTuple):
    """How to start a server.

    Args:
        port: None takes 8100 or the next free one.
        address: that it listens on.
        state_dir: its folder.
        has_tls: https as well.
        tls_port: None takes 8443 or the next free one.
    """

    port: int | None
    address: str
    state_dir: Path
    has_tls: bool = False
    tls_port: int | None = None


class BotOptions(NamedTuple):
    """What the bot is to do.

    Args:
        plugins: files, packages or modules.
        owners: QQ numbers.
        reloads: whether plugins are loaded again when they change.
        at_most_once: see `Bot`.
    """

    plugins: Sequence[Path] = ()
    owners: Sequence[int] = ()
    reloads: bool = False
    at_most_once: bool = False

    def of(self, owner: int) -> BotOptions:
        """The same, with an owner if none was named."""
        return self if self.owners else self._replace(owners=(owner,))


async def chat_here(options: ServerOptions, wanted: BotOptions, screen: Screen) -> None:
    """Start a server, a bot on it, and a prompt for the user."""
    async with running(options) as server:
        home = household(server.storage, options.state_dir)
        folder = options.state_dir / "clients" / "here"
        stream, store = HTTPStream(), Store(folder / "client.db")
        # What the user says and hears stands at the prompt already.
        levels = {"bot": logging.INFO, "you": logging.DEBUG}
        client, user = (
            Client(
                stream,
                login.account,
                login.password,
                Endpoints.at(server.url),
                name=name,
                log_level=levels[name],
                store=store,
                session_file=session_file(folder, login.account, WEBQQ3),
            )
            for name, login in (("bot", home.bot), ("you", home.user))
        )
        bot = _bot(client, home.bot.nick, wanted.of(home.user.account))
        clients = [client, user] if screen.is_terminal else [client]
        try:
            for one in clients:
                await one.login()
            stopped = catch_signals()
            _introduce(server, home, screen)
            prompt = None
            if screen.is_terminal:
                prompt = Prompt(user, screen, await _contact(user, home.bot.account))
            await until_stopped(stopped, prompt)
        finally:
            bot.close()
            await asyncio.gather(*(one.logout() for one in clients))
            await stream.drain(DRAIN_SECONDS)
            stream.close()
            store.close()


async def _contact(user: Client, number: int) -> Contact | str:
    """The contact with a number, whoever else has its name; nobody if it is none any more."""
    try:
        return await user.resolve(number)
    except ContactError:
        return ""


async def chat_elsewhere(everyone: Sequence[Who], wanted: BotOptions, screen: Screen) -> None:
    """A bot for each account, on servers elsewhere; a prompt if it is one account.

    Args:
        everyone: the accounts.
        wanted: of every bot; plugins of one account alone come with it.
        screen: of the person who runs them.
    """
    bots: list[Bot] = []

    def prepare(who: Who, client: Client) -> None:
        own = wanted._replace(plugins=[*wanted.plugins, *who.plugins])
        bots.append(_bot(client, "", own))

    listening = all_online(everyone, listens=True, log_level=logging.INFO, prepare=prepare)
    async with listening as found, closing_all(bots):
        stopped = catch_signals()
        for who, client in found:
            screen.say(printable(f"{_called(client)} is online at {who.url}."), style="bold")
        prompt = None
        if screen.is_terminal and len(everyone) == 1:
            screen.say(*HELP, "", style="dim")
            prompt = Prompt(found[0][1], screen)
        await until_stopped(stopped, prompt)


@asynccontextmanager
async def closing_all(bots: Sequence[Bot]) -> AsyncIterator[None]:
    """Close them at the end."""
    try:
        yield
    finally:
        for bot in bots:
            bot.close()


def _called(client: Client) -> str:
    return f"{client.account} ({client.nick})" if client.nick else str(client.account)


@asynccontextmanager
async def running(options: ServerOptions) -> AsyncIterator[WebQQServer]:
    """A server that listens; other commands find it by the state directory.

    Raises:
        StorageError: its folder can not be used.
        PortTaken: the port, or all that were tried, are taken.
    """
    server = start_server(options)
    address = options.state_dir / ADDRESS_FILE
    try:
        address.write_text(server.url, encoding="utf-8")
        yield server
    finally:
        if server_here(options.state_dir) == server.url:
            address.unlink(missing_ok=True)
        await server.close()


async def serve(options: ServerOptions, screen: Screen) -> None:
    """Run the server alone."""
    async with running(options) as server:
        home = household(server.storage, options.state_dir)
        stopped = catch_signals()
        _show_passwords(home, screen)
        if options.has_tls:
            place = (options.state_dir, options.address, options.tls_port)
            show_tls(serve_tls(server, *place), server, screen)
        screen.say(
            f"Serving WebQQ on {server.url}",
            f"Open {server.signin_url(home.user.account)} to be signed in as {home.user.nick},",
            f"or {server.url} to sign in or register.",
            "From another terminal:",
            "  python -m webqq_tornado chat",
            f"  python -m webqq_tornado --server {server.url} --account {home.bot.account}",
        )
        await until_stopped(stopped, None)


def start_server(options: ServerOptions) -> WebQQServer:
    """A server that listens.

    Raises:
        StorageError: its folder can not be used.
        PortTaken: the port, or all that were tried, are taken.
    """
    allow_many_connections()
    server = WebQQServer(Storage(options.state_dir / "server.db"))
    try:
        if options.port is None:
            server.listen_on_free_port(FIRST_PORT, address=options.address)
        else:
            server.listen(options.port, options.address)
    except OSError:
        server.storage.close()
        raise
    return server


def _bot(client: Client, name: str, wanted: BotOptions) -> Bot:
    bot = Bot(client, name, owners=wanted.owners, at_most_once=wanted.at_most_once)
    for path in wanted.plugins:
        bot.load_plugin(path)
    if wanted.reloads:
        bot.watch_plugins()
    return bot


def _introduce(server: WebQQServer, home: Household, screen: Screen) -> None:
    _show_passwords(home, screen)
    screen.say("")
    screen.say("The bot is online. Talk to it in the browser (this link works once):", style="bold")
    screen.say(f"  {server.signin_url(home.user.account)}", style="underline")
    if screen.is_terminal:
        screen.say("or right here.", style="bold")
        screen.say(*HELP, "", style="dim")


def _show_passwords(home: Household, screen: Screen) -> None:
    if not home.is_new:
        return
    screen.say("", "First start: these accounts were made. Their passwords are shown only now.")
    for login in (home.user, home.bot):
        screen.say(f"  {login.nick:<4} account {login.account}  password {login.password}")


def catch_signals() -> asyncio.Event:
    """Ctrl-C and SIGTERM set the event. The second one ends the process at once."""
    stopped = asyncio.Event()

    def stop() -> None:
        if stopped.is_set():
            os._exit(INTERRUPTED)
        logger.info("leaving")
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


async def until_stopped(stopped: asyncio.Event, prompt: Prompt | None) -> None:
    """Until somebody stops us, or the prompt ends."""
    waiting = [asyncio.ensure_future(stopped.wait())]
    if prompt is not None:
        waiting.append(asyncio.ensure_future(prompt.run()))  # type: ignore[arg-type]
    _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    stopped.set()
